//! `/openapi.json`: what this interface can do, as tools that know nothing of FHIR read it (OpenAPI 3.0.3, which both what tries
//! interfaces and what makes clients of them know best). Made from the tables that the router is made from.

mod answer;
mod ask;
mod oauth;
mod open_data;
mod schema;

use std::sync::OnceLock;

use aws_lc_rs::digest;
use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{
    Shared,
    beside::{BESIDE, Deed},
    table::{Interaction, SERVED, Served},
};

/// The document as it is sent, made when it is first asked for: most processes are never asked.
#[derive(Default)]
pub struct Document(OnceLock<(Bytes, HeaderValue)>);

/// What can be asked for at one place by one method.
struct Operation {
    method: &'static str,
    path: String,
    of: Of,
}

/// What is done there.
#[derive(Clone, Copy)]
enum Of {
    /// Something with the resources of a type; `below` the type.
    Table { served: &'static Served, interaction: Interaction, below: &'static str },
    /// Something beside.
    Beside(Deed),
}

const ABOUT: &str = "Carries referrals to providers and their answers back, by FHIR R4 (4.0.1). Every client shows a bearer token and sees \
                     only what it sent or what was routed to it. What is wrong is said by an OperationOutcome. HEAD is answered wherever \
                     GET is, OPTIONS everywhere; another method gives 405 with Allow, what is not here 404. Bodies may come in gzip or \
                     zstd, and answers are given so. A URL that is too long (414, 431) is sent as POST to _search. /fhir/metadata says the \
                     same as a CapabilityStatement. A search may follow a reference once, with the type that it leads to and one \
                     of that type's parameters: subject:Patient.birthdate; of those only the ones to identifiers are listed.";

/// `GET /openapi.json`
pub async fn document(State(app): State<Shared>) -> Response {
    let (bytes, tag) = app.document.0.get_or_init(|| {
        let text = made(&app.base_url).to_string();
        let hash = digest::digest(&digest::SHA256, text.as_bytes());
        let name: String = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let tag = HeaderValue::try_from(format!("\"{name}\"")).unwrap_or(HeaderValue::from_static("\"\""));
        (Bytes::from(text), tag)
    });
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json")), (header::ETAG, tag.clone())];
    (headers, Body::from(bytes.clone())).into_response()
}

fn made(base_url: &str) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations() {
        let item = paths.entry(operation.path.clone()).or_insert_with(|| json!({}));
        item[operation.method] = operation.told();
    }
    paths.extend(oauth::paths());
    paths.extend(open_data::paths());
    let kinds = SERVED.iter().map(|served| json!({"name": served.kind, "description": served.documentation}));
    let service = json!({"name": "service", "description": "The service as a whole."});
    let told =
        "The directory as open data (Open Referral UK 3.0), without a token, where the configuration wants that.";
    let open = json!({"name": "open-referral", "description": told});
    let tags: Vec<Value> = [service, open].into_iter().chain(kinds).collect();
    json!({
        "openapi": "3.0.3",
        "info": {"title": "Onward", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT},
        "servers": [{"url": base_url}],
        "security": [{"bearer": []}],
        "tags": tags,
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer",
                                           "description": "The token of a registered system or provider."}},
            "parameters": ask::common(),
            "headers": answer::headers(),
            "responses": answer::common(),
            "schemas": schema::all(),
        },
    })
}

/// All that there are, those beside the table first.
fn operations() -> impl Iterator<Item = Operation> {
    let beside = BESIDE.iter().map(|beside| Operation {
        method: beside.method,
        path: beside.path.to_owned(),
        of: Of::Beside(beside.deed),
    });
    let of_table = SERVED.iter().flat_map(|served| {
        served.operations().map(move |(interaction, method, below)| Operation {
            method,
            path: format!("/fhir/{}{below}", served.kind),
            of: Of::Table { served, interaction, below },
        })
    });
    beside.chain(of_table)
}

impl Operation {
    fn told(&self) -> Value {
        let mut told = json!({
            "operationId": self.id(),
            "tags": [match self.of {
                Of::Table { served, .. } => served.kind,
                Of::Beside(Deed::Package) => "Task",
                Of::Beside(Deed::SubscriptionStatus | Deed::SubscriptionEvents) => "Subscription",
                Of::Beside(_) => "service",
            }],
            "summary": self.summary(),
            "parameters": ask::parameters(self),
            "responses": answer::responses(self),
        });
        if let Some(body) = ask::body(self) {
            told["requestBody"] = body;
        }
        if !self.needs_token() {
            told["security"] = json!([]);
        }
        told
    }

    const fn needs_token(&self) -> bool {
        match self.of {
            Of::Table { .. } => true,
            Of::Beside(deed) => deed.needs_token(),
        }
    }

    /// Whether it is answered in FHIR's formats.
    const fn is_fhir(&self) -> bool {
        match self.of {
            Of::Table { .. } => true,
            Of::Beside(deed) => !deed.is_keepers() && !deed.is_of_directory() && !matches!(deed, Deed::OpenApi),
        }
    }

    /// A name that is no other's, as programs name functions: `searchTypeTask`, `searchTypeTaskByPost`.
    fn id(&self) -> String {
        let name = match self.of {
            Of::Table { served, interaction, below } => {
                let first = interaction.paths().first().is_some_and(|first| *first == (self.method, below));
                let otherwise = if first {
                    String::new()
                } else if below.is_empty() {
                    "-by-search".to_owned()
                } else {
                    format!("-by-{}", self.method)
                };
                format!("{}-{}{otherwise}", interaction.code(), served.kind)
            }
            Of::Beside(deed) => match deed {
                Deed::Bundle => "bundle".to_owned(),
                Deed::Metadata => "capabilities".to_owned(),
                Deed::OpenApi => "open-api".to_owned(),
                Deed::Package => "package-Task".to_owned(),
                Deed::SubscriptionStatus => "status-Subscription".to_owned(),
                Deed::SubscriptionEvents => "events-Subscription".to_owned(),
                Deed::Validate if self.path.contains("{id}") => "validate-instance".to_owned(),
                Deed::Validate => "validate".to_owned(),
                Deed::Proposals => "proposals".to_owned(),
                Deed::Proposal => "read-proposal".to_owned(),
                Deed::Approve => "approve-proposal".to_owned(),
                Deed::Decline => "decline-proposal".to_owned(),
                Deed::Withdraw => "withdraw-proposal".to_owned(),
                Deed::TakeOut => "take-out-stories".to_owned(),
                Deed::Live => "live".to_owned(),
                Deed::Ready => "ready".to_owned(),
                Deed::Figures => "metrics".to_owned(),
            },
        };
        let mut parts = name.split('-');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |mut id, part| {
            let mut letters = part.chars();
            id.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
            id.push_str(letters.as_str());
            id
        })
    }

    fn summary(&self) -> String {
        let (kind, interaction) = match self.of {
            Of::Table { served, interaction, .. } => (served.kind, interaction),
            Of::Beside(deed) => return beside_summary(deed).to_owned(),
        };
        match interaction {
            Interaction::Read => format!("A {kind} as it is now"),
            Interaction::Vread => format!("A version of a {kind}"),
            Interaction::HistoryInstance => format!("The versions of a {kind}, the newest first"),
            Interaction::HistoryType => format!("What changed of {kind} resources, the newest first"),
            Interaction::SearchType if self.method == "post" => {
                format!("{kind} resources, by parameters in the body")
            }
            Interaction::SearchType => format!("{kind} resources, by parameters"),
            Interaction::Create => format!("A new {kind}"),
            Interaction::Update => format!("A {kind} as it shall be"),
            Interaction::Patch => format!("What shall be otherwise of a {kind}"),
            Interaction::Delete => format!("A {kind} that shall be no more"),
        }
    }
}

const fn beside_summary(deed: Deed) -> &'static str {
    match deed {
        Deed::Bundle => "A referral as a Bundle, all of it or nothing",
        Deed::Metadata => "What this interface can do, as a CapabilityStatement",
        Deed::OpenApi => "What this interface can do, as this document",
        Deed::Package => "The whole referral of a Task as one Bundle",
        Deed::SubscriptionStatus => "How it is with a Subscription",
        Deed::SubscriptionEvents => "What a Subscription was to be told",
        Deed::Validate => "What would be said of a resource, without anything being done",
        Deed::Proposals => "What is proposed for the directory: a provider's own, or all for a steward",
        Deed::Proposal => "A proposal, with the entry as it is proposed and what would change",
        Deed::Approve => "A proposal becomes an entry of the directory, or a version of one",
        Deed::Decline => "A proposal is refused, with the reason",
        Deed::Withdraw => "A proposal is taken back by its provider",
        Deed::TakeOut => "Practice stories are taken out of a HealthcareService and all its versions, by a steward",
        Deed::Live => "Whether the process answers",
        Deed::Ready => "Whether referrals can be accepted, and how each part is",
        Deed::Figures => "Figures, as Prometheus reads them",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_one_operations_and_every_reference_leads_somewhere() {
        let made = made("https://onward.example");
        let ids: Vec<String> = operations().map(|operation| operation.id()).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
        assert!(ids.contains(&"searchTypeTaskByPost".to_owned()) && ids.contains(&"vreadPatient".to_owned()));
        let text = made.to_string();
        let references: BTreeSet<&str> =
            text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(references.len() > 40);
        for reference in references {
            assert!(made.pointer(reference).is_some(), "{reference} leads nowhere");
        }
        // what is there and nobody refers to would be told for nothing
        for part in ["parameters", "headers", "responses", "schemas"] {
            for name in made["components"][part].as_object().unwrap().keys() {
                assert!(text.contains(&format!("\"#/components/{part}/{name}\"")), "{part} {name}");
            }
        }
    }
}

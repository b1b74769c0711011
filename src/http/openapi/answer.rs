//! How an operation may be answered: every status, with what comes along.

use serde_json::{Map, Value, json};

use super::{Of, Operation};
use crate::http::{beside::Deed, table::Interaction};

/// The statuses of an operation, those that are common to all left out.
fn own(operation: &Operation) -> &'static [u16] {
    match operation.of {
        Of::Table { served, interaction, below } => match interaction {
            Interaction::Read | Interaction::Vread => &[200, 304, 400, 404],
            Interaction::HistoryInstance => &[200, 400, 404],
            Interaction::HistoryType => &[200, 400],
            Interaction::SearchType if operation.method == "post" => &[200, 400, 413, 415],
            Interaction::SearchType => &[200, 400],
            Interaction::Delete => &[204, 400],
            Interaction::Create if served.kind == "Subscription" => &[201, 400, 413, 415, 422],
            Interaction::Create if served.kind == "Communication" => &[200, 201, 400, 404, 409, 413, 415, 422],
            Interaction::Create if is_of_directory(served.kind) => &[200, 201, 202, 400, 403, 409, 412, 413, 415, 422],
            Interaction::Create => &[200, 201, 400, 403, 409, 413, 415, 422],
            Interaction::Update | Interaction::Patch if below.is_empty() && is_of_directory(served.kind) => {
                &[200, 201, 202, 400, 403, 404, 405, 409, 412, 413, 415, 422, 428]
            }
            Interaction::Update | Interaction::Patch if below.is_empty() => {
                &[200, 201, 400, 403, 404, 405, 409, 412, 413, 415, 422]
            }
            Interaction::Update | Interaction::Patch if is_of_directory(served.kind) => {
                &[200, 202, 400, 403, 404, 409, 412, 413, 415, 422, 428]
            }
            Interaction::Update | Interaction::Patch => &[200, 400, 403, 404, 409, 412, 413, 415, 422, 428],
        },
        Of::Beside(deed) => match deed {
            Deed::Bundle => &[200, 400, 403, 409, 413, 415, 422],
            Deed::Metadata | Deed::Live | Deed::Figures | Deed::Ready => &[200],
            Deed::OpenApi => &[200, 304],
            Deed::Package | Deed::SubscriptionStatus | Deed::SubscriptionEvents => &[200, 400, 404],
            Deed::Validate => &[200, 400, 404, 413, 415],
            Deed::Proposals => &[200, 400, 403],
            Deed::Proposal => &[200, 404],
            Deed::Approve => &[200, 400, 403, 404, 409, 422],
            Deed::Decline => &[200, 400, 403, 404, 409, 413, 415],
            Deed::Withdraw => &[200, 403, 404, 409],
            Deed::TakeOut => &[200, 400, 403, 404, 409, 413, 415, 422],
        },
    }
}

fn is_of_directory(kind: &str) -> bool {
    kind.parse::<crate::domain::EntryKind>().is_ok()
}

/// The answers of an operation by their statuses.
pub(super) fn responses(operation: &Operation) -> Value {
    let mut all: Map<String, Value> = Map::new();
    for status in own(operation) {
        let told = match status {
            200 | 201 => done(operation, *status),
            202 => {
                let told = "It is kept as a proposal, which Location names: a steward of the directory decides it.";
                let mut told = fhir(told, &reference("schemas", "OperationOutcome"));
                told["headers"] = json!({"X-Request-ID": required("X-Request-ID"), "Location": required("Location")});
                told
            }
            204 => json!({"description": "It is no more.", "headers": {"X-Request-ID": required("X-Request-ID")}}),
            304 => json!({"description": "What the client has is what there is.",
                          "headers": {"ETag": required("ETag"), "X-Request-ID": required("X-Request-ID")}}),
            _ => common_one(*status),
        };
        all.insert(status.to_string(), told);
    }
    if operation.needs_token() {
        all.insert("401".into(), common_one(401));
    }
    match operation.of {
        Of::Beside(Deed::Live) => {}
        Of::Beside(Deed::Ready) => {
            all.insert(
                "503".into(),
                plain("Referrals cannot be accepted now.", "application/json", &reference("schemas", "Health")),
            );
        }
        Of::Beside(Deed::Figures) => {
            let mut refused =
                plain("They are for who keeps the service running.", "text/plain", &json!({"type": "string"}));
            refused["headers"]["WWW-Authenticate"] = required("WWW-Authenticate");
            all.insert("401".into(), refused);
            let headers = json!({"Retry-After": required("Retry-After"), "X-Request-ID": required("X-Request-ID")});
            all.insert("503".into(), json!({"description": "As many ask for figures as may.", "headers": headers}));
        }
        _ => all.extend([406, 429, 503].map(|status| (status.to_string(), common_one(status)))),
    }
    all.sort_keys();
    all.into()
}

/// How it went well.
fn done(operation: &Operation, status: u16) -> Value {
    let (told, schema) = match operation.of {
        Of::Table { served, interaction, .. } => {
            let kind = reference("schemas", served.kind);
            // by Prefer: return=OperationOutcome
            let or_outcome = json!({"anyOf": [kind, reference("schemas", "OperationOutcome")]});
            match interaction {
                Interaction::Read | Interaction::Vread => ("The resource.", kind),
                Interaction::HistoryInstance | Interaction::HistoryType => {
                    ("The versions, the newest first.", reference("schemas", "History"))
                }
                Interaction::SearchType => ("What was found, a page of it.", reference("schemas", "SearchSet")),
                Interaction::Create | Interaction::Update | Interaction::Patch if status == 201 => {
                    ("It was made. Without a body by Prefer: return=minimal.", or_outcome)
                }
                Interaction::Create => ("It was sent before. Without a body by Prefer: return=minimal.", or_outcome),
                Interaction::Delete => ("It is no more.", or_outcome),
                Interaction::Update | Interaction::Patch => {
                    ("It was changed. Without a body by Prefer: return=minimal.", or_outcome)
                }
            }
        }
        Of::Beside(deed) => match deed {
            Deed::Bundle => ("What became of each entry.", reference("schemas", "BundleResponse")),
            Deed::Metadata => ("The statement.", reference("schemas", "CapabilityStatement")),
            Deed::SubscriptionStatus => ("How it is.", reference("schemas", "SearchSet")),
            Deed::SubscriptionEvents => {
                ("What happened, a notification's worth of it.", reference("schemas", "History"))
            }
            Deed::Package => ("All resources of the referral.", reference("schemas", "Collection")),
            Deed::Validate => ("What would be said.", reference("schemas", "OperationOutcome")),
            Deed::Proposals => {
                return plain(
                    "The proposals, in the order in which they came.",
                    "application/json",
                    &reference("schemas", "Proposals"),
                );
            }
            Deed::Proposal => return plain("The proposal.", "application/json", &reference("schemas", "Proposal")),
            Deed::Approve | Deed::Decline | Deed::Withdraw => {
                return plain("The proposal as it is now.", "application/json", &reference("schemas", "Proposal"));
            }
            Deed::TakeOut => {
                let schema = json!({"type": "object", "required": ["entry", "version", "rewritten"]});
                return plain("They are out; the version that the service has now.", "application/json", &schema);
            }
            Deed::OpenApi => {
                let mut told = plain("This document.", "application/json", &json!({"type": "object"}));
                told["headers"]["ETag"] = required("ETag");
                return told;
            }
            Deed::Live => return plain("It answers.", "application/json", &reference("schemas", "Live")),
            Deed::Ready => {
                return plain(
                    "They can. How each part is stands there for who keeps the service running.",
                    "application/json",
                    &reference("schemas", "Health"),
                );
            }
            Deed::Figures => return plain("The figures.", "text/plain", &json!({"type": "string"})),
        },
    };
    let mut told = fhir(told, &schema);
    told["headers"] = of_done(operation, status);
    told
}

fn of_done(operation: &Operation, status: u16) -> Value {
    let mut headers = json!({"X-Request-ID": required("X-Request-ID")});
    match operation.of {
        Of::Table { served, interaction, .. } => {
            let names: &[&str] = match interaction {
                // what the registry makes has no versions
                Interaction::Read if is_of_directory(served.kind) => &[],
                Interaction::Read | Interaction::Vread | Interaction::Update | Interaction::Patch => {
                    &["ETag", "Last-Modified"]
                }
                Interaction::Create if is_of_directory(served.kind) => &["ETag", "Last-Modified"],
                Interaction::Create => &["ETag", "Last-Modified", "Location"],
                Interaction::HistoryInstance
                | Interaction::HistoryType
                | Interaction::SearchType
                | Interaction::Delete => &[],
            };
            for name in names {
                headers[*name] = required(name);
            }
            if status == 201 && names.contains(&"ETag") {
                headers["Location"] = required("Location");
            }
            if interaction == Interaction::Create && served.kind != "Subscription" && !is_of_directory(served.kind) {
                headers["Onward-Not-Repeatable"] = reference("headers", "Onward-Not-Repeatable");
                if served.kind == "ServiceRequest" {
                    headers["Link"] = reference("headers", "Link");
                }
            }
        }
        Of::Beside(Deed::Bundle) => {
            headers["Link"] = reference("headers", "Link");
            headers["Onward-Not-Repeatable"] = reference("headers", "Onward-Not-Repeatable");
        }
        Of::Beside(_) => {}
    }
    headers
}

fn reference(part: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{part}/{name}")})
}

/// A header that is always there.
fn required(name: &str) -> Value {
    reference("headers", name)
}

/// An answer in FHIR's formats.
fn fhir(told: &str, schema: &Value) -> Value {
    json!({"description": told, "content": {"application/fhir+json": {"schema": schema},
                                            "application/fhir+xml": {"schema": reference("schemas", "Xml")}}})
}

pub(super) fn plain(told: &str, media_type: &str, schema: &Value) -> Value {
    json!({"description": told, "content": {media_type: {"schema": schema}},
           "headers": {"X-Request-ID": required("X-Request-ID")}})
}

/// Why something is not done: status, name, words, the headers that say more.
const REFUSALS: &[(u16, &str, &str, &[&str])] = &[
    (400, "Invalid", "It cannot be read, or is not valid.", &[]),
    (401, "Unknown", "A token is needed, or it is not known.", &["WWW-Authenticate"]),
    (403, "Forbidden", "This client may see it, and not do this.", &[]),
    (404, "Absent", "It is not there, or not for this client.", &[]),
    (405, "NotAllowed", "The search finds nothing, and ids are given here.", &[]),
    (406, "NotAcceptable", "It can be given as application/fhir+json and application/fhir+xml.", &[]),
    (409, "Conflict", "Something else was sent before under the same name, or was decided or changed meanwhile.", &[]),
    (412, "Outdated", "There is a newer version than the one that the change was made from.", &[]),
    (413, "TooLarge", "The body is larger than may be, or has too many entries.", &[]),
    (415, "Unsupported", "The body is of a type or in a coding that is not taken.", &["Accept-Encoding"]),
    (422, "Refused", "It is valid and breaks a rule of referrals or of the directory.", &[]),
    (428, "VersionNeeded", "If-Match is needed.", &[]),
    (429, "TooMany", "This client asks for more than its share.", &["Retry-After"]),
    (
        503,
        "Unavailable",
        "Not just now; what was not answered was not done, or is found again when it is sent again.",
        &["Retry-After"],
    ),
];

fn common_one(status: u16) -> Value {
    let name = REFUSALS.iter().find(|(of, ..)| *of == status).map_or("Invalid", |(_, name, ..)| name);
    reference("responses", name)
}

/// The answers that many operations have.
pub(super) fn common() -> Value {
    let told = REFUSALS.iter().map(|(_, name, words, headers)| {
        let mut told = fhir(words, &reference("schemas", "OperationOutcome"));
        told["headers"] = json!({"X-Request-ID": required("X-Request-ID")});
        for header in *headers {
            told["headers"][*header] = required(header);
        }
        ((*name).to_owned(), told)
    });
    Value::Object(told.collect())
}

/// The headers of answers.
pub(super) fn headers() -> Value {
    let always = |told: &str, schema: Value| json!({"required": true, "description": told, "schema": schema});
    let may = |told: &str| json!({"description": told, "schema": {"type": "string"}});
    let text = || json!({"type": "string"});
    json!({
        "X-Request-ID": always("That of the request, or one that was made for it.", text()),
        "ETag": always("The version.", json!({"type": "string", "pattern": "^(W/)?\"[^\"]+\"$"})),
        "Last-Modified": always("When this version was made.", text()),
        "Location": always("The version that was made, by its URL.", text()),
        "WWW-Authenticate": always("How to show who one is.", text()),
        "Retry-After": always("After so many seconds it may be sent again.", json!({"type": "integer", "minimum": 1})),
        "Link": may("The Task by which the referral can be followed (rel=monitor); of several targets it is the parent of theirs."),
        "Accept-Encoding": may("The codings that are taken, where it was the coding."),
        "Onward-Not-Repeatable": may("There was nothing to know this by: sent again, it would be made anew."),
    })
}

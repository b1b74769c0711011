//! What an operation may be asked with: parameters, headers, bodies.

use serde_json::{Map, Value, json};

use super::{Of, Operation};
use crate::{
    definitions::{Kind, SearchKind, types},
    domain::{EntryKind, ProposalStatus},
    http::{beside::Deed, table::Interaction},
    intake::apart::KEY_MAX_BYTES,
    search::{CONTROLS, NEAR, codes, leads_to_identifiers, modifiers, parameters as search_parameters},
};

/// The parameters of an operation.
pub(super) fn parameters(operation: &Operation) -> Vec<Value> {
    let in_path = [("{kind}", "kind"), ("{id}", "id"), ("{version}", "version")];
    let mut all: Vec<Value> =
        in_path.iter().filter(|(part, _)| operation.path.contains(part)).map(|(_, name)| common_one(name)).collect();
    let mut names = match operation.of {
        Of::Table { served, interaction, below } => match interaction {
            Interaction::Read => vec!["_summary", "_elements", "If-None-Match", "If-Modified-Since", "Prefer-handling"],
            Interaction::Vread => vec!["If-None-Match", "If-Modified-Since"],
            Interaction::HistoryInstance => vec!["_since", "_count", "_after", "Prefer-handling"],
            Interaction::HistoryType => vec!["_since", "_count", "_after", "Prefer-handling"],
            Interaction::SearchType if operation.method == "post" => vec!["Prefer-handling"],
            Interaction::SearchType => vec!["_after", "_page", "Prefer-handling"],
            Interaction::Delete => vec![],
            Interaction::Create if served.kind == "Subscription" => vec!["Prefer-return"],
            Interaction::Create if is_of_directory(served.kind) => {
                vec!["If-None-Exist", "story-checked", "Prefer-return"]
            }
            Interaction::Create => vec!["If-None-Exist", "Idempotency-Key", "traceparent", "Prefer-return"],
            Interaction::Update | Interaction::Patch if below.is_empty() && is_of_directory(served.kind) => {
                vec!["If-Match-may", "story-checked", "Prefer-return"]
            }
            // by a search the version need not be named
            Interaction::Update | Interaction::Patch if below.is_empty() => vec!["Prefer-return"],
            Interaction::Update | Interaction::Patch if is_of_directory(served.kind) => {
                vec!["If-Match", "story-checked", "Prefer-return"]
            }
            Interaction::Update | Interaction::Patch => vec!["If-Match", "Prefer-return"],
        },
        Of::Beside(deed) => match deed {
            Deed::Bundle => vec!["If-None-Exist", "Idempotency-Key", "traceparent", "Prefer-return"],
            Deed::Validate => vec!["mode", "profile"],
            Deed::OpenApi => vec!["If-None-Match"],
            Deed::SubscriptionEvents => vec!["eventsSinceNumber", "eventsUntilNumber", "content"],
            Deed::Proposals => vec!["status", "after", "count"],
            Deed::Approve => vec!["story-checked"],
            Deed::Metadata
            | Deed::Package
            | Deed::SubscriptionStatus
            | Deed::Proposal
            | Deed::Decline
            | Deed::Withdraw
            | Deed::TakeOut
            | Deed::Live
            | Deed::Ready
            | Deed::Figures => vec![],
        },
    };
    if operation.is_fhir() {
        names.extend(["_format", "_pretty"]);
    }
    names.extend(["X-Request-ID", "X-Correlation-ID"]);
    all.extend(names.into_iter().map(common_one));
    if let Of::Table { served, interaction, below } = operation.of {
        let is_search = interaction == Interaction::SearchType && operation.method == "get";
        let is_by_search = matches!(interaction, Interaction::Update | Interaction::Patch) && below.is_empty();
        if is_search || is_by_search {
            all.extend(conditions(served.kind).map(|one| one.in_query()));
        }
        if is_search {
            all.extend(near(served.kind).chain(controls()).map(|one| one.in_query()));
        }
    }
    all
}

fn is_of_directory(kind: &str) -> bool {
    kind.parse::<EntryKind>().is_ok()
}

/// The body of an operation, where it takes one.
pub(super) fn body(operation: &Operation) -> Option<Value> {
    let fhir = |schema: &str, example: Option<Value>| {
        let mut as_json = json!({"schema": reference("schemas", schema)});
        if let Some(example) = example {
            as_json["example"] = example;
        }
        json!({"required": true, "content": {"application/fhir+json": as_json,
                                             "application/fhir+xml": {"schema": reference("schemas", "Xml")}}})
    };
    match operation.of {
        Of::Table { served, interaction, .. } => match interaction {
            Interaction::Create => Some(fhir(served.kind, example(served.kind))),
            Interaction::Update => Some(fhir(served.kind, None)),
            Interaction::Patch => Some(json!({"required": true, "content": {
                "application/json-patch+json": {
                    "schema": reference("schemas", "JsonPatch"), "example": example_patch(served.kind)},
                "application/fhir+json": {"schema": reference("schemas", "Parameters")},
                "application/fhir+xml": {"schema": reference("schemas", "Xml")}}})),
            Interaction::SearchType if operation.method == "post" => {
                let content = json!({"schema": reference("schemas", &format!("{}Search", served.kind))});
                Some(json!({"content": {"application/x-www-form-urlencoded": content}}))
            }
            _ => None,
        },
        Of::Beside(Deed::Bundle) => {
            let mut request = example("ServiceRequest").unwrap_or_default();
            request["identifier"][0]["value"] = "R-1002".into();
            let entry = json!({"fullUrl": "urn:uuid:0198b6a0-7c1e-4bd0-a5d1-000000000001",
                "resource": request, "request": {"method": "POST", "url": "ServiceRequest"}});
            let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [entry]});
            Some(fhir("Bundle", Some(bundle)))
        }
        Of::Beside(Deed::Validate) => Some(fhir("Resource", None)),
        Of::Beside(Deed::Decline) => {
            let content = json!({"schema": reference("schemas", "Reason"), "example": {"reason": "The opening hours are missing."}});
            Some(json!({"required": true, "content": {"application/json": content}}))
        }
        Of::Beside(Deed::TakeOut) => {
            let told = "Which of those that the service tells now, from 0; those that it does not tell now; or all.";
            let which = json!({"description": told, "anyOf": [{"type": "integer", "minimum": 0},
                                                              {"type": "string", "enum": ["earlier", "all"]}]});
            let schema = json!({"type": "object", "required": ["which"], "properties": {"which": which},
                                "additionalProperties": false});
            Some(json!({"required": true, "content": {"application/json": {"schema": schema}}}))
        }
        Of::Beside(_) => None,
    }
}

/// Something that a search is asked with.
pub(super) struct Asked {
    name: String,
    told: String,
    schema: Value,
}

impl Asked {
    fn in_query(self) -> Value {
        let mut told = json!({"name": self.name, "in": "query", "schema": self.schema});
        if !self.told.is_empty() {
            told["description"] = self.told.into();
        }
        told
    }
}

/// What the resources of a type can be looked for by.
fn conditions(kind: &'static str) -> impl Iterator<Item = Asked> {
    search_parameters(kind).flat_map(|parameter| {
        let text = || json!({"type": "string", "minLength": 1});
        let one = |name: String, schema| Asked { name, told: String::new(), schema };
        let of_kind = match parameter.kind {
            SearchKind::Date => "A date, with a prefix where another comparison than eq is meant.",
            SearchKind::Number => "A number.",
            SearchKind::Reference => "A reference: Type/id, id, URL.",
            SearchKind::String => "How it begins.",
            SearchKind::Token => "[system]|[code]",
            SearchKind::Uri => "A URI as it is written.",
        };
        let codes = codes(parameter);
        let mut whole = one(parameter.name.to_owned(), text());
        whole.told = if codes.is_empty() { of_kind.to_owned() } else { format!("One of {}.", codes.join(", ")) };
        let modified = modifiers(parameter.kind).iter().map(move |modifier| {
            let schema = if *modifier == "missing" { json!({"type": "boolean"}) } else { text() };
            one(format!("{}:{modifier}", parameter.name), schema)
        });
        let chained = leads_to_identifiers(parameter).then(|| one(format!("{}.identifier", parameter.name), text()));
        std::iter::once(whole).chain(modified).chain(chained)
    })
}

/// What the resources of a type must be near.
fn near(kind: &'static str) -> impl Iterator<Item = Asked> {
    let of = NEAR.iter().filter(move |near| near.of == kind);
    of.map(|near| Asked {
        name: near.name.to_owned(),
        told: near.told.to_owned(),
        schema: json!({"type": "string", "minLength": 2}),
    })
}

/// What a search may say beside.
fn controls() -> impl Iterator<Item = Asked> {
    CONTROLS.iter().map(|control| {
        let schema = match control.kind {
            "number" => json!({"type": "integer", "minimum": 0}),
            _ if !control.values.is_empty() => json!({"type": "string", "enum": control.values}),
            _ => json!({"type": "string", "minLength": 1}),
        };
        Asked { name: control.name.to_owned(), told: control.told.to_owned(), schema }
    })
}

/// The same as a form.
pub(super) fn form(kind: &'static str) -> Value {
    let properties: Map<String, Value> =
        conditions(kind).chain(near(kind)).chain(controls()).map(|asked| (asked.name, asked.schema)).collect();
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

fn reference(part: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{part}/{name}")})
}

fn common_one(name: &str) -> Value {
    reference("parameters", name)
}

/// The parameters that many operations have.
pub(super) fn common() -> Value {
    let kinds: Vec<&str> =
        types().iter().filter(|of| of.kind == Kind::Resource && !of.is_abstract).map(|of| of.name).collect();
    let in_path = |name: &str, told: &str, schema: Value| json!({"name": name, "in": "path", "required": true, "description": told, "schema": schema});
    let of = |place: &str, name: &str, told: &str, schema: Value| json!({"name": name, "in": place, "description": told, "schema": schema});
    let header = |name, told, schema| of("header", name, told, schema);
    let query = |name, told, schema| of("query", name, told, schema);
    let word = json!({"type": "string", "pattern": "^[A-Za-z0-9._~:/+=@|-]{1,128}$"});
    let short = json!({"type": "string", "minLength": 1, "maxLength": KEY_MAX_BYTES});
    json!({
        "kind": in_path("kind", "A resource type of R4.", json!({"type": "string", "enum": kinds})),
        "id": in_path("id", "The logical id.", json!({"type": "string", "pattern": "^[A-Za-z0-9.-]{1,64}$"})),
        "version": in_path("version", "The version.", json!({"type": "string", "pattern": "^[1-9][0-9]{0,9}$"})),
        "_format": query("_format", "Goes before Accept.", json!({"type": "string", "enum": ["json", "xml"]})),
        "_pretty": query("_pretty", "Whether the JSON is laid out for people.", json!({"type": "boolean"})),
        "_summary": query("_summary", "How much of it is given.", json!({"type": "string", "enum": ["true", "text", "data", "false"]})),
        "_elements": query("_elements", "The elements that are given, beside those that must be there.", json!({"type": "string"})),
        "_since": query("_since", "Only what was made then or later.", json!({"type": "string", "format": "date-time"})),
        "_count": query("_count", "So many on a page, 500 at the most.", json!({"type": "integer", "minimum": 1})),
        "_after": query("_after", "Where the page before ended. Stands in its link “next” and is not made up.", json!({"type": "string"})),
        "_page": query("_page", "A search that was asked in a body, from where a page of it ended. Stands in a link and nothing beside it.", json!({"type": "string"})),
        "mode": query("mode", "What the resource is held against.", json!({"type": "string", "enum": ["create", "update", "delete", "profile"]})),
        "profile": query("profile", "The canonical URL of a profile to hold it against.", json!({"type": "string", "minLength": 1})),
        "If-Match": {"name": "If-Match", "in": "header", "required": true, "schema": {"type": "string", "pattern": "^(W/)?\"[0-9]{1,9}\"$"},
                     "description": "The ETag of the version that this change was made from.", "example": "W/\"2\""},
        "If-Match-may": {"name": "If-Match", "in": "header", "schema": {"type": "string", "pattern": "^(W/)?\"[0-9]{1,9}\"$"},
                         "description": "The ETag of the version that this change was made from, where there is one."},
        "story-checked": header("story-checked", "Whether somebody has seen to it that nobody can be recognised in its practice stories.",
                                json!({"type": "string", "enum": ["true"]})),
        "status": query("status", "Only those in this status.", json!({"type": "string", "enum": proposal_statuses()})),
        "after": query("after", "Only those after the proposal with this id.", json!({"type": "string", "format": "uuid"})),
        "count": query("count", "So many, 200 at the most.", json!({"type": "integer", "minimum": 1})),
        "If-None-Match": header("If-None-Match", "The ETags that the client has: 304 if it is one of them.", json!({"type": "string"})),
        "If-Modified-Since": header("If-Modified-Since", "As of when the client has it: 304 if it has not changed since.", json!({"type": "string"})),
        "If-None-Exist": header("If-None-Exist", "By what this is known: sent again, it is not made anew.", short.clone()),
        "Idempotency-Key": header("Idempotency-Key", "The same, for who has no search to name it by.", short),
        "traceparent": header("traceparent", "W3C Trace Context; it travels with the referral.",
                              json!({"type": "string", "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"})),
        "Prefer-return": header("Prefer", "What is answered: nothing, the resource, or how it went.",
                                json!({"type": "string", "enum": ["return=minimal", "return=representation", "return=OperationOutcome"]})),
        "eventsSinceNumber": query("eventsSinceNumber", "From this event on.", json!({"type": "integer", "minimum": 0})),
        "eventsUntilNumber": query("eventsUntilNumber", "Up to this event.", json!({"type": "integer", "minimum": 0})),
        "content": query("content", "How much is said.", json!({"type": "string", "enum": ["empty", "id-only", "full-resource"]})),
        "Prefer-handling": header("Prefer", "Whether a parameter that is not known is refused (as without this), or left out and told.",
                                  json!({"type": "string", "enum": ["handling=strict", "handling=lenient"]})),
        "X-Request-ID": header("X-Request-ID", "The client's name for this request: given back, and logged. Instead of one in which an NHS number may stand, another is.", word.clone()),
        "X-Correlation-ID": header("X-Correlation-ID", "The client's name for what this request belongs to: given back, and logged. One in which an NHS number may stand is not.", word),
    })
}

/// How it can be with a proposal.
pub(super) fn proposal_statuses() -> Vec<&'static str> {
    ProposalStatus::ALL.iter().map(|status| status.code()).collect()
}

/// Something that could be sent.
fn example(kind: &str) -> Option<Value> {
    match kind {
        "ServiceRequest" => Some(json!({
            "resourceType": "ServiceRequest", "status": "active", "intent": "order", "priority": "routine",
            "identifier": [{"system": "https://epr.example/referral-id", "value": "R-1001"}],
            "code": {"coding": [{"system": "http://snomed.info/sct", "code": "871731000000106"}]},
            "subject": {"identifier": {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990606900"}},
            "authoredOn": "2026-03-02",
            "requester": {"identifier": {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": "N82999"}},
            "reasonCode": [{"text": "Debt worries affecting sleep."}],
        })),
        "Communication" => Some(json!({
            "resourceType": "Communication", "status": "completed",
            "basedOn": [{"reference": "ServiceRequest/0198b6a0-7c1e-7bd0-a5d1-000000000000"}],
            "payload": [{"contentString": "Which language does the person speak?"}],
        })),
        _ => None,
    }
}

fn example_patch(kind: &str) -> Value {
    match kind {
        "Task" => json!([{"op": "replace", "path": "/status", "value": "accepted"}]),
        _ => json!([{"op": "replace", "path": "/priority", "value": "urgent"}]),
    }
}

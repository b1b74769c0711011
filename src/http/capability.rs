//! What this interface can do, said truly (R4 CapabilityStatement).

use axum::extract::State;
use serde_json::{Value, json};

use super::{
    Shared,
    reply::{Answer, Reply},
    table::{Interaction, SERVED, Served},
};
use crate::{definitions::SearchKind, search::parameters};

/// When this statement last changed.
const DATE: &str = "2026-11-26";
/// `GET /fhir/metadata`
pub async fn metadata(State(app): State<Shared>) -> Answer {
    Ok(Reply::ok(statement(&app.base_url)))
}

fn resource(served: &Served, base_url: &str) -> Value {
    let kind = served.kind;
    let does = |interaction| served.interactions.contains(&interaction);
    let codes: Vec<Value> = served.interactions.iter().map(|it| json!({"code": it.code()})).collect();
    let parameters = parameters(kind)
        .map(|parameter| json!({"name": parameter.name, "definition": parameter.url, "type": parameter.kind.code()}));
    let mut told = json!({
        "type": kind,
        "documentation": served.documentation,
        "interaction": codes,
        "versioning": if does(Interaction::Update) { "versioned-update" } else { "versioned" },
        "readHistory": true,
        "conditionalRead": "not-match",
        "searchInclude": includes(kind),
        "searchRevInclude": revincludes(kind),
        "searchParam": parameters.collect::<Vec<_>>(),
    });
    if does(Interaction::Create) {
        told["conditionalCreate"] = true.into();
    }
    if does(Interaction::Update) {
        told["conditionalUpdate"] = true.into();
    }
    if kind == "Task" {
        told["operation"] = json!([{"name": "package",
            "definition": format!("{base_url}/fhir/OperationDefinition/Task-package"),
            "documentation": "GET Task/{id}/$package: the whole referral as a collection Bundle."}]);
    }
    told
}

/// What resources of this type can bring along.
fn includes(kind: &str) -> Vec<String> {
    let references = parameters(kind).filter(|parameter| parameter.kind == SearchKind::Reference);
    references.map(|parameter| format!("{kind}:{}", parameter.name)).collect()
}

/// What can be brought along that leads to resources of this type.
fn revincludes(kind: &str) -> Vec<String> {
    let leads = |targets: &[&str]| targets.contains(&kind) || targets.is_empty();
    let of = |served: &'static Served| {
        let references = parameters(served.kind).filter(|parameter| parameter.kind == SearchKind::Reference);
        references
            .filter(|parameter| leads(parameter.targets))
            .map(|parameter| format!("{}:{}", served.kind, parameter.name))
    };
    SERVED.iter().flat_map(of).collect()
}

fn statement(base_url: &str) -> Value {
    let resources: Vec<Value> = SERVED.iter().map(|served| resource(served, base_url)).collect();
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": DATE,
        "kind": "instance",
        "software": {"name": "Onward", "version": env!("CARGO_PKG_VERSION")},
        "implementation": {"description": "Carries referrals to providers and their answers back", "url": format!("{base_url}/fhir")},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "application/fhir+xml"],
        "patchFormat": super::patching::FORMATS,
        "rest": [{
            "mode": "server",
            "security": {"description": "A bearer token of a registered system or provider. Each sees only what it sent or what \
                                         was routed to it."},
            "resource": resources,
            "operation": [{"name": "validate",
                "definition": "http://hl7.org/fhir/OperationDefinition/Resource-validate",
                "documentation": "POST [type]/$validate for every type of R4: the resource, or Parameters with resource, mode and \
                                  profile. Held against R4, the profiles that it names and that are asked for, and the rules that \
                                  hold for the system that asks. With mode create also against what a referral must be."}],
            "interaction": [{"code": "transaction", "documentation": "A referral as a Bundle: POST and PUT entries with at \
                             least one ServiceRequest."},
                            {"code": "batch", "documentation": "Requests, done one after the other, each by itself."}],
        }],
    })
}

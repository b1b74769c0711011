//! What this interface can do, said truly (R4 CapabilityStatement).

use axum::extract::State;
use serde_json::{Value, json};

use super::{
    Shared,
    beside::{BESIDE, Deed, SYSTEM},
    reply::{Answer, Reply},
    table::{Interaction, SERVED, Served},
};
use crate::{
    definitions::SearchKind,
    directory::entry::profile,
    domain::EntryKind,
    fhir::task::CANONICAL,
    search::{CONTROLS, NEAR, parameters},
    subscriptions::TOPIC,
};

/// When this statement last changed.
const DATE: &str = "2026-11-26";

/// `GET /fhir/metadata`
pub async fn metadata(State(app): State<Shared>) -> Answer {
    Ok(Reply::ok(statement(&app.base_url, app.cors)))
}

fn resource(served: &Served) -> Value {
    let kind = served.kind;
    let does = |interaction| served.interactions.contains(&interaction);
    let codes: Vec<Value> = served.interactions.iter().map(|it| json!({"code": it.code()})).collect();
    let parameters = parameters(kind)
        .map(|parameter| json!({"name": parameter.name, "definition": parameter.url, "type": parameter.kind.code()}));
    let near = NEAR
        .iter()
        .filter(|near| near.of == kind)
        .map(|near| json!({"name": near.name, "definition": near.url, "type": "special", "documentation": near.told}));
    let mut told = json!({
        "type": kind,
        "documentation": served.documentation,
        "interaction": codes,
        "versioning": if does(Interaction::Update) { "versioned-update" } else { "versioned" },
        "readHistory": does(Interaction::Vread),
        "updateCreate": false,
        "conditionalRead": "full-support",
        "conditionalDelete": "not-supported",
        "searchParam": parameters.chain(near).collect::<Vec<_>>(),
    });
    if let Ok(kind) = kind.parse::<EntryKind>() {
        // every entry is held against it
        told["supportedProfile"] = json!([profile(kind)]);
    }
    for (name, list) in [("searchInclude", includes(kind)), ("searchRevInclude", revincludes(kind))] {
        // FHIR has no empty lists
        if !list.is_empty() {
            told[name] = list.into();
        }
    }
    if does(Interaction::Create) && kind != "Subscription" {
        told["conditionalCreate"] = true.into();
    }
    if kind == "Subscription" {
        told["extension"] = json!([{
            "url": "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/capabilitystatement-subscriptiontopic-canonical",
            "valueCanonical": TOPIC,
        }]);
    }
    if does(Interaction::Update) {
        // a PUT that says by a search what it is about
        let by_search = served.operations().any(|(it, _, below)| it == Interaction::Update && below.is_empty());
        told["conditionalUpdate"] = by_search.into();
    }
    let own = BESIDE.iter().filter(|beside| beside.path.starts_with(&format!("/fhir/{kind}/")));
    let operations: Vec<Value> = own.filter_map(|beside| operation(beside.deed)).collect();
    if !operations.is_empty() {
        told["operation"] = operations.into();
    }
    told
}

/// An operation of one type.
fn operation(deed: Deed) -> Option<Value> {
    const BACKPORT: &str = "http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition";
    Some(match deed {
        Deed::Package => json!({"name": "package",
            "definition": format!("{CANONICAL}/OperationDefinition/task-package"),
            "documentation": "GET Task/{id}/$package: the whole referral as a collection Bundle."}),
        Deed::SubscriptionStatus => json!({"name": "status",
            "definition": format!("{BACKPORT}/backport-subscription-status"),
            "documentation": "GET Subscription/{id}/$status: how it is with it."}),
        Deed::SubscriptionEvents => json!({"name": "events",
            "definition": format!("{BACKPORT}/backport-subscription-events"),
            "documentation": "GET Subscription/{id}/$events with eventsSinceNumber, eventsUntilNumber and content: what happened, \
                              sent or not."}),
        _ => return None,
    })
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

fn statement(base_url: &str, cors: bool) -> Value {
    let resources: Vec<Value> = SERVED.iter().map(resource).collect();
    let interactions: Vec<Value> =
        SYSTEM.iter().map(|(code, told)| json!({"code": code, "documentation": told})).collect();
    let controls = CONTROLS.iter().filter(|control| !control.name.contains(':'));
    let controls: Vec<Value> = controls
        .map(|control| json!({"name": control.name, "type": control.kind, "documentation": control.told}))
        .collect();
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
            // not SMART's extension oauth-uris: it must name where people are let in, and clients that find it let no other token through
            "security": {
                "cors": cors,
                "service": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                                         "code": "SMART-on-FHIR", "display": "SMART-on-FHIR"}],
                             "text": "SMART Backend Services: private_key_jwt by RS384 or ES384"}],
                "description": "An access token by SMART Backend Services, see /.well-known/smart-configuration; a token that was agreed \
                                on, or a client certificate. Each client sees only what it sent or what was routed to it, and of that \
                                what its scopes allow.",
            },
            "resource": resources,
            "operation": [{"name": "validate",
                "definition": "http://hl7.org/fhir/OperationDefinition/Resource-validate",
                "documentation": "POST [type]/$validate for every type of R4: the resource, or Parameters with resource, mode and \
                                  profile. Held against R4, the profiles that it names and that are asked for, and the rules that \
                                  hold for the system that asks. With mode create also against what a referral must be."}],
            "searchParam": controls,
            "interaction": interactions,
        }],
    })
}

//! What this interface can do, said truly (R4 CapabilityStatement).

use axum::extract::State;
use serde_json::{Value, json};

use super::{
    Shared,
    conversation::MESSAGE_PARAMETERS,
    reply::{Answer, Reply},
    search::{REQUEST_PARAMETERS, TASK_INCLUDES, TASK_PARAMETERS},
};

/// When this statement last changed.
const DATE: &str = "2026-11-25";
/// Types that are carried with a referral and read at their own URL.
const CARRIED: &[&str] = &[
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "Organization",
    "Consent",
    "QuestionnaireResponse",
    "DocumentReference",
    "Binary",
    "RelatedPerson",
    "Flag",
    "HealthcareService",
    "Observation",
    "Condition",
    "Encounter",
    "CarePlan",
    "Location",
    "Provenance",
];

/// `GET /fhir/metadata`
pub async fn metadata(State(app): State<Shared>) -> Answer {
    Ok(Reply::ok(statement(&app.base_url)))
}

fn parameters(list: &[(&str, &str)]) -> Vec<Value> {
    list.iter().map(|(name, kind)| json!({"name": name, "type": kind})).collect()
}

fn codes(list: &[&str]) -> Vec<Value> {
    list.iter().map(|code| json!({"code": code})).collect()
}

fn statement(base_url: &str) -> Value {
    let mut resources = vec![
        json!({
            "type": "ServiceRequest",
            "interaction": codes(&["create", "read", "vread", "history-instance", "update", "patch", "search-type"]),
            "versioning": "versioned-update", "conditionalCreate": true, "conditionalRead": "not-match",
            "searchParam": parameters(REQUEST_PARAMETERS),
            "documentation": "identifier is that by which the referral is known here (the placer's, else the first), \
                              as system|value. After sending, the system that referred changes it with If-Match: revoked cancels, or \
                              asks the provider to confirm that; entered-in-error retracts; other content goes to the provider. \
                              Subject, that identifier, and what would route it elsewhere stay.",
        }),
        json!({
            "type": "Communication",
            "interaction": codes(&["create", "read", "vread", "history-instance", "search-type"]),
            "versioning": "versioned", "conditionalCreate": true, "conditionalRead": "not-match",
            "searchParam": parameters(MESSAGE_PARAMETERS),
            "documentation": "A message of one side to the other, basedOn the ServiceRequest or about it or its Task. A provider's \
                              whose category or reasonCode is information-requested asks for more; a referrer's with inResponseTo \
                              answers. A search names the referral: based-on, about (not an R4 parameter, but the same) or _id.",
        }),
        json!({
            "type": "Task",
            "interaction": codes(&["read", "vread", "history-instance", "update", "patch", "search-type"]),
            "versioning": "versioned-update", "conditionalRead": "not-match",
            "searchParam": parameters(TASK_PARAMETERS), "searchInclude": TASK_INCLUDES,
            "operation": [{"name": "package",
                "definition": format!("{base_url}/fhir/OperationDefinition/Task-package"),
                "documentation": "GET Task/{id}/$package: the whole referral as a collection Bundle."}],
            "documentation": "A provider changes status, statusReason, businessStatus, note, output, executionPeriod, and its \
                              owner within its own organisation; If-Match is needed.",
        }),
    ];
    resources.extend(CARRIED.iter().map(|kind| {
        json!({"type": kind, "interaction": codes(&["read", "vread", "history-instance"]), "versioning": "versioned",
               "conditionalRead": "not-match"})
    }));
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": DATE,
        "kind": "instance",
        "software": {"name": "Onward", "version": env!("CARGO_PKG_VERSION")},
        "implementation": {"description": "Carries referrals to providers and their answers back", "url": format!("{base_url}/fhir")},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "application/fhir+xml"],
        "patchFormat": ["application/json-patch+json"],
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
                             least one ServiceRequest."}],
        }],
    })
}

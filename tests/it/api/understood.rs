//! What says that it is something else than a referral to be acted on is refused, and nothing that is carried is dropped.

use serde_json::{Value, json};

use super::{fixtures, hub, refused};
use hub::{GP, Hub};

fn with(change: impl Fn(&mut Value)) -> Value {
    let mut referral = fixtures::to_link_workers("understood");
    change(&mut referral);
    referral
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_order_to_act_is_not_delivered_as_one() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    for (element, value, code) in [
        ("status", json!("entered-in-error"), "business-rule"),
        ("status", json!("draft"), "business-rule"),
        ("intent", json!("proposal"), "business-rule"),
        ("doNotPerform", json!(true), "business-rule"),
        ("implicitRules", json!("https://rules.example"), "not-supported"),
        ("modifierExtension", json!([{"url": "https://x.example/not", "valueBoolean": true}]), "not-supported"),
    ] {
        let answer = gp.refer(&with(|r| r[element] = value.clone())).await;
        refused(&answer, 422, code, &format!("ServiceRequest.{element}"));
    }
    let long = gp.refer(&with(|r| r["identifier"][0]["value"] = "x".repeat(300).into())).await;
    refused(&long, 422, "value", "ServiceRequest.identifier[0].value");
    let forged = gp.refer(&with(|r| r["identifier"][0]["value"] = "A\n2026 forged".into())).await;
    refused(&forged, 422, "value", "ServiceRequest.identifier[0].value");
    assert_eq!(gp.refer(&with(|_| ())).await.status, 201);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_carried_is_refused_and_not_dropped() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    let request = ("urn:uuid:00000000-0000-4000-8000-000000000001", fixtures::to_link_workers("carried"));
    let beside = |resource: Value| {
        fixtures::bundle(&[request.clone(), ("urn:uuid:00000000-0000-4000-8000-000000000002", resource)]).to_string()
    };
    let task = beside(json!({"resourceType": "Task", "status": "completed", "intent": "order"}));
    let stray = beside(json!({"resourceType": "Patient", "name": [{"family": "Stray"}]}));
    for (bundle, code) in [(task, "not-supported"), (stray, "business-rule")] {
        let answer = gp.post("/fhir", "application/fhir+json", bundle).await;
        refused(&answer, 422, code, "Bundle.entry[1].resource");
    }
    hub.stop().await;
}

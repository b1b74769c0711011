//! What has to do with a referral is nothing to who keeps the directory, and what travels with one stays with its parties.

use super::*;
use crate::support::fixtures;
use hub::{GP, LINK_WORKERS, RIO};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_steward_sees_no_referral() {
    let hub = Hub::start().await;
    let (gp, anna) = (hub.sender(GP), hub.steward());
    let task = gp.refers(&fixtures::to_link_workers("unseen")).await;
    let own = hub.provider(LINK_WORKERS);
    hub.task_when(&own, &task, "listed", |t| t["meta"]["versionId"] == "2").await;
    let read = own.get(&task).await.json();
    let request = format!("/fhir/{}", read["focus"]["reference"].as_str().unwrap());
    let before = hub.rows();
    for url in [&task, &request] {
        for rest in ["", "/_history", "/_history/1"] {
            refused(&anna.get(&format!("{url}{rest}")).await, 404, "not-found", "%resource");
        }
    }
    refused(&anna.get(&format!("{task}/$package")).await, 404, "not-found", "%resource");
    for search in ["Task", "ServiceRequest", "Task?_include=Task:focus", "Patient", "Task/_history", "Communication"] {
        let answer = anna.get(&format!("/fhir/{search}")).await;
        assert_eq!(answer.status, 200, "{search}: {}", answer.describe());
        assert_eq!(resources(&answer.json()).len(), 0, "{search}");
    }
    let accept = json!([{"op": "replace", "path": "/status", "value": "accepted"}]);
    let patch = anna.call_to(Method::PATCH, &task).header("if-match", "W/\"2\"");
    refused(&anna.call(patch.json("application/json-patch+json", &accept)).await, 404, "not-found", "%resource");
    let said = json!({"resourceType": "Communication", "status": "completed", "basedOn": [{"reference": &request["/fhir/".len()..]}],
        "payload": [{"contentString": "x"}]});
    let answer = anna.method(Method::POST, "/fhir/Communication", &said).await;
    refused(&answer, 422, "not-found", "Communication.basedOn[0]");
    let answer = anna.method(Method::POST, "/fhir/ServiceRequest", &fixtures::to_link_workers("of-a-steward")).await;
    refused(&answer, 403, "forbidden", "http.Authorization");
    let subscription = json!({"resourceType": "Subscription", "status": "requested", "reason": "x", "criteria": "x",
        "channel": {"type": "rest-hook", "endpoint": "https://x.example"}});
    assert_eq!(anna.method(Method::POST, "/fhir/Subscription", &subscription).await.status, 404);
    assert_eq!(hub.rows(), before);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organisation_that_travels_with_a_referral_stays_with_it() {
    let hub = Hub::start().await;
    let (gp, anna) = (hub.sender(GP), hub.steward());
    let request = fixtures::to_link_workers("carried");
    let mut request = request;
    request["requester"] = refers("urn:uuid:01930000-0000-4000-8000-000000000001");
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
        {"fullUrl": "urn:uuid:01930000-0000-4000-8000-000000000002", "resource": request, "request": {"method": "POST", "url": "ServiceRequest"}},
        {"fullUrl": "urn:uuid:01930000-0000-4000-8000-000000000001",
         "resource": {"resourceType": "Organization", "name": "Brownlow Surgery", "active": true}, "request": {"method": "POST", "url": "Organization"}}]});
    let task = gp.refers(&bundle).await;
    let focus = gp.get(&task).await.json()["focus"]["reference"].as_str().unwrap().to_owned();
    let carried = gp.get(&format!("/fhir/{focus}")).await.json()["requester"]["reference"].as_str().unwrap().to_owned();
    let id = carried.rsplit('/').next().unwrap();
    assert_eq!(gp.get(&format!("/fhir/{carried}")).await.json()["name"], "Brownlow Surgery");
    assert_eq!(ids(&found(&gp, &format!("Organization?_id={id}")).await), [id]);
    let brought = found(
        &gp,
        &format!("ServiceRequest?_id={}&_include=ServiceRequest:requester", focus.rsplit('/').next().unwrap()),
    )
    .await;
    assert_eq!(resources(&brought).len(), 2);
    let others = [anna.clone(), (*hub.sender(RIO)).clone(), (*hub.provider(hub::LIFE_ROOMS)).clone()];
    for other in others {
        refused(&other.get(&format!("/fhir/{carried}")).await, 404, "not-found", "%resource");
        refused(&other.get(&format!("/fhir/{carried}/_history")).await, 404, "not-found", "%resource");
        assert_eq!(resources(&found(&other, &format!("Organization?_id={id}")).await).len(), 0);
    }
    for (_, actor) in everybody(&hub) {
        let all = found(&actor, "Organization?_count=500").await;
        assert!(!ids(&all).contains(&id.to_owned()), "a search gives entries of the directory");
        assert_eq!(resources(&found(&actor, "Organization?name=Brownlow").await).len(), 0);
    }
    // nor does it become an entry by being written
    let mut body = gp.get(&format!("/fhir/{carried}")).await.json();
    body["name"] = "Mine".into();
    refused(&put(&anna, &format!("/fhir/{carried}"), None, &body).await, 404, "not-found", "%resource");
    let refers_to_it = service("x", json!({"providedBy": refers(&carried)}));
    let answer = anna.method(Method::POST, "/fhir/HealthcareService", &refers_to_it).await;
    refused(&answer, 422, "not-found", "HealthcareService.providedBy.reference");
    hub.stop().await;
}

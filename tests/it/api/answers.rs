//! Answers of a provider that are not taken: each says why, and changes nothing.

use hyper::Method;
use serde_json::{Value, json};

use super::{fixtures, hub, refused};
use crate::support::hub::Provider;
use hub::{GP, Hub, LINK_WORKERS};

/// A Task in the worklist of the link workers; its ETag is `W/"2"`.
async fn listed(hub: &Hub, number: &str) -> (Provider, String, Value) {
    let task = hub.sender(GP).refers(&fixtures::to_link_workers(number)).await;
    let provider = hub.provider(LINK_WORKERS);
    let read = hub.task_when(&provider, &task, "listed", |t| t["meta"]["versionId"] == "2").await;
    (provider, task, read)
}

fn replace(path: &str, value: impl Into<Value>) -> Value {
    json!([{"op": "replace", "path": path, "value": value.into()}])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_illegal_transition_names_what_is_allowed() {
    let hub = Hub::start().await;
    let (provider, task, read) = listed(&hub, "illegal").await;
    let before = hub.rows();
    let told = refused(
        &provider.patch(&task, "W/\"2\"", &replace("/status", "completed")).await,
        422,
        "business-rule",
        "Task.status",
    );
    for allowed in ["received", "accepted", "rejected"] {
        assert!(told.contains(allowed), "{told}");
    }
    let mut wanted = read.clone();
    wanted["status"] = "in-progress".into();
    refused(&provider.put(&task, "W/\"2\"", &wanted).await, 422, "business-rule", "Task.status");
    let told = refused(
        &provider.patch(&task, "W/\"2\"", &replace("/status", "rejected")).await,
        422,
        "required",
        "Task.statusReason",
    );
    assert!(told.contains("rejected"), "{told}");
    refused(&provider.patch(&task, "W/\"2\"", &replace("/status", "done")).await, 400, "code-invalid", "Task.status");
    assert_eq!(hub.rows(), before);
    // what has ended has ended
    let reason = json!([{"op": "replace", "path": "/status", "value": "rejected"},
                        {"op": "add", "path": "/statusReason", "value": {"text": "full"}}]);
    assert_eq!(provider.patch(&task, "W/\"2\"", &reason).await.status, 200);
    let told = refused(&provider.set(&task, "accepted").await, 422, "business-rule", "Task.status");
    assert!(told.contains("rejected"), "{told}");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_names_the_version_it_was_made_from() {
    let hub = Hub::start().await;
    let (provider, task, read) = listed(&hub, "version").await;
    let accept = replace("/status", "accepted");
    let call = |method: Method| provider.call_to(method, &task);
    let without = provider.call(call(Method::PATCH).json("application/json-patch+json", &accept)).await;
    refused(&without, 428, "required", "http.If-Match");
    let without = provider.call(call(Method::PUT).json("application/fhir+json", &read)).await;
    refused(&without, 428, "required", "http.If-Match");
    for bad in ["2", "W/\"two\"", "\"\"", "*"] {
        refused(&provider.patch(&task, bad, &accept).await, 400, "value", "http.If-Match");
    }
    for not_yet in ["W/\"3\"", "W/\"999999\""] {
        refused(&provider.patch(&task, not_yet, &accept).await, 412, "conflict", "Task.meta.versionId");
    }
    let accepted = provider.patch(&task, "W/\"2\"", &accept).await;
    assert_eq!(accepted.status, 200, "{}", accepted.describe());
    let now = accepted.header("etag").unwrap().to_owned();
    assert_ne!(now, "W/\"2\"");
    let before = hub.rows();
    for stale in ["W/\"1\"", "W/\"2\"", "\"2\""] {
        let told = refused(
            &provider.patch(&task, stale, &replace("/status", "in-progress")).await,
            412,
            "conflict",
            "Task.meta.versionId",
        );
        assert!(told.contains(now.trim_matches(['W', '/', '"'])), "{told} does not name {now}");
        refused(&provider.put(&task, stale, &read).await, 412, "conflict", "Task.meta.versionId");
    }
    assert_eq!(hub.rows(), before);
    assert_eq!(provider.get(&task).await.header("etag"), Some(&*now));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patch_that_is_none_or_does_not_fit_is_refused() {
    let hub = Hub::start().await;
    let (provider, task, _) = listed(&hub, "patch").await;
    let before = hub.rows();
    let cases = [
        (json!({"op": "replace"}), 400, "structure", "Task"),
        (json!([{"op": "upset", "path": "/status", "value": "accepted"}]), 400, "structure", "Task"),
        (json!([{"op": "replace", "path": "status", "value": "accepted"}]), 400, "structure", "Task"),
        (json!([{"op": "add", "path": "/status"}]), 400, "structure", "Task"),
        (json!([{"op": "remove", "path": "/output/0"}]), 422, "processing", "Task.output[0]"),
        (json!([{"op": "test", "path": "/status", "value": "accepted"}]), 422, "conflict", "Task.status"),
        (json!(vec![json!({"op": "test", "path": "/intent", "value": "order"}); 101]), 422, "too-costly", "Task"),
        (
            json!([{"op": "replace", "path": "/focus/reference", "value": "ServiceRequest/1"}]),
            422,
            "business-rule",
            "Task.focus",
        ),
        (json!([{"op": "remove", "path": "/status"}]), 400, "required", "Task.status"),
        (json!([{"op": "add", "path": "/note", "value": "words"}]), 400, "structure", "Task.note"),
    ];
    for (patch, status, code, expression) in cases {
        println!("{patch}");
        refused(&provider.patch(&task, "W/\"2\"", &patch).await, status, code, expression);
    }
    let call = |method: Method| provider.call_to(method, &task).header("if-match", "W/\"2\"");
    let broken = provider.call(call(Method::PATCH).bytes("application/json-patch+json", "[{".into())).await;
    assert_eq!(super::issues(&broken, 400)[0]["code"], "structure");
    // a PATCH is a patch, a PUT a Task
    let task_of_it = json!({"resourceType": "Task", "status": "accepted"});
    let fhir = provider.call(call(Method::PATCH).json("application/fhir+json", &task_of_it)).await;
    refused(&fhir, 400, "structure", "%resource");
    let other = provider.call(call(Method::PATCH).json("application/xml-patch+xml", &json!({}))).await;
    refused(&other, 415, "not-supported", "http.Content-Type");
    let taken = "application/fhir+json, application/fhir+xml, application/json-patch+json";
    assert_eq!(other.header("accept-patch"), Some(taken));
    let patch = provider.call(call(Method::PUT).json("application/json-patch+json", &json!([]))).await;
    refused(&patch, 415, "not-supported", "http.Content-Type");
    assert_eq!(hub.rows(), before);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_the_providers_stays_as_it_is() {
    let hub = Hub::start().await;
    let (provider, task, read) = listed(&hub, "elements").await;
    let before = hub.rows();
    let cases = [
        ("focus", json!({"reference": "ServiceRequest/other"})),
        ("for", json!({"identifier": {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990471134"}})),
        ("intent", json!("plan")),
        ("priority", json!("stat")),
        ("authoredOn", json!("2020-01-01")),
        ("requester", json!({"display": "somebody else"})),
        ("identifier", json!([{"system": "urn:ietf:rfc:3986", "value": "urn:uuid:0"}])),
        ("partOf", json!([{"reference": "Task/1"}])),
        ("restriction", json!({"repetitions": 1})),
        ("owner", json!({"reference": "Organization/life-rooms"})),
    ];
    for (element, value) in cases {
        let mut wanted = read.clone();
        wanted["status"] = "accepted".into();
        wanted[element] = value;
        let answer = provider.put(&task, "W/\"2\"", &wanted).await;
        refused(&answer, 422, "business-rule", &format!("Task.{element}"));
    }
    let mut other = read.clone();
    other["id"] = uuid::Uuid::now_v7().to_string().into();
    refused(&provider.put(&task, "W/\"2\"", &other).await, 400, "invalid", "Task.id");
    let answer = provider.put(&task, "W/\"2\"", &json!({"resourceType": "Patient", "id": read["id"]})).await;
    refused(&answer, 400, "invalid", "Task");
    assert_eq!(hub.rows(), before);
    assert_eq!(provider.get(&task).await.json(), read);
    hub.stop().await;
}

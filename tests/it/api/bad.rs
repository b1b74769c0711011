//! Bad input: the right status and words, nothing stored, and it lives.

use serde_json::Value;

use super::{fixtures, hub, issues, refused, resources};
use hub::{GP, Hub, RIO, WARD};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_fixture_is_refused_as_it_must_be_and_nothing_is_stored() {
    let hub = Hub::start().await;
    let empty = hub.rows();
    let cases = fixtures::json("bad/expected.json");
    let cases = cases.as_array().unwrap();
    assert!(cases.len() > 30);
    for case in cases {
        let text = |name: &str| case[name].as_str().unwrap_or_default();
        let (file, content_type) = (text("file"), text("content-type"));
        let content_type = if content_type.ends_with("xml") { "application/fhir+xml" } else { "application/fhir+json" };
        let sender = hub.sender(text("system"));
        let body = fixtures::bytes(&format!("bad/{file}"));
        let answer = sender.post(text("post-to"), content_type, body).await;
        println!("{file}: {}", answer.describe());
        let status = u16::try_from(case["status"].as_u64().unwrap()).unwrap();
        let found = issues(&answer, status);
        let also = case["also"].as_array().cloned().unwrap_or_default();
        for wanted in std::iter::once(case).chain(&also) {
            let is_it = |issue: &&Value| {
                issue["code"] == wanted["code"]
                    && (wanted["expression"].is_null() || issue["expression"][0] == wanted["expression"])
            };
            assert!(found.iter().any(|i| is_it(&i)), "{file}: {wanted} is not among {found:?}");
        }
        assert_eq!(hub.rows(), empty, "{file} left something in the store");
    }
    for system in [RIO, GP, WARD] {
        for kind in ["ServiceRequest", "Task"] {
            let found = hub.sender(system).get(&format!("/fhir/{kind}")).await.json();
            assert_eq!(resources(&found).len(), 0, "{found}");
        }
    }
    // it lives
    assert_eq!(hub.actor(None).get("/health/live").await.status, 200);
    assert_eq!(hub.sender(GP).refer(&fixtures::to_link_workers("lives")).await.status, 201);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nesting_has_an_end_in_both_formats() {
    let hub = Hub::start().await;
    let empty = hub.rows();
    let rio = hub.sender(RIO);
    for depth in [100, 5_000, 200_000] {
        let json = format!("{{\"resourceType\":\"ServiceRequest\",\"extension\":{}", "[".repeat(depth));
        let answer = rio.post("/fhir/ServiceRequest", "application/fhir+json", json).await;
        assert_eq!(issues(&answer, 400)[0]["code"], "too-costly");
        let open = "<extension url=\"u\">".repeat(depth);
        let xml = format!("<ServiceRequest xmlns=\"http://hl7.org/fhir\">{open}");
        let answer = rio.post("/fhir/ServiceRequest", "application/fhir+xml", xml).await;
        issues(&answer, 400);
    }
    assert_eq!(hub.rows(), empty);
    assert_eq!(rio.refer(&fixtures::to_life_rooms("lives")).await.status, 201);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_with_too_many_entries_is_too_large() {
    let hub = Hub::build().limits("bundle-entries = 3").start().await;
    let flag = serde_json::json!({"resourceType": "Flag", "status": "active"});
    let bundle = fixtures::bundle(&[
        ("urn:uuid:1", flag.clone()),
        ("urn:uuid:2", flag.clone()),
        ("urn:uuid:3", flag.clone()),
        ("urn:uuid:4", flag),
    ]);
    refused(&hub.sender(RIO).refer(&bundle).await, 413, "too-costly", "Bundle.entry");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn formats_that_are_not_spoken_are_named() {
    let hub = Hub::start().await;
    let empty = hub.rows();
    let rio = hub.sender(RIO);
    let body = || fixtures::to_life_rooms("format").to_string();
    for wrong in ["text/plain", "application/fhir+json; fhirVersion=3.0", "application/json; charset=latin1", "x"] {
        refused(&rio.post("/fhir/ServiceRequest", wrong, body()).await, 415, "not-supported", "http.Content-Type");
    }
    for wrong in ["text/html", "application/fhir+turtle", "application/fhir+json;q=0"] {
        let call = rio.call_to(hyper::Method::POST, "/fhir/ServiceRequest").header("accept", wrong);
        let answer = rio.call(call.bytes("application/fhir+json", body().into())).await;
        refused(&answer, 406, "not-supported", "http.Accept");
    }
    let answer = rio.post("/fhir/ServiceRequest?_format=ttl", "application/fhir+json", body()).await;
    refused(&answer, 406, "not-supported", "http.Accept");
    // what cannot be answered is not done either
    assert_eq!(hub.rows(), empty);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_says_so_as_fhir() {
    let hub = Hub::start().await;
    let rio = hub.sender(RIO);
    let nobody = uuid::Uuid::now_v7();
    let paths = [
        "/",
        "/fhir/Nonsense/1",
        "/fhir/Nonsense",
        "/fhir/Patient/1/x/y",
        "/fhir/Task/1",
        "/else",
        "/fhir/Patient/%FF",
    ];
    let mut paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
    for rest in ["", "/_history", "/_history/1", "/$package"] {
        paths.push(format!("/fhir/Task/{nobody}{rest}"));
    }
    paths.extend([format!("/fhir/Patient/{nobody}"), format!("/fhir/ServiceRequest/{nobody}/_history/1")]);
    for path in paths {
        let answer = rio.get(&path).await;
        let status = if path.contains("%FF") { 400 } else { 404 };
        issues(&answer, status);
    }
    for (method, path) in [
        ("DELETE", format!("/fhir/Task/{nobody}")),
        ("POST", "/fhir/Task".to_owned()),
        ("PUT", "/fhir/Patient/1".to_owned()),
        ("GET", "/fhir".to_owned()),
        ("PATCH", "/fhir/Patient/1".to_owned()),
        ("BREW", "/fhir/metadata".to_owned()),
    ] {
        let method = hyper::Method::from_bytes(method.as_bytes()).unwrap();
        let answer = rio.method(method, &path, &Value::Null).await;
        refused(&answer, 405, "not-supported", "%resource");
        assert!(answer.header("allow").is_some(), "405 without Allow at {path}");
    }
    hub.stop().await;
}

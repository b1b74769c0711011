//! Who may see and do what, everywhere it could leak.

use serde_json::{Value, json};

use super::{fixtures, hub, ids, query, refused, resources};
use hub::{Actor, GP, HOUSING, Hub, LIFE_ROOMS, LINK_WORKERS, RIO, TRIAGE, WARD};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_without_a_known_token_gets_in() {
    let hub = Hub::start().await;
    let empty = hub.rows();
    let referral = fixtures::to_link_workers("token");
    let strangers: [(Actor, &str); 2] =
        [(hub.actor(None), "login"), (hub.actor(Some("a-token-nobody-gave-out")), "security")];
    for (stranger, code) in strangers {
        for path in ["/fhir/Task", "/fhir/ServiceRequest", "/fhir/Patient/1", "/fhir/Task/1", "/fhir/Task/1/$package"] {
            let answer = stranger.get(path).await;
            refused(&answer, 401, code, "http.Authorization");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
        for (method, path) in [("POST", "/fhir"), ("POST", "/fhir/ServiceRequest"), ("PUT", "/fhir/Task/1")] {
            let method = hyper::Method::from_bytes(method.as_bytes()).unwrap();
            refused(&stranger.method(method, path, &referral).await, 401, code, "http.Authorization");
        }
        // what says nothing of anybody is for all
        assert_eq!(stranger.get("/fhir/metadata").await.status, 200);
    }
    let basic = hub.actor(None);
    let call = basic.call_to(hyper::Method::GET, "/fhir/Task").header("authorization", "Basic YTpi");
    refused(&basic.call(call).await, 401, "login", "http.Authorization");
    assert_eq!(hub.rows(), empty);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_of_others_is_not_there() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    let task = gp.refers(&fixtures::to_link_workers("hidden")).await;
    let own = hub.provider(LINK_WORKERS);
    hub.task_when(&own, &task, "listed", |t| t["meta"]["versionId"] == "2").await;
    let read = own.get(&task).await.json();
    let request = read["focus"]["reference"].as_str().unwrap().to_owned();
    let id = read["id"].as_str().unwrap().to_owned();
    let others: Vec<Actor> = [hub.sender(RIO), hub.sender(WARD)]
        .map(|s| (*s).clone())
        .into_iter()
        .chain([LIFE_ROOMS, HOUSING, TRIAGE].map(|p| (*hub.provider(p)).clone()))
        .collect();
    let before = hub.rows();
    for other in others {
        let absent = format!("/fhir/Task/{}", uuid::Uuid::now_v7());
        for rest in ["", "/_history", "/_history/1", "/$package"] {
            let (here, nowhere) =
                (other.get(&format!("{task}{rest}")).await, other.get(&format!("{absent}{rest}")).await);
            refused(&here, 404, "not-found", "%resource");
            assert_eq!(here.body, nowhere.body, "it can be told from one that is not there");
        }
        let patch = json!([{"op": "replace", "path": "/status", "value": "accepted"}]);
        let patching = other.call_to(hyper::Method::PATCH, &task).header("if-match", "W/\"1\"");
        refused(&other.call(patching.json("application/json-patch+json", &patch)).await, 404, "not-found", "%resource");
        let putting = other.call_to(hyper::Method::PUT, &task).header("if-match", "W/\"1\"");
        refused(&other.call(putting.json("application/fhir+json", &read)).await, 404, "not-found", "%resource");
        refused(&other.get(&format!("/fhir/{request}")).await, 404, "not-found", "%resource");
        refused(&other.get(&format!("/fhir/{request}/_history")).await, 404, "not-found", "%resource");
        let searches = [
            query(&[("_id", &id)]),
            query(&[("focus", &request)]),
            query(&[("owner", "Organization/link-workers"), ("_include", "Task:focus"), ("_include", "Task:patient")]),
            query(&[("identifier", &format!("urn:ietf:rfc:3986|urn:uuid:{id}"))]),
            String::new(),
        ];
        for search in searches {
            let found = other.get(&format!("/fhir/Task{search}")).await;
            assert_eq!(found.status, 200);
            assert_eq!(resources(&found.json()).len(), 0, "{search}");
        }
        let number = query(&[("identifier", "https://brownlow-gp.example/referral-id|hidden")]);
        assert_eq!(resources(&other.get(&format!("/fhir/ServiceRequest{number}")).await.json()).len(), 0);
    }
    assert_eq!(hub.rows(), before);
    // the control: those entitled do find it
    for one in [&*gp as &Actor, &own] {
        for rest in ["", "/_history", "/_history/1", "/$package"] {
            assert_eq!(one.get(&format!("{task}{rest}")).await.status, 200, "{rest}");
        }
        let found = one.get(&format!("/fhir/Task{}", query(&[("focus", &request), ("_include", "Task:focus")]))).await;
        assert_eq!(ids(&found.json()), [id.clone(), request.split_once('/').unwrap().1.to_owned()]);
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_include_brings_nothing_of_others() {
    let hub = Hub::start().await;
    // one Bundle, one person, two providers
    let answer = hub.sender(GP).refer(&fixtures::json("referrals/05-two-referrals.json")).await;
    assert_eq!(answer.status, 200, "{}", answer.describe());
    let search = query(&[("_include", "Task:focus"), ("_include", "Task:patient")]);
    for (provider, own) in [(LINK_WORKERS, "BG-44055-A"), (HOUSING, "BG-44055-B")] {
        let found = hub.provider(provider).get(&format!("/fhir/Task{search}")).await.json();
        let kinds: Vec<&str> = resources(&found).iter().map(|r| r["resourceType"].as_str().unwrap()).collect();
        assert_eq!(kinds.iter().filter(|k| **k == "Task").count(), 1, "{provider}");
        assert_eq!(kinds.iter().filter(|k| **k == "Patient").count(), 1, "{provider}");
        let numbers: Vec<&Value> = resources(&found)
            .into_iter()
            .filter(|r| r["resourceType"] == "ServiceRequest")
            .map(|r| &r["identifier"][0]["value"])
            .collect();
        assert_eq!(numbers, [own]);
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_system_does_not_answer_and_a_provider_does_not_refer() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    let task = gp.refers(&fixtures::to_link_workers("roles")).await;
    let read = hub.task_when(&gp, &task, "listed", |t| t["meta"]["versionId"] == "2").await;
    let before = hub.rows();
    let patch = json!([{"op": "replace", "path": "/status", "value": "accepted"}]);
    let patching = gp.call_to(hyper::Method::PATCH, &task).header("if-match", "W/\"2\"");
    refused(&gp.call(patching.json("application/json-patch+json", &patch)).await, 403, "forbidden", "Task");
    let putting = gp.call_to(hyper::Method::PUT, &task).header("if-match", "W/\"2\"");
    refused(&gp.call(putting.json("application/fhir+json", &read)).await, 403, "forbidden", "Task");
    for provider in [LIFE_ROOMS, LINK_WORKERS] {
        let provider = hub.provider(provider);
        let one = fixtures::to_link_workers("by a provider").to_string();
        let answer = provider.post("/fhir/ServiceRequest", "application/fhir+json", one).await;
        refused(&answer, 403, "forbidden", "http.Authorization");
        let bundle = fixtures::bytes("referrals/03-full-bundle.json");
        let answer = provider.post("/fhir", "application/fhir+json", bundle).await;
        refused(&answer, 403, "forbidden", "http.Authorization");
    }
    assert_eq!(hub.rows(), before);
    hub.stop().await;
}

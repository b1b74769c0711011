//! Scopes held against every interaction with every type that is served, as the CapabilityStatement names them: none is listed by hand.

use std::collections::BTreeSet;

use hyper::Method;
use serde_json::{Value, json};

use super::{Signer, hub_of, token};
use crate::support::{
    fixtures,
    hub::{Actor, Hub, LIFE_ROOMS, RIO, token_of},
};

/// How an interaction is asked for, below its type, and which letters it takes of that type (SMART App Launch 2.2). The ids are nobody's.
fn requests(code: &str) -> Vec<(Method, &'static str, &'static str)> {
    match code {
        "read" => vec![(Method::GET, "/0198b6a0-7c1e-7bd0-a5d1-000000000000", "r")],
        "vread" => vec![(Method::GET, "/0198b6a0-7c1e-7bd0-a5d1-000000000000/_history/1", "r")],
        "history-instance" => vec![(Method::GET, "/0198b6a0-7c1e-7bd0-a5d1-000000000000/_history", "r")],
        "history-type" => vec![(Method::GET, "/_history", "s")],
        "search-type" => vec![(Method::GET, "?_count=0", "s"), (Method::POST, "/_search", "s")],
        "create" => vec![(Method::POST, "", "c")],
        "update" => vec![(Method::PUT, "/0198b6a0-7c1e-7bd0-a5d1-000000000000", "u")],
        "patch" => vec![(Method::PATCH, "/0198b6a0-7c1e-7bd0-a5d1-000000000000", "u")],
        "delete" => vec![(Method::DELETE, "/0198b6a0-7c1e-7bd0-a5d1-000000000000", "d")],
        other => panic!("{other} is an interaction that this test does not know"),
    }
}

/// What can be asked: of which type, how, and what must be granted.
type Asked = (String, Method, String, Vec<(String, char)>);

/// All that there is.
fn all(statement: &Value) -> Vec<Asked> {
    let mut all = Vec::new();
    for resource in statement["rest"][0]["resource"].as_array().unwrap() {
        let kind = resource["type"].as_str().unwrap();
        for interaction in resource["interaction"].as_array().unwrap() {
            let code = interaction["code"].as_str().unwrap();
            for (method, below, letters) in requests(code) {
                let mut needs: Vec<(String, char)> = letters.chars().map(|letter| (kind.to_owned(), letter)).collect();
                // who has itself told of Tasks reads them
                if kind == "Subscription" && matches!(code, "create" | "update") {
                    needs.push(("Task".to_owned(), 'r'));
                }
                all.push((kind.to_owned(), method.clone(), format!("/fhir/{kind}{below}"), needs.clone()));
                // by a search instead of an id
                if below.contains("0198b6a0")
                    && resource["conditionalUpdate"] == true
                    && matches!(code, "update" | "patch")
                {
                    needs.push((kind.to_owned(), 's'));
                    // which refers where it finds none
                    if code == "update" && kind == "ServiceRequest" {
                        needs.push((kind.to_owned(), 'c'));
                    }
                    all.push((kind.to_owned(), method, format!("/fhir/{kind}?identifier=a|b"), needs));
                }
            }
        }
    }
    all
}

async fn is_beyond(actor: &Actor, method: &Method, path: &str) -> bool {
    let answer = if path.ends_with("_search") {
        actor.post(path, "application/x-www-form-urlencoded", "_count=0").await
    } else if *method == Method::GET || *method == Method::DELETE {
        actor.call(actor.call_to(method.clone(), path)).await
    } else {
        let kind = path["/fhir/".len()..].split(['/', '?']).next().unwrap();
        actor.method(method.clone(), path, &json!({"resourceType": kind})).await
    };
    assert_ne!(answer.status, 401, "{method} {path}");
    assert!(!answer.status.is_server_error(), "{method} {path}: {}", answer.describe());
    let told = answer.header("www-authenticate").unwrap_or_default().to_owned();
    let beyond = told.contains("insufficient_scope");
    if beyond {
        assert_eq!(answer.status, 403, "{method} {path}");
        let outcome = answer.json();
        assert_eq!(outcome["issue"][0]["code"], "forbidden", "{outcome}");
        let scope = told.split("scope=\"").nth(1).unwrap().trim_end_matches('"');
        assert!(outcome["issue"][0]["diagnostics"].as_str().unwrap().contains(scope), "{outcome} names {scope}");
    }
    beyond
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_letter_allows_its_interactions_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let signer = Signer::es384("k");
    let hub = hub_of(Hub::build(), folder.path(), &signer, &[]).await;
    let all = all(&hub.actor(None).get("/fhir/metadata").await.json());
    assert!(all.len() > 150, "{}", all.len());
    let before = hub.rows();
    for letter in "cruds".chars() {
        let token = token(&hub, &signer, &format!("system/*.{letter}")).await;
        let actor = hub.actor(Some(&token));
        for (_, method, path, needs) in &all {
            let expected = needs.iter().any(|(_, needed)| *needed != letter);
            assert_eq!(is_beyond(&actor, method, path).await, expected, "{letter}: {method} {path}");
        }
    }
    let mut after = hub.rows();
    for kept in ["access_token", "assertion_used", "secret"] {
        after.insert(kept.to_owned(), before[kept]);
    }
    assert_eq!(after, before);
    hub.stop().await;
}

/// What would be said of a resource is for who may write such, by itself or with a referral.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_be_said_of_a_resource_is_for_who_may_write_it() {
    let folder = tempfile::tempdir().unwrap();
    let signer = Signer::es384("k");
    let hub = hub_of(Hub::build(), folder.path(), &signer, &[]).await;
    for (scope, kind, beyond) in [
        ("system/*.rs", "ServiceRequest", true),
        ("system/Task.u", "ServiceRequest", true),
        ("system/Patient.rs", "Patient", true),
        ("system/Task.u", "Task", false),
        ("system/ServiceRequest.c", "ServiceRequest", false),
        ("system/ServiceRequest.c", "Patient", false),
        ("system/ServiceRequest.c", "Bundle", false),
        ("system/HealthcareService.u", "HealthcareService", false),
    ] {
        let actor = hub.actor(Some(&token(&hub, &signer, scope).await));
        let path = format!("/fhir/{kind}/$validate");
        assert_eq!(is_beyond(&actor, &Method::POST, &path).await, beyond, "{scope}: {path}");
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_type_allows_itself_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let signer = Signer::es384("k");
    let hub = hub_of(Hub::build(), folder.path(), &signer, &[]).await;
    let all = all(&hub.actor(None).get("/fhir/metadata").await.json());
    let kinds: BTreeSet<&String> = all.iter().map(|(kind, ..)| kind).collect();
    // by each bit of a type's number two halves: any two types are apart in one of them
    for bit in 0..6 {
        for side in [0, 1] {
            let granted: BTreeSet<&String> = kinds
                .iter()
                .enumerate()
                .filter(|(number, _)| number >> bit & 1 == side)
                .map(|(_, kind)| *kind)
                .collect();
            if granted.is_empty() {
                continue;
            }
            let scopes: Vec<String> = granted.iter().map(|kind| format!("system/{kind}.cruds")).collect();
            let actor = hub.actor(Some(&token(&hub, &signer, &scopes.join(" ")).await));
            for (kind, method, path, needs) in &all {
                let expected = needs.iter().any(|(needed, _)| !granted.contains(needed));
                assert_eq!(is_beyond(&actor, method, path).await, expected, "{kind} of {granted:?}: {method} {path}");
            }
        }
    }
    hub.stop().await;
}

/// What a search looks into and brings along is in `searches.rs`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_given_or_told_beside_that_is_not_granted() {
    let folder = tempfile::tempdir().unwrap();
    let signer = Signer::es384("k");
    let hub = hub_of(Hub::build(), folder.path(), &signer, &[]).await;
    let all = hub.actor(Some(&token(&hub, &signer, "system/*.cruds").await));
    let sent = all.method(Method::POST, "/fhir", &fixtures::json("referrals/03-full-bundle.json")).await;
    assert_eq!(sent.status, 200, "{}", sent.describe());
    let task = sent.links("monitor")[0].clone();
    let some = hub.actor(Some(&token(&hub, &signer, "system/Task.rs system/ServiceRequest.r").await));
    // who may only write is not told what there is already
    let writes = hub.actor(Some(&token(&hub, &signer, "system/ServiceRequest.c").await));
    for (condition, expected) in [(Some("identifier=a|b"), 403), (None, 201)] {
        let call = writes.call_to(Method::POST, "/fhir/ServiceRequest");
        let call = call.json("application/fhir+json", &fixtures::to_life_rooms("writes"));
        let call = condition.into_iter().fold(call, |call, search| call.header("if-none-exist", search));
        assert_eq!(writes.call(call).await.status.as_u16(), expected, "{condition:?}");
    }
    // the whole of a referral is given whole or not at all
    assert_eq!(all.get(&format!("{task}/$package")).await.status, 200);
    assert_eq!(some.get(&format!("{task}/$package")).await.status, 403);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_entry_of_a_bundle_must_be_granted() {
    let folder = tempfile::tempdir().unwrap();
    let signer = Signer::es384("k");
    let hub = hub_of(Hub::build(), folder.path(), &signer, &[]).await;
    let some = hub.actor(Some(&token(&hub, &signer, "system/ServiceRequest.cs system/Task.s").await));
    let transaction = fixtures::json("referrals/03-full-bundle.json");
    let refused = some.method(Method::POST, "/fhir", &transaction).await;
    assert_eq!(refused.status, 403, "{}", refused.describe());
    let get = |url: &str| json!({"request": {"method": "GET", "url": url}});
    let batch = json!({"resourceType": "Bundle", "type": "batch",
        "entry": [get("Task"), get("ServiceRequest"), get("Patient?_id=1"), get("Task/0198b6a0-7c1e-7bd0-a5d1-000000000000")]});
    let answer = some.method(Method::POST, "/fhir", &batch).await;
    assert_eq!(answer.status, 200, "{}", answer.describe());
    let statuses: Vec<String> = answer.json()["entry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["response"]["status"].as_str().unwrap()[..3].to_owned())
        .collect();
    assert_eq!(statuses, ["200", "200", "403", "403"]);
    assert_eq!(hub.rows()["referral"], 0);
    let all = hub.actor(Some(&token(&hub, &signer, "system/*.cu").await));
    let accepted = all.method(Method::POST, "/fhir", &transaction).await;
    assert_eq!(accepted.status, 200, "{}", accepted.describe());
    hub.stop().await;
}

/// What a client has said to be its scopes holds whatever it shows; one that says nothing may by its token whatever one of its kind may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_the_configuration_is_held_to_the_scopes_of_its_client() {
    let hub = Hub::build().rio("scopes = [\"system/Task.rs\"]").start().await;
    let all = all(&hub.actor(None).get("/fhir/metadata").await.json());
    let (rio, provider) = (hub.actor(Some(&token_of(RIO))), hub.actor(Some(&token_of(LIFE_ROOMS))));
    for (_, method, path, needs) in &all {
        let expected = needs.iter().any(|(kind, letter)| kind != "Task" || !"rs".contains(*letter));
        assert_eq!(is_beyond(&rio, method, path).await, expected, "{method} {path}");
        assert!(!is_beyond(&provider, method, path).await, "{method} {path}");
    }
    hub.stop().await;
}

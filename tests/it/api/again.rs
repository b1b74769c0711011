//! The same again: one referral, whatever way it comes twice.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value, json};

use super::{fixtures, hub, refused};
use hub::{GP, Hub, RIO};

/// The referrals, Tasks and resources in the store.
fn held(hub: &Hub) -> BTreeMap<String, i64> {
    let rows = hub.rows();
    ["referral", "task", "submission"].map(|table| (table.to_owned(), rows[table])).into()
}

/// Every object with its keys the other way round.
fn turned(value: &Value) -> Value {
    match value {
        Value::Object(object) => object.iter().rev().map(|(k, v)| (k.clone(), turned(v))).collect::<Map<_, _>>().into(),
        Value::Array(items) => items.iter().map(turned).collect::<Vec<_>>().into(),
        other => other.clone(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identical_referral_is_answered_the_same_and_stored_once() {
    let hub = Hub::start().await;
    let rio = hub.sender(RIO);
    let first = rio.refer(&fixtures::to_life_rooms("again")).await;
    assert_eq!(first.status, 201);
    let before = held(&hub);
    let mut other_meta = turned(&fixtures::to_life_rooms("again"));
    other_meta["meta"] = json!({"lastUpdated": "2026-01-01T00:00:00Z", "versionId": "7"});
    for same in [fixtures::to_life_rooms("again"), turned(&fixtures::to_life_rooms("again")), other_meta] {
        let again = rio.refer(&same).await;
        assert_eq!(again.status, 200, "{}", again.describe());
        for name in ["location", "link", "etag", "last-modified"] {
            assert_eq!(again.header(name), first.header(name), "{name}");
        }
        assert_eq!(again.json(), first.json());
    }
    assert_eq!(held(&hub), before);
    // another system may use the same number
    let mut elsewhere = fixtures::to_life_rooms("again");
    elsewhere["requester"]["identifier"]["value"] = "N82999".into();
    assert_eq!(hub.sender(GP).refer(&elsewhere).await.status, 201);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_that_only_spells_its_urns_otherwise_is_the_same() {
    let hub = Hub::start().await;
    let rio = hub.sender(RIO);
    let bundle = fixtures::json("referrals/03-full-bundle.json");
    let first = rio.refer(&bundle).await;
    assert_eq!(first.status, 200, "{}", first.describe());
    let before = held(&hub);
    let mut text = bundle.to_string();
    for (n, entry) in bundle["entry"].as_array().unwrap().iter().enumerate() {
        let url = entry["fullUrl"].as_str().unwrap();
        text = text.replace(url, &format!("urn:uuid:00000000-0000-4000-8000-{n:012}"));
    }
    let mut respelled: Value = serde_json::from_str(&text).unwrap();
    assert_ne!(respelled, bundle);
    respelled["id"] = "another".into();
    respelled["timestamp"] = "2026-02-02T02:02:02Z".into();
    respelled["entry"][0]["resource"]["meta"] = json!({"lastUpdated": "2026-01-01T00:00:00Z"});
    for same in [bundle.clone(), turned(&bundle), respelled] {
        let again = rio.refer(&same).await;
        assert_eq!(again.status, 200, "{}", again.describe());
        assert_eq!(again.links("monitor"), first.links("monitor"));
        let (then, now) = (first.json(), again.json());
        for (then, now) in then["entry"].as_array().unwrap().iter().zip(now["entry"].as_array().unwrap()) {
            assert_eq!(now["response"]["status"], "200 OK");
            assert_eq!(now["response"]["location"], then["response"]["location"]);
        }
        assert_eq!(now_entries(&now), now_entries(&then));
    }
    assert_eq!(held(&hub), before);
    hub.stop().await;
}

fn now_entries(answer: &Value) -> usize {
    answer["entry"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_content_under_the_same_number_is_refused() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    let first = fixtures::to_link_workers("differs");
    assert_eq!(gp.refer(&first).await.status, 201);
    let before = held(&hub);
    let change = |path: &str, value: Value| {
        let mut changed = first.clone();
        *changed.pointer_mut(path).unwrap() = value;
        changed
    };
    for changed in [
        change("/priority", "urgent".into()),
        change("/reasonCode/0/text", "Other words.".into()),
        change("/subject/identifier/value", "9990471134".into()),
    ] {
        refused(&gp.refer(&changed).await, 409, "duplicate", "ServiceRequest.identifier");
    }
    let revoked = change("/status", "revoked".into());
    refused(&gp.refer(&revoked).await, 422, "business-rule", "ServiceRequest.status");
    // in a Bundle with something new, the new one is not stored either
    let bundle = fixtures::bundle(&[
        ("urn:uuid:00000000-0000-4000-8000-000000000001", fixtures::to_link_workers("new beside it")),
        ("urn:uuid:00000000-0000-4000-8000-000000000002", change("/priority", "stat".into())),
    ]);
    refused(&gp.refer(&bundle).await, 409, "duplicate", "Bundle.entry[1].resource.identifier");
    assert_eq!(held(&hub), before);
    // the first stands
    assert_eq!(gp.refer(&first).await.status, 200);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_identifier_a_header_is_the_key_and_without_that_none() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    let nameless = fixtures::without_identifier(fixtures::to_link_workers("x"));
    let mut other = nameless.clone();
    other["priority"] = "urgent".into();
    for header in ["if-none-exist", "idempotency-key"] {
        let (key, another) = ("identifier=urn:x|k-1", "identifier=urn:x|k-2");
        let first = gp.refer_with(&nameless, &[(header, key)]).await;
        assert_eq!(first.status, 201, "{}", first.describe());
        assert_eq!(first.header("onward-not-repeatable"), None);
        let again = gp.refer_with(&nameless, &[(header, key)]).await;
        assert_eq!(again.status, 200, "{header}");
        assert_eq!(again.header("location"), first.header("location"));
        let differs = gp.refer_with(&other, &[(header, key)]).await;
        assert_eq!(differs.status, 409, "{header}");
        let new = gp.refer_with(&nameless, &[(header, another)]).await;
        assert_eq!(new.status, 201, "{header}");
        assert_ne!(new.header("location"), first.header("location"));
        let endless = "k".repeat(1_025);
        let refused = gp.refer_with(&nameless, &[(header, &endless)]).await;
        assert_eq!(refused.status, 400, "{header}");
    }
    // If-None-Exist of a Bundle's entry
    let mut bundle = fixtures::bundle(&[("urn:uuid:00000000-0000-4000-8000-000000000001", nameless.clone())]);
    bundle["entry"][0]["request"]["ifNoneExist"] = "identifier=urn:x|k-3".into();
    let first = gp.refer(&bundle).await;
    assert_eq!(first.header("onward-not-repeatable"), None);
    assert_eq!(gp.refer(&bundle).await.links("monitor"), first.links("monitor"));
    bundle["entry"][0]["request"]["ifNoneExist"] = "k".repeat(1_025).into();
    assert_eq!(gp.refer(&bundle).await.status, 422);
    // with none, each is another, and the answer says so
    let one = gp.refer(&nameless).await;
    let two = gp.refer(&nameless).await;
    assert_eq!((one.status.as_u16(), two.status.as_u16()), (201, 201));
    assert_ne!(one.header("location"), two.header("location"));
    for minted in [one, two] {
        assert!(minted.header("onward-not-repeatable").is_some(), "minted and does not say so");
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_at_once_are_one() {
    let hub = Hub::start().await;
    for round in ["fifty", "and fifty more"] {
        let before = held(&hub);
        let sending: Vec<_> = (0..50)
            .map(|_| {
                let (sender, referral) = (hub.sender(RIO), fixtures::to_life_rooms(round));
                tokio::spawn(async move {
                    loop {
                        let answer = sender.refer(&referral).await;
                        // more at once than a system's share: it is asked to come again, and does
                        if answer.status != 429 && answer.status != 503 {
                            return answer;
                        }
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                })
            })
            .collect();
        let mut answers = Vec::new();
        for sent in sending {
            answers.push(sent.await.unwrap());
        }
        assert_eq!(answers.iter().filter(|a| a.status == 201).count(), 1);
        assert_eq!(answers.iter().filter(|a| a.status == 200).count(), 49);
        assert!(answers.iter().all(|a| a.header("location") == answers[0].header("location")));
        assert!(answers.iter().all(|a| a.links("monitor") == answers[0].links("monitor")));
        let after = held(&hub);
        assert!(after.iter().all(|(table, n)| *n == before[table] + 1), "{before:?} {after:?}");
    }
    // and each was delivered once
    let delivered = || async { (hub.life_rooms.resources("Task").len() == 2).then_some(()) };
    crate::support::until("two deliveries", delivered).await;
    assert_eq!(hub.life_rooms.counts()["ServiceRequest"], 2);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_stays_accepted_when_the_routes_change() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    let first = gp.refer(&fixtures::to_link_workers("kept")).await;
    assert_eq!(first.status, 201);
    std::fs::write(hub.routes_path(), "[[route]]\nname = \"none\"\nwhen = { code = [\"x|y\"] }\nto = \"triage\"\n")
        .unwrap();
    hub.service().take_up(hub.load().0.registry).await.unwrap();
    assert_eq!(gp.refer(&fixtures::to_link_workers("new")).await.status, 422);
    // its sender did not hear the answer and asks again: it must not hear that it was refused
    let again = gp.refer(&fixtures::to_link_workers("kept")).await;
    assert_eq!(again.status, 200, "{}", again.describe());
    assert_eq!(again.header("location"), first.header("location"));
    hub.stop().await;
}

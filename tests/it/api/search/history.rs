//! The history of a type, and of one of it: every version once, newest first, page by page.

use serde_json::Value;

use super::super::{hub, ids, query, refused, resources};
use super::{next, referrals};
use hub::{Actor, GP, Hub, LINK_WORKERS};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_of_a_type_tells_every_version_once_newest_first() {
    let hub = Hub::start().await;
    let tasks = referrals(&hub, 5).await;
    let (gp, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    let mut expected = Vec::new();
    for task in &tasks {
        let history = gp.get(&format!("{task}/_history")).await.json();
        for version in resources(&history) {
            let of = |name: &str| version["meta"][name].as_str().unwrap().to_owned();
            expected.push((of("lastUpdated"), version["id"].as_str().unwrap().to_owned(), of("versionId")));
        }
    }
    for actor in [&*gp as &Actor, &provider] {
        let (mut url, mut found) = ("/fhir/Task/_history?_count=3".to_owned(), Vec::new());
        loop {
            let bundle = actor.get(&url).await.json();
            assert_eq!(bundle["type"], "history", "{bundle}");
            for entry in bundle["entry"].as_array().unwrap() {
                let meta = &entry["resource"]["meta"];
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                found.push((text(&meta["lastUpdated"]), text(&entry["resource"]["id"]), text(&meta["versionId"])));
                assert_eq!(entry["response"]["etag"], format!("W/\"{}\"", text(&meta["versionId"])));
            }
            match next(&bundle) {
                Some(next) => url = next,
                None => break,
            }
        }
        let moments: Vec<&String> = found.iter().map(|(at, ..)| at).collect();
        assert!(moments.is_sorted_by(|a, b| a >= b), "{moments:?}");
        let mut sorted = found.clone();
        sorted.sort();
        expected.sort();
        assert_eq!(sorted, expected);
    }
    let last = expected.last().unwrap().0.clone();
    let since = gp.get(&format!("/fhir/Task/_history{}", query(&[("_since", &last)]))).await.json();
    assert!(!ids(&since).is_empty() && ids(&since).len() < expected.len());
    assert_eq!(ids(&gp.get("/fhir/ServiceRequest/_history").await.json()).len(), 5);
    refused(&gp.get("/fhir/Task/_history?status=x").await, 400, "not-supported", "http.status");
    // and that of one of them, whole or page by page
    let whole = gp.get(&format!("{}/_history", tasks[1])).await.json();
    let (mut url, mut found) = (format!("{}/_history?_count=2", tasks[1]), Vec::new());
    loop {
        let bundle = gp.get(&url).await.json();
        assert_eq!(bundle["total"], whole["total"]);
        found.extend(resources(&bundle).into_iter().map(|r| r["meta"]["versionId"].clone()));
        match next(&bundle) {
            Some(next) => url = next,
            None => break,
        }
    }
    assert_eq!(found, resources(&whole).iter().map(|r| r["meta"]["versionId"].clone()).collect::<Vec<_>>());
    assert!(found.len() >= 3);
    hub.stop().await;
}

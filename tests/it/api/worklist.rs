//! A provider without a server works from its worklist: finds, reads, answers, and the history tells all.

use hyper::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{fixtures, hub, ids, query, resources};
use hub::{Actor, GP, Hub, LIFE_ROOMS, LINK_WORKERS, RIO};

/// A search, and the Tasks it finds.
type Case<'c> = (Vec<(&'c str, String)>, &'c [&'c str]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_the_worklist_to_the_end() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    let provider = hub.provider(LINK_WORKERS);
    let sent = gp.refer(&fixtures::to_link_workers("journey")).await;
    let url = sent.links("monitor").remove(0);
    hub.task_when(&provider, &url, "listed", |t| t["meta"]["versionId"] == "2").await;

    let search =
        query(&[("owner", "Organization/link-workers"), ("status", "requested,received"), ("_include", "Task:focus")]);
    let found = provider.get(&format!("/fhir/Task{search}")).await.json();
    assert_eq!(found["type"], "searchset");
    let modes: Vec<_> =
        found["entry"].as_array().unwrap().iter().map(|e| e["search"]["mode"].as_str().unwrap()).collect();
    assert_eq!(modes, ["match", "include"]);
    let (task, request) = (resources(&found)[0].clone(), resources(&found)[1].clone());
    assert_eq!(request, sent.json());
    assert_eq!(found["entry"][0]["fullUrl"], url);
    assert_eq!(task["focus"]["reference"], format!("ServiceRequest/{}", request["id"].as_str().unwrap()));
    assert_eq!(task["status"], "requested", "a GET takes nothing");
    let package = provider.get(&format!("{url}/$package")).await.json();
    assert_eq!(resources(&package), [&task, &request]);

    // PUT of the whole Task, with nothing else touched
    let mut wanted = task.clone();
    wanted["status"] = "accepted".into();
    wanted["businessStatus"] = json!({"text": "assigned"});
    wanted["owner"] = json!({"type": "PractitionerRole", "display": "A link worker"});
    let answer = provider.put(&url, "W/\"2\"", &wanted).await;
    assert_eq!(answer.status, 200, "{}", answer.describe());
    assert_eq!(answer.json()["owner"]["display"], "A link worker");
    let started = provider.set(&url, "in-progress").await;
    assert_eq!(started.status, 200, "{}", started.describe());
    let hold = json!([{"op": "replace", "path": "/status", "value": "on-hold"},
                      {"op": "add", "path": "/statusReason", "value": {"text": "on holiday"}}]);
    let held = provider.patch(&url, started.header("etag").unwrap(), &hold).await;
    assert_eq!(held.json()["statusReason"]["text"], "on holiday", "{}", held.describe());
    let again = json!([{"op": "test", "path": "/status", "value": "on-hold"},
                       {"op": "replace", "path": "/status", "value": "in-progress"}, {"op": "remove", "path": "/statusReason"},
                       {"op": "add", "path": "/note", "value": [{"text": "back from holiday"}]}]);
    let again = provider.patch(&url, held.header("etag").unwrap(), &again).await;
    assert_eq!(again.status, 200, "{}", again.describe());
    let done = json!([{"op": "replace", "path": "/status", "value": "completed"},
                      {"op": "add", "path": "/output", "value": [{"type": {"text": "outcome"}, "valueString": "met people"}]}]);
    let done = provider.patch(&url, again.header("etag").unwrap(), &done).await;
    assert_eq!(done.status, 200, "{}", done.describe());

    let last = gp.get(&url).await.json();
    assert_eq!((&last["status"], &last["output"][0]["valueString"]), (&"completed".into(), &"met people".into()));
    assert_eq!(last["note"][0]["text"], "back from holiday");
    assert_eq!(last.get("statusReason"), None);
    assert_eq!(last["businessStatus"], json!({"text": "assigned"}));
    // its owner has become a worker of the same provider, who still finds it
    let mine =
        provider.get(&format!("/fhir/Task{}", query(&[("owner", "link-workers"), ("status", "completed")]))).await;
    assert_eq!(ids(&mine.json()).len(), 1);
    tells_all(&gp, &url).await;
    hub.stop().await;
}

async fn tells_all(reader: &Actor, url: &str) {
    let history = reader.get(&format!("{url}/_history")).await.json();
    assert_eq!(history["type"], "history");
    let statuses: Vec<_> = resources(&history).iter().map(|t| t["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["completed", "in-progress", "on-hold", "in-progress", "accepted", "requested", "requested"]);
    let mut told = Vec::new();
    let mut at = String::new();
    for entry in history["entry"].as_array().unwrap().iter().rev() {
        for extension in entry["resource"]["extension"].as_array().unwrap() {
            let part = |name: &str| {
                let parts = extension["extension"].as_array().unwrap();
                parts.iter().find(|p| p["url"] == name).map(|p| p.as_object().unwrap().values().nth(1).unwrap().clone())
            };
            let when = part("at").unwrap().as_str().unwrap().to_owned();
            assert!(when.parse::<Timestamp>().is_ok(), "{when}");
            let event = part("event").unwrap().as_str().unwrap().to_owned();
            if !event.ends_with("-attempt") {
                assert!(when >= at, "{event} is told out of order");
                at = when;
                assert!(part("by").unwrap().as_str().is_some_and(|by| !by.is_empty()));
            }
            told.push(event);
        }
        // each version is what vread gives
        let version = entry["resource"]["meta"]["versionId"].as_str().unwrap();
        let read = reader.get(&format!("{url}/_history/{version}")).await;
        assert_eq!(read.json()["status"], entry["resource"]["status"]);
        assert_eq!(read.header("etag"), entry["response"]["etag"].as_str());
    }
    let count = |name: &str| told.iter().filter(|t| *t == name).count();
    assert_eq!((count("submitted"), count("listed"), count("answered")), (1, 1, 5), "{told:?}");
    assert!(told.iter().any(|t| t.ends_with("-attempt")), "{told:?}");
    assert_eq!(reader.get(&format!("{url}/_history/99")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_follow_one_another_and_miss_nothing() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    for n in 0..7 {
        gp.refers(&fixtures::to_link_workers(&format!("page-{n}"))).await;
    }
    for (kind, reader) in [("Task", &*hub.provider(LINK_WORKERS) as &Actor), ("ServiceRequest", &gp)] {
        let all = ids(&reader.get(&format!("/fhir/{kind}")).await.json());
        assert_eq!(all.len(), 7);
        let mut url = format!("/fhir/{kind}?_count=3");
        let mut pages = Vec::new();
        loop {
            let page = reader.get(&url).await.json();
            pages.push(ids(&page));
            let link = |relation: &str| {
                let links = page["link"].as_array().unwrap();
                links.iter().find(|l| l["relation"] == relation).map(|l| l["url"].as_str().unwrap().to_owned())
            };
            assert!(link("self").is_some_and(|url| url.contains("_count=3")));
            match link("next") {
                Some(next) => url = next,
                None => break,
            }
        }
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 1], "{kind}");
        assert_eq!(pages.concat(), all, "{kind}");
        assert_eq!(ids(&reader.get(&format!("/fhir/{kind}?_count=7")).await.json()).len(), 7);
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_are_found_by_what_one_has_in_hand() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    let (mut tasks, mut requests) = (Vec::new(), Vec::new());
    for n in 0..3 {
        let answer = gp.refer(&fixtures::to_link_workers(&format!("find-{n}"))).await;
        tasks.push(answer.links("monitor").remove(0).rsplit('/').next().unwrap().to_owned());
        requests.push(answer.json()["id"].as_str().unwrap().to_owned());
    }
    let provider = hub.provider(LINK_WORKERS);
    for task in &tasks {
        let listed = |t: &Value| t["meta"]["versionId"] == "2";
        hub.task_when(&provider, &format!("/fhir/Task/{task}"), "listed", listed).await;
    }
    let accepted = provider.set(&format!("/fhir/Task/{}", tasks[1]), "accepted").await.json();
    let changed: Timestamp = accepted["meta"]["lastUpdated"].as_str().unwrap().parse().unwrap();
    let later = (changed + SignedDuration::from_hours(1)).to_string();
    let base = &hub.base_url;
    let all: Vec<&str> = tasks.iter().map(String::as_str).collect();
    let (one, others) = (&all[1..2], [all[0], all[2]]);
    let own = |system: &str| format!("urn:ietf:rfc:3986|{system}");
    let cases: Vec<Case<'_>> = vec![
        (vec![("focus", format!("ServiceRequest/{}", requests[1]))], one),
        (vec![("focus", format!("{base}/fhir/ServiceRequest/{}", requests[1]))], one),
        (vec![("focus:ServiceRequest", requests[1].clone())], one),
        (vec![("focus", format!("ServiceRequest/{},ServiceRequest/{}", requests[0], requests[1]))], &all[..2]),
        (vec![("_id", tasks[1].clone())], one),
        (vec![("identifier", own(&format!("urn:uuid:{}", tasks[1])))], one),
        (vec![("identifier", own(&format!("{base}/fhir/Task/{}", tasks[1])))], one),
        (vec![("identifier", "urn:other|x".into())], &[]),
        (vec![("status", "accepted".into())], one),
        (vec![("status", "accepted,requested".into())], &all),
        (vec![("status", "draft".into())], &[]),
        (vec![("owner", "Organization/link-workers".into())], &all),
        (vec![("owner", format!("{base}/fhir/Organization/link-workers"))], &all),
        (vec![("owner:identifier", "https://fhir.nhs.uk/Id/ods-organization-code|U99999".into())], &all),
        (vec![("owner", "Organization/life-rooms".into())], &[]),
        (vec![("status", "requested".into()), ("_id", tasks[1].clone())], &[]),
        (vec![("_lastUpdated", format!("ge{changed}"))], one),
        (vec![("_lastUpdated", format!("lt{changed}"))], &others),
        (vec![("_lastUpdated", format!("gt{later}"))], &[]),
        (vec![("_lastUpdated", format!("ge{changed}")), ("_lastUpdated", format!("lt{later}"))], one),
        (vec![("_lastUpdated", later[..4].to_owned())], &all),
        (vec![("_lastUpdated", "lt2020-01".into())], &[]),
    ];
    for reader in [&*gp as &Actor, &provider] {
        for (search, expected) in &cases {
            let pairs: Vec<(&str, &str)> = search.iter().map(|(n, v)| (*n, v.as_str())).collect();
            let found = reader.get(&format!("/fhir/Task{}", query(&pairs))).await;
            assert_eq!(found.status, 200, "{search:?} {}", found.describe());
            let mut found = ids(&found.json());
            // what changed lately stands in the order of its changes
            found.sort();
            assert_eq!(found, *expected, "{search:?}");
        }
    }
    for (name, value, code) in [
        ("colour", "red", "not-supported"),
        ("_sort", "priority", "too-costly"),
        ("patient.name", "Ann", "too-costly"),
        ("status", "done", "value"),
        ("status", "", "value"),
        ("_lastUpdated", "yesterday", "value"),
        ("_count", "many", "value"),
        ("_after", "page two", "value"),
        ("_include", "Task:everything", "value"),
    ] {
        let answer = gp.get(&format!("/fhir/Task{}", query(&[(name, value)]))).await;
        super::refused(&answer, 400, code, &format!("http.{name}"));
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_has_already_is_not_sent_again() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    let sent = gp.refer(&fixtures::to_link_workers("cached")).await;
    let task = sent.links("monitor").remove(0);
    hub.task_when(&gp, &task, "listed", |t| t["meta"]["versionId"] == "2").await;
    let location = sent.header("location").unwrap();
    let current = location.split_once("/_history").unwrap().0;
    for (url, etag) in [(task.as_str(), "W/\"2\""), (location, "W/\"1\""), (current, "W/\"1\"")] {
        let with = |tag: &str| gp.call(gp.call_to(Method::GET, url).header("if-none-match", tag));
        for same in [etag.to_owned(), format!("W/\"77\", {etag}"), "*".to_owned()] {
            let answer = with(&same).await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0), "{url} {same}");
            assert_eq!(answer.header("etag"), Some(etag));
        }
        let other = with("W/\"77\"").await;
        assert_eq!((other.status.as_u16(), other.header("etag")), (200, Some(etag)), "{url}");
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_bookkeeping_makes_no_etag_stale() {
    let hub = Hub::start().await;
    // listed, in a worklist
    let task = hub.sender(GP).refers(&fixtures::to_link_workers("etag")).await;
    let provider = hub.provider(LINK_WORKERS);
    hub.task_when(&provider, &task, "listed", |t| t["meta"]["versionId"] == "2").await;
    let before_listed = provider.get(&format!("{task}/_history/1")).await;
    assert_eq!(before_listed.header("etag"), Some("W/\"1\""));
    let mut wanted = before_listed.json();
    wanted["status"] = "accepted".into();
    let answer = provider.put(&task, "W/\"1\"", &wanted).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (200, &"accepted".into()), "{}", answer.describe());
    // received, at a server that is pushed to
    let task = hub.sender(RIO).refers(&fixtures::to_life_rooms("etag")).await;
    let provider = hub.provider(LIFE_ROOMS);
    hub.task_when(&provider, &task, "received", |t| t["status"] == "received").await;
    let accept = json!([{"op": "replace", "path": "/status", "value": "accepted"}]);
    let answer = provider.patch(&task, "W/\"1\"", &accept).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (200, &"accepted".into()), "{}", answer.describe());
    // but its own change does
    super::refused(&provider.patch(&task, "W/\"2\"", &accept).await, 412, "conflict", "Task.meta.versionId");
    hub.stop().await;
}

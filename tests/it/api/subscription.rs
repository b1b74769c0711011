//! Subscriptions: whoever asks is told of every change that concerns it and that it wants, in order and without gaps, whatever its hook
//! does meanwhile; and of nothing else.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
};

use hyper::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{fixtures, hub, ids, refused};
use crate::support::until;
use hub::{Actor, GP, Hub, LINK_WORKERS, RIO};

const TOPIC: &str = "https://onward.example/fhir/SubscriptionTopic/Task";
const BACKPORT: &str = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/";

/// A hook: what was posted to it, head and body; answers with the status that is set.
struct Receiver {
    address: SocketAddr,
    took: Arc<Mutex<Vec<(String, String)>>>,
    status: Arc<AtomicU16>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, took) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<_>>>::default());
        let status = Arc::new(AtomicU16::new(200));
        let (into, says) = (Arc::clone(&took), Arc::clone(&status));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (into, says) = (Arc::clone(&into), Arc::clone(&says));
                tokio::spawn(async move { answer(stream, &into, &says).await });
            }
        });
        Self { address, took, status }
    }

    fn url(&self) -> String {
        format!("http://{}/hooks", self.address)
    }

    fn says(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// The notifications that were taken.
    fn took(&self) -> Vec<Value> {
        let took = self.took.lock().unwrap();
        took.iter().filter_map(|(_, body)| serde_json::from_str(body).ok()).collect()
    }

    /// The events that were told, in the order they came: number, Task.
    fn events(&self) -> Vec<(u64, String)> {
        let mut events = Vec::new();
        for notification in self.took() {
            for event in parameters(&notification).iter().filter(|p| p["name"] == "notification-event") {
                let part = |name: &str| event["part"].as_array().unwrap().iter().find(|p| p["name"] == name).cloned();
                let number = part("event-number").unwrap()["valueString"].as_str().unwrap().parse().unwrap();
                let focus = part("focus").map(|f| f["valueReference"]["reference"].as_str().unwrap().to_owned());
                events.push((number, focus.unwrap_or_default()));
            }
        }
        events
    }

    async fn events_when(&self, count: usize) -> Vec<(u64, String)> {
        until("the events are told", || async { Some(self.events()).filter(|e| e.len() >= count) }).await
    }
}

fn parameters(notification: &Value) -> Vec<Value> {
    notification["entry"][0]["resource"]["parameter"].as_array().cloned().unwrap_or_default()
}

fn said(notification: &Value, name: &str) -> Value {
    let found = parameters(notification).into_iter().find(|p| p["name"] == name);
    found.map(|p| p["valueCode"].clone()).unwrap_or_default()
}

async fn answer(mut stream: TcpStream, into: &Mutex<Vec<(String, String)>>, status: &AtomicU16) -> Option<()> {
    let mut read = Vec::new();
    loop {
        let mut some = vec![0; 16_384];
        let n = stream.read(&mut some).await.ok().filter(|n| *n > 0)?;
        read.extend_from_slice(&some[..n]);
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() < length.unwrap_or(0) {
            continue;
        }
        let status = status.load(Ordering::SeqCst);
        if status == 200 {
            into.lock().unwrap().push((head.to_owned(), body.to_owned()));
        }
        let said = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(said.as_bytes()).await.ok()?;
        read.clear();
    }
}

fn subscription(endpoint: &str, filters: &[&str], content: &str) -> Value {
    let filter = |f: &&str| json!({"url": format!("{BACKPORT}backport-filter-criteria"), "valueString": f});
    let mut made = json!({
        "resourceType": "Subscription", "status": "requested", "reason": "the worklist on the wall", "criteria": TOPIC,
        "channel": {
            "type": "rest-hook", "endpoint": endpoint, "header": ["X-Wall: 7"], "payload": "application/fhir+json",
            "_payload": {"extension": [{"url": format!("{BACKPORT}backport-payload-content"), "valueCode": content}]},
        },
    });
    if !filters.is_empty() {
        made["_criteria"] = json!({"extension": filters.iter().map(filter).collect::<Vec<_>>()});
    }
    made
}

/// Makes one; its URL.
async fn subscribes(actor: &Actor, wanted: &Value) -> String {
    let made = actor.method(Method::POST, "/fhir/Subscription", wanted).await;
    assert_eq!(made.status, 201, "{}", made.describe());
    assert_eq!(made.json()["status"], "requested");
    made.header("location").unwrap().to_owned()
}

async fn is(actor: &Actor, url: &str, status: &str) -> Value {
    until(&format!("the subscription is {status}"), || async {
        Some(actor.get(url).await.json()).filter(|s| s["status"] == status)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_told_in_order_to_both_sides() {
    let (of_gp, of_provider) = (Receiver::start().await, Receiver::start().await);
    let hub = Hub::build().hooks(&of_gp.url()).start().await;
    let (gp, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    let all = subscribes(&gp, &subscription(&of_gp.url(), &[], "id-only")).await;
    is(&gp, &all, "active").await;
    assert_eq!(said(&of_gp.took()[0], "type"), "handshake");
    assert_eq!(said(&of_gp.took()[0], "status"), "requested");
    let head = of_gp.took.lock().unwrap()[0].0.to_ascii_lowercase();
    assert!(head.starts_with("post /hooks ") && head.contains("x-wall: 7"), "{head}");
    assert!(head.contains("content-type: application/fhir+json"), "{head}");
    // the other's hook is elsewhere
    let elsewhere = subscription(&of_provider.url(), &[], "id-only");
    let told = refused(
        &provider.method(Method::POST, "/fhir/Subscription", &elsewhere).await,
        422,
        "business-rule",
        "Subscription.channel.endpoint",
    );
    assert!(told.contains("hooks"), "{told}");

    let mut expected = Vec::new();
    let mut tasks = Vec::new();
    for n in 0..3 {
        let task = gp.refers(&fixtures::to_link_workers(&format!("told-{n}"))).await;
        hub.task_when(&provider, &task, "listed", |t| t["meta"]["versionId"] == "2").await;
        tasks.push(task);
    }
    for task in &tasks {
        assert_eq!(provider.set(task, "accepted").await.status, 200);
        assert_eq!(provider.set(task, "in-progress").await.status, 200);
    }
    for task in &tasks {
        let versions: usize = gp.get(task).await.json()["meta"]["versionId"].as_str().unwrap().parse().unwrap();
        expected.extend(std::iter::repeat_n(task.split_once("/fhir/").unwrap().1.to_owned(), versions));
    }
    let told = of_gp.events_when(expected.len()).await;
    assert_eq!(told.iter().map(|(n, _)| *n).collect::<Vec<_>>(), (1..=told.len() as u64).collect::<Vec<_>>());
    let mut about: Vec<String> = told.into_iter().map(|(_, task)| task).collect();
    about.sort();
    expected.sort();
    assert_eq!(about, expected);
    // nothing of it was a resource
    assert!(
        of_gp
            .took()
            .iter()
            .flat_map(|n| n["entry"].as_array().unwrap()[1..].to_vec())
            .all(|e| e.get("resource").is_none())
    );

    let status = gp.get(&format!("{all}/$status")).await.json();
    assert_eq!(
        (&status["type"], said(&status, "status"), said(&status, "type")),
        (&json!("searchset"), json!("active"), json!("query-status"))
    );
    let events =
        gp.get(&format!("{all}/$events?eventsSinceNumber=2&eventsUntilNumber=3&content=full-resource")).await.json();
    let kinds: Vec<_> =
        events["entry"].as_array().unwrap().iter().map(|e| e["resource"]["resourceType"].clone()).collect();
    assert_eq!(kinds, ["Parameters", "Task", "Task"]);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_wanted_is_told_as_it_is_wanted() {
    let hook = Receiver::start().await;
    let hub = Hub::build().hooks(&hook.url()).start().await;
    let (gp, provider, rio) = (hub.sender(GP), hub.provider(LINK_WORKERS), hub.sender(RIO));
    let filters = ["Task?status=accepted,rejected", "Task?owner=Organization/link-workers"];
    let accepted = subscribes(&provider, &subscription(&hook.url(), &filters, "full-resource")).await;
    is(&provider, &accepted, "active").await;
    // another's referral is none of its business
    rio.refers(&fixtures::to_life_rooms("not-told")).await;
    let task = gp.refers(&fixtures::to_link_workers("told")).await;
    hub.task_when(&provider, &task, "listed", |t| t["meta"]["versionId"] == "2").await;
    for status in ["accepted", "in-progress", "completed"] {
        assert_eq!(provider.set(&task, status).await.status, 200);
    }
    let other = gp.refers(&fixtures::to_link_workers("told-too")).await;
    hub.task_when(&provider, &other, "listed", |t| t["meta"]["versionId"] == "2").await;
    assert_eq!(provider.set(&other, "accepted").await.status, 200);
    let told = hook.events_when(2).await;
    let named = |url: &str| url.split_once("/fhir/").unwrap().1.to_owned();
    assert_eq!(told, [(1, named(&task)), (2, named(&other))]);
    for notification in hook.took().iter().skip(1) {
        assert_eq!(
            (&notification["type"], said(notification, "type")),
            (&json!("history"), json!("event-notification"))
        );
        for entry in &notification["entry"].as_array().unwrap()[1..] {
            assert_eq!(entry["resource"]["status"], "accepted", "the version that it was, not the one that it is");
        }
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_hook_does_not_take_is_told_later_and_nothing_is_left_out() {
    let hook = Receiver::start().await;
    let hub = Hub::build().hooks(&hook.url()).start().await;
    let (gp, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    let mut wanted = subscription(&hook.url(), &["Task?status=requested"], "empty");
    wanted["channel"]["extension"] = json!([{"url": format!("{BACKPORT}backport-max-count"), "valuePositiveInt": 2}]);
    let url = subscribes(&gp, &wanted).await;
    is(&gp, &url, "active").await;
    hook.says(503);
    for n in 0..3 {
        let task = gp.refers(&fixtures::to_link_workers(&format!("later-{n}"))).await;
        hub.task_when(&provider, &task, "listed", |t| t["meta"]["versionId"] == "2").await;
    }
    until("it is tried in vain", || async { gp.get(&url).await.json().get("error").is_some().then_some(()) }).await;
    assert_eq!(gp.get(&url).await.json()["status"], "active");
    assert!(hook.events().is_empty());
    hook.says(200);
    let told = hook.events_when(6).await;
    assert_eq!(told, (1..=6).map(|n| (n, String::new())).collect::<Vec<_>>());
    assert!(
        hook.took().iter().all(|n| parameters(n).iter().filter(|p| p["name"] == "notification-event").count() <= 2)
    );
    assert!(hook.took().iter().all(|n| n["entry"].as_array().unwrap().len() == 1), "empty tells of no Task");
    until("what failed is forgotten", || async { gp.get(&url).await.json().get("error").is_none().then_some(()) })
        .await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_retries_it_is_in_error_and_there_is_a_way_back() {
    let hook = Receiver::start().await;
    let hub = Hub::build().hooks(&hook.url()).retry("give-up-after = \"1s\"\ndelayed-after = \"1s\"").start().await;
    let (gp, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    let url = subscribes(&gp, &subscription(&hook.url(), &[], "id-only")).await;
    is(&gp, &url, "active").await;
    hook.says(500);
    let task = gp.refers(&fixtures::to_link_workers("in-error")).await;
    hub.task_when(&provider, &task, "listed", |t| t["meta"]["versionId"] == "2").await;
    let failed = is(&gp, &url, "error").await;
    assert_eq!(failed["error"], "HTTP 500");
    assert!(failed["meta"]["versionId"] != "1");
    hook.says(200);
    // what happened meanwhile can be asked for, and is told once it is wanted again
    let mut again = failed.clone();
    again["status"] = "requested".into();
    let stale = gp.change(&url, "W/\"1\"", &again).await;
    refused(&stale, 412, "conflict", "Subscription.meta.versionId");
    let asked = gp.method(Method::PUT, &url, &again).await;
    assert_eq!((asked.status.as_u16(), &asked.json()["status"]), (200, &json!("requested")), "{}", asked.describe());
    is(&gp, &url, "active").await;
    let told = hook.events_when(2).await;
    assert_eq!(told.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(hook.took().iter().filter(|n| said(n, "type") == "handshake").count(), 2);
    // and it can be left alone
    let mut off = gp.get(&url).await.json();
    off["status"] = "off".into();
    assert_eq!(gp.method(Method::PUT, &url, &off).await.json()["status"], "off");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_channel_has_a_heartbeat() {
    let hook = Receiver::start().await;
    let hub = Hub::build().hooks(&hook.url()).start().await;
    let gp = hub.sender(GP);
    let mut wanted = subscription(&hook.url(), &[], "id-only");
    wanted["channel"]["payload"] = "application/fhir+xml".into();
    wanted["channel"]["extension"] =
        json!([{"url": format!("{BACKPORT}backport-heartbeat-period"), "valueUnsignedInt": 1}]);
    let url = subscribes(&gp, &wanted).await;
    is(&gp, &url, "active").await;
    let heartbeats = || hook.took.lock().unwrap().iter().filter(|(_, b)| b.contains("value=\"heartbeat\"")).count();
    until("its heart beats twice", || async { (heartbeats() >= 2).then_some(()) }).await;
    let first = hook.took.lock().unwrap()[0].clone();
    assert!(first.0.to_ascii_lowercase().contains("content-type: application/fhir+xml"), "{}", first.0);
    assert!(first.1.starts_with("<?xml") || first.1.starts_with("<Bundle"), "{}", first.1);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_is_its_owners_alone() {
    let hook = Receiver::start().await;
    let hub = Hub::build().hooks(&hook.url()).start().await;
    let (gp, rio) = (hub.sender(GP), hub.sender(RIO));
    let good = subscription(&hook.url(), &[], "id-only");
    let url = subscribes(&gp, &good).await;
    let stored = is(&gp, &url, "active").await;
    assert_eq!((&stored["reason"], &stored["criteria"]), (&good["reason"], &good["criteria"]));
    assert_eq!(ids(&gp.get("/fhir/Subscription?status=active").await.json()), [stored["id"].as_str().unwrap()]);
    assert!(ids(&gp.get("/fhir/Subscription?status=off").await.json()).is_empty());
    assert!(ids(&rio.get("/fhir/Subscription").await.json()).is_empty());
    for path in ["", "/$status", "/$events"] {
        assert_eq!(rio.get(&format!("{url}{path}")).await.status, 404, "{path}");
    }
    assert_eq!(rio.method(Method::PUT, &url, &stored).await.status, 404);
    let mut other = stored.clone();
    other["id"] = "another".into();
    refused(&gp.method(Method::PUT, &url, &other).await, 400, "value", "Subscription.id");
    assert_eq!(rio.method(Method::DELETE, &url, &Value::Null).await.status, 204);
    assert_eq!(gp.get(&url).await.status, 200, "that did nothing");

    for (element, value, status, place) in [
        ("criteria", json!("Task?status=accepted"), 422, "Subscription.criteria"),
        (
            "_criteria",
            json!({"extension": [{"url": format!("{BACKPORT}backport-filter-criteria"), "valueString": "Patient?name=x"}]}),
            422,
            "Subscription.criteria.extension",
        ),
        ("reason", Value::Null, 400, "Subscription"),
    ] {
        let mut bad = good.clone();
        bad[element] = value;
        if bad[element].is_null() {
            bad.as_object_mut().unwrap().remove(element);
        }
        let answer = gp.method(Method::POST, "/fhir/Subscription", &bad).await;
        assert_eq!(answer.status, status, "{element}: {}", answer.describe());
        let told = answer.json()["issue"][0]["expression"][0].as_str().unwrap().to_owned();
        assert!(told.starts_with(place), "{told}");
    }
    let mut mail = good.clone();
    mail["channel"]["type"] = "email".into();
    refused(
        &gp.method(Method::POST, "/fhir/Subscription", &mail).await,
        422,
        "not-supported",
        "Subscription.channel.type",
    );

    // however many are asked for at once
    let all =
        futures_util::future::join_all((0..40).map(|_| gp.method(Method::POST, "/fhir/Subscription", &good))).await;
    assert!(all.iter().all(|made| [201, 422, 429, 503].contains(&made.status.as_u16())));
    let there = ids(&gp.get("/fhir/Subscription?_count=100").await.json()).len();
    assert!(there <= 20, "{there}");
    for _ in there..20 {
        subscribes(&gp, &good).await;
    }
    refused(&gp.method(Method::POST, "/fhir/Subscription", &good).await, 422, "too-costly", "Subscription");
    assert_eq!(gp.method(Method::DELETE, &url, &Value::Null).await.status, 204);
    assert_eq!(gp.get(&url).await.status, 404);
    subscribes(&gp, &good).await;
    hub.stop().await;
}

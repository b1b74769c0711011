//! A referral to several targets, the whole way: a parent and its parts, as a copy and split, to each end; what the record is told,
//! and what nobody sees. One target is pushed to, the other works from its worklist.

use std::{sync::Arc, time::Duration};

use hyper::Method;
use onward::{
    demo::{
        caller::{Answered, Call, Caller, FHIR_JSON},
        double::Double,
    },
    domain::{Event, TaskStatus},
    service::Service,
    store::TaskRecord,
};
use serde_json::{Value, json};

use crate::support::{
    onward::{Onward, our_id, told},
    plan::{Plan, token},
    referrals::{Referral, one},
    server::Server,
    until,
};

mod late;
mod openings;
mod unseen;

/// Who sends.
const SYSTEM: &str = "merseycare-rio";
/// Who is pushed to.
const ROOMS: &str = "life-rooms";
/// Who works from a worklist.
const WORKERS: &str = "link-workers";

/// One record, Onward, and two providers.
struct Scene {
    /// Keeps the folder.
    _plan: Plan,
    service: Service,
    onward: Onward,
    record: Arc<Double>,
    rooms: Arc<Double>,
}

/// A referral that was sent to both: ids of its Tasks.
struct Sent {
    parent: String,
    rooms: String,
    workers: String,
}

/// How two inboxes are named by one route, and what it says beside.
fn both(more: &str) -> String {
    format!(
        "[[route]]\nname = \"both\"\nwhen = {{ system = [\"{SYSTEM}\"] }}\nto = [\"{ROOMS}\", \"{WORKERS}\"]\n{more}\n"
    )
}

impl Scene {
    async fn set(routes: &str) -> Self {
        Self::with(routes, "", "").await
    }

    /// The same with more keys for the inboxes of each.
    async fn with(routes: &str, rooms_inbox: &str, workers_inbox: &str) -> Self {
        Self::of(routes, rooms_inbox, workers_inbox, |plan| plan).await
    }

    /// The same with a provider more.
    async fn with_third(routes: &str, id: &str, inbox: &str) -> Self {
        Self::of(routes, "", "", |plan| plan.provider(id, "RW499", inbox)).await
    }

    async fn of(routes: &str, rooms_inbox: &str, workers_inbox: &str, more: impl FnOnce(Plan) -> Plan) -> Self {
        let record = Server::double(&format!("record-of-{SYSTEM}")).await;
        let rooms = Server::double(&format!("server-of-{ROOMS}")).await;
        let inbox = format!("kind = \"fhir-rest\", base-url = \"{}\"{rooms_inbox}", rooms.base_url());
        let plan = Plan::new()
            .port(0)
            .section("[retry]\nfirst = \"100ms\"\ncap = \"200ms\"\ndelayed-after = \"1h\"\n")
            .system(SYSTEM, "RW4", record.base_url(), ", detail = \"full\", close-request = true")
            .provider(ROOMS, "RW4", &inbox)
            .provider(WORKERS, "U99999", &format!("kind = \"worklist\"{workers_inbox}"))
            .routes(routes);
        let plan = more(plan);
        let service = plan.start().await;
        let onward = Onward::at(service.base_url());
        Self { _plan: plan, service, onward, record, rooms }
    }

    async fn task(&self, id: &str) -> TaskRecord {
        self.service.store().task(id.parse().unwrap()).await.unwrap().unwrap()
    }

    /// Sends what goes to both, and waits until both have it.
    async fn refer(&self, referral: &Referral) -> Sent {
        let answer = self.onward.send(referral).await.unwrap();
        assert_eq!(answer.status, 201, "{}", answer.describe());
        let links = answer.links("monitor");
        assert_eq!(links.len(), 1, "the parent is the Task of the referral: {links:?}");
        let parent = links[0].rsplit('/').next().unwrap().to_owned();
        let request = self.task(&parent).await.request.to_string();
        let family = self.service.store().find_tasks(&request).await.unwrap();
        let of = |inbox: &str| family.iter().find(|task| task.inbox.as_str() == inbox).unwrap().id.to_string();
        let sent = Sent { rooms: of(ROOMS), workers: of(WORKERS), parent };
        assert_eq!(family.len(), 3);
        until("both have it", || async {
            let arrived = self.task(&sent.rooms).await.state.status == TaskStatus::Received;
            (arrived && self.task(&sent.workers).await.state.sent).then_some(())
        })
        .await;
        sent
    }

    async fn answer(&self, provider: &str, id: &str, status: &str) {
        self.onward.must_answer(provider, id, status, json!({})).await;
    }

    /// Waits until a Task has this status, as its sender sees it.
    async fn becomes(&self, id: &str, status: &str) -> Value {
        until(&format!("{id} is {status}"), || async {
            Some(self.onward.task(SYSTEM, id).await).filter(|task| task["status"] == status)
        })
        .await
    }

    fn in_record(&self, id: &str) -> Option<Arc<Value>> {
        self.record.resources("Task").into_iter().find(|task| our_id(task).as_deref() == Some(id))
    }

    /// The statuses that the record's Task of this one had, each once, in its own order, once the last is this.
    async fn recorded(&self, id: &str, last: &str) -> Vec<String> {
        let task = until(&format!("the record says {last}"), || async {
            self.in_record(id).filter(|task| task["status"] == last)
        })
        .await;
        let versions = self.record.versions("Task", task["id"].as_str().unwrap());
        let history = told(&versions.iter().map(|v| (*v.resource).clone()).collect::<Vec<_>>());
        assert!(history.is_sorted_by(|a, b| a.0 < b.0), "{history:?}");
        let mut statuses: Vec<String> = history.into_iter().map(|(_, status)| status).collect();
        statuses.dedup();
        statuses
    }

    async fn get(&self, client: &str, path: &str) -> Answered {
        self.onward.get(client, path).await.unwrap()
    }

    async fn events(&self, id: &str) -> Vec<Event> {
        let journal = self.service.store().journal(id.parse().unwrap()).await.unwrap();
        journal.into_iter().map(|line| line.event).collect()
    }

    async fn call(&self, method: Method, client: &str, path: &str, etag: &str, body: &Value) -> Answered {
        let url = format!("{}/fhir/{path}", self.service.base_url());
        let call = Call::new(method, url).token(token(client)).header("if-match", etag);
        Caller::new().call(call.json(FHIR_JSON, body)).await.unwrap()
    }
}

fn ids(bundle: &Value) -> Vec<String> {
    let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
    entries.iter().map(|entry| entry["resource"]["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_goes_to_each_and_the_parent_follows_to_the_end() {
    let scene = Scene::set(&both("")).await;
    let referral = one("01", "copy");
    let request = scene.record.put_resource(referral.json()).unwrap();
    let sent = scene.refer(&referral).await;
    let parent = scene.becomes(&sent.parent, "in-progress").await;
    assert_eq!(parent.get("owner"), None, "it is nobody's");
    for part in [&sent.rooms, &sent.workers] {
        let task = scene.onward.task(SYSTEM, part).await;
        assert_eq!(task["partOf"][0]["reference"], format!("Task/{}", sent.parent));
        assert_eq!((&task["focus"], &task["basedOn"][0]), (&parent["focus"], &parent["focus"]), "the same request");
    }
    let mut parts = ids(&scene.get(SYSTEM, &format!("Task?part-of=Task/{}", sent.parent)).await.json());
    parts.sort();
    assert_eq!(parts, { [sent.rooms.clone(), sent.workers.clone()] });
    let parents = scene.get(SYSTEM, "Task?part-of:missing=true").await.json();
    assert_eq!(ids(&parents), std::slice::from_ref(&sent.parent));
    // the same again is the same
    let again = scene.onward.send(&referral).await.unwrap();
    assert_eq!((again.status.as_u16(), again.links("monitor").len()), (200, 1));
    assert!(again.links("monitor")[0].ends_with(&sent.parent));

    scene.answer(WORKERS, &sent.workers, "accepted").await;
    scene.answer(WORKERS, &sent.workers, "completed").await;
    assert_eq!(scene.onward.task(SYSTEM, &sent.parent).await["status"], "in-progress");
    scene.recorded(&sent.workers, "completed").await;
    let open = scene.record.resources("ServiceRequest").iter().any(|r| r["id"] == *request && r["status"] == "active");
    assert!(open, "what is left of it is still to be done");
    scene.answer(ROOMS, &sent.rooms, "rejected").await;
    let ended = scene.onward.task(SYSTEM, &sent.parent).await;
    assert_eq!(ended["status"], "completed", "in the commit of the answer");

    assert_eq!(scene.recorded(&sent.parent, "completed").await, ["requested", "in-progress", "completed"]);
    assert_eq!(scene.recorded(&sent.rooms, "rejected").await, ["received", "rejected"]);
    assert_eq!(scene.recorded(&sent.workers, "completed").await, ["requested", "accepted", "completed"]);
    let ours = json!([{"type": "Task", "identifier": ended["identifier"][0].clone()}]);
    let mut known = scene.in_record(&sent.rooms).unwrap()["partOf"].clone();
    known[0]["identifier"]["use"] = "official".into();
    assert_eq!(known[0]["identifier"]["value"], ours[0]["identifier"]["value"]);
    assert_eq!(known[0].get("reference"), None, "by which id the record has it, it knows itself");
    // the parent alone closes the request
    until("the request is closed", || async {
        let is_closed =
            scene.record.resources("ServiceRequest").iter().any(|r| r["id"] == *request && r["status"] == "completed");
        is_closed.then_some(())
    })
    .await;
    let closed = |events: Vec<Event>| events.iter().filter(|event| event.name() == "request-closed").count();
    until("the journal has it", || async { (closed(scene.events(&sent.parent).await) == 1).then_some(()) }).await;
    assert_eq!(closed(scene.events(&sent.workers).await), 0);
    assert!(scene.events(&sent.parent).await.iter().any(|event| matches!(
        event,
        Event::Followed { part, status: TaskStatus::Rejected, to: TaskStatus::Completed } if part.to_string() == sent.rooms
    )));
    scene.service.stop().await;
}

/// A split referral: the order of each, as the sender reads it.
async fn orders(scene: &Scene, sent: &Sent) -> [(String, Value); 2] {
    let mut all = Vec::new();
    for part in [&sent.rooms, &sent.workers] {
        let task = scene.onward.task(SYSTEM, part).await;
        let url = task["focus"]["reference"].as_str().unwrap().to_owned();
        assert_ne!(task["focus"], task["basedOn"][0]);
        let order = scene.get(SYSTEM, &url).await;
        assert_eq!(order.status, 200, "{}", order.describe());
        let order = order.json();
        assert_eq!((&order["intent"], &order["basedOn"][0]), (&"filler-order".into(), &task["basedOn"][0]));
        assert_eq!(order["performer"][0]["reference"], task["owner"]["reference"]);
        all.push((url, order));
    }
    all.try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_split_gives_each_an_order_of_its_own() {
    let scene = Scene::set(&both("share = \"split\"")).await;
    let referral = one("01", "split");
    let sent = scene.refer(&referral).await;
    let [(of_rooms, order), (of_workers, _)] = orders(&scene, &sent).await;
    let original = scene.get(SYSTEM, order["basedOn"][0]["reference"].as_str().unwrap()).await;
    for carried in ["subject", "code", "priority", "requisition", "contained"] {
        assert_eq!(order[carried], original.json()[carried], "{carried}");
    }
    // both travel, the original as it was sent, and the Task is about the order
    let there = scene.rooms.resources("ServiceRequest");
    assert_eq!(there.len(), 2);
    let task = scene.rooms.resources("Task")[0].clone();
    assert_eq!(task["focus"]["reference"], *of_rooms);
    assert!(task["partOf"][0]["reference"].as_str().unwrap().starts_with("http"), "elsewhere it is named in full");
    let at_rooms = |url: &str| {
        let id = url.rsplit('/').next().unwrap().to_owned();
        scene.rooms.resources("ServiceRequest").into_iter().find(|r| r["id"] == *id).unwrap()
    };
    assert_eq!(at_rooms(&of_rooms)["intent"], "filler-order");
    assert_eq!(at_rooms(order["basedOn"][0]["reference"].as_str().unwrap())["code"], original.json()["code"]);
    let package = scene.get(WORKERS, &format!("Task/{}/$package", sent.workers)).await.json();
    let requests = |bundle: &Value| {
        let of = |r: &&Value| r["resource"]["resourceType"] == "ServiceRequest";
        bundle["entry"].as_array().unwrap().iter().filter(of).count()
    };
    assert_eq!(requests(&package), 2);

    // what the referrer writes anew is written into the orders, and reaches the provider's copies
    scene.onward.must_change(SYSTEM, &sent.parent, |request| request["priority"] = "asap".into()).await;
    for url in [&of_rooms, &of_workers] {
        let order = scene.get(SYSTEM, url).await.json();
        assert_eq!((&order["meta"]["versionId"], &order["priority"]), (&"2".into(), &"asap".into()));
    }
    until("the copies are brought up to it", || async {
        let all = scene.rooms.resources("ServiceRequest");
        all.iter().all(|request| request["priority"] == "asap").then_some(())
    })
    .await;
    // nobody else writes an order
    let read = scene.get(SYSTEM, &of_rooms).await;
    let mut wanted = read.json();
    wanted["priority"] = "routine".into();
    let refused = scene.call(Method::PUT, SYSTEM, &of_rooms, read.header("etag").unwrap(), &wanted).await;
    assert_eq!(refused.status, 422, "{}", refused.describe());

    // each ends with its Task
    scene.answer(ROOMS, &sent.rooms, "accepted").await;
    scene.answer(ROOMS, &sent.rooms, "completed").await;
    scene.answer(WORKERS, &sent.workers, "rejected").await;
    assert_eq!(scene.onward.task(SYSTEM, &sent.parent).await["status"], "completed");
    let status = async |url: &str| scene.get(SYSTEM, url).await.json()["status"].clone();
    assert_eq!((status(&of_rooms).await, status(&of_workers).await), ("completed".into(), "revoked".into()));
    let original = order["basedOn"][0]["reference"].as_str().unwrap().to_owned();
    assert_eq!(status(&original).await, "active", "that is the referrer's to say");
    scene.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancellation_is_asked_of_each_and_the_parent_ends_with_the_last() {
    let scene = Scene::set(&both("share = \"split\"")).await;
    let sent = scene.refer(&one("01", "cancel")).await;
    let [(of_rooms, _), (of_workers, _)] = orders(&scene, &sent).await;
    scene.onward.must_change(SYSTEM, &sent.parent, |request| request["status"] = "revoked".into()).await;
    let asked = |task: &Value| task["businessStatus"].to_string().contains("5.2");
    for id in [&sent.parent, &sent.rooms, &sent.workers] {
        let task = scene.onward.task(SYSTEM, id).await;
        assert!(asked(&task), "{task}");
    }
    for url in [&of_rooms, &of_workers] {
        assert_eq!(scene.get(SYSTEM, url).await.json()["status"], "revoked");
    }
    until("the provider's copies say so", || async {
        scene.rooms.resources("ServiceRequest").iter().all(|request| request["status"] == "revoked").then_some(())
    })
    .await;
    scene.answer(ROOMS, &sent.rooms, "cancelled").await;
    assert_eq!(scene.onward.task(SYSTEM, &sent.parent).await["status"], "in-progress");
    scene.answer(WORKERS, &sent.workers, "cancelled").await;
    let parent = scene.onward.task(SYSTEM, &sent.parent).await;
    assert_eq!((&parent["status"], asked(&parent)), (&"cancelled".into(), false));
    assert!(parent["statusReason"]["text"].as_str().is_some_and(|text| !text.is_empty()));
    assert_eq!(scene.recorded(&sent.parent, "cancelled").await.last().unwrap(), "cancelled");
    // and what never should have been, never was, for all of them
    scene.onward.must_change(SYSTEM, &sent.parent, |request| request["status"] = "entered-in-error".into()).await;
    for id in [&sent.parent, &sent.rooms, &sent.workers] {
        assert_eq!(scene.onward.task(SYSTEM, id).await["status"], "entered-in-error");
    }
    scene.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_that_end_at_once_leave_the_parent_right() {
    let scene = Arc::new(Scene::set(&both("")).await);
    let mut sent = Vec::new();
    for n in 0..12 {
        sent.push(scene.refer(&one("01", &format!("at-once-{n}"))).await);
    }
    let mut answers = tokio::task::JoinSet::new();
    for sent in &sent {
        for (provider, id) in [(ROOMS, sent.rooms.clone()), (WORKERS, sent.workers.clone())] {
            let scene = Arc::clone(&scene);
            answers.spawn(async move { scene.answer(provider, &id, "rejected").await });
        }
    }
    answers.join_all().await;
    for sent in &sent {
        assert_eq!(scene.onward.task(SYSTEM, &sent.parent).await["status"], "rejected");
        let events = scene.events(&sent.parent).await;
        let heard = events.iter().filter(|event| match event {
            Event::Followed { status, .. } | Event::PartChanged { status, .. } => *status == TaskStatus::Rejected,
            _ => false,
        });
        assert_eq!(heard.count(), 2, "{events:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sets_a_parent() {
    let scene = Scene::set(&both("")).await;
    let sent = scene.refer(&one("01", "set")).await;
    let path = format!("Task/{}", sent.parent);
    let read = scene.get(SYSTEM, &path).await;
    let mut wanted = read.json();
    wanted["status"] = "completed".into();
    let etag = read.header("etag").unwrap().to_owned();
    let refused = scene.call(Method::PUT, SYSTEM, &path, &etag, &wanted).await;
    assert_eq!(refused.status, 422, "{}", refused.describe());
    assert!(refused.describe().contains("part-of"), "{}", refused.describe());
    let patch = json!([{"op": "replace", "path": "/status", "value": "completed"}]);
    let url = format!("{}/fhir/{path}", scene.service.base_url());
    let call = Call::new(Method::PATCH, url).token(token(SYSTEM)).header("if-match", etag.clone());
    let refused = Caller::new().call(call.json("application/json-patch+json", &patch)).await.unwrap();
    assert_eq!(refused.status, 422, "{}", refused.describe());
    // to a provider it is not there
    for provider in [ROOMS, WORKERS] {
        let refused = scene.call(Method::PUT, provider, &path, &etag, &wanted).await;
        assert_eq!(refused.status, 404, "{}", refused.describe());
    }
    scene.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_route_gives_is_what_a_provider_has() {
    let scene = Scene::with(
        &both("acknowledge-within = \"1s\"\nanswer-within = \"never\""),
        ", acknowledge-within = \"9wd\"",
        ", acknowledge-within = \"9wd\", answer-within = \"1s\"",
    )
    .await;
    let sent = scene.refer(&one("01", "terms")).await;
    for id in [&sent.rooms, &sent.workers] {
        until("it is told", || async {
            scene.events(id).await.iter().any(|event| event.name() == "not-opened").then_some(())
        })
        .await;
    }
    tokio::time::sleep(Duration::from_millis(1500)).await; // longer than its inbox would have given
    let overdue = scene.events(&sent.workers).await.iter().any(|event| event.name() == "overdue");
    assert!(!overdue, "the route says never, whatever the inbox says");
    assert_eq!(scene.onward.task(SYSTEM, &sent.parent).await["status"], "in-progress");
    scene.service.stop().await;
}

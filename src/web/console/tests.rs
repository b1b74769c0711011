//! The console as a browser meets it.

use axum::http::{StatusCode, header};
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::{
    config::{Config, Env},
    domain::{
        Actor, Destination, Event, Side, TaskId, Timestamp,
        breaker::{Breaker, Phase},
    },
    health::{Part, State},
    routing::RouteSet,
    store::{Append, LaneState, NewEvent, Settle, Settled, Submission, Submit, TaskRecord, made},
    web::tests::{BASE, Browser, Scene, scene_of},
};

mod dead;
mod journal;
mod tick;

pub(super) const SYSTEM: &str = "merseycare-rio";
/// The number of the person whom every referral here is about.
const NUMBER: &str = "9990471134";
/// What stands in a referral, and must stand on no page.
const SECRET: &str = "Grey-Smith";

/// Two systems and two providers, and people who log in here.
pub(in crate::web) fn config() -> Config {
    config_with("")
}

/// The same with a way for every referral.
pub(super) fn routed() -> Config {
    let mut config = config();
    config.registry.routes = RouteSet::all_to("link-workers".parse().unwrap());
    config
}

/// The same with these lines at its head.
pub(in crate::web) fn config_with(more: &str) -> Config {
    let text = r#"
        [people]
        local = true
        [[system]]
        id = "merseycare-rio"
        name = "Mersey Care"
        ods-code = "RW4"
        tokens = [{ env = "TOKEN" }]
        write-back = { kind = "fhir-rest", base-url = "http://127.0.0.1:9/fhir" }
        [[system]]
        id = "brownlow-gp"
        name = "Brownlow Health"
        ods-code = "N82999"
        tokens = [{ env = "TOKEN_2" }]
        [[provider]]
        id = "life-rooms"
        name = "The Life Rooms"
        ods-code = "RW499"
        tokens = [{ env = "TOKEN_3" }]
        inbox = { kind = "fhir-rest", base-url = "http://127.0.0.1:9/fhir" }
        [[provider]]
        id = "link-workers"
        name = "Link workers"
        ods-code = "U99999"
        tokens = [{ env = "TOKEN_4" }]
        inbox = { kind = "worklist" }
    "#;
    let env = Env::from_iter([
        ("TOKEN", "a-token-of-everybody-0123"),
        ("TOKEN_2", "a-token-of-everybody-0124"),
        ("TOKEN_3", "a-token-of-everybody-0125"),
        ("TOKEN_4", "a-token-of-everybody-0126"),
        ("TOKEN_5", "a-token-of-everybody-0127"),
    ]);
    Config::parse(&format!("{more}{text}"), std::path::Path::new("onward.toml"), &env).unwrap().0
}

/// A line of the worklist.
pub(in crate::web) fn line(kind: &'static str) -> Line {
    Line {
        id: kind.to_owned(),
        kind,
        since: Timestamp::UNIX_EPOCH,
        about: "life-rooms".into(),
        task: None,
        text: "it was not answered in time".into(),
        advice: "ask the provider",
        tick: false,
    }
}

pub(super) fn scene() -> Scene {
    scene_of(BASE, routed(), tempfile::tempdir().unwrap())
}

impl Scene {
    /// A browser of somebody in this role.
    pub(in crate::web) async fn browser_of(&self, role: &str) -> Browser {
        let name = role.split(':').next().unwrap();
        let key = self.enrolled(name, role).await;
        self.logged_in(name, &key).await
    }

    /// A referral to the Life Rooms.
    pub(in crate::web) async fn referral(&self, key: &str) -> TaskRecord {
        let (request, task) = (Uuid::now_v7(), TaskId::mint());
        let body = json!({"status": "requested", "description": SECRET});
        let of_hers = json!({
            "resourceType": "ServiceRequest", "id": request,
            "identifier": [{"system": "https://rio.example/id", "value": key}, {"value": "group"}],
        });
        let resources = vec![
            made::resource("ServiceRequest", request, &of_hers, vec![key.to_owned(), "group".to_owned()]),
            made::resource("Patient", Uuid::now_v7(), &json!({"name": [{"family": SECRET}]}), vec![NUMBER.to_owned()]),
        ];
        let mut referral = made::referral(key, "life-rooms", request, (task, &body), resources);
        (referral.digest, referral.route_set) = (*blake(key), "2026-03-01".into());
        for event in referral.tasks.iter_mut().flat_map(|task| &mut task.events) {
            (event.actor, event.lanes) = (Actor::System(SYSTEM.parse().unwrap()), vec![Side::Delivery]);
            if let Event::Submitted { route, route_set, .. } = &mut event.event {
                (*route, *route_set) = (Some("to-life-rooms".into()), "2026-03-01".into());
            }
        }
        let asked_by = crate::store::AskedBy { request: format!("request-{key}"), correlation: None, person: None };
        let submission = Submission { asked_by: Some(asked_by), ..made::submission(SYSTEM, vec![referral]) };
        let stored = self.store.submit(submission).await.unwrap();
        assert!(matches!(stored, Submit::Stored(..)), "{stored:?}");
        self.store.task(task).await.unwrap().unwrap()
    }

    /// A dead letter of such a referral.
    pub(super) async fn dead_letter(&self, key: &str) -> (TaskRecord, Uuid) {
        let task = self.referral(key).await;
        let message = self.given_up(task.id, Side::Delivery).await;
        (self.store.task(task.id).await.unwrap().unwrap(), message)
    }

    /// What a lane has to send next becomes a dead letter.
    pub(in crate::web) async fn given_up(&self, task: TaskId, side: Side) -> Uuid {
        let minute = std::time::Duration::from_secs(60);
        let LaneState::Leased { lease, head, task } = self.store.lease_lane(task, side, minute).await.unwrap() else {
            panic!("the lane is not free");
        };
        let outcome = Settled::Dead { why: "HTTP 422".into() };
        let settle = Settle { side, seq: head.seq, lease: Some(lease), extend: minute, outcome };
        let event = NewEvent {
            event: Event::Undeliverable { why: "HTTP 422".into() },
            actor: Actor::Onward,
            body: None,
            lanes: vec![],
        };
        let append = Append { settle: Some(settle), events: vec![event], ..Append::to(&task) };
        self.store.append(append).await.unwrap();
        head.message
    }
}

impl Scene {
    /// What a lane has to send next fails, and is tried again after so many seconds.
    async fn fails(&self, task: TaskId, side: Side, wait_s: i64) {
        let minute = std::time::Duration::from_secs(60);
        let LaneState::Leased { lease, head, task } = self.store.lease_lane(task, side, minute).await.unwrap() else {
            panic!("the lane is not free");
        };
        let until = self.store.now() + SignedDuration::from_secs(wait_s);
        let outcome = Settled::Deferred { until, memory: None, why: "connection refused".into() };
        let settle = Settle { side, seq: head.seq, lease: Some(lease), extend: minute, outcome };
        self.store.append(Append { settle: Some(settle), ..Append::to(&task) }).await.unwrap();
    }
}

fn blake(key: &str) -> Box<[u8; 32]> {
    let mut digest = [0; 32];
    for (at, byte) in digest.iter_mut().zip(key.bytes()) {
        *at = byte;
    }
    Box::new(digest)
}

#[tokio::test]
async fn who_keeps_onward_running_sees_how_it_is() {
    let scene = scene();
    let mut browser = scene.browser_of("operator").await;
    assert_eq!(browser.get("/").await.to(), "/console");
    let page = browser.get("/console").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("All is well"), "{}", page.text);
    for inline in ["style=", "<style", " onclick", "javascript:"] {
        assert!(!page.text.contains(inline), "{inline}");
    }

    scene.dead_letter("one").await;
    scene.health.note(Part::Broker, State::Degraded, "it takes no messages", "give it memory");
    let why = Some("HTTP 503".to_owned());
    let phase = Phase::Open { until: scene.store.now() };
    let breaker = Breaker { phase, why, ..Breaker::closed("http://127.0.0.1:9/fhir", scene.store.now()) };
    let of = Destination::new(Side::WriteBack, SYSTEM);
    assert!(scene.store.set_breaker(&of, 0, breaker).await.unwrap());
    scene.endpoints.refresh().await.unwrap();
    // what was read of the store is shown for a moment
    scene.clock.advance(3);
    let text = browser.get("/console").await.text;
    for told in [
        "Onward works, and not all of it as it should",
        "Message broker: it takes no messages.",
        "What to do: give it memory.",
        "Not answering",
        "the last answer: HTTP 503",
        "Could not be delivered",
        "1 message was given up",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert!(!text.contains(SECRET));
}

#[tokio::test]
async fn one_message_that_is_tried_in_vain_is_nothing_that_is_well() {
    let scene = scene();
    let mut browser = scene.browser_of("operator").await;
    let task = scene.referral("one").await;
    scene.fails(task.id, Side::Delivery, 2).await;
    let page = browser.get("/console").await;
    assert!(page.text.contains("All is well"), "a hiccup is nobody's to look at: {}", page.text);
    scene.clock.advance(3);
    scene.fails(task.id, Side::Delivery, 300).await;
    let page = browser.get("/console").await.text;
    let told = "1 message cannot be delivered to The Life Rooms: connection refused, since ";
    assert!(page.contains(told) && !page.contains("All is well"), "{page}");
    assert!(page.contains("1 thing waits for a person"), "{page}");
    let page = browser.get("/console/to-do?kind=sending-fails").await.text;
    assert!(page.contains("1 message cannot be delivered: connection refused; next try at "), "{page}");
    assert!(page.contains("The Life Rooms (life-rooms)") && page.contains("it is tried again by itself"), "{page}");
}

#[tokio::test]
async fn what_changes_by_itself_is_sent_only_where_it_has_changed() {
    let scene = scene();
    let mut browser = scene.browser_of("auditor").await;
    let page = browser.get("/console").await;
    let tag = page.between("data-tag=\"", "\"").replace("&quot;", "\"").replace("&#34;", "\"");
    browser.has = Some(tag);
    assert_eq!(browser.get("/console/now").await.status, StatusCode::NOT_MODIFIED);
    scene.health.note(Part::Disk, State::Degraded, "90 MiB free", "make room");
    let page = browser.get("/console/now").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("90 MiB free") && !page.text.contains("<html"), "{}", page.text);
    assert!(page.headers.contains_key(header::ETAG));
    // a page that asks by itself keeps nobody logged in
    scene.clock.advance(14 * 60);
    assert_eq!(browser.get("/console/now").await.status, StatusCode::OK);
    scene.clock.advance(2 * 60);
    assert_eq!(browser.get("/console").await.to(), "/login?return-to=%2Fconsole");
}

#[tokio::test]
async fn to_nobody_else_there_is_a_console() {
    let scene = scene();
    let stranger = scene.browser().get("/console").await;
    assert_eq!(stranger.to(), "/login?return-to=%2Fconsole");
    let (task, message) = scene.dead_letter("one").await;
    for role in ["provider-worker:life-rooms", "provider-admin:life-rooms", "referrer:merseycare-rio", "route-editor"] {
        let mut browser = scene.browser_of(role).await;
        let adding = ["/console/add/system".to_owned(), "/console/add/provider".to_owned()];
        for path in all_pages(task.id, message).into_iter().chain(adding) {
            let page = browser.get(&path).await;
            assert_eq!(page.status, StatusCode::NOT_FOUND, "{role} {path}");
            assert!(page.text.contains("There is no such page."), "{}", page.text);
        }
        assert!(!browser.get("/account").await.text.contains("\"/console\""), "{role}");
    }
}

/// Every page of the console, where there is this dead letter of this Task.
fn all_pages(task: TaskId, message: Uuid) -> Vec<String> {
    let mut all: Vec<String> = [
        "",
        "/now",
        "/to-do",
        "/trace",
        "/journal",
        "/reports",
        "/reports.csv",
        "/systems",
        "/systems/merseycare-rio",
        "/providers",
        "/providers/life-rooms",
        "/dead",
        "/dead/runs",
        "/dead/replay?to=inbox.life-rooms",
    ]
    .iter()
    .map(|path| format!("/console{path}"))
    .collect();
    all.extend(["", "/referral"].map(|below| format!("/console/trace/{task}{below}")));
    all.extend(["", "/replay", "/put-away"].map(|action| format!("/console/dead/{message}{action}")));
    all
}

/// The forms of the console, likewise.
fn all_forms(message: Uuid) -> [String; 5] {
    [
        "/console/trace".to_owned(),
        "/console/journal".to_owned(),
        "/console/dead/replay".to_owned(),
        format!("/console/dead/{message}/replay"),
        format!("/console/dead/{message}/put-away"),
    ]
}

#[tokio::test]
async fn an_auditor_looks_and_does_nothing() {
    let scene = scene();
    let (task, message) = scene.dead_letter("one").await;
    let mut browser = scene.browser_of("auditor").await;
    for path in all_pages(task.id, message) {
        assert!(!browser.get(&path).await.text.contains('`'), "{path}: marks of code are for a terminal");
        let expected = if path.contains("replay") || path.contains("put-away") { 404 } else { 200 };
        let page = browser.get(&path).await;
        assert_eq!(page.status.as_u16(), expected, "{path}");
        assert!(!page.text.contains("/put-away") && !page.text.contains("/replay"), "{path}: {}", page.text);
    }
    let made_for = browser.get("/console/trace").await.made_for().to_owned();
    for path in &all_forms(message)[2..] {
        let fields = [("made-for", made_for.as_str()), ("to", "inbox.life-rooms"), ("reason", "x")];
        assert_eq!(browser.post(path, &fields).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert!(scene.store.dead_letter(message).await.unwrap().is_some());
}

#[tokio::test]
async fn a_form_from_elsewhere_does_nothing() {
    let scene = scene();
    let (_, message) = scene.dead_letter("one").await;
    let mut browser = scene.browser_of("operator").await;
    for path in all_forms(message) {
        let fields = [("made-for", "x"), ("to", "inbox.life-rooms"), ("reason", "x"), ("sought", "x")];
        assert_eq!(browser.post(&path, &fields).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert!(scene.store.dead_letter(message).await.unwrap().is_some());
}

#[tokio::test]
async fn a_referral_is_found_by_what_one_has_in_hand_and_its_way_told_without_what_is_in_it() {
    let scene = scene();
    let (task, _) = scene.dead_letter("one").await;
    let mut browser = scene.browser_of("operator").await;
    let made_for = browser.get("/console/trace").await.made_for().to_owned();
    let url = format!("https://onward.example/fhir/Task/{}", task.id);
    let ids = [task.id.to_string(), task.request.to_string()];
    for sought in [&ids[0], &ids[1], "https://rio.example/id|one", "one", &url, "request-one"] {
        let page = browser.post("/console/trace", &[("made-for", &made_for), ("sought", sought)]).await;
        assert_eq!(page.to(), format!("/console/trace/{}", task.id), "{sought}");
    }
    let text = browser.get(&format!("/console/trace/{}", task.id)).await.text;
    for told in [
        "Requested",
        "https://rio.example/id|one",
        "Mersey Care (merseycare-rio)",
        "The Life Rooms (inbox life-rooms)",
        "Taken, and routed to the inbox life-rooms by the route",
        "request request-one",
        "Delivery was given up: HTTP 422.",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert!(!text.contains(SECRET));
    for absent in [Uuid::now_v7().to_string(), "x".to_owned(), task.request.to_string()] {
        let page = browser.get(&format!("/console/trace/{absent}")).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{absent}");
    }
    // of several one is chosen; by a person's number nobody is found
    let other = scene.referral("two").await;
    let page = browser.post("/console/trace", &[("made-for", &made_for), ("sought", "group")]).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!([task.id, other.id].iter().all(|id| page.text.contains(&id.to_string())), "{}", page.text);
    let page = browser.post("/console/trace", &[("made-for", &made_for), ("sought", NUMBER)]).await;
    assert!(
        page.status == StatusCode::NOT_FOUND && page.text.contains("No referral is known by that"),
        "{}",
        page.text
    );
    let page = browser.post("/console/trace", &[("made-for", &made_for), ("sought", "<b>nothing")]).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(page.text.contains("No referral is known by that") && !page.text.contains("<b>nothing"), "{}", page.text);
    let page = browser.post("/console/trace", &[("made-for", &made_for), ("sought", " ")]).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn what_is_in_a_referral_is_seen_with_a_reason_by_one_person_for_its_time_and_that_is_told() {
    let scene = scene();
    let (task, other) = (scene.referral("one").await, scene.referral("two").await);
    let path = |task: &TaskRecord| format!("/console/trace/{}/referral", task.id);
    let mut browser = scene.browser_of("operator").await;
    assert!(browser.get(&format!("/console/trace/{}", task.id)).await.text.contains(&path(&task)));
    let page = browser.get(&path(&task)).await;
    assert!(page.text.contains("for 30 minutes") && !page.text.contains(SECRET), "{}", page.text);
    let made_for = page.made_for().to_owned();
    let reason = "she must be reached today, and nobody there answers";

    let elsewhere = browser.post(&path(&task), &[("made-for", "x"), ("reason", reason)]).await;
    assert_eq!(elsewhere.status, StatusCode::FORBIDDEN);
    let vague = browser.post(&path(&task), &[("made-for", &made_for), ("reason", "needed")]).await;
    assert_eq!(vague.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(vague.text.contains("Say why in 20 to 1000 characters") && !vague.text.contains(SECRET), "{}", vague.text);
    assert!(scene.store.glasses(None, 9).await.unwrap().is_empty());

    let broken = browser.post(&path(&task), &[("made-for", &made_for), ("reason", reason)]).await;
    assert_eq!(broken.to(), path(&task));
    let page = browser.get(&path(&task)).await.text;
    assert!(page.contains(SECRET) && page.contains("You see this referral until"), "{page}");
    assert!(!page.contains("<form method=\"post\" action=\"/inbox"), "nothing is done with it here: {page}");
    assert!(!browser.get(&path(&other)).await.text.contains(SECRET), "no other referral is open");
    let kept = scene.store.glasses(None, 9).await.unwrap();
    let [glass] = &kept[..] else { panic!("{kept:?}") };
    assert_eq!((glass.reason.as_str(), glass.referral), (reason, task.referral));
    let alerts = scene.store.claim_alerts(9, std::time::Duration::from_secs(60)).await.unwrap();
    assert!(alerts.iter().any(|told| told.alert.kind == crate::domain::AlertKind::GlassBroken), "{alerts:?}");

    let mut another = scene.browser_of("auditor").await;
    assert!(!another.get(&path(&task)).await.text.contains(SECRET), "it is hers alone");
    for role in ["provider-worker:life-rooms", "referrer:merseycare-rio"] {
        let mut browser = scene.browser_of(role).await;
        let made_for = browser.get("/account").await.made_for().to_owned();
        let tried = browser.post(&path(&task), &[("made-for", &made_for), ("reason", reason)]).await;
        assert_eq!(tried.status, StatusCode::NOT_FOUND, "{role}");
    }
    // a session that is not used ends before the glass does
    for _ in 0..3 {
        scene.clock.advance(10 * 60);
        browser.get("/account").await;
    }
    let page = browser.get(&path(&task)).await.text;
    assert!(!page.contains(SECRET) && page.contains("Why you must see it"), "its time is over: {page}");
}

#[tokio::test]
async fn a_report_for_a_spreadsheet_is_marked_once() {
    let scene = scene();
    let (_, _, bytes) = scene.browser_of("operator").await.bytes("/console/reports.csv").await;
    assert!(bytes.starts_with(b"\xef\xbb\xbfFrom,"), "{:?}", bytes.get(..12));
}

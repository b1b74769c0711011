//! Notices over a store and a clock that is set, and a mail server that does as it is told.

use std::sync::{Mutex, PoisonError};

use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::{
    config::{Config, Env},
    domain::{Event, ManualClock, event::TEST_ROUTE},
    store::{made, sqlite::SqliteStore},
};

const CONFIG: &str = r#"
[store]
url = "sqlite:unused.db"
[smtp]
address = "127.0.0.1:25"
tls = "none"
from = "onward@trust.example"
[routes]
file = "routes.toml"
[[system]]
id = "rio"
name = "RiO"
ods-code = "RW4"
tokens = [{ env = "TOKEN" }]
[[provider]]
id = "choir"
name = "Choir"
ods-code = "U99999"
inbox = { kind = "worklist", notify = ["team@choir.example", "lead@choir.example"] }
[[provider]]
id = "garden"
name = "Garden"
ods-code = "U99998"
inbox = { kind = "worklist" }
"#;

/// What the server does with an address.
#[derive(Default)]
struct Double {
    sent: Mutex<Vec<Letter>>,
    away: Mutex<bool>,
    refuses: Mutex<Vec<String>>,
    tried: Mutex<u32>,
}

fn open<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Post for Double {
    async fn send(&self, letter: &Letter) -> Result<(), PostError> {
        *open(&self.tried) += 1;
        if *open(&self.away) {
            return Err(PostError::Away("connecting: no answer in time".into()));
        }
        if open(&self.refuses).contains(&letter.to) {
            return Err(PostError::Refused("the address: the server said 550".into()));
        }
        open(&self.sent).push(letter.clone());
        Ok(())
    }
}

struct Scene {
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    server: Arc<Double>,
    registry: Arc<ArcSwap<Registry>>,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn begun() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let env = Env::from_iter([("TOKEN", "a-token-of-everybody-0123")]);
        std::fs::write(folder.path().join("routes.toml"), "[triage]\nto = \"choir\"\n").unwrap();
        let (config, _) = Config::parse(CONFIG, &folder.path().join("onward.toml"), &env).unwrap();
        let clock = Arc::new(ManualClock::at("2026-03-02T09:00:00Z".parse().unwrap()));
        let store = Arc::new(SqliteStore::open(&folder.path().join("onward.db"), clock.clone()).unwrap());
        let registry = Arc::new(ArcSwap::from_pointee(config.registry));
        let scene = Self { store, clock, server: Arc::default(), registry, _folder: folder };
        scene.process().look().await.unwrap();
        // what comes from now on is younger than what was begun with
        scene.clock.advance(1);
        scene
    }

    /// One of any number of processes.
    fn process(&self) -> Noticing {
        Noticing {
            store: Arc::clone(&self.store),
            registry: Arc::clone(&self.registry),
            post: Arc::clone(&self.server) as Arc<dyn Post>,
            every: SignedDuration::from_mins(15),
            base_url: "https://onward.example".into(),
        }
    }

    /// Some time passes and two processes look at once.
    async fn passes(&self, seconds: i64) {
        self.clock.advance(seconds);
        let (one, other) = (self.process(), self.process());
        let (a, b) = tokio::join!(one.look(), other.look());
        a.and(b).unwrap();
    }

    async fn refers(&self, inbox: &str, priority: &str) -> TaskId {
        let request = json!({"resourceType": "ServiceRequest", "reasonCode": [{"text": "MARKED"}]});
        self.stores(inbox, json!({"status": "requested", "priority": priority, "for": {"display": "MARKED"}}), request)
            .await
    }

    /// A test of Onward's own.
    async fn refers_test(&self, inbox: &str) -> TaskId {
        let meta = json!({"tag": [test_data::tag()]});
        let identifier = json!([test_data::own_identifier()]);
        let request = json!({"resourceType": "ServiceRequest", "meta": meta, "identifier": identifier});
        let task = json!({"status": "requested", "priority": "urgent", "meta": meta});
        self.stores_by(Some(TEST_ROUTE), inbox, task, request).await
    }

    /// A sender's own, which says of itself what Onward's say.
    async fn refers_as_if_test(&self, inbox: &str) -> TaskId {
        let request = json!({"resourceType": "ServiceRequest", "identifier": [test_data::own_identifier()]});
        self.stores(inbox, json!({"status": "requested", "priority": "routine"}), request).await
    }

    async fn stores(&self, inbox: &str, task: serde_json::Value, body: serde_json::Value) -> TaskId {
        self.stores_by(None, inbox, task, body).await
    }

    async fn stores_by(
        &self,
        by: Option<&str>,
        inbox: &str,
        task: serde_json::Value,
        body: serde_json::Value,
    ) -> TaskId {
        let (request, id) = (Uuid::now_v7(), TaskId(Uuid::now_v7()));
        let resources = vec![made::resource("ServiceRequest", request, &body, names::of(&body))];
        let mut referral = made::referral(&request.to_string(), inbox, request, (id, &task), resources);
        if let Event::Submitted { route, .. } = &mut referral.tasks[0].events[0].event {
            *route = by.map(str::to_owned);
        }
        self.store.submit(made::submission("rio", vec![referral])).await.unwrap();
        id
    }

    /// To whom letters went since the last look, in order, and their subjects.
    fn sent(&self) -> Vec<(String, String)> {
        std::mem::take(&mut *open(&self.server.sent)).into_iter().map(|letter| (letter.to, letter.subject)).collect()
    }

    async fn alerts(&self) -> Vec<String> {
        self.store.open_alerts(9).await.unwrap().into_iter().map(|alert| alert.subject).collect()
    }
}

fn to_both(subject: &str) -> Vec<(String, String)> {
    ["team@choir.example", "lead@choir.example"].map(|to| (to.to_owned(), subject.to_owned())).to_vec()
}

#[tokio::test]
async fn of_two_processes_one_tells_and_what_comes_next_waits_its_time() {
    let scene = Scene::begun().await;
    scene.refers("choir", "routine").await;
    scene.refers("garden", "routine").await;
    scene.passes(5).await;
    assert_eq!(scene.sent(), [], "a commit with an earlier time may still come");
    scene.passes(10).await;
    assert_eq!(scene.sent(), to_both("1 referral waits at Choir"), "each once, and nobody of the garden");
    scene.refers("choir", "routine").await;
    scene.refers("choir", "routine").await;
    scene.passes(60).await;
    scene.passes(60).await;
    assert_eq!(scene.sent(), [], "not so soon after the last");
    scene.passes(15 * 60).await;
    assert_eq!(scene.sent(), to_both("3 referrals wait at Choir"), "gathered");
    scene.passes(60 * 60).await;
    assert_eq!(scene.sent(), [], "what was told is not told again");
}

/// A test is no news, and nobody waits with it.
#[tokio::test]
async fn a_test_is_told_to_nobody_and_counted_in_no_notice() {
    let scene = Scene::begun().await;
    scene.refers_test("choir").await;
    scene.passes(15).await;
    assert_eq!(scene.sent(), [], "urgent or not");
    scene.refers_as_if_test("choir").await;
    scene.passes(15).await;
    let sent = std::mem::take(&mut *open(&scene.server.sent));
    assert_eq!(sent[0].subject, "1 referral waits at Choir");
    assert!(!sent[0].text.contains('2'), "of two that wait one is a test: {}", sent[0].text);
    assert!(sent[0].text.contains('1'), "and one is none: {}", sent[0].text);
}

#[tokio::test]
async fn what_is_urgent_does_not_wait() {
    let scene = Scene::begun().await;
    scene.refers("choir", "routine").await;
    scene.passes(15).await;
    assert_eq!(scene.sent().len(), 2);
    scene.refers("choir", "urgent").await;
    scene.passes(62).await;
    assert_eq!(scene.sent(), to_both("Urgent: 1 urgent referral waits at Choir"));
}

#[tokio::test]
async fn a_server_that_was_away_is_sent_one_notice_of_all() {
    let scene = Scene::begun().await;
    *open(&scene.server.away) = true;
    scene.refers("choir", "routine").await;
    for _ in 0..5 {
        scene.passes(400).await;
    }
    assert!((3..=5).contains(&*open(&scene.server.tried)), "{}", open(&scene.server.tried));
    assert_eq!(scene.alerts().await, ["smtp"]);
    scene.refers("choir", "routine").await;
    scene.passes(15).await;
    *open(&scene.server.away) = false;
    scene.passes(400).await;
    assert_eq!(scene.sent(), to_both("2 referrals wait at Choir"));
    assert_eq!(scene.alerts().await, [""; 0], "it is over");
    scene.passes(3600).await;
    assert_eq!(scene.sent(), []);
}

#[tokio::test]
async fn an_address_that_is_refused_holds_up_nobody_and_is_told() {
    let scene = Scene::begun().await;
    open(&scene.server.refuses).push("team@choir.example".into());
    scene.refers("choir", "routine").await;
    scene.passes(15).await;
    assert_eq!(scene.sent(), [("lead@choir.example".to_owned(), "1 referral waits at Choir".to_owned())]);
    assert_eq!(scene.alerts().await, ["choir"]);
    scene.passes(3600).await;
    assert_eq!((scene.sent(), *open(&scene.server.tried)), (vec![], 2));
}

/// A process that died while it sent: another goes on after its time, under the same name.
#[tokio::test]
async fn what_was_being_sent_is_another_processs_after_its_time() {
    let scene = Scene::begun().await;
    scene.refers("choir", "routine").await;
    scene.clock.advance(15);
    let inbox: InboxId = "choir".parse().unwrap();
    let (_, kept) = scene.store.notices().await.unwrap().remove(0);
    let mut notices = kept.notices;
    notices.seen_until = scene.store.now();
    notices.news.new = 1;
    notices.make(vec!["team@choir.example".into()], 1, scene.store.now());
    notices.held_until = Some(held_until(scene.store.now()));
    let id = notices.notice.as_ref().unwrap().id.to_string();
    assert!(scene.store.set_notices(&inbox, kept.version, notices).await.unwrap());
    scene.passes(60).await;
    assert_eq!(scene.sent(), [], "it may still be at it");
    scene.passes(61).await;
    let sent = std::mem::take(&mut *open(&scene.server.sent));
    assert_eq!(sent.len(), 1);
    assert!(sent[0].id.starts_with(&id), "{} {id}", sent[0].id);
    assert!(!format!("{sent:?}").contains("MARKED"), "nothing of anybody");
}

#[tokio::test]
async fn who_is_told_no_longer_is_sent_nothing() {
    let scene = Scene::begun().await;
    *open(&scene.server.away) = true;
    scene.refers("choir", "routine").await;
    scene.passes(15).await;
    let mut registry = Registry::clone(&scene.registry.load());
    registry.inboxes.values_mut().for_each(|inbox| inbox.notify.retain(|to| to.starts_with("team")));
    scene.registry.store(Arc::new(registry));
    *open(&scene.server.away) = false;
    scene.passes(400).await;
    assert_eq!(scene.sent(), [("team@choir.example".to_owned(), "1 referral waits at Choir".to_owned())]);
}

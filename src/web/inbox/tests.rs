//! The inbox as a browser meets it: what a provider's people see and do, and that nobody else does.

use axum::http::{StatusCode, header};
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::super::tests::{BASE, Browser, PASSWORD, Page, Scene, scene_of};
use crate::{
    config::{Config, Env, registry::Client},
    conversation,
    domain::{Event, ReferralId, TaskId, TaskStatus},
    intake::Incoming,
    store::StoredResource,
};

mod list;
mod meanwhile;
mod news;
mod pace;
mod put_right;
mod trial;
mod way_back;

const CONFIG: &str = r#"
[server]
base-url = "https://onward.example"
[store]
url = "sqlite:unused.db"
[routes]
file = "routes.toml"
[people]
local = true
[[system]]
id = "rio"
name = "RiO"
ods-code = "RW4"
tokens = [{ env = "TOKEN" }]
[[provider]]
id = "link-workers"
name = "Link workers"
ods-code = "U99999"
inbox = { kind = "worklist" }
[[provider]]
id = "mind"
name = "Mind"
ods-code = "ZH999"
inbox = { kind = "worklist" }
[[inbox]]
id = "triage"
provider = "link-workers"
kind = "worklist"
"#;

/// Pages with a link worker who has logged in.
pub(super) async fn scene() -> (Scene, Browser) {
    scene_with("[triage]\nto = \"triage\"\n").await
}

/// The same, of whom nobody asks how often she comes.
pub(super) async fn scene_without_rates() -> (Scene, Browser) {
    scene_changed("[triage]\nto = \"triage\"\n", |config| config.limits.address_rate = 100_000).await
}

/// The same under these routes.
pub(super) async fn scene_with(routes: &str) -> (Scene, Browser) {
    scene_changed(routes, |_| {}).await
}

async fn scene_changed(routes: &str, change: impl FnOnce(&mut Config)) -> (Scene, Browser) {
    scene_of_config(CONFIG, routes, change).await
}

/// The same of another configuration.
async fn scene_of_config(text: &str, routes: &str, change: impl FnOnce(&mut Config)) -> (Scene, Browser) {
    let folder = tempfile::tempdir().unwrap();
    let env = Env::from_iter([("TOKEN", "a-token-of-everybody-0123")]);
    std::fs::write(folder.path().join("routes.toml"), routes).unwrap();
    let (mut config, _) = Config::parse(text, &folder.path().join("onward.toml"), &env).unwrap();
    change(&mut config);
    let scene = scene_of(BASE, config, folder);
    // the fixtures were written by then
    scene.clock.advance(30 * 24 * 3600);
    let key = scene.enrolled("luke", "provider-worker:link-workers").await;
    let luke = scene.logged_in("luke", &key).await;
    (scene, luke)
}

impl Scene {
    /// Sends a fixture, which goes to the link workers' triage; its Task.
    pub(super) async fn refers(&self, file: &str, number: &str) -> TaskId {
        self.refers_changed(file, number, |_| {}).await
    }

    /// The same of a fixture with something changed in it.
    pub(super) async fn refers_changed(&self, file: &str, number: &str, change: impl FnOnce(&mut Value)) -> TaskId {
        let path = format!("{}/fixtures/referrals/{file}", env!("CARGO_MANIFEST_DIR"));
        let mut body: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let expected = if body["resourceType"] == "Bundle" { "Bundle" } else { "ServiceRequest" };
        let request = match body["entry"].as_array_mut() {
            None => &mut body,
            Some(entries) => {
                let all = entries.iter_mut().map(|entry| &mut entry["resource"]);
                all.into_iter().find(|one| one["resourceType"] == "ServiceRequest").unwrap()
            }
        };
        request["identifier"][0]["value"] = number.into();
        change(&mut body);
        let incoming = Incoming {
            system: "rio".parse().unwrap(),
            expected,
            content_type: "application/fhir+json".into(),
            original: body.to_string().into(),
            body,
            faults: vec![],
            if_none_exist: None,
            idempotency_key: None,
            traceparent: None,
        };
        self.intake.accept(incoming).await.unwrap().referrals[0].tasks[0]
    }

    pub(super) async fn status(&self, task: TaskId) -> TaskStatus {
        self.store.task(task).await.unwrap().unwrap().state.status
    }

    pub(super) async fn body(&self, task: TaskId) -> Value {
        let version = self.store.task(task).await.unwrap().unwrap().version;
        crate::lanes::task_body(&*self.store, task, version).await.unwrap()
    }

    /// The referrer writes about a referral, and names no question that it would answer.
    pub(super) async fn writes(&self, task: TaskId, text: &str) {
        self.writes_changed(task, text, |_| {}).await;
    }

    /// The same with something changed in the message.
    async fn writes_changed(&self, task: TaskId, text: &str, change: impl FnOnce(&mut Value)) {
        let record = self.store.task(task).await.unwrap().unwrap();
        let mut body = serde_json::json!({
            "resourceType": "Communication", "status": "completed",
            "basedOn": [{"reference": format!("ServiceRequest/{}", record.request)}],
            "payload": [{"contentString": text}],
        });
        change(&mut body);
        let incoming = conversation::Incoming { clients: vec![Client::System(record.system)], body, key: None };
        self.conversation.say(incoming).await.unwrap();
    }

    /// The referrer changes a referral.
    async fn changes(&self, task: TaskId, change: impl Fn(&mut Value) + Send + Sync) {
        let request = self.store.task(task).await.unwrap().unwrap().request;
        let version = self.store.resource("ServiceRequest", request, None).await.unwrap().unwrap().0.version;
        let make = |current: &Value| {
            let mut wanted = current.clone();
            change(&mut wanted);
            Ok(wanted)
        };
        self.conversation.change(request, version, make).await.unwrap();
    }

    async fn answers(&self, task: TaskId) -> usize {
        let journal = self.store.journal(task).await.unwrap();
        journal.iter().filter(|line| matches!(line.event, Event::Answered { .. })).count()
    }
}

impl Page {
    pub(super) fn version(&self) -> &str {
        self.between("name=\"version\" value=\"", "\"")
    }
}

/// A resource as the store has it after its first write.
pub(super) fn stored(kind: &str, id: Uuid, body: &Value) -> StoredResource {
    StoredResource {
        kind: kind.to_owned(),
        id,
        version: 1,
        last_updated: Timestamp::UNIX_EPOCH,
        referral: ReferralId(Uuid::nil()),
        origin: None,
        task: None,
        later: false,
        body: body.to_string(),
    }
}

pub(super) const WHOLE: &str = "03-full-bundle.json";

#[tokio::test]
async fn a_referral_is_one_page_and_its_answer_goes_by_its_version() {
    let (scene, mut luke) = scene().await;
    let task = scene.refers(WHOLE, "R-1").await;
    let at = format!("/inbox/{task}");
    let page = luke.get(&at).await;
    for told in [
        "Declan Rimmer",
        "Happy to be phoned.",
        "Low mood and isolation",
        "Consent is given",
        "Letter of support",
        "RiO sent the referral",
    ] {
        assert!(page.text.contains(told), "{told}: {}", page.text);
    }
    assert!(page.text.contains("<title>Referral – Onward</title>"), "no name stands in a title");
    assert_eq!(scene.status(task).await, TaskStatus::Requested, "to look at it is no answer");
    let (made_for, version) = (page.made_for().to_owned(), page.version().to_owned());
    let fields = [("made-for", made_for.as_str()), ("version", version.as_str())];
    assert_eq!(luke.post(&format!("{at}/accepted"), &fields).await.to(), format!("{at}?done=accepted"));
    assert_eq!(scene.status(task).await, TaskStatus::Accepted);
    let journal = scene.store.journal(task).await.unwrap();
    let last = journal.last().unwrap();
    let asked = last.asked_by.as_ref().map(|asked| (asked.request.as_str(), asked.person.as_deref()));
    assert_eq!(asked, Some(("request-1", Some("local:luke"))), "the organisation is its actor, and she did it");
    assert_eq!(last.actor, crate::domain::Actor::Provider("link-workers".parse().unwrap()));
    // the button again, and a page that is old
    let again = luke.post(&format!("{at}/accepted"), &fields).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    let late = [("made-for", made_for.as_str()), ("version", version.as_str()), ("reason", "No room")];
    assert_eq!(luke.post(&format!("{at}/rejected"), &late).await.status, StatusCode::CONFLICT);
    assert_eq!((scene.status(task).await, scene.answers(task).await), (TaskStatus::Accepted, 1));
    assert!(luke.get(&format!("{at}?done=accepted")).await.text.contains("You have accepted this referral."));
}

#[tokio::test]
async fn what_ends_a_referral_asks_why_and_nothing_comes_after() {
    let (scene, mut luke) = scene().await;
    let task = scene.refers(WHOLE, "R-1").await;
    let at = format!("/inbox/{task}");
    let form = luke.get(&format!("{at}/rejected")).await;
    assert!(form.text.contains("This ends the referral here."), "{}", form.text);
    let (made_for, version) = (form.made_for().to_owned(), form.version().to_owned());
    let send = async |luke: &mut Browser, reason: &str| {
        let fields =
            [("made-for", made_for.as_str()), ("version", version.as_str()), ("reason", reason), ("more", "Try Mind")];
        luke.post(&format!("{at}/rejected"), &fields).await
    };
    let missing = send(&mut luke, "").await;
    assert_eq!(missing.status, StatusCode::UNPROCESSABLE_ENTITY);
    for told in [
        "<title>Error: ",
        "There is a problem",
        "href=\"#reason\"",
        "Choose why you decline it",
        ">Try Mind</textarea>",
    ] {
        assert!(missing.text.contains(told), "{told}: {}", missing.text);
    }
    assert_eq!(scene.status(task).await, TaskStatus::Requested);
    assert_eq!(send(&mut luke, "No room").await.status, StatusCode::SEE_OTHER);
    assert_eq!(scene.body(task).await["statusReason"]["text"], "No room: Try Mind");
    for action in ["accepted", "completed", "on-hold", "rejected"] {
        let page = luke.get(&format!("{at}/{action}")).await;
        assert_ne!(page.status, StatusCode::OK, "{action}");
        let fields = [("made-for", made_for.as_str()), ("version", "99"), ("reason", "No room"), ("outcome", "x")];
        let page = luke.post(&format!("{at}/{action}"), &fields).await;
        assert_eq!(page.status, StatusCode::CONFLICT, "{action}: {}", page.text);
    }
    let page = luke.get(&at).await.text;
    assert!(
        !page.contains("Save worker") && page.contains("It was ended in error"),
        "an end offers nothing else: {page}"
    );
    assert!(luke.get("/inbox?view=closed").await.text.contains("Declan Rimmer"));
}

#[tokio::test]
async fn the_daily_work_of_a_link_worker_is_kept_in_the_task() {
    let (scene, mut luke) = scene().await;
    let task = scene.refers(WHOLE, "R-1").await;
    let at = format!("/inbox/{task}");
    let act = async |luke: &mut Browser, action: &str, more: &[(&str, &str)]| {
        let made_for = luke.get(&at).await.made_for().to_owned();
        let version = scene.store.task(task).await.unwrap().unwrap().version.to_string();
        let once = Uuid::now_v7().to_string();
        let mut fields = vec![("made-for", made_for.as_str()), ("version", version.as_str()), ("once", once.as_str())];
        fields.extend(more);
        let page = luke.post(&format!("{at}/{action}"), &fields).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{action}: {}", page.text);
    };
    act(&mut luke, "accepted", &[]).await;
    let contact = [
        ("way", "Phone call"),
        ("result", "No answer"),
        ("note", "Try after 5pm"),
        ("day", "1/4/2026"),
        ("time", "12:01am"),
    ];
    act(&mut luke, "contact", &contact).await;
    act(&mut luke, "schedule", &[("day", "9/4/2026"), ("time", "2:30pm"), ("note", "Library, room 2")]).await;
    act(&mut luke, "on-hold", &[("reason", "In hospital until April")]).await;
    act(&mut luke, "in-progress", &[]).await;
    let done = [("outcome", "Joined a choir"), ("activities", "Choir"), ("before-happy", "2"), ("after-happy", "7")];
    act(&mut luke, "completed", &done).await;
    let body = scene.body(task).await;
    assert_eq!(
        (body["status"].as_str(), body["executionPeriod"]["start"].as_str()),
        (Some("completed"), Some("2026-04-09T14:30:00+01:00"))
    );
    assert_eq!(body["output"].as_array().unwrap().len(), 4, "{body}");
    let page = luke.get(&at).await;
    for told in [
        "Phone call: No answer.\nTry after 5pm",
        "Contact with the person",
        "1 April 2026, 12:01am (noted ",
        "9 April 2026, 2:30pm",
        "ONS4 after: Happiness",
        "Anna Ärzte completed it, noted what came of it, activities, ONS4 scores (before)",
        "Anna Ärzte began to work on it, booked an appointment and wrote a note",
    ] {
        assert!(page.text.contains(told), "{told}: {}", page.text);
    }
}

#[tokio::test]
async fn a_message_is_said_once_however_often_its_form_is_sent() {
    let (scene, mut luke) = scene().await;
    let task = scene.refers(WHOLE, "R-1").await;
    let at = format!("/inbox/{task}");
    let page = luke.get(&at).await;
    let (made_for, once) = (page.made_for().to_owned(), page.between("name=\"once\" value=\"", "\"").to_owned());
    let fields =
        [("made-for", made_for.as_str()), ("once", once.as_str()), ("message", "Which floor?"), ("asks", "yes")];
    for _ in 0..2 {
        assert_eq!(luke.post(&format!("{at}/message"), &fields).await.to(), format!("{at}?done=asked"));
    }
    let journal = scene.store.journal(task).await.unwrap();
    assert_eq!(journal.iter().filter(|line| matches!(line.event, Event::Message { asks: true, .. })).count(), 1);
    let page = luke.get(&at).await;
    assert!(page.text.contains("Which floor?") && page.text.contains("Waiting for the referrer"), "{}", page.text);
    let nothing = [("made-for", made_for.as_str()), ("once", once.as_str()), ("message", " ")];
    let page = luke.post(&format!("{at}/message"), &nothing).await;
    assert!(page.status == StatusCode::UNPROCESSABLE_ENTITY && page.text.contains("Write what you want to say"));
}

#[tokio::test]
async fn a_document_is_taken_as_a_file_and_never_shown_as_a_page() {
    let (scene, mut luke) = scene().await;
    let task = scene.refers(WHOLE, "R-1").await;
    let page = luke.get(&format!("/inbox/{task}")).await;
    let path = format!("/inbox/{task}/documents/{}", page.between(&format!("/inbox/{task}/documents/"), "\""));
    let file = luke.get(&path).await;
    assert!(file.text.starts_with("Letter of support"), "{}", file.text);
    let told = |name: header::HeaderName| file.headers[name].to_str().unwrap();
    assert_eq!(told(header::CONTENT_TYPE), "text/plain");
    assert_eq!(told(header::CONTENT_DISPOSITION), "attachment; filename=\"Letter-of-support.txt\"");
    assert_eq!(told(header::CONTENT_SECURITY_POLICY), "sandbox; default-src 'none'");
    assert_eq!(told(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
    assert_eq!(told(header::CACHE_CONTROL), "no-store");
}

/// Whatever is asked of another provider's referral is answered as of one that is not there, and nothing happens.
#[tokio::test]
async fn nobody_else_sees_or_does_anything() {
    let (scene, mut luke) = scene().await;
    let task = scene.refers(WHOLE, "R-1").await;
    let page = luke.get(&format!("/inbox/{task}")).await;
    let document = page
        .between(&format!("/inbox/{task}"), "\" download")
        .rsplit_once("/inbox/")
        .map_or_else(String::new, |(_, rest)| rest.to_owned());
    let document = document.split_once('/').map_or_else(String::new, |(_, rest)| format!("/{rest}"));
    let before = scene.store.journal(task).await.unwrap().len();
    let absent = TaskId(Uuid::now_v7());
    for (name, role) in [
        ("bert", "provider-worker:mind"),
        ("adam", "provider-admin:link-workers"),
        ("olga", "operator"),
        ("rita", "route-editor"),
        ("carl", "auditor"),
        ("rose", "referrer:rio"),
    ] {
        let key = scene.enrolled(name, role).await;
        let mut other = scene.logged_in(name, &key).await;
        let made_for = other.get("/account").await.made_for().to_owned();
        let plain = |page: &Page| {
            let text = page.text.replace(page.between("name=\"made-for\" value=\"", "\""), "");
            (page.status, text)
        };
        for path in ["", "/rejected", "/completed", "/contact", &document] {
            let (theirs, nothing) =
                (other.get(&format!("/inbox/{task}{path}")).await, other.get(&format!("/inbox/{absent}{path}")).await);
            assert_eq!(theirs.status, StatusCode::NOT_FOUND, "{name} {path}");
            assert_eq!(plain(&theirs), plain(&nothing), "{name} {path}");
        }
        for path in ["/accepted", "/rejected", "/completed", "/contact", "/message", "/give"] {
            let fields = [
                ("made-for", made_for.as_str()),
                ("version", "1"),
                ("reason", "No room"),
                ("outcome", "x"),
                ("way", "Letter"),
                ("result", "No answer"),
                ("message", "x"),
                ("to", "none"),
            ];
            let theirs = other.post(&format!("/inbox/{task}{path}"), &fields).await;
            let nothing = other.post(&format!("/inbox/{absent}{path}"), &fields).await;
            assert_eq!(theirs.status, StatusCode::NOT_FOUND, "{name} {path}");
            assert_eq!(plain(&theirs), plain(&nothing), "{name} {path}");
        }
        let id = task.to_string();
        other.post("/inbox/assign", &[("made-for", made_for.as_str()), ("to", "none"), ("task", id.as_str())]).await;
        other
            .post(
                "/inbox/assign",
                &[("made-for", made_for.as_str()), ("to", &format!("local:{name}")), ("task", id.as_str())],
            )
            .await;
        for path in ["/inbox", "/inbox/lines", "/inbox/list.csv"] {
            let page = other.get(path).await;
            assert!(!page.text.contains("Rimmer"), "{name} {path}");
            assert_eq!(page.status == StatusCode::OK, name == "bert", "{name} {path}");
        }
        let found = other.post("/inbox/search", &[("made-for", made_for.as_str()), ("sought", "9990742677")]).await;
        assert!(!found.text.contains("Rimmer"), "{name}");
    }
    let mut nobody = scene.browser();
    assert!(nobody.get(&format!("/inbox/{task}")).await.to().starts_with("/login?return-to="));
    assert_eq!(scene.store.journal(task).await.unwrap().len(), before, "nothing happened");
}

#[tokio::test]
async fn a_wish_to_cancel_is_answered_either_way() {
    let (scene, mut luke) = scene().await;
    let task = scene.refers(WHOLE, "R-1").await;
    let at = format!("/inbox/{task}");
    let page = luke.get(&at).await;
    luke.post(&format!("{at}/accepted"), &[("made-for", page.made_for()), ("version", page.version())]).await;
    let record = scene.store.task(task).await.unwrap().unwrap();
    let (request, _) = scene.store.resource("ServiceRequest", record.request, None).await.unwrap().unwrap();
    let mut body: Value = serde_json::from_str(&request.body).unwrap();
    body["status"] = "revoked".into();
    let version = request.version;
    scene.conversation.change(record.request, version, |_| Ok(body.clone())).await.unwrap();
    let page = luke.get(&at).await;
    assert!(page.text.contains("The referrer asks to cancel this referral"), "{}", page.text);
    let fields = [
        ("made-for", page.made_for().to_owned()),
        ("version", page.version().to_owned()),
        ("note", "She is on her way".to_owned()),
    ];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, text)| (*name, text.as_str())).collect();
    assert_eq!(luke.post(&format!("{at}/keep"), &fields).await.status, StatusCode::SEE_OTHER);
    let state = scene.store.task(task).await.unwrap().unwrap().state;
    assert_eq!((state.status, state.cancel_requested), (TaskStatus::Accepted, false));
}

/// Whoever opens the address of a form, or one that is none, is led back and told in plain words.
#[tokio::test]
async fn nobody_who_goes_astray_meets_a_blank_page_or_fhir() {
    let (scene, mut luke) = scene().await;
    let task = scene.refers(WHOLE, "R-1").await;
    for (path, page) in [
        ("/inbox/search".to_owned(), "/inbox".to_owned()),
        ("/inbox/assign".to_owned(), "/inbox".to_owned()),
        (format!("/inbox/{task}/give"), format!("/inbox/{task}")),
        (format!("/inbox/{task}/accepted"), format!("/inbox/{task}")),
    ] {
        assert_eq!(luke.get(&path).await.to(), page, "{path}");
    }
    for (path, status) in [("/inbx", StatusCode::NOT_FOUND), ("/login/backchannel", StatusCode::NOT_FOUND)] {
        let page = luke.get(path).await;
        assert_eq!(page.status, status, "{path}");
        assert!(page.text.contains("There is no page at this address."), "{path}: {}", page.text);
        assert!(page.headers.contains_key(header::CONTENT_SECURITY_POLICY), "{path}");
    }
    assert_eq!(scene.status(task).await, TaskStatus::Requested, "to look is no answer");
}

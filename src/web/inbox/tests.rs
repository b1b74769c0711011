//! The inbox as a browser meets it: what a provider's people see and do, and that nobody else does.

use axum::http::{StatusCode, header};
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::tests::{BASE, Browser, Page, Scene, scene_of};
use crate::{
    config::{Config, Env},
    domain::{Actor, Event, ReferralId, TaskId, TaskStatus},
    fhir::task as fhir_task,
    intake::Incoming,
    store::{NewEvent, NewReferral, NewResource, NewTask, Submission, Submit},
};

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

/// The same under these routes.
pub(super) async fn scene_with(routes: &str) -> (Scene, Browser) {
    let folder = tempfile::tempdir().unwrap();
    let env = Env::from_iter([("TOKEN", "a-token-of-everybody-0123")]);
    std::fs::write(folder.path().join("routes.toml"), routes).unwrap();
    let (config, _) = Config::parse(CONFIG, &folder.path().join("onward.toml"), &env).unwrap();
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

pub(super) const WHOLE: &str = "03-full-bundle.json";

#[tokio::test]
async fn a_worklist_shows_who_waits_and_its_url_says_what_it_shows() {
    let (scene, mut luke) = scene().await;
    assert!(luke.get("/inbox").await.text.contains("There are no referrals here."));
    let task = scene.refers(WHOLE, "R-1").await;
    scene.refers("06-interpreter-arabic.json", "R-2").await;
    let page = luke.get("/inbox").await;
    assert_eq!(page.status, StatusCode::OK);
    for told in [
        "Declan Rimmer",
        "born 2 November 1984, 999 074 2677",
        "ليلى حدّاد",
        &format!("href=\"/inbox/{task}\""),
        "<b>2</b>All open",
    ] {
        assert!(page.text.contains(told), "{told}: {}", page.text);
    }
    assert!(page.text.contains("<title>Referrals – Onward</title>"), "no name stands in a title");
    assert!(luke.get("/inbox?view=active").await.text.contains("There are no referrals here."));
    assert!(luke.get("/inbox?view=new&sort=name").await.text.contains("Declan Rimmer"));
    let csv = luke.get("/inbox/list.csv?view=new").await;
    assert!(csv.headers[header::CONTENT_DISPOSITION].to_str().unwrap().starts_with("attachment"));
    assert!(csv.text.contains("R-1,999 074 2677,Declan Rimmer,1984-11-02"), "{}", csv.text);
}

#[tokio::test]
async fn what_changes_is_told_once() {
    let (scene, mut luke) = scene().await;
    scene.refers(WHOLE, "R-1").await;
    let first = luke.get("/inbox/lines").await;
    let tag = first.headers[header::ETAG].to_str().unwrap().to_owned();
    luke.has = Some(tag);
    let same = luke.get("/inbox/lines").await;
    assert_eq!((same.status, same.text.as_str()), (StatusCode::NOT_MODIFIED, ""));
    let task = scene.refers("06-interpreter-arabic.json", "R-2").await;
    let other = luke.get("/inbox/lines").await;
    assert!(other.status == StatusCode::OK && other.text.contains(&task.to_string()));
    assert!(!other.text.contains("made-for"), "what is asked for again and again bears no secret");
}

/// A page that asks by itself for what is new is no person who is there.
#[tokio::test]
async fn a_session_is_not_kept_alive_by_its_page() {
    let (scene, mut luke) = scene().await;
    for _ in 0..14 {
        scene.clock.advance(60);
        assert_eq!(luke.get("/inbox/lines").await.status, StatusCode::OK);
    }
    scene.clock.advance(60);
    assert!(luke.get("/inbox/lines").await.to().starts_with("/login"), "left alone for a quarter of an hour");
    assert!(luke.get("/inbox").await.to().starts_with("/login"));
}

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
    assert!(!luke.get(&at).await.text.contains("What next"), "an ended referral offers nothing");
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
    act(&mut luke, "contact", &[("way", "Phone call"), ("result", "No answer"), ("note", "Try after 5pm")]).await;
    act(&mut luke, "schedule", &[("day", "9/3/2026"), ("note", "Library, room 2")]).await;
    act(&mut luke, "on-hold", &[("reason", "In hospital until April")]).await;
    act(&mut luke, "in-progress", &[]).await;
    let done = [("outcome", "Joined a choir"), ("activities", "Choir"), ("before-happy", "2"), ("after-happy", "7")];
    act(&mut luke, "completed", &done).await;
    let body = scene.body(task).await;
    assert_eq!(
        (body["status"].as_str(), body["executionPeriod"]["start"].as_str()),
        (Some("completed"), Some("2026-03-09"))
    );
    assert_eq!(body["output"].as_array().unwrap().len(), 4, "{body}");
    let page = luke.get(&at).await;
    for told in [
        "Phone call: No answer.\nTry after 5pm",
        "Contact with the person",
        "ONS4 after: Happiness",
        "Link workers completed it",
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
async fn referrals_are_given_to_somebody_one_and_many() {
    let (scene, mut luke) = scene().await;
    scene.enrolled("mary", "provider-worker:link-workers").await;
    scene.enrolled("bert", "provider-worker:mind").await;
    let tasks = [scene.refers(WHOLE, "R-1").await, scene.refers("06-interpreter-arabic.json", "R-2").await];
    let made_for = luke.get("/inbox").await.made_for().to_owned();
    let ids: Vec<String> = tasks.iter().map(ToString::to_string).collect();
    let mut fields = vec![("made-for", made_for.as_str()), ("to", "local:mary"), ("back", "view=new")];
    fields.extend(ids.iter().map(|id| ("task", id.as_str())));
    assert_eq!(luke.post("/inbox/assign", &fields).await.to(), "/inbox?view=new&done=assigned-2-0");
    assert_eq!(scene.body(tasks[0]).await["owner"]["identifier"]["value"], "local:mary");
    assert_eq!(scene.status(tasks[0]).await, TaskStatus::Requested, "to give it to somebody is no answer");
    assert!(luke.get("/inbox?worker=none").await.text.contains("There are no referrals here."));
    assert!(luke.get("/inbox?worker=local%3Amary").await.text.contains("Declan Rimmer"));
    fields[1].1 = "none";
    luke.post("/inbox/assign", &fields).await;
    assert!(luke.get("/inbox?worker=none").await.text.contains("Declan Rimmer"));
    // nor to somebody who does not work here
    fields[1].1 = "local:bert";
    assert_eq!(luke.post("/inbox/assign", &fields).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let one = [("made-for", made_for.as_str()), ("to", "local:luke")];
    let at = format!("/inbox/{}", tasks[1]);
    assert_eq!(luke.post(&format!("{at}/give"), &one).await.to(), format!("{at}?done=given"));
    assert_eq!(scene.body(tasks[1]).await["owner"]["display"], "Anna Ärzte", "by the name of the account");
}

#[tokio::test]
async fn a_search_finds_by_name_number_and_reference_and_stands_in_no_url() {
    let (scene, mut luke) = scene().await;
    scene.refers(WHOLE, "R-2026-77").await;
    let made_for = luke.get("/inbox").await.made_for().to_owned();
    let find = async |luke: &mut Browser, text: &str| {
        luke.post("/inbox/search", &[("made-for", made_for.as_str()), ("sought", text)]).await
    };
    for text in ["rimmer", "Declan R", "999 074 2677", "9990742677", "r-2026-77"] {
        let page = find(&mut luke, text).await;
        assert!(page.status == StatusCode::OK && page.text.contains("Declan Rimmer"), "{text}: {}", page.text);
        assert!(!page.text.contains("data-live"), "what is not in a URL cannot be asked for again");
    }
    assert!(
        find(&mut luke, "nobody").await.text.contains("Nothing was found")
            || find(&mut luke, "nobody").await.text.contains("There are no referrals here.")
    );
    assert_eq!(find(&mut luke, "").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    // an ended one, long after it left the list
    let task = scene.refers("06-interpreter-arabic.json", "R-2026-78").await;
    let page = luke.get(&format!("/inbox/{task}/rejected")).await;
    let fields = [("made-for", page.made_for()), ("version", page.version()), ("reason", "No room")];
    let fields: Vec<(&str, String)> = fields.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, text)| (*name, text.as_str())).collect();
    luke.post(&format!("/inbox/{task}/rejected"), &fields).await;
    scene.clock.advance(60 * 24 * 3600);
    let key = scene.enrolled("mary", "provider-worker:link-workers").await;
    let mut mary = scene.logged_in("mary", &key).await;
    assert!(mary.get("/inbox?view=closed").await.text.contains("There are no referrals here."));
    let made_for = mary.get("/inbox").await.made_for().to_owned();
    let found = mary.post("/inbox/search", &[("made-for", made_for.as_str()), ("sought", "9991149988")]).await;
    assert!(found.text.contains(&task.to_string()), "{}", found.text);
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

/// So many referrals lie in the store, a twentieth of them open and the link workers'. `ONWARD_TEST_REFERRALS=100000` measures what the
/// README says; a few show that it works.
#[tokio::test]
async fn a_list_of_thousands_is_read_once_and_then_kept_up_with() {
    let (scene, mut luke) = scene().await;
    let all: u32 = std::env::var("ONWARD_TEST_REFERRALS").ok().and_then(|n| n.parse().ok()).unwrap_or(400);
    let mut began = tokio::time::Instant::now();
    for first in (0..all).step_by(500) {
        let referrals = (first..all.min(first + 500)).map(|n| stored(n, n.is_multiple_of(20))).collect();
        let submission = Submission {
            id: Uuid::now_v7(),
            system: "rio".parse().unwrap(),
            content_type: "application/fhir+json".into(),
            original: "{}".into(),
            referrals,
            answer: "{}".into(),
            traceparent: None,
            asked_by: None,
        };
        assert!(matches!(scene.store.submit(submission).await.unwrap(), Submit::Stored(..)));
    }
    eprintln!("{all} referrals stored in {:?}", began.elapsed());
    let mut lap = |what: &str| {
        eprintln!("{what}: {:?}", began.elapsed());
        began = tokio::time::Instant::now();
    };
    // what changed a moment ago is read twice, and all of this is not of a moment ago
    scene.clock.advance(60);
    lap("stored");
    let page = luke.get("/inbox").await;
    lap("first look");
    let open = all.div_ceil(20);
    assert!(page.text.contains(&format!("<b>{open}</b>All open")), "{}", page.text);
    // with the pages a browser fetches style and script once, packed as browsers take them
    let beside = crate::web::assets::packed_len();
    for path in
        ["/inbox", "/inbox?sort=name&page=2", "/inbox?view=urgent", "/inbox/lines", "/inbox?view=closed", "/account"]
    {
        let (mut took, mut bytes) = (Vec::new(), 0);
        for _ in 0..if all > 1_000 { 100 } else { 3 } {
            let begun = tokio::time::Instant::now();
            let page = luke.get(path).await;
            took.push(begun.elapsed());
            assert_eq!(page.status, StatusCode::OK);
            bytes = gzipped(page.text.as_bytes()) + beside;
        }
        took.sort();
        let ms = |part: usize| took[(took.len() * part / 100).min(took.len() - 1)].as_secs_f64() * 1_000.0;
        assert!(bytes < 150 * 1024, "{path}: {bytes} bytes");
        eprintln!("page\t{path}\t{:.1}\t{:.1}\t{:.1}", ms(50), ms(99), bytes as f64 / 1024.0);
    }
    lap("pages");
    // all of them are given to somebody at once: what changed is read once, and not again with each look for ten seconds
    let lines = luke.get("/inbox/lines?sort=oldest").await;
    let tasks: Vec<TaskId> =
        lines.text.split("value=\"").skip(1).filter_map(|rest| rest.split('"').next()?.parse().ok()).collect();
    for task in &tasks {
        let page = luke.get(&format!("/inbox/{task}")).await;
        let fields = [("made-for", page.made_for()), ("version", page.version())];
        assert_eq!(luke.post(&format!("/inbox/{task}/accepted"), &fields).await.status, StatusCode::SEE_OTHER);
    }
    lap("a page of referrals accepted");
    for _ in 0..2 {
        let active = luke.get("/inbox?view=active").await;
        assert!(active.text.contains(&format!("<b>{}</b>Active", tasks.len())), "{}", active.text);
        lap("after a mass change");
    }
    let made_for = page.made_for().to_owned();
    let found = luke.post("/inbox/search", &[("made-for", made_for.as_str()), ("sought", "person 20")]).await;
    lap("search");
    assert!(found.text.contains("Person 20") || all <= 20, "{}", found.text);
    let task = scene.refers(WHOLE, "R-1").await;
    began = tokio::time::Instant::now();
    assert!(luke.get(&format!("/inbox/{task}")).await.text.contains("Declan Rimmer"));
    eprintln!("a referral: {:?}", began.elapsed());
    assert!(luke.get("/inbox?sort=newest").await.text.contains("Declan Rimmer"), "what came since is there");
}

fn gzipped(content: &[u8]) -> usize {
    use std::io::Write as _;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(content).unwrap();
    packed.finish().unwrap().len()
}

/// A referral as it lies in the store.
fn stored(n: u32, open: bool) -> NewReferral {
    let (request, person, task) = (Uuid::now_v7(), Uuid::now_v7(), TaskId(Uuid::now_v7()));
    let provider = if open { "link-workers" } else { "mind" };
    let body = json!({
        "resourceType": "ServiceRequest", "id": request.to_string(), "status": "active", "intent": "order",
        "priority": if n.is_multiple_of(3) { "urgent" } else { "routine" }, "code": {"text": "Social prescribing"},
        "subject": {"reference": format!("Patient/{person}")}, "reasonCode": [{"text": "x".repeat(2_000)}],
    });
    let patient = json!({
        "resourceType": "Patient", "id": person.to_string(), "birthDate": "1984-11-02",
        "name": [{"family": format!("{n}"), "given": ["Person"]}],
    });
    let new = fhir_task::NewTask {
        id: task,
        base_url: BASE,
        request: &body,
        owner: None,
        part_of: None,
        order: None,
        at: jiff::Timestamp::UNIX_EPOCH,
    };
    let event = Event::Submitted {
        route: None,
        route_set: "1".into(),
        inbox: provider.parse().unwrap(),
        instead_of: None,
        beside: None,
    };
    let event = NewEvent {
        event,
        actor: Actor::System("rio".parse().unwrap()),
        body: Some(fhir_task::make(&new).to_string()),
        lanes: vec![],
    };
    let resource = |kind: &str, id: Uuid, body: &Value| NewResource {
        kind: kind.into(),
        id,
        origin: None,
        names: crate::fhir::names::of(body),
        body: body.to_string(),
    };
    NewReferral {
        id: ReferralId(Uuid::now_v7()),
        key: format!("many-{n}"),
        identifier: Some(format!("https://rio.example/id|many-{n}")),
        digest: [0; 32],
        request,
        origin: None,
        route_set: "1".into(),
        decision: "{}".into(),
        resources: vec![resource("ServiceRequest", request, &body), resource("Patient", person, &patient)],
        tasks: vec![NewTask {
            id: task,
            inbox: provider.parse().unwrap(),
            provider: provider.parse().unwrap(),
            part_of: None,
            terms: Default::default(),
            resources: vec![],
            deadlines: Default::default(),
            beside: None,
            events: vec![event],
        }],
    }
}

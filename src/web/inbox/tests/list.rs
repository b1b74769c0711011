//! The worklist: what it shows, counts, finds and gives out, and how it keeps up with many.

use axum::http::{StatusCode, header};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{super::super::tests::BASE, WHOLE, scene, scene_without_rates};
use crate::{
    domain::{TaskId, TaskStatus},
    fhir::{names, task as fhir_task, test_data},
    store::{NewReferral, Submit, made},
    web::tests::{Browser, PASSWORD},
};

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
    let cells = csv.text.lines().find(|line| line.starts_with("R-1,")).unwrap();
    assert!(cells.ends_with(",Link workers (triage)"), "the service by its name: {cells}");
    assert!(csv.text.contains(",No,2026-04-01,"), "days as ISO 8601 has them: {}", csv.text);
    // what a list marks stands in its table
    scene.writes(task, "The second floor").await;
    let csv = luke.get("/inbox/list.csv?view=new").await;
    let mut table = csv::Reader::from_reader(csv.text.as_bytes());
    let names: Vec<String> = table.headers().unwrap().iter().map(str::to_owned).collect();
    let row = table.records().map(Result::unwrap).find(|row| &row[0] == "R-1").unwrap();
    let cell = |name: &str| row[names.iter().position(|own| own == name).unwrap()].to_owned();
    let told = ["Risk", "Asked to cancel", "Waiting for the referrer", "New", "Overdue"].map(cell);
    assert_eq!(told, ["No", "No", "No", "New message", "No"]);
}

/// A test stands in the list, marked, and is counted nowhere and in no table.
#[tokio::test]
async fn a_test_is_marked_and_not_counted() {
    let (scene, mut luke) = scene().await;
    scene.refers("06-interpreter-arabic.json", "R-2").await;
    let tagged = |body: &mut Value| {
        for entry in body["entry"].as_array_mut().unwrap() {
            entry["resource"]["meta"]["tag"] = json!([test_data::tag()]);
        }
    };
    let task = scene.refers_changed(WHOLE, "R-1", tagged).await;
    let page = luke.get("/inbox").await;
    assert!(page.text.contains("<b>1</b>All open") && page.text.contains("All open: 1 and 1 test"), "{}", page.text);
    assert_eq!(page.text.matches("nhsuk-tag--purple\">Test<").count(), 1);
    assert!(luke.get(&format!("/inbox/{task}")).await.text.contains("This is a test of the connection."));
    assert!(test_data::is_test(&scene.body(task).await), "whoever has the Task alone knows it, too");
    let csv = luke.get("/inbox/list.csv").await.text;
    assert!(csv.contains("R-2,") && !csv.contains("R-1,"), "{csv}");
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

/// The page of somebody who was logged in before in the same browser shows nothing of whoever is now, not even that nothing is new.
#[tokio::test]
async fn a_page_of_whoever_was_logged_in_before_is_given_nothing() {
    let (scene, mut luke) = scene().await;
    let task = scene.refers(WHOLE, "R-1").await;
    let page = luke.get("/inbox").await;
    luke.asks_of_page = Some(page.made_for().to_owned());
    let lines = luke.get("/inbox/lines").await;
    assert!(lines.status == StatusCode::OK && lines.text.contains(&task.to_string()), "{}", lines.text);
    // of the same team, so that she would see the same
    let key = scene.enrolled("nora", "provider-worker:link-workers").await;
    luke.asks_of_page = None;
    assert_eq!(luke.log_in("nora", PASSWORD, &scene.code(&key)).await.status, StatusCode::SEE_OTHER);
    luke.has = Some(lines.headers[header::ETAG].to_str().unwrap().to_owned());
    luke.asks_of_page = Some(page.made_for().to_owned());
    for path in ["/inbox/lines", "/console/now", "/console/dead/runs"] {
        assert_eq!(luke.get(path).await.to(), "/login", "{path}: its page is loaded anew");
    }
    luke.asks_of_page = Some("x".to_owned());
    assert_eq!(luke.get("/inbox/lines").await.to(), "/login");
    (luke.has, luke.asks_of_page) = (None, None);
    luke.asks_of_page = Some(luke.get("/inbox").await.made_for().to_owned());
    assert_eq!(luke.get("/inbox/lines").await.status, StatusCode::OK);
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
    let due = scene.store.task(tasks[0]).await.unwrap().unwrap().state.deadlines.open_by;
    assert!(due.is_some(), "nor has anybody opened it by that");
    let page = luke.get(&format!("/inbox/{}", tasks[0])).await;
    assert!(
        page.text.contains("to be opened by") && page.text.contains("Anna Ärzte gave it to Anna Ärzte"),
        "{}",
        page.text
    );
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

/// Who has left is given nothing more; what is hers is shown as hers until it is given to somebody else, and what she did stays told.
#[tokio::test]
async fn whose_account_has_ended_keeps_her_name_and_is_given_nothing() {
    let (scene, mut luke) = scene().await;
    let code =
        scene.people.add("command:test", "mary", "Mary Moss", vec!["provider-worker:link-workers".parse().unwrap()]);
    let key = scene.enrols("mary", code.await.unwrap().reveal()).await;
    let mut mary = scene.logged_in("mary", &key).await;
    let task = scene.refers(WHOLE, "R-1").await;
    let page = mary.get(&format!("/inbox/{task}")).await;
    let fields = [("made-for", page.made_for()), ("version", page.version())];
    mary.post(&format!("/inbox/{task}/accepted"), &fields).await;
    let page = luke.get(&format!("/inbox/{task}")).await;
    let give = format!("/inbox/{task}/give");
    luke.post(&give, &[("made-for", page.made_for()), ("to", "local:mary")]).await;
    scene.people.disable("command:test", "mary", true).await.unwrap();

    let page = luke.get(&format!("/inbox/{task}")).await;
    assert!(page.text.contains("<option value=\"local:mary\" selected>Mary Moss</option>"), "{}", page.text);
    assert!(page.text.contains("Mary Moss accepted the referral"), "{}", page.text);
    let other = scene.refers("06-interpreter-arabic.json", "R-2").await.to_string();
    let list = luke.get("/inbox").await.text;
    assert!(!list.contains("<option value=\"local:mary\">Mary Moss</option>"), "{list}");
    assert!(
        list.contains("<option value=\"local:mary\">Mary Moss (works here no more)</option>"),
        "found all the same"
    );
    let fields = [("made-for", page.made_for()), ("to", "local:mary"), ("task", other.as_str())];
    assert_eq!(luke.post("/inbox/assign", &fields).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    // so it is with who may log in, and has no such role any more
    scene.people.disable("command:test", "mary", false).await.unwrap();
    scene.people.set_positions("command:test", "mary", vec!["auditor".parse().unwrap()]).await.unwrap();
    assert_eq!(luke.post("/inbox/assign", &fields).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(luke.get("/inbox").await.text.contains("Mary Moss (works here no more)"));
    let told = luke.get(&format!("/inbox/{task}")).await.text;
    assert!(told.contains("Mary Moss accepted the referral"), "what she did here stays told: {told}");
    // and with whom nobody knows any more but by that
    scene.people.disable("command:test", "mary", true).await.unwrap();
    scene.people.forget_account("command:test", "mary").await.unwrap();
    let told = luke.get(&format!("/inbox/{task}")).await.text;
    assert!(told.contains("Mary Moss accepted the referral"), "{told}");
    assert!(told.contains("<option value=\"local:mary\" selected>Mary Moss</option>"), "{told}");
    assert_eq!(luke.post("/inbox/assign", &fields).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(luke.get("/inbox").await.text.contains("Mary Moss (works here no more)"));
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
    let nothing = find(&mut luke, "nobody").await;
    let left_out = "What ended before that is found by the whole NHS number or by the reference";
    assert!(nothing.text.contains("Nothing was found.") && nothing.text.contains(left_out), "{}", nothing.text);
    // another who is not looked for stands in no table and stays where she is
    let other = scene.refers("04-ward-urgent-safeguarding.json", "R-2026-99").await;
    let found = [("made-for", made_for.as_str()), ("sought", "rimmer")];
    let csv = luke.post("/inbox/list.csv", &found).await;
    assert!(csv.headers[header::CONTENT_DISPOSITION].to_str().unwrap().starts_with("attachment"));
    assert!(csv.text.contains("R-2026-77") && !csv.text.contains("R-2026-99"), "{}", csv.text);
    let page = find(&mut luke, "rimmer").await;
    assert!(page.text.contains("action=\"/inbox/list.csv\"") && !page.text.contains("href=\"/inbox/list.csv"));
    let task = page.between("name=\"task\" value=\"", "\"").to_owned();
    assert_ne!(task, other.to_string());
    let give = [found.as_slice(), &[("to", "local:luke"), ("task", task.as_str())]].concat();
    let given = luke.post("/inbox/assign", &give).await;
    assert_eq!(given.status, StatusCode::OK);
    for told in ["1 referral was assigned.", "Found: 1", "Declan Rimmer", "value=\"rimmer\""] {
        assert!(given.text.contains(told), "what was found is still there: {told}: {}", given.text);
    }
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

/// Whom an issuer lets in has no account: she is given referrals before she has any, and told by the name that she had then.
#[tokio::test]
async fn whom_an_issuer_lets_in_is_a_colleague() {
    let (scene, mut luke) = scene().await;
    let task = scene.refers(WHOLE, "R-1").await;
    let ours = || vec!["link-workers".parse().unwrap()];
    scene.store.keep_colleague("oidc:77", "Nadia Able", ours()).await.unwrap();
    let at = format!("/inbox/{task}");
    let page = luke.get(&at).await;
    assert!(page.text.contains("<option value=\"oidc:77\">Nadia Able</option>"), "{}", page.text);
    let made_for = page.made_for().to_owned();
    let give = [("made-for", made_for.as_str()), ("to", "oidc:77")];
    assert_eq!(luke.post(&format!("{at}/give"), &give).await.to(), format!("{at}?done=given"));
    // her issuer gives her another role: she keeps what she has and is given nothing more
    scene.clock.advance(60);
    scene.store.keep_colleague("oidc:77", "Nadia Able", vec![]).await.unwrap();
    let page = luke.get(&at).await;
    assert!(page.text.contains("<option value=\"oidc:77\" selected>Nadia Able</option>"), "{}", page.text);
    assert!(!luke.get("/inbox").await.text.contains(">Nadia Able</option>"), "of others she is offered no more");
    assert_eq!(luke.post(&format!("{at}/give"), &give).await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

/// Whoever has another name in her papers, or had one, is found by it, and it is said which it is.
#[tokio::test]
async fn a_search_finds_by_every_name_and_says_which_was_before() {
    let (scene, mut luke) = scene().await;
    let named = |body: &mut Value| {
        let people = body["entry"].as_array_mut().unwrap().iter_mut().map(|entry| &mut entry["resource"]);
        let person = people.into_iter().find(|one| one["resourceType"] == "Patient").unwrap();
        person["name"] = json!([
            {"use": "usual", "family": "Rimmer", "given": ["Declan"]},
            {"use": "official", "text": "Діклан Ріммер"},
            {"use": "old", "family": "Quill", "given": ["Declan"], "period": {"end": "2019-05-01"}},
        ]);
    };
    let task = scene.refers_changed(WHOLE, "R-1", named).await;
    let made_for = luke.get("/inbox").await.made_for().to_owned();
    for sought in ["Ріммер", "quill"] {
        let found = luke.post("/inbox/search", &[("made-for", made_for.as_str()), ("sought", sought)]).await;
        let told = "also known as Діклан Ріммер (official name); formerly Declan Quill (until 1 May 2019)";
        assert!(found.text.contains("Declan Rimmer") && found.text.contains(told), "{sought}: {}", found.text);
    }
    let page = luke.get(&format!("/inbox/{task}")).await.text;
    assert!(page.contains("Also known as") && page.contains("Former names") && page.contains("Declan Quill"), "{page}");
}

/// So many referrals lie in the store, a twentieth of them open and the link workers'. `ONWARD_TEST_REFERRALS=100000` measures what the
/// README says; a few show that it works.
#[tokio::test]
async fn a_list_of_thousands_is_read_once_and_then_kept_up_with() {
    let (scene, mut luke) = scene_without_rates().await;
    let all = referrals();
    let mut began = tokio::time::Instant::now();
    for first in (0..all).step_by(500) {
        let referrals = (first..all.min(first + 500)).map(|n| stored(n, provider_of(n))).collect();
        assert!(matches!(scene.store.submit(made::submission("rio", referrals)).await.unwrap(), Submit::Stored(..)));
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
    for path in
        ["/inbox", "/inbox?sort=name&page=2", "/inbox?view=urgent", "/inbox/lines", "/inbox?view=closed", "/account"]
    {
        let (mut took, mut text) = (Vec::new(), String::new());
        for _ in 0..if all > 1_000 { 100 } else { 3 } {
            let begun = tokio::time::Instant::now();
            let page = luke.get(path).await;
            took.push(begun.elapsed());
            assert_eq!(page.status, StatusCode::OK);
            text = page.text;
        }
        timed(path, took, kib(text.as_bytes()));
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

/// How many referrals are stored: few, unless somebody measures.
pub(super) fn referrals() -> u32 {
    std::env::var("ONWARD_TEST_REFERRALS").ok().and_then(|n| n.parse().ok()).unwrap_or(400)
}

/// What a page weighs on first view (KiB): style and script are fetched with it once, all packed as browsers take them.
pub(super) fn kib(content: &[u8]) -> f64 {
    (gzipped(content) + crate::web::assets::packed_len()) as f64 / 1024.0
}

/// Prints what `tests/long pages` reads: how long a page took (ms: half, 95 and 99 of 100 within), and what it weighs.
pub(super) fn timed(path: &str, mut took: Vec<std::time::Duration>, kib: f64) {
    assert!(kib < 150.0, "{path}: {kib} KiB");
    took.sort();
    let ms = |part: usize| took[(took.len() * part / 100).min(took.len() - 1)].as_secs_f64() * 1_000.0;
    eprintln!("page\t{path}\t{:.1}\t{:.1}\t{:.1}\t{kib:.1}", ms(50), ms(95), ms(99));
}

fn gzipped(content: &[u8]) -> usize {
    use std::io::Write as _;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(content).unwrap();
    packed.finish().unwrap().len()
}

/// A twentieth is the link workers'.
fn provider_of(n: u32) -> &'static str {
    if n.is_multiple_of(20) { "link-workers" } else { "mind" }
}

/// A referral as it lies in the store.
pub(super) fn stored(n: u32, provider: &str) -> NewReferral {
    let (request, person, task) = (Uuid::now_v7(), Uuid::now_v7(), TaskId(Uuid::now_v7()));
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
    let resources = vec![
        made::resource("ServiceRequest", request, &body, names::of(&body)),
        made::resource("Patient", person, &patient, names::of(&patient)),
    ];
    made::referral(&format!("many-{n}"), provider, request, (task, &fhir_task::make(&new)), resources)
}

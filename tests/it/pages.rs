//! Journeys of people through the pages, in Debian's Chromium by `playwright-core`: `tests/clients/browser` holds what each walks, and
//! `browser.mjs` there what is looked at on every page. Pictures of all pages are kept in the target folder, under `screenshots`.

use std::path::{Path, PathBuf};

use arc_swap::ArcSwap;
use hyper::{Method, StatusCode};
use jiff::Timestamp;
use onward::{
    demo::double::{Fault, Rule, When},
    people::{People, totp},
    route_sets::read_draft,
    store::{JournalQuery, NewRoutes, Signed},
};
use serde_json::{Map, Value, json};

use crate::{
    clients::script::{Script, path},
    support::{
        fixtures,
        hub::{self, GP, Hub, LIFE_ROOMS, LINK_WORKERS, RIO},
        skipped, until,
    },
};

mod crawl;
mod live;

/// Lines of the configuration that let people log in.
const PEOPLE: &str = "[people]\nlocal = true\n";

/// What a journey runs with: the browser, and its npm packages.
pub struct Browser {
    modules: PathBuf,
    chromium: PathBuf,
}

/// None where something is missing, which is noted.
pub fn browser(journey: &str) -> Option<Browser> {
    let found = |name: &str| {
        let found = std::env::var_os(name).map(PathBuf::from);
        if found.is_none() {
            skipped(&format!("pages::{journey}"), &format!("no browser ({name})"));
        }
        found
    };
    Some(Browser { modules: found("ONWARD_TEST_BROWSER")?, chromium: found("ONWARD_TEST_CHROMIUM")? })
}

/// Where pictures are kept.
fn screenshots() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
    target.join("screenshots")
}

/// Whoever gives accounts at a hub.
fn keeper(hub: &Hub) -> People {
    let (config, _) = hub.load();
    let registry = std::sync::Arc::new(ArcSwap::from_pointee(config.registry));
    People::new(hub.service().store(), registry, config.people)
}

/// Walks a journey at a hub as these people (name, role); `more` is what its script has to know beside them.
async fn walk(
    journey: &str,
    browser: Browser,
    hub: &Hub,
    people: &[(&str, &str)],
    more: Vec<(&'static str, String)>,
    at_least: usize,
) {
    let keeper = keeper(hub);
    let mut known = Map::new();
    for (name, role) in people {
        let ready = keeper.add_ready(name, "Sam Worker", vec![role.parse().unwrap()]).await.unwrap();
        let shown = json!({"password": ready.password.reveal(), "key": totp::shown(&ready.key)});
        known.insert((*name).to_owned(), shown);
    }
    walk_at(journey, browser, &hub.base_url, known, more, at_least).await;
}

/// Walks a journey where Onward is reached, as people with these passwords and keys of devices by name.
pub async fn walk_at(
    journey: &str,
    browser: Browser,
    base_url: &str,
    known: Map<String, Value>,
    more: Vec<(&'static str, String)>,
    at_least: usize,
) {
    let folder = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(path("browser")).unwrap() {
        let file = file.unwrap().path();
        std::fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
    }
    std::os::unix::fs::symlink(browser.modules, folder.path().join("node_modules")).unwrap();
    let mut environment = vec![
        ("ONWARD_BASE", base_url.to_owned()),
        ("ONWARD_PEOPLE", Value::Object(known).to_string()),
        ("ONWARD_CHROMIUM", browser.chromium.to_str().unwrap().to_owned()),
        ("ONWARD_SCREENSHOTS", screenshots().to_str().unwrap().to_owned()),
    ];
    environment.extend(more);
    let script = folder.path().join(format!("{journey}.mjs"));
    let told = Script { name: journey, program: "node".into(), path: script, environment }.run().await;
    told.judge(at_least);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_logs_in_and_out() {
    let Some(browser) = browser("login") else { return };
    let hub = Hub::build().sections(PEOPLE).start().await;
    let people =
        [("auditor-0", "auditor"), ("auditor-1", "auditor"), ("auditor-2", "auditor"), ("auditor-3", "auditor")];
    let mut enrolments = Vec::new();
    for number in 0..4 {
        let name = format!("new-{number}");
        let code = keeper(&hub).add("command:test", &name, "Nora New", vec!["auditor".parse().unwrap()]).await.unwrap();
        enrolments.push(json!({"name": name, "code": code.reveal()}));
    }
    let more = vec![("ONWARD_ENROLMENTS", Value::Array(enrolments).to_string())];
    walk("login", browser, &hub, &people, more, 40).await;
    hub.stop().await;
}

/// A referral with all that one carries, of a number of its own, to the link workers.
fn whole(number: &str) -> Value {
    let mut bundle = fixtures::json("referrals/03-full-bundle.json");
    let request = &mut bundle["entry"][0]["resource"];
    request["identifier"][0]["value"] = number.into();
    let ods = "https://fhir.nhs.uk/Id/ods-organization-code";
    request["performer"] = json!([{"type": "Organization", "identifier": {"system": ods, "value": "U99999"}}]);
    bundle
}

/// A choir of the triage team's, to which somebody may be referred on.
async fn has_choir(hub: &Hub) {
    let choir = json!({
        "resourceType": "HealthcareService", "active": true, "name": "Wavertree choir", "type": [{"text": "Singing"}],
        "providedBy": {"reference": "Organization/triage-team", "type": "Organization"},
        "endpoint": [{"reference": "Endpoint/triage", "type": "Endpoint"}],
    });
    let made = hub.steward().method(Method::POST, "/fhir/HealthcareService", &choir).await;
    assert_eq!(made.status, 201, "{}", made.describe());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_workers_day() {
    let Some(browser) = browser("inbox") else { return };
    let hub = Hub::build().sections(PEOPLE).start().await;
    let provider = hub.provider(LINK_WORKERS);
    has_choir(&hub).await;
    let id_of = |task: &str| task.rsplit('/').next().unwrap().to_owned();
    let mut tasks = Vec::new();
    for number in 0..5 {
        let task = hub.sender(GP).refers(&whole(&format!("page-{number}"))).await;
        hub.task_when(&provider, &task, "listed", |t| t["meta"]["versionId"] == "2").await;
        tasks.push(id_of(&task));
    }
    let stranger = id_of(&hub.sender(RIO).refers(&fixtures::to_life_rooms("page-stranger")).await);
    let role = format!("provider-worker:{LINK_WORKERS}");
    let names: Vec<String> = (0..5).map(|number| format!("luke-{number}")).collect();
    let people: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), role.as_str())).collect();
    let more = vec![("ONWARD_TASKS", json!(tasks).to_string()), ("ONWARD_STRANGER", stranger)];
    walk("inbox", browser, &hub, &people, more, 100).await;
    // what the people did is what the provider's own system would read
    let done = provider.get(&format!("/fhir/Task/{}", tasks[0])).await.json();
    assert_eq!(
        (done["status"].as_str(), done["output"].as_array().map(Vec::len)),
        // how it was before came with the referral, all four, and stands beside what was typed
        (Some("completed"), Some(9)),
        "{done}"
    );
    let said = provider.get(&format!("/fhir/Communication?about=Task/{}", tasks[0])).await.json();
    assert_eq!(said["entry"].as_array().map(Vec::len), Some(2), "{said}");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_harder_days_of_those_who_care() {
    const VARIANTS: usize = 2;
    let Some(browser) = browser("care") else { return };
    let hub = Hub::build().sections(PEOPLE).start().await;
    let provider = hub.provider(LINK_WORKERS);
    has_choir(&hub).await;
    let mut tasks = Vec::new();
    for number in 0..VARIANTS {
        let mut own = Vec::new();
        for what in ["onward", "cancelled", "early", "late"] {
            let task = hub.sender(GP).refers(&whole(&format!("care-{what}-{number}"))).await;
            hub.task_when(&provider, &task, "listed", |t| t["meta"]["versionId"] == "2").await;
            own.push(task.rsplit('/').next().unwrap().to_owned());
        }
        tasks.push(own);
    }
    let (worker, admin) = (format!("provider-worker:{LINK_WORKERS}"), format!("provider-admin:{LINK_WORKERS}"));
    let roles = [
        ("luke", &*worker),
        ("lena", &worker),
        ("nora", &worker),
        ("ada", &admin),
        ("tom", "provider-worker:triage-team"),
    ];
    let people: Vec<(String, &str)> =
        (0..VARIANTS).flat_map(|number| roles.map(|(name, role)| (format!("{name}-{number}"), role))).collect();
    let people: Vec<(&str, &str)> = people.iter().map(|(name, role)| (name.as_str(), *role)).collect();
    let more = vec![("ONWARD_TASKS", json!(tasks).to_string()), ("ONWARD_TOKEN", hub::token_of(GP))];
    walk("care", browser, &hub, &people, more, 80).await;
    // what was taken back is there still, and says so to whoever referred
    let task = &tasks[0][0];
    let said = hub.sender(GP).get(&format!("/fhir/Communication?about=Task/{task}")).await.json();
    let wrong = said["entry"].as_array().unwrap().iter().map(|entry| &entry["resource"]);
    let wrong: Vec<_> = wrong.filter(|one| one["status"] == "entered-in-error").collect();
    assert_eq!(wrong.len(), 1, "{said}");
    assert_eq!(wrong[0]["statusReason"]["text"], "That was the wrong person.");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_tells_whether_it_has_room() {
    let Some(browser) = browser("services") else { return };
    let hub = Hub::build().sections(PEOPLE).start().await;
    let service = |provider: &str, name: &str| {
        json!({
            "resourceType": "HealthcareService", "active": true, "name": name, "type": [{"text": "Singing"}],
            "providedBy": {"reference": format!("Organization/{provider}"), "type": "Organization"},
        })
    };
    for (provider, name) in [(LINK_WORKERS, "Choir"), (LIFE_ROOMS, "Another’s choir")] {
        let made = hub.steward().method(Method::POST, "/fhir/HealthcareService", &service(provider, name)).await;
        assert_eq!(made.status, 201, "{}", made.describe());
    }
    let role = format!("provider-admin:{LINK_WORKERS}");
    walk("services", browser, &hub, &[("mary", role.as_str())], vec![], 24).await;
    let found = hub.steward().get("/fhir/HealthcareService?name=Choir").await.json();
    let service = &found["entry"][0]["resource"];
    // it holds at once, and the last of the four walks is what referrers read
    assert!(service.to_string().contains("\"waitlist\""), "{service}");
    let waits = hub.steward().get("/directory/proposals").await.json();
    assert_eq!(waits["proposals"].as_array().map(Vec::len), Some(0), "no steward is asked: {waits}");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_keeps_onward_running() {
    let Some(browser) = browser("console") else { return };
    let hub = Hub::build().sections(PEOPLE).start().await;
    hub.life_rooms.fault(Rule::new(Fault::Refuse(StatusCode::UNPROCESSABLE_ENTITY), When::Always).kind(""));
    // each of the four who walk puts one away, and the one that is tried again dies again
    const LETTERS: usize = 8;
    let mut task = String::new();
    let mut secrets: Vec<String> = Vec::new();
    for number in 0..LETTERS {
        let referral = fixtures::to_life_rooms(&format!("console-{number}"));
        secrets = words_of(&referral);
        task = hub.sender(RIO).refers(&referral).await;
    }
    assert!(secrets.len() > 3, "{secrets:?}");
    let store = hub.service().store();
    until("all are dead letters", || async {
        (store.dead_letters(LETTERS).await.unwrap().len() == LETTERS).then_some(())
    })
    .await;
    let worker = format!("provider-worker:{LIFE_ROOMS}");
    let people = [("olive", "operator"), ("audrey", "auditor"), ("wanda", worker.as_str())];
    let more = vec![("ONWARD_TASK", task), ("ONWARD_SECRETS", json!(secrets).to_string())];
    walk("console", browser, &hub, &people, more, 100).await;
    hub.stop().await;
}

/// A hub whose routes lie in the store, after so many referrals; with the last of them.
async fn kept_routes() -> (Hub, Value) {
    const REFERRALS: usize = 12;
    let sections = format!("{PEOPLE}[registry]\nsource = \"store\"\n");
    let hub = Hub::build().sections(&sections).start().await;
    let (config, _) = hub.load();
    let text = std::fs::read_to_string(hub.routes_path()).unwrap();
    let (set, _) = read_draft(&text, &Default::default(), &config.registry).unwrap();
    let signed = Signed { author: "it".into(), comment: "the first".into() };
    let new = NewRoutes { hash: set.version().to_owned(), text, files: Default::default(), signed };
    hub.service().store().add_routes(0, new).await.unwrap();
    let sender = hub.sender(RIO);
    until("the first version decides", || async {
        let tried = sender.method(Method::POST, "/fhir/ServiceRequest", &json!({})).await;
        (tried.status != 503).then_some(())
    })
    .await;
    let mut referral = json!(null);
    for number in 0..REFERRALS {
        referral = fixtures::to_life_rooms(&format!("routes-{number}"));
        sender.refers(&referral).await;
    }
    (hub, referral)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_changes_where_referrals_go() {
    let Some(browser) = browser("routes") else { return };
    let (hub, referral) = kept_routes().await;
    let secrets = words_of(&referral);
    assert!(secrets.len() > 3, "{secrets:?}");
    let more = vec![("ONWARD_REFERRAL", referral.to_string()), ("ONWARD_SECRETS", json!(secrets).to_string())];
    walk("routes", browser, &hub, &[("rita", "route-editor")], more, 100).await;
    // what was made active last is what the first one was, in the name of who did it
    let active = hub.service().store().active_routes().await.unwrap().unwrap();
    assert_eq!((active.number, active.signed.author.as_str()), (1, "local:rita"));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_looks_at_what_happened_and_at_who_takes_part() {
    let Some(browser) = browser("keeper") else { return };
    let (hub, referral) = kept_routes().await;
    let more = vec![("ONWARD_SECRETS", json!(words_of(&referral)).to_string())];
    walk("keeper", browser, &hub, &[("olive", "operator"), ("audrey", "auditor")], more, 100).await;
    // the test referral has arrived and was cancelled
    let store = hub.service().store();
    until("the test referral is cancelled", || async {
        let asked = JournalQuery {
            from: Timestamp::UNIX_EPOCH,
            before: Timestamp::MAX,
            after: None,
            event: Some("cancellation-requested".into()),
            actors: vec![],
            persons: vec![],
            inbox: Some(LIFE_ROOMS.parse().unwrap()),
            system: None,
            count: 1,
        };
        let page = store.find_journal(asked).await.unwrap();
        (page.lines.len() == 1).then_some(())
    })
    .await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_is_tried_again_by_keyboard_alone() {
    let Some(browser) = browser("access") else { return };
    let (hub, _) = kept_routes().await;
    hub.life_rooms.fault(Rule::new(Fault::Refuse(StatusCode::UNPROCESSABLE_ENTITY), When::Always).kind(""));
    hub.sender(RIO).refers(&fixtures::to_life_rooms("access")).await;
    let store = hub.service().store();
    let letter = until("it is a dead letter", || async { store.dead_letters(1).await.unwrap().pop() }).await;
    let more = vec![("ONWARD_LETTER", letter.message.to_string())];
    walk("access", browser, &hub, &[("olive", "operator")], more, 1).await;
    hub.stop().await;
}

/// What a referral says of a person: names, numbers, and words of whoever wrote it.
fn words_of(referral: &Value) -> Vec<String> {
    fn walk(key: &str, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(all) => all.iter().for_each(|(key, value)| walk(key, value, found)),
            Value::Array(all) => all.iter().for_each(|value| walk(key, value, found)),
            Value::String(text)
                if is_nhs_number(key, text)
                    || ["family", "given", "text", "div", "line", "postalCode", "birthDate", "contentString"]
                        .contains(&key) =>
            {
                found.push(text.clone());
            }
            _ => {}
        }
    }
    fn is_nhs_number(key: &str, text: &str) -> bool {
        key == "value" && text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit())
    }
    let mut found = Vec::new();
    walk("", referral, &mut found);
    found.retain(|word| word.len() > 3);
    found
}

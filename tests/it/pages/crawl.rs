//! Every page in every state that it has here, found by following links as people of every role, and what is looked at there: by a
//! screen reader's rules, enlarged, in forced colours, by keyboard alone. Which pages there are is what their table says.

use std::collections::BTreeSet;

use hyper::Method;

use super::*;
use crate::support::hub::TRIAGE;

/// What answers a `GET` and is no page of this hub.
const NO_PAGES: [(&str, &str); 6] = [
    ("/inbox/lines", "a part of /inbox, asked for by its script"),
    ("/console/now", "a part of /console"),
    ("/console/reports/now", "a part of /console/reports"),
    ("/console/dead/runs", "a part of /console/dead"),
    ("/console/trials/{task}/now", "a part of /console/trials/{task}"),
    ("/console/routes/rehearsals/{id}/now", "a part of /console/routes/rehearsals/{id}"),
];

/// Every path that a `GET` of the pages has a route for, as axum spells it.
fn paths() -> BTreeSet<String> {
    let all = onward::web::routes_of_pages(true, false).into_iter().filter(|route| route.method == Method::GET);
    all.map(|route| route.path).filter(|path| !path.contains("{name}")).collect()
}

/// Words that no line has room for: a code where words should be, a name without a gap, an address that goes on and on.
const LONG_CODE: &str = "SOCIAL_PRESCRIBING_LINK_WORKER_REFERRAL";
const LONG_NAME: &str =
    "Wolfeschlegelsteinhausenbergerdorffwelchevoralternwarengewissenhaftschaferswessenschafewarenwohl";
const LONG_URL: &str = "https://referrals.example/anfield/social-prescribing/wellbeing?followUpQuestionnaireOfThisReferral=0c4f2b6ae1d84b2f9a7c";
const LONG_MAIL: &str = "declan.of.the.house.with.the.blue.door@correspondence.anfield-community-association.example";

/// What others have written has such words wherever it is shown.
fn wordy(mut bundle: Value) -> Value {
    let request = &mut bundle["entry"][0]["resource"];
    request["code"] = json!({"text": LONG_CODE});
    request["requester"]["display"] = LONG_NAME.into();
    request["reasonCode"] = json!([{"text": format!("See {LONG_URL}")}]);
    request["note"][0]["text"] = LONG_URL.into();
    request["patientInstruction"] = LONG_CODE.into();
    let person = &mut bundle["entry"][1]["resource"];
    person["name"] =
        json!([{"use": "official", "family": LONG_NAME, "given": ["Declan"]}, {"use": "old", "family": LONG_NAME}]);
    person["address"][0]["line"] = json!([LONG_NAME, LONG_CODE]);
    person["telecom"]
        .as_array_mut()
        .unwrap()
        .extend([json!({"system": "email", "value": LONG_MAIL}), json!({"system": "url", "value": LONG_URL})]);
    bundle
}

/// A referral to the link workers that has gone these steps; `revoked` and `entered-in-error` are its sender's.
async fn gone(hub: &Hub, number: &str, steps: &[&str]) -> String {
    let (sender, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    let task = sender.refers(&wordy(whole(number))).await;
    let listed = hub.task_when(&provider, &task, "listed", |t| t["meta"]["versionId"] == "2").await;
    let request = format!("/fhir/{}", listed["focus"]["reference"].as_str().unwrap());
    for step in steps {
        let done = if ["revoked", "entered-in-error"].contains(step) {
            let there = sender.get(&request).await;
            let etag = there.header("etag").unwrap().to_owned();
            let mut changed = there.json();
            changed["status"] = (*step).into();
            sender.change(&request, &etag, &changed).await
        } else {
            let etag = provider.get(&task).await.header("etag").unwrap().to_owned();
            let patch = json!([
                {"op": "add", "path": "/statusReason", "value": {"text": format!("For the test, see {LONG_URL}")}},
                {"op": "replace", "path": "/status", "value": step},
            ]);
            provider.patch(&task, &etag, &patch).await
        };
        assert_eq!(done.status, 200, "{number} {step}: {}", done.describe());
    }
    task.rsplit('/').next().unwrap().to_owned()
}

/// What may have become of a referral.
const STATES: [(&str, &[&str]); 12] = [
    ("new", &[]),
    ("raced", &[]),
    ("opened", &["received"]),
    ("accepted", &["accepted"]),
    ("worked", &["accepted", "in-progress"]),
    ("held", &["accepted", "on-hold"]),
    ("completed", &["accepted", "completed"]),
    ("declined", &["rejected"]),
    ("failed", &["accepted", "failed"]),
    ("revoked", &["accepted", "revoked"]),
    ("cancelled", &["accepted", "revoked", "cancelled"]),
    ("mistaken", &["entered-in-error"]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_in_every_state_is_for_everybody() {
    let Some(browser) = browser("crawl") else { return };
    let (hub, referral) = kept_routes().await;
    let mut tasks = Map::new();
    for (state, steps) in STATES {
        tasks.insert(state.to_owned(), gone(&hub, &format!("crawl-{state}"), steps).await.into());
    }
    // two versions of the routes, of which one can be gone back to
    let store = hub.service().store();
    let active = store.active_routes().await.unwrap().unwrap();
    let first = store.routes_version(active.number).await.unwrap().unwrap();
    let walks = "[[route]]\nname = \"walks\"\npriority = 5\nwhen = { code = [\"walk\"] }\nto = \"life-rooms\"\n";
    let text = format!("{}\n{walks}", first.text);
    let (config, _) = hub.load();
    let (set, _) = read_draft(&text, &first.files, &config.registry).unwrap();
    let signed = Signed { author: "it".into(), comment: LONG_URL.into() };
    let new = NewRoutes { hash: set.version().to_owned(), text, files: first.files, signed };
    store.add_routes(active.seq, new).await.unwrap();
    hub.life_rooms.fault(Rule::new(Fault::Refuse(StatusCode::UNPROCESSABLE_ENTITY), When::Always).kind(""));
    for number in 0..2 {
        hub.sender(RIO).refers(&fixtures::to_life_rooms(&format!("crawl-dead-{number}"))).await;
    }
    until("they are dead letters", || async { (store.dead_letters(2).await.unwrap().len() == 2).then_some(()) }).await;
    for (provider, name) in [(LINK_WORKERS, LONG_NAME), (TRIAGE, "Singing together"), (TRIAGE, LONG_CODE)] {
        let mut service = json!({
            "resourceType": "HealthcareService", "active": true, "name": name, "type": [{"text": "Singing"}],
            "providedBy": {"reference": format!("Organization/{provider}"), "type": "Organization"},
        });
        if provider == TRIAGE {
            service["endpoint"] = json!([{"reference": "Endpoint/triage", "type": "Endpoint"}]);
        }
        let made = hub.steward().method(Method::POST, "/fhir/HealthcareService", &service).await;
        assert_eq!(made.status, 201, "{}", made.describe());
    }
    let (worker, admin) = (format!("provider-worker:{LINK_WORKERS}"), format!("provider-admin:{LINK_WORKERS}"));
    let referrer = format!("referrer:{GP}");
    let people = [
        ("olive", "operator"),
        ("audrey", "auditor"),
        ("rita", "route-editor"),
        ("luke", worker.as_str()),
        ("mary", admin.as_str()),
        ("rhea", referrer.as_str()),
    ];
    let role = vec![worker.parse().unwrap()];
    keeper(&hub)
        .add("command:test", &format!("{}.new", &LONG_CODE.to_lowercase().replace('_', ".")), LONG_NAME, role)
        .await
        .unwrap();
    let no_pages: Map<String, Value> = NO_PAGES.iter().map(|(path, why)| ((*path).to_owned(), json!(why))).collect();
    let more = vec![
        ("ONWARD_ROUTES", json!(paths()).to_string()),
        ("ONWARD_NO_PAGES", Value::Object(no_pages).to_string()),
        ("ONWARD_TASKS", Value::Object(tasks).to_string()),
        ("ONWARD_REFERRAL", referral.to_string()),
        ("ONWARD_SECRETS", json!(words_of(&referral)).to_string()),
    ];
    walk("crawl", browser, &hub, &people, more, 60).await;
    hub.stop().await;
}

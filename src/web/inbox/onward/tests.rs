//! Referring on as a browser meets it: two providers, a directory with a service of each, and what the second one sees.

use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::{
    super::tests::{Browser, Page, Scene},
    tests::{WHOLE, scene_with},
};
use crate::{
    domain::{Actor, EntryKind, ProposalStatus, TaskId, TaskStatus},
    store::{DirectoryWrite, NewProposal, ProposalQuery, TaskQuery},
};

mod room;

const ROUTES: &str = r#"
[[route]]
name = "mind-by-name"
when = { performer = ["ZH999"] }
to = "mind"
[triage]
to = "triage"
"#;

/// A link worker, a referral that she has accepted, and a choir of Mind's.
async fn begun() -> (Scene, Browser, TaskId, Uuid) {
    begun_with(ROUTES).await
}

async fn begun_with(routes: &str) -> (Scene, Browser, TaskId, Uuid) {
    let (scene, mut luke) = scene_with(routes).await;
    let choir = scene.service("Choir", "mind").await;
    let task = scene.refers(WHOLE, "R-1").await;
    let page = luke.get(&format!("/inbox/{task}")).await;
    assert!(!page.text.contains("Refer on to another service"), "nobody has taken it yet");
    let fields = [("made-for", page.made_for()), ("version", page.version())];
    luke.post(&format!("/inbox/{task}/accepted"), &fields).await;
    (scene, luke, task, choir)
}

impl Scene {
    async fn service(&self, name: &str, inbox: &str) -> Uuid {
        let id = Uuid::now_v7();
        let body = json!({
            "resourceType": "HealthcareService", "active": true, "name": name, "type": [{"text": "Singing"}],
            "providedBy": {"reference": format!("Organization/{inbox}"), "type": "Organization"},
            "endpoint": [{"reference": format!("Endpoint/{inbox}"), "type": "Endpoint"}],
        });
        let write = DirectoryWrite {
            kind: EntryKind::HealthcareService,
            id,
            over: 0,
            source: None,
            body: body.to_string(),
            by: "steward anna".into(),
        };
        self.store.write_directory(vec![write]).await.unwrap();
        id
    }

    /// The Tasks of a provider.
    async fn tasks_of(&self, provider: &str) -> Vec<TaskId> {
        let query = TaskQuery { providers: vec![provider.parse().unwrap()], count: 99, ..TaskQuery::default() };
        self.store.search_tasks(query).await.unwrap().into_iter().map(|(task, _)| task.id).collect()
    }
}

impl Page {
    fn once(&self) -> &str {
        self.between("name=\"once\" value=\"", "\"")
    }
}

/// All that is asked for, for this service.
fn filled<'f>(page: &'f Page, step: &'f str, service: &'f str) -> Vec<(&'f str, &'f str)> {
    vec![
        ("made-for", page.made_for()),
        ("once", page.once()),
        ("step", step),
        ("need", "sing"),
        ("service", service),
        ("why", "Loves singing, alone in the evenings"),
        ("matters", "To be out of the house"),
        ("reach", "yes"),
        ("agreed", "yes"),
    ]
}

/// The person has agreed to one service: whoever else gets it, because the trust's rules say so, is named and agreed to as well.
#[tokio::test]
async fn whoever_gets_it_instead_of_the_service_is_agreed_to() {
    let (scene, mut luke, task, choir) = begun_with("[triage]\nto = \"triage\"\n").await;
    let (at, choir) = (format!("/inbox/{task}/onward"), choir.to_string());
    let page = luke.get(&at).await;
    let check = luke.post(&at, &filled(&page, "check", &choir)).await;
    assert_eq!(check.status, StatusCode::OK, "{}", check.text);
    assert!(check.text.contains("This does not go to Choir itself"), "{}", check.text);
    let other = check.between("type=\"checkbox\" value=\"", "\"").to_owned();
    let mut send = filled(&page, "send", &choir);
    for agreed in [None, Some("Choir")] {
        send.truncate(9);
        send.extend(agreed.map(|whom| ("agreed-to", whom)));
        let told = luke.post(&at, &send).await;
        assert_eq!(told.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", told.text);
        assert!(told.text.contains("Say whether the person agrees that"), "{}", told.text);
    }
    assert_eq!(scene.tasks_of("link-workers").await, [task], "nothing is sent without");
    send.truncate(9);
    send.push(("agreed-to", &other));
    assert_eq!(luke.post(&at, &send).await.to(), format!("/inbox/{task}?done=referred"));
    assert_eq!(scene.tasks_of("link-workers").await.len(), 2);
    let page = luke.get(&format!("/inbox/{task}")).await;
    assert!(page.text.contains(&format!("{other}, for Choir")), "{}", page.text);
}

#[tokio::test]
async fn somebody_is_referred_on_once_and_both_sides_see_it() {
    let (scene, mut luke, task, choir) = begun().await;
    let (at, choir) = (format!("/inbox/{task}/onward"), choir.to_string());
    let page = luke.get(&at).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert!(page.text.contains("Declan Rimmer") && page.text.contains("<title>Refer on to another service – Onward"));
    let find = [("made-for", page.made_for()), ("once", page.once()), ("step", "find"), ("need", "singing")];
    let found = luke.post(&at, &find).await;
    assert!(found.text.contains("Choir") && found.text.contains(&choir), "{}", found.text);
    assert!(page.text.contains("name=\"reach\" value=\"yes\""), "what goes along is kept while it is not shown");
    let kept = [find.as_slice(), &[("reach", "yes"), ("risks", "yes")]].concat();
    let found = luke.post(&at, &kept).await;
    assert!(found.text.contains("id=\"reach\" name=\"reach\" value=\"yes\" checked"), "{}", found.text);
    let check = luke.post(&at, &filled(&page, "check", &choir)).await;
    assert_eq!(check.status, StatusCode::OK, "{}", check.text);
    for told in ["It goes to", "Mind", "Loves singing", "Phone numbers, email and address"] {
        assert!(check.text.contains(told), "{told}: {}", check.text);
    }
    assert_eq!(scene.tasks_of("mind").await, [], "it is only looked at");
    let send = filled(&page, "send", &choir);
    for _ in 0..2 {
        let sent = luke.post(&at, &send).await;
        assert_eq!(sent.to(), format!("/inbox/{task}?done=referred"), "{}", sent.text);
    }
    let tasks = scene.tasks_of("mind").await;
    assert_eq!(tasks.len(), 1, "however often it is pressed");
    let outputs = scene.body(task).await["output"].as_array().unwrap().clone();
    assert_eq!(outputs.len(), 1, "{outputs:?}");
    let page = luke.get(&format!("/inbox/{task}?done=referred")).await;
    for told in ["Referred on to", "Choir", "The new referral is sent and linked to this one."] {
        assert!(page.text.contains(told), "{told}: {}", page.text);
    }
    // the second one's
    let key = scene.enrolled("mia", "provider-worker:mind").await;
    let mut mia = scene.logged_in("mia", &key).await;
    let theirs = mia.get(&format!("/inbox/{}", tasks[0])).await;
    for told in [
        "Declan Rimmer",
        "Loves singing",
        "To be out of the house",
        "07700 900133",
        "Consent is given",
        "A referral that Link workers is working on",
        "Link workers sent the referral",
    ] {
        assert!(theirs.text.contains(told), "{told}: {}", theirs.text);
    }
    for other in ["Low mood and isolation", "Letter of support", "Happy to be phoned", "Siobh"] {
        assert!(!theirs.text.contains(other), "{other} was not passed on");
    }
    assert_eq!(mia.get(&format!("/inbox/{task}")).await.status, StatusCode::NOT_FOUND);
    let record = scene.store.task(tasks[0]).await.unwrap().unwrap();
    assert_eq!(record.system.as_str(), "rio", "the first record hears of it");
    let journal = scene.store.journal(tasks[0]).await.unwrap();
    assert_eq!(journal[0].actor, Actor::Provider("link-workers".parse().unwrap()));
}

#[tokio::test]
async fn nothing_is_passed_on_without_agreement_a_service_and_a_reason() {
    let (scene, mut luke, task, choir) = begun().await;
    let (at, choir) = (format!("/inbox/{task}/onward"), choir.to_string());
    let page = luke.get(&at).await;
    let mut fields = filled(&page, "send", &choir);
    let mut with = async |luke: &mut Browser, name: &str, value: &'static str| {
        let before = fields.clone();
        fields.iter_mut().filter(|(field, _)| *field == name).for_each(|(_, text)| *text = value);
        let refused = luke.post(&at, &fields).await;
        fields = before;
        refused
    };
    for (name, value, told) in [
        ("agreed", "no", "without their agreement nothing is passed on"),
        ("agreed", "", "Say whether the person agrees"),
        ("why", " ", "Say why you refer the person on"),
        ("service", "", "Choose a service"),
        ("service", "0198c0de-0000-7000-8000-000000000001", "takes no referrals any more"),
        ("once", "0198c0de-0000-7000-8000-000000000001", "This page is old"),
        ("once", "x", "This page is old"),
    ] {
        let refused = with(&mut luke, name, value).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}={value}: {}", refused.text);
        assert!(refused.text.contains(told) && refused.text.contains("<title>Error: "), "{told}: {}", refused.text);
    }
    let find = [("made-for", page.made_for()), ("once", page.once()), ("step", "find"), ("place", "x")];
    let place = luke.post(&at, &find).await;
    assert!(place.text.contains("Where this postcode lies is not known here"));
    assert_eq!(scene.tasks_of("mind").await, []);
    assert_eq!(scene.body(task).await.get("output"), None);
}

#[tokio::test]
async fn what_has_ended_or_is_anothers_is_referred_on_by_nobody() {
    let (scene, mut luke, task, choir) = begun().await;
    let at = format!("/inbox/{task}/onward");
    let page = luke.get(&at).await;
    let key = scene.enrolled("mia", "provider-worker:mind").await;
    let mut mia = scene.logged_in("mia", &key).await;
    assert_eq!(mia.get(&at).await.status, StatusCode::NOT_FOUND);
    let form = luke.get(&format!("/inbox/{task}/completed")).await;
    let fields = [("made-for", form.made_for()), ("version", form.version()), ("outcome", "Joined a choir")];
    luke.post(&format!("/inbox/{task}/completed"), &fields).await;
    assert_eq!(scene.status(task).await, TaskStatus::Completed);
    let late = luke.post(&at, &filled(&page, "send", &choir.to_string())).await;
    assert_eq!(late.status, StatusCode::CONFLICT, "{}", late.text);
    assert_eq!(scene.tasks_of("mind").await, []);
    assert!(!luke.get(&format!("/inbox/{task}")).await.text.contains("Refer on to another service"));
}

/// A service that no inbox stands behind gets nothing, so it is not offered; nor is one that is closed for good.
#[tokio::test]
async fn only_services_that_take_referrals_are_found() {
    let (scene, mut luke, task, _) = begun().await;
    let body = |more: Value| {
        let mut body = json!({"resourceType": "HealthcareService", "active": true, "name": "Garden", "type": [{"text": "Growing"}]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body.to_string()
    };
    for more in [json!({}), json!({"active": false, "endpoint": [{"reference": "Endpoint/mind"}]})] {
        let write = DirectoryWrite {
            kind: EntryKind::HealthcareService,
            id: Uuid::now_v7(),
            over: 0,
            source: None,
            body: body(more),
            by: "steward anna".into(),
        };
        scene.store.write_directory(vec![write]).await.unwrap();
    }
    let at = format!("/inbox/{task}/onward");
    let page = luke.get(&at).await;
    let find = [("made-for", page.made_for()), ("once", page.once()), ("step", "find"), ("need", "garden")];
    assert!(luke.post(&at, &find).await.text.contains("No service that takes referrals through Onward was found"));
}

/// However many there are, all of them can be looked through, and what was chosen stays.
#[tokio::test]
async fn more_services_than_are_on_a_page_are_on_the_next() {
    let (scene, mut luke, task, choir) = begun().await;
    for n in 0..24 {
        scene.service(&format!("Singing {n}"), "mind").await;
    }
    let at = format!("/inbox/{task}/onward");
    let page = luke.get(&at).await;
    let step = async |luke: &mut Browser, step: &str, from: &str, service: &str| {
        let own = [("made-for", page.made_for()), ("once", page.once())];
        let typed = [("step", step), ("from", from), ("service", service)];
        luke.post(&at, &[own.as_slice(), &typed].concat()).await.text
    };
    let shown = |text: &str| text.matches("name=\"service\" type=\"radio\"").count();
    let first = step(&mut luke, "find", "", "").await;
    assert!(first.contains("Services 1 to 20. There are more.") && shown(&first) == 20, "{first}");
    assert!(first.contains("name=\"from\" value=\"0\"") && !first.contains("Show those before"), "{first}");
    let next = step(&mut luke, "more", "0", "").await;
    assert!(next.contains("Services 21 to 25. These are the last.") && shown(&next) == 5, "{next}");
    assert!(!next.contains("Show the next ones"), "{next}");
    let kept = if first.contains(&choir.to_string()) { next } else { first.clone() };
    assert!(!kept.contains(&choir.to_string()));
    let other = if kept == first { "before" } else { "more" };
    let kept = step(&mut luke, other, if other == "more" { "0" } else { "20" }, &choir.to_string()).await;
    assert!(kept.contains(&format!("value=\"{choir}\"")) && kept.contains(" checked"), "{kept}");
    assert!(kept.contains("The one you have chosen stands before them."), "{kept}");
    // through all pages and back, and on to what is sent
    let place = kept.find(&format!("value=\"{choir}\"")).unwrap();
    assert!(kept[place..].split_once('>').unwrap().0.contains(" checked"), "{kept}");
    assert_eq!((shown(&kept), kept.matches(" checked").count()), (if other == "more" { 6 } else { 21 }, 1));
    let find = step(&mut luke, "find", "20", &choir.to_string()).await;
    assert!(find.contains(&format!("value=\"{choir}\"")), "{find}");
}

/// A risk that the first request carries in itself goes on like one that came beside it, and only where somebody says so.
#[tokio::test]
async fn a_risk_that_is_contained_goes_on_where_it_is_ticked() {
    let (scene, mut luke) = scene_with(ROUTES).await;
    let choir = scene.service("Choir", "mind").await.to_string();
    let carries = |body: &mut Value| {
        let entries = body["entry"].as_array_mut().unwrap().iter_mut().map(|entry| &mut entry["resource"]);
        let request = entries.into_iter().find(|one| one["resourceType"] == "ServiceRequest").unwrap();
        let subject = request["subject"].clone();
        request["contained"] = json!([{
            "resourceType": "Flag", "id": "dog", "status": "active", "code": {"text": "Dog bites visitors"},
            "subject": subject, "author": {"display": "SECRET"},
        }]);
        request["supportingInfo"] = json!([{"reference": "#dog"}]);
    };
    let task = scene.refers_changed(WHOLE, "R-1", carries).await;
    let first = luke.get(&format!("/inbox/{task}")).await;
    assert!(first.text.contains("Dog bites visitors"), "{}", first.text);
    let fields = [("made-for", first.made_for()), ("version", first.version())];
    luke.post(&format!("/inbox/{task}/accepted"), &fields).await;
    let at = format!("/inbox/{task}/onward");
    let key = scene.enrolled("mia", "provider-worker:mind").await;
    let mut mia = scene.logged_in("mia", &key).await;
    for (risks, goes) in [("", false), ("yes", true)] {
        let page = luke.get(&at).await;
        let found = luke.post(&at, &filled(&page, "find", &choir)).await;
        assert!(found.text.contains("name=\"risks\" value=\"yes\""), "it is offered: {}", found.text);
        let before = scene.tasks_of("mind").await;
        let mut send = filled(&page, "send", &choir);
        send.push(("risks", risks));
        assert_eq!(luke.post(&at, &send).await.to(), format!("/inbox/{task}?done=referred"));
        let made = scene.tasks_of("mind").await.into_iter().find(|task| !before.contains(task)).unwrap();
        let theirs = mia.get(&format!("/inbox/{made}")).await.text;
        assert_eq!(theirs.contains("Dog bites visitors"), goes, "{theirs}");
        assert_eq!(theirs.contains("Safeguarding and risks"), goes, "{theirs}");
        assert!(!theirs.contains("SECRET"), "{theirs}");
        assert_eq!(mia.get("/inbox").await.text.matches(">Risk</strong>").count(), usize::from(goes));
    }
}

/// Whoever referred on hears what a record would hear, and answers as it would; nobody else does.
#[tokio::test]
async fn who_referred_on_hears_what_is_asked_and_answered_and_why_it_ended() {
    let (scene, mut luke, task, choir) = begun().await;
    let page = luke.get(&format!("/inbox/{task}/onward")).await;
    luke.post(&format!("/inbox/{task}/onward"), &filled(&page, "send", &choir.to_string())).await;
    let made = scene.tasks_of("mind").await[0];
    let key = scene.enrolled("mia", "provider-worker:mind").await;
    let mut mia = scene.logged_in("mia", &key).await;
    let theirs = mia.get(&format!("/inbox/{made}")).await;
    let asks =
        [("made-for", theirs.made_for()), ("once", theirs.once()), ("message", "Can he read music?"), ("asks", "yes")];
    assert!(!luke.get("/inbox").await.text.contains("News from another service"), "nothing was said yet");
    mia.post(&format!("/inbox/{made}/message"), &asks).await;
    let list = luke.get("/inbox?view=news").await;
    assert!(list.text.contains("News from another service") && list.text.contains(&task.to_string()), "{}", list.text);
    let ours = luke.get(&format!("/inbox/{task}")).await;
    assert!(luke.get("/inbox?view=news").await.text.contains("There are no referrals here."), "it was looked at");
    let at = format!("/inbox/{task}/led-to/{made}");
    for told in ["Can he read music?", "Has a question for you", &format!("href=\"{at}\"")] {
        assert!(ours.text.contains(told), "{told}: {}", ours.text);
    }
    let form = luke.get(&at).await;
    assert!(form.status == StatusCode::OK && form.text.contains("Can he read music?"), "{}", form.text);
    let answers = form.between("name=\"answers\" value=\"", "\"").to_owned();
    let fields = |text: &'static str| {
        vec![("made-for", form.made_for()), ("once", form.once()), ("answers", answers.as_str()), ("message", text)]
    };
    assert_eq!(luke.post(&at, &fields(" ")).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    for _ in 0..2 {
        assert_eq!(luke.post(&at, &fields("No, by ear")).await.to(), format!("/inbox/{task}?done=answered"));
    }
    let state = scene.store.task(made).await.unwrap().unwrap().state;
    assert!(!state.information_requested, "it is answered");
    let journal = scene.store.journal(made).await.unwrap();
    assert_eq!(
        journal.iter().filter(|line| line.event.name() == "message").count(),
        2,
        "once, however often it is sent"
    );
    let last = journal.last().unwrap();
    assert_eq!(last.actor, Actor::System("rio".parse().unwrap()), "for the side that referred");
    assert_eq!(last.asked_by.as_ref().and_then(|asked| asked.person.as_deref()), Some("local:luke"));
    let theirs = mia.get(&format!("/inbox/{made}")).await;
    assert!(theirs.text.contains("No, by ear") && theirs.text.contains("Anna Ärzte, Link workers"), "{}", theirs.text);
    // nobody else, and of no other referral
    let theirs_made_for = theirs.made_for().to_owned();
    for path in [at.clone(), format!("/inbox/{task}/led-to/{task}"), format!("/inbox/{made}/led-to/{made}")] {
        assert_eq!(mia.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
        let other = [("made-for", theirs_made_for.as_str()), ("message", "x")];
        assert_eq!(mia.post(&path, &other).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(luke.get(&format!("/inbox/{task}/led-to/{task}")).await.status, StatusCode::NOT_FOUND);
    // its end is heard with the reason
    let form = mia.get(&format!("/inbox/{made}/rejected")).await;
    let declined =
        [("made-for", form.made_for()), ("version", form.version()), ("reason", "No room"), ("more", "Until May")];
    assert_eq!(mia.post(&format!("/inbox/{made}/rejected"), &declined).await.status, StatusCode::SEE_OTHER);
    assert!(luke.get("/inbox").await.text.contains("News from another service"), "that it was declined is news");
    let ours = luke.get(&format!("/inbox/{task}")).await;
    assert!(ours.text.contains("No room: Until May") && !ours.text.contains(&at), "{}", ours.text);
    assert_eq!(luke.get(&at).await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn ones_own_service_is_no_other_and_what_is_not_found_says_what_to_do() {
    let (scene, mut luke, task, choir) = begun().await;
    let own = scene.service("Singing at home", "link-workers").await;
    let at = format!("/inbox/{task}/onward");
    let page = luke.get(&at).await;
    let find = async |luke: &mut Browser, need: &str| {
        let fields = [("made-for", page.made_for()), ("once", page.once()), ("step", "find"), ("need", need)];
        luke.post(&at, &fields).await.text
    };
    for need in ["sing", ""] {
        let found = find(&mut luke, need).await;
        assert!(found.contains(&choir.to_string()) && !found.contains(&own.to_string()), "{need}: {found}");
    }
    let nothing = find(&mut luke, "xylophone").await;
    assert!(nothing.contains("No service that takes referrals through Onward was found. Use fewer"), "{nothing}");
    let chosen = luke.post(&at, &filled(&page, "check", &own.to_string())).await;
    assert_eq!(chosen.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", chosen.text);
}

//! Referring on as a browser meets it: two providers, a directory with a service of each, and what the second one sees.

use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::{
    super::tests::{Browser, Page, Scene},
    tests::{WHOLE, scene_with},
};
use crate::{
    domain::{Actor, EntryKind, TaskId, TaskStatus},
    store::{DirectoryWrite, TaskQuery},
};

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
    let (scene, mut luke) = scene_with(ROUTES).await;
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
    assert!(luke.post(&at, &find).await.text.contains("No service that takes referrals here was found"));
}

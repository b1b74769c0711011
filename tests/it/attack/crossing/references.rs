//! Ids of theirs where one can stand in what others send, and what others have themselves told of.

use futures_util::{StreamExt as _, stream};
use hyper::Method;
use onward::{
    definitions::{TypeRef, resource_named},
    demo::caller::FHIR_JSON,
};
use serde_json::{Value, json};

use super::{Twin, counted, is_as_if_not_there, operations::nothing_is_seen};
use crate::{
    attack::{
        MARK, OWN, same,
        scene::{Ask, Scene},
        text,
        whole::SYSTEM,
    },
    support::{
        fixtures,
        hub::{GP, LINK_WORKERS, RIO, TRIAGE},
        until,
    },
};

/// The elements of a type that refer to resources of another.
fn referring(kind: &str, to: &str) -> Vec<(&'static str, bool)> {
    let leads = |of: &TypeRef| of.code == "Reference" && (of.targets.is_empty() || of.targets.contains(&to));
    let elements = resource_named(kind).unwrap().elements.iter();
    let elements = elements.filter(|element| !element.is_choice && element.types.iter().any(leads));
    elements.map(|element| (element.name, matches!(element.max, onward::definitions::Max::Many))).collect()
}

/// Ids of theirs in every place where one can stand in what others send: as it is written, with a base, with a version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_refers_to_theirs_leads_nowhere() {
    let scene = Scene::set(None).await;
    let (twin, ids, before) = (Twin::of(&scene), scene.ids(), scene.state().await);
    let (rio, triage) = (scene.hub.sender(RIO), scene.hub.provider(TRIAGE));
    // one of their own, to say something about
    let mut own = fixtures::to_life_rooms(&format!("{OWN}-of-rio"));
    own["code"] = json!({"text": OWN});
    let task = rio.refers(&own).await;
    scene.hub.task_when(&triage, &task, "listed", |task| task["meta"]["versionId"] == "2").await;
    let task = task.split_once("/fhir/").unwrap().1.to_owned();
    let mut asks: Vec<(&str, Ask)> = Vec::new();
    for (n, literal) in scene.references().into_iter().enumerate() {
        let kind = literal.split('/').next().unwrap();
        // each element takes its turn, and each spelling
        let one_of = |all: Vec<(&'static str, bool)>| all.get(n % all.len().max(1)).copied();
        let spelling = match n % 3 {
            0 => literal.clone(),
            1 => format!("{}/fhir/{literal}", scene.hub.base_url),
            _ => format!("{literal}/_history/1"),
        };
        let reference = json!({"reference": spelling});
        let put = |into: &mut Value, (name, many): (&str, bool)| {
            into[name] = if many { json!([reference]) } else { reference.clone() };
        };
        if let Some(element) = one_of(referring("ServiceRequest", kind)) {
            let mut request = fixtures::to_life_rooms(&format!("{OWN}-{n}"));
            put(&mut request, element);
            asks.push((RIO, Ask::of(Method::POST, "/fhir/ServiceRequest").body(FHIR_JSON, request.to_string())));
        }
        for anchored in [true, false] {
            let Some(element) = one_of(referring("Communication", kind)) else { continue };
            let mut message = json!({"resourceType": "Communication", "status": "completed", "payload": [{"contentString": OWN}],
                "identifier": [{"system": SYSTEM, "value": format!("{OWN}-{n}-{anchored}")}]});
            if anchored {
                message["about"] = json!([{"reference": task}]);
            }
            put(&mut message, element);
            let ask = Ask::of(Method::POST, "/fhir/Communication").body(FHIR_JSON, message.to_string());
            asks.push((if n % 2 == 0 { RIO } else { TRIAGE }, ask));
        }
        for name in ["basedOn", "about"] {
            let mut message =
                json!({"resourceType": "Communication", "status": "completed", "payload": [{"contentString": OWN}]});
            put(&mut message, (name, true));
            let ask = Ask::of(Method::POST, "/fhir/Communication").body(FHIR_JSON, message.to_string());
            asks.push((if n % 2 == 0 { TRIAGE } else { RIO }, ask));
        }
        // each may have a few
        if n % 6 == 0 {
            let filter = format!("Task?{}={literal}", if n % 2 == 0 { "focus" } else { "patient" });
            let ask = Ask::of(Method::POST, "/fhir/Subscription");
            asks.push((TRIAGE, ask.body(FHIR_JSON, scene.subscription(&[filter]).to_string())));
        }
    }
    let (twin_and_ids, by_name) =
        ((&twin, &ids), |who: &str| if who == RIO { (*rio).clone() } else { (*triage).clone() });
    let each = asks.iter().map(async |(who, ask)| is_as_if_not_there(twin_and_ids, (who, &by_name(who)), ask).await);
    let seen = counted(stream::iter(each).buffer_unordered(8).collect::<Vec<_>>().await.into_iter());
    // what a provider answers with
    for literal in scene.references().iter().step_by(7) {
        let output = json!([{"op": "add", "path": "/output", "value": [{"type": {"text": OWN}, "valueReference": {"reference": literal}}]}]);
        let path = format!("/fhir/{task}");
        let etag = triage.get(&path).await.header("etag").unwrap().to_owned();
        let told = triage.patch(&path, &etag, &output).await;
        assert_eq!(told.status, 200, "{}", told.describe());
    }
    println!("{} requests that refer to theirs: {seen:?}", asks.len());
    assert!(seen.contains_key(&201), "{seen:?}");
    nothing_is_seen(&scene).await;
    same(&scene.state().await, &before, "theirs is as it was");
    scene.hub.stop().await;
}

/// Whoever has itself told of everything is told of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_told_of_anothers_changes() {
    let scene = Scene::set(None).await;
    let patient = format!("Patient/{}", scene.theirs["Patient"][0]["id"].as_str().unwrap());
    let filters = [
        vec![],
        vec![format!("Task?owner=Organization/{LINK_WORKERS}")],
        vec![format!("Task?patient={patient}")],
        vec!["Task?patient:identifier=9990606900".to_owned()],
        vec!["Task?status=in-progress".to_owned()],
    ];
    let mut told = Vec::new();
    for (who, actor) in scene.others() {
        for filters in &filters {
            let made = actor.method(Method::POST, "/fhir/Subscription", &scene.subscription(filters)).await;
            if made.status == 201 {
                let id = made.json()["id"].as_str().unwrap().to_owned();
                told.push((who, actor.clone(), format!("/fhir/Subscription/{id}/$events?content=full-resource")));
            }
        }
    }
    assert!(told.len() >= 15, "{}", told.len());
    let (gp, workers) = (scene.hub.sender(GP), scene.hub.provider(LINK_WORKERS));
    let task = format!("/fhir/Task/{}", scene.theirs["Task"][0]["id"].as_str().unwrap());
    assert_eq!(workers.set(&task, "in-progress").await.status, 200);
    let own = scene.theirs["Subscription"].iter().find(|one| one.to_string().contains("attack")).unwrap();
    let own = format!("/fhir/Subscription/{}/$events?content=full-resource", own["id"].as_str().unwrap());
    until("they are told themselves", || async {
        let events = text(&gp.get(&own).await.body);
        (events.contains(MARK) && events.contains("in-progress")).then_some(())
    })
    .await;
    for (who, actor, events) in told {
        let events = actor.get(&events).await;
        assert_eq!(events.status, 200, "{who}: {}", events.describe());
        let events = text(&events.body);
        assert!(!events.contains(MARK) && !events.contains("notification-event"), "{who}: {events}");
    }
    scene.hub.stop().await;
}

//! Test referrals (`onboarding`) over the whole of what looks at referrals: they go past the routes, are taken back by themselves, and are
//! counted nowhere.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{WHOLE, scene};
use crate::{
    domain::{Event, TaskStatus},
    fhir::{Limits, test_data},
    onboarding::Trial,
    reports,
    route_sets::{rehearse::Rehearsal, tally::Tally},
    routing::{RouteSet, TEST_ROUTE},
    web::tests::Scene,
};

fn trial(scene: &Scene) -> Trial {
    Trial::new(scene.intake.clone(), scene.conversation.clone(), Default::default())
}

#[tokio::test]
async fn a_test_names_the_set_in_force_and_is_taken_back_by_itself() {
    let (scene, _) = scene().await;
    let (system, inbox) = ("rio".parse().unwrap(), "link-workers".parse().unwrap());
    let task = trial(&scene).begin(&system, &inbox, "local:olive").await.unwrap().task;
    let record = scene.store.task(task).await.unwrap().unwrap();
    let in_force = scene.intake.registry.load().routes.version().to_owned();
    assert_eq!((record.route_set.as_str(), record.inbox.as_str()), (in_force.as_str(), "link-workers"));
    let journal = scene.store.journal(task).await.unwrap();
    let Event::Submitted { route, .. } = &journal[0].event else { panic!("{journal:?}") };
    assert_eq!(route.as_deref(), Some(TEST_ROUTE));
    // somebody else's test data, and what is no test, stay
    let tagged = |body: &mut Value| {
        for entry in body["entry"].as_array_mut().unwrap() {
            entry["resource"]["meta"]["tag"] = json!([test_data::tag()]);
        }
    };
    let others = [scene.refers_changed(WHOLE, "onward-test-referral", tagged).await, scene.refers(WHOLE, "R-2").await];
    // another process than the one that sent it
    let other = trial(&scene);
    scene.clock.advance(15 * 60 - 1);
    assert_eq!(other.take_back().await.unwrap(), 0, "its provider may still answer");
    scene.clock.advance(1);
    assert_eq!(other.take_back().await.unwrap(), 1);
    assert_eq!(scene.status(task).await, TaskStatus::EnteredInError);
    assert_eq!(other.take_back().await.unwrap(), 0);
    for task in others {
        assert_eq!(scene.status(task).await, TaskStatus::Requested);
    }
}

#[tokio::test]
async fn reports_and_rehearsals_leave_tests_out() {
    let (scene, _) = scene().await;
    scene.refers(WHOLE, "R-1").await;
    let (system, inbox) = ("rio".parse().unwrap(), "link-workers".parse().unwrap());
    trial(&scene).begin(&system, &inbox, "local:olive").await.unwrap();
    let (from, before) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
    let counted = reports::read(&*scene.store, from, before).await.unwrap();
    let services: BTreeSet<&str> = counted.iter().map(|one| one.service.as_str()).collect();
    assert_eq!((counted.len(), services), (1, BTreeSet::from(["triage"])));
    let rehearsal = Rehearsal {
        store: Arc::clone(&scene.store),
        registry: scene.intake.registry.load_full(),
        candidate: Arc::new(RouteSet::all_to("triage".parse().unwrap())),
        limits: Limits::default(),
    };
    let tally = rehearsal.run((from, before), Tally::new(9), &mut |_, _| {}).await.unwrap();
    assert_eq!((tally.same, tally.unknown, tally.unreadable), (1, 0, 0), "{tally:?}");
}

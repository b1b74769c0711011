//! Test referrals (`onboarding`) over the whole of what looks at referrals: they go past the routes, are taken back by themselves, and are
//! counted nowhere.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{WHOLE, scene};
use crate::{
    domain::{Event, Side, TaskId, TaskStatus, TransportStatus, event::TEST_ROUTE, task::TaskState},
    fhir::{Limits, test_data},
    onboarding::{Trial, TrialError},
    reports,
    route_sets::{rehearse::Rehearsal, tally::Tally},
    routing::RouteSet,
    store::{Append, Attempt, LaneState, Settle, Settled},
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
    // … whatever it says of itself
    let named = |body: &mut Value| {
        tagged(body);
        for entry in body["entry"].as_array_mut().unwrap() {
            if entry["resource"]["resourceType"] == "ServiceRequest" {
                entry["resource"]["identifier"].as_array_mut().unwrap().push(test_data::own_identifier());
            }
        }
    };
    let others = [
        scene.refers_changed(WHOLE, "onward-test-referral", tagged).await,
        scene.refers_changed(WHOLE, "R-3", named).await,
        scene.refers(WHOLE, "R-2").await,
    ];
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

/// A try to send it that came to this.
async fn tried(scene: &Scene, task: TaskId, outcome: Settled) {
    let minute = Duration::from_secs(60);
    let leased = scene.store.lease_lane(task, Side::Delivery, minute).await.unwrap();
    let LaneState::Leased { lease, head, task } = leased else { panic!("the lane is not free") };
    let (at, why) = (scene.store.now(), Some("HTTP 422".to_owned()));
    let attempt = Attempt {
        side: Side::Delivery,
        of: head.seq,
        at,
        duration: Duration::ZERO,
        endpoint: "https://mind.example".into(),
        result: "refused".into(),
        why,
    };
    let given_up = matches!(outcome, Settled::Done { .. });
    let transport = given_up.then_some(TransportStatus::Undeliverable);
    let settle = Settle { side: Side::Delivery, seq: head.seq, lease: Some(lease), extend: minute, outcome };
    let state = TaskState { transport, ..task.state };
    let step = Append { settle: Some(settle), attempt: Some(attempt), state, ..Append::to(&task) };
    scene.store.append(step).await.unwrap();
}

async fn becomes(scene: &Scene, task: TaskId, status: TaskStatus) {
    let ends = async {
        while scene.status(task).await != status {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ends).await.unwrap_or_else(|_| panic!("it becomes {status}"));
}

#[tokio::test]
async fn a_test_that_has_failed_keeps_no_other_waiting() {
    let (scene, _) = scene().await;
    let (trial, system) = (trial(&scene), "rio".parse().unwrap());
    let inbox = "link-workers".parse().unwrap();
    let first = trial.begin(&system, &inbox, "local:olive").await.unwrap().task;
    let second = trial.begin(&system, &inbox, "local:olive").await;
    assert!(matches!(second, Err(TrialError::UnderWay)), "nothing is known of the first: {second:?}");
    let until = scene.store.now() + jiff::SignedDuration::from_secs(600);
    tried(&scene, first, Settled::Deferred { until, memory: None, why: "HTTP 503".into() }).await;
    let second = trial.begin(&system, &inbox, "local:olive").await.unwrap().task;
    becomes(&scene, first, TaskStatus::Cancelled).await;
    let third = trial.begin(&system, &inbox, "local:olive").await;
    assert!(matches!(third, Err(TrialError::UnderWay)), "what has ended frees no other's place: {third:?}");
    // what was given up is nobody's, and over at once
    tried(&scene, second, Settled::Done { memory: None }).await;
    becomes(&scene, second, TaskStatus::EnteredInError).await;
    trial.begin(&system, &inbox, "local:olive").await.unwrap();
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

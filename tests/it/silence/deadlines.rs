//! Deadlines: told when they pass, once, and gone with what they waited for.

use std::{sync::Arc, time::Duration};

use hyper::Method;
use onward::{
    broker::Embedded,
    config::registry::Registry,
    demo::double::{Fault, Rule, When},
    domain::{AlertKind, ManualClock, TransportStatus, deadline::Deadlines as Times, working_days::WorkingTime},
    lanes::Relay,
    status::deadlines::Deadlines,
    store::{NewTask, sqlite::SqliteStore},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    store::{MINUTE, referral_for, stored, submission, task_for},
    support::stage::PROVIDER,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worklist_referral_that_nobody_opens_is_told_until_the_provider_takes_it() {
    let retry = tables("[escalation]\nacknowledge-within = \"1s\"\nanswer-within = \"never\"\n");
    let stage = Stage::set(Setting { inbox: None, retry, ..Setting::default() }).await;
    let id = stage.referred(&one("01", "not-opened"), "requested").await;
    // looking at it is not opening it
    stage.onward.task(PROVIDER, &id).await;
    assert!(stage.onward.get(PROVIDER, &format!("Task/{id}/$package")).await.unwrap().status.is_success());
    let told = record_shows(&stage, &id, Some("not-opened")).await;
    assert_eq!(told["status"], "requested", "the provider's own word stays");
    assert_eq!(lines(&stage).await, [("not-opened", Some(id.clone()))]);

    stage.answer(&id, "received", json!({})).await;
    record_shows(&stage, &id, None).await;
    stage.told_at_last(&id, "received").await;
    assert!(lines(&stage).await.is_empty());
    assert_eq!(stage.times(&id, "not-opened").await, 1);
    assert_eq!(stage.times(&id, "overdue").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overdue_referral_is_told_until_the_provider_says_what_becomes_of_it() {
    let retry = tables("[escalation]\nacknowledge-within = \"never\"\nanswer-within = \"1s\"\n");
    let stage = Stage::set(Setting { retry, ..Setting::default() }).await;
    let id = stage.referred(&one("01", "overdue"), "received").await;
    record_shows(&stage, &id, Some("overdue")).await;
    assert_eq!(lines(&stage).await, [("overdue", Some(id.clone()))]);

    // a note is no answer; the tick of a person takes the line away, and not what the record shows
    stage.answer(&id, "received", json!({"note": [{"text": "we look into it"}]})).await;
    until("the record has the note", || async { stage.in_record(&id).filter(|task| task["note"][0].is_object()) })
        .await;
    record_shows(&stage, &id, Some("overdue")).await;
    let without_reason = onward(&stage, &["worklist", "done", &id]);
    assert_eq!(without_reason.0, 2, "{without_reason:?}");
    let ticked = onward(&stage, &["worklist", "done", &id, "--reason", "rang them", "--json"]);
    assert_eq!(ticked.0, 0, "{ticked:?}");
    assert!(lines(&stage).await.is_empty());
    record_shows(&stage, &id, Some("overdue")).await;
    let again = onward(&stage, &["worklist", "done", &id, "--reason", "rang them"]);
    assert_eq!(again.0, 1, "{again:?}");
    let shown = onward(&stage, &["referral", "show", &id]).1;
    assert!(
        shown.contains("seen-to") && shown.contains("overdue: rang them") && shown.contains("by operator:"),
        "{shown}"
    );

    stage.answer(&id, "accepted", json!({})).await;
    record_shows(&stage, &id, None).await;
    stage.told_at_last(&id, "accepted").await;
    assert_eq!(stage.times(&id, "overdue").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_hangs_on_its_first_try_is_told_as_delayed_before_that_ends() {
    let setting = Setting {
        inbox: Some(", timeout = \"60s\""),
        retry: "first = \"100ms\"\ncap = \"200ms\"\ndelayed-after = \"1s\"\n",
        ..Setting::default()
    };
    let stage = Stage::set(setting).await;
    stage.provider.fault(Rule::new(Fault::Hang, When::Always).method(Method::POST).kind(""));
    let id = stage.onward.refer(&one("01", "hangs")).await;
    record_shows(&stage, &id, Some("delivery-delayed")).await;
    assert!(stage.store.attempts(task_id(&id)).await.unwrap().iter().all(|a| a.side.code() != "delivery"));
    assert_eq!(lines(&stage).await, [("delivery-delayed", Some(id.clone()))]);
    let alerts = stage.store.claim_alerts(9, Duration::ZERO).await.unwrap();
    assert!(alerts.iter().any(|stored| stored.alert.kind == AlertKind::DeliveryDelayed), "{alerts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_gone_is_told_to_the_record_and_so_is_its_return() {
    let setting = Setting {
        inbox: Some(", answers = \"poll\", poll-every = \"200ms\""),
        retry: tables("[escalation]\nacknowledge-within = \"never\"\nanswer-within = \"never\"\n"),
        ..Setting::default()
    };
    let stage = Stage::set(setting).await;
    let id = stage.referred(&one("01", "gone"), "received").await;
    let copy = (*stage.at_provider(&id).unwrap()).clone();
    assert!(stage.provider.remove_resource("Task", copy["id"].as_str().unwrap()));
    let told = record_shows(&stage, &id, Some("copy-unreadable")).await;
    assert_eq!(told["status"], "received");
    assert_eq!(lines(&stage).await, [("copy-unreadable", Some(id.clone()))]);
    stage.provider.put_resource(copy);
    record_shows(&stage, &id, None).await;
    assert!(lines(&stage).await.is_empty());
    assert_eq!((stage.times(&id, "copy-unreadable").await, stage.times(&id, "copy-readable").await), (1, 1));
    // and it is read as before
    let mut copy = (*stage.at_provider(&id).unwrap()).clone();
    copy["status"] = "accepted".into();
    stage.provider.put_resource(copy);
    stage.told_at_last(&id, "accepted").await;
}

/// What the provider's system may not say is a line that a person ticks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_cannot_be_taken_waits_for_a_person() {
    let setting = Setting { inbox: Some(", answers = \"poll\", poll-every = \"200ms\""), ..Setting::default() };
    let stage = Stage::set(setting).await;
    let id = stage.referred(&one("01", "illegal"), "received").await;
    let mut copy = (*stage.at_provider(&id).unwrap()).clone();
    copy["status"] = "cancelled".into();
    copy["statusReason"] = json!({"text": "for the test"});
    stage.provider.put_resource(copy);
    stage.happened(&id, "answer-refused").await;
    let listed = json(&onward(&stage, &["worklist", "--json"]));
    assert_eq!(
        (&listed[0]["kind"], &listed[0]["task"], &listed[0]["tick"]),
        (&"answer-refused".into(), &id.clone().into(), &true.into())
    );
    let line = listed[0]["id"].as_str().unwrap();
    assert_eq!(onward(&stage, &["worklist", "done", line, "--reason", "they set it right"]).0, 0);
    assert_eq!(json(&onward(&stage, &["worklist", "--json"])), json!([]));
    stage.happened(&id, "seen-to").await;
}

/// Two replicas on one store, over the night the clocks go back, each looking at everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_deadline_is_told_once_whoever_looks() {
    let folder = tempfile::tempdir().unwrap();
    // Friday at three in summer time
    let friday = "2026-10-23T14:00:00Z".parse().unwrap();
    let clock = Arc::new(ManualClock::at(friday));
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::open(&folder.path().join("onward.db"), Arc::clone(&clock) as Arc<_>).unwrap());
    let monday = WorkingTime::default().after(friday, 1);
    assert_eq!(monday, "2026-10-26T15:00:00Z".parse().unwrap());
    let referrals: Vec<_> = (0..100)
        .map(|n| {
            let mut referral = referral_for(&format!("k{n}"), &[]);
            let deadlines = Times { open_by: Some(monday), ..Times::default() };
            referral.tasks = vec![NewTask { deadlines, ..task_for("life-rooms") }];
            referral
        })
        .collect();
    let tasks: Vec<_> =
        stored(store.submit(submission(referrals)).await.unwrap()).0.into_iter().flat_map(|r| r.tasks).collect();
    let stop = CancellationToken::new();
    let broker = Arc::new(Embedded::new(Default::default()));
    let (relay, _) = Relay::start(Arc::clone(&store), broker, stop.clone());
    for _ in 0..2 {
        let registry = Arc::new(arc_swap::ArcSwap::from_pointee(Registry::default()));
        let base_url = "http://127.0.0.1".to_owned();
        let looking = Deadlines { store: Arc::clone(&store), relay: relay.clone(), registry, base_url };
        tokio::spawn(looking.run(stop.clone()));
    }
    // a moment before, they look and find nothing: a Task that is due now is told, and none of the others
    clock.advance(3 * 24 * 3600 + 3599);
    let mut early = referral_for("early", &[]);
    let deadlines = Times { open_by: Some(friday), ..Times::default() };
    early.tasks = vec![NewTask { deadlines, ..task_for("life-rooms") }];
    let early = stored(store.submit(submission(vec![early])).await.unwrap()).0[0].tasks[0];
    let not_opened = |id| {
        let store = Arc::clone(&store);
        async move {
            let task = store.task(id).await.unwrap().unwrap();
            (task.state.transport == Some(TransportStatus::NotOpened)).then_some(())
        }
    };
    until("they look", || not_opened(early)).await;
    for id in &tasks {
        assert_eq!(store.task(*id).await.unwrap().unwrap().seq, 1, "too early");
    }
    clock.advance(1);
    for id in &tasks {
        until("it is told", || not_opened(*id)).await;
    }
    // leases run out and nobody tells anything again
    clock.advance(3600);
    until("nothing is left to look at", || async {
        store.claim_deadlines(1, Duration::ZERO).await.unwrap().is_empty().then_some(())
    })
    .await;
    for id in &tasks {
        let names: Vec<_> = store.journal(*id).await.unwrap().iter().map(|l| l.event.name()).collect();
        assert_eq!(names, ["submitted", "not-opened"]);
    }
    let alerts = store.claim_alerts(1000, MINUTE).await.unwrap();
    assert_eq!(alerts.len(), tasks.len() + 1);
    assert!(alerts.iter().all(|a| a.alert.kind == AlertKind::NotOpened));
    stop.cancel();
    store.close().await;
}

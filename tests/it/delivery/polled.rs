//! A provider that works on its own copy of the Task, which Onward reads.

use super::*;
use crate::support::onward::with;

const POLL: &str = ", answers = \"poll\", poll-every = \"200ms\"";

async fn polled(provider: Abilities) -> Stage {
    Stage::set(Setting { inbox: Some(POLL), provider, ..Setting::default() }).await
}

/// Changes the provider's copy as its own staff would.
fn change(stage: &Stage, id: &str, status: &str, more: &serde_json::Value) {
    let copy = stage.at_provider(id).unwrap();
    stage.provider.put_resource(with(&copy, status, more));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_changes_between_two_looks_are_both_told() {
    let stage = polled(Abilities::default()).await;
    let id = stage.referred(&one("01", "two"), "received").await;
    // nothing is seen of either before both are there; then every second request fails, which is the one for the history
    stage.provider.fault(Rule::new(Fault::Unavailable { retry_after_s: None }, When::Always));
    change(&stage, &id, "accepted", &json!({}));
    change(&stage, &id, "on-hold", &json!({}));
    change(&stage, &id, "in-progress", &json!({"note": [{"text": "first visit"}]}));
    stage.provider.heal();
    stage.provider.fault(Rule::new(Fault::Unavailable { retry_after_s: None }, When::Every(2)));
    let seen = || stage.provider.requests().iter().filter(|r| r.path.ends_with("_history")).count();
    let before = seen();
    until("the history is asked for", || async { (seen() > before).then_some(()) }).await;
    stage.provider.heal();
    let told = stage.told_at_last(&id, "in-progress").await;
    assert_eq!(told["note"][0]["text"], "first visit");
    assert_eq!(stage.statuses(&id), ["received", "accepted", "on-hold", "in-progress"]);
    change(&stage, &id, "completed", &json!({}));
    stage.told_at_last(&id, "completed").await;
    assert_eq!(stage.times(&id, "answer-refused").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_changed_before_the_copy_was_found_is_told() {
    let stage = polled(Abilities::default()).await;
    stage.provider.fault(transactions(Fault::AnswerLost, When::Next(1)));
    stage.provider.fault(Rule::new(Fault::Unavailable { retry_after_s: None }, When::Always));
    let id = stage.onward.refer(&one("01", "found")).await;
    until("it lies there", || async { stage.at_provider(&id) }).await;
    change(&stage, &id, "accepted", &json!({}));
    change(&stage, &id, "on-hold", &json!({}));
    stage.provider.heal();
    stage.told_at_last(&id, "on-hold").await;
    assert_eq!(stage.statuses(&id), ["received", "accepted", "on-hold"]);
}

/// The history is read after the newest version, and may hold more than that did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_changed_while_the_copy_is_read_is_told_once() {
    let stage = polled(Abilities::default()).await;
    let id = stage.referred(&one("01", "while"), "received").await;
    stage.provider.slow(Duration::from_millis(500));
    change(&stage, &id, "accepted", &json!({}));
    stage.provider.clear_requests();
    until("the newest is read", || async {
        let read = |r: &onward::demo::double::Logged| !r.path.ends_with("_history") && r.status == Some(StatusCode::OK);
        stage.provider.requests().iter().any(read).then_some(())
    })
    .await;
    change(&stage, &id, "on-hold", &json!({}));
    change(&stage, &id, "in-progress", &json!({}));
    stage.provider.heal();
    stage.told_at_last(&id, "in-progress").await;
    change(&stage, &id, "completed", &json!({}));
    stage.told_at_last(&id, "completed").await;
    assert_eq!(stage.statuses(&id), ["received", "accepted", "on-hold", "in-progress", "completed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_in_between_hides_nothing_after_it() {
    let stage = polled(Abilities::default()).await;
    let id = stage.referred(&one("01", "between"), "received").await;
    stage.provider.fault(Rule::new(Fault::Unavailable { retry_after_s: None }, When::Always));
    change(&stage, &id, "accepted", &json!({}));
    change(&stage, &id, "cancelled", &json!({})); // not asked for, so not the provider's to set
    change(&stage, &id, "in-progress", &json!({}));
    stage.provider.heal();
    stage.told_at_last(&id, "in-progress").await;
    assert_eq!(stage.statuses(&id), ["received", "accepted", "in-progress"]);
    assert_eq!(stage.times(&id, "answer-refused").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_that_the_copy_skipped_are_implied() {
    // without a history only the newest version can be seen
    let stage = polled(Abilities { history: false, ..Abilities::default() }).await;
    let id = stage.referred(&one("01", "skipped"), "received").await;
    change(&stage, &id, "completed", &json!({}));
    stage.told_at_last(&id, "completed").await;
    assert_eq!(stage.statuses(&id), ["received", "accepted", "completed"]);
    let implied = stage.journal(&id).await.into_iter().filter_map(|line| match line.event {
        Event::Answered { to, implied, .. } => Some((to.code(), implied)),
        _ => None,
    });
    assert_eq!(implied.collect::<Vec<_>>(), [("accepted", true), ("completed", false)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_copy_may_not_say_is_refused_once() {
    let stage = polled(Abilities::default()).await;
    let id = stage.referred(&one("01", "illegal"), "received").await;
    let before = alerts(&stage.onward, "answer-refused").await;
    change(&stage, &id, "cancelled", &json!({}));
    stage.happened(&id, "answer-refused").await;
    assert!(alerts(&stage.onward, "answer-refused").await > before);
    // it is looked at again and again, and no second time refused
    let looks = || stage.provider.requests().len();
    let seen = looks();
    until("it is looked at again", || async { (looks() > seen + 4).then_some(()) }).await;
    assert_eq!(stage.times(&id, "answer-refused").await, 1);
    // the next thing it says is taken
    change(&stage, &id, "rejected", &json!({}));
    stage.told_at_last(&id, "rejected").await;
    assert_eq!(stage.statuses(&id), ["received", "rejected"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_on_a_copy_that_still_says_requested_is_taken() {
    let stage = polled(Abilities::default()).await;
    let id = stage.referred(&one("01", "note"), "received").await;
    change(&stage, &id, "requested", &json!({"note": [{"text": "we shall call on Monday"}]}));
    let told = until("the note is told", || async { stage.in_record(&id).filter(|t| t.get("note").is_some()) }).await;
    assert_eq!((&told["status"], &told["note"][0]["text"]), (&json!("received"), &json!("we shall call on Monday")));
    assert_eq!(stage.times(&id, "answer-refused").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_copy_is_not_looked_at_any_more() {
    let stage = polled(Abilities::default()).await;
    let id = stage.referred(&one("01", "ended"), "received").await;
    change(&stage, &id, "rejected", &json!({}));
    stage.told_at_last(&id, "rejected").await;
    stage.provider.clear_requests();
    // a second one shows that looking goes on
    let other = stage.referred(&one("06", "other"), "received").await;
    let copy = |id: &str| format!("Task/{}", stage.at_provider(id).unwrap()["id"].as_str().unwrap());
    let (ended, open) = (copy(&id), copy(&other));
    let looked = |path: &str| stage.provider.requests().iter().filter(|r| r.path == path).count();
    until("the other is looked at", || async { (looked(&open) > 3).then_some(()) }).await;
    assert_eq!(looked(&ended), 0);
}

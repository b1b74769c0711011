//! Handing a status to the originating record: the first write and later ones, beside what the record's own people do, and what
//! becomes of every way in which that can fail.

mod detail;
mod messages;

use hyper::{Method, StatusCode};
use onward::{
    demo::double::{Abilities, Fault, Rule, When},
    domain::{Event, Side},
    fhir::task::URI_SYSTEM,
    lanes::dead::replay,
};
use serde_json::{Value, json};

use crate::support::{
    referrals::{Referral, nhs_numbers, one},
    stage::{Setting, Stage, alerts},
    until,
};

/// The record holds the referral as its clinician wrote it; its id there.
fn keep(stage: &Stage, referral: &Referral) -> String {
    stage.record.put_resource(referral.json()).unwrap()
}

/// Methods and paths of the record's requests about Tasks, with the queries cut short.
fn writes(stage: &Stage) -> Vec<String> {
    let writes = stage.record.requests().into_iter().filter(|r| r.path.starts_with("Task"));
    writes.map(|r| format!("{} {}", r.method, r.path.split('=').next().unwrap())).collect()
}

/// Writes to Tasks of the record go wrong like this.
fn on_writes(fault: Fault, when: When) -> [Rule; 2] {
    [Method::PUT, Method::POST].map(|method| Rule::new(fault.clone(), when).method(method).kind("Task"))
}

fn break_writes(stage: &Stage, fault: &Fault) {
    on_writes(fault.clone(), When::Always).into_iter().for_each(|rule| stage.record.fault(rule));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_write_is_a_conditional_create_and_points_to_the_records_own() {
    let stage = Stage::set(Setting::default()).await;
    let referral = one("01", "first");
    let request = keep(&stage, &referral);
    let id = stage.referred(&referral, "received").await;
    assert_eq!(writes(&stage), ["POST Task"]);
    let task = stage.in_record(&id).unwrap();
    assert_eq!(task["focus"]["reference"], format!("ServiceRequest/{request}"));
    assert_eq!(
        task["identifier"][0],
        json!({"use": "official", "system": URI_SYSTEM, "value": format!("urn:uuid:{id}")})
    );
    stage.answer(&id, "accepted", json!({})).await;
    stage.told_at_last(&id, "accepted").await;
    assert_eq!(stage.statuses(&id), ["received", "accepted"]);
    assert_eq!(stage.times(&id, "record-not-found").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_is_there_already_is_read_before_it_is_written() {
    let stage = Stage::set(Setting::default()).await;
    stage.record.fault(Rule::new(Fault::Refuse(StatusCode::PRECONDITION_FAILED), When::Next(1)).method(Method::POST));
    let id = stage.referred(&one("01", "search"), "received").await;
    assert_eq!(writes(&stage), ["POST Task", "GET Task?identifier", "POST Task"]);
    stage.answer(&id, "accepted", json!({})).await;
    stage.told_at_last(&id, "accepted").await;
    assert_eq!((stage.statuses(&id), stage.record.counts()["Task"]), (vec!["received".into(), "accepted".into()], 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_says_nothing_of_what_it_wrote_is_asked() {
    let record = Abilities { representation: false, etags: false, ..Abilities::default() };
    let stage = Stage::set(Setting { record, ..Setting::default() }).await;
    let id = stage.referred(&one("01", "silent"), "received").await;
    for status in ["accepted", "in-progress", "completed"] {
        stage.answer(&id, status, json!({})).await;
    }
    stage.told_at_last(&id, "completed").await;
    assert_eq!(stage.statuses(&id), ["received", "accepted", "in-progress", "completed"]);
    assert_eq!(stage.record.counts()["Task"], 1);
}

/// What the clinician added stays: through the write that met it, and through those after, also under one lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_records_people_wrote_into_the_task_stays() {
    let stage = Stage::set(Setting::default()).await;
    let id = stage.referred(&one("01", "merge"), "received").await;
    let mut task = (*stage.in_record(&id).unwrap()).clone();
    task["description"] = "told the family".into();
    task["note"] = json!([{"text": "ring after five"}]);
    stage.record.put_resource(task);
    // while the record is away, more comes together, to be written one after another under one lease
    break_writes(&stage, &Fault::Unavailable { retry_after_s: None });
    stage.answer(&id, "accepted", json!({"note": [{"text": "we know her"}]})).await;
    stage.answer(&id, "in-progress", json!({"note": [{"text": "we know her"}]})).await;
    stage.answer(&id, "completed", json!({"note": [{"text": "we know her"}, {"text": "done"}]})).await;
    stage.record.heal();
    stage.told_at_last(&id, "completed").await;
    let history = Stage::versions(&stage.record, &stage.in_record(&id).unwrap());
    for task in &history[1..] {
        assert_eq!(task["description"], "told the family", "{task}");
        assert_eq!(task["note"][0]["text"], "ring after five", "{task}");
    }
    assert_eq!(history[4]["note"].as_array().unwrap().len(), 3);
    let statuses: Vec<_> = history.iter().map(|t| t["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["received", "received", "accepted", "in-progress", "completed"]);
}

/// Somebody at the record writes between our reading and our writing: 412, read again, merged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_etag_is_read_again_and_merged() {
    let stage = Stage::set(Setting::default()).await;
    let id = stage.referred(&one("01", "stale"), "received").await;
    stage.record.fault(Rule::new(Fault::Refuse(StatusCode::PRECONDITION_FAILED), When::Next(2)).method(Method::PUT));
    stage.answer(&id, "accepted", json!({})).await;
    stage.told_at_last(&id, "accepted").await;
    assert_eq!(stage.statuses(&id), ["received", "accepted"]);
    assert!(stage.store.dead_letters(9).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_answer_was_cut_is_looked_for_and_not_written_twice() {
    for representation in [true, false] {
        let record = Abilities { representation, ..Abilities::default() };
        let stage = Stage::set(Setting { record, ..Setting::default() }).await;
        let cut = |method| Rule::new(Fault::AnswerLost, When::Next(1)).method(method).kind("Task");
        stage.record.fault(cut(Method::POST));
        let id = stage.onward.refer(&one("01", "cut")).await;
        stage.happened(&id, "written-back").await;
        assert_eq!((stage.statuses(&id), stage.record.counts()["Task"]), (vec!["received".into()], 1));
        stage.record.heal();
        stage.record.fault(cut(Method::PUT));
        stage.answer(&id, "accepted", json!({})).await;
        until("both are written", || async { (stage.times(&id, "written-back").await == 2).then_some(()) }).await;
        assert_eq!(stage.statuses(&id), ["received", "accepted"]);
    }
}

async fn a_mismatch_is_never_written(referral: &Referral, theirs: Value, why: &str) {
    let stage = Stage::set(Setting::default()).await;
    stage.record.put_resource(theirs).unwrap();
    let before = alerts(&stage.onward, "record-mismatch").await;
    let id = stage.onward.refer(referral).await;
    let letter = stage.dead_letter(&id).await;
    assert_eq!((letter.side, letter.attempts), (Side::WriteBack, 1));
    assert!(letter.why.contains(why), "{}", letter.why);
    assert!(matches!(stage.happened(&id, "write-back-failed").await, Event::WriteBackFailed { .. }));
    assert!(alerts(&stage.onward, "record-mismatch").await > before);
    assert!(stage.record.requests().iter().all(|r| r.method == Method::GET), "{:?}", stage.record.requests());
    // the referral itself goes on
    assert_eq!(stage.at_provider(&id).unwrap()["status"], "requested");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_of_another_person_is_never_written_beside() {
    let referral = one("01", "person");
    let own = nhs_numbers(&referral.body).into_iter().next().unwrap();
    let theirs: Value = serde_json::from_str(&referral.body.replace(&own, "9990471134")).unwrap();
    a_mismatch_is_never_written(&referral, theirs, "another person").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_with_another_identifier_is_never_written_beside() {
    let mut referral = one("01", "identifier");
    let mut theirs = referral.json();
    theirs["id"] = "sr-1".into();
    referral.body = theirs.to_string();
    theirs["identifier"][0]["value"] = "RIO-OTHER".into();
    a_mismatch_is_never_written(&referral, theirs, "another identifier").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_not_there_is_noted_and_the_task_written() {
    let stage = Stage::set(Setting::default()).await;
    // the first try gets as far as not finding it, and no further
    stage.record.fault(Rule::new(Fault::Unavailable { retry_after_s: None }, When::Next(1)).method(Method::POST));
    let referral = one("01", "absent");
    let id = stage.referred(&referral, "received").await;
    stage.happened(&id, "written-back").await;
    assert_eq!(stage.times(&id, "record-not-found").await, 1);
    let focus = &stage.in_record(&id).unwrap()["focus"];
    assert_eq!(focus["identifier"]["value"], referral.json()["identifier"][0]["value"]);
    stage.answer(&id, "accepted", json!({})).await;
    stage.told_at_last(&id, "accepted").await;
    until("it is written", || async { (stage.times(&id, "written-back").await == 2).then_some(()) }).await;
    assert_eq!(stage.times(&id, "record-not-found").await, 1, "noted once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_closed_only_where_asked_and_only_while_active() {
    for (write_back, status, expected) in [
        (", close-request = true", "active", "completed"),
        (", close-request = true", "on-hold", "on-hold"),
        (", close-request = true", "revoked", "revoked"),
        ("", "active", "active"),
    ] {
        let stage = Stage::set(Setting { write_back, ..Setting::default() }).await;
        let referral = one("01", "close");
        let request = keep(&stage, &referral);
        let mut theirs = (*stage.record.resource("ServiceRequest", &request).unwrap()).clone();
        theirs["status"] = status.into();
        theirs["note"][0]["text"] = "kept as the clinician has it by now".into();
        stage.record.put_resource(theirs.clone());
        let id = stage.referred(&referral, "received").await;
        for step in ["accepted", "completed"] {
            stage.answer(&id, step, json!({})).await;
        }
        until("all is written", || async { (stage.times(&id, "written-back").await == 3).then_some(()) }).await;
        let mut now = (*stage.record.resource("ServiceRequest", &request).unwrap()).clone();
        assert_eq!(
            (&now["status"], stage.times(&id, "request-closed").await),
            (&json!(expected), usize::from(expected == "completed"))
        );
        for request in [&mut now, &mut theirs] {
            request.as_object_mut().unwrap().retain(|name, _| name != "meta" && name != "status");
        }
        assert_eq!(now, theirs, "nothing but the status");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_was_away_is_told_everything_in_order() {
    let stage = Stage::set(Setting::default()).await;
    stage.record.fault(Rule::new(Fault::Unavailable { retry_after_s: None }, When::Always));
    let id = stage.onward.refer(&one("01", "away")).await;
    stage.happened(&id, "delivered").await;
    let steps = ["accepted", "on-hold", "in-progress", "completed"];
    for status in steps {
        stage.answer(&id, status, json!({})).await;
    }
    let tried = stage.record.requests().len();
    until("it is tried again", || async { (stage.record.requests().len() > tried).then_some(()) }).await;
    assert_eq!(stage.record.counts().get("Task"), None);
    stage.record.heal();
    stage.told_at_last(&id, "completed").await;
    assert_eq!(stage.statuses(&id)[1..], steps);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_is_passed_by_and_a_replay_never_goes_back() {
    let stage = Stage::set(Setting::default()).await;
    let id = stage.referred(&one("01", "dead"), "received").await;
    break_writes(&stage, &Fault::Refuse(StatusCode::CONFLICT));
    stage.record.heal();
    break_writes(&stage, &Fault::Refuse(StatusCode::UNPROCESSABLE_ENTITY));
    stage.answer(&id, "accepted", json!({})).await;
    let letter = stage.dead_letter(&id).await;
    stage.record.heal();

    // nothing newer has been written: it is sent
    replay(&*stage.store, &letter, "tester").await.unwrap();
    stage.told_at_last(&id, "accepted").await;

    break_writes(&stage, &Fault::Refuse(StatusCode::UNPROCESSABLE_ENTITY));
    stage.answer(&id, "on-hold", json!({})).await;
    let letter = stage.dead_letter(&id).await;
    stage.record.heal();
    stage.answer(&id, "completed", json!({})).await;
    stage.told_at_last(&id, "completed").await;
    replay(&*stage.store, &letter, "tester").await.unwrap();
    assert_eq!(stage.happened(&id, "superseded").await, Event::Superseded { side: Side::WriteBack, of: letter.seq });
    assert_eq!(stage.statuses(&id), ["received", "accepted", "completed"]);
    assert!(stage.store.dead_letters(9).await.unwrap().is_empty());
    assert!(replay(&*stage.store, &letter, "tester").await.is_err(), "it is none any more");
}

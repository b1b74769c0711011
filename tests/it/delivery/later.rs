//! What is said after the referral itself, on its way to a provider's server and back from it.

use onward::domain::{Actor, Side};
use serde_json::Value;

use super::*;
use crate::support::onward::with;

const POLL: &str = ", answers = \"poll\", poll-every = \"200ms\"";
const BOTH_IDS: [&str; 2] = [", ids = \"client\"", ", ids = \"server\""];
const MORE: &str = "https://onward.example/fhir/CodeSystem/business-status";

async fn pushed(ids: &'static str) -> Stage {
    let provider = Abilities { update_as_create: ids.contains("client"), ..Abilities::default() };
    Stage::set(Setting { inbox: Some(ids), provider, ..Setting::default() }).await
}

/// What the provider has under a copy of our Task: the ServiceRequest.
fn request_at(stage: &Stage, id: &str) -> Value {
    let task = stage.at_provider(id).unwrap();
    let (kind, request) = task["focus"]["reference"].as_str().unwrap().split_once('/').unwrap();
    (*stage.provider.resource(kind, request).unwrap()).clone()
}

fn codes(task: &Value) -> Vec<String> {
    let codings = task["businessStatus"]["coding"].as_array().cloned().unwrap_or_default();
    codings.iter().map(|c| c["code"].as_str().unwrap().to_owned()).collect()
}

/// The seqs that copies of our Task were brought up to, in order.
fn brought(stage: &Stage, id: &str) -> Vec<u64> {
    let versions = Stage::versions(&stage.provider, &stage.at_provider(id).unwrap());
    let mut seqs: Vec<u64> = versions.iter().filter_map(onward::fhir::task::seq_of).collect();
    seqs.dedup();
    seqs
}

async fn passed_on(stage: &Stage, id: &str, times: usize) {
    until("it is passed on", || async { (stage.times(id, "passed-on").await == times).then_some(()) }).await;
}

async fn words(stage: &Stage) -> Vec<String> {
    let all = stage.provider.resources("Communication");
    all.iter().map(|c| c["payload"][0]["contentString"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_copies_follow_in_order_and_nothing_else_of_them_is_touched() {
    for ids in BOTH_IDS {
        let stage = pushed(ids).await;
        let id = stage.referred(&one("03", "follow"), "received").await;
        let people = stage.provider.counts()["Patient"];
        // its people have written into their copies
        let mut task = (*stage.at_provider(&id).unwrap()).clone();
        task["description"] = "for Tuesday".into();
        stage.provider.put_resource(task);
        let mut request = request_at(&stage, &id);
        request["performerType"] = json!({"text": "our own"});
        stage.provider.put_resource(request);

        let note = json!([{"text": "as it is now"}]);
        stage.onward.must_change(SYSTEM, &id, |r| r["note"] = note.clone()).await;
        stage.onward.must_change(SYSTEM, &id, |r| r["priority"] = "urgent".into()).await;
        stage.onward.must_say(SYSTEM, &id, "please hurry", json!({})).await;
        stage.onward.must_change(SYSTEM, &id, |r| r["status"] = "revoked".into()).await;
        passed_on(&stage, &id, 4).await;

        let (request, task) = (request_at(&stage, &id), stage.at_provider(&id).unwrap());
        assert_eq!(
            (&request["note"], &request["priority"], &request["status"]),
            (&note, &json!("urgent"), &json!("revoked"))
        );
        assert_eq!(request["performerType"]["text"], "our own");
        assert_eq!((&task["description"], &task["priority"]), (&json!("for Tuesday"), &json!("urgent")));
        assert_eq!((codes(&task), &task["status"]), (vec!["5.2".to_owned()], &json!("requested")));
        let subject = request["subject"]["reference"].as_str().unwrap().split_once('/').unwrap();
        assert!(stage.provider.resource(subject.0, subject.1).is_some(), "{subject:?}");
        assert_eq!(stage.provider.counts()["Patient"], people, "nobody twice");
        let message = &stage.provider.resources("Communication")[0];
        assert_eq!(message["about"][0]["reference"], format!("Task/{}", task["id"].as_str().unwrap()));
        let own: Vec<u64> = stage
            .journal(&id)
            .await
            .iter()
            .filter(|l| l.seq > 1 && matches!(l.actor, Actor::System(_)))
            .map(|l| l.seq)
            .collect();
        assert_eq!(brought(&stage, &id), own, "each by itself, in order");
        let keys: Vec<_> = stage.provider.requests().into_iter().filter_map(|r| r.idempotency_key).collect();
        let expected: Vec<_> = [1].iter().chain(&own).map(|seq| format!("{id}-{seq}")).collect();
        assert_eq!(keys, expected);
        until("the record shows it", || async { stage.in_record(&id).filter(|task| codes(task) == ["5.2"]) }).await;

        // it is refused: from where it was it goes on, and its copy no longer says that it is to be cancelled
        stage.answer(&id, "accepted", json!({})).await;
        passed_on(&stage, &id, 5).await;
        assert!(codes(&stage.at_provider(&id).unwrap()).is_empty());
        let told = stage.told_at_last(&id, "accepted").await;
        assert!(codes(&told).is_empty(), "{told}");
        stage.onward.must_change(SYSTEM, &id, |r| r["status"] = "active".into()).await;
        passed_on(&stage, &id, 6).await;
        assert_eq!(request_at(&stage, &id)["status"], "active");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_answers_say_nothing_twice() {
    for ids in BOTH_IDS {
        let stage = pushed(ids).await;
        let id = stage.referred(&one("01", "twice"), "received").await;
        for (n, fault) in
            [Fault::AnswerLost, Fault::Cut, Fault::Unavailable { retry_after_s: None }].into_iter().enumerate()
        {
            stage.provider.fault(transactions(fault, When::Next(1)));
            stage.onward.must_say(SYSTEM, &id, &format!("message {n}"), json!({})).await;
            let (patch, note) = ("note", json!([{"text": format!("version {n}")}]));
            stage.onward.must_change(SYSTEM, &id, |r| r[patch] = note).await;
            passed_on(&stage, &id, 2 * n + 2).await;
        }
        assert_eq!(words(&stage).await, ["message 0", "message 1", "message 2"]);
        let request = request_at(&stage, &id);
        assert_eq!(request["note"][0]["text"], "version 2");
        let versions = stage.provider.versions("ServiceRequest", request["id"].as_str().unwrap());
        assert_eq!(versions.len(), 4, "the first and three");
        assert!(brought(&stage, &id).is_sorted());
        // a copy that changes at the same moment is read again
        stage.provider.fault(transactions(Fault::Refuse(StatusCode::PRECONDITION_FAILED), When::Next(2)));
        stage.onward.must_say(SYSTEM, &id, "once more", json!({})).await;
        passed_on(&stage, &id, 7).await;
        assert!(stage.store.dead_letters(9).await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_before_it_could_be_delivered_arrives_after_it() {
    let stage = pushed(BOTH_IDS[0]).await;
    stage.provider.fault(Rule::new(Fault::Unavailable { retry_after_s: None }, When::Always));
    let id = stage.onward.refer(&one("01", "behind")).await;
    for n in 0..3 {
        let note = json!([{"text": format!("version {n}")}]);
        stage.onward.must_change(SYSTEM, &id, |r| r["note"] = note).await;
        stage.onward.must_say(SYSTEM, &id, &format!("message {n}"), json!({})).await;
    }
    stage.provider.heal();
    passed_on(&stage, &id, 6).await;
    let request = request_at(&stage, &id);
    let versions = stage.provider.versions("ServiceRequest", request["id"].as_str().unwrap());
    let notes: Vec<_> = versions.iter().map(|v| v.resource["note"][0]["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(notes[1..], ["version 0", "version 1", "version 2"], "nothing is coalesced: {notes:?}");
    assert!(!notes[0].starts_with("version"), "first it arrives as it was sent");
    assert_eq!(words(&stage).await, ["message 0", "message 1", "message 2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_never_went_out_is_cancelled_at_once() {
    let retry = "first = \"1h\"\ncap = \"1h\"\n";
    let stage = Stage::set(Setting { retry, ..Setting::default() }).await;
    stage.provider.stop().await;
    let id = stage.onward.refer(&one("01", "unsent")).await;
    until("it was tried", || async {
        let tried = stage.store.attempts(crate::support::stage::task_id(&id)).await.unwrap();
        (!tried.is_empty()).then_some(())
    })
    .await;
    stage.onward.must_say(SYSTEM, &id, "never mind", json!({})).await;
    stage.onward.must_change(SYSTEM, &id, |r| r["status"] = "revoked".into()).await;
    assert_eq!(stage.onward.task(SYSTEM, &id).await["status"], "cancelled");
    stage.told_at_last(&id, "cancelled").await;
    // nothing is left to be sent
    until("the lane is through", || async {
        let waiting = stage.store.backlog().await.unwrap();
        waiting.iter().all(|b| b.side != Side::Delivery || b.waiting == 0).then_some(())
    })
    .await;
    assert_eq!(stage.times(&id, "superseded").await, 2);
    assert_eq!((stage.times(&id, "cancelled").await, stage.times(&id, "cancellation-requested").await), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_provider_turns_out_not_to_have_is_cancelled_by_that() {
    let retry = "first = \"100ms\"\ncap = \"200ms\"\nlate-max = \"2s\"\n";
    let stage = Stage::set(Setting { inbox: Some(BOTH_IDS[1]), retry, ..Setting::default() }).await;
    // the first try may have arrived for all we know; the second is refused for good
    stage.provider.fault(transactions(Fault::Cut, When::Next(1)));
    stage.provider.fault(transactions(Fault::Refuse(StatusCode::UNPROCESSABLE_ENTITY), When::Always));
    let id = stage.onward.refer(&one("01", "never-there")).await;
    stage.dead_letter(&id).await;
    stage.onward.must_change(SYSTEM, &id, |r| r["status"] = "revoked".into()).await;
    stage.told_at_last(&id, "cancelled").await;
    assert_eq!(stage.times(&id, "cancellation-requested").await, 1);
    assert_eq!(stage.happened(&id, "cancelled").await, Event::Cancelled { request: None });
    assert!(stage.provider.resources("Task").is_empty());
    // one that was refused at once never went out at all
    let other = stage.onward.refer(&one("06", "refused")).await;
    stage.dead_letter(&other).await;
    stage.onward.must_change(SYSTEM, &other, |r| r["status"] = "revoked".into()).await;
    stage.told_at_last(&other, "cancelled").await;
    assert_eq!(stage.times(&other, "cancellation-requested").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retraction_reaches_everybody_whatever_the_status() {
    for ids in BOTH_IDS {
        let stage = pushed(ids).await;
        let id = stage.referred(&one("01", "retract"), "received").await;
        stage.answer(&id, "accepted", json!({})).await;
        stage.answer(&id, "completed", json!({})).await;
        stage.provider.fault(transactions(Fault::Refuse(StatusCode::FORBIDDEN), When::Next(1)));
        stage.onward.must_change(SYSTEM, &id, |r| r["status"] = "entered-in-error".into()).await;
        passed_on(&stage, &id, 1).await;
        assert_eq!(stage.at_provider(&id).unwrap()["status"], "entered-in-error");
        assert_eq!(request_at(&stage, &id)["status"], "entered-in-error");
        stage.told_at_last(&id, "entered-in-error").await;
        assert_eq!(stage.statuses(&id), ["received", "accepted", "completed", "entered-in-error"]);
    }
}

/// A dead letter that tells the end may be replayed though the Task has ended; one that tells anything else may not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retraction_that_was_refused_can_be_replayed() {
    let stage = pushed(BOTH_IDS[0]).await;
    let id = stage.referred(&one("01", "replay"), "received").await;
    stage.provider.fault(transactions(Fault::Refuse(StatusCode::UNPROCESSABLE_ENTITY), When::Always));
    stage.onward.must_say(SYSTEM, &id, "hello", json!({})).await;
    let message = stage.dead_letter(&id).await;
    let told = until("the record is told", || async {
        stage.in_record(&id).filter(|t| codes(t).contains(&"undeliverable".to_owned()))
    })
    .await;
    assert_eq!(told["status"], "received");
    stage.onward.must_change(SYSTEM, &id, |r| r["status"] = "entered-in-error".into()).await;
    let retraction = until("a second dead letter", || async {
        stage.store.dead_letters(9).await.unwrap().into_iter().find(|l| l.seq > message.seq)
    })
    .await;
    stage.provider.heal();
    let refused = onward::lanes::dead::replay(&*stage.store, &message, "tester").await;
    assert!(matches!(refused, Err(onward::lanes::dead::ReplayError::Closed)), "{refused:?}");
    onward::lanes::dead::replay(&*stage.store, &retraction, "tester").await.unwrap();
    passed_on(&stage, &id, 1).await;
    assert_eq!(stage.at_provider(&id).unwrap()["status"], "entered-in-error");
    let told = until("the record is told", || async { stage.in_record(&id).filter(|t| codes(t).is_empty()) }).await;
    assert_eq!(told["status"], "entered-in-error");
}

// --- providers that are polled ---

async fn polled() -> Stage {
    Stage::set(Setting { inbox: Some(POLL), ..Setting::default() }).await
}

fn change(stage: &Stage, id: &str, status: &str, more: &Value) {
    let copy = stage.at_provider(id).unwrap();
    stage.provider.put_resource(with(&copy, status, more));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_writing_into_a_copy_is_no_answer() {
    let stage = polled().await;
    let id = stage.referred(&one("01", "own"), "received").await;
    change(&stage, &id, "accepted", &json!({"businessStatus": {"text": "on the list"}}));
    stage.told_at_last(&id, "accepted").await;
    stage.onward.must_say(SYSTEM, &id, "hello", json!({})).await;
    stage.onward.must_change(SYSTEM, &id, |r| r["note"] = json!([{"text": "new"}])).await;
    stage.onward.must_change(SYSTEM, &id, |r| r["status"] = "revoked".into()).await;
    passed_on(&stage, &id, 3).await;
    let copy = stage.at_provider(&id).unwrap();
    assert_eq!((codes(&copy), &copy["businessStatus"]["text"]), (vec!["5.2".to_owned()], &json!("on the list")));
    let looks = || stage.provider.requests().iter().filter(|r| r.path.starts_with("Task/")).count();
    let seen = looks();
    until("it is looked at again", || async { (looks() > seen + 4).then_some(()) }).await;
    assert_eq!(stage.times(&id, "answered").await, 1);
    assert_eq!((stage.times(&id, "answer-refused").await, stage.times(&id, "message").await), (0, 1));
    let task = stage.onward.task(SYSTEM, &id).await;
    assert_eq!((&task["status"], codes(&task)), (&json!("accepted"), vec!["5.2".to_owned()]));
    change(&stage, &id, "cancelled", &json!({"statusReason": {"text": "as asked"}}));
    stage.told_at_last(&id, "cancelled").await;
    assert_eq!(stage.statuses(&id).last().unwrap(), "cancelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_crosses_a_cancellation_does_not_refuse_it_and_an_outcome_wins() {
    for (crossing, ends) in [("in-progress", false), ("completed", true)] {
        let stage = polled().await;
        let id = stage.referred(&one("01", "cross"), "received").await;
        change(&stage, &id, "accepted", &json!({}));
        stage.told_at_last(&id, "accepted").await;
        // its people work on while our request is on its way
        stage.provider.fault(Rule::new(Fault::Unavailable { retry_after_s: None }, When::Always));
        change(&stage, &id, crossing, &json!({}));
        stage.onward.must_change(SYSTEM, &id, |r| r["status"] = "revoked".into()).await;
        stage.provider.heal();
        let told = stage.told_at_last(&id, crossing).await;
        if ends {
            assert_eq!(codes(&told), Vec::<String>::new());
            until("nothing more is sent", || async {
                (stage.times(&id, "superseded").await == 1 || stage.times(&id, "passed-on").await == 1).then_some(())
            })
            .await;
            assert_eq!(stage.onward.task(SYSTEM, &id).await["status"], "completed");
            continue;
        }
        passed_on(&stage, &id, 1).await;
        let task = stage.onward.task(SYSTEM, &id).await;
        assert_eq!(codes(&task), ["5.2"], "it was not known of: {task}");
        // now it is, and work goes on
        change(&stage, &id, "in-progress", &json!({"note": [{"text": "she wants to stay"}]}));
        until("that refuses it", || async { codes(&stage.onward.task(SYSTEM, &id).await).is_empty().then_some(()) })
            .await;
        until("its copy says so", || async { codes(&stage.at_provider(&id).unwrap()).is_empty().then_some(()) }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_on_a_polled_server_are_heard_once_and_ours_are_not() {
    for inbox in [POLL, ", answers = \"poll\", poll-every = \"200ms\", ids = \"server\""] {
        let stage = Stage::set(Setting { inbox: Some(inbox), ..Setting::default() }).await;
        let id = stage.referred(&one("01", "heard"), "received").await;
        let (task, request) = (stage.at_provider(&id).unwrap(), request_at(&stage, &id));
        let reference = |r: &Value| json!([{"reference": format!("{}/{}", r["resourceType"].as_str().unwrap(), r["id"].as_str().unwrap())}]);
        let write = |element: &str, about: &Value, text: &str| {
            let mut message = json!({"resourceType": "Communication", "status": "completed",
                "sender": {"reference": "Practitioner/9"}, "payload": [{"contentString": text}]});
            message[element] = reference(about);
            message
        };
        let mut question = write("basedOn", &request, "Does she use a stick?");
        question["reasonCode"] = json!([{"coding": [{"system": MORE, "code": "information-requested"}]}]);
        let there = stage.provider.put_resource(question).unwrap();
        let mut draft = write("basedOn", &request, "not yet");
        draft["status"] = "preparation".into();
        stage.provider.put_resource(draft);
        stage.happened(&id, "message").await;
        stage.provider.put_resource(write("about", &task, "And a frame?"));
        // about somebody else
        stage.provider.put_resource(write(
            "about",
            &json!({"resourceType": "Task", "id": "other"}),
            "no business of ours",
        ));
        until("both are heard", || async { (stage.times(&id, "message").await == 2).then_some(()) }).await;
        let told = until("the record has them", || async {
            let all = stage.record.resources("Communication");
            (all.len() == 2).then_some(all)
        })
        .await;
        assert_eq!(told[0]["payload"][0]["contentString"], "Does she use a stick?");
        assert_eq!(told[0]["sender"]["reference"], format!("{}/Practitioner/9", stage.provider.base_url()));
        let shown = stage.told_at_last(&id, "received").await;
        assert_eq!(codes(&shown), ["information-requested"]);

        let found = stage.onward.get(SYSTEM, &format!("Communication?about=Task/{id}")).await.unwrap().json();
        let here = found["entry"][0]["resource"]["id"].as_str().unwrap().to_owned();
        let answer = json!({"inResponseTo": [{"reference": format!("Communication/{here}")}]});
        stage.onward.must_say(SYSTEM, &id, "She does.", answer).await;
        passed_on(&stage, &id, 1).await;
        let ours = stage.provider.resources("Communication");
        let ours = ours.iter().find(|c| c["payload"][0]["contentString"] == "She does.").unwrap();
        assert_eq!(ours["inResponseTo"][0]["reference"], format!("Communication/{there}"), "by its name there");
        until("it is answered", || async { codes(&stage.in_record(&id).unwrap()).is_empty().then_some(()) }).await;
        let looks = || stage.provider.requests().iter().filter(|r| r.path.starts_with("Communication")).count();
        let seen = looks();
        until("it is looked at again", || async { (looks() > seen + 6).then_some(()) }).await;
        assert_eq!((stage.times(&id, "message").await, stage.times(&id, "answer-refused").await), (3, 0));
        assert_eq!(stage.record.resources("Communication").len(), 2, "what the referrer wrote is its own");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worklist_shows_what_was_said() {
    let stage = Stage::set(Setting { inbox: None, ..Setting::default() }).await;
    let id = stage.referred(&one("01", "list"), "requested").await;
    let etag = stage.onward.task(PROVIDER, &id).await["meta"]["versionId"].clone();
    stage.onward.must_say(SYSTEM, &id, "hello", json!({})).await;
    stage.onward.must_change(SYSTEM, &id, |r| r["priority"] = "stat".into()).await;
    stage.onward.must_change(SYSTEM, &id, |r| r["status"] = "revoked".into()).await;
    passed_on(&stage, &id, 3).await;
    let task = stage.onward.task(PROVIDER, &id).await;
    assert_ne!(task["meta"]["versionId"], etag);
    assert_eq!(
        (&task["status"], &task["priority"], codes(&task)),
        (&json!("requested"), &json!("stat"), vec!["5.2".to_owned(), "handed-over".to_owned()])
    );
    let request = stage.onward.get(PROVIDER, task["focus"]["reference"].as_str().unwrap()).await.unwrap().json();
    assert_eq!((&request["status"], &request["meta"]["versionId"]), (&json!("revoked"), &json!("3")));
    stage.answer(&id, "cancelled", json!({"statusReason": {"text": "as asked"}})).await;
    stage.told_at_last(&id, "cancelled").await;
}

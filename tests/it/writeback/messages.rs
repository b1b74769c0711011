//! A provider's messages on their way into the record.

use super::*;
use crate::support::stage::{PROVIDER, SYSTEM};

fn in_record(stage: &Stage) -> Vec<Value> {
    stage.record.resources("Communication").iter().map(|c| (**c).clone()).collect()
}

async fn written(stage: &Stage, id: &str, n: usize) {
    until("it is written back", || async { (stage.times(id, "written-back").await == n).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_about_the_records_own_and_comes_in_order() {
    let stage = Stage::set(Setting::default()).await;
    let referral = one("01", "message");
    let request = keep(&stage, &referral);
    let id = stage.referred(&referral, "received").await;
    stage.onward.must_say(PROVIDER, &id, "She came today.", json!({"sender": {"display": "A link worker"}})).await;
    stage.answer(&id, "accepted", json!({})).await;
    stage.told_at_last(&id, "accepted").await;
    let [message] = &in_record(&stage)[..] else { panic!("{:?}", in_record(&stage)) };
    assert_eq!(
        message["basedOn"],
        json!([{"reference": format!("ServiceRequest/{request}"), "type": "ServiceRequest"}])
    );
    let task = stage.in_record(&id).unwrap();
    assert_eq!(message["about"][0]["reference"], format!("Task/{}", task["id"].as_str().unwrap()));
    assert_eq!(message["subject"], task["for"]);
    assert_eq!(message["sender"]["display"], "A link worker");
    assert_eq!(message["payload"], json!([{"contentString": "She came today."}]));
    // between the two statuses
    let at = |path: &str| {
        let all = stage.record.requests();
        all.iter().position(|r| r.method != Method::GET && r.path.starts_with(path)).unwrap()
    };
    assert!(at("Task") < at("Communication"));
    assert_eq!(stage.statuses(&id), ["received", "received", "accepted"]);
    // what the referrer writes is its own: nothing of it goes back
    stage.onward.must_say(SYSTEM, &id, "Thank you.", json!({})).await;
    stage.happened(&id, "passed-on").await;
    assert_eq!(in_record(&stage).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_whose_answer_was_cut_is_not_written_twice() {
    let stage = Stage::set(Setting::default()).await;
    let id = stage.referred(&one("01", "cut"), "received").await;
    written(&stage, &id, 1).await;
    for (n, fault) in
        [Fault::AnswerLost, Fault::Cut, Fault::Unavailable { retry_after_s: None }].into_iter().enumerate()
    {
        stage.record.fault(Rule::new(fault, When::Next(1)).method(Method::POST).kind("Communication"));
        stage.onward.must_say(PROVIDER, &id, &format!("message {n}"), json!({})).await;
        written(&stage, &id, n + 2).await;
    }
    let words: Vec<_> = in_record(&stage).iter().map(|m| m["payload"][0]["contentString"].clone()).collect();
    assert_eq!(words, ["message 0", "message 1", "message 2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_takes_no_messages_is_told_every_status_all_the_same() {
    let stage = Stage::set(Setting::default()).await;
    let id = stage.referred(&one("01", "none"), "received").await;
    stage.record.fault(
        Rule::new(Fault::Refuse(StatusCode::METHOD_NOT_ALLOWED), When::Always)
            .method(Method::POST)
            .kind("Communication"),
    );
    stage.onward.must_say(PROVIDER, &id, "hello", json!({})).await;
    let letter = stage.dead_letter(&id).await;
    assert!(letter.why.contains("405"), "{}", letter.why);
    stage.answer(&id, "accepted", json!({})).await;
    stage.told_at_last(&id, "accepted").await;
    // once it can, what was written is still to be read, though the status has gone on
    stage.record.heal();
    replay(&*stage.store, &letter, "tester").await.unwrap();
    until("it is written", || async { (in_record(&stage).len() == 1).then_some(()) }).await;
    stage.answer(&id, "in-progress", json!({})).await;
    stage.told_at_last(&id, "in-progress").await;
    assert!(stage.statuses(&id).ends_with(&["accepted".into(), "in-progress".into()]));
}

/// How much of a message goes back is narrowed like everything else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_says_no_more_than_may_be_told() {
    for (write_back, fixture, messages, words) in [
        (", detail = \"summary\"", "01", 1, true),
        (", detail = \"codes\"", "01", 1, false),
        (", detail = \"none\"", "01", 0, false),
        (", detail = \"full\"", "08", 1, false),
        (", detail = \"full\"", "17", 0, false),
    ] {
        let stage = Stage::set(Setting { write_back, ..Setting::default() }).await;
        let id = stage.referred(&one(fixture, "detail"), "received").await;
        written(&stage, &id, 1).await;
        let code = json!({"coding": [{"system": "https://onward.example/fhir/CodeSystem/business-status", "code": "information-requested"}],
            "text": "in words"});
        stage.onward.must_say(PROVIDER, &id, "She told us of her debts.", json!({"reasonCode": [code]})).await;
        written(&stage, &id, 2).await;
        let told = in_record(&stage);
        assert_eq!(told.len(), messages, "{write_back} {fixture}");
        let text = Value::from(told.clone()).to_string();
        assert_eq!(text.contains("debts"), words, "{write_back} {fixture}: {text}");
        assert!(words || !text.contains("in words"), "{text}");
        assert_eq!(text.contains("information-requested"), messages == 1);
    }
}

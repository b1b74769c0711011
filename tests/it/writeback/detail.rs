//! How much of a status goes back: what the system is configured for, narrowed by the referral's Consent.

use super::*;

/// What the record's Task says after an answer that says as much as one can.
async fn told(write_back: &'static str, fixture: &str) -> Value {
    let stage = Stage::set(Setting { write_back, ..Setting::default() }).await;
    let id = stage.referred(&one(fixture, "detail"), "received").await;
    stage.answer(&id, "accepted", json!({})).await;
    let coded =
        |code: &str| json!({"coding": [{"system": "https://p.example/codes", "code": code}], "text": "in words"});
    let output = json!({"type": coded("outcome"), "valueCodeableConcept": coded("attended")});
    let words = json!({"type": coded("letter"), "valueString": "Dear colleague"});
    stage
        .answer(
            &id,
            "on-hold",
            json!({
                "statusReason": coded("waiting-list"),
                "businessStatus": coded("5.1.1"),
                "note": [{"text": "She told us of her debts."}],
                "output": [output, words],
                "executionPeriod": {"start": "2026-03-01"},
            }),
        )
        .await;
    let task = stage.told_at_last(&id, "on-hold").await;
    assert_eq!(stage.statuses(&id), ["received", "accepted", "on-hold"]);
    (*task).clone()
}

fn has(task: &Value) -> Vec<&'static str> {
    let names = ["statusReason", "businessStatus", "note", "output", "executionPeriod"];
    names.into_iter().filter(|name| task.get(name).is_some()).collect()
}

fn assert_codes_only(task: &Value) {
    assert_eq!(has(task), ["statusReason", "businessStatus", "output"]);
    assert_eq!(task["statusReason"]["coding"][0]["code"], "waiting-list");
    assert_eq!(task["output"].as_array().unwrap().len(), 1);
    let text = task.to_string();
    assert!(!text.contains("in words") && !text.contains("debts") && !text.contains("colleague"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_is_everything() {
    let task = told(", detail = \"full\"", "01").await;
    assert_eq!(has(&task), ["statusReason", "businessStatus", "note", "output", "executionPeriod"]);
    assert_eq!(task["output"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn summary_is_without_notes_and_outputs() {
    let task = told("", "01").await;
    assert_eq!(has(&task), ["statusReason", "businessStatus", "executionPeriod"]);
    assert_eq!(task["statusReason"]["text"], "in words");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_are_codes() {
    assert_codes_only(&told(", detail = \"codes\"", "01").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_is_the_status_alone() {
    assert!(has(&told(", detail = \"none\"", "01").await).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consent_narrows_full_to_codes() {
    assert_codes_only(&told(", detail = \"full\"", "08").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consent_narrows_full_to_nothing() {
    let task = told(", detail = \"full\"", "17").await;
    assert!(has(&task).is_empty(), "{task}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consent_never_widens() {
    assert!(has(&told(", detail = \"none\"", "08").await).is_empty());
}

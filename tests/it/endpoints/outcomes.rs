//! What may heal and what may not, by status and OperationOutcome; and the retry policy of one endpoint.

use onward::fhir::IssueCode;

use super::*;

fn next(n: u32, status: StatusCode, code: IssueCode) -> Rule {
    Rule::new(Fault::Outcome(status, code), When::Next(n)).method(Method::POST).kind("")
}

/// The tries to deliver it.
async fn tries(stage: &Stage, id: &str) -> Vec<(String, Option<String>)> {
    let attempts = stage.store.attempts(task_id(id)).await.unwrap();
    attempts.into_iter().filter(|a| a.side == Side::Delivery).map(|a| (a.result, a.why)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_that_is_a_passing_one_heals() {
    let stage = Stage::set(Setting::default()).await;
    stage.provider.fault(next(1, StatusCode::UNPROCESSABLE_ENTITY, IssueCode::LockError));
    stage.provider.fault(next(1, StatusCode::BAD_REQUEST, IssueCode::NoStore));
    let id = stage.referred(&singles("heals").next().unwrap(), "received").await;
    let results = tries(&stage, &id).await;
    let results: Vec<_> = results.iter().map(|(result, why)| (result.as_str(), why.as_deref())).collect();
    let expected =
        [("deferred", Some("HTTP 422; lock-error")), ("deferred", Some("HTTP 400; no-store")), ("arrived", None)];
    assert_eq!(results, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_error_about_the_content_does_not() {
    let stage = Stage::set(Setting::default()).await;
    stage.provider.fault(next(1, StatusCode::INTERNAL_SERVER_ERROR, IssueCode::Exception));
    let id = stage.referred(&singles("ours").next().unwrap(), "received").await;
    assert_eq!(tries(&stage, &id).await.len(), 2);
    stage.provider.fault(next(1, StatusCode::INTERNAL_SERVER_ERROR, IssueCode::NotSupported));
    let id = stage.onward.refer(&singles("theirs").next().unwrap()).await;
    let letter = stage.dead_letter(&id).await;
    assert_eq!((letter.attempts, letter.why.as_str()), (1, "HTTP 500; not-supported"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_has_a_retry_policy_of_its_own() {
    let setting = Setting {
        retry: "first = \"1h\"\ncap = \"1h\"\n",
        inbox: Some(", retry = { first = \"50ms\", cap = \"100ms\", give-up-after = \"1s\", delayed-after = \"1s\" }"),
        ..Setting::default()
    };
    let stage = Stage::set(setting).await;
    stage.provider.fault(always(DOWN));
    let id = stage.onward.refer(&singles("own").next().unwrap()).await;
    let letter = stage.dead_letter(&id).await;
    assert!(letter.attempts >= 3, "{letter:?}");
    assert!(letter.why.starts_with("given up after"), "{}", letter.why);
    stage.told_at_last(&id, "requested").await;
}

//! `Prefer: return=…` on what writes.

use serde_json::json;

use super::{fixtures, hub};
use hub::{GP, Hub, LINK_WORKERS};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_referral_is_answered_as_preferred() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    for preference in ["return=minimal", "handling=strict; return=minimal", "respond-async, return=minimal"] {
        let minimal = gp.refer_with(&fixtures::to_link_workers(preference), &[("prefer", preference)]).await;
        assert_eq!((minimal.status.as_u16(), minimal.body.len()), (201, 0), "{preference}");
        for name in ["location", "etag", "last-modified", "link"] {
            assert!(minimal.header(name).is_some(), "{name}");
        }
    }
    for (preference, kind) in [
        ("return=representation", "ServiceRequest"),
        ("return=OperationOutcome", "OperationOutcome"),
        ("return=something", "ServiceRequest"),
    ] {
        let answer = gp.refer_with(&fixtures::to_link_workers(kind), &[("prefer", preference)]).await;
        assert!(answer.status.is_success());
        assert_eq!(answer.json()["resourceType"], kind, "{preference}");
    }
    let outcome = gp.refer_with(&fixtures::to_link_workers("o"), &[("prefer", "return=OperationOutcome")]).await;
    assert_eq!(outcome.json()["issue"][0]["severity"], "information");
    let bundle = fixtures::json("referrals/05-two-referrals.json");
    let minimal = gp.refer_with(&bundle, &[("prefer", "return=minimal")]).await.json();
    assert!(minimal["entry"].as_array().unwrap().iter().all(|e| e.get("resource").is_none()));
    let whole = gp.refer(&bundle).await.json();
    assert_eq!(whole["entry"].as_array().unwrap().iter().filter(|e| e.get("resource").is_some()).count(), 2);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_answered_as_preferred() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    let provider = hub.provider(LINK_WORKERS);
    for (preference, kind) in
        [("minimal", None), ("representation", Some("Task")), ("OperationOutcome", Some("OperationOutcome"))]
    {
        let task = gp.refers(&fixtures::to_link_workers(preference)).await;
        let patch = json!([{"op": "replace", "path": "/status", "value": "accepted"}]);
        let call = provider.call_to(hyper::Method::PATCH, &task).header("if-match", "W/\"1\"");
        let call = call.header("prefer", format!("return={preference}")).json("application/json-patch+json", &patch);
        let answer = provider.call(call).await;
        assert_eq!(answer.status, 200, "{}", answer.describe());
        assert_eq!(answer.json()["resourceType"].as_str(), kind, "{preference}");
        assert_eq!(answer.header("etag"), provider.get(&task).await.header("etag"));
        assert!(answer.header("last-modified").is_some());
    }
    hub.stop().await;
}

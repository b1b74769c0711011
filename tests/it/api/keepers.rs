//! What is told of Onward itself, and to whom: the verdict to everybody, the rest to who keeps it running.

use hyper::Method;
use onward::{config::TokenHash, demo::caller::Answered};
use serde_json::json;

use super::hub;
use hub::{ANNA, GP, Hub, token_of};

/// As a proxy passes on what comes from elsewhere.
const FROM_ELSEWHERE: (&str, &str) = ("x-forwarded-for", "203.0.113.9");
const TOKEN: &str = "a-token-of-prometheus-0123456789";

async fn ask(hub: &Hub, path: &str, token: Option<&str>) -> Answered {
    let actor = hub.actor(token);
    actor.call(actor.call_to(Method::GET, path).header(FROM_ELSEWHERE.0, FROM_ELSEWHERE.1)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_keep_it_running_is_told_the_verdict_alone() {
    let tokens = format!("keeper-tokens = [{{ sha256 = \"{}\" }}]", TokenHash::of(TOKEN).hex());
    let hub = Hub::build().server(&tokens).limits("address-rate = 10").start().await;
    let here = hub.actor(None).get("/health/ready").await.json();
    assert!(here["parts"].is_object() && here["roles"].is_array(), "{here}");
    for token in [None, Some(token_of(GP)), Some(token_of(ANNA)), Some(TOKEN.to_uppercase())] {
        let ready = ask(&hub, "/health/ready", token.as_deref()).await;
        assert_eq!((ready.status.as_u16(), ready.json()), (200, json!({"status": "ready"})), "{token:?}");
        let figures = ask(&hub, "/metrics", token.as_deref()).await;
        assert_eq!((figures.status.as_u16(), figures.header("www-authenticate")), (401, Some("Bearer")), "{token:?}");
        assert!(!String::from_utf8_lossy(&figures.body).contains("onward_"), "{}", figures.describe());
        assert_eq!(ask(&hub, "/health/live", token.as_deref()).await.status, 200);
    }
    let ready = ask(&hub, "/health/ready", Some(TOKEN)).await.json();
    assert_eq!(ready["parts"].as_object().unwrap().len(), here["parts"].as_object().unwrap().len(), "{ready}");
    let figures = ask(&hub, "/metrics", Some(TOKEN)).await;
    assert!(
        figures.status == 200 && String::from_utf8_lossy(&figures.body).contains("onward_"),
        "{}",
        figures.describe()
    );
    // it keeps it running, and is nobody's client
    assert_eq!(hub.actor(Some(TOKEN)).get("/fhir/Task").await.status, 401);
    let mut refused = 0;
    let later = loop {
        let answer = ask(&hub, "/metrics", Some("a-token-that-nobody-gave-out")).await;
        if answer.status == 429 {
            break answer;
        }
        refused += 1;
        assert!(refused < 50, "whoever tries one after the other is not slowed down");
    };
    assert_eq!(later.json()["resourceType"], "OperationOutcome", "{}", later.describe());
    assert_eq!(ask(&hub, "/health/ready", None).await.status, 200, "who balances load is told all the same");
    assert_eq!(ask(&hub, "/metrics", Some(TOKEN)).await.status, 200);
    hub.stop().await;
}

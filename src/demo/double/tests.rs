use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::*;
use crate::demo::caller::{Answered, Call, Caller, FHIR_JSON, JSON_PATCH, NoAnswer};

async fn double() -> (Double, Caller) {
    (Double::start(Options::default()).await.unwrap(), Caller::new())
}

fn call(double: &Double, method: Method, path: &str) -> Call {
    let slash = if path.is_empty() { "" } else { "/" };
    Call::new(method, format!("{}{slash}{path}", double.base_url()))
}

async fn ask(double: &Double, caller: &Caller, path: &str) -> Answered {
    caller.call(call(double, Method::GET, path)).await.unwrap()
}

async fn send(double: &Double, caller: &Caller, method: Method, path: &str, body: &Value) -> Answered {
    caller.call(call(double, method, path).json(FHIR_JSON, body)).await.unwrap()
}

fn task(value: &str, status: &str) -> Value {
    json!({"resourceType": "Task", "identifier": [{"system": "urn:s", "value": value}], "status": status})
}

const BY_IDENTIFIER: &str = "Task?identifier=urn%3As%7Ca";

#[tokio::test]
async fn a_resource_is_kept_lexically_and_versioned() {
    let (double, caller) = double().await;
    let sent: Value = serde_json::from_str(r#"{"resourceType":"Observation","x":1.50,"y":0.000000100}"#).unwrap();
    let made = send(&double, &caller, Method::POST, "Observation", &sent).await;
    assert_eq!((made.status.as_u16(), made.header("etag")), (201, Some("W/\"1\"")));
    let at = made.header("location").unwrap().to_owned();
    assert!(at.starts_with(double.base_url()) && at.ends_with("/Observation/1/_history/1"), "{at}");
    let read = ask(&double, &caller, "Observation/1").await;
    assert!(String::from_utf8_lossy(&read.body).contains(r#""x":1.50,"y":0.000000100"#));

    let same =
        caller.call(call(&double, Method::GET, "Observation/1").header("if-none-match", "W/\"1\"")).await.unwrap();
    assert_eq!((same.status.as_u16(), same.body.len()), (304, 0));
    let mut new = read.json();
    new["x"] = json!("2");
    assert_eq!(send(&double, &caller, Method::PUT, "Observation/1", &new).await.status.as_u16(), 200);
    let history = ask(&double, &caller, "Observation/1/_history").await.json();
    assert_eq!((&history["total"], &history["entry"][0]["resource"]["x"]), (&json!(2), &json!("2")));
    assert_eq!(ask(&double, &caller, "Observation/1/_history/1").await.status.as_u16(), 200);
    assert_eq!(ask(&double, &caller, "Observation/2").await.status.as_u16(), 404);
    assert_eq!(ask(&double, &caller, "metadata").await.json()["fhirVersion"], "4.0.1");
    assert_eq!(ask(&double, &caller, "Nothing/1").await.json()["resourceType"], "OperationOutcome");
}

#[tokio::test]
async fn a_conditional_create_is_done_once() {
    let (double, caller) = double().await;
    let conditional = || {
        call(&double, Method::POST, "Task")
            .json(FHIR_JSON, &task("a", "x"))
            .header("if-none-exist", "identifier=urn:s|a")
    };
    assert_eq!(caller.call(conditional()).await.unwrap().status.as_u16(), 201);
    let again = caller.call(conditional()).await.unwrap();
    assert_eq!((again.status.as_u16(), again.header("etag")), (200, Some("W/\"1\"")));
    assert_eq!(double.counts(), [("Task".to_owned(), 1)].into());
    send(&double, &caller, Method::POST, "Task", &task("a", "x")).await;
    assert_eq!(caller.call(conditional()).await.unwrap().status.as_u16(), 412, "two match");
}

#[tokio::test]
async fn a_conditional_update_creates_updates_or_is_refused() {
    let (double, caller) = double().await;
    let put = |status: &'static str| {
        let (double, caller) = (&double, &caller);
        async move { send(double, caller, Method::PUT, BY_IDENTIFIER, &task("a", status)).await.status.as_u16() }
    };
    assert_eq!((put("requested").await, put("accepted").await), (201, 200));
    let found = ask(&double, &caller, BY_IDENTIFIER).await.json();
    assert_eq!((&found["total"], &found["entry"][0]["resource"]["status"]), (&json!(1), &json!("accepted")));
    let other = ask(&double, &caller, "Task?identifier=urn:s|b").await.json();
    assert_eq!((&other["total"], other.get("entry")), (&json!(0), None));
    let counted = ask(&double, &caller, "Task?identifier=a&_summary=count").await.json();
    assert_eq!((&counted["total"], counted.get("entry")), (&json!(1), None));
    double.set_abilities(Abilities { conditional_update: false, etags: false, ..Abilities::default() });
    assert_eq!(put("completed").await, 405);
    assert_eq!(ask(&double, &caller, "Task/1").await.header("etag"), None);
}

#[tokio::test]
async fn if_match_guards_update_and_patch() {
    let (double, caller) = double().await;
    let id = double.put_resource(task("a", "requested")).unwrap();
    let path = format!("Task/{id}");
    let mut body = task("a", "received");
    body["id"] = id.clone().into();
    let put = |tag: &str| call(&double, Method::PUT, &path).json(FHIR_JSON, &body).header("if-match", tag);
    assert_eq!(caller.call(put("W/\"2\"")).await.unwrap().status.as_u16(), 412);
    assert_eq!(caller.call(put("W/\"1\"")).await.unwrap().status.as_u16(), 200);
    let patch = json!([{"op": "replace", "path": "/status", "value": "accepted"}]);
    let patched = |tag: &str, kind| call(&double, Method::PATCH, &path).json(kind, &patch).header("if-match", tag);
    assert_eq!(caller.call(patched("W/\"1\"", JSON_PATCH)).await.unwrap().status.as_u16(), 412);
    assert_eq!(caller.call(patched("W/\"2\"", FHIR_JSON)).await.unwrap().status.as_u16(), 415);
    let done = caller.call(patched("W/\"2\"", JSON_PATCH)).await.unwrap();
    assert_eq!((done.status.as_u16(), &done.json()["status"]), (200, &json!("accepted")));
    let statuses: Vec<_> = double.versions("Task", &id).iter().map(|v| v.resource["status"].clone()).collect();
    assert_eq!(statuses, ["requested", "received", "accepted"]);
    let elsewhere = send(&double, &caller, Method::PUT, "Task/9", &body).await;
    assert_eq!(elsewhere.status.as_u16(), 400, "another id in the body");
}

fn transaction(focus: &str) -> Value {
    json!({"resourceType": "Bundle", "type": "transaction", "entry": [
        {"fullUrl": "urn:uuid:t", "resource": {"resourceType": "Task", "identifier": [{"system": "urn:s", "value": "a"}],
            "focus": {"reference": focus}}, "request": {"method": "POST", "url": "Task", "ifNoneExist": "identifier=urn%3As%7Ca"}},
        {"fullUrl": "urn:uuid:s", "resource": {"resourceType": "ServiceRequest", "subject": {"reference": "Patient/p-1"}},
            "request": {"method": "POST", "url": "ServiceRequest"}},
        {"fullUrl": "http://x/fhir/Patient/p-1", "resource": {"resourceType": "Patient", "id": "p-1"},
            "request": {"method": "PUT", "url": "Patient/p-1"}},
    ]})
}

#[tokio::test]
async fn a_transaction_is_done_wholly_or_not_at_all() {
    let (double, caller) = double().await;
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    double.on_change(move |change| {
        assert_eq!(change.stored.resource["id"], change.id);
        count.fetch_add(1, Ordering::SeqCst);
    });
    let broken = send(&double, &caller, Method::POST, "", &transaction("urn:uuid:nobody")).await;
    assert_eq!((broken.status.as_u16(), double.counts().len()), (400, 0));
    let mut stale = transaction("urn:uuid:s");
    stale["entry"][2]["request"]["ifMatch"] = "W/\"1\"".into();
    let refused = send(&double, &caller, Method::POST, "", &stale).await;
    assert_eq!((refused.status.as_u16(), double.counts().len()), (412, 0));

    let done = send(&double, &caller, Method::POST, "", &transaction("urn:uuid:s")).await.json();
    assert_eq!(done["type"], "transaction-response");
    let response = &done["entry"][0]["response"];
    assert_eq!((&response["status"], &response["etag"]), (&json!("201 Created"), &json!("W/\"1\"")));
    let location = response["location"].as_str().unwrap();
    let id = location.strip_prefix("Task/").and_then(|l| l.strip_suffix("/_history/1")).unwrap();
    let focus = double.resource("Task", id).unwrap()["focus"]["reference"].as_str().unwrap().to_owned();
    assert_eq!(done["entry"][1]["response"]["location"], format!("{focus}/_history/1"));
    assert!(double.resource("Patient", "p-1").is_some());
    assert_eq!(seen.load(Ordering::SeqCst), 3);

    let again = send(&double, &caller, Method::POST, "", &transaction("Task/1")).await.json();
    assert_eq!(again["entry"][0]["response"]["status"], "200 OK");
    assert_eq!((double.counts()["Task"], double.counts()["ServiceRequest"]), (1, 2));
}

#[tokio::test]
async fn only_who_has_the_token_is_let_in() {
    let options = Options { token: Some("a-token-of-the-test".to_owned()), ..Options::default() };
    let (double, caller) = (Double::start(options).await.unwrap(), Caller::new());
    let refused = ask(&double, &caller, "Task").await;
    assert_eq!((refused.status.as_u16(), &refused.json()["issue"][0]["code"]), (401, &json!("login")));
    let known = call(&double, Method::GET, "Task").token("a-token-of-the-test");
    assert_eq!(caller.call(known).await.unwrap().status.as_u16(), 200);
}

#[tokio::test]
async fn it_fails_as_it_is_told() {
    let (double, caller) = double().await;
    let post = async |caller: &Caller| -> Result<Answered, NoAnswer> {
        caller
            .call(call(&double, Method::POST, "Task").json(FHIR_JSON, &task("a", "x")).header("idempotency-key", "k"))
            .await
    };
    double.fault(Rule::new(Fault::Unavailable { retry_after_s: Some(7) }, When::Next(1)).kind("Task"));
    let away = post(&caller).await.unwrap();
    assert_eq!((away.status.as_u16(), away.retry_after()), (503, Some(Duration::from_secs(7))));
    assert_eq!(post(&caller).await.unwrap().status.as_u16(), 201);

    double.fault(Rule::new(Fault::AnswerLost, When::Next(1)).method(Method::POST));
    assert!(post(&caller).await.is_err());
    assert_eq!(double.counts()["Task"], 2, "done all the same");
    double.fault(Rule::new(Fault::Cut, When::Always));
    assert!(post(&caller).await.is_err());
    assert_eq!(double.counts()["Task"], 2, "not done");
    double.heal();
    double.fault(Rule::new(Fault::Nonsense, When::Always));
    assert_eq!(post(&caller).await.unwrap().header("content-type"), Some("text/html; charset=utf-8"));
    double.heal();
    double.fault(Rule::new(Fault::Refuse(StatusCode::UNPROCESSABLE_ENTITY), When::Always));
    assert_eq!(post(&caller).await.unwrap().status.as_u16(), 422);
    double.heal();
    double.slow(Duration::from_millis(30));
    let before = std::time::Instant::now();
    assert_eq!(post(&caller).await.unwrap().status.as_u16(), 201);
    assert!(before.elapsed() >= Duration::from_millis(30));
    double.heal();
    double.fault(Rule::new(Fault::Hang, When::Always));
    assert!(tokio::time::timeout(Duration::from_millis(50), post(&caller)).await.is_err());

    let log = double.requests();
    let codes: Vec<_> = log.iter().map(|l| l.status.map(|s| s.as_u16())).collect();
    let expected = [Some(503), Some(201), None, None, Some(200), Some(422), Some(201), None];
    assert_eq!(codes, expected);
    assert!(log.iter().all(|l| l.idempotency_key.as_deref() == Some("k") && l.path == "Task"));
    double.stop().await;
    assert!(post(&Caller::new()).await.is_err(), "the port is closed");
}

#[tokio::test]
async fn the_record_can_be_changed_from_within() {
    let (double, caller) = double().await;
    let id = double.put_resource(task("a", "requested")).unwrap();
    assert!(double.remove_resource("Task", &id) && !double.remove_resource("Task", &id));
    assert_eq!(ask(&double, &caller, BY_IDENTIFIER).await.json()["total"], 0);
    assert_eq!(double.put_resource(json!({"id": "x"})), None);
}

//! What is said after sending: what a referrer may change, what either side may write, and every way in which that is refused.

use std::collections::BTreeMap;

use hyper::Method;
use onward::demo::{
    caller::Answered,
    double::{Fault, Rule, When},
};
use serde_json::{Value, json};

use super::{fixtures, hub, ids, refused, resources};
use crate::support::until;
use hub::{Actor, GP, HOUSING, Hub, LIFE_ROOMS, LINK_WORKERS, RIO, Sender, WARD};

const MORE: &str = "https://onward.example/fhir/CodeSystem/business-status";
const BSER: &str = "http://hl7.org/fhir/us/bser/CodeSystem/TaskBusinessStatusCS";

/// A referral that was sent: where its ServiceRequest and its Task are.
struct Sent {
    request: String,
    task: String,
}

async fn refers(sender: &Sender, referral: &Value) -> Sent {
    let answer = sender.refer(referral).await;
    assert_eq!(answer.status, 201, "{}", answer.describe());
    let request = answer.header("location").unwrap().split_once("/_history").unwrap().0.to_owned();
    Sent { request, task: answer.links("monitor").remove(0) }
}

/// One in the worklist of the link workers.
async fn listed(hub: &Hub, number: &str) -> Sent {
    let sent = refers(&hub.sender(GP), &fixtures::to_link_workers(number)).await;
    hub.task_when(&hub.provider(LINK_WORKERS), &sent.task, "listed", |t| t["meta"]["versionId"] == "2").await;
    sent
}

/// How much of everything that only something said makes more of. Tries, and journal lines of them, are still being made for
/// what was said before.
fn rows_said(hub: &Hub) -> BTreeMap<String, i64> {
    let mut rows = hub.rows();
    rows.retain(|table, _| !matches!(&**table, "attempt" | "journal" | "alert" | "breaker"));
    rows
}

/// Reads a ServiceRequest and puts it back changed, made from the version that is there now.
async fn changes(sender: &Sender, url: &str, change: impl FnOnce(&mut Value)) -> Answered {
    let read = sender.get(url).await;
    let mut request = read.json();
    change(&mut request);
    sender.change(url, read.header("etag").unwrap(), &request).await
}

fn codes(task: &Value) -> Vec<(String, String)> {
    let text = |c: &Value, name: &str| c[name].as_str().unwrap_or_default().to_owned();
    let codings = task["businessStatus"]["coding"].as_array().cloned().unwrap_or_default();
    codings.iter().map(|c| (text(c, "system"), text(c, "code"))).collect()
}

fn message(sent: &Sent, words: &str) -> Value {
    let request = sent.request.split_once("/fhir/").unwrap().1;
    json!({"resourceType": "Communication", "status": "completed", "basedOn": [{"reference": request}],
           "payload": [{"contentString": words}]})
}

async fn says(actor: &Actor, message: &Value) -> Answered {
    actor.method(Method::POST, "/fhir/Communication", message).await
}

// --- the referrer's changes ---

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_sent_is_cancelled_at_once_and_never_delivered() {
    let hub = Hub::build().life_rooms_at("http://127.0.0.1:9/fhir").start().await;
    let rio = hub.sender(RIO);
    let sent = refers(&rio, &fixtures::to_life_rooms("unsent")).await;
    until("it was tried", || async {
        let history = rio.get(&format!("{}/_history", sent.task)).await.json();
        history.to_string().contains("delivery-attempt").then_some(())
    })
    .await;
    // a try may be under way: then it is asked for, and the provider is found not to have it
    let answer = changes(&rio, &sent.request, |r| r["status"] = "revoked".into()).await;
    assert_eq!((answer.status.as_u16(), answer.header("etag")), (200, Some("W/\"2\"")), "{}", answer.describe());
    assert_eq!(answer.json()["status"], "revoked");
    let task = rio.get(&sent.task).await.json();
    assert!(task["status"] == "cancelled" || codes(&task) == [(BSER.to_owned(), "5.2".to_owned())], "{task}");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_is_asked_to_be_cancelled_and_the_provider_confirms_finishes_or_refuses() {
    let hub = Hub::start().await;
    let (gp, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    for (status, more, ends) in [
        ("cancelled", json!({"statusReason": {"text": "as asked"}}), true),
        ("completed", json!({}), true),
        ("received", json!({}), false),
    ] {
        let sent = listed(&hub, &format!("cancel-{status}")).await;
        let before = provider.get(&sent.task).await;
        let answer = changes(&gp, &sent.request, |r| r["status"] = "revoked".into()).await;
        assert_eq!(answer.status, 200, "{}", answer.describe());
        let asked = provider.get(&sent.task).await;
        assert_eq!(asked.json()["status"], "requested", "the status stays until the provider answers");
        assert!(codes(&asked.json()).contains(&(BSER.to_owned(), "5.2".to_owned())), "{}", asked.json());
        // an answer made before that was known is stale
        let mut wanted = before.json();
        wanted["status"] = "accepted".into();
        let stale = provider.put(&sent.task, before.header("etag").unwrap(), &wanted).await;
        assert_eq!(stale.status, 412, "{}", stale.describe());
        // while it is open, nothing else is changed
        let told = refused(
            &changes(&gp, &sent.request, |r| r["status"] = "active".into()).await,
            422,
            "business-rule",
            "ServiceRequest.status",
        );
        assert!(told.contains("until the provider has answered"), "{told}");

        let mut wanted = asked.json();
        wanted["status"] = status.into();
        for (name, value) in more.as_object().unwrap() {
            wanted[name] = value.clone();
        }
        let answer = provider.put(&sent.task, asked.header("etag").unwrap(), &wanted).await;
        assert_eq!(answer.status, 200, "{}", answer.describe());
        let now = provider.get(&sent.task).await.json();
        assert_eq!(now["status"], status);
        assert!(!codes(&now).iter().any(|(_, code)| code == "5.2"), "{now}");
        let again = changes(&gp, &sent.request, |r| r["note"] = json!([{"text": "still"}])).await;
        if ends {
            let told = refused(&again, 422, "business-rule", "ServiceRequest.status");
            assert!(told.contains("entered-in-error"), "{told}");
        } else {
            assert_eq!(again.status, 200, "refused, it goes on from where it was: {}", again.describe());
            assert!(codes(&provider.get(&sent.task).await.json()).iter().any(|(_, code)| code == "5.2"));
        }
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_retracted_from_any_status() {
    let hub = Hub::start().await;
    let (gp, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    for (n, statuses) in [&[][..], &["accepted"], &["accepted", "completed"]].into_iter().enumerate() {
        let sent = listed(&hub, &format!("retract-{n}")).await;
        for status in statuses {
            assert_eq!(provider.set(&sent.task, status).await.status, 200);
        }
        let answer = changes(&gp, &sent.request, |r| r["status"] = "entered-in-error".into()).await;
        assert_eq!(answer.status, 200, "{}", answer.describe());
        assert_eq!(provider.get(&sent.task).await.json()["status"], "entered-in-error");
        let again = changes(&gp, &sent.request, |r| r["status"] = "active".into()).await;
        refused(&again, 422, "business-rule", "ServiceRequest.status");
        let answer = provider.set(&sent.task, "accepted").await;
        assert_eq!(answer.status, 422, "{}", answer.describe());
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_version_is_carried_element_for_element_and_the_same_again_changes_nothing() {
    let hub = Hub::start().await;
    let (gp, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    let sent = listed(&hub, "version").await;
    let read = gp.get(&sent.request).await;
    let first = read.header("etag").unwrap().to_owned();
    // by hand, so that decimals stay as they are written
    let text = String::from_utf8(read.body.to_vec()).unwrap();
    let extension = r#""extension":[{"url":"https://unknown.example/x","valueDecimal":1.500}],"priority":"urgent","#;
    let text = text.replacen(r#""priority":"routine","#, "", 1).replacen(
        r#""status":"#,
        &format!(r#"{extension}"status":"#),
        1,
    );
    let call = || gp.call_to(Method::PUT, &sent.request).header("if-match", &*first);
    let answer = gp.call(call().bytes("application/fhir+json", text.clone().into())).await;
    assert_eq!((answer.status.as_u16(), answer.header("etag")), (200, Some("W/\"2\"")), "{}", answer.describe());
    let seen = provider.get(&sent.request).await;
    assert!(
        String::from_utf8_lossy(&seen.body)
            .contains(extension.trim_end_matches(',').split_once(",\"priority").unwrap().0)
    );
    let task = provider.get(&sent.task).await;
    assert_eq!(task.json()["priority"], "urgent");
    let rows = rows_said(&hub);
    // also by one who did not hear the answer, and so names the version before
    let again = gp.call(call().bytes("application/fhir+json", text.into())).await;
    assert_eq!((again.status.as_u16(), again.header("etag")), (200, Some("W/\"2\"")), "{}", again.describe());
    assert_eq!(rows_said(&hub), rows);
    let history = gp.get(&format!("{}/_history", sent.request)).await.json();
    assert_eq!(history["total"], 2);
    // a patch does the same
    let patch = json!([{"op": "replace", "path": "/priority", "value": "stat"}]);
    let patched = gp.patch(&sent.request, "W/\"2\"", &patch).await;
    assert_eq!((patched.status.as_u16(), patched.header("etag")), (200, Some("W/\"3\"")), "{}", patched.describe());
    assert_eq!(provider.get(&sent.task).await.json()["priority"], "stat");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_may_name_things_as_in_its_own_record() {
    let hub = Hub::start().await;
    let rio = hub.sender(RIO);
    let patient = fixtures::json("referrals/01-contained-patient.json")["contained"][0].clone();
    let mut patient = patient;
    patient["id"] = "p7".into();
    let mut request = fixtures::to_life_rooms("own-names");
    request.as_object_mut().unwrap().remove("contained");
    request["id"] = "sr7".into();
    request["subject"] = json!({"reference": "Patient/p7"});
    let bundle = fixtures::bundle(&[
        ("https://rio.example/fhir/ServiceRequest/sr7", request.clone()),
        ("https://rio.example/fhir/Patient/p7", patient),
    ]);
    let answer = rio.refer(&bundle).await;
    assert_eq!(answer.status, 200, "{}", answer.describe());
    let here = answer.json()["entry"][0]["resource"].clone();
    let url = format!("/fhir/ServiceRequest/{}", here["id"].as_str().unwrap());
    request["id"] = here["id"].clone();
    request["subject"] = json!({"reference": "https://rio.example/fhir/Patient/p7"});
    request["note"] = json!([{"text": "as the record has it"}]);
    let answer = rio.change(&url, "W/\"1\"", &request).await;
    assert_eq!(answer.status, 200, "{}", answer.describe());
    assert_eq!(answer.json()["subject"], here["subject"], "the same person by another name");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_changed_is_refused_and_says_why() {
    let hub = Hub::start().await;
    let (gp, rio) = (hub.sender(GP), hub.sender(RIO));
    let sent = listed(&hub, "refused").await;
    let read = gp.get(&sent.request).await.json();
    let before = rows_said(&hub);
    let patient = fixtures::json("referrals/01-contained-patient.json")["contained"][0].clone();
    type Change = fn(&mut Value, &Value);
    let cases: [(Change, u16, &str, &str); 9] = [
        (|r, _| r["status"] = "completed".into(), 422, "business-rule", "ServiceRequest.status"),
        (|r, _| r["status"] = "on-hold".into(), 422, "business-rule", "ServiceRequest.status"),
        (|r, _| r["status"] = "nonsense".into(), 400, "code-invalid", "ServiceRequest.status"),
        (|r, _| r["id"] = "other".into(), 400, "invalid", "ServiceRequest.id"),
        (
            |r, p| {
                r["contained"] = json!([p]);
                r["subject"] = json!({"reference": "#patient"});
            },
            422,
            "business-rule",
            "ServiceRequest.subject",
        ),
        (|r, _| r["identifier"][0]["value"] = "another".into(), 422, "business-rule", "ServiceRequest.identifier"),
        (|r, _| r["doNotPerform"] = true.into(), 422, "business-rule", "ServiceRequest.doNotPerform"),
        (
            |r, _| r["modifierExtension"] = json!([{"url": "https://x.example", "valueBoolean": true}]),
            422,
            "not-supported",
            "ServiceRequest.modifierExtension",
        ),
        // it would go to somebody else
        (|r, _| r["code"]["coding"][0]["code"] = "1".into(), 422, "business-rule", "ServiceRequest"),
    ];
    for (change, status, code, expression) in cases {
        let mut wanted = read.clone();
        change(&mut wanted, &patient);
        let told = refused(&gp.change(&sent.request, "W/\"1\"", &wanted).await, status, code, expression);
        println!("{told}");
        if expression == "ServiceRequest" {
            assert!(told.contains("“triage”") && told.contains("“link-workers”"), "{told}");
        }
    }
    let mut wanted = read.clone();
    wanted["note"] = json!([{"text": "new"}]);
    // who may, and from which version
    let call = gp.call_to(Method::PUT, &sent.request).json("application/fhir+json", &wanted);
    refused(&gp.call(call).await, 428, "required", "http.If-Match");
    for stale in ["W/\"0\"", "W/\"2\"", "W/\"99\""] {
        let answer = gp.change(&sent.request, stale, &wanted).await;
        refused(&answer, 412, "conflict", "ServiceRequest.meta.versionId");
    }
    refused(&gp.change(&sent.request, "1", &wanted).await, 400, "value", "http.If-Match");
    assert_eq!(rio.change(&sent.request, "W/\"1\"", &wanted).await.status, 404);
    let provider = hub.provider(LINK_WORKERS);
    let put = |actor: &Actor| actor.call_to(Method::PUT, &sent.request).header("if-match", "W/\"1\"");
    let answer = provider.call(put(&provider).json("application/fhir+json", &wanted)).await;
    refused(&answer, 403, "forbidden", "ServiceRequest");
    let others = hub.provider(LIFE_ROOMS);
    assert_eq!(others.call(put(&others).json("application/fhir+json", &wanted)).await.status, 404);
    let nobody = hub.actor(None);
    assert_eq!(nobody.call(put(&nobody).json("application/fhir+json", &wanted)).await.status, 401);
    let unknown = format!("/fhir/ServiceRequest/{}", uuid::Uuid::now_v7());
    assert_eq!(gp.change(&unknown, "W/\"1\"", &wanted).await.status, 404);
    let patch = json!([{"op": "test", "path": "/priority", "value": "stat"}]);
    refused(&gp.patch(&sent.request, "W/\"1\"", &patch).await, 422, "conflict", "ServiceRequest.priority");
    refused(&gp.patch(&sent.request, "W/\"1\"", &json!([{"op": "replace"}])).await, 400, "structure", "ServiceRequest");
    assert_eq!(rows_said(&hub), before);
    assert_eq!(gp.get(&sent.request).await.json(), read);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_provider_is_pushed_names_nothing_that_is_not_there() {
    let hub = Hub::start().await;
    let rio = hub.sender(RIO);
    let sent = refers(&rio, &fixtures::to_life_rooms("loose")).await;
    let answer = changes(&rio, &sent.request, |r| r["supportingInfo"] = json!([{"reference": "Observation/7"}])).await;
    refused(&answer, 422, "not-found", "ServiceRequest.supportingInfo[0]");
    let named = "https://rio.example/fhir/Observation/7";
    let answer = changes(&rio, &sent.request, |r| r["supportingInfo"] = json!([{"reference": named}])).await;
    assert_eq!(answer.status, 200, "{}", answer.describe());
    hub.stop().await;
}

/// Two at once, from the same version: one is stored, the other is told that it is stale.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_changes_at_once_one_is_stale() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    let sent = listed(&hub, "race").await;
    let read = gp.get(&sent.request).await.json();
    let put = |words: &str| {
        let mut wanted = read.clone();
        wanted["note"] = json!([{ "text": words }]);
        let (gp, url) = (gp.clone(), sent.request.clone());
        tokio::spawn(async move { gp.change(&url, "W/\"1\"", &wanted).await.status.as_u16() })
    };
    let racing: Vec<_> = (0..8).map(|n| put(&format!("words {n}"))).collect();
    let mut statuses = Vec::new();
    for one in racing {
        statuses.push(one.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412, 412, 412, 412, 412, 412]);
    assert_eq!(gp.get(&format!("{}/_history", sent.request)).await.json()["total"], 2);
    hub.stop().await;
}

// --- messages ---

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_asks_for_more_and_is_answered() {
    let hub = Hub::start().await;
    let (gp, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    let sent = listed(&hub, "more").await;
    let mut question = message(&sent, "Does she use a stick?");
    question["category"] = json!([{"coding": [{"system": MORE, "code": "information-requested"}]}]);
    let asked = says(&provider, &question).await;
    assert_eq!(asked.status, 201, "{}", asked.describe());
    assert!(asked.header("onward-not-repeatable").is_some());
    let url = asked.header("location").unwrap().split_once("/_history").unwrap().0.to_owned();
    let task = gp.get(&sent.task).await.json();
    assert!(codes(&task).contains(&(MORE.to_owned(), "information-requested".to_owned())), "{task}");
    assert_eq!(gp.get(&url).await.json()["payload"][0]["contentString"], "Does she use a stick?");

    // what the provider says beside it answers nothing; what the referrer says does, though it names no question
    assert_eq!(says(&provider, &message(&sent, "By the way")).await.status, 201);
    assert!(codes(&gp.get(&sent.task).await.json()).iter().any(|(_, c)| c == "information-requested"));
    let answered = says(&gp, &message(&sent, "She does.")).await;
    assert_eq!(answered.status, 201, "{}", answered.describe());
    assert!(!codes(&gp.get(&sent.task).await.json()).iter().any(|(_, c)| c == "information-requested"));

    // both read all of it, in order, by either name; and it is in the package
    let request = sent.request.split_once("/fhir/").unwrap().1;
    let task = sent.task.split_once("/fhir/").unwrap().1;
    for actor in [&*gp, &*provider] {
        for search in [format!("based-on={request}"), format!("about={task}"), format!("about={request}")] {
            let found = actor.get(&format!("/fhir/Communication?{search}")).await.json();
            let words: Vec<_> = resources(&found).iter().map(|r| r["payload"][0]["contentString"].clone()).collect();
            assert_eq!(words, ["Does she use a stick?", "By the way", "She does."], "{search}");
        }
        let package = actor.get(&format!("{}/$package", sent.task)).await.json();
        assert_eq!(resources(&package).iter().filter(|r| r["resourceType"] == "Communication").count(), 3);
    }
    let found = gp.get(&format!("/fhir/Communication?_id={}", url.rsplit('/').next().unwrap())).await.json();
    assert_eq!(ids(&found).len(), 1);
    for (actor, what) in
        [(hub.actor(Some(&hub::token_of(WARD))), "a system"), (hub.actor(Some(&hub::token_of(HOUSING))), "a provider")]
    {
        assert_eq!(actor.get(&url).await.status, 404, "{what}");
        let found = actor.get(&format!("/fhir/Communication?based-on={request}")).await.json();
        assert!(resources(&found).is_empty(), "{what}");
    }
    // the provider may say so on its Task as well
    let read = provider.get(&sent.task).await;
    let mut wanted = read.json();
    wanted["businessStatus"] = json!({"coding": [{"system": MORE, "code": "information-requested"}]});
    let put = provider.put(&sent.task, read.header("etag").unwrap(), &wanted).await;
    assert_eq!(put.status, 200, "{}", put.describe());
    assert!(codes(&gp.get(&sent.task).await.json()).iter().any(|(_, c)| c == "information-requested"));
    // and giving it back as it is, or without our code, is no answer
    assert_eq!(provider.set(&sent.task, "accepted").await.status, 200);
    let read = provider.get(&sent.task).await;
    let mut wanted = read.json();
    wanted.as_object_mut().unwrap().remove("businessStatus");
    provider.put(&sent.task, read.header("etag").unwrap(), &wanted).await;
    assert!(codes(&gp.get(&sent.task).await.json()).iter().any(|(_, c)| c == "information-requested"));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_message_again_is_not_said_twice() {
    let hub = Hub::start().await;
    let (gp, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    let sent = listed(&hub, "again").await;
    let with = |headers: &'static [(&'static str, &'static str)], message: Value| {
        let call = gp.call_to(Method::POST, "/fhir/Communication").json("application/fhir+json", &message);
        let call = headers.iter().fold(call, |call, (name, value)| call.header(name, *value));
        let gp = gp.clone();
        async move { gp.call(call).await }
    };
    let mut known = message(&sent, "known by its identifier");
    known["identifier"] = json!([{"system": "https://gp.example/messages", "value": "m1"}]);
    let cases: [(&[(&str, &str)], Value); 3] = [
        (&[], known.clone()),
        (&[("if-none-exist", "identifier=x|y")], message(&sent, "by a condition")),
        (&[("idempotency-key", "k-1")], message(&sent, "by a key")),
    ];
    for (headers, said) in cases {
        let first = with(headers, said.clone()).await;
        assert_eq!(first.status, 201, "{}", first.describe());
        assert!(first.header("onward-not-repeatable").is_none());
        let rows = rows_said(&hub);
        let again = with(headers, said.clone()).await;
        assert_eq!((again.status.as_u16(), again.header("location")), (200, first.header("location")));
        let mut other = said.clone();
        other["payload"][0]["contentString"] = "other words".into();
        refused(&with(headers, other).await, 409, "duplicate", "Communication.identifier");
        assert_eq!(rows_said(&hub), rows);
    }
    // another's identifiers are its own
    assert_eq!(says(&provider, &known).await.status, 201);
    // eight at once are one
    let mut eight = message(&sent, "at once");
    eight["identifier"] = json!([{"system": "https://gp.example/messages", "value": "m8"}]);
    let racing: Vec<_> = (0..8)
        .map(|_| {
            let (gp, eight) = (gp.clone(), eight.clone());
            tokio::spawn(async move { says(&gp, &eight).await.status.as_u16() })
        })
        .collect();
    let mut statuses = Vec::new();
    for one in racing {
        statuses.push(one.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 201]);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_cannot_be_handed_on_is_refused() {
    let hub = Hub::start().await;
    let (gp, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    let sent = listed(&hub, "bad").await;
    let other = listed(&hub, "other").await;
    let before = rows_said(&hub);
    let good = message(&sent, "words");
    let elsewhere = json!([{"reference": format!("ServiceRequest/{}", uuid::Uuid::now_v7())}]);
    let foreign = message(&other, "x")["basedOn"][0].clone();
    let without = |name: &str| {
        let mut message = good.clone();
        message.as_object_mut().unwrap().remove(name);
        message
    };
    let with = |name: &str, value: Value| {
        let mut message = good.clone();
        message[name] = value;
        message
    };
    let person = json!({"identifier": {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990471134"}});
    let endless = json!([{"system": "https://x.example", "value": "k".repeat(300)}]);
    let cases = [
        (without("basedOn"), 422, "required", "Communication.basedOn"),
        (with("basedOn", elsewhere), 422, "not-found", "Communication.basedOn[0]"),
        (with("about", json!([foreign])), 422, "business-rule", "Communication.basedOn"),
        (without("status"), 400, "required", "Communication.status"),
        (with("status", json!("not-done")), 422, "business-rule", "Communication.status"),
        (without("payload"), 422, "required", "Communication.payload"),
        (with("payload", json!("words")), 400, "structure", "Communication.payload"),
        (with("implicitRules", json!("https://x.example")), 422, "not-supported", "Communication.implicitRules"),
        (with("subject", person), 422, "business-rule", "Communication.subject"),
        (with("identifier", endless), 422, "value", "Communication.identifier[0].value"),
        (
            with("inResponseTo", json!([{"reference": format!("Communication/{}", uuid::Uuid::now_v7())}])),
            422,
            "not-found",
            "Communication.inResponseTo[0]",
        ),
    ];
    for (message, status, code, expression) in cases {
        println!("{message}");
        refused(&says(&gp, &message).await, status, code, expression);
    }
    // what a provider names relatively is on its own server
    let loose = with("sender", json!({"reference": "Practitioner/7"}));
    refused(&says(&provider, &loose).await, 422, "not-found", "Communication.sender");
    assert_eq!(says(&gp, &json!({"resourceType": "Patient"})).await.status, 400);
    refused(&says(&hub.sender(RIO), &good).await, 422, "not-found", "Communication.basedOn[0]");
    assert_eq!(says(&hub.actor(None), &good).await.status, 401);
    for (search, status) in [("", 200), ("?sent=ge2026", 400), ("?based-on=", 400), ("?based-on=nonsense", 200)] {
        assert_eq!(gp.get(&format!("/fhir/Communication{search}")).await.status, status, "{search}");
    }
    assert_eq!(rows_said(&hub), before);
    // after the end nobody would read it
    let reason = json!([{"op": "replace", "path": "/status", "value": "rejected"},
                        {"op": "add", "path": "/statusReason", "value": {"text": "full"}}]);
    let etag = provider.get(&sent.task).await.header("etag").unwrap().to_owned();
    assert_eq!(provider.patch(&sent.task, &etag, &reason).await.status, 200);
    for actor in [&*gp, &*provider] {
        let told = refused(&says(actor, &good).await, 422, "business-rule", "ServiceRequest.status");
        assert!(told.contains("rejected"), "{told}");
    }
    hub.stop().await;
}

/// It may be named by what the sender calls it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_names_its_referral_by_identifier_as_well() {
    let hub = Hub::start().await;
    let (gp, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    let sent = listed(&hub, "by-identifier").await;
    let identifier = gp.get(&sent.request).await.json()["identifier"][0].clone();
    let identifier = json!({"system": identifier["system"], "value": identifier["value"]});
    let own =
        json!({"system": "urn:ietf:rfc:3986", "value": format!("urn:uuid:{}", sent.task.rsplit('/').next().unwrap())});
    let said = |element: &str, reference: Value| {
        let mut message = message(&sent, element);
        message.as_object_mut().unwrap().remove("basedOn");
        message[element] = json!([reference]);
        message
    };
    for message in [
        said("basedOn", json!({"type": "ServiceRequest", "identifier": identifier})),
        said("about", json!({"type": "Task", "identifier": own})),
        said("about", json!({"reference": sent.task})),
        said("basedOn", json!({"reference": sent.request})),
    ] {
        for actor in [&*gp, &*provider] {
            let answer = says(actor, &message).await;
            assert_eq!(answer.status, 201, "{message}: {}", answer.describe());
        }
    }
    let found = gp.get(&format!("/fhir/Communication?about={}", sent.task)).await.json();
    assert_eq!(resources(&found).len(), 8);
    hub.stop().await;
}

/// What a try that is still under way will come to is not known: then the provider is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_under_way_is_not_cancelled_over_its_head() {
    let hub = Hub::start().await;
    let rio = hub.sender(RIO);
    hub.life_rooms.fault(Rule::new(Fault::Hang, When::Next(1)).method(Method::POST).kind(""));
    let sent = refers(&rio, &fixtures::to_life_rooms("under-way")).await;
    let hangs = || hub.life_rooms.requests().iter().any(|r| r.path.is_empty() && r.status.is_none());
    until("it is being sent", || async { hangs().then_some(()) }).await;
    let answer = changes(&rio, &sent.request, |r| r["status"] = "revoked".into()).await;
    assert_eq!(answer.status, 200, "{}", answer.describe());
    let task = rio.get(&sent.task).await.json();
    assert_eq!(task["status"], "requested");
    assert!(codes(&task).contains(&(BSER.to_owned(), "5.2".to_owned())), "{task}");
    hub.life_rooms.stop().await;
    hub.stop().await;
}

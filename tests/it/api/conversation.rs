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

mod messages;

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

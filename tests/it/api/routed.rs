//! Referrals that are accepted: the answer, where they go, and that everything of them is readable by those entitled.

use std::time::SystemTime;

use hyper::Method;
use serde_json::Value;

use super::{fixtures, hub, query, resources};
use hub::{Actor, GP, HOUSING, Hub, LIFE_ROOMS, LINK_WORKERS, RIO, TRIAGE, WARD};

/// The provider behind an inbox.
fn provider_of(inbox: &str) -> &str {
    if inbox == "triage" { TRIAGE } else { inbox }
}

fn everyone(hub: &Hub) -> Vec<(String, Actor)> {
    let systems = [RIO, GP, WARD].map(|id| (id.to_owned(), (*hub.sender(id)).clone()));
    let providers = [LIFE_ROOMS, LINK_WORKERS, HOUSING, TRIAGE].map(|id| (id.to_owned(), (*hub.provider(id)).clone()));
    systems.into_iter().chain(providers).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fixture_goes_where_it_should_and_is_read_by_the_right_people() {
    let hub = Hub::start().await;
    let everyone = everyone(&hub);
    for fixture in fixtures::all().await {
        let what = fixture.file.as_str();
        let sender = hub.sender(&fixture.system);
        let answer = sender.post(fixture.path(), fixture.content_type, fixture.bytes.clone()).await;
        let is_bundle = fixture.path() == "/fhir";
        assert_eq!(answer.status, if is_bundle { 200 } else { 201 }, "{what}: {}", answer.describe());
        let body = answer.json();
        if is_bundle {
            assert_eq!(body["type"], "transaction-response", "{what}");
            let entries = body["entry"].as_array().unwrap();
            assert_eq!(entries.len(), fixture.body["entry"].as_array().unwrap().len(), "{what}");
            for (entry, sent) in entries.iter().zip(fixture.body["entry"].as_array().unwrap()) {
                assert_eq!(entry["response"]["status"], "201 Created", "{what}");
                let location = entry["response"]["location"].as_str().unwrap();
                let read = sender.get(location).await;
                assert_eq!(read.status, 200, "{what} {location}");
                assert_eq!(read.header("etag"), entry["response"]["etag"].as_str(), "{what}");
                assert_eq!(read.json()["resourceType"], sent["resource"]["resourceType"], "{what}");
            }
        } else {
            is_well_answered(&sender, &answer, what).await;
        }
        let tasks = answer.links("monitor");
        assert_eq!(tasks.len(), fixture.expected.len(), "{what}");
        assert_eq!(answer.header("onward-not-repeatable"), None, "{what}");
        for (task, expected) in tasks.iter().zip(&fixture.expected) {
            let read = sender.get(task).await.json();
            let owner = provider_of(&expected.inbox);
            assert_eq!(read["owner"]["reference"], format!("Organization/{owner}"), "{what}");
            let organisation = sender.get(&format!("/fhir/Organization/{owner}")).await;
            assert_eq!(organisation.json()["identifier"], serde_json::json!([read["owner"]["identifier"]]), "{what}");
            let decided = decision(&hub, task).await;
            assert_eq!(decided["inboxes"][0]["to"], expected.inbox, "{what}");
            assert_eq!(decided["route"], expected.route.clone().map_or(Value::Null, Value::from), "{what}");
            is_read_by_the_right_people(&everyone, task, &fixture.system, owner, what).await;
            let found =
                sender.get(&format!("/fhir/ServiceRequest{}", query(&[("identifier", &expected.identifier)]))).await;
            assert_eq!(resources(&found.json()).len(), 1, "{what}: {}", expected.identifier);
        }
    }
    hub.stop().await;
}

async fn is_well_answered(sender: &Actor, answer: &onward::demo::caller::Answered, what: &str) {
    let location = answer.header("location").unwrap_or_else(|| panic!("{what}: no Location"));
    assert!(location.contains("/fhir/ServiceRequest/") && location.ends_with("/_history/1"), "{what}: {location}");
    assert_eq!(answer.header("etag"), Some("W/\"1\""), "{what}");
    let modified = httpdate::parse_http_date(answer.header("last-modified").unwrap()).unwrap();
    assert!(SystemTime::now().duration_since(modified).unwrap().as_secs() < 60, "{what}");
    let body = answer.json();
    assert_eq!(body["meta"]["versionId"], "1", "{what}");
    let read = sender.get(location).await;
    assert_eq!((read.status.as_u16(), read.json()), (200, body.clone()), "{what}");
    let (current, _) = location.split_once("/_history").unwrap();
    assert_eq!(sender.get(current).await.json(), body, "{what}");
    let history = sender.get(&format!("{current}/_history")).await.json();
    assert_eq!((&history["type"], resources(&history)), (&"history".into(), vec![&body]), "{what}");
}

async fn decision(hub: &Hub, task: &str) -> Value {
    let store = hub.service().store();
    let id = task.rsplit('/').next().unwrap().parse().unwrap();
    let task = store.task(id).await.unwrap().unwrap();
    serde_json::from_str(&store.decision_of(task.referral).await.unwrap().unwrap()).unwrap()
}

/// Everything in the package, at its own URL: the system that sent it and the provider it went to read it, nobody else.
async fn is_read_by_the_right_people(everyone: &[(String, Actor)], task: &str, system: &str, owner: &str, what: &str) {
    for (who, actor) in everyone {
        let entitled = who == system || who == owner;
        let package = actor.get(&format!("{task}/$package")).await;
        assert_eq!(package.status, if entitled { 200 } else { 404 }, "{what}: {who}");
    }
    let reader = &everyone.iter().find(|(who, _)| who == owner).unwrap().1;
    let package = reader.get(&format!("{task}/$package")).await.json();
    assert_eq!(package["type"], "collection", "{what}");
    let tasks = resources(&package).into_iter().filter(|r| r["resourceType"] == "Task").count();
    assert_eq!(tasks, 1, "{what}");
    for entry in package["entry"].as_array().unwrap() {
        let url = entry["fullUrl"].as_str().unwrap();
        for (who, actor) in everyone {
            let entitled = who == system || who == owner;
            let status = actor.get(url).await.status.as_u16();
            assert_eq!(status, if entitled { 200 } else { 404 }, "{what}: {who} reads {url}");
        }
        if entry["resource"]["resourceType"] != "Task" {
            assert_eq!(reader.get(url).await.json(), entry["resource"], "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_referrals_of_one_bundle_are_one_commit_and_keep_their_papers_apart() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    let patient = fixtures::json("referrals/05-two-referrals.json")["entry"][0]["resource"].clone();
    let person = "urn:uuid:f417022e-5655-5691-b7d2-746734878754";
    let request = |number: &str, paper: &str, service: &str| {
        let mut request = fixtures::to_link_workers(number);
        request["subject"] = serde_json::json!({"reference": person});
        request["supportingInfo"] = serde_json::json!([{"reference": paper}]);
        request["performer"] = serde_json::json!([{"identifier":
            {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": service}}]);
        request
    };
    let paper = |title: &str| {
        serde_json::json!({"resourceType": "DocumentReference", "status": "current", "subject": {"reference": person},
                           "content": [{"attachment": {"title": title}}]})
    };
    let (one, two) = ("urn:uuid:00000000-0000-4000-8000-000000000001", "urn:uuid:00000000-0000-4000-8000-000000000002");
    let mut bundle = fixtures::bundle(&[
        (person, patient),
        ("urn:uuid:00000000-0000-4000-8000-00000000000a", request("papers-1", one, "U99999")),
        ("urn:uuid:00000000-0000-4000-8000-00000000000b", request("papers-2", two, "ZH999")),
        (one, paper("for link workers only")),
        (two, paper("for housing only")),
    ]);
    let answer = gp.refer(&bundle).await;
    assert_eq!(answer.status, 200, "{}", answer.describe());
    let tasks = answer.links("monitor");
    assert_eq!(tasks.len(), 2);
    assert_eq!((hub.rows()["referral"], hub.rows()["submission"]), (2, 1));
    for (task, who, theirs) in
        [(&tasks[0], LINK_WORKERS, "for link workers only"), (&tasks[1], HOUSING, "for housing only")]
    {
        let package = hub.provider(who).get(&format!("{task}/$package")).await;
        let text = String::from_utf8(package.body.to_vec()).unwrap();
        assert!(text.contains(theirs) && text.contains("Nwosu"), "{text}");
        assert_eq!(
            text.matches("for link workers only").count() + text.matches("for housing only").count(),
            1,
            "{text}"
        );
    }
    // one that is wrong keeps the other out
    bundle["entry"][1]["resource"]["identifier"][0]["value"] = "papers-3".into();
    bundle["entry"][2]["resource"]["identifier"][0]["value"] = "papers-4".into();
    bundle["entry"][2]["resource"].as_object_mut().unwrap().remove("intent");
    let answer = gp.refer(&bundle).await;
    super::refused(&answer, 400, "required", "Bundle.entry[2].resource.intent");
    assert_eq!((hub.rows()["referral"], hub.rows()["submission"], hub.rows()["task"]), (2, 1, 2));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_is_answered_in_the_format_asked_for() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    let answer = gp.refer(&fixtures::to_link_workers("format")).await;
    let location = answer.header("location").unwrap();
    let get = |accept: &str| gp.call(gp.call_to(Method::GET, location).header("accept", accept));
    let xml = get("application/fhir+xml").await;
    assert_eq!(xml.header("content-type"), Some("application/fhir+xml; charset=utf-8"));
    let text = String::from_utf8(xml.body.to_vec()).unwrap();
    assert!(text.contains("<ServiceRequest xmlns=\"http://hl7.org/fhir\">"), "{text}");
    let back = onward::fhir::xml::read(&xml.body, &onward::fhir::Limits::default()).unwrap().0;
    assert_eq!(back, answer.json());
    assert_eq!(get("text/html, application/json;q=0.5").await.json(), answer.json());
    let by_parameter = gp.get(&format!("{location}?_format=xml")).await;
    assert_eq!(by_parameter.header("content-type"), Some("application/fhir+xml; charset=utf-8"));
    // an error, too
    let call = gp.call_to(Method::GET, "/fhir/Task/none").header("accept", "application/fhir+xml");
    let error = gp.call(call).await;
    assert_eq!(error.status, 404);
    assert!(String::from_utf8(error.body.to_vec()).unwrap().contains("<OperationOutcome"));
    // a referral sent as XML may be answered as XML
    let sent = fixtures::bytes("referrals/07-welsh.xml");
    let call = gp.call_to(Method::POST, "/fhir/ServiceRequest").header("accept", "application/fhir+xml");
    let answer = gp.call(call.bytes("application/fhir+xml", sent)).await;
    assert_eq!(answer.status, 201);
    assert!(String::from_utf8(answer.body.to_vec()).unwrap().contains("<ServiceRequest"));
    hub.stop().await;
}

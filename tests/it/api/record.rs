//! What a referral refers to and does not carry: read from the record, or named in full.

use std::time::Duration;

use onward::demo::double::{Fault, Rule, When};
use serde_json::{Value, json};

use super::{fixtures, hub, refused, resources};
use hub::{GP, Hub, LINK_WORKERS, RIO};

fn about(number: &str, subject: &str) -> Value {
    let mut referral = fixtures::to_life_rooms(number);
    referral.as_object_mut().unwrap().remove("contained");
    referral["subject"] = json!({"reference": subject});
    // without the contained Patient no area is known: the service is named
    referral["performer"] =
        json!([{"identifier": {"system": "https://fixtures.example/Id/service", "value": "life-rooms"}}]);
    referral
}

fn person(id: &str) -> Value {
    json!({"resourceType": "Patient", "id": id, "name": [{"family": "Tarleton"}], "birthDate": "1958-04-17",
           "identifier": [{"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990471134"}],
           "generalPractitioner": [{"reference": "Organization/gp"}]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_who_is_not_carried_is_read_and_travels() {
    let hub = Hub::build().with_record().start().await;
    hub.record.put_resource(person("p1"));
    let mut referral = about("read", "Patient/p1");
    referral["supportingInfo"] =
        json!([{"reference": "Observation/none"}, {"reference": "https://else.example/fhir/Flag/1"}]);
    let rio = hub.sender(RIO);
    let answer = rio.refer(&referral).await;
    assert_eq!(answer.status, 201, "{}", answer.describe());
    let task = answer.links("monitor").remove(0);
    let package = hub.provider(hub::LIFE_ROOMS).get(&format!("{task}/$package")).await.json();
    let of = |kind: &str| resources(&package).into_iter().find(|r| r["resourceType"] == kind).unwrap().clone();
    let (request, patient) = (of("ServiceRequest"), of("Patient"));
    let record = hub.record.base_url();
    assert_eq!(request["subject"]["reference"], format!("Patient/{}", patient["id"].as_str().unwrap()));
    assert_ne!(patient["id"], "p1", "an id of the record is not ours");
    assert_eq!(patient["name"], person("p1")["name"]);
    // what could not be read, and what the person refers to, is named so that nobody takes it for another
    assert_eq!(request["supportingInfo"][0]["reference"], format!("{record}/Observation/none"));
    assert_eq!(request["supportingInfo"][1]["reference"], "https://else.example/fhir/Flag/1");
    assert_eq!(patient["generalPractitioner"][0]["reference"], format!("{record}/Organization/gp"));
    assert_eq!(of("Task")["for"], request["subject"]);
    // the same again, though the person has a new address by now
    let mut moved = person("p1");
    moved["address"] = json!([{"postalCode": "L1 1ZZ"}]);
    hub.record.put_resource(moved);
    let again = rio.refer(&referral).await;
    assert_eq!((again.status.as_u16(), again.header("location")), (200, answer.header("location")));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_nobody_can_name_is_refused_where_they_would_be_pushed() {
    let hub = Hub::build().with_record().start().await;
    let empty = hub.rows();
    let rio = hub.sender(RIO);
    hub.record.put_resource(json!({"resourceType": "Patient", "id": "nameless", "gender": "male",
        "identifier": [{"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990471134"}]}));
    hub.record.put_resource(json!({"resourceType": "Patient", "id": "numberless", "name": [{"family": "X"}]}));
    for subject in ["Patient/nobody", "Patient/nameless", "Patient/numberless", "https://else.example/fhir/Patient/1"] {
        let told = refused(&rio.refer(&about(subject, subject)).await, 422, "required", "ServiceRequest.subject");
        assert!(told.contains("carry or contain a Patient"), "{told}");
    }
    assert_eq!(hub.rows(), empty);
    // a worklist may ask the record itself
    let mut referral = about("worklist", "Patient/nobody");
    referral["performer"] =
        json!([{"identifier": {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": "U99999"}}]);
    let answer = rio.refer(&referral).await;
    assert_eq!(answer.status, 201, "{}", answer.describe());
    let package = hub.provider(LINK_WORKERS).get(&format!("{}/$package", answer.links("monitor")[0])).await.json();
    let request = resources(&package)[1];
    assert_eq!(request["subject"]["reference"], format!("{}/Patient/nobody", hub.record.base_url()));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_away_is_waited_for_by_the_sender() {
    let hub = Hub::build().with_record().start().await;
    let empty = hub.rows();
    let rio = hub.sender(RIO);
    hub.record.put_resource(person("p1"));
    for fault in
        [Fault::Unavailable { retry_after_s: None }, Fault::Cut, Fault::Refuse(hyper::StatusCode::TOO_MANY_REQUESTS)]
    {
        hub.record.fault(Rule::new(fault.clone(), When::Always));
        let answer = rio.refer(&about("away", "Patient/p1")).await;
        let issues = super::issues(&answer, 503);
        assert_eq!(issues[0]["code"], "transient", "{fault:?}");
        assert!(answer.retry_after().is_some_and(|after| after > Duration::ZERO), "{fault:?}");
        assert_eq!(hub.rows(), empty, "{fault:?}");
        hub.record.heal();
    }
    // who carries everything does not wait for it
    hub.record.fault(Rule::new(Fault::Unavailable { retry_after_s: None }, When::Always));
    assert_eq!(rio.refer(&fixtures::to_life_rooms("carried")).await.status, 201);
    hub.record.heal();
    let sent = rio.refer(&about("away", "Patient/p1")).await;
    assert_eq!(sent.status, 201, "{}", sent.describe());
    // its sender did not hear that and asks again while the record is away
    hub.record.fault(Rule::new(Fault::Unavailable { retry_after_s: None }, When::Always));
    let again = rio.refer(&about("away", "Patient/p1")).await;
    assert_eq!(
        (again.status.as_u16(), again.header("location")),
        (200, sent.header("location")),
        "{}",
        again.describe()
    );
    // another system's record is not asked
    hub.record.clear_requests();
    let mut other = fixtures::to_link_workers("other system");
    other["subject"] = json!({"reference": "Patient/p1"});
    assert_eq!(hub.sender(GP).refer(&other).await.status, 201);
    assert_eq!(hub.record.requests().len(), 0);
    hub.stop().await;
}

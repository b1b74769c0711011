//! `$validate`: everything that would be said of a resource, and nothing done.

use serde_json::{Value, json};

use super::{fixtures, hub, issues, refused};
use hub::{GP, Hub, LINK_WORKERS, RIO};

const REFERRAL: &str = "https://onward.example/fhir/StructureDefinition/referral";

fn patient(nhs_number: &str) -> Value {
    json!({"resourceType": "Patient", "identifier": [{"system": "https://fhir.nhs.uk/Id/nhs-number", "value": nhs_number}]})
}

fn parameters(resource: &Value, more: &[Value]) -> Value {
    let mut list = vec![json!({"name": "resource", "resource": resource})];
    list.extend(more.iter().cloned());
    json!({"resourceType": "Parameters", "parameter": list})
}

/// The worst severity of an answer that must be one.
#[track_caller]
fn worst(answer: &onward::demo::caller::Answered) -> (String, Vec<Value>) {
    let found = issues(answer, 200);
    (found[0]["severity"].as_str().unwrap().to_owned(), found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_right_is_said_to_be_and_nothing_is_stored() {
    let hub = Hub::start().await;
    let empty = hub.rows();
    let rio = hub.sender(RIO);
    for fixture in fixtures::all().await {
        let kind = fixture.body["resourceType"].as_str().unwrap();
        let answer = rio.post(&format!("/fhir/{kind}/$validate"), fixture.content_type, fixture.bytes.clone()).await;
        let (worst, found) = worst(&answer);
        assert!(worst == "information" || worst == "warning", "{}: {found:?}", fixture.file);
        assert!(found.iter().all(|issue| issue["severity"] != "error"), "{}: {found:?}", fixture.file);
    }
    assert_eq!(hub.rows(), empty);
    // a provider may ask as well, and in XML
    let xml = "<Patient xmlns=\"http://hl7.org/fhir\"><gender value=\"f\"/></Patient>";
    let answer = hub.provider(LINK_WORKERS).post("/fhir/Patient/$validate", "application/fhir+xml", xml).await;
    refused(&answer, 200, "code-invalid", "Patient.gender");
    assert_eq!(hub.actor(None).post("/fhir/Patient/$validate", "application/fhir+json", "{}").await.status, 401);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_is_wrong_is_said_at_once_by_the_rules_of_the_system_that_asks() {
    let hub = Hub::build()
        .rio(&format!("rules = {{ nhs-number = \"warning\", snomed-ct = \"off\" }}\nprofiles = [\"{REFERRAL}\"]"))
        .start()
        .await;
    let (rio, gp) = (hub.sender(RIO), hub.sender(GP));
    let url = "/fhir/Patient/$validate";
    let wrong = json!({"resourceType": "Patient", "gender": "f", "birthDate": "2026-02-30", "contact": [{"gender": "male"}],
        "identifier": [{"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990000019"}],
        "maritalStatus": {"coding": [{"system": "http://snomed.info/sct", "code": "73211008"}]}});
    let answer = gp.post(url, "application/fhir+json", wrong.to_string()).await;
    for (code, at) in [
        ("code-invalid", "Patient.gender"),
        ("value", "Patient.birthDate"),
        ("invariant", "Patient.contact[0]"),
        ("value", "Patient.identifier[0].value"),
        ("code-invalid", "Patient.maritalStatus.coding[0].code"),
    ] {
        let said = refused(&answer, 200, code, at);
        assert!(!said.contains("9990000019") && !said.contains("2026-02-30"), "{said}");
    }
    let (worst_of_number, found) =
        worst(&rio.post(url, "application/fhir+json", patient("9990000019").to_string()).await);
    assert_eq!(worst_of_number, "warning", "{found:?}");
    assert_eq!(worst(&gp.post(url, "application/fhir+json", patient("9990000019").to_string()).await).0, "error");

    // what it must conform to is asked of its referrals as well
    let mut referral = fixtures::to_life_rooms("asked");
    referral["intent"] = "option".into();
    refused(&rio.refer(&referral).await, 422, "invariant", "ServiceRequest");
    refused(&gp.refer(&referral).await, 422, "business-rule", "ServiceRequest.intent");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn modes_and_profiles_come_in_the_query_or_as_parameters() {
    let hub = Hub::start().await;
    let rio = hub.sender(RIO);
    let post = |path: &str, body: &Value| {
        let (rio, path, body) = (rio.clone(), path.to_owned(), body.to_string());
        async move { rio.post(&path, "application/fhir+json", body).await }
    };
    let mut request = fixtures::to_life_rooms("modes");
    request["intent"] = "option".into();
    let url = "/fhir/ServiceRequest/$validate";
    assert_eq!(worst(&post(url, &request).await).0, "information", "an option is right FHIR");
    for answer in [
        post(&format!("{url}?profile={REFERRAL}"), &request).await,
        post(url, &parameters(&request, &[json!({"name": "profile", "valueUri": REFERRAL})])).await,
        post(&format!("{url}?mode=profile&profile={REFERRAL}"), &request).await,
    ] {
        refused(&answer, 200, "invariant", "ServiceRequest");
    }
    for answer in [
        post(&format!("{url}?mode=create"), &request).await,
        post(url, &parameters(&request, &[json!({"name": "mode", "valueCode": "create"})])).await,
    ] {
        refused(&answer, 200, "business-rule", "ServiceRequest.intent");
    }
    let unknown = post(&format!("{url}?profile=http://example.org/unknown"), &request).await;
    let (level, found) = worst(&unknown);
    assert_eq!((level.as_str(), &found[0]["code"]), ("warning", &json!("not-found")), "{found:?}");
    let other = post(&format!("{url}?profile=http://hl7.org/fhir/StructureDefinition/Patient"), &request).await;
    refused(&other, 200, "invalid", "ServiceRequest");
    refused(&post("/fhir/Patient/$validate", &request).await, 200, "invalid", "Patient");
    refused(
        &post("/fhir/Patient/$validate?mode=create", &patient("9990000018")).await,
        200,
        "not-supported",
        "Patient",
    );
    refused(
        &post("/fhir/Patient/$validate?mode=delete", &patient("9990000018")).await,
        200,
        "not-supported",
        "Patient",
    );
    refused(
        &post("/fhir/Task/$validate?mode=create", &json!({"resourceType": "Task"})).await,
        200,
        "required",
        "Task.status",
    );

    for (path, body, code, at) in [
        (format!("{url}?mode=perhaps"), request.clone(), "code-invalid", "http.mode"),
        (format!("{url}?mode=profile"), request.clone(), "required", "Parameters.parameter"),
        (url.to_owned(), json!({"resourceType": "Parameters"}), "required", "Parameters.parameter"),
        (
            url.to_owned(),
            parameters(&request, &[json!({"name": "level"})]),
            "not-supported",
            "Parameters.parameter[1].name",
        ),
        (
            url.to_owned(),
            parameters(&request, &[json!({"name": "resource", "resource": request})]),
            "invalid",
            "Parameters.parameter[1]",
        ),
    ] {
        refused(&post(&path, &body).await, 400, code, at);
    }
    assert_eq!(post("/fhir/Patent/$validate", &request).await.status, 404);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_is_for_what_is_there_and_may_be_seen() {
    let hub = Hub::start().await;
    let (rio, gp) = (hub.sender(RIO), hub.sender(GP));
    let url = rio.refers(&fixtures::to_life_rooms("update")).await;
    let task = rio.get(&url).await.json();
    let id = task["id"].as_str().unwrap();
    let body = task.to_string();
    for path in [format!("/fhir/Task/{id}/$validate?mode=update"), "/fhir/Task/$validate?mode=update".to_owned()] {
        let (level, found) = worst(&rio.post(&path, "application/fhir+json", body.clone()).await);
        assert_eq!(level, "information", "{found:?}");
        refused(&gp.post(&path, "application/fhir+json", body.clone()).await, 200, "not-found", "Task.id");
    }
    let other = "/fhir/Task/0198c0de-0000-7000-8000-000000000000/$validate?mode=update";
    refused(&rio.post(other, "application/fhir+json", body.clone()).await, 200, "invalid", "Task.id");
    // and the Task that is made here is what its profile says
    let profile = "https://onward.example/fhir/StructureDefinition/referral-task";
    let path = format!("/fhir/Task/{id}/$validate?profile={profile}");
    let (level, found) = worst(&rio.post(&path, "application/fhir+json", body).await);
    assert_eq!(level, "information", "{found:?}");
    hub.stop().await;
}

/// A trust's own profile: a Patient has a birth date, and of its telecoms none is a fax.
const TRUST: &str = "https://trust.example/fhir/StructureDefinition/patient";

fn trust_profile() -> Value {
    json!({"resourceType": "StructureDefinition", "url": TRUST, "name": "TrustPatient", "status": "active", "kind": "resource",
        "abstract": false, "type": "Patient", "derivation": "constraint",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
        "differential": {"element": [
            {"id": "Patient.birthDate", "path": "Patient.birthDate", "min": 1},
            {"id": "Patient.telecom", "path": "Patient.telecom", "constraint": [{"key": "trust-1", "severity": "error",
                "human": "No fax", "expression": "system != 'fax'"}]}]}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trust_adds_profiles_and_asks_a_system_for_them() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("deeper")).unwrap();
    let bundle = json!({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": trust_profile()}]});
    std::fs::write(folder.path().join("deeper/all.json"), bundle.to_string()).unwrap();
    let extra = format!("extra = [\"{}\"]", folder.path().display());
    let hub = Hub::build().profiles(&extra).rio(&format!("profiles = [\"{TRUST}\"]")).start().await;
    let wrong = json!({"resourceType": "Patient", "telecom": [{"system": "phone", "value": "1"}, {"system": "fax", "value": "2"}]});
    let answer = hub.sender(RIO).post("/fhir/Patient/$validate", "application/fhir+json", wrong.to_string()).await;
    refused(&answer, 200, "required", "Patient.birthDate");
    refused(&answer, 200, "invariant", "Patient.telecom[1]");
    let of_gp = hub.sender(GP).post("/fhir/Patient/$validate", "application/fhir+json", wrong.to_string()).await;
    assert_eq!(worst(&of_gp).0, "information", "nobody asks that of it");
    let at = format!("/fhir/Patient/$validate?profile={TRUST}");
    refused(
        &hub.sender(GP).post(&at, "application/fhir+json", wrong.to_string()).await,
        200,
        "required",
        "Patient.birthDate",
    );
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn profiles_that_cannot_be_used_are_all_told_and_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    let mut broken = trust_profile();
    broken["differential"]["element"][1]["constraint"][0]["expression"] = "system !=".into();
    let mut lost = trust_profile();
    lost["url"] = "https://trust.example/fhir/StructureDefinition/lost".into();
    lost["baseDefinition"] = "https://elsewhere.example/base".into();
    std::fs::write(folder.path().join("lost.json"), lost.to_string()).unwrap();
    let refusal = |hub: Hub| async move {
        let Err(error) = onward::service::Service::start(hub.load().0).await else { panic!("it started") };
        error.to_string()
    };
    let extra = format!("extra = [\"{}\"]", folder.path().display());
    let told = refusal(Hub::build().profiles(&extra).without_service().start().await).await;
    for part in ["lost.json", "https://elsewhere.example/base"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // a rule that cannot be read is left out, and that is told
    let validator = onward::profiles::Validator::new([("broken".to_owned(), broken)]).unwrap();
    let notes = validator.notes();
    assert!(notes.len() == 1 && notes[0].0 == TRUST && notes[0].1.contains("trust-1"), "{notes:?}");
    let told = refusal(Hub::build().rio(&format!("profiles = [\"{TRUST}\"]")).without_service().start().await).await;
    assert!(told.contains(TRUST) && told.contains(RIO), "{told}");
    std::fs::write(folder.path().join("half.json"), "{\"resourceType\": ").unwrap();
    let told = refusal(Hub::build().profiles(&extra).without_service().start().await).await;
    assert!(told.contains("half.json") && told.contains("line 1"), "{told}");
}

//! The basic checks against R4's text, the corpus of others and our own bad inputs.

use std::{fs, path::PathBuf};

use serde_json::json;

use super::*;
use crate::fhir::gate;

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn request() -> Value {
    json!({ "resourceType": "ServiceRequest", "status": "active", "intent": "order",
        "subject": { "reference": "Patient/1" }, "authoredOn": "2026-11-20" })
}

/// The faults as (expression, code, rule).
fn faults(resource: &Value) -> Vec<(String, &'static str, bool)> {
    check(resource, "", now())
        .into_iter()
        .map(|finding| (finding.issue.expression[0].clone(), finding.issue.code.code(), finding.rule))
        .collect()
}

fn with(pointer: &str, value: Value) -> Value {
    let mut request = request();
    request[pointer] = value;
    request
}

#[test]
fn a_sound_request_has_no_fault() {
    assert_eq!(faults(&request()), []);
    let rich = json!({ "resourceType": "ServiceRequest", "_status": { "extension": [{ "url": "http://x", "valueCode": "unknown" }] },
        "intent": "order", "subject": { "identifier": { "system": nhs_number::SYSTEM, "value": "9990000018" } },
        "occurrencePeriod": { "start": "2026-12", "end": "2027" },
        "contained": [{ "resourceType": "Patient", "birthDate": "1980",
            "name": [{ "given": ["Ann", null], "_given": [null, { "id": "x" }] }] }] });
    assert_eq!(faults(&rich), []);
}

#[test]
fn all_faults_are_said_at_once_each_at_its_place() {
    let bad = json!({ "resourceType": "ServiceRequest", "status": "aktive", "intent": ["order"], "authoredOn": "2026-02-30",
        "identifier": {}, "category": [], "priority": null, "note": [{ "text": "" }], "code": { "coding": [[]] },
        "contained": [{ "resourceType": "Patient", "gender": "f", "name": [], "birthDate": "2026-11-24",
            "identifier": [{ "system": nhs_number::SYSTEM, "value": "9990000019" }] }] });
    let mut found = faults(&bad);
    found.sort();
    let at = |path: &str| format!("ServiceRequest.{path}");
    assert_eq!(
        found,
        [
            (at("authoredOn"), "value", false),
            (at("category"), "structure", false),
            (at("code.coding[0]"), "structure", false),
            (at("contained[0].birthDate"), "business-rule", true),
            (at("contained[0].gender"), "code-invalid", false),
            (at("contained[0].identifier[0].value"), "value", true),
            (at("contained[0].name"), "structure", false),
            (at("identifier"), "structure", false),
            (at("identifier"), "structure", false),
            (at("intent"), "structure", false),
            (at("note[0].text"), "value", false),
            (at("priority"), "structure", false),
            (at("status"), "code-invalid", false),
            (at("subject"), "required", false),
        ]
    );
}

#[test]
fn a_subject_needs_a_reference_or_an_identifier() {
    assert_eq!(
        faults(&with("subject", json!({ "display": "Ann" }))),
        [("ServiceRequest.subject".into(), "required", true)]
    );
}

#[test]
fn the_future_is_a_rule_and_tomorrow_is_let_pass() {
    assert_eq!(faults(&with("authoredOn", json!("2026-11-23T11:00:00Z"))), []);
    let late = faults(&with("authoredOn", json!("2026-11-24T12:00:00Z")));
    assert_eq!(late, [("ServiceRequest.authoredOn".into(), "business-rule", true)]);
    let born = |day: &str| faults(&json!({ "resourceType": "Patient", "birthDate": day })).len();
    assert_eq!((born("2026-11-22"), born("2026-11-23"), born("2026"), born("2027")), (0, 1, 0, 1));
}

#[test]
fn nulls_stand_only_beside_an_extension() {
    let name = |name: Value| faults(&json!({ "resourceType": "Patient", "name": [name] })).len();
    assert_eq!(name(json!({ "given": ["a", null], "_given": [null, { "id": "x" }] })), 0);
    assert_eq!(name(json!({ "_given": [{ "id": "x" }] })), 0);
    assert_eq!(name(json!({ "given": ["a", null] })), 1);
    assert_eq!(name(json!({ "given": ["a", null], "_given": [{ "id": "x" }, null] })), 2);
    assert_eq!(name(json!({ "family": null, "_family": { "id": "x" } })), 1);
    assert_eq!(name(json!({ "family": "a", "_family": "b" })), 1);
}

#[test]
fn a_bundle_is_checked_to_the_bottom() {
    let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [
        { "request": { "method": "FETCH", "url": "Task" }, "resource": { "resourceType": "Taks" } },
        { "fullUrl": "urn:uuid:a" , "request": { "method": "PUT", "url": "Task/1" } },
        { "fullUrl": "urn:uuid:a", "resource": { "resourceType": "DocumentReference", "status": "current", "content": [{}] } }] });
    let mut found = faults(&bundle);
    found.sort();
    assert_eq!(
        found,
        [
            ("Bundle.entry[0].request.method".into(), "code-invalid", false),
            ("Bundle.entry[0].resource".into(), "structure", false),
            ("Bundle.entry[2].fullUrl".into(), "invariant", false),
            ("Bundle.entry[2].request".into(), "required", false),
            ("Bundle.entry[2].resource.content[0]".into(), "structure", false),
            ("Bundle.entry[2].resource.content[0].attachment".into(), "required", false),
        ]
    );
    assert_eq!(check(&json!({}), "", now())[0].issue.expression, ["%resource"]);
    assert_eq!(
        check(&json!({ "resourceType": "Task" }), "Bundle.entry[3].resource", now())[0].issue.expression,
        ["Bundle.entry[3].resource.status"]
    );
}

/// The folder of the checks that others wrote; none, and said so, where it is absent.
fn corpus(part: &str) -> Option<PathBuf> {
    crate::fhir::test_corpus::corpus(part)
}

#[test]
fn no_official_example_is_refused() {
    let Some(folder) = corpus("official") else { return };
    let index: Value = serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
    let mut refused = Vec::new();
    let mut seen = 0;
    for file in index.as_array().unwrap() {
        let name = file["file"].as_str().unwrap();
        if !name.ends_with(".json") || file["expect_errors"] != 0 {
            continue;
        }
        seen += 1;
        let value = gate::read(&fs::read(folder.join(name)).unwrap(), &crate::fhir::Limits::default()).unwrap();
        // examples of Patients and others whose dates are long past: only what R4 itself forbids counts
        for finding in check(&value, "", now()).iter().filter(|finding| !finding.rule) {
            refused.push(format!("{name}: {:?}", finding.issue));
        }
    }
    assert!(seen > 50, "{seen}");
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

#[test]
fn no_good_mutant_is_refused_and_most_bad_ones_are() {
    let Some(folder) = corpus("mutants") else { return };
    let index: Value = serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
    let (mut wrongly, mut missed, mut bad) = (Vec::new(), Vec::new(), 0);
    for file in index.as_array().unwrap() {
        let name = file["file"].as_str().unwrap();
        let refused = match gate::read(&fs::read(folder.join(name)).unwrap(), &crate::fhir::Limits::default()) {
            Ok(value) => check(&value, "", now()).iter().any(|finding| !finding.rule),
            Err(_) => true,
        };
        match (file["intended"].as_str().unwrap(), refused) {
            ("accept", true) => wrongly.push(name.to_owned()),
            ("reject", false) => missed.push(file["op"].as_str().unwrap().to_owned()),
            _ => {}
        }
        bad += usize::from(file["intended"] == "reject");
    }
    missed.sort();
    println!("{} of {bad} bad mutants are for full validation: {missed:?}", missed.len());
    assert!(wrongly.is_empty(), "{wrongly:?}");
    assert!(missed.len() * 4 < bad, "{} of {bad} missed: {missed:?}", missed.len());
}

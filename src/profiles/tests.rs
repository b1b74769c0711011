//! Our own profiles, and what the validator makes of profiles and extensions.

use std::{fs, path::Path};

use serde_json::json;

use super::*;
use crate::fhir::{Limits, Severity, gate, task::CANONICAL, xml};

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn validator() -> Validator {
    Validator::new([]).unwrap()
}

fn profile(name: &str) -> Vec<String> {
    vec![format!("{CANONICAL}/StructureDefinition/{name}")]
}

/// The places of what is wrong.
fn wrong(validator: &Validator, resource: &Value, profiles: &[String]) -> Vec<String> {
    let found = validator.check(resource, "", &Asked { profiles, ..Asked::at(now()) });
    let wrong = found.into_iter().filter(|finding| finding.issue.severity <= Severity::Error);
    wrong.map(|finding| finding.issue.expression.join(",")).collect()
}

fn referrals() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/referrals");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let is_xml = path.extension().is_some_and(|end| end == "xml");
        let limits = Limits::default();
        let read =
            if is_xml { xml::read(&bytes, &limits).map(|(resource, _)| resource) } else { gate::read(&bytes, &limits) };
        found.push((path.display().to_string(), read.unwrap()));
    }
    assert!(found.len() > 10);
    found
}

#[test]
fn our_definitions_are_right_themselves() {
    let validator = validator();
    let mut seen = 0;
    for (name, resource) in own::resources() {
        assert_eq!(wrong(&validator, &resource, &[]), [] as [String; 0], "{name}");
        if resource["resourceType"] == "StructureDefinition" {
            assert!(validator.knows(resource["url"].as_str().unwrap()), "{name}");
        }
        seen += 1;
    }
    assert_eq!(seen, own::TEXTS.len());
}

#[test]
fn every_referral_conforms_to_our_profiles() {
    let validator = validator();
    for (name, resource) in referrals() {
        let profiles =
            if resource["resourceType"] == "Bundle" { profile("referral-bundle") } else { profile("referral") };
        assert_eq!(wrong(&validator, &resource, &profiles), [] as [String; 0], "{name}");
    }
}

#[test]
fn each_thing_that_a_profile_asks_for_is_asked() {
    let validator = validator();
    let request = json!({"resourceType": "ServiceRequest", "status": "active", "intent": "order",
        "subject": {"reference": "Patient/1"}});
    let changed = |resource: &Value, pointer: &str, value: Value| {
        let mut resource = resource.clone();
        resource[pointer] = value;
        resource
    };
    let referral =
        |element: &str, value: Value| wrong(&validator, &changed(&request, element, value), &profile("referral"));
    assert_eq!(wrong(&validator, &request, &profile("referral")), [] as [String; 0]);
    assert_eq!(referral("intent", json!("proposal")), ["ServiceRequest"]);
    assert_eq!(referral("doNotPerform", json!(true)), ["ServiceRequest"]);
    assert_eq!(referral("doNotPerform", json!(false)), [] as [&str; 0]);
    assert_eq!(referral("status", json!("draft")), ["ServiceRequest.status"]);
    assert_eq!(referral("subject", json!({"reference": "Device/1"})), ["ServiceRequest.subject"]);
    assert_eq!(referral("implicitRules", json!("urn:x")), ["ServiceRequest.implicitRules"]);
    assert_eq!(
        referral("modifierExtension", json!([{"url": "urn:x", "valueCode": "y"}])),
        ["ServiceRequest.modifierExtension"]
    );

    let number = |identifier: Value| {
        let patient = json!({"resourceType": "Patient", "identifier": identifier});
        let asked = Asked { profiles: &profile("referral-patient"), rules: RuleLevels::OFF, ..Asked::at(now()) };
        let found = validator.check(&patient, "", &asked).into_iter();
        let wrong: Vec<_> =
            found.filter(|f| f.issue.severity <= Severity::Error).map(|f| f.issue.expression.join(",")).collect();
        wrong
    };
    let system = "https://fhir.nhs.uk/Id/nhs-number";
    assert_eq!(
        number(json!([{"system": system, "value": "9990000018"}, {"system": "urn:x", "value": "a b"}])),
        [] as [&str; 0]
    );
    assert_eq!(number(json!([{"system": system, "value": "999 000 0018"}])), ["Patient.identifier[0].value"]);
    assert_eq!(number(json!([{"system": system}])), ["Patient.identifier[0].value"]);
    let two = json!([{"system": system, "value": "9990000018"}, {"system": system, "value": "9434765919"}]);
    assert_eq!(number(two), ["Patient.identifier"]);

    let entry = |resource: &Value| {
        json!({"fullUrl": "urn:uuid:0198c0de-0000-7000-8000-000000000001", "resource": resource,
        "request": {"method": "POST", "url": resource["resourceType"]}})
    };
    let bundle = |entries: Vec<Value>| json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
    let of = |bundle: &Value| wrong(&validator, bundle, &profile("referral-bundle"));
    assert_eq!(of(&bundle(vec![entry(&request)])), [] as [&str; 0]);
    assert_eq!(of(&bundle(vec![entry(&json!({"resourceType": "Patient", "active": true}))])), ["Bundle.entry"]);
    let option = bundle(vec![entry(&changed(&request, "intent", json!("option")))]);
    assert_eq!(of(&option), ["Bundle.entry[0].resource"], "an entry is held against the profile of its slice");
    let mut put = bundle(vec![entry(&request)]);
    put["entry"][0]["request"]["method"] = "DELETE".into();
    assert_eq!(of(&put), ["Bundle.entry[0].request"]);
    let mut collection = bundle(vec![entry(&request)]);
    collection["type"] = "batch".into();
    assert_eq!(of(&collection), ["Bundle.type"]);
}

#[test]
fn what_a_profile_hopes_for_is_told_to_those_who_ask() {
    let validator = validator();
    let request = json!({"resourceType": "ServiceRequest", "status": "active", "intent": "order",
        "subject": {"reference": "Patient/1"}});
    let profiles = profile("referral");
    let asked = Asked { profiles: &profiles, tells: true, ..Asked::at(now()) };
    let told = validator.check(&request, "", &asked);
    let at = |place: &str| told.iter().filter(|f| f.issue.expression == [place]).count();
    assert_eq!((at("ServiceRequest.code"), at("ServiceRequest.status")), (1, 0), "{told:?}");
    assert!(told.iter().all(|f| f.issue.severity == Severity::Information));
    assert_eq!(validator.check(&request, "", &Asked { tells: false, ..asked }), []);
}

#[test]
fn an_extension_that_is_known_is_looked_at_wherever_it_stands() {
    let validator = validator();
    let task = |value: Value| {
        let mut extension = json!({"url": "https://onward.example/fhir/StructureDefinition/journal-seq"});
        extension.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        json!({"resourceType": "Task", "status": "requested", "intent": "order", "code": {"extension": [extension]}})
    };
    assert_eq!(wrong(&validator, &task(json!({"valuePositiveInt": 7})), &[]), [] as [&str; 0]);
    let place = "Task.code.extension[0].valueString";
    assert_eq!(wrong(&validator, &task(json!({"valueString": "7"})), &[]), [place]);
}

#[test]
fn a_profile_that_nobody_knows_is_a_warning_and_one_for_another_type_a_fault() {
    let validator = validator();
    let patient = |profile: &str| json!({"resourceType": "Patient", "meta": {"profile": [profile]}, "active": true});
    let said = validator.check(&patient("http://example.org/fhir/p|1.0"), "", &Asked::at(now()));
    assert_eq!(said.len(), 1);
    assert_eq!(
        (said[0].issue.severity, said[0].issue.expression[0].as_str()),
        (Severity::Warning, "Patient.meta.profile[0]")
    );
    assert_eq!(wrong(&validator, &patient(&profile("referral")[0]), &[]), ["Patient"]);
    assert_eq!(validator.check(&patient("http://hl7.org/fhir/StructureDefinition/Patient"), "", &Asked::at(now())), []);
}

#[test]
fn rules_that_would_take_too_long_are_left_out_and_that_is_told() {
    // each item asks for all of its siblings again
    let item = |n: usize| json!({"linkId": format!("{n}"), "type": "group", "item": [{"linkId": format!("{n}.1"), "type": "string"}]});
    let items: Vec<Value> = (0..6_000).map(item).collect();
    let questionnaire = json!({"resourceType": "Questionnaire", "status": "active", "item": items});
    let began = std::time::Instant::now();
    let found = validator().check(&questionnaire, "", &Asked::at(now()));
    assert!(began.elapsed() < std::time::Duration::from_secs(20));
    assert!(found.iter().all(|finding| finding.issue.severity > Severity::Error), "{found:?}");
}

/// A profile of the test's own on this type.
fn own(of: &str, elements: Value) -> Validator {
    let definition = json!({"resourceType": "StructureDefinition", "url": "urn:test:p", "name": "P", "status": "active",
        "kind": "resource", "abstract": false, "type": of, "derivation": "constraint",
        "baseDefinition": format!("http://hl7.org/fhir/StructureDefinition/{of}"), "differential": {"element": elements}});
    Validator::new([("p".to_owned(), definition)]).unwrap()
}

fn wrong_by(validator: &Validator, resource: &Value) -> Vec<String> {
    wrong(validator, resource, &["urn:test:p".to_owned()])
}

#[test]
fn slices_are_told_apart_by_what_their_own_slices_fix() {
    let slice = |name: &str, code: &str, min: u32| {
        let at = |rest: &str| format!("Observation.component:{name}{rest}");
        let path = |rest: &str| format!("Observation.component{rest}");
        vec![
            json!({"id": at(""), "path": path(""), "sliceName": name, "min": min, "max": "1"}),
            json!({"id": at(".code.coding"), "path": path(".code.coding"), "slicing":
                {"discriminator": [{"type": "value", "path": "system"}], "rules": "open"}}),
            json!({"id": at(".code.coding:loinc"), "path": path(".code.coding"), "sliceName": "loinc", "min": 1}),
            json!({"id": at(".code.coding:loinc.system"), "path": path(".code.coding.system"), "fixedUri": "http://loinc.org"}),
            json!({"id": at(".code.coding:loinc.code"), "path": path(".code.coding.code"), "fixedCode": code}),
        ]
    };
    let by = |paths: &[&str]| {
        let by: Vec<Value> = paths.iter().map(|path| json!({"type": "value", "path": path})).collect();
        let mut elements = vec![
            json!({"id": "Observation.component", "path": "Observation.component", "slicing": {"discriminator": by, "rules": "open"}}),
        ];
        elements.extend(slice("systolic", "8480-6", 1));
        elements.extend(slice("diastolic", "8462-4", 1));
        own("Observation", elements.into())
    };
    let component = |code: &str| {
        json!({"code": {"coding": [{"system": "urn:x", "code": "y"}, {"system": "http://loinc.org", "code": code}]},
        "valueInteger": 1})
    };
    let observation = |components: Vec<Value>| {
        json!({"resourceType": "Observation", "status": "final", "code": {"text": "bp"},
        "component": components})
    };
    for validator in [by(&["code.coding.code", "code.coding.system"]), by(&["code"])] {
        assert_eq!(wrong_by(&validator, &observation(vec![component("8480-6"), component("8462-4")])), [] as [&str; 0]);
        assert_eq!(
            wrong_by(&validator, &observation(vec![component("8480-6"), component("1-8")])),
            ["Observation.component"]
        );
        let two = observation(vec![component("8480-6"), component("8480-6"), component("8462-4")]);
        assert_eq!(wrong_by(&validator, &two), ["Observation.component"]);
    }
}

#[test]
fn slices_of_slices_and_what_belongs_to_none_are_looked_at() {
    let by = json!({"discriminator": [{"type": "value", "path": "system"}], "rules": "closed"});
    let validator = own(
        "Patient",
        json!([
            {"id": "Patient.identifier", "path": "Patient.identifier", "slicing": by},
            {"id": "Patient.identifier:a", "path": "Patient.identifier", "sliceName": "a",
                "slicing": {"discriminator": [{"type": "value", "path": "use"}], "rules": "open"}},
            {"id": "Patient.identifier:a.system", "path": "Patient.identifier.system", "fixedUri": "urn:a"},
            {"id": "Patient.identifier:a/off", "path": "Patient.identifier", "sliceName": "a/off", "min": 1, "max": "1"},
            {"id": "Patient.identifier:a/off.use", "path": "Patient.identifier.use", "fixedCode": "official"},
            {"id": "Patient.identifier:a/off.period", "path": "Patient.identifier.period", "min": 1},
            {"id": "Patient.identifier:@default", "path": "Patient.identifier", "sliceName": "@default"},
            {"id": "Patient.identifier:@default.value", "path": "Patient.identifier.value", "min": 1},
        ]),
    );
    let patient = |identifiers: Value| json!({"resourceType": "Patient", "identifier": identifiers});
    let official = json!({"system": "urn:a", "use": "official", "value": "1", "period": {"start": "2020"}});
    assert_eq!(
        wrong_by(&validator, &patient(json!([official, {"system": "urn:other", "value": "2"}]))),
        [] as [&str; 0]
    );
    assert_eq!(
        wrong_by(&validator, &patient(json!([official, {"system": "urn:other"}]))),
        ["Patient.identifier[1].value"]
    );
    assert_eq!(wrong_by(&validator, &patient(json!([{"system": "urn:a", "value": "1"}]))), ["Patient.identifier"]);
    let without = json!([{"system": "urn:a", "use": "official", "value": "1"}]);
    assert_eq!(wrong_by(&validator, &patient(without)), ["Patient.identifier[0].period"]);
}

#[test]
fn a_choice_is_sliced_by_the_name_of_its_type() {
    let validator = own(
        "Patient",
        json!([
            {"id": "Patient.deceased[x]:deceasedBoolean", "path": "Patient.deceased[x]", "sliceName": "deceasedBoolean", "min": 1},
        ]),
    );
    assert_eq!(wrong_by(&validator, &json!({"resourceType": "Patient", "deceasedBoolean": false})), [] as [&str; 0]);
    assert_eq!(wrong_by(&validator, &json!({"resourceType": "Patient", "active": true})), ["Patient.deceased"]);
}

#[test]
fn a_profile_whose_base_or_rule_is_not_here_is_asked_in_part_and_that_is_told() {
    let definition = json!({"resourceType": "StructureDefinition", "url": "urn:test:p", "name": "P", "status": "active",
        "kind": "resource", "abstract": false, "type": "Observation", "derivation": "constraint",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/vitalsigns", "differential": {"element": [
            {"id": "Observation.note", "path": "Observation.note", "min": 1, "constraint":
                [{"key": "t-1", "severity": "error", "human": "x", "expression": "text.matches('(?!a)b')"}]}]}});
    let logical = json!({"resourceType": "StructureDefinition", "url": "urn:test:l", "kind": "logical", "type": "urn:test:l",
        "derivation": "constraint", "baseDefinition": "urn:nowhere", "differential": {"element": []}});
    let validator = Validator::new([("p".to_owned(), definition), ("l".to_owned(), logical)]).unwrap();
    assert!(validator.notes().iter().any(|(url, note)| url == "urn:test:p" && note.contains("vitalsigns")));
    let observation = json!({"resourceType": "Observation", "status": "final", "code": {"text": "bp"}});
    assert_eq!(wrong_by(&validator, &observation), ["Observation.note"]);
}

#[test]
fn many_contained_and_many_references_take_no_long_time() {
    let contained: Vec<Value> =
        (0..20_000).map(|n| json!({"resourceType": "Practitioner", "id": format!("o{n}"), "active": true})).collect();
    let links: Vec<Value> = (0..20_000).map(|n| json!({"reference": format!("#o{n}")})).collect();
    let request = json!({"resourceType": "ServiceRequest", "status": "active", "intent": "order", "contained": contained,
        "subject": {"reference": "Patient/1"}, "performer": links});
    let began = std::time::Instant::now();
    assert_eq!(wrong(&validator(), &request, &[]), [] as [&str; 0]);
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn what_is_said_about_primitives_lengths_and_contained_targets_are_looked_at() {
    let validator = own(
        "Patient",
        json!([
            {"id": "Patient.gender.extension", "path": "Patient.gender.extension", "min": 1},
            {"id": "Patient.name.family", "path": "Patient.name.family", "maxLength": 3},
            {"id": "Patient.managingOrganization", "path": "Patient.managingOrganization",
                "type": [{"code": "Reference", "targetProfile": ["http://hl7.org/fhir/StructureDefinition/Organization"]}]},
        ]),
    );
    let extension = json!({"extension": [{"url": "urn:x", "valueCode": "y"}]});
    let right = json!({"resourceType": "Patient", "gender": "male", "_gender": extension, "name": [{"family": "Éva"}]});
    assert_eq!(wrong_by(&validator, &right), [] as [&str; 0]);
    let bare = json!({"resourceType": "Patient", "gender": "male", "name": [{"family": "Evas"}]});
    assert_eq!(wrong_by(&validator, &bare), ["Patient.gender.extension", "Patient.name[0].family"]);
    let validator = own(
        "ServiceRequest",
        json!([{"id": "ServiceRequest.subject", "path": "ServiceRequest.subject",
        "type": [{"code": "Reference", "targetProfile": ["http://hl7.org/fhir/StructureDefinition/Patient"]}]}]),
    );
    let of = |kind: &str| {
        let mut contained = json!({"resourceType": kind, "id": "a"});
        if kind == "Group" {
            contained["type"] = "person".into();
            contained["actual"] = true.into();
        }
        json!({"resourceType": "ServiceRequest", "status": "active", "intent": "order", "contained": [contained],
            "subject": {"reference": "#a"}})
    };
    assert_eq!(wrong_by(&validator, &of("Patient")), [] as [&str; 0]);
    assert_eq!(wrong_by(&validator, &of("Group")), ["ServiceRequest.subject"]);
}

#[test]
fn both_spellings_of_a_verification_status_are_in_its_value_set() {
    let extension = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-NHSNumberVerificationStatus";
    let system = |of: &str| format!("https://fhir.hl7.org.uk/CodeSystem/UKCore-NHSNumberVerificationStatus{of}");
    let resources = [
        json!({"resourceType": "StructureDefinition", "url": extension, "type": "Extension", "kind": "complex-type",
            "derivation": "constraint", "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Extension",
            "differential": {"element": [{"id": "Extension.value[x]", "path": "Extension.value[x]", "min": 1, "binding":
                {"strength": "required", "valueSet": nhs::STATUS_VALUE_SET}}]}}),
        json!({"resourceType": "ValueSet", "url": nhs::STATUS_VALUE_SET, "compose": {"include":
            [{"system": system("England"), "concept": [{"code": "01"}]}]}}),
    ];
    let validator = Validator::new(resources.map(|resource| ("x".to_owned(), resource))).unwrap();
    let patient = |system: String, code: &str| {
        json!({"resourceType": "Patient", "identifier": [{"value": "1", "extension":
        [{"url": extension, "valueCodeableConcept": {"coding": [{"system": system, "code": code}]}}]}]})
    };
    assert_eq!(wrong(&validator, &patient(system("England"), "01"), &[]), [] as [&str; 0]);
    assert_eq!(wrong(&validator, &patient(system(""), "number-present-and-verified"), &[]), [] as [&str; 0]);
    assert!(!wrong(&validator, &patient(system(""), "01"), &[]).is_empty());
}

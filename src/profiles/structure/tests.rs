//! The base specification against R4's text and our own inputs; `tests/it/conformance.rs` has those of others.

use serde_json::json;

use super::*;

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn request() -> Value {
    json!({ "resourceType": "ServiceRequest", "status": "active", "intent": "order",
        "subject": { "reference": "Patient/1" }, "authoredOn": "2026-11-20" })
}

/// What is found, sorted: expression, code, whether it is an error.
fn found(resource: &Value) -> Vec<(String, &'static str, &'static str)> {
    let of = |finding: Finding| {
        let Finding { issue, .. } = finding;
        (issue.expression[0].clone(), issue.code.code(), issue.severity.code())
    };
    let mut found: Vec<_> = check(resource, "", now()).into_iter().map(of).collect();
    found.sort();
    found
}

fn with(pointer: &str, value: Value) -> Value {
    let mut request = request();
    request[pointer] = value;
    request
}

#[track_caller]
fn is(resource: &Value, expected: &[(&str, &str)]) {
    let found = found(resource);
    let found: Vec<_> = found.iter().map(|(at, code, _)| (at.as_str(), *code)).collect();
    assert_eq!(found, expected);
}

#[test]
fn what_is_sound_has_no_fault() {
    is(&request(), &[]);
    let rich = json!({ "resourceType": "ServiceRequest", "_status": { "extension": [{ "url": "http://x", "valueCode": "unknown" }] },
        "intent": "order", "subject": { "identifier": { "system": "urn:x", "value": "1" } },
        "occurrencePeriod": { "start": "2026-12", "end": "2027" }, "requester": { "reference": "#p" },
        "contained": [{ "resourceType": "Practitioner", "id": "p", "birthDate": "1980",
            "name": [{ "given": ["Ann", null], "_given": [null, { "extension": [{ "url": "http://x", "valueString": "y" }] }] }] }] });
    is(&rich, &[]);
}

#[test]
fn all_faults_are_said_at_once_each_at_its_place() {
    let bad = json!({ "resourceType": "ServiceRequest", "status": "aktive", "intent": ["order"], "authoredOn": "2026-02-30",
        "identifier": {}, "category": [], "priority": null, "note": [{ "text": "" }], "code": { "coding": [[]] },
        "requester": { "reference": "#p" }, "colour": "red", "Ann Smith": 1,
        "contained": [{ "resourceType": "Practitioner", "id": "p", "gender": "f", "name": [], "birthDate": 1980 }] });
    is(
        &bad,
        &[
            ("ServiceRequest", "structure"),
            ("ServiceRequest", "structure"),
            ("ServiceRequest.authoredOn", "value"),
            ("ServiceRequest.category", "structure"),
            ("ServiceRequest.code.coding[0]", "structure"),
            ("ServiceRequest.contained[0].birthDate", "structure"),
            ("ServiceRequest.contained[0].gender", "code-invalid"),
            ("ServiceRequest.contained[0].name", "structure"),
            ("ServiceRequest.identifier", "structure"),
            ("ServiceRequest.intent", "structure"),
            ("ServiceRequest.note[0].text", "value"),
            ("ServiceRequest.priority", "structure"),
            ("ServiceRequest.status", "code-invalid"),
            ("ServiceRequest.subject", "required"),
        ],
    );
}

#[test]
fn nobody_is_told_what_they_wrote() {
    let bad = json!({ "resourceType": "Patient", "gender": "Ann", "birthDate": "Smith", "Ann Smith": 1, "id": "Ann Smith",
        "maritalStatus": { "text": 5, "Ann": [] }, "managingOrganization": { "reference": "Patient/Ann", "type": "Ann" } });
    for finding in check(&bad, "", now()) {
        let said = format!("{:?}", finding.issue);
        assert!(!said.contains("Ann") && !said.contains("Smith"), "{said}");
    }
}

#[test]
fn a_choice_is_made_once() {
    let value = |value: Value| {
        let mut observation = json!({ "resourceType": "Observation", "status": "final", "code": { "text": "x" } });
        observation.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        found(&observation).len()
    };
    assert_eq!(value(json!({ "valueString": "a", "_valueString": { "id": "x" } })), 0);
    assert_eq!(value(json!({ "valueString": "a", "valueInteger": 1 })), 1);
    assert_eq!(
        value(
            json!({ "valueString": "a", "_valueInteger": { "extension": [{ "url": "http://x", "valueCode": "y" }] } })
        ),
        1
    );
    assert_eq!(value(json!({ "value": "a" })), 1);
    assert_eq!(value(json!({ "valueMoney": { "value": 1 } })), 1);
}

#[test]
fn nulls_stand_only_beside_an_extension() {
    let given = |name: Value| found(&json!({ "resourceType": "Patient", "name": [name] })).len();
    let said = json!({ "extension": [{ "url": "http://x", "valueCode": "y" }] });
    assert_eq!(given(json!({ "given": ["a", null], "_given": [null, said] })), 0);
    assert_eq!(given(json!({ "_given": [said] })), 0);
    assert_eq!(given(json!({ "given": ["a", null] })), 1);
    assert_eq!(given(json!({ "given": ["a", "b"], "_given": [said] })), 1, "lists of two lengths");
    assert_eq!(given(json!({ "given": ["a", null], "_given": [said, null] })), 2);
    assert_eq!(given(json!({ "given": [null], "_given": [null] })), 2);
    assert_eq!(given(json!({ "family": null, "_family": said })), 1);
    assert_eq!(given(json!({ "family": "a", "_family": "b" })), 1);
    assert_eq!(given(json!({ "family": "a", "_family": { "id": "x" } })), 0);
    assert_eq!(given(json!({ "_family": { "id": "x" } })), 1, "an id alone is nothing");
    assert_eq!(given(json!({ "_period": said })), 1, "only simple values have this");
}

#[test]
fn extensions_have_a_url_and_one_of_two() {
    let extension = |extension: Value| found(&with("extension", json!([extension]))).len();
    assert_eq!(extension(json!({ "url": "http://x", "valueString": "a" })), 0);
    assert_eq!(extension(json!({ "url": "http://x", "extension": [{ "url": "a", "valueBoolean": true }] })), 0);
    assert_eq!(extension(json!({ "valueString": "a" })), 1);
    assert_eq!(extension(json!({ "url": "http://x" })), 1);
    assert_eq!(
        extension(json!({ "url": "http://x", "valueString": "a", "extension": [{ "url": "a", "valueCode": "b" }] })),
        1
    );
    assert_eq!(extension(json!({ "url": "http://x", "valueString": "a", "valueCode": "b" })), 1);
    assert_eq!(extension(json!({ "url": "http://x", "valueColour": "a" })), 1);
}

#[test]
fn r4s_own_extensions_have_a_value_of_their_type() {
    let with = |name: &str, value: &str, of: Value| {
        let url = format!("http://hl7.org/fhir/StructureDefinition/{name}");
        let mut request = request();
        request["extension"] = json!([{ "url": url, value: of }]);
        found(&request).len()
    };
    for (name, value, of) in [
        ("narrativeLink", "valueUrl", json!("https://a.example#b")),
        ("originalText", "valueString", json!("as it was said")),
        ("servicerequest-precondition", "valueCodeableConcept", json!({ "text": "fasting" })),
        (
            "data-absent-reason",
            "_valueCode",
            json!({ "extension": [{ "url": "https://a.example", "valueString": "b" }] }),
        ),
        ("of-somebody", "valueBoolean", json!(true)),
    ] {
        assert_eq!(with(name, value, of), 0, "{name}");
    }
    for (name, value, of) in [
        ("narrativeLink", "valueUri", json!("https://a.example#b")),
        ("servicerequest-precondition", "valueString", json!("fasting")),
        ("data-absent-reason", "extension", json!([{ "url": "https://a.example", "valueString": "b" }])),
    ] {
        assert_eq!(with(name, value, of), 1, "{name}");
    }
}

#[test]
fn what_bears_the_code_of_a_vital_sign_is_one() {
    let coded = |code: &str| json!({ "coding": [{ "system": "http://loinc.org", "code": code }] });
    let measured =
        |unit: &str| json!({ "value": 1, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit });
    let weight = json!({ "resourceType": "Observation", "status": "final", "code": coded("29463-7"),
        "category": [{ "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs" }] }],
        "subject": { "reference": "Patient/1" }, "effectiveDateTime": "2026-11-20", "valueQuantity": measured("kg") });
    is(&weight, &[]);
    let without = |name: &str| {
        let mut weight = weight.clone();
        weight.as_object_mut().unwrap().remove(name);
        weight
    };
    let other = |name: &str, value: Value| {
        let mut weight = weight.clone();
        weight[name] = value;
        weight
    };
    // R4's invariants are errors
    let errors = |resource: &Value| {
        let errors = found(resource).into_iter().filter(|(_, _, severity)| *severity == "error");
        errors.map(|(at, _, _)| at).collect::<Vec<_>>()
    };
    assert_eq!(errors(&other("effectiveDateTime", json!("2026-11"))), ["Observation.effective"]);
    assert_eq!(errors(&without("valueQuantity")), ["Observation"]);
    let mut absent = without("valueQuantity");
    absent["dataAbsentReason"] = json!({ "text": "was not at home" });
    is(&absent, &[]);
    let pressure = |code: &str, value: &str| json!({ "code": coded(code), value: measured("mm[Hg]") });
    let mut blood = without("valueQuantity");
    blood["code"] = coded("85354-9");
    blood["component"] = json!([pressure("8480-6", "valueQuantity"), pressure("8462-4", "valueQuantity")]);
    is(&blood, &[]);
    blood["component"][1].as_object_mut().unwrap().remove("valueQuantity");
    assert_eq!(errors(&blood), ["Observation.component[1]"]);
    // what examples of R4 are not is a warning
    for (resource, at) in [
        (without("category"), "Observation.category"),
        (without("subject"), "Observation.subject"),
        (without("effectiveDateTime"), "Observation.effective"),
        (other("valueQuantity", measured("[stone_av]")), "Observation.value"),
        (
            other("valueQuantity", json!({ "value": 1, "system": "http://unitsofmeasure.org", "code": "kg" })),
            "Observation.value.unit",
        ),
        (other("code", coded("85353-1")), "Observation.hasMember"),
    ] {
        let found = found(&resource);
        assert_eq!(found.iter().map(|(at, _, how)| (at.as_str(), *how)).collect::<Vec<_>>(), [(at, "warning")]);
    }
    let mut one = blood.clone();
    one["component"] = json!([pressure("8480-6", "valueQuantity")]);
    assert_eq!(found(&one).len(), 1);
    // nobody else is asked
    is(&json!({ "resourceType": "Observation", "status": "final", "code": coded("1-8") }), &[]);
}

#[test]
fn a_rule_that_gives_nothing_is_broken() {
    // whether a day is before a moment of that day cannot be said
    let mut request = request();
    request["occurrencePeriod"] = json!({ "start": "2026-11-20", "end": "2026-11-20T10:00:00Z" });
    is(&request, &[("ServiceRequest.occurrencePeriod", "invariant")]);
    request["occurrencePeriod"] = json!({ "start": "2026-11-19", "end": "2026-11-20T10:00:00Z" });
    is(&request, &[]);
}

#[test]
fn references_point_at_what_they_may() {
    is(&with("subject", json!({ "reference": "Organization/1" })), &[("ServiceRequest.subject", "value")]);
    is(
        &with("subject", json!({ "reference": "http://x.example/fhir/Organization/1" })),
        &[("ServiceRequest.subject", "value")],
    );
    is(
        &with("subject", json!({ "type": "Organization", "display": "x", "identifier": { "value": "1" } })),
        &[("ServiceRequest.subject", "value")],
    );
    assert_eq!(
        found(&with("subject", json!({ "reference": "Organization/1" })))[0].2,
        "warning",
        "it is not here to be looked at"
    );
    is(&with("subject", json!({ "reference": "urn:uuid:c757873d-ec9a-4326-a141-556f43239520" })), &[]);
    is(&with("subject", json!({ "reference": "#p" })), &[("ServiceRequest.subject", "invariant")]);
    is(&with("subject", json!({ "display": "Ann" })), &[]);
}

#[test]
fn what_is_contained_is_referred_to_and_contains_nothing() {
    let contained = |more: Value| {
        let mut one = json!({ "resourceType": "Practitioner", "id": "p", "active": true });
        one.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut request = with("contained", json!([one]));
        request["requester"] = json!({ "reference": "#p" });
        request
    };
    is(&contained(json!({})), &[]);
    let mut nobodys = contained(json!({}));
    nobodys.as_object_mut().unwrap().remove("requester");
    assert_eq!(found(&nobodys), [("ServiceRequest.contained[0]".to_owned(), "invariant", "warning")]);
    nobodys["contained"][0]["qualification"] = json!([{ "code": { "text": "x" }, "issuer": { "reference": "#" } }]);
    is(&nobodys, &[]);
    let inner = json!([{ "resourceType": "Organization", "id": "o", "name": "x" }]);
    let found =
        found(&contained(json!({ "name": [{ "text": "x" }], "contained": inner, "meta": { "versionId": "1" } })));
    assert_eq!(found.iter().filter(|(_, code, _)| *code == "invariant").count(), 2, "{found:?}");
}

#[test]
fn codes_are_required_or_only_better() {
    let status = found(&with("status", json!("Active")));
    assert_eq!(status, [("ServiceRequest.status".to_owned(), "code-invalid", "error")]);
    let allergy = |status: Value| {
        found(
            &json!({ "resourceType": "AllergyIntolerance", "patient": { "reference": "Patient/1" }, "clinicalStatus": status }),
        )
    };
    let system = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical";
    assert!(
        allergy(json!({ "coding": [{ "system": system, "code": "active" }, { "code": "x", "system": "urn:y" }] }))
            .is_empty()
    );
    assert_eq!(allergy(json!({ "coding": [{ "system": "urn:other", "code": "active" }] })).len(), 1);
    assert_eq!(allergy(json!({ "text": "active" })).len(), 1, "required means a code");
    let marital =
        json!({ "resourceType": "Patient", "maritalStatus": { "coding": [{ "system": "urn:x", "code": "y" }] } });
    assert_eq!(found(&marital), [("Patient.maritalStatus".to_owned(), "code-invalid", "warning")]);
}

#[test]
fn a_bundle_is_checked_to_the_bottom() {
    let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [
        { "request": { "method": "FETCH", "url": "Task" }, "resource": { "resourceType": "Taks" } },
        { "fullUrl": "urn:uuid:c757873d-ec9a-4326-a141-556f43239520" , "request": { "method": "PUT", "url": "Task/1" } },
        { "fullUrl": "urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
          "resource": { "resourceType": "DocumentReference", "status": "current", "content": [{}] } }] });
    is(
        &bundle,
        &[
            ("Bundle.entry[0].request.method", "code-invalid"),
            ("Bundle.entry[0].resource", "structure"),
            ("Bundle.entry[2].fullUrl", "invariant"),
            ("Bundle.entry[2].request", "invariant"),
            ("Bundle.entry[2].resource.content[0]", "structure"),
        ],
    );
    assert_eq!(check(&json!({}), "", now())[0].issue.expression, ["%resource"]);
    let task = check(&json!({ "resourceType": "Task" }), "Bundle.entry[3].resource", now());
    assert_eq!(task[0].issue.expression, ["Bundle.entry[3].resource.status"]);
}

#[test]
fn what_lies_on_a_server_has_its_id() {
    let of = |kind: &str, url: &str| {
        let entry = json!({ "fullUrl": url, "resource": { "resourceType": "Patient" } });
        json!({ "resourceType": "Bundle", "type": kind, "entry": [entry] })
    };
    is(&of("collection", "https://a.example/fhir/Patient/1"), &[("Bundle.entry[0]", "required")]);
    is(&of("collection", "urn:uuid:cd0f0d0f-0a5e-4e0b-9a3e-0d6b0b8f7e11"), &[]);
    let mut created = of("transaction", "https://a.example/fhir/Patient/1");
    created["entry"][0]["request"] = json!({ "method": "POST", "url": "Patient" });
    is(&created, &[]);
}

#[test]
fn so_many_faults_are_enough() {
    let names: Vec<Value> = (0..1000).map(|_| json!({ "x": 1 })).collect();
    let found = check(&json!({ "resourceType": "Patient", "name": names }), "", now());
    assert_eq!(found.len(), 201);
    assert_eq!(found[200].issue.code.code(), "too-costly");
}

mod random {
    use proptest::{prelude::*, sample::select};

    use super::*;

    /// Names that R4 has, and some that it does not.
    const KEYS: [&str; 24] = [
        "resourceType",
        "id",
        "meta",
        "extension",
        "_status",
        "status",
        "identifier",
        "contained",
        "subject",
        "reference",
        "name",
        "given",
        "_given",
        "valueString",
        "valueQuantity",
        "url",
        "entry",
        "resource",
        "code",
        "coding",
        "text",
        "div",
        "birthDate",
        "x y",
    ];
    const TEXTS: [&str; 10] =
        ["ServiceRequest", "Patient", "Bundle", "active", "", "2026-02-30", "#a", "Patient/1", "urn:uuid:x", "<div/>"];

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            select(&TEXTS[..]).prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((select(&KEYS[..]), inner), 0..6)
                    .prop_map(|pairs| pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn nothing_panics_and_the_verdict_is_that_of_the_same_text(mut tree in tree(), kind in select(&TEXTS[..3])) {
            if let Some(object) = tree.as_object_mut() {
                object.insert("resourceType".into(), kind.into());
            }
            let found = check(&tree, "", now());
            let again: Value = serde_json::from_str(&tree.to_string()).unwrap();
            prop_assert_eq!(&found, &check(&again, "", now()));
            prop_assert!(found.len() <= 201);
        }
    }
}

#[test]
fn what_was_once_refused_and_is_right() {
    let questionnaire = json!({"resourceType": "Questionnaire", "status": "active", "item": [{"linkId": "1", "type": "string",
        "enableWhen": [{"question": "a", "operator": "exists", "answerBoolean": true}]}]});
    is(&questionnaire, &[]);
    let entry = json!({"fullUrl": "http://a.example/Patient/1", "request": {"method": "DELETE", "url": "Patient/1"},
        "response": {"status": "204"}});
    is(&json!({"resourceType": "Bundle", "type": "history", "entry": [entry, entry]}), &[]);
    is(&json!({"resourceType": "Basic", "code": {"text": "é".repeat(600_000)}}), &[]);
}

#[test]
fn what_was_once_accepted_and_is_wrong() {
    let two = json!({"resourceType": "Patient", "contained": [{"resourceType": "Practitioner", "id": "a", "active": true},
        {"resourceType": "Practitioner", "id": "a", "active": true}], "generalPractitioner": [{"reference": "#a"}]});
    is(&two, &[("Patient.contained[1].id", "invariant")]);
    is(&json!({"resourceType": "Patient", "name": [{"id": "a b", "text": "x"}]}), &[("Patient.name[0].id", "value")]);
    is(&json!({"resourceType": "SubscriptionStatus"}), &[("%resource", "structure")]);
    is(&json!({"resourceType": "Patient", "gender": "male", "SECRETName": {"family": 1}}), &[("Patient", "structure")]);
}

#[test]
fn a_reference_in_a_bundle_is_held_against_what_it_leads_to() {
    let entry = |url: &str, resource: Value| json!({"fullUrl": url, "resource": resource});
    let bundle = |literal: &str, url: &str, practitioner: Value| {
        let patient = json!({"resourceType": "Patient", "id": "1", "generalPractitioner": [{"reference": literal}]});
        json!({"resourceType": "Bundle", "type": "collection", "entry":
            [entry("http://a.example/fhir/Patient/1", patient), entry(url, practitioner)]})
    };
    let (one, other) =
        (json!({"resourceType": "Practitioner", "id": "2"}), json!({"resourceType": "Location", "id": "2"}));
    let place = "Bundle.entry[0].resource.generalPractitioner[0]";
    let (here, urn) = ("http://a.example/fhir/Practitioner/2", "urn:uuid:c757873d-ec9a-4326-a141-556f43239520");
    for literal in ["Practitioner/2", here] {
        is(&bundle(literal, here, one.clone()), &[]);
    }
    is(&bundle(urn, urn, one.clone()), &[]);
    is(&bundle(urn, urn, other.clone()), &[(place, "value")]);
    // what it names is another type than what is there, and so is the fullUrl
    is(&bundle("Practitioner/2", here, other), &[(place, "value"), ("Bundle.entry[1].fullUrl", "value")]);
    is(&bundle("urn:uuid:c757873d-ec9a-4326-a141-556f43239521", here, one.clone()), &[(place, "not-found")]);
    is(&bundle("Practitioner/3", here, one), &[]);
}

#[test]
fn a_document_holds_what_its_composition_refers_to() {
    let composition = |author: &str| {
        json!({"resourceType": "Composition", "id": "1", "status": "final", "type": {"text": "x"},
        "date": "2026", "title": "x", "author": [{"reference": author}], "relatesTo": [{"code": "replaces",
            "targetReference": {"reference": "Composition/9"}}]})
    };
    let document = |author: &str| {
        json!({"resourceType": "Bundle", "type": "document", "timestamp": "2026-01-01T00:00:00Z",
        "identifier": {"system": "urn:x", "value": "1"}, "entry": [
            {"fullUrl": "http://a.example/Composition/1", "resource": composition(author)},
            {"fullUrl": "http://a.example/Practitioner/2", "resource": {"resourceType": "Practitioner", "id": "2"}},
            {"fullUrl": "http://a.example/Composition/3", "resource": {"resourceType": "Composition", "id": "3", "status": "final",
                "type": {"text": "x"}, "date": "2026", "title": "x", "author": [{"reference": "Practitioner/7"}]}}]})
    };
    is(&document("Practitioner/2"), &[]);
    is(&document("Practitioner/7"), &[("Bundle.entry[0].resource.author[0]", "not-found")]);
}

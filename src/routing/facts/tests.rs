use serde_json::json;

use super::*;

fn facts_with(request: &Value, carried: &[(&str, Value)]) -> Facts {
    let find = |reference: &str| carried.iter().find(|(name, _)| *name == reference).map(|(_, resource)| resource);
    Facts::of(&"epr".parse().unwrap(), request, &find)
}

fn shown(codings: &BTreeSet<Coding>) -> Vec<String> {
    codings.iter().map(ToString::to_string).collect()
}

#[test]
fn every_coding_of_code_and_category_is_a_fact_and_their_words_are_not() {
    let request = json!({
        "code": {"coding": [{"system": "s", "code": "1"}, {"code": "2"}, {"display": "no code"}], "text": "words"},
        "category": [{"coding": [{"system": "s", "code": "c"}]}, {"text": "words"}],
    });
    let facts = facts_with(&request, &[]);
    assert_eq!(shown(&facts.codes), ["2", "s|1"]);
    assert_eq!(shown(&facts.categories), ["s|c"]);
}

#[test]
fn a_performer_is_known_by_reference_identifier_and_what_it_points_to() {
    let ods = |system: &str, code: &str| json!({"system": system, "value": code});
    let request = json!({
        "contained": [{"resourceType": "PractitionerRole", "id": "r", "identifier": [{"system": "role", "value": "1"}],
                       "organization": {"reference": "#o"}},
                      {"resourceType": "Organization", "id": "o",
                       "identifier": [ods("https://fhir.nhs.uk/id/ods-organization-code", "u99999")]}],
        "performer": [
            {"reference": "https://x.example/fhir/HealthcareService/1/_history/3"},
            {"identifier": ods("https://fhir.nhs.uk/Id/ods-organization-code", " rem ")},
            {"reference": "urn:uuid:1"},
            {"reference": "#r"},
            {"reference": "#missing"},
        ],
    });
    let service = json!({"resourceType": "HealthcareService", "identifier": [{"system": "svc", "value": "life"}],
                         "providedBy": {"identifier": ods("https://fhir.nhs.uk/Id/ods-organization-code", "RW4")}});
    let facts = facts_with(&request, &[("urn:uuid:1", service)]);
    let references: Vec<_> = facts.performer_references.iter().collect();
    assert_eq!(references, ["https://x.example/fhir/HealthcareService/1"]);
    assert_eq!(shown(&facts.performer_identifiers), ["role|1", "svc|life"]);
    assert_eq!(facts.performer_orgs.iter().collect::<Vec<_>>(), ["REM", "U99999"]);
}

#[test]
fn a_person_as_performer_is_no_fact() {
    let nhs = json!({"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990471134"});
    let request = json!({"performer": [
        {"reference": "Patient/1"}, {"reference": "https://x.example/fhir/Patient/1"}, {"identifier": nhs.clone()},
        {"reference": "urn:uuid:2"}, {"type": "RelatedPerson", "identifier": {"system": "s", "value": "v"}},
    ]});
    let facts = facts_with(&request, &[("urn:uuid:2", json!({"resourceType": "Patient", "identifier": [nhs]}))]);
    assert!(facts.performer_references.is_empty() && facts.performer_identifiers.is_empty(), "{facts:?}");
}

#[test]
fn the_requester_is_found_behind_role_and_device_and_in_the_role_s_own_contained() {
    let org = json!({"resourceType": "Organization", "id": "o",
        "identifier": [{"system": "http://fhir.nhs.uk/Id/ods-site-code", "value": "rw401"}, {"system": "other", "value": "X"}]});
    let role = json!({"resourceType": "PractitionerRole", "contained": [org], "organization": {"reference": "#o"}});
    let device = json!({"resourceType": "Device", "owner": {"reference": "Organization/9"}});
    let carried = [("urn:uuid:r", role), ("Device/1", device), ("Organization/9", org.clone())];
    for requester in [
        json!({"reference": "urn:uuid:r"}),
        json!({"reference": "Device/1"}),
        json!({"reference": "Organization/9"}),
        json!({"identifier": {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": "RW401"}}),
    ] {
        let facts = facts_with(&json!({"requester": requester}), &carried);
        assert_eq!(facts.requester_orgs.iter().collect::<Vec<_>>(), ["RW401"], "{requester}");
    }
    let by_person = json!({"requester": {"reference": "Practitioner/1"}});
    let person = json!({"resourceType": "Practitioner", "identifier": [{"system": "gmc", "value": "1"}]});
    assert!(facts_with(&by_person, &[("Practitioner/1", person)]).requester_orgs.is_empty());
}

#[test]
fn where_the_person_lives_now() {
    let lives = |addresses: Value, written: &str| {
        let request = json!({"subject": {"reference": "Patient/1"}, "authoredOn": written});
        let patient = json!({"resourceType": "Patient", "address": addresses});
        let facts = facts_with(&request, &[("Patient/1", patient)]);
        facts.outward_codes.into_iter().collect::<Vec<_>>().join(" ")
    };
    let at = |use_: &str, code: &str, start: Option<&str>, end: Option<&str>| {
        let mut address = json!({"postalCode": code});
        if !use_.is_empty() {
            address["use"] = json!(use_);
        }
        for (key, date) in [("start", start), ("end", end)] {
            if let Some(date) = date {
                address["period"][key] = json!(date);
            }
        }
        address
    };
    let day = "2026-03-02T10:15:00+00:00";
    for (addresses, expected) in [
        (
            json!([
                at("work", "L2 1AA", None, None),
                at("home", "L1 1AA", None, None),
                at("temp", "L3 1AA", None, None)
            ]),
            "L1",
        ),
        (json!([at("", "L2 1AA", None, None), at("temp", "L3 1AA", None, None)]), "L2"),
        (json!([at("temp", "L3 1AA", None, None)]), "L3"),
        (json!([at("old", "L4 1AA", None, None), at("billing", "L5 1AA", None, None)]), ""),
        (json!([at("home", "nowhere", None, None), at("temp", "L3 1AA", None, None)]), "L3"),
        (json!([at("home", "L6 1AA", None, Some("2026-03-01"))]), ""),
        (json!([at("home", "L6 1AA", None, Some("2026-03-02"))]), "L6"),
        (json!([at("home", "L6 1AA", None, Some("2026-03"))]), "L6"),
        (json!([at("home", "L6 1AA", None, Some("2025"))]), ""),
        (json!([at("home", "L6 1AA", None, Some("2030-01-01T00:00:00Z"))]), "L6"),
        (json!([at("home", "L6 1AA", Some("2026-04-01"), None)]), ""),
        (json!([at("home", "L6 1AA", None, None), at("home", "CH41 1AA", Some("2020"), None)]), "CH41 L6"),
    ] {
        assert_eq!(lives(addresses.clone(), day), expected, "{addresses}");
    }
    assert_eq!(lives(json!([at("home", "L6 1AA", None, Some("2030"))]), ""), "", "without a day an end means ended");
}

#[test]
fn what_is_of_the_wrong_shape_is_no_fact_and_no_panic() {
    for request in
        [json!(null), json!([]), json!({"code": [], "performer": {}, "requester": 1, "subject": {"reference": "#"}})]
    {
        let facts = facts_with(&request, &[]);
        assert!(facts.codes.is_empty() && facts.outward_codes.is_empty());
    }
    let date = json!({"subject": {"reference": "#p"}, "authoredOn": "é€é€é€", "contained": [
        {"id": "p", "address": [{"postalCode": "L1 1AA", "period": {"end": "€€€€€€"}}]}]});
    facts_with(&date, &[]);
}

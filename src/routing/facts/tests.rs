use serde_json::json;

use super::*;
use crate::domain::Point;

fn facts_with<'a>(request: &'a Value, carried: &'a [(&'a str, Value)]) -> Facts<'a> {
    let find = move |reference: &str| carried.iter().find(|(name, _)| *name == reference).map(|(_, resource)| resource);
    let carried = Carried { find: Arc::new(find), consents: Vec::new() };
    let at = "2026-11-26T10:00:00Z".parse().unwrap();
    let (working_time, places) = (WorkingTime::default(), Places::default());
    Facts::of(&"epr".parse().unwrap(), request, carried, Setting { at, working_time: &working_time, places: &places })
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
    let carried = [("urn:uuid:1", service)];
    let facts = facts_with(&request, &carried);
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
    let carried = [("urn:uuid:2", json!({"resourceType": "Patient", "identifier": [nhs]}))];
    let facts = facts_with(&request, &carried);
    assert!(facts.performer_references.is_empty() && facts.performer_identifiers.is_empty());
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
        let request = json!({"requester": requester});
        let facts = facts_with(&request, &carried);
        assert_eq!(facts.requester_orgs.iter().collect::<Vec<_>>(), ["RW401"], "{requester}");
    }
    let by_person = json!({"requester": {"reference": "Practitioner/1"}});
    let person = json!({"resourceType": "Practitioner", "identifier": [{"system": "gmc", "value": "1"}]});
    let carried = [("Practitioner/1", person)];
    assert!(facts_with(&by_person, &carried).requester_orgs.is_empty());
}

#[test]
fn where_the_person_lives_now() {
    let lives = |addresses: Value, written: &str| {
        let request = json!({"subject": {"reference": "Patient/1"}, "authoredOn": written});
        let patient = json!({"resourceType": "Patient", "address": addresses});
        let carried = [("Patient/1", patient)];
        let facts = facts_with(&request, &carried);
        facts.homes.outward_codes.iter().cloned().collect::<Vec<_>>().join(" ")
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
        assert!(facts.codes.is_empty() && facts.homes.outward_codes.is_empty());
    }
    let date = json!({"subject": {"reference": "#p"}, "authoredOn": "é€é€é€", "contained": [
        {"id": "p", "address": [{"postalCode": "L1 1AA", "period": {"end": "€€€€€€"}}]}]});
    facts_with(&date, &[]);
}

#[test]
fn a_census_area_and_a_point_come_from_the_address_or_from_the_table_of_postcodes() {
    let table = "pcds,lsoa21cd,lat,long\nL1 9ZZ,E01000001,53.4,-2.98\n";
    let places = Places::read(table.as_bytes()).unwrap();
    let said = json!([
        {"url": "http://hl7.org/fhir/StructureDefinition/iso21090-ADXP-censusTract", "valueString": "E01000002"},
        {"url": "http://hl7.org/fhir/StructureDefinition/geolocation", "extension": [
            {"url": "latitude", "valueDecimal": 53.5}, {"url": "longitude", "valueDecimal": -3.0}]},
    ]);
    for (address, lsoas, point) in [
        (json!({"use": "home", "postalCode": "l19zz"}), vec!["E01000001"], Point::of_degrees(53.4, -2.98)),
        (json!({"postalCode": "L1 9ZZ", "extension": said}), vec!["E01000002"], Point::of_degrees(53.5, -3.0)),
        (json!({"extension": said}), vec!["E01000002"], Point::of_degrees(53.5, -3.0)),
        (json!({"postalCode": "L1 9ZY"}), vec![], None),
        (
            json!({"postalCode": "L1 9ZY", "extension": [
            {"url": "http://hl7.org/fhir/StructureDefinition/geolocation", "extension": [{"url": "latitude", "valueDecimal": 91}]},
            {"url": "http://hl7.org/fhir/StructureDefinition/iso21090-ADXP-censusTract", "valueString": "E01"}]}),
            vec![],
            None,
        ),
    ] {
        let homes = person::homes(&json!({"address": [address]}), None, &places);
        assert_eq!(homes.lsoas.iter().collect::<Vec<_>>(), lsoas, "{address}");
        assert_eq!(homes.points.into_iter().next(), point, "{address}");
    }
}

#[test]
fn languages_are_the_preferred_ones_where_any_is() {
    let speaks =
        |code: &str, preferred: Value| json!({"language": {"coding": [{"code": code}]}, "preferred": preferred});
    let of = |spoken: Value| person::languages(&json!({"communication": spoken})).into_iter().collect::<Vec<_>>();
    assert_eq!(of(json!([speaks("en", json!(null)), speaks("cy", json!(null))])), ["cy", "en"]);
    assert_eq!(of(json!([speaks("en", json!(false)), speaks("cy", json!(true))])), ["cy"]);
    assert_eq!(of(json!(null)), Vec::<String>::new());
}

#[test]
fn one_refusal_outweighs_every_consent_in_force() {
    let consent = |status: &str, more: Value| {
        let mut consent = json!({"resourceType": "Consent", "status": status});
        consent.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        consent
    };
    let ended = json!({"provision": {"period": {"end": "2026-01-01"}}});
    let opted_out = json!({"policyRule": {"coding": [{"code": "OPTOUT"}]}});
    for (consents, said) in [
        (vec![], Consented::Absent),
        (vec![consent("active", json!({}))], Consented::Given),
        (vec![consent("draft", json!({})), consent("inactive", json!({}))], Consented::Absent),
        (vec![consent("active", ended)], Consented::Absent),
        (vec![consent("rejected", json!({}))], Consented::Refused),
        (vec![consent("active", json!({})), consent("active", opted_out)], Consented::Refused),
        (vec![consent("active", json!({"provision": {"type": "deny"}}))], Consented::Refused),
        // a provision within that narrows what goes back is no refusal
        (vec![consent("active", json!({"provision": {"provision": [{"type": "deny"}]}}))], Consented::Given),
    ] {
        let all: Vec<&Value> = consents.iter().collect();
        assert_eq!(person::consented(&all, "2026-11-26"), said, "{consents:?}");
    }
    let request = json!({"contained": [consent("active", json!({}))]});
    assert_eq!(facts_with(&request, &[]).consent, Consented::Given);
}

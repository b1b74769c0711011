use proptest::prelude::*;
use serde_json::json;

use super::{date::Span, *};

const BASE: &str = "https://onward.example/fhir";

fn read(of: &str, query: &str) -> Result<Search, Vec<Issue>> {
    let pairs: Vec<(String, String)> = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Search::read(of, &pairs, BASE, false)
}

fn request() -> Value {
    json!({
        "resourceType": "ServiceRequest", "id": "0190", "meta": {"lastUpdated": "2026-03-04T05:06:07.5Z"},
        "identifier": [{"system": "urn:epr", "value": "R-1"}],
        "status": "active", "intent": "order", "priority": "routine",
        "category": [{"coding": [{"system": "http://snomed.info/sct", "code": "3457005", "display": "Patient referral"}],
                      "text": "Social prescribing"}],
        "code": {"coding": [{"code": "local"}]},
        "subject": {"reference": "Patient/p1"},
        "requester": {"reference": "https://onward.example/fhir/Practitioner/d1"},
        "performer": [{"identifier": {"system": "urn:ods", "value": "X26"}}, {"reference": "https://other.example/fhir/Organization/o"}],
        "authoredOn": "2026-03-01",
        "occurrencePeriod": {"start": "2026-03-02"},
        "note": [{"text": "a note is no part of a summary"}],
    })
}

fn patient() -> Value {
    json!({"resourceType": "Patient", "id": "p1", "identifier": [{"system": "urn:nhs", "value": "9000000009"}],
           "name": [{"family": "Åström", "given": ["Zoë", "Ann"]}], "active": true, "birthDate": "1980-02"})
}

fn found(of: &str, query: &str, resource: &Value) -> bool {
    let person = patient();
    let search = read(of, query).unwrap_or_else(|issues| panic!("{query}: {issues:?}"));
    let find = |kind: &str, id: &str| (kind == "Patient" && id == "p1").then_some(&person);
    let now = "2026-03-11T00:00:00Z".parse().unwrap();
    search.matches(resource, &World { base: BASE, now, owner: None, find: &find })
}

#[test]
fn what_a_request_is_found_by() {
    let request = request();
    for hit in [
        "_id=0190",
        "_id=other,0190",
        "status=active",
        "status=http://hl7.org/fhir/request-status|active",
        "status:not=revoked",
        "status:not=revoked,draft",
        "identifier=R-1",
        "identifier=urn:epr|R-1",
        "identifier=urn:epr|",
        "code=local",
        "code=|local",
        "category=http://snomed.info/sct|3457005",
        "category:text=social",
        "category:text=PATIENT",
        "patient=p1",
        "patient=Patient/p1",
        "subject=Patient/p1",
        "subject:Patient=p1",
        "patient=https://onward.example/fhir/Patient/p1",
        "patient:identifier=urn:nhs|9000000009",
        "patient.identifier=9000000009",
        "subject:Patient.name=zoe",
        "patient.name=astr",
        "requester=Practitioner/d1",
        "requester=d1",
        "performer:identifier=urn:ods|X26",
        "performer:identifier=X26,other",
        "performer=https://other.example/fhir/Organization/o",
        "authored=2026",
        "authored=ge2026-03-01",
        "authored=2026-03-01",
        "authored=lt2026-03-01T12:00:00Z",
        "authored=ne2026-03-02",
        "authored=ap2026-03-01",
        "occurrence=gt2030",
        "occurrence=ge2026-03-02",
        "occurrence:missing=false",
        "encounter:missing=true",
        "_lastUpdated=2026-03-04T05:06:07Z",
        "_lastUpdated=sa2026-03-03",
        "_lastUpdated=eb2026-03-05",
        "status=active&intent=order",
    ] {
        assert!(found("ServiceRequest", hit, &request), "{hit}");
    }
    for miss in [
        "_id=other",
        "status=revoked",
        "status=urn:other|active",
        "status=|active",
        "status:not=active",
        "status:not=draft,active",
        "identifier=|R-1",
        "identifier=urn:other|R-1",
        "identifier=r-1",
        "category=|3457005",
        "category:text=prescribing",
        "patient=p2",
        "subject:Group=p1",
        "patient=https://other.example/fhir/Patient/p1",
        "patient:identifier=urn:nhs|1",
        "patient.identifier=urn:other|9000000009",
        "performer=Organization/o",
        "authored=2026-03-02",
        "authored=gt2026-03-01",
        "authored=lt2026-03-01",
        "authored=sa2026-03-01",
        "authored=2026-03-01T10:00:00Z",
        "occurrence=2026",
        "occurrence:missing=true",
        "_lastUpdated=2026-03-04T05:06:08Z",
        "_lastUpdated=gt2026-03-04",
        "status=active&intent=plan",
    ] {
        assert!(!found("ServiceRequest", miss, &request), "{miss}");
    }
}

#[test]
fn texts_dates_and_booleans_of_a_person() {
    for (query, expected) in [
        ("name=ann", true),
        ("name=ÅSTRÖM", true),
        ("name=strom", false),
        ("name:contains=STRO", true),
        ("family:exact=Åström", true),
        ("family:exact=Astrom", false),
        ("given=zoë,nobody", true),
        ("active=true", true),
        ("active=false", false),
        ("birthdate=1980", true),
        ("birthdate=1980-02", true),
        ("birthdate=1980-02-03", false),
        ("birthdate=ge1980-02-03", true),
        ("birthdate=le1980-01", false),
    ] {
        assert_eq!(found("Patient", query, &patient()), expected, "{query}");
    }
}

#[test]
fn a_person_is_found_however_the_referral_names_them() {
    let nhs = json!({"system": "urn:nhs", "value": "9000000009"});
    let contained = json!({"resourceType": "ServiceRequest", "subject": {"reference": "#p"},
        "contained": [{"resourceType": "Patient", "id": "p", "identifier": [nhs], "name": [{"family": "Molyneux"}]}]});
    let by_identifier = json!({"resourceType": "ServiceRequest", "subject": {"identifier": nhs}});
    for request in [&contained, &by_identifier, &request()] {
        for query in [
            "patient:identifier=urn:nhs|9000000009",
            "patient.identifier=9000000009",
            "subject:Patient.identifier=urn:nhs|",
        ] {
            assert!(found("ServiceRequest", query, request), "{query} {request}");
        }
        assert!(!found("ServiceRequest", "patient.identifier=urn:nhs|1", request));
    }
    assert!(found("ServiceRequest", "patient.family=mol", &contained));
    assert!(!found("ServiceRequest", "patient.family=mol", &by_identifier));
}

#[test]
fn a_task_is_its_providers_whoever_works_on_it() {
    let provider =
        json!({"resourceType": "Organization", "id": "mind", "identifier": [{"system": "urn:ods", "value": "X1"}]});
    let task = json!({"resourceType": "Task", "owner": {"display": "A link worker"}});
    let find = |kind: &str, id: &str| (kind == "Organization" && id == "mind").then_some(&provider);
    let world = World { base: BASE, now: jiff::Timestamp::UNIX_EPOCH, owner: Some("mind"), find: &find };
    for (query, expected) in [
        ("owner=Organization/mind", true),
        ("owner=mind", true),
        ("owner:identifier=urn:ods|X1", true),
        ("owner=Practitioner/mind", false),
        ("owner=Organization/other", false),
        ("owner:identifier=urn:ods|X2", false),
        ("requester=Organization/mind", false),
    ] {
        assert_eq!(read("Task", query).unwrap().matches(&task, &world), expected, "{query}");
    }
}

#[test]
fn a_comma_or_a_bar_in_a_value_is_escaped() {
    let resource =
        json!({"resourceType": "Patient", "id": "p", "identifier": [{"system": "urn:a|b", "value": "1,2\\3"}]});
    assert!(found("Patient", "identifier=urn:a\\|b|1\\,2\\\\3", &resource));
    assert!(!found("Patient", "identifier=urn:a\\|b|1,2", &resource));
}

#[test]
fn what_cannot_be_asked_is_refused_or_left_out_and_told() {
    // what is offered to be sorted by can be
    for of in ["HealthcareService", "Location", "Task"] {
        for wrong in ["near", "near-postcode", "_count", "_sort", "colour"] {
            let told = read(of, &format!("_sort={wrong}")).unwrap_err().remove(0).diagnostics;
            let names = told.split_once("; use ").unwrap().1.to_owned();
            for name in names.split(", ") {
                assert!(read(of, &format!("_sort=-{name}")).is_ok(), "{of}: {name}");
            }
        }
    }
    for (of, query, place) in [
        ("ServiceRequest", "colour=red", "http.colour"),
        ("ServiceRequest", "status:in=urn:x", "http.status:in"),
        ("ServiceRequest", "patient:Group=1", "http.patient:Group"),
        ("ServiceRequest", "subject.colour=red", "http.subject.colour"),
        ("ServiceRequest", "status.code=1", "http.status.code"),
        ("Task", "patient.organization.name=x", "http.patient.organization.name"),
        ("Task", "authored-on:not=2026", "http.authored-on:not"),
        ("Task", "_sort=colour", "http._sort"),
    ] {
        let issues = read(of, query).unwrap_err();
        assert_eq!(issues[0].expression, [place], "{query}");
        let (name, value) = query.split_once('=').unwrap();
        let left_out = Search::read(of, &[(name.into(), value.into())], BASE, true).unwrap();
        assert!(left_out.used.is_empty() && left_out.ignored.len() == 1, "{query}");
    }
    for (of, query) in [
        ("ServiceRequest", "authored=soon"),
        ("ServiceRequest", "authored=2026-02-30"),
        ("ServiceRequest", "status="),
        ("ServiceRequest", "status=Active"),
        ("ServiceRequest", "priority=routine,soon"),
        ("ServiceRequest", "_count=many"),
        ("ServiceRequest", "status:missing=perhaps"),
        ("ServiceRequest", "_include=Task:focus"),
        ("ServiceRequest", "_include=ServiceRequest:status"),
        ("ServiceRequest", "_summary=short"),
    ] {
        let (name, value) = query.split_once('=').unwrap();
        assert!(Search::read(of, &[(name.into(), value.into())], BASE, true).is_err(), "{query}");
    }
}

#[test]
fn candidates_are_found_by_what_is_asked() {
    let id = "0190f0f0-0000-7000-8000-000000000001";
    let uuid = id.parse().unwrap();
    for (of, query, leads) in [
        ("ServiceRequest", format!("status=active&_id={id}"), Leads::Ids(vec![id.into()])),
        ("ServiceRequest", "identifier=urn:a|1,2".into(), Leads::Named(vec!["1".into(), "2".into()])),
        ("ServiceRequest", "identifier=urn:a|".into(), Leads::Nothing),
        ("ServiceRequest", "patient:identifier=urn:a|1".into(), Leads::Named(vec!["1".into()])),
        ("ServiceRequest", "patient.identifier=1".into(), Leads::Named(vec!["1".into()])),
        ("ServiceRequest", format!("subject:Patient._id={id}"), Leads::Beside(vec![uuid])),
        ("ServiceRequest", "patient.name=ann".into(), Leads::Nothing),
        ("ServiceRequest", "status=active".into(), Leads::Nothing),
        ("ServiceRequest", "performer:identifier=X26".into(), Leads::Nothing),
        ("Task", format!("focus=ServiceRequest/{id}&owner=Organization/{id}"), Leads::Beside(vec![uuid])),
        ("Task", format!("owner=Organization/{id}"), Leads::Nothing),
        ("Task", format!("patient={id}"), Leads::Beside(vec![uuid])),
        ("Task", format!("identifier=urn:ietf:rfc:3986|urn:uuid:{id}"), Leads::Beside(vec![uuid])),
        ("Task", "patient=https://other.example/fhir/Patient/1".into(), Leads::Nothing),
        ("Consent", format!("patient=Patient/{id}"), Leads::Beside(vec![uuid])),
        ("Provenance", format!("target=Task/{id}"), Leads::Beside(vec![uuid])),
    ] {
        assert_eq!(read(of, &query).unwrap().leads(), leads, "{query}");
    }
    let worklist = read("Task", "status=requested,received&status=received,draft&_lastUpdated=ge2026-03-04").unwrap();
    assert_eq!(worklist.task_statuses().unwrap(), ["received".parse().unwrap()]);
    assert_eq!(worklist.updated_within(), (Some("2026-03-04T00:00:00Z".parse().unwrap()), None));
    assert!(read("Task", "status:not=requested").unwrap().task_statuses().is_none());
}

#[test]
fn so_much_is_given_as_is_asked() {
    let whole = request();
    let cut = |value: &str| Shape::of_summary(value).unwrap().cut(whole.clone());
    assert_eq!(cut("false"), whole);
    assert_eq!(cut("true")["meta"]["tag"][0]["code"], "SUBSETTED");
    assert!(cut("true").get("status").is_some() && cut("true").get("note").is_none());
    let named = Shape::of_elements("status,ServiceRequest.code,category.text").cut(whole.clone());
    let keys: Vec<&str> = named.as_object().unwrap().keys().map(String::as_str).collect();
    // intent and subject must be there
    assert_eq!(keys, ["resourceType", "id", "meta", "status", "intent", "category", "code", "subject"]);
}

#[test]
fn matches_stand_in_the_order_that_is_asked() {
    let search = read("Patient", "_sort=-birthdate,family").unwrap();
    let world = World { base: BASE, now: jiff::Timestamp::UNIX_EPOCH, owner: None, find: &|_, _| None };
    let key = |born: &str, family: &str| {
        search.keys(&json!({"resourceType": "Patient", "birthDate": born, "name": [{"family": family}]}), &world)
    };
    assert!(key("1980", "a")[0] > key("1979-12-31", "a")[0]);
    assert!(key("1980", "é")[1] < key("1980", "F")[1]);
    assert!(key("0001", "a")[0] < key("9999", "a")[0]);
    assert_eq!(search.keys(&json!({"resourceType": "Patient"}), &world), [None, None]);
}

proptest! {
    #[test]
    fn no_query_crashes_it(name in "[a-z_:.]{0,12}|_sort|authored|patient:identifier|_include", value in "\\PC{0,24}", lenient: bool) {
        if let Ok(search) = Search::read("ServiceRequest", &[(name, value)], BASE, lenient) {
            let world = World { base: BASE, now: jiff::Timestamp::UNIX_EPOCH, owner: None, find: &|_, _| None };
            let _ = (search.matches(&request(), &world), search.keys(&request(), &world), search.leads());
        }
    }

    #[test]
    fn a_span_holds_what_it_is_written_from(seconds in -62_135_596_800i64..253_402_207_200) {
        let at = jiff::Timestamp::from_second(seconds).unwrap();
        let text = at.to_string();
        for length in [4, 7, 10, text.len()] {
            let span = Span::of(&text[..length]).unwrap();
            prop_assert!(span.from <= at && at < span.to, "{}", &text[..length]);
        }
        let second = Span::of(&text).unwrap();
        prop_assert_eq!(second.from, at);
        prop_assert_eq!(second.to.duration_since(at).as_secs(), 1);
    }
}

#[test]
fn what_is_told_of_searches_is_what_they_take() {
    for control in CONTROLS {
        let samples = if control.values.is_empty() { &["10", "_id", "Task:focus"][..] } else { control.values };
        let taken = samples.iter().filter(|value| read("Task", &format!("{}={value}", control.name)).is_ok()).count();
        assert!(taken > 0 && (control.values.is_empty() || taken == samples.len()), "{}", control.name);
    }
    let all =
        ["missing", "exact", "contains", "not", "text", "identifier", "below", "above", "in", "not-in", "of-type"];
    for of in ["Task", "ServiceRequest", "Patient", "Questionnaire"] {
        for parameter in parameters(of) {
            let codes = codes(parameter);
            let value = codes.first().copied().unwrap_or("2026");
            for modifier in all {
                let value = if modifier == "missing" { "true" } else { value };
                let taken = read(of, &format!("{}:{modifier}={value}", parameter.name)).is_ok();
                let told = modifiers(parameter.kind).contains(&modifier);
                assert_eq!(taken, told, "{of} {}:{modifier}", parameter.name);
            }
            let chained = read(of, &format!("{}.identifier=a|b", parameter.name)).is_ok();
            assert_eq!(chained, leads_to_identifiers(parameter), "{of} {}.identifier", parameter.name);
            assert!(codes.is_empty() || read(of, &format!("{}=no-such-code", parameter.name)).is_err());
        }
    }
}

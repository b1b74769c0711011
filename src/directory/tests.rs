//! What may be written, whose it is, and what it may refer to.

use std::path::Path;

use serde_json::json;

use super::*;
use crate::{
    config::{Config, Env},
    domain::ProviderId,
    fhir::Issue,
};

const BASE: &str = "https://onward.example/fhir";
const REGISTRY: &str = r#"
[[provider]]
id = "garden"
name = "Garden"
ods-code = "A1234"
inbox = { kind = "worklist", closed = [{ from = "2026-12-24", to = "2026-12-26" }] }
[[provider]]
id = "sheds"
name = "Sheds"
ods-code = "A1235"
inbox = { kind = "worklist" }
[[inbox]]
id = "garden-courses"
provider = "garden"
service = "Courses"
kind = "worklist"
"#;

fn registry() -> Registry {
    Config::parse(REGISTRY, Path::new("onward.toml"), &Env::default()).unwrap().0.registry
}

fn now() -> jiff::Timestamp {
    "2026-11-26T12:00:00Z".parse().unwrap()
}

fn service(more: Value) -> Value {
    let mut body = json!({"resourceType": "HealthcareService", "active": true, "name": "Gardening",
        "type": [{"text": "Gardening"}], "providedBy": {"reference": "Organization/garden"}});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// Organisations of the directory by their ids.
fn organisations(of: &[(&'static str, Value)]) -> Vec<((EntryKind, Uuid), Value)> {
    of.iter().map(|(id, body)| ((EntryKind::Organization, id.parse().unwrap()), body.clone())).collect()
}

fn checked(
    kind: EntryKind,
    body: &Value,
    before: Option<&Value>,
    story_checked: bool,
    there: Vec<((EntryKind, Uuid), Value)>,
) -> Result<Checked, WriteError> {
    let registry = registry();
    let known = Known::beside(&registry, BASE, there);
    let before = before.map(|before| DirectoryEntry {
        kind,
        id: Uuid::nil(),
        version: 3,
        revision: 9,
        last_updated: now(),
        source: None,
        by: "anna".into(),
        body: before.to_string(),
    });
    let draft = Draft { kind, id: Uuid::nil(), before, body: body.clone(), story_checked, imported: false };
    check(draft, &known, &Validator::new([]).unwrap(), now())
}

fn wrong(kind: EntryKind, body: &Value) -> Vec<String> {
    let places = |issues: Vec<Issue>| issues.into_iter().flat_map(|issue| issue.expression).collect();
    match checked(kind, body, None, false, vec![]) {
        Ok(_) => vec![],
        Err(WriteError::Invalid(issues) | WriteError::Rule(issues)) => places(issues),
        Err(error) => panic!("{error}"),
    }
}

const A: &str = "01930000-0000-7000-8000-00000000000a";
const B: &str = "01930000-0000-7000-8000-00000000000b";

fn refers(to: &str) -> Value {
    json!({"reference": to})
}

#[test]
fn an_entry_is_what_its_profile_asks() {
    let extension = |name: &str, value: Value| {
        let mut extension = value;
        extension["url"] = format!("{BASE}/StructureDefinition/{name}").into();
        service(json!({"extension": [extension]}))
    };
    for right in [
        service(json!({})),
        extension("capacity", json!({"valueCode": "waitlist"})),
        extension("accepts-referrals", json!({"valueBoolean": true})),
        extension(
            "waiting-time",
            json!({"valueDuration": {"value": 3, "unit": "weeks", "system": "http://unitsofmeasure.org", "code": "wk"}}),
        ),
        extension(
            "cost",
            json!({"extension": [{"url": "amount", "valueMoney": {"value": 2.5, "currency": "GBP"}}, {"url": "option", "valueString": "a session"}]}),
        ),
        extension(
            "eligible-age",
            json!({"valueRange": {"low": {"value": 18, "unit": "years", "system": "http://unitsofmeasure.org", "code": "a"}}}),
        ),
        extension(
            "assured",
            json!({"extension": [{"url": "date", "valueDate": "2026-10-01"}, {"url": "by", "valueString": "Anna"}]}),
        ),
    ] {
        assert_eq!(wrong(EntryKind::HealthcareService, &right), [] as [&str; 0], "{right}");
    }
    let age = |low: i32, high: i32, code: &str| {
        let years =
            |value: i32| json!({"value": value, "unit": "years", "system": "http://unitsofmeasure.org", "code": code});
        extension("eligible-age", json!({"valueRange": {"low": years(low), "high": years(high)}}))
    };
    for fault in [
        service(json!({"name": null})),
        service(json!({"type": null})),
        extension("capacity", json!({"valueCode": "full"})),
        extension("capacity", json!({"valueString": "waitlist"})),
        extension(
            "waiting-time",
            json!({"valueDuration": {"value": -1, "unit": "weeks", "system": "http://unitsofmeasure.org", "code": "wk"}}),
        ),
        extension(
            "cost",
            json!({"extension": [{"url": "free", "valueBoolean": true}, {"url": "amount", "valueMoney": {"value": 2, "currency": "GBP"}}]}),
        ),
        extension("cost", json!({"extension": [{"url": "price", "valueString": "2"}]})),
        extension(
            "practice-story",
            json!({"extension": [{"url": "problem", "valueMarkdown": "x".repeat(4001)}, {"url": "done", "valueMarkdown": "y"}, {"url": "result", "valueMarkdown": "z"}]}),
        ),
        extension("practice-story", json!({"extension": [{"url": "problem", "valueMarkdown": "x"}]})),
        age(30, 20, "a"),
        age(1, 2, "mo"),
        json!({"resourceType": "Location"}),
    ] {
        let mut fault = fault;
        fault.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        assert_ne!(wrong(EntryKind::HealthcareService, &fault), [] as [&str; 0], "{fault}");
    }
    let location = |latitude: f64| json!({"resourceType": "Location", "status": "active", "name": "Hub", "position": {"latitude": latitude, "longitude": -2.9}});
    assert_eq!(wrong(EntryKind::Location, &location(53.4)), [] as [&str; 0]);
    assert_eq!(wrong(EntryKind::Location, &location(100.0)), ["Location.position"]);
    let endpoint = |address: &str| {
        json!({"resourceType": "Endpoint", "status": "active", "connectionType": {"code": "hl7-fhir-rest"},
            "payloadType": [{"text": "any"}], "managingOrganization": refers("Organization/garden"), "address": address})
    };
    assert_eq!(wrong(EntryKind::Endpoint, &endpoint("https://garden.example/fhir")), [] as [&str; 0]);
    assert_eq!(wrong(EntryKind::Endpoint, &endpoint("https://user:secret@garden.example/fhir")), ["Endpoint.address"]);
    assert_eq!(
        wrong(EntryKind::Organization, &json!({"resourceType": "Organization", "active": true})),
        ["Organization", "Organization.name"]
    );
}

#[test]
fn what_is_referred_to_is_there() {
    let with = |element: &str, to: &str| {
        let reference = if element == "providedBy" { refers(to) } else { json!([refers(to)]) };
        service(json!({element: reference}))
    };
    let own = format!("{BASE}/Endpoint/garden-courses");
    for (element, to) in [("providedBy", "Organization/sheds"), ("endpoint", "Endpoint/garden"), ("endpoint", &own)] {
        assert_eq!(wrong(EntryKind::HealthcareService, &with(element, to)), [] as [&str; 0], "{to}");
    }
    let nobodys = format!("Location/{A}");
    for (element, to, at) in [
        ("providedBy", "Organization/nobody", "HealthcareService.providedBy.reference"),
        ("endpoint", "Endpoint/nobody", "HealthcareService.endpoint[0].reference"),
        ("location", &*nobodys, "HealthcareService.location[0].reference"),
        ("location", "https://elsewhere.example/fhir/Location/1", "HealthcareService.location[0].reference"),
        ("location", "urn:uuid:01930000-0000-7000-8000-00000000000a", "HealthcareService.location[0].reference"),
        ("providedBy", "Organization/garden/_history/1", "HealthcareService.providedBy.reference"),
    ] {
        assert_eq!(wrong(EntryKind::HealthcareService, &with(element, to)), [at], "{to}");
    }
    let by_identifier = service(json!({"providedBy": {"identifier": {"system": "https://s.example", "value": "7"}}}));
    assert_eq!(wrong(EntryKind::HealthcareService, &by_identifier), [] as [&str; 0]);
    let there = organisations(&[(A, json!({"resourceType": "Organization"}))]);
    let of_directory = with("providedBy", &format!("Organization/{A}"));
    assert!(checked(EntryKind::HealthcareService, &of_directory, None, false, there).is_ok());
    let contains = service(json!({"contained": [{"resourceType": "Location", "id": "l"}], "location": [refers("#l")]}));
    assert!(wrong(EntryKind::HealthcareService, &contains).contains(&"HealthcareService.contained".to_owned()));
}

#[test]
fn whose_an_entry_is_is_found_by_its_organisations() {
    let owner = |body: &Value, there: Vec<((EntryKind, Uuid), Value)>| {
        checked(EntryKind::HealthcareService, body, None, false, there).unwrap().owner
    };
    let organisation = |part_of: &str| {
        if part_of.is_empty() {
            json!({"resourceType": "Organization"})
        } else {
            json!({"resourceType": "Organization", "partOf": refers(part_of)})
        }
    };
    let of = |id: &str| service(json!({"providedBy": refers(&format!("Organization/{id}"))}));
    let provider = |id: &str| Some(id.parse::<ProviderId>().unwrap());
    assert_eq!(owner(&of("garden"), vec![]), provider("garden"));
    let absolute = service(json!({"providedBy": refers(&format!("{BASE}/Organization/sheds"))}));
    assert_eq!(owner(&absolute, vec![]), provider("sheds"));
    assert_eq!(owner(&of(A), organisations(&[(A, organisation(""))])), None);
    assert_eq!(owner(&of(A), organisations(&[(A, organisation("Organization/garden"))])), provider("garden"));
    let round = [(A, organisation(&format!("Organization/{B}"))), (B, organisation(&format!("Organization/{A}")))];
    assert_eq!(owner(&of(A), organisations(&round)), None, "round and round");
    // five steps, and no sixth
    let ids: Vec<String> = (0..5).map(|n| format!("01930000-0000-7000-8000-0000000000c{n}")).collect();
    let chain = |steps: usize| {
        let ids = ids.clone();
        let next = move |n: usize| {
            if n + 1 == steps { "Organization/garden".to_owned() } else { format!("Organization/{}", ids[n + 1]) }
        };
        let all = (0..steps).map(|n| {
            (
                (EntryKind::Organization, Uuid::parse_str(&format!("01930000-0000-7000-8000-0000000000c{n}")).unwrap()),
                organisation(&next(n)),
            )
        });
        all.collect::<Vec<_>>()
    };
    assert_eq!(owner(&of(&ids[0]), chain(4)), provider("garden"));
    assert_eq!(owner(&of(&ids[0]), chain(5)), None);
}

#[test]
fn a_story_that_is_new_or_changed_needs_somebodys_word() {
    let told = |result: &str, name: &str| {
        let part = |url: &str, text: &str| json!({"url": url, "valueMarkdown": text});
        let story = json!({"url": entry::PRACTICE_STORY,
            "extension": [part("problem", "alone"), part("done", "dug"), part("result", result)]});
        service(json!({"name": name, "extension": [{"url": entry::ACCEPTS_REFERRALS, "valueBoolean": true}, story]}))
    };
    let write = |body: &Value, before: Option<&Value>, word: bool| match checked(
        EntryKind::HealthcareService,
        body,
        before,
        word,
        vec![],
    ) {
        Ok(_) => None,
        Err(WriteError::Rule(issues)) => Some(issues[0].expression.join("")),
        Err(error) => panic!("{error}"),
    };
    let first = told("well", "A");
    let at = Some("HealthcareService.extension[1]".to_owned());
    assert_eq!(write(&first, None, false), at);
    assert_eq!(write(&first, None, true), None);
    assert_eq!(write(&first, Some(&service(json!({}))), false), at, "it is new");
    assert_eq!(write(&told("well", "B"), Some(&first), false), None, "nothing of it changed");
    assert_eq!(write(&told("better", "A"), Some(&first), false), at, "a word of it changed");
    assert_eq!(write(&service(json!({})), Some(&first), false), None, "one that goes away needs nobody");
}

#[test]
fn what_is_kept_is_what_somebody_wrote() {
    let sent = service(
        json!({"id": "x", "meta": {"versionId": "7", "lastUpdated": "2026-01-01T00:00:00Z", "source": "https://s.example"},
        "identifier": [{"system": "https://s.example", "value": "other"}, {"use": "secondary", "system": "https://s.example", "value": "7"}],
        "extension": [{"url": entry::MEASURED, "valueString": "best of all"}]}),
    );
    let checked = checked(EntryKind::HealthcareService, &sent, Some(&service(json!({}))), false, vec![]).unwrap();
    assert_eq!(checked.body["meta"], json!({"source": "https://s.example"}));
    assert!(checked.body.get("id").is_none() && checked.body.get("extension").is_none());
    let write = checked.into_write("anna");
    assert_eq!((write.over, write.source), (3, Some(("https://s.example".into(), "7".into()))));
    let given = given(service(json!({})), "x", 4, now());
    assert_eq!((given["id"].as_str(), given["meta"]["versionId"].as_str()), (Some("x"), Some("4")));
}

#[test]
fn the_registry_makes_organisations_and_endpoints() {
    let (registry, validator) = (registry(), Validator::new([]).unwrap());
    let day = |text: &str| text.parse::<Date>().unwrap();
    for kind in [EntryKind::Organization, EntryKind::Endpoint] {
        let all = entry::all_of_registry(&registry, kind, BASE, day("2026-11-26"));
        assert_eq!(all.len(), if kind == EntryKind::Endpoint { 3 } else { 2 });
        for body in all {
            let asked =
                crate::profiles::Asked { profiles: &[entry::profile(kind)], ..crate::profiles::Asked::at(now()) };
            let faults: Vec<_> = validator
                .check(&body, "", &asked)
                .into_iter()
                .filter(|f| f.issue.severity <= crate::fhir::Severity::Error)
                .collect();
            assert!(faults.is_empty(), "{body}: {faults:?}");
        }
    }
    let status = |date: &str| entry::inbox_endpoint(&registry, "garden", BASE, day(date)).unwrap()["status"].clone();
    assert_eq!((status("2026-12-23"), status("2026-12-24")), ("active".into(), "suspended".into()));
    let behind = service(
        json!({"endpoint": [refers("Endpoint/garden-courses"), refers("Endpoint/nobody"), refers("Organization/garden")]}),
    );
    assert_eq!(entry::inboxes_of(&behind, &registry, BASE), ["garden-courses".parse().unwrap()]);
}

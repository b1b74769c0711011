//! What was published for Open Referral UK goes in and comes out again as it was.

use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::directory::{
    open_referral::{Entry, Records, listed},
    plan::{Beside, Import, Planned, Write},
};

pub(crate) const SOURCE: &str = "https://feed.example/oruk";

/// The published examples, where they are.
pub(crate) fn corpus(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/open-referral-uk").join(name);
    if !path.exists() {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

fn example(name: &str) -> Option<Value> {
    let text = std::fs::read(corpus("examples")?.join(name)).unwrap();
    Some(serde_json::from_slice(&text).unwrap())
}

/// What an empty directory makes of these documents.
pub(crate) fn planned(documents: &[(&str, Value)]) -> Planned {
    let mut feed = Feed::default();
    documents.iter().for_each(|(name, document)| feed.add(document.clone(), name));
    let (rows, told) = feed.into_rows();
    assert_eq!(told, [], "nothing is passed over");
    let mut next = 0_u128;
    let import =
        Import { source: SOURCE, rows, known: Vec::new(), beside: Beside::default(), whole: true, retire: false };
    import.plan(&mut || {
        next += 1;
        Uuid::from_u128(next)
    })
}

/// Entries as records again.
pub(crate) fn records(writes: &[Write]) -> Records {
    let ids: Vec<_> = writes.iter().map(|one| one.id.to_string()).collect();
    let entries = writes.iter().zip(&ids).map(|(one, id)| Entry {
        kind: one.kind,
        id,
        last_updated: Timestamp::UNIX_EPOCH,
        body: &one.body,
    });
    Records::of(&entries.collect::<Vec<_>>())
}

/// A document put in, and what comes out for the same id.
fn out(name: &str, document: &Value) -> Option<Value> {
    let records = records(&planned(&[(name, document.clone())]).created);
    let id = document["id"].as_str()?;
    if name.starts_with("service_at_location") {
        let (at, service) = records.at_locations().find(|(at, _)| *at == id)?;
        return records.at_location(service, at);
    }
    match name.split(['_', '.']).next()? {
        "service" => records.service(id),
        "organization" => records.organization(id),
        _ if name.starts_with("taxonomy_term") => records.terms().remove(id).map(Value::Object),
        _ => records.taxonomy(id),
    }
}

#[test]
fn the_published_examples_come_out_as_they_went_in() {
    for name in [
        "service_full.json",
        "organization_full.json",
        "service_at_location_full.json",
        "taxonomy.json",
        "taxonomy_term.json",
    ] {
        let Some(document) = example(name) else { return };
        assert_eq!(out(name, &document).as_ref(), Some(&document), "{name}");
    }
}

#[test]
fn the_published_lists_come_out_as_they_went_in() {
    for name in [
        "service_list.json",
        "organization_list.json",
        "service_at_location_list.json",
        "taxonomy_list.json",
        "taxonomy_term_list.json",
    ] {
        let Some(page) = example(name) else { return };
        for item in page["contents"].as_array().unwrap() {
            let told = planned(&[(name, page.clone())]).noted;
            assert!(told.len() <= 2, "{name}: {told:?}");
            let full = out(name, item).unwrap();
            assert_eq!(listed(&full), *item, "{name}");
        }
    }
}

#[test]
fn the_published_example_has_a_place_that_is_none_and_a_parent_that_nobody_knows() {
    let Some(document) = example("service_full.json") else { return };
    let planned = planned(&[("service_full.json", document)]);
    let told: Vec<_> = planned.noted.iter().map(|told| (told.what.as_str(), told.why.as_str())).collect();
    assert_eq!(
        told,
        [
            (
                "location",
                "latitude and longitude are no place on earth, or lie at 0, 0; they go out again and place nothing"
            ),
            (
                "organization",
                "its Organization cd09a387-91f4-4555-94ec-e799c35344cd is not in the directory; it is kept by its identifier alone"
            ),
        ]
    );
    let location = planned.created.iter().find(|one| one.kind == crate::domain::EntryKind::Location).unwrap();
    assert_eq!(location.body.get("position"), None);
}

#[test]
fn a_service_says_in_fhir_what_the_example_says() {
    let Some(document) = example("service_full.json") else { return };
    let planned = planned(&[("service_full.json", document)]);
    let service =
        &planned.created.iter().find(|one| one.kind == crate::domain::EntryKind::HealthcareService).unwrap().body;
    assert_eq!(service["active"], true);
    assert_eq!(service["name"], "Community Counselling");
    assert_eq!(service["providedBy"]["reference"], format!("Organization/{}", planned.created[0].id));
    assert_eq!(service["location"][0]["reference"], format!("Location/{}", planned.created[1].id));
    assert_eq!(service["type"][0]["coding"][0]["code"], "3f7b145d-84af-42d7-8fae-eaca714b02b2");
    let extension = |name: &str| {
        let url = format!("https://onward.example/fhir/StructureDefinition/{name}");
        service["extension"].as_array().unwrap().iter().find(|one| one["url"] == url).unwrap().clone()
    };
    let age = &extension("eligible-age")["valueRange"];
    assert_eq!((&age["low"]["value"], &age["high"]["value"]), (&json!(12), &json!(100)));
    assert_eq!(extension("assured")["extension"][0], json!({"url": "date", "valueDate": "2005-01-01"}));
    assert_eq!(extension("cost")["extension"][0], json!({"url": "description", "valueString": "fees_description"}));
    // it ended in 2005: no hours are promised
    assert_eq!(service.get("availableTime"), None);
    let words = service["availabilityExceptions"].as_str().unwrap();
    assert!(words.starts_with(
        "Every week, on Thursday, Friday, on day 2,3,4 of the month, 10:00 to 18:00, from 2005-01-01 until"
    ));
}

#[test]
fn everything_at_once_is_each_record_once() {
    let names = ["service_full.json", "organization_full.json", "service_at_location_full.json", "taxonomy.json"];
    let Some(documents) = names.iter().map(|name| Some((*name, example(name)?))).collect::<Option<Vec<_>>>() else {
        return;
    };
    let planned = planned(&documents);
    assert_eq!(planned.created.len(), 4);
    let records = records(&planned.created);
    let id = documents[0].1["id"].as_str().unwrap();
    assert_eq!(records.service(id).unwrap(), documents[0].1);
    assert_eq!(records.organization(documents[1].1["id"].as_str().unwrap()).unwrap(), documents[1].1);
}

#[test]
fn what_is_no_record_is_told_of_and_passed_over() {
    let mut feed = Feed::default();
    for document in
        [json!(3), json!({}), json!({"id": "x"}), json!({"services": [1]}), json!({"status": "active", "id": ""})]
    {
        feed.add(document, "file.json");
    }
    feed.add(
        json!({"id": "s", "location_id": "l", "location": {"id": "l", "name": "L"}, "schedules": [], "service": 1}),
        "sal",
    );
    let (rows, told) = feed.into_rows();
    assert_eq!(rows.len(), 1);
    let why: Vec<_> = told.iter().map(|told| told.why.as_str()).collect();
    assert_eq!(
        why,
        [
            "it is passed over: a record is a JSON object",
            "it is passed over: it has neither an id nor a table of records",
            "it is passed over: nothing says what it is a record of",
            "an item is passed over: a record is a JSON object",
            "it is passed over: it has no id",
            "it is passed over: it names no service",
        ]
    );
}

#[test]
fn a_record_that_is_told_twice_says_what_both_say() {
    let mut feed = Feed::default();
    feed.add(json!({"id": "1", "name": "A", "status": "active", "email": null}), "services");
    feed.add(json!({"id": "1", "name": "B", "status": "active", "email": "a@b.example"}), "services");
    let (rows, told) = feed.into_rows();
    assert_eq!(rows[0].fields["name"], "A");
    assert_eq!(rows[0].fields["email"], "a@b.example");
    assert!(told[0].why.contains("name"));
}

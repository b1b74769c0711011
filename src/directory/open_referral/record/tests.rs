//! What was changed here goes out as it was changed; everything else goes out as it came in.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::directory::open_referral::feed::tests::{planned, records};

const SERVICE: &str = "ac148810-d857-441c-9679-408f346de14b";

fn document() -> Value {
    let mut document = json!({
        "id": SERVICE, "name": "Counselling", "description": "Talking ", "status": "temporarily closed", "fees": "Ask us",
        "email": "a@b.example", "url": "https://b.example", "minimum_age": 12, "accreditations": "BACP", "alert": "Moved",
        "assured_date": "2026-01-02", "assurer_email": "c@b.example", "last_modified": "2026-01-02T10:00:00Z",
        "cost_options": [{"id": "0b000000-0000-4000-8000-000000000001", "amount": 3.50, "valid_to": "2027-01-01"}],
        "organization": {"id": "0b000000-0000-4000-8000-000000000002", "name": "Org", "description": "Who we are"},
        "attributes": [
            {"id": "0b000000-0000-4000-8000-000000000003", "link_type": "t", "taxonomy_term":
                {"id": "0b000000-0000-4000-8000-000000000004", "name": "Talking", "description": "d", "term_uri": "https://t.example"}},
            {"id": "0b000000-0000-4000-8000-000000000005", "link_type": "t"}],
        "service_at_locations": [
            {"id": "0b000000-0000-4000-8000-000000000006", "phones": [], "location":
                {"id": "0b000000-0000-4000-8000-000000000007", "location_type": "virtual", "name": "Online", "latitude": 53.40, "longitude": -2.9}},
            {"id": "0b000000-0000-4000-8000-000000000008", "location":
                {"id": "0b000000-0000-4000-8000-000000000009", "location_type": "physical", "name": "Hall"}}]
    });
    // decimals go out with the digits that they came in with
    document["cost_options"][0]["amount"] = serde_json::from_str("3.50").unwrap();
    document
}

/// What goes out after the service was changed in this way.
fn after(change: impl FnOnce(&mut Value)) -> Value {
    let mut writes = planned(&[("service", document())]).created;
    let service = writes.iter_mut().find(|one| one.body["resourceType"] == "HealthcareService").unwrap();
    change(&mut service.body);
    records(&writes).service(SERVICE).unwrap()
}

/// The document with what is different, once it was changed.
fn with(changes: Value) -> Value {
    let mut document = document();
    document["last_modified"] = "1970-01-01T00:00:00.000Z".into();
    for (key, value) in changes.as_object().unwrap() {
        if value.is_null() {
            document.as_object_mut().unwrap().shift_remove(key);
        } else {
            document[key] = value.clone();
        }
    }
    document
}

#[test]
fn what_nobody_changed_goes_out_as_it_came_in() {
    assert_eq!(after(|_| {}), document());
}

#[test]
fn what_was_changed_here_goes_out_as_it_is_now_and_nothing_else_does() {
    assert_eq!(after(|s| s["name"] = "Talking therapy".into()), with(json!({"name": "Talking therapy"})));
    assert_eq!(after(|s| s["active"] = true.into()), with(json!({"status": "active"})));
    let no_mail = after(|s| s["telecom"].as_array_mut().unwrap().retain(|one| one["system"] != "email"));
    assert_eq!(no_mail, with(json!({"email": null})));
    let other_alert = after(|s| s["extraDetails"] = "Alert: Back again\n\nAccreditations: BACP".into());
    assert_eq!(other_alert, with(json!({"alert": "Back again"})));
    let more = after(|s| s["extraDetails"] = "Alert: Moved\n\nAccreditations: BACP\n\nRing twice.".into());
    assert_eq!(more, with(json!({"description": "Talking\n\nRing twice."})));
}

#[test]
fn a_place_that_goes_takes_along_what_was_only_true_there_and_the_other_stays_as_it_was() {
    let one_place = after(|s| {
        s["location"].as_array_mut().unwrap().remove(1);
    });
    assert_eq!(one_place, with(json!({"service_at_locations": [document()["service_at_locations"][0]]})));
}

#[test]
fn a_type_that_comes_is_a_term_and_the_others_keep_what_fhir_does_not_carry() {
    let typed = after(|s| {
        let snomed = json!({"coding": [{"system": "http://snomed.info/sct", "code": "1", "display": "Befriending"}]});
        s["type"].as_array_mut().unwrap().push(snomed);
        s["type"][0]["text"] = "Talking to somebody".into();
    });
    let attributes = typed["attributes"].as_array().unwrap();
    assert_eq!(attributes.len(), 3);
    assert_eq!(attributes[0]["taxonomy_term"]["name"], "Talking to somebody");
    assert_eq!(attributes[0]["taxonomy_term"]["term_uri"], "https://t.example");
    assert_eq!(attributes[1], document()["attributes"][1]);
    assert_eq!(attributes[2]["taxonomy_term"]["name"], "Befriending");
}

/// Values of every kind for the fields of a record, right and wrong.
fn field() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => "[a-zA-Z0-9 ,.:;&@/é\n\u{0}-]{0,24}".prop_map(Value::from),
        1 => (-200..200_i32).prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => Just(json!({})),
        1 => Just(json!([])),
        1 => Just(json!("2026-02-28")),
        1 => Just(json!("WEEKLY")),
        1 => Just(json!("MO,TU")),
        1 => Just(json!("09:30")),
    ]
}

fn object(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let fields = proptest::collection::btree_map(proptest::sample::select(names), field(), 0..names.len());
    (fields, any::<u128>()).prop_map(|(fields, id)| {
        let mut object = json!({"id": uuid::Uuid::from_u128(id).to_string()});
        fields.into_iter().for_each(|(name, value)| object[name] = value);
        object
    })
}

fn list(item: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    proptest::collection::vec(item, 0..3).prop_map(Value::Array)
}

fn service() -> impl Strategy<Value = Value> {
    let attribute = (object(&["link_type"]), object(&["name", "description", "taxonomy", "taxonomy_id", "term_uri"]))
        .prop_map(|(mut attribute, term)| {
            attribute["taxonomy_term"] = term;
            attribute
        });
    let at = (
        object(&["service_id", "description"]),
        object(&["name", "latitude", "longitude", "location_type", "description"]),
    )
        .prop_map(|(mut at, location)| {
            at["location"] = location;
            // what is nested says more than its id, else it would be nothing but a reference
            at["location"]["location_type"] = "physical".into();
            at
        });
    let parts = (
        list(object(&["freq", "interval", "byday", "opens_at", "closes_at", "valid_to", "description", "notes"])),
        list(object(&["option", "amount", "amount_description", "valid_from", "currency"])),
        list(object(&["name", "code"])),
        list(object(&["name", "service_area", "extent"])),
        list(attribute),
        list(at),
        object(&["name", "description", "email", "website", "parent_organization_id"]),
    );
    let own = object(&[
        "name",
        "description",
        "url",
        "email",
        "fees",
        "accreditations",
        "minimum_age",
        "maximum_age",
        "assured_date",
        "assurer_email",
        "alert",
        "last_modified",
        "eligibility_description",
        "something_else",
    ]);
    (own, field(), parts).prop_map(|(mut service, status, parts)| {
        service["status"] = status;
        let (schedules, costs, languages, areas, attributes, places, mut organization) = parts;
        organization["name"] = "Org".into();
        let all = [
            ("schedules", schedules),
            ("cost_options", costs),
            ("languages", languages),
            ("service_areas", areas),
            ("attributes", attributes),
            ("service_at_locations", places),
            ("organization", organization),
        ];
        all.into_iter().for_each(|(name, value)| service[name] = value);
        service
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn whatever_comes_in_goes_out_again(service in service()) {
        let planned = planned(&[("service", service.clone())]);
        let id = service["id"].as_str().unwrap();
        let records = records(&planned.created);
        prop_assert_eq!(records.service(id).unwrap(), service);
    }
}

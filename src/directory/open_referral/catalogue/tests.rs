use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::directory::open_referral::feed::tests::planned;

fn id(n: u32) -> String {
    format!("0d5e0000-0000-4000-8000-{n:012}")
}

fn document(n: u32, name: &str, ages: (u8, u8), day: &str, hours: (&str, &str), at: (f64, f64)) -> Value {
    json!({
        "id": id(n), "name": name, "status": if n == 9 { "inactive" } else { "active" },
        "minimum_age": ages.0, "maximum_age": ages.1,
        "organization": {"id": id(100), "name": "Café Org", "description": "d"},
        "schedules": [{"id": id(n + 200), "freq": "WEEKLY", "byday": day, "opens_at": hours.0, "closes_at": hours.1}],
        "attributes": [{"id": id(n + 300), "taxonomy_term":
            {"id": id(n % 2 + 400), "name": "Term", "description": "d", "taxonomy": "T", "taxonomy_id": id(500)}}],
        "service_at_locations": [{"id": id(n + 600), "location":
            {"id": id(n + 700), "location_type": "physical", "name": name, "latitude": at.0, "longitude": at.1}}]
    })
}

fn catalogue() -> Catalogue {
    let documents = [
        document(1, "Garden", (18, 99), "MO,TU", ("09:00", "12:00"), (53.40, -2.90)),
        document(2, "Shed", (50, 99), "TU", ("13:00", "16:00"), (53.41, -2.90)),
        document(3, "Choir", (0, 17), "SA", ("10:00", "12:00"), (53.60, -2.90)),
        document(9, "Gone", (0, 99), "SA", ("10:00", "12:00"), (53.40, -2.90)),
    ];
    let named: Vec<_> = documents.into_iter().map(|document| ("services", document)).collect();
    let planned = planned(&named);
    let ids: Vec<_> = planned.created.iter().map(|one| one.id.to_string()).collect();
    let entries: Vec<_> = planned
        .created
        .iter()
        .zip(&ids)
        .map(|(one, id)| Entry { kind: one.kind, id, last_updated: Timestamp::UNIX_EPOCH, body: &one.body })
        .collect();
    Catalogue::of(&entries, &|_| None)
}

fn asked(list: List, query: &str) -> Result<Asked, String> {
    let pairs = query.split('&').filter(|part| !part.is_empty()).filter_map(|part| part.split_once('='));
    Asked::read(list, &pairs.map(|(a, b)| (a.to_owned(), b.to_owned())).collect::<Vec<_>>())
}

fn found(list: List, query: &str) -> Vec<String> {
    let from = Point::of_degrees(53.404, -2.90).filter(|_| query.contains("postcode"));
    let page = catalogue().list(list, &asked(list, query).unwrap(), from);
    let name =
        |one: &Value| one.get("name").or_else(|| one["service"].get("name")).unwrap().as_str().unwrap().to_owned();
    page["contents"].as_array().unwrap().iter().map(name).collect()
}

#[test]
fn each_parameter_finds_what_the_description_says() {
    let all = ["Garden", "Shed", "Choir"];
    let term = format!("taxonomy_term_id={}", id(401));
    let taxonomy = format!("taxonomy_id={}", id(500));
    for (query, names) in [
        ("", &all[..]),
        ("search=gard", &all[..1]),
        ("search=CAFE", &all[..]),
        ("search=shed nothing", &[]),
        (&term, &["Garden", "Choir"]),
        (&taxonomy, &all[..]),
        ("minimum_age=18", &all[..2]),
        ("maximum_age=17", &all[2..]),
        ("day=TU", &all[..2]),
        ("day=saturday", &all[2..]),
        ("start_time=12:30", &all[1..2]),
        ("end_time=12:00", &["Garden", "Choir"]),
        ("day=TU&end_time=12:00", &all[..1]),
    ] {
        assert_eq!(found(List::Services, query), names, "{query}");
        assert_eq!(found(List::AtLocations, query), names, "{query}");
    }
}

#[test]
fn what_is_near_a_postcode_is_the_nearest_first() {
    assert_eq!(found(List::AtLocations, "postcode=L8&proximity=700"), ["Garden", "Shed"]);
    assert_eq!(found(List::AtLocations, "postcode=L8&proximity=400"), [""; 0]);
    assert_eq!(found(List::AtLocations, "postcode=L8"), ["Garden", "Shed"]);
    assert_eq!(found(List::AtLocations, "postcode=L8&proximity=50000").len(), 3);
}

#[test]
fn pages_are_told_as_the_description_says() {
    let page = |query| {
        let mut page = catalogue().list(List::Services, &asked(List::Services, query).unwrap(), None);
        page["contents"] = page["contents"].as_array().unwrap().len().into();
        page
    };
    assert_eq!(
        page("per_page=2"),
        json!({"total_items": 3, "total_pages": 2, "page_number": 1, "size": 2, "first_page": true, "last_page": false,
            "empty": false, "contents": 2})
    );
    assert_eq!(
        page("per_page=2&page=2"),
        json!({"total_items": 3, "total_pages": 2, "page_number": 2, "size": 1, "first_page": false, "last_page": true,
            "empty": false, "contents": 1})
    );
    assert_eq!(page("page=9")["empty"], true);
}

#[test]
fn what_cannot_be_asked_says_what_can() {
    for (list, query, told) in [
        (List::Services, "postcode=L8", "does not understand postcode"),
        (List::Services, "page=0", "page is a number from 1"),
        (List::Services, "per_page=501", "from 1 to 500"),
        (List::Services, "minimum_age=old", "an age in years"),
        (List::Services, "start_time=9", "a time such as"),
        (List::Services, "day=today", "a day such as"),
        (List::AtLocations, "proximity=5", "needs a postcode"),
        (List::AtLocations, "postcode=L8&proximity=far", "a distance in metres"),
        (List::Taxonomies, "search=x", "it understands: page, per_page"),
    ] {
        let said = asked(list, query).unwrap_err();
        assert!(said.contains(told), "{query}: {said}");
    }
}

#[test]
fn only_what_is_active_is_there() {
    let catalogue = catalogue();
    assert_eq!(catalogue.one(List::Services, &id(9)), None);
    assert_eq!(catalogue.one(List::AtLocations, &id(609)), None);
    assert_eq!(catalogue.one(List::Services, &id(1)).unwrap()["organization"]["name"], "Café Org");
    assert_eq!(catalogue.one(List::AtLocations, &id(602)).unwrap()["service"]["name"], "Shed");
    assert_eq!(catalogue.one(List::Organizations, &id(100)).unwrap()["services"].as_array().unwrap().len(), 3);
    assert!(catalogue.one(List::Taxonomies, &id(500)).is_some() && catalogue.one(List::Terms, &id(401)).is_some());
    assert_eq!(catalogue.one(List::Terms, &id(499)), None);
}

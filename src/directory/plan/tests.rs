use super::*;
use crate::directory::open_referral::Feed;

const SOURCE: &str = "https://feed.example/oruk";

fn service(name: &str) -> Value {
    json!({
        "id": "s1", "name": name, "status": "active", "schedules": [{"id": "d1", "freq": "WEEKLY", "byday": "MO"}],
        "organization": {"id": "o1", "name": "Org", "description": "d", "parent_organization_id": "o9"},
        "service_at_locations": [
            {"id": "a1", "location": {"id": "l1", "name": "Hall", "location_type": "physical"}},
            {"id": "a2", "location": {"id": "l2", "name": "Park", "location_type": "physical"}}]
    })
}

fn import(documents: &[Value], known: Vec<Known>) -> Planned {
    import_with(documents, known, false)
}

fn import_with(documents: &[Value], known: Vec<Known>, retire: bool) -> Planned {
    let mut feed = Feed::default();
    documents.iter().for_each(|document| feed.add(document.clone(), "services"));
    let mut next = 100 * known.len() as u128;
    Import { source: SOURCE, rows: feed.into_rows().0, known, beside: Beside::default(), whole: true, retire }.plan(
        &mut || {
            next += 1;
            Uuid::from_u128(next)
        },
    )
}

/// What is known once this was written.
fn written(planned: &Planned, before: Vec<Known>) -> Vec<Known> {
    let mut known: BTreeMap<_, _> = before.into_iter().map(|entry| (entry.id, entry)).collect();
    for one in planned.writes().into_iter().cloned() {
        let Write { kind, id, over, name, body } = one;
        known.insert(id, Known { kind, id, version: over + 1, name, body });
    }
    known.into_values().collect()
}

fn names(writes: &[Write]) -> Vec<&str> {
    writes.iter().map(|one| one.name.as_str()).collect()
}

#[test]
fn the_same_again_changes_nothing_and_one_field_changes_one_entry() {
    let first = import(&[service("A")], Vec::new());
    assert_eq!(names(&first.created), ["o1", "l1", "l2", "s1"]);
    let known = written(&first, Vec::new());
    let again = import(&[service("A")], known.clone());
    assert_eq!((again.created.len(), again.updated.len(), again.unchanged), (0, 0, 4));
    let other = import(&[service("B")], known);
    assert_eq!((names(&other.updated), other.unchanged), (vec!["s1"], 3));
    assert_eq!((other.updated[0].over, &other.updated[0].body["name"]), (1, &json!("B")));
}

#[test]
fn what_is_written_refers_to_entries_and_comes_after_them() {
    let first = import(&[service("A")], Vec::new());
    let service = &first.created[3].body;
    assert_eq!(service["providedBy"], json!({"reference": format!("Organization/{}", first.created[0].id)}));
    assert_eq!(service["location"][1], json!({"reference": format!("Location/{}", first.created[2].id)}));
    let parent = json!({"id": "o9", "name": "Parent", "website": "https://p.example"});
    let both = import(&[json!({"organizations": [service_org(), parent]})], Vec::new());
    assert_eq!(both.writes().iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["o9", "o1"]);
}

fn service_org() -> Value {
    service("A")["organization"].clone()
}

#[test]
fn a_parent_that_comes_later_is_pointed_to_from_then_on() {
    let first = import(&[service("A")], Vec::new());
    assert_eq!(first.created[0].body["partOf"]["identifier"]["value"], "o9");
    let known = written(&first, Vec::new());
    let parent = json!({"id": "o9", "name": "Parent", "website": "https://p.example"});
    let then = import(&[service("A"), parent], known);
    assert_eq!((names(&then.created), names(&then.updated)), (vec!["o9"], vec!["o1"]));
    let reference = json!({"reference": format!("Organization/{}", then.created[0].id)});
    assert_eq!(then.updated[0].body["partOf"], reference);
}

#[test]
fn what_was_changed_here_stays_until_the_source_changes_it() {
    let mut known = written(&import(&[service("A")], Vec::new()), Vec::new());
    let entry = known.iter_mut().find(|entry| entry.name == "s1").unwrap();
    entry.body["comment"] = "Ring twice".into();
    entry.body["endpoint"] = json!([{"reference": "Endpoint/gardening"}]);
    let again = import(&[service("A")], known.clone());
    assert_eq!((again.updated.len(), again.unchanged), (0, 4));
    let renamed = import(&[service("B")], known.clone());
    let body = &renamed.updated[0].body;
    assert_eq!((&body["name"], &body["comment"]), (&json!("B"), &json!("Ring twice")));
    assert_eq!(body["endpoint"][0]["reference"], "Endpoint/gardening");
    let mut both = service("A");
    both["description"] = "Ring once".into();
    let both = import(&[both], known);
    assert_eq!(both.updated[0].body["comment"], "Ring once");
    assert!(both.noted.iter().any(|told| told.why.starts_with("comment was changed here and at the source")));
}

#[test]
fn the_page_of_a_list_takes_nothing_away() {
    let known = written(&import(&[service("A")], Vec::new()), Vec::new());
    let listed = json!({"total_pages": 1, "contents": [{"id": "s1", "name": "B", "status": "active"}]});
    let page = import(&[listed], known.clone());
    assert_eq!(names(&page.updated), ["s1"]);
    assert!(page.updated[0].body["availableTime"].is_array());
    let at = json!({"id": "a2", "service_id": "s1", "location_id": "l2", "description": "Behind the bowls"});
    let at = import(&[at], known);
    let row = open_referral::kept_row(EntryKind::HealthcareService, SOURCE, &at.updated[0].body).unwrap();
    assert_eq!(row.fields["service_at_locations"].as_array().unwrap().len(), 2);
}

#[test]
fn what_the_source_no_longer_tells_of_is_told_and_made_inactive_where_that_is_asked() {
    let known = written(&import(&[service("A")], Vec::new()), Vec::new());
    let without = json!({"organizations": [service_org()]});
    let told = import(std::slice::from_ref(&without), known.clone());
    assert_eq!(told.gone.iter().map(|told| told.id.as_str()).collect::<Vec<_>>(), ["s1", "l1", "l2"]);
    assert!(told.retired.is_empty());
    let retired = import_with(std::slice::from_ref(&without), known.clone(), true);
    assert_eq!(names(&retired.retired), ["s1", "l1", "l2"]);
    assert_eq!(retired.retired[1].body["status"], "inactive");
    assert_eq!(retired.retired[0].body["active"], false);
    let once = import_with(&[without], written(&retired, known.clone()), true);
    assert_eq!((once.gone.len(), once.retired.len()), (0, 0));
    // and what comes back is there again
    let back = import(&[service("A")], written(&retired, known));
    assert_eq!(back.updated.len(), 3, "{:?}", names(&back.updated));
}

#[test]
fn a_record_that_is_too_long_is_passed_over_and_told_of() {
    let mut long = service("A");
    long["alert"] = "x".repeat(70_000).into();
    let planned = import(&[long], Vec::new());
    assert_eq!(names(&planned.created), ["o1", "l1", "l2"]);
    assert_eq!((planned.skipped[0].id.as_str(), planned.skipped.len()), ("s1", 1));
    assert!(planned.skipped[0].why.contains("65536 bytes"));
}

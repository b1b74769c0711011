//! A record as it goes out: what it was when it came in, but for what was changed here since.

use serde_json::{Map, Value};

use super::{GONE, Names, OWN, Row, Table, kept, location, organization, service};
use crate::fhir::tree;

/// The record of an entry. `id` is what it is called in Open Referral, which may be another id than it came with.
pub(super) fn of(table: Table, body: &Value, id: &str, known: &dyn Fn(&str) -> Option<String>) -> Map<String, Value> {
    let source = tree::text(body, "meta.source").unwrap_or_default();
    let names = Names { source, known };
    let now = says(table, body, &names, id);
    let Some(mut before) = kept(body) else { return now };
    before.shift_remove(GONE);
    let came_as = before.get("id").and_then(Value::as_str).unwrap_or(id).to_owned();
    let row = Row { table, id: came_as, fields: before, partial: false };
    let then = says(table, &row.elements(source).0.into(), &names, id);
    let mut out = merged(row.fields, &now, &then);
    out.shift_remove(OWN);
    if out.get("id").and_then(Value::as_str) != Some(id) {
        out.insert("id".to_owned(), id.into());
    }
    follow(&mut out);
    out
}

/// Whether an entry says anything else than the record that it was made of.
pub(super) fn is_changed(table: Table, body: &Value, id: &str, known: &dyn Fn(&str) -> Option<String>) -> bool {
    let source = tree::text(body, "meta.source").unwrap_or_default();
    let names = Names { source, known };
    let Some(mut before) = kept(body) else { return true };
    before.shift_remove(GONE);
    let row = Row { table, id: id.to_owned(), fields: before, partial: false };
    says(table, body, &names, id) != says(table, &row.elements(source).0.into(), &names, id)
}

/// What a resource says, in Open Referral's fields.
fn says(table: Table, body: &Value, names: &Names<'_>, id: &str) -> Map<String, Value> {
    let mut row = Map::new();
    row.insert("id".to_owned(), id.into());
    match table {
        Table::Organization => organization::from_fhir(body, names, id, &mut row),
        Table::Location => location::from_fhir(body, names, id, &mut row),
        // what a taxonomy says is said in its record alone
        Table::Taxonomy => {}
        Table::Service => service::from_fhir(body, names, id, &mut row),
    }
    row
}

/// The record that came in, with each field that is said otherwise now than it would have been then.
fn merged(mut record: Map<String, Value>, now: &Map<String, Value>, then: &Map<String, Value>) -> Map<String, Value> {
    for key in now.keys().chain(then.keys().filter(|key| !now.contains_key(*key))) {
        let (new, old) = (now.get(key), then.get(key));
        if new == old || key == "id" {
            continue;
        }
        let in_record = record.get(key);
        let by: Option<fn(&Value) -> Option<&str>> = match key.as_str() {
            "service_at_locations" => Some(place_of),
            "attributes" => Some(term_of),
            _ => None,
        };
        let value = match (by, new) {
            (Some(by), _) => one_by_one(in_record, new, old, by),
            (None, new) => new.cloned(),
        };
        match value {
            Some(value) => {
                record.insert(key.clone(), value);
            }
            None => {
                record.shift_remove(key);
            }
        }
    }
    record
}

/// A list of which each item is about something of its own: those about what is still said stay as they came in, those about what
/// is no longer said go, and those about what is said anew come.
fn one_by_one(
    record: Option<&Value>,
    new: Option<&Value>,
    old: Option<&Value>,
    about: fn(&Value) -> Option<&str>,
) -> Option<Value> {
    let list = |of: Option<&Value>| of.and_then(Value::as_array).cloned().unwrap_or_default();
    let (new, old) = (list(new), list(old));
    let has = |items: &[Value], item: &Value| about(item).is_some_and(|id| items.iter().any(|i| about(i) == Some(id)));
    let same = |items: &[Value], item: &Value| items.iter().find(|i| about(i) == about(item)).cloned();
    let mut items = list(record);
    items.retain(|item| about(item).is_none() || !has(&old, item) || has(&new, item));
    for item in items.iter_mut().filter(|item| about(item).is_some()) {
        if let (Some(new), Some(old)) = (same(&new, item), same(&old, item)) {
            say_anew(item, &new, &old);
        }
    }
    let added: Vec<_> = new.into_iter().filter(|item| !has(&items, item)).collect();
    items.extend(added);
    (!items.is_empty()).then_some(Value::Array(items))
}

/// Takes over into a record what is said otherwise now than then.
fn say_anew(record: &mut Value, new: &Value, old: &Value) {
    let (Value::Object(record), Value::Object(new), Value::Object(old)) = (record, new, old) else { return };
    for (key, value) in new.iter().filter(|(key, value)| old.get(*key) != Some(value)) {
        match (record.get_mut(key), old.get(key)) {
            (Some(inner @ Value::Object(_)), Some(before)) if value.is_object() => say_anew(inner, value, before),
            _ => {
                record.insert(key.clone(), value.clone());
            }
        }
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        record.shift_remove(key);
    }
}

fn place_of(at: &Value) -> Option<&str> {
    service::location_of(at.as_object()?)
}

fn term_of(attribute: &Value) -> Option<&str> {
    attribute.get("taxonomy_term")?.get("id")?.as_str()
}

/// Where a record says the same thing by an id and by what it nests, the id follows.
fn follow(record: &mut Map<String, Value>) {
    let nested = |of: &Map<String, Value>, name: &str| of.get(name)?.get("id")?.as_str().map(str::to_owned);
    if let Some(id) = nested(record, "organization")
        && let Some(other) = record.get_mut("organization_id")
    {
        *other = id.into();
    }
}

#[cfg(test)]
mod tests;

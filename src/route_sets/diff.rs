//! What one route set says otherwise than another.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::routing::RouteSet;

/// What differs, in the order of the names: a route that came, went or says something else; triage; named sets; needs. Each is an object
/// with `change` (`added`, `removed`, `changed`), `route` and `key` as far as it is about one, `from` and `to`.
pub fn changes(before: &RouteSet, after: &RouteSet) -> Vec<Value> {
    let by_name = |set: &RouteSet| -> BTreeMap<String, Value> {
        set.routes().iter().map(|route| (route.name.clone(), flat(&json!(route)))).collect()
    };
    let (old, new) = (by_name(before), by_name(after));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut changes = Vec::new();
    for name in names {
        match (old.get(name), new.get(name)) {
            (None, Some(route)) => changes.push(json!({"route": name, "change": "added", "to": route})),
            (Some(route), None) => changes.push(json!({"route": name, "change": "removed", "from": route})),
            (Some(old), Some(new)) => {
                let keys: BTreeSet<&String> =
                    [old, new].iter().filter_map(|one| one.as_object()).flat_map(|o| o.keys()).collect();
                for key in keys {
                    let (from, to) = (&old[key], &new[key]);
                    if from != to {
                        changes.push(json!({"route": name, "change": "changed", "key": key, "from": from, "to": to}));
                    }
                }
            }
            (None, None) => {}
        }
    }
    if before.triage() != after.triage() {
        changes.push(json!({"change": "changed", "key": "triage", "from": before.triage(), "to": after.triage()}));
    }
    let (old, new) = (before.named_sets(), after.named_sets());
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names.into_iter().filter(|name| old.get(*name) != new.get(*name)) {
        let items = |set: &BTreeMap<String, Value>| -> Vec<Value> {
            set.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
        };
        let (was, is) = (items(&old), items(&new));
        let only =
            |of: &[Value], other: &[Value]| json!(of.iter().filter(|one| !other.contains(one)).collect::<Vec<_>>());
        changes.push(json!({"change": "changed", "key": name, "from": only(&was, &is), "to": only(&is, &was)}));
    }
    let needs =
        |set: &RouteSet| -> BTreeSet<String> { set.needs().iter().map(|need| json!(need).to_string()).collect() };
    let (old, new) = (needs(before), needs(after));
    let value = |text: &String| serde_json::from_str::<Value>(text).unwrap_or_default();
    changes.extend(new.difference(&old).map(|need| json!({"change": "added", "key": "needs", "to": value(need)})));
    changes.extend(old.difference(&new).map(|need| json!({"change": "removed", "key": "needs", "from": value(need)})));
    changes
}

/// A route with each of its conditions as a key of its own.
fn flat(route: &Value) -> Value {
    let mut flat = serde_json::Map::new();
    for (key, value) in route.as_object().into_iter().flatten() {
        match key.as_str() {
            "name" => {}
            "when" => {
                let conditions = value.as_array().into_iter().flatten().filter_map(Value::as_object).flatten();
                flat.extend(conditions.map(|(word, wanted)| (format!("when.{word}"), wanted.clone())));
            }
            _ => {
                flat.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(flat)
}

/// A change in a line.
pub fn line(change: &Value) -> String {
    let text = |key: &str| change[key].as_str().unwrap_or_default().to_owned();
    let what = match (text("route"), text("key")) {
        (route, key) if key.is_empty() => format!("route {route}"),
        (route, key) if route.is_empty() => key,
        (route, key) => format!("route {route}: {key}"),
    };
    match text("change").as_str() {
        "added" => format!("+ {what} {}", change["to"]),
        "removed" => format!("- {what} {}", change["from"]),
        _ => format!("~ {what}: {} → {}", change["from"], change["to"]),
    }
}

/// A change in a sentence.
pub fn sentence(change: &Value) -> String {
    let text = |key: &str| change[key].as_str().unwrap_or_default();
    let value = |key: &str| match text("key") {
        "share" => shared(&change[key]).to_owned(),
        _ => spoken(&change[key]),
    };
    let (from, to) = (value("from"), value("to"));
    let what = match (text("route"), text("key")) {
        (route, "") => format!("The route “{route}”"),
        ("", "needs") => "What receivers insist on".to_owned(),
        ("", "triage") => "Where what no route matches goes".to_owned(),
        ("", key) => format!("The {key}"),
        (route, "share") => format!("The route “{route}” shares a referral to several otherwise"),
        (route, key) => match key.strip_prefix("when.") {
            Some(condition) => format!("The route “{route}” asks for {condition} otherwise"),
            None => format!("The route “{route}” has another {key}"),
        },
    };
    match text("change") {
        "added" => format!("{what} is new: {to}."),
        "removed" => format!("{what} is gone: {from}."),
        _ => format!("{what}: {from} before, {to} now."),
    }
}

/// How a referral to several is shared among them, as people read it.
fn shared(value: &Value) -> &'static str {
    if value == "split" { "each gets an order of its own" } else { "each gets it whole" }
}

/// A value as people read it.
fn spoken(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_null) => "nothing".to_owned(),
        Value::Array(items) => items.iter().filter(|item| !item.is_null()).map(spoken).collect::<Vec<_>>().join(", "),
        Value::Object(all) => {
            // that each of several targets gets it whole is the usual
            let is_usual = |key: &str, value: &Value| key == "share" && value != "split";
            let told = all.iter().filter(|(key, value)| spoken(value) != "nothing" && !is_usual(key, value));
            let told = told.map(|(key, value)| match key.as_str() {
                "share" => shared(value).to_owned(),
                key => format!("{} {}", key.trim_start_matches("when."), spoken(value)),
            });
            told.collect::<Vec<_>>().join("; ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_in_a_sentence() {
        for (change, told) in [
            (
                json!({"route": "a", "change": "changed", "key": "to", "from": ["x"], "to": ["y", "z"]}),
                "The route “a” has another to: x before, y, z now.",
            ),
            (
                json!({"route": "a", "change": "changed", "key": "when.code", "from": null, "to": ["1"]}),
                "The route “a” asks for code otherwise: nothing before, 1 now.",
            ),
            (
                json!({"route": "a", "change": "added", "to": {"priority": 7, "to": ["x"], "fallback": [], "terms": [null, null], "share": "copy"}}),
                "The route “a” is new: priority 7; to x.",
            ),
            (
                json!({"route": "a", "change": "removed", "from": {"to": ["x", "y"], "share": "split"}}),
                "The route “a” is gone: to x, y; each gets an order of its own.",
            ),
            (
                json!({"route": "a", "change": "changed", "key": "share", "from": "copy", "to": "split"}),
                "The route “a” shares a referral to several otherwise: each gets it whole before, each gets an order of its own now.",
            ),
            (
                json!({"change": "changed", "key": "triage", "from": null, "to": "x"}),
                "Where what no route matches goes: nothing before, x now.",
            ),
        ] {
            assert_eq!(sentence(&change), told);
        }
    }
}

//! The values that stand in an element, and how they compare with what a profile fixes.

use serde_json::{Map, Value};

use crate::definitions::{self, Kind, Type};

/// One value of an element.
#[derive(Clone, Copy)]
pub(super) struct Item<'v> {
    /// None where there is only what is said about it.
    pub(super) value: Option<&'v Value>,
    /// What is said about it, where it is a primitive.
    pub(super) about: Option<&'v Value>,
    /// What it is called in JSON.
    pub(super) key: &'v str,
    pub(super) index: Option<usize>,
    pub(super) of: &'static Type,
    pub(super) code: &'static str,
}

/// What stands in an element, also in a choice.
pub(super) fn below<'v>(value: &'v Value, name: &str) -> Vec<&'v Value> {
    let Some(object) = value.as_object() else { return Vec::new() };
    let found = object.get(name).or_else(|| {
        let choice =
            |key: &&String| key.strip_prefix(name).is_some_and(|of| of.starts_with(|c: char| c.is_ascii_uppercase()));
        object.keys().find(choice).and_then(|key| object.get(key))
    });
    match found {
        Some(Value::Array(items)) => items.iter().collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    }
}

/// The values of the element that a profile calls `name`: by that name, as a choice, or by one type of a choice.
pub(super) fn items<'v>(of: &'static Type, object: &'v Map<String, Value>, name: &str) -> Vec<Item<'v>> {
    let mut found = Vec::new();
    for (key, value) in object {
        let (known, about) = match key.strip_prefix('_') {
            Some(known) => (known, true),
            None => (key.as_str(), false),
        };
        // what is said about a value counts where there is none
        if about && object.contains_key(known) {
            continue;
        }
        let Some((_, element, is)) = of.child(known) else { continue };
        if known != name && !(element.is_choice && element.name == name) {
            continue;
        }
        let said = match (about, is.of().kind) {
            (true, _) => Some(value),
            (false, Kind::Primitive(_)) => object.get(&format!("_{known}")),
            _ => None,
        };
        let item = |value, about, index| Item { value, about, key: known, index, of: is.of(), code: is.code };
        let nth = |n: usize| said.and_then(|said| said.get(n)).filter(|about| !about.is_null());
        match value {
            Value::Array(items) if !about => {
                let one = |(n, one): (usize, &'v Value)| item((!one.is_null()).then_some(one), nth(n), Some(n));
                found.extend(items.iter().enumerate().map(one));
            }
            Value::Array(items) => found.extend((0..items.len()).map(|n| item(None, nth(n), Some(n)))),
            one => found.push(item((!about).then_some(one), said, None)),
        }
    }
    found
}

pub(super) fn resource_type(object: &Map<String, Value>) -> Option<&'static Type> {
    object.get("resourceType").and_then(Value::as_str).and_then(definitions::type_named)
}

/// Whether two values are the same, whatever the order of their keys.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (a, b) => a == b,
    }
}

/// Whether a value has everything that a pattern has (profiling.html#pattern).
pub(super) fn has(pattern: &Value, value: &Value) -> bool {
    match (pattern, value) {
        (Value::Object(pattern), Value::Object(value)) => {
            pattern.iter().all(|(key, asked)| value.get(key).is_some_and(|there| has(asked, there)))
        }
        (Value::Array(pattern), Value::Array(items)) => {
            pattern.iter().all(|asked| items.iter().any(|item| has(asked, item)))
        }
        (pattern, value) => pattern == value,
    }
}

/// Whether a code, Coding, CodeableConcept or Quantity has a fitting code; none where it has no code at all.
pub(super) fn coded(value: &Value, fits: &dyn Fn(Option<&str>, &str) -> bool) -> Option<bool> {
    match value {
        Value::String(code) => Some(fits(None, code)),
        Value::Object(object) => match object.get("coding").and_then(Value::as_array) {
            Some(codings) => {
                let all: Vec<bool> = codings.iter().filter_map(|coding| coded(coding, fits)).collect();
                (!all.is_empty()).then(|| all.contains(&true))
            }
            None => {
                let code = object.get("code")?.as_str()?;
                Some(fits(Some(object.get("system").and_then(Value::as_str).unwrap_or_default()), code))
            }
        },
        _ => None,
    }
}

/// What a profile fixes, short enough to be read: it is the profile's text, and nobody's data.
pub(super) fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => format!("“{text}”"),
        other => other.to_string(),
    };
    if text.chars().count() <= 300 { text } else { text.chars().take(300).chain(['…']).collect() }
}

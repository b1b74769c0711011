//! Small pieces of FHIR that an import makes and an export reads again. What R4 would not allow is not made.

use serde_json::{Map, Number, Value, json};
use uuid::Uuid;

use crate::{definitions::Primitive, fhir::primitive};

/// Where the extensions of the directory are defined, in `profiles/`.
pub(super) const EXTENSIONS: &str = "https://onward.example/fhir/StructureDefinition/";
/// Kinds of connection that HL7 has no code for.
pub(super) const CONNECTIONS: &str = "https://onward.example/fhir/CodeSystem/connection-type";
/// FHIR's own system of units.
const UCUM: &str = "http://unitsofmeasure.org";
/// The longest text that an import puts into an element, in bytes: a field of a directory is a paragraph or a page.
const TEXT_MAX_BYTES: usize = 20_000;

/// The text of a field without white space around it, where it is one that R4's `string` can hold.
pub(super) fn text<'a>(fields: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    let text = fields.get(key)?.as_str()?.trim();
    (text.len() <= TEXT_MAX_BYTES && primitive::text_fault(Primitive::String, text).is_none()).then_some(text)
}

/// The same, where it is a day that exists.
pub(super) fn date<'a>(fields: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    text(fields, key).filter(|text| primitive::text_fault(Primitive::Date, text).is_none())
}

/// A number, as it was written.
pub(super) fn number<'a>(fields: &'a Map<String, Value>, key: &str) -> Option<&'a Number> {
    match fields.get(key)? {
        Value::Number(number) => Some(number),
        _ => None,
    }
}

/// The objects in the list `key`.
pub(super) fn objects<'a>(fields: &'a Map<String, Value>, key: &str) -> impl Iterator<Item = &'a Map<String, Value>> {
    fields.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice).iter().filter_map(Value::as_object)
}

/// Sets an element; an empty list is none.
pub(super) fn set(to: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    let value = value.into();
    let empty = match &value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(object) => object.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    if !empty {
        to.insert(key.to_owned(), value);
    }
}

/// Sets a text where there is one.
pub(super) fn set_text(to: &mut Map<String, Value>, key: &str, text: Option<&str>) {
    if let Some(text) = text {
        set(to, key, text);
    }
}

/// An extension of ours with a value.
pub(super) fn extension(name: &str, kind: &str, value: impl Into<Value>) -> Value {
    let value: Value = value.into();
    json!({"url": format!("{EXTENSIONS}{name}"), kind: value})
}

/// A part of an extension of ours.
pub(super) fn part(name: &str, kind: &str, value: impl Into<Value>) -> Value {
    let value: Value = value.into();
    json!({"url": name, kind: value})
}

/// An extension of ours that has parts; none without any.
pub(super) fn extension_of(name: &str, parts: Vec<Value>) -> Option<Value> {
    (!parts.is_empty()).then(|| json!({"url": format!("{EXTENSIONS}{name}"), "extension": parts}))
}

/// The extensions of ours of this name.
pub(super) fn extensions<'a>(of: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    extensions_by(of, format!("{EXTENSIONS}{name}"))
}

/// The extensions with this URL.
pub(super) fn extensions_by(of: &Value, url: String) -> impl Iterator<Item = &Value> {
    let all = of.get("extension").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    all.iter().filter(move |one| one.get("url").and_then(Value::as_str) == Some(&url))
}

/// The part of an extension with this name.
pub(super) fn part_of<'a>(extension: &'a Value, name: &str, kind: &str) -> Option<&'a Value> {
    let parts = extension.get("extension")?.as_array()?;
    parts.iter().find(|part| part.get("url").and_then(Value::as_str) == Some(name))?.get(kind)
}

/// A way to reach somebody (R4 `ContactPoint`).
pub(super) fn contact_point(system: &str, value: &str) -> Value {
    json!({"system": system, "value": value})
}

/// The values of all contact points of this system, in their order.
pub(super) fn contact_points<'a>(of: &'a Value, system: &'static str) -> impl Iterator<Item = &'a str> {
    let all = of.get("telecom").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let reached = all.iter().filter(move |one| one.get("system").and_then(Value::as_str) == Some(system));
    reached.filter_map(|one| one.get("value")?.as_str())
}

/// An age in years (UCUM `a`).
pub(super) fn years(age: &Number) -> Value {
    json!({"value": Value::Number(age.clone()), "unit": "years", "system": UCUM, "code": "a"})
}

/// An id for something that has none of its own: always the same for the same names, and no other's.
pub(super) fn made_id(names: &[&str]) -> Uuid {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for name in names {
        // each with its length, so that no two lists of names look the same
        context.update(&(name.len() as u64).to_be_bytes());
        context.update(name.as_bytes());
    }
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_r4_allows_becomes_an_element() {
        let fields =
            json!({"a": " text ", "b": "\u{0}", "c": "", "d": 1, "e": "2026-02-30", "f": "2026-02-28", "g": null});
        let fields = fields.as_object().unwrap();
        assert_eq!(text(fields, "a"), Some("text"));
        for without in ["b", "c", "d", "g", "nothing"] {
            assert_eq!(text(fields, without), None, "{without}");
        }
        assert_eq!(date(fields, "e"), None);
        assert_eq!(date(fields, "f"), Some("2026-02-28"));
        let mut made = Map::new();
        set(&mut made, "empty", Value::Array(Vec::new()));
        set_text(&mut made, "none", None);
        set(&mut made, "no", false);
        assert_eq!(Value::Object(made), json!({"no": false}));
    }

    #[test]
    fn an_id_that_is_made_is_the_same_each_time_and_nobody_elses() {
        assert_eq!(made_id(&["a", "b"]), made_id(&["a", "b"]));
        assert_ne!(made_id(&["a", "b"]), made_id(&["ab", ""]));
        assert_eq!(made_id(&["a"]).get_version_num(), 8);
    }
}

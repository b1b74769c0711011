//! Small looks into a resource: texts, lists, identifiers, codings and references. Nothing here checks anything;
//! what has another shape than asked for counts as absent.

use serde_json::{Map, Value};

use crate::fhir::{
    path::{self, Place},
    reference::{self, Target},
};

/// The `resourceType`, where there is one.
pub fn resource_type(resource: &Value) -> Option<&str> {
    resource.get("resourceType")?.as_str()
}

/// The string at a dotted path; of an array on the way the first item is taken.
pub fn text<'a>(from: &'a Value, path: &str) -> Option<&'a str> {
    let first = |value: &'a Value| match value {
        Value::Array(items) => items.first(),
        other => Some(other),
    };
    let mut here = first(from)?;
    for name in path.split('.') {
        here = first(here.get(name)?)?;
    }
    here.as_str()
}

/// The items of the array `name`; none where it is absent. A single object is not an array.
pub fn items<'a>(from: &'a Value, name: &str) -> &'a [Value] {
    from.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Each identifier that has a value, as (system, value, the Identifier), of a resource or of a Reference: `identifier`
/// is a list on most resources, and one object on a Reference, a QuestionnaireResponse and some others.
pub fn identifiers(holder: &Value) -> impl Iterator<Item = (Option<&str>, &str, &Value)> {
    let held = holder.get("identifier");
    let list = held.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let single = held.filter(|identifier| identifier.is_object());
    list.iter().chain(single).filter_map(|identifier| {
        let system = identifier.get("system").and_then(Value::as_str);
        Some((system, identifier.get("value")?.as_str()?, identifier))
    })
}

/// Each coding that has a code, as (system, code, the Coding), of a CodeableConcept.
pub fn codings(concept: &Value) -> impl Iterator<Item = (Option<&str>, &str, &Value)> {
    items(concept, "coding").iter().filter_map(|coding| {
        let system = coding.get("system").and_then(Value::as_str);
        Some((system, coding.get("code")?.as_str()?, coding))
    })
}

/// Shows every Reference in a resource, with its path (`Bundle.entry[0].resource.requester`): extensions, contained
/// resources and Bundle entries included. An object is one when it has a string `reference`, or an `identifier` and nothing that
/// a Reference has not.
pub(crate) fn each_reference(resource: &Value, see: &mut dyn FnMut(Place<'_>, &Map<String, Value>)) {
    let root = resource_type(resource).and_then(path::root_name).unwrap_or(path::UNKNOWN_ROOT);
    walk_references(resource, Place::Root(root), see);
}

/// Rewrites what points at other resources: the string of every Reference, and the `url` of an Attachment where it is a
/// `urn:`, relative, or names a Binary. `to` gives the new spelling, or none to leave it. Extension urls, canonicals,
/// identifiers and narrative stay as they are.
pub fn map_references(resource: &mut Value, to: &mut dyn FnMut(&str) -> Option<String>) {
    map_below(resource, false, to);
}

/// Shows what points at other resources: every string that [`map_references`] would ask about.
pub fn each_pointer(resource: &Value, see: &mut dyn FnMut(&str)) {
    show_below(resource, false, see);
}

fn show_below(value: &Value, is_extension: bool, see: &mut dyn FnMut(&str)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| show_below(item, is_extension, see)),
        Value::Object(object) => {
            let literal = pointing_key(object, is_extension).and_then(|key| object.get(key)).and_then(Value::as_str);
            literal.into_iter().for_each(&mut *see);
            for (name, value) in object {
                show_below(value, holds_extensions(name), see);
            }
        }
        _ => {}
    }
}

fn walk_references(value: &Value, place: Place<'_>, see: &mut dyn FnMut(Place<'_>, &Map<String, Value>)) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk_references(item, place.item(index), see);
            }
        }
        Value::Object(object) => {
            if is_reference(object) {
                see(place, object);
            }
            for (name, value) in object.iter().filter(|(_, value)| value.is_array() || value.is_object()) {
                walk_references(value, place.child(name), see);
            }
        }
        _ => {}
    }
}

pub(crate) fn is_reference(object: &Map<String, Value>) -> bool {
    const OF_A_REFERENCE: [&str; 6] = ["id", "extension", "reference", "type", "identifier", "display"];
    match object.get("reference") {
        Some(reference) => reference.is_string(),
        None => {
            object.get("identifier").is_some_and(Value::is_object)
                && object.keys().all(|key| OF_A_REFERENCE.contains(&key.strip_prefix('_').unwrap_or(key)))
        }
    }
}

/// What an Attachment may have: a `Bundle.link` or a request has a `url` as well, and other elements beside it.
const OF_AN_ATTACHMENT: [&str; 10] =
    ["id", "extension", "contentType", "language", "data", "url", "size", "hash", "title", "creation"];

/// The key of `object` under which it points at another resource, if it does.
pub(crate) fn pointing_key(object: &Map<String, Value>, is_extension: bool) -> Option<&'static str> {
    if object.get("reference").is_some_and(Value::is_string) {
        return Some("reference");
    }
    if is_extension || !object.keys().all(|key| OF_AN_ATTACHMENT.contains(&key.strip_prefix('_').unwrap_or(key))) {
        return None;
    }
    let points = match reference::parse(object.get("url")?.as_str()?) {
        Target::Urn(_) | Target::Relative { .. } => true,
        Target::Absolute { kind, .. } => kind == "Binary",
        Target::Contained(_) | Target::Other(_) => false,
    };
    points.then_some("url")
}

pub(crate) fn holds_extensions(key: &str) -> bool {
    matches!(key, "extension" | "modifierExtension")
}

fn map_below(value: &mut Value, is_extension: bool, to: &mut dyn FnMut(&str) -> Option<String>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| map_below(item, is_extension, to)),
        Value::Object(object) => {
            if let Some(key) = pointing_key(object, is_extension)
                && let Some(Value::String(literal)) = object.get_mut(key)
                && let Some(new) = to(literal)
            {
                *literal = new;
            }
            for (name, value) in object.iter_mut() {
                map_below(value, holds_extensions(name), to);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn referral() -> Value {
        json!({ "resourceType": "Bundle", "entry": [
            { "fullUrl": "urn:uuid:a", "resource": { "resourceType": "ServiceRequest",
                "subject": { "reference": "urn:uuid:b" },
                "requester": { "identifier": { "system": "s", "value": "RW4" }, "display": "Trust" },
                "extension": [{ "url": "Patient/1", "valueReference": { "reference": "urn:uuid:b" } }],
                "contained": [{ "resourceType": "Condition", "subject": { "reference": "urn:uuid:b" } }],
                "identifier": [{ "system": "urn:ietf:rfc:3986", "value": "urn:uuid:b" }] } },
            { "request": { "method": "PUT", "url": "Patient/1" }, "resource": { "resourceType": "DocumentReference", "content": [
                { "attachment": { "url": "urn:uuid:b", "contentType": "text/plain" } },
                { "attachment": { "url": "https://example.org/a.pdf" } }] } }] })
    }

    #[test]
    fn looks_find_what_is_there_and_nothing_else() {
        let bundle = referral();
        assert_eq!(resource_type(&bundle), Some("Bundle"));
        assert_eq!(text(&bundle, "entry.resource.subject.reference"), Some("urn:uuid:b"));
        assert_eq!(text(&bundle, "entry.resource.nothing"), None);
        assert_eq!(items(&bundle, "entry").len(), 2);
        assert!(items(&bundle["entry"][0], "resource").is_empty());
        let requester = &bundle["entry"][0]["resource"]["requester"];
        assert_eq!(identifiers(requester).map(|(s, v, _)| (s, v)).collect::<Vec<_>>(), [(Some("s"), "RW4")]);
        let concept = json!({ "coding": [{ "system": "x", "code": "1" }, { "display": "no code" }, { "code": "2" }] });
        assert_eq!(codings(&concept).map(|(s, c, _)| (s, c)).collect::<Vec<_>>(), [(Some("x"), "1"), (None, "2")]);
    }

    #[test]
    fn every_reference_is_shown_with_its_path() {
        let mut seen = Vec::new();
        each_reference(&referral(), &mut |place, _| seen.push(place.to_string()));
        let resource = "Bundle.entry[0].resource";
        let at = ["subject", "requester", "extension[0].valueReference", "contained[0].subject"];
        assert_eq!(seen, at.map(|name| format!("{resource}.{name}")));
    }

    #[test]
    fn what_is_shown_is_what_is_asked_about() {
        let (mut shown, mut asked) = (Vec::new(), Vec::new());
        each_pointer(&referral(), &mut |literal| shown.push(literal.to_owned()));
        map_references(&mut referral(), &mut |literal| {
            asked.push(literal.to_owned());
            None
        });
        assert_eq!(shown, asked);
        assert_eq!(shown.len(), 4);
    }

    #[test]
    fn only_what_points_is_rewritten() {
        let mut bundle = referral();
        map_references(&mut bundle, &mut |literal| {
            ["urn:uuid:b", "Patient/1"].contains(&literal).then(|| "Patient/9".into())
        });
        let request = &bundle["entry"][0]["resource"];
        assert_eq!(request["subject"]["reference"], "Patient/9");
        assert_eq!(request["extension"][0]["valueReference"]["reference"], "Patient/9");
        assert_eq!(request["contained"][0]["subject"]["reference"], "Patient/9");
        assert_eq!(request["identifier"][0]["value"], "urn:uuid:b");
        assert_eq!(request["extension"][0]["url"], "Patient/1");
        assert_eq!(bundle["entry"][0]["fullUrl"], "urn:uuid:a");
        assert_eq!(bundle["entry"][1]["request"]["url"], "Patient/1");
        assert_eq!(bundle["entry"][1]["resource"]["content"][0]["attachment"]["url"], "Patient/9");
        assert_eq!(bundle["entry"][1]["resource"]["content"][1]["attachment"]["url"], "https://example.org/a.pdf");
    }
}

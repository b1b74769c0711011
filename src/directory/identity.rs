//! By what an entry that was imported is known again, and how entries that are imported together refer to each other before they
//! have ids: by a search for that identifier (R4 http.html, “Conditional References” of a transaction).

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::{domain::EntryKind, fhir::tree};

/// What stands for something else in a query, or in no URL at all.
const ESCAPED: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'&').add(b'+').add(b'<').add(b'>').add(b'|');

/// The identifier of an entry at its source.
pub(super) fn identifier(source: &str, id: &str) -> Value {
    json!({"use": "secondary", "system": source, "value": id})
}

/// What an entry is called at this source.
pub(super) fn id_at<'a>(source: &str, body: &'a Value) -> Option<&'a str> {
    tree::identifiers(body).find(|(system, ..)| *system == Some(source)).map(|(_, value, _)| value)
}

/// A reference to whatever entry has this identifier.
pub(super) fn reference(kind: EntryKind, source: &str, id: &str) -> Value {
    let (source, id) = (utf8_percent_encode(source, ESCAPED), utf8_percent_encode(id, ESCAPED));
    json!({"reference": format!("{kind}?identifier={source}|{id}")})
}

/// The kind, source and id that such a reference names.
pub(super) fn named(literal: &str) -> Option<(EntryKind, String, String)> {
    let (kind, token) = literal.split_once("?identifier=")?;
    let (source, id) = token.split_once('|')?;
    let plain = |text| percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned);
    Some((kind.parse().ok()?, plain(source)?, plain(id)?))
}

/// Gives every such reference in a resource what it stands for: the entry by its logical id where it is known, and otherwise the
/// identifier alone, which says as much and points at nothing (R4 references.html, “Logical references”). One that
/// stands by its identifier already is looked up again.
pub(super) fn resolve(resource: &mut Value, known: &dyn Fn(EntryKind, &str, &str) -> Option<String>) {
    match resource {
        Value::Array(items) => items.iter_mut().for_each(|item| resolve(item, known)),
        Value::Object(object) => {
            resolve_one(object, known);
            object.values_mut().for_each(|value| resolve(value, known));
        }
        _ => {}
    }
}

fn resolve_one(object: &mut Map<String, Value>, known: &dyn Fn(EntryKind, &str, &str) -> Option<String>) {
    let literal = object.get("reference").and_then(Value::as_str);
    let (kind, source, id) = match literal {
        Some(literal) => match named(literal) {
            Some(named) => named,
            None => return,
        },
        None => {
            let kind = object.get("type").and_then(Value::as_str).and_then(|kind| kind.parse().ok());
            let of = |name| object.get("identifier")?.get(name)?.as_str().map(str::to_owned);
            match (kind, of("system"), of("value")) {
                (Some(kind), Some(source), Some(id)) => (kind, source, id),
                _ => return,
            }
        }
    };
    match known(kind, &source, &id) {
        Some(found) => {
            object.insert("reference".to_owned(), format!("{kind}/{found}").into());
            object.shift_remove("type");
            object.shift_remove("identifier");
        }
        None => {
            object.shift_remove("reference");
            object.insert("type".to_owned(), kind.to_string().into());
            object.insert("identifier".to_owned(), json!({"system": source, "value": id}));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reference_names_is_read_again_whatever_is_in_it() {
        for id in ["ac14", "a|b", "name & place", "50%20", "ö+#?="] {
            let made = reference(EntryKind::Location, "https://s.example/a?b=c&d", id);
            let read = named(made["reference"].as_str().unwrap()).unwrap();
            assert_eq!(read, (EntryKind::Location, "https://s.example/a?b=c&d".to_owned(), id.to_owned()));
        }
        for other in ["Location/1", "Patient?identifier=a|b", "Location?identifier=a", "Location?name=a|b"] {
            assert_eq!(named(other), None, "{other}");
        }
    }

    #[test]
    fn a_reference_becomes_an_id_or_stays_as_an_identifier_and_is_looked_up_again() {
        let mut service = json!({"location": [reference(EntryKind::Location, "s", "1"), {"reference": "Location/9"}]});
        resolve(&mut service, &|_, _, _| None);
        let by_identifier = json!({"type": "Location", "identifier": {"system": "s", "value": "1"}});
        assert_eq!(service, json!({"location": [by_identifier, {"reference": "Location/9"}]}));
        resolve(&mut service, &|kind, source, id| {
            assert_eq!((kind, source, id), (EntryKind::Location, "s", "1"));
            Some("7".to_owned())
        });
        assert_eq!(service, json!({"location": [{"reference": "Location/7"}, {"reference": "Location/9"}]}));
    }
}

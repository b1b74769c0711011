//! JSON to XML, called on the pool's threads. fhirbolt writes, because it knows the order; what it made is read again and compared leaf
//! by leaf with what went in.

use fhirbolt::{FhirReleases, element::Element};
use serde_json::{Map, Value};

use super::{
    gate::is_xml_char,
    leaves::{Leaves, narrative},
    read,
};
use crate::fhir::{
    gate::Limits,
    outcome::{Issue, IssueCode},
    path, tree,
};

type R4 = Element<{ FhirReleases::R4 }>;

const DIV_START: &str = "<div xmlns=\"http://www.w3.org/1999/xhtml\">";
const DIV_END: &str = "</div>";

pub(super) fn write(mut value: Value) -> Result<Vec<u8>, Issue> {
    let root = tree::resource_type(&value).unwrap_or(path::UNKNOWN_ROOT).to_owned();
    if !sayable(&value) {
        let said = "a control character that XML cannot carry";
        return Err(Issue::error(IssueCode::NotSupported, root, said));
    }
    let leaves = Leaves::of(&value);
    let mut divs = Vec::new();
    each_div(&mut value, &mut |div| {
        let mark = format!("{DIV_START}{}{DIV_END}", divs.len());
        divs.push(narrative(&std::mem::replace(div, mark)));
    });
    // as text and not as a tree: from a tree serde_json hands numbers over as binary ones
    let json = serde_json::to_vec(&resource_type_first(value)).map_err(|error| refused(&root, &error.to_string()))?;
    let element: R4 = fhirbolt::json::from_slice(&json, None).map_err(|error| refused(&root, &error.to_string()))?;
    let xml = fhirbolt::xml::to_string(&element, None).map_err(|error| refused(&root, &error.to_string()))?;
    let text = finish(&xml, &divs);
    let unbounded = Limits { bytes: usize::MAX, depth: 1000, values: usize::MAX, number_digits: usize::MAX };
    let (written, _) = read::read(text.as_bytes(), &unbounded).map_err(|issue| Issue {
        diagnostics: format!("cannot be written as XML: {}", issue.diagnostics),
        at: None,
        ..issue
    })?;
    if Leaves::of(&written) == leaves { Ok(text.into_bytes()) } else { Err(lossy(&root)) }
}

/// fhirbolt's message may quote the input; only the name of an element is taken from it.
fn refused(root: &str, message: &str) -> Issue {
    let named = message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'));
    let said = match named.and_then(|(name, _)| path::element_name(name)) {
        Some(name) => format!("“{name}” is not an element of R4 in the place where it stands"),
        None => "not the XML or JSON form of an R4 resource".to_owned(),
    };
    Issue::error(IssueCode::Structure, root, said)
}

fn lossy(root: &str) -> Issue {
    let said = "this cannot be said in XML without loss: a value where R4 has none, or one that repeats";
    Issue::error(IssueCode::Structure, root.to_owned(), said)
}

/// Every narrative, that is every `div` that is a text: no other R4 element has that name.
fn each_div(value: &mut Value, see: &mut dyn FnMut(&mut String)) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| each_div(item, see)),
        Value::Object(object) => {
            for (key, value) in object.iter_mut() {
                match value {
                    Value::String(div) if key == "div" => see(div),
                    other => each_div(other, see),
                }
            }
        }
        _ => {}
    }
}

fn sayable(value: &Value) -> bool {
    match value {
        Value::String(text) => text.chars().all(is_xml_char),
        Value::Array(items) => items.iter().all(sayable),
        Value::Object(object) => object.values().all(sayable),
        _ => true,
    }
}

/// fhirbolt reads a resource in one go and has to know its type before anything else.
fn resource_type_first(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(resource_type_first).collect()),
        Value::Object(mut object) => {
            let kind = object.shift_remove("resourceType");
            let mut ordered = Map::with_capacity(object.len() + 1);
            if let Some(kind) = kind {
                ordered.insert("resourceType".into(), kind);
            }
            ordered.extend(object.into_iter().map(|(key, value)| (key, resource_type_first(value))));
            Value::Object(ordered)
        }
        scalar => scalar,
    }
}

/// fhirbolt's XML with narrative back in its place, and with white space in attributes written so that readers keep it: XML
/// turns a bare line break in an attribute into a space, which would run the lines of a note together.
fn finish(xml: &str, divs: &[String]) -> String {
    let mut text = String::with_capacity(xml.len() + divs.iter().map(String::len).sum::<usize>());
    let mut parts = xml.split(DIV_START);
    escape_white_space(parts.next().unwrap_or_default(), &mut text);
    for part in parts {
        let (index, rest) = part.split_once(DIV_END).unwrap_or(("", part));
        if let Some(div) = index.trim().parse::<usize>().ok().and_then(|index| divs.get(index)) {
            text.push_str(div);
        }
        escape_white_space(rest, &mut text);
    }
    text
}

/// fhirbolt writes quotes only around attributes, and none bare inside them.
fn escape_white_space(xml: &str, text: &mut String) {
    let mut in_attribute = false;
    for c in xml.chars() {
        match c {
            '"' => {
                in_attribute = !in_attribute;
                text.push(c);
            }
            '\n' if in_attribute => text.push_str("&#10;"),
            '\r' if in_attribute => text.push_str("&#13;"),
            '\t' if in_attribute => text.push_str("&#9;"),
            _ => text.push(c),
        }
    }
}

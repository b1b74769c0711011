//! What a resource says, leaf by leaf, in a form that its XML and its JSON share: the path of element names, the
//! attribute (`value`, `id` or `url`), and the texts found there in their order. Two forms of one resource have equal leaves.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use serde_json::{Map, Value};

use crate::fhir::tree;

/// Hashes only, so that its size does not depend on what the input says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Leaves(HashMap<u64, u64>);

impl Leaves {
    /// The leaves of a JSON resource.
    pub(super) fn of(resource: &Value) -> Self {
        let mut leaves = Self::default();
        each(resource, &mut |path, attribute, text| leaves.add(path, attribute, text));
        leaves
    }

    /// One more: `path` is like `ServiceRequest/subject/reference`.
    fn add(&mut self, path: &str, attribute: &str, text: &str) {
        let texts = self.0.entry(hash(&(path, attribute))).or_default();
        *texts = hash(&(*texts, alike(text).as_ref()));
    }
}

fn hash(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// serde_json spells exponents its own way; everything else is compared as it is.
fn alike(text: &str) -> std::borrow::Cow<'_, str> {
    let may_be_number =
        text.len() < 128 && text.contains(['e', 'E']) && text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    match may_be_number.then(|| text.parse::<serde_json::Number>()) {
        Some(Ok(number)) => number.as_str().to_owned().into(),
        _ => text.into(),
    }
}

/// Narrative as XML would give it back: line ends and the space around it do not count.
pub(super) fn narrative(div: &str) -> String {
    div.trim().replace("\r\n", "\n").replace('\r', "\n")
}

/// Whether an element of this name holds a resource.
pub(super) fn holds_resource(name: &str) -> bool {
    matches!(name, "contained" | "resource" | "outcome")
}

fn each(resource: &Value, see: &mut dyn FnMut(&str, &str, &str)) {
    if let (Some(kind), Some(object)) = (tree::resource_type(resource), resource.as_object()) {
        let mut path = kind.to_owned();
        walk(object, &mut path, Kind::Resource, see);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Resource,
    Extension,
    Other,
}

fn walk(object: &Map<String, Value>, path: &mut String, kind: Kind, see: &mut dyn FnMut(&str, &str, &str)) {
    for (key, value) in object {
        if kind == Kind::Resource && key == "resourceType" {
            continue;
        }
        if let Some(text) = value.as_str() {
            match key.as_str() {
                "id" if kind != Kind::Resource => {
                    see(path, "id", text);
                    continue;
                }
                "url" if kind == Kind::Extension => {
                    see(path, "url", text);
                    continue;
                }
                _ => {}
            }
        }
        let outer = path.len();
        let name = key.strip_prefix('_').unwrap_or(key);
        path.push('/');
        path.push_str(name);
        match value {
            Value::Array(items) => items.iter().for_each(|item| leaf(item, name, path, see)),
            one => leaf(one, name, path, see),
        }
        path.truncate(outer);
    }
}

fn leaf(value: &Value, name: &str, path: &mut String, see: &mut dyn FnMut(&str, &str, &str)) {
    match value {
        Value::String(text) if name == "div" => see(path, "value", &narrative(text)),
        Value::String(text) => see(path, "value", text),
        Value::Number(number) => see(path, "value", number.as_str()),
        Value::Bool(truth) => see(path, "value", if *truth { "true" } else { "false" }),
        Value::Object(object) => match object.get("resourceType").and_then(Value::as_str) {
            Some(kind) if holds_resource(name) => {
                let outer = path.len();
                path.push('/');
                path.push_str(kind);
                walk(object, path, Kind::Resource, see);
                path.truncate(outer);
            }
            _ => walk(object, path, if tree::holds_extensions(name) { Kind::Extension } else { Kind::Other }, see),
        },
        // a gap in a list of primitives; FHIR has no lists in lists
        Value::Null | Value::Array(_) => {}
    }
}

//! “The same again”: one digest for all the ways to write the same content. Object keys are taken in order of their
//! bytes, decimals as they were written. Left out are Bundle.id, Bundle.timestamp, `meta` of every resource and `fullUrl`;
//! a `urn:uuid` that points at an entry, or elsewhere, counts by what it points at, not by its spelling.

use std::collections::HashMap;

use aws_lc_rs::digest::{Context, SHA256};
use serde_json::{Map, Value};

use crate::fhir::tree;

/// The digest of several resources, in the order given.
pub fn digest(resources: &[&Value]) -> [u8; 32] {
    let mut writer = Writer { context: Context::new(&SHA256), urns: HashMap::new(), strangers: 0 };
    for resource in resources {
        writer.write(resource, Place::Resource);
        writer.put(b"\n");
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(writer.context.finish().as_ref());
    digest
}

/// The digest of a Bundle with its entries, or of one resource. Entries count in their order.
pub fn digest_bundle(bundle_or_resource: &Value) -> [u8; 32] {
    digest(&[bundle_or_resource])
}

/// What an object stands as: only a resource has a `meta` that does not count, only an entry a `fullUrl`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Resource,
    Entry,
    Extension,
    Other,
}

struct Writer {
    context: Context,
    /// What a `urn:uuid` is called here: by the entry that has it, else by the order of first mention.
    urns: HashMap<String, String>,
    strangers: usize,
}

impl Writer {
    fn put(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    fn write(&mut self, value: &Value, place: Place) {
        match value {
            Value::Null => self.put(b"null"),
            Value::Bool(true) => self.put(b"true"),
            Value::Bool(false) => self.put(b"false"),
            Value::Number(number) => self.put(number.as_str().as_bytes()),
            Value::String(text) => self.text(text),
            Value::Array(items) => {
                self.put(b"[");
                for item in items {
                    self.write(item, place);
                    self.put(b",");
                }
                self.put(b"]");
            }
            Value::Object(object) => self.object(object, place),
        }
    }

    fn object(&mut self, object: &Map<String, Value>, place: Place) {
        let is_bundle = place == Place::Resource && object.get("resourceType").is_some_and(|kind| kind == "Bundle");
        if is_bundle {
            self.name_entries(object);
        }
        let pointing = tree::pointing_key(object, place == Place::Extension);
        let left_out = |key: &str| match key.strip_prefix('_').unwrap_or(key) {
            "meta" => place == Place::Resource,
            "id" | "timestamp" => is_bundle,
            "fullUrl" => place == Place::Entry,
            _ => false,
        };
        let mut entries: Vec<_> = object.iter().filter(|(key, _)| !left_out(key)).collect();
        entries.sort_unstable_by_key(|(key, _)| key.as_bytes());
        self.put(b"{");
        for (key, value) in entries {
            self.text(key);
            self.put(b":");
            match value {
                Value::String(literal) if pointing == Some(key.as_str()) && is_uuid_urn(literal) => self.urn(literal),
                _ => self.write(value, below(key, is_bundle, place)),
            }
            self.put(b",");
        }
        self.put(b"}");
    }

    fn name_entries(&mut self, bundle: &Map<String, Value>) {
        let entries = bundle.get("entry").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for (index, entry) in entries.iter().enumerate() {
            if let Some(url) = entry.get("fullUrl").and_then(Value::as_str).filter(|url| is_uuid_urn(url)) {
                self.urns.entry(url.to_ascii_lowercase()).or_insert_with(|| format!("@entry{index}"));
            }
        }
    }

    /// Not quoted, so that no text of a sender's can look the same.
    fn urn(&mut self, literal: &str) {
        let next = self.strangers;
        let name = self.urns.entry(literal.to_ascii_lowercase()).or_insert_with(|| format!("@other{next}")).clone();
        if name == format!("@other{next}") {
            self.strangers += 1;
        }
        self.put(name.as_bytes());
    }

    /// Quoted and preceded by its length, so that no text can be taken for two.
    fn text(&mut self, text: &str) {
        self.put(format!("{}\"", text.len()).as_bytes());
        self.put(text.as_bytes());
        self.put(b"\"");
    }
}

fn below(key: &str, in_bundle: bool, place: Place) -> Place {
    match key {
        "contained" if place == Place::Resource => Place::Resource,
        "resource" | "outcome" => Place::Resource,
        "entry" if in_bundle => Place::Entry,
        key if tree::holds_extensions(key) => Place::Extension,
        _ => Place::Other,
    }
}

fn is_uuid_urn(literal: &str) -> bool {
    literal.get(..9).is_some_and(|start| start.eq_ignore_ascii_case("urn:uuid:"))
}

#[cfg(test)]
mod tests;

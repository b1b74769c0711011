//! What a double holds: every version of every resource, and an index of their identifiers. In memory and bounded.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Instant,
};

use jiff::Timestamp;
use serde_json::Value;

use crate::fhir::{task::with_meta, tree};

/// More versions than this are not kept: the double then answers 507.
pub(super) const VERSIONS_MAX: usize = 1_000_000;

/// One version of a resource.
#[derive(Debug, Clone)]
pub struct Version {
    /// Its number, from 1.
    pub version: u64,
    /// When it was stored, for measuring.
    pub at: Instant,
    /// When it was stored, as `meta.lastUpdated` says.
    pub updated: Timestamp,
    /// The resource, with `id` and `meta`.
    pub resource: Arc<Value>,
}

/// A resource that was stored just now.
#[derive(Debug, Clone)]
pub struct Change {
    /// Its type.
    pub kind: String,
    /// Its logical id.
    pub id: String,
    /// The version that was made.
    pub stored: Version,
}

/// Everything a double holds. Resources lie in the order they were first stored.
#[derive(Default)]
pub(super) struct Holdings {
    kinds: BTreeMap<String, Shelf>,
    by_identifier: HashMap<(String, String), BTreeSet<String>>,
    versions: usize,
    last_id: u64,
}

#[derive(Default)]
struct Shelf {
    order: Vec<String>,
    by_id: HashMap<String, Vec<Version>>,
}

impl Holdings {
    pub(super) fn is_full(&self, more: usize) -> bool {
        self.versions + more > VERSIONS_MAX
    }

    /// All versions of a resource, oldest first; empty where there is none.
    pub(super) fn versions(&self, kind: &str, id: &str) -> &[Version] {
        self.kinds.get(kind).and_then(|shelf| shelf.by_id.get(id)).map_or(&[], Vec::as_slice)
    }

    pub(super) fn newest(&self, kind: &str, id: &str) -> Option<&Version> {
        self.versions(kind, id).last()
    }

    /// The newest version of each resource of a type.
    pub(super) fn all(&self, kind: &str) -> impl Iterator<Item = &Version> {
        self.kinds.get(kind).into_iter().flat_map(|shelf| {
            shelf.order.iter().filter_map(|id| shelf.by_id.get(id).and_then(|versions| versions.last()))
        })
    }

    pub(super) fn counts(&self) -> BTreeMap<String, usize> {
        self.kinds.iter().map(|(kind, shelf)| (kind.clone(), shelf.order.len())).filter(|(_, n)| *n > 0).collect()
    }

    /// The ids of the resources that have an identifier: `system|value`, `|value` (without system) or `value`.
    pub(super) fn identified(&self, kind: &str, token: &str) -> Vec<String> {
        let key = (kind.to_owned(), token.to_owned());
        self.by_identifier.get(&key).map(|ids| ids.iter().cloned().collect()).unwrap_or_default()
    }

    /// An id that no resource of the type has.
    pub(super) fn new_id(&mut self, kind: &str) -> String {
        loop {
            self.last_id += 1;
            let id = self.last_id.to_string();
            if self.newest(kind, &id).is_none() {
                return id;
            }
        }
    }

    /// Stores a new version, whatever was there before.
    pub(super) fn store(&mut self, kind: &str, id: &str, mut resource: Value) -> Change {
        if let Some(object) = resource.as_object_mut() {
            if object.contains_key("id") {
                object.insert("id".into(), id.into());
            } else {
                object.shift_insert(1.min(object.len()), "id".into(), id.into());
            }
        }
        let updated = Timestamp::now();
        self.index(kind, id, false);
        let shelf = self.kinds.entry(kind.to_owned()).or_default();
        let versions = shelf.by_id.entry(id.to_owned()).or_insert_with(|| {
            shelf.order.push(id.to_owned());
            Vec::new()
        });
        let version = versions.last().map_or(1, |last| last.version + 1);
        let resource = Arc::new(with_meta(resource, version, updated));
        let stored = Version { version, at: Instant::now(), updated, resource };
        versions.push(stored.clone());
        self.versions += 1;
        self.index(kind, id, true);
        Change { kind: kind.to_owned(), id: id.to_owned(), stored }
    }

    /// Forgets a resource with all its versions. Says whether it was there.
    pub(super) fn remove(&mut self, kind: &str, id: &str) -> bool {
        self.index(kind, id, false);
        let Some(shelf) = self.kinds.get_mut(kind) else { return false };
        shelf.order.retain(|other| other != id);
        let removed = shelf.by_id.remove(id);
        self.versions -= removed.as_ref().map_or(0, Vec::len);
        removed.is_some()
    }

    /// Puts the identifiers of the newest version into the index, or takes them out.
    fn index(&mut self, kind: &str, id: &str, put: bool) {
        let Some(newest) = self.newest(kind, id) else { return };
        let resource = newest.resource.clone();
        for (system, value, _) in tree::identifiers(&resource) {
            for token in [value.to_owned(), format!("{}|{value}", system.unwrap_or_default())] {
                let key = (kind.to_owned(), token);
                if put {
                    self.by_identifier.entry(key).or_default().insert(id.to_owned());
                } else if let Some(ids) = self.by_identifier.get_mut(&key) {
                    ids.remove(id);
                    if ids.is_empty() {
                        self.by_identifier.remove(&key);
                    }
                }
            }
        }
    }
}

//! Value sets by their URLs: those that R4 binds, and those of folders that were added.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::{nhs, profile::unversioned};
use crate::definitions::{self, CodeSet};

/// Codes of one value set.
#[derive(Debug, Clone)]
pub(super) enum Codes {
    /// One of R4's.
    Core(&'static CodeSet),
    /// One that was read: system and code.
    Read(HashSet<(String, String)>),
}

/// All that are known.
#[derive(Debug, Default)]
pub(super) struct ValueSets(HashMap<String, Codes>);

// === impl Codes ===

impl Codes {
    pub(super) fn has(&self, system: Option<&str>, code: &str) -> bool {
        match (self, system) {
            (Self::Core(codes), Some(system)) => codes.has(system, code),
            (Self::Core(codes), None) => codes.has_code(code),
            (Self::Read(codes), Some(system)) => codes.contains(&(system.to_owned(), code.to_owned())),
            (Self::Read(codes), None) => codes.iter().any(|(_, known)| known == code),
        }
    }
}

// === impl ValueSets ===

impl ValueSets {
    /// R4's own, and those of `resources` whose codes are listed in them or in code systems among them.
    pub(super) fn of(resources: &HashMap<String, Value>) -> Self {
        let mut known = HashMap::new();
        for of in definitions::types() {
            for binding in of.elements.iter().filter_map(|element| element.binding) {
                if let Some(codes) = binding.codes {
                    known.insert(binding.value_set.to_owned(), Codes::Core(codes));
                }
            }
        }
        for (url, resource) in resources {
            if resource.get("resourceType").is_some_and(|kind| kind == "ValueSet")
                && let Some(codes) = listed(resource, resources, 0)
                && !codes.is_empty()
            {
                known.insert(url.clone(), Codes::Read(codes));
            }
        }
        // both spellings are in use, though the value set of today names one (nhs)
        if let Some(Codes::Read(codes)) = known.get_mut(nhs::STATUS_VALUE_SET) {
            let pair = |system: &str, code: &&str| (system.to_owned(), (*code).to_owned());
            codes.extend(
                nhs::STATUS_CODES.iter().flat_map(|(system, all)| all.iter().map(move |code| pair(system, code))),
            );
        }
        Self(known)
    }

    pub(super) fn get(&self, url: &str) -> Option<&Codes> {
        self.0.get(url)
    }
}

/// The codes of a value set; none where they are not all listed here.
fn listed(set: &Value, resources: &HashMap<String, Value>, depth: usize) -> Option<HashSet<(String, String)>> {
    if depth > 8 {
        return None;
    }
    let mut all = HashSet::new();
    let compose = set.get("compose")?;
    if compose.get("exclude").is_some() {
        return None;
    }
    for include in compose.get("include")?.as_array()? {
        if include.get("filter").is_some() {
            return None;
        }
        if let Some(system) = include.get("system").and_then(Value::as_str) {
            if include.get("valueSet").is_some() {
                return None;
            }
            let concepts = match include.get("concept") {
                Some(concepts) => concepts.as_array()?,
                None => {
                    let of = resources.get(system).filter(|of| of.get("content").is_some_and(|c| c == "complete"))?;
                    of.get("concept")?.as_array()?
                }
            };
            collect(concepts, system, &mut all);
        } else {
            let [one] = include.get("valueSet")?.as_array()?.as_slice() else { return None };
            all.extend(listed(resources.get(unversioned(one.as_str()?))?, resources, depth + 1)?);
        }
    }
    Some(all)
}

fn collect(concepts: &[Value], system: &str, all: &mut HashSet<(String, String)>) {
    let mut open: Vec<&Value> = concepts.iter().collect();
    while let Some(concept) = open.pop() {
        if let Some(code) = concept.get("code").and_then(Value::as_str) {
            all.insert((system.to_owned(), code.to_owned()));
        }
        if let Some(below) = concept.get("concept").and_then(Value::as_array) {
            open.extend(below);
        }
    }
}

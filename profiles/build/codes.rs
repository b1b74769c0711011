//! The codes of value sets, as far as R4 itself lists them.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
};

use serde_json::Value;

use crate::npm;

/// Codes by their system.
pub type Set = BTreeMap<String, BTreeSet<String>>;

/// Value sets of more codes are not packed unless a binding requires them: nobody reads a list of so many.
const MANY: usize = 1000;

/// Every value set and code system of the package.
pub struct Codes {
    sets: HashMap<String, Value>,
    systems: HashMap<String, Value>,
    known: RefCell<HashMap<String, Option<Set>>>,
}

impl Codes {
    pub fn read(package: &Path) -> Result<Self, String> {
        let (mut sets, mut systems) = (HashMap::new(), HashMap::new());
        for file in ["valuesets.json", "v3-codesystems.json", "v2-tables.json"] {
            let bundle = npm::read(&package.join("dist/fhir/r4").join(file))?;
            let bundle: Value = serde_json::from_slice(&bundle).map_err(|e| format!("{file}: {e}"))?;
            for resource in list(&bundle, "entry").filter_map(|entry| entry.get("resource")) {
                let url = text(resource, "url").to_owned();
                match text(resource, "resourceType") {
                    "ValueSet" => sets.insert(url, resource.clone()),
                    "CodeSystem" => systems.insert(url, resource.clone()),
                    _ => None,
                };
            }
        }
        Ok(Self { sets, systems, known: RefCell::default() })
    }

    /// The codes of the value set `url`; none where R4 does not list them, or where they are many and not `required`.
    pub fn of(&self, url: &str, required: bool) -> Option<Set> {
        let set = self.expand(url, 0)?;
        let count: usize = set.values().map(BTreeSet::len).sum();
        (count > 0 && (required || count <= MANY)).then_some(set)
    }

    fn expand(&self, url: &str, depth: usize) -> Option<Set> {
        let url = url.split('|').next().unwrap_or(url);
        if let Some(known) = self.known.borrow().get(url) {
            return known.clone();
        }
        let compose = self.sets.get(url).and_then(|set| set.get("compose"));
        let found = compose.filter(|_| depth < 16).and_then(|compose| {
            let mut all = Set::new();
            for include in list(compose, "include") {
                add(&mut all, self.included(include, depth)?);
            }
            for exclude in list(compose, "exclude") {
                for (system, codes) in self.included(exclude, depth)? {
                    if let Some(kept) = all.get_mut(&system) {
                        kept.retain(|code| !codes.contains(code));
                    }
                }
            }
            Some(all)
        });
        self.known.borrow_mut().insert(url.to_owned(), found.clone());
        found
    }

    fn included(&self, include: &Value, depth: usize) -> Option<Set> {
        let mut found: Option<Set> = None;
        if let Some(system) = include.get("system").and_then(Value::as_str) {
            let codes = if include.get("concept").is_some() {
                list(include, "concept").map(|concept| text(concept, "code").to_owned()).collect()
            } else {
                self.filtered(system, list(include, "filter").collect())?
            };
            found = Some([(system.to_owned(), codes)].into());
        }
        // a code must be in every value set that is named
        for url in list(include, "valueSet").filter_map(Value::as_str) {
            let other = self.expand(url, depth + 1)?;
            found = Some(match found {
                None => other,
                Some(mut both) => {
                    for (system, codes) in &mut both {
                        codes.retain(|code| other.get(system).is_some_and(|codes| codes.contains(code)));
                    }
                    both
                }
            });
        }
        found
    }

    /// The codes of a code system that every filter lets through. None where the system is not complete here, or a filter unknown.
    fn filtered(&self, system: &str, filters: Vec<&Value>) -> Option<BTreeSet<String>> {
        let system = self.systems.get(system).filter(|system| text(system, "content") == "complete")?;
        let mut all = Vec::new();
        walk(list(system, "concept"), &mut Vec::new(), &mut all);
        let mut codes: BTreeSet<String> = all.iter().map(|(code, _)| code.clone()).collect();
        for filter in filters {
            let (property, op, value) = (text(filter, "property"), text(filter, "op"), text(filter, "value"));
            if !matches!(property, "concept" | "code") {
                return None;
            }
            let below = |code: &String, above: &Vec<String>| match op {
                "is-a" => Some(code == value || above.iter().any(|up| up == value)),
                "descendent-of" => Some(above.iter().any(|up| up == value)),
                "is-not-a" => Some(code != value && above.iter().all(|up| up != value)),
                "=" => Some(code == value),
                _ => None,
            };
            let mut kept = BTreeSet::new();
            for (code, above) in &all {
                if below(code, above)? {
                    kept.insert(code.clone());
                }
            }
            codes.retain(|code| kept.contains(code));
        }
        Some(codes)
    }
}

/// Every concept, with those above it: by nesting, and by the property `subsumedBy`.
fn walk<'v>(concepts: impl Iterator<Item = &'v Value>, above: &mut Vec<String>, all: &mut Vec<(String, Vec<String>)>) {
    for concept in concepts {
        let code = text(concept, "code").to_owned();
        let mut up = above.clone();
        for property in list(concept, "property").filter(|p| text(p, "code") == "subsumedBy") {
            up.push(text(property, "valueCode").to_owned());
        }
        // those of a parent that stands somewhere before
        for parent in up.clone() {
            if let Some((_, more)) = all.iter().find(|(known, _)| *known == parent) {
                up.extend(more.iter().cloned());
            }
        }
        all.push((code.clone(), up));
        above.push(code);
        walk(list(concept, "concept"), above, all);
        above.pop();
    }
}

fn add(to: &mut Set, more: Set) {
    for (system, codes) in more {
        to.entry(system).or_default().extend(codes);
    }
}

pub fn list<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice).iter()
}

pub fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

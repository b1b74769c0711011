//! The documents of Open Referral's API: records put together again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    super::{
        element::{made_id, objects, set, text},
        entry::source_of,
    },
    Feed, GONE, LOOSE_TERMS, Row, Table, kept, record, service, told_id,
};
use crate::{
    domain::{EntryKind, clock::instant},
    fhir::tree,
};

/// Entries of the directory as records of Open Referral: all of it for an export, or what belongs to a page.
#[derive(Debug, Default)]
pub struct Records {
    rows: BTreeMap<(Table, String), Map<String, Value>>,
    /// Those that are none of what is told, and only stand in it.
    beside: BTreeSet<(Table, String)>,
}

/// An entry that is to be told.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Of which kind it is.
    pub kind: EntryKind,
    /// Its logical id; of an entry that the registry makes, a name.
    pub id: &'a str,
    /// When it was last written.
    pub last_updated: Timestamp,
    /// The resource.
    pub body: &'a Value,
}

// === impl Records ===

impl Records {
    /// The records of these entries. An Endpoint that is no taxonomy has none. What an entry refers to should be among them.
    pub fn of(entries: &[Entry<'_>]) -> Self {
        Self::called(entries, &names(entries))
    }

    /// The records of what comes from one source, of all these entries; of what was made here, where `source` is `here`. An entry from
    /// elsewhere, or that the configuration makes, stands in what refers to it, by a name that is known again ([`elsewhere`]).
    /// What the source no longer tells of is not told.
    pub fn of_source(source: &str, here: &str, entries: &[Entry<'_>]) -> Self {
        let is_own = |entry: &&Entry<'_>| of(entry, here).is_some_and(|of| of == source);
        let is_gone = |entry: &Entry<'_>| kept(entry.body).is_some_and(|kept| kept.contains_key(GONE));
        let mut told: Vec<_> = entries.iter().filter(is_own).filter(|entry| !is_gone(entry)).copied().collect();
        let mut named = BTreeSet::new();
        told.iter().for_each(|entry| refers_to(entry.body, &mut named));
        let others = entries.iter().filter(|entry| !is_own(entry)).filter(|entry| named.contains(&literal(entry)));
        let others: Vec<_> = others.copied().collect();
        let names = entries.iter().filter_map(|entry| {
            let name = if is_own(&entry) { own_name(entry) } else { alias(entry, here)? };
            Some((literal(entry), name))
        });
        let names: HashMap<_, _> = names.collect();
        let beside =
            others.iter().filter_map(|entry| Some((Table::of(entry.kind), names.get(&literal(entry))?.clone())));
        let beside = beside.collect();
        told.extend(others);
        Self { beside, ..Self::called(&told, &names) }
    }

    fn called(entries: &[Entry<'_>], names: &HashMap<String, String>) -> Self {
        let known = |literal: &str| names.get(literal).cloned();
        let mut rows = BTreeMap::new();
        for entry in entries {
            let table = Table::of(entry.kind);
            if table == Table::Taxonomy && kept(entry.body).is_none() {
                continue;
            }
            let Some(id) = names.get(&literal(entry)) else { continue };
            let mut row = record::of(table, entry.body, id, &known);
            if table == Table::Service && record::is_changed(table, entry.body, id, &known) {
                set(&mut row, "last_modified", instant(entry.last_updated));
            }
            if kept(entry.body).is_none_or(|kept| kept.contains_key(super::OWN)) {
                complete(table, &mut row, id);
            }
            rows.insert((table, id.clone()), row);
        }
        Self { rows, beside: BTreeSet::new() }
    }

    /// Every record once, in one document that can be imported again.
    pub fn whole(&self) -> Map<String, Value> {
        let services: Vec<_> = self.ids(Table::Service).filter_map(|id| self.service(id)).collect();
        let organizations = self.ids(Table::Organization).filter_map(|id| self.row(Table::Organization, id));
        let organizations: Vec<Value> = organizations
            .map(|row| {
                let mut row = row.clone();
                row.shift_remove("services");
                row.into()
            })
            .collect();
        let mut whole = Map::from_iter([("services".to_owned(), services.into())]);
        let tables: [(&str, Vec<Value>); 4] = [
            ("organizations", organizations),
            ("locations", self.ids(Table::Location).filter_map(|id| self.loose_location(id)).collect()),
            ("taxonomies", self.taxonomies().into_values().map(Value::Object).collect()),
            ("taxonomy_terms", self.terms().into_values().map(Value::Object).collect()),
        ];
        whole.extend(tables.into_iter().map(|(name, all)| (name.to_owned(), all.into())));
        whole
    }

    /// The same taken apart again, as an import of it would read it.
    pub fn rows(&self) -> Vec<Row> {
        let mut feed = Feed::default();
        feed.add(Value::Object(self.whole()), "");
        feed.into_rows().0
    }

    /// A place where no service is: nothing else tells of it.
    pub fn loose_location(&self, id: &str) -> Option<Value> {
        let mut services = self.rows.iter().filter(|((table, _), _)| *table == Table::Service);
        let is_in = services.any(|(_, row)| service::locations_of(row).any(|place| place == id));
        if is_in { None } else { self.row(Table::Location, id).cloned().map(Value::Object) }
    }

    fn row(&self, table: Table, id: &str) -> Option<&Map<String, Value>> {
        self.rows.get(&(table, id.to_owned()))
    }

    /// The ids of all records of a table, in their order.
    pub fn ids(&self, table: Table) -> impl Iterator<Item = &str> {
        let of = self.rows.keys().filter(move |(of, id)| *of == table && id != LOOSE_TERMS);
        of.filter(|key| !self.beside.contains(*key)).map(|(_, id)| id.as_str())
    }

    /// A service with all that belongs to it (`/services/{id}`).
    pub fn service(&self, id: &str) -> Option<Value> {
        let mut row = self.row(Table::Service, id)?.clone();
        self.nest_organization(&mut row);
        if let Some(Value::Array(places)) = row.get_mut("service_at_locations") {
            places.iter_mut().filter_map(Value::as_object_mut).for_each(|at| self.nest_location(at));
        }
        Some(row.into())
    }

    /// An organisation with its services (`/organizations/{id}`).
    pub fn organization(&self, id: &str) -> Option<Value> {
        let mut row = self.row(Table::Organization, id)?.clone();
        let services: Vec<Value> = self
            .rows
            .iter()
            .filter(|((table, _), row)| *table == Table::Service && service::organization_of(row) == Some(id))
            .filter_map(|((_, id), _)| self.service(id))
            .map(|mut service| {
                if let Value::Object(service) = &mut service {
                    service.shift_remove("organization");
                }
                service
            })
            .collect();
        if !services.is_empty() || row.contains_key("services") {
            row.insert("services".to_owned(), services.into());
        }
        Some(row.into())
    }

    /// The ids of all services at places, each with the id of its service.
    pub fn at_locations(&self) -> impl Iterator<Item = (&str, &str)> {
        let services = self.rows.iter().filter(|((table, _), _)| *table == Table::Service);
        services.flat_map(|((_, id), row)| {
            objects(row, "service_at_locations").filter_map(|at| Some((text(at, "id")?, id.as_str())))
        })
    }

    /// A service at one place (`/service_at_locations/{id}`).
    pub fn at_location(&self, service: &str, id: &str) -> Option<Value> {
        let mut row = self.row(Table::Service, service)?.clone();
        let mut at = objects(&row, "service_at_locations").find(|at| text(at, "id") == Some(id))?.clone();
        row.shift_remove("service_at_locations");
        self.nest_organization(&mut row);
        self.nest_location(&mut at);
        set(&mut at, "service", row);
        Some(at.into())
    }

    /// A taxonomy with its terms (`/taxonomies/{id}`).
    pub fn taxonomy(&self, id: &str) -> Option<Value> {
        self.taxonomies().remove(id).map(Value::Object)
    }

    /// All taxonomies: those that were imported, and those that services name otherwise.
    pub fn taxonomies(&self) -> BTreeMap<String, Map<String, Value>> {
        let told = self.rows.iter().filter(|((table, id), _)| *table == Table::Taxonomy && id != LOOSE_TERMS);
        let mut all: BTreeMap<_, _> = told.map(|((_, id), row)| (id.clone(), row.clone())).collect();
        for term in self.terms().into_values() {
            let Some((id, name)) = taxonomy_of(&term) else { continue };
            let is_told = |one: &Map<String, Value>| {
                objects(one, "taxonomy_terms").any(|known| text(known, "id") == text(&term, "id"))
            };
            if all.contains_key(&id) || all.values().any(is_told) {
                continue;
            }
            let mut taxonomy = Map::new();
            set(&mut taxonomy, "id", id.as_str());
            set(&mut taxonomy, "name", name.as_str());
            set(&mut taxonomy, "description", name.as_str());
            if name.starts_with("http://") || name.starts_with("https://") {
                set(&mut taxonomy, "uri", name.as_str());
            }
            all.insert(id, taxonomy);
        }
        all
    }

    /// All terms: those that were imported, and those that services are told by.
    pub fn terms(&self) -> BTreeMap<String, Map<String, Value>> {
        let mut all = BTreeMap::new();
        let taxonomies = self.rows.iter().filter(|((table, _), _)| *table == Table::Taxonomy);
        let told = taxonomies.flat_map(|(_, row)| objects(row, "taxonomy_terms"));
        let holders = self.rows.iter().filter(|((table, _), _)| *table != Table::Taxonomy);
        let used = holders.flat_map(|(_, row)| objects(row, "attributes"));
        let used = used.filter_map(|attribute| attribute.get("taxonomy_term")?.as_object());
        for term in told.chain(used) {
            if let Some(id) = text(term, "id") {
                all.entry(id.to_owned()).or_insert_with(|| term.clone());
            }
        }
        all
    }

    /// A record nests the organisation that it names, where that is known; else the id alone says which.
    fn nest_organization(&self, service: &mut Map<String, Value>) {
        let stub = service.get("organization").and_then(Value::as_object).filter(|one| one.len() == 1);
        let Some(id) = stub.and_then(|stub| text(stub, "id")).map(str::to_owned) else { return };
        match self.row(Table::Organization, &id) {
            Some(row) => {
                let mut row = row.clone();
                row.shift_remove("services");
                service.insert("organization".to_owned(), row.into());
            }
            None => {
                service.shift_remove("organization");
                service.insert("organization_id".to_owned(), id.into());
            }
        }
    }

    fn nest_location(&self, at: &mut Map<String, Value>) {
        let stub = at.get("location").and_then(Value::as_object).filter(|one| one.len() == 1);
        let Some(id) = stub.and_then(|stub| text(stub, "id")).map(str::to_owned) else { return };
        match self.row(Table::Location, &id) {
            Some(row) => {
                at.insert("location".to_owned(), row.clone().into());
            }
            None => {
                at.shift_remove("location");
                at.insert("location_id".to_owned(), id.into());
            }
        }
    }
}

/// What these entries refer to: a provider of the configuration is told of where it offers something that is told of.
pub fn referred_to(bodies: &[Value]) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    bodies.iter().for_each(|body| refers_to(body, &mut named));
    named
}

fn refers_to(body: &Value, named: &mut BTreeSet<String>) {
    tree::each_pointer(body, &mut |literal| {
        named.insert(literal.to_owned());
    });
}

fn literal(entry: &Entry<'_>) -> String {
    format!("{}/{}", entry.kind, entry.id)
}

/// The sources of these entries; `here` where something was made here.
pub fn sources(entries: &[Entry<'_>], here: &str) -> BTreeSet<String> {
    entries.iter().filter(|entry| is_told(entry)).filter_map(|entry| of(entry, here)).collect()
}

/// Whether an entry is told of in Open Referral: an Endpoint only where it stands for a taxonomy.
fn is_told(entry: &Entry<'_>) -> bool {
    entry.kind != EntryKind::Endpoint || kept(entry.body).is_some()
}

/// Where an entry comes from: what was made here comes from here, what the configuration makes from nowhere.
fn of(entry: &Entry<'_>, here: &str) -> Option<String> {
    if Uuid::try_parse(entry.id).is_err() {
        return None;
    }
    Some(source_of(entry.body).map_or_else(|| here.to_owned(), |(source, _)| source))
}

/// What an entry is called in what is told of its source.
fn own_name(entry: &Entry<'_>) -> String {
    match source_of(entry.body) {
        Some((source, name)) => told_id(&source, Table::of(entry.kind), &name),
        None => entry.id.to_owned(),
    }
}

/// What an entry is called in what is told of another source; a name that nothing else has.
fn alias(entry: &Entry<'_>, here: &str) -> Option<String> {
    match of(entry, here) {
        Some(source) => Some(alias_of(&source, Table::of(entry.kind), &own_name(entry))),
        // what the configuration makes is called the same in all that is told
        None => Some(made_id(&[&literal(entry)]).to_string()),
    }
}

/// The name of a record of one source in what is told of others.
pub fn alias_of(source: &str, table: Table, id: &str) -> String {
    made_id(&["elsewhere", source, table.name(), id]).to_string()
}

/// By what names entries that are not of this source are told of in it: their logical ids.
pub fn elsewhere(source: &str, here: &str, entries: &[Entry<'_>]) -> HashMap<(EntryKind, String), String> {
    let others = entries.iter().filter(|entry| of(entry, here).is_none_or(|of| of != source));
    let places = others.filter(|entry| [EntryKind::Organization, EntryKind::Location].contains(&entry.kind));
    places.filter_map(|entry| Some(((entry.kind, alias(entry, here)?), entry.id.to_owned()))).collect()
}

/// A document as it stands on the page of a list: without what it has several of (“one-to-one fields only”, `openapi.json`).
pub fn listed(document: &Value) -> Value {
    match document {
        Value::Object(object) => {
            let single = object.iter().filter(|(_, value)| !value.is_array());
            Value::Object(single.map(|(key, value)| (key.clone(), listed(value))).collect())
        }
        other => other.clone(),
    }
}

/// What each entry is called in Open Referral, by its literal reference: as it was called where it came from, if that is a UUID and no
/// earlier entry is called the same; else by its own id.
fn names(entries: &[Entry<'_>]) -> HashMap<String, String> {
    let (mut names, mut taken) = (HashMap::new(), HashSet::new());
    let mut in_order: Vec<_> = entries.iter().collect();
    in_order.sort_by_key(|entry| entry.id);
    for entry in in_order {
        let literal = literal(entry);
        let came = kept(entry.body).and_then(|kept| Some(kept.get("id")?.as_str()?.to_owned()));
        let loose = entry.kind == EntryKind::Endpoint && came.is_none();
        let loose = loose && tree::identifiers(entry.body).any(|(_, value, _)| value == LOOSE_TERMS);
        let came = came.filter(|id| Uuid::try_parse(id).is_ok() && !taken.contains(&(entry.kind, id.clone())));
        let own = || match Uuid::try_parse(entry.id) {
            Ok(_) => {
                let name = own_name(entry);
                if taken.contains(&(entry.kind, name.clone())) { entry.id.to_owned() } else { name }
            }
            Err(_) => made_id(&[&literal]).to_string(),
        };
        let name = if loose { LOOSE_TERMS.to_owned() } else { came.unwrap_or_else(own) };
        taken.insert((entry.kind, name.clone()));
        names.insert(literal, name);
    }
    names
}

/// The taxonomy that a term names: its id, and a name for it.
fn taxonomy_of(term: &Map<String, Value>) -> Option<(String, String)> {
    let name = text(term, "taxonomy");
    let id = text(term, "taxonomy_id").filter(|id| Uuid::try_parse(id).is_ok());
    match (id, name) {
        (Some(id), name) => Some((id.to_owned(), name.unwrap_or(id).to_owned())),
        (None, Some(name)) => Some((made_id(&["taxonomy", name]).to_string(), name.to_owned())),
        (None, None) => None,
    }
}

/// What the schema wants of every record, where the entry was none of Open Referral's and so could not know.
fn complete(table: Table, row: &mut Map<String, Value>, id: &str) {
    for key in ["name", "description"] {
        let needs = table == Table::Organization || table == Table::Service && key == "name";
        if needs && !row.contains_key(key) {
            let other = row.get("name").cloned().unwrap_or_else(|| "Not named".into());
            row.insert(key.to_owned(), other);
        }
    }
    for (key, value) in row.iter_mut() {
        let Value::Array(items) = value else { continue };
        for (at, item) in items.iter_mut().filter_map(Value::as_object_mut).enumerate() {
            complete_item(item, &[id, key], at);
        }
    }
}

fn complete_item(item: &mut Map<String, Value>, names: &[&str], at: usize) {
    let at = at.to_string();
    let own = made_id(&[names, &[&at]].concat()).to_string();
    if text(item, "id").is_none_or(|id| Uuid::try_parse(id).is_err()) {
        item.insert("id".to_owned(), own.clone().into());
    }
    for (key, value) in item.iter_mut() {
        match value {
            Value::Array(items) => {
                for (at, item) in items.iter_mut().filter_map(Value::as_object_mut).enumerate() {
                    complete_item(item, &[&own, key], at);
                }
            }
            Value::Object(term) if key == "taxonomy_term" => complete_term(term),
            _ => {}
        }
    }
}

fn complete_term(term: &mut Map<String, Value>) {
    let name = text(term, "name").unwrap_or("Not named").to_owned();
    if text(term, "id").is_none_or(|id| Uuid::try_parse(id).is_err()) {
        let code = text(term, "id").map(str::to_owned);
        let named = json!(made_id(&["taxonomy_term", code.as_deref().unwrap_or(&name)]).to_string());
        term.insert("id".to_owned(), named);
        term.extend(code.map(|code| ("term".to_owned(), code.into())));
    }
    if text(term, "description").is_none() {
        term.insert("description".to_owned(), name.into());
    }
}

//! The documents of a source, taken apart into records: whatever of its API's answers, and however nested.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

use super::{LOOSE_TERMS, Row, Table, Told};

/// So many records are taken from one source at once.
pub const ROWS_MAX: usize = 100_000;
/// So many things are told of one import; a last one says that there were more.
const TOLD_MAX: usize = 10_000;

/// What fields only records of one kind have.
const SERVICE: [&str; 8] = [
    "status",
    "organization",
    "organization_id",
    "schedules",
    "service_at_locations",
    "assured_date",
    "fees",
    "cost_options",
];
const LOCATION: [&str; 4] = ["location_type", "latitude", "addresses", "accessibility"];
const ORGANIZATION: [&str; 7] =
    ["services", "organization_identifiers", "parent_organization_id", "website", "logo", "legal_status", "email"];
const TERM: [&str; 5] = ["term_uri", "term", "taxonomy", "taxonomy_id", "parent_id"];
/// The names under which whole tables stand in one document, and in the names of files and paths.
const NAMES: [(&str, Kind); 10] = [
    ("service_at_location", Kind::AtLocation),
    ("taxonomy_term", Kind::Term),
    ("taxonomies", Kind::Taxonomy),
    ("taxonomy", Kind::Taxonomy),
    ("organization", Kind::Organization),
    ("organisation", Kind::Organization),
    ("location", Kind::Location),
    ("service", Kind::Service),
    ("ServiceAtLocation", Kind::AtLocation),
    ("terms", Kind::Term),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Organization,
    Location,
    Service,
    AtLocation,
    Taxonomy,
    Term,
}

/// Records as they are found, each once however often it is told.
#[derive(Debug, Default)]
pub struct Feed {
    rows: BTreeMap<(Table, String), Row>,
    told: Vec<Told>,
    more: usize,
}

// === impl Feed ===

impl Feed {
    /// Takes a document: a record, the page of a list, a list, or an object with whole tables. `name` is where it comes from, a file or
    /// a path; it says what a record is that could be of several kinds.
    pub fn add(&mut self, document: Value, name: &str) {
        let by_name = NAMES.iter().find(|(known, _)| name.contains(known)).map(|(_, kind)| *kind);
        self.take(document, by_name, name, false);
    }

    /// All records, organisations first so that nothing refers to what comes later; and what a person should know.
    pub fn into_rows(mut self) -> (Vec<Row>, Vec<Told>) {
        if self.more > 0 {
            self.told.push(Told::new("import", "", format!("{} more things are not told", self.more)));
        }
        (self.rows.into_values().collect(), self.told)
    }

    /// Says something of the import.
    pub fn tell(&mut self, told: Told) {
        if self.told.len() < TOLD_MAX {
            self.told.push(told);
        } else {
            self.more += 1;
        }
    }

    fn take(&mut self, document: Value, by_name: Option<Kind>, name: &str, partial: bool) {
        match document {
            Value::Array(items) => items.into_iter().for_each(|item| self.take(item, by_name, name, partial)),
            Value::Object(mut object) => {
                if !object.contains_key("id") && !object.contains_key("service_id") {
                    // `content` is what the version before called it
                    for page in ["contents", "content"] {
                        if let Some(Value::Array(items)) = object.get_mut(page).map(Value::take) {
                            return items.into_iter().for_each(|item| self.take(item, by_name, name, true));
                        }
                    }
                    return self.take_tables(object, name);
                }
                match kind_of(&object).or(by_name) {
                    Some(kind) => self.record(object, kind, partial),
                    None => {
                        let id = object.get("id").and_then(Value::as_str).unwrap_or_default();
                        self.tell(Told::new(name, id, "it is passed over: nothing says what it is a record of"));
                    }
                }
            }
            _ => self.tell(Told::new(name, "", "it is passed over: a record is a JSON object")),
        }
    }

    fn take_tables(&mut self, object: Map<String, Value>, name: &str) {
        let mut found = false;
        for (key, value) in object {
            let kind = NAMES.iter().find(|(known, _)| key.starts_with(known)).map(|(_, kind)| *kind);
            if let (Some(kind), Value::Array(items)) = (kind, value) {
                found = true;
                for item in items {
                    match item {
                        Value::Object(item) => self.record(item, kind, false),
                        _ => self.tell(Told::new(name, &key, "an item is passed over: a record is a JSON object")),
                    }
                }
            }
        }
        if !found {
            self.tell(Told::new(name, "", "it is passed over: it has neither an id nor a table of records"));
        }
    }

    fn record(&mut self, record: Map<String, Value>, kind: Kind, partial: bool) {
        match kind {
            Kind::Organization => self.organization(record, partial),
            Kind::Location => self.put(Table::Location, record, partial),
            Kind::Service => self.service(record, partial),
            Kind::AtLocation => self.at_location(record),
            Kind::Taxonomy => self.put(Table::Taxonomy, record, partial),
            Kind::Term => {
                let loose = json!({"taxonomy_terms": [record]});
                if let Value::Object(fields) = loose {
                    self.put_row(Row { table: Table::Taxonomy, id: LOOSE_TERMS.to_owned(), fields, partial: true });
                }
            }
        }
    }

    fn organization(&mut self, mut record: Map<String, Value>, partial: bool) {
        let id = record.get("id").cloned();
        if let Some(Value::Array(services)) = record.get_mut("services") {
            for service in std::mem::take(services) {
                let Value::Object(mut service) = service else { continue };
                if let Some(id) = &id
                    && !service.contains_key("organization")
                    && !service.contains_key("organization_id")
                {
                    service.insert("organization".to_owned(), json!({"id": id}));
                }
                self.service(service, partial);
            }
        }
        self.put(Table::Organization, record, partial);
    }

    fn service(&mut self, mut record: Map<String, Value>, partial: bool) {
        self.nested(&mut record, "organization", Table::Organization, partial);
        if let Some(Value::Array(places)) = record.get_mut("service_at_locations") {
            for at in places.iter_mut().filter_map(Value::as_object_mut) {
                self.nested(at, "location", Table::Location, partial);
            }
        }
        self.put(Table::Service, record, partial);
    }

    /// A service at one place: the service has other places, perhaps, of which this does not tell.
    fn at_location(&mut self, mut record: Map<String, Value>) {
        self.nested(&mut record, "location", Table::Location, true);
        let service = match record.shift_remove("service") {
            Some(Value::Object(service)) => Some(service),
            _ => record.get("service_id").map(|id| Map::from_iter([("id".to_owned(), id.clone())])),
        };
        let Some(mut service) = service else {
            let id = record.get("id").and_then(Value::as_str).unwrap_or_default();
            return self.tell(Told::new("service_at_location", id, "it is passed over: it names no service"));
        };
        service.insert("service_at_locations".to_owned(), Value::Array(vec![record.into()]));
        self.service(service, true);
    }

    /// Takes a nested record out, and leaves its id.
    fn nested(&mut self, record: &mut Map<String, Value>, key: &str, table: Table, partial: bool) {
        let Some(Value::Object(nested)) = record.get_mut(key) else { return };
        let Some(id) = nested.get("id").filter(|id| id.is_string()).cloned() else { return };
        let nested = std::mem::replace(nested, Map::from_iter([("id".to_owned(), id)]));
        if nested.len() == 1 {
            return;
        }
        match table {
            Table::Organization => self.organization(nested, partial),
            _ => self.put(table, nested, partial),
        }
    }

    fn put(&mut self, table: Table, fields: Map<String, Value>, partial: bool) {
        match fields.get("id").and_then(Value::as_str).map(str::trim).filter(|id| !id.is_empty()) {
            Some(id) => self.put_row(Row { table, id: id.to_owned(), fields, partial }),
            None => {
                let name = fields.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
                self.tell(Told::new(table.name(), name, "it is passed over: it has no id"));
            }
        }
    }

    fn put_row(&mut self, row: Row) {
        if self.rows.len() >= ROWS_MAX && !self.rows.contains_key(&(row.table, row.id.clone())) {
            let why = format!("it is passed over: at most {ROWS_MAX} records are taken at once");
            return self.tell(Told::new(row.table.name(), row.id, why));
        }
        let key = (row.table, row.id.clone());
        let Some(known) = self.rows.get_mut(&key) else {
            self.rows.insert(key, row);
            return;
        };
        let unlike = add_to(known, row);
        if let Some(field) = unlike {
            let why = format!("it is told twice, and {field} is not the same; what was told first is taken");
            self.tell(Told::new(key.0.name(), key.1, why));
        }
    }
}

/// Adds to a record what another telling of it says; the field that is said otherwise, if one is.
fn add_to(known: &mut Row, other: Row) -> Option<String> {
    let mut unlike = None;
    known.partial &= other.partial;
    for (key, value) in other.fields {
        match (known.fields.get_mut(&key), value) {
            (None, value) => {
                known.fields.insert(key, value);
            }
            (Some(Value::Array(items)), Value::Array(more)) if comes_in_parts(&key) => put_by_id(items, more),
            (Some(before), value) if *before == value || value.is_null() => {}
            (Some(before), value) if before.is_null() => *before = value,
            _ => unlike = unlike.or(Some(key)),
        }
    }
    unlike
}

/// Lists that may come in parts, each item with an id of its own.
pub fn comes_in_parts(key: &str) -> bool {
    ["service_at_locations", "taxonomy_terms"].contains(&key)
}

/// Puts these items into a list, each in the place of the one with the same id.
pub fn put_by_id(items: &mut Vec<Value>, more: Vec<Value>) {
    let id = |item: &Value| item.get("id").and_then(Value::as_str).map(str::to_owned);
    let mut places: HashMap<String, usize> =
        items.iter().enumerate().filter_map(|(at, item)| Some((id(item)?, at))).collect();
    for item in more {
        match id(&item).and_then(|id| places.get(&id).copied()).and_then(|at| items.get_mut(at)) {
            Some(place) => *place = item,
            None => {
                places.extend(id(&item).map(|id| (id, items.len())));
                items.push(item);
            }
        }
    }
}

/// What a record is of, by the fields it has.
fn kind_of(record: &Map<String, Value>) -> Option<Kind> {
    let has = |key: &str| record.contains_key(key);
    let any = |keys: &[&str]| keys.iter().any(|key| has(key));
    if has("service") || has("service_id") && (has("location_id") || has("location")) {
        Some(Kind::AtLocation)
    } else if has("taxonomy_terms") {
        Some(Kind::Taxonomy)
    } else if any(&TERM) {
        Some(Kind::Term)
    } else if any(&SERVICE) {
        Some(Kind::Service)
    } else if any(&LOCATION) {
        Some(Kind::Location)
    } else if any(&ORGANIZATION) {
        Some(Kind::Organization)
    } else if has("version") {
        Some(Kind::Taxonomy)
    } else {
        None
    }
}

#[cfg(test)]
pub(in super::super) mod tests;

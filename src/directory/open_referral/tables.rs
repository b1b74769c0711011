//! Open Referral's tables as CSV files, one a table, joined by their ids into the records that the API would answer.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value, json};

use super::{Feed, Told};

/// So many lines of one table are read.
const LINES_MAX: usize = 200_000;
/// The longest cell that is read, in bytes.
const CELL_MAX_BYTES: usize = 64 * 1024;

/// The tables by the names that their files have.
const TABLES: [(&str, &str); 28] = [
    ("service", "services"),
    ("services", "services"),
    ("organization", "organizations"),
    ("organizations", "organizations"),
    ("location", "locations"),
    ("locations", "locations"),
    ("service_at_location", "service_at_locations"),
    ("service_at_locations", "service_at_locations"),
    ("taxonomy", "taxonomies"),
    ("taxonomies", "taxonomies"),
    ("taxonomy_term", "taxonomy_terms"),
    ("taxonomy_terms", "taxonomy_terms"),
    ("address", "addresses"),
    ("addresses", "addresses"),
    ("attribute", "attributes"),
    ("attributes", "attributes"),
    ("schedule", "schedules"),
    ("schedules", "schedules"),
    ("contact", "contacts"),
    ("contacts", "contacts"),
    ("phone", "phones"),
    ("phones", "phones"),
    ("organization_identifiers", "organization_identifiers"),
    ("accessibility", "accessibility"),
    ("cost_options", "cost_options"),
    ("funding", "funding"),
    ("languages", "languages"),
    ("service_areas", "service_areas"),
];
/// Tables of which each line belongs to the record that one of these columns names, the first that is filled.
const PARTS: [(&str, &[(&str, &str)]); 11] = [
    ("phones", &[("contact_id", "contacts"), ("service_id", "services"), ("location_id", "locations")]),
    ("languages", &[("service_id", "services"), ("location_id", "locations")]),
    ("contacts", &[("service_id", "services"), ("location_id", "locations")]),
    ("schedules", &[("service_id", "services"), ("location_id", "locations")]),
    ("cost_options", &[("service_id", "services")]),
    ("service_areas", &[("service_id", "services")]),
    ("funding", &[("service_id", "services"), ("organization_id", "organizations")]),
    ("addresses", &[("location_id", "locations")]),
    ("accessibility", &[("location_id", "locations")]),
    ("organization_identifiers", &[("organization_id", "organizations")]),
    ("service_at_locations", &[("service_id", "services")]),
];
/// Columns that hold numbers (`schema/*.json`).
const NUMBERS: [&str; 6] = ["latitude", "longitude", "minimum_age", "maximum_age", "amount", "interval"];

type Lines = BTreeMap<String, Map<String, Value>>;

/// Takes the CSV files of one folder, each with its name. What belongs to nothing that is there is told of and passed over.
pub fn add_tables(files: &[(String, Vec<u8>)], feed: &mut Feed) {
    let mut tables: BTreeMap<&str, Lines> = BTreeMap::new();
    for (name, bytes) in files {
        let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem).to_ascii_lowercase();
        match TABLES.iter().find(|(known, _)| *known == stem) {
            Some((_, table)) => read(name, bytes, tables.entry(table).or_default(), feed),
            None => {
                let why =
                    "it is passed over: no table of Open Referral UK that the directory has a use for is called so";
                feed.tell(Told::new("file", name, why));
            }
        }
    }
    let terms = tables.get("taxonomy_terms").cloned().unwrap_or_default();
    attributes(tables.remove("attributes").unwrap_or_default(), &terms, &mut tables, feed);
    for (part, holders) in PARTS {
        let Some(lines) = tables.remove(part) else { continue };
        for (id, mut line) in lines {
            if part == "service_at_locations" {
                // a record nests its place; its name in a table is the place's id alone
                if let Some(place) = line.get("location_id").cloned() {
                    line.insert("location".to_owned(), json!({"id": place}));
                }
            }
            let named = holders.iter().find_map(|(column, table)| {
                let of = line.get(*column)?.as_str()?;
                tables.get(table)?.contains_key(of).then(|| (*table, of.to_owned()))
            });
            match named.and_then(|(table, of)| tables.get_mut(table)?.get_mut(&of)) {
                Some(holder) => push(holder, part, line),
                None => feed.tell(Told::new(part, id, "it is passed over: what it belongs to is not there")),
            }
        }
    }
    for (_, mut service) in tables.remove("services").unwrap_or_default() {
        if let Some(id) = service.get("organization_id").cloned() {
            service.insert("organization".to_owned(), json!({"id": id}));
        }
        feed.add(json!({"services": [service]}), "services");
    }
    for table in ["organizations", "locations", "taxonomies", "taxonomy_terms"] {
        let lines: Vec<Value> = tables.remove(table).unwrap_or_default().into_values().map(Value::Object).collect();
        if !lines.is_empty() {
            feed.add(json!({table: lines}), table);
        }
    }
}

/// What a term says of a record, joined with the term.
fn attributes(lines: Lines, terms: &Lines, tables: &mut BTreeMap<&str, Lines>, feed: &mut Feed) {
    for (id, mut line) in lines {
        let term = line.get("taxonomy_term_id").and_then(Value::as_str).and_then(|id| terms.get(id));
        let Some(term) = term else {
            feed.tell(Told::new("attributes", id, "it is passed over: its taxonomy term is not there"));
            continue;
        };
        line.insert("taxonomy_term".to_owned(), term.clone().into());
        let of = line.get("link_id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let holder = tables.values_mut().find_map(|lines| lines.get_mut(&of));
        match holder {
            Some(holder) => push(holder, "attributes", line),
            None => feed.tell(Told::new("attributes", id, "it is passed over: what it belongs to is not there")),
        }
    }
}

fn push(holder: &mut Map<String, Value>, part: &str, line: Map<String, Value>) {
    if let Value::Array(items) = holder.entry(part).or_insert_with(|| Value::Array(Vec::new())) {
        items.push(line.into());
    }
}

fn read(name: &str, bytes: &[u8], lines: &mut Lines, feed: &mut Feed) {
    let mut reader =
        csv::ReaderBuilder::new().flexible(true).from_reader(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes));
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(_) => return feed.tell(Told::new("file", name, "it is passed over: it is no CSV in UTF-8")),
    };
    for (at, record) in reader.records().enumerate() {
        if at == LINES_MAX {
            return feed.tell(Told::new("file", name, format!("only its first {LINES_MAX} lines are read")));
        }
        let Ok(record) = record else {
            feed.tell(Told::new("file", name, format!("record {} is passed over: it is no CSV in UTF-8", at + 1)));
            continue;
        };
        let mut line = Map::new();
        for (column, cell) in header.iter().zip(&record) {
            let column = column.trim();
            if cell.len() > CELL_MAX_BYTES {
                let why =
                    format!("{column} of record {} is left out: it is longer than {CELL_MAX_BYTES} bytes", at + 1);
                feed.tell(Told::new("file", name, why));
            } else if !cell.trim().is_empty() {
                line.insert(column.to_owned(), value(column, cell));
            }
        }
        match line.get("id").and_then(Value::as_str).map(str::to_owned) {
            Some(id) => {
                // the same line may stand in two files, with more columns in one
                let known: &mut Map<String, Value> = lines.entry(id).or_default();
                line.into_iter().for_each(|(column, value)| {
                    known.entry(column).or_insert(value);
                });
            }
            None if line.is_empty() => {}
            None => feed.tell(Told::new("file", name, format!("record {} is passed over: it has no id", at + 1))),
        }
    }
}

/// A cell: a number where the column holds numbers and this is one.
fn value(column: &str, cell: &str) -> Value {
    let number = NUMBERS.contains(&column).then(|| cell.trim().parse::<Number>().ok()).flatten();
    number.map_or_else(|| cell.into(), Value::Number)
}

#[cfg(test)]
mod tests;

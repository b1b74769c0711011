//! What an import would do, decided from what comes and what is known: the same again does nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    identity,
    merge::three_way,
    open_referral::{self, Row, Table, Told},
};
use crate::{domain::EntryKind, fhir::canonical};

/// An entry of the same source that the directory has.
#[derive(Debug, Clone)]
pub struct Known {
    /// Of which kind it is.
    pub kind: EntryKind,
    /// Its logical id.
    pub id: Uuid,
    /// Its current version.
    pub version: u64,
    /// What it is called at the source.
    pub name: String,
    /// The resource.
    pub body: Value,
}

/// An entry as it is to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// Of which kind it is.
    pub kind: EntryKind,
    /// Its logical id.
    pub id: Uuid,
    /// The version that it is written over; 0 where there was none.
    pub over: u64,
    /// What it is called at the source.
    pub name: String,
    /// The resource, without its id.
    pub body: Value,
}

/// What an import would do.
#[derive(Debug, Default)]
pub struct Planned {
    /// Entries that there are not yet.
    pub created: Vec<Write>,
    /// Entries that would have another version.
    pub updated: Vec<Write>,
    /// How many are as they were.
    pub unchanged: usize,
    /// What could not be taken, and why.
    pub skipped: Vec<Told>,
    /// What a person should know of what is taken.
    pub noted: Vec<Told>,
    /// Entries of which the source no longer tells, which are still active.
    pub gone: Vec<Told>,
    /// Those that would be made inactive for it.
    pub retired: Vec<Write>,
}

/// What is to be planned.
pub struct Import<'a> {
    /// Where all this comes from: a URI.
    pub source: &'a str,
    /// What comes.
    pub rows: Vec<Row>,
    /// What is known of that source, all of it.
    pub known: Vec<Known>,
    /// Whether it is all that the source has, so that what is not among it is gone.
    pub whole: bool,
    /// Whether what is gone becomes inactive.
    pub retire: bool,
}

// === impl Import ===

impl Import<'_> {
    /// Decides what is to be written. `new_id` gives an id to each entry that is new.
    pub fn plan(self, new_id: &mut dyn FnMut() -> Uuid) -> Planned {
        let Self { source, rows, known, whole, retire } = self;
        let mut planned = Planned::default();
        let known: BTreeMap<(EntryKind, String), Known> =
            known.into_iter().map(|entry| ((entry.kind, entry.name.clone()), entry)).collect();
        let (mut coming, mut told) = (Vec::new(), BTreeSet::new());
        for row in rows {
            let key = (row.table.kind(), row.entry_id());
            told.insert(key.clone());
            let entry = known.get(&key);
            let (row, before) = with_before(row, entry, source);
            match row.to_fhir(source) {
                Ok((body, notes)) => {
                    let note = |why| Told::new(row.table.name(), &row.id, why);
                    planned.noted.extend(notes.into_iter().map(note));
                    coming.push((key, body, before, row.table));
                }
                Err(why) => {
                    planned.skipped.push(Told::new(row.table.name(), row.id, format!("it is passed over: {why}")));
                }
            }
        }
        let mut ids: HashMap<(EntryKind, &str), Uuid> =
            known.iter().map(|((kind, name), entry)| ((*kind, name.as_str()), entry.id)).collect();
        for ((kind, name), ..) in &coming {
            ids.entry((*kind, name)).or_insert_with(&mut *new_id);
        }
        let look = |kind: EntryKind, of: &str, name: &str| {
            (of == source).then(|| ids.get(&(kind, name)).map(Uuid::to_string)).flatten()
        };
        for ((kind, name), mut body, mut before, table) in coming.iter().cloned() {
            let Some(id) = ids.get(&(kind, name.as_str())).copied() else { continue };
            identity::resolve(&mut body, &look);
            unresolved(&body, table, &name, &mut planned.noted);
            let Some(entry) = known.get(&(kind, name.clone())) else {
                planned.created.push(Write { kind, id, over: 0, name, body });
                continue;
            };
            let mut is = entry.body.clone();
            identity::resolve(&mut is, &look);
            if let Some(before) = &mut before {
                identity::resolve(before, &look);
            }
            let (merged, both) = three_way(before.as_ref(), &is, &body);
            if same(&merged, &entry.body) {
                planned.unchanged += 1;
                continue;
            }
            for element in both {
                let why = format!("{element} was changed here and at the source; the source's word is taken");
                planned.noted.push(Told::new(table.name(), &name, why));
            }
            planned.updated.push(Write { kind, id, over: entry.version, name, body: merged });
        }
        if whole {
            missing(&known, &told, retire, &mut planned);
        }
        planned
    }
}

// === impl Planned ===

impl Planned {
    /// All that is to be written, in an order in which nothing refers to what is not there yet.
    pub fn writes(&self) -> Vec<&Write> {
        let mut writes: Vec<_> = self.created.iter().chain(&self.updated).chain(&self.retired).collect();
        let mut depths = HashMap::new();
        let parents: HashMap<String, &str> = writes
            .iter()
            .filter_map(|one| {
                Some((format!("{}/{}", one.kind, one.id), one.body.get("partOf")?.get("reference")?.as_str()?))
            })
            .collect();
        for one in &writes {
            let (mut at, mut depth) = (format!("{}/{}", one.kind, one.id), 0_usize);
            while let Some(parent) = parents.get(&at).filter(|_| depth < parents.len()) {
                (at, depth) = ((*parent).to_owned(), depth + 1);
            }
            depths.insert((one.kind, one.id), depth);
        }
        writes.sort_by_key(|one| (Table::of(one.kind), depths.get(&(one.kind, one.id)).copied()));
        writes
    }

    /// As JSON.
    pub fn as_json(&self) -> Value {
        let named = |writes: &[Write]| -> Vec<Value> {
            let of = |one: &Write| json!({"entry": format!("{}/{}", one.kind, one.id), "id": one.name});
            writes.iter().map(of).collect()
        };
        json!({
            "created": named(&self.created),
            "updated": named(&self.updated),
            "unchanged": self.unchanged,
            "skipped": self.skipped,
            "noted": self.noted,
            "gone": self.gone,
            "retired": named(&self.retired),
        })
    }
}

/// What comes, with what the source told before where it now tells only a part; and the entry as the source made it then.
fn with_before(mut row: Row, entry: Option<&Known>, source: &str) -> (Row, Option<Value>) {
    let Some(kept) = entry.and_then(|entry| open_referral::kept_row(entry.kind, source, &entry.body)) else {
        return (row, None);
    };
    let before = kept.to_fhir(source).ok().map(|(body, _)| body);
    if row.partial {
        for (key, old) in kept.fields.iter().filter(|(key, _)| *key != open_referral::GONE) {
            match row.fields.get_mut(key) {
                None => {
                    row.fields.insert(key.clone(), old.clone());
                }
                Some(Value::Array(items)) if open_referral::comes_in_parts(key) => {
                    // what it tells anew is first; in the order it had
                    let anew = std::mem::replace(items, old.as_array().cloned().unwrap_or_default());
                    open_referral::put_by_id(items, anew);
                }
                Some(_) => {}
            }
        }
        let in_order = kept.fields.keys().filter_map(|key| Some((key.clone(), row.fields.get(key)?.clone())));
        let new = row.fields.iter().filter(|(key, _)| !kept.fields.contains_key(*key));
        let fields: Map<_, _> = in_order.chain(new.map(|(key, value)| (key.clone(), value.clone()))).collect();
        row.fields = fields;
    }
    (row, before)
}

/// Tells of references to entries that nobody knows.
fn unresolved(body: &Value, table: Table, id: &str, noted: &mut Vec<Told>) {
    crate::fhir::tree::each_reference(body, &mut |_, reference| {
        let name = reference.get("identifier").and_then(|identifier| identifier.get("value")).and_then(Value::as_str);
        let kind = reference.get("type").and_then(Value::as_str);
        if let (None, Some(name), Some(kind)) = (reference.get("reference"), name, kind) {
            let why = format!("its {kind} {name} is not in the directory; it is kept by its identifier alone");
            noted.push(Told::new(table.name(), id, why));
        }
    });
}

/// What the source no longer tells of.
fn missing(
    known: &BTreeMap<(EntryKind, String), Known>,
    told: &BTreeSet<(EntryKind, String)>,
    retire: bool,
    planned: &mut Planned,
) {
    for (key, entry) in known.iter().filter(|(key, _)| !told.contains(*key)) {
        let Some(body) = open_referral::retired(entry.kind, &entry.body) else { continue };
        let why = if retire {
            "its source no longer tells of it; it becomes inactive"
        } else {
            "its source no longer tells of it; --retire makes it inactive"
        };
        planned.gone.push(Told::new(Table::of(entry.kind).name(), &key.1, why));
        if retire {
            let (kind, id, over) = (entry.kind, entry.id, entry.version);
            planned.retired.push(Write { kind, id, over, name: key.1.clone(), body });
        }
    }
}

/// Whether two bodies say the same, whatever the order of their keys; who wrote them when does not count.
fn same(one: &Value, other: &Value) -> bool {
    let plain = |body: &Value| {
        let mut body = body.clone();
        if let Value::Object(object) = &mut body {
            object.shift_remove("id");
        }
        canonical::digest(&[&body])
    };
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests;

//! What an import would do, decided from what comes and what is known: the same again does nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    identity,
    merge::three_way,
    open_referral::{self, Row, Table, Told, told_id},
};
use crate::{
    domain::{EntryKind, ProviderId},
    fhir::canonical,
};

/// What is told of a service that nobody provides.
const NOBODYS: &str = "nobody is said to provide it; --provider, or a steward, says who";

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
    /// What is known beside it.
    pub beside: Beside,
    /// Whether it is all that the source has, so that what is not among it is gone.
    pub whole: bool,
    /// Whether what is gone becomes inactive.
    pub retire: bool,
}

/// What an import has to know of the directory beside the entries of its source.
#[derive(Debug, Default)]
pub struct Beside {
    /// What the directory tells of this source itself, today: who tells the same tells nothing new.
    pub told: Vec<Row>,
    /// Entries of other sources, and what the configuration makes, by the names that they have in what is told of this one: their
    /// logical ids, or none where another source brings them yet.
    pub elsewhere: HashMap<(EntryKind, String), Option<String>>,
}

// === impl Import ===

impl Import<'_> {
    /// Decides what is to be written. `new_id` gives an id to each entry that is new.
    pub fn plan(self, new_id: &mut dyn FnMut() -> Uuid) -> Planned {
        let Self { source, rows, known, beside, whole, retire } = self;
        let mut planned = Planned::default();
        let called = |kind, name: &str| (kind, told_id(source, Table::of(kind), name));
        let known: BTreeMap<(EntryKind, String), Known> =
            known.into_iter().map(|entry| (called(entry.kind, &entry.name), entry)).collect();
        let ours: HashMap<(EntryKind, String), &Row> =
            beside.told.iter().map(|row| (called(row.table.kind(), &row.id), row)).collect();
        let (mut coming, mut as_told, mut told) = (Vec::new(), Vec::new(), BTreeSet::new());
        for mut row in rows {
            let key = called(row.table.kind(), &row.id);
            if !known.contains_key(&key) && beside.elsewhere.contains_key(&key) {
                continue;
            }
            told.insert(key.clone());
            let (entry, ours) = (known.get(&key), ours.get(&key));
            if ours.is_some_and(|ours| says_the_same(&row, ours)) {
                as_told.push((key, row.table));
                continue;
            }
            if let Some(entry) = entry {
                // it keeps the name that it has
                row.id = entry.name.strip_prefix("taxonomies/").unwrap_or(&entry.name).to_owned();
            }
            let (row, before) = with_before(row, entry, ours.copied(), source);
            match row.to_fhir(source) {
                Ok((body, notes)) => {
                    let note = |why| Told::new(row.table.name(), &row.id, why);
                    planned.noted.extend(notes.into_iter().map(note));
                    coming.push((key, row.entry_id(), body, before, row.table));
                }
                Err(why) => {
                    planned.skipped.push(Told::new(row.table.name(), row.id, format!("it is passed over: {why}")));
                }
            }
        }
        let mut ids: HashMap<&(EntryKind, String), Uuid> = known.iter().map(|(key, entry)| (key, entry.id)).collect();
        for (key, ..) in &coming {
            ids.entry(key).or_insert_with(&mut *new_id);
        }
        let look = |kind: EntryKind, of: &str, name: &str| {
            let key = (of == source).then(|| called(kind, name))?;
            let own = ids.get(&key).map(Uuid::to_string);
            own.or_else(|| beside.elsewhere.get(&(kind, name.to_owned())).cloned().flatten())
        };
        for (key, table) in as_told {
            // it may name by its identifier what is there by now
            let now = known.get(&key).map(|entry| {
                let mut body = entry.body.clone();
                identity::resolve(&mut body, &look);
                unresolved(&body, table, &entry.name, &mut planned.noted);
                (entry, body)
            });
            match now {
                Some((entry, body)) if !same(&body, &entry.body) => {
                    let (kind, id, name) = (key.0, entry.id, entry.name.clone());
                    planned.updated.push(Write { kind, id, over: entry.version, name, body });
                }
                _ => planned.unchanged += 1,
            }
        }
        for (key, name, mut body, mut before, table) in coming.iter().cloned() {
            let Some(id) = ids.get(&key).copied() else { continue };
            let kind = key.0;
            identity::resolve(&mut body, &look);
            unresolved(&body, table, &name, &mut planned.noted);
            let Some(entry) = known.get(&key) else {
                if kind == EntryKind::HealthcareService && body.get("providedBy").is_none() {
                    planned.noted.push(Told::new(table.name(), &name, NOBODYS));
                }
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

    /// Has what is new belong to a provider: organisations that are part of no other, and services of nobody, places of nobody.
    pub fn give_to(&mut self, provider: &ProviderId) {
        self.noted.retain(|told| told.why != NOBODYS);
        for one in &mut self.created {
            let element = match one.kind {
                EntryKind::Organization => "partOf",
                EntryKind::HealthcareService => "providedBy",
                EntryKind::Location => "managingOrganization",
                EntryKind::Endpoint => continue,
            };
            if let Some(body) = one.body.as_object_mut()
                && !body.contains_key(element)
            {
                body.insert(
                    element.to_owned(),
                    json!({"reference": format!("{}/{provider}", EntryKind::Organization)}),
                );
            }
        }
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
fn with_before(mut row: Row, entry: Option<&Known>, ours: Option<&Row>, source: &str) -> (Row, Option<Value>) {
    let kept = entry.and_then(|entry| open_referral::kept_row(entry.kind, source, &entry.body));
    // of an entry that was made here, what is told of it is what was told before
    let Some(kept) = kept.or_else(|| entry.and(ours).cloned()) else { return (row, None) };
    if let Some(own) = kept.fields.get(open_referral::OWN) {
        // what Open Referral has no word for is in no record that comes back from there
        row.fields.entry(open_referral::OWN).or_insert_with(|| own.clone());
    }
    open_referral::leave_out_stories(&mut row.fields, &kept.fields);
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

/// Whether a record says what the directory tells itself. Where the source has more than it tells, only what it tells counts.
fn says_the_same(row: &Row, ours: &Row) -> bool {
    // services are told for themselves, and stand in their organisation or not
    let plain = |fields: &Map<String, Value>| {
        let mut fields = fields.clone();
        fields.shift_remove("services");
        canonical::digest(&[&Value::Object(fields)])
    };
    if !row.partial {
        return plain(&row.fields) == plain(&ours.fields);
    }
    let has =
        |items: &[Value], all: &Value| all.as_array().is_some_and(|all| items.iter().all(|one| all.contains(one)));
    row.fields.iter().all(|(key, value)| match (value, ours.fields.get(key)) {
        (Value::Array(items), Some(all)) if open_referral::comes_in_parts(key) => has(items, all),
        (value, ours) => ours == Some(value),
    })
}

/// What the source no longer tells of.
fn missing(
    known: &BTreeMap<(EntryKind, String), Known>,
    told: &BTreeSet<(EntryKind, String)>,
    retire: bool,
    planned: &mut Planned,
) {
    for (_, entry) in known.iter().filter(|(key, _)| !told.contains(*key)) {
        let Some(body) = open_referral::retired(entry.kind, &entry.body) else { continue };
        let why = if retire {
            "its source no longer tells of it; it becomes inactive"
        } else {
            "its source no longer tells of it; --retire makes it inactive"
        };
        planned.gone.push(Told::new(Table::of(entry.kind).name(), &entry.name, why));
        if retire {
            let (kind, id, over) = (entry.kind, entry.id, entry.version);
            planned.retired.push(Write { kind, id, over, name: entry.name.clone(), body });
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

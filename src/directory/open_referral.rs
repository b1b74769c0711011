//! Open Referral UK 3.0 (an HSDS 3.0 profile): its records become entries of the directory, and entries become its records.
//!
//! A record is kept whole in the entry it became, in the extension `open-referral`. So what FHIR has no place for goes out again as
//! it came in; what is written here since is told by the difference between the entry and what its record would become today; and
//! the next import can tell what the source changed from what was changed here.

use serde_json::{Map, Value, json};

use super::{
    element::{self, extensions, set},
    identity,
};
use crate::{definitions::Primitive, domain::EntryKind, fhir::primitive};

pub mod catalogue;
mod feed;
mod location;
mod organization;
mod record;
mod schedule;
mod service;
mod tables;
mod taxonomy;
mod terms;
mod view;

pub use feed::{Feed, ROWS_MAX};
pub(super) use feed::{comes_in_parts, put_by_id};
pub use tables::add_tables;
pub use view::{Entry, Records, alias_of, elsewhere, listed, referred_to, sources};

/// The longest record that is taken, in bytes of JSON.
pub const RECORD_MAX_BYTES: usize = 64 * 1024;
/// The longest taxonomy with its terms, in bytes of JSON.
pub const TAXONOMY_MAX_BYTES: usize = 160 * 1024;
/// The field of a row that holds what Open Referral has no word for; it never goes out.
pub(super) const OWN: &str = "onward";
/// What stands in that field of stories that were taken out here.
const TAKEN_OUT: &str = "taken_out";
/// The field of a row that says that the source no longer tells of it; it never goes out.
pub(super) const GONE: &str = "onward-gone";
/// The id of the row that holds terms of no taxonomy that is known.
const LOOSE_TERMS: &str = "taxonomy_terms";
/// The extension that holds the record.
const KEPT: &str = "open-referral";

/// What a record is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// `organization`
    Organization,
    /// `location`
    Location,
    /// `taxonomy`, with its terms; or the terms of none.
    Taxonomy,
    /// `service`, with what is only true of it at one place.
    Service,
}

/// A record of Open Referral, its nested organisations and locations replaced by their ids.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What it is of.
    pub table: Table,
    /// Its id at the source.
    pub id: String,
    /// What it says.
    pub fields: Map<String, Value>,
    /// Whether it may be only some of what the source knows, as on the page of a list: what it does not say stands.
    pub partial: bool,
}

/// Something of an import that a person should know of.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Told {
    /// What it is about: a table or a file.
    pub what: String,
    /// Its id there, or its name.
    pub id: String,
    /// What is the matter, and what becomes of it.
    pub why: String,
}

/// What the references of an entry mean in Open Referral.
pub(super) struct Names<'a> {
    source: &'a str,
    known: &'a dyn Fn(&str) -> Option<String>,
}

// === impl Table ===

impl Table {
    /// Of which kind an entry is that such a record becomes. R4 has no entry of a directory for taxonomies: what stands here
    /// for one is where it is published, an Endpoint.
    pub fn kind(self) -> EntryKind {
        match self {
            Self::Organization => EntryKind::Organization,
            Self::Location => EntryKind::Location,
            Self::Taxonomy => EntryKind::Endpoint,
            Self::Service => EntryKind::HealthcareService,
        }
    }

    /// What an entry of this kind is a record of.
    pub fn of(kind: EntryKind) -> Self {
        match kind {
            EntryKind::Organization => Self::Organization,
            EntryKind::Location => Self::Location,
            EntryKind::Endpoint => Self::Taxonomy,
            EntryKind::HealthcareService => Self::Service,
        }
    }

    /// Its name in Open Referral.
    pub fn name(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::Location => "location",
            Self::Taxonomy => "taxonomy",
            Self::Service => "service",
        }
    }

    /// The longest record of it, in bytes of JSON.
    fn max_bytes(self) -> usize {
        if self == Self::Taxonomy { TAXONOMY_MAX_BYTES } else { RECORD_MAX_BYTES }
    }
}

// === impl Told ===

impl Told {
    /// See the fields.
    pub fn new(what: impl Into<String>, id: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), id: id.into(), why: why.into() }
    }
}

// === impl Row ===

impl Row {
    /// The entry that it becomes, with references to other entries by their identifiers; what of it could not be taken.
    ///
    /// # Errors
    /// Why it can be none.
    pub fn to_fhir(&self, source: &str) -> Result<(Value, Vec<String>), String> {
        let kept = Value::Object(self.fields.clone()).to_string();
        if kept.len() > self.table.max_bytes() {
            return Err(format!("it is longer than {} bytes", self.table.max_bytes()));
        }
        if primitive::text_fault(Primitive::String, &self.id).is_some() || self.id.len() > ID_MAX_BYTES {
            return Err(format!("its id is no text of 1 to {ID_MAX_BYTES} bytes"));
        }
        let (mut resource, notes) = self.elements(source);
        let mut extensions = match resource.shift_remove("extension") {
            Some(Value::Array(extensions)) => extensions,
            _ => Vec::new(),
        };
        extensions.push(element::extension(KEPT, "valueString", kept));
        set(&mut resource, "extension", extensions);
        Ok((resource.into(), notes))
    }

    /// The same without the record itself.
    fn elements(&self, source: &str) -> (Map<String, Value>, Vec<String>) {
        let (mut resource, mut notes) = (Map::new(), Vec::new());
        set(&mut resource, "resourceType", self.table.kind().to_string());
        set(&mut resource, "meta", json!({"source": source}));
        set(&mut resource, "identifier", vec![identity::identifier(source, &self.entry_id())]);
        match self.table {
            Table::Organization => organization::to_fhir(&self.fields, source, &mut resource),
            Table::Location => location::to_fhir(&self.fields, &mut resource, &mut notes),
            Table::Taxonomy => taxonomy::to_fhir(self, source, &mut resource),
            Table::Service => service::to_fhir(&self.fields, source, &mut resource),
        }
        if self.fields.contains_key(GONE) {
            let (key, value) = inactive(self.table.kind());
            resource.insert(key.to_owned(), value);
        }
        (resource, notes)
    }

    /// By what the entry is known again: the id, below the name of its table where others could have the same.
    pub fn entry_id(&self) -> String {
        match self.table {
            Table::Taxonomy if self.id != LOOSE_TERMS => format!("taxonomies/{}", self.id),
            _ => self.id.clone(),
        }
    }
}

/// What distinguishes the folder of a source from that of any other: a few letters made of its name.
pub fn folder_id(source: &str) -> String {
    element::made_id(&["source", source]).simple().to_string().chars().take(8).collect()
}

/// What a record is called where it is told: by its id at its source where that is a UUID, as the schemas want it, and otherwise by one
/// that is made of it. Two names of one source for which this is the same are of the same entry.
pub fn told_id(source: &str, table: Table, id: &str) -> String {
    let id = if table == Table::Taxonomy { id.strip_prefix("taxonomies/").unwrap_or(id) } else { id };
    if uuid::Uuid::try_parse(id).is_ok() || table == Table::Taxonomy && id == LOOSE_TERMS {
        return id.to_owned();
    }
    element::made_id(&["source", source, table.name(), id]).to_string()
}

/// The longest id of a record, in bytes.
const ID_MAX_BYTES: usize = 500;

/// The record that an entry was when it was last imported, where it was.
pub(super) fn kept(body: &Value) -> Option<Map<String, Value>> {
    let text = extensions(body, KEPT).next()?.get("valueString")?.as_str()?;
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => Some(fields),
        _ => None,
    }
}

/// The row that an entry was when it was last imported.
pub(super) fn kept_row(kind: EntryKind, source: &str, body: &Value) -> Option<Row> {
    let (table, fields) = (Table::of(kind), kept(body)?);
    let id = identity::id_at(source, body)?;
    let id = if table == Table::Taxonomy { id.strip_prefix("taxonomies/").unwrap_or(id) } else { id };
    Some(Row { table, id: id.to_owned(), fields, partial: false })
}

/// How an entry of this kind says that it is no longer there: an element and its value.
pub(super) fn inactive(kind: EntryKind) -> (&'static str, Value) {
    match kind {
        EntryKind::Organization | EntryKind::HealthcareService => ("active", false.into()),
        EntryKind::Location => ("status", "inactive".into()),
        EntryKind::Endpoint => ("status", "off".into()),
    }
}

/// An entry whose source no longer tells of it; none where it is inactive already.
pub(super) fn retired(kind: EntryKind, body: &Value) -> Option<Value> {
    let (key, value) = inactive(kind);
    if body.get(key) == Some(&value) {
        return None;
    }
    let mut body = body.clone();
    let fields = kept(&body).map(|mut fields| {
        // so that it is known to be back when it is told of again
        fields.insert(GONE.to_owned(), true.into());
        Value::Object(fields).to_string()
    });
    let object = body.as_object_mut()?;
    object.insert(key.to_owned(), value);
    if let Some(fields) = fields
        && let Some(kept) = object.get_mut("extension").and_then(Value::as_array_mut)
        && let Some(kept) = kept.iter_mut().find(|one| is_kept(one)).and_then(Value::as_object_mut)
    {
        kept.insert("valueString".to_owned(), fields.into());
    }
    Some(body)
}

/// Takes stories out of the record that an extension holds, and remembers by what they are known again; whether there were any.
pub(super) fn forget_stories(record: &mut Value, goes: &dyn Fn(&Value) -> bool) -> bool {
    let text = record.get("valueString").and_then(Value::as_str).unwrap_or_default();
    let Ok(Value::Object(mut fields)) = serde_json::from_str(text) else { return false };
    let Some(own) = fields.get_mut(OWN).and_then(Value::as_object_mut) else { return false };
    let (out, stay): (Vec<Value>, Vec<Value>) = own
        .get("stories")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
        .into_iter()
        .partition(|told| told.as_object().and_then(service::story).is_none_or(|story| goes(&story)));
    if out.is_empty() {
        return false;
    }
    if stay.is_empty() {
        own.shift_remove("stories");
    } else {
        own.insert("stories".to_owned(), stay.into());
    }
    if let Some(known) = own.entry(TAKEN_OUT).or_insert_with(|| json!([])).as_array_mut() {
        known.extend(out.iter().map(|told| Value::from(story_digest(told))));
    }
    if let Some(object) = record.as_object_mut() {
        object.insert("valueString".to_owned(), Value::Object(fields).to_string().into());
    }
    true
}

/// Leaves out of a row the stories that were taken out of what it told before.
pub(super) fn leave_out_stories(fields: &mut Map<String, Value>, kept: &Map<String, Value>) {
    let Some(known) = kept.get(OWN).and_then(|own| own.get(TAKEN_OUT)?.as_array()) else { return };
    let Some(own) = fields.get_mut(OWN).and_then(Value::as_object_mut) else { return };
    if let Some(stories) = own.get_mut("stories").and_then(Value::as_array_mut) {
        stories.retain(|told| !known.contains(&story_digest(told).into()));
        if stories.is_empty() {
            own.shift_remove("stories");
        }
    }
    own.insert(TAKEN_OUT.to_owned(), known.clone().into());
}

/// By what a story is known again of which nothing is kept.
fn story_digest(told: &Value) -> String {
    crate::fhir::canonical::digest(&[told]).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether an extension is the one that holds the record.
pub(super) fn is_kept(extension: &Value) -> bool {
    let url = extension.get("url").and_then(Value::as_str);
    url.and_then(|url| url.strip_prefix(element::EXTENSIONS)) == Some(KEPT)
}

// === impl Names ===

impl Names<'_> {
    fn source(&self) -> &str {
        self.source
    }

    /// The id of the record that a reference means.
    fn id_of(&self, reference: &Value) -> Option<String> {
        if let Some(literal) = reference.get("reference").and_then(Value::as_str) {
            return match identity::named(literal) {
                Some((_, source, id)) => (source == self.source).then_some(id),
                None => (self.known)(literal),
            };
        }
        let identifier = reference.get("identifier")?;
        self.is_own(identifier).then(|| identifier.get("value")?.as_str().map(str::to_owned)).flatten()
    }

    /// Whether an identifier is the one at the source.
    fn is_own(&self, identifier: &Value) -> bool {
        !self.source.is_empty() && identifier.get("system").and_then(Value::as_str) == Some(self.source)
    }
}

//! An import is carried out: what was planned is looked at like whatever a steward writes, and what passes is written.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use uuid::Uuid;

use super::{
    Directory, body_of, identity,
    open_referral::{Entry, Records, Told, elsewhere},
    plan::{Beside, Known, Planned, Write},
    write::{Checked, Draft, WriteError},
};
use crate::{
    domain::EntryKind,
    fhir::{Issue, tree},
    store::{DIRECTORY_WRITES_MAX, DirectoryEntry, StoreError},
};

/// So many entries are read at once.
const CHUNK: usize = 1_000;

/// The entries of one source as they are, so that an import can be planned and written over just these.
#[derive(Debug, Default)]
pub struct Source {
    entries: HashMap<(EntryKind, Uuid), DirectoryEntry>,
    beside: Beside,
}

/// The whole directory as it is: what is kept, and the organisations that the configuration makes.
pub struct All {
    stored: Vec<DirectoryEntry>,
    ids: Vec<String>,
    bodies: Vec<Value>,
    made: Vec<Value>,
}

/// What an import may write.
#[derive(Debug, Default)]
pub struct Passed {
    checked: Vec<Checked>,
    /// What was refused, and why.
    pub refused: Vec<Told>,
}

// === impl Source ===

impl Source {
    /// The entries, as a plan wants them.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`]
    pub fn known(&self) -> Result<Vec<Known>, StoreError> {
        let of = |entry: &DirectoryEntry| {
            let body = body_of(entry)?;
            // what was made here is known by its own id
            let name = entry.source.clone().map_or_else(|| entry.id.to_string(), |(_, name)| name);
            Ok(Known { kind: entry.kind, id: entry.id, version: entry.version, name, body })
        };
        self.entries.values().map(of).collect()
    }

    /// What is known beside them; it can be taken once.
    pub fn beside(&mut self) -> Beside {
        std::mem::take(&mut self.beside)
    }
}

// === impl All ===

impl All {
    /// Reads it.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn of(directory: &Directory) -> Result<Self, StoreError> {
        let stored = directory.all().await?;
        let bodies = stored.iter().map(body_of).collect::<Result<_, _>>()?;
        let ids = stored.iter().map(|entry| entry.id.to_string()).collect();
        Ok(Self { stored, ids, bodies, made: directory.of_registry(EntryKind::Organization) })
    }

    /// Its entries, as Open Referral tells of them.
    pub fn entries(&self) -> Vec<Entry<'_>> {
        let stored = self.stored.iter().zip(&self.ids).zip(&self.bodies);
        let stored =
            stored.map(|((entry, id), body)| Entry { kind: entry.kind, id, last_updated: entry.last_updated, body });
        let made = self.made.iter().filter_map(|body| {
            let (kind, last_updated) = (EntryKind::Organization, jiff::Timestamp::UNIX_EPOCH);
            Some(Entry { kind, id: tree::text(body, "id")?, last_updated, body })
        });
        stored.chain(made).collect()
    }
}

// === impl Passed ===

impl Passed {
    /// How many entries would be written.
    pub fn len(&self) -> usize {
        self.checked.len()
    }

    /// Whether none would be.
    pub fn is_empty(&self) -> bool {
        self.checked.is_empty()
    }
}

impl Directory {
    /// All entries in their current versions, in the order in which they were last written.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn all(&self) -> Result<Vec<DirectoryEntry>, StoreError> {
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let page = self.store.directory_changes(after, CHUNK).await?;
            let Some(last) = page.last().map(|entry| entry.revision) else { return Ok(all) };
            after = last;
            all.extend(page);
        }
    }

    /// All entries that come from a source, and what is known beside them. What was made here comes from here.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn source(&self, name: &str) -> Result<Source, StoreError> {
        let all = All::of(self).await?;
        let entries = all.entries();
        let told = Records::of_source(name, &self.base, &entries).rows();
        let elsewhere = elsewhere(name, &self.base, &entries).into_iter().map(|(key, id)| (key, Some(id)));
        let beside = Beside { told, elsewhere: elsewhere.collect() };
        drop(entries);
        let is_its = |entry: &DirectoryEntry| match &entry.source {
            Some((of, _)) => of == name,
            None => name == self.base && entry.kind != EntryKind::Endpoint,
        };
        let own = all.stored.into_iter().filter(is_its).map(|entry| ((entry.kind, entry.id), entry));
        Ok(Source { entries: own.collect(), beside })
    }

    /// Looks at what was planned, as at whatever a steward writes. An entry that is refused is left out, and what refers to it names it by
    /// its identifier alone.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn pass(
        &self,
        planned: &Planned,
        source: &Source,
        name: &str,
        story_checked: bool,
    ) -> Result<Passed, StoreError> {
        let writes: Vec<&Write> = planned.writes();
        let draft = |one: &&Write| Draft {
            kind: one.kind,
            id: one.id,
            before: source.entries.get(&(one.kind, one.id)).cloned(),
            body: one.body.clone(),
            story_checked,
            imported: true,
        };
        let mut passed = Passed::default();
        let mut refused = HashMap::new();
        for (one, checked) in writes.iter().zip(self.check(writes.iter().map(draft).collect()).await?) {
            match checked {
                Ok(checked) => passed.checked.push(checked),
                Err(error) => {
                    // an entry that is there stays as it was, and can be pointed to
                    if one.over == 0 {
                        refused.insert(format!("{}/{}", one.kind, one.id), (one.kind, one.name.clone()));
                    }
                    let why = format!("it is refused: {}", said(&error));
                    passed.refused.push(Told::new(one.kind.code(), &one.name, why));
                }
            }
        }
        if !refused.is_empty() {
            passed.checked.iter_mut().for_each(|checked| point_away(&mut checked.body, &refused, name));
        }
        Ok(passed)
    }

    /// Writes what passed; how many entries that were. What was written before it failed stays written: the same import again goes on
    /// from there.
    ///
    /// # Errors
    /// [`WriteError::Directory`]
    pub async fn take(&self, passed: Passed, by: &str) -> Result<usize, WriteError> {
        let (mut written, mut rest) = (0, passed.checked);
        while !rest.is_empty() {
            let later = rest.split_off(rest.len().min(DIRECTORY_WRITES_MAX));
            written += self.write(rest, by).await?.len();
            rest = later;
        }
        Ok(written)
    }
}

/// Names what was refused by its identifier.
fn point_away(body: &mut Value, refused: &HashMap<String, (EntryKind, String)>, source: &str) {
    let mut to = HashSet::new();
    tree::map_references(body, &mut |literal| {
        let (kind, name) = refused.get(literal)?;
        to.insert(literal.to_owned());
        identity::reference(*kind, source, name).get("reference")?.as_str().map(str::to_owned)
    });
    if !to.is_empty() {
        identity::resolve(body, &|_, _, _| None);
    }
}

/// What is wrong with an entry, for people.
fn said(error: &WriteError) -> String {
    match error {
        WriteError::Invalid(issues) | WriteError::Rule(issues) => {
            let one = |issue: &Issue| match issue.expression.first() {
                Some(at) => format!("{at}: {}", issue.diagnostics),
                None => issue.diagnostics.clone(),
            };
            issues.iter().take(5).map(one).collect::<Vec<_>>().join("; ")
        }
        other => other.to_string(),
    }
}

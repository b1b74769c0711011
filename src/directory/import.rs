//! An import is carried out: what was planned is looked at like whatever a steward writes, and what passes is written.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use uuid::Uuid;

use super::{
    Directory, body_of, identity,
    open_referral::Told,
    plan::{Known, Planned, Write},
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
            let name = entry.source.clone().map(|(_, name)| name).unwrap_or_default();
            Ok(Known { kind: entry.kind, id: entry.id, version: entry.version, name, body })
        };
        self.entries.values().map(of).collect()
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

    /// All entries that come from a source.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn source(&self, name: &str) -> Result<Source, StoreError> {
        let mut source = Source::default();
        for entry in self.all().await? {
            if entry.source.as_ref().is_some_and(|(of, _)| of == name) {
                source.entries.insert((entry.kind, entry.id), entry);
            }
        }
        Ok(source)
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

//! The directory of services: who offers what, where, for whom and how soon. Stewards write it, providers propose for it, every client
//! reads it.

pub mod authors;
mod element;
pub mod entry;
mod identity;
pub mod import;
pub mod index;
mod known;
mod live;
pub mod measured;
mod merge;
pub mod open_referral;
pub mod plan;
mod proposals;
mod sense;
pub mod spreadsheet;
mod stories;
pub mod told;
mod write;

use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::civil::Date;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    config::Registry,
    domain::{EntryKind, Point, ProviderId, StewardId, working_days::WorkingTime},
    fhir::task::with_meta,
    profiles::Validator,
    search::Search,
    store::{DirectoryEntry, Store, StoreError},
};

pub use known::referred;
pub use live::Live;
pub use proposals::Proposed;
pub use stories::{TakenOut, Which};
pub use write::{Checked, Draft, WriteError, check};

pub use index::Candidate;
use known::Known;

/// See the module's documentation.
pub struct Directory {
    /// Where it is kept.
    pub store: Arc<dyn Store>,
    /// Providers and inboxes, and where postcodes lie.
    pub registry: Arc<ArcSwap<Registry>>,
    /// What entries are held against.
    pub validator: Arc<Validator>,
    /// This server's FHIR base, without a slash at its end.
    pub base: String,
    /// All entries in memory, as far as searches need them.
    pub live: Live,
}

/// How a steward signs what is written.
pub fn signed(steward: &StewardId) -> String {
    format!("steward {steward}")
}

/// The day in London at a moment: what is closed on a day is closed there.
pub fn day(at: jiff::Timestamp) -> Date {
    WorkingTime::local(at).date()
}

/// The body of an entry.
///
/// # Errors
/// [`StoreError::Corrupt`]
pub fn body_of(entry: &DirectoryEntry) -> Result<Value, StoreError> {
    serde_json::from_str(&entry.body).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// An entry as it is given out: `body` with what the server gives it (R4 resource, meta), without the record that it came as.
pub fn given(body: Value, id: &str, version: u64, last_updated: jiff::Timestamp) -> Value {
    let mut body = entry::without_record(body);
    if let Some(object) = body.as_object_mut() {
        object.shift_insert(1.min(object.len()), "id".to_owned(), id.into());
    }
    with_meta(body, version, last_updated)
}

// === impl Directory ===

impl Directory {
    /// One over a store.
    pub fn new(
        store: Arc<dyn Store>,
        registry: Arc<ArcSwap<Registry>>,
        validator: Arc<Validator>,
        base_url: &str,
    ) -> Self {
        Self { store, registry, validator, base: format!("{base_url}/fhir"), live: Live::default() }
    }

    /// The entries of a kind that may be what is looked for, and all that are: the nearest first where `near` says from where and
    /// how far in metres, otherwise in the order of their ids. What anybody has written before this is among them.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn candidates(
        &self,
        kind: EntryKind,
        search: &Search,
        near: Option<(Point, f64)>,
    ) -> Result<Vec<Candidate>, StoreError> {
        let places = Arc::clone(&self.registry.load().places);
        let state = self.live.fresh(&*self.store, &places, &self.base).await?;
        Ok(state.index.candidates(kind, search, near))
    }

    /// The sources that entries ever came from.
    async fn sources(&self) -> Result<std::collections::HashSet<String>, StoreError> {
        let places = Arc::clone(&self.registry.load().places);
        Ok(self.live.fresh(&*self.store, &places, &self.base).await?.sources.clone())
    }

    /// What the registry makes of a kind, in the order of ids.
    pub fn of_registry(&self, kind: EntryKind) -> Vec<Value> {
        entry::all_of_registry(&self.registry.load(), kind, &self.base, day(self.store.now()))
    }

    /// The services that name a provider of the registry as whose they are, written by stewards; at most so many.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn services_of(&self, provider: &ProviderId, count: usize) -> Result<Vec<DirectoryEntry>, StoreError> {
        let kind = EntryKind::HealthcareService;
        let asked = [("organization".to_owned(), format!("Organization/{provider}"))];
        let Ok(search) = Search::read(kind.code(), &asked, &self.base, false) else { return Ok(Vec::new()) };
        let found = self.candidates(kind, &search, None).await?;
        // what the registry makes has ids of its own, and changes there
        let wanted =
            found.iter().filter_map(|candidate| Some((kind, candidate.id.parse().ok()?))).take(count).collect();
        let mut entries = self.store.directory_entries(wanted).await?;
        let is_its = |entry: &DirectoryEntry| {
            body_of(entry)
                .is_ok_and(|body| entry::owner_named(kind, &body, &self.base).as_deref() == Some(provider.as_str()))
        };
        entries.retain(is_its);
        Ok(entries)
    }

    /// A draft of a new entry, or over the current version of one that is there.
    ///
    /// # Errors
    /// [`WriteError::NotFound`] where there is none of this id, [`WriteError::Rule`] where the registry makes it.
    pub async fn draft(
        &self,
        kind: EntryKind,
        id: Option<&str>,
        body: Value,
        story_checked: bool,
    ) -> Result<Draft, WriteError> {
        let Some(id) = id else {
            return Ok(Draft { kind, id: Uuid::now_v7(), before: None, body, story_checked, imported: false });
        };
        if entry::of_registry(&self.registry.load(), kind, id, &self.base, day(self.store.now())).is_some() {
            return Err(WriteError::Forbidden(
                "this entry is made of the configuration: those who run Onward change it there",
            ));
        }
        let id: Uuid = id.parse().map_err(|_| WriteError::NotFound)?;
        let before = self.store.directory_entry(kind, id, None).await?.ok_or(WriteError::NotFound)?;
        Ok(Draft { kind, id, before: Some(before), body, story_checked, imported: false })
    }

    /// Whether a draft says what the version before it says.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`]
    pub fn is_same(&self, draft: &Draft) -> Result<bool, StoreError> {
        let Some(before) = &draft.before else { return Ok(false) };
        let before = body_of(before)?;
        let same = entry::without_record(before.clone()) == entry::without_record(entry::kept(draft.body.clone()));
        Ok(same && !entry::says_record(&draft.body, Some(&before)))
    }

    /// Looks at drafts, which may refer to each other.
    ///
    /// # Errors
    /// [`StoreError`]; what is wrong with a draft stands in its place.
    pub async fn check(&self, drafts: Vec<Draft>) -> Result<Vec<Result<Checked, WriteError>>, StoreError> {
        let (registry, now) = (self.registry.load_full(), self.store.now());
        let before: Vec<Value> =
            drafts.iter().filter_map(|draft| draft.before.as_ref()).map(body_of).collect::<Result<_, _>>()?;
        // what is too large is refused, however much it refers to
        let beside = drafts.iter().filter(|draft| write::fits(&draft.body));
        let beside = beside.map(|draft| ((draft.kind, draft.id), draft.body.clone()));
        let known = Known::of(&*self.store, &registry, &self.base, &before, beside).await?;
        Ok(drafts.into_iter().map(|draft| check(draft, &known, &self.validator, now)).collect())
    }

    /// Looks at one draft.
    ///
    /// # Errors
    /// [`WriteError`]
    pub async fn check_one(&self, draft: Draft) -> Result<Checked, WriteError> {
        self.check(vec![draft]).await?.pop().unwrap_or(Err(WriteError::NotFound))
    }

    /// Writes what was checked, all or none in one commit.
    ///
    /// # Errors
    /// [`WriteError::Directory`]
    pub async fn write(&self, checked: Vec<Checked>, by: &str) -> Result<Vec<DirectoryEntry>, WriteError> {
        let writes = checked.into_iter().map(|checked| checked.into_write(by)).collect();
        Ok(self.store.write_directory(writes).await?)
    }
}

#[cfg(test)]
mod tests;

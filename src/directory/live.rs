//! The index as this process has it: brought up to the directory's revision before each search, so that nobody reads older than what
//! anybody has written.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{RwLock, RwLockReadGuard};

use super::{
    entry,
    index::{Index, Indexed},
};
use crate::{
    domain::EntryKind,
    fhir::tree,
    places::Places,
    search::Kept,
    store::{DirectoryEntry, Store, StoreError},
};

/// So many entries are read at once.
const CHUNK: usize = 1_000;

/// See the module's documentation.
#[derive(Default)]
pub struct Live {
    state: RwLock<State>,
}

/// The index, and up to where it goes.
#[derive(Default)]
pub struct State {
    /// The index.
    pub index: Index,
    revision: u64,
    /// By what postcodes were placed.
    places: Option<Arc<Places>>,
}

// === impl Live ===

impl Live {
    /// The index with all that was written when this is asked. `base` is this server's FHIR base.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn fresh(
        &self,
        store: &dyn Store,
        places: &Arc<Places>,
        base: &str,
    ) -> Result<RwLockReadGuard<'_, State>, StoreError> {
        let wanted = store.directory_revision().await?;
        let state = self.state.read().await;
        if state.is_fresh(wanted, places) {
            return Ok(state);
        }
        drop(state);
        let mut state = self.state.write().await;
        if !state.places.as_ref().is_some_and(|known| Arc::ptr_eq(known, places)) {
            // another table of postcodes: what was placed by the one before may lie elsewhere
            *state = State { places: Some(Arc::clone(places)), ..State::default() };
        }
        while state.revision < wanted {
            let changes = store.directory_changes(state.revision, CHUNK).await?;
            let Some(last) = changes.last().map(|entry| entry.revision) else { break };
            for changed in &changes {
                state.index.put(indexed(changed, places, base)?);
            }
            state.revision = last;
        }
        Ok(state.downgrade())
    }
}

impl State {
    fn is_fresh(&self, revision: u64, places: &Arc<Places>) -> bool {
        self.revision >= revision && self.places.as_ref().is_some_and(|known| Arc::ptr_eq(known, places))
    }
}

fn indexed(changed: &DirectoryEntry, places: &Places, base: &str) -> Result<Indexed, StoreError> {
    let id: Arc<str> = changed.id.to_string().into();
    // as it is given out: a search may ask for the id as well
    let body = super::given(super::body_of(changed)?, &id, changed.version, changed.last_updated);
    let (place, locations) = match changed.kind {
        EntryKind::Location => (entry::point(&body, places), Vec::new()),
        EntryKind::HealthcareService => (None, locations(&body, base)),
        EntryKind::Organization | EntryKind::Endpoint => (None, Vec::new()),
    };
    let coarse = place.is_some_and(|(_, coarse)| coarse);
    let point = place.map(|(point, _)| point);
    Ok(Indexed { kind: changed.kind, kept: Kept::of(&body, base), point, coarse, locations, id })
}

/// The ids of the Locations where a service is offered.
fn locations(body: &Value, base: &str) -> Vec<Arc<str>> {
    let literals = tree::items(body, "location").iter().filter_map(|reference| reference.get("reference")?.as_str());
    let named = literals.filter_map(|literal| entry::named(literal, base));
    named.filter(|(kind, _)| *kind == EntryKind::Location).map(|(_, id)| id.into()).collect()
}

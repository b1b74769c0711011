//! The index as this process has it: brought up to the directory's revision before each search, so that nobody reads older than what
//! anybody has written.

use std::{collections::HashSet, sync::Arc};

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
    /// The sources that entries ever came from.
    pub sources: HashSet<String>,
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
                state.sources.extend(changed.source.iter().map(|(source, _)| source.clone()));
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

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tempfile::TempDir;
    use uuid::Uuid;

    use super::*;
    use crate::{
        domain::SystemClock,
        search::Search,
        store::{DirectoryStore as _, DirectoryWrite, sqlite::SqliteStore},
    };

    const BASE: &str = "https://onward.example/fhir";

    fn store() -> (SqliteStore, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        (SqliteStore::open(&folder.path().join("a.db"), Arc::new(SystemClock)).unwrap(), folder)
    }

    fn place(id: u128, over: u64, name: &str, latitude: f64, source: Option<&str>) -> DirectoryWrite {
        let body =
            json!({"resourceType": "Location", "name": name, "position": {"latitude": latitude, "longitude": 0.0}});
        let source = source.map(|source| (source.to_owned(), id.to_string()));
        DirectoryWrite {
            kind: EntryKind::Location,
            id: Uuid::from_u128(id),
            over,
            source,
            body: body.to_string(),
            by: "x".into(),
        }
    }

    fn found(state: &State, name: &str, latitude: f64) -> usize {
        let asked = Search::read("Location", &[("name".to_owned(), name.to_owned())], BASE, false).unwrap();
        let at = crate::domain::Point::of_degrees(latitude, 0.0).unwrap();
        state.index.candidates(EntryKind::Location, &asked, Some((at, 100.0))).len()
    }

    #[tokio::test]
    async fn it_has_what_was_written_before_it_is_asked_and_of_each_entry_the_last() {
        let (store, _folder) = store();
        let (live, places) = (Live::default(), Arc::new(Places::default()));
        assert!(live.fresh(&store, &places, BASE).await.unwrap().index.is_empty());
        store
            .write_directory(vec![
                place(1, 0, "hall", 53.0, Some("https://a.example")),
                place(2, 0, "park", 53.0, None),
            ])
            .await
            .unwrap();
        {
            let state = live.fresh(&store, &places, BASE).await.unwrap();
            assert_eq!((state.index.len(), state.revision), (2, 2));
            assert_eq!(
                (found(&state, "hall", 53.0), found(&state, "park", 53.0), found(&state, "hall", 54.0)),
                (1, 1, 0)
            );
        }
        store.write_directory(vec![place(1, 1, "hall", 54.0, None)]).await.unwrap();
        let state = live.fresh(&store, &places, BASE).await.unwrap();
        assert_eq!((state.index.len(), state.revision), (2, 3));
        assert_eq!((found(&state, "hall", 53.0), found(&state, "hall", 54.0)), (0, 1), "it has moved");
        assert_eq!(state.sources, HashSet::from(["https://a.example".to_owned()]), "a source stays known");
    }

    #[tokio::test]
    async fn more_than_is_read_at_once_is_read_whole() {
        let (store, _folder) = store();
        let (live, places) = (Live::default(), Arc::new(Places::default()));
        let all: Vec<_> = (1..=CHUNK as u128 + 1).map(|id| place(id, 0, "hall", 53.0, None)).collect();
        for some in all.chunks(crate::store::DIRECTORY_WRITES_MAX) {
            store.write_directory(some.to_vec()).await.unwrap();
        }
        assert_eq!(live.fresh(&store, &places, BASE).await.unwrap().index.len(), CHUNK + 1);
    }

    #[tokio::test]
    async fn another_table_of_postcodes_places_all_anew() {
        let (store, _folder) = store();
        let (live, places) = (Live::default(), Arc::new(Places::default()));
        store.write_directory(vec![place(1, 0, "hall", 53.0, None)]).await.unwrap();
        assert!(live.fresh(&store, &places, BASE).await.unwrap().is_fresh(1, &places));
        let others = Arc::new(Places::default());
        assert!(!live.state.read().await.is_fresh(1, &others), "it was placed by the table before");
        let state = live.fresh(&store, &others, BASE).await.unwrap();
        assert!(state.is_fresh(1, &others) && !state.is_fresh(2, &others) && !state.is_fresh(1, &places));
        assert_eq!(state.index.len(), 1);
    }
}

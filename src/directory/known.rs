//! What entries refer to, read once: from the store, from the registry, and from what is written with them.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use uuid::Uuid;

use super::entry;
use crate::{
    config::Registry,
    domain::{EntryKind, ProviderId},
    fhir::tree,
    store::{Store, StoreError},
};

/// Rounds of reading: as far as from an entry to the provider whose it is, and to all that it is part of.
const ROUNDS_MAX: usize = 10;

/// See the module's documentation.
pub struct Known<'r> {
    /// Providers and inboxes.
    pub registry: &'r Registry,
    /// This server's FHIR base.
    pub base: &'r str,
    entries: HashMap<(EntryKind, String), Value>,
}

/// Shows every literal reference of a resource, with its expression.
pub fn referred(body: &Value, see: &mut dyn FnMut(String, &str)) {
    tree::each_reference(body, &mut |place, reference| {
        if let Some(literal) = reference.get("reference").and_then(Value::as_str) {
            see(format!("{place}.reference"), literal);
        }
    });
}

// === impl Known ===

impl<'r> Known<'r> {
    /// What these bodies refer to, and the organisations that this leads to. `beside` are entries that are written with them.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn of(
        store: &dyn Store,
        registry: &'r Registry,
        base: &'r str,
        bodies: impl IntoIterator<Item = &Value>,
        beside: impl IntoIterator<Item = ((EntryKind, Uuid), Value)>,
    ) -> Result<Self, StoreError> {
        let mut known = Self::beside(registry, base, beside);
        let mut asked: HashSet<(EntryKind, Uuid)> = HashSet::new();
        let mut wanted: Vec<(EntryKind, Uuid)> = Vec::new();
        for body in bodies {
            known.wants(body, &mut asked, &mut wanted);
        }
        let of_beside: Vec<Value> = known.entries.values().cloned().collect();
        of_beside.iter().for_each(|body| known.wants(body, &mut asked, &mut wanted));
        for _ in 0..ROUNDS_MAX {
            if wanted.is_empty() {
                break;
            }
            let mut next = Vec::new();
            for found in store.directory_entries(std::mem::take(&mut wanted)).await? {
                let body: Value =
                    serde_json::from_str(&found.body).map_err(|error| StoreError::Corrupt(error.to_string()))?;
                // from here on only the ways to whose it is, and of what it is part, are of interest
                let owner = entry::owner_named(found.kind, &body, base).map(|id| (EntryKind::Organization, id));
                let whole = entry::part_named(found.kind, &body, base).map(|id| (found.kind, id));
                for (kind, id) in owner.into_iter().chain(whole) {
                    let Ok(id) = id.parse::<Uuid>() else { continue };
                    if !known.has(kind, &id.to_string()) && asked.insert((kind, id)) {
                        next.push((kind, id));
                    }
                }
                known.entries.insert((found.kind, found.id.to_string()), body);
            }
            wanted = next;
        }
        Ok(known)
    }

    /// Nothing but the registry and these.
    pub fn beside(
        registry: &'r Registry,
        base: &'r str,
        beside: impl IntoIterator<Item = ((EntryKind, Uuid), Value)>,
    ) -> Self {
        let entries = beside.into_iter().map(|((kind, id), body)| ((kind, id.to_string()), body)).collect();
        Self { registry, base, entries }
    }

    fn wants(&self, body: &Value, asked: &mut HashSet<(EntryKind, Uuid)>, wanted: &mut Vec<(EntryKind, Uuid)>) {
        referred(body, &mut |_, literal| {
            let Some((kind, id)) = entry::named(literal, self.base) else { return };
            let Ok(id) = id.parse::<Uuid>() else { return };
            if !self.has(kind, &id.to_string()) && asked.insert((kind, id)) {
                wanted.push((kind, id));
            }
        });
    }

    /// Whether there is such an entry.
    pub fn has(&self, kind: EntryKind, id: &str) -> bool {
        self.entries.contains_key(&(kind, id.to_owned()))
            || match kind {
                EntryKind::Organization => id.parse().is_ok_and(|id| self.registry.providers.contains_key(&id)),
                EntryKind::Endpoint => id.parse().is_ok_and(|id| self.registry.inboxes.contains_key(&id)),
                EntryKind::HealthcareService | EntryKind::Location => false,
            }
    }

    /// An entry.
    pub fn body(&self, kind: EntryKind, id: &str) -> Option<&Value> {
        self.entries.get(&(kind, id.to_owned()))
    }

    /// Whose an entry is.
    pub fn owner(&self, kind: EntryKind, body: &Value) -> Option<ProviderId> {
        let find = |id: &str| self.entries.get(&(EntryKind::Organization, id.to_owned()));
        entry::owner(kind, body, self.registry, self.base, &find)
    }
}

//! Which inboxes take nothing just now: those that are closed, and those that hold as many open Tasks as they may.
//!
//! It is looked at once for a request, before that is decided and stored. So as many more may come in as are decided at the same
//! moment: a capacity is what a provider is spared, not a promise to the last one.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    config::registry::Registry,
    domain::{InboxId, working_days::WorkingTime},
    routing::Unavailable,
    store::{Store, StoreError},
};

/// See the module's documentation.
pub(super) struct Openings(BTreeMap<InboxId, Unavailable>);

impl Openings {
    /// How it is at a moment. The store is asked only for inboxes that have a capacity and to which a route leads.
    ///
    /// # Errors
    /// [`StoreError`]
    pub(super) async fn at(store: &dyn Store, registry: &Registry, now: Timestamp) -> Result<Self, StoreError> {
        let today = WorkingTime::local(now).date();
        let closed = registry.inboxes.values().filter(|inbox| inbox.opening.is_closed(today));
        let mut all: BTreeMap<_, _> = closed.map(|inbox| (inbox.id.clone(), Unavailable::Closed)).collect();
        let bounded = registry.inboxes.values().filter_map(|inbox| Some((inbox.id.clone(), inbox.opening.capacity?)));
        let mut bounded: Vec<_> = bounded.filter(|(inbox, _)| !all.contains_key(inbox)).collect();
        if !bounded.is_empty() {
            let led_to: std::collections::BTreeSet<_> = registry.routes.inboxes().collect();
            bounded.retain(|(inbox, _)| led_to.contains(inbox));
        }
        if !bounded.is_empty() {
            all.extend(store.full_inboxes(bounded).await?.into_iter().map(|inbox| (inbox, Unavailable::Full)));
        }
        Ok(Self(all))
    }

    /// Why an inbox takes nothing; none where it does.
    pub(super) fn unavailable(&self, inbox: &InboxId) -> Option<Unavailable> {
        self.0.get(inbox).copied()
    }
}

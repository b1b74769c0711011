//! The routes of the demonstration, in the store from the beginning: so whoever logs in as a route editor can make others active.

use std::collections::BTreeMap;

use crate::{
    config::Config,
    route_sets::read_draft,
    service::Service,
    store::{NewRoutes, Signed},
};

/// Stores them as the next version and makes it the active one, whatever an earlier run left.
///
/// # Errors
/// What went wrong, in words.
pub(super) async fn put(service: &Service, config: &Config, text: &str) -> Result<(), String> {
    let read = read_draft(text, &BTreeMap::new(), &config.registry);
    let (set, _) = read.map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let store = service.store();
    let active = store.active_routes().await.map_err(|error| error.to_string())?;
    let signed = Signed { author: "demo".into(), comment: "The routes of the demonstration".into() };
    let files = BTreeMap::new();
    let new = NewRoutes { hash: set.version().to_owned(), text: text.to_owned(), files, signed };
    let over = active.map_or(0, |active| active.seq);
    store.add_routes(over, new).await.map(drop).map_err(|error| error.to_string())
}

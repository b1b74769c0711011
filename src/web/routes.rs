//! `/console/routes`: where referrals go and why, for those who may read it; written, tried and made active by those who may. It says and
//! does what `onward routes` says and does, by the same functions.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::Response,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::{
    Shared, Web,
    form::Seen,
    frame::{Frame, Section},
    page,
    table::{For, Table},
};
use crate::{
    auth::{Deed, What, Who, may},
    config::{
        self,
        routes::{Source, read_text},
    },
    domain::Position,
    fhir::Limits,
    route_sets,
    routing::{RouteSet, TEXT_MAX_BYTES},
    store::{Activation, StoreError},
};

mod activate;
mod draft;
mod edit;
mod explain;
mod overview;
mod rehearse;
mod version;
mod words;

use rehearse::Rehearsals;

/// A longer route set is written in a file and applied by the command.
pub(super) const DRAFT_MAX_BYTES: usize = 512 * 1024;
/// So many route sets are read at once for those who write them; each takes a processor for as long as it is checked.
const READINGS_MAX: usize = 2;
/// Whoever finds as many under way waits so long.
const READING_WITHIN: Duration = Duration::from_secs(10);

/// What the pages of the routes stand on.
pub struct Routes {
    /// Whether the routes come from the store, or from which file.
    from: config::routes::Routes,
    /// Within what a referral is read.
    limits: Limits,
    rehearsals: Arc<Rehearsals>,
    readings: Arc<Semaphore>,
    stop: CancellationToken,
}

/// What is in force, as it was written.
struct Base {
    /// The activation; 0 where there is none, and where a file says it.
    over: u64,
    /// The version's; empty where a file says it.
    hash: String,
    text: String,
    /// What belongs to it.
    files: BTreeMap<String, String>,
}

/// Somebody who may read the routes. To everybody else they are not there.
struct Reader(Seen);

/// Somebody who may write them, at a page or the part of a page that asks by itself.
struct Writer(Seen);

const READERS: For = For::Those(&[Deed::ReadRoutes]);
const WRITERS: For = For::Those(&[Deed::EditRoutes]);
const ACTIVATORS: For = For::Those(&[Deed::ActivateRoutes]);

/// The routes of these pages.
pub(super) fn routes(table: Table) -> Table {
    table
        .page("/console/routes", READERS, overview::page)
        .page("/console/routes/tests", READERS, overview::tests)
        .page("/console/routes/explain", READERS, explain::page)
        .form("/console/routes/explain", READERS, explain::explain)
        .page("/console/routes/edit", WRITERS, edit::page)
        .form("/console/routes/edit", WRITERS, edit::act)
        .form("/console/routes/check", WRITERS, edit::check)
        .form("/console/routes/activate", ACTIVATORS, activate::activate)
        .page("/console/routes/versions/{number}", READERS, version::page)
        .page("/console/routes/versions/{number}/activate", ACTIVATORS, activate::ask_back)
        .form("/console/routes/versions/{number}/activate", ACTIVATORS, activate::back)
        .page("/console/routes/rehearsals/{id}", WRITERS, rehearse::page)
        .page("/console/routes/rehearsals/{id}/now", WRITERS, rehearse::now)
        .form("/console/routes/rehearsals/{id}/stop", WRITERS, rehearse::stop)
}

/// Whether the routes are somebody's to read.
pub(super) fn may_read(positions: &[Position]) -> bool {
    may(Who::Person(positions), Deed::ReadRoutes, What::Whole)
}

/// Whether they are hers to write.
fn may_write(positions: &[Position]) -> bool {
    may(Who::Person(positions), Deed::EditRoutes, What::Whole)
}

/// Whether what decides is hers to change.
fn may_activate(positions: &[Position]) -> bool {
    may(Who::Person(positions), Deed::ActivateRoutes, What::Whole)
}

// === impl Routes ===

impl Routes {
    /// Those of a service; `limits` are those of a referral. What they have begun ends with `stop`.
    pub fn new(from: config::routes::Routes, limits: Limits, stop: CancellationToken) -> Self {
        let readings = Arc::new(Semaphore::new(READINGS_MAX));
        Self { from, limits, rehearsals: Arc::default(), readings, stop }
    }

    /// Whether versions lie in the store, so that one can be made active here.
    fn is_kept(&self) -> bool {
        self.from.source == Source::Store
    }

    /// A place for reading a route set.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.readings).acquire_owned();
        tokio::time::timeout(READING_WITHIN, place).await.ok()?.ok()
    }
}

impl Web {
    /// Which version is active; none where there is none, or a file says it.
    async fn active_routes(&self) -> Result<Option<Activation>, StoreError> {
        if self.routes.is_kept() { self.store.active_routes().await } else { Ok(None) }
    }

    /// What is in force, as it was written.
    async fn base(&self) -> Result<Base, StoreError> {
        if self.routes.is_kept() {
            let Some(active) = self.store.active_routes().await? else {
                return Ok(Base { over: 0, hash: String::new(), text: String::new(), files: BTreeMap::new() });
            };
            let version = self.store.routes_version(active.number).await?;
            let missing = || StoreError::Corrupt(format!("there is no version {} of the routes", active.number));
            let version = version.ok_or_else(missing)?;
            return Ok(Base { over: active.seq, hash: version.hash, text: version.text, files: version.files });
        }
        let registry = self.registry.load_full();
        let files = registry.routes.files().iter().map(|(name, text)| (name.clone(), text.to_string())).collect();
        let text = match self.routes.from.file.clone() {
            Some(file) => read_aside(file).await?,
            None => String::new(),
        };
        Ok(Base { over: 0, hash: String::new(), text, files })
    }

    /// The set that is active, read anew, where this process has not taken it up yet. None: what it decides by is that, or the active one
    /// cannot be read here.
    async fn newer(&self, base: &Base) -> Result<Option<RouteSet>, StoreError> {
        if base.hash.is_empty() || base.hash == self.registry.load().routes.version() {
            return Ok(None);
        }
        let read = self.read_draft(base.text.clone(), base.files.clone()).await?;
        Ok(read.and_then(Result::ok).map(|(set, _)| set))
    }

    /// Reads what somebody writes, aside. None where too much is read already.
    async fn read_draft(
        &self,
        text: String,
        files: BTreeMap<String, String>,
    ) -> Result<Option<config::routes::Read>, StoreError> {
        let Some(place) = self.routes.place().await else { return Ok(None) };
        let registry = self.registry.load_full();
        let reading = tokio::task::spawn_blocking(move || {
            let _place = place;
            route_sets::read_draft(&text, &files, &registry)
        });
        reading.await.map(Some).map_err(|_| StoreError::Unavailable("a route set could not be read".to_owned()))
    }
}

async fn read_aside(file: PathBuf) -> Result<String, StoreError> {
    let name = file.display().to_string();
    let read = tokio::task::spawn_blocking(move || read_text(&file, TEXT_MAX_BYTES)).await;
    let told = |why: String| StoreError::Unavailable(format!("{name}: {why}"));
    read.map_err(|error| told(error.to_string()))?.map_err(told)
}

// === impl Reader, Writer ===

impl FromRequestParts<Shared> for Reader {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Shared) -> Result<Self, Response> {
        let seen = Seen::from_request_parts(parts, web).await?;
        if may_read(&seen.visitor.positions) { Ok(Self(seen)) } else { Err(absent(&seen)) }
    }
}

impl FromRequestParts<Shared> for Writer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Shared) -> Result<Self, Response> {
        let seen = Seen::from_request_parts(parts, web).await?;
        if may_write(&seen.visitor.positions) { Ok(Self(seen)) } else { Err(absent(&seen)) }
    }
}

/// What somebody may not see is not there.
fn absent(seen: &Seen) -> Response {
    told(seen, StatusCode::NOT_FOUND, "There is no such page.", ("/", "Go on to Onward"))
}

fn told(seen: &Seen, status: StatusCode, text: &str, to: (&str, &str)) -> Response {
    page::told_in(Frame::of(seen, Section::Routes), status, text, to)
}

/// Too many route sets are read at once.
fn busy(seen: &Seen) -> Response {
    let text = "Other route sets are being checked just now. Nothing was done. Try again shortly.";
    told(seen, StatusCode::SERVICE_UNAVAILABLE, text, ("/console/routes", "Routes"))
}

/// What is needed could not be read.
fn away(error: &StoreError) -> Response {
    tracing::warn!(%error, "a page of the routes cannot be made");
    page::unavailable()
}

#[cfg(test)]
mod tests;

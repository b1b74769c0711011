//! `/console`: whether all is well with Onward, and if not, what and why. It shows what the process knows of its parts, what the store
//! holds of what waits, and never what is in a referral.

use std::{future::Future, sync::Arc};

use arc_swap::ArcSwap;
use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::Response,
};
use jiff::{SignedDuration, Timestamp};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    form::{Glance, Seen},
    frame::{Frame, Section},
    page,
    table::{For, Table},
};
use crate::{
    alerts::worklist::{self, Line},
    auth::{Deed, What, Who, may},
    broker::Broker,
    config::Registry,
    domain::{Destination, Position},
    health::Health,
    lanes::Endpoints,
    preview::Previews,
    resolve::Resolver,
    store::{Backlog, Failing, Store, StoreError},
};

mod add;
mod chart;
mod dead;
mod doer;
mod done;
mod ends;
mod figures;
mod glass;
mod journal;
mod latency;
mod looked;
mod overview;
mod preview;
mod queues;
mod refusals;
mod reports;
mod runs;
mod stands;
mod steps;
mod tick;
mod todo;
mod trace;
mod trial;
mod view;
pub(super) mod words;

use figures::Figures;
use queues::Queues;
use runs::Runs;

/// Lines of the worklist that are read of each sort, and that a page shows.
const LINES_MAX: usize = 100;
/// What is read of the store for the first page is shown to all who look, for so long (seconds).
const AGE_MAX_S: i64 = 2;

/// Systems and providers that are looked at at once.
const CHECKS_MAX: usize = 2;

/// What the console stands on. Cheap to clone.
#[derive(Clone)]
pub struct Console {
    store: Arc<dyn Store>,
    registry: Arc<ArcSwap<Registry>>,
    health: Arc<Health>,
    endpoints: Endpoints,
    figures: Arc<Figures>,
    queues: Arc<Queues>,
    previews: Previews,
    runs: Arc<Runs>,
    stop: CancellationToken,
    picture: Arc<Mutex<Option<Arc<Picture>>>>,
    pub(in crate::web) reports: Arc<reports::Reports>,
    resolver: Resolver,
    /// Who may look at an endpoint just now.
    checks: Arc<Semaphore>,
    looked: Arc<looked::Lately>,
}

/// What the store holds of what waits, at a moment.
struct Picture {
    at: Timestamp,
    backlog: Vec<Backlog>,
    /// What of it is tried in vain.
    failing: Vec<Failing>,
    /// Of each sort one more than [`LINES_MAX`], where there are more.
    lines: Vec<Line>,
}

/// Somebody who may look after Onward and looks at a page. To everybody else there is no console.
struct Keeper(Seen);

/// The page of such a one, which asks by itself for what is new.
struct Watcher;

const KEEPERS: For = For::Those(&[Deed::ReadLogs]);
const TRACERS: For = For::Those(&[Deed::Trace]);
const SENDERS: For = For::Those(&[Deed::SendTest]);
const REPLAYERS: For = For::Those(&[Deed::Replay]);
const TICKERS: For = For::Those(&[Deed::Replay, Deed::ReviewGlasses, Deed::ReviewAccounts]);

/// The routes of the console.
pub(super) fn routes(table: Table) -> Table {
    table
        .page("/console", KEEPERS, overview::page)
        .page("/console/now", KEEPERS, overview::now)
        .page("/console/to-do", KEEPERS, todo::page)
        .page("/console/to-do/{id}/done", TICKERS, tick::ask)
        .form("/console/to-do/{id}/done", TICKERS, tick::tick)
        .page("/console/trace", KEEPERS, trace::find_page)
        .form("/console/trace", KEEPERS, trace::find)
        .page("/console/trace/{task}", TRACERS, trace::page)
        .page("/console/trace/{task}/referral", For::Those(&[Deed::BreakGlass]), glass::page)
        .form("/console/trace/{task}/referral", For::Those(&[Deed::BreakGlass]), glass::open)
        .page("/console/systems", KEEPERS, ends::systems)
        .page("/console/providers", KEEPERS, ends::providers)
        .page("/console/add/system", SENDERS, add::system)
        .form("/console/add/system", SENDERS, add::write_system)
        .page("/console/add/provider", SENDERS, add::provider)
        .form("/console/add/provider", SENDERS, add::write_provider)
        .page("/console/trials/{task}", KEEPERS, trial::page)
        .page("/console/trials/{task}/now", KEEPERS, trial::now)
        .page("/console/systems/{id}", KEEPERS, ends::system)
        .form("/console/systems/{id}/check", SENDERS, ends::check_system)
        .page("/console/providers/{id}", KEEPERS, ends::provider)
        .form("/console/providers/{id}/check", SENDERS, ends::check_provider)
        .form("/console/systems/{id}/refer", SENDERS, ends::refer_from)
        .form("/console/providers/{id}/refer", SENDERS, ends::refer_to)
        .page("/console/journal", KEEPERS, journal::page)
        .form("/console/journal", KEEPERS, journal::look)
        .page("/console/reports", For::Those(&[Deed::Count]), reports::page)
        .page("/console/reports/now", For::Those(&[Deed::Count]), reports::now)
        .page("/console/reports.csv", For::Those(&[Deed::Count]), reports::csv)
        .page("/console/dead", KEEPERS, dead::list)
        .page("/console/dead/runs", KEEPERS, dead::runs)
        .page("/console/dead/replay", REPLAYERS, dead::ask_all)
        .form("/console/dead/replay", REPLAYERS, dead::act_all)
        .page("/console/dead/{message}", KEEPERS, dead::letter)
        .page("/console/dead/{message}/{action}", REPLAYERS, dead::ask)
        .acting(dead::ACTIONS)
        .form("/console/dead/{message}/{action}", REPLAYERS, dead::act)
        .acting(dead::ACTIONS)
}

/// Whether the console is somebody's to see.
pub(super) fn may_look(positions: &[Position]) -> bool {
    may(Who::Person(positions), Deed::ReadLogs, What::Whole)
}

// === impl Console ===

impl Console {
    /// Whether a destination is left alone at present because its server does not answer.
    pub(in crate::web) fn is_shut(&self, of: &Destination) -> bool {
        self.endpoints.is_shut(of)
    }

    /// A console of this service. What it has begun ends with `stop`.
    pub fn new(previews: Previews, health: Arc<Health>, endpoints: Endpoints, stop: CancellationToken) -> Self {
        Self {
            store: Arc::clone(&previews.store),
            registry: Arc::clone(&previews.registry),
            health,
            endpoints,
            figures: Arc::default(),
            queues: Arc::default(),
            previews,
            runs: Arc::default(),
            stop,
            picture: Arc::default(),
            reports: Arc::default(),
            resolver: Resolver::system(),
            checks: Arc::new(Semaphore::new(CHECKS_MAX)),
            looked: Arc::default(),
        }
    }

    /// Notes how much comes and goes, and how much lies in queues, until it ends.
    pub fn measure(
        &self,
        handle: PrometheusHandle,
        broker: Arc<dyn Broker>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (store, figures, stop) = (Arc::clone(&self.store), Arc::clone(&self.figures), self.stop.clone());
        let (registry, queues) = (Arc::clone(&self.registry), Arc::clone(&self.queues));
        async move {
            tokio::join!(figures.keep(store, handle, stop.clone()), queues.keep(broker, registry, stop));
        }
    }

    /// What waits. Read anew where what was read is too old, by one for all who ask meanwhile.
    async fn picture(&self) -> Result<Arc<Picture>, StoreError> {
        let mut kept = self.picture.lock().await;
        let now = self.store.now();
        if let Some(picture) = &*kept
            && now.duration_since(picture.at).abs() < SignedDuration::from_secs(AGE_MAX_S)
        {
            return Ok(Arc::clone(picture));
        }
        let (backlog, failing) = (self.store.backlog().await?, self.store.failing().await?);
        let registry = self.registry.load_full();
        let lines = worklist::gathered(&*self.store, &registry, LINES_MAX + 1).await?;
        let picture = Arc::new(Picture { at: now, backlog, failing, lines });
        *kept = Some(Arc::clone(&picture));
        Ok(picture)
    }

    /// What waits is read anew for whoever looks next: something of it was seen to here.
    async fn forget_picture(&self) {
        *self.picture.lock().await = None;
    }
}

// === impl Keeper ===

impl FromRequestParts<Shared> for Keeper {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Shared) -> Result<Self, Response> {
        let seen = Seen::from_request_parts(parts, web).await?;
        if may_look(&seen.visitor.positions) { Ok(Self(seen)) } else { Err(absent(&seen)) }
    }
}

impl FromRequestParts<Shared> for Watcher {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Shared) -> Result<Self, Response> {
        let Glance(seen) = Glance::from_request_parts(parts, web).await?;
        if may_look(&seen.visitor.positions) { Ok(Self) } else { Err(absent(&seen)) }
    }
}

/// What somebody may not see is not there.
fn absent(seen: &Seen) -> Response {
    let frame = Frame::of(seen, Section::None);
    page::told_in(frame, StatusCode::NOT_FOUND, "There is no such page.", ("/", "Go on to Onward"))
}

/// The store could not be asked.
fn away(error: &StoreError) -> Response {
    tracing::warn!(%error, "a page of the console cannot be made");
    page::unavailable()
}

#[cfg(test)]
pub(super) mod tests;

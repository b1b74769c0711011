//! The registry in force, and how another takes its place: as the configuration changes, and, where the store has the route sets,
//! as another version becomes the active one. A process whose systems and inboxes do not fit that version keeps the one before and
//! says so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    admission::{Admission, Gate},
    config::{Fault, Registry},
    domain::{Alert, AlertKind, alert},
    health::{Health, Part, State as Is},
    lanes::Endpoints,
    route_sets::read_stored_again,
    routing::RouteSet,
    store::{Activation, RoutesVersion, Store, StoreError},
};

/// Every process has taken up a version so long after it was activated, or has said that it cannot.
pub const TAKEN_UP_WITHIN: Duration = Duration::from_secs(2);
/// The store is asked this often which version is active.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const SHUT: &str = "no route set is in force, so nothing says where a referral goes; nothing was stored";
const APPLY: &str = "`onward routes apply FILE --comment TEXT` makes one the active one";
const MEND: &str = "mend what `onward check --connect` tells on this machine, or make another version the active one by `onward \
                    routes apply` or `onward routes rollback`";

/// See the module's documentation.
pub(super) struct InForce {
    registry: Arc<ArcSwap<Registry>>,
    endpoints: Endpoints,
    changed: watch::Sender<()>,
    /// `None`: the routes come with the configuration.
    followed: Option<Followed>,
}

/// What it takes to follow the store.
pub(super) struct Followed {
    store: Arc<dyn Store>,
    health: Arc<Health>,
    admission: Arc<Admission>,
    /// Whether this process takes referrals.
    takes: bool,
    /// What alerts of this process are about.
    subject: String,
    /// The activation that is in force; 0 for none.
    activation: AtomicU64,
    /// Held while the registry is replaced, so that of two who do it neither undoes what the other did.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The activation that was looked at last, 0 where there was none; `None`: it is to be looked at anew.
    seen: Option<u64>,
    /// Whether that one was not taken up.
    refused: bool,
    /// The version in force; kept whole, to be read again beside a changed registry.
    in_force: Option<Arc<RoutesVersion>>,
    /// Whether no alert of this process can be open. After a start, one of before may be.
    nothing_told: bool,
}

/// A changed configuration does not fit the route set that is in force.
#[derive(Debug, thiserror::Error)]
#[error("version {number} of the route set is in force and does not fit it: {why}")]
pub struct Unfit {
    /// Which version.
    pub number: u64,
    /// What is wrong, the first of it.
    pub why: String,
}

// === impl InForce ===

impl InForce {
    /// With the routes of the configuration, as they are in the registry.
    pub(super) fn of_files(registry: Arc<ArcSwap<Registry>>, endpoints: Endpoints, changed: watch::Sender<()>) -> Self {
        tell_figures("", registry.load().routes.version());
        Self { registry, endpoints, changed, followed: None }
    }

    /// With those of the store, which are none until it is asked.
    pub(super) fn of_store(
        registry: Arc<ArcSwap<Registry>>,
        endpoints: Endpoints,
        changed: watch::Sender<()>,
        followed: Followed,
    ) -> Self {
        let empty = Registry { routes: RouteSet::empty(), ..Registry::clone(&registry.load()) };
        registry.store(Arc::new(empty));
        Self { registry, endpoints, changed, followed: Some(followed) }
    }

    /// The configuration has changed. All of it stays as it was where the route set in force does not fit it, nor the active one.
    pub(super) async fn take_up(&self, registry: Registry) -> Result<(), Unfit> {
        let Some(followed) = &self.followed else {
            tell_figures(self.registry.load().routes.version(), registry.routes.version());
            self.swap(registry);
            return Ok(());
        };
        let mut state = followed.state.lock().await;
        let Some(before) = state.in_force.clone() else {
            self.swap(Registry { routes: RouteSet::empty(), ..registry });
            state.seen = None; // what did not fit may fit now
            return Ok(());
        };
        match read(Arc::clone(&before), Arc::new(registry.clone())).await {
            Ok(routes) => {
                self.swap(Registry { routes, ..registry });
                if state.refused {
                    state.seen = None;
                }
            }
            Err(why) => {
                let unfit = Unfit { number: before.number, why };
                if !state.refused {
                    return Err(unfit);
                }
                // the one that waits may be what this configuration is for
                let Ok(Some(active)) = followed.store.active_routes().await else { return Err(unfit) };
                let Ok(Some(version)) = followed.store.routes_version(active.number).await else { return Err(unfit) };
                let version = Arc::new(version);
                let routes = read(Arc::clone(&version), Arc::new(registry.clone())).await;
                self.swap(Registry { routes: routes.map_err(|_| unfit)?, ..registry });
                followed.in_force(&mut state, &active, version).await;
            }
        }
        Ok(())
    }

    /// Which activation of the store is in force; 0 for none, and where the routes are not the store's.
    pub(super) fn activation(&self) -> u64 {
        self.followed.as_ref().map_or(0, |followed| followed.activation.load(Ordering::Acquire))
    }

    fn swap(&self, registry: Registry) {
        self.endpoints.set(registry.terms());
        self.registry.store(Arc::new(registry));
        let _ = self.changed.send(());
    }

    /// Follows the store until `stop`.
    pub(super) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let Some(followed) = &self.followed else { return stop.cancelled().await };
        let mut blind = false;
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => break,
            }
            let looked = self.look(followed).await;
            if let (Err(error), false) = (&looked, blind) {
                tracing::warn!(%error, "it cannot be seen which route set is active; the one in force stays in force");
            }
            blind = looked.is_err();
        }
        // one that is not there keeps nothing; where it comes back elsewhere nobody would end what was told of it
        followed.end_alert(&mut *followed.state.lock().await).await;
    }

    /// Looks once, so that a process that starts has the active version before the first referral comes.
    pub(super) async fn first_look(&self) {
        let Some(followed) = &self.followed else { return };
        if let Err(error) = self.look(followed).await {
            followed.shut("it is not known yet which route set is active".to_owned(), "see what is said of the store");
            tracing::warn!(%error, "it cannot be seen which route set is active; it is looked for again");
        }
    }

    async fn look(&self, followed: &Followed) -> Result<(), StoreError> {
        let active = followed.store.active_routes().await?;
        let seq = active.as_ref().map_or(0, |active| active.seq);
        let mut state = followed.state.lock().await;
        if state.seen == Some(seq) {
            return Ok(());
        }
        let Some(active) = active else {
            if state.in_force.take().is_some() {
                // a store that was put back to before the first one
                self.swap(Registry { routes: RouteSet::empty(), ..Registry::clone(&self.registry.load()) });
            }
            followed.shut("no route set is active".to_owned(), APPLY);
            (state.seen, state.refused) = (Some(seq), false);
            return Ok(());
        };
        let is_same = |version: &Arc<RoutesVersion>| version.number == active.number && version.hash == active.hash;
        if let Some(same) = state.in_force.clone().filter(is_same) {
            followed.in_force(&mut state, &active, same).await;
            return Ok(());
        }
        let stored = followed.store.routes_version(active.number).await?;
        let missing = || StoreError::Corrupt(format!("there is no version {} of the routes", active.number));
        let version = Arc::new(stored.ok_or_else(missing)?);
        let registry = self.registry.load_full();
        match read(Arc::clone(&version), Arc::clone(&registry)).await {
            Ok(routes) => {
                self.swap(Registry { routes, ..Registry::clone(&registry) });
                followed.in_force(&mut state, &active, version).await;
            }
            Err(why) => followed.refused(&mut state, &active, &why).await,
        }
        Ok(())
    }
}

/// Reads a version beside a registry, aside: a large one takes its time. It was held against itself when it was applied.
async fn read(version: Arc<RoutesVersion>, registry: Arc<Registry>) -> Result<RouteSet, String> {
    let task = tokio::task::spawn_blocking(move || read_stored_again(&version, &registry));
    match task.await {
        Ok(read) => read.map(|(routes, _)| routes).map_err(|faults| first_of(&faults)),
        Err(error) => Err(format!("it could not be read: {error}")),
    }
}

pub(super) fn first_of(faults: &[Fault]) -> String {
    let first = faults.first().map(ToString::to_string).unwrap_or_default();
    match faults.len() {
        0 | 1 => first,
        more => format!("{more} faults; the first: {first}"),
    }
}

/// Which set decides, by what its decisions name it.
fn tell_figures(before: &str, now: &str) {
    if !before.is_empty() {
        metrics::gauge!("onward_route_set_active", "version" => before.to_owned()).set(0.0);
    }
    metrics::gauge!("onward_route_set_active", "version" => now.to_owned()).set(1.0);
}

// === impl Followed ===

impl Followed {
    pub(super) fn new(
        (store, health, admission): (Arc<dyn Store>, Arc<Health>, Arc<Admission>),
        takes: bool,
        at: std::net::SocketAddr,
    ) -> Self {
        let host = whoami::fallible::hostname().unwrap_or_default();
        let subject = format!("{} at {host} {at}", alert::ROUTE_SET);
        Self { store, health, admission, takes, subject, activation: AtomicU64::new(0), state: Mutex::default() }
    }

    /// There is none that could decide: referrals are turned away, and come again.
    fn shut(&self, detail: String, advice: &str) {
        self.admission.shut(Gate::Routes, Some(SHUT));
        let (is, detail) = match self.takes {
            true => (Is::Unavailable, format!("{detail}: referrals are refused")),
            false => (Is::Degraded, detail),
        };
        self.health.note(Part::Routes, is, detail, advice);
        metrics::gauge!("onward_route_set_number").set(0.0);
    }

    /// A version was taken up.
    async fn in_force(&self, state: &mut State, active: &Activation, version: Arc<RoutesVersion>) {
        let (number, hash) = (version.number, version.hash.clone());
        let before = state.in_force.replace(version);
        (state.seen, state.refused) = (Some(active.seq), false);
        self.activation.store(active.seq, Ordering::Release);
        tell_figures(before.as_ref().map_or("", |before| &before.hash), &hash);
        metrics::gauge!("onward_route_set_number").set(number as f64);
        metrics::gauge!("onward_route_set_refused").set(0.0);
        self.admission.shut(Gate::Routes, None);
        self.health.note(Part::Routes, Is::Ready, format!("version {number} ({hash}) is in force"), "");
        tracing::info!(route_set = hash, number, activation = active.seq, "route set {number} is in force");
        self.end_alert(state).await;
    }

    /// Ends what was told of this process.
    async fn end_alert(&self, state: &mut State) {
        if state.nothing_told {
            return;
        }
        match self.store.end_alert(AlertKind::ConfigurationRefused, &self.subject).await {
            Ok(_) => state.nothing_told = true,
            Err(error) => tracing::warn!(%error, "an alert about the route set could not be ended"),
        }
    }

    /// A version is active and does not fit what this process knows.
    async fn refused(&self, state: &mut State, active: &Activation, why: &str) {
        (state.seen, state.refused, state.nothing_told) = (Some(active.seq), true, false);
        let number = active.number;
        metrics::gauge!("onward_route_set_refused").set(1.0);
        let said = format!("version {number} is active and is not taken up here: {why}");
        let said = match &state.in_force {
            Some(before) => {
                let said = format!("{said}; version {} stays in force", before.number);
                self.health.note(Part::Routes, Is::Degraded, said.clone(), MEND);
                said
            }
            None => {
                self.shut(said.clone(), MEND);
                format!("{said}; none is in force")
            }
        };
        tracing::error!(number, route_set = active.hash, why, "a route set is active and is not taken up here");
        let kind = AlertKind::ConfigurationRefused;
        metrics::counter!("onward_alerts_total", "alert" => kind.code()).increment(1);
        // one of before says something else
        let told = async {
            self.store.end_alert(kind, &self.subject).await?;
            self.store.raise(vec![Alert::new(kind, &self.subject, active.at, said)]).await
        };
        if let Err(error) = told.await {
            tracing::warn!(%error, "that a route set was not taken up could not be kept as an alert");
        }
    }
}

//! The endpoints as this process knows them: on which terms each is spoken to, how many requests are under way there, and
//! whether its breaker lets messages through.
//!
//! Breakers lie in the store, so that all replicas share them and they survive a restart. Here they are looked at in memory: the
//! store is read once a second for all of them together, and written only where one changes.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, atomic::Ordering},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    domain::{
        Alert, AlertKind, Destination, Side, Terms,
        breaker::{Breaker, Phase},
        retry::RetryPolicy,
    },
    store::{Share, Shares, Store, StoreError},
};

mod draining;
mod end;
mod place;

use end::End;
pub use place::Place;

/// Breakers are read from the store this often.
const REFRESH_EVERY: Duration = Duration::from_secs(1);
/// One message's requests take no more than three times the time of one; a probe that takes longer was left behind by its
/// process.
const PROBE_REQUESTS: i32 = 3;
/// An outage that will have lasted so long before the endpoint is asked again is told as an alert.
const ALERT_AFTER: SignedDuration = SignedDuration::from_secs(60);
const PROBE_LEASE_MIN: SignedDuration = SignedDuration::from_secs(20);

/// See the module's documentation. Cheap to clone.
#[derive(Clone)]
pub struct Endpoints {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    /// This process among the replicas.
    me: Uuid,
    /// For what is not configured.
    retry: RetryPolicy,
    stop: CancellationToken,
    known: RwLock<HashMap<Destination, Arc<End>>>,
}

/// What was heard from an endpoint at one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It answered, whether with yes or with no.
    Answer,
    /// It did not, or says that it cannot.
    Failure {
        /// What it asked for.
        retry_after: Option<SignedDuration>,
        /// Why, without content.
        why: String,
    },
    /// It wants to be left alone for a while.
    Throttled {
        /// For how long, if it says so.
        retry_after: Option<SignedDuration>,
        /// In its status and codes.
        why: String,
    },
    /// Nothing was sent.
    Nothing,
}

/// Whether a message may be sent.
pub enum Entry {
    /// It may, for as long as this is held.
    Go(Place),
    /// Its endpoint is left alone at present.
    Shut,
    /// This process is ending.
    Ending,
}

/// A copy's place among those that are read at once.
pub struct Looking(Arc<End>);

/// An endpoint at this moment.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Which.
    pub of: Destination,
    /// How its breaker stands.
    pub breaker: Breaker,
    /// Requests under way from this process: messages and looks.
    pub in_flight: usize,
    /// Messages and looks of this process that wait for a place or for the rate.
    pub waiting: usize,
    /// Whether messages are kept back.
    pub shut: bool,
}

// === impl Endpoints ===

impl Endpoints {
    /// None yet. What waits for a place leaves with `stop`; `retry` holds where nothing is configured.
    pub fn new(store: Arc<dyn Store>, retry: RetryPolicy, stop: CancellationToken) -> Self {
        let me = Uuid::now_v7();
        Self { inner: Arc::new(Inner { store, me, retry, stop, known: RwLock::default() }) }
    }

    /// Makes these the endpoints, on these terms. What is known of those that stay is kept.
    pub fn set(&self, all: HashMap<Destination, Terms>) {
        let now = self.inner.store.now();
        let mut known = self.inner.known.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|of, _| all.contains_key(of));
        for (of, terms) in all {
            match known.get(&of) {
                Some(end) => end.take_up(terms),
                None => {
                    known.insert(of.clone(), Arc::new(End::new(of, terms, now)));
                }
            }
        }
    }

    /// Reads the breakers until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.refresh().await {
                tracing::warn!(%error, "the endpoints' breakers cannot be read; they stay as they were");
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(REFRESH_EVERY) => {}
            }
        }
    }

    /// Takes up what other processes, or persons, have changed.
    ///
    /// # Errors
    /// [`StoreError`] where the breakers cannot be read.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        for stored in self.inner.store.breakers().await? {
            let Some(end) = self.end(&stored.of) else { continue };
            end.learn(stored);
            let base_url = end.lock().terms.base_url.clone();
            self.change(&end, |breaker, now| {
                let moved = breaker.base_url != base_url;
                moved.then(|| breaker.let_go(&base_url, "it has another address now", now)).flatten()
            })
            .await?;
        }
        Ok(())
    }

    /// Waits for a place at this endpoint, and for its rate. One that is not configured has no limits.
    pub async fn enter(&self, of: &Destination) -> Entry {
        let Some(end) = self.end(of) else {
            let (terms, begun) = (Terms::unlimited(self.inner.retry), self.inner.store.now());
            return Entry::Go(Place { endpoints: self.clone(), end: None, terms, probe: false, begun, permit: None });
        };
        if !end.is_open(self.inner.store.now()) {
            return Entry::Shut;
        }
        tokio::select! {
            biased;
            () = self.inner.stop.cancelled() => Entry::Ending,
            permit = end.a_place() => {
                let Some(permit) = permit else { return Entry::Ending };
                // it may have been shut while this one waited
                if end.is_open(self.inner.store.now()) {
                    Entry::Go(self.place(end, Some(permit), false))
                } else {
                    Entry::Shut
                }
            }
        }
    }

    fn place(&self, end: Arc<End>, permit: Option<OwnedSemaphorePermit>, probe: bool) -> Place {
        let (terms, begun) = (end.lock().terms.clone(), self.inner.store.now());
        Place { endpoints: self.clone(), end: Some(end), terms, probe, begun, permit }
    }

    /// When what failed there is tried again.
    pub fn retry(&self, of: &Destination) -> RetryPolicy {
        self.end(of).map_or(self.inner.retry, |end| end.lock().terms.retry)
    }

    /// Whether it is left alone at present.
    pub fn is_shut(&self, of: &Destination) -> bool {
        self.end(of).is_some_and(|end| !end.is_open(self.inner.store.now()))
    }

    /// The endpoints of a side that it is time to ask whether they are back.
    pub fn due_for_probe(&self, side: Side) -> Vec<Destination> {
        let now = self.inner.store.now();
        let is_due = |end: &Arc<End>| match end.lock().breaker.phase {
            Phase::Open { until } | Phase::Probing { until, .. } => until <= now,
            _ => false,
        };
        self.ends().into_iter().filter(|end| end.of.side == side && is_due(end)).map(|end| end.of.clone()).collect()
    }

    /// Becomes the one of all processes that asks. None where another does.
    ///
    /// # Errors
    /// [`StoreError`] where that cannot be stored.
    pub async fn begin_probe(&self, of: &Destination) -> Result<Option<Place>, StoreError> {
        let Some(end) = self.end(of) else { return Ok(None) };
        let lease = SignedDuration::try_from(end.lock().terms.timeout).unwrap_or(SignedDuration::MAX);
        let lease = lease.saturating_mul(PROBE_REQUESTS).max(PROBE_LEASE_MIN);
        let me = self.inner.me;
        if !self.change(&end, |breaker, now| breaker.probe(me, lease, now)).await? {
            return Ok(None);
        }
        // requests that hang from before the breaker opened must not keep the one out that asks
        let permit = tokio::time::timeout(Duration::from_secs(5), Arc::clone(&end.places).acquire_owned()).await;
        Ok(Some(self.place(end, permit.ok().and_then(Result::ok), true)))
    }

    /// Who gets how many looks at copies: nobody more than half of its places, and none whose breaker is open.
    pub fn poll_shares(&self, limit: usize) -> Shares {
        let now = self.inner.store.now();
        let mut shares = Shares::even(limit, 1);
        for end in self.ends().into_iter().filter(|end| end.of.side == Side::Delivery) {
            let half = usize::from(end.lock().terms.concurrency).div_ceil(2);
            let most = if end.is_open(now) { half.saturating_sub(end.looking.load(Ordering::Relaxed)) } else { 0 };
            shares.named.insert(end.of.clone(), Share { most, early: None });
        }
        shares
    }

    /// Counts a look until what it gives is dropped.
    pub fn looking(&self, of: &Destination) -> Option<Looking> {
        let end = self.end(of)?;
        end.looking.fetch_add(1, Ordering::Relaxed);
        Some(Looking(end))
    }

    /// All of them at this moment, by name.
    pub fn seen(&self) -> Vec<Seen> {
        let now = self.inner.store.now();
        let mut seen: Vec<Seen> = self.ends().iter().map(|end| end.seen(now)).collect();
        seen.sort_by(|a, b| a.of.cmp(&b.of));
        seen
    }

    fn end(&self, of: &Destination) -> Option<Arc<End>> {
        self.inner.known.read().unwrap_or_else(PoisonError::into_inner).get(of).cloned()
    }

    fn ends(&self) -> Vec<Arc<End>> {
        let known = self.inner.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut ends: Vec<_> = known.values().cloned().collect();
        ends.sort_by(|a, b| a.of.cmp(&b.of));
        ends
    }

    /// Changes a breaker here and in the store, where `next` says so. Of all processes that want to at once, one does.
    async fn change(
        &self,
        end: &End,
        next: impl FnOnce(&Breaker, Timestamp) -> Option<Breaker>,
    ) -> Result<bool, StoreError> {
        let store = &self.inner.store;
        let (before, after, version) = {
            let mut state = end.lock();
            let Some(after) = next(&state.breaker, store.now()) else { return Ok(false) };
            let before = std::mem::replace(&mut state.breaker, after.clone());
            (before, after, state.version)
        };
        let stored = store.set_breaker(&end.of, version, after.clone()).await;
        {
            let mut state = end.lock();
            // a refresh may have brought this very change, or a later one, in the meantime
            if state.version == version {
                match stored {
                    Ok(true) => state.version += 1,
                    Ok(false) | Err(_) => state.breaker = before.clone(),
                }
            }
        }
        if stored? {
            tell(&end.of, &before, &after);
            self.alert(&end.of, &after).await;
            return Ok(true);
        }
        if let Some(now) = store.breakers().await?.into_iter().find(|stored| stored.of == end.of) {
            end.learn(now);
        }
        Ok(false)
    }
}

impl Endpoints {
    /// An outage that lasts is a line of the IT worklist until it is over.
    async fn alert(&self, of: &Destination, breaker: &Breaker) {
        let store = &self.inner.store;
        let told = match breaker.phase {
            Phase::Open { until } if until.duration_since(breaker.outage) >= ALERT_AFTER => {
                let why = breaker.why.as_deref().unwrap_or_default();
                let text = format!("nothing is sent there but a question now and then; the last answer: {why}");
                let alert = Alert::new(AlertKind::EndpointBroken, of.to_string(), breaker.outage, text);
                store.raise(vec![alert]).await
            }
            Phase::Draining { .. } | Phase::Closed => {
                store.end_alert(AlertKind::EndpointBroken, &of.to_string()).await.map(|_| ())
            }
            _ => Ok(()),
        };
        if let Err(error) = told {
            tracing::warn!(endpoint = %of, %error, "an alert about an endpoint could not be kept");
        }
    }
}

/// Says once, where it happened, that a breaker changed.
fn tell(of: &Destination, before: &Breaker, after: &Breaker) {
    let (was, is) = (before.word(), after.word());
    if was == is {
        return;
    }
    metrics::counter!("onward_breaker_changes_total", "endpoint" => of.to_string(), "to" => is).increment(1);
    let why = after.why.as_deref().unwrap_or_default();
    let failures = after.failures;
    match (before.phase, after.phase) {
        (Phase::Closed | Phase::Draining { .. } | Phase::Paused { .. }, Phase::Open { .. }) => {
            tracing::error!(endpoint = %of, failures, why, "too much fails at this endpoint; it is left alone and asked now and then");
        }
        (Phase::Closed, Phase::Paused { .. }) => tracing::warn!(endpoint = %of, why, "this endpoint wants a pause"),
        (Phase::Paused { .. }, Phase::Draining { .. }) => {
            tracing::info!(endpoint = %of, why, "the pause is over that this endpoint asked for; what has waited goes")
        }
        // it answers, nothing is left to ask it with, or a person says that it is back
        (_, Phase::Draining { .. }) => {
            tracing::info!(endpoint = %of, why, "this endpoint is spoken to again; what has waited goes")
        }
        (_, Phase::Closed) => tracing::info!(endpoint = %of, "what had waited for this endpoint is on its way"),
        _ => tracing::debug!(endpoint = %of, was, is, failures, why, "a breaker"),
    }
}

// === impl Looking ===

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.looking.fetch_sub(1, Ordering::Relaxed);
    }
}

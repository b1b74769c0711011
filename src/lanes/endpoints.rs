//! The endpoints as this process knows them: on which terms each is spoken to, how many requests are under way there, and
//! whether its breaker lets messages through.
//!
//! Breakers lie in the store, so that all replicas share them and they survive a restart. Here they are looked at in memory: the
//! store is read once a second for all of them together, and written only where one changes.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    domain::{
        Alert, AlertKind, Destination, Side, TaskId, Terms,
        breaker::{Breaker, Phase, Probe, Tally},
        retry::RetryPolicy,
    },
    store::{Share, Shares, Store, StoreError, StoredBreaker},
};

mod draining;

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

/// One endpoint.
struct End {
    of: Destination,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    looking: AtomicUsize,
    state: Mutex<State>,
}

struct State {
    terms: Terms,
    breaker: Breaker,
    /// The version it is stored under; 0 where it is not.
    version: u64,
    tally: Tally,
    /// When the next message may go, where there is a rate.
    next_at: Instant,
    drain: draining::Bucket,
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

/// The right to speak to an endpoint.
pub struct Place {
    endpoints: Endpoints,
    end: Option<Arc<End>>,
    terms: Terms,
    /// Whether what is heard decides about an open breaker.
    probe: bool,
    /// When the try began.
    begun: Timestamp,
    _permit: Option<OwnedSemaphorePermit>,
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
            return Entry::Go(Place { endpoints: self.clone(), end: None, terms, probe: false, begun, _permit: None });
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
        Place { endpoints: self.clone(), end: Some(end), terms, probe, begun, _permit: permit }
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
        (_, Phase::Draining { .. }) => {
            tracing::info!(endpoint = %of, why, "this endpoint is back; what has waited goes")
        }
        (_, Phase::Closed) => tracing::info!(endpoint = %of, "what had waited for this endpoint is on its way"),
        _ => tracing::debug!(endpoint = %of, was, is, failures, why, "a breaker"),
    }
}

// === impl Place ===

impl Place {
    /// On which terms.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Whether what is heard next decides about an open breaker.
    pub fn is_probe(&self) -> bool {
        self.probe
    }

    /// When the outage began that the endpoint's breaker is about.
    pub fn outage(&self) -> Timestamp {
        self.end.as_ref().map_or(Timestamp::MIN, |end| end.lock().breaker.outage)
    }

    /// Waits until one more message may be sent. False where it may not.
    pub async fn one_more(&mut self) -> bool {
        let Some(end) = &self.end else { return true };
        if !end.is_open(self.endpoints.inner.store.now()) {
            return false;
        }
        tokio::select! {
            biased;
            () = self.endpoints.inner.stop.cancelled() => return false,
            () = end.its_turn() => {}
        }
        self.begun = self.endpoints.inner.store.now();
        end.is_open(self.begun)
    }

    /// Takes in what was heard at a try for `task`. Says whether that was the answer to a probe.
    pub async fn heard(&mut self, task: TaskId, heard: &Heard) -> bool {
        let Some(end) = self.end.clone() else { return false };
        let changed = match heard {
            Heard::Nothing => return false,
            _ if self.probe => {
                self.probe = false;
                let found = match heard {
                    Heard::Failure { retry_after, why } => {
                        Probe::Failed { retry_after: *retry_after, why: why.clone() }
                    }
                    _ => Probe::Answered,
                };
                let probed = self.probed(&end, &found).await;
                if let (Ok(true), Heard::Throttled { retry_after, why }) = (&probed, heard) {
                    let _ = self.endpoints.change(&end, |breaker, now| breaker.pause(*retry_after, why, now)).await;
                }
                if let Err(error) = probed {
                    tracing::warn!(endpoint = %end.of, %error, "what a probe found could not be stored; it is asked again");
                }
                return true;
            }
            Heard::Answer => {
                end.lock().tally.note(task, false);
                return false;
            }
            Heard::Throttled { retry_after, why } => {
                self.endpoints.change(&end, |breaker, now| breaker.pause(*retry_after, why, now)).await
            }
            Heard::Failure { retry_after, why } => {
                let tally = {
                    let mut state = end.lock();
                    // begun before the outage was over, it says nothing of what is since
                    if self.begun < state.breaker.since {
                        return false;
                    }
                    state.tally.note(task, true);
                    let draining = matches!(state.breaker.phase, Phase::Draining { .. });
                    state.tally.trips(draining).then_some(state.tally)
                };
                let Some(tally) = tally else { return false };
                let dice = fastrand::f64();
                let trip = |breaker: &Breaker, now| breaker.trip(tally.streak.max(1), *retry_after, why, now, dice);
                self.endpoints.change(&end, trip).await
            }
        };
        if let Err(error) = changed {
            tracing::warn!(endpoint = %end.of, %error, "a breaker could not be stored; the next failure tries again");
        }
        false
    }

    /// The probe found nothing to ask with.
    pub async fn nothing_to_ask_with(mut self) {
        let Some(end) = self.end.take() else { return };
        if let Err(error) = self.probed(&end, &Probe::Nothing).await {
            tracing::warn!(endpoint = %end.of, %error, "a breaker could not be stored");
        }
    }

    async fn probed(&self, end: &End, found: &Probe) -> Result<bool, StoreError> {
        let (me, dice) = (self.endpoints.inner.me, fastrand::f64());
        if matches!(found, Probe::Answered | Probe::Nothing) {
            end.lock().tally = Tally::default();
        }
        self.endpoints.change(end, |breaker, now| breaker.probed(me, found, now, dice)).await
    }
}

// === impl Looking ===

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.looking.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl End ===

impl End {
    fn new(of: Destination, terms: Terms, now: Timestamp) -> Self {
        let places = Arc::new(Semaphore::new(usize::from(terms.concurrency)));
        let breaker = Breaker::closed(terms.base_url.clone(), now);
        let (next_at, drain) = (Instant::now(), draining::Bucket::new());
        let state = State { terms, breaker, version: 0, tally: Tally::default(), next_at, drain };
        Self { of, places, waiting: AtomicUsize::new(0), looking: AtomicUsize::new(0), state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_up(&self, terms: Terms) {
        let mut state = self.lock();
        let (was, is) = (usize::from(state.terms.concurrency), usize::from(terms.concurrency));
        if is > was {
            self.places.add_permits(is - was);
        } else if is < was {
            // those that are out are taken back as they return
            let free = self.places.forget_permits(was - is);
            let owed = u32::try_from(was - is - free).unwrap_or(0);
            if owed > 0 {
                let places = Arc::clone(&self.places);
                tokio::spawn(async move {
                    if let Ok(permits) = places.acquire_many_owned(owed).await {
                        permits.forget();
                    }
                });
            }
        }
        if state.breaker.phase == Phase::Closed {
            state.breaker.base_url.clone_from(&terms.base_url);
        }
        state.terms = terms;
    }

    fn learn(&self, stored: StoredBreaker) {
        let mut state = self.lock();
        if stored.version <= state.version {
            return;
        }
        let before = std::mem::replace(&mut state.breaker, stored.breaker);
        state.version = stored.version;
        if state.breaker.phase == Phase::Closed {
            let base_url = state.terms.base_url.clone();
            state.breaker.base_url = base_url;
        }
        if matches!(state.breaker.phase, Phase::Draining { .. }) && !matches!(before.phase, Phase::Draining { .. }) {
            state.tally = Tally::default();
        }
        let after = state.breaker.clone();
        drop(state);
        if before.word() != after.word() {
            let (to, why) = (after.word(), after.why.as_deref().unwrap_or_default());
            tracing::info!(endpoint = %self.of, to, why, "a breaker was changed elsewhere");
        }
    }

    fn is_open(&self, now: Timestamp) -> bool {
        self.lock().breaker.lets_through(now)
    }

    /// None where there will never be one.
    async fn a_place(&self) -> Option<OwnedSemaphorePermit> {
        let permit = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let _waiting = self.waits();
                Arc::clone(&self.places).acquire_owned().await.ok()?
            }
        };
        self.its_turn().await;
        Some(permit)
    }

    /// Waits for the next moment that the rate allows.
    async fn its_turn(&self) {
        let at = {
            let mut state = self.lock();
            let Some(rate) = state.terms.rate else { return };
            let at = state.next_at.max(Instant::now());
            state.next_at = at + Duration::from_secs(1) / rate.max(1);
            at
        };
        if at > Instant::now() {
            let _waiting = self.waits();
            tokio::time::sleep_until(at).await;
        }
    }

    fn waits(&self) -> Waits<'_> {
        metrics::counter!("onward_endpoint_deferred_total", "endpoint" => self.of.to_string(), "by" => "limit")
            .increment(1);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waits(&self.waiting)
    }

    fn seen(&self, now: Timestamp) -> Seen {
        let state = self.lock();
        let in_flight = usize::from(state.terms.concurrency).saturating_sub(self.places.available_permits());
        Seen {
            of: self.of.clone(),
            breaker: state.breaker.clone(),
            in_flight,
            waiting: self.waiting.load(Ordering::Relaxed),
            shut: !state.breaker.lets_through(now),
        }
    }
}

struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

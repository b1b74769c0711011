//! One endpoint as this process knows it: its places, its rate, its breaker.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{Seen, draining};
use crate::{
    domain::{
        Destination, Terms,
        breaker::{Breaker, Phase, Tally},
    },
    store::StoredBreaker,
};

/// One endpoint.
pub(super) struct End {
    pub(super) of: Destination,
    pub(super) places: Arc<Semaphore>,
    pub(super) waiting: AtomicUsize,
    pub(super) looking: AtomicUsize,
    pub(super) state: Mutex<State>,
}

pub(super) struct State {
    pub(super) terms: Terms,
    pub(super) breaker: Breaker,
    /// The version it is stored under; 0 where it is not.
    pub(super) version: u64,
    pub(super) tally: Tally,
    /// When the next message may go, where there is a rate.
    pub(super) next_at: Instant,
    pub(super) drain: draining::Bucket,
}

// === impl End ===

impl End {
    pub(super) fn new(of: Destination, terms: Terms, now: Timestamp) -> Self {
        let places = Arc::new(Semaphore::new(usize::from(terms.concurrency)));
        let breaker = Breaker::closed(terms.base_url.clone(), now);
        let (next_at, drain) = (Instant::now(), draining::Bucket::new());
        let state = State { terms, breaker, version: 0, tally: Tally::default(), next_at, drain };
        Self { of, places, waiting: AtomicUsize::new(0), looking: AtomicUsize::new(0), state: Mutex::new(state) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take_up(&self, terms: Terms) {
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

    pub(super) fn learn(&self, stored: StoredBreaker) {
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

    pub(super) fn is_open(&self, now: Timestamp) -> bool {
        self.lock().breaker.lets_through(now)
    }

    /// None where there will never be one.
    pub(super) async fn a_place(&self) -> Option<OwnedSemaphorePermit> {
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
    pub(super) async fn its_turn(&self) {
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

    pub(super) fn seen(&self, now: Timestamp) -> Seen {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Side, retry::RetryPolicy};

    fn end(concurrency: u16, rate: Option<u32>) -> End {
        let terms = Terms { concurrency, rate, ..Terms::unlimited(RetryPolicy::default()) };
        End::new(Destination::new(Side::Delivery, "life-rooms"), terms, Timestamp::UNIX_EPOCH)
    }

    fn terms(end: &End, concurrency: u16) -> Terms {
        Terms { concurrency, ..end.lock().terms.clone() }
    }

    #[tokio::test]
    async fn places_follow_the_configuration_also_those_that_are_out() {
        let end = end(4, None);
        let mut out = Vec::new();
        for _ in 0..3 {
            out.push(end.a_place().await.unwrap());
        }
        end.take_up(terms(&end, 2));
        assert_eq!(end.places.available_permits(), 0, "the free one went at once");
        out.pop();
        // one of those out is owed; it is taken back by a task of its own
        while end.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        out.clear();
        while end.places.available_permits() < 2 {
            tokio::task::yield_now().await;
        }
        end.take_up(terms(&end, 5));
        assert_eq!(end.places.available_permits(), 5);
    }

    #[tokio::test]
    async fn the_rate_spaces_what_comes_at_once() {
        let end = end(9, Some(50));
        let begun = Instant::now();
        for _ in 0..6 {
            drop(end.a_place().await.unwrap());
        }
        assert!(begun.elapsed() >= Duration::from_millis(100), "five spaces of 20 ms: {:?}", begun.elapsed());
    }

    #[test]
    fn what_is_stored_counts_where_it_is_newer() {
        let end = end(1, None);
        let open = Breaker::closed("", Timestamp::UNIX_EPOCH).trip(5, None, "x", Timestamp::UNIX_EPOCH, 1.0).unwrap();
        let stored = |version| StoredBreaker { of: end.of.clone(), breaker: open.clone(), version };
        end.learn(stored(3));
        assert!(!end.is_open(Timestamp::UNIX_EPOCH));
        end.lock().breaker = Breaker::closed("", Timestamp::UNIX_EPOCH);
        end.learn(stored(3));
        assert!(end.is_open(Timestamp::UNIX_EPOCH), "it is known already, and changed here since");
        end.learn(stored(4));
        assert!(!end.is_open(Timestamp::UNIX_EPOCH));
    }
}

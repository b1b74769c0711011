//! Letting go what has waited for an endpoint that is back: by one process, at a bounded rate.

use std::collections::HashMap;

use jiff::SignedDuration;
use tokio::time::Instant;

use super::{End, Endpoints};
use crate::{
    domain::{Destination, Terms, WakeUp, breaker::Phase},
    store::{Share, Shares, StoreError},
};

/// For so long after its last look a process is the one that drains.
const LEASE: SignedDuration = SignedDuration::from_secs(10);
/// What was not used in this part of a second is not made up for: a burst is what the endpoint is to be spared.
const BURST_PART: f64 = 0.25;

/// How much of the rate is unused.
#[derive(Debug)]
pub(super) struct Bucket {
    at: Instant,
    left: f64,
}

impl Bucket {
    pub(super) fn new() -> Self {
        Self { at: Instant::now(), left: 0.0 }
    }

    /// How many may go now.
    fn room(&mut self, rate: u32) -> usize {
        let now = Instant::now();
        let rate = f64::from(rate);
        let earned = now.duration_since(self.at).as_secs_f64() * rate;
        self.left = (self.left + earned).min((rate * BURST_PART).max(1.0));
        self.at = now;
        // at most a few thousand: the rate is bounded in the configuration
        self.left.floor() as usize
    }

    fn take(&mut self, taken: usize) {
        self.left -= taken as f64;
    }
}

/// So many a second: what drains is no exception to the rate of the endpoint.
fn rate(terms: &Terms) -> u32 {
    terms.rate.map_or(terms.drain_rate, |rate| rate.min(terms.drain_rate))
}

impl Endpoints {
    /// Who gets how much of what is due: an even part for all, except where what has waited is being let go: there at its rate and
    /// by one process, also what waits for a later moment.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be agreed with the other processes who lets go.
    pub async fn shares(&self, limit: usize) -> Result<Shares, StoreError> {
        let mut shares = Shares::even(limit, limit);
        let now = self.inner.store.now();
        for end in self.ends() {
            match end.lock().breaker.phase {
                Phase::Draining { .. } => {}
                Phase::Paused { until } if until <= now => {}
                _ => continue,
            }
            shares.named.insert(end.of.clone(), self.share(&end).await?);
        }
        Ok(shares)
    }

    async fn share(&self, end: &End) -> Result<Share, StoreError> {
        let me = self.inner.me;
        self.change(end, |breaker, now| match breaker.phase {
            // it is renewed when half of it is over, not at each look
            Phase::Draining { until, holder } if holder == me && until.duration_since(now) > LEASE / 2 => None,
            _ => breaker.drain(me, LEASE, now),
        })
        .await?;
        let mut state = end.lock();
        Ok(match state.breaker.phase {
            Phase::Draining { holder, .. } if holder == me => {
                let rate = rate(&state.terms);
                Share { most: state.drain.room(rate), early: Some(state.breaker.since) }
            }
            Phase::Draining { .. } => Share { most: 0, early: None },
            _ => Share { most: usize::MAX, early: None },
        })
    }

    /// Takes in what was claimed under `shares`. Where nothing waits any more, the endpoint is as it was before the outage. Says
    /// whether this process still lets something go.
    ///
    /// # Errors
    /// [`StoreError`] where that cannot be stored.
    pub async fn claimed(&self, shares: &Shares, wake_ups: &[WakeUp]) -> Result<bool, StoreError> {
        let mut draining: Vec<_> = shares.named.iter().filter(|(_, share)| share.early.is_some()).collect();
        draining.sort_by_key(|(of, _)| *of);
        if draining.is_empty() {
            return Ok(false);
        }
        let mut counts: HashMap<Destination, usize> = HashMap::new();
        for wake_up in wake_ups {
            *counts.entry(Destination::new(wake_up.side, wake_up.to.clone())).or_default() += 1;
        }
        let me = self.inner.me;
        for (of, share) in draining {
            let Some(end) = self.end(of) else { continue };
            let taken = counts.get(of).copied().unwrap_or(0);
            end.lock().drain.take(taken);
            if taken > 0 {
                metrics::counter!("onward_endpoint_drained_total", "endpoint" => of.to_string())
                    .increment(taken as u64);
            } else if share.most > 0 && wake_ups.len() < shares.limit {
                self.change(&end, |breaker, now| breaker.drained(me, now)).await?;
            }
        }
        Ok(true)
    }
}

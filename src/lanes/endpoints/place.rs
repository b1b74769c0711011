//! The right to speak to an endpoint, and what is heard there.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::OwnedSemaphorePermit;

use super::{End, Endpoints, Heard};
use crate::{
    domain::{
        TaskId, Terms,
        breaker::{Breaker, Phase, Probe, Tally},
    },
    store::StoreError,
};

/// The right to speak to an endpoint.
pub struct Place {
    pub(super) endpoints: Endpoints,
    pub(super) end: Option<Arc<End>>,
    pub(super) terms: Terms,
    /// Whether what is heard decides about an open breaker.
    pub(super) probe: bool,
    /// When the try began.
    pub(super) begun: Timestamp,
    /// Held for as long as this is.
    #[expect(dead_code, reason = "it is given back by being dropped")]
    pub(super) permit: Option<OwnedSemaphorePermit>,
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

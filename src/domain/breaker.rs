//! The circuit breaker of one endpoint: when it is left alone, when it is asked whether it is back, and how what has waited is
//! let go. A pure machine: [`Tally`] counts what came of tries in one process, [`Breaker`] is what all processes share.
//!
//! ```text
//! closed ──too many failures──▶ open ──pause over, one asks──▶ probing ──answered──▶ draining ──nothing waits──▶ closed
//!    └──“not before …” (429)──▶ paused ──over──▶ draining   ▲        │                   │
//!                                                           └─failed─┘◀──fails again─────┘
//! ```

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{TaskId, retry::RETRY_AFTER_MAX};

/// So many tries that fail one after the other, of two Tasks at least, open it.
pub const STREAK_MAX: u32 = 5;
/// While it drains, so many do.
pub const STREAK_MAX_DRAINING: u32 = 3;
/// So many of the last 32 tries, of two Tasks at least, open it too: an endpoint that lets one in four through helps nobody.
pub const FAILED_OF_32_MAX: u32 = 24;
/// The first pause, and the shortest: one who was away for a moment is asked again in a moment.
const PAUSE_MIN: SignedDuration = SignedDuration::from_secs(1);
/// The longest pause, unless the endpoint asked for more.
const PAUSE_MAX: SignedDuration = SignedDuration::from_secs(60);
/// A pause is this part of the outage so far: whatever lasted for t is noticed to be over after t / 10.
const PAUSE_PART: i32 = 10;
/// A pause that the endpoint asked for without saying how long.
const PAUSE_UNSAID: SignedDuration = SignedDuration::from_secs(1);
/// A second wish to pause counts where it ends later than the first by more than this: sixteen answers at once are one wish.
const PAUSE_APART: SignedDuration = SignedDuration::from_secs(1);
/// It drains for at least so long: another process that has not heard yet may still put messages aside.
const DRAIN_MIN: SignedDuration = SignedDuration::from_secs(3);

/// What the tries of one process at one endpoint came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Failures one after the other.
    pub streak: u32,
    first: Option<TaskId>,
    several: bool,
    /// The last 32 tries, the newest lowest; a failure is a one.
    window: u32,
    seen: u32,
}

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    /// The address it is about. At another one nothing of this is true.
    pub base_url: String,
    /// What holds now.
    pub phase: Phase,
    /// Since when it does.
    pub since: Timestamp,
    /// When the outage began that it is about; where there is none, as `since`.
    pub outage: Timestamp,
    /// Tries that failed in this outage as far as they were counted: those that opened it, and probes.
    pub failures: u32,
    /// Why it is not closed, without content.
    pub why: Option<String>,
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// All is well.
    Closed,
    /// It asked not to be spoken to before this moment (429 with `Retry-After`).
    Paused {
        /// Until when.
        until: Timestamp,
    },
    /// It is left alone.
    Open {
        /// Until when; then one asks whether it is back.
        until: Timestamp,
    },
    /// One process asks with one message.
    Probing {
        /// When that counts as not answered.
        until: Timestamp,
        /// Who asks.
        holder: Uuid,
    },
    /// It is back. New messages go as always, and one process lets go what has waited, at a bounded rate.
    Draining {
        /// When another process takes that over.
        until: Timestamp,
        /// Who does it; nobody yet, if nil.
        holder: Uuid,
    },
}

/// What a probe showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// It answers.
    Answered,
    /// It does not.
    Failed {
        /// What it asked for.
        retry_after: Option<SignedDuration>,
        /// Why, without content.
        why: String,
    },
    /// Nothing waits that could be asked with.
    Nothing,
}

// === impl Tally ===

impl Tally {
    /// Notes what came of a try to send a message of `task`.
    pub fn note(&mut self, task: TaskId, failed: bool) {
        self.window = (self.window << 1) | u32::from(failed);
        self.seen = (self.seen + 1).min(32);
        if !failed {
            self.streak = 0;
            // only a whole window without a failure forgets that there were failures of several
            if self.window == 0 {
                (self.first, self.several) = (None, false);
            }
            return;
        }
        self.streak = self.streak.saturating_add(1);
        match self.first {
            None => self.first = Some(task),
            Some(first) => self.several |= first != task,
        }
    }

    /// Whether that is too much. One Task alone never is: the fault may be in it and not in the endpoint.
    pub fn trips(&self, draining: bool) -> bool {
        let streak = if draining { STREAK_MAX_DRAINING } else { STREAK_MAX };
        let often = self.seen == 32 && self.window.count_ones() >= FAILED_OF_32_MAX;
        self.several && (self.streak >= streak || often)
    }
}

// === impl Breaker ===

impl Breaker {
    /// One of which nothing is known.
    pub fn closed(base_url: impl Into<String>, now: Timestamp) -> Self {
        Self { base_url: base_url.into(), phase: Phase::Closed, since: now, outage: now, failures: 0, why: None }
    }

    /// Whether messages may be sent as always.
    pub fn lets_through(&self, now: Timestamp) -> bool {
        match self.phase {
            Phase::Closed | Phase::Draining { .. } => true,
            Phase::Paused { until } => until <= now,
            Phase::Open { .. } | Phase::Probing { .. } => false,
        }
    }

    /// The phase in a word, for the store, the figures and people.
    pub fn word(&self) -> &'static str {
        match self.phase {
            Phase::Closed => "closed",
            Phase::Paused { .. } => "paused",
            Phase::Open { .. } => "open",
            Phase::Probing { .. } => "probing",
            Phase::Draining { .. } => "draining",
        }
    }

    /// Whether what waits is let go because a pause is over that the endpoint asked for: it never was away.
    pub fn is_after_pause(&self) -> bool {
        matches!(self.phase, Phase::Draining { .. }) && self.failures == 0
    }

    fn enter(&self, phase: Phase, now: Timestamp) -> Self {
        Self { phase, since: now, ..self.clone() }
    }

    /// Too much has failed. None where it is open already, or being asked.
    ///
    /// `dice` (0 to 1) spreads the pause over its upper half, so that what failed together is not asked together.
    pub fn trip(
        &self,
        failures: u32,
        retry_after: Option<SignedDuration>,
        why: &str,
        now: Timestamp,
        dice: f64,
    ) -> Option<Self> {
        let outage = match self.phase {
            Phase::Open { .. } | Phase::Probing { .. } => return None,
            // it was back for a moment only: the same outage goes on
            Phase::Draining { .. } => self.outage,
            Phase::Closed | Phase::Paused { .. } => now,
        };
        let opened = Self {
            outage,
            failures: if outage == now { failures } else { self.failures.saturating_add(failures) },
            why: Some(why.to_owned()),
            ..self.clone()
        };
        Some(opened.open(retry_after, now, dice))
    }

    fn open(&self, retry_after: Option<SignedDuration>, now: Timestamp, dice: f64) -> Self {
        let so_far = now.duration_since(self.outage) / PAUSE_PART;
        let bound = so_far.clamp(PAUSE_MIN, PAUSE_MAX);
        let mut pause = SignedDuration::from_secs_f64(bound.as_secs_f64() * (0.5 + dice.clamp(0.0, 1.0) / 2.0));
        if let Some(asked) = retry_after {
            pause = pause.max(asked.min(RETRY_AFTER_MAX));
        }
        self.enter(Phase::Open { until: after(now, pause) }, now)
    }

    /// It asked not to be spoken to for a while. That is no failure: it answers. None where that changes nothing.
    pub fn pause(&self, asked: Option<SignedDuration>, why: &str, now: Timestamp) -> Option<Self> {
        let until = after(now, asked.unwrap_or(PAUSE_UNSAID).min(RETRY_AFTER_MAX));
        match self.phase {
            Phase::Open { .. } | Phase::Probing { .. } => return None,
            Phase::Paused { until: known } if until <= after(known, PAUSE_APART) => return None,
            _ => {}
        }
        let paused = Self { outage: now, failures: 0, why: Some(why.to_owned()), ..self.clone() };
        Some(paused.enter(Phase::Paused { until }, now))
    }

    /// `holder` asks whether it is back, and has until `lease` from now. None where it is not yet time, or another does.
    pub fn probe(&self, holder: Uuid, lease: SignedDuration, now: Timestamp) -> Option<Self> {
        match self.phase {
            Phase::Open { until } | Phase::Probing { until, .. } if until <= now => {
                Some(self.enter(Phase::Probing { until: after(now, lease), holder }, now))
            }
            _ => None,
        }
    }

    /// What `holder` found. None where it is not the one who asks any more.
    pub fn probed(&self, holder: Uuid, found: &Probe, now: Timestamp, dice: f64) -> Option<Self> {
        match self.phase {
            Phase::Probing { holder: held, .. } if held == holder => {}
            _ => return None,
        }
        Some(match found {
            Probe::Answered | Probe::Nothing => self.enter(Phase::Draining { until: now, holder: Uuid::nil() }, now),
            Probe::Failed { retry_after, why } => {
                let failed = Self { failures: self.failures.saturating_add(1), why: Some(why.clone()), ..self.clone() };
                failed.open(*retry_after, now, dice)
            }
        })
    }

    /// `holder` lets go what has waited, for `lease` from now; the same one may say so again. A pause that is over ends so too.
    /// None where there is nothing to let go, or another does it.
    pub fn drain(&self, holder: Uuid, lease: SignedDuration, now: Timestamp) -> Option<Self> {
        let phase = Phase::Draining { until: after(now, lease), holder };
        match self.phase {
            Phase::Paused { until } if until <= now => Some(self.enter(phase, now)),
            Phase::Draining { until, holder: held } if until <= now || held == holder => {
                Some(Self { phase, ..self.clone() })
            }
            _ => None,
        }
    }

    /// Nothing waits any more. None where it is too early to say, or not `holder`'s to say.
    pub fn drained(&self, holder: Uuid, now: Timestamp) -> Option<Self> {
        match self.phase {
            Phase::Draining { holder: held, .. } if held == holder && now.duration_since(self.since) >= DRAIN_MIN => {
                Some(Self::closed(self.base_url.clone(), now))
            }
            _ => None,
        }
    }

    /// A person says that it is back, or it is now at `base_url`, where it never was away. None where it is closed.
    pub fn let_go(&self, base_url: &str, why: &str, now: Timestamp) -> Option<Self> {
        if self.phase == Phase::Closed {
            return None;
        }
        let back = Self { base_url: base_url.to_owned(), why: Some(why.to_owned()), ..self.clone() };
        Some(back.enter(Phase::Draining { until: now, holder: Uuid::nil() }, now))
    }
}

fn after(now: Timestamp, wait: SignedDuration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;

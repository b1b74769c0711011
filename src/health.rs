//! How the parts of the service are: watched in the background, told in `/health/ready`, and acted on at the door. Whoever asks
//! is shown what was last found, so that asking costs nothing.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::domain::clock::{Clock, SystemClock, Timestamp};

pub mod watch;

pub use watch::Watch;

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// As it should be.
    Ready,
    /// It does less than it should.
    Degraded,
    /// It does nothing of what it should.
    Unavailable,
}

/// A part of the service, or of what it stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Where referrals are kept.
    Store,
    /// The disk that an embedded store lies on.
    Disk,
    /// What wakes the workers.
    Broker,
    /// Whether referrals are taken.
    Intake,
    /// What waits to be delivered and written back.
    Outbox,
    /// What says where a referral goes, where the store has it.
    Routes,
    /// By what clients know the service.
    Certificate,
}

/// What is known of a part. Holds no secret and no patient data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// How it is.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// What was found, in plain words.
    pub detail: String,
    /// What to do about it, in plain words; empty where nothing is.
    pub advice: String,
}

/// See the module's documentation.
#[derive(Default)]
pub struct Health {
    parts: Mutex<BTreeMap<Part, Condition>>,
    stopping: AtomicBool,
}

// === impl State ===

impl State {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Unavailable => "unavailable",
        }
    }
}

// === impl Part ===

impl Part {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Disk => "disk",
            Self::Broker => "broker",
            Self::Intake => "intake",
            Self::Outbox => "outbox",
            Self::Routes => "routes",
            Self::Certificate => "certificate",
        }
    }

    /// What the whole service is when this part is so: without a broker referrals are still accepted, and a certificate is that of one
    /// listener.
    fn weighs(self, state: State) -> State {
        if matches!(self, Self::Broker | Self::Certificate) { state.min(State::Degraded) } else { state }
    }
}

// === impl Health ===

impl Health {
    fn parts(&self) -> MutexGuard<'_, BTreeMap<Part, Condition>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how a part is; when that has changed, the log says so.
    pub fn note(&self, part: Part, state: State, detail: impl Into<String>, advice: &str) {
        let (detail, advice) = (detail.into(), advice.to_owned());
        let mut parts = self.parts();
        let before = parts.get(&part).map(|condition| (condition.state, condition.since));
        let since = match before {
            Some((same, since)) if same == state => since,
            _ => SystemClock.now(),
        };
        metrics::gauge!("onward_part_state", "part" => part.name()).set(f64::from(state as u8));
        match (before.map(|(state, _)| state), state) {
            (None | Some(State::Ready), State::Ready) => {}
            (Some(before), now) if before == now => {}
            (Some(_), State::Ready) => tracing::info!(part = part.name(), detail, "ready again"),
            _ => tracing::warn!(part = part.name(), state = state.word(), detail, advice, "not as it should be"),
        }
        parts.insert(part, Condition { state, since, detail, advice });
    }

    /// From now on it is to get no more requests.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether [`Health::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Every part, as it was last found.
    pub fn conditions(&self) -> BTreeMap<Part, Condition> {
        self.parts().clone()
    }

    /// How the service is as a whole.
    pub fn overall(&self) -> State {
        self.parts().iter().map(|(part, found)| part.weighs(found.state)).max().unwrap_or(State::Ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_part_counts_and_a_broker_that_is_away_is_not_the_end() {
        let health = Health::default();
        assert_eq!(health.overall(), State::Ready);
        health.note(Part::Store, State::Ready, "", "");
        health.note(Part::Broker, State::Unavailable, "away", "start it");
        assert_eq!(health.overall(), State::Degraded);
        health.note(Part::Disk, State::Unavailable, "full", "make room");
        assert_eq!(health.overall(), State::Unavailable);
        health.note(Part::Disk, State::Ready, "", "");
        health.note(Part::Broker, State::Ready, "", "");
        assert_eq!(health.overall(), State::Ready);
    }

    #[test]
    fn since_is_when_it_changed_and_not_when_it_was_looked_at() {
        let health = Health::default();
        health.note(Part::Store, State::Ready, "a", "");
        let first = health.conditions()[&Part::Store].since;
        health.note(Part::Store, State::Ready, "b", "");
        assert_eq!(health.conditions()[&Part::Store].since, first);
        assert_eq!(health.conditions()[&Part::Store].detail, "b");
        health.note(Part::Store, State::Degraded, "c", "");
        assert!(health.conditions()[&Part::Store].since >= first);
    }
}

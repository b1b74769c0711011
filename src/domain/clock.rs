//! The only place that asks what time it is, so that tests can decide it.

use std::sync::atomic::{AtomicI64, Ordering};

pub use jiff::{SignedDuration, Timestamp};

/// Where the time comes from. Leases and due times are always reckoned by the store's clock.
pub trait Clock: Send + Sync + 'static {
    /// The present moment, to the microsecond: what the store keeps.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// A clock that stands still until it is moved; for tests.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        from_micros(Timestamp::now().as_microsecond())
    }
}

impl ManualClock {
    /// A clock that shows `start`.
    pub fn at(start: Timestamp) -> Self {
        Self(AtomicI64::new(start.as_microsecond()))
    }

    /// Moves the hands forward by `seconds`.
    pub fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// The moment `micros` microseconds after 1970-01-01T00:00:00Z; the nearest representable one where that is out of range.
pub fn from_micros(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(if micros < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// A moment as a FHIR `instant` in UTC with milliseconds, the form of every time that Onward itself writes
/// (R4 datatypes, `instant`).
pub fn instant(at: Timestamp) -> String {
    format!("{at:.3}")
}

//! The store's clock: the server's, so that replicas on different machines agree when a lease ends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{link::Link, rows};
use crate::{
    domain::{Clock, clock::from_micros},
    store::StoreError,
};

/// A step back of the server's clock up to this is hidden: the time stands still instead.
const STEP_BACK_MAX: i64 = 1_000_000;
/// An answer that took longer says too little about when it was given.
const ROUND_TRIP_MAX: Duration = Duration::from_millis(250);

/// Where the store takes its time from.
#[derive(Clone)]
pub(super) enum Time {
    /// The server.
    Server(Arc<ServerTime>),
    /// Somewhere else: a test.
    Given(Arc<dyn Clock>),
}

/// The server's clock as this process reckons it between two looks: by what has passed here since, never by the machine's own
/// date.
pub(super) struct ServerTime {
    begun: Instant,
    /// What the server showed when this process began, in microseconds.
    offset: AtomicI64,
    /// The latest moment that was told.
    told: AtomicI64,
}

impl Time {
    pub(super) fn now(&self) -> Timestamp {
        match self {
            Self::Server(time) => time.now(),
            Self::Given(clock) => clock.now(),
        }
    }

    /// Looks at the server's clock.
    pub(super) async fn look(&self, link: &Link) -> Result<(), StoreError> {
        let Self::Server(time) = self else { return Ok(()) };
        let asked = Instant::now();
        let shown = link.query(NOW, &[]).await?;
        let shown: i64 = shown.first().map_or(Ok(0), |row| rows::get(row, "micros"))?;
        time.seen(asked, Instant::now(), shown);
        Ok(())
    }
}

const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS micros";

impl ServerTime {
    /// Shows nothing sensible before the first look.
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), offset: AtomicI64::new(i64::MIN), told: AtomicI64::new(i64::MIN) }
    }

    /// The server showed `shown` at some moment between the two.
    fn seen(&self, asked: Instant, answered: Instant, shown: i64) {
        let trip = answered.duration_since(asked);
        let first = self.offset.load(Ordering::Acquire) == i64::MIN;
        if trip <= ROUND_TRIP_MAX || first {
            let middle = asked + trip / 2;
            self.offset.store(shown - rows::duration_micros(middle.duration_since(self.begun)), Ordering::Release);
        }
    }

    fn now(&self) -> Timestamp {
        let offset = self.offset.load(Ordering::Acquire);
        let reckoned = offset.saturating_add(rows::duration_micros(self.begun.elapsed()));
        let told = self.told.fetch_max(reckoned, Ordering::AcqRel);
        if told > reckoned && told - reckoned <= STEP_BACK_MAX {
            return from_micros(told);
        }
        if told > reckoned {
            // it was set back by more: to wait for it would be to stand still
            self.told.store(reckoned, Ordering::Release);
        }
        from_micros(reckoned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn it_follows_the_server_and_not_the_machine() {
        let time = ServerTime::new();
        let asked = time.begun;
        time.seen(asked, asked + Duration::from_millis(10), 1_000 * SECOND);
        let now = time.now().as_microsecond();
        assert!(now >= 1_000 * SECOND - 5_000, "{now}");
        time.seen(asked, asked + Duration::from_millis(10), 2_000 * SECOND);
        assert!(time.now().as_microsecond() >= 2_000 * SECOND - 5_000);
    }

    #[test]
    fn a_small_step_back_is_hidden_and_a_large_one_followed() {
        let time = ServerTime::new();
        let asked = time.begun;
        time.seen(asked, asked, 1_000 * SECOND);
        let before = time.now();
        time.seen(asked, asked, 1_000 * SECOND - SECOND / 2);
        assert!(time.now() >= before, "it stands still");
        time.seen(asked, asked, 500 * SECOND);
        assert!(time.now() < before);
        assert!(time.now().as_microsecond() < 900 * SECOND);
    }

    #[test]
    fn a_slow_answer_changes_nothing() {
        let time = ServerTime::new();
        let asked = time.begun;
        time.seen(asked, asked, 1_000 * SECOND);
        time.seen(asked, asked + Duration::from_secs(2), 9_000 * SECOND);
        assert!(time.now().as_microsecond() < 2_000 * SECOND);
    }
}

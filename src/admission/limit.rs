//! How many may be let in at once, by what a commit takes. By Little's law what a commit takes is in proportion to how many are in:
//! when it takes longer than is tolerated the limit falls in that proportion, and while it does not the limit grows, the more
//! slowly the nearer it is. Pure: it is told the time.

use std::time::Duration;

/// What is measured together before anything is decided: so many commits at least, …
const WINDOW_COUNT: u32 = 16;
/// … over at least this long.
const WINDOW: Duration = Duration::from_millis(50);
/// A window that stays thin is closed after this long all the same.
const WINDOW_MAX: Duration = Duration::from_secs(1);
/// Commits may take this many times what they take unloaded.
const TOLERANCE: u32 = 3;
/// But never more than this many times what is tolerated anyway: a store that was slow from the start is no yardstick.
const CEILING: u32 = 10;
/// It begins here: a store that is not known yet is not flooded.
const BEGIN: usize = 64;
/// How far it falls at once.
const FALL: std::ops::RangeInclusive<f64> = 0.5..=0.9;
/// How it grows while commits take less than half of what is tolerated, and beyond that.
const GROWTH: (f64, f64) = (1.25, 1.05);
/// What is known of the unloaded store is looked at again when it is older than this.
const BASELINE_AGE: Duration = Duration::from_secs(60);

/// Between which bounds a limit moves, and what is tolerated.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Never fewer are let in.
    pub min: usize,
    /// Never more are let in.
    pub max: usize,
    /// A commit that takes no longer than this is never too slow.
    pub tolerated: Duration,
}

/// A limit that follows the store. Moments are durations since any fixed one.
#[derive(Debug)]
pub struct Adaptive {
    bounds: Bounds,
    limit: f64,
    window: Window,
    baseline: Option<Baseline>,
    look: Look,
    /// What was let in before the limit fell is slow because of what it was before: it is not held against it twice.
    quiet_until: Duration,
}

#[derive(Debug, Default)]
struct Window {
    begun: Duration,
    sum: Duration,
    count: u32,
    most_in_flight: usize,
}

/// What a commit takes when little is asked of the store.
#[derive(Debug, Clone, Copy)]
struct Baseline {
    took: Duration,
    at: Duration,
}

/// Under a load that never ends, the unloaded store is never seen and what counts as unloaded would creep up with the load. So
/// now and then only the fewest are let in for a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Look {
    Not,
    /// What was let in before is let finish until then.
    Draining(Duration),
    Measuring,
}

impl Adaptive {
    /// Within these bounds.
    pub fn new(bounds: Bounds) -> Self {
        let max = bounds.max.max(1);
        let bounds = Bounds { min: bounds.min.clamp(1, max), max, ..bounds };
        let limit = BEGIN.clamp(bounds.min, max) as f64;
        let (window, quiet_until) = (Window::default(), Duration::ZERO);
        Self { bounds, limit, window, baseline: None, look: Look::Not, quiet_until }
    }

    /// How many may be in at once.
    pub fn limit(&self) -> usize {
        if self.look == Look::Not { self.limit as usize } else { self.bounds.min }
    }

    /// How long a commit may take before fewer are let in.
    pub fn tolerated(&self) -> Duration {
        let floor = self.bounds.tolerated;
        self.baseline.map_or(floor, |b| (b.took * TOLERANCE).clamp(floor, floor * CEILING))
    }

    /// A commit took this long, with so many let in when it ended.
    pub fn committed(&mut self, at: Duration, took: Duration, in_flight: usize) {
        if let Look::Draining(until) = self.look {
            if at < until {
                return;
            }
            self.look = Look::Measuring;
            self.window = Window { begun: at, ..Window::default() };
        }
        if at < self.quiet_until {
            return;
        }
        let window = &mut self.window;
        if window.count == 0 {
            window.begun = at;
        }
        window.count += 1;
        window.sum += took;
        window.most_in_flight = window.most_in_flight.max(in_flight);
        let age = at.saturating_sub(window.begun);
        if (window.count >= WINDOW_COUNT && age >= WINDOW) || age >= WINDOW_MAX {
            let window = std::mem::take(window);
            self.decide(at, window.sum / window.count, window.most_in_flight);
        }
    }

    fn decide(&mut self, at: Duration, mean: Duration, most_in_flight: usize) {
        if self.look == Look::Measuring {
            self.look = Look::Not;
            self.baseline = Some(Baseline { took: mean, at });
            return;
        }
        // what is measured under load is no yardstick, unless it is better than the one there is
        if most_in_flight <= self.bounds.min || self.baseline.is_some_and(|b| mean <= b.took) {
            self.baseline = Some(Baseline { took: mean, at });
        }
        let (min, max) = (self.bounds.min as f64, self.bounds.max as f64);
        let tolerated = self.tolerated();
        if mean > tolerated {
            // from what was really in: a limit that nothing reached says nothing
            let fall = (tolerated.as_secs_f64() / mean.as_secs_f64()).clamp(*FALL.start(), *FALL.end());
            self.limit = (self.limit.min(most_in_flight as f64) * fall).max(min);
            self.quiet_until = at + mean;
        } else if most_in_flight as f64 * 2.0 >= self.limit {
            let growth = if mean * 2 <= tolerated { GROWTH.0 } else { GROWTH.1 };
            self.limit = (self.limit * growth).max(self.limit + 1.0).min(max);
        }
        // where what is tolerated anyway is more, nobody needs to be kept out for the yardstick
        let counts = self.tolerated() > self.bounds.tolerated;
        if counts && self.baseline.is_some_and(|b| at.saturating_sub(b.at) >= BASELINE_AGE) {
            self.look = Look::Draining(at + mean * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn limit(tolerated: Duration) -> Adaptive {
        Adaptive::new(Bounds { min: 4, max: 256, tolerated })
    }

    /// A store that commits `rate` a second, `least` at the least: each that is in waits for those before it (Little's law). The
    /// load fills every place there is. Gives the time when it ended and what the last commit took.
    fn loaded(
        limit: &mut Adaptive,
        from: Duration,
        rate: f64,
        least: Duration,
        lasting: Duration,
    ) -> (Duration, Duration) {
        let (mut now, mut took) = (from, least);
        while now < from + lasting {
            let in_flight = limit.limit();
            took = least.max(Duration::from_secs_f64(in_flight as f64 / rate));
            now += Duration::from_secs_f64(1.0 / rate);
            limit.committed(now, took, in_flight);
        }
        (now, took)
    }

    #[test]
    fn under_ten_times_the_load_a_commit_stays_within_what_is_tolerated() {
        for (rate, least) in [(2_000.0, MS), (500.0, 5 * MS), (100.0, 20 * MS)] {
            let mut limit = limit(50 * MS);
            let (_, took) = loaded(&mut limit, Duration::ZERO, rate, least, Duration::from_secs(60));
            assert!(took <= limit.tolerated() + limit.tolerated() / 4, "{rate}: {took:?} > {:?}", limit.tolerated());
            // and what the store can do is made use of: half of the places that fit are filled
            let fit = limit.tolerated().as_secs_f64() * rate;
            assert!(limit.limit() as f64 >= fit.min(256.0) / 2.0 || limit.limit() == 4, "{rate}: {}", limit.limit());
        }
    }

    #[test]
    fn a_store_that_is_fast_enough_limits_nobody() {
        let mut limit = limit(50 * MS);
        loaded(&mut limit, Duration::ZERO, 20_000.0, MS, Duration::from_secs(10));
        assert_eq!(limit.limit(), 256);
    }

    #[test]
    fn it_recovers_when_the_store_does() {
        let mut limit = limit(50 * MS);
        let (now, _) = loaded(&mut limit, Duration::ZERO, 100.0, MS, Duration::from_secs(30));
        let low = limit.limit();
        assert!(low < 16, "{low}");
        loaded(&mut limit, now, 20_000.0, MS, Duration::from_secs(10));
        assert!(limit.limit() > 200, "{}", limit.limit());
    }

    #[test]
    fn a_load_that_never_ends_does_not_become_its_own_yardstick() {
        let mut limit = limit(5 * MS);
        // what it takes unloaded: 10 ms, so at most 30 ms are tolerated, whatever the load makes of it
        let (now, _) = loaded(&mut limit, Duration::ZERO, 1_000.0, 10 * MS, Duration::from_secs(5));
        let (_, took) = loaded(&mut limit, now, 1_000.0, 10 * MS, Duration::from_secs(1_800));
        assert!(took <= 40 * MS, "{took:?}");
        assert!(limit.tolerated() <= 31 * MS, "{:?}", limit.tolerated());
    }

    #[test]
    fn a_slow_store_is_not_let_be_slower_without_bound() {
        let mut limit = limit(10 * MS);
        loaded(&mut limit, Duration::ZERO, 100.0, Duration::from_secs(1), Duration::from_secs(300));
        assert_eq!(limit.tolerated(), 100 * MS);
        assert_eq!(limit.limit(), 4);
    }

    #[test]
    fn one_slow_commit_among_few_is_no_reason() {
        let mut limit = limit(50 * MS);
        for n in 1..=60 {
            // two a second, alone each time: the limit is not what slows them
            limit.committed(n * 500 * MS, 40 * MS, 1);
        }
        assert_eq!(limit.limit(), BEGIN);
    }

    #[test]
    fn a_burst_on_an_unknown_store_is_brought_down_within_seconds() {
        let mut limit = limit(50 * MS);
        // 30 a second, and all places are taken at once
        loaded(&mut limit, Duration::ZERO, 30.0, MS, Duration::from_secs(5));
        assert!(limit.limit() <= 8, "{}", limit.limit());
    }
}

//! How far referrals are let in while what was accepted before them waits to be delivered. Pure.

use std::time::Duration;

/// From this part of a bound on, referrals are let in more slowly.
const EASY: f64 = 0.5;

/// When too much waits.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Messages that are not done.
    pub messages: u64,
    /// How long one that is due may wait to be handed to the broker.
    pub age: Duration,
}

/// What waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Messages that are not done, those that wait for their next try included.
    pub messages: u64,
    /// How long the one that has been due longest waits to be handed to the broker.
    pub overdue: Duration,
}

/// How far referrals are let in, from 1 (as ever) down to 0 (none).
pub fn open(bounds: &Bounds, waiting: &Waiting) -> f64 {
    let messages = waiting.messages as f64 / bounds.messages.max(1) as f64;
    let age = waiting.overdue.as_secs_f64() / bounds.age.as_secs_f64().max(0.001);
    let filled = messages.max(age);
    ((1.0 - filled) / (1.0 - EASY)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_narrows_from_half_of_a_bound_and_shuts_at_the_bound() {
        let bounds = Bounds { messages: 1_000, age: Duration::from_secs(100) };
        let at = |messages, overdue| open(&bounds, &Waiting { messages, overdue: Duration::from_secs(overdue) });
        assert_eq!((at(0, 0), at(500, 50)), (1.0, 1.0));
        assert_eq!((at(750, 0), at(0, 75)), (0.5, 0.5));
        assert!(at(999, 0) > 0.0);
        assert_eq!((at(1_000, 0), at(0, 100), at(u64::MAX, u64::MAX)), (0.0, 0.0, 0.0));
        // it never opens wider as more waits
        assert!((0..1_200).map(|n| at(n, 60)).is_sorted_by(|a, b| a >= b));
    }
}

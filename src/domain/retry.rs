//! When a message that could not be sent is tried again, and when it is given up.

use jiff::{SignedDuration, Timestamp};

/// How long to wait between tries and how long to keep trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The longest wait before the second try; doubles with every try after that.
    pub first: SignedDuration,
    /// No wait is longer than this, unless the other side asked for it by Retry-After.
    pub cap: SignedDuration,
    /// A message older than this when a try fails becomes a dead letter.
    pub give_up_after: SignedDuration,
    /// A referral not delivered after this long is shown as `delivery-delayed` in its record.
    pub delayed_after: SignedDuration,
    /// A request that nobody heard the end of may still arrive for so long.
    pub late_max: SignedDuration,
}

/// What to do after a try that failed but may yet succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try again at this moment.
    At(Timestamp),
    /// It has been tried for as long as the policy allows.
    GiveUp,
}

/// A wait the other side asks for is honoured up to this long; a longer one would be a way to lose a referral.
pub const RETRY_AFTER_MAX: SignedDuration = SignedDuration::from_hours(24);
/// Never two tries closer together than this, however the dice fall.
const WAIT_MIN: SignedDuration = SignedDuration::from_millis(50);

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            first: SignedDuration::from_secs(2),
            cap: SignedDuration::from_hours(2),
            give_up_after: SignedDuration::from_hours(7 * 24),
            delayed_after: SignedDuration::from_mins(15),
            late_max: SignedDuration::from_mins(5),
        }
    }
}

impl RetryPolicy {
    /// The next step after try number `attempt` (1 is the first) of a message made at `since` failed at `now`.
    ///
    /// Exponential with full jitter: the wait is `dice` (0 to 1, drawn by the caller) of the doubled bound, so that what
    /// failed together does not come back together. `retry_after` is what the other side asked for.
    pub fn next(
        &self,
        attempt: u32,
        since: Timestamp,
        now: Timestamp,
        retry_after: Option<SignedDuration>,
        dice: f64,
    ) -> Next {
        if now.duration_since(since) >= self.give_up_after {
            return Next::GiveUp;
        }
        let doublings = attempt.saturating_sub(1).min(40);
        let bound = self.first.as_secs_f64() * 2f64.powi(doublings as i32);
        let wait = bound.min(self.cap.as_secs_f64()) * dice.clamp(0.0, 1.0);
        let mut wait = SignedDuration::from_secs_f64(wait).max(WAIT_MIN);
        if let Some(asked) = retry_after {
            wait = wait.max(asked.min(RETRY_AFTER_MAX));
        }
        // the last try comes at the end of the policy's time, not long after it
        let last = since.checked_add(self.give_up_after).unwrap_or(Timestamp::MAX);
        let at = now.checked_add(wait).unwrap_or(Timestamp::MAX);
        Next::At(if at > last && last > now { last } else { at })
    }

    /// How long what was sent before `since` may still be on its way at `now`; none where it has arrived or never will.
    pub fn may_arrive_within(&self, since: Timestamp, now: Timestamp) -> Option<SignedDuration> {
        let left = self.late_max - now.duration_since(since);
        left.is_positive().then_some(left)
    }

    /// Whether a message made at `since` is by now late enough to tell the record.
    pub fn is_delayed(&self, since: Timestamp, now: Timestamp) -> bool {
        now.duration_since(since) >= self.delayed_after
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_grow_to_the_cap_and_never_pass_the_end(attempt in 1u32..200, age_s in 0i64..700_000, dice in 0f64..=1.0) {
            let policy = RetryPolicy::default();
            let since = Timestamp::UNIX_EPOCH;
            let now = since + SignedDuration::from_secs(age_s);
            match policy.next(attempt, since, now, None, dice) {
                Next::GiveUp => prop_assert!(age_s >= policy.give_up_after.as_secs()),
                Next::At(at) => {
                    prop_assert!(at > now);
                    prop_assert!(at <= now + policy.cap);
                    let bound = policy.first.as_secs_f64() * 2f64.powi((attempt - 1).min(40) as i32);
                    prop_assert!(at.duration_since(now).as_secs_f64() <= bound.max(0.051));
                }
            }
        }

        #[test]
        fn retry_after_is_a_floor_up_to_a_day(asked in 0i64..1_000_000, dice in 0f64..=1.0) {
            let policy = RetryPolicy::default();
            let now = Timestamp::UNIX_EPOCH;
            let next = policy.next(1, now, now, Some(SignedDuration::from_secs(asked)), dice);
            let Next::At(at) = next else { return Err(TestCaseError::fail("gave up at once")) };
            prop_assert!(at.duration_since(now).as_secs() >= asked.min(86_400));
        }
    }

    /// A week of failing is a few hundred tries at the most and dozens at the least, close together at first.
    #[test]
    fn a_week_is_a_sane_number_of_tries() {
        let policy = RetryPolicy::default();
        assert!(policy.give_up_after >= SignedDuration::from_hours(7 * 24));
        let tries = |dice: &mut dyn FnMut() -> f64| {
            let (since, mut now) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
            for attempt in 1u32.. {
                match policy.next(attempt, since, now, None, dice()) {
                    Next::At(at) => now = at,
                    Next::GiveUp => return attempt,
                }
            }
            0
        };
        assert!((80..120).contains(&tries(&mut || 1.0)), "never lucky");
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..100 {
            let n = tries(&mut || rng.f64());
            assert!((130..260).contains(&n), "{n}");
        }
    }

    #[test]
    fn what_was_given_up_may_arrive_for_so_long_and_no_longer() {
        let (policy, since) = (RetryPolicy::default(), Timestamp::UNIX_EPOCH);
        let within = |seconds| policy.may_arrive_within(since, since + SignedDuration::from_secs(seconds));
        assert_eq!(within(0), Some(policy.late_max));
        assert_eq!(within(299), Some(SignedDuration::from_secs(1)));
        assert_eq!(within(300), None);
        assert_eq!(within(-60), Some(SignedDuration::from_secs(360)), "a clock that was set back waits longer");
    }

    #[test]
    fn the_week_ends_with_one_last_try() {
        let policy = RetryPolicy::default();
        let since = Timestamp::UNIX_EPOCH;
        let end = since + policy.give_up_after;
        let just_before = end - SignedDuration::from_secs(1);
        assert_eq!(policy.next(90, since, just_before, None, 1.0), Next::At(end));
        assert_eq!(policy.next(91, since, end, None, 1.0), Next::GiveUp);
    }
}

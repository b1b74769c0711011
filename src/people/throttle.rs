//! How long who tried in vain has to wait: pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::store::Failures;

/// So many tries of one account are free, from one address or in one browser that is known as hers.
pub(super) const OF_ACCOUNT: u32 = 5;
/// So many from all addresses together, in browsers that are not: whoever has many of them is slowed down, too.
pub(super) const OF_NAME: u32 = 20;
/// So many in vain from one address are free: there may be a whole ward behind it.
pub(super) const OF_ADDRESS: u32 = 50;
/// The first wait, which doubles with each further try …
const FIRST: Duration = Duration::from_secs(30);
/// … up to this: somebody who wants to keep another out shall not do so for a day.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// How long to wait from now on; none where one more may be tried at once.
pub(super) fn wait(tried: Option<Failures>, free: u32, now: Timestamp) -> Option<Duration> {
    let tried = tried?;
    let beyond = tried.count.checked_sub(free)?;
    let long = FIRST.saturating_mul(2_u32.saturating_pow(beyond)).min(LONGEST);
    let until = super::after(tried.last, long);
    let left = until.duration_since(now);
    (left > SignedDuration::ZERO).then(|| Duration::try_from(left).unwrap_or(LONGEST).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_goes_on_in_vain_waits_longer_and_longer() {
        let now: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        let waits = |count, ago: i64| {
            let tried = Failures { count, last: now - SignedDuration::from_secs(ago) };
            wait(Some(tried), OF_ACCOUNT, now).map(|wait| wait.as_secs())
        };
        assert_eq!(wait(None, OF_ACCOUNT, now), None);
        assert_eq!(waits(4, 0), None);
        assert_eq!(waits(5, 0), Some(30));
        assert_eq!(waits(5, 29), Some(1));
        assert_eq!(waits(5, 30), None);
        assert_eq!(waits(6, 0), Some(60));
        assert_eq!(waits(10, 0), Some(900));
        assert_eq!(waits(u32::MAX, 0), Some(900));
        // a clock that went back does not keep anybody out for long
        assert_eq!(waits(5, -1_000_000), Some(900));
    }
}

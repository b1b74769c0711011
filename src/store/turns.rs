//! Those who write on one Task at once take turns: who lost against another waits a moment before it decides again, a longer one each time and
//! never as long as the others, so that of many none loses every time.

use std::time::Duration;

/// Nobody waits longer for one turn.
const WAIT_MAX: Duration = Duration::from_millis(64);

/// Waits before something is decided again that was not stored because the Task had moved on ([`AppendError::Moved`](super::AppendError)) so many
/// times: at first not at all.
pub async fn turn(lost: usize) {
    tokio::time::sleep(wait_max(lost).mul_f64(fastrand::f64())).await;
}

/// The longest that who lost so many times waits: 1 ms after the first time, twice as long after each further one, up to [`WAIT_MAX`].
fn wait_max(lost: usize) -> Duration {
    let Some(doublings) = lost.checked_sub(1) else { return Duration::ZERO };
    let times = u32::try_from(doublings).ok().and_then(|doublings| 1_u32.checked_shl(doublings));
    times.map_or(WAIT_MAX, |times| WAIT_MAX.min(Duration::from_millis(times.into())))
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn who_loses_often_waits_longer_and_never_long() {
        let waits = [0, 1, 2, 5, 7, 8, 33, usize::MAX].map(|lost| wait_max(lost).as_millis());
        assert_eq!(waits, [0, 1, 2, 16, 64, 64, 64, 64]);
    }

    /// Two who lost as often must not come back at the same moment.
    #[tokio::test(start_paused = true)]
    async fn who_lost_as_often_as_another_waits_another_time() {
        let mut waits = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let began = Instant::now();
            turn(usize::MAX).await;
            waits.insert(began.elapsed().as_millis());
        }
        // the clock of the runtime counts whole milliseconds, begun ones as well
        assert!(waits.last() <= Some(&(WAIT_MAX.as_millis() + 1)), "{waits:?}");
        assert!(waits.len() > 20, "{waits:?}");
    }
}

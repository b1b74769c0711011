//! Those who write on one Task at once take turns: who lost against another waits a moment before it decides again, a longer one each time and
//! never as long as the others, so that of many none loses every time.

use std::time::Duration;

/// Nobody waits longer for one turn.
const WAIT_MAX: Duration = Duration::from_millis(64);

/// Waits before something is decided again that was not stored because the Task had moved on ([`AppendError::Moved`](super::AppendError)) so many
/// times: at first not at all.
pub async fn turn(lost: usize) {
    let Some(doublings) = lost.checked_sub(1) else { return };
    let most = u32::try_from(doublings).ok().and_then(|doublings| 1_u32.checked_shl(doublings));
    let most = most.map_or(WAIT_MAX, |times| WAIT_MAX.min(Duration::from_millis(times.into())));
    tokio::time::sleep(most.mul_f64(fastrand::f64())).await;
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_loses_often_waits_longer_and_never_long() {
        let mut longest = Vec::new();
        for lost in [0, 1, 2, 5, 7, 20, 40, usize::MAX] {
            let mut most = Duration::ZERO;
            for _ in 0..200 {
                let began = Instant::now();
                turn(lost).await;
                most = most.max(began.elapsed());
            }
            longest.push(most.as_millis());
        }
        // the clock of the runtime counts whole milliseconds, begun ones as well
        assert!(longest.is_sorted() && longest[0] == 0 && longest[1] <= 2, "{longest:?}");
        assert!(longest[4..].iter().all(|most| (40..=66).contains(most)), "{longest:?}");
    }
}

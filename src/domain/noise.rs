//! What whoever likes can bring about, again and again: told in a log once in a while, and then how often it was.

use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// It is told no oftener.
const TOLD_EVERY: SignedDuration = SignedDuration::from_secs(60);

/// One thing of that kind.
#[derive(Debug, Default)]
pub struct Noise(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    told: Option<Timestamp>,
    untold: u64,
}

impl Noise {
    /// It happened once more. How often it has since it was told last, this time as well, where it is to be told now.
    pub fn once_more(&self, now: Timestamp) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.untold = state.untold.saturating_add(1);
        // a clock that was set back keeps nothing from being told
        if state.told.is_some_and(|told| now >= told && now.duration_since(told) < TOLD_EVERY) {
            return None;
        }
        state.told = Some(now);
        Some(std::mem::take(&mut state.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_a_minute_and_how_often_it_was() {
        let (noise, at) = (Noise::default(), |s: i64| Timestamp::from_second(1_000_000 + s).unwrap());
        assert_eq!(noise.once_more(at(0)), Some(1), "the first at once");
        for s in 1..60 {
            assert_eq!(noise.once_more(at(s)), None, "{s}");
        }
        assert_eq!(noise.once_more(at(60)), Some(60));
        assert_eq!(noise.once_more(at(61)), None);
        assert_eq!(noise.once_more(at(0)), Some(2), "a clock was set back");
        assert_eq!(noise.once_more(at(500)), Some(1));
    }
}

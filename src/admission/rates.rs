//! How often somebody may come, each by a name of their own: a bucket that fills at a steady rate. Bounded, however many names are made up.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// So many names are remembered at once. While all of them have been there lately, who is new must wait.
const NAMES_MAX: usize = 10_000;

/// See the module's documentation.
pub struct Rates<K> {
    /// So many at once …
    burst: u32,
    /// … and one more after each of these.
    every: Duration,
    /// By when each name's bucket is full again.
    full_at: Mutex<HashMap<K, Instant>>,
}

// === impl Rates ===

impl<K: Eq + Hash> Rates<K> {
    /// So many at once, and one more after each of these.
    pub fn new(burst: u32, every: Duration) -> Self {
        Self { burst, every, full_at: Mutex::default() }
    }

    /// How long this name has to wait for the next one; nothing where there is one. Takes none.
    pub fn wait(&self, name: &K) -> Option<Duration> {
        let all = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let wait =
            (*all.get(name)? + self.every).duration_since(Instant::now()).saturating_sub(self.every * self.burst);
        (wait > Duration::ZERO).then_some(wait)
    }

    /// Takes so many for this name.
    ///
    /// # Errors
    /// How long to wait, where there is none.
    pub fn take(&self, name: K, count: u32) -> Result<(), Duration> {
        let now = Instant::now();
        let mut all = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= NAMES_MAX && !all.contains_key(&name) {
            all.retain(|_, full_at| *full_at > now);
            if all.len() >= NAMES_MAX {
                return Err(self.every);
            }
        }
        let full_at = all.entry(name).or_insert(now);
        let after = (*full_at).max(now) + self.every * count;
        let wait = after.duration_since(now).saturating_sub(self.every * self.burst);
        if wait > Duration::ZERO {
            return Err(wait);
        }
        *full_at = after;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_name_has_its_own_bucket() {
        let rates = Rates::new(3, Duration::from_secs(10));
        for _ in 0..3 {
            assert_eq!(rates.take("a", 1), Ok(()));
        }
        assert_eq!(rates.take("a", 1), Err(Duration::from_secs(10)));
        assert_eq!((rates.wait(&"a"), rates.wait(&"b")), (Some(Duration::from_secs(10)), None));
        assert_eq!(rates.take("b", 1), Ok(()));
        assert_eq!(rates.wait(&"b"), None);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(rates.take("a", 1), Err(Duration::from_secs(1)), "who tries too early waits no longer for it");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((rates.take("a", 1), rates.take("a", 1)), (Ok(()), Err(Duration::from_secs(10))));
        tokio::time::advance(Duration::from_secs(1000)).await;
        assert_eq!((0..9).filter(|_| rates.take("a", 1).is_ok()).count(), 3, "it holds no more than that");
        assert_eq!(rates.take("c", 2), Ok(()));
        assert_eq!(rates.take("c", 2), Err(Duration::from_secs(10)), "one is left, and two are asked for");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_names_are_remembered_than_may_be() {
        let rates = Rates::new(1, Duration::from_secs(10));
        assert!((0..NAMES_MAX).all(|name| rates.take(name, 1).is_ok()));
        assert!(rates.take(NAMES_MAX, 1).is_err());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(rates.take(NAMES_MAX, 1).is_ok());
        assert_eq!(rates.full_at.lock().unwrap().len(), 1, "those that had their time are forgotten");
    }
}

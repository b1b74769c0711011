//! What takes long to make and is read by anybody: one is made at a time, by a task of its own, so that whoever comes again and again, or
//! hangs up early, has nothing made twice and throws nothing away.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, watch},
    time::Instant,
};

use crate::store::StoreError;

/// So old may be what is told: it is not made anew with every change of the directory.
pub(super) const AGE_MAX: Duration = Duration::from_secs(10);
/// Whoever asks while a newer one is made waits so long for it, and is given the one before then.
const NEWER_WITHIN: Duration = Duration::from_secs(2);

/// See the module's documentation.
pub struct Shelf<T>(Arc<Inner<T>>);

struct Inner<T> {
    last: watch::Sender<Option<Made<T>>>,
    making: Arc<Mutex<()>>,
}

/// What was made, and of which revision of the directory.
struct Made<T> {
    what: Arc<T>,
    revision: u64,
    at: Instant,
}

// === impl Shelf ===

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(Arc::new(Inner { last: watch::Sender::new(None), making: Arc::default() }))
    }
}

impl<T: Send + Sync + 'static> Shelf<T> {
    /// What was made last, where that is of this revision or young; otherwise what `make` makes, with the revision that it is of. Where that
    /// takes long and there is an older one, the older one.
    ///
    /// # Errors
    /// [`StoreError`] where there is none and none could be made.
    pub(super) async fn take<F>(&self, revision: u64, make: impl FnOnce() -> F) -> Result<Arc<T>, StoreError>
    where
        F: Future<Output = Result<(T, u64), StoreError>> + Send + 'static,
    {
        let mut told = self.0.last.subscribe();
        let old = told.borrow_and_update().clone();
        if let Some(made) = old.as_ref().filter(|made| made.will_do(revision)) {
            return Ok(Arc::clone(&made.what));
        }
        if let Ok(turn) = Arc::clone(&self.0.making).try_lock_owned() {
            // another may have ended between the two looks
            if let Some(made) = self.0.last.borrow().as_ref().filter(|made| made.will_do(revision)) {
                return Ok(Arc::clone(&made.what));
            }
            let (inner, making) = (Arc::clone(&self.0), make());
            tokio::spawn(async move {
                let made = making.await;
                inner.last.send_modify(|last| match made {
                    Ok((what, revision)) => *last = Some(Made { what: Arc::new(what), revision, at: Instant::now() }),
                    Err(error) => {
                        tracing::warn!(%error, "the directory could not be made ready to be read as open data")
                    }
                });
                drop(turn);
            });
        }
        match old {
            Some(old) => {
                let _ = tokio::time::timeout(NEWER_WITHIN, told.changed()).await;
                let newest = told.borrow().clone();
                Ok(newest.unwrap_or(old).what)
            }
            None => {
                let _ = told.changed().await;
                let newest = told.borrow().clone();
                newest.map(|made| made.what).ok_or_else(|| StoreError::Unavailable("it could not be made".to_owned()))
            }
        }
    }
}

// === impl Made ===

impl<T> Made<T> {
    fn will_do(&self, revision: u64) -> bool {
        self.revision == revision || self.at.elapsed() < AGE_MAX
    }
}

impl<T> Clone for Made<T> {
    fn clone(&self) -> Self {
        Self { what: Arc::clone(&self.what), revision: self.revision, at: self.at }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Makes numbers, each after a minute, and counts how many were begun.
    #[derive(Default)]
    struct Maker {
        shelf: Shelf<u64>,
        begun: Arc<AtomicU64>,
    }

    impl Maker {
        async fn take(&self, revision: u64) -> Result<u64, StoreError> {
            let begun = Arc::clone(&self.begun);
            let make = move || async move {
                let number = begun.fetch_add(1, Ordering::SeqCst) + 1;
                tokio::time::sleep(Duration::from_secs(60)).await;
                if number == 3 { Err(StoreError::Unavailable("away".to_owned())) } else { Ok((number, revision)) }
            };
            self.shelf.take(revision, make).await.map(|made| *made)
        }

        fn begun(&self) -> u64 {
            self.begun.load(Ordering::SeqCst)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_hangs_up_has_nothing_made_twice() {
        let maker = Maker::default();
        for _ in 0..20 {
            assert!(tokio::time::timeout(Duration::from_millis(100), maker.take(1)).await.is_err());
        }
        assert_eq!((maker.take(1).await.unwrap(), maker.begun()), (1, 1));
        let many = futures_util::future::join_all((0..50).map(|_| maker.take(1))).await;
        assert!(many.into_iter().all(|made| made.unwrap() == 1));
        assert_eq!(maker.begun(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn while_a_newer_one_is_made_the_one_before_is_told() {
        let maker = Maker::default();
        maker.take(1).await.unwrap();
        assert_eq!((maker.take(2).await.unwrap(), maker.begun()), (1, 1), "it is young");
        tokio::time::advance(AGE_MAX).await;
        let before = Instant::now();
        assert_eq!((maker.take(2).await.unwrap(), maker.begun()), (1, 2));
        assert_eq!(before.elapsed(), NEWER_WITHIN);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!((maker.take(2).await.unwrap(), maker.begun()), (2, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_cannot_be_made_is_tried_again_when_it_is_asked_for() {
        let maker = Maker::default();
        maker.begun.store(2, Ordering::SeqCst);
        assert!(maker.take(1).await.is_err());
        assert_eq!(maker.take(1).await.unwrap(), 4);
    }
}

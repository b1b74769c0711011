//! Queues that take nothing, kept apart from the others.
//!
//! A quorum queue has no leader while too few of its replicas are there, and RabbitMQ 3.10 has some that never get one: when the
//! connection of whoever declares a queue ends in the middle, its only replica is started and not told to stand for election.
//! What is published to such a queue is never confirmed, and meanwhile everything else on that channel waits as well.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::broker::Queue;

/// A message that was not confirmed after so long is sent again over a channel of its queue's own.
pub(super) const SILENT: Duration = Duration::from_secs(5);
/// A queue that takes nothing for so long, though the broker takes others, is lost. An election takes a second or two.
pub(super) const LOST: Duration = Duration::from_secs(30);
/// The silence of a queue that nobody spoke to for so long is another one.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// So many queues have a channel of their own; further ones stay with the others.
const APART_MAX: usize = 64;

/// What a queue's silence means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    /// It has got a channel of its own just now.
    SetApart,
    /// Nothing yet.
    Waits,
    /// The queue is lost.
    Lost,
}

/// The queues that are apart, and what each publishes with.
pub(super) struct Apart<P>(Mutex<HashMap<Queue, One<P>>>);

struct One<P> {
    publisher: P,
    /// When its silence began, and when it was last noticed.
    since: Instant,
    last: Instant,
}

impl<P: Clone> Apart<P> {
    pub(super) fn new() -> Self {
        Self(Mutex::default())
    }

    /// What a queue publishes with that is apart.
    pub(super) fn publisher(&self, queue: &Queue) -> Option<P> {
        self.all().get(queue).map(|one| one.publisher.clone())
    }

    /// A message to this queue was not confirmed for [`SILENT`], though the connection stands and takes messages.
    pub(super) fn silent(&self, queue: &Queue, begin: impl FnOnce() -> P) -> Silence {
        let now = Instant::now();
        let mut all = self.all();
        if let Some(one) = all.get_mut(queue) {
            if now.duration_since(one.last) > FORGOTTEN {
                one.since = now;
            }
            one.last = now;
            let lost = now.duration_since(one.since) >= LOST;
            return if lost { Silence::Lost } else { Silence::Waits };
        }
        all.retain(|_, one| now.duration_since(one.last) <= FORGOTTEN);
        if all.len() >= APART_MAX {
            return Silence::Waits;
        }
        all.insert(queue.clone(), One { publisher: begin(), since: now, last: now });
        Silence::SetApart
    }

    /// The queue takes messages: it publishes with the others again.
    pub(super) fn heard(&self, queue: &Queue) {
        let mut all = self.all();
        if !all.is_empty() {
            all.remove(queue);
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Queue, One<P>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::domain::lane::Side;

    fn queue(to: &str) -> Queue {
        Queue { side: Side::Delivery, to: to.to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_that_stays_silent_is_set_apart_and_then_lost() {
        let apart = Apart::new();
        let silent = |n| apart.silent(&queue("a"), || n);
        assert_eq!(silent(1), Silence::SetApart);
        for _ in 0..5 {
            advance(SILENT).await;
            assert_eq!(silent(2), Silence::Waits);
        }
        advance(SILENT).await;
        assert_eq!(silent(2), Silence::Lost);
        assert_eq!(apart.publisher(&queue("a")), Some(1));
        assert_eq!(apart.publisher(&queue("b")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_it_takes_or_a_long_pause_begins_its_silence_anew() {
        let apart = Apart::new();
        let silent = || apart.silent(&queue("a"), || ());
        silent();
        advance(LOST).await;
        apart.heard(&queue("a"));
        assert_eq!((apart.publisher(&queue("a")), silent()), (None, Silence::SetApart));
        advance(FORGOTTEN + SILENT).await;
        assert_eq!(silent(), Silence::Waits);
        advance(LOST).await;
        assert_eq!(silent(), Silence::Lost);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_apart_than_there_are_channels_for() {
        let apart = Apart::new();
        for n in 0..APART_MAX {
            assert_eq!(apart.silent(&queue(&n.to_string()), || ()), Silence::SetApart);
        }
        assert_eq!(apart.silent(&queue("one more"), || ()), Silence::Waits);
        advance(FORGOTTEN + SILENT).await;
        assert_eq!(apart.silent(&queue("one more"), || ()), Silence::SetApart, "the others are forgotten");
    }
}

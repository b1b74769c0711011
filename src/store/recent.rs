//! Versions of Tasks that this process wrote a moment ago, kept so that they need not be read back: a Task on its way is read
//! many times within a second of being written, and then hardly ever.
//!
//! A version never changes once it is written, so what is found here is right whoever else writes. Bounded in bytes and in age;
//! what is not found is read from the store.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::{Append, NewEvent, Submission};
use crate::domain::TaskId;

/// So much is kept at the most.
const MAX_BYTES: usize = 6 * 1024 * 1024;
/// And nothing for longer than this: what is erased from a store is soon gone here, too.
const MAX_AGE: Duration = Duration::from_secs(10);
/// What an entry takes beside its body.
const ENTRY_BYTES: usize = 160;

type Key = (Uuid, u64);

/// Versions about to be written.
pub(crate) struct Fresh(Vec<(Key, String)>);

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Recent(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    bodies: HashMap<Key, String>,
    order: VecDeque<(Instant, Key)>,
    bytes: usize,
}

// === impl Fresh ===

impl Fresh {
    /// The Tasks of a submission.
    pub(crate) fn of_submission(submission: &Submission) -> Self {
        let tasks = submission.referrals.iter().flat_map(|referral| &referral.tasks);
        Self(tasks.flat_map(|task| versions(task.id, 0, &task.events)).collect())
    }

    /// What an append writes.
    pub(crate) fn of_append(append: &Append) -> Self {
        Self(versions(append.task, append.expected_seq, &append.events).collect())
    }
}

/// Events are numbered on from `seq`; one that changes the content is a version under its number.
fn versions(task: TaskId, seq: u64, events: &[NewEvent]) -> impl Iterator<Item = (Key, String)> {
    let numbered = events.iter().zip(seq + 1..);
    numbered.filter_map(move |(event, seq)| Some(((task.0, seq), event.body.clone()?)))
}

// === impl Recent ===

impl Recent {
    /// These were written.
    pub(crate) fn keep(&self, fresh: Fresh) {
        let now = Instant::now();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, body) in fresh.0 {
            kept.bytes += body.len() + ENTRY_BYTES;
            if let Some(before) = kept.bodies.insert(key, body) {
                // its place in the order is that of its first coming
                kept.bytes -= before.len() + ENTRY_BYTES;
            } else {
                kept.order.push_back((now, key));
            }
        }
        kept.forget(now);
    }

    /// A version, if it is still known.
    pub(crate) fn body(&self, task: TaskId, version: u64) -> Option<String> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.forget(Instant::now());
        kept.bodies.get(&(task.0, version)).cloned()
    }
}

impl Kept {
    fn forget(&mut self, now: Instant) {
        while let Some((since, key)) = self.order.front().copied() {
            if self.bytes <= MAX_BYTES && now.duration_since(since) <= MAX_AGE {
                return;
            }
            self.order.pop_front();
            if let Some(body) = self.bodies.remove(&key) {
                self.bytes -= body.len() + ENTRY_BYTES;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Actor, Event};

    fn event(body: Option<&str>) -> NewEvent {
        let event = Event::DeliveryDelayed;
        NewEvent { event, actor: Actor::Onward, body: body.map(str::to_owned), lanes: vec![] }
    }

    #[test]
    fn versions_have_the_numbers_of_their_events() {
        let task = TaskId(Uuid::from_u128(1));
        let events = [event(Some("two")), event(None), event(Some("four"))];
        let recent = Recent::default();
        recent.keep(Fresh(versions(task, 1, &events).collect()));
        assert_eq!(recent.body(task, 2).as_deref(), Some("two"));
        assert_eq!((recent.body(task, 1), recent.body(task, 3)), (None, None));
        assert_eq!(recent.body(task, 4).as_deref(), Some("four"));
    }

    #[test]
    fn it_is_bounded_and_the_oldest_go_first() {
        let recent = Recent::default();
        let body = "x".repeat(MAX_BYTES / 4);
        for n in 1..=5u128 {
            recent.keep(Fresh(versions(TaskId(Uuid::from_u128(n)), 0, &[event(Some(&body))]).collect()));
        }
        assert_eq!(recent.body(TaskId(Uuid::from_u128(1)), 1), None);
        assert!(recent.body(TaskId(Uuid::from_u128(5)), 1).is_some());
        let kept = recent.0.lock().unwrap();
        assert!(kept.bytes <= MAX_BYTES && kept.order.len() == kept.bodies.len());
    }
}

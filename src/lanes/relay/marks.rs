//! Which of the wake-ups that the broker has confirmed are still to be marked in the store.
//!
//! A mark costs a row write, and only what stays undone for a while needs one: it says from when on the scheduler publishes it
//! again. Until then the row is leased to us, which says the same. So marks come a moment later and in batches, and what was
//! settled by then, which is nearly everything, is never marked at all.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use tokio::time::Instant;
use uuid::Uuid;

/// A confirmed wake-up is marked after this long. Far less than it is leased to us for.
const MARK_AFTER: Duration = Duration::from_secs(1);
/// How often it is looked for what to mark.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(250);
/// What is settled is remembered at least this long: a confirmation may come after it. What another process has published is
/// never asked for.
const REMEMBER: Duration = Duration::from_secs(5);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Marks {
    confirmed: VecDeque<(Instant, Uuid)>,
    settled: HashSet<Uuid>,
    settled_before: HashSet<Uuid>,
    turned: Instant,
}

impl Marks {
    pub(super) fn new() -> Self {
        Self {
            confirmed: VecDeque::new(),
            settled: HashSet::new(),
            settled_before: HashSet::new(),
            turned: Instant::now(),
        }
    }

    /// It is being published: what was settled of it before is another matter.
    pub(super) fn begin(&mut self, message: Uuid) {
        self.settled.remove(&message);
        self.settled_before.remove(&message);
    }

    /// The broker has it.
    pub(super) fn confirm(&mut self, message: Uuid, now: Instant) {
        self.confirmed.push_back((now, message));
    }

    /// It is done, deferred or dead: the store knows more of it than a mark would say.
    pub(super) fn settle(&mut self, message: Uuid, now: Instant) {
        if now.duration_since(self.turned) > REMEMBER {
            self.settled_before = std::mem::take(&mut self.settled);
            self.turned = now;
        }
        self.settled.insert(message);
    }

    /// What is to be marked now.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Uuid> {
        let old_enough = self.confirmed.partition_point(|(at, _)| now.duration_since(*at) >= MARK_AFTER);
        self.take(old_enough)
    }

    /// Everything that is left, at the end.
    pub(super) fn take_all(&mut self) -> Vec<Uuid> {
        self.take(self.confirmed.len())
    }

    fn take(&mut self, count: usize) -> Vec<Uuid> {
        let Self { confirmed, settled, settled_before, .. } = self;
        let taken = confirmed.drain(..count).map(|(_, message)| message);
        taken.filter(|message| !settled.remove(message) && !settled_before.remove(message)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: u128) -> Vec<Uuid> {
        (1..=count).map(Uuid::from_u128).collect()
    }

    #[test]
    fn only_what_stays_undone_is_marked_and_late() {
        let (mut marks, now) = (Marks::new(), Instant::now());
        let [a, b, c] = ids(3).try_into().unwrap();
        marks.settle(a, now); // before the broker had told that it has it
        [a, b, c].into_iter().for_each(|id| marks.confirm(id, now));
        assert!(marks.take_due(now).is_empty());
        marks.settle(b, now);
        assert_eq!(marks.take_due(now + MARK_AFTER), [c]);
        assert!(marks.take_all().is_empty());
        marks.confirm(a, now);
        assert_eq!(marks.take_all(), [a], "each is remembered once");
        marks.settle(a, now); // deferred, and published again when it was due
        marks.begin(a);
        marks.confirm(a, now);
        assert_eq!(marks.take_all(), [a]);
    }

    #[test]
    fn what_others_published_is_forgotten() {
        let (mut marks, begun) = (Marks::new(), Instant::now());
        for (n, id) in (0..).zip(ids(100)) {
            marks.settle(id, begun + REMEMBER / 5 * n);
        }
        assert!(marks.settled.len() + marks.settled_before.len() <= 14);
    }
}

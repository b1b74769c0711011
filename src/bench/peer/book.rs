//! What the receivers saw of each referral: when it arrived, what was answered, what its record came to show; and whether any
//! of it came twice, out of order or to the wrong one.

use std::{collections::HashMap, fmt::Write as _};

use uuid::Uuid;

use crate::{bench::referral::Fate, domain::TaskStatus};

/// A provider's answers, in their order.
pub const ANSWERS: [TaskStatus; 3] = [TaskStatus::Accepted, TaskStatus::InProgress, TaskStatus::Completed];
/// More referrals than this are not one run's.
const NUMBER_MAX: u32 = 20_000_000;

/// So many are told at once: about ten megabytes.
const PAGE: usize = 50_000;

/// The present, in microseconds since 1970: the only clock that all processes of a measurement share.
pub fn now_us() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

/// One referral. Times are microseconds since 1970; 0 is never.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// Answers its provider is to give.
    pub answers: u8,
    /// When it arrived at the provider.
    pub arrived: i64,
    /// When each answer was sent, and when it was acknowledged.
    pub answered: [(i64, i64); 3],
    /// When the record came to show `received` and then each answer.
    pub shown: [i64; 4],
    task: u128,
    /// How many of `shown` are there.
    steps: u8,
    /// How often the record's Task was written.
    version: u8,
    seq: u64,
    /// Version of Onward's Task as its provider knows it; 0 is the one that it was given.
    known: u64,
}

/// What went wrong, and how often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Wrongs {
    /// Deliveries and statuses that came a second time.
    pub doubled: u64,
    /// Statuses that came before or after their turn.
    pub reordered: u64,
    /// Referrals and statuses that came to another than theirs.
    pub misplaced: u64,
    /// Answers that Onward did not take.
    pub unanswered: u64,
    /// Requests that nobody here understands.
    pub strange: u64,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Book {
    seen: Vec<Seen>,
    by_task: HashMap<u128, u32>,
    /// What went wrong.
    pub wrongs: Wrongs,
}

/// What a record does with a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// It shows it now, as this version.
    New(u8),
    /// It was in no order, or came twice; it is refused.
    Wrong,
}

// === impl Book ===

impl Book {
    /// A referral of this run.
    pub fn get(&self, number: u32) -> Option<&Seen> {
        self.seen.get(number as usize).filter(|seen| seen.arrived > 0)
    }

    /// The number of the referral that a Task of Onward's belongs to.
    pub fn number_of(&self, task: Uuid) -> Option<u32> {
        self.by_task.get(&task.as_u128()).copied()
    }

    /// Onward's Task of a referral.
    pub fn task_of(&self, number: u32) -> Uuid {
        Uuid::from_u128(self.get(number).map_or(0, |seen| seen.task))
    }

    /// The version of the record's Task.
    pub fn version(&self, number: u32) -> u8 {
        self.get(number).map_or(0, |seen| seen.version)
    }

    /// The provider has it. False where it had it before.
    pub fn arrived(&mut self, fate: Fate, task: Uuid, at: i64) -> bool {
        if fate.number >= NUMBER_MAX {
            self.wrongs.strange += 1;
            return false;
        }
        let index = fate.number as usize;
        if index >= self.seen.len() {
            self.seen.resize(index + 1, Seen::default());
        }
        let Some(seen) = self.seen.get_mut(index) else { return false };
        if seen.arrived > 0 {
            self.wrongs.doubled += 1;
            return false;
        }
        *seen = Seen { answers: fate.answers, arrived: at, task: task.as_u128(), ..Seen::default() };
        self.by_task.insert(task.as_u128(), fate.number);
        true
    }

    /// An answer was sent and taken, and made this version of Onward's Task.
    pub fn answered(&mut self, number: u32, answer: usize, times: (i64, i64), version: u64) {
        let Some(seen) = self.seen.get_mut(number as usize) else { return };
        seen.known = version;
        if let Some(slot) = seen.answered.get_mut(answer) {
            *slot = times;
        }
    }

    /// The version of Onward's Task that its provider's next answer is made from.
    pub fn known_version(&self, number: u32) -> u64 {
        self.get(number).map_or(1, |seen| seen.known.max(1))
    }

    /// A status comes to the record, as the journal event `seq`.
    pub fn shown(&mut self, number: u32, status: TaskStatus, seq: u64, at: i64) -> Shown {
        let Some(seen) = self.seen.get_mut(number as usize) else { return Shown::Wrong };
        let expected = match seen.steps {
            // that it is delayed or not deliverable may be told before
            0 if status == TaskStatus::Requested => Some(TaskStatus::Requested),
            0 => Some(TaskStatus::Received),
            n => ANSWERS.get(usize::from(n) - 1).copied(),
        };
        if expected != Some(status) || seq <= seen.seq {
            let before = std::iter::once(TaskStatus::Received).chain(ANSWERS).take(usize::from(seen.steps));
            if before.into_iter().any(|earlier| earlier == status) {
                self.wrongs.doubled += 1;
            } else {
                self.wrongs.reordered += 1;
            }
            return Shown::Wrong;
        }
        if status != TaskStatus::Requested {
            if let Some(slot) = seen.shown.get_mut(usize::from(seen.steps)) {
                *slot = at;
            }
            seen.steps += 1;
        }
        seen.version = seen.version.saturating_add(1);
        seen.seq = seq;
        Shown::New(seen.version)
    }

    /// Everything from this number on, as lines for the one who measures.
    pub fn told(&self, from: u32) -> String {
        let mut text = String::new();
        let arrived = self.seen.iter().enumerate().skip(from as usize).filter(|(_, seen)| seen.arrived > 0);
        for (number, seen) in arrived.take(PAGE) {
            let _ = write!(text, "{number} {} {}", seen.answers, seen.arrived);
            for (sent, acknowledged) in seen.answered {
                let _ = write!(text, " {sent} {acknowledged}");
            }
            for shown in seen.shown {
                let _ = write!(text, " {shown}");
            }
            text.push('\n');
        }
        text
    }
}

// === impl Seen ===

impl Seen {
    /// How many statuses the record has come to show, `received` included.
    pub fn steps(&self) -> usize {
        usize::from(self.steps)
    }

    /// The journal seq that the record shows.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// A line of [`Book::told`].
    pub fn read(line: &str) -> Option<(u32, Self)> {
        let mut numbers = line.split(' ');
        let mut next = || numbers.next()?.parse::<i64>().ok();
        let number = u32::try_from(next()?).ok()?;
        let mut seen = Self { answers: u8::try_from(next()?).ok()?, arrived: next()?, ..Self::default() };
        for slot in &mut seen.answered {
            *slot = (next()?, next()?);
        }
        for slot in &mut seen.shown {
            *slot = next()?;
        }
        Some((number, seen))
    }

    /// When its loop was closed: it arrived, and its record shows all that was to come.
    pub fn closed(&self) -> Option<i64> {
        let last = match self.answers {
            0 => self.arrived,
            n => self.shown.get(usize::from(n)).copied().unwrap_or_default(),
        };
        (last > 0).then_some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FATE: Fate = Fate { answers: 1, number: 3 };

    #[test]
    fn what_comes_twice_out_of_turn_or_unknown_is_seen() {
        let mut book = Book::default();
        assert_eq!(book.shown(3, TaskStatus::Received, 2, 20), Shown::Wrong, "before it arrived");
        let mut book = Book::default();
        assert!(book.arrived(FATE, Uuid::from_u128(9), 10));
        assert!(!book.arrived(FATE, Uuid::from_u128(8), 11));
        assert_eq!(book.number_of(Uuid::from_u128(9)), Some(3));
        assert_eq!(book.shown(3, TaskStatus::Accepted, 3, 20), Shown::Wrong);
        assert_eq!(book.shown(3, TaskStatus::Received, 2, 20), Shown::New(1));
        assert_eq!(book.shown(3, TaskStatus::Received, 2, 21), Shown::Wrong);
        assert_eq!(book.shown(3, TaskStatus::Accepted, 2, 22), Shown::Wrong, "an older seq");
        assert_eq!(book.shown(3, TaskStatus::Accepted, 4, 23), Shown::New(2));
        assert_eq!(book.wrongs, Wrongs { doubled: 2, reordered: 2, ..Wrongs::default() });
    }

    #[test]
    fn what_is_told_is_read_again() {
        let mut book = Book::default();
        book.arrived(FATE, Uuid::from_u128(9), 10);
        book.shown(3, TaskStatus::Received, 2, 20);
        book.answered(3, 0, (30, 40), 3);
        assert_eq!(book.known_version(3), 3);
        let told = book.told(0);
        let (number, seen) = Seen::read(told.trim_end()).unwrap();
        assert_eq!((number, seen.arrived, seen.answered[0], seen.shown[0]), (3, 10, (30, 40), 20));
        assert_eq!(seen.closed(), None);
        book.shown(3, TaskStatus::Accepted, 4, 50);
        assert_eq!(book.get(3).and_then(Seen::closed), Some(50));
    }
}

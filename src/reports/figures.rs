//! What is counted and how long things took. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::domain::{Event, TaskStatus};

/// What has become of a referral to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The service has not said yet what becomes of it.
    Waiting,
    /// Taken on, and not ended.
    UnderWay,
    /// Taken on, and ended.
    Ended,
    /// Declined by the service.
    Declined,
    /// Taken back by whoever sent it.
    Withdrawn,
}

/// By what referrals are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum By {
    /// The inbox that they went to.
    Service,
    /// The outward code of the person's home, such as `L1`.
    Area,
    /// The first coded reason for the request, or that there is one in words only.
    Reason,
}

/// One referral to one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// The service.
    pub service: String,
    /// The area; none where no postcode is known.
    pub area: Option<String>,
    /// The reason; none where none is given.
    pub reason: Option<String>,
    /// What has become of it.
    pub outcome: Outcome,
    /// How soon.
    pub answered: Answered,
}

/// How soon a referral was answered and finished, from when it was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Answered {
    /// Until the service said what becomes of it.
    pub first: Option<SignedDuration>,
    /// Until it was completed.
    pub completed: Option<SignedDuration>,
}

/// How long something took for several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// For so many.
    pub count: u64,
    /// For half of them no longer than this.
    pub median: SignedDuration,
    /// For nine of ten no longer than this.
    pub p90: SignedDuration,
}

/// Referrals that have something in common.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    /// So many of each outcome, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; Outcome::ALL.len()],
    first: Vec<SignedDuration>,
    completed: Vec<SignedDuration>,
}

/// Groups by their names, with all of them together. Where something is not known, the name is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// Each group.
    pub groups: BTreeMap<Option<String>, Group>,
    /// All together.
    pub all: Group,
}

// === impl Outcome ===

impl Outcome {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::UnderWay, Self::Ended, Self::Declined, Self::Withdrawn];

    /// What a status means for a report.
    pub fn of(status: TaskStatus) -> Self {
        match status {
            TaskStatus::Requested | TaskStatus::Received => Self::Waiting,
            TaskStatus::Accepted | TaskStatus::InProgress | TaskStatus::OnHold => Self::UnderWay,
            TaskStatus::Completed | TaskStatus::Failed => Self::Ended,
            TaskStatus::Rejected => Self::Declined,
            TaskStatus::Cancelled | TaskStatus::EnteredInError => Self::Withdrawn,
        }
    }

    fn place(self) -> usize {
        Self::ALL.iter().position(|one| *one == self).unwrap_or_default()
    }
}

// === impl Answered ===

impl Answered {
    /// By the answers of one Task, in their order. What is cancelled or entered in error is no answer of the service.
    pub fn of<'e>(stored: Timestamp, answers: impl IntoIterator<Item = (Timestamp, &'e Event)>) -> Self {
        let mut answered = Self::default();
        for (at, event) in answers {
            let Event::Answered { to, .. } = event else { continue };
            let took = at.duration_since(stored).max(SignedDuration::ZERO);
            if !matches!(Outcome::of(*to), Outcome::Waiting | Outcome::Withdrawn) {
                answered.first.get_or_insert(took);
            }
            if *to == TaskStatus::Completed {
                answered.completed.get_or_insert(took);
            }
        }
        answered
    }
}

// === impl Counted ===

impl Counted {
    /// Its name among others.
    pub fn name(&self, by: By) -> Option<&str> {
        match by {
            By::Service => Some(&self.service),
            By::Area => self.area.as_deref(),
            By::Reason => self.reason.as_deref(),
        }
    }
}

// === impl Group ===

impl Group {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    fn add(&mut self, one: &Counted) {
        if let Some(count) = self.outcomes.get_mut(one.outcome.place()) {
            *count += 1;
        }
        self.first.extend(one.answered.first);
        self.completed.extend(one.answered.completed);
    }

    /// Puts another one's to it.
    pub fn join(&mut self, other: &Self) {
        self.outcomes.iter_mut().zip(other.outcomes).for_each(|(count, more)| *count += more);
        self.first.extend(&other.first);
        self.completed.extend(&other.completed);
    }

    /// How soon they were answered; none where none was.
    pub fn first(&self) -> Option<Times> {
        Times::of(&self.first)
    }

    /// How soon they were completed.
    pub fn completed(&self) -> Option<Times> {
        Times::of(&self.completed)
    }
}

// === impl Times ===

impl Times {
    /// By nearest rank: the smallest that is not shorter than so many of a hundred.
    fn of(all: &[SignedDuration]) -> Option<Self> {
        let mut sorted = all.to_vec();
        sorted.sort_unstable();
        let rank = |percent: usize| {
            let rank = sorted.len().saturating_mul(percent).div_ceil(100).max(1);
            sorted.get(rank - 1).copied()
        };
        Some(Self { count: sorted.len() as u64, median: rank(50)?, p90: rank(90)? })
    }
}

// === impl Table ===

impl Table {
    /// Everything that was counted, by one thing.
    pub fn of(all: &[Counted], by: By) -> Self {
        let mut table = Self::default();
        for one in all {
            table.groups.entry(one.name(by).map(str::to_owned)).or_default().add(one);
            table.all.add(one);
        }
        table
    }
}

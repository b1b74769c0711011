//! What is measured of an inbox and told to everybody: how soon its referrals are answered, how many are accepted, how many wait.
//!
//! A **first answer** is the first step of a Task by its provider to a status that says what becomes of the referral
//! ([`is_answer`]), counted from the Task's making. It is noted once, without a name: in which inbox,
//! on which day, after how long, accepted or not.
//!
//! What is told describes whole **blocks** of answers alone. A block is a row of whole days and closes at the end of the day on
//! which it holds the minimum or more. So whatever two things are told at different times, they are the same or differ by the
//! minimum or more answers, and nobody is singled out by looking twice.

use jiff::{SignedDuration, Timestamp, civil::Date};

use super::{deadline::is_answer, event::Event, status::TaskStatus, task::TaskState};

/// What is told covers no more days than this, unless one block is longer.
pub const DAYS_TOLD: i32 = 90;
/// A day has ended for sure so long after its end: what was committed just before midnight is there by then, whichever of several
/// machines' clocks it goes by.
const DAY_SETTLES: SignedDuration = SignedDuration::from_hours(1);
/// Counts are told in such steps.
const COUNT_STEP: u32 = 5;
/// Rates are told in such steps, in percent. The last at either end stands for all beyond it, so that no rate says of everyone the
/// same.
const RATE_STEP: u32 = 5;
/// A median of so many hours and more is told in days.
const HOURS_TOLD: u32 = 48;

/// A whole day in UTC, as days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

/// A first answer as it is noted: nothing of the Task, the referral or the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstAnswer {
    /// On which day.
    pub day: Day,
    /// How long after the Task was made, in minutes.
    pub waited_min: u32,
    /// Whether the provider took the referral on.
    pub accepted: bool,
}

/// A row of whole days that holds the minimum of answers or more, and whose last day is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Its first day: that of the first answer of all, or the one after the block before.
    pub first: Day,
    /// Its last day.
    pub last: Day,
    /// So many answers were given on these days.
    pub answers: u32,
}

/// A time as roughly as it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roughly {
    /// Hours, one at least.
    Hours(u32),
    /// Days.
    Days(u32),
}

/// What is told of the answers of some blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The first of their days.
    pub first: Day,
    /// The last of them.
    pub last: Day,
    /// So many answers or a few more: rounded down to 5, never below the minimum.
    pub answers: u32,
    /// The median of the time until the first answer.
    pub median: Roughly,
    /// How many of a hundred were accepted, to the nearest 5. 5 stands for that and fewer, 95 for that and more.
    pub accepted_percent: u32,
}

/// What is told of how many wait for a first answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Fewer than the minimum.
    FewerThan(u32),
    /// So many or a few more: rounded down to 5, never below the minimum.
    About(u32),
}

// === impl Day ===

impl Day {
    /// The day that a moment lies in.
    pub fn of(at: Timestamp) -> Self {
        Self(i32::try_from(at.as_second().div_euclid(86_400)).unwrap_or(i32::MAX))
    }

    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Its date.
    pub fn date(self) -> Date {
        let start = Timestamp::from_second(i64::from(self.0) * 86_400).unwrap_or(Timestamp::MAX);
        start.to_zoned(jiff::tz::TimeZone::UTC).date()
    }

    /// The newest day that is over for sure at `now`.
    pub fn over(now: Timestamp) -> Self {
        let settled = now.checked_sub(DAY_SETTLES).unwrap_or(now);
        Self(Self::of(settled).0.saturating_sub(1))
    }
}

// === impl FirstAnswer ===

impl FirstAnswer {
    /// What is noted of a step at `now` of a Task made at `created`, which stood as `before`: its first answer, if it is that.
    ///
    /// An end that is none of the provider's saying counts in nothing: `cancelled`, `entered-in-error`. Nor does what is said while
    /// cancellation is asked for: it answers that. `on-hold` keeps the referral and `completed` or `failed` come of one that was
    /// taken on, so all but `rejected` is accepted.
    pub fn of<'e>(
        before: &TaskState,
        created: Timestamp,
        events: impl IntoIterator<Item = &'e Event>,
        now: Timestamp,
    ) -> Option<Self> {
        if is_answer(before.status) || before.cancel_requested {
            return None;
        }
        let answered = events.into_iter().find_map(|event| match event {
            Event::Answered { to, .. } if is_answer(*to) => Some(*to),
            _ => None,
        })?;
        if matches!(answered, TaskStatus::Cancelled | TaskStatus::EnteredInError) {
            return None;
        }
        let waited = now.duration_since(created).as_mins().max(0);
        Some(Self {
            day: Day::of(now),
            waited_min: u32::try_from(waited).unwrap_or(u32::MAX),
            accepted: answered != TaskStatus::Rejected,
        })
    }
}

// === impl Block ===

impl Block {
    /// Cuts the days after `before`, the newest block so far, into further blocks. `days` are those with answers, in their order,
    /// none of them later than [`Day::over`].
    pub fn cut(before: Option<&Self>, days: &[(Day, u32)], minimum: u32) -> Vec<Self> {
        let mut first = before.map(|block| block.last.next());
        let (mut answers, mut blocks) = (0u32, Vec::new());
        for (day, count) in days {
            let begins = *first.get_or_insert(*day);
            answers = answers.saturating_add(*count);
            if answers >= minimum.max(1) {
                blocks.push(Self { first: begins, last: *day, answers });
                (first, answers) = (Some(day.next()), 0);
            }
        }
        blocks
    }

    /// The newest of these that are told of: as many as lie within [`DAYS_TOLD`] days, and one at least.
    pub fn told(blocks: &[Self]) -> &[Self] {
        let Some(newest) = blocks.last() else { return &[] };
        let begins = blocks.iter().position(|block| newest.last.0 - block.first.0 < DAYS_TOLD);
        blocks.get(begins.unwrap_or(blocks.len() - 1)..).unwrap_or_default()
    }
}

// === impl Facts ===

impl Facts {
    /// What is told of these blocks, whose answers are `answers`, all of them and no other. None where that is fewer than the
    /// minimum.
    pub fn of(blocks: &[Block], answers: &[FirstAnswer], minimum: u32) -> Option<Self> {
        let (first, last) = (blocks.first()?.first, blocks.last()?.last);
        let count = u32::try_from(answers.len()).unwrap_or(u32::MAX);
        if count < minimum.max(1) {
            return None;
        }
        let mut waited: Vec<u32> = answers.iter().map(|answer| answer.waited_min).collect();
        waited.sort_unstable();
        let accepted = answers.iter().filter(|answer| answer.accepted).count();
        let accepted = u32::try_from(accepted).unwrap_or(u32::MAX);
        Some(Self {
            first,
            last,
            answers: in_steps(count, minimum),
            median: roughly(median(&waited)?),
            accepted_percent: percent(accepted, count),
        })
    }
}

// === impl Waiting ===

impl Waiting {
    /// What is told of so many that wait.
    pub fn of(count: u64, minimum: u32) -> Self {
        match u32::try_from(count).unwrap_or(u32::MAX) {
            count if count < minimum => Self::FewerThan(minimum),
            count => Self::About(in_steps(count, minimum)),
        }
    }
}

fn in_steps(count: u32, minimum: u32) -> u32 {
    (count - count % COUNT_STEP).max(minimum)
}

/// The middle one, or the mean of both in the middle.
fn median(sorted: &[u32]) -> Option<u32> {
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    sorted.get(sorted.len() / 2 - 1).map(|lower| lower.midpoint(upper))
}

/// Minutes to the nearest hour, or from two days on to the nearest day.
fn roughly(minutes: u32) -> Roughly {
    let hours = minutes.saturating_add(30) / 60;
    if hours < HOURS_TOLD {
        Roughly::Hours(hours.max(1))
    } else {
        Roughly::Days(minutes.saturating_add(12 * 60) / (24 * 60))
    }
}

fn percent(part: u32, of: u32) -> u32 {
    let (part, of, step) = (u64::from(part), u64::from(of.max(1)), u64::from(RATE_STEP));
    let steps = (part * 100 + of * step / 2) / (of * step);
    u32::try_from(steps * step).unwrap_or(100).clamp(RATE_STEP, 100 - RATE_STEP)
}

#[cfg(test)]
mod tests;

//! The journals of all Tasks looked through, by when, what, who and where.

use jiff::Timestamp;

use super::{JournalLine, LINES_LOOKED_AT_MAX};
use crate::domain::{Actor, InboxId, SystemId, TaskId};

/// A line in the order of all: its moment, its Task, its seq.
pub type JournalCursor = (Timestamp, TaskId, u64);

/// What is looked for. Every condition that is given must hold.
#[derive(Debug, Clone)]
pub struct JournalQuery {
    /// Written at or after.
    pub from: Timestamp,
    /// Written before.
    pub before: Timestamp,
    /// Only what is older than this one: the cursor of paging.
    pub after: Option<JournalCursor>,
    /// The name of the event ([`crate::domain::Event::name`]).
    pub event: Option<String>,
    /// Whose deed it is, one of these; or …
    pub actors: Vec<Actor>,
    /// … who did it, one of these persons, whosever deed it counts as: as in [`super::Session::person`]. Whoever it was, where both are empty.
    pub persons: Vec<String>,
    /// The inbox of the Task.
    pub inbox: Option<InboxId>,
    /// The originating system.
    pub system: Option<SystemId>,
    /// At most so many.
    pub count: usize,
}

/// A line that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundLine {
    /// Its Task.
    pub task: TaskId,
    /// Where that was routed.
    pub inbox: InboxId,
    /// Who sent it.
    pub system: SystemId,
    /// The line.
    pub line: JournalLine,
}

/// Some of what is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JournalPage {
    /// The newest first.
    pub lines: Vec<FoundLine>,
    /// Where to go on; none at the end. Where a condition holds for few, a page may be short, or empty, and not the last:
    /// no more than [`LINES_LOOKED_AT_MAX`] lines are looked at for one.
    pub next: Option<JournalCursor>,
}

// === impl JournalQuery ===

impl JournalQuery {
    /// How many lines are looked at for a page: where nothing is left out, no more than it shows, and one that says whether it goes on.
    pub(super) fn looked_at(&self) -> usize {
        let who = self.asks_who();
        let leaves_out = self.event.is_some() || who || self.inbox.is_some() || self.system.is_some();
        if leaves_out { LINES_LOOKED_AT_MAX } else { self.count.saturating_add(1) }
    }

    /// Whether it matters who did it.
    pub fn asks_who(&self) -> bool {
        !self.actors.is_empty() || !self.persons.is_empty()
    }

    /// Whether a line is of one of those that are looked for.
    pub fn is_by(&self, line: &JournalLine) -> bool {
        let person = line.asked_by.as_ref().and_then(|asked| asked.person.as_ref());
        !self.asks_who() || self.actors.contains(&line.actor) || person.is_some_and(|one| self.persons.contains(one))
    }

    /// What the page begins after, backwards: time, Task and seq.
    pub(super) fn begins_before(&self) -> (i64, TaskId, u64) {
        let first = (self.before.as_microsecond(), TaskId(uuid::Uuid::nil()), 0);
        self.after.map_or(first, |(at, task, seq)| first.min((at.as_microsecond(), task, seq)))
    }

    /// A page of what was found, one more than asked for where there are more; `end` is the last line that was looked at where as many
    /// were as may be.
    pub(super) fn page(&self, mut lines: Vec<FoundLine>, end: Option<JournalCursor>) -> JournalPage {
        let goes_on = lines.len() > self.count;
        lines.truncate(self.count);
        let last = lines.last().map(|found| (found.line.at, found.task, found.line.seq));
        JournalPage { next: if goes_on { last } else { end }, lines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query() -> JournalQuery {
        JournalQuery {
            from: Timestamp::UNIX_EPOCH,
            before: Timestamp::MAX,
            after: None,
            event: None,
            actors: vec![],
            persons: vec![],
            inbox: None,
            system: None,
            count: 2,
        }
    }

    fn found(second: i64) -> FoundLine {
        FoundLine {
            task: TaskId(uuid::Uuid::nil()),
            inbox: "a".parse().unwrap(),
            system: "b".parse().unwrap(),
            line: JournalLine {
                seq: 1,
                at: Timestamp::from_second(second).unwrap(),
                actor: Actor::Onward,
                event: crate::domain::Event::NotOpened,
                asked_by: None,
            },
        }
    }

    #[test]
    fn a_page_says_where_it_goes_on() {
        let end = Some((Timestamp::UNIX_EPOCH, TaskId(uuid::Uuid::nil()), 9));
        let more = query().page(vec![found(3), found(2), found(1)], None);
        assert_eq!((more.lines.len(), more.next.map(|next| next.0.as_second())), (2, Some(2)));
        assert_eq!(query().page(vec![found(3)], None).next, None, "the end");
        assert_eq!(query().page(vec![], end).next, end, "nothing yet, and not looked through");
        assert_eq!(query().looked_at(), 3);
        assert_eq!(JournalQuery { event: Some("answered".into()), ..query() }.looked_at(), LINES_LOOKED_AT_MAX);
    }

    #[test]
    fn a_cursor_goes_no_further_than_the_time_asked_for() {
        let before = Timestamp::from_second(10).unwrap();
        let at = |second| Some((Timestamp::from_second(second).unwrap(), TaskId(uuid::Uuid::nil()), 7));
        let begins = |after| JournalQuery { before, after, ..query() }.begins_before().0;
        assert_eq!((begins(None), begins(at(5)), begins(at(99))), (10_000_000, 5_000_000, 10_000_000));
    }
}

//! How a referral stands, in a sentence or two: whether it has arrived, for whom it waits, and where something of it was given up. Pure.

use uuid::Uuid;

use super::words::plain;
use crate::{
    config::Registry,
    domain::{Event, Side, TaskStatus, TransportStatus},
    store::{Attempt, DeadLetter, JournalLine, TaskRecord},
};

/// A sentence, and the dead letter that it tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub words: String,
    pub dead: Option<Uuid>,
}

/// What is known of a Task.
pub(super) struct Known<'k> {
    pub task: &'k TaskRecord,
    pub journal: &'k [JournalLine],
    pub attempts: &'k [Attempt],
    /// Its dead letters.
    pub dead: &'k [DeadLetter],
    pub registry: &'k Registry,
}

fn said(words: String) -> Said {
    Said { words, dead: None }
}

impl Known<'_> {
    /// See the module's documentation.
    pub(super) fn said(&self) -> Vec<Said> {
        if self.task.is_parent() {
            let words = "It went to several targets, each with a Task of its own: how each stands is told there.";
            return vec![said(words.to_owned())];
        }
        let mut all = vec![self.delivery()];
        all.extend(self.write_back());
        all
    }

    fn provider(&self) -> &str {
        self.registry.providers.get(&self.task.provider).map_or(self.task.provider.as_str(), |one| one.name.as_str())
    }

    fn system(&self) -> &str {
        self.registry.systems.get(&self.task.system).map_or(self.task.system.as_str(), |one| one.name.as_str())
    }

    /// The first message of a side that was given up.
    fn dead(&self, side: Side) -> Option<&DeadLetter> {
        self.dead.iter().filter(|letter| letter.side == side).min_by_key(|letter| letter.seq)
    }

    /// Why the last try of a side came to nothing, where it is tried on.
    fn failing(&self, side: Side) -> Option<&str> {
        let last = self.attempts.iter().rev().find(|attempt| attempt.side == side)?;
        let passed = |line: &JournalLine| match line.event {
            Event::Superseded { side: of, of: seq } | Event::Discarded { side: of, of: seq, .. } => {
                of == side && seq >= last.of
            }
            _ => false,
        };
        last.why.as_deref().filter(|_| last.result == "deferred" && !self.journal.iter().any(passed))
    }

    fn has(&self, is_it: impl Fn(&Event) -> bool) -> bool {
        self.journal.iter().any(|line| is_it(&line.event))
    }

    fn is_there(&self) -> bool {
        self.has(|event| {
            matches!(event, Event::Delivered { .. } | Event::Listed { .. } | Event::HandedOver { .. })
                || matches!(event, Event::Answered { .. })
        })
    }

    /// Where the referral itself is, and for whom it waits.
    fn delivery(&self) -> Said {
        let (provider, state) = (self.provider(), &self.task.state);
        if state.status.is_terminal() {
            return said(self.ended());
        }
        if !self.is_there() {
            if let Some(letter) = self.dead(Side::Delivery) {
                let words = format!(
                    "It has not arrived at {provider}: it was given up, and lies among the dead letters. Why: {}.",
                    plain(&letter.why)
                );
                return Said { words, dead: Some(letter.message) };
            }
            if state.transport == Some(TransportStatus::Undeliverable) {
                return said(format!("It has not arrived at {provider}: it was given up, and put away."));
            }
            let Some(why) = self.failing(Side::Delivery) else {
                return said(format!("It is on its way to {provider}."));
            };
            return said(format!(
                "It has not arrived at {provider} yet: the last try failed ({}). It is tried again by itself.",
                plain(why)
            ));
        }
        let waits = if state.cancel_requested {
            format!("It waits for {provider} to say whether it is cancelled.")
        } else if state.information_requested {
            format!("It waits for {} to answer what {provider} has asked.", self.system())
        } else {
            match state.status {
                TaskStatus::Requested | TaskStatus::Received => match state.transport {
                    Some(TransportStatus::NotOpened | TransportStatus::Overdue) => {
                        format!("It waits for {provider} to answer it, which is late.")
                    }
                    _ => format!("It waits for {provider} to answer it."),
                },
                TaskStatus::OnHold => format!("{provider} has put it on hold."),
                TaskStatus::InProgress => format!("{provider} is working on it."),
                _ => format!("{provider} has accepted it, and has not begun yet."),
            }
        };
        let arrived = format!("It has arrived at {provider}. {waits}");
        match self.dead(Side::Delivery) {
            Some(letter) => Said {
                words: format!(
                    "{arrived} What came after it (step {}) was given up, and lies among the dead letters. Why: {}.",
                    letter.seq,
                    plain(&letter.why)
                ),
                dead: Some(letter.message),
            },
            None => said(arrived),
        }
    }

    fn ended(&self) -> String {
        let provider = self.provider();
        let taken_back = self.has(|event| matches!(event, Event::Retracted { .. }));
        match self.task.state.status {
            TaskStatus::Completed => format!("It has ended: {provider} has completed it."),
            TaskStatus::Rejected => format!("It has ended: {provider} has declined it."),
            TaskStatus::Failed => format!("It has ended: {provider} has ended it early."),
            TaskStatus::Cancelled => "It has ended: it was cancelled.".to_owned(),
            TaskStatus::EnteredInError if taken_back => {
                format!("It has ended: {} took it back as sent in error.", self.system())
            }
            _ => format!("It has ended: {provider} has marked its end as noted in error."),
        }
    }

    /// Where what became of it does not get into the record. While it does, there is nothing to say.
    fn write_back(&self) -> Option<Said> {
        let system = self.system();
        if let Some(letter) = self.dead(Side::WriteBack) {
            let words = format!(
                "What became of it (step {}) is not in the record of {system}: writing it back was given up, and lies among the dead letters. Why: {}.",
                letter.seq,
                plain(&letter.why)
            );
            return Some(Said { words, dead: Some(letter.message) });
        }
        let why = self.failing(Side::WriteBack)?;
        Some(said(format!(
            "What became of it is not in the record of {system} yet: the last try failed ({}). It is tried again by itself.",
            plain(why)
        )))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        domain::{Actor, Timestamp, task::TaskState},
        web::{console::tests::config, inbox::line::tests::record},
    };

    fn told(state: TaskState, events: Vec<Event>, attempts: &[Attempt], dead: &[DeadLetter]) -> Vec<String> {
        let mut task = record();
        (task.provider, task.system, task.state) =
            ("life-rooms".parse().unwrap(), "merseycare-rio".parse().unwrap(), state);
        let line =
            |(seq, event)| JournalLine { seq, at: Timestamp::UNIX_EPOCH, actor: Actor::Onward, event, asked_by: None };
        let journal: Vec<JournalLine> = (2..).zip(events).map(line).collect();
        let registry = config().registry;
        let known = Known { task: &task, journal: &journal, attempts, dead, registry: &registry };
        known
            .said()
            .into_iter()
            .map(|one| format!("{}{}", one.words, if one.dead.is_some() { " →" } else { "" }))
            .collect()
    }

    fn failed(side: Side) -> Attempt {
        Attempt {
            side,
            of: 1,
            at: Timestamp::UNIX_EPOCH,
            duration: Duration::ZERO,
            endpoint: "https://lr.example".into(),
            result: "deferred".into(),
            why: Some("HTTP 503".into()),
        }
    }

    fn letter(side: Side, seq: u64) -> DeadLetter {
        DeadLetter {
            message: Uuid::nil(),
            task: record().id,
            side,
            seq,
            to: "life-rooms".into(),
            attempts: 1,
            since: Timestamp::UNIX_EPOCH,
            why: "HTTP 422".into(),
        }
    }

    #[test]
    fn how_it_stands_is_told_in_a_sentence() {
        let delivered =
            || Event::Delivered { inbox: "life-rooms".parse().unwrap(), remote: Some("7".into()), by_answer: false };
        let at = |status| TaskState { status, ..TaskState::new() };
        let new = TaskState::new;
        let there = |state| told(state, vec![delivered()], &[], &[]).remove(0);
        assert_eq!(told(new(), vec![], &[], &[]), ["It is on its way to The Life Rooms."]);
        let trying = told(new(), vec![], &[failed(Side::Delivery)], &[]);
        let expected =
            "It has not arrived at The Life Rooms yet: the last try failed (HTTP 503). It is tried again by itself.";
        assert_eq!(trying, [expected]);
        let dead = told(new(), vec![], &[failed(Side::Delivery)], &[letter(Side::Delivery, 1)]);
        let expected =
            "It has not arrived at The Life Rooms: it was given up, and lies among the dead letters. Why: HTTP 422. →";
        assert_eq!(dead, [expected]);
        assert!(there(new()).ends_with("It has arrived at The Life Rooms. It waits for The Life Rooms to answer it."));
        let late = TaskState { transport: Some(TransportStatus::Overdue), ..new() };
        assert!(there(late).ends_with("to answer it, which is late."));
        assert!(there(at(TaskStatus::OnHold)).ends_with("The Life Rooms has put it on hold."));
        assert!(there(TaskState { cancel_requested: true, ..new() }).ends_with("to say whether it is cancelled."));
        let asks = TaskState { information_requested: true, ..at(TaskStatus::Accepted) };
        assert!(there(asks).ends_with("It waits for Mersey Care to answer what The Life Rooms has asked."));
        assert_eq!(there(at(TaskStatus::Completed)), "It has ended: The Life Rooms has completed it.");
        let retracted = vec![delivered(), Event::Retracted { request: 2, order: None }];
        let told_back = told(at(TaskStatus::EnteredInError), retracted, &[], &[]);
        assert_eq!(told_back, ["It has ended: Mersey Care took it back as sent in error."]);
    }

    #[test]
    fn what_does_not_get_into_the_record_is_told_beside() {
        let ended = TaskState { status: TaskStatus::Rejected, ..TaskState::new() };
        let dead = told(ended, vec![], &[], &[letter(Side::WriteBack, 5)]);
        assert!(
            dead[1].starts_with("What became of it (step 5) is not in the record of Mersey Care")
                && dead[1].ends_with('→')
        );
        let trying = told(ended, vec![], &[failed(Side::WriteBack)], &[]);
        assert!(trying[1].contains("the last try failed (HTTP 503)"), "{trying:?}");
        let superseded = Event::Superseded { side: Side::WriteBack, of: 1 };
        assert_eq!(
            told(ended, vec![superseded], &[failed(Side::WriteBack)], &[]).len(),
            1,
            "it need not be sent any more"
        );
    }
}

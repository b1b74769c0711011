//! What the simulated systems see of each referral, by the id of its Task: when it was acknowledged, where it arrived, what
//! was answered, and what the originating record shows.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::referrals::Expected;
use crate::domain::TaskStatus;

/// A status and when it was set.
pub type Moment = (TaskStatus, Instant);

/// One Task.
#[derive(Debug, Clone, Default)]
pub struct Case {
    /// When the sender was told of it.
    pub acknowledged: Option<Instant>,
    /// The inbox that got it, and when.
    pub delivered: Option<(String, Instant)>,
    /// The placer identifier that its ServiceRequest has at the provider.
    pub identifier: Option<String>,
    /// What the provider answered; the moments are those at which it began to.
    pub answers: Vec<Moment>,
    /// The provider has no more to say.
    pub finished: bool,
    /// The statuses the originating record has shown.
    pub record: Vec<Moment>,
    /// The provider asked for more and has the referrer's answer.
    pub answered: bool,
    /// The provider could not answer: this loop will not be closed, and is not waited for.
    pub given_up: bool,
    pub(super) was_closed: bool,
}

/// A referral that was sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The system it came from.
    pub system: String,
    /// Where it must arrive.
    pub inbox: String,
}

/// How far all referrals have come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Referrals acknowledged.
    pub sent: usize,
    /// Tasks of which the senders were told.
    pub tasks: usize,
    /// Arrived at a provider.
    pub delivered: usize,
    /// Accepted by it.
    pub accepted: usize,
    /// Completed by it.
    pub completed: usize,
    /// Refused by it.
    pub refused: usize,
    /// The record shows how it ended.
    pub closed: usize,
}

/// See the module's documentation.
#[derive(Default)]
pub struct Ledger {
    books: Mutex<Books>,
    changed: Notify,
}

/// The contents of a ledger.
#[derive(Debug, Clone, Default)]
pub struct Books {
    /// Tasks by id.
    pub cases: HashMap<String, Case>,
    /// Acknowledged referrals by placer identifier.
    pub sent: BTreeMap<String, Sent>,
    /// How long each request took to be acknowledged.
    pub round_trips: Vec<Duration>,
    /// What went wrong on the simulated side, in words.
    pub troubles: Vec<String>,
    /// Ids of Tasks in the order their loops were first closed.
    pub closed: Vec<String>,
    /// Tasks that a sender was told of and whose loop is not closed.
    open: usize,
}

// === impl Case ===

impl Case {
    /// Whether the record shows what the provider said last, and the provider has no more to say.
    pub fn is_closed(&self) -> bool {
        let last = |moments: &[Moment]| moments.last().map(|(status, _)| *status);
        self.acknowledged.is_some()
            && self.finished
            && !self.answers.is_empty()
            && last(&self.answers) == last(&self.record)
    }

    /// Whether a sender was told of it and it is still to be closed.
    pub fn is_open(&self) -> bool {
        self.acknowledged.is_some() && !self.given_up && !self.is_closed()
    }

    /// For each answer when the record showed it; none where it never did or not in this order.
    pub fn written(&self) -> Vec<(Instant, Option<Instant>)> {
        let mut shown = self.record.iter();
        let find = |(status, at): &Moment| (*at, shown.find(|(s, _)| s == status).map(|(_, at)| *at));
        self.answers.iter().map(find).collect()
    }

    /// Whether the provider ever set this status.
    pub fn was(&self, status: TaskStatus) -> bool {
        self.answers.iter().any(|(s, _)| *s == status)
    }
}

// === impl Ledger ===

impl Ledger {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, task: &str, with: impl FnOnce(&mut Case)) {
        let mut books = self.books();
        let case = books.cases.entry(task.to_owned()).or_default();
        let before = case.is_open();
        with(case);
        let (after, first) = (case.is_open(), case.is_closed() && !case.was_closed);
        case.was_closed |= first;
        if first {
            books.closed.push(task.to_owned());
        }
        books.open = books.open + usize::from(after) - usize::from(before);
        drop(books);
        self.changed.notify_waiters();
    }

    /// A request was acknowledged with these Tasks.
    pub fn acknowledged(&self, system: &str, referrals: &[Expected], tasks: &[String], took: Duration) {
        let now = Instant::now();
        {
            let mut books = self.books();
            books.round_trips.push(took);
            for referral in referrals {
                let sent = Sent { system: system.to_owned(), inbox: referral.inbox.clone() };
                books.sent.insert(referral.identifier.clone(), sent);
            }
        }
        for task in tasks {
            self.change(task, |case| case.acknowledged = Some(now));
        }
    }

    /// A provider has a referral, or sees it in its worklist.
    pub fn delivered(&self, task: &str, inbox: &str, identifier: Option<String>, at: Instant) {
        self.change(task, |case| {
            case.delivered.get_or_insert_with(|| (inbox.to_owned(), at));
            case.identifier = identifier.or(case.identifier.take());
        });
    }

    /// A provider begins to answer.
    pub fn answering(&self, task: &str, status: TaskStatus) {
        self.change(task, |case| case.answers.push((status, Instant::now())));
    }

    /// A provider has the answer to what it asked the referrer.
    pub fn answered(&self, task: &str) {
        self.change(task, |case| case.answered = true);
    }

    /// A provider has no more to say.
    pub fn finished(&self, task: &str) {
        self.change(task, |case| case.finished = true);
    }

    /// A provider cannot answer any further.
    pub fn gave_up(&self, task: &str, said: String) {
        self.trouble(said);
        self.change(task, |case| case.given_up = true);
    }

    /// The originating record shows a status.
    pub fn shown(&self, task: &str, status: TaskStatus, at: Instant) {
        self.change(task, |case| {
            if case.record.last().map(|(last, _)| *last) != Some(status) {
                case.record.push((status, at));
            }
        });
    }

    /// Something went wrong on the simulated side.
    pub fn trouble(&self, said: String) {
        self.books().troubles.push(said);
    }

    /// Waits until every loop is closed, or given up, of which a sender was told by now.
    pub async fn all_closed(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // register before looking, so that a change in between is not missed
            changed.as_mut().enable();
            if self.books().open == 0 {
                return;
            }
            changed.await;
        }
    }

    /// How far everything has come.
    pub fn counts(&self) -> Counts {
        let books = self.books();
        let told = || books.cases.values().filter(|case| case.acknowledged.is_some());
        Counts {
            sent: books.sent.len(),
            tasks: told().count(),
            delivered: told().filter(|case| case.delivered.is_some()).count(),
            accepted: told().filter(|case| case.was(TaskStatus::Accepted)).count(),
            completed: told().filter(|case| case.was(TaskStatus::Completed)).count(),
            refused: told().filter(|case| case.was(TaskStatus::Rejected)).count(),
            closed: told().filter(|case| case.is_closed()).count(),
        }
    }

    /// The loops closed after the first `from`, at most `max` of them.
    pub fn closed_since(&self, from: usize, max: usize) -> Vec<(Case, Option<Sent>)> {
        let books = self.books();
        let told = books.closed.iter().skip(from).take(max).filter_map(|task| books.cases.get(task));
        told.map(|case| (case.clone(), case.identifier.as_ref().and_then(|i| books.sent.get(i)).cloned())).collect()
    }

    /// All of it.
    pub fn copy(&self) -> Books {
        self.books().clone()
    }
}

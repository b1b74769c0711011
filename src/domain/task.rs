//! The Task state machine: one table, the only place that knows a transition.
//!
//! It follows the harmonised BSeR 2.0.0-ballot / 360X table with FHIR's own codes. R4 calls its Task diagram “typical” and
//! leaves the table to the product, so ours is published: `src/domain/README.md` holds it, printed by a test.

use super::{
    deadline::{Deadlines, is_answer},
    status::{TaskStatus, TransportStatus},
};

use TaskStatus::{
    Accepted, Cancelled, Completed, EnteredInError, Failed, InProgress, OnHold, Received, Rejected, Requested,
};

/// Who may make a transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The organisation the Task was routed to.
    Provider,
    /// The originating system.
    Referrer,
    /// Either of them.
    Either,
}

/// A row of the table: from any of these, that side may go to `to`.
#[derive(Debug, Clone, Copy)]
pub struct Transition {
    /// Statuses it may start from.
    pub from: &'static [TaskStatus],
    /// Where it leads.
    pub to: TaskStatus,
    /// Who may do it.
    pub by: By,
    /// What must hold beside the status.
    pub when: When,
}

/// What must hold beside the status for a transition to be legal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Nothing.
    Always,
    /// The referrer has asked for cancellation and the provider has not yet answered that.
    CancelRequested,
    /// Nothing has been sent to the provider yet.
    NothingSent,
}

/// Every status a Task can leave without having ended.
pub const OPEN: &[TaskStatus] = &[Requested, Received, Accepted, InProgress, OnHold];

/// The table (design section 7). The same status with a new businessStatus, note or output is legal while the Task is open
/// and needs no row.
pub const TRANSITIONS: &[Transition] = &[
    row(&[Requested], Received, By::Provider, When::Always),
    row(&[Requested, Received], Accepted, By::Provider, When::Always),
    row(&[Requested, Received, Accepted, InProgress, OnHold], Rejected, By::Provider, When::Always),
    row(&[Received, Accepted, InProgress], OnHold, By::Provider, When::Always),
    row(&[Accepted, OnHold], InProgress, By::Provider, When::Always),
    row(&[Accepted, InProgress, OnHold], Completed, By::Provider, When::Always),
    row(&[Accepted, InProgress, OnHold], Failed, By::Provider, When::Always),
    row(&[Requested], Cancelled, By::Referrer, When::NothingSent),
    row(OPEN, Cancelled, By::Provider, When::CancelRequested),
    row(OPEN, Completed, By::Provider, When::CancelRequested),
    row(TaskStatus::ALL, EnteredInError, By::Either, When::Always),
];

const fn row(from: &'static [TaskStatus], to: TaskStatus, by: By, when: When) -> Transition {
    Transition { from, to, by, when }
}

/// What of a Task the state machine looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskState {
    /// `Task.status`.
    pub status: TaskStatus,
    /// The referrer has asked for cancellation (businessStatus 5.2); the status stays what it was, so a refusal needs no
    /// memory.
    pub cancel_requested: bool,
    /// Where the message is, while that is worth saying.
    pub transport: Option<TransportStatus>,
    /// Whether the delivery was ever tried.
    pub sent: bool,
    /// The provider has asked the referrer for more and has no answer yet.
    pub information_requested: bool,
    /// What is awaited by when.
    pub deadlines: Deadlines,
    /// Somebody has seen to what the transport status says; it is no line of the IT worklist any more.
    pub seen_to: bool,
}

/// What a provider says of its Task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The status it sets.
    pub to: TaskStatus,
    /// Whether a statusReason comes with it.
    pub has_reason: bool,
    /// Whether the provider could know everything that the referrer has asked for by now. An answer that crosses a request for
    /// cancellation does not refuse it.
    pub aware: bool,
}

/// What a referrer asks of a Task that was sent on its behalf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// That the referral be not acted on any more (`ServiceRequest.status` revoked).
    Cancel,
    /// That it never was (`entered-in-error`).
    Retract,
    /// That it be taken as it is now written.
    Amend,
}

/// Why an answer cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The table has no such transition.
    #[error("a Task that is {from} cannot become {to}; from here a provider may set: {}", list(.allowed))]
    Illegal {
        /// The status the Task has.
        from: TaskStatus,
        /// The status that was asked for.
        to: TaskStatus,
        /// What would be allowed.
        allowed: Vec<TaskStatus>,
    },
    /// The status says that something did not go as asked, and not why.
    #[error("{to} needs a statusReason (text or code)")]
    ReasonMissing {
        /// The status that was asked for.
        to: TaskStatus,
    },
    /// What the referrer asks is not possible any more.
    #[error("the Task has ended ({status}), so the referral can be neither changed nor cancelled nor written about; {}", after_the_end(*.status))]
    Ended {
        /// How it ended.
        status: TaskStatus,
    },
    /// The referral is to be cancelled, and the provider has not said yet whether it will be.
    #[error(
        "cancellation has been asked for; until the provider has answered, the referral can only become entered-in-error"
    )]
    CancelPending,
}

fn after_the_end(status: TaskStatus) -> &'static str {
    if status == EnteredInError { "nothing leaves that status" } else { "it can only become entered-in-error" }
}

fn list(codes: &[TaskStatus]) -> String {
    if codes.is_empty() {
        return "nothing (the Task has ended)".to_owned();
    }
    codes.iter().map(|c| c.code()).collect::<Vec<_>>().join(", ")
}

impl TaskState {
    /// A Task as routing leaves it.
    pub const fn new() -> Self {
        Self {
            status: Requested,
            cancel_requested: false,
            transport: None,
            sent: false,
            information_requested: false,
            deadlines: Deadlines { deliver_by: None, open_by: None, answer_by: None },
            seen_to: false,
        }
    }

    /// Whether `by` may take the Task to `to`.
    pub fn may(&self, by: By, to: TaskStatus) -> bool {
        if to == self.status && !self.status.is_terminal() {
            return true;
        }
        self.status != to
            && TRANSITIONS.iter().any(|t| {
                t.to == to
                    && (t.by == by || t.by == By::Either)
                    && t.from.contains(&self.status)
                    && match t.when {
                        When::Always => true,
                        When::CancelRequested => self.cancel_requested,
                        When::NothingSent => !self.sent,
                    }
            })
    }

    /// The statuses `by` may set from here, other than the present one.
    pub fn allowed(&self, by: By) -> Vec<TaskStatus> {
        TaskStatus::ALL.iter().copied().filter(|to| *to != self.status && self.may(by, *to)).collect()
    }

    /// The state after a provider's answer.
    ///
    /// An answer proves that the referral arrived and was seen, so a transport status that says otherwise goes; that it is overdue
    /// goes with a status that says what becomes of it. While a cancellation is asked for, a status that does not end the Task
    /// refuses it, if its provider knew of that.
    ///
    /// # Errors
    /// [`Refusal`] where the table has no such transition or a reason is missing.
    pub fn answer(self, answer: Answer) -> Result<Self, Refusal> {
        if !self.may(By::Provider, answer.to) {
            return Err(Refusal::Illegal { from: self.status, to: answer.to, allowed: self.allowed(By::Provider) });
        }
        if answer.to.needs_reason() && answer.to != self.status && !answer.has_reason {
            return Err(Refusal::ReasonMissing { to: answer.to });
        }
        let ended = answer.to.is_terminal();
        let overdue = self.transport.filter(|t| *t == TransportStatus::Overdue && !is_answer(answer.to));
        Ok(Self {
            status: answer.to,
            cancel_requested: self.cancel_requested && !ended && !answer.aware,
            sent: true,
            information_requested: self.information_requested && !ended,
            deadlines: self.deadlines_after(answer.to),
            ..self.with_transport(overdue)
        })
    }

    /// The state once the Task was given to somebody of its provider, and nothing else was said: that neither opens it nor answers
    /// anything, a request to cancel included.
    ///
    /// # Errors
    /// [`Refusal::Illegal`] where the Task has ended.
    pub fn given(self) -> Result<Self, Refusal> {
        if self.status.is_terminal() {
            return Err(Refusal::Illegal { from: self.status, to: self.status, allowed: self.allowed(By::Provider) });
        }
        Ok(Self { deadlines: Deadlines { deliver_by: None, ..self.deadlines }, sent: true, ..self })
    }

    /// The state after what the referrer asks, or the same where it has asked that before.
    ///
    /// # Errors
    /// [`Refusal`] where the Task has ended; `entered-in-error` is possible even then.
    pub fn asked(self, ask: Ask) -> Result<Self, Refusal> {
        let ended = self.status.is_terminal();
        match ask {
            Ask::Retract => Ok(self.ended(EnteredInError)),
            Ask::Cancel if self.status == Cancelled => Ok(self),
            Ask::Cancel | Ask::Amend if ended => Err(Refusal::Ended { status: self.status }),
            Ask::Cancel if self.may(By::Referrer, Cancelled) => Ok(self.ended(Cancelled)),
            Ask::Cancel => Ok(Self { cancel_requested: true, ..self }),
            Ask::Amend if self.cancel_requested => Err(Refusal::CancelPending),
            Ask::Amend => Ok(self),
        }
    }

    /// The state after a message: a provider's may ask for more, and the next one of the referrer answers that. Whether it names the question
    /// (R4 `Communication.inResponseTo`) does not count: most record systems name none, and a provider that was not answered asks again.
    ///
    /// # Errors
    /// [`Refusal::Ended`]
    pub fn told(self, by: By, asks: bool) -> Result<Self, Refusal> {
        if self.status.is_terminal() {
            return Err(Refusal::Ended { status: self.status });
        }
        let information_requested = match by {
            By::Provider => self.information_requested || asks,
            By::Referrer => false,
            By::Either => self.information_requested,
        };
        if by != By::Provider {
            return Ok(Self { information_requested, ..self });
        }
        // whoever writes about it has it and has opened it; what becomes of it is still to be said
        let still = self.transport.filter(|t| matches!(t, TransportStatus::Overdue | TransportStatus::CopyUnreadable));
        let deadlines = Deadlines { deliver_by: None, open_by: None, ..self.deadlines };
        Ok(Self { information_requested, deadlines, sent: true, ..self.with_transport(still) })
    }

    /// The state where a cancellation was asked for, and the provider turned out to have nothing that could be cancelled.
    pub fn never_there(self) -> Self {
        if self.cancel_requested && !self.status.is_terminal() { self.ended(Cancelled) } else { self }
    }

    fn ended(self, status: TaskStatus) -> Self {
        let deadlines = Deadlines::default();
        Self { status, cancel_requested: false, information_requested: false, deadlines, ..self.with_transport(None) }
    }

    /// The statuses to pass through from here to `to`, `to` included, where a provider's own system skipped some: only steps
    /// that need no reason are implied, and never a refusal or an end. Empty if there is no such way.
    pub fn way_to(&self, to: TaskStatus) -> Vec<TaskStatus> {
        let mut state = *self;
        let mut way = Vec::new();
        for implied in [Received, Accepted] {
            if state.may(By::Provider, to) {
                break;
            }
            if state.status != implied && state.may(By::Provider, implied) {
                state.status = implied;
                way.push(implied);
            }
        }
        if state.may(By::Provider, to) {
            way.push(to);
            way
        } else {
            Vec::new()
        }
    }

    /// The state once the provider's system has confirmed that it has the referral.
    pub fn delivered(self) -> Self {
        let status = if self.status == Requested { Received } else { self.status };
        Self { status, sent: true, ..self.with_transport(self.silence()) }
    }

    /// The state once the referral lies in a worklist or queue that the provider reads.
    pub fn handed_over(self) -> Self {
        let transport = self.silence().or(Some(TransportStatus::HandedOver));
        Self { sent: true, ..self.with_transport(transport) }
    }

    /// What is said of the provider's silence, which only the provider ends.
    fn silence(&self) -> Option<TransportStatus> {
        use TransportStatus::{CopyUnreadable, NotOpened, Overdue};
        self.transport.filter(|t| matches!(t, NotOpened | Overdue | CopyUnreadable))
    }
}

impl Default for TaskState {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;

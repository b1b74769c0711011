//! The Task state machine: one table, the only place that knows a transition.
//!
//! It follows the harmonised BSeR 2.0.0-ballot / 360X table with FHIR's own codes. R4 calls its Task diagram “typical” and
//! leaves the table to the product, so ours is published: `src/domain/README.md` holds it, printed by a test.

use serde::{Deserialize, Serialize};

use super::status::{TaskStatus, TransportStatus};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// What a provider says of its Task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The status it sets.
    pub to: TaskStatus,
    /// Whether a statusReason comes with it.
    pub has_reason: bool,
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
        Self { status: Requested, cancel_requested: false, transport: None, sent: false }
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
    /// An answer proves that the referral arrived and was seen, so a transport status that says otherwise goes. While a
    /// cancellation is asked for, a status that does not end the Task refuses it.
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
        Ok(Self { status: answer.to, cancel_requested: false, transport: None, sent: true })
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
        Self { status, transport: None, sent: true, ..self }
    }

    /// The state once the referral lies in a worklist or queue that the provider reads.
    pub fn handed_over(self) -> Self {
        Self { transport: Some(TransportStatus::HandedOver), sent: true, ..self }
    }
}

impl Default for TaskState {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn state(status: TaskStatus) -> TaskState {
        TaskState { status, ..TaskState::new() }
    }

    fn answer(from: TaskStatus, to: TaskStatus) -> Result<TaskState, Refusal> {
        state(from).answer(Answer { to, has_reason: true })
    }

    /// The table of design section 7 as it is published.
    fn printed() -> String {
        let mut out =
            String::from("| from | a provider may set | while cancellation is asked for, also |\n|---|---|---|\n");
        for from in TaskStatus::ALL {
            let plain = state(*from).allowed(By::Provider);
            let asked = TaskState { cancel_requested: true, ..state(*from) }.allowed(By::Provider);
            let more: Vec<_> = asked.into_iter().filter(|to| !plain.contains(to)).collect();
            let codes = |l: &[TaskStatus]| l.iter().map(|c| c.code()).collect::<Vec<_>>().join(", ");
            out.push_str(&format!("| {from} | {} | {} |\n", codes(&plain), codes(&more)));
        }
        out
    }

    #[test]
    fn the_published_table_is_the_one_in_force() {
        let readme = include_str!("README.md");
        assert!(readme.contains(&printed()), "src/domain/README.md must hold:\n{}", printed());
    }

    #[test]
    fn a_provider_cannot_cancel_by_itself_but_confirms_and_may_finish_first() {
        assert!(answer(InProgress, Cancelled).is_err());
        let asked = TaskState { cancel_requested: true, ..state(InProgress) };
        assert!(asked.answer(Answer { to: Cancelled, has_reason: true }).is_ok());
        assert!(asked.answer(Answer { to: Completed, has_reason: false }).is_ok());
        let refused = asked.answer(Answer { to: InProgress, has_reason: false });
        assert_eq!(refused.map(|s| s.cancel_requested), Ok(false));
    }

    #[test]
    fn a_refusal_needs_a_reason_and_names_what_is_allowed() {
        let bare = state(Received).answer(Answer { to: Rejected, has_reason: false });
        assert_eq!(bare, Err(Refusal::ReasonMissing { to: Rejected }));
        let illegal = answer(Received, Completed).map_err(|e| e.to_string());
        assert_eq!(
            illegal,
            Err("a Task that is received cannot become completed; from here a provider may set: \
                 accepted, rejected, on-hold, entered-in-error"
                .to_owned())
        );
    }

    #[test]
    fn skipped_steps_are_implied_only_up_to_accepted() {
        assert_eq!(state(Received).way_to(Completed), [Accepted, Completed]);
        assert_eq!(state(Requested).way_to(InProgress), [Received, Accepted, InProgress]);
        assert_eq!(state(Requested).way_to(OnHold), [Received, OnHold]);
        assert_eq!(state(Accepted).way_to(Accepted), [Accepted]);
        assert!(state(Rejected).way_to(Completed).is_empty());
        assert!(state(Received).way_to(Cancelled).is_empty());
    }

    proptest! {
        #[test]
        fn nothing_but_entered_in_error_leaves_an_end(
            from in proptest::sample::select(TaskStatus::ALL),
            to in proptest::sample::select(TaskStatus::ALL),
            cancel_requested: bool, has_reason: bool,
        ) {
            let start = TaskState { cancel_requested, ..state(from) };
            if let Ok(next) = start.answer(Answer { to, has_reason }) {
                prop_assert_eq!(next.status, to);
                prop_assert!(!from.is_terminal() || to == EnteredInError);
                prop_assert!(start.may(By::Provider, to));
            }
        }

        #[test]
        fn every_way_is_legal_step_by_step(
            from in proptest::sample::select(TaskStatus::ALL),
            to in proptest::sample::select(TaskStatus::ALL),
        ) {
            let mut at = state(from);
            let way = at.way_to(to);
            for step in &way {
                at = at.answer(Answer { to: *step, has_reason: true })
                    .map_err(|r| TestCaseError::fail(r.to_string()))?;
            }
            prop_assert!(way.is_empty() || at.status == to);
        }
    }
}

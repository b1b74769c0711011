//! A referral to several targets: one Task a target, and a parent Task of which they are parts. Nobody works on the parent; its status
//! follows from theirs.
//!
//! R4 `Task.partOf`; what follows from what is our own table (`src/domain/README.md` holds it, printed by a test).

use super::{deadline::Deadlines, status::TaskStatus, task::TaskState};

use TaskStatus::{Cancelled, Completed, EnteredInError, Failed, InProgress, Rejected, Requested};

/// The word that stands where any other Task has its inbox and its provider. No inbox and no provider may be called so.
pub const RESERVED: &str = "all-targets";

/// The status of a parent whose parts have these, in whatever order. One that never should have been does not count while there is
/// another; without any part it is as if all were so.
pub fn status_of(parts: impl IntoIterator<Item = TaskStatus>) -> TaskStatus {
    let parts: Vec<TaskStatus> = parts.into_iter().filter(|status| *status != EnteredInError).collect();
    let all = |wanted: TaskStatus| parts.iter().all(|status| *status == wanted);
    if parts.is_empty() {
        EnteredInError
    } else if parts.iter().any(|status| !status.is_terminal()) {
        if all(Requested) { Requested } else { InProgress }
    } else if parts.contains(&Completed) {
        Completed
    } else if all(Cancelled) {
        Cancelled
    } else if parts.contains(&Failed) {
        Failed
    } else {
        Rejected
    }
}

/// The state of a parent whose parts have these. That cancellation is asked for, it says while every part that is open was asked;
/// that somebody wants to know more, while one does.
pub fn follow(parts: &[TaskState]) -> TaskState {
    let mut open = parts.iter().filter(|part| !part.status.is_terminal()).peekable();
    let asked = open.peek().is_some() && open.all(|part| part.cancel_requested);
    TaskState {
        status: status_of(parts.iter().map(|part| part.status)),
        cancel_requested: asked,
        information_requested: parts.iter().any(|part| part.information_requested && !part.status.is_terminal()),
        sent: parts.iter().any(|part| part.sent),
        // what is awaited, and how the way there is, each part says of itself
        deadlines: Deadlines { deliver_by: None, open_by: None, answer_by: None },
        ..TaskState::new()
    }
}

/// Whether a parent must hear of the change of a part from one state to the other.
pub fn concerns(before: &TaskState, after: &TaskState) -> bool {
    let told = |state: &TaskState| (state.status, state.cancel_requested, state.information_requested);
    told(before) != told(after)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use TaskStatus::{Accepted, OnHold, Received};

    /// What is published of this.
    const CASES: &[(&str, &[&[TaskStatus]])] = &[
        ("entered-in-error", &[&[EnteredInError, EnteredInError]]),
        ("requested", &[&[Requested, Requested], &[Requested, EnteredInError]]),
        (
            "in-progress",
            &[&[Requested, Received], &[Accepted, Completed], &[Rejected, OnHold], &[Requested, Cancelled]],
        ),
        ("completed", &[&[Completed, Rejected], &[Completed, Failed, Cancelled], &[Completed, EnteredInError]]),
        ("cancelled", &[&[Cancelled, Cancelled]]),
        ("failed", &[&[Failed, Rejected], &[Failed, Cancelled]]),
        ("rejected", &[&[Rejected, Rejected], &[Rejected, Cancelled]]),
    ];

    fn printed() -> String {
        let mut out = String::from("| the parent is | where its parts are, for example |\n|---|---|\n");
        for (status, examples) in CASES {
            let one = |parts: &&[TaskStatus]| parts.iter().map(|s| s.code()).collect::<Vec<_>>().join(" + ");
            let examples: Vec<String> = examples.iter().map(one).collect();
            out.push_str(&format!("| {status} | {} |\n", examples.join("; ")));
        }
        out
    }

    #[test]
    fn the_published_examples_are_what_follows() {
        for (status, examples) in CASES {
            for parts in *examples {
                assert_eq!(status_of(parts.iter().copied()).code(), *status, "{parts:?}");
            }
        }
        let readme = include_str!("README.md");
        assert!(readme.contains(&printed()), "src/domain/README.md must hold:\n{}", printed());
    }

    #[test]
    fn what_is_asked_of_all_that_are_open_is_asked_of_the_parent() {
        let asked = TaskState { cancel_requested: true, ..TaskState::new() };
        let ended = TaskState { status: Rejected, ..TaskState::new() };
        assert!(follow(&[asked, ended]).cancel_requested);
        assert!(!follow(&[asked, TaskState::new()]).cancel_requested);
        assert!(!follow(&[ended, ended]).cancel_requested);
        let asks = TaskState { information_requested: true, ..TaskState::new() };
        assert!(follow(&[asks, ended]).information_requested);
        assert!(concerns(&TaskState::new(), &asks) && concerns(&asks, &asked) && !concerns(&asked, &asked));
    }

    fn any_state() -> impl Strategy<Value = TaskState> {
        (proptest::sample::select(TaskStatus::ALL), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(status, cancel_requested, information_requested, sent)| TaskState {
                status,
                cancel_requested,
                information_requested,
                sent,
                ..TaskState::new()
            },
        )
    }

    proptest! {
        #[test]
        fn the_order_of_the_parts_means_nothing(
            (parts, shuffled) in proptest::collection::vec(any_state(), 0..8)
                .prop_flat_map(|parts| (Just(parts.clone()), Just(parts).prop_shuffle())),
        ) {
            prop_assert_eq!(follow(&parts), follow(&shuffled));
        }

        #[test]
        fn it_has_ended_when_and_only_when_all_of_them_have(parts in proptest::collection::vec(any_state(), 0..8)) {
            let parent = follow(&parts);
            let ended = parts.iter().all(|part| part.status.is_terminal());
            prop_assert_eq!(parent.status.is_terminal(), ended);
            prop_assert!(parent.next_deadline().is_none() && parent.transport.is_none());
            prop_assert_eq!(parent.status == Completed, ended && parts.iter().any(|part| part.status == Completed));
        }
    }
}

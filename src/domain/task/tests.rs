use proptest::prelude::*;

use super::*;

fn state(status: TaskStatus) -> TaskState {
    TaskState { status, ..TaskState::new() }
}

fn answer(from: TaskStatus, to: TaskStatus) -> Result<TaskState, Refusal> {
    state(from).answer(Answer { to, has_reason: true, aware: true })
}

/// The table of design section 7 as it is published.
fn printed() -> String {
    let mut out = String::from(
        "| from | a provider may set | while cancellation is asked for, also | a referrer's revoked | a referrer's new version |\n\
         |---|---|---|---|---|\n",
    );
    for from in TaskStatus::ALL {
        let plain = state(*from).allowed(By::Provider);
        let asked = TaskState { cancel_requested: true, ..state(*from) }.allowed(By::Provider);
        let more: Vec<_> = asked.into_iter().filter(|to| !plain.contains(to)).collect();
        let codes = |l: &[TaskStatus]| l.iter().map(|c| c.code()).collect::<Vec<_>>().join(", ");
        let unsent = state(*from);
        let sent = TaskState { sent: true, ..unsent };
        let revoked = |state: TaskState| match state.asked(Ask::Cancel) {
            Ok(next) if next.cancel_requested => "asks for cancellation".to_owned(),
            Ok(next) if next == state => "changes nothing".to_owned(),
            Ok(next) => next.status.to_string(),
            Err(_) => "refused".to_owned(),
        };
        let revoked = match (revoked(unsent), revoked(sent)) {
            (a, b) if a == b => a,
            (a, b) => format!("{a} if nothing was sent, else {b}"),
        };
        let amend = if sent.asked(Ask::Amend).is_ok() { "goes to the provider" } else { "refused" };
        out.push_str(&format!("| {from} | {} | {} | {revoked} | {amend} |\n", codes(&plain), codes(&more)));
    }
    out
}

#[test]
fn the_published_table_is_the_one_in_force() {
    let readme = include_str!("../README.md");
    assert!(readme.contains(&printed()), "src/domain/README.md must hold:\n{}", printed());
}

#[test]
fn a_provider_cannot_cancel_by_itself_but_confirms_and_may_finish_first() {
    assert!(answer(InProgress, Cancelled).is_err());
    let asked = TaskState { cancel_requested: true, ..state(InProgress) };
    assert!(asked.answer(Answer { to: Cancelled, has_reason: true, aware: true }).is_ok());
    assert!(asked.answer(Answer { to: Completed, has_reason: false, aware: true }).is_ok());
    let refused = asked.answer(Answer { to: InProgress, has_reason: false, aware: true });
    assert_eq!(refused.map(|s| s.cancel_requested), Ok(false));
}

#[test]
fn a_refusal_needs_a_reason_and_names_what_is_allowed() {
    let bare = state(Received).answer(Answer { to: Rejected, has_reason: false, aware: true });
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

#[test]
fn a_referrer_cancels_at_once_only_what_nobody_has() {
    assert_eq!(state(Requested).asked(Ask::Cancel).map(|s| s.status), Ok(Cancelled));
    let sent = TaskState { sent: true, ..state(Requested) };
    let asked = sent.asked(Ask::Cancel).unwrap();
    assert_eq!((asked.status, asked.cancel_requested), (Requested, true));
    assert_eq!(asked.asked(Ask::Amend), Err(Refusal::CancelPending));
    assert_eq!(asked.asked(Ask::Retract).map(|s| (s.status, s.cancel_requested)), Ok((EnteredInError, false)));
    assert_eq!(asked.never_there().status, Cancelled);
    assert_eq!(sent.never_there(), sent, "what nobody wants to cancel is not");
    let told = state(Completed).asked(Ask::Cancel).map_err(|e| e.to_string()).unwrap_err();
    assert!(told.contains("completed") && told.contains("can only become entered-in-error"), "{told}");
}

#[test]
fn an_answer_that_crosses_the_request_does_not_refuse_it() {
    let asked = TaskState { cancel_requested: true, ..state(Accepted) };
    let crossed = asked.answer(Answer { to: InProgress, has_reason: false, aware: false }).unwrap();
    assert_eq!((crossed.status, crossed.cancel_requested), (InProgress, true));
    let outcome = crossed.answer(Answer { to: Completed, has_reason: false, aware: false }).unwrap();
    assert_eq!((outcome.status, outcome.cancel_requested), (Completed, false));
}

#[test]
fn to_give_it_to_somebody_answers_nothing() {
    let asked = TaskState { cancel_requested: true, information_requested: true, sent: true, ..state(Received) };
    assert_eq!(asked.given(), Ok(asked), "whoever gives it to a colleague does not refuse to cancel it");
    assert!(state(Requested).given().unwrap().sent, "somebody has it");
    assert!(state(Completed).given().is_err());
}

#[test]
fn a_provider_asks_for_more_until_it_is_answered() {
    let asked = state(Accepted).told(By::Provider, true).unwrap();
    assert!(asked.information_requested);
    assert!(asked.told(By::Provider, false).unwrap().information_requested, "only the referrer answers that");
    assert!(!asked.told(By::Referrer, false).unwrap().information_requested);
    assert!(asked.answer(Answer { to: InProgress, has_reason: false, aware: true }).unwrap().information_requested);
    assert_eq!(state(Rejected).told(By::Provider, true), Err(Refusal::Ended { status: Rejected }));
}

/// What either side may do, in any order.
#[derive(Debug, Clone)]
enum Move {
    Answers(TaskStatus, bool),
    Asks(Ask),
    Writes(bool, bool),
    Delivered,
    NeverThere,
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        4 => (proptest::sample::select(TaskStatus::ALL), any::<bool>()).prop_map(|(to, aware)| Move::Answers(to, aware)),
        3 => proptest::sample::select(&[Ask::Cancel, Ask::Cancel, Ask::Amend, Ask::Retract][..]).prop_map(Move::Asks),
        2 => any::<(bool, bool)>().prop_map(|(provider, asks)| Move::Writes(provider, asks)),
        1 => Just(Move::Delivered),
        1 => Just(Move::NeverThere),
    ]
}

proptest! {
    /// However answers, cancellation, retraction and messages cross: there is one end, an outcome that was reached stays,
    /// and whoever refuses a cancellation goes on from where the Task was.
    #[test]
    fn however_they_cross_there_is_one_end(moves in proptest::collection::vec(any_move(), 1..40)) {
        let mut at = TaskState::new();
        for step in moves {
            let before = at;
            match step {
                Move::Answers(to, aware) => {
                    let Ok(next) = at.answer(Answer { to, has_reason: true, aware }) else { continue };
                    prop_assert_eq!(next.status, to);
                    if before.cancel_requested && !to.is_terminal() {
                        prop_assert_eq!(next.cancel_requested, !aware);
                        prop_assert!(state(before.status).answer(Answer { to, has_reason: true, aware }).is_ok(),
                            "what refuses a cancellation would have been legal without it");
                    }
                    prop_assert!(to != Cancelled || before.cancel_requested);
                    at = next;
                }
                Move::Asks(ask) => {
                    let Ok(next) = at.asked(ask) else { continue };
                    prop_assert!(!before.sent || next.status != Cancelled || before.status == Cancelled,
                        "what was sent is not cancelled over the provider's head");
                    if ask == Ask::Cancel && before.sent {
                        prop_assert_eq!(next.status, before.status, "the status stays until the provider answers");
                    }
                    prop_assert!(ask != Ask::Retract || next.status == EnteredInError);
                    at = next;
                }
                Move::Writes(provider, asks) => {
                    let by = if provider { By::Provider } else { By::Referrer };
                    let Ok(next) = at.told(by, asks) else { continue };
                    prop_assert_eq!((next.status, next.cancel_requested), (before.status, before.cancel_requested));
                    prop_assert!(provider || next.sent == before.sent);
                    at = next;
                }
                // the lane is bookkeeping: it happens only while the Task is open
                Move::Delivered if !at.status.is_terminal() => at = at.delivered(),
                Move::NeverThere => at = at.never_there(),
                Move::Delivered => {}
            }
            if before.status.is_terminal() && at.status != before.status {
                prop_assert_eq!(at.status, EnteredInError);
            }
            if at.status.is_terminal() {
                prop_assert!(!at.cancel_requested && !at.information_requested);
            }
        }
    }

    #[test]
    fn nothing_but_entered_in_error_leaves_an_end(
        from in proptest::sample::select(TaskStatus::ALL),
        to in proptest::sample::select(TaskStatus::ALL),
        cancel_requested: bool, has_reason: bool,
    ) {
        let start = TaskState { cancel_requested, ..state(from) };
        if let Ok(next) = start.answer(Answer { to, has_reason, aware: true }) {
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
            at = at.answer(Answer { to: *step, has_reason: true, aware: true })
                .map_err(|r| TestCaseError::fail(r.to_string()))?;
        }
        prop_assert!(way.is_empty() || at.status == to);
    }
}

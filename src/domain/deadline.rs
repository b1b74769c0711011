//! Until when a referral must have arrived, been opened and been answered, and what it means when that passes.
//!
//! The times are reckoned once, when the Task is made and when it reaches its provider, and stand with the Task. A time that is
//! kept goes, one that passes is told once and goes.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    event::Event,
    ids::InboxId,
    status::{TaskStatus, TransportStatus},
    task::TaskState,
    working_days::{Within, WorkingTime},
};

/// How long a provider has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Escalation {
    /// From the referral's arrival until the provider has taken it by any answer of its own.
    pub acknowledge_within: Within,
    /// From the referral's arrival until the provider has said what becomes of it.
    pub answer_within: Within,
}

/// What the route that decided says of the time a provider has. It is kept with the Task: whatever the routes say later, this was
/// promised.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct RouteTerms {
    /// Until it has taken the referral; none: as its inbox says.
    #[serde(skip_serializing_if = "Option::is_none", with = "stored")]
    pub acknowledge_within: Option<Within>,
    /// Until it has said what becomes of it; none: as its inbox says.
    #[serde(skip_serializing_if = "Option::is_none", with = "stored")]
    pub answer_within: Option<Within>,
    /// The inbox that gets the referral as well when that has not been said in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escalate_to: Option<InboxId>,
}

/// The times that stand with a Task; those that do not count, or no longer, are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deadlines {
    /// It must have arrived by then.
    pub deliver_by: Option<Timestamp>,
    /// The provider must have opened it by then.
    pub open_by: Option<Timestamp>,
    /// The provider must have answered it by then.
    pub answer_by: Option<Timestamp>,
}

impl Default for Escalation {
    /// Two working days to open it, ten to answer it.
    fn default() -> Self {
        Self { acknowledge_within: Within::WorkingDays(2), answer_within: Within::WorkingDays(10) }
    }
}

// === impl Escalation ===

impl Escalation {
    /// The same where a route says something else.
    #[must_use]
    pub fn under(self, terms: &RouteTerms) -> Self {
        Self {
            acknowledge_within: terms.acknowledge_within.unwrap_or(self.acknowledge_within),
            answer_within: terms.answer_within.unwrap_or(self.answer_within),
        }
    }
}

// === impl RouteTerms ===

impl RouteTerms {
    /// Whether the route says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// As it is stored; none where the route says nothing.
    pub fn to_text(&self) -> Option<String> {
        if self.is_empty() { None } else { serde_json::to_string(self).ok() }
    }

    /// What was stored.
    ///
    /// # Errors
    /// Where it is not what [`RouteTerms::to_text`] gives.
    pub fn of_text(text: Option<&str>) -> Result<Self, serde_json::Error> {
        text.map_or_else(|| Ok(Self::default()), serde_json::from_str)
    }
}

/// How a time that somebody has lies in the store: `2wd`, `3600s` or `never`.
mod stored {
    use jiff::SignedDuration;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use super::Within;

    #[expect(clippy::ref_option, reason = "the shape that serde asks for")]
    pub(super) fn serialize<S: Serializer>(within: &Option<Within>, serializer: S) -> Result<S::Ok, S::Error> {
        within.map(|within| within.to_string()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Within>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        let read = match text.split_at_checked(text.len().saturating_sub(1)) {
            _ if text == "never" => Some(Within::Never),
            Some((days, "d")) => days.strip_suffix('w').and_then(|days| days.parse().ok()).map(Within::WorkingDays),
            Some((seconds, "s")) => seconds.parse().ok().map(|s| Within::Span(SignedDuration::from_secs(s))),
            _ => None,
        };
        read.map(Some).ok_or_else(|| D::Error::custom("not a time that somebody has"))
    }
}

// === impl Deadlines ===

impl Deadlines {
    /// Those of a Task made at `at`, whose record is told after `delayed_after` that it has not arrived.
    pub fn made(at: Timestamp, delayed_after: SignedDuration) -> Self {
        let deliver_by = Some(at.checked_add(delayed_after).unwrap_or(Timestamp::MAX));
        Self { deliver_by, ..Self::default() }
    }

    fn arrived(at: Timestamp, escalation: &Escalation, time: &WorkingTime) -> Self {
        Self {
            deliver_by: None,
            open_by: time.deadline(at, escalation.acknowledge_within),
            answer_by: time.deadline(at, escalation.answer_within),
        }
    }
}

// === impl TaskState ===

/// Whether this says what becomes of the referral, and not only that it is there.
pub const fn is_answer(status: TaskStatus) -> bool {
    !matches!(status, TaskStatus::Requested | TaskStatus::Received)
}

impl TaskState {
    /// Whether the referral has ever reached its provider, as far as that is known.
    pub const fn has_arrived(&self) -> bool {
        use TransportStatus::{CopyUnreadable, HandedOver, NotOpened, Overdue};
        !matches!(self.status, TaskStatus::Requested)
            || self.deadlines.open_by.is_some()
            || self.deadlines.answer_by.is_some()
            || matches!(self.transport, Some(HandedOver | NotOpened | Overdue | CopyUnreadable))
    }

    /// The same with the times of a referral that arrives at `at`. To be called on the state before it has; where it has arrived
    /// before, the times that stand go on.
    #[must_use]
    pub fn awaited(self, at: Timestamp, escalation: &Escalation, time: &WorkingTime) -> Self {
        let deadlines = if self.has_arrived() {
            Deadlines { deliver_by: None, ..self.deadlines }
        } else {
            Deadlines::arrived(at, escalation, time)
        };
        Self { deadlines, ..self }
    }

    /// When it must be looked at next; never, where nothing is awaited. While the provider's copy cannot be read, nobody can say
    /// that there is no answer.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.transport == Some(TransportStatus::CopyUnreadable) {
            return None;
        }
        let Deadlines { deliver_by, open_by, answer_by } = self.deadlines;
        [deliver_by, open_by, answer_by].into_iter().flatten().min()
    }

    /// What has passed at `now`: the events in their order, each with the state after it, and the state after all. The times that
    /// passed are gone from that state, so that each is told once.
    pub fn lapse(mut self, now: Timestamp) -> (Vec<(Event, TaskState)>, Self) {
        if self.status.is_terminal() {
            return (vec![], Self { deadlines: Deadlines::default(), ..self });
        }
        if self.transport == Some(TransportStatus::CopyUnreadable) {
            return (vec![], self);
        }
        let passed = |by: Option<Timestamp>| by.is_some_and(|by| by <= now);
        let mut told = Vec::new();
        if passed(self.deadlines.deliver_by) {
            self.deadlines.deliver_by = None;
            // whatever else is said of the way there says more
            if !self.has_arrived() && self.transport.is_none() {
                self = self.with_transport(Some(TransportStatus::DeliveryDelayed));
                told.push((Event::DeliveryDelayed, self));
            }
        }
        for (transport, event) in
            [(TransportStatus::NotOpened, Event::NotOpened), (TransportStatus::Overdue, Event::Overdue)]
        {
            let by = match transport {
                TransportStatus::NotOpened => &mut self.deadlines.open_by,
                _ => &mut self.deadlines.answer_by,
            };
            if passed(*by) {
                *by = None;
                if self.transport != Some(TransportStatus::Undeliverable) {
                    self = self.with_transport(Some(transport));
                }
                told.push((event, self));
            }
        }
        (told, self)
    }

    /// The state once the provider's copy has been gone or unreadable for too long. What had been told of its silence is told anew
    /// when the copy is back and still says nothing.
    #[must_use]
    pub fn copy_unreadable(self, now: Timestamp) -> Self {
        let mut deadlines = self.deadlines;
        match self.transport {
            Some(TransportStatus::NotOpened) => deadlines.open_by = Some(now),
            Some(TransportStatus::Overdue) => deadlines.answer_by = Some(now),
            _ => {}
        }
        Self { deadlines, ..self.with_transport(Some(TransportStatus::CopyUnreadable)) }
    }

    /// The state once the copy can be read again.
    #[must_use]
    pub fn copy_readable(self) -> Self {
        if self.transport == Some(TransportStatus::CopyUnreadable) { self.with_transport(None) } else { self }
    }

    /// The same with another transport status. That somebody had seen to the one before says nothing of this one.
    #[must_use]
    pub fn with_transport(self, transport: Option<TransportStatus>) -> Self {
        Self { transport, seen_to: self.seen_to && transport == self.transport, ..self }
    }

    /// The deadlines that an answer leaves: it opens the referral, and may say what becomes of it.
    pub(super) fn deadlines_after(&self, answer: TaskStatus) -> Deadlines {
        let answer_by = if is_answer(answer) { None } else { self.deadlines.answer_by };
        Deadlines { deliver_by: None, open_by: None, answer_by }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::task::Answer;

    const DELAYED: SignedDuration = SignedDuration::from_mins(15);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn made() -> TaskState {
        TaskState { deadlines: Deadlines::made(at("2026-03-02T09:00:00Z"), DELAYED), ..TaskState::new() }
    }

    fn awaited() -> TaskState {
        made().awaited(at("2026-03-02T10:00:00Z"), &Escalation::default(), &WorkingTime::default())
    }

    fn names(told: &[(Event, TaskState)]) -> Vec<&'static str> {
        told.iter().map(|(event, _)| event.name()).collect()
    }

    #[test]
    fn what_does_not_arrive_is_told_once() {
        let (told, state) = made().lapse(at("2026-03-02T09:14:59Z"));
        assert!(told.is_empty());
        let (told, after) = state.lapse(at("2026-03-02T09:15:00Z"));
        assert_eq!(names(&told), ["delivery-delayed"]);
        assert_eq!(after.transport, Some(TransportStatus::DeliveryDelayed));
        assert_eq!(after.next_deadline(), None);
        assert!(after.lapse(at("2026-04-02T09:15:00Z")).0.is_empty());
        // a try that failed has told it already
        let tried = made().with_transport(Some(TransportStatus::DeliveryDelayed));
        assert!(tried.lapse(at("2026-03-03T09:00:00Z")).0.is_empty());
    }

    #[test]
    fn not_opened_then_overdue_then_answered() {
        let state = awaited().handed_over();
        assert_eq!(state.next_deadline(), Some(at("2026-03-04T10:00:00Z")));
        let (told, state) = state.lapse(at("2026-03-04T10:00:00Z"));
        assert_eq!(names(&told), ["not-opened"]);
        assert_eq!(state.transport, Some(TransportStatus::NotOpened));
        let (told, state) = state.lapse(at("2026-03-16T10:00:00Z"));
        assert_eq!(names(&told), ["overdue"]);
        let received = state.answer(Answer { to: TaskStatus::Received, has_reason: false, aware: true }).unwrap();
        assert_eq!(received.transport, Some(TransportStatus::Overdue), "opened, but still without an answer");
        let accepted = received.answer(Answer { to: TaskStatus::Accepted, has_reason: false, aware: true }).unwrap();
        assert_eq!((accepted.transport, accepted.next_deadline()), (None, None));
    }

    #[test]
    fn our_own_received_opens_nothing_but_the_providers_does() {
        let delivered = awaited().delivered();
        assert_eq!(delivered.status, TaskStatus::Received);
        assert_eq!(names(&delivered.lapse(at("2026-03-04T10:00:00Z")).0), ["not-opened"]);
        let noted = delivered.answer(Answer { to: TaskStatus::Received, has_reason: false, aware: true }).unwrap();
        assert_eq!(noted.next_deadline(), Some(at("2026-03-16T10:00:00Z")), "only the answer is awaited");
    }

    #[test]
    fn what_was_given_to_somebody_is_still_to_be_opened() {
        let given = awaited().handed_over().given().unwrap();
        assert_eq!(given.deadlines.open_by, Some(at("2026-03-04T10:00:00Z")));
        let (told, late) = given.lapse(at("2026-03-04T10:00:00Z"));
        assert_eq!(names(&told), ["not-opened"]);
        assert_eq!(
            late.given().unwrap().transport,
            Some(TransportStatus::NotOpened),
            "nor does it hide that it was not"
        );
    }

    #[test]
    fn both_that_passed_while_nobody_looked_are_told_in_order() {
        let (told, state) = awaited().handed_over().lapse(at("2027-01-01T00:00:00Z"));
        assert_eq!(names(&told), ["not-opened", "overdue"]);
        assert_eq!(state.transport, Some(TransportStatus::Overdue));
    }

    #[test]
    fn arriving_again_gives_no_new_time() {
        let state = awaited().handed_over();
        let again = state.awaited(at("2026-03-20T10:00:00Z"), &Escalation::default(), &WorkingTime::default());
        assert_eq!(again, state);
        let (_, late) = state.lapse(at("2026-03-04T10:00:00Z"));
        assert_eq!(
            late.handed_over().transport,
            Some(TransportStatus::NotOpened),
            "nor does it hide that it was not opened"
        );
    }

    #[test]
    fn while_a_copy_cannot_be_read_nobody_is_said_to_be_silent() {
        let (_, late) = awaited().delivered().lapse(at("2026-03-04T10:00:00Z"));
        let lost = TaskState { seen_to: true, ..late }.copy_unreadable(at("2026-03-05T10:00:00Z"));
        assert_eq!((lost.transport, lost.seen_to), (Some(TransportStatus::CopyUnreadable), false));
        assert_eq!(lost.next_deadline(), None);
        assert!(lost.lapse(at("2027-03-05T10:00:00Z")).0.is_empty());
        let found = lost.copy_readable();
        assert_eq!(found.transport, None);
        assert_eq!(names(&found.lapse(at("2026-03-06T10:00:00Z")).0), ["not-opened"]);
    }

    #[test]
    fn what_the_route_says_comes_before_what_the_inbox_says() {
        let terms = RouteTerms {
            acknowledge_within: Some(Within::Span(SignedDuration::from_hours(4))),
            answer_within: None,
            escalate_to: Some("triage".parse().unwrap()),
        };
        let escalation = Escalation::default().under(&terms);
        assert_eq!(escalation.acknowledge_within, Within::Span(SignedDuration::from_hours(4)));
        assert_eq!(escalation.answer_within, Within::WorkingDays(10));
        let text = terms.to_text().unwrap();
        assert_eq!(text, r#"{"acknowledge-within":"14400s","escalate-to":"triage"}"#);
        assert_eq!(RouteTerms::of_text(Some(&text)).unwrap(), terms);
        for within in [Within::Never, Within::WorkingDays(3)] {
            let terms = RouteTerms { answer_within: Some(within), ..RouteTerms::default() };
            assert_eq!(RouteTerms::of_text(terms.to_text().as_deref()).unwrap(), terms);
        }
        assert_eq!(RouteTerms::default().to_text(), None);
        assert_eq!(RouteTerms::of_text(None).unwrap(), RouteTerms::default());
        assert!(RouteTerms::of_text(Some(r#"{"answer-within":"soon"}"#)).is_err());
    }

    proptest! {
        #[test]
        fn every_time_is_told_at_most_once_and_none_after_the_end(
            steps in proptest::collection::vec((0i64..400_000, 0usize..4, proptest::sample::select(TaskStatus::ALL)), 1..40),
        ) {
            let mut now = at("2026-03-02T09:00:00Z");
            let mut state = made();
            let mut told = std::collections::BTreeMap::<&str, u32>::new();
            for (seconds, what, to) in steps {
                now = now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
                match what {
                    0 => {
                        let (events, after) = state.lapse(now);
                        for (event, _) in &events {
                            *told.entry(event.name()).or_default() += 1;
                        }
                        prop_assert!(events.is_empty() || !state.status.is_terminal());
                        prop_assert!(after.next_deadline().is_none_or(|next| next > now));
                        prop_assert!(after.lapse(now).0.is_empty());
                        state = after;
                    }
                    1 => state = state.awaited(now, &Escalation::default(), &WorkingTime::default()).handed_over(),
                    2 => state = state.awaited(now, &Escalation::default(), &WorkingTime::default()).delivered(),
                    _ => if let Ok(after) = state.answer(Answer { to, has_reason: true, aware: true }) {
                        prop_assert!(after.deadlines.open_by.is_none());
                        prop_assert!(!is_answer(to) || after.next_deadline().is_none());
                        state = after;
                    }
                }
            }
            prop_assert!(told.values().all(|times| *times == 1), "{told:?}");
        }
    }
}

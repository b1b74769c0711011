//! The journal's events: everything that can happen to a referral. Their names serve log, metric and timeline alike.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    ids::{InboxId, ProviderId, SystemId, TaskId},
    lane::Side,
    status::TaskStatus,
};

/// What the journal names as the route of a test of Onward's own (`onboarding`), which no rule has sent. No rule may be called so, and what a
/// sender writes gets into no route's name: nobody else's referral is taken for one.
pub const TEST_ROUTE: &str = "test of the connection, sent past all routes";

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// Onward itself.
    Onward,
    /// The originating system.
    System(SystemId),
    /// The provider.
    Provider(ProviderId),
    /// A person who keeps Onward running: the operating-system user at the command line, or the account of somebody who has logged in.
    Operator(String),
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Onward => f.write_str("onward"),
            Self::System(id) => write!(f, "system:{id}"),
            Self::Provider(id) => write!(f, "provider:{id}"),
            Self::Operator(user) => write!(f, "operator:{user}"),
        }
    }
}

/// An inbox that took nothing when a referral was to go there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct InsteadOf {
    /// The inbox.
    pub inbox: InboxId,
    /// Why it took nothing: `closed` or `full`.
    pub why: String,
}

/// One thing that happened to one Task. Codes and ids only: free text stays in the FHIR resources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// Accepted from the originating system, validated, routed and stored.
    Submitted {
        /// The route that decided; none when the triage inbox took it.
        route: Option<String>,
        /// The version of the route set.
        route_set: String,
        /// Where it was sent.
        inbox: InboxId,
        /// The inbox that the route names, in whose place that one stands.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instead_of: Option<InsteadOf>,
        /// The Task of another referral of the same person that was open there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        beside: Option<TaskId>,
    },
    /// The provider's system confirmed that it has the referral.
    Delivered {
        /// The inbox it was delivered through.
        inbox: InboxId,
        /// The provider's own id of the Task, where it gave one.
        remote: Option<String>,
        /// The confirmation was an answer that came before our own bookkeeping.
        by_answer: bool,
    },
    /// Listed in a worklist the provider reads.
    Listed {
        /// The inbox whose worklist it is.
        inbox: InboxId,
    },
    /// Put into the queue that the provider's own consumer reads.
    HandedOver {
        /// The inbox whose queue it is.
        inbox: InboxId,
    },
    /// Not delivered in the time promised; still being tried.
    DeliveryDelayed,
    /// The provider did not open it in time.
    NotOpened,
    /// The provider did not say in time what becomes of it.
    Overdue,
    /// It was not answered in time, and another inbox has got the referral as well.
    Escalated {
        /// That inbox.
        to: InboxId,
        /// The Task there.
        task: TaskId,
    },
    /// The delivery became a dead letter.
    Undeliverable {
        /// Why, in words for the IT worklist.
        why: String,
    },
    /// The provider changed the Task.
    Answered {
        /// The status before.
        from: TaskStatus,
        /// The status now.
        to: TaskStatus,
        /// The provider's system skipped this step; it follows from the next.
        implied: bool,
    },
    /// A part of it has changed, and so has it.
    Followed {
        /// The part.
        part: TaskId,
        /// What that is now.
        status: TaskStatus,
        /// What this is now.
        to: TaskStatus,
    },
    /// A part of it has changed, and it has not.
    PartChanged {
        /// The part.
        part: TaskId,
        /// What that is now.
        status: TaskStatus,
    },
    /// The referrer wrote the referral anew.
    Amended {
        /// The version of the ServiceRequest.
        request: u64,
        /// The version of the order that was made of it for this target alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order: Option<u64>,
        /// What was read from its record for it, as `Type/id`.
        with: Vec<String>,
        /// It tells of a risk that the referral did not tell of: a Flag that came with it, or that it carries in itself.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        risk: bool,
    },
    /// The referrer asked for cancellation of what was sent.
    CancellationRequested {
        /// The version of the ServiceRequest.
        request: u64,
        /// The version of the order that was made of it for this target alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order: Option<u64>,
    },
    /// The referrer cancelled what had not been sent, or what the provider turned out not to have.
    Cancelled {
        /// The version of the ServiceRequest, where the referrer's change brought it about.
        request: Option<u64>,
    },
    /// The referrer took it back as entered in error.
    Retracted {
        /// The version of the ServiceRequest.
        request: u64,
        /// The version of the order that was made of it for this target alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order: Option<u64>,
    },
    /// One side wrote to the other.
    Message {
        /// The Communication.
        communication: Uuid,
        /// What was read from the sender's record for it, as `Type/id`.
        with: Vec<String>,
        /// It asks the referrer for more.
        asks: bool,
        /// It tells of a risk of which the referral did not tell, as [`Event::Amended`] does.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        risk: bool,
    },
    /// What the referrer changed or wrote has reached the provider.
    PassedOn {
        /// The seq of the event.
        of: u64,
    },
    /// The provider's copy says something the table does not allow; it was not taken.
    AnswerRefused {
        /// Why.
        why: String,
    },
    /// The provider's copy is gone, or has been unreadable for too long; it is looked for all the same.
    CopyUnreadable {
        /// Why.
        why: String,
    },
    /// The provider's copy can be read again.
    CopyReadable,
    /// The originating record has it.
    WrittenBack {
        /// The seq of the event that was written.
        of: u64,
        /// The record's own id of the Task.
        remote: String,
    },
    /// The originating ServiceRequest was not found or may not be read; the Task was written all the same.
    RecordNotFound {
        /// Why.
        why: String,
    },
    /// The originating ServiceRequest was set to `completed`.
    RequestClosed,
    /// The record did not let the originating ServiceRequest be set to `completed`.
    RequestNotClosed {
        /// Why.
        why: String,
    },
    /// The write-back became a dead letter.
    WriteBackFailed {
        /// The seq of the event that could not be written.
        of: u64,
        /// Why, in words for the IT worklist.
        why: String,
    },
    /// A later status is already in the record, or the Task has ended: this message was not sent.
    Superseded {
        /// The lane it was in.
        side: Side,
        /// The seq of the event it was about.
        of: u64,
    },
    /// An operator had a dead letter tried again.
    Replayed {
        /// The lane it is in.
        side: Side,
        /// The seq of the event it is about.
        of: u64,
    },
    /// An operator has put a dead letter away: it will never be sent.
    Discarded {
        /// The lane it is in.
        side: Side,
        /// The seq of the event it is about.
        of: u64,
        /// Why, in the operator's words.
        reason: String,
    },
    /// An operator has seen to a line of the IT worklist.
    SeenTo {
        /// What the line was about.
        line: String,
        /// What was done, in the operator's words.
        reason: String,
    },
}

impl Event {
    /// Every name that an event has.
    pub const NAMES: [&str; 30] = [
        "submitted",
        "delivered",
        "listed",
        "handed-over",
        "delivery-delayed",
        "not-opened",
        "overdue",
        "escalated",
        "undeliverable",
        "answered",
        "followed",
        "part-changed",
        "amended",
        "cancellation-requested",
        "cancelled",
        "retracted",
        "message",
        "passed-on",
        "answer-refused",
        "copy-unreadable",
        "copy-readable",
        "written-back",
        "record-not-found",
        "request-closed",
        "request-not-closed",
        "write-back-failed",
        "superseded",
        "replayed",
        "discarded",
        "seen-to",
    ];

    /// The event's name in journal, log, metric and timeline.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Submitted { .. } => "submitted",
            Self::Delivered { .. } => "delivered",
            Self::Listed { .. } => "listed",
            Self::HandedOver { .. } => "handed-over",
            Self::DeliveryDelayed => "delivery-delayed",
            Self::NotOpened => "not-opened",
            Self::Overdue => "overdue",
            Self::Escalated { .. } => "escalated",
            Self::Undeliverable { .. } => "undeliverable",
            Self::Answered { .. } => "answered",
            Self::Followed { .. } => "followed",
            Self::PartChanged { .. } => "part-changed",
            Self::Amended { .. } => "amended",
            Self::CancellationRequested { .. } => "cancellation-requested",
            Self::Cancelled { .. } => "cancelled",
            Self::Retracted { .. } => "retracted",
            Self::Message { .. } => "message",
            Self::PassedOn { .. } => "passed-on",
            Self::AnswerRefused { .. } => "answer-refused",
            Self::CopyUnreadable { .. } => "copy-unreadable",
            Self::CopyReadable => "copy-readable",
            Self::WrittenBack { .. } => "written-back",
            Self::RecordNotFound { .. } => "record-not-found",
            Self::RequestClosed => "request-closed",
            Self::RequestNotClosed { .. } => "request-not-closed",
            Self::WriteBackFailed { .. } => "write-back-failed",
            Self::Superseded { .. } => "superseded",
            Self::Replayed { .. } => "replayed",
            Self::Discarded { .. } => "discarded",
            Self::SeenTo { .. } => "seen-to",
        }
    }

    /// Why it happened, where it tells that.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Undeliverable { why }
            | Self::AnswerRefused { why }
            | Self::CopyUnreadable { why }
            | Self::RecordNotFound { why }
            | Self::RequestNotClosed { why }
            | Self::WriteBackFailed { why, .. } => Some(why),
            _ => None,
        }
    }

    /// Whether it tells of a risk: a Flag that came with it, or that it carries in itself. Those of before `risk` was kept tell it by what came.
    pub fn tells_of_risk(&self) -> bool {
        match self {
            Self::Amended { with, risk, .. } | Self::Message { with, risk, .. } => {
                *risk || with.iter().any(|one| one.starts_with("Flag/"))
            }
            _ => false,
        }
    }

    /// Whether a test of Onward's own begins with it.
    pub fn begins_own_test(&self) -> bool {
        matches!(self, Self::Submitted { route: Some(route), .. } if route == TEST_ROUTE)
    }

    /// Whether the Task's content changes with it, so that it makes a new version and goes to the originating record.
    pub const fn changes_task(&self) -> bool {
        matches!(
            self,
            Self::Submitted { .. }
                | Self::Delivered { .. }
                | Self::Listed { .. }
                | Self::HandedOver { .. }
                | Self::DeliveryDelayed
                | Self::NotOpened
                | Self::Overdue
                | Self::CopyUnreadable { .. }
                | Self::CopyReadable
                | Self::Undeliverable { .. }
                | Self::Answered { .. }
                | Self::Followed { .. }
                | Self::Amended { .. }
                | Self::CancellationRequested { .. }
                | Self::Cancelled { .. }
                | Self::Retracted { .. }
                | Self::Message { .. }
        )
    }

    /// Whether the other side must hear of it even where the Task has ended: it tells that very end.
    pub const fn tells_the_end(&self) -> bool {
        matches!(self, Self::Retracted { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_among_all_of_them() {
        let source = include_str!("event.rs");
        let (_, from) = source.split_once("pub const fn name").unwrap_or_default();
        let (arms, _) = from.split_once("pub fn why").unwrap_or_default();
        let named: Vec<&str> = arms.lines().filter_map(|line| line.split_once("=> \"")?.1.split('"').next()).collect();
        assert_eq!(named, Event::NAMES);
    }

    #[test]
    fn the_name_is_what_the_journal_stores() {
        let event = Event::Superseded { side: Side::WriteBack, of: 3 };
        let json = serde_json::to_value(&event).unwrap_or_default();
        assert_eq!(json.as_object().and_then(|o| o.keys().next()).map(String::as_str), Some(event.name()));
        assert_eq!(serde_json::from_value::<Event>(json).ok(), Some(event));
    }

    #[test]
    fn a_risk_is_told_by_what_came_or_by_what_was_found_in_it() {
        let read = |text: &str| serde_json::from_str::<Event>(text).unwrap_or(Event::Overdue).tells_of_risk();
        let id = Uuid::nil();
        for (with, more, risk) in [("", "", false), ("\"Flag/1\"", "", true), ("\"Patient/1\"", ",\"risk\":true", true)]
        {
            // as journals have it that were written before it was kept
            assert_eq!(
                read(&format!(r#"{{"message":{{"communication":"{id}","with":[{with}],"asks":false{more}}}}}"#)),
                risk
            );
            assert_eq!(read(&format!(r#"{{"amended":{{"request":2,"with":[{with}]{more}}}}}"#)), risk);
        }
    }
}

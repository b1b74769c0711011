//! What delivery and write-back each do for their side: send one message, and say what came of it.

use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;

use super::endpoints::Heard;
use crate::{
    domain::{Event, Side, task::TaskState},
    store::{Append, AppendError, Appended, LaneHead, NewEvent, Poll, StoreError, TaskRecord},
};

/// What came of one try to carry a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Carried {
    /// Where it was tried, without credentials; empty where nothing had to be sent.
    pub endpoint: String,
    /// What came of it.
    pub outcome: Outcome,
}

impl Carried {
    /// It was not done within `limit`, which is the other side's doing.
    pub(super) fn too_slow(limit: Duration) -> Self {
        let (cause, why) = (Cause::Away, format!("not done within {limit:?}"));
        Self { endpoint: String::new(), outcome: Outcome::Deferred { cause, retry_after: None, memory: None, why } }
    }

    /// What it says of the endpoint.
    pub(super) fn heard(&self) -> Heard {
        match &self.outcome {
            Outcome::Deferred { cause: Cause::Away, retry_after, why, .. }
            | Outcome::NotSent { cause: Cause::Away, retry_after, why } => {
                Heard::Failure { retry_after: *retry_after, why: why.clone() }
            }
            Outcome::Deferred { cause: Cause::Throttled, retry_after, why, .. }
            | Outcome::NotSent { cause: Cause::Throttled, retry_after, why } => {
                Heard::Throttled { retry_after: *retry_after, why: why.clone() }
            }
            _ if self.endpoint.is_empty() => Heard::Nothing,
            _ => Heard::Answer,
        }
    }
}

/// See [`Carried`].
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The other side has it.
    Arrived {
        /// The other side's own id of the Task.
        remote: String,
        /// What the carrier wants to know next time.
        memory: Option<String>,
        /// What else is worth a line in the journal.
        notes: Vec<Event>,
    },
    /// Not now; perhaps later.
    Deferred {
        /// Whose doing it is.
        cause: Cause,
        /// What the other side asked for.
        retry_after: Option<SignedDuration>,
        /// What the carrier wants to know next time.
        memory: Option<String>,
        /// Why, without content.
        why: String,
    },
    /// Not now, and certainly nothing of it has arrived.
    NotSent {
        /// Whose doing it is.
        cause: Cause,
        /// What the other side asked for.
        retry_after: Option<SignedDuration>,
        /// Why, without content.
        why: String,
    },
    /// Never, unless a person sees to it.
    Refused {
        /// Why, without content.
        why: String,
    },
    /// Never, and not sent: where it would go is not where it belongs.
    Astray {
        /// Why, without content.
        why: String,
    },
    /// It need not be sent any more.
    Superseded,
}

/// Why a message was not taken for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The endpoint did not answer, or says that it cannot: that counts towards its breaker.
    Away,
    /// The endpoint wants a pause.
    Throttled,
    /// The endpoint is well; it is about this message, or about us.
    Message,
}

/// A try as the retry policy takes it.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// See [`Outcome::Arrived`].
    Arrived {
        /// The other side's own id of the Task.
        remote: String,
        /// What else is worth a line in the journal.
        notes: Vec<Event>,
    },
    /// To be tried again.
    Deferred {
        /// Whether it is by now late enough to tell the record.
        delayed: bool,
        /// Whether it was tried; otherwise its endpoint is left alone at present.
        tried: bool,
    },
    /// A dead letter.
    Dead {
        /// Why.
        why: String,
        /// Whether it is not where it belongs, which is told as an alert of its own.
        astray: bool,
    },
    /// See [`Outcome::Superseded`].
    Superseded,
}

/// What a verdict means for the Task.
#[derive(Debug, Clone)]
pub struct Meaning {
    /// What goes into the journal.
    pub events: Vec<NewEvent>,
    /// The state after it.
    pub state: TaskState,
    /// How the provider's copy is watched from now on.
    pub poll: Option<Poll>,
}

/// Carries the messages of one side's lanes.
#[async_trait]
pub trait Carrier: Send + Sync + 'static {
    /// Which side.
    fn side(&self) -> Side;

    /// Sends the message at the head of a lane. `again` says that an earlier try may have reached the other side.
    ///
    /// # Errors
    /// [`StoreError`] where it could not find out what to send; the message keeps its place.
    async fn carry(&self, task: &TaskRecord, head: &LaneHead, again: bool) -> Result<Carried, StoreError>;

    /// What the verdict means for the Task as it is now, which may be later than what was carried.
    ///
    /// # Errors
    /// [`StoreError`] where the Task cannot be read.
    async fn meaning(&self, task: &TaskRecord, head: &LaneHead, verdict: &Verdict) -> Result<Meaning, StoreError>;

    /// Stores a step that was decided on the Task as it stands here, with all that it brings with it.
    ///
    /// # Errors
    /// [`AppendError`]
    async fn commit(&self, task: &TaskRecord, step: Append) -> Result<Appended, AppendError>;
}

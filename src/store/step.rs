//! What happens after that: a step in a Task's life, and what it means for its lanes.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::{AskedBy, Attempt, NewEvent, NewResource, NewTask, TaskRecord};
use crate::domain::{Alert, Side, TaskId, WakeUp, measured::FirstAnswer, task::TaskState};

/// A step in a Task's life: events, the state after them, and what they settle, in one commit.
#[derive(Debug, Clone)]
pub struct Append {
    /// The Task.
    pub task: TaskId,
    /// The seq the decision was made on; anything newer makes it [`Moved`](super::AppendError::Moved).
    pub expected_seq: u64,
    /// What happened, in order; may be empty where only a try is recorded.
    pub events: Vec<NewEvent>,
    /// What is stored with it. A version that is there already, or a key that is taken, makes it [`Moved`](super::AppendError::Moved).
    pub resources: Vec<NewVersion>,
    /// Further Tasks of the same referral.
    pub tasks: Vec<NewTask>,
    /// It holds only if certainly nothing was sent: no try to deliver is under way or came to an end that nobody noted. Otherwise
    /// it is [`LeaseLost`](super::AppendError::LeaseLost).
    pub unsent: bool,
    /// The state after the events.
    pub state: TaskState,
    /// Whether this was a side's own change, so that older `If-Match` values are stale from here on.
    pub answers: bool,
    /// What it means for a lane.
    pub settle: Option<Settle>,
    /// The try that led to it.
    pub attempt: Option<Attempt>,
    /// How the provider's copy is to be watched from now on.
    pub poll: Option<Poll>,
    /// A dead letter of this Task to be tried again at once; [`Moved`](super::AppendError::Moved) if it is not, or no longer, one.
    pub rearm: Option<Uuid>,
    /// A dead letter of this Task to be put away, never to be sent; [`Moved`](super::AppendError::Moved) likewise.
    pub discard: Option<Uuid>,
    /// What somebody must be told of it.
    pub alerts: Vec<Alert>,
    /// By what the client knows the request that it comes of.
    pub asked_by: Option<AskedBy>,
}

impl Append {
    /// A step decided on a Task as it stands, which changes nothing yet. It comes of the request that is worked on.
    pub fn to(task: &TaskRecord) -> Self {
        Self {
            task: task.id,
            expected_seq: task.seq,
            events: vec![],
            resources: vec![],
            tasks: vec![],
            unsent: false,
            state: task.state,
            answers: false,
            settle: None,
            attempt: None,
            poll: None,
            rearm: None,
            discard: None,
            alerts: vec![],
            asked_by: AskedBy::current(),
        }
    }

    /// What is noted with it at `now`, where it is the first answer of the Task that it is stored over. A parent has none of its own.
    pub fn first_answer(&self, before: &TaskRecord, now: Timestamp) -> Option<FirstAnswer> {
        let events = self.events.iter().map(|new| &new.event);
        FirstAnswer::of(&before.state, before.created, events, now).filter(|_| !before.is_parent())
    }
}

/// A version of a resource of a referral that comes after the referral itself: a new version of its ServiceRequest, or a message.
#[derive(Debug, Clone)]
pub struct NewVersion {
    /// The resource.
    pub resource: NewResource,
    /// Its `meta.versionId`.
    pub version: u64,
    /// The Task whose parties alone it concerns; none where it is all of the referral's.
    pub task: Option<TaskId>,
    /// By what it is known when it comes again.
    pub key: Option<ResourceKey>,
}

/// By what a message is known when it comes again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceKey {
    /// Who wrote it.
    pub author: String,
    /// Unique for one author.
    pub key: String,
    /// SHA-256 of its content as it came.
    pub digest: [u8; 32],
}

/// What became of the message at the head of a lane.
#[derive(Debug, Clone)]
pub struct Settle {
    /// The lane.
    pub side: Side,
    /// The message's seq.
    pub seq: u64,
    /// The lease under which it was sent. None where an answer settles it from outside: the lane is then free, and a message that
    /// is settled already, or dead, is settled by that.
    pub lease: Option<u64>,
    /// For how long the lane is leased for its next message, if that is due.
    pub extend: Duration,
    /// What became of it.
    pub outcome: Settled,
}

/// See [`Settle`].
#[derive(Debug, Clone)]
pub enum Settled {
    /// It arrived, or need not any more.
    Done {
        /// What the adapter wants to know at the lane's next message.
        memory: Option<String>,
    },
    /// It is tried again from this moment on.
    Deferred {
        /// The moment.
        until: Timestamp,
        /// What the adapter wants to know then.
        memory: Option<String>,
        /// Why.
        why: String,
    },
    /// It was not tried, and is not before this moment, as long as its endpoint's breaker keeps messages back. Where that lets
    /// them through by now, it is due at once: whoever settled it so may have been held up since it looked.
    Waits {
        /// The moment.
        until: Timestamp,
    },
    /// It will not be tried again by itself.
    Dead {
        /// Why.
        why: String,
    },
}

/// How a provider's copy of a Task is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poll {
    /// What the adapter knows of the copy; what it knew before, if none.
    pub memory: Option<String>,
    /// When to look next; never again if none.
    pub at: Option<Timestamp>,
}

/// What an [`Append`] led to.
#[derive(Debug, Clone)]
pub struct Appended {
    /// The Task after it.
    pub task: TaskRecord,
    /// Wake-ups for other lanes, leased to the caller, who publishes them. None for a message behind a head that waits.
    pub wake_ups: Vec<WakeUp>,
    /// The next message of the settled lane, if one is due; the lease begins anew. Otherwise it has ended.
    pub next: Option<LaneHead>,
}

/// The message at the head of a lane.
#[derive(Debug, Clone)]
pub struct LaneHead {
    /// The outbox row.
    pub message: Uuid,
    /// The seq of the event it carries.
    pub seq: u64,
    /// Tries so far.
    pub attempts: u32,
    /// When the event happened.
    pub since: Timestamp,
    /// Highest seq that this lane ever sent.
    pub cursor: u64,
    /// What the adapter left here last time.
    pub memory: Option<String>,
}

/// What a lane looks like to a worker that was woken.
#[derive(Debug)]
pub enum LaneState {
    /// Another worker has it and will go on with it.
    Busy,
    /// Nothing to send, or nothing due yet.
    Idle,
    /// It is the caller's until the lease ends.
    Leased {
        /// To be shown when settling.
        lease: u64,
        /// What to send.
        head: LaneHead,
        /// The Task.
        task: Box<TaskRecord>,
    },
}

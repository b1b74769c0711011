//! Lanes at work: a worker that is woken leases a lane, has its messages carried one after another, and settles each with what
//! came of it in one commit. Delivery and write-back differ only in their [`Carrier`].

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::{
    broker::Delivery,
    domain::{
        Alert, AlertKind, Event, Side, TaskId,
        retry::{Next, RetryPolicy},
        task::TaskState,
    },
    store::{
        Append, AppendError, Attempt, LaneHead, LaneState, NewEvent, Poll, Settle, Settled, Store, StoreError,
        TaskRecord,
    },
};

pub mod consumers;
pub mod dead;
pub mod relay;
pub mod scheduler;

pub use relay::Relay;

/// A lane is its worker's for so long.
pub const LANE_LEASE: Duration = Duration::from_secs(150);
/// No carrier takes longer than this over one message: a try that went on beyond its lease could cross the next one.
const CARRY_MAX: Duration = Duration::from_secs(120);
/// How often a step is decided again because something came in between, before the lane is left to its next wake-up.
const MOVED_MAX: usize = 20;

/// What came of one try to carry a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Carried {
    /// Where it was tried, without credentials; empty where nothing had to be sent.
    pub endpoint: String,
    /// What came of it.
    pub outcome: Outcome,
}

impl Carried {
    fn too_slow() -> Self {
        let why = format!("not done within {CARRY_MAX:?}");
        Self { endpoint: String::new(), outcome: Outcome::Deferred { retry_after: None, memory: None, why } }
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
        /// What the other side asked for.
        retry_after: Option<SignedDuration>,
        /// What the carrier wants to know next time.
        memory: Option<String>,
        /// Why, without content.
        why: String,
    },
    /// Never, unless a person sees to it.
    Refused {
        /// Why, without content.
        why: String,
    },
    /// It need not be sent any more.
    Superseded,
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
    },
    /// A dead letter.
    Dead {
        /// Why.
        why: String,
    },
    /// See [`Outcome::Superseded`].
    Superseded,
}

/// The key that every try to send one lane message bears, over all retries and replays.
pub fn idempotency_key(task: TaskId, seq: u64) -> String {
    format!("{task}-{seq}")
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
}

/// The worker of one side's lanes.
pub struct Worker {
    store: Arc<dyn Store>,
    relay: Relay,
    retry: RetryPolicy,
    carrier: Arc<dyn Carrier>,
}

impl Worker {
    /// A worker that has `carrier` carry.
    pub fn new(store: Arc<dyn Store>, relay: Relay, retry: RetryPolicy, carrier: Arc<dyn Carrier>) -> Self {
        Self { store, relay, retry, carrier }
    }

    /// Takes one wake-up: works the lane until nothing in it is due, then acknowledges. A wake-up that brings nothing new is
    /// acknowledged at once; one that met a store that is away goes back to its queue.
    pub async fn take(&self, delivery: Delivery) {
        metrics::counter!("onward_messages_consumed_total", "lane" => self.carrier.side().code()).increment(1);
        match self.work(delivery.wake_up.task).await {
            Ok(()) => delivery.ack().await,
            Err(error) => {
                tracing::warn!(task.id = %delivery.wake_up.task, %error, "a lane waits for the store");
                // not at once: the store needs the time more than the broker does
                tokio::time::sleep(Duration::from_millis(500)).await;
                delivery.release().await;
            }
        }
    }

    async fn work(&self, id: TaskId) -> Result<(), StoreError> {
        let side = self.carrier.side();
        let leased = self.store.lease_lane(id, side, LANE_LEASE).await?;
        let LaneState::Leased { lease, head, task } = leased else { return Ok(()) };
        let worked = self.work_through(*task, head, lease).await;
        if worked.is_err() {
            // whoever is woken next need not wait for the lease; if this fails too, it does
            let _ = self.store.release_lane(id, side, lease).await;
        }
        worked
    }

    async fn work_through(&self, mut task: TaskRecord, mut head: LaneHead, lease: u64) -> Result<(), StoreError> {
        // the first lease of a lane is numbered 1: under any other, someone may have sent and not come to say so
        let mut again = lease > 1 || head.attempts > 0;
        loop {
            let at = self.store.now();
            let begun = tokio::time::Instant::now();
            let carrying = self.carrier.carry(&task, &head, again);
            let carried = match tokio::time::timeout(CARRY_MAX, carrying).await {
                Ok(Ok(carried)) => carried,
                // it will be no more readable next time: a person has to see to it
                Ok(Err(StoreError::Corrupt(why))) => {
                    Carried { endpoint: String::new(), outcome: Outcome::Refused { why } }
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => Carried::too_slow(),
            };
            let attempt = attempt(self.carrier.side(), &head, at, begun.elapsed(), &carried);
            match self.settle(task, lease, &head, carried, attempt).await? {
                Some((next_task, next_head)) => (task, head) = (next_task, next_head),
                None => return Ok(()),
            }
            again = head.attempts > 0;
        }
    }

    /// Stores what came of a try; says what the lane has to send next under the same lease.
    async fn settle(
        &self,
        mut task: TaskRecord,
        lease: u64,
        head: &LaneHead,
        carried: Carried,
        attempt: Option<Attempt>,
    ) -> Result<Option<(TaskRecord, LaneHead)>, StoreError> {
        let (verdict, outcome) = self.judge(head, carried.outcome);
        let side = self.carrier.side();
        for _ in 0..MOVED_MAX {
            let meaning = self.carrier.meaning(&task, head, &verdict).await?;
            let names: Vec<_> = meaning.events.iter().map(|e| e.event.name()).collect();
            let appended = self
                .store
                .append(Append {
                    events: meaning.events,
                    state: meaning.state,
                    settle: Some(Settle {
                        side,
                        seq: head.seq,
                        lease: Some(lease),
                        extend: LANE_LEASE,
                        outcome: outcome.clone(),
                    }),
                    attempt: attempt.clone(),
                    poll: meaning.poll,
                    alerts: self.alerts(&task, head, &verdict),
                    ..Append::to(&task)
                })
                .await;
            match appended {
                Ok(appended) => {
                    self.tell(&task, head, &verdict, &outcome, &names);
                    self.relay.publish_all(appended.wake_ups).await;
                    if matches!(outcome, Settled::Deferred { .. }) {
                        self.relay.look_again();
                    }
                    return Ok(appended.next.map(|next| (appended.task, next)));
                }
                Err(AppendError::Moved) => match self.store.task(task.id).await? {
                    Some(now) => task = now,
                    None => return Ok(None),
                },
                Err(AppendError::LeaseLost) => return Ok(None),
                Err(AppendError::Store(error)) => return Err(error),
            }
        }
        Err(StoreError::Unavailable("the task moves on faster than it can be settled".into()))
    }

    fn judge(&self, head: &LaneHead, outcome: Outcome) -> (Verdict, Settled) {
        match outcome {
            Outcome::Arrived { remote, memory, notes } => {
                (Verdict::Arrived { remote, notes }, Settled::Done { memory })
            }
            Outcome::Superseded => (Verdict::Superseded, Settled::Done { memory: None }),
            Outcome::Refused { why } => (Verdict::Dead { why: why.clone() }, Settled::Dead { why }),
            Outcome::Deferred { retry_after, memory, why } => {
                let now = self.store.now();
                match self.retry.next(head.attempts + 1, head.since, now, retry_after, fastrand::f64()) {
                    Next::At(until) => {
                        let delayed = self.retry.is_delayed(head.since, now);
                        (Verdict::Deferred { delayed }, Settled::Deferred { until, memory, why })
                    }
                    Next::GiveUp => {
                        let why = format!("given up after {} tries; the last: {why}", head.attempts + 1);
                        (Verdict::Dead { why: why.clone() }, Settled::Dead { why })
                    }
                }
            }
        }
    }

    /// What somebody must be told, in the same commit.
    fn alerts(&self, task: &TaskRecord, head: &LaneHead, verdict: &Verdict) -> Vec<Alert> {
        let Verdict::Dead { why } = verdict else { return vec![] };
        let (to, side) = (self.destination(task), self.carrier.side());
        let text = format!("a {side} message will not be tried again by itself: {why}");
        vec![Alert::new(AlertKind::DeadLetter, to, head.since, text).of_task(task.id).of_message(head.message)]
    }

    fn destination<'t>(&self, task: &'t TaskRecord) -> &'t str {
        match self.carrier.side() {
            Side::Delivery => task.inbox.as_str(),
            Side::WriteBack => task.system.as_str(),
        }
    }

    fn tell(&self, task: &TaskRecord, head: &LaneHead, verdict: &Verdict, outcome: &Settled, events: &[&str]) {
        let lane = self.carrier.side().code();
        let result = match verdict {
            Verdict::Arrived { .. } => "arrived",
            Verdict::Deferred { .. } => "deferred",
            Verdict::Dead { .. } => "dead",
            Verdict::Superseded => "superseded",
        };
        metrics::counter!("onward_lane_messages_total", "lane" => lane, "result" => result).increment(1);
        for event in events {
            metrics::counter!("onward_events_total", "event" => (*event).to_owned()).increment(1);
        }
        let to = self.destination(task);
        match (verdict, outcome) {
            (Verdict::Dead { why }, _) => {
                metrics::counter!("onward_alerts_total", "alert" => "dead-letter").increment(1);
                tracing::error!(task.id = %task.id, lane, to, message.seq = head.seq, why, "a dead letter: see `onward dead list`");
            }
            // once a message at its first failure, and once when the record is told of the delay
            (_, Settled::Deferred { why, .. }) if head.attempts == 0 || !events.is_empty() => {
                tracing::warn!(task.id = %task.id, lane, to, message.seq = head.seq, why, "not sent; it is tried again");
            }
            _ => tracing::debug!(task.id = %task.id, lane, to, message.seq = head.seq, result, "a lane message"),
        }
    }
}

fn attempt(side: Side, head: &LaneHead, at: Timestamp, duration: Duration, carried: &Carried) -> Option<Attempt> {
    let (result, why) = match &carried.outcome {
        Outcome::Arrived { .. } => ("arrived", None),
        Outcome::Deferred { why, .. } => ("deferred", Some(why.clone())),
        Outcome::Refused { why } => ("refused", Some(why.clone())),
        Outcome::Superseded => return None,
    };
    let endpoint = carried.endpoint.clone();
    Some(Attempt { side, of: head.seq, at, duration, endpoint, result: result.into(), why })
}

/// A version of a Task as JSON.
///
/// # Errors
/// [`StoreError`] where it is not there or not JSON.
pub async fn task_body(store: &dyn Store, task: TaskId, version: u64) -> Result<Value, StoreError> {
    let found = store.resource("Task", task.0, Some(version)).await?;
    let (stored, _) = found.ok_or_else(|| StoreError::Corrupt(format!("task {task} has no version {version}")))?;
    serde_json::from_str(&stored.body).map_err(|e| StoreError::Corrupt(format!("task {task}: {e}")))
}

//! Lanes at work: a worker that is woken leases a lane, has its messages carried one after another, and settles each with what
//! came of it in one commit. Delivery and write-back differ only in their [`Carrier`].

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    broker::Delivery,
    domain::{Actor, Destination, Event, Side, TaskId, WakeUp, retry::Next},
    store::{
        Append, AppendError, Attempt, Claim, LaneHead, LaneState, NewEvent, Settle, Settled, Shares, Store, StoreError,
        TaskRecord, is_own_test,
    },
};

mod aside;
mod carrier;
pub mod consumers;
pub mod dead;
pub mod endpoints;
pub mod heart;
pub mod prober;
pub mod relay;
pub mod scheduler;
mod told;

pub use carrier::{Carried, Carrier, Cause, Meaning, Outcome, Verdict};
pub use endpoints::Endpoints;
pub use relay::Relay;

use endpoints::{Entry, Place};
use told::count_astray;

/// A lane is its worker's for so long.
pub const LANE_LEASE: Duration = Duration::from_secs(150);
/// No carrier goes on over one message for longer than this after the lease was asked for: a try that went on beyond its lease
/// could cross the next one.
const CARRY_MAX: Duration = Duration::from_secs(120);
/// A lane that could not be given back is given back again after this long.
const RELEASE_AGAIN: Duration = Duration::from_millis(500);
/// How often it is looked while something is being carried whether this process may still send.
const LIFE_EVERY: Duration = Duration::from_millis(500);
/// How often a step is decided again because something came in between, before the lane is left to its next wake-up.
const MOVED_MAX: usize = 20;
/// How often a wake-up is looked at again because its endpoint's breaker changed in between.
const SHUT_MAX: usize = 3;
/// Why the message of a test that came to nothing is not kept as a dead letter.
const OF_TEST: &str = "it is of a test: another one is sent instead";
/// How many messages a probe looks at, where the first ones turn out not to need sending.
const PROBE_MESSAGES: usize = 3;
/// A message that a probe was begun with is anyone's again after this long.
const PROBE_LEASE: Duration = Duration::from_secs(30);

/// The key that every try to send one lane message bears, over all retries and replays.
pub fn idempotency_key(task: TaskId, seq: u64) -> String {
    format!("{task}-{seq}")
}

/// The worker of one side's lanes.
pub struct Worker {
    store: Arc<dyn Store>,
    relay: Relay,
    endpoints: Endpoints,
    carrier: Arc<dyn Carrier>,
    let_go: CancellationToken,
}

/// What became of a wake-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// There is nothing more to do about it.
    Done,
    /// This process is ending; it is another's.
    Back,
}

impl Worker {
    /// A worker that has `carrier` carry.
    pub fn new(store: Arc<dyn Store>, relay: Relay, endpoints: Endpoints, carrier: Arc<dyn Carrier>) -> Self {
        Self { store, relay, endpoints, carrier, let_go: CancellationToken::new() }
    }

    /// One that lets go of what it has in hand, at once, when `let_go` says so: its lanes are anybody's again.
    pub fn letting_go(self, let_go: CancellationToken) -> Self {
        Self { let_go, ..self }
    }

    /// Takes one wake-up that came through the queue of `through`: works the lane until nothing in it is due, then acknowledges.
    /// A wake-up that brings nothing new is acknowledged at once; one that met a store that is away goes back to its queue.
    pub async fn take(&self, delivery: Delivery, through: &Destination) {
        metrics::counter!("onward_messages_consumed_total", "lane" => self.carrier.side().code()).increment(1);
        match self.receive(&delivery.wake_up, through).await {
            Ok(Taken::Done) => delivery.ack().await,
            Ok(Taken::Back) => delivery.release().await,
            Err(_) if self.let_go.is_cancelled() => delivery.release().await,
            Err(error) => {
                tracing::warn!(task.id = %delivery.wake_up.task, %error, "a lane waits for the store");
                // not at once: the store needs the time more than the broker does
                tokio::time::sleep(Duration::from_millis(500)).await;
                delivery.release().await;
            }
        }
    }

    async fn receive(&self, wake_up: &WakeUp, through: &Destination) -> Result<Taken, StoreError> {
        if wake_up.side != self.carrier.side() {
            // it is about a lane that this worker does not work; whoever does is woken by the scheduler
            let why = "a wake-up came through the queue of another side";
            tracing::error!(task.id = %wake_up.task, queue = %through, why, "not sent");
            count_astray();
            let alert = self.astray(&through.to, why).of_task(wake_up.task).of_message(wake_up.message);
            self.store.raise(vec![alert]).await?;
            return Ok(Taken::Done);
        }
        for _ in 0..SHUT_MAX {
            match self.endpoints.enter(through).await {
                Entry::Go(mut place) => {
                    self.work(wake_up, through, &mut place).await?;
                    return Ok(Taken::Done);
                }
                Entry::Ending => return Ok(Taken::Back),
                Entry::Shut => {}
            }
            if self.put_aside(wake_up.message, through).await? {
                return Ok(Taken::Done);
            }
            // either the breaker is not what it was a moment ago, or the message is so old that something is to be said
            self.endpoints.refresh().await?;
            if self.endpoints.is_shut(through) {
                self.tell_late(wake_up.task, through).await?;
                return Ok(Taken::Done);
            }
        }
        Ok(Taken::Done)
    }

    /// Asks with one message whether an endpoint is back. `place` decides about its breaker.
    ///
    /// # Errors
    /// [`StoreError`] where the store is away; then it is asked again later.
    pub async fn probe(&self, of: &Destination, mut place: Place) -> Result<(), StoreError> {
        // not again with what failed in this outage already, as long as there is something else: the fault may be in it
        let earlier = [place.outage(), self.store.now()];
        for early in earlier {
            for _ in 0..PROBE_MESSAGES {
                let shares = Shares::one_of(of.clone(), early);
                let claim = Claim { shares, lease: PROBE_LEASE, republish_after: PROBE_LEASE };
                let Some(wake_up) = self.store.claim_due(claim).await?.wake_ups.pop() else { break };
                self.work(&wake_up, of, &mut place).await?;
                if !place.is_probe() {
                    self.relay.look_again();
                    return Ok(());
                }
            }
        }
        place.nothing_to_ask_with().await;
        self.relay.look_again();
        Ok(())
    }

    /// Which side it works.
    pub fn side(&self) -> Side {
        self.carrier.side()
    }

    /// The endpoints it goes by.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    async fn work(&self, wake_up: &WakeUp, through: &Destination, place: &mut Place) -> Result<(), StoreError> {
        let side = self.carrier.side();
        let life = self.store.life().ok_or_else(silenced)?;
        let asked = Instant::now();
        let leased = self.store.lease_lane(wake_up.task, side, LANE_LEASE).await?;
        let LaneState::Leased { lease, head, task } = leased else { return Ok(()) };
        let own = self.own(&task);
        let worked = if own == *through && own.to == wake_up.to {
            self.work_through(*task, head, (lease, life), asked, place).await
        } else {
            tracing::error!(task.id = %task.id, queue = %through, own = %own, "a wake-up came by another's way");
            self.lay_down(*task, head, lease).await
        };
        if worked.is_err() {
            self.release(wake_up.task, lease).await;
        }
        worked
    }

    /// Makes a message a dead letter whose wake-up did not come by its own way.
    async fn lay_down(&self, task: TaskRecord, head: LaneHead, lease: u64) -> Result<(), StoreError> {
        // the endpoint is found by the Task, so it would not go astray; but somebody has been at the queues
        let why = "its wake-up was for, or came through the queue of, another destination than its own".to_owned();
        let outcome = Settled::Dead { why: why.clone() };
        match self.settle(task, lease, &head, Verdict::Dead { why, astray: true }, outcome, None).await? {
            Some((task, next)) => self.leave(&task, &next, lease, &self.own(&task)).await,
            None => Ok(()),
        }
    }

    /// Gives a lane back, so that whoever is woken next need not wait for its lease. While the store takes no writes nobody else
    /// could work the lane either: so it is tried until it does, or the lease is over.
    async fn release(&self, task: TaskId, lease: u64) {
        let until = Instant::now() + LANE_LEASE;
        while self.store.release_lane(task, self.carrier.side(), lease).await.is_err() {
            if Instant::now() >= until || self.let_go.is_cancelled() {
                return;
            }
            tokio::time::sleep(RELEASE_AGAIN).await;
        }
    }

    /// Carries one message after another. The lease was asked for at `asked`, in `life`: its end is reckoned from there, because
    /// this process may have been stopped before it heard that it has it.
    async fn work_through(
        &self,
        mut task: TaskRecord,
        mut head: LaneHead,
        (lease, life): (u64, u64),
        mut asked: Instant,
        place: &mut Place,
    ) -> Result<(), StoreError> {
        // the first lease of a lane is numbered 1: under any other, someone may have sent and not come to say so
        let mut again = lease > 1 || head.attempts > 0;
        loop {
            let at = self.store.now();
            let begun = Instant::now();
            if self.store.life() != Some(life) {
                return Err(silenced());
            }
            if begun >= asked + CARRY_MAX {
                // nothing was begun: that is no try, and says nothing of the other side
                return Err(StoreError::Unavailable("it said too late that the lane is ours".to_owned()));
            }
            let carrying = until(asked + CARRY_MAX, life, &*self.store, self.carrier.carry(&task, &head, again));
            // what the other side makes of it is unknown: whoever takes the lane next asks before sending again
            let carried = tokio::select! {
                biased;
                carried = carrying => carried,
                () = self.let_go.cancelled() => return Err(StoreError::Unavailable("the service ends".into())),
                () = self.is_over(life) => return Err(silenced()),
            };
            let carried = match carried {
                Some(Ok(carried)) => carried,
                // it will be no more readable next time: a person has to see to it
                Some(Err(StoreError::Corrupt(why))) => {
                    Carried { endpoint: String::new(), outcome: Outcome::Refused { why } }
                }
                Some(Err(error)) => return Err(error),
                None if self.store.life() != Some(life) => return Err(silenced()),
                None => Carried::too_slow(CARRY_MAX),
            };
            let attempt = attempt(self.carrier.side(), &head, at, begun.elapsed(), &carried);
            place.heard(task.id, &carried.heard()).await;
            let (verdict, outcome) = self.judge(&head, carried.outcome, place);
            // with the next message the lease begins anew
            asked = Instant::now();
            match self.settle(task, lease, &head, verdict, outcome, attempt).await? {
                Some((next_task, next_head)) => (task, head) = (next_task, next_head),
                None => return Ok(()),
            }
            if !place.one_more().await {
                let own = self.own(&task);
                return self.leave(&task, &head, lease, &own).await;
            }
            again = head.attempts > 0;
        }
    }

    /// Waits until others may have taken this process, as it is in this life, for dead.
    async fn is_over(&self, life: u64) {
        while self.store.life() == Some(life) {
            tokio::time::sleep(LIFE_EVERY).await;
        }
    }

    /// Stores what came of a try; says what the lane has to send next under the same lease.
    async fn settle(
        &self,
        mut task: TaskRecord,
        lease: u64,
        head: &LaneHead,
        verdict: Verdict,
        outcome: Settled,
        attempt: Option<Attempt>,
    ) -> Result<Option<(TaskRecord, LaneHead)>, StoreError> {
        let side = self.carrier.side();
        let of_test = match &verdict {
            Verdict::Dead { .. } | Verdict::Deferred { delayed: true, .. } => {
                is_own_test(&*self.store, task.id).await?
            }
            _ => false,
        };
        let outcome = match outcome {
            // what becomes of a test is told by the test; to send another one is to try again
            Settled::Dead { .. } if of_test => Settled::Done { memory: None },
            outcome => outcome,
        };
        for _ in 0..MOVED_MAX {
            let mut meaning = self.carrier.meaning(&task, head, &verdict).await?;
            if of_test && let Settled::Done { .. } = outcome {
                let event = Event::Discarded { side, of: head.seq, reason: OF_TEST.to_owned() };
                meaning.events.push(NewEvent { event, actor: Actor::Onward, body: None, lanes: vec![] });
            }
            let names: Vec<_> = meaning.events.iter().map(|e| e.event.name()).collect();
            let step = Append {
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
                alerts: self.alerts(&task, head, &verdict, of_test),
                ..Append::to(&task)
            };
            let appended = self.carrier.commit(&task, step).await;
            match appended {
                Ok(appended) => {
                    self.tell(&task, head, &verdict, &outcome, &names, of_test);
                    self.relay.settled(head.message);
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

    fn judge(&self, head: &LaneHead, outcome: Outcome, place: &Place) -> (Verdict, Settled) {
        match outcome {
            Outcome::Arrived { remote, memory, notes } => {
                (Verdict::Arrived { remote, notes }, Settled::Done { memory })
            }
            Outcome::Superseded => (Verdict::Superseded, Settled::Done { memory: None }),
            Outcome::Refused { why } => (Verdict::Dead { why: why.clone(), astray: false }, Settled::Dead { why }),
            Outcome::Astray { why } => (Verdict::Dead { why: why.clone(), astray: true }, Settled::Dead { why }),
            Outcome::NotSent { retry_after, why, .. } => {
                self.judge_deferred(head, place, (retry_after, None, why), false)
            }
            Outcome::Deferred { retry_after, memory, why, .. } => {
                self.judge_deferred(head, place, (retry_after, memory, why), true)
            }
        }
    }

    /// A try that came to nothing; `tried`: it may have arrived all the same.
    fn judge_deferred(
        &self,
        head: &LaneHead,
        place: &Place,
        (retry_after, memory, why): (Option<jiff::SignedDuration>, Option<String>, String),
        tried: bool,
    ) -> (Verdict, Settled) {
        let (now, retry) = (self.store.now(), place.terms().retry);
        match retry.next(head.attempts + 1, head.since, now, retry_after, fastrand::f64()) {
            Next::At(until) => {
                let delayed = retry.is_delayed(head.since, now);
                (Verdict::Deferred { delayed, tried }, Settled::Deferred { until, memory, why })
            }
            Next::GiveUp => {
                let tries = head.attempts.saturating_add(1);
                let why =
                    format!("given up after {tries} {}; the last: {why}", if tries == 1 { "try" } else { "tries" });
                (Verdict::Dead { why: why.clone(), astray: false }, Settled::Dead { why })
            }
        }
    }

    /// Where a Task's lane of this side leads.
    fn own(&self, task: &TaskRecord) -> Destination {
        Destination::new(self.carrier.side(), self.destination(task))
    }

    fn destination<'t>(&self, task: &'t TaskRecord) -> &'t str {
        match self.carrier.side() {
            Side::Delivery => task.inbox.as_str(),
            Side::WriteBack => task.system.as_str(),
        }
    }
}

fn silenced() -> StoreError {
    StoreError::Unavailable("it was not reached for so long that others may send what this process held".to_owned())
}

fn attempt(side: Side, head: &LaneHead, at: Timestamp, duration: Duration, carried: &Carried) -> Option<Attempt> {
    let (result, why) = match &carried.outcome {
        Outcome::Arrived { .. } => ("arrived", None),
        Outcome::Deferred { why, .. } | Outcome::NotSent { why, .. } => ("deferred", Some(why.clone())),
        Outcome::Refused { why } | Outcome::Astray { why } => ("refused", Some(why.clone())),
        Outcome::Superseded => return None,
    };
    let endpoint = carried.endpoint.clone();
    Some(Attempt { side, of: head.seq, at, duration, endpoint, result: result.into(), why })
}

/// What a future comes to, if it does so in time and in the life it was begun in. Both are looked at before the future is let go on,
/// each time: a process that was stopped and goes on must not send what is by now another's to send.
pub(crate) async fn until<T>(end: Instant, life: u64, store: &dyn Store, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let in_time = std::future::poll_fn(|context| match Instant::now() < end && store.life() == Some(life) {
        true => future.as_mut().poll(context).map(Some),
        false => std::task::Poll::Ready(None),
    });
    tokio::time::timeout_at(end, in_time).await.ok().flatten()
}

/// A version of a Task as JSON.
///
/// # Errors
/// [`StoreError`] where it is not there or not JSON.
pub async fn task_body(store: &dyn Store, task: TaskId, version: u64) -> Result<Value, StoreError> {
    let found = store.task_version(task, version).await?;
    let body = found.ok_or_else(|| StoreError::Corrupt(format!("task {task} has no version {version}")))?;
    serde_json::from_str(&body).map_err(|e| StoreError::Corrupt(format!("task {task}: {e}")))
}

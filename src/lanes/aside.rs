//! Messages that are not sent for now because their endpoint is left alone: put aside without a try, and told of in time.

use jiff::Timestamp;
use uuid::Uuid;

use super::{LANE_LEASE, Verdict, Worker};
use crate::{
    domain::{Destination, TaskId},
    store::{LaneHead, LaneState, Settled, StoreError, TaskRecord},
};

impl Worker {
    pub(super) async fn put_aside(&self, message: Uuid, of: &Destination) -> Result<bool, StoreError> {
        let delayed_after = self.endpoints.retry(of).delayed_after.unsigned_abs();
        let aside = self.store.put_aside(message, delayed_after).await?;
        if aside {
            metrics::counter!("onward_endpoint_deferred_total", "endpoint" => of.to_string(), "by" => "breaker")
                .increment(1);
        }
        Ok(aside)
    }

    /// Lets go of a lane before its next message.
    pub(super) async fn leave(
        &self,
        task: &TaskRecord,
        next: &LaneHead,
        lease: u64,
        of: &Destination,
    ) -> Result<(), StoreError> {
        self.store.release_lane(task.id, self.carrier.side(), lease).await?;
        if self.endpoints.is_shut(of) {
            self.put_aside(next.message, of).await?;
        } else {
            // nobody may have been woken for it, because this worker went on with the lane
            self.store.rearm_published(next.message).await?;
            self.relay.look_again();
        }
        Ok(())
    }

    /// Says of a message that was put aside what is due to be said, without trying it.
    pub(super) async fn tell_late(&self, task: TaskId, of: &Destination) -> Result<(), StoreError> {
        let side = self.carrier.side();
        let LaneState::Leased { lease, head, task } = self.store.lease_lane(task, side, LANE_LEASE).await? else {
            return Ok(());
        };
        let retry = self.endpoints.retry(of);
        let (mut task, mut head) = (*task, head);
        let id = task.id;
        loop {
            let now = self.store.now();
            let after = |wait| head.since.checked_add(wait).unwrap_or(Timestamp::MAX);
            let delayed = retry.is_delayed(head.since, now);
            let (verdict, outcome) = if after(retry.give_up_after) <= now {
                let why = match head.attempts {
                    0 => "given up without a try: its endpoint was away all the time".to_owned(),
                    1 => "given up after 1 try; its endpoint is away".to_owned(),
                    tries => format!("given up after {tries} tries; its endpoint is away"),
                };
                (Verdict::Dead { why: why.clone(), astray: false }, Settled::Dead { why })
            } else {
                let until = after(if delayed { retry.give_up_after } else { retry.delayed_after });
                (Verdict::Deferred { delayed, tried: false }, Settled::Waits { until })
            };
            match self.settle(task, lease, &head, verdict, outcome, None).await {
                Ok(Some((next_task, next_head))) => (task, head) = (next_task, next_head),
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.release(id, lease).await;
                    return Err(error);
                }
            }
        }
    }
}

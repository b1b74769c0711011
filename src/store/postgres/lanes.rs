//! The lanes: what the port does about them, each call in its group or on the connection of its kind.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    PostgresStore, breakers, chore, claim, outbox,
    steps::{Step, Stepped},
    trouble, unexpected,
};
use crate::{
    domain::{Destination, Side, TaskId, breaker::Breaker},
    store::{
        Backlog, Claim, DeadLetter, DeadQuery, Due, Failing, LaneHead, LaneState, LaneStore, Poll, Shares, Store,
        StoreError, StoredBreaker, TaskRecord, counts,
    },
};

#[async_trait]
impl LaneStore for PostgresStore {
    async fn lease_lane(&self, task: TaskId, side: Side, lease: Duration) -> Result<LaneState, StoreError> {
        counts::written("lease_lane");
        match self.step(Step::Lease { task, side, lease }).await? {
            Stepped::Leased(state) => Ok(state),
            _ => Err(unexpected()),
        }
    }

    async fn release_lane(&self, task: TaskId, side: Side, lease: u64) -> Result<(), StoreError> {
        counts::written("release_lane");
        self.step(Step::Release { task, side, lease }).await.map(drop)
    }

    async fn destinations(&self) -> Result<Vec<(Side, String)>, StoreError> {
        claim::unfinished(self.searches()).await
    }

    async fn claim_due(&self, claim: Claim) -> Result<Due, StoreError> {
        self.open_for_writing()?;
        chore("claim_due");
        let claimed = claim::due(self.claimer(), &claim).await?;
        let let_go = claimed.early.iter().map(|(task, side, seq)| Step::LetGo { task: *task, side: *side, seq: *seq });
        // what cannot be let go now waits for the head of its lane, which is on its way
        futures_util::future::join_all(let_go.map(|step| self.step(step))).await;
        Ok(claimed.due)
    }

    async fn put_aside(&self, message: Uuid, age: Duration) -> Result<bool, StoreError> {
        counts::written("put_aside");
        let Some(task) = outbox::task_of(&self.chores, message).await? else { return Ok(false) };
        match self.step(Step::PutAside { task, message, age }).await? {
            Stepped::PutAside(aside) => Ok(aside),
            _ => Err(unexpected()),
        }
    }

    async fn breakers(&self) -> Result<Vec<StoredBreaker>, StoreError> {
        breakers::stored(self.reader()).await
    }

    async fn set_breaker(&self, of: &Destination, version: u64, breaker: Breaker) -> Result<bool, StoreError> {
        self.open_for_writing()?;
        chore("set_breaker");
        breakers::set(&self.chores, of, version, &breaker, self.replica.id()).await
    }

    async fn mark_published(&self, messages: Vec<Uuid>) -> Result<(), StoreError> {
        chore("mark_published");
        outbox::mark_published(&self.chores, &messages, self.now()).await
    }

    async fn rearm_published(&self, message: Uuid) -> Result<(), StoreError> {
        chore("rearm_published");
        outbox::rearm_published(&self.chores, message, self.now()).await
    }

    async fn claim_polls(&self, shares: Shares, lease: Duration) -> Result<Vec<(TaskRecord, String)>, StoreError> {
        self.open_for_writing()?;
        chore("claim_polls");
        claim::polls(self.claimer(), &shares, lease).await
    }

    async fn plan_poll(&self, task: TaskId, poll: Poll) -> Result<(), StoreError> {
        counts::written("plan_poll");
        self.step(Step::PlanPoll { task, poll }).await.map(drop)
    }

    async fn give_back_poll(&self, task: TaskId, at: Timestamp) -> Result<(), StoreError> {
        chore("give_back_poll");
        claim::give_back_poll(&self.chores, task, at, self.replica.id()).await
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, StoreError> {
        outbox::backlog(self.searches()).await
    }

    async fn failing(&self) -> Result<Vec<Failing>, StoreError> {
        outbox::failing(self.searches()).await
    }

    async fn overdue(&self) -> Result<Option<Timestamp>, StoreError> {
        outbox::overdue(self.searches(), self.now()).await
    }

    async fn find_dead(&self, query: DeadQuery) -> Result<Vec<DeadLetter>, StoreError> {
        trouble::find_dead(self.searches(), &query).await
    }

    async fn dead_letter(&self, message: Uuid) -> Result<Option<DeadLetter>, StoreError> {
        trouble::dead_letter(self.reader(), message).await
    }

    async fn dead_head(&self, message: Uuid) -> Result<Option<LaneHead>, StoreError> {
        trouble::dead_head(self.reader(), message).await
    }
}

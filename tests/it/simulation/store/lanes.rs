//! The part of the port that keeps lanes, reached the same way.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use onward::{
    domain::{Destination, Side, TaskId, breaker::Breaker},
    store::{
        Backlog, Claim, DeadLetter, DeadQuery, Due, Failing, LaneHead, LaneState, LaneStore, Poll, Shares, StoreError,
        StoredBreaker, TaskRecord,
    },
};
use uuid::Uuid;

use super::Reached;

#[async_trait]
impl LaneStore for Reached {
    async fn lease_lane(&self, task: TaskId, side: Side, lease: Duration) -> Result<LaneState, StoreError> {
        let (memory, hearts, life) = (Arc::clone(&self.memory), Arc::clone(&self.hearts), self.own());
        let effect = async move {
            let leased = memory.lease_lane(task, side, lease).await?;
            if let LaneState::Leased { lease, .. } = leased {
                hearts.take(life, task, side, lease);
            }
            Ok(leased)
        };
        self.call("lease_lane", || side.to_string(), effect).await
    }

    async fn release_lane(&self, task: TaskId, side: Side, lease: u64) -> Result<(), StoreError> {
        reach!(self, release_lane(task, side, lease))
    }

    async fn destinations(&self) -> Result<Vec<(Side, String)>, StoreError> {
        reach!(self, destinations())
    }

    async fn claim_due(&self, claim: Claim) -> Result<Due, StoreError> {
        // looking in vain is no step: it is done all the time and changes nothing
        if !self.memory.has_due(&claim) {
            self.replica.gate().await;
            return self.memory.claim_due(claim).await;
        }
        reach!(self, claim_due(claim))
    }

    async fn mark_published(&self, messages: Vec<Uuid>) -> Result<(), StoreError> {
        reach!(self, mark_published(messages))
    }

    async fn rearm_published(&self, message: Uuid) -> Result<(), StoreError> {
        reach!(self, rearm_published(message))
    }

    async fn put_aside(&self, message: Uuid, age: Duration) -> Result<bool, StoreError> {
        reach!(self, put_aside(message, age))
    }

    async fn breakers(&self) -> Result<Vec<StoredBreaker>, StoreError> {
        self.replica.gate().await;
        self.memory.breakers().await
    }

    async fn set_breaker(&self, of: &Destination, version: u64, breaker: Breaker) -> Result<bool, StoreError> {
        let of = of.clone();
        reach!(self, set_breaker(&of, version, breaker))
    }

    async fn claim_polls(&self, shares: Shares, lease: Duration) -> Result<Vec<(TaskRecord, String)>, StoreError> {
        if !self.memory.has_copies_due(&shares) {
            self.replica.gate().await;
            return Ok(Vec::new());
        }
        reach!(self, claim_polls(shares, lease))
    }

    async fn plan_poll(&self, task: TaskId, poll: Poll) -> Result<(), StoreError> {
        reach!(self, plan_poll(task, poll))
    }

    async fn give_back_poll(&self, task: TaskId, at: Timestamp) -> Result<(), StoreError> {
        reach!(self, give_back_poll(task, at))
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, StoreError> {
        reach!(self, backlog())
    }

    async fn failing(&self) -> Result<Vec<Failing>, StoreError> {
        reach!(self, failing())
    }

    async fn find_dead(&self, query: DeadQuery) -> Result<Vec<DeadLetter>, StoreError> {
        reach!(self, find_dead(query))
    }

    async fn dead_letter(&self, message: Uuid) -> Result<Option<DeadLetter>, StoreError> {
        reach!(self, dead_letter(message))
    }

    async fn dead_head(&self, message: Uuid) -> Result<Option<LaneHead>, StoreError> {
        reach!(self, dead_head(message))
    }
}

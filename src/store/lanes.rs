//! The lanes: leasing one, what waits to be sent, what was given up, and the breakers of endpoints.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Backlog, Claim, DeadLetter, DeadQuery, Due, Failing, LaneHead, LaneState, Poll, Shares, StoreError, StoredBreaker,
    TaskRecord,
};
use crate::domain::{Destination, Side, TaskId, breaker::Breaker};

/// The part of the port that carries what was stored to where it belongs. Its behaviours are in the same suite (`tests/it/store/lanes.rs`).
#[async_trait]
pub trait LaneStore: Send + Sync + 'static {
    /// Takes a lane for `lease`, if it is free and has something due.
    async fn lease_lane(&self, task: TaskId, side: Side, lease: Duration) -> Result<LaneState, StoreError>;

    /// Ends a lease early: the worker could not go on.
    async fn release_lane(&self, task: TaskId, side: Side, lease: u64) -> Result<(), StoreError>;

    /// Every inbox and originating system that unfinished messages are for.
    async fn destinations(&self) -> Result<Vec<(Side, String)>, StoreError>;

    /// Wake-ups that are due and nobody publishes, and those published longer than `republish_after` ago and not done; that time
    /// doubles with each time one is published again, up to 64 times. Destinations take turns, and each gets its share.
    async fn claim_due(&self, claim: Claim) -> Result<Due, StoreError>;

    /// The broker has confirmed these. One that was settled or deferred meanwhile stays so.
    async fn mark_published(&self, messages: Vec<Uuid>) -> Result<(), StoreError>;

    /// The broker gave this one up: it is to be published again.
    async fn rearm_published(&self, message: Uuid) -> Result<(), StoreError>;

    /// While its endpoint's breaker keeps messages back: puts this one aside, with what stands behind it in its lane, until it is
    /// `age` old or a [`super::Share::early`] claim fetches it. False, and nothing is changed, where it is that old already or the
    /// breaker lets messages through by now.
    async fn put_aside(&self, message: Uuid, age: Duration) -> Result<bool, StoreError>;

    /// Every breaker that is not closed or was not once.
    async fn breakers(&self) -> Result<Vec<StoredBreaker>, StoreError>;

    /// Stores a breaker over the version it was decided on, 0 where there was none. False where there is another by now.
    async fn set_breaker(&self, of: &Destination, version: u64, breaker: Breaker) -> Result<bool, StoreError>;

    /// Copies that are due to be looked at; each is the caller's for `lease`. Inboxes take turns, and each gets its share.
    async fn claim_polls(&self, shares: Shares, lease: Duration) -> Result<Vec<(TaskRecord, String)>, StoreError>;

    /// How a copy is watched from now on, where nothing else changed.
    async fn plan_poll(&self, task: TaskId, poll: Poll) -> Result<(), StoreError>;

    /// A copy that this process claimed and could not take is due again at `at`. Nothing happens where it is another's by now.
    async fn give_back_poll(&self, task: TaskId, at: Timestamp) -> Result<(), StoreError>;

    /// What waits and what died, by lane and destination.
    async fn backlog(&self) -> Result<Vec<Backlog>, StoreError>;

    /// What waits because its tries fail, by destination, in their order.
    async fn failing(&self) -> Result<Vec<Failing>, StoreError>;

    /// Since when the message that has been due longest waits to be handed to the broker. `None`: none does, or this store does
    /// not tell.
    async fn overdue(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    /// Dead letters, oldest first.
    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
        self.find_dead(DeadQuery { count: limit, ..DeadQuery::default() }).await
    }

    /// Dead letters that are as wished, oldest first; those of one Task in the order of their seq.
    async fn find_dead(&self, query: DeadQuery) -> Result<Vec<DeadLetter>, StoreError>;

    /// The dead letter with this id, if it is one.
    async fn dead_letter(&self, message: Uuid) -> Result<Option<DeadLetter>, StoreError>;

    /// The same as a lane would send it, with what the lane remembers.
    async fn dead_head(&self, message: Uuid) -> Result<Option<LaneHead>, StoreError>;
}

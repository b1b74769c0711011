//! The part of the port that knows what the two sides of a Task said to each other, and how far a provider has looked at that. What is said
//! lies in the journal; how far it was looked at is a number beside it, which only grows.

use async_trait::async_trait;

use super::{JournalLine, StoreError};
use crate::domain::{ProviderId, TaskId};

/// The events that one side hears of the other.
pub(super) const SAID: [&str; 4] = ["message", "amended", "retracted", "answered"];

/// The part of the port that keeps them. Its behaviours are in the same suite (`tests/it/store/heard.rs`).
#[async_trait]
pub trait HeardStore: Send + Sync + 'static {
    /// What was said of these Tasks: the lines `message`, `amended`, `retracted` and `answered` of their journals, in any order of Tasks, each Task's in its
    /// own.
    async fn said_of(&self, tasks: Vec<TaskId>) -> Result<Vec<(TaskId, JournalLine)>, StoreError>;

    /// Up to which seq of these Tasks' journals a provider has looked at what was said; nothing of those of which it has looked at nothing.
    async fn heard(&self, provider: &ProviderId, tasks: Vec<TaskId>) -> Result<Vec<(TaskId, u64)>, StoreError>;

    /// Keeps that it has looked up to there. What was looked at stays so: a smaller number changes nothing.
    async fn hear(&self, provider: &ProviderId, heard: Vec<(TaskId, u64)>) -> Result<(), StoreError>;
}

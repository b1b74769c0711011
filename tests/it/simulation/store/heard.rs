//! The part of the port that knows what was heard, reached the same way.

use std::sync::Arc;

use async_trait::async_trait;
use onward::{
    domain::{ProviderId, TaskId},
    store::{HeardStore, JournalLine, StoreError},
};

use super::Reached;

#[async_trait]
impl HeardStore for Reached {
    async fn said_of(&self, tasks: Vec<TaskId>) -> Result<Vec<(TaskId, JournalLine)>, StoreError> {
        reach!(self, said_of(tasks))
    }

    async fn heard(&self, provider: &ProviderId, tasks: Vec<TaskId>) -> Result<Vec<(TaskId, u64)>, StoreError> {
        let provider = provider.clone();
        reach!(self, heard(&provider, tasks))
    }

    async fn hear(&self, provider: &ProviderId, heard: Vec<(TaskId, u64)>) -> Result<(), StoreError> {
        let provider = provider.clone();
        reach!(self, hear(&provider, heard))
    }
}

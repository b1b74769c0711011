//! The part of the port that reads what was routed, reached the same way.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use onward::{
    domain::{ReferralId, TaskId},
    store::{JournalLine, Routed, RoutedQuery, RoutedStore, Sent, StoreError, StoredResource, TaskRecord},
};
use uuid::Uuid;

use super::Reached;

#[async_trait]
impl RoutedStore for Reached {
    async fn count_routed(&self, from: Timestamp, before: Timestamp) -> Result<u64, StoreError> {
        reach!(self, count_routed(from, before))
    }

    async fn routed(&self, query: RoutedQuery) -> Result<Vec<Routed>, StoreError> {
        reach!(self, routed(query))
    }

    async fn sent(&self, submissions: Vec<Uuid>) -> Result<Vec<Sent>, StoreError> {
        reach!(self, sent(submissions))
    }

    async fn named_at_first(&self, referrals: Vec<ReferralId>) -> Result<Vec<StoredResource>, StoreError> {
        reach!(self, named_at_first(referrals))
    }

    async fn tasks_routed(&self, query: RoutedQuery) -> Result<Vec<(Timestamp, TaskRecord)>, StoreError> {
        reach!(self, tasks_routed(query))
    }

    async fn answers_of(&self, tasks: Vec<TaskId>) -> Result<Vec<(TaskId, JournalLine)>, StoreError> {
        reach!(self, answers_of(tasks))
    }
}

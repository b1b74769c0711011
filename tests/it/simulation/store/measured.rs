//! The part of the port that keeps first answers, reached the same way.

use std::sync::Arc;

use async_trait::async_trait;
use onward::{
    domain::{
        InboxId,
        measured::{Day, FirstAnswer},
    },
    store::{MeasuredStore, StoreError},
};

use super::Reached;

#[async_trait]
impl MeasuredStore for Reached {
    async fn full_inboxes(&self, capacities: Vec<(InboxId, u32)>) -> Result<Vec<InboxId>, StoreError> {
        reach!(self, full_inboxes(capacities))
    }

    async fn answer_days(
        &self,
        inbox: &InboxId,
        after: Option<Day>,
        last: Day,
        count: usize,
    ) -> Result<Vec<(Day, u32)>, StoreError> {
        let inbox = inbox.clone();
        reach!(self, answer_days(&inbox, after, last, count))
    }

    async fn first_answers(
        &self,
        inbox: &InboxId,
        first: Day,
        last: Day,
        count: usize,
    ) -> Result<Vec<FirstAnswer>, StoreError> {
        let inbox = inbox.clone();
        reach!(self, first_answers(&inbox, first, last, count))
    }

    async fn waiting(&self) -> Result<Vec<(InboxId, u64)>, StoreError> {
        reach!(self, waiting())
    }
}

//! How long inboxes take to answer first, and how many wait in them: numbers by which no Task can be found.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::{
    InboxId,
    measured::{Day, FirstAnswer},
};

/// The part of the port that keeps them. Its behaviours are in the same suite (`tests/it/store/measured.rs`).
#[async_trait]
pub trait MeasuredStore: Send + Sync + 'static {
    /// Those of these inboxes that hold so many open Tasks, or more. It costs no more than to count up to there.
    async fn full_inboxes(&self, capacities: Vec<(InboxId, u32)>) -> Result<Vec<InboxId>, StoreError>;

    /// The days on which first answers were noted in an inbox, after the one and up to the other, in their order, with how many
    /// there were on each; of so many days.
    async fn answer_days(
        &self,
        inbox: &InboxId,
        after: Option<Day>,
        last: Day,
        count: usize,
    ) -> Result<Vec<(Day, u32)>, StoreError>;

    /// The first answers that were noted in an inbox from one day to another, both included; so many of them.
    async fn first_answers(
        &self,
        inbox: &InboxId,
        first: Day,
        last: Day,
        count: usize,
    ) -> Result<Vec<FirstAnswer>, StoreError>;

    /// How many open Tasks of each inbox have no first answer; inboxes where none is open are left out, and parents count nowhere.
    async fn waiting(&self) -> Result<Vec<(InboxId, u64)>, StoreError>;
}

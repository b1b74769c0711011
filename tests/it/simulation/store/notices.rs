//! The part of the port that keeps notices, reached the same way.

use std::sync::Arc;

use async_trait::async_trait;
use onward::{
    domain::{
        InboxId,
        notice::{KeptNotices, Notices},
    },
    store::{NoticeStore, StoreError},
};

use super::Reached;

#[async_trait]
impl NoticeStore for Reached {
    async fn notices(&self) -> Result<Vec<(InboxId, KeptNotices)>, StoreError> {
        reach!(self, notices())
    }

    async fn set_notices(&self, inbox: &InboxId, over: u64, notices: Notices) -> Result<bool, StoreError> {
        let inbox = inbox.clone();
        reach!(self, set_notices(&inbox, over, notices))
    }
}

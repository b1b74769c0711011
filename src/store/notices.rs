//! The part of the port that keeps how far the notices of inboxes are (`domain/notice.rs`): a row an inbox, changed over the version that it
//! was decided on, so that of all processes one tells each thing.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::{
    InboxId,
    notice::{KeptNotices, Notices},
};

/// The part of the port that keeps them. Its behaviours are in the same suite (`tests/it/store/notices.rs`).
#[async_trait]
pub trait NoticeStore: Send + Sync + 'static {
    /// What is kept of every inbox.
    async fn notices(&self) -> Result<Vec<(InboxId, KeptNotices)>, StoreError>;

    /// Keeps what is known of an inbox over this version, 0 where nothing was kept. False, and nothing is changed, where it is another by
    /// now.
    async fn set_notices(&self, inbox: &InboxId, over: u64, notices: Notices) -> Result<bool, StoreError>;
}

/// As it lies in the store.
pub(super) fn written(notices: &Notices) -> Result<String, StoreError> {
    serde_json::to_string(notices).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// The same read back.
pub(super) fn read(text: &str) -> Result<Notices, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt(error.to_string()))
}

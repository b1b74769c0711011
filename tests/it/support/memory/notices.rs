//! How far the notices of inboxes are.

use std::collections::BTreeMap;

use async_trait::async_trait;
use onward::{
    domain::{
        InboxId,
        notice::{KeptNotices, Notices},
    },
    store::{NoticeStore, StoreError},
};

use super::Memory;

/// See the module's documentation.
pub type Kept = BTreeMap<InboxId, KeptNotices>;

#[async_trait]
impl NoticeStore for Memory {
    async fn notices(&self) -> Result<Vec<(InboxId, KeptNotices)>, StoreError> {
        Ok(self.all()?.notices.clone().into_iter().collect())
    }

    async fn set_notices(&self, inbox: &InboxId, over: u64, notices: Notices) -> Result<bool, StoreError> {
        let mut all = self.open()?;
        let version = all.notices.get(inbox).map_or(0, |kept| kept.version);
        if version == over {
            all.notices.insert(inbox.clone(), KeptNotices { version: over + 1, notices });
        }
        Ok(version == over)
    }
}

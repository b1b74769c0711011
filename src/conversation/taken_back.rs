//! A message that was noted in error: it becomes `entered-in-error` with the reason, in its next version, and what was said stays in its first.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Conversation, ConversationError, new_version};
use crate::{
    domain::{Actor, Event},
    fhir::{Issue, IssueCode, tree},
    store::{JournalLine, NewVersion, StoreError, TaskRecord},
};

/// The status of what was taken back (R4 event-status).
const TAKEN_BACK: &str = "entered-in-error";

/// A message that was noted in error, and why.
#[derive(Debug, Clone)]
pub struct Wrong {
    /// The Communication.
    pub id: Uuid,
    /// What is wrong with it, in words.
    pub reason: String,
}

impl Conversation {
    /// A message as it is once it is taken back, if it was this author's about this Task and was not taken back before.
    pub(super) async fn taken_back(
        &self,
        task: &TaskRecord,
        author: &Actor,
        wrong: &Wrong,
    ) -> Result<NewVersion, ConversationError> {
        let journal = self.store.journal(task.id).await?;
        let is_it = |line: &JournalLine| {
            matches!(&line.event, Event::Message { communication, .. } if *communication == wrong.id)
                && line.actor == *author
        };
        let found = self.store.resource("Communication", wrong.id, None).await?;
        let Some((stored, _)) = found.filter(|_| journal.iter().any(is_it)) else {
            return Err(ConversationError::NotFound);
        };
        let mut body: Value = serde_json::from_str(&stored.body).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        if tree::text(&body, "status") == Some(TAKEN_BACK) {
            let told = "it is marked as noted in error already";
            let issue = Issue::error(IssueCode::BusinessRule, "Communication.status", told);
            return Err(ConversationError::Rule(vec![issue]));
        }
        if let Some(object) = body.as_object_mut() {
            object.insert("status".into(), TAKEN_BACK.into());
            object.insert("statusReason".into(), json!({"text": wrong.reason}));
        }
        let mut version = new_version("Communication", wrong.id, stored.version + 1, &body, None);
        version.resource.origin = stored.origin;
        version.task = stored.task;
        Ok(version)
    }
}

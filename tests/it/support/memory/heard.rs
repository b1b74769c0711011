//! What was said of Tasks, and how far providers have looked at it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use onward::{
    domain::{ProviderId, TaskId},
    store::{HeardStore, JournalLine, StoreError},
};

use super::Memory;

/// See the module's documentation.
pub type Heard = BTreeMap<(ProviderId, TaskId), u64>;

#[async_trait]
impl HeardStore for Memory {
    async fn said_of(&self, tasks: Vec<TaskId>) -> Result<Vec<(TaskId, JournalLine)>, StoreError> {
        let all = self.all()?;
        let said = |line: &JournalLine| matches!(line.event.name(), "message" | "amended" | "retracted" | "answered");
        let of = |task: &TaskId| {
            let journal = all.tasks.get(task).map(|row| row.journal.clone()).unwrap_or_default();
            journal.into_iter().filter(said).map(|line| (*task, line)).collect::<Vec<_>>()
        };
        Ok(tasks.iter().flat_map(of).collect())
    }

    async fn heard(&self, provider: &ProviderId, tasks: Vec<TaskId>) -> Result<Vec<(TaskId, u64)>, StoreError> {
        let all = self.all()?;
        let of = |task: TaskId| Some((task, *all.heard.get(&(provider.clone(), task))?));
        Ok(tasks.into_iter().filter_map(of).collect())
    }

    async fn hear(&self, provider: &ProviderId, heard: Vec<(TaskId, u64)>) -> Result<(), StoreError> {
        let mut all = self.open()?;
        for (task, seq) in heard {
            let kept = all.heard.entry((provider.clone(), task)).or_default();
            *kept = seq.max(*kept);
        }
        Ok(())
    }
}

//! What was routed, in the order in which it came.

use async_trait::async_trait;
use jiff::Timestamp;
use onward::{
    domain::{ReferralId, TaskId},
    store::{JournalLine, Routed, RoutedQuery, RoutedStore, Sent, StoreError, StoredResource, TaskRecord},
};
use uuid::Uuid;

use super::Memory;

#[async_trait]
impl RoutedStore for Memory {
    async fn count_routed(&self, from: Timestamp, before: Timestamp) -> Result<u64, StoreError> {
        let query = RoutedQuery { from, before, after: None, count: usize::MAX };
        Ok(u64::try_from(self.routed(query).await?.len()).unwrap())
    }

    async fn routed(&self, query: RoutedQuery) -> Result<Vec<Routed>, StoreError> {
        let all = self.all()?;
        let mut found: Vec<Routed> = all
            .referrals
            .iter()
            .map(|referral| Routed {
                id: referral.submitted.referral,
                request: referral.submitted.request,
                system: referral.system.clone(),
                at: referral.submitted.at,
                submission: referral.sent.id,
                bytes: u64::try_from(referral.sent.original.len()).unwrap(),
                decision: referral.decision.clone(),
            })
            .filter(|one| one.at >= query.from && one.at < query.before)
            .filter(|one| query.after.is_none_or(|after| (one.at, one.id) > after))
            .collect();
        found.sort_by_key(|one| (one.at, one.id));
        found.truncate(query.count);
        Ok(found)
    }

    async fn sent(&self, submissions: Vec<Uuid>) -> Result<Vec<Sent>, StoreError> {
        let all = self.all()?;
        let mut found: Vec<Sent> =
            all.referrals.iter().filter(|r| submissions.contains(&r.sent.id)).map(|r| Sent::clone(&r.sent)).collect();
        found.dedup_by_key(|sent| sent.id);
        Ok(found)
    }

    async fn named_at_first(&self, referrals: Vec<ReferralId>) -> Result<Vec<StoredResource>, StoreError> {
        let all = self.all()?;
        let of = all.referrals.iter().filter(|r| referrals.contains(&r.submitted.referral));
        let mut found: Vec<_> = of.flat_map(|r| &r.resources).filter(|one| one.origin.is_some()).cloned().collect();
        found.sort_by_key(|one| (one.referral, one.id));
        Ok(found)
    }

    async fn tasks_routed(&self, query: RoutedQuery) -> Result<Vec<(Timestamp, TaskRecord)>, StoreError> {
        let page = self.routed(query).await?;
        let all = self.all()?;
        let mut found = Vec::new();
        for one in page {
            let of = all.tasks.values().filter(|row| row.record.referral == one.id);
            let mut of: Vec<TaskRecord> = of.map(|row| row.record.clone()).collect();
            of.sort_by_key(|task| task.id.0);
            found.extend(of.into_iter().map(|task| (one.at, task)));
        }
        Ok(found)
    }

    async fn answers_of(&self, tasks: Vec<TaskId>) -> Result<Vec<(TaskId, JournalLine)>, StoreError> {
        let all = self.all()?;
        let of = |task: &TaskId| {
            let journal = all.tasks.get(task).map(|row| row.journal.clone()).unwrap_or_default();
            journal
                .into_iter()
                .filter(|line| line.event.name() == "answered")
                .map(|line| (*task, line))
                .collect::<Vec<_>>()
        };
        Ok(tasks.iter().flat_map(of).collect())
    }
}

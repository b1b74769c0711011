//! What was said of Tasks, and how far providers have looked at it.

use async_trait::async_trait;
use uuid::Uuid;

use super::{
    PostgresStore, journal,
    rows::{all, big, get, number},
};
use crate::{
    domain::{ProviderId, TaskId},
    store::{HeardStore, JournalLine, StoreError, counts},
};

const HEARD: &str = "SELECT task, seq FROM heard WHERE provider = $1 AND task = ANY($2)";

const HEAR: &str = "INSERT INTO heard (provider, task, seq)
    SELECT $1::text, task, max(seq) FROM unnest($2::uuid[], $3::bigint[]) AS x (task, seq) GROUP BY task ORDER BY task
    ON CONFLICT (provider, task) DO UPDATE SET seq = greatest(heard.seq, excluded.seq)";

#[async_trait]
impl HeardStore for PostgresStore {
    async fn said_of(&self, tasks: Vec<TaskId>) -> Result<Vec<(TaskId, JournalLine)>, StoreError> {
        journal::said(self.searches(), &tasks).await
    }

    async fn heard(&self, provider: &ProviderId, tasks: Vec<TaskId>) -> Result<Vec<(TaskId, u64)>, StoreError> {
        let ids: Vec<Uuid> = tasks.iter().map(|task| task.0).collect();
        let rows = self.reader().query(HEARD, &[&provider.as_str(), &ids]).await?;
        all(&rows, |row| Ok((TaskId(get(row, "task")?), number(row, "seq")?)))
    }

    async fn hear(&self, provider: &ProviderId, heard: Vec<(TaskId, u64)>) -> Result<(), StoreError> {
        counts::written("hear");
        let (ids, seqs): (Vec<Uuid>, Vec<i64>) = heard.iter().map(|(task, seq)| (task.0, big(*seq))).unzip();
        self.chores.query(HEAR, &[&provider.as_str(), &ids, &seqs]).await?;
        Ok(())
    }
}

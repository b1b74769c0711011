//! Referrals in the order in which they were stored.

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    PostgresStore, journal,
    link::Link,
    rows::{
        RESOURCE_COLUMNS, TASK_COLUMNS, all, get, limit, micros, moment, number, parse, stored_resource, task_record,
    },
};
use crate::{
    domain::{ReferralId, TaskId},
    store::{JournalLine, Routed, RoutedQuery, RoutedStore, Sent, StoreError, StoredResource, TaskRecord},
};

pub(super) async fn count(link: &Link, from: Timestamp, before: Timestamp) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) AS count FROM referral WHERE created >= $1 AND created < $2";
    let rows = link.query(sql, &[&micros(from), &micros(before)]).await?;
    rows.first().map_or(Ok(0), |row| number(row, "count"))
}

pub(super) async fn page(link: &Link, query: &RoutedQuery) -> Result<Vec<Routed>, StoreError> {
    let (at, id) = query.begins_after();
    // the page first: what goes with it is read for nothing else
    let sql = "WITH page AS MATERIALIZED (SELECT id, request, system, created, submission, decision FROM referral
                   WHERE (created, id) > ($1, $2) AND created < $3 ORDER BY created, id LIMIT $4)
               SELECT page.*, octet_length(s.original)::bigint AS bytes
               FROM page JOIN submission s ON s.id = page.submission ORDER BY page.created, page.id";
    let rows = link.query(sql, &[&at, &id, &micros(query.before), &limit(query.count)]).await?;
    all(&rows, |row| {
        Ok(Routed {
            id: ReferralId(get(row, "id")?),
            request: get(row, "request")?,
            system: parse(row, "system")?,
            at: moment(row, "created")?,
            submission: get(row, "submission")?,
            bytes: number(row, "bytes")?,
            decision: get(row, "decision")?,
        })
    })
}

pub(super) async fn tasks(link: &Link, query: &RoutedQuery) -> Result<Vec<(Timestamp, TaskRecord)>, StoreError> {
    let (at, id) = query.begins_after();
    let sql = sql!(
        "WITH page AS MATERIALIZED (SELECT id, created FROM referral
             WHERE (created, id) > ($1, $2) AND created < $3 ORDER BY created, id LIMIT $4)
         SELECT page.created AS stored, {TASK_COLUMNS} FROM page JOIN task t ON t.referral = page.id
         ORDER BY page.created, page.id, t.id"
    );
    let rows = link.query(sql, &[&at, &id, &micros(query.before), &limit(query.count)]).await?;
    all(&rows, |row| Ok((moment(row, "stored")?, task_record(row)?)))
}

pub(super) async fn sent(link: &Link, submissions: &[Uuid]) -> Result<Vec<Sent>, StoreError> {
    let sql = "SELECT id, content_type, original, answer FROM submission WHERE id = ANY($1)";
    all(&link.query(sql, &[&submissions]).await?, |row| {
        Ok(Sent {
            id: get(row, "id")?,
            content_type: get(row, "content_type")?,
            original: Bytes::copy_from_slice(get(row, "original")?),
            answer: get(row, "answer")?,
        })
    })
}

pub(super) async fn named_at_first(link: &Link, referrals: &[ReferralId]) -> Result<Vec<StoredResource>, StoreError> {
    let sql = sql!(
        "SELECT {RESOURCE_COLUMNS} FROM resource s
         WHERE s.referral = ANY($1) AND s.version = 1 AND NOT s.later AND s.origin IS NOT NULL AND s.kind <> 'Task'
         ORDER BY s.referral, s.id"
    );
    let ids: Vec<Uuid> = referrals.iter().map(|id| id.0).collect();
    all(&link.query(sql, &[&ids]).await?, stored_resource)
}

#[async_trait]
impl RoutedStore for PostgresStore {
    async fn count_routed(&self, from: Timestamp, before: Timestamp) -> Result<u64, StoreError> {
        count(self.searches(), from, before).await
    }

    async fn routed(&self, query: RoutedQuery) -> Result<Vec<Routed>, StoreError> {
        page(self.searches(), &query).await
    }

    async fn sent(&self, submissions: Vec<Uuid>) -> Result<Vec<Sent>, StoreError> {
        sent(self.searches(), &submissions).await
    }

    async fn named_at_first(&self, referrals: Vec<ReferralId>) -> Result<Vec<StoredResource>, StoreError> {
        named_at_first(self.searches(), &referrals).await
    }

    async fn tasks_routed(&self, query: RoutedQuery) -> Result<Vec<(Timestamp, TaskRecord)>, StoreError> {
        tasks(self.searches(), &query).await
    }

    async fn answers_of(&self, tasks: Vec<TaskId>) -> Result<Vec<(TaskId, JournalLine)>, StoreError> {
        journal::answers(self.searches(), &tasks).await
    }
}

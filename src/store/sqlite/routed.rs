//! Referrals in the order in which they were stored.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, params, params_from_iter};
use uuid::Uuid;

use super::{
    SqliteStore, journal,
    rows::{RESOURCE_COLUMNS, TASK_COLUMNS, micros, moment, parse, stored_resource, task_record, uuid},
};
use crate::{
    domain::{ReferralId, TaskId},
    store::{JournalLine, Routed, RoutedQuery, RoutedStore, Sent, StoreError, StoredResource, TaskRecord},
};

const PAGE: &str = "SELECT r.id, r.request, r.system, r.created, r.submission, r.decision, length(s.original) AS bytes
    FROM referral r JOIN submission s ON s.id = r.submission
    WHERE (r.created, r.id) > (?1, ?2) AND r.created < ?3 ORDER BY r.created, r.id LIMIT ?4";
const COUNT: &str = "SELECT count(*) FROM referral WHERE created >= ? AND created < ?";

pub(super) fn count(c: &Connection, from: Timestamp, before: Timestamp) -> Result<u64, StoreError> {
    let mut statement = c.prepare_cached(COUNT)?;
    Ok(statement.query_row([micros(from), micros(before)], |row| row.get(0))?)
}

pub(super) fn page(c: &Connection, query: &RoutedQuery) -> Result<Vec<Routed>, StoreError> {
    let (at, id) = query.begins_after();
    let mut statement = c.prepare_cached(PAGE)?;
    let count = i64::try_from(query.count).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![at, id.as_bytes(), micros(query.before), count], |row| {
        Ok(Routed {
            id: ReferralId(uuid(row, "id")?),
            request: uuid(row, "request")?,
            system: parse(row, "system")?,
            at: moment(row, "created")?,
            submission: uuid(row, "submission")?,
            bytes: row.get("bytes")?,
            decision: row.get("decision")?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn tasks(c: &Connection, query: &RoutedQuery) -> Result<Vec<(Timestamp, TaskRecord)>, StoreError> {
    let (at, id) = query.begins_after();
    let mut statement = c.prepare_cached(&format!(
        "SELECT r.created AS stored, {TASK_COLUMNS}
         FROM (SELECT id, request, origin, identifier, route_set, created FROM referral
               WHERE (created, id) > (?1, ?2) AND created < ?3 ORDER BY created, id LIMIT ?4) r
         CROSS JOIN task t ON t.referral = r.id ORDER BY r.created, r.id, t.id"
    ))?;
    let count = i64::try_from(query.count).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![at, id.as_bytes(), micros(query.before), count], |row| {
        Ok((moment(row, "stored")?, task_record(row)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn sent(c: &Connection, submissions: &[Uuid]) -> Result<Vec<Sent>, StoreError> {
    let sql = format!(
        "SELECT id, content_type, original, answer FROM submission WHERE id IN ({})",
        vec!["?"; submissions.len()].join(",")
    );
    let ids = submissions.iter().map(|id| id.as_bytes().to_vec());
    let mut statement = c.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(ids), |row| {
        Ok(Sent {
            id: uuid(row, "id")?,
            content_type: row.get("content_type")?,
            original: row.get::<_, Vec<u8>>("original")?.into(),
            answer: row.get("answer")?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn named_at_first(c: &Connection, referrals: &[ReferralId]) -> Result<Vec<StoredResource>, StoreError> {
    let sql = format!(
        "SELECT {RESOURCE_COLUMNS} FROM resource s
         WHERE s.referral IN ({}) AND s.version = 1 AND s.later = 0 AND s.origin IS NOT NULL AND s.kind <> 'Task'
         ORDER BY s.referral, s.id",
        vec!["?"; referrals.len()].join(",")
    );
    let ids = referrals.iter().map(|id| id.0.as_bytes().to_vec());
    let mut statement = c.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(ids), stored_resource)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[async_trait]
impl RoutedStore for SqliteStore {
    async fn count_routed(&self, from: Timestamp, before: Timestamp) -> Result<u64, StoreError> {
        self.readers.run(move |c| count(c, from, before)).await
    }

    async fn routed(&self, query: RoutedQuery) -> Result<Vec<Routed>, StoreError> {
        self.readers.run(move |c| page(c, &query)).await
    }

    async fn sent(&self, submissions: Vec<Uuid>) -> Result<Vec<Sent>, StoreError> {
        self.readers.run(move |c| sent(c, &submissions)).await
    }

    async fn named_at_first(&self, referrals: Vec<ReferralId>) -> Result<Vec<StoredResource>, StoreError> {
        self.readers.run(move |c| named_at_first(c, &referrals)).await
    }

    async fn tasks_routed(&self, query: RoutedQuery) -> Result<Vec<(Timestamp, TaskRecord)>, StoreError> {
        self.readers.run(move |c| tasks(c, &query)).await
    }

    async fn answers_of(&self, tasks: Vec<TaskId>) -> Result<Vec<(TaskId, JournalLine)>, StoreError> {
        self.readers.run(move |c| journal::answers(c, &tasks)).await
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rusqlite::Connection;

    use super::{COUNT, PAGE};

    #[test]
    fn a_page_is_read_along_its_index_and_not_sorted() {
        let mut connection = Connection::open_in_memory().unwrap();
        super::super::migrate::run(&mut connection, Path::new(":memory:")).unwrap();
        for sql in [PAGE, COUNT] {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let nothing = vec![0; statement.parameter_count()];
            let plan = statement.query_map(rusqlite::params_from_iter(nothing), |row| row.get("detail")).unwrap();
            let plan: Vec<String> = plan.map(Result::unwrap).collect();
            assert!(plan[0].contains("INDEX referral_by_time") && plan[0].contains("created<?"), "{plan:?}");
            assert!(!plan.iter().any(|step| step.contains("SCAN") || step.contains("TEMP")), "{plan:?}");
        }
    }
}

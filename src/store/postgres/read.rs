//! Reading what is stored.

use std::time::Duration;

use uuid::Uuid;

use super::{
    link::Link,
    rows::{
        RESOURCE_COLUMNS, TASK_COLUMNS, all, bytes32, get, moment, number, parse, side, stored_resource, task_record,
    },
    submit,
};
use crate::{
    domain::{InboxId, ReferralId, SystemId, TaskId},
    store::{Attempt, GIST, LINES_LOOKED_AT_MAX, Parties, StoreError, StoredResource, Submitted, TaskRecord},
};

pub(super) async fn submitted(
    link: &Link,
    system: &SystemId,
    key: &str,
) -> Result<Option<(Submitted, [u8; 32])>, StoreError> {
    let rows = link.query(submit::FIND, &[&vec![system.as_str()], &vec![key]]).await?;
    rows.first().map(submit::found).transpose()
}

pub(super) async fn task(link: &Link, id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
    let rows = link.query(sql!("SELECT {TASK_COLUMNS} FROM task t WHERE t.id = $1"), &[&id.0]).await?;
    rows.first().map(task_record).transpose()
}

pub(super) async fn find_tasks(link: &Link, key: &str) -> Result<Vec<TaskRecord>, StoreError> {
    let rows = match Uuid::parse_str(key) {
        Ok(id) => {
            let sql = sql!(
                "SELECT {TASK_COLUMNS} FROM task t WHERE t.id = $1
                 UNION SELECT {TASK_COLUMNS} FROM task t WHERE t.referral = $1
                 UNION SELECT {TASK_COLUMNS} FROM task t WHERE t.referral IN (SELECT id FROM referral WHERE request = $1)
                 ORDER BY task_id"
            );
            link.query(sql, &[&id]).await?
        }
        Err(_) if key.contains('\0') => Vec::new(),
        Err(_) => {
            let sql = sql!(
                "SELECT {TASK_COLUMNS} FROM task t WHERE t.referral IN (SELECT id FROM referral WHERE identifier = $1)
                 ORDER BY t.id"
            );
            link.query(sql, &[&key]).await?
        }
    };
    all(&rows, task_record)
}

pub(super) async fn tasks_asked_by(link: &Link, request: &str, count: usize) -> Result<Vec<TaskRecord>, StoreError> {
    if request.contains('\0') {
        return Ok(Vec::new());
    }
    let sql = sql!(
        "SELECT {TASK_COLUMNS} FROM task t WHERE t.id IN
           (SELECT task FROM (SELECT task, request FROM journal ORDER BY task DESC LIMIT $2::bigint) lately WHERE request = $1)
         ORDER BY t.id LIMIT $3::bigint"
    );
    let bigint = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let rows = link.query(sql, &[&request, &bigint(LINES_LOOKED_AT_MAX), &bigint(count)]).await?;
    all(&rows, task_record)
}

/// A statement for one inbox: counted up to its capacity, along the index of open Tasks.
pub(super) const IS_FULL: &str = "SELECT count(*) >= $2::bigint AS is_full FROM (SELECT 1 FROM task WHERE inbox = $1
    AND status IN ('requested', 'received', 'accepted', 'in-progress', 'on-hold') LIMIT $2::bigint) open";

pub(super) async fn full_inboxes(link: &Link, capacities: Vec<(InboxId, u32)>) -> Result<Vec<InboxId>, StoreError> {
    let mut full = Vec::new();
    for (inbox, capacity) in capacities {
        let rows = link.query(IS_FULL, &[&inbox.as_str(), &i64::from(capacity)]).await?;
        if rows.first().map(|row| get(row, "is_full")).transpose()?.unwrap_or(false) {
            full.push(inbox);
        }
    }
    Ok(full)
}

pub(super) async fn resource(
    link: &Link,
    kind: &str,
    id: Uuid,
    version: Option<u64>,
) -> Result<Option<(StoredResource, Parties)>, StoreError> {
    if kind.contains('\0') {
        return Ok(None);
    }
    // the version is a separate statement: one for both could not go by the index for either
    let rows = match version.map(super::rows::big) {
        Some(version) => {
            let sql = sql!(
                "SELECT {RESOURCE_COLUMNS}, {PARTIES} FROM resource s JOIN referral r ON r.id = s.referral
                 WHERE s.id = $1 AND s.kind = $2 AND s.version = $3"
            );
            link.query(sql, &[&id, &kind, &version]).await?
        }
        None => {
            let sql = sql!(
                "SELECT {RESOURCE_COLUMNS}, {PARTIES} FROM resource s JOIN referral r ON r.id = s.referral
                 WHERE s.id = $1 AND s.kind = $2 ORDER BY s.version DESC LIMIT 1"
            );
            link.query(sql, &[&id, &kind]).await?
        }
    };
    let Some(row) = rows.first() else { return Ok(None) };
    let providers: Vec<&str> = get(row, "providers")?;
    let providers = providers.into_iter().map(|p| p.parse().map_err(super::rows::corrupt)).collect::<Result<_, _>>()?;
    Ok(Some((stored_resource(row)?, Parties { system: parse(row, "party")?, providers })))
}

const PARTIES: &str =
    "r.system AS party, ARRAY(SELECT DISTINCT t.provider FROM task t WHERE t.referral = r.id AND (s.task IS NULL OR t.id = s.task)
                              ORDER BY 1) AS providers";

pub(super) async fn keyed(link: &Link, author: &str, key: &str) -> Result<Option<(Uuid, [u8; 32])>, StoreError> {
    let sql = "SELECT id, digest FROM resource_key WHERE author = $1 AND key = $2";
    let rows = link.query(sql, &[&author, &key]).await?;
    rows.first().map(|row| Ok((get(row, "id")?, bytes32(row, "digest")?))).transpose()
}

pub(super) async fn versions(link: &Link, kind: &str, id: Uuid) -> Result<Vec<StoredResource>, StoreError> {
    let sql = sql!("SELECT {RESOURCE_COLUMNS} FROM resource s WHERE s.id = $1 AND s.kind = $2 ORDER BY s.version");
    all(&link.query(sql, &[&id, &kind]).await?, stored_resource)
}

pub(super) async fn resources_of(link: &Link, referral: ReferralId) -> Result<Vec<StoredResource>, StoreError> {
    let sql = sql!(
        "SELECT DISTINCT ON (s.id, s.kind) {RESOURCE_COLUMNS} FROM resource s
         WHERE s.referral = $1 AND s.kind <> 'Task' ORDER BY s.id, s.kind, s.version DESC"
    );
    all(&link.query(sql, &[&referral.0]).await?, stored_resource)
}

pub(super) async fn named(link: &Link, names: Vec<(String, Uuid)>) -> Result<Vec<StoredResource>, StoreError> {
    let (kinds, ids): (Vec<String>, Vec<Uuid>) = names.into_iter().filter(|(kind, _)| !kind.contains('\0')).unzip();
    let sql = sql!(
        "SELECT DISTINCT ON (s.id, s.kind) {RESOURCE_COLUMNS}
         FROM unnest($1::text[], $2::uuid[]) AS n (kind, id) JOIN resource s ON s.id = n.id AND s.kind = n.kind
         ORDER BY s.id, s.kind, s.version DESC"
    );
    all(&link.query(sql, &[&kinds, &ids]).await?, stored_resource)
}

pub(super) async fn gist_of(link: &Link, referrals: &[ReferralId]) -> Result<Vec<StoredResource>, StoreError> {
    let sql = sql!(
        "SELECT DISTINCT ON (s.id, s.kind) {RESOURCE_COLUMNS} FROM resource s
         WHERE s.referral = ANY($1) AND s.kind || '' = ANY($2) AND s.task IS NULL ORDER BY s.id, s.kind, s.version DESC"
    );
    let ids: Vec<Uuid> = referrals.iter().map(|id| id.0).collect();
    all(&link.query(sql, &[&ids, &&GIST[..]]).await?, stored_resource)
}

pub(super) async fn decision_of(link: &Link, referral: ReferralId) -> Result<Option<String>, StoreError> {
    let rows = link.query("SELECT decision FROM referral WHERE id = $1", &[&referral.0]).await?;
    rows.first().map(|row| get(row, "decision")).transpose()
}

pub(super) async fn attempts(link: &Link, task: TaskId) -> Result<Vec<Attempt>, StoreError> {
    let sql = "SELECT side, seq, at, duration_us, endpoint, result, why FROM attempt WHERE task = $1 ORDER BY at, side, seq, n";
    all(&link.query(sql, &[&task.0]).await?, |row| {
        Ok(Attempt {
            side: side(row, "side")?,
            of: number(row, "seq")?,
            at: moment(row, "at")?,
            duration: Duration::from_micros(number(row, "duration_us")?),
            endpoint: get(row, "endpoint")?,
            result: get(row, "result")?,
            why: get(row, "why")?,
        })
    })
}

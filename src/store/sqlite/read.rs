//! Reading what is stored.

use std::{collections::BTreeSet, time::Duration};

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::rows::{RESOURCE_COLUMNS, TASK_COLUMNS, TASK_SOURCE, moment, parse, stored_resource, task_record, uuid};
use crate::{
    domain::{InboxId, ReferralId, SystemId, TaskId},
    store::{Attempt, GIST, LINES_LOOKED_AT_MAX, Parties, StoreError, StoredResource, TaskRecord},
};

pub(super) fn task(c: &Connection, id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
    let mut statement = c.prepare_cached(&format!("SELECT {TASK_COLUMNS} FROM {TASK_SOURCE} WHERE t.id = ?"))?;
    Ok(statement.query_row([id.0.as_bytes()], task_record).optional()?)
}

pub(super) fn find_tasks(c: &Connection, key: &str) -> Result<Vec<TaskRecord>, StoreError> {
    let by_uuid = Uuid::parse_str(key).ok();
    let sql = match by_uuid {
        Some(_) => format!("SELECT {TASK_COLUMNS} FROM {TASK_SOURCE} WHERE t.id = ?1 OR t.referral = ?1 OR t.referral IN (SELECT id FROM referral WHERE request = ?1)
             ORDER BY t.id"),
        None => format!("SELECT {TASK_COLUMNS} FROM {TASK_SOURCE} WHERE r.identifier = ?1 ORDER BY t.id"),
    };
    let mut statement = c.prepare_cached(&sql)?;
    let rows = match by_uuid {
        Some(id) => statement.query_map([id.as_bytes().as_slice()], task_record)?.collect::<Result<_, _>>()?,
        None => statement.query_map([key], task_record)?.collect::<Result<_, _>>()?,
    };
    Ok(rows)
}

pub(super) fn tasks_asked_by(c: &Connection, request: &str, count: usize) -> Result<Vec<TaskRecord>, StoreError> {
    let sql = format!(
        "SELECT {TASK_COLUMNS} FROM {TASK_SOURCE} WHERE t.id IN
           (SELECT task FROM (SELECT task, request FROM journal ORDER BY task DESC LIMIT ?2) WHERE request = ?1)
         ORDER BY t.id LIMIT ?3"
    );
    let mut statement = c.prepare_cached(&sql)?;
    let rows = statement.query_map(params![request, LINES_LOOKED_AT_MAX, count], task_record)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn full_inboxes(c: &Connection, capacities: Vec<(InboxId, u32)>) -> Result<Vec<InboxId>, StoreError> {
    // the words of the index: without them SQLite would read all Tasks
    let mut statement = c.prepare_cached(
        "SELECT count(*) FROM (SELECT 1 FROM task INDEXED BY task_open_by_inbox WHERE inbox = ?
           AND status IN ('requested', 'received', 'accepted', 'in-progress', 'on-hold') LIMIT ?)",
    )?;
    let mut full = Vec::new();
    for (inbox, capacity) in capacities {
        let open: u32 = statement.query_row(params![inbox.as_str(), capacity], |row| row.get(0))?;
        if open >= capacity {
            full.push(inbox);
        }
    }
    Ok(full)
}

pub(super) fn resource(
    c: &Connection,
    kind: &str,
    id: Uuid,
    version: Option<u64>,
) -> Result<Option<(StoredResource, Parties)>, StoreError> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT {RESOURCE_COLUMNS} FROM resource s WHERE s.kind = ?1 AND s.id = ?2 AND (?3 IS NULL OR s.version = ?3)
         ORDER BY s.version DESC LIMIT 1"
    ))?;
    let found = statement.query_row(params![kind, id.as_bytes(), version], stored_resource).optional()?;
    let Some(found) = found else { return Ok(None) };
    let parties = parties(c, found.referral, found.task)?;
    Ok(parties.map(|p| (found, p)))
}

pub(super) fn named(c: &Connection, names: &[(String, Uuid)]) -> Result<Vec<StoredResource>, StoreError> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT {RESOURCE_COLUMNS} FROM resource s WHERE s.kind = ? AND s.id = ? ORDER BY s.version DESC LIMIT 1"
    ))?;
    let names: BTreeSet<_> = names.iter().collect();
    let mut all = Vec::new();
    for (kind, id) in names {
        all.extend(statement.query_row(params![kind, id.as_bytes()], stored_resource).optional()?);
    }
    Ok(all)
}

fn parties(c: &Connection, referral: ReferralId, task: Option<TaskId>) -> Result<Option<Parties>, StoreError> {
    let system: Option<SystemId> = c
        .prepare_cached("SELECT system FROM referral WHERE id = ?")?
        .query_row([referral.0.as_bytes()], |row| parse(row, "system"))
        .optional()?;
    let Some(system) = system else { return Ok(None) };
    let mut providers = c.prepare_cached(
        "SELECT DISTINCT provider FROM task WHERE referral = ?1 AND (?2 IS NULL OR id = ?2) ORDER BY provider",
    )?;
    let task = task.as_ref().map(|t| t.0.as_bytes());
    let providers = providers.query_map(params![referral.0.as_bytes(), task], |row| parse(row, "provider"))?;
    Ok(Some(Parties { system, providers: providers.collect::<Result<_, _>>()? }))
}

pub(super) fn keyed(c: &Connection, author: &str, key: &str) -> Result<Option<(Uuid, [u8; 32])>, StoreError> {
    let mut statement = c.prepare_cached("SELECT id, digest FROM resource_key WHERE author = ? AND key = ?")?;
    Ok(statement.query_row([author, key], |row| Ok((uuid(row, "id")?, row.get("digest")?))).optional()?)
}

pub(super) fn versions(c: &Connection, kind: &str, id: Uuid) -> Result<Vec<StoredResource>, StoreError> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT {RESOURCE_COLUMNS} FROM resource s WHERE s.kind = ? AND s.id = ? ORDER BY s.version"
    ))?;
    let rows = statement.query_map(params![kind, id.as_bytes()], stored_resource)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn resources_of(c: &Connection, referral: ReferralId) -> Result<Vec<StoredResource>, StoreError> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT {RESOURCE_COLUMNS} FROM resource s WHERE s.referral = ? AND s.kind <> 'Task'
         AND NOT EXISTS (SELECT 1 FROM resource n WHERE n.id = s.id AND n.kind = s.kind AND n.version > s.version)
         ORDER BY s.id"
    ))?;
    let rows = statement.query_map([referral.0.as_bytes()], stored_resource)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn gist_of(c: &Connection, referrals: &[ReferralId]) -> Result<Vec<StoredResource>, StoreError> {
    let [request, person, flag] = GIST;
    let mut statement = c.prepare_cached(&format!(
        "SELECT {RESOURCE_COLUMNS} FROM resource s
         WHERE s.referral = ? AND +s.kind IN ('{request}', '{person}', '{flag}') AND s.task IS NULL
         AND NOT EXISTS (SELECT 1 FROM resource n WHERE n.id = s.id AND n.kind = s.kind AND n.version > s.version)"
    ))?;
    let mut all = Vec::new();
    for referral in referrals {
        let rows = statement.query_map([referral.0.as_bytes()], stored_resource)?;
        all.extend(rows.collect::<Result<Vec<_>, _>>()?);
    }
    Ok(all)
}

pub(super) fn decision_of(c: &Connection, referral: ReferralId) -> Result<Option<String>, StoreError> {
    let mut statement = c.prepare_cached("SELECT decision FROM referral WHERE id = ?")?;
    Ok(statement.query_row([referral.0.as_bytes()], |row| row.get(0)).optional()?)
}

pub(super) fn attempts(c: &Connection, task: TaskId) -> Result<Vec<Attempt>, StoreError> {
    let mut statement = c.prepare_cached("SELECT * FROM attempt WHERE task = ? ORDER BY at, side, seq, n")?;
    let rows = statement.query_map([task.0.as_bytes()], |row| {
        Ok(Attempt {
            side: parse(row, "side")?,
            of: row.get("seq")?,
            at: moment(row, "at")?,
            duration: Duration::from_micros(row.get("duration_us")?),
            endpoint: row.get("endpoint")?,
            result: row.get("result")?,
            why: row.get("why")?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

//! What went wrong and waits for somebody: dead letters, deadlines, Tasks in trouble, alerts.

use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params, params_from_iter};
use uuid::Uuid;

use super::{
    SqliteStore,
    rows::{TASK_COLUMNS, TASK_SOURCE, micros, micros_after, moment, parse, task_record, uuid},
};
use crate::{
    domain::{Alert, AlertKind, TaskId},
    store::{
        AlertSettled, AlertStore, DeadLetter, DeadQuery, LaneHead, Store, StoreError, StoredAlert, TaskRecord, Troubled,
    },
};

/// What was told and is over is kept this long.
const ALERTS_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// So many of those are forgotten at once.
const FORGOTTEN_AT_ONCE: i64 = 500;

fn dead_row(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    Ok(DeadLetter {
        message: uuid(row, "id")?,
        task: TaskId(uuid(row, "task")?),
        side: parse(row, "side")?,
        seq: row.get("seq")?,
        to: row.get("destination")?,
        attempts: row.get("attempts")?,
        since: moment(row, "created")?,
        why: row.get::<_, Option<String>>("why")?.unwrap_or_default(),
    })
}

pub(super) fn dead_letter(c: &Connection, message: Uuid) -> Result<Option<DeadLetter>, StoreError> {
    let mut statement = c.prepare_cached("SELECT * FROM outbox WHERE id = ? AND state = 3")?;
    Ok(statement.query_row([message.as_bytes()], dead_row).optional()?)
}

pub(super) fn dead_head(c: &Connection, message: Uuid) -> Result<Option<LaneHead>, StoreError> {
    let mut statement = c.prepare_cached(
        "SELECT o.seq, o.attempts, o.created, l.cursor, l.memory FROM outbox o
         JOIN lane l ON l.task = o.task AND l.side = o.side WHERE o.id = ? AND o.state = 3",
    )?;
    let head = statement.query_row([message.as_bytes()], |row| {
        Ok(LaneHead {
            message,
            seq: row.get("seq")?,
            attempts: row.get("attempts")?,
            since: moment(row, "created")?,
            cursor: row.get("cursor")?,
            memory: row.get("memory")?,
        })
    });
    Ok(head.optional()?)
}

pub(super) fn find_dead(c: &Connection, query: &DeadQuery) -> Result<Vec<DeadLetter>, StoreError> {
    let (from, order) = match (query.message, query.task) {
        (Some(_), _) => ("outbox", "id"),
        (None, Some(_)) => ("outbox INDEXED BY outbox_lane", "side, seq"),
        (None, None) => ("outbox INDEXED BY outbox_dead", "created, id"),
    };
    let mut sql = format!("SELECT * FROM {from} WHERE state = 3");
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    let mut and = |condition: &str, value: Box<dyn ToSql>| {
        sql.push_str(" AND ");
        sql.push_str(condition);
        values.push(value);
    };
    if let Some(message) = query.message {
        and("id = ?", Box::new(message.as_bytes().to_vec()));
    }
    if let Some(task) = query.task {
        and("task = ?", Box::new(task.0.as_bytes().to_vec()));
    }
    if let Some(side) = query.side {
        and("side = ?", Box::new(side.code()));
    }
    if let Some(to) = &query.to {
        and("destination = ?", Box::new(to.clone()));
    }
    if let Some(since) = query.since {
        and("created >= ?", Box::new(micros(since)));
    }
    if let Some(until) = query.until {
        and("created <= ?", Box::new(micros(until)));
    }
    if let Some(words) = &query.why {
        and("instr(lower(coalesce(why, '')), lower(?)) > 0", Box::new(words.clone()));
    }
    if let Some((at, id)) = query.after {
        and("(created, id) > (?, ", Box::new(micros(at)));
        // the second half of the pair
        sql.push_str("?)");
        values.push(Box::new(id.as_bytes().to_vec()));
    }
    sql.push_str(&format!(" ORDER BY {order} LIMIT ?"));
    values.push(Box::new(i64::try_from(query.count).unwrap_or(i64::MAX)));
    let mut statement = c.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values.iter()), dead_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn claim_deadlines(
    c: &Connection,
    limit: usize,
    now: Timestamp,
    lease: Duration,
) -> Result<Vec<TaskRecord>, StoreError> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT {TASK_COLUMNS} FROM task t INDEXED BY task_due JOIN referral r ON r.id = t.referral
         WHERE t.due_at IS NOT NULL AND t.due_at <= ? ORDER BY t.due_at LIMIT ?"
    ))?;
    let rows = statement.query_map(params![micros(now), i64::try_from(limit).unwrap_or(i64::MAX)], task_record)?;
    let due: Vec<TaskRecord> = rows.collect::<Result<_, _>>()?;
    let mut later = c.prepare_cached("UPDATE task SET due_at = ? WHERE id = ?")?;
    for task in &due {
        later.execute(params![micros_after(now, lease), task.id.0.as_bytes()])?;
    }
    Ok(due)
}

pub(super) fn troubled(
    c: &Connection,
    after: Option<(Timestamp, TaskId)>,
    count: usize,
) -> Result<Vec<Troubled>, StoreError> {
    // the words of the index: without them SQLite would read all Tasks
    let mut statement = c.prepare_cached(&format!(
        "SELECT {TASK_COLUMNS}, t.transport_since FROM {TASK_SOURCE}
         WHERE t.transport IN ('delivery-delayed', 'not-opened', 'overdue', 'copy-unreadable') AND t.seen_to = 0
           AND (t.transport_since, t.id) > (?, ?)
         ORDER BY t.transport_since, t.id LIMIT ?"
    ))?;
    let (at, id) = after.map_or((i64::MIN, [0; 16]), |(at, id)| (micros(at), *id.0.as_bytes()));
    let rows = statement.query_map(params![at, id, i64::try_from(count).unwrap_or(i64::MAX)], |row| {
        Ok(Troubled { task: task_record(row)?, since: moment(row, "transport_since")? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn raise(c: &Connection, alerts: &[Alert], now: Timestamp) -> Result<(), StoreError> {
    let mut statement = c.prepare_cached(
        "INSERT INTO alert (id, kind, subject, task, message, since, text, created, due, open)
         VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?8,?9) ON CONFLICT DO NOTHING",
    )?;
    for alert in alerts {
        statement.execute(params![
            alert.id.as_bytes(),
            alert.kind.code(),
            alert.subject,
            alert.task.map(|t| t.0.as_bytes().to_vec()),
            alert.message.map(|m| m.as_bytes().to_vec()),
            micros(alert.since),
            alert.text,
            micros(now),
            alert.kind.stands(),
        ])?;
    }
    Ok(())
}

pub(super) fn end_alert(c: &Connection, kind: AlertKind, subject: &str) -> Result<bool, StoreError> {
    let mut statement = c.prepare_cached("UPDATE alert SET open = 0 WHERE kind = ? AND subject = ? AND open = 1")?;
    Ok(statement.execute(params![kind.code(), subject])? > 0)
}

pub(super) fn claim_alerts(
    c: &Connection,
    limit: usize,
    now: Timestamp,
    lease: Duration,
) -> Result<Vec<StoredAlert>, StoreError> {
    let kept = micros(now.checked_sub(ALERTS_KEPT).unwrap_or(Timestamp::MIN));
    c.prepare_cached(
        "DELETE FROM alert WHERE id IN (SELECT id FROM alert INDEXED BY alert_over
         WHERE state > 0 AND open = 0 AND created < ? LIMIT ?)",
    )?
    .execute(params![kept, FORGOTTEN_AT_ONCE])?;
    let mut statement = c.prepare_cached(
        "SELECT * FROM alert INDEXED BY alert_due WHERE state = 0 AND due <= ? ORDER BY due, id LIMIT ?",
    )?;
    let rows = statement.query_map(params![micros(now), i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
        Ok(StoredAlert { alert: alert(row)?, attempts: row.get("attempts")?, raised: moment(row, "created")? })
    })?;
    let due: Vec<StoredAlert> = rows.collect::<Result<_, _>>()?;
    let mut later = c.prepare_cached("UPDATE alert SET due = ? WHERE id = ?")?;
    for stored in &due {
        later.execute(params![micros_after(now, lease), stored.alert.id.as_bytes()])?;
    }
    Ok(due)
}

pub(super) fn settle_alert(c: &Connection, id: Uuid, settled: AlertSettled) -> Result<(), StoreError> {
    let (state, due) = match settled {
        AlertSettled::Told => (1, None),
        AlertSettled::GivenUp => (2, None),
        AlertSettled::Later(at) => (0, Some(micros(at))),
    };
    c.prepare_cached(
        "UPDATE alert SET state = ?, due = coalesce(?, due), attempts = attempts + 1 WHERE id = ? AND state = 0",
    )?
    .execute(params![state, due, id.as_bytes()])?;
    Ok(())
}

pub(super) fn open_alerts(c: &Connection, limit: usize) -> Result<Vec<Alert>, StoreError> {
    let mut statement =
        c.prepare_cached("SELECT * FROM alert INDEXED BY alert_open WHERE open = 1 ORDER BY since, id LIMIT ?")?;
    let rows = statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], alert)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn alert(row: &Row<'_>) -> rusqlite::Result<Alert> {
    let known = |column: &str| -> rusqlite::Result<Option<Uuid>> {
        Ok(row.get::<_, Option<[u8; 16]>>(column)?.map(Uuid::from_bytes))
    };
    Ok(Alert {
        id: uuid(row, "id")?,
        kind: parse(row, "kind")?,
        subject: row.get("subject")?,
        task: known("task")?.map(TaskId),
        message: known("message")?,
        since: moment(row, "since")?,
        text: row.get("text")?,
    })
}

#[async_trait]
impl AlertStore for SqliteStore {
    async fn raise(&self, alerts: Vec<Alert>) -> Result<(), StoreError> {
        let now = self.now();
        self.writer.run("raise", move |c| raise(c, &alerts, now)).await
    }

    async fn end_alert(&self, kind: AlertKind, subject: &str) -> Result<bool, StoreError> {
        let subject = subject.to_owned();
        self.writer.run("end_alert", move |c| end_alert(c, kind, &subject)).await
    }

    async fn claim_alerts(&self, limit: usize, lease: Duration) -> Result<Vec<StoredAlert>, StoreError> {
        let now = self.now();
        self.writer.run("claim_alerts", move |c| claim_alerts(c, limit, now, lease)).await
    }

    async fn settle_alert(&self, id: Uuid, settled: AlertSettled) -> Result<(), StoreError> {
        self.writer.run("settle_alert", move |c| settle_alert(c, id, settled)).await
    }

    async fn open_alerts(&self, limit: usize) -> Result<Vec<Alert>, StoreError> {
        self.readers.run(move |c| open_alerts(c, limit)).await
    }
}

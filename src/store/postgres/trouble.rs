//! What went wrong and waits for somebody: dead letters, deadlines, Tasks in trouble, alerts.

use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use super::{
    PostgresStore, batch, chore,
    link::Link,
    rows::{
        self, TASK_COLUMNS, all, count, get, micros, micros_after, moment, number, parse, shown, side, task_record,
    },
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

fn dead(row: &Row) -> Result<DeadLetter, StoreError> {
    Ok(DeadLetter {
        message: get(row, "id")?,
        task: TaskId(get(row, "task")?),
        side: side(row, "side")?,
        seq: number(row, "seq")?,
        to: get(row, "destination")?,
        attempts: count(row, "attempts")?,
        since: moment(row, "created")?,
        why: get::<Option<String>>(row, "why")?.unwrap_or_default(),
    })
}

pub(super) async fn dead_letter(link: &Link, message: Uuid) -> Result<Option<DeadLetter>, StoreError> {
    let rows = link.query("SELECT * FROM outbox WHERE id = $1 AND state = 3", &[&message]).await?;
    rows.first().map(dead).transpose()
}

pub(super) async fn dead_head(link: &Link, message: Uuid) -> Result<Option<LaneHead>, StoreError> {
    let sql = "SELECT o.seq, o.attempts, o.created, CASE o.side WHEN 0 THEN t.d_cursor ELSE t.w_cursor END AS cursor,
                      CASE o.side WHEN 0 THEN t.d_memory ELSE t.w_memory END AS memory
               FROM outbox o JOIN task t ON t.id = o.task WHERE o.id = $1 AND o.state = 3";
    let rows = link.query(sql, &[&message]).await?;
    let head = |row: &Row| {
        Ok(LaneHead {
            message,
            seq: number(row, "seq")?,
            attempts: count(row, "attempts")?,
            since: moment(row, "created")?,
            cursor: number(row, "cursor")?,
            memory: get(row, "memory")?,
        })
    };
    rows.first().map(head).transpose()
}

pub(super) async fn find_dead(link: &Link, query: &DeadQuery) -> Result<Vec<DeadLetter>, StoreError> {
    let order = if query.task.is_some() { "side, seq" } else { "created, id" };
    let mut sql = "SELECT * FROM outbox WHERE state = 3".to_owned();
    let mut values: Vec<Box<dyn ToSql + Sync + Send>> = Vec::new();
    let mut and = |condition: &str, value: Box<dyn ToSql + Sync + Send>| {
        values.push(value);
        sql.push_str(&condition.replace("{}", &format!("${}", values.len())));
    };
    if let Some(message) = query.message {
        and(" AND id = {}", Box::new(message));
    }
    if let Some(task) = query.task {
        and(" AND task = {}", Box::new(task.0));
    }
    if let Some(side) = query.side {
        and(" AND side = {}", Box::new(rows::side_code(side)));
    }
    if let Some(to) = &query.to {
        and(" AND destination = {}", Box::new(shown(to).into_owned()));
    }
    if let Some(since) = query.since {
        and(" AND created >= {}", Box::new(micros(since)));
    }
    if let Some(until) = query.until {
        and(" AND created <= {}", Box::new(micros(until)));
    }
    if let Some(words) = &query.why {
        and(" AND position(lower({}) IN lower(coalesce(why, ''))) > 0", Box::new(shown(words).into_owned()));
    }
    if let Some((at, id)) = query.after {
        and(" AND (created, id) > ({}", Box::new(micros(at)));
        and(", {})", Box::new(id));
    }
    and(&format!(" ORDER BY {order} LIMIT {{}}"), Box::new(rows::limit(query.count)));
    let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|v| &**v as &(dyn ToSql + Sync)).collect();
    all(&link.search(&sql, &values).await?, dead)
}

pub(super) async fn claim_deadlines(
    link: &Link,
    limit: usize,
    now: Timestamp,
    lease: Duration,
) -> Result<Vec<TaskRecord>, StoreError> {
    let sql = sql!(
        "WITH due AS MATERIALIZED (
             SELECT id, due_at AS was FROM task WHERE due_at IS NOT NULL AND due_at <= $1::bigint
             ORDER BY due_at LIMIT $2::bigint FOR UPDATE SKIP LOCKED
         )
         UPDATE task t SET due_at = $3::bigint FROM due WHERE t.id = due.id RETURNING due.was, {TASK_COLUMNS}"
    );
    let rows = link.query_once(sql, &[&micros(now), &rows::limit(limit), &micros_after(now, lease)]).await?;
    let mut due = all(&rows, |row| Ok((get::<i64>(row, "was")?, task_record(row)?)))?;
    due.sort_by_key(|(was, task)| (*was, task.id));
    Ok(due.into_iter().map(|(_, task)| task).collect())
}

pub(super) async fn troubled(
    link: &Link,
    after: Option<(Timestamp, TaskId)>,
    count: usize,
) -> Result<Vec<Troubled>, StoreError> {
    // the words of the index: without them all Tasks would be read
    let sql = sql!(
        "SELECT {TASK_COLUMNS}, t.transport_since FROM task t
         WHERE t.transport IN ('delivery-delayed', 'not-opened', 'overdue', 'copy-unreadable') AND NOT t.seen_to
           AND (t.transport_since, t.id) > ($1, $2)
         ORDER BY t.transport_since, t.id LIMIT $3"
    );
    let (at, id) = after.map_or((i64::MIN, Uuid::nil()), |(at, id)| (micros(at), id.0));
    all(&link.query(sql, &[&at, &id, &rows::limit(count)]).await?, |row| {
        Ok(Troubled { task: task_record(row)?, since: moment(row, "transport_since")? })
    })
}

pub(super) async fn raise(link: &Link, alerts: &[Alert], now: Timestamp) -> Result<(), StoreError> {
    batch::raise(alerts, now).run(link).await
}

pub(super) async fn end_alert(link: &Link, kind: AlertKind, subject: &str) -> Result<bool, StoreError> {
    let sql = "UPDATE alert SET open = false WHERE kind = $1 AND subject = $2 AND open RETURNING 1";
    Ok(!link.query_once(sql, &[&kind.code(), &shown(subject)]).await?.is_empty())
}

pub(super) async fn claim_alerts(
    link: &Link,
    limit: usize,
    now: Timestamp,
    lease: Duration,
) -> Result<Vec<StoredAlert>, StoreError> {
    let kept = micros(now.checked_sub(ALERTS_KEPT).unwrap_or(Timestamp::MIN));
    let forget = "DELETE FROM alert WHERE id IN (SELECT id FROM alert
                  WHERE state > 0 AND NOT open AND created < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)";
    link.query(forget, &[&kept, &FORGOTTEN_AT_ONCE]).await?;
    let claim = "WITH due AS MATERIALIZED (
            SELECT id, due AS was FROM alert WHERE state = 0 AND due <= $1::bigint
            ORDER BY due, id LIMIT $2::bigint FOR UPDATE SKIP LOCKED
        )
        UPDATE alert a SET due = $3::bigint FROM due WHERE a.id = due.id RETURNING due.was, a.*";
    let rows = link.query_once(claim, &[&micros(now), &rows::limit(limit), &micros_after(now, lease)]).await?;
    let mut due = all(&rows, |row| {
        let stored =
            StoredAlert { alert: alert(row)?, attempts: count(row, "attempts")?, raised: moment(row, "created")? };
        Ok((get::<i64>(row, "was")?, stored))
    })?;
    due.sort_by_key(|(was, stored)| (*was, stored.alert.id));
    Ok(due.into_iter().map(|(_, stored)| stored).collect())
}

pub(super) async fn settle_alert(link: &Link, id: Uuid, settled: AlertSettled) -> Result<(), StoreError> {
    let (state, due): (i16, Option<i64>) = match settled {
        AlertSettled::Told => (1, None),
        AlertSettled::GivenUp => (2, None),
        AlertSettled::Later(at) => (0, Some(micros(at))),
    };
    let sql = "UPDATE alert SET state = $1::smallint, due = coalesce($2::bigint, due), attempts = attempts + 1
               WHERE id = $3 AND state = 0";
    link.query_once(sql, &[&state, &due, &id]).await.map(drop)
}

pub(super) async fn open_alerts(link: &Link, limit: usize) -> Result<Vec<Alert>, StoreError> {
    all(&link.query("SELECT * FROM alert WHERE open ORDER BY since, id LIMIT $1", &[&rows::limit(limit)]).await?, alert)
}

fn alert(row: &Row) -> Result<Alert, StoreError> {
    Ok(Alert {
        id: get(row, "id")?,
        kind: parse(row, "kind")?,
        subject: get(row, "subject")?,
        task: get::<Option<Uuid>>(row, "task")?.map(TaskId),
        message: get(row, "message")?,
        since: moment(row, "since")?,
        text: get(row, "text")?,
    })
}

#[async_trait]
impl AlertStore for PostgresStore {
    async fn raise(&self, alerts: Vec<Alert>) -> Result<(), StoreError> {
        self.open_for_writing()?;
        chore("raise");
        raise(&self.chores, &alerts, self.now()).await
    }

    async fn end_alert(&self, kind: AlertKind, subject: &str) -> Result<bool, StoreError> {
        chore("end_alert");
        end_alert(&self.chores, kind, subject).await
    }

    async fn claim_alerts(&self, limit: usize, lease: Duration) -> Result<Vec<StoredAlert>, StoreError> {
        self.open_for_writing()?;
        chore("claim_alerts");
        claim_alerts(&self.chores, limit, self.now(), lease).await
    }

    async fn settle_alert(&self, id: Uuid, settled: AlertSettled) -> Result<(), StoreError> {
        chore("settle_alert");
        settle_alert(&self.chores, id, settled).await
    }

    async fn open_alerts(&self, limit: usize) -> Result<Vec<Alert>, StoreError> {
        open_alerts(self.reader(), limit).await
    }
}

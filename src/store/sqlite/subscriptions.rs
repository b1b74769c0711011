//! Subscriptions and their events.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{
    SqliteStore,
    rows::{json, micros, micros_after, moment, parse, uuid},
};
use crate::{
    domain::{Subscriber, Subscription, SubscriptionEvent, SubscriptionStatus, TaskId, subscription::Progress},
    store::{EVENTS_KEPT, Store, StoreError, SubscriptionStore},
};

fn subscription(row: &Row<'_>) -> rusqlite::Result<Subscription> {
    Ok(Subscription {
        id: uuid(row, "id")?,
        owner: parse(row, "owner")?,
        version: row.get("version")?,
        last_updated: moment(row, "last_updated")?,
        status: parse(row, "status")?,
        body: row.get("body")?,
        seen_until: moment(row, "seen_until")?,
        events: row.get("events")?,
        progress: json(row, "progress")?,
        lease: row.get("lease")?,
    })
}

fn written(progress: &Progress) -> Result<String, StoreError> {
    serde_json::to_string(progress).map_err(|error| StoreError::Corrupt(error.to_string()))
}

pub(super) fn add(c: &Connection, new: &Subscription, now: Timestamp) -> Result<(), StoreError> {
    c.prepare_cached(
        "INSERT INTO subscription (id, owner, version, last_updated, status, seen_until, events, progress, lease, due, body)
         VALUES (?,?,?,?,?,?,?,?,?,?,?)",
    )?
    .execute(params![
        new.id.as_bytes(),
        new.owner.to_string(),
        new.version,
        micros(new.last_updated),
        new.status.code(),
        micros(new.seen_until),
        new.events,
        written(&new.progress)?,
        new.lease,
        micros(now),
        new.body,
    ])?;
    Ok(())
}

pub(super) fn get(c: &Connection, id: Uuid) -> Result<Option<Subscription>, StoreError> {
    let mut statement = c.prepare_cached("SELECT * FROM subscription WHERE id = ?")?;
    Ok(statement.query_row([id.as_bytes()], subscription).optional()?)
}

pub(super) fn of(c: &Connection, owner: &Subscriber) -> Result<Vec<Subscription>, StoreError> {
    let mut statement = c.prepare_cached("SELECT * FROM subscription WHERE owner = ? ORDER BY id")?;
    let rows = statement.query_map([owner.to_string()], subscription)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn rewrite(
    c: &Connection,
    id: Uuid,
    over: u64,
    status: SubscriptionStatus,
    body: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let Some(before) = get(c, id)?.filter(|before| before.version == over) else { return Ok(false) };
    let progress = before.progress.afresh();
    c.prepare_cached(
        "UPDATE subscription SET version = version + 1, last_updated = ?1, status = ?2, body = ?3, progress = ?4, lease = lease + 1,
                due = ?1, seen_until = CASE WHEN status = 'off' THEN ?1 ELSE seen_until END WHERE id = ?5",
    )?
    .execute(params![micros(now), status.code(), body, written(&progress)?, id.as_bytes()])?;
    Ok(true)
}

pub(super) fn remove(c: &Connection, id: Uuid) -> Result<(), StoreError> {
    c.prepare_cached("DELETE FROM subscription_event WHERE subscription = ?")?.execute([id.as_bytes()])?;
    c.prepare_cached("DELETE FROM subscription WHERE id = ?")?.execute([id.as_bytes()])?;
    Ok(())
}

pub(super) fn claim(
    c: &Connection,
    limit: usize,
    now: Timestamp,
    lease: Duration,
) -> Result<Vec<Subscription>, StoreError> {
    let mut statement = c.prepare_cached(
        "UPDATE subscription SET due = ?1, lease = lease + 1 WHERE id IN
           (SELECT id FROM subscription INDEXED BY subscription_due
            WHERE status IN ('requested', 'active') AND due <= ?2 ORDER BY due LIMIT ?3)
         RETURNING *",
    )?;
    let until = micros_after(now, lease);
    let rows =
        statement.query_map(params![until, micros(now), i64::try_from(limit).unwrap_or(i64::MAX)], subscription)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn take_up(
    c: &Connection,
    id: Uuid,
    lease: u64,
    changes: &[(TaskId, u64, Timestamp)],
    seen_until: Timestamp,
) -> Result<Option<u64>, StoreError> {
    let Some(held) = get(c, id)?.filter(|held| held.lease == lease) else { return Ok(None) };
    let mut events = held.events;
    let mut insert = c.prepare_cached(
        "INSERT OR IGNORE INTO subscription_event (subscription, number, task, version, at) VALUES (?,?,?,?,?)",
    )?;
    for (task, version, at) in changes {
        let new = params![id.as_bytes(), events + 1, task.0.as_bytes(), version, micros(*at)];
        events += u64::from(insert.execute(new)? > 0);
    }
    c.prepare_cached("UPDATE subscription SET events = ?, seen_until = ? WHERE id = ?")?.execute(params![
        events,
        micros(seen_until),
        id.as_bytes()
    ])?;
    Ok(Some(events))
}

pub(super) fn settle(
    c: &Connection,
    id: Uuid,
    lease: u64,
    status: SubscriptionStatus,
    progress: &Progress,
    until: Option<Duration>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let due = match until {
        Some(until) => micros_after(now, until),
        None => micros(progress.next.unwrap_or(now)),
    };
    let settled = c
        .prepare_cached(
            "UPDATE subscription SET version = version + (status <> ?1),
                    last_updated = CASE WHEN status <> ?1 THEN ?5 ELSE last_updated END,
                    status = ?1, progress = ?2, due = ?3 WHERE id = ?4 AND lease = ?6",
        )?
        .execute(params![status.code(), written(progress)?, due, id.as_bytes(), micros(now), lease])?;
    if let (1.., Some(over @ 1..)) = (settled, progress.sent.checked_sub(EVENTS_KEPT)) {
        c.prepare_cached("DELETE FROM subscription_event WHERE subscription = ? AND number <= ?")?
            .execute(params![id.as_bytes(), over])?;
    }
    Ok(settled > 0)
}

pub(super) fn events(c: &Connection, id: Uuid, from: u64, to: u64) -> Result<Vec<SubscriptionEvent>, StoreError> {
    let mut statement = c.prepare_cached(
        "SELECT * FROM subscription_event WHERE subscription = ? AND number BETWEEN ? AND ? ORDER BY number",
    )?;
    let to = i64::try_from(to).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![id.as_bytes(), i64::try_from(from).unwrap_or(i64::MAX), to], |row| {
        Ok(SubscriptionEvent {
            number: row.get("number")?,
            task: TaskId(uuid(row, "task")?),
            version: row.get("version")?,
            at: moment(row, "at")?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[async_trait]
impl SubscriptionStore for SqliteStore {
    async fn add_subscription(&self, new: Subscription) -> Result<(), StoreError> {
        let now = self.now();
        self.writer.run("add_subscription", move |c| add(c, &new, now)).await
    }

    async fn subscription(&self, id: Uuid) -> Result<Option<Subscription>, StoreError> {
        self.readers.run(move |c| get(c, id)).await
    }

    async fn subscriptions(&self, owner: &Subscriber) -> Result<Vec<Subscription>, StoreError> {
        let owner = owner.clone();
        self.readers.run(move |c| of(c, &owner)).await
    }

    async fn rewrite_subscription(
        &self,
        id: Uuid,
        over: u64,
        status: SubscriptionStatus,
        body: String,
    ) -> Result<bool, StoreError> {
        let now = self.now();
        let rewrite = move |c: &Connection| rewrite(c, id, over, status, &body, now);
        self.writer.run("rewrite_subscription", rewrite).await
    }

    async fn remove_subscription(&self, id: Uuid) -> Result<(), StoreError> {
        self.writer.run("remove_subscription", move |c| remove(c, id)).await
    }

    async fn claim_subscriptions(&self, limit: usize, lease: Duration) -> Result<Vec<Subscription>, StoreError> {
        let now = self.now();
        self.writer.run("claim_subscriptions", move |c| claim(c, limit, now, lease)).await
    }

    async fn take_up(
        &self,
        id: Uuid,
        lease: u64,
        changes: Vec<(TaskId, u64, Timestamp)>,
        seen_until: Timestamp,
    ) -> Result<Option<u64>, StoreError> {
        self.writer.run("take_up", move |c| take_up(c, id, lease, &changes, seen_until)).await
    }

    async fn settle_subscription(
        &self,
        id: Uuid,
        lease: u64,
        status: SubscriptionStatus,
        progress: Progress,
        until: Option<Duration>,
    ) -> Result<bool, StoreError> {
        let now = self.now();
        let settle = move |c: &Connection| settle(c, id, lease, status, &progress, until, now);
        self.writer.run("settle_subscription", settle).await
    }

    async fn subscription_events(&self, id: Uuid, from: u64, to: u64) -> Result<Vec<SubscriptionEvent>, StoreError> {
        self.readers.run(move |c| events(c, id, from, to)).await
    }
}

//! Subscriptions and their events.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    PostgresStore, chore,
    link::Link,
    rows::{self, all, big, json, micros, micros_after, moment, number, parse, shown},
};
use crate::{
    domain::{Subscriber, Subscription, SubscriptionEvent, SubscriptionStatus, TaskId, subscription::Progress},
    store::{EVENTS_KEPT, Store, StoreError, SubscriptionStore},
};

fn subscription(row: &Row) -> Result<Subscription, StoreError> {
    Ok(Subscription {
        id: rows::get(row, "id")?,
        owner: parse(row, "owner")?,
        version: number(row, "version")?,
        last_updated: moment(row, "last_updated")?,
        status: parse(row, "status")?,
        body: rows::get(row, "body")?,
        seen_until: moment(row, "seen_until")?,
        events: number(row, "events")?,
        progress: json(row, "progress")?,
        lease: number(row, "lease")?,
    })
}

fn written(progress: &Progress) -> Result<String, StoreError> {
    serde_json::to_string(progress).map_err(rows::corrupt)
}

pub(super) async fn add(link: &Link, new: &Subscription, now: Timestamp) -> Result<(), StoreError> {
    let sql = "INSERT INTO subscription (id, owner, version, last_updated, status, seen_until, events, progress, lease, due, body)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    let (owner, progress) = (new.owner.to_string(), written(&new.progress)?);
    let (version, events, lease) = (big(new.version), big(new.events), big(new.lease));
    let (updated, seen, due) = (micros(new.last_updated), micros(new.seen_until), micros(now));
    let values: super::link::Values<'_> = &[
        &new.id,
        &owner,
        &version,
        &updated,
        &new.status.code(),
        &seen,
        &events,
        &progress,
        &lease,
        &due,
        &shown(&new.body),
    ];
    link.query_once(sql, values).await.map(drop)
}

pub(super) async fn get(link: &Link, id: Uuid) -> Result<Option<Subscription>, StoreError> {
    let found = link.query("SELECT * FROM subscription WHERE id = $1", &[&id]).await?;
    found.first().map(subscription).transpose()
}

pub(super) async fn of(link: &Link, owner: &Subscriber) -> Result<Vec<Subscription>, StoreError> {
    let sql = "SELECT * FROM subscription WHERE owner = $1 ORDER BY id";
    all(&link.query(sql, &[&owner.to_string()]).await?, subscription)
}

pub(super) async fn rewrite(
    link: &Link,
    id: Uuid,
    over: u64,
    status: SubscriptionStatus,
    body: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let Some(before) = get(link, id).await?.filter(|before| before.version == over) else { return Ok(false) };
    let progress = written(&before.progress.afresh())?;
    let sql = "UPDATE subscription SET version = version + 1, last_updated = $1, status = $2, body = $3, progress = $4,
                      lease = lease + 1, due = $1, seen_until = CASE WHEN status = 'off' THEN $1 ELSE seen_until END
               WHERE id = $5 AND version = $6 RETURNING 1";
    let values: super::link::Values<'_> = &[&micros(now), &status.code(), &shown(body), &progress, &id, &big(over)];
    Ok(!link.query_once(sql, values).await?.is_empty())
}

pub(super) async fn remove(link: &Link, id: Uuid) -> Result<(), StoreError> {
    let sql = "WITH gone AS (DELETE FROM subscription WHERE id = $1)
               DELETE FROM subscription_event WHERE subscription = $1";
    link.query_once(sql, &[&id]).await.map(drop)
}

pub(super) async fn claim(
    link: &Link,
    limit: usize,
    now: Timestamp,
    lease: Duration,
) -> Result<Vec<Subscription>, StoreError> {
    let sql = "WITH due AS MATERIALIZED (
            SELECT id FROM subscription WHERE status IN ('requested', 'active') AND due <= $1::bigint
            ORDER BY due LIMIT $2::bigint FOR UPDATE SKIP LOCKED
        )
        UPDATE subscription s SET due = $3::bigint, lease = lease + 1 FROM due WHERE s.id = due.id RETURNING s.*";
    let values: super::link::Values<'_> = &[&micros(now), &rows::limit(limit), &micros_after(now, lease)];
    all(&link.query_once(sql, values).await?, subscription)
}

pub(super) async fn take_up(
    link: &Link,
    id: Uuid,
    lease: u64,
    changes: &[(TaskId, u64, Timestamp)],
    seen_until: Timestamp,
) -> Result<Option<u64>, StoreError> {
    // one statement, which locks the subscription: its numbers have no gaps
    let sql = "WITH held AS MATERIALIZED (
            SELECT id, events FROM subscription WHERE id = $1 AND lease = $2 FOR UPDATE
        ), new AS MATERIALIZED (
            SELECT x.task, x.version, x.at, row_number() OVER (ORDER BY x.place) AS n
            FROM UNNEST($3::uuid[], $4::bigint[], $5::bigint[]) WITH ORDINALITY AS x (task, version, at, place)
            WHERE NOT EXISTS (SELECT 1 FROM subscription_event e
                              WHERE e.subscription = $1 AND e.task = x.task AND e.version = x.version)
        ), told AS (
            INSERT INTO subscription_event (subscription, number, task, version, at)
            SELECT held.id, held.events + new.n, new.task, new.version, new.at FROM held, new
        )
        UPDATE subscription s SET seen_until = $6, events = s.events + (SELECT count(*) FROM new)
        FROM held WHERE s.id = held.id RETURNING s.events";
    let tasks: Vec<Uuid> = changes.iter().map(|(task, ..)| task.0).collect();
    let versions: Vec<i64> = changes.iter().map(|(_, version, _)| big(*version)).collect();
    let moments: Vec<i64> = changes.iter().map(|(.., at)| micros(*at)).collect();
    let values: super::link::Values<'_> = &[&id, &big(lease), &tasks, &versions, &moments, &micros(seen_until)];
    let found = link.query_once(sql, values).await?;
    found.first().map(|row| number(row, "events")).transpose()
}

pub(super) async fn settle(
    link: &Link,
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
    let sql = "UPDATE subscription SET version = version + CASE WHEN status <> $1 THEN 1 ELSE 0 END,
                      last_updated = CASE WHEN status <> $1 THEN $5::bigint ELSE last_updated END,
                      status = $1, progress = $2, due = $3
               WHERE id = $4 AND lease = $6 RETURNING 1";
    let values: super::link::Values<'_> = &[&status.code(), &written(progress)?, &due, &id, &micros(now), &big(lease)];
    let settled = !link.query_once(sql, values).await?.is_empty();
    if let (true, Some(over @ 1..)) = (settled, progress.sent.checked_sub(EVENTS_KEPT)) {
        let sql = "DELETE FROM subscription_event WHERE subscription = $1 AND number <= $2";
        link.query_once(sql, &[&id, &big(over)]).await?;
    }
    Ok(settled)
}

pub(super) async fn events(link: &Link, id: Uuid, from: u64, to: u64) -> Result<Vec<SubscriptionEvent>, StoreError> {
    let sql = "SELECT * FROM subscription_event WHERE subscription = $1 AND number BETWEEN $2 AND $3 ORDER BY number";
    all(&link.query(sql, &[&id, &big(from), &big(to)]).await?, |row| {
        Ok(SubscriptionEvent {
            number: number(row, "number")?,
            task: TaskId(rows::get(row, "task")?),
            version: number(row, "version")?,
            at: moment(row, "at")?,
        })
    })
}

#[async_trait]
impl SubscriptionStore for PostgresStore {
    async fn add_subscription(&self, new: Subscription) -> Result<(), StoreError> {
        add(&self.chores, &new, self.now()).await
    }

    async fn subscription(&self, id: Uuid) -> Result<Option<Subscription>, StoreError> {
        get(self.reader(), id).await
    }

    async fn subscriptions(&self, owner: &Subscriber) -> Result<Vec<Subscription>, StoreError> {
        of(self.reader(), owner).await
    }

    async fn rewrite_subscription(
        &self,
        id: Uuid,
        over: u64,
        status: SubscriptionStatus,
        body: String,
    ) -> Result<bool, StoreError> {
        rewrite(&self.chores, id, over, status, &body, self.now()).await
    }

    async fn remove_subscription(&self, id: Uuid) -> Result<(), StoreError> {
        remove(&self.chores, id).await
    }

    async fn claim_subscriptions(&self, limit: usize, lease: Duration) -> Result<Vec<Subscription>, StoreError> {
        chore("claim_subscriptions");
        claim(&self.chores, limit, self.now(), lease).await
    }

    async fn take_up(
        &self,
        id: Uuid,
        lease: u64,
        changes: Vec<(TaskId, u64, Timestamp)>,
        seen_until: Timestamp,
    ) -> Result<Option<u64>, StoreError> {
        chore("take_up");
        take_up(&self.chores, id, lease, &changes, seen_until).await
    }

    async fn settle_subscription(
        &self,
        id: Uuid,
        lease: u64,
        status: SubscriptionStatus,
        progress: Progress,
        until: Option<Duration>,
    ) -> Result<bool, StoreError> {
        chore("settle_subscription");
        settle(&self.chores, id, lease, status, &progress, until, self.now()).await
    }

    async fn subscription_events(&self, id: Uuid, from: u64, to: u64) -> Result<Vec<SubscriptionEvent>, StoreError> {
        events(self.reader(), id, from, to).await
    }
}

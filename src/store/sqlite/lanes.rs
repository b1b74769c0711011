//! Lanes: who has one, what stands at its head, and how the provider's copy is watched.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{
    SqliteStore, breakers, claim, outbox, read,
    rows::{micros, micros_after, moment, uuid},
    trouble,
};
use crate::{
    domain::{Destination, Side, TaskId, breaker::Breaker},
    store::{
        Backlog, Claim, DeadLetter, DeadQuery, Due, Failing, LaneHead, LaneState, LaneStore, Poll, Shares, Store,
        StoreError, StoredBreaker, TaskRecord,
    },
};

/// Makes both lanes of a new Task.
pub(super) fn make(c: &Connection, task: TaskId) -> Result<(), StoreError> {
    let mut statement = c.prepare_cached("INSERT INTO lane (task, side) VALUES (?, ?)")?;
    for side in Side::ALL {
        statement.execute(params![task.0.as_bytes(), side.code()])?;
    }
    Ok(())
}

/// The message a lane has to send next, if it is due.
pub(super) fn due_head(
    c: &Connection,
    task: TaskId,
    side: Side,
    now: Timestamp,
) -> Result<Option<LaneHead>, StoreError> {
    let head = c
        .prepare_cached(
            "SELECT o.id, o.seq, o.attempts, o.created, o.not_before, l.cursor, l.memory
             FROM outbox o JOIN lane l ON l.task = o.task AND l.side = o.side
             WHERE o.task = ? AND o.side = ? AND o.state IN (0, 1) ORDER BY o.seq LIMIT 1",
        )?
        .query_row(params![task.0.as_bytes(), side.code()], |row| {
            let not_before = moment(row, "not_before")?;
            let head = LaneHead {
                message: uuid(row, "id")?,
                seq: row.get("seq")?,
                attempts: row.get("attempts")?,
                since: moment(row, "created")?,
                cursor: row.get("cursor")?,
                memory: row.get("memory")?,
            };
            Ok((not_before, head))
        })
        .optional()?;
    Ok(head.filter(|(not_before, _)| *not_before <= now).map(|(_, head)| head))
}

pub(super) fn lease(
    c: &Connection,
    task: TaskId,
    side: Side,
    now: Timestamp,
    duration: Duration,
) -> Result<LaneState, StoreError> {
    let Some(head) = due_head(c, task, side, now)? else { return Ok(LaneState::Idle) };
    let token: Option<u64> = c
        .prepare_cached(
            "UPDATE lane SET lease = lease + 1, lease_until = ?1
             WHERE task = ?2 AND side = ?3 AND (lease_until IS NULL OR lease_until <= ?4) RETURNING lease",
        )?
        .query_row(params![micros_after(now, duration), task.0.as_bytes(), side.code(), micros(now)], |row| row.get(0))
        .optional()?;
    let Some(lease) = token else { return Ok(LaneState::Busy) };
    let Some(task) = read::task(c, task)? else { return Ok(LaneState::Idle) };
    Ok(LaneState::Leased { lease, head, task: Box::new(task) })
}

/// Whether certainly nothing was sent to the provider: every lease of its lane ended with a note of what came of it, and none of
/// these says that it may have arrived (that is the Task's to know). Only the head was ever tried then, once a lease.
pub(super) fn unsent(c: &Connection, task: TaskId) -> Result<bool, StoreError> {
    let noted: Option<bool> = c
        .prepare_cached(
            "SELECT l.lease_until IS NULL AND l.lease = o.attempts
             FROM lane l JOIN outbox o ON o.task = l.task AND o.side = l.side
             WHERE l.task = ? AND l.side = 'delivery' ORDER BY o.seq LIMIT 1",
        )?
        .query_row([task.0.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(noted == Some(true))
}

/// Ends a lease, unless it has passed on already.
pub(super) fn release(c: &Connection, task: TaskId, side: Side, lease: u64) -> Result<(), StoreError> {
    c.prepare_cached("UPDATE lane SET lease_until = NULL WHERE task = ? AND side = ? AND lease = ?")?
        .execute(params![task.0.as_bytes(), side.code(), lease])?;
    Ok(())
}

/// A copy may be anyone's for at most so long.
const POLL_LEASE_MAX: Duration = Duration::from_secs(150);

/// A service that starts alone: the leases of its predecessor, and of what that had not yet published, are over. A copy that is
/// due soon may be one that was being read, so it is due now.
pub(super) fn end_all_leases(c: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    c.execute("UPDATE lane SET lease_until = NULL WHERE lease_until IS NOT NULL", [])?;
    c.execute("UPDATE outbox SET lease_until = NULL WHERE state = 0 AND due > not_before", [])?;
    c.execute("UPDATE outbox SET lease_until = NULL, state = 0 WHERE state = 1", [])?;
    let soon = micros_after(now, POLL_LEASE_MAX);
    c.execute("UPDATE breaker SET until = ? WHERE phase IN ('probing', 'draining')", [micros(now)])?;
    c.execute("UPDATE lane SET poll_at = ? WHERE poll_at BETWEEN ? AND ?", params![micros(now), micros(now), soon])?;
    Ok(())
}

pub(super) fn plan_poll(c: &Connection, task: TaskId, poll: &Poll) -> Result<(), StoreError> {
    c.prepare_cached(
        "UPDATE lane SET memory = coalesce(?1, memory), poll_at = ?2, poll_of = (SELECT inbox FROM task WHERE id = ?3)
         WHERE task = ?3 AND side = 'delivery'",
    )?
    .execute(params![poll.memory, poll.at.map(micros), task.0.as_bytes()])?;
    Ok(())
}

#[async_trait]
impl LaneStore for SqliteStore {
    async fn lease_lane(&self, task: TaskId, side: Side, lease: Duration) -> Result<LaneState, StoreError> {
        let now = self.now();
        self.writer.run("lease_lane", move |c| super::lanes::lease(c, task, side, now, lease)).await
    }

    async fn release_lane(&self, task: TaskId, side: Side, lease: u64) -> Result<(), StoreError> {
        self.writer.run("release_lane", move |c| release(c, task, side, lease)).await
    }

    async fn destinations(&self) -> Result<Vec<(Side, String)>, StoreError> {
        self.readers.run(claim::unfinished).await
    }

    async fn claim_due(&self, claim: Claim) -> Result<Due, StoreError> {
        let now = self.now();
        self.writer.run("claim_due", move |c| claim::due(c, &claim, now)).await
    }

    async fn put_aside(&self, message: Uuid, age: Duration) -> Result<bool, StoreError> {
        let now = self.now();
        self.writer.run("put_aside", move |c| outbox::put_aside(c, message, age, now)).await
    }

    async fn breakers(&self) -> Result<Vec<StoredBreaker>, StoreError> {
        self.readers.run(breakers::all).await
    }

    async fn set_breaker(&self, of: &Destination, version: u64, breaker: Breaker) -> Result<bool, StoreError> {
        let of = of.clone();
        self.writer.run("set_breaker", move |c| breakers::set(c, &of, version, &breaker)).await
    }

    async fn mark_published(&self, messages: Vec<Uuid>) -> Result<(), StoreError> {
        let now = self.now();
        self.writer.run("mark_published", move |c| outbox::mark_published(c, &messages, now)).await
    }

    async fn rearm_published(&self, message: Uuid) -> Result<(), StoreError> {
        let now = self.now();
        self.writer.run("rearm_published", move |c| outbox::rearm_published(c, message, now)).await
    }

    async fn claim_polls(&self, shares: Shares, lease: Duration) -> Result<Vec<(TaskRecord, String)>, StoreError> {
        let now = self.now();
        self.writer.run("claim_polls", move |c| claim::polls(c, &shares, now, lease)).await
    }

    async fn plan_poll(&self, task: TaskId, poll: Poll) -> Result<(), StoreError> {
        self.writer.run("plan_poll", move |c| plan_poll(c, task, &poll)).await
    }

    async fn give_back_poll(&self, task: TaskId, at: Timestamp) -> Result<(), StoreError> {
        // there is no other who could have claimed it
        self.plan_poll(task, Poll { memory: None, at: Some(at) }).await
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, StoreError> {
        self.readers.run(outbox::backlog).await
    }

    async fn failing(&self) -> Result<Vec<Failing>, StoreError> {
        self.readers.run(outbox::failing).await
    }

    async fn overdue(&self) -> Result<Option<Timestamp>, StoreError> {
        let now = self.now();
        self.readers.run(move |c| outbox::overdue(c, now)).await
    }

    async fn find_dead(&self, query: DeadQuery) -> Result<Vec<DeadLetter>, StoreError> {
        self.readers.run(move |c| trouble::find_dead(c, &query)).await
    }

    async fn dead_letter(&self, message: Uuid) -> Result<Option<DeadLetter>, StoreError> {
        self.readers.run(move |c| trouble::dead_letter(c, message)).await
    }

    async fn dead_head(&self, message: Uuid) -> Result<Option<LaneHead>, StoreError> {
        self.readers.run(move |c| trouble::dead_head(c, message)).await
    }
}

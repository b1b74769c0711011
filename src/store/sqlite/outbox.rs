//! The outbox: wake-ups that are to be published, and those that died.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::rows::{micros, micros_after, moment, parse, uuid};
use crate::{
    domain::{Side, TaskId, WakeUp, clock::from_micros},
    store::{Backlog, DeadLetter, Due, StoreError},
};

/// A new row is published from memory by the process that wrote it; after this long another may do it.
const FRESH_LEASE: Duration = Duration::from_secs(30);

/// A message about to lie in the outbox.
pub(super) struct NewMessage<'a> {
    pub task: TaskId,
    pub side: Side,
    pub seq: u64,
    pub to: &'a str,
    pub route_set: &'a str,
    pub traceparent: Option<&'a str>,
}

/// Writes a row, leased to the caller, and returns the wake-up it stands for. Behind a head that waits it waits as well, and
/// nobody is woken.
pub(super) fn insert(c: &Connection, new: &NewMessage<'_>, now: Timestamp) -> Result<Option<WakeUp>, StoreError> {
    let message = Uuid::now_v7();
    let waits: Option<i64> = c
        .prepare_cached("SELECT max(not_before) FROM outbox WHERE task = ? AND side = ? AND state IN (0, 1)")?
        .query_row(params![new.task.0.as_bytes(), new.side.code()], |row| row.get(0))?;
    let not_before = waits.unwrap_or(i64::MIN).max(micros(now));
    let woken = not_before == micros(now);
    c.prepare_cached(
        "INSERT INTO outbox (id, task, side, seq, destination, route_set, traceparent, state, not_before, lease_until, created)
         VALUES (?,?,?,?,?,?,?,?,?,?,?)",
    )?
    .execute(params![
        message.as_bytes(),
        new.task.0.as_bytes(),
        new.side.code(),
        new.seq,
        new.to,
        new.route_set,
        new.traceparent,
        0,
        not_before,
        woken.then(|| micros_after(now, FRESH_LEASE)),
        micros(now),
    ])?;
    Ok(woken.then(|| WakeUp {
        task: new.task,
        side: new.side,
        seq: new.seq,
        to: new.to.to_owned(),
        message,
        route_set: new.route_set.to_owned(),
        traceparent: new.traceparent.map(str::to_owned),
    }))
}

/// What stands behind a head that waits, waits with it: the sweeper would look at it in vain, again and again.
pub(super) fn hold_back(
    c: &Connection,
    task: TaskId,
    side: Side,
    behind: u64,
    until: Timestamp,
) -> Result<(), StoreError> {
    c.prepare_cached(
        "UPDATE outbox SET state = 0, lease_until = NULL, not_before = max(not_before, ?)
         WHERE task = ? AND side = ? AND seq > ? AND state IN (0, 1)",
    )?
    .execute(params![micros(until), task.0.as_bytes(), side.code(), behind])?;
    Ok(())
}

/// Undoes [`hold_back`]. What waits after a try of its own goes on waiting.
pub(super) fn let_go(c: &Connection, task: TaskId, side: Side, behind: u64, now: Timestamp) -> Result<(), StoreError> {
    c.prepare_cached(
        "UPDATE outbox SET not_before = min(not_before, ?), state = 0, lease_until = NULL
         WHERE task = ? AND side = ? AND seq > ? AND state IN (0, 1) AND attempts = 0",
    )?
    .execute(params![micros(now), task.0.as_bytes(), side.code(), behind])?;
    Ok(())
}

fn wake_up(row: &Row<'_>) -> rusqlite::Result<WakeUp> {
    Ok(WakeUp {
        task: TaskId(uuid(row, "task")?),
        side: parse(row, "side")?,
        seq: row.get("seq")?,
        to: row.get("destination")?,
        message: uuid(row, "id")?,
        route_set: row.get("route_set")?,
        traceparent: row.get("traceparent")?,
    })
}

/// Only the head of a lane is worth a wake-up: whoever sends it goes on with what stands behind it.
const IS_HEAD: &str = "NOT EXISTS (SELECT 1 FROM outbox p WHERE p.task = o.task AND p.side = o.side AND p.seq < o.seq
                                   AND p.state IN (0, 1))";

pub(super) fn claim_due(
    c: &Connection,
    limit: usize,
    now: Timestamp,
    lease: Duration,
    republish_after: Duration,
) -> Result<Due, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let until = micros_after(now, lease);
    let interval = i64::try_from(republish_after.as_micros()).unwrap_or(i64::MAX >> 8);
    let stale = now.as_microsecond().saturating_sub(interval);
    let mut wake_ups = Vec::new();
    {
        let mut pending = c.prepare_cached(&format!(
            "SELECT * FROM outbox o INDEXED BY outbox_pending WHERE o.state = 0 AND o.due <= ?1 AND {IS_HEAD}
             ORDER BY o.due LIMIT ?2"
        ))?;
        for row in pending.query_map(params![micros(now), limit], wake_up)? {
            wake_ups.push(row?);
        }
        let room = limit - i64::try_from(wake_ups.len()).unwrap_or(limit);
        let mut published = c.prepare_cached(&format!(
            "SELECT o.* FROM outbox o INDEXED BY outbox_published
             JOIN lane l ON l.task = o.task AND l.side = o.side
             WHERE o.state = 1 AND o.published_at <= ?1 AND (l.lease_until IS NULL OR l.lease_until <= ?2) AND {IS_HEAD}
             ORDER BY o.published_at LIMIT ?3"
        ))?;
        for row in published.query_map(params![stale, micros(now), room.max(0)], wake_up)? {
            wake_ups.push(row?);
        }
    }
    for wake_up in &wake_ups {
        // each time it is published again it has twice as long: a long queue is not made longer by what waits in it. The time
        // is dated forward by what is beyond the first interval
        c.prepare_cached(
            "UPDATE outbox SET lease_until = ?1,
             published_at = CASE state WHEN 1 THEN ?2 + ?3 * ((1 << min(republished + 1, 6)) - 1) END,
             republished = republished + (state = 1) WHERE id = ?4",
        )?
        .execute(params![until, micros(now), interval, wake_up.message.as_bytes()])?;
    }
    let next: Option<i64> = c
        .prepare_cached("SELECT min(due) FROM outbox INDEXED BY outbox_pending WHERE state = 0 AND due > ?")?
        .query_row([micros(now)], |row| row.get(0))?;
    Ok(Due { wake_ups, next: next.map(from_micros) })
}

pub(super) fn mark_published(c: &Connection, messages: &[Uuid], now: Timestamp) -> Result<(), StoreError> {
    // without a lease it was settled while the confirmation was on its way: deferred, it waits for its time as pending
    let mut statement = c.prepare_cached(
        "UPDATE outbox SET state = 1, published_at = ?, lease_until = NULL
         WHERE id = ? AND state = 0 AND lease_until IS NOT NULL",
    )?;
    for message in messages {
        statement.execute(params![micros(now), message.as_bytes()])?;
    }
    Ok(())
}

pub(super) fn rearm_published(c: &Connection, message: Uuid, now: Timestamp) -> Result<(), StoreError> {
    c.prepare_cached(
        "UPDATE outbox SET state = 0, lease_until = NULL, not_before = max(not_before, ?) WHERE id = ? AND state = 1",
    )?
    .execute(params![micros(now), message.as_bytes()])?;
    Ok(())
}

pub(super) fn destinations(c: &Connection) -> Result<Vec<(Side, String)>, StoreError> {
    let mut statement = c.prepare_cached("SELECT DISTINCT side, destination FROM outbox WHERE state IN (0, 1)")?;
    let rows = statement.query_map([], |row| Ok((parse(row, "side")?, row.get("destination")?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn backlog(c: &Connection) -> Result<Vec<Backlog>, StoreError> {
    // by the indexes of what is unfinished: what is done is many times more
    let mut statement = c.prepare_cached(
        "SELECT side, destination, sum(state < 2) AS waiting, min(CASE WHEN state < 2 THEN created END) AS oldest,
                sum(state = 3) AS dead
         FROM (SELECT side, destination, state, created FROM outbox INDEXED BY outbox_pending WHERE state = 0
               UNION ALL SELECT side, destination, state, created FROM outbox INDEXED BY outbox_published WHERE state = 1
               UNION ALL SELECT side, destination, state, created FROM outbox INDEXED BY outbox_dead WHERE state = 3)
         GROUP BY side, destination",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Backlog {
            side: parse(row, "side")?,
            to: row.get("destination")?,
            waiting: row.get("waiting")?,
            oldest: row.get::<_, Option<i64>>("oldest")?.map(from_micros),
            dead: row.get("dead")?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn dead_letters(c: &Connection, limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
    let mut statement =
        c.prepare_cached("SELECT * FROM outbox INDEXED BY outbox_dead WHERE state = 3 ORDER BY created, id LIMIT ?")?;
    let rows = statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
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
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

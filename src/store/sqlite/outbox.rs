//! The outbox: wake-ups that are to be published, and those that died.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::rows::{micros, micros_after, moment, parse, uuid};
use crate::{
    domain::{Destination, Side, TaskId, WakeUp, clock::from_micros},
    store::{Backlog, Failing, HICCUP_MAX, StoreError},
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

/// What was held back behind a head that has ended waits no longer; whoever sent the head goes on with it. (The broker may have
/// handed it out, and have had it put aside, before the head.)
pub(super) fn hurry(c: &Connection, task: TaskId, side: Side, behind: u64, now: Timestamp) -> Result<(), StoreError> {
    c.prepare_cached(
        "UPDATE outbox SET not_before = ?1
         WHERE task = ?2 AND side = ?3 AND seq > ?4 AND state = 0 AND attempts = 0 AND not_before > ?1",
    )?
    .execute(params![micros(now), task.0.as_bytes(), side.code(), behind])?;
    Ok(())
}

/// A breaker that keeps messages back, for the row of `outbox`; `?3` is now.
const KEPT_BACK: &str =
    "EXISTS (SELECT 1 FROM breaker b WHERE b.side = outbox.side AND b.destination = outbox.destination
                                 AND (b.phase IN ('open', 'probing') OR b.phase = 'paused' AND b.until > ?3))";

/// Whether a message's endpoint has a breaker that keeps it back.
pub(super) fn is_kept_back(
    c: &Connection,
    task: TaskId,
    side: Side,
    seq: u64,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let kept = c
        .prepare_cached(&format!("SELECT {KEPT_BACK} FROM outbox WHERE task = ?1 AND side = ?2 AND seq = ?4"))?
        .query_row(params![task.0.as_bytes(), side.code(), micros(now), seq], |row| row.get(0))
        .optional()?;
    Ok(kept.unwrap_or(false))
}

/// Puts a message aside for as long as its endpoint's breaker keeps messages back; see the port.
pub(super) fn put_aside(c: &Connection, message: Uuid, age: Duration, now: Timestamp) -> Result<bool, StoreError> {
    let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX >> 8);
    let aside = c
        .prepare_cached(&format!(
            "UPDATE outbox SET state = 0, lease_until = NULL, not_before = max(not_before, created + ?1)
             WHERE id = ?2 AND state IN (0, 1) AND created + ?1 > ?3 AND {KEPT_BACK}
             RETURNING task, side, seq, not_before",
        ))?
        .query_row(params![age, message.as_bytes(), micros(now)], |row| {
            Ok((
                TaskId(uuid(row, "task")?),
                parse::<Side>(row, "side")?,
                row.get::<_, u64>("seq")?,
                moment(row, "not_before")?,
            ))
        })
        .optional()?;
    let Some((task, side, seq, until)) = aside else { return Ok(false) };
    hold_back(c, task, side, seq, until)?;
    Ok(true)
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

pub(super) fn overdue(c: &Connection, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let since: Option<i64> = c
        .prepare_cached(
            "SELECT min(not_before) FROM outbox INDEXED BY outbox_pending WHERE state = 0 AND not_before <= ?",
        )?
        .query_row([micros(now)], |row| row.get(0))?;
    Ok(since.map(from_micros))
}

/// By an index that holds only what was tried in vain: what waits may be many times more.
pub(super) fn failing(c: &Connection) -> Result<Vec<Failing>, StoreError> {
    const TOLD: &str = "attempts > 0 AND state < 2 AND (attempts > 1 OR not_before - deferred_at > ?1)";
    let sql = format!(
        "SELECT f.*, (SELECT why FROM outbox INDEXED BY outbox_failing WHERE {TOLD}
                      AND side = f.side AND destination = f.destination ORDER BY deferred_at DESC LIMIT 1) AS why
         FROM (SELECT side, destination, count(*) AS count, min(created) AS oldest, min(not_before) AS next
               FROM outbox INDEXED BY outbox_failing WHERE {TOLD} GROUP BY side, destination) f
         ORDER BY f.side, f.destination"
    );
    let mut statement = c.prepare_cached(&sql)?;
    let rows = statement.query_map([HICCUP_MAX.as_micros() as i64], |row| {
        Ok(Failing {
            of: Destination { side: parse(row, "side")?, to: row.get("destination")? },
            count: row.get("count")?,
            oldest: moment(row, "oldest")?,
            next: moment(row, "next")?,
            why: row.get::<_, Option<String>>("why")?.unwrap_or_default(),
        })
    })?;
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

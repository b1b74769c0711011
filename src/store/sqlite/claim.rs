//! What is due, claimed in turns: of messages by their destination, of copies by their inbox. However much waits for one, the
//! look at another costs the same.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::{
    outbox,
    rows::{TASK_COLUMNS, micros, micros_after, parse, task_record, uuid},
};
use crate::{
    domain::{Destination, Side, TaskId, WakeUp, clock::from_micros},
    store::{Claim, Due, Share, Shares, StoreError, TaskRecord},
};

/// Only the head of a lane is worth a wake-up: whoever sends it goes on with what stands behind it.
const IS_HEAD: &str = "NOT EXISTS (SELECT 1 FROM outbox p WHERE p.task = o.task AND p.side = o.side AND p.seq < o.seq
                                   AND p.state IN (0, 1))";

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

/// A claim under way.
struct Claiming<'a> {
    c: &'a Connection,
    claim: &'a Claim,
    now: Timestamp,
    found: Vec<WakeUp>,
}

/// Whoever unfinished messages are for.
pub(super) fn unfinished(c: &Connection) -> Result<Vec<(Side, String)>, StoreError> {
    let mut all = destinations(c, "outbox_pending", 0)?;
    all.extend(destinations(c, "outbox_published", 1)?);
    all.sort();
    all.dedup();
    Ok(all.into_iter().map(|of| (of.side, of.to)).collect())
}

pub(super) fn due(c: &Connection, claim: &Claim, now: Timestamp) -> Result<Due, StoreError> {
    let mut claiming = Claiming { c, claim, now, found: Vec::new() };
    let shares = &claim.shares;
    // what is due first, then what was lost
    for (index, state) in [("outbox_pending", 0), ("outbox_published", 1)] {
        let waiting = destinations(c, index, state)?;
        take_turns(shares, &waiting, now, shares.limit - claiming.found.len().min(shares.limit), |of, share, most| {
            let before = claiming.found.len();
            if state == 0 {
                claiming.pending(of, share, most)?
            } else {
                claiming.published(of, most)?
            }
            Ok(claiming.found.len() - before)
        })?;
    }
    let mut next: Option<i64> = None;
    let mut soonest = c.prepare_cached(
        "SELECT min(due) FROM outbox INDEXED BY outbox_pending WHERE state = 0 AND side = ? AND destination = ? AND due > ?",
    )?;
    for of in destinations(c, "outbox_pending", 0)? {
        let due: Option<i64> = soonest.query_row(params![of.side.code(), of.to, micros(now)], |row| row.get(0))?;
        next = next.into_iter().chain(due).min();
    }
    Ok(Due { wake_ups: claiming.found, next: next.map(from_micros) })
}

/// Gives everyone an even part of `limit` first, and then what others have left; nobody more than its share.
fn take_turns(
    shares: &Shares,
    waiting: &[Destination],
    now: Timestamp,
    limit: usize,
    mut take: impl FnMut(&Destination, Share, usize) -> Result<usize, StoreError>,
) -> Result<(), StoreError> {
    let mut asking: Vec<(&Destination, Share)> =
        waiting.iter().map(|of| (of, shares.of(of))).filter(|(_, share)| share.most > 0).collect();
    if asking.is_empty() {
        return Ok(());
    }
    // where there are more of them than places, another one begins each time
    let turn = usize::try_from(now.as_microsecond().unsigned_abs()).unwrap_or(0) % asking.len();
    asking.rotate_left(turn);
    let mut left = limit;
    for even in [(limit / asking.len()).max(1), usize::MAX] {
        for (of, share) in &mut asking {
            let most = share.most.min(even).min(left);
            if most == 0 {
                continue;
            }
            let taken = take(of, *share, most)?;
            left -= taken.min(left);
            // who got less than it could have had, has no more
            share.most = if taken < most { 0 } else { share.most - taken };
        }
    }
    Ok(())
}

/// Who has messages in this state: one step in the index for each of them, however many its messages are. (A comparison of both
/// columns at once would walk through them all.)
fn destinations(c: &Connection, index: &str, state: u8) -> Result<Vec<Destination>, StoreError> {
    let mut step = c.prepare_cached(&format!(
        "SELECT min(destination) FROM outbox INDEXED BY {index} WHERE state = {state} AND side = ? AND destination > ?"
    ))?;
    let mut found: Vec<Destination> = Vec::new();
    for side in Side::ALL {
        let mut last = String::new();
        while let Some(next) = step.query_row(params![side.code(), last], |row| row.get::<_, Option<String>>(0))? {
            found.push(Destination::new(*side, next.clone()));
            last = next;
        }
    }
    Ok(found)
}

// === impl Claiming ===

impl Claiming<'_> {
    /// What is due for one destination, and what waits for later where it may be had early.
    fn pending(&mut self, of: &Destination, share: Share, most: usize) -> Result<(), StoreError> {
        let now = micros(self.now);
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let mut select = self.c.prepare_cached(&format!(
            "SELECT * FROM outbox o INDEXED BY outbox_pending WHERE o.state = 0 AND o.side = ?1 AND o.destination = ?2
             AND (o.due <= ?3 OR ?4 AND coalesce(o.lease_until, 0) <= ?3 AND coalesce(o.deferred_at, ?5 - 1) < ?5)
             AND {IS_HEAD} ORDER BY o.due LIMIT ?6"
        ))?;
        // what is not early is found by the range of the index alone
        let mut due_only = self.c.prepare_cached(&format!(
            "SELECT * FROM outbox o INDEXED BY outbox_pending WHERE o.state = 0 AND o.side = ?1 AND o.destination = ?2
             AND o.due <= ?3 AND {IS_HEAD} ORDER BY o.due LIMIT ?4"
        ))?;
        let (side, to) = (of.side.code(), of.to.as_str());
        let found: Vec<WakeUp> = match share.early {
            Some(early) => select
                .query_map(params![side, to, now, true, micros(early), most], wake_up)?
                .collect::<Result<_, _>>()?,
            None => due_only.query_map(params![side, to, now, most], wake_up)?.collect::<Result<_, _>>()?,
        };
        let mut lease = self.c.prepare_cached(
            "UPDATE outbox SET lease_until = ?, not_before = min(not_before, ?), published_at = NULL WHERE id = ?",
        )?;
        for wake_up in &found {
            lease.execute(params![micros_after(self.now, self.claim.lease), now, wake_up.message.as_bytes()])?;
            if share.early.is_some() {
                outbox::let_go(self.c, wake_up.task, wake_up.side, wake_up.seq, self.now)?;
            }
        }
        self.found.extend(found);
        Ok(())
    }

    /// What was published for one destination and is not done in time, its lane not being worked.
    fn published(&mut self, of: &Destination, most: usize) -> Result<(), StoreError> {
        let now = micros(self.now);
        let interval = i64::try_from(self.claim.republish_after.as_micros()).unwrap_or(i64::MAX >> 8);
        let mut select = self.c.prepare_cached(&format!(
            "SELECT o.* FROM outbox o INDEXED BY outbox_published
             JOIN lane l ON l.task = o.task AND l.side = o.side
             WHERE o.state = 1 AND o.side = ?1 AND o.destination = ?2 AND o.published_at <= ?3
             AND (l.lease_until IS NULL OR l.lease_until <= ?4) AND {IS_HEAD} ORDER BY o.published_at LIMIT ?5"
        ))?;
        let stale = now.saturating_sub(interval);
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let found: Vec<WakeUp> =
            select.query_map(params![of.side.code(), of.to, stale, now, most], wake_up)?.collect::<Result<_, _>>()?;
        // each time it is published again it has twice as long: a long queue is not made longer by what waits in it. The time
        // is dated forward by what is beyond the first interval
        let mut lease = self.c.prepare_cached(
            "UPDATE outbox SET lease_until = ?1, published_at = ?2 + ?3 * ((1 << min(republished + 1, 6)) - 1),
             republished = republished + 1 WHERE id = ?4",
        )?;
        for wake_up in &found {
            lease.execute(params![
                micros_after(self.now, self.claim.lease),
                now,
                interval,
                wake_up.message.as_bytes()
            ])?;
        }
        self.found.extend(found);
        Ok(())
    }
}

pub(super) fn polls(
    c: &Connection,
    shares: &Shares,
    now: Timestamp,
    lease: Duration,
) -> Result<Vec<(TaskRecord, String)>, StoreError> {
    let mut step = c.prepare_cached(
        "SELECT min(poll_of) FROM lane INDEXED BY lane_to_poll WHERE poll_at IS NOT NULL AND poll_of > ?",
    )?;
    let mut waiting: Vec<Destination> = Vec::new();
    loop {
        let last = waiting.last().map_or("", |last| last.to.as_str());
        let next: Option<String> = step.query_row([last], |row| row.get(0))?;
        let Some(next) = next else { break };
        waiting.push(Destination::new(Side::Delivery, next));
    }
    let mut select = c.prepare_cached(&format!(
        "SELECT {TASK_COLUMNS}, l.memory FROM lane l INDEXED BY lane_to_poll
         JOIN task t ON t.id = l.task JOIN referral r ON r.id = t.referral
         WHERE l.poll_at IS NOT NULL AND l.poll_of = ? AND l.poll_at <= ? ORDER BY l.poll_at LIMIT ?"
    ))?;
    let mut later = c.prepare_cached("UPDATE lane SET poll_at = ? WHERE task = ? AND side = 'delivery'")?;
    let mut found: Vec<(TaskRecord, String)> = Vec::new();
    take_turns(shares, &waiting, now, shares.limit, |of, _, most| {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = select.query_map(params![of.to, micros(now), most], |row| {
            Ok((task_record(row)?, row.get::<_, Option<String>>("memory")?.unwrap_or_default()))
        })?;
        let due: Vec<(TaskRecord, String)> = rows.collect::<Result<_, _>>()?;
        for (task, _) in &due {
            later.execute(params![micros_after(now, lease), task.id.0.as_bytes()])?;
        }
        let taken = due.len();
        found.extend(due);
        Ok(taken)
    })?;
    Ok(found)
}

//! A step in a Task's life in one commit: events, versions, state, outbox, lane and try.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{
    journal, lanes, measured,
    outbox::{self, NewMessage},
    read,
    rows::{micros, micros_after},
    submit::{self, Of},
    trouble,
};
use crate::{
    domain::{ReferralId, Side, TaskId, WakeUp},
    store::{
        Append, AppendError, Appended, AskedBy, Attempt, NewEvent, NewResource, NewVersion, Settle, Settled, StoreError,
    },
};

/// Writes events one after another: journal line, version and outbox rows of each.
pub(super) struct Step<'a> {
    pub task: TaskId,
    pub referral: ReferralId,
    pub system: &'a str,
    pub inbox: &'a str,
    pub route_set: &'a str,
    pub traceparent: Option<&'a str>,
    pub asked_by: Option<&'a AskedBy>,
    pub seq: u64,
    pub version: u64,
    pub head_hash: [u8; 32],
    pub wake_ups: &'a mut Vec<WakeUp>,
}

impl Step<'_> {
    pub(super) fn write(&mut self, c: &Connection, events: &[NewEvent], now: Timestamp) -> Result<(), StoreError> {
        for new in events {
            self.seq += 1;
            self.head_hash = journal::write(c, self.task, self.seq, now, new, self.asked_by, &self.head_hash)?;
            if let Some(body) = &new.body {
                self.version = self.seq;
                let row =
                    ResourceRow { kind: "Task", id: self.task.0, version: self.seq, referral: self.referral, body };
                insert_resource(c, &row, now)?;
            }
            for side in &new.lanes {
                let (to, route_set) = match side {
                    Side::Delivery => (self.inbox, self.route_set),
                    Side::WriteBack => (self.system, ""),
                };
                let message = NewMessage {
                    task: self.task,
                    side: *side,
                    seq: self.seq,
                    to,
                    route_set,
                    traceparent: self.traceparent,
                };
                self.wake_ups.extend(outbox::insert(c, &message, now)?);
            }
        }
        Ok(())
    }
}

pub(super) fn append(c: &Connection, append: &Append, now: Timestamp) -> Result<Appended, AppendError> {
    let before = read::task(c, append.task)?.ok_or(AppendError::Moved)?;
    if before.seq != append.expected_seq {
        return Err(AppendError::Moved);
    }
    // a try that was noted since, and may have arrived, makes no event: only the state tells of it
    if append.unsent && (before.state.sent || !lanes::unsent(c, append.task)?) {
        return Err(AppendError::LeaseLost);
    }
    if let Some(settle) = &append.settle {
        self::settle(c, append.task, settle, now)?;
    }
    for new in &append.resources {
        insert_version(c, before.referral, new, now)?;
    }
    if let Some(answer) = append.first_answer(&before, now) {
        measured::note(c, before.inbox.as_str(), answer)?;
    }
    let (head_hash, since): ([u8; 32], Option<i64>) = c
        .prepare_cached("SELECT head_hash, transport_since FROM task WHERE id = ?")?
        .query_row([append.task.0.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut wake_ups = Vec::new();
    let mut step = Step {
        task: append.task,
        referral: before.referral,
        system: before.system.as_str(),
        inbox: before.inbox.as_str(),
        route_set: &before.route_set,
        traceparent: None,
        asked_by: append.asked_by.as_ref(),
        seq: before.seq,
        version: before.version,
        head_hash,
        wake_ups: &mut wake_ups,
    };
    step.write(c, &append.events, now)?;
    let (seq, version, hash) = (step.seq, step.version, step.head_hash);
    let last_updated = if version > before.version { now } else { before.last_updated };
    let transport_since: Option<i64> = if append.state.transport == before.state.transport {
        since
    } else {
        append.state.transport.map(|_| micros(now))
    };
    let answered = if append.answers { version } else { before.answered };
    c.prepare_cached(
        "UPDATE task SET status = ?, cancel_requested = ?, transport = ?, sent = ?, information_requested = ?, deliver_by = ?,
                         open_by = ?, answer_by = ?, due_at = ?, seen_to = ?, transport_since = ?, seq = ?, version = ?,
                         answered = ?, head_hash = ?, last_updated = ? WHERE id = ?",
    )?
    .execute(params![
        append.state.status.code(),
        append.state.cancel_requested,
        append.state.transport.map(|t| t.code()),
        append.state.sent,
        append.state.information_requested,
        append.state.deadlines.deliver_by.map(micros),
        append.state.deadlines.open_by.map(micros),
        append.state.deadlines.answer_by.map(micros),
        append.state.next_deadline().map(micros),
        append.state.seen_to,
        transport_since,
        seq,
        version,
        answered,
        hash,
        micros(last_updated),
        append.task.0.as_bytes(),
    ])?;
    let of = Of {
        referral: before.referral,
        request: before.request,
        system: before.system.as_str(),
        route_set: &before.route_set,
        traceparent: None,
        asked_by: append.asked_by.as_ref(),
    };
    for task in &append.tasks {
        submit::insert_task(c, &of, task, now, &mut wake_ups)?;
    }
    if let Some(attempt) = &append.attempt {
        insert_attempt(c, append.task, attempt)?;
    }
    if let Some(poll) = &append.poll {
        lanes::plan_poll(c, append.task, poll)?;
    }
    if let Some(message) = append.rearm {
        rearm_dead(c, append.task, message, now)?;
    }
    if let Some(message) = append.discard {
        discard_dead(c, append.task, message)?;
    }
    trouble::raise(c, &append.alerts, now)?;
    let next = match &append.settle {
        Some(settle @ Settle { side, lease: Some(_), outcome: Settled::Done { .. } | Settled::Dead { .. }, .. }) => {
            let next = lanes::due_head(c, append.task, *side, now)?;
            let until = next.is_some().then(|| micros_after(now, settle.extend));
            c.prepare_cached("UPDATE lane SET lease_until = ? WHERE task = ? AND side = ?")?.execute(params![
                until,
                append.task.0.as_bytes(),
                side.code()
            ])?;
            next
        }
        _ => None,
    };
    let task = read::task(c, append.task)?.ok_or(AppendError::Moved)?;
    if let Some(settle) = &append.settle {
        // the lane goes on with what this very step put behind it; a wake-up for that would only be turned away
        if next.is_some() {
            wake_ups.retain(|w| w.side != settle.side || next.as_ref().is_none_or(|n| n.seq != w.seq));
        }
    }
    Ok(Appended { task, wake_ups, next })
}

fn settle(c: &Connection, task: TaskId, settle: &Settle, now: Timestamp) -> Result<(), AppendError> {
    let side = settle.side.code();
    if let Some(lease) = settle.lease {
        let held: Option<bool> = c
            .prepare_cached("SELECT lease = ? AND lease_until > ? FROM lane WHERE task = ? AND side = ?")?
            .query_row(params![lease, micros(now), task.0.as_bytes(), side], |row| row.get(0))
            .optional()?;
        if held != Some(true) {
            return Err(AppendError::LeaseLost);
        }
    }
    let until = match &settle.outcome {
        Settled::Waits { until } if outbox::is_kept_back(c, task, settle.side, settle.seq, now)? => *until,
        Settled::Deferred { until, .. } => *until,
        _ => now,
    };
    let changed = match &settle.outcome {
        Settled::Done { memory } => {
            c.prepare_cached(
                "UPDATE lane SET cursor = max(cursor, ?), memory = coalesce(?, memory) WHERE task = ? AND side = ?",
            )?
            .execute(params![settle.seq, memory, task.0.as_bytes(), side])?;
            c.prepare_cached(
                "UPDATE outbox SET state = 2, lease_until = NULL, attempts = attempts + 1
                 WHERE task = ?1 AND side = ?2 AND seq = ?3 AND (state IN (0, 1) OR (state = 3 AND ?4))",
            )?
            .execute(params![task.0.as_bytes(), side, settle.seq, settle.lease.is_none()])?
        }
        Settled::Deferred { until, memory, why } => {
            c.prepare_cached(
                "UPDATE lane SET memory = coalesce(?, memory), lease_until = NULL WHERE task = ? AND side = ?",
            )?
            .execute(params![memory, task.0.as_bytes(), side])?;
            c.prepare_cached(
                "UPDATE outbox SET state = 0, lease_until = NULL, not_before = ?, why = ?, attempts = attempts + 1,
                 deferred_at = ? WHERE task = ? AND side = ? AND seq = ? AND state IN (0, 1)",
            )?
            .execute(params![micros(*until), why, micros(now), task.0.as_bytes(), side, settle.seq])?
        }
        Settled::Waits { .. } => {
            c.prepare_cached("UPDATE lane SET lease_until = NULL WHERE task = ? AND side = ?")?
                .execute(params![task.0.as_bytes(), side])?;
            c.prepare_cached(
                "UPDATE outbox SET state = 0, lease_until = NULL, not_before = ?
                 WHERE task = ? AND side = ? AND seq = ? AND state IN (0, 1)",
            )?
            .execute(params![micros(until), task.0.as_bytes(), side, settle.seq])?
        }
        Settled::Dead { why } => c
            .prepare_cached(
                "UPDATE outbox SET state = 3, lease_until = NULL, why = ?, attempts = attempts + 1
                 WHERE task = ? AND side = ? AND seq = ? AND state IN (0, 1)",
            )?
            .execute(params![why, task.0.as_bytes(), side, settle.seq])?,
    };
    if changed == 0 && settle.lease.is_some() {
        return Err(AppendError::LeaseLost);
    }
    if matches!(settle.outcome, Settled::Deferred { .. } | Settled::Waits { .. }) {
        outbox::hold_back(c, task, settle.side, settle.seq, until)?;
    } else if settle.lease.is_none() {
        // settled from outside: whoever is sending it just now must not settle it again nor keep the lane, and the sweeper
        // must find what stands behind it
        c.prepare_cached("UPDATE lane SET lease = lease + 1, lease_until = NULL WHERE task = ? AND side = ?")?
            .execute(params![task.0.as_bytes(), side])?;
        outbox::let_go(c, task, settle.side, settle.seq, now)?;
    } else {
        outbox::hurry(c, task, settle.side, settle.seq, now)?;
    }
    Ok(())
}

fn rearm_dead(c: &Connection, task: TaskId, message: Uuid, now: Timestamp) -> Result<(), AppendError> {
    let changed = c
        .prepare_cached(
            "UPDATE outbox SET state = 0, lease_until = NULL, not_before = ?1, created = ?1, attempts = 0, deferred_at = NULL
             WHERE id = ?2 AND task = ?3 AND state = 3",
        )?
        .execute(params![micros(now), message.as_bytes(), task.0.as_bytes()])?;
    // already replayed by someone else: that one counts
    if changed == 0 { Err(AppendError::Moved) } else { Ok(()) }
}

fn discard_dead(c: &Connection, task: TaskId, message: Uuid) -> Result<(), AppendError> {
    let changed = c
        .prepare_cached("UPDATE outbox SET state = 4 WHERE id = ? AND task = ? AND state = 3")?
        .execute(params![message.as_bytes(), task.0.as_bytes()])?;
    if changed == 0 { Err(AppendError::Moved) } else { Ok(()) }
}

/// A row of `resource` with what every one has.
pub(super) struct ResourceRow<'a> {
    pub kind: &'a str,
    pub id: Uuid,
    pub version: u64,
    pub referral: ReferralId,
    pub body: &'a str,
}

/// Writes a version of a Task.
fn insert_resource(c: &Connection, row: &ResourceRow<'_>, now: Timestamp) -> Result<(), StoreError> {
    c.prepare_cached("INSERT INTO resource (kind, id, version, referral, last_updated, body) VALUES (?,?,?,?,?,?)")?
        .execute(params![row.kind, row.id.as_bytes(), row.version, row.referral.0.as_bytes(), micros(now), row.body])?;
    Ok(())
}

/// Writes what comes with a referral, or with one of its Tasks alone.
pub(super) fn insert_first(
    c: &Connection,
    referral: ReferralId,
    task: Option<TaskId>,
    new: &NewResource,
    now: Timestamp,
) -> Result<(), StoreError> {
    c.prepare_cached(
        "INSERT INTO resource (kind, id, version, referral, last_updated, origin, task, body) VALUES (?,?,1,?,?,?,?,?)",
    )?
    .execute(params![
        new.kind,
        new.id.as_bytes(),
        referral.0.as_bytes(),
        micros(now),
        new.origin,
        task.as_ref().map(|task| task.0.as_bytes()),
        new.body
    ])?;
    Ok(insert_names(c, referral, new)?)
}

fn insert_names(c: &Connection, referral: ReferralId, new: &NewResource) -> rusqlite::Result<()> {
    for name in &new.names {
        c.prepare_cached("INSERT OR IGNORE INTO name (value, referral) VALUES (?,?)")?
            .execute(params![name, referral.0.as_bytes()])?;
    }
    Ok(())
}

/// Writes what comes later, under its key. What is there already came in between.
fn insert_version(c: &Connection, referral: ReferralId, new: &NewVersion, now: Timestamp) -> Result<(), AppendError> {
    let resource = &new.resource;
    let mut written = c
        .prepare_cached(
            "INSERT OR IGNORE INTO resource (kind, id, version, referral, last_updated, origin, task, later, body)
             VALUES (?,?,?,?,?,?,?,1,?)",
        )?
        .execute(params![
            resource.kind,
            resource.id.as_bytes(),
            new.version,
            referral.0.as_bytes(),
            micros(now),
            resource.origin,
            new.task.as_ref().map(|t| t.0.as_bytes()),
            resource.body,
        ])?;
    if let (1, Some(key)) = (written, &new.key) {
        written = c
            .prepare_cached("INSERT OR IGNORE INTO resource_key (author, key, id, digest) VALUES (?,?,?,?)")?
            .execute(params![key.author, key.key, resource.id.as_bytes(), key.digest])?;
    }
    if written == 0 {
        return Err(AppendError::Moved);
    }
    if resource.kind == "ServiceRequest" {
        c.prepare_cached("UPDATE referral SET changed = ? WHERE id = ?")?
            .execute(params![micros(now), referral.0.as_bytes()])?;
    }
    Ok(insert_names(c, referral, resource)?)
}

fn insert_attempt(c: &Connection, task: TaskId, attempt: &Attempt) -> Result<(), StoreError> {
    c.prepare_cached(
        "INSERT INTO attempt (task, side, seq, n, at, duration_us, endpoint, result, why)
         VALUES (?1, ?2, ?3, (SELECT coalesce(max(n), 0) + 1 FROM attempt WHERE task = ?1 AND side = ?2 AND seq = ?3),
                 ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        task.0.as_bytes(),
        attempt.side.code(),
        attempt.of,
        micros(attempt.at),
        i64::try_from(attempt.duration.as_micros()).unwrap_or(i64::MAX),
        attempt.endpoint,
        attempt.result,
        attempt.why,
    ])?;
    Ok(())
}

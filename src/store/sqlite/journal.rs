//! The journal: lines chained by hash, each committing to its detail under a salt, so that detail can be erased and the chain
//! still holds.

use aws_lc_rs::{digest, rand};
use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::rows::{json, micros, moment};
use crate::{
    domain::TaskId,
    store::{JournalLine, NewEvent, StoreError},
};

/// The hash before the first line of a Task.
pub(super) const START: [u8; 32] = [0; 32];

/// Writes one line and returns its hash.
pub(super) fn write(
    c: &Connection,
    task: TaskId,
    seq: u64,
    at: Timestamp,
    new: &NewEvent,
    before: &[u8; 32],
) -> Result<[u8; 32], StoreError> {
    let unreadable = |e: serde_json::Error| StoreError::Corrupt(e.to_string());
    let detail = serde_json::to_string(&new.event).map_err(unreadable)?;
    let actor = serde_json::to_string(&new.actor).map_err(unreadable)?;
    let mut salt = [0u8; 16];
    rand::fill(&mut salt).map_err(|_| StoreError::Unavailable("no random numbers".into()))?;
    let commitment = sha256(&[&salt, detail.as_bytes()]);
    let name = new.event.name();
    let hash = sha256(&[
        task.0.as_bytes(),
        &seq.to_be_bytes(),
        &micros(at).to_be_bytes(),
        name.as_bytes(),
        &[0],
        actor.as_bytes(),
        &[0],
        &commitment,
        before,
    ]);
    c.prepare_cached(
        "INSERT INTO journal (task, seq, at, event, actor, detail, salt, commitment, hash) VALUES (?,?,?,?,?,?,?,?,?)",
    )?
    .execute(params![task.0.as_bytes(), seq, micros(at), name, actor, detail, salt, commitment, hash])?;
    Ok(hash)
}

/// The journal of a Task, oldest first.
pub(super) fn read(c: &Connection, task: TaskId) -> Result<Vec<JournalLine>, StoreError> {
    let mut statement = c.prepare_cached("SELECT seq, at, actor, detail FROM journal WHERE task = ? ORDER BY seq")?;
    let lines = statement.query_map([task.0.as_bytes()], |row| {
        Ok(JournalLine {
            seq: row.get("seq")?,
            at: moment(row, "at")?,
            actor: json(row, "actor")?,
            event: json(row, "detail")?,
        })
    })?;
    Ok(lines.collect::<Result<_, _>>()?)
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

//! The journal's rows; what stands in them is `chain.rs`'s.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::rows::{json, micros, moment};
use crate::{
    domain::TaskId,
    store::{JournalLine, NewEvent, StoreError, chain},
};

/// Writes one line and returns its hash.
pub(super) fn write(
    c: &Connection,
    task: TaskId,
    seq: u64,
    at: Timestamp,
    new: &NewEvent,
    before: &[u8; 32],
) -> Result<[u8; 32], StoreError> {
    let line = chain::line(task, seq, at, new, before)?;
    c.prepare_cached(
        "INSERT INTO journal (task, seq, at, event, actor, detail, salt, commitment, hash) VALUES (?,?,?,?,?,?,?,?,?)",
    )?
    .execute(params![
        task.0.as_bytes(),
        seq,
        micros(at),
        line.event,
        line.actor,
        line.detail,
        line.salt,
        line.commitment,
        line.hash
    ])?;
    Ok(line.hash)
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

//! The journal's rows; what stands in them is `chain.rs`'s.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::rows::{json, micros, moment};
use crate::{
    domain::TaskId,
    store::{AskedBy, JournalLine, NewEvent, StoreError, chain},
};

/// Writes one line and returns its hash.
pub(super) fn write(
    c: &Connection,
    task: TaskId,
    seq: u64,
    at: Timestamp,
    new: &NewEvent,
    asked_by: Option<&AskedBy>,
    before: &[u8; 32],
) -> Result<[u8; 32], StoreError> {
    let line = chain::line(task, seq, at, new, before)?;
    c.prepare_cached(
        "INSERT INTO journal (task, seq, at, event, actor, detail, salt, commitment, hash, request, correlation,
                              person)
         VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
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
        line.hash,
        asked_by.map(|asked| &asked.request),
        asked_by.and_then(|asked| asked.correlation.as_ref()),
        asked_by.and_then(|asked| asked.person.as_ref())
    ])?;
    Ok(line.hash)
}

/// The journal of a Task, oldest first.
pub(super) fn read(c: &Connection, task: TaskId) -> Result<Vec<JournalLine>, StoreError> {
    let mut statement = c.prepare_cached(
        "SELECT seq, at, actor, detail, request, correlation, person FROM journal WHERE task = ? ORDER BY seq",
    )?;
    let lines = statement.query_map([task.0.as_bytes()], |row| {
        Ok(JournalLine {
            seq: row.get("seq")?,
            at: moment(row, "at")?,
            actor: json(row, "actor")?,
            event: json(row, "detail")?,
            asked_by: match row.get("request")? {
                Some(request) => {
                    Some(AskedBy { request, correlation: row.get("correlation")?, person: row.get("person")? })
                }
                None => None,
            },
        })
    })?;
    Ok(lines.collect::<Result<_, _>>()?)
}

//! The journal's rows; what stands in them is `chain.rs`'s.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::rows::{json, micros, moment, parse, uuid};
use crate::{
    domain::TaskId,
    store::{AskedBy, FoundLine, JournalLine, JournalPage, JournalQuery, NewEvent, StoreError, chain},
};

/// Those that are looked at, along the index; then what is wanted of them.
const FIND: &str =
    "SELECT j.task, j.seq, j.at, j.actor, j.detail, j.request, j.correlation, j.person, t.inbox, t.system
    FROM (SELECT task, seq FROM journal WHERE at >= ?1 AND (at, task, seq) < (?2, ?3, ?4)
          ORDER BY at DESC, task DESC, seq DESC LIMIT ?5) looked
    CROSS JOIN journal j ON j.task = looked.task AND j.seq = looked.seq CROSS JOIN task t ON t.id = j.task
    WHERE j.detail IS NOT NULL AND (?6 IS NULL OR j.event = ?6)
      AND (?8 IS NULL OR t.inbox = ?8) AND (?9 IS NULL OR t.system = ?9)
      AND (?7 IS NULL OR j.actor IN (SELECT value FROM json_each(?7)) OR j.person IN (SELECT value FROM json_each(?11)))
    ORDER BY j.at DESC, j.task DESC, j.seq DESC LIMIT ?10";
/// The last of those that are looked at.
const END: &str = "SELECT at, task, seq FROM journal WHERE at >= ?1 AND (at, task, seq) < (?2, ?3, ?4)
    ORDER BY at DESC, task DESC, seq DESC LIMIT 1 OFFSET ?5";
const ANSWERS: &str = "SELECT seq, at, actor, detail, request, correlation, person FROM journal
    WHERE task = ? AND event = 'answered' AND detail IS NOT NULL ORDER BY seq";
/// Those of [`heard::SAID`](crate::store::heard).
const SAID: &str = "SELECT seq, at, actor, detail, request, correlation, person FROM journal
    WHERE task = ? AND event IN ('message', 'amended', 'retracted', 'answered') AND detail IS NOT NULL ORDER BY seq";

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
    let lines = statement.query_map([task.0.as_bytes()], line)?;
    Ok(lines.collect::<Result<_, _>>()?)
}

fn line(row: &Row<'_>) -> rusqlite::Result<JournalLine> {
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
}

pub(super) fn find(c: &Connection, query: &JournalQuery) -> Result<JournalPage, StoreError> {
    let (at, task, seq) = query.begins_before();
    let (from, looked) = (micros(query.from), i64::try_from(query.looked_at()).unwrap_or(i64::MAX));
    // an actor stands in its column as JSON, and each is a text among others here
    let texts = |all: Vec<String>| serde_json::to_string(&all).map_err(|e| StoreError::Corrupt(e.to_string()));
    let actors = query.actors.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>();
    let actors = texts(actors.map_err(|error| StoreError::Corrupt(error.to_string()))?)?;
    let (actors, persons) = (query.asks_who().then_some(actors), texts(query.persons.clone())?);
    let count = i64::try_from(query.count).unwrap_or(i64::MAX).saturating_add(1);
    let mut statement = c.prepare_cached(FIND)?;
    let found = statement.query_map(
        params![
            from,
            at,
            task.0.as_bytes(),
            seq,
            looked,
            query.event,
            actors,
            query.inbox.as_ref().map(|inbox| inbox.as_str()),
            query.system.as_ref().map(|system| system.as_str()),
            count,
            persons
        ],
        |row| {
            Ok(FoundLine {
                task: TaskId(uuid(row, "task")?),
                inbox: parse(row, "inbox")?,
                system: parse(row, "system")?,
                line: line(row)?,
            })
        },
    )?;
    let found: Vec<FoundLine> = found.collect::<Result<_, _>>()?;
    let end = c
        .prepare_cached(END)?
        .query_row(params![from, at, task.0.as_bytes(), seq, looked - 1], |row| {
            Ok((moment(row, "at")?, TaskId(uuid(row, "task")?), row.get("seq")?))
        })
        .optional()?;
    Ok(query.page(found, end))
}

pub(super) fn answers(c: &Connection, tasks: &[TaskId]) -> Result<Vec<(TaskId, JournalLine)>, StoreError> {
    of_tasks(c, ANSWERS, tasks)
}

pub(super) fn said(c: &Connection, tasks: &[TaskId]) -> Result<Vec<(TaskId, JournalLine)>, StoreError> {
    of_tasks(c, SAID, tasks)
}

fn of_tasks(c: &Connection, sql: &str, tasks: &[TaskId]) -> Result<Vec<(TaskId, JournalLine)>, StoreError> {
    let mut statement = c.prepare_cached(sql)?;
    let mut all = Vec::new();
    for task in tasks {
        let lines = statement.query_map([task.0.as_bytes()], |row| Ok((*task, line(row)?)))?;
        all.extend(lines.collect::<Result<Vec<_>, _>>()?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rusqlite::Connection;

    use super::{ANSWERS, END, FIND, SAID};

    fn plan(sql: &str) -> Vec<String> {
        let mut connection = Connection::open_in_memory().unwrap();
        super::super::migrate::run(&mut connection, Path::new(":memory:")).unwrap();
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let nothing = vec![0; statement.parameter_count()];
        let plan = statement.query_map(rusqlite::params_from_iter(nothing), |row| row.get("detail")).unwrap();
        plan.map(Result::unwrap).collect()
    }

    #[test]
    fn what_is_looked_at_is_read_along_its_index() {
        for sql in [FIND, END] {
            let plan = plan(sql);
            assert!(
                plan.iter().any(|step| step.contains("INDEX journal_by_time") && step.contains("at>?")),
                "{plan:?}"
            );
            // the lists of who is looked for are gone through, and the journal is not
            assert!(!plan.iter().any(|step| step.replace("json_each", "").contains("SCAN j")), "{plan:?}");
        }
    }
    #[test]
    fn answers_are_read_task_by_task() {
        for sql in [ANSWERS, SAID] {
            let plan = plan(sql);
            assert!(plan.iter().all(|step| step.starts_with("SEARCH") && step.contains("task=?")), "{plan:?}");
        }
    }
}

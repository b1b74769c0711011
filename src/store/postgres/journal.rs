//! Reading the journal.

use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    link::{Link, Values},
    rows::{all, big, corrupt, get, json, limit, micros, moment, number, parse},
};
use crate::{
    domain::TaskId,
    store::{AskedBy, FoundLine, JournalLine, JournalPage, JournalQuery, StoreError, heard},
};

/// Those that are looked at, along the index; then what is wanted of them.
const FIND: &str =
    "SELECT j.task, j.seq, j.at, j.actor, j.detail, j.request, j.correlation, j.person, t.inbox, t.system
    FROM (SELECT * FROM journal WHERE at >= $1 AND (at, task, seq) < ($2, $3, $4)
          ORDER BY at DESC, task DESC, seq DESC LIMIT $5) j JOIN task t ON t.id = j.task
    WHERE j.detail IS NOT NULL AND ($6::text IS NULL OR j.event = $6)
      AND ($8::text IS NULL OR t.inbox = $8) AND ($9::text IS NULL OR t.system = $9)
      AND ($7::text[] IS NULL OR j.actor = ANY($7) OR j.person = ANY($11::text[]))
    ORDER BY j.at DESC, j.task DESC, j.seq DESC LIMIT $10";
/// The last of those that are looked at.
const END: &str = "SELECT at, task, seq FROM journal WHERE at >= $1 AND (at, task, seq) < ($2, $3, $4)
    ORDER BY at DESC, task DESC, seq DESC LIMIT 1 OFFSET $5";

/// The journal of a Task, oldest first.
pub(super) async fn read(link: &Link, task: TaskId) -> Result<Vec<JournalLine>, StoreError> {
    let sql = "SELECT seq, at, actor, detail, request, correlation, person FROM journal WHERE task = $1 ORDER BY seq";
    all(&link.query(sql, &[&task.0]).await?, line)
}

fn line(row: &Row) -> Result<JournalLine, StoreError> {
    Ok(JournalLine {
        seq: number(row, "seq")?,
        at: moment(row, "at")?,
        actor: json(row, "actor")?,
        event: json(row, "detail")?,
        asked_by: match get::<Option<String>>(row, "request")? {
            Some(request) => {
                Some(AskedBy { request, correlation: get(row, "correlation")?, person: get(row, "person")? })
            }
            None => None,
        },
    })
}

pub(super) async fn find(link: &Link, query: &JournalQuery) -> Result<JournalPage, StoreError> {
    let (at, task, seq) = query.begins_before();
    let (from, seq, looked) = (micros(query.from), big(seq), limit(query.looked_at()));
    let actors = query.actors.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>().map_err(corrupt)?;
    // no text with such a character is stored
    let is_stored = |text: &&String| !text.contains('\0');
    if query.event.iter().any(|event| !is_stored(&event)) {
        return Ok(JournalPage::default());
    }
    let persons: Vec<&String> = query.persons.iter().filter(is_stored).collect();
    let actors = query.asks_who().then_some(actors);
    let inbox = query.inbox.as_ref().map(|inbox| inbox.as_str());
    let system = query.system.as_ref().map(|system| system.as_str());
    let count = limit(query.count.saturating_add(1));
    let event = &query.event;
    let values: Values<'_> = &[&from, &at, &task.0, &seq, &looked, event, &actors, &inbox, &system, &count, &persons];
    let rows = link.query(FIND, values).await?;
    let found = all(&rows, |row| {
        Ok(FoundLine {
            task: TaskId(get(row, "task")?),
            inbox: parse(row, "inbox")?,
            system: parse(row, "system")?,
            line: line(row)?,
        })
    })?;
    let rows = link.query(END, &[&from, &at, &task.0, &seq, &looked.saturating_sub(1)]).await?;
    let end = all(&rows, |row| Ok((moment(row, "at")?, TaskId(get(row, "task")?), number(row, "seq")?)))?;
    Ok(query.page(found, end.first().copied()))
}

pub(super) async fn answers(link: &Link, tasks: &[TaskId]) -> Result<Vec<(TaskId, JournalLine)>, StoreError> {
    of_tasks(link, tasks, &["answered"]).await
}

pub(super) async fn said(link: &Link, tasks: &[TaskId]) -> Result<Vec<(TaskId, JournalLine)>, StoreError> {
    of_tasks(link, tasks, &heard::SAID).await
}

async fn of_tasks(link: &Link, tasks: &[TaskId], events: &[&str]) -> Result<Vec<(TaskId, JournalLine)>, StoreError> {
    let sql = "SELECT task, seq, at, actor, detail, request, correlation, person FROM journal
        WHERE task = ANY($1) AND event = ANY($2) AND detail IS NOT NULL ORDER BY task, seq";
    let ids: Vec<Uuid> = tasks.iter().map(|task| task.0).collect();
    all(&link.query(sql, &[&ids, &events]).await?, |row| Ok((TaskId(get(row, "task")?), line(row)?)))
}

//! First answers of inboxes as they are noted, and how many wait for one.

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::{SqliteStore, read, rows::parse};
use crate::{
    domain::{
        InboxId,
        measured::{Day, FirstAnswer},
    },
    store::{MeasuredStore, StoreError},
};

const DAYS: &str =
    "SELECT day, count(*) FROM answer WHERE inbox = ? AND day > ? AND day <= ? GROUP BY day ORDER BY day LIMIT ?";
const ANSWERS: &str = "SELECT day, waited_min, accepted FROM answer WHERE inbox = ? AND day BETWEEN ? AND ? ORDER BY day, waited_min LIMIT ?";
// the words of the index: without them SQLite would read all Tasks
const WAITING: &str = "SELECT inbox, count(*) AS waiting FROM task INDEXED BY task_open_by_inbox
    WHERE status IN ('requested', 'received', 'accepted', 'in-progress', 'on-hold') AND status IN ('requested', 'received')
    GROUP BY inbox";

/// Notes a first answer.
pub(super) fn note(c: &Connection, inbox: &str, answer: FirstAnswer) -> rusqlite::Result<()> {
    c.prepare_cached("INSERT INTO answer (inbox, day, waited_min, accepted) VALUES (?,?,?,?)")?
        .execute(params![inbox, answer.day.0, answer.waited_min, answer.accepted])
        .map(drop)
}

pub(super) fn days(
    c: &Connection,
    inbox: &InboxId,
    after: Option<Day>,
    last: Day,
    count: usize,
) -> Result<Vec<(Day, u32)>, StoreError> {
    let after = after.map_or(i64::MIN, |day| i64::from(day.0));
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let mut statement = c.prepare_cached(DAYS)?;
    let rows = statement
        .query_map(params![inbox.as_str(), after, last.0, count], |row| Ok((Day(row.get(0)?), row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn answers(
    c: &Connection,
    inbox: &InboxId,
    first: Day,
    last: Day,
    count: usize,
) -> Result<Vec<FirstAnswer>, StoreError> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let mut statement = c.prepare_cached(ANSWERS)?;
    let rows = statement.query_map(params![inbox.as_str(), first.0, last.0, count], |row| {
        Ok(FirstAnswer { day: Day(row.get(0)?), waited_min: row.get(1)?, accepted: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn waiting(c: &Connection) -> Result<Vec<(InboxId, u64)>, StoreError> {
    let mut statement = c.prepare_cached(WAITING)?;
    let rows = statement.query_map([], |row| Ok((parse(row, "inbox")?, row.get("waiting")?)))?;
    let all: Vec<(InboxId, u64)> = rows.collect::<Result<_, _>>()?;
    Ok(all.into_iter().filter(|(inbox, _)| !inbox.is_of_parent()).collect())
}

#[async_trait]
impl MeasuredStore for SqliteStore {
    async fn full_inboxes(&self, capacities: Vec<(InboxId, u32)>) -> Result<Vec<InboxId>, StoreError> {
        self.readers.run(move |c| read::full_inboxes(c, capacities)).await
    }

    async fn answer_days(
        &self,
        inbox: &InboxId,
        after: Option<Day>,
        last: Day,
        count: usize,
    ) -> Result<Vec<(Day, u32)>, StoreError> {
        let inbox = inbox.clone();
        self.readers.run(move |c| days(c, &inbox, after, last, count)).await
    }

    async fn first_answers(
        &self,
        inbox: &InboxId,
        first: Day,
        last: Day,
        count: usize,
    ) -> Result<Vec<FirstAnswer>, StoreError> {
        let inbox = inbox.clone();
        self.readers.run(move |c| answers(c, &inbox, first, last, count)).await
    }

    async fn waiting(&self) -> Result<Vec<(InboxId, u64)>, StoreError> {
        self.readers.run(waiting).await
    }
}

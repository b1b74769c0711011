//! The outbox: what was published, and how much waits.

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    link::Link,
    rows::{all, get, micros, number, side},
};
use crate::{
    domain::{Destination, TaskId, clock::from_micros},
    store::{Backlog, Failing, HICCUP_MAX, StoreError},
};

pub(super) async fn mark_published(link: &Link, messages: &[Uuid], now: Timestamp) -> Result<(), StoreError> {
    link.query(MARK, &[&messages, &micros(now)]).await.map(drop)
}

pub(super) async fn rearm_published(link: &Link, message: Uuid, now: Timestamp) -> Result<(), StoreError> {
    link.query(REARM, &[&message, &micros(now)]).await.map(drop)
}

/// The Task of an unfinished message.
pub(super) async fn task_of(link: &Link, message: Uuid) -> Result<Option<TaskId>, StoreError> {
    let rows = link.query("SELECT task FROM outbox WHERE id = $1 AND state IN (0, 1)", &[&message]).await?;
    rows.first().map(|row| get(row, "task").map(TaskId)).transpose()
}

pub(super) async fn overdue(link: &Link, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let rows = link.query(OVERDUE, &[&now.as_microsecond()]).await?;
    let since = rows.first().map(|row| get::<Option<i64>>(row, "since")).transpose()?;
    Ok(since.flatten().map(from_micros))
}

pub(super) async fn backlog(link: &Link) -> Result<Vec<Backlog>, StoreError> {
    let rows = link.query(BACKLOG, &[]).await?;
    all(&rows, |row| {
        Ok(Backlog {
            side: side(row, "side")?,
            to: get(row, "destination")?,
            waiting: number(row, "waiting")?,
            oldest: get::<Option<i64>>(row, "oldest")?.map(from_micros),
            dead: number(row, "dead")?,
        })
    })
}

pub(super) async fn failing(link: &Link) -> Result<Vec<Failing>, StoreError> {
    let rows = link.query(FAILING, &[&(HICCUP_MAX.as_micros() as i64)]).await?;
    all(&rows, |row| {
        Ok(Failing {
            of: Destination { side: side(row, "side")?, to: get(row, "destination")? },
            count: number(row, "waiting")?,
            oldest: from_micros(get(row, "oldest")?),
            next: from_micros(get(row, "next")?),
            why: get::<Option<String>>(row, "why")?.unwrap_or_default(),
        })
    })
}

/// Without a lease it was settled while the confirmation was on its way: deferred, it waits for its time as pending. What is being
/// settled this very moment needs no mark. (state + 0: by the ids, and not by the index of all that is pending.)
const MARK: &str = "UPDATE outbox SET state = 1, published_at = $2::bigint, lease_until = NULL, holder = NULL
    WHERE id IN (SELECT id FROM outbox WHERE id = ANY($1::uuid[]) AND state + 0 = 0 AND lease_until IS NOT NULL FOR UPDATE SKIP LOCKED)";

const REARM: &str =
    "UPDATE outbox SET state = 0, lease_until = NULL, holder = NULL, not_before = greatest(not_before, $2::bigint)
    WHERE id = $1::uuid AND state = 1";

const OVERDUE: &str = "SELECT min(not_before) AS since FROM outbox WHERE state = 0 AND not_before <= $1::bigint";

const BACKLOG: &str = "SELECT side, destination, count(*) FILTER (WHERE state < 2) AS waiting,
       min(created) FILTER (WHERE state < 2) AS oldest, count(*) FILTER (WHERE state = 3) AS dead
    FROM outbox WHERE state IN (0, 1, 3) GROUP BY side, destination";

/// By an index that holds only what was tried in vain: what waits may be many times more.
const FAILING: &str = "SELECT side, destination, count(*) AS waiting, min(created) AS oldest, min(not_before) AS next,
       (array_agg(why ORDER BY deferred_at DESC))[1] AS why
    FROM outbox WHERE attempts > 0 AND state < 2 AND (attempts > 1 OR not_before - deferred_at > $1::bigint)
    GROUP BY side, destination ORDER BY side, destination";

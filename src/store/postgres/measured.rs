//! First answers of inboxes as they were noted, and how many wait for one.

use async_trait::async_trait;

use super::{
    PostgresStore,
    link::Link,
    read,
    rows::{all, corrupt, get, limit, number, parse},
};
use crate::{
    domain::{
        InboxId,
        measured::{Day, FirstAnswer},
    },
    store::{MeasuredStore, StoreError},
};

const DAYS: &str =
    "SELECT day, count(*) AS answers FROM answer WHERE inbox = $1 AND day > $2::integer AND day <= $3::integer
    GROUP BY day ORDER BY day LIMIT $4";
const ANSWERS: &str = "SELECT day, waited_min, accepted FROM answer
    WHERE inbox = $1 AND day BETWEEN $2::integer AND $3::integer ORDER BY day, waited_min LIMIT $4";
pub(super) const WAITING: &str = "SELECT inbox, count(*) AS waiting FROM task
    WHERE status IN ('requested', 'received', 'accepted', 'in-progress', 'on-hold') AND status IN ('requested', 'received')
    GROUP BY inbox";

pub(super) async fn days(
    link: &Link,
    inbox: &InboxId,
    after: Option<Day>,
    last: Day,
    count: usize,
) -> Result<Vec<(Day, u32)>, StoreError> {
    let after = after.map_or(i32::MIN, |day| day.0);
    let rows = link.query(DAYS, &[&inbox.as_str(), &after, &last.0, &limit(count)]).await?;
    all(&rows, |row| Ok((Day(get(row, "day")?), u32::try_from(number(row, "answers")?).map_err(corrupt)?)))
}

pub(super) async fn answers(
    link: &Link,
    inbox: &InboxId,
    first: Day,
    last: Day,
    count: usize,
) -> Result<Vec<FirstAnswer>, StoreError> {
    let rows = link.query(ANSWERS, &[&inbox.as_str(), &first.0, &last.0, &limit(count)]).await?;
    all(&rows, |row| {
        let waited_min = u32::try_from(number(row, "waited_min")?).map_err(corrupt)?;
        Ok(FirstAnswer { day: Day(get(row, "day")?), waited_min, accepted: get(row, "accepted")? })
    })
}

pub(super) async fn waiting(link: &Link) -> Result<Vec<(InboxId, u64)>, StoreError> {
    let rows = link.query(WAITING, &[]).await?;
    let all: Vec<(InboxId, u64)> = all(&rows, |row| Ok((parse(row, "inbox")?, number(row, "waiting")?)))?;
    Ok(all.into_iter().filter(|(inbox, _)| !inbox.is_of_parent()).collect())
}

#[async_trait]
impl MeasuredStore for PostgresStore {
    async fn full_inboxes(&self, capacities: Vec<(InboxId, u32)>) -> Result<Vec<InboxId>, StoreError> {
        read::full_inboxes(self.reader(), capacities).await
    }

    async fn answer_days(
        &self,
        inbox: &InboxId,
        after: Option<Day>,
        last: Day,
        count: usize,
    ) -> Result<Vec<(Day, u32)>, StoreError> {
        days(self.searches(), inbox, after, last, count).await
    }

    async fn first_answers(
        &self,
        inbox: &InboxId,
        first: Day,
        last: Day,
        count: usize,
    ) -> Result<Vec<FirstAnswer>, StoreError> {
        answers(self.searches(), inbox, first, last, count).await
    }

    async fn waiting(&self) -> Result<Vec<(InboxId, u64)>, StoreError> {
        waiting(self.searches()).await
    }
}

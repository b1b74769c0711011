//! What is due, claimed in turns: of messages by their destination, of copies by their inbox. However much waits for one, the
//! look at another costs the same. What another replica is claiming this very moment is passed over.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Row;

use super::{
    link::Link,
    rows::{duration_micros, get, limit, micros, micros_after, number, side, side_code, task_record},
};
use crate::{
    domain::{Destination, Side, TaskId, WakeUp, clock::from_micros},
    store::{Claim, Due, Share, Shares, StoreError, TaskRecord},
};

/// Who claims, and when.
#[derive(Clone, Copy)]
pub(super) struct Claimer<'a> {
    pub link: &'a Link,
    pub now: Timestamp,
    pub holder: Option<i32>,
}

/// Destinations that are asked, each with how many it may give.
type Asked = Vec<(Destination, Share, usize)>;

/// What was claimed.
pub(super) struct Claimed {
    pub due: Due,
    /// What was claimed before its time: what stands behind these waits no longer.
    pub early: Vec<(TaskId, Side, u64)>,
}

pub(super) async fn unfinished(link: &Link) -> Result<Vec<(Side, String)>, StoreError> {
    let mut all = destinations(link, PENDING_FOR).await?;
    all.extend(destinations(link, PUBLISHED_FOR).await?);
    all.sort();
    all.dedup();
    Ok(all.into_iter().map(|of| (of.side, of.to)).collect())
}

async fn destinations(link: &Link, sql: &'static str) -> Result<Vec<Destination>, StoreError> {
    let rows = link.query(sql, &[]).await?;
    rows.iter().map(|row| Ok(Destination { side: side(row, "side")?, to: get(row, "destination")? })).collect()
}

pub(super) async fn due(by: Claimer<'_>, claim: &Claim) -> Result<Claimed, StoreError> {
    let mut claimed = Claimed { due: Due::default(), early: Vec::new() };
    // what is due first, then what was lost
    for sql in [PENDING_FOR, PUBLISHED_FOR] {
        let waiting = destinations(by.link, sql).await?;
        let left = claim.shares.limit - claimed.due.wake_ups.len().min(claim.shares.limit);
        let mut turns = Turns::new(&claim.shares, waiting, by.now, left);
        while let Some(asked) = turns.next() {
            let taken = if sql == PENDING_FOR {
                pending(by, claim, &asked, &mut claimed).await?
            } else {
                published(by, claim, &asked, &mut claimed).await?
            };
            turns.took(&asked, &taken);
        }
    }
    let next = by.link.query(NEXT, &[&micros(by.now)]).await?;
    let next: Option<i64> = next.first().map_or(Ok(None), |row| get(row, "next"))?;
    claimed.due.next = next.map(from_micros);
    Ok(claimed)
}

/// What is due, and what waits for later where it may be had early.
async fn pending(
    by: Claimer<'_>,
    claim: &Claim,
    asked: &Asked,
    claimed: &mut Claimed,
) -> Result<Vec<Destination>, StoreError> {
    let mut taken = Vec::new();
    let until = micros_after(by.now, claim.lease);
    let on_time = Columns::of(asked.iter().filter(|(_, share, _)| share.early.is_none()));
    if !on_time.sides.is_empty() {
        let Columns { sides, to, most, .. } = &on_time;
        let rows = by.link.query_once(CLAIM_DUE, &[&micros(by.now), &until, &by.holder, sides, to, most]).await?;
        claimed.take(&rows, false, &mut taken)?;
    }
    let early = Columns::of(asked.iter().filter(|(_, share, _)| share.early.is_some()));
    if !early.sides.is_empty() {
        let Columns { sides, to, most, early } = &early;
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
            [&micros(by.now), &until, &by.holder, sides, to, most, early];
        let rows = by.link.query_once(CLAIM_EARLY, &values).await?;
        claimed.take(&rows, true, &mut taken)?;
    }
    Ok(taken)
}

/// What was published and is not done in time, its lane not being worked.
async fn published(
    by: Claimer<'_>,
    claim: &Claim,
    asked: &Asked,
    claimed: &mut Claimed,
) -> Result<Vec<Destination>, StoreError> {
    let mut taken = Vec::new();
    let until = micros_after(by.now, claim.lease);
    let interval = duration_micros(claim.republish_after);
    let stale = micros(by.now).saturating_sub(interval);
    let Columns { sides, to, most, .. } = &Columns::of(asked.iter());
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 8] =
        [&micros(by.now), &until, &by.holder, sides, to, most, &interval, &stale];
    let rows = by.link.query_once(CLAIM_LOST, &values).await?;
    claimed.take(&rows, false, &mut taken)?;
    Ok(taken)
}

/// Copies that are due to be looked at, with what is known of each.
pub(super) async fn polls(
    by: Claimer<'_>,
    shares: &Shares,
    lease: Duration,
) -> Result<Vec<(TaskRecord, String)>, StoreError> {
    let waiting = by.link.query(WATCHED, &[]).await?;
    let waiting: Result<Vec<_>, StoreError> =
        waiting.iter().map(|row| Ok(Destination::new(Side::Delivery, get::<String>(row, "inbox")?))).collect();
    let mut turns = Turns::new(shares, waiting?, by.now, shares.limit);
    let mut found = Vec::new();
    while let Some(asked) = turns.next() {
        let Columns { to, most, .. } = &Columns::of(asked.iter());
        let until = micros_after(by.now, lease);
        let rows = by.link.query_once(CLAIM_POLLS, &[&micros(by.now), &until, &by.holder, to, most]).await?;
        let mut due = Vec::with_capacity(rows.len());
        for row in &rows {
            let memory: Option<String> = get(row, "d_memory")?;
            due.push((get::<i64>(row, "since")?, task_record(row)?, memory.unwrap_or_default()));
        }
        due.sort_by_key(|(since, task, _)| (*since, task.id));
        let taken: Vec<_> =
            due.iter().map(|(_, task, _)| Destination::new(Side::Delivery, task.inbox.as_str())).collect();
        turns.took(&asked, &taken);
        found.extend(due.into_iter().map(|(_, task, memory)| (task, memory)));
    }
    Ok(found)
}

impl Claimed {
    /// Reads rows, the longest due first; whom they are for goes to `taken`.
    fn take(&mut self, rows: &[Row], early: bool, taken: &mut Vec<Destination>) -> Result<(), StoreError> {
        let mut read = Vec::with_capacity(rows.len());
        for row in rows {
            let wake_up = WakeUp {
                task: TaskId(get(row, "task")?),
                side: side(row, "side")?,
                seq: number(row, "seq")?,
                to: get(row, "destination")?,
                message: get(row, "id")?,
                route_set: get(row, "route_set")?,
                traceparent: get(row, "traceparent")?,
            };
            read.push((get::<i64>(row, "since")?, wake_up));
        }
        read.sort_by_key(|(since, wake_up)| (*since, wake_up.message));
        for (_, wake_up) in read {
            if early {
                self.early.push((wake_up.task, wake_up.side, wake_up.seq));
            }
            taken.push(Destination::new(wake_up.side, wake_up.to.as_str()));
            self.due.wake_ups.push(wake_up);
        }
        Ok(())
    }
}

/// Destinations as columns.
#[derive(Default)]
struct Columns {
    sides: Vec<i16>,
    to: Vec<String>,
    most: Vec<i64>,
    early: Vec<i64>,
}

impl Columns {
    fn of<'a>(asked: impl Iterator<Item = &'a (Destination, Share, usize)>) -> Self {
        let mut columns = Self::default();
        for (of, share, most) in asked {
            columns.sides.push(side_code(of.side));
            columns.to.push(of.to.clone());
            columns.most.push(limit(*most));
            columns.early.push(share.early.map_or(0, micros));
        }
        columns
    }
}

/// Gives everyone an even part of the limit first, and then what others have left; nobody more than its share.
struct Turns {
    asking: Vec<(Destination, Share)>,
    even: usize,
    left: usize,
    round: Round,
}

enum Round {
    Even,
    Rest(usize),
}

impl Turns {
    fn new(shares: &Shares, waiting: Vec<Destination>, now: Timestamp, limit: usize) -> Self {
        let mut asking: Vec<_> = waiting
            .into_iter()
            .map(|of| {
                let share = shares.of(&of);
                (of, share)
            })
            .filter(|(_, share)| share.most > 0)
            .collect();
        let places = asking.len().max(1);
        // where there are more of them than places, another one begins each time
        let turn = usize::try_from(now.as_microsecond().unsigned_abs()).unwrap_or(0) % places;
        asking.rotate_left(turn);
        Self { asking, even: (limit / places).max(1), left: limit, round: Round::Even }
    }

    /// Whom to ask next, and for how much; all of an even part at once, and then one after the other.
    fn next(&mut self) -> Option<Asked> {
        if self.left == 0 || self.asking.is_empty() {
            return None;
        }
        match self.round {
            Round::Even => {
                self.round = Round::Rest(0);
                let (mut left, mut asked) = (self.left, Vec::new());
                for (of, share) in &self.asking {
                    let most = share.most.min(self.even).min(left);
                    left -= most;
                    if most > 0 {
                        asked.push((of.clone(), *share, most));
                    }
                }
                Some(asked)
            }
            Round::Rest(at) => {
                let (offset, (of, share)) =
                    self.asking.get(at..)?.iter().enumerate().find(|(_, (_, share))| share.most > 0)?;
                self.round = Round::Rest(at + offset + 1);
                Some(vec![(of.clone(), *share, share.most.min(self.left))])
            }
        }
    }

    /// What those who were asked gave.
    fn took(&mut self, asked: &Asked, taken: &[Destination]) {
        self.left -= taken.len().min(self.left);
        for (of, share) in &mut self.asking {
            let Some((_, _, most)) = asked.iter().find(|(asked, _, _)| asked == of) else { continue };
            let got = taken.iter().filter(|taken| *taken == of).count();
            // who got less than it could have had, has no more
            share.most = if got < *most { 0 } else { share.most - got };
        }
    }
}

/// One step in the index for each destination, however many its messages are.
const PENDING_FOR: &str = "WITH RECURSIVE d AS (
        (SELECT side, destination FROM outbox WHERE state = 0 ORDER BY side, destination LIMIT 1)
        UNION ALL
        SELECT n.side, n.destination FROM d CROSS JOIN LATERAL (
            SELECT side, destination FROM outbox WHERE state = 0 AND (side, destination) > (d.side, d.destination)
            ORDER BY side, destination LIMIT 1) n
    ) SELECT side, destination FROM d";

const PUBLISHED_FOR: &str = "WITH RECURSIVE d AS (
        (SELECT side, destination FROM outbox WHERE state = 1 ORDER BY side, destination LIMIT 1)
        UNION ALL
        SELECT n.side, n.destination FROM d CROSS JOIN LATERAL (
            SELECT side, destination FROM outbox WHERE state = 1 AND (side, destination) > (d.side, d.destination)
            ORDER BY side, destination LIMIT 1) n
    ) SELECT side, destination FROM d";

const NEXT: &str = "WITH RECURSIVE d AS (
        (SELECT side, destination FROM outbox WHERE state = 0 ORDER BY side, destination LIMIT 1)
        UNION ALL
        SELECT n.side, n.destination FROM d CROSS JOIN LATERAL (
            SELECT side, destination FROM outbox WHERE state = 0 AND (side, destination) > (d.side, d.destination)
            ORDER BY side, destination LIMIT 1) n
    ) SELECT min(n.due) AS next FROM d CROSS JOIN LATERAL (
        SELECT o.due FROM outbox o WHERE o.state = 0 AND o.side = d.side AND o.destination = d.destination AND o.due > $1::bigint
        ORDER BY o.due LIMIT 1) n";

/// Only the head of a lane is worth a wake-up: whoever sends it goes on with what stands behind it. (Asked so that only the index
/// of lanes can answer.)
const CLAIM_DUE: &str = "WITH c AS MATERIALIZED (
        SELECT c.* FROM UNNEST($4::smallint[], $5::text[], $6::bigint[]) AS d (side, destination, most) CROSS JOIN LATERAL (
            SELECT o.id, o.due AS since FROM outbox o
            WHERE o.state = 0 AND o.side = d.side AND o.destination = d.destination AND o.due <= $1::bigint
              AND o.seq = (SELECT p.seq FROM outbox p WHERE p.task = o.task AND p.side = o.side AND p.state IN (0, 1)
                           ORDER BY p.seq LIMIT 1)
            ORDER BY o.due LIMIT d.most FOR UPDATE OF o SKIP LOCKED) c
    )
    UPDATE outbox o SET lease_until = $2::bigint, holder = $3::integer, not_before = least(o.not_before, $1::bigint),
                        published_at = NULL
    FROM c WHERE o.id = c.id
    RETURNING c.since, o.id, o.task, o.side, o.seq, o.destination, o.route_set, o.traceparent";

const CLAIM_EARLY: &str = "WITH c AS MATERIALIZED (
        SELECT c.* FROM UNNEST($4::smallint[], $5::text[], $6::bigint[], $7::bigint[]) AS d (side, destination, most, early)
        CROSS JOIN LATERAL (
            SELECT o.id, o.due AS since FROM outbox o
            WHERE o.state = 0 AND o.side = d.side AND o.destination = d.destination
              AND (o.due <= $1::bigint
                   OR coalesce(o.lease_until, 0) <= $1::bigint AND coalesce(o.deferred_at, d.early - 1) < d.early)
              AND o.seq = (SELECT p.seq FROM outbox p WHERE p.task = o.task AND p.side = o.side AND p.state IN (0, 1)
                           ORDER BY p.seq LIMIT 1)
            ORDER BY o.due LIMIT d.most FOR UPDATE OF o SKIP LOCKED) c
    )
    UPDATE outbox o SET lease_until = $2::bigint, holder = $3::integer, not_before = least(o.not_before, $1::bigint),
                        published_at = NULL
    FROM c WHERE o.id = c.id
    RETURNING c.since, o.id, o.task, o.side, o.seq, o.destination, o.route_set, o.traceparent";

/// Each time one is published again it has twice as long: a long queue is not made longer by what waits in it. The time is dated
/// forward by what is beyond the first interval.
const CLAIM_LOST: &str = "WITH c AS MATERIALIZED (
        SELECT c.* FROM UNNEST($4::smallint[], $5::text[], $6::bigint[]) AS d (side, destination, most) CROSS JOIN LATERAL (
            SELECT o.id, o.published_at AS since FROM outbox o JOIN task t ON t.id = o.task
            WHERE o.state = 1 AND o.side = d.side AND o.destination = d.destination AND o.published_at <= $8::bigint
              AND coalesce(CASE o.side WHEN 0 THEN t.d_until ELSE t.w_until END, 0) <= $1::bigint
              AND o.seq = (SELECT p.seq FROM outbox p WHERE p.task = o.task AND p.side = o.side AND p.state IN (0, 1)
                           ORDER BY p.seq LIMIT 1)
            ORDER BY o.published_at LIMIT d.most FOR UPDATE OF o SKIP LOCKED) c
    )
    UPDATE outbox o SET lease_until = $2::bigint, holder = $3::integer,
                        published_at = $1::bigint + $7::bigint * ((1 << least(o.republished + 1, 6)) - 1),
                        republished = o.republished + 1
    FROM c WHERE o.id = c.id
    RETURNING c.since, o.id, o.task, o.side, o.seq, o.destination, o.route_set, o.traceparent";

/// The inboxes that have copies which are watched.
const WATCHED: &str = "WITH RECURSIVE d AS (
        (SELECT inbox FROM task WHERE poll_at IS NOT NULL ORDER BY inbox LIMIT 1)
        UNION ALL
        SELECT n.inbox FROM d CROSS JOIN LATERAL (
            SELECT inbox FROM task WHERE poll_at IS NOT NULL AND inbox > d.inbox ORDER BY inbox LIMIT 1) n
    ) SELECT inbox FROM d";

const CLAIM_POLLS: &str = "WITH due AS MATERIALIZED (
        SELECT c.* FROM UNNEST($4::text[], $5::bigint[]) AS d (inbox, most) CROSS JOIN LATERAL (
            SELECT t.id, t.poll_at AS since FROM task t
            WHERE t.poll_at IS NOT NULL AND t.inbox = d.inbox AND t.poll_at <= $1::bigint
            ORDER BY t.poll_at LIMIT d.most FOR UPDATE OF t SKIP LOCKED) c
    )
    UPDATE task t SET poll_at = $2::bigint, poll_holder = $3::integer FROM due WHERE t.id = due.id
    RETURNING due.since, t.d_memory, t.id AS task_id, t.referral, t.part_of, t.terms, t.request, t.system, t.inbox, t.provider, t.route_set,
              t.identifier, t.origin, t.status, t.cancel_requested, t.transport, t.sent, t.information_requested, t.deliver_by,
              t.open_by, t.answer_by, t.seen_to, t.seq, t.version,
              t.answered, t.created, t.last_updated, t.beside";

/// See [`crate::store::LaneStore::give_back_poll`].
pub(super) async fn give_back_poll(
    link: &Link,
    task: TaskId,
    at: Timestamp,
    holder: Option<i32>,
) -> Result<(), StoreError> {
    link.query(GIVE_BACK_POLL, &[&task.0, &micros(at), &holder]).await.map(drop)
}

const GIVE_BACK_POLL: &str = "UPDATE task SET poll_at = least(poll_at, $2::bigint), poll_holder = NULL
    WHERE id = $1::uuid AND poll_at IS NOT NULL AND poll_holder = $3::integer";

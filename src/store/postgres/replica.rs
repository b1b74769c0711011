//! This process among others on the same store: it beats, and whoever stops beating has its leases ended by those that still do.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI32, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use jiff::{SignedDuration, Timestamp};

use super::{
    link::Link,
    rows::{get, micros},
    time::Time,
};
use crate::store::{BEAT_MISSED, DEAD_AFTER, StoreError};

/// Those who were ended so long ago cannot come back and take another lease unseen.
const ENDED_LATELY: Duration = Duration::from_secs(60);
/// How often it is looked after them.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Their rows are kept for a person who wonders, for a day.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Replica {
    /// Its row; 0 before there is one, and for a command, which holds nothing.
    id: AtomicI32,
    /// When it last said that it lives.
    beat: Mutex<Option<Beat>>,
    /// When it last looked after those that others have ended.
    looked: Mutex<Option<Instant>>,
}

#[derive(Clone, Copy)]
struct Beat {
    /// Its row then.
    id: i32,
    /// By the store's clock.
    at: Timestamp,
    /// By the machine's.
    wall: SystemTime,
}

impl Replica {
    /// Whom leases are given to.
    pub(super) fn id(&self) -> Option<i32> {
        Some(self.id.load(Ordering::Acquire)).filter(|id| *id != 0)
    }

    /// Makes its row.
    pub(super) async fn register(&self, link: &Link, time: &Time) -> Result<(), StoreError> {
        let (now, wall) = (time.now(), SystemTime::now());
        let name = format!("{}:{}", whoami::fallible::hostname().unwrap_or_default(), std::process::id());
        let old = micros(now) - super::rows::duration_micros(KEPT);
        let rows = link.query(REGISTER, &[&name, &micros(now), &old]).await?;
        let id = rows.first().map(|row| get(row, "id")).transpose()?;
        let id = id.unwrap_or_default();
        self.id.store(id, Ordering::Release);
        self.lived(Beat { id, at: now, wall });
        Ok(())
    }

    fn lived(&self, beat: Beat) {
        *self.beat.lock().unwrap_or_else(PoisonError::into_inner) = Some(beat);
    }

    /// Its row, while nobody else can take it for dead. A command is never in doubt: nobody waits for its leases but by their time.
    pub(super) fn life(&self, now: Timestamp) -> Option<u64> {
        let beat = *self.beat.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(beat) = beat else { return Some(0) };
        // the machine's date as well: it goes on while a machine sleeps, which the reckoning between two looks does not
        let asleep = beat.wall.elapsed().is_ok_and(|since| since > BEAT_MISSED);
        let lives = now.duration_since(beat.at) < SignedDuration::try_from(BEAT_MISSED).unwrap_or_default() && !asleep;
        u64::try_from(beat.id).ok().filter(|_| lives)
    }

    /// Says that it lives. One that was ended meanwhile begins anew, with nothing in its hands.
    pub(super) async fn beat(&self, link: &Link, time: &Time) -> Result<(), StoreError> {
        let Some(id) = self.id() else { return Ok(()) };
        let (now, wall) = (time.now(), SystemTime::now());
        if !link.query(BEAT, &[&id, &micros(now)]).await?.is_empty() {
            self.lived(Beat { id, at: now, wall });
            return Ok(());
        }
        tracing::warn!("this process did not beat for a while: others have ended what it held");
        self.register(link, time).await
    }

    /// Ends those that did not beat, and frees what they held. How many lanes and messages that were.
    pub(super) async fn end_the_dead(&self, link: &Link, now: Timestamp) -> Result<u64, StoreError> {
        let silent = micros(now) - super::rows::duration_micros(DEAD_AFTER);
        let dead = link.query(END, &[&micros(now), &silent]).await?;
        for row in &dead {
            let name: String = get(row, "name")?;
            tracing::warn!(replica = name, "a process has stopped beating: what it held goes on elsewhere");
        }
        // not only those of just now: one that was stopped in the middle may have taken one more lease before it noticed. That
        // is rare and to look is not cheap where much waits, so it is not done at each beat
        if dead.is_empty() && !self.looks_again() {
            return Ok(0);
        }
        let lately = micros(now) - super::rows::duration_micros(ENDED_LATELY);
        let rows = link.query(ENDED, &[&lately]).await?;
        let ended: Vec<i32> = rows.iter().map(|row| get(row, "id")).collect::<Result<_, _>>()?;
        if ended.is_empty() {
            return Ok(0);
        }
        free(link, &ended, now).await
    }

    /// Whether it is time to look after those that were ended by others.
    fn looks_again(&self) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let due = looked.is_none_or(|at| at.elapsed() >= LOOK_AGAIN);
        if due {
            *looked = Some(Instant::now());
        }
        due
    }

    /// Ends this one: what it still holds is free at once.
    pub(super) async fn end(&self, link: &Link, now: Timestamp) -> Result<(), StoreError> {
        let Some(id) = self.id() else { return Ok(()) };
        link.query(END_ONE, &[&id, &micros(now)]).await?;
        free(link, &[id], now).await?;
        Ok(())
    }
}

async fn free(link: &Link, ended: &[i32], now: Timestamp) -> Result<u64, StoreError> {
    let rows = link.query(FREE, &[&ended, &micros(now)]).await?;
    let freed: i64 = rows.first().map_or(Ok(0), |row| get(row, "freed"))?;
    Ok(u64::try_from(freed).unwrap_or_default())
}

const REGISTER: &str = "WITH forgotten AS (DELETE FROM replica WHERE ended < $3::bigint)
    INSERT INTO replica (name, started, beat) VALUES ($1::text, $2::bigint, $2::bigint) RETURNING id";

const BEAT: &str =
    "UPDATE replica SET beat = greatest(beat, $2::bigint) WHERE id = $1::integer AND ended IS NULL RETURNING id";

const END: &str = "UPDATE replica SET ended = $1::bigint WHERE ended IS NULL AND beat < $2::bigint RETURNING name";

const END_ONE: &str = "UPDATE replica SET ended = $2::bigint WHERE id = $1::integer AND ended IS NULL";

const ENDED: &str = "SELECT id FROM replica WHERE ended > $1::bigint";

/// Whoever holds a lane has an unfinished message in it, so the backlog is looked through and not all Tasks. The lease's number
/// goes up: whoever held it settles nothing any more. A message that was published is published again: the broker may have given
/// its wake-up to somebody who was turned away.
const FREE: &str = "WITH held AS (
        SELECT t.id, t.d_until IS NOT NULL AND t.d_holder = ANY($1::integer[]) AS d, t.w_until IS NOT NULL AND t.w_holder = ANY($1::integer[]) AS w,
               false AS p
        FROM task t
        WHERE t.id IN (SELECT task FROM outbox WHERE state IN (0, 1))
          AND (t.d_until IS NOT NULL AND t.d_holder = ANY($1::integer[]) OR t.w_until IS NOT NULL AND t.w_holder = ANY($1::integer[]))
        ORDER BY t.id FOR UPDATE
    ), lanes AS (
        UPDATE task t
        SET d_lease = t.d_lease + held.d::int, d_until = CASE WHEN held.d THEN NULL ELSE t.d_until END,
            d_holder = CASE WHEN held.d THEN NULL ELSE t.d_holder END,
            w_lease = t.w_lease + held.w::int, w_until = CASE WHEN held.w THEN NULL ELSE t.w_until END,
            w_holder = CASE WHEN held.w THEN NULL ELSE t.w_holder END,
            poll_at = CASE WHEN t.poll_holder = ANY($1::integer[]) THEN least(t.poll_at, $2::bigint) ELSE t.poll_at END,
            poll_holder = CASE WHEN t.poll_holder = ANY($1::integer[]) THEN NULL ELSE t.poll_holder END
        FROM held WHERE t.id = held.id RETURNING 1
    ), copies AS (
        UPDATE task t SET poll_at = least(t.poll_at, $2::bigint), poll_holder = NULL
        WHERE t.poll_at IS NOT NULL AND t.poll_at > $2::bigint AND t.poll_holder = ANY($1::integer[]) AND t.id NOT IN (SELECT id FROM held)
        RETURNING 1
    ), breakers AS (
        UPDATE breaker SET until = least(until, $2::bigint)
        WHERE replica = ANY($1::integer[]) AND phase IN ('probing', 'draining') AND until > $2::bigint
        RETURNING 1
    ), messages AS (
        UPDATE outbox o SET state = 0, lease_until = NULL, holder = NULL
        WHERE o.state IN (0, 1)
          AND (o.state = 0 AND o.lease_until IS NOT NULL AND o.holder = ANY($1::integer[])
               OR (o.task, o.side) IN (SELECT id, 0::smallint FROM held WHERE d UNION ALL SELECT id, 1::smallint FROM held WHERE w))
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM lanes) + (SELECT count(*) FROM copies) + (SELECT count(*) FROM breakers)
           + (SELECT count(*) FROM messages) AS freed";

//! The breakers of endpoints: one row for each that ever was not closed.

use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    link::Link,
    rows::{all, big, corrupt, get, micros, moment, number, shown, side, side_code},
};
use crate::{
    domain::{
        Destination,
        breaker::{Breaker, Phase},
    },
    store::{StoreError, StoredBreaker},
};

pub(super) async fn stored(link: &Link) -> Result<Vec<StoredBreaker>, StoreError> {
    all(&link.query("SELECT * FROM breaker ORDER BY side, destination", &[]).await?, one)
}

fn one(row: &Row) -> Result<StoredBreaker, StoreError> {
    let until = moment(row, "until")?;
    let holder: Uuid = get(row, "holder")?;
    let phase = match get::<&str>(row, "phase")? {
        "paused" => Phase::Paused { until },
        "open" => Phase::Open { until },
        "probing" => Phase::Probing { until, holder },
        "draining" => Phase::Draining { until, holder },
        _ => Phase::Closed,
    };
    Ok(StoredBreaker {
        of: Destination { side: side(row, "side")?, to: get(row, "destination")? },
        breaker: Breaker {
            base_url: get(row, "base_url")?,
            phase,
            since: moment(row, "since")?,
            outage: moment(row, "outage")?,
            failures: u32::try_from(get::<i64>(row, "failures")?).map_err(corrupt)?,
            why: get(row, "why")?,
        },
        version: number(row, "version")?,
    })
}

/// Stores it over the version it was decided on; 0 is none. Says whether it did. `replica` is the process that decided.
pub(super) async fn set(
    link: &Link,
    of: &Destination,
    version: u64,
    breaker: &Breaker,
    replica: Option<i32>,
) -> Result<bool, StoreError> {
    let (until, holder) = match breaker.phase {
        Phase::Closed => (breaker.since, Uuid::nil()),
        Phase::Paused { until } | Phase::Open { until } => (until, Uuid::nil()),
        Phase::Probing { until, holder } | Phase::Draining { until, holder } => (until, holder),
    };
    let replica = replica.filter(|_| !holder.is_nil());
    let changed = link
        .query_once(
            SET,
            &[
                &side_code(of.side),
                &of.to,
                &breaker.base_url,
                &breaker.word(),
                &micros(breaker.since),
                &micros(breaker.outage),
                &micros(until),
                &holder,
                &i64::from(breaker.failures),
                &breaker.why.as_deref().map(shown),
                &big(version),
                &replica,
            ],
        )
        .await?;
    Ok(!changed.is_empty())
}

const SET: &str = "INSERT INTO breaker AS b (side, destination, base_url, phase, since, outage, until, holder, failures, why, version, replica)
    SELECT $1::smallint, $2::text, $3::text, $4::text, $5::bigint, $6::bigint, $7::bigint, $8::uuid, $9::bigint, $10::text,
           $11::bigint + 1, $12::integer
    WHERE $11::bigint = 0 OR EXISTS (SELECT 1 FROM breaker WHERE side = $1::smallint AND destination = $2::text)
    ON CONFLICT (side, destination) DO UPDATE SET base_url = excluded.base_url, phase = excluded.phase, since = excluded.since,
        outage = excluded.outage, until = excluded.until, holder = excluded.holder, failures = excluded.failures,
        why = excluded.why, version = excluded.version, replica = excluded.replica
        WHERE b.version = $11::bigint
    RETURNING b.version";

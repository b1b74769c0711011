//! The breakers of endpoints: one row for each that ever was not closed.

use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::rows::{micros, moment, parse};
use crate::{
    domain::{
        Destination,
        breaker::{Breaker, Phase},
    },
    store::{StoreError, StoredBreaker},
};

pub(super) fn all(c: &Connection) -> Result<Vec<StoredBreaker>, StoreError> {
    let mut statement = c.prepare_cached("SELECT * FROM breaker ORDER BY side, destination")?;
    let rows = statement.query_map([], stored)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredBreaker> {
    let until = moment(row, "until")?;
    let holder = row.get::<_, [u8; 16]>("holder").map(Uuid::from_bytes)?;
    let phase = match row.get_ref("phase")?.as_str()? {
        "paused" => Phase::Paused { until },
        "open" => Phase::Open { until },
        "probing" => Phase::Probing { until, holder },
        "draining" => Phase::Draining { until, holder },
        _ => Phase::Closed,
    };
    Ok(StoredBreaker {
        of: Destination { side: parse(row, "side")?, to: row.get("destination")? },
        breaker: Breaker {
            base_url: row.get("base_url")?,
            phase,
            since: moment(row, "since")?,
            outage: moment(row, "outage")?,
            failures: row.get("failures")?,
            why: row.get("why")?,
        },
        version: row.get("version")?,
    })
}

/// Stores it over the version it was decided on; 0 is none. Says whether it did.
pub(super) fn set(c: &Connection, of: &Destination, version: u64, breaker: &Breaker) -> Result<bool, StoreError> {
    let (until, holder) = match breaker.phase {
        Phase::Closed => (breaker.since, Uuid::nil()),
        Phase::Paused { until } | Phase::Open { until } => (until, Uuid::nil()),
        Phase::Probing { until, holder } | Phase::Draining { until, holder } => (until, holder),
    };
    let changed = c
        .prepare_cached(
            "INSERT INTO breaker (side, destination, base_url, phase, since, outage, until, holder, failures, why, version)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11 + 1
             WHERE ?11 = 0 OR EXISTS (SELECT 1 FROM breaker WHERE side = ?1 AND destination = ?2)
             ON CONFLICT (side, destination) DO UPDATE SET base_url = ?3, phase = ?4, since = ?5, outage = ?6, until = ?7,
                holder = ?8, failures = ?9, why = ?10, version = ?11 + 1 WHERE version = ?11",
        )?
        .execute(params![
            of.side.code(),
            of.to,
            breaker.base_url,
            breaker.word(),
            micros(breaker.since),
            micros(breaker.outage),
            micros(until),
            holder.as_bytes(),
            breaker.failures,
            breaker.why,
            version,
        ])?;
    Ok(changed == 1)
}

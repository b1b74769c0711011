//! Route sets in versions, and which one is active.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    SqliteStore,
    rows::{json, micros, moment},
};
use crate::{
    domain::{AlertKind, alert},
    store::{ActivateError, Activation, NewRoutes, RouteStore, RoutesVersion, Signed, Store, StoreError},
};

const ACTIVATIONS: &str = "SELECT a.*, r.hash FROM routes_activation a JOIN routes r ON r.number = a.number";

fn signed(row: &Row<'_>) -> rusqlite::Result<Signed> {
    Ok(Signed { author: row.get("author")?, comment: row.get("comment")? })
}

fn activation(row: &Row<'_>) -> rusqlite::Result<Activation> {
    Ok(Activation {
        seq: row.get("seq")?,
        number: row.get("number")?,
        hash: row.get("hash")?,
        is_new: row.get("is_new")?,
        signed: signed(row)?,
        at: moment(row, "at")?,
    })
}

pub(super) fn active(c: &Connection) -> Result<Option<Activation>, StoreError> {
    let mut statement = c.prepare_cached(&format!("{ACTIVATIONS} ORDER BY a.seq DESC LIMIT 1"))?;
    Ok(statement.query_row([], activation).optional()?)
}

pub(super) fn history(c: &Connection, limit: usize) -> Result<Vec<Activation>, StoreError> {
    let mut statement = c.prepare_cached(&format!("{ACTIVATIONS} ORDER BY a.seq DESC LIMIT ?"))?;
    let rows = statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], activation)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn version(c: &Connection, number: u64) -> Result<Option<RoutesVersion>, StoreError> {
    let Ok(number) = i64::try_from(number) else { return Ok(None) };
    let mut statement = c.prepare_cached("SELECT * FROM routes WHERE number = ?")?;
    let read = |row: &Row<'_>| {
        Ok(RoutesVersion {
            number: row.get("number")?,
            hash: row.get("hash")?,
            text: row.get("text")?,
            files: json(row, "files")?,
            signed: signed(row)?,
            at: moment(row, "at")?,
        })
    };
    Ok(statement.query_row([number], read).optional()?)
}

pub(super) fn add(c: &Connection, over: u64, new: &NewRoutes, now: Timestamp) -> Result<Activation, ActivateError> {
    new.fits()?;
    let newest: u64 = c.prepare_cached("SELECT coalesce(max(number), 0) FROM routes")?.query_row([], |r| r.get(0))?;
    let files = serde_json::to_string(&new.files).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    let Signed { author, comment } = &new.signed;
    c.prepare_cached("INSERT INTO routes (number, hash, text, files, author, comment, at) VALUES (?,?,?,?,?,?,?)")?
        .execute(params![newest + 1, new.hash, new.text, files, author, comment, micros(now)])?;
    activated(c, over, newest + 1, true, &new.signed, now)
}

pub(super) fn activate(
    c: &Connection,
    over: u64,
    number: u64,
    signed: &Signed,
    now: Timestamp,
) -> Result<Activation, ActivateError> {
    if version(c, number)?.is_none() {
        return Err(ActivateError::Unknown(number));
    }
    activated(c, over, number, false, signed, now)
}

/// Nobody else writes meanwhile: what is found here stays so until the commit.
fn activated(
    c: &Connection,
    over: u64,
    number: u64,
    is_new: bool,
    signed: &Signed,
    now: Timestamp,
) -> Result<Activation, ActivateError> {
    if active(c)?.map_or(0, |active| active.seq) != over {
        return Err(ActivateError::Moved);
    }
    c.prepare_cached("INSERT INTO routes_activation (seq, number, is_new, author, comment, at) VALUES (?,?,?,?,?,?)")?
        .execute(params![over + 1, number, is_new, signed.author, signed.comment, micros(now)])?;
    c.prepare_cached("UPDATE alert SET open = 0 WHERE kind = ?1 AND open = 1 AND substr(subject, 1, length(?2)) = ?2")?
        .execute(params![AlertKind::ConfigurationRefused.code(), alert::ROUTE_SET])?;
    let stored = active(c)?.ok_or_else(|| StoreError::Corrupt("an activation that is not there".to_owned()))?;
    Ok(stored)
}

#[async_trait]
impl RouteStore for SqliteStore {
    async fn add_routes(&self, over: u64, new: NewRoutes) -> Result<Activation, ActivateError> {
        let now = self.now();
        self.writer.run("add_routes", move |c| add(c, over, &new, now)).await
    }

    async fn activate_routes(&self, over: u64, number: u64, signed: Signed) -> Result<Activation, ActivateError> {
        let now = self.now();
        self.writer.run("activate_routes", move |c| activate(c, over, number, &signed, now)).await
    }

    async fn active_routes(&self) -> Result<Option<Activation>, StoreError> {
        self.readers.run(active).await
    }

    async fn routes_history(&self, limit: usize) -> Result<Vec<Activation>, StoreError> {
        self.readers.run(move |c| history(c, limit)).await
    }

    async fn routes_version(&self, number: u64) -> Result<Option<RoutesVersion>, StoreError> {
        self.readers.run(move |c| version(c, number)).await
    }
}

//! Route sets in versions, and which one is active.

use async_trait::async_trait;
use jiff::Timestamp;
use tokio_postgres::Row;

use super::{
    PostgresStore, chore,
    link::Link,
    rows::{self, all, big, corrupt, get, json, micros, moment, number},
};
use crate::{
    domain::{AlertKind, alert},
    store::{ActivateError, Activation, NewRoutes, RouteStore, RoutesVersion, Signed, Store, StoreError},
};

fn signed(row: &Row) -> Result<Signed, StoreError> {
    Ok(Signed { author: get(row, "author")?, comment: get(row, "comment")? })
}

fn activation(row: &Row) -> Result<Activation, StoreError> {
    Ok(Activation {
        seq: number(row, "seq")?,
        number: number(row, "number")?,
        hash: get(row, "hash")?,
        is_new: get(row, "is_new")?,
        signed: signed(row)?,
        at: moment(row, "at")?,
    })
}

pub(super) async fn active(link: &Link) -> Result<Option<Activation>, StoreError> {
    link.query(ACTIVE, &[]).await?.first().map(activation).transpose()
}

pub(super) async fn history(link: &Link, limit: usize) -> Result<Vec<Activation>, StoreError> {
    all(&link.query(HISTORY, &[&rows::limit(limit)]).await?, activation)
}

pub(super) async fn version(link: &Link, wanted: u64) -> Result<Option<RoutesVersion>, StoreError> {
    let found = link.query("SELECT * FROM routes WHERE number = $1", &[&big(wanted)]).await?;
    let read = |row: &Row| {
        Ok(RoutesVersion {
            number: number(row, "number")?,
            hash: get(row, "hash")?,
            text: get(row, "text")?,
            files: json(row, "files")?,
            signed: signed(row)?,
            at: moment(row, "at")?,
        })
    };
    found.first().map(read).transpose()
}

pub(super) async fn add(link: &Link, over: u64, new: &NewRoutes, now: Timestamp) -> Result<Activation, ActivateError> {
    new.fits()?;
    let files = serde_json::to_string(&new.files).map_err(corrupt)?;
    let Signed { author, comment } = &new.signed;
    let refused = AlertKind::ConfigurationRefused.code();
    let values: super::link::Values<'_> =
        &[&big(over), author, comment, &micros(now), &refused, &alert::ROUTE_SET, &new.hash, &new.text, &files];
    let done = link.query_once(ADD, values).await?;
    Ok(activation(done.first().ok_or(ActivateError::Moved)?)?)
}

pub(super) async fn activate(
    link: &Link,
    over: u64,
    wanted: u64,
    signed: &Signed,
    now: Timestamp,
) -> Result<Activation, ActivateError> {
    let refused = AlertKind::ConfigurationRefused.code();
    let Signed { author, comment } = signed;
    let values: super::link::Values<'_> =
        &[&big(over), author, comment, &micros(now), &refused, &alert::ROUTE_SET, &big(wanted)];
    let done = link.query_once(ACTIVATE, values).await?;
    if let Some(row) = done.first() {
        return Ok(activation(row)?);
    }
    // none is ever taken away: one that is there now was there then
    match version(link, wanted).await? {
        Some(_) => Err(ActivateError::Moved),
        None => Err(ActivateError::Unknown(wanted)),
    }
}

const ACTIVE: &str = "SELECT a.*, r.hash FROM routes_activation a JOIN routes r ON r.number = a.number
    ORDER BY a.seq DESC LIMIT 1";

const HISTORY: &str = "SELECT a.*, r.hash FROM routes_activation a JOIN routes r ON r.number = a.number
    ORDER BY a.seq DESC LIMIT $1";

/// The row of the head is what two who come at once wait for; the second then finds that it has moved, and gets nothing.
const ADD: &str = "WITH turn AS (
        UPDATE routes_head SET activation = activation + 1, newest = newest + 1 WHERE activation = $1::bigint
        RETURNING activation, newest
    ), version AS (
        INSERT INTO routes (number, hash, text, files, author, comment, at)
        SELECT newest, $7::text, $8::text, $9::text, $2::text, $3::text, $4::bigint FROM turn
    ), over AS (
        UPDATE alert SET open = false FROM turn WHERE kind = $5::text AND open AND starts_with(subject, $6::text)
    )
    INSERT INTO routes_activation (seq, number, is_new, author, comment, at)
    SELECT activation, newest, true, $2::text, $3::text, $4::bigint FROM turn
    RETURNING seq, number, is_new, author, comment, at, $7::text AS hash";

const ACTIVATE: &str = "WITH turn AS (
        UPDATE routes_head h SET activation = activation + 1 FROM routes r WHERE h.activation = $1::bigint AND r.number = $7::bigint
        RETURNING h.activation, r.number
    ), over AS (
        UPDATE alert SET open = false FROM turn WHERE kind = $5::text AND open AND starts_with(subject, $6::text)
    )
    INSERT INTO routes_activation (seq, number, is_new, author, comment, at)
    SELECT activation, number, false, $2::text, $3::text, $4::bigint FROM turn
    RETURNING seq, number, is_new, author, comment, at, (SELECT r.hash FROM routes r WHERE r.number = $7::bigint) AS hash";

#[async_trait]
impl RouteStore for PostgresStore {
    async fn add_routes(&self, over: u64, new: NewRoutes) -> Result<Activation, ActivateError> {
        self.open_for_writing()?;
        chore("add_routes");
        add(&self.chores, over, &new, self.now()).await
    }

    async fn activate_routes(&self, over: u64, number: u64, signed: Signed) -> Result<Activation, ActivateError> {
        self.open_for_writing()?;
        chore("activate_routes");
        activate(&self.chores, over, number, &signed, self.now()).await
    }

    async fn active_routes(&self) -> Result<Option<Activation>, StoreError> {
        active(self.reader()).await
    }

    async fn routes_history(&self, limit: usize) -> Result<Vec<Activation>, StoreError> {
        history(self.reader(), limit).await
    }

    async fn routes_version(&self, number: u64) -> Result<Option<RoutesVersion>, StoreError> {
        version(self.searches(), number).await
    }
}

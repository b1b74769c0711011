//! Assertions that were used, access tokens, and secrets that are shared. Nobody else writes meanwhile.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};

use super::{
    SqliteStore,
    rows::{micros, moment},
};
use crate::store::{AccessToken, Store, StoreError, TokenStore, UsedAssertion, tokens::FORGOTTEN_AT_ONCE};

fn bytes32(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<[u8; 32]>> {
    let index = row.as_ref().column_index(column)?;
    let Some(bytes) = row.get::<_, Option<Vec<u8>>>(index)? else { return Ok(None) };
    let bytes: [u8; 32] = bytes
        .try_into()
        .map_err(|_| rusqlite::Error::FromSqlConversionFailure(index, Type::Blob, "not 32 bytes".into()))?;
    Ok(Some(bytes))
}

fn token(row: &Row<'_>) -> rusqlite::Result<AccessToken> {
    Ok(AccessToken {
        hash: bytes32(row, "hash")?.unwrap_or_default(),
        client: row.get("client")?,
        scopes: row.get("scopes")?,
        at: moment(row, "at")?,
        until: moment(row, "until")?,
        certificate: bytes32(row, "certificate")?,
    })
}

fn used(c: &Connection, used: &UsedAssertion, gives: Option<&AccessToken>, now: Timestamp) -> Result<bool, StoreError> {
    for sql in [
        "DELETE FROM assertion_used WHERE rowid IN (SELECT rowid FROM assertion_used WHERE until < ? LIMIT ?)",
        "DELETE FROM access_token WHERE rowid IN (SELECT rowid FROM access_token WHERE until < ? LIMIT ?)",
    ] {
        c.prepare_cached(sql)?.execute(params![micros(now), FORGOTTEN_AT_ONCE])?;
    }
    let sql = "INSERT INTO assertion_used (id, until) VALUES (?,?) ON CONFLICT (id) DO NOTHING";
    if c.prepare_cached(sql)?.execute(params![used.id, micros(used.until)])? == 0 {
        return Ok(false);
    }
    if let Some(AccessToken { hash, client, scopes, at, until, certificate }) = gives {
        let sql = "INSERT INTO access_token (hash, client, scopes, at, until, certificate) VALUES (?,?,?,?,?,?)";
        let certificate = certificate.as_ref().map(|bytes| bytes.as_slice());
        c.prepare_cached(sql)?.execute(params![hash, client, scopes, micros(*at), micros(*until), certificate])?;
    }
    Ok(true)
}

#[async_trait]
impl TokenStore for SqliteStore {
    async fn use_assertion(&self, shown: UsedAssertion, gives: Option<AccessToken>) -> Result<bool, StoreError> {
        let now = self.now();
        self.writer.run("use_assertion", move |c| used(c, &shown, gives.as_ref(), now)).await
    }

    async fn access_token(&self, hash: [u8; 32]) -> Result<Option<AccessToken>, StoreError> {
        let now = self.now();
        let read = move |c: &Connection| {
            let mut statement = c.prepare_cached("SELECT * FROM access_token WHERE hash = ? AND until > ?")?;
            Ok(statement.query_row(params![hash, micros(now)], token).optional()?)
        };
        self.readers.run(read).await
    }

    async fn revoke_token(&self, hash: [u8; 32], client: &str) -> Result<bool, StoreError> {
        let client = client.to_owned();
        let forget = move |c: &Connection| -> Result<bool, StoreError> {
            let sql = "DELETE FROM access_token WHERE hash = ? AND client = ?";
            Ok(c.prepare_cached(sql)?.execute(params![hash, client])? > 0)
        };
        self.writer.run("revoke_token", forget).await
    }

    async fn shared_secret(&self, name: &str, offered: [u8; 32]) -> Result<[u8; 32], StoreError> {
        let name = name.to_owned();
        let keep = move |c: &Connection| -> Result<[u8; 32], StoreError> {
            let sql = "INSERT INTO secret (name, value) VALUES (?,?) ON CONFLICT (name) DO NOTHING";
            c.prepare_cached(sql)?.execute(params![name, offered])?;
            let mut statement = c.prepare_cached("SELECT value FROM secret WHERE name = ?")?;
            let kept = statement.query_row([&name], |row| bytes32(row, "value"))?;
            kept.ok_or_else(|| StoreError::Corrupt("a shared secret".to_owned()))
        };
        self.writer.run("shared_secret", keep).await
    }
}

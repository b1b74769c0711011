//! Assertions that were used, access tokens, and secrets that are shared.

use async_trait::async_trait;
use tokio_postgres::Row;

use super::{
    PostgresStore,
    link::Values,
    rows::{bytes32, corrupt, get, micros, moment},
};
use crate::store::{AccessToken, Store, StoreError, TokenStore, UsedAssertion, counts, tokens::FORGOTTEN_AT_ONCE};

fn token(row: &Row) -> Result<AccessToken, StoreError> {
    let certificate = get::<Option<&[u8]>>(row, "certificate")?;
    Ok(AccessToken {
        hash: bytes32(row, "hash")?,
        client: get(row, "client")?,
        scopes: get(row, "scopes")?,
        at: moment(row, "at")?,
        until: moment(row, "until")?,
        certificate: certificate.map(TryInto::try_into).transpose().map_err(corrupt)?,
    })
}

#[async_trait]
impl TokenStore for PostgresStore {
    async fn use_assertion(&self, used: UsedAssertion, gives: Option<AccessToken>) -> Result<bool, StoreError> {
        counts::written("use_assertion");
        let now = micros(self.now());
        let (id, until) = (used.id.as_slice(), micros(used.until));
        let Some(AccessToken { hash, client, scopes, at, until: ends, certificate }) = gives else {
            let values: Values<'_> = &[&id, &until, &now, &FORGOTTEN_AT_ONCE];
            return Ok(!self.chores.query_once(USE, values).await?.is_empty());
        };
        let (hash, certificate) = (hash.as_slice(), certificate.as_ref().map(|bytes| bytes.as_slice()));
        let (at, ends) = (micros(at), micros(ends));
        let values: Values<'_> =
            &[&id, &until, &now, &FORGOTTEN_AT_ONCE, &hash, &client, &scopes, &at, &ends, &certificate];
        Ok(!self.chores.query_once(USE_AND_GIVE, values).await?.is_empty())
    }

    async fn access_token(&self, hash: [u8; 32]) -> Result<Option<AccessToken>, StoreError> {
        let (hash, now) = (hash.as_slice(), micros(self.now()));
        self.reader().query(TOKEN, &[&hash, &now]).await?.first().map(token).transpose()
    }

    async fn revoke_token(&self, hash: [u8; 32], client: &str) -> Result<bool, StoreError> {
        counts::written("revoke_token");
        let hash = hash.as_slice();
        Ok(!self.chores.query_once(REVOKE, &[&hash, &client]).await?.is_empty())
    }

    async fn shared_secret(&self, name: &str, offered: [u8; 32]) -> Result<[u8; 32], StoreError> {
        counts::written("shared_secret");
        let kept = self.chores.query_once(SHARED, &[&name, &offered.as_slice()]).await?;
        let row = kept.first().ok_or_else(|| StoreError::Corrupt("a shared secret".to_owned()))?;
        bytes32(row, "value")
    }
}

const TOKEN: &str = "SELECT * FROM access_token WHERE hash = $1 AND until > $2";

/// Written over itself, so that what another has written at the same moment is given, too.
const SHARED: &str = "INSERT INTO secret (name, value) VALUES ($1::text, $2::bytea)
    ON CONFLICT (name) DO UPDATE SET value = secret.value RETURNING value";

const REVOKE: &str = "DELETE FROM access_token WHERE hash = $1 AND client = $2 RETURNING client";

/// Those that others are forgetting at this moment are left to them.
const USE: &str = "WITH old_assertions AS (
        DELETE FROM assertion_used WHERE id IN (
            SELECT id FROM assertion_used WHERE until < $3::bigint LIMIT $4::bigint FOR UPDATE SKIP LOCKED)
    ), old_tokens AS (
        DELETE FROM access_token WHERE hash IN (
            SELECT hash FROM access_token WHERE until < $3::bigint LIMIT $4::bigint FOR UPDATE SKIP LOCKED)
    )
    INSERT INTO assertion_used (id, until) VALUES ($1::bytea, $2::bigint) ON CONFLICT (id) DO NOTHING RETURNING until";

const USE_AND_GIVE: &str = "WITH old_assertions AS (
        DELETE FROM assertion_used WHERE id IN (
            SELECT id FROM assertion_used WHERE until < $3::bigint LIMIT $4::bigint FOR UPDATE SKIP LOCKED)
    ), old_tokens AS (
        DELETE FROM access_token WHERE hash IN (
            SELECT hash FROM access_token WHERE until < $3::bigint LIMIT $4::bigint FOR UPDATE SKIP LOCKED)
    ), used AS (
        INSERT INTO assertion_used (id, until) VALUES ($1::bytea, $2::bigint) ON CONFLICT (id) DO NOTHING RETURNING until
    )
    INSERT INTO access_token (hash, client, scopes, at, until, certificate)
    SELECT $5::bytea, $6::text, $7::text, $8::bigint, $9::bigint, $10::bytea FROM used RETURNING until";

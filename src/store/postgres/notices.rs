//! How far the notices of inboxes are.

use async_trait::async_trait;
use tokio_postgres::Row;

use super::{
    PostgresStore,
    rows::{all, big, corrupt, get, number},
};
use crate::{
    domain::{
        InboxId,
        notice::{KeptNotices, Notices},
    },
    store::{NoticeStore, StoreError, counts, notices},
};

fn kept(row: &Row) -> Result<(InboxId, KeptNotices), StoreError> {
    let inbox = get::<&str>(row, "inbox")?.parse().map_err(corrupt)?;
    Ok((inbox, KeptNotices { version: number(row, "version")?, notices: notices::read(get(row, "body")?)? }))
}

#[async_trait]
impl NoticeStore for PostgresStore {
    async fn notices(&self) -> Result<Vec<(InboxId, KeptNotices)>, StoreError> {
        all(&self.reader().query("SELECT inbox, version, body FROM notices ORDER BY inbox", &[]).await?, kept)
    }

    async fn set_notices(&self, inbox: &InboxId, over: u64, notices: Notices) -> Result<bool, StoreError> {
        counts::written("set_notices");
        let body = notices::written(&notices)?;
        let sql = if over == 0 { FIRST } else { OVER };
        Ok(!self.chores.query_once(sql, &[&inbox.as_str(), &big(over), &body]).await?.is_empty())
    }
}

const FIRST: &str = "INSERT INTO notices (inbox, version, body) VALUES ($1, $2::bigint + 1, $3)
    ON CONFLICT (inbox) DO NOTHING RETURNING version";

const OVER: &str = "UPDATE notices SET version = $2::bigint + 1, body = $3 WHERE inbox = $1 AND version = $2::bigint RETURNING version";

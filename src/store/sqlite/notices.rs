//! How far the notices of inboxes are.

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::{SqliteStore, rows::parse};
use crate::{
    domain::{
        InboxId,
        notice::{KeptNotices, Notices},
    },
    store::{NoticeStore, StoreError, notices},
};

fn all(c: &Connection) -> Result<Vec<(InboxId, KeptNotices)>, StoreError> {
    let mut statement = c.prepare_cached("SELECT inbox, version, body FROM notices ORDER BY inbox")?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let body: String = row.get("body")?;
        let kept = KeptNotices { version: row.get("version")?, notices: notices::read(&body)? };
        found.push((parse(row, "inbox")?, kept));
    }
    Ok(found)
}

fn set(c: &Connection, inbox: &InboxId, over: u64, body: &str) -> Result<bool, StoreError> {
    let sql = if over == 0 {
        "INSERT INTO notices (inbox, version, body) VALUES (?1, ?2 + 1, ?3) ON CONFLICT (inbox) DO NOTHING"
    } else {
        "UPDATE notices SET version = ?2 + 1, body = ?3 WHERE inbox = ?1 AND version = ?2"
    };
    Ok(c.prepare_cached(sql)?.execute(params![inbox.as_str(), over, body])? == 1)
}

#[async_trait]
impl NoticeStore for SqliteStore {
    async fn notices(&self) -> Result<Vec<(InboxId, KeptNotices)>, StoreError> {
        self.readers.run(all).await
    }

    async fn set_notices(&self, inbox: &InboxId, over: u64, notices: Notices) -> Result<bool, StoreError> {
        let (inbox, body) = (inbox.clone(), notices::written(&notices)?);
        self.writer.run("set_notices", move |c: &Connection| set(c, &inbox, over, &body)).await
    }
}

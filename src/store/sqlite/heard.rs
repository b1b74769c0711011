//! What was said of Tasks, and how far providers have looked at it.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{SqliteStore, journal};
use crate::{
    domain::{ProviderId, TaskId},
    store::{HeardStore, JournalLine, StoreError},
};

fn heard(c: &Connection, provider: &ProviderId, tasks: &[TaskId]) -> Result<Vec<(TaskId, u64)>, StoreError> {
    let mut statement = c.prepare_cached("SELECT seq FROM heard WHERE provider = ? AND task = ?")?;
    let mut found = Vec::new();
    for task in tasks {
        let seq =
            statement.query_row(params![provider.as_str(), task.0.as_bytes()], |row| row.get("seq")).optional()?;
        found.extend(seq.map(|seq| (*task, seq)));
    }
    Ok(found)
}

fn hear(c: &Connection, provider: &ProviderId, heard: &[(TaskId, u64)]) -> Result<(), StoreError> {
    let sql = "INSERT INTO heard (provider, task, seq) VALUES (?, ?, ?)
        ON CONFLICT (provider, task) DO UPDATE SET seq = max(seq, excluded.seq)";
    let mut statement = c.prepare_cached(sql)?;
    for (task, seq) in heard {
        statement.execute(params![provider.as_str(), task.0.as_bytes(), seq])?;
    }
    Ok(())
}

#[async_trait]
impl HeardStore for SqliteStore {
    async fn said_of(&self, tasks: Vec<TaskId>) -> Result<Vec<(TaskId, JournalLine)>, StoreError> {
        self.readers.run(move |c| journal::said(c, &tasks)).await
    }

    async fn heard(&self, provider: &ProviderId, tasks: Vec<TaskId>) -> Result<Vec<(TaskId, u64)>, StoreError> {
        let provider = provider.clone();
        self.readers.run(move |c| heard(c, &provider, &tasks)).await
    }

    async fn hear(&self, provider: &ProviderId, heard: Vec<(TaskId, u64)>) -> Result<(), StoreError> {
        let provider = provider.clone();
        self.writer.run("hear", move |c: &Connection| hear(c, &provider, &heard)).await
    }
}

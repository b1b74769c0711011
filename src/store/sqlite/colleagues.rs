//! Who works a provider's referrals by the word of an issuer.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use serde_json::json;

use super::{
    SqliteStore,
    rows::{micros, moment},
};
use crate::{
    domain::{ProviderId, Timestamp},
    store::{COLLEAGUES_MAX, Colleague, ColleagueStore, Store as _, StoreError},
};

const ALL: &str = "SELECT * FROM colleague WHERE provider = ? ORDER BY seen DESC, person, name";

/// The providers as a JSON array.
const NAMES: &str = "SELECT person, name FROM colleague WHERE provider IN (SELECT value FROM json_each(?))
    GROUP BY person, name ORDER BY max(seen) DESC, person, name LIMIT ?";

fn colleague(row: &Row<'_>) -> rusqlite::Result<Colleague> {
    Ok(Colleague {
        person: row.get("person")?,
        name: row.get("name")?,
        since: moment(row, "since")?,
        seen: moment(row, "seen")?,
        works: row.get("works")?,
    })
}

fn keep(
    c: &Connection,
    (person, name): (&str, &str),
    providers: &[ProviderId],
    now: Timestamp,
) -> Result<(), StoreError> {
    c.prepare_cached("UPDATE colleague SET works = 0 WHERE person = ? AND works")?.execute(params![person])?;
    for provider in providers {
        let sql = "INSERT INTO colleague (provider, person, name, since, seen, works) VALUES (?, ?, ?, ?, ?, 1)
            ON CONFLICT (provider, person, name) DO UPDATE SET seen = excluded.seen, works = 1";
        let now = micros(now);
        c.prepare_cached(sql)?.execute(params![provider.as_str(), person, name, now, now])?;
        let sql = "DELETE FROM colleague WHERE provider = ?1 AND (person, name) IN
            (SELECT person, name FROM colleague WHERE provider = ?1 ORDER BY seen DESC, person, name LIMIT -1 OFFSET ?2)";
        c.prepare_cached(sql)?.execute(params![provider.as_str(), COLLEAGUES_MAX])?;
    }
    Ok(())
}

#[async_trait]
impl ColleagueStore for SqliteStore {
    async fn keep_colleague(&self, person: &str, name: &str, providers: Vec<ProviderId>) -> Result<(), StoreError> {
        let (person, name, now) = (person.to_owned(), name.to_owned(), self.now());
        let write = move |c: &Connection| keep(c, (&person, &name), &providers, now);
        self.writer.run("keep_colleague", write).await
    }

    async fn colleagues(&self, provider: &ProviderId) -> Result<Vec<Colleague>, StoreError> {
        let provider = provider.clone();
        let read = move |c: &Connection| {
            let mut statement = c.prepare_cached(ALL)?;
            let found = statement.query_map(params![provider.as_str()], colleague)?.collect::<Result<_, _>>()?;
            Ok(found)
        };
        self.readers.run(read).await
    }

    async fn colleague_names(
        &self,
        providers: Vec<ProviderId>,
        most: usize,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let read = move |c: &Connection| {
            let providers = json!(providers.iter().map(ProviderId::as_str).collect::<Vec<_>>()).to_string();
            let mut statement = c.prepare_cached(NAMES)?;
            let name = |row: &Row<'_>| Ok((row.get("person")?, row.get("name")?));
            let found = statement.query_map(params![providers, most], name)?.collect::<Result<_, _>>()?;
            Ok(found)
        };
        self.readers.run(read).await
    }
}

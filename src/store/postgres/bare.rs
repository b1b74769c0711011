//! What PostgreSQL does without us, as the measure for what we do with it: rows of a referral's bytes with two indexes, committed in
//! groups as large as ours, over as many connections as we write on and under the same settings.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    STEP_WRITERS,
    link::{Link, Use},
    queue::GROUP_MAX,
    settings::Settings,
};
use crate::store::StoreError;

const MAKE: &str = "DROP TABLE IF EXISTS onward_bare;
    CREATE TABLE onward_bare (id uuid PRIMARY KEY, key text NOT NULL, body bytea NOT NULL) WITH (toast_tuple_target = 4096);
    CREATE UNIQUE INDEX onward_bare_by_key ON onward_bare (key)";
/// As our own tables are compressed, where the server can.
const COMPRESS: &str = "ALTER TABLE onward_bare ALTER COLUMN body SET COMPRESSION lz4";
const INSERT: &str =
    "INSERT INTO onward_bare (id, key, body) SELECT * FROM UNNEST($1::uuid[], $2::text[], $3::bytea[])";

/// Rows a second into a table of its own, which is dropped afterwards.
///
/// # Errors
/// [`StoreError`]
pub async fn rows_per_second(url: &str, body: &str, time: Duration) -> Result<f64, StoreError> {
    let settings = Settings::of(url).map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let settings = Arc::new(settings);
    let link = || Link::new(Arc::clone(&settings), Use::Statements);
    let own = link();
    own.get().await?.run(MAKE).await?;
    let _ = own.get().await?.run(COMPRESS).await;
    let begun = Instant::now();
    // one for what comes in, the others for what happens after, as the store has them
    let writers = (0..=STEP_WRITERS).map(|writer| write(link(), writer, body, begun + time));
    let counts = futures_util::future::try_join_all(writers).await;
    let seconds = begun.elapsed().as_secs_f64();
    own.get().await?.run("DROP TABLE onward_bare").await?;
    Ok(counts?.into_iter().sum::<u64>() as f64 / seconds)
}

/// How long each row takes that is committed alone, one after the other, into a table of its own, which is dropped afterwards.
///
/// # Errors
/// [`StoreError`]
pub async fn one_by_one(url: &str, body: &str, time: Duration) -> Result<Vec<Duration>, StoreError> {
    let settings = Settings::of(url).map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let own = Link::new(Arc::new(settings), Use::Statements);
    let conn = own.get().await?;
    conn.run(MAKE).await?;
    let _ = conn.run(COMPRESS).await;
    let (begun, mut took) = (Instant::now(), Vec::new());
    while begun.elapsed() < time {
        let key = format!("bare-{:012}", took.len());
        let sent = Instant::now();
        conn.query(INSERT, &[&[Uuid::now_v7()].as_slice(), &[key].as_slice(), &[body.as_bytes()].as_slice()]).await?;
        took.push(sent.elapsed());
    }
    conn.run("DROP TABLE onward_bare").await?;
    Ok(took)
}

async fn write(link: Link, writer: usize, body: &str, until: Instant) -> Result<u64, StoreError> {
    let conn = link.get().await?;
    let bodies: Vec<&[u8]> = (0..GROUP_MAX).map(|_| body.as_bytes()).collect();
    let mut count = 0u64;
    while Instant::now() < until {
        let ids: Vec<Uuid> = (0..GROUP_MAX).map(|_| Uuid::now_v7()).collect();
        let keys: Vec<String> = (0..GROUP_MAX).map(|n| format!("bare-{writer}-{:012}", count + n as u64)).collect();
        conn.query(INSERT, &[&ids, &keys, &bodies]).await?;
        count += GROUP_MAX as u64;
    }
    Ok(count)
}

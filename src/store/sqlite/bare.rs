//! What SQLite and the disk do without us, as the measure for what we do with them: rows of a referral's bytes with one index,
//! committed in groups as large as ours and under the same settings.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rusqlite::{Connection, params};
use uuid::Uuid;

use super::{pool::GROUP_MAX, tune};

/// Rows a second into a file of its own at `path`, which is deleted afterwards.
///
/// # Errors
/// What SQLite says.
pub fn rows_per_second(path: &Path, body: &str, time: Duration) -> rusqlite::Result<f64> {
    let (_file, connection) = open(path)?;
    let begun = Instant::now();
    let mut count = 0u64;
    while begun.elapsed() < time {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let mut insert = connection.prepare_cached(INSERT)?;
        for _ in 0..GROUP_MAX {
            insert.execute(params![Uuid::now_v7().as_bytes(), format!("bare-{count:012}"), body])?;
            count += 1;
        }
        connection.execute_batch("COMMIT")?;
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}

/// How long each row takes that is committed alone, one after the other, into a file of its own at `path`, which is deleted
/// afterwards.
///
/// # Errors
/// What SQLite says.
pub fn one_by_one(path: &Path, body: &str, time: Duration) -> rusqlite::Result<Vec<Duration>> {
    let (_file, connection) = open(path)?;
    let mut insert = connection.prepare_cached(INSERT)?;
    let (begun, mut took) = (Instant::now(), Vec::new());
    while begun.elapsed() < time {
        let sent = Instant::now();
        insert.execute(params![Uuid::now_v7().as_bytes(), format!("bare-{:012}", took.len()), body])?;
        took.push(sent.elapsed());
    }
    Ok(took)
}

const INSERT: &str = "INSERT INTO bare (id, key, body) VALUES (?,?,?)";

fn open(path: &Path) -> rusqlite::Result<(Bare, Connection)> {
    let file = Bare(path.to_owned());
    let connection = Connection::open(&file.0)?;
    tune(&connection)?;
    connection.execute_batch(
        "CREATE TABLE bare (id BLOB PRIMARY KEY, key TEXT NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;
         CREATE UNIQUE INDEX bare_by_key ON bare (key);",
    )?;
    Ok((file, connection))
}

/// The file, with those that SQLite lays beside it.
struct Bare(PathBuf);

impl Drop for Bare {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm"] {
            let mut name = self.0.clone().into_os_string();
            name.push(end);
            let _ = std::fs::remove_file(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.bare");
        let rate = rows_per_second(&path, "{}", Duration::from_millis(20)).unwrap();
        assert!(rate > 0.0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

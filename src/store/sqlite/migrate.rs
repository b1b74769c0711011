//! Brings a store file to the schema of this version, one numbered step at a time.

use std::path::Path;

use rusqlite::Connection;

use super::OpenError;
use crate::store::StoreError;

/// Every step ever made, in order; a step that was released is never changed.
const STEPS: &[&str] = &[
    include_str!("migrations/0001_frame.sql"),
    include_str!("migrations/0002_conversation.sql"),
    include_str!("migrations/0003_endpoints.sql"),
    include_str!("migrations/0004_silence.sql"),
    include_str!("migrations/0005_requests.sql"),
    include_str!("migrations/0006_search.sql"),
    include_str!("migrations/0007_subscriptions.sql"),
    include_str!("migrations/0008_routes.sql"),
    include_str!("migrations/0009_several.sql"),
    include_str!("migrations/0010_rehearsal.sql"),
    include_str!("migrations/0011_duplicates.sql"),
    include_str!("migrations/0012_directory.sql"),
    include_str!("migrations/0013_measured.sql"),
    include_str!("migrations/0014_resource_rows.sql"),
    include_str!("migrations/0015_tokens.sql"),
    include_str!("migrations/0016_people.sql"),
    include_str!("migrations/0017_notices.sql"),
    include_str!("migrations/0018_secrets.sql"),
    include_str!("migrations/0019_issued_sessions.sql"),
    include_str!("migrations/0020_journal_person.sql"),
    include_str!("migrations/0021_journal_by_time.sql"),
    include_str!("migrations/0022_account_note.sql"),
    include_str!("migrations/0023_heard.sql"),
    include_str!("migrations/0024_failing.sql"),
    include_str!("migrations/0025_account_before.sql"),
    include_str!("migrations/0026_colleague.sql"),
    include_str!("migrations/0027_forgotten.sql"),
];

/// Runs the steps that the file has not seen, each in its own commit.
pub(super) fn run(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let known = STEPS.len() as i64;
    loop {
        // IMMEDIATE, then look: two processes that open a new file at once do not both run the step
        let tx = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(sqlite)?;
        let found: i64 = tx.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(sqlite)?;
        if found > known {
            return Err(OpenError::Newer { path: path.to_owned(), found, known });
        }
        let Some(step) = usize::try_from(found).ok().and_then(|n| STEPS.get(n)) else { return Ok(()) };
        tx.execute_batch(step).map_err(sqlite)?;
        tx.pragma_update(None, "user_version", found + 1).map_err(sqlite)?;
        tx.commit().map_err(sqlite)?;
    }
}

/// Whether the file has the schema of this version; changes nothing.
pub(super) fn same(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let read: rusqlite::Result<i64> = connection.pragma_query_value(None, "user_version", |row| row.get(0));
    let found = read.map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })?;
    let (path, known) = (path.to_owned(), STEPS.len() as i64);
    match found.cmp(&known) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less => Err(OpenError::Older { path, found, known }),
        std::cmp::Ordering::Greater => Err(OpenError::Newer { path, found, known }),
    }
}

/// Writes the schema's number as it is: the smallest write there is, and all the same one that goes to the disk.
pub(super) fn write_again(connection: &Connection) -> Result<(), StoreError> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    connection.pragma_update(None, "user_version", found)?;
    Ok(())
}

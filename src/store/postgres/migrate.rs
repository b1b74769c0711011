//! Brings a database to the schema of this version, one numbered step at a time, beside programs that are older.
//!
//! Steps expand and contract: one that adds what older programs do not miss says from which schema on a program may go on
//! running, and replicas are then replaced one after another. One that takes something away comes a version later.

use super::{
    OpenError,
    link::{Conn, Failure},
    rows::get,
};

/// A step.
struct Step {
    sql: &'static str,
    /// A program that knows this schema, or a later one, still runs on the database after this step.
    runs_from: i64,
}

/// Every step ever made, in order; a step that was released is never changed.
const STEPS: &[Step] = &[
    Step { sql: include_str!("migrations/0001_frame.sql"), runs_from: 1 },
    Step { sql: include_str!("migrations/0002_compression.sql"), runs_from: 1 },
    Step { sql: include_str!("migrations/0003_requests.sql"), runs_from: 1 },
    // an older program would store referrals that nobody finds by their names
    Step { sql: include_str!("migrations/0004_search.sql"), runs_from: 4 },
    Step { sql: include_str!("migrations/0005_subscriptions.sql"), runs_from: 4 },
    // one that is older takes its routes from files, as before
    Step { sql: include_str!("migrations/0006_routes.sql"), runs_from: 4 },
    // an older program would end a part and leave its parent as it was
    Step { sql: include_str!("migrations/0007_several.sql"), runs_from: 7 },
    Step { sql: include_str!("migrations/0008_rehearsal.sql"), runs_from: 7 },
    Step { sql: include_str!("migrations/0009_duplicates.sql"), runs_from: 7 },
    Step { sql: include_str!("migrations/0010_directory.sql"), runs_from: 7 },
    // what is answered through an older program is not measured
    Step { sql: include_str!("migrations/0011_measured.sql"), runs_from: 7 },
    Step { sql: include_str!("migrations/0012_tokens.sql"), runs_from: 7 },
    // nobody logs in through an older program
    Step { sql: include_str!("migrations/0013_people.sql"), runs_from: 7 },
    Step { sql: include_str!("migrations/0014_directory_history.sql"), runs_from: 7 },
    // an older program sends no notices
    Step { sql: include_str!("migrations/0015_notices.sql"), runs_from: 7 },
    Step { sql: include_str!("migrations/0016_secrets.sql"), runs_from: 7 },
    // what began through an older program the issuer ends by its person alone
    Step { sql: include_str!("migrations/0017_issued_sessions.sql"), runs_from: 7 },
    Step { sql: include_str!("migrations/0018_journal_person.sql"), runs_from: 7 },
    Step { sql: include_str!("migrations/0019_journal_by_time.sql"), runs_from: 7 },
    // what is done with accounts through an older program is told by its log alone
    Step { sql: include_str!("migrations/0020_account_note.sql"), runs_from: 7 },
    // what is looked at through an older program is new to those who look through this one
    Step { sql: include_str!("migrations/0021_heard.sql"), runs_from: 7 },
    Step { sql: include_str!("migrations/0022_failing.sql"), runs_from: 7 },
    // through an older program it is not told what somebody was before
    Step { sql: include_str!("migrations/0023_account_before.sql"), runs_from: 7 },
    // who logs in through an older program is no colleague before the next time
    Step { sql: include_str!("migrations/0024_colleague.sql"), runs_from: 7 },
    // to an older program an account that is forgotten is one that has ended, which nobody can log in with
    Step { sql: include_str!("migrations/0025_forgotten.sql"), runs_from: 7 },
];

/// The newest schema that this program knows.
pub(super) const KNOWN: i64 = STEPS.len() as i64;

/// What a database says of itself.
struct Found {
    version: i64,
    runs_from: i64,
}

/// Runs the steps that the database has not seen. Replicas that start at once wait for one another here.
pub(super) async fn run(conn: &Conn, shown: &str) -> Result<(), OpenError> {
    let failed = |failure: Failure| OpenError::Server { at: shown.to_owned(), why: String::from(failure) };
    conn.run("BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0").await.map_err(failed)?;
    let done = steps(conn, shown).await;
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = conn.run(end).await.map_err(failed);
    done.and(ended)
}

async fn steps(conn: &Conn, shown: &str) -> Result<(), OpenError> {
    let failed = |failure: Failure| OpenError::Server { at: shown.to_owned(), why: String::from(failure) };
    // by the schema's name: there may be several in one database
    conn.query("SELECT pg_advisory_xact_lock(7203, hashtext(current_schema()))", &[]).await.map_err(failed)?;
    conn.run(SCHEMA_TABLE).await.map_err(failed)?;
    let found = look(conn).await.map_err(failed)?;
    fits(&found, shown)?;
    for (number, step) in (1..).zip(STEPS) {
        if number > found.version {
            conn.run(step.sql).await.map_err(failed)?;
            let told = "INSERT INTO onward_schema (version, runs_from) VALUES ($1, $2)";
            conn.query(told, &[&number, &step.runs_from]).await.map_err(failed)?;
            tracing::info!(schema = number, "the store's schema was brought up to date");
        }
    }
    Ok(())
}

/// Whether the database has a schema that this program runs on; changes nothing.
pub(super) async fn same(conn: &Conn, shown: &str) -> Result<(), OpenError> {
    let failed = |failure: Failure| OpenError::Server { at: shown.to_owned(), why: String::from(failure) };
    let there = conn.query("SELECT to_regclass('onward_schema') IS NOT NULL AS there", &[]).await.map_err(failed)?;
    let there = there.first().and_then(|row| get(row, "there").ok()).unwrap_or(false);
    let found = if there { look(conn).await.map_err(failed)? } else { Found { version: 0, runs_from: 0 } };
    fits(&found, shown)?;
    if found.version < KNOWN {
        return Err(OpenError::Older { at: shown.to_owned(), found: found.version, known: KNOWN });
    }
    Ok(())
}

async fn look(conn: &Conn) -> Result<Found, Failure> {
    let sql =
        "SELECT coalesce(max(version), 0) AS version, coalesce(max(runs_from), 0) AS runs_from FROM onward_schema";
    let rows = conn.query(sql, &[]).await?;
    let row = rows.first().ok_or_else(|| Failure::Cannot("no schema version".to_owned()))?;
    Ok(Found { version: get(row, "version")?, runs_from: get(row, "runs_from")? })
}

fn fits(found: &Found, shown: &str) -> Result<(), OpenError> {
    if found.runs_from > KNOWN {
        return Err(OpenError::Newer {
            at: shown.to_owned(),
            found: found.version,
            from: found.runs_from,
            known: KNOWN,
        });
    }
    Ok(())
}

const SCHEMA_TABLE: &str = "CREATE TABLE IF NOT EXISTS onward_schema (
    version   bigint PRIMARY KEY,
    runs_from bigint NOT NULL,
    at        timestamptz NOT NULL DEFAULT now())";

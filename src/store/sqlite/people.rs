//! People: their sessions and log-ins, local accounts, what was tried in vain, and glasses that were broken.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    SqliteStore,
    rows::{micros, moment, uuid},
};
use crate::{
    domain::{Position, ReferralId, clock::from_micros},
    store::{
        ACCOUNTS_MAX, Account, AccountAt, AccountName, AccountNote, Credentials, Digest, Enrolment, Failures, Glass,
        LOGINS_MAX, PeopleStore, SESSIONS_MAX, Session, Store as _, StoreError, people,
    },
};

fn positions(row: &Row<'_>) -> rusqlite::Result<Vec<Position>> {
    positions_in(row, "positions")
}

fn positions_in(row: &Row<'_>, column: &str) -> rusqlite::Result<Vec<Position>> {
    let index = row.as_ref().column_index(column)?;
    let text: String = row.get(index)?;
    people::read(&text).map_err(|e| rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(e)))
}

fn session(row: &Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        id: uuid(row, "id")?,
        secret: row.get("secret")?,
        person: row.get("person")?,
        name: row.get("name")?,
        positions: positions(row)?,
        created: moment(row, "created")?,
        last_used: moment(row, "last_used")?,
        until: moment(row, "until")?,
        issued: row.get("issued")?,
    })
}

fn account(row: &Row<'_>) -> rusqlite::Result<Account> {
    let code: Option<Digest> = row.get("enrolment")?;
    let until: Option<i64> = row.get("enrolment_until")?;
    let password: Option<String> = row.get("password")?;
    let totp: Option<Vec<u8>> = row.get("totp")?;
    let step: Option<u64> = row.get("step")?;
    Ok(Account {
        name: row.get("name")?,
        full_name: row.get("full_name")?,
        positions: positions(row)?,
        disabled: row.get("disabled")?,
        enrolment: code.zip(until).map(|(code, until)| Enrolment { code, until: from_micros(until) }),
        credentials: password.zip(totp).map(|(password, totp)| Credentials {
            password,
            totp: totp.into(),
            step: step.unwrap_or_default(),
        }),
        created: moment(row, "created")?,
        version: row.get("version")?,
    })
}

fn account_name(row: &Row<'_>) -> rusqlite::Result<AccountName> {
    Ok(AccountName { name: row.get("name")?, full_name: row.get("full_name")? })
}

fn glass(row: &Row<'_>) -> rusqlite::Result<Glass> {
    Ok(Glass {
        id: uuid(row, "id")?,
        person: row.get("person")?,
        name: row.get("name")?,
        positions: positions(row)?,
        referral: ReferralId(uuid(row, "referral")?),
        reason: row.get("reason")?,
        at: moment(row, "at")?,
        until: moment(row, "until")?,
    })
}

fn note(row: &Row<'_>) -> rusqlite::Result<AccountNote> {
    let index = row.as_ref().column_index("deed")?;
    let deed: String = row.get(index)?;
    let deed = deed.parse().map_err(|e| rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(e)))?;
    Ok(AccountNote {
        id: uuid(row, "id")?,
        at: moment(row, "at")?,
        by: row.get("by")?,
        account: row.get("account")?,
        deed,
        before: positions_in(row, "before")?,
        positions: positions(row)?,
    })
}

/// Notes what was done with an account, where it was done.
fn noted(c: &Connection, done: bool, note: Option<&AccountNote>) -> Result<bool, StoreError> {
    if let Some(note) = note.filter(|_| done) {
        c.prepare_cached(
            "INSERT INTO account_note (id, at, by, account, deed, positions, before) VALUES (?,?,?,?,?,?,?)",
        )?
        .execute(params![
            note.id.as_bytes(),
            micros(note.at),
            note.by,
            note.account,
            note.deed.code(),
            people::written(&note.positions),
            people::written(&note.before),
        ])?;
    }
    Ok(done)
}

fn add_session(c: &Connection, new: &Session) -> Result<(), StoreError> {
    c.prepare_cached(
        "DELETE FROM session WHERE secret IN
           (SELECT secret FROM session WHERE person = ? ORDER BY last_used DESC, created DESC LIMIT -1 OFFSET ?)",
    )?
    .execute(params![new.person, SESSIONS_MAX - 1])?;
    c.prepare_cached(
        "INSERT INTO session (secret, id, person, name, positions, created, last_used, until, issued)
         VALUES (?,?,?,?,?,?,?,?,?)",
    )?
    .execute(params![
        new.secret,
        new.id.as_bytes(),
        new.person,
        new.name,
        people::written(&new.positions),
        micros(new.created),
        micros(new.last_used),
        micros(new.until),
        new.issued,
    ])?;
    Ok(())
}

fn begin_login(c: &Connection, key: Digest, kept: &str, until: Timestamp) -> Result<(), StoreError> {
    c.prepare_cached("DELETE FROM login WHERE key IN (SELECT key FROM login ORDER BY until DESC LIMIT -1 OFFSET ?)")?
        .execute([LOGINS_MAX - 1])?;
    c.prepare_cached("INSERT OR REPLACE INTO login (key, until, kept) VALUES (?,?,?)")?.execute(params![
        key,
        micros(until),
        kept
    ])?;
    Ok(())
}

fn take_login(c: &Connection, key: Digest, now: Timestamp) -> Result<Option<Zeroizing<String>>, StoreError> {
    let mut statement = c.prepare_cached("DELETE FROM login WHERE key = ? RETURNING until, kept")?;
    let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, Zeroizing::new(row.get(1)?)));
    let found = statement.query_row([&key[..]], read).optional()?;
    Ok(found.filter(|(until, _)| *until > micros(now)).map(|(_, kept)| kept))
}

fn add_account(c: &Connection, new: &Account) -> Result<bool, StoreError> {
    let added = c
        .prepare_cached(
            "INSERT INTO account (name, full_name, positions, disabled, enrolment, enrolment_until, password, totp, step,
                                  created, version)
             SELECT ?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11 WHERE (SELECT count(*) FROM account WHERE forgotten IS NULL) < ?12
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            new.name,
            new.full_name,
            people::written(&new.positions),
            new.disabled,
            new.enrolment.as_ref().map(|e| e.code),
            new.enrolment.as_ref().map(|e| micros(e.until)),
            new.credentials.as_ref().map(|c| c.password.as_str()),
            new.credentials.as_ref().map(|c| c.totp.as_slice()),
            new.credentials.as_ref().map(|c| c.step),
            micros(new.created),
            new.version,
            ACCOUNTS_MAX,
        ])?;
    Ok(added > 0)
}

fn set_account(c: &Connection, new: &Account, by: Option<&AccountAt>, now: Timestamp) -> Result<bool, StoreError> {
    // writes come one after the other
    if let Some(by) = by {
        let mut statement =
            c.prepare_cached("SELECT 1 FROM account WHERE name = ? AND version = ? AND forgotten IS NULL")?;
        if !statement.exists(params![by.name, by.version])? {
            return Ok(false);
        }
    }
    let set = c
        .prepare_cached(
            "UPDATE account SET full_name = ?2, positions = ?3, disabled = ?4, enrolment = ?5, enrolment_until = ?6,
                    password = ?7, totp = ?8, step = ?9, version = version + 1,
                    ended = CASE WHEN ?4 THEN coalesce(iif(disabled, ended, NULL), ?11) END
             WHERE name = ?1 AND version = ?10 AND forgotten IS NULL",
        )?
        .execute(params![
            new.name,
            new.full_name,
            people::written(&new.positions),
            new.disabled,
            new.enrolment.as_ref().map(|e| e.code),
            new.enrolment.as_ref().map(|e| micros(e.until)),
            new.credentials.as_ref().map(|c| c.password.as_str()),
            new.credentials.as_ref().map(|c| c.totp.as_slice()),
            new.credentials.as_ref().map(|c| c.step),
            new.version,
            micros(now),
        ])?;
    Ok(set > 0)
}

fn forget_account(c: &Connection, at: &AccountAt, now: Timestamp) -> Result<bool, StoreError> {
    let forgotten = c
        .prepare_cached(
            "UPDATE account SET forgotten = ?3, enrolment = NULL, enrolment_until = NULL, password = NULL, totp = NULL,
                    step = NULL, version = version + 1
             WHERE name = ?1 AND version = ?2 AND disabled AND forgotten IS NULL",
        )?
        .execute(params![at.name, at.version, micros(now)])?;
    Ok(forgotten > 0)
}

fn account_names(c: &Connection, accounts: &[String]) -> Result<Vec<AccountName>, StoreError> {
    let mut statement = c.prepare_cached("SELECT name, full_name FROM account WHERE name = ?")?;
    let mut found = Vec::with_capacity(accounts.len());
    for name in accounts {
        found.extend(statement.query_row([name], account_name).optional()?);
    }
    Ok(found)
}

fn failures(c: &Connection, key: Digest) -> Result<Option<Failures>, StoreError> {
    let mut statement = c.prepare_cached("SELECT count, last FROM login_failure WHERE key = ?")?;
    let read = |row: &Row<'_>| Ok(Failures { count: row.get("count")?, last: moment(row, "last")? });
    Ok(statement.query_row([&key[..]], read).optional()?)
}

fn count_failure(c: &Connection, key: Digest, over: Option<u32>, now: Timestamp) -> Result<bool, StoreError> {
    let before = failures(c, key)?.map_or(0, |found| found.count);
    if over.is_some_and(|over| over != before) {
        return Ok(false);
    }
    c.prepare_cached("INSERT OR REPLACE INTO login_failure (key, count, last) VALUES (?,?,?)")?.execute(params![
        key,
        before.saturating_add(1),
        micros(now)
    ])?;
    Ok(true)
}

#[async_trait]
impl PeopleStore for SqliteStore {
    async fn add_session(&self, session: Session) -> Result<(), StoreError> {
        self.writer.run("add_session", move |c| add_session(c, &session)).await
    }

    async fn session(&self, secret: Digest) -> Result<Option<Session>, StoreError> {
        let read = move |c: &Connection| {
            let mut statement = c.prepare_cached("SELECT * FROM session WHERE secret = ?")?;
            Ok(statement.query_row([&secret[..]], session).optional()?)
        };
        self.readers.run(read).await
    }

    async fn use_session(&self, secret: Digest) -> Result<bool, StoreError> {
        let now = self.now();
        let write = move |c: &Connection| -> Result<bool, StoreError> {
            let mut statement = c.prepare_cached("UPDATE session SET last_used = ? WHERE secret = ?")?;
            Ok(statement.execute(params![micros(now), secret])? > 0)
        };
        self.writer.run("use_session", write).await
    }

    async fn sessions_of(&self, person: &str) -> Result<Vec<Session>, StoreError> {
        let person = person.to_owned();
        let read = move |c: &Connection| {
            let mut statement =
                c.prepare_cached("SELECT * FROM session WHERE person = ? ORDER BY created DESC, id DESC")?;
            Ok(statement.query_map([person], session)?.collect::<Result<_, _>>()?)
        };
        self.readers.run(read).await
    }

    async fn end_sessions(&self, person: &str, id: Option<Uuid>) -> Result<u64, StoreError> {
        let person = person.to_owned();
        let write = move |c: &Connection| -> Result<u64, StoreError> {
            let mut statement =
                c.prepare_cached("DELETE FROM session WHERE person = ?1 AND (?2 IS NULL OR id = ?2)")?;
            Ok(statement.execute(params![person, id.as_ref().map(Uuid::as_bytes)])? as u64)
        };
        self.writer.run("end_sessions", write).await
    }

    async fn end_issued(&self, person: Option<&str>, issued: Option<Digest>) -> Result<u64, StoreError> {
        let person = person.map(str::to_owned);
        let write = move |c: &Connection| -> Result<u64, StoreError> {
            let mut statement = c.prepare_cached(
                "DELETE FROM session WHERE (?1 IS NOT NULL OR ?2 IS NOT NULL) AND (?1 IS NULL OR person = ?1)
                 AND (?2 IS NULL OR issued = ?2)",
            )?;
            Ok(statement.execute(params![person, issued])? as u64)
        };
        self.writer.run("end_issued", write).await
    }

    async fn begin_login(&self, key: Digest, kept: Zeroizing<String>, until: Timestamp) -> Result<(), StoreError> {
        self.writer.run("begin_login", move |c| begin_login(c, key, &kept, until)).await
    }

    async fn take_login(&self, key: Digest) -> Result<Option<Zeroizing<String>>, StoreError> {
        let now = self.now();
        self.writer.run("take_login", move |c| take_login(c, key, now)).await
    }

    async fn add_account(&self, account: Account, note: Option<AccountNote>) -> Result<bool, StoreError> {
        let write = move |c: &Connection| noted(c, add_account(c, &account)?, note.as_ref());
        self.writer.run("add_account", write).await
    }

    async fn account(&self, name: &str) -> Result<Option<Account>, StoreError> {
        let name = name.to_owned();
        let read = move |c: &Connection| {
            let mut statement = c.prepare_cached("SELECT * FROM account WHERE name = ? AND forgotten IS NULL")?;
            Ok(statement.query_row([name], account).optional()?)
        };
        self.readers.run(read).await
    }

    async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        let read = move |c: &Connection| {
            let mut statement = c.prepare_cached("SELECT * FROM account WHERE forgotten IS NULL ORDER BY name")?;
            Ok(statement.query_map([], account)?.collect::<Result<_, _>>()?)
        };
        self.readers.run(read).await
    }

    async fn ended_accounts(&self, before: Timestamp, count: usize) -> Result<Vec<Account>, StoreError> {
        let read = move |c: &Connection| {
            let mut statement = c.prepare_cached(
                "SELECT * FROM account WHERE disabled AND ended < ? AND forgotten IS NULL ORDER BY ended, name LIMIT ?",
            )?;
            Ok(statement.query_map(params![micros(before), count], account)?.collect::<Result<_, _>>()?)
        };
        self.readers.run(read).await
    }

    async fn forget_account(&self, at: AccountAt, note: AccountNote) -> Result<bool, StoreError> {
        let now = self.now();
        let write = move |c: &Connection| noted(c, forget_account(c, &at, now)?, Some(&note));
        self.writer.run("forget_account", write).await
    }

    async fn account_names(&self, accounts: Vec<String>) -> Result<Vec<AccountName>, StoreError> {
        self.readers.run(move |c| account_names(c, &accounts)).await
    }

    async fn forgotten_accounts(&self, count: usize) -> Result<Vec<AccountName>, StoreError> {
        let read = move |c: &Connection| {
            let mut statement = c.prepare_cached(
                "SELECT name, full_name FROM account WHERE forgotten IS NOT NULL ORDER BY forgotten DESC, name LIMIT ?",
            )?;
            Ok(statement.query_map([count], account_name)?.collect::<Result<_, _>>()?)
        };
        self.readers.run(read).await
    }

    async fn set_account(
        &self,
        account: Account,
        note: Option<AccountNote>,
        by: Option<AccountAt>,
    ) -> Result<bool, StoreError> {
        let now = self.now();
        let write = move |c: &Connection| noted(c, set_account(c, &account, by.as_ref(), now)?, note.as_ref());
        self.writer.run("set_account", write).await
    }

    async fn account_notes(&self, after: Option<Uuid>, count: usize) -> Result<Vec<AccountNote>, StoreError> {
        let read = move |c: &Connection| {
            let mut statement = c.prepare_cached("SELECT * FROM account_note WHERE id > ? ORDER BY id LIMIT ?")?;
            let after = after.unwrap_or_default();
            Ok(statement.query_map(params![after.as_bytes(), count], note)?.collect::<Result<_, _>>()?)
        };
        self.readers.run(read).await
    }

    async fn latest_account_notes(&self, before: Option<Uuid>, count: usize) -> Result<Vec<AccountNote>, StoreError> {
        let read = move |c: &Connection| {
            let mut statement = c.prepare_cached("SELECT * FROM account_note WHERE id < ? ORDER BY id DESC LIMIT ?")?;
            let before = before.unwrap_or(Uuid::max());
            Ok(statement.query_map(params![before.as_bytes(), count], note)?.collect::<Result<_, _>>()?)
        };
        self.readers.run(read).await
    }

    async fn failures(&self, key: Digest) -> Result<Option<Failures>, StoreError> {
        self.readers.run(move |c| failures(c, key)).await
    }

    async fn count_failure(&self, key: Digest, over: Option<u32>) -> Result<bool, StoreError> {
        let now = self.now();
        self.writer.run("count_failure", move |c| count_failure(c, key, over, now)).await
    }

    async fn forget_failures(&self, key: Digest) -> Result<(), StoreError> {
        let write = move |c: &Connection| -> Result<(), StoreError> {
            c.prepare_cached("DELETE FROM login_failure WHERE key = ?")?.execute([&key[..]])?;
            Ok(())
        };
        self.writer.run("forget_failures", write).await
    }

    async fn add_glass(&self, new: Glass) -> Result<(), StoreError> {
        let write = move |c: &Connection| -> Result<(), StoreError> {
            c.prepare_cached(
                "INSERT INTO glass (id, person, name, positions, referral, reason, at, until) VALUES (?,?,?,?,?,?,?,?)",
            )?
            .execute(params![
                new.id.as_bytes(),
                new.person,
                new.name,
                people::written(&new.positions),
                new.referral.0.as_bytes(),
                new.reason,
                micros(new.at),
                micros(new.until),
            ])?;
            Ok(())
        };
        self.writer.run("add_glass", write).await
    }

    async fn open_glass(&self, person: &str, referral: ReferralId) -> Result<Option<Glass>, StoreError> {
        let (person, now) = (person.to_owned(), self.now());
        let read = move |c: &Connection| {
            let mut statement = c.prepare_cached(
                "SELECT * FROM glass WHERE person = ? AND referral = ? AND until > ? ORDER BY until DESC LIMIT 1",
            )?;
            Ok(statement.query_row(params![person, referral.0.as_bytes(), micros(now)], glass).optional()?)
        };
        self.readers.run(read).await
    }

    async fn glasses(&self, after: Option<Uuid>, count: usize) -> Result<Vec<Glass>, StoreError> {
        let read = move |c: &Connection| {
            let mut statement = c.prepare_cached("SELECT * FROM glass WHERE id > ? ORDER BY id LIMIT ?")?;
            let after = after.unwrap_or_default();
            Ok(statement.query_map(params![after.as_bytes(), count], glass)?.collect::<Result<_, _>>()?)
        };
        self.readers.run(read).await
    }

    async fn latest_glasses(&self, before: Option<Uuid>, count: usize) -> Result<Vec<Glass>, StoreError> {
        let read = move |c: &Connection| {
            let mut statement = c.prepare_cached("SELECT * FROM glass WHERE id < ? ORDER BY id DESC LIMIT ?")?;
            let before = before.unwrap_or(Uuid::max());
            Ok(statement.query_map(params![before.as_bytes(), count], glass)?.collect::<Result<_, _>>()?)
        };
        self.readers.run(read).await
    }

    async fn sweep_people(&self, idle: Timestamp, forgiven: Timestamp) -> Result<u64, StoreError> {
        let now = self.now();
        let write = move |c: &Connection| -> Result<u64, StoreError> {
            let mut gone = c
                .prepare_cached("DELETE FROM session WHERE until <= ? OR last_used < ?")?
                .execute(params![micros(now), micros(idle)])?;
            gone += c.prepare_cached("DELETE FROM login WHERE until <= ?")?.execute([micros(now)])?;
            gone += c.prepare_cached("DELETE FROM login_failure WHERE last < ?")?.execute([micros(forgiven)])?;
            // what an older program ended, or let in again, it has not noted the moment of
            c.prepare_cached(
                "UPDATE account SET ended = iif(disabled, ?1, NULL) WHERE disabled <> (ended IS NOT NULL)",
            )?
            .execute([micros(now)])?;
            Ok(gone as u64)
        };
        self.writer.run("sweep_people", write).await
    }
}

//! People: their sessions and log-ins, local accounts, what was tried in vain, and glasses that were broken.

use async_trait::async_trait;
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    PostgresStore, chore,
    link::Values,
    rows::{self, all, big, get, moment, number, shown},
};
use crate::{
    domain::{ReferralId, clock::from_micros},
    store::{
        ACCOUNTS_MAX, Account, AccountAt, AccountName, AccountNote, Credentials, Digest, Enrolment, Failures, Glass,
        LOGINS_MAX, PeopleStore, SESSIONS_MAX, Session, Store as _, StoreError, people,
    },
};

fn session(row: &Row) -> Result<Session, StoreError> {
    Ok(Session {
        id: get(row, "id")?,
        secret: rows::bytes32(row, "secret")?,
        person: get(row, "person")?,
        name: get(row, "name")?,
        positions: people::read(get(row, "positions")?)?,
        created: moment(row, "created")?,
        last_used: moment(row, "last_used")?,
        until: moment(row, "until")?,
        issued: get::<Option<&[u8]>>(row, "issued")?.map(TryInto::try_into).transpose().map_err(rows::corrupt)?,
    })
}

fn account(row: &Row) -> Result<Account, StoreError> {
    let code: Option<&[u8]> = get(row, "enrolment")?;
    let code: Option<Digest> = code.map(|code| code.try_into().map_err(rows::corrupt)).transpose()?;
    let until: Option<i64> = get(row, "enrolment_until")?;
    let (password, totp): (Option<String>, Option<Vec<u8>>) = (get(row, "password")?, get(row, "totp")?);
    let step: Option<i64> = get(row, "step")?;
    let step = step.map_or(Ok(0), u64::try_from).map_err(rows::corrupt)?;
    Ok(Account {
        name: get(row, "name")?,
        full_name: get(row, "full_name")?,
        positions: people::read(get(row, "positions")?)?,
        disabled: get(row, "disabled")?,
        enrolment: code.zip(until).map(|(code, until)| Enrolment { code, until: from_micros(until) }),
        credentials: password.zip(totp).map(|(password, totp)| Credentials { password, totp: totp.into(), step }),
        created: moment(row, "created")?,
        version: number(row, "version")?,
    })
}

fn account_name(row: &Row) -> Result<AccountName, StoreError> {
    Ok(AccountName { name: get(row, "name")?, full_name: get(row, "full_name")? })
}

fn glass(row: &Row) -> Result<Glass, StoreError> {
    Ok(Glass {
        id: get(row, "id")?,
        person: get(row, "person")?,
        name: get(row, "name")?,
        positions: people::read(get(row, "positions")?)?,
        referral: ReferralId(get(row, "referral")?),
        reason: get(row, "reason")?,
        at: moment(row, "at")?,
        until: moment(row, "until")?,
    })
}

fn note(row: &Row) -> Result<AccountNote, StoreError> {
    Ok(AccountNote {
        id: get(row, "id")?,
        at: moment(row, "at")?,
        by: get(row, "by")?,
        account: get(row, "account")?,
        deed: get::<&str>(row, "deed")?.parse().map_err(rows::corrupt)?,
        before: people::read(get(row, "before")?)?,
        positions: people::read(get(row, "positions")?)?,
    })
}

/// How many rows a statement that counts them has changed.
fn counted(rows: &[Row]) -> Result<u64, StoreError> {
    rows.first().map_or(Ok(0), |row| number(row, "changed"))
}

/// The columns of an account that change, as they lie in its row.
struct Written<'a> {
    positions: String,
    code: Option<Vec<u8>>,
    until: Option<i64>,
    password: Option<String>,
    totp: Option<&'a [u8]>,
    step: Option<i64>,
}

impl<'a> Written<'a> {
    fn of(account: &'a Account) -> Self {
        let (enrolment, credentials) = (account.enrolment.as_ref(), account.credentials.as_ref());
        Self {
            positions: people::written(&account.positions),
            code: enrolment.map(|e| e.code.to_vec()),
            until: enrolment.map(|e| rows::micros(e.until)),
            password: credentials.map(|c| c.password.clone()),
            totp: credentials.map(|c| c.totp.as_slice()),
            step: credentials.map(|c| big(c.step)),
        }
    }
}

/// What is noted of an account; nothing in each column where nothing is.
#[derive(Default)]
struct Noted {
    id: Option<Uuid>,
    at: Option<i64>,
    by: Option<String>,
    account: Option<String>,
    deed: Option<&'static str>,
    positions: Option<String>,
    before: Option<String>,
}

impl Noted {
    fn of(note: Option<AccountNote>) -> Self {
        let Some(note) = note else { return Self::default() };
        Self {
            id: Some(note.id),
            at: Some(rows::micros(note.at)),
            by: Some(shown(&note.by).to_string()),
            account: Some(note.account),
            deed: Some(note.deed.code()),
            positions: Some(people::written(&note.positions)),
            before: Some(people::written(&note.before)),
        }
    }
}

impl PostgresStore {
    /// One statement that must not run twice.
    async fn of_people(&self, op: &'static str, sql: &'static str, values: Values<'_>) -> Result<Vec<Row>, StoreError> {
        self.open_for_writing()?;
        chore(op);
        self.chores.query_once(sql, values).await
    }
}

#[async_trait]
impl PeopleStore for PostgresStore {
    async fn add_session(&self, new: Session) -> Result<(), StoreError> {
        let (created, used, until) = (rows::micros(new.created), rows::micros(new.last_used), rows::micros(new.until));
        let (kept, issued) = (rows::limit(SESSIONS_MAX - 1), new.issued.as_ref().map(|issued| issued.as_slice()));
        let values: Values<'_> = &[
            &new.secret.as_slice(),
            &new.id,
            &new.person,
            &shown(&new.name),
            &people::written(&new.positions),
            &created,
            &used,
            &until,
            &kept,
            &issued,
        ];
        self.of_people("add_session", ADD_SESSION, values).await.map(drop)
    }

    async fn session(&self, secret: Digest) -> Result<Option<Session>, StoreError> {
        let found = self.reader().query("SELECT * FROM session WHERE secret = $1", &[&secret.as_slice()]).await?;
        found.first().map(session).transpose()
    }

    async fn use_session(&self, secret: Digest) -> Result<bool, StoreError> {
        let sql = "UPDATE session SET last_used = $1 WHERE secret = $2 RETURNING 1";
        let values: Values<'_> = &[&rows::micros(self.now()), &secret.as_slice()];
        Ok(!self.of_people("use_session", sql, values).await?.is_empty())
    }

    async fn sessions_of(&self, person: &str) -> Result<Vec<Session>, StoreError> {
        let sql = "SELECT * FROM session WHERE person = $1 ORDER BY created DESC, id DESC";
        all(&self.reader().query(sql, &[&shown(person)]).await?, session)
    }

    async fn end_sessions(&self, person: &str, id: Option<Uuid>) -> Result<u64, StoreError> {
        let sql = "WITH gone AS (DELETE FROM session WHERE person = $1 AND ($2::uuid IS NULL OR id = $2) RETURNING 1)
                   SELECT count(*) AS changed FROM gone";
        counted(&self.of_people("end_sessions", sql, &[&shown(person), &id]).await?)
    }

    async fn end_issued(&self, person: Option<&str>, issued: Option<Digest>) -> Result<u64, StoreError> {
        let sql = "WITH gone AS (DELETE FROM session WHERE ($1::text IS NOT NULL OR $2::bytea IS NOT NULL)
                       AND ($1::text IS NULL OR person = $1) AND ($2::bytea IS NULL OR issued = $2) RETURNING 1)
                   SELECT count(*) AS changed FROM gone";
        let (person, issued) = (person.map(shown), issued.as_ref().map(|issued| issued.as_slice()));
        counted(&self.of_people("end_issued", sql, &[&person, &issued]).await?)
    }

    async fn begin_login(&self, key: Digest, kept: Zeroizing<String>, until: Timestamp) -> Result<(), StoreError> {
        let values: Values<'_> = &[&key.as_slice(), &rows::micros(until), &kept.as_str(), &rows::limit(LOGINS_MAX - 1)];
        self.of_people("begin_login", BEGIN_LOGIN, values).await.map(drop)
    }

    async fn take_login(&self, key: Digest) -> Result<Option<Zeroizing<String>>, StoreError> {
        let sql = "DELETE FROM login WHERE key = $1 RETURNING until, kept";
        let found = self.of_people("take_login", sql, &[&key.as_slice()]).await?;
        let Some(row) = found.first() else { return Ok(None) };
        let kept = Zeroizing::new(get::<String>(row, "kept")?);
        Ok((moment(row, "until")? > self.now()).then_some(kept))
    }

    async fn add_account(&self, new: Account, note: Option<AccountNote>) -> Result<bool, StoreError> {
        let (written, noted) = (Written::of(&new), Noted::of(note));
        let (created, version, most) = (rows::micros(new.created), big(new.version), rows::limit(ACCOUNTS_MAX));
        let values: Values<'_> = &[
            &new.name,
            &shown(&new.full_name),
            &written.positions,
            &new.disabled,
            &written.code,
            &written.until,
            &written.password,
            &written.totp,
            &written.step,
            &created,
            &version,
            &most,
            &noted.id,
            &noted.at,
            &noted.by,
            &noted.account,
            &noted.deed,
            &noted.positions,
            &noted.before,
        ];
        Ok(!self.of_people("add_account", ADD_ACCOUNT, values).await?.is_empty())
    }

    async fn account(&self, name: &str) -> Result<Option<Account>, StoreError> {
        let sql = "SELECT * FROM account WHERE name = $1 AND forgotten IS NULL";
        let found = self.reader().query(sql, &[&shown(name)]).await?;
        found.first().map(account).transpose()
    }

    async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        // in the order of bytes, whatever the database's own is
        let sql = "SELECT * FROM account WHERE forgotten IS NULL ORDER BY name COLLATE \"C\"";
        all(&self.reader().query(sql, &[]).await?, account)
    }

    async fn ended_accounts(&self, before: Timestamp, count: usize) -> Result<Vec<Account>, StoreError> {
        let sql = "SELECT * FROM account WHERE disabled AND ended < $1 AND forgotten IS NULL
                   ORDER BY ended, name COLLATE \"C\" LIMIT $2";
        let values: Values<'_> = &[&rows::micros(before), &rows::limit(count)];
        all(&self.reader().query(sql, values).await?, account)
    }

    async fn forget_account(&self, at: AccountAt, note: AccountNote) -> Result<bool, StoreError> {
        let (version, now, noted) = (big(at.version), rows::micros(self.now()), Noted::of(Some(note)));
        let values: Values<'_> = &[
            &at.name,
            &version,
            &now,
            &noted.id,
            &noted.at,
            &noted.by,
            &noted.account,
            &noted.deed,
            &noted.positions,
            &noted.before,
        ];
        Ok(!self.of_people("forget_account", FORGET_ACCOUNT, values).await?.is_empty())
    }

    async fn account_names(&self, accounts: Vec<String>) -> Result<Vec<AccountName>, StoreError> {
        let names: Vec<_> = accounts.iter().map(|name| shown(name)).collect();
        let sql = "SELECT name, full_name FROM account WHERE name = ANY($1::text[])";
        all(&self.reader().query(sql, &[&names]).await?, account_name)
    }

    async fn forgotten_accounts(&self, count: usize) -> Result<Vec<AccountName>, StoreError> {
        let sql = "SELECT name, full_name FROM account WHERE forgotten IS NOT NULL
                   ORDER BY forgotten DESC, name COLLATE \"C\" LIMIT $1";
        all(&self.reader().query(sql, &[&rows::limit(count)]).await?, account_name)
    }

    async fn set_account(
        &self,
        new: Account,
        note: Option<AccountNote>,
        by: Option<AccountAt>,
    ) -> Result<bool, StoreError> {
        let (by_name, by_version) = (by.as_ref().map(|by| by.name.as_str()), by.as_ref().map(|by| big(by.version)));
        let (written, noted) = (Written::of(&new), Noted::of(note));
        let (version, now) = (big(new.version), rows::micros(self.now()));
        let values: Values<'_> = &[
            &new.name,
            &shown(&new.full_name),
            &written.positions,
            &new.disabled,
            &written.code,
            &written.until,
            &written.password,
            &written.totp,
            &written.step,
            &version,
            &noted.id,
            &noted.at,
            &noted.by,
            &noted.account,
            &noted.deed,
            &noted.positions,
            &noted.before,
            &by_name,
            &by_version,
            &now,
        ];
        Ok(!self.of_people("set_account", SET_ACCOUNT, values).await?.is_empty())
    }

    async fn account_notes(&self, after: Option<Uuid>, count: usize) -> Result<Vec<AccountNote>, StoreError> {
        let sql = "SELECT * FROM account_note WHERE id > $1 ORDER BY id LIMIT $2";
        let values: Values<'_> = &[&after.unwrap_or_default(), &rows::limit(count)];
        all(&self.searches().query(sql, values).await?, note)
    }

    async fn latest_account_notes(&self, before: Option<Uuid>, count: usize) -> Result<Vec<AccountNote>, StoreError> {
        let sql = "SELECT * FROM account_note WHERE id < $1 ORDER BY id DESC LIMIT $2";
        let values: Values<'_> = &[&before.unwrap_or(Uuid::max()), &rows::limit(count)];
        all(&self.searches().query(sql, values).await?, note)
    }

    async fn failures(&self, key: Digest) -> Result<Option<Failures>, StoreError> {
        let sql = "SELECT count, last FROM login_failure WHERE key = $1";
        let found = self.reader().query(sql, &[&key.as_slice()]).await?;
        let read = |row: &Row| {
            let count = u32::try_from(number(row, "count")?).map_err(rows::corrupt)?;
            Ok(Failures { count, last: moment(row, "last")? })
        };
        found.first().map(read).transpose()
    }

    async fn count_failure(&self, key: Digest, over: Option<u32>) -> Result<bool, StoreError> {
        let (now, over) = (rows::micros(self.now()), over.map(i64::from));
        let values: Values<'_> = &[&key.as_slice(), &now, &over];
        Ok(!self.of_people("count_failure", COUNT_FAILURE, values).await?.is_empty())
    }

    async fn forget_failures(&self, key: Digest) -> Result<(), StoreError> {
        let sql = "DELETE FROM login_failure WHERE key = $1";
        self.of_people("forget_failures", sql, &[&key.as_slice()]).await.map(drop)
    }

    async fn add_glass(&self, new: Glass) -> Result<(), StoreError> {
        let sql = "INSERT INTO glass (id, person, name, positions, referral, reason, at, until)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let values: Values<'_> = &[
            &new.id,
            &new.person,
            &shown(&new.name),
            &people::written(&new.positions),
            &new.referral.0,
            &shown(&new.reason),
            &rows::micros(new.at),
            &rows::micros(new.until),
        ];
        self.of_people("add_glass", sql, values).await.map(drop)
    }

    async fn open_glass(&self, person: &str, referral: ReferralId) -> Result<Option<Glass>, StoreError> {
        let sql = "SELECT * FROM glass WHERE person = $1 AND referral = $2 AND until > $3 ORDER BY until DESC LIMIT 1";
        let values: Values<'_> = &[&shown(person), &referral.0, &rows::micros(self.now())];
        let found = self.reader().query(sql, values).await?;
        found.first().map(glass).transpose()
    }

    async fn glasses(&self, after: Option<Uuid>, count: usize) -> Result<Vec<Glass>, StoreError> {
        let sql = "SELECT * FROM glass WHERE id > $1 ORDER BY id LIMIT $2";
        let values: Values<'_> = &[&after.unwrap_or_default(), &rows::limit(count)];
        all(&self.searches().query(sql, values).await?, glass)
    }

    async fn latest_glasses(&self, before: Option<Uuid>, count: usize) -> Result<Vec<Glass>, StoreError> {
        let sql = "SELECT * FROM glass WHERE id < $1 ORDER BY id DESC LIMIT $2";
        let values: Values<'_> = &[&before.unwrap_or(Uuid::max()), &rows::limit(count)];
        all(&self.searches().query(sql, values).await?, glass)
    }

    async fn sweep_people(&self, idle: Timestamp, forgiven: Timestamp) -> Result<u64, StoreError> {
        let values: Values<'_> = &[&rows::micros(self.now()), &rows::micros(idle), &rows::micros(forgiven)];
        counted(&self.of_people("sweep_people", SWEEP, values).await?)
    }
}

const ADD_SESSION: &str = "WITH gone AS (DELETE FROM session WHERE secret IN
        (SELECT secret FROM session WHERE person = $3 ORDER BY last_used DESC, created DESC OFFSET $9))
    INSERT INTO session (secret, id, person, name, positions, created, last_used, until, issued)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $10)";

const BEGIN_LOGIN: &str = "WITH gone AS (DELETE FROM login WHERE key IN
        (SELECT key FROM login ORDER BY until DESC OFFSET $4))
    INSERT INTO login (key, until, kept) VALUES ($1, $2, $3)
    ON CONFLICT (key) DO UPDATE SET until = excluded.until, kept = excluded.kept";

// each with what is noted of it, in one statement
const ADD_ACCOUNT: &str =
    "WITH written AS (INSERT INTO account (name, full_name, positions, disabled, enrolment, enrolment_until, password, totp,
                                           step, created, version)
        SELECT $1, $2, $3, $4, $5::bytea, $6::bigint, $7::text, $8::bytea, $9::bigint, $10::bigint, $11::bigint
        WHERE (SELECT count(*) FROM account WHERE forgotten IS NULL) < $12
        ON CONFLICT DO NOTHING RETURNING 1),
    noted AS (INSERT INTO account_note (id, at, by, account, deed, positions, before)
        SELECT $13::uuid, $14::bigint, $15::text, $16::text, $17::text, $18::text, $19::text FROM written
        WHERE $13::uuid IS NOT NULL)
    SELECT 1 FROM written";

/// Both accounts are held, in the order of their names, before either is looked at: what another process writes at the same moment is waited
/// for, and seen.
const SET_ACCOUNT: &str =
    "WITH held AS (SELECT name, version FROM account
        WHERE (name = $1 OR name = $18::text) AND forgotten IS NULL ORDER BY name FOR UPDATE),
    written AS (UPDATE account SET full_name = $2, positions = $3, disabled = $4, enrolment = $5, enrolment_until = $6,
            password = $7, totp = $8, step = $9, version = version + 1,
            ended = CASE WHEN $4 THEN coalesce(CASE WHEN disabled THEN ended END, $20::bigint) END
        WHERE name = $1 AND version = $10 AND forgotten IS NULL
          AND ($18::text IS NULL OR EXISTS (SELECT 1 FROM held WHERE held.name = $18::text AND held.version = $19::bigint))
        RETURNING 1),
    noted AS (INSERT INTO account_note (id, at, by, account, deed, positions, before)
        SELECT $11::uuid, $12::bigint, $13::text, $14::text, $15::text, $16::text, $17::text FROM written
        WHERE $11::uuid IS NOT NULL)
    SELECT 1 FROM written";

const FORGET_ACCOUNT: &str =
    "WITH written AS (UPDATE account SET forgotten = $3::bigint, enrolment = NULL, enrolment_until = NULL, password = NULL,
            totp = NULL, step = NULL, version = version + 1
        WHERE name = $1 AND version = $2 AND disabled AND forgotten IS NULL RETURNING 1),
    noted AS (INSERT INTO account_note (id, at, by, account, deed, positions, before)
        SELECT $4::uuid, $5::bigint, $6::text, $7::text, $8::text, $9::text, $10::text FROM written)
    SELECT 1 FROM written";

const COUNT_FAILURE: &str = "INSERT INTO login_failure (key, count, last)
    SELECT $1::bytea, 1, $2::bigint
    WHERE $3::bigint IS NULL OR $3 = 0 OR EXISTS (SELECT 1 FROM login_failure WHERE key = $1)
    ON CONFLICT (key) DO UPDATE SET count = login_failure.count + 1, last = excluded.last
    WHERE $3::bigint IS NULL OR login_failure.count = $3 RETURNING 1";

const SWEEP: &str = "WITH sessions AS (DELETE FROM session WHERE until <= $1 OR last_used < $2 RETURNING 1),
         logins AS (DELETE FROM login WHERE until <= $1 RETURNING 1),
         failures AS (DELETE FROM login_failure WHERE last < $3 RETURNING 1),
         -- what an older program ended, or let in again, it has not noted the moment of
         noted AS (UPDATE account SET ended = CASE WHEN disabled THEN $1 END WHERE disabled <> (ended IS NOT NULL))
    SELECT (SELECT count(*) FROM sessions) + (SELECT count(*) FROM logins) + (SELECT count(*) FROM failures) AS changed";

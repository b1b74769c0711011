//! The directory of services and what is proposed for it. Nobody else writes meanwhile: what is found here stays so until the commit.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{
    SqliteStore,
    rows::{micros, moment, parse, uuid},
    secure_delete,
};
use crate::{
    domain::{EntryKind, ProposalStatus, clock::from_micros},
    store::{
        Decided, Decision, DirectoryEntry, DirectoryError, DirectoryRewrite, DirectoryStore, DirectoryWrite,
        NewProposal, PROPOSALS_PENDING_MAX, Proposal, ProposalQuery, Sourced, Store, StoreError,
    },
};

/// The current version of an entry, whole.
const CURRENT: &str = "SELECT v.* FROM directory_current c
    JOIN directory_version v ON v.kind = c.kind AND v.id = c.id AND v.version = c.version";

fn sourced(row: &Row<'_>) -> rusqlite::Result<Option<Sourced>> {
    let source: Option<String> = row.get("source")?;
    let name: Option<String> = row.get("source_name")?;
    Ok(source.zip(name))
}

fn entry(row: &Row<'_>) -> rusqlite::Result<DirectoryEntry> {
    Ok(DirectoryEntry {
        kind: parse(row, "kind")?,
        id: uuid(row, "id")?,
        version: row.get("version")?,
        revision: row.get("revision")?,
        last_updated: moment(row, "last_updated")?,
        source: sourced(row)?,
        by: row.get("author")?,
        body: row.get("body")?,
    })
}

fn read_proposal(row: &Row<'_>) -> rusqlite::Result<Proposal> {
    let decided = match row.get::<_, Option<i64>>("decided_at")? {
        Some(at) => Some(Decided {
            at: from_micros(at),
            by: row.get("decided_by")?,
            reason: row.get("reason")?,
            version: row.get("became_version")?,
        }),
        None => None,
    };
    Ok(Proposal {
        new: NewProposal {
            id: uuid(row, "id")?,
            provider: parse(row, "provider")?,
            kind: parse(row, "kind")?,
            entry: uuid(row, "entry")?,
            over: row.get("over")?,
            source: sourced(row)?,
            body: row.get("body")?,
        },
        at: moment(row, "at")?,
        status: parse(row, "status")?,
        decided,
    })
}

fn revision(c: &Connection) -> rusqlite::Result<u64> {
    c.prepare_cached("SELECT coalesce(max(revision), 0) FROM directory_current")?.query_row([], |row| row.get(0))
}

fn changes(c: &Connection, after: u64, count: usize) -> Result<Vec<DirectoryEntry>, StoreError> {
    let Ok(after) = i64::try_from(after) else { return Ok(Vec::new()) };
    let mut statement = c.prepare_cached(&format!("{CURRENT} WHERE c.revision > ? ORDER BY c.revision LIMIT ?"))?;
    let rows = statement.query_map(params![after, i64::try_from(count).unwrap_or(i64::MAX)], entry)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn one(c: &Connection, kind: EntryKind, id: Uuid, version: Option<u64>) -> Result<Option<DirectoryEntry>, StoreError> {
    let (kind, id) = (kind.code(), id.as_bytes());
    let Some(version) = version else {
        let mut statement = c.prepare_cached(&format!("{CURRENT} WHERE c.kind = ? AND c.id = ?"))?;
        return Ok(statement.query_row(params![kind, id], entry).optional()?);
    };
    let Ok(version) = i64::try_from(version) else { return Ok(None) };
    let mut statement =
        c.prepare_cached("SELECT * FROM directory_version WHERE kind = ? AND id = ? AND version = ?")?;
    Ok(statement.query_row(params![kind, id, version], entry).optional()?)
}

fn versions(c: &Connection, kind: EntryKind, id: Uuid) -> Result<Vec<DirectoryEntry>, StoreError> {
    let mut statement =
        c.prepare_cached("SELECT * FROM directory_version WHERE kind = ? AND id = ? ORDER BY version")?;
    let rows = statement.query_map(params![kind.code(), id.as_bytes()], entry)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn history(
    c: &Connection,
    kind: EntryKind,
    since: Option<Timestamp>,
    before: Option<u64>,
    count: usize,
) -> Result<Vec<DirectoryEntry>, StoreError> {
    let sql = "SELECT * FROM directory_version WHERE kind = ? AND revision < ? AND last_updated >= ?
               ORDER BY revision DESC LIMIT ?";
    let before = before.and_then(|before| i64::try_from(before).ok()).unwrap_or(i64::MAX);
    let mut statement = c.prepare_cached(sql)?;
    let values = params![kind.code(), before, since.map_or(i64::MIN, micros), i64::try_from(count).unwrap_or(i64::MAX)];
    let rows = statement.query_map(values, entry)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn of_source(
    c: &Connection,
    kind: EntryKind,
    source: &str,
    names: &[String],
) -> Result<Vec<DirectoryEntry>, StoreError> {
    let sql = format!("{CURRENT} WHERE c.kind = ? AND c.source = ? AND c.source_name = ?");
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let mut statement = c.prepare_cached(&sql)?;
        found.extend(statement.query_row(params![kind.code(), source, name], entry).optional()?);
    }
    Ok(found)
}

fn write(c: &Connection, writes: Vec<DirectoryWrite>, now: Timestamp) -> Result<Vec<DirectoryEntry>, DirectoryError> {
    DirectoryWrite::fit(&writes)?;
    let mut revision = revision(c)?;
    let mut written = Vec::with_capacity(writes.len());
    for write in writes {
        revision += 1;
        written.push(write_one(c, write, revision, now)?);
    }
    Ok(written)
}

fn write_one(
    c: &Connection,
    write: DirectoryWrite,
    revision: u64,
    now: Timestamp,
) -> Result<DirectoryEntry, DirectoryError> {
    let (kind, id) = (write.kind, write.id);
    let sql = "SELECT version FROM directory_current WHERE kind = ? AND id = ?";
    let found: Option<u64> =
        c.prepare_cached(sql)?.query_row(params![kind.code(), id.as_bytes()], |row| row.get(0)).optional()?;
    if found.unwrap_or(0) != write.over {
        return Err(DirectoryError::Moved { kind, id });
    }
    if let Some((source, name)) = &write.source {
        let sql = "SELECT id FROM directory_current WHERE kind = ? AND source = ? AND source_name = ?";
        let holder: Option<Uuid> =
            c.prepare_cached(sql)?.query_row(params![kind.code(), source, name], |row| uuid(row, "id")).optional()?;
        if let Some(id) = holder.filter(|holder| *holder != id) {
            return Err(DirectoryError::SourceTaken { kind, id });
        }
    }
    let entry = write.into_entry(revision, now);
    let DirectoryEntry { version, last_updated, source, by, body, .. } = &entry;
    let (source, name) = source.as_ref().map(|(source, name)| (source, name)).unzip();
    let sql =
        "INSERT INTO directory_version (kind, id, version, revision, last_updated, source, source_name, author, body)
               VALUES (?,?,?,?,?,?,?,?,?)";
    c.prepare_cached(sql)?.execute(params![
        kind.code(),
        id.as_bytes(),
        version,
        revision,
        micros(*last_updated),
        source,
        name,
        by,
        body
    ])?;
    let sql = "INSERT INTO directory_current (kind, id, version, revision, source, source_name) VALUES (?,?,?,?,?,?)
               ON CONFLICT (kind, id) DO UPDATE SET version = excluded.version, revision = excluded.revision,
                   source = excluded.source, source_name = excluded.source_name";
    c.prepare_cached(sql)?.execute(params![kind.code(), id.as_bytes(), version, revision, source, name])?;
    Ok(entry)
}

/// Written over, and not only passed over: what is taken out is not in the file any more, nor in a copy of it.
fn rewrite(c: &Connection, rewrite: DirectoryRewrite, now: Timestamp) -> Result<DirectoryEntry, DirectoryError> {
    secure_delete(c, "ON")?;
    let written = rewritten(c, rewrite, now);
    secure_delete(c, "FAST")?;
    written
}

fn rewritten(c: &Connection, rewrite: DirectoryRewrite, now: Timestamp) -> Result<DirectoryEntry, DirectoryError> {
    rewrite.fits()?;
    let DirectoryRewrite { write: new, versions, proposals } = rewrite;
    let (kind, id) = (new.kind, new.id);
    let written = write(c, vec![new], now)?.pop().ok_or(DirectoryError::Moved { kind, id })?;
    for (version, body) in versions {
        let sql = "UPDATE directory_version SET body = ? WHERE kind = ? AND id = ? AND version = ?";
        c.prepare_cached(sql)?.execute(params![body, kind.code(), id.as_bytes(), version])?;
    }
    for (proposal, body) in proposals {
        let sql = "UPDATE directory_proposal SET body = ? WHERE id = ? AND kind = ? AND entry = ?";
        c.prepare_cached(sql)?.execute(params![body, proposal.as_bytes(), kind.code(), id.as_bytes()])?;
    }
    Ok(written)
}

fn waiting(c: &Connection) -> Result<Option<(u64, Timestamp)>, StoreError> {
    let sql = "SELECT count(*), min(at) FROM directory_proposal WHERE status = 'pending'";
    let (count, oldest): (u64, Option<i64>) =
        c.prepare_cached(sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(oldest.map(|at| (count, from_micros(at))))
}

fn propose(c: &Connection, new: &NewProposal, now: Timestamp) -> Result<Proposal, DirectoryError> {
    new.fits()?;
    let sql = "SELECT count(*) FROM directory_proposal WHERE provider = ? AND status = 'pending'";
    let pending: u64 = c.prepare_cached(sql)?.query_row([new.provider.as_str()], |row| row.get(0))?;
    if pending >= PROPOSALS_PENDING_MAX {
        return Err(DirectoryError::TooManyPending);
    }
    let (source, name) = new.source.as_ref().map(|(source, name)| (source, name)).unzip();
    let sql = "INSERT INTO directory_proposal (id, provider, kind, entry, over, source, source_name, at, status, body)
               VALUES (?,?,?,?,?,?,?,?,'pending',?)";
    c.prepare_cached(sql)?.execute(params![
        new.id.as_bytes(),
        new.provider.as_str(),
        new.kind.code(),
        new.entry.as_bytes(),
        new.over,
        source,
        name,
        micros(now),
        new.body
    ])?;
    Ok(Proposal { new: new.clone(), at: now, status: ProposalStatus::Pending, decided: None })
}

fn proposal(c: &Connection, id: Uuid) -> Result<Option<Proposal>, StoreError> {
    let mut statement = c.prepare_cached("SELECT * FROM directory_proposal WHERE id = ?")?;
    Ok(statement.query_row([id.as_bytes()], read_proposal).optional()?)
}

fn proposals(c: &Connection, query: &ProposalQuery) -> Result<Vec<Proposal>, StoreError> {
    let sql = "SELECT * FROM directory_proposal WHERE (?1 IS NULL OR provider = ?1) AND (?2 IS NULL OR status = ?2)
               AND (?3 IS NULL OR id > ?3) AND (?5 IS NULL OR kind = ?5 AND entry = ?6) ORDER BY id LIMIT ?4";
    let mut statement = c.prepare_cached(sql)?;
    let values = params![
        query.provider.as_ref().map(|id| id.as_str()),
        query.status.map(ProposalStatus::code),
        query.after.as_ref().map(Uuid::as_bytes),
        i64::try_from(query.count).unwrap_or(i64::MAX),
        query.entry.map(|(kind, _)| kind.code()),
        query.entry.as_ref().map(|(_, id)| id.as_bytes()),
    ];
    let rows = statement.query_map(values, read_proposal)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn decide(
    c: &Connection,
    id: Uuid,
    decision: Decision,
    entry: Option<DirectoryWrite>,
    now: Timestamp,
) -> Result<(Proposal, Option<DirectoryEntry>), DirectoryError> {
    let found = proposal(c, id)?.ok_or(DirectoryError::NoProposal)?;
    let version = entry.as_ref().map(|entry| entry.over.saturating_add(1));
    let decided = found.decided(decision, now, version)?;
    let written = write(c, entry.into_iter().collect(), now)?.pop();
    let (by, reason) = decided.decided.as_ref().map(|d| (&d.by, &d.reason)).unzip();
    let sql = "UPDATE directory_proposal SET status = ?, decided_at = ?, decided_by = ?, reason = ?, became_version = ?
               WHERE id = ?";
    c.prepare_cached(sql)?.execute(params![
        decided.status.code(),
        micros(now),
        by,
        reason.and_then(Option::as_ref),
        version,
        id.as_bytes()
    ])?;
    Ok((decided, written))
}

#[async_trait]
impl DirectoryStore for SqliteStore {
    async fn write_directory(&self, writes: Vec<DirectoryWrite>) -> Result<Vec<DirectoryEntry>, DirectoryError> {
        let now = self.now();
        self.writer.run("write_directory", move |c| write(c, writes, now)).await
    }

    async fn directory_revision(&self) -> Result<u64, StoreError> {
        self.readers.run(|c| Ok(revision(c)?)).await
    }

    async fn directory_changes(&self, after: u64, count: usize) -> Result<Vec<DirectoryEntry>, StoreError> {
        self.readers.run(move |c| changes(c, after, count)).await
    }

    async fn directory_entry(
        &self,
        kind: EntryKind,
        id: Uuid,
        version: Option<u64>,
    ) -> Result<Option<DirectoryEntry>, StoreError> {
        self.readers.run(move |c| one(c, kind, id, version)).await
    }

    async fn directory_entries(&self, wanted: Vec<(EntryKind, Uuid)>) -> Result<Vec<DirectoryEntry>, StoreError> {
        let read = move |c: &Connection| {
            wanted.into_iter().filter_map(|(kind, id)| one(c, kind, id, None).transpose()).collect()
        };
        self.readers.run(read).await
    }

    async fn directory_versions(&self, kind: EntryKind, id: Uuid) -> Result<Vec<DirectoryEntry>, StoreError> {
        self.readers.run(move |c| versions(c, kind, id)).await
    }

    async fn directory_history(
        &self,
        kind: EntryKind,
        since: Option<Timestamp>,
        before: Option<u64>,
        count: usize,
    ) -> Result<Vec<DirectoryEntry>, StoreError> {
        self.readers.run(move |c| history(c, kind, since, before, count)).await
    }

    async fn directory_sourced(
        &self,
        kind: EntryKind,
        source: &str,
        names: Vec<String>,
    ) -> Result<Vec<DirectoryEntry>, StoreError> {
        let source = source.to_owned();
        self.readers.run(move |c| of_source(c, kind, &source, &names)).await
    }

    async fn rewrite_directory(&self, asked: DirectoryRewrite) -> Result<DirectoryEntry, DirectoryError> {
        let now = self.now();
        self.writer.run("rewrite_directory", move |c| rewrite(c, asked, now)).await
    }

    async fn proposals_waiting(&self) -> Result<Option<(u64, Timestamp)>, StoreError> {
        self.readers.run(waiting).await
    }

    async fn add_proposal(&self, new: NewProposal) -> Result<Proposal, DirectoryError> {
        let now = self.now();
        self.writer.run("add_proposal", move |c| propose(c, &new, now)).await
    }

    async fn proposal(&self, id: Uuid) -> Result<Option<Proposal>, StoreError> {
        self.readers.run(move |c| proposal(c, id)).await
    }

    async fn proposals(&self, query: ProposalQuery) -> Result<Vec<Proposal>, StoreError> {
        self.readers.run(move |c| proposals(c, &query)).await
    }

    async fn decide_proposal(
        &self,
        id: Uuid,
        decision: Decision,
        write: Option<DirectoryWrite>,
    ) -> Result<(Proposal, Option<DirectoryEntry>), DirectoryError> {
        let now = self.now();
        self.writer.run("decide_proposal", move |c| decide(c, id, decision, write, now)).await
    }
}

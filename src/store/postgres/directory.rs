//! The directory of services and what is proposed for it: how it is read, and the part of the port. What is written goes through
//! `writing`, a group of calls at a time.

use async_trait::async_trait;
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    PostgresStore,
    link::Link,
    rows::{self, all, big, get, moment, number, parse},
    unexpected,
};
use crate::{
    domain::{EntryKind, ProposalStatus, clock::from_micros},
    store::{
        Decided, Decision, DirectoryEntry, DirectoryError, DirectoryRewrite, DirectoryStore, DirectoryWrite,
        NewProposal, Proposal, ProposalQuery, Sourced, StoreError, counts,
    },
};

mod plan;
mod writing;

pub(super) use writing::{Asked, Writing, Written};

fn sourced(row: &Row) -> Result<Option<Sourced>, StoreError> {
    let (source, name): (Option<String>, Option<String>) = (get(row, "source")?, get(row, "source_name")?);
    Ok(source.zip(name))
}

fn entry(row: &Row) -> Result<DirectoryEntry, StoreError> {
    Ok(DirectoryEntry {
        kind: parse(row, "kind")?,
        id: get(row, "id")?,
        version: number(row, "version")?,
        revision: number(row, "revision")?,
        last_updated: moment(row, "last_updated")?,
        source: sourced(row)?,
        by: get(row, "author")?,
        body: get(row, "body")?,
    })
}

fn proposal(row: &Row) -> Result<Proposal, StoreError> {
    let decided = match get::<Option<i64>>(row, "decided_at")? {
        Some(at) => Some(Decided {
            at: from_micros(at),
            by: get(row, "decided_by")?,
            reason: get(row, "reason")?,
            version: get::<Option<i64>>(row, "became_version")?.and_then(|version| u64::try_from(version).ok()),
        }),
        None => None,
    };
    Ok(Proposal {
        new: NewProposal {
            id: get(row, "id")?,
            provider: parse(row, "provider")?,
            kind: parse(row, "kind")?,
            entry: get(row, "entry")?,
            over: number(row, "over")?,
            source: sourced(row)?,
            body: get(row, "body")?,
        },
        at: moment(row, "at")?,
        status: parse(row, "status")?,
        decided,
    })
}

fn first_entry(rows: &[Row]) -> Result<Option<DirectoryEntry>, StoreError> {
    rows.first().map(entry).transpose()
}

#[async_trait]
impl DirectoryStore for PostgresStore {
    async fn write_directory(&self, writes: Vec<DirectoryWrite>) -> Result<Vec<DirectoryEntry>, DirectoryError> {
        counts::written("write_directory");
        match self.directory.ask(Asked::Write(writes)).await? {
            Written::Entries(written) => written,
            _ => Err(unexpected().into()),
        }
    }

    async fn directory_revision(&self) -> Result<u64, StoreError> {
        let found = self.reader().query("SELECT revision FROM directory_head", &[]).await?;
        found.first().map_or(Ok(0), |row| number(row, "revision"))
    }

    async fn directory_changes(&self, after: u64, count: usize) -> Result<Vec<DirectoryEntry>, StoreError> {
        all(&self.reader().query(CHANGES, &[&big(after), &rows::limit(count)]).await?, entry)
    }

    async fn directory_entry(
        &self,
        kind: EntryKind,
        id: Uuid,
        version: Option<u64>,
    ) -> Result<Option<DirectoryEntry>, StoreError> {
        let link: &Link = self.reader();
        match version {
            None => first_entry(&link.query(ENTRY, &[&kind.code(), &id]).await?),
            Some(version) => first_entry(&link.query(ENTRY_VERSION, &[&kind.code(), &id, &big(version)]).await?),
        }
    }

    async fn directory_entries(&self, wanted: Vec<(EntryKind, Uuid)>) -> Result<Vec<DirectoryEntry>, StoreError> {
        let (kinds, ids): (Vec<&str>, Vec<Uuid>) = wanted.iter().map(|(kind, id)| (kind.code(), *id)).unzip();
        all(&self.reader().query(ENTRIES, &[&kinds, &ids]).await?, entry)
    }

    async fn directory_versions(&self, kind: EntryKind, id: Uuid) -> Result<Vec<DirectoryEntry>, StoreError> {
        all(&self.reader().query(VERSIONS, &[&kind.code(), &id]).await?, entry)
    }

    async fn directory_history(
        &self,
        kind: EntryKind,
        since: Option<Timestamp>,
        before: Option<u64>,
        count: usize,
    ) -> Result<Vec<DirectoryEntry>, StoreError> {
        let (before, since) = (before.map_or(i64::MAX, big), since.map_or(i64::MIN, rows::micros));
        all(&self.searches().query(HISTORY, &[&kind.code(), &before, &since, &rows::limit(count)]).await?, entry)
    }

    async fn directory_sourced(
        &self,
        kind: EntryKind,
        source: &str,
        names: Vec<String>,
    ) -> Result<Vec<DirectoryEntry>, StoreError> {
        all(&self.reader().query(SOURCED, &[&kind.code(), &source, &names]).await?, entry)
    }

    async fn rewrite_directory(&self, rewrite: DirectoryRewrite) -> Result<DirectoryEntry, DirectoryError> {
        counts::written("rewrite_directory");
        let (kind, id) = (rewrite.write.kind, rewrite.write.id);
        match self.directory.ask(Asked::Rewrite(Box::new(rewrite))).await? {
            Written::Entries(written) => written?.pop().ok_or(DirectoryError::Moved { kind, id }),
            _ => Err(unexpected().into()),
        }
    }

    async fn proposals_waiting(&self) -> Result<Option<(u64, Timestamp)>, StoreError> {
        let found = self.reader().query(WAITING, &[]).await?;
        let Some(row) = found.first() else { return Ok(None) };
        let oldest: Option<i64> = get(row, "oldest")?;
        oldest.map(|at| Ok((number(row, "waiting")?, from_micros(at)))).transpose()
    }

    async fn add_proposal(&self, new: NewProposal) -> Result<Proposal, DirectoryError> {
        counts::written("add_proposal");
        match self.directory.ask(Asked::Propose(Box::new(new))).await? {
            Written::Proposed(proposed) => proposed.map(|proposal| *proposal),
            _ => Err(unexpected().into()),
        }
    }

    async fn proposal(&self, id: Uuid) -> Result<Option<Proposal>, StoreError> {
        self.reader().query(PROPOSAL, &[&id]).await?.first().map(proposal).transpose()
    }

    async fn proposals(&self, query: ProposalQuery) -> Result<Vec<Proposal>, StoreError> {
        let provider = query.provider.as_ref().map(|id| id.as_str());
        let status = query.status.map(ProposalStatus::code);
        let (kind, entry) = query.entry.map(|(kind, id)| (kind.code(), id)).unzip();
        let values: super::link::Values<'_> =
            &[&provider, &status, &query.after, &rows::limit(query.count), &kind, &entry];
        all(&self.searches().query(PROPOSALS, values).await?, proposal)
    }

    async fn decide_proposal(
        &self,
        id: Uuid,
        decision: Decision,
        write: Option<DirectoryWrite>,
    ) -> Result<(Proposal, Option<DirectoryEntry>), DirectoryError> {
        counts::written("decide_proposal");
        match self.directory.ask(Asked::Decide(Box::new((id, decision, write)))).await? {
            Written::Decided(decided) => decided.map(|decided| *decided),
            _ => Err(unexpected().into()),
        }
    }
}

const CHANGES: &str = "SELECT v.* FROM directory_current c
    JOIN directory_version v ON v.kind = c.kind AND v.id = c.id AND v.version = c.version
    WHERE c.revision > $1 ORDER BY c.revision LIMIT $2";

const ENTRY: &str = "SELECT v.* FROM directory_current c
    JOIN directory_version v ON v.kind = c.kind AND v.id = c.id AND v.version = c.version
    WHERE c.kind = $1 AND c.id = $2";

const ENTRY_VERSION: &str = "SELECT * FROM directory_version WHERE kind = $1 AND id = $2 AND version = $3";

const ENTRIES: &str = "SELECT v.* FROM UNNEST($1::text[], $2::uuid[]) WITH ORDINALITY AS w (kind, id, place)
    JOIN directory_current c ON c.kind = w.kind AND c.id = w.id
    JOIN directory_version v ON v.kind = c.kind AND v.id = c.id AND v.version = c.version
    ORDER BY w.place";

const VERSIONS: &str = "SELECT * FROM directory_version WHERE kind = $1 AND id = $2 ORDER BY version";

const HISTORY: &str = "SELECT * FROM directory_version WHERE kind = $1 AND revision < $2 AND last_updated >= $3
    ORDER BY revision DESC LIMIT $4";

const SOURCED: &str = "SELECT v.* FROM UNNEST($3::text[]) WITH ORDINALITY AS w (name, place)
    JOIN directory_current c ON c.kind = $1 AND c.source = $2 AND c.source_name = w.name
    JOIN directory_version v ON v.kind = c.kind AND v.id = c.id AND v.version = c.version
    ORDER BY w.place";

const PROPOSAL: &str = "SELECT * FROM directory_proposal WHERE id = $1";

const PROPOSALS: &str = "SELECT * FROM directory_proposal
    WHERE ($1::text IS NULL OR provider = $1) AND ($2::text IS NULL OR status = $2) AND ($3::uuid IS NULL OR id > $3)
      AND ($5::text IS NULL OR kind = $5 AND entry = $6::uuid)
    ORDER BY id LIMIT $4";

const WAITING: &str = "SELECT count(*) AS waiting, min(at) AS oldest FROM directory_proposal WHERE status = 'pending'";

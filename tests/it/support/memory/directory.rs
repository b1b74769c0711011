//! The directory of services and what is proposed for it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use onward::{
    domain::{EntryKind, ProposalStatus},
    store::{
        Decision, DirectoryEntry, DirectoryError, DirectoryRewrite, DirectoryStore, DirectoryWrite, NewProposal,
        PROPOSALS_PENDING_MAX, Proposal, ProposalQuery, Store, StoreError,
    },
};
use uuid::Uuid;

use super::Memory;

/// See the module's documentation.
#[derive(Default, Clone)]
pub struct Directory {
    /// In the order of their revisions, which are their places.
    versions: Vec<DirectoryEntry>,
    proposals: BTreeMap<Uuid, Proposal>,
}

impl Directory {
    fn current(&self, kind: EntryKind, id: Uuid) -> Option<&DirectoryEntry> {
        self.versions.iter().rev().find(|entry| (entry.kind, entry.id) == (kind, id))
    }

    /// The current versions of all entries, in the order of their revisions.
    fn all_current(&self) -> impl Iterator<Item = &DirectoryEntry> {
        self.versions.iter().filter(|entry| self.current(entry.kind, entry.id) == Some(*entry))
    }

    fn write(&mut self, writes: Vec<DirectoryWrite>, at: Timestamp) -> Result<Vec<DirectoryEntry>, DirectoryError> {
        DirectoryWrite::fit(&writes)?;
        let mut after = self.clone();
        let mut written = Vec::new();
        for write in writes {
            let (kind, id) = (write.kind, write.id);
            if after.current(kind, id).map_or(0, |entry| entry.version) != write.over {
                return Err(DirectoryError::Moved { kind, id });
            }
            let same = |entry: &&DirectoryEntry| {
                entry.kind == kind && entry.id != id && entry.source.is_some() && entry.source == write.source
            };
            if let Some(taken) = after.all_current().find(same) {
                return Err(DirectoryError::SourceTaken { kind, id: taken.id });
            }
            let entry = write.into_entry(after.versions.len() as u64 + 1, at);
            after.versions.push(entry.clone());
            written.push(entry);
        }
        *self = after;
        Ok(written)
    }

    fn rewrite(&mut self, rewrite: DirectoryRewrite, at: Timestamp) -> Result<DirectoryEntry, DirectoryError> {
        rewrite.fits()?;
        let DirectoryRewrite { write, versions, proposals } = rewrite;
        let key = (write.kind, write.id);
        let written = self.write(vec![write], at)?.remove(0);
        for (version, body) in versions {
            let is_it = |entry: &&mut DirectoryEntry| ((entry.kind, entry.id), entry.version) == (key, version);
            self.versions.iter_mut().filter(is_it).for_each(|entry| entry.body.clone_from(&body));
        }
        for (id, body) in proposals {
            let found = self.proposals.get_mut(&id).filter(|found| (found.new.kind, found.new.entry) == key);
            found.into_iter().for_each(|found| found.new.body.clone_from(&body));
        }
        Ok(written)
    }

    fn propose(&mut self, new: NewProposal, at: Timestamp) -> Result<Proposal, DirectoryError> {
        new.fits()?;
        let waits = |p: &&Proposal| p.new.provider == new.provider && p.status == ProposalStatus::Pending;
        if self.proposals.values().filter(waits).count() as u64 >= PROPOSALS_PENDING_MAX {
            return Err(DirectoryError::TooManyPending);
        }
        let proposal = Proposal { new, at, status: ProposalStatus::Pending, decided: None };
        self.proposals.insert(proposal.new.id, proposal.clone());
        Ok(proposal)
    }

    fn decide(
        &mut self,
        id: Uuid,
        decision: Decision,
        write: Option<DirectoryWrite>,
        at: Timestamp,
    ) -> Result<(Proposal, Option<DirectoryEntry>), DirectoryError> {
        let found = self.proposals.get(&id).cloned().ok_or(DirectoryError::NoProposal)?;
        let decided = found.decided(decision, at, write.as_ref().map(|write| write.over + 1))?;
        let written = self.write(write.into_iter().collect(), at)?.pop();
        self.proposals.insert(id, decided.clone());
        Ok((decided, written))
    }
}

#[async_trait]
impl DirectoryStore for Memory {
    async fn write_directory(&self, writes: Vec<DirectoryWrite>) -> Result<Vec<DirectoryEntry>, DirectoryError> {
        let now = self.now();
        self.open()?.directory.write(writes, now)
    }

    async fn directory_revision(&self) -> Result<u64, StoreError> {
        Ok(self.all()?.directory.versions.len() as u64)
    }

    async fn directory_changes(&self, after: u64, count: usize) -> Result<Vec<DirectoryEntry>, StoreError> {
        let all = self.all()?;
        Ok(all.directory.all_current().filter(|entry| entry.revision > after).take(count).cloned().collect())
    }

    async fn directory_entry(
        &self,
        kind: EntryKind,
        id: Uuid,
        version: Option<u64>,
    ) -> Result<Option<DirectoryEntry>, StoreError> {
        let all = self.all()?;
        let Some(version) = version else { return Ok(all.directory.current(kind, id).cloned()) };
        let wanted = |entry: &&DirectoryEntry| (entry.kind, entry.id, entry.version) == (kind, id, version);
        Ok(all.directory.versions.iter().find(wanted).cloned())
    }

    async fn directory_entries(&self, wanted: Vec<(EntryKind, Uuid)>) -> Result<Vec<DirectoryEntry>, StoreError> {
        let all = self.all()?;
        Ok(wanted.into_iter().filter_map(|(kind, id)| all.directory.current(kind, id).cloned()).collect())
    }

    async fn directory_versions(&self, kind: EntryKind, id: Uuid) -> Result<Vec<DirectoryEntry>, StoreError> {
        let all = self.all()?;
        Ok(all.directory.versions.iter().filter(|entry| (entry.kind, entry.id) == (kind, id)).cloned().collect())
    }

    async fn directory_history(
        &self,
        kind: EntryKind,
        since: Option<Timestamp>,
        before: Option<u64>,
        count: usize,
    ) -> Result<Vec<DirectoryEntry>, StoreError> {
        let all = self.all()?;
        let wanted = |entry: &&DirectoryEntry| {
            entry.kind == kind
                && since.is_none_or(|since| entry.last_updated >= since)
                && before.is_none_or(|before| entry.revision < before)
        };
        Ok(all.directory.versions.iter().rev().filter(wanted).take(count).cloned().collect())
    }

    async fn directory_sourced(
        &self,
        kind: EntryKind,
        source: &str,
        names: Vec<String>,
    ) -> Result<Vec<DirectoryEntry>, StoreError> {
        let all = self.all()?;
        let named = |name: String| {
            let wanted = Some((source.to_owned(), name));
            all.directory.all_current().find(|entry| entry.kind == kind && entry.source == wanted).cloned()
        };
        Ok(names.into_iter().filter_map(named).collect())
    }

    async fn rewrite_directory(&self, rewrite: DirectoryRewrite) -> Result<DirectoryEntry, DirectoryError> {
        let now = self.now();
        self.open()?.directory.rewrite(rewrite, now)
    }

    async fn proposals_waiting(&self) -> Result<Option<(u64, Timestamp)>, StoreError> {
        let all = self.all()?;
        let waiting = all.directory.proposals.values().filter(|one| one.status == ProposalStatus::Pending);
        let since: Vec<Timestamp> = waiting.map(|one| one.at).collect();
        Ok(since.iter().min().map(|oldest| (since.len() as u64, *oldest)))
    }

    async fn add_proposal(&self, new: NewProposal) -> Result<Proposal, DirectoryError> {
        let now = self.now();
        self.open()?.directory.propose(new, now)
    }

    async fn proposal(&self, id: Uuid) -> Result<Option<Proposal>, StoreError> {
        Ok(self.all()?.directory.proposals.get(&id).cloned())
    }

    async fn proposals(&self, query: ProposalQuery) -> Result<Vec<Proposal>, StoreError> {
        let all = self.all()?;
        let wanted = |proposal: &&Proposal| {
            query.provider.as_ref().is_none_or(|provider| *provider == proposal.new.provider)
                && query.entry.is_none_or(|entry| entry == (proposal.new.kind, proposal.new.entry))
                && query.status.is_none_or(|status| status == proposal.status)
                && query.after.is_none_or(|after| proposal.new.id > after)
        };
        Ok(all.directory.proposals.values().filter(wanted).take(query.count).cloned().collect())
    }

    async fn decide_proposal(
        &self,
        id: Uuid,
        decision: Decision,
        write: Option<DirectoryWrite>,
    ) -> Result<(Proposal, Option<DirectoryEntry>), DirectoryError> {
        let now = self.now();
        self.open()?.directory.decide(id, decision, write, now)
    }
}

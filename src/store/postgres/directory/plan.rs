//! What calls that write the directory come to, decided in memory over what is there. Pure.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use uuid::Uuid;

use super::writing::{Asked, Written};
use crate::{
    domain::{EntryKind, ProposalStatus, ProviderId},
    store::{
        Decision, DirectoryEntry, DirectoryError, DirectoryRewrite, DirectoryWrite, NewProposal, PROPOSALS_PENDING_MAX,
        Proposal, Sourced,
    },
};

/// What is there of all that a group of calls looks at, and then what it has made of that.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The directory's revision.
    pub revision: u64,
    /// The current versions of entries.
    pub versions: HashMap<(EntryKind, Uuid), u64>,
    /// Which entries come from where …
    pub sources: HashMap<(EntryKind, Sourced), Uuid>,
    /// … and the same from the other side.
    pub named: HashMap<(EntryKind, Uuid), Sourced>,
    /// Proposals that are decided.
    pub proposals: HashMap<Uuid, Proposal>,
    /// How many of a provider's proposals wait.
    pub pending: HashMap<ProviderId, u64>,
    /// What is written, in order.
    pub written: Vec<DirectoryEntry>,
    /// What is proposed.
    pub proposed: Vec<Proposal>,
    /// Proposals that were decided.
    pub decided: BTreeMap<Uuid, Proposal>,
    /// Texts that stand in the place of others.
    pub rewritten: Vec<DirectoryRewrite>,
}

// === impl Plan ===

impl Plan {
    /// Decides a call; what is refused leaves nothing.
    pub(super) fn take(&mut self, asked: &Asked, now: Timestamp) -> Written {
        match asked {
            Asked::Write(writes) => Written::Entries(self.write(writes, now)),
            Asked::Rewrite(asked) => Written::Entries(self.rewrite(asked, now)),
            Asked::Propose(new) => Written::Proposed(self.propose(new, now).map(Box::new)),
            Asked::Decide(asked) => {
                let (id, decision, write) = &**asked;
                Written::Decided(self.decide(*id, decision, write.as_ref(), now).map(Box::new))
            }
        }
    }

    fn rewrite(&mut self, asked: &DirectoryRewrite, now: Timestamp) -> Result<Vec<DirectoryEntry>, DirectoryError> {
        asked.fits()?;
        let written = self.write(std::slice::from_ref(&asked.write), now)?;
        self.rewritten.push(asked.clone());
        Ok(written)
    }

    fn decide(
        &mut self,
        id: Uuid,
        decision: &Decision,
        write: Option<&DirectoryWrite>,
        now: Timestamp,
    ) -> Result<(Proposal, Option<DirectoryEntry>), DirectoryError> {
        let found = self.proposals.get(&id).cloned().ok_or(DirectoryError::NoProposal)?;
        let version = write.map(|write| write.over.saturating_add(1));
        let decided = found.decided(decision.clone(), now, version)?;
        let written = self.write(write.map_or(&[], std::slice::from_ref), now)?.pop();
        self.proposals.insert(id, decided.clone());
        self.decided.insert(id, decided.clone());
        Ok((decided, written))
    }

    fn write(&mut self, writes: &[DirectoryWrite], now: Timestamp) -> Result<Vec<DirectoryEntry>, DirectoryError> {
        DirectoryWrite::fit(writes)?;
        // tried on copies of what it touches, so that what fails in the middle has changed nothing
        let (mut versions, mut sources) = (HashMap::new(), HashMap::new());
        let mut written: Vec<DirectoryEntry> = Vec::with_capacity(writes.len());
        let mut of_entry: HashMap<(EntryKind, Uuid), Option<Sourced>> = HashMap::new();
        for write in writes {
            let key = (write.kind, write.id);
            let version = versions.get(&key).or_else(|| self.versions.get(&key)).copied().unwrap_or(0);
            if version != write.over {
                return Err(DirectoryError::Moved { kind: write.kind, id: write.id });
            }
            let before = of_entry.get(&key).cloned().unwrap_or_else(|| self.named.get(&key).cloned());
            if let Some(source) = before {
                sources.insert((write.kind, source), None);
            }
            if let Some(source) = &write.source {
                let named = (write.kind, source.clone());
                let holder = sources.get(&named).copied().unwrap_or_else(|| self.sources.get(&named).copied());
                if let Some(id) = holder.filter(|holder| *holder != write.id) {
                    return Err(DirectoryError::SourceTaken { kind: write.kind, id });
                }
                sources.insert(named, Some(write.id));
            }
            of_entry.insert(key, write.source.clone());
            versions.insert(key, version.saturating_add(1));
            let revision = self.revision.saturating_add(written.len() as u64 + 1);
            written.push(write.clone().into_entry(revision, now));
        }
        self.revision = self.revision.saturating_add(written.len() as u64);
        self.versions.extend(versions);
        for (named, holder) in sources {
            match holder {
                Some(id) => self.sources.insert(named, id),
                None => self.sources.remove(&named),
            };
        }
        for (key, source) in of_entry {
            match source {
                Some(source) => self.named.insert(key, source),
                None => self.named.remove(&key),
            };
        }
        self.written.extend(written.iter().cloned());
        Ok(written)
    }

    fn propose(&mut self, new: &NewProposal, now: Timestamp) -> Result<Proposal, DirectoryError> {
        new.fits()?;
        let pending = self.pending.entry(new.provider.clone()).or_default();
        if *pending >= PROPOSALS_PENDING_MAX {
            return Err(DirectoryError::TooManyPending);
        }
        *pending += 1;
        let proposal = Proposal { new: new.clone(), at: now, status: ProposalStatus::Pending, decided: None };
        self.proposed.push(proposal.clone());
        Ok(proposal)
    }

    /// Of each entry that is written the last version, in the order of their revisions.
    pub(super) fn current(&self) -> Vec<&DirectoryEntry> {
        let mut last: BTreeMap<(EntryKind, Uuid), &DirectoryEntry> = BTreeMap::new();
        for entry in &self.written {
            last.insert((entry.kind, entry.id), entry);
        }
        let mut last: Vec<&DirectoryEntry> = last.into_values().collect();
        last.sort_by_key(|entry| entry.revision);
        last
    }
}

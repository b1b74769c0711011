//! The part of the port that keeps the directory, reached the same way.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use onward::{
    domain::EntryKind,
    store::{
        Decision, DirectoryEntry, DirectoryError, DirectoryRewrite, DirectoryStore, DirectoryWrite, NewProposal,
        Proposal, ProposalQuery, StoreError,
    },
};
use uuid::Uuid;

use super::Reached;

#[async_trait]
impl DirectoryStore for Reached {
    async fn write_directory(&self, writes: Vec<DirectoryWrite>) -> Result<Vec<DirectoryEntry>, DirectoryError> {
        reach!(self, write_directory(writes))
    }

    async fn directory_revision(&self) -> Result<u64, StoreError> {
        reach!(self, directory_revision())
    }

    async fn directory_changes(&self, after: u64, count: usize) -> Result<Vec<DirectoryEntry>, StoreError> {
        reach!(self, directory_changes(after, count))
    }

    async fn directory_entry(
        &self,
        kind: EntryKind,
        id: Uuid,
        version: Option<u64>,
    ) -> Result<Option<DirectoryEntry>, StoreError> {
        reach!(self, directory_entry(kind, id, version))
    }

    async fn directory_entries(&self, wanted: Vec<(EntryKind, Uuid)>) -> Result<Vec<DirectoryEntry>, StoreError> {
        reach!(self, directory_entries(wanted))
    }

    async fn directory_versions(&self, kind: EntryKind, id: Uuid) -> Result<Vec<DirectoryEntry>, StoreError> {
        reach!(self, directory_versions(kind, id))
    }

    async fn directory_history(
        &self,
        kind: EntryKind,
        since: Option<Timestamp>,
        before: Option<u64>,
        count: usize,
    ) -> Result<Vec<DirectoryEntry>, StoreError> {
        reach!(self, directory_history(kind, since, before, count))
    }

    async fn directory_sourced(
        &self,
        kind: EntryKind,
        source: &str,
        names: Vec<String>,
    ) -> Result<Vec<DirectoryEntry>, StoreError> {
        let source = source.to_owned();
        reach!(self, directory_sourced(kind, &source, names))
    }

    async fn rewrite_directory(&self, rewrite: DirectoryRewrite) -> Result<DirectoryEntry, DirectoryError> {
        reach!(self, rewrite_directory(rewrite))
    }

    async fn proposals_waiting(&self) -> Result<Option<(u64, Timestamp)>, StoreError> {
        reach!(self, proposals_waiting())
    }

    async fn add_proposal(&self, new: NewProposal) -> Result<Proposal, DirectoryError> {
        reach!(self, add_proposal(new))
    }

    async fn proposal(&self, id: Uuid) -> Result<Option<Proposal>, StoreError> {
        reach!(self, proposal(id))
    }

    async fn proposals(&self, query: ProposalQuery) -> Result<Vec<Proposal>, StoreError> {
        reach!(self, proposals(query))
    }

    async fn decide_proposal(
        &self,
        id: Uuid,
        decision: Decision,
        write: Option<DirectoryWrite>,
    ) -> Result<(Proposal, Option<DirectoryEntry>), DirectoryError> {
        reach!(self, decide_proposal(id, decision, write))
    }
}

//! The directory of services as it is kept: entries in versions that belong to no referral, and what providers propose for it.
//!
//! Every write moves the directory's revision, in the same commit: who knows up to which revision it has read knows what it has
//! missed, and nothing becomes visible below a revision that was visible before.

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::StoreError;
use crate::domain::{EntryKind, ProposalStatus, ProviderId};

/// So many entries are written in one commit.
pub const DIRECTORY_WRITES_MAX: usize = 500;
/// Bytes of an entry.
pub const DIRECTORY_BODY_MAX_BYTES: usize = 262_144;
/// Bytes of the name of a source, and of the name of an entry there.
pub const DIRECTORY_SOURCE_MAX_BYTES: usize = 1_000;
/// So many proposals of one provider wait for a decision.
pub const PROPOSALS_PENDING_MAX: u64 = 200;

/// Where an entry comes from: the name of the source, and what the entry is called there.
pub type Sourced = (String, String);

/// A version of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Of which kind it is.
    pub kind: EntryKind,
    /// Its logical id.
    pub id: Uuid,
    /// Its `meta.versionId`: 1, 2, 3 …
    pub version: u64,
    /// The directory's revision that this version made: no two have the same.
    pub revision: u64,
    /// When this version was written.
    pub last_updated: Timestamp,
    /// Where the entry comes from, as far as this version says so.
    pub source: Option<Sourced>,
    /// Who wrote it, for people.
    pub by: String,
    /// The resource as JSON, without `id`, `versionId` and `lastUpdated`.
    pub body: String,
}

/// An entry that is to be made, or to have a further version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryWrite {
    /// Of which kind it is.
    pub kind: EntryKind,
    /// Its logical id.
    pub id: Uuid,
    /// The version that this was decided on; 0 where there was none.
    pub over: u64,
    /// Where it comes from. Of its kind no other entry may be the same there.
    pub source: Option<Sourced>,
    /// See [`DirectoryEntry::body`].
    pub body: String,
    /// Who writes it, for people.
    pub by: String,
}

/// A version that is written together with other texts for what stands already, so that what they told stands nowhere any more. All of
/// it is of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryRewrite {
    /// The version that is written.
    pub write: DirectoryWrite,
    /// Versions before it, and what their bodies become.
    pub versions: Vec<(u64, String)>,
    /// Proposals, and what their bodies become.
    pub proposals: Vec<(Uuid, String)>,
}

/// Why nothing was written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DirectoryError {
    /// The entry has another version than the one that was decided on: read it again and decide again.
    #[error("{kind}/{id} was changed in between")]
    Moved {
        /// Of which kind the entry is.
        kind: EntryKind,
        /// Which.
        id: Uuid,
    },
    /// There is an entry already that is the same at its source.
    #[error("{kind}/{id} is the same entry of that source")]
    SourceTaken {
        /// Of which kind that entry is.
        kind: EntryKind,
        /// Which.
        id: Uuid,
    },
    /// More than [`DIRECTORY_WRITES_MAX`] entries, or one beyond [`DIRECTORY_BODY_MAX_BYTES`] or [`DIRECTORY_SOURCE_MAX_BYTES`].
    #[error(
        "at most {DIRECTORY_WRITES_MAX} entries are written at once, each of {DIRECTORY_BODY_MAX_BYTES} bytes, and \
         names of sources have {DIRECTORY_SOURCE_MAX_BYTES}"
    )]
    TooLarge,
    /// [`PROPOSALS_PENDING_MAX`] of the provider's proposals wait already.
    #[error("{PROPOSALS_PENDING_MAX} proposals of this provider wait for a decision")]
    TooManyPending,
    /// There is no such proposal.
    #[error("there is no such proposal")]
    NoProposal,
    /// The proposal has been decided.
    #[error("the proposal is {0} already")]
    Decided(ProposalStatus),
    /// The store failed; whether the commit happened is unknown.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a provider proposes for the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewProposal {
    /// Its id.
    pub id: Uuid,
    /// Who proposes it.
    pub provider: ProviderId,
    /// The kind of the entry.
    pub kind: EntryKind,
    /// The id that the entry has, or will have.
    pub entry: Uuid,
    /// The version that it was made on; 0 where the entry is new.
    pub over: u64,
    /// Where the entry comes from, as it says.
    pub source: Option<Sourced>,
    /// The entry as it is proposed; see [`DirectoryEntry::body`].
    pub body: String,
}

/// A proposal as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// What is proposed, and by whom.
    pub new: NewProposal,
    /// When it was proposed.
    pub at: Timestamp,
    /// How it is with it.
    pub status: ProposalStatus,
    /// How that came; none while it is pending.
    pub decided: Option<Decided>,
}

/// How a proposal was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// When.
    pub at: Timestamp,
    /// Who, for people.
    pub by: String,
    /// Why, where somebody said so.
    pub reason: Option<String>,
    /// The version of the entry that it became.
    pub version: Option<u64>,
}

/// What is decided about a proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of it.
    pub status: ProposalStatus,
    /// Who decides, for people.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
}

/// Which proposals. Every condition given must hold.
#[derive(Debug, Clone, Default)]
pub struct ProposalQuery {
    /// Of this provider.
    pub provider: Option<ProviderId>,
    /// That are in this status.
    pub status: Option<ProposalStatus>,
    /// For this entry.
    pub entry: Option<(EntryKind, Uuid)>,
    /// Only those after the one with this id: the cursor of paging.
    pub after: Option<Uuid>,
    /// At most so many.
    pub count: usize,
}

/// The part of the port that keeps the directory. Its behaviours are in the same suite (`tests/it/store/directory.rs`).
#[async_trait]
pub trait DirectoryStore: Send + Sync + 'static {
    /// Writes entries in one commit or none of them, in this order; what was written. An entry may be named twice, each time over
    /// the version before.
    async fn write_directory(&self, writes: Vec<DirectoryWrite>) -> Result<Vec<DirectoryEntry>, DirectoryError>;

    /// The newest revision; 0 while nothing was ever written. Asked for with every search; cheap.
    async fn directory_revision(&self) -> Result<u64, StoreError>;

    /// Entries of which the current version is newer than this revision, in the order of their revisions.
    async fn directory_changes(&self, after: u64, count: usize) -> Result<Vec<DirectoryEntry>, StoreError>;

    /// A version of an entry, the current one if none is named.
    async fn directory_entry(
        &self,
        kind: EntryKind,
        id: Uuid,
        version: Option<u64>,
    ) -> Result<Option<DirectoryEntry>, StoreError>;

    /// The current versions of those of these entries that are there, in the order in which they are asked for.
    async fn directory_entries(&self, wanted: Vec<(EntryKind, Uuid)>) -> Result<Vec<DirectoryEntry>, StoreError>;

    /// All versions of an entry, oldest first.
    async fn directory_versions(&self, kind: EntryKind, id: Uuid) -> Result<Vec<DirectoryEntry>, StoreError>;

    /// Versions of all entries of a kind, the newest first: those written from then on, and before this revision.
    async fn directory_history(
        &self,
        kind: EntryKind,
        since: Option<Timestamp>,
        before: Option<u64>,
        count: usize,
    ) -> Result<Vec<DirectoryEntry>, StoreError>;

    /// The current versions of entries of a kind that come from a source, by what they are called there.
    async fn directory_sourced(
        &self,
        kind: EntryKind,
        source: &str,
        names: Vec<String>,
    ) -> Result<Vec<DirectoryEntry>, StoreError>;

    /// Writes a version, and puts other texts in the place of earlier ones, in one commit. When they were written, by whom and as which
    /// version stays as it was.
    async fn rewrite_directory(&self, rewrite: DirectoryRewrite) -> Result<DirectoryEntry, DirectoryError>;

    /// Keeps a proposal until it is decided.
    async fn add_proposal(&self, new: NewProposal) -> Result<Proposal, DirectoryError>;

    /// A proposal.
    async fn proposal(&self, id: Uuid) -> Result<Option<Proposal>, StoreError>;

    /// Proposals in the order of their ids, which is that in which they came.
    async fn proposals(&self, query: ProposalQuery) -> Result<Vec<Proposal>, StoreError>;

    /// How many proposals wait for a decision, and since when the oldest does; none where none waits.
    async fn proposals_waiting(&self) -> Result<Option<(u64, Timestamp)>, StoreError>;

    /// Decides a pending proposal and, with it or not at all, writes an entry; what was written.
    async fn decide_proposal(
        &self,
        id: Uuid,
        decision: Decision,
        write: Option<DirectoryWrite>,
    ) -> Result<(Proposal, Option<DirectoryEntry>), DirectoryError>;
}

// === impl DirectoryWrite ===

impl DirectoryWrite {
    /// Whether these can be written together.
    ///
    /// # Errors
    /// [`DirectoryError::TooLarge`]
    pub fn fit(writes: &[Self]) -> Result<(), DirectoryError> {
        let fits =
            writes.len() <= DIRECTORY_WRITES_MAX && writes.iter().all(|one| fits(&one.body, one.source.as_ref()));
        fits.then_some(()).ok_or(DirectoryError::TooLarge)
    }

    /// What it becomes.
    pub fn into_entry(self, revision: u64, at: Timestamp) -> DirectoryEntry {
        let Self { kind, id, over, source, body, by } = self;
        DirectoryEntry { kind, id, version: over.saturating_add(1), revision, last_updated: at, source, by, body }
    }
}

// === impl DirectoryRewrite ===

impl DirectoryRewrite {
    /// Whether it could be written.
    ///
    /// # Errors
    /// [`DirectoryError::TooLarge`]
    pub fn fits(&self) -> Result<(), DirectoryError> {
        DirectoryWrite::fit(std::slice::from_ref(&self.write))?;
        let versions = self.versions.iter().map(|(_, body)| body);
        let mut bodies = versions.chain(self.proposals.iter().map(|(_, body)| body));
        bodies.all(|body| fits(body, None)).then_some(()).ok_or(DirectoryError::TooLarge)
    }
}

// === impl NewProposal ===

impl NewProposal {
    /// Whether it could be written.
    ///
    /// # Errors
    /// [`DirectoryError::TooLarge`]
    pub fn fits(&self) -> Result<(), DirectoryError> {
        fits(&self.body, self.source.as_ref()).then_some(()).ok_or(DirectoryError::TooLarge)
    }
}

// === impl Proposal ===

impl Proposal {
    /// The same after a decision.
    ///
    /// # Errors
    /// [`DirectoryError::Decided`] where it has been decided.
    pub fn decided(self, decision: Decision, at: Timestamp, version: Option<u64>) -> Result<Self, DirectoryError> {
        if self.status != ProposalStatus::Pending {
            return Err(DirectoryError::Decided(self.status));
        }
        let Decision { status, by, reason } = decision;
        Ok(Self { status, decided: Some(Decided { at, by, reason, version }), ..self })
    }
}

fn fits(body: &str, source: Option<&Sourced>) -> bool {
    let named = |(source, name): &Sourced| source.len().max(name.len()) <= DIRECTORY_SOURCE_MAX_BYTES;
    body.len() <= DIRECTORY_BODY_MAX_BYTES && source.is_none_or(named)
}

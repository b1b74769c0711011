//! The part of the port that keeps who works a provider's referrals and has no account here: those whom an issuer lets in. Kept from
//! log-in, each name apart, so that what somebody did is told by the name that she had then.

use async_trait::async_trait;
use jiff::Timestamp;

use super::StoreError;
use crate::domain::ProviderId;

/// So many names of people are kept for one provider; the one seen longest ago is forgotten with the next.
pub const COLLEAGUES_MAX: usize = 1_000;

/// Somebody who has logged in to work a provider's referrals, under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Colleague {
    /// Who: `oidc:SUBJECT`.
    pub person: String,
    /// Her name for people.
    pub name: String,
    /// When she logged in first under this name.
    pub since: Timestamp,
    /// When last.
    pub seen: Timestamp,
    /// Whether that is her name, and the provider's referrals are hers to work, as her issuer said at her last log-in.
    pub works: bool,
}

/// The part of the port that keeps them. Its behaviours are in the same suite (`tests/it/store/colleagues.rs`).
#[async_trait]
pub trait ColleagueStore: Send + Sync + 'static {
    /// Keeps that somebody logs in now under this name, and works the referrals of these providers and, from now on, of no others. Of more
    /// than [`COLLEAGUES_MAX`] of a provider the one seen longest ago is forgotten.
    async fn keep_colleague(&self, person: &str, name: &str, providers: Vec<ProviderId>) -> Result<(), StoreError>;

    /// Those of a provider, each name apart, the one seen last first; of one moment in the order of persons and names.
    async fn colleagues(&self, provider: &ProviderId) -> Result<Vec<Colleague>, StoreError>;

    /// By which names those of any of these providers are known: person and name, each pair once, the one seen last first, wherever that was;
    /// of one moment in the order of persons and names. At most so many.
    async fn colleague_names(
        &self,
        providers: Vec<ProviderId>,
        most: usize,
    ) -> Result<Vec<(String, String)>, StoreError>;
}

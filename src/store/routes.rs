//! Route sets in versions: what was written is never changed, and which version is active is a list that only grows.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;

use super::StoreError;

/// Bytes of the text of a route set.
pub const ROUTES_TEXT_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of all files that belong to it.
pub const ROUTES_FILES_MAX_BYTES: usize = 16 * 1024 * 1024;

/// What a person says of what they do with a route set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Who.
    pub author: String,
    /// Why, in a line.
    pub comment: String,
}

/// A route set that is to become the next version, and to be active at once.
#[derive(Debug, Clone)]
pub struct NewRoutes {
    /// By what its decisions name it: the digest of what its rules say.
    pub hash: String,
    /// As it was written.
    pub text: String,
    /// What else belongs to it, by the names by which the text calls it.
    pub files: BTreeMap<String, String>,
    /// Whose it is.
    pub signed: Signed,
}

/// A version of the route set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutesVersion {
    /// 1, 2, 3 …
    pub number: u64,
    /// See [`NewRoutes::hash`].
    pub hash: String,
    /// See [`NewRoutes::text`].
    pub text: String,
    /// See [`NewRoutes::files`].
    pub files: BTreeMap<String, String>,
    /// Whose it is.
    pub signed: Signed,
    /// When it was stored.
    pub at: Timestamp,
}

/// That a version became the active one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    /// Its place in the list, from 1. The last one counts.
    pub seq: u64,
    /// Which version.
    pub number: u64,
    /// See [`NewRoutes::hash`].
    pub hash: String,
    /// Whether the version was stored with it; an older one that became active again was not.
    pub is_new: bool,
    /// Who did it.
    pub signed: Signed,
    /// When.
    pub at: Timestamp,
}

/// Why no version became active. Nothing was stored.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ActivateError {
    /// Another became active in between: look at it and decide again.
    #[error("another version was activated in between")]
    Moved,
    /// There is no version with this number.
    #[error("there is no version {0}")]
    Unknown(u64),
    /// It is larger than [`ROUTES_TEXT_MAX_BYTES`] or [`ROUTES_FILES_MAX_BYTES`] allow.
    #[error("a route set may have {ROUTES_TEXT_MAX_BYTES} bytes and its files together {ROUTES_FILES_MAX_BYTES}")]
    TooLarge,
    /// The store failed; whether the commit happened is unknown.
    #[error(transparent)]
    Store(#[from] StoreError),
}

// === impl NewRoutes ===

impl NewRoutes {
    /// Whether it is within the bounds.
    ///
    /// # Errors
    /// [`ActivateError::TooLarge`]
    pub fn fits(&self) -> Result<(), ActivateError> {
        let files: usize = self.files.values().map(String::len).sum();
        let fits = self.text.len() <= ROUTES_TEXT_MAX_BYTES && files <= ROUTES_FILES_MAX_BYTES;
        fits.then_some(()).ok_or(ActivateError::TooLarge)
    }
}

/// The part of the port that keeps them. Its behaviours are in the same suite (`tests/it/store/routes.rs`).
#[async_trait]
pub trait RouteStore: Send + Sync + 'static {
    /// Stores a route set as the next version and makes it the active one, over the activation that it was decided on, 0 where there
    /// was none. What was told of the one before, that it is not taken up somewhere, is over.
    async fn add_routes(&self, over: u64, new: NewRoutes) -> Result<Activation, ActivateError>;

    /// Makes a stored version the active one again, likewise.
    async fn activate_routes(&self, over: u64, number: u64, signed: Signed) -> Result<Activation, ActivateError>;

    /// The last activation: the route set that is to be in force. Asked for all the time; cheap.
    async fn active_routes(&self) -> Result<Option<Activation>, StoreError>;

    /// Activations, the newest first. Each version is among them.
    async fn routes_history(&self, limit: usize) -> Result<Vec<Activation>, StoreError>;

    /// A version of the route set.
    async fn routes_version(&self, number: u64) -> Result<Option<RoutesVersion>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_at_its_bounds_fits_and_a_byte_more_does_not() {
        let new = |text: usize, file: usize| NewRoutes {
            hash: "0123456789ab".into(),
            text: " ".repeat(text),
            files: BTreeMap::from([("name".to_owned(), " ".repeat(file))]),
            signed: Signed { author: "a".into(), comment: "b".into() },
        };
        let (text, file) = (ROUTES_TEXT_MAX_BYTES, ROUTES_FILES_MAX_BYTES);
        new(text, file).fits().unwrap();
        for over in [new(text + 1, file), new(text, file + 1)] {
            assert!(matches!(over.fits(), Err(ActivateError::TooLarge)));
        }
    }
}

//! The part of the port that keeps what systems were let in by: assertions that were used, and access tokens. Neither an assertion nor a
//! token is kept itself, only the SHA-256 by which it is known again. Beside them lie the secrets that all processes of a store share.

use async_trait::async_trait;
use jiff::Timestamp;

use super::StoreError;

/// With each write so many of either that have run out are forgotten, so that none stay.
pub(crate) const FORGOTTEN_AT_ONCE: i64 = 100;

/// An assertion that a client has shown (RFC 7523, 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedAssertion {
    /// Of whom it is and how it is named there (`jti`), as SHA-256.
    pub id: [u8; 32],
    /// After this it would be refused anyway.
    pub until: Timestamp,
}

/// An access token that was given out.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// Its SHA-256.
    pub hash: [u8; 32],
    /// Whose it is: the client's id.
    pub client: String,
    /// What was granted, as it was written.
    pub scopes: String,
    /// When it was given.
    pub at: Timestamp,
    /// Until when it holds.
    pub until: Timestamp,
    /// The SHA-256 of the certificate beside which alone it is worth something (RFC 8705, 3.1).
    pub certificate: Option<[u8; 32]>,
}

/// The part of the port that keeps them. Its behaviours are in the same suite (`tests/it/store/tokens.rs`).
#[async_trait]
pub trait TokenStore: Send + Sync + 'static {
    /// Notes that an assertion was used and, with it or not at all, keeps the token that was given for it. False, and nothing is kept,
    /// where it had been used before: of many who show the same at once, to whatever process, one is true.
    async fn use_assertion(&self, used: UsedAssertion, gives: Option<AccessToken>) -> Result<bool, StoreError>;

    /// The token with this SHA-256, while it holds by the store's clock. Asked for with every request that shows one; cheap.
    async fn access_token(&self, hash: [u8; 32]) -> Result<Option<AccessToken>, StoreError>;

    /// Forgets a token of this client's: from now on it is worth nothing anywhere. Whether there was one.
    async fn revoke_token(&self, hash: [u8; 32], client: &str) -> Result<bool, StoreError>;

    /// The secret of this name, the same for every process of the store and after every restart. Where there is none yet, the one that
    /// is offered becomes it: of many who offer one at once all are given the same.
    async fn shared_secret(&self, name: &str, offered: [u8; 32]) -> Result<[u8; 32], StoreError>;
}

impl std::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AccessToken(of {}, until {})", self.client, self.until)
    }
}

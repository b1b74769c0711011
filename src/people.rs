//! People: how they log in, their sessions, and the glass that they may break. What they may do is `auth`'s to say; what they see,
//! `web`'s.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{Names, Seal, SealError},
    config::{self, Registry},
    store::{Store, StoreError},
};

pub mod account;
mod colleagues;
mod device;
mod forget;
mod glass;
mod local;
mod manage;
pub mod oidc;
mod password;
mod secret;
mod session;
mod sought;
mod throttle;
pub mod totp;

pub use colleagues::{LetIn, WorkerNames};
pub use device::DEVICE_HOLDS;
pub use glass::{GlassError, REASON_CHARS_MAX, REASON_CHARS_MIN};
pub use local::{Enrolling, LogIn, NotEnrolled, PASSWORD_CHARS_MIN};
pub use manage::Managing;
pub use secret::{Code, NoRandom, Token};
pub use session::Visitor;

use password::Passwords;

/// What is over is forgotten this often.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// What was tried in vain is forgiven after so long without another try.
const FORGIVEN_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// Why nobody could be asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PeopleError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system gives no random numbers.
    #[error(transparent)]
    Random(#[from] NoRandom),
    /// Too many passwords wait to be looked at.
    #[error("too many log in at once")]
    Busy,
}

impl From<SealError> for PeopleError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Store(error) => error.into(),
            SealError::NoRandom => NoRandom.into(),
        }
    }
}

/// See the module's documentation. Cheap to clone.
#[derive(Clone)]
pub struct People {
    store: Arc<dyn Store>,
    seal: Seal,
    registry: Arc<ArcSwap<Registry>>,
    config: Arc<config::People>,
    passwords: Passwords,
}

impl People {
    /// People as the configuration wants them.
    pub fn new(store: Arc<dyn Store>, registry: Arc<ArcSwap<Registry>>, config: config::People) -> Self {
        let seal = Seal::new(Arc::clone(&store));
        Self { store, seal, registry, config: Arc::new(config), passwords: Passwords::default() }
    }

    /// How they log in.
    pub fn config(&self) -> &config::People {
        &self.config
    }

    /// What stands for the names of accounts in URLs.
    ///
    /// # Errors
    /// [`PeopleError`]
    pub async fn names(&self) -> Result<Names, PeopleError> {
        Ok(self.seal.names().await?)
    }

    /// Forgets what is over, until `stop`.
    pub async fn sweep(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(SWEEP_EVERY)).await.is_some() {
            let now = self.store.now();
            let idle = before(now, self.config.idle);
            if let Err(error) = self.store.sweep_people(idle, now.saturating_sub(FORGIVEN_AFTER).unwrap_or(now)).await {
                tracing::warn!(%error, "sessions that are over could not be forgotten; they are of no use all the same");
            }
            if let Err(error) = self.forget_ended().await {
                tracing::warn!(%error, "accounts that ended long ago could not be forgotten; nobody can log in with them");
            }
        }
    }
}

/// The moment so long after another.
fn after(at: Timestamp, long: Duration) -> Timestamp {
    let long = SignedDuration::try_from(long).unwrap_or(SignedDuration::MAX);
    at.saturating_add(long).unwrap_or(Timestamp::MAX)
}

/// The moment so long before another.
fn before(at: Timestamp, long: Duration) -> Timestamp {
    let long = SignedDuration::try_from(long).unwrap_or(SignedDuration::MAX);
    at.saturating_sub(long).unwrap_or(Timestamp::MIN)
}

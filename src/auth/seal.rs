//! What is given out to be shown again, and says by itself what it stands for: nobody else can read it, make it or change it, and it is of
//! use for one purpose, to one holder, for a while. The key lies in the store, so that every process takes what another gave, after a
//! restart as well; whoever has the store has what could be sealed anyway.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hmac, rand,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use crate::store::{Store, StoreError};

/// Under this name the key lies in the store. Whoever takes it out makes all that was given out worth nothing, once every process has
/// been started again.
const KEY_NAME: &str = "seal";
/// In front of what is sealed stands until when it holds, in seconds.
const UNTIL_BYTES: usize = 8;

/// So many bytes stand for a name.
const NAME_BYTES: usize = 16;

/// What something is sealed for: for anything else it is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To go on with a search.
    Search,
    /// To be known as a browser in which somebody has logged in.
    Device,
    /// To go on with a search of the journal for what a person did.
    Journal,
}

/// Why nothing was sealed or opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SealError {
    /// The key cannot be had.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system gives no random numbers.
    #[error("nothing can be sealed: the system gives no random numbers")]
    NoRandom,
}

/// See the module's documentation. Cheap to clone.
#[derive(Clone)]
pub struct Seal {
    store: Arc<dyn Store>,
    /// Asked for when it is first needed.
    keys: Arc<OnceCell<Keys>>,
}

/// What is made of the key that lies in the store: each of use for one thing.
struct Keys {
    sealing: RandomizedNonceKey,
    naming: hmac::Key,
}

/// What stands for a name where it must not be read, the same each time: nobody can tell which name it is who does not have the key, not
/// by trying all names there might be either.
#[derive(Clone)]
pub struct Names(hmac::Key);

impl Seal {
    /// With the key of this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, keys: Arc::default() }
    }

    /// Seals this for a holder, as letters, digits, “-” and “_”.
    ///
    /// # Errors
    /// [`SealError`]
    pub async fn close(
        &self,
        purpose: Purpose,
        holder: &str,
        content: &[u8],
        until: Timestamp,
    ) -> Result<String, SealError> {
        let mut sealed = [&until.as_second().to_be_bytes()[..], content].concat();
        let key = &self.keys().await?.sealing;
        let nonce = key.seal_in_place_append_tag(bound_to(purpose, holder), &mut sealed);
        let nonce = nonce.map_err(|_| SealError::NoRandom)?;
        Ok(URL_SAFE_NO_PAD.encode([&nonce.as_ref()[..], &sealed].concat()))
    }

    /// What was sealed for this holder; none where it was not, not for this, or holds no more.
    ///
    /// # Errors
    /// [`SealError`]
    pub async fn open(&self, purpose: Purpose, holder: &str, shown: &str) -> Result<Option<Vec<u8>>, SealError> {
        let Ok(mut shown) = URL_SAFE_NO_PAD.decode(shown) else { return Ok(None) };
        let Some((nonce, sealed)) = shown.split_first_chunk_mut::<NONCE_LEN>() else { return Ok(None) };
        let key = &self.keys().await?.sealing;
        let opened = key.open_in_place(Nonce::assume_unique_for_key(*nonce), bound_to(purpose, holder), sealed);
        let Ok(opened) = opened else { return Ok(None) };
        let Some((until, content)) = opened.split_first_chunk::<UNTIL_BYTES>() else { return Ok(None) };
        let holds = self.store.now().as_second() < i64::from_be_bytes(*until);
        Ok(holds.then(|| content.to_vec()))
    }

    /// What stands for names.
    ///
    /// # Errors
    /// [`SealError`]
    pub async fn names(&self) -> Result<Names, SealError> {
        Ok(Names(self.keys().await?.naming.clone()))
    }

    async fn keys(&self) -> Result<&Keys, SealError> {
        let make = || async {
            let mut offered = Zeroizing::new([0; 32]);
            rand::fill(offered.as_mut_slice()).map_err(|_| SealError::NoRandom)?;
            let kept = Zeroizing::new(self.store.shared_secret(KEY_NAME, *offered).await?);
            // numbers that came twice would tell that two texts are the same and nothing more (RFC 8452)
            let sealing =
                RandomizedNonceKey::new(&AES_256_GCM_SIV, kept.as_slice()).map_err(|_| SealError::NoRandom)?;
            let naming = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, kept.as_slice()), b"onward names");
            Ok(Keys { sealing, naming: hmac::Key::new(hmac::HMAC_SHA256, naming.as_ref()) })
        };
        self.keys.get_or_try_init(make).await
    }
}

impl Names {
    /// What stands for a name: 32 hexadecimal digits.
    pub fn of(&self, name: &str) -> String {
        let tag = hmac::sign(&self.0, name.as_bytes());
        tag.as_ref().iter().take(NAME_BYTES).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Without it what is sealed cannot be opened. No purpose has a space in it.
fn bound_to(purpose: Purpose, holder: &str) -> Aad<Vec<u8>> {
    Aad::from(format!("onward {purpose:?} {holder}").into_bytes())
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

//! Passwords as argon2id (RFC 9106): few at a time, for each takes 19 MiB and a moment of a processor.

use std::sync::{Arc, OnceLock};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::{
    PeopleError,
    secret::{NoRandom, random},
};

/// So many are looked at at once …
const AT_ONCE: usize = 2;
/// … and so many wait for that; more are told to come again.
const WAITING_MAX: usize = 32;
/// OWASP's first choice for argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;

/// Looks at passwords. Cheap to clone.
#[derive(Clone)]
pub(super) struct Passwords {
    places: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// What a password is held against where there is no account: it takes as long.
    nobodys: Arc<OnceLock<String>>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::new(Semaphore::new(AT_ONCE + WAITING_MAX)),
            nobodys: Arc::default(),
        }
    }
}

impl Passwords {
    /// A password as it is kept.
    pub(super) async fn hash(&self, password: Zeroizing<String>) -> Result<String, PeopleError> {
        self.in_turn(move || hash(&password)).await?.map_err(PeopleError::from)
    }

    /// Whether a password is the one of which this was kept; without an account it is not, and that takes as long.
    pub(super) async fn is(&self, kept: Option<String>, password: Zeroizing<String>) -> Result<bool, PeopleError> {
        let nobodys = Arc::clone(&self.nobodys);
        let look = move || {
            let (kept, known) = match kept {
                Some(kept) => (kept, true),
                None => match nobodys.get() {
                    Some(nobodys) => (nobodys.clone(), false),
                    None => {
                        let made = hash("nobody's")?;
                        (nobodys.get_or_init(|| made).clone(), false)
                    }
                },
            };
            Ok::<_, NoRandom>(verify(&kept, &password) && known)
        };
        Ok(self.in_turn(look).await??)
    }

    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, PeopleError> {
        let _waiting = self.waiting.try_acquire().map_err(|_| PeopleError::Busy)?;
        let _place = self.places.acquire().await.map_err(|_| PeopleError::Busy)?;
        tokio::task::spawn_blocking(work).await.map_err(|_| PeopleError::Busy)
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(password: &str) -> Result<String, NoRandom> {
    let salt = random::<SALT_BYTES>()?;
    let hashed: Result<PasswordHash, _> = argon2().hash_password_with_salt(password.as_bytes(), &salt);
    // it fails for no password and no salt that get here
    hashed.map(|hashed| hashed.to_string()).map_err(|_| NoRandom)
}

fn verify(kept: &str, password: &str) -> bool {
    PasswordHash::new(kept).is_ok_and(|kept| argon2().verify_password(password.as_bytes(), &kept).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    #[tokio::test]
    async fn a_password_is_known_again_and_no_other() {
        let passwords = Passwords::default();
        let kept = passwords.hash(secret("correct horse")).await.unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert_ne!(kept, passwords.hash(secret("correct horse")).await.unwrap(), "each with a salt of its own");
        assert!(passwords.is(Some(kept.clone()), secret("correct horse")).await.unwrap());
        assert!(!passwords.is(Some(kept), secret("correct horses")).await.unwrap());
        assert!(!passwords.is(Some("not a hash".into()), secret("correct horse")).await.unwrap());
    }

    #[tokio::test]
    async fn nobody_has_no_password() {
        let passwords = Passwords::default();
        for password in ["nobody's", "", "correct horse"] {
            assert!(!passwords.is(None, secret(password)).await.unwrap(), "{password}");
        }
    }

    #[tokio::test]
    async fn more_than_may_wait_are_told_to_come_again() {
        let passwords = Passwords::default();
        let held: Vec<_> = (0..AT_ONCE + WAITING_MAX).map(|_| passwords.waiting.try_acquire().unwrap()).collect();
        assert!(matches!(passwords.is(None, secret("x")).await, Err(PeopleError::Busy)));
        drop(held);
        assert!(passwords.is(None, secret("x")).await.is_ok());
    }
}

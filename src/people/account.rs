//! Local accounts: how they are made, changed and closed. There is no password before its person has made one.

use std::time::Duration;

use zeroize::Zeroizing;

use super::{People, PeopleError, after, secret::Code, totp};
use crate::{
    config::people::is_known,
    domain::Position,
    store::{Account, Credentials, Enrolment, StoreError},
};

/// A code to enrol with is of use for so long.
pub const ENROL_WITHIN: Duration = Duration::from_secs(72 * 3600);
/// No name is longer.
pub const NAME_CHARS_MAX: usize = 64;
/// So many positions of one person.
pub const POSITIONS_MAX: usize = 20;

/// What was made for somebody, to be shown once.
pub struct Ready {
    /// The password.
    pub password: Code,
    /// The key for a device.
    pub key: Vec<u8>,
}

/// Why an account is not as it was wanted.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// It is no name to log in with.
    #[error("a name to log in with is 1 to {NAME_CHARS_MAX} of a-z, 0-9 and . _ @ -")]
    Name,
    /// It has nothing, or too much, to do.
    #[error("a person has 1 to {POSITIONS_MAX} roles")]
    Positions,
    /// A position is held in an organisation that is not there.
    #[error("{0}: there is no such system or provider in the configuration")]
    Unknown(Position),
    /// There is one of that name, or as many accounts as may be.
    #[error("there is an account of that name already, or there are as many as may be")]
    Taken,
    /// There is none of that name.
    #[error("there is no account of that name")]
    Absent,
    /// Somebody else changed it at the same time.
    #[error("somebody else has changed it just now; look again")]
    Moved,
    /// See there.
    #[error(transparent)]
    People(#[from] PeopleError),
}

impl From<StoreError> for AccountError {
    fn from(error: StoreError) -> Self {
        Self::People(error.into())
    }
}

/// Who somebody with a local account is, in sessions and everywhere else.
pub fn person(name: &str) -> String {
    format!("local:{name}")
}

/// Whether one can log in with it.
pub fn is_name(text: &str) -> bool {
    let sign = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._@-".contains(&b);
    (1..=NAME_CHARS_MAX).contains(&text.len()) && text.bytes().all(sign)
}

impl People {
    /// A new account, and the code by which its person enrols.
    ///
    /// # Errors
    /// [`AccountError`]
    pub async fn add(&self, name: &str, full_name: &str, positions: Vec<Position>) -> Result<Code, AccountError> {
        if !is_name(name) {
            return Err(AccountError::Name);
        }
        self.fit(&positions)?;
        let (code, now) = (Code::mint().map_err(PeopleError::from)?, self.store.now());
        let account = Account {
            name: name.to_owned(),
            full_name: full_name.to_owned(),
            positions,
            disabled: false,
            enrolment: Some(Enrolment { code: code.digest(), until: after(now, ENROL_WITHIN) }),
            credentials: None,
            created: now,
            version: 1,
        };
        if self.store.add_account(account).await? { Ok(code) } else { Err(AccountError::Taken) }
    }

    /// A new account with which somebody can log in at once, with a password and a key that are made here: for a demonstration, whose
    /// accounts end with it.
    ///
    /// # Errors
    /// [`AccountError`]
    pub async fn add_ready(
        &self,
        name: &str,
        full_name: &str,
        positions: Vec<Position>,
    ) -> Result<Ready, AccountError> {
        if !is_name(name) {
            return Err(AccountError::Name);
        }
        self.fit(&positions)?;
        let (password, key) = (Code::mint().map_err(PeopleError::from)?, totp::mint().map_err(PeopleError::from)?);
        let kept = self.passwords.hash(Zeroizing::new(password.reveal().to_owned())).await?;
        let account = Account {
            name: name.to_owned(),
            full_name: full_name.to_owned(),
            positions,
            disabled: false,
            enrolment: None,
            credentials: Some(Credentials { password: kept, totp: key.clone(), step: 0 }),
            created: self.store.now(),
            version: 1,
        };
        if self.store.add_account(account).await? { Ok(Ready { password, key }) } else { Err(AccountError::Taken) }
    }

    /// All accounts, in the order of their names.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        self.store.accounts().await
    }

    /// What somebody is from now on. Her sessions end.
    ///
    /// # Errors
    /// [`AccountError`]
    pub async fn set_positions(&self, name: &str, positions: Vec<Position>) -> Result<(), AccountError> {
        self.fit(&positions)?;
        self.change(name, |account| account.positions = positions).await
    }

    /// Keeps somebody out, or lets her in again. Her sessions end at once.
    ///
    /// # Errors
    /// [`AccountError`]
    pub async fn disable(&self, name: &str, disabled: bool) -> Result<(), AccountError> {
        self.change(name, |account| account.disabled = disabled).await
    }

    /// Takes password and second factor away; the code by which its person makes new ones. Her sessions end.
    ///
    /// # Errors
    /// [`AccountError`]
    pub async fn reset(&self, name: &str) -> Result<Code, AccountError> {
        let (code, now) = (Code::mint().map_err(PeopleError::from)?, self.store.now());
        let enrolment = Enrolment { code: code.digest(), until: after(now, ENROL_WITHIN) };
        let anew = |account: &mut Account| {
            account.enrolment = Some(enrolment);
            account.credentials = None;
        };
        self.change(name, anew).await?;
        Ok(code)
    }

    async fn change(&self, name: &str, how: impl FnOnce(&mut Account)) -> Result<(), AccountError> {
        let mut account = self.store.account(name).await?.ok_or(AccountError::Absent)?;
        how(&mut account);
        if !self.store.set_account(account).await? {
            return Err(AccountError::Moved);
        }
        // after it: what was begun with the account as it was before ends with all others
        self.store.end_sessions(&person(name), None).await?;
        Ok(())
    }

    fn fit(&self, positions: &[Position]) -> Result<(), AccountError> {
        if !(1..=POSITIONS_MAX).contains(&positions.len()) {
            return Err(AccountError::Positions);
        }
        let registry = self.registry.load();
        match positions.iter().find(|position| !is_known(&registry, position)) {
            Some(unknown) => Err(AccountError::Unknown(unknown.clone())),
            None => Ok(()),
        }
    }
}

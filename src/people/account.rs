//! Local accounts: how they are made, changed and closed. There is no password before its person has made one.

use std::time::Duration;

use uuid::Uuid;
use zeroize::Zeroizing;

use super::{People, PeopleError, after, secret::Code, totp};
use crate::{
    config::people::is_known,
    domain::{Position, ProviderId},
    store::{ACCOUNTS_MAX, Account, AccountAt, AccountDeed, AccountNote, Credentials, Enrolment, StoreError},
};

/// A code to enrol with is of use for so long.
pub const ENROL_WITHIN: Duration = Duration::from_secs(72 * 3600);
/// No name is longer: 64 characters of it are somebody's, the others say of which provider she is.
pub const NAME_CHARS_MAX: usize = 113;
/// So many of them are somebody's own.
pub const STEM_CHARS_MAX: usize = 64;
/// An account that somebody else changes at the same time is looked at again so often.
const TRIES: u32 = 5;
/// No name of a person is longer.
pub const FULL_NAME_CHARS_MAX: usize = 100;
/// So many accounts that can log in are made of one organisation by those who look after its people, and only while no more have ended: there are
/// only so many for all.
pub const OF_ORGANISATION_MAX: usize = 1_000;
/// So many positions of one person.
pub const POSITIONS_MAX: usize = 20;

/// What was made for somebody, to be shown once.
pub struct Ready {
    /// The password.
    pub password: Code,
    /// The key for a device.
    pub key: Zeroizing<Vec<u8>>,
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
    /// A position is named twice.
    #[error("{0} is named twice: name each role once")]
    Twice(Position),
    /// It is no name that people could read.
    #[error(
        "a person's name is 1 to {FULL_NAME_CHARS_MAX} characters that can be seen, and none that hides or turns others"
    )]
    FullName,
    /// The organisation has as many accounts that can log in as it may.
    #[error(
        "this organisation has {OF_ORGANISATION_MAX} accounts, and no more may be made for it: end those that nobody uses"
    )]
    Many,
    /// As many of its accounts have ended.
    #[error(
        "{OF_ORGANISATION_MAX} accounts of this organisation have ended, and those who look after its people make no more until some are forgotten"
    )]
    ManyEnded,
    /// A position is held in an organisation that is not there.
    #[error("{0}: there is no such system or provider in the configuration")]
    Unknown(Position),
    /// There is one of that name.
    #[error("there is an account of that name already")]
    Taken,
    /// There was one of that name, which is forgotten.
    #[error(
        "there was an account of that name: what was done under it is told by that name, so it is given to nobody else"
    )]
    Used,
    /// There are as many accounts as may be.
    #[error(
        "there are {ACCOUNTS_MAX} accounts with those that have ended, which is as many as are kept: forget some of those with onward people forget"
    )]
    Full,
    /// It has not ended.
    #[error("this account has not ended: end it first, with onward people disable")]
    Open,
    /// There is none of that name.
    #[error("there is no account of that name")]
    Absent,
    /// It is the account of who wants to change it: whoever could, could leave nobody who looks after the others.
    #[error("your own account is changed by another who looks after people, or by your IT team")]
    Own,
    /// More hangs on it than is hers to change.
    #[error("there are roles beyond your organisation: only your IT team can do that")]
    Beyond,
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

/// In front of the name of an account where it stands for its person.
const PERSON: &str = "local:";

/// Who somebody with a local account is, in sessions and everywhere else.
pub fn person(name: &str) -> String {
    format!("{PERSON}{name}")
}

/// The name to log in with of who somebody is; none where she has no local account.
pub fn name_of(person: &str) -> Option<&str> {
    person.strip_prefix(PERSON)
}

/// Whether one can log in with it.
pub fn is_name(text: &str) -> bool {
    let sign = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._@-".contains(&b);
    (1..=NAME_CHARS_MAX).contains(&text.len()) && text.bytes().all(sign)
}

/// The name to log in with of an account that whoever looks after a provider's people makes: what she wants, and behind it the provider, whether
/// she wrote that or not. So of names that are taken she learns of those alone that were made at her organisation, even where their persons have gone
/// on to another. None where it is no name.
pub fn name_at(wanted: &str, provider: &ProviderId) -> Option<String> {
    let end = format!("@{provider}");
    let stem = wanted.strip_suffix(&end).unwrap_or(wanted);
    (stem.len() <= STEM_CHARS_MAX && is_name(stem) && !stem.contains('@')).then(|| format!("{stem}{end}"))
}

/// Whether two names of people are the same to whoever reads them in a list.
pub(super) fn is_same_person(one: &str, other: &str) -> bool {
    let plain = |name: &str| name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    plain(one) == plain(other)
}

/// Whether an organisation of these positions has as many accounts as it may, of those that have ended or of those that have not; the account of
/// this name is not counted.
pub(super) fn is_full(all: &[Account], besides: &str, positions: &[Position], ended: bool) -> bool {
    positions.iter().any(|position| {
        let organisation = position.organisation();
        let others = all.iter().filter(|account| account.name != besides && account.disabled == ended);
        let there = others.filter(|one| one.positions.iter().any(|held| held.organisation() == organisation));
        there.count() >= OF_ORGANISATION_MAX
    })
}

/// Whether a text can stand as a person's name: nothing in it hides, breaks a line, or turns what stands beside it.
pub fn is_full_name(text: &str) -> bool {
    let unseen = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(c, '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
            || matches!(c, '\u{e0000}'..='\u{e0fff}' | '\u{34f}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}')
            || matches!(c, '\u{180b}'..='\u{180f}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}' | '\u{1d173}'..='\u{1d17a}')
    };
    (1..=FULL_NAME_CHARS_MAX).contains(&text.chars().count()) && !text.trim().is_empty() && !text.chars().any(unseen)
}

impl People {
    /// A new account, and the code by which its person enrols. `by`: who makes it, as in [`AccountNote::by`].
    ///
    /// # Errors
    /// [`AccountError`]
    pub async fn add(
        &self,
        by: &str,
        name: &str,
        full_name: &str,
        positions: Vec<Position>,
    ) -> Result<Code, AccountError> {
        if !is_name(name) {
            return Err(AccountError::Name);
        }
        if !is_full_name(full_name) {
            return Err(AccountError::FullName);
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
        let note = self.note(by, AccountDeed::Added, vec![], &account);
        if !self.store.add_account(account, Some(note)).await? {
            return Err(self.why_not_added(name).await?);
        }
        tracing::info!(by, person = person(name), what = AccountDeed::Added.code(), "an account was changed");
        Ok(code)
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
        if self.store.add_account(account, None).await? {
            Ok(Ready { password, key })
        } else {
            Err(self.why_not_added(name).await?)
        }
    }

    /// Why the store has not taken an account of this name.
    async fn why_not_added(&self, name: &str) -> Result<AccountError, StoreError> {
        if self.store.account(name).await?.is_some() {
            return Ok(AccountError::Taken);
        }
        let was_there = !self.store.account_names(vec![name.to_owned()]).await?.is_empty();
        Ok(if was_there { AccountError::Used } else { AccountError::Full })
    }

    /// All accounts but those that are forgotten, in the order of their names.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        self.store.accounts().await
    }

    /// What somebody is from now on. Her sessions end. `by` as for [`People::add`].
    ///
    /// # Errors
    /// [`AccountError`]
    pub async fn set_positions(&self, by: &str, name: &str, positions: Vec<Position>) -> Result<(), AccountError> {
        self.fit(&positions)?;
        let set = |account: &mut Account| {
            account.positions.clone_from(&positions);
            Ok(())
        };
        self.change(by, name, AccountDeed::Positions, set).await
    }

    /// Keeps somebody out, or lets her in again. Her sessions end at once.
    ///
    /// # Errors
    /// [`AccountError`]
    pub async fn disable(&self, by: &str, name: &str, disabled: bool) -> Result<(), AccountError> {
        self.disable_if(by, name, disabled, |_| Ok(())).await
    }

    /// The same where `fits` says so of the account as it is.
    pub(super) async fn disable_if(
        &self,
        by: &str,
        name: &str,
        disabled: bool,
        fits: impl Fn(&Account) -> Result<(), AccountError>,
    ) -> Result<(), AccountError> {
        let deed = if disabled { AccountDeed::Disabled } else { AccountDeed::Enabled };
        let set = |account: &mut Account| {
            fits(account)?;
            account.disabled = disabled;
            Ok(())
        };
        self.change(by, name, deed, set).await
    }

    /// Takes password and second factor away; the code by which its person makes new ones. Her sessions end.
    ///
    /// # Errors
    /// [`AccountError`]
    pub async fn reset(&self, by: &str, name: &str) -> Result<Code, AccountError> {
        self.reset_if(by, name, |_| Ok(())).await
    }

    /// The same where `fits` says so of the account as it is.
    pub(super) async fn reset_if(
        &self,
        by: &str,
        name: &str,
        fits: impl Fn(&Account) -> Result<(), AccountError>,
    ) -> Result<Code, AccountError> {
        let (code, now) = (Code::mint().map_err(PeopleError::from)?, self.store.now());
        let enrolment = Enrolment { code: code.digest(), until: after(now, ENROL_WITHIN) };
        let anew = |account: &mut Account| {
            fits(account)?;
            account.enrolment = Some(enrolment.clone());
            account.credentials = None;
            Ok(())
        };
        self.change(by, name, AccountDeed::Reset, anew).await?;
        Ok(code)
    }

    /// Changes an account over the version that `how` has looked at, and ends its sessions. Whoever logs in meanwhile changes it as well:
    /// then it is looked at again.
    pub(super) async fn change(
        &self,
        by: &str,
        name: &str,
        deed: AccountDeed,
        how: impl Fn(&mut Account) -> Result<(), AccountError>,
    ) -> Result<(), AccountError> {
        for _ in 0..TRIES {
            let actor = self.actor(by).await?;
            let mut account = self.store.account(name).await?.ok_or(AccountError::Absent)?;
            let before = account.positions.clone();
            how(&mut account)?;
            let note = self.note(by, deed, before, &account);
            if !self.store.set_account(account, Some(note), actor).await? {
                continue;
            }
            // after it: what was begun with the account as it was before ends with all others
            self.store.end_sessions(&person(name), None).await?;
            tracing::info!(by, person = person(name), what = deed.code(), "an account was changed");
            return Ok(());
        }
        Err(AccountError::Moved)
    }

    /// The account of whoever does something with another, as it is now: whoever was kept out a moment ago does nothing any more, and what she
    /// does counts only while her account is as it was looked at. None where she has no local account.
    async fn actor(&self, by: &str) -> Result<Option<AccountAt>, AccountError> {
        let Some(name) = name_of(by) else { return Ok(None) };
        let account = self.store.account(name).await?.filter(|account| !account.disabled);
        let account = account.ok_or(AccountError::Absent)?;
        Ok(Some(AccountAt { name: account.name, version: account.version }))
    }

    /// That this was done with an account.
    pub(super) fn note(&self, by: &str, deed: AccountDeed, before: Vec<Position>, account: &Account) -> AccountNote {
        let (account, positions) = (account.name.clone(), account.positions.clone());
        AccountNote { id: Uuid::now_v7(), at: self.store.now(), by: by.to_owned(), account, deed, before, positions }
    }

    pub(super) fn fit(&self, positions: &[Position]) -> Result<(), AccountError> {
        if !(1..=POSITIONS_MAX).contains(&positions.len()) {
            return Err(AccountError::Positions);
        }
        let twice =
            positions.iter().enumerate().find(|(n, position)| positions.iter().take(*n).any(|one| one == *position));
        if let Some((_, position)) = twice {
            return Err(AccountError::Twice(position.clone()));
        }
        let registry = self.registry.load();
        match positions.iter().find(|position| !is_known(&registry, position)) {
            Some(unknown) => Err(AccountError::Unknown(unknown.clone())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_with_the_provider() {
        let mind: ProviderId = "mind".parse().unwrap();
        for (wanted, expected) in [
            ("bert", Some("bert@mind")),
            ("bert.bell-2", Some("bert.bell-2@mind")),
            ("bert@mind", Some("bert@mind")),
            ("bert@choir", None),
            ("bert@mind@mind", None),
            ("@mind", None),
            ("", None),
            ("Bert", None),
            ("b b", None),
        ] {
            assert_eq!(name_at(wanted, &mind).as_deref(), expected, "{wanted}");
        }
        let longest: ProviderId = "m".repeat(48).parse().unwrap();
        let name = name_at(&"b".repeat(STEM_CHARS_MAX), &longest).unwrap();
        assert!(is_name(&name) && name.len() == NAME_CHARS_MAX);
        assert_eq!(name_at(&"b".repeat(STEM_CHARS_MAX + 1), &mind), None);
    }

    #[test]
    fn names_are_the_same_as_they_are_read() {
        assert!(is_same_person("Zoë  O’Neil", " zoë o’neil"));
        assert!(!is_same_person("Zoë O’Neil", "Zoe O’Neil") && !is_same_person("Ann", "Anna"));
    }
}

//! People: their sessions and log-ins, local accounts, what was tried in vain, and glasses that were broken. Whatever somebody could
//! show to be taken for another is kept as its SHA-256.

use std::{fmt, str::FromStr};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::StoreError;
use crate::domain::{
    Position, ReferralId,
    status::{UnknownCode, codes},
};

/// So many sessions of one person; the one that was used longest ago ends with the next.
pub const SESSIONS_MAX: usize = 10;
/// So many log-ins that were begun and not ended; the oldest is forgotten with the next.
pub const LOGINS_MAX: usize = 10_000;
/// So many local accounts. One that is forgotten does not count.
pub const ACCOUNTS_MAX: usize = 10_000;

/// The SHA-256 of something that is shown, or of a name.
pub type Digest = [u8; 32];

/// A person who has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// By which it is named to its person. Of no use to show it.
    pub id: Uuid,
    /// Of what the browser shows.
    pub secret: Digest,
    /// Who it is: `local:NAME`, or `oidc:SUBJECT`.
    pub person: String,
    /// Her name for people.
    pub name: String,
    /// What she was when she logged in.
    pub positions: Vec<Position>,
    /// Since when.
    pub created: Timestamp,
    /// When it was used last, to the minute.
    pub last_used: Timestamp,
    /// It ends then, however much it is used.
    pub until: Timestamp,
    /// Of what the issuer calls the log-in (`sid`), where it calls it something.
    pub issued: Option<Digest>,
}

/// A local account.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// By which she logs in.
    pub name: String,
    /// Her name for people.
    pub full_name: String,
    /// What she is.
    pub positions: Vec<Position>,
    /// She may not log in.
    pub disabled: bool,
    /// What she shows to make password and second factor, until she has.
    pub enrolment: Option<Enrolment>,
    /// What she shows to log in; none before she has made them.
    pub credentials: Option<Credentials>,
    /// Since when it is there.
    pub created: Timestamp,
    /// From 1, one more with each change.
    pub version: u64,
}

/// What is shown once to make password and second factor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// Of the code.
    pub code: Digest,
    /// It is of no use from then on.
    pub until: Timestamp,
}

/// Password and second factor.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The password's argon2id, as a PHC string.
    pub password: String,
    /// The key that her device makes codes with (RFC 6238).
    pub totp: Zeroizing<Vec<u8>>,
    /// The time step of the code that was taken last: none up to it is taken again.
    pub step: u64,
}

/// How often something was tried in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failures {
    /// So often.
    pub count: u32,
    /// When last.
    pub last: Timestamp,
}

/// A glass that was broken: who saw what is in a referral without being one of those whom it concerns, and why. Never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glass {
    /// Its id; they lie in the order they came.
    pub id: Uuid,
    /// Who, as in [`Session::person`].
    pub person: String,
    /// Her name for people.
    pub name: String,
    /// What she was.
    pub positions: Vec<Position>,
    /// Which referral.
    pub referral: ReferralId,
    /// Why, in her words.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// Until when it is open.
    pub until: Timestamp,
}

codes! {
    /// What was done with an account.
    AccountDeed {
        /// It was made.
        Added = "added",
        /// Its person was given other positions.
        Positions = "given other roles",
        /// Password and second factor were taken away.
        Reset = "reset",
        /// Its person was kept out.
        Disabled = "disabled",
        /// Its person was let in again.
        Enabled = "enabled",
        /// It had ended, and nothing of it is left but by whose name is told what was done with it.
        Forgotten = "forgotten",
    }
}

/// That somebody did something with an account. Never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountNote {
    /// Its id; they lie in the order they came.
    pub id: Uuid,
    /// When.
    pub at: Timestamp,
    /// Who: as in [`Session::person`], `command:USER` of the operating system, or `onward` where its time was over.
    pub by: String,
    /// With whose account, by the name to log in with.
    pub account: String,
    /// What.
    pub deed: AccountDeed,
    /// What its person was before. Empty where it was made, and of changes that were noted before this was kept.
    pub before: Vec<Position>,
    /// What its person is from then on.
    pub positions: Vec<Position>,
}

/// A local account, as it was when whoever acts with it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountAt {
    /// Its name.
    pub name: String,
    /// Its version then.
    pub version: u64,
}

/// By what somebody with a local account is told, also after the account was forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountName {
    /// By which she logs in, or did.
    pub name: String,
    /// Her name for people.
    pub full_name: String,
}

/// The part of the port that keeps people. Its behaviours are in the same suite (`tests/it/store/people.rs`).
#[async_trait]
pub trait PeopleStore: Send + Sync + 'static {
    /// Keeps a session. Of [`SESSIONS_MAX`] of its person the one used longest ago ends.
    async fn add_session(&self, session: Session) -> Result<(), StoreError>;

    /// The session of this secret, whether or not its time is over.
    async fn session(&self, secret: Digest) -> Result<Option<Session>, StoreError>;

    /// A session was used now; false where it has ended.
    async fn use_session(&self, secret: Digest) -> Result<bool, StoreError>;

    /// The sessions of a person, the newest first.
    async fn sessions_of(&self, person: &str) -> Result<Vec<Session>, StoreError>;

    /// Ends a session of a person, or all of them; how many there were.
    async fn end_sessions(&self, person: &str, id: Option<Uuid>) -> Result<u64, StoreError>;

    /// Ends the sessions of a person, those of a log-in at the issuer, or those that are both; how many there were. Where neither is said,
    /// none.
    async fn end_issued(&self, person: Option<&str>, issued: Option<Digest>) -> Result<u64, StoreError>;

    /// Keeps what belongs to a log-in that was begun, under what its browser will show. Of [`LOGINS_MAX`] the oldest is forgotten.
    async fn begin_login(&self, key: Digest, kept: Zeroizing<String>, until: Timestamp) -> Result<(), StoreError>;

    /// What was kept for a log-in, once; none where it took too long.
    async fn take_login(&self, key: Digest) -> Result<Option<Zeroizing<String>>, StoreError>;

    /// A new account; false where there is one of that name, or was one that is forgotten, or where there are as many as may be. What is noted of it is kept in the same commit, and
    /// only where it was written.
    async fn add_account(&self, account: Account, note: Option<AccountNote>) -> Result<bool, StoreError>;

    /// An account, unless it is forgotten.
    async fn account(&self, name: &str) -> Result<Option<Account>, StoreError>;

    /// All accounts but those that are forgotten, in the order of their names.
    async fn accounts(&self) -> Result<Vec<Account>, StoreError>;

    /// Accounts that are disabled without a break since before this, the longest first. Those that a program disabled which did not note
    /// when count from the next [`PeopleStore::sweep_people`] on.
    async fn ended_accounts(&self, before: Timestamp, count: usize) -> Result<Vec<Account>, StoreError>;

    /// Forgets a disabled account of this version, with whatever one could log in with; false where it is another by now. It is found by
    /// [`PeopleStore::account_names`] alone from then on, and its name is given to no other: what was done with it is told by that. What is
    /// noted of it is kept in the same commit.
    async fn forget_account(&self, at: AccountAt, note: AccountNote) -> Result<bool, StoreError>;

    /// What the persons of these accounts are called, of those that are there or are forgotten; in no order.
    async fn account_names(&self, accounts: Vec<String>) -> Result<Vec<AccountName>, StoreError>;

    /// Whose accounts are forgotten, who was forgotten last first.
    async fn forgotten_accounts(&self, count: usize) -> Result<Vec<AccountName>, StoreError>;

    /// Writes an account over the version that it has; false where that has passed, or where `by` is given and has another version by
    /// now: of two who end each other's at once one stays. What is written has the next one. What is noted of it is kept in the same
    /// commit, and only where it was written.
    async fn set_account(
        &self,
        account: Account,
        note: Option<AccountNote>,
        by: Option<AccountAt>,
    ) -> Result<bool, StoreError>;

    /// What was done with accounts, in its order, after the note of this id.
    async fn account_notes(&self, after: Option<Uuid>, count: usize) -> Result<Vec<AccountNote>, StoreError>;

    /// What was done with accounts before the note of this id, the last one first.
    async fn latest_account_notes(&self, before: Option<Uuid>, count: usize) -> Result<Vec<AccountNote>, StoreError>;

    /// What was tried in vain under this key.
    async fn failures(&self, key: Digest) -> Result<Option<Failures>, StoreError>;

    /// Counts one more. Where `over` is given, only if there were so many: of several who try at once one is counted, and the
    /// others are told so by false.
    async fn count_failure(&self, key: Digest, over: Option<u32>) -> Result<bool, StoreError>;

    /// Forgets what was tried in vain.
    async fn forget_failures(&self, key: Digest) -> Result<(), StoreError>;

    /// Keeps that a glass was broken.
    async fn add_glass(&self, glass: Glass) -> Result<(), StoreError>;

    /// The glass of a referral that this person has broken and that is open now.
    async fn open_glass(&self, person: &str, referral: ReferralId) -> Result<Option<Glass>, StoreError>;

    /// Glasses in the order they were broken, after the one of this id.
    async fn glasses(&self, after: Option<Uuid>, count: usize) -> Result<Vec<Glass>, StoreError>;

    /// Glasses that were broken before the one of this id, the last one first.
    async fn latest_glasses(&self, before: Option<Uuid>, count: usize) -> Result<Vec<Glass>, StoreError>;

    /// Forgets sessions whose time is over or that were used last before `idle`, log-ins that took too long, and what was tried in
    /// vain last before `forgiven`; how many rows.
    async fn sweep_people(&self, idle: Timestamp, forgiven: Timestamp) -> Result<u64, StoreError>;
}

/// Positions as one text.
pub(super) fn written(positions: &[Position]) -> String {
    positions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// The same, read.
///
/// # Errors
/// [`StoreError::Corrupt`]
pub(super) fn read(text: &str) -> Result<Vec<Position>, StoreError> {
    let one = |word: &str| word.parse().map_err(|_| StoreError::Corrupt("a position of a person".to_owned()));
    text.split_whitespace().map(one).collect()
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("name", &self.name).field("version", &self.version).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

//! The part of the port that keeps people, reached the same way.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use onward::{
    domain::ReferralId,
    store::{Account, AccountAt, AccountName, AccountNote, Digest, Failures, Glass, PeopleStore, Session, StoreError},
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::Reached;

#[async_trait]
impl PeopleStore for Reached {
    async fn add_session(&self, session: Session) -> Result<(), StoreError> {
        reach!(self, add_session(session))
    }

    async fn session(&self, secret: Digest) -> Result<Option<Session>, StoreError> {
        reach!(self, session(secret))
    }

    async fn use_session(&self, secret: Digest) -> Result<bool, StoreError> {
        reach!(self, use_session(secret))
    }

    async fn sessions_of(&self, person: &str) -> Result<Vec<Session>, StoreError> {
        let person = person.to_owned();
        reach!(self, sessions_of(&person))
    }

    async fn end_sessions(&self, person: &str, id: Option<Uuid>) -> Result<u64, StoreError> {
        let person = person.to_owned();
        reach!(self, end_sessions(&person, id))
    }

    async fn end_issued(&self, person: Option<&str>, issued: Option<Digest>) -> Result<u64, StoreError> {
        let person = person.map(str::to_owned);
        reach!(self, end_issued(person.as_deref(), issued))
    }

    async fn begin_login(&self, key: Digest, kept: Zeroizing<String>, until: Timestamp) -> Result<(), StoreError> {
        reach!(self, begin_login(key, kept, until))
    }

    async fn take_login(&self, key: Digest) -> Result<Option<Zeroizing<String>>, StoreError> {
        reach!(self, take_login(key))
    }

    async fn add_account(&self, account: Account, note: Option<AccountNote>) -> Result<bool, StoreError> {
        reach!(self, add_account(account, note))
    }

    async fn ended_accounts(&self, before: Timestamp, count: usize) -> Result<Vec<Account>, StoreError> {
        reach!(self, ended_accounts(before, count))
    }

    async fn forget_account(&self, at: AccountAt, note: AccountNote) -> Result<bool, StoreError> {
        reach!(self, forget_account(at, note))
    }

    async fn account_names(&self, accounts: Vec<String>) -> Result<Vec<AccountName>, StoreError> {
        reach!(self, account_names(accounts))
    }

    async fn forgotten_accounts(&self, count: usize) -> Result<Vec<AccountName>, StoreError> {
        reach!(self, forgotten_accounts(count))
    }

    async fn account(&self, name: &str) -> Result<Option<Account>, StoreError> {
        let name = name.to_owned();
        reach!(self, account(&name))
    }

    async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        reach!(self, accounts())
    }

    async fn set_account(
        &self,
        account: Account,
        note: Option<AccountNote>,
        by: Option<AccountAt>,
    ) -> Result<bool, StoreError> {
        reach!(self, set_account(account, note, by))
    }

    async fn latest_account_notes(&self, before: Option<Uuid>, count: usize) -> Result<Vec<AccountNote>, StoreError> {
        reach!(self, latest_account_notes(before, count))
    }

    async fn account_notes(&self, after: Option<Uuid>, count: usize) -> Result<Vec<AccountNote>, StoreError> {
        reach!(self, account_notes(after, count))
    }

    async fn failures(&self, key: Digest) -> Result<Option<Failures>, StoreError> {
        reach!(self, failures(key))
    }

    async fn count_failure(&self, key: Digest, over: Option<u32>) -> Result<bool, StoreError> {
        reach!(self, count_failure(key, over))
    }

    async fn forget_failures(&self, key: Digest) -> Result<(), StoreError> {
        reach!(self, forget_failures(key))
    }

    async fn add_glass(&self, glass: Glass) -> Result<(), StoreError> {
        reach!(self, add_glass(glass))
    }

    async fn open_glass(&self, person: &str, referral: ReferralId) -> Result<Option<Glass>, StoreError> {
        let person = person.to_owned();
        reach!(self, open_glass(&person, referral))
    }

    async fn glasses(&self, after: Option<Uuid>, count: usize) -> Result<Vec<Glass>, StoreError> {
        reach!(self, glasses(after, count))
    }

    async fn latest_glasses(&self, before: Option<Uuid>, count: usize) -> Result<Vec<Glass>, StoreError> {
        reach!(self, latest_glasses(before, count))
    }

    async fn sweep_people(&self, idle: Timestamp, forgiven: Timestamp) -> Result<u64, StoreError> {
        reach!(self, sweep_people(idle, forgiven))
    }
}

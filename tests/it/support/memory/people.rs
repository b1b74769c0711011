//! People: sessions and log-ins, local accounts, what was tried in vain, and glasses that were broken.

use std::{cmp::Reverse, collections::BTreeMap};

use async_trait::async_trait;
use jiff::Timestamp;
use onward::{
    domain::ReferralId,
    store::{
        ACCOUNTS_MAX, Account, AccountAt, AccountName, AccountNote, Digest, Failures, Glass, LOGINS_MAX, PeopleStore,
        SESSIONS_MAX, Session, Store, StoreError,
    },
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::Memory;

/// See the module's documentation.
#[derive(Default)]
pub struct People {
    sessions: Vec<Session>,
    logins: BTreeMap<Digest, (Timestamp, Zeroizing<String>)>,
    accounts: BTreeMap<String, Account>,
    ended: BTreeMap<String, Timestamp>,
    forgotten: Vec<AccountName>,
    failures: BTreeMap<Digest, Failures>,
    glasses: BTreeMap<Uuid, Glass>,
    notes: BTreeMap<Uuid, AccountNote>,
}

#[async_trait]
impl PeopleStore for Memory {
    async fn add_session(&self, session: Session) -> Result<(), StoreError> {
        let mut all = self.open()?;
        let sessions = &mut all.people.sessions;
        let mut own: Vec<_> = sessions.iter().filter(|one| one.person == session.person).cloned().collect();
        own.sort_by_key(|one| Reverse((one.last_used, one.created)));
        for gone in own.into_iter().skip(SESSIONS_MAX - 1) {
            sessions.retain(|one| one.secret != gone.secret);
        }
        sessions.push(session);
        Ok(())
    }

    async fn session(&self, secret: Digest) -> Result<Option<Session>, StoreError> {
        Ok(self.all()?.people.sessions.iter().find(|one| one.secret == secret).cloned())
    }

    async fn use_session(&self, secret: Digest) -> Result<bool, StoreError> {
        let now = self.now();
        let mut all = self.open()?;
        let found = all.people.sessions.iter_mut().find(|one| one.secret == secret);
        Ok(found.map(|one| one.last_used = now).is_some())
    }

    async fn sessions_of(&self, person: &str) -> Result<Vec<Session>, StoreError> {
        let mut own: Vec<_> = self.all()?.people.sessions.iter().filter(|one| one.person == person).cloned().collect();
        own.sort_by_key(|one| Reverse((one.created, one.id)));
        Ok(own)
    }

    async fn end_sessions(&self, person: &str, id: Option<Uuid>) -> Result<u64, StoreError> {
        let mut all = self.open()?;
        let before = all.people.sessions.len();
        all.people.sessions.retain(|one| one.person != person || id.is_some_and(|id| one.id != id));
        Ok((before - all.people.sessions.len()) as u64)
    }

    async fn end_issued(&self, person: Option<&str>, issued: Option<Digest>) -> Result<u64, StoreError> {
        let mut all = self.open()?;
        let before = all.people.sessions.len();
        let is_meant = |one: &Session| {
            (person.is_some() || issued.is_some())
                && person.is_none_or(|person| one.person == person)
                && issued.is_none_or(|issued| one.issued == Some(issued))
        };
        all.people.sessions.retain(|one| !is_meant(one));
        Ok((before - all.people.sessions.len()) as u64)
    }

    async fn begin_login(&self, key: Digest, kept: Zeroizing<String>, until: Timestamp) -> Result<(), StoreError> {
        let mut all = self.open()?;
        let logins = &mut all.people.logins;
        while logins.len() >= LOGINS_MAX {
            let oldest = logins.iter().min_by_key(|(_, (until, _))| *until).map(|(key, _)| *key).unwrap();
            logins.remove(&oldest);
        }
        logins.insert(key, (until, kept));
        Ok(())
    }

    async fn take_login(&self, key: Digest) -> Result<Option<Zeroizing<String>>, StoreError> {
        let now = self.now();
        let taken = self.open()?.people.logins.remove(&key);
        Ok(taken.filter(|(until, _)| *until > now).map(|(_, kept)| kept))
    }

    async fn add_account(&self, account: Account, note: Option<AccountNote>) -> Result<bool, StoreError> {
        let mut all = self.open()?;
        let people = &mut all.people;
        let is_known =
            people.accounts.contains_key(&account.name) || people.forgotten.iter().any(|one| one.name == account.name);
        let fits = people.accounts.len() < ACCOUNTS_MAX && !is_known;
        if fits {
            people.accounts.insert(account.name.clone(), account);
            people.notes.extend(note.map(|note| (note.id, note)));
        }
        Ok(fits)
    }

    async fn account(&self, name: &str) -> Result<Option<Account>, StoreError> {
        Ok(self.all()?.people.accounts.get(name).cloned())
    }

    async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        Ok(self.all()?.people.accounts.values().cloned().collect())
    }

    async fn ended_accounts(&self, before: Timestamp, count: usize) -> Result<Vec<Account>, StoreError> {
        let all = self.all()?;
        let mut ended: Vec<_> = all.people.ended.iter().filter(|(_, at)| **at < before).collect();
        ended.sort_by_key(|(name, at)| (**at, *name));
        Ok(ended.into_iter().filter_map(|(name, _)| all.people.accounts.get(name).cloned()).take(count).collect())
    }

    async fn forget_account(&self, at: AccountAt, note: AccountNote) -> Result<bool, StoreError> {
        let mut all = self.open()?;
        let people = &mut all.people;
        let found = people.accounts.get(&at.name).filter(|held| held.version == at.version && held.disabled).cloned();
        let Some(Account { name, full_name, .. }) = found else { return Ok(false) };
        people.accounts.remove(&name);
        people.ended.remove(&name);
        people.forgotten.insert(0, AccountName { name, full_name });
        people.notes.insert(note.id, note);
        Ok(true)
    }

    async fn account_names(&self, accounts: Vec<String>) -> Result<Vec<AccountName>, StoreError> {
        let all = self.all()?;
        let here = all.people.accounts.values();
        let here = here.map(|one| AccountName { name: one.name.clone(), full_name: one.full_name.clone() });
        let known = here.chain(all.people.forgotten.iter().cloned());
        Ok(known.filter(|one| accounts.contains(&one.name)).collect())
    }

    async fn forgotten_accounts(&self, count: usize) -> Result<Vec<AccountName>, StoreError> {
        Ok(self.all()?.people.forgotten.iter().take(count).cloned().collect())
    }

    async fn account_notes(&self, after: Option<Uuid>, count: usize) -> Result<Vec<AccountNote>, StoreError> {
        let all = self.all()?;
        let later = all.people.notes.values().filter(|note| note.id > after.unwrap_or_default());
        Ok(later.take(count).cloned().collect())
    }

    async fn latest_account_notes(&self, before: Option<Uuid>, count: usize) -> Result<Vec<AccountNote>, StoreError> {
        let all = self.all()?;
        let earlier = all.people.notes.values().rev().filter(|note| before.is_none_or(|before| note.id < before));
        Ok(earlier.take(count).cloned().collect())
    }

    async fn set_account(
        &self,
        account: Account,
        note: Option<AccountNote>,
        by: Option<AccountAt>,
    ) -> Result<bool, StoreError> {
        let now = self.now();
        let mut all = self.open()?;
        let stands = |by: &AccountAt| all.people.accounts.get(&by.name).is_some_and(|held| held.version == by.version);
        if !by.as_ref().is_none_or(stands) {
            return Ok(false);
        }
        let Some(held) = all.people.accounts.get_mut(&account.name).filter(|held| held.version == account.version)
        else {
            return Ok(false);
        };
        let (name, disabled) = (account.name.clone(), account.disabled);
        *held = Account { version: account.version + 1, created: held.created, ..account };
        if disabled {
            all.people.ended.entry(name).or_insert(now);
        } else {
            all.people.ended.remove(&name);
        }
        all.people.notes.extend(note.map(|note| (note.id, note)));
        Ok(true)
    }

    async fn failures(&self, key: Digest) -> Result<Option<Failures>, StoreError> {
        Ok(self.all()?.people.failures.get(&key).copied())
    }

    async fn count_failure(&self, key: Digest, over: Option<u32>) -> Result<bool, StoreError> {
        let last = self.now();
        let mut all = self.open()?;
        let before = all.people.failures.get(&key).map_or(0, |found| found.count);
        if over.is_some_and(|over| over != before) {
            return Ok(false);
        }
        all.people.failures.insert(key, Failures { count: before + 1, last });
        Ok(true)
    }

    async fn forget_failures(&self, key: Digest) -> Result<(), StoreError> {
        self.open()?.people.failures.remove(&key);
        Ok(())
    }

    async fn add_glass(&self, glass: Glass) -> Result<(), StoreError> {
        self.open()?.people.glasses.insert(glass.id, glass);
        Ok(())
    }

    async fn open_glass(&self, person: &str, referral: ReferralId) -> Result<Option<Glass>, StoreError> {
        let now = self.now();
        let all = self.all()?;
        let open = all
            .people
            .glasses
            .values()
            .filter(|glass| glass.person == person && glass.referral == referral && glass.until > now);
        Ok(open.max_by_key(|glass| glass.until).cloned())
    }

    async fn glasses(&self, after: Option<Uuid>, count: usize) -> Result<Vec<Glass>, StoreError> {
        let all = self.all()?;
        let later = all.people.glasses.values().filter(|glass| glass.id > after.unwrap_or_default());
        Ok(later.take(count).cloned().collect())
    }

    async fn latest_glasses(&self, before: Option<Uuid>, count: usize) -> Result<Vec<Glass>, StoreError> {
        let all = self.all()?;
        let earlier = all.people.glasses.values().rev().filter(|glass| before.is_none_or(|before| glass.id < before));
        Ok(earlier.take(count).cloned().collect())
    }

    async fn sweep_people(&self, idle: Timestamp, forgiven: Timestamp) -> Result<u64, StoreError> {
        let now = self.now();
        let mut all = self.open()?;
        let people = &mut all.people;
        let count = |people: &People| people.sessions.len() + people.logins.len() + people.failures.len();
        let before = count(people);
        people.sessions.retain(|one| one.until > now && one.last_used >= idle);
        people.logins.retain(|_, (until, _)| *until > now);
        people.failures.retain(|_, found| found.last >= forgiven);
        Ok((before - count(people)) as u64)
    }
}

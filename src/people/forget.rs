//! Accounts that ended long ago are forgotten, so that those who come find room. What was done under them stays told: by the name that its
//! person had, and by the name to log in with, which is given to nobody else.

use super::{
    People,
    account::{AccountError, person},
    before,
};
use crate::store::{Account, AccountAt, AccountDeed, StoreError};

/// So many are forgotten at a time; the others with the next sweep.
const AT_ONCE: usize = 100;
/// Who does it where nobody asked for it.
const BY_ITSELF: &str = "onward";

impl People {
    /// Forgets an account that has ended. `by` as for [`People::add`].
    ///
    /// # Errors
    /// [`AccountError`]; [`AccountError::Open`] where it has not ended.
    pub async fn forget_account(&self, by: &str, name: &str) -> Result<(), AccountError> {
        let account = self.store.account(name).await?.ok_or(AccountError::Absent)?;
        if !account.disabled {
            return Err(AccountError::Open);
        }
        if self.forgotten(by, account).await? { Ok(()) } else { Err(AccountError::Moved) }
    }

    /// Forgets accounts that ended longer ago than the configuration keeps them; how many.
    ///
    /// # Errors
    /// [`StoreError`]
    pub(super) async fn forget_ended(&self) -> Result<usize, StoreError> {
        let long_ago = before(self.store.now(), self.config.forget_after);
        let mut forgotten = 0;
        for account in self.store.ended_accounts(long_ago, AT_ONCE).await? {
            // one that was let in again meanwhile, or that another process forgets, is another by now
            forgotten += usize::from(self.forgotten(BY_ITSELF, account).await?);
        }
        Ok(forgotten)
    }

    /// Forgets an account as it was read; false where it is another by now.
    async fn forgotten(&self, by: &str, read: Account) -> Result<bool, StoreError> {
        let note = self.note(by, AccountDeed::Forgotten, read.positions.clone(), &read);
        let at = AccountAt { name: read.name, version: read.version };
        let person = person(&at.name);
        let done = self.store.forget_account(at, note).await?;
        if done {
            tracing::info!(by, person, what = AccountDeed::Forgotten.code(), "an account was changed");
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use arc_swap::ArcSwap;

    use super::*;
    use crate::{
        config::{self, Registry},
        domain::ManualClock,
        store::{AccountName, PeopleStore as _, sqlite::SqliteStore},
    };

    const DAY_S: i64 = 24 * 3600;

    struct Scene {
        clock: Arc<ManualClock>,
        store: Arc<SqliteStore>,
        people: People,
        _folder: tempfile::TempDir,
    }

    fn scene(forget_after: Duration) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at("2026-03-02T09:00:00Z".parse().unwrap()));
        let store = Arc::new(SqliteStore::open(&folder.path().join("onward.db"), clock.clone()).unwrap());
        let registry = Arc::new(ArcSwap::from_pointee(Registry::default()));
        let config = config::People { forget_after, ..config::People::default() };
        let people = People::new(store.clone(), registry, config);
        Scene { clock, store, people, _folder: folder }
    }

    async fn add(people: &People, name: &str, full_name: &str) -> Result<(), AccountError> {
        people.add("it", name, full_name, vec!["auditor".parse().unwrap()]).await.map(drop)
    }

    #[tokio::test]
    async fn an_account_is_forgotten_when_it_ended_long_enough_ago() {
        let Scene { clock, store, people, _folder } = scene(Duration::from_secs(30 * DAY_S as u64));
        for name in ["anna", "bert", "cara"] {
            add(&people, name, name).await.unwrap();
        }
        people.disable("it", "anna", true).await.unwrap();
        people.disable("it", "bert", true).await.unwrap();
        clock.advance(20 * DAY_S);
        // who was let in again in between begins anew, and to be given other roles is no new end
        people.disable("it", "bert", false).await.unwrap();
        people.disable("it", "bert", true).await.unwrap();
        people.set_positions("it", "anna", vec!["operator".parse().unwrap()]).await.unwrap();
        clock.advance(10 * DAY_S);
        assert_eq!(people.forget_ended().await.unwrap(), 0, "not longer ago than that");
        clock.advance(1);
        assert_eq!(people.forget_ended().await.unwrap(), 1);
        let left: Vec<_> = store.accounts().await.unwrap().into_iter().map(|one| one.name).collect();
        assert_eq!(left, ["bert", "cara"]);
        let note = store.latest_account_notes(None, 1).await.unwrap().remove(0);
        assert_eq!((note.by.as_str(), note.account.as_str(), note.deed), ("onward", "anna", AccountDeed::Forgotten));
        clock.advance(20 * DAY_S);
        assert_eq!(people.forget_ended().await.unwrap(), 1, "bert as well");
        assert_eq!(people.forget_ended().await.unwrap(), 0, "cara never ended");
    }

    /// The sweep that forgets sessions forgets accounts as well.
    #[tokio::test(start_paused = true)]
    async fn it_happens_by_itself() {
        let Scene { clock, store, people, _folder } = scene(Duration::from_secs(DAY_S as u64));
        add(&people, "anna", "Anna Able").await.unwrap();
        people.disable("it", "anna", true).await.unwrap();
        clock.advance(DAY_S + 1);
        let stop = tokio_util::sync::CancellationToken::new();
        let sweeping = tokio::spawn(people.sweep(stop.clone()));
        // the store's own threads go by another clock than the runtime, which does not wait for them
        let begun = std::time::Instant::now();
        while store.account("anna").await.unwrap().is_some() {
            assert!(begun.elapsed() < Duration::from_secs(30), "it is never forgotten");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        stop.cancel();
        sweeping.await.unwrap();
    }

    #[tokio::test]
    async fn whoever_was_forgotten_is_nobody_else_afterwards() {
        let Scene { store, people, _folder, .. } = scene(Duration::from_secs(1));
        add(&people, "anna", "Anna Able").await.unwrap();
        assert!(matches!(people.forget_account("it", "anna").await, Err(AccountError::Open)), "it has not ended");
        people.disable("it", "anna", true).await.unwrap();
        people.forget_account("it", "anna").await.unwrap();
        let again = add(&people, "anna", "Anna Other").await;
        assert!(matches!(again, Err(AccountError::Used)), "{again:?}");
        for gone in [
            people.disable("it", "anna", false).await,
            people.reset("it", "anna").await.map(drop),
            people.set_positions("it", "anna", vec!["operator".parse().unwrap()]).await,
            people.forget_account("it", "anna").await,
        ] {
            assert!(matches!(gone, Err(AccountError::Absent)), "{gone:?}");
        }
        let called = store.account_names(vec!["anna".into()]).await.unwrap();
        assert_eq!(called, [AccountName { name: "anna".into(), full_name: "Anna Able".into() }]);
    }
}

//! Who works a provider's referrals, by name: local accounts, and those whom an issuer lets in. Of the latter there is no account, so what is
//! known of them is from their log-ins; she who is given another role there, or who does not come for long, is given nothing more here.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{
    People,
    account::{name_of, person},
};
use crate::{
    domain::{Actor, Position, ProviderId},
    store::{Colleague, JournalLine, StoreError},
};

/// Whom an issuer has not let in for so long is given nothing more: issuers seldom tell who has left.
const COMES_WITHIN: SignedDuration = SignedDuration::from_hours(24 * 90);

/// The names of those who work a provider's referrals or have done so, as they were at any time.
#[derive(Debug, Default)]
pub struct WorkerNames {
    /// Of accounts, whose names stay: person and name.
    accounts: Vec<(String, String)>,
    let_in: Vec<Colleague>,
}

/// Those whom an issuer lets in, of several providers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LetIn {
    /// Who works there: person and name.
    pub works: Vec<(String, String)>,
    /// Who did, and does not any more.
    pub gone: Vec<String>,
}

// === impl WorkerNames ===

impl WorkerNames {
    /// Of accounts and of those whom an issuer has let in.
    pub fn of(accounts: Vec<(String, String)>, let_in: Vec<Colleague>) -> Self {
        Self { accounts, let_in }
    }

    /// What somebody was called then: the name by which she had logged in last. Before the first log-in that is known, the first name.
    pub fn at(&self, person: &str, at: Timestamp) -> Option<&str> {
        if let Some((_, name)) = self.accounts.iter().find(|(id, _)| id == person) {
            return Some(name);
        }
        let own = || self.let_in.iter().filter(|one| one.person == person);
        // of names that she had in turn the later one counts, and of those that were over the one that was so last
        let had = own().filter(|one| one.since <= at);
        let name = had.max_by_key(|one| (one.seen >= at, if one.seen >= at { one.since } else { one.seen }));
        name.or_else(|| own().min_by_key(|one| one.since)).map(|one| one.name.as_str())
    }
}

// === impl LetIn ===

impl LetIn {
    /// Who of these works there now, and who does not any more.
    pub fn of(all: &[Colleague], now: Timestamp) -> Self {
        let since = now.saturating_sub(COMES_WITHIN).unwrap_or(Timestamp::MIN);
        let mut known = BTreeSet::new();
        let (mut works, mut gone) = (Vec::new(), Vec::new());
        for one in all.iter().filter(|one| one.works && one.seen >= since) {
            if known.insert(one.person.as_str()) {
                works.push((one.person.clone(), one.name.clone()));
            }
        }
        for one in all {
            if known.insert(one.person.as_str()) {
                gone.push(one.person.clone());
            }
        }
        Self { works, gone }
    }
}

// === impl People ===

impl People {
    /// Keeps, with a log-in, whose referrals somebody works by the word of her issuer, and that she works no others.
    pub(super) async fn keep_colleague(
        &self,
        person: &str,
        name: &str,
        positions: &[Position],
    ) -> Result<(), StoreError> {
        let works = positions.iter().filter_map(|position| match position {
            Position::ProviderWorker(id) => Some(id.clone()),
            _ => None,
        });
        self.store.keep_colleague(person, name, works.collect()).await
    }

    /// Those whom an issuer lets in to work these providers' referrals.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn let_in(&self, providers: &[ProviderId]) -> Result<LetIn, StoreError> {
        let mut all = Vec::new();
        for provider in providers {
            all.extend(self.store.colleagues(provider).await?);
        }
        Ok(LetIn::of(&all, self.store.now()))
    }

    /// The names of those who did something for a provider in these lines, also of those who work elsewhere by now, or whose accounts
    /// are forgotten: what was done stays told.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn names_of(&self, provider: &ProviderId, journal: &[JournalLine]) -> Result<WorkerNames, StoreError> {
        let accounts: BTreeSet<&str> = journal.iter().filter_map(|line| account_in(line, provider)).collect();
        let accounts = self.store.account_names(accounts.into_iter().map(str::to_owned).collect()).await?;
        let accounts = accounts.into_iter().map(|one| (person(&one.name), one.full_name)).collect();
        Ok(WorkerNames::of(accounts, self.store.colleagues(provider).await?))
    }
}

/// With which account somebody did for a provider what a line tells; none where it was done otherwise.
fn account_in<'l>(line: &'l JournalLine, provider: &ProviderId) -> Option<&'l str> {
    let is_theirs = matches!(&line.actor, Actor::Provider(id) if id == provider);
    line.asked_by.as_ref().filter(|_| is_theirs)?.person.as_deref().and_then(name_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(day * 86_400).unwrap()
    }

    fn colleague(person: &str, name: &str, since: i64, seen: i64, works: bool) -> Colleague {
        let (person, name) = (person.to_owned(), name.to_owned());
        Colleague { person, name, since: at(since), seen: at(seen), works }
    }

    #[test]
    fn what_somebody_did_is_told_by_the_name_that_she_had_then() {
        let accounts = vec![("local:luke".to_owned(), "Luke Byrne".to_owned())];
        let ann = |name, since, seen| colleague("oidc:1", name, since, seen, false);
        let names = WorkerNames::of(accounts, vec![ann("Ann Carter", 30, 40), ann("Ann Able", 10, 20)]);
        let told = |person, day| names.at(person, at(day));
        for (day, name) in [(5, "Ann Able"), (15, "Ann Able"), (25, "Ann Able"), (35, "Ann Carter"), (50, "Ann Carter")]
        {
            assert_eq!(told("oidc:1", day), Some(name), "{day}");
        }
        assert_eq!((told("local:luke", 1), told("oidc:2", 1)), (Some("Luke Byrne"), None));
        // whoever went back to a name has it
        let names = WorkerNames::of(vec![], vec![ann("Ann Able", 10, 50), ann("Ann Carter", 30, 40)]);
        assert_eq!((names.at("oidc:1", at(35)), names.at("oidc:1", at(60))), (Some("Ann Carter"), Some("Ann Able")));
    }

    #[test]
    fn who_has_another_role_or_does_not_come_any_more_is_given_nothing() {
        let all = [
            colleague("oidc:1", "Ann Carter", 100, 190, true),
            colleague("oidc:1", "Ann Able", 10, 90, false),
            colleague("oidc:2", "Bo", 10, 190, false),
            colleague("oidc:3", "Cy", 10, 100, true),
        ];
        let now = LetIn::of(&all, at(190));
        assert_eq!(now.works, [("oidc:1".into(), "Ann Carter".into()), ("oidc:3".into(), "Cy".into())]);
        assert_eq!(now.gone, ["oidc:2"]);
        assert_eq!(LetIn::of(&all, at(191)).gone, ["oidc:2", "oidc:3"], "not seen for more than ninety days");
    }
}

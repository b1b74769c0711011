//! People by their names, where pages tell who did something: what a log calls `local:luke` is Luke Byrne to whoever reads a page.

use std::collections::BTreeMap;

use super::Web;
use crate::{
    domain::ProviderId,
    people::account::person,
    store::{ACCOUNTS_MAX, StoreError},
};

/// So many names of people whom issuers have let in are read for a page or looked through, those seen last: who has not been seen for longer is told,
/// and found, as she logs in.
pub(super) const NAMES_MAX: usize = 20_000;

/// The names of people, by how the journal calls them.
#[derive(Debug, Default)]
pub(super) struct Called(BTreeMap<String, String>);

impl Called {
    /// Of those who have accounts here, of those whose accounts were forgotten last, and of those whom issuers let in to work these providers' referrals.
    ///
    /// # Errors
    /// [`StoreError`]
    pub(super) async fn read<'p>(
        web: &Web,
        providers: impl IntoIterator<Item = &'p ProviderId>,
    ) -> Result<Self, StoreError> {
        let mut names = BTreeMap::new();
        let providers: Vec<ProviderId> = providers.into_iter().cloned().collect();
        if !providers.is_empty() {
            // the one seen last first: it is her name now
            for (person, name) in web.store.colleague_names(providers, NAMES_MAX).await? {
                names.entry(person).or_insert(name);
            }
        }
        let forgotten = web.store.forgotten_accounts(ACCOUNTS_MAX).await?;
        names.extend(forgotten.into_iter().map(|account| (person(&account.name), account.full_name)));
        let accounts = web.people.accounts().await?;
        names.extend(accounts.into_iter().map(|account| (person(&account.name), account.full_name)));
        Ok(Self(names))
    }

    /// Somebody as people know her: `Luke Byrne (luke)`; as she logs in where no name is known.
    pub(super) fn of(&self, who: &str) -> String {
        match self.0.get(who) {
            Some(name) => format!("{name} ({})", bare(who)),
            None => bare(who).to_owned(),
        }
    }

    #[cfg(test)]
    pub(super) fn made(names: &[(&str, &str)]) -> Self {
        Self(names.iter().map(|(who, name)| ((*who).to_owned(), (*name).to_owned())).collect())
    }
}

/// By what somebody logs in, without where she is known.
pub(super) fn bare(who: &str) -> &str {
    ["local:", "oidc:", "command:"].into_iter().find_map(|kind| who.strip_prefix(kind)).unwrap_or(who)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_by_their_names() {
        let called = Called::made(&[("local:luke", "Luke Byrne"), ("oidc:77", "Nadia Able")]);
        for (who, told) in [
            ("local:luke", "Luke Byrne (luke)"),
            ("oidc:77", "Nadia Able (77)"),
            ("local:gone", "gone"),
            ("command:anna", "anna"),
            ("anna", "anna"),
        ] {
            assert_eq!(called.of(who), told);
        }
    }
}

//! Who works a provider's referrals by the word of an issuer.

use std::{cmp::Reverse, collections::BTreeMap};

use async_trait::async_trait;
use onward::{
    domain::ProviderId,
    store::{COLLEAGUES_MAX, Colleague, ColleagueStore, Store, StoreError},
};

use super::Memory;

/// See the module's documentation.
pub type Colleagues = BTreeMap<ProviderId, Vec<Colleague>>;

#[async_trait]
impl ColleagueStore for Memory {
    async fn keep_colleague(&self, person: &str, name: &str, providers: Vec<ProviderId>) -> Result<(), StoreError> {
        let now = self.now();
        let mut all = self.open()?;
        let known = all.colleagues.values_mut().flatten().filter(|one| one.person == person);
        known.for_each(|one| one.works = false);
        for provider in providers {
            let of = all.colleagues.entry(provider).or_default();
            match of.iter_mut().find(|one| one.person == person && one.name == name) {
                Some(known) => (known.seen, known.works) = (now, true),
                None => {
                    let (person, name) = (person.to_owned(), name.to_owned());
                    of.push(Colleague { person, name, since: now, seen: now, works: true });
                }
            }
            of.sort_by_key(|one| (Reverse(one.seen), one.person.clone(), one.name.clone()));
            of.truncate(COLLEAGUES_MAX);
        }
        Ok(())
    }

    async fn colleagues(&self, provider: &ProviderId) -> Result<Vec<Colleague>, StoreError> {
        Ok(self.all()?.colleagues.get(provider).cloned().unwrap_or_default())
    }

    async fn colleague_names(
        &self,
        providers: Vec<ProviderId>,
        most: usize,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let all = self.all()?;
        let mut seen = BTreeMap::new();
        for one in providers.iter().filter_map(|provider| all.colleagues.get(provider)).flatten() {
            let last = seen.entry((one.person.clone(), one.name.clone())).or_insert(one.seen);
            *last = one.seen.max(*last);
        }
        let mut names: Vec<_> = seen.into_iter().collect();
        names.sort_by_key(|(_, seen)| Reverse(*seen));
        Ok(names.into_iter().map(|(name, _)| name).take(most).collect())
    }
}

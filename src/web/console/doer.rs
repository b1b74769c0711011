//! Who is meant by a name that somebody types who looks through the journals. Pure, but for reading who is known.

use std::collections::BTreeMap;

use crate::{
    config::Registry,
    domain::Actor,
    people::account::person,
    store::{ACCOUNTS_MAX, StoreError},
    web::{Web, called::NAMES_MAX, inbox::words::folded},
};

/// No more can be meant by one name.
const MEANT_MAX: usize = 100;

const UNKNOWN: &str = "Write onward, or the name of a person, an account, a system or a provider that is known here";
const TOO_MANY: &str = "Many are called so. Write more of the name";

/// Who did something, as it is looked for: any of these.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct By {
    /// Those as whose deed it counts.
    pub actors: Vec<Actor>,
    /// The people themselves: `local:NAME` or `oidc:SUBJECT`.
    pub persons: Vec<String>,
}

impl By {
    fn actor(actor: Actor) -> Self {
        Self { actors: vec![actor], ..Self::default() }
    }

    fn count(&self) -> usize {
        self.actors.len() + self.persons.len()
    }
}

/// All people that are known here, each with her name: who has or had an account, and whom an issuer has let in to work a provider's referrals. One who
/// has had several names is there with each.
///
/// # Errors
/// [`StoreError`]
pub(super) async fn people(web: &Web, registry: &Registry) -> Result<Vec<(String, String)>, StoreError> {
    let accounts = web.people.accounts().await?;
    let mut people: Vec<(String, String)> =
        accounts.into_iter().map(|account| (person(&account.name), account.full_name)).collect();
    let forgotten = web.store.forgotten_accounts(ACCOUNTS_MAX).await?;
    people.extend(forgotten.into_iter().map(|account| (person(&account.name), account.full_name)));
    let providers = registry.providers.keys().cloned().collect();
    people.extend(web.console.store.colleague_names(providers, NAMES_MAX).await?);
    people.sort_unstable();
    people.dedup();
    Ok(people)
}

/// Who is meant by what is written: as the journal's pages write it, by the whole name or id of a person, an account, a system or a provider, and
/// where nobody is called just so, by how all words of it begin. Nobody in particular where nothing is written.
///
/// # Errors
/// What is to be written instead.
pub(super) fn by(text: &str, registry: &Registry, people: &[(String, String)]) -> Result<By, &'static str> {
    if text.is_empty() {
        return Ok(By::default());
    }
    match text.split_once(':') {
        Some(("system", id)) => return id.parse().map_or(Err(UNKNOWN), |id| Ok(By::actor(Actor::System(id)))),
        Some(("provider", id)) => return id.parse().map_or(Err(UNKNOWN), |id| Ok(By::actor(Actor::Provider(id)))),
        Some(("operator", name)) => return Ok(By::actor(Actor::Operator(name.to_owned()))),
        // also of one that is gone
        Some(("local" | "oidc", _)) => return Ok(By { persons: vec![text.to_owned()], ..By::default() }),
        Some(_) => return Err(UNKNOWN),
        None if text == "onward" => return Ok(By::actor(Actor::Onward)),
        None => {}
    }
    let wanted = folded(text);
    let exactly = called(registry, people, &|id, name| id == text || folded(name) == wanted);
    let meant = if exactly.count() > 0 {
        exactly
    } else {
        called(registry, people, &|id, name| begins(&format!("{} {}", folded(name), folded(id)), &wanted))
    };
    match meant.count() {
        0 => Err(UNKNOWN),
        1..=MEANT_MAX => Ok(meant),
        _ => Err(TOO_MANY),
    }
}

/// Whether each of these words begins one of a name's.
fn begins(name: &str, words: &str) -> bool {
    !words.is_empty() && words.split(' ').all(|word| name.split(' ').any(|own| own.starts_with(word)))
}

/// All whose id and name are as wished; an account's id is its name.
fn called(registry: &Registry, people: &[(String, String)], is_it: &dyn Fn(&str, &str) -> bool) -> By {
    let systems = registry.systems.values().filter(|one| is_it(one.id.as_str(), &one.name));
    let providers = registry.providers.values().filter(|one| is_it(one.id.as_str(), &one.name));
    let systems = systems.map(|one| Actor::System(one.id.clone()));
    let actors = systems.chain(providers.map(|one| Actor::Provider(one.id.clone()))).collect();
    let account = |person: &str| person.strip_prefix("local:").unwrap_or_default().to_owned();
    let meant = people.iter().filter(|(person, name)| is_it(&account(person), name));
    // under several names somebody is one
    let persons: BTreeMap<&String, ()> = meant.map(|(person, _)| (person, ())).collect();
    By { actors, persons: persons.into_keys().cloned().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::console::tests::config;

    fn found(text: &str) -> Result<Vec<String>, &'static str> {
        let known = [
            ("local:luke", "Luke Byrne"),
            ("local:mary", "Mary Éte"),
            ("local:mary2", "Mary Ete"),
            ("oidc:77", "Nadia Able"),
            ("oidc:77", "Nadia Baker"),
            ("oidc:78", "Bjørn Łaski"),
        ];
        let known = known.map(|(person, name)| (person.to_owned(), name.to_owned()));
        let By { actors, persons } = by(text, &config().registry, &known)?;
        Ok(actors.iter().map(ToString::to_string).chain(persons).collect())
    }

    #[test]
    fn who_did_it_is_found_by_whatever_one_knows_of_the_name() {
        for (text, expected) in [
            ("", &[][..]),
            ("onward", &["onward"]),
            ("Mersey Care", &["system:merseycare-rio"]),
            ("merseycare-rio", &["system:merseycare-rio"]),
            ("mersey", &["system:merseycare-rio"]),
            ("the life rooms", &["provider:life-rooms"]),
            ("life", &["provider:life-rooms"]),
            ("luke", &["local:luke"]),
            ("LUKE BYRNE", &["local:luke"]),
            ("byr", &["local:luke"]),
            ("byrne lu", &["local:luke"]),
            ("ete", &["local:mary", "local:mary2"]),
            ("mary ÉTE", &["local:mary", "local:mary2"]),
            ("mary", &["local:mary"]),
            ("nadia", &["oidc:77"]),
            ("bjorn laski", &["oidc:78"]),
            ("ŁAS", &["oidc:78"]),
            ("oidc:77", &["oidc:77"]),
            ("local:gone", &["local:gone"]),
            ("system:gone", &["system:gone"]),
        ] {
            assert_eq!(found(text).unwrap(), expected, "{text}");
        }
        for bad in ["yrne", "somebody", "else:x", "byrne mary", "–"] {
            assert_eq!(found(bad), Err(UNKNOWN), "{bad}");
        }
    }

    #[test]
    fn of_a_name_that_many_have_more_is_asked_for() {
        let many: Vec<(String, String)> = (0..101).map(|n| (format!("local:a{n}"), format!("Ann {n}"))).collect();
        assert_eq!(by("ann", &config().registry, &many), Err(TOO_MANY));
        assert_eq!(by("ann", &config().registry, &many[..100]).unwrap().persons.len(), 100);
    }
}

//! As whom a client has to do with the directory: by what [`may`] says of each client that it is. Pure.

use super::may::{Deed, What, Who, may};
use crate::{
    config::registry::Client,
    domain::{Organisation, ProviderId, StewardId},
};

/// As whom a client writes the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writer {
    /// At once.
    Steward(StewardId),
    /// By proposing.
    Provider(ProviderId),
}

/// Whose proposals a client sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sees {
    /// All of them.
    All,
    /// Its own.
    Of(ProviderId),
}

/// As whom these clients write. Who may be several writes as the one that may do more.
pub fn writer(clients: &[Client]) -> Option<Writer> {
    let keeps = steward_that(clients, Deed::KeepDirectory).map(Writer::Steward);
    keeps.or_else(|| proposers(clients).next().map(|id| Writer::Provider(id.clone())))
}

/// The steward among these clients who decides what is proposed.
pub fn decider(clients: &[Client]) -> Option<StewardId> {
    steward_that(clients, Deed::DecideProposals)
}

/// Whose proposals these clients see.
pub fn sees(clients: &[Client]) -> Option<Sees> {
    let all = decider(clients).map(|_| Sees::All);
    all.or_else(|| proposers(clients).next().map(|id| Sees::Of(id.clone())))
}

/// Whether a proposal of this provider is theirs to take back.
pub fn is_proposer(clients: &[Client], provider: &ProviderId) -> bool {
    proposers(clients).any(|own| own == provider)
}

/// Whether these clients see by name who wrote an entry.
pub fn sees_names(clients: &[Client]) -> bool {
    steward_that(clients, Deed::KeepDirectory).is_some()
}

fn steward_that(clients: &[Client], deed: Deed) -> Option<StewardId> {
    clients.iter().find_map(|client| match client {
        Client::Steward(id) if may(Who::Client(client), deed, What::Whole) => Some(id.clone()),
        _ => None,
    })
}

fn proposers(clients: &[Client]) -> impl Iterator<Item = &ProviderId> {
    clients.iter().filter_map(|client| match client {
        Client::Provider(id) => {
            let own = Organisation::Provider(id.clone());
            may(Who::Client(client), Deed::Propose, What::Of(&own)).then_some(id)
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(text: &str) -> Vec<Client> {
        let client = |word: &str| match word.split_once('/').unwrap() {
            ("system", id) => Client::System(id.parse().unwrap()),
            ("provider", id) => Client::Provider(id.parse().unwrap()),
            (_, id) => Client::Steward(id.parse().unwrap()),
        };
        text.split_whitespace().map(client).collect()
    }

    #[test]
    fn stewards_write_and_decide_and_providers_propose() {
        let (anna, mind) = (Writer::Steward("anna".parse().unwrap()), Writer::Provider("mind".parse().unwrap()));
        for (held, writes, decides) in [
            ("", None, false),
            ("system/epr", None, false),
            ("provider/mind", Some(mind.clone()), false),
            ("system/epr provider/mind", Some(mind), false),
            ("steward/anna", Some(anna.clone()), true),
            ("provider/mind steward/anna", Some(anna), true),
        ] {
            let held = clients(held);
            assert_eq!(writer(&held), writes, "{held:?}");
            assert_eq!((decider(&held).is_some(), sees_names(&held)), (decides, decides), "{held:?}");
        }
    }

    #[test]
    fn a_provider_sees_and_takes_back_its_own() {
        let mind: ProviderId = "mind".parse().unwrap();
        assert_eq!(sees(&clients("provider/mind")), Some(Sees::Of(mind.clone())));
        assert_eq!(sees(&clients("provider/mind steward/anna")), Some(Sees::All));
        assert_eq!(sees(&clients("system/mind")), None);
        assert!(is_proposer(&clients("provider/other provider/mind steward/anna"), &mind));
        for other in ["", "system/mind", "provider/other", "steward/mind"] {
            assert!(!is_proposer(&clients(other), &mind), "{other}");
        }
    }
}

//! Who may do what with which referral: one pure function. Who is asking is found out by the adapters around it.

use crate::{config::registry::Client, store::Parties};

/// What someone wants to do with a referral or with something of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// See it.
    Read,
    /// Change its Task as the provider.
    Answer,
    /// Change its ServiceRequest as the referrer.
    Change,
}

/// The one of these clients that may do it. A system sees what it sent, a provider what was routed to it, only a provider
/// answers, and only the system changes what it sent; to all others it must look as if it were not there. Who keeps the directory has
/// to do with no referral.
pub fn may<'c>(clients: &'c [Client], deed: Deed, parties: &Parties) -> Option<&'c Client> {
    clients.iter().find(|client| match (client, deed) {
        (Client::System(id), Deed::Read | Deed::Change) => *id == parties.system,
        (Client::System(_), Deed::Answer) => false,
        (Client::Provider(id), Deed::Read | Deed::Answer) => parties.providers.contains(id),
        (Client::Provider(_), Deed::Change) | (Client::Steward(_), _) => false,
    })
}

/// The token of an `Authorization: Bearer` header (RFC 6750, 2.1).
pub fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parties() -> Parties {
        Parties { system: "epr".parse().unwrap(), providers: vec!["life-rooms".parse().unwrap()] }
    }

    fn system(id: &str) -> Client {
        Client::System(id.parse().unwrap())
    }

    fn provider(id: &str) -> Client {
        Client::Provider(id.parse().unwrap())
    }

    #[test]
    fn each_sees_its_own_and_only_providers_answer() {
        assert!(may(&[system("epr")], Deed::Read, &parties()).is_some());
        assert!(may(&[system("epr")], Deed::Answer, &parties()).is_none());
        assert!(may(&[provider("life-rooms")], Deed::Answer, &parties()).is_some());
        assert!(may(&[system("epr")], Deed::Change, &parties()).is_some());
        assert!(may(&[provider("life-rooms")], Deed::Change, &parties()).is_none());
        // the same name on the other side is another client
        assert!(may(&[provider("epr")], Deed::Read, &parties()).is_none());
        assert!(may(&[system("life-rooms")], Deed::Read, &parties()).is_none());
        assert!(may(&[], Deed::Read, &parties()).is_none());
    }

    #[test]
    fn who_keeps_the_directory_sees_no_referral() {
        for id in ["epr", "life-rooms", "anna"] {
            let steward = [Client::Steward(id.parse().unwrap())];
            for deed in [Deed::Read, Deed::Answer, Deed::Change] {
                assert!(may(&steward, deed, &parties()).is_none(), "{id}: {deed:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn nobody_else_ever(
            id in "[a-z0-9-]{1,12}",
            is_system: bool,
            deed in proptest::sample::select(&[Deed::Read, Deed::Answer, Deed::Change][..]),
        ) {
            prop_assume!(id != "epr" && id != "life-rooms");
            let client = if is_system { system(&id) } else { provider(&id) };
            prop_assert!(may(&[client], deed, &parties()).is_none());
        }
    }

    #[test]
    fn a_bearer_token_is_taken_from_its_header() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        for none in ["Basic abc", "Bearer", "Bearer ", ""] {
            assert_eq!(bearer(none), None, "{none}");
        }
    }
}

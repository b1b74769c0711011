//! Who asks, and what they may do with resources of which types. What of those is theirs to see is [`super::may`]'s to say.

use crate::{
    config::registry::Client,
    domain::{Letter, Scopes},
};

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// The clients that ask: none who is known, or one; several by the one token that stands for all where nothing is configured.
    pub clients: Vec<Client>,
    /// What they may do.
    pub granted: Granted,
    /// By what they are known.
    pub known_by: KnownBy,
}

/// What may be done with resources of which types.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Granted {
    /// Whatever the client may do at all.
    #[default]
    All,
    /// Only what these scopes allow.
    Only(Scopes),
}

/// By what a client is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KnownBy {
    /// Nothing was shown.
    #[default]
    Nothing,
    /// A token was shown that stands for nobody here.
    UnknownToken,
    /// A token of the configuration.
    Token,
    /// Its certificate.
    Certificate,
    /// A certificate that stands for several clients, and so by itself for none of them.
    SharedCertificate,
    /// A token that was given for a signed assertion.
    AccessToken,
}

// === impl Caller ===

impl Caller {
    /// Whether nobody who is known asks.
    pub fn is_stranger(&self) -> bool {
        self.clients.is_empty()
    }
}

// === impl Granted ===

impl Granted {
    /// Whether it allows this.
    pub fn allows(&self, kind: &str, letter: Letter) -> bool {
        match self {
            Self::All => true,
            Self::Only(scopes) => scopes.allow(kind, letter),
        }
    }

    /// The first of these that it does not allow.
    pub fn missing<'n>(&self, needs: &[(&'n str, Letter)]) -> Option<(&'n str, Letter)> {
        needs.iter().copied().find(|(kind, letter)| !self.allows(kind, *letter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_missing_is_named() {
        let needs = [("Task", Letter::Read), ("Patient", Letter::Read)];
        assert_eq!(Granted::All.missing(&needs), None);
        let some = Granted::Only("system/Task.rs".parse().unwrap());
        assert_eq!(some.missing(&needs), Some(("Patient", Letter::Read)));
        assert_eq!(Granted::Only(Scopes::default()).missing(&needs), Some(("Task", Letter::Read)));
        assert_eq!(Granted::Only("system/*.r".parse().unwrap()).missing(&needs), None);
    }
}

//! People who use Onward: what they are, and for whom.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    ids::{ProviderId, SystemId},
    status::{UnknownCode, codes},
};

codes! {
    /// A role of a person.
    PersonRole {
        /// Refers people from an originating system's organisation.
        Referrer = "referrer",
        /// Works the referrals of a provider.
        ProviderWorker = "provider-worker",
        /// Looks after the people of a provider, without seeing referrals.
        ProviderAdmin = "provider-admin",
        /// Writes routes and makes them active.
        RouteEditor = "route-editor",
        /// Keeps the service running.
        Operator = "operator",
        /// Looks at what happened.
        Auditor = "auditor",
    }
}

/// The side of a referral that a person belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Organisation {
    /// The one that runs this originating system.
    System(SystemId),
    /// This provider.
    Provider(ProviderId),
}

/// A role with the organisation that it is held in, where it is of one. As text `referrer:epr`, `provider-worker:life-rooms`,
/// `operator`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Position {
    /// Refers people from this system's organisation.
    Referrer(SystemId),
    /// Works this provider's referrals.
    ProviderWorker(ProviderId),
    /// Looks after this provider's people.
    ProviderAdmin(ProviderId),
    /// Writes routes and makes them active.
    RouteEditor,
    /// Keeps the service running.
    Operator,
    /// Looks at what happened.
    Auditor,
}

/// A text that is no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a role: referrer:SYSTEM, provider-worker:PROVIDER, provider-admin:PROVIDER, route-editor, operator or auditor"
)]
pub struct NotAPosition;

// === impl Position ===

impl Position {
    /// The position that a role is in an organisation, named by its id; none where the role needs one and there is none, or the
    /// other way round.
    ///
    /// # Errors
    /// [`NotAPosition`]
    pub fn of(role: PersonRole, organisation: Option<&str>) -> Result<Self, NotAPosition> {
        let provider = || organisation.and_then(|id| id.parse().ok()).ok_or(NotAPosition);
        let alone = |position: Self| if organisation.is_none() { Ok(position) } else { Err(NotAPosition) };
        match role {
            PersonRole::Referrer => organisation.and_then(|id| id.parse().ok()).map(Self::Referrer).ok_or(NotAPosition),
            PersonRole::ProviderWorker => provider().map(Self::ProviderWorker),
            PersonRole::ProviderAdmin => provider().map(Self::ProviderAdmin),
            PersonRole::RouteEditor => alone(Self::RouteEditor),
            PersonRole::Operator => alone(Self::Operator),
            PersonRole::Auditor => alone(Self::Auditor),
        }
    }

    /// The role.
    pub const fn role(&self) -> PersonRole {
        match self {
            Self::Referrer(_) => PersonRole::Referrer,
            Self::ProviderWorker(_) => PersonRole::ProviderWorker,
            Self::ProviderAdmin(_) => PersonRole::ProviderAdmin,
            Self::RouteEditor => PersonRole::RouteEditor,
            Self::Operator => PersonRole::Operator,
            Self::Auditor => PersonRole::Auditor,
        }
    }

    /// The organisation that it is held in.
    pub fn organisation(&self) -> Option<Organisation> {
        match self {
            Self::Referrer(id) => Some(Organisation::System(id.clone())),
            Self::ProviderWorker(id) | Self::ProviderAdmin(id) => Some(Organisation::Provider(id.clone())),
            Self::RouteEditor | Self::Operator | Self::Auditor => None,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.role().code())?;
        match self.organisation() {
            Some(Organisation::System(id)) => write!(f, ":{id}"),
            Some(Organisation::Provider(id)) => write!(f, ":{id}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Position {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, NotAPosition> {
        let (role, organisation) = match text.split_once(':') {
            Some((role, organisation)) => (role, Some(organisation)),
            None => (text, None),
        };
        Self::of(role.parse().map_err(|_| NotAPosition)?, organisation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_written_as_it_is_read() {
        for text in
            ["referrer:epr", "provider-worker:life-rooms", "provider-admin:a", "route-editor", "operator", "auditor"]
        {
            let position: Position = text.parse().unwrap();
            assert_eq!(position.to_string(), text);
            assert_eq!(position.organisation().is_some(), text.contains(':'));
        }
    }

    #[test]
    fn a_role_needs_its_organisation_and_no_other_has_one() {
        for text in [
            "referrer",
            "provider-worker",
            "provider-admin:",
            "operator:x",
            "auditor:",
            "steward:a",
            "",
            "referrer:A B",
        ] {
            assert_eq!(text.parse::<Position>(), Err(NotAPosition), "{text}");
        }
    }
}

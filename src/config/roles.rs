//! The parts of the work that one process does. Several processes may share it over one PostgreSQL and one RabbitMQ.

use std::{fmt, str::FromStr};

use super::{BrokerUrl, StoreUrl};
use crate::toml_reader::Node;

/// A part of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Takes referrals and answers over HTTP, and shows them.
    Api,
    /// Hands referrals to providers, and watches the copies of those that do not answer by themselves.
    Delivery,
    /// Hands statuses to originating records.
    WriteBack,
    /// Looks after what is due: the outbox, what the broker gave up.
    Scheduler,
}

/// What a process does of it: at least one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles(u8);

/// A word that names no part, or none at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected one or more of {}, separated by commas", Roles::ALL)]
pub struct NotRoles;

// === impl Role ===

impl Role {
    const ALL: [Self; 4] = [Self::Api, Self::Delivery, Self::WriteBack, Self::Scheduler];

    /// Its word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Delivery => "delivery",
            Self::WriteBack => "writeback",
            Self::Scheduler => "scheduler",
        }
    }
}

// === impl Roles ===

impl Roles {
    /// Everything: the default, and the only choice where one process must do all.
    pub const ALL: Self = Self(0b1111);

    /// Whether this part belongs to it.
    pub const fn has(self, role: Role) -> bool {
        self.0 & (1 << role as u8) != 0
    }

    /// The words of its parts.
    pub fn words(self) -> Vec<&'static str> {
        Role::ALL.into_iter().filter(|role| self.has(*role)).map(Role::as_str).collect()
    }

    /// `[server] roles`. A part of the work needs others that do the rest, which only a shared store and broker allow.
    pub(super) fn read(node: &Node<'_>, store: &StoreUrl, broker: &BrokerUrl) -> Option<Self> {
        let allowed = format!("one or more of {}, separated by commas", Self::ALL);
        let roles: Self = node.parse(&allowed)?;
        if roles != Self::ALL {
            if matches!(store, StoreUrl::Sqlite(_)) {
                node.fault(
                    &format!("\"{roles}\" with a SQLite store, which serves one process only"),
                    "all roles, or a [store] url of PostgreSQL, which several processes share",
                );
                return None;
            }
            if *broker == BrokerUrl::Embedded {
                node.fault(
                    &format!("\"{roles}\" with the embedded broker, which wakes nobody outside its own process"),
                    "all roles, or a [broker] url of RabbitMQ, which several processes share",
                );
                return None;
            }
        }
        Some(roles)
    }
}

impl FromStr for Roles {
    type Err = NotRoles;

    fn from_str(text: &str) -> Result<Self, NotRoles> {
        text.split(',').try_fold(Self(0), |Self(so_far), word| {
            let role = Role::ALL.into_iter().find(|role| role.as_str() == word.trim()).ok_or(NotRoles)?;
            Ok(Self(so_far | 1 << role as u8))
        })
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_words_in_any_order_and_at_least_one() {
        let some: Roles = "scheduler,api , api".parse().unwrap_or(Roles::ALL);
        assert_eq!(some.to_string(), "api, scheduler");
        assert!(some.has(Role::Scheduler) && !some.has(Role::Delivery));
        assert_eq!("writeback,delivery,scheduler,api".parse(), Ok(Roles::ALL));
        for none in ["", "api,", "all", "API"] {
            assert_eq!(none.parse::<Roles>(), Err(NotRoles), "{none}");
        }
    }
}

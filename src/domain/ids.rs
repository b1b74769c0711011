//! Names of things, each its own type so that none is handed in where another is meant.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::parent::RESERVED;

/// A name that is not of the form `[a-z0-9-]{1,48}`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("“{0}” is not an id: 1 to 48 of a-z, 0-9 and “-”")]
pub struct NotAnId(pub String);

macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id as it is written in configuration, queue names and URLs.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAnId;
            fn try_from(text: String) -> Result<Self, NotAnId> {
                let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
                if (1..=48).contains(&text.len()) && text.bytes().all(allowed) {
                    Ok(Self(text))
                } else {
                    Err(NotAnId(text))
                }
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new one: UUIDv7, so that rows lie in the order they came.
            pub fn mint() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

name_id! {
    /// An originating system: a registered record system that sends referrals.
    SystemId
}
name_id! {
    /// An organisation that receives referrals.
    ProviderId
}
name_id! {
    /// Where referrals for a provider, or for one of its services, wait.
    InboxId
}
name_id! {
    /// Who keeps the directory of services: a person, or a tool of hers.
    StewardId
}
impl InboxId {
    /// What stands for the inbox of a Task that is in none: the parent of those of several targets.
    pub fn of_parent() -> Self {
        Self(RESERVED.to_owned())
    }

    /// Whether it is that.
    pub fn is_of_parent(&self) -> bool {
        self.0 == RESERVED
    }
}

impl ProviderId {
    /// The same for its provider: nobody.
    pub fn of_parent() -> Self {
        Self(RESERVED.to_owned())
    }

    /// Whether it is that.
    pub fn is_of_parent(&self) -> bool {
        self.0 == RESERVED
    }
}

uuid_id! {
    /// One referral: a ServiceRequest with all that travels with it.
    ReferralId
}
uuid_id! {
    /// One Task: the tracking of a referral's fulfilment by one target. Also the logical id of the FHIR Task.
    TaskId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_short_lower_case_word() {
        for good in ["a", "life-rooms", &"x".repeat(48)] {
            assert!(good.parse::<InboxId>().is_ok(), "{good}");
        }
        for bad in ["", "Life", "a b", "a.b", "é", &"x".repeat(49)] {
            assert_eq!(bad.parse::<InboxId>(), Err(NotAnId(bad.to_owned())));
        }
    }
}

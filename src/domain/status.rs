//! The statuses of a Task: what the provider says, and what the transport adds beside it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A word that is none of the codes allowed at its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("“{found}” is not one of {allowed}")]
pub struct UnknownCode {
    /// What was found.
    pub found: String,
    /// The codes that would be right, comma-separated.
    pub allowed: String,
}

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $code)] $variant),+ }

        impl $name {
            /// All of them, in the order of the definition.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The code as FHIR, the store and the logs write it.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.code())
            }
        }

        impl FromStr for $name {
            type Err = UnknownCode;
            fn from_str(text: &str) -> Result<Self, UnknownCode> {
                Self::ALL.iter().copied().find(|c| c.code() == text).ok_or_else(|| UnknownCode {
                    found: text.chars().take(40).collect(),
                    allowed: [$($code),+].join(", "),
                })
            }
        }
    };
}
pub(crate) use codes;

codes! {
    /// `Task.status` as Onward uses it: the codes of <http://hl7.org/fhir/task-status> without `draft` and `ready`, which
    /// no side of a referral needs (SDOH Clinical Care 3.0.0 leaves out `ready` likewise).
    TaskStatus {
        /// Routed, not yet known to have reached the provider.
        Requested = "requested",
        /// The provider's system has it.
        Received = "received",
        /// The provider will act on it.
        Accepted = "accepted",
        /// The provider will not act on it.
        Rejected = "rejected",
        /// Being worked on.
        InProgress = "in-progress",
        /// Paused.
        OnHold = "on-hold",
        /// Done.
        Completed = "completed",
        /// Tried and not achieved.
        Failed = "failed",
        /// Withdrawn by the referrer, confirmed by the provider or before anything was sent.
        Cancelled = "cancelled",
        /// Should never have been.
        EnteredInError = "entered-in-error",
    }
}

codes! {
    /// Where the message is, as distinct from what the provider says of the referral.
    TransportStatus {
        /// Lies in a worklist or a queue that the provider reads.
        HandedOver = "handed-over",
        /// Still being tried; later than promised.
        DeliveryDelayed = "delivery-delayed",
        /// Will not be tried again by itself.
        Undeliverable = "undeliverable",
        /// Not opened within the time the route sets.
        NotOpened = "not-opened",
        /// Not answered within the time the route sets.
        Overdue = "overdue",
        /// The provider's copy, by which it answers, is gone or unreadable: its answers cannot be known.
        CopyUnreadable = "copy-unreadable",
    }
}

impl TaskStatus {
    /// Whether the Task has ended; nothing but `entered-in-error` leaves such a status.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Rejected | Self::Completed | Self::Failed | Self::Cancelled | Self::EnteredInError)
    }

    /// Whether a change to this status must say why (`Task.statusReason`; SDOH Clinical Care 3.0.0, referral workflow).
    pub const fn needs_reason(self) -> bool {
        matches!(self, Self::Rejected | Self::Cancelled | Self::OnHold | Self::Failed)
    }
}

//! The words of the directory: of which kinds its entries are, and how it is with a proposal.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::status::{UnknownCode, codes};

codes! {
    /// Of which kind an entry of the directory is: the FHIR type of its resource (IHE mCSD 4.0.0, volume 1, 46).
    EntryKind {
        /// Who offers something.
        Organization = "Organization",
        /// What is offered.
        HealthcareService = "HealthcareService",
        /// Where.
        Location = "Location",
        /// How it is reached by a system.
        Endpoint = "Endpoint",
    }
}

codes! {
    /// How it is with what a provider proposed for the directory.
    ProposalStatus {
        /// Nobody has decided it.
        Pending = "pending",
        /// It became an entry, or a version of one.
        Approved = "approved",
        /// A steward refused it, and said why.
        Declined = "declined",
        /// The provider took it back.
        Withdrawn = "withdrawn",
    }
}

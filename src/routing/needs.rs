//! What receivers insist on: a referral that lacks it is refused with a sentence for the sender, before it is sent.

use serde::Serialize;

use super::{Decision, Facts, Path, RouteSet};
use crate::domain::InboxId;

/// Something that receivers insist on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Need {
    /// Whose inboxes insist on it. Never none.
    pub to: Vec<InboxId>,
    /// What must be true of the ServiceRequest.
    pub fhirpath: Path,
    /// What the sender is told where it is not.
    pub message: String,
}

/// Something that a receiver insists on and a referral lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The inbox that insists.
    pub inbox: InboxId,
    /// The expression that is not true.
    pub expression: String,
    /// What the sender is told.
    pub message: String,
}

impl RouteSet {
    /// What the receivers of a decision insist on and the referral lacks, that of a late one included; what cannot be evaluated is
    /// lacking.
    pub fn missing(&self, decision: &Decision, facts: &Facts<'_>) -> Vec<Missing> {
        let lacking = |need: &&Need| !need.fhirpath.holds(facts);
        let receivers = || decision.inboxes().chain(decision.terms.escalate_to.as_ref());
        let asked = self.needs().iter().filter(|need| receivers().any(|inbox| need.to.contains(inbox)));
        let of = |need: &Need| {
            let inbox = receivers().find(|inbox| need.to.contains(inbox))?.clone();
            Some(Missing { inbox, expression: need.fhirpath.to_string(), message: need.message.clone() })
        };
        asked.filter(lacking).filter_map(of).collect()
    }
}

//! Decides which inbox a referral goes to, by the rules a trust's IT team wrote, and tells why. Pure: it is handed the
//! text of the route file and what a referral says, and reads nothing by itself.

mod area;
mod condition;
mod explain;
mod facts;
mod parse;

use aws_lc_rs::digest;
use serde::Serialize;

use crate::domain::InboxId;

pub use area::{Area, outward_of};
pub(crate) use condition::is_ods_code;
pub use condition::{CodeWanted, Condition, PerformerWanted};
pub use explain::{ConditionExplained, Explanation, RuleExplained};
pub use facts::{Coding, Facts, same_ods};

/// The priority of a route that gives none.
pub const DEFAULT_PRIORITY: u32 = 100;

/// All rules of one version, activated as a whole.
#[derive(Debug, Clone)]
pub struct RouteSet {
    version: String,
    /// In the order they are tried.
    routes: Vec<Route>,
    triage: Option<InboxId>,
}

/// A rule that sends a referral to an inbox.
#[derive(Debug, Clone, Serialize)]
pub struct Route {
    /// What people see when they ask why a referral went where it went.
    pub name: String,
    /// The lower number is tried first; equal numbers in the order of the file.
    pub priority: u32,
    /// All of them must hold. Never empty.
    pub when: Vec<Condition>,
    /// The inbox it sends to.
    pub to: InboxId,
}

/// Where a referral goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The inbox.
    pub inbox: InboxId,
    /// The name of the route that matched; `None` where none did and the triage inbox takes it.
    pub route: Option<String>,
}

/// No rule matches, and there is no triage inbox.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no route matches and there is no triage inbox; tried: {}", if tried.is_empty() { "no route".to_owned() } else { tried.join(", ") })]
pub struct NoRoute {
    /// The names of the rules tried, in the order they were tried.
    pub tried: Vec<String>,
}

// === impl RouteSet ===

impl RouteSet {
    /// No rule at all: every decision is [`NoRoute`].
    pub fn empty() -> Self {
        Self::of(Vec::new(), None)
    }

    /// No rule, and everything goes to one inbox.
    pub fn all_to(inbox: InboxId) -> Self {
        Self::of(Vec::new(), Some(inbox))
    }

    /// Puts the rules in the order they are tried and names the version by what they say.
    pub(crate) fn of(mut routes: Vec<Route>, triage: Option<InboxId>) -> Self {
        routes.sort_by_key(|route| route.priority); // stable: equal numbers stay in the order of the file
        Self { version: version_of(&routes, triage.as_ref()), routes, triage }
    }

    /// The first 12 hexadecimal digits of the SHA-256 of what the rules say. Comments, spacing and the order of rules of
    /// different priority do not change it.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The rules in the order they are tried.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The inbox that takes what no rule matches.
    pub fn triage(&self) -> Option<&InboxId> {
        self.triage.as_ref()
    }

    /// The inbox for a referral of which `facts` are known: that of the first rule that matches, else triage.
    pub fn decide(&self, facts: &Facts) -> Result<Decision, NoRoute> {
        if let Some(route) = self.routes.iter().find(|route| route.matches(facts)) {
            return Ok(Decision { inbox: route.to.clone(), route: Some(route.name.clone()) });
        }
        match &self.triage {
            Some(inbox) => Ok(Decision { inbox: inbox.clone(), route: None }),
            None => Err(NoRoute { tried: self.routes.iter().map(|route| route.name.clone()).collect() }),
        }
    }
}

impl Default for RouteSet {
    fn default() -> Self {
        Self::empty()
    }
}

// === impl Route ===

impl Route {
    /// Whether every condition holds.
    pub fn matches(&self, facts: &Facts) -> bool {
        self.when.iter().all(|condition| condition.holds(facts))
    }
}

fn version_of(routes: &[Route], triage: Option<&InboxId>) -> String {
    let canonical = serde_json::json!({ "routes": routes, "triage": triage }).to_string();
    let hash = digest::digest(&digest::SHA256, canonical.as_bytes());
    hash.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;

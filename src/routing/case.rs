//! A route set's own tests: a referral, and where it must go. A set of which one fails is not taken.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde_json::Value;

use super::{Carried, Decision, Facts, RouteSet, Setting, Unavailable};
use crate::{
    domain::{InboxId, SystemId, working_days::WorkingTime},
    places::Places,
    toml_reader::Spot,
};

/// A test of a route set.
#[derive(Debug, Clone)]
pub struct Case {
    /// Where it stands in the file.
    pub spot: Spot,
    /// Its name.
    pub name: String,
    /// The entries of the referral's Bundle.
    pub(super) entries: Vec<Value>,
    /// Which of them is the ServiceRequest.
    pub(super) request: usize,
    /// Who sends it.
    pub system: SystemId,
    /// When it is decided.
    pub at: Timestamp,
    /// Which inboxes take nothing then.
    pub unavailable: BTreeMap<InboxId, Unavailable>,
    /// What must come of it.
    pub expected: Expected,
}

/// What must come of a test; what is none may be anything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expected {
    /// The inboxes, in any order.
    pub to: Option<Vec<InboxId>>,
    /// The route that decides.
    pub route: Option<String>,
    /// Words of the refusal.
    pub refused: Option<String>,
}

/// A test that failed: what came instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseFailed {
    /// What must have come.
    pub expected: String,
    /// What came.
    pub found: String,
}

// === impl RouteSet ===

impl RouteSet {
    /// Whether a test holds.
    ///
    /// # Errors
    /// [`CaseFailed`]
    pub fn try_case(&self, case: &Case, working_time: &WorkingTime, places: &Places) -> Result<(), CaseFailed> {
        let setting = Setting { at: case.at, working_time, places };
        let facts = case.facts(setting);
        let decided = self.decide(&facts, &|inbox| case.unavailable.get(inbox).copied());
        let refusal = match &decided {
            Ok(decision) => {
                let missing = self.missing(decision, &facts).into_iter();
                Some(missing.map(|missing| missing.message).collect::<Vec<_>>().join("; "))
                    .filter(|told| !told.is_empty())
            }
            Err(none) => Some(none.to_string()),
        };
        let expected = &case.expected;
        let found = match (&decided, refusal) {
            (_, Some(told)) => {
                if expected.refused.as_ref().is_some_and(|words| told.contains(words.as_str())) {
                    return Ok(());
                }
                format!("refused: {told}")
            }
            (Ok(decision), None) => {
                if expected.is(decision) {
                    return Ok(());
                }
                shown(decision)
            }
            (Err(none), None) => none.to_string(),
        };
        Err(CaseFailed { expected: expected.to_string(), found })
    }
}

fn shown(decision: &Decision) -> String {
    let inboxes = decision.inboxes().map(InboxId::as_str).collect::<Vec<_>>().join(", ");
    match &decision.route {
        Some(route) => format!("to {inboxes} by the route “{route}”"),
        None => format!("to {inboxes}, because no route matches"),
    }
}

// === impl Case ===

impl Case {
    /// What its referral says.
    pub fn facts(&self, setting: Setting<'_>) -> Facts<'_> {
        const NOTHING: &Value = &Value::Null;
        let request = self.entries.get(self.request).and_then(|entry| entry.get("resource")).unwrap_or(NOTHING);
        Facts::of(&self.system, request, Carried::entries(&self.entries), setting)
    }
}

// === impl Expected ===

impl Expected {
    fn is(&self, decision: &Decision) -> bool {
        let same = |wanted: &Vec<InboxId>| {
            wanted.len() == decision.targets.len() && decision.inboxes().all(|inbox| wanted.contains(inbox))
        };
        self.refused.is_none()
            && self.to.as_ref().is_none_or(same)
            && self.route.as_ref().is_none_or(|wanted| decision.route.as_ref() == Some(wanted))
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(words) = &self.refused {
            return write!(f, "refused: {words}");
        }
        if let Some(to) = &self.to {
            write!(f, "to {}", to.iter().map(InboxId::as_str).collect::<Vec<_>>().join(", "))?;
        }
        match (&self.to, &self.route) {
            (Some(_), Some(route)) => write!(f, " by the route “{route}”"),
            (None, Some(route)) => write!(f, "by the route “{route}”"),
            (_, None) => Ok(()),
        }
    }
}

impl fmt::Display for CaseFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.found.starts_with("refused") { "is" } else { "goes" };
        write!(f, "the referral {verb} {}; expected: {}", self.found, self.expected)
    }
}

//! Decides which inboxes a referral goes to, by the rules a trust's IT team wrote, and tells why. Pure: it is handed the
//! text of the route file and what a referral says, and reads nothing by itself.

mod case;
mod check;
mod condition;
mod decide;
mod explain;
mod facts;
mod hours;
mod index;
mod key;
mod needs;
mod parse;
mod path;
mod person;
mod place;
mod wanted;

use std::{collections::BTreeMap, sync::Arc};

use aws_lc_rs::digest;
use serde::Serialize;

use crate::domain::{InboxId, SystemId, event::TEST_ROUTE, working_days::Within};
use index::Index;

pub use case::{Case, CaseFailed, Expected};
pub(crate) use check::Coverage;
pub(crate) use condition::is_ods_code;
pub use condition::{Condition, Kind};
pub use decide::{Decision, NoRoute, Target, Unavailable, all_open};
pub use explain::{ConditionExplained, EXPLAINED_MAX, Explanation, Goes, RuleExplained};
pub use facts::{Carried, Coding, Facts, Setting, same_ods};
pub use hours::{Hours, Moment};
pub use needs::{Missing, Need};
pub(crate) use parse::within;
pub use parse::{FILES_MAX_BYTES, Known, TEXT_MAX_BYTES};
pub use path::Path;
pub use person::{Age, Ages, Consented, Language, Urgency};
pub use place::{AreaWanted, Homes, NamedArea, Piece};
pub use wanted::{CodeWanted, PerformerWanted, ValueSet};

/// The priority of a route that gives none.
pub const DEFAULT_PRIORITY: u32 = 100;

/// All rules of one version, activated as a whole.
#[derive(Debug, Clone)]
pub struct RouteSet {
    version: String,
    /// In the order they are tried.
    routes: Vec<Route>,
    triage: Option<InboxId>,
    needs: Vec<Need>,
    cases: Vec<Case>,
    /// What was read beside the route file, by the names it gives.
    files: BTreeMap<String, Arc<str>>,
    index: Arc<Index>,
}

/// A rule that sends a referral to an inbox, or to several.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Route {
    /// What people see when they ask why a referral went where it went.
    pub name: String,
    /// The lower number is tried first; of equal numbers, the name that comes first in the alphabet.
    pub priority: u32,
    /// All of them must hold. Never empty.
    pub when: Vec<Condition>,
    /// The inboxes it sends to; each once, never none.
    pub to: Vec<InboxId>,
    /// What each of several gets.
    pub share: Share,
    /// Which inboxes stand in, in this order, for one that is closed or full.
    pub fallback: Vec<InboxId>,
    /// How long the provider has.
    pub terms: Terms,
}

/// What each of several targets gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Share {
    /// The same request.
    #[default]
    Copy,
    /// An order of its own, made of the request (`filler-order`).
    Split,
}

/// How long a provider has, where a route says it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    /// Until it has taken the referral; none: as the inbox says.
    pub acknowledge_within: Option<Within>,
    /// Until it has said what becomes of it; none: as the inbox says.
    pub answer_within: Option<Within>,
    /// The inbox that gets it as well when that time has passed.
    pub escalate_to: Option<InboxId>,
}

/// The parts of a route set, as a file gives them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parts {
    pub routes: Vec<Route>,
    pub triage: Option<InboxId>,
    pub needs: Vec<Need>,
    pub cases: Vec<Case>,
    pub files: BTreeMap<String, Arc<str>>,
}

// === impl RouteSet ===

impl RouteSet {
    /// No rule at all: every decision is [`NoRoute`].
    pub fn empty() -> Self {
        Self::of(Parts::default())
    }

    /// No rule, and everything goes to one inbox.
    pub fn all_to(inbox: InboxId) -> Self {
        Self::of(Parts { triage: Some(inbox), ..Parts::default() })
    }

    /// What a test of an inbox goes by: everything from this system goes there, open or not, and the version is that of these rules, which
    /// are in force meanwhile and decide nothing of it.
    pub fn of_test(&self, system: SystemId, inbox: InboxId) -> Self {
        let route = Route {
            name: TEST_ROUTE.to_owned(),
            priority: 0,
            when: vec![Condition::System(vec![system])],
            to: vec![inbox.clone()],
            share: Share::Copy,
            fallback: vec![],
            terms: Terms::default(),
        };
        let parts = Parts { routes: vec![route], triage: Some(inbox), ..Parts::default() };
        Self { version: self.version.clone(), ..Self::of(parts) }
    }

    /// Puts the rules in the order they are tried and names the version by what they say.
    pub(crate) fn of(parts: Parts) -> Self {
        let Parts { mut routes, triage, needs, cases, files } = parts;
        // the order of the file means nothing: moving a rule changes no decision
        routes.sort_by(|a, b| (a.priority, &a.name).cmp(&(b.priority, &b.name)));
        let (version, index) = (version_of(&routes, triage.as_ref(), &needs), Arc::new(Index::of(&routes)));
        Self { version, routes, triage, needs, cases, files, index }
    }

    /// The first 12 hexadecimal digits of the SHA-256 of what the rules say. Comments, spacing, tests and the order of the file do
    /// not change it.
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

    /// What stands behind the names that its rules ask for: `value-set NAME`, `area NAME`.
    pub fn named_sets(&self) -> BTreeMap<String, serde_json::Value> {
        named_sets(&self.routes)
    }

    /// What receivers insist on.
    pub fn needs(&self) -> &[Need] {
        &self.needs
    }

    /// Its tests, in the order of the file.
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// The text of every file that it names, by the name it gives: with these and its own text it can be read again anywhere.
    pub fn files(&self) -> &BTreeMap<String, Arc<str>> {
        &self.files
    }

    /// Every inbox that a referral may be sent to by it.
    pub fn inboxes(&self) -> impl Iterator<Item = &InboxId> {
        let routes = self
            .routes
            .iter()
            .flat_map(|route| route.to.iter().chain(&route.fallback).chain(route.terms.escalate_to.as_ref()));
        routes.chain(self.triage.as_ref())
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
    pub fn matches(&self, facts: &Facts<'_>) -> bool {
        self.when.iter().all(|condition| condition.holds(facts))
    }
}

// === impl Terms ===

impl Serialize for Terms {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = |within: Option<Within>| within.map(|within| within.to_string());
        (text(self.acknowledge_within), text(self.answer_within), &self.escalate_to).serialize(serializer)
    }
}

fn version_of(routes: &[Route], triage: Option<&InboxId>, needs: &[Need]) -> String {
    // what a name stands for belongs to what the rules say
    let sets: BTreeMap<String, serde_json::Value> =
        routes.iter().flat_map(|route| &route.when).flat_map(named).collect();
    let canonical = serde_json::json!({ "routes": routes, "triage": triage, "needs": needs, "sets": sets }).to_string();
    let hash = digest::digest(&digest::SHA256, canonical.as_bytes());
    hash.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// What stands behind the names that rules ask for.
fn named_sets(routes: &[Route]) -> BTreeMap<String, serde_json::Value> {
    routes.iter().flat_map(|route| &route.when).flat_map(named).collect()
}

/// The named sets that a condition asks for.
fn named(condition: &Condition) -> Vec<(String, serde_json::Value)> {
    match condition {
        Condition::Code(values) | Condition::Category(values) => {
            let sets = values.iter().filter_map(|value| match value {
                CodeWanted::InSet(set) => Some((format!("value-set {}", set.name), serde_json::json!(set.codes))),
                _ => None,
            });
            sets.collect()
        }
        Condition::PatientArea(values) => {
            let areas = values.iter().filter_map(|value| match value {
                AreaWanted::Named(area) => Some((format!("area {}", area.name), serde_json::json!(area.pieces))),
                AreaWanted::Piece(_) => None,
            });
            areas.collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

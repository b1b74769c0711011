//! The decision: the first rule that matches, and who stands in for an inbox that is closed or full.

use super::{Facts, Route, RouteSet, Share, Terms};
use crate::domain::InboxId;

/// Where a referral goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The name of the route that matched; `None` where none did and the triage inbox takes it.
    pub route: Option<String>,
    /// Where it goes: each inbox once, never none.
    pub targets: Vec<Target>,
    /// What each of several gets.
    pub share: Share,
    /// How long the provider has.
    pub terms: Terms,
}

/// An inbox that a referral goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The inbox.
    pub inbox: InboxId,
    /// The one that the route names, in whose place it stands, and why.
    pub instead_of: Option<(InboxId, Unavailable)>,
}

/// Why an inbox takes nothing just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// It is closed.
    Closed,
    /// It has as many open referrals as it takes.
    Full,
}

/// A referral can go nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoRoute {
    /// No rule matches, and there is no triage inbox.
    #[error("no route matches and there is no triage inbox; tried: {}", some(tried, *more))]
    NoneMatches {
        /// The names of the first rules, in the order they are tried.
        tried: Vec<String>,
        /// So many more were tried.
        more: usize,
    },
    /// A rule matches, and the inbox it names takes nothing just now, nor do those that stand in, nor triage.
    #[error(
        "the route “{route}” leads to the inbox “{inbox}”, which is {why}, and no inbox that stands in for it is open"
    )]
    AllClosed {
        /// The rule.
        route: String,
        /// The inbox it names.
        inbox: InboxId,
        /// Why it takes nothing.
        why: Unavailable,
    },
}

/// So many names a refusal repeats: refusing costs no more where there are thousands of rules.
const TRIED_MAX: usize = 20;

/// Whether an inbox is available, where all are.
pub fn all_open(_: &InboxId) -> Option<Unavailable> {
    None
}

fn some(names: &[String], more: usize) -> String {
    match (names.join(", "), more) {
        (names, _) if names.is_empty() => "no route".to_owned(),
        (names, 0) => names,
        (names, more) => format!("{names} and {more} more"),
    }
}

// === impl RouteSet ===

impl RouteSet {
    /// Where a referral goes of which `facts` are known, while `unavailable` says which inboxes take nothing: to those of the first rule
    /// that matches, or those that stand in for them; else to triage.
    ///
    /// # Errors
    /// [`NoRoute`]: it can go nowhere.
    pub fn decide(
        &self,
        facts: &Facts<'_>,
        unavailable: &dyn Fn(&InboxId) -> Option<Unavailable>,
    ) -> Result<Decision, NoRoute> {
        let matching = self.first_match(facts).and_then(|at| self.routes().get(at));
        self.decision(matching, unavailable)
    }

    /// What follows where this is the first rule that matches.
    pub(super) fn decision(
        &self,
        matching: Option<&Route>,
        unavailable: &dyn Fn(&InboxId) -> Option<Unavailable>,
    ) -> Result<Decision, NoRoute> {
        let Some(route) = matching else {
            let inbox = self.triage().cloned().ok_or_else(|| NoRoute::NoneMatches {
                tried: self.routes().iter().take(TRIED_MAX).map(|route| route.name.clone()).collect(),
                more: self.routes().len().saturating_sub(TRIED_MAX),
            })?;
            // whatever comes to triage is looked at by a person: it is never closed
            let targets = vec![Target { inbox, instead_of: None }];
            return Ok(Decision { route: None, targets, share: Share::Copy, terms: Terms::default() });
        };
        let mut targets: Vec<Target> = Vec::with_capacity(route.to.len());
        for inbox in &route.to {
            // triage is never closed
            let Some(why) = unavailable(inbox).filter(|_| self.triage() != Some(inbox)) else {
                targets.push(Target { inbox: inbox.clone(), instead_of: None });
                continue;
            };
            // who stands in for another target already has it: it goes nowhere else on that account
            let free = |one: &&InboxId| unavailable(one).is_none() && !route.to.contains(one);
            let stands_in = route.fallback.iter().find(free).or(self.triage());
            let all_closed = || NoRoute::AllClosed { route: route.name.clone(), inbox: inbox.clone(), why };
            let stands_in = stands_in.ok_or_else(all_closed)?;
            // whoever stands in gets it once, for however many, and also where it is a target of its own
            if targets.iter().all(|target| target.inbox != *stands_in) && !route.to.contains(stands_in) {
                targets.push(Target { inbox: stands_in.clone(), instead_of: Some((inbox.clone(), why)) });
            }
        }
        Ok(Decision { route: Some(route.name.clone()), targets, share: route.share, terms: route.terms.clone() })
    }
}

// === impl Decision ===

impl Decision {
    /// The inboxes it goes to.
    pub fn inboxes(&self) -> impl Iterator<Item = &InboxId> {
        self.targets.iter().map(|target| &target.inbox)
    }
}

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::Full => "full",
        })
    }
}

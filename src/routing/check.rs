//! What can be wrong with a route set though each of its rules is right: rules that never decide, rules that are at odds, and gaps where
//! the set promises that there is none. Nothing is said that is not certain.

mod cover;
mod extent;
mod finder;
mod never;
mod shape;
mod states;

use std::collections::{BTreeMap, BTreeSet};

use super::{Condition, Kind, Route};
use crate::{
    domain::{SystemId, working_days::WorkingTime},
    toml_reader::Spot,
};
use cover::{Covered, cover};
use extent::{Extents, Rule, bit};
use finder::{Finder, Wanted};
use states::States;

/// No more of one kind are told.
const FAULTS_MAX: usize = 50;
/// No sentence names more rules.
const NAMED_MAX: usize = 5;
/// What a rule takes is cut into no more pieces; whether the rules before one with more leave something over is not asked.
const PIECES_MAX: usize = 4_096;
/// No more rules before one are held against it together.
const TOGETHER_MAX: usize = 512;
/// No coverage has more combinations of values.
const COMBINATIONS_MAX: usize = 10_000;

/// A promise of a route set: every referral that meets these conditions is taken by a rule, and not by triage.
#[derive(Debug, Clone)]
pub(crate) struct Coverage {
    /// Where it stands in the file.
    pub spot: Spot,
    /// Its name.
    pub name: String,
    /// All must hold of a referral that is meant. Never empty.
    pub when: Vec<Condition>,
}

/// A route set to be checked, and what must be known for that.
pub(super) struct Checked<'c> {
    /// In the order they are tried.
    pub routes: &'c [Route],
    /// Where each stands in the file, by its name.
    pub spots: &'c BTreeMap<String, Spot>,
    pub coverages: &'c [Coverage],
    /// The systems that can send a referral.
    pub systems: &'c BTreeSet<SystemId>,
    pub working_time: &'c WorkingTime,
    /// The line of a spot.
    pub line_of: &'c dyn Fn(&Spot) -> usize,
}

/// What is being found.
struct Check<'c> {
    of: &'c Checked<'c>,
    extents: Extents<'c>,
    rules: Vec<Rule>,
    /// Rules that take nothing.
    never: BTreeSet<usize>,
    found: Vec<(Spot, String)>,
    /// Of the kind that is being looked for.
    count: usize,
}

/// Everything that is wrong, each with the place where it is told.
pub(super) fn faults(of: &Checked<'_>) -> Vec<(Spot, String)> {
    let mut extents = Extents::new(States::of(of.systems, of.working_time));
    let rules = of.routes.iter().map(|route| Rule::of(&route.when, &mut extents)).collect();
    let coverages: Vec<Rule> = of.coverages.iter().map(|one| Rule::of(&one.when, &mut extents)).collect();
    let mut check = Check { of, extents, rules, never: BTreeSet::new(), found: Vec::new(), count: 0 };
    check.never();
    let at_odds = check.overlaps();
    let finder = Finder::of(check.able(), &check.extents);
    check.unreachable(&finder, &at_odds);
    check.gaps(&finder, &coverages);
    check.found
}

// === impl Check ===

impl Check<'_> {
    /// The rules that can take something, each with its place.
    fn able(&self) -> impl Iterator<Item = (usize, &Rule)> {
        self.rules.iter().enumerate().filter(|(at, _)| !self.never.contains(at))
    }

    fn never(&mut self) {
        self.count = 0;
        for (at, route) in self.of.routes.iter().enumerate() {
            let Some(why) = never::why(route) else { continue };
            self.never.insert(at);
            self.tell(route, format!("the route “{}” takes no referral: {why}, or one route less", route.name));
        }
    }

    /// Rules of one priority of which both can match and that lead to different places: all that are part of such a pair.
    fn overlaps(&mut self) -> BTreeSet<usize> {
        self.count = 0;
        let mut at_odds = BTreeSet::new();
        let routes = self.of.routes;
        let mut groups: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (at, _) in self.able() {
            if let Some(route) = routes.get(at) {
                groups.entry(route.priority).or_default().push(at);
            }
        }
        let mut told = Vec::new();
        for group in groups.values() {
            let leads = |at: &usize| routes.get(*at);
            let first = group.first().and_then(leads);
            if group.iter().filter_map(leads).all(|route| first.is_none_or(|first| lead_alike(first, route))) {
                continue;
            }
            let of_group = group.iter().filter_map(|at| Some((*at, self.rules.get(*at)?)));
            let finder = Finder::of(of_group.clone(), &self.extents);
            for (at, rule) in of_group {
                if told.len() > FAULTS_MAX {
                    break;
                }
                for other in finder.find(rule, at, Wanted::Meeting, &self.extents) {
                    let (Some(one), Some(two)) = (routes.get(other), routes.get(at)) else { continue };
                    if lead_alike(one, two) {
                        continue;
                    }
                    let Some(both) = self.rules.get(other).and_then(|other| self.both(other, rule)) else { continue };
                    at_odds.extend([other, at]);
                    told.push((two, self.at_odds(one, two, &both)));
                }
            }
        }
        told.into_iter().for_each(|(route, message)| self.tell(route, message));
        at_odds
    }

    fn at_odds(&self, one: &Route, two: &Route, both: &[(Kind, String)]) -> String {
        let what = match sentence(both) {
            both if both.is_empty() => "a referral can match both".to_owned(),
            both => format!("both match a referral with {both}"),
        };
        format!(
            "the routes “{}” ({}) and “{}” have the same priority {}, {}, and {what}; needed: another priority for one of them: the \
             lower number decides",
            one.name,
            self.line(one),
            two.name,
            two.priority,
            difference(one, two)
        )
    }

    /// A referral that both take, with one value of each kind; none where there is none for certain.
    fn both(&self, one: &Rule, two: &Rule) -> Option<Vec<(Kind, String)>> {
        let mut both = Vec::new();
        for kind in Kind::ALL {
            let shown = match (one.get(kind), two.get(kind)) {
                // any two expressions can be true of one referral
                _ if kind == Kind::Fhirpath => continue,
                (Some(a), Some(b)) => Some(self.extents.shared(a, b)?),
                (Some(id), None) | (None, Some(id)) => self.extents.shown_first(id),
                (None, None) => None,
            };
            both.extend(shown.map(|shown| (kind, shown)));
        }
        Some(both)
    }

    /// Rules of which one before, or several together, take everything that they take.
    fn unreachable(&mut self, finder: &Finder, at_odds: &BTreeSet<usize>) {
        self.count = 0;
        let mut told = Vec::new();
        for (at, rule) in self.able() {
            let Some(route) = self.of.routes.get(at).filter(|_| !at_odds.contains(&at)) else { continue };
            if told.len() > FAULTS_MAX {
                break;
            }
            let before = finder.find(rule, at, Wanted::Covering, &self.extents).into_iter();
            let before: Vec<(usize, &Rule)> =
                before.filter_map(|other| Some((other, self.rules.get(other)?))).collect();
            if let Some((by, _)) = before.iter().find(|(_, other)| self.takes_all(other, rule)) {
                let Some(by) = self.of.routes.get(*by) else { continue };
                let first = if by.priority < route.priority {
                    format!("its priority {} before {}", by.priority, route.priority)
                } else {
                    "of equal priorities the name that comes first in the alphabet".to_owned()
                };
                told.push((
                    route,
                    format!(
                        "the route “{}” never decides: “{}” ({}) is tried before it ({first}) and takes every referral that it takes; \
                         needed: a lower number than {} as its priority, or one route less",
                        route.name,
                        by.name,
                        self.line(by),
                        by.priority
                    ),
                ));
                continue;
            }
            if before.len() < 2 {
                continue;
            }
            if let Covered::By(by) = cover(rule, before.into_iter().take(TOGETHER_MAX), &self.extents, PIECES_MAX) {
                let by = by.into_iter().filter_map(|at| self.of.routes.get(at));
                told.push((
                    route,
                    format!(
                        "the route “{}” never decides: {} are tried before it and together take every referral that it takes; needed: a \
                         lower number than one of these as its priority, or one route less",
                        route.name,
                        self.names(by)
                    ),
                ));
            }
        }
        told.into_iter().for_each(|(route, message)| self.tell(route, message));
    }

    /// Whether one condition of the other always holds where a condition of the rule does, for each.
    fn takes_all(&self, other: &Rule, rule: &Rule) -> bool {
        Kind::ALL.into_iter().filter(|kind| other.kinds & bit(*kind) != 0).all(|kind| {
            match (other.get(kind), rule.get(kind)) {
                (Some(outer), Some(inner)) => self.extents.takes_all(outer, inner),
                _ => false,
            }
        })
    }

    fn gaps(&mut self, finder: &Finder, coverages: &[Rule]) {
        self.count = 0;
        for (coverage, rule) in self.of.coverages.iter().zip(coverages) {
            let taking = finder.find(rule, usize::MAX, Wanted::Covering, &self.extents);
            let taking = taking.iter().filter_map(|at| Some((*at, self.rules.get(*at)?)));
            let name = &coverage.name;
            let message = match cover(rule, taking, &self.extents, COMBINATIONS_MAX) {
                Covered::By(_) => continue,
                Covered::Open(first) => {
                    let what = match sentence(&first) {
                        first if first.is_empty() => "every referral that it means".to_owned(),
                        first => format!("every referral with {first}"),
                    };
                    format!(
                        "the coverage “{name}” has a gap: no route takes {what}; needed: a route for it, or a coverage without it"
                    )
                }
                Covered::Unknown => format!(
                    "the coverage “{name}” has more than {COMBINATIONS_MAX} combinations of values and cannot be checked; needed: several \
                     that are smaller"
                ),
            };
            self.tell_at(coverage.spot.clone(), message);
        }
    }

    fn tell(&mut self, route: &Route, message: String) {
        if let Some(spot) = self.of.spots.get(&route.name) {
            self.tell_at(spot.clone(), message);
        }
    }

    fn tell_at(&mut self, spot: Spot, message: String) {
        self.count += 1;
        match self.count.cmp(&(FAULTS_MAX + 1)) {
            std::cmp::Ordering::Less => self.found.push((spot, message)),
            std::cmp::Ordering::Equal => {
                self.found.push((spot, format!("{message}; and there are more of the kind, which are not told")));
            }
            std::cmp::Ordering::Greater => {}
        }
    }

    fn line(&self, route: &Route) -> String {
        let line = self.of.spots.get(&route.name).map(|spot| (self.of.line_of)(spot));
        format!("line {}", line.unwrap_or_default())
    }

    fn names<'r>(&self, routes: impl Iterator<Item = &'r Route>) -> String {
        let mut named: Vec<String> = routes.map(|route| format!("“{}” ({})", route.name, self.line(route))).collect();
        if named.len() > NAMED_MAX {
            let more = named.len() - NAMED_MAX;
            named.truncate(NAMED_MAX);
            named.push(format!("{more} more"));
        }
        listed(&named)
    }
}

/// Whether two rules do the same with a referral.
fn lead_alike(one: &Route, two: &Route) -> bool {
    (one.share, &one.fallback, &one.terms) == (two.share, &two.fallback, &two.terms) && same_targets(one, two)
}

/// Whatever the order.
fn same_targets(one: &Route, two: &Route) -> bool {
    one.to == two.to || (one.to.len() == two.to.len() && one.to.iter().all(|inbox| two.to.contains(inbox)))
}

/// In what two rules differ that do not do the same.
fn difference(one: &Route, two: &Route) -> &'static str {
    if !same_targets(one, two) {
        "lead to different inboxes"
    } else if one.share != two.share {
        "share the referral in different ways"
    } else if one.fallback != two.fallback {
        "have different inboxes stand in"
    } else {
        "give different times"
    }
}

/// Such as “code 1, patient-area CH and urgency stat”.
fn sentence(values: &[(Kind, String)]) -> String {
    listed(&values.iter().map(|(kind, value)| format!("{} {value}", kind.word())).collect::<Vec<_>>())
}

fn listed(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests;

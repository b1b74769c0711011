//! Finds the rules that a referral may match among many: each rule is put under the rarest of its values, or pairs of values of its two
//! rarest conditions, and a referral looks under those that it has. What is found is tried like any other rule, so the index can
//! only leave out what cannot match.

mod said;

use std::collections::{HashMap, HashSet};

use super::{AreaWanted, CodeWanted, Condition, Facts, Kind, Route, RouteSet, key::Keys};
use said::Said;

/// A rule is put under no more pairs of values than this; with more, one condition alone finds it.
const PAIRS_MAX: usize = 256;
/// Nor are there more pairs of all rules together.
const ALL_PAIRS_MAX: usize = 1 << 20;
/// A value that no more rules ask for is rare enough by itself.
const FEW: usize = 4;
/// Of so few rules all are tried: that costs less than to look at what the referral says.
const TRIED_MAX: usize = 32;
/// So many rules that ask for a value are remembered for explanations.
const NEAR_MAX: usize = 100;
/// No more rules behind the first that matches are looked at for an explanation.
const LOOKED_AT_MAX: usize = 1_000;

/// The rules of a set by what they ask for. A rule is its place in the order in which they are tried.
#[derive(Debug, Default)]
pub(super) struct Index {
    keys: HashMap<Box<str>, u32>,
    /// The named sets that hold what has this key.
    sets: HashMap<u32, Vec<u32>>,
    /// Which kinds of conditions rules are put under.
    shapes: Vec<(Kind, Option<Kind>)>,
    rules: HashMap<(u32, u32), Vec<u32>>,
    /// Rules without anything to find them by.
    rest: Vec<u32>,
    /// The first rules that ask for a value in any condition.
    near: HashMap<u32, Vec<u32>>,
    len: usize,
}

/// Stands for the second value where there is none.
const NONE: u32 = u32::MAX;

/// A condition by its keys.
struct Keyed {
    kind: Kind,
    keys: Vec<u32>,
    /// So many rules ask for the commonest of them.
    commonest: usize,
}

// === impl Index ===

impl Index {
    /// Of rules in the order they are tried.
    pub(super) fn of(routes: &[Route]) -> Self {
        let mut index = Self { len: routes.len(), ..Self::default() };
        let mut rules: Vec<Vec<Keyed>> = Vec::with_capacity(routes.len());
        let mut asked: HashMap<u32, usize> = HashMap::new();
        let mut known_sets = HashSet::new();
        for (at, route) in (0..).zip(routes) {
            let keyed: Vec<Keyed> = route.when.iter().filter_map(|one| index.keyed(one, &mut known_sets)).collect();
            for key in keyed.iter().flat_map(|keyed| &keyed.keys) {
                *asked.entry(*key).or_default() += 1;
                let near = index.near.entry(*key).or_default();
                if near.len() < NEAR_MAX {
                    near.push(at);
                }
            }
            rules.push(keyed);
        }
        let mut pairs_left = ALL_PAIRS_MAX;
        for (at, mut keyed) in (0..).zip(rules) {
            for one in &mut keyed {
                one.commonest = one.keys.iter().filter_map(|key| asked.get(key)).copied().max().unwrap_or_default();
            }
            keyed.sort_by_key(|one| (one.commonest, one.keys.len(), one.kind));
            index.put(at, &keyed, &mut pairs_left);
        }
        index
    }

    /// The keys of a condition; none where it cannot be found by any.
    fn keyed(&mut self, condition: &Condition, known_sets: &mut HashSet<u32>) -> Option<Keyed> {
        let kind = condition.kind();
        let keys: Vec<u32> = match condition {
            Condition::Code(values) | Condition::Category(values) => {
                values.iter().map(|wanted| self.code(kind, wanted, known_sets)).collect()
            }
            Condition::PatientArea(values) => {
                values.iter().map(|wanted| self.area(wanted, known_sets)).collect::<Option<_>>()?
            }
            Condition::Performer(values) => values.iter().map(|one| self.id(&Keys::performer(one).own)).collect(),
            Condition::RequesterOrg(values) => values.iter().map(|one| self.id(&Keys::organisation(one).own)).collect(),
            Condition::Language(values) => values.iter().map(|one| self.id(&Keys::language_wanted(one).own)).collect(),
            Condition::System(values) => {
                values.iter().map(|one| self.id(&Keys::flat(kind, one.as_str()).own)).collect()
            }
            Condition::Consent(values) => values.iter().map(|one| self.id(&Keys::flat(kind, one.word()).own)).collect(),
            Condition::Urgency(values) => values.iter().map(|one| self.id(&Keys::flat(kind, one.word()).own)).collect(),
            Condition::PatientAge(_) | Condition::Time(_) | Condition::Fhirpath(_) => return None,
        };
        // a value that is written twice is one
        let keys: HashSet<u32> = keys.into_iter().collect();
        let mut keys: Vec<u32> = keys.into_iter().collect();
        keys.sort_unstable();
        Some(Keyed { kind, keys, commonest: 0 })
    }

    fn code(&mut self, kind: Kind, wanted: &CodeWanted, known_sets: &mut HashSet<u32>) -> u32 {
        let CodeWanted::InSet(set) = wanted else {
            let own = Keys::code(kind, wanted).map(|keys| keys.own).unwrap_or_default();
            return self.id(&own);
        };
        let name = self.id(&Keys::named(kind, &set.name).own);
        if known_sets.insert(name) {
            for code in &set.codes {
                let own = self.id(&Keys::coding_found(kind, code).own);
                self.sets.entry(own).or_default().push(name);
            }
        }
        name
    }

    /// None for what has a shape, and for an area in which something has.
    fn area(&mut self, wanted: &AreaWanted, known_sets: &mut HashSet<u32>) -> Option<u32> {
        let area = match wanted {
            AreaWanted::Piece(piece) => return Some(self.id(&Keys::piece(piece)?.own)),
            AreaWanted::Named(area) => area,
        };
        let pieces: Vec<Keys> = area.pieces.iter().map(Keys::piece).collect::<Option<_>>()?;
        let name = self.id(&Keys::named(Kind::PatientArea, &area.name).own);
        if known_sets.insert(name) {
            for piece in pieces {
                let own = self.id(&piece.own);
                self.sets.entry(own).or_default().push(name);
            }
        }
        Some(name)
    }

    fn id(&mut self, key: &str) -> u32 {
        if let Some(id) = self.keys.get(key) {
            return *id;
        }
        // a file that names so many does not fit into memory
        let id = u32::try_from(self.keys.len()).unwrap_or(NONE);
        self.keys.insert(key.into(), id);
        id
    }

    /// Puts a rule under its rarest condition, or under its two rarest together.
    fn put(&mut self, rule: u32, keyed: &[Keyed], pairs_left: &mut usize) {
        let Some((first, others)) = keyed.split_first() else {
            self.rest.push(rule);
            return;
        };
        let most = PAIRS_MAX.min(*pairs_left);
        let second = others.iter().find(|other| first.keys.len() * other.keys.len() <= most);
        let second = second.filter(|_| first.commonest > FEW);
        let shape = (first.kind, second.map(|second| second.kind));
        if !self.shapes.contains(&shape) {
            self.shapes.push(shape);
        }
        for a in &first.keys {
            let Some(second) = second else {
                self.rules.entry((*a, NONE)).or_default().push(rule);
                continue;
            };
            for b in &second.keys {
                self.rules.entry((*a, *b)).or_default().push(rule);
            }
            *pairs_left = pairs_left.saturating_sub(second.keys.len());
        }
    }

    /// The rules that may match, in the order they are tried; none where looking them up would cost more than trying all.
    fn candidates(&self, said: &Said) -> Option<Vec<u32>> {
        let lookups = self.shapes.iter().map(|(a, b)| said.of(*a).len() * b.map_or(1, |b| said.of(b).len()));
        if lookups.sum::<usize>() >= self.len {
            return None;
        }
        Some(self.look_up(said))
    }

    fn look_up(&self, said: &Said) -> Vec<u32> {
        let mut found = self.rest.clone();
        for (a, b) in &self.shapes {
            let seconds = b.map_or(&[NONE][..], |b| said.of(b));
            for a in said.of(*a) {
                let rules = seconds.iter().filter_map(|b| self.rules.get(&(*a, *b)));
                rules.for_each(|rules| found.extend(rules));
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

// === impl RouteSet ===

impl RouteSet {
    /// The place of the first rule that matches.
    pub(super) fn first_match(&self, facts: &Facts<'_>) -> Option<usize> {
        let matches = |at: &usize| self.routes().get(*at).is_some_and(|route| route.matches(facts));
        let is_large = self.routes().len() > TRIED_MAX;
        match is_large.then(|| self.index.candidates(&self.index.said(facts))).flatten() {
            Some(candidates) => candidates.into_iter().map(|at| at as usize).find(matches),
            None => (0..self.routes().len()).find(matches),
        }
    }

    /// The places of up to `most` rules worth telling of, in the order they are tried: those that match, then those that ask for
    /// something that the referral has. The first that matches is always among them.
    pub(super) fn near(&self, facts: &Facts<'_>, most: usize) -> Vec<usize> {
        let said = self.index.said(facts);
        let matches = |at: &usize| self.routes().get(*at).is_some_and(|route| route.matches(facts));
        let candidates = self.index.candidates(&said).map(|found| found.into_iter().map(|at| at as usize).collect());
        let candidates: Vec<usize> = candidates.unwrap_or_else(|| (0..self.routes().len()).collect());
        let first = candidates.iter().position(matches);
        let after = candidates.iter().skip(first.map_or(candidates.len(), |first| first + 1)).take(LOOKED_AT_MAX);
        let first = first.and_then(|first| candidates.get(first));
        let mut told: Vec<usize> =
            first.into_iter().chain(after.filter(|at| matches(at))).copied().take(most).collect();
        let known: HashSet<usize> = told.iter().copied().collect();
        let mut near: Vec<usize> = Vec::new();
        for key in said.all() {
            near.extend(self.index.near.get(&key).into_iter().flatten().map(|at| *at as usize));
        }
        near.extend(self.index.rest.iter().take(NEAR_MAX).map(|at| *at as usize));
        near.sort_unstable();
        near.dedup();
        let room = most.saturating_sub(told.len());
        told.extend(near.into_iter().filter(|at| !known.contains(at)).take(room));
        told.sort_unstable();
        told
    }
}

#[cfg(test)]
mod tests;

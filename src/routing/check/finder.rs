//! Finds, for a rule, those that may take a part of what it takes, or that may have a value in common with it, without holding each
//! rule against each.

use std::{cell::RefCell, collections::HashMap};

use super::extent::{Extents, Id, Rule, Values, bit};
use crate::routing::Kind;

/// Kinds of which a referral may have several values.
const BY_VALUES: [Kind; 7] = [
    Kind::Code,
    Kind::Category,
    Kind::Performer,
    Kind::RequesterOrg,
    Kind::PatientArea,
    Kind::Language,
    Kind::Fhirpath,
];

/// Rules by what they take.
pub(super) struct Finder {
    /// The extents that have a value with this key.
    own: HashMap<u32, Vec<Id>>,
    /// The extents that have a value within the one with this key.
    within: HashMap<u32, Vec<Id>>,
    /// The extents with shapes.
    shaped: Vec<Id>,
    /// The rules of one set of kinds that have this extent, in the order they are tried.
    by: HashMap<(u16, Id), Vec<usize>>,
    /// The rules of each set of kinds.
    kinds: Vec<(u16, Vec<usize>)>,
    costs: RefCell<HashMap<(Id, Wanted), usize>>,
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Wanted {
    /// Rules that may take a part of what a rule takes.
    Covering,
    /// Rules that may have a value of each kind in common with it.
    Meeting,
}

// === impl Finder ===

impl Finder {
    /// Of some rules, each with its place.
    pub(super) fn of<'a>(rules: impl Iterator<Item = (usize, &'a Rule)>, extents: &Extents<'_>) -> Self {
        let mut finder = Self {
            own: HashMap::new(),
            within: HashMap::new(),
            shaped: Vec::new(),
            by: HashMap::new(),
            kinds: Vec::new(),
            costs: RefCell::default(),
        };
        let mut places: HashMap<u16, usize> = HashMap::new();
        let mut known = vec![false; extents.len()];
        for (at, rule) in rules {
            let place = *places.entry(rule.kinds).or_insert(finder.kinds.len());
            match finder.kinds.get_mut(place) {
                Some((_, rules)) => rules.push(at),
                None => finder.kinds.push((rule.kinds, vec![at])),
            }
            for id in BY_VALUES.iter().filter_map(|kind| rule.get(*kind)) {
                finder.by.entry((rule.kinds, id)).or_default().push(at);
                if let (Some(known @ false), Some(values)) = (known.get_mut(id), extents.values(id)) {
                    *known = true;
                    finder.put(id, values);
                }
            }
        }
        finder
    }

    fn put(&mut self, id: Id, values: &Values) {
        for key in values.own() {
            self.own.entry(*key).or_default().push(id);
        }
        for key in values.values.iter().flat_map(|value| value.within.iter().skip(1)) {
            let within = self.within.entry(*key).or_default();
            if within.last() != Some(&id) {
                within.push(id);
            }
        }
        if values.has_shapes {
            self.shaped.push(id);
        }
    }

    /// The rules before a place that may be what is looked for, each once, in the order they are tried.
    pub(super) fn find(&self, rule: &Rule, before: usize, wanted: Wanted, extents: &Extents<'_>) -> Vec<usize> {
        let by_values = |kinds: u16| BY_VALUES.iter().copied().filter(move |kind| kinds & bit(*kind) != 0);
        // by each kind, found once for all sets of kinds
        let mut found_by: HashMap<Kind, Vec<Id>> = HashMap::new();
        let earlier = |rules: &[usize]| rules.partition_point(|at| *at < before);
        let mut found: Vec<usize> = Vec::new();
        for (kinds, rules) in &self.kinds {
            let asked: u16 = by_values(*kinds).map(bit).sum();
            let common: Vec<Kind> = match wanted {
                // what a referral need not have cannot be asked of it
                Wanted::Covering if asked & !rule.kinds != 0 => continue,
                Wanted::Covering => by_values(*kinds).collect(),
                // any two expressions can be true of one referral
                Wanted::Meeting => by_values(*kinds & rule.kinds).filter(|kind| *kind != Kind::Fhirpath).collect(),
            };
            let cheapest =
                common.into_iter().filter_map(|kind| Some((self.cost(rule.get(kind)?, wanted, extents), kind)));
            let Some((_, kind)) = cheapest.min() else {
                found.extend(rules.iter().take(earlier(rules)));
                continue;
            };
            let ids = found_by.entry(kind).or_insert_with(|| self.extents(rule.get(kind), wanted, extents));
            for rules in ids.iter().filter_map(|id| self.by.get(&(*kinds, *id))) {
                found.extend(rules.iter().take(earlier(rules)));
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The extents that may take a part of one, or have a value in common with it.
    fn extents(&self, of: Option<Id>, wanted: Wanted, extents: &Extents<'_>) -> Vec<Id> {
        let mut found = Vec::new();
        let Some(values) = of.and_then(|id| extents.values(id)) else { return found };
        self.each(values, wanted, |ids| found.extend(ids));
        found.sort_unstable();
        found.dedup();
        found
    }

    /// So many steps it takes to find them.
    fn cost(&self, of: Id, wanted: Wanted, extents: &Extents<'_>) -> usize {
        *self.costs.borrow_mut().entry((of, wanted)).or_insert_with(|| {
            let Some(values) = extents.values(of) else { return usize::MAX };
            let mut cost = values.values.len();
            self.each(values, wanted, |ids| cost += ids.len());
            cost
        })
    }

    fn each(&self, values: &Values, wanted: Wanted, mut each: impl FnMut(&[Id])) {
        for value in &values.values {
            value.within.iter().filter_map(|key| self.own.get(key)).for_each(|ids| each(ids));
            if let (Wanted::Meeting, Some(key)) = (wanted, value.key) {
                self.within.get(&key).into_iter().for_each(|ids| each(ids));
            }
        }
        if values.has_shapes {
            each(&self.shaped);
        }
    }
}

//! What a rehearsal comes to.

use std::collections::BTreeMap;

use serde::Serialize;
use uuid::Uuid;

use super::went::Went;

/// So many kinds of change are told apart; the others are counted together.
pub const KINDS_MAX: usize = 1_000;

/// How a referral would fare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// To other inboxes.
    Elsewhere,
    /// Nowhere: its sender is told why.
    Refused,
    /// To triage, as no route matches any more.
    Triage,
}

/// A referral that would fare otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Its ServiceRequest.
    pub request: Uuid,
    /// How.
    pub change: Change,
    /// Where it went.
    pub was: Went,
    /// Where it would go.
    pub goes: Went,
}

/// Referrals of one kind of change.
#[derive(Debug, Clone, Default)]
pub struct Alike {
    /// So many.
    pub count: u64,
    /// ServiceRequest ids of the first.
    pub examples: Vec<Uuid>,
}

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Go where they went.
    pub same: u64,
    /// Of those, by another route.
    pub other_route: u64,
    changes: BTreeMap<Change, u64>,
    kinds: BTreeMap<(Change, Went, Went), Alike>,
    /// Changes of more kinds than [`KINDS_MAX`].
    pub of_more_kinds: u64,
    /// Went somewhere that was not kept.
    pub unknown: u64,
    /// Cannot be read any more.
    pub unreadable: u64,
    examples_max: usize,
}

impl Tally {
    /// Nothing yet; of each kind of change so many referrals are named.
    pub fn new(examples_max: usize) -> Self {
        Self {
            same: 0,
            other_route: 0,
            changes: BTreeMap::new(),
            kinds: BTreeMap::new(),
            of_more_kinds: 0,
            unknown: 0,
            unreadable: 0,
            examples_max,
        }
    }

    /// One referral: where it went, and where it would go. None: that does not tell, or it cannot be read any more. Gives what changes
    /// for it, if anything does.
    pub fn add(&mut self, request: Uuid, was: Option<Went>, goes: Option<Went>) -> Option<Changed> {
        let (was, goes) = match (was, goes) {
            (_, None) => {
                self.unreadable += 1;
                return None;
            }
            (None, _) => {
                self.unknown += 1;
                return None;
            }
            (Some(was), Some(goes)) => (was, goes),
        };
        let change = match &goes {
            Went { refused: Some(_), .. } => Change::Refused,
            _ if was.inboxes == goes.inboxes => {
                self.same += 1;
                self.other_route += u64::from(was.route != goes.route);
                return None;
            }
            Went { route: None, .. } => Change::Triage,
            _ => Change::Elsewhere,
        };
        *self.changes.entry(change).or_default() += 1;
        let kind = (change, was.clone(), goes.clone());
        if self.kinds.len() >= KINDS_MAX && !self.kinds.contains_key(&kind) {
            self.of_more_kinds += 1;
        } else {
            let some = self.kinds.entry(kind).or_default();
            some.count += 1;
            if some.examples.len() < self.examples_max {
                some.examples.push(request);
            }
        }
        Some(Changed { request, change, was, goes })
    }

    /// So many fare in this way.
    pub fn of(&self, change: Change) -> u64 {
        self.changes.get(&change).copied().unwrap_or_default()
    }

    /// The kinds of change, with where such referrals went and would go, the most frequent first.
    pub fn kinds(&self) -> Vec<(&(Change, Went, Went), &Alike)> {
        let mut kinds: Vec<_> = self.kinds.iter().collect();
        kinds.sort_by_key(|(_, some)| std::cmp::Reverse(some.count));
        kinds
    }

    /// So many referrals were looked at.
    pub fn total(&self) -> u64 {
        self.same + self.unlike()
    }

    /// So many would go elsewhere, or could not be compared.
    pub fn unlike(&self) -> u64 {
        self.changes.values().sum::<u64>() + self.unknown + self.unreadable
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn to(inbox: &str, route: &str) -> Went {
        Went { inboxes: BTreeSet::from([inbox.to_owned()]), route: Some(route.to_owned()), refused: None }
    }

    #[test]
    fn what_changes_is_counted_by_kind_and_named_so_many_times() {
        let mut tally = Tally::new(1);
        assert_eq!(tally.add(Uuid::now_v7(), Some(to("a", "r")), Some(to("a", "s"))), None);
        for _ in 0..3 {
            let changed = tally.add(Uuid::now_v7(), Some(to("a", "r")), Some(to("b", "r"))).unwrap();
            assert_eq!(changed.change, Change::Elsewhere);
        }
        let nowhere = Went { inboxes: BTreeSet::new(), route: None, refused: Some("no route matches".into()) };
        tally.add(Uuid::now_v7(), Some(to("a", "r")), Some(nowhere));
        tally.add(Uuid::now_v7(), None, Some(to("a", "r")));
        tally.add(Uuid::now_v7(), Some(to("a", "r")), None);
        assert_eq!((tally.total(), tally.unlike(), tally.same, tally.other_route), (7, 6, 1, 1));
        assert_eq!((tally.of(Change::Elsewhere), tally.of(Change::Refused), tally.of(Change::Triage)), (3, 1, 0));
        let kinds = tally.kinds();
        assert_eq!((kinds.len(), kinds[0].1.count, kinds[0].1.examples.len()), (2, 3, 1));
    }

    #[test]
    fn no_more_kinds_than_are_told_apart() {
        let mut tally = Tally::new(0);
        for n in 0..KINDS_MAX + 5 {
            tally.add(Uuid::now_v7(), Some(to("a", "r")), Some(to(&format!("b{n}"), "r")));
        }
        assert_eq!((tally.kinds().len(), tally.of_more_kinds), (KINDS_MAX, 5));
        assert_eq!(tally.of(Change::Elsewhere), (KINDS_MAX + 5) as u64);
    }
}

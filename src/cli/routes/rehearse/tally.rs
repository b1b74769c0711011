//! What a rehearsal comes to.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::went::Went;
use crate::{domain::clock::instant, routing::RouteSet};

/// So many kinds of change are told apart; the others are counted together.
const KINDS_MAX: usize = 1_000;

/// How a referral would fare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Change {
    /// To other inboxes.
    Elsewhere,
    /// Nowhere: its sender is told why.
    Refused,
    /// To triage, as no route matches any more.
    Triage,
}

/// Referrals of one kind of change.
#[derive(Debug, Default)]
struct Alike {
    count: u64,
    /// ServiceRequest ids of the first.
    examples: Vec<Uuid>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Tally {
    same: u64,
    /// Of those, by another route.
    other_route: u64,
    changes: BTreeMap<Change, u64>,
    kinds: BTreeMap<(Change, Went, Went), Alike>,
    /// Changes of kinds beyond those.
    of_more_kinds: u64,
    unknown: u64,
    unreadable: u64,
    examples_max: usize,
    json: bool,
}

impl Tally {
    /// Nothing yet. With `json`, every referral that would go elsewhere is told at once.
    pub(super) fn new(examples_max: usize, json: bool) -> Self {
        Self {
            same: 0,
            other_route: 0,
            changes: BTreeMap::new(),
            kinds: BTreeMap::new(),
            of_more_kinds: 0,
            unknown: 0,
            unreadable: 0,
            examples_max,
            json,
        }
    }

    /// One referral: where it went, and where it would go. None: that does not tell, or it cannot be read any more.
    pub(super) fn add(&mut self, request: Uuid, was: Option<Went>, goes: Option<Went>) {
        let (was, goes) = match (was, goes) {
            (_, None) => {
                self.unreadable += 1;
                return;
            }
            (None, _) => {
                self.unknown += 1;
                return;
            }
            (Some(was), Some(goes)) => (was, goes),
        };
        let change = match &goes {
            Went { refused: Some(_), .. } => Change::Refused,
            _ if was.inboxes == goes.inboxes => {
                self.same += 1;
                self.other_route += u64::from(was.route != goes.route);
                return;
            }
            Went { route: None, .. } => Change::Triage,
            _ => Change::Elsewhere,
        };
        *self.changes.entry(change).or_default() += 1;
        if self.json {
            say!("{}", json!({"kind": "referral", "request": request, "change": change, "from": was, "to": goes}));
        }
        let kind = (change, was, goes);
        if self.kinds.len() >= KINDS_MAX && !self.kinds.contains_key(&kind) {
            self.of_more_kinds += 1;
            return;
        }
        let some = self.kinds.entry(kind).or_default();
        some.count += 1;
        if some.examples.len() < self.examples_max {
            some.examples.push(request);
        }
    }

    /// So many referrals were looked at.
    pub(super) fn total(&self) -> u64 {
        self.same + self.unlike()
    }

    /// So many would go elsewhere, or could not be compared.
    pub(super) fn unlike(&self) -> u64 {
        self.changes.values().sum::<u64>() + self.unknown + self.unreadable
    }

    /// Prints what it came to.
    pub(super) fn tell(&self, candidate: &RouteSet, from: Timestamp, until: Timestamp) {
        let of = |change| self.changes.get(&change).copied().unwrap_or_default();
        let (elsewhere, refused, triage) = (of(Change::Elsewhere), of(Change::Refused), of(Change::Triage));
        let mut kinds: Vec<_> = self.kinds.iter().collect();
        kinds.sort_by_key(|(_, some)| std::cmp::Reverse(some.count));
        if self.json {
            for ((change, was, goes), some) in kinds {
                let (count, examples) = (some.count, &some.examples);
                say!(
                    "{}",
                    json!({"kind": "change", "change": change, "from": was, "to": goes, "count": count, "examples": examples})
                );
            }
            say!(
                "{}",
                json!({"kind": "totals", "version": candidate.version(), "from": instant(from), "until": instant(until),
                    "referrals": self.total(), "same": self.same, "same-by-another-route": self.other_route,
                    "elsewhere": elsewhere, "refused": refused, "triage": triage, "unknown": self.unknown,
                    "unreadable": self.unreadable, "of-more-kinds": self.of_more_kinds})
            );
            return;
        }
        say!(
            "Route set {} on {} referrals, from {} until {}:",
            candidate.version(),
            self.total(),
            instant(from),
            instant(until)
        );
        let by_other = match self.other_route {
            0 => String::new(),
            other => format!(", {other} of them by another route"),
        };
        say!("  {:>9}  go where they went{by_other}", self.same);
        say!("  {elsewhere:>9}  go elsewhere");
        say!("  {refused:>9}  are refused");
        say!("  {triage:>9}  go to triage");
        if self.unknown > 0 {
            say!("  {:>9}  went somewhere that was not kept", self.unknown);
        }
        if self.unreadable > 0 {
            say!("  {:>9}  cannot be read any more", self.unreadable);
        }
        for ((_, was, goes), some) in kinds {
            say!("\n{was} → {goes} ({} → {}): {}", was.route(), goes.route(), some.count);
            for request in &some.examples {
                say!("  ServiceRequest/{request}");
            }
        }
        if self.of_more_kinds > 0 {
            say!("\n{} more, of other kinds", self.of_more_kinds);
        }
    }
}

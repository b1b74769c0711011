//! Whether several rules together take everything that a rule takes. What it takes is cut into pieces, of which each is one value of
//! each of its conditions; values of which the others make no difference are one piece. Only what is proven is said.

use std::collections::{BTreeSet, HashMap};

use super::{
    extent::{Extents, Id, Rule, bit},
    states::Bits,
};
use crate::routing::Kind;

/// What came of it.
pub(super) enum Covered {
    /// Every piece is taken by one of these rules.
    By(BTreeSet<usize>),
    /// The first piece that none takes.
    Open(Vec<(Kind, String)>),
    /// It has too many pieces.
    Unknown,
}

/// A kind of condition that pieces differ in.
struct Side {
    kind: Kind,
    /// The condition of the rule; none where it asks for nothing of the kind.
    of: Option<Id>,
    /// The states that it takes; none where it takes single values.
    states: Option<Bits>,
}

/// A part of a side that is taken.
enum Taken {
    All,
    /// Values by their place.
    Values(Vec<usize>),
    /// The states of a condition.
    States(Id),
}

struct Candidate {
    rule: usize,
    taken: Vec<Taken>,
    /// From this side on it takes all.
    all_from: usize,
}

struct Walk<'w, 'r> {
    extents: &'w Extents<'r>,
    sides: Vec<Side>,
    candidates: Vec<Candidate>,
    steps_left: usize,
    used: BTreeSet<usize>,
    /// The value or state of each side that the walk has come to.
    at: Vec<usize>,
}

/// How a walk over some pieces ended.
enum End {
    Taken,
    Open,
    TooMany,
}

/// Whether some rules, each with its place, together take everything that a rule takes, asked in so many steps.
pub(super) fn cover<'a>(
    of: &Rule,
    by: impl Iterator<Item = (usize, &'a Rule)> + Clone,
    extents: &Extents<'_>,
    steps_max: usize,
) -> Covered {
    let asked = by.clone().fold(of.kinds, |kinds, (_, rule)| kinds | rule.kinds);
    let side = |kind: Kind| {
        let states = of.get(kind).and_then(|id| extents.states(id).cloned());
        let all = || of.get(kind).is_none().then(|| extents.states.len(kind).map(|_| extents.states.all(kind)));
        Side { kind, of: of.get(kind), states: states.or_else(|| all().flatten()) }
    };
    let sides: Vec<Side> = Kind::ALL.into_iter().filter(|kind| asked & bit(*kind) != 0).map(side).collect();
    let keyed: Vec<_> = sides.iter().map(|side| keyed(side, extents)).collect();
    let candidates = by.filter_map(|(rule, other)| {
        let taken = sides.iter().zip(&keyed).map(|(side, keyed)| taken(side, keyed, other.get(side.kind), extents));
        let taken: Vec<Taken> = taken.collect::<Option<_>>()?;
        let all_from = taken.iter().rposition(|taken| !matches!(taken, Taken::All)).map_or(0, |last| last + 1);
        Some(Candidate { rule, taken, all_from })
    });
    let candidates: Vec<Candidate> = candidates.collect();
    let left: Vec<usize> = (0..candidates.len()).collect();
    let mut walk = Walk { extents, sides, candidates, steps_left: steps_max, used: BTreeSet::new(), at: Vec::new() };
    match walk.walk(&left) {
        End::Taken => Covered::By(walk.used),
        End::Open => Covered::Open(walk.shown()),
        End::TooMany => Covered::Unknown,
    }
}

/// The values of a side by the keys that they are within.
fn keyed(side: &Side, extents: &Extents<'_>) -> HashMap<u32, Vec<usize>> {
    let mut keyed: HashMap<u32, Vec<usize>> = HashMap::new();
    let values = side.of.and_then(|id| extents.values(id));
    for (at, value) in values.into_iter().flat_map(|values| &values.values).enumerate() {
        value.within.iter().for_each(|key| keyed.entry(*key).or_default().push(at));
    }
    keyed
}

/// What a condition of another rule takes of a side; none where that is nothing.
fn taken(side: &Side, keyed: &HashMap<u32, Vec<usize>>, by: Option<Id>, extents: &Extents<'_>) -> Option<Taken> {
    let Some(by) = by.filter(|by| side.of != Some(*by)) else { return Some(Taken::All) };
    if let Some(states) = &side.states {
        let taken = extents.states(by)?;
        if states.is_within(taken) {
            return Some(Taken::All);
        }
        return states.and(taken).first().map(|_| Taken::States(by));
    }
    let of = side.of?;
    let values = extents.values(of)?;
    let own = extents.values(by)?.own();
    // whichever is shorter is gone through
    let mut taken: Vec<usize> = if own.len() < values.values.len() {
        own.iter().filter_map(|key| keyed.get(key)).flatten().copied().collect()
    } else {
        let is_taken =
            |at: &usize| values.values.get(*at).is_some_and(|value| value.within.iter().any(|key| own.contains(key)));
        (0..values.values.len()).filter(is_taken).collect()
    };
    if values.has_shapes {
        let shapes = values.values.iter().enumerate().filter(|(_, value)| value.key.is_none());
        taken.extend(shapes.filter(|(_, value)| extents.takes_value(by, of, value)).map(|(at, _)| at));
    }
    taken.sort_unstable();
    taken.dedup();
    match taken.len() {
        0 => None,
        all if all == values.values.len() => Some(Taken::All),
        _ => Some(Taken::Values(taken)),
    }
}

// === impl Walk ===

impl Walk<'_, '_> {
    /// Goes over all pieces that have the values and states which it has come to. `left` are the candidates that take those.
    fn walk(&mut self, left: &[usize]) -> End {
        let depth = self.at.len();
        let by = left.iter().filter_map(|at| self.candidates.get(*at)).find(|one| one.all_from <= depth);
        if let Some(by) = by {
            self.used.insert(by.rule);
            return End::Taken;
        }
        if left.is_empty() {
            return End::Open;
        }
        let Some(pieces) = self.pieces(depth, left) else { return End::TooMany };
        for (at, left) in pieces {
            let Some(steps_left) = self.steps_left.checked_sub(1) else { return End::TooMany };
            self.steps_left = steps_left;
            self.at.push(at);
            match self.walk(&left) {
                End::Taken => self.at.pop(),
                ended => return ended,
            };
        }
        End::Taken
    }

    /// One value or state for each piece of a side, with the candidates that take it; none where there are too many.
    fn pieces(&self, depth: usize, left: &[usize]) -> Option<Vec<(usize, Vec<usize>)>> {
        let side = self.sides.get(depth)?;
        match &side.states {
            Some(states) => self.pieces_of_states(depth, left, states),
            None => Some(self.pieces_of_values(depth, left, side)),
        }
    }

    fn pieces_of_values(&self, depth: usize, left: &[usize], side: &Side) -> Vec<(usize, Vec<usize>)> {
        let count = side.of.and_then(|id| self.extents.values(id)).map_or(0, |values| values.values.len());
        let mut takers: Vec<Vec<usize>> = vec![Vec::new(); count];
        let mut of_all = Vec::new();
        for &at in left {
            match self.candidates.get(at).and_then(|one| one.taken.get(depth)) {
                Some(Taken::Values(values)) => {
                    for value in values {
                        if let Some(takers) = takers.get_mut(*value) {
                            takers.push(at);
                        }
                    }
                }
                _ => of_all.push(at),
            }
        }
        let mut known = BTreeSet::new();
        let mut pieces = Vec::new();
        for (value, takers) in takers.into_iter().enumerate() {
            if known.insert(takers.clone()) {
                let mut takers = [of_all.as_slice(), &takers].concat();
                takers.sort_unstable();
                pieces.push((value, takers));
            }
        }
        pieces
    }

    fn pieces_of_states(&self, depth: usize, left: &[usize], all: &Bits) -> Option<Vec<(usize, Vec<usize>)>> {
        let mut by_condition: HashMap<Option<Id>, Vec<usize>> = HashMap::new();
        for &at in left {
            let condition = match self.candidates.get(at).and_then(|one| one.taken.get(depth)) {
                Some(Taken::States(id)) => Some(*id),
                _ => None,
            };
            by_condition.entry(condition).or_default().push(at);
        }
        let of_all = by_condition.remove(&None).unwrap_or_default();
        let mut pieces = vec![(all.clone(), of_all)];
        for (condition, takers) in by_condition {
            let Some(states) = condition.and_then(|id| self.extents.states(id)) else { continue };
            let cut = |(piece, of): (Bits, Vec<usize>)| {
                let inside = (piece.and(states), [of.as_slice(), &takers].concat());
                [inside, (piece.without(states), of)].into_iter().filter(|(piece, _)| piece.first().is_some())
            };
            pieces = pieces.into_iter().flat_map(cut).collect();
            if pieces.len() > self.steps_left {
                return None;
            }
        }
        let place = |(piece, mut takers): (Bits, Vec<usize>)| {
            takers.sort_unstable();
            Some((piece.first()?, takers))
        };
        let mut pieces: Vec<_> = pieces.into_iter().filter_map(place).collect();
        pieces.sort_unstable();
        Some(pieces)
    }

    /// The piece that the walk has come to, in words. Behind it any value will do: the first of those that the rule asks for is told.
    fn shown(&self) -> Vec<(Kind, String)> {
        let told = self.sides.iter().enumerate().filter_map(|(depth, side)| {
            let shown = match (self.at.get(depth), side.of) {
                (Some(state), _) if side.states.is_some() => Some(self.extents.states.shown(side.kind, *state)),
                (Some(at), Some(id)) => {
                    let values = self.extents.values(id)?;
                    values.values.get(*at).map(|value| self.extents.shown(id, value))
                }
                (_, Some(id)) => self.extents.shown_first(id),
                (_, None) => None,
            };
            Some((side.kind, shown?))
        });
        told.collect()
    }
}

//! What a condition takes, made comparable: single values with their keys, or states. Equal conditions of several rules are one.

use std::collections::{HashMap, HashSet};

use super::{
    shape,
    states::{Bits, States},
};
use crate::routing::{AreaWanted, CodeWanted, Condition, Kind, Piece, key::Keys};

/// No more single values are compared, counted once for each different condition. More are only compared as conditions that are equal.
const VALUES_MAX: usize = 2_000_000;
/// Nor more different conditions on the time.
const TIMES_MAX: usize = 1_000;

/// The place of an extent among all.
pub(super) type Id = usize;

/// All that the conditions of a set take.
pub(super) struct Extents<'r> {
    pub(super) states: States,
    all: Vec<Extent<'r>>,
    known: HashMap<(Kind, String), Id>,
    keys: HashMap<String, u32>,
    values: usize,
    times: usize,
}

pub(super) struct Extent<'r> {
    pub(super) condition: &'r Condition,
    pub(super) takes: Takes,
}

pub(super) enum Takes {
    /// A referral may have several values of which each is compared by itself.
    Values(Values),
    States(Bits),
    /// The states of all: the condition always holds.
    All,
}

#[derive(Default)]
pub(super) struct Values {
    pub(super) values: Vec<Value>,
    /// The keys of the values.
    own: HashSet<u32>,
    pub(super) has_shapes: bool,
}

pub(super) struct Value {
    /// None for what has a shape.
    pub(super) key: Option<u32>,
    /// The keys of values that take all that it takes, itself the first.
    pub(super) within: Vec<u32>,
    /// Its place in the condition, and in the set that stands there.
    at: (usize, usize),
}

// === impl Extents ===

impl<'r> Extents<'r> {
    pub(super) fn new(states: States) -> Self {
        Self { states, all: Vec::new(), known: HashMap::new(), keys: HashMap::new(), values: 0, times: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, id: Id) -> Option<&Extent<'r>> {
        self.all.get(id)
    }

    pub(super) fn values(&self, id: Id) -> Option<&Values> {
        match &self.get(id)?.takes {
            Takes::Values(values) => Some(values),
            _ => None,
        }
    }

    pub(super) fn states(&self, id: Id) -> Option<&Bits> {
        match &self.get(id)?.takes {
            Takes::States(bits) => Some(bits),
            _ => None,
        }
    }

    /// The extent of a condition.
    pub(super) fn of(&mut self, condition: &'r Condition) -> Id {
        let kind = condition.kind();
        let mut wanted = condition.wanted();
        wanted.sort_unstable();
        wanted.dedup();
        let name = (kind, wanted.iter().map(|text| format!("{}|{text}", text.len())).collect());
        if let Some(id) = self.known.get(&name) {
            return *id;
        }
        let takes = self.takes(condition, &name.1);
        let id = self.all.len();
        self.all.push(Extent { condition, takes });
        self.known.insert(name, id);
        id
    }

    fn takes(&mut self, condition: &'r Condition, name: &str) -> Takes {
        let kind = condition.kind();
        if kind == Kind::Time {
            self.times += 1;
        }
        if let (Some(bits), true) = (self.states.taken(condition), self.times <= TIMES_MAX || kind != Kind::Time) {
            return if bits == self.states.all(kind) { Takes::All } else { Takes::States(bits) };
        }
        let mut values = Values::default();
        let count = counted(condition);
        if self.values + count > VALUES_MAX || kind == Kind::Time {
            let key = self.key(&Keys::flat(kind, name).own);
            values.put(Some(key), vec![key], (0, 0));
            return Takes::Values(values);
        }
        self.values += count;
        match condition {
            Condition::Code(wanted) | Condition::Category(wanted) => {
                for (at, one) in wanted.iter().enumerate() {
                    match (one, Keys::code(kind, one)) {
                        (CodeWanted::InSet(set), _) => {
                            for (part, code) in set.codes.iter().enumerate() {
                                self.put(&mut values, &Keys::coding_found(kind, code), (at, part));
                            }
                        }
                        (_, Some(keys)) => self.put(&mut values, &keys, (at, 0)),
                        (_, None) => {}
                    }
                }
            }
            Condition::PatientArea(wanted) => {
                for (at, one) in wanted.iter().enumerate() {
                    for (part, piece) in pieces(one).iter().enumerate() {
                        match Keys::piece(piece) {
                            Some(keys) => self.put(&mut values, &keys, (at, part)),
                            None => values.put(None, Vec::new(), (at, part)),
                        }
                    }
                }
            }
            Condition::Performer(wanted) => self.put_all(&mut values, wanted.iter().map(Keys::performer)),
            Condition::RequesterOrg(wanted) => {
                self.put_all(&mut values, wanted.iter().map(|one| Keys::organisation(one)));
            }
            Condition::Language(wanted) => self.put_all(&mut values, wanted.iter().map(Keys::language_wanted)),
            Condition::Fhirpath(wanted) => {
                self.put_all(&mut values, wanted.iter().map(|one| Keys::flat(kind, &one.to_string())));
            }
            Condition::System(_)
            | Condition::PatientAge(_)
            | Condition::Consent(_)
            | Condition::Urgency(_)
            | Condition::Time(_) => {}
        }
        Takes::Values(values)
    }

    fn put_all(&mut self, values: &mut Values, keys: impl Iterator<Item = Keys>) {
        keys.enumerate().for_each(|(at, keys)| self.put(values, &keys, (at, 0)));
    }

    fn put(&mut self, values: &mut Values, keys: &Keys, at: (usize, usize)) {
        let within: Vec<u32> = keys.all().map(|key| self.key(key)).collect();
        values.put(within.first().copied(), within, at);
    }

    fn key(&mut self, key: &str) -> u32 {
        if let Some(id) = self.keys.get(key) {
            return *id;
        }
        // a file that names so many does not fit into memory
        let id = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        self.keys.insert(key.to_owned(), id);
        id
    }

    /// Whether a value of one extent certainly takes nothing but what another extent takes.
    pub(super) fn takes_value(&self, outer: Id, inner: Id, value: &Value) -> bool {
        let Some(taken) = self.values(outer) else { return false };
        if value.key.is_some() {
            return value.within.iter().any(|key| taken.own.contains(key));
        }
        let Some(piece) = self.piece(inner, value) else { return false };
        self.pieces(outer).any(|(_, one)| shape::lies_in(piece, one))
    }

    /// Whether an extent certainly takes everything that another takes.
    pub(super) fn takes_all(&self, outer: Id, inner: Id) -> bool {
        if outer == inner {
            return true;
        }
        match (self.get(outer).map(|one| &one.takes), self.get(inner).map(|one| &one.takes)) {
            (Some(Takes::All), _) => true,
            (Some(Takes::States(outer)), Some(Takes::States(inner))) => inner.is_within(outer),
            (Some(Takes::Values(_)), Some(Takes::Values(of))) => {
                of.values.iter().all(|value| self.takes_value(outer, inner, value))
            }
            _ => false,
        }
    }

    /// A value or state that certainly is in both, in words.
    pub(super) fn shared(&self, a: Id, b: Id) -> Option<String> {
        let kind = self.get(a)?.condition.kind();
        match (&self.get(a)?.takes, &self.get(b)?.takes) {
            (Takes::All, _) => self.shown_first(b),
            (_, Takes::All) => self.shown_first(a),
            (Takes::States(one), Takes::States(other)) => {
                one.and(other).first().map(|state| self.states.shown(kind, state))
            }
            (Takes::Values(one), Takes::Values(other)) => {
                // the narrower of two is what both take
                let of_one = one.values.iter().find(|value| value.within.iter().any(|key| other.own.contains(key)));
                let of_other =
                    || other.values.iter().find(|value| value.within.iter().any(|key| one.own.contains(key)));
                let narrow = of_one.map(|value| self.shown(a, value));
                let narrow = narrow.or_else(|| of_other().map(|value| self.shown(b, value)));
                narrow.or_else(|| {
                    let mut shapes = self.pieces(a).filter(|_| other.has_shapes);
                    let meets = |piece: &Piece| self.pieces(b).any(|(_, other)| shape::meet(piece, other));
                    shapes.find(|(_, piece)| meets(piece)).map(|(value, _)| self.shown(a, value))
                })
            }
            _ => None,
        }
    }

    /// A value in words.
    pub(super) fn shown(&self, id: Id, value: &Value) -> String {
        let (at, part) = value.at;
        let Some(extent) = self.get(id) else { return String::new() };
        match extent.condition {
            Condition::Code(wanted) | Condition::Category(wanted) => match wanted.get(at) {
                Some(CodeWanted::InSet(set)) => set.codes.iter().nth(part).map(ToString::to_string).unwrap_or_default(),
                other => other.map(ToString::to_string).unwrap_or_default(),
            },
            Condition::PatientArea(wanted) => match (wanted.get(at), self.piece(id, value)) {
                (Some(AreaWanted::Named(area)), Some(piece)) if value.key.is_none() => {
                    format!("{piece} of {}", area.name)
                }
                (_, piece) => piece.map(ToString::to_string).unwrap_or_default(),
            },
            other => other.wanted().get(at).cloned().unwrap_or_default(),
        }
    }

    /// The first that it takes, in words.
    pub(super) fn shown_first(&self, id: Id) -> Option<String> {
        let extent = self.get(id)?;
        let kind = extent.condition.kind();
        match &extent.takes {
            Takes::Values(values) => values.values.first().map(|value| self.shown(id, value)),
            Takes::States(bits) => bits.first().map(|state| self.states.shown(kind, state)),
            Takes::All => None,
        }
    }

    fn piece(&self, id: Id, value: &Value) -> Option<&'r Piece> {
        let Condition::PatientArea(wanted) = self.get(id)?.condition else { return None };
        pieces(wanted.get(value.at.0)?).get(value.at.1)
    }

    /// The values with a shape.
    fn pieces(&self, id: Id) -> impl Iterator<Item = (&Value, &'r Piece)> {
        let values = self.values(id).filter(|values| values.has_shapes);
        let shapes = values.into_iter().flat_map(|values| &values.values).filter(|value| value.key.is_none());
        shapes.filter_map(move |value| self.piece(id, value).map(|piece| (value, piece)))
    }
}

fn pieces(wanted: &AreaWanted) -> &[Piece] {
    match wanted {
        AreaWanted::Piece(piece) => std::slice::from_ref(piece),
        AreaWanted::Named(area) => &area.pieces,
    }
}

/// So many single values a condition has.
fn counted(condition: &Condition) -> usize {
    match condition {
        Condition::Code(wanted) | Condition::Category(wanted) => {
            let of = |one: &CodeWanted| match one {
                CodeWanted::InSet(set) => set.codes.len(),
                _ => 1,
            };
            wanted.iter().map(of).sum()
        }
        Condition::PatientArea(wanted) => wanted.iter().map(|one| pieces(one).len()).sum(),
        _ => 1,
    }
}

// === impl Values ===

impl Values {
    fn put(&mut self, key: Option<u32>, within: Vec<u32>, at: (usize, usize)) {
        match key {
            // what stands there twice is one
            Some(key) if !self.own.insert(key) => return,
            Some(_) => {}
            None => self.has_shapes = true,
        }
        self.values.push(Value { key, within, at });
    }

    pub(super) fn own(&self) -> &HashSet<u32> {
        &self.own
    }
}

// === rules ===

/// A rule by what its conditions take. Conditions that always hold are left out.
pub(super) struct Rule {
    pub(super) takes: [Option<Id>; Kind::ALL.len()],
    /// Its kinds, a bit for each.
    pub(super) kinds: u16,
}

impl Rule {
    pub(super) fn of<'r>(when: &'r [Condition], extents: &mut Extents<'r>) -> Self {
        let mut rule = Self { takes: [None; Kind::ALL.len()], kinds: 0 };
        for condition in when {
            let (kind, id) = (condition.kind(), extents.of(condition));
            let always = matches!(extents.get(id).map(|one| &one.takes), Some(Takes::All));
            if let (false, Some(place)) = (always, rule.takes.get_mut(kind as usize)) {
                *place = Some(id);
                rule.kinds |= bit(kind);
            }
        }
        rule
    }

    pub(super) fn get(&self, kind: Kind) -> Option<Id> {
        self.takes.get(kind as usize).copied().flatten()
    }
}

pub(super) fn bit(kind: Kind) -> u16 {
    1 << (kind as u16)
}

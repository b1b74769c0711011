//! What a referral has exactly one of, with everything that it can be: its system, the age of the person, consent, urgency, the moment.
//! A condition of these takes a set of states, so whether several together leave nothing over can be told.

use crate::{
    domain::{SystemId, working_days::WorkingTime},
    routing::{Age, Condition, Consented, Kind, Moment, Urgency},
};

/// Nobody is so old that a rule could ask for it.
const AGE_MAX: u16 = 150;

/// Everything that can be.
pub(super) struct States {
    systems: Vec<SystemId>,
    /// None is an age that is not known. Where the day of birth is not known, it may lie between two.
    ages: Vec<Option<Age>>,
    moments: Vec<Moment>,
}

/// A set of states, each by its place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Bits(Vec<u64>);

// === impl States ===

impl States {
    pub(super) fn of<'s>(systems: impl IntoIterator<Item = &'s SystemId>, working_time: &WorkingTime) -> Self {
        let exact = (0..=AGE_MAX).map(|age| Some(Age { least: age, most: age }));
        let between = (0..=AGE_MAX).map(|age| Some(Age { least: age, most: age + 1 }));
        Self {
            systems: systems.into_iter().cloned().collect(),
            ages: exact.chain(between).chain([None]).collect(),
            moments: Moment::all(working_time),
        }
    }

    /// How many states a kind has; none where a referral may have several values of it, or any.
    pub(super) fn len(&self, kind: Kind) -> Option<usize> {
        match kind {
            Kind::System => Some(self.systems.len()),
            Kind::PatientAge => Some(self.ages.len()),
            Kind::Consent => Some(Consented::WORDS.len()),
            Kind::Urgency => Some(Urgency::WORDS.len()),
            Kind::Time => Some(self.moments.len()),
            _ => None,
        }
    }

    pub(super) fn all(&self, kind: Kind) -> Bits {
        Bits::of((0..self.len(kind).unwrap_or_default()).map(|_| true))
    }

    /// Those in which a condition holds.
    pub(super) fn taken(&self, condition: &Condition) -> Option<Bits> {
        Some(match condition {
            Condition::System(wanted) => Bits::of(self.systems.iter().map(|one| wanted.contains(one))),
            Condition::PatientAge(wanted) => {
                Bits::of(self.ages.iter().map(|age| age.is_some_and(|age| wanted.iter().any(|ages| ages.holds(age)))))
            }
            Condition::Consent(wanted) => Bits::of(Consented::WORDS.iter().map(|(_, one)| wanted.contains(one))),
            Condition::Urgency(wanted) => Bits::of(Urgency::WORDS.iter().map(|(_, one)| wanted.contains(one))),
            Condition::Time(wanted) => {
                Bits::of(self.moments.iter().map(|moment| wanted.iter().any(|hours| hours.hold(moment))))
            }
            _ => return None,
        })
    }

    /// A state in words.
    pub(super) fn shown(&self, kind: Kind, state: usize) -> String {
        let shown = match kind {
            Kind::System => self.systems.get(state).map(ToString::to_string),
            Kind::PatientAge => self.ages.get(state).map(|age| match age {
                Some(age) if age.least == age.most => age.least.to_string(),
                Some(age) => format!("{} or {} (which of them is not known)", age.least, age.most),
                None => "not known".to_owned(),
            }),
            Kind::Consent => Consented::WORDS.get(state).map(|(word, _)| (*word).to_owned()),
            Kind::Urgency => Urgency::WORDS.get(state).map(|(word, _)| (*word).to_owned()),
            Kind::Time => self.moments.get(state).map(ToString::to_string),
            _ => None,
        };
        shown.unwrap_or_default()
    }
}

// === impl Bits ===

impl Bits {
    pub(super) fn of(states: impl Iterator<Item = bool>) -> Self {
        let mut words = Vec::new();
        for (at, is_in) in states.enumerate() {
            if at % 64 == 0 {
                words.push(0);
            }
            if let (true, Some(word)) = (is_in, words.last_mut()) {
                *word |= 1 << (at % 64);
            }
        }
        Self(words)
    }

    pub(super) fn first(&self) -> Option<usize> {
        let (at, word) = self.0.iter().enumerate().find(|(_, word)| **word != 0)?;
        Some(at * 64 + word.trailing_zeros() as usize)
    }

    pub(super) fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect())
    }

    pub(super) fn without(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a & !b).collect())
    }

    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a & !b == 0)
    }
}

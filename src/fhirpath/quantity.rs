//! Quantities: a number and its unit (FHIRPath N1, "Quantity").

use std::{
    cmp::Ordering,
    fmt::{self, Display},
};

use rust_decimal::Decimal;
use serde_json::Value;

use super::{
    item::{Node, decimal_of},
    moment,
    ucum::{self, Unit, product},
};

/// A number and its unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantity {
    /// The number.
    pub value: Decimal,
    /// The unit as UCUM writes it, or a word of the calendar.
    pub unit: String,
    /// Whether the unit is a word of the calendar.
    pub calendar: bool,
}

// === impl Quantity ===

impl Quantity {
    /// A number of nothing in particular.
    pub(super) fn plain(value: Decimal) -> Self {
        Self { value, unit: "1".to_owned(), calendar: false }
    }

    /// What a FHIR Quantity says; none of other elements, or where it has no number.
    pub(super) fn of_node(node: &Node<'_>) -> Option<Self> {
        let Some(Value::Object(object)) = node.value else { return None };
        if !node.is_a("Quantity") {
            return None;
        }
        let Some(Value::Number(value)) = object.get("value") else { return None };
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        let unit = text("code").or_else(|| text("unit")).unwrap_or("1");
        Some(Self { value: decimal_of(value.as_str())?, unit: unit.to_owned(), calendar: false })
    }

    /// The quantity that a text writes: `1 day`, `1 'wk'`, `4.5`.
    pub(super) fn of_text(text: &str) -> Option<Self> {
        let end = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-')).unwrap_or(text.len());
        let (number, rest) = text.split_at_checked(end)?;
        let value = super::convert::decimal_of_text(number)?;
        let unit = rest.trim_start();
        if rest.is_empty() {
            return Some(Self::plain(value));
        }
        if unit.len() == rest.len() && !unit.starts_with('\'') {
            return None;
        }
        if let Some(unit) = unit.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
            let fits = !unit.is_empty() && !unit.contains('\'');
            return fits.then(|| Self { value, unit: unit.to_owned(), calendar: false });
        }
        moment::Unit::word(unit)?;
        Some(Self { value, unit: unit.to_owned(), calendar: true })
    }

    /// Its unit, where we know what it measures.
    fn measure(&self) -> Option<Unit> {
        match moment::Unit::word(&self.unit).filter(|_| self.calendar) {
            Some(word) => ucum::unit(word.ucum()?),
            None => ucum::unit(&self.unit),
        }
    }

    fn has_same_unit(&self, other: &Self) -> bool {
        let word = |of: &Self| moment::Unit::word(&of.unit).filter(|_| of.calendar);
        match (word(self), word(other)) {
            (None, None) => self.unit == other.unit,
            (a, b) => a == b,
        }
    }

    /// The numbers of both in one unit; none where they measure different things, or one of them what we do not know.
    fn both(&self, other: &Self) -> Option<(Decimal, Decimal)> {
        if self.has_same_unit(other) {
            return Some((self.value, other.value));
        }
        let (a, b) = (self.measure()?, other.measure()?);
        if a.powers != b.powers {
            return None;
        }
        let by = |value, factor, per| product(product(value, factor)?, per);
        Some((by(self.value, a.factor, b.per)?, by(other.value, b.factor, a.per)?))
    }

    /// Whether both measure the same thing.
    pub(super) fn is_comparable(&self, other: &Self) -> bool {
        self.both(other).is_some()
    }

    /// Which is less; none where they cannot be compared.
    pub(super) fn compare(&self, other: &Self) -> Option<Ordering> {
        self.both(other).map(|(a, b)| a.cmp(&b))
    }

    /// Whether they are the same; none where that cannot be said.
    pub(super) fn is_equal(&self, other: &Self) -> Option<bool> {
        if let Some((a, b)) = self.both(other) {
            return Some(a == b);
        }
        // known to measure different things, they differ; a month of the calendar and one of UCUM cannot be compared
        let (a, b) = (self.measure()?, other.measure()?);
        (a.powers != b.powers).then_some(false)
    }

    /// Whether they are about the same: to as many digits as the less precise has.
    pub(super) fn is_equivalent(&self, other: &Self) -> bool {
        if self.has_same_unit(other) {
            return super::equal::about(self.value, other.value);
        }
        let (Some(a), Some(b)) = (self.measure(), other.measure()) else { return false };
        // in the greater unit, to the digits of the one that has it
        let is_greater = product(a.factor, b.per) >= product(b.factor, a.per);
        let (coarse, fine) = if is_greater { (self, other) } else { (other, self) };
        let Some(fine) = fine.to(&coarse.unit, coarse.calendar) else { return false };
        super::equal::about(coarse.value, fine.value)
    }

    /// The sum, in the unit of the first.
    pub(super) fn plus(&self, other: &Self, negative: bool) -> Option<Self> {
        let (_, _) = self.both(other)?;
        let added = other.to(&self.unit, self.calendar)?.value;
        let value = if negative { self.value.checked_sub(added) } else { self.value.checked_add(added) };
        Some(Self { value: value?, unit: self.unit.clone(), calendar: self.calendar })
    }

    /// The same in another unit; none where that one measures something else.
    pub(super) fn to(&self, unit: &str, calendar: bool) -> Option<Self> {
        let target = Self { value: Decimal::ONE, unit: unit.to_owned(), calendar };
        if self.has_same_unit(&target) {
            return Some(Self { value: self.value, ..target });
        }
        let (value, factor) = self.both(&target)?;
        Some(Self { value: value.checked_div(factor)?, ..target })
    }

    /// The product, or the quotient.
    pub(super) fn times(&self, other: &Self, divide: bool) -> Option<Self> {
        let (a, b) = (self.measure()?, other.measure()?);
        let unit = if divide { a.by(&b)? } else { a.times(&b)? };
        let value = if divide { self.value.checked_div(other.value) } else { self.value.checked_mul(other.value) };
        let value = product(value?, unit.factor)?.checked_div(unit.per)?;
        Some(Self { value, unit: unit.base(), calendar: false })
    }
}

impl Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.calendar {
            write!(f, "{} {}", self.value, self.unit)
        } else {
            write!(f, "{} '{}'", self.value, self.unit)
        }
    }
}

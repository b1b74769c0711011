//! `+`, `-`, `*`, `/`, `div`, `mod`, `&` (FHIRPath N1, "Math", "Date/Time Arithmetic"). What overflows, and what is divided by nothing,
//! is empty.

use rust_decimal::{Decimal, prelude::ToPrimitive};

use super::{
    EvalError, Item, Quantity,
    ast::Operator,
    budget::Budget,
    eval::Outcome,
    moment::{Moment, Unit},
};

/// One item with a sign before it.
pub(super) fn signed<'a>(of: &Item<'a>, negative: bool) -> Outcome<Item<'a>> {
    // there is no negative nothing
    let turned = |value: Decimal| if negative && !value.is_zero() { -value } else { value.abs_if_zero() };
    Ok(match of {
        Item::Integer(value) => Item::Integer(if negative { -value } else { *value }),
        Item::Decimal(value) => Item::Decimal(turned(*value)),
        Item::Quantity(quantity) => {
            let value = turned(quantity.value);
            Item::Quantity(Box::new(Quantity { value, ..(**quantity).clone() }))
        }
        _ => return Err(EvalError::WrongType { what: "a sign" }),
    })
}

trait AbsIfZero {
    fn abs_if_zero(self) -> Self;
}

impl AbsIfZero for Decimal {
    fn abs_if_zero(self) -> Self {
        if self.is_zero() { self.abs() } else { self }
    }
}

/// What an operator makes of two items.
pub(super) fn apply<'a>(
    how: Operator,
    left: &Item<'a>,
    right: &Item<'a>,
    budget: &mut Budget,
) -> Outcome<Option<Item<'a>>> {
    let what = how.text();
    if left.is_valueless() || right.is_valueless() {
        return Ok(None);
    }
    if let (Operator::Plus | Operator::Join, Some(a), Some(b)) = (how, text(left), text(right)) {
        budget.text(a.len() + b.len())?;
        return Ok(Some(Item::made(format!("{a}{b}"))));
    }
    Ok(match (left.value(), right.value()) {
        (Item::Integer(a), Item::Integer(b)) if how != Operator::Divide => integers(how, a, b)?,
        (Item::Moment(moment), Item::Quantity(by)) => moved(how, &moment, &by)?.map(Item::Moment),
        (Item::Quantity(a), Item::Quantity(b)) => quantities(how, &a, &b)?.map(|found| Item::Quantity(Box::new(found))),
        (Item::Quantity(a), b) => match number(&b) {
            Some(b) => quantities(how, &a, &Quantity::plain(b))?.map(|found| Item::Quantity(Box::new(found))),
            None => return Err(EvalError::WrongType { what }),
        },
        (a, b) => match (number(&a), number(&b)) {
            (Some(a), Some(b)) => decimals(how, a, b)?,
            _ => return Err(EvalError::WrongType { what }),
        },
    })
}

/// The text of an item that is not a date.
fn text<'a>(item: &Item<'a>) -> Option<std::borrow::Cow<'a, str>> {
    match item.value() {
        Item::Text(text) => Some(text),
        _ => None,
    }
}

fn number(item: &Item<'_>) -> Option<Decimal> {
    match item {
        Item::Integer(value) => Some(Decimal::from(*value)),
        Item::Decimal(value) => Some(*value),
        _ => None,
    }
}

/// N1: an Integer has 32 bits; what is greater is empty.
pub(super) fn integer<'a>(value: i64) -> Option<Item<'a>> {
    i32::try_from(value).is_ok().then_some(Item::Integer(value))
}

fn integers<'a>(how: Operator, a: i64, b: i64) -> Outcome<Option<Item<'a>>> {
    let found = match how {
        Operator::Plus => a.checked_add(b),
        Operator::Minus => a.checked_sub(b),
        Operator::Times => a.checked_mul(b),
        Operator::Div => a.checked_div(b),
        Operator::Mod => a.checked_rem(b),
        _ => return Err(EvalError::WrongType { what: how.text() }),
    };
    Ok(found.and_then(integer))
}

fn decimals<'a>(how: Operator, a: Decimal, b: Decimal) -> Outcome<Option<Item<'a>>> {
    let found = match how {
        Operator::Plus => a.checked_add(b),
        Operator::Minus => a.checked_sub(b),
        Operator::Times => a.checked_mul(b),
        Operator::Divide => a.checked_div(b),
        Operator::Mod => a.checked_rem(b),
        Operator::Div => return Ok(a.checked_div(b).and_then(|found| found.trunc().to_i64()).and_then(integer)),
        _ => return Err(EvalError::WrongType { what: how.text() }),
    };
    Ok(found.map(Item::Decimal))
}

fn quantities(how: Operator, a: &Quantity, b: &Quantity) -> Outcome<Option<Quantity>> {
    match how {
        Operator::Plus => Ok(a.plus(b, false)),
        Operator::Minus => Ok(a.plus(b, true)),
        Operator::Times => Ok(a.times(b, false)),
        Operator::Divide => Ok(a.times(b, true)),
        _ => Err(EvalError::WrongType { what: how.text() }),
    }
}

/// A date, moved by a length of time. Its fraction is left out (N1: “the decimal portion of the time-valued quantity is ignored”).
fn moved(how: Operator, moment: &Moment, by: &Quantity) -> Outcome<Option<Moment>> {
    let wrong = EvalError::WrongType { what: how.text() };
    let unit = Unit::of_quantity(&by.unit).ok_or(wrong)?;
    let Some(count) = by.value.trunc().to_i64() else { return Ok(None) };
    match how {
        Operator::Plus => Ok(moment.plus(count, unit)),
        Operator::Minus => Ok(count.checked_neg().and_then(|count| moment.plus(count, unit))),
        _ => Err(wrong),
    }
}

//! Functions of numbers (FHIRPath N1, "Math"), and what a written number or date may stand for (`lowBoundary`, `precision`).

use rust_decimal::{
    Decimal, RoundingStrategy,
    prelude::{FromPrimitive, ToPrimitive},
};

use super::{
    Collection, EvalError, Item, Quantity,
    arithmetic::integer,
    eval::{Outcome, single},
    function::Function,
};

/// Digits after the point that a boundary has where none are asked for.
const BOUNDARY_DIGITS: i64 = 8;

/// What a function of numbers makes of one.
pub(super) fn call<'a>(function: Function, on: &Collection<'a>, first: &Collection<'a>) -> Outcome<Option<Item<'a>>> {
    let what = function.name();
    let Some(item) = single(on, what)?.filter(|item| !item.is_valueless()).map(Item::value) else { return Ok(None) };
    let given = single(first, what)?.map(Item::value);
    let wrong = EvalError::WrongType { what };
    match (function, &item) {
        (Function::LowBoundary | Function::HighBoundary, _) => {
            let digits = match given {
                None => None,
                Some(Item::Integer(digits)) => Some(digits),
                Some(_) => return Err(wrong),
            };
            return boundary(&item, digits, function == Function::HighBoundary).ok_or(wrong);
        }
        (Function::Precision, Item::Moment(moment)) => return Ok(Some(Item::Integer(moment.digits()))),
        (Function::Comparable, Item::Quantity(a)) => {
            return match given {
                Some(Item::Quantity(b)) => Ok(Some(Item::Boolean(a.is_comparable(&b)))),
                None => Ok(None),
                Some(_) => Err(wrong),
            };
        }
        (Function::Abs, Item::Integer(value)) => return Ok(integer(value.abs())),
        (Function::Abs, Item::Quantity(quantity)) => {
            let value = quantity.value.abs();
            return Ok(Some(Item::Quantity(Box::new(Quantity { value, ..(**quantity).clone() }))));
        }
        (Function::Round, Item::Quantity(quantity)) => {
            let value = round(quantity.value, given, wrong)?;
            return Ok(value.map(|value| Item::Quantity(Box::new(Quantity { value, ..(**quantity).clone() }))));
        }
        (Function::Power, Item::Integer(base)) => {
            if let Some(Item::Integer(exponent @ 0..)) = given {
                let found = u32::try_from(exponent).ok().and_then(|exponent| base.checked_pow(exponent));
                return Ok(found.and_then(integer));
            }
        }
        _ => {}
    }
    let value = number(&item).ok_or(wrong)?;
    let whole = |value: Decimal| value.to_i64().and_then(integer);
    let float = |made: f64| Ok(Decimal::from_f64(made).map(Item::Decimal));
    let as_float = value.to_f64().unwrap_or(f64::NAN);
    match function {
        Function::Abs => Ok(Some(Item::Decimal(value.abs()))),
        Function::Ceiling => Ok(whole(value.ceil())),
        Function::Floor => Ok(whole(value.floor())),
        Function::Truncate => Ok(whole(value.trunc())),
        Function::Round => Ok(round(value, given, wrong)?.map(Item::Decimal)),
        Function::Precision => Ok(Some(Item::Integer(value.scale().into()))),
        Function::Exp => float(as_float.exp()),
        Function::Ln => float(as_float.ln()),
        Function::Sqrt => float(as_float.sqrt()),
        Function::Log | Function::Power => {
            let Some(given) = given else { return Ok(None) };
            let other = number(&given).ok_or(wrong)?;
            if function == Function::Log {
                return float(other.to_f64().map_or(f64::NAN, |base| as_float.ln() / base.ln()));
            }
            let exact = other.to_u32().filter(|exponent| other.fract().is_zero() && *exponent <= 128);
            if let Some(exponent) = exact {
                let found = (0..exponent).try_fold(Decimal::ONE, |found, _| found.checked_mul(value));
                return Ok(found.map(Item::Decimal));
            }
            float(other.to_f64().map_or(f64::NAN, |exponent| as_float.powf(exponent)))
        }
        _ => Err(wrong),
    }
}

fn number(item: &Item<'_>) -> Option<Decimal> {
    match item {
        Item::Integer(value) => Some(Decimal::from(*value)),
        Item::Decimal(value) => Some(*value),
        _ => None,
    }
}

fn round(value: Decimal, digits: Option<Item<'_>>, wrong: EvalError) -> Outcome<Option<Decimal>> {
    let digits = match digits {
        None => 0,
        Some(Item::Integer(digits)) => match u32::try_from(digits) {
            Ok(digits) => digits,
            Err(_) => return Err(wrong),
        },
        Some(_) => return Err(wrong),
    };
    Ok(Some(value.round_dp_with_strategy(digits, RoundingStrategy::MidpointAwayFromZero)))
}

/// The least or the greatest that an item may stand for; nothing where it cannot be written with so many digits, none where the
/// question makes no sense.
fn boundary<'a>(item: &Item<'a>, digits: Option<i64>, high: bool) -> Option<Option<Item<'a>>> {
    Some(match item {
        Item::Moment(moment) => moment.boundary(digits, high).map(Item::Moment),
        Item::Quantity(quantity) => decimal_boundary(quantity.value, digits, high)
            .map(|value| Item::Quantity(Box::new(Quantity { value, ..(**quantity).clone() }))),
        _ => decimal_boundary(number(item)?, digits, high).map(Item::Decimal),
    })
}

fn decimal_boundary(value: Decimal, digits: Option<i64>, high: bool) -> Option<Decimal> {
    let digits = u32::try_from(digits.unwrap_or(BOUNDARY_DIGITS)).ok().filter(|digits| *digits <= 28)?;
    let half = Decimal::try_new(5, value.scale() + 1).ok()?;
    let exact = if high { value.checked_add(half)? } else { value.checked_sub(half)? };
    let strategy = if high { RoundingStrategy::ToPositiveInfinity } else { RoundingStrategy::ToNegativeInfinity };
    let mut found = exact.round_dp_with_strategy(digits, strategy);
    // what is less than half of the last digit asked for is nothing in it
    if !value.is_zero() && value.round_dp(digits).is_zero() && value.scale() > digits {
        found = Decimal::ZERO;
        found.set_sign_negative(value.is_sign_negative() && !high);
    }
    let negative = found.is_sign_negative();
    found.rescale(digits);
    found.set_sign_negative(negative);
    (found.scale() == digits).then_some(found)
}

//! Conversions (FHIRPath N1, "Conversion"): `toInteger()` and its kin, and whether they would yield anything.

use rust_decimal::Decimal;

use super::{
    Collection, EvalError, Item, Quantity,
    eval::{Outcome, single},
    function::Function,
    item::decimal_of,
    moment::Moment,
};

/// What a conversion makes of an item.
pub(super) fn call<'a>(function: Function, on: &Collection<'a>, first: &Collection<'a>) -> Outcome<Collection<'a>> {
    let what = function.name();
    let Some(item) = single(on, what)?.filter(|item| !item.is_valueless()) else { return Ok(Collection::EMPTY) };
    let unit = single(first, what)?.and_then(Item::text);
    let value = item.value();
    let quantity = || {
        let quantity = to_quantity(&value)?;
        match &unit {
            None => Some(quantity),
            Some(unit) => quantity.to(unit.trim_matches('\''), super::moment::Unit::word(unit).is_some()),
        }
    };
    let (made, asked) = match function {
        Function::ToBoolean | Function::ConvertsToBoolean => {
            (to_boolean(&value).map(Item::Boolean), Function::ToBoolean)
        }
        Function::ToInteger | Function::ConvertsToInteger => {
            (to_integer(&value).map(Item::Integer), Function::ToInteger)
        }
        Function::ToDecimal | Function::ConvertsToDecimal => {
            (to_decimal(&value).map(Item::Decimal), Function::ToDecimal)
        }
        Function::ToDate | Function::ConvertsToDate => {
            (to_moment(&value, Moment::date, Moment::to_date), Function::ToDate)
        }
        Function::ToDateTime | Function::ConvertsToDateTime => {
            (to_moment(&value, Moment::date_time, Moment::to_date_time), Function::ToDateTime)
        }
        Function::ToTime | Function::ConvertsToTime => {
            let same = |moment: Moment| (moment.kind == super::moment::Sort::Time).then_some(moment);
            (to_moment(&value, Moment::time, same), Function::ToTime)
        }
        Function::ToQuantity | Function::ConvertsToQuantity => {
            (quantity().map(|quantity| Item::Quantity(Box::new(quantity))), Function::ToQuantity)
        }
        Function::ToText | Function::ConvertsToText => (to_text(item, &value), Function::ToText),
        _ => return Err(EvalError::NotHere { what }),
    };
    Ok(if function == asked { made.into() } else { Collection::truth(Some(made.is_some())) })
}

fn to_boolean(value: &Item<'_>) -> Option<bool> {
    match value {
        Item::Boolean(value) => Some(*value),
        Item::Integer(1) => Some(true),
        Item::Integer(0) => Some(false),
        Item::Decimal(value) if *value == Decimal::ONE => Some(true),
        Item::Decimal(value) if value.is_zero() => Some(false),
        Item::Text(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "1" | "1.0" => Some(true),
            "false" | "f" | "no" | "n" | "0" | "0.0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn to_integer(value: &Item<'_>) -> Option<i64> {
    match value {
        Item::Integer(value) => Some(*value),
        Item::Boolean(value) => Some(i64::from(*value)),
        Item::Text(text) => {
            let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            text.parse::<i32>().ok().filter(|_| plain).map(i64::from)
        }
        _ => None,
    }
}

fn to_decimal(value: &Item<'_>) -> Option<Decimal> {
    match value {
        Item::Decimal(value) => Some(*value),
        Item::Integer(value) => Some(Decimal::from(*value)),
        Item::Boolean(value) => Some(if *value { Decimal::ONE } else { Decimal::ZERO }),
        Item::Text(text) => decimal_of_text(text),
        _ => None,
    }
}

/// The number that a text is: `(\+|-)?\d+(\.\d+)?`.
pub(super) fn decimal_of_text(text: &str) -> Option<Decimal> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if digits(whole) && digits(fraction) { decimal_of(text.strip_prefix('+').unwrap_or(text)) } else { None }
}

fn to_quantity(value: &Item<'_>) -> Option<Quantity> {
    match value {
        Item::Quantity(quantity) => Some((**quantity).clone()),
        Item::Text(text) => Quantity::of_text(text),
        _ => to_decimal(value).map(Quantity::plain),
    }
}

fn to_moment<'a>(
    value: &Item<'_>,
    read: fn(&str) -> Option<Moment>,
    turn: impl Fn(Moment) -> Option<Moment>,
) -> Option<Item<'a>> {
    match value {
        Item::Moment(moment) => turn(*moment).map(Item::Moment),
        Item::Text(text) => read(text).map(Item::Moment),
        _ => None,
    }
}

fn to_text<'a>(item: &Item<'a>, value: &Item<'a>) -> Option<Item<'a>> {
    match value {
        Item::Text(text) => Some(Item::Text(text.clone())),
        Item::Node(_) | Item::Type(..) => None,
        // as it was written, where it was
        _ => Some(item.text().map_or_else(|| Item::made(item_text(item, value)), Item::Text)),
    }
}

fn item_text(item: &Item<'_>, value: &Item<'_>) -> String {
    match (item, value) {
        (Item::Node(_), Item::Quantity(_)) => value.to_string(),
        _ => item.to_string(),
    }
}

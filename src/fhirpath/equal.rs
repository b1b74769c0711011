//! `=`, `~` and `<` (FHIRPath N1, "Equality" and "Comparison").

use std::cmp::Ordering;

use rust_decimal::Decimal;
use serde_json::Value;

use super::{
    Collection, EvalError, Item,
    budget::Budget,
    item::{Node, decimal_of},
    moment::{Moment, Sort},
};

/// Whether two collections are equal, item by item; none where one is empty, or where it cannot be said.
pub(super) fn equal(a: &Collection<'_>, b: &Collection<'_>, budget: &mut Budget) -> Result<Option<bool>, EvalError> {
    if a.is_empty() || b.is_empty() {
        return Ok(None);
    }
    if a.len() != b.len() {
        return Ok(Some(false));
    }
    let mut all = Some(true);
    for (a, b) in a.iter().zip(b) {
        match items(a, b, budget)? {
            Some(false) => return Ok(Some(false)),
            None => all = None,
            Some(true) => {}
        }
    }
    Ok(all)
}

/// Whether two items are equal; none where that cannot be said.
pub(super) fn items(a: &Item<'_>, b: &Item<'_>, budget: &mut Budget) -> Result<Option<bool>, EvalError> {
    budget.spend(1)?;
    // most are texts, and need no copy
    if let (Item::Node(a), Item::Node(b)) = (a, b) {
        if a.is_same(b) {
            return Ok(Some(true));
        }
        if a.primitive().is_none() || b.primitive().is_none() {
            return nodes(a, b, budget).map(Some);
        }
    }
    if a.is_valueless() || b.is_valueless() {
        return Ok(None);
    }
    Ok(match (a.value(), b.value()) {
        (Item::Boolean(a), Item::Boolean(b)) => Some(a == b),
        (Item::Text(a), Item::Text(b)) => Some(a == b),
        (Item::Moment(a), Item::Moment(b)) if is_one_kind(&a, &b) => a.compare(&b).map(Ordering::is_eq),
        (Item::Quantity(a), Item::Quantity(b)) => a.is_equal(&b),
        (Item::Quantity(a), b) | (b, Item::Quantity(a)) => {
            // a number is a quantity of unit 1
            let b = number(&b).map(super::quantity::Quantity::plain);
            b.map_or(Some(false), |b| a.is_equal(&b))
        }
        // R4's own data has dates where texts are asked for, and the other way round
        (Item::Moment(a), Item::Text(b)) | (Item::Text(b), Item::Moment(a)) => Some(a.to_string() == b),
        (Item::Type(a, b), Item::Type(c, d)) => Some((a, b) == (c, d)),
        (a, b) => Some(matches!((number(&a), number(&b)), (Some(a), Some(b)) if a == b)),
    })
}

fn is_one_kind(a: &Moment, b: &Moment) -> bool {
    (a.kind == Sort::Time) == (b.kind == Sort::Time)
}

fn number(item: &Item<'_>) -> Option<Decimal> {
    match item {
        Item::Integer(value) => Some(Decimal::from(*value)),
        Item::Decimal(value) => Some(*value),
        _ => None,
    }
}

fn nodes(a: &Node<'_>, b: &Node<'_>, budget: &mut Budget) -> Result<bool, EvalError> {
    Ok(trees(a.value.unwrap_or(&Value::Null), b.value.unwrap_or(&Value::Null), budget)?
        && trees(a.about.unwrap_or(&Value::Null), b.about.unwrap_or(&Value::Null), budget)?)
}

/// Whether two trees say the same: numbers by their value, keys in any order.
fn trees(a: &Value, b: &Value, budget: &mut Budget) -> Result<bool, EvalError> {
    budget.spend(1)?;
    budget.deeper()?;
    let same = match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            if a.len() != b.len() {
                budget.up();
                return Ok(false);
            }
            for (key, value) in a {
                let equal = match b.get(key) {
                    Some(other) => trees(value, other, budget)?,
                    None => false,
                };
                if !equal {
                    budget.up();
                    return Ok(false);
                }
            }
            true
        }
        (Value::Array(a), Value::Array(b)) => {
            if a.len() != b.len() {
                budget.up();
                return Ok(false);
            }
            for (a, b) in a.iter().zip(b) {
                if !trees(a, b, budget)? {
                    budget.up();
                    return Ok(false);
                }
            }
            true
        }
        (Value::Number(a), Value::Number(b)) => {
            a.as_str() == b.as_str()
                || matches!((decimal_of(a.as_str()), decimal_of(b.as_str())), (Some(a), Some(b)) if a == b)
        }
        (a, b) => a == b,
    };
    budget.up();
    Ok(same)
}

/// Whether two collections are equivalent: the same in any order. It is always known.
pub(super) fn equivalent(a: &Collection<'_>, b: &Collection<'_>, budget: &mut Budget) -> Result<bool, EvalError> {
    if a.len() != b.len() {
        return Ok(false);
    }
    let mut left: Vec<&Item<'_>> = b.iter().collect();
    for a in a {
        let mut at = None;
        for (n, b) in left.iter().enumerate() {
            if equivalent_items(a, b, budget)? {
                at = Some(n);
                break;
            }
        }
        match at {
            Some(n) => left.swap_remove(n),
            None => return Ok(false),
        };
    }
    Ok(true)
}

fn equivalent_items(a: &Item<'_>, b: &Item<'_>, budget: &mut Budget) -> Result<bool, EvalError> {
    budget.spend(1)?;
    if let (Item::Node(a), Item::Node(b)) = (a, b)
        && a.primitive().is_none()
        && b.primitive().is_none()
    {
        return equivalent_nodes(a, b, budget);
    }
    Ok(match (a.value(), b.value()) {
        (Item::Text(a), Item::Text(b)) => plain(&a) == plain(&b),
        (Item::Moment(a), Item::Moment(b)) if is_one_kind(&a, &b) => a.compare(&b) == Some(Ordering::Equal),
        (Item::Quantity(a), Item::Quantity(b)) => a.is_equivalent(&b),
        (a, b) => match (number(&a), number(&b)) {
            (Some(a), Some(b)) => about(a, b),
            _ => items(&a, &b, budget)? == Some(true),
        },
    })
}

fn equivalent_nodes(a: &Node<'_>, b: &Node<'_>, budget: &mut Budget) -> Result<bool, EvalError> {
    let children = |node: &Node<'_>, budget: &mut Budget| {
        let mut names = Vec::new();
        if let Some(Value::Object(object)) = node.value {
            budget.spend(object.len())?;
            // an id tells elements apart, not what they say
            names.extend(object.keys().filter(|key| *key != "id" && !key.starts_with('_')).cloned());
        }
        names.sort_unstable();
        Ok::<_, EvalError>(names)
    };
    let names = children(a, budget)?;
    if names != children(b, budget)? {
        return Ok(false);
    }
    if names.is_empty() {
        return nodes(a, b, budget);
    }
    budget.deeper()?;
    for name in &names {
        let of = a.of.and_then(|of| of.child(name)).map(|(_, _, is)| is.of());
        let (one, other) = (named(a, name), named(b, name));
        budget.spend(one.len() + other.len())?;
        if !equivalent(&typed(&one, of), &typed(&other, of), budget)? {
            budget.up();
            return Ok(false);
        }
    }
    budget.up();
    Ok(true)
}

/// The values of one key.
fn named<'v>(node: &Node<'v>, name: &str) -> Vec<&'v Value> {
    match node.value.and_then(|value| value.get(name)) {
        Some(Value::Array(items)) => items.iter().collect(),
        value => value.into_iter().collect(),
    }
}

fn typed<'v>(values: &[&'v Value], of: Option<&'static crate::definitions::Type>) -> Collection<'v> {
    values.iter().map(|value| Item::Node(Node { value: Some(value), about: None, of })).collect()
}

/// A text as equivalence sees it: in small letters, with single spaces.
fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Whether two numbers are the same to as many digits as the less precise has.
pub(super) fn about(a: Decimal, b: Decimal) -> bool {
    let digits = a.normalize().scale().min(b.normalize().scale());
    let round = |n: Decimal| n.round_dp_with_strategy(digits, rust_decimal::RoundingStrategy::MidpointAwayFromZero);
    round(a) == round(b)
}

/// Which of two items comes first; none where that cannot be said. Items of different kinds are an error.
pub(super) fn order(a: &Item<'_>, b: &Item<'_>, what: &'static str) -> Result<Option<Ordering>, EvalError> {
    if a.is_valueless() || b.is_valueless() {
        return Ok(None);
    }
    Ok(match (a.value(), b.value()) {
        (Item::Text(a), Item::Text(b)) => Some(a.cmp(&b)),
        (Item::Moment(a), Item::Moment(b)) if is_one_kind(&a, &b) => a.compare(&b),
        (Item::Quantity(a), Item::Quantity(b)) => a.compare(&b),
        (a, b) => match (number(&a), number(&b)) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            // a Quantity without a number has nothing to compare
            _ if [&a, &b].iter().any(|item| matches!(item, Item::Node(node) if node.is_a("Quantity"))) => None,
            _ => return Err(EvalError::WrongType { what }),
        },
    })
}

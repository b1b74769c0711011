//! What a reference points at, as far as it lies here: contained, in the Bundle, or known to somebody who is asked.

use serde_json::Value;

use super::{Context, Item, Node, budget::Budget, eval::Outcome};
use crate::definitions;

/// The resource that a Reference, a uri or a canonical points at. One that lies elsewhere is known by its type alone, as far as
/// the reference tells it: `resolve() is Patient` can be answered, `resolve().name` is nothing.
pub(super) fn resolve<'a>(item: &Item<'a>, context: &Context<'a>, budget: &mut Budget) -> Outcome<Option<Item<'a>>> {
    let object = match item {
        Item::Node(Node { value: Some(value @ Value::Object(_)), .. }) => Some(*value),
        _ => None,
    };
    let text = match object {
        Some(reference) => reference.get("reference").and_then(Value::as_str).map(str::to_owned),
        None => item.text().map(std::borrow::Cow::into_owned),
    };
    let said = object.and_then(|reference| reference.get("type")).and_then(Value::as_str);
    let elsewhere = |kind: &str| definitions::resource_named(kind).map(|of| Item::Node(Node::elsewhere(of)));
    let Some(text) = text else { return Ok(said.and_then(elsewhere)) };
    if let Some(id) = text.strip_prefix('#') {
        return Ok(if id.is_empty() { Some(Item::Node(context.root)) } else { contained(id, context, budget)? });
    }
    let plain = text.split_once("/_history/").map_or(text.as_str(), |(before, _)| before);
    if let Some(found) = in_bundle(plain, context, budget)? {
        return Ok(Some(found));
    }
    if let Some(found) = context.hooks.resolve(&text) {
        return Ok(Some(Item::Node(Node::resource(found))));
    }
    let kind = plain.rsplit_once('/').map(|(before, _)| before.rsplit('/').next().unwrap_or_default());
    Ok(kind.and_then(elsewhere).or_else(|| said.and_then(elsewhere)))
}

fn contained<'a>(id: &str, context: &Context<'a>, budget: &mut Budget) -> Outcome<Option<Item<'a>>> {
    for node in [context.root, context.resource] {
        let list = node.value.and_then(|value| value.get("contained")).and_then(Value::as_array);
        for resource in list.into_iter().flatten() {
            budget.spend(1)?;
            if resource.get("id").and_then(Value::as_str) == Some(id) {
                return Ok(Some(Item::Node(Node::resource(resource))));
            }
        }
    }
    Ok(None)
}

fn in_bundle<'a>(reference: &str, context: &Context<'a>, budget: &mut Budget) -> Outcome<Option<Item<'a>>> {
    let entries = context.bundle.and_then(|bundle| bundle.get("entry")).and_then(Value::as_array);
    for entry in entries.into_iter().flatten() {
        budget.spend(1)?;
        let Some(resource) = entry.get("resource") else { continue };
        let url = entry.get("fullUrl").and_then(Value::as_str);
        let by_url = url.is_some_and(|url| {
            let before = url.strip_suffix(reference);
            before.is_some_and(|before| before.is_empty() || before.ends_with('/') && !reference.contains(':'))
        });
        let text = |key: &str| resource.get(key).and_then(Value::as_str);
        let by_id = || {
            reference
                .split_once('/')
                .is_some_and(|(kind, id)| text("resourceType") == Some(kind) && text("id") == Some(id))
        };
        if by_url || by_id() {
            return Ok(Some(Item::Node(Node::resource(resource))));
        }
    }
    Ok(None)
}

//! Collections as sets: what is in one, what is left when equals are one.

use std::{borrow::Cow, collections::HashSet};

use super::{Collection, Item, Node, budget::Budget, equal, eval::Outcome, moment::Moment};

/// Items that differ from each other. Texts are found by their hash: a resource may have thousands of them.
#[derive(Default)]
pub(super) struct Set<'a> {
    texts: HashSet<Cow<'a, str>>,
    others: Vec<Item<'a>>,
}

// === impl Set ===

impl<'a> Set<'a> {
    /// All items of a collection.
    pub(super) fn of(items: &Collection<'a>, budget: &mut Budget) -> Outcome<Self> {
        let mut set = Self::default();
        for item in items {
            set.insert(item, budget)?;
        }
        Ok(set)
    }

    /// Adds an item; whether none that is equal was there.
    pub(super) fn insert(&mut self, item: &Item<'a>, budget: &mut Budget) -> Outcome<bool> {
        budget.spend(1)?;
        if let Some(text) = plain_text(item) {
            return Ok(self.texts.insert(text));
        }
        if self.has_other(item, budget)? {
            return Ok(false);
        }
        self.others.push(item.clone());
        Ok(true)
    }

    /// Whether an item that is equal is there.
    pub(super) fn has(&self, item: &Item<'a>, budget: &mut Budget) -> Outcome<bool> {
        budget.spend(1)?;
        match plain_text(item) {
            Some(text) => Ok(self.texts.contains(&text)),
            None => self.has_other(item, budget),
        }
    }

    fn has_other(&self, item: &Item<'a>, budget: &mut Budget) -> Outcome<bool> {
        for known in &self.others {
            if equal::items(known, item, budget)? == Some(true) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The text of an item that is a text and nothing else.
fn plain_text<'a>(item: &Item<'a>) -> Option<Cow<'a, str>> {
    match item {
        Item::Text(text) => Some(text.clone()),
        Item::Node(node @ Node { value: Some(serde_json::Value::String(text)), .. }) => {
            let other = matches!(node.primitive(), Some(Item::Moment(Moment { .. })));
            (!other).then_some(Cow::Borrowed(text.as_str()))
        }
        _ => None,
    }
}

/// Each item once, in the order of the first.
pub(super) fn distinct<'a>(items: Collection<'a>, budget: &mut Budget) -> Outcome<Collection<'a>> {
    if items.len() < 2 {
        return Ok(items);
    }
    let mut set = Set::default();
    let mut found = Collection::EMPTY;
    for item in items {
        if set.insert(&item, budget)? {
            found.push(item);
        }
    }
    Ok(found)
}

/// Whether an item is in a collection.
pub(super) fn contains<'a>(items: &Collection<'a>, item: &Item<'a>, budget: &mut Budget) -> Outcome<bool> {
    for one in items {
        if equal::items(one, item, budget)? == Some(true) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether each item of one collection is in the other.
pub(super) fn is_subset<'a>(items: &Collection<'a>, of: &Collection<'a>, budget: &mut Budget) -> Outcome<bool> {
    let all = Set::of(of, budget)?;
    for item in items {
        if !all.has(item, budget)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The items that are in the other, too, each once; or all those that are not.
pub(super) fn common<'a>(
    items: Collection<'a>,
    other: &Collection<'a>,
    within: bool,
    budget: &mut Budget,
) -> Outcome<Collection<'a>> {
    let all = Set::of(other, budget)?;
    let mut found = Collection::EMPTY;
    for item in items {
        if all.has(&item, budget)? == within {
            found.push(item);
        }
    }
    if within { distinct(found, budget) } else { Ok(found) }
}

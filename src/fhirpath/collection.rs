//! What an expression yields: items in order. One item, which is by far the most frequent, costs no allocation.

use std::sync::Arc;

use super::Item;

/// Items in their order.
#[derive(Debug, Clone, Default)]
pub struct Collection<'a>(Held<'a>);

#[derive(Debug, Clone, Default)]
enum Held<'a> {
    #[default]
    Nothing,
    One(Item<'a>),
    Many(Vec<Item<'a>>),
    /// What an evaluation needs again and again.
    Shared(Arc<Vec<Item<'a>>>),
}

/// The items of a collection, one after the other.
#[derive(Debug)]
pub struct Items<'a> {
    one: Option<Item<'a>>,
    many: std::vec::IntoIter<Item<'a>>,
}

// === impl Collection ===

impl<'a> Collection<'a> {
    /// Nothing.
    pub const EMPTY: Self = Self(Held::Nothing);

    /// One item.
    pub fn one(item: Item<'a>) -> Self {
        Self(Held::One(item))
    }

    /// True or false, or nothing where that is not known.
    pub(super) fn truth(value: Option<bool>) -> Self {
        value.map(Item::Boolean).into()
    }

    /// The items.
    pub fn as_slice(&self) -> &[Item<'a>] {
        match &self.0 {
            Held::Nothing => &[],
            Held::One(item) => std::slice::from_ref(item),
            Held::Many(items) => items,
            Held::Shared(items) => items,
        }
    }

    /// The same, of which copies cost nothing.
    pub(super) fn shared(self) -> Self {
        match self.0 {
            Held::Many(items) => Self(Held::Shared(Arc::new(items))),
            held => Self(held),
        }
    }

    /// The items, one after the other.
    pub fn iter(&self) -> std::slice::Iter<'_, Item<'a>> {
        self.as_slice().iter()
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds one at the end.
    pub(super) fn push(&mut self, item: Item<'a>) {
        match &mut self.0 {
            Held::Many(items) => items.push(item),
            held => {
                *held = match std::mem::take(held) {
                    Held::One(first) => {
                        let mut items = Vec::with_capacity(4);
                        items.push(first);
                        items.push(item);
                        Held::Many(items)
                    }
                    Held::Shared(items) => {
                        let mut items = Arc::unwrap_or_clone(items);
                        items.push(item);
                        Held::Many(items)
                    }
                    _ => Held::One(item),
                }
            }
        }
    }
}

impl<'a> From<Option<Item<'a>>> for Collection<'a> {
    fn from(item: Option<Item<'a>>) -> Self {
        item.map_or(Self::EMPTY, Self::one)
    }
}

impl<'a> FromIterator<Item<'a>> for Collection<'a> {
    fn from_iter<T: IntoIterator<Item = Item<'a>>>(items: T) -> Self {
        let mut found = Self::EMPTY;
        items.into_iter().for_each(|item| found.push(item));
        found
    }
}

impl<'a> IntoIterator for Collection<'a> {
    type Item = Item<'a>;
    type IntoIter = Items<'a>;

    fn into_iter(self) -> Items<'a> {
        match self.0 {
            Held::Nothing => Items { one: None, many: Vec::new().into_iter() },
            Held::One(item) => Items { one: Some(item), many: Vec::new().into_iter() },
            Held::Many(items) => Items { one: None, many: items.into_iter() },
            Held::Shared(items) => Items { one: None, many: Arc::unwrap_or_clone(items).into_iter() },
        }
    }
}

impl<'a, 'c> IntoIterator for &'c Collection<'a> {
    type Item = &'c Item<'a>;
    type IntoIter = std::slice::Iter<'c, Item<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        self.one.take().or_else(|| self.many.next())
    }
}

//! What a resource contains, and what of it is referred to (references.html#contained).

use std::collections::HashMap;

use serde_json::{Map, Value};

/// What is contained in the resource that is walked through.
#[derive(Default)]
pub(super) struct Container<'v> {
    all: &'v [Value],
    /// Those of each id; there should be one.
    by_id: HashMap<&'v str, Vec<usize>>,
    /// Whether each is referred to.
    referred: Vec<bool>,
    /// The contained resource that the walk is in.
    pub(super) within: Option<usize>,
}

impl<'v> Container<'v> {
    pub(super) fn of(object: &'v Map<String, Value>) -> Self {
        let all = object.get("contained").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let mut by_id: HashMap<&str, Vec<usize>> = HashMap::with_capacity(all.len());
        for (number, one) in all.iter().enumerate() {
            if let Some(id) = one.get("id").and_then(Value::as_str) {
                by_id.entry(id).or_default().push(number);
            }
        }
        Self { all, by_id, referred: vec![false; all.len()], within: None }
    }

    /// Notes a reference within the resource; whether what it names is there. `#` is the resource itself.
    pub(super) fn refer(&mut self, literal: &str) -> bool {
        let name = literal.strip_prefix('#').unwrap_or(literal);
        let named: &[usize] = match self.by_id.get(name) {
            Some(numbers) => numbers,
            None if name.is_empty() => self.within.as_slice(),
            None => return false,
        };
        for number in named {
            if let Some(referred) = self.referred.get_mut(*number) {
                *referred = true;
            }
        }
        true
    }

    /// The contained resource of this id.
    pub(super) fn named(&self, id: &str) -> Option<&'v Value> {
        self.by_id.get(id)?.first().and_then(|number| self.all.get(*number))
    }

    /// The numbers of those whose id another before them has.
    pub(super) fn doubles(&self) -> Vec<usize> {
        let mut all: Vec<usize> = self.by_id.values().flat_map(|numbers| numbers.iter().skip(1)).copied().collect();
        all.sort_unstable();
        all
    }

    /// The numbers of those that nothing refers to.
    pub(super) fn lonely(&self) -> impl Iterator<Item = usize> {
        self.referred.iter().enumerate().filter(|(_, referred)| !**referred).map(|(number, _)| number)
    }
}

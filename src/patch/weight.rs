//! How large a tree is: a patch must not make one that would not have been taken in.

use serde_json::Value;

use crate::fhir::gate::Limits;

/// Whether it is greater than a resource may be.
pub(super) fn is_too_great(tree: &Value) -> bool {
    !Weight::of(tree).within(&Limits::default())
}

#[derive(Default)]
struct Weight {
    values: usize,
    bytes: usize,
    depth: usize,
}

impl Weight {
    fn of(value: &Value) -> Self {
        let mut weight = Self::default();
        weight.add(value, 0);
        weight
    }

    fn add(&mut self, value: &Value, depth: usize) {
        self.values += 1;
        self.depth = self.depth.max(depth);
        match value {
            Value::String(text) => self.bytes += text.len(),
            Value::Number(number) => self.bytes += number.as_str().len(),
            Value::Array(items) => items.iter().for_each(|item| self.add(item, depth + 1)),
            Value::Object(object) => {
                for (key, value) in object {
                    self.bytes += key.len();
                    self.add(value, depth + 1);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn within(&self, limits: &Limits) -> bool {
        self.values <= limits.values && self.bytes <= limits.bytes && self.depth <= limits.depth
    }
}

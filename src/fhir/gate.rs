//! The gate: JSON from outside becomes a tree in one pass, within bounds of size, depth and number. A key that occurs
//! twice is refused, since two readers would take two different values; decimals are kept as they were written (only an
//! exponent is respelled, `1E5` as `1e+5`, by serde_json).

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::fhir::{
    outcome::{Issue, IssueCode},
    path::{self, Step},
};

/// What is read at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The longest input, in bytes.
    pub bytes: usize,
    /// How deep objects and arrays (in XML: elements) may stand in one another. serde_json itself ends at 127.
    pub depth: usize,
    /// How many values (objects, arrays and what stands in them) an input may have.
    pub values: usize,
    /// How many characters a number may have: beyond any clinical value, and short of a slow one.
    pub number_digits: usize,
}

/// Reads one resource, or another JSON object. A byte order mark is skipped; anything after it is refused. The issue names the
/// element that was reached, below `%resource` where the resource type had not been met before.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Value, Issue> {
    match read_any(bytes, limits)? {
        value @ Value::Object(_) => Ok(value),
        _ => {
            let said = "a resource is a JSON object, and this is something else";
            Err(Issue::error(IssueCode::Structure, path::UNKNOWN_ROOT, said).at(1, 1))
        }
    }
}

/// Reads one JSON document of any shape, such as a JSON Patch, within the same bounds.
pub fn read_any(bytes: &[u8], limits: &Limits) -> Result<Value, Issue> {
    if bytes.len() > limits.bytes {
        let said = format!("the content is longer than {} bytes", limits.bytes);
        return Err(Issue::error(IssueCode::TooLong, path::UNKNOWN_ROOT, said));
    }
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut walk = Walk { limits, steps: Vec::new(), depth: 0, values: 0, root: None, fault: None };
    let mut reader = serde_json::Deserializer::from_slice(text);
    let read = Seed(&mut walk).deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    read.map_err(|error| walk.issue(&error))
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 5 * 1024 * 1024, depth: 64, values: 200_000, number_digits: 100 }
    }
}

// === impl Walk ===

/// Where the reading is and what it has counted. Steps are taken back only where a value was read whole, so that after a
/// fault they still say where it was.
struct Walk<'l> {
    limits: &'l Limits,
    steps: Vec<Step>,
    depth: usize,
    values: usize,
    root: Option<String>,
    fault: Option<(IssueCode, String)>,
}

impl Walk<'_> {
    fn issue(&mut self, error: &serde_json::Error) -> Issue {
        let (code, said) = self.fault.take().unwrap_or_else(|| (IssueCode::Structure, syntax(error)));
        let issue = Issue::error(code, path::render(self.root.as_deref(), &self.steps), said);
        match (u32::try_from(error.line()), u32::try_from(error.column())) {
            (Ok(line), Ok(column)) if line > 0 => issue.at(line, column.max(1)),
            _ => issue,
        }
    }

    fn refuse<E: serde::de::Error>(&mut self, code: IssueCode, said: String) -> E {
        self.fault = Some((code, said));
        E::custom("refused")
    }

    fn count<E: serde::de::Error>(&mut self) -> Result<(), E> {
        self.values += 1;
        if self.values > self.limits.values {
            return Err(self.refuse(IssueCode::TooCostly, format!("more than {} values", self.limits.values)));
        }
        Ok(())
    }

    fn descend<E: serde::de::Error>(&mut self) -> Result<(), E> {
        self.depth += 1;
        if self.depth > self.limits.depth {
            return Err(self.refuse(IssueCode::TooCostly, format!("nested deeper than {}", self.limits.depth)));
        }
        Ok(())
    }
}

/// serde_json's own words without the place, which goes into extensions. Its syntax messages repeat nothing of the input.
fn syntax(error: &serde_json::Error) -> String {
    let said = error.to_string();
    let words = said.split_once(" at line ").map_or(said.as_str(), |(words, _)| words);
    format!("not well-formed JSON: {words}")
}

// === impl Seed ===

struct Seed<'w, 'l>(&'w mut Walk<'l>);

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        self.0.count()?;
        Ok(Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        self.0.count()?;
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: serde::de::Error>(self, integer: u64) -> Result<Value, E> {
        self.0.count()?;
        number(self.0, &integer.to_string())
    }

    fn visit_i64<E: serde::de::Error>(self, integer: i64) -> Result<Value, E> {
        self.0.count()?;
        number(self.0, &integer.to_string())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: serde::de::Error>(self, text: String) -> Result<Value, E> {
        self.0.count()?;
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let walk = self.0;
        walk.count()?;
        walk.descend()?;
        let mut list = Vec::new();
        loop {
            walk.steps.push(Step::Index(list.len()));
            let Some(value) = items.next_element_seed(Seed(walk))? else { break };
            list.push(value);
            walk.steps.pop();
        }
        walk.steps.pop();
        walk.depth -= 1;
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let walk = self.0;
        walk.count()?;
        let mut object = Map::new();
        let mut key = entries.next_key_seed(KeySeed)?;
        if matches!(key, Some(Key::Number)) {
            let text: String = entries.next_value()?;
            return number(walk, &text);
        }
        walk.descend()?;
        while let Some(Key::Name(name)) = key {
            walk.steps.push(Step::Name(name));
            let Some(Step::Name(name)) = walk.steps.last() else { return Err(A::Error::custom("no step")) };
            if name.starts_with("$serde_json::private::") {
                return Err(walk.refuse(IssueCode::Structure, "a key that no FHIR element has".into()));
            }
            if object.contains_key(name) {
                return Err(walk.refuse(IssueCode::Structure, "this key occurs twice in one object".into()));
            }
            let value = entries.next_value_seed(Seed(walk))?;
            let Some(Step::Name(name)) = walk.steps.pop() else { return Err(A::Error::custom("no step")) };
            if walk.depth == 1 && name == "resourceType" {
                walk.root = value.as_str().map(str::to_owned);
            }
            object.insert(name, value);
            key = entries.next_key_seed(KeySeed)?;
        }
        walk.depth -= 1;
        Ok(Value::Object(object))
    }
}

fn number<E: serde::de::Error>(walk: &mut Walk<'_>, text: &str) -> Result<Value, E> {
    if text.len() > walk.limits.number_digits {
        let said = format!("a number of more than {} characters", walk.limits.number_digits);
        return Err(walk.refuse(IssueCode::TooCostly, said));
    }
    text.parse::<Number>().map(Value::Number).map_err(E::custom)
}

/// A key, or serde_json's sign that a number follows.
///
/// With `arbitrary_precision` a number that is no small integer comes as a map with one magic key, which a forged object could have as well. They
/// differ in one thing: asked for an option, the reader of a written key says “some” and lets it be read, while the magic
/// key answers with itself.
enum Key {
    Name(String),
    Number,
}

struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        <String as serde::Deserialize>::deserialize(deserializer).map(Key::Name)
    }

    fn visit_str<E: serde::de::Error>(self, _magic: &str) -> Result<Key, E> {
        Ok(Key::Number)
    }
}

#[cfg(test)]
mod tests;

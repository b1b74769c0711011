//! Tables and values with the place they stand at. Every reading method notes its own fault and answers `None` after
//! one, so that the caller goes on and finds the rest.

use std::{fmt::Display, str::FromStr, time::Duration};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Reader, duration_from, duration_text, size_from};

/// No fault repeats more than this many characters of what was found.
const FOUND_CHARS_MAX: usize = 60;

/// A table; remembers which keys were asked for, because all others are unknown.
pub struct Table<'d> {
    reader: &'d Reader,
    path: String,
    at: usize,
    keys: Option<&'d DeTable<'d>>,
    asked: Vec<&'static str>,
}

/// A value and where it stands.
#[derive(Clone)]
pub struct Node<'d> {
    reader: &'d Reader,
    path: String,
    at: usize,
    value: &'d DeValue<'d>,
}

/// Where in a file a table or a value stands, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    pub(super) at: usize,
    pub(super) path: String,
}

// === impl Table ===

impl<'d> Table<'d> {
    pub(super) fn new(reader: &'d Reader, path: String, at: usize, keys: Option<&'d DeTable<'d>>) -> Self {
        Self { reader, path, at, keys, asked: Vec::new() }
    }

    /// The value of `key`, if it is there.
    pub fn get(&mut self, key: &'static str) -> Option<Node<'d>> {
        self.asked.push(key);
        let value = self.keys?.get(key)?;
        Some(Node { reader: self.reader, path: self.path_of(key), at: value.span().start, value: value.get_ref() })
    }

    /// The value of `key`; that it is missing is a fault. `allowed` says what should stand there.
    pub fn need(&mut self, key: &'static str, allowed: &str) -> Option<Node<'d>> {
        let found = self.get(key);
        if found.is_none() {
            self.reader.fault(self.at, &self.path_of(key), format!("found nothing; needed: {allowed}"));
        }
        found
    }

    /// The table `key`; an empty one where it is missing.
    pub fn section(&mut self, key: &'static str) -> Table<'d> {
        let empty = Table::new(self.reader, self.path_of(key), self.at, None);
        self.get(key).and_then(|node| node.table("a table")).unwrap_or(empty)
    }

    /// The tables of the list `key` (written `[[key]]`); none where it is missing.
    pub fn tables(&mut self, key: &'static str) -> Vec<Table<'d>> {
        let allowed = format!("tables, each under [[{key}]]");
        let items = self.get(key).map(|node| node.items(&allowed)).unwrap_or_default();
        items.iter().filter_map(|item| item.table(&allowed)).collect()
    }

    /// Notes a fault of this table; `key` may be empty.
    pub fn fault(&self, key: &str, message: impl Into<String>) {
        self.reader.fault(self.at, &self.path_of(key), message.into());
    }

    /// Notes something legal but risky about this table; `key` may be empty.
    pub fn warn(&self, key: &str, message: impl Into<String>) {
        self.reader.warn(self.at, &self.path_of(key), message.into());
    }

    /// Where it stands: for a fault that is found when all has been read.
    pub fn spot(&self) -> Spot {
        Spot { at: self.at, path: self.path.clone() }
    }

    /// Tells every key that nobody asked for. To be called when all keys have been read.
    pub fn finish(self) {
        for (key, _) in self.keys.into_iter().flatten() {
            if !self.asked.iter().any(|asked| *asked == key.get_ref()) {
                let message = format!("found an unknown key; allowed: {}", self.asked.join(", "));
                self.reader.fault(key.span().start, &self.path_of(&shown(key.get_ref())), message);
            }
        }
    }

    fn path_of(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            ("", _) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, _) => format!("{path}.{key}"),
        }
    }
}

// === impl Node ===

impl<'d> Node<'d> {
    /// Notes a fault of this value: `found …; allowed: …`. The caller decides whether the value may be repeated.
    pub fn fault(&self, found: &str, allowed: impl Display) {
        self.reader.fault(self.at, &self.path, format!("found {found}; allowed: {allowed}"));
    }

    /// Where it stands: for a fault that is found when all has been read.
    pub fn spot(&self) -> Spot {
        Spot { at: self.at, path: self.path.clone() }
    }

    /// Notes something legal but risky about this value.
    pub fn warn(&self, message: impl Into<String>) {
        self.reader.warn(self.at, &self.path, message.into());
    }

    /// Whether it came from an environment variable.
    pub fn is_variable(&self) -> bool {
        self.reader.is_variable(self.at)
    }

    /// A text.
    pub fn text(&self, allowed: &str) -> Option<&'d str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.wrong_type(allowed);
        }
        text
    }

    /// A text that is not blank, short, and has no line breaks or other control characters.
    pub fn line(&self, chars_max: usize) -> Option<String> {
        let allowed = format!("a text of 1 to {chars_max} characters in one line");
        let text = self.text(&allowed)?.trim();
        if text.is_empty() || text.chars().count() > chars_max || text.chars().any(char::is_control) {
            self.fault(&quoted(text), allowed);
            return None;
        }
        Some(text.to_owned())
    }

    /// A text that is a `T`.
    pub fn parse<T: FromStr>(&self, allowed: &str) -> Option<T> {
        let text = self.text(allowed)?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.fault(&quoted(text), allowed);
        }
        parsed
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let allowed = words.iter().map(|(word, _)| quoted(word)).collect::<Vec<_>>().join(", ");
        let text = self.text(&allowed)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            self.fault(&quoted(text), allowed);
        }
        found
    }

    /// `true` or `false`.
    pub fn bool(&self) -> Option<bool> {
        let found = match (self.value, self.is_variable()) {
            (DeValue::Boolean(value), _) => Some(*value),
            (DeValue::String(text), true) => text.parse().ok(),
            _ => None,
        };
        if found.is_none() {
            self.wrong_type("true or false");
        }
        found
    }

    /// A whole number from `min` to `max`.
    pub fn number(&self, min: u32, max: u32) -> Option<u32> {
        let allowed = format!("a whole number from {min} to {max}");
        let found = match (self.value, self.is_variable()) {
            (DeValue::Integer(number), _) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            (DeValue::String(text), true) => text.parse().ok(),
            _ => {
                self.wrong_type(&allowed);
                return None;
            }
        };
        let within = found.and_then(|n| u32::try_from(n).ok()).filter(|n| (min..=max).contains(n));
        if within.is_none() {
            self.fault(&found.map_or("another number".to_owned(), |n| n.to_string()), allowed);
        }
        within
    }

    /// A number from `min` to `max`, whole or not.
    pub fn decimal(&self, min: f64, max: f64) -> Option<f64> {
        let allowed = format!("a number from {min} to {max}");
        let found = match self.value {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n as f64),
            DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
            _ => {
                self.wrong_type(&allowed);
                return None;
            }
        };
        let within = found.filter(|n| (min..=max).contains(n));
        if within.is_none() {
            self.fault(&found.map_or("another number".to_owned(), |n| n.to_string()), allowed);
        }
        within
    }

    /// A span of time from `min` to `max`, such as `"30s"`, `"1h30m"` or `"7d"`.
    pub fn duration(&self, min: Duration, max: Duration) -> Option<Duration> {
        let (least, most) = (duration_text(min), duration_text(max));
        let allowed = format!("a time such as \"30s\", \"15m\", \"1h30m\" or \"7d\", from {least} to {most}");
        let text = self.text(&allowed)?;
        let found = duration_from(text).filter(|span| (min..=max).contains(span));
        if found.is_none() {
            self.fault(&quoted(text), allowed);
        }
        found
    }

    /// A size in bytes up to `max`, such as `"5MiB"`.
    pub fn size(&self, min: u64, max: u64) -> Option<u64> {
        let allowed = format!("a size such as \"512KiB\" or \"5MiB\", from {min} to {max} bytes");
        let text = self.text(&allowed)?;
        let found = size_from(text).filter(|size| (min..=max).contains(size));
        if found.is_none() {
            self.fault(&quoted(text), allowed);
        }
        found
    }

    /// A table.
    pub fn table(&self, allowed: &str) -> Option<Table<'d>> {
        let keys = self.value.as_table();
        if keys.is_none() {
            self.wrong_type(allowed);
        }
        keys.map(|keys| Table::new(self.reader, self.path.clone(), self.at, Some(keys)))
    }

    /// The items of a list, which may be empty.
    pub fn items(&self, allowed: &str) -> Vec<Node<'d>> {
        let Some(items) = self.value.as_array() else {
            self.wrong_type(allowed);
            return Vec::new();
        };
        let node = |(n, item): (usize, &'d Spanned<DeValue<'d>>)| Node {
            reader: self.reader,
            path: format!("{}[{n}]", self.path),
            at: item.span().start,
            value: item.get_ref(),
        };
        items.iter().enumerate().map(node).collect()
    }

    /// Whether this is a table with this key.
    pub fn has(&self, key: &str) -> bool {
        self.value.as_table().is_some_and(|table| table.contains_key(key))
    }

    /// Whether this is a list.
    pub fn is_list(&self) -> bool {
        self.value.is_array()
    }

    /// Whether this is a text.
    pub fn is_text(&self) -> bool {
        self.value.is_str()
    }

    /// Says the type only: what stands there may be a secret in the wrong place.
    fn wrong_type(&self, allowed: &str) {
        let found = match self.value.type_str() {
            "string" => "a text",
            "integer" | "float" => "a number",
            "boolean" => "true or false",
            "datetime" => "a date",
            "array" => "a list",
            _ => "a table",
        };
        self.fault(found, allowed);
    }
}

/// What was found, in quotes and cut to a length that can be read.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", shown(text))
}

fn shown(text: &str) -> String {
    let clean: String = text.chars().take(FOUND_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().count() > FOUND_CHARS_MAX { format!("{clean}…") } else { clean }
}

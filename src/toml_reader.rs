//! Reads the TOML files people write for Onward, by hand and with places, so that every fault of a file is told at once:
//! file, line, column, key, what was found and what is allowed. It stands below `config` and `routing`, which both read
//! files, and knows neither.

mod fault;
mod node;
mod units;

use std::{borrow::Cow, cell::RefCell, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

pub use fault::Fault;
pub(crate) use node::quoted;
pub use node::{Node, Spot, Table};
pub use units::{duration_from, duration_text, size_from};

/// One file being read: knows where its lines are and collects what is wrong.
pub struct Reader {
    file: String,
    text: String,
    line_starts: Vec<usize>,
    /// Names of the environment variables and options that stand in for keys; number `n` has the place `text.len() + 1 + n`.
    variables: Vec<String>,
    faults: RefCell<Vec<Fault>>,
    warnings: RefCell<Vec<Fault>>,
}

/// A reader of `text`, which faults call `file`, and the tables found in it. What is not TOML at all is a fault already.
pub fn read<'t>(file: &str, text: &'t str) -> (Reader, DeTable<'t>) {
    let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let reader = Reader {
        file: file.to_owned(),
        text: text.to_owned(),
        line_starts,
        variables: Vec::new(),
        faults: RefCell::default(),
        warnings: RefCell::default(),
    };
    let (parsed, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        // only the message: the error's own Display repeats the line, and the line may hold what somebody took for a secret
        reader.fault(at, "", format!("not TOML: {}", error.message()));
    }
    (reader, parsed.into_inner())
}

// === impl Reader ===

impl Reader {
    /// The top of the file. Hand it back with [`Table::finish`] so that unknown keys are told.
    pub fn root<'d>(&'d self, table: &'d DeTable<'d>) -> Table<'d> {
        Table::new(self, String::new(), 0, Some(table))
    }

    /// Lets the environment variable `name`, or the option if it begins with `--`, stand in for the key at `path`, as if its
    /// text stood there in quotes.
    pub fn put(&mut self, table: &mut DeTable<'_>, path: &[String], name: &str, text: &str) {
        let at = self.text.len() + 1 + self.variables.len();
        self.variables.push(name.to_owned());
        if !put_at(table, path, at..at, text) {
            self.fault(at, "", "found a variable for a list or a whole table; allowed: one key of a table".to_owned());
        }
    }

    /// Whether what stands at `at` came from the environment, where everything is text.
    pub(crate) fn is_variable(&self, at: usize) -> bool {
        at > self.text.len()
    }

    /// Notes a fault at the byte `at`.
    pub(crate) fn fault(&self, at: usize, key: &str, message: String) {
        self.faults.borrow_mut().push(self.place(at, key, message));
    }

    /// Notes a fault of what stands at a spot.
    pub fn fault_at(&self, spot: &Spot, message: impl Into<String>) {
        self.fault(spot.at, &spot.path, message.into());
    }

    /// The line on which a spot is, from 1.
    pub fn line_of(&self, spot: &Spot) -> usize {
        self.place(spot.at, "", String::new()).line
    }

    /// Notes something legal but risky of what stands at a spot.
    pub fn warn_at(&self, spot: &Spot, message: impl Into<String>) {
        self.warn(spot.at, &spot.path, message.into());
    }

    /// Notes something legal but risky at the byte `at`.
    pub(crate) fn warn(&self, at: usize, key: &str, message: String) {
        self.warnings.borrow_mut().push(self.place(at, key, message));
    }

    /// Whether a fault was found so far.
    pub fn has_faults(&self) -> bool {
        !self.faults.borrow().is_empty()
    }

    /// All faults and all warnings, in the order of the file.
    pub fn finish(self) -> (Vec<Fault>, Vec<Fault>) {
        let (mut faults, mut warnings) = (self.faults.into_inner(), self.warnings.into_inner());
        for list in [&mut faults, &mut warnings] {
            list.sort_by_key(|fault| (fault.line, fault.column));
            list.dedup();
        }
        (faults, warnings)
    }

    fn place(&self, at: usize, key: &str, message: String) -> Fault {
        if let Some(variable) = at.checked_sub(self.text.len() + 1).and_then(|n| self.variables.get(n)) {
            let file = if variable.starts_with("--") { "command line" } else { "environment" };
            return Fault { file: file.to_owned(), line: 0, column: 0, key: variable.clone(), message };
        }
        let line = self.line_starts.partition_point(|start| *start <= at);
        let start = self.line_starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let column = self.text.get(start..at).map_or(0, |before| before.chars().count()) + 1;
        Fault { file: self.file.clone(), line, column, key: key.to_owned(), message }
    }
}

fn put_at(table: &mut DeTable<'_>, path: &[String], at: Range<usize>, text: &str) -> bool {
    let Some((key, rest)) = path.split_first() else { return false };
    if rest.is_empty() {
        let holds_many = |found: &Spanned<DeValue<'_>>| found.get_ref().is_table() || found.get_ref().is_array();
        if table.get(key.as_str()).is_some_and(holds_many) {
            return false;
        }
        // removed first: inserting over a key would keep the place of the old one
        table.remove(key.as_str());
        let value = DeValue::String(Cow::Owned(text.to_owned()));
        table.insert(Spanned::new(at.clone(), Cow::Owned(key.clone())), Spanned::new(at, value));
        return true;
    }
    if !table.contains_key(key.as_str()) {
        let empty = Spanned::new(at.clone(), DeValue::Table(DeTable::new()));
        table.insert(Spanned::new(at.clone(), Cow::Owned(key.clone())), empty);
    }
    match table.get_mut(key.as_str()).map(Spanned::get_mut) {
        Some(DeValue::Table(inner)) => put_at(inner, rest, at, text),
        _ => false,
    }
}

#[cfg(test)]
mod tests;

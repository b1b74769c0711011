//! The environment, as far as the configuration may look at it: `ONWARD__SECTION__KEY` overrides a key, and secrets may
//! stand in variables.

use std::{collections::BTreeMap, fmt};

use toml::de::DeTable;

use crate::toml_reader::{Fault, Reader};

const PREFIX: &str = "ONWARD__";
/// The tables whose keys a variable may override. Lists are left out: which item would be meant?
const SECTIONS: [&str; 11] =
    ["server", "store", "broker", "retry", "limits", "http", "log", "routes", "registry", "places", "directory"];

/// Variables by name. Its Debug shows names only.
#[derive(Clone, Default)]
pub struct Env {
    variables: BTreeMap<String, String>,
    /// Options of the command line that stand in for a key: their name, the key's place, their value.
    options: Vec<(&'static str, [&'static str; 2], String)>,
}

// === impl Env ===

impl Env {
    /// The variables of this process; those that are not UTF-8 are left out.
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        std::env::vars_os().filter_map(text).collect()
    }

    /// The text of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// The same with an option of the command line that stands in for a key, before any variable for it.
    #[must_use]
    pub fn with_option(mut self, option: &'static str, key: [&'static str; 2], value: String) -> Self {
        self.options.push((option, key, value));
        self
    }

    /// Puts every `ONWARD__` variable in the place of its key; what names no key of a table is handed back.
    pub(super) fn put_into(&self, reader: &mut Reader, table: &mut DeTable<'_>) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (name, value) in &self.variables {
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            let path: Vec<String> = rest.split("__").map(|word| word.to_ascii_lowercase().replace('_', "-")).collect();
            let section = path.first().map(String::as_str).unwrap_or_default();
            if path.len() < 2 || !SECTIONS.contains(&section) {
                let allowed = SECTIONS.join(", ").to_ascii_uppercase();
                let message =
                    format!("found an unknown variable; allowed: ONWARD__SECTION__KEY, SECTION being one of {allowed}");
                faults.push(Fault { file: "environment".into(), line: 0, column: 0, key: name.clone(), message });
            } else {
                reader.put(table, &path, name, value);
            }
        }
        for (option, key, value) in &self.options {
            reader.put(table, &key.map(str::to_owned), option, value);
        }
        faults
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Env {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { variables, options: Vec::new() }
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

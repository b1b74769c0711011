//! The environment, as far as the configuration may look at it: `ONWARD__SECTION__KEY` overrides a key, and secrets may
//! stand in variables.

use std::{collections::BTreeMap, fmt};

use toml::de::DeTable;

use crate::toml_reader::{Fault, Reader};

const PREFIX: &str = "ONWARD__";
/// The tables whose keys a variable may override. Lists are left out: which item would be meant?
const SECTIONS: [&str; 8] = ["server", "store", "broker", "retry", "limits", "log", "routes", "registry"];

/// Variables by name. Its Debug shows names only.
#[derive(Clone, Default)]
pub struct Env(BTreeMap<String, String>);

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
        self.0.get(name).map(String::as_str)
    }

    /// Puts every `ONWARD__` variable in the place of its key; what names no key of a table is handed back.
    pub(super) fn put_into(&self, reader: &mut Reader, table: &mut DeTable<'_>) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (name, value) in &self.0 {
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
        faults
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Env {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

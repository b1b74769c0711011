//! Codes and performers that a rule wants, and how they are written.

use std::{collections::BTreeSet, fmt, str::FromStr, sync::Arc};

use serde::{Serialize, Serializer};

use super::{
    Coding, Facts,
    condition::{NotWanted, is_ods_code, is_word},
    facts::{is_ods_system, same_ods},
};

/// A code that a rule wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeWanted {
    /// `system|code`.
    InSystem(String, String),
    /// `|code`: a coding that names no system.
    WithoutSystem(String),
    /// `code`: in whatever system.
    InAny(String),
    /// `in:name`: any of a value set.
    InSet(Arc<ValueSet>),
}

/// Codes that a route set gives a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ValueSet {
    /// Its name.
    pub name: String,
    /// Each with its system. Never empty.
    pub codes: BTreeSet<Coding>,
}

/// A performer that a rule wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PerformerWanted {
    /// A bare ODS code, or one with its system.
    Ods(String),
    /// `system|value`.
    Identifier(String, String),
    /// A reference as the sender writes it.
    Reference(String),
}

// === impl CodeWanted ===

impl CodeWanted {
    pub(super) fn is(&self, found: &Coding) -> bool {
        match self {
            Self::InSystem(system, code) => found.system.as_ref() == Some(system) && found.code == *code,
            Self::WithoutSystem(code) => found.system.is_none() && found.code == *code,
            Self::InAny(code) => found.code == *code,
            Self::InSet(set) => set.codes.contains(found),
        }
    }
}

impl FromStr for CodeWanted {
    type Err = NotWanted;
    fn from_str(text: &str) -> Result<Self, NotWanted> {
        // the last “|”: a canonical system may bear a version behind one of its own, a code never holds one
        let wanted = match text.rsplit_once('|') {
            Some(("", code)) => Self::WithoutSystem(code.to_owned()),
            Some((system, code)) if is_word(system) => Self::InSystem(system.to_owned(), code.to_owned()),
            None => Self::InAny(text.to_owned()),
            Some(_) => return Err(NotWanted),
        };
        let (Self::InSystem(_, code) | Self::WithoutSystem(code) | Self::InAny(code)) = &wanted else {
            return Err(NotWanted); // a set is found by whoever has its codes
        };
        let sound = !code.is_empty() && code.trim() == code && !code.chars().any(char::is_control);
        if sound { Ok(wanted) } else { Err(NotWanted) }
    }
}

impl fmt::Display for CodeWanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InSystem(system, code) => write!(f, "{system}|{code}"),
            Self::WithoutSystem(code) => write!(f, "|{code}"),
            Self::InAny(code) => f.write_str(code),
            Self::InSet(set) => write!(f, "in:{}", set.name),
        }
    }
}

impl Serialize for CodeWanted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

// === impl PerformerWanted ===

impl PerformerWanted {
    pub(super) fn is_among(&self, facts: &Facts<'_>) -> bool {
        match self {
            Self::Ods(wanted) => facts.performer_orgs.iter().any(|found| same_ods(wanted, found)),
            Self::Identifier(system, value) => facts
                .performer_identifiers
                .iter()
                .any(|found| found.system.as_ref() == Some(system) && found.code == *value),
            Self::Reference(wanted) => facts.performer_references.contains(wanted),
        }
    }
}

impl FromStr for PerformerWanted {
    type Err = NotWanted;
    fn from_str(text: &str) -> Result<Self, NotWanted> {
        if !is_word(text) {
            return Err(NotWanted);
        }
        match text.split_once('|') {
            Some((system, value)) if is_ods_system(system) && is_ods_code(value) => {
                Ok(Self::Ods(value.to_ascii_uppercase()))
            }
            Some((system, value)) if !system.is_empty() && !value.is_empty() && !is_ods_system(system) => {
                Ok(Self::Identifier(system.to_owned(), value.to_owned()))
            }
            Some(_) => Err(NotWanted),
            None if text.contains('/') => Ok(Self::Reference(text.to_owned())),
            None if is_ods_code(text) => Ok(Self::Ods(text.to_ascii_uppercase())),
            None => Err(NotWanted),
        }
    }
}

impl fmt::Display for PerformerWanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identifier(system, value) => write!(f, "{system}|{value}"),
            Self::Ods(text) | Self::Reference(text) => f.write_str(text),
        }
    }
}

impl Serialize for PerformerWanted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

//! The conditions of a rule: what each wants, and whether it holds for a referral.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

use super::{
    Area, Coding, Facts,
    facts::{is_ods_system, same_ods},
};
use crate::domain::SystemId;

/// A condition: what kind, and the values of which any is enough.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// What is asked for.
    Code(Vec<CodeWanted>),
    /// The category of what is asked for.
    Category(Vec<CodeWanted>),
    /// Whom the referrer named.
    Performer(Vec<PerformerWanted>),
    /// The ODS code of the organisation that refers.
    RequesterOrg(Vec<String>),
    /// Where the person lives.
    PatientArea(Vec<Area>),
    /// The system that sent the referral.
    System(Vec<SystemId>),
}

/// A code that a rule wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeWanted {
    /// `system|code`.
    InSystem(String, String),
    /// `|code`: a coding that names no system.
    WithoutSystem(String),
    /// `code`: in whatever system.
    InAny(String),
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

/// A text that is none of the forms a condition allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a form this condition allows")]
pub struct NotWanted;

// === impl Condition ===

impl Condition {
    /// The word that names the condition in the file.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Code(_) => "code",
            Self::Category(_) => "category",
            Self::Performer(_) => "performer",
            Self::RequesterOrg(_) => "requester-org",
            Self::PatientArea(_) => "patient-area",
            Self::System(_) => "system",
        }
    }

    /// Whether it holds for a referral.
    pub fn holds(&self, facts: &Facts) -> bool {
        self.held_by(facts).is_some()
    }

    /// The values it wants, as the file has them.
    pub fn wanted(&self) -> Vec<String> {
        match self {
            Self::Code(values) | Self::Category(values) => texts(values),
            Self::Performer(values) => texts(values),
            Self::RequesterOrg(values) => values.clone(),
            Self::PatientArea(values) => texts(values),
            Self::System(values) => texts(values),
        }
    }

    /// The first of its values that holds. The one place that compares: deciding and explaining both ask here.
    pub(super) fn held_by(&self, facts: &Facts) -> Option<String> {
        match self {
            Self::Code(values) => first(values, |wanted| facts.codes.iter().any(|code| wanted.is(code))),
            Self::Category(values) => first(values, |wanted| facts.categories.iter().any(|code| wanted.is(code))),
            Self::Performer(values) => first(values, |wanted| wanted.is_among(facts)),
            Self::RequesterOrg(values) => {
                first(values, |wanted| facts.requester_orgs.iter().any(|org| same_ods(wanted, org)))
            }
            Self::PatientArea(values) => first(values, |area| facts.outward_codes.iter().any(|code| area.holds(code))),
            Self::System(values) => first(values, |wanted| **wanted == facts.system),
        }
    }
}

fn first<T: fmt::Display>(values: &[T], holds: impl Fn(&&T) -> bool) -> Option<String> {
    values.iter().find(holds).map(ToString::to_string)
}

fn texts<T: fmt::Display>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

// === impl CodeWanted ===

impl CodeWanted {
    fn is(&self, found: &Coding) -> bool {
        match self {
            Self::InSystem(system, code) => found.system.as_ref() == Some(system) && found.code == *code,
            Self::WithoutSystem(code) => found.system.is_none() && found.code == *code,
            Self::InAny(code) => found.code == *code,
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
        let (Self::InSystem(_, code) | Self::WithoutSystem(code) | Self::InAny(code)) = &wanted;
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
    fn is_among(&self, facts: &Facts) -> bool {
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

/// Whether the text has the form of an ODS code: 3 to 10 letters and digits.
pub(crate) fn is_ods_code(text: &str) -> bool {
    (3..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

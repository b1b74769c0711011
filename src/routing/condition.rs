//! The conditions of a rule: what each wants, and whether it holds for a referral.

use std::fmt;

use serde::Serialize;

use super::{
    AreaWanted, Facts,
    facts::same_ods,
    hours::Hours,
    path::Path,
    person::{Ages, Consented, Language, Urgency},
    wanted::{CodeWanted, PerformerWanted},
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
    /// The system that sent the referral.
    System(Vec<SystemId>),
    /// Where the person lives.
    PatientArea(Vec<AreaWanted>),
    /// How old the person is.
    PatientAge(Vec<Ages>),
    /// A language that the person speaks, or prefers where one is preferred.
    Language(Vec<Language>),
    /// What the person has said to being referred.
    Consent(Vec<Consented>),
    /// How soon.
    Urgency(Vec<Urgency>),
    /// When it is decided.
    Time(Vec<Hours>),
    /// Whatever else a FHIRPath expression can ask.
    Fhirpath(Vec<Path>),
}

/// The kinds of conditions, in the order in which files are told of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `code`
    Code,
    /// `category`
    Category,
    /// `performer`
    Performer,
    /// `requester-org`
    RequesterOrg,
    /// `system`
    System,
    /// `patient-area`
    PatientArea,
    /// `patient-age`
    PatientAge,
    /// `language`
    Language,
    /// `consent`
    Consent,
    /// `urgency`
    Urgency,
    /// `time`
    Time,
    /// `fhirpath`
    Fhirpath,
}

/// A text that is none of the forms a condition allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a form this condition allows")]
pub struct NotWanted;

// === impl Kind ===

impl Kind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Code,
        Self::Category,
        Self::Performer,
        Self::RequesterOrg,
        Self::System,
        Self::PatientArea,
        Self::PatientAge,
        Self::Language,
        Self::Consent,
        Self::Urgency,
        Self::Time,
        Self::Fhirpath,
    ];

    /// The word that names it in the file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Category => "category",
            Self::Performer => "performer",
            Self::RequesterOrg => "requester-org",
            Self::System => "system",
            Self::PatientArea => "patient-area",
            Self::PatientAge => "patient-age",
            Self::Language => "language",
            Self::Consent => "consent",
            Self::Urgency => "urgency",
            Self::Time => "time",
            Self::Fhirpath => "fhirpath",
        }
    }
}

// === impl Condition ===

impl Condition {
    /// What it asks.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Code(_) => Kind::Code,
            Self::Category(_) => Kind::Category,
            Self::Performer(_) => Kind::Performer,
            Self::RequesterOrg(_) => Kind::RequesterOrg,
            Self::System(_) => Kind::System,
            Self::PatientArea(_) => Kind::PatientArea,
            Self::PatientAge(_) => Kind::PatientAge,
            Self::Language(_) => Kind::Language,
            Self::Consent(_) => Kind::Consent,
            Self::Urgency(_) => Kind::Urgency,
            Self::Time(_) => Kind::Time,
            Self::Fhirpath(_) => Kind::Fhirpath,
        }
    }

    /// The word that names the condition in the file.
    pub fn word(&self) -> &'static str {
        self.kind().word()
    }

    /// Whether it holds for a referral.
    pub fn holds(&self, facts: &Facts<'_>) -> bool {
        self.held_by(facts).is_some()
    }

    /// The values it wants, as the file has them.
    pub fn wanted(&self) -> Vec<String> {
        match self {
            Self::Code(values) | Self::Category(values) => texts(values),
            Self::Performer(values) => texts(values),
            Self::RequesterOrg(values) => values.clone(),
            Self::System(values) => texts(values),
            Self::PatientArea(values) => texts(values),
            Self::PatientAge(values) => texts(values),
            Self::Language(values) => texts(values),
            Self::Consent(values) => texts(values),
            Self::Urgency(values) => texts(values),
            Self::Time(values) => texts(values),
            Self::Fhirpath(values) => texts(values),
        }
    }

    /// The first of its values that holds. The one place that compares: deciding and explaining both ask here.
    pub(super) fn held_by(&self, facts: &Facts<'_>) -> Option<String> {
        match self {
            Self::Code(values) => first(values, |wanted| facts.codes.iter().any(|code| wanted.is(code))),
            Self::Category(values) => first(values, |wanted| facts.categories.iter().any(|code| wanted.is(code))),
            Self::Performer(values) => first(values, |wanted| wanted.is_among(facts)),
            Self::RequesterOrg(values) => {
                first(values, |wanted| facts.requester_orgs.iter().any(|org| same_ods(wanted, org)))
            }
            Self::System(values) => first(values, |wanted| **wanted == facts.system),
            Self::PatientArea(values) => first(values, |area| area.holds(&facts.homes)),
            Self::PatientAge(values) => first(values, |ages| facts.age.is_some_and(|age| ages.holds(age))),
            Self::Language(values) => first(values, |wanted| facts.languages.iter().any(|tag| wanted.holds(tag))),
            Self::Consent(values) => first(values, |wanted| **wanted == facts.consent),
            Self::Urgency(values) => first(values, |wanted| **wanted == facts.urgency),
            Self::Time(values) => first(values, |hours| hours.hold(&facts.moment)),
            Self::Fhirpath(values) => first(values, |path| path.holds(facts)),
        }
    }
}

fn first<T: fmt::Display>(values: &[T], holds: impl Fn(&&T) -> bool) -> Option<String> {
    values.iter().find(holds).map(ToString::to_string)
}

fn texts<T: fmt::Display>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

/// Whether the text has the form of an ODS code: 3 to 10 letters and digits.
pub(crate) fn is_ods_code(text: &str) -> bool {
    (3..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Without spaces and control characters, and not empty.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

//! The parameters that a type can be searched by.

use crate::definitions::{SearchKind, SearchParameter, search_parameters};

/// What a search may say beside what it looks for (R4 search, 3.1.1.6).
#[derive(Debug)]
pub struct Control {
    /// Its name.
    pub name: &'static str,
    /// Its type, as a CapabilityStatement has it.
    pub kind: &'static str,
    /// What it does, in words.
    pub told: &'static str,
    /// What it may say, where that is not free.
    pub values: &'static [&'static str],
}

/// All of them.
pub const CONTROLS: &[Control] = &[
    control(
        "_count",
        "number",
        "So many on a page, 500 at the most; 50 where nothing is said. 0 asks for their number only.",
    ),
    control("_sort", "string", "One to four parameters, a “-” before those that come the greatest first."),
    control("_include", "special", "Type:parameter or Type:parameter:Target: brings along what the matches lead to."),
    control("_include:iterate", "special", "The same, and goes on from what was brought along."),
    control("_revinclude", "special", "Type:parameter: brings along what leads to the matches."),
    control("_revinclude:iterate", "special", "The same, and goes on from what was brought along."),
    Control {
        values: &["true", "text", "data", "count", "false"],
        ..control("_summary", "token", "How much of each resource is given.")
    },
    control("_elements", "string", "The elements that are given of each resource, with commas between them."),
    Control {
        values: &["accurate", "estimate", "none"],
        ..control("_total", "token", "Whether the number of all matches must be told; accurate counts them.")
    },
];

const fn control(name: &'static str, kind: &'static str, told: &'static str) -> Control {
    Control { name, kind, told, values: &[] }
}

/// The modifiers by which a parameter of this kind is asked for otherwise, beside the type of what a reference leads to.
pub const fn modifiers(kind: SearchKind) -> &'static [&'static str] {
    match kind {
        SearchKind::Date | SearchKind::Number => &["missing"],
        SearchKind::Reference => &["missing", "identifier", "text"],
        SearchKind::String => &["missing", "exact", "contains"],
        SearchKind::Token => &["missing", "not", "text"],
        SearchKind::Uri => &["missing", "below", "above"],
    }
}

/// Whether a chain to an identifier of what this leads to can be followed (`patient.identifier`).
pub fn leads_to_identifiers(parameter: &SearchParameter) -> bool {
    parameter.targets.iter().any(|target| self::parameter(target, "identifier").is_some())
}

/// The codes that a token must have one of, where it is said which.
pub fn codes(parameter: &SearchParameter) -> Vec<&'static str> {
    let codes = (parameter.kind == SearchKind::Token).then(|| super::compare::words_of(parameter)).flatten();
    codes.unwrap_or_default()
}

/// Those of every resource that say nothing here: what is stored has no security labels or tags of this server.
const OF_NO_USE: &[&str] = &["_security", "_source", "_tag", "_profile"];

/// The parameter that asks for whom a service is by age.
const ELIGIBLE_AGE: &str = "https://onward.example/fhir/SearchParameter/HealthcareService-eligible-age";

/// What R4 does not have and people look for all the same. `about` finds what was said about a referral, by the reference to its
/// ServiceRequest or its Task, whichever of them a message names itself. Of a service it is asked whether it has room, takes referrals,
/// and is for somebody of an age, where one that names none is for all.
static BEYOND_R4: &[(&str, &[SearchParameter])] = &[
    (
        "Communication",
        &[SearchParameter {
            name: "about",
            kind: SearchKind::Reference,
            expression: "Communication.about",
            targets: &[],
            url: "https://onward.example/fhir/SearchParameter/Communication-about",
        }],
    ),
    (
        "HealthcareService",
        &[
            SearchParameter {
                name: "accepts-referrals",
                kind: SearchKind::Token,
                expression: "HealthcareService.extension.where(url = 'https://onward.example/fhir/StructureDefinition/accepts-referrals').value",
                targets: &[],
                url: "https://onward.example/fhir/SearchParameter/HealthcareService-accepts-referrals",
            },
            SearchParameter {
                name: "capacity",
                kind: SearchKind::Token,
                expression: "HealthcareService.extension.where(url = 'https://onward.example/fhir/StructureDefinition/capacity').value",
                targets: &[],
                url: "https://onward.example/fhir/SearchParameter/HealthcareService-capacity",
            },
            SearchParameter {
                name: "eligible-age",
                kind: SearchKind::Number,
                expression: "HealthcareService.extension.where(url = 'https://onward.example/fhir/StructureDefinition/eligible-age').value",
                targets: &[],
                url: ELIGIBLE_AGE,
            },
        ],
    ),
];

/// Whether a resource that says nothing answers whatever is asked for: a service that names no age is for every age, as no
/// `minimum_age` and no `maximum_age` of Open Referral UK are no limit.
pub(super) fn is_open(parameter: &SearchParameter) -> bool {
    parameter.url == ELIGIBLE_AGE
}

/// The parameter of this name.
pub fn parameter(of: &str, name: &str) -> Option<&'static SearchParameter> {
    parameters(of).find(|parameter| parameter.name == name)
}

/// All parameters of a type.
pub fn parameters(of: &str) -> impl Iterator<Item = &'static SearchParameter> {
    let own = BEYOND_R4.iter().filter(move |(known, _)| *known == of).flat_map(|(_, all)| *all);
    search_parameters(of).filter(|parameter| !OF_NO_USE.contains(&parameter.name)).chain(own)
}

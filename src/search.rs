//! What a search asks for, and whether a resource answers it (R4 search.html). Pure: how candidates are found is the caller's
//! business, and [`Search::leads`] says what they can be found by.

mod compare;
mod date;
mod kept;
mod leads;
mod near;
mod parameter;
mod read;
mod shape;

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use serde_json::Value;

use crate::{
    definitions::{SearchKind, SearchParameter},
    fhir::Issue,
    fhirpath::Expression,
};

pub use kept::{Kept, Sieve};
pub use leads::Leads;
pub use near::{Around, NEAR, Near, NearParameter};
pub use parameter::{CONTROLS, Control, codes, leads_to_identifiers, modifiers, parameter, parameters};
pub use shape::Shape;

/// So many resources on a page where nothing is said.
pub const COUNT_DEFAULT: usize = 50;
/// No page has more.
pub const COUNT_MAX: usize = 500;

/// A search over the resources of one type.
#[derive(Debug)]
pub struct Search {
    /// The type.
    pub of: String,
    /// All of these must hold.
    pub conditions: Vec<Condition>,
    /// And what it must be near, which is for the caller to see to: where a resource lies, it does not always say itself.
    pub near: Option<Near>,
    /// What the matches lead to is brought along.
    pub includes: Vec<Include>,
    /// What leads to the matches is brought along.
    pub revincludes: Vec<Include>,
    /// In which order, the first the foremost. Empty: as they were made.
    pub sort: Vec<Sort>,
    /// How many on a page; 0 where only their number is asked for.
    pub count: usize,
    /// Where the last page ended, as it said itself.
    pub after: Option<String>,
    /// Whether their number must be told.
    pub total: bool,
    /// How much of each is given.
    pub shape: Shape,
    /// What was asked for and is not looked at, because the client allows that.
    pub ignored: Vec<Issue>,
    /// What was asked for and is looked at: name and value, for the self link.
    pub used: Vec<(String, String)>,
}

/// One parameter of a search.
#[derive(Debug)]
pub struct Condition {
    /// Its name with its modifier, as it was asked.
    pub name: String,
    parameter: &'static SearchParameter,
    expression: Expression,
    test: Test,
}

#[derive(Debug)]
enum Test {
    /// Nothing there, or something.
    Missing(bool),
    /// One of these matches; with `not`, none does.
    Any { values: Vec<Wanted>, not: bool },
    /// It leads to a resource of one of these types for which this holds.
    Leads(Vec<(&'static str, Condition)>),
}

/// A value that is looked for.
#[derive(Debug, Clone, PartialEq)]
enum Wanted {
    Token(Token),
    /// A token's or a reference's words, without case and accents.
    Words(String),
    Reference {
        kind: Option<String>,
        id: String,
        version: Option<String>,
    },
    /// A URL that is not this server's.
    Url(String),
    /// The identifier of what is referred to.
    Identifier(Token),
    Date(date::Prefix, date::Span),
    /// A number, or one that lies in a Range.
    Number(Decimal),
    Text(How, String),
    Uri(How, String),
}

/// `[system]|[code]`
#[derive(Debug, Clone, PartialEq)]
struct Token {
    /// None: whatever the system. Empty: there must be none.
    system: Option<String>,
    /// None: whatever the code.
    code: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Starts,
    Contains,
    Exact,
    Below,
    Above,
}

/// `_include` and `_revinclude`.
#[derive(Debug, Clone)]
pub struct Include {
    /// The type that has the reference.
    pub from: String,
    /// The parameter that finds it; none: every one of the type.
    pub by: Option<Reference>,
    /// The type it must lead to.
    pub to: Option<String>,
    /// Whether it goes on from what was brought along.
    pub iterate: bool,
}

/// A parameter that finds references.
#[derive(Debug, Clone)]
pub struct Reference {
    /// Its name.
    pub name: &'static str,
    targets: &'static [&'static str],
    expression: Expression,
}

/// One key of `_sort`.
#[derive(Debug)]
pub struct Sort {
    /// The parameter.
    pub name: &'static str,
    /// The greatest first.
    pub descending: bool,
    kind: SearchKind,
    expression: Expression,
}

/// What a condition may know beside the resource.
pub struct World<'a> {
    /// This server's FHIR base, without a slash at its end.
    pub base: &'a str,
    /// The present moment, for `ap`.
    pub now: jiff::Timestamp,
    /// Whose a Task is, whatever worker of theirs its `owner` names: the id of their Organization.
    pub owner: Option<&'a str>,
    /// The resource of this type and id, where it goes with the one that is looked at.
    pub find: &'a dyn Fn(&str, &str) -> Option<&'a Value>,
}

impl Search {
    /// Reads a search.
    ///
    /// `base` is this server's FHIR base, `lenient` whether what is not known is left out and told ([`Search::ignored`]) instead of
    /// being refused (R4 search, 3.1.1.2).
    ///
    /// # Errors
    /// One issue for each parameter that is not known or cannot be read.
    pub fn read(of: &str, pairs: &[(String, String)], base: &str, lenient: bool) -> Result<Self, Vec<Issue>> {
        read::read(of, pairs, base, lenient)
    }

    /// Whether a resource is what is looked for.
    pub fn matches(&self, resource: &Value, world: &World<'_>) -> bool {
        self.conditions.iter().all(|condition| condition.holds(resource, world))
    }

    /// The parameters that need more than the resource itself: what its references lead to.
    pub fn looking_beyond(&self) -> impl Iterator<Item = &Condition> {
        let beyond = |test: &Test| match test {
            Test::Leads(_) => true,
            Test::Any { .. } | Test::Missing(_) => false,
        };
        let by_person = |condition: &Condition| match &condition.test {
            Test::Any { values, .. } => {
                leads::PERSON.contains(&condition.parameter.name)
                    && values.iter().any(|v| matches!(v, Wanted::Identifier(_)))
            }
            _ => false,
        };
        self.conditions.iter().filter(move |condition| beyond(&condition.test) || by_person(condition))
    }
}

impl Search {
    /// The types of the resources that are looked into to know whether a match is one, beside the matches themselves.
    pub fn looks_into(&self) -> BTreeSet<&'static str> {
        let into = |condition: &Condition| match &condition.test {
            Test::Leads(alternatives) => alternatives.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(),
            // the identifier of a person is looked for where the reference leads to
            _ => vec!["Patient"],
        };
        let lies_elsewhere = self.near.is_some() && self.of != "Location";
        self.looking_beyond().flat_map(into).chain(lies_elsewhere.then_some("Location")).collect()
    }
}

#[cfg(test)]
mod tests;

//! Conditions that no referral can meet.

use crate::routing::{Condition, PerformerWanted, Route, facts};

/// Why a rule can take no referral, and what to do.
pub(super) fn why(route: &Route) -> Option<&'static str> {
    route.when.iter().find_map(|condition| match condition {
        Condition::Performer(wanted) if wanted.iter().all(is_never_named) => Some(
            "a reference to a person, to a part of the referral or to one version of a resource is never held against a rule; needed: an \
             organisation or a service without “_history”",
        ),
        Condition::Fhirpath(wanted) if wanted.iter().all(|path| is_never_true(&path.to_string())) => {
            Some("its FHIRPath expression is never true; needed: one that can be")
        }
        _ => None,
    })
}

/// Facts leave these out.
fn is_never_named(wanted: &PerformerWanted) -> bool {
    match wanted {
        PerformerWanted::Reference(reference) => {
            reference.starts_with('#') || reference.contains("/_history/") || facts::names_a_person(reference)
        }
        _ => false,
    }
}

/// Nothing, or a literal that is not true.
fn is_never_true(path: &str) -> bool {
    let bare = path.trim_matches(|c: char| c.is_whitespace() || c == '(' || c == ')');
    matches!(bare, "false" | "{}" | "{ }" | "true.not" | "true.not(")
}

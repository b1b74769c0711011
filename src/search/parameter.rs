//! The parameters that a type can be searched by.

use crate::definitions::{SearchParameter, search_parameters};

/// Those of every resource that say nothing here: what is stored has no security labels or tags of this server.
const OF_NO_USE: &[&str] = &["_security", "_source", "_tag", "_profile"];

/// What R4 does not have and people look for all the same. `about` finds what was said about a referral, by the reference to its
/// ServiceRequest or its Task, whichever of them a message names itself.
static BEYOND_R4: &[(&str, &[SearchParameter])] = &[(
    "Communication",
    &[SearchParameter {
        name: "about",
        kind: crate::definitions::SearchKind::Reference,
        expression: "Communication.about",
        targets: &[],
        url: "https://onward.example/fhir/SearchParameter/Communication-about",
    }],
)];

/// The parameter of this name.
pub fn parameter(of: &str, name: &str) -> Option<&'static SearchParameter> {
    parameters(of).find(|parameter| parameter.name == name)
}

/// All parameters of a type.
pub fn parameters(of: &str) -> impl Iterator<Item = &'static SearchParameter> {
    let own = BEYOND_R4.iter().filter(move |(known, _)| *known == of).flat_map(|(_, all)| *all);
    search_parameters(of).filter(|parameter| !OF_NO_USE.contains(&parameter.name)).chain(own)
}

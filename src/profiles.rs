//! Whether a resource is what R4 says it is, what profiles ask for beyond that, and what the NHS asks beside it. `structure` walks it
//! beside the definitions, once; `apply` looks on the way at what a profile constrains.

mod apply;
mod bundle;
mod codes;
mod extensions;
mod invariants;
mod links;
pub mod load;
mod nhs;
mod own;
mod profile;
mod report;
pub mod structure;
mod value_sets;
mod vital_signs;

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

pub use profile::ProfileError;
pub use report::Finding;

use crate::{
    definitions::Type,
    domain::rule_level::RuleLevels,
    fhir::{outcome::IssueCode, path::Place},
};
use apply::Apply;
use invariants::Scope;
use profile::{Profile, unversioned};
use report::Report;
use value_sets::ValueSets;

/// Everything that a resource is held against: R4, our own profiles, and those that a trust adds. Made once, at start.
#[derive(Debug, Default)]
pub struct Validator {
    profiles: HashMap<String, Profile>,
    value_sets: ValueSets,
    notes: Vec<(String, String)>,
}

/// What is asked of a resource beside R4 and the profiles that it says it conforms to.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Profiles that the resource itself is to conform to.
    pub profiles: &'a [String],
    /// Profiles to which each resource of their types is to conform, in whichever entry it stands; not what is contained.
    pub required: &'a [String],
    /// How gravely the NHS's rules are taken.
    pub rules: RuleLevels,
    /// Whether it is told, for information, which elements a profile hopes for (must support) and are not there.
    pub tells: bool,
    /// The present moment.
    pub now: Timestamp,
}

/// The profiles that one resource is asked to conform to, beside those it names.
#[derive(Clone, Copy)]
struct Wished<'v> {
    wished: &'v [String],
    required: &'v [String],
    tells: bool,
}

/// A resource or an element: as a value, and as the object that it is.
type Whole<'v> = (&'v Value, &'v Map<String, Value>);

// === impl Asked ===

impl Asked<'_> {
    /// R4 and the NHS's rules, at this moment.
    pub fn at(now: Timestamp) -> Self {
        Self { profiles: &[], required: &[], rules: RuleLevels::default(), tells: false, now }
    }
}

// === impl Validator ===

impl Validator {
    /// One that knows these StructureDefinitions, ValueSets and CodeSystems beside R4's own and ours. `resources` have a name each, for
    /// errors.
    ///
    /// # Errors
    /// Every StructureDefinition of a constraint that cannot be used, with its name.
    pub fn new(resources: impl IntoIterator<Item = (String, Value)>) -> Result<Self, Vec<(String, ProfileError)>> {
        let (mut by_url, mut names) = (HashMap::new(), HashMap::new());
        for (name, resource) in own::resources().chain(resources) {
            if let Some(url) = resource.get("url").and_then(Value::as_str).map(unversioned) {
                names.insert(url.to_owned(), name);
                by_url.insert(url.to_owned(), resource);
            }
        }
        let (mut profiles, mut notes, mut faults) = (HashMap::new(), Vec::new(), Vec::new());
        for (url, resource) in &by_url {
            // a logical model is of no type of R4, and no resource conforms to it
            let is_profile = resource.get("resourceType").is_some_and(|kind| kind == "StructureDefinition")
                && resource.get("derivation").is_none_or(|derivation| derivation == "constraint")
                && resource.get("kind").is_none_or(|kind| kind != "logical");
            if is_profile && let Err(error) = profile::compile(url, &by_url, &mut profiles, &mut notes, 0) {
                faults.push((names.get(url).cloned().unwrap_or_default(), error));
            }
        }
        if !faults.is_empty() {
            faults.sort_by(|a, b| a.0.cmp(&b.0));
            return Err(faults);
        }
        notes.sort();
        Ok(Self { profiles, value_sets: ValueSets::of(&by_url), notes })
    }

    /// What of the definitions is not asked, and why: the canonical URL, and words for those who run this.
    pub fn notes(&self) -> &[(String, String)] {
        &self.notes
    }

    /// Whether it knows a profile.
    pub fn knows(&self, profile: &str) -> bool {
        self.profiles.contains_key(unversioned(profile)) || profile::core_type(profile).is_some()
    }

    /// Everything that is wrong with a resource, or worth saying: against R4, the profiles that it says it conforms to, and what is asked.
    /// `path` is the expression of the resource itself; where it is empty, the resource type is taken.
    pub fn check(&self, resource: &Value, path: &str, asked: &Asked<'_>) -> Vec<Finding> {
        structure::walk(resource, path, Some(self), asked)
    }

    /// What profiles ask of one resource, and not of those in its entries.
    fn conforms<'v>(
        &'v self,
        resource: Whole<'v>,
        of: &'static Type,
        wished: Wished<'v>,
        scope: Scope<'v>,
        place: Place<'_>,
        report: &mut Report,
    ) {
        let said = resource.0.pointer("/meta/profile").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let said = said.iter().enumerate().filter_map(|(n, url)| Some((Some(n), unversioned(url.as_str()?))));
        let is_for =
            |url: &&String| self.profiles.get(unversioned(url)).is_some_and(|profile| profile.of.name == of.name);
        let asked =
            wished.wished.iter().chain(wished.required.iter().filter(is_for)).map(|url| (None, unversioned(url)));
        let mut done: Vec<&str> = Vec::new();
        for (said_at, url) in said.chain(asked) {
            if done.contains(&url) {
                continue;
            }
            done.push(url);
            match self.profiles.get(url) {
                Some(profile) if profile.of.name == of.name => {
                    Apply { validator: self, report, asks: &profile.url, scope, tells: wished.tells, depth: 0 }
                        .whole(profile, of, resource, place);
                }
                Some(profile) => {
                    let said = format!("this profile is for a {} ({})", profile.of.name, profile.url);
                    report.broken_rule(IssueCode::Invalid, place, said);
                }
                None => match profile::core_type(url) {
                    Some(core) if of.is_a(core.name) => {}
                    Some(core) => {
                        let said = format!("this profile is for a {}", core.name);
                        report.broken_rule(IssueCode::Invalid, place, said);
                    }
                    None => {
                        let meta = place.child("meta");
                        let profiles = meta.child("profile");
                        let at = said_at.map_or(place, |n| profiles.item(n));
                        let said = "this profile is not known here: nothing was checked against it";
                        report.warning(IssueCode::NotFound, at, said);
                    }
                },
            }
        }
    }

    /// What the definition of an extension asks, where it is known.
    fn extension<'v>(
        &'v self,
        extension: Whole<'v>,
        tells: bool,
        scope: Scope<'v>,
        place: Place<'_>,
        report: &mut Report,
    ) {
        let url = extension.1.get("url").and_then(Value::as_str).unwrap_or_default();
        if let Some(profile) = self.profiles.get(url).filter(|profile| profile.of.name == "Extension") {
            Apply { validator: self, report, asks: &profile.url, scope, tells, depth: 0 }
                .whole(profile, profile.of, extension, place);
        }
    }
}

#[cfg(test)]
mod tests;

//! Whether a resource is what R4 says it is, and what profiles ask for beyond that. `structure` walks it beside the definitions, `apply`
//! looks at what a profile constrains; `basic` holds the checks that a referral must pass until full validation stands in its place.

mod apply;
pub mod basic;
mod codes;
mod profile;
mod report;
mod rules;
pub mod structure;
mod value_sets;

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::Value;

pub use basic::{Finding, check};
pub use profile::ProfileError;

use crate::fhir::{
    outcome::IssueCode,
    path::{self, Place},
};
use apply::Apply;
use profile::{Profile, unversioned};
use report::Report;
use value_sets::ValueSets;

/// Everything that a resource is held against: R4, and profiles that were read. Made once, at start.
#[derive(Debug, Default)]
pub struct Validator {
    profiles: HashMap<String, Profile>,
    value_sets: ValueSets,
}

// === impl Validator ===

impl Validator {
    /// One that knows these StructureDefinitions, ValueSets and CodeSystems beside R4's own. `resources` have a name each, for errors.
    ///
    /// # Errors
    /// Every StructureDefinition of a constraint that cannot be used, with its name.
    pub fn new(resources: impl IntoIterator<Item = (String, Value)>) -> Result<Self, Vec<(String, ProfileError)>> {
        let (mut by_url, mut names) = (HashMap::new(), HashMap::new());
        for (name, resource) in resources {
            if let Some(url) = resource.get("url").and_then(Value::as_str).map(unversioned) {
                names.insert(url.to_owned(), name);
                by_url.insert(url.to_owned(), resource);
            }
        }
        let (mut profiles, mut faults) = (HashMap::new(), Vec::new());
        for (url, resource) in &by_url {
            let is_profile = resource.get("resourceType").is_some_and(|kind| kind == "StructureDefinition")
                && resource.get("derivation").is_none_or(|derivation| derivation == "constraint");
            if is_profile && let Err(error) = profile::compile(url, &by_url, &mut profiles, 0) {
                faults.push((names.get(url).cloned().unwrap_or_default(), error));
            }
        }
        if !faults.is_empty() {
            faults.sort_by(|a, b| a.0.cmp(&b.0));
            return Err(faults);
        }
        Ok(Self { profiles, value_sets: ValueSets::of(&by_url) })
    }

    /// Whether it knows a profile.
    pub fn knows(&self, profile: &str) -> bool {
        self.profiles.contains_key(unversioned(profile))
    }

    /// Everything that is wrong with a resource, or worth saying: against R4, the profiles that it says it conforms to, and those in
    /// `wished`. `path` is the expression of the resource itself; where it is empty, the resource type is taken.
    pub fn check(&self, resource: &Value, path: &str, wished: &[String], now: Timestamp) -> Vec<Finding> {
        let mut findings = structure::check(resource, path, now);
        let kind = resource.get("resourceType").and_then(Value::as_str).and_then(path::element_name);
        let root = if path.is_empty() { kind.unwrap_or(path::UNKNOWN_ROOT) } else { path };
        let mut report = Report::new(now);
        self.conforms(resource, Place::Root(root), wished, &mut report);
        findings.append(&mut report.findings);
        findings
    }

    /// A resource and those that stand in its entries.
    fn conforms(&self, resource: &Value, place: Place<'_>, wished: &[String], report: &mut Report) {
        let Some(object) = resource.as_object() else { return };
        let Some(of) = object.get("resourceType").and_then(Value::as_str).and_then(crate::definitions::resource_named)
        else {
            return;
        };
        let said = resource.pointer("/meta/profile").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let said = said.iter().enumerate().filter_map(|(n, url)| Some((Some(n), unversioned(url.as_str()?))));
        for (said_at, url) in said.chain(wished.iter().map(|url| (None, unversioned(url)))) {
            match self.profiles.get(url) {
                Some(profile) if profile.of.name == of.name => {
                    let mut apply = Apply { validator: self, report, asks: &profile.url, depth: 0 };
                    apply.object(&profile.root, of, object, place);
                }
                Some(profile) => {
                    let said = format!("this profile is for a {} ({})", profile.of.name, profile.url);
                    report.broken_rule(IssueCode::Invalid, place, said);
                }
                None if profile::core_type(url).is_some() => {}
                None => {
                    let meta = place.child("meta");
                    let profiles = meta.child("profile");
                    let at = said_at.map_or(place, |n| profiles.item(n));
                    report.warning(
                        IssueCode::NotFound,
                        at,
                        "this profile is not known here: nothing was checked against it",
                    );
                }
            }
        }
        let entries = object.get("entry").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let list = place.child("entry");
        for (index, inner) in entries.iter().enumerate().filter_map(|(n, entry)| Some((n, entry.get("resource")?))) {
            self.conforms(inner, list.item(index).child("resource"), &[], report);
        }
    }
}

//! Whether a resource is what a profile asks for. Only what the profile constrains is looked at: what R4 asks for is `structure`'s.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::{
    Validator, Whole,
    invariants::{self, Scope},
    profile::{Allowed, Node, Profile, core_type},
    report::Report,
};
use crate::{
    definitions::{self, Kind, Type},
    fhir::{
        outcome::{IssueCode, Severity},
        path::Place,
        reference::{self, Target},
    },
    fhirpath,
};

mod slices;
mod values;

use slices::{can_tell, is_extension};
use values::{Item, coded, has, items, resource_type, same, shown};

/// Profiles of profiles of parts: deeper than any.
const DEPTH_MAX: usize = 32;

/// See the module's documentation.
pub(super) struct Apply<'v, 'r> {
    pub(super) validator: &'v Validator,
    pub(super) report: &'r mut Report,
    /// The profile that asks; it is named in what is said.
    pub(super) asks: &'v str,
    /// Where its rules are asked.
    pub(super) scope: Scope<'v>,
    /// Whether it is told what the profile hopes for and is not here.
    pub(super) tells: bool,
    pub(super) depth: usize,
}

/// Among so many contained resources the one is looked for that a reference names.
const CONTAINED_MAX: usize = 256;

impl<'v> Apply<'v, '_> {
    /// What a profile asks of the whole that it is for.
    pub(super) fn whole(
        &mut self,
        profile: &'v Profile,
        of: &'static Type,
        (value, object): Whole<'v>,
        place: Place<'_>,
    ) {
        self.object(&profile.root, of, object, place);
        let node = fhirpath::Node::element(value, of);
        invariants::ask(&profile.root.invariants, node, self.scope, self.report, place, Some(self.asks));
    }

    /// What is asked of an object of this type.
    fn object(&mut self, node: &'v Node, of: &'static Type, object: &'v Map<String, Value>, place: Place<'_>) {
        if self.depth > DEPTH_MAX {
            return;
        }
        self.depth += 1;
        for (name, child) in &node.children {
            let items = items(of, object, name);
            self.element(name, child, &items, place);
        }
        self.depth -= 1;
    }

    fn broken(&mut self, code: IssueCode, place: Place<'_>, said: &str) {
        let said = format!("{said} ({})", self.asks);
        self.report.broken_rule(code, place, said);
    }

    fn element(&mut self, name: &str, node: &'v Node, items: &[Item<'v>], place: Place<'_>) {
        self.count(name, "", node, items.len(), place);
        for item in items {
            let element = place.child(item.key);
            self.item(node, item, item.index.map_or(element, |index| element.item(index)));
        }
        self.sliced(name, node, items, place);
    }

    /// Divides items among the slices of a node, and those of a slice among its own.
    fn sliced(&mut self, name: &str, node: &'v Node, items: &[Item<'v>], place: Place<'_>) {
        if node.slices.is_empty() {
            return;
        }
        let mut members: Vec<Vec<Item<'v>>> = vec![Vec::new(); node.slices.len()];
        for item in items {
            let element = place.child(item.key);
            let at = item.index.map_or(element, |index| element.item(index));
            if let Some(number) = self.slice_of(node, item) {
                if let (Some((_, asked)), Some(members)) = (node.slices.get(number), members.get_mut(number)) {
                    self.item(asked, item, at);
                    members.push(*item);
                }
            } else if node.slicing.as_ref().is_some_and(|slicing| slicing.closed && can_tell(slicing)) {
                let names: Vec<&str> = node.slices.iter().map(|(name, _)| name.as_str()).collect();
                self.broken(IssueCode::Structure, at, &format!("only these stand here: {}", names.join(", ")));
            }
        }
        let can_tell = node.slicing.as_ref().is_some_and(can_tell) || is_extension(name) || node.slicing.is_none();
        for ((slice, asked), members) in node.slices.iter().zip(&members) {
            if can_tell {
                self.count(name, slice, asked, members.len(), place);
                self.sliced(name, asked, members, place);
            } else if self.tells {
                let said = format!("the slice {slice} cannot be told apart here and was not looked at ({})", self.asks);
                self.report.note(Severity::Information, IssueCode::NotSupported, place.child(name), said);
            }
        }
    }

    fn count(&mut self, name: &str, slice: &str, node: &Node, count: usize, place: Place<'_>) {
        let of = if slice.is_empty() { format!("“{name}”") } else { format!("“{name}” ({slice})") };
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if count < node.min {
            let said = match node.min {
                1 => format!("{of} is missing"),
                min => format!("{of} stands at least {min} times"),
            };
            self.broken(IssueCode::Required, place.child(name), &said);
        }
        if self.tells && count == 0 && node.min == 0 && node.must_support && node.max != Some(0) {
            let said = format!("{of} is not here; whoever has it should send it ({})", self.asks);
            self.report.note(Severity::Information, IssueCode::Informational, place.child(name), said);
        }
        if let Some(max) = node.max
            && count > max
        {
            let said =
                if max == 0 { format!("{of} does not stand here") } else { format!("{of} stands at most {max} times") };
            self.broken(IssueCode::Structure, place.child(name), &said);
        }
    }

    fn item(&mut self, node: &'v Node, item: &Item<'v>, place: Place<'_>) {
        if !node.types.is_empty() && !self.allowed(&node.types, item, place) {
            return;
        }
        if matches!(item.of.kind, Kind::Primitive(_)) && !node.children.is_empty() {
            self.about(node, item, place);
        }
        let Some(value) = item.value else { return };
        if let (Some(most), Some(text)) = (node.max_length, value.as_str())
            && text.len() > most
            && text.chars().count() > most
        {
            self.broken(IssueCode::TooLong, place, &format!("this has at most {most} characters"));
        }
        if let Some(fixed) = &node.fixed
            && !same(fixed, value)
        {
            self.broken(IssueCode::Value, place, &format!("this is always {}", shown(fixed)));
        }
        if let Some(pattern) = &node.pattern
            && !has(pattern, value)
        {
            self.broken(IssueCode::Value, place, &format!("this holds {}", shown(pattern)));
        }
        if let Some(bound) = &node.binding
            && let Some(known) = self.validator.value_sets.get(&bound.value_set)
        {
            let fits = |system: Option<&str>, code: &str| known.has(system, code);
            // a concept that is only described is of no value set
            let is_described = bound.is_required && item.of.name == "CodeableConcept";
            if coded(value, &fits).map_or(is_described, |fits| !fits) {
                if bound.is_required {
                    self.broken(IssueCode::CodeInvalid, place, &format!("a code of {} stands here", bound.value_set));
                } else {
                    let said =
                        format!("no code of {}; another only where none of its fits ({})", bound.value_set, self.asks);
                    self.report.warning(IssueCode::CodeInvalid, place, said);
                }
            }
        }
        if let Some(object) = value.as_object()
            && !node.children.is_empty()
        {
            let of = if item.of.kind == Kind::Resource { resource_type(object).unwrap_or(item.of) } else { item.of };
            self.object(node, of, object, place);
        }
        let here = fhirpath::Node::element(value, item.of);
        invariants::ask(&node.invariants, here, self.scope, self.report, place, Some(self.asks));
    }

    /// What is asked of the extensions of a primitive.
    fn about(&mut self, node: &'v Node, item: &Item<'v>, place: Place<'_>) {
        static NOTHING: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
        let Some(element) = definitions::type_named("Element") else { return };
        let about = item.about.and_then(Value::as_object).unwrap_or(&NOTHING);
        self.object(node, element, about, place);
    }

    /// Whether an item is of one of these types, and conforms to the profiles they name.
    fn allowed(&mut self, types: &'v [Allowed], item: &Item<'v>, place: Place<'_>) -> bool {
        let object = item.value.and_then(Value::as_object);
        let is_resource = item.of.kind == Kind::Resource && item.of.is_abstract;
        let of = if is_resource { object.and_then(resource_type).unwrap_or(item.of) } else { item.of };
        let fitting: Vec<&Allowed> =
            types.iter().filter(|t| t.code == item.code || of.is_a(&t.code) || of.kind == Kind::Backbone).collect();
        if fitting.is_empty() {
            let names: Vec<&str> = types.iter().map(|t| t.code.as_str()).collect();
            self.broken(IssueCode::Structure, place, &format!("this is a {}", names.join(" or a ")));
            return false;
        }
        let (Some(value), Some(object)) = (item.value, object) else { return true };
        let profiles: Vec<&String> = fitting.iter().flat_map(|t| &t.profiles).collect();
        if fitting.iter().all(|t| !t.profiles.is_empty()) {
            // an extension's definition is known by its URL, and is asked wherever it stands
            if of.name == "Extension" {
                return true;
            }
            self.one_of(&profiles, of, (value, object), place);
        }
        let targets: Vec<&String> = fitting.iter().flat_map(|t| &t.targets).collect();
        if !targets.is_empty() && fitting.iter().all(|t| !t.targets.is_empty()) {
            self.target(&targets, object, place);
        }
        true
    }

    /// Whether a part conforms to one of these profiles, as far as they are known.
    fn one_of(&mut self, profiles: &[&'v String], of: &'static Type, whole: Whole<'v>, place: Place<'_>) {
        let known: Vec<_> = profiles.iter().filter_map(|url| self.validator.profiles.get(url.as_str())).collect();
        if known.len() < profiles.len() || self.depth > DEPTH_MAX {
            // R4's own are its own, and of the others nothing is known
            return;
        }
        let mut first = None;
        for profile in &known {
            let mut report = self.report.beside();
            let mut apply = Apply {
                validator: self.validator,
                report: &mut report,
                asks: &profile.url,
                scope: self.scope,
                tells: self.tells,
                depth: self.depth + 1,
            };
            apply.whole(profile, of, whole, place);
            self.report.steps = self.report.steps.min(report.steps);
            if !report.has_errors() {
                return self.report.join(report);
            }
            first.get_or_insert(report);
        }
        if let Some(report) = first {
            self.report.join(report);
        }
    }

    /// Whether a reference points at one of these, as far as it tells by itself.
    fn target(&mut self, targets: &[&'v String], object: &Map<String, Value>, place: Place<'_>) {
        let by_url = match object.get("reference").and_then(Value::as_str).map(reference::parse) {
            Some(Target::Relative { kind, .. } | Target::Absolute { kind, .. }) => Some(kind),
            Some(Target::Contained(id)) => {
                let contained = self.scope.root.get("contained").and_then(Value::as_array);
                // who contains more than anybody does is not looked through for each reference
                let few = contained.into_iter().flatten().take(CONTAINED_MAX);
                let named = few.into_iter().find(|one| one.get("id").is_some_and(|known| known == id));
                named.and_then(|one| one.get("resourceType")).and_then(Value::as_str)
            }
            _ => None,
        };
        let by_type = object.get("type").and_then(Value::as_str).filter(|kind| reference::is_resource_type(kind));
        let Some(kind) = by_url.or(by_type) else { return };
        let mut names = Vec::new();
        for target in targets {
            let of =
                core_type(target).or_else(|| self.validator.profiles.get(target.as_str()).map(|profile| profile.of));
            match of {
                Some(of) if of.name == kind || of.is_abstract => return,
                Some(of) => names.push(of.name),
                None => return,
            }
        }
        names.dedup();
        self.broken(IssueCode::Value, place, &format!("a reference to a {} stands here", names.join(" or a ")));
    }
}

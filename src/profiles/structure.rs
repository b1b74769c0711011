//! The base specification: whether a resource of any type is what R4 4.0.1 defines. One walk over the tree beside the definitions;
//! a place is written out only where something is wrong there.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{
    Asked, Finding, Validator, Wished, bundle, codes, extensions,
    invariants::{self, Scope},
    links::Links,
    nhs,
    report::{Report, called},
    vital_signs,
};
use crate::{
    definitions::{self, Element, Kind, Max, Primitive, Type, TypeRef},
    domain::rule_level::RuleLevels,
    fhir::{
        narrative,
        outcome::IssueCode,
        path::{self, Place},
        primitive::{self, Fault},
    },
    fhirpath::Node,
};

mod container;
mod references;

use container::Container;

/// No type of R4 has more elements.
const ELEMENTS_MAX: usize = 128;

/// All faults of a resource and of those that stand in it, by R4 alone. `path` is the expression of the resource itself (`Task`,
/// `Bundle.entry[0].resource`); where it is empty, the resource type is taken. `now` is the present moment.
pub fn check(resource: &Value, path: &str, now: Timestamp) -> Vec<Finding> {
    walk(resource, path, None, &Asked { rules: RuleLevels::OFF, ..Asked::at(now) })
}

/// The same, with what a validator knows and what is asked beside R4.
pub(super) fn walk<'v>(
    resource: &'v Value,
    path: &str,
    validator: Option<&'v Validator>,
    asked: &'v Asked<'v>,
) -> Vec<Finding> {
    let scope = Scope { resource, root: resource, bundle: None };
    let mut walk =
        Walk { report: Report::new(asked.now), container: Container::default(), validator, asked, scope, links: None };
    let kind = resource.get("resourceType").and_then(Value::as_str).and_then(path::root_name);
    let root = if path.is_empty() { kind.unwrap_or(path::UNKNOWN_ROOT) } else { path };
    walk.resource(resource, Place::Root(root), Within::Input);
    walk.report.findings
}

/// What a resource stands in.
#[derive(Clone, Copy, PartialEq)]
enum Within {
    /// Nothing: it is what was sent.
    Input,
    /// Another's entry: it stands for itself.
    Nothing,
    /// Another that contains it.
    Resource,
}

struct Walk<'v> {
    report: Report,
    container: Container<'v>,
    /// Profiles and value sets beside R4.
    validator: Option<&'v Validator>,
    asked: &'v Asked<'v>,
    scope: Scope<'v>,
    /// What the references of the Bundle lead to that the walk is in.
    links: Option<Links<'v>>,
}

// === impl Walk: resources and elements ===

impl<'v> Walk<'v> {
    fn resource(&mut self, resource: &'v Value, place: Place<'_>, within: Within) {
        let Some(object) = resource.as_object() else {
            return self.report.fault(
                IssueCode::Structure,
                place,
                format!("a resource is an object, not {}", called(resource)),
            );
        };
        let of = match object.get("resourceType") {
            None => return self.report.fault(IssueCode::Required, place, "“resourceType” is missing"),
            Some(kind) => kind.as_str().and_then(definitions::resource_named),
        };
        let Some(of) = of else {
            return self.report.fault(IssueCode::Structure, place, "“resourceType” is not a resource type of R4");
        };
        let outside = self.scope;
        self.scope.resource = resource;
        let mut links_outside = None;
        if of.name == "Bundle" {
            self.scope.bundle = Some(resource);
            links_outside = self.links.replace(Links::of(resource));
        }
        if within == Within::Resource {
            self.container.within = match place {
                Place::Index(_, number) => Some(number),
                _ => None,
            };
            self.object(of, resource, object, place);
            self.contained(object, place);
        } else {
            self.scope.root = resource;
            let outer = std::mem::replace(&mut self.container, Container::of(object));
            self.object(of, resource, object, place);
            let inner = std::mem::replace(&mut self.container, outer);
            for number in inner.doubles() {
                let said = "another contained resource has the same id (references.html#contained)";
                self.report.fault(IssueCode::Invariant, place.child("contained").item(number).child("id"), said);
            }
            for number in inner.lonely() {
                // nothing is wrong with what is said, only nobody asks for it
                let said = "a contained resource is referred to from where it is contained (dom-3)";
                self.report.warning(IssueCode::Invariant, place.child("contained").item(number), said);
            }
        }
        if of.name == "Bundle" {
            bundle::check(&mut self.report, object, place);
        }
        if let Some(validator) = self.validator {
            let wished = if within == Within::Input { self.asked.profiles } else { &[] };
            let required = if within == Within::Resource { &[] } else { self.asked.required };
            let profiles = Wished { wished, required, tells: self.asked.tells };
            validator.conforms((resource, object), of, profiles, self.scope, place, &mut self.report);
        }
        self.scope = outside;
        if of.name == "Bundle" {
            self.links = links_outside;
        }
    }

    /// `dom-2`, `dom-4`, `dom-5`, and the id by which the outer one knows it (references.html#contained).
    fn contained(&mut self, object: &Map<String, Value>, place: Place<'_>) {
        if !object.contains_key("id") {
            self.report.fault(
                IssueCode::Required,
                place.child("id"),
                "a contained resource has an id, by which it is referred to",
            );
        }
        if object.contains_key("contained") {
            self.report.fault(
                IssueCode::Invariant,
                place.child("contained"),
                "a contained resource contains none (dom-2)",
            );
        }
        if let Some(meta) = object.get("meta") {
            for (name, rule) in [("versionId", "dom-4"), ("lastUpdated", "dom-4"), ("security", "dom-5")] {
                if meta.get(name).is_some() {
                    let said = format!("a contained resource has no meta.{name} ({rule})");
                    self.report.fault(IssueCode::Invariant, place.child("meta"), said);
                }
            }
        }
    }

    /// The elements of an object of this type.
    fn object(&mut self, of: &'static Type, whole: &'v Value, object: &'v Map<String, Value>, place: Place<'_>) {
        if of.name == "Bundle.entry"
            && let Some(links) = &mut self.links
        {
            links.here = object.get("fullUrl").and_then(Value::as_str);
            links.is_first = matches!(place, Place::Index(_, 0));
        }
        let mut seen = [0u8; ELEMENTS_MAX];
        let mut says_something = false;
        for (key, value) in object {
            if key == "resourceType" && of.kind == Kind::Resource {
                says_something = true;
                continue;
            }
            let (name, about) = match key.strip_prefix('_') {
                Some(name) => (name, true),
                None => (key.as_str(), false),
            };
            let found = of.child(name).filter(|(_, element, is)| {
                !about || matches!(is.of().kind, Kind::Primitive(p) if p != Primitive::Xhtml) && !element.is_attribute
            });
            let Some((number, element, is)) = found else {
                self.unknown(of, name, about, place);
                says_something = true;
                continue;
            };
            says_something |= element.name != "id";
            let at = if about { place.child(key) } else { place.child(name) };
            if element.max == Max::None {
                self.report.fault(IssueCode::Structure, at, format!("“{}” does not stand here", element.name));
                continue;
            }
            if let Some(before) = seen.get_mut(number) {
                let kind = element.types.iter().position(|t| std::ptr::eq(t, is)).map_or(1, |n| n as u8 + 1);
                if *before != 0 && *before != kind {
                    let said = format!("“{}[x]” stands once, with one type", element.name);
                    self.report.fault(IssueCode::Structure, at, said);
                }
                *before = kind;
            }
            let stands = Stands { within: of, element, number, is };
            match (about, element.max) {
                (true, max) => self.about(object.get(name), value, max, at),
                (false, Max::Many) => self.list(stands, object, key, value, at),
                (false, _) => match value {
                    Value::Array(_) => {
                        let said = format!("“{}” stands once: it is no list", element.name);
                        self.report.fault(IssueCode::Structure, at, said);
                    }
                    Value::Null => self.report.fault(IssueCode::Structure, at, NULL),
                    _ => self.value(stands, value, at),
                },
            }
        }
        if object.is_empty() {
            self.report.fault(IssueCode::Structure, place, "an object is never empty (ele-1)");
        } else if !says_something && of.kind != Kind::Resource {
            self.report.fault(IssueCode::Invariant, place, "an element has a value or children, beside its id (ele-1)");
        }
        for (element, seen) in of.elements.iter().zip(seen) {
            if element.min > 0 && seen == 0 && !object.is_empty() {
                let name = if element.is_choice { format!("{}[x]", element.name) } else { element.name.to_owned() };
                self.report.fault(IssueCode::Required, place.child(element.name), format!("“{name}” is missing"));
            }
        }
        match of.name {
            "Extension" => self.extension(whole, object, place),
            "Reference" => self.reference(object, place),
            "Identifier" => nhs::identifier(&mut self.report, &self.asked.rules, object, place),
            "Coding" => nhs::coding(&mut self.report, &self.asked.rules, object, place),
            "Observation" => vital_signs::check(&mut self.report, object, place),
            _ => {}
        }
        let rules = &invariants::of(of).whole;
        invariants::ask(rules, Node::element(whole, of), self.scope, &mut self.report, place, None);
    }

    /// Says what could stand there, and never what does.
    fn unknown(&mut self, of: &'static Type, name: &str, about: bool, place: Place<'_>) {
        let said = if about && of.child(name).is_some() {
            "“_” stands before the name of a simple value only".to_owned()
        } else if of.elements.iter().any(|e| e.is_choice && e.name == name) {
            format!("the name of “{name}[x]” ends with its type")
        } else {
            let mut names: Vec<String> = of
                .elements
                .iter()
                .map(|e| if e.is_choice { format!("{}[x]", e.name) } else { e.name.to_owned() })
                .collect();
            names.sort();
            format!("R4 has no such element here; {} has {}", of.name, names.join(", "))
        };
        self.report.fault(IssueCode::Structure, place, said);
    }

    fn list(&mut self, stands: Stands, object: &Map<String, Value>, key: &str, value: &'v Value, place: Place<'_>) {
        let element = stands.element;
        let Value::Array(items) = value else {
            let said = format!("“{}” may stand more than once: it is a list, not {}", element.name, called(value));
            return self.report.fault(IssueCode::Structure, place, said);
        };
        if items.is_empty() {
            return self.report.fault(IssueCode::Structure, place, "a list is never empty");
        }
        for (index, item) in items.iter().enumerate() {
            let at = place.item(index);
            match item {
                Value::Null if is_filled(object, key, index) => {}
                Value::Null => self.report.fault(IssueCode::Structure, at, NULL),
                Value::Array(_) => self.report.fault(IssueCode::Structure, at, "a list does not stand in a list"),
                _ => self.value(stands, item, at),
            }
        }
    }

    /// What is said about simple values: `_name`.
    fn about(&mut self, values: Option<&Value>, about: &'v Value, max: Max, place: Place<'_>) {
        match (about, max) {
            (Value::Object(_), Max::One) => self.about_one(values.is_some(), about, place),
            (Value::Array(items), Max::Many) => {
                if items.is_empty() {
                    return self.report.fault(IssueCode::Structure, place, "a list is never empty");
                }
                let values = values.and_then(Value::as_array);
                if values.is_some_and(|values| values.len() != items.len()) {
                    let said =
                        "the values and what is said about them are lists of the same length, filled up with null";
                    self.report.fault(IssueCode::Structure, place, said);
                }
                for (index, item) in items.iter().enumerate() {
                    let value = values.and_then(|values| values.get(index));
                    let has_value = value.is_some_and(|value| !value.is_null());
                    match item {
                        Value::Null if has_value => {}
                        Value::Null => self.report.fault(IssueCode::Structure, place.item(index), NULL),
                        _ => self.about_one(has_value, item, place.item(index)),
                    }
                }
            }
            (_, Max::Many) => {
                let said = format!("what is said about the values of a list is a list, not {}", called(about));
                self.report.fault(IssueCode::Structure, place, said);
            }
            _ => {
                let said = format!("what is said about a value is an object, not {}", called(about));
                self.report.fault(IssueCode::Structure, place, said);
            }
        }
    }

    fn about_one(&mut self, has_value: bool, about: &'v Value, place: Place<'_>) {
        let Some(object) = about.as_object() else {
            let said = format!("what is said about a value is an object, not {}", called(about));
            return self.report.fault(IssueCode::Structure, place, said);
        };
        let Some(of) = definitions::type_named("Element") else { return };
        if has_value && object.len() == 1 && object.contains_key("id") {
            // an id beside a value is something
            return self.id(object, place);
        }
        self.object(of, about, object, place);
    }

    fn id(&mut self, object: &Map<String, Value>, place: Place<'_>) {
        let Some(Some(fault)) = object.get("id").map(|id| primitive::fault(Primitive::String, id)) else { return };
        self.fault_of(fault, "id", place.child("id"));
    }

    /// One value of an element, which is neither a list nor null.
    fn value(&mut self, stands: Stands, value: &'v Value, place: Place<'_>) {
        let Stands { within: parent, element, is, .. } = stands;
        let of = is.of();
        match of.kind {
            Kind::Primitive(Primitive::Xhtml) => match value {
                Value::String(div) => {
                    if let Some(why) = narrative::fault(div) {
                        self.report.fault(IssueCode::Invariant, place, why);
                    }
                }
                _ => self.fault_of(Fault::Shape("a text"), element.name, place),
            },
            Kind::Primitive(primitive) => {
                let fault = primitive::fault(primitive, value);
                // the id of what is contained is known nowhere else: a long one harms nobody
                if let (Some(Fault::Form(due)), Primitive::Id, Some(_)) = (fault, primitive, self.container.within)
                    && value.as_str().is_some_and(|id| !id.is_empty() && !id.contains(char::is_whitespace))
                {
                    return self.report.warning(IssueCode::Value, place, format!("“{}” is not {due}", element.name));
                }
                if let Some(fault) = fault {
                    return self.fault_of(fault, element.name, place);
                }
                let Value::String(text) = value else { return };
                if element.is_attribute && element.name == "id" && text.contains(char::is_whitespace) {
                    let said = "the id of an element has no white space (element.html)";
                    self.report.fault(IssueCode::Value, place, said);
                }
                if let Some(binding) = element.binding {
                    codes::of_text(&mut self.report, &binding, text, place);
                }
                if matches!(primitive, Primitive::Date | Primitive::DateTime | Primitive::Instant) {
                    nhs::date(&mut self.report, &self.asked.rules, (parent, element, primitive), text, place);
                }
                if text.starts_with('#') && matches!(primitive, Primitive::Uri | Primitive::Url | Primitive::Canonical)
                {
                    self.container.refer(text);
                }
            }
            Kind::Resource if of.is_abstract => {
                let within = if element.name == "contained" { Within::Resource } else { Within::Nothing };
                self.resource(value, place, within);
            }
            _ => {
                let Some(object) = value.as_object() else {
                    return self.fault_of(Fault::Shape("an object"), element.name, place);
                };
                self.object(of, value, object, place);
                if let Some(binding) = element.binding {
                    codes::of_object(&mut self.report, &binding, of.name, object, place);
                }
                match of.name {
                    "Reference" => self.target(stands, object, place),
                    // within another it is only a name there (extensibility.html)
                    "Extension" if parent.name != "Extension" => {
                        let url = object.get("url").and_then(Value::as_str);
                        if url.is_some_and(|url| !url.is_empty() && !url.contains(':')) {
                            let said = "the url of an extension is absolute, but within another extension";
                            self.report.fault(IssueCode::Value, place.child("url"), said);
                        }
                    }
                    _ => {}
                }
            }
        }
        if !element.invariants.is_empty()
            && let Some(rules) = invariants::of(stands.within).elements.get(stands.number)
        {
            invariants::ask(rules, Node::element(value, of), self.scope, &mut self.report, place, None);
        }
    }

    fn fault_of(&mut self, fault: Fault, name: &str, place: Place<'_>) {
        match fault {
            Fault::Shape(due) => self.report.fault(IssueCode::Structure, place, format!("“{name}” is {due}")),
            Fault::Form(due) => self.report.fault(IssueCode::Value, place, format!("“{name}” is not {due}")),
        }
    }
}

/// What a value is by the definitions.
#[derive(Clone, Copy)]
struct Stands {
    /// The type whose element it is.
    within: &'static Type,
    /// The element, and its number there.
    element: &'static Element,
    number: usize,
    /// The type that it has itself.
    is: &'static TypeRef,
}

const NULL: &str = "null stands only in lists of simple values, beside an extension";

// === impl Walk: what holds for one type ===

impl<'v> Walk<'v> {
    /// `ext-1`, and the extension's own definition where it is known: it stands wherever an extension may.
    fn extension(&mut self, value: &'v Value, object: &'v Map<String, Value>, place: Place<'_>) {
        let has_value = object.keys().any(|key| key.trim_start_matches('_').starts_with("value"));
        match (has_value, object.contains_key("extension")) {
            (true, true) => self.report.fault(
                IssueCode::Invariant,
                place,
                "an extension has a value or extensions of its own, not both (ext-1)",
            ),
            (false, false) => self.report.fault(
                IssueCode::Invariant,
                place,
                "an extension has a value, or extensions of its own (ext-1)",
            ),
            _ => {}
        }
        extensions::check(&mut self.report, object, place);
        nhs::extension(&mut self.report, &self.asked.rules, object, place);
        if let Some(validator) = self.validator {
            validator.extension((value, object), self.asked.tells, self.scope, place, &mut self.report);
        }
    }
}

/// Whether a gap in the values of a list is filled by what is said about it.
fn is_filled(object: &Map<String, Value>, key: &str, index: usize) -> bool {
    let about = object.get(&format!("_{key}")).and_then(|about| about.get(index));
    about.is_some_and(|item| !item.is_null())
}

#[cfg(test)]
mod tests;

//! Whether a resource is what a profile asks for. Only what the profile constrains is looked at: what R4 asks for is `structure`'s.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::{
    Validator,
    invariants::{self, Scope},
    profile::{Allowed, By, Discriminator, Node, Profile, Slicing, Step, core_type},
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

/// One value of an element.
#[derive(Clone, Copy)]
struct Item<'v> {
    /// None where there is only what is said about it.
    value: Option<&'v Value>,
    /// What is said about it, where it is a primitive.
    about: Option<&'v Value>,
    /// What it is called in JSON.
    key: &'v str,
    index: Option<usize>,
    of: &'static Type,
    code: &'static str,
}

impl<'v> Apply<'v, '_> {
    /// What a profile asks of the whole that it is for.
    pub(super) fn whole(
        &mut self,
        profile: &'v Profile,
        of: &'static Type,
        (value, object): (&'v Value, &'v Map<String, Value>),
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
    fn one_of(
        &mut self,
        profiles: &[&'v String],
        of: &'static Type,
        whole: (&'v Value, &'v Map<String, Value>),
        place: Place<'_>,
    ) {
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

    /// The number of the slice that an item belongs to. What belongs to no other belongs to the one that is called so.
    fn slice_of(&self, node: &'v Node, item: &Item<'v>) -> Option<usize> {
        let by = node.slicing.as_ref().map_or(&[][..], |slicing| slicing.by.as_slice());
        let named = |(name, slice): &(String, Node)| name != DEFAULT && self.is_slice(name, slice, by, item);
        node.slices.iter().position(named).or_else(|| node.slices.iter().position(|(name, _)| name == DEFAULT))
    }

    fn is_slice(&self, name: &str, slice: &Node, by: &[Discriminator], item: &Item<'v>) -> bool {
        if by.is_empty() {
            // extensions are sliced by their URL, choices by their type, without anybody saying so
            return match item.of.name {
                "Extension" => self.is_extension_of(slice, item.value),
                _ => item.key == name || slice.types.iter().any(|t| t.code == item.code),
            };
        }
        by.iter().all(|by| {
            if by.path == [Step::Name("url".into())] && item.of.name == "Extension" {
                return self.is_extension_of(slice, item.value);
            }
            let Some((asked, values)) = descend(slice, &by.path, item.value) else { return false };
            match by.by {
                By::Value => self.any_fit(&asked, &values),
                By::Exists if asked.iter().any(|asked| asked.max == Some(0)) => values.is_empty(),
                By::Exists => asked.iter().all(|asked| asked.min == 0) || !values.is_empty(),
                By::Type if by.path.is_empty() => {
                    let is =
                        item.value.and_then(Value::as_object).and_then(resource_type).map_or(item.code, |of| of.name);
                    slice.types.iter().any(|t| t.code == is)
                }
                By::Type => values.iter().any(|value| {
                    let is = value.as_object().and_then(resource_type);
                    let allowed = |is: &Type| asked.iter().flat_map(|asked| &asked.types).any(|t| is.is_a(&t.code));
                    is.is_some_and(allowed)
                }),
                By::Profile => false,
            }
        })
    }

    /// Whether values are what nodes fix, which are one element of a slice and the slices of that.
    fn any_fit(&self, asked: &[&Node], values: &[&Value]) -> bool {
        let saying: Vec<_> = asked.iter().filter(|node| says(node)).collect();
        // where nothing is fixed, a required binding may tell
        if saying.is_empty() {
            return asked.iter().any(|node| values.iter().any(|value| self.fits(node, value)));
        }
        saying.iter().all(|node| values.iter().any(|value| self.fits(node, value)))
    }

    fn is_extension_of(&self, slice: &Node, extension: Option<&Value>) -> bool {
        let Some(url) = extension.and_then(|e| e.get("url")) else { return false };
        let by_child = slice.children.iter().find(|(name, _)| name == "url").and_then(|(_, url)| url.fixed.as_ref());
        let by_profile = slice.types.iter().flat_map(|t| &t.profiles).any(|profile| url == profile.as_str());
        by_profile || by_child == Some(url)
    }

    /// Whether a value is what a node fixes, in it and below it.
    fn fits(&self, node: &Node, value: &Value) -> bool {
        let codes =
            node.binding.as_ref().filter(|b| b.is_required).and_then(|b| self.validator.value_sets.get(&b.value_set));
        node.fixed.as_ref().is_none_or(|fixed| same(fixed, value))
            && node.pattern.as_ref().is_none_or(|pattern| has(pattern, value))
            && codes.is_none_or(|codes| coded(value, &|system, code| codes.has(system, code)).unwrap_or(true))
            && node.children.iter().filter(|(_, child)| says(child)).all(|(name, child)| {
                let values = below(value, name);
                let fits = |node: &Node| values.iter().any(|value| self.fits(node, value));
                // each slice that must be there, or one of those that may
                let saying: Vec<&Node> = child.slices.iter().map(|(_, slice)| slice).filter(|s| says(s)).collect();
                let must: Vec<_> = saying.iter().filter(|slice| slice.min > 0).collect();
                let sliced = match must.as_slice() {
                    [] => saying.is_empty() || saying.iter().any(|slice| fits(slice)),
                    must => must.iter().all(|slice| fits(slice)),
                };
                sliced && (!says_itself(child) || fits(child))
            })
    }
}

/// The slice of what belongs to no other (profiling.html#slicing).
const DEFAULT: &str = "@default";

/// Whether a node, or one below it, fixes something.
fn says(node: &Node) -> bool {
    says_itself(node) || node.slices.iter().any(|(_, slice)| says(slice))
}

/// The same, its slices apart.
fn says_itself(node: &Node) -> bool {
    node.fixed.is_some() || node.pattern.is_some() || node.children.iter().any(|(_, child)| says(child))
}

/// Whether the slices can be told apart with what is here.
fn can_tell(slicing: &Slicing) -> bool {
    slicing.by.iter().all(|by| by.by != By::Profile && !by.path.contains(&Step::Resolve))
}

fn is_extension(name: &str) -> bool {
    matches!(name, "extension" | "modifierExtension")
}

/// The nodes and the values at a discriminator's path: what is asked of the element there, and of slices on the way to it.
fn descend<'n, 'v>(node: &'n Node, path: &[Step], value: Option<&'v Value>) -> Option<(Vec<&'n Node>, Vec<&'v Value>)> {
    let (mut nodes, mut values) = (vec![node], value.into_iter().collect::<Vec<_>>());
    for step in path {
        match step {
            Step::Name(name) => {
                nodes = nodes
                    .iter()
                    .flat_map(|node| node.children.iter().filter(|(known, _)| known == name))
                    .flat_map(|(_, child)| [child].into_iter().chain(child.slices.iter().map(|(_, slice)| slice)))
                    .collect();
                values = values.into_iter().flat_map(|value| below(value, name)).collect();
            }
            Step::Extension(url) => {
                let by_url = |slice: &&Node| {
                    slice.types.iter().flat_map(|t| &t.profiles).any(|profile| profile == url)
                        || slice
                            .children
                            .iter()
                            .any(|(name, n)| name == "url" && n.fixed.as_ref().is_some_and(|f| f == url.as_str()))
                };
                nodes = nodes
                    .iter()
                    .flat_map(|node| node.children.iter().filter(|(known, _)| known == "extension"))
                    .flat_map(|(_, extensions)| extensions.slices.iter().map(|(_, slice)| slice))
                    .filter(by_url)
                    .collect();
                let is = |e: &&Value| e.get("url").is_some_and(|u| u == url.as_str());
                values = values.into_iter().flat_map(|value| below(value, "extension")).filter(is).collect();
            }
            Step::Resolve => return None,
        }
    }
    if nodes.is_empty() { None } else { Some((nodes, values)) }
}

/// What stands in an element, also in a choice.
fn below<'v>(value: &'v Value, name: &str) -> Vec<&'v Value> {
    let Some(object) = value.as_object() else { return Vec::new() };
    let found = object.get(name).or_else(|| {
        let choice =
            |key: &&String| key.strip_prefix(name).is_some_and(|of| of.starts_with(|c: char| c.is_ascii_uppercase()));
        object.keys().find(choice).and_then(|key| object.get(key))
    });
    match found {
        Some(Value::Array(items)) => items.iter().collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    }
}

/// The values of the element that a profile calls `name`: by that name, as a choice, or by one type of a choice.
fn items<'v>(of: &'static Type, object: &'v Map<String, Value>, name: &str) -> Vec<Item<'v>> {
    let mut found = Vec::new();
    for (key, value) in object {
        let (known, about) = match key.strip_prefix('_') {
            Some(known) => (known, true),
            None => (key.as_str(), false),
        };
        // what is said about a value counts where there is none
        if about && object.contains_key(known) {
            continue;
        }
        let Some((_, element, is)) = of.child(known) else { continue };
        if known != name && !(element.is_choice && element.name == name) {
            continue;
        }
        let said = match (about, is.of().kind) {
            (true, _) => Some(value),
            (false, Kind::Primitive(_)) => object.get(&format!("_{known}")),
            _ => None,
        };
        let item = |value, about, index| Item { value, about, key: known, index, of: is.of(), code: is.code };
        let nth = |n: usize| said.and_then(|said| said.get(n)).filter(|about| !about.is_null());
        match value {
            Value::Array(items) if !about => {
                let one = |(n, one): (usize, &'v Value)| item((!one.is_null()).then_some(one), nth(n), Some(n));
                found.extend(items.iter().enumerate().map(one));
            }
            Value::Array(items) => found.extend((0..items.len()).map(|n| item(None, nth(n), Some(n)))),
            one => found.push(item((!about).then_some(one), said, None)),
        }
    }
    found
}

fn resource_type(object: &Map<String, Value>) -> Option<&'static Type> {
    object.get("resourceType").and_then(Value::as_str).and_then(definitions::type_named)
}

/// Whether two values are the same, whatever the order of their keys.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (a, b) => a == b,
    }
}

/// Whether a value has everything that a pattern has (profiling.html#pattern).
fn has(pattern: &Value, value: &Value) -> bool {
    match (pattern, value) {
        (Value::Object(pattern), Value::Object(value)) => {
            pattern.iter().all(|(key, asked)| value.get(key).is_some_and(|there| has(asked, there)))
        }
        (Value::Array(pattern), Value::Array(items)) => {
            pattern.iter().all(|asked| items.iter().any(|item| has(asked, item)))
        }
        (pattern, value) => pattern == value,
    }
}

/// Whether a code, Coding, CodeableConcept or Quantity has a fitting code; none where it has no code at all.
fn coded(value: &Value, fits: &dyn Fn(Option<&str>, &str) -> bool) -> Option<bool> {
    match value {
        Value::String(code) => Some(fits(None, code)),
        Value::Object(object) => match object.get("coding").and_then(Value::as_array) {
            Some(codings) => {
                let all: Vec<bool> = codings.iter().filter_map(|coding| coded(coding, fits)).collect();
                (!all.is_empty()).then(|| all.contains(&true))
            }
            None => {
                let code = object.get("code")?.as_str()?;
                Some(fits(Some(object.get("system").and_then(Value::as_str).unwrap_or_default()), code))
            }
        },
        _ => None,
    }
}

/// What a profile fixes, short enough to be read: it is the profile's text, and nobody's data.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => format!("“{text}”"),
        other => other.to_string(),
    };
    if text.chars().count() <= 300 { text } else { text.chars().take(300).chain(['…']).collect() }
}

//! A profile: what a StructureDefinition asks for beyond R4, compiled into a tree that only has what is constrained.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::invariants::Rule;
use crate::{
    definitions::{self, Type},
    fhir::task::CANONICAL,
};

/// A StructureDefinition that constrains a type.
#[derive(Debug)]
pub(super) struct Profile {
    /// Its canonical URL, without version.
    pub(super) url: String,
    /// The type that it constrains.
    pub(super) of: &'static Type,
    /// What it asks for.
    pub(super) root: Node,
}

/// What is asked of one element, or of one slice of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    pub(super) min: u32,
    /// None: as R4 says.
    pub(super) max: Option<u32>,
    /// Empty: as R4 says.
    pub(super) types: Vec<Allowed>,
    pub(super) fixed: Option<Value>,
    pub(super) pattern: Option<Value>,
    pub(super) binding: Option<Bound>,
    pub(super) must_support: bool,
    /// A text has at most so many characters.
    pub(super) max_length: Option<usize>,
    /// Rules in FHIRPath.
    pub(super) invariants: Vec<Rule>,
    /// By the element's name, without `[x]`; or by its name in JSON where the profile names a choice by that.
    pub(super) children: Vec<(String, Node)>,
    pub(super) slicing: Option<Slicing>,
    /// By the slice's name.
    pub(super) slices: Vec<(String, Node)>,
}

/// A type that an element may have here.
#[derive(Debug, Clone)]
pub(super) struct Allowed {
    pub(super) code: String,
    /// One of these profiles, where there are any.
    pub(super) profiles: Vec<String>,
    /// A reference points at one of these, where there are any.
    pub(super) targets: Vec<String>,
}

/// A value set, and whether other codes are wrong or only to be avoided.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    pub(super) is_required: bool,
    pub(super) value_set: String,
}

/// How the items of an element are told apart.
#[derive(Debug, Clone)]
pub(super) struct Slicing {
    pub(super) by: Vec<Discriminator>,
    /// Whether there are no others.
    pub(super) closed: bool,
}

/// What tells a slice (profiling.html#discriminator).
#[derive(Debug, Clone)]
pub(super) struct Discriminator {
    pub(super) by: By,
    pub(super) path: Vec<Step>,
}

/// How.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// By a value, or a pattern that it fits.
    Value,
    /// By whether there is one.
    Exists,
    /// By its type.
    Type,
    /// By a profile that it conforms to.
    Profile,
}

/// A step of a discriminator's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// An element.
    Name(String),
    /// The extension of this URL.
    Extension(String),
    /// What a reference points at; that may not be here.
    Resolve,
}

/// Why a StructureDefinition is no profile that we can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// It is no StructureDefinition of a constraint.
    #[error("it is no StructureDefinition that constrains a type of R4: “{0}” is missing or wrong")]
    Not(&'static str),
    /// It is based on something that is not there.
    #[error("it is based on {0}, which is not among the profiles that were read")]
    Base(String),
    /// Its elements make no tree.
    #[error("its element {0} cannot be read")]
    Element(String),
    /// Profiles are based on one another in a circle, or too deeply.
    #[error("its bases form a circle")]
    Circle,
}

/// Where R4's own definitions are, its types and its profiles.
const R4: &str = "http://hl7.org/fhir/StructureDefinition/";

/// So many profiles may be based one on the other.
const BASES_MAX: usize = 16;

/// Compiles the profile `url` with those that it is based on; what was compiled before is taken from `known`.
pub(super) fn compile(
    url: &str,
    definitions: &HashMap<String, Value>,
    known: &mut HashMap<String, Profile>,
    notes: &mut Vec<(String, String)>,
    depth: usize,
) -> Result<(), ProfileError> {
    if known.contains_key(url) {
        return Ok(());
    }
    if depth > BASES_MAX {
        return Err(ProfileError::Circle);
    }
    let definition = definitions.get(url).ok_or_else(|| ProfileError::Base(url.to_owned()))?;
    let of = definition.get("type").and_then(Value::as_str).and_then(definitions::type_named);
    let of = of.ok_or(ProfileError::Not("type"))?;
    let base = definition.get("baseDefinition").and_then(Value::as_str).ok_or(ProfileError::Not("baseDefinition"))?;
    let mut root = Node::default();
    // ours stand on UK Core where that is loaded, and on R4 alone otherwise
    let is_there = definitions.contains_key(unversioned(base));
    let is_of_r4 = unversioned(base).starts_with(R4);
    if !is_there && is_of_r4 && core_type(base).is_none() {
        notes.push((url.to_owned(), format!("its base {base} is not loaded: only what it says itself is asked")));
    }
    if core_type(base).is_none() && (is_there || !is_of_r4 && !url.starts_with(CANONICAL)) {
        compile(unversioned(base), definitions, known, notes, depth + 1)?;
        root = known.get(unversioned(base)).map(|base| base.root.clone()).unwrap_or_default();
    }
    let elements =
        ["differential", "snapshot"].iter().find_map(|part| definition.get(part)?.get("element")?.as_array());
    for element in elements.ok_or(ProfileError::Not("differential"))? {
        let id = element.get("id").or_else(|| element.get("path")).and_then(Value::as_str).unwrap_or_default();
        let fault = || ProfileError::Element(id.to_owned());
        let element = element.as_object().ok_or_else(fault)?;
        let mut node = &mut root;
        for segment in segments(id).into_iter().skip(1) {
            let (name, slices) = segment.split_once(':').map_or((segment, ""), |(name, slices)| (name, slices));
            node = named(&mut node.children, name.trim_end_matches("[x]"));
            for slice in slices.split('/').filter(|slice| !slice.is_empty()) {
                node = named(&mut node.slices, slice);
            }
        }
        constrain(node, element, url, notes);
    }
    hand_down(&mut root);
    known.insert(url.to_owned(), Profile { url: url.to_owned(), of, root });
    Ok(())
}

/// A slice has to be what every item of its element has to be.
fn hand_down(node: &mut Node) {
    let mut slices = std::mem::take(&mut node.slices);
    for (_, slice) in &mut slices {
        add(slice, node);
    }
    node.slices = slices;
    for (_, below) in node.children.iter_mut().chain(&mut node.slices) {
        hand_down(below);
    }
}

/// Adds to a node what another asks for in the same place. How often it stands is another matter for a slice than for all.
fn add(to: &mut Node, from: &Node) {
    if to.types.is_empty() {
        to.types.clone_from(&from.types);
    }
    to.fixed = to.fixed.take().or_else(|| from.fixed.clone());
    to.pattern = to.pattern.take().or_else(|| from.pattern.clone());
    to.binding = to.binding.take().or_else(|| from.binding.clone());
    to.slicing = to.slicing.take().or_else(|| from.slicing.clone());
    // rules of all items are asked of all items: a slice has only its own
    for (name, child) in &from.children {
        let own = named(&mut to.children, name);
        own.min = own.min.max(child.min);
        own.max = own.max.into_iter().chain(child.max).min();
        add(own, child);
    }
    for (name, slice) in &from.slices {
        let own = named(&mut to.slices, name);
        own.min = own.min.max(slice.min);
        own.max = own.max.into_iter().chain(slice.max).min();
        add(own, slice);
    }
}

/// The parts of an element's id; a dot in a slice's name is no end of one.
fn segments(id: &str) -> Vec<&str> {
    id.split('.').collect()
}

fn named<'n>(nodes: &'n mut Vec<(String, Node)>, name: &str) -> &'n mut Node {
    let at = nodes.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
        nodes.push((name.to_owned(), Node::default()));
        nodes.len() - 1
    });
    &mut nodes[at].1
}

fn constrain(node: &mut Node, element: &Map<String, Value>, url: &str, notes: &mut Vec<(String, String)>) {
    let texts = |value: &Value, name: &str| -> Vec<String> {
        let list = value.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        list.iter().filter_map(Value::as_str).map(|url| unversioned(url).to_owned()).collect()
    };
    if let Some(min) = element.get("min").and_then(Value::as_u64) {
        node.min = u32::try_from(min).unwrap_or(u32::MAX);
    }
    if let Some(max) = element.get("max").and_then(Value::as_str) {
        node.max = max.parse().ok();
    }
    if let Some(types) = element.get("type").and_then(Value::as_array) {
        node.types = types
            .iter()
            .filter_map(|one| {
                let code = one.get("code")?.as_str()?;
                // an attribute's type is no choice of the profile's
                let code = (!code.starts_with("http://hl7.org/fhirpath/")).then(|| code.to_owned())?;
                Some(Allowed { code, profiles: texts(one, "profile"), targets: texts(one, "targetProfile") })
            })
            .collect();
    }
    for (key, value) in element {
        if key.strip_prefix("fixed").is_some_and(|of| of.starts_with(|c: char| c.is_ascii_uppercase())) {
            node.fixed = Some(value.clone());
        } else if key.strip_prefix("pattern").is_some_and(|of| of.starts_with(|c: char| c.is_ascii_uppercase())) {
            node.pattern = Some(value.clone());
        }
    }
    if let Some(binding) = element.get("binding") {
        let strength = binding.get("strength").and_then(Value::as_str);
        let value_set = binding.get("valueSet").and_then(Value::as_str);
        node.binding = match (strength, value_set) {
            (Some(strength @ ("required" | "extensible")), Some(url)) => {
                Some(Bound { is_required: strength == "required", value_set: unversioned(url).to_owned() })
            }
            _ => None,
        };
    }
    if let Some(most) = element.get("maxLength").and_then(Value::as_u64) {
        node.max_length = usize::try_from(most).ok();
    }
    if let Some(must) = element.get("mustSupport").and_then(Value::as_bool) {
        node.must_support = must;
    }
    if let Some(slicing) = element.get("slicing") {
        let by = slicing.get("discriminator").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let by: Vec<Discriminator> = by.iter().filter_map(discriminator).collect();
        let closed = slicing.get("rules").is_some_and(|rules| rules == "closed");
        // a profile on a profile may say no more than that there is slicing
        if !by.is_empty() || node.slicing.is_none() {
            node.slicing = Some(Slicing { by, closed });
        } else if let Some(known) = &mut node.slicing {
            known.closed |= closed;
        }
    }
    let rules = element.get("constraint").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for rule in rules {
        let key = rule.get("key").and_then(Value::as_str).unwrap_or_default();
        if node.invariants.iter().any(|known| known.key == key) {
            continue;
        }
        match Rule::of_profile(rule) {
            Some(Ok(rule)) => node.invariants.push(rule),
            Some(Err(why)) => {
                notes.push((url.to_owned(), format!("its rule {key} is not asked: it cannot be read: {why}")))
            }
            None => {}
        }
    }
}

fn discriminator(value: &Value) -> Option<Discriminator> {
    let by = match value.get("type")?.as_str()? {
        "value" | "pattern" => By::Value,
        "exists" => By::Exists,
        "type" => By::Type,
        _ => By::Profile,
    };
    let mut path = Vec::new();
    let text = value.get("path")?.as_str()?;
    for step in text.split('.') {
        if step == "$this" || step.is_empty() || step.starts_with("ofType(") {
            continue;
        }
        path.push(match step {
            "resolve()" => Step::Resolve,
            step => Step::Name(step.to_owned()),
        });
    }
    // extension('url') has dots of its own
    if let Some((before, rest)) = text.split_once("extension('")
        && let Some((url, after)) = rest.split_once("')")
    {
        path = before.split('.').filter(|s| !s.is_empty() && *s != "$this").map(|s| Step::Name(s.to_owned())).collect();
        path.push(Step::Extension(url.to_owned()));
        path.extend(after.split('.').filter(|s| !s.is_empty()).map(|s| Step::Name(s.to_owned())));
    }
    Some(Discriminator { by, path })
}

/// The R4 type that a canonical URL names.
pub(super) fn core_type(url: &str) -> Option<&'static Type> {
    unversioned(url).strip_prefix(R4).and_then(definitions::type_named)
}

/// A canonical URL without its version.
pub(super) fn unversioned(url: &str) -> &str {
    url.split('|').next().unwrap_or(url)
}

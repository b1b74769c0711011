//! Whether a condition holds for a resource.

use rust_decimal::Decimal;
use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

use super::{
    Condition, How, Include, Reference, Search, Sort, Test, Token, Wanted, World, date::Span, leads::PERSON, parameter,
};
use crate::{
    definitions::{self, SearchKind, SearchParameter},
    fhir::{
        reference::{Target, parse},
        tree,
    },
    fhirpath::{Context, Expression, Item, Node},
};

/// A resource that a reference names: its type and its id.
type Named<'a> = (&'a str, &'a str);

/// The elements that an expression finds; none where it cannot be told.
pub(super) fn elements<'a>(expression: &'a Expression, resource: &'a Value, now: jiff::Timestamp) -> Vec<Node<'a>> {
    let found = expression.evaluate(Node::resource(resource), &Context::new(resource, now)).unwrap_or_default();
    let nodes = found.iter().filter_map(|item| match item {
        Item::Node(node) if node.value.is_some() => Some(*node),
        _ => None,
    });
    nodes.collect()
}

impl Condition {
    /// Whether it holds for this resource.
    pub(super) fn holds(&self, resource: &Value, world: &World<'_>) -> bool {
        let found = elements(&self.expression, resource, world.now);
        match &self.test {
            Test::Missing(missing) => found.is_empty() == *missing,
            Test::Any { values, not } => {
                let is = |wanted: &Wanted, node: &Node<'_>| self.is(wanted, node, resource, world);
                let any = found.iter().any(|node| values.iter().any(|wanted| is(wanted, node)));
                let is_for_all = found.is_empty() && parameter::is_open(self.parameter);
                (any || is_for_all || self.is_owned(values, world) || self.is_about(values, world)) != *not
            }
            Test::Leads(conditions) => found.iter().any(|node| {
                let holds = |(of, condition): &(&str, Self)| {
                    let is =
                        |target: &Value| tree::resource_type(target) == Some(*of) && condition.holds(target, world);
                    target_is(node, resource, world, is) || condition.names(node)
                };
                conditions.iter().any(holds)
            }),
        }
    }

    /// Whether it asks for an identifier by which a reference names what it leads to, literally or not.
    fn names(&self, node: &Node<'_>) -> bool {
        let Some(identifier) = node.value.and_then(|value| value.get("identifier")) else { return false };
        let Test::Any { values, not: false } = &self.test else { return false };
        self.parameter.name == "identifier"
            && values.iter().any(|wanted| matches!(wanted, Wanted::Token(token) if is_identifier(token, identifier)))
    }

    /// Whether the Task belongs to the organisation that is looked for: its `owner` may name somebody who works there.
    fn is_owned(&self, values: &[Wanted], world: &World<'_>) -> bool {
        let Some(owner) = world.owner.filter(|_| self.parameter.name == "owner") else { return false };
        values.iter().any(|wanted| match wanted {
            Wanted::Reference { kind, id, version: None } => {
                id == owner && kind.as_ref().is_none_or(|kind| kind == "Organization")
            }
            Wanted::Identifier(token) => (world.find)("Organization", owner)
                .is_some_and(|found| tree::items(found, "identifier").iter().any(|i| is_identifier(token, i))),
            _ => false,
        })
    }

    /// Whether a message is of the referral that is looked for.
    fn is_about(&self, values: &[Wanted], world: &World<'_>) -> bool {
        let goes_with = |kind: &str, id: &str| (world.find)(kind, id).is_some();
        self.parameter.name == "about"
            && values.iter().any(|wanted| match wanted {
                Wanted::Reference { kind: Some(kind), id, version: None } => goes_with(kind, id),
                Wanted::Reference { kind: None, id, version: None } => {
                    goes_with("ServiceRequest", id) || goes_with("Task", id)
                }
                _ => false,
            })
    }

    fn is(&self, wanted: &Wanted, node: &Node<'_>, resource: &Value, world: &World<'_>) -> bool {
        let Some(value) = node.value else { return false };
        match wanted {
            Wanted::Token(token) => is_token(token, node, value, self.parameter),
            Wanted::Words(words) => has_words(words, node, value),
            Wanted::Text(how, text) => strings(value).iter().any(|found| how.holds(text, found)),
            Wanted::Uri(how, uri) => value.as_str().is_some_and(|found| how.holds_of_uri(uri, found)),
            Wanted::Date(prefix, span) => {
                Span::of_element(value).is_some_and(|found| prefix.holds(*span, found, world.now))
            }
            Wanted::Number(number) => is_in(*number, value),
            Wanted::Url(url) => reference_text(value).is_some_and(|found| found == url),
            Wanted::Reference { kind, id, version } => {
                let Some((found_kind, found_id)) = local(node, world.base) else { return false };
                let fits = match kind {
                    Some(kind) => kind == found_kind,
                    None => self.parameter.targets.is_empty() || self.parameter.targets.contains(&found_kind),
                };
                let same_version = version.as_ref().is_none_or(|v| {
                    reference_text(value).and_then(|r| r.rsplit_once("/_history/")).is_some_and(|(_, f)| f == v)
                });
                fits && found_id == id && same_version
            }
            Wanted::Identifier(token) => {
                let own = value.get("identifier").is_some_and(|identifier| is_identifier(token, identifier));
                let is = |target: &Value| {
                    tree::items(target, "identifier").iter().any(|identifier| is_identifier(token, identifier))
                };
                let is_contained = || reference_text(value).is_some_and(|literal| literal.starts_with('#'));
                let beyond = || PERSON.contains(&self.parameter.name) || is_contained();
                own || (beyond() && target_is(node, resource, world, is))
            }
        }
    }
}

/// Whether a number is this one, or lies in this Range: an end that is not said is open.
fn is_in(wanted: Decimal, value: &Value) -> bool {
    let number = |value: &Value| value.as_number().and_then(|number| number.as_str().parse::<Decimal>().ok());
    let end = |name: &str| value.get(name).and_then(|end| number(end.get("value")?));
    match value {
        Value::Number(_) => number(value) == Some(wanted),
        _ => {
            let (low, high) = (end("low"), end("high"));
            (low.is_some() || high.is_some())
                && low.is_none_or(|low| low <= wanted)
                && high.is_none_or(|high| wanted <= high)
        }
    }
}

/// What a Reference says literally; a canonical or a URL is its own.
pub(super) fn reference_text(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("reference").and_then(Value::as_str))
}

/// The type and id of the resource of this server that a reference names.
pub(super) fn local<'a>(node: &Node<'a>, base: &str) -> Option<Named<'a>> {
    named(reference_text(node.value?)?, base)
}

/// Whether what a reference leads to, in the resource itself or beside it, is so.
fn target_is(node: &Node<'_>, resource: &Value, world: &World<'_>, is: impl FnOnce(&Value) -> bool) -> bool {
    let Some(literal) = node.value.and_then(reference_text) else { return false };
    if let Target::Contained(id) = parse(literal) {
        let named = |one: &&Value| one.get("id").and_then(Value::as_str) == Some(id);
        return tree::items(resource, "contained").iter().find(named).is_some_and(is);
    }
    named(literal, world.base).and_then(|(kind, id)| (world.find)(kind, id)).is_some_and(is)
}

/// The type and id of what a literal reference names here.
fn named<'a>(literal: &'a str, base: &str) -> Option<Named<'a>> {
    match parse(literal) {
        Target::Relative { kind, id, .. } => Some((kind, id)),
        Target::Absolute { base: of, kind, id, .. } if of == base => Some((kind, id)),
        _ => None,
    }
}

fn is_token(token: &Token, node: &Node<'_>, value: &Value, parameter: &SearchParameter) -> bool {
    let coding = |coding: &Value| token.is(coding.get("system"), coding.get("code"));
    match node.of.map(|of| of.name) {
        Some("CodeableConcept") => tree::items(value, "coding").iter().any(coding),
        Some("Coding") => coding(value),
        Some("Identifier") => is_identifier(token, value),
        Some("ContactPoint") => token.is(value.get("use"), value.get("value")) || token.is(None, value.get("value")),
        _ => {
            let found = match value {
                Value::Bool(true) => "true",
                Value::Bool(false) => "false",
                Value::String(text) => text,
                _ => return false,
            };
            // a code's system is that of the value set it must be from
            let of_system = match &token.system {
                None => true,
                Some(system) if system.is_empty() => false,
                Some(system) => codes_of(parameter).is_some_and(|codes| codes.has(system, found)),
            };
            of_system && token.code.as_ref().is_none_or(|code| code == found)
        }
    }
}

/// What a token may ask for, where there is nothing else that a resource could have: R4's codes of its element, or ours; true and false.
pub(super) fn words_of(parameter: &SearchParameter) -> Option<Vec<&'static str>> {
    const CAPACITY: [&str; 3] = ["capacity", "no-capacity", "waitlist"];
    if let Some(codes) = codes_of(parameter) {
        return Some(codes.codes().map(|(_, code)| code).collect());
    }
    match parameter.name {
        "capacity" if parameter.url.starts_with("https://onward.example/") => Some(CAPACITY.to_vec()),
        "accepts-referrals" => Some(vec!["true", "false"]),
        _ => is_boolean(parameter).then(|| vec!["true", "false"]),
    }
}

/// Whether a parameter looks at one element, and that is true or false.
fn is_boolean(parameter: &SearchParameter) -> bool {
    let element = || {
        let (of, element) = parameter.expression.split_once('.')?;
        Some(definitions::resource_named(of)?.child(element)?.1)
    };
    element().is_some_and(|element| element.types.iter().all(|one| one.code == "boolean"))
}

/// The codes of the one element that a parameter looks at, where it may have no others.
pub(super) fn codes_of(parameter: &SearchParameter) -> Option<&'static definitions::CodeSet> {
    let (of, element) = parameter.expression.split_once('.')?;
    definitions::resource_named(of)?.child(element)?.1.binding.filter(|binding| binding.is_required)?.codes
}

fn is_identifier(token: &Token, identifier: &Value) -> bool {
    token.is(identifier.get("system"), identifier.get("value"))
}

impl Token {
    fn is(&self, system: Option<&Value>, code: Option<&Value>) -> bool {
        let found = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let system_fits = match &self.system {
            None => true,
            Some(wanted) if wanted.is_empty() => system.is_none(),
            Some(wanted) => found(system).is_some_and(|system| system == *wanted),
        };
        let code_fits = match &self.code {
            None => true,
            Some(wanted) => found(code).is_some_and(|code| code == *wanted),
        };
        system_fits && code_fits
    }
}

fn has_words(words: &str, node: &Node<'_>, value: &Value) -> bool {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let mut said: Vec<Option<String>> = vec![text(value, "text"), text(value, "display")];
    said.extend(tree::items(value, "coding").iter().map(|coding| text(coding, "display")));
    if node.of.is_some_and(|of| of.name == "Identifier") {
        said.push(value.get("type").and_then(|kind| text(kind, "text")));
    }
    said.iter().flatten().any(|found| How::Starts.holds(words, found))
}

/// The texts of a string, a name or an address.
pub(super) fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Object(object) => {
            // of a name or an address its words: its use, its type and its times are none
            let parts = object.iter().filter(|(key, _)| !matches!(key.as_str(), "use" | "type" | "period" | "id"));
            parts
                .flat_map(|(_, part)| match part {
                    Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
                    Value::String(text) => vec![text.as_str()],
                    _ => vec![],
                })
                .collect()
        }
        _ => vec![],
    }
}

/// Without case and accents (R4 search, 3.1.1.5.7).
pub(super) fn plain(text: &str) -> String {
    let is_accent = |c: &char| ('\u{300}'..='\u{36f}').contains(c);
    text.nfd().filter(|c| !is_accent(c)).flat_map(char::to_lowercase).collect()
}

impl How {
    /// Whether what is found is so; what is wanted is plain already, but where it must be exactly that.
    fn holds(self, wanted: &str, found: &str) -> bool {
        match self {
            Self::Exact => wanted == found,
            _ => self.holds_of(wanted, found, &plain(found)),
        }
    }

    /// The same where the plain form of what is found is known.
    pub(super) fn holds_of(self, wanted: &str, exact: &str, plain: &str) -> bool {
        match self {
            Self::Exact => wanted == exact,
            Self::Contains => plain.contains(wanted),
            Self::Starts | Self::Below | Self::Above => plain.starts_with(wanted),
        }
    }

    fn holds_of_uri(self, wanted: &str, found: &str) -> bool {
        let starts = |long: &str, short: &str| {
            long.strip_prefix(short)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || short.ends_with('/'))
        };
        match self {
            Self::Below => starts(found, wanted),
            Self::Above => starts(wanted, found),
            _ => wanted == found,
        }
    }
}

impl Search {
    /// What orders a resource among others: one text for each key of `_sort`, to be compared as they are; `None` stands last,
    /// whatever the direction.
    pub fn keys(&self, resource: &Value, world: &World<'_>) -> Vec<Option<String>> {
        self.sort.iter().map(|sort| sort.key(resource, world)).collect()
    }
}

impl Sort {
    fn key(&self, resource: &Value, world: &World<'_>) -> Option<String> {
        let found = elements(&self.expression, resource, world.now);
        let mut keys = found.iter().filter_map(|node| {
            let value = node.value?;
            match self.kind {
                SearchKind::Date => {
                    let span = Span::of_element(value)?;
                    let at = if self.descending && span.to < jiff::Timestamp::MAX { span.to } else { span.from };
                    // before the year 0 as well, so that texts lie as moments do
                    Some(format!("{:024}", at.as_nanosecond() + 1_000_000_000_000_000_000_000))
                }
                SearchKind::Number => {
                    let least = value.pointer("/low/value").or_else(|| value.pointer("/high/value")).unwrap_or(value);
                    // so that texts lie as numbers do, down to a billion below zero
                    Some(format!("{:025.6}", least.as_f64()? + 1_000_000_000.0))
                }
                SearchKind::Reference => reference_text(value).map(str::to_owned),
                SearchKind::Uri => value.as_str().map(str::to_owned),
                SearchKind::String => strings(value).first().map(|text| plain(text)),
                SearchKind::Token => match value {
                    Value::String(text) => Some(text.clone()),
                    Value::Bool(told) => Some(told.to_string()),
                    _ => {
                        let coding = tree::items(value, "coding").first().unwrap_or(value);
                        let code = coding.get("code").or_else(|| value.get("value")).and_then(Value::as_str);
                        code.map(str::to_owned)
                    }
                },
            }
        });
        // of several the one that stands first in this order
        let first = keys.next()?;
        Some(keys.fold(first, |a, b| if self.descending { a.max(b) } else { a.min(b) }))
    }
}

impl Include {
    /// The resources of this server that it leads to from this one, by type and id.
    pub fn leads_to<'a>(&'a self, resource: &'a Value, base: &str, now: jiff::Timestamp) -> Vec<(String, String)> {
        let mut found = Vec::new();
        if tree::resource_type(resource) != Some(self.from.as_str()) {
            return found;
        }
        let mut add = |literal: &str, targets: &[&str]| {
            if let Some((kind, id)) = named(literal, base)
                && (targets.is_empty() || targets.contains(&kind))
                && self.to.as_ref().is_none_or(|to| to == kind)
            {
                found.push((kind.to_owned(), id.to_owned()));
            }
        };
        match &self.by {
            Some(by) => by.literals(resource, now).into_iter().for_each(|literal| add(literal, by.targets)),
            None => tree::each_pointer(resource, &mut |literal| add(literal, &[])),
        }
        found
    }
}

impl Reference {
    fn literals<'a>(&'a self, resource: &'a Value, now: jiff::Timestamp) -> Vec<&'a str> {
        elements(&self.expression, resource, now).iter().filter_map(|node| reference_text(node.value?)).collect()
    }
}

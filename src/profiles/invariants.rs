//! Rules in FHIRPath: R4's own, read when the first resource of a type asks for them, and those of profiles.

use std::{
    borrow::Cow,
    sync::{LazyLock, OnceLock},
};

use serde_json::Value;

use super::report::Report;
use crate::{
    definitions::{self, Invariant, Type},
    fhir::{narrative, outcome::IssueCode, path::Place},
    fhirpath::{self, Context, EvalError, Expression, Hooks, Node},
};

/// Those that the walk itself looks at, faster and with a better place; and `dom-6`, which wants a narrative that no machine needs.
const NATIVE: &[&str] = &[
    "ele-1", "ext-1", "ref-1", "txt-1", "txt-2", "dom-2", "dom-3", "dom-4", "dom-5", "dom-6", "bdl-1", "bdl-2",
    "bdl-3", "bdl-4", "bdl-5", "bdl-7", "bdl-8", "bdl-9", "bdl-10", "bdl-11", "bdl-12",
];

/// Rules that are errors in R4 and warnings here: a Task's two moments may be of two clocks.
const ONLY_WARNED: &[(&str, &str)] = &[("Task", "inv-1")];

/// Rules whose expression in R4 asks for something else than their words do: the words decide.
const MENDED: &[(&str, &str)] = &[
    ("que-12", "enableWhen.count() > 1 implies enableBehavior.exists()"),
    // no answer is of FHIRPath's own Boolean
    ("que-7", "operator = 'exists' implies (answer is boolean)"),
];

/// A rule that was read.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    /// Its name: `per-1`.
    pub(super) key: Cow<'static, str>,
    is_error: bool,
    human: Cow<'static, str>,
    expression: Expression,
}

/// The rules of one type of R4.
#[derive(Debug, Default)]
pub(super) struct OfType {
    /// For the whole of it, those of its bases included.
    pub(super) whole: Vec<Rule>,
    /// For each element, by its number.
    pub(super) elements: Vec<Vec<Rule>>,
}

/// Where in the input a rule is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'v> {
    /// `%resource`
    pub(super) resource: &'v Value,
    /// `%rootResource`: the one that contains it, or itself.
    pub(super) root: &'v Value,
    /// The Bundle in whose entry it stands.
    pub(super) bundle: Option<&'v Value>,
}

/// What rules may ask beside the resource.
struct Narratives;

impl Hooks for Narratives {
    fn html_checks(&self, div: &str) -> Option<bool> {
        Some(narrative::fault(div).is_none())
    }
}

static TYPES: LazyLock<Box<[OnceLock<OfType>]>> =
    LazyLock::new(|| definitions::types().iter().map(|_| OnceLock::new()).collect());
static NONE: OfType = OfType { whole: Vec::new(), elements: Vec::new() };

/// R4's rules for a type.
pub(super) fn of(of: &'static Type) -> &'static OfType {
    TYPES.get(of.number()).map_or(&NONE, |cell| cell.get_or_init(|| OfType::read(of)))
}

// === impl OfType ===

impl OfType {
    fn read(of: &'static Type) -> Self {
        let mut whole = Vec::new();
        let mut here = Some(of);
        while let Some(of) = here {
            whole.extend(of.invariants.iter().filter_map(|rule| Rule::of_r4(rule, of)));
            here = of.base();
        }
        let elements = of
            .elements
            .iter()
            .map(|e| e.invariants.iter().filter_map(|rule| Rule::of_r4(rule, of)).collect())
            .collect();
        Self { whole, elements }
    }
}

// === impl Rule ===

impl Rule {
    fn of_r4(from: &'static Invariant, of: &Type) -> Option<Self> {
        if NATIVE.contains(&from.key) {
            return None;
        }
        // a test reads every one of them
        let mended = MENDED.iter().find(|(key, _)| *key == from.key).map(|(_, expression)| *expression);
        let expression = fhirpath::parse(mended.unwrap_or(from.expression)).ok()?;
        let is_error = from.is_error && !ONLY_WARNED.contains(&(of.name, from.key));
        Some(Self { key: from.key.into(), is_error, human: from.human.into(), expression })
    }

    /// `ElementDefinition.constraint` of a profile; none where it has no expression, or repeats a rule of R4.
    pub(super) fn of_profile(constraint: &Value) -> Option<Result<Self, fhirpath::ParseError>> {
        let text = |name: &str| constraint.get(name).and_then(Value::as_str);
        let (key, expression) = (text("key")?, text("expression")?);
        let is_it = |rule: &Invariant| rule.key == key && rule.expression == expression;
        let repeats = |of: &Type| {
            of.invariants.iter().any(is_it) || of.elements.iter().any(|element| element.invariants.iter().any(is_it))
        };
        if NATIVE.contains(&key) || definitions::types().iter().any(repeats) {
            return None;
        }
        Some(fhirpath::parse(expression).map(|expression| Self {
            key: key.to_owned().into(),
            is_error: text("severity") == Some("error"),
            human: text("human").unwrap_or("a rule of the profile is broken").to_owned().into(),
            expression,
        }))
    }
}

/// Asks rules of an element, and says which are not true. One that could not be asked breaks nothing.
pub(super) fn ask<'v>(
    rules: &'v [Rule],
    on: Node<'v>,
    scope: Scope<'v>,
    report: &mut Report,
    place: Place<'_>,
    asks: Option<&str>,
) {
    if rules.is_empty() {
        return;
    }
    let context = Context {
        resource: Node::resource(scope.resource),
        root: Node::resource(scope.root),
        bundle: scope.bundle,
        hooks: &Narratives,
        ..Context::new(scope.resource, report.now)
    };
    for rule in rules {
        match rule.expression.truth_within(on, &context, &mut report.steps) {
            Ok(Some(true)) => {}
            // where there is no name nobody is told how it is best written
            Ok(None) if !rule.is_error => {}
            Ok(holds @ (None | Some(false))) => {
                // a rule has to be true (R4 ElementDefinition.constraint); a day is neither before nor after a moment of it
                let untold = if holds.is_none() { "; from what stands here that cannot be told" } else { "" };
                let said = match asks {
                    Some(profile) => format!("{}{untold} ({}, {profile})", rule.human, rule.key),
                    None => format!("{}{untold} ({})", rule.human, rule.key),
                };
                match (rule.is_error, asks) {
                    (false, _) => report.warning(IssueCode::Invariant, place, said),
                    (true, None) => report.fault(IssueCode::Invariant, place, said),
                    (true, Some(_)) => report.broken_rule(IssueCode::Invariant, place, said),
                }
            }
            Err(EvalError::TooManySteps) => report.unasked(place),
            Err(_) => {}
        }
    }
}

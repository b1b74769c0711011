//! What an expression may know beside the element that it is evaluated on.

use jiff::Timestamp;
use serde_json::Value;

use super::{Item, Node, budget::STEPS_MAX};

/// What an expression may know beside its element.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// `%resource`: the resource that the element is in.
    pub resource: Node<'a>,
    /// `%rootResource`: the one that contains that, or itself.
    pub root: Node<'a>,
    /// The Bundle in whose entries references are looked up.
    pub bundle: Option<&'a Value>,
    /// The one present moment.
    pub now: Timestamp,
    /// Further variables, by their names.
    pub variables: &'a [(&'a str, Item<'a>)],
    /// Who answers what the resource itself cannot.
    pub hooks: &'a dyn Hooks,
    /// How many steps it may take; there is a greatest number.
    pub steps: usize,
}

/// Questions that a resource itself cannot answer. Who does not know says none: the expression is in error then, but for `resolve()`.
pub trait Hooks {
    /// The resource that a reference points at.
    fn resolve(&self, reference: &str) -> Option<&Value> {
        let _ = reference;
        None
    }

    /// Whether a code is in a value set.
    fn member_of(&self, item: &Item<'_>, value_set: &str) -> Option<bool> {
        let _ = (item, value_set);
        None
    }

    /// Whether an element conforms to a profile.
    fn conforms_to(&self, node: Node<'_>, profile: &str) -> Option<bool> {
        let _ = (node, profile);
        None
    }

    /// Whether a narrative's `div` is what it may be (`htmlChecks()`).
    fn html_checks(&self, div: &str) -> Option<bool> {
        let _ = div;
        None
    }

    /// Hears what `trace()` says.
    fn trace(&self, name: &str, items: &[Item<'_>]) {
        let _ = (name, items);
    }
}

/// Nobody answers.
#[derive(Debug, Clone, Copy)]
pub struct NoHooks;

impl Hooks for NoHooks {}

// === impl Context ===

impl<'a> Context<'a> {
    /// For a resource that stands for itself.
    pub fn new(resource: &'a Value, now: Timestamp) -> Self {
        let resource = Node::resource(resource);
        Self { resource, root: resource, bundle: None, now, variables: &[], hooks: &NoHooks, steps: STEPS_MAX }
    }
}

//! FHIRPath, for what no other condition can ask: of the ServiceRequest, with `%patient` and `resolve()` beside it.

use std::{fmt, sync::Arc};

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::Facts;
use crate::{
    definitions,
    fhirpath::{self, Context, Expression, Hooks, Item, Node},
};

/// More bytes no expression has.
const PATH_MAX_BYTES: usize = 2_000;
/// One expression takes no more steps of evaluation on one referral; beyond, it does not hold.
const STEPS_MAX: usize = 20_000;

/// A condition in FHIRPath, read once.
#[derive(Debug, Clone)]
pub struct Path {
    text: String,
    expression: Arc<Expression>,
}

/// The resources that travel with a referral, for `resolve()`.
struct Carried<'f, 'a>(&'f Facts<'a>);

// === impl Path ===

impl Path {
    /// Reads an expression on a ServiceRequest.
    ///
    /// # Errors
    /// What is wrong with it, in words: it is no FHIRPath, or asks for an element that no ServiceRequest has.
    pub fn read(text: &str) -> Result<Self, String> {
        if text.len() > PATH_MAX_BYTES {
            return Err(format!("it is longer than {PATH_MAX_BYTES} bytes"));
        }
        let expression = fhirpath::parse(text).map_err(|error| error.to_string())?;
        expression.check(definitions::resource_named("ServiceRequest")).map_err(|error| error.to_string())?;
        Ok(Self { text: text.to_owned(), expression: Arc::new(expression) })
    }

    /// Whether it is true of a referral. What yields nothing, is false or cannot be evaluated does not hold.
    pub fn holds(&self, facts: &Facts<'_>) -> bool {
        self.truth(facts) == Ok(Some(true))
    }

    /// What it says of a referral: true, false or nothing.
    ///
    /// # Errors
    /// Why it cannot be evaluated, in words.
    pub fn truth(&self, facts: &Facts<'_>) -> Result<Option<bool>, String> {
        let hooks = Carried(facts);
        let patient = facts.patient.map(|patient| ("patient", Item::Node(Node::resource(patient))));
        let context = Context {
            variables: patient.as_slice(),
            hooks: &hooks,
            steps: STEPS_MAX,
            ..Context::new(facts.request, facts.at)
        };
        self.expression.truth(Node::resource(facts.request), &context).map_err(|error| error.to_string())
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Path {}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Path {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

// === impl Carried ===

impl Hooks for Carried<'_, '_> {
    fn resolve(&self, reference: &str) -> Option<&Value> {
        self.0.find(reference)
    }
}

//! FHIRPath N1 (2.0.0) with what R4 adds (fhirpath.html), on resources as they lie in memory. Expressions are read once and may be
//! evaluated by any number of threads. Nothing here does I/O, panics or takes unbounded time; an error never means “false”.

mod arithmetic;
mod ast;
mod budget;
mod check;
mod collection;
mod context;
mod convert;
mod equal;
mod eval;
mod function;
mod item;
mod lexer;
mod moment;
mod numbers;
mod parser;
mod pattern;
mod quantity;
mod resolve;
mod sets;
mod texts;
mod types;
mod ucum;

use std::fmt;

pub use check::CheckError;
pub use collection::{Collection, Items};
pub use context::{Context, Hooks, NoHooks};
pub use item::{Item, Node};
pub use moment::Moment;
pub use quantity::Quantity;

use crate::definitions::Type;

/// An expression that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression(ast::Expr);

/// A text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} (at byte {at})")]
pub struct ParseError {
    /// Where in the text, in bytes.
    pub at: usize,
    /// What is wrong there.
    pub what: String,
}

/// An expression could not be evaluated: it says nothing about the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// It took more steps than it may.
    #[error("it takes too many steps")]
    TooManySteps,
    /// A collection, a text or a resource is greater than it may be.
    #[error("it makes something too great")]
    TooGreat,
    /// There are several items where one is asked for.
    #[error("{what} is asked of several items, and wants one")]
    NotSingle {
        /// The function or the operator.
        what: &'static str,
    },
    /// An item is of a type that nothing can be done with here.
    #[error("{what} is asked of something of the wrong type")]
    WrongType {
        /// The function or the operator.
        what: &'static str,
    },
    /// There is no variable of this name, or none here.
    #[error("a variable that is not known here")]
    UnknownVariable,
    /// A pattern that was made is none.
    #[error("a pattern that cannot be used")]
    Pattern,
    /// Only somebody else could say: terminology, profiles.
    #[error("{what} cannot be answered here")]
    NotHere {
        /// The function.
        what: &'static str,
    },
}

/// Reads an expression.
///
/// # Errors
/// Where it is none by the grammar, names a function or a type that does not exist, or is too long or nested too deeply.
pub fn parse(text: &str) -> Result<Expression, ParseError> {
    parser::parse(text).map(Expression)
}

// === impl Expression ===

impl Expression {
    /// What it yields on an element.
    ///
    /// # Errors
    /// [`EvalError`]: then nothing is known.
    pub fn evaluate<'a>(&'a self, on: Node<'a>, context: &Context<'a>) -> Result<Collection<'a>, EvalError> {
        eval::evaluate(&self.0, on, context)
    }

    /// The same, out of a budget of steps that several evaluations share: what is left of it afterwards stands in `steps`.
    ///
    /// # Errors
    /// [`EvalError`]: then nothing is known. [`EvalError::TooManySteps`] where the budget was not enough.
    pub fn evaluate_within<'a>(
        &'a self,
        on: Node<'a>,
        context: &Context<'a>,
        steps: &mut usize,
    ) -> Result<Collection<'a>, EvalError> {
        eval::evaluate_within(&self.0, on, &Context { steps: *steps, ..*context }, steps)
    }

    /// Of a path, the last name and the path before it, which says of what the name is asked; none there where that is the element
    /// itself. Nothing of what ends otherwise.
    pub fn last_name(&self) -> Option<(Option<Self>, &str)> {
        match &self.0 {
            ast::Expr::Child { on, name } => Some((on.as_deref().cloned().map(Self), name)),
            _ => None,
        }
    }

    /// Whether it is true, or false; none where it yields nothing. What yields one item that is neither is true (N1, “Singleton
    /// Evaluation of Collections”).
    ///
    /// # Errors
    /// [`EvalError`]: then nothing is known.
    pub fn truth<'a>(&'a self, on: Node<'a>, context: &Context<'a>) -> Result<Option<bool>, EvalError> {
        eval::truth(&self.evaluate(on, context)?, "a condition")
    }

    /// Whether a rule is kept: it is not false. Where it yields nothing it could not be said to be broken.
    ///
    /// # Errors
    /// [`EvalError`]: then nothing is known.
    pub fn holds<'a>(&'a self, on: Node<'a>, context: &Context<'a>) -> Result<bool, EvalError> {
        Ok(self.truth(on, context)? != Some(false))
    }

    /// The same, out of a budget of steps that several evaluations share: what is left of it afterwards stands in `steps`.
    ///
    /// # Errors
    /// [`EvalError`]: then nothing is known. [`EvalError::TooManySteps`] where the budget was not enough.
    pub fn holds_within<'a>(
        &'a self,
        on: Node<'a>,
        context: &Context<'a>,
        steps: &mut usize,
    ) -> Result<bool, EvalError> {
        Ok(self.truth_within(on, context, steps)? != Some(false))
    }

    /// Whether it is true; none where it gives nothing. Out of a budget as with [`Self::holds_within`].
    ///
    /// # Errors
    /// [`EvalError`]
    pub fn truth_within<'a>(
        &'a self,
        on: Node<'a>,
        context: &Context<'a>,
        steps: &mut usize,
    ) -> Result<Option<bool>, EvalError> {
        let found = eval::evaluate_within(&self.0, on, &Context { steps: *steps, ..*context }, steps)?;
        eval::truth(&found, "a condition")
    }

    /// Looks for what could never mean anything on an element of this type: names that no element has, types that nothing there can
    /// have. For expressions that people write; R4's own are older than these rules and break some.
    ///
    /// # Errors
    /// The first thing found.
    pub fn check(&self, on: Option<&'static Type>) -> Result<(), CheckError> {
        check::check(&self.0, on)
    }
}

impl fmt::Display for Expression {
    /// As it would be written; what it is read as again is the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests;

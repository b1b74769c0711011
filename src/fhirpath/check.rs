//! Whether an expression could mean anything at all on a type: a careful look without a resource. What it is not sure of it lets
//! pass.

use super::{
    ast::{Expr, Operator, Typing},
    function::Function,
    types::{Space, TypeName},
};
use crate::definitions::{self, Kind, Max, Type};

/// Something in an expression that could never mean anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// No element has this name there.
    #[error("“{name}” is no element of {of}")]
    NoElement {
        /// The name.
        name: String,
        /// The type that has no such element.
        of: &'static str,
    },
    /// There is no type of this name.
    #[error("there is no type {name}")]
    NoType {
        /// The name.
        name: String,
    },
    /// What is asked for is never of this type.
    #[error("it is never of the type {name}")]
    NeverOfType {
        /// The name of the type.
        name: String,
    },
    /// Something is asked of one item, where several may stand.
    #[error("{what} is asked of what may be several")]
    Several {
        /// The function.
        what: &'static str,
    },
    /// Children have no order: there is no first of them.
    #[error("{what}() is asked of what has no order")]
    NoOrder {
        /// The function.
        what: &'static str,
    },
    /// A condition is never true or false.
    #[error("a condition that is neither true nor false")]
    NoCondition,
}

/// What is known of a collection before there is one.
#[derive(Debug, Clone, Default)]
struct Known {
    /// The types of R4 that an item may have; none where that is not known.
    types: Option<Vec<&'static Type>>,
    /// Whether there may be several.
    many: bool,
    /// Whether they have no order.
    unordered: bool,
    /// Whether it is a value of FHIRPath's own that is no Boolean.
    no_boolean: bool,
}

type Found = Result<Known, CheckError>;

/// Looks through an expression.
pub(super) fn check(expr: &Expr, on: Option<&'static Type>) -> Result<(), CheckError> {
    let on = Known { types: on.map(|on| vec![on]), ..Known::default() };
    look(expr, &on).map(drop)
}

fn look(expr: &Expr, this: &Known) -> Found {
    Ok(match expr {
        Expr::Integer(_) | Expr::Decimal(_) | Expr::Text(_) | Expr::Moment(_) | Expr::Quantity { .. } => {
            Known { no_boolean: true, ..Known::default() }
        }
        Expr::Empty | Expr::Boolean(_) | Expr::Index | Expr::Total | Expr::Variable(_) => Known::default(),
        Expr::This => this.clone(),
        Expr::Child { on: None, name } => implied(name, this)?,
        Expr::Child { on: Some(on), name } => child(&look(on, this)?, name)?,
        Expr::Call { on, function, arguments, .. } => {
            let on = match on {
                Some(on) => look(on, this)?,
                None => this.clone(),
            };
            call(*function, on, arguments, this)?
        }
        Expr::Typed { on, how, name } => {
            let on = match on {
                Some(on) => look(on, this)?,
                None => this.clone(),
            };
            typed(on, *how, name)?
        }
        Expr::Item { on, index } => {
            look(index, this)?;
            let on = look(on, this)?;
            if on.unordered {
                return Err(CheckError::NoOrder { what: "[]" });
            }
            Known { many: false, ..on }
        }
        Expr::Negative(of) | Expr::Positive(of) => {
            look(of, this)?;
            Known::default()
        }
        Expr::Binary { how, left, right } => {
            let (left, right) = (look(left, this)?, look(right, this)?);
            if *how == Operator::Union {
                let types = left.types.zip(right.types).map(|(mut left, right)| {
                    left.extend(right);
                    left
                });
                Known { types, many: true, ..Known::default() }
            } else {
                Known::default()
            }
        }
    })
}

/// A name by itself: a type where it is one, or an element.
fn implied(name: &str, this: &Known) -> Found {
    let Some(types) = &this.types else { return Ok(Known::default()) };
    if name.starts_with(|c: char| c.is_ascii_uppercase()) && definitions::type_named(name).is_some() {
        return match types.first() {
            // a rule for any resource may ask which it is
            Some(of) if !types.iter().any(|of| of.is_a(name)) && !of.is_abstract => {
                Err(CheckError::NoElement { name: name.to_owned(), of: of.name })
            }
            _ => Ok(this.clone()),
        };
    }
    child(this, name)
}

fn child(on: &Known, name: &str) -> Found {
    let Some(types) = &on.types else { return Ok(Known { many: true, unordered: on.unordered, ..Known::default() }) };
    let mut found = Vec::new();
    let mut many = on.many;
    for of in types {
        if matches!(of.name, "Resource" | "DomainResource") {
            // it may be any
            return Ok(Known { many: true, ..Known::default() });
        }
        let of =
            if matches!(of.kind, Kind::Primitive(_)) { definitions::type_named("Element").unwrap_or(of) } else { of };
        for element in of.elements.iter().filter(|element| element.name == name) {
            many |= element.max == Max::Many;
            found.extend(element.types.iter().map(|is| is.of()));
        }
    }
    if found.is_empty() {
        let of = types.first().map_or("nothing", |of| of.name);
        return Err(CheckError::NoElement { name: name.to_owned(), of });
    }
    Ok(Known { types: Some(found), many, unordered: on.unordered, no_boolean: false })
}

fn typed(on: Known, how: Typing, name: &TypeName) -> Found {
    if !name.exists() && name.space.is_none() {
        return Err(CheckError::NoType { name: name.name.to_string() });
    }
    if how == Typing::Is {
        return Ok(Known::default());
    }
    if how == Typing::As && on.many {
        return Err(CheckError::Several { what: "as" });
    }
    let Some(named) = name.fhir.map(|named| named.0).filter(|_| name.space != Some(Space::System)) else {
        return Ok(Known::default());
    };
    if let Some(types) = &on.types {
        // a string is no code, and yet some type with both may stand there
        let possible = types.iter().any(|of| of.is_a(named.name) || named.is_a(of.name));
        let primitive = matches!(named.kind, Kind::Primitive(_));
        if !possible && !primitive && how == Typing::As && types.iter().all(|of| !of.is_abstract) {
            return Err(CheckError::NeverOfType { name: name.name.to_string() });
        }
    }
    Ok(Known { types: Some(vec![named]), ..on })
}

fn call(function: Function, on: Known, arguments: &[Expr], this: &Known) -> Found {
    let what = function.name();
    if on.unordered
        && matches!(function, Function::First | Function::Last | Function::Tail | Function::Skip | Function::Take)
    {
        return Err(CheckError::NoOrder { what });
    }
    // a condition or a projection is evaluated on each item
    let each = Known { many: false, unordered: false, ..on.clone() };
    let item = matches!(
        function,
        Function::Where | Function::All | Function::Exists | Function::Select | Function::Aggregate | Function::Sort
    );
    let mut parts = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let scope = match function {
            _ if item => &each,
            // it goes on with what it finds
            Function::Repeat | Function::Trace | Function::Iif => &Known::default(),
            _ => this,
        };
        parts.push(look(argument, scope)?);
    }
    Ok(match function {
        Function::Where | Function::Distinct | Function::Sort | Function::Skip | Function::Take | Function::Tail => on,
        Function::Trace | Function::Exclude | Function::Intersect => on,
        Function::First | Function::Last | Function::Single => Known { many: false, ..on },
        Function::Select => parts.pop().map(|part| Known { many: part.many || on.many, ..part }).unwrap_or_default(),
        Function::Iif if parts.first().is_some_and(|test| test.no_boolean) => return Err(CheckError::NoCondition),
        Function::Children | Function::Descendants => Known { many: true, unordered: true, ..Known::default() },
        Function::Extension => {
            Known { many: true, types: definitions::type_named("Extension").map(|of| vec![of]), ..Known::default() }
        }
        Function::Resolve | Function::Repeat | Function::Combine | Function::Union | Function::Iif => {
            Known { many: true, ..Known::default() }
        }
        _ => Known::default(),
    })
}

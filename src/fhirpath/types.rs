//! Names of types in expressions.

use std::fmt::{self, Display};

use super::ast::name_of;
use crate::definitions::{self, Kind, Type};

/// A type as an expression names it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TypeName {
    /// `System` or `FHIR`, where it is said.
    pub space: Option<Space>,
    /// The name in it.
    pub name: Box<str>,
    /// The type of R4 that it is.
    pub fhir: Option<Named>,
    /// The type of FHIRPath that it is.
    pub system: Option<System>,
}

/// Where a type comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    System,
    Fhir,
}

/// A type of R4, compared by its name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named(pub(super) &'static Type);

/// FHIRPath's own types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum System {
    Boolean,
    Integer,
    Decimal,
    String,
    Date,
    DateTime,
    Time,
    Quantity,
    Any,
}

// === impl Named ===

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

// === impl System ===

impl System {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "Boolean" => Self::Boolean,
            "Integer" => Self::Integer,
            "Decimal" => Self::Decimal,
            "String" => Self::String,
            "Date" => Self::Date,
            "DateTime" => Self::DateTime,
            "Time" => Self::Time,
            "Quantity" => Self::Quantity,
            "Any" => Self::Any,
            _ => return None,
        })
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Boolean => "Boolean",
            Self::Integer => "Integer",
            Self::Decimal => "Decimal",
            Self::String => "String",
            Self::Date => "Date",
            Self::DateTime => "DateTime",
            Self::Time => "Time",
            Self::Quantity => "Quantity",
            Self::Any => "Any",
        }
    }
}

// === impl TypeName ===

impl TypeName {
    /// The type of this name; none where there is none.
    pub(super) fn resolve(space: Option<&str>, name: &str) -> Option<Self> {
        let fhir = || definitions::type_named(name).map(Named);
        let (space, fhir, system) = match space {
            None => (None, fhir(), System::named(name)),
            Some("FHIR") => (Some(Space::Fhir), fhir(), None),
            // one that FHIRPath does not have is the type of nothing
            Some("System") => (Some(Space::System), None, System::named(name)),
            Some(_) => return None,
        };
        // R4's own rules name types of later versions, which nothing here is of
        let other = space == Some(Space::System) || name.starts_with(|c: char| c.is_ascii_uppercase());
        let known = fhir.is_some() || system.is_some() || other;
        known.then(|| Self { space, name: name.into(), fhir, system })
    }

    /// Whether there is such a type.
    pub(super) fn exists(&self) -> bool {
        self.fhir.is_some() || self.system.is_some()
    }

    /// Whether a value of this type of R4 is one of it. `exactly`: as `as` and `ofType` have it, to which a code is no string.
    pub(super) fn fits(&self, of: &Type, exactly: bool) -> bool {
        let Some(Named(named)) = self.fhir else { return false };
        if std::ptr::eq(of, named) {
            return true;
        }
        if exactly && matches!(of.kind, Kind::Primitive(_)) {
            return false;
        }
        let mut base = of.base();
        while let Some(of) = base {
            if std::ptr::eq(of, named) {
                return true;
            }
            base = of.base();
        }
        false
    }
}

impl Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.space {
            Some(Space::System) => f.write_str("System.")?,
            Some(Space::Fhir) => f.write_str("FHIR.")?,
            None => {}
        }
        name_of(f, &self.name)
    }
}

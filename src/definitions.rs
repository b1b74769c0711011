//! What R4 4.0.1 defines: its types, their elements, what may stand in them, and the codes of the value sets that it requires. Tables
//! that `profiles/build.rs` makes from HL7's own StructureDefinitions; they lie in the program and cost nothing to load.
//!
//! An element that has elements of its own is a type too, under its path (`Bundle.entry`): so every element has a type, and every type
//! its elements, those it inherits among them, in the order of the specification.

use std::fmt;

mod tables {
    use super::{
        Binding, CodeSet, Element, Invariant, Kind, Max, Package, Primitive, SearchKind, SearchParameter, Type, TypeRef,
    };

    include!(concat!(env!("OUT_DIR"), "/definitions.rs"));
}

/// Where the definitions come from.
pub use tables::PACKAGE;

/// A package that the build fetched.
#[derive(Debug, Clone, Copy)]
pub struct Package {
    /// As npm names it.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Its licence, as SPDX names it; the definitions themselves are HL7's, CC0.
    pub licence: &'static str,
    /// Its checksum, as npm's lock file has it.
    pub integrity: &'static str,
}

/// What a type is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One value; in JSON a text, a number, true or false.
    Primitive(Primitive),
    /// A data type with elements.
    Complex,
    /// The elements of one element of a type.
    Backbone,
    /// A resource.
    Resource,
}

/// The primitive types (datatypes.html#primitive).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "they are named as the specification names them")]
pub enum Primitive {
    Base64Binary,
    Boolean,
    Canonical,
    Code,
    Date,
    DateTime,
    Decimal,
    Id,
    Instant,
    Integer,
    Markdown,
    Oid,
    PositiveInt,
    String,
    Time,
    UnsignedInt,
    Uri,
    Url,
    Uuid,
    Xhtml,
}

/// How often an element may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Max {
    /// Never.
    None,
    /// Once: in JSON it is no list.
    One,
    /// As often as it likes: in JSON it is a list.
    Many,
}

/// A type of R4.
pub struct Type {
    /// Its name; of an inner element its path.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Whether nothing is only this.
    pub is_abstract: bool,
    /// What it may hold.
    pub elements: &'static [Element],
    /// Rules for the whole of it, beside those of its base.
    pub invariants: &'static [Invariant],
    number: u16,
    base: Option<u16>,
    /// What its elements are called in JSON, sorted: a key, the number of the element, the number of its type.
    keys: &'static [(&'static str, u16, u16)],
}

/// What stands in a type.
#[derive(Debug)]
pub struct Element {
    /// Its name; of a choice without `[x]`.
    pub name: &'static str,
    /// How often it stands at least.
    pub min: u8,
    /// How often it stands at most.
    pub max: Max,
    /// Whether its name tells which of its types it is (`value[x]`).
    pub is_choice: bool,
    /// Whether it is an attribute in XML.
    pub is_attribute: bool,
    /// Whether it stays in a summary (search.html#summary).
    pub is_summary: bool,
    /// What it may be; one, unless it is a choice.
    pub types: &'static [TypeRef],
    /// Which codes it may have, where that is required or extensible.
    pub binding: Option<Binding>,
    /// Rules for what stands in it, beside those of its type.
    pub invariants: &'static [Invariant],
}

/// A type that an element may have.
pub struct TypeRef {
    /// As a choice names it: `Quantity`.
    pub code: &'static str,
    /// The resource types that a reference may point at. Empty: any.
    pub targets: &'static [&'static str],
    of: u16,
}

/// Which codes an element may have.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// Whether others are wrong; otherwise they only have to be better (extensible).
    pub is_required: bool,
    /// The value set.
    pub value_set: &'static str,
    /// Its codes, where R4 lists them.
    pub codes: Option<&'static CodeSet>,
}

/// Codes.
pub struct CodeSet {
    /// Systems, each with its codes, sorted.
    systems: &'static [(&'static str, &'static [&'static str])],
}

/// A rule in FHIRPath.
#[derive(Debug)]
pub struct Invariant {
    /// Its name: `dom-2`.
    pub key: &'static str,
    /// Whether what breaks it is wrong; otherwise it is only poor.
    pub is_error: bool,
    /// What it asks for, in words.
    pub human: &'static str,
    /// What must be true.
    pub expression: &'static str,
}

/// By what resources of a type are found (search.html). Those that put several others together, those of numbers and quantities, and
/// those that R4 says in words alone are not among them.
#[derive(Debug)]
pub struct SearchParameter {
    /// Its name: `based-on`.
    pub name: &'static str,
    /// How its values are compared.
    pub kind: SearchKind,
    /// What it looks at, in FHIRPath; what it asks of references' targets stands in `targets`.
    pub expression: &'static str,
    /// The resource types that a reference may lead to. Empty: any.
    pub targets: &'static [&'static str],
    /// Its canonical URL.
    pub url: &'static str,
}

/// How the values of a search parameter are compared (search.html#ptypes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are named as the specification names them")]
pub enum SearchKind {
    Date,
    Number,
    Reference,
    String,
    Token,
    Uri,
}

/// The search parameters of a resource type, its own before those of every resource; each sorted by name.
pub fn search_parameters(of: &str) -> impl Iterator<Item = &'static SearchParameter> {
    let own = |of: &str| {
        let found = tables::SEARCH.binary_search_by(|(known, _)| (*known).cmp(of)).ok();
        found.and_then(|n| tables::SEARCH.get(n)).map(|(_, all)| *all).unwrap_or_default()
    };
    own(of).iter().chain(own("Resource"))
}

/// The type of this name: `Patient`, `HumanName`, `Bundle.entry`, `code`.
pub fn type_named(name: &str) -> Option<&'static Type> {
    tables::TYPES.binary_search_by(|of| of.name.cmp(name)).ok().and_then(|n| tables::TYPES.get(n))
}

/// The resource type of this name; none where nothing is only that (`DomainResource`).
pub fn resource_named(name: &str) -> Option<&'static Type> {
    type_named(name).filter(|of| of.kind == Kind::Resource && !of.is_abstract)
}

/// Every type, sorted by name.
pub fn types() -> &'static [Type] {
    &tables::TYPES
}

// === impl Type ===

impl Type {
    /// What it is based on.
    pub fn base(&self) -> Option<&'static Type> {
        self.base.and_then(|n| tables::TYPES.get(usize::from(n)))
    }

    /// Its place among [`types`], by which something may be kept for each.
    pub fn number(&self) -> usize {
        usize::from(self.number)
    }

    /// Whether it is this type or one that is based on it.
    pub fn is_a(&self, name: &str) -> bool {
        self.name == name || self.base().is_some_and(|base| base.is_a(name))
    }

    /// What JSON calls its elements.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|(key, _, _)| *key)
    }

    /// The element that JSON calls `key` here, its number among the elements, and the type that the key tells.
    pub fn child(&self, key: &str) -> Option<(usize, &'static Element, &'static TypeRef)> {
        let at = self.keys.binary_search_by(|(known, _, _)| (*known).cmp(key)).ok()?;
        let (_, element, of) = *self.keys.get(at)?;
        let number = usize::from(element);
        let element = self.elements.get(number)?;
        Some((number, element, element.types.get(usize::from(of))?))
    }
}

impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

// === impl TypeRef ===

impl TypeRef {
    /// The type.
    pub fn of(&self) -> &'static Type {
        // the tables name no type that they do not hold
        tables::TYPES.get(usize::from(self.of)).unwrap_or(&tables::TYPES[0])
    }
}

impl fmt::Debug for TypeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.of())
    }
}

// === impl SearchKind ===

impl SearchKind {
    /// As a SearchParameter and a CapabilityStatement have it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Number => "number",
            Self::Reference => "reference",
            Self::String => "string",
            Self::Token => "token",
            Self::Uri => "uri",
        }
    }
}

// === impl CodeSet ===

impl CodeSet {
    /// Whether it has this code, of whatever system: an element of type code tells none.
    pub fn has_code(&self, code: &str) -> bool {
        self.systems.iter().any(|(_, codes)| codes.binary_search(&code).is_ok())
    }

    /// Whether it has this code of this system.
    pub fn has(&self, system: &str, code: &str) -> bool {
        self.systems.iter().any(|(known, codes)| *known == system && codes.binary_search(&code).is_ok())
    }

    /// Its codes, system by system.
    pub fn codes(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.systems.iter().flat_map(|(system, codes)| codes.iter().map(|code| (*system, *code)))
    }
}

impl fmt::Debug for CodeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.codes().take(10)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_know_their_elements_and_what_they_are_based_on() {
        let patient = resource_named("Patient").unwrap();
        assert!(patient.is_a("DomainResource") && patient.is_a("Resource") && !patient.is_a("Element"));
        let (_, name, of) = patient.child("name").unwrap();
        assert_eq!((name.max, of.of().name), (Max::Many, "HumanName"));
        let (_, id, of) = patient.child("id").unwrap();
        assert_eq!((id.min, of.of().kind), (0, Kind::Primitive(Primitive::Id)));
        let (_, contact, of) = patient.child("contact").unwrap();
        assert_eq!((contact.name, of.of().name, of.of().is_a("BackboneElement")), ("contact", "Patient.contact", true));
        assert!(resource_named("DomainResource").is_none() && resource_named("HumanName").is_none());
        assert!(types().iter().enumerate().all(|(n, of)| of.number() == n));
        assert!(type_named("Patients").is_none() && patient.child("nam").is_none());
    }

    #[test]
    fn a_choice_is_named_by_its_type() {
        let observation = resource_named("Observation").unwrap();
        let (_, value, of) = observation.child("valueQuantity").unwrap();
        assert!(value.is_choice && value.name == "value");
        assert_eq!((of.code, of.of().name), ("Quantity", "Quantity"));
        assert!(observation.child("value").is_none() && observation.child("valueMoney").is_none());
        let range = type_named("Observation.referenceRange").unwrap();
        assert_eq!(range.child("low").unwrap().2.of().name, "SimpleQuantity");
        let component = type_named("Observation.component").unwrap();
        let same = component.child("referenceRange").unwrap().2.of();
        assert_eq!(same.name, "Observation.referenceRange", "by its content reference");
    }

    #[test]
    fn search_parameters_stand_with_their_types() {
        let of = |name: &str, code: &str| search_parameters(name).find(|p| p.name == code);
        let patient = of("ServiceRequest", "patient").unwrap();
        assert_eq!((patient.expression, patient.targets), ("ServiceRequest.subject", &["Patient"][..]));
        assert_eq!(patient.url, "http://hl7.org/fhir/SearchParameter/clinical-patient");
        let focus = of("Task", "focus").unwrap();
        assert!(focus.targets.is_empty() && focus.kind == SearchKind::Reference, "it may lead anywhere");
        assert_eq!(of("Provenance", "when").unwrap().expression, "(Provenance.occurred.ofType(dateTime))");
        assert_eq!(of("Task", "_lastUpdated").unwrap().expression, "Resource.meta.lastUpdated");
        assert!(of("Task", "_text").is_none() && of("Observation", "value-quantity").is_none());
        for name in types().iter().filter(|t| t.kind == Kind::Resource).map(|t| t.name) {
            for parameter in search_parameters(name) {
                let read = crate::fhirpath::parse(parameter.expression);
                assert!(read.is_ok(), "{name} {}: {read:?}", parameter.name);
            }
        }
        let patient = resource_named("Patient").unwrap();
        assert!(patient.child("name").unwrap().1.is_summary && !patient.child("contact").unwrap().1.is_summary);
    }

    #[test]
    fn codes_and_rules_stand_with_their_elements() {
        let request = resource_named("ServiceRequest").unwrap();
        let binding = request.child("status").unwrap().1.binding.unwrap();
        let codes = binding.codes.unwrap();
        assert!(binding.is_required && codes.has_code("active") && !codes.has_code("Active"));
        assert!(codes.has("http://hl7.org/fhir/request-status", "draft") && !codes.has("urn:other", "draft"));
        assert_eq!(request.child("subject").unwrap().2.targets, ["Patient", "Group", "Location", "Device"]);
        assert!(request.invariants.iter().any(|rule| rule.key == "prr-1"));
        let domain = type_named("DomainResource").unwrap();
        assert!(domain.invariants.iter().any(|rule| rule.key == "dom-2" && rule.is_error));
        assert!(!request.invariants.iter().any(|rule| rule.key == "dom-2"), "those of its base stand there");
    }
}

//! The tables as Rust.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
};

use crate::{
    codes::Set,
    npm::Of,
    types::{Binding, Element, Invariant, Max, Type, capital},
};

/// Source text for `src/definitions.rs`, which says what the names mean.
pub fn tables(types: &BTreeMap<String, Type>, of: &Of) -> String {
    let mut sets = Sets::default();
    let number: HashMap<&str, usize> = types.keys().enumerate().map(|(n, name)| (name.as_str(), n)).collect();
    let mut out = String::new();
    let _ = writeln!(out, "/// Where the definitions come from.\npub const PACKAGE: Package = {};", package(of));
    let _ = writeln!(out, "pub(super) static TYPES: [Type; {}] = [", types.len());
    for (place, of) in types.values().enumerate() {
        let base = match number.get(of.base.as_str()) {
            Some(n) => format!("Some({n})"),
            None => "None".to_owned(),
        };
        let _ = writeln!(
            out,
            "Type {{ number: {place}, name: {:?}, kind: Kind::{}, base: {base}, is_abstract: {}, invariants: {}, elements: &[",
            of.name,
            of.kind,
            of.is_abstract,
            invariants(&of.invariants)
        );
        for element in &of.elements {
            write_element(&mut out, element, &number, &mut sets);
        }
        let _ = writeln!(out, "], keys: &{:?} }},", keys(&of.elements));
    }
    out.push_str("];\n");
    out.push_str(&sets.out);
    out
}

/// What is told of a package, as `crate::definitions::Package`.
pub fn package(of: &Of) -> String {
    format!(
        "Package {{ name: {:?}, version: {:?}, licence: {:?}, integrity: {:?} }}",
        of.name, of.version, of.licence, of.integrity
    )
}

fn write_element(out: &mut String, element: &Element, number: &HashMap<&str, usize>, sets: &mut Sets) {
    let max = match element.max {
        Max::None => "None",
        Max::One => "One",
        Max::Many => "Many",
    };
    let binding = match &element.binding {
        Some(binding) => format!("Some({})", sets.binding(binding)),
        None => "None".to_owned(),
    };
    let _ = write!(
        out,
        "  Element {{ name: {:?}, min: {}, max: Max::{max}, is_choice: {}, is_attribute: {}, is_summary: {}, invariants: {}, binding: {binding}, types: &[",
        element.name,
        element.min,
        element.is_choice,
        element.is_attribute,
        element.is_summary,
        invariants(&element.invariants)
    );
    for of in &element.types {
        let n = number.get(of.of.as_str()).copied().unwrap_or_default();
        let _ = write!(out, "TypeRef {{ code: {:?}, of: {n}, targets: &{:?} }},", of.code, of.targets);
    }
    out.push_str("] },\n");
}

fn invariants(all: &[Invariant]) -> String {
    let mut out = "&[".to_owned();
    for one in all {
        let _ = write!(
            out,
            "Invariant {{ key: {:?}, is_error: {}, human: {:?}, expression: {:?} }},",
            one.key, one.is_error, one.human, one.expression
        );
    }
    out.push(']');
    out
}

/// What an element is called in JSON, sorted: its key, its number, the number of its type.
fn keys(elements: &[Element]) -> Vec<(String, usize, usize)> {
    let mut keys = Vec::new();
    for (n, element) in elements.iter().enumerate() {
        if !element.is_choice {
            keys.push((element.name.clone(), n, 0));
            continue;
        }
        for (t, of) in element.types.iter().enumerate() {
            keys.push((element.name.clone() + &capital(&of.code), n, t));
        }
    }
    keys.sort();
    keys
}

/// Value sets, each once.
#[derive(Default)]
struct Sets {
    names: HashMap<String, String>,
    out: String,
}

impl Sets {
    fn binding(&mut self, binding: &Binding) -> String {
        let codes = match &binding.codes {
            Some(codes) => format!("Some(&{})", self.name(&binding.url, codes)),
            None => "None".to_owned(),
        };
        format!("Binding {{ is_required: {}, value_set: {:?}, codes: {codes} }}", binding.required, binding.url)
    }

    fn name(&mut self, url: &str, set: &Set) -> String {
        if let Some(name) = self.names.get(url) {
            return name.clone();
        }
        let name = format!("SET_{}", self.names.len());
        let systems: Vec<(&String, Vec<&String>)> =
            set.iter().filter(|(_, codes)| !codes.is_empty()).map(|(s, codes)| (s, codes.iter().collect())).collect();
        let _ = write!(self.out, "static {name}: CodeSet = CodeSet {{ systems: &[");
        for (system, codes) in systems {
            let _ = write!(self.out, "({system:?}, &{codes:?}),");
        }
        self.out.push_str("] };\n");
        self.names.insert(url.to_owned(), name.clone());
        name
    }
}

//! Types, from the snapshots of their StructureDefinitions.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;

use crate::{
    codes::{Codes, Set, list, text},
    npm,
};

/// A type of R4. An element that has elements of its own is a type too, under its path: `Bundle.entry`.
pub struct Type {
    pub name: String,
    /// As the table has it.
    pub kind: String,
    pub base: String,
    pub is_abstract: bool,
    pub elements: Vec<Element>,
    pub invariants: Vec<Invariant>,
}

pub struct Element {
    /// Without `[x]`.
    pub name: String,
    pub min: u64,
    pub max: Max,
    pub is_choice: bool,
    pub is_attribute: bool,
    pub is_summary: bool,
    pub types: Vec<TypeRef>,
    pub binding: Option<Binding>,
    pub invariants: Vec<Invariant>,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Max {
    None,
    One,
    Many,
}

pub struct TypeRef {
    /// As a choice is named by it: `Quantity`.
    pub code: String,
    /// The type that it is: `SimpleQuantity`.
    pub of: String,
    /// What a reference may point at; empty: at anything.
    pub targets: Vec<String>,
}

pub struct Binding {
    pub required: bool,
    pub url: String,
    pub codes: Option<Set>,
}

#[derive(Clone)]
pub struct Invariant {
    pub key: String,
    pub is_error: bool,
    pub human: String,
    pub expression: String,
}

/// All types by their names.
pub fn read(package: &Path, codes: &Codes) -> Result<BTreeMap<String, Type>, String> {
    let mut types = BTreeMap::new();
    for file in ["profiles-types.json", "profiles-resources.json"] {
        let bundle = npm::read(&package.join("dist/fhir/r4").join(file))?;
        let bundle: Value = serde_json::from_slice(&bundle).map_err(|e| format!("{file}: {e}"))?;
        for definition in list(&bundle, "entry").filter_map(|entry| entry.get("resource")) {
            // the package holds a type of a later version as well
            let is_r4 = matches!(text(definition, "fhirVersion"), "" | "4.0.1" | "4.0.0");
            if text(definition, "resourceType") == "StructureDefinition"
                && text(definition, "kind") != "logical"
                && is_r4
            {
                of_definition(definition, codes, &mut types)?;
            }
        }
    }
    let known = |name: &str| types.contains_key(name);
    for (name, of) in &types {
        let unknown = of.elements.iter().flat_map(|e| &e.types).find(|t| !known(&t.of));
        if let Some(unknown) = unknown {
            return Err(format!("{name} has an element of the unknown type {}", unknown.of));
        }
        if !of.base.is_empty() && !known(&of.base) {
            return Err(format!("{name} is based on the unknown type {}", of.base));
        }
    }
    Ok(types)
}

fn of_definition(definition: &Value, codes: &Codes, types: &mut BTreeMap<String, Type>) -> Result<(), String> {
    let name = text(definition, "name");
    let url = text(definition, "url");
    let snapshot = definition.get("snapshot").ok_or_else(|| format!("{name} has no snapshot"))?;
    let elements: Vec<&Value> = list(snapshot, "element").collect();
    let kind = match text(definition, "kind") {
        "primitive-type" => format!("Primitive(Primitive::{})", capital(name)),
        "complex-type" => "Complex".to_owned(),
        "resource" => "Resource".to_owned(),
        other => return Err(format!("{name} is of the unknown kind {other}")),
    };
    // the root of a profile of a type, such as SimpleQuantity, has the type's path
    let root = elements.first().map(|root| text(root, "path")).unwrap_or_default();
    for element in &elements {
        let path = text(element, "path");
        let is_root = path == root;
        if !is_root && !has_children(path, &elements) {
            continue;
        }
        let below = |e: &&&Value| {
            text(e, "path").strip_prefix(path).and_then(|rest| rest.strip_prefix('.')).is_some_and(|n| !n.contains('.'))
        };
        let mut children = Vec::new();
        for child in elements.iter().filter(below) {
            // the text of a primitive is no element in JSON or XML
            if !kind.starts_with("Primitive") || !text(child, "path").ends_with(".value") {
                children.push(of_element(child, &kind, root, url, &elements, codes)?);
            }
        }
        let base = if is_root {
            text(definition, "baseDefinition").rsplit('/').next().unwrap_or_default().to_owned()
        } else {
            list(element, "type").next().map(|t| text(t, "code").to_owned()).unwrap_or_default()
        };
        let of = Type {
            name: if is_root { name.to_owned() } else { path.to_owned() },
            kind: if is_root { kind.clone() } else { "Backbone".to_owned() },
            base,
            is_abstract: is_root && definition.get("abstract") == Some(&Value::Bool(true)),
            elements: children,
            // those of an inner element stand with it
            invariants: if is_root { invariants(element, url) } else { Vec::new() },
        };
        types.insert(of.name.clone(), of);
    }
    Ok(())
}

/// With a capital first letter.
pub fn capital(name: &str) -> String {
    let mut letters = name.chars();
    let first: String = letters.next().map(|c| c.to_ascii_uppercase()).into_iter().collect();
    first + letters.as_str()
}

fn has_children(path: &str, elements: &[&Value]) -> bool {
    elements.iter().any(|e| text(e, "path").strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

fn of_element(
    element: &Value,
    kind: &str,
    root: &str,
    url: &str,
    all: &[&Value],
    codes: &Codes,
) -> Result<Element, String> {
    let path = text(element, "path");
    let last = path.rsplit('.').next().unwrap_or_default();
    let name = last.trim_end_matches("[x]");
    let max = match text(element, "max") {
        "0" => Max::None,
        "1" => Max::One,
        "*" => Max::Many,
        other => return Err(format!("{path} may stand {other} times, and only 0, 1 and * are known")),
    };
    let mut types = Vec::new();
    if let Some(same_as) = element.get("contentReference").and_then(Value::as_str) {
        let of = same_as.trim_start_matches('#').to_owned();
        types.push(TypeRef { code: of.clone(), of, targets: Vec::new() });
    }
    for one in list(element, "type") {
        let code = text(one, "code");
        let of = if has_children(path, all) {
            path.to_owned()
        } else if code.starts_with("http://hl7.org/fhirpath/") {
            // R4 says string of a resource's id, and means an id (resource.html#id)
            let said = list(one, "extension").map(|e| text(e, "valueUrl")).next().unwrap_or("string");
            if name == "id" && kind == "Resource" && path == format!("{root}.id") { "id".into() } else { said.into() }
        } else {
            let profile = list(one, "profile").next().and_then(Value::as_str).and_then(|url| url.rsplit('/').next());
            profile.filter(|p| p.ends_with("Quantity")).unwrap_or(code).to_owned()
        };
        let code = if code.starts_with("http:") { of.clone() } else { code.to_owned() };
        let targets = list(one, "targetProfile").filter_map(Value::as_str);
        let targets: Vec<String> = targets.filter_map(|url| url.rsplit('/').next()).map(str::to_owned).collect();
        let anything = targets.iter().any(|target| target == "Resource");
        types.push(TypeRef { code, of, targets: if anything { Vec::new() } else { targets } });
    }
    let binding = element.get("binding").and_then(|binding| {
        let required = match text(binding, "strength") {
            "required" => true,
            "extensible" => false,
            _ => return None,
        };
        let url = text(binding, "valueSet").split('|').next().unwrap_or_default().to_owned();
        let codes = codes.of(&url, required);
        Some(Binding { required, url, codes })
    });
    Ok(Element {
        name: name.to_owned(),
        min: element.get("min").and_then(Value::as_u64).unwrap_or(0),
        max,
        is_choice: last.ends_with("[x]"),
        is_attribute: list(element, "representation").any(|r| r == "xmlAttr"),
        is_summary: element.get("isSummary") == Some(&Value::Bool(true)),
        types,
        binding,
        invariants: invariants(element, url),
    })
}

/// Those that an element has of its own: what it has from its type stands with the type.
fn invariants(element: &Value, url: &str) -> Vec<Invariant> {
    let own = |c: &&Value| c.get("source").is_none_or(|source| source == url);
    let of = |c: &Value| Invariant {
        key: text(c, "key").to_owned(),
        is_error: text(c, "severity") == "error",
        human: text(c, "human").to_owned(),
        expression: text(c, "expression").to_owned(),
    };
    list(element, "constraint").filter(own).map(of).collect()
}

//! Search parameters, of every type those that are its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::Path,
};

use serde_json::Value;

use crate::{
    codes::{list, text},
    npm,
    types::Type,
};

pub struct Parameter {
    pub kind: &'static str,
    pub expression: String,
    pub targets: Vec<String>,
    pub url: String,
}

/// By type and name.
pub type Parameters = BTreeMap<String, BTreeMap<String, Parameter>>;

/// What asks of a reference where it leads: said beside the expression, so that nothing is looked up for it.
const LEADS_TO: &str = ".where(resolve() is ";

pub fn read(package: &Path, types: &BTreeMap<String, Type>) -> Result<Parameters, String> {
    let file = "search-parameters.json";
    let bundle = npm::read(&package.join("dist/fhir/r4").join(file))?;
    let bundle: Value = serde_json::from_slice(&bundle).map_err(|e| format!("{file}: {e}"))?;
    let resources = types.values().filter(|of| of.kind == "Resource" && !of.is_abstract).count();
    let mut found = Parameters::new();
    for definition in list(&bundle, "entry").filter_map(|entry| entry.get("resource")) {
        let kind = match text(definition, "type") {
            "date" => "Date",
            "reference" => "Reference",
            "string" => "String",
            "token" => "Token",
            "uri" => "Uri",
            _ => continue,
        };
        let named: Vec<String> = list(definition, "target").filter_map(Value::as_str).map(str::to_owned).collect();
        for base in list(definition, "base").filter_map(Value::as_str) {
            let Some((expression, leads_to)) = expression_of(text(definition, "expression"), base) else { continue };
            let targets = if !leads_to.is_empty() {
                leads_to.into_iter().collect()
            } else if named.len() + 5 > resources {
                // R4 lists all types where it means any
                Vec::new()
            } else {
                named.clone()
            };
            let parameter = Parameter { kind, expression, targets, url: text(definition, "url").to_owned() };
            found.entry(base.to_owned()).or_default().insert(text(definition, "code").to_owned(), parameter);
        }
    }
    Ok(found)
}

/// The parts of an expression that are about this type, and the types that its references must lead to.
fn expression_of(expression: &str, base: &str) -> Option<(String, BTreeSet<String>)> {
    let mut targets = BTreeSet::new();
    let mut parts = Vec::new();
    for part in expression.split('|').map(str::trim) {
        let is_own = part.trim_start_matches('(').strip_prefix(base).is_some_and(|rest| rest.starts_with('.'));
        if !is_own {
            continue;
        }
        parts.push(match part.split_once(LEADS_TO) {
            Some((before, after)) => {
                let (target, rest) = after.split_once(')')?;
                targets.insert(target.to_owned());
                format!("{before}{rest}")
            }
            None => part.to_owned(),
        });
    }
    (!parts.is_empty()).then(|| (parts.join(" | "), targets))
}

/// Source text for `src/definitions.rs`.
pub fn table(parameters: &Parameters) -> String {
    let mut out = format!("pub(super) static SEARCH: [(&str, &[SearchParameter]); {}] = [\n", parameters.len());
    for (of, all) in parameters {
        let _ = writeln!(out, "({of:?}, &[");
        for (name, one) in all {
            let _ = writeln!(
                out,
                "  SearchParameter {{ name: {name:?}, kind: SearchKind::{}, expression: {:?}, targets: &{:?}, url: {:?} }},",
                one.kind, one.expression, one.targets, one.url
            );
        }
        out.push_str("]),\n");
    }
    out.push_str("];\n");
    out
}

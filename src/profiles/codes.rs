//! Whether a code is one of those that R4 allows in its place (terminologies.html#strength).

use serde_json::{Map, Value};

use super::report::Report;
use crate::{
    definitions::{Binding, CodeSet},
    fhir::{outcome::IssueCode, path::Place},
};

/// So many codes are named to whoever used another one.
const NAMED_MAX: usize = 20;

/// A code, or a text that is one.
pub(super) fn of_text(report: &mut Report, binding: &Binding, code: &str, place: Place<'_>) {
    let Some(codes) = binding.codes else { return };
    if !codes.has_code(code) {
        said(report, binding, codes, place);
    }
}

/// A Coding, a CodeableConcept, or another type that holds codes.
pub(super) fn of_object(
    report: &mut Report,
    binding: &Binding,
    of: &str,
    object: &Map<String, Value>,
    place: Place<'_>,
) {
    let Some(codes) = binding.codes else { return };
    match of {
        "Coding" if !has(codes, object).unwrap_or(true) => said(report, binding, codes, place),
        "CodeableConcept" => {
            let codings = object.get("coding").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let known: Vec<bool> = codings.iter().filter_map(Value::as_object).filter_map(|c| has(codes, c)).collect();
            if !known.is_empty() && !known.contains(&true) || known.is_empty() && binding.is_required {
                said(report, binding, codes, place);
            }
        }
        _ => {}
    }
}

/// Whether a coding is one of these; none where it has no code.
fn has(codes: &CodeSet, coding: &Map<String, Value>) -> Option<bool> {
    let code = coding.get("code")?.as_str()?;
    Some(match coding.get("system").and_then(Value::as_str) {
        Some(system) => codes.has(system, code),
        None => false,
    })
}

fn said(report: &mut Report, binding: &Binding, codes: &CodeSet, place: Place<'_>) {
    let mut names: Vec<&str> = codes.codes().map(|(_, code)| code).take(NAMED_MAX + 1).collect();
    let more = if names.len() > NAMED_MAX { ", …" } else { "" };
    names.truncate(NAMED_MAX);
    let allowed = format!("{}{more} of {}", names.join(", "), binding.value_set);
    if binding.is_required {
        report.fault(IssueCode::CodeInvalid, place, format!("this is not one of {allowed}"));
    } else {
        report.warning(
            IssueCode::CodeInvalid,
            place,
            format!("none of {allowed}; another only where none of these fits"),
        );
    }
}

//! The FHIR interface over real HTTP: what comes in, what is refused and how, who sees what, and what goes out unchanged.

use onward::demo::caller::Answered;
use serde_json::Value;

use crate::support::{fixtures, hub};

mod access;
mod again;
mod answers;
mod bad;
mod capability;
mod conversation;
mod duplicates;
mod fidelity;
mod keepers;
mod limits;
mod openapi;
mod prefer;
mod protocol;
mod record;
mod reload;
mod routed;
mod search;
mod subscription;
mod understood;
mod validate;
mod worklist;
mod writes;

/// The issues of an OperationOutcome that must be one, in FHIR JSON, with this status.
#[track_caller]
pub fn issues(answer: &Answered, status: u16) -> Vec<Value> {
    let body = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status.as_u16(), status, "{body}");
    assert_eq!(answer.header("content-type"), Some("application/fhir+json; charset=utf-8"), "{body}");
    let outcome = answer.json();
    assert_eq!(outcome["resourceType"], "OperationOutcome", "{body}");
    let issues = outcome["issue"].as_array().cloned().unwrap_or_default();
    assert!(!issues.is_empty(), "an outcome without issue: {body}");
    for issue in &issues {
        assert!(issue["diagnostics"].as_str().is_some_and(|d| !d.is_empty()), "an issue without words: {body}");
        assert!(issue["expression"][0].as_str().is_some_and(|e| !e.is_empty()), "an issue without a place: {body}");
    }
    issues
}

/// Refused with this status, and one of the issues has this code and expression.
#[track_caller]
pub fn refused(answer: &Answered, status: u16, code: &str, expression: &str) -> String {
    let issues = issues(answer, status);
    let found = issues.iter().find(|i| i["code"] == code && i["expression"][0] == expression);
    let found = found.unwrap_or_else(|| panic!("no {code} at {expression} in {issues:?}"));
    found["diagnostics"].as_str().unwrap_or_default().to_owned()
}

/// The resources of a Bundle.
pub fn resources(bundle: &Value) -> Vec<&Value> {
    onward::fhir::tree::items(bundle, "entry").iter().map(|entry| &entry["resource"]).collect()
}

/// The ids of the resources of a Bundle.
pub fn ids(bundle: &Value) -> Vec<String> {
    resources(bundle).iter().map(|r| r["id"].as_str().unwrap().to_owned()).collect()
}

/// `?name=value`, encoded.
pub fn query(pairs: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("{name}={}", onward::fhir::reference::encode(value));
    format!("?{}", pairs.iter().map(pair).collect::<Vec<_>>().join("&"))
}

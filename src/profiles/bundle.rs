//! What holds between the elements of a Bundle: R4's rules, asked by hand because every referral meets them.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::report::Report;
use crate::fhir::{
    outcome::IssueCode,
    path::Place,
    reference::{self, Target},
};

/// `bdl-1` to `bdl-12`, and what bundle.html says of fullUrl.
pub(super) fn check(report: &mut Report, bundle: &Map<String, Value>, place: Place<'_>) {
    let kind = bundle.get("type").and_then(Value::as_str).unwrap_or_default();
    let entries = bundle.get("entry").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let asks = matches!(kind, "batch" | "transaction" | "history");
    // what is to be created has no id yet
    let is_request = matches!(kind, "batch" | "transaction");
    let answers = matches!(kind, "batch-response" | "transaction-response" | "history");
    if bundle.contains_key("total") && !matches!(kind, "searchset" | "history") {
        report.fault(IssueCode::Invariant, place.child("total"), "only a searchset or a history has a total (bdl-1)");
    }
    if kind == "document" {
        let identifier = bundle.get("identifier");
        let whole = identifier.is_some_and(|i| i.get("system").is_some() && i.get("value").is_some());
        if !whole {
            report.fault(IssueCode::Invariant, place, "a document has an identifier with a system and a value (bdl-9)");
        }
        if !bundle.contains_key("timestamp") {
            report.fault(IssueCode::Invariant, place, "a document has a timestamp (bdl-10)");
        }
    }
    let first = entries.first().and_then(|entry| entry.get("resource")).and_then(|first| first.get("resourceType"));
    for (of, begins, rule) in [("document", "Composition", "bdl-11"), ("message", "MessageHeader", "bdl-12")] {
        if kind == of && first.is_none_or(|first| first != begins) {
            let said = format!("a {of} begins with a {begins} ({rule})");
            report.fault(IssueCode::Invariant, place.child("entry").item(0), said);
        }
    }
    let mut urls = HashSet::new();
    let list = place.child("entry");
    for (index, entry) in entries.iter().enumerate() {
        let at = list.item(index);
        let Some(entry) = entry.as_object() else { continue };
        let has = |name: &str| entry.contains_key(name);
        let mut rule = |broken: bool, name: &'static str, said: &str| {
            if broken {
                let place = if name.is_empty() { at } else { at.child(name) };
                report.fault(IssueCode::Invariant, place, said);
            }
        };
        rule(has("search") && kind != "searchset", "search", "only a searchset says how an entry was found (bdl-2)");
        rule(
            asks && !has("request"),
            "request",
            "each entry of a batch, a transaction or a history has a request (bdl-3)",
        );
        rule(!asks && has("request"), "request", "only a batch, a transaction or a history has requests (bdl-3)");
        rule(answers && !has("response"), "response", "each entry of a response or a history has a response (bdl-4)");
        rule(!answers && has("response"), "response", "only a response or a history has responses (bdl-4)");
        let is_outcome =
            entry.get("resource").and_then(|r| r.get("resourceType")).is_some_and(|kind| kind == "OperationOutcome");
        let found_as = entry.get("search").and_then(|search| search.get("mode"));
        rule(
            found_as.is_some_and(|mode| mode == "outcome") && !is_outcome,
            "resource",
            "what was found as an outcome is an OperationOutcome (search-entry-mode)",
        );
        let says = has("resource") || has("request") || has("response");
        rule(!says, "", "an entry has a resource, a request or a response (bdl-5)");
        let Some(url) = entry.get("fullUrl").and_then(Value::as_str) else {
            let must =
                !matches!(kind, "batch" | "transaction" | "batch-response" | "transaction-response" | "searchset");
            rule(must && has("resource") && !has("_fullUrl"), "fullUrl", "an entry has a fullUrl here (bundle.html)");
            continue;
        };
        let resource = entry.get("resource");
        let version = resource.and_then(|r| r.pointer("/meta/versionId")).and_then(Value::as_str);
        rule(
            !urls.insert((url, version)) && kind != "history",
            "fullUrl",
            "another entry has the same fullUrl (bdl-7)",
        );
        rule(url.contains("/_history/"), "fullUrl", "a fullUrl names no version (bdl-8)");
        rule(!url.contains(':'), "fullUrl", "a fullUrl is absolute");
        if let (Target::Absolute { kind, id, version: None, .. }, Some(resource)) = (reference::parse(url), resource) {
            let is = |name: &str| resource.get(name).and_then(Value::as_str);
            let said = "a fullUrl on a server ends with the type and the id of its resource";
            if is("resourceType").is_some_and(|is| is != kind) {
                report.fault(IssueCode::Value, at.child("fullUrl"), said);
            } else if is("id").is_some_and(|is| is != id) {
                // it may not be the URL of a FHIR server
                report.warning(IssueCode::Value, at.child("fullUrl"), said);
            } else if is("id").is_none() && !is_request {
                report.fault(IssueCode::Required, at, said);
            }
        }
    }
}

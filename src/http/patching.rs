//! Patches, in the formats that are taken: JSON Patch, and FHIRPath Patch in FHIR's own (R4 http, 3.1.0.6).

use axum::http::HeaderName;
use jiff::Timestamp;
use serde_json::Value;

use super::call::{Call, is_json_patch};
use crate::{
    fhir::Issue,
    patch::{fhirpath_patch, json_patch},
};

/// Says which formats are taken (RFC 5789, 3.1).
pub(super) const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");
/// Those formats.
pub(super) const FORMATS: &[&str] = &["application/fhir+json", "application/fhir+xml", "application/json-patch+json"];
/// The same, as [`ACCEPT_PATCH`] has them.
pub(super) const TOLD: &str = "application/fhir+json, application/fhir+xml, application/json-patch+json";

/// A resource as the patch makes it. An issue with code `structure` means that the patch is none.
pub(super) fn patched(current: &Value, call: &Call, now: Timestamp) -> Result<Value, Issue> {
    let made = if is_json_patch(&call.content_type) {
        json_patch(current, &call.body)
    } else {
        fhirpath_patch(current, &call.body, now)
    };
    made.map(without_empty)
}

/// A patch that takes the last item of a list leaves the empty list, which FHIR does not have.
fn without_empty(mut resource: Value) -> Value {
    if let Some(object) = resource.as_object_mut() {
        object.retain(|_, value| !matches!(value, Value::Array(items) if items.is_empty()));
    }
    resource
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_say_the_same() {
        assert_eq!(FORMATS.join(", "), TOLD);
    }
}

//! Bundles that are read.

use serde_json::{Value, json};

use super::tree;

/// A collection of these, each with its URL at `base_url`.
pub fn collection(resources: Vec<Value>, base_url: &str) -> Value {
    let url = |resource: &Value| {
        let id = resource.get("id")?.as_str()?;
        Some(format!("{base_url}/fhir/{}/{id}", tree::resource_type(resource)?))
    };
    let entries: Vec<_> =
        resources.into_iter().map(|resource| json!({"fullUrl": url(&resource), "resource": resource})).collect();
    json!({"resourceType": "Bundle", "type": "collection", "entry": entries})
}

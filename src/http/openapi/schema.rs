//! The shapes of what is sent and given: enough to tell one from another. What FHIR itself says of a resource is not said again here;
//! `$validate` tells it better.

use serde_json::{Map, Value, json};

use super::ask;
use crate::http::table::{Interaction, SERVED};

/// All of them by their names.
pub(super) fn all() -> Value {
    let mut all: Map<String, Value> = common();
    for served in SERVED {
        let properties = json!({"resourceType": {"type": "string", "enum": [served.kind]},
                                "id": {"type": "string"}, "meta": {"$ref": "#/components/schemas/Meta"}});
        let told = json!({"type": "object", "required": ["resourceType"], "properties": properties,
                          "externalDocs": {"url": format!("http://hl7.org/fhir/R4/{}.html", served.kind.to_lowercase())}});
        all.insert(served.kind.to_owned(), told);
        if served.interactions.contains(&Interaction::SearchType) {
            all.insert(format!("{}Search", served.kind), ask::form(served.kind));
        }
    }
    all.into()
}

fn common() -> Map<String, Value> {
    let text = json!({"type": "string"});
    let texts = json!({"type": "array", "items": text});
    let meta = json!({"$ref": "#/components/schemas/Meta"});
    let resource = json!({"$ref": "#/components/schemas/Resource"});
    let bundle_of = |kinds: &[&str]| {
        json!({"allOf": [{"$ref": "#/components/schemas/Bundle"},
                         {"type": "object", "properties": {"type": {"type": "string", "enum": kinds}}}]})
    };
    let bundle = |kind: &str| bundle_of(&[kind]);
    let of = |kind: &str| json!({"type": "string", "enum": [kind]});
    let shapes = [
        ("Xml", json!({"type": "string", "description": "The resource as FHIR writes it in XML (R4 xml.html)."})),
        ("Meta", json!({"type": "object", "properties": {"versionId": text, "lastUpdated": text, "profile": texts}})),
        (
            "Resource",
            json!({"type": "object", "required": ["resourceType"], "description": "Any resource of R4.",
                            "properties": {"resourceType": text, "id": text, "meta": meta}}),
        ),
        (
            "Proposals",
            json!({"type": "object", "required": ["proposals"], "properties": {
            "proposals": {"type": "array", "items": {"$ref": "#/components/schemas/Proposal"}},
            "next": {"type": "string", "description": "The id after which the next page goes on (after)."}}}),
        ),
        (
            "Proposal",
            json!({"type": "object", "required": ["id", "status", "provider", "proposed", "entry", "over"], "properties": {
            "id": text, "status": {"type": "string", "enum": ask::proposal_statuses()}, "provider": text, "proposed": text,
            "entry": {"type": "string", "description": "[type]/[id] of the entry that it is about, or that it would become."},
            "over": {"type": "integer", "description": "The version that it was made on; 0 where the entry is new."},
            "is-stale": {"type": "boolean", "description": "Whether the entry was changed since, so that it cannot be approved."},
            "tells-story": {"type": "boolean", "description": "Whether approving it needs story-checked."},
            "decided": {"type": "object"}, "location": text, "resource": resource,
            "changes": {"type": "array", "items": {"type": "object"},
                        "description": "What would change, as JSON Patch says it, with what stood there (was)."}}}),
        ),
        (
            "Reason",
            json!({"type": "object", "required": ["reason"], "properties": {"reason": {"type": "string", "minLength": 1}}}),
        ),
        (
            "OperationOutcome",
            json!({"type": "object", "required": ["resourceType", "issue"], "properties": {
            "resourceType": of("OperationOutcome"),
            "issue": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Issue"}}}}),
        ),
        (
            "Issue",
            json!({"type": "object", "required": ["severity", "code", "diagnostics"], "properties": {
            "severity": {"type": "string", "enum": ["fatal", "error", "warning", "information"]},
            "code": text,
            "diagnostics": {"type": "string", "description": "In words, without anything of a person."},
            "expression": {"type": "array", "items": {"type": "string"}, "description": "Where, as FHIRPath; http.NAME: a header or parameter."}}}),
        ),
        (
            "Bundle",
            json!({"type": "object", "required": ["resourceType", "type"], "properties": {
            "resourceType": of("Bundle"),
            "type": {"type": "string", "enum": ["document", "message", "transaction", "transaction-response", "batch", "batch-response",
                                                "history", "searchset", "collection"]},
            "total": {"type": "integer", "minimum": 0},
            "link": {"type": "array", "items": {"type": "object", "required": ["relation", "url"],
                                                "properties": {"relation": text, "url": text}}},
            "entry": {"type": "array", "items": {"$ref": "#/components/schemas/Entry"}}}}),
        ),
        (
            "Entry",
            json!({"type": "object", "properties": {
            "fullUrl": text,
            "resource": resource,
            "search": {"type": "object", "properties": {"mode": {"type": "string", "enum": ["match", "include", "outcome"]}}},
            "request": {"type": "object", "required": ["method", "url"], "properties": {"method": text, "url": text}},
            "response": {"type": "object", "required": ["status"], "properties": {
                "status": text, "location": text, "etag": text, "lastModified": text, "outcome": resource}}}}),
        ),
        ("SearchSet", bundle("searchset")),
        ("History", bundle("history")),
        ("Collection", bundle("collection")),
        ("BundleResponse", bundle_of(&["transaction-response", "batch-response"])),
        (
            "CapabilityStatement",
            json!({"type": "object",
            "required": ["resourceType", "status", "date", "kind", "fhirVersion", "format", "rest"], "properties": {
                "resourceType": of("CapabilityStatement"), "status": text, "date": text, "kind": text, "fhirVersion": text,
                "format": texts, "patchFormat": texts, "rest": {"type": "array", "items": {"type": "object"}}}}),
        ),
        (
            "Parameters",
            json!({"type": "object", "required": ["resourceType"], "description": "A FHIRPath Patch (R4 fhirpatch.html).", "properties": {
                "resourceType": of("Parameters"), "parameter": {"type": "array", "items": {"type": "object"}}}}),
        ),
        (
            "JsonPatch",
            json!({"type": "array", "items": {"type": "object", "required": ["op", "path"], "properties": {
            "op": {"type": "string", "enum": ["add", "remove", "replace", "move", "copy", "test"]},
            "path": text, "from": text, "value": {}}}, "externalDocs": {"url": "https://www.rfc-editor.org/rfc/rfc6902"}}),
        ),
        ("Live", json!({"type": "object", "required": ["status"], "properties": {"status": of("live")}})),
        (
            "Health",
            json!({"type": "object", "required": ["status"], "properties": {
            "status": text, "roles": texts, "parts": {"type": "object", "additionalProperties": {"type": "object"}},
            "endpoints": {"type": "array", "items": {"type": "object"}, "description": "Those that are not as always."}}}),
        ),
    ];
    shapes.map(|(name, shape)| (name.to_owned(), shape)).into_iter().collect()
}

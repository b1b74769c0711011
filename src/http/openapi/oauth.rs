//! How a client gets an access token, as `/openapi.json` tells it.

use serde_json::{Map, Value, json};

use super::answer::plain;
use crate::http::oauth::{INTROSPECT_PATH, REVOKE_PATH, TOKEN_PATH, WELL_KNOWN};

const FORM: &str = "application/x-www-form-urlencoded";

/// Its paths.
pub(super) fn paths() -> Map<String, Value> {
    let token = ("token", "The access token that is meant.");
    let grant = ("grant_type", "client_credentials");
    let scope = ("scope", "What it is wanted for: SMART's scopes, with spaces between them.");
    let given = json!({"type": "object", "required": ["access_token", "token_type", "expires_in", "scope"], "properties": {
        "access_token": {"type": "string"}, "token_type": {"type": "string"}, "expires_in": {"type": "integer"},
        "scope": {"type": "string"}}});
    let told = json!({"type": "object", "required": ["active"], "properties": {"active": {"type": "boolean"}}});
    let mut paths = Map::new();
    for (path, id, summary, asked, done, schema) in [
        (TOKEN_PATH, "token", "An access token for a signed assertion", vec![grant, scope], "The token.", &given),
        (
            REVOKE_PATH,
            "revokeToken",
            "An access token of one's own is taken back",
            vec![token],
            "It is worth nothing.",
            &json!({}),
        ),
        (
            INTROSPECT_PATH,
            "introspectToken",
            "How it is with an access token of one's own",
            vec![token],
            "How it is.",
            &told,
        ),
    ] {
        let post = operation(id, summary, Some(form(&asked)), plain(done, "application/json", schema));
        paths.insert(path.to_owned(), json!({"post": post}));
    }
    for (path, id) in [(WELL_KNOWN.to_owned(), "smart"), (format!("/fhir{WELL_KNOWN}"), "smartOfFhir")] {
        let done = plain("Where and how.", "application/json", &json!({"type": "object"}));
        let summary = "How to get an access token (SMART App Launch 2.2)";
        paths.insert(path, json!({"get": operation(id, summary, None, done)}));
    }
    paths
}

/// Whoever asks shows who it is in what is asked, by an assertion that it has signed.
fn operation(id: &str, summary: &str, body: Option<Value>, done: Value) -> Value {
    let mut told = json!({
        "operationId": id, "tags": ["service"], "summary": summary, "parameters": [], "security": [],
        "responses": {"200": done},
    });
    if let Some(body) = body {
        told["requestBody"] = body;
        let error = json!({"type": "object", "required": ["error", "error_description"], "properties": {
            "error": {"type": "string"}, "error_description": {"type": "string"}}});
        for (status, words) in [
            ("400", "It is not asked as it must be, or for what this client may not."),
            ("401", "The assertion is not taken. Why is told to nobody."),
            ("429", "Tokens are asked for too often."),
            ("503", "Not just now."),
        ] {
            told["responses"][status] = plain(words, "application/json", &error);
        }
    }
    told
}

fn form(asked: &[(&str, &str)]) -> Value {
    let shown = [
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", "A JWT signed by RS384 or ES384 (RFC 7523, 2.2)."),
    ];
    let all = asked.iter().chain(&shown);
    let of = |(name, told): &(&str, &str)| ((*name).to_owned(), json!({"type": "string", "description": told}));
    let properties: Map<String, Value> = all.clone().map(of).collect();
    let required: Vec<&str> = all.map(|(name, _)| *name).filter(|name| *name != "scope").collect();
    json!({"required": true, "content": {FORM: {
        "schema": {"type": "object", "required": required, "properties": properties}}}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_for_a_token_shows_who_it_is() {
        let paths = paths();
        for path in [TOKEN_PATH, REVOKE_PATH, INTROSPECT_PATH] {
            let schema = &paths[path]["post"]["requestBody"]["content"][FORM]["schema"];
            let required: Vec<&str> = schema["required"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            assert!(required.contains(&"client_assertion") && required.contains(&"client_assertion_type"), "{path}");
            assert!(required.iter().all(|name| schema["properties"].get(*name).is_some()), "{path}");
        }
        assert!(paths.contains_key("/fhir/.well-known/smart-configuration"));
    }
}

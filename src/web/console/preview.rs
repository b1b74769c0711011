//! What would be sent for a dead letter, without what it says: where to, how, and the types and ids of what there is.

use serde_json::Value;

use crate::client::Written;

/// Resources that are told of one message.
const ENTRIES_MAX: usize = 200;

/// What is told of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub method: String,
    /// Without its query: a search for a person has her number there.
    pub url: String,
    /// What there is: how each is written, its type and its id.
    pub entries: Vec<(String, String)>,
    /// How many are not told.
    pub more: usize,
}

/// See the module's documentation.
pub(super) fn sent(written: &Written) -> Sent {
    let body = &written.body;
    let mut entries = Vec::new();
    let mut more = 0;
    match body.get("entry").and_then(Value::as_array) {
        Some(all) => {
            more = all.len().saturating_sub(ENTRIES_MAX);
            for entry in all.iter().take(ENTRIES_MAX) {
                let method = entry.pointer("/request/method").and_then(Value::as_str).unwrap_or("with it");
                entries.push((word(method), named(entry.get("resource").unwrap_or(&Value::Null))));
            }
        }
        None => entries.push((written.method.to_string(), named(body))),
    }
    let url = written.url.split(['?', '#']).next().unwrap_or_default().to_owned();
    Sent { method: written.method.to_string(), url, entries, more }
}

/// The type and id of a resource.
fn named(resource: &Value) -> String {
    let text = |key| resource.get(key).and_then(Value::as_str).map(word);
    match (text("resourceType"), text("id")) {
        (Some(kind), Some(id)) => format!("{kind}/{id}"),
        (Some(kind), None) => kind,
        (None, _) => "what is no resource".to_owned(),
    }
}

/// A text as far as it is an id (R4: at most 64 of these), so that nothing else is shown whatever stands there.
fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ' ')).take(64).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_of_what_it_says_is_told() {
        let body = json!({"resourceType": "Bundle", "entry": [
            {"resource": {"resourceType": "Patient", "id": "p1", "name": [{"family": "Secret"}]},
             "request": {"method": "POST", "url": "Patient", "ifNoneExist": "identifier=9434765919"}},
            {"resource": {"resourceType": "Task", "description": "Secret"}},
        ]});
        let url = "https://lr.example/fhir?identifier=9434765919".to_owned();
        let told = sent(&Written { method: hyper::Method::POST, url, headers: vec![], body });
        assert_eq!(told.url, "https://lr.example/fhir");
        let entries = [("POST".to_owned(), "Patient/p1".to_owned()), ("with it".to_owned(), "Task".to_owned())];
        assert_eq!(told.entries, entries);
        let all = format!("{told:?}");
        assert!(!all.contains("Secret") && !all.contains("9434765919"), "{all}");
    }

    #[test]
    fn a_resource_alone_is_told_and_a_long_bundle_is_cut() {
        let of = |body| sent(&Written { method: hyper::Method::PUT, url: "x".into(), headers: vec![], body });
        assert_eq!(of(json!({"resourceType": "Task", "id": "7"})).entries, [("PUT".to_owned(), "Task/7".to_owned())]);
        assert_eq!(of(json!(null)).entries, [("PUT".to_owned(), "what is no resource".to_owned())]);
        let many = of(json!({"entry": vec![json!({}); ENTRIES_MAX + 3]}));
        assert_eq!((many.entries.len(), many.more), (ENTRIES_MAX, 3));
    }
}

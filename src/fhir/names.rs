//! What a referral is known by outside: the identifiers of its ServiceRequest and of the person whom it is about. By these alone it is
//! found again among all others.

use serde_json::Value;

use super::tree;

/// What is longer is known by so many characters of its start.
const NAME_MAX: usize = 128;

/// The names that a resource of a referral adds to it: values of identifiers, without their systems.
pub fn of(resource: &Value) -> Vec<String> {
    let value = |identifier: &Value| identifier.get("value").and_then(Value::as_str).map(name);
    let own = tree::items(resource, "identifier").iter().filter_map(value);
    let mut names: Vec<String> = match tree::resource_type(resource) {
        Some("Patient") => own.collect(),
        Some("ServiceRequest") => {
            let whole = resource.get("requisition").and_then(value);
            let person = resource.pointer("/subject/identifier").and_then(value);
            // a person may be carried within the request
            let contained = tree::items(resource, "contained").iter().flat_map(of);
            own.chain(whole).chain(person).chain(contained).collect()
        }
        _ => Vec::new(),
    };
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    names.dedup();
    names
}

/// An identifier's value as a name: what it is stored and looked for under.
pub fn name(value: &str) -> String {
    // PostgreSQL has no NUL
    value.chars().filter(|c| *c != '\0').take(NAME_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_referral_is_known_by_its_own_identifiers_and_its_persons() {
        let request = json!({
            "resourceType": "ServiceRequest",
            "identifier": [{"system": "urn:a", "value": "R-1"}, {"value": "R-2"}, {"system": "urn:a"}],
            "requisition": {"value": "G-1"},
            "subject": {"reference": "#p", "identifier": {"value": "9000000009"}},
            "contained": [{"resourceType": "Patient", "id": "p", "identifier": [{"value": "MRN-1"}, {"value": "R-1"}]},
                          {"resourceType": "Practitioner", "id": "d", "identifier": [{"value": "GMC"}]}],
        });
        assert_eq!(of(&request), ["9000000009", "G-1", "MRN-1", "R-1", "R-2"]);
        assert_eq!(of(&json!({"resourceType": "Organization", "identifier": [{"value": "X26"}]})), [""; 0]);
    }

    #[test]
    fn a_long_name_is_known_by_its_start() {
        assert_eq!(name(&"é".repeat(200)), "é".repeat(128));
        assert_eq!(name("a\0b"), "ab");
    }
}

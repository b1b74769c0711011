//! Data that stand for nobody: how a referral says that it is a test (HL7 v3 ActReason, `HTEST`: test health data), and how Onward's own
//! tests are found again.

use serde_json::{Value, json};

use super::tree;

/// System of the tag.
const SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
/// Its code.
const CODE: &str = "HTEST";
/// System of the identifier that Onward's own tests bear beside that by which each is known.
const OWN_SYSTEM: &str = "https://onward.example/fhir/NamingSystem/test-referral";
/// Its value, the same for all of them: by it they are found.
pub const OWN_VALUE: &str = "onward-test-referral";

/// The tag.
pub fn tag() -> Value {
    json!({"system": SYSTEM, "code": CODE, "display": "test health data"})
}

/// The identifier of Onward's own tests.
pub fn own_identifier() -> Value {
    json!({"system": OWN_SYSTEM, "value": OWN_VALUE})
}

/// Whether a resource says that it is test data.
pub fn is_test(resource: &Value) -> bool {
    let tags = resource.get("meta").map(|meta| tree::items(meta, "tag")).unwrap_or_default();
    tags.iter().any(|tag| tree::text(tag, "system") == Some(SYSTEM) && tree::text(tag, "code") == Some(CODE))
}

/// Whether a ServiceRequest is a test of Onward's own.
pub fn is_own(request: &Value) -> bool {
    is_test(request)
        && tree::identifiers(request).any(|(system, value, _)| system == Some(OWN_SYSTEM) && value == OWN_VALUE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_says_so_by_system_and_code() {
        let tagged = |tag: Value| json!({"meta": {"tag": [{"code": "other"}, tag]}, "identifier": [own_identifier()]});
        assert!(is_test(&tagged(tag())) && is_own(&tagged(tag())));
        for other in [json!({"code": CODE}), json!({"system": SYSTEM, "code": "HMARKT"})] {
            assert!(!is_test(&tagged(other.clone())) && !is_own(&tagged(other)));
        }
        assert!(!is_own(&json!({"meta": {"tag": [tag()]}})), "somebody else's");
        assert!(!is_test(&json!({"meta": {"tag": "x"}})) && !is_test(&Value::Null));
    }
}

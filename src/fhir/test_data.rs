//! Data that stand for nobody: how a referral says that it is a test (HL7 v3 ActReason, `HTEST`: test health data), and by what Onward's own
//! tests are found again. Any sender may say the same of its own: which test is Onward's is told by its journal (`store::is_own_test`).

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_says_so_by_system_and_code() {
        let tagged = |tag: Value| json!({"meta": {"tag": [{"code": "other"}, tag]}});
        assert!(is_test(&tagged(tag())));
        for other in [json!({"code": CODE}), json!({"system": SYSTEM, "code": "HMARKT"})] {
            assert!(!is_test(&tagged(other)));
        }
        assert!(!is_test(&json!({"meta": {"tag": "x"}})) && !is_test(&Value::Null));
    }
}

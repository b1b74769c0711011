//! ODS codes: how the NHS names an organisation or one of its sites.

use std::{fmt, str::FromStr};

use serde_json::Value;

use crate::fhir::tree;

/// The identifier system of organisation codes.
pub const ORGANISATION_SYSTEM: &str = "https://fhir.nhs.uk/Id/ods-organization-code";
/// The identifier system of site codes.
pub const SITE_SYSTEM: &str = "https://fhir.nhs.uk/Id/ods-site-code";

/// Spellings of the two that were published as well, and that systems send.
const ORGANISATION_SYSTEM_LOWER: &str = "https://fhir.nhs.uk/id/ods-organization-code";
const SITE_SYSTEM_LOWER: &str = "https://fhir.nhs.uk/id/ods-site-code";

/// Every system whose values are ODS codes.
pub const SYSTEMS: [&str; 4] = [ORGANISATION_SYSTEM, SITE_SYSTEM, ORGANISATION_SYSTEM_LOWER, SITE_SYSTEM_LOWER];

/// The code of an organisation or site, in capitals.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OdsCode(String);

/// Not of the form of an ODS code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an ODS code is 3 to 10 letters and digits")]
pub struct NotAnOdsCode;

/// The code of an Organization, or of a Reference with an identifier: its organisation code, else its site code.
pub fn of(identifier_holder: &Value) -> Option<OdsCode> {
    let with = |systems: [&str; 2]| {
        tree::identifiers(identifier_holder)
            .filter(|(system, _, _)| system.is_some_and(|system| systems.contains(&system)))
            .find_map(|(_, value, _)| value.parse().ok())
    };
    with([ORGANISATION_SYSTEM, ORGANISATION_SYSTEM_LOWER]).or_else(|| with([SITE_SYSTEM, SITE_SYSTEM_LOWER]))
}

impl OdsCode {
    /// The code, in capitals.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OdsCode {
    type Err = NotAnOdsCode;

    fn from_str(text: &str) -> Result<Self, NotAnOdsCode> {
        let fits = (3..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
        if fits { Ok(Self(text.to_ascii_uppercase())) } else { Err(NotAnOdsCode) }
    }
}

impl fmt::Display for OdsCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn case_does_not_matter_and_form_does() {
        assert_eq!("rw4".parse::<OdsCode>().unwrap().as_str(), "RW4");
        for bad in ["", "RW", "RW4 ", "RW4-1", "ABCDEFGHIJK", "ÄRW"] {
            assert_eq!(bad.parse::<OdsCode>(), Err(NotAnOdsCode), "{bad}");
        }
    }

    #[test]
    fn the_organisation_code_goes_before_the_site_code() {
        let organisation = json!({ "resourceType": "Organization", "identifier": [
            { "system": "https://example.org/ours", "value": "RRR" },
            { "system": SITE_SYSTEM, "value": "RW4AA" },
            { "system": ORGANISATION_SYSTEM_LOWER, "value": "rw4" }] });
        assert_eq!(of(&organisation).unwrap().to_string(), "RW4");
        let reference = json!({ "identifier": { "system": SITE_SYSTEM, "value": "RW4AA" } });
        assert_eq!(of(&reference).unwrap().to_string(), "RW4AA");
        assert_eq!(of(&json!({ "reference": "Organization/1" })), None);
    }
}

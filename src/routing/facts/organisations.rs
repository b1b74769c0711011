//! Which organisations a referral names: who asks, and who is asked.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Coding, Facts, list, resolve, text};

type Find<'f, 'a> = &'f dyn Fn(&str) -> Option<&'a Value>;

/// Whether two ODS codes are the same: capitals and spaces around do not matter.
pub fn same_ods(a: &str, b: &str) -> bool {
    a.trim().eq_ignore_ascii_case(b.trim())
}

/// Whether an identifier's system is that of ODS codes, in either spelling seen in the field; sites are ODS codes, too.
pub(in crate::routing) fn is_ods_system(system: &str) -> bool {
    let without_scheme = system.strip_prefix("https://").or_else(|| system.strip_prefix("http://"));
    let path = without_scheme.map(|rest| rest.trim_end_matches('/').to_ascii_lowercase());
    matches!(path.as_deref(), Some("fhir.nhs.uk/id/ods-organization-code" | "fhir.nhs.uk/id/ods-site-code"))
}

impl<'a> Facts<'a> {
    pub(super) fn add_performer(&mut self, reference: &'a Value, request: &'a Value, carried: Find<'_, 'a>) {
        let target = resolve(reference, request, carried);
        if is_person(reference) || target.is_some_and(|(resource, _)| is_person(resource)) {
            return; // a person's own reference or number is no ground to route on, and must not reach an explanation
        }
        if let Some(literal) =
            text(&reference["reference"]).filter(|text| !text.starts_with('#') && !text.starts_with("urn:uuid:"))
        {
            let without_version = literal.split_once("/_history/").map_or(literal, |(before, _)| before);
            self.performer_references.insert(without_version.to_owned());
        }
        self.add_performer_identifier(&reference["identifier"]);
        if let Some((resource, within)) = target {
            list(&resource["identifier"]).iter().for_each(|identifier| self.add_performer_identifier(identifier));
            if text(&resource["resourceType"]) == Some("PractitionerRole") {
                let organisation = &resource["organization"];
                self.add_performer_identifier(&organisation["identifier"]);
                if let Some((organisation, _)) = resolve(organisation, within, carried) {
                    list(&organisation["identifier"]).iter().for_each(|one| self.add_performer_identifier(one));
                }
            }
        }
    }

    fn add_performer_identifier(&mut self, identifier: &Value) {
        let (Some(system), Some(value)) = (text(&identifier["system"]), text(&identifier["value"])) else { return };
        if is_ods_system(system) {
            self.performer_orgs.insert(value.trim().to_ascii_uppercase());
        } else {
            self.performer_identifiers.insert(Coding { system: Some(system.to_owned()), code: value.to_owned() });
        }
    }
}

/// The ODS codes of the organisation behind a reference: itself, or that of the role or device it names.
pub(super) fn add<'a>(into: &mut BTreeSet<String>, reference: &'a Value, within: &'a Value, carried: Find<'_, 'a>) {
    into.extend(ods_code(&reference["identifier"]));
    let Some((resource, within)) = resolve(reference, within, carried) else { return };
    let organisation = match text(&resource["resourceType"]) {
        Some("Organization") => Some(resource),
        Some("PractitionerRole") => {
            into.extend(ods_code(&resource["organization"]["identifier"]));
            resolve(&resource["organization"], within, carried).map(|(organisation, _)| organisation)
        }
        Some("Device") => {
            into.extend(ods_code(&resource["owner"]["identifier"]));
            resolve(&resource["owner"], within, carried).map(|(organisation, _)| organisation)
        }
        _ => None,
    };
    let identifiers = organisation.map_or(&[][..], |organisation| list(&organisation["identifier"]));
    into.extend(identifiers.iter().filter_map(ods_code));
}

fn ods_code(identifier: &Value) -> Option<String> {
    let system = text(&identifier["system"])?;
    let value = text(&identifier["value"])?;
    is_ods_system(system).then(|| value.trim().to_ascii_uppercase())
}

const PERSONS: [&str; 2] = ["Patient", "RelatedPerson"];

/// Whether a reference leads to a person by what it says.
pub(in crate::routing) fn names_a_person(reference: &str) -> bool {
    reference.split(['/', '?']).any(|part| PERSONS.contains(&part))
}

fn is_person(value: &Value) -> bool {
    PERSONS.iter().any(|kind| text(&value["type"]) == Some(kind) || text(&value["resourceType"]) == Some(kind))
        || text(&value["reference"]).is_some_and(names_a_person)
        || text(&value["identifier"]["system"])
            .is_some_and(|system| system.to_ascii_lowercase().ends_with("/nhs-number"))
}

//! What routing looks at in a referral. Nothing else of it takes part in a decision, and of the patient only the outward
//! half of a postcode is kept.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::domain::SystemId;

/// A code and the system it is from; also an identifier's system and value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Coding {
    /// The system, where one is named.
    pub system: Option<String>,
    /// The code or value.
    pub code: String,
}

/// What a referral says, as far as rules may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The system that sent it.
    pub system: SystemId,
    /// What is asked for: every coding of `code`.
    pub codes: BTreeSet<Coding>,
    /// Every coding of `category`.
    pub categories: BTreeSet<Coding>,
    /// Performers by reference as the sender wrote it, without a version. No `urn:uuid:`, which names nothing outside.
    pub performer_references: BTreeSet<String>,
    /// Performers by identifier, other than an ODS code.
    pub performer_identifiers: BTreeSet<Coding>,
    /// Performers by ODS code, in capitals.
    pub performer_orgs: BTreeSet<String>,
    /// The ODS codes of the organisation that refers, in capitals.
    pub requester_orgs: BTreeSet<String>,
    /// The outward codes of where the person lives, in capitals.
    pub outward_codes: BTreeSet<String>,
}

/// Finds what travels with the referral by a reference string such as `Patient/1`, a full URL or `urn:uuid:…`.
type Carried<'c, 'a> = &'c dyn Fn(&str) -> Option<&'a Value>;

/// Whether two ODS codes are the same: capitals and spaces around do not matter.
pub fn same_ods(a: &str, b: &str) -> bool {
    a.trim().eq_ignore_ascii_case(b.trim())
}

/// Whether an identifier's system is that of ODS codes, in either spelling seen in the field; sites are ODS codes, too.
pub(super) fn is_ods_system(system: &str) -> bool {
    let without_scheme = system.strip_prefix("https://").or_else(|| system.strip_prefix("http://"));
    let path = without_scheme.map(|rest| rest.trim_end_matches('/').to_ascii_lowercase());
    matches!(path.as_deref(), Some("fhir.nhs.uk/id/ods-organization-code" | "fhir.nhs.uk/id/ods-site-code"))
}

// === impl Facts ===

impl Facts {
    /// The facts of one ServiceRequest. `carried` finds the other resources that travel with it; what is contained is
    /// found here.
    pub fn of<'a>(system: &SystemId, request: &'a Value, carried: &dyn Fn(&str) -> Option<&'a Value>) -> Self {
        let mut facts = Self {
            system: system.clone(),
            codes: codings(&request["code"]).collect(),
            categories: list(&request["category"]).iter().flat_map(codings).collect(),
            performer_references: BTreeSet::new(),
            performer_identifiers: BTreeSet::new(),
            performer_orgs: BTreeSet::new(),
            requester_orgs: BTreeSet::new(),
            outward_codes: BTreeSet::new(),
        };
        for performer in list(&request["performer"]) {
            facts.add_performer(performer, request, carried);
        }
        add_organisation(&mut facts.requester_orgs, &request["requester"], request, carried);
        if let Some((patient, _)) = resolve(&request["subject"], request, carried) {
            facts.outward_codes = homes(patient, text(&request["authoredOn"]));
        }
        facts
    }

    fn add_performer<'a>(&mut self, reference: &'a Value, request: &'a Value, carried: Carried<'_, 'a>) {
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
fn add_organisation<'a>(
    into: &mut BTreeSet<String>,
    reference: &'a Value,
    within: &'a Value,
    carried: Carried<'_, 'a>,
) {
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

/// The resource a reference points to, and the one in whose `contained` its own `#…` are found.
fn resolve<'a>(reference: &'a Value, within: &'a Value, carried: Carried<'_, 'a>) -> Option<(&'a Value, &'a Value)> {
    let literal = text(&reference["reference"])?;
    if let Some(id) = literal.strip_prefix('#') {
        let contained = list(&within["contained"]).iter().find(|one| text(&one["id"]) == Some(id))?;
        return Some((contained, within));
    }
    carried(literal).map(|resource| (resource, resource))
}

/// Where the person lives: home addresses, else those without a use, else temporary ones. Old ones do not count, nor
/// those that had ended, or not begun, when the referral was written; without that day, an end means ended.
fn homes(patient: &Value, written_on: Option<&str>) -> BTreeSet<String> {
    let current: Vec<&Value> =
        list(&patient["address"]).iter().filter(|one| is_current(&one["period"], written_on)).collect();
    for wanted in [Some("home"), None, Some("temp")] {
        let of_use = current.iter().filter(|address| text(&address["use"]) == wanted);
        let codes: BTreeSet<String> =
            of_use.filter_map(|one| text(&one["postalCode"])).filter_map(super::outward_of).collect();
        if !codes.is_empty() {
            return codes;
        }
    }
    BTreeSet::new()
}

fn is_current(period: &Value, written_on: Option<&str>) -> bool {
    let day = |text: &str| text.get(..10).unwrap_or(text).to_owned();
    let (start, end) = (text(&period["start"]).map(day), text(&period["end"]).map(day));
    let Some(today) = written_on.map(day) else { return end.is_none() };
    // FHIR dates may stop at the year or month: only the part both have is compared
    let before = |a: &str, b: &str| a.get(..a.len().min(b.len())) < b.get(..a.len().min(b.len()));
    !end.is_some_and(|end| before(&end, &today)) && !start.is_some_and(|start| before(&today, &start))
}

fn ods_code(identifier: &Value) -> Option<String> {
    let system = text(&identifier["system"])?;
    let value = text(&identifier["value"])?;
    is_ods_system(system).then(|| value.trim().to_ascii_uppercase())
}

fn is_person(value: &Value) -> bool {
    let literal = text(&value["reference"]).unwrap_or_default();
    let kinds = ["Patient", "RelatedPerson"];
    kinds.iter().any(|kind| text(&value["type"]) == Some(kind) || text(&value["resourceType"]) == Some(kind))
        || kinds.iter().any(|kind| literal.split(['/', '?']).any(|part| part == *kind))
        || text(&value["identifier"]["system"])
            .is_some_and(|system| system.to_ascii_lowercase().ends_with("/nhs-number"))
}

fn codings(concept: &Value) -> impl Iterator<Item = Coding> + '_ {
    list(&concept["coding"]).iter().filter_map(|coding| {
        let system = text(&coding["system"]).map(str::to_owned);
        text(&coding["code"]).map(|code| Coding { system, code: code.to_owned() })
    })
}

fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests;

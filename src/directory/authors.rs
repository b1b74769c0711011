//! Who wrote an entry: one Provenance for each of its versions (R4 Provenance), made of what the store says. Stewards see the name that
//! it was signed by, others the organisation alone. Pure.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    config::{Registry, registry::Provider},
    domain::{EntryKind, ProviderId, clock::instant},
    fhir::ods_code,
    store::DirectoryEntry,
};

/// As whom everybody else sees those who keep the directory.
const KEEPERS: &str = "Those who keep the directory";

/// The logical id of the Provenance of an entry's version.
pub fn id(kind: EntryKind, id: Uuid, version: u64) -> String {
    format!("{kind}-{id}-{version}")
}

/// The entry and its version whose Provenance has this logical id.
pub fn of_id(text: &str) -> Option<(EntryKind, Uuid, u64)> {
    let (kind, rest) = text.split_once('-')?;
    let (entry, version) = rest.split_at_checked(36)?;
    let named = (kind.parse().ok()?, entry.parse().ok()?, version.strip_prefix('-')?.parse().ok()?);
    // each has one name: `01` is none
    (id(named.0, named.1, named.2) == text).then_some(named)
}

/// Who wrote a version, in words. `as_signed`: by the name that it was signed by.
pub fn author(by: &str, registry: &Registry, as_signed: bool) -> String {
    if as_signed {
        return by.to_owned();
    }
    provider(by, registry).map_or_else(|| KEEPERS.to_owned(), |(_, name, _)| name.to_owned())
}

/// The Provenance of a version of an entry, `meta` apart.
pub fn provenance(entry: &DirectoryEntry, registry: &Registry, as_signed: bool) -> Value {
    let DirectoryEntry { kind, id: of, version, last_updated, source, by, .. } = entry;
    let (operation, display) = if *version == 1 { ("CREATE", "create") } else { ("UPDATE", "revise") };
    let mut who = json!({"display": author(by, registry, as_signed)});
    if let Some((id, _, code)) = provider(by, registry) {
        who = json!({
            "reference": format!("Organization/{id}"),
            "type": "Organization",
            "identifier": {"system": ods_code::ORGANISATION_SYSTEM, "value": code},
            "display": author(by, registry, as_signed),
        });
    }
    let mut made = json!({
        "resourceType": "Provenance",
        "id": id(*kind, *of, *version),
        "target": [{"reference": format!("{kind}/{of}/_history/{version}"), "type": kind.code()}],
        "recorded": instant(*last_updated),
        "activity": {"coding": [
            {"system": "http://terminology.hl7.org/CodeSystem/v3-DataOperation", "code": operation, "display": display}]},
        "agent": [{
            "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type",
                                 "code": "author", "display": "Author"}]},
            "who": who,
        }],
    });
    if let Some((source, name)) = source {
        made["entity"] =
            json!([{"role": "source", "what": {"type": kind.code(), "identifier": {"system": source, "value": name}}}]);
    }
    made
}

/// The provider that proposed what was written, with its name and ODS code.
fn provider<'r>(by: &str, registry: &'r Registry) -> Option<(&'r ProviderId, &'r str, &'r str)> {
    let id = by.strip_prefix("provider ")?.split([',', ' ']).next()?;
    let found: &Provider = registry.providers.get(&id.parse::<ProviderId>().ok()?)?;
    Some((&found.id, &found.name, &found.ods_code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_one_id_and_each_id_one_version() {
        let entry = Uuid::from_u128(7);
        for kind in [EntryKind::HealthcareService, EntryKind::Organization] {
            let text = id(kind, entry, 12);
            assert_eq!(of_id(&text), Some((kind, entry, 12)));
            assert!(text.len() <= 64, "R4 `id`: {text}");
            assert_eq!(of_id(&text.replace("-12", "-012")), None);
        }
        for other in ["", "Task-", "HealthcareService-7-1", "00000000-0000-0000-0000-000000000007-1"] {
            assert_eq!(of_id(other), None, "{other}");
        }
    }

    #[test]
    fn who_signed_is_for_those_who_keep_the_directory() {
        let registry = Registry::default();
        assert_eq!(author("steward anna", &registry, true), "steward anna");
        assert_eq!(author("steward anna", &registry, false), KEEPERS);
        assert_eq!(author("kim, import of https://s.example", &registry, false), KEEPERS);
        let entry = DirectoryEntry {
            kind: EntryKind::Location,
            id: Uuid::from_u128(7),
            version: 2,
            revision: 9,
            last_updated: jiff::Timestamp::UNIX_EPOCH,
            source: Some(("https://s.example".into(), "hall".into())),
            by: "steward anna".into(),
            body: "{}".into(),
        };
        let made = provenance(&entry, &registry, false);
        assert_eq!(made["activity"]["coding"][0]["code"], "UPDATE");
        assert_eq!(made["entity"][0]["what"]["identifier"]["value"], "hall");
        assert!(!made.to_string().contains("anna"));
        assert_eq!(provenance(&entry, &registry, true)["agent"][0]["who"]["display"], "steward anna");
    }
}

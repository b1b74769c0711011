//! The StructureDefinitions that are ours: in the top-level `profiles/`, and in the program.

use serde_json::Value;

pub(super) const TEXTS: &[(&str, &str)] = &[
    ("referral", include_str!("../../profiles/StructureDefinition-referral.json")),
    ("referral-patient", include_str!("../../profiles/StructureDefinition-referral-patient.json")),
    ("referral-bundle", include_str!("../../profiles/StructureDefinition-referral-bundle.json")),
    ("referral-task", include_str!("../../profiles/StructureDefinition-referral-task.json")),
    ("journal-seq", include_str!("../../profiles/StructureDefinition-journal-seq.json")),
    ("journal-event", include_str!("../../profiles/StructureDefinition-journal-event.json")),
    ("directory-service", include_str!("../../profiles/StructureDefinition-directory-service.json")),
    ("directory-location", include_str!("../../profiles/StructureDefinition-directory-location.json")),
    ("directory-organization", include_str!("../../profiles/StructureDefinition-directory-organization.json")),
    ("directory-endpoint", include_str!("../../profiles/StructureDefinition-directory-endpoint.json")),
    ("capacity", include_str!("../../profiles/StructureDefinition-capacity.json")),
    ("waiting-time", include_str!("../../profiles/StructureDefinition-waiting-time.json")),
    ("accepts-referrals", include_str!("../../profiles/StructureDefinition-accepts-referrals.json")),
    ("cost", include_str!("../../profiles/StructureDefinition-cost.json")),
    ("eligible-age", include_str!("../../profiles/StructureDefinition-eligible-age.json")),
    ("accessibility", include_str!("../../profiles/StructureDefinition-accessibility.json")),
    ("assured", include_str!("../../profiles/StructureDefinition-assured.json")),
    ("measured", include_str!("../../profiles/StructureDefinition-measured.json")),
    ("open-referral", include_str!("../../profiles/StructureDefinition-open-referral.json")),
    ("practice-story", include_str!("../../profiles/StructureDefinition-practice-story.json")),
    ("transport-status", include_str!("../../profiles/CodeSystem-transport-status.json")),
    ("business-status", include_str!("../../profiles/CodeSystem-business-status.json")),
];

/// Each by its name.
pub(super) fn resources() -> impl Iterator<Item = (String, Value)> {
    // a test reads every one of them
    TEXTS.iter().filter_map(|(name, text)| Some(((*name).to_owned(), serde_json::from_str(text).ok()?)))
}

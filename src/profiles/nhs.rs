//! What the NHS asks beside R4, each rule at the level that the originating system has for it.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde_json::{Map, Value};

use super::report::Report;
use crate::{
    definitions::{Element, Primitive, Type},
    domain::rule_level::{RuleLevel, RuleLevels},
    fhir::{
        datetime,
        nhs_number::{self, NhsNumber},
        ods_code::{self, OdsCode},
        outcome::{IssueCode, Severity},
        path::Place,
        sctid,
    },
};

/// How far ahead of us a moment may be that is past for its sender: its clock, or a date without a time zone.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);
/// In summer a day begins in England an hour before it does in UTC.
const DAY_AHEAD: SignedDuration = SignedDuration::from_hours(1);

/// Where the verification status of an NHS number stands (UK Core).
const STATUS: &str = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-NHSNumberVerificationStatus";

/// Its codes.
pub(super) const STATUS_VALUE_SET: &str = "https://fhir.hl7.org.uk/ValueSet/UKCore-NHSNumberVerificationStatus";

/// Every published spelling of it: the older codes that messages carry (BaRS), those of today's UK Core for England and Wales, and that
/// nothing is known.
pub(super) const STATUS_CODES: &[(&str, &[&str])] = &[
    (
        "https://fhir.hl7.org.uk/CodeSystem/UKCore-NHSNumberVerificationStatus",
        &[
            "number-present-and-verified",
            "number-present-but-not-traced",
            "trace-required",
            "trace-attempted",
            "trace-needs-to-be-resolved",
            "trace-in-progress",
            "number-not-present-and-trace-not-required",
            "trace-postponed",
            "number-present-and-traced-using-welsh-nhs-ar",
        ],
    ),
    (
        "https://fhir.hl7.org.uk/CodeSystem/UKCore-NHSNumberVerificationStatusEngland",
        &["01", "02", "03", "04", "05", "06", "07", "08"],
    ),
    (
        "https://fhir.hl7.org.uk/CodeSystem/UKCore-NHSNumberVerificationStatusWales",
        &["nn", "01", "02", "03", "04", "05", "06", "07", "08"],
    ),
    ("http://terminology.hl7.org/CodeSystem/v3-NullFlavor", &["NI"]),
];

/// What tells when something happened or was written down: it is past, whoever says it.
const PAST: &[(&str, &str)] = &[
    ("AllergyIntolerance", "lastOccurrence"),
    ("AllergyIntolerance", "recordedDate"),
    ("Annotation", "time"),
    ("Attachment", "creation"),
    ("ClinicalImpression", "date"),
    ("Communication", "received"),
    ("Communication", "sent"),
    ("Composition", "date"),
    ("Condition", "recordedDate"),
    ("DiagnosticReport", "issued"),
    ("DocumentReference", "date"),
    ("FamilyMemberHistory", "date"),
    ("Immunization", "recorded"),
    ("MedicationRequest", "authoredOn"),
    ("MedicationStatement", "dateAsserted"),
    ("Observation", "issued"),
    ("Patient", "birthDate"),
    ("Patient", "deceased"),
    ("Person", "birthDate"),
    ("Practitioner", "birthDate"),
    ("Provenance", "recorded"),
    ("QuestionnaireResponse", "authored"),
    ("RelatedPerson", "birthDate"),
    ("ServiceRequest", "authoredOn"),
    ("Signature", "when"),
    ("Task", "authoredOn"),
];

/// An Identifier: an NHS number, or an ODS code.
pub(super) fn identifier(report: &mut Report, levels: &RuleLevels, object: &Map<String, Value>, place: Place<'_>) {
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    let (Some(system), Some(value)) = (text("system"), text("value").filter(|value| !value.is_empty())) else { return };
    if system == nhs_number::SYSTEM {
        if let Err(why) = value.parse::<NhsNumber>() {
            broken(report, levels.nhs_number, IssueCode::Value, place.child("value"), &why.to_string());
        }
    } else if ods_code::SYSTEMS.contains(&system)
        && let Err(why) = value.parse::<OdsCode>()
    {
        broken(report, levels.ods_code, IssueCode::Value, place.child("value"), &why.to_string());
    }
}

/// A Coding of SNOMED CT.
pub(super) fn coding(report: &mut Report, levels: &RuleLevels, object: &Map<String, Value>, place: Place<'_>) {
    if levels.snomed_ct == RuleLevel::Off || object.get("system").is_none_or(|system| system != sctid::SYSTEM) {
        return;
    }
    let code = object.get("code").and_then(Value::as_str).filter(|code| !code.is_empty());
    if let Some(Err(why)) = code.map(sctid::check) {
        broken(report, levels.snomed_ct, IssueCode::CodeInvalid, place.child("code"), &why.to_string());
    }
}

/// The verification status of an NHS number.
pub(super) fn extension(report: &mut Report, levels: &RuleLevels, object: &Map<String, Value>, place: Place<'_>) {
    if object.get("url").is_none_or(|url| url != STATUS) {
        return;
    }
    let Some(concept) = object.get("valueCodeableConcept") else { return };
    let codings = concept.get("coding").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let fits = |coding: &Value| {
        let text = |name: &str| coding.get(name).and_then(Value::as_str);
        let codes = STATUS_CODES.iter().find(|(system, _)| text("system") == Some(system)).map(|(_, codes)| *codes);
        text("code").is_some_and(|code| codes.is_some_and(|codes| codes.contains(&code)))
    };
    if !codings.iter().any(fits) {
        let said = "the verification status of an NHS number is one of number-present-and-verified, number-present-but-not-traced, \
                    … of UKCore-NHSNumberVerificationStatus, or 01 to 08 of UKCore-NHSNumberVerificationStatusEngland";
        broken(report, levels.nhs_number_status, IssueCode::CodeInvalid, place.child("valueCodeableConcept"), said);
    }
}

/// A date or a moment, in this element of this type.
pub(super) fn date(
    report: &mut Report,
    levels: &RuleLevels,
    (of, element, primitive): (&Type, &Element, Primitive),
    text: &str,
    place: Place<'_>,
) {
    if levels.future_date == RuleLevel::Off || !PAST.contains(&(of.name, element.name)) {
        return;
    }
    let ahead = |by| report.now.checked_add(by).unwrap_or(Timestamp::MAX);
    let latest = match primitive {
        Primitive::Date => day(ahead(DAY_AHEAD)),
        _ => Some(ahead(AHEAD)),
    };
    if let (Some(at), Some(latest)) = (datetime::earliest(text), latest)
        && at > latest
    {
        let said = format!("“{}” lies in the future", element.name);
        broken(report, levels.future_date, IssueCode::BusinessRule, place, &said);
    }
}

fn broken(report: &mut Report, level: RuleLevel, code: IssueCode, place: Place<'_>, said: &str) {
    match level {
        RuleLevel::Error => report.broken_rule(code, place, said),
        RuleLevel::Warning => report.note(Severity::Warning, code, place, said),
        RuleLevel::Off => {}
    }
}

/// The first moment of the day of `at` in UTC.
fn day(at: Timestamp) -> Option<Timestamp> {
    at.to_zoned(TimeZone::UTC).start_of_day().ok().map(|start| start.timestamp())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::profiles::{Asked, Validator};

    /// Severity, code, place and whether it is a rule, of all findings.
    fn found(resource: &Value, levels: RuleLevels) -> Vec<(Severity, IssueCode, String, bool)> {
        let now = "2026-06-30T23:30:00Z".parse().unwrap();
        let asked = Asked { rules: levels, ..Asked::at(now) };
        Validator::default()
            .check(resource, "", &asked)
            .into_iter()
            .map(|f| (f.issue.severity, f.issue.code, f.issue.expression.join(","), f.rule))
            .collect()
    }

    fn patient(element: &str, value: Value) -> Value {
        let mut patient = json!({"resourceType": "Patient"});
        patient[element] = value;
        patient
    }

    #[track_caller]
    fn broken_once(resource: &Value, set: impl Fn(&mut RuleLevels, RuleLevel), code: IssueCode, place: &str) {
        let at = |level| {
            let mut levels = RuleLevels::OFF;
            set(&mut levels, level);
            found(resource, levels)
        };
        assert_eq!(at(RuleLevel::Error), [(Severity::Error, code, place.to_owned(), true)]);
        assert_eq!(at(RuleLevel::Warning), [(Severity::Warning, code, place.to_owned(), false)]);
        assert_eq!(at(RuleLevel::Off), []);
        assert!(found(resource, RuleLevels::default()).iter().any(|found| found.2 == place), "by default");
    }

    #[test]
    fn numbers_and_codes_are_looked_at_where_their_systems_say_what_they_are() {
        let nhs = |value: &str| patient("identifier", json!([{"system": nhs_number::SYSTEM, "value": value}]));
        broken_once(&nhs("9990000019"), |l, to| l.nhs_number = to, IssueCode::Value, "Patient.identifier[0].value");
        assert_eq!(found(&nhs("9990000018"), RuleLevels::default()), []);
        for system in ods_code::SYSTEMS {
            let by = |code: &str| {
                json!({"resourceType": "Patient", "managingOrganization":
                {"identifier": {"system": system, "value": code}}})
            };
            let place = "Patient.managingOrganization.identifier.value";
            broken_once(&by("R-4"), |l, to| l.ods_code = to, IssueCode::Value, place);
            assert_eq!(found(&by("RW4"), RuleLevels::default()), []);
        }
        let coded = |code: &str| json!({"resourceType": "Basic", "code": {"coding": [{"system": sctid::SYSTEM, "code": code}]}});
        let place = "Basic.code.coding[0].code";
        broken_once(&coded("73211008"), |l, to| l.snomed_ct = to, IssueCode::CodeInvalid, place);
        assert_eq!(found(&coded("73211009"), RuleLevels::default()), []);
    }

    #[test]
    fn both_spellings_of_a_verification_status_are_right() {
        let status = |concept: Value| {
            let extension = json!([{"url": STATUS, "valueCodeableConcept": concept}]);
            json!({"resourceType": "Patient", "identifier":
                [{"extension": extension, "system": nhs_number::SYSTEM, "value": "9990000018"}]})
        };
        let coded = |system: &str, code: &str| status(json!({"coding": [{"system": system, "code": code}]}));
        for (system, codes) in STATUS_CODES {
            for code in *codes {
                assert_eq!(found(&coded(system, code), RuleLevels::default()), [], "{code}");
            }
        }
        let place = "Patient.identifier[0].extension[0].valueCodeableConcept";
        for wrong in [coded(STATUS_CODES[0].0, "01"), coded("urn:other", "01"), status(json!({"text": "verified"}))] {
            broken_once(&wrong, |l, to| l.nhs_number_status = to, IssueCode::CodeInvalid, place);
        }
    }

    #[test]
    fn what_has_happened_is_not_in_the_future() {
        // it is already the first of July in England
        assert_eq!(found(&patient("birthDate", json!("2026-07-01")), RuleLevels::default()), []);
        let set = |l: &mut RuleLevels, to| l.future_date = to;
        broken_once(&patient("birthDate", json!("2026-07-02")), set, IssueCode::BusinessRule, "Patient.birthDate");
        let died = patient("deceasedDateTime", json!("2026-07-02T09:00:00Z"));
        broken_once(&died, set, IssueCode::BusinessRule, "Patient.deceasedDateTime");
        let clock_ahead = patient("deceasedDateTime", json!("2026-07-01T23:00:00Z"));
        assert_eq!(found(&clock_ahead, RuleLevels::default()), []);
        let appointment = json!({"resourceType": "Appointment", "status": "booked", "start": "2027-01-01T09:00:00Z",
            "end": "2027-01-01T10:00:00Z", "participant": [{"status": "accepted", "actor": {"display": "Ward"}}]});
        assert_eq!(found(&appointment, RuleLevels::default()), [], "a plan is for the future");
    }
}

//! What R4's own extensions may have as their value (R4 extension-registry). Their definitions are not held: these are the ones that people
//! send.

use serde_json::{Map, Value};

use super::report::Report;
use crate::fhir::{outcome::IssueCode, path::Place};

const BASE: &str = "http://hl7.org/fhir/StructureDefinition/";

/// The types of a value, and the extensions that have it.
const VALUES: &[(&[&str], &[&str])] = &[
    (&["Address"], &["patient-birthPlace"]),
    (
        &["boolean"],
        &[
            "iso21090-preferred",
            "patient-cadavericDonor",
            "patient-interpreterRequired",
            "questionnaire-hidden",
            "questionnaire-optionExclusive",
            "rendering-styleSensitive",
            "request-doNotPerform",
        ],
    ),
    (
        &["code"],
        &[
            "capabilitystatement-expectation",
            "data-absent-reason",
            "humanname-assembly-order",
            "iso21090-AD-use",
            "iso21090-EN-qualifier",
            "iso21090-EN-representation",
            "iso21090-EN-use",
            "iso21090-nullFlavor",
            "iso21090-uncertaintyType",
            "language",
            "mimeType",
            "questionnaire-choiceOrientation",
            "questionnaire-referenceResource",
            "questionnaire-usageMode",
            "structuredefinition-normative-version",
            "structuredefinition-standards-status",
            "structuredefinition-wg",
            "tz-code",
        ],
    ),
    (
        &["CodeableConcept"],
        &[
            "condition-outcome",
            "condition-ruledOut",
            "encounter-reasonCancelled",
            "event-performerFunction",
            "event-statusReason",
            "iso21090-verification",
            "observation-bodyPosition",
            "observation-delta",
            "observation-focusCode",
            "observation-precondition",
            "patient-adoptionInfo",
            "patient-disability",
            "patient-genderIdentity",
            "patient-importance",
            "patient-religion",
            "questionnaire-displayCategory",
            "questionnaire-itemControl",
            "questionnaire-signatureRequired",
            "request-statusReason",
            "servicerequest-precondition",
        ],
    ),
    (&["Coding"], &["encounter-modeOfArrival", "questionnaire-unit", "questionnaire-unitOption"]),
    (&["CodeableConcept", "Reference"], &["condition-dueTo", "condition-occurredFollowing"]),
    (&["dateTime"], &["condition-assertedDate", "patient-birthTime"]),
    (&["decimal"], &["iso21090-uncertainty", "maxSize", "ordinalValue"]),
    (
        &["integer"],
        &[
            "maxDecimalPlaces",
            "minLength",
            "questionnaire-maxOccurs",
            "questionnaire-minOccurs",
            "questionnaire-sliderStepValue",
            "request-performerOrder",
            "structuredefinition-fmm",
        ],
    ),
    (&["markdown"], &["rendering-markdown"]),
    (
        &["Reference"],
        &[
            "diagnosticReport-summaryOf",
            "event-basedOn",
            "event-location",
            "event-partOf",
            "request-insurance",
            "request-relevantHistory",
            "request-replaces",
            "servicerequest-questionnaireRequest",
        ],
    ),
    (
        &["string"],
        &[
            "contactpoint-area",
            "contactpoint-country",
            "contactpoint-extension",
            "contactpoint-local",
            "entryFormat",
            "humanname-fathers-family",
            "humanname-mothers-family",
            "humanname-own-name",
            "humanname-own-prefix",
            "humanname-partner-name",
            "humanname-partner-prefix",
            "iso21090-ADXP-additionalLocator",
            "iso21090-ADXP-buildingNumberSuffix",
            "iso21090-ADXP-careOf",
            "iso21090-ADXP-censusTract",
            "iso21090-ADXP-delimiter",
            "iso21090-ADXP-deliveryAddressLine",
            "iso21090-ADXP-direction",
            "iso21090-ADXP-houseNumber",
            "iso21090-ADXP-postBox",
            "iso21090-ADXP-precinct",
            "iso21090-ADXP-streetName",
            "iso21090-ADXP-streetNameBase",
            "iso21090-ADXP-streetNameType",
            "iso21090-ADXP-unitID",
            "iso21090-ADXP-unitType",
            "patient-congregation",
            "patient-mothersMaidenName",
            "questionnaire-optionPrefix",
            "regex",
            "rendered-value",
            "rendering-style",
            "rendering-xhtml",
            "tz-offset",
        ],
    ),
    (&["string", "url"], &["originalText"]),
    (&["uri"], &["questionnaire-supportLink"]),
    (&["url"], &["narrativeLink"]),
];

/// Whether the value of an extension is of a type that the extension has.
pub(super) fn check(report: &mut Report, extension: &Map<String, Value>, place: Place<'_>) {
    let name = extension.get("url").and_then(Value::as_str).and_then(|url| url.strip_prefix(BASE));
    let Some((types, _)) = name.and_then(|name| VALUES.iter().find(|(_, of)| of.contains(&name))) else { return };
    let mut values = extension.keys().filter_map(|key| key.trim_start_matches('_').strip_prefix("value"));
    let is_one = |found: &str| types.iter().any(|due| due.eq_ignore_ascii_case(found));
    if extension.contains_key("extension") || !values.all(is_one) {
        let said = format!("this extension has a {} as its value", types.join(" or a "));
        report.fault(IssueCode::Structure, place, said);
    }
}

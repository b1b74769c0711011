//! What the string of a Reference points at (R4 references, "Literal references").

/// What a literal reference names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// `#id`: a contained resource; the container itself where the id is empty.
    Contained(&'a str),
    /// `urn:uuid:…` or `urn:oid:…`, whole: the entry of that `fullUrl`.
    Urn(&'a str),
    /// `Patient/1` or `Patient/1/_history/2`.
    Relative {
        /// The resource type.
        kind: &'a str,
        /// The logical id.
        id: &'a str,
        /// The version id.
        version: Option<&'a str>,
    },
    /// `https://…/Patient/1`, with or without a version.
    Absolute {
        /// The service base, without a slash at its end.
        base: &'a str,
        /// The resource type.
        kind: &'a str,
        /// The logical id.
        id: &'a str,
        /// The version id.
        version: Option<&'a str>,
    },
    /// Anything else: another URL, a search, something that is no reference.
    Other(&'a str),
}

/// Reads a literal reference. There is no failing: what has no known form is `Other`.
pub fn parse(literal: &str) -> Target<'_> {
    if let Some(id) = literal.strip_prefix('#') {
        return if id.is_empty() || is_id(id) { Target::Contained(id) } else { Target::Other(literal) };
    }
    if is_urn(literal) {
        return Target::Urn(literal);
    }
    let (rest, version) = match literal.rsplit_once("/_history/") {
        Some((rest, version)) if is_id(version) => (rest, Some(version)),
        Some(_) => return Target::Other(literal),
        None => (literal, None),
    };
    let Some((before, id)) = rest.rsplit_once('/').filter(|(_, id)| is_id(id)) else { return Target::Other(literal) };
    match before.rsplit_once('/') {
        None if is_resource_type(before) => Target::Relative { kind: before, id, version },
        Some((base, kind)) if is_resource_type(kind) && is_http(base) => Target::Absolute { base, kind, id, version },
        _ => Target::Other(literal),
    }
}

/// All but the unreserved characters (RFC 3986, 2.3): `_count` stays readable in a link.
const ENCODED: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A value for use in a search URL, percent-encoded.
pub fn encode(value: &str) -> String {
    percent_encoding::utf8_percent_encode(value, ENCODED).to_string()
}

/// Whether R4 could have this as a logical or version id: `[A-Za-z0-9\-\.]{1,64}`.
pub fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
}

/// Whether this is the name of an R4 resource type.
pub fn is_resource_type(name: &str) -> bool {
    RESOURCE_TYPES.binary_search(&name).is_ok()
}

fn is_urn(literal: &str) -> bool {
    let named = |scheme: &str| literal.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    named("urn:uuid:") || named("urn:oid:")
}

fn is_http(base: &str) -> bool {
    let host = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://"));
    host.is_some_and(|host| !host.is_empty() && !host.contains(['?', '#']))
}

/// Every concrete resource type of R4 (4.0.1), sorted.
#[rustfmt::skip]
pub const RESOURCE_TYPES: &[&str] = &[
    "Account", "ActivityDefinition", "AdverseEvent", "AllergyIntolerance", "Appointment", "AppointmentResponse",
    "AuditEvent", "Basic", "Binary", "BiologicallyDerivedProduct", "BodyStructure", "Bundle", "CapabilityStatement",
    "CarePlan", "CareTeam", "CatalogEntry", "ChargeItem", "ChargeItemDefinition", "Claim", "ClaimResponse",
    "ClinicalImpression", "CodeSystem", "Communication", "CommunicationRequest", "CompartmentDefinition",
    "Composition", "ConceptMap", "Condition", "Consent", "Contract", "Coverage", "CoverageEligibilityRequest",
    "CoverageEligibilityResponse", "DetectedIssue", "Device", "DeviceDefinition", "DeviceMetric", "DeviceRequest",
    "DeviceUseStatement", "DiagnosticReport", "DocumentManifest", "DocumentReference", "EffectEvidenceSynthesis",
    "Encounter", "Endpoint", "EnrollmentRequest", "EnrollmentResponse", "EpisodeOfCare", "EventDefinition",
    "Evidence", "EvidenceVariable", "ExampleScenario", "ExplanationOfBenefit", "FamilyMemberHistory", "Flag", "Goal",
    "GraphDefinition", "Group", "GuidanceResponse", "HealthcareService", "ImagingStudy", "Immunization",
    "ImmunizationEvaluation", "ImmunizationRecommendation", "ImplementationGuide", "InsurancePlan", "Invoice",
    "Library", "Linkage", "List", "Location", "Measure", "MeasureReport", "Media", "Medication",
    "MedicationAdministration", "MedicationDispense", "MedicationKnowledge", "MedicationRequest",
    "MedicationStatement", "MedicinalProduct", "MedicinalProductAuthorization", "MedicinalProductContraindication",
    "MedicinalProductIndication", "MedicinalProductIngredient", "MedicinalProductInteraction",
    "MedicinalProductManufactured", "MedicinalProductPackaged", "MedicinalProductPharmaceutical",
    "MedicinalProductUndesirableEffect", "MessageDefinition", "MessageHeader", "MolecularSequence", "NamingSystem",
    "NutritionOrder", "Observation", "ObservationDefinition", "OperationDefinition", "OperationOutcome",
    "Organization", "OrganizationAffiliation", "Parameters", "Patient", "PaymentNotice", "PaymentReconciliation", "Person",
    "PlanDefinition", "Practitioner", "PractitionerRole", "Procedure", "Provenance", "Questionnaire",
    "QuestionnaireResponse", "RelatedPerson", "RequestGroup", "ResearchDefinition", "ResearchElementDefinition",
    "ResearchStudy", "ResearchSubject", "RiskAssessment", "RiskEvidenceSynthesis", "Schedule", "SearchParameter",
    "ServiceRequest", "Slot", "Specimen", "SpecimenDefinition", "StructureDefinition", "StructureMap", "Subscription",
    "Substance", "SubstanceNucleicAcid", "SubstancePolymer", "SubstanceProtein", "SubstanceReferenceInformation",
    "SubstanceSourceMaterial", "SubstanceSpecification", "SupplyDelivery", "SupplyRequest", "Task",
    "TerminologyCapabilities", "TestReport", "TestScript", "ValueSet", "VerificationResult", "VisionPrescription",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_table_is_sorted_and_whole() {
        assert!(RESOURCE_TYPES.is_sorted());
        assert_eq!(RESOURCE_TYPES.len(), 146);
        for name in ["ServiceRequest", "Task", "Bundle", "Consent", "Parameters", "OperationOutcome"] {
            assert!(is_resource_type(name), "{name}");
        }
        for name in ["serviceRequest", "Resource", "DomainResource", "Referral", ""] {
            assert!(!is_resource_type(name), "{name}");
        }
    }

    #[test]
    fn literals_are_told_apart() {
        assert_eq!(parse("#p1"), Target::Contained("p1"));
        assert_eq!(parse("#"), Target::Contained(""));
        assert_eq!(parse("urn:uuid:c757873d"), Target::Urn("urn:uuid:c757873d"));
        assert_eq!(parse("Patient/1"), Target::Relative { kind: "Patient", id: "1", version: None });
        assert_eq!(parse("Patient/1/_history/2"), Target::Relative { kind: "Patient", id: "1", version: Some("2") });
        let base = "https://ehr.example/fhir/R4";
        assert_eq!(
            parse("https://ehr.example/fhir/R4/Task/a.b-c"),
            Target::Absolute { base, kind: "Task", id: "a.b-c", version: None }
        );
        assert_eq!(
            parse("https://ehr.example/fhir/R4/Task/7/_history/1"),
            Target::Absolute { base, kind: "Task", id: "7", version: Some("1") }
        );
        for other in [
            "",
            "Patient",
            "Patient/",
            "/Patient/1",
            "patient/1",
            "fhir/Patient/1",
            "Patient?identifier=x|1",
            "Patient/1#x",
            "Patient/1/_history/",
            "https://ehr.example/?q=/Patient/1",
            "ftp://a/Patient/1",
            "https:///Patient/1",
            "#a b",
        ] {
            assert_eq!(parse(other), Target::Other(other));
        }
    }

    proptest! {
        #[test]
        fn what_was_put_together_is_taken_apart(
            kind in prop::sample::select(RESOURCE_TYPES),
            id in "[A-Za-z0-9.-]{1,64}",
            version in prop::option::of("[A-Za-z0-9.-]{1,64}"),
            base in prop::option::of("https?://[a-z.]{1,10}(:[0-9]{2,4})?(/[a-z0-9]{1,5}){0,3}"),
        ) {
            let mut literal = base.as_ref().map_or_else(String::new, |base| format!("{base}/"));
            literal.push_str(&format!("{kind}/{id}"));
            if let Some(version) = &version {
                literal.push_str(&format!("/_history/{version}"));
            }
            let version = version.as_deref();
            let expected = match &base {
                Some(base) => Target::Absolute { base, kind, id: &id, version },
                None => Target::Relative { kind, id: &id, version },
            };
            prop_assert_eq!(parse(&literal), expected);
        }

        #[test]
        fn no_text_crashes_it(text in ".{0,60}") {
            let _ = parse(&text);
        }
    }
}

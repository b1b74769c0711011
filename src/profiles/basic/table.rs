//! What the basic checks know of R4: shapes, cardinality and required bindings of the elements that a referral's routing and
//! reading rest on (R4 4.0.1, the definitions of each resource).

/// The shape that an element has in JSON.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// A string of one of these codes.
    Code(&'static [&'static str]),
    /// A string.
    Text,
    /// An object.
    Object,
    /// A list of objects.
    List,
}

/// What is known of one element: its name, its shape, and whether it must be there.
pub(super) type Element = (&'static str, Shape, bool);

/// The R4 type of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DateType {
    Date,
    DateTime,
    Instant,
}

use Shape::{Code, List, Object, Text};

const MUST: bool = true;
const MAY: bool = false;

/// Elements that every resource may have.
pub(super) const OF_ALL: &[Element] = &[
    ("id", Text, MAY),
    ("meta", Object, MAY),
    ("implicitRules", Text, MAY),
    ("language", Text, MAY),
    ("text", Object, MAY),
    ("contained", List, MAY),
    ("extension", List, MAY),
    ("modifierExtension", List, MAY),
];

/// Elements of the resource types that a referral carries.
pub(super) fn elements(kind: &str) -> &'static [Element] {
    match kind {
        "Bundle" => &[
            ("identifier", Object, MAY),
            ("type", Code(BUNDLE_TYPE), MUST),
            ("link", List, MAY),
            ("entry", List, MAY),
            ("signature", Object, MAY),
        ],
        "Communication" => &[
            ("identifier", List, MAY),
            ("basedOn", List, MAY),
            ("partOf", List, MAY),
            ("status", Code(EVENT_STATUS), MUST),
            ("statusReason", Object, MAY),
            ("category", List, MAY),
            ("priority", Code(REQUEST_PRIORITY), MAY),
            ("subject", Object, MAY),
            ("about", List, MAY),
            ("recipient", List, MAY),
            ("sender", Object, MAY),
            ("payload", List, MAY),
            ("note", List, MAY),
        ],
        "Condition" => &[
            ("identifier", List, MAY),
            ("clinicalStatus", Object, MAY),
            ("verificationStatus", Object, MAY),
            ("category", List, MAY),
            ("severity", Object, MAY),
            ("code", Object, MAY),
            ("subject", Object, MUST),
            ("encounter", Object, MAY),
            ("note", List, MAY),
        ],
        "Consent" => &[
            ("identifier", List, MAY),
            ("status", Code(CONSENT_STATUS), MUST),
            ("scope", Object, MUST),
            ("category", List, MUST),
            ("patient", Object, MAY),
            ("performer", List, MAY),
            ("organization", List, MAY),
            ("policy", List, MAY),
            ("policyRule", Object, MAY),
            ("provision", Object, MAY),
        ],
        "DocumentReference" => &[
            ("identifier", List, MAY),
            ("status", Code(DOCUMENT_STATUS), MUST),
            ("docStatus", Code(COMPOSITION_STATUS), MAY),
            ("type", Object, MAY),
            ("category", List, MAY),
            ("subject", Object, MAY),
            ("author", List, MAY),
            ("custodian", Object, MAY),
            ("relatesTo", List, MAY),
            ("content", List, MUST),
            ("context", Object, MAY),
        ],
        "Flag" => &[
            ("identifier", List, MAY),
            ("status", Code(FLAG_STATUS), MUST),
            ("category", List, MAY),
            ("code", Object, MUST),
            ("subject", Object, MUST),
            ("period", Object, MAY),
            ("author", Object, MAY),
        ],
        "HealthcareService" | "Location" => &[("identifier", List, MAY), ("telecom", List, MAY), ("name", Text, MAY)],
        "Observation" => &[
            ("identifier", List, MAY),
            ("basedOn", List, MAY),
            ("status", Code(OBSERVATION_STATUS), MUST),
            ("category", List, MAY),
            ("code", Object, MUST),
            ("subject", Object, MAY),
            ("performer", List, MAY),
            ("interpretation", List, MAY),
            ("note", List, MAY),
            ("component", List, MAY),
        ],
        "Organization" => &[
            ("identifier", List, MAY),
            ("type", List, MAY),
            ("name", Text, MAY),
            ("telecom", List, MAY),
            ("address", List, MAY),
            ("partOf", Object, MAY),
            ("contact", List, MAY),
        ],
        "Patient" | "Practitioner" | "RelatedPerson" | "Person" => person(kind == "RelatedPerson"),
        "PractitionerRole" => &[
            ("identifier", List, MAY),
            ("period", Object, MAY),
            ("practitioner", Object, MAY),
            ("organization", Object, MAY),
            ("code", List, MAY),
            ("specialty", List, MAY),
            ("location", List, MAY),
            ("healthcareService", List, MAY),
            ("telecom", List, MAY),
        ],
        "Provenance" => &[
            ("target", List, MUST),
            ("recorded", Text, MUST),
            ("reason", List, MAY),
            ("activity", Object, MAY),
            ("agent", List, MUST),
            ("entity", List, MAY),
            ("signature", List, MAY),
        ],
        "QuestionnaireResponse" => &[
            ("identifier", Object, MAY),
            ("basedOn", List, MAY),
            ("questionnaire", Text, MAY),
            ("status", Code(ANSWERS_STATUS), MUST),
            ("subject", Object, MAY),
            ("author", Object, MAY),
            ("source", Object, MAY),
            ("item", List, MAY),
        ],
        "ServiceRequest" => SERVICE_REQUEST,
        "Task" => TASK,
        _ => &[],
    }
}

/// The people of R4 have these in common; a RelatedPerson is related to somebody.
fn person(related: bool) -> &'static [Element] {
    const PERSON: &[Element] = &[
        ("patient", Object, MUST),
        ("identifier", List, MAY),
        ("name", List, MAY),
        ("telecom", List, MAY),
        ("gender", Code(GENDER), MAY),
        ("birthDate", Text, MAY),
    ];
    if related { PERSON } else { PERSON.get(1..).unwrap_or_default() }
}

const SERVICE_REQUEST: &[Element] = &[
    ("identifier", List, MAY),
    ("basedOn", List, MAY),
    ("replaces", List, MAY),
    ("requisition", Object, MAY),
    ("status", Code(REQUEST_STATUS), MUST),
    ("intent", Code(REQUEST_INTENT), MUST),
    ("category", List, MAY),
    ("priority", Code(REQUEST_PRIORITY), MAY),
    ("code", Object, MAY),
    ("orderDetail", List, MAY),
    ("subject", Object, MUST),
    ("encounter", Object, MAY),
    ("requester", Object, MAY),
    ("performerType", Object, MAY),
    ("performer", List, MAY),
    ("locationCode", List, MAY),
    ("locationReference", List, MAY),
    ("reasonCode", List, MAY),
    ("reasonReference", List, MAY),
    ("supportingInfo", List, MAY),
    ("note", List, MAY),
    ("patientInstruction", Text, MAY),
    ("relevantHistory", List, MAY),
];

const TASK: &[Element] = &[
    ("identifier", List, MAY),
    ("basedOn", List, MAY),
    ("groupIdentifier", Object, MAY),
    ("partOf", List, MAY),
    ("status", Code(TASK_STATUS), MUST),
    ("statusReason", Object, MAY),
    ("businessStatus", Object, MAY),
    ("intent", Code(TASK_INTENT), MUST),
    ("priority", Code(REQUEST_PRIORITY), MAY),
    ("code", Object, MAY),
    ("description", Text, MAY),
    ("focus", Object, MAY),
    ("for", Object, MAY),
    ("encounter", Object, MAY),
    ("executionPeriod", Object, MAY),
    ("requester", Object, MAY),
    ("performerType", List, MAY),
    ("owner", Object, MAY),
    ("reasonCode", Object, MAY),
    ("reasonReference", Object, MAY),
    ("note", List, MAY),
    ("relevantHistory", List, MAY),
    ("restriction", Object, MAY),
    ("input", List, MAY),
    ("output", List, MAY),
];

/// The type of an element that is a date wherever R4 uses its name, and whether R4 has no other use of the name.
pub(super) fn date_type(kind: &str, name: &str) -> Option<(DateType, bool)> {
    Some(match name {
        "birthDate" | "valueDate" => (DateType::Date, true),
        "lastUpdated" | "valueInstant" => (DateType::Instant, true),
        "recorded" | "timestamp" => (DateType::Instant, false),
        "issued" if matches!(kind, "Observation" | "DiagnosticReport") => (DateType::Instant, true),
        "date" if kind == "DocumentReference" => (DateType::Instant, true),
        "authoredOn" | "lastModified" | "dateTime" => (DateType::DateTime, true),
        "authored" | "created" | "creation" | "date" | "end" | "issued" | "received" | "sent" | "start" => {
            (DateType::DateTime, false)
        }
        _ if name.ends_with("DateTime") => (DateType::DateTime, true),
        _ if name.ends_with("Date") => (DateType::DateTime, false),
        _ => return None,
    })
}

const REQUEST_STATUS: &[&str] = &["draft", "active", "on-hold", "revoked", "completed", "entered-in-error", "unknown"];

const REQUEST_INTENT: &[&str] = &[
    "proposal",
    "plan",
    "directive",
    "order",
    "original-order",
    "reflex-order",
    "filler-order",
    "instance-order",
    "option",
];

const REQUEST_PRIORITY: &[&str] = &["routine", "urgent", "asap", "stat"];

const TASK_STATUS: &[&str] = &[
    "draft",
    "requested",
    "received",
    "accepted",
    "rejected",
    "ready",
    "cancelled",
    "in-progress",
    "on-hold",
    "failed",
    "completed",
    "entered-in-error",
];

const TASK_INTENT: &[&str] = &[
    "unknown",
    "proposal",
    "plan",
    "order",
    "original-order",
    "reflex-order",
    "filler-order",
    "instance-order",
    "option",
];

const EVENT_STATUS: &[&str] =
    &["preparation", "in-progress", "not-done", "on-hold", "stopped", "completed", "entered-in-error", "unknown"];

const CONSENT_STATUS: &[&str] = &["draft", "proposed", "active", "rejected", "inactive", "entered-in-error"];

const DOCUMENT_STATUS: &[&str] = &["current", "superseded", "entered-in-error"];

const COMPOSITION_STATUS: &[&str] = &["preliminary", "final", "amended", "entered-in-error"];

const FLAG_STATUS: &[&str] = &["active", "inactive", "entered-in-error"];

const OBSERVATION_STATUS: &[&str] =
    &["registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error", "unknown"];

const ANSWERS_STATUS: &[&str] = &["in-progress", "completed", "amended", "entered-in-error", "stopped"];

const GENDER: &[&str] = &["male", "female", "other", "unknown"];

const BUNDLE_TYPE: &[&str] = &[
    "document",
    "message",
    "transaction",
    "transaction-response",
    "batch",
    "batch-response",
    "history",
    "searchset",
    "collection",
];

/// What `Bundle.entry.request.method` may be.
pub(super) const HTTP_VERB: &[&str] = &["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"];

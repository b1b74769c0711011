//! What is wrong with an input, one `Issue` a fault, and the OperationOutcome that tells the sender.
//! Diagnostics name the element and the rule, never what stands in it: an outcome may end up in a log.

use serde_json::{Map, Value, json};

/// Where OperationOutcome.issue says the line of the source (R4 core extension).
pub const LINE_EXTENSION: &str = "http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line";
/// Where OperationOutcome.issue says the column of the source (R4 core extension).
pub const COLUMN_EXTENSION: &str = "http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col";

/// How bad an issue is: R4 `issue-severity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing more could be found out.
    Fatal,
    /// The action was not done.
    Error,
    /// The action was done, but somebody should look.
    Warning,
    /// For the reader's information.
    Information,
}

macro_rules! issue_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// What kind of fault it is: R4 `issue-type`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum IssueCode { $($(#[$doc])* $name,)* }

        impl IssueCode {
            /// Every code, in the order of the R4 code system.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as FHIR writes it.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }
        }
    };
}

issue_codes! {
    /// Content that is invalid against the specification or a profile.
    Invalid = "invalid",
    /// Cannot be parsed, wrong namespace, unknown or misplaced element.
    Structure = "structure",
    /// A required element is missing.
    Required = "required",
    /// An element's value is invalid.
    Value = "value",
    /// A rule that holds between elements is broken.
    Invariant = "invariant",
    /// An authentication, authorisation or permission problem.
    Security = "security",
    /// The client needs to identify itself.
    Login = "login",
    /// The user or system is not known.
    Unknown = "unknown",
    /// The session is over.
    Expired = "expired",
    /// The user has not the rights.
    Forbidden = "forbidden",
    /// Something was left out of the answer on purpose.
    Suppressed = "suppressed",
    /// Processing went wrong.
    Processing = "processing",
    /// The interaction, operation, resource or profile is not supported.
    NotSupported = "not-supported",
    /// It is there already.
    Duplicate = "duplicate",
    /// More matches than one were found.
    MultipleMatches = "multiple-matches",
    /// A thing referred to was not found.
    NotFound = "not-found",
    /// A thing referred to was deleted.
    Deleted = "deleted",
    /// The content is too long.
    TooLong = "too-long",
    /// A code is not one of those allowed.
    CodeInvalid = "code-invalid",
    /// An extension that is not acceptable here.
    Extension = "extension",
    /// Would have taken too many resources.
    TooCostly = "too-costly",
    /// A business rule forbids it.
    BusinessRule = "business-rule",
    /// Somebody else changed it in between.
    Conflict = "conflict",
    /// A passing problem: try again.
    Transient = "transient",
    /// A lock could not be had.
    LockError = "lock-error",
    /// The store is not available.
    NoStore = "no-store",
    /// An unexpected internal error.
    Exception = "exception",
    /// Took too long.
    Timeout = "timeout",
    /// Not all of the answer could be had.
    Incomplete = "incomplete",
    /// Too many requests: slow down.
    Throttled = "throttled",
    /// Says something, finds fault with nothing.
    Informational = "informational",
}

/// One fault, or one thing worth saying.
#[derive(Debug, Clone, PartialEq)]
pub struct Issue {
    /// How bad it is.
    pub severity: Severity,
    /// What kind it is.
    pub code: IssueCode,
    /// FHIRPath of the elements it is about.
    pub expression: Vec<String>,
    /// Plain words for the one who must mend it; never holds what the input said.
    pub diagnostics: String,
    /// Line and column in the source, both from 1.
    pub at: Option<(u32, u32)>,
}

// === impl Severity ===

impl Severity {
    /// The code as FHIR writes it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Fatal => "fatal",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Information => "information",
        }
    }
}

// === impl Issue ===

impl Issue {
    /// A fault because of which the action was not done.
    pub fn error(code: IssueCode, expression: impl Into<String>, diagnostics: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, expression, diagnostics)
    }

    /// Something that was let pass, but that somebody should look at.
    pub fn warning(code: IssueCode, expression: impl Into<String>, diagnostics: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, expression, diagnostics)
    }

    /// Something worth knowing.
    pub fn information(code: IssueCode, expression: impl Into<String>, diagnostics: impl Into<String>) -> Self {
        Self::new(Severity::Information, code, expression, diagnostics)
    }

    /// The same issue with the place in the source where it was met.
    #[must_use]
    pub fn at(mut self, line: u32, column: u32) -> Self {
        self.at = Some((line, column));
        self
    }

    /// An issue of this severity. An empty expression stands for “no element in particular” and is left out of the outcome.
    pub fn new(
        severity: Severity,
        code: IssueCode,
        expression: impl Into<String>,
        diagnostics: impl Into<String>,
    ) -> Self {
        let expression = expression.into();
        let expression = if expression.is_empty() { Vec::new() } else { vec![expression] };
        Self { severity, code, expression, diagnostics: diagnostics.into(), at: None }
    }

    fn to_json(&self) -> Value {
        let mut issue = Map::new();
        if let Some((line, column)) = self.at {
            issue.insert(
                "extension".into(),
                json!([
                    { "url": LINE_EXTENSION, "valueInteger": line },
                    { "url": COLUMN_EXTENSION, "valueInteger": column },
                ]),
            );
        }
        issue.insert("severity".into(), self.severity.code().into());
        issue.insert("code".into(), self.code.code().into());
        if !self.diagnostics.is_empty() {
            issue.insert("diagnostics".into(), self.diagnostics.as_str().into());
        }
        if !self.expression.is_empty() {
            issue.insert("expression".into(), self.expression.clone().into());
        }
        Value::Object(issue)
    }
}

/// The OperationOutcome of these issues. Its `issue` is never empty, as R4 demands: with nothing to say it says so.
pub fn outcome(issues: &[Issue]) -> Value {
    let listed: Vec<Value> = if issues.is_empty() {
        vec![Issue::information(IssueCode::Informational, "", "No fault was found.").to_json()]
    } else {
        issues.iter().map(Issue::to_json).collect()
    };
    json!({ "resourceType": "OperationOutcome", "issue": listed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_names_the_element_and_the_place() {
        let issue = Issue::error(IssueCode::CodeInvalid, "Task.status", "not a Task status").at(3, 14);
        assert_eq!(
            outcome(&[issue]),
            json!({ "resourceType": "OperationOutcome", "issue": [{
                "extension": [
                    { "url": LINE_EXTENSION, "valueInteger": 3 },
                    { "url": COLUMN_EXTENSION, "valueInteger": 14 }],
                "severity": "error", "code": "code-invalid",
                "diagnostics": "not a Task status", "expression": ["Task.status"] }] })
        );
    }

    #[test]
    fn an_outcome_is_never_empty() {
        let said = outcome(&[]);
        assert_eq!(said["issue"][0]["severity"], "information");
        assert!(said["issue"][0].get("expression").is_none());
    }

    #[test]
    fn the_codes_are_those_of_r4() {
        assert_eq!(IssueCode::ALL.len(), 31);
        let well_formed = |code: &str| code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        assert!(IssueCode::ALL.iter().all(|code| well_formed(code.code())));
        assert_eq!(IssueCode::NoStore.code(), "no-store");
    }
}

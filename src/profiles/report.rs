//! What a walk has found, within bounds.

use jiff::Timestamp;
use serde_json::Value;

use super::Finding;
use crate::fhir::{
    outcome::{Issue, IssueCode, Severity},
    path::Place,
};

/// Nobody mends more than so many faults at once; the rest is the same again, or the input was never meant for us. As many warnings.
const FINDINGS_MAX: usize = 200;

/// See the module's documentation.
pub(super) struct Report {
    /// What was found, in the order of the walk.
    pub(super) findings: Vec<Finding>,
    /// The present moment.
    pub(super) now: Timestamp,
    errors: Count,
    others: Count,
}

/// How many there are of one kind, and whether it was said that there are more.
#[derive(Default, Clone, Copy)]
struct Count {
    told: usize,
    full: bool,
}

// === impl Report ===

impl Report {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { findings: Vec::new(), now, errors: Count::default(), others: Count::default() }
    }

    /// Something that R4 forbids.
    pub(super) fn fault(&mut self, code: IssueCode, place: Place<'_>, said: impl Into<String>) {
        self.add(Severity::Error, code, place, said.into(), false);
    }

    /// A rule about the content that is broken, beyond what R4 itself forbids.
    pub(super) fn broken_rule(&mut self, code: IssueCode, place: Place<'_>, said: impl Into<String>) {
        self.add(Severity::Error, code, place, said.into(), true);
    }

    /// Something that somebody should look at.
    pub(super) fn warning(&mut self, code: IssueCode, place: Place<'_>, said: impl Into<String>) {
        self.add(Severity::Warning, code, place, said.into(), false);
    }

    /// Whether something is wrong.
    pub(super) fn has_errors(&self) -> bool {
        self.errors.told > 0
    }

    /// Takes over what another has found.
    pub(super) fn join(&mut self, other: Self) {
        for finding in other.findings {
            let count = if finding.issue.severity <= Severity::Error { &mut self.errors } else { &mut self.others };
            if count.told < FINDINGS_MAX {
                count.told += 1;
                self.findings.push(finding);
            }
        }
    }

    fn add(&mut self, severity: Severity, code: IssueCode, place: Place<'_>, said: String, rule: bool) {
        let count = if severity <= Severity::Error { &mut self.errors } else { &mut self.others };
        if count.full {
            return;
        }
        if count.told >= FINDINGS_MAX {
            count.full = true;
            let said = format!("there are more than {FINDINGS_MAX} of these: the others are not listed");
            let issue = Issue::new(severity, IssueCode::TooCostly, place.root(), said);
            self.findings.push(Finding { issue, rule: false });
            return;
        }
        count.told += 1;
        let issue = Issue::new(severity, code, place.to_string(), said);
        self.findings.push(Finding { issue, rule });
    }
}

/// What a value is, in words.
pub(super) fn called(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

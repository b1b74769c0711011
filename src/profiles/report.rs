//! What a walk has found, within bounds.

use jiff::Timestamp;
use serde_json::Value;

use crate::fhir::{
    outcome::{Issue, IssueCode, Severity},
    path::Place,
};

/// Nobody mends more than so many faults at once; the rest is the same again, or the input was never meant for us. As many warnings.
const FINDINGS_MAX: usize = 200;

/// Steps of all rules in FHIRPath together, for one input: some hundred milliseconds.
const STEPS_MAX: usize = 5_000_000;

/// One fault, or one thing worth saying, and what kind of answer it calls for.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What is wrong.
    pub issue: Issue,
    /// Whether it is a rule about the content that is broken (422), and not R4 itself (400).
    pub rule: bool,
}

/// See the module's documentation.
pub(super) struct Report {
    /// What was found, in the order of the walk.
    pub(super) findings: Vec<Finding>,
    /// The present moment.
    pub(super) now: Timestamp,
    /// What rules in FHIRPath may still take, all together.
    pub(super) steps: usize,
    /// Whether it was said that some were not asked.
    unasked: bool,
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
        Self {
            findings: Vec::new(),
            now,
            steps: STEPS_MAX,
            unasked: false,
            errors: Count::default(),
            others: Count::default(),
        }
    }

    /// Another one to try something with; what it takes is taken from this one when they are joined.
    pub(super) fn beside(&self) -> Self {
        Self { steps: self.steps, unasked: self.unasked, ..Self::new(self.now) }
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

    /// Something worth knowing.
    pub(super) fn note(&mut self, severity: Severity, code: IssueCode, place: Place<'_>, said: impl Into<String>) {
        self.add(severity, code, place, said.into(), false);
    }

    /// Rules that were not asked, because the resource is too great for them.
    pub(super) fn unasked(&mut self, place: Place<'_>) {
        if !self.unasked {
            self.unasked = true;
            let said = "the resource is too great to ask all its rules: from here on some were left out";
            self.warning(IssueCode::TooCostly, place, said);
        }
    }

    /// Whether something is wrong.
    pub(super) fn has_errors(&self) -> bool {
        self.errors.told > 0
    }

    /// Takes over what another has found.
    pub(super) fn join(&mut self, other: Self) {
        self.steps = self.steps.min(other.steps);
        self.unasked |= other.unasked;
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
        let at = place.to_string();
        // two profiles may ask for the same, or one twice
        let is_known = |f: &Finding| f.issue.diagnostics == said && f.issue.expression.first() == Some(&at);
        if rule && self.findings.iter().any(is_known) {
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
        let issue = Issue::new(severity, code, at, said);
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

//! Whether a refusal may heal, by HTTP status and OperationOutcome.
//!
//! | status | without an outcome, or with a mixed one | with one |
//! |---|---|---|
//! | 401, 403, 408, 425, 500 to 599 | may heal | |
//! | 500 | may heal | permanent, where every error is about the content |
//! | 429 | wants a pause | |
//! | any other | permanent | may heal, where every error is a passing one; wants a pause, where every error is `throttled` |
//! | 501 | permanent | the same |
//! | 505 | permanent | |
//!
//! 401 and 403 may heal because a token that ran out or a right not yet given is mended in a configuration, and the referral must
//! then go on by itself. 502, 503 and 504 speak for a server that is not there, whatever stands beside them. An error is an issue
//! of severity `error` or `fatal`. The groups are those of R4's code system `issue-type`: passing is `transient` with its children;
//! about the content is `invalid` with its children, and of `processing` those that the same content meets again. `processing`
//! itself is not among them, because servers say it of every fault, their own included.

use hyper::StatusCode;
use serde_json::Value;

use crate::fhir::{IssueCode, tree};

/// What a refusal means for the next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may be another answer next time.
    Transient,
    /// The same, and the server is well: it wants a pause.
    Throttled,
    /// It will be the same next time.
    Permanent,
}

/// `transient` and what is below it.
const PASSING: &[IssueCode] = &[
    IssueCode::Transient,
    IssueCode::LockError,
    IssueCode::NoStore,
    IssueCode::Exception,
    IssueCode::Timeout,
    IssueCode::Incomplete,
    IssueCode::Throttled,
];

/// `invalid` with what is below it, and what else stays true of the same content.
const OF_THE_CONTENT: &[IssueCode] = &[
    IssueCode::Invalid,
    IssueCode::Structure,
    IssueCode::Required,
    IssueCode::Value,
    IssueCode::Invariant,
    IssueCode::NotSupported,
    IssueCode::TooLong,
    IssueCode::CodeInvalid,
    IssueCode::Extension,
    IssueCode::BusinessRule,
];

/// What an answer that is no success means.
pub(super) fn of(status: StatusCode, body: Option<&Value>) -> Verdict {
    let errors = errors(body);
    let all = |group: &[IssueCode]| {
        !errors.is_empty() && errors.iter().all(|error| error.is_some_and(|error| group.contains(&error)))
    };
    match status.as_u16() {
        429 => Verdict::Throttled,
        401 | 403 | 408 | 425 => Verdict::Transient,
        500 if all(OF_THE_CONTENT) => Verdict::Permanent,
        505 => Verdict::Permanent,
        code if code >= 500 && code != 501 => Verdict::Transient,
        _ if all(&[IssueCode::Throttled]) => Verdict::Throttled,
        _ if all(PASSING) => Verdict::Transient,
        _ => Verdict::Permanent,
    }
}

/// The codes of an outcome's errors; none for one that R4 does not know.
fn errors(body: Option<&Value>) -> Vec<Option<IssueCode>> {
    let Some(outcome) = body.filter(|body| tree::resource_type(body) == Some("OperationOutcome")) else {
        return vec![];
    };
    let text = |issue: &Value, key: &str| issue.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let is_error = |issue: &&Value| matches!(text(issue, "severity").as_str(), "error" | "fatal");
    let code = |issue: &Value| IssueCode::ALL.iter().copied().find(|known| known.code() == text(issue, "code"));
    tree::items(outcome, "issue").iter().filter(is_error).map(code).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verdict(status: u16, codes: &[&str]) -> Verdict {
        let issues: Vec<Value> = codes.iter().map(|c| json!({"severity": "error", "code": c})).collect();
        let outcome = json!({"resourceType": "OperationOutcome", "issue": issues});
        of(StatusCode::from_u16(status).unwrap(), Some(&outcome))
    }

    #[test]
    fn every_code_belongs_where_r4_puts_it() {
        for code in PASSING {
            assert!(!OF_THE_CONTENT.contains(code));
            for status in [400, 404, 409, 412, 422, 501] {
                assert_ne!(verdict(status, &[code.code()]), Verdict::Permanent, "{status} {}", code.code());
            }
        }
        for code in IssueCode::ALL {
            let passing = PASSING.contains(code);
            assert_eq!(verdict(422, &[code.code()]) == Verdict::Permanent, !passing, "{}", code.code());
            let permanent = verdict(500, &[code.code()]) == Verdict::Permanent;
            assert_eq!(permanent, OF_THE_CONTENT.contains(code), "{}", code.code());
            for status in [401, 403, 408, 425, 502, 503, 504] {
                assert_eq!(verdict(status, &[code.code()]), Verdict::Transient, "{status} {}", code.code());
            }
            assert_eq!(verdict(429, &[code.code()]), Verdict::Throttled);
            assert_eq!(verdict(505, &[code.code()]), Verdict::Permanent);
        }
    }

    #[test]
    fn one_error_among_others_decides_for_the_status() {
        assert_eq!(verdict(422, &["transient", "timeout"]), Verdict::Transient);
        assert_eq!(verdict(422, &["transient", "invalid"]), Verdict::Permanent);
        assert_eq!(verdict(422, &["transient", "no such code"]), Verdict::Permanent);
        assert_eq!(verdict(400, &["throttled"]), Verdict::Throttled);
        assert_eq!(verdict(400, &["throttled", "lock-error"]), Verdict::Transient);
        assert_eq!(verdict(500, &["invalid", "not-supported"]), Verdict::Permanent);
        assert_eq!(verdict(500, &["invalid", "exception"]), Verdict::Transient);
        assert_eq!(verdict(500, &["processing"]), Verdict::Transient);
        assert_eq!((verdict(422, &[]), verdict(500, &[])), (Verdict::Permanent, Verdict::Transient));
    }

    #[test]
    fn only_errors_of_an_outcome_count() {
        let body = json!({"resourceType": "OperationOutcome", "issue": [
            {"severity": "warning", "code": "invalid"}, {"severity": "fatal", "code": "no-store"}]});
        assert_eq!(of(StatusCode::CONFLICT, Some(&body)), Verdict::Transient);
        let other = json!({"resourceType": "Task", "issue": [{"severity": "error", "code": "transient"}]});
        assert_eq!(of(StatusCode::CONFLICT, Some(&other)), Verdict::Permanent);
    }
}

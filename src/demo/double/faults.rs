//! What can be made to go wrong at a double, while it runs.

use std::time::Duration;

use hyper::{Method, StatusCode};

use crate::fhir::IssueCode;

/// One way in which a request goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// 503, and nothing is done.
    Unavailable {
        /// `Retry-After` in seconds, where it is sent.
        retry_after_s: Option<u32>,
    },
    /// This status with an OperationOutcome, and nothing is done.
    Refuse(StatusCode),
    /// This status with an OperationOutcome of this one code, and nothing is done.
    Outcome(StatusCode, IssueCode),
    /// 429, and nothing is done.
    Throttled {
        /// `Retry-After` in seconds, where it is sent.
        retry_after_s: Option<u32>,
    },
    /// 200 with a page of HTML, and nothing is done.
    Nonsense,
    /// No answer, ever, and nothing is done.
    Hang,
    /// The connection is closed before anything is done.
    Cut,
    /// The request is done, and then the connection is closed instead of an answer.
    AnswerLost,
}

/// Which of the requests that a rule is about it takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum When {
    /// Every one, until the double is healed.
    Always,
    /// The next so many.
    Next(u32),
    /// Every k-th: the k-th, the 2k-th and so on.
    Every(u32),
    /// Each with this probability, drawn from a generator with this seed.
    Chance {
        /// 0 to 1.
        probability: f64,
        /// The same seed gives the same draws.
        seed: u64,
    },
}

/// A fault, when it happens, and to which requests.
#[derive(Debug, Clone)]
pub struct Rule {
    /// What goes wrong.
    pub fault: Fault,
    /// How often.
    pub when: When,
    /// Only requests of this method.
    pub method: Option<Method>,
    /// Only requests to this resource type; `Some("")` is the base, where transactions go.
    pub kind: Option<String>,
}

impl Rule {
    /// A rule for all requests.
    pub fn new(fault: Fault, when: When) -> Self {
        Self { fault, when, method: None, kind: None }
    }

    /// The same, only for this method.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = Some(method);
        self
    }

    /// The same, only for this resource type; "" is the base, where transactions go.
    #[must_use]
    pub fn kind(mut self, kind: &str) -> Self {
        self.kind = Some(kind.to_owned());
        self
    }
}

/// The rules in force.
#[derive(Default)]
pub(super) struct Faults {
    rules: Vec<Armed>,
    pub(super) slow: Duration,
}

struct Armed {
    rule: Rule,
    seen: u32,
    dice: fastrand::Rng,
}

impl Faults {
    pub(super) fn add(&mut self, rule: Rule) {
        let seed = if let When::Chance { seed, .. } = rule.when { seed } else { 0 };
        self.rules.push(Armed { rule, seen: 0, dice: fastrand::Rng::with_seed(seed) });
    }

    pub(super) fn heal(&mut self) {
        self.rules.clear();
        self.slow = Duration::ZERO;
    }

    /// What goes wrong with this request: the first rule that takes it decides.
    pub(super) fn draw(&mut self, method: &Method, kind: &str) -> Option<Fault> {
        self.rules.iter_mut().find_map(|armed| armed.takes(method, kind).then(|| armed.rule.fault.clone()))
    }
}

impl Armed {
    fn takes(&mut self, method: &Method, kind: &str) -> bool {
        let rule = &self.rule;
        let about = rule.method.as_ref().is_none_or(|m| m == method) && rule.kind.as_ref().is_none_or(|k| k == kind);
        if !about {
            return false;
        }
        self.seen = self.seen.saturating_add(1);
        match rule.when {
            When::Always => true,
            When::Next(n) => self.seen <= n,
            When::Every(k) => k > 0 && self.seen.is_multiple_of(k),
            When::Chance { probability, .. } => self.dice.f64() < probability,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(when: When) -> Vec<bool> {
        let mut faults = Faults::default();
        faults.add(Rule::new(Fault::Cut, when).method(Method::POST).kind(""));
        assert_eq!(faults.draw(&Method::GET, ""), None);
        assert_eq!(faults.draw(&Method::POST, "Task"), None);
        (0..6).map(|_| faults.draw(&Method::POST, "").is_some()).collect()
    }

    #[test]
    fn a_rule_takes_what_it_says() {
        assert_eq!(taken(When::Always), [true; 6]);
        assert_eq!(taken(When::Next(2)), [true, true, false, false, false, false]);
        assert_eq!(taken(When::Every(3)), [false, false, true, false, false, true]);
        let chance = When::Chance { probability: 0.5, seed: 7 };
        assert_eq!(taken(chance), taken(chance));
    }
}

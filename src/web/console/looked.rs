//! What was found when an endpoint was looked at, remembered for a while: who has it looked at is led to a page that can be loaded again,
//! and does nothing a second time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};

use super::words::Tag;
use crate::onboarding::{Found, Stage, Step};

/// So many findings are remembered, and so long.
const LOOKED_MAX: usize = 200;
const LOOKED_FOR: SignedDuration = SignedDuration::from_mins(60);

/// An endpoint and what was found.
pub(super) struct CheckSaid {
    pub title: &'static str,
    pub steps: Vec<StepSaid>,
}

/// An endpoint that was looked at.
pub(super) struct Check {
    pub title: &'static str,
    pub steps: Vec<Step>,
}

/// When one was looked at, and what was found.
#[derive(Clone)]
pub(super) struct Looked {
    pub at: Timestamp,
    pub checks: Arc<Vec<Check>>,
}

/// What was found lately, by the path of its page: for all who keep Onward running.
#[derive(Default)]
pub(super) struct Lately(Mutex<BTreeMap<String, Looked>>);

/// A step in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StepSaid {
    pub what: &'static str,
    pub tag: Tag,
    pub said: String,
    pub advice: String,
}

// === impl Lately ===

impl Lately {
    /// Keeps what was found; what is too old goes, and the oldest where there is too much.
    pub(super) fn note(&self, path: String, looked: Looked) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, one| is_fresh(one, looked.at));
        if all.len() >= LOOKED_MAX
            && let Some(oldest) = all.iter().min_by_key(|(_, one)| one.at).map(|(path, _)| path.clone())
        {
            all.remove(&oldest);
        }
        all.insert(path, looked);
    }

    pub(super) fn of(&self, path: &str, now: Timestamp) -> Option<Looked> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(path).filter(|one| is_fresh(one, now)).cloned()
    }
}

fn is_fresh(looked: &Looked, now: Timestamp) -> bool {
    now.duration_since(looked.at).abs() <= LOOKED_FOR
}

// === impl CheckSaid ===

impl CheckSaid {
    pub(super) fn of(check: &Check) -> Self {
        Self { title: check.title, steps: check.steps.iter().map(StepSaid::of).collect() }
    }
}

// === impl StepSaid ===

impl StepSaid {
    pub(super) fn of(step: &Step) -> Self {
        let what = match step.stage {
            Stage::Address => "Its name has an address",
            Stage::Connection => "Something answers there",
            Stage::Tls => "It is encrypted (TLS)",
            Stage::Token => "It lets Onward in",
            Stage::Server => "It is a FHIR server",
            Stage::Able => "It can do what is wanted",
        };
        let (tag, said, advice) = match &step.found {
            Found::Good(said) => (Tag::of("Good", "green"), said.clone(), String::new()),
            Found::Doubtful { why, advice } => (Tag::of("Look at it", "yellow"), why.clone(), advice.clone()),
            Found::Bad { why, advice } => (Tag::of("Not right", "red"), why.clone(), advice.clone()),
            Found::NotTried => (Tag::of("Not tried", "grey"), String::new(), String::new()),
        };
        Self { what, tag, said, advice }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_says_what_and_what_to_do() {
        let bad = Found::Bad { why: "no answer".into(), advice: "see that it runs".into() };
        let said = StepSaid::of(&Step { stage: Stage::Connection, found: bad });
        assert_eq!(
            (said.tag.words, said.said.as_str(), said.advice.as_str()),
            ("Not right", "no answer", "see that it runs")
        );
        let said = StepSaid::of(&Step { stage: Stage::Able, found: Found::NotTried });
        assert_eq!((said.tag.words, said.said.as_str()), ("Not tried", ""));
    }

    #[test]
    fn what_was_found_is_remembered_for_a_while_and_not_without_end() {
        let now: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        let at = |seconds: i64| now + SignedDuration::from_secs(seconds);
        let lately = Lately::default();
        for n in 0..=LOOKED_MAX {
            let looked = Looked { at: at(i64::try_from(n).unwrap()), checks: Arc::default() };
            lately.note(format!("/{n}"), looked);
        }
        assert!(lately.of("/0", now).is_none(), "the oldest has made room");
        assert!(lately.of("/1", now).is_some() && lately.of(&format!("/{LOOKED_MAX}"), now).is_some());
        assert!(lately.of("/1", at(3_602)).is_none(), "it says nothing of now");
    }
}

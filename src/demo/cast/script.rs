//! What a provider does with a referral: decided by a seed and the referral's identifier, so that every run of the same
//! referrals goes the same way.

use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::TaskStatus;

/// One in so many referrals is refused, one in so many is put on hold and resumed.
const ONE_IN: u64 = 8;

/// What is said about a referral after it was sent, beside the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Talk {
    /// The provider asks for more, and goes on once the referrer has answered.
    AsksForMore,
    /// The referrer cancels what was accepted, and the provider confirms.
    Cancelled,
}

/// How fast the simulated people work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The longest time a person takes between two steps.
    pub think: Duration,
    /// How often a worklist is looked at.
    pub look: Duration,
    /// `poll-every` of the provider whose copies are polled.
    pub poll: Duration,
}

/// One answer of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The status it sets.
    pub status: TaskStatus,
    /// Code and words of the statusReason.
    pub reason: Option<(&'static str, &'static str)>,
    /// What came of it.
    pub output: Option<&'static str>,
}

const REFUSALS: &[(&str, &str)] = &[
    ("out-of-area", "The person lives outside the area we serve"),
    ("no-capacity", "No place within the next three months"),
    ("not-suitable", "What is asked for is not what we offer"),
];
const OUTPUTS: &[&str] = &[
    "Joined the gardening group on Tuesdays",
    "Six sessions attended; moved on to volunteering",
    "Tenancy signed, keys handed over",
];

// === impl Pace ===

impl Default for Pace {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self { think: ms(600), look: ms(150), poll: ms(200) }
    }
}

impl Pace {
    /// For tests: nobody takes any time.
    pub fn at_once() -> Self {
        let ms = Duration::from_millis;
        Self { think: Duration::ZERO, look: ms(30), poll: ms(100) }
    }

    /// How long the person takes before step number `step`.
    pub fn pause(&self, seed: u64, identifier: &str, step: usize) -> Duration {
        let mut dice = dice(seed, identifier);
        let draw = (0..=step).map(|_| dice.f64()).last().unwrap_or_default();
        self.think.mul_f64(0.05 + 0.95 * draw)
    }
}

// === impl Step ===

impl Step {
    fn plain(status: TaskStatus) -> Self {
        Self { status, reason: None, output: None }
    }

    /// The answer as a JSON Patch on the Task as it stands.
    pub fn patch(&self, task: &Value) -> Value {
        let mut operations = vec![json!({"op": "replace", "path": "/status", "value": self.status.code()})];
        match self.reason_json() {
            Some(reason) => operations.push(json!({"op": "add", "path": "/statusReason", "value": reason})),
            None if task.get("statusReason").is_some() => {
                operations.push(json!({"op": "remove", "path": "/statusReason"}));
            }
            None => {}
        }
        if let Some(output) = self.output_json() {
            operations.push(json!({"op": "add", "path": "/output", "value": [output]}));
        }
        operations.into()
    }

    /// The Task as it stands with the answer put in.
    pub fn applied(&self, task: &Value) -> Value {
        let mut task = task.clone();
        if let Some(object) = task.as_object_mut() {
            object.insert("status".into(), self.status.code().into());
            object.shift_remove("statusReason");
            if let Some(reason) = self.reason_json() {
                object.insert("statusReason".into(), reason);
            }
            if let Some(output) = self.output_json() {
                object.insert("output".into(), json!([output]));
            }
        }
        task
    }

    fn reason_json(&self) -> Option<Value> {
        let (code, text) = self.reason?;
        let coding = json!([{"system": "https://fixtures.example/CodeSystem/answer-reason", "code": code}]);
        Some(json!({"coding": coding, "text": text}))
    }

    fn output_json(&self) -> Option<Value> {
        self.output.map(|text| json!({"type": {"text": "What came of it"}, "valueString": text}))
    }
}

fn dice(seed: u64, identifier: &str) -> fastrand::Rng {
    // FNV-1a: the same on every machine
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ seed;
    for byte in identifier.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    fastrand::Rng::with_seed(hash)
}

/// What is said about a referral, if anything is.
pub fn talk(seed: u64, identifier: &str) -> Option<Talk> {
    match dice(seed.rotate_left(17) ^ 0x5151, identifier).u64(..ONE_IN) {
        0 => Some(Talk::AsksForMore),
        1 => Some(Talk::Cancelled),
        _ => None,
    }
}

/// The answers a referral gets, in order; the last one ends it.
pub fn decide(seed: u64, identifier: &str) -> Vec<Step> {
    let talk = talk(seed, identifier);
    if talk == Some(Talk::Cancelled) {
        let reason = Some(("withdrawn", "Withdrawn by the referrer"));
        return vec![Step::plain(TaskStatus::Accepted), Step { reason, ..Step::plain(TaskStatus::Cancelled) }];
    }
    let mut dice = dice(!seed, identifier);
    let draw = dice.u64(..ONE_IN);
    if draw == 0 && talk.is_none() {
        let reason = dice.choice(REFUSALS).copied();
        return vec![Step { reason, ..Step::plain(TaskStatus::Rejected) }];
    }
    let mut steps = vec![Step::plain(TaskStatus::Accepted), Step::plain(TaskStatus::InProgress)];
    if draw == 1 {
        let reason = Some(("person-away", "In hospital; we go on when they are back"));
        steps.push(Step { reason, ..Step::plain(TaskStatus::OnHold) });
        steps.push(Step::plain(TaskStatus::InProgress));
    }
    let output = dice.choice(OUTPUTS).copied();
    steps.push(Step { output, ..Step::plain(TaskStatus::Completed) });
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{DEFAULT_SEED, referrals::Deck};

    #[test]
    fn the_fixtures_show_everything_once() {
        let mut last = Vec::new();
        let mut held = 0;
        let mut asked = 0;
        for referral in Deck::new(None, None).flat_map(|r| r.referrals) {
            let steps = decide(DEFAULT_SEED, &referral.identifier);
            assert_eq!(steps, decide(DEFAULT_SEED, &referral.identifier));
            asked += usize::from(talk(DEFAULT_SEED, &referral.identifier) == Some(Talk::AsksForMore));
            held += usize::from(steps.iter().any(|s| s.status == TaskStatus::OnHold));
            last.extend(steps.last().map(|s| s.status));
        }
        let refused = last.iter().filter(|s| **s == TaskStatus::Rejected).count();
        assert!((2..=4).contains(&refused) && (1..=3).contains(&held), "{refused} refused, {held} held");
        let cancelled = last.iter().filter(|s| **s == TaskStatus::Cancelled).count();
        assert!((1..=4).contains(&cancelled) && (1..=4).contains(&asked), "{cancelled} cancelled, {asked} asked");
        assert_eq!(last.iter().filter(|s| **s == TaskStatus::Completed).count(), 21 - refused - cancelled);
    }

    #[test]
    fn the_table_allows_every_script() {
        use crate::domain::task::{Answer, TaskState};
        for n in 0..200 {
            let mut state = TaskState::new().delivered();
            let asked = talk(n, "https://x.example|1") == Some(Talk::Cancelled);
            for step in decide(n, "https://x.example|1") {
                state.cancel_requested = asked && step.status == TaskStatus::Cancelled;
                state =
                    state.answer(Answer { to: step.status, has_reason: step.reason.is_some(), aware: true }).unwrap();
            }
            assert!(state.status.is_terminal());
        }
    }

    #[test]
    fn patch_and_put_say_the_same() {
        let task = json!({"resourceType": "Task", "status": "on-hold", "statusReason": {"text": "old"}});
        for n in 0..40 {
            for step in decide(n, "a|b") {
                let patched = crate::patch::json_patch(&task, &step.patch(&task)).unwrap();
                assert_eq!(patched, step.applied(&task));
            }
        }
    }

    #[test]
    fn nobody_takes_longer_than_the_pace_allows() {
        let pace = Pace::default();
        assert!((0..50).all(|n| pace.pause(n, "a|b", 2) <= pace.think));
        assert_eq!(Pace::at_once().pause(1, "a|b", 0), Duration::ZERO);
    }
}

//! What the two sides say after the referral was sent: the referrer changes its ServiceRequest or takes it back, and either side
//! writes to the other. What is said is stored with the journal event that tells of it and goes down the lanes in its order.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    client::FhirClient,
    config::registry::Registry,
    domain::task::Refusal,
    fhir::{Issue, Severity, names, tree},
    intake::{apart::Placed, record::Reading},
    lanes::Relay,
    profiles::{Asked, Validator},
    store::{Appended, NewResource, NewVersion, ResourceKey, Store, StoreError},
};

mod change;
mod known;
mod message;
mod taken_back;

pub use message::{Incoming, Said, unfit};
pub use taken_back::Wrong;

/// How often something is decided again because somebody came in between. Of those who write about a referral at once one gets through each
/// time, so this is more than ever do.
const MOVED_MAX: usize = 100;

/// Why something said is not taken. Nothing of it is stored.
#[derive(Debug, thiserror::Error)]
pub enum ConversationError {
    /// There is no such referral.
    #[error("there is no such referral")]
    NotFound,
    /// The ServiceRequest was changed since the version the change was made from.
    #[error("the ServiceRequest has changed since that version; the current one is {current}")]
    Stale {
        /// The current version.
        current: u64,
    },
    /// The Task does not allow it any more.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It is not right FHIR: 400.
    #[error("what was sent is not valid")]
    Invalid(Vec<Issue>),
    /// It is right FHIR and breaks a rule: 422.
    #[error("what was sent breaks a rule")]
    Rule(Vec<Issue>),
    /// A message is known under its key with other content: 409.
    #[error("a message with this identifier and other content was accepted before")]
    Differs(Issue),
    /// The record that it refers to cannot be read just now: 503.
    #[error("the originating record cannot be read: {0}")]
    RecordAway(String),
    /// The store failed: 503.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// See the module's documentation.
#[derive(Clone)]
pub struct Conversation {
    /// Where it is stored.
    pub store: Arc<dyn Store>,
    /// Who publishes its wake-ups.
    pub relay: Relay,
    /// Systems, inboxes and routes.
    pub registry: Arc<ArcSwap<Registry>>,
    /// How records are read.
    pub client: FhirClient,
    /// The places for reading, shared with intake.
    pub reading: Reading,
    /// What is held against R4 and what is asked beside it.
    pub validator: Arc<Validator>,
    /// Where this Onward is reached.
    pub base_url: String,
}

impl Conversation {
    /// Publishes what a step has woken, and tells of it.
    async fn tell(&self, done: Vec<Appended>, event: &'static str) {
        for appended in done {
            let task = &appended.task;
            let event = if task.is_parent() { "followed" } else { event };
            metrics::counter!("onward_events_total", "event" => event).increment(1);
            tracing::info!(task.id = %task.id, task.status = %task.state.status, event, "said after sending");
            self.relay.publish_all(appended.wake_ups).await;
        }
    }
}

/// Sorts findings into what R4 forbids (400) and what a rule forbids (422).
#[derive(Default)]
struct Faults {
    invalid: Vec<Issue>,
    rule: Vec<Issue>,
}

impl Faults {
    fn rule(&mut self, issue: Issue) {
        self.rule.push(issue);
    }

    /// Ends here where R4 itself is broken: what is not FHIR cannot be looked at further.
    fn refuse_invalid(&mut self) -> Result<(), ConversationError> {
        if self.invalid.is_empty() {
            return Ok(());
        }
        self.invalid.append(&mut self.rule);
        Err(ConversationError::Invalid(std::mem::take(&mut self.invalid)))
    }

    fn into_result(mut self) -> Result<(), ConversationError> {
        self.refuse_invalid()?;
        if self.rule.is_empty() { Ok(()) } else { Err(ConversationError::Rule(self.rule)) }
    }

    /// All that a validator finds wrong.
    fn check(&mut self, resource: &Value, validator: &Validator, asked: &Asked<'_>) {
        for finding in validator.check(resource, "", asked) {
            match finding.issue.severity {
                Severity::Warning | Severity::Information => {}
                _ if finding.rule => self.rule.push(finding.issue),
                _ => self.invalid.push(finding.issue),
            }
        }
    }
}

/// What was read from the sender's record for something, ready to be stored.
fn brought(placed: Vec<Placed>) -> Vec<NewVersion> {
    let version = |placed: Placed| NewVersion {
        resource: NewResource {
            kind: placed.kind,
            id: placed.id,
            origin: placed.origin,
            names: names::of(&placed.body),
            body: placed.body.to_string(),
        },
        version: 1,
        task: None,
        key: None,
    };
    placed.into_iter().map(version).collect()
}

fn new_version(kind: &str, id: Uuid, version: u64, body: &Value, key: Option<ResourceKey>) -> NewVersion {
    let resource =
        NewResource { kind: kind.to_owned(), id, origin: None, names: names::of(body), body: body.to_string() };
    NewVersion { resource, version, task: None, key }
}

/// What was read, by the reference that it was read under.
type Read = BTreeMap<String, Value>;

/// Whether what is said tells of a risk (R4 Flag) of which the ServiceRequest as it was `before` did not tell: one that came with it, or one that
/// `said` carries in itself and that was not carried so before. That one is over is no new risk.
fn tells_of_risk(before: &Value, said: &Value, brought: &[Placed]) -> bool {
    let known = tree::items(before, "contained");
    let is_flag = |one: &&Value| tree::resource_type(one) == Some("Flag");
    let is_over = |one: &Value| matches!(tree::text(one, "status"), Some("inactive" | "entered-in-error"));
    let is_new = |one: &Value| !known.contains(one) && !is_over(one);
    let flags_in = |resource: &Value| tree::items(resource, "contained").iter().any(|one| is_flag(&one));
    let brings = brought.iter().any(|placed| placed.kind == "Flag" || flags_in(&placed.body));
    brings || tree::items(said, "contained").iter().filter(is_flag).any(is_new)
}

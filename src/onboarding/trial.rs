//! A test referral: marked as such, about nobody, to one inbox whatever the routes say. It goes the way of every other; its cancellation is asked
//! for when it has arrived, and one that was given up is taken back at once, for nobody has it. What fails of it is told by its own verdict alone:
//! it leaves no dead letter (`../lanes/told.rs`). One that is still open after a quarter of an hour is taken back, whatever its provider has said
//! and whichever process sent it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    config::Registry,
    conversation::Conversation,
    domain::{InboxId, SystemId, TaskId, TransportStatus},
    fhir::{Issue, names::name, test_data},
    intake::{Incoming, Intake, IntakeError},
    store::{Store, StoreError, is_own_test},
};

/// What has not arrived by then is cancelled all the same.
const ARRIVES_WITHIN: Duration = Duration::from_secs(60);
/// It is looked so often.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What is open for longer is taken back.
const TAKEN_BACK_AFTER: SignedDuration = SignedDuration::from_mins(15);
/// It is looked so often for those.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// So many are taken back in one look, the newest first.
const SWEPT_MAX: usize = 50;
/// So many faults of a refusal are told.
const ISSUES_MAX: usize = 20;

/// Sends test referrals, one at a time.
#[derive(Clone)]
pub struct Trial {
    intake: Intake,
    conversation: Conversation,
    stop: CancellationToken,
    under_way: Arc<Mutex<Option<UnderWay>>>,
}

/// A test that this process has sent and not ended yet.
#[derive(Debug, Clone)]
struct UnderWay {
    id: Uuid,
    /// Its Task, once it was taken.
    task: Option<TaskId>,
    /// It is waited for no longer.
    give_up: CancellationToken,
}

/// One that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// Its Task: what becomes of it is told there.
    pub task: TaskId,
}

/// Why none was sent.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// One is under way.
    #[error("another test referral is under way: wait until it is cancelled")]
    UnderWay,
    /// No such system or inbox.
    #[error("there is no such system or inbox")]
    Unknown,
    /// It would not be taken from that system.
    #[error("it would not be taken: {0}")]
    Refused(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The place of a test among those under way, of which there is one: free again when it is dropped, unless another test has taken it.
struct Place {
    under_way: Arc<Mutex<Option<UnderWay>>>,
    own: UnderWay,
}

/// What became of a test while it was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    /// Its provider has it, or it has ended.
    There,
    /// It will not be tried again, and nobody has it.
    GivenUp,
    /// It may still arrive.
    NotYet,
}

fn locked(under_way: &Mutex<Option<UnderWay>>) -> MutexGuard<'_, Option<UnderWay>> {
    under_way.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Place ===

impl Place {
    /// Its Task is known by now.
    fn of(&self, task: TaskId) {
        if let Some(here) = locked(&self.under_way).as_mut().filter(|here| here.id == self.own.id) {
            here.task = Some(task);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut here = locked(&self.under_way);
        if here.as_ref().is_some_and(|here| here.id == self.own.id) {
            *here = None;
        }
    }
}

// === impl Trial ===

impl Trial {
    /// Over these; what is under way is given up with `stop`. [`Trial::sweep`] takes it back later.
    pub fn new(intake: Intake, conversation: Conversation, stop: CancellationToken) -> Self {
        Self { intake, conversation, stop, under_way: Arc::default() }
    }

    /// Sends one to an inbox as if it came from a system, and sees to it that it is cancelled. `by` is who has it sent.
    ///
    /// # Errors
    /// [`TrialError`]; then nothing was sent.
    pub async fn begin(&self, system: &SystemId, inbox: &InboxId, by: &str) -> Result<Begun, TrialError> {
        let registry = self.intake.registry.load_full();
        if !registry.systems.contains_key(system) || !registry.inboxes.contains_key(inbox) {
            return Err(TrialError::Unknown);
        }
        let place = self.place().await?;
        let routes = registry.routes.of_test(system.clone(), inbox.clone());
        let registry = Arc::new(ArcSwap::from_pointee(Registry { routes, ..Registry::clone(&registry) }));
        let intake = Intake { registry, ..self.intake.clone() };
        let body = referral(Uuid::now_v7(), by, &self.intake.store.now().to_string());
        let incoming = Incoming {
            system: system.clone(),
            expected: "Bundle",
            content_type: "application/fhir+json".to_owned(),
            original: Bytes::from(body.to_string()),
            body,
            faults: vec![],
            if_none_exist: None,
            idempotency_key: None,
            traceparent: None,
        };
        let accepted = intake.accept(incoming).await.map_err(refused)?;
        let sent = accepted.referrals.first().and_then(|one| Some((one.request, *one.tasks.first()?)));
        let (request, task) = sent.ok_or_else(|| TrialError::Refused("it has no Task".to_owned()))?;
        tracing::info!(person = by, task.id = %task, inbox.id = %inbox, "a test referral was sent");
        place.of(task);
        let this = self.clone();
        tokio::spawn(async move {
            let came = place.own.give_up.run_until_cancelled(arrived(&*this.intake.store, task)).await;
            match came.unwrap_or(Came::NotYet) {
                // another process takes it back later
                _ if this.stop.is_cancelled() => false,
                Came::GivenUp => this.change(request, task, "entered-in-error").await,
                Came::There | Came::NotYet => this.change(request, task, "revoked").await,
            };
        });
        Ok(Begun { task })
    }

    /// A place for a test, where there is none under way, or that one has failed: then it is waited for no longer.
    async fn place(&self) -> Result<Place, TrialError> {
        let before = locked(&self.under_way).clone();
        if let Some(before) = &before
            && !self.has_failed(before).await?
        {
            return Err(TrialError::UnderWay);
        }
        let own = UnderWay { id: Uuid::now_v7(), task: None, give_up: self.stop.child_token() };
        let mut here = locked(&self.under_way);
        // of two who ask at once one has it
        if here.as_ref().is_some_and(|here| before.as_ref().is_none_or(|before| before.id != here.id)) {
            return Err(TrialError::UnderWay);
        }
        *here = Some(own.clone());
        drop(here);
        if let Some(before) = before {
            before.give_up.cancel();
        }
        Ok(Place { under_way: Arc::clone(&self.under_way), own })
    }

    /// Whether the last try to send anything of a test came to nothing.
    async fn has_failed(&self, test: &UnderWay) -> Result<bool, StoreError> {
        let Some(task) = test.task else { return Ok(false) };
        let attempts = self.intake.store.attempts(task).await?;
        Ok(attempts.last().is_some_and(|last| last.why.is_some()))
    }

    /// Takes back what is open for too long, until the process stops.
    pub async fn sweep(self) {
        let stop = self.stop.clone();
        stop.run_until_cancelled(async {
            loop {
                tokio::time::sleep(SWEEP_EVERY).await;
                if let Err(error) = self.take_back().await {
                    tracing::warn!(%error, "test referrals cannot be looked for");
                }
            }
        })
        .await;
    }

    /// Takes back the tests that have been open for too long; how many.
    ///
    /// # Errors
    /// [`StoreError`]; then they are looked for again.
    pub async fn take_back(&self) -> Result<usize, StoreError> {
        let store = &self.intake.store;
        let inboxes = self.intake.registry.load().inboxes.keys().cloned().collect();
        let open = store.open_by_name(vec![name(test_data::OWN_VALUE)], inboxes, SWEPT_MAX).await?;
        let now = store.now();
        let mut taken = 0;
        for (task, _) in open {
            let is_late = now.duration_since(task.created) >= TAKEN_BACK_AFTER;
            if is_late && is_own_test(&**store, task.id).await? {
                taken += usize::from(self.change(task.request, task.id, "entered-in-error").await);
            }
        }
        Ok(taken)
    }

    /// Has the system that it came from say this of it; whether that was taken.
    async fn change(&self, request: Uuid, task: TaskId, status: &str) -> bool {
        let version = self.intake.store.resource("ServiceRequest", request, None).await;
        let version = version.ok().flatten().map_or(1, |(stored, _)| stored.version);
        let wanted = |current: &Value| {
            let mut wanted = current.clone();
            if let Some(now) = wanted.get_mut("status") {
                *now = status.into();
            }
            Ok(wanted)
        };
        match self.conversation.change(request, version, wanted).await {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(%error, task.id = %task, status, "a test referral could not be ended");
                false
            }
        }
    }
}

/// Waits until it has arrived or has ended, was given up, or will not arrive soon.
async fn arrived(store: &dyn Store, task: TaskId) -> Came {
    let until = Instant::now() + ARRIVES_WITHIN;
    while Instant::now() < until {
        match store.task(task).await {
            Ok(Some(task)) if task.state.transport == Some(TransportStatus::Undeliverable) => return Came::GivenUp,
            Ok(Some(task)) if !task.state.sent && !task.state.status.is_terminal() => {}
            Ok(Some(_) | None) => return Came::There,
            // it may be there again shortly
            Err(_) => {}
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Came::NotYet
}

fn refused(error: IntakeError) -> TrialError {
    match error {
        IntakeError::Store(error) => TrialError::Store(error),
        IntakeError::Invalid(issues) | IntakeError::Rule(issues) => {
            let told = |issue: &Issue| format!("{}: {}", issue.expression.join(", "), issue.diagnostics);
            TrialError::Refused(issues.iter().take(ISSUES_MAX).map(told).collect::<Vec<_>>().join("; "))
        }
        other => TrialError::Refused(other.to_string()),
    }
}

/// A referral of nobody, marked as a test in each of its parts and in words.
fn referral(id: Uuid, by: &str, at: &str) -> Value {
    let test = json!({"tag": [test_data::tag()]});
    let (patient, request) = (format!("urn:uuid:{}", Uuid::now_v7()), format!("urn:uuid:{id}"));
    let entry = |url: &str, resource: Value| {
        let kind = resource["resourceType"].clone();
        json!({"fullUrl": url, "resource": resource, "request": {"method": "POST", "url": kind}})
    };
    json!({
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            entry(&patient, json!({
                "resourceType": "Patient",
                "meta": test,
                "identifier": [{"system": "urn:ietf:rfc:3986", "value": patient}],
                "name": [{"use": "official", "family": "TEST", "given": ["Onward"]}],
            })),
            entry(&request, json!({
                "resourceType": "ServiceRequest",
                "meta": test,
                "identifier": [{"system": "urn:ietf:rfc:3986", "value": request}, test_data::own_identifier()],
                "status": "active",
                "intent": "order",
                "code": {"text": "Test of the connection: nobody is referred, nothing is to be done"},
                "subject": {"reference": patient, "display": "TEST"},
                "authoredOn": at,
                "note": [{"text": format!("Sent by {by} to see whether referrals arrive. You will be asked to cancel it: please do. It is taken back by itself after a quarter of an hour.")}],
            })),
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        intake::apart,
        profiles::{Asked, Validator},
    };

    #[test]
    fn it_is_right_fhir_and_says_in_each_part_that_it_is_a_test() {
        let body = referral(Uuid::now_v7(), "local:olive", "2026-03-02T09:00:00Z");
        let at = "2026-03-02T09:00:00Z".parse().unwrap();
        let apart = apart::read(body, "Bundle", &Validator::default(), &Asked::at(at)).unwrap();
        assert_eq!((apart.drafts.len(), apart.items.len()), (1, 2));
        for item in &apart.items {
            assert!(test_data::is_test(&item.resource), "{}", item.kind);
        }
        assert_eq!(apart.notes, vec![], "nothing is to be said of it");
    }
}

//! A test referral: marked as such, about nobody, to one inbox whatever the routes say. It goes the way of every other, so what fails is
//! told where it is told of every other; and its cancellation is asked for when it has arrived. One that is still open after a quarter of an
//! hour is taken back, whatever its provider has said and whichever process sent it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
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
    domain::{InboxId, SystemId, TaskId},
    fhir::{Issue, names::name, test_data},
    intake::{Incoming, Intake, IntakeError},
    store::{Store, StoreError},
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
    is_busy: Arc<AtomicBool>,
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

/// Ends with whatever it stands for.
struct Busy(Arc<AtomicBool>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

// === impl Trial ===

impl Trial {
    /// Over these; what is under way is given up with `stop`. [`Trial::sweep`] takes it back later.
    pub fn new(intake: Intake, conversation: Conversation, stop: CancellationToken) -> Self {
        Self { intake, conversation, stop, is_busy: Arc::default() }
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
        if self.is_busy.swap(true, Ordering::AcqRel) {
            return Err(TrialError::UnderWay);
        }
        let busy = Busy(Arc::clone(&self.is_busy));
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
        let this = self.clone();
        tokio::spawn(async move {
            let _busy = busy;
            if this.stop.run_until_cancelled(arrived(&*this.intake.store, task)).await.is_some() {
                this.change(request, task, "revoked").await;
            }
        });
        Ok(Begun { task })
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
        for (task, resources) in open {
            let request = resources.iter().find(|one| one.kind == "ServiceRequest" && one.id == task.request);
            let is_own =
                request.and_then(|one| serde_json::from_str(&one.body).ok()).is_some_and(|one| test_data::is_own(&one));
            if is_own && now.duration_since(task.created) >= TAKEN_BACK_AFTER {
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

/// Waits until it has arrived or has ended, or will not soon.
async fn arrived(store: &dyn Store, task: TaskId) {
    let until = Instant::now() + ARRIVES_WITHIN;
    while Instant::now() < until {
        match store.task(task).await {
            Ok(Some(task)) if !task.state.sent && !task.state.status.is_terminal() => {}
            Ok(Some(_) | None) => return,
            // it may be there again shortly
            Err(_) => {}
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
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

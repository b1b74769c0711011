//! What was awaited and did not come: once its time has passed, the Task says so, the record is told by the write-back lane, and
//! an alert goes out, all in one commit. Any number of replicas may look; what one has told, no other tells.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use super::{escalation, parent, write_back_lanes};
use crate::{
    config::registry::Registry,
    domain::{Actor, Alert, AlertKind, Event, clock::instant},
    fhir::task as fhir_task,
    lanes::{Relay, task_body},
    store::{Append, AppendError, NewEvent, Store, StoreError, TaskRecord, turn},
};

/// The store is asked this often for Tasks whose time has passed.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// At most so many in one go.
const AT_ONCE: usize = 100;
/// A Task is ours to look at for so long.
const LEASE: Duration = Duration::from_secs(60);
/// How often one is decided again because something came in between.
const MOVED_MAX: usize = 20;

/// See the module's documentation.
pub struct Deadlines {
    /// Where the Tasks are.
    pub store: Arc<dyn Store>,
    /// Who publishes what goes to the record.
    pub relay: Relay,
    /// Which systems have a record.
    pub registry: Arc<ArcSwap<Registry>>,
    /// Where this Onward is reached.
    pub base_url: String,
}

impl Deadlines {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let full = match self.store.claim_deadlines(AT_ONCE, LEASE).await {
                Ok(due) => {
                    let full = due.len() == AT_ONCE;
                    for task in due {
                        let id = task.id;
                        if let Err(error) = self.lapse(task).await {
                            tracing::warn!(task.id = %id, %error, "what was awaited could not be looked at; it is tried again");
                        }
                    }
                    full
                }
                Err(error) => {
                    tracing::warn!(%error, "the deadlines cannot be read");
                    false
                }
            };
            let wait = if full { Duration::ZERO } else { LOOK_EVERY };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn lapse(&self, mut task: TaskRecord) -> Result<(), StoreError> {
        for lost in 0..MOVED_MAX {
            turn(lost).await;
            let append = self.decide(&task).await?;
            let names: Vec<_> = append.events.iter().map(|e| e.event.name()).collect();
            let registry = self.registry.load_full();
            match parent::commit(&*self.store, &registry, &task, append).await {
                Ok(appended) => {
                    for event in names {
                        metrics::counter!("onward_events_total", "event" => event).increment(1);
                        tracing::warn!(task.id = %task.id, inbox.id = %task.inbox, event, "what was awaited has not come");
                    }
                    self.relay.publish_all(appended.wake_ups).await;
                    return Ok(());
                }
                Err(AppendError::Moved | AppendError::LeaseLost) => match self.store.task(task.id).await? {
                    Some(now) => task = now,
                    None => return Ok(()),
                },
                Err(AppendError::Store(error)) => return Err(error),
            }
        }
        Err(StoreError::Unavailable("the task moves on faster than its deadlines can be looked at".into()))
    }

    /// The step that tells what has passed. One with nothing to tell has the store look again at the right time.
    async fn decide(&self, task: &TaskRecord) -> Result<Append, StoreError> {
        let now = self.store.now();
        let (told, state) = task.state.lapse(now);
        if told.is_empty() {
            return Ok(Append { state, ..Append::to(task) });
        }
        let registry = self.registry.load_full();
        let lanes = write_back_lanes(&registry, task);
        let mut body = task_body(&*self.store, task.id, task.version).await?;
        let mut events = Vec::new();
        let mut alerts = Vec::new();
        for (event, after) in told {
            fhir_task::set_state(&mut body, &after, now);
            alerts.extend(alert(task, &event));
            let lanes = lanes.clone();
            events.push(NewEvent { event, actor: Actor::Onward, body: Some(body.to_string()), lanes });
        }
        let is_overdue = events.iter().any(|new| new.event == Event::Overdue);
        let further = match is_overdue {
            true => escalation::further(&*self.store, &registry, &self.base_url, task, &body).await?,
            false => None,
        };
        if let Some(further) = &further {
            let event = Event::Escalated { to: further.inbox.clone(), task: further.id };
            events.push(NewEvent { event, actor: Actor::Onward, body: None, lanes: vec![] });
        }
        let tasks = further.into_iter().collect();
        Ok(Append { events, tasks, state, alerts, ..Append::to(task) })
    }
}

fn alert(task: &TaskRecord, event: &Event) -> Option<Alert> {
    let (kind, by, what) = match event {
        Event::DeliveryDelayed => (AlertKind::DeliveryDelayed, task.state.deadlines.deliver_by, "delivered"),
        Event::NotOpened => (AlertKind::NotOpened, task.state.deadlines.open_by, "opened"),
        Event::Overdue => (AlertKind::Overdue, task.state.deadlines.answer_by, "answered"),
        _ => return None,
    };
    let by = by.unwrap_or(task.created);
    let text = format!("a referral for the inbox {} was to be {what} by {}", task.inbox, instant(by));
    Some(Alert::new(kind, task.inbox.as_str(), by, text).of_task(task.id))
}

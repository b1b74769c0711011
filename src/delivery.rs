//! Delivery: hands a referral to the provider it was routed to.
//!
//! The endpoint is resolved afresh at every try and must belong to the inbox the referral was routed to; anything else is a dead
//! letter and an alert, never a send.

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use serde_json::Value;

use crate::{
    client::FhirClient,
    config::registry::{Answers, FhirRestInbox, Inbox, InboxKind, Registry},
    domain::{Actor, Alert, AlertKind, Event, Side, TransportStatus, task::TaskState},
    fhir::task as fhir_task,
    lanes::{Carried, Carrier, Cause, Meaning, Outcome, Verdict, idempotency_key, task_body},
    status::{awaited, write_back_lanes},
    store::{LaneHead, NewEvent, Poll, Store, StoreError, TaskRecord},
};

pub mod copies;
pub mod fhir_rest;
pub mod package;

/// Carries delivery lanes.
pub struct Deliveries {
    store: Arc<dyn Store>,
    client: FhirClient,
    registry: Arc<ArcSwap<Registry>>,
    base_url: String,
}

impl Deliveries {
    /// One that delivers what lies in `store`; `base_url` is where this Onward is reached.
    pub fn new(store: Arc<dyn Store>, client: FhirClient, registry: Arc<ArcSwap<Registry>>, base_url: String) -> Self {
        Self { store, client, registry, base_url }
    }

    async fn push(
        &self,
        task: &TaskRecord,
        seq: u64,
        inbox: &FhirRestInbox,
        again: bool,
    ) -> Result<Carried, StoreError> {
        let body = task_body(&*self.store, task.id, task.version).await?;
        let resources = self.store.resources_of(task.referral).await?;
        let mut carried = Vec::with_capacity(resources.len());
        for resource in resources {
            let body: Value = serde_json::from_str(&resource.body).map_err(|e| StoreError::Corrupt(e.to_string()))?;
            carried.push(body);
        }
        let bundle =
            package::transaction(&package::Parts { task: body, resources: carried, inbox, base_url: &self.base_url });
        let outcome =
            fhir_rest::deliver(&self.client, inbox, task.id, &idempotency_key(task.id, seq), &bundle, again).await;
        Ok(Carried { endpoint: inbox.base_url.clone(), outcome })
    }
}

fn refused(why: &str) -> Carried {
    Carried { endpoint: String::new(), outcome: Outcome::Refused { why: why.to_owned() } }
}

/// The inbox a Task was routed to, if it is still there and still the same provider's.
fn destination<'r>(registry: &'r Registry, task: &TaskRecord) -> Result<&'r Inbox, &'static str> {
    match registry.inboxes.get(&task.inbox) {
        None => Err("the inbox it was routed to is not configured any more"),
        Some(inbox) if inbox.provider != task.provider => {
            Err("the inbox it was routed to belongs to another provider now")
        }
        Some(inbox) => Ok(inbox),
    }
}

#[async_trait]
impl Carrier for Deliveries {
    fn side(&self) -> Side {
        Side::Delivery
    }

    async fn carry(&self, task: &TaskRecord, head: &LaneHead, again: bool) -> Result<Carried, StoreError> {
        if task.state.status.is_terminal() {
            return Ok(Carried { endpoint: String::new(), outcome: Outcome::Superseded });
        }
        let registry = self.registry.load_full();
        if !registry.inboxes.contains_key(&task.inbox) {
            // perhaps only for now: a registry is edited, and edited back. The record is told that it is delayed
            let why = "the inbox it was routed to is not configured at present".to_owned();
            let outcome = Outcome::Deferred { cause: Cause::Message, retry_after: None, memory: None, why };
            return Ok(Carried { endpoint: String::new(), outcome });
        }
        match destination(&registry, task) {
            Err(why) => {
                metrics::counter!("onward_alerts_total", "alert" => "destination-mismatch").increment(1);
                tracing::error!(task.id = %task.id, inbox.id = %task.inbox, why, "not sent");
                let alert = Alert::new(AlertKind::DestinationMismatch, task.inbox.as_str(), head.since, why);
                self.store.raise(vec![alert.of_task(task.id).of_message(head.message)]).await?;
                Ok(refused(why))
            }
            Ok(Inbox { kind: InboxKind::FhirRest(inbox), .. }) => self.push(task, head.seq, inbox, again).await,
            Ok(Inbox { id, kind: InboxKind::Worklist, .. }) => Ok(Carried {
                endpoint: format!("worklist {id}"),
                outcome: Outcome::Arrived { remote: task.id.to_string(), memory: None, notes: vec![] },
            }),
        }
    }

    async fn meaning(&self, task: &TaskRecord, head: &LaneHead, verdict: &Verdict) -> Result<Meaning, StoreError> {
        let registry = self.registry.load_full();
        let inbox = task.inbox.clone();
        let kind = registry.inboxes.get(&inbox).map(|i| &i.kind);
        let mut poll = None;
        let (event, state) = match verdict {
            Verdict::Arrived { remote, .. } => match kind {
                Some(InboxKind::Worklist) => {
                    let state = awaited(&registry, task, task.state, self.store.now());
                    (Event::Listed { inbox }, state.handed_over())
                }
                kind => {
                    if let Some(InboxKind::FhirRest(rest)) = kind
                        && let Answers::Poll { every } = rest.answers
                    {
                        let at = self.store.now().checked_add(every).ok();
                        poll = Some(Poll { memory: None, at });
                    }
                    let remote = Some(remote.clone());
                    let state = awaited(&registry, task, task.state, self.store.now());
                    (Event::Delivered { inbox, remote, by_answer: false }, state.delivered())
                }
            },
            Verdict::Deferred { delayed, tried } => {
                // what was tried may have arrived all the same: from now on a cancellation is the provider's to confirm
                let state = TaskState { sent: task.state.sent || *tried, ..task.state };
                if !delayed || task.state.transport == Some(TransportStatus::DeliveryDelayed) {
                    return Ok(Meaning { events: vec![], state, poll: None });
                }
                let transport = Some(TransportStatus::DeliveryDelayed);
                (Event::DeliveryDelayed, state.with_transport(transport))
            }
            Verdict::Dead { why } => {
                let state = task.state.with_transport(Some(TransportStatus::Undeliverable));
                (Event::Undeliverable { why: why.clone() }, state)
            }
            Verdict::Superseded => {
                let event = Event::Superseded { side: Side::Delivery, of: head.seq };
                let new = NewEvent { event, actor: Actor::Onward, body: None, lanes: vec![] };
                return Ok(Meaning { events: vec![new], state: task.state, poll: None });
            }
        };
        let mut body = task_body(&*self.store, task.id, task.version).await?;
        fhir_task::set_state(&mut body, &state, self.store.now());
        let lanes = write_back_lanes(&registry, task);
        let new = NewEvent { event, actor: Actor::Onward, body: Some(body.to_string()), lanes };
        Ok(Meaning { events: vec![new], state, poll })
    }
}

//! Delivery: hands a referral to the provider it was routed to.
//!
//! The endpoint is resolved afresh at every try and must belong to the inbox the referral was routed to; anything else is a dead
//! letter and an alert, never a send.

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    broker::{Broker, Outlet, Parcel},
    client::FhirClient,
    config::registry::{Answers, FhirRestInbox, Ids, Inbox, InboxKind, Registry},
    domain::{Actor, Alert, AlertKind, Event, Side, TaskId, TransportStatus, WakeUp, task::TaskState},
    fhir::task as fhir_task,
    lanes::{Carried, Carrier, Cause, Meaning, Outcome, Verdict, idempotency_key, scheduler::Rejections, task_body},
    status::{awaited, parent, write_back_lanes},
    store::{
        Append, AppendError, Appended, LaneHead, NewEvent, Poll, Store, StoreError, StoredResource, TaskRecord,
        is_own_test,
    },
};

pub mod amqp;
pub mod copies;
pub mod fhir_rest;
mod later;
mod overheard;
pub mod package;

const REJECTED: &str = "the provider's consumer rejected the message";

/// Carries delivery lanes.
pub struct Deliveries {
    store: Arc<dyn Store>,
    broker: Arc<dyn Broker>,
    client: FhirClient,
    registry: Arc<ArcSwap<Registry>>,
    base_url: String,
}

impl Deliveries {
    /// One that delivers what lies in `store`; `base_url` is where this Onward is reached.
    pub fn new(
        store: Arc<dyn Store>,
        broker: Arc<dyn Broker>,
        client: FhirClient,
        registry: Arc<ArcSwap<Registry>>,
        base_url: String,
    ) -> Self {
        Self { store, broker, client, registry, base_url }
    }

    /// The Task and what its referral carries, as they were when it was sent: what was said since has lane messages of its own,
    /// and arrives in its order.
    async fn referral(&self, task: &TaskRecord, seq: u64) -> Result<(Value, Vec<StoredResource>), StoreError> {
        let mut body = task_body(&*self.store, task.id, seq).await?;
        if let Some(other) = task.beside {
            fhir_task::point_to(&mut body, other);
        }
        let mut all = self.store.resources_of(task.referral).await?;
        all.retain(|resource| resource.task.is_none_or(|of| of == task.id));
        // what came with the referral tells when that was; where all of it was written anew, its first version does
        let came = match all.iter().find(|resource| !resource.later && resource.task.is_none()) {
            Some(first) => first.last_updated,
            None => self.stored("ServiceRequest", task.request, Some(1)).await?.last_updated,
        };
        if task.created > came {
            return Ok((body, self.as_of(task.created, all).await?));
        }
        let mut carried = Vec::new();
        for resource in all {
            match (resource.later, resource.version) {
                (false, _) => carried.push(resource),
                (true, 1) => {}
                (true, _) => carried.push(self.stored(&resource.kind, resource.id, Some(1)).await?),
            }
        }
        Ok((body, carried))
    }

    /// What there was at a moment: a Task that was made later than its referral begins with what had been said by then.
    async fn as_of(&self, at: Timestamp, all: Vec<StoredResource>) -> Result<Vec<StoredResource>, StoreError> {
        let mut carried = Vec::with_capacity(all.len());
        for resource in all {
            if resource.last_updated <= at {
                carried.push(resource);
                continue;
            }
            let versions = self.store.versions(&resource.kind, resource.id).await?;
            carried.extend(versions.into_iter().rfind(|version| version.last_updated <= at));
        }
        Ok(carried)
    }

    async fn push(
        &self,
        task: &TaskRecord,
        seq: u64,
        inbox: &FhirRestInbox,
        again: bool,
    ) -> Result<Carried, StoreError> {
        let (body, carried) = self.referral(task, seq).await?;
        let base_url = &self.base_url;
        let bundle = match inbox.ids {
            Ids::Client => {
                let texts: Vec<_> = carried.iter().map(|r| (&*r.kind, r.id, &*r.body)).collect();
                package::transaction_of_texts(body, &texts, inbox, base_url)
            }
            Ids::Server => {
                let resources = carried.iter().map(json).collect::<Result<_, _>>()?;
                package::transaction(&package::Parts { task: body, resources, inbox, base_url }).to_string()
            }
        };
        let key = idempotency_key(task.id, seq);
        let outcome = fhir_rest::deliver(&self.client, inbox, task.id, &key, bundle, again).await;
        Ok(Carried { endpoint: inbox.base_url.clone(), outcome })
    }

    async fn hand_over(
        &self,
        task: &TaskRecord,
        head: &LaneHead,
        said: Option<&Event>,
        outlet: Outlet,
    ) -> Result<Carried, StoreError> {
        let event = amqp::MessageEvent::of(said);
        let (body, resources) = match said {
            None => {
                let (body, carried) = self.referral(task, head.seq).await?;
                (body, carried.iter().map(json).collect::<Result<_, _>>()?)
            }
            Some(said) => self.later(task, said).await?,
        };
        let bundle = amqp::bundle(amqp::Message {
            id: head.message,
            event,
            at: head.since,
            base_url: &self.base_url,
            task: body,
            resources,
        });
        let endpoint = outlet.name();
        let parcel = Parcel {
            outlet,
            message: head.message,
            task: task.id,
            seq: head.seq,
            event: event.code(),
            idempotency_key: idempotency_key(task.id, head.seq),
            at: head.since,
            body: bundle.to_string().into_bytes().into(),
        };
        Ok(Carried { endpoint, outcome: amqp::hand_over(&*self.broker, &parcel).await })
    }

    /// The Task's new content where its transport status has changed.
    async fn told(&self, task: &TaskRecord, event: Event, state: TaskState) -> Result<NewEvent, StoreError> {
        let mut body = task_body(&*self.store, task.id, task.version).await?;
        fhir_task::set_state(&mut body, &state, self.store.now());
        let lanes = write_back_lanes(&self.registry.load(), task);
        Ok(NewEvent { event, actor: Actor::Onward, body: Some(body.to_string()), lanes })
    }
}

#[async_trait]
impl Rejections for Deliveries {
    async fn rejected(&self, id: TaskId) -> Result<Vec<WakeUp>, StoreError> {
        loop {
            let Some(task) = self.store.task(id).await? else { return Ok(vec![]) };
            // told already, or nothing that anybody waits for
            if task.state.status.is_terminal() || task.state.transport == Some(TransportStatus::Undeliverable) {
                return Ok(vec![]);
            }
            let why = REJECTED.to_owned();
            let state = TaskState { transport: Some(TransportStatus::Undeliverable), ..task.state };
            let events = vec![self.told(&task, Event::Undeliverable { why }, state).await?];
            let alert = Alert::new(AlertKind::DeadLetter, task.inbox.as_str(), self.store.now(), REJECTED);
            let alerts = if is_own_test(&*self.store, id).await? { vec![] } else { vec![alert.of_task(id)] };
            match self.store.append(Append { events, state, alerts, ..Append::to(&task) }).await {
                Ok(appended) => return Ok(appended.wake_ups),
                Err(AppendError::Moved | AppendError::LeaseLost) => {}
                Err(AppendError::Store(error)) => return Err(error),
            }
        }
    }
}

impl Deliveries {
    /// Something of a referral, by type and id.
    async fn resource(&self, kind: &str, id: Uuid, version: Option<u64>) -> Result<Value, StoreError> {
        json(&self.stored(kind, id, version).await?)
    }

    async fn stored(&self, kind: &str, id: Uuid, version: Option<u64>) -> Result<StoredResource, StoreError> {
        let found = self.store.resource(kind, id, version).await?;
        found.map(|(stored, _)| stored).ok_or_else(|| StoreError::Corrupt(format!("{kind}/{id} is not there")))
    }

    /// The event that a lane message carries.
    async fn event(&self, task: &TaskRecord, seq: u64) -> Result<Event, StoreError> {
        let journal = self.store.journal(task.id).await?;
        let line = journal.into_iter().find(|line| line.seq == seq);
        line.map(|l| l.event).ok_or_else(|| StoreError::Corrupt(format!("task {} has no event {seq}", task.id)))
    }

    /// What an event brings with it that the referral did not have.
    async fn said_with(&self, event: &Event) -> Result<Vec<Value>, StoreError> {
        let mut resources = Vec::new();
        if let Event::Amended { with, .. } | Event::Message { with, .. } = event {
            for reference in with {
                let (kind, id) = reference.split_once('/').unwrap_or_default();
                resources.push(self.resource(kind, id.parse().unwrap_or_default(), Some(1)).await?);
            }
        }
        if let Event::Message { communication, .. } = event {
            resources.push(self.resource("Communication", *communication, Some(1)).await?);
        }
        Ok(resources)
    }

    /// The Task as it is now, and what an event says of its referral.
    async fn later(&self, task: &TaskRecord, event: &Event) -> Result<(Value, Vec<Value>), StoreError> {
        let mut resources = self.said_with(event).await?;
        let body = task_body(&*self.store, task.id, task.version).await?;
        if let Some((request, order)) = versions(event) {
            resources.insert(0, self.resource("ServiceRequest", task.request, Some(request)).await?);
            if let (Some(id), Some(version)) = (fhir_task::own_order(&body), order) {
                resources.insert(0, self.resource("ServiceRequest", id, Some(version)).await?);
            }
        }
        Ok((body, resources))
    }

    /// A version of a ServiceRequest, and the one before it.
    async fn changed(&self, id: Uuid, version: u64) -> Result<(Value, Value), StoreError> {
        let before = self.resource("ServiceRequest", id, Some(version - 1)).await?;
        Ok((self.resource("ServiceRequest", id, Some(version)).await?, before))
    }

    /// Brings the copies on a provider's server up to what an event says.
    async fn bring(
        &self,
        task: &TaskRecord,
        head: &LaneHead,
        event: &Event,
        inbox: &FhirRestInbox,
    ) -> Result<Carried, StoreError> {
        let resources = self.said_with(event).await?;
        let body = task_body(&*self.store, task.id, task.version).await?;
        let order_here = fhir_task::own_order(&body);
        let (mut request, mut original) = (None, None);
        if let Some((version, order)) = versions(event) {
            let changed = self.changed(task.request, version).await?;
            match (order_here, order) {
                (Some(id), Some(order)) => {
                    request = Some(self.changed(id, order).await?);
                    original = Some(changed);
                }
                (Some(_), None) => original = Some(changed),
                (None, _) => request = Some(changed),
            }
        }
        // what the provider itself wrote has its name there
        let own = format!("{}/", inbox.base_url);
        let named = self.store.resources_of(task.referral).await?.into_iter().filter(|r| r.later);
        let names = named.filter_map(|r| {
            let there = r.origin?.strip_prefix(&*own)?.to_owned();
            Some((format!("{}/{}", r.kind, r.id), there))
        });
        let later = later::Later {
            task,
            seq: head.seq,
            event,
            body,
            own: order_here,
            request,
            original,
            resources,
            names: names.collect(),
            may_arrive_within: inbox.pace.retry.may_arrive_within(head.since, self.store.now()),
            inbox,
            base_url: &self.base_url,
        };
        let outcome = later::bring(&self.client, &later, head.memory.as_deref()).await;
        Ok(Carried { endpoint: inbox.base_url.clone(), outcome })
    }

    /// What came of bringing something that was said after the referral itself.
    async fn passed_on(&self, task: &TaskRecord, of: u64, notes: &[Event]) -> Result<Meaning, StoreError> {
        let mut state = task.state;
        let mut event = Event::PassedOn { of };
        if let Some(cancelled) = notes.iter().find(|note| matches!(note, Event::Cancelled { .. })) {
            state = state.never_there();
            event = cancelled.clone();
        } else if matches!(state.transport, Some(TransportStatus::DeliveryDelayed | TransportStatus::Undeliverable)) {
            state = state.with_transport(None);
        }
        if state == task.state {
            let new = NewEvent { event: Event::PassedOn { of }, actor: Actor::Onward, body: None, lanes: vec![] };
            return Ok(Meaning { events: vec![new], state, poll: None });
        }
        let mut body = task_body(&*self.store, task.id, task.version).await?;
        fhir_task::set_state(&mut body, &state, self.store.now());
        let lanes = write_back_lanes(&self.registry.load(), task);
        let new = NewEvent { event, actor: Actor::Onward, body: Some(body.to_string()), lanes };
        Ok(Meaning { events: vec![new], state, poll: None })
    }
}

fn json(stored: &StoredResource) -> Result<Value, StoreError> {
    serde_json::from_str(&stored.body).map_err(|e| StoreError::Corrupt(e.to_string()))
}

/// The version of the ServiceRequest that an event tells of, and that of the order made of it for the target alone.
fn versions(event: &Event) -> Option<(u64, Option<u64>)> {
    match event {
        Event::Amended { request, order, .. }
        | Event::CancellationRequested { request, order }
        | Event::Retracted { request, order } => Some((*request, *order)),
        _ => None,
    }
}

/// The seq of the event that made a Task, whose lane message is the referral itself.
const REFERRAL: u64 = 1;

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
        let event = if head.seq == REFERRAL { None } else { Some(self.event(task, head.seq).await?) };
        if task.state.status.is_terminal() && !event.as_ref().is_some_and(Event::tells_the_end) {
            return Ok(Carried { endpoint: String::new(), outcome: Outcome::Superseded });
        }
        let registry = self.registry.load_full();
        if !registry.inboxes.contains_key(&task.inbox) {
            // perhaps only for now: a registry is edited, and edited back. The record is told that it is delayed
            let why = "the inbox it was routed to is not configured at present".to_owned();
            let outcome = Outcome::NotSent { cause: Cause::Message, retry_after: None, why };
            return Ok(Carried { endpoint: String::new(), outcome });
        }
        match destination(&registry, task) {
            Err(why) => Ok(Carried { endpoint: String::new(), outcome: Outcome::Astray { why: why.to_owned() } }),
            Ok(Inbox { kind: InboxKind::FhirRest(inbox), .. }) => match &event {
                None => self.push(task, head.seq, inbox, again).await,
                Some(event) => self.bring(task, head, event, inbox).await,
            },
            Ok(Inbox { id, kind: InboxKind::Amqp(inbox), .. }) => {
                self.hand_over(task, head, event.as_ref(), amqp::outlet(id, inbox)).await
            }
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
            Verdict::Arrived { notes, .. } if head.seq != REFERRAL => {
                return self.passed_on(task, head.seq, notes).await;
            }
            Verdict::Arrived { remote, .. } => match kind {
                Some(InboxKind::Worklist) => {
                    let state = awaited(&registry, task, task.state, self.store.now());
                    (Event::Listed { inbox }, state.handed_over())
                }
                Some(InboxKind::Amqp(_)) => {
                    let state = awaited(&registry, task, task.state, self.store.now());
                    (Event::HandedOver { inbox }, state.handed_over())
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
            Verdict::Dead { why, .. } => {
                let state = task.state.with_transport(Some(TransportStatus::Undeliverable));
                (Event::Undeliverable { why: why.clone() }, state)
            }
            Verdict::Superseded => {
                let event = Event::Superseded { side: Side::Delivery, of: head.seq };
                let new = NewEvent { event, actor: Actor::Onward, body: None, lanes: vec![] };
                return Ok(Meaning { events: vec![new], state: task.state, poll: None });
            }
        };
        Ok(Meaning { events: vec![self.told(task, event, state).await?], state, poll })
    }

    async fn commit(&self, task: &TaskRecord, step: Append) -> Result<Appended, AppendError> {
        let registry = self.registry.load_full();
        parent::commit(&*self.store, &registry, task, step).await
    }
}

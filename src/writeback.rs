//! Write-back: the originating record's Task follows every transition, in the order they happened.

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use serde_json::Value;

use crate::{
    client::FhirClient,
    config::registry::Registry,
    domain::{Actor, Event, Side},
    lanes::{Carried, Carrier, Cause, Meaning, Outcome, Verdict, task_body},
    store::{Append, AppendError, Appended, LaneHead, NewEvent, Store, StoreError, StoredResource, TaskRecord},
};

pub mod detail;
pub mod fhir_rest;
mod origin;
mod record_message;
pub mod record_task;

use fhir_rest::{Line, Record};

/// Carries write-back lanes.
pub struct WriteBacks {
    store: Arc<dyn Store>,
    client: FhirClient,
    registry: Arc<ArcSwap<Registry>>,
    base_url: String,
}

impl WriteBacks {
    /// One that writes what lies in `store`; `base_url` is where this Onward is reached.
    pub fn new(store: Arc<dyn Store>, client: FhirClient, registry: Arc<ArcSwap<Registry>>, base_url: String) -> Self {
        Self { store, client, registry, base_url }
    }

    /// The provider's message that a lane message carries, if it carries one. The journal is asked only where there are any.
    async fn message(
        &self,
        task: &TaskRecord,
        seq: u64,
        resources: &[StoredResource],
    ) -> Result<Option<Value>, StoreError> {
        if !resources.iter().any(|r| r.later && r.kind == "Communication") {
            return Ok(None);
        }
        let journal = self.store.journal(task.id).await?;
        let line = journal.into_iter().find(|line| line.seq == seq && matches!(line.actor, Actor::Provider(_)));
        let Some(Event::Message { communication, .. }) = line.map(|line| line.event) else { return Ok(None) };
        let stored = resources.iter().find(|r| r.kind == "Communication" && r.id == communication);
        stored.map(json).transpose()
    }
}

/// Whether a write-back asks this resource for anything: the request, whom it is about, or a Consent, which may be contained
/// anywhere. A long form is not read for each status.
fn is_asked_for(stored: &StoredResource) -> bool {
    matches!(&*stored.kind, "ServiceRequest" | "Patient" | "Group" | "Device" | "Location" | "Consent")
        || stored.body.contains("\"Consent\"")
}

fn json(stored: &StoredResource) -> Result<Value, StoreError> {
    serde_json::from_str(&stored.body).map_err(|e| StoreError::Corrupt(e.to_string()))
}

#[async_trait]
impl Carrier for WriteBacks {
    fn side(&self) -> Side {
        Side::WriteBack
    }

    async fn carry(&self, task: &TaskRecord, head: &LaneHead, again: bool) -> Result<Carried, StoreError> {
        let nothing_sent = |outcome| Carried { endpoint: String::new(), outcome };
        let late = head.seq <= head.cursor;
        let stored = self.store.resources_of(task.referral).await?;
        let message = self.message(task, head.seq, &stored).await?;
        // a status that others have passed says nothing any more; what was written is still to be read
        if late && message.is_none() {
            return Ok(nothing_sent(Outcome::Superseded));
        }
        let registry = self.registry.load_full();
        let Some(write_back) = registry.systems.get(&task.system).and_then(|s| s.write_back.as_ref()) else {
            let why = "the originating system has no write-back configured at present".to_owned();
            return Ok(nothing_sent(Outcome::Deferred { cause: Cause::Message, retry_after: None, memory: None, why }));
        };
        let body = task_body(&*self.store, task.id, head.seq).await?;
        let resources: Vec<Value> = stored.iter().filter(|r| is_asked_for(r)).map(json).collect::<Result<_, _>>()?;
        let id = task.request.to_string();
        let Some(request) = resources.iter().find(|r| r.get("id").and_then(Value::as_str) == Some(&*id)) else {
            return Err(StoreError::Corrupt(format!("task {} has no ServiceRequest", task.id)));
        };
        let detail = detail::narrowed(write_back.detail, &resources);
        let before = match head.cursor {
            0 => None,
            seq => self.store.task_version(task.id, seq).await?,
        };
        let line = Line {
            task,
            seq: head.seq,
            body: &body,
            before,
            request,
            message: message.as_ref(),
            late,
            resources: &resources,
            detail,
            base_url: &self.base_url,
        };
        let outcome = Record { client: &self.client, write_back }.write(&line, head.memory.as_deref(), again).await;
        Ok(Carried { endpoint: write_back.base_url.clone(), outcome })
    }

    async fn meaning(&self, task: &TaskRecord, head: &LaneHead, verdict: &Verdict) -> Result<Meaning, StoreError> {
        let of = head.seq;
        let events = match verdict {
            Verdict::Arrived { remote, notes } => {
                let mut events = notes.clone();
                events.push(Event::WrittenBack { of, remote: remote.clone() });
                events
            }
            Verdict::Deferred { .. } => vec![],
            Verdict::Dead { why, .. } => vec![Event::WriteBackFailed { of, why: why.clone() }],
            Verdict::Superseded => vec![Event::Superseded { side: Side::WriteBack, of }],
        };
        let new = |event| NewEvent { event, actor: Actor::Onward, body: None, lanes: vec![] };
        Ok(Meaning { events: events.into_iter().map(new).collect(), state: task.state, poll: None })
    }

    async fn commit(&self, _: &TaskRecord, step: Append) -> Result<Appended, AppendError> {
        // that something was written changes no Task, and so no parent
        self.store.append(step).await
    }
}

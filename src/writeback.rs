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
    store::{LaneHead, NewEvent, Store, StoreError, TaskRecord},
};

pub mod detail;
pub mod fhir_rest;
mod origin;
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

    async fn resources(&self, task: &TaskRecord) -> Result<Vec<Value>, StoreError> {
        let stored = self.store.resources_of(task.referral).await?;
        stored.iter().map(|r| serde_json::from_str(&r.body).map_err(|e| StoreError::Corrupt(e.to_string()))).collect()
    }
}

#[async_trait]
impl Carrier for WriteBacks {
    fn side(&self) -> Side {
        Side::WriteBack
    }

    async fn carry(&self, task: &TaskRecord, head: &LaneHead, again: bool) -> Result<Carried, StoreError> {
        let nothing_sent = |outcome| Carried { endpoint: String::new(), outcome };
        if head.seq <= head.cursor {
            return Ok(nothing_sent(Outcome::Superseded));
        }
        let registry = self.registry.load_full();
        let Some(write_back) = registry.systems.get(&task.system).and_then(|s| s.write_back.as_ref()) else {
            let why = "the originating system has no write-back configured at present".to_owned();
            return Ok(nothing_sent(Outcome::Deferred { cause: Cause::Message, retry_after: None, memory: None, why }));
        };
        let body = task_body(&*self.store, task.id, head.seq).await?;
        let resources = self.resources(task).await?;
        let id = task.request.to_string();
        let Some(request) = resources.iter().find(|r| r.get("id").and_then(Value::as_str) == Some(&*id)) else {
            return Err(StoreError::Corrupt(format!("task {} has no ServiceRequest", task.id)));
        };
        let detail = detail::narrowed(write_back.detail, &resources);
        let before = match head.cursor {
            0 => None,
            seq => Some(task_body(&*self.store, task.id, seq).await?),
        };
        let line = Line {
            task,
            seq: head.seq,
            body: &body,
            before,
            request,
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
            Verdict::Dead { why } => vec![Event::WriteBackFailed { of, why: why.clone() }],
            Verdict::Superseded => vec![Event::Superseded { side: Side::WriteBack, of }],
        };
        let new = |event| NewEvent { event, actor: Actor::Onward, body: None, lanes: vec![] };
        Ok(Meaning { events: events.into_iter().map(new).collect(), state: task.state, poll: None })
    }
}

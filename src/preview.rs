//! What would be sent for a dead letter now, and where. The same code builds it that would send it; only that what it would write is
//! held back. What it reads on the way is read.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use hyper::Method;
use tokio::sync::mpsc;

use crate::{
    broker::{Broker, BrokerError, BrokerHealth, Delivery, Parcel, Queue},
    client::{FhirClient, Rehearsal, Written},
    config::Registry,
    delivery::Deliveries,
    domain::{Side, WakeUp, clock::Timestamp},
    lanes::{Carrier, Outcome},
    store::{DeadLetter, LaneHead, Store, StoreError, TaskRecord},
    writeback::WriteBacks,
};

/// What it takes to make one. Cheap to clone.
#[derive(Clone)]
pub struct Previews {
    /// Where dead letters are.
    pub store: Arc<dyn Store>,
    /// How others are reached; nothing is written by it.
    pub client: FhirClient,
    /// Who they are.
    pub registry: Arc<ArcSwap<Registry>>,
    /// Where this Onward is reached.
    pub base_url: String,
}

/// What would be sent.
#[derive(Debug)]
pub enum Preview {
    /// This, with its clinical content.
    Sent(Written),
    /// Whom it is for could not be asked what is there already. This, if nothing of it were there.
    Unasked {
        /// With its clinical content.
        written: Written,
        /// Why they could not be asked.
        why: String,
    },
    /// Nothing, and why.
    Nothing(String),
}

/// Keeps what would be put into a provider's queue.
#[derive(Default)]
struct HeldBack(Mutex<Option<Parcel>>);

// === impl Previews ===

impl Previews {
    /// Of one dead letter; none where it is none any more.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn of(&self, letter: &DeadLetter) -> Result<Option<Preview>, StoreError> {
        let Some(head) = self.store.dead_head(letter.message).await? else { return Ok(None) };
        let Some(task) = self.store.task(letter.task).await? else { return Ok(None) };
        match self.carried(letter, &task, &head, self.client.rehearsing()).await? {
            (Some(written), _) => Ok(Some(Preview::Sent(written))),
            // it may be away, and what is sent does not hang on what it would have said
            (None, Outcome::Deferred { why, .. } | Outcome::NotSent { why, .. }) => {
                let alone = self.carried(letter, &task, &head, self.client.rehearsing_alone()).await?;
                Ok(Some(match alone.0 {
                    Some(written) => Preview::Unasked { written, why },
                    None => Preview::Nothing(format!("cannot be told now: {why}")),
                }))
            }
            (None, outcome) => Ok(Some(Preview::Nothing(nothing(outcome)))),
        }
    }

    /// What is written first for a message by a client that writes nothing, and what comes of it.
    async fn carried(
        &self,
        letter: &DeadLetter,
        task: &TaskRecord,
        head: &LaneHead,
        (client, rehearsal): (FhirClient, Rehearsal),
    ) -> Result<(Option<Written>, Outcome), StoreError> {
        let broker = Arc::new(HeldBack::default());
        let (store, registry, base_url) = (Arc::clone(&self.store), Arc::clone(&self.registry), self.base_url.clone());
        let carrier: Box<dyn Carrier> = match letter.side {
            Side::Delivery => Box::new(Deliveries::new(store, broker.clone(), client, registry, base_url)),
            Side::WriteBack => Box::new(WriteBacks::new(store, client, registry, base_url)),
        };
        // as if nothing had been sent before: what an earlier try left is looked for when it is sent
        let carried = carrier.carry(task, head, false).await?;
        Ok((broker.written().or_else(|| rehearsal.written()), carried.outcome))
    }
}

/// Why nothing would be sent.
fn nothing(outcome: Outcome) -> String {
    match outcome {
        Outcome::Arrived { .. } => "nothing: the provider fetches it from its worklist".to_owned(),
        Outcome::Superseded => "nothing: the Task has ended, or a later status is there already".to_owned(),
        Outcome::Deferred { why, .. } | Outcome::NotSent { why, .. } => format!("cannot be told now: {why}"),
        Outcome::Refused { why } | Outcome::Astray { why } => format!("nothing: {why}"),
    }
}

// === impl HeldBack ===

impl HeldBack {
    fn written(&self) -> Option<Written> {
        let parcel = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(Written {
            method: Method::from_bytes(b"PUBLISH").unwrap_or_default(),
            url: parcel.outlet.name(),
            headers: vec![
                ("message-id".into(), parcel.message.to_string()),
                ("correlation-id".into(), parcel.task.to_string()),
                ("type".into(), parcel.event.to_owned()),
                ("idempotency-key".into(), parcel.idempotency_key),
            ],
            body: serde_json::from_slice(&parcel.body).unwrap_or_default(),
        })
    }

    fn away<T>() -> Result<T, BrokerError> {
        Err(BrokerError::Away("nothing is sent".to_owned()))
    }
}

#[async_trait]
impl Broker for HeldBack {
    async fn declare(&self, _: &[Queue]) -> Result<(), BrokerError> {
        Self::away()
    }

    async fn publish(&self, _: &WakeUp) -> Result<(), BrokerError> {
        Self::away()
    }

    async fn consume(&self, _: Queue, _: u16) -> Result<mpsc::Receiver<Delivery>, BrokerError> {
        Self::away()
    }

    async fn consume_dead(&self, _: u16) -> Result<mpsc::Receiver<Delivery>, BrokerError> {
        Self::away()
    }

    async fn hand_over(&self, parcel: &Parcel) -> Result<(), BrokerError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(parcel.clone());
        Ok(())
    }

    fn health(&self) -> BrokerHealth {
        BrokerHealth {
            connected: false,
            blocked: Default::default(),
            since: Timestamp::UNIX_EPOCH,
            detail: "nothing is sent".to_owned(),
        }
    }

    async fn close(&self) {}
}

//! `onward dead preview`: what would be sent now, and where. The same code builds it that would send it; only that what it would
//! write is held back. What it reads on the way is read.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use hyper::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::super::{Ended, Finding, print_json};
use crate::{
    broker::{Broker, BrokerError, BrokerHealth, Delivery, Parcel, Queue},
    client::{FhirClient, Written},
    config::Config,
    delivery::Deliveries,
    domain::{Side, WakeUp, clock::Timestamp},
    lanes::{Carrier, Outcome},
    store::{DeadLetter, Store},
    writeback::WriteBacks,
};

/// Keeps what would be put into a provider's queue.
#[derive(Default)]
struct HeldBack(Mutex<Option<Parcel>>);

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

/// Shows one; its clinical content only where that is asked for.
pub(super) async fn show(
    config: Config,
    store: Arc<dyn Store>,
    letter: &DeadLetter,
    content: bool,
    as_json: bool,
) -> Ended {
    let gone = || Finding(format!("{} is not a dead letter any more", letter.message));
    let head = store.dead_head(letter.message).await?.ok_or_else(gone)?;
    let task = store.task(letter.task).await?.ok_or_else(gone)?;
    let (client, rehearsal) = FhirClient::new(&config.outbound)?.rehearsing();
    let broker = Arc::new(HeldBack::default());
    let base_url = config.server.base_url_at(config.server.listen);
    let registry = Arc::new(ArcSwap::from_pointee(config.registry));
    let carrier: Box<dyn Carrier> = match letter.side {
        Side::Delivery => Box::new(Deliveries::new(store, broker.clone(), client, registry, base_url)),
        Side::WriteBack => Box::new(WriteBacks::new(store, client, registry, base_url)),
    };
    // as if nothing had been sent before: what an earlier try left is looked for when it is sent
    let carried = carrier.carry(&task, &head, false).await?;
    let written = broker.written().or_else(|| rehearsal.written());
    say_it(letter, written, carried.outcome, content, as_json);
    Ok(())
}

fn say_it(letter: &DeadLetter, written: Option<Written>, outcome: Outcome, content: bool, as_json: bool) {
    let Some(written) = written else {
        let told = match outcome {
            Outcome::Arrived { .. } => "nothing: the provider fetches it from its worklist".to_owned(),
            Outcome::Superseded => "nothing: the Task has ended, or a later status is there already".to_owned(),
            Outcome::Deferred { why, .. } | Outcome::NotSent { why, .. } => format!("cannot be told now: {why}"),
            Outcome::Refused { why } | Outcome::Astray { why } => format!("nothing: {why}"),
        };
        if as_json {
            print_json(&json!({"message": letter.message.to_string(), "sent": null, "why": told}));
        } else {
            say!("{}", told);
        }
        return;
    };
    if as_json {
        let body = if content { written.body.clone() } else { shape(&written.body) };
        print_json(&json!({
            "message": letter.message.to_string(),
            "sent": {
                "method": written.method.as_str(),
                "url": written.url,
                "headers": written.headers.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
                "body": body,
            },
        }));
        return;
    }
    in_words(&written, content);
}

fn in_words(written: &Written, content: bool) {
    say!("{} {}", written.method, written.url);
    for (name, value) in &written.headers {
        say!("  {name}: {value}");
    }
    if content {
        say!("{:#}", written.body);
        return;
    }
    say!("{:#}", shape(&written.body));
    say!("its clinical content is shown by --content");
}

/// What there is, without what it says: types, ids, and how each entry is written.
fn shape(body: &Value) -> Value {
    let named = |resource: &Value| json!({"resourceType": resource.get("resourceType"), "id": resource.get("id")});
    let mut shape = named(body);
    if let Some(status) = body.get("status").filter(|_| body["resourceType"] == "Task") {
        shape["status"] = status.clone();
    }
    if let Some(entries) = body.get("entry").and_then(Value::as_array) {
        let entry = |entry: &Value| {
            let mut one = named(entry.get("resource").unwrap_or(&Value::Null));
            one["request"] = entry.get("request").cloned().unwrap_or_default();
            one
        };
        shape["entry"] = entries.iter().map(entry).collect();
    }
    shape
}

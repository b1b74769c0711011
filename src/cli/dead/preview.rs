//! `onward dead preview`: what would be sent now, and where. The same code builds it that would send it; only that what it would
//! write is held back. What it reads on the way is read.

use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::{Value, json};

use super::super::{Ended, Finding, print_json};
use crate::{
    client::{FhirClient, Rehearsal, Written},
    config::Config,
    delivery::Deliveries,
    domain::Side,
    lanes::{Carrier, Outcome},
    store::{DeadLetter, Store},
    writeback::WriteBacks,
};

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
    let (client, rehearsal) = FhirClient::new()?.rehearsing();
    let base_url = config.server.base_url_at(config.server.listen);
    let registry = Arc::new(ArcSwap::from_pointee(config.registry));
    let carrier: Box<dyn Carrier> = match letter.side {
        Side::Delivery => Box::new(Deliveries::new(store, client, registry, base_url)),
        Side::WriteBack => Box::new(WriteBacks::new(store, client, registry, base_url)),
    };
    // as if nothing had been sent before: what an earlier try left is looked for when it is sent
    let carried = carrier.carry(&task, &head, false).await?;
    say_it(letter, &rehearsal, carried.outcome, content, as_json);
    Ok(())
}

fn say_it(letter: &DeadLetter, rehearsal: &Rehearsal, outcome: Outcome, content: bool, as_json: bool) {
    let Some(written) = rehearsal.written() else {
        let told = match outcome {
            Outcome::Arrived { .. } => "nothing: the provider fetches it from its worklist".to_owned(),
            Outcome::Superseded => "nothing: the Task has ended, or a later status is there already".to_owned(),
            Outcome::Deferred { why, .. } | Outcome::NotSent { why, .. } => format!("cannot be told now: {why}"),
            Outcome::Refused { why } => format!("nothing: {why}"),
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

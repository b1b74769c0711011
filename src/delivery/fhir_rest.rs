//! Kind `fhir-rest`: the provider's FHIR server gets one transaction, and afterwards, if it does not answer by itself, its copy
//! of the Task is read.

use hyper::Method;
use serde_json::Value;

use crate::{
    client::{Answer, CallError, Failure, FhirClient, Held},
    config::registry::{Endpoint, FhirRestInbox},
    domain::TaskId,
    fhir::{
        reference::{self, encode},
        task::{found_in, identifier_token},
        tree,
    },
    lanes::{Cause, Outcome},
};

/// The endpoint of an inbox.
pub fn endpoint(inbox: &FhirRestInbox) -> Endpoint {
    Endpoint { base_url: inbox.base_url.clone(), access: inbox.access.clone(), timeout: inbox.timeout }
}

/// Sends the transaction. `again` says that an earlier try may have arrived: then our Task is looked for first.
pub async fn deliver(
    client: &FhirClient,
    inbox: &FhirRestInbox,
    task: TaskId,
    key: &str,
    bundle: String,
    again: bool,
) -> Outcome {
    let to = endpoint(inbox);
    if again {
        match look(client, &to, task).await {
            Ok(Some(copy)) => return arrived(copy),
            Ok(None) => {}
            // nothing was sent now; an earlier try is known for itself
            Err(failure) => return not_sent(failure),
        }
    }
    let sent = client.send_text(&to, Method::POST, "", &[("idempotency-key", key)], bundle).await;
    let answer = match sent {
        Ok(answer) => answer,
        Err(
            error @ (CallError::Connect(_)
            | CallError::NotAllowed
            | CallError::NoToken(_)
            | CallError::NoCertificate(_)
            | CallError::Unusable(_)),
        ) => {
            return not_sent(error.failure());
        }
        Err(error) => return failed(error.failure()),
    };
    match answer.failure() {
        None => match created(&to, &answer) {
            Some(copy) => arrived(copy),
            // taken, but it does not say under which id: it can be asked
            None => match look(client, &to, task).await {
                Ok(Some(copy)) => arrived(copy),
                Ok(None) => Outcome::Deferred {
                    cause: Cause::Message,
                    retry_after: None,
                    memory: None,
                    why: "the transaction was answered with success, but the Task is not there".to_owned(),
                },
                Err(failure) => failed(failure),
            },
        },
        // a duplicate or a conflict may be our own earlier try
        Some(failure) if matches!(answer.status.as_u16(), 409 | 412) => match look(client, &to, task).await {
            Ok(Some(copy)) => arrived(copy),
            Ok(None) => failed(failure),
            Err(other) => failed(other),
        },
        // it was turned away before anything was looked at
        Some(failure) if matches!(answer.status.as_u16(), 401 | 403 | 429) => not_sent(failure),
        Some(failure) => failed(failure),
    }
}

/// A failure after which certainly nothing is there.
fn not_sent(failure: Failure) -> Outcome {
    match failure {
        Failure::Transient { retry_after, throttled, why } => {
            let cause = if throttled { Cause::Throttled } else { Cause::Away };
            Outcome::NotSent { cause, retry_after, why }
        }
        permanent => failed(permanent),
    }
}

fn arrived(copy: Held) -> Outcome {
    let memory = serde_json::json!({ "held": copy }).to_string();
    Outcome::Arrived { remote: copy.id, memory: Some(memory), notes: vec![] }
}

pub(super) fn failed(failure: Failure) -> Outcome {
    match failure {
        Failure::Transient { retry_after, throttled, why } => {
            let cause = if throttled { Cause::Throttled } else { Cause::Away };
            Outcome::Deferred { cause, retry_after, memory: None, why }
        }
        Failure::Permanent { why } => Outcome::Refused { why },
    }
}

/// The Task entry of a transaction's answer.
fn created(server: &Endpoint, answer: &Answer) -> Option<Held> {
    tree::items(answer.body.as_ref()?, "entry").iter().find_map(|entry| {
        let response = entry.get("response")?;
        let location = response.get("location").and_then(Value::as_str)?;
        let (kind, id) = match reference::parse(location) {
            reference::Target::Relative { kind, id, .. } | reference::Target::Absolute { kind, id, .. } => (kind, id),
            _ => return None,
        };
        let etag = response.get("etag").and_then(Value::as_str).map(str::to_owned);
        (kind == "Task").then(|| Held { base: server.base_url.clone(), id: id.to_owned(), etag })
    })
}

/// Our Task on the provider's server, if it is there. Its ETag is left out: what it says now has not been taken yet.
pub(super) async fn look(client: &FhirClient, to: &Endpoint, task: TaskId) -> Result<Option<Held>, Failure> {
    let path = format!("Task?identifier={}", encode(&identifier_token(task)));
    let answer = client.get(to, &path, &[]).await.map_err(|e: CallError| e.failure())?;
    if let Some(failure) = answer.failure() {
        return Err(match failure {
            // a server that cannot be asked now is not one that has lost the referral
            Failure::Permanent { why } => Failure::Transient {
                retry_after: None,
                throttled: false,
                why: format!("it could not be asked whether it has the referral: {why}"),
            },
            transient => transient,
        });
    }
    let found = answer.body.as_ref().and_then(|bundle| found_in(bundle, task));
    Ok(found.map(|task| Held { etag: None, ..Held::of(to, &task) }).filter(|held| !held.id.is_empty()))
}

//! What is said after a referral was sent: the referrer's changes of its ServiceRequest, and messages of either side.

use axum::{
    extract::{Path, State},
    http::{HeaderName, StatusCode, header},
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Shared,
    call::{Call, Caller, is_json_patch},
    matching,
    patching::patched,
    read::resource_body,
    reply::{Answer, Fault, Reply},
    write::{IDEMPOTENCY_KEY, IF_NONE_EXIST, NOT_REPEATABLE, fits_as_key, preferred_of},
};
use crate::{
    auth::{Deed, client_that_may},
    conversation::{ConversationError, Incoming},
    fhir::{Issue, IssueCode},
    store::StoredResource,
};

const SENT_BEFORE: &str = "this message had been sent before";

/// `PUT /fhir/ServiceRequest/{id}`
pub async fn update(State(app): State<Shared>, Path(id): Path<String>, call: Call) -> Answer {
    update_one(&app, &id, call).await
}

/// A ServiceRequest as its referrer wants it.
pub(super) async fn update_one(app: &Shared, id: &str, call: Call) -> Answer {
    if is_json_patch(&call.content_type) {
        let issue =
            Issue::error(IssueCode::NotSupported, "http.Content-Type", "a PUT carries the whole ServiceRequest");
        return Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, issue));
    }
    let request = changeable(app, &call.caller, id).await?;
    let version = call.caller.if_match()?;
    let stored = app.conversation.change(request, version, |_| Ok(call.body.clone())).await?;
    changed(&call.caller, &stored)
}

/// `PATCH /fhir/ServiceRequest/{id}` with a JSON Patch or a FHIRPath Patch.
pub async fn patch(State(app): State<Shared>, Path(id): Path<String>, call: Call) -> Answer {
    patch_one(&app, &id, call).await
}

/// A ServiceRequest as its referrer's patch makes it.
pub(super) async fn patch_one(app: &Shared, id: &str, call: Call) -> Answer {
    let request = changeable(app, &call.caller, id).await?;
    let version = call.caller.if_match()?;
    let now = app.store.now();
    let make = |current: &Value| {
        patched(current, &call, now).map_err(|issue| match issue.code {
            IssueCode::Structure => ConversationError::Invalid(vec![issue]),
            _ => ConversationError::Rule(vec![issue]),
        })
    };
    let stored = app.conversation.change(request, version, make).await?;
    changed(&call.caller, &stored)
}

/// The ServiceRequest, if this client referred by it; a provider that only sees it is told so.
async fn changeable(app: &Shared, caller: &Caller, id: &str) -> Result<Uuid, Fault> {
    let id: Uuid = id.parse().map_err(|_| Fault::not_found())?;
    let (stored, parties) = app.store.resource("ServiceRequest", id, None).await?.ok_or_else(Fault::not_found)?;
    client_that_may(&caller.clients, Deed::Read, &parties).ok_or_else(Fault::not_found)?;
    if client_that_may(&caller.clients, Deed::Change, &parties).is_none() {
        let told = "only the system that referred may change its ServiceRequest; a provider answers by its Task";
        let issue = Issue::error(IssueCode::Forbidden, "ServiceRequest", told);
        return Err(Fault::new(StatusCode::FORBIDDEN, issue));
    }
    matching::none_match(caller, stored.version)?;
    Ok(id)
}

fn changed(caller: &Caller, stored: &StoredResource) -> Answer {
    let body = resource_body(stored)?;
    let told = "the referral is as it is now written";
    let body = preferred_of(caller, body, "ServiceRequest", told);
    Ok(Reply::empty(StatusCode::OK).version(stored.version, stored.last_updated).body(body))
}

/// `POST /fhir/Communication`
pub async fn say(State(app): State<Shared>, call: Call) -> Answer {
    if is_json_patch(&call.content_type) {
        let issue = Issue::error(IssueCode::NotSupported, "http.Content-Type", "a POST carries a whole Communication");
        return Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, issue));
    }
    fits_as_key(&call.caller)?;
    let header = |name: &HeaderName| call.caller.header(name);
    if let Some(text) = header(&IF_NONE_EXIST)
        && let Some(one) = matching::said(&app, &call.caller, &call.body, text).await?
    {
        let location = format!("{}/fhir/Communication/{}/_history/{}", app.base_url, one.id, one.version);
        let body = preferred_of(&call.caller, one.body, "Communication", SENT_BEFORE);
        let reply = Reply::empty(StatusCode::OK).header(header::LOCATION, location);
        return Ok(reply.version(one.version, one.last_updated).body(body));
    }
    let condition = header(&IF_NONE_EXIST).map(|text| format!("if-none-exist:{text}"));
    let key = condition.or_else(|| header(&IDEMPOTENCY_KEY).map(|text| format!("idempotency-key:{text}")));
    let incoming = Incoming { clients: call.caller.clients.clone(), body: call.body, key };
    let said = app.conversation.say(incoming).await?;
    let stored = &said.stored;
    let status = if said.new { StatusCode::CREATED } else { StatusCode::OK };
    let told = if said.new { "stored, and on its way to the other side" } else { SENT_BEFORE };
    let body = preferred_of(&call.caller, resource_body(stored)?, "Communication", told);
    let location = format!("{}/fhir/Communication/{}/_history/{}", app.base_url, stored.id, stored.version);
    let mut reply =
        Reply::empty(status).header(header::LOCATION, location).version(stored.version, stored.last_updated).body(body);
    if said.minted {
        let told = "no identifier, If-None-Exist or Idempotency-Key was given".to_owned();
        reply = reply.header(NOT_REPEATABLE, told);
    }
    Ok(reply)
}

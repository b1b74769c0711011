//! What is said after a referral was sent: the referrer's changes of its ServiceRequest, and messages of either side.

use axum::{
    extract::{Path, State},
    http::{HeaderName, StatusCode, header},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Shared,
    call::{Call, Caller, is_json_patch},
    read::resource_body,
    reply::{Answer, Fault, Reply},
    search::{bad_value, logical_id, values},
    write::{IDEMPOTENCY_KEY, IF_NONE_EXIST, NOT_REPEATABLE, fits_as_key, preferred_of, without_empty},
};
use crate::{
    auth::{Deed, may},
    conversation::{ConversationError, Incoming},
    domain::TaskId,
    fhir::{Issue, IssueCode, patch as fhir_patch},
    store::{Parties, StoredResource, TaskRecord},
};

/// The search parameters of Communication, for the CapabilityStatement. R4 has no `about`; ours is like `based-on`.
pub const MESSAGE_PARAMETERS: &[(&str, &str)] = &[("_id", "token"), ("about", "reference"), ("based-on", "reference")];

/// `PUT /fhir/ServiceRequest/{id}`
pub async fn update(State(app): State<Shared>, Path(id): Path<String>, call: Call) -> Answer {
    if is_json_patch(&call.content_type) {
        let issue =
            Issue::error(IssueCode::NotSupported, "http.Content-Type", "a PUT carries the whole ServiceRequest");
        return Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, issue));
    }
    let request = changeable(&app, &call.caller, &id).await?;
    let version = call.caller.if_match()?;
    let stored = app.conversation.change(request, version, |_| Ok(call.body.clone())).await?;
    changed(&call.caller, &stored)
}

/// `PATCH /fhir/ServiceRequest/{id}` with a JSON Patch (RFC 6902).
pub async fn patch(State(app): State<Shared>, Path(id): Path<String>, call: Call) -> Answer {
    if !is_json_patch(&call.content_type) {
        let told = "a PATCH is application/json-patch+json";
        let issue = Issue::error(IssueCode::NotSupported, "http.Content-Type", told);
        return Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, issue));
    }
    let request = changeable(&app, &call.caller, &id).await?;
    let version = call.caller.if_match()?;
    let make = |current: &Value| {
        fhir_patch::json_patch(current, &call.body).map(without_empty).map_err(|issue| match issue.code {
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
    let (_, parties) = app.store.resource("ServiceRequest", id, None).await?.ok_or_else(Fault::not_found)?;
    may(&caller.clients, Deed::Read, &parties).ok_or_else(Fault::not_found)?;
    if may(&caller.clients, Deed::Change, &parties).is_none() {
        let told = "only the system that referred may change its ServiceRequest; a provider answers by its Task";
        let issue = Issue::error(IssueCode::Forbidden, "ServiceRequest", told);
        return Err(Fault::new(StatusCode::FORBIDDEN, issue));
    }
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
    let condition = header(&IF_NONE_EXIST).map(|text| format!("if-none-exist:{text}"));
    let key = condition.or_else(|| header(&IDEMPOTENCY_KEY).map(|text| format!("idempotency-key:{text}")));
    let incoming = Incoming { clients: call.caller.clients.clone(), body: call.body, key };
    let said = app.conversation.say(incoming).await?;
    let stored = &said.stored;
    let status = if said.new { StatusCode::CREATED } else { StatusCode::OK };
    let told = if said.new { "stored, and on its way to the other side" } else { "this message had been sent before" };
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

/// `GET /fhir/Communication?…`: the messages of referrals that are named, oldest first.
pub async fn messages(State(app): State<Shared>, caller: Caller) -> Answer {
    let mut named: Option<Vec<TaskRecord>> = None;
    let mut ids: Option<Vec<Uuid>> = None;
    for (name, value) in &caller.query {
        let base = name.split(':').next().unwrap_or_default();
        match base {
            "based-on" | "about" => {
                let mut tasks = Vec::new();
                for value in values(name, value)? {
                    tasks.extend(tasks_of(&app, value).await?);
                }
                tasks.retain(|task| {
                    let parties = Parties { system: task.system.clone(), providers: vec![task.provider.clone()] };
                    may(&caller.clients, Deed::Read, &parties).is_some()
                });
                named = Some(match named.take() {
                    None => tasks,
                    Some(before) => before.into_iter().filter(|t| tasks.iter().any(|o| o.id == t.id)).collect(),
                });
            }
            "_id" => ids = Some(values(name, value)?.into_iter().filter_map(|v| v.parse().ok()).collect()),
            "_format" | "_pretty" | "_count" => {}
            _ => {
                let known: Vec<&str> = MESSAGE_PARAMETERS.iter().map(|(n, _)| *n).collect();
                let name: String = name.chars().filter(|c| c.is_ascii_graphic()).take(40).collect();
                let told = format!("Communication cannot be searched by this parameter; use {}", known.join(", "));
                return Err(Fault::invalid(vec![Issue::error(IssueCode::NotSupported, format!("http.{name}"), told)]));
            }
        }
    }
    let mut found: Vec<StoredResource> = Vec::new();
    match (named, &ids) {
        (Some(tasks), _) => {
            let mut referrals: Vec<_> = tasks.iter().map(|task| task.referral).collect();
            referrals.sort_unstable();
            referrals.dedup();
            for referral in referrals {
                let own = |r: &StoredResource| r.task.is_none_or(|id| tasks.iter().any(|t| t.id == id));
                let all = app.store.resources_of(referral).await?;
                found.extend(all.into_iter().filter(|r| r.kind == "Communication" && own(r)));
            }
        }
        (None, Some(ids)) => {
            for id in ids {
                let Some((stored, parties)) = app.store.resource("Communication", *id, None).await? else { continue };
                if may(&caller.clients, Deed::Read, &parties).is_some() {
                    found.push(stored);
                }
            }
        }
        (None, None) => {
            return Err(bad_value("based-on", "say of which referral: based-on, about or _id"));
        }
    }
    found.retain(|r| ids.as_ref().is_none_or(|ids| ids.contains(&r.id)));
    found.sort_by_key(|r| (r.last_updated, r.id));
    let mut entries = Vec::with_capacity(found.len());
    for stored in &found {
        let url = format!("{}/fhir/Communication/{}", app.base_url, stored.id);
        entries.push(json!({"fullUrl": url, "resource": resource_body(stored)?, "search": {"mode": "match"}}));
    }
    let mut bundle = json!({"resourceType": "Bundle", "type": "searchset", "total": entries.len()});
    if !entries.is_empty() {
        bundle["entry"] = entries.into();
    }
    Ok(Reply::ok(bundle))
}

/// The Tasks that a search value names: itself, or those of a ServiceRequest.
async fn tasks_of(app: &Shared, value: &str) -> Result<Vec<TaskRecord>, Fault> {
    if let Some(id) = logical_id(value, "Task").filter(|_| value.contains("Task/")) {
        return Ok(app.store.task(TaskId(id)).await?.into_iter().collect());
    }
    let Some(id) = logical_id(value, "ServiceRequest") else { return Ok(vec![]) };
    let mut tasks = app.store.find_tasks(&id.to_string()).await?;
    tasks.retain(|task| task.request == id);
    Ok(tasks)
}

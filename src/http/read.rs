//! What clients read, each only what concerns it.

use axum::{
    extract::{Path, State},
    http::{StatusCode, header},
};
use serde_json::{Value, json};

use super::{
    Shared,
    call::Caller,
    reply::{Answer, Fault, Reply, etag},
};
use crate::{
    auth::{Deed, may},
    domain::{TaskId, clock::instant},
    fhir::{
        bundle, ods_code,
        reference::is_resource_type,
        task::{EVENT_EXTENSION, with_meta},
    },
    lanes::task_body,
    store::{Attempt, JournalLine, Parties, StoreError, StoredResource, TaskRecord},
};

/// A stored resource as it is read.
pub(super) fn resource_body(stored: &StoredResource) -> Result<Value, StoreError> {
    let body = serde_json::from_str(&stored.body).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    Ok(with_meta(body, stored.version, stored.last_updated))
}

/// A Task as it is read now.
pub(super) async fn current(app: &Shared, task: &TaskRecord) -> Result<Value, StoreError> {
    let body = task_body(&*app.store, task.id, task.version).await?;
    Ok(with_meta(body, task.version, task.last_updated))
}

/// A Task that this client may see. One of another target of the same referral is not its business.
pub(super) async fn visible_task(app: &Shared, caller: &Caller, id: &str) -> Result<TaskRecord, Fault> {
    let id: TaskId = id.parse().map_err(|_| Fault::not_found())?;
    let task = app.store.task(id).await?.ok_or_else(Fault::not_found)?;
    let parties = Parties { system: task.system.clone(), providers: vec![task.provider.clone()] };
    may(&caller.clients, Deed::Read, &parties).ok_or_else(Fault::not_found)?;
    Ok(task)
}

/// Whether there is such a resource, and this client may see it.
pub(super) async fn is_visible(app: &Shared, caller: &Caller, kind: &str, id: &str) -> Result<bool, Fault> {
    let found = match kind {
        "Task" => visible_task(app, caller, id).await.map(|_| ()),
        _ => visible(app, caller, kind, id, None).await.map(|_| ()),
    };
    match found {
        Ok(()) => Ok(true),
        Err(fault) if fault.is_not_found() => Ok(false),
        Err(fault) => Err(fault),
    }
}

async fn visible(
    app: &Shared,
    caller: &Caller,
    kind: &str,
    id: &str,
    version: Option<u64>,
) -> Result<StoredResource, Fault> {
    // Tasks have a rule of their own and never come this way
    if !is_resource_type(kind) || kind == "Task" {
        return Err(Fault::not_found());
    }
    let id = id.parse().map_err(|_| Fault::not_found())?;
    let found = app.store.resource(kind, id, version).await?;
    let (stored, parties) = found.ok_or_else(Fault::not_found)?;
    may(&caller.clients, Deed::Read, &parties).ok_or_else(Fault::not_found)?;
    Ok(stored)
}

fn given(caller: &Caller, body: Value, version: u64, last_updated: jiff::Timestamp) -> Reply {
    let reply = Reply::ok(body).version(version, last_updated);
    if caller.has_already(version) { reply.status(StatusCode::NOT_MODIFIED).body(None) } else { reply }
}

fn number(version: &str) -> Result<u64, Fault> {
    version.parse().map_err(|_| Fault::not_found())
}

/// `GET /fhir/Task/{id}`
pub async fn task(State(app): State<Shared>, Path(id): Path<String>, caller: Caller) -> Answer {
    let task = visible_task(&app, &caller, &id).await?;
    Ok(given(&caller, current(&app, &task).await?, task.version, task.last_updated))
}

/// `GET /fhir/Task/{id}/_history/{version}`
pub async fn task_version(
    State(app): State<Shared>,
    Path((id, version)): Path<(String, String)>,
    caller: Caller,
) -> Answer {
    let task = visible_task(&app, &caller, &id).await?;
    let found = app.store.resource("Task", task.id.0, Some(number(&version)?)).await?;
    let (stored, _) = found.ok_or_else(Fault::not_found)?;
    Ok(given(&caller, resource_body(&stored)?, stored.version, stored.last_updated))
}

/// `GET /fhir/{type}/{id}`
pub async fn resource(State(app): State<Shared>, Path((kind, id)): Path<(String, String)>, caller: Caller) -> Answer {
    let stored = visible(&app, &caller, &kind, &id, None).await?;
    Ok(given(&caller, resource_body(&stored)?, stored.version, stored.last_updated))
}

/// `GET /fhir/ServiceRequest/{id}`
pub async fn request(app: State<Shared>, Path(id): Path<String>, caller: Caller) -> Answer {
    resource(app, Path(("ServiceRequest".to_owned(), id)), caller).await
}

/// `GET /fhir/{type}/{id}/_history/{version}`
pub async fn version(
    State(app): State<Shared>,
    Path((kind, id, version)): Path<(String, String, String)>,
    caller: Caller,
) -> Answer {
    let stored = visible(&app, &caller, &kind, &id, Some(number(&version)?)).await?;
    Ok(given(&caller, resource_body(&stored)?, stored.version, stored.last_updated))
}

/// `GET /fhir/{type}/{id}/_history`
pub async fn history(State(app): State<Shared>, Path((kind, id)): Path<(String, String)>, caller: Caller) -> Answer {
    let stored = visible(&app, &caller, &kind, &id, None).await?;
    let versions = app.store.versions(&kind, stored.id).await?;
    let mut entries = Vec::with_capacity(versions.len());
    for version in versions.iter().rev() {
        entries.push(history_entry(&app, version, resource_body(version)?));
    }
    Ok(Reply::ok(history_bundle(entries)))
}

/// `GET /fhir/Task/{id}/_history`: every version, newest first, each with what happened while it was current.
pub async fn task_history(State(app): State<Shared>, Path(id): Path<String>, caller: Caller) -> Answer {
    let task = visible_task(&app, &caller, &id).await?;
    let versions = app.store.versions("Task", task.id.0).await?;
    let journal = app.store.journal(task.id).await?;
    let attempts = app.store.attempts(task.id).await?;
    let mut entries = Vec::with_capacity(versions.len());
    for (index, version) in versions.iter().enumerate() {
        let next = versions.get(index + 1);
        let until_seq = next.map_or(u64::MAX, |n| n.version);
        let until = next.map(|n| n.last_updated);
        let mut body = resource_body(version)?;
        let lines = journal.iter().filter(|l| (version.version..until_seq).contains(&l.seq)).map(line_extension);
        let tries = attempts
            .iter()
            .filter(|a| a.at >= version.last_updated && until.is_none_or(|u| a.at < u))
            .map(attempt_extension);
        let told: Vec<Value> = lines.chain(tries).collect();
        if let Some(object) = body.as_object_mut() {
            object.insert("extension".into(), told.into());
        }
        entries.push(history_entry(&app, version, body));
    }
    entries.reverse();
    Ok(Reply::ok(history_bundle(entries)))
}

fn line_extension(line: &JournalLine) -> Value {
    let mut told = json!({"url": EVENT_EXTENSION, "extension": [
        {"url": "event", "valueCode": line.event.name()},
        {"url": "at", "valueInstant": instant(line.at)},
        {"url": "seq", "valuePositiveInt": line.seq},
        {"url": "by", "valueString": line.actor.to_string()},
    ]});
    let parts = told.get_mut("extension").and_then(Value::as_array_mut);
    if let (Some(why), Some(parts)) = (line.event.why(), parts) {
        parts.push(json!({"url": "why", "valueString": why}));
    }
    told
}

fn attempt_extension(attempt: &Attempt) -> Value {
    json!({"url": EVENT_EXTENSION, "extension": [
        {"url": "event", "valueCode": format!("{}-attempt", attempt.side)},
        {"url": "at", "valueInstant": instant(attempt.at)},
        {"url": "of", "valuePositiveInt": attempt.of},
        {"url": "result", "valueCode": attempt.result},
    ]})
}

fn history_entry(app: &Shared, version: &StoredResource, body: Value) -> Value {
    let url = format!("{}/{}", version.kind, version.id);
    let first = version.version == 1;
    json!({
        "fullUrl": format!("{}/fhir/{url}", app.base_url),
        "resource": body,
        "request": {"method": if first { "POST" } else { "PUT" }, "url": if first { version.kind.clone() } else { url }},
        "response": {
            "status": if first { "201 Created" } else { "200 OK" },
            "etag": etag(version.version),
            "lastModified": instant(version.last_updated),
        },
    })
}

fn history_bundle(entries: Vec<Value>) -> Value {
    json!({"resourceType": "Bundle", "type": "history", "total": entries.len(), "entry": entries})
}

/// `GET /fhir/Task/{id}/$package`: the whole referral as one Bundle.
pub async fn package(State(app): State<Shared>, Path(id): Path<String>, caller: Caller) -> Answer {
    let task = visible_task(&app, &caller, &id).await?;
    let mut all = vec![current(&app, &task).await?];
    let all_of_it = app.store.resources_of(task.referral).await?;
    for stored in all_of_it.into_iter().filter(|stored| stored.task.is_none_or(|id| id == task.id)) {
        all.push(resource_body(&stored)?);
    }
    Ok(Reply::ok(bundle::collection(all, &app.base_url)).header(header::CACHE_CONTROL, "no-store".to_owned()))
}

/// `GET /fhir/Organization/{id}`: a provider of the registry, or an organisation that travels with a referral.
pub async fn organization(State(app): State<Shared>, Path(id): Path<String>, caller: Caller) -> Answer {
    let registry = app.registry.load();
    let provider = id.parse().ok().and_then(|id| registry.providers.get(&id));
    if let Some(provider) = provider {
        return Ok(Reply::ok(json!({
            "resourceType": "Organization",
            "id": provider.id.as_str(),
            "identifier": [{"system": ods_code::ORGANISATION_SYSTEM, "value": provider.ods_code}],
            "active": true,
            "name": provider.name,
        })));
    }
    drop(registry);
    resource(State(app), Path(("Organization".to_owned(), id)), caller).await
}

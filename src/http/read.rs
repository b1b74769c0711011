//! What clients read, each only what concerns it.

use axum::{
    extract::{Path, State},
    http::{StatusCode, header},
};
use serde_json::{Value, json};

use super::{
    Shared,
    call::Caller,
    directory, history,
    reply::{Answer, Fault, Reply, etag},
    surroundings::{Found, concerning, provenance_of},
    who,
};
use crate::{
    auth::{Deed, client_that_may},
    directory::authors,
    domain::{EntryKind, Letter, ProviderId, TaskId, clock::instant},
    fhir::{
        Issue, IssueCode, bundle, provenance,
        reference::is_resource_type,
        task::{EVENT_EXTENSION, point_to, with_meta},
    },
    lanes::task_body,
    search::Shape,
    store::{Attempt, JournalLine, Parties, StoreError, StoredResource, TaskRecord},
};

/// A stored resource as it is read.
pub(super) fn resource_body(stored: &StoredResource) -> Result<Value, StoreError> {
    let body = serde_json::from_str(&stored.body).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    Ok(with_meta(body, stored.version, stored.last_updated))
}

/// A Task as this client reads it now.
pub(super) async fn current(app: &Shared, caller: &Caller, task: &TaskRecord) -> Result<Value, StoreError> {
    let body = task_body(&*app.store, task.id, task.version).await?;
    let mut body = with_meta(body, task.version, task.last_updated);
    point(&mut body, task, concerning(&caller.clients).providers.as_slice());
    Ok(body)
}

/// Points its provider, and nobody else, to another referral of the same person.
pub(super) fn point(body: &mut Value, task: &TaskRecord, seen_by: &[ProviderId]) {
    if let Some(other) = task.beside.filter(|_| seen_by.contains(&task.provider)) {
        point_to(body, other);
    }
}

/// A Task that this client may see. One of another target of the same referral is not its business.
pub(super) async fn visible_task(app: &Shared, caller: &Caller, id: &str) -> Result<TaskRecord, Fault> {
    let id: TaskId = id.parse().map_err(|_| Fault::not_found())?;
    let task = app.store.task(id).await?.ok_or_else(Fault::not_found)?;
    let parties = Parties { system: task.system.clone(), providers: vec![task.provider.clone()] };
    client_that_may(&caller.clients, Deed::Read, &parties).ok_or_else(Fault::not_found)?;
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
    client_that_may(&caller.clients, Deed::Read, &parties).ok_or_else(Fault::not_found)?;
    Ok(stored)
}

pub(super) fn given(caller: &Caller, body: Value, version: u64, last_updated: jiff::Timestamp) -> Reply {
    let reply = Reply::ok(body).version(version, last_updated);
    if caller.has_already(version) { reply.status(StatusCode::NOT_MODIFIED).body(None) } else { reply }
}

/// Whether a Provenance tells who made a version, which is all of it: it has no versions itself.
fn is_of_version(id: &str) -> bool {
    provenance::of_id(id).is_some() || authors::of_id(id).is_some()
}

fn number(version: &str) -> Result<u64, Fault> {
    // each has one name: `01` is none
    version.parse().ok().filter(|number: &u64| number.to_string() == version).ok_or_else(Fault::not_found)
}

/// A resource as it is now.
async fn current_of(app: &Shared, caller: &Caller, kind: &str, id: &str) -> Result<Found, Fault> {
    match kind {
        "Task" => {
            let task = visible_task(app, caller, id).await?;
            let (version, last_updated) = (task.version, task.last_updated);
            let body = current(app, caller, &task).await?;
            Ok(Found { kind: kind.to_owned(), id: id.to_owned(), version, last_updated, owner: None, body })
        }
        "Provenance" if let Some((task, version)) = provenance::of_id(id) => {
            let task = visible_task(app, caller, &task.to_string()).await?;
            let lines = app.store.journal(task.id).await?;
            let line = lines.iter().find(|line| line.seq == version).ok_or_else(Fault::not_found)?;
            provenance_of(&app.registry.load(), &task, line).ok_or_else(Fault::not_found)
        }
        "Provenance" if let Some(of) = authors::of_id(id) => directory::provenance(app, caller, of).await,
        _ => {
            // the directory is everybody's; what else has such a type travels with a referral
            if let Ok(kind) = kind.parse::<EntryKind>()
                && let Some(found) = directory::one(app, kind, id).await?
            {
                return Ok(found);
            }
            Ok(Found::of(&visible(app, caller, kind, id, None).await?)?)
        }
    }
}

/// `GET /fhir/{type}/{id}`
pub(super) async fn read(app: &Shared, kind: &str, id: &str, caller: &Caller) -> Answer {
    let shape = shape(caller)?;
    let found = current_of(app, caller, kind, id).await?;
    if kind.parse::<EntryKind>().is_ok() && found.body.get("meta").is_none() {
        // what the registry makes has no versions
        return Ok(Reply::ok(shape.cut(found.body)));
    }
    Ok(given(caller, shape.cut(found.body), found.version, found.last_updated))
}

/// How much of a resource is asked for (R4 http, 3.1.0.1.2 and search, 3.1.1.6.5).
fn shape(caller: &Caller) -> Result<Shape, Fault> {
    let mut shape = Shape::Whole;
    for (name, value) in &caller.query {
        let wrong = |code, told: &str| {
            let name: String = name.chars().filter(char::is_ascii_graphic).take(40).collect();
            Fault::invalid(vec![Issue::error(code, format!("http.{name}"), told)])
        };
        match name.as_str() {
            "_summary" => {
                let told = Shape::of_summary(value).filter(|shape| *shape != Shape::Count);
                shape = told.ok_or_else(|| wrong(IssueCode::Value, "use true, text, data or false"))?;
            }
            "_elements" => shape = Shape::of_elements(value),
            "_format" | "_pretty" => {}
            _ if caller.is_lenient() => {}
            _ => return Err(wrong(IssueCode::NotSupported, "a read knows _summary, _elements, _format and _pretty")),
        }
    }
    Ok(shape)
}

/// `GET /fhir/{type}/{id}/_history/{version}`
pub(super) async fn vread(app: &Shared, kind: &str, id: &str, version: &str, caller: &Caller) -> Answer {
    let wanted = number(version)?;
    if kind == "Task" {
        let task = visible_task(app, caller, id).await?;
        let found = app.store.resource("Task", task.id.0, Some(wanted)).await?;
        let (stored, _) = found.ok_or_else(Fault::not_found)?;
        let mut body = resource_body(&stored)?;
        point(&mut body, &task, &concerning(&caller.clients).providers);
        return Ok(given(caller, body, stored.version, stored.last_updated));
    }
    if kind == "Provenance" && is_of_version(id) {
        let found = current_of(app, caller, kind, id).await?;
        return if wanted == 1 {
            Ok(given(caller, found.body, 1, found.last_updated))
        } else {
            Err(Fault::not_found())
        };
    }
    if let Ok(kind) = kind.parse::<EntryKind>()
        && let Some(reply) = directory::vread(app, kind, id, wanted, caller).await?
    {
        return Ok(reply);
    }
    let stored = visible(app, caller, kind, id, Some(wanted)).await?;
    Ok(given(caller, resource_body(&stored)?, stored.version, stored.last_updated))
}

/// `GET /fhir/{type}/{id}/_history`
pub(super) async fn history(app: &Shared, kind: &str, id: &str, caller: &Caller) -> Answer {
    if kind == "Task" {
        return task_history(app, id, caller).await;
    }
    if kind == "Provenance" && is_of_version(id) {
        let found = current_of(app, caller, kind, id).await?;
        let asked = history::asked(caller)?;
        let entry = history_entry(app, kind, id, 1, found.last_updated, found.body);
        return Ok(Reply::ok(history::of_one(app, kind, id, caller, &asked, vec![(1, entry)])));
    }
    if let Ok(kind) = kind.parse::<EntryKind>()
        && let Some(reply) = directory::versions(app, kind, id, caller).await?
    {
        return Ok(reply);
    }
    let stored = visible(app, caller, kind, id, None).await?;
    let asked = history::asked(caller)?;
    let versions = app.store.versions(kind, stored.id).await?;
    let mut entries = Vec::with_capacity(versions.len());
    for version in versions.iter().rev().filter(|version| asked.wants(version.last_updated)) {
        entries.push((version.version, entry_of(app, version)?));
    }
    Ok(Reply::ok(history::of_one(app, kind, id, caller, &asked, entries)))
}

/// `GET /fhir/Task/{id}/_history`: every version, newest first, each with what happened while it was current.
async fn task_history(app: &Shared, id: &str, caller: &Caller) -> Answer {
    let task = visible_task(app, caller, id).await?;
    let asked = history::asked(caller)?;
    let seen_by = concerning(&caller.clients).providers;
    let versions = app.store.versions("Task", task.id.0).await?;
    let journal = app.store.journal(task.id).await?;
    let attempts = app.store.attempts(task.id).await?;
    let mut entries = Vec::with_capacity(versions.len());
    for (index, version) in versions.iter().enumerate() {
        if !asked.wants(version.last_updated) {
            continue;
        }
        let next = versions.get(index + 1);
        let until_seq = next.map_or(u64::MAX, |n| n.version);
        let until = next.map(|n| n.last_updated);
        let mut body = resource_body(version)?;
        point(&mut body, &task, &seen_by);
        let lines = journal.iter().filter(|l| (version.version..until_seq).contains(&l.seq)).map(line_extension);
        let tries = attempts
            .iter()
            .filter(|a| a.at >= version.last_updated && until.is_none_or(|u| a.at < u))
            .map(attempt_extension);
        let told: Vec<Value> = lines.chain(tries).collect();
        if let Some(object) = body.as_object_mut() {
            object.insert("extension".into(), told.into());
        }
        let entry = history_entry(app, "Task", id, version.version, version.last_updated, body);
        entries.push((version.version, entry));
    }
    entries.reverse();
    Ok(Reply::ok(history::of_one(app, "Task", id, caller, &asked, entries)))
}

fn line_extension(line: &JournalLine) -> Value {
    let mut told = json!({"url": EVENT_EXTENSION, "extension": [
        {"url": "event", "valueCode": line.event.name()},
        {"url": "at", "valueInstant": instant(line.at)},
        {"url": "seq", "valuePositiveInt": line.seq},
        {"url": "by", "valueString": line.actor.to_string()},
    ]});
    let more = [
        ("why", line.event.why()),
        ("request", line.asked_by.as_ref().map(|asked| asked.request.as_str())),
        ("correlation", line.asked_by.as_ref().and_then(|asked| asked.correlation.as_deref())),
    ];
    if let Some(parts) = told.get_mut("extension").and_then(Value::as_array_mut) {
        let said = more.into_iter().filter_map(|(url, text)| Some(json!({"url": url, "valueString": text?})));
        parts.extend(said);
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

/// A version as an entry of a history.
pub(super) fn entry_of(app: &Shared, version: &StoredResource) -> Result<Value, StoreError> {
    let body = resource_body(version)?;
    Ok(history_entry(app, &version.kind, &version.id.to_string(), version.version, version.last_updated, body))
}

pub(super) fn history_entry(
    app: &Shared,
    kind: &str,
    id: &str,
    version: u64,
    at: jiff::Timestamp,
    body: Value,
) -> Value {
    let url = format!("{kind}/{id}");
    let first = version == 1;
    json!({
        "fullUrl": format!("{}/fhir/{url}", app.base_url),
        "resource": body,
        "request": {"method": if first { "POST" } else { "PUT" }, "url": if first { kind } else { &*url }},
        "response": {
            "status": if first { "201 Created" } else { "200 OK" },
            "etag": etag(version),
            "lastModified": instant(at),
        },
    })
}

/// `GET /fhir/Task/{id}/$package`: the whole referral as one Bundle.
pub async fn package(State(app): State<Shared>, Path(id): Path<String>, caller: Caller) -> Answer {
    let task = visible_task(&app, &caller, &id).await?;
    let mut all = vec![current(&app, &caller, &task).await?];
    let all_of_it = app.store.resources_of(task.referral).await?;
    for stored in all_of_it.into_iter().filter(|stored| stored.task.is_none_or(|id| id == task.id)) {
        // a package that leaves something out would be taken for the whole
        who::reaches(&caller.granted, &[(&stored.kind, Letter::Read)])?;
        all.push(resource_body(&stored)?);
    }
    Ok(Reply::ok(bundle::collection(all, &app.base_url)).header(header::CACHE_CONTROL, "no-store".to_owned()))
}

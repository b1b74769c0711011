//! What clients write: referrals, and answers to them.

use axum::{
    extract::{Path, State},
    http::{HeaderName, StatusCode, header},
};
use serde_json::{Value, json};

use super::{
    Shared,
    call::{AnyOrder, Call, Caller, is_json_patch},
    matching,
    patching::patched,
    read::{self, current},
    reply::{Answer, Fault, Reply, etag},
    surroundings::Found,
    who,
};
use crate::{
    auth::{Deed, client_that_may},
    config::registry::Client,
    domain::{Letter, SystemId, TaskId, clock::instant},
    fhir::{Issue, IssueCode, outcome, task::with_meta, tree},
    intake::{Accepted, Incoming, apart::KEY_MAX_BYTES},
    status::{Source, StatusError},
    store::{Parties, TaskRecord},
};

pub(super) const IF_NONE_EXIST: HeaderName = HeaderName::from_static("if-none-exist");
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The version of everything that has just been stored.
const FIRST_VERSION: u64 = 1;
/// Tells a sender that gave its referral nothing to know it by that sending it again makes another.
pub(super) const NOT_REPEATABLE: HeaderName = HeaderName::from_static("onward-not-repeatable");

/// `POST /fhir/ServiceRequest`
pub async fn create(State(app): State<Shared>, call: AnyOrder) -> Answer {
    create_one(&app, call).await
}

/// A referral. With `If-None-Exist` it is one only where the search finds none (R4 http, 3.1.0.8.1); until the first is stored, the text
/// of the search alone keeps two of the same apart.
pub(super) async fn create_one(app: &Shared, AnyOrder { mut call, faults }: AnyOrder) -> Answer {
    let incoming = incoming(app, &mut call, faults, "ServiceRequest")?;
    if let Some(text) = &incoming.if_none_exist {
        let asked = matching::condition(text, "ServiceRequest", &app.base_url)?;
        if let Some(one) = matching::found(app, "ServiceRequest", &call.caller, &asked).await? {
            return existing(app, &call.caller, one).await;
        }
    }
    let accepted = app.intake.accept(incoming).await?;
    let Some(referral) = accepted.referrals.first() else { return Err(Fault::not_found()) };
    let stored = request_now(app, &accepted, 0).await?;
    let status = if referral.new { StatusCode::CREATED } else { StatusCode::OK };
    let location = format!("{}/fhir/ServiceRequest/{}/_history/{}", app.base_url, referral.request, stored.version);
    let reply = Reply::empty(status)
        .header(header::LOCATION, location)
        .version(stored.version, stored.last_updated)
        .body(preferred(&call.caller, stored.body, referral.new, &accepted.notes));
    Ok(with_notes(reply, app, &accepted))
}

/// The referral that there is already.
async fn existing(app: &Shared, caller: &Caller, one: Found) -> Answer {
    let location = format!("{}/fhir/ServiceRequest/{}/_history/{}", app.base_url, one.id, one.version);
    let tasks = app.store.find_tasks(&one.id).await?;
    let reply = Reply::empty(StatusCode::OK)
        .header(header::LOCATION, location)
        .version(one.version, one.last_updated)
        .body(preferred(caller, one.body, false, &[]));
    Ok(tasks.iter().take(1).fold(reply, |reply, task| followed(reply, app, task.id)))
}

/// `POST /fhir` with a transaction Bundle.
pub async fn transaction(State(app): State<Shared>, AnyOrder { mut call, faults }: AnyOrder) -> Answer {
    let minimal = call.caller.prefers_return() == Some("minimal");
    within_scopes(&call)?;
    let incoming = incoming(&app, &mut call, faults, "Bundle")?;
    let accepted = app.intake.accept(incoming).await?;
    let mut entries = Vec::with_capacity(accepted.entries.len());
    for place in &accepted.entries {
        let mut told = entry(&app, place.as_deref(), &accepted, minimal).await?;
        let notes = notes_of(entries.len(), &accepted.notes);
        if !minimal && !notes.is_empty() {
            // hints and warnings about an entry stand with it (R4 Bundle.entry.response.outcome)
            told["response"]["outcome"] = outcome(&notes);
        }
        entries.push(told);
    }
    let body = json!({"resourceType": "Bundle", "type": "transaction-response", "entry": entries});
    // a transaction is answered with 200, its entries say what was created (R4 http, 3.1.0.11.2)
    Ok(with_notes(Reply::ok(body), &app, &accepted))
}

/// Whether each entry may be done for itself: a POST creates, whatever else is done changes.
fn within_scopes(call: &Call) -> Result<(), Fault> {
    let needed = tree::items(&call.body, "entry").iter().filter_map(|entry| {
        let kind = tree::resource_type(entry.get("resource")?)?;
        let is_new = tree::text(entry, "request.method") == Some("POST");
        Some((kind, if is_new { Letter::Create } else { Letter::Update }))
    });
    let mut needed: Vec<_> = needed.collect();
    needed.sort_unstable();
    needed.dedup();
    who::reaches(&call.caller.granted, &needed)
}

/// What was said of one entry.
fn notes_of(index: usize, notes: &[Issue]) -> Vec<Issue> {
    let entry = format!("Bundle.entry[{index}]");
    let is_in =
        |place: &String| place.strip_prefix(&*entry).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    notes.iter().filter(|issue| issue.expression.iter().any(is_in)).cloned().collect()
}

/// A version of a ServiceRequest as it is answered.
struct Current {
    version: u64,
    last_updated: jiff::Timestamp,
    body: Value,
}

/// The ServiceRequest of a referral as it is now. A new one is answered from memory: nothing has changed it yet.
async fn request_now(app: &Shared, accepted: &Accepted, index: usize) -> Result<Current, Fault> {
    let referral = accepted.referrals.get(index).ok_or_else(Fault::not_found)?;
    if let Some(Some(body)) = accepted.requests.get(index) {
        let body = with_meta(body.clone(), FIRST_VERSION, referral.at);
        return Ok(Current { version: FIRST_VERSION, last_updated: referral.at, body });
    }
    let found = app.store.resource("ServiceRequest", referral.request, None).await?;
    let (stored, _) = found.ok_or_else(Fault::not_found)?;
    let body = read::resource_body(&stored)?;
    Ok(Current { version: stored.version, last_updated: stored.last_updated, body })
}

async fn entry(app: &Shared, place: Option<&str>, accepted: &Accepted, minimal: bool) -> Result<Value, Fault> {
    let nothing_told = json!({"response": {"status": "200 OK"}});
    let Some((place, (kind, id))) = place.and_then(|p| Some((p, p.split_once('/')?))) else { return Ok(nothing_told) };
    let told = |new: bool, version: u64, at| {
        json!({"response": {
            "status": if new { "201 Created" } else { "200 OK" },
            "location": format!("{}/fhir/{place}/_history/{version}", app.base_url),
            "etag": etag(version),
            "lastModified": instant(at),
        }})
    };
    let referral = accepted.referrals.iter().position(|r| kind == "ServiceRequest" && r.request.to_string() == id);
    if let Some(index) = referral {
        let current = request_now(app, accepted, index).await?;
        let mut entry = told(accepted.referrals[index].new, current.version, current.last_updated);
        if !minimal {
            entry["resource"] = current.body;
        }
        return Ok(entry);
    }
    if let [first, rest @ ..] = &accepted.referrals[..]
        && first.new
        && rest.iter().all(|r| r.new)
    {
        return Ok(told(true, FIRST_VERSION, first.at));
    }
    let Ok(id) = id.parse() else { return Ok(nothing_told) };
    let Some((stored, _)) = app.store.resource(kind, id, None).await? else { return Ok(nothing_told) };
    let new = accepted.referrals.iter().any(|r| r.referral == stored.referral && r.new);
    Ok(told(new, stored.version, stored.last_updated))
}

/// What is sent, with its body taken out of the call: a copy of the tree costs as much as reading it did.
fn incoming(app: &Shared, call: &mut Call, faults: Vec<Issue>, expected: &'static str) -> Result<Incoming, Fault> {
    fits_as_bundle(app, &call.body)?;
    fits_as_key(&call.caller)?;
    let header = |name| call.caller.header(&name).map(str::to_owned);
    Ok(Incoming {
        system: sender(&call.caller)?,
        expected,
        content_type: call.content_type.clone(),
        original: call.original.clone(),
        body: call.body.take(),
        faults,
        if_none_exist: header(IF_NONE_EXIST),
        idempotency_key: header(IDEMPOTENCY_KEY),
        traceparent: header(TRACEPARENT).filter(|t| is_traceparent(t)),
    })
}

/// Whether a Bundle has no more entries than it may.
pub(super) fn fits_as_bundle(app: &Shared, body: &Value) -> Result<(), Fault> {
    let entries = crate::fhir::tree::items(body, "entry").len();
    if entries > app.limits.bundle_entries {
        let told = format!("a Bundle may have at most {} entries", app.limits.bundle_entries);
        let issue = Issue::error(IssueCode::TooCostly, "Bundle.entry", told);
        return Err(Fault::new(StatusCode::PAYLOAD_TOO_LARGE, issue));
    }
    Ok(())
}

/// Whether what a request is to be known by when it comes again is short enough.
pub(super) fn fits_as_key(caller: &Caller) -> Result<(), Fault> {
    for name in [IF_NONE_EXIST, IDEMPOTENCY_KEY] {
        if caller.header(&name).is_some_and(|key| key.len() > KEY_MAX_BYTES) {
            let told = format!("this header has at most {KEY_MAX_BYTES} bytes");
            return Err(Fault::invalid(vec![Issue::error(IssueCode::TooLong, format!("http.{name}"), told)]));
        }
    }
    Ok(())
}

fn sender(caller: &Caller) -> Result<SystemId, Fault> {
    let system = caller.clients.iter().find_map(|client| match client {
        Client::System(id) => Some(id.clone()),
        Client::Provider(_) | Client::Steward(_) => None,
    });
    system.ok_or_else(|| {
        let told = "only an originating system may refer; this token is none of such a system";
        Fault::new(StatusCode::FORBIDDEN, Issue::error(IssueCode::Forbidden, "http.Authorization", told))
    })
}

/// `version-traceid-parentid-flags` in lower-case hex (W3C Trace Context, 3.2).
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &str, length| {
        part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    matches!(parts[..], [v, t, p, f] if hex(v, 2) && hex(t, 32) && hex(p, 16) && hex(f, 2))
}

/// The body by `Prefer: return=…`; the resource where nothing is preferred.
fn preferred(caller: &Caller, resource: Value, new: bool, notes: &[Issue]) -> Option<Value> {
    let told = if new { "accepted, routed and stored" } else { "this referral had been accepted before" };
    if caller.prefers_return() == Some("OperationOutcome") && !notes.is_empty() {
        let mut issues = notes.to_vec();
        issues.push(Issue::information(IssueCode::Informational, "ServiceRequest", told));
        return Some(outcome(&issues));
    }
    preferred_of(caller, resource, "ServiceRequest", told)
}

/// The same for a resource of any type, and what an OperationOutcome would say.
pub(super) fn preferred_of(caller: &Caller, resource: Value, kind: &str, told: &str) -> Option<Value> {
    match caller.prefers_return() {
        Some("minimal") => None,
        Some("OperationOutcome") => {
            Some(outcome(&[Issue::information(IssueCode::Informational, kind.to_owned(), told)]))
        }
        _ => Some(resource),
    }
}

/// Where to follow each referral, and whether sending it again would make it anew.
fn with_notes(mut reply: Reply, app: &Shared, accepted: &Accepted) -> Reply {
    // the first of several is their parent, and those are found by it
    for task in accepted.referrals.iter().filter_map(|r| r.tasks.first()) {
        reply = followed(reply, app, *task);
    }
    if accepted.minted {
        let told = "no identifier, If-None-Exist or Idempotency-Key was given".to_owned();
        reply = reply.header(NOT_REPEATABLE, told);
    }
    reply
}

/// With where to follow a Task.
fn followed(reply: Reply, app: &Shared, task: TaskId) -> Reply {
    reply.header(header::LINK, format!("<{}/fhir/Task/{task}>; rel=\"monitor\"", app.base_url))
}

/// `PUT /fhir/Task/{id}`
pub async fn update(State(app): State<Shared>, Path(id): Path<String>, call: Call) -> Answer {
    update_one(&app, &id, call).await
}

/// A Task as its provider wants it.
pub(super) async fn update_one(app: &Shared, id: &str, call: Call) -> Answer {
    if is_json_patch(&call.content_type) {
        let issue = Issue::error(IssueCode::NotSupported, "http.Content-Type", "a PUT carries the whole Task");
        return Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, issue));
    }
    let task = answerable(app, &call.caller, id).await?;
    let version = call.caller.if_match()?;
    app.intake.check_answer(&call.body, &task.system).map_err(Fault::invalid)?;
    let wanted = without_own_base(call.body, &app.base_url);
    let changed = app.status.answer_known(task, Source::Request { version }, |_| Ok(wanted.clone())).await?;
    answered(app, &call.caller, &changed).await
}

/// `PATCH /fhir/Task/{id}` with a JSON Patch or a FHIRPath Patch.
pub async fn patch(State(app): State<Shared>, Path(id): Path<String>, call: Call) -> Answer {
    patch_one(&app, &id, call).await
}

/// A Task as its provider's patch makes it.
pub(super) async fn patch_one(app: &Shared, id: &str, call: Call) -> Answer {
    let task = answerable(app, &call.caller, id).await?;
    let version = call.caller.if_match()?;
    let (system, now) = (task.system.clone(), app.store.now());
    let changed = app
        .status
        .answer_known(task, Source::Request { version }, |current| {
            let patched = patched(current, &call, now).map_err(|issue| vec![issue])?;
            app.intake.check_answer(&patched, &system)?;
            Ok(patched)
        })
        .await?;
    answered(app, &call.caller, &changed).await
}

/// The Task, if this client may answer it; a system that only sees it is told so.
async fn answerable(app: &Shared, caller: &Caller, id: &str) -> Result<TaskRecord, Fault> {
    let task = read::visible_task(app, caller, id).await?;
    if task.is_parent() {
        return Err(StatusError::Follows.into());
    }
    let parties = Parties { system: task.system.clone(), providers: vec![task.provider.clone()] };
    if client_that_may(&caller.clients, Deed::Answer, &parties).is_none() {
        let told = "only the provider it was routed to may change this Task";
        return Err(Fault::new(StatusCode::FORBIDDEN, Issue::error(IssueCode::Forbidden, "Task", told)));
    }
    matching::none_match(caller, task.version)?;
    Ok(task)
}

/// Clients that resolve references write ours in full; that is no change.
fn without_own_base(mut task: Value, base_url: &str) -> Value {
    let base = format!("{base_url}/fhir/");
    crate::fhir::tree::map_references(&mut task, &mut |reference| reference.strip_prefix(&*base).map(str::to_owned));
    task
}

async fn answered(app: &Shared, caller: &Caller, task: &TaskRecord) -> Answer {
    let body = current(app, caller, task).await?;
    let reply = Reply::ok(body.clone()).version(task.version, task.last_updated);
    Ok(match caller.prefers_return() {
        Some("minimal") => reply.body(None),
        Some("OperationOutcome") => {
            let told = format!("the Task is {}", task.state.status);
            reply.body(Some(outcome(&[Issue::information(IssueCode::Informational, "Task", told)])))
        }
        _ => reply,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_traceparent_travels() {
        assert!(is_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        for bad in
            ["", "00-xyz-b7ad6b7169203331-01", "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a-b-c-d"]
        {
            assert!(!is_traceparent(bad), "{bad}");
        }
    }
}

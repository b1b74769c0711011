//! Entries of the directory over HTTP: every client reads them, stewards write them, and what a provider writes is kept as a proposal.

use axum::{
    extract::{Path, State},
    http::{HeaderName, StatusCode, header},
};
use serde_json::Value;

use super::{
    App, Shared,
    call::{Call, Caller},
    history, matching,
    read::{given, history_entry},
    reply::{Answer, Fault, Reply},
    surroundings::Found,
    write::{IF_NONE_EXIST, fits_as_key, preferred_of},
};
use crate::{
    config::registry::Client,
    directory::{self, Draft, entry},
    domain::{EntryKind, ProviderId, StewardId},
    fhir::{Issue, IssueCode, Severity, outcome, tree},
    store::{DirectoryEntry, Proposal, StoreError},
};

pub(super) mod proposals;
pub(super) mod stories;

/// Says that somebody has seen to it that nobody can be recognised in the practice stories of what is written.
const STORY_CHECKED: HeaderName = HeaderName::from_static("story-checked");

/// As whom a client writes the directory.
pub(super) enum Writer {
    /// At once.
    Steward(StewardId),
    /// By proposing.
    Provider(ProviderId),
}

/// As whom a caller writes; who may be several writes as the one that may do more.
pub(super) fn writer(caller: &Caller) -> Result<Writer, Fault> {
    let steward = caller.clients.iter().find_map(|client| match client {
        Client::Steward(id) => Some(Writer::Steward(id.clone())),
        _ => None,
    });
    let provider = || {
        caller.clients.iter().find_map(|client| match client {
            Client::Provider(id) => Some(Writer::Provider(id.clone())),
            _ => None,
        })
    };
    steward.or_else(provider).ok_or_else(|| {
        Fault::forbidden("stewards write the directory, and providers propose for it; this token is of neither")
    })
}

/// Whether the caller says so that the stories were looked at.
pub(super) fn story_checked(caller: &Caller) -> bool {
    caller.header(&STORY_CHECKED).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
}

/// An entry as it is read.
pub(super) fn found(entry: &DirectoryEntry) -> Result<Found, StoreError> {
    let id = entry.id.to_string();
    let body = directory::given(directory::body_of(entry)?, &id, entry.version, entry.last_updated);
    Ok(Found {
        kind: entry.kind.code().to_owned(),
        id,
        version: entry.version,
        last_updated: entry.last_updated,
        owner: None,
        body,
    })
}

/// What is in the directory under this kind and id: an entry, or what the registry makes.
pub(super) async fn one(app: &App, kind: EntryKind, id: &str) -> Result<Option<Found>, Fault> {
    if let Some(found) = of_registry(app, kind, id) {
        return Ok(Some(found));
    }
    let Ok(id) = id.parse() else { return Ok(None) };
    let entry = app.store.directory_entry(kind, id, None).await?;
    let found = entry.as_ref().map(found).transpose()?;
    Ok(found.map(|found| Found { body: measured(app, found.body), ..found }))
}

/// An entry as it is now with what was measured of the inboxes that it stands behind. That is given out and never kept: no version
/// has it, and no search looks at it.
pub(super) fn measured(app: &App, mut body: Value) -> Value {
    if tree::resource_type(&body) != Some(EntryKind::HealthcareService.code()) {
        return body;
    }
    let inboxes = entry::inboxes_of(&body, &app.registry.load(), &app.directory.base);
    let told: Vec<Value> = inboxes.iter().filter_map(|inbox| app.measured.extension_for(inbox)).collect();
    if told.is_empty() {
        return body;
    }
    if let Some(object) = body.as_object_mut()
        && let Some(extensions) = object.entry("extension").or_insert_with(|| Value::Array(Vec::new())).as_array_mut()
    {
        extensions.extend(told);
    }
    body
}

/// What the registry makes of a kind and an id. It has no versions.
pub(super) fn of_registry(app: &App, kind: EntryKind, id: &str) -> Option<Found> {
    let base = &app.directory.base;
    let body = entry::of_registry(&app.registry.load(), kind, id, base, directory::day(app.store.now()))?;
    Some(made(kind, body))
}

/// A resource of the registry.
pub(super) fn made(kind: EntryKind, body: Value) -> Found {
    let id = body.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let last_updated = jiff::Timestamp::UNIX_EPOCH;
    Found { kind: kind.code().to_owned(), id, version: 1, last_updated, owner: None, body }
}

/// A version of an entry; none where it is no entry's.
pub(super) async fn vread(
    app: &Shared,
    kind: EntryKind,
    id: &str,
    version: u64,
    caller: &Caller,
) -> Result<Option<Reply>, Fault> {
    let Ok(id) = id.parse() else { return Ok(None) };
    if app.store.directory_entry(kind, id, None).await?.is_none() {
        return Ok(None);
    }
    let entry = app.store.directory_entry(kind, id, Some(version)).await?.ok_or_else(Fault::not_found)?;
    let found = found(&entry)?;
    Ok(Some(given(caller, found.body, found.version, found.last_updated)))
}

/// The versions of an entry, newest first; none where it is no entry's.
pub(super) async fn versions(app: &Shared, kind: EntryKind, id: &str, caller: &Caller) -> Result<Option<Reply>, Fault> {
    let Ok(uuid) = id.parse() else { return Ok(None) };
    let versions = app.store.directory_versions(kind, uuid).await?;
    if versions.is_empty() {
        return Ok(None);
    }
    let asked = history::asked(caller)?;
    let mut entries = Vec::with_capacity(versions.len());
    for version in versions.iter().rev().filter(|version| asked.wants(version.last_updated)) {
        let found = found(version)?;
        let entry = history_entry(app, kind.code(), id, version.version, version.last_updated, found.body);
        entries.push((version.version, entry));
    }
    Ok(Some(Reply::ok(history::of_one(app, kind.code(), id, caller, &asked, entries))))
}

/// `POST /fhir/{kind}`
pub(super) async fn create(app: &Shared, kind: EntryKind, mut call: Call) -> Answer {
    let writer = writer(&call.caller)?;
    fits_as_key(&call.caller)?;
    let body = call.body.take();
    if let Some(text) = call.caller.header(&IF_NONE_EXIST).map(str::to_owned) {
        let asked = matching::condition(&text, kind.code(), &app.base_url)?;
        if let Some(one) = matching::found(app, kind.code(), &call.caller, &asked).await? {
            return Ok(shown(app, &call.caller, one, StatusCode::OK));
        }
    }
    let draft = app.directory.draft(kind, None, body, story_checked(&call.caller)).await?;
    write(app, &call.caller, writer, draft, StatusCode::CREATED).await
}

/// `PUT /fhir/{kind}/{id}`
pub(super) async fn update(app: &Shared, kind: EntryKind, id: &str, mut call: Call) -> Answer {
    let writer = writer(&call.caller)?;
    let body = call.body.take();
    if body.get("id").and_then(Value::as_str) != Some(id) {
        // R4 http, 3.1.0.4
        let told = "the id of the resource must be that of the URL";
        return Err(Fault::invalid(vec![Issue::error(IssueCode::Value, format!("{kind}.id"), told)]));
    }
    let draft = app.directory.draft(kind, Some(id), body, story_checked(&call.caller)).await?;
    // an entry that is not there is told so, and not what its change would need
    let wanted = call.caller.if_match()?;
    let current = draft.before.as_ref().map_or(0, |before| before.version);
    matching::none_match(&call.caller, current)?;
    if wanted != current {
        return Err(stale(kind));
    }
    let written = write(app, &call.caller, writer, draft, StatusCode::OK).await;
    written.map_err(|fault| if is_moved(&fault) { stale(kind) } else { fault })
}

fn is_moved(fault: &Fault) -> bool {
    fault.status == StatusCode::CONFLICT && fault.issues.iter().any(|issue| issue.code == IssueCode::Conflict)
}

fn stale(kind: EntryKind) -> Fault {
    let told = "the entry has another version by now: read it again";
    let issue = Issue::error(IssueCode::Conflict, format!("{kind}.meta.versionId"), told);
    Fault::new(StatusCode::PRECONDITION_FAILED, issue)
}

async fn write(app: &Shared, caller: &Caller, writer: Writer, draft: Draft, status: StatusCode) -> Answer {
    match writer {
        Writer::Steward(steward) => {
            let checked = app.directory.check_one(draft).await?;
            let written = app.directory.write(vec![checked], &directory::signed(&steward)).await?;
            let written = written.first().ok_or_else(Fault::not_found)?;
            tracing::info!(entry.kind = %written.kind, entry.id = %written.id, version = written.version, "an entry of the directory was written");
            Ok(shown(app, caller, found(written)?, status))
        }
        Writer::Provider(provider) => {
            let proposal = app.directory.propose(draft, &provider).await?;
            Ok(kept(app, &proposal))
        }
    }
}

/// That a proposal is kept.
fn kept(app: &Shared, proposal: &Proposal) -> Reply {
    let new = &proposal.new;
    tracing::info!(proposal.id = %new.id, entry.kind = %new.kind, provider = %new.provider, "a change of the directory was proposed");
    let told =
        "kept as a proposal: a steward of the directory decides it; Location says where it is seen how it goes on";
    let issue =
        Issue { severity: Severity::Information, ..Issue::error(IssueCode::Informational, new.kind.code(), told) };
    Reply::empty(StatusCode::ACCEPTED)
        .header(header::LOCATION, format!("{}/directory/proposals/{}", app.base_url, new.id))
        .body(Some(outcome(&[issue])))
}

fn shown(app: &Shared, caller: &Caller, found: Found, status: StatusCode) -> Reply {
    let location = format!("{}/fhir/{}/{}/_history/{}", app.base_url, found.kind, found.id, found.version);
    let told = "written";
    let reply = Reply::empty(status).version(found.version, found.last_updated);
    let kind = found.kind.clone();
    let reply = reply.body(preferred_of(caller, found.body, &kind, told));
    if status == StatusCode::OK { reply } else { reply.header(header::LOCATION, location) }
}

/// `PUT /fhir/{kind}/{id}` of a kind.
pub(super) fn put(kind: EntryKind) -> axum::routing::MethodRouter<Shared> {
    axum::routing::put(move |State(app): State<Shared>, Path(id): Path<String>, call: Call| async move {
        update(&app, kind, &id, call).await
    })
}

/// `POST /fhir/{kind}` of a kind.
pub(super) fn post(kind: EntryKind) -> axum::routing::MethodRouter<Shared> {
    axum::routing::post(move |State(app): State<Shared>, call: Call| async move { create(&app, kind, call).await })
}

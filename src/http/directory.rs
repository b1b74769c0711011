//! Entries of the directory over HTTP: every client reads them, stewards write them, and what a provider writes is kept as a proposal.

use axum::{
    extract::{Path, State},
    http::{HeaderName, StatusCode, header},
};
use serde_json::{Value, json};

use super::{
    App, Shared,
    call::{Call, Caller, is_json_patch},
    history, matching,
    patching::patched,
    read::{given, history_entry},
    reply::{Answer, Fault, Reply},
    surroundings::Found,
    write::{IF_NONE_EXIST, fits_as_key, preferred_of},
};
use crate::{
    auth::{
        self,
        directory::{Writer, sees_names},
    },
    config::registry::Registry,
    directory::{self, Draft, authors, entry},
    domain::{EntryKind, clock::instant},
    fhir::{
        Issue, IssueCode, Severity, outcome,
        task::{EVENT_EXTENSION, with_meta},
        tree,
    },
    store::{DirectoryEntry, Proposal, StoreError},
};

pub(super) mod proposals;
pub(super) mod stories;

/// Says that somebody has seen to it that nobody can be recognised in the practice stories of what is written.
const STORY_CHECKED: HeaderName = HeaderName::from_static("story-checked");

/// As whom a caller writes.
pub(super) fn writer(caller: &Caller) -> Result<Writer, Fault> {
    auth::directory::writer(&caller.clients).ok_or_else(|| {
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
    let (registry, signed) = (app.registry.load_full(), sees_names(&caller.clients));
    let versions = app.store.directory_versions(kind, uuid).await?;
    if versions.is_empty() {
        return Ok(None);
    }
    let asked = history::asked(caller)?;
    let mut entries = Vec::with_capacity(versions.len());
    for version in versions.iter().rev().filter(|version| asked.wants(version.last_updated)) {
        entries.push((version.version, told(app, version, &registry, signed)?));
    }
    Ok(Some(Reply::ok(history::of_one(app, kind.code(), id, caller, &asked, entries))))
}

/// A version as an entry of a history, with who wrote it.
fn told(app: &Shared, version: &DirectoryEntry, registry: &Registry, signed: bool) -> Result<Value, StoreError> {
    let found = found(version)?;
    let mut entry = history_entry(app, &found.kind, &found.id, found.version, found.last_updated, found.body);
    let what = if version.version == 1 { "created" } else { "updated" };
    entry["extension"] = json!([{"url": EVENT_EXTENSION, "extension": [
        {"url": "event", "valueCode": what},
        {"url": "at", "valueInstant": instant(version.last_updated)},
        {"url": "seq", "valuePositiveInt": version.version},
        {"url": "by", "valueString": authors::author(&version.by, registry, signed)},
    ]}]);
    Ok(entry)
}

/// `GET /fhir/{kind}/_history` of a kind of the directory: every version of every entry, the newest first (IHE mCSD 4.0.0, ITI-91).
pub(super) async fn history_of_kind(app: &Shared, kind: EntryKind, caller: &Caller) -> Answer {
    let asked = history::asked(caller)?;
    let (registry, signed) = (app.registry.load_full(), sees_names(&caller.clients));
    let count = asked.count();
    let before = asked.after_version();
    let mut versions = app.store.directory_history(kind, asked.since(), before, count + 1).await?;
    let more = versions.len() > count;
    versions.truncate(count);
    let next = versions.last().filter(|_| more).map(|last| last.revision);
    let entries =
        versions.iter().map(|version| told(app, version, &registry, signed)).collect::<Result<Vec<_>, _>>()?;
    Ok(Reply::ok(history::page_of(app, kind.code(), caller, next, entries)))
}

/// The Provenance of a version of an entry, as this caller sees it.
pub(super) async fn provenance(
    app: &Shared,
    caller: &Caller,
    (kind, id, version): (EntryKind, uuid::Uuid, u64),
) -> Result<Found, Fault> {
    let entry = app.store.directory_entry(kind, id, Some(version)).await?.ok_or_else(Fault::not_found)?;
    let made = authors::provenance(&entry, &app.registry.load(), sees_names(&caller.clients));
    Ok(Found {
        kind: "Provenance".to_owned(),
        id: authors::id(kind, id, version),
        version: 1,
        last_updated: entry.last_updated,
        owner: None,
        body: with_meta(made, 1, entry.last_updated),
    })
}

/// The Provenances of all versions of these entries, as this caller sees them.
pub(super) async fn provenances(
    app: &Shared,
    caller: &Caller,
    of: &[(EntryKind, uuid::Uuid)],
) -> Result<Vec<Value>, StoreError> {
    let (registry, signed) = (app.registry.load_full(), sees_names(&caller.clients));
    let mut all = Vec::new();
    for (kind, id) in of {
        for entry in app.store.directory_versions(*kind, *id).await? {
            all.push(with_meta(authors::provenance(&entry, &registry, signed), 1, entry.last_updated));
        }
    }
    Ok(all)
}

/// `POST /fhir/{kind}`
pub(super) async fn create(app: &Shared, kind: EntryKind, mut call: Call) -> Answer {
    let writer = writer(&call.caller)?;
    whole(&call)?;
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

/// Refuses a patch where a whole entry is due.
fn whole(call: &Call) -> Result<(), Fault> {
    if !is_json_patch(&call.content_type) {
        return Ok(());
    }
    let issue = Issue::error(IssueCode::NotSupported, "http.Content-Type", "a POST or a PUT carries a whole entry");
    Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, issue))
}

/// `PUT /fhir/{kind}/{id}`
pub(super) async fn update(app: &Shared, kind: EntryKind, id: &str, mut call: Call) -> Answer {
    let writer = writer(&call.caller)?;
    whole(&call)?;
    let body = call.body.take();
    if body.get("id").and_then(Value::as_str) != Some(id) {
        // R4 http, 3.1.0.4
        let told = "the id of the resource must be that of the URL";
        return Err(Fault::invalid(vec![Issue::error(IssueCode::Value, format!("{kind}.id"), told)]));
    }
    change(app, kind, id, &call.caller, writer, |_| Ok(body)).await
}

/// `PATCH /fhir/{kind}/{id}` with a JSON Patch or a FHIRPath Patch of the entry as it is given out, what was measured apart.
pub(super) async fn patch(app: &Shared, kind: EntryKind, id: &str, call: Call) -> Answer {
    let writer = writer(&call.caller)?;
    let now = app.store.now();
    let make = |current: Option<Value>| {
        patched(&current.unwrap_or_default(), &call, now).map_err(|issue| match issue.code {
            IssueCode::Structure => Fault::invalid(vec![issue]),
            _ => Fault::new(StatusCode::UNPROCESSABLE_ENTITY, issue),
        })
    };
    change(app, kind, id, &call.caller, writer, make).await
}

/// An entry that is there becomes another: what `make` makes of it.
async fn change(
    app: &Shared,
    kind: EntryKind,
    id: &str,
    caller: &Caller,
    writer: Writer,
    make: impl FnOnce(Option<Value>) -> Result<Value, Fault>,
) -> Answer {
    let draft = app.directory.draft(kind, Some(id), Value::Null, story_checked(caller)).await?;
    // an entry that is not there is told so, and not what its change would need
    let wanted = caller.if_match()?;
    let current = draft.before.as_ref().map_or(0, |before| before.version);
    matching::none_match(caller, current)?;
    if wanted != current {
        return Err(stale(kind));
    }
    let now = draft.before.as_ref().map(found).transpose()?.map(|found| found.body);
    let draft = Draft { body: make(now)?, ..draft };
    let written = write(app, caller, writer, draft, StatusCode::OK).await;
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
        // there is nothing to write, or to make sure of
        Writer::Steward(_) if app.directory.is_same(&draft)? => unchanged(app, caller, draft.before.as_ref()),
        Writer::Steward(steward) => {
            let checked = app.directory.check_one(draft).await?;
            let written = app.directory.write(vec![checked], &directory::signed(&steward)).await?;
            let written = written.first().ok_or_else(Fault::not_found)?;
            tracing::info!(entry.kind = %written.kind, entry.id = %written.id, version = written.version, "an entry of the directory was written");
            Ok(shown(app, caller, found(written)?, status))
        }
        Writer::Provider(provider) => {
            let before = draft.before.clone();
            match app.directory.propose(draft, &provider).await? {
                Some(proposal) => Ok(kept(app, &proposal)),
                None => unchanged(app, caller, before.as_ref()),
            }
        }
    }
}

/// What is there already, as it is.
fn unchanged(app: &Shared, caller: &Caller, before: Option<&DirectoryEntry>) -> Answer {
    let found = found(before.ok_or_else(Fault::not_found)?)?;
    Ok(shown(app, caller, found, StatusCode::OK))
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

/// `PATCH /fhir/{kind}/{id}` of a kind.
pub(super) fn patch_of(kind: EntryKind) -> axum::routing::MethodRouter<Shared> {
    axum::routing::patch(move |State(app): State<Shared>, Path(id): Path<String>, call: Call| async move {
        patch(&app, kind, &id, call).await
    })
}

/// `POST /fhir/{kind}` of a kind.
pub(super) fn post(kind: EntryKind) -> axum::routing::MethodRouter<Shared> {
    axum::routing::post(move |State(app): State<Shared>, call: Call| async move { create(&app, kind, call).await })
}

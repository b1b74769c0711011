//! The history of a type: what changed of all that concerns a client, the newest first (R4 http, 3.1.0.12).

use std::collections::{BinaryHeap, HashSet};

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Shared,
    call::Caller,
    directory,
    read::entry_of,
    reply::{Answer, Fault, Reply},
    surroundings::concerning,
};
use crate::{
    domain::EntryKind,
    fhir::{Issue, IssueCode, datetime, reference::encode, task::own_order},
    search::{COUNT_DEFAULT, COUNT_MAX},
    store::{StoreError, StoredResource, TaskQuery, TaskRecord},
};

/// So many Tasks are looked at for one page.
const LOOKED_AT_MAX: usize = 1_000;
const CHUNK: usize = 100;

/// What is asked of a history.
pub(super) struct Asked {
    count: usize,
    /// Whether that was said: a resource's own history is otherwise given whole.
    counted: bool,
    since: Option<Timestamp>,
    /// Only what is older than this version, the last of the page before.
    after: Option<Place>,
}

/// Where a version stands: when it was made, of which resource, which.
type Place = (Timestamp, uuid::Uuid, u64);

/// A version by its place.
struct Version(StoredResource);

impl Version {
    fn place(&self) -> Place {
        (self.0.last_updated, self.0.id, self.0.version)
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}
impl Eq for Version {}
impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Version {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place().cmp(&other.place())
    }
}

/// `GET /fhir/{type}/_history` of Tasks or ServiceRequests, with `_since` and `_count`.
pub(super) async fn of_type(app: &Shared, kind: &str, caller: &Caller) -> Answer {
    if let Ok(kind) = kind.parse::<EntryKind>() {
        return directory::history_of_kind(app, kind, caller).await;
    }
    let asked = asked(caller)?;
    let mut query = TaskQuery { by_change: true, descending: true, from: asked.since, ..concerning(&caller.clients) };
    // no version is younger than the last change of its resource: whatever changed last before a version's time has no such version
    let mut waiting: BinaryHeap<Version> = BinaryHeap::new();
    let mut page: Vec<StoredResource> = Vec::new();
    let (mut looked_at, mut drained) = (0, false);
    let mut seen: HashSet<Uuid> = HashSet::new();
    while page.len() <= asked.count {
        let frontier = query.after_change.filter(|_| !drained);
        if let Some(first) = waiting.peek()
            && (drained || frontier.is_some_and(|at| first.0.last_updated > at))
        {
            page.extend(waiting.pop().map(|version| version.0));
            continue;
        }
        if drained {
            break;
        }
        if looked_at >= LOOKED_AT_MAX {
            let told =
                format!("more than {LOOKED_AT_MAX} would have to be looked at: ask for what changed lately (_since)");
            return Err(Fault::invalid(vec![Issue::error(IssueCode::TooCostly, "http._since", told)]));
        }
        query.count = CHUNK;
        let tasks = app.store.search_tasks(query.clone()).await?;
        drained = tasks.len() < CHUNK;
        looked_at += tasks.len();
        for (task, stored) in &tasks {
            (query.after, query.after_change) = (Some(task.id), Some(task.last_updated));
            for id in resources_of(kind, task, stored)? {
                // what several Tasks are about comes with that which changed last
                if !seen.insert(id) {
                    continue;
                }
                for version in app.store.versions(kind, id).await? {
                    let version = Version(version);
                    let wanted =
                        asked.wants(version.0.last_updated) && asked.after.is_none_or(|after| version.place() < after);
                    if wanted {
                        waiting.push(version);
                    }
                }
            }
        }
    }
    let more = page.len() > asked.count;
    page.truncate(asked.count);
    let next = page.last().filter(|_| more);
    let base = format!("{}/fhir/{kind}/_history", app.base_url);
    let mut links = vec![json!({"relation": "self", "url": link(&base, caller, None)})];
    if let Some(last) = next {
        let after = format!("{}.{}.{}", last.last_updated.as_microsecond(), last.version, last.id);
        links.push(json!({"relation": "next", "url": link(&base, caller, Some(&after))}));
    }
    let entries: Vec<Value> = page.iter().map(|version| entry_of(app, version)).collect::<Result<_, _>>()?;
    let mut bundle = json!({"resourceType": "Bundle", "type": "history", "link": links});
    if !entries.is_empty() {
        bundle["entry"] = entries.into();
    }
    Ok(Reply::ok(bundle))
}

/// The resources of this type that a Task tells of: itself, or its ServiceRequest and the order that was made of it for this target.
fn resources_of(kind: &str, task: &TaskRecord, stored: &StoredResource) -> Result<Vec<Uuid>, StoreError> {
    if kind == "Task" {
        return Ok(vec![task.id.0]);
    }
    let mut ids = vec![task.request];
    if task.part_of.is_some() {
        let body = serde_json::from_str(&stored.body).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        ids.extend(own_order(&body));
    }
    Ok(ids)
}

fn link(base: &str, caller: &Caller, after: Option<&str>) -> String {
    let given = caller.query.iter().filter(|(n, _)| n != "_after").map(|(n, v)| (n.as_str(), v.as_str()));
    let all = given.chain(after.map(|a| ("_after", a)));
    let text: Vec<String> = all.map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect();
    format!("{base}{}{}", if text.is_empty() { "" } else { "?" }, text.join("&"))
}

/// The history of one resource, of these versions, the newest first: whole, or a page of so many as were asked for.
pub(super) fn of_one(
    app: &Shared,
    kind: &str,
    id: &str,
    caller: &Caller,
    asked: &Asked,
    all: Vec<(u64, Value)>,
) -> Value {
    let total = all.len();
    let after = asked.after.map(|(_, _, version)| version);
    let mut rest = all.into_iter().filter(|(version, _)| after.is_none_or(|after| *version < after)).peekable();
    let count = if asked.counted { asked.count } else { total };
    let page: Vec<(u64, Value)> = rest.by_ref().take(count).collect();
    let base = format!("{}/fhir/{kind}/{id}/_history", app.base_url);
    let mut links = vec![json!({"relation": "self", "url": link(&base, caller, None)})];
    if let (Some(_), Some((last, _))) = (rest.peek(), page.last()) {
        let after = format!("0.{last}.{}", uuid::Uuid::nil());
        links.push(json!({"relation": "next", "url": link(&base, caller, Some(&after))}));
    }
    let entries: Vec<Value> = page.into_iter().map(|(_, entry)| entry).collect();
    let mut bundle = json!({"resourceType": "Bundle", "type": "history", "total": total, "link": links});
    if !entries.is_empty() {
        bundle["entry"] = entries.into();
    }
    bundle
}

/// A page of a history of a type that is gone along by revisions; `next` is the last one on it, where more follows.
pub(super) fn page_of(app: &Shared, kind: &str, caller: &Caller, next: Option<u64>, entries: Vec<Value>) -> Value {
    let base = format!("{}/fhir/{kind}/_history", app.base_url);
    let mut links = vec![json!({"relation": "self", "url": link(&base, caller, None)})];
    if let Some(last) = next {
        let after = format!("0.{last}.{}", uuid::Uuid::nil());
        links.push(json!({"relation": "next", "url": link(&base, caller, Some(&after))}));
    }
    let mut bundle = json!({"resourceType": "Bundle", "type": "history", "link": links});
    if !entries.is_empty() {
        bundle["entry"] = entries.into();
    }
    bundle
}

impl Asked {
    /// So many on a page.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// From when on.
    pub(super) fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// The version, or revision, that the page before ended with.
    pub(super) fn after_version(&self) -> Option<u64> {
        self.after.map(|(_, _, version)| version)
    }

    /// Whether a version of this moment is asked for.
    pub(super) fn wants(&self, made: Timestamp) -> bool {
        self.since.is_none_or(|since| made >= since)
    }
}

/// What is asked of a history: `_since`, and on pages `_count`.
///
/// # Errors
/// What cannot be read, and what is not known where the client does not say that it may be left out.
pub(super) fn asked(caller: &Caller) -> Result<Asked, Fault> {
    let mut asked = Asked { count: COUNT_DEFAULT, counted: false, since: None, after: None };
    let wrong =
        |name: &str, told: &str| Fault::invalid(vec![Issue::error(IssueCode::Value, format!("http.{name}"), told)]);
    for (name, value) in &caller.query {
        match name.as_str() {
            "_count" => {
                let count: usize = value.parse().map_err(|_| wrong(name, "use a whole number"))?;
                (asked.count, asked.counted) = (count.clamp(1, COUNT_MAX), true);
            }
            "_since" => {
                let since = datetime::earliest(&value.replace(' ', "+"));
                asked.since = Some(since.ok_or_else(|| wrong(name, "use a FHIR instant"))?);
            }
            "_after" => {
                let place = || {
                    let (at, rest) = value.split_once('.')?;
                    let (version, id) = rest.split_once('.')?;
                    let at = Timestamp::from_microsecond(at.parse().ok()?).ok()?;
                    Some((at, id.parse().ok()?, version.parse().ok()?))
                };
                asked.after = Some(place().ok_or_else(|| wrong(name, "use the link that the last page gave"))?);
            }
            "_format" | "_pretty" => {}
            _ if caller.is_lenient() => {}
            _ => {
                let name: String = name.chars().filter(char::is_ascii_graphic).take(40).collect();
                let told = "a history knows _since and _count";
                return Err(Fault::invalid(vec![Issue::error(IssueCode::NotSupported, format!("http.{name}"), told)]));
            }
        }
    }
    Ok(asked)
}

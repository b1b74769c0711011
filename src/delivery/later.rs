//! What comes after the referral itself, for a provider's FHIR server: its copies are brought up to what the referrer changed, and
//! what the referrer wrote is put beside them, in one transaction for each lane message.
//!
//! Only what is ours is changed. The Task's copy bears the journal seq that was sent last, so that after an unknown outcome a
//! look shows whether a message arrived; each write names the version that it was made from.

use hyper::Method;
use jiff::SignedDuration;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    fhir_rest::{endpoint, failed, look},
    package::{local_reference, without_id},
};
use crate::{
    client::{FhirClient, Held},
    config::registry::{Endpoint, FhirRestInbox, Ids},
    domain::{Event, TaskStatus},
    fhir::{
        reference::{Target, encode, parse},
        task::{SEQ_EXTENSION, TRANSPORT_SYSTEM, URI_SYSTEM, codings_of_ours, is_ours, seq_of, set_codings},
        tree,
    },
    lanes::{Cause, Outcome, idempotency_key},
    store::TaskRecord,
};

/// How often copies that the provider changes at the same moment are read and merged again before that waits for the next try.
const MERGE_MAX: usize = 4;

/// One thing that was said after the referral itself.
pub struct Later<'a> {
    /// The Task.
    pub task: &'a TaskRecord,
    /// The seq of the event.
    pub seq: u64,
    /// The event.
    pub event: &'a Event,
    /// The Task as it is now.
    pub body: Value,
    /// The order that was made for this target alone, which its Task is about; none where that is about the referrer's own.
    pub own: Option<Uuid>,
    /// The ServiceRequest that the Task is about as the event left it, and as it was before; none where the event did not change it.
    pub request: Option<(Value, Value)>,
    /// The same of the referrer's own, where the Task is about another.
    pub original: Option<(Value, Value)>,
    /// What comes with it: a message, and what was read for it.
    pub resources: Vec<Value>,
    /// What references to other resources of the referral are called on that server, where that is known, by what they are here.
    pub names: Vec<(String, String)>,
    /// How long the referral itself may still be on its way, as far as anybody knows.
    pub may_arrive_within: Option<SignedDuration>,
    /// Where it goes.
    pub inbox: &'a FhirRestInbox,
    /// Where this Onward is reached.
    pub base_url: &'a str,
}

/// A resource on the provider's server, with its ETag.
struct Copy {
    etag: Option<String>,
    body: Value,
}

/// Sends it. `memory` is what is remembered of the copy.
pub async fn bring(client: &FhirClient, later: &Later<'_>, memory: Option<&str>) -> Outcome {
    for _ in 0..MERGE_MAX {
        match try_once(client, later, memory).await {
            Ok(Some(outcome)) => return outcome,
            Ok(None) => {}
            Err(failure) => return failed(failure),
        }
    }
    let why = "the provider's copies are being changed faster than they can be merged".to_owned();
    Outcome::Deferred { cause: Cause::Message, retry_after: None, memory: None, why }
}

/// One round; none where the copies changed in between.
async fn try_once(
    client: &FhirClient,
    later: &Later<'_>,
    memory: Option<&str>,
) -> Result<Option<Outcome>, crate::client::Failure> {
    let to = endpoint(later.inbox);
    let Some(task) = read_task(client, &to, later, memory).await? else { return Ok(Some(not_there(later))) };
    let id = task.body.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let arrived = || Outcome::Arrived { remote: id.clone(), memory: None, notes: vec![] };
    if seq_of(&task.body) >= Some(later.seq) {
        return Ok(Some(arrived()));
    }
    let request = read_request(client, &to, request_of(&task.body, &to.base_url)).await?;
    let original = match later.own {
        Some(_) => read_request(client, &to, original_of(&task.body, &to.base_url)).await?,
        None => None,
    };
    let mut names = later.names.clone();
    let own = later.own.unwrap_or(later.task.request);
    for (id, changed, copy) in [(own, &later.request, &request), (later.task.request, &later.original, &original)] {
        if let Some(copy) = copy {
            names.extend(aligned(id, changed.as_ref().map(|(_, before)| before), &copy.body));
        }
    }
    names.push((format!("Task/{}", later.task.id), format!("Task/{id}")));
    let mut entries: Vec<Value> =
        later.resources.iter().filter_map(|resource| created(later, resource, &names)).collect();
    for (changed, copy) in [(&later.request, &request), (&later.original, &original)] {
        if let (Some((new, before)), Some(copy)) = (changed, copy) {
            let mut new = new.clone();
            rename(&mut new, later, &names);
            let merged = merge_request(&copy.body, before, &new);
            if merged != copy.body {
                entries.push(put(&copy.etag, &merged));
            }
        }
    }
    let merged = merge_task(&task.body, later);
    if entries.is_empty() && bare(&merged) == bare(&task.body) {
        return Ok(Some(arrived()));
    }
    entries.push(put(&task.etag, &merged));
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
    let key = idempotency_key(later.task.id, later.seq);
    let answer = client.send(&to, Method::POST, "", &[("idempotency-key", &key)], &bundle).await;
    let answer = answer.map_err(|error| error.failure())?;
    match answer.failure() {
        None => Ok(Some(arrived())),
        Some(_) if matches!(answer.status.as_u16(), 409 | 412) => Ok(None),
        Some(failure) => Err(failure),
    }
}

/// The provider has no Task of ours. What was never confirmed to be there is cancelled by that, once nothing can arrive any more:
/// a referral that came after its end would be one of which nobody tells the provider.
fn not_there(later: &Later<'_>) -> Outcome {
    let ends = match later.event {
        Event::CancellationRequested { .. } if later.task.state.status == TaskStatus::Requested => {
            let notes = vec![Event::Cancelled { request: None }];
            Outcome::Arrived { remote: String::new(), memory: None, notes }
        }
        Event::Retracted { .. } => Outcome::Superseded,
        _ => return Outcome::Refused { why: "the referral itself is not on the provider's server".to_owned() },
    };
    if later.may_arrive_within.is_some() {
        let why = "the provider does not have the referral, which may still be on its way".to_owned();
        let retry_after = later.may_arrive_within;
        return Outcome::Deferred { cause: Cause::Message, retry_after, memory: None, why };
    }
    ends
}

async fn read_task(
    client: &FhirClient,
    to: &Endpoint,
    later: &Later<'_>,
    memory: Option<&str>,
) -> Result<Option<Copy>, crate::client::Failure> {
    let held: Option<Held> = memory
        .and_then(|m| serde_json::from_str::<Value>(m).ok())
        .and_then(|m| serde_json::from_value(m.get("held")?.clone()).ok());
    let known = held.filter(|held| held.base == to.base_url && !held.id.is_empty());
    if let Some(held) = known
        && let Some(copy) = read(client, to, &format!("Task/{}", held.id)).await?
        && is_ours(&copy.body, later.task.id)
    {
        return Ok(Some(copy));
    }
    let Some(held) = look(client, to, later.task.id).await? else { return Ok(None) };
    Ok(read(client, to, &format!("Task/{}", held.id)).await?.filter(|copy| is_ours(&copy.body, later.task.id)))
}

/// A ServiceRequest that a copy of our Task names.
async fn read_request(
    client: &FhirClient,
    to: &Endpoint,
    reference: Option<String>,
) -> Result<Option<Copy>, crate::client::Failure> {
    match reference {
        Some(reference) => read(client, to, &reference).await,
        None => Ok(None),
    }
}

/// The ServiceRequest of a copy, as it is called on that server.
pub(super) fn request_of(task: &Value, base_url: &str) -> Option<String> {
    local(tree::text(task, "focus.reference")?, base_url)
}

/// The one that this is based on.
fn original_of(task: &Value, base_url: &str) -> Option<String> {
    local(tree::text(tree::items(task, "basedOn").first()?, "reference")?, base_url)
}

fn local(literal: &str, base_url: &str) -> Option<String> {
    match parse(literal) {
        Target::Relative { kind, id, .. } => Some(format!("{kind}/{id}")),
        Target::Absolute { base, kind, id, .. } if base == base_url => Some(format!("{kind}/{id}")),
        _ => None,
    }
}

async fn read(client: &FhirClient, to: &Endpoint, path: &str) -> Result<Option<Copy>, crate::client::Failure> {
    let answer = client.get(to, path, &[]).await.map_err(|error| error.failure())?;
    if matches!(answer.status.as_u16(), 404 | 410) {
        return Ok(None);
    }
    if let Some(failure) = answer.failure() {
        return Err(failure);
    }
    let etag = answer.etag;
    Ok(answer.body.map(|body| Copy { etag: etag.or_else(|| Held::of(to, &body).etag), body }))
}

/// What things are called there, found by laying our ServiceRequest beside its copy.
fn aligned(ours: Uuid, before: Option<&Value>, copy: &Value) -> Vec<(String, String)> {
    let id = copy.get("id").and_then(Value::as_str).unwrap_or_default();
    let mut names = vec![(format!("ServiceRequest/{ours}"), format!("ServiceRequest/{id}"))];
    let Some(before) = before else { return names };
    let literals = |resource: &Value| {
        let mut all = Vec::new();
        tree::each_reference(resource, &mut |place, reference| {
            let literal = reference.get("reference").and_then(Value::as_str).unwrap_or_default();
            all.push((place.to_string(), literal.to_owned()));
        });
        all
    };
    let theirs = literals(copy);
    for (path, ours) in literals(before) {
        let there = theirs.iter().find(|(p, _)| *p == path).map(|(_, literal)| literal);
        if let (Target::Relative { .. }, Some(there)) = (parse(&ours), there)
            && matches!(parse(there), Target::Relative { .. })
        {
            names.push((ours, there.clone()));
        }
    }
    names
}

/// Writes references as that server has them. What it has under a name that we do not know is named by its URL here.
fn rename(resource: &mut Value, later: &Later<'_>, names: &[(String, String)]) {
    let here = format!("{}/fhir", later.base_url);
    let by_server = later.inbox.ids == Ids::Server;
    let new: Vec<String> = later.resources.iter().filter_map(local_reference).collect();
    tree::map_references(resource, &mut |literal| {
        if let Some((_, there)) = names.iter().find(|(ours, _)| ours == literal) {
            return Some(there.clone());
        }
        let Target::Relative { kind, id, .. } = parse(literal) else { return None };
        if by_server && new.iter().any(|n| n == literal) {
            return Some(format!("urn:uuid:{id}"));
        }
        // under our ids everything is called there as it is here, but the organisations of our registry are not there
        (by_server || kind == "Organization" && id.parse::<uuid::Uuid>().is_err()).then(|| format!("{here}/{literal}"))
    });
}

/// The entry that makes a new resource there, once.
fn created(later: &Later<'_>, resource: &Value, names: &[(String, String)]) -> Option<Value> {
    let reference = local_reference(resource)?;
    let (kind, id) = reference.split_once('/')?;
    let mut resource = resource.clone();
    rename(&mut resource, later, names);
    Some(if later.inbox.ids == Ids::Client {
        let url = format!("{}/{reference}", later.inbox.base_url);
        json!({"fullUrl": url, "resource": resource, "request": {"method": "PUT", "url": reference}})
    } else {
        without_id(&mut resource);
        let mut request = json!({"method": "POST", "url": kind});
        if kind == "Communication" {
            // a server that gives its own ids knows it again by ours: beside the sender's own identifiers
            let value = format!("urn:uuid:{id}");
            request["ifNoneExist"] = format!("identifier={}", encode(&format!("{URI_SYSTEM}|{value}"))).into();
            if let Some(object) = resource.as_object_mut() {
                let mut all = object.get("identifier").and_then(Value::as_array).cloned().unwrap_or_default();
                all.push(json!({"system": URI_SYSTEM, "value": value}));
                object.insert("identifier".into(), all.into());
            }
        }
        json!({"fullUrl": format!("urn:uuid:{id}"), "resource": resource, "request": request})
    })
}

fn put(etag: &Option<String>, resource: &Value) -> Value {
    let kind = tree::resource_type(resource).unwrap_or_default();
    let id = resource.get("id").and_then(Value::as_str).unwrap_or_default();
    let mut request = json!({"method": "PUT", "url": format!("{kind}/{id}")});
    if let Some(etag) = etag {
        request["ifMatch"] = etag.clone().into();
    }
    json!({"resource": resource, "request": request})
}

/// The provider's copy of the Task with what is ours as it is now: our own codings, what follows from the ServiceRequest, the
/// seq, and `entered-in-error` where it was retracted. Everything else is the provider's.
fn merge_task(copy: &Value, later: &Later<'_>) -> Value {
    let mut merged: Map<String, Value> = copy.as_object().cloned().unwrap_or_default();
    // where the message is, is no news to the one who has it
    let is_transport = |c: &Value| c.get("system").and_then(Value::as_str) == Some(TRANSPORT_SYSTEM);
    let ours = codings_of_ours(&later.body).into_iter().filter(|c| !is_transport(c)).collect();
    set_codings(&mut merged, ours);
    for name in ["priority", "groupIdentifier", "lastModified"] {
        match later.body.get(name) {
            Some(value) => merged.insert(name.to_owned(), value.clone()),
            None => merged.shift_remove(name),
        };
    }
    if later.event.tells_the_end() {
        merged.insert("status".into(), later.body.get("status").cloned().unwrap_or_default());
    }
    let mut extensions = merged.get("extension").and_then(Value::as_array).cloned().unwrap_or_default();
    extensions.retain(|e| e.get("url").and_then(Value::as_str) != Some(SEQ_EXTENSION));
    extensions.push(json!({"url": SEQ_EXTENSION, "valuePositiveInt": later.seq}));
    merged.insert("extension".into(), extensions.into());
    Value::Object(merged)
}

/// A copy without what changes with every write: a server that drops our extension shows by the rest what it was told.
fn bare(task: &Value) -> Value {
    let mut task = task.clone();
    if let Some(object) = task.as_object_mut() {
        object.shift_remove("lastModified");
        let mut extensions = object.get("extension").and_then(Value::as_array).cloned().unwrap_or_default();
        extensions.retain(|e| e.get("url").and_then(Value::as_str) != Some(SEQ_EXTENSION));
        object.shift_remove("extension");
        if !extensions.is_empty() {
            object.insert("extension".into(), extensions.into());
        }
    }
    task
}

/// The provider's copy of the ServiceRequest with all that the referrer wrote, and what the provider has added to it.
fn merge_request(copy: &Value, before: &Value, new: &Value) -> Value {
    let (Some(copy), Some(before), Some(new)) = (copy.as_object(), before.as_object(), new.as_object()) else {
        return copy.clone();
    };
    let mut merged = copy.clone();
    for name in before.keys().chain(new.keys()).filter(|name| !matches!(name.as_str(), "id" | "meta" | "identifier")) {
        match new.get(name) {
            Some(value) => merged.insert(name.clone(), value.clone()),
            None => merged.shift_remove(name),
        };
    }
    let list = |of: &Map<String, Value>| of.get("identifier").and_then(Value::as_array).cloned().unwrap_or_default();
    let (had, ours) = (list(before), list(new));
    let added = list(copy).into_iter().filter(|i| !had.contains(i) && !ours.contains(i));
    let identifiers: Vec<Value> = ours.iter().cloned().chain(added).collect();
    if identifiers.is_empty() {
        merged.shift_remove("identifier");
    } else {
        merged.insert("identifier".into(), identifiers.into());
    }
    Value::Object(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_version_leaves_what_the_provider_added() {
        let before = json!({"resourceType": "ServiceRequest", "id": "1", "status": "active", "note": [{"text": "a"}],
            "identifier": [{"system": "p", "value": "1"}], "priority": "routine"});
        let mut copy = before.clone();
        copy["id"] = "77".into();
        copy["meta"] = json!({"versionId": "4", "tag": [{"code": "seen"}]});
        copy["identifier"] = json!([{"system": "p", "value": "1"}, {"system": "f", "value": "9"}]);
        copy["performerType"] = json!({"text": "link worker"});
        let mut new = before.clone();
        new["status"] = "revoked".into();
        new["reasonCode"] = json!([{"text": "moved"}]);
        new.as_object_mut().unwrap().remove("priority");
        let merged = merge_request(&copy, &before, &new);
        assert_eq!(
            (&merged["status"], &merged["id"], &merged["meta"]),
            (&json!("revoked"), &json!("77"), &copy["meta"])
        );
        assert_eq!(merged["identifier"].as_array().map(Vec::len), Some(2));
        assert_eq!(merged["performerType"], copy["performerType"]);
        assert_eq!((merged.get("priority"), &merged["reasonCode"]), (None, &new["reasonCode"]));
        assert_eq!(merge_request(&merged, &new, &new), merged, "again changes nothing");
    }
}

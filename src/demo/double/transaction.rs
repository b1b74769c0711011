//! Transaction Bundles: everything is looked at first, and nothing is stored unless all of it can be (R4, http.html#transaction).

use std::collections::{BTreeSet, HashMap};

use hyper::StatusCode;
use serde_json::{Value, json};

use super::{
    interactions::Desk,
    reply::{Refusal, Reply, etag, place},
};
use crate::{
    domain::clock::instant,
    fhir::{IssueCode, reference, tree},
};

/// A Bundle with more entries is refused.
const ENTRIES_MAX: usize = 10_000;

/// What will be done for one entry.
struct Step {
    kind: String,
    id: String,
    /// None where `ifNoneExist` found it: it stays as it is.
    resource: Option<Value>,
}

pub(super) fn run(desk: &mut Desk<'_>, bundle: &Value) -> Result<Reply, Refusal> {
    if tree::text(bundle, "resourceType") != Some("Bundle") || tree::text(bundle, "type") != Some("transaction") {
        return Err(Refusal::bad("a transaction Bundle is expected here"));
    }
    let entries = tree::items(bundle, "entry");
    if entries.len() > ENTRIES_MAX || desk.holdings.is_full(entries.len()) {
        return Err(Refusal::new(StatusCode::INSUFFICIENT_STORAGE, IssueCode::TooCostly, "too many entries"));
    }
    let mut steps = Vec::with_capacity(entries.len());
    let mut by_url: HashMap<&str, String> = HashMap::new();
    let mut written = BTreeSet::new();
    for entry in entries {
        let step = plan(desk, entry)?;
        let reference = format!("{}/{}", step.kind, step.id);
        if step.resource.is_some() && !written.insert(reference.clone()) {
            return Err(Refusal::bad("two entries write the same resource"));
        }
        if let Some(url) = tree::text(entry, "fullUrl")
            && by_url.insert(url, reference).is_some()
        {
            return Err(Refusal::bad("two entries have the same fullUrl"));
        }
        steps.push(step);
    }
    for step in &mut steps {
        resolve(step, &by_url)?;
    }
    let answers = steps.into_iter().map(|step| carry_out(desk, step)).collect::<Vec<Value>>();
    let answer = json!({"resourceType": "Bundle", "type": "transaction-response", "entry": answers});
    Ok(Reply::of(StatusCode::OK, answer))
}

/// Finds out what an entry asks for and whether it can be done. Stores nothing.
fn plan(desk: &mut Desk<'_>, entry: &Value) -> Result<Step, Refusal> {
    let resource = entry.get("resource").cloned().ok_or_else(|| Refusal::bad("an entry without a resource"))?;
    let text = |name: &str| entry.get("request").and_then(|r| tree::text(r, name));
    let url = text("url").unwrap_or_default();
    let kind = tree::resource_type(&resource).unwrap_or_default().to_owned();
    if !reference::is_resource_type(&kind) {
        return Err(Refusal::bad("an entry's resource has no known type"));
    }
    match (text("method"), url.split_once('/')) {
        (Some("POST"), None) if url == kind => {
            let exists = text("ifNoneExist").map(|condition| desk.one(&kind, condition)).transpose()?.flatten();
            Ok(match exists {
                Some(id) => Step { kind, id, resource: None },
                None => {
                    let id = desk.holdings.new_id(&kind);
                    Step { kind, id, resource: Some(resource) }
                }
            })
        }
        (Some("PUT"), Some((of, id))) if of == kind => {
            desk.may_update(&kind, id, text("ifMatch"))?;
            if resource.get("id").and_then(Value::as_str) != Some(id) {
                return Err(Refusal::bad("the id of an entry's resource must be the one in its URL"));
            }
            Ok(Step { id: id.to_owned(), kind, resource: Some(resource) })
        }
        _ => Err(Refusal::bad("an entry's request must be POST of its type or PUT of its id")),
    }
}

/// References to other entries become references to what these are stored as.
fn resolve(step: &mut Step, by_url: &HashMap<&str, String>) -> Result<(), Refusal> {
    let Some(resource) = &mut step.resource else { return Ok(()) };
    let mut dangling = false;
    tree::map_references(resource, &mut |literal| {
        let found = by_url.get(literal).cloned();
        dangling |= found.is_none() && literal.starts_with("urn:");
        found
    });
    if dangling { Err(Refusal::bad("a urn names no entry of the Bundle")) } else { Ok(()) }
}

fn carry_out(desk: &mut Desk<'_>, step: Step) -> Value {
    let Step { kind, id, resource } = step;
    let stored = match resource {
        Some(resource) => {
            let change = desk.holdings.store(&kind, &id, resource);
            let stored = change.stored.clone();
            desk.changes.push(change);
            Some((if stored.version == 1 { "201 Created" } else { "200 OK" }, stored))
        }
        None => desk.holdings.newest(&kind, &id).cloned().map(|newest| ("200 OK", newest)),
    };
    let Some((status, version)) = stored else { return json!({"response": {"status": "404 Not Found"}}) };
    json!({"response": {
        "status": status, "location": place(&kind, &id, version.version), "etag": etag(version.version),
        "lastModified": instant(version.updated),
    }})
}

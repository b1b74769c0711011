//! What the receivers look at in what comes: no more than they check. A whole resource is not built, because at this rate the
//! receivers would take the machine from the one they measure.

use std::borrow::Cow;

use serde::Deserialize;
use uuid::Uuid;

use crate::{
    bench::referral::{Fate, IDENTIFIERS},
    domain::TaskStatus,
    fhir::task::SEQ_EXTENSION,
};

#[derive(Deserialize)]
struct Transaction<'a> {
    #[serde(borrow)]
    entry: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    resource: Resource<'a>,
    #[serde(borrow)]
    request: Request<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource<'a> {
    #[serde(borrow)]
    resource_type: Cow<'a, str>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    identifier: Vec<Identifier<'a>>,
}

#[derive(Deserialize)]
struct Identifier<'a> {
    #[serde(borrow)]
    system: Option<Cow<'a, str>>,
    #[serde(borrow)]
    value: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Task<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow, default)]
    identifier: Vec<Identifier<'a>>,
    #[serde(borrow, default)]
    extension: Vec<Extension<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Extension<'a> {
    #[serde(borrow)]
    url: Cow<'a, str>,
    value_positive_int: Option<u64>,
}

/// A delivered transaction.
#[derive(Debug)]
pub struct Delivered {
    /// Its placer identifier.
    pub identifier: String,
    /// What that says.
    pub fate: Fate,
    /// Onward's Task.
    pub task: Uuid,
    /// Type and id of each entry, the Task's id left out; it is this side's to give.
    pub entries: Vec<(String, Option<String>)>,
}

/// A status as it comes to a record.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    /// Onward's Task.
    pub task: Uuid,
    /// Its status.
    pub status: TaskStatus,
    /// The journal's seq.
    pub seq: u64,
}

/// Reads a transaction; none where it is not such a one.
pub fn transaction(body: &[u8]) -> Option<Delivered> {
    let read: Transaction<'_> = serde_json::from_slice(body).ok()?;
    let mut identifier = None;
    let mut task = None;
    let mut entries = Vec::with_capacity(read.entry.len());
    for entry in &read.entry {
        match &*entry.resource.resource_type {
            "ServiceRequest" => {
                let placer = entry.resource.identifier.iter().find(|i| i.system.as_deref() == Some(IDENTIFIERS));
                identifier = placer.and_then(|i| i.value.as_deref()).map(str::to_owned);
            }
            "Task" => task = entry.resource.identifier.iter().find_map(task_id),
            _ => {}
        }
        let id = entry.resource.id.as_deref().filter(|_| entry.request.method == "PUT").map(str::to_owned);
        entries.push((entry.resource.resource_type.to_string(), id));
    }
    let identifier = identifier?;
    Some(Delivered { fate: Fate::of(&identifier)?, identifier, task: task?, entries })
}

/// Reads a Task as it is written into a record.
pub fn told(body: &[u8]) -> Option<Told> {
    let read: Task<'_> = serde_json::from_slice(body).ok()?;
    let seq = read.extension.iter().find(|extension| extension.url == SEQ_EXTENSION)?.value_positive_int?;
    Some(Told { task: read.identifier.iter().find_map(task_id)?, status: read.status.parse().ok()?, seq })
}

fn task_id(identifier: &Identifier<'_>) -> Option<Uuid> {
    identifier.value.as_deref()?.strip_prefix("urn:uuid:")?.parse().ok()
}

/// The Task that a search or a conditional update by our identifier means.
pub fn in_query(query: &str) -> Option<Uuid> {
    let token = query.split('&').find_map(|pair| pair.strip_prefix("identifier="))?;
    // whatever is encoded before it, the UUID at its end never is
    token.get(token.len().checked_sub(36)?..)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_onward_writes_is_read() {
        let id = "01890000-0000-7000-8000-000000000001";
        let body = serde_json::json!({"resourceType": "Bundle", "type": "transaction", "entry": [
            {"resource": {"resourceType": "ServiceRequest", "id": "a", "identifier": [{"system": IDENTIFIERS, "value": "b1-3-00000042"}]},
             "request": {"method": "PUT", "url": "ServiceRequest/a"}},
            {"resource": {"resourceType": "Task", "identifier": [{"value": format!("urn:uuid:{id}")}], "note": "\"\\u00e9"},
             "request": {"method": "POST", "url": "Task"}}]});
        let read = transaction(body.to_string().as_bytes()).unwrap();
        assert_eq!((read.fate, read.task.to_string().as_str()), (Fate { answers: 3, number: 42 }, id));
        assert_eq!(read.entries, [("ServiceRequest".to_owned(), Some("a".to_owned())), ("Task".to_owned(), None)]);
        let body = serde_json::json!({"resourceType": "Task", "status": "in-progress",
            "extension": [{"url": SEQ_EXTENSION, "valuePositiveInt": 7}], "identifier": [{"value": format!("urn:uuid:{id}")}]});
        let told = told(body.to_string().as_bytes()).unwrap();
        assert_eq!((told.status, told.seq, told.task.to_string().as_str()), (TaskStatus::InProgress, 7, id));
        assert_eq!(
            in_query(&format!("identifier=urn%3Aietf%7Curn%3Auuid%3A{id}")).map(|t| t.to_string()).as_deref(),
            Some(id)
        );
        assert_eq!(in_query("identifier=x"), None);
    }
}

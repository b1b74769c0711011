//! The whole referral as one transaction for a provider's server.
//!
//! What the sender wrote goes out element for element; only the wrapper, `id`, and references to resources carried along are
//! written anew (design section 5).

use std::fmt::Write as _;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    config::registry::{FhirRestInbox, Ids},
    domain::TaskId,
    fhir::{
        reference::encode,
        task::{identifier_token, name_in_full},
        tree,
    },
};

/// About what an entry takes beside its resource, and what the Task takes.
const ENTRY_BYTES: usize = 256;
const TASK_BYTES: usize = 4096;

/// What a delivery is made of.
pub struct Parts<'a> {
    /// The Task.
    pub task: Value,
    /// ServiceRequest and all that travels with it, with their ids here.
    pub resources: Vec<Value>,
    /// Where it goes.
    pub inbox: &'a FhirRestInbox,
    /// Where this Onward is reached.
    pub base_url: &'a str,
}

/// A transaction that can be sent twice and is done once.
///
/// The Task is created under our own identifier (`ifNoneExist`). Everything else has no identifier of ours, and must not be
/// given one: with `ids = "client"` it is put under its id here, which is a UUID and never matches another's resource; with
/// `ids = "server"` it is created anew, and whether it is there already is asked before a second try.
pub fn transaction(parts: &Parts<'_>) -> Value {
    let ours: Vec<String> = parts.resources.iter().filter_map(local_reference).collect();
    let by_server = parts.inbox.ids == Ids::Server;
    let mut entries = Vec::with_capacity(parts.resources.len() + 1);
    for resource in &parts.resources {
        let Some(reference) = local_reference(resource) else { continue };
        let (kind, id) = reference.split_once('/').unwrap_or_default();
        let mut resource = resource.clone();
        refer(&mut resource, &ours, by_server);
        entries.push(if by_server {
            without_id(&mut resource);
            json!({"fullUrl": format!("urn:uuid:{id}"), "resource": resource, "request": {"method": "POST", "url": kind}})
        } else {
            let full_url = format!("{}/{reference}", parts.inbox.base_url);
            json!({"fullUrl": full_url, "resource": resource, "request": {"method": "PUT", "url": reference}})
        });
    }
    entries.push(task_entry(parts.task.clone(), parts.base_url, &ours, by_server));
    json!({"resourceType": "Bundle", "type": "transaction", "entry": entries})
}

/// The same for `ids = "client"` from resources as they are stored, which then go out as they are: nothing in them is written anew,
/// so nothing in them is read. Each is type, id and JSON text.
pub fn transaction_of_texts(
    task: Value,
    resources: &[(&str, Uuid, &str)],
    inbox: &FhirRestInbox,
    base_url: &str,
) -> String {
    let size: usize = resources.iter().map(|(_, _, text)| text.len() + ENTRY_BYTES).sum();
    let mut text = String::with_capacity(size + TASK_BYTES);
    text.push_str("{\"resourceType\":\"Bundle\",\"type\":\"transaction\",\"entry\":[");
    for (kind, id, resource) in resources {
        let full_url = Value::from(format!("{}/{kind}/{id}", inbox.base_url));
        let _ = write!(
            text,
            "{{\"fullUrl\":{full_url},\"resource\":{resource},\"request\":{{\"method\":\"PUT\",\"url\":\"{kind}/{id}\"}}}},"
        );
    }
    let _ = write!(text, "{}]}}", task_entry(task, base_url, &[], false));
    text
}

fn task_entry(mut task: Value, base_url: &str, ours: &[String], by_server: bool) -> Value {
    let id = task.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    without_id(&mut task);
    name_in_full(&mut task, base_url);
    refer(&mut task, ours, by_server);
    let exists = id.parse::<TaskId>().map(|id| format!("identifier={}", encode(&identifier_token(id))));
    json!({
        "fullUrl": format!("urn:uuid:{id}"),
        "resource": task,
        "request": {"method": "POST", "url": "Task", "ifNoneExist": exists.unwrap_or_default()},
    })
}

fn refer(resource: &mut Value, ours: &[String], by_server: bool) {
    if by_server {
        tree::map_references(resource, &mut |reference| {
            let id = reference.split_once('/')?.1;
            ours.iter().any(|o| o == reference).then(|| format!("urn:uuid:{id}"))
        });
    }
}

pub(super) fn local_reference(resource: &Value) -> Option<String> {
    Some(format!("{}/{}", tree::resource_type(resource)?, resource.get("id")?.as_str()?))
}

pub(super) fn without_id(resource: &mut Value) {
    if let Some(object) = resource.as_object_mut() {
        object.shift_remove("id");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::registry::{Answers, Pace};

    fn inbox(ids: Ids) -> FhirRestInbox {
        let base_url = "https://p.example/fhir".to_owned();
        FhirRestInbox {
            base_url,
            access: Default::default(),
            answers: Answers::Push,
            ids,
            timeout: Duration::from_secs(1),
            pace: Pace::default(),
        }
    }

    fn made(ids: Ids) -> Value {
        let id = "01890000-0000-7000-8000-000000000001";
        transaction(&Parts {
            task: json!({"resourceType": "Task", "id": id, "focus": {"reference": "ServiceRequest/s"},
                         "owner": {"reference": "Organization/life-rooms"}}),
            resources: vec![
                json!({"resourceType": "ServiceRequest", "id": "s", "subject": {"reference": "Patient/p"},
                       "supportingInfo": [{"reference": "https://elsewhere.example/fhir/Observation/1"}]}),
                json!({"resourceType": "Patient", "id": "p"}),
            ],
            inbox: &inbox(ids),
            base_url: "https://onward.example",
        })
    }

    #[test]
    fn by_our_ids_everything_keeps_its_reference() {
        let bundle = made(Ids::Client);
        assert_eq!(bundle["entry"][0]["request"], json!({"method": "PUT", "url": "ServiceRequest/s"}));
        assert_eq!(bundle["entry"][0]["resource"]["subject"]["reference"], "Patient/p");
        let task = &bundle["entry"][2];
        assert_eq!(task["resource"]["focus"]["reference"], "ServiceRequest/s");
        assert_eq!(task["resource"]["owner"]["reference"], "https://onward.example/fhir/Organization/life-rooms");
        let exists = task["request"]["ifNoneExist"].as_str().unwrap_or_default();
        assert!(exists.starts_with("identifier=urn%3Aietf%3Arfc%3A3986%7Curn%3Auuid%3A01890000"), "{exists}");
    }

    #[test]
    fn from_texts_it_is_the_same() {
        let (request, patient) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let inbox = inbox(Ids::Client);
        let task = json!({"resourceType": "Task", "id": "01890000-0000-7000-8000-000000000001",
                          "focus": {"reference": format!("ServiceRequest/{request}")}});
        let resources = vec![
            json!({"resourceType": "ServiceRequest", "id": request.to_string(), "quantityQuantity": {"value": 1.50}}),
            json!({"resourceType": "Patient", "id": patient.to_string(), "name": [{"text": "\"é\\"}]}),
        ];
        let texts: Vec<String> = resources.iter().map(Value::to_string).collect();
        let named = [("ServiceRequest", request, &*texts[0]), ("Patient", patient, &*texts[1])];
        let base_url = "https://onward.example";
        let text = transaction_of_texts(task.clone(), &named, &inbox, base_url);
        assert_eq!(text, transaction(&Parts { task, resources, inbox: &inbox, base_url }).to_string());
    }

    #[test]
    fn by_the_servers_ids_carried_references_become_urns() {
        let bundle = made(Ids::Server);
        let request = &bundle["entry"][0];
        assert_eq!(request["resource"]["subject"]["reference"], "urn:uuid:p");
        assert_eq!(
            request["resource"]["supportingInfo"][0]["reference"],
            "https://elsewhere.example/fhir/Observation/1"
        );
        assert_eq!(request["resource"].get("id"), None);
    }
}

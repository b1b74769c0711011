//! The FHIR Task that tracks a referral's fulfilment by one target: how it is made and changed.
//!
//! R4 `Task`; the shape follows SDOH Clinical Care 3.0.0 (`intent` order, `code` fulfill, `focus` the ServiceRequest).

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::tree;
use crate::domain::{TaskId, TaskStatus, TransportStatus, clock::instant, status::UnknownCode};

/// The base of the canonical URLs that are Onward's own. The host is reserved and never resolves: these are names.
pub const CANONICAL: &str = "https://onward.example/fhir";
/// System of the transport status codes in `Task.businessStatus`.
pub const TRANSPORT_SYSTEM: &str = "https://onward.example/fhir/CodeSystem/transport-status";
/// Extension on a Task in an originating record: the journal seq that was written last.
pub const SEQ_EXTENSION: &str = "https://onward.example/fhir/StructureDefinition/journal-seq";
/// Extension on a Task in a history: what happened while this version was current.
pub const EVENT_EXTENSION: &str = "https://onward.example/fhir/StructureDefinition/journal-event";
/// System of the identifiers that are themselves URIs (R4 datatypes, Identifier).
pub const URI_SYSTEM: &str = "urn:ietf:rfc:3986";

/// The elements that are the provider's to change (design section 7); `owner` only within its own organisation.
pub const PROVIDER_ELEMENTS: &[&str] =
    &["status", "statusReason", "businessStatus", "note", "output", "executionPeriod", "owner"];

/// What a new Task says.
pub struct NewTask<'a> {
    /// Its id.
    pub id: TaskId,
    /// Where this Onward is reached; `…/fhir` is its FHIR base.
    pub base_url: &'a str,
    /// The ServiceRequest as it is stored, ids included.
    pub request: &'a Value,
    /// Reference to the provider, with identifier and display.
    pub owner: Value,
    /// When it was made.
    pub at: Timestamp,
}

/// The value of the identifier by which a Task of ours is found anywhere.
pub fn identifier_value(id: TaskId) -> String {
    format!("urn:uuid:{id}")
}

/// The token to search a Task of ours by, `system|value`.
pub fn identifier_token(id: TaskId) -> String {
    format!("{URI_SYSTEM}|{}", identifier_value(id))
}

/// A Task in status `requested`. It names itself twice: by an identifier that never changes and by its URL here.
pub fn make(new: &NewTask<'_>) -> Value {
    let focus = format!("ServiceRequest/{}", new.request.get("id").and_then(Value::as_str).unwrap_or_default());
    let mut task = json!({
        "resourceType": "Task",
        "id": new.id.to_string(),
        "identifier": [
            {"use": "official", "system": URI_SYSTEM, "value": identifier_value(new.id)},
            {"use": "secondary", "system": URI_SYSTEM, "value": format!("{}/fhir/Task/{}", new.base_url, new.id)},
        ],
        "basedOn": [{"reference": focus, "type": "ServiceRequest"}],
        "status": TaskStatus::Requested.code(),
        "intent": "order",
        "code": {"coding": [{"system": "http://hl7.org/fhir/CodeSystem/task-code", "code": "fulfill"}]},
        "focus": {"reference": focus, "type": "ServiceRequest"},
        "authoredOn": instant(new.at),
        "lastModified": instant(new.at),
        "owner": new.owner,
    });
    for (from, to) in
        [("requisition", "groupIdentifier"), ("priority", "priority"), ("subject", "for"), ("requester", "requester")]
    {
        if let (Some(value), Some(object)) = (new.request.get(from), task.as_object_mut()) {
            object.insert(to.to_owned(), outside(value, new.request));
        }
    }
    task
}

/// A reference of a request as another resource may have it: what the request contains is named by its identifier, because `#`
/// leads nowhere from there (R4 references, 2.3.0.2).
fn outside(reference: &Value, request: &Value) -> Value {
    let Some(id) = reference.get("reference").and_then(Value::as_str).and_then(|r| r.strip_prefix('#')) else {
        return reference.clone();
    };
    let mut named = Map::new();
    let contained = tree::items(request, "contained").iter().find(|r| r.get("id").and_then(Value::as_str) == Some(id));
    if let Some(kind) = contained.and_then(tree::resource_type) {
        named.insert("type".into(), kind.into());
    }
    let nhs = |i: &&Value| i.get("system").and_then(Value::as_str) == Some(super::nhs_number::SYSTEM);
    let identifiers = contained.map(|r| tree::items(r, "identifier")).unwrap_or_default();
    if let Some(identifier) = identifiers.iter().find(nhs).or(identifiers.first()) {
        named.insert("identifier".into(), identifier.clone());
    }
    if let Some(display) = reference.get("display") {
        named.insert("display".into(), display.clone());
    }
    Value::Object(named)
}

/// Sets status and transport status and the time of change.
pub fn set_state(task: &mut Value, status: TaskStatus, transport: Option<TransportStatus>, at: Timestamp) {
    let Some(object) = task.as_object_mut() else { return };
    object.insert("status".into(), status.code().into());
    object.insert("lastModified".into(), instant(at).into());
    set_transport(object, transport);
}

/// Puts the transport status beside the provider's own business status; takes an earlier one away.
fn set_transport(task: &mut Map<String, Value>, transport: Option<TransportStatus>) {
    let mut business = task.remove("businessStatus").unwrap_or_else(|| json!({}));
    without_transport(&mut business);
    if let (Some(transport), Some(object)) = (transport, business.as_object_mut()) {
        let coding = json!({"system": TRANSPORT_SYSTEM, "code": transport.code()});
        match object.get_mut("coding").and_then(Value::as_array_mut) {
            Some(codings) => codings.push(coding),
            None => {
                object.insert("coding".into(), json!([coding]));
            }
        }
    }
    if business.as_object().is_some_and(|o| !o.is_empty()) {
        task.insert("businessStatus".into(), business);
    }
}

/// Takes our own coding out of a business status.
pub fn without_transport(business: &mut Value) {
    let Some(object) = business.as_object_mut() else { return };
    if let Some(codings) = object.get_mut("coding").and_then(Value::as_array_mut) {
        codings.retain(|c| c.get("system").and_then(Value::as_str) != Some(TRANSPORT_SYSTEM));
        if codings.is_empty() {
            object.remove("coding");
        }
    }
}

/// The status of a Task someone sent.
///
/// # Errors
/// [`UnknownCode`] where it is missing or none of ours.
pub fn status(task: &Value) -> Result<TaskStatus, UnknownCode> {
    task.get("status").and_then(Value::as_str).unwrap_or_default().parse()
}

/// Whether a Task says why it has its status.
pub fn has_reason(task: &Value) -> bool {
    task.get("statusReason").is_some_and(|reason| {
        let text = reason.get("text").and_then(Value::as_str).is_some_and(|t| !t.trim().is_empty());
        let coded = tree::items(reason, "coding")
            .iter()
            .any(|c| c.get("code").and_then(Value::as_str).is_some_and(|c| !c.is_empty()));
        text || coded
    })
}

/// References to what is read at Onward and not carried (the organisations of its registry), given in full.
pub fn name_in_full(task: &mut Value, base_url: &str) {
    tree::map_references(task, &mut |reference| {
        reference.starts_with("Organization/").then(|| format!("{base_url}/fhir/{reference}"))
    });
}

/// The Task of ours in a search's answer. Servers that ignore an unknown parameter answer with everything they have, so each is
/// looked at.
pub fn found_in(bundle: &Value, task: TaskId) -> Option<Value> {
    tree::items(bundle, "entry").iter().filter_map(|e| e.get("resource")).find(|found| is_ours(found, task)).cloned()
}

/// Whether a Task that another server holds bears the identifier of this one of ours.
pub fn is_ours(found: &Value, task: TaskId) -> bool {
    let ours = identifier_value(task);
    tree::resource_type(found) == Some("Task")
        && tree::items(found, "identifier").iter().any(|i| i.get("value").and_then(Value::as_str) == Some(&*ours))
}

/// A stored resource as it is read: with its `meta.versionId` and `meta.lastUpdated`, the rest of `meta` kept.
pub fn with_meta(mut resource: Value, version: u64, last_updated: Timestamp) -> Value {
    let Some(object) = resource.as_object_mut() else { return resource };
    let mut meta = match object.get("meta") {
        Some(Value::Object(meta)) => meta.clone(),
        _ => Map::new(),
    };
    meta.insert("versionId".into(), version.to_string().into());
    meta.insert("lastUpdated".into(), instant(last_updated).into());
    let position = object.keys().position(|k| k == "id").map_or(1, |p| p + 1).min(object.len());
    object.shift_remove("meta");
    object.shift_insert(position.min(object.len()), "meta".into(), Value::Object(meta));
    resource
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transport_status_stands_beside_the_providers_own_and_goes_again() {
        let own = json!({"coding": [{"system": "https://p.example", "code": "5.1.1"}], "text": "booked"});
        let mut task = json!({"resourceType": "Task", "status": "accepted", "businessStatus": own});
        set_state(&mut task, TaskStatus::Accepted, Some(TransportStatus::Overdue), Timestamp::UNIX_EPOCH);
        assert_eq!(task["businessStatus"]["coding"].as_array().map(Vec::len), Some(2));
        set_state(&mut task, TaskStatus::Accepted, None, Timestamp::UNIX_EPOCH);
        assert_eq!(task["businessStatus"], own);
        let mut bare = json!({"status": "requested"});
        set_state(&mut bare, TaskStatus::Requested, Some(TransportStatus::HandedOver), Timestamp::UNIX_EPOCH);
        set_state(&mut bare, TaskStatus::Requested, None, Timestamp::UNIX_EPOCH);
        assert_eq!(bare.get("businessStatus"), None);
    }

    #[test]
    fn what_the_request_contains_is_named_by_its_identifier() {
        let request = json!({"id": "r", "subject": {"reference": "#p", "display": "A"}, "requester": {"reference": "Organization/1"},
            "contained": [{"resourceType": "Patient", "id": "p", "identifier": [
                {"system": "https://epr.example", "value": "7"},
                {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990000018"}]}]});
        let at = Timestamp::UNIX_EPOCH;
        let task = make(&NewTask {
            id: TaskId::mint(),
            base_url: "https://o.example",
            request: &request,
            owner: json!({}),
            at,
        });
        assert_eq!(
            task["for"],
            json!({"type": "Patient", "display": "A",
                   "identifier": {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990000018"}})
        );
        assert_eq!(task["requester"], request["requester"]);
    }

    #[test]
    fn meta_keeps_what_the_sender_wrote_in_it() {
        let sent = json!({"resourceType": "Patient", "id": "a", "meta": {"tag": [{"code": "x"}], "versionId": "9"}, "active": true});
        let read = with_meta(sent, 2, Timestamp::UNIX_EPOCH);
        assert_eq!(
            read,
            json!({"resourceType": "Patient", "id": "a", "active": true,
                   "meta": {"tag": [{"code": "x"}], "versionId": "2", "lastUpdated": "1970-01-01T00:00:00.000Z"}})
        );
    }
}

//! The FHIR Task that tracks a referral's fulfilment by one target: how it is made and changed.
//!
//! R4 `Task`; the shape follows SDOH Clinical Care 3.0.0 (`intent` order, `code` fulfill, `focus` the ServiceRequest).

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{test_data, tree};
use crate::domain::{TaskId, TaskStatus, clock::instant, status::UnknownCode, task::TaskState};

/// The base of the canonical URLs that are Onward's own. The host is reserved and never resolves: these are names.
pub const CANONICAL: &str = "https://onward.example/fhir";
/// System of the transport status codes in `Task.businessStatus`.
pub const TRANSPORT_SYSTEM: &str = "https://onward.example/fhir/CodeSystem/transport-status";
/// System of our own codes in `Task.businessStatus` and in the category or reason of a Communication.
pub const BUSINESS_SYSTEM: &str = "https://onward.example/fhir/CodeSystem/business-status";
/// The provider has asked the referrer for more.
pub const INFORMATION_REQUESTED: &str = "information-requested";
/// The provider has tried to reach the person; the category of a Communication that tells of it.
pub const CONTACT_ATTEMPT: &str = "contact-attempt";
/// A provider takes back what it noted in error; the category of a Communication that says so, in response to the one that is meant.
pub const PUT_RIGHT: &str = "noted-in-error";
/// System of the business statuses of BSeR 2.0.0-ballot, of which one is ours to set.
pub const BSER_SYSTEM: &str = "http://hl7.org/fhir/us/bser/CodeSystem/TaskBusinessStatusCS";
/// “Cancellation Requested”.
pub const CANCELLATION_REQUESTED: &str = "5.2";
/// Extension on a Task in an originating record or at a provider: the journal seq that was written last.
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
    /// Reference to the provider, with identifier and display; none where it is the parent of several.
    pub owner: Option<Value>,
    /// The parent that it is a part of.
    pub part_of: Option<TaskId>,
    /// The order that was made of the ServiceRequest for this target alone.
    pub order: Option<Uuid>,
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

/// The Task of ours that one of its two identifiers names.
pub fn id_of_identifier(value: &str) -> Option<TaskId> {
    let id = value.strip_prefix("urn:uuid:").or_else(|| value.rsplit_once("/fhir/Task/").map(|(_, id)| id))?;
    id.parse().ok()
}

/// A Task in status `requested`. It names itself twice: by an identifier that never changes and by its URL here.
pub fn make(new: &NewTask<'_>) -> Value {
    let request = format!("ServiceRequest/{}", new.request.get("id").and_then(Value::as_str).unwrap_or_default());
    let focus = new.order.map_or_else(|| request.clone(), |order| format!("ServiceRequest/{order}"));
    let mut task = json!({
        "resourceType": "Task",
        "id": new.id.to_string(),
        "identifier": [
            {"use": "official", "system": URI_SYSTEM, "value": identifier_value(new.id)},
            {"use": "secondary", "system": URI_SYSTEM, "value": format!("{}/fhir/Task/{}", new.base_url, new.id)},
        ],
        "basedOn": [{"reference": request, "type": "ServiceRequest"}],
        "status": TaskStatus::Requested.code(),
        "intent": "order",
        "code": {"coding": [{"system": "http://hl7.org/fhir/CodeSystem/task-code", "code": "fulfill"}]},
        "focus": {"reference": focus, "type": "ServiceRequest"},
        "authoredOn": instant(new.at),
        "lastModified": instant(new.at),
    });
    if let Some(object) = task.as_object_mut() {
        if test_data::is_test(new.request) {
            // whoever has the Task alone must know it, too
            object.insert("meta".into(), json!({"tag": [test_data::tag()]}));
        }
        if let Some(owner) = &new.owner {
            object.insert("owner".into(), owner.clone());
        }
        if let Some(parent) = new.part_of {
            object.insert("partOf".into(), json!([part_of(parent)]));
        }
    }
    follow(&mut task, new.request);
    task
}

/// How a Task, or an order, names the organisation that is to act on it.
pub fn owner(id: &str, ods_code: &str, name: &str) -> Value {
    json!({
        "reference": format!("Organization/{id}"),
        "type": "Organization",
        "identifier": {"system": super::ods_code::ORGANISATION_SYSTEM, "value": ods_code},
        "display": name,
    })
}

/// How a part refers to its parent: also where that is not, its identifier says which is meant.
fn part_of(parent: TaskId) -> Value {
    json!({
        "reference": format!("Task/{parent}"),
        "type": "Task",
        "identifier": {"system": URI_SYSTEM, "value": identifier_value(parent)},
    })
}

/// The order that was made for a Task alone, which is then what it is about; none where it is about the referrer's own.
pub fn own_order(task: &Value) -> Option<Uuid> {
    let focus = tree::text(task, "focus.reference")?;
    let original = tree::items(task, "basedOn").first().and_then(|original| tree::text(original, "reference"));
    if Some(focus) == original { None } else { focus.strip_prefix("ServiceRequest/")?.parse().ok() }
}

/// Brings what a Task takes over from its ServiceRequest up to what that says now.
pub fn follow(task: &mut Value, request: &Value) {
    let Some(object) = task.as_object_mut() else { return };
    for (from, to) in
        [("requisition", "groupIdentifier"), ("priority", "priority"), ("subject", "for"), ("requester", "requester")]
    {
        match request.get(from) {
            Some(value) => object.insert(to.to_owned(), outside(value, request)),
            None => object.shift_remove(to),
        };
    }
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

/// Sets the status, our own codings and the time of change.
pub fn set_state(task: &mut Value, state: &TaskState, at: Timestamp) {
    let Some(object) = task.as_object_mut() else { return };
    object.insert("status".into(), state.status.code().into());
    object.insert("lastModified".into(), instant(at).into());
    set_codings(object, own_codings(state));
}

/// What a state says beside the provider's own business status.
fn own_codings(state: &TaskState) -> Vec<Value> {
    let cancel = state.cancel_requested.then(|| {
        json!({"system": BSER_SYSTEM, "code": CANCELLATION_REQUESTED, "display": "Service Request Cancellation Requested"})
    });
    let more = state
        .information_requested
        .then(|| json!({"system": BUSINESS_SYSTEM, "code": INFORMATION_REQUESTED, "display": "Information requested"}));
    let transport = state.transport.map(|transport| json!({"system": TRANSPORT_SYSTEM, "code": transport.code()}));
    [cancel, more, transport].into_iter().flatten().collect()
}

/// Puts our codings beside the provider's own business status, in place of those that were there.
pub fn set_codings(task: &mut Map<String, Value>, ours: Vec<Value>) {
    let mut business = task.shift_remove("businessStatus").unwrap_or_else(|| json!({}));
    without_ours(&mut business);
    if let (false, Some(object)) = (ours.is_empty(), business.as_object_mut()) {
        match object.get_mut("coding").and_then(Value::as_array_mut) {
            Some(codings) => codings.extend(ours),
            None => {
                object.insert("coding".into(), ours.into());
            }
        }
    }
    if business.as_object().is_some_and(|o| !o.is_empty()) {
        task.insert("businessStatus".into(), business);
    }
}

/// The codings of a business status that are ours.
pub fn codings_of_ours(task: &Value) -> Vec<Value> {
    let business = task.get("businessStatus").map(|b| tree::items(b, "coding")).unwrap_or_default();
    business.iter().filter(|c| is_own_coding(c)).cloned().collect()
}

fn is_own_coding(coding: &Value) -> bool {
    let text = |name| coding.get(name).and_then(Value::as_str);
    match text("system") {
        Some(TRANSPORT_SYSTEM | BUSINESS_SYSTEM) => true,
        Some(BSER_SYSTEM) => text("code") == Some(CANCELLATION_REQUESTED),
        _ => false,
    }
}

/// Takes our own codings out of a business status.
pub fn without_ours(business: &mut Value) {
    let Some(object) = business.as_object_mut() else { return };
    if let Some(codings) = object.get_mut("coding").and_then(Value::as_array_mut) {
        codings.retain(|c| !is_own_coding(c));
        if codings.is_empty() {
            object.shift_remove("coding");
        }
    }
}

/// Whether a concept, or one of a list of them, has our code by which a provider asks for more.
pub fn asks_for_more(concepts: &Value) -> bool {
    let one = |concept: &Value| {
        tree::codings(concept).any(|(system, code, _)| system == Some(BUSINESS_SYSTEM) && code == INFORMATION_REQUESTED)
    };
    match concepts {
        Value::Array(all) => all.iter().any(one),
        other => one(other),
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

/// References to what is read at Onward and not carried (the organisations of its registry, the parent of a part), given in full.
pub fn name_in_full(task: &mut Value, base_url: &str) {
    tree::map_references(task, &mut |reference| {
        let not_carried = reference.starts_with("Organization/") || reference.starts_with("Task/");
        not_carried.then(|| format!("{base_url}/fhir/{reference}"))
    });
}

/// The Task of ours in a search's answer. Servers that ignore an unknown parameter answer with everything they have, so each is
/// looked at.
pub fn found_in(bundle: &Value, task: TaskId) -> Option<Value> {
    tree::items(bundle, "entry").iter().filter_map(|e| e.get("resource")).find(|found| is_ours(found, task)).cloned()
}

/// The journal seq that a Task elsewhere was brought up to last.
pub fn seq_of(task: &Value) -> Option<u64> {
    let extensions = tree::items(task, "extension");
    let ours = extensions.iter().find(|e| e.get("url").and_then(Value::as_str) == Some(SEQ_EXTENSION))?;
    ours.get("valuePositiveInt")?.as_u64()
}

/// Whether a Task that another server holds bears the identifier of this one of ours.
pub fn is_ours(found: &Value, task: TaskId) -> bool {
    let ours = identifier_value(task);
    tree::resource_type(found) == Some("Task")
        && tree::items(found, "identifier").iter().any(|i| i.get("value").and_then(Value::as_str) == Some(&*ours))
}

/// Code of the tag that points a provider to another referral of the same person.
pub const ANOTHER_OPEN: &str = "another-referral-open";

/// Tags a Task with another of the same person that was open in the same inbox when this one came. A tag of `meta` and no note: it is
/// the provider's alone to see, and what a provider writes of a Task, tags apart, comes to its sender.
pub fn point_to(task: &mut Value, other: TaskId) {
    let Some(object) = task.as_object_mut() else { return };
    let tag = json!({
        "system": BUSINESS_SYSTEM,
        "code": ANOTHER_OPEN,
        "display": format!("When this came, another referral of this person was open here: Task/{other}"),
    });
    let meta = object.entry("meta").or_insert_with(|| json!({}));
    let Some(meta) = meta.as_object_mut() else { return };
    match meta.get_mut("tag").and_then(Value::as_array_mut) {
        Some(tags) => tags.push(tag),
        None => {
            meta.insert("tag".into(), json!([tag]));
        }
    }
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
    use crate::domain::TransportStatus;

    #[test]
    fn transport_status_stands_beside_the_providers_own_and_goes_again() {
        let own = json!({"coding": [{"system": "https://p.example", "code": "5.1.1"}], "text": "booked"});
        let mut task = json!({"resourceType": "Task", "status": "accepted", "businessStatus": own});
        let plain = TaskState { status: TaskStatus::Accepted, ..TaskState::new() };
        let all = TaskState {
            transport: Some(TransportStatus::Overdue),
            cancel_requested: true,
            information_requested: true,
            ..plain
        };
        set_state(&mut task, &all, Timestamp::UNIX_EPOCH);
        set_state(&mut task, &all, Timestamp::UNIX_EPOCH);
        let codes: Vec<_> = tree::codings(&task["businessStatus"]).map(|(_, code, _)| code.to_owned()).collect();
        assert_eq!(codes, ["5.1.1", "5.2", "information-requested", "overdue"]);
        assert_eq!(codings_of_ours(&task).len(), 3);
        set_state(&mut task, &plain, Timestamp::UNIX_EPOCH);
        assert_eq!(task["businessStatus"], own);
        let mut bare = json!({"status": "requested"});
        set_state(&mut bare, &all, Timestamp::UNIX_EPOCH);
        set_state(&mut bare, &plain, Timestamp::UNIX_EPOCH);
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
            owner: Some(json!({})),
            part_of: None,
            order: None,
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

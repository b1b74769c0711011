//! What a provider may change of a Task, and what it may not.

use serde_json::{Map, Value};

use crate::{
    domain::{TaskStatus, status::UnknownCode},
    fhir::{
        outcome::{Issue, IssueCode},
        task::{PROVIDER_ELEMENTS, without_ours},
    },
};

/// Elements that are nobody's to send: ours to set, or made anew by every system.
const IGNORED: &[&str] = &["resourceType", "id", "meta", "lastModified", "text", "implicitRules", "language"];

/// The Task as it stands with what the provider may change taken from `wanted`.
///
/// An element that is not the provider's may be absent (it stays as it is) or as it stands; an element that is the provider's
/// and absent is taken away.
///
/// # Errors
/// One issue for every element that is not the provider's and differs.
pub fn merge(current: &Value, wanted: &Value, provider: &str) -> Result<Value, Vec<Issue>> {
    let (Some(now), Some(wanted)) = (current.as_object(), wanted.as_object()) else {
        return Err(vec![Issue::error(IssueCode::Structure, "Task", "a Task is a JSON object")]);
    };
    let mut issues = Vec::new();
    if wanted.get("resourceType").and_then(Value::as_str) != Some("Task") {
        issues.push(Issue::error(IssueCode::Invalid, "Task", "the body must be a Task"));
    }
    if wanted.get("id") != now.get("id") {
        issues.push(Issue::error(IssueCode::Invalid, "Task.id", "the id must be the one in the URL"));
    }
    for (name, value) in wanted {
        let element = name.strip_prefix('_').unwrap_or(name);
        if !PROVIDER_ELEMENTS.contains(&element) && !IGNORED.contains(&element) && now.get(name) != Some(value) {
            let told = format!("not the provider's to change; it may set {}", PROVIDER_ELEMENTS.join(", "));
            issues.push(Issue::error(IssueCode::BusinessRule, format!("Task.{element}"), told));
        }
    }
    if let Some(owner) = wanted.get("owner")
        && now.get("owner") != Some(owner)
        && !is_worker(owner, provider)
    {
        let told = "the owner may become a worker of the provider's own (PractitionerRole, Practitioner, CareTeam), not \
                    another organisation";
        issues.push(Issue::error(IssueCode::BusinessRule, "Task.owner", told));
    }
    if !issues.is_empty() {
        return Err(issues);
    }
    let mut merged: Map<String, Value> = now.clone();
    for element in PROVIDER_ELEMENTS {
        for name in [(*element).to_owned(), format!("_{element}")] {
            match wanted.get(&name) {
                Some(value) => merged.insert(name, value.clone()),
                // a Task always has an owner
                None if *element == "owner" => None,
                None => merged.shift_remove(&name),
            };
        }
    }
    if let Some(business) = merged.get_mut("businessStatus") {
        without_ours(business);
        if business.as_object().is_some_and(Map::is_empty) {
            merged.shift_remove("businessStatus");
        }
    }
    Ok(Value::Object(merged))
}

/// Whether an owner names a person or team rather than an organisation, or the provider itself.
fn is_worker(owner: &Value, provider: &str) -> bool {
    let reference = owner.get("reference").and_then(Value::as_str).unwrap_or_default();
    let kind = owner.get("type").and_then(Value::as_str).or_else(|| reference.rsplit('/').nth(1));
    match kind {
        Some("PractitionerRole" | "Practitioner" | "CareTeam") => true,
        Some("Organization") => reference == format!("Organization/{provider}"),
        _ => reference.is_empty() && (owner.get("display").is_some() || owner.get("identifier").is_some()),
    }
}

/// Whether `new` says nothing that `current` does not say, our own bookkeeping apart.
pub fn same(current: &Value, new: &mut Value) -> bool {
    let mut current = current.clone();
    if let Some(object) = current.as_object_mut()
        && let Some(business) = object.get_mut("businessStatus")
    {
        without_ours(business);
        if business.as_object().is_some_and(Map::is_empty) {
            object.shift_remove("businessStatus");
        }
    }
    current == *new
}

/// Whether `new` gives the Task to somebody, and says nothing else that `current` does not say.
pub fn gives_only(current: &Value, new: &Value) -> bool {
    let (Some(before), Some(after)) = (current.get("owner"), new.get("owner")) else { return false };
    let mut given = current.clone();
    if let Some(object) = given.as_object_mut() {
        object.insert("owner".into(), after.clone());
    }
    before != after && same(&given, &mut new.clone())
}

/// A status that is none.
pub fn bad_status(error: &UnknownCode) -> Issue {
    Issue::error(IssueCode::CodeInvalid, "Task.status", format!("the status must be one of {}", error.allowed))
}

/// The Task as it stands with the provider's elements taken from its own copy, which has ids and references of its own.
///
/// A copy was handed over as `requested`. While it says that, its provider has not spoken of the status, whatever else it
/// wrote; no provider can go back to it.
pub fn from_copy(current: &Value, copy: &Value) -> Value {
    let mut wanted = current.clone();
    if let (Some(wanted), Some(copy)) = (wanted.as_object_mut(), copy.as_object()) {
        let silent = copy.get("status").and_then(Value::as_str) == Some(TaskStatus::Requested.code());
        let theirs = |e: &&&str| **e != "owner" && !(silent && **e == "status");
        for element in PROVIDER_ELEMENTS.iter().filter(theirs) {
            match copy.get(*element) {
                Some(value) => wanted.insert((*element).to_owned(), value.clone()),
                None => wanted.shift_remove(*element),
            };
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn task() -> Value {
        json!({"resourceType": "Task", "id": "1", "status": "received", "intent": "order",
               "focus": {"reference": "ServiceRequest/1"}, "owner": {"reference": "Organization/life-rooms"},
               "businessStatus": {"coding": [{"system": crate::fhir::task::TRANSPORT_SYSTEM, "code": "overdue"}]}})
    }

    fn with(name: &str, value: Value) -> Value {
        let mut task = task();
        task[name] = value;
        task
    }

    #[test]
    fn what_is_not_the_providers_stays_and_is_named() {
        let wanted = with("focus", json!({"reference": "ServiceRequest/2"}));
        let issues = merge(&task(), &wanted, "life-rooms").unwrap_err();
        assert_eq!(issues[0].expression, ["Task.focus"]);
        let mut sparse = json!({"resourceType": "Task", "id": "1", "status": "accepted"});
        let merged = merge(&task(), &sparse, "life-rooms").unwrap();
        assert_eq!(merged["focus"], task()["focus"]);
        assert_eq!(merged["status"], "accepted");
        sparse["id"] = "2".into();
        assert!(merge(&task(), &sparse, "life-rooms").is_err());
    }

    #[test]
    fn the_owner_stays_within_the_providers_organisation() {
        let worker = json!({"type": "PractitionerRole", "display": "A link worker"});
        assert!(merge(&task(), &with("owner", worker), "life-rooms").is_ok());
        let other = json!({"reference": "Organization/housing"});
        assert!(merge(&task(), &with("owner", other), "life-rooms").is_err());
    }

    #[test]
    fn to_give_it_to_somebody_is_told_from_saying_more() {
        let worker = json!({"type": "Practitioner", "display": "Luke"});
        let given = merge(&task(), &with("owner", worker), "life-rooms").unwrap();
        assert!(gives_only(&task(), &given));
        let mut noted = given.clone();
        noted["note"] = json!([{"text": "called"}]);
        let mut moved = given;
        moved["status"] = "accepted".into();
        assert!(!gives_only(&task(), &noted) && !gives_only(&task(), &moved) && !gives_only(&task(), &task()));
    }

    #[test]
    fn our_own_coding_is_no_change() {
        let mut merged = merge(&task(), &task(), "life-rooms").unwrap();
        assert!(same(&task(), &mut merged));
        let mut noted = merge(&task(), &with("note", json!([{"text": "called"}])), "life-rooms").unwrap();
        assert!(!same(&task(), &mut noted));
    }
}

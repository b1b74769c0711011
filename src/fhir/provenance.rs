//! Who changed a Task and when: one Provenance for each of its versions (R4 Provenance). Nothing of it is stored: the journal says it
//! all, and a Provenance is read from there.

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::ods_code;
use crate::domain::{Actor, Event, TaskId, clock::instant};

/// What a Provenance is made from.
pub struct Change<'a> {
    /// The Task.
    pub task: TaskId,
    /// Its ServiceRequest.
    pub request: Uuid,
    /// The seq of the event, which is the version of the Task that came of it.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub event: &'a Event,
    /// Who did it.
    pub actor: &'a Actor,
    /// That organisation's name and ODS code, where it is one of the registry.
    pub organisation: Option<(&'a str, &'a str)>,
}

/// The logical id of the Provenance of a Task's version.
pub fn id(task: TaskId, version: u64) -> String {
    format!("{task}-{version}")
}

/// The Task and its version whose Provenance has this logical id.
pub fn of_id(id: &str) -> Option<(TaskId, u64)> {
    let (task, version) = id.split_at_checked(36)?;
    let version = version.strip_prefix('-')?;
    let (task_id, number) = (task.parse::<TaskId>().ok()?, version.parse().ok()?);
    // each has one name: `01` is none
    (self::id(task_id, number) == id).then_some((task_id, number))
}

/// The Provenance of one change, `meta` apart.
pub fn make(change: &Change<'_>) -> Value {
    let (operation, display) = if change.seq == 1 { ("CREATE", "create") } else { ("UPDATE", "revise") };
    let author = !matches!(change.actor, Actor::Onward);
    let (role, role_display) = if author { ("author", "Author") } else { ("assembler", "Assembler") };
    let mut provenance = json!({
        "resourceType": "Provenance",
        "id": id(change.task, change.seq),
        "target": [{"reference": format!("Task/{}/_history/{}", change.task, change.seq), "type": "Task"}],
        "recorded": instant(change.at),
        "activity": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-DataOperation", "code": operation, "display": display}],
            "text": change.event.name(),
        },
        "agent": [{
            "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type",
                                 "code": role, "display": role_display}]},
            "who": who(change),
        }],
    });
    let source = match change.event {
        Event::Amended { request, .. }
        | Event::CancellationRequested { request, .. }
        | Event::Cancelled { request: Some(request) }
        | Event::Retracted { request, .. } => Some(format!("ServiceRequest/{}/_history/{request}", change.request)),
        Event::Submitted { .. } => Some(format!("ServiceRequest/{}/_history/1", change.request)),
        Event::Message { communication, .. } => Some(format!("Communication/{communication}")),
        _ => None,
    };
    // what the referrer wrote anew is what was changed, too
    if let (Some(written), Some(targets)) = (
        source.as_ref().filter(|source| source.starts_with("ServiceRequest/")),
        provenance.get_mut("target").and_then(Value::as_array_mut),
    ) {
        targets.push(json!({"reference": written, "type": "ServiceRequest"}));
    }
    if let (Some(source), Some(object)) = (source, provenance.as_object_mut()) {
        object.insert("entity".into(), json!([{"role": "source", "what": {"reference": source}}]));
    }
    if let (Some(why), Some(object)) = (change.event.why(), provenance.as_object_mut()) {
        object.insert("reason".into(), json!([{"text": why}]));
    }
    provenance
}

fn who(change: &Change<'_>) -> Value {
    let mut who = match change.actor {
        Actor::Onward => return json!({"type": "Device", "display": "Onward"}),
        Actor::Operator(_) => return json!({"display": "An operator of Onward"}),
        Actor::System(_) => json!({"type": "Organization"}),
        Actor::Provider(id) => json!({"reference": format!("Organization/{id}"), "type": "Organization"}),
    };
    let display = change.organisation.map_or_else(|| change.actor.to_string(), |(name, _)| name.to_owned());
    if let Some(object) = who.as_object_mut() {
        if let Some((_, code)) = change.organisation {
            object.insert("identifier".into(), json!({"system": ods_code::ORGANISATION_SYSTEM, "value": code}));
        }
        object.insert("display".into(), display.into());
    }
    who
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_who_changed_which_version() {
        let task: TaskId = "0190f0f0-0000-7000-8000-000000000001".parse().unwrap();
        let event = Event::Amended { request: 2, order: None, with: vec![], risk: false };
        let actor = Actor::System("mersey-epr".parse().unwrap());
        let change = Change {
            task,
            request: Uuid::nil(),
            seq: 4,
            at: Timestamp::UNIX_EPOCH,
            event: &event,
            actor: &actor,
            organisation: Some(("Mersey Care", "RW4")),
        };
        let made = make(&change);
        assert_eq!(made["target"][0]["reference"], format!("Task/{task}/_history/4"));
        assert_eq!(made["target"][1]["reference"], format!("ServiceRequest/{}/_history/2", Uuid::nil()));
        assert_eq!(
            (&made["activity"]["text"], &made["activity"]["coding"][0]["code"]),
            (&json!("amended"), &json!("UPDATE"))
        );
        assert_eq!(made["agent"][0]["who"]["identifier"]["value"], "RW4");
        assert_eq!(made["entity"][0]["what"]["reference"], format!("ServiceRequest/{}/_history/2", Uuid::nil()));
        assert_eq!(of_id(made["id"].as_str().unwrap()), Some((task, 4)));
        let first = make(&Change { seq: 1, actor: &Actor::Onward, ..change });
        assert_eq!(
            (&first["activity"]["coding"][0]["code"], &first["agent"][0]["who"]["display"]),
            (&json!("CREATE"), &json!("Onward"))
        );
    }

    #[test]
    fn other_ids_name_no_change() {
        for bad in [
            "",
            "x",
            "0190f0f0-0000-7000-8000-000000000001",
            "0190f0f0-0000-7000-8000-000000000001-",
            "0190f0f0-0000-7000-8000-000000000001-01",
            "0190f0f0-0000-7000-8000-000000000001-x",
            "ééééééééééééééééééé-1",
        ] {
            assert_eq!(of_id(bad), None, "{bad}");
        }
    }
}

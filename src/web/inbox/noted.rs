//! What was said by an answer that moved nothing, and what the referrer changed, in a few words: two versions held against each other. The
//! journal says that something was noted; what, is in the versions. What it is about is told, and never what it says: that stands on the page.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{form_of, line, line::concept, passing, story::first_low, story::spaced, timeline};
use crate::{
    domain::{Event, TaskStatus},
    fhir::{task as fhir_task, tree},
    store::{JournalLine, StoreError, StoredResource, TaskRecord},
    web::Web,
};

/// So many things are named of one change.
const THINGS_MAX: usize = 6;
/// What is known of risks is another, and none of it is new.
const RISKS: &str = "what is known of risks";
/// That a statusReason is another.
const REASON: &str = "the reason";

/// What a line of the journal says more than the journal does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::web) struct Noted {
    /// Its seq.
    pub seq: u64,
    /// What was done, as it follows who did it.
    pub did: String,
    /// Whether it is about who works it alone, which is nothing that the referrer is told in words.
    pub is_given: bool,
}

impl Web {
    /// What these lines of a Task's journal say more than they tell by themselves.
    pub(super) async fn noted_in(
        &self,
        record: &TaskRecord,
        journal: &[JournalLine],
    ) -> Result<Vec<Noted>, StoreError> {
        let has = |is_one: &dyn Fn(&Event) -> bool| journal.iter().any(|line| is_one(&line.event));
        let tasks = if has(&is_note) { self.store.versions("Task", record.id.0).await? } else { vec![] };
        let is_amended = |event: &Event| matches!(event, Event::Amended { .. });
        let requests =
            if has(&is_amended) { self.store.versions("ServiceRequest", record.request).await? } else { vec![] };
        Ok(journal.iter().filter_map(|line| of_line(line, &tasks, &requests)).collect())
    }
}

/// Whether an answer may have noted something. One that moves the status may, too; a step that only follows from the next has no words of its own.
fn is_note(event: &Event) -> bool {
    matches!(event, Event::Answered { implied: false, .. })
}

fn of_line(line: &JournalLine, tasks: &[StoredResource], requests: &[StoredResource]) -> Option<Noted> {
    let seq = line.seq;
    match &line.event {
        Event::Answered { from, to, implied: false } => {
            let (before, after) = pair(tasks, seq)?;
            let moved = (from != to).then_some(*to);
            let (did, is_given) = of_task(&before, &after, moved)?;
            Some(Noted { seq, did, is_given })
        }
        Event::Amended { request, with, .. } => {
            let things = pair(requests, *request).map(|(before, after)| of_request(&before, &after));
            let did = changed(things.unwrap_or_default(), with, line.event.tells_of_risk())?;
            Some(Noted { seq, did, is_given: false })
        }
        _ => None,
    }
}

/// A version, and the one before it. What cannot be read says nothing.
fn pair(versions: &[StoredResource], version: u64) -> Option<(Value, Value)> {
    let at = versions.iter().position(|one| one.version == version)?;
    let body = |at: usize| serde_json::from_str(&versions.get(at)?.body).ok();
    Some((body(at.checked_sub(1)?)?, body(at)?))
}

/// What an answer noted in its Task, after the status that it `moved` to, and whether that is no more than who works it; nothing where no element
/// tells it.
fn of_task(before: &Value, after: &Value, moved: Option<TaskStatus>) -> Option<(String, bool)> {
    let mut did = Vec::new();
    if before.get("owner") != after.get("owner") {
        let worker = line::worker_of(after).map(|worker| worker.name);
        did.push(
            worker
                .map_or_else(|| "gave it back to nobody in particular".to_owned(), |name| format!("gave it to {name}")),
        );
    }
    let is_asked = |task: &Value| {
        let mut ours = fhir_task::codings_of_ours(task).into_iter();
        ours.any(|coding| tree::text(&coding, "code") == Some(fhir_task::CANCELLATION_REQUESTED))
    };
    if is_asked(before) && !is_asked(after) {
        did.push("decided to go on with it".to_owned());
    }
    match (form_of::appointment(before), form_of::appointment(after)) {
        (None, Some(_)) => did.push("booked an appointment".to_owned()),
        (Some(_), None) => did.push("took the appointment out".to_owned()),
        (before, after) if before != after => did.push("changed the appointment".to_owned()),
        _ => {}
    }
    let is_given = before.get("owner") != after.get("owner");
    let mut things = things(before, after);
    if moved.is_some() {
        // what ends or halts a referral says why: that is no more than was to be expected
        things.retain(|thing| thing != REASON);
    }
    if !things.is_empty() {
        did.push(format!("noted {}", listed(&things)));
    }
    if !added(before, after, "note").is_empty() {
        did.push("wrote a note".to_owned());
    }
    let is_given = is_given && did.len() == 1 && moved.is_none();
    if did.is_empty() {
        return None;
    }
    let moved = moved.map(|to| timeline::moved(to).to_owned());
    Some((listed(&moved.into_iter().chain(did).collect::<Vec<_>>()), is_given))
}

/// What else a Task says that it did not, each kind once.
fn things(before: &Value, after: &Value) -> Vec<String> {
    let mut things: Vec<String> = Vec::new();
    let mut add = |thing: String| {
        if !thing.is_empty() && !things.contains(&thing) {
            things.push(thing);
        }
    };
    for output in added(before, after, "output") {
        let kind = concept(output.get("type").unwrap_or(&Value::Null));
        add(match kind.as_str() {
            "Activity attended" => "activities".to_owned(),
            "Outcome" => "what came of it".to_owned(),
            passing::OUTPUT => "that the person was referred on".to_owned(),
            kind if kind.starts_with("ONS4 before") => "ONS4 scores (before)".to_owned(),
            kind if kind.starts_with("ONS4 after") => "ONS4 scores (after)".to_owned(),
            other => first_low(other),
        });
    }
    if before.get("statusReason") != after.get("statusReason") {
        add(REASON.to_owned());
    }
    let provider_says = |task: &Value| {
        let mut business = task.get("businessStatus").cloned().unwrap_or_default();
        fhir_task::without_ours(&mut business);
        concept(&business)
    };
    let says = provider_says(after);
    if says != provider_says(before) && !says.is_empty() {
        add(format!("how far it is: {says}"));
    }
    things
}

/// What a list has that it had not.
fn added<'v>(before: &Value, after: &'v Value, name: &str) -> Vec<&'v Value> {
    let known = tree::items(before, name);
    tree::items(after, name).iter().filter(|item| !known.contains(item)).collect()
}

/// What differs between two versions of a ServiceRequest.
fn of_request(before: &Value, after: &Value) -> BTreeSet<String> {
    let (Some(before), Some(after)) = (before.as_object(), after.as_object()) else { return BTreeSet::new() };
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differ = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    let mut things: BTreeSet<String> = differ.filter_map(|name| element(name.trim_start_matches('_'))).collect();
    let contained = |request: &Map<String, Value>, is_flag: bool| {
        let all = request.get("contained").and_then(Value::as_array).cloned().unwrap_or_default();
        all.into_iter().filter(|one| (tree::resource_type(one) == Some("Flag")) == is_flag).collect::<Vec<_>>()
    };
    if contained(before, false) != contained(after, false) {
        things.insert("details that come with it".to_owned());
    }
    if contained(before, true) != contained(after, true) {
        things.insert(RISKS.to_owned());
    }
    things
}

/// What an element of a ServiceRequest is about; nothing of those that say nothing to a reader.
fn element(name: &str) -> Option<String> {
    let known = match name {
        "resourceType" | "id" | "meta" | "text" | "status" | "intent" | "identifier" | "requisition" | "language"
        | "implicitRules" | "extension" | "modifierExtension" => return None,
        // named by what came with it
        "supportingInfo" | "insurance" | "specimen" | "relevantHistory" => return None,
        // by what is in it
        "contained" => return None,
        "priority" => "how urgent it is",
        "reasonCode" | "reasonReference" => "why the person is referred",
        "code" | "orderDetail" | "category" | "quantityQuantity" => "what is asked for",
        "note" => "what the referrer writes",
        "patientInstruction" => "what the person was told",
        "subject" => "the person’s details",
        "requester" => "who refers",
        "performer" | "performerType" | "locationCode" | "locationReference" => "who is to help",
        other if other.starts_with("occurrence") => "when help is wanted",
        other => return Some(first_low(&spaced(other))),
    };
    Some(known.to_owned())
}

/// What the referrer changed, with what came along; whether it tells of a `risk`.
fn changed(mut things: BTreeSet<String>, with: &[String], risk: bool) -> Option<String> {
    let kinds: BTreeSet<&str> = with.iter().filter_map(|one| one.split_once('/')).map(|(kind, _)| kind).collect();
    if risk {
        things.remove(RISKS);
    }
    for kind in kinds.into_iter().filter(|kind| *kind != "Flag") {
        things.insert(match kind {
            "Patient" => "the person’s details and how to reach them".to_owned(),
            "RelatedPerson" => "who else to contact".to_owned(),
            "Consent" => "consent".to_owned(),
            "DocumentReference" | "Binary" => "documents".to_owned(),
            "Condition" => "conditions".to_owned(),
            "QuestionnaireResponse" => "answers to a form".to_owned(),
            "Observation" => "measurements".to_owned(),
            "Goal" => "goals".to_owned(),
            "Practitioner" | "PractitionerRole" | "Organization" => "who refers".to_owned(),
            other => first_low(&spaced(other)),
        });
    }
    let things: Vec<String> = things.into_iter().collect();
    match (risk, things.is_empty()) {
        (false, true) => None,
        (true, true) => Some("told of a risk".to_owned()),
        (true, false) => Some(format!("told of a risk, and changed the referral: {}", listed(&things))),
        (false, false) => Some(format!("changed the referral: {}", listed(&things))),
    }
}

/// `a, b and c`, the first of many.
fn listed(things: &[String]) -> String {
    if things.len() > THINGS_MAX {
        return format!("{} and more", things.get(..THINGS_MAX).unwrap_or_default().join(", "));
    }
    match things.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} and {last}", before.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::{
        domain::{Actor, TaskStatus},
        fhir::task::{BSER_SYSTEM, CANCELLATION_REQUESTED},
        web::inbox::tests::stored,
    };

    fn noted(before: &Value, after: &Value) -> String {
        of_task(before, after, None).map(|(did, _)| did).unwrap_or_default()
    }

    #[test]
    fn what_an_answer_notes_is_told_by_what_it_is_about() {
        let bare = json!({"owner": {"reference": "Organization/mind", "type": "Organization"}});
        let with = |name: &str, value: Value| {
            let mut task = bare.clone();
            task[name] = value;
            task
        };
        let luke = with("owner", json!({"type": "Practitioner", "display": "Luke Byrne"}));
        assert_eq!(of_task(&bare, &luke, None), Some(("gave it to Luke Byrne".into(), true)));
        assert_eq!(noted(&luke, &bare), "gave it back to nobody in particular");
        let outputs = json!([
            {"type": {"text": "Activity attended"}, "valueString": "Choir"},
            {"type": {"text": "Activity attended"}, "valueString": "Walk"},
            {"type": {"text": "ONS4 before: Worthwhile"}, "valueInteger": 4},
            {"type": {"text": "ONS4 before: Anxiety"}, "valueInteger": 6},
        ]);
        let mut whole = with("output", outputs);
        whole["note"] = json!([{"text": "Came with her sister"}]);
        assert_eq!(noted(&bare, &whole), "noted activities and ONS4 scores (before) and wrote a note");
        let booked = with("executionPeriod", json!({"start": "2026-03-09"}));
        assert_eq!(noted(&bare, &booked), "booked an appointment");
        assert_eq!(noted(&booked, &with("executionPeriod", json!({"start": "2026-03-10"}))), "changed the appointment");
        let asked =
            with("businessStatus", json!({"coding": [{"system": BSER_SYSTEM, "code": CANCELLATION_REQUESTED}]}));
        let kept = with("note", json!([{"text": "They want to come"}]));
        assert_eq!(noted(&asked, &kept), "decided to go on with it and wrote a note");
        assert_eq!(noted(&bare, &bare), "");
        let moved = |before: &Value, after: &Value, to| of_task(before, after, Some(to));
        let told = moved(&bare, &whole, TaskStatus::Completed).unwrap();
        assert_eq!(told.0, "completed it, noted activities and ONS4 scores (before) and wrote a note");
        assert_eq!(moved(&bare, &kept, TaskStatus::Accepted).unwrap().0, "accepted the referral and wrote a note");
        let given = moved(&bare, &luke, TaskStatus::Accepted).unwrap();
        assert_eq!(given, ("accepted the referral and gave it to Luke Byrne".into(), false));
        let why = with("statusReason", json!({"text": "No room"}));
        assert_eq!(moved(&bare, &why, TaskStatus::Rejected), None, "why it ended is told where it ended");
    }

    fn version(version: u64, body: &Value) -> StoredResource {
        StoredResource { version, ..stored("ServiceRequest", Uuid::nil(), body) }
    }

    #[test]
    fn what_the_referrer_changed_is_named_and_a_risk_first() {
        let line = |request: u64, with: &[&str], risk: bool| JournalLine {
            seq: 9,
            at: Timestamp::UNIX_EPOCH,
            actor: Actor::System("rio".parse().unwrap()),
            event: Event::Amended {
                request,
                order: None,
                with: with.iter().map(|one| (*one).to_owned()).collect(),
                risk,
            },
            asked_by: None,
        };
        let requests = [
            version(1, &json!({"id": "1", "priority": "routine"})),
            version(2, &json!({"id": "1", "priority": "urgent", "note": [{"text": "x"}], "meta": {}})),
            version(3, &json!({"id": "1", "priority": "urgent", "note": [{"text": "x"}], "supportingInfo": []})),
        ];
        let told = |request, with: &[&str]| of_line(&line(request, with, false), &[], &requests).map(|noted| noted.did);
        assert_eq!(told(2, &[]).unwrap(), "changed the referral: how urgent it is and what the referrer writes");
        assert_eq!(told(3, &["Flag/7"]).unwrap(), "told of a risk");
        assert_eq!(
            told(3, &["Flag/7", "Patient/8"]).unwrap(),
            "told of a risk, and changed the referral: the person’s details and how to reach them"
        );
        assert_eq!((told(3, &[]), told(7, &[])), (None, None), "what tells nothing is told as before");
        let carries = |version_of, flag: &Value| {
            let contained = json!([{"resourceType": "Patient", "id": "p"}, flag]);
            version(version_of, &json!({"id": "1", "contained": contained}))
        };
        let flag = |status: &str| json!({"resourceType": "Flag", "id": "f", "status": status});
        let requests = [
            version(1, &json!({"id": "1", "contained": [{"resourceType": "Patient", "id": "p"}]})),
            carries(2, &flag("active")),
            carries(3, &flag("inactive")),
        ];
        let told = |request, risk| of_line(&line(request, &[], risk), &[], &requests).map(|noted| noted.did);
        assert_eq!(told(2, true).unwrap(), "told of a risk", "and of nothing that only came with it");
        assert_eq!(told(3, false).unwrap(), "changed the referral: what is known of risks");
        let moved = JournalLine {
            event: Event::Answered { from: TaskStatus::Requested, to: TaskStatus::Accepted, implied: false },
            ..line(2, &[], false)
        };
        assert_eq!(of_line(&moved, &requests, &[]), None);
    }
}

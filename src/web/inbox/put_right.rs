//! What was noted in error is put right: a message or contact becomes `entered-in-error` with the reason (R4 event-status), and a dated note with
//! the reason takes the place of what stood in the Task, of which every version is kept. Nothing is gone, and nothing stands there that is wrong.

use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    absent, away, done,
    form_of::{self, TEXT_CHARS_MAX},
    line::concept,
    meanwhile::{changed, too_late, written_as},
    passing, say, story,
    timeline::{self, Kind},
    words,
};
use crate::{
    auth::Deed,
    config::registry::Client,
    conversation::{Incoming, Wrong},
    domain::{Actor, Event, ProviderId, TaskId, Timestamp, clock::instant},
    fhir::{task::PUT_RIGHT, tree},
    lanes::task_body,
    status::{Source, StatusError},
    store::{JournalLine, StoreError, StoredResource, TaskRecord},
    web::{
        Shared, Web,
        form::{Seen, Signed},
        frame::{Frame, Section},
        page::{self, Fault},
    },
};

/// So many of what was noted can be put right, the newest of each kind.
const ITEMS_MAX: usize = 100;
/// Of what was noted so many characters are shown.
const SHOWN_CHARS_MAX: usize = 160;
/// How what is put right is named in the form: a message by its id, what stands in the Task by its place.
const MESSAGE: &str = "message-";
const APPOINTMENT: &str = "appointment";

/// The page.
#[derive(Template)]
#[template(path = "put-right.html")]
struct PutRightPage {
    frame: Frame,
    faults: Vec<Fault>,
    made_for: String,
    task: TaskId,
    version: u64,
    once: String,
    items: Vec<(String, String)>,
    item: String,
    reason: String,
}

/// What was sent of its form.
#[derive(Default)]
struct Sent {
    item: String,
    reason: String,
    once: Option<String>,
    faults: Vec<Fault>,
}

/// All that somebody of a provider has noted of a Task, each with its name in the form and in words. What a page shows of another service that one
/// referred on to is no note.
pub(super) fn items(
    task: &Value,
    journal: &[JournalLine],
    resources: &[(StoredResource, Value)],
    own: &ProviderId,
) -> Vec<(String, String)> {
    let message = |line: &JournalLine| {
        let Event::Message { communication, .. } = &line.event else { return None };
        let is_own = matches!(&line.actor, Actor::Provider(id) if id == own);
        let found = resources.iter().find(|(s, _)| s.id == *communication && s.kind == "Communication");
        let (_, body) = found.filter(|_| is_own)?;
        let kind = timeline::kind(body);
        if kind == Some(Kind::PutRight) || tree::text(body, "status") == Some("entered-in-error") {
            return None;
        }
        let text = tree::items(body, "payload").iter().find_map(|one| tree::text(one, "contentString"));
        let kind = kind.map_or("Message", Kind::words);
        let by = author(body).map_or_else(String::new, |name| format!("{name}, "));
        let words = format!("{kind}, {by}{}: {}", words::moment(line.at), text.unwrap_or_default());
        Some((format!("{MESSAGE}{communication}"), words))
    };
    let at = form_of::appointment(task)
        .map(|at| (APPOINTMENT.to_owned(), format!("Appointment: {}", words::instant_or_date(at))));
    let outputs = tree::items(task, "output").iter().enumerate();
    let outputs = outputs.filter_map(|(at, output)| Some((format!("output-{at}"), output_in_words(output)?)));
    let notes = tree::items(task, "note").iter().enumerate();
    let notes = notes.filter_map(|(at, note)| Some((format!("note-{at}"), format!("Note: {}", story::note(note)?))));
    let newest = |all: Vec<(String, String)>| {
        let passed = all.len().saturating_sub(ITEMS_MAX);
        all.into_iter().skip(passed).map(|(key, words)| (key, short(&words)))
    };
    let mut all: Vec<(String, String)> = at.into_iter().collect();
    all.extend(newest(outputs.collect()));
    all.extend(newest(notes.collect()));
    all.extend(newest(journal.iter().filter_map(message).collect()));
    all
}

/// Who wrote a message, by her name for people.
fn author(message: &Value) -> Option<&str> {
    tree::text(message.get("sender")?, "display")
}

/// What the referrer is told of a message that is taken back: whose it was and of when, for whoever takes it back may be somebody else.
fn told(message: &Value, reason: &str) -> String {
    let sent = tree::text(message, "sent").map_or_else(String::new, |at| format!(", {}", words::instant_or_date(at)));
    match author(message) {
        Some(name) => format!("What was written by {name}{sent} was noted in error: {reason}"),
        None => format!("An earlier entry{sent} was noted in error: {reason}"),
    }
}

/// An output in words; none where it is not something that somebody typed, or is away already.
fn output_in_words(output: &Value) -> Option<String> {
    let kind = concept(output.get("type")?);
    if kind == passing::OUTPUT {
        return None;
    }
    let value = output.get("valueString").and_then(Value::as_str).map(str::to_owned);
    let value = value.or_else(|| output.get("valueInteger").map(Value::to_string))?;
    Some(format!("{kind}: {value}"))
}

/// On one line, and cut where it is long.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

/// A Task without what was noted in error, and with a note that says so; none where it has no such thing.
fn without(task: &Value, item: &str, words: &str, (who, now): (&str, Timestamp), reason: &str) -> Option<Value> {
    let mut task = task.clone();
    let object = task.as_object_mut()?;
    if item == APPOINTMENT {
        object.shift_remove("executionPeriod")?;
    } else {
        let (element, at) = item.split_once('-')?;
        let element = ["output", "note"].into_iter().find(|known| *known == element)?;
        let list = object.get_mut(element).and_then(Value::as_array_mut)?;
        let at: usize = at.parse().ok()?;
        if at >= list.len() {
            return None;
        }
        list.remove(at);
        if list.is_empty() {
            object.shift_remove(element);
        }
    }
    let text = format!("Noted in error, and taken out: {words}\nWhy: {reason}");
    form_of::push(object, "note", json!({"authorString": who, "time": instant(now), "text": text}));
    Some(task)
}

/// `GET /inbox/{task}/put-right`
pub(in crate::web) async fn form(State(web): State<Shared>, seen: Seen, Path(task): Path<String>) -> Response {
    match web.named(&seen, &task, Deed::Answer).await {
        Ok(record) if record.state.status.is_terminal() => too_late(&web, &seen, &record, record.version, vec![]).await,
        Ok(record) => shown(&web, &seen, &record, Sent::default()).await,
        Err(page) => page,
    }
}

/// `POST /inbox/{task}/put-right`
pub(in crate::web) async fn put_right(State(web): State<Shared>, Path(task): Path<String>, signed: Signed) -> Response {
    let seen = signed.seen();
    let record = match web.named(&seen, &task, Deed::Answer).await {
        Ok(record) => record,
        Err(page) => return page,
    };
    let text = |name: &str| signed.form.text(name).trim().replace("\r\n", "\n");
    let (item, reason, once) = (text("item"), text("reason"), text("once"));
    let version = text("version").parse().unwrap_or(0);
    let written = || written_as("What is wrong with it?", &reason).into_iter().collect::<Vec<_>>();
    if record.state.status.is_terminal() {
        return too_late(&web, &seen, &record, version, written()).await;
    }
    let mut faults = Vec::new();
    if item.is_empty() {
        faults.push(Fault::at("item", "Choose what was noted in error"));
    }
    match reason.chars().count() {
        0 => faults.push(Fault::at("reason", "Say what is wrong with it")),
        count if count > TEXT_CHARS_MAX => {
            faults.push(Fault::at("reason", format!("Use {TEXT_CHARS_MAX} characters or fewer: there are {count}")));
        }
        _ => {}
    }
    let sent = |faults| Sent { item: item.clone(), reason: reason.clone(), once: Some(once.clone()), faults };
    if !faults.is_empty() {
        return shown(&web, &seen, &record, sent(faults)).await;
    }
    let to = done::with(&super::path_of(&record.id), "put-right");
    if let Some(id) = item.strip_prefix(MESSAGE).and_then(|id| id.parse::<Uuid>().ok()) {
        let wrong = Wrong { id, reason: reason.clone() };
        return match web.take_back(&seen, &record, wrong, &once).await {
            Ok(()) => page::to(&to),
            Err(error) => match say::faults(&seen, error) {
                Ok(faults) => shown(&web, &seen, &record, sent(faults)).await,
                Err(page) => *page,
            },
        };
    }
    let id = record.id;
    match web.take_out(&seen, record, version, (&item, &reason)).await {
        Ok(true) => page::to(&to),
        Ok(false) => absent(&seen),
        Err(StatusError::Store(error)) => away(&error),
        Err(StatusError::NotFound) => absent(&seen),
        Err(_) => match web.store.task(id).await {
            Ok(Some(record)) if record.state.status.is_terminal() => {
                too_late(&web, &seen, &record, version, written()).await
            }
            Ok(Some(record)) => changed(&web, &seen, &record, version, written()).await,
            Ok(None) => absent(&seen),
            Err(error) => away(&error),
        },
    }
}

async fn shown(web: &Web, seen: &Seen, record: &TaskRecord, Sent { item, reason, once, faults }: Sent) -> Response {
    let items = match web.noted(record).await {
        Ok(items) => items,
        Err(error) => return away(&error),
    };
    let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let (frame, made_for) = (Frame::of(seen, Section::Inbox), seen.made_for.clone());
    let (task, version) = (record.id, record.version);
    let once = once.unwrap_or_else(|| Uuid::now_v7().to_string());
    page::shown(status, &PutRightPage { frame, faults, made_for, task, version, once, items, item, reason })
}

impl Web {
    async fn noted(&self, record: &TaskRecord) -> Result<Vec<(String, String)>, StoreError> {
        let body = task_body(&*self.store, record.id, record.version).await?;
        let (resources, journal) = (self.visible(record).await?, self.store.journal(record.id).await?);
        Ok(items(&body, &journal, &resources, &record.provider))
    }

    /// Takes a message back, and says so to the referrer.
    async fn take_back(
        &self,
        seen: &Seen,
        record: &TaskRecord,
        wrong: Wrong,
        once: &str,
    ) -> Result<(), crate::conversation::ConversationError> {
        let (now, id) = (self.store.now(), wrong.id);
        // where it is not there to be taken back, that is said below
        let found = self.store.resource("Communication", id, None).await?;
        let original = found.and_then(|(stored, _)| serde_json::from_str(&stored.body).ok()).unwrap_or(Value::Null);
        let text = told(&original, &wrong.reason);
        let mut body = say::communication(record, &seen.visitor.name, &text, PUT_RIGHT, None, &instant(now));
        if let Some(object) = body.as_object_mut() {
            let meant = json!([{"reference": format!("Communication/{id}"), "type": "Communication"}]);
            object.insert("inResponseTo".into(), meant);
        }
        let key = once.parse::<Uuid>().ok().map(|once| format!("page:{once}"));
        let incoming = Incoming { clients: vec![Client::Provider(record.provider.clone())], body, key };
        self.conversation.take_back(incoming, wrong).await?;
        tracing::info!(person = seen.visitor.person, task.id = %record.id, "a message was taken back on a page");
        Ok(())
    }

    /// Takes something out of a Task; whether it was there.
    async fn take_out(
        &self,
        seen: &Seen,
        record: TaskRecord,
        version: u64,
        (item, reason): (&str, &str),
    ) -> Result<bool, StatusError> {
        let items = self.noted(&record).await?;
        let Some((_, words)) = items.iter().find(|(key, _)| key == item) else { return Ok(false) };
        let (system, now) = (record.system.clone(), self.store.now());
        let make = |current: &Value| {
            let by = (seen.visitor.name.as_str(), now);
            let wanted = without(current, item, words, by, reason).unwrap_or_else(|| current.clone());
            self.intake.check_answer(&wanted, &system)?;
            Ok(wanted)
        };
        let changed = self.status.answer_known(record, Source::Request { version }, make).await?;
        tracing::info!(person = seen.visitor.person, task.id = %changed.id, "something was put right on a page");
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_message_was_wrong_is_told() {
        let mut message = json!({"sender": {"display": "Luke Link"}, "sent": "2026-03-02T09:05:00Z"});
        let text = told(&message, "another person");
        assert_eq!(text, "What was written by Luke Link, 2 March 2026, 9:05am was noted in error: another person");
        message["sender"] = json!({});
        assert!(told(&message, "x").starts_with("An earlier entry, 2 March 2026"));
        assert_eq!(told(&Value::Null, "x"), "An earlier entry was noted in error: x");
    }

    #[test]
    fn what_was_noted_in_error_is_taken_out_and_told() {
        let task = json!({
            "executionPeriod": {"start": "2026-03-09"},
            "note": [{"text": "Sings", "authorString": "Luke", "time": "2026-03-03T14:05:00Z"}],
            "output": [
                {"type": {"text": "Activity attended"}, "valueString": "Choir"},
                {"type": {"text": passing::OUTPUT}, "valueReference": {"reference": "x"}},
                {"type": {"text": "ONS4 before: Happiness"}, "valueInteger": 4},
            ],
        });
        let all = items(&task, &[], &[], &"mind".parse().unwrap());
        let keys: Vec<&str> = all.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["appointment", "output-0", "output-2", "note-0"], "no referral is taken back by that");
        assert_eq!(all[2].1, "ONS4 before: Happiness: 4");
        assert_eq!(all[3].1, "Note: Sings (Luke, 3 March 2026, 2:05pm)");
        let by = ("Nora", "2026-03-04T10:00:00Z".parse().unwrap());
        let after = without(&task, "output-0", &all[1].1, by, "Wrong person").unwrap();
        assert_eq!(after["output"].as_array().unwrap().len(), 2);
        assert_eq!(
            after["note"][1]["text"],
            "Noted in error, and taken out: Activity attended: Choir\nWhy: Wrong person"
        );
        assert!(without(&task, "appointment", "x", by, "y").unwrap().get("executionPeriod").is_none());
        let bare = without(&task, "note-0", "x", by, "y").unwrap();
        assert_eq!(bare["note"].as_array().unwrap().len(), 1, "the note that says so is there alone");
        for bad in ["output-9", "note-x", "status-0", "", "note"] {
            assert!(without(&task, bad, "x", by, "y").is_none(), "{bad}");
        }
    }
}

//! A record system's FHIR server: the ServiceRequest and Patient that each referral came from, and the Task that Onward keeps
//! there.

use std::rc::Rc;

use hyper::StatusCode;

use super::{
    Desk, Reply,
    book::{Seen, Shown, now_us},
    provider, reading,
};
use crate::{
    bench::referral::{Fate, IDENTIFIERS, nhs_number},
    fhir::nhs_number,
};

/// `GET ServiceRequest/sr-N`, `Patient/p-N`, `Task?identifier=…`, `Task/tN`.
pub(super) fn read(desk: &Desk, path: &str, query: &str) -> Option<Reply> {
    let body = match path.split_once('/') {
        Some(("ServiceRequest", id)) => request(desk, id.strip_prefix("sr-")?.parse().ok()?)?,
        Some(("Patient", id)) => patient(id.strip_prefix("p-")?.parse().ok()?),
        Some(("Task", id)) => {
            let number = id.strip_prefix('t')?.parse().ok()?;
            let Some(task) = task(desk, number) else { return Some(Reply::of(StatusCode::NOT_FOUND)) };
            let etag = Some(desk.book.borrow().version(number));
            return Some(Reply { etag, ..Reply::with(StatusCode::OK, task) });
        }
        None if path == "Task" => {
            let number = desk.book.borrow().number_of(reading::in_query(query)?);
            let found = number.and_then(|number| task(desk, number));
            provider::searchset(found.map(|task| format!("{{\"resource\":{task}}}")))
        }
        _ => return None,
    };
    Some(Reply::with(StatusCode::OK, body))
}

fn request(desk: &Desk, number: u32) -> Option<String> {
    let answers = desk.book.borrow().get(number)?.answers;
    let identifier = Fate { answers, number }.identifier(&desk.options.run);
    Some(format!(
        "{{\"resourceType\":\"ServiceRequest\",\"id\":\"sr-{number}\",\"meta\":{{\"versionId\":\"1\"}},\"identifier\":[{{\"system\":\
         \"{IDENTIFIERS}\",\"value\":\"{identifier}\"}}],\"status\":\"active\",\"intent\":\"order\",\"subject\":{{\"reference\":\
         \"Patient/p-{number}\"}}}}"
    ))
}

fn patient(number: u32) -> String {
    let (system, value) = (nhs_number::SYSTEM, nhs_number(number));
    format!(
        "{{\"resourceType\":\"Patient\",\"id\":\"p-{number}\",\"meta\":{{\"versionId\":\"1\"}},\"identifier\":[{{\"system\":\"{system}\",\
         \"value\":\"{value}\"}}],\"name\":[{{\"family\":\"Rimmer\",\"given\":[\"Declan\"]}}]}}"
    )
}

/// The Task as far as it is remembered: not its content, which nobody asks for unless something went wrong.
fn task(desk: &Desk, number: u32) -> Option<String> {
    let book = desk.book.borrow();
    let version = book.version(number);
    let (task, status, seq) = (book.task_of(number), book.get(number)?.status(), book.get(number)?.seq());
    (version > 0).then(|| {
        format!(
            "{{\"resourceType\":\"Task\",\"id\":\"t{number}\",\"meta\":{{\"versionId\":\"{version}\"}},\"extension\":[{{\"url\":\"{}\",\
             \"valuePositiveInt\":{seq}}}],\"identifier\":[{{\"system\":\"urn:ietf:rfc:3986\",\"value\":\"urn:uuid:{task}\"}}],\
             \"status\":\"{status}\",\"intent\":\"order\"}}",
            crate::fhir::task::SEQ_EXTENSION
        )
    })
}

/// Onward writes a status into record `n`: `PUT Task?identifier=…`, `PUT Task/tN` or `POST Task`.
pub(super) fn written(
    desk: &Rc<Desk>,
    n: usize,
    path: &str,
    query: &str,
    if_match: Option<&str>,
    body: &[u8],
) -> Option<Reply> {
    let told = reading::told(body)?;
    if !query.is_empty() && reading::in_query(query) != Some(told.task) {
        return None;
    }
    let number = desk.book.borrow().number_of(told.task)?;
    let by_id = path.strip_prefix("Task/");
    if by_id.is_some_and(|id| id.strip_prefix('t').and_then(|id| id.parse().ok()) != Some(number)) {
        return None;
    }
    let before = desk.book.borrow().version(number);
    if if_match.is_some_and(|etag| super::version_of(etag) != Some(u64::from(before))) {
        return Some(Reply::of(StatusCode::PRECONDITION_FAILED));
    }
    let shown = {
        let mut book = desk.book.borrow_mut();
        book.wrongs.misplaced += u64::from(desk.plan.system_of(number) != n);
        book.shown(number, told.status, told.seq, now_us())
    };
    let Shown::New(version) = shown else { return Some(Reply::of(StatusCode::CONFLICT)) };
    let seen = desk.book.borrow().get(number).copied();
    if let Some(seen) = seen.filter(|seen| seen.steps() > 0) {
        provider::go_on(desk, number, seen.answers, seen.steps());
    }
    let status = if version == 1 { StatusCode::CREATED } else { StatusCode::OK };
    let stored = stored(body, number, version, by_id.is_some())?;
    let location = Some(format!("Task/t{number}/_history/{version}"));
    Some(Reply { status, etag: Some(version), location, body: stored })
}

/// What was written, with the id and the version that it has here.
fn stored(body: &[u8], number: u32, version: u8, has_id: bool) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let old = format!("\"meta\":{{\"versionId\":\"{}\"}}", version - 1);
    if has_id && text.contains(&old) {
        // it was read here before it was written
        return Some(text.replacen(&old, &format!("\"meta\":{{\"versionId\":\"{version}\"}}"), 1));
    }
    let rest = text.trim_start().strip_prefix('{')?;
    let id = if has_id { String::new() } else { format!("\"id\":\"t{number}\",") };
    Some(format!("{{{id}\"meta\":{{\"versionId\":\"{version}\"}},{rest}"))
}

impl Seen {
    /// The status that the record shows.
    fn status(&self) -> &'static str {
        use crate::domain::TaskStatus;
        let shown = [TaskStatus::Requested, TaskStatus::Received].into_iter().chain(super::book::ANSWERS);
        shown.into_iter().nth(self.steps()).unwrap_or(TaskStatus::Completed).code()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_is_stored_is_what_was_written_with_id_and_version() {
        let task = Uuid::from_u128(1);
        let body = format!("{{\"resourceType\":\"Task\",\"identifier\":[{{\"value\":\"urn:uuid:{task}\"}}]}}");
        let stored: serde_json::Value = serde_json::from_str(&stored(body.as_bytes(), 7, 2, false).unwrap()).unwrap();
        assert_eq!((&stored["id"], &stored["meta"]["versionId"]), (&"t7".into(), &"2".into()));
        assert_eq!(stored["identifier"][0]["value"], format!("urn:uuid:{task}"));
        let read = "{\"resourceType\":\"Task\",\"id\":\"t7\",\"meta\":{\"versionId\":\"2\"}}";
        let again = super::stored(read.as_bytes(), 7, 3, true).unwrap();
        assert_eq!(again, read.replace("\"2\"", "\"3\""));
    }
}

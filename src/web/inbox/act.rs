//! What somebody may do with a referral: exactly what its state allows (`domain/task.rs`), through `status`, as a provider's own system does
//! over the API. Each is made from the version that its page showed: of two who answer at once the second is told.

use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use serde_json::Value;

use super::{
    absent, away, done,
    form_of::{Asked, FORMS, FormOf, Typed},
};
use crate::{
    auth::Deed,
    domain::{TaskId, TaskStatus, task::By},
    status::{Source, StatusError},
    store::TaskRecord,
    web::{
        Shared, Web,
        form::{Seen, Signed},
        frame::{Frame, Section},
        page::{self, Fault},
    },
};

/// Something that may be done with a referral now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) struct Choice {
    /// Its word in URLs.
    pub code: &'static str,
    /// What its button says.
    pub words: &'static str,
    /// Whether more has to be said, on a page of its own.
    pub asks: bool,
    /// Whether it is what is done most from here.
    pub first: bool,
}

/// What may be done with a Task of this status, of which a provider may set `allowed`.
pub(in crate::web) fn choices(status: TaskStatus, allowed: &[TaskStatus], cancel_requested: bool) -> Vec<Choice> {
    let mut choices = Vec::new();
    let mut add = |may: bool, code, words, asks| {
        if may {
            choices.push(Choice { code, words, asks, first: choices.is_empty() });
        }
    };
    let may = |to: TaskStatus| allowed.contains(&to);
    let open = !status.is_terminal();
    let under_way = matches!(status, TaskStatus::Accepted | TaskStatus::InProgress | TaskStatus::OnHold);
    add(cancel_requested && may(TaskStatus::Cancelled), "cancelled", "Cancel it", true);
    add(cancel_requested && open, "keep", "Go on with it", true);
    add(may(TaskStatus::Accepted), "accepted", "Accept", false);
    add(may(TaskStatus::InProgress), "in-progress", "Start work", false);
    add(may(TaskStatus::Received), "received", "Mark as opened", false);
    add(under_way, "schedule", "Book first appointment", true);
    add(open, "contact", "Record a contact", true);
    add(under_way, "onward", "Refer on to another service", true);
    add(may(TaskStatus::OnHold), "on-hold", "Put on hold", true);
    add(may(TaskStatus::Completed), "completed", "Complete", true);
    add(may(TaskStatus::Rejected), "rejected", "Decline or redirect", true);
    add(may(TaskStatus::Failed), "failed", "End early", true);
    choices
}

/// The page on which more is said.
#[derive(Template)]
#[template(path = "act.html")]
struct ActPage {
    frame: Frame,
    faults: Vec<Fault>,
    made_for: String,
    task: TaskId,
    version: String,
    once: String,
    form: &'static FormOf,
    asked: Vec<Shown>,
}

/// A field with what was typed.
struct Shown {
    of: &'static Asked,
    value: String,
}

/// `GET /inbox/{task}/{action}`
pub(in crate::web) async fn form(
    State(web): State<Shared>,
    seen: Seen,
    Path((task, action)): Path<(String, String)>,
) -> Response {
    let Some(form) = FORMS.iter().find(|form| form.code == action) else { return absent(&seen) };
    match web.named(&seen, &task, Deed::Answer).await {
        Ok(record) if is_open_to(&record, form.code) => {
            let version = record.version.to_string();
            shown(&seen, record.id, form, (version, uuid::Uuid::now_v7().to_string()), &Typed::default(), vec![])
        }
        Ok(record) => not_now(&seen, &record),
        Err(page) => page,
    }
}

fn shown(
    seen: &Seen,
    task: TaskId,
    form: &'static FormOf,
    (version, once): (String, String),
    typed: &Typed,
    faults: Vec<Fault>,
) -> Response {
    let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let asked = form.asked.iter().map(|of| Shown { of, value: typed.text(of.name).to_owned() }).collect();
    let frame = Frame::of(seen, Section::Inbox);
    page::shown(status, &ActPage { frame, faults, made_for: seen.made_for.clone(), task, version, once, form, asked })
}

pub(super) fn is_open_to(record: &TaskRecord, code: &str) -> bool {
    let allowed = record.state.allowed(By::Provider);
    choices(record.state.status, &allowed, record.state.cancel_requested).iter().any(|choice| choice.code == code)
}

/// `POST /inbox/{task}/{action}`
pub(in crate::web) async fn act(
    State(web): State<Shared>,
    Path((task, action)): Path<(String, String)>,
    signed: Signed,
) -> Response {
    let seen = signed.seen();
    let record = match web.named(&seen, &task, Deed::Answer).await {
        Ok(record) => record,
        Err(page) => return page,
    };
    let task = record.id;
    let form = FORMS.iter().find(|form| form.code == action);
    if form.is_none() && !matches!(action.as_str(), "accepted" | "in-progress" | "received") {
        return absent(&seen);
    }
    let typed = Typed::of(form, &signed.form);
    let (version, once) = (signed.form.text("version").to_owned(), signed.form.text("once").to_owned());
    if let Some(form) = form {
        let faults = form.faults(&typed);
        if !faults.is_empty() {
            return shown(&seen, task, form, (version, once), &typed, faults);
        }
        if form.code == "contact" {
            return super::say::contact(&web, &seen, &record, &typed, &once).await;
        }
    }
    let Ok(version) = version.parse() else { return changed(&seen, task) };
    match web.answer(&seen, record, version, &action, &typed).await {
        Ok(now) => page::to(&done::with(&format!("/inbox/{task}"), told(&action, now.state.status))),
        Err(StatusError::Stale { .. }) => changed(&seen, task),
        Err(StatusError::Refused(_) | StatusError::Follows) => match web.store.task(task).await {
            Ok(Some(record)) => not_now(&seen, &record),
            Ok(None) => absent(&seen),
            Err(error) => away(&error),
        },
        Err(StatusError::Invalid(issues)) => {
            let faults = issues.into_iter().map(|issue| Fault::of_all(issue.diagnostics)).collect();
            match form {
                Some(form) => shown(&seen, task, form, (version.to_string(), once), &typed, faults),
                None => changed(&seen, task),
            }
        }
        Err(StatusError::NotFound) => absent(&seen),
        Err(StatusError::Store(error)) => away(&error),
    }
}

/// The code of what is told then.
fn told(action: &str, status: TaskStatus) -> &'static str {
    match action {
        "schedule" | "received" | "keep" => "noted",
        _ => status.code(),
    }
}

fn changed(seen: &Seen, task: TaskId) -> Response {
    let told = "This referral has changed since you opened it, so nothing was done. Look at it again.";
    let to = format!("/inbox/{task}");
    page::told_in(Frame::of(seen, Section::Inbox), StatusCode::CONFLICT, told, (&to, "Back to the referral"))
}

/// It is too late for that, or too early.
pub(super) fn not_now(seen: &Seen, record: &TaskRecord) -> Response {
    let status = super::words::status(record.state.status).words;
    let told = format!("That cannot be done any more: this referral is “{status}” now. Nothing was done.");
    let to = format!("/inbox/{}", record.id);
    page::told_in(Frame::of(seen, Section::Inbox), StatusCode::CONFLICT, &told, (&to, "Back to the referral"))
}

impl Web {
    async fn answer(
        &self,
        seen: &Seen,
        record: TaskRecord,
        version: u64,
        action: &str,
        typed: &Typed,
    ) -> Result<TaskRecord, StatusError> {
        let (system, now) = (record.system.clone(), self.store.now());
        let make = |current: &Value| {
            let wanted = super::form_of::applied(current, action, typed, &seen.visitor.name, now);
            self.intake.check_answer(&wanted, &system)?;
            Ok(wanted)
        };
        let changed = self.status.answer_known(record, Source::Request { version }, make).await?;
        tracing::info!(person = seen.visitor.person, task.id = %changed.id, action, "a referral was answered on its page");
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::task::TaskState;

    fn codes(state: TaskState) -> Vec<&'static str> {
        choices(state.status, &state.allowed(By::Provider), state.cancel_requested).iter().map(|c| c.code).collect()
    }

    #[test]
    fn only_what_the_state_allows_is_offered() {
        let at = |status| codes(TaskState { status, ..TaskState::new() });
        assert_eq!(at(TaskStatus::Requested), ["accepted", "received", "contact", "rejected"]);
        assert_eq!(at(TaskStatus::Received), ["accepted", "contact", "on-hold", "rejected"]);
        assert_eq!(
            at(TaskStatus::Accepted),
            ["in-progress", "schedule", "contact", "onward", "on-hold", "completed", "rejected", "failed"]
        );
        for ended in
            TaskStatus::ALL.iter().filter(|status| status.is_terminal() && **status != TaskStatus::EnteredInError)
        {
            assert_eq!(at(*ended), [""; 0], "{ended}");
        }
    }

    #[test]
    fn a_wish_to_cancel_comes_first() {
        let state = TaskState { status: TaskStatus::Accepted, cancel_requested: true, ..TaskState::new() };
        assert_eq!(codes(state)[..2], ["cancelled", "keep"]);
    }

    /// Every status that a page can set is one that the table has, from where it is offered.
    #[test]
    fn what_is_offered_is_what_status_takes() {
        for status in TaskStatus::ALL.iter().copied() {
            let state = TaskState { status, ..TaskState::new() };
            for code in codes(state) {
                if let Ok(to) = code.parse::<TaskStatus>() {
                    assert!(state.may(By::Provider, to), "{status} to {to}");
                }
            }
        }
    }
}

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
    form_of::{Asked, FORMS, FormOf, Typed, Within},
};
use crate::{
    auth::Deed,
    domain::{TaskId, TaskStatus, task::By},
    fhir::tree,
    lanes::task_body,
    status::{Source, StatusError},
    store::{StoreError, StoredResource, TaskRecord},
    web::{
        Shared, Web,
        form::{Seen, Signed},
        frame::{Frame, Section},
        page::{self, Fault},
    },
    writeback::detail::{WayBack, way_back},
};

/// Actions that ask for nothing more.
const AT_ONCE: [&str; 3] = ["accepted", "in-progress", "received"];

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
    add(under_way, "progress", "Record activities and scores", true);
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
    warning: String,
    asked: Vec<Shown>,
}

/// A field with what was typed.
struct Shown {
    of: &'static Asked,
    hint: String,
    value: String,
}

/// `GET /inbox/{task}/{action}`
pub(in crate::web) async fn form(
    State(web): State<Shared>,
    seen: Seen,
    Path((task, action)): Path<(String, String)>,
) -> Response {
    if AT_ONCE.contains(&action.as_str()) {
        // what asks for nothing has no page of its own: its button is on the referral's
        return match task.parse::<TaskId>() {
            Ok(task) => page::to(&super::path_of(&task)),
            Err(_) => absent(&seen),
        };
    }
    let Some(form) = FORMS.iter().find(|form| form.code == action) else { return absent(&seen) };
    match web.named(&seen, &task, Deed::Answer).await {
        Ok(record) if is_open_to(&record, form.code) => {
            let by = (record.version.to_string(), uuid::Uuid::now_v7().to_string());
            shown(&web, &seen, &record, form, by, Sent::default()).await
        }
        Ok(record) => not_now(&seen, &record, record.state.status),
        Err(page) => page,
    }
}

/// What was sent of a form, and what is wrong with it; nothing where it is shown for the first time.
#[derive(Default)]
struct Sent {
    typed: Option<Typed>,
    faults: Vec<Fault>,
}

async fn shown(
    web: &Web,
    seen: &Seen,
    record: &TaskRecord,
    form: &'static FormOf,
    (version, once): (String, String),
    Sent { typed, faults }: Sent,
) -> Response {
    let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let read = async {
        let body = task_body(&*web.store, record.id, record.version).await?;
        Ok::<_, StoreError>((body, web.visible(record).await?))
    };
    let (body, resources) = match read.await {
        Ok(read) => read,
        Err(error) => return away(&error),
    };
    let way = web.way_back(record, &resources);
    let bodies = resources.iter().map(|(_, body)| body);
    let typed = typed.unwrap_or_else(|| Typed::before(form, &body, bodies, web.store.now()));
    let asked = form
        .asked
        .iter()
        .map(|of| Shown { of, hint: of.hint_for(way), value: typed.text(of.name).to_owned() })
        .collect();
    let (frame, made_for, warning) = (Frame::of(seen, Section::Inbox), seen.made_for.clone(), form.warning(way));
    page::shown(status, &ActPage { frame, faults, made_for, task: record.id, version, once, form, warning, asked })
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
    if form.is_none() && !AT_ONCE.contains(&action.as_str()) {
        return absent(&seen);
    }
    let typed = Typed::of(form, &signed.form);
    let (version, once) = (signed.form.text("version").to_owned(), signed.form.text("once").to_owned());
    if let Some(form) = form {
        let faults = form.faults(&typed, Within { came: record.created, now: web.store.now() });
        if !faults.is_empty() {
            let sent = Sent { typed: Some(typed), faults };
            return shown(&web, &seen, &record, form, (version, once), sent).await;
        }
        if form.code == "contact" {
            return super::say::contact(&web, &seen, &record, &typed, &once).await;
        }
    }
    let Ok(version) = version.parse() else { return changed(&seen, task) };
    match web.answer(&seen, record, version, &action, &typed).await {
        Ok(now) => page::to(&done::with(&super::path_of(&task), told(&action, now.state.status))),
        Err(StatusError::Stale { .. }) => changed(&seen, task),
        Err(StatusError::Refused(_) | StatusError::Follows) => match web.store.task(task).await {
            Ok(Some(record)) => not_now(&seen, &record, record.state.status),
            Ok(None) => absent(&seen),
            Err(error) => away(&error),
        },
        Err(StatusError::Invalid(issues)) => {
            let faults = issues.into_iter().map(|issue| Fault::of_all(issue.diagnostics)).collect();
            match form {
                Some(form) => match web.store.task(task).await {
                    Ok(Some(record)) => {
                        let sent = Sent { typed: Some(typed), faults };
                        shown(&web, &seen, &record, form, (version.to_string(), once), sent).await
                    }
                    Ok(None) => absent(&seen),
                    Err(error) => away(&error),
                },
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
        "schedule" => "schedule",
        "received" => "received",
        "keep" => "keep",
        "progress" => "progress",
        _ => status.code(),
    }
}

fn changed(seen: &Seen, task: TaskId) -> Response {
    let told = "This referral has changed since you opened it, so nothing was done. Look at it again.";
    let to = format!("/inbox/{task}");
    page::told_in(Frame::of(seen, Section::Inbox), StatusCode::CONFLICT, told, (&to, "Back to the referral"))
}

/// It is too late for that, or too early.
pub(super) fn not_now(seen: &Seen, record: &TaskRecord, status: TaskStatus) -> Response {
    let status = super::words::status(status).words;
    let told = format!("That cannot be done any more: this referral is “{status}” now. Nothing was done.");
    let to = format!("/inbox/{}", record.id);
    page::told_in(Frame::of(seen, Section::Inbox), StatusCode::CONFLICT, &told, (&to, "Back to the referral"))
}

impl Web {
    /// How far what is said of a referral gets on its way to whoever referred.
    pub(super) fn way_back(&self, record: &TaskRecord, resources: &[(StoredResource, Value)]) -> WayBack {
        let registry = self.registry.load();
        let to = registry.systems.get(&record.system).and_then(|system| system.write_back.as_ref());
        // a Consent may be contained anywhere
        let said = resources.iter().map(|(_, body)| body);
        let said = said.filter(|body| tree::resource_type(body) == Some("Consent") || body.get("contained").is_some());
        way_back(to, &said.cloned().collect::<Vec<_>>())
    }

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
            ["in-progress", "schedule", "contact", "progress", "onward", "on-hold", "completed", "rejected", "failed"]
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

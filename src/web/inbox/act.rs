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
    form_of::{Asked, FILLED, FORMS, FormOf, Typed, Within, appointment},
    meanwhile::{changed, too_late, written},
    timeline::Moment,
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

/// All that may be done with a referral, by its word in URLs.
pub(in crate::web) fn actions() -> impl Iterator<Item = &'static str> {
    FORMS.iter().map(|form| form.code).chain(AT_ONCE)
}

/// What the page of an action is called; nothing where it has none.
pub(in crate::web) fn heading_of(action: &str) -> Option<&'static str> {
    FORMS.iter().find(|form| form.code == action).map(|form| form.heading)
}

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
    let starts = if status == TaskStatus::OnHold { "Start again" } else { "Start work" };
    add(may(TaskStatus::InProgress), "in-progress", starts, false);
    add(may(TaskStatus::Received), "received", "Mark as opened", false);
    add(under_way, "schedule", "Book first appointment", true);
    add(open, "contact", "Record a contact", true);
    add(under_way, "progress", "Record activities and scores", true);
    add(under_way, "onward", "Refer on to another service", true);
    add(may(TaskStatus::OnHold), "on-hold", "Put on hold", true);
    add(may(TaskStatus::Completed), "completed", "Complete", true);
    add(may(TaskStatus::Rejected), "rejected", "Decline or redirect", true);
    add(may(TaskStatus::Failed), "failed", "End early", true);
    // what one has ended oneself, and wrongly: the one status that leaves an end
    let own_end = matches!(status, TaskStatus::Completed | TaskStatus::Rejected | TaskStatus::Failed);
    add(own_end && may(TaskStatus::EnteredInError), "entered-in-error", "It was ended in error", true);
    choices
}

/// What may be done with a Task as it is.
pub(super) fn choices_for(record: &TaskRecord, body: &Value) -> Vec<Choice> {
    let allowed = record.state.allowed(By::Provider);
    let mut choices = choices(record.state.status, &allowed, record.state.cancel_requested);
    if appointment(body).is_some() {
        let booked = choices.iter_mut().filter(|choice| choice.code == "schedule");
        booked.for_each(|choice| choice.words = "Change the appointment");
    }
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
    heading: &'static str,
    warning: String,
    /// Which fields were filled when the page was made first.
    filled: String,
    asked: Vec<Shown>,
    /// What happened to the referral since the page was opened on which this was typed; none where it is shown for the first time.
    meanwhile: Option<Vec<Moment>>,
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
        return match web.named(&seen, &task, Deed::Answer).await {
            Ok(record) => page::to(&super::path_of(&record.id)),
            Err(page) => page,
        };
    }
    let Some(form) = FORMS.iter().find(|form| form.code == action) else { return absent(&seen) };
    match web.named(&seen, &task, Deed::Answer).await {
        Ok(record) if is_open_to(&record, form.code) => {
            let by = (record.version.to_string(), uuid::Uuid::now_v7().to_string());
            shown(&web, &seen, &record, form, by, Sent::default()).await
        }
        Ok(record) => too_late(&web, &seen, &record, record.version, vec![]).await,
        Err(page) => page,
    }
}

/// What was sent of a form, and what is wrong with it; nothing where it is shown for the first time.
#[derive(Default)]
struct Sent {
    typed: Option<Typed>,
    faults: Vec<Fault>,
    meanwhile: Option<Vec<Moment>>,
}

async fn shown(
    web: &Web,
    seen: &Seen,
    record: &TaskRecord,
    form: &'static FormOf,
    (version, once): (String, String),
    Sent { typed, faults, meanwhile }: Sent,
) -> Response {
    let status = match (&meanwhile, faults.is_empty()) {
        (_, false) => StatusCode::UNPROCESSABLE_ENTITY,
        (Some(_), true) => StatusCode::CONFLICT,
        (None, true) => StatusCode::OK,
    };
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
    let (frame, made_for, filled) =
        (Frame::of(seen, Section::Inbox), seen.made_for.clone(), typed.text(FILLED).to_owned());
    let warning = [form.known_of(&body).unwrap_or_default(), form.warning(way)].join(" ").trim().to_owned();
    let (task, heading) = (record.id, form.heading_for(&body));
    let page =
        ActPage { frame, faults, made_for, task, version, once, form, heading, warning, filled, asked, meanwhile };
    page::shown(status, &page)
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
    // what its page showed; one that says nothing is older than all
    let shown_at = version.parse().unwrap_or(0);
    if let Some(form) = form {
        if !is_open_to(&record, form.code) {
            return too_late(&web, &seen, &record, shown_at, written(form, &typed)).await;
        }
        let faults = form.faults(&typed, Within { came: record.created, now: web.store.now() });
        if !faults.is_empty() {
            let meanwhile = match web.said_meanwhile(&record, shown_at).await {
                Ok(moments) => moments,
                Err(error) => return away(&error),
            };
            // what is told of now is not told again
            let version = if meanwhile.is_some() { record.version.to_string() } else { version };
            let sent = Sent { typed: Some(typed), faults, meanwhile };
            return shown(&web, &seen, &record, form, (version, once), sent).await;
        }
        if form.code == "contact" {
            return super::say::contact(&web, &seen, &record, &typed, super::say::Sent::of(&signed.form)).await;
        }
    }
    let answered = web.answer(&seen, record, shown_at, &action, &typed).await;
    let error = match answered {
        Ok(now) => return page::to(&done::with(&super::path_of(&task), told(&action, now.state.status))),
        Err(error) => error,
    };
    let now = match &error {
        StatusError::NotFound => return absent(&seen),
        StatusError::Store(error) => return away(error),
        _ => web.store.task(task).await,
    };
    let record = match now {
        Ok(Some(record)) => record,
        Ok(None) => return absent(&seen),
        Err(error) => return away(&error),
    };
    let words = form.map(|form| written(form, &typed)).unwrap_or_default();
    match (error, form) {
        (StatusError::Refused(_) | StatusError::Follows, _) => too_late(&web, &seen, &record, shown_at, words).await,
        (StatusError::Invalid(issues), Some(form)) => {
            let faults = issues.into_iter().map(|issue| Fault::of_all(issue.diagnostics)).collect();
            let sent = Sent { typed: Some(typed), faults, meanwhile: None };
            shown(&web, &seen, &record, form, (version, once), sent).await
        }
        (_, Some(form)) if is_open_to(&record, form.code) => {
            let meanwhile = match web.meanwhile(&record, shown_at).await {
                Ok(moments) => Some(moments),
                Err(error) => return away(&error),
            };
            let by = (record.version.to_string(), once);
            shown(&web, &seen, &record, form, by, Sent { typed: Some(typed), faults: vec![], meanwhile }).await
        }
        (_, Some(_)) => too_late(&web, &seen, &record, shown_at, words).await,
        (_, None) => changed(&web, &seen, &record, shown_at, words).await,
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
        for ended in [TaskStatus::Completed, TaskStatus::Rejected, TaskStatus::Failed] {
            assert_eq!(at(ended), ["entered-in-error"], "{ended}");
        }
        for ended in [TaskStatus::Cancelled, TaskStatus::EnteredInError] {
            assert_eq!(at(ended), [""; 0], "{ended}");
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

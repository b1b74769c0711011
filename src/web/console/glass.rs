//! `/console/trace/{task}/referral`: what is in a referral, for who looks after Onward and has said why she must see it. Nothing may be
//! done with it here.

use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};

use super::{Keeper, absent, away, may_look, trace::may_trace, words::moment};
use crate::{
    auth::{Deed, What, Who, may},
    domain::{Position, TaskId},
    lanes::task_body,
    people::{GlassError, REASON_CHARS_MAX, REASON_CHARS_MIN},
    store::{Glass, Parties, StoreError, TaskRecord},
    web::{
        Shared, Web,
        form::{Seen, Signed},
        frame::{Frame, Section},
        inbox::{Story, line},
        page::{self, Fault},
    },
};

/// Where a reason is asked for.
#[derive(Template)]
#[template(path = "console/glass.html")]
struct GlassPage {
    frame: Frame,
    faults: Vec<Fault>,
    made_for: String,
    task: TaskId,
    back: String,
    hint: String,
    reason: String,
    reason_max: usize,
}

/// What is in the referral.
#[derive(Template)]
#[template(path = "console/opened.html")]
struct OpenedPage {
    frame: Frame,
    back: String,
    until: String,
    story: Story,
}

/// Whether somebody may break the glass of a referral.
pub(super) fn may_break(positions: &[Position], task: &TaskRecord) -> bool {
    may(Who::Person(positions), Deed::BreakGlass, What::referral(&parties(task)))
}

fn parties(task: &TaskRecord) -> Parties {
    Parties { system: task.system.clone(), providers: vec![task.provider.clone()] }
}

fn trace_of(task: &TaskRecord) -> String {
    format!("/console/trace/{}", task.id)
}

/// `GET /console/trace/{task}/referral`: what is in it where its glass is broken, and else what that takes.
pub(super) async fn page(State(web): State<Shared>, Path(task): Path<String>, Keeper(seen): Keeper) -> Response {
    let task = match breakable(&web, &seen, &task).await {
        Ok(task) => task,
        Err(answer) => return answer,
    };
    match opened(&web, &seen, &task).await {
        Ok(Some(page)) => {
            tracing::info!(person = seen.visitor.person, task.id = %task.id, "a referral was looked at through a broken glass");
            page::shown(StatusCode::OK, &page)
        }
        Ok(None) => asked(&web, &seen, &task, String::new(), vec![]),
        Err(error) => away(&error),
    }
}

/// `POST /console/trace/{task}/referral`: breaks its glass.
pub(super) async fn open(State(web): State<Shared>, Path(task): Path<String>, signed: Signed) -> Response {
    let seen = signed.seen();
    if !may_look(&seen.visitor.positions) {
        return absent(&seen);
    }
    let task = match breakable(&web, &seen, &task).await {
        Ok(task) => task,
        Err(answer) => return answer,
    };
    let reason = signed.form.text("reason").replace("\r\n", "\n");
    match web.people.break_glass(&seen.visitor, (task.referral, &parties(&task)), &reason).await {
        Ok(_) => page::to(&format!("/console/trace/{}/referral", task.id)),
        Err(GlassError::NotForYou) => absent(&seen),
        Err(error @ GlassError::Reason) => {
            let told = error.to_string();
            let fault = Fault::at(
                "reason",
                told.get(..1).unwrap_or_default().to_uppercase() + told.get(1..).unwrap_or_default(),
            );
            asked(&web, &seen, &task, reason, vec![fault])
        }
        Err(GlassError::Store(error)) => away(&error),
    }
}

/// The Task whose referral's glass this person may break; else what is answered.
async fn breakable(web: &Web, seen: &Seen, id: &str) -> Result<TaskRecord, Response> {
    let Ok(id) = id.parse::<TaskId>() else { return Err(absent(seen)) };
    let task = web.store.task(id).await.map_err(|error| away(&error))?;
    let positions = &seen.visitor.positions;
    task.filter(|task| may_trace(positions, task) && may_break(positions, task)).ok_or_else(|| absent(seen))
}

fn asked(web: &Web, seen: &Seen, task: &TaskRecord, reason: String, faults: Vec<Fault>) -> Response {
    let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let minutes = web.people.config().glass.as_secs().div_ceil(60);
    let page = GlassPage {
        frame: Frame::of(seen, Section::Console),
        faults,
        made_for: seen.made_for.clone(),
        task: task.id,
        back: trace_of(task),
        hint: format!("You see this one referral for {minutes} minutes. Write at least {REASON_CHARS_MIN} letters"),
        reason,
        reason_max: REASON_CHARS_MAX,
    };
    page::shown(status, &page)
}

/// What is in it; none while its glass is whole.
async fn opened(web: &Web, seen: &Seen, task: &TaskRecord) -> Result<Option<OpenedPage>, StoreError> {
    if !web.people.sees(&seen.visitor, task.referral, &parties(task)).await? {
        return Ok(None);
    }
    let glass: Option<Glass> = web.store.open_glass(&seen.visitor.person, task.referral).await?;
    let body = task_body(&*web.store, task.id, task.version).await?;
    let resources = web.visible(task).await?;
    let story = Story::of(task.id, line::own_request(task, &body), &body, &resources, web.store.now());
    let until = glass.map(|glass| moment(glass.until)).unwrap_or_default();
    Ok(Some(OpenedPage { frame: Frame::of(seen, Section::Console), back: trace_of(task), until, story }))
}

//! `/console/routes/edit`: a route set is written, checked while it is written, compared, tried, and brought to where it is made active.
//! What is written stays in the page until then.

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};

use super::{
    Base, DRAFT_MAX_BYTES, Writer, absent, activate, away, busy,
    draft::{Checked, Compared, checked, compared},
    may_activate, may_write, rehearse,
};
use crate::{
    config::routes::Read,
    store::StoreError,
    web::{
        Shared, Web,
        form::{Form, Long, Seen},
        frame::{Frame, Section},
        page::{self, Fault},
    },
};

/// Days of referrals that a draft is tried on, if nobody says.
pub(super) const DAYS: u16 = 30;
/// No more.
pub(super) const DAYS_MAX: u16 = 366;

/// A route set that somebody writes.
#[derive(Template)]
#[template(path = "routes/edit.html")]
pub(super) struct EditPage {
    frame: Frame,
    made_for: String,
    faults: Vec<Fault>,
    draft: String,
    /// The activation that it was begun on.
    over: u64,
    days: String,
    /// The check, made of its own template.
    checked: String,
    compared: Option<Compared>,
    may_activate: bool,
    max_bytes: usize,
}

/// What a check found.
#[derive(Template)]
#[template(path = "routes/checked.html")]
struct CheckedPart {
    said: Checked,
}

/// What is sent with each step.
pub(super) struct Draft {
    pub(super) text: String,
    /// The activation that it was begun on.
    pub(super) over: u64,
    pub(super) days: String,
}

// === impl Draft ===

impl Draft {
    /// As a form has it; browsers end lines by CR LF.
    pub(super) fn of(form: &Form) -> Self {
        Self {
            text: form.text("draft").replace("\r\n", "\n"),
            over: form.text("over").parse().unwrap_or_default(),
            days: form.text("days").to_owned(),
        }
    }

    pub(super) fn is_too_long(&self) -> bool {
        self.text.len() > DRAFT_MAX_BYTES
    }
}

/// `GET /console/routes/edit`.
pub(super) async fn page(State(web): State<Shared>, Writer(seen): Writer) -> Response {
    match web.base().await {
        Ok(base) if base.text.len() > DRAFT_MAX_BYTES => {
            let text = "This route set is too long to be written here. Change its file, and apply it by the command “onward routes apply”.";
            super::told(&seen, StatusCode::OK, text, ("/console/routes", "Routes"))
        }
        Ok(Base { over, text, .. }) => {
            let draft = Draft { text, over, days: DAYS.to_string() };
            page::shown(StatusCode::OK, &EditPage::of(&seen, draft, web.routes.is_kept()))
        }
        Err(error) => away(&error),
    }
}

/// `POST /console/routes/check`: what is wrong with what is written, for a page that asks by itself.
pub(super) async fn check(State(web): State<Shared>, Long(signed): Long) -> Response {
    let seen = signed.seen();
    if !may_write(&seen.visitor.positions) {
        return absent(&seen);
    }
    let draft = Draft::of(&signed.form);
    if draft.is_too_long() {
        return page::part(too_long(), &HeaderMap::new());
    }
    let read = match web.read_written(&draft.text).await {
        Ok(Some(read)) => read,
        Ok(None) => return busy(&seen),
        Err(error) => return away(&error),
    };
    page::part(web.said(&draft.text, &read), &HeaderMap::new())
}

/// `POST /console/routes/edit`: what its button says.
pub(super) async fn act(State(web): State<Shared>, Long(signed): Long) -> Response {
    let seen = signed.seen();
    if !may_write(&seen.visitor.positions) {
        return absent(&seen);
    }
    let (draft, what) = (Draft::of(&signed.form), signed.form.text("do"));
    if draft.is_too_long() {
        let mut page = EditPage::of(&seen, draft, web.routes.is_kept());
        page.faults.push(Fault::at("draft", format!("Write no more than {DRAFT_MAX_BYTES} bytes here")));
        return page::shown(StatusCode::UNPROCESSABLE_ENTITY, &page);
    }
    let read = match web.read_written(&draft.text).await {
        Ok(Some(read)) => read,
        Ok(None) => return busy(&seen),
        Err(error) => return away(&error),
    };
    let checked = web.said(&draft.text, &read);
    let Ok((set, _)) = read else {
        let mut page = EditPage::of(&seen, draft, web.routes.is_kept());
        page.faults.push(Fault::at("draft", "Put right what is wrong with it, as told below"));
        page.checked = checked;
        return page::shown(StatusCode::UNPROCESSABLE_ENTITY, &page);
    };
    match what {
        "rehearse" => rehearse::begin(&web, &seen, draft, set).await,
        "activate" if may_activate(&seen.visitor.positions) => activate::ask(&web, &seen, draft, set).await,
        "activate" => absent(&seen),
        "compare" => match web.compared(&draft.text, &set).await {
            Ok(compared) => {
                let page =
                    EditPage { checked, compared: Some(compared), ..EditPage::of(&seen, draft, web.routes.is_kept()) };
                page::shown(StatusCode::OK, &page)
            }
            Err(error) => away(&error),
        },
        _ => {
            let page = EditPage { checked, ..EditPage::of(&seen, draft, web.routes.is_kept()) };
            page::shown(StatusCode::OK, &page)
        }
    }
}

/// What is told of a draft that is too long to be read.
fn too_long() -> String {
    format!("<p>This is too long to be checked here: write no more than {DRAFT_MAX_BYTES} bytes.</p>")
}

// === impl EditPage ===

impl EditPage {
    /// A page with nothing said yet.
    pub(super) fn of(seen: &Seen, draft: Draft, is_kept: bool) -> Self {
        let Draft { text, over, days } = draft;
        Self {
            frame: Frame::of(seen, Section::Routes),
            made_for: seen.made_for.clone(),
            faults: vec![],
            draft: text,
            over,
            days: if days.is_empty() { DAYS.to_string() } else { days },
            checked: String::new(),
            compared: None,
            may_activate: is_kept && may_activate(&seen.visitor.positions),
            max_bytes: DRAFT_MAX_BYTES,
        }
    }

    /// The same with something to put right at the head.
    pub(super) fn with(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }
}

impl Web {
    /// Reads what is written, with the files of what is in force.
    pub(super) async fn read_written(&self, text: &str) -> Result<Option<Read>, StoreError> {
        let base = self.base().await?;
        self.read_draft(text.to_owned(), base.files).await
    }

    /// What it says otherwise than what is in force.
    pub(super) async fn compared(&self, text: &str, set: &crate::routing::RouteSet) -> Result<Compared, StoreError> {
        let base = self.base().await?;
        let newer = self.newer(&base).await?;
        let registry = self.registry.load();
        Ok(compared((newer.as_ref().unwrap_or(&registry.routes), &base.text), (set, text)))
    }

    fn said(&self, text: &str, read: &Read) -> String {
        use askama::Template as _;
        let said = checked(text, read, &self.registry.load());
        let made = CheckedPart { said }.render();
        made.inspect_err(|error| tracing::error!(%error, "a page cannot be made")).unwrap_or_default()
    }
}

//! A route set is made the active one, with a reason that stays; an older one again, likewise. Of two people who do it at once the second
//! is told.

use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};

use super::{
    absent, away, busy,
    draft::Compared,
    edit::{Draft, EditPage},
    may_activate, told,
};
use crate::{
    lanes::dead::reason,
    route_sets::read_stored,
    routing::RouteSet,
    store::{ActivateError, Activation, NewRoutes, Signed as SignedBy},
    web::{
        Shared, Web,
        form::{Long, Seen, Signed},
        frame::{Frame, Section},
        inbox::done::{PARAMETER, with},
        page::{self, Fault},
    },
};

/// With which a code begins that says which version has become the active one.
const ACTIVE: &str = "active-";

/// What is asked before it is done.
#[derive(Template)]
#[template(path = "routes/activate.html")]
struct ActivatePage {
    frame: Frame,
    made_for: String,
    faults: Vec<Fault>,
    title: String,
    text: &'static str,
    /// Where the form goes, and the way back.
    action: String,
    back: &'static str,
    /// What is made active; empty where it is stored already.
    draft: String,
    over: u64,
    compared: Option<Compared>,
    comment: String,
}

impl ActivatePage {
    fn of_draft(seen: &Seen, draft: Draft, compared: Compared) -> Self {
        Self {
            frame: Frame::of(seen, Section::Routes),
            made_for: seen.made_for.clone(),
            faults: vec![],
            title: "Make this route set the active one?".to_owned(),
            text: "Every referral that comes from then on is decided by it, on every process within two seconds.",
            action: "/console/routes/activate".to_owned(),
            back: "/console/routes/edit",
            draft: draft.text,
            over: draft.over,
            compared: Some(compared),
            comment: String::new(),
        }
    }

    fn of_version(seen: &Seen, number: u64, over: u64) -> Self {
        Self {
            frame: Frame::of(seen, Section::Routes),
            made_for: seen.made_for.clone(),
            faults: vec![],
            title: format!("Make version {number} the active one again?"),
            text: "Every referral that comes from then on is decided by it, on every process within two seconds.",
            action: format!("/console/routes/versions/{number}/activate"),
            back: "/console/routes",
            draft: String::new(),
            over,
            compared: None,
            comment: String::new(),
        }
    }

    fn with(mut self, comment: &str, allowed: &str) -> Self {
        self.comment = comment.to_owned();
        self.faults.push(Fault::at("comment", format!("Say why, in {allowed}")));
        self
    }
}

/// Asks why, for a draft with which nothing is wrong.
pub(super) async fn ask(web: &Web, seen: &Seen, draft: Draft, set: RouteSet) -> Response {
    if !web.routes.is_kept() {
        return absent(seen);
    }
    if let Some(other) = match web.moved(seen, &draft).await {
        Ok(moved) => moved,
        Err(error) => return away(&error),
    } {
        return other;
    }
    match web.compared(&draft.text, &set).await {
        Ok(compared) => page::shown(StatusCode::OK, &ActivatePage::of_draft(seen, draft, compared)),
        Err(error) => away(&error),
    }
}

/// `POST /console/routes/activate`.
pub(super) async fn activate(State(web): State<Shared>, Long(signed): Long) -> Response {
    let seen = signed.seen();
    if !may_activate(&seen.visitor.positions) || !web.routes.is_kept() {
        return absent(&seen);
    }
    let draft = Draft::of(&signed.form);
    if draft.is_too_long() {
        return absent(&seen);
    }
    let read = match web.read_written(&draft.text).await {
        Ok(Some(read)) => read,
        Ok(None) => return busy(&seen),
        Err(error) => return away(&error),
    };
    // systems and inboxes may have changed since it was asked
    let Ok((set, _)) = read else {
        let fault = Fault::at("draft", "Something is wrong with it by now. Check it, and put it right");
        let page = EditPage::of(&seen, draft, true).with(fault);
        return page::shown(StatusCode::UNPROCESSABLE_ENTITY, &page);
    };
    match web.moved(&seen, &draft).await {
        Ok(Some(told)) => return told,
        Ok(None) => {}
        Err(error) => return away(&error),
    }
    let comment = match reason(signed.form.text("comment")) {
        Ok(comment) => comment,
        Err(allowed) => {
            let compared = match web.compared(&draft.text, &set).await {
                Ok(compared) => compared,
                Err(error) => return away(&error),
            };
            let page = ActivatePage::of_draft(&seen, draft, compared).with(signed.form.text("comment"), &allowed);
            return page::shown(StatusCode::UNPROCESSABLE_ENTITY, &page);
        }
    };
    let files = set.files().iter().map(|(name, text)| (name.clone(), text.to_string())).collect();
    let signed = SignedBy { author: seen.visitor.person.clone(), comment };
    let new = NewRoutes { hash: set.version().to_owned(), text: draft.text.clone(), files, signed };
    match web.store.add_routes(draft.over, new).await {
        Ok(active) => done(&seen, &active),
        Err(ActivateError::Moved) => match web.moved(&seen, &draft).await {
            Ok(Some(told)) => told,
            Ok(None) => page::unavailable(),
            Err(error) => away(&error),
        },
        Err(error) => not_done(&seen, &error),
    }
}

/// `GET /console/routes/versions/{number}/activate`: asks why.
pub(super) async fn ask_back(
    State(web): State<Shared>,
    Path(number): Path<String>,
    super::Reader(seen): super::Reader,
) -> Response {
    let (Ok(number), true) = (number.parse::<u64>(), may_activate(&seen.visitor.positions)) else {
        return absent(&seen);
    };
    match older(&web, number).await {
        Ok(Some(over)) => page::shown(StatusCode::OK, &ActivatePage::of_version(&seen, number, over)),
        Ok(None) => absent(&seen),
        Err(error) => away(&error),
    }
}

/// `POST` to the same.
pub(super) async fn back(State(web): State<Shared>, Path(number): Path<String>, signed: Signed) -> Response {
    let seen = signed.seen();
    let (Ok(number), true) = (number.parse::<u64>(), may_activate(&seen.visitor.positions)) else {
        return absent(&seen);
    };
    match older(&web, number).await {
        Ok(Some(_)) => {}
        Ok(None) => return absent(&seen),
        Err(error) => return away(&error),
    }
    let over = signed.form.text("over").parse::<u64>().unwrap_or_default();
    let comment = match reason(signed.form.text("comment")) {
        Ok(comment) => comment,
        Err(allowed) => {
            let page = ActivatePage::of_version(&seen, number, over).with(signed.form.text("comment"), &allowed);
            return page::shown(StatusCode::UNPROCESSABLE_ENTITY, &page);
        }
    };
    let version = match web.store.routes_version(number).await {
        Ok(Some(version)) => version,
        Ok(None) => return absent(&seen),
        Err(error) => return away(&error),
    };
    let Some(place) = web.routes.place().await else { return busy(&seen) };
    let registry = web.registry.load_full();
    let read = tokio::task::spawn_blocking(move || {
        let _place = place;
        read_stored(&version, &registry).map(drop)
    });
    match read.await {
        Ok(Ok(())) => {}
        Ok(Err(faults)) => {
            let first = faults.first().map(ToString::to_string).unwrap_or_default();
            let text = format!("Nothing was changed: beside the systems and inboxes of today it has a fault. {first}.");
            return told(&seen, StatusCode::UNPROCESSABLE_ENTITY, &text, ("/console/routes", "Routes"));
        }
        Err(_) => return page::unavailable(),
    }
    let signed = SignedBy { author: seen.visitor.person.clone(), comment };
    match web.store.activate_routes(over, number, signed).await {
        Ok(active) => done(&seen, &active),
        Err(error) => not_done(&seen, &error),
    }
}

/// The activation over which this version could be made active again; none where it is the active one or there is none such.
async fn older(web: &Web, number: u64) -> Result<Option<u64>, crate::store::StoreError> {
    let active = web.active_routes().await?;
    let known = web.routes.is_kept() && web.store.routes_version(number).await?.is_some();
    Ok(active.filter(|active| known && active.number != number).map(|active| active.seq))
}

fn done(seen: &Seen, active: &Activation) -> Response {
    tracing::info!(
        person = seen.visitor.person,
        number = active.number,
        route_set = active.hash,
        "a route set was made the active one"
    );
    page::to(&with("/console/routes", &format!("{ACTIVE}{}", active.number)))
}

/// What the query of such a URL tells; nothing where it has no code of ours.
pub(super) fn now_active(query: &[(String, String)]) -> Option<String> {
    let code = query.iter().find(|(name, _)| name == PARAMETER)?.1.strip_prefix(ACTIVE)?;
    let number = code.parse::<u64>().ok()?;
    Some(format!("Version {number} is active. Every process takes it up within two seconds."))
}

fn not_done(seen: &Seen, error: &ActivateError) -> Response {
    let text = match error {
        ActivateError::Moved => {
            "Nothing was changed: somebody else made another version the active one in between. Look at it, and decide again.".to_owned()
        }
        ActivateError::Store(error) => {
            tracing::warn!(%error, "a route set could not be made the active one");
            "It is not known whether it was done. See the routes before you do it again.".to_owned()
        }
        other => format!("Nothing was changed: {other}."),
    };
    told(seen, StatusCode::CONFLICT, &text, ("/console/routes", "See the routes"))
}

impl Web {
    /// Where another version was made active since a draft was begun: the draft again, from there on. Where the draft is what is active:
    /// that it is.
    async fn moved(&self, seen: &Seen, draft: &Draft) -> Result<Option<Response>, crate::store::StoreError> {
        let base = self.base().await?;
        if base.text == draft.text {
            let text = "Nothing was changed: this is what is active already.";
            return Ok(Some(told(seen, StatusCode::CONFLICT, text, ("/console/routes", "Routes"))));
        }
        if base.over == draft.over {
            return Ok(None);
        }
        let fault = Fault::at(
            "draft",
            "Somebody else made another version the active one since you began. Compare yours with it, and go on if yours is still right",
        );
        let again = Draft { text: draft.text.clone(), over: base.over, days: draft.days.clone() };
        Ok(Some(page::shown(StatusCode::CONFLICT, &EditPage::of(seen, again, true).with(fault))))
    }
}

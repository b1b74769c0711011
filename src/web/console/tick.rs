//! `/console/to-do/{id}/done`: a line of what waits for a person is ticked off by somebody who has seen to it. What keepers of Onward, and
//! those who look after a provider's people, have done themselves is seen to by those who look at what others do.

use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};

use super::{Console, Keeper, absent, away, done, may_look, todo::LineRow};
use crate::{
    alerts::worklist::{self, Line, TickError},
    auth::{Deed, What, Who, may},
    domain::{AlertKind, Position},
    lanes::dead::{REASON_CHARS_MAX, reason},
    store::StoreError,
    web::{
        Shared, Web,
        form::{Seen, Signed},
        frame::{Frame, Section},
        page::{self, Fault},
    },
};

/// Where a line was before it was ticked off.
const BACK: &str = "/console/to-do";

/// The page.
#[derive(Template)]
#[template(path = "console/tick.html")]
struct TickPage {
    frame: Frame,
    faults: Vec<Fault>,
    made_for: String,
    id: String,
    row: LineRow,
    /// What is about no referral stands in no journal, which is where a reason is kept.
    asks_why: bool,
    reason: String,
}

/// What somebody must be allowed to do who sees to a line of this kind.
fn deed_of(kind: &str) -> Deed {
    match kind.parse() {
        Ok(AlertKind::GlassBroken) => Deed::ReviewGlasses,
        Ok(AlertKind::WorkerLetIn) => Deed::ReviewAccounts,
        _ => Deed::Replay,
    }
}

/// Whether somebody may tick a line off: none that is about what she did herself.
pub(super) fn may_tick(person: &str, positions: &[Position], line: &Line) -> bool {
    // such a line begins with who did it (`people/glass.rs`, `people/manage.rs`)
    let is_her_own = deed_of(line.kind) != Deed::Replay && line.about.split(' ').next() == Some(person);
    line.tick && !is_her_own && may(Who::Person(positions), deed_of(line.kind), What::Whole)
}

/// Who ticks a line off, for whoever may not; nothing where it goes by itself.
pub(super) fn who_ticks(line: &Line) -> &'static str {
    match deed_of(line.kind) {
        _ if !line.tick => "",
        Deed::Replay => "An operator ticks it off here once it is seen to.",
        _ => "An auditor looks at it, and ticks it off here: it may be about those who keep Onward running.",
    }
}

/// `GET /console/to-do/{id}/done`
pub(super) async fn ask(State(web): State<Shared>, Path(id): Path<String>, Keeper(seen): Keeper) -> Response {
    match web.console.line(&seen, &id).await {
        Ok(Some(line)) => shown(&web, &seen, &line, String::new(), vec![]),
        Ok(None) => absent(&seen),
        Err(error) => away(&error),
    }
}

/// `POST /console/to-do/{id}/done`
pub(super) async fn tick(State(web): State<Shared>, Path(id): Path<String>, signed: Signed) -> Response {
    let seen = signed.seen();
    if !may_look(&seen.visitor.positions) {
        return absent(&seen);
    }
    let line = match web.console.line(&seen, &id).await {
        Ok(Some(line)) => line,
        Ok(None) => return absent(&seen),
        Err(error) => return away(&error),
    };
    let typed = signed.form.text("reason").trim().to_owned();
    let said = if line.task.is_some() { reason(&typed) } else { Ok(String::new()) };
    let Ok(said) = said else {
        let told = format!("Say in one line what was done, in 1 to {REASON_CHARS_MAX} characters");
        return shown(&web, &seen, &line, typed, vec![Fault::at("reason", told)]);
    };
    match worklist::tick(&*web.store, &id, &seen.visitor.person, &said).await {
        Ok(()) => {
            tracing::info!(person = seen.visitor.person, line.id = %id, line.kind = line.kind, "a line was ticked off");
            web.console.forget_picture().await;
            page::to(&done::at(BACK, done::TICKED))
        }
        // somebody else was first, or what it was about is over
        Err(TickError::Unknown(_) | TickError::Otherwise { .. }) => {
            web.console.forget_picture().await;
            page::to(&done::at(BACK, done::GONE))
        }
        Err(TickError::Store(error)) => away(&error),
    }
}

fn shown(web: &Web, seen: &Seen, line: &Line, reason: String, faults: Vec<Fault>) -> Response {
    let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let row = LineRow::of(line, &web.console.registry.load());
    let asks_why = line.task.is_some();
    let (frame, made_for, id) = (Frame::of(seen, Section::Console), seen.made_for.clone(), line.id.clone());
    page::shown(status, &TickPage { frame, faults, made_for, id, row, asks_why, reason })
}

impl Console {
    /// A line that this visitor may tick off.
    async fn line(&self, seen: &Seen, id: &str) -> Result<Option<Line>, StoreError> {
        let picture = self.picture().await?;
        let found = picture.lines.iter().find(|line| line.id == id);
        Ok(found.filter(|line| may_tick(&seen.visitor.person, &seen.visitor.positions, line)).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::console::tests::line;

    #[test]
    fn who_looks_at_what_others_do_ticks_that_off_and_nothing_else() {
        let (operator, auditor): (Position, Position) = ("operator".parse().unwrap(), "auditor".parse().unwrap());
        for kind in AlertKind::ALL.iter().map(|kind| kind.code()) {
            let line = Line { tick: true, ..line(kind) };
            let ticks = |position: &Position| may_tick("local:adam", std::slice::from_ref(position), &line);
            let is_audited = ["glass-broken", "worker-let-in"].contains(&kind);
            assert_eq!((ticks(&operator), ticks(&auditor)), (!is_audited, is_audited), "{kind}");
            assert_eq!(who_ticks(&line).contains("auditor"), is_audited, "{kind}");
            let hers = Line { about: "local:adam 7".into(), ..line.clone() };
            assert!(
                !is_audited || !may_tick("local:adam", std::slice::from_ref(&auditor), &hers),
                "what she did herself: {kind}"
            );
            let by_itself = Line { tick: false, ..line };
            assert!(!may_tick("local:adam", &[operator.clone(), auditor.clone()], &by_itself), "{kind}");
            assert_eq!(who_ticks(&by_itself), "");
        }
    }
}

//! `/account`: who one is, and one's sessions.

use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use uuid::Uuid;

use super::{
    Shared, called,
    form::{Seen, Signed},
    frame::{Frame, Section},
    page, role,
};
use crate::{domain::written, people::Visitor};

/// The page.
#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Frame,
    name: String,
    person: String,
    roles: Vec<String>,
    sessions: Vec<Line>,
    made_for: String,
}

/// A session.
struct Line {
    id: Uuid,
    created: String,
    last_used: String,
    is_this: bool,
}

/// `GET /account`.
pub(super) async fn page(State(web): State<Shared>, seen: Seen) -> Response {
    let frame = Frame::of(&seen, Section::Account);
    let Seen { visitor, made_for } = seen;
    let sessions = match web.people.sessions(&visitor).await {
        Ok(sessions) => sessions,
        Err(error) => {
            tracing::warn!(%error, "sessions cannot be read");
            return page::unavailable();
        }
    };
    let line = |session: crate::store::Session| Line {
        id: session.id,
        created: written::moment(session.created),
        last_used: written::moment(session.last_used),
        is_this: session.id == visitor.session,
    };
    let sessions = sessions.into_iter().map(line).collect();
    let registry = web.registry.load();
    let roles = visitor.positions.iter().map(|position| role::to_herself(position, &registry)).collect();
    let Visitor { name, person, .. } = visitor;
    let person = called::bare(&person).to_owned();
    page::shown(StatusCode::OK, &AccountPage { frame, name, person, roles, sessions, made_for })
}

/// `POST /account/sessions/{id}/end`.
pub(super) async fn end(State(web): State<Shared>, Path(id): Path<String>, signed: Signed) -> Response {
    let absent = || page::told(StatusCode::NOT_FOUND, "There is no such session, or it has ended already.");
    let Ok(id) = id.parse::<Uuid>() else { return absent() };
    match web.people.end_sessions(&signed.visitor, Some(id)).await {
        Ok(0) => absent(),
        Ok(_) => page::to("/account"),
        Err(_) => page::unavailable(),
    }
}

/// `POST /account/sessions/end`: all of them, this one as well.
pub(super) async fn end_all(State(web): State<Shared>, signed: Signed) -> Response {
    match web.people.end_sessions(&signed.visitor, None).await {
        Ok(_) => page::with_cookie(page::to("/login"), web.cookies().set_session("")),
        Err(_) => page::unavailable(),
    }
}

//! `GET /console/routes/versions/{number}`: a version as it was written, and what it says otherwise than what is in force.

use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};

use super::{
    Reader, absent, away,
    draft::{Compared, compared},
    may_activate,
};
use crate::{
    route_sets::read_stored_again,
    web::{
        Shared,
        called::Called,
        console::words::{counted, moment},
        frame::{Frame, Section},
        page,
    },
};

/// A longer text is cut; the command prints all of it.
const TEXT_SHOWN_CHARS: usize = 100_000;

/// A version.
#[derive(Template)]
#[template(path = "routes/version.html")]
struct VersionPage {
    frame: Frame,
    number: u64,
    facts: Vec<(&'static str, String)>,
    is_active: bool,
    /// What it says otherwise than what is in force; otherwise why that cannot be told.
    compared: Result<Compared, String>,
    text: String,
    is_cut: bool,
    files: Vec<String>,
    may_activate: bool,
}

/// `GET /console/routes/versions/{number}`.
pub(super) async fn page(State(web): State<Shared>, Path(number): Path<String>, Reader(seen): Reader) -> Response {
    let (Ok(number), true) = (number.parse::<u64>(), web.routes.is_kept()) else { return absent(&seen) };
    let read = async {
        let version = web.store.routes_version(number).await?;
        let base = web.base().await?;
        let newer = web.newer(&base).await?;
        Ok((version, web.active_routes().await?, (base, newer)))
    };
    let (version, active, (base, newer)) = match read.await {
        Ok((Some(version), active, base)) => (version, active, base),
        Ok((None, ..)) => return absent(&seen),
        Err(error) => return away(&error),
    };
    let Some(place) = web.routes.place().await else { return super::busy(&seen) };
    let (registry, stored) = (web.registry.load_full(), version.clone());
    let told = tokio::task::spawn_blocking(move || {
        let _place = place;
        match read_stored_again(&stored, &registry) {
            Ok((set, _)) => {
                let in_force = newer.as_ref().unwrap_or(&registry.routes);
                Ok(compared((in_force, &base.text), (&set, &stored.text)))
            }
            Err(faults) => {
                let first = faults.first().map(ToString::to_string).unwrap_or_default();
                Err(format!("Beside the systems and inboxes of today it cannot be read: {first}"))
            }
        }
    });
    let Ok(compared) = told.await else { return page::unavailable() };
    let called = match Called::read(&web, []).await {
        Ok(called) => called,
        Err(error) => return away(&error),
    };
    let facts = vec![
        ("Version", version.hash.clone()),
        ("Stored", moment(version.at)),
        ("By", called.of(&version.signed.author)),
        ("Why", version.signed.comment.clone()),
    ];
    let is_active = active.is_some_and(|active| active.number == number);
    let text: String = version.text.chars().take(TEXT_SHOWN_CHARS).collect();
    let page = VersionPage {
        frame: Frame::of(&seen, Section::Routes),
        number,
        facts,
        is_active,
        compared,
        is_cut: text.len() < version.text.len(),
        text,
        files: version
            .files
            .iter()
            .map(|(name, text)| format!("{name}, {}", counted(text.len() as u64, "byte")))
            .collect(),
        may_activate: !is_active && may_activate(&seen.visitor.positions),
    };
    page::shown(StatusCode::OK, &page)
}

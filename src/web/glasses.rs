//! `/glasses`: which glasses were broken, by whom, when and why, for an auditor who asks about it; `…/glasses.csv` the same for a
//! spreadsheet. A reason may tell of the person who was referred, so it is shown to nobody else.

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
    response::Response,
};
use uuid::Uuid;

use super::{
    Shared,
    console::words::moment,
    form::Seen,
    frame::{Frame, Section},
    harmless,
    inbox::absent,
    page, role,
};
use crate::{
    auth::{Deed, What, Who, may},
    domain::{Position, clock::instant},
    http::call::pairs,
    store::{Glass, Store, StoreError},
};

/// So many on a page.
const ON_PAGE: usize = 50;
/// So many in a file at the most: the last ones, and where those before are.
const IN_FILE_MAX: usize = 10_000;
/// So many are read at once for that.
const CHUNK: usize = 500;

/// The page.
#[derive(Template)]
#[template(path = "glasses.html")]
struct GlassesPage {
    frame: Frame,
    glasses: Vec<Line>,
    /// The URL of those before.
    older: Option<String>,
    is_first: bool,
}

/// A glass.
struct Line {
    at: String,
    until: String,
    name: String,
    person: String,
    roles: String,
    /// Its referral's Tasks: their ids, which lead to what became of them.
    tasks: Vec<String>,
    reason: String,
}

/// Whether broken glasses are somebody's to ask about.
pub(super) fn may_review(positions: &[Position]) -> bool {
    may(Who::Person(positions), Deed::ReviewGlasses, What::Whole)
}

fn away(error: &StoreError) -> Response {
    tracing::warn!(%error, "broken glasses cannot be read");
    page::unavailable()
}

/// The ids of the Tasks of a glass's referral.
async fn tasks_of(store: &dyn Store, glass: &Glass) -> Result<Vec<String>, StoreError> {
    let tasks = store.find_tasks(&glass.referral.to_string()).await?;
    Ok(tasks.into_iter().filter(|task| task.referral == glass.referral).map(|task| task.id.to_string()).collect())
}

/// The last glasses before one, as a table of so many at the most. Where there are more, its last line says where.
async fn table(store: &dyn Store, mut before: Option<Uuid>, most: usize) -> Result<Option<Vec<u8>>, StoreError> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let head = ["at", "until", "person", "name", "roles", "referral", "tasks", "reason"];
    let (mut written, mut count) = (table.write_record(head), 0);
    while written.is_ok() {
        let page = store.latest_glasses(before, CHUNK.min(most.saturating_sub(count)).max(1)).await?;
        if count == most && !page.is_empty() {
            written = before.map_or(Ok(()), |before| table.write_record(goes_on(before)));
            break;
        }
        for glass in &page {
            let cells = [
                instant(glass.at),
                instant(glass.until),
                harmless(&glass.person),
                harmless(&glass.name),
                role::codes(&glass.positions),
                glass.referral.to_string(),
                tasks_of(store, glass).await?.join(" "),
                harmless(&glass.reason),
            ];
            written = written.and_then(|()| table.write_record(cells));
        }
        let Some(last) = page.last() else { break };
        (before, count) = (Some(last.id), count + page.len());
    }
    Ok(written.ok().and_then(|()| table.into_inner().ok()))
}

/// `GET /glasses?before=…`
pub(super) async fn page(State(web): State<Shared>, RawQuery(query): RawQuery, seen: Seen) -> Response {
    if !may_review(&seen.visitor.positions) {
        return absent(&seen);
    }
    let before = asked(query);
    let mut found = match web.store.latest_glasses(before, ON_PAGE + 1).await {
        Ok(found) => found,
        Err(error) => return away(&error),
    };
    let more = found.len() > ON_PAGE;
    found.truncate(ON_PAGE);
    let older = found.last().filter(|_| more).map(|last| format!("/glasses?before={}", last.id));
    let mut glasses = Vec::with_capacity(found.len());
    for glass in found {
        let tasks = match tasks_of(&*web.store, &glass).await {
            Ok(tasks) => tasks,
            Err(error) => return away(&error),
        };
        let roles = role::of_her(&glass.positions, &web.registry.load());
        let (at, until) = (moment(glass.at), moment(glass.until));
        glasses.push(Line { at, until, roles, tasks, name: glass.name, person: glass.person, reason: glass.reason });
    }
    tracing::info!(person = seen.visitor.person, "broken glasses were looked through");
    let frame = Frame::of(&seen, Section::Glasses);
    page::shown(StatusCode::OK, &GlassesPage { frame, glasses, older, is_first: before.is_none() })
}

/// The glass that those are looked for before.
fn asked(query: Option<String>) -> Option<Uuid> {
    pairs(&query.unwrap_or_default()).iter().find(|(name, _)| name == "before").and_then(|(_, id)| id.parse().ok())
}

/// The last line of a table that does not hold all: where those before this one are.
fn goes_on(before: Uuid) -> [String; 8] {
    let told = format!("those before are not in this file: take them from /glasses.csv?before={before}");
    let mut cells = [const { String::new() }; 8];
    if let Some(reason) = cells.last_mut() {
        *reason = told;
    }
    cells
}

/// `GET /glasses.csv?before=…`
pub(super) async fn csv(State(web): State<Shared>, RawQuery(query): RawQuery, seen: Seen) -> Response {
    if !may_review(&seen.visitor.positions) {
        return absent(&seen);
    }
    let table = match table(&*web.store, asked(query), IN_FILE_MAX).await {
        Ok(table) => table,
        Err(error) => return away(&error),
    };
    tracing::info!(person = seen.visitor.person, "broken glasses were taken as CSV");
    page::csv("broken-glasses.csv", table)
}

#[cfg(test)]
mod tests;

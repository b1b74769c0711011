//! The worklist as a table, for a spreadsheet.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    response::Response,
};

use super::{absent, away, found, line::Line, lines_of, list, list::Wanted, sought_in, words};
use crate::{
    config::Registry,
    domain::{Timestamp, task::TaskState},
    http::call::pairs,
    web::{
        Shared, Web,
        form::{Seen, Signed},
        harmless, page,
    },
};

/// So many lines are in one table.
const LINES_MAX: usize = 20_000;
const HEAD: [&str; 17] = [
    "Reference",
    "NHS number",
    "Name",
    "Date of birth",
    "Referred for",
    "Priority",
    "Status",
    "Risk",
    "Asked to cancel",
    "Waiting for the referrer",
    "New",
    "Overdue",
    "Received",
    "Open by",
    "Answer by",
    "Worker",
    "Service",
];

/// `GET /inbox/list.csv`: what the list of the same query shows, all pages of it.
pub(in crate::web) async fn csv(State(web): State<Shared>, seen: Seen, RawQuery(query): RawQuery) -> Response {
    let wanted = Wanted { page: 1, ..Wanted::read(&pairs(&query.unwrap_or_default())) };
    let lines = match lines_of(&web, &seen.visitor).await {
        Ok(Some((all, _))) => all,
        Ok(None) => return absent(&seen),
        Err(error) => return away(&error),
    };
    let now = web.store.now();
    file(&web, &seen, &list::shown(&lines, &wanted, now, LINES_MAX).lines, now)
}

/// `POST /inbox/list.csv`: what a search finds, which is asked for by a form as the search is.
pub(in crate::web) async fn csv_of_search(State(web): State<Shared>, signed: Signed) -> Response {
    let (seen, sought) = (signed.seen(), sought_in(&signed));
    let found = match lines_of(&web, &seen.visitor).await {
        Ok(Some((all, providers))) => found(&web, &all, &providers, &sought).await,
        Ok(None) => return absent(&seen),
        Err(error) => return away(&error),
    };
    match found {
        Ok(lines) => file(&web, &seen, &lines, web.store.now()),
        Err(error) => away(&error),
    }
}

/// Lines as a file.
fn file(web: &Web, seen: &Seen, lines: &[Arc<Line>], now: Timestamp) -> Response {
    tracing::info!(person = seen.visitor.person, lines = lines.len(), "a worklist was taken as CSV");
    page::csv("referrals.csv", table(lines, now, &web.registry.load()))
}

/// A day by which something is to be done, while it still is.
fn by(state: &TaskState, at: Option<Timestamp>) -> String {
    at.filter(|_| !state.status.is_terminal()).map(words::iso_day).unwrap_or_default()
}

fn yes(is_so: bool) -> String {
    if is_so { "Yes" } else { "No" }.to_owned()
}

/// Lines as a table. Days are written as ISO 8601 has them, which every spreadsheet sorts and none reads as another day; tests are left out,
/// because tables are counted.
fn table(lines: &[Arc<Line>], now: Timestamp, registry: &Registry) -> Option<Vec<u8>> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(HEAD).ok()?;
    for line in lines.iter().filter(|line| !line.is_test) {
        let cells = [
            line.reference.clone(),
            words::nhs_number(&line.nhs_number),
            line.person.clone(),
            line.born.clone(),
            line.what.clone(),
            line.priority.map_or("Routine", |tag| tag.words).to_owned(),
            words::status_of(line.state.status, line.taken_back).words.to_owned(),
            yes(line.flagged),
            yes(line.state.cancel_requested),
            yes(line.state.information_requested),
            line.news.iter().map(|tag| tag.words).collect::<Vec<_>>().join(", "),
            yes(words::is_overdue(&line.state, now)),
            words::iso_day(line.came),
            by(&line.state, line.state.deadlines.open_by),
            by(&line.state, line.state.deadlines.answer_by),
            line.worker.as_ref().map_or_else(String::new, |worker| worker.name.clone()),
            registry.inboxes.get(&line.inbox).map_or_else(|| line.inbox.to_string(), |inbox| registry.called(inbox)),
        ];
        table.write_record(cells.iter().map(|cell| harmless(cell))).ok()?;
    }
    table.into_inner().ok()
}

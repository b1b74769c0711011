//! The worklist as a table, for a spreadsheet.

use axum::{
    extract::{RawQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};

use super::{absent, away, lines_of, list, list::Wanted, words};
use crate::{
    http::call::pairs,
    web::{Shared, form::Seen, harmless, page},
};

/// So many lines are in one table.
const LINES_MAX: usize = 20_000;
const HEAD: [&str; 12] = [
    "Reference",
    "NHS number",
    "Name",
    "Date of birth",
    "Referred for",
    "Priority",
    "Status",
    "Overdue",
    "Came",
    "Answer by",
    "Worker",
    "Service",
];

/// `GET /inbox/list.csv`: what the list of the same query shows, all pages of it.
pub(in crate::web) async fn csv(State(web): State<Shared>, seen: Seen, RawQuery(query): RawQuery) -> Response {
    let wanted = Wanted { page: 1, ..Wanted::read(&pairs(&query.unwrap_or_default())) };
    let (lines, _) = match lines_of(&web, &seen.visitor).await {
        Ok(Some(all)) => all,
        Ok(None) => return absent(&seen),
        Err(error) => return away(&error),
    };
    let now = web.store.now();
    let shown = list::shown(&lines, &wanted, now, LINES_MAX);
    tracing::info!(person = seen.visitor.person, lines = shown.lines.len(), "a worklist was taken as CSV");
    let mut table = csv::Writer::from_writer(Vec::new());
    let mut written = table.write_record(HEAD);
    for line in &shown.lines {
        let cells = [
            line.reference.clone(),
            words::nhs_number(&line.nhs_number),
            line.person.clone(),
            line.born.clone(),
            line.what.clone(),
            line.priority.map_or("Routine", |tag| tag.words).to_owned(),
            words::status(line.state.status).words.to_owned(),
            if words::is_overdue(&line.state, now) { "Yes" } else { "No" }.to_owned(),
            words::day(line.came),
            words::due(&line.state).map(words::day).unwrap_or_default(),
            line.worker.as_ref().map_or_else(String::new, |worker| worker.name.clone()),
            line.inbox.to_string(),
        ];
        written = written.and_then(|()| table.write_record(cells.iter().map(|cell| harmless(cell))));
    }
    let Some(bytes) = written.ok().and_then(|()| table.into_inner().ok()) else { return page::unavailable() };
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"referrals.csv\""),
    ];
    // with a mark of UTF-8: a spreadsheet takes it for another coding otherwise
    let bytes = [&b"\xef\xbb\xbf"[..], &bytes].concat();
    (StatusCode::OK, headers, bytes).into_response()
}

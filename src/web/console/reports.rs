//! `GET /console/reports`: how many referrals came, what became of them and how soon, by service, area and reason; `…/reports.csv` the same
//! for a spreadsheet. What is told of small numbers is `reports`' to say. To reckon those of many referrals takes seconds: the page is there
//! before its numbers, and shows them once they are.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use jiff::{Span, Timestamp, civil::Date};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{Console, absent, away, words::long};
use crate::{
    auth::{Deed, What, Who, may},
    config::Registry,
    domain::{InboxId, Position, written::LONDON},
    http::call::pairs,
    reports::{By, Cell, Line, Outcome, ReportError, SMALL, Table, Times, Told, TooFew, read},
    store::StoreError,
    web::{
        Shared, dates,
        form::Seen,
        frame::{Frame, Section},
        harmless,
        page::{self, Fault},
    },
};

/// Days of a report, if nobody says: those before today.
const DAYS: i64 = 28;
/// So long ago a report still stands for the same days (seconds).
const AGE_MAX_S: i64 = 60;
/// So long a page waits for its numbers.
const WAIT: Duration = Duration::from_millis(15);
/// So many are remembered.
const KEPT_MAX: usize = 16;
/// Lines of a table on a page; the others are in the CSV.
const LINES_MAX: usize = 100;
/// The tables, with their headings.
const TABLES: [(By, &str, &str); 3] = [
    (By::Service, "service", "By service"),
    (By::Area, "area", "By area: first half of the home’s postcode"),
    (By::Reason, "reason", "By reason"),
];

/// The page.
#[derive(Template)]
#[template(path = "console/reports.html")]
struct ReportPage {
    frame: Frame,
    from: String,
    to: String,
    faults: Vec<Fault>,
    tables: Vec<TableSaid>,
    /// Where it is asked whether they are there, while they are not.
    live: Option<String>,
    outcomes: [&'static str; Outcome::ALL.len()],
    csv: String,
    small: u64,
}

/// A table.
struct TableSaid {
    id: &'static str,
    heading: &'static str,
    /// None where there are too few to tell anything.
    rows: Option<Vec<RowSaid>>,
    left_out: usize,
}

/// A line of it.
#[derive(Debug, PartialEq, Eq)]
struct RowSaid {
    name: String,
    count: u64,
    outcomes: Vec<String>,
    taken_on: String,
    first: String,
    completed: String,
    is_all: bool,
}

/// Whole days in London.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Days {
    first: Date,
    last: Date,
}

/// What was reckoned of some days.
type Reckoned = Arc<[Result<Told, TooFew>; TABLES.len()]>;

/// What stands in the place of the numbers until they are there.
const NOT_YET: &str = "<p>The numbers are being put together. With many referrals this takes some seconds.</p>";

/// A report, and when it was there.
struct Kept {
    days: Days,
    at: Timestamp,
    told: Result<Reckoned, ReportError>,
}

/// What was reckoned lately, so that a page and its CSV are the same; and that one is reckoned at a time.
#[derive(Default)]
pub(in crate::web) struct Reports {
    kept: std::sync::Mutex<Vec<Kept>>,
    pub(in crate::web) reckoning: Arc<Mutex<()>>,
}

/// Whether counts over all referrals are somebody's to see.
pub(super) fn may_count(positions: &[Position]) -> bool {
    may(Who::Person(positions), Deed::Count, What::Whole)
}

/// `GET /console/reports`.
pub(super) async fn page(State(web): State<Shared>, RawQuery(query): RawQuery, seen: Seen) -> Response {
    if !may_count(&seen.visitor.positions) {
        return absent(&seen);
    }
    let (from, to, days) = wanted(&query.unwrap_or_default(), web.console.store.now());
    let mut page = ReportPage::of(&seen, from, to);
    let days = match days {
        Ok(days) => days,
        Err(fault) => {
            page.faults.push(fault);
            return page::shown(StatusCode::UNPROCESSABLE_ENTITY, &page);
        }
    };
    match soon(&web, days).await {
        Ok(Some(told)) => {
            let registry = web.console.registry.load();
            page.tables = tables(&told, &registry);
            page::shown(StatusCode::OK, &page)
        }
        Ok(None) => {
            page.live = Some(format!("/console/reports/now?from={}&to={}", page.from, page.to));
            page::shown(StatusCode::OK, &page)
        }
        Err(error @ ReportError::TooMany(_)) => {
            page.faults.push(Fault::at("from", capital(&error.to_string())));
            page::shown(StatusCode::UNPROCESSABLE_ENTITY, &page)
        }
        Err(ReportError::Store(error)) => away(&error),
    }
}

/// `GET /console/reports/now`: what stands there until the numbers do, and then the way to the page that has them.
pub(super) async fn now(
    State(web): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    seen: Seen,
) -> Response {
    if !may_count(&seen.visitor.positions) {
        return absent(&seen);
    }
    let (from, to, Ok(days)) = wanted(&query.unwrap_or_default(), web.console.store.now()) else {
        return absent(&seen);
    };
    match soon(&web, days).await {
        Ok(None) => page::part(NOT_YET.to_owned(), &headers),
        Err(ReportError::Store(error)) => away(&error),
        Ok(Some(_)) | Err(ReportError::TooMany(_)) => page::to(&format!("/console/reports?from={from}&to={to}")),
    }
}

/// What may be told of some days; none while that, or another report, is being reckoned, which goes on though nobody waits for it.
async fn soon(web: &Shared, days: Days) -> Result<Option<Reckoned>, ReportError> {
    let Console { reports, store, .. } = &web.console;
    if let Some(told) = reports.of(days, store.now()) {
        return told.map(Some);
    }
    let Ok(turn) = Arc::clone(&reports.reckoning).try_lock_owned() else { return Ok(None) };
    let of = Arc::clone(web);
    let reckoning = tokio::spawn(async move { of.console.reckon(days, turn).await });
    match tokio::time::timeout(WAIT, reckoning).await {
        Ok(told) => told.map_err(broken_off)?.map(Some),
        Err(_) => Ok(None),
    }
}

fn broken_off(_: tokio::task::JoinError) -> ReportError {
    ReportError::Store(StoreError::Unavailable("a report was broken off".to_owned()))
}

/// `GET /console/reports.csv`.
pub(super) async fn csv(State(web): State<Shared>, RawQuery(query): RawQuery, seen: Seen) -> Response {
    if !may_count(&seen.visitor.positions) {
        return absent(&seen);
    }
    let (_, _, Ok(days)) = wanted(&query.unwrap_or_default(), web.console.store.now()) else { return absent(&seen) };
    let told = match web.console.reckoned(days).await {
        Ok(told) => told,
        Err(ReportError::TooMany(_)) => return absent(&seen),
        Err(ReportError::Store(error)) => return away(&error),
    };
    tracing::info!(person = seen.visitor.person, "a report was taken as CSV");
    page::csv("report.csv", table_of(&told, &web.console.registry.load(), days))
}

impl Console {
    /// What may be told of some days; reckoned by one at a time, and not again within a minute.
    async fn reckoned(&self, days: Days) -> Result<Reckoned, ReportError> {
        let turn = Arc::clone(&self.reports.reckoning).lock_owned().await;
        match self.reports.of(days, self.store.now()) {
            Some(told) => told,
            None => self.reckon(days, turn).await,
        }
    }

    async fn reckon(&self, days: Days, _turn: OwnedMutexGuard<()>) -> Result<Reckoned, ReportError> {
        let (from, before) = days.moments();
        let told = match read(&*self.store, from, before).await {
            Ok(all) => {
                let reckon = move || TABLES.map(|(by, ..)| Told::of(&Table::of(&all, by)));
                Ok(Arc::new(tokio::task::spawn_blocking(reckon).await.map_err(broken_off)?))
            }
            // as long as a report stands there are too many
            Err(error @ ReportError::TooMany(_)) => Err(error),
            Err(error) => return Err(error),
        };
        // it stands from when it is there, however long it took
        self.reports.keep(days, self.store.now(), told.clone());
        told
    }
}

// === impl Reports ===

impl Reports {
    /// What was reckoned of these days within a minute.
    fn of(&self, days: Days, now: Timestamp) -> Option<Result<Reckoned, ReportError>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|one| now.duration_since(one.at).as_secs().abs() < AGE_MAX_S);
        kept.iter().find(|one| one.days == days).map(|one| one.told.clone())
    }

    fn keep(&self, days: Days, at: Timestamp, told: Result<Reckoned, ReportError>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|one| one.days != days);
        if kept.len() >= KEPT_MAX {
            drop(kept.remove(0));
        }
        kept.push(Kept { days, at, told });
    }
}

/// The days of a URL, as they are written and as they are meant.
fn wanted(query: &str, now: Timestamp) -> (String, String, Result<Days, Fault>) {
    let query = pairs(query);
    let text = |name: &str| query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.trim()).to_owned();
    let yesterday = now.to_zoned(LONDON).date().saturating_sub(Span::new().days(1));
    // as a browser's own field takes it, however it was written
    let or = |text: String, day: Date| match dates::day(&text) {
        Some(day) => day.to_string(),
        None if text.is_empty() => day.to_string(),
        None => text,
    };
    let from = or(text("from"), yesterday.saturating_sub(Span::new().days(DAYS - 1)));
    let to = or(text("to"), yesterday);
    let days = match (from.parse::<Date>(), to.parse::<Date>()) {
        (Ok(first), Ok(last)) if first <= last => Ok(Days { first, last }),
        (Ok(_), Ok(_)) => Err(Fault::at("to", "Write a day that is not before the first")),
        (Err(_), _) => Err(Fault::at("from", "Write a day, such as 1 November 2026")),
        (_, Err(_)) => Err(Fault::at("to", "Write a day, such as 30 November 2026")),
    };
    let short = |text: String| text.chars().take(20).collect();
    (short(from), short(to), days)
}

// === impl Days ===

impl Days {
    /// From the first moment of the first to that of the day after the last.
    fn moments(self) -> (Timestamp, Timestamp) {
        let begins = |day: Date, or: Timestamp| day.to_zoned(LONDON).map_or(or, |at| at.timestamp());
        let after = self.last.saturating_add(Span::new().days(1));
        (begins(self.first, Timestamp::MIN), begins(after, Timestamp::MAX))
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

/// What referrals are told apart by, in a word.
fn spoken_by(by: By) -> &'static str {
    match by {
        By::Service => "Service",
        By::Area => "Area (first half of the home’s postcode)",
        By::Reason => "Reason",
    }
}

/// What an outcome is called.
fn spoken(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Waiting => "Not answered yet",
        Outcome::UnderWay => "Under way",
        Outcome::Ended => "Ended",
        Outcome::Declined => "Declined",
        Outcome::Withdrawn => "Withdrawn",
    }
}

fn tables(told: &Reckoned, registry: &Registry) -> Vec<TableSaid> {
    let one = |((by, id, heading), told): (&(By, &'static str, &'static str), &Result<Told, TooFew>)| {
        let left_out = told.as_ref().map_or(0, |told| told.lines.len().saturating_sub(LINES_MAX));
        let rows = told.as_ref().ok().map(|told| rows(told, *by, registry, LINES_MAX));
        TableSaid { id, heading, rows, left_out }
    };
    TABLES.iter().zip(told.iter()).map(one).collect()
}

fn rows(told: &Told, by: By, registry: &Registry, most: usize) -> Vec<RowSaid> {
    let mut rows: Vec<RowSaid> = told.lines.iter().take(most).map(|line| row(line, by, registry)).collect();
    rows.push(RowSaid { name: "All together".to_owned(), is_all: true, ..row(&told.all, by, registry) });
    rows
}

fn row(line: &Line, by: By, registry: &Registry) -> RowSaid {
    let name = match (&line.name, line.joined) {
        (_, joined @ 1..) => format!("{joined} others together, some of them too small to be told"),
        (None, 0) if by == By::Reason => "No reason given".to_owned(),
        (None, 0) => "Not known".to_owned(),
        (Some(name), 0) if by == By::Service => service(name, registry),
        (Some(name), 0) => name.clone(),
    };
    let cell = |cell: &Cell| match cell {
        Cell::Is(count) => count.to_string(),
        Cell::LeftOut => "left out".to_owned(),
    };
    RowSaid {
        name,
        count: line.count,
        outcomes: line.outcomes.iter().map(cell).collect(),
        taken_on: line.taken_on_percent().map(|percent| format!("{percent} %")).unwrap_or_default(),
        first: times(line.first),
        completed: times(line.completed),
        is_all: false,
    }
}

/// An inbox with whose it is.
fn service(id: &str, registry: &Registry) -> String {
    let inbox = id.parse::<InboxId>().ok().and_then(|id| registry.inboxes.get(&id));
    match inbox.and_then(|inbox| registry.providers.get(&inbox.provider)) {
        Some(provider) => format!("{} ({id})", provider.name),
        None => id.to_owned(),
    }
}

fn times(times: Option<Times>) -> String {
    times.map_or_else(String::new, |times| format!("{}; nine of ten {}", long(times.median), long(times.p90)))
}

/// The same as a table for a spreadsheet; times in whole minutes.
fn table_of(told: &Reckoned, registry: &Registry, days: Days) -> Option<Vec<u8>> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let mut head = vec!["From", "To", "By", "Group", "Referrals"];
    head.extend(Outcome::ALL.map(spoken));
    head.extend(["Taken on (%)", "First answer: half within (minutes)", "First answer: nine of ten within (minutes)"]);
    head.extend(["Completed: half within (minutes)", "Completed: nine of ten within (minutes)"]);
    table.write_record(head).ok()?;
    let (from, to) = (days.first.to_string(), days.last.to_string());
    for ((by, ..), told) in TABLES.iter().zip(told.iter()) {
        let Ok(told) = told else { continue };
        for line in told.lines.iter().chain([&told.all]) {
            let said = if std::ptr::eq(line, &raw const told.all) {
                RowSaid { name: "All together".to_owned(), ..row(line, *by, registry) }
            } else {
                row(line, *by, registry)
            };
            let mut cells =
                vec![from.clone(), to.clone(), spoken_by(*by).to_owned(), said.name, said.count.to_string()];
            cells.extend(said.outcomes);
            cells.push(line.taken_on_percent().map(|percent| percent.to_string()).unwrap_or_default());
            for times in [line.first, line.completed] {
                let of = |of: fn(Times) -> i64| times.map(|times| of(times).to_string()).unwrap_or_default();
                cells.extend([of(|times| times.median.as_mins()), of(|times| times.p90.as_mins())]);
            }
            table.write_record(cells.iter().map(|cell| harmless(cell))).ok()?;
        }
    }
    table.into_inner().ok()
}

// === impl ReportPage ===

impl ReportPage {
    fn of(seen: &Seen, from: String, to: String) -> Self {
        Self {
            frame: Frame::of(seen, Section::Console),
            csv: format!("/console/reports.csv?from={from}&to={to}"),
            from,
            to,
            faults: vec![],
            tables: vec![],
            live: None,
            outcomes: Outcome::ALL.map(spoken),
            small: SMALL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reports::{Answered, Counted};

    fn now() -> Timestamp {
        "2026-07-02T09:00:00Z".parse().unwrap()
    }

    #[test]
    fn the_days_are_those_that_are_written_or_the_last_four_weeks() {
        let (from, to, days) = wanted("", now());
        assert_eq!((from.as_str(), to.as_str()), ("2026-06-04", "2026-07-01"));
        let (first, before) = days.unwrap().moments();
        assert_eq!(
            (first.to_string().as_str(), before.to_string().as_str()),
            ("2026-06-03T23:00:00Z", "2026-07-01T23:00:00Z")
        );
        for (query, field) in [("from=x", "from"), ("to=2026-02-30", "to"), ("from=2026-07-02&to=2026-07-01", "to")] {
            assert_eq!(wanted(query, now()).2.unwrap_err().field, field, "{query}");
        }
    }

    #[test]
    fn a_table_tells_what_may_be_told_and_a_spreadsheet_the_same() {
        let registry = crate::web::console::tests::config().registry;
        let one = |service: &str, outcome| Counted {
            service: service.to_owned(),
            area: Some("=L1".to_owned()),
            reason: None,
            outcome,
            answered: Answered::default(),
        };
        let mut all: Vec<Counted> = (0..8).map(|_| one("life-rooms", Outcome::UnderWay)).collect();
        all.extend((0..6).map(|_| one("gone", Outcome::Declined)));
        all.extend((0..2).map(|_| one("life-rooms", Outcome::Declined)));
        let told: Reckoned = Arc::new(TABLES.map(|(by, ..)| Told::of(&Table::of(&all, by))));
        let tables = tables(&told, &registry);
        let rows = tables[0].rows.as_ref().unwrap();
        assert_eq!((rows[0].name.as_str(), rows[0].count), ("The Life Rooms (life-rooms)", 10));
        assert_eq!(rows[0].outcomes[3], "left out", "{rows:?}");
        assert_eq!((rows[2].name.as_str(), rows[2].is_all, rows[2].count), ("All together", true, 16));
        assert_eq!(tables[2].rows.as_ref().unwrap()[0].name, "No reason given");
        let days = wanted("", now()).2.unwrap();
        let text = String::from_utf8(table_of(&told, &registry, days).unwrap()).unwrap();
        assert!(
            text.contains("2026-06-04,2026-07-01,Area (first half of the home’s postcode),'=L1,16,"),
            "no cell is a formula: {text}"
        );
        assert_eq!(text.matches("All together").count(), 3, "{text}");
        assert!(text.contains("left out") && !text.contains(",2,"), "{text}");
    }
}

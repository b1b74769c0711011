//! `/changes`: who did what with which account and when, for an auditor who asks about it; `…/changes.csv` the same for a spreadsheet.
//! What `onward people changes` lists, the last one first.

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
    response::Response,
};
use uuid::Uuid;

use super::{
    Shared, Web,
    called::Called,
    console::words::moment,
    form::Seen,
    frame::{Frame, Section},
    harmless,
    inbox::absent,
    page, role,
};
use crate::{
    auth::{Deed, What, Who, may},
    config::Registry,
    domain::{Organisation, Position, clock::instant},
    http::call::pairs,
    store::{AccountDeed, AccountNote, StoreError},
};

/// So many on a page.
const ON_PAGE: usize = 50;
/// So many in a file at the most: the last ones, and where those before are.
const IN_FILE_MAX: usize = 10_000;
/// So many are read at once.
const CHUNK: usize = 500;
/// So many are looked at for a page of one organisation's.
const LOOKED_AT_MAX: usize = 5_000;
/// And for a file so many for each that it may hold.
const LOOKED_AT_EACH: usize = 5;

/// The page.
#[derive(Template)]
#[template(path = "changes.html")]
struct ChangesPage {
    frame: Frame,
    /// The organisation that is asked for, and those that there are.
    of: String,
    organisations: Vec<(String, String)>,
    rows: Vec<Row>,
    /// The URL of those before.
    older: Option<String>,
    /// Whether those before were not looked at.
    goes_on: bool,
    is_first: bool,
    csv: String,
}

/// A change.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    at: String,
    by: String,
    account: String,
    what: &'static str,
    before: String,
    after: String,
}

/// Some of them, and where those before begin.
struct Found {
    notes: Vec<AccountNote>,
    before: Option<Uuid>,
    /// Whether so many were looked at that the rest was not.
    goes_on: bool,
}

/// Whether changes of accounts are somebody's to ask about.
pub(super) fn may_review(positions: &[Position]) -> bool {
    may(Who::Person(positions), Deed::ReviewAccounts, What::Whole)
}

/// An organisation as the form has it.
fn word(of: &Organisation) -> String {
    match of {
        Organisation::System(id) => format!("system:{id}"),
        Organisation::Provider(id) => format!("provider:{id}"),
    }
}

/// Whether a change concerns an organisation: its person was something there, or is.
fn concerns(note: &AccountNote, of: &str) -> bool {
    of.is_empty()
        || note.before.iter().chain(&note.positions).filter_map(Position::organisation).any(|one| word(&one) == of)
}

fn row(note: AccountNote, registry: &Registry, called: &Called) -> Row {
    let what = match note.deed {
        AccountDeed::Added => "Made",
        AccountDeed::Positions => "Given other roles",
        AccountDeed::Reset => "Password and device taken away",
        AccountDeed::Disabled => "Ended",
        AccountDeed::Enabled => "Let in again",
        AccountDeed::Forgotten => "Forgotten, some time after its end",
    };
    let before = if note.before == note.positions { String::new() } else { role::of_her(&note.before, registry) };
    Row {
        at: moment(note.at),
        by: called.of(&note.by),
        account: note.account,
        what,
        before,
        after: role::of_her(&note.positions, registry),
    }
}

/// Every organisation that people may be of, by its name, after a choice of all.
fn organisations(registry: &Registry) -> Vec<(String, String)> {
    let providers =
        registry.providers.iter().map(|(id, one)| (word(&Organisation::Provider(id.clone())), one.name.clone()));
    let systems = registry.systems.iter().map(|(id, one)| (word(&Organisation::System(id.clone())), one.name.clone()));
    let mut all: Vec<(String, String)> = providers.chain(systems).collect();
    all.sort_by(|one, other| one.1.cmp(&other.1));
    [(String::new(), "All".to_owned())].into_iter().chain(all).collect()
}

fn away(error: &StoreError) -> Response {
    tracing::warn!(%error, "changes of accounts cannot be read");
    page::unavailable()
}

impl Web {
    /// The last changes that concern an organisation, of those before one.
    async fn changes(&self, of: &str, mut before: Option<Uuid>, count: usize) -> Result<Found, StoreError> {
        let (mut notes, mut looked_at) = (Vec::new(), 0);
        loop {
            let chunk = self.store.latest_account_notes(before, CHUNK).await?;
            let was_last = chunk.len() < CHUNK;
            for note in chunk {
                if notes.len() == count {
                    return Ok(Found { notes, before, goes_on: false });
                }
                (before, looked_at) = (Some(note.id), looked_at + 1);
                if concerns(&note, of) {
                    notes.push(note);
                }
            }
            if was_last {
                return Ok(Found { notes, before: None, goes_on: false });
            }
            if looked_at >= LOOKED_AT_MAX.max(LOOKED_AT_EACH * count) && !of.is_empty() {
                return Ok(Found { notes, before, goes_on: true });
            }
        }
    }
}

fn asked(query: Option<String>) -> (String, Option<Uuid>) {
    let query = pairs(&query.unwrap_or_default());
    let text = |wanted: &str| query.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    (text("of").unwrap_or_default().to_owned(), text("before").and_then(|id| id.parse().ok()))
}

/// `GET /changes?of=…&before=…`
pub(super) async fn page(State(web): State<Shared>, RawQuery(query): RawQuery, seen: Seen) -> Response {
    if !may_review(&seen.visitor.positions) {
        return absent(&seen);
    }
    let (of, before) = asked(query);
    let registry = web.registry.load();
    let organisations = organisations(&registry);
    // one that is not there any more is no choice, and all of them are no answer
    let Some(of) = organisations.iter().map(|(word, _)| word).find(|word| **word == of).cloned() else {
        return absent(&seen);
    };
    let found = match web.changes(&of, before, ON_PAGE).await {
        Ok(found) => found,
        Err(error) => return away(&error),
    };
    let called = match Called::read(&web, []).await {
        Ok(called) => called,
        Err(error) => return away(&error),
    };
    let encoded = percent_encoding::utf8_percent_encode(&of, percent_encoding::NON_ALPHANUMERIC);
    let older = found.before.map(|before| format!("/changes?of={encoded}&before={before}"));
    let csv = csv_path(&of, None);
    tracing::info!(person = seen.visitor.person, "changes of accounts were looked through");
    let page = ChangesPage {
        frame: Frame::of(&seen, Section::Changes),
        of,
        organisations,
        rows: found.notes.into_iter().map(|note| row(note, &registry, &called)).collect(),
        older,
        goes_on: found.goes_on,
        is_first: before.is_none(),
        csv,
    };
    page::shown(StatusCode::OK, &page)
}

/// `GET /changes.csv?of=…&before=…`
pub(super) async fn csv(State(web): State<Shared>, RawQuery(query): RawQuery, seen: Seen) -> Response {
    if !may_review(&seen.visitor.positions) {
        return absent(&seen);
    }
    let (of, before) = asked(query);
    if !organisations(&web.registry.load()).iter().any(|(word, _)| *word == of) {
        return absent(&seen);
    }
    let found = match web.changes(&of, before, IN_FILE_MAX).await {
        Ok(found) => found,
        Err(error) => return away(&error),
    };
    tracing::info!(person = seen.visitor.person, "changes of accounts were taken as CSV");
    page::csv("changes-of-accounts.csv", table(found, &of))
}

/// What was found as a table. Where there is more, its last line says where.
fn table(found: Found, of: &str) -> Option<Vec<u8>> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let mut written = table.write_record(["at", "by", "account", "what", "roles-before", "roles"]);
    for note in found.notes {
        let cells = [
            instant(note.at),
            harmless(&note.by),
            harmless(&note.account),
            note.deed.code().to_owned(),
            role::codes(&note.before),
            role::codes(&note.positions),
        ];
        written = written.and_then(|()| table.write_record(cells));
    }
    if let Some(before) = found.before {
        let told = format!("those before are not in this file: take them from {}", csv_path(of, Some(before)));
        written = written.and_then(|()| table.write_record(["", "", "", &told, "", ""]));
    }
    written.ok()?;
    table.into_inner().ok()
}

/// Where the table of an organisation's changes is, of those before one.
fn csv_path(of: &str, before: Option<Uuid>) -> String {
    let of = percent_encoding::utf8_percent_encode(of, percent_encoding::NON_ALPHANUMERIC);
    let before = before.map_or_else(String::new, |before| format!("&before={before}"));
    format!("/changes.csv?of={of}{before}")
}

#[cfg(test)]
mod tests;

//! `/console/dead`: messages that are not tried again by themselves. Looked at without what is in them; tried again, one or all of a
//! destination; put away with a reason.

use askama::Template;
use axum::{
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Console, Keeper, Watcher, absent, away, done,
    preview::{Sent, sent},
    runs::NotBegun,
    todo::named,
    words::{came_of, counted, moment, plain},
};
use crate::{
    auth::{Deed, What, Who, may},
    config::Registry,
    domain::{Destination, Position, Side},
    http::call::pairs,
    lanes::dead::{REASON_CHARS_MAX, ReplayError, discard, reason, replay},
    preview::Preview,
    store::{Backlog, DeadLetter, DeadQuery, StoreError},
    web::{
        Shared,
        form::{Seen, Signed},
        frame::{Frame, Section},
        page::{self, Fault},
    },
};

/// Dead letters on a page.
const PAGE: usize = 50;
/// Tries that are shown of one: the newest.
const TRIES_MAX: usize = 100;

/// The list.
#[derive(Template)]
#[template(path = "console/dead.html")]
struct ListPage {
    frame: Frame,
    /// Each destination that has some: which, how many, its name.
    ends: Vec<(String, u64, String)>,
    /// Of which one these are, and its name.
    to: String,
    to_name: String,
    rows: Vec<Row>,
    /// The URL of the next page.
    next: Option<String>,
    may_replay: bool,
    runs: String,
    tag: String,
}

/// How it is with those that are tried again.
#[derive(Template)]
#[template(path = "console/runs.html")]
struct RunsPart {
    told: Vec<String>,
}

/// One in the list.
struct Row {
    message: String,
    task: String,
    to_name: String,
    since: String,
    /// What could not be sent, and which way.
    called: String,
    why: String,
    /// Whether its referral is a test, which is about nobody.
    is_test: bool,
}

/// One alone.
#[derive(Template)]
#[template(path = "console/letter.html")]
struct LetterPage {
    frame: Frame,
    row: Row,
    /// How often it was tried.
    tried: String,
    /// When and how each try ended.
    tries: Vec<String>,
    left_out: usize,
    /// What would be sent; otherwise why not.
    sent: Result<Sent, String>,
    /// Why whom it is for could not be asked, where that is so.
    unasked: Option<String>,
    may_replay: bool,
}

/// What is asked before something is done.
#[derive(Template)]
#[template(path = "console/confirm.html")]
struct ConfirmPage {
    frame: Frame,
    made_for: String,
    title: &'static str,
    text: String,
    /// Where the form goes, and the way back.
    action: String,
    back: String,
    button: &'static str,
    /// Whose dead letters, where it is about many.
    to: String,
    /// Whether a reason is asked for.
    asks: bool,
    reason: String,
    reason_max: usize,
    faults: Vec<Fault>,
}

/// Whether somebody may do more than look.
fn may_replay(positions: &[Position]) -> bool {
    may(Who::Person(positions), Deed::Replay, What::Whole)
}

/// `GET /console/dead`.
pub(super) async fn list(State(web): State<Shared>, RawQuery(query): RawQuery, Keeper(seen): Keeper) -> Response {
    let query = pairs(&query.unwrap_or_default());
    let text = |name: &str| query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
    let to = match text("to") {
        "" => None,
        to => match to.parse::<Destination>() {
            Ok(to) => Some(to),
            Err(_) => return absent(&seen),
        },
    };
    let after = match text("after") {
        "" => None,
        after => match cursor(after) {
            Some(after) => Some(after),
            None => return absent(&seen),
        },
    };
    match web.console.dead_list(&seen, to, after).await {
        Ok(page) => page::shown(StatusCode::OK, &page),
        Err(error) => away(&error),
    }
}

/// `GET /console/dead/runs`.
pub(super) async fn runs(State(web): State<Shared>, headers: HeaderMap, _: Watcher) -> Response {
    match web.console.runs_part() {
        Some(html) => page::part(html, &headers),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// `GET /console/dead/{message}`.
pub(super) async fn letter(State(web): State<Shared>, Path(id): Path<String>, Keeper(seen): Keeper) -> Response {
    let letter = match web.console.letter(&id).await {
        Ok(Some(letter)) => letter,
        Ok(None) => return absent(&seen),
        Err(error) => return away(&error),
    };
    match web.console.letter_page(&seen, &letter).await {
        Ok(Some(page)) => page::shown(StatusCode::OK, &page),
        Ok(None) => absent(&seen),
        Err(error) => away(&error),
    }
}

/// What may be done with a dead letter, by its word in URLs.
pub(super) const ACTIONS: [&str; 2] = ["replay", "put-away"];

/// `GET /console/dead/{message}/replay`, `GET /console/dead/{message}/put-away`: asks first.
pub(super) async fn ask(
    State(web): State<Shared>,
    Path((id, action)): Path<(String, String)>,
    Keeper(seen): Keeper,
) -> Response {
    if !may_replay(&seen.visitor.positions) {
        return absent(&seen);
    }
    match web.console.letter(&id).await {
        Ok(Some(letter)) => match action.as_str() {
            "replay" => page::shown(StatusCode::OK, &ConfirmPage::replay(&seen, &web.console.row(&letter))),
            "put-away" => {
                page::shown(StatusCode::OK, &ConfirmPage::put_away(&seen, &web.console.row(&letter), "", vec![]))
            }
            _ => absent(&seen),
        },
        Ok(None) => absent(&seen),
        Err(error) => away(&error),
    }
}

/// `POST` to the same: does it, in the person's name.
pub(super) async fn act(
    State(web): State<Shared>,
    Path((id, action)): Path<(String, String)>,
    signed: Signed,
) -> Response {
    let seen = signed.seen();
    if !may_replay(&seen.visitor.positions) {
        return absent(&seen);
    }
    let letter = match web.console.letter(&id).await {
        Ok(Some(letter)) => letter,
        Ok(None) => return absent(&seen),
        Err(error) => return away(&error),
    };
    let (store, by) = (&*web.console.store, seen.visitor.person.as_str());
    let (ended, code) = match action.as_str() {
        "replay" => (replay(store, &letter, by).await, done::REPLAYED),
        "put-away" => match reason(signed.form.text("reason")) {
            Ok(reason) => (discard(store, &letter, by, &reason).await, done::PUT_AWAY),
            Err(allowed) => {
                let faults = vec![Fault::at("reason", format!("Say why, in {allowed}"))];
                let row = web.console.row(&letter);
                let page = ConfirmPage::put_away(&seen, &row, signed.form.text("reason"), faults);
                return page::shown(StatusCode::UNPROCESSABLE_ENTITY, &page);
            }
        },
        _ => return absent(&seen),
    };
    match ended {
        Ok(()) => page::to(&done::at(&format!("/console/trace/{}", letter.task), code)),
        Err(ReplayError::Store(error)) => away(&error),
        Err(why @ (ReplayError::Closed | ReplayError::Gone)) => {
            let frame = Frame::of(&seen, Section::Console);
            let told = format!("Nothing was done: {why}.");
            page::told_in(frame, StatusCode::CONFLICT, &told, ("/console/dead", "See the dead letters"))
        }
    }
}

/// `GET /console/dead/replay`: asks first.
pub(super) async fn ask_all(State(web): State<Shared>, RawQuery(query): RawQuery, Keeper(seen): Keeper) -> Response {
    let query = pairs(&query.unwrap_or_default());
    let to = query.iter().find(|(key, _)| key == "to").and_then(|(_, to)| to.parse::<Destination>().ok());
    let (Some(to), true) = (to, may_replay(&seen.visitor.positions)) else { return absent(&seen) };
    match web.console.dead_of(&to).await {
        Ok(0) => absent(&seen),
        Ok(all) => {
            let name = named(&to.to_string(), &web.console.registry.load());
            page::shown(StatusCode::OK, &ConfirmPage::all(&seen, &to, &name, all))
        }
        Err(error) => away(&error),
    }
}

/// `POST /console/dead/replay`: begins, and the list tells how far it is.
pub(super) async fn act_all(State(web): State<Shared>, signed: Signed) -> Response {
    let (seen, console) = (signed.seen(), &web.console);
    let to = signed.form.text("to").parse::<Destination>().ok();
    let (Some(to), true) = (to, may_replay(&seen.visitor.positions)) else { return absent(&seen) };
    let all = match console.dead_of(&to).await {
        Ok(0) => return absent(&seen),
        Ok(all) => all,
        Err(error) => return away(&error),
    };
    let (store, stop, by) = (console.store.clone(), console.stop.clone(), seen.visitor.person.clone());
    match console.runs.begin(store, to, all, by, stop) {
        Ok(()) => page::to("/console/dead"),
        Err(why) => {
            let told = match why {
                NotBegun::UnderWay => "Those are being tried again already.",
                NotBegun::TooMany => "Too many are being tried again already. Wait until some are done.",
            };
            let frame = Frame::of(&seen, Section::Console);
            page::told_in(frame, StatusCode::CONFLICT, told, ("/console/dead", "See how far it is"))
        }
    }
}

/// How often something was tried in all, and since it was last given another chance by a person.
fn tried(all: usize, lately: usize) -> String {
    let times = |count: usize| match count {
        0 => "not once".to_owned(),
        1 => "once".to_owned(),
        count => format!("{count} times"),
    };
    if all == lately {
        return times(all);
    }
    format!("{}, of these {} since somebody had it tried again", times(all), times(lately))
}

/// Where a page goes on: the time and id of the last before it.
fn cursor(text: &str) -> Option<(Timestamp, Uuid)> {
    let (at, id) = text.split_once('_')?;
    Some((at.parse().ok()?, id.parse().ok()?))
}

impl Console {
    async fn letter(&self, id: &str) -> Result<Option<DeadLetter>, StoreError> {
        let Ok(id) = id.parse::<Uuid>() else { return Ok(None) };
        self.store.dead_letter(id).await
    }

    /// How many a destination has.
    async fn dead_of(&self, of: &Destination) -> Result<u64, StoreError> {
        let is_it = |one: &Backlog| one.side == of.side && one.to == of.to;
        Ok(self.store.backlog().await?.into_iter().filter(is_it).map(|one| one.dead).sum())
    }

    /// A dead letter in words.
    fn row(&self, letter: &DeadLetter) -> Row {
        Row::of(letter, &self.registry.load())
    }

    fn runs_part(&self) -> Option<String> {
        let made = RunsPart { told: self.runs.told() }.render();
        made.inspect_err(|error| tracing::error!(%error, "a page cannot be made")).ok()
    }

    async fn dead_list(
        &self,
        seen: &Seen,
        to: Option<Destination>,
        after: Option<(Timestamp, Uuid)>,
    ) -> Result<ListPage, StoreError> {
        let (backlog, registry) = (self.store.backlog().await?, self.registry.load());
        let end = |one: &Backlog| {
            let of = Destination::new(one.side, one.to.as_str()).to_string();
            let name = named(&of, &registry);
            (of, one.dead, name)
        };
        let mut ends: Vec<_> = backlog.iter().filter(|one| one.dead > 0).map(end).collect();
        ends.sort();
        let (side, of) = (to.as_ref().map(|to| to.side), to.as_ref().map(|to| to.to.clone()));
        let query = DeadQuery { to: of, side, after, count: PAGE + 1, ..DeadQuery::default() };
        let letters = self.store.find_dead(query).await?;
        let to = to.map(|to| to.to_string()).unwrap_or_default();
        let next = (letters.len() > PAGE).then(|| letters.get(PAGE - 1)).flatten().map(|last| {
            let at = last.since.to_string();
            format!("/console/dead?to={to}&after={at}_{}", last.message)
        });
        let mut rows = Vec::new();
        for letter in letters.iter().take(PAGE) {
            let is_test = self.of_test(letter.task).await?.is_some();
            rows.push(Row { is_test, ..Row::of(letter, &registry) });
        }
        let runs = self.runs_part().unwrap_or_default();
        Ok(ListPage {
            frame: Frame::of(seen, Section::Console),
            ends,
            to_name: if to.is_empty() { String::new() } else { named(&to, &registry) },
            to,
            rows,
            next,
            may_replay: may_replay(&seen.visitor.positions),
            tag: page::tag_of(&runs),
            runs,
        })
    }

    async fn letter_page(&self, seen: &Seen, letter: &DeadLetter) -> Result<Option<LetterPage>, StoreError> {
        let Some(preview) = self.previews.of(letter).await? else { return Ok(None) };
        let mut attempts = self.store.attempts(letter.task).await?;
        attempts.retain(|attempt| attempt.side == letter.side && attempt.of == letter.seq);
        let tried = tried(attempts.len(), attempts.iter().filter(|attempt| attempt.at >= letter.since).count());
        let mut tries: Vec<String> = attempts
            .iter()
            .map(|attempt| {
                let at = if attempt.endpoint.is_empty() { String::new() } else { format!(", at {}", attempt.endpoint) };
                format!("{}{at}: {}", moment(attempt.at), came_of(attempt))
            })
            .collect();
        let left_out = tries.len().saturating_sub(TRIES_MAX);
        tries.drain(..left_out);
        Ok(Some(LetterPage {
            frame: Frame::of(seen, Section::Console),
            row: Row { is_test: self.of_test(letter.task).await?.is_some(), ..self.row(letter) },
            tried,
            tries,
            left_out,
            unasked: match &preview {
                Preview::Unasked { why, .. } => Some(why.clone()),
                Preview::Sent(_) | Preview::Nothing(_) => None,
            },
            sent: match preview {
                Preview::Sent(written) | Preview::Unasked { written, .. } => Ok(sent(&written)),
                Preview::Nothing(why) => Err(why),
            },
            may_replay: may_replay(&seen.visitor.positions),
        }))
    }
}

// === impl Row ===

impl Row {
    fn of(letter: &DeadLetter, registry: &Registry) -> Self {
        let to = Destination::new(letter.side, letter.to.as_str()).to_string();
        Self {
            message: letter.message.to_string(),
            task: letter.task.to_string(),
            to_name: named(&to, registry),
            since: moment(letter.since),
            called: match (letter.side, letter.seq) {
                (Side::Delivery, 1) => "The referral, to the provider".to_owned(),
                (Side::Delivery, step) => format!("Step {step} of the referral, to the provider"),
                (Side::WriteBack, step) => format!("Step {step} of the referral, back into the record"),
            },
            why: plain(&letter.why),
            is_test: false,
        }
    }
}

// === impl ConfirmPage ===

impl ConfirmPage {
    fn of(seen: &Seen) -> Self {
        Self {
            frame: Frame::of(seen, Section::Console),
            made_for: seen.made_for.clone(),
            title: "",
            text: String::new(),
            action: String::new(),
            back: "/console/dead".to_owned(),
            button: "",
            to: String::new(),
            asks: false,
            reason: String::new(),
            reason_max: REASON_CHARS_MAX,
            faults: vec![],
        }
    }

    fn replay(seen: &Seen, row: &Row) -> Self {
        Self {
            title: "Try this dead letter again?",
            text: format!(
                "{}, {}, is sent again at once. It was given up because of this: {}.",
                row.called, row.to_name, row.why
            ),
            action: format!("/console/dead/{}/replay", row.message),
            back: format!("/console/dead/{}", row.message),
            button: "Try it again",
            ..Self::of(seen)
        }
    }

    fn put_away(seen: &Seen, row: &Row, reason: &str, faults: Vec<Fault>) -> Self {
        Self {
            title: "Put this dead letter away?",
            text: format!(
                "{}, {}, is then never sent, and this cannot be undone. Make sure that somebody has told the other side.",
                row.called, row.to_name
            ),
            action: format!("/console/dead/{}/put-away", row.message),
            back: format!("/console/dead/{}", row.message),
            button: "Put it away",
            asks: true,
            reason: reason.to_owned(),
            faults,
            ..Self::of(seen)
        }
    }

    fn all(seen: &Seen, to: &Destination, name: &str, all: u64) -> Self {
        Self {
            title: "Try all of these dead letters again?",
            text: format!(
                "{} of {name} {} tried again, ten a second. The messages of each referral keep their order.",
                counted(all, "dead letter"),
                if all == 1 { "is" } else { "are" },
            ),
            action: "/console/dead/replay".to_owned(),
            back: format!("/console/dead?to={to}"),
            button: "Try all of them again",
            to: to.to_string(),
            ..Self::of(seen)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_counted_as_they_are_listed() {
        assert_eq!((tried(0, 0).as_str(), tried(1, 1).as_str()), ("not once", "once"));
        assert_eq!(tried(8, 3), "8 times, of these 3 times since somebody had it tried again");
        assert_eq!(tried(2, 0), "2 times, of these not once since somebody had it tried again");
    }

    #[test]
    fn a_cursor_is_read_or_is_none() {
        let id = Uuid::now_v7();
        let at: Timestamp = "2026-03-02T09:00:00.123456Z".parse().unwrap();
        assert_eq!(cursor(&format!("{at}_{id}")), Some((at, id)));
        for bad in ["", "_", "x_y", "2026-03-02T09:00:00Z", &id.to_string()] {
            assert_eq!(cursor(bad), None, "{bad}");
        }
    }
}

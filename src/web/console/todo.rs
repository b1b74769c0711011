//! What waits for a person: how many things of each kind, the gravest few of them, and all of them on `GET /console/to-do`.

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
    response::Response,
};

use super::{
    Keeper, LINES_MAX, absent, away, done, tick,
    words::{kind_words, minute, plain},
};
use crate::{
    alerts::worklist::{Line, rank},
    config::Registry,
    domain::{AlertKind, Destination, InboxId, Side, SystemId, TransportStatus},
    http::call::pairs,
    store::Backlog,
    web::{
        Shared,
        form::Seen,
        frame::{Frame, Section},
        page,
    },
};

/// Lines that the first page shows: the gravest.
const WORST: usize = 5;

/// What waits, in short.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// Of all kinds together.
    pub total: u64,
    /// Whether there may be more than are counted.
    pub is_more: bool,
    /// Each kind, the gravest first.
    pub kinds: Vec<KindRow>,
    pub worst: Vec<LineRow>,
}

/// A kind of things that wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KindRow {
    pub code: &'static str,
    pub what: String,
    pub count: u64,
    pub is_more: bool,
    /// Since when the oldest waits.
    pub since: String,
    /// Where all of them are shown.
    pub path: String,
}

/// A line of the IT worklist.
#[derive(Debug)]
pub(super) struct LineRow {
    pub what: String,
    pub since: String,
    pub about: String,
    pub text: String,
    pub advice: String,
    /// The Task, where it is about one.
    pub task: Option<String>,
    /// The dead letter, where it is one.
    pub letter: Option<String>,
    /// Where it is ticked off, for whoever may.
    pub tick: Option<String>,
    /// Who ticks it off, for whoever may not.
    pub ticks: &'static str,
}

/// All of them.
#[derive(Template)]
#[template(path = "console/todo.html")]
struct TodoPage {
    frame: Frame,
    done: Option<&'static str>,
    waits: Waits,
    /// Of which kind these are; empty: of all.
    kind: &'static str,
    rows: Vec<LineRow>,
    /// Whether the newest are left out.
    more: bool,
    most: usize,
}

/// `GET /console/to-do`.
pub(super) async fn page(State(web): State<Shared>, RawQuery(query): RawQuery, Keeper(seen): Keeper) -> Response {
    let picture = match web.console.picture().await {
        Ok(picture) => picture,
        Err(error) => return away(&error),
    };
    let registry = web.console.registry.load();
    let waits = waits(&picture.lines, &picture.backlog, &registry, LINES_MAX);
    let done = done::told(query.clone());
    let query = pairs(&query.unwrap_or_default());
    let wanted = query.iter().find(|(key, _)| key == "kind").map_or("", |(_, kind)| kind.as_str());
    let kind = match waits.kinds.iter().find(|kind| kind.code == wanted) {
        Some(kind) => kind.code,
        None if wanted.is_empty() => "",
        // the last of them may just have been seen to
        None if picture.lines.is_empty() || kind_words(wanted).is_some() => "",
        None => return absent(&seen),
    };
    let mut lines: Vec<&Line> = picture.lines.iter().filter(|line| kind.is_empty() || line.kind == kind).collect();
    lines.sort_by_key(|line| rank(line.kind));
    let more = lines.len() > LINES_MAX;
    let rows = lines.into_iter().take(LINES_MAX).map(|line| LineRow::of(line, &registry).for_whom(&seen, line));
    let rows = rows.collect();
    let frame = Frame::of(&seen, Section::Console);
    page::shown(StatusCode::OK, &TodoPage { frame, done, waits, kind, rows, more, most: LINES_MAX })
}

/// Of what was read (of each sort at most one more than `most`, the oldest first): how many there are of each kind, and which are worst.
/// Dead letters are counted where they wait, all of them.
pub(super) fn waits(lines: &[Line], backlog: &[Backlog], registry: &Registry, most: usize) -> Waits {
    let dead = |side: Side| backlog.iter().filter(|one| one.side == side).map(|one| one.dead).sum::<u64>();
    let (delivery, back) = (dead(Side::Delivery), dead(Side::WriteBack));
    let mut kinds: Vec<KindRow> = Vec::new();
    let mut sorted: Vec<&Line> = lines.iter().collect();
    sorted.sort_by_key(|line| rank(line.kind));
    for line in &sorted {
        match kinds.iter_mut().find(|kind| kind.code == line.kind) {
            Some(kind) => kind.count += 1,
            None => kinds.push(KindRow {
                code: line.kind,
                what: said(line.kind),
                count: 1,
                is_more: false,
                since: minute(line.since),
                path: format!("/console/to-do?kind={}", line.kind),
            }),
        }
    }
    for kind in &mut kinds {
        let of = match kind.code {
            code if code == TransportStatus::Undeliverable.code() => delivery,
            code if code == AlertKind::DeadLetter.code() => back,
            _ => {
                kind.is_more = kind.count > most as u64;
                kind.count = kind.count.min(most as u64);
                continue;
            }
        };
        kind.count = of.max(kind.count);
        kind.path = "/console/dead".to_owned();
    }
    let (total, is_more) = (kinds.iter().map(|kind| kind.count).sum(), kinds.iter().any(|kind| kind.is_more));
    let worst = sorted.into_iter().take(WORST).map(|line| LineRow::of(line, registry)).collect();
    Waits { total, is_more, kinds, worst }
}

fn said(kind: &str) -> String {
    kind_words(kind).map_or_else(|| super::words::spoken(kind), str::to_owned)
}

/// What to do about a line, as it is done on these pages.
fn advice(line: &Line) -> String {
    let of = |kinds: &[&str]| kinds.contains(&line.kind);
    if of(&[TransportStatus::Undeliverable.code(), AlertKind::DeadLetter.code()]) {
        return "find the cause, have it put right, then try the message again or put it away".to_owned();
    }
    if of(&[AlertKind::DeliveryDelayed.code()]) {
        return "ask whoever runs the provider’s server; it is tried again by itself, and every try stands with the referral".to_owned();
    }
    // what is only on a page of others leads nobody astray
    if of(&[AlertKind::GlassBroken.code()]) {
        return "an auditor sees under “Records opened” who gave which reason, and asks whether it was needed"
            .to_owned();
    }
    if of(&[AlertKind::WorkerLetIn.code()]) {
        return "an auditor sees under “Accounts changed” who let in whom, and asks that person whether she has set up the account herself".to_owned();
    }
    plain(line.advice)
}

/// An inbox, originating system or destination by its name for people, with its id.
pub(super) fn named(about: &str, registry: &Registry) -> String {
    let id = about.parse::<Destination>().map_or_else(|_| about.to_owned(), |of| of.to);
    let inbox = id.parse::<InboxId>().ok().and_then(|id| registry.inboxes.get(&id));
    let provider = inbox.and_then(|inbox| registry.providers.get(&inbox.provider)).map(|one| &one.name);
    let system = id.parse::<SystemId>().ok().and_then(|id| registry.systems.get(&id)).map(|one| &one.name);
    provider.or(system).map_or_else(|| plain(about), |name| format!("{name} ({id})"))
}

// === impl LineRow ===

impl LineRow {
    pub(super) fn of(line: &Line, registry: &Registry) -> Self {
        let is_letter = [TransportStatus::Undeliverable.code(), AlertKind::DeadLetter.code()].contains(&line.kind);
        Self {
            what: said(line.kind),
            since: minute(line.since),
            about: named(&line.about, registry),
            text: plain(&line.text),
            advice: advice(line),
            task: line.task.map(|task| task.to_string()),
            letter: is_letter.then(|| line.id.clone()),
            tick: None,
            ticks: "",
        }
    }

    /// The same for somebody: with where she ticks it off, or who does.
    fn for_whom(self, seen: &Seen, line: &Line) -> Self {
        if tick::may_tick(&seen.visitor.person, &seen.visitor.positions, line) {
            return Self { tick: Some(format!("/console/to-do/{}/done", line.id)), ..self };
        }
        Self { ticks: tick::who_ticks(line), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::console::tests::{config, line};

    #[test]
    fn each_kind_is_counted_and_the_gravest_are_shown_whatever_is_older() {
        let registry = config().registry;
        let mut lines: Vec<Line> = (0..7).map(|_| line("overdue")).collect();
        lines.push(line("store-trouble"));
        lines.extend((0..2).map(|_| line("undeliverable")));
        let backlog = [Backlog { side: Side::Delivery, to: "life-rooms".into(), waiting: 0, oldest: None, dead: 40 }];
        let waits = waits(&lines, &backlog, &registry, 6);
        let told: Vec<(&str, u64, bool)> =
            waits.kinds.iter().map(|kind| (kind.code, kind.count, kind.is_more)).collect();
        assert_eq!(told, [("store-trouble", 1, false), ("undeliverable", 40, false), ("overdue", 6, true)]);
        assert_eq!((waits.total, waits.is_more, waits.worst.len()), (47, true, WORST));
        assert_eq!(waits.kinds[1].path, "/console/dead");
        let worst: Vec<&str> = waits.worst.iter().map(|row| row.what.as_str()).collect();
        assert_eq!(worst[..3], ["Store in trouble", "Could not be delivered", "Could not be delivered"]);
        assert_eq!(waits.worst[3].about, "The Life Rooms (life-rooms)");
    }

    #[test]
    fn every_kind_has_words_and_no_advice_looks_like_code() {
        let registry = config().registry;
        for kind in AlertKind::ALL {
            let one = Line { advice: kind.advice(), ..line(kind.code()) };
            let row = LineRow::of(&one, &registry);
            assert!(kind_words(kind.code()).is_some(), "{kind:?}");
            assert!(!format!("{row:?}").contains('`'), "{row:?}");
        }
        for kind in TransportStatus::ALL.iter().filter(|kind| **kind != TransportStatus::HandedOver) {
            assert!(kind_words(kind.code()).is_some(), "{kind:?}");
        }
    }

    #[test]
    fn whom_a_line_is_about_is_named() {
        let registry = config().registry;
        for (about, told) in [
            ("life-rooms", "The Life Rooms (life-rooms)"),
            ("writeback.merseycare-rio", "Mersey Care (merseycare-rio)"),
            ("directory", "directory"),
            ("", ""),
        ] {
            assert_eq!(named(about, &registry), told);
        }
    }
}

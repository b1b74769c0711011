//! `GET /console/journal`: what happened when, by whom and where, over all referrals. Codes and ids; nothing of what is in a referral.

use std::str::FromStr;

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
    response::Response,
};
use jiff::{SignedDuration, Timestamp, civil::DateTime};
use uuid::Uuid;

use super::{
    Keeper, away,
    steps::{self, Step},
    words::{LONDON, spoken},
};
use crate::{
    config::Registry,
    domain::{Actor, Event, InboxId, SystemId, TaskId},
    http::call::pairs,
    store::{FoundLine, JournalCursor, JournalPage, JournalQuery, LINES_LOOKED_AT_MAX, Store, StoreError},
    web::{
        Shared,
        form::Seen,
        frame::{Frame, Section},
        page::{self, Fault},
    },
};

/// Lines on a page.
const PAGE: usize = 50;
/// Who did it is no longer than this.
const ACTOR_CHARS_MAX: usize = 200;
/// How a browser writes a moment (HTML, `datetime-local`).
const MOMENT: &str = "%Y-%m-%dT%H:%M";

/// The page.
#[derive(Template)]
#[template(path = "console/journal.html")]
struct JournalView {
    frame: Frame,
    wanted: Wanted,
    faults: Vec<Fault>,
    events: Vec<(String, String)>,
    inboxes: Vec<(String, String)>,
    systems: Vec<(String, String)>,
    rows: Vec<Row>,
    /// The URL of the next page.
    next: Option<String>,
    /// Whether what is wanted may lie further back than was looked.
    goes_on: bool,
    looked_at: usize,
}

/// A line.
struct Row {
    step: Step,
    what: String,
    task: TaskId,
    inbox: String,
}

/// What is looked for, as it is written.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Wanted {
    from: String,
    to: String,
    event: String,
    actor: String,
    inbox: String,
    system: String,
    task: String,
    after: String,
}

/// What is looked for, as it is asked.
struct Asked {
    query: JournalQuery,
    task: Option<TaskId>,
}

/// `GET /console/journal`.
pub(super) async fn page(State(web): State<Shared>, RawQuery(query): RawQuery, Keeper(seen): Keeper) -> Response {
    let wanted = Wanted::read(&pairs(&query.unwrap_or_default()), web.console.store.now());
    let registry = web.console.registry.load();
    let asked = match wanted.asked() {
        Ok(asked) => asked,
        Err(faults) => {
            let view = JournalView { faults, ..JournalView::of(&seen, &registry, wanted) };
            return page::shown(StatusCode::UNPROCESSABLE_ENTITY, &view);
        }
    };
    match found(&*web.console.store, asked).await {
        Ok(found) => page::shown(StatusCode::OK, &JournalView::of(&seen, &registry, wanted).with(found, &registry)),
        Err(error) => away(&error),
    }
}

/// Of one Task its whole journal is read, and what is not wanted left out.
async fn found(store: &dyn Store, Asked { query, task }: Asked) -> Result<JournalPage, StoreError> {
    let Some(id) = task else { return store.find_journal(query).await };
    let Some(task) = store.task(id).await? else { return Ok(JournalPage::default()) };
    let lines = store.journal(id).await?.into_iter().map(|line| FoundLine {
        task: id,
        inbox: task.inbox.clone(),
        system: task.system.clone(),
        line,
    });
    let mut lines: Vec<FoundLine> = lines.filter(|found| is_wanted(found, &query)).collect();
    lines.reverse();
    let next = (lines.len() > query.count).then(|| lines.get(query.count.saturating_sub(1))).flatten();
    let next = next.map(|last| (last.line.at, last.task, last.line.seq));
    lines.truncate(query.count);
    Ok(JournalPage { lines, next })
}

fn is_wanted(found: &FoundLine, query: &JournalQuery) -> bool {
    let line = &found.line;
    line.at >= query.from
        && line.at < query.before
        && query.after.is_none_or(|after| (line.at, found.task, line.seq) < after)
        && query.event.as_ref().is_none_or(|event| line.event.name() == event)
        && query.actor.as_ref().is_none_or(|actor| line.actor == *actor)
        && query.inbox.as_ref().is_none_or(|inbox| found.inbox == *inbox)
        && query.system.as_ref().is_none_or(|system| found.system == *system)
}

// === impl Wanted ===

impl Wanted {
    /// As a URL has it; the last day, if it says nothing of when.
    fn read(query: &[(String, String)], now: Timestamp) -> Self {
        let text = |name: &str| {
            let found = query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.trim());
            found.chars().take(ACTOR_CHARS_MAX).collect::<String>()
        };
        let written = |at: Timestamp| at.to_zoned(LONDON).strftime(MOMENT).to_string();
        let or = |text: String, at: Timestamp| if text.is_empty() { written(at) } else { text };
        Self {
            from: or(text("from"), now.saturating_sub(SignedDuration::from_hours(24)).unwrap_or(now)),
            // the minute that has begun is in it
            to: or(text("to"), now.saturating_add(SignedDuration::from_mins(1)).unwrap_or(now)),
            event: text("event"),
            actor: text("actor"),
            inbox: text("inbox"),
            system: text("system"),
            task: text("task"),
            after: text("after"),
        }
    }

    fn asked(&self) -> Result<Asked, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut wrong = |field: &'static str, told: &str| faults.push(Fault::at(field, told));
        let (from, before) = (at(&self.from), at(&self.to));
        if from.is_none() {
            wrong("from", "Write a day and a time, such as 2026-11-26T09:00");
        }
        if before.is_none() {
            wrong("to", "Write a day and a time, such as 2026-11-26T17:00");
        }
        if let (Some(from), Some(before)) = (from, before)
            && before <= from
        {
            wrong("to", "Write a time after the first");
        }
        let event = (!self.event.is_empty()).then(|| self.event.clone());
        if event.as_ref().is_some_and(|event| !Event::NAMES.contains(&event.as_str())) {
            wrong("event", "Choose one of the events");
        }
        let actor = if self.actor.is_empty() { Some(None) } else { actor(&self.actor).map(Some) };
        if actor.is_none() {
            wrong("actor", "Write onward, system:ID, provider:ID or operator:NAME");
        }
        let inbox = one_of::<InboxId>(&self.inbox);
        if inbox.is_none() {
            wrong("inbox", "Choose one of the inboxes");
        }
        let system = one_of::<SystemId>(&self.system);
        if system.is_none() {
            wrong("system", "Choose one of the systems");
        }
        let task = one_of::<Uuid>(&self.task);
        if task.is_none() {
            wrong("task", "Write the id of a Task");
        }
        let after = if self.after.is_empty() { Some(None) } else { cursor(&self.after).map(Some) };
        let all = (from, before, actor, inbox, system, task, after);
        match all {
            (Some(from), Some(before), Some(actor), Some(inbox), Some(system), Some(task), Some(after))
                if faults.is_empty() =>
            {
                let query = JournalQuery { from, before, after, event, actor, inbox, system, count: PAGE };
                Ok(Asked { query, task: task.map(TaskId) })
            }
            _ => Err(faults),
        }
    }

    /// The URL of the same from a cursor on.
    fn url(&self, (at, task, seq): JournalCursor) -> String {
        let encoded =
            |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        let after = format!("{at}_{task}_{seq}");
        let fields = [
            ("from", &self.from),
            ("to", &self.to),
            ("event", &self.event),
            ("actor", &self.actor),
            ("inbox", &self.inbox),
            ("system", &self.system),
            ("task", &self.task),
            ("after", &after),
        ];
        let said = fields.iter().filter(|(_, text)| !text.is_empty());
        let said: Vec<String> = said.map(|(name, text)| format!("{name}={}", encoded(text))).collect();
        format!("/console/journal?{}", said.join("&"))
    }
}

/// A moment in the time of London.
fn at(text: &str) -> Option<Timestamp> {
    let at: DateTime = text.parse().ok()?;
    at.to_zoned(LONDON).ok().map(|at| at.timestamp())
}

/// A value, or none where nothing is written; nothing where it is no such value.
fn one_of<T: FromStr>(text: &str) -> Option<Option<T>> {
    if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) }
}

/// Who did something, as the journal's pages write it.
fn actor(text: &str) -> Option<Actor> {
    match text.split_once(':') {
        None => (text == "onward").then_some(Actor::Onward),
        Some(("system", id)) => id.parse().ok().map(Actor::System),
        Some(("provider", id)) => id.parse().ok().map(Actor::Provider),
        Some(("operator", name)) => Some(Actor::Operator(name.to_owned())),
        Some(_) => None,
    }
}

fn cursor(text: &str) -> Option<JournalCursor> {
    let mut parts = text.split('_');
    let cursor = (parts.next()?.parse().ok()?, TaskId(parts.next()?.parse().ok()?), parts.next()?.parse().ok()?);
    parts.next().is_none().then_some(cursor)
}

// === impl JournalView ===

impl JournalView {
    fn of(seen: &Seen, registry: &Registry, wanted: Wanted) -> Self {
        let any = |words: &str| vec![(String::new(), words.to_owned())];
        let mut events = any("any");
        events.extend(Event::NAMES.iter().map(|name| ((*name).to_owned(), spoken(name))));
        let (mut inboxes, mut systems) = (any("any"), any("any"));
        inboxes.extend(registry.inboxes.keys().map(|id| (id.to_string(), id.to_string())));
        systems.extend(registry.systems.values().map(|one| (one.id.to_string(), one.name.clone())));
        Self {
            frame: Frame::of(seen, Section::Console),
            wanted,
            faults: vec![],
            events,
            inboxes,
            systems,
            rows: vec![],
            next: None,
            goes_on: false,
            looked_at: LINES_LOOKED_AT_MAX,
        }
    }

    fn with(mut self, found: JournalPage, registry: &Registry) -> Self {
        self.goes_on = found.next.is_some() && found.lines.len() < PAGE;
        self.next = found.next.map(|next| self.wanted.url(next));
        let row = |found: &FoundLine| {
            let step = steps::of_line(&found.line, registry);
            Row { what: step.name.clone(), step, task: found.task, inbox: found.inbox.to_string() }
        };
        self.rows = found.lines.iter().map(row).collect();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-07-02T09:00:01Z".parse().unwrap()
    }

    fn read(query: &str) -> Wanted {
        Wanted::read(&pairs(query), now())
    }

    #[test]
    fn what_is_written_is_asked_and_the_last_day_if_nothing_is() {
        let asked = read("").asked().ok().unwrap();
        let (from, before) = (asked.query.from, asked.query.before);
        assert_eq!(
            (from.to_string().as_str(), before.to_string().as_str()),
            ("2026-07-01T09:00:00Z", "2026-07-02T09:01:00Z")
        );
        let asked = read("event=answered&actor=operator%3Alocal%3Aolive&inbox=a&system=b").asked().ok().unwrap().query;
        assert_eq!(asked.event.as_deref(), Some("answered"));
        assert_eq!(asked.actor, Some(Actor::Operator("local:olive".into())));
        assert_eq!((asked.inbox, asked.system), ("a".parse().ok(), "b".parse().ok()));
    }

    #[test]
    fn what_is_wrong_is_told_at_its_field() {
        for (query, field) in [
            ("from=yesterday", "from"),
            ("to=x", "to"),
            ("from=2026-07-02T09:00&to=2026-07-02T09:00", "to"),
            ("event=no-such", "event"),
            ("actor=somebody", "actor"),
            ("actor=else:x", "actor"),
            ("task=7", "task"),
        ] {
            let faults = read(query).asked().err().unwrap();
            assert_eq!(faults.iter().map(|fault| fault.field).collect::<Vec<_>>(), [field], "{query}");
        }
        assert!(read("after=x").asked().is_err());
    }

    #[test]
    fn the_next_page_is_of_the_same_and_goes_on() {
        let next = (now(), TaskId(Uuid::nil()), 7);
        let url = read("event=answered").url(next);
        let again = read(url.split_once('?').unwrap().1);
        assert_eq!(again.asked().ok().unwrap().query.after, Some(next));
        assert_eq!((again.event.as_str(), again.from.as_str()), ("answered", "2026-07-01T10:00"));
    }
}

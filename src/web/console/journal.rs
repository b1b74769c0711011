//! `GET /console/journal`: what happened when, by whom and where, over all referrals. Codes and ids; nothing of what is in a referral.

use std::str::FromStr;

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
    response::Response,
};
use jiff::{SignedDuration, Timestamp};
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
    people::account::person,
    store::{FoundLine, JournalCursor, JournalPage, JournalQuery, LINES_LOOKED_AT_MAX, Store, StoreError},
    web::{
        Shared, dates,
        form::Seen,
        frame::{Frame, Section},
        inbox::words::folded,
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

/// Who did something, as it is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum By {
    /// As whose deed it counts.
    Actor(Actor),
    /// The person herself: `local:NAME` or `oidc:SUBJECT`.
    Person(String),
}

/// What is looked for, as it is asked.
#[derive(Debug)]
struct Asked {
    query: JournalQuery,
    task: Option<TaskId>,
}

/// `GET /console/journal`.
pub(super) async fn page(State(web): State<Shared>, RawQuery(query): RawQuery, Keeper(seen): Keeper) -> Response {
    let wanted = Wanted::read(&pairs(&query.unwrap_or_default()), web.console.store.now());
    let registry = web.console.registry.load();
    // whom a name belongs to is looked up only where one is written
    let accounts = match wanted.actor.as_str() {
        "" => vec![],
        _ => match web.people.accounts().await {
            Ok(accounts) => accounts.into_iter().map(|account| (account.name, account.full_name)).collect(),
            Err(error) => return away(&error),
        },
    };
    let asked = match wanted.asked(&registry, &accounts) {
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
        && query
            .person
            .as_deref()
            .is_none_or(|person| line.asked_by.as_ref().and_then(|asked| asked.person.as_deref()) == Some(person))
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
        // as a browser's own field takes it, however it was written
        let or = |text: String, at: Timestamp| match dates::moment(&text) {
            Some(at) => written(at),
            None if text.is_empty() => written(at),
            None => text,
        };
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

    fn asked(&self, registry: &Registry, accounts: &[(String, String)]) -> Result<Asked, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut wrong = |field: &'static str, told: &str| faults.push(Fault::at(field, told));
        let (from, before) = (dates::moment(&self.from), dates::moment(&self.to));
        if from.is_none() {
            wrong("from", "Write a day and a time, such as 26 November 2026, 9:00");
        }
        if before.is_none() {
            wrong("to", "Write a day and a time, such as 26 November 2026, 17:00");
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
        let by = match by(&self.actor, registry, accounts) {
            Ok(by) => Some(by),
            Err(told) => {
                wrong("actor", told);
                None
            }
        };
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
        let all = (from, before, by, inbox, system, task, after);
        match all {
            (Some(from), Some(before), Some(by), Some(inbox), Some(system), Some(task), Some(after))
                if faults.is_empty() =>
            {
                let (actor, person) = match by {
                    Some(By::Actor(actor)) => (Some(actor), None),
                    Some(By::Person(person)) => (None, Some(person)),
                    None => (None, None),
                };
                let query = JournalQuery { from, before, after, event, actor, person, inbox, system, count: PAGE };
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

/// A value, or none where nothing is written; nothing where it is no such value.
fn one_of<T: FromStr>(text: &str) -> Option<Option<T>> {
    if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) }
}

/// Who is meant by what is written: as the journal's pages write it, or by the name of a person, an account, a system or a provider. None
/// where nothing is written.
fn by(text: &str, registry: &Registry, accounts: &[(String, String)]) -> Result<Option<By>, &'static str> {
    const UNKNOWN: &str =
        "Write onward, or the name of a person, an account, a system or a provider that is known here";
    if text.is_empty() {
        return Ok(None);
    }
    let actor = |actor: Actor| Ok(Some(By::Actor(actor)));
    match text.split_once(':') {
        Some(("system", id)) => return id.parse().map_or(Err(UNKNOWN), |id| actor(Actor::System(id))),
        Some(("provider", id)) => return id.parse().map_or(Err(UNKNOWN), |id| actor(Actor::Provider(id))),
        Some(("operator", name)) => return actor(Actor::Operator(name.to_owned())),
        // also of one that is gone
        Some(("local" | "oidc", _)) => return Ok(Some(By::Person(text.to_owned()))),
        Some(_) => return Err(UNKNOWN),
        None if text == "onward" => return actor(Actor::Onward),
        None => {}
    }
    let folded = folded(text);
    let is_it = |id: &str, name: &str| id == text || self::folded(name) == folded;
    if let Some(one) = registry.systems.values().find(|one| is_it(one.id.as_str(), &one.name)) {
        return actor(Actor::System(one.id.clone()));
    }
    if let Some(one) = registry.providers.values().find(|one| is_it(one.id.as_str(), &one.name)) {
        return actor(Actor::Provider(one.id.clone()));
    }
    if let Some((name, _)) = accounts.iter().find(|(name, _)| name == text) {
        return Ok(Some(By::Person(person(name))));
    }
    let mut called = accounts.iter().filter(|(_, name)| self::folded(name) == folded);
    match (called.next(), called.next()) {
        (Some((name, _)), None) => Ok(Some(By::Person(person(name)))),
        (Some(_), Some(_)) => Err("Several people have this name. Write the name of the account"),
        (None, _) => Err(UNKNOWN),
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
    use crate::web::console::tests::config;

    fn now() -> Timestamp {
        "2026-07-02T09:00:01Z".parse().unwrap()
    }

    fn read(query: &str) -> Wanted {
        Wanted::read(&pairs(query), now())
    }

    /// What is asked where two people have the same name.
    fn asked(query: &str) -> Result<Asked, Vec<Fault>> {
        let account = |name: &str, full: &str| (name.to_owned(), full.to_owned());
        let accounts = [account("luke", "Luke Byrne"), account("mary", "Mary Éte"), account("mary2", "Mary Ete")];
        read(query).asked(&config().registry, &accounts)
    }

    #[test]
    fn who_did_it_is_found_by_whatever_name_one_knows() {
        let person = |name: &str| Some(By::Person(name.to_owned()));
        let system = |id: &str| Some(By::Actor(Actor::System(id.parse().unwrap())));
        let provider = |id: &str| Some(By::Actor(Actor::Provider(id.parse().unwrap())));
        for (text, expected) in [
            ("", None),
            ("onward", Some(By::Actor(Actor::Onward))),
            ("Mersey Care", system("merseycare-rio")),
            ("merseycare-rio", system("merseycare-rio")),
            ("the life rooms", provider("life-rooms")),
            ("luke", person("local:luke")),
            ("LUKE BYRNE", person("local:luke")),
            ("oidc:77", person("oidc:77")),
            ("local:gone", person("local:gone")),
        ] {
            let found = asked(&format!("actor={}", text.replace(' ', "%20"))).unwrap().query;
            let by = found.actor.map(By::Actor).or(found.person.map(By::Person));
            assert_eq!(by, expected, "{text}");
        }
        let told = asked("actor=mary%20ete").unwrap_err();
        assert_eq!(told[0].told, "Several people have this name. Write the name of the account");
    }

    #[test]
    fn what_is_written_is_asked_and_the_last_day_if_nothing_is() {
        let found = asked("").unwrap();
        let (from, before) = (found.query.from, found.query.before);
        assert_eq!(
            (from.to_string().as_str(), before.to_string().as_str()),
            ("2026-07-01T09:00:00Z", "2026-07-02T09:01:00Z")
        );
        let found = asked("event=answered&actor=operator%3Alocal%3Aolive&inbox=a&system=b").unwrap().query;
        assert_eq!(found.event.as_deref(), Some("answered"));
        assert_eq!(found.actor, Some(Actor::Operator("local:olive".into())));
        assert_eq!((found.inbox, found.system), ("a".parse().ok(), "b".parse().ok()));
        let written = asked("from=1%20July%202026,%209:30am").unwrap().query.from;
        assert_eq!(written.to_string(), "2026-07-01T08:30:00Z", "as pages write it");
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
            let faults = asked(query).unwrap_err();
            assert_eq!(faults.iter().map(|fault| fault.field).collect::<Vec<_>>(), [field], "{query}");
        }
        assert!(asked("after=x").is_err());
    }

    #[test]
    fn the_next_page_is_of_the_same_and_goes_on() {
        let next = (now(), TaskId(Uuid::nil()), 7);
        let url = read("event=answered").url(next);
        let again = read(url.split_once('?').unwrap().1);
        assert_eq!(again.asked(&config().registry, &[]).unwrap().query.after, Some(next));
        assert_eq!((again.event.as_str(), again.from.as_str()), ("answered", "2026-07-01T10:00"));
    }
}

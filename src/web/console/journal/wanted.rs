//! What is looked for in the journal: as it is written, as a URL has it, as it is asked. A URL names no person: who is looked for is sealed in
//! it (`people`), and everything else stands in it as it is.

use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{
    super::doer::{self, By},
    PAGE,
};
use crate::{
    config::Registry,
    domain::{Actor, Event, InboxId, SystemId, TaskId, written::LONDON},
    store::{JournalCursor, JournalQuery},
    web::{dates, page::Fault},
};

/// What it is called that a route set became the active one, which stands in no referral's journal.
pub(super) const ACTIVATED: &str = "route-set-activated";
/// Who did it is no longer than this.
const ACTOR_CHARS_MAX: usize = 200;
/// Nor is it when it is sealed.
const SEALED_CHARS_MAX: usize = 2_000;
/// How a browser writes a moment (HTML, `datetime-local`).
const MOMENT: &str = "%Y-%m-%dT%H:%M";

/// What is looked for, as it is written.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) event: String,
    pub(super) actor: String,
    /// The same where it is a person, as a URL has it.
    pub(super) by: String,
    pub(super) inbox: String,
    pub(super) system: String,
    pub(super) task: String,
    after: String,
}

/// What is looked for, as it is asked.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) query: JournalQuery,
    pub(super) task: Option<TaskId>,
}

// === impl Wanted ===

impl Wanted {
    /// As a URL has it; the last day, if it says nothing of when.
    pub(super) fn read(query: &[(String, String)], now: Timestamp) -> Self {
        let within = |name: &str, most: usize| {
            let found = query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.trim());
            found.chars().take(most).collect::<String>()
        };
        let text = |name: &str| within(name, ACTOR_CHARS_MAX);
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
            by: within("by", SEALED_CHARS_MAX),
            inbox: text("inbox"),
            system: text("system"),
            task: text("task"),
            after: text("after"),
        }
    }

    /// Whether a person is looked for, where that can be told.
    pub(super) fn names_somebody(&self, registry: &Registry, people: &[(String, String)]) -> bool {
        let is_somebody =
            |by: By| !by.persons.is_empty() || by.actors.iter().any(|actor| matches!(actor, Actor::Operator(_)));
        doer::by(&self.actor, registry, people).is_ok_and(is_somebody)
    }

    /// What the store is asked, with what is wrong at each field.
    pub(super) fn asked(&self, registry: &Registry, people: &[(String, String)]) -> Result<Asked, Vec<Fault>> {
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
        if event.as_ref().is_some_and(|event| event != ACTIVATED && !Event::NAMES.contains(&event.as_str())) {
            wrong("event", "Choose one of the events");
        }
        let by = match doer::by(&self.actor, registry, people) {
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
                let By { actors, persons } = by;
                let query = JournalQuery { from, before, after, event, actors, persons, inbox, system, count: PAGE };
                Ok(Asked { query, task: task.map(TaskId) })
            }
            _ => Err(faults),
        }
    }

    /// The URL of the same, from a cursor on where there is one. Where who did it stands in it sealed, it stands there in no other way.
    pub(super) fn url(&self, after: Option<JournalCursor>) -> String {
        let encoded =
            |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        let after = after.map_or_else(String::new, |(at, task, seq)| format!("{at}_{task}_{seq}"));
        let actor = if self.by.is_empty() { ("actor", &self.actor) } else { ("by", &self.by) };
        let fields = [
            ("from", &self.from),
            ("to", &self.to),
            ("event", &self.event),
            actor,
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

fn cursor(text: &str) -> Option<JournalCursor> {
    let mut parts = text.split('_');
    let cursor = (parts.next()?.parse().ok()?, TaskId(parts.next()?.parse().ok()?), parts.next()?.parse().ok()?);
    parts.next().is_none().then_some(cursor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{http::call::pairs, web::console::tests::config};

    fn now() -> Timestamp {
        "2026-07-02T09:00:01Z".parse().unwrap()
    }

    fn read(query: &str) -> Wanted {
        Wanted::read(&pairs(query), now())
    }

    /// What is asked where there is somebody.
    fn asked(query: &str) -> Result<Asked, Vec<Fault>> {
        read(query).asked(&config().registry, &[("local:luke".to_owned(), "Luke Byrne".to_owned())])
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
        assert_eq!(found.actors, [Actor::Operator("local:olive".into())]);
        assert_eq!(asked("actor=byrne").unwrap().query.persons, ["local:luke"]);
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
        let url = read("event=answered&actor=life-rooms").url(Some(next));
        let again = read(url.split_once('?').unwrap().1);
        assert_eq!(again.asked(&config().registry, &[]).unwrap().query.after, Some(next));
        assert_eq!((again.event.as_str(), again.from.as_str()), ("answered", "2026-07-01T10:00"));
        assert_eq!(again.actor, "life-rooms");
    }

    #[test]
    fn who_is_a_person_stands_in_no_url_but_sealed() {
        let people = [("local:luke".to_owned(), "Luke Byrne".to_owned())];
        let names_somebody = |actor: &str| {
            Wanted { actor: actor.into(), ..Wanted::default() }.names_somebody(&config().registry, &people)
        };
        for who in ["luke", "luke byrne", "byr", "local:gone", "oidc:77", "operator:local:olive"] {
            assert!(names_somebody(who), "{who}");
        }
        for who in ["", "onward", "system:merseycare-rio", "The Life Rooms", "no such"] {
            assert!(!names_somebody(who), "{who}");
        }
        let url = Wanted { by: "xyz".into(), actor: "Luke Byrne".into(), ..Wanted::default() }.url(None);
        assert_eq!(url, "/console/journal?by=xyz");
    }
}

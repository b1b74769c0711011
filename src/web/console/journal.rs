//! `/console/journal`: what happened when, by whom and where, over all referrals, and which routes were in force. Codes and ids; nothing of
//! what is in a referral. A search has a URL that can be kept, and no person is named in it.

use std::collections::BTreeSet;

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
    response::Response,
};

use jiff::Timestamp;

use super::{
    Keeper, absent, away, doer, may_look,
    steps::{self, Step},
    words::{happened, moment},
};
use crate::{
    config::Registry,
    domain::{Actor, Event, TaskId},
    http::call::pairs,
    people::PeopleError,
    store::{Activation, FoundLine, JournalPage, JournalQuery, LINES_LOOKED_AT_MAX, Store, StoreError, is_own_test},
    web::{
        Shared, Web,
        called::Called,
        form::{Seen, Signed},
        frame::{Frame, Section},
        page::{self, Fault},
    },
};

mod wanted;

use wanted::{ACTIVATED, Asked, Wanted};

/// Lines on a page.
const PAGE: usize = 50;
/// So many activations of route sets are looked at, the newest.
const ACTIVATIONS_MAX: usize = 1_000;
/// Who was looked for through a URL that was kept.
const HOLDS_NO_MORE: &str = "Write again who did it: this link was made for somebody else, or too long ago";
/// Who is a person is looked for by the form alone.
const IN_NO_URL: &str = "Select Look to find what this person did: no address of a page may name a person";

/// The page.
#[derive(Template)]
#[template(path = "console/journal.html")]
struct JournalView {
    frame: Frame,
    made_for: String,
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
    /// The Task that it is about.
    task: Option<TaskId>,
    inbox: String,
    /// Where more of it stands, and what the link says.
    leads_to: (String, &'static str),
}

/// What was found: lines of Tasks, and what became of the routes in the same time.
struct Found {
    page: JournalPage,
    activations: Vec<Activation>,
}

/// `GET /console/journal`.
pub(super) async fn page(State(web): State<Shared>, RawQuery(query): RawQuery, Keeper(seen): Keeper) -> Response {
    let mut wanted = Wanted::read(&pairs(&query.unwrap_or_default()), web.console.store.now());
    if !wanted.by.is_empty() {
        wanted.actor = match web.people.sought(&seen.visitor, &wanted.by).await {
            Ok(Some(who)) => who,
            Ok(None) => return refused(&web, &seen, wanted, vec![Fault::at("actor", HOLDS_NO_MORE)]),
            Err(error) => return not_known(&error),
        };
    }
    let people = match known_by_name(&web, &wanted).await {
        Ok(people) => people,
        Err(error) => return away(&error),
    };
    let registry = web.console.registry.load();
    if wanted.by.is_empty() && wanted.names_somebody(&registry, &people) {
        return refused(&web, &seen, wanted, vec![Fault::at("actor", IN_NO_URL)]);
    }
    let asked = match wanted.asked(&registry, &people) {
        Ok(asked) => asked,
        Err(faults) => return refused(&web, &seen, wanted, faults),
    };
    match found_with_routes(&*web.console.store, asked).await {
        Ok(found) => {
            let of_providers = found.page.lines.iter().filter_map(|found| match &found.line.actor {
                Actor::Provider(id) => Some(id),
                _ => None,
            });
            let of_providers: BTreeSet<_> = of_providers.collect();
            let read = async {
                let own_tests = given_up_of_own_tests(&*web.console.store, &found.page).await?;
                Ok((own_tests, Called::read(&web, of_providers).await?))
            };
            match read.await {
                Ok((own_tests, called)) => {
                    let view = JournalView::of(&seen, &registry, wanted).with(&found, &own_tests, &registry, &called);
                    page::shown(StatusCode::OK, &view)
                }
                Err(error) => away(&error),
            }
        }
        Err(error) => away(&error),
    }
}

/// `POST /console/journal`: to where what is looked for stands in the URL, without the name of any person.
pub(super) async fn look(State(web): State<Shared>, signed: Signed) -> Response {
    let seen = signed.seen();
    if !may_look(&seen.visitor.positions) {
        return absent(&seen);
    }
    let mut wanted = Wanted::read(&signed.form.typed(), web.console.store.now());
    wanted.by.clear();
    let people = match known_by_name(&web, &wanted).await {
        Ok(people) => people,
        Err(error) => return away(&error),
    };
    let registry = web.console.registry.load_full();
    if let Err(faults) = wanted.asked(&registry, &people) {
        return refused(&web, &seen, wanted, faults);
    }
    if wanted.names_somebody(&registry, &people) {
        wanted.by = match web.people.to_be_sought(&seen.visitor, &wanted.actor).await {
            Ok(sealed) => sealed,
            Err(error) => return not_known(&error),
        };
    }
    page::to(&wanted.url(None))
}

fn refused(web: &Web, seen: &Seen, wanted: Wanted, faults: Vec<Fault>) -> Response {
    let view = JournalView { faults, ..JournalView::of(seen, &web.console.registry.load(), wanted) };
    page::shown(StatusCode::UNPROCESSABLE_ENTITY, &view)
}

fn not_known(error: &PeopleError) -> Response {
    tracing::warn!(%error, "who is looked for in the journal cannot be sealed or opened");
    page::unavailable()
}

/// Whom a name may belong to, looked up only where one is written.
async fn known_by_name(web: &Web, wanted: &Wanted) -> Result<Vec<(String, String)>, StoreError> {
    if wanted.actor.is_empty() { Ok(vec![]) } else { doer::people(web, &web.console.registry.load()).await }
}

/// Of which Tasks of a page something was given up that is of a test of Onward's own.
async fn given_up_of_own_tests(store: &dyn Store, page: &JournalPage) -> Result<BTreeSet<TaskId>, StoreError> {
    let given_up = page.lines.iter().filter(|found| steps::is_given_up(&found.line.event)).map(|found| found.task);
    let mut own = BTreeSet::new();
    for task in given_up.collect::<BTreeSet<_>>() {
        if is_own_test(store, task).await? {
            own.insert(task);
        }
    }
    Ok(own)
}

/// A page of the journals, with the activations of route sets from where it begins to where it ends.
async fn found_with_routes(store: &dyn Store, asked: Asked) -> Result<Found, StoreError> {
    let query = asked.query.clone();
    let is_of_tasks = asked.task.is_some() || query.inbox.is_some() || query.system.is_some();
    let event = query.event.as_deref();
    let page = if event == Some(ACTIVATED) { JournalPage::default() } else { found(store, asked).await? };
    if is_of_tasks || event.is_some_and(|event| event != ACTIVATED) {
        return Ok(Found { page, activations: vec![] });
    }
    let activations = store.routes_history(ACTIVATIONS_MAX).await?;
    let end = page.next.map(|(at, ..)| at);
    // what stands at the moment where a page ends is on the next
    let is_here = |one: &Activation| {
        let begins = query.after.map_or(one.at < query.before, |(at, ..)| one.at <= at && one.at < query.before);
        begins && one.at >= query.from && end.is_none_or(|end| one.at > end)
    };
    let is_by = |one: &Activation| !query.asks_who() || query.persons.contains(&one.signed.author);
    let activations = activations.into_iter().filter(|one| is_here(one) && is_by(one)).collect();
    Ok(Found { page, activations })
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
        && query.is_by(line)
        && query.inbox.as_ref().is_none_or(|inbox| found.inbox == *inbox)
        && query.system.as_ref().is_none_or(|system| found.system == *system)
}

// === impl JournalView ===

impl JournalView {
    fn of(seen: &Seen, registry: &Registry, wanted: Wanted) -> Self {
        let any = |words: &str| vec![(String::new(), words.to_owned())];
        let mut events = any("any");
        events.extend(Event::NAMES.iter().chain([&ACTIVATED]).map(|name| ((*name).to_owned(), happened(name))));
        let (mut inboxes, mut systems) = (any("any"), any("any"));
        inboxes.extend(registry.inboxes.keys().map(|id| (id.to_string(), id.to_string())));
        systems.extend(registry.systems.values().map(|one| (one.id.to_string(), one.name.clone())));
        Self {
            frame: Frame::of(seen, Section::Console),
            made_for: seen.made_for.clone(),
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

    fn with(
        mut self,
        Found { page, activations }: &Found,
        own_tests: &BTreeSet<TaskId>,
        registry: &Registry,
        called: &Called,
    ) -> Self {
        self.goes_on = page.next.is_some() && page.lines.len() < PAGE;
        self.next = page.next.map(|next| self.wanted.url(Some(next)));
        let mut rows: Vec<(Timestamp, Row)> =
            page.lines.iter().map(|found| (found.line.at, Row::of(found, own_tests, registry, called))).collect();
        rows.extend(activations.iter().map(|one| (one.at, Row::of_activation(one, called))));
        // of one moment in the order in which they were found
        rows.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        self.rows = rows.into_iter().map(|(_, row)| row).collect();
        self
    }
}

// === impl Row ===

impl Row {
    fn of(found: &FoundLine, own_tests: &BTreeSet<TaskId>, registry: &Registry, called: &Called) -> Self {
        let step = steps::of_line(&found.line, own_tests.contains(&found.task), registry, called);
        Self {
            what: step.name.clone(),
            step,
            task: Some(found.task),
            inbox: found.inbox.to_string(),
            leads_to: (format!("/console/trace/{}", found.task), "The way of this referral"),
        }
    }

    /// That a route set became the active one.
    fn of_activation(one: &Activation, called: &Called) -> Self {
        let again = if one.is_new { "" } else { " again" };
        let step = Step {
            at: moment(one.at),
            name: happened(ACTIVATED),
            number: None,
            said: format!("Version {} of the routes is in force{again}: {}", one.number, one.signed.comment),
            by: called.of(&one.signed.author),
            asked: String::new(),
            tasks: vec![],
        };
        let leads_to = (format!("/console/routes/versions/{}", one.number), "This version of the routes");
        Self { what: step.name.clone(), step, task: None, inbox: String::new(), leads_to }
    }
}

//! `/console/journal`: what happened when, by whom and where, over all referrals. Codes and ids; nothing of what is in a referral. A search
//! has a URL that can be kept, and no person is named in it.

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
    response::Response,
};

use super::{
    Keeper, absent, away, may_look,
    steps::{self, Step},
    words::spoken,
};
use crate::{
    config::Registry,
    domain::{Event, TaskId},
    http::call::pairs,
    people::PeopleError,
    store::{Account, AccountName, FoundLine, JournalPage, JournalQuery, LINES_LOOKED_AT_MAX, Store, StoreError},
    web::{
        Shared, Web,
        form::{Seen, Signed},
        frame::{Frame, Section},
        page::{self, Fault},
    },
};

mod wanted;

use wanted::{Asked, Wanted};

/// Lines on a page.
const PAGE: usize = 50;
/// So many people whose accounts are forgotten are known by their names for people; the others by their names to log in with.
const FORGOTTEN_MAX: usize = 10_000;
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
    task: TaskId,
    inbox: String,
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
    let accounts = match web.known_by_name(&wanted).await {
        Ok(accounts) => accounts,
        Err(error) => return away(&error),
    };
    let registry = web.console.registry.load();
    if wanted.by.is_empty() && wanted.names_somebody(&registry, &accounts) {
        return refused(&web, &seen, wanted, vec![Fault::at("actor", IN_NO_URL)]);
    }
    let asked = match wanted.asked(&registry, &accounts) {
        Ok(asked) => asked,
        Err(faults) => return refused(&web, &seen, wanted, faults),
    };
    match found(&*web.console.store, asked).await {
        Ok(found) => page::shown(StatusCode::OK, &JournalView::of(&seen, &registry, wanted).with(found, &registry)),
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
    let accounts = match web.known_by_name(&wanted).await {
        Ok(accounts) => accounts,
        Err(error) => return away(&error),
    };
    let registry = web.console.registry.load_full();
    if let Err(faults) = wanted.asked(&registry, &accounts) {
        return refused(&web, &seen, wanted, faults);
    }
    if wanted.names_somebody(&registry, &accounts) {
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

impl Web {
    /// Whom a name may belong to, looked up only where one is written.
    async fn known_by_name(&self, wanted: &Wanted) -> Result<Vec<AccountName>, StoreError> {
        if wanted.actor.is_empty() {
            return Ok(vec![]);
        }
        let accounts = self.people.accounts().await?.into_iter();
        let mut all: Vec<_> = accounts.map(|Account { name, full_name, .. }| AccountName { name, full_name }).collect();
        all.extend(self.store.forgotten_accounts(FORGOTTEN_MAX).await?);
        Ok(all)
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

    fn with(mut self, found: JournalPage, registry: &Registry) -> Self {
        self.goes_on = found.next.is_some() && found.lines.len() < PAGE;
        self.next = found.next.map(|next| self.wanted.url(Some(next)));
        let row = |found: &FoundLine| {
            let step = steps::of_line(&found.line, registry);
            Row { what: step.name.clone(), step, task: found.task, inbox: found.inbox.to_string() }
        };
        self.rows = found.lines.iter().map(row).collect();
        self
    }
}

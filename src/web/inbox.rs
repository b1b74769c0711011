//! `/inbox`: the referrals of a provider, for the people who work them.

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use uuid::Uuid;

use super::{
    Shared, Web,
    form::{Glance, Seen, Signed},
    frame::{self, Frame, Section},
    page::{self, Fault, Pages},
};
use crate::{
    auth::{Deed, What, Who, may},
    config::registry::Registry,
    domain::{Position, ProviderId, TaskId, Timestamp},
    http::call::pairs,
    people::{
        Visitor,
        account::{name_of, person},
    },
    store::{Account, Parties, StoreError, TaskQuery, TaskRecord},
};

mod act;
mod assign;
mod csv;
mod document;
pub(super) mod done;
mod finding;
mod form_of;
mod led_to;
mod letter;
pub(super) mod line;
pub(super) mod list;
pub(super) mod live;
mod meanwhile;
mod news;
mod noted;
mod onward;
mod passing;
mod put_right;
mod referral;
mod say;
mod scores;
mod story;
mod timeline;
pub(super) mod words;

pub(super) use act::{act, actions, form, heading_of};
pub(super) use assign::{assign, give};
pub(super) use csv::{csv, csv_of_search};
pub(super) use document::document;
pub(super) use form_of::Kind;
pub(super) use led_to::{answer as led_to_answer, form as led_to_form};
pub(super) use letter::letter;
pub(super) use onward::{form as onward_form, step as onward_step};
pub(super) use put_right::{form as put_right_form, put_right};
pub(super) use referral::referral;
pub(super) use say::message;
pub(super) use story::Story;

pub use live::Live;

use line::Line;
use list::{Shown, Wanted};

/// What a person is asked before something of her is passed on. For templates.
pub(super) const AGREED: [(&str, &str); 2] = [("yes", "Yes"), ("no", "No, or I have not asked")];

/// So many referrals that a search finds are shown.
const FOUND_MAX: usize = 100;
/// A search is for no more characters.
const SOUGHT_CHARS_MAX: usize = 100;

/// The page.
#[derive(Template)]
#[template(path = "inbox.html")]
struct InboxPage {
    frame: Frame,
    faults: Vec<Fault>,
    done: Option<String>,
    made_for: String,
    sought: String,
    list: ListView,
}

/// What of it changes by itself.
#[derive(Template)]
#[template(path = "lines.html")]
struct LinesPart {
    list: ListView,
}

/// What a list says.
struct ListView {
    counts: Vec<Count>,
    rows: Vec<Row>,
    pages: Pages,
    caption: String,
    view: &'static str,
    sort: &'static str,
    worker: String,
    inbox: String,
    orders: Vec<(&'static str, &'static str)>,
    workers: Vec<(String, String)>,
    hands: Vec<(String, String)>,
    inboxes: Vec<(String, String)>,
    /// It is what a search found.
    is_search: bool,
    /// What it shows, as the query of its URL.
    query: String,
    /// Where what changes by itself is asked for; empty for what does not.
    live: String,
    csv: String,
}

/// A view, and how many lines it has.
struct Count {
    name: &'static str,
    number: String,
    url: String,
    is_here: bool,
}

/// A line of the table.
struct Row {
    task: TaskId,
    person: String,
    /// Date of birth and NHS number.
    about: String,
    /// What else the person is or was called: why a search found her.
    names: String,
    flagged: bool,
    died: bool,
    is_test: bool,
    what: String,
    priority: Option<words::Tag>,
    inbox: String,
    status: words::Tag,
    marks: Vec<words::Tag>,
    came: String,
    due: String,
    worker: String,
}

/// `GET /inbox`.
pub(super) async fn page(State(web): State<Shared>, seen: Seen, RawQuery(query): RawQuery) -> Response {
    let pairs = pairs(&query.unwrap_or_default());
    let wanted = Wanted::read(&pairs);
    let done = pairs.iter().find(|(name, _)| name == done::PARAMETER).and_then(|(_, code)| done::words_of_list(code));
    match view(&web, &seen.visitor, &wanted).await {
        Ok(Some(list)) => shown(StatusCode::OK, &seen, list, (String::new(), done), vec![]),
        Ok(None) => absent(&seen),
        Err(error) => away(&error),
    }
}

/// `GET /inbox/lines`: what of the page changes by itself, where it is another than the browser has (`If-None-Match`).
pub(super) async fn lines(
    State(web): State<Shared>,
    Glance(seen): Glance,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let wanted = Wanted::read(&pairs(&query.unwrap_or_default()));
    let list = match view(&web, &seen.visitor, &wanted).await {
        Ok(Some(list)) => list,
        Ok(None) => return absent(&seen),
        Err(error) => return away(&error),
    };
    let Ok(html) = (LinesPart { list }).render() else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    page::part(html, &headers)
}

/// `POST /inbox/search`. By a form, so that no URL, and no log of one, holds a name.
pub(super) async fn search(State(web): State<Shared>, signed: Signed) -> Response {
    searched(&web, &signed.seen(), &sought_in(&signed), None).await
}

/// What a form looks for.
fn sought_in(signed: &Signed) -> String {
    signed.form.text("sought").trim().chars().take(SOUGHT_CHARS_MAX).collect()
}

/// The page of a search; `done` is told on it.
async fn searched(web: &Web, seen: &Seen, sought: &str, done: Option<String>) -> Response {
    if sought.is_empty() {
        let fault = Fault::at("sought", "Enter a name, an NHS number or a reference");
        return match view(web, &seen.visitor, &Wanted::read(&[])).await {
            Ok(Some(list)) => shown(StatusCode::UNPROCESSABLE_ENTITY, seen, list, (String::new(), None), vec![fault]),
            Ok(None) => absent(seen),
            Err(error) => away(&error),
        };
    }
    match found_view(web, &seen.visitor, sought).await {
        Ok(Some(list)) => shown(StatusCode::OK, seen, list, (sought.to_owned(), done), vec![]),
        Ok(None) => absent(seen),
        Err(error) => away(&error),
    }
}

fn shown(
    status: StatusCode,
    seen: &Seen,
    list: ListView,
    (sought, done): (String, Option<String>),
    faults: Vec<Fault>,
) -> Response {
    let (frame, made_for) = (Frame::of(seen, Section::Inbox), seen.made_for.clone());
    page::shown(status, &InboxPage { frame, faults, done, made_for, sought, list })
}

/// The page of a referral. For templates.
pub(super) fn path_of(task: &TaskId) -> String {
    format!("/inbox/{task}")
}

/// What somebody may not see is as if it were not there.
pub(super) fn absent(seen: &Seen) -> Response {
    let told = "There is no such page, or it is not for you.";
    page::told_in(Frame::of(seen, Section::None), StatusCode::NOT_FOUND, told, ("/", "Go on to Onward"))
}

pub(super) fn away(error: &StoreError) -> Response {
    tracing::warn!(%error, "referrals cannot be read");
    page::unavailable()
}

/// All lines that somebody may see, the moment they were read, and whose they are; none where no referral is hers to see.
async fn lines_of(web: &Web, visitor: &Visitor) -> Result<Option<(Vec<Arc<Line>>, Vec<ProviderId>)>, StoreError> {
    let mut providers: Vec<ProviderId> = frame::providers(&visitor.positions).cloned().collect();
    providers.sort_unstable();
    providers.dedup();
    let mut all = Vec::new();
    for provider in &providers {
        all.extend(web.live.lines(provider).await?.iter().cloned());
    }
    Ok((!providers.is_empty()).then_some((all, providers)))
}

async fn view(web: &Web, visitor: &Visitor, wanted: &Wanted) -> Result<Option<ListView>, StoreError> {
    let Some((all, providers)) = lines_of(web, visitor).await? else { return Ok(None) };
    let now = web.store.now();
    let shown = list::shown(&all, wanted, now, list::PAGE);
    let workers = web.workers(visitor, &providers, &all).await?;
    let left = left_by(&all, &workers);
    let registry = web.registry.load();
    let mut list = ListView::of(&registry, &providers, workers, wanted, &shown, now);
    list.workers.extend(left);
    Ok(Some(list))
}

/// Who has referrals that are open, and is given none any more: somebody must look for them.
fn left_by(lines: &[Arc<Line>], workers: &[(String, String)]) -> BTreeMap<String, String> {
    let of = |line: &Arc<Line>| {
        let worker = line.worker.as_ref().filter(|_| line.is_open())?;
        Some((worker.id.clone()?, format!("{} (works here no more)", worker.name)))
    };
    let is_gone = |id: &String| !workers.iter().any(|(worker, _)| worker == id);
    lines.iter().filter_map(of).filter(|(id, _)| is_gone(id)).collect()
}

/// What a search finds, as a list.
async fn found_view(web: &Web, visitor: &Visitor, text: &str) -> Result<Option<ListView>, StoreError> {
    let Some((all, providers)) = lines_of(web, visitor).await? else { return Ok(None) };
    let found = found(web, &all, &providers, text).await?;
    let now = web.store.now();
    let wanted = Wanted::read(&[]);
    let counts = list::shown(&all, &wanted, now, list::PAGE).counts;
    let shown = Shown { counts, total: found.len(), tests: 0, lines: found, page: 1 };
    let workers = web.workers(visitor, &providers, &all).await?;
    let registry = web.registry.load();
    Ok(Some(ListView::of(&registry, &providers, workers, &wanted, &shown, now).of_search()))
}

/// What a search finds: in these lists, and beyond them by a whole NHS number or reference.
async fn found(
    web: &Web,
    all: &[Arc<Line>],
    providers: &[ProviderId],
    text: &str,
) -> Result<Vec<Arc<Line>>, StoreError> {
    let mut found = list::sought(all, text, FOUND_MAX);
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let names = vec![crate::fhir::names::name(text), crate::fhir::names::name(&digits)];
    let ids: Vec<Uuid> = text.parse().ok().into_iter().collect();
    for provider in providers {
        let of = TaskQuery { providers: vec![provider.clone()], count: FOUND_MAX, ..TaskQuery::default() };
        let more = web.store.referrals_of(of, ids.clone(), names.clone()).await?;
        let more = web.live.lines_of(provider, more).await?;
        found.extend(more.into_iter().filter(|line| line.provider == *provider));
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|line| seen.insert(line.task));
    found.truncate(FOUND_MAX);
    Ok(found)
}

impl Web {
    /// Who may be given referrals: the people who work these providers' referrals, with accounts or let in by their issuer, who has some
    /// already, and oneself.
    async fn workers(
        &self,
        visitor: &Visitor,
        providers: &[ProviderId],
        lines: &[Arc<Line>],
    ) -> Result<Vec<(String, String)>, StoreError> {
        let works = |position: &Position| matches!(position, Position::ProviderWorker(id) if providers.contains(id));
        let accounts = self.people.accounts().await?;
        let of = |account: &Account| (person(&account.name), account.full_name.clone());
        let here = |account: &&Account| !account.disabled && account.positions.iter().any(works);
        let mut workers: Vec<(String, String)> = accounts.iter().filter(here).map(of).collect();
        // who cannot log in, or works here no more, is given nothing more
        let let_in = self.people.let_in(providers).await?;
        workers.extend(let_in.works);
        let mut seen: std::collections::HashSet<String> =
            workers.iter().map(|(id, _)| id.clone()).chain(let_in.gone).collect();
        if seen.insert(visitor.person.clone()) {
            workers.push((visitor.person.clone(), visitor.name.clone()));
        }
        // of thousands of lines a few people work each
        for worker in lines.iter().filter_map(|line| line.worker.as_ref()) {
            // with a local account, also one that is forgotten, she was found above if she works here
            let is_let_in = |id: &&String| name_of(id).is_none() && !seen.contains(*id);
            if let Some(id) = worker.id.as_ref().filter(is_let_in) {
                seen.insert(id.clone());
                workers.push((id.clone(), worker.name.clone()));
            }
        }
        workers.sort_by_cached_key(|(person, name)| (name.to_lowercase(), person.clone()));
        // oneself first: it is what is chosen most
        workers.sort_by_key(|(person, _)| *person != visitor.person);
        Ok(workers)
    }

    /// A Task that somebody may do this with, by what stands in a URL; else the page that is answered.
    pub(super) async fn named(&self, seen: &Seen, task: &str, deed: Deed) -> Result<TaskRecord, Response> {
        let Ok(task) = task.parse::<TaskId>() else { return Err(absent(seen)) };
        let found = self.task_for(&seen.visitor, task, deed).await.map_err(|error| away(&error))?;
        found.ok_or_else(|| absent(seen))
    }

    /// A Task that somebody may see, and do this with; none where it is absent, or not hers.
    pub(super) async fn task_for(
        &self,
        visitor: &Visitor,
        id: TaskId,
        deed: Deed,
    ) -> Result<Option<TaskRecord>, StoreError> {
        let Some(task) = self.store.task(id).await?.filter(|task| !task.is_parent()) else { return Ok(None) };
        let parties = Parties { system: task.system.clone(), providers: vec![task.provider.clone()] };
        let own = frame::providers(&visitor.positions).any(|id| *id == task.provider);
        let allowed = own && may(Who::Person(&visitor.positions), deed, What::referral(&parties));
        Ok(allowed.then_some(task))
    }
}

impl ListView {
    fn of(
        registry: &Registry,
        providers: &[ProviderId],
        workers: Vec<(String, String)>,
        wanted: &Wanted,
        shown: &Shown,
        now: Timestamp,
    ) -> Self {
        let at = |change: &dyn Fn(&mut Wanted)| {
            let mut other = Wanted { page: 1, ..wanted.clone() };
            change(&mut other);
            other.url("/inbox")
        };
        let counts = list::VIEWS.iter().zip(shown.counts).map(|((view, _, name), number)| Count {
            name,
            number: number.to_string(),
            url: at(&|other| other.view = *view),
            is_here: *view == wanted.view,
        });
        let all_inboxes = registry.inboxes.values().filter(|inbox| providers.contains(&inbox.provider));
        let inboxes = all_inboxes.map(|inbox| (inbox.id.to_string(), registry.called(inbox)));
        let inboxes: Vec<(String, String)> =
            std::iter::once((String::new(), "All".to_owned())).chain(inboxes).collect();
        let several = inboxes.len() > 2;
        let rows = shown.lines.iter().map(|line| {
            let inbox = if several { inboxes.iter().find(|(id, _)| *id == line.inbox.to_string()) } else { None };
            Row::of(line, inbox.map_or_else(String::new, |(_, name)| name.clone()), now)
        });
        let last = shown.total.div_ceil(list::PAGE).max(1);
        let page = shown.page;
        let pages = Pages {
            number: page,
            before: (page > 1).then(|| at(&|other| other.page = page - 1)),
            after: (page < last).then(|| at(&|other| other.page = page + 1)),
        };
        let name = list::VIEWS.iter().find(|(view, ..)| *view == wanted.view).map_or("", |(.., name)| name);
        let tests = match shown.tests {
            0 => String::new(),
            1 => " and 1 test".to_owned(),
            tests => format!(" and {tests} tests"),
        };
        let all = format!("{name}: {}{tests}", shown.total.saturating_sub(shown.tests));
        let caption = if last == 1 { all } else { format!("{all}, page {page} of {last}") };
        let any = [("".to_owned(), "Anybody".to_owned()), ("none".to_owned(), "Nobody yet".to_owned())];
        let whose: Vec<(String, String)> = any.into_iter().chain(workers.iter().cloned()).collect();
        let nobody = ("none".to_owned(), "Nobody".to_owned());
        Self {
            counts: counts.collect(),
            rows: rows.collect(),
            pages,
            caption,
            view: list::VIEWS.iter().find(|(view, ..)| *view == wanted.view).map_or("", |(_, code, _)| code),
            sort: wanted.sort(),
            worker: wanted.worker().to_owned(),
            inbox: wanted.inbox.as_ref().map(ToString::to_string).unwrap_or_default(),
            orders: list::ORDERS.iter().map(|(_, code, name)| (*code, *name)).collect(),
            workers: whose,
            hands: workers.into_iter().chain([nobody]).collect(),
            inboxes,
            is_search: false,
            query: wanted.query(),
            live: wanted.url("/inbox/lines"),
            csv: wanted.url("/inbox/list.csv"),
        }
    }

    /// The same of what a search found, which stands in no URL and so is not asked for again.
    fn of_search(mut self) -> Self {
        self.caption = match self.rows.len() {
            0 => "Nothing was found".to_owned(),
            FOUND_MAX => format!("The first {FOUND_MAX} that were found"),
            count => format!("Found: {count}"),
        };
        self.live = String::new();
        self.is_search = true;
        self.pages = Pages { number: 1, before: None, after: None };
        self.counts.iter_mut().for_each(|count| count.is_here = false);
        self
    }
}

impl Row {
    fn of(line: &Line, inbox: String, now: Timestamp) -> Self {
        let born = if line.born.is_empty() { String::new() } else { format!("born {}", words::date(&line.born)) };
        let number = words::nhs_number(&line.nhs_number);
        let about = [born, number].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ");
        Self {
            task: line.task,
            person: line.person.clone(),
            about,
            names: line.names.in_words(),
            flagged: line.flagged,
            died: line.died,
            is_test: line.is_test,
            what: line.what.clone(),
            priority: line.priority,
            inbox,
            status: words::status_of(line.state.status, line.taken_back),
            marks: line.news.iter().copied().chain(words::marks(&line.state, now)).collect(),
            came: words::day(line.came),
            due: words::to_do(&line.state).unwrap_or_default(),
            worker: line.worker.as_ref().map_or_else(String::new, |worker| worker.name.clone()),
        }
    }
}

#[cfg(test)]
mod tests;

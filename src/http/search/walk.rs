//! Searches that name nothing by which few are found: the Tasks or ServiceRequests of the client are gone through, along an index and
//! in its order, as many as a page needs and no more than a bound. What the index does not tell is looked at in the resources; where few
//! of them match, a page may hold less than was asked for, and its link goes on from there.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{Match, Page, cursor::Cursor, few::not_a_cursor, too_costly, world};
use crate::{
    domain::{ProviderId, ReferralId, TaskId},
    fhir::{Issue, IssueCode},
    http::{
        Shared,
        call::Caller,
        reply::Fault,
        surroundings::{Found, Surroundings, concerning},
    },
    search::{Search, World},
    store::{StoredResource, TaskQuery, TaskRecord},
};

/// So many are looked at for one page.
const LOOKED_AT_MAX: usize = 2_000;
/// So many are read at once at the most, where not every one will match.
const CHUNK_MAX: usize = 200;
/// Where too few of those that were read matched, so many times as many are read next.
const CHUNK_GROWS: usize = 4;
/// While pages are turned in the order of changes, so many may change again.
const MOVED_MAX: usize = 500;
/// Times are told in milliseconds and kept in microseconds.
const TOLD: SignedDuration = SignedDuration::from_millis(1);

/// The order in which the index lies that is gone along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Order {
    by_change: bool,
    descending: bool,
}

/// What was read of a candidate.
struct Seen {
    /// By what it lies in that order: its own id, or its Task's.
    id: Uuid,
    /// When it had changed last, as the order has it.
    at: Timestamp,
    candidate: Match,
}

/// A page of this client's Tasks or ServiceRequests.
pub(super) async fn page(
    app: &Shared,
    search: &Search,
    caller: &Caller,
    surroundings: &Surroundings<'_>,
    base: &str,
) -> Result<Page, Fault> {
    if let Some(beyond) = search.looking_beyond().next() {
        let told = "what the references of everything lead to is not looked through: name the person (patient.identifier), the \
                    referral (identifier, based-on, focus) or the resources (_id) as well";
        return Err(too_costly(&format!("http.{}", beyond.name), told));
    }
    let order = order(search, caller)?;
    if search.total {
        return count(app, search, caller, order, surroundings, base).await;
    }
    let mut walk = Walk::new(app, search, caller, order)?;
    let mut page = Page::default();
    while let Some(seen) = walk.next(search.count + 1 - page.matches.len().min(search.count)).await? {
        if !walk.matches(&seen.candidate, surroundings, base) {
            continue;
        }
        if page.matches.len() == search.count {
            page.next = walk.before_last.clone();
            return Ok(page);
        }
        page.matches.push(seen.candidate);
    }
    page.next = if walk.ended { None } else { walk.last.clone() };
    Ok(page)
}

/// How many there are, with the first page of them.
async fn count(
    app: &Shared,
    search: &Search,
    caller: &Caller,
    order: Order,
    surroundings: &Surroundings<'_>,
    base: &str,
) -> Result<Page, Fault> {
    if search.after.is_some() {
        let told = "the first page tells the total: go on without _total";
        return Err(Fault::invalid(vec![Issue::error(IssueCode::NotSupported, "http._total", told)]));
    }
    let mut walk = Walk::new(app, search, caller, order)?;
    let (mut page, mut total) = (Page::default(), 0);
    while let Some(seen) = walk.next(LOOKED_AT_MAX).await? {
        if !walk.matches(&seen.candidate, surroundings, base) {
            continue;
        }
        total += 1;
        if page.matches.len() < search.count {
            page.matches.push(seen.candidate);
            page.next = walk.last.clone();
        }
    }
    if !walk.ended {
        let told =
            format!("there are more than {LOOKED_AT_MAX} to be counted: narrow the search, or go without a total");
        return Err(too_costly("http._total", told));
    }
    if total == page.matches.len() || search.count == 0 {
        page.next = None;
    }
    page.total = Some(total);
    Ok(page)
}

/// The order that is asked for, where an index lies so.
fn order(search: &Search, caller: &Caller) -> Result<Order, Fault> {
    let only_sends = concerning(&caller.clients).providers.is_empty();
    let (from, _) = search.updated_within();
    let told = "everything would have to be read to be sorted so: sort by _id or _lastUpdated, or name the person \
                (patient.identifier) or the referral";
    match search.sort.as_slice() {
        // what changed lately lies together by its change
        [] => Ok(Order { by_change: from.is_some(), descending: false }),
        [one] => match (one.name, search.of.as_str()) {
            // ids grow as Tasks are made, and authoredOn says when
            ("_id", _) | ("authored-on", "Task") => Ok(Order { by_change: false, descending: one.descending }),
            ("_lastUpdated", "Task") => Ok(Order { by_change: true, descending: one.descending }),
            // for providers no index lies so
            ("_lastUpdated", "ServiceRequest") if only_sends => {
                Ok(Order { by_change: true, descending: one.descending })
            }
            _ => Err(too_costly("http._sort", told)),
        },
        _ => Err(too_costly("http._sort", told)),
    }
}

struct Walk<'w> {
    app: &'w Shared,
    search: &'w Search,
    query: TaskQuery,
    order: Order,
    /// ServiceRequests are gone along themselves, not by their Tasks.
    by_request: bool,
    as_of: Timestamp,
    /// Whether the index alone tells what matches.
    exact: bool,
    /// So many are read at once, where it does not: as many as are wanted first, for as a rule nearly all match.
    chunk: usize,
    /// Those that changed since `as_of`, where they stood then.
    moved: Vec<Seen>,
    read: std::collections::VecDeque<Seen>,
    requests: HashSet<String>,
    looked_at: usize,
    /// Nothing is behind what was read.
    drained: bool,
    /// All was gone through.
    ended: bool,
    last: Option<Cursor>,
    before_last: Option<Cursor>,
}

impl<'w> Walk<'w> {
    fn new(app: &'w Shared, search: &'w Search, caller: &Caller, order: Order) -> Result<Self, Fault> {
        let mut query = concerning(&caller.clients);
        query.by_change = order.by_change;
        query.descending = order.descending;
        let cursor = match search.after.as_deref().map(Cursor::read) {
            None => None,
            Some(Some(cursor)) => Some(cursor),
            Some(None) => return Err(not_a_cursor()),
        };
        let as_of = match (&cursor, order.by_change) {
            (None, _) => app.store.now(),
            (Some(Cursor::Made(id)), false) => {
                query.after = Some(TaskId(*id));
                app.store.now()
            }
            (Some(Cursor::Changed { at, of, as_of }), true) => {
                (query.after, query.after_change) = (Some(TaskId(*of)), Some(*at));
                *as_of
            }
            _ => return Err(not_a_cursor()),
        };
        let (from, before) = search.updated_within();
        // the order of ids is gone along whatever has changed: then the resources tell
        if order.by_change {
            query.from = from.and_then(|at| at.checked_sub(TOLD).ok());
            let before = before.and_then(|at| at.checked_add(TOLD).ok());
            query.before = Some(before.map_or(as_of, |before| before.min(as_of)));
        } else if search.of == "Task" {
            query.statuses = search.task_statuses();
        }
        let by_index = |name: &str| name == "status" && search.of == "Task" && !order.by_change;
        let exact = search.conditions.iter().all(|condition| by_index(&condition.name));
        let by_request = search.of == "ServiceRequest" && (!order.by_change || query.providers.is_empty());
        Ok(Self {
            app,
            search,
            query,
            order,
            by_request,
            as_of,
            exact,
            chunk: 0,
            moved: Vec::new(),
            read: std::collections::VecDeque::new(),
            requests: HashSet::new(),
            looked_at: 0,
            drained: false,
            ended: false,
            last: cursor,
            before_last: None,
        })
    }

    fn matches(&self, candidate: &Match, surroundings: &Surroundings<'_>, base: &str) -> bool {
        let find = |kind: &str, id: &str| surroundings.organisation(kind, id);
        let world: World<'_> = world(base, &candidate.found, &find);
        self.search.matches(&candidate.found.body, &world)
    }

    /// The next candidate. `wanted`: how many would do.
    async fn next(&mut self, wanted: usize) -> Result<Option<Seen>, Fault> {
        if self.looked_at == 0 && self.order.by_change {
            self.find_moved().await?;
        }
        // what changed while it is gone along is put where it stood
        while self.read.is_empty() && !self.drained && self.looked_at < LOOKED_AT_MAX {
            self.chunk = (self.chunk * CHUNK_GROWS).max(wanted).min(CHUNK_MAX);
            self.fill(if self.exact { wanted } else { self.chunk }).await?;
        }
        let Some(seen) = self.read.pop_front() else {
            self.ended = self.drained;
            if let (false, Some(task), Some(at)) = (self.drained, self.query.after, self.query.after_change) {
                // what was read last were ServiceRequests that had been seen before
                self.last = Some(Cursor::Changed { at, of: task.0, as_of: self.as_of });
            }
            return Ok(None);
        };
        self.before_last = self.last.take();
        self.last = Some(if self.order.by_change {
            Cursor::Changed { at: seen.at, of: seen.id, as_of: self.as_of }
        } else {
            Cursor::Made(seen.id)
        });
        if self.read.is_empty() && self.drained {
            self.ended = true;
        }
        Ok(Some(seen))
    }

    async fn fill(&mut self, count: usize) -> Result<(), Fault> {
        let count = count.clamp(1, LOOKED_AT_MAX - self.looked_at);
        self.query.count = count;
        let new: Vec<Seen> = if self.by_request {
            let found = self.app.store.find_requests(self.query.clone(), None).await?;
            if let Some(request) = found.last() {
                (self.query.after, self.query.after_change) = (Some(TaskId(request.id)), Some(request.last_updated));
            }
            found.iter().map(|stored| seen(None, stored, &[])).collect::<Result<_, Fault>>()?
        } else {
            let found = self.app.store.search_tasks(self.query.clone()).await?;
            if let Some((task, _)) = found.last() {
                (self.query.after, self.query.after_change) = (Some(task.id), Some(task.last_updated));
            }
            found
                .iter()
                .map(|(task, stored)| seen(Some(task), stored, &self.query.providers))
                .collect::<Result<_, Fault>>()?
        };
        self.drained = new.len() < count;
        self.looked_at += new.len();
        let mut all = self.in_place(new);
        if self.search.of == "ServiceRequest" && !self.by_request {
            all = self.requests_of(all).await?;
        }
        self.read.extend(all);
        Ok(())
    }

    /// Puts those that changed meanwhile where they stood.
    fn in_place(&mut self, new: Vec<Seen>) -> Vec<Seen> {
        if !self.order.by_change {
            return new;
        }
        let descending = self.order.descending;
        let key = |seen: &Seen| (seen.at, seen.id);
        let up_to = if self.drained { None } else { new.last().map(key) };
        let (now, later): (Vec<Seen>, Vec<Seen>) =
            std::mem::take(&mut self.moved).into_iter().partition(|moved| match up_to {
                None => true,
                Some(last) if descending => key(moved) >= last,
                Some(last) => key(moved) <= last,
            });
        self.moved = later;
        let mut all: Vec<Seen> = new.into_iter().chain(now).collect();
        all.sort_by_key(key);
        if descending {
            all.reverse();
        }
        all
    }

    /// Finds what changed since the first page was read, and where it stood then.
    async fn find_moved(&mut self) -> Result<(), Fault> {
        let query = TaskQuery {
            from: Some(self.as_of),
            before: None,
            after: None,
            after_change: None,
            descending: false,
            count: MOVED_MAX + 1,
            ..self.query.clone()
        };
        let changed: Vec<Seen> = if self.by_request {
            let found = self.app.store.find_requests(query, None).await?;
            found.iter().map(|stored| seen(None, stored, &[])).collect::<Result<_, Fault>>()?
        } else {
            let found = self.app.store.search_tasks(query).await?;
            found
                .iter()
                .map(|(task, stored)| seen(Some(task), stored, &self.query.providers))
                .collect::<Result<_, Fault>>()?
        };
        if changed.len() > MOVED_MAX {
            let told = "too much has changed since the first page was read: begin again";
            return Err(Fault::invalid(vec![Issue::error(IssueCode::Expired, "http._after", told)]));
        }
        let last = match self.last {
            Some(Cursor::Changed { at, of, .. }) => Some((at, of)),
            _ => None,
        };
        for seen in changed {
            let versions = self.app.store.versions(&seen.candidate.found.kind, seen.id).await?;
            let Some(then) = versions.iter().rev().find(|version| version.last_updated < self.as_of) else { continue };
            let place = (then.last_updated, seen.id);
            let comes = last.is_none_or(|last| if self.order.descending { place < last } else { place > last });
            if comes {
                self.moved.push(Seen { at: then.last_updated, ..seen });
            }
        }
        Ok(())
    }

    /// The ServiceRequests of these Tasks: a change of one is stored with a step of its Tasks.
    async fn requests_of(&mut self, tasks: Vec<Seen>) -> Result<Vec<Seen>, Fault> {
        let referrals: Vec<ReferralId> = tasks.iter().filter_map(|seen| seen.candidate.referral).collect();
        let query = TaskQuery { referrals: Some(referrals), count: tasks.len(), ..concerning_of(&self.query) };
        let found = self.app.store.find_requests(query, None).await?;
        let mut requests = Vec::with_capacity(tasks.len());
        for task in tasks {
            let request = found.iter().find(|request| Some(request.referral) == task.candidate.referral);
            let Some(request) = request.filter(|request| self.requests.insert(request.id.to_string())) else {
                continue;
            };
            let of_request = seen(None, request, &[])?;
            requests.push(Seen { id: task.id, at: task.at, candidate: of_request.candidate });
        }
        Ok(requests)
    }
}

/// Whom a query concerns, and nothing else of it.
fn concerning_of(query: &TaskQuery) -> TaskQuery {
    TaskQuery { systems: query.systems.clone(), providers: query.providers.clone(), ..TaskQuery::default() }
}

fn seen(task: Option<&TaskRecord>, stored: &StoredResource, seen_by: &[ProviderId]) -> Result<Seen, Fault> {
    let found = match task {
        Some(task) => Found::of_task(task, stored, seen_by)?,
        None => Found::of(stored)?,
    };
    Ok(Seen {
        id: stored.id,
        at: task.map_or(stored.last_updated, |task| task.last_updated),
        candidate: Match::of(stored.referral, found),
    })
}

//! `/console/routes/rehearsals/{id}`: a draft tried on referrals that came before, while somebody looks how far it is. One at a time, by
//! the process that began it, which forgets it with its end.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use askama::Template;
use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Writer, absent,
    edit::{DAYS_MAX, Draft, EditPage},
    may_activate, may_write, told,
};
use crate::{
    route_sets::{
        rehearse::Rehearsal,
        tally::{Change, Changed, Tally},
    },
    routing::RouteSet,
    web::{
        Shared, Web,
        called::bare,
        console::words::{counted, moment},
        form::{Glance, Seen, Signed},
        frame::{Frame, Section},
        page::{self, Fault},
    },
};

/// So many are remembered; the oldest that is over is forgotten.
const REHEARSALS_MAX: usize = 4;
/// Referrals that are named for each kind of change.
const EXAMPLES: usize = 3;
/// Kinds of change that are shown: the most frequent.
const KINDS_MAX: usize = 100;

/// Those that this process has begun, the newest last.
#[derive(Default)]
pub(super) struct Rehearsals {
    all: Mutex<VecDeque<Arc<One>>>,
}

/// One.
struct One {
    id: Uuid,
    by: String,
    /// What is tried, as it was written, and what it was begun on.
    text: String,
    over: u64,
    version: String,
    days: u16,
    since: Timestamp,
    /// How many referrals there are, if that is known.
    all: Option<u64>,
    done: AtomicU64,
    end: Mutex<Option<End>>,
    stop: CancellationToken,
}

/// How it ended.
#[derive(Clone)]
enum End {
    Done(Arc<Tally>),
    Stopped,
    Failed,
}

/// The page.
#[derive(Template)]
#[template(path = "routes/rehearsal.html")]
struct RehearsalPage {
    frame: Frame,
    made_for: String,
    id: Uuid,
    facts: Vec<(&'static str, String)>,
    now: String,
    tag: String,
    /// Whether it goes on.
    goes_on: bool,
    draft: String,
    over: u64,
    days: u16,
    may_activate: bool,
}

/// What of it changes by itself.
#[derive(Template)]
#[template(path = "routes/rehearsed.html")]
struct RehearsedPart {
    /// How far it is: so many of so many, in words.
    progress: Option<(u64, u64, String)>,
    says: String,
    counts: Vec<(u64, &'static str)>,
    kinds: Vec<KindSaid>,
    more: usize,
}

/// Referrals of one kind of change.
#[derive(Debug, PartialEq, Eq)]
struct KindSaid {
    says: String,
    examples: Vec<Uuid>,
}

/// Begins one, and leads to where one sees how far it is.
pub(super) async fn begin(web: &Web, seen: &Seen, draft: Draft, set: RouteSet) -> Response {
    let days = match draft.days.trim().parse::<u16>() {
        Ok(days) if (1..=DAYS_MAX).contains(&days) => days,
        _ => {
            let fault = Fault::at("days", format!("Write a number of days from 1 to {DAYS_MAX}"));
            let page = EditPage::of(seen, draft, web.routes.is_kept()).with(fault);
            return page::shown(StatusCode::UNPROCESSABLE_ENTITY, &page);
        }
    };
    let until = web.store.now();
    let from = until.checked_sub(SignedDuration::from_hours(24 * i64::from(days))).unwrap_or(Timestamp::UNIX_EPOCH);
    let one = Arc::new(One {
        id: Uuid::now_v7(),
        by: seen.visitor.person.clone(),
        text: draft.text,
        over: draft.over,
        version: set.version().to_owned(),
        days,
        since: until,
        // how many there are is good to know, and no more than that
        all: web.store.count_routed(from, until).await.ok(),
        done: AtomicU64::new(0),
        end: Mutex::default(),
        stop: web.routes.stop.child_token(),
    });
    if !web.routes.rehearsals.add(Arc::clone(&one)) {
        let text = "Another route set is being tried just now. Wait until that is done, or stop it.";
        return told(seen, StatusCode::CONFLICT, text, ("/console/routes", "Routes"));
    }
    let to = format!("/console/routes/rehearsals/{}", one.id);
    let rehearsal = Rehearsal {
        store: Arc::clone(&web.store),
        registry: web.registry.load_full(),
        candidate: Arc::new(set),
        limits: web.routes.limits.clone(),
    };
    tokio::spawn(async move {
        let counting = Arc::clone(&one);
        let mut noted = move |tally: &Tally, _: Option<&Changed>| counting.done.store(tally.total(), Ordering::Relaxed);
        let running = rehearsal.run((from, until), Tally::new(EXAMPLES), &mut noted);
        let end = match one.stop.run_until_cancelled(running).await {
            None => End::Stopped,
            Some(Ok(tally)) => End::Done(Arc::new(tally)),
            Some(Err(error)) => {
                tracing::warn!(%error, "a route set could not be tried on what came before");
                End::Failed
            }
        };
        one.ended(end);
    });
    page::to(&to)
}

/// `GET /console/routes/rehearsals/{id}`.
pub(super) async fn page(State(web): State<Shared>, Path(id): Path<String>, Writer(seen): Writer) -> Response {
    let Some(one) = web.routes.rehearsals.find(&id) else { return gone(&seen) };
    let part = one.part();
    let goes_on = part.progress.is_some();
    let now = match part.render() {
        Ok(now) => now,
        Err(error) => {
            tracing::error!(%error, "a page cannot be made");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let facts = vec![
        ("Version", one.version.clone()),
        ("Referrals", format!("those of the last {}", counted(u64::from(one.days), "day"))),
        ("Begun", moment(one.since)),
        ("By", bare(&one.by).to_owned()),
    ];
    let page = RehearsalPage {
        frame: Frame::of(&seen, Section::Routes),
        made_for: seen.made_for.clone(),
        id: one.id,
        facts,
        tag: page::tag_of(&now),
        now,
        goes_on,
        draft: one.text.clone(),
        over: one.over,
        days: one.days,
        may_activate: web.routes.is_kept() && may_activate(&seen.visitor.positions),
    };
    page::shown(StatusCode::OK, &page)
}

/// `GET /console/routes/rehearsals/{id}/now`.
pub(super) async fn now(
    State(web): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Glance(seen): Glance,
) -> Response {
    if !may_write(&seen.visitor.positions) {
        return absent(&seen);
    }
    let Some(one) = web.routes.rehearsals.find(&id) else { return gone(&seen) };
    match one.part().render() {
        Ok(html) => page::part(html, &headers),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// `POST /console/routes/rehearsals/{id}/stop`.
pub(super) async fn stop(State(web): State<Shared>, Path(id): Path<String>, signed: Signed) -> Response {
    let seen = signed.seen();
    if !may_write(&seen.visitor.positions) {
        return absent(&seen);
    }
    let Some(one) = web.routes.rehearsals.find(&id) else { return gone(&seen) };
    one.stop.cancel();
    // at once, so that the next one can begin
    one.ended(End::Stopped);
    page::to(&format!("/console/routes/rehearsals/{}", one.id))
}

/// It is not here any more, or another process has it.
fn gone(seen: &Seen) -> Response {
    let text = "This trial is not known here any more. Begin it again.";
    told(seen, StatusCode::NOT_FOUND, text, ("/console/routes", "Routes"))
}

// === impl Rehearsals ===

impl Rehearsals {
    fn all(&self) -> MutexGuard<'_, VecDeque<Arc<One>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False, and it is not kept, while another is under way.
    fn add(&self, one: Arc<One>) -> bool {
        let mut all = self.all();
        if all.iter().any(|one| one.end().is_none()) {
            return false;
        }
        while all.len() >= REHEARSALS_MAX {
            all.pop_front();
        }
        all.push_back(one);
        true
    }

    fn find(&self, id: &str) -> Option<Arc<One>> {
        let id = id.parse::<Uuid>().ok()?;
        self.all().iter().find(|one| one.id == id).cloned()
    }
}

// === impl One ===

impl One {
    fn end(&self) -> Option<End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first end counts.
    fn ended(&self, end: End) {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(end);
    }

    fn part(&self) -> RehearsedPart {
        let done = self.done.load(Ordering::Relaxed);
        let empty = RehearsedPart { progress: None, says: String::new(), counts: vec![], kinds: vec![], more: 0 };
        match self.end() {
            None => {
                let all = self.all.unwrap_or_default().max(done);
                RehearsedPart { progress: Some((done, all.max(1), format!("{done} of {all} tried"))), ..empty }
            }
            Some(End::Stopped) => {
                RehearsedPart { says: format!("It was stopped after {}.", counted(done, "referral")), ..empty }
            }
            Some(End::Failed) => {
                RehearsedPart { says: "The store could not be read to the end. Try it again.".to_owned(), ..empty }
            }
            Some(End::Done(tally)) => RehearsedPart::of(&tally),
        }
    }
}

// === impl RehearsedPart ===

impl RehearsedPart {
    fn of(tally: &Tally) -> Self {
        let says = match (tally.total(), tally.unlike()) {
            (0, _) => "No referral came in that time.".to_owned(),
            (all, 0) => format!("Nothing changes for {}.", counted(all, "referral")),
            (all, unlike) => {
                format!("{unlike} of {} would not go where they went, or cannot be compared.", counted(all, "referral"))
            }
        };
        let counts = [
            (tally.same, "go where they went"),
            (tally.other_route, "of those by another route"),
            (tally.of(Change::Elsewhere), "go elsewhere"),
            (tally.of(Change::Refused), "are refused"),
            (tally.of(Change::Triage), "go to triage"),
            (tally.unknown, "went somewhere that was not kept"),
            (tally.unreadable, "cannot be read any more"),
        ];
        let kinds = tally.kinds();
        let more = kinds.len().saturating_sub(KINDS_MAX);
        let kinds = kinds.into_iter().take(KINDS_MAX).map(|((_, was, goes), alike)| KindSaid {
            says: format!(
                "{}: to {was} before ({}), {} now ({})",
                counted(alike.count, "referral"),
                was.route(),
                if goes.refused.is_some() { goes.to_string() } else { format!("to {goes}") },
                goes.route()
            ),
            examples: alike.examples.clone(),
        });
        Self { progress: None, says, counts: counts.into(), kinds: kinds.collect(), more }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::route_sets::went::Went;

    fn one(n: u64) -> Arc<One> {
        Arc::new(One {
            id: Uuid::now_v7(),
            by: "local:rita".into(),
            text: String::new(),
            over: n,
            version: "0123".into(),
            days: 30,
            since: Timestamp::UNIX_EPOCH,
            all: Some(10),
            done: AtomicU64::new(4),
            end: Mutex::default(),
            stop: CancellationToken::new(),
        })
    }

    #[test]
    fn one_at_a_time_and_no_more_than_are_remembered() {
        let rehearsals = Rehearsals::default();
        let first = one(0);
        assert!(rehearsals.add(Arc::clone(&first)));
        assert!(!rehearsals.add(one(1)), "the first goes on");
        first.ended(End::Stopped);
        for n in 1..=REHEARSALS_MAX as u64 {
            let next = one(n);
            next.ended(End::Failed);
            assert!(rehearsals.add(next));
        }
        assert!(rehearsals.find(&first.id.to_string()).is_none(), "the oldest is forgotten");
        assert!(rehearsals.find("x").is_none());
    }

    #[test]
    fn how_far_it_is_and_what_it_came_to_is_told() {
        let one = one(0);
        assert_eq!(one.part().progress, Some((4, 10, "4 of 10 tried".to_owned())));
        let to =
            |inbox: &str| Went { inboxes: BTreeSet::from([inbox.to_owned()]), route: Some("r".into()), refused: None };
        let mut tally = Tally::new(EXAMPLES);
        tally.add(Uuid::nil(), Some(to("a")), Some(to("b")));
        tally.add(Uuid::nil(), Some(to("a")), Some(to("a")));
        one.ended(End::Done(Arc::new(tally)));
        one.ended(End::Stopped);
        let part = one.part();
        assert_eq!(part.progress, None);
        assert_eq!(part.says, "1 of 2 referrals would not go where they went, or cannot be compared.");
        assert_eq!(
            part.kinds,
            [KindSaid { says: "1 referral: to a before (r), to b now (r)".into(), examples: vec![Uuid::nil()] }]
        );
        assert_eq!(part.counts[2], (1, "go elsewhere"));
    }
}

//! Searches that name something by which a few referrals are found: all that goes with those is looked at, sorted and counted.

use std::cmp::Ordering;

use jiff::Timestamp;
use uuid::Uuid;

use super::{Match, Page, cursor::Cursor, too_costly, world};
use crate::{
    domain::ReferralId,
    fhir::{Issue, IssueCode},
    http::{
        Shared,
        read::resource_body,
        reply::Fault,
        surroundings::{Found, Surroundings},
    },
    search::{Leads, Search},
    store::TaskQuery,
};

/// One search looks at no more referrals than this.
const REFERRALS_MAX: usize = 500;

/// A page of what goes with the referrals that the search leads to.
pub(super) async fn page(
    app: &Shared,
    search: &Search,
    leads: Leads,
    surroundings: &mut Surroundings<'_>,
    base: &str,
) -> Result<Page, Fault> {
    // from here on: what changes while it is read stands where it stood before
    let now = app.store.now();
    let (ids, names) = match leads {
        // a Provenance of ours bears its Task's id first
        Leads::Ids(ids) => (ids.iter().filter_map(|id| id.get(..36)?.parse().ok()).collect(), vec![]),
        Leads::Beside(ids) => (ids, vec![]),
        Leads::Named(names) => (vec![], names),
        Leads::Nothing => (Vec::<Uuid>::new(), vec![]),
    };
    let seen = TaskQuery { count: REFERRALS_MAX + 1, ..surroundings.concerned() };
    let referrals = app.store.referrals_of(seen, ids, names).await?;
    if referrals.len() > REFERRALS_MAX {
        let told = format!("this is about more than {REFERRALS_MAX} referrals: narrow it");
        return Err(too_costly("http", told));
    }
    surroundings.read(&referrals).await?;
    let mut candidates: Vec<Match> = Vec::new();
    for referral in &referrals {
        let own = surroundings.of(*referral).iter().filter(|found| found.kind == search.of);
        candidates.extend(own.map(|found| Match::of(*referral, found.clone())));
    }
    sorted(app, search, now, candidates, surroundings, base).await
}

/// A page of these, which are all that there are.
pub(super) fn whole(
    search: &Search,
    all: impl IntoIterator<Item = Match>,
    surroundings: &Surroundings<'_>,
    base: &str,
) -> Result<Page, Fault> {
    let mut all: Vec<Keyed> = all.into_iter().map(|m| keyed(search, m, None, surroundings, base)).collect();
    all.sort_by(|a, b| order(search, a, b));
    cut(search, all, surroundings, base, Timestamp::now())
}

/// Resources that go with no referral.
pub(super) fn own(bodies: Vec<serde_json::Value>) -> Vec<Match> {
    let text = |body: &serde_json::Value, name: &str| {
        body.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    };
    let found = |body: serde_json::Value| Found {
        kind: text(&body, "resourceType"),
        id: text(&body, "id"),
        version: 1,
        last_updated: Timestamp::UNIX_EPOCH,
        owner: None,
        body,
    };
    bodies.into_iter().map(|body| Match { referral: None, found: found(body), metres: None }).collect()
}

/// A candidate with what orders it.
struct Keyed {
    keys: Vec<Option<String>>,
    candidate: Match,
}

fn find<'s>(
    surroundings: &'s Surroundings<'_>,
    referral: Option<ReferralId>,
    kind: &str,
    id: &str,
) -> Option<&'s serde_json::Value> {
    match referral {
        Some(referral) => surroundings.find(referral, kind, id),
        None => surroundings.organisation(kind, id),
    }
}

/// `before`: the resource as it stood when the first page was read, where that was another.
fn keyed(
    search: &Search,
    candidate: Match,
    before: Option<&serde_json::Value>,
    surroundings: &Surroundings<'_>,
    base: &str,
) -> Keyed {
    let find = |kind: &str, id: &str| find(surroundings, candidate.referral, kind, id);
    let keys = search.keys(before.unwrap_or(&candidate.found.body), &world(base, &candidate.found, &find));
    Keyed { keys, candidate }
}

fn order(search: &Search, a: &Keyed, b: &Keyed) -> Ordering {
    by_keys(search, &a.keys, &b.keys).then_with(|| a.candidate.found.id.cmp(&b.candidate.found.id))
}

/// The order of two by what `_sort` asks for.
pub(super) fn by_keys(search: &Search, a: &[Option<String>], b: &[Option<String>]) -> Ordering {
    let mut by_key = search.sort.iter().zip(a.iter().zip(b)).map(|(sort, (a, b))| match (a, b) {
        (Some(a), Some(b)) if sort.descending => b.cmp(a),
        (Some(a), Some(b)) => a.cmp(b),
        // what has no such value stands last, whatever the direction
        (a, b) => b.is_some().cmp(&a.is_some()),
    });
    by_key.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

async fn sorted(
    app: &Shared,
    search: &Search,
    now: Timestamp,
    candidates: Vec<Match>,
    surroundings: &Surroundings<'_>,
    base: &str,
) -> Result<Page, Fault> {
    let as_of = match search.after.as_deref().map(Cursor::read) {
        None => now,
        Some(Some(Cursor::Sorted { as_of, .. })) => as_of,
        Some(_) => return Err(not_a_cursor()),
    };
    let mut all = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let found = &candidate.found;
        // what changed since stays where it stood, so that no page repeats or skips it
        let mut before = None;
        if found.last_updated >= as_of && found.version > 1 && !search.sort.is_empty() {
            let Ok(id) = found.id.parse::<Uuid>() else { continue };
            let versions = app.store.versions(&found.kind, id).await?;
            let then = versions.iter().rev().find(|version| version.last_updated < as_of);
            before = then.map(resource_body).transpose()?;
        }
        all.push(keyed(search, candidate, before.as_ref(), surroundings, base));
    }
    all.sort_by(|a, b| order(search, a, b));
    cut(search, all, surroundings, base, as_of)
}

/// The page of those that match.
fn cut(
    search: &Search,
    all: Vec<Keyed>,
    surroundings: &Surroundings<'_>,
    base: &str,
    as_of: Timestamp,
) -> Result<Page, Fault> {
    let after = match search.after.as_deref().map(Cursor::read) {
        None => None,
        Some(Some(Cursor::Sorted { id, .. })) => Some(id),
        Some(_) => return Err(not_a_cursor()),
    };
    let start = match after {
        None => 0,
        Some(id) => match all.iter().position(|one| one.candidate.found.id == id) {
            Some(at) => at + 1,
            None => return Err(not_a_cursor()),
        },
    };
    let matches = |one: &Keyed| {
        let find = |kind: &str, id: &str| find(surroundings, one.candidate.referral, kind, id);
        search.matches(&one.candidate.found.body, &world(base, &one.candidate.found, &find))
    };
    let mut page = Page::default();
    let mut total = 0;
    let mut more = false;
    for (at, one) in all.into_iter().enumerate() {
        if !matches(&one) {
            continue;
        }
        total += 1;
        if at < start {
            continue;
        }
        if page.matches.len() < search.count { page.matches.push(one.candidate) } else { more = true }
    }
    page.total = Some(total);
    page.next = page.matches.last().filter(|_| more).map(|last| Cursor::Sorted { id: last.found.id.clone(), as_of });
    Ok(page)
}

pub(super) fn not_a_cursor() -> Fault {
    Fault::invalid(vec![Issue::error(IssueCode::Value, "http._after", "use the link that the last page gave")])
}

//! Searches of the directory: the index says what may match and in which order, the entries themselves decide. Every client finds the
//! same. What travels with a referral is not among them, but where the search names it by its id or that of something beside it.

use std::{cmp::Ordering, collections::HashMap};

use serde_json::Value;
use uuid::Uuid;

use super::{Match, Page, cursor::Cursor, few, too_costly, world};
use crate::{
    directory::index::Candidate,
    domain::{EntryKind, Point},
    http::{
        Shared, directory,
        reply::Fault,
        surroundings::{Found, Surroundings},
    },
    search::{COUNT_MAX, Leads, Search},
};

pub(super) mod along;
mod middle;

/// No fewer candidates are read at once.
const CHUNK_MIN: usize = 16;
/// More candidates are not sorted by something else than the index knows.
const SORTED_MAX: usize = 50_000;

/// A page of entries, before them what travels with referrals where the search leads to some.
pub(super) async fn page(
    app: &Shared,
    kind: EntryKind,
    search: &Search,
    surroundings: &mut Surroundings<'_>,
    base: &str,
) -> Result<Page, Fault> {
    let begun = search.after.as_deref().map(Cursor::read);
    let mut page = match (&begun, search.leads()) {
        (Some(Some(Cursor::Entry(_))), _) | (_, Leads::Nothing) => Page { total: Some(0), ..Page::default() },
        (_, leads) => few::page(app, search, leads, surroundings, base).await?,
    };
    if page.next.is_some() {
        return Ok(Page { total: None, ..page });
    }
    let after = match begun {
        Some(Some(Cursor::Entry(id))) => Some(id),
        None | Some(Some(Cursor::Sorted { .. })) => None,
        Some(_) => return Err(few::not_a_cursor()),
    };
    let own = Walk { app, kind, search, base }.page(after.as_deref(), page.matches.len()).await?;
    page.total = page.total.zip(own.total).map(|(carried, own)| carried + own);
    page.matches.extend(own.matches);
    page.next = own.next;
    page.told = own.told;
    Ok(page)
}

/// Goes along the candidates.
struct Walk<'a> {
    app: &'a Shared,
    kind: EntryKind,
    search: &'a Search,
    base: &'a str,
}

impl Walk<'_> {
    /// A page of what matches, from after the one with this id on; `before` stand on the page already.
    async fn page(&self, after: Option<&str>, before: usize) -> Result<Page, Fault> {
        let search = self.search;
        let middle = middle::of(self.app, search)?;
        let near = middle.as_ref().map(|middle| (middle.point, middle.metres));
        let candidates = self.candidates(near).await?;
        let candidates = if search.sort.is_empty() { candidates } else { self.sorted(candidates).await? };
        let start = match after {
            None => 0,
            // what is in the order of ids is gone on with, whatever has come and gone meanwhile
            Some(id) if near.is_none() && search.sort.is_empty() => {
                candidates.partition_point(|candidate| &*candidate.id <= id)
            }
            Some(id) => match candidates.iter().position(|candidate| &*candidate.id == id) {
                Some(at) => at + 1,
                None => return Err(few::not_a_cursor()),
            },
        };
        let mut page = Page { told: middle.and_then(|middle| middle.told), ..Page::default() };
        let mut total = 0;
        let room = search.count.saturating_sub(before);
        let from = if search.total { 0 } else { start };
        // the index narrows well: most of what may match does
        let size = if search.total { COUNT_MAX } else { (room + 1).clamp(CHUNK_MIN, COUNT_MAX) };
        let mut more = false;
        for (nth, chunk) in candidates.get(from..).unwrap_or_default().chunks(size).enumerate() {
            let found = self.matching(chunk).await?;
            for (at, found, metres) in found {
                total += 1;
                if from + nth * size + at < start {
                    continue;
                }
                if page.matches.len() < room {
                    let found = Found { body: directory::measured(self.app, found.body), ..found };
                    page.matches.push(Match { referral: None, found, metres });
                } else {
                    more = true;
                }
            }
            if more && !search.total {
                break;
            }
        }
        page.total = search.total.then_some(total).or((!more && after.is_none()).then_some(total));
        page.next = match page.matches.last() {
            Some(last) if more => Some(Cursor::Entry(last.found.id.clone())),
            // what travels with referrals has filled the page
            None if more && before > 0 && room == 0 => Some(Cursor::Entry(String::new())),
            _ => None,
        };
        Ok(page)
    }

    /// What may match: of the index, and of the registry.
    async fn candidates(&self, near: Option<(Point, f64)>) -> Result<Vec<Candidate>, Fault> {
        let mut candidates = self.app.directory.candidates(self.kind, self.search, near).await?;
        let of_registry = self.app.directory.of_registry(self.kind);
        if near.is_none() && !of_registry.is_empty() {
            let id = |body: &Value| body.get("id").and_then(Value::as_str).unwrap_or_default().into();
            candidates.extend(of_registry.iter().map(|body| Candidate { id: id(body), metres: None }));
            candidates.sort_by(|a, b| a.id.cmp(&b.id));
        }
        Ok(candidates)
    }

    /// Those of a chunk that match, with their places in it and how far they are.
    async fn matching(&self, chunk: &[Candidate]) -> Result<Vec<(usize, Found, Option<f64>)>, Fault> {
        let read = read(self.app, self.kind, chunk.iter().map(|candidate| &*candidate.id)).await?;
        // chains look at what the candidates lead to
        let beyond = match self.search.looking_beyond().next() {
            Some(_) => along::led_to_by(self.app, read.values().map(|found| &found.body), self.base).await?,
            None => HashMap::new(),
        };
        let find = |kind: &str, id: &str| beyond.get(&(kind.to_owned(), id.to_owned()));
        let of = |(at, candidate): (usize, &Candidate)| {
            let found = read.get(&*candidate.id)?;
            let is_one = self.search.matches(&found.body, &world(self.base, found, &find));
            is_one.then(|| (at, found.clone(), candidate.metres))
        };
        Ok(chunk.iter().enumerate().filter_map(of).collect())
    }

    /// The candidates that match, in the order that the search asks for.
    async fn sorted(&self, candidates: Vec<Candidate>) -> Result<Vec<Candidate>, Fault> {
        if candidates.len() > SORTED_MAX {
            let told = format!("more than {SORTED_MAX} entries would be sorted: narrow the search");
            return Err(too_costly("http._sort", told));
        }
        let mut keyed: Vec<(Vec<Option<String>>, Candidate)> = Vec::new();
        for chunk in candidates.chunks(COUNT_MAX) {
            for (at, found, _) in self.matching(chunk).await? {
                let keys = self.search.keys(&found.body, &world(self.base, &found, &|_, _| None));
                keyed.extend(chunk.get(at).map(|candidate| (keys, candidate.clone())));
            }
        }
        keyed.sort_by(|a, b| {
            let by_key = few::by_keys(self.search, &a.0, &b.0);
            if by_key == Ordering::Equal { a.1.id.cmp(&b.1.id) } else { by_key }
        });
        Ok(keyed.into_iter().map(|(_, candidate)| candidate).collect())
    }
}

/// Entries of a kind as they are read, by their ids.
pub(super) async fn read<'i>(
    app: &Shared,
    kind: EntryKind,
    ids: impl Iterator<Item = &'i str>,
) -> Result<HashMap<String, Found>, Fault> {
    let mut all = HashMap::new();
    let mut wanted = Vec::new();
    for id in ids {
        match directory::of_registry(app, kind, id) {
            Some(found) => drop(all.insert(id.to_owned(), found)),
            None => wanted.extend(id.parse::<Uuid>().ok().map(|id| (kind, id))),
        }
    }
    for entry in app.store.directory_entries(wanted).await? {
        let found = directory::found(&entry)?;
        all.insert(found.id.clone(), found);
    }
    Ok(all)
}

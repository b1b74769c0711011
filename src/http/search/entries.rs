//! Searches of the directory: the index says what may match and in which order, the entries themselves decide. Every client finds the
//! same. What travels with a referral is not among them, but where the search names it by its id or that of something beside it.

use std::{cmp::Ordering, collections::HashMap};

use serde_json::Value;
use uuid::Uuid;

use super::{
    Match, Page,
    cursor::{Cursor, Place},
    few, too_costly, world,
};
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
/// So many letters of a text order it.
const KEY_MAX_CHARS: usize = 200;
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
        Some(Some(Cursor::Entry(place))) => Some(place),
        None | Some(Some(Cursor::Sorted { .. })) => None,
        Some(_) => return Err(few::not_a_cursor()),
    };
    let own = Walk { app, kind, search, base }.page(after.as_ref(), page.matches.len()).await?;
    page.total = page.total.zip(own.total).map(|(carried, own)| carried + own);
    page.matches.extend(own.matches);
    page.next = own.next;
    page.told = own.told;
    Ok(page)
}

/// A candidate with what orders it.
struct Ranked {
    keys: Vec<Option<String>>,
    candidate: Candidate,
}

/// Goes along the candidates.
struct Walk<'a> {
    app: &'a Shared,
    kind: EntryKind,
    search: &'a Search,
    base: &'a str,
}

impl Walk<'_> {
    /// A page of what matches, from after this place on; `before` stand on the page already.
    async fn page(&self, after: Option<&Place>, before: usize) -> Result<Page, Fault> {
        let search = self.search;
        let middle = middle::of(self.app, search)?;
        let near = middle.as_ref().map(|middle| (middle.point, middle.metres));
        let found = self.candidates(near).await?.into_iter();
        let found: Vec<Ranked> = found.map(|candidate| Ranked { keys: Vec::new(), candidate }).collect();
        let ranked = if search.sort.is_empty() { found } else { self.sorted(found).await? };
        if after.is_some_and(|place| place.keys.len() != search.sort.len() && !place.id.is_empty()) {
            return Err(few::not_a_cursor());
        }
        // where it stood, whatever has come, gone or changed meanwhile
        let start = after.map_or(0, |place| ranked.partition_point(|one| self.order(one, place) != Ordering::Greater));
        let mut page = Page { told: middle.and_then(|middle| middle.told), ..Page::default() };
        let mut total = 0;
        let room = search.count.saturating_sub(before);
        let from = if search.total { 0 } else { start };
        // the index narrows well: most of what may match does
        let size = if search.total { COUNT_MAX } else { (room + 1).clamp(CHUNK_MIN, COUNT_MAX) };
        let mut more = false;
        let mut last = None;
        for (nth, chunk) in ranked.get(from..).unwrap_or_default().chunks(size).enumerate() {
            let found = self.matching(chunk).await?;
            for (at, found, metres) in found {
                total += 1;
                let place = from + nth * size + at;
                if place < start {
                    continue;
                }
                if page.matches.len() < room {
                    last = ranked.get(place).map(|one| self.place_of(one));
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
        page.next = match last {
            Some(last) if more => Some(Cursor::Entry(last)),
            // what travels with referrals has filled the page
            None if more && before > 0 && room == 0 => Some(Cursor::Entry(Place::default())),
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
            candidates.extend(of_registry.iter().map(|body| Candidate { id: id(body), metres: None, coarse: false }));
            candidates.sort_by(|a, b| a.id.cmp(&b.id));
        }
        Ok(candidates)
    }

    /// Those of a chunk that match, with their places in it and how far they are.
    async fn matching(&self, chunk: &[Ranked]) -> Result<Vec<(usize, Found, Option<f64>)>, Fault> {
        let read = read(self.app, self.kind, chunk.iter().map(|one| &*one.candidate.id)).await?;
        // chains look at what the candidates lead to
        let beyond = match self.search.looking_beyond().next() {
            Some(_) => along::led_to_by(self.app, read.values().map(|found| &found.body), self.base).await?,
            None => HashMap::new(),
        };
        let find = |kind: &str, id: &str| beyond.get(&(kind.to_owned(), id.to_owned()));
        let of = |(at, Ranked { candidate, .. }): (usize, &Ranked)| {
            let found = read.get(&*candidate.id)?;
            let is_one = self.search.matches(&found.body, &world(self.base, found, &find));
            is_one.then(|| (at, found.clone(), told(candidate)))
        };
        Ok(chunk.iter().enumerate().filter_map(of).collect())
    }

    /// The candidates that match, in the order that the search asks for.
    async fn sorted(&self, found: Vec<Ranked>) -> Result<Vec<Ranked>, Fault> {
        if found.len() > SORTED_MAX {
            let told = format!("more than {SORTED_MAX} entries would be sorted: narrow the search");
            return Err(too_costly("http._sort", told));
        }
        let mut ranked: Vec<Ranked> = Vec::new();
        for chunk in found.chunks(COUNT_MAX) {
            for (at, found, _) in self.matching(chunk).await? {
                let keys = self.search.keys(&found.body, &world(self.base, &found, &|_, _| None));
                // the link to the next page bears them
                let keys = keys.into_iter().map(|key| Some(key?.chars().take(KEY_MAX_CHARS).collect())).collect();
                ranked.extend(chunk.get(at).map(|one| Ranked { keys, candidate: one.candidate.clone() }));
            }
        }
        ranked.sort_by(|a, b| self.order(a, &self.place_of(b)));
        Ok(ranked)
    }

    fn place_of(&self, one: &Ranked) -> Place {
        let away = one.candidate.metres.filter(|_| self.search.sort.is_empty()).map(f64::to_bits);
        Place { keys: one.keys.clone(), away, id: one.candidate.id.to_string() }
    }

    /// How an entry stands to a place: by what is asked for, by how far it is where that orders, and by its id.
    fn order(&self, one: &Ranked, place: &Place) -> Ordering {
        let by_keys = few::by_keys(self.search, &one.keys, &place.keys);
        let away = place.away.zip(one.candidate.metres);
        let by_way = away.map_or(Ordering::Equal, |(place, metres)| metres.total_cmp(&f64::from_bits(place)));
        by_keys.then(by_way).then_with(|| (*one.candidate.id).cmp(&place.id))
    }
}

/// How far an entry is told to be: to the kilometre where it is only about there, so that nobody can find out where its postcode lies.
fn told(candidate: &Candidate) -> Option<f64> {
    let metres = candidate.metres?;
    Some(if candidate.coarse { (metres / 1_000.0).round() * 1_000.0 } else { metres })
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

//! `GET /console/routes`: what is in force, in plain words, and what was before. `GET /console/routes/tests`: its own tests.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
    response::Response,
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Reader,
    activate::now_active,
    away, busy, may_write,
    words::{Rule, insisted, otherwise, rules},
};
use crate::{
    directory::body_of,
    domain::EntryKind,
    fhir::tree,
    http::call::pairs,
    search::Search,
    store::{Activation, StoreError},
    web::{
        Shared, Web,
        called::Called,
        console::words::{counted, moment},
        form::Seen,
        frame::{Frame, Section},
        page::{self, Pages},
    },
};

/// Rules on a page.
const RULES: usize = 100;
/// So many codes of them are looked for in the directory, …
const CODES_MAX: usize = 200;
/// … each in so many services: one that has a name for it is enough.
const ENTRIES_EACH: usize = 3;
/// Earlier versions that are listed: the newest.
const HISTORY_MAX: usize = 50;
/// Tests that are listed: those that fail first.
const TESTS_MAX: usize = 500;

/// What is in force.
#[derive(Template)]
#[template(path = "routes/overview.html")]
struct OverviewPage {
    frame: Frame,
    /// What was just done.
    done: Option<String>,
    /// What, by whom, since when and why.
    facts: Vec<(&'static str, String)>,
    /// What is not as it should be.
    trouble: Option<String>,
    rules: Vec<Rule>,
    pages: Pages,
    otherwise: String,
    needs: Vec<String>,
    history: Vec<Line>,
    may_write: bool,
}

/// That a version was made active.
struct Line {
    number: u64,
    /// What of it, such as `active`.
    note: &'static str,
    at: String,
    by: String,
    why: String,
}

/// Its tests.
#[derive(Template)]
#[template(path = "routes/tests.html")]
struct TestsPage {
    frame: Frame,
    version: String,
    says: String,
    tests: Vec<Tried>,
    left_out: usize,
}

/// A test and what came of it.
struct Tried {
    name: String,
    expected: String,
    /// What came instead; none where it holds.
    failed: Option<String>,
}

/// `GET /console/routes`.
pub(super) async fn page(State(web): State<Shared>, RawQuery(query): RawQuery, Reader(seen): Reader) -> Response {
    let query = pairs(&query.unwrap_or_default());
    let number = query.iter().find(|(name, _)| name == "page").and_then(|(_, text)| text.parse::<usize>().ok());
    match web.routes_page(&seen, number.unwrap_or(1).max(1)).await {
        Ok(page) => page::shown(StatusCode::OK, &OverviewPage { done: now_active(&query), ..page }),
        Err(error) => away(&error),
    }
}

impl Web {
    async fn routes_page(&self, seen: &Seen, number: usize) -> Result<OverviewPage, StoreError> {
        let registry = self.registry.load();
        let set = &registry.routes;
        let active = self.active_routes().await?;
        let history = match self.routes.is_kept() {
            true => self.store.routes_history(HISTORY_MAX).await?,
            false => Vec::new(),
        };
        let from = (number - 1).saturating_mul(RULES);
        let url = |number: usize| format!("/console/routes?page={number}");
        let pages = Pages {
            number,
            before: (number > 1).then(|| url(number - 1)),
            after: (from.saturating_add(RULES) < set.routes().len()).then(|| url(number + 1)),
        };
        let from_file = self.routes.from.file.is_some() && !self.routes.is_kept();
        let called = Called::read(self, []).await?;
        let facts = facts(active.as_ref(), set.version(), from_file, set.routes().len(), &called);
        Ok(OverviewPage {
            frame: Frame::of(seen, Section::Routes),
            done: None,
            facts,
            trouble: trouble(active.as_ref(), set.version(), self.routes.is_kept()),
            rules: self.with_displays(rules(set, &registry, from, RULES)).await?,
            pages,
            otherwise: otherwise(set, &registry),
            needs: set.needs().iter().map(|need| insisted(need, &registry)).collect(),
            history: history.iter().enumerate().map(|(at, one)| Line::of(one, at == 0, &called)).collect(),
            may_write: may_write(&seen.visitor.positions),
        })
    }
}

impl Web {
    /// Rules with what the directory calls the codes that they ask for, where it has a service of that kind: a number says little to a reader.
    async fn with_displays(&self, mut rules: Vec<Rule>) -> Result<Vec<Rule>, StoreError> {
        let kind = EntryKind::HealthcareService;
        let coded = || rules.iter().flat_map(|rule| &rule.conditions).filter(|asked| asked.is_code);
        let codes: BTreeSet<String> = coded().flat_map(|asked| asked.any_of.iter().cloned()).take(CODES_MAX).collect();
        let mut ids = BTreeSet::new();
        for code in &codes {
            for element in ["service-type", "service-category"] {
                let pairs = [(element.to_owned(), code.clone())];
                let Ok(search) = Search::read(kind.code(), &pairs, &self.directory.base, false) else { continue };
                let found = self.directory.candidates(kind, &search, None).await?;
                ids.extend(found.iter().take(ENTRIES_EACH).filter_map(|one| one.id.parse::<Uuid>().ok()));
            }
        }
        let ids: Vec<_> = ids.into_iter().map(|id| (kind, id)).collect();
        let mut displays: BTreeMap<String, String> = BTreeMap::new();
        for stored in self.store.directory_entries(ids).await? {
            displays.extend(displays_of(&body_of(&stored)?));
        }
        let of = |code: &str| displays.get(code).or_else(|| displays.get(code.rsplit_once('|')?.1)).cloned();
        for asked in rules.iter_mut().flat_map(|rule| &mut rule.conditions).filter(|asked| asked.is_code) {
            for value in &mut asked.any_of {
                if let Some(display) = of(value) {
                    *value = format!("{value} ({display})");
                }
            }
        }
        Ok(rules)
    }
}

/// What a service calls the codes of its kinds.
fn displays_of(service: &Value) -> Vec<(String, String)> {
    let concepts = ["type", "category"].into_iter().flat_map(|name| tree::items(service, name));
    let codings = concepts.flat_map(|concept| tree::items(concept, "coding"));
    let of = |coding: &Value| Some((tree::text(coding, "code")?.to_owned(), tree::text(coding, "display")?.to_owned()));
    codings.filter_map(of).collect()
}

/// What is said of the set that is in force here. Of one that is active and not in force here yet nothing is told of this one: it is said
/// apart what it is.
fn facts(
    active: Option<&Activation>,
    in_force: &str,
    from_file: bool,
    rules: usize,
    called: &Called,
) -> Vec<(&'static str, String)> {
    let mut facts = vec![("Version", in_force.to_owned())];
    match active {
        Some(active) if active.hash == in_force => facts.extend([
            ("Number", active.number.to_string()),
            ("Active since", moment(active.at)),
            ("Made active by", called.of(&active.signed.author)),
            ("Why", active.signed.comment.clone()),
        ]),
        None if from_file => facts.push(("Comes from", "the route file of this installation".to_owned())),
        _ => {}
    }
    facts.push(("Rules", counted(rules as u64, "rule")));
    facts
}

/// What is wrong where this process decides by something else than what is active.
fn trouble(active: Option<&Activation>, in_force: &str, is_kept: bool) -> Option<String> {
    match active {
        Some(active) if active.hash != in_force => Some(format!(
            "Version {} ({}) is active, and this process still decides by {in_force}. It takes the active one up within two seconds; \
             if not, ask those who keep Onward running: they are told why.",
            active.number, active.hash
        )),
        None if is_kept => {
            Some("No route set is active: every referral is refused. Write one and make it active.".to_owned())
        }
        _ => None,
    }
}

/// `GET /console/routes/tests`.
pub(super) async fn tests(State(web): State<Shared>, Reader(seen): Reader) -> Response {
    let Some(place) = web.routes.place().await else { return busy(&seen) };
    let registry = web.registry.load_full();
    let tried = tokio::task::spawn_blocking(move || {
        let _place = place;
        let set = &registry.routes;
        let one = |case| Tried {
            failed: set.try_case(case, &registry.working_time, &registry.places).err().map(|failed| failed.found),
            name: case.name.clone(),
            expected: case.expected.to_string(),
        };
        (set.version().to_owned(), set.cases().iter().map(one).collect::<Vec<Tried>>())
    });
    let (version, mut tests) = match tried.await {
        Ok(tried) => tried,
        Err(error) => return away(&StoreError::Unavailable(error.to_string())),
    };
    let failed = tests.iter().filter(|test| test.failed.is_some()).count();
    let says = match (tests.len(), failed) {
        (0, _) => "The route set has no tests of its own.".to_owned(),
        (all, 0) => format!("All hold: {}.", counted(all as u64, "test")),
        (all, failed) => format!("{failed} of {} fail.", counted(all as u64, "test")),
    };
    tests.sort_by_key(|test| test.failed.is_none());
    let left_out = tests.len().saturating_sub(TESTS_MAX);
    tests.truncate(TESTS_MAX);
    page::shown(StatusCode::OK, &TestsPage { frame: Frame::of(&seen, Section::Routes), version, says, tests, left_out })
}

// === impl Line ===

impl Line {
    fn of(one: &Activation, is_active: bool, called: &Called) -> Self {
        let note = match (is_active, one.is_new) {
            (true, true) => "active",
            (true, false) => "active, again",
            (false, true) => "",
            (false, false) => "again",
        };
        Self {
            number: one.number,
            note,
            at: moment(one.at),
            by: called.of(&one.signed.author),
            why: one.signed.comment.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Signed;

    #[test]
    fn of_a_version_that_is_not_in_force_here_yet_nothing_is_told_of_the_one_that_is() {
        let signed = Signed { author: "local:rita".into(), comment: "people walk in".into() };
        let active =
            Activation { seq: 9, number: 7, hash: "new".into(), at: jiff::Timestamp::UNIX_EPOCH, is_new: true, signed };
        let keys = |in_force: &str| {
            let told = facts(Some(&active), in_force, false, 3, &Called::default());
            told.iter().map(|(key, value)| format!("{key}: {value}")).collect::<Vec<_>>()
        };
        assert_eq!(keys("old"), ["Version: old", "Rules: 3 rules"]);
        assert!(trouble(Some(&active), "old", true).unwrap().contains("Version 7 (new) is active"));
        let in_force = keys("new");
        assert!(in_force.contains(&"Number: 7".to_owned()) && in_force.contains(&"Why: people walk in".to_owned()));
    }
}

//! `onward routes rehearse`: a route set is tried on the referrals that came lately, as they were when they were routed, and what it
//! decides is compared with what was decided.
//!
//! Inboxes are taken as open, then and now: of a referral that went to a stand-in, what counts is what its route named. Postcodes,
//! working hours and time zones are those of today's configuration; what a referral says is as it was sent, or was read for it, then.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use clap::Args;
use jiff::SignedDuration;
use serde_json::Value;
use uuid::Uuid;

use super::{ConfigFile, Ended, Finding};
use crate::{
    config::Registry,
    fhir::Limits,
    intake::again::Again,
    routing::{RouteSet, all_open},
    store::{Routed, RoutedQuery, Sent, Store},
};

mod progress;
mod tally;
mod went;

use progress::Progress;
use tally::Tally;
use went::Went;

/// So many referrals are read with one question.
const PAGE: usize = 500;
/// So many are worked on together, …
const CHUNK: usize = 100;
/// … of no more than so many bytes, one that is larger apart.
const CHUNK_BYTES: u64 = 16 * 1024 * 1024;

#[derive(Args, Debug)]
pub(in crate::cli) struct Rehearse {
    /// The route file to be tried.
    routes: PathBuf,
    /// The referrals of the last so many days.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3660))]
    days: u16,
    /// So many referrals are named for each kind of change.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(0..=100))]
    examples: u8,
    /// Exits with 1 where anything would go elsewhere, or could not be compared.
    #[arg(long)]
    fail_on_change: bool,
    #[command(flatten)]
    file: ConfigFile,
    /// As lines of JSON: one for each referral that would go elsewhere, one for each kind of change, and last the totals.
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(asked: &Rehearse) -> Ended {
    let (config, store) = asked.file.open().await?;
    let candidate = candidate(&asked.routes, &config.registry)?;
    let until = store.now();
    let from = until.checked_sub(SignedDuration::from_hours(24 * i64::from(asked.days))).unwrap_or_default();
    // how many there are is good to know, and no more than that
    let count = store.count_routed(from, until).await.ok();
    let limits = Limits { bytes: config.limits.body_bytes, depth: config.limits.depth, ..Limits::default() };
    let mut progress = Progress::new(count);
    let mut tally = Tally::new(usize::from(asked.examples), asked.json);
    let tried = Tried { candidate: &candidate, registry: &config.registry, limits };
    let query = RoutedQuery { from, before: until, after: None, count: PAGE };
    let mut reading = tokio::spawn(Reader { store: store.clone(), query, page: Vec::new().into_iter() }.next());
    loop {
        let (reader, chunk) = reading.await.context("reading the store ended")??;
        if chunk.referrals.is_empty() {
            break;
        }
        // the next ones are read while these are decided
        reading = tokio::spawn(reader.next());
        tried.compare(&*store, &chunk, &mut tally).await?;
        progress.at(tally.total());
    }
    progress.end();
    tally.tell(&candidate, from, until);
    store.close().await;
    match tally.unlike() {
        unlike if unlike > 0 && asked.fail_on_change => {
            Err(Finding(format!("{unlike} of {} would not go where they went", tally.total())).into())
        }
        _ => Ok(()),
    }
}

/// Reads the route file; tells everything that is wrong with it.
fn candidate(path: &Path, registry: &Registry) -> anyhow::Result<RouteSet> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let beside = path.parent().unwrap_or(Path::new("")).to_owned();
    let files = |name: &str| std::fs::read_to_string(beside.join(name)).map_err(|error| error.to_string());
    match RouteSet::read(&text, &path.display().to_string(), registry.known(&files)) {
        Ok((routes, warnings)) => {
            for warning in warnings {
                eprintln!("warning: {warning}");
            }
            Ok(routes)
        }
        Err(faults) => {
            for fault in &faults {
                eprintln!("{fault}");
            }
            let s = if faults.len() == 1 { "" } else { "s" };
            Err(Finding(format!("nothing was tried; the route file has {} fault{s}", faults.len())).into())
        }
    }
}

/// Referrals with the requests that brought them.
struct Chunk {
    referrals: Vec<Routed>,
    sent: Vec<Sent>,
}

/// Goes through the store, a chunk at a time.
struct Reader {
    store: Arc<dyn Store>,
    query: RoutedQuery,
    page: std::vec::IntoIter<Routed>,
}

impl Reader {
    /// The next chunk; an empty one at the end.
    async fn next(mut self) -> anyhow::Result<(Self, Chunk)> {
        if self.page.as_slice().is_empty() {
            let page = self.store.routed(self.query.clone()).await?;
            self.query.after = page.last().map(|last| (last.at, last.id)).or(self.query.after);
            self.page = page.into_iter();
        }
        let (mut referrals, mut bytes) = (Vec::new(), 0);
        let mut submissions = BTreeSet::new();
        while let Some(next) = self.page.as_slice().first() {
            let more = if submissions.contains(&next.submission) { 0 } else { next.bytes };
            if referrals.len() == CHUNK || (!referrals.is_empty() && bytes + more > CHUNK_BYTES) {
                break;
            }
            bytes += more;
            submissions.insert(next.submission);
            referrals.extend(self.page.next());
        }
        let sent = match submissions.is_empty() {
            true => Vec::new(),
            false => self.store.sent(submissions.into_iter().collect()).await?,
        };
        Ok((self, Chunk { referrals, sent }))
    }
}

/// What is tried, and what it depends on beside the referrals.
struct Tried<'t> {
    candidate: &'t RouteSet,
    registry: &'t Registry,
    limits: Limits,
}

impl Tried<'_> {
    async fn compare(&self, store: &dyn Store, chunk: &Chunk, tally: &mut Tally) -> anyhow::Result<()> {
        let again: BTreeMap<Uuid, Again> = chunk
            .sent
            .iter()
            .filter_map(|sent| Again::read(sent, &self.limits).ok().map(|again| (sent.id, again)))
            .collect();
        let of = |referral: &Routed| again.get(&referral.submission);
        let led = chunk.referrals.iter().filter(|one| of(one).is_some_and(|again| again.leads_outside(one.request)));
        let led: Vec<_> = led.map(|one| one.id).collect();
        let mut read: BTreeMap<_, BTreeMap<String, Value>> = BTreeMap::new();
        if !led.is_empty() {
            for named in store.named_at_first(led).await? {
                if let (Some(origin), Ok(body)) = (named.origin, serde_json::from_str(&named.body)) {
                    read.entry(named.referral).or_default().insert(origin, body);
                }
            }
        }
        let nothing = BTreeMap::new();
        for referral in &chunk.referrals {
            let was = Went::as_decided(&referral.decision);
            let read = read.get(&referral.id).unwrap_or(&nothing);
            let setting = self.registry.setting(referral.at);
            let facts = of(referral).and_then(|again| again.facts(referral.request, &referral.system, read, setting));
            let goes = facts.map(|facts| {
                let decided = self.candidate.decide(&facts, &all_open);
                let missing = decided.as_ref().map(|decision| self.candidate.missing(decision, &facts));
                Went::by(&decided, &missing.unwrap_or_default())
            });
            tally.add(referral.request, was, goes);
        }
        Ok(())
    }
}

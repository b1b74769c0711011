//! A route set tried on referrals that came before, as they were when they were routed: what it decides is compared with what was decided.
//!
//! Inboxes are taken as open, then and now: of a referral that went to a stand-in, what counts is what its route named. Postcodes,
//! working hours and time zones are those of today's configuration; what a referral says is as it was sent, or was read for it, then.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::{
    tally::{Changed, Tally},
    went::Went,
};
use crate::{
    config::Registry,
    domain::ReferralId,
    fhir::Limits,
    intake::again::Again,
    routing::{RouteSet, all_open},
    store::{Routed, RoutedQuery, Sent, Store, StoreError},
};

/// So many referrals are read with one question.
const PAGE: usize = 500;
/// So many are worked on together, …
const CHUNK: usize = 100;
/// … of no more than so many bytes, one that is larger apart.
const CHUNK_BYTES: u64 = 16 * 1024 * 1024;

/// What is tried, and what it depends on beside the referrals.
pub struct Rehearsal {
    /// Where the referrals are.
    pub store: Arc<dyn Store>,
    /// Who takes part.
    pub registry: Arc<Registry>,
    /// What is tried.
    pub candidate: Arc<RouteSet>,
    /// Within what a request is read again.
    pub limits: Limits,
}

/// Told after each referral: what it has come to so far, and how this one changes, if it does.
pub type Told<'t> = &'t mut (dyn FnMut(&Tally, Option<&Changed>) + Send);

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

// === impl Rehearsal ===

impl Rehearsal {
    /// Tries it on what was stored at or after the one time and before the other. Others go on meanwhile: it lets go after each
    /// referral.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is known.
    pub async fn run(
        &self,
        (from, before): (Timestamp, Timestamp),
        mut tally: Tally,
        told: Told<'_>,
    ) -> Result<Tally, StoreError> {
        let query = RoutedQuery { from, before, after: None, count: PAGE };
        let reader = Reader { store: Arc::clone(&self.store), query, page: Vec::new().into_iter() };
        let (mut reader, mut chunk) = reader.next().await?;
        while !chunk.referrals.is_empty() {
            // the next ones are read while these are decided
            let (next, compared) = tokio::join!(reader.next(), self.compare(&chunk, &mut tally, &mut *told));
            compared?;
            (reader, chunk) = next?;
        }
        Ok(tally)
    }

    async fn compare(&self, chunk: &Chunk, tally: &mut Tally, told: Told<'_>) -> Result<(), StoreError> {
        let mut again: BTreeMap<Uuid, Again> = BTreeMap::new();
        for sent in &chunk.sent {
            if let Ok(one) = Again::read(sent, &self.limits) {
                again.insert(sent.id, one);
            }
            tokio::task::yield_now().await;
        }
        let led = |one: &&Routed| again.get(&one.submission).is_some_and(|again| again.leads_outside(one.request));
        let led: Vec<ReferralId> = chunk.referrals.iter().filter(led).map(|one| one.id).collect();
        let mut read: BTreeMap<ReferralId, BTreeMap<String, Value>> = BTreeMap::new();
        if !led.is_empty() {
            for named in self.store.named_at_first(led).await? {
                if let (Some(origin), Ok(body)) = (named.origin, serde_json::from_str(&named.body)) {
                    read.entry(named.referral).or_default().insert(origin, body);
                }
            }
        }
        for referral in &chunk.referrals {
            // no route has sent a test, so none can send it elsewhere
            if again.get(&referral.submission).is_some_and(|again| again.is_test(referral.request)) {
                continue;
            }
            let changed = {
                let goes = again.get(&referral.submission).and_then(|again| self.goes(again, referral, &read));
                tally.add(referral.request, Went::as_decided(&referral.decision), goes)
            };
            told(tally, changed.as_ref());
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Where it would go now; none where that cannot be told.
    fn goes(
        &self,
        again: &Again,
        referral: &Routed,
        read: &BTreeMap<ReferralId, BTreeMap<String, Value>>,
    ) -> Option<Went> {
        let nothing = BTreeMap::new();
        let read = read.get(&referral.id).unwrap_or(&nothing);
        let setting = self.registry.setting(referral.at);
        let facts = again.facts(referral.request, &referral.system, read, setting)?;
        let decided = self.candidate.decide(&facts, &all_open);
        let missing = decided.as_ref().map(|decision| self.candidate.missing(decision, &facts));
        Some(Went::by(&decided, &missing.unwrap_or_default()))
    }
}

// === impl Reader ===

impl Reader {
    /// The next chunk; an empty one at the end.
    async fn next(mut self) -> Result<(Self, Chunk), StoreError> {
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

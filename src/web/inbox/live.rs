//! What a provider has, as lines in memory: read once, and kept up with what changed since each time it is asked for. So a list of
//! thousands is sorted, counted and searched without the store, and every process has what all have written.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use super::{line::Line, news::Known};
use crate::{
    domain::{ProviderId, ReferralId, TaskId, TaskStatus},
    store::{Store, StoreError, StoredResource, TaskHead, TaskQuery, TaskRecord},
};

/// So many open referrals of a provider stand in its list; the oldest of more are found by a search.
pub(in crate::web) const OPEN_MAX: usize = 20_000;
/// So many that have ended stand in it beside them, the newest.
pub(in crate::web) const CLOSED_MAX: usize = 1_000;
/// The lists of so many providers are in memory; the one used longest ago is forgotten with the next.
const SHELVES_MAX: usize = 100;
/// What ended longer ago is found by a search alone.
const CLOSED_FOR: SignedDuration = SignedDuration::from_hours(24 * CLOSED_DAYS);
/// The same in days, for people.
pub(in crate::web) const CLOSED_DAYS: i64 = 28;
/// A commit becomes visible after another that bears a later time, at the most so much: so far back what changed is read again.
const OVERLAP: SignedDuration = SignedDuration::from_secs(10);
/// What changed is read in pieces of so many, …
pub(super) const PIECE: usize = 500;
/// … and which it is in larger ones: nothing of it is read that is known.
const HEADS: usize = 5_000;

/// A Task with its body.
type Changed = (TaskRecord, StoredResource);

/// A shelf, and when it was used last.
type Placed = (Arc<Mutex<Shelf>>, Timestamp);

/// All lines of a provider at a moment.
pub(in crate::web) type Lines = Arc<Vec<Arc<Line>>>;

/// See the module's documentation. Clones share what they know.
#[derive(Clone)]
pub struct Live {
    pub(super) store: Arc<dyn Store>,
    shelves: Arc<std::sync::Mutex<HashMap<ProviderId, Placed>>>,
}

/// What is known of one provider.
#[derive(Default)]
pub(super) struct Shelf {
    pub(super) by_task: HashMap<TaskId, Arc<Line>>,
    /// What of them nobody has looked at.
    pub(super) news: Known,
    lines: Lines,
    /// Up to when changes were read; none before the first time.
    seen_until: Option<Timestamp>,
}

impl Live {
    /// Nothing is read before it is asked for.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, shelves: Arc::default() }
    }

    /// Reads the lists of these providers one after the other, as far as there are places for them, so that nobody waits for the first look
    /// after a start.
    pub async fn warm(&self, providers: impl IntoIterator<Item = ProviderId>) {
        for provider in providers.into_iter().take(SHELVES_MAX) {
            if let Err(error) = self.lines(&provider).await {
                tracing::warn!(%error, provider.id = %provider, "a worklist could not be read ahead");
            }
        }
    }

    /// All lines of a provider, as the store has them now.
    ///
    /// # Errors
    /// [`StoreError`]
    pub(in crate::web) async fn lines(&self, provider: &ProviderId) -> Result<Lines, StoreError> {
        let shelf = self.shelf(provider);
        // who comes meanwhile waits for what is being read, and then reads next to nothing
        let mut shelf = shelf.lock().await;
        self.keep_up(provider, &mut shelf).await?;
        Ok(Arc::clone(&shelf.lines))
    }

    /// Lines of these referrals, whether or not they stand in a list, as far as they are the provider's.
    ///
    /// # Errors
    /// [`StoreError`]
    pub(in crate::web) async fn lines_of(
        &self,
        provider: &ProviderId,
        referrals: Vec<ReferralId>,
    ) -> Result<Vec<Arc<Line>>, StoreError> {
        if referrals.is_empty() {
            return Ok(Vec::new());
        }
        let count = referrals.len().saturating_mul(4);
        let query =
            TaskQuery { providers: vec![provider.clone()], referrals: Some(referrals), count, ..TaskQuery::default() };
        let found = self.store.search_tasks(query).await?;
        self.made(found).await
    }

    fn shelf(&self, provider: &ProviderId) -> Arc<Mutex<Shelf>> {
        let now = self.store.now();
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        if !shelves.contains_key(provider)
            && shelves.len() >= SHELVES_MAX
            && let Some(oldest) = shelves.iter().min_by_key(|(_, (_, used))| *used).map(|(id, _)| id.clone())
        {
            shelves.remove(&oldest);
        }
        let (shelf, used) = shelves.entry(provider.clone()).or_insert_with(|| (Arc::default(), now));
        *used = now;
        Arc::clone(shelf)
    }

    async fn keep_up(&self, provider: &ProviderId, shelf: &mut Shelf) -> Result<(), StoreError> {
        let now = self.store.now();
        let long_ago = now.saturating_sub(CLOSED_FOR).unwrap_or(Timestamp::MIN);
        let of = TaskQuery { providers: vec![provider.clone()], count: PIECE, ..TaskQuery::default() };
        let mut found = Vec::new();
        let from = match shelf.seen_until {
            Some(until) => until.saturating_sub(OVERLAP).unwrap_or(Timestamp::MIN),
            None => {
                let open = TaskStatus::ALL.iter().copied().filter(|status| !status.is_terminal()).collect();
                let newest = TaskQuery { statuses: Some(open), descending: true, count: OPEN_MAX, ..of.clone() };
                found = self.store.search_tasks(newest).await?;
                let newest = TaskQuery {
                    from: Some(long_ago),
                    by_change: true,
                    descending: true,
                    count: CLOSED_MAX,
                    ..of.clone()
                };
                found.extend(self.store.search_tasks(newest).await?);
                // what was written while that was read
                now.saturating_sub(OVERLAP).unwrap_or(Timestamp::MIN)
            }
        };
        let is_new = |id: &TaskId, version: u64| shelf.by_task.get(id).is_none_or(|line| line.version < version);
        found.retain(|(task, _)| is_new(&task.id, task.version));
        let known: HashMap<TaskId, u64> = found.iter().map(|(task, _)| (task.id, task.version)).collect();
        let mut new = Vec::new();
        let mut after: Option<(Timestamp, TaskId)> = None;
        loop {
            let next = TaskQuery {
                from: Some(from),
                by_change: true,
                after: after.map(|(_, task)| task),
                after_change: after.map(|(at, _)| at),
                count: HEADS,
                ..of.clone()
            };
            let piece = self.store.task_heads(next).await?;
            after = piece.last().map(|head| (head.last_updated, head.id));
            let is_last = piece.len() < HEADS;
            let read = |head: &TaskHead| known.get(&head.id).is_some_and(|version| *version >= head.version);
            new.extend(piece.iter().filter(|head| is_new(&head.id, head.version) && !read(head)).map(|head| head.id.0));
            if is_last {
                break;
            }
        }
        for some in new.chunks(PIECE) {
            found.extend(self.store.search_tasks(TaskQuery { ids: Some(some.to_vec()), ..of.clone() }).await?);
        }
        let mut changed = BTreeSet::new();
        for line in self.made(found).await? {
            changed.insert(line.task);
            shelf.by_task.insert(line.task, line);
        }
        let before = shelf.by_task.len();
        shelf.by_task.retain(|_, line| line.is_open() || line.changed >= long_ago);
        let is_changed = !changed.is_empty();
        let is_marked = self.keep_news(provider, shelf, changed, shelf.seen_until.map(|_| from)).await?;
        if is_changed || is_marked || before != shelf.by_task.len() || shelf.seen_until.is_none() {
            shelf.put();
        }
        shelf.seen_until = Some(now);
        Ok(())
    }

    /// Lines of Tasks, with what is said of their referrals.
    async fn made(&self, found: Vec<Changed>) -> Result<Vec<Arc<Line>>, StoreError> {
        let referrals: BTreeSet<ReferralId> = found.iter().map(|(task, _)| task.referral).collect();
        let referrals: Vec<ReferralId> = referrals.into_iter().collect();
        let mut told: HashMap<ReferralId, Vec<serde_json::Value>> = HashMap::new();
        for some in referrals.chunks(PIECE) {
            for stored in self.store.gist_of(some.to_vec()).await? {
                // what cannot be read is as good as absent here: its page says so
                if let Ok(body) = serde_json::from_str(&stored.body) {
                    told.entry(stored.referral).or_default().push(body);
                }
            }
        }
        let line = |(task, stored): &Changed| {
            let body = serde_json::from_str(&stored.body).unwrap_or_default();
            Arc::new(Line::of(task, &body, told.get(&task.referral).map_or(&[], Vec::as_slice)))
        };
        Ok(found.iter().filter(|(task, _)| !task.is_parent()).map(line).collect())
    }
}

impl Shelf {
    /// The lines as they are given out; of what has ended only the newest.
    fn put(&mut self) {
        let mut lines: Vec<Arc<Line>> = self.by_task.values().cloned().collect();
        lines.sort_by_key(|line| (!line.is_open(), std::cmp::Reverse((line.changed, line.task))));
        let open = lines.iter().filter(|line| line.is_open()).count();
        for line in lines.drain(lines.len().min(open + CLOSED_MAX)..) {
            self.by_task.remove(&line.task);
        }
        for line in lines.drain(OPEN_MAX.min(open)..open) {
            self.by_task.remove(&line.task);
        }
        self.lines = Arc::new(lines);
    }
}

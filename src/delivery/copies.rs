//! Watches the copies of providers whose systems do not answer by themselves (`answers = "poll"`): reads each by its id, and
//! turns what changed into the same commands that a request would have brought.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use hyper::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    fhir_rest::{endpoint, look},
    later,
};
use crate::{
    client::{Failure, FhirClient, Held},
    config::registry::{Answers, Endpoint, FhirRestInbox, InboxKind, Registry},
    conversation::Conversation,
    domain::{Destination, Event, Side},
    fhir::{
        reference::{Target, parse},
        task::{BSER_SYSTEM, codings_of_ours, is_ours, seq_of},
        tree,
    },
    lanes::{
        Endpoints,
        endpoints::{Entry, Heard},
        until,
    },
    status::{Source, Status, StatusError, change},
    store::{Poll, Store, StoreError, TaskRecord},
};

/// The store is asked this often for copies that are due.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A copy that is being read is nobody else's to read for this long, and reading takes less.
const LEASE: Duration = Duration::from_secs(150);
const READ_MAX: Duration = Duration::from_secs(120);
/// While the store is away, a claim is given back this often.
const GIVE_BACK_AGAIN: Duration = Duration::from_secs(1);
/// At most so many are read side by side, of each provider no more than half of its places.
const AT_ONCE: usize = 512;
/// A copy waits for a place at its server for no longer than this; then it is due again later.
const PLACE_MAX: Duration = Duration::from_secs(20);
/// A copy that cannot be watched as things are configured is thought of again after this long.
const UNWATCHED: Duration = Duration::from_secs(300);

/// See the module's documentation.
#[derive(Clone)]
pub struct Copies {
    /// Where the Tasks are.
    pub store: Arc<dyn Store>,
    /// How they are read.
    pub client: FhirClient,
    /// Whose they are.
    pub registry: Arc<ArcSwap<Registry>>,
    /// Who takes what they say.
    pub status: Status,
    /// Who takes what their people write.
    pub conversation: Conversation,
    /// Who may be asked, and how much at once.
    pub endpoints: Endpoints,
}

/// What is remembered of a copy between two looks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Watch {
    pub(super) held: Held,
    /// It was not there under its id: it is looked for by our identifier.
    #[serde(default)]
    pub(super) lost: bool,
    /// Since when it cannot be read.
    #[serde(default)]
    unreadable_since: Option<String>,
    /// Whether that is in the journal.
    #[serde(default)]
    told: bool,
    /// What its ServiceRequest is called there, once that is known.
    #[serde(default)]
    pub(super) request: Option<String>,
    /// Messages there that were not taken, which is in the journal.
    #[serde(default)]
    pub(super) refused: Vec<String>,
}

/// A copy that cannot be read.
struct Unreadable {
    why: String,
    /// It will not become readable by waiting.
    gone: bool,
    /// What that says of the server.
    heard: Heard,
}

impl Unreadable {
    /// The server answered; it is about the copy.
    fn answered(why: &str, gone: bool) -> Self {
        Self { why: why.to_owned(), gone, heard: Heard::Answer }
    }
}

impl From<Failure> for Unreadable {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Transient { retry_after, throttled: true, why } => {
                Self { heard: Heard::Throttled { retry_after, why: why.clone() }, why, gone: false }
            }
            Failure::Transient { retry_after, why, .. } => {
                Self { heard: Heard::Failure { retry_after, why: why.clone() }, why, gone: false }
            }
            Failure::Permanent { why } => Self { heard: Heard::Answer, why, gone: true },
        }
    }
}

impl Watch {
    /// The same with the copy as it was seen now.
    fn seen(&self, held: Held) -> Self {
        Self { held, lost: false, unreadable_since: None, told: false, ..self.clone() }
    }

    pub(super) fn memory(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Copies {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let reading = TaskTracker::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let room = AT_ONCE.saturating_sub(reading.len());
            if room == 0 {
                continue;
            }
            let Some(life) = self.store.life() else { continue };
            let asked = Instant::now();
            match self.store.claim_polls(self.endpoints.poll_shares(room), LEASE).await {
                Ok(due) => {
                    for (task, memory) in due {
                        let copies = self.clone();
                        // counted before the next claim is made
                        let looking = copies.endpoints.looking(&inbox_of(&task));
                        reading.spawn(async move {
                            copies.visit(task, &memory, (asked, life)).await;
                            drop(looking);
                        });
                    }
                }
                Err(error) => tracing::warn!(%error, "the copies to be watched cannot be read"),
            }
        }
        reading.close();
        reading.wait().await;
    }

    /// Reads one copy that was claimed after `asked`, in `life`: not for longer than it is ours.
    async fn visit(&self, task: TaskRecord, memory: &str, (asked, life): (Instant, u64)) {
        if task.state.status.is_terminal() {
            let _ = self.store.plan_poll(task.id, Poll { memory: None, at: None }).await;
            return;
        }
        let registry = self.registry.load_full();
        let Some((inbox, every)) = watched(&registry, &task) else {
            // perhaps only for now: a registry is edited, and edited back
            let _ = self.store.plan_poll(task.id, Poll { memory: None, at: self.after(UNWATCHED) }).await;
            return;
        };
        let watch: Watch = serde_json::from_str(memory).unwrap_or_default();
        let Ok(Entry::Go(mut place)) = tokio::time::timeout(PLACE_MAX, self.endpoints.enter(&inbox_of(&task))).await
        else {
            // left alone, or it has more to do than it can: the next look is as good as this one
            let _ = self.store.plan_poll(task.id, Poll { memory: None, at: self.after(every) }).await;
            return;
        };
        let reading = self.read(&task, inbox, every, watch);
        let heard = match until(asked + READ_MAX, life, &*self.store, reading).await {
            Some(Ok(heard)) => heard,
            Some(Err(error)) => {
                tracing::warn!(task.id = %task.id, %error, "a copy could not be taken; it is read again");
                Heard::Nothing
            }
            // it is the store that was away, and the server is not to blame
            None if self.store.life() != Some(life) => Heard::Nothing,
            None => {
                tracing::warn!(task.id = %task.id, "a copy took too long to read; it is read again");
                Heard::Failure { retry_after: None, why: format!("a copy not read within {READ_MAX:?}") }
            }
        };
        place.heard(task.id, &heard).await;
        if matches!(heard, Heard::Nothing) {
            // its place is others' meanwhile
            drop(place);
            self.give_back(&task, every, asked).await;
        }
    }

    /// Lets a copy be read again soon that could not be taken: tried until the store hears it, or the claim is nearly over anyway.
    async fn give_back(&self, task: &TaskRecord, every: Duration, asked: Instant) {
        while Instant::now() < asked + READ_MAX {
            let Some(at) = self.after(every) else { return };
            if self.store.give_back_poll(task.id, at).await.is_ok() {
                return;
            }
            tokio::time::sleep(GIVE_BACK_AGAIN).await;
        }
    }

    fn after(&self, wait: Duration) -> Option<Timestamp> {
        self.store.now().checked_add(wait).ok()
    }

    /// While a copy is still being read.
    pub(super) fn soon(&self) -> Option<Timestamp> {
        self.after(LEASE)
    }

    fn later(&self, watch: &Watch, every: Duration) -> Poll {
        Poll { memory: Some(watch.memory()), at: self.after(every) }
    }

    async fn read(
        &self,
        task: &TaskRecord,
        inbox: &FhirRestInbox,
        every: Duration,
        watch: Watch,
    ) -> Result<Heard, StoreError> {
        let to = endpoint(inbox);
        // under an id of another server, or of none, it is looked for by our identifier
        let known = watch.held.base == to.base_url && !watch.held.id.is_empty();
        let watch = if known && !watch.lost { watch } else { Watch { request: None, ..watch } };
        let held = if known && !watch.lost {
            watch.held.clone()
        } else {
            match look(&self.client, &to, task.id).await {
                // the one we knew is back: what was taken of it is not taken once more
                Ok(Some(found)) if known && found.id == watch.held.id => watch.held.clone(),
                Ok(Some(found)) => found,
                Ok(None) => {
                    let found = Unreadable::answered("our Task is not on the provider's server", true);
                    return self.unreadable(task, watch, every, found).await;
                }
                Err(failure) => return self.unreadable(task, watch, every, failure.into()).await,
            }
        };
        let newest = match self.newest(task, &to, &held).await {
            Ok(Some(newest)) => newest,
            Ok(None) => {
                let told = watch.told;
                let watch = self.overhear(task, &to, watch.seen(held)).await?;
                let poll = self.later(&watch, every);
                if told {
                    self.readable(task, poll).await?;
                } else {
                    self.store.plan_poll(task.id, poll).await?;
                }
                return Ok(Heard::Answer);
            }
            Err(unreadable) => return self.unreadable(task, watch, every, unreadable).await,
        };
        let versions = match self.since(&to, &held, newest).await {
            Ok(versions) => versions,
            Err(unreadable) => return self.unreadable(task, watch, every, unreadable).await,
        };
        let mut watch = Watch { held: held.clone(), ..watch };
        if let Some(request) = versions.last().and_then(|(_, copy)| later::request_of(copy, &to.base_url)) {
            watch.request = Some(request);
        }
        if watch.told {
            // before what it says: an answer is no answer from a copy that cannot be read
            watch = watch.seen(held.clone());
            self.readable(task, self.later(&watch, LEASE)).await?;
        }
        // what its people wrote before they set a status is told before it
        let watch = self.overhear(task, &to, watch).await?;
        let last = versions.len().saturating_sub(1);
        for (n, (held, version)) in versions.into_iter().enumerate() {
            // what is remembered moves on with each version taken, so that a copy read halfway loses nothing; until the last one
            // it stays ours, or another would take the rest at the same time
            let wait = if n == last { every } else { LEASE };
            self.take(task, inbox, &version, self.later(&watch.seen(held), wait)).await?;
        }
        Ok(Heard::Answer)
    }

    /// The copy as it is, with its ETag; none where it has not changed.
    async fn newest(&self, task: &TaskRecord, to: &Endpoint, held: &Held) -> Result<Option<(Held, Value)>, Unreadable> {
        let etag = held.etag.clone().unwrap_or_default();
        let headers = [("if-none-match", etag.as_str())];
        let headers = if etag.is_empty() { &headers[..0] } else { &headers[..] };
        let answer = self.client.get(to, &format!("Task/{}", held.id), headers).await.map_err(|e| e.failure())?;
        if answer.status == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        if let Some(failure) = answer.failure() {
            return Err(failure.into());
        }
        let Some(copy) = answer.body.filter(|b| tree::resource_type(b) == Some("Task")) else {
            return Err(Unreadable::answered("the answer is no Task", false));
        };
        if !is_ours(&copy, task.id) {
            // a server that was set up anew may have given the id to another person's Task
            metrics::counter!("onward_alerts_total", "alert" => "copy-mismatch").increment(1);
            return Err(Unreadable::answered("under this id there is another Task now", true));
        }
        let etag = answer.etag.or_else(|| Held::of(to, &copy).etag);
        let same = match (etag.as_deref(), held.etag.as_deref()) {
            (Some(now), Some(then)) => now == then || (number(now).is_some() && number(now) == number(then)),
            _ => false,
        };
        Ok((!same).then(|| (Held { etag, ..held.clone() }, copy)))
    }

    /// The versions of a copy after the one last seen, oldest first: a provider that did two things between two looks is told
    /// of both. A server without history gives its newest alone; a history that cannot be read just now is read later.
    async fn since(&self, to: &Endpoint, held: &Held, newest: (Held, Value)) -> Result<Vec<(Held, Value)>, Unreadable> {
        let last = newest.0.etag.as_deref().and_then(number);
        let seen = held.etag.as_deref().and_then(number).unwrap_or(0);
        let Some(last) = last.filter(|last| *last > seen + 1) else { return Ok(vec![newest]) };
        let answer = self.client.get(to, &format!("Task/{}/_history", held.id), &[]).await;
        let answer = answer.map_err(|e| e.failure())?;
        if let Some(transient @ Failure::Transient { .. }) = answer.failure() {
            return Err(transient.into());
        }
        let bundle = answer.body.unwrap_or_default();
        let mut versions: Vec<(u64, Held, Value)> = tree::items(&bundle, "entry")
            .iter()
            .filter_map(|e| e.get("resource"))
            .filter(|r| {
                tree::resource_type(r) == Some("Task") && r.get("id").and_then(Value::as_str) == Some(&*held.id)
            })
            .filter_map(|r| {
                let version = Held::of(to, r);
                let n = version.etag.as_deref().and_then(number)?;
                (seen < n && n < last).then(|| (n, version, r.clone()))
            })
            .collect();
        versions.sort_by_key(|(n, _, _)| *n);
        versions.dedup_by_key(|(n, _, _)| *n);
        Ok(versions.into_iter().map(|(_, held, version)| (held, version)).chain([newest]).collect())
    }

    async fn take(
        &self,
        task: &TaskRecord,
        inbox: &FhirRestInbox,
        version: &Value,
        poll: Poll,
    ) -> Result<(), StoreError> {
        // its relative references mean its own server
        let mut version = version.clone();
        tree::map_references(&mut version, &mut |literal| match parse(literal) {
            Target::Relative { .. } => Some(format!("{}/{literal}", inbox.base_url)),
            _ => None,
        });
        let taken = self
            .status
            .answer(task.id, Source::Copy { poll: poll.clone(), seen: seen_of(&version) }, |current| {
                Ok(change::from_copy(current, &version))
            })
            .await;
        let note = |why| Event::AnswerRefused { why };
        match taken {
            Ok(_) | Err(StatusError::NotFound | StatusError::Stale { .. } | StatusError::Follows) => Ok(()),
            Err(StatusError::Refused(refusal)) => self.status.note_copy(task.id, poll, note(refusal.to_string())).await,
            Err(StatusError::Invalid(issues)) => {
                let why = issues.first().map(|i| i.diagnostics.clone()).unwrap_or_default();
                self.status.note_copy(task.id, poll, note(why)).await
            }
            Err(StatusError::Store(error)) => Err(error),
        }
    }

    /// Looks again later; says so in the journal, once, where the copy is gone or has been unreadable for too long.
    async fn unreadable(
        &self,
        task: &TaskRecord,
        mut watch: Watch,
        every: Duration,
        found: Unreadable,
    ) -> Result<Heard, StoreError> {
        let now = self.store.now();
        let since = watch.unreadable_since.as_deref().and_then(|s| s.parse().ok()).unwrap_or(now);
        watch.unreadable_since = Some(since.to_string());
        watch.lost |= found.gone;
        if watch.told || !(found.gone || self.endpoints.retry(&inbox_of(task)).is_delayed(since, now)) {
            tracing::debug!(task.id = %task.id, why = found.why, "a copy cannot be read now");
            self.store.plan_poll(task.id, self.later(&watch, every)).await?;
            return Ok(found.heard);
        }
        watch.told = true;
        let poll = self.later(&watch, every);
        self.status.note_copy(task.id, poll, Event::CopyUnreadable { why: found.why }).await?;
        Ok(found.heard)
    }
}

impl Copies {
    /// Tells that a copy is back that was told to be gone or unreadable.
    async fn readable(&self, task: &TaskRecord, poll: Poll) -> Result<(), StoreError> {
        self.status.note_copy(task.id, poll, Event::CopyReadable).await
    }
}

fn inbox_of(task: &TaskRecord) -> Destination {
    Destination::new(Side::Delivery, task.inbox.as_str())
}

/// Up to which seq of ours the one who wrote a version knew what the referrer had said. A server that dropped our extension may
/// have kept our code.
fn seen_of(version: &Value) -> u64 {
    let asked = || codings_of_ours(version).iter().any(|c| tree::text(c, "system") == Some(BSER_SYSTEM));
    seq_of(version).unwrap_or_else(|| if asked() { u64::MAX } else { 0 })
}

fn watched<'r>(registry: &'r Registry, task: &TaskRecord) -> Option<(&'r FhirRestInbox, Duration)> {
    let inbox = registry.inboxes.get(&task.inbox).filter(|inbox| inbox.provider == task.provider)?;
    let InboxKind::FhirRest(rest) = &inbox.kind else { return None };
    let Answers::Poll { every } = rest.answers else { return None };
    Some((rest, every))
}

/// The number in an ETag such as `W/"3"`.
fn number(etag: &str) -> Option<u64> {
    etag.trim_start_matches("W/").trim_matches('"').parse().ok()
}

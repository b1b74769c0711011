//! Watches the copies of providers whose systems do not answer by themselves (`answers = "poll"`): reads each by its id, and
//! turns what changed into the same commands that a request would have brought.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use hyper::StatusCode;
use serde_json::Value;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::fhir_rest::{Copy, endpoint};
use crate::{
    client::{Failure, FhirClient},
    config::registry::{Answers, Endpoint, FhirRestInbox, InboxKind, Registry},
    fhir::tree,
    status::{Source, Status, StatusError, change},
    store::{Poll, Store, StoreError, TaskRecord},
};

/// The store is asked this often for copies that are due.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A copy that is being read is nobody else's to read for this long.
const LEASE: Duration = Duration::from_secs(60);
/// At most so many are read side by side.
const AT_ONCE: usize = 32;

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
}

impl Copies {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let reading = TaskTracker::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => break,
            }
            let room = AT_ONCE.saturating_sub(reading.len());
            if room == 0 {
                continue;
            }
            match self.store.claim_polls(room, LEASE).await {
                Ok(due) => {
                    for (task, memory) in due {
                        let copies = self.clone();
                        reading.spawn(async move { copies.look(task, &memory).await });
                    }
                }
                Err(error) => tracing::warn!(%error, "the copies to be watched cannot be read"),
            }
        }
        reading.close();
        reading.wait().await;
    }

    async fn look(&self, task: TaskRecord, memory: &str) {
        let registry = self.registry.load_full();
        let Some((inbox, every)) = watched(&registry, &task) else {
            // no longer polled: a copy that nobody watches
            let _ = self.store.plan_poll(task.id, Poll { memory: None, at: None }).await;
            return;
        };
        let Some(copy) = Copy::recall(memory) else { return };
        if let Err(error) = self.read(&task, inbox, every, copy).await {
            tracing::warn!(task.id = %task.id, %error, "a provider's copy could not be taken; it is read again");
        }
    }

    fn later(&self, copy: &Copy, every: Duration) -> Poll {
        Poll { memory: Some(copy.memory()), at: self.store.now().checked_add(every).ok() }
    }

    async fn read(
        &self,
        task: &TaskRecord,
        inbox: &FhirRestInbox,
        every: Duration,
        copy: Copy,
    ) -> Result<(), StoreError> {
        let to = endpoint(inbox);
        let etag = copy.etag.clone().unwrap_or_default();
        let headers = [("if-none-match", etag.as_str())];
        let headers: &[_] = if etag.is_empty() { &[] } else { &headers };
        let answer = match self.client.get(&to, &format!("Task/{}", copy.id), headers).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(task.id = %task.id, %error, "a provider's copy cannot be read now");
                return self.store.plan_poll(task.id, self.later(&copy, every)).await;
            }
        };
        if answer.status == StatusCode::NOT_MODIFIED {
            return self.store.plan_poll(task.id, self.later(&copy, every)).await;
        }
        let Some(newest) = answer.body.filter(|b| answer.status.is_success() && tree::resource_type(b) == Some("Task"))
        else {
            tracing::warn!(task.id = %task.id, http.status = answer.status.as_u16(), "a provider's copy cannot be read");
            metrics::counter!("onward_copy_unreadable_total").increment(1);
            return self.store.plan_poll(task.id, self.later(&copy, every)).await;
        };
        let seen = Copy { etag: answer.etag.or_else(|| super::fhir_rest::copy_of(&newest).etag), ..copy.clone() };
        if seen.etag.is_some() && seen.etag == copy.etag {
            return self.store.plan_poll(task.id, self.later(&copy, every)).await;
        }
        // what is remembered moves on with each version that is taken: ended in between, the rest is found again. Until the last
        // one the copy stays ours, or somebody else would take the rest at the same time
        let newest_version = version_of(&newest);
        let Some(mut versions) = self.since(&to, &copy, newest).await else {
            return self.store.plan_poll(task.id, self.later(&copy, every)).await;
        };
        let last = versions.pop();
        for version in versions {
            let taken = Copy { etag: super::fhir_rest::copy_of(&version).etag, ..copy.clone() };
            self.take(task, &version, self.later(&taken, LEASE)).await?;
        }
        match last {
            // the history was read later, and may know more than the ETag does
            Some(last) if version_of(&last) != newest_version => {
                let taken = Copy { etag: super::fhir_rest::copy_of(&last).etag, ..copy };
                self.take(task, &last, self.later(&taken, every)).await
            }
            Some(last) => self.take(task, &last, self.later(&seen, every)).await,
            None => Ok(()),
        }
    }

    /// The versions of a copy after the one last seen, oldest first: a provider that did two things between two looks is told
    /// of both. A server without history gives its newest alone; nothing, where the history cannot be read just now.
    async fn since(&self, to: &Endpoint, copy: &Copy, newest: Value) -> Option<Vec<Value>> {
        let seen = match copy.etag.as_deref().map(version_number) {
            Some(Some(seen)) => seen,
            Some(None) => return Some(vec![newest]),
            None => 0,
        };
        let answer = self.client.get(to, &format!("Task/{}/_history", copy.id), &[]).await;
        let answer = answer.ok()?;
        let bundle = match (answer.failure(), answer.body) {
            (None, Some(bundle)) => bundle,
            (Some(Failure::Transient { .. }), _) => return None,
            _ => return Some(vec![newest]),
        };
        let number = |task: &Value| version_of(task)?.parse::<u64>().ok();
        let mut versions: Vec<(u64, Value)> = tree::items(&bundle, "entry")
            .iter()
            .filter_map(|e| e.get("resource"))
            .filter(|r| tree::resource_type(r) == Some("Task"))
            .filter_map(|r| number(r).map(|n| (n, r.clone())))
            .filter(|(n, _)| *n > seen)
            .collect();
        versions.sort_by_key(|(n, _)| *n);
        versions.dedup_by_key(|(n, _)| *n);
        Some(match (versions.last(), number(&newest)) {
            (Some((last, _)), Some(n)) if *last >= n => versions.into_iter().map(|(_, v)| v).collect(),
            _ => vec![newest],
        })
    }

    async fn take(&self, task: &TaskRecord, version: &Value, poll: Poll) -> Result<(), StoreError> {
        let taken = self
            .status
            .answer(task.id, Source::Copy(poll.clone()), |current| Ok(change::from_copy(current, version)))
            .await;
        match taken {
            Ok(_) | Err(StatusError::NotFound | StatusError::Stale { .. }) => Ok(()),
            Err(StatusError::Refused(refusal)) => self.status.refuse_copy(task.id, poll, refusal.to_string()).await,
            Err(StatusError::Invalid(issues)) => {
                let why = issues.first().map(|i| i.diagnostics.clone()).unwrap_or_default();
                self.status.refuse_copy(task.id, poll, why).await
            }
            Err(StatusError::Store(error)) => Err(error),
        }
    }
}

fn watched<'r>(registry: &'r Registry, task: &TaskRecord) -> Option<(&'r FhirRestInbox, Duration)> {
    let inbox = super::destination(registry, task).ok()?;
    let InboxKind::FhirRest(rest) = &inbox.kind else { return None };
    let Answers::Poll { every } = rest.answers else { return None };
    (!task.state.status.is_terminal()).then_some((rest, every))
}

fn version_of(task: &Value) -> Option<String> {
    task.get("meta")?.get("versionId")?.as_str().map(str::to_owned)
}

/// The number in an ETag such as `W/"3"`.
fn version_number(etag: &str) -> Option<u64> {
    etag.trim_start_matches("W/").trim_matches('"').parse().ok()
}

//! A provider's answer becomes a transition: what it may change, whether the table allows it, and the commit that holds it.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use serde_json::Value;

use crate::{
    config::registry::{Answers, FhirRestInbox, InboxKind, Registry},
    domain::{
        Actor, Alert, AlertKind, Event, Side, TaskId, TaskStatus,
        task::{Answer, Refusal, TaskState},
    },
    fhir::{outcome::Issue, task as fhir_task},
    lanes::{Relay, task_body},
    store::{Append, AppendError, NewEvent, Poll, Settle, Settled, Store, StoreError, TaskRecord, turn},
};

pub mod change;
pub mod deadlines;
mod escalation;
pub mod parent;

/// How often an answer is decided again because our own bookkeeping came in between.
const MOVED_MAX: usize = 20;

/// Why an answer is not taken. Nothing of it is stored.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// There is no such Task.
    #[error("there is no such Task")]
    NotFound,
    /// The Task was changed since the version the answer was made from.
    #[error("the Task has changed since that version; the current one is {current}")]
    Stale {
        /// The current version.
        current: u64,
    },
    /// The table of Task states does not have it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It is not a Task, or changes what is not the provider's to change.
    #[error("the Task cannot be taken as it is")]
    Invalid(Vec<Issue>),
    /// It is the parent of several, which nobody sets.
    #[error("the status of this Task follows from those of the Tasks that are part of it; search them by part-of")]
    Follows,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where an answer comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A request, made from this version of the Task.
    Request {
        /// `If-Match`.
        version: u64,
    },
    /// The provider's own copy: steps that its system skipped are implied.
    Copy {
        /// How it is watched from now on.
        poll: Poll,
        /// The journal seq that the copy had been brought up to when its provider wrote this.
        seen: u64,
    },
}

/// Takes providers' answers.
#[derive(Clone)]
pub struct Status {
    store: Arc<dyn Store>,
    relay: Relay,
    registry: Arc<ArcSwap<Registry>>,
}

impl Status {
    /// One over this store.
    pub fn new(store: Arc<dyn Store>, relay: Relay, registry: Arc<ArcSwap<Registry>>) -> Self {
        Self { store, relay, registry }
    }

    /// Takes an answer: `make` turns the Task as it stands into the Task as the provider wants it. An answer that changes
    /// nothing makes no new version. Whether the caller may answer at all was decided before (`auth`).
    ///
    /// # Errors
    /// [`StatusError`]
    pub async fn answer(
        &self,
        id: TaskId,
        source: Source,
        make: impl Fn(&Value) -> Result<Value, Vec<Issue>> + Send + Sync,
    ) -> Result<TaskRecord, StatusError> {
        let task = self.store.task(id).await?.ok_or(StatusError::NotFound)?;
        self.answer_known(task, source, make).await
    }

    /// The same where the Task was read a moment ago.
    ///
    /// # Errors
    /// [`StatusError`]
    pub async fn answer_known(
        &self,
        task: TaskRecord,
        source: Source,
        make: impl Fn(&Value) -> Result<Value, Vec<Issue>> + Send + Sync,
    ) -> Result<TaskRecord, StatusError> {
        let id = task.id;
        if task.is_parent() {
            return Err(StatusError::Follows);
        }
        let mut known = Some(task);
        for lost in 0..MOVED_MAX {
            turn(lost).await;
            let task = match known.take() {
                Some(task) => task,
                None => self.store.task(id).await?.ok_or(StatusError::NotFound)?,
            };
            if let Source::Request { version } = source
                && !(task.answered..=task.version).contains(&version)
            {
                return Err(StatusError::Stale { current: task.version });
            }
            let current = task_body(&*self.store, id, task.version).await?;
            let wanted = make(&current).map_err(StatusError::Invalid)?;
            let mut new = change::merge(&current, &wanted, task.provider.as_str()).map_err(StatusError::Invalid)?;
            let to = fhir_task::status(&new).map_err(|e| StatusError::Invalid(vec![change::bad_status(&e)]))?;
            let asks = self.asks(&task, &wanted, &source).await?;
            if change::same(&current, &mut new) && !asks {
                if let Source::Copy { poll, .. } = &source {
                    self.store.plan_poll(id, poll.clone()).await?;
                }
                return Ok(task);
            }
            let aware = self.aware(&task, &source).await?;
            let append = self.decide(&task, &current, Wanted { body: new, to, asks, aware }, &source)?;
            let registry = self.registry.load_full();
            match parent::commit(&*self.store, &registry, &task, append).await {
                Ok(appended) => {
                    self.tell(&appended.task);
                    self.relay.publish_all(appended.wake_ups).await;
                    return Ok(appended.task);
                }
                Err(AppendError::Moved | AppendError::LeaseLost) => {}
                Err(AppendError::Store(error)) => return Err(error.into()),
            }
        }
        Err(StoreError::Unavailable("the task moves on faster than an answer can be stored".into()).into())
    }

    /// Whether the provider sets by itself the code that says that it asks for more. One that its copy still shows, though the
    /// referrer has answered, asks for nothing.
    async fn asks(&self, task: &TaskRecord, wanted: &Value, source: &Source) -> Result<bool, StoreError> {
        let said = wanted.get("businessStatus").is_some_and(fhir_task::asks_for_more);
        Ok(said
            && !task.state.information_requested
            && !task.state.status.is_terminal()
            && self.knows_all(task, source).await?)
    }

    /// Whether an answer was made knowing that cancellation is asked for.
    async fn aware(&self, task: &TaskRecord, source: &Source) -> Result<bool, StoreError> {
        Ok(!task.state.cancel_requested || self.knows_all(task, source).await?)
    }

    /// Whether a provider could know all that the referrer has said. One that writes here does: its version would be stale.
    async fn knows_all(&self, task: &TaskRecord, source: &Source) -> Result<bool, StoreError> {
        let Source::Copy { seen, .. } = source else { return Ok(true) };
        let journal = self.store.journal(task.id).await?;
        let said = journal.iter().rev().find(|line| line.seq > 1 && matches!(line.actor, Actor::System(_)));
        Ok(said.is_none_or(|line| line.seq <= *seen))
    }

    fn decide(
        &self,
        task: &TaskRecord,
        current: &Value,
        wanted: Wanted,
        source: &Source,
    ) -> Result<Append, StatusError> {
        let Wanted { body: new, to, asks, aware } = wanted;
        let registry = self.registry.load();
        let back = write_back_lanes(&registry, task);
        let now = self.store.now();
        let mut steps = Steps { events: Vec::new(), state: task.state, back, now, task };
        let unconfirmed = steps.confirm_delivery(&registry, current);
        // whoever only gives it to a colleague has not opened it
        let given = !asks && change::gives_only(current, &new);
        let way = match source {
            Source::Request { .. } => vec![to],
            Source::Copy { .. } => match steps.state.way_to(to) {
                way if way.is_empty() => vec![to],
                way => way,
            },
        };
        let last = way.len() - 1;
        for (n, step) in way.into_iter().enumerate() {
            let implied = n < last;
            let has_reason = implied || fhir_task::has_reason(&new);
            let from = steps.state.status;
            let (step, state) = if given {
                (from, steps.state.given()?)
            } else {
                (step, steps.state.answer(Answer { to: step, has_reason, aware })?)
            };
            let body = if implied { current } else { &new };
            let state = TaskState { information_requested: state.information_requested || (asks && !implied), ..state };
            steps.push(Event::Answered { from, to: step, implied }, body, state);
        }
        if task.state.cancel_requested
            && !steps.state.cancel_requested
            && !steps.state.status.is_terminal()
            && let Some(last) = steps.events.last_mut()
        {
            // its copy no longer says that cancellation is asked for
            last.lanes.push(Side::Delivery);
        }
        let settle = unconfirmed.then_some(Settle {
            side: Side::Delivery,
            seq: 1,
            lease: None,
            extend: Duration::ZERO,
            outcome: Settled::Done { memory: None },
        });
        let poll = match source {
            Source::Copy { poll, .. } if !steps.state.status.is_terminal() => Some(poll.clone()),
            Source::Copy { poll, .. } => Some(Poll { at: None, ..poll.clone() }),
            // its copy, which nobody has seen yet, is looked for by our identifier
            Source::Request { .. } if unconfirmed && is_polled(&registry, task) => {
                Some(Poll { memory: None, at: Some(now) })
            }
            Source::Request { .. } => None,
        };
        Ok(Append { state: steps.state, events: steps.events, answers: true, settle, poll, ..Append::to(task) })
    }

    /// Notes something about a provider's copy that is no answer, with an alert where a person has to see to it. That the copy is
    /// gone or unreadable, and that it is back, is told to the record.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn note_copy(&self, id: TaskId, poll: Poll, event: Event) -> Result<(), StoreError> {
        for lost in 0..MOVED_MAX {
            turn(lost).await;
            let Some(task) = self.store.task(id).await? else { return Ok(()) };
            let append = self.noted(&task, poll.clone(), event.clone()).await?;
            match self.store.append(append).await {
                Ok(appended) => {
                    self.relay.publish_all(appended.wake_ups).await;
                    break;
                }
                Err(AppendError::Moved | AppendError::LeaseLost) => {}
                Err(AppendError::Store(error)) => return Err(error),
            }
        }
        if event == Event::CopyReadable {
            tracing::info!(task.id = %id, "a provider's copy can be read again");
            return Ok(());
        }
        tracing::warn!(task.id = %id, event = event.name(), why = event.why(), "a provider's copy cannot be taken");
        metrics::counter!("onward_alerts_total", "alert" => event.name()).increment(1);
        Ok(())
    }

    async fn noted(&self, task: &TaskRecord, poll: Poll, event: Event) -> Result<Append, StoreError> {
        let now = self.store.now();
        let why = event.why().unwrap_or_default().to_owned();
        let (state, alert) = match &event {
            Event::CopyUnreadable { .. } => {
                let alert = Alert::new(AlertKind::CopyUnreadable, task.inbox.as_str(), now, why);
                (task.state.copy_unreadable(now), Some(alert.of_task(task.id)))
            }
            Event::CopyReadable => (task.state.copy_readable(), None),
            _ => {
                let alert = Alert::new(AlertKind::AnswerRefused, task.id.to_string(), now, why);
                (task.state, Some(alert.of_task(task.id)))
            }
        };
        let mut new = NewEvent { event, actor: Actor::Onward, body: None, lanes: vec![] };
        if new.event.changes_task() {
            let mut body = task_body(&*self.store, task.id, task.version).await?;
            fhir_task::set_state(&mut body, &state, now);
            new.body = Some(body.to_string());
            new.lanes = write_back_lanes(&self.registry.load(), task);
        } else {
            new.actor = Actor::Provider(task.provider.clone());
        }
        let alerts = alert.into_iter().collect();
        Ok(Append { events: vec![new], state, poll: Some(poll), alerts, ..Append::to(task) })
    }

    fn tell(&self, task: &TaskRecord) {
        metrics::counter!("onward_events_total", "event" => "answered").increment(1);
        tracing::info!(task.id = %task.id, inbox.id = %task.inbox, task.status = %task.state.status, "answered");
    }
}

/// A Task as its provider wants it.
struct Wanted {
    body: Value,
    to: TaskStatus,
    asks: bool,
    aware: bool,
}

fn is_polled(registry: &Registry, task: &TaskRecord) -> bool {
    let kind = registry.inboxes.get(&task.inbox).map(|inbox| &inbox.kind);
    matches!(kind, Some(InboxKind::FhirRest(FhirRestInbox { answers: Answers::Poll { .. }, .. })))
}

/// The state of a Task that reaches its provider now: with the times that its route gives, or its inbox.
pub fn awaited(registry: &Registry, task: &TaskRecord, state: TaskState, now: jiff::Timestamp) -> TaskState {
    let escalation = registry.inboxes.get(&task.inbox).map(|inbox| inbox.escalation).unwrap_or_default();
    state.awaited(now, &escalation.under(&task.terms), &registry.working_time)
}

/// The lanes a change of this Task goes to: back to the record, where its system has one.
pub fn write_back_lanes(registry: &Registry, task: &TaskRecord) -> Vec<Side> {
    let has_record = registry.systems.get(&task.system).is_some_and(|s| s.write_back.is_some());
    if has_record { vec![Side::WriteBack] } else { vec![] }
}

/// Events in the making, each with the state and content after it.
struct Steps<'a> {
    events: Vec<NewEvent>,
    state: TaskState,
    back: Vec<Side>,
    now: jiff::Timestamp,
    task: &'a TaskRecord,
}

impl Steps<'_> {
    fn push(&mut self, event: Event, body: &Value, state: TaskState) {
        let mut body = body.clone();
        fhir_task::set_state(&mut body, &state, self.now);
        self.state = state;
        let actor = Actor::Provider(self.task.provider.clone());
        self.events.push(NewEvent { event, actor, body: Some(body.to_string()), lanes: self.back.clone() });
    }

    /// An answer that comes before our own note of the delivery confirms it in the same commit. Says whether it did.
    fn confirm_delivery(&mut self, registry: &Registry, current: &Value) -> bool {
        let inbox = self.task.inbox.clone();
        let taken = match registry.inboxes.get(&inbox).map(|inbox| &inbox.kind) {
            Some(InboxKind::Worklist) => Event::Listed { inbox },
            Some(InboxKind::Amqp(_)) => Event::HandedOver { inbox },
            Some(InboxKind::FhirRest(_)) | None => {
                let unconfirmed = self.state.status == TaskStatus::Requested;
                if unconfirmed {
                    let state = awaited(registry, self.task, self.state, self.now).delivered();
                    self.push(Event::Delivered { inbox, remote: None, by_answer: true }, current, state);
                }
                return unconfirmed;
            }
        };
        let unconfirmed = !self.state.sent;
        if unconfirmed {
            let state = awaited(registry, self.task, self.state, self.now).handed_over();
            self.push(taken, current, state);
        }
        unconfirmed
    }
}

//! Kind `fhir-rest`: the originating record is a FHIR server that holds a Task of ours for each of its referrals.
//!
//! The first write is a conditional create under our identifier, later ones carry the ETag that the last one gave. Wherever the
//! record's Task is not as we left it, it is read and only what is ours is brought up to date.

use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    origin::Found,
    record_task::{Origin, make, merge, without_seq},
};
use crate::{
    client::{Answer, Failure, FhirClient, Held},
    config::registry::{Detail, Endpoint, WriteBack},
    domain::{Event, TaskStatus},
    fhir::{
        reference::{Target, encode, parse},
        task::{found_in, identifier_token, is_ours, seq_of},
        tree,
    },
    lanes::{Cause, Outcome, idempotency_key},
    store::TaskRecord,
};

/// How often a Task that others write at the same moment is read and merged again before it waits for the next try.
pub(super) const MERGE_MAX: usize = 4;

/// One status on its way back.
pub struct Line<'a> {
    /// The Task.
    pub task: &'a TaskRecord,
    /// The seq of the event it tells.
    pub seq: u64,
    /// The Task as that event left it.
    pub body: &'a Value,
    /// The Task as it was written last, if it was: as JSON text, for it is seldom asked for.
    pub before: Option<String>,
    /// The ServiceRequest as it was received.
    pub request: &'a Value,
    /// What the provider wrote, where that is what the event tells of.
    pub message: Option<&'a Value>,
    /// A later status is there already: only what was written is sent.
    pub late: bool,
    /// All resources of the referral.
    pub resources: &'a [Value],
    /// How much is told.
    pub detail: Detail,
    /// Where this Onward is reached.
    pub base_url: &'a str,
}

/// What the lane remembers of the record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// The record's FHIR base: under another one, nothing else here means anything.
    pub base: String,
    /// Logical id of its Task.
    pub task: Option<String>,
    /// That Task's ETag after our last write.
    pub etag: Option<String>,
    /// Whether the record is known to have left that Task just as we wrote it. Otherwise it is never replaced unread.
    pub alone: bool,
    /// Logical id of its ServiceRequest, once it was found and held against the referral.
    pub request: Option<String>,
    /// That ServiceRequest's subject, as JSON text.
    pub subject: Option<String>,
    /// Whether it is in the journal that the ServiceRequest was not found.
    pub noted: bool,
}

/// One record system.
pub struct Record<'a> {
    /// How it is reached.
    pub client: &'a FhirClient,
    /// Where it is, and what goes back to it.
    pub write_back: &'a WriteBack,
}

/// Why a write ends early.
pub(super) enum Stop {
    Later(Failure),
    /// Others write it all the time.
    Contended,
    Never(String),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Later(failure)
    }
}

impl Record<'_> {
    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint {
            base_url: self.write_back.base_url.clone(),
            access: self.write_back.access.clone(),
            timeout: self.write_back.timeout,
        }
    }

    /// Writes one status. `again` says that an earlier try may have arrived.
    pub async fn write(&self, line: &Line<'_>, memory: Option<&str>, again: bool) -> Outcome {
        let mut memory: Memory = memory.and_then(|m| serde_json::from_str(m).ok()).unwrap_or_default();
        if memory.base != self.write_back.base_url {
            memory = Memory { base: self.write_back.base_url.clone(), ..Memory::default() };
        }
        let mut notes = Vec::new();
        let done = self.try_write(line, &mut memory, &mut notes, again).await;
        match done {
            Ok(()) => {
                memory.noted |= notes.iter().any(|note| matches!(note, Event::RecordNotFound { .. }));
                let remembered = serde_json::to_string(&memory).ok();
                Outcome::Arrived { remote: memory.task.unwrap_or_default(), memory: remembered, notes }
            }
            Err(Stop::Later(Failure::Transient { retry_after, throttled, why })) => {
                let cause = if throttled { Cause::Throttled } else { Cause::Away };
                Outcome::Deferred { cause, retry_after, memory: serde_json::to_string(&memory).ok(), why }
            }
            Err(Stop::Contended) => {
                let why = "the record's Task is being changed faster than it can be merged".to_owned();
                Outcome::Deferred {
                    cause: Cause::Message,
                    retry_after: None,
                    memory: serde_json::to_string(&memory).ok(),
                    why,
                }
            }
            Err(Stop::Later(Failure::Permanent { why }) | Stop::Never(why)) => Outcome::Refused { why },
        }
    }

    async fn try_write(
        &self,
        line: &Line<'_>,
        memory: &mut Memory,
        notes: &mut Vec<Event>,
        again: bool,
    ) -> Result<(), Stop> {
        if memory.request.is_none() {
            // one that was not found may have been written since
            match self.find_request(line).await? {
                Found::Ours(origin, _) => {
                    memory.subject = Some(origin.subject.to_string());
                    memory.request = Some(origin.id);
                    memory.alone = false;
                }
                Found::NotThere(why) if !memory.noted => notes.push(Event::RecordNotFound { why }),
                Found::NotThere(_) => {}
            }
        }
        let origin = memory.request.as_ref().map(|id| Origin {
            id: id.clone(),
            subject: memory.subject.as_deref().and_then(|s| serde_json::from_str(s).ok()).unwrap_or_default(),
        });
        if !line.late {
            self.write_task(line, origin.as_ref(), memory, again).await?;
        }
        if let Some(message) = line.message {
            self.write_message(line, message, origin.as_ref(), memory, again).await?;
        }
        let completed =
            !line.late && line.body.get("status").and_then(Value::as_str) == Some(TaskStatus::Completed.code());
        // a part that is done may leave others to be done
        if completed && self.write_back.close_request && line.task.part_of.is_none() {
            notes.extend(self.close_request(line).await?);
        }
        Ok(())
    }

    async fn write_task(
        &self,
        line: &Line<'_>,
        origin: Option<&Origin>,
        memory: &mut Memory,
        again: bool,
    ) -> Result<(), Stop> {
        let new = make(line, line.body, origin);
        if memory.task.is_none() && !again {
            // a create and never an update: a request that comes later than it was waited for must not undo what was written
            // since
            let answer = self.create(line, &new).await?;
            if answer.status == StatusCode::CREATED {
                return self.remember(&answer, line, &new, memory).await;
            }
            if !matches!(answer.status.as_u16(), 200 | 400 | 404 | 405 | 412 | 422 | 501) {
                return Err(failure_of(&answer).into());
            }
            // it is there, or perhaps this record knows no conditional create: the long way shows which
        }
        self.write_by_reading(line, origin, &new, memory, again).await
    }

    /// Creates the Task if none of ours is there.
    async fn create(&self, line: &Line<'_>, new: &Value) -> Result<Answer, Stop> {
        let condition = format!("identifier={}", encode(&identifier_token(line.task.id)));
        let key = idempotency_key(line.task.id, line.seq);
        let headers = [("if-none-exist", &*condition), ("idempotency-key", &*key)];
        let sent = self.client.send(&self.endpoint(), Method::POST, "Task", &headers, new).await;
        sent.map_err(|error| error.failure().into())
    }

    /// Read, merge, write; as often as others come in between.
    async fn write_by_reading(
        &self,
        line: &Line<'_>,
        origin: Option<&Origin>,
        new: &Value,
        memory: &mut Memory,
        again: bool,
    ) -> Result<(), Stop> {
        let to = self.endpoint();
        let key = idempotency_key(line.task.id, line.seq);
        // as we left it, by its own word: then it need not be read
        let mut unread = memory.task.is_some() && memory.etag.is_some() && memory.alone && !again;
        for _ in 0..MERGE_MAX {
            let (id, etag, mut body) = if unread {
                unread = false;
                (memory.task.clone().unwrap_or_default(), memory.etag.clone(), new.clone())
            } else if let Some((task, etag)) = self.read_task(line, memory).await? {
                let held = Held::of(&to, &task);
                let etag = etag.or(held.etag);
                let before = line.before.as_deref().map(serde_json::from_str::<Value>).transpose();
                let before = before.map_err(|_| Stop::Never("the Task written last cannot be read back".to_owned()))?;
                let before = before.map(|before| make(line, &before, origin));
                let merged = merge(&task, before.as_ref(), new, line.task.id);
                if seq_of(&task) >= Some(line.seq) || without_seq(&merged) == without_seq(&task) {
                    memory.alone = false;
                    memory.task = Some(held.id);
                    memory.etag = etag;
                    return Ok(());
                }
                (held.id, etag, merged)
            } else {
                memory.task = None;
                let answer = self.create(line, new).await?;
                match answer.status {
                    StatusCode::CREATED => return self.remember(&answer, line, new, memory).await,
                    StatusCode::OK => continue, // someone was faster: read what is there
                    _ => return Err(failure_of(&answer).into()),
                }
            };
            if let Some(object) = body.as_object_mut() {
                object.insert("id".into(), id.clone().into());
            }
            let etag_text = etag.clone().unwrap_or_default();
            let headers = [("idempotency-key", &*key), ("if-match", &*etag_text)];
            let headers = if etag.is_some() { &headers[..] } else { &headers[..1] };
            let path = format!("Task/{id}");
            let answer = self.client.send(&to, Method::PUT, &path, headers, &body).await.map_err(|e| e.failure())?;
            match answer.status.as_u16() {
                200..=299 => return self.remember(&answer, line, new, memory).await,
                404 | 409 | 410 | 412 => {}
                _ => return Err(failure_of(&answer).into()),
            }
        }
        Err(Stop::Contended)
    }

    /// The record's Task: by its id where we know it, else by our identifier.
    async fn read_task(&self, line: &Line<'_>, memory: &Memory) -> Result<Option<(Value, Option<String>)>, Stop> {
        let to = self.endpoint();
        if let Some(id) = &memory.task {
            let answer = self.client.get(&to, &format!("Task/{id}"), &[]).await.map_err(|e| e.failure())?;
            match (answer.status.as_u16(), answer.body) {
                (200..=299, Some(task)) if is_ours(&task, line.task.id) => return Ok(Some((task, answer.etag))),
                // gone, or a server set up anew has given the id to another person's Task: by our identifier, then
                (200..=299 | 404 | 410, _) => {}
                (_, body) => return Err(failure_of(&Answer { body, ..answer }).into()),
            }
        }
        let path = format!("Task?identifier={}", encode(&identifier_token(line.task.id)));
        let answer = self.client.get(&to, &path, &[]).await.map_err(|e| e.failure())?;
        if !answer.status.is_success() {
            return Err(failure_of(&answer).into());
        }
        Ok(answer.body.as_ref().and_then(|b| found_in(b, line.task.id)).map(|task| (task, None)))
    }

    /// Keeps id and ETag of what was written, and whether the record left it as it was; a record that does not say is asked
    /// at the next write.
    async fn remember(&self, answer: &Answer, line: &Line<'_>, ours: &Value, memory: &mut Memory) -> Result<(), Stop> {
        let to = self.endpoint();
        let located = answer.location.as_deref().and_then(|location| match parse(location) {
            Target::Relative { kind: "Task", id, .. } | Target::Absolute { kind: "Task", id, .. } => {
                Some(id.to_owned())
            }
            _ => None,
        });
        let body = answer.body.as_ref().filter(|b| tree::resource_type(b) == Some("Task"));
        let told = body.map(|task| Held::of(&to, task));
        memory.alone = body.is_some_and(|task| says_only(task, ours));
        memory.etag = answer.etag.clone().or_else(|| told.as_ref().and_then(|c| c.etag.clone()));
        let id = told.map(|c| c.id).filter(|id| !id.is_empty()).or(located).or(memory.task.take());
        memory.task = match id {
            Some(id) => Some(id),
            None => self.read_task(line, &Memory::default()).await?.map(|(task, _)| Held::of(&to, &task).id),
        };
        Ok(())
    }
}

/// Whether a Task as the record has it says nothing beyond what is ours.
fn says_only(record: &Value, ours: &Value) -> bool {
    let (Some(record), Some(ours)) = (record.as_object(), ours.as_object()) else { return false };
    let mut said = record.iter().filter(|(name, _)| !matches!(name.as_str(), "id" | "meta"));
    said.clone().count() == ours.len() && said.all(|(name, value)| ours.get(name) == Some(value))
}

pub(super) fn failure_of(answer: &Answer) -> Failure {
    answer.failure().unwrap_or_else(|| Failure::Permanent { why: answer.describe() })
}

//! Kind `fhir-rest`: the originating record is a FHIR server that holds a Task of ours for each of its referrals.
//!
//! The first write is a conditional update on our identifier, later ones carry the ETag that the last one gave. Wherever the
//! record's Task is not as we left it, it is read and only what is ours is brought up to date.

use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record_task::{Origin, make, merge, seq_of};
use crate::{
    client::{Answer, Failure, FhirClient, query},
    config::registry::{Detail, Endpoint, WriteBack},
    delivery::fhir_rest::{copy_of, found_task},
    domain::{Event, TaskStatus},
    fhir::{
        reference::{Target, parse},
        task::identifier_token,
        tree,
    },
    lanes::Outcome,
    store::TaskRecord,
};

/// How often a Task that others write at the same moment is read and merged again before it waits for the next try.
const MERGE_MAX: usize = 4;

/// One status on its way back.
pub struct Line<'a> {
    /// The Task.
    pub task: &'a TaskRecord,
    /// The seq of the event it tells.
    pub seq: u64,
    /// The Task as that event left it.
    pub body: &'a Value,
    /// The ServiceRequest as it was received.
    pub request: &'a Value,
    /// All resources of the referral.
    pub resources: &'a [Value],
    /// How much is told.
    pub detail: Detail,
    /// Where this Onward is reached.
    pub base_url: &'a str,
}

/// What the lane remembers of the record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Logical id of its Task.
    pub task: Option<String>,
    /// That Task's ETag after our last write.
    pub etag: Option<String>,
    /// Logical id of its ServiceRequest, if it was found.
    pub request: Option<String>,
    /// That ServiceRequest's subject, as JSON text.
    pub subject: Option<String>,
    /// Whether the ServiceRequest has been looked at.
    pub checked: bool,
    /// Whether the record has put something of its own into its Task: then it is never replaced unread.
    #[serde(default)]
    pub shared: bool,
}

/// One record system.
pub struct Record<'a> {
    /// How it is reached.
    pub client: &'a FhirClient,
    /// Where it is, and what goes back to it.
    pub write_back: &'a WriteBack,
}

/// Why a write ends early.
enum Stop {
    Later(Failure),
    Never(String),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Later(failure)
    }
}

/// What the record's ServiceRequest is to us.
enum Found {
    Ours(Origin, Value),
    NotThere(String),
}

impl Record<'_> {
    fn endpoint(&self) -> Endpoint {
        Endpoint {
            base_url: self.write_back.base_url.clone(),
            token: self.write_back.token.clone(),
            timeout: self.write_back.timeout,
        }
    }

    /// Writes one status. `again` says that an earlier try may have arrived.
    pub async fn write(&self, line: &Line<'_>, memory: Option<&str>, again: bool) -> Outcome {
        let mut memory: Memory = memory.and_then(|m| serde_json::from_str(m).ok()).unwrap_or_default();
        let mut notes = Vec::new();
        let done = self.try_write(line, &mut memory, &mut notes, again).await;
        if done.is_err() && notes.iter().any(|note| matches!(note, Event::RecordNotFound { .. })) {
            // notes are journalled with what arrives, so it is looked for again, and noted then
            memory.checked = false;
        }
        let remembered = serde_json::to_string(&memory).ok();
        match done {
            Ok(()) => Outcome::Arrived { remote: memory.task.unwrap_or_default(), memory: remembered, notes },
            Err(Stop::Later(Failure::Transient { retry_after, why })) => {
                Outcome::Deferred { retry_after, memory: remembered, why }
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
        if !memory.checked {
            match self.find_request(line).await? {
                Found::Ours(origin, _) => {
                    memory.subject = Some(origin.subject.to_string());
                    memory.request = Some(origin.id);
                }
                Found::NotThere(why) => notes.push(Event::RecordNotFound { why }),
            }
            memory.checked = true;
        }
        let origin = memory.request.as_ref().map(|id| Origin {
            id: id.clone(),
            subject: memory.subject.as_deref().and_then(|s| serde_json::from_str(s).ok()).unwrap_or_default(),
        });
        let new = make(line, origin.as_ref());
        self.write_task(line, &new, memory, again).await?;
        let completed = line.body.get("status").and_then(Value::as_str) == Some(TaskStatus::Completed.code());
        if completed && self.write_back.close_request && self.close_request(line).await? {
            notes.push(Event::RequestClosed);
        }
        Ok(())
    }

    async fn write_task(&self, line: &Line<'_>, new: &Value, memory: &mut Memory, again: bool) -> Result<(), Stop> {
        let to = self.endpoint();
        if memory.task.is_none() && !again {
            let path = format!("Task?identifier={}", query(&identifier_token(line.task.id)));
            let answer = self.client.send(&to, Method::PUT, &path, &[], new).await.map_err(|e| e.failure())?;
            if answer.status.is_success() {
                return self.remember(&answer, line, memory).await;
            }
            if !matches!(answer.status.as_u16(), 400 | 404 | 405 | 412 | 422 | 501) {
                return Err(failure_of(&answer).into());
            }
            // perhaps a record that knows no conditional update: the long way shows whether it is that
        }
        self.write_by_reading(line, new, memory, again).await
    }

    /// Read, merge, write; as often as others come in between.
    async fn write_by_reading(
        &self,
        line: &Line<'_>,
        new: &Value,
        memory: &mut Memory,
        again: bool,
    ) -> Result<(), Stop> {
        let to = self.endpoint();
        // as we left it, so far as we know: then it need not be read
        let mut blind = memory.task.is_some() && memory.etag.is_some() && !memory.shared && !again;
        for _ in 0..MERGE_MAX {
            let (id, etag, body) = if blind {
                blind = false;
                (memory.task.clone().unwrap_or_default(), memory.etag.clone(), new.clone())
            } else {
                match self.read_task(line, memory).await? {
                    Some((task, etag)) => {
                        let copy = copy_of(&task);
                        if seq_of(&task) >= Some(line.seq) {
                            memory.task = Some(copy.id);
                            memory.etag = etag.or(copy.etag);
                            return Ok(());
                        }
                        let merged = merge(&task, new, line.task.id);
                        memory.shared = !says_only(&merged, new);
                        (copy.id.clone(), etag.or(copy.etag), merged)
                    }
                    None => {
                        memory.task = None;
                        let condition = format!("identifier={}", query(&identifier_token(line.task.id)));
                        let headers = [("if-none-exist", &*condition)];
                        let answer = self
                            .client
                            .send(&to, Method::POST, "Task", &headers, new)
                            .await
                            .map_err(|e| e.failure())?;
                        match answer.status {
                            StatusCode::CREATED => return self.remember(&answer, line, memory).await,
                            StatusCode::OK => continue, // someone was faster: read what is there
                            _ => return Err(failure_of(&answer).into()),
                        }
                    }
                }
            };
            let mut body = body;
            if let Some(object) = body.as_object_mut() {
                object.insert("id".into(), id.clone().into());
            }
            let etag_text = etag.clone().unwrap_or_default();
            let headers = [("if-match", &*etag_text)];
            let headers: &[_] = if etag.is_some() { &headers } else { &[] };
            let path = format!("Task/{id}");
            let answer = self.client.send(&to, Method::PUT, &path, headers, &body).await.map_err(|e| e.failure())?;
            match answer.status.as_u16() {
                200..=299 => return self.remember(&answer, line, memory).await,
                404 | 409 | 410 | 412 => {}
                _ => return Err(failure_of(&answer).into()),
            }
        }
        let why = "the record's Task is being changed faster than it can be merged".to_owned();
        Err(Failure::Transient { retry_after: None, why }.into())
    }

    /// The record's Task: by its id where we know it, else by our identifier.
    async fn read_task(&self, line: &Line<'_>, memory: &Memory) -> Result<Option<(Value, Option<String>)>, Stop> {
        let to = self.endpoint();
        if let Some(id) = &memory.task {
            let answer = self.client.get(&to, &format!("Task/{id}"), &[]).await.map_err(|e| e.failure())?;
            if let (true, Some(task)) = (answer.status.is_success(), &answer.body) {
                return Ok(Some((task.clone(), answer.etag)));
            }
            if !matches!(answer.status.as_u16(), 404 | 410) {
                return Err(failure_of(&answer).into());
            }
        }
        let path = format!("Task?identifier={}", query(&identifier_token(line.task.id)));
        let answer = self.client.get(&to, &path, &[]).await.map_err(|e| e.failure())?;
        if !answer.status.is_success() {
            return Err(failure_of(&answer).into());
        }
        Ok(answer.body.as_ref().and_then(|b| found_task(b, line.task.id)).map(|task| (task, None)))
    }

    /// Keeps id and ETag of what was written; a record that does not say them is asked at the next write.
    async fn remember(&self, answer: &Answer, line: &Line<'_>, memory: &mut Memory) -> Result<(), Stop> {
        let located = answer.location.as_deref().and_then(|location| match parse(location) {
            Target::Relative { kind: "Task", id, .. } | Target::Absolute { kind: "Task", id, .. } => {
                Some(id.to_owned())
            }
            _ => None,
        });
        let told = answer.body.as_ref().filter(|b| tree::resource_type(b) == Some("Task")).map(copy_of);
        memory.etag = answer.etag.clone().or_else(|| told.as_ref().and_then(|c| c.etag.clone()));
        let id = told.map(|c| c.id).filter(|id| !id.is_empty()).or(located).or(memory.task.take());
        memory.task = match id {
            Some(id) => Some(id),
            None => self.read_task(line, &Memory::default()).await?.map(|(task, _)| copy_of(&task).id),
        };
        Ok(())
    }

    /// The originating ServiceRequest, where the record lets us read it: its identifier and subject must be those of the
    /// referral, or nothing is written.
    async fn find_request(&self, line: &Line<'_>) -> Result<Found, Stop> {
        let to = self.endpoint();
        let identifier = line.task.identifier.clone();
        let path = match (&line.task.origin, &identifier) {
            (Some(id), _) => format!("ServiceRequest/{id}"),
            (None, Some(token)) => format!("ServiceRequest?identifier={}", query(token)),
            (None, None) => return Ok(Found::NotThere("the referral names neither its id nor an identifier".into())),
        };
        let answer = self.client.get(&to, &path, &[]).await.map_err(|e| e.failure())?;
        let found = match (answer.status.as_u16(), &answer.body) {
            (200..=299, Some(body)) if tree::resource_type(body) == Some("ServiceRequest") => Some(body.clone()),
            (200..=299, Some(body)) => tree::items(body, "entry")
                .iter()
                .filter_map(|e| e.get("resource"))
                .find(|r| tree::resource_type(r) == Some("ServiceRequest") && has_identifier(r, identifier.as_deref()))
                .cloned(),
            (400..=499, _) if !matches!(answer.status.as_u16(), 408 | 425 | 429) => None,
            (501, _) => None,
            _ => return Err(failure_of(&answer).into()),
        };
        let Some(request) = found else {
            let status = answer.status.as_u16();
            let why =
                if answer.status.is_success() { "no such ServiceRequest".into() } else { format!("HTTP {status}") };
            return Ok(Found::NotThere(why));
        };
        if let Some(token) = &identifier
            && !has_identifier(&request, Some(token))
        {
            return Err(mismatch("the record's ServiceRequest has another identifier"));
        }
        if !self.same_subject(line, &request).await? {
            return Err(mismatch("the record's ServiceRequest is about another person"));
        }
        let id = request.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let subject = request.get("subject").cloned().unwrap_or_default();
        Ok(Found::Ours(Origin { id, subject }, request))
    }

    /// Whether a ServiceRequest of the record is about the referral's person: by the NHS number where both sides show one,
    /// else by any identifier they share, else by the literal reference that was sent.
    async fn same_subject(&self, line: &Line<'_>, request: &Value) -> Result<bool, Stop> {
        let theirs = match request.get("subject") {
            Some(subject) => self.identifiers_of(subject, request).await?,
            None => vec![],
        };
        let ours = line.request.get("subject").map(|s| known_identifiers(s, line)).unwrap_or_default();
        let nhs = |all: &[(String, String)]| {
            all.iter().find(|(s, _)| s == crate::fhir::nhs_number::SYSTEM).map(|(_, v)| v.replace(' ', ""))
        };
        if let (Some(a), Some(b)) = (nhs(&ours), nhs(&theirs)) {
            return Ok(a == b);
        }
        let systems_shared = ours.iter().any(|(s, _)| theirs.iter().any(|(t, _)| s == t));
        // where nothing can be compared, the identifier of the referral itself has to do
        Ok(!systems_shared || ours.iter().any(|o| theirs.contains(o)))
    }

    async fn identifiers_of(&self, subject: &Value, request: &Value) -> Result<Vec<(String, String)>, Stop> {
        let mut all = pairs(subject.get("identifier").into_iter());
        let Some(reference) = subject.get("reference").and_then(Value::as_str) else { return Ok(all) };
        let patient = match parse(reference) {
            Target::Contained(id) => tree::items(request, "contained")
                .iter()
                .find(|r| r.get("id").and_then(Value::as_str) == Some(id))
                .cloned(),
            Target::Relative { kind, id, .. } => self.read_other(&format!("{kind}/{id}")).await?,
            Target::Absolute { base, kind, id, .. } if base.trim_end_matches('/') == self.write_back.base_url => {
                self.read_other(&format!("{kind}/{id}")).await?
            }
            _ => None,
        };
        if let Some(patient) = patient {
            all.extend(pairs(tree::items(&patient, "identifier").iter()));
        }
        Ok(all)
    }

    async fn read_other(&self, path: &str) -> Result<Option<Value>, Stop> {
        let answer = self.client.get(&self.endpoint(), path, &[]).await.map_err(|e| e.failure())?;
        match answer.failure() {
            None => Ok(answer.body),
            Some(Failure::Transient { retry_after, why }) if answer.status.as_u16() >= 408 => {
                Err(Failure::Transient { retry_after, why }.into())
            }
            Some(_) => Ok(None),
        }
    }

    /// Sets the record's ServiceRequest to `completed` where it still says `active`. Says whether it did.
    async fn close_request(&self, line: &Line<'_>) -> Result<bool, Stop> {
        let to = self.endpoint();
        for _ in 0..MERGE_MAX {
            let Found::Ours(origin, mut request) = self.find_request(line).await? else { return Ok(false) };
            if request.get("status").and_then(Value::as_str) != Some("active") {
                return Ok(false);
            }
            let etag = copy_of(&request).etag;
            if let Some(object) = request.as_object_mut() {
                object.insert("status".into(), "completed".into());
            }
            let etag_text = etag.clone().unwrap_or_default();
            let headers = [("if-match", &*etag_text)];
            let headers: &[_] = if etag.is_some() { &headers } else { &[] };
            let path = format!("ServiceRequest/{}", origin.id);
            let answer = self.client.send(&to, Method::PUT, &path, headers, &request).await.map_err(|e| e.failure())?;
            match answer.status.as_u16() {
                200..=299 => return Ok(true),
                409 | 412 => {}
                404 | 410 => return Ok(false),
                _ => return Err(failure_of(&answer).into()),
            }
        }
        let why = "the record's ServiceRequest is being changed faster than it can be closed".to_owned();
        Err(Failure::Transient { retry_after: None, why }.into())
    }
}

/// Whether a Task as the record has it says nothing beyond what is ours.
fn says_only(record: &Value, ours: &Value) -> bool {
    let mut bare = record.clone();
    if let Some(object) = bare.as_object_mut() {
        object.retain(|name, _| name != "id" && name != "meta");
    }
    bare == *ours
}

fn failure_of(answer: &Answer) -> Failure {
    answer.failure().unwrap_or_else(|| Failure::Permanent { why: answer.describe() })
}

fn mismatch(why: &str) -> Stop {
    metrics::counter!("onward_alerts_total", "alert" => "record-mismatch").increment(1);
    tracing::error!(why, "nothing was written into a record that does not match");
    Stop::Never(why.to_owned())
}

fn has_identifier(resource: &Value, token: Option<&str>) -> bool {
    let Some(token) = token else { return false };
    pairs(tree::items(resource, "identifier").iter()).iter().any(|(system, value)| format!("{system}|{value}") == token)
}

fn pairs<'a>(identifiers: impl Iterator<Item = &'a Value>) -> Vec<(String, String)> {
    identifiers
        .filter_map(|i| {
            let text = |name| i.get(name).and_then(Value::as_str).map(str::to_owned);
            Some((text("system").unwrap_or_default(), text("value")?))
        })
        .collect()
}

/// What the referral itself says of who it is about.
fn known_identifiers(subject: &Value, line: &Line<'_>) -> Vec<(String, String)> {
    let mut all = pairs(subject.get("identifier").into_iter());
    let Some(reference) = subject.get("reference").and_then(Value::as_str) else { return all };
    let contained = tree::items(line.request, "contained");
    let patient = match parse(reference) {
        Target::Contained(id) => contained.iter().find(|r| r.get("id").and_then(Value::as_str) == Some(id)),
        Target::Relative { id, .. } => line.resources.iter().find(|r| r.get("id").and_then(Value::as_str) == Some(id)),
        _ => None,
    };
    all.extend(patient.into_iter().flat_map(|p| pairs(tree::items(p, "identifier").iter())));
    all
}

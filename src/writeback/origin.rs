//! The originating record's ServiceRequest: found, held against the referral before anything is written, and closed at the end
//! where that is wanted.

use hyper::Method;
use serde_json::Value;

use super::{
    fhir_rest::{Line, MERGE_MAX, Record, Stop, failure_of},
    record_task::Origin,
};
use crate::{
    client::{Answer, Failure, Held},
    domain::Event,
    fhir::{
        nhs_number,
        reference::{Target, encode, parse},
        tree,
    },
    lanes::idempotency_key,
};

/// What the record's ServiceRequest is to us.
pub(super) enum Found {
    Ours(Origin, Value),
    NotThere(String),
}

impl Record<'_> {
    /// The originating ServiceRequest, where the record lets us read it: its identifier and subject must be those of the
    /// referral, or nothing is written. Looked for by the id that the sender told, then by its identifier.
    pub(super) async fn find_request(&self, line: &Line<'_>) -> Result<Found, Stop> {
        let identifier = line.task.identifier.as_deref();
        let mut why = "the referral names neither its id nor an identifier".to_owned();
        let mut found = None;
        let by_id = line.task.origin.as_ref().map(|id| format!("ServiceRequest/{id}"));
        let by_identifier = identifier.map(|token| format!("ServiceRequest?identifier={}", encode(token)));
        for path in by_id.into_iter().chain(by_identifier) {
            match self.read_request(&path, identifier).await? {
                Ok(request) => {
                    found = Some(request);
                    break;
                }
                Err(not_there) => why = not_there,
            }
        }
        let Some(request) = found else { return Ok(Found::NotThere(why)) };
        if identifier.is_some() && !has_identifier(&request, identifier) {
            return Err(mismatch("the record's ServiceRequest has another identifier"));
        }
        match self.same_subject(line, &request).await? {
            Some(false) => return Err(mismatch("the record's ServiceRequest is about another person")),
            // found by an id alone that another may have by now
            None if identifier.is_none() => {
                return Ok(Found::NotThere("neither its identifier nor its person can be compared".to_owned()));
            }
            _ => {}
        }
        let id = request.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let subject = request.get("subject").cloned().unwrap_or_default();
        Ok(Found::Ours(Origin { id, subject }, request))
    }

    /// A ServiceRequest by URL or search, or why there is none.
    async fn read_request(&self, path: &str, identifier: Option<&str>) -> Result<Result<Value, String>, Stop> {
        let answer = self.client.get(&self.endpoint(), path, &[]).await.map_err(|e| e.failure())?;
        let is_request = |r: &Value| tree::resource_type(r) == Some("ServiceRequest");
        let status = answer.status.as_u16();
        match (status, answer.body) {
            (200..=299, Some(body)) if is_request(&body) => Ok(Ok(body)),
            (200..=299, Some(body)) => {
                let mut all = tree::items(&body, "entry").iter().filter_map(|e| e.get("resource"));
                let found = all.find(|r| is_request(r) && has_identifier(r, identifier));
                Ok(found.cloned().ok_or_else(|| "no such ServiceRequest".to_owned()))
            }
            (400..=499 | 501, _) if !matches!(status, 401 | 408 | 425 | 429) => Ok(Err(format!("HTTP {status}"))),
            (_, body) => Err(failure_of(&Answer { body, ..answer }).into()),
        }
    }

    /// Whether a ServiceRequest of the record is about the referral's person: by the NHS number where both sides show one, else
    /// by identifiers of a system that both have, else by the reference. None where nothing can be compared.
    async fn same_subject(&self, line: &Line<'_>, request: &Value) -> Result<Option<bool>, Stop> {
        let theirs = match request.get("subject") {
            Some(subject) => self.identifiers_of(subject, request).await?,
            None => vec![],
        };
        let ours = line.request.get("subject").map(|s| known_identifiers(s, line)).unwrap_or_default();
        let nhs = |all: &[(String, String)]| {
            all.iter().find(|(s, _)| s == nhs_number::SYSTEM).map(|(_, v)| v.replace(' ', ""))
        };
        if let (Some(a), Some(b)) = (nhs(&ours), nhs(&theirs)) {
            return Ok(Some(a == b));
        }
        if ours.iter().any(|(s, _)| theirs.iter().any(|(t, _)| s == t)) {
            return Ok(Some(ours.iter().any(|o| theirs.contains(o))));
        }
        // no identifier to compare by: the person may be named by the same reference
        let literal = |r: &Value| tree::text(r, "subject.reference").map(|l| self.absolute(l));
        Ok(match (literal(line.request), literal(request)) {
            (Some(a), Some(b)) if a == b => Some(true),
            _ => None,
        })
    }

    /// A reference of the record's own, in full.
    fn absolute(&self, literal: &str) -> String {
        match parse(literal) {
            Target::Relative { kind, id, .. } => format!("{}/{kind}/{id}", self.write_back.base_url),
            _ => literal.to_owned(),
        }
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
            Some(Failure::Transient { retry_after, throttled, why }) if answer.status.as_u16() >= 408 => {
                Err(Failure::Transient { retry_after, throttled, why }.into())
            }
            Some(_) => Ok(None),
        }
    }

    /// Sets the record's ServiceRequest to `completed` where it still says `active`. Says what came of it, if anything did; a
    /// record that does not let it be set keeps no status waiting for that.
    pub(super) async fn close_request(&self, line: &Line<'_>) -> Result<Option<Event>, Stop> {
        let to = self.endpoint();
        for _ in 0..MERGE_MAX {
            let Found::Ours(origin, mut request) = self.find_request(line).await? else { return Ok(None) };
            if request.get("status").and_then(Value::as_str) != Some("active") {
                return Ok(None);
            }
            let etag = Held::of(&to, &request).etag;
            if let Some(object) = request.as_object_mut() {
                object.insert("status".into(), "completed".into());
            }
            let key = format!("{}-close", idempotency_key(line.task.id, line.seq));
            let etag_text = etag.clone().unwrap_or_default();
            let headers = [("idempotency-key", &*key), ("if-match", &*etag_text)];
            let headers = if etag.is_some() { &headers[..] } else { &headers[..1] };
            let path = format!("ServiceRequest/{}", origin.id);
            let answer = self.client.send(&to, Method::PUT, &path, headers, &request).await.map_err(|e| e.failure())?;
            match answer.status.as_u16() {
                200..=299 => return Ok(Some(Event::RequestClosed)),
                409 | 412 => {}
                404 | 410 => return Ok(None),
                408 | 425 | 429 | 500 | 502.. => return Err(failure_of(&answer).into()),
                _ => return Ok(Some(Event::RequestNotClosed { why: answer.describe() })),
            }
        }
        let why = "it is being changed faster than it can be closed".to_owned();
        Ok(Some(Event::RequestNotClosed { why }))
    }
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

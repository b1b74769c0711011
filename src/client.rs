//! The HTTP client towards provider and record systems: FHIR JSON over hyper and rustls, every answer bounded in size and time.
//!
//! It follows no redirect: an endpoint is where the configuration says it is. What it tells of a failure is meant for the IT
//! worklist and carries no content.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    header::{self, HeaderMap, HeaderValue},
};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::{
    config::{Outbound, Secret, registry::Endpoint},
    fhir::{
        IssueCode,
        gate::{self, Limits},
        reference::{is_id, is_resource_type},
    },
    resolve::Resolver,
};

mod connections;
mod grants;
mod no_connection;
mod notify;
mod rehearsal;
pub mod signer;
mod verdict;

use connections::Connections;
use grants::Grants;
pub use no_connection::NoConnection;
pub use rehearsal::{Rehearsal, Written};
use verdict::Verdict;

/// An answer larger than this is not read.
const ANSWER_MAX_BYTES: usize = 8 * 1024 * 1024;

/// The most bytes that an answer may have, where its reader takes less than every answer may have: an extension of the request. No more are read.
#[derive(Debug, Clone, Copy)]
pub struct AnswerMax(pub usize);

/// The client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("no usable root certificates: {0}")]
pub struct NoRoots(#[from] std::io::Error);

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// `ETag`, as sent.
    pub etag: Option<String>,
    /// `Location`, as sent.
    pub location: Option<String>,
    /// `Retry-After`.
    pub retry_after: Option<SignedDuration>,
    /// The body, where there is one and it is FHIR JSON.
    pub body: Option<Value>,
}

/// What is known of a resource that another server holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The FHIR base of that server: under another one the id means something else.
    pub base: String,
    /// Its logical id there; empty while it is not known.
    pub id: String,
    /// Its ETag when it was last seen.
    pub etag: Option<String>,
}

impl Held {
    /// As a resource says of itself: its id, and the weak ETag that its version implies (R4 http, versioning).
    pub fn of(server: &Endpoint, resource: &Value) -> Self {
        let id = resource.get("id").and_then(Value::as_str).filter(|id| is_id(id)).unwrap_or_default().to_owned();
        let version = resource.get("meta").and_then(|m| m.get("versionId")).and_then(Value::as_str);
        Self { base: server.base_url.clone(), id, etag: version.map(|v| format!("W/\"{v}\"")) }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No connection, so nothing was sent.
    #[error("cannot connect: {0}")]
    Connect(NoConnection),
    /// It may not be connected to, so nothing was sent.
    #[error("not connected to: {NOT_ALLOWED}")]
    NotAllowed,
    /// The access token that it wants is not to be had just now, so nothing was sent.
    #[error("no access token: {0}")]
    NoToken(String),
    /// The certificate that it is to be shown cannot be used just now, so nothing was sent.
    #[error("no certificate to show: {0}")]
    NoCertificate(String),
    /// No answer in time. Whether the server acted is unknown.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The connection broke. Whether the server acted is unknown.
    #[error("the connection broke before the answer was complete")]
    Broken,
    /// The answer is not one that can be read: too large or not FHIR JSON. The server may have acted.
    #[error("the answer cannot be read: {0}")]
    Unreadable(String),
    /// The URL or a header cannot be written. Nothing was sent.
    #[error("the request cannot be made: {0}")]
    Unusable(String),
}

/// A failure as the one who sent the request should take it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It may heal: try again, no sooner than asked.
    Transient {
        /// What `Retry-After` asked for.
        retry_after: Option<SignedDuration>,
        /// Whether the server is well and only wants a pause.
        throttled: bool,
        /// In words, without content.
        why: String,
    },
    /// It will be the same next time.
    Permanent {
        /// In words, without content.
        why: String,
    },
}

/// Takes a request to its server and brings the answer, read to its end: over connections in the service, by other ways in a
/// simulation. How long that may take is its caller's to say, who may give it up at any moment.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// One exchange.
    ///
    /// # Errors
    /// [`CallError`] where there is no whole answer.
    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, CallError>;
}

/// See the module's documentation. Cheap to clone; connections are pooled per host.
#[derive(Clone)]
pub struct FhirClient {
    transport: Arc<dyn Transport>,
    grants: Arc<Grants>,
}

const NOT_ALLOWED: &str = "scheme, host or address is none that [outbound] allows";

impl FhirClient {
    /// A client that trusts the machine's root certificates and connects to what is allowed.
    ///
    /// # Errors
    /// [`NoRoots`] where the machine has none.
    pub fn new(outbound: &Outbound) -> Result<Self, NoRoots> {
        Self::with_resolver(Resolver::system(), outbound)
    }

    /// The same, with names looked up by this resolver.
    ///
    /// # Errors
    /// [`NoRoots`] where the machine has none.
    pub fn with_resolver(resolver: Resolver, outbound: &Outbound) -> Result<Self, NoRoots> {
        Ok(Self::over(Arc::new(Connections::new(resolver, outbound)?)))
    }

    /// A client whose requests go out this way.
    pub fn over(transport: Arc<dyn Transport>) -> Self {
        Self { transport, grants: Arc::default() }
    }

    /// An exchange that is not FHIR, as it is.
    ///
    /// # Errors
    /// [`CallError`] where there is no whole answer within `limit`.
    pub async fn exchange(&self, request: Request<Full<Bytes>>, limit: Duration) -> Result<Response<Bytes>, CallError> {
        let exchange = self.transport.exchange(request);
        tokio::time::timeout(limit, exchange).await.unwrap_or(Err(CallError::TimedOut(limit)))
    }

    /// `GET base/path`.
    ///
    /// # Errors
    /// [`CallError`] where there is no answer that can be read.
    pub async fn get(&self, to: &Endpoint, path: &str, headers: &[(&'static str, &str)]) -> Result<Answer, CallError> {
        self.call(to, Method::GET, path, headers, None).await
    }

    /// `POST`, `PUT` or another method with a FHIR JSON body.
    ///
    /// # Errors
    /// [`CallError`] where there is no answer that can be read.
    pub async fn send(
        &self,
        to: &Endpoint,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: &Value,
    ) -> Result<Answer, CallError> {
        self.call(to, method, path, headers, Some(body.to_string())).await
    }

    /// The same with FHIR JSON that is written already.
    ///
    /// # Errors
    /// [`CallError`] where there is no answer that can be read.
    pub async fn send_text(
        &self,
        to: &Endpoint,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: String,
    ) -> Result<Answer, CallError> {
        self.call(to, method, path, headers, Some(body)).await
    }

    async fn call(
        &self,
        to: &Endpoint,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Option<String>,
    ) -> Result<Answer, CallError> {
        let exchange = async {
            let Some(grant) = &to.access.grant else {
                return self.once(to, &method, path, headers, body, to.access.token.as_ref()).await;
            };
            let (token, had) = self.grants.token(&*self.transport, grant, to.timeout).await?;
            let answer = self.once(to, &method, path, headers, body.clone(), Some(&token)).await?;
            if answer.status != StatusCode::UNAUTHORIZED {
                return Ok(answer);
            }
            self.grants.forget(grant, &token).await;
            if !had {
                return Ok(answer);
            }
            // it had ended there before it ended here: nothing was done, so it is sent once more
            let (token, _) = self.grants.token(&*self.transport, grant, to.timeout).await?;
            self.once(to, &method, path, headers, body, Some(&token)).await
        };
        tokio::time::timeout(to.timeout, exchange).await.unwrap_or(Err(CallError::TimedOut(to.timeout)))
    }

    /// One request, with this token.
    async fn once(
        &self,
        to: &Endpoint,
        method: &Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Option<String>,
        token: Option<&Secret>,
    ) -> Result<Answer, CallError> {
        metrics::counter!("onward_requests_sent_total", "method" => named(method)).increment(1);
        let mut request = request(to, method.clone(), path, headers, body, token)?;
        if let Some(identity) = &to.access.identity {
            request.extensions_mut().insert(Arc::clone(identity));
        }
        let (parts, body) = self.transport.exchange(request).await?.into_parts();
        answer(parts.status, &parts.headers, &body)
    }
}

/// A method as figures name it.
fn named(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        _ => "other",
    }
}

fn request(
    to: &Endpoint,
    method: Method,
    path: &str,
    headers: &[(&'static str, &str)],
    body: Option<String>,
    token: Option<&Secret>,
) -> Result<Request<Full<Bytes>>, CallError> {
    let unusable = |what: &str| CallError::Unusable(what.to_owned());
    let url = if path.is_empty() { to.base_url.clone() } else { format!("{}/{path}", to.base_url) };
    let mut request = Request::builder()
        .method(method)
        .uri(url)
        .header(header::ACCEPT, "application/fhir+json")
        .header(header::USER_AGENT, concat!("onward/", env!("CARGO_PKG_VERSION")));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(token) = token {
        let text = Zeroizing::new(format!("Bearer {}", token.reveal()).into_bytes());
        let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(text))
            .map_err(|_| unusable("the token has characters that a header cannot carry"))?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    let bytes = match body {
        Some(body) => {
            request = request.header(header::CONTENT_TYPE, "application/fhir+json");
            Bytes::from(body)
        }
        None => Bytes::new(),
    };
    request.body(Full::new(bytes)).map_err(|_| unusable("the URL or a header is not well formed"))
}

fn answer(status: StatusCode, headers: &HeaderMap, bytes: &[u8]) -> Result<Answer, CallError> {
    let text = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok()).map(str::to_owned);
    let json = text(header::CONTENT_TYPE).is_some_and(|t| t.contains("json"));
    let body = if bytes.is_empty() || !(json || status.is_success()) {
        None
    } else {
        let limits = Limits { bytes: ANSWER_MAX_BYTES, ..Limits::default() };
        match gate::read(bytes, &limits) {
            Ok(body) => Some(body),
            // an error page is no news; a success that cannot be read is
            Err(_) if !status.is_success() => None,
            Err(issue) => return Err(CallError::Unreadable(issue.diagnostics)),
        }
    };
    Ok(Answer {
        status,
        etag: text(header::ETAG),
        location: text(header::LOCATION),
        retry_after: text(header::RETRY_AFTER).and_then(|t| retry_after(&t)),
        body,
    })
}

/// `Retry-After` as seconds or as an HTTP date (RFC 9110, 10.2.3).
fn retry_after(text: &str) -> Option<SignedDuration> {
    if let Ok(seconds) = text.trim().parse::<u32>() {
        return Some(SignedDuration::from_secs(i64::from(seconds)));
    }
    let at = httpdate::parse_http_date(text.trim()).ok()?;
    let wait = at.duration_since(std::time::SystemTime::now()).unwrap_or_default();
    SignedDuration::try_from(wait).ok()
}

impl Answer {
    /// The failure that this answer is, if it is one: permanent or transient by status and OperationOutcome, see
    /// `client/verdict.rs`.
    pub fn failure(&self) -> Option<Failure> {
        if self.status.is_success() || self.status == StatusCode::NOT_MODIFIED {
            return None;
        }
        let why = self.describe();
        let verdict = verdict::of(self.status, self.body.as_ref());
        let throttled = verdict == Verdict::Throttled;
        Some(match verdict {
            Verdict::Permanent => Failure::Permanent { why },
            _ => Failure::Transient { retry_after: self.retry_after, throttled, why },
        })
    }

    /// The answer in words: status and the issue codes and places of its OperationOutcome. Its free text may repeat what was
    /// sent, and so may a code that is none or a place that is more than a path.
    pub fn describe(&self) -> String {
        let mut text = format!("HTTP {}", self.status.as_u16());
        let issues = self.body.as_ref().map(|b| crate::fhir::tree::items(b, "issue")).unwrap_or_default();
        for issue in issues.iter().take(5) {
            let code = issue.get("code").and_then(Value::as_str).unwrap_or_default();
            let known = IssueCode::ALL.iter().find(|known| known.code() == code);
            text.push_str(&format!("; {}", known.map_or("no known code", |known| known.code())));
            let place = issue.get("expression").and_then(|e| e.get(0)).and_then(Value::as_str).map(plain_path);
            if let Some(place) = place.filter(|place| !place.is_empty()) {
                text.push_str(&format!(" at {place}"));
            }
        }
        text
    }
}

/// As much of an expression as is resource type, element names and indexes; `Patient.where(name = 'X')` is just `Patient`.
fn plain_path(expression: &str) -> String {
    let is_element = |step: &str| {
        let (name, index) = step.split_once('[').map_or((step, None), |(name, index)| (name, Some(index)));
        let index = index.map_or(Some(""), |index| index.strip_suffix(']'));
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_alphanumeric())
            && index.is_some_and(|index| index.bytes().all(|b| b.is_ascii_digit()))
    };
    let mut steps = expression.split('.').take(10);
    let Some(root) = steps.next().filter(|root| is_resource_type(root)) else { return String::new() };
    steps.take_while(|step| is_element(step)).fold(root.to_owned(), |path, step| format!("{path}.{step}"))
}

impl CallError {
    /// The failure as its sender should take it: all of these may heal, except a request that cannot be written.
    pub fn failure(&self) -> Failure {
        let why = self.to_string();
        match self {
            Self::Unusable(_) => Failure::Permanent { why },
            _ => Failure::Transient { retry_after: None, throttled: false, why },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, etag: None, location: None, retry_after: None, body: None }
    }

    #[test]
    fn what_can_heal_is_tried_again() {
        for status in [401, 403, 408, 425, 429, 500, 502, 503, 504] {
            assert!(matches!(answered(status).failure(), Some(Failure::Transient { .. })), "{status}");
        }
        for status in [301, 400, 404, 405, 409, 410, 412, 415, 422, 501, 505] {
            assert!(matches!(answered(status).failure(), Some(Failure::Permanent { .. })), "{status}");
        }
        assert_eq!(answered(201).failure(), None);
        assert_eq!(answered(304).failure(), None);
    }

    #[test]
    fn an_outcome_is_told_by_code_and_place_only() {
        let body = serde_json::json!({"resourceType": "OperationOutcome", "issue": [
            {"severity": "error", "code": "value", "diagnostics": "Mrs Example, 9990000018", "expression": ["Patient.name"]}]});
        let told = Answer { body: Some(body), ..answered(422) }.describe();
        assert_eq!(told, "HTTP 422; value at Patient.name");
        for (expression, shown) in [
            ("Bundle.entry[12].resource.name", "Bundle.entry[12].resource.name"),
            ("Patient.name.where(family = 'Example')", "Patient.name"),
            ("Patient.Example", "Patient"),
            ("Patient.name[Example]", "Patient"),
            ("Mrs Example", ""),
        ] {
            assert_eq!(plain_path(expression), shown);
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after("7"), Some(SignedDuration::from_secs(7)));
        assert_eq!(retry_after("Thu, 01 Jan 1970 00:00:00 GMT"), Some(SignedDuration::ZERO));
        assert_eq!(retry_after("soon"), None);
    }
}

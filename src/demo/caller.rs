//! The HTTP client of the simulated systems: whole requests and whole answers, headers included. Loopback only, no TLS.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, header, header::HeaderMap};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use serde_json::Value;

/// An answer larger than this is not read.
const ANSWER_MAX_BYTES: usize = 32 * 1024 * 1024;
/// No answer by then is none.
const TIMEOUT: Duration = Duration::from_secs(35);

/// FHIR as JSON.
pub const FHIR_JSON: &str = "application/fhir+json";
/// JSON Patch.
pub const JSON_PATCH: &str = "application/json-patch+json";

/// A request to be made.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its method.
    pub method: Method,
    /// The whole URL.
    pub url: String,
    /// The bearer token.
    pub token: Option<String>,
    /// Headers beside those of token and body.
    pub headers: Vec<(&'static str, String)>,
    /// The body with its type, where there is one.
    pub body: Option<(&'static str, Bytes)>,
}

/// What was answered.
#[derive(Debug, Clone)]
pub struct Answered {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: Bytes,
}

/// No answer. Whether the other side acted is unknown.
#[derive(Debug, Clone, thiserror::Error)]
#[error("no answer: {0}")]
pub struct NoAnswer(String);

/// See the module's documentation. Cheap to clone.
#[derive(Clone)]
pub struct Caller {
    http: Client<HttpConnector, Full<Bytes>>,
}

// === impl Call ===

impl Call {
    /// A request without a body.
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Self { method, url: url.into(), token: None, headers: Vec::new(), body: None }
    }

    /// A `GET`.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new(Method::GET, url)
    }

    /// The same with a bearer token.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The same with one header more.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same with a JSON body of this type.
    #[must_use]
    pub fn json(mut self, content_type: &'static str, body: &Value) -> Self {
        self.body = Some((content_type, Bytes::from(body.to_string())));
        self
    }

    /// The same with these bytes as its body.
    #[must_use]
    pub fn bytes(mut self, content_type: &'static str, body: Bytes) -> Self {
        self.body = Some((content_type, body));
        self
    }
}

// === impl Answered ===

impl Answered {
    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The URLs of all `Link` headers with this relation.
    pub fn links(&self, relation: &str) -> Vec<String> {
        let wanted = format!("rel=\"{relation}\"");
        let all = self.headers.get_all(header::LINK).iter().filter_map(|value| value.to_str().ok());
        all.flat_map(|value| value.split(','))
            .filter(|link| link.contains(&wanted))
            .filter_map(|link| link.trim().strip_prefix('<')?.split_once('>').map(|(url, _)| url.to_owned()))
            .collect()
    }

    /// `Retry-After` in seconds.
    pub fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after")?.trim().parse().ok().map(Duration::from_secs)
    }

    /// Status and what the OperationOutcome says, in a line.
    pub fn describe(&self) -> String {
        let body = self.json();
        let said: Vec<String> = crate::fhir::tree::items(&body, "issue")
            .iter()
            .take(3)
            .filter_map(|issue| issue.get("diagnostics").and_then(Value::as_str))
            .map(|said| said.chars().take(200).collect())
            .collect();
        format!("HTTP {} {}", self.status.as_u16(), said.join("; ")).trim_end().to_owned()
    }
}

// === impl Caller ===

impl Caller {
    /// A new one, with its own connections.
    pub fn new() -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(tcp);
        Self { http }
    }

    /// Makes a request.
    ///
    /// # Errors
    /// [`NoAnswer`]
    pub async fn call(&self, call: Call) -> Result<Answered, NoAnswer> {
        let mut request = Request::builder().method(call.method).uri(call.url);
        if !call.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("accept")) {
            request = request.header(header::ACCEPT, FHIR_JSON);
        }
        if let Some(token) = call.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        let body = match call.body {
            Some((content_type, bytes)) => {
                request = request.header(header::CONTENT_TYPE, content_type);
                bytes
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(body)).map_err(|error| NoAnswer(error.to_string()))?;
        let exchange = async {
            let response = self.http.request(request).await.map_err(|error| NoAnswer(error.to_string()))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_MAX_BYTES).collect().await;
            let body = body.map_err(|error| NoAnswer(error.to_string()))?.to_bytes();
            Ok(Answered { status: parts.status, headers: parts.headers, body })
        };
        tokio::time::timeout(TIMEOUT, exchange).await.unwrap_or_else(|_| Err(NoAnswer("time-out".to_owned())))
    }
}

impl Default for Caller {
    fn default() -> Self {
        Self::new()
    }
}

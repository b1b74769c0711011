//! A client that reads and never writes: what it would have written is remembered, so that a message can be looked at exactly as
//! it would be sent.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, StatusCode, header};
use serde_json::Value;

use super::{CallError, FhirClient, NoConnection, Transport};

/// As what a token is asked for (RFC 6749, 4.4.2).
const FORM: &str = "application/x-www-form-urlencoded";
const FHIR: &str = "application/fhir+json";
/// A search that finds nothing.
const NONE_FOUND: &str = r#"{"resourceType":"Bundle","type":"searchset","total":0}"#;
/// A token for nothing: what is sent by it is held back.
const TOKEN: &str = r#"{"access_token":"none","token_type":"Bearer","expires_in":60}"#;

/// A write that was not made.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// Its method.
    pub method: Method,
    /// Its URL.
    pub url: String,
    /// Its headers, that of the token apart.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Value,
}

/// What a [`FhirClient::rehearsing`] would have written first.
#[derive(Clone, Default)]
pub struct Rehearsal(Arc<Mutex<Option<Written>>>);

/// Lets reads through, and what is asked for to be let in; or lets nothing through.
struct ReadOnly {
    real: Arc<dyn Transport>,
    seen: Rehearsal,
    /// Nobody is asked: whatever is read is not there.
    alone: bool,
}

impl Rehearsal {
    /// The write, if one would have been made.
    pub fn written(&self) -> Option<Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An answer that nobody gave.
fn made(status: StatusCode, kind: &'static str, body: &'static str) -> Result<Response<Bytes>, CallError> {
    let answer =
        Response::builder().status(status).header(header::CONTENT_TYPE, kind).body(Bytes::from_static(body.as_bytes()));
    answer.map_err(|error| CallError::Unusable(error.to_string()))
}

#[async_trait]
impl Transport for ReadOnly {
    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, CallError> {
        let is_for_token = request.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == FORM);
        let is_read = request.method() == Method::GET;
        match (is_read || is_for_token, self.alone) {
            (false, _) => {}
            (true, false) => return self.real.exchange(request).await,
            (true, true) if is_for_token => return made(StatusCode::OK, "application/json", TOKEN),
            (true, true) if request.uri().query().is_some() => return made(StatusCode::OK, FHIR, NONE_FOUND),
            (true, true) => return made(StatusCode::NOT_FOUND, FHIR, ""),
        }
        let (parts, body) = request.into_parts();
        // a body that lies in memory cannot fail
        let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let headers = parts.headers.iter().filter(|(name, _)| *name != header::AUTHORIZATION);
        let text = |value: &header::HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let written = Written {
            method: parts.method,
            url: parts.uri.to_string(),
            headers: headers.map(|(name, value)| (name.to_string(), text(value))).collect(),
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
        };
        self.seen.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(written);
        Err(CallError::Connect(NoConnection::Unknown))
    }
}

impl FhirClient {
    /// The same client, only that it writes nothing.
    pub fn rehearsing(&self) -> (Self, Rehearsal) {
        let seen = Rehearsal::default();
        (Self::over(Arc::new(ReadOnly { real: Arc::clone(&self.transport), seen: seen.clone(), alone: false })), seen)
    }

    /// The same, only that it asks nobody anything either: whatever it would read is not there.
    pub fn rehearsing_alone(&self) -> (Self, Rehearsal) {
        let seen = Rehearsal::default();
        (Self::over(Arc::new(ReadOnly { real: Arc::clone(&self.transport), seen: seen.clone(), alone: true })), seen)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::{Access, registry::Endpoint};

    /// Notes what is asked of it, and answers nothing.
    #[derive(Default)]
    struct Away(Mutex<Vec<String>>);

    #[async_trait]
    impl Transport for Away {
        async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, CallError> {
            self.0.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
            Err(CallError::Connect(NoConnection::Refused))
        }
    }

    fn endpoint() -> Endpoint {
        let timeout = std::time::Duration::from_secs(1);
        Endpoint { base_url: "https://lr.example/fhir".into(), access: Access::default(), timeout }
    }

    #[tokio::test]
    async fn what_is_read_is_asked_for_and_nothing_is_written() {
        let away = Arc::new(Away::default());
        let (client, seen) = FhirClient::over(away.clone()).rehearsing();
        let (to, task) = (endpoint(), json!({"resourceType": "Task"}));
        assert_eq!(client.get(&to, "Task/1", &[]).await.unwrap_err(), CallError::Connect(NoConnection::Refused));
        assert!(client.send(&to, Method::POST, "Task", &[], &task).await.is_err());
        assert_eq!(*away.0.lock().unwrap(), ["GET https://lr.example/fhir/Task/1"]);
        assert_eq!(seen.written().unwrap().body, task);
    }

    #[tokio::test]
    async fn alone_nobody_is_asked_and_nothing_is_there() {
        let away = Arc::new(Away::default());
        let (client, seen) = FhirClient::over(away.clone()).rehearsing_alone();
        let to = endpoint();
        assert_eq!(client.get(&to, "Task/1", &[]).await.unwrap().status, StatusCode::NOT_FOUND);
        let found = client.get(&to, "Task?identifier=x", &[]).await.unwrap();
        assert_eq!(found.body.unwrap()["total"], 0);
        let token = Request::post("https://lr.example/token").header(header::CONTENT_TYPE, FORM);
        let token = client.exchange(token.body(Full::default()).unwrap(), to.timeout).await.unwrap();
        assert!(token.body().starts_with(b"{\"access_token\""), "{token:?}");
        assert!(seen.written().is_none(), "to be let in is no write");
        assert!(away.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn to_be_let_in_one_asks_whoever_lets_in() {
        let away = Arc::new(Away::default());
        let (client, seen) = FhirClient::over(away.clone()).rehearsing();
        let token = Request::post("https://lr.example/token").header(header::CONTENT_TYPE, FORM);
        assert!(client.exchange(token.body(Full::default()).unwrap(), endpoint().timeout).await.is_err());
        assert_eq!(*away.0.lock().unwrap(), ["POST https://lr.example/token"]);
        assert!(seen.written().is_none());
    }
}

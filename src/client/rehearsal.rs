//! A client that reads and never writes: what it would have written is remembered, so that a message can be looked at exactly as
//! it would be sent.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, header};
use serde_json::Value;

use super::{CallError, FhirClient, Transport};

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

/// Lets reads through.
struct ReadOnly {
    real: Arc<dyn Transport>,
    seen: Rehearsal,
}

impl Rehearsal {
    /// The write, if one would have been made.
    pub fn written(&self) -> Option<Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Transport for ReadOnly {
    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, CallError> {
        if request.method() == Method::GET {
            return self.real.exchange(request).await;
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
        Err(CallError::Connect)
    }
}

impl FhirClient {
    /// The same client, only that it writes nothing.
    pub fn rehearsing(&self) -> (Self, Rehearsal) {
        let seen = Rehearsal::default();
        (Self::over(Arc::new(ReadOnly { real: Arc::clone(&self.transport), seen: seen.clone() })), seen)
    }
}

//! A message to something that speaks no FHIR: JSON is posted, and only the status of the answer counts.

use hyper::{
    Method,
    header::{self, HeaderValue},
};
use serde_json::Value;

use super::{CallError, FhirClient, request};
use crate::config::registry::Endpoint;

impl FhirClient {
    /// Posts JSON to exactly this URL, under a key by which the receiver knows one that comes twice.
    ///
    /// # Errors
    /// Why it did not arrive, or may not have, without content.
    pub async fn notify(&self, to: &Endpoint, key: &str, body: &Value) -> Result<(), String> {
        let made = request(
            to,
            Method::POST,
            "",
            &[("idempotency-key", key)],
            Some(body.to_string()),
            to.access.token.as_ref(),
        );
        let mut request = made.map_err(|error| error.to_string())?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json.clone());
        request.headers_mut().insert(header::ACCEPT, json);
        let answered = tokio::time::timeout(to.timeout, self.transport.exchange(request)).await;
        let response = answered.unwrap_or(Err(CallError::TimedOut(to.timeout))).map_err(|error| error.to_string())?;
        if response.status().is_success() { Ok(()) } else { Err(format!("HTTP {}", response.status().as_u16())) }
    }
}

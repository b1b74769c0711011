//! What a double answers, and how that is written as HTTP.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode, header};
use serde_json::Value;

use super::holdings::Version;
use crate::fhir::{Issue, IssueCode, outcome};

/// An answer to an interaction.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Option<Value>,
    pub(super) etag: Option<String>,
    pub(super) location: Option<String>,
    pub(super) last_modified: Option<String>,
}

/// Why an interaction was not done. Nothing of it was stored.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: IssueCode,
    pub(super) said: String,
}

impl Reply {
    pub(super) fn of(status: StatusCode, body: Value) -> Self {
        Self { status, body: Some(body), etag: None, location: None, last_modified: None }
    }

    /// One version of a resource.
    pub(super) fn resource(status: StatusCode, version: &Version) -> Self {
        Self {
            status,
            body: Some((*version.resource).clone()),
            etag: Some(etag(version.version)),
            location: None,
            last_modified: Some(httpdate::fmt_http_date(version.updated.into())),
        }
    }

    /// The same with its place, as R4 answers a create or update: `[base]/Type/id/_history/version`.
    pub(super) fn located(mut self, base_url: &str, place: &str) -> Self {
        self.location = Some(format!("{base_url}/{place}"));
        self
    }

    pub(super) fn http(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::new()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        for (name, value) in
            [(header::ETAG, self.etag), (header::LOCATION, self.location), (header::LAST_MODIFIED, self.last_modified)]
        {
            if let Some(value) = value.and_then(|v| header::HeaderValue::try_from(v).ok()) {
                headers.insert(name, value);
            }
        }
        if let Some(body) = self.body {
            let kind = header::HeaderValue::from_static("application/fhir+json; charset=utf-8");
            headers.insert(header::CONTENT_TYPE, kind);
            *response.body_mut() = Full::new(Bytes::from(body.to_string()));
        }
        response
    }
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: IssueCode, said: impl Into<String>) -> Self {
        Self { status, code, said: said.into() }
    }

    pub(super) fn bad(said: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, IssueCode::Invalid, said)
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, IssueCode::NotFound, "there is no such resource")
    }

    pub(super) fn stale(said: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, IssueCode::Conflict, said)
    }

    pub(super) fn reply(self) -> Reply {
        Reply::of(self.status, outcome(&[Issue::error(self.code, "", self.said)]))
    }
}

/// The ETag of a version.
pub(super) fn etag(version: u64) -> String {
    format!("W/\"{version}\"")
}

/// `Type/id/_history/version`
pub(super) fn place(kind: &str, id: &str, version: u64) -> String {
    format!("{kind}/{id}/_history/{version}")
}

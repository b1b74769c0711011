//! A request as the handlers see it: who calls, with which parameters, and the body read within bounds.

use std::{ops::Deref, pin::pin, time::Duration};

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, HeaderName, Method, StatusCode, header, request::Parts},
};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;

use super::{
    App, Shared,
    admit::{Held, Known},
    coding::{self, Undecoded},
    patching,
    prefer::{self, Handling},
    reply::Fault,
};
use crate::{
    auth::{self, KnownBy},
    fhir::{
        Issue, IssueCode, gate,
        negotiate::{Format, of_content_type},
        xml,
    },
};

/// A body that takes longer to come than this gives up its place for so long.
const SLOW_BODY: Duration = Duration::from_secs(1);

/// Who calls, and what beside path and body.
pub struct Caller {
    /// Who calls: somebody who is known.
    pub who: auth::Caller,
    /// The query, decoded, in its order.
    pub query: Vec<(String, String)>,
    /// The headers.
    pub headers: HeaderMap,
    /// Whether it is an entry of a batch, whose query stood in a body.
    pub in_batch: bool,
}

/// Marks an entry of a batch.
#[derive(Clone, Copy)]
pub struct InBatch;

/// A [`Call`] whose resource may stand out of its order in XML: what else is wrong with it is said together with that.
pub struct AnyOrder {
    /// The request.
    pub call: Call,
    /// The elements that stand out of their order.
    pub faults: Vec<Issue>,
}

/// A [`Caller`] with a resource.
pub struct Call {
    /// Who calls.
    pub caller: Caller,
    /// Media type of the body.
    pub content_type: String,
    /// The body as it came.
    pub original: Bytes,
    /// The body as JSON; a JSON Patch as it is.
    pub body: Value,
}

impl Deref for Caller {
    type Target = auth::Caller;

    fn deref(&self) -> &auth::Caller {
        &self.who
    }
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Fault> {
        let who = parts.extensions.get::<Known>().map(|Known(who)| who.clone()).unwrap_or_default();
        if who.is_stranger() {
            if who.known_by != KnownBy::Nothing {
                metrics::counter!("onward_unknown_clients_total").increment(1);
            }
            let (code, told) = match who.known_by {
                KnownBy::Nothing => {
                    (IssueCode::Login, "a bearer token is needed, or a client's certificate that is known")
                }
                KnownBy::SharedCertificate => {
                    let told = "the certificate has the names of several clients: show a token of the one that is meant beside it, or give \
                                each a certificate of its own";
                    (IssueCode::Login, told)
                }
                _ => {
                    let told = "the token is not known, or not over a connection that shows its client's certificate";
                    (IssueCode::Security, told)
                }
            };
            return Err(Fault::new(StatusCode::UNAUTHORIZED, Issue::error(code, "http.Authorization", told)));
        }
        let query = pairs(parts.uri.query().unwrap_or_default());
        let in_batch = parts.extensions.get::<InBatch>().is_some();
        Ok(Self { who, query, headers: parts.headers.clone(), in_batch })
    }
}

impl FromRequest<Shared> for Call {
    type Rejection = Fault;

    async fn from_request(request: Request, app: &Shared) -> Result<Self, Fault> {
        let AnyOrder { call, faults } = AnyOrder::from_request(request, app).await?;
        if faults.is_empty() { Ok(call) } else { Err(Fault::invalid(faults)) }
    }
}

impl FromRequest<Shared> for AnyOrder {
    type Rejection = Fault;

    async fn from_request(request: Request, app: &Shared) -> Result<Self, Fault> {
        let (mut parts, body) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, app).await?;
        let content_type = caller.header(&header::CONTENT_TYPE).unwrap_or_default().to_owned();
        let is_patch = is_json_patch(&content_type);
        let format = if is_patch { Some(Format::Json) } else { of_content_type(Some(&content_type)) };
        let Some(format) = format else {
            let told = "the body must be application/fhir+json or application/fhir+xml (PATCH: or application/json-patch+json)";
            let issue = Issue::error(IssueCode::NotSupported, "http.Content-Type", told);
            let fault = Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, issue);
            let is_patch = parts.method == Method::PATCH;
            return Err(if is_patch { fault.header(patching::ACCEPT_PATCH, patching::TOLD) } else { fault });
        };
        let original = read(app, &parts, body).await?;
        let limits = gate::Limits { bytes: app.limits.body_bytes, depth: app.limits.depth, ..gate::Limits::default() };
        let read = match format {
            Format::Json if is_patch => gate::read_any(&original, &limits).map(|body| (body, Vec::new())),
            Format::Json => gate::read(&original, &limits).map(|body| (body, Vec::new())),
            Format::Xml => xml::read(&original, &limits),
        };
        let (body, faults) = read.map_err(|issue| Fault::invalid(vec![issue]))?;
        Ok(Self { call: Call { caller, content_type, original, body }, faults })
    }
}

/// The body, plain and within its bounds.
pub(super) async fn read(app: &App, parts: &Parts, body: axum::body::Body) -> Result<Bytes, Fault> {
    let coding = coding::of_request(&parts.headers)?;
    let limit = app.limits.body_bytes;
    let sent_max = coding.map_or(limit, |_| coding::coded_max(limit));
    let too_long = || {
        let told = format!("the body is larger than {limit} bytes");
        Fault::new(StatusCode::PAYLOAD_TOO_LARGE, Issue::error(IssueCode::TooLong, "%resource", told))
    };
    // what announces itself as too large is not read at all
    let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|n| n > sent_max) {
        return Err(too_long());
    }
    // a client that falls silent must not keep its place after it was given up
    let mut collecting = pin!(Limited::new(body, sent_max).collect());
    let read = match tokio::time::timeout(SLOW_BODY, &mut collecting).await {
        Ok(read) => Ok(read),
        Err(_) => {
            let place = parts.extensions.get::<Held>();
            place.inspect(|place| place.step_aside());
            let read = tokio::time::timeout(app.limits.request_timeout, collecting).await;
            place.inspect(|place| place.step_back());
            read
        }
    };
    let Ok(read) = read else {
        return Err(Fault::unavailable("the body did not arrive in time; nothing was done"));
    };
    match (read.map(|read| read.to_bytes()), coding) {
        (Ok(plain), None) => Ok(plain),
        (Ok(coded), Some(coding)) => coding::decode(coding, &coded, limit).map_err(|why| match why {
            Undecoded::TooLong => too_long(),
            Undecoded::Broken => {
                let told = "the body is not what Content-Encoding says";
                Fault::invalid(vec![Issue::error(IssueCode::Structure, "http.Content-Encoding", told)])
            }
        }),
        (Err(error), _) if error.is::<LengthLimitError>() => Err(too_long()),
        (Err(_), _) => {
            let issue = Issue::error(IssueCode::Incomplete, "%resource", "the body ended before it was complete");
            Err(Fault::invalid(vec![issue]))
        }
    }
}

/// Whether this is the media type of a JSON Patch (RFC 6902, 6).
pub fn is_json_patch(content_type: &str) -> bool {
    content_type.split(';').next().is_some_and(|t| t.trim().eq_ignore_ascii_case("application/json-patch+json"))
}

impl Caller {
    /// A header as text.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// What `Prefer: return=…` asks for (R4 http, 3.1.0.1.9): `minimal`, `representation` or `OperationOutcome`.
    pub fn prefers_return(&self) -> Option<&'static str> {
        prefer::return_of(&self.headers)
    }

    /// What `Prefer: handling=…` asks for (R4 search, 3.1.1.1): what is to become of parameters that are not known.
    pub fn prefers_handling(&self) -> Option<Handling> {
        prefer::handling_of(&self.headers)
    }

    /// Whether parameters that are not known may be left out: `Prefer: handling=lenient` (R4 search, 3.1.1.2).
    pub fn is_lenient(&self) -> bool {
        self.prefers_handling() == Some(Handling::Lenient)
    }

    /// The version an `If-Match` names.
    ///
    /// # Errors
    /// 428 where there is none, 400 where it is not an ETag of ours.
    pub fn if_match(&self) -> Result<u64, Fault> {
        let Some(text) = self.header(&header::IF_MATCH) else {
            let told = "If-Match is needed: the ETag of the version this change was made from";
            let issue = Issue::error(IssueCode::Required, "http.If-Match", told);
            return Err(Fault::new(StatusCode::PRECONDITION_REQUIRED, issue));
        };
        version_of(text).ok_or_else(|| {
            let told = "If-Match is not an ETag such as W/\"3\"";
            Fault::invalid(vec![Issue::error(IssueCode::Value, "http.If-Match", told)])
        })
    }

    /// Whether `If-None-Match` names this version.
    pub fn has_already(&self, version: u64) -> bool {
        self.header(&header::IF_NONE_MATCH)
            .is_some_and(|list| list.split(',').any(|tag| tag.trim() == "*" || version_of(tag.trim()) == Some(version)))
    }
}

/// The version in an ETag, weak or strong.
fn version_of(etag: &str) -> Option<u64> {
    let quoted = etag.trim().strip_prefix("W/").unwrap_or(etag.trim());
    quoted.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

/// A query string as decoded pairs.
pub fn pairs(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etags_and_queries_are_read() {
        assert_eq!(version_of("W/\"3\""), Some(3));
        assert_eq!(version_of("\"3\""), Some(3));
        for bad in ["3", "W/3", "\"\"", "W/\"x\"", ""] {
            assert_eq!(version_of(bad), None, "{bad}");
        }
        let read = pairs("owner=Organization%2Fa&status=requested,received&_include=Task:focus&x");
        assert_eq!(read[0], ("owner".into(), "Organization/a".into()));
        assert_eq!(read[3], ("x".into(), String::new()));
    }
}

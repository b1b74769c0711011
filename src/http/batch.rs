//! `POST /fhir`: a transaction, or a batch (R4 http, 3.1.0.11). The entries of a batch are requests like any other, done one after the
//! other by the same routes, for the same client; what one of them comes to is nothing to the others.
//!
//! All of them are one request to the door: they have its place, its time and its bounds. A batch has no route among them, so that none
//! lies in another.

use std::io;

use axum::{
    Extension, Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::time::Instant;
use tower_service::Service as _;

use super::{
    Shared,
    admit::Known,
    call::{AnyOrder, Caller, InBatch},
    conditional::Conditional,
    reply::{self, Answer, Fault, Reply},
    write,
};
use crate::{
    fhir::{Issue, IssueCode, outcome, tree},
    http::request_timeout,
};

/// Once the answers of a batch have so many bytes, its other entries are not begun.
const ANSWERS_MAX_BYTES: usize = 16 * 1024 * 1024;
/// What a URL cannot hold as it is.
const UNSAFE: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'}');
/// Headers of the batch that hold for each of its entries.
const SHARED: [&str; 2] = ["prefer", "traceparent"];

/// The routes that the entries of a batch take.
#[derive(Clone)]
pub(super) struct Entries(pub Router);

/// `POST /fhir` with a Bundle.
pub(super) async fn bundle(
    state: State<Shared>,
    Extension(Entries(routes)): Extension<Entries>,
    bundle: AnyOrder,
) -> Answer {
    let body = &bundle.call.body;
    let is_batch = tree::resource_type(body) == Some("Bundle") && body.get("type").is_some_and(|kind| kind == "batch");
    if is_batch { batch(&state, routes, bundle).await } else { write::transaction(state, bundle).await }
}

async fn batch(app: &Shared, mut routes: Router, AnyOrder { mut call, faults }: AnyOrder) -> Answer {
    // the others are begun only while there is time to answer
    let until = Instant::now() + request_timeout(app).mul_f32(0.75);
    if !faults.is_empty() {
        return Err(Fault::invalid(faults));
    }
    write::fits_as_bundle(app, &call.body)?;
    let entries = match call.body.get_mut("entry").map(Value::take) {
        None => Vec::new(),
        Some(Value::Array(entries)) => entries,
        Some(_) => {
            let told = "the entries of a Bundle are a list";
            return Err(Fault::invalid(vec![Issue::error(IssueCode::Structure, "Bundle.entry", told)]));
        }
    };
    let mut answers = Vec::with_capacity(entries.len());
    let mut bytes = 0;
    for (index, entry) in entries.into_iter().enumerate() {
        let told = if Instant::now() > until {
            let told = "the batch takes too long; nothing was done for this entry, send it again";
            refused(StatusCode::SERVICE_UNAVAILABLE, IssueCode::Transient, told, index)
        } else if bytes > ANSWERS_MAX_BYTES {
            let told =
                "the answers to the batch have become too large; nothing was done for this entry, ask in another";
            refused(StatusCode::PAYLOAD_TOO_LARGE, IssueCode::TooCostly, told, index)
        } else {
            match request(app, &call.caller, entry) {
                Ok(request) => answer(&mut routes, request).await,
                Err(told) => refused(StatusCode::BAD_REQUEST, IssueCode::Invalid, &told, index),
            }
        };
        bytes += size(&told);
        answers.push(told);
    }
    let mut body = json!({"resourceType": "Bundle", "type": "batch-response"});
    if !answers.is_empty() {
        body["entry"] = answers.into();
    }
    Ok(Reply::ok(body))
}

/// An entry as the request that it is; none where it says none, with why.
fn request(app: &Shared, caller: &Caller, mut entry: Value) -> Result<Request, String> {
    let resource = entry.get_mut("resource").map(Value::take);
    let asked = entry.get("request").ok_or("an entry of a batch has a request")?;
    let method = match tree::text(asked, "method") {
        Some("GET") => Method::GET,
        Some("HEAD") => Method::HEAD,
        Some("POST") => Method::POST,
        Some("PUT") => Method::PUT,
        Some("PATCH") => Method::PATCH,
        Some("DELETE") => Method::DELETE,
        _ => return Err("request.method is none of GET, HEAD, POST, PUT, PATCH and DELETE".to_owned()),
    };
    let url = tree::text(asked, "url").ok_or("an entry of a batch has a request.url")?;
    let base = format!("{}/fhir/", app.base_url);
    let below = url.strip_prefix(&*base).unwrap_or(url).trim_start_matches('/');
    let elsewhere = || "request.url is not a URL below the base of this server".to_owned();
    if below.contains("://") && !below.contains('?') || below.starts_with("urn:") {
        return Err(elsewhere());
    }
    let uri: Uri = format!("/fhir/{}", utf8_percent_encode(below, UNSAFE)).parse().map_err(|_| elsewhere())?;
    let mut headers = HeaderMap::new();
    for name in SHARED.map(HeaderName::from_static) {
        for value in caller.headers.get_all(&name) {
            headers.append(name.clone(), value.clone());
        }
    }
    for (name, of) in [
        (header::IF_MATCH, "ifMatch"),
        (header::IF_NONE_MATCH, "ifNoneMatch"),
        (write::IF_NONE_EXIST, "ifNoneExist"),
        (header::IF_MODIFIED_SINCE, "ifModifiedSince"),
    ] {
        let Some(text) = tree::text(asked, of) else { continue };
        let wrong = || format!("request.{of} cannot be read");
        let text = match text.parse::<jiff::Timestamp>() {
            Ok(at) if name == header::IF_MODIFIED_SINCE => httpdate::fmt_http_date(at.into()),
            Err(_) if name == header::IF_MODIFIED_SINCE => return Err(wrong()),
            _ => text.to_owned(),
        };
        headers.insert(name, HeaderValue::try_from(text).map_err(|_| wrong())?);
    }
    let (content_type, body) = match resource {
        // a patch that is no resource comes in one (R4 http, 3.1.0.11.1)
        Some(binary) if method == Method::PATCH && tree::resource_type(&binary) == Some("Binary") => {
            let kind = tree::text(&binary, "contentType").unwrap_or_default().to_owned();
            let data = STANDARD.decode(tree::text(&binary, "data").unwrap_or_default());
            (kind, data.map_err(|_| "Binary.data is not base64")?)
        }
        Some(resource) => ("application/fhir+json".to_owned(), resource.to_string().into_bytes()),
        None if matches!(method, Method::PUT | Method::PATCH) => return Err("this entry has no resource".to_owned()),
        None => (String::new(), Vec::new()),
    };
    if !content_type.is_empty() {
        let value = HeaderValue::try_from(content_type).map_err(|_| "Binary.contentType cannot be read")?;
        headers.insert(header::CONTENT_TYPE, value);
    }
    let mut request = Request::new(Body::from(body));
    (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, headers);
    request.extensions_mut().insert(Known(caller.who.clone()));
    request.extensions_mut().insert(InBatch);
    Ok(request)
}

/// What an entry comes to, as an entry of the answer (R4 Bundle.entry.response).
async fn answer(routes: &mut Router, request: Request) -> Value {
    let conditional = Conditional::of(&request);
    let is_head = request.method() == Method::HEAD;
    // routes are always ready, and do not fail
    let mut response = match routes.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let has_already = conditional.has(&response);
    let status = if has_already { StatusCode::NOT_MODIFIED } else { response.status() };
    let resource = reply::resource_of(&mut response).filter(|_| !has_already && !is_head);
    let header = |name: &HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
    let mut told =
        json!({"status": format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default()).trim()});
    if let Some(location) = header(&header::LOCATION) {
        told["location"] = location.into();
    }
    if let Some(tag) = header(&header::ETAG) {
        told["etag"] = tag.into();
    }
    let changed = header(&header::LAST_MODIFIED).and_then(|text| httpdate::parse_http_date(text).ok());
    if let Some(changed) = changed.and_then(|at| jiff::Timestamp::try_from(at).ok()) {
        // the resource says it more exactly
        let exactly = resource.as_ref().and_then(|resource| tree::text(resource, "meta.lastUpdated"));
        told["lastModified"] = exactly.map_or_else(|| changed.to_string(), str::to_owned).into();
    }
    let mut entry = json!({});
    // where to follow a referral
    let links = response.headers().get_all(header::LINK).iter().filter_map(|value| value.to_str().ok());
    let links: Vec<Value> = links
        .filter_map(|link| link.strip_prefix('<')?.strip_suffix(">; rel=\"monitor\""))
        .map(|url| json!({"relation": "monitor", "url": url}))
        .collect();
    if !links.is_empty() {
        entry["link"] = links.into();
    }
    match resource {
        Some(said) if tree::resource_type(&said) == Some("OperationOutcome") => told["outcome"] = said,
        Some(resource) => entry["resource"] = resource,
        None => {}
    }
    if let Some(why) = header(&write::NOT_REPEATABLE) {
        let issue = Issue {
            severity: crate::fhir::Severity::Warning,
            ..Issue::error(IssueCode::Informational, "%resource", why)
        };
        told["outcome"] = outcome(&[issue]);
    }
    entry["response"] = told;
    entry
}

/// An entry that is not begun.
fn refused(status: StatusCode, code: IssueCode, told: &str, index: usize) -> Value {
    let issue = Issue::error(code, format!("Bundle.entry[{index}]"), told);
    let status = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
    json!({"response": {"status": status, "outcome": outcome(&[issue])}})
}

/// How many bytes an answer has.
fn size(of: &Value) -> usize {
    struct Counter(usize);
    impl io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    // counting does not fail
    let _ = serde_json::to_writer(&mut counter, of);
    counter.0
}

//! Answers: every one, faults included, is a resource, written as JSON or XML as the client asked. The one place where an error
//! becomes a status.

use std::borrow::Cow;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde_json::Value;
use tracing::Instrument as _;

use super::{Shared, admit, conditional::Conditional, request_timeout};
use crate::{
    auth::SealError,
    conversation::ConversationError,
    directory::WriteError,
    domain::Letter,
    fhir::{
        Issue, IssueCode,
        negotiate::{Format, of_accept},
        outcome,
    },
    intake::IntakeError,
    status::StatusError,
    store::{AskedBy, DirectoryError, StoreError},
};

/// A client that met something that is away is asked to come again after so many seconds, drawn by lot so that not all come
/// at once.
const RETRY_AFTER_S: std::ops::RangeInclusive<u64> = 1..=5;

/// An answer in the making.
#[derive(Debug, Clone)]
pub struct Reply {
    status: StatusCode,
    headers: Vec<(HeaderName, String)>,
    body: Option<Value>,
}

/// Why there is no other answer: a status and what is wrong.
#[derive(Debug, Clone)]
pub struct Fault {
    pub(super) status: StatusCode,
    pub(super) issues: Vec<Issue>,
    retry_after_s: Option<u64>,
    headers: Vec<(HeaderName, Cow<'static, str>)>,
}

/// What a handler gives.
pub type Answer = Result<Reply, Fault>;

/// The resource an answer carries, until it is written.
#[derive(Clone)]
struct Resource(Value);

impl Reply {
    /// 200 with a resource.
    pub fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, headers: vec![], body: Some(body) }
    }

    /// A bare status.
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: vec![], body: None }
    }

    /// With another status.
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// With another resource, or none.
    pub fn body(mut self, body: Option<Value>) -> Self {
        self.body = body;
        self
    }

    /// With a header.
    pub fn header(mut self, name: HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// With `ETag` and `Last-Modified` (R4 http, 3.1.0.5).
    pub fn version(self, version: u64, last_updated: Timestamp) -> Self {
        self.header(header::ETAG, etag(version)).header(header::LAST_MODIFIED, http_date(last_updated))
    }
}

/// A version as a weak ETag.
pub fn etag(version: u64) -> String {
    format!("W/\"{version}\"")
}

fn http_date(at: Timestamp) -> String {
    httpdate::fmt_http_date(std::time::SystemTime::from(at))
}

impl Fault {
    /// A status with one issue.
    pub fn new(status: StatusCode, issue: Issue) -> Self {
        Self { status, issues: vec![issue], retry_after_s: None, headers: Vec::new() }
    }

    /// Absent, or not for this client: that must look the same.
    pub fn not_found() -> Self {
        let told = "there is no such resource, or it is not for this client";
        Self::new(StatusCode::NOT_FOUND, Issue::error(IssueCode::NotFound, "%resource", told))
    }

    /// Whether it says that something is absent.
    pub fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }

    /// This client may not.
    pub fn forbidden(told: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, Issue::error(IssueCode::Forbidden, "http.Authorization", told))
    }

    /// What was granted to this client does not reach so far (RFC 6750, 3.1).
    pub fn beyond_scope(kind: &str, letter: Letter) -> Self {
        let scope = format!("system/{kind}.{}", letter.as_char());
        let told = format!("this needs the scope {scope}, which was not granted: ask for it with the access token");
        Self::forbidden(&told)
            .header(header::WWW_AUTHENTICATE, format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\""))
    }

    /// Not just now.
    pub fn unavailable(told: &str) -> Self {
        let issue = Issue::error(IssueCode::Transient, "%resource", told);
        Self::new(StatusCode::SERVICE_UNAVAILABLE, issue).retry_after(fastrand::u64(RETRY_AFTER_S))
    }

    /// To be sent again after so many seconds.
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    /// With a header.
    pub fn header(mut self, name: HeaderName, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// 400 with these.
    pub fn invalid(issues: Vec<Issue>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, issues, retry_after_s: None, headers: Vec::new() }
    }

    /// A status with these.
    pub fn with(status: StatusCode, issues: Vec<Issue>) -> Self {
        Self { issues, ..Self::new(status, Issue::error(IssueCode::Invalid, "%resource", "")) }
    }

    fn rule(issues: Vec<Issue>) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, issues, retry_after_s: None, headers: Vec::new() }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed a request");
        Self::unavailable("the store is not available just now; nothing was changed that was not answered")
    }
}

impl From<SealError> for Fault {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Store(error) => error.into(),
            SealError::NoRandom => {
                tracing::error!(%error, "a request could not be answered");
                Self::unavailable("no link to the next page can be made just now")
            }
        }
    }
}

impl From<DirectoryError> for Fault {
    fn from(error: DirectoryError) -> Self {
        let told = error.to_string();
        let fault =
            |status, code, expression: String, told: String| Self::new(status, Issue::error(code, expression, told));
        match error {
            DirectoryError::Moved { kind, .. } => {
                let told = format!("{told}: read it again and decide again");
                fault(StatusCode::CONFLICT, IssueCode::Conflict, format!("{kind}.meta.versionId"), told)
            }
            DirectoryError::SourceTaken { kind, .. } => {
                let told = format!("{told}: change that one, or give another identifier");
                fault(StatusCode::CONFLICT, IssueCode::Duplicate, format!("{kind}.identifier"), told)
            }
            DirectoryError::TooLarge => {
                fault(StatusCode::PAYLOAD_TOO_LARGE, IssueCode::TooLong, "%resource".to_owned(), told)
            }
            DirectoryError::TooManyPending => {
                let told = format!("{told}: wait until some are decided, or withdraw some");
                fault(StatusCode::UNPROCESSABLE_ENTITY, IssueCode::TooCostly, "%resource".to_owned(), told)
            }
            DirectoryError::NoProposal => Self::not_found(),
            DirectoryError::Decided(_) => {
                fault(StatusCode::CONFLICT, IssueCode::Conflict, "%resource".to_owned(), told)
            }
            DirectoryError::Store(error) => error.into(),
        }
    }
}

impl From<WriteError> for Fault {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Invalid(issues) => Self::invalid(issues),
            WriteError::Rule(issues) => Self::with(StatusCode::UNPROCESSABLE_ENTITY, issues),
            WriteError::Forbidden(told) => Self::forbidden(told),
            WriteError::NotFound => Self::not_found(),
            WriteError::Directory(error) => error.into(),
        }
    }
}

impl From<IntakeError> for Fault {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::Invalid(issues) => Self::invalid(issues),
            IntakeError::Rule(issues) => Self::rule(issues),
            IntakeError::Differs(issue) => Self::new(StatusCode::CONFLICT, issue),
            IntakeError::RecordAway(why) => {
                tracing::warn!(why, "a referral waits for its record");
                Self::unavailable("the originating record, which this referral refers to, cannot be read just now")
            }
            IntakeError::Store(error) => error.into(),
        }
    }
}

impl From<ConversationError> for Fault {
    fn from(error: ConversationError) -> Self {
        let told = error.to_string();
        match error {
            ConversationError::NotFound => Self::not_found(),
            ConversationError::Stale { .. } => Self::new(
                StatusCode::PRECONDITION_FAILED,
                Issue::error(IssueCode::Conflict, "ServiceRequest.meta.versionId", told),
            ),
            ConversationError::Refused(_) => {
                Self::rule(vec![Issue::error(IssueCode::BusinessRule, "ServiceRequest.status", told)])
            }
            ConversationError::Invalid(issues) => Self::invalid(issues),
            ConversationError::Rule(issues) => Self::rule(issues),
            ConversationError::Differs(issue) => Self::new(StatusCode::CONFLICT, issue),
            ConversationError::RecordAway(why) => {
                tracing::warn!(why, "what was said waits for its record");
                Self::unavailable("the originating record, which this refers to, cannot be read just now")
            }
            ConversationError::Store(error) => error.into(),
        }
    }
}

impl From<StatusError> for Fault {
    fn from(error: StatusError) -> Self {
        use crate::domain::task::Refusal;
        let told = error.to_string();
        match error {
            StatusError::NotFound => Self::not_found(),
            StatusError::Stale { .. } => Self::new(
                StatusCode::PRECONDITION_FAILED,
                Issue::error(IssueCode::Conflict, "Task.meta.versionId", told),
            ),
            StatusError::Refused(Refusal::Illegal { .. } | Refusal::Ended { .. } | Refusal::CancelPending) => {
                Self::rule(vec![Issue::error(IssueCode::BusinessRule, "Task.status", told)])
            }
            StatusError::Refused(Refusal::ReasonMissing { .. }) => {
                Self::rule(vec![Issue::error(IssueCode::Required, "Task.statusReason", told)])
            }
            StatusError::Follows => Self::rule(vec![Issue::error(IssueCode::BusinessRule, "Task", told)]),
            StatusError::Invalid(issues) => {
                let rule = |i: &Issue| {
                    matches!(
                        i.code,
                        IssueCode::BusinessRule | IssueCode::Conflict | IssueCode::Processing | IssueCode::TooCostly
                    )
                };
                if issues.iter().any(rule) { Self::rule(issues) } else { Self::invalid(issues) }
            }
            StatusError::Store(error) => error.into(),
        }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            // ours are ASCII; one that is not is left out rather than the answer
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().append(name, value);
            }
        }
        if let Some(body) = self.body {
            response.extensions_mut().insert(Resource(body));
        }
        response
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut reply = Reply::empty(self.status).body(Some(outcome(&self.issues)));
        if self.status == StatusCode::UNAUTHORIZED {
            reply = reply.header(header::WWW_AUTHENTICATE, "Bearer".to_owned());
        }
        for (name, value) in self.headers {
            reply = reply.header(name, value.into_owned());
        }
        if let Some(seconds) = self.retry_after_s {
            reply = reply.header(header::RETRY_AFTER, seconds.to_string());
        }
        reply.into_response()
    }
}

impl Fault {
    /// The answer where nobody has looked for the format that is asked for: in FHIR's JSON.
    pub(super) fn in_json(self) -> Response {
        let mut response = self.into_response();
        if let Some(body) = resource_of(&mut response) {
            let kind = HeaderValue::from_static(content_type(Format::Json));
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            *response.body_mut() = Body::from(body.to_string());
        }
        response
    }
}

/// What has no route.
pub async fn not_found() -> Fault {
    Fault::not_found()
}

/// A route that does not know the method; which it knows is said by `Allow`, which the routes put there.
pub async fn not_allowed(method: Method) -> Answer {
    if method == Method::OPTIONS {
        // the question what may be done here (RFC 9110, 9.3.7)
        return Ok(Reply::empty(StatusCode::NO_CONTENT));
    }
    let told = format!("{method} is not supported here; /fhir/metadata says what is");
    let told = told.chars().take(120).collect::<String>();
    Err(Fault::new(StatusCode::METHOD_NOT_ALLOWED, Issue::error(IssueCode::NotSupported, "%resource", told)))
}

/// Around every FHIR request: a place to work in, a limit in time, and the answer written in the format asked for.
pub async fn render(State(app): State<Shared>, mut request: Request, next: Next) -> Response {
    let begun = tokio::time::Instant::now();
    let method = known(request.method());
    let accept = request.headers().get(header::ACCEPT).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let query = super::call::pairs(request.uri().query().unwrap_or_default());
    let parameter = |name| query.iter().find(|(named, _)| named == name).map(|(_, value)| value.as_str());
    let format = of_accept(accept.as_deref(), parameter("_format"));
    let pretty = parameter("_pretty").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let conditional = Conditional::of(&request);

    let entered = match format {
        Some(_) => admit::enter(&app, &mut request).await,
        None => {
            let told = "only application/fhir+json and application/fhir+xml can be given";
            Err(Fault::new(StatusCode::NOT_ACCEPTABLE, Issue::error(IssueCode::NotSupported, "http.Accept", told)))
        }
    };
    let mut response = match entered {
        Err(refused) => refused.into_response(),
        Ok(place) => {
            let asked_by = request.extensions().get::<AskedBy>().cloned();
            let run = async move {
                let response = match asked_by {
                    Some(asked) => asked.within(next.run(request)).await,
                    None => next.run(request).await,
                };
                drop(place);
                response
            };
            // on its own task: what was begun is finished even if the client goes away
            let task = tokio::spawn(run.in_current_span());
            match tokio::time::timeout(request_timeout(&app), task).await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => {
                    tracing::error!(%error, "a handler failed");
                    let issue = Issue::error(IssueCode::Exception, "%resource", "an internal error; it was logged");
                    Fault::new(StatusCode::INTERNAL_SERVER_ERROR, issue).into_response()
                }
                Err(_) => {
                    Fault::unavailable("the request took too long; whether it was stored is unknown, send it again")
                        .into_response()
                }
            }
        }
    };
    if conditional.has(&response) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.extensions_mut().remove::<Resource>();
        *response.body_mut() = Body::empty();
    }
    let response = write(&app, format.unwrap_or(Format::Json), pretty, response).await;
    let status = response.status().as_u16().to_string();
    metrics::histogram!("onward_request_seconds", "method" => method, "status" => status)
        .record(begun.elapsed().as_secs_f64());
    response
}

/// Takes out the resource that an answer carries. One that refuses always has one.
pub(super) fn resource_of(response: &mut Response) -> Option<Value> {
    let status = response.status();
    match response.extensions_mut().remove::<Resource>() {
        Some(Resource(body)) => Some(body),
        // refused before any handler saw it, such as a path that is not UTF-8
        None if status.is_client_error() || status.is_server_error() => {
            let told = "the request cannot be read";
            response.headers_mut().remove(header::CONTENT_LENGTH);
            Some(outcome(&[Issue::error(IssueCode::Invalid, "%resource", told)]))
        }
        None => None,
    }
}

async fn write(app: &Shared, format: Format, pretty: bool, mut response: Response) -> Response {
    // the same place is answered in either format
    response.headers_mut().append(header::VARY, HeaderValue::from_name(header::ACCEPT));
    let Some(body) = resource_of(&mut response) else { return response };
    let (bytes, format) = match format {
        Format::Json if pretty => (format!("{body:#}").into_bytes(), Format::Json),
        Format::Json => (body.to_string().into_bytes(), Format::Json),
        Format::Xml => match app.xml.write(body.clone()).await {
            Ok(bytes) => (bytes, Format::Xml),
            Err(issue) => {
                tracing::warn!(issue = issue.diagnostics, "an answer cannot be written as XML");
                let told = "this resource holds something that XML cannot; ask for application/fhir+json";
                let refused = outcome(&[Issue::error(IssueCode::NotSupported, "http.Accept", told)]);
                *response.status_mut() = StatusCode::NOT_ACCEPTABLE;
                (refused.to_string().into_bytes(), Format::Json)
            }
        },
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(format)));
    *response.body_mut() = Body::from(bytes);
    response
}

/// The method as figures name it: a client must not be able to make a series of its own.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

const fn content_type(format: Format) -> &'static str {
    match format {
        Format::Json => "application/fhir+json; charset=utf-8",
        Format::Xml => "application/fhir+xml; charset=utf-8",
    }
}

//! The connections of a double: reads requests, lets the faults have their way, and writes the answers.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Response, StatusCode, Uri,
    body::Incoming,
    header::{self, HeaderMap},
    http::request::Parts,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use jiff::Timestamp;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::task::TaskTracker;

use super::{
    Logged, Shared,
    faults::Fault,
    interactions::{Asked, BODY_MAX_BYTES, Desk, query_pairs},
    reply::{Refusal, Reply},
};
use crate::fhir::IssueCode;

/// More connections wait to be taken.
const CONNECTIONS_MAX: usize = 1024;
/// After an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Ends a connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the double closes the connection")]
struct Cut;

/// Accepts connections until the double stops.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, tasks: TaskTracker) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let shared = shared.clone();
                    tasks.spawn(async move {
                        connection(stream, shared).await;
                        drop(place);
                    });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            () = shared.stop.cancelled() => return,
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let stop = shared.stop.clone();
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { answer(&shared, request).await }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    tokio::select! {
        _ = builder.serve_connection(TokioIo::new(stream), service) => {}
        () = stop.cancelled() => {}
    }
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Cut> {
    let at = Timestamp::now();
    let (parts, body) = request.into_parts();
    let (path, query) = place(&parts.uri);
    let kind = path.split('/').next().unwrap_or_default().to_owned();
    let body = Limited::new(body, BODY_MAX_BYTES).collect().await.map(|b| b.to_bytes());

    let (fault, slow) = {
        let mut state = shared.lock();
        (state.faults.draw(&parts.method, &kind), state.faults.slow)
    };
    tokio::time::sleep(slow).await;
    let shown = if query.is_empty() { path.clone() } else { format!("{path}?{query}") };
    let mut logged = Logged {
        at,
        method: parts.method.clone(),
        path: shown,
        idempotency_key: text(&parts.headers, "idempotency-key"),
        status: None,
    };
    match fault {
        Some(Fault::Hang) => {
            shared.lock().note(logged);
            std::future::pending::<Infallible>().await;
            return Err(Cut);
        }
        Some(Fault::Cut) => {
            shared.lock().note(logged);
            return Err(Cut);
        }
        Some(Fault::AnswerLost) | None => {}
        Some(fault) => {
            let response = faulty(&fault);
            logged.status = Some(response.status());
            shared.lock().note(logged);
            return Ok(response);
        }
    }
    let reply = match (&body, authorised(shared, &parts.headers)) {
        (_, false) => {
            Refusal::new(StatusCode::UNAUTHORIZED, IssueCode::Login, "a bearer token is needed that is known here")
                .reply()
        }
        (Err(_), _) => Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, IssueCode::TooLong, "the body is too long").reply(),
        (Ok(body), true) => carry_out(shared, &asked(&parts, path, &query, body)),
    };
    if fault.is_some() {
        shared.lock().note(logged);
        return Err(Cut);
    }
    logged.status = Some(reply.status);
    shared.lock().note(logged);
    Ok(reply.http())
}

/// The path below the base and the query.
fn place(uri: &Uri) -> (String, String) {
    let base = uri.path().strip_prefix("/fhir").unwrap_or(uri.path());
    (base.trim_matches('/').to_owned(), uri.query().unwrap_or_default().to_owned())
}

fn asked<'b>(parts: &Parts, path: String, query: &str, body: &'b [u8]) -> Asked<'b> {
    Asked {
        method: parts.method.clone(),
        path,
        query: query_pairs(query),
        content_type: text(&parts.headers, header::CONTENT_TYPE.as_str()),
        if_match: text(&parts.headers, header::IF_MATCH.as_str()),
        if_none_match: text(&parts.headers, header::IF_NONE_MATCH.as_str()),
        if_none_exist: text(&parts.headers, "if-none-exist"),
        body,
    }
}

/// Does what a request asks that came without a connection.
pub(super) fn ask(shared: &Shared, request: &Request<Bytes>) -> Response<Full<Bytes>> {
    let (parts, body) = request.clone().into_parts();
    let (path, query) = place(&parts.uri);
    carry_out(shared, &asked(&parts, path, &query, &body)).http()
}

/// Does what was asked, and tells the listeners before anybody else can change anything.
fn carry_out(shared: &Shared, asked: &Asked<'_>) -> Reply {
    let mut state = shared.lock();
    let abilities = state.abilities.clone();
    let mut desk =
        Desk { base_url: &shared.base_url, abilities: &abilities, holdings: &mut state.holdings, changes: Vec::new() };
    let answered = desk.answer(asked);
    let changes = desk.changes;
    state.tell(&changes);
    drop(state);
    let mut reply = answered.unwrap_or_else(Refusal::reply);
    let is_write = asked.method != hyper::Method::GET && !asked.path.is_empty();
    if is_write && reply.status.is_success() && !abilities.representation {
        reply.body = None;
    }
    if !abilities.etags {
        reply.etag = None;
    }
    reply
}

fn faulty(fault: &Fault) -> Response<Full<Bytes>> {
    match fault {
        Fault::Unavailable { retry_after_s } | Fault::Throttled { retry_after_s } => {
            let refusal = match fault {
                Fault::Throttled { .. } => {
                    Refusal::new(StatusCode::TOO_MANY_REQUESTS, IssueCode::Throttled, "too many requests")
                }
                _ => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, IssueCode::Transient, "out of order"),
            };
            let mut response = refusal.reply().http();
            if let Some(seconds) = retry_after_s {
                response.headers_mut().insert(header::RETRY_AFTER, (*seconds).into());
            }
            response
        }
        Fault::Outcome(status, code) => Refusal::new(*status, *code, "refused").reply().http(),
        Fault::Refuse(status) => Refusal::new(*status, IssueCode::Processing, "refused").reply().http(),
        _ => {
            let mut page = Response::new(Full::new(Bytes::from_static(b"<!doctype html><title>Sign in</title>")));
            let kind = header::HeaderValue::from_static("text/html; charset=utf-8");
            page.headers_mut().insert(header::CONTENT_TYPE, kind);
            page
        }
    }
}

fn authorised(shared: &Shared, headers: &HeaderMap) -> bool {
    let Some(token) = &shared.token else { return true };
    text(headers, header::AUTHORIZATION.as_str()).and_then(|t| t.strip_prefix("Bearer ").map(|t| t == token))
        == Some(true)
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

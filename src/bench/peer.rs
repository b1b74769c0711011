//! The receivers of a measurement, in a process of their own: record systems and providers' servers made for load. They answer
//! from memory, look at no more of a request than they check, and count what comes twice, out of order or to the wrong one.
//!
//! `demo/double` is the one for faults; this one answers ten times faster and knows only what a loop needs.

use std::{
    cell::RefCell,
    convert::Infallible,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, task::LocalSet};

use super::plan::{Folder, Plan};
use crate::demo::caller::{Call, Caller, JSON_PATCH};

pub mod book;
mod provider;
mod reading;
mod record;

use book::{Book, now_us};

const BODY_MAX_BYTES: usize = 4 * 1024 * 1024;
/// The one who measures is told of closed loops this often.
const TELL_EVERY: Duration = Duration::from_millis(1);
/// An answer that Onward does not take now is given again so often.
const ANSWER_TRIES: u32 = 200;
const ANSWER_PAUSE: Duration = Duration::from_millis(100);
/// So many answers of all providers are under way at once.
const ANSWERS_AT_ONCE: usize = 64;

/// What the receivers are told at their start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of the run: only its referrals are counted.
    pub run: String,
    /// Onward's base URLs, without `/fhir`.
    pub onward: Vec<String>,
    /// How long a provider thinks before it answers.
    pub think: Duration,
}

/// Everything that the receivers share. They run on one thread.
struct Desk {
    plan: Plan,
    options: Options,
    book: RefCell<Book>,
    closed: RefCell<Vec<u32>>,
    /// Until when each provider answers 503, in microseconds.
    out: RefCell<Vec<i64>>,
    caller: Caller,
    answering: tokio::sync::Semaphore,
}

/// Which server a port is.
#[derive(Debug, Clone, Copy)]
enum Role {
    Record(usize),
    Provider(usize),
}

/// What is answered.
struct Reply {
    status: StatusCode,
    etag: Option<u8>,
    location: Option<String>,
    body: String,
}

/// Serves until standard input ends. Says `ready` on standard output when all listen, and then the numbers of closed loops.
///
/// # Errors
/// Where a port cannot be had.
pub async fn run(folder: &Folder, options: Options) -> std::io::Result<()> {
    let plan = Plan::read(folder)?;
    let mut listeners = Vec::new();
    let records = plan.record_ports.iter().enumerate().map(|(n, port)| (*port, Role::Record(n)));
    for (port, role) in
        records.chain(plan.provider_ports.iter().enumerate().map(|(n, port)| (*port, Role::Provider(n))))
    {
        listeners.push((TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?, role));
    }
    let desk = Rc::new(Desk {
        out: RefCell::new(vec![0; plan.provider_ports.len()]),
        plan,
        options,
        book: RefCell::default(),
        closed: RefCell::default(),
        caller: Caller::new(),
        answering: tokio::sync::Semaphore::new(ANSWERS_AT_ONCE),
    });
    let local = LocalSet::new();
    for (listener, role) in listeners {
        local.spawn_local(serve(desk.clone(), listener, role));
    }
    local.spawn_local(tell(desk));
    let ended = stdin_ended();
    local.run_until(async { ended.await.unwrap_or(()) }).await;
    Ok(())
}

/// Becomes ready when whoever started this process is gone.
fn stdin_ended() -> tokio::sync::oneshot::Receiver<()> {
    let (end, ended) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = end.send(());
    });
    ended
}

/// Says which loops are closed.
async fn tell(desk: Rc<Desk>) {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "ready").and_then(|()| out.flush());
    let mut every = tokio::time::interval(TELL_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let closed = std::mem::take(&mut *desk.closed.borrow_mut());
        if closed.is_empty() {
            continue;
        }
        let text: String = closed.iter().map(|number| format!("{number}\n")).collect();
        // whoever listened is gone: so is this, in a moment
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

async fn serve(desk: Rc<Desk>, listener: TcpListener, role: Role) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let desk = desk.clone();
        tokio::task::spawn_local(async move {
            let service = service_fn(move |request| {
                let desk = desk.clone();
                async move { Ok::<_, Infallible>(answer(&desk, role, request).await) }
            });
            let mut builder = hyper::server::conn::http1::Builder::new();
            let _ = builder.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(desk: &Rc<Desk>, role: Role, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let query = parts.uri.query().unwrap_or_default();
    if let Some(asked) = path.strip_prefix("/bench/") {
        return asked_by_the_measurement(desk, asked, query);
    }
    let token = parts.headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if token.strip_prefix("Bearer ") != Some(desk.plan.server_token.as_str()) {
        return Reply::of(StatusCode::UNAUTHORIZED).http();
    }
    let Ok(body) = Limited::new(body, BODY_MAX_BYTES).collect().await else {
        return Reply::of(StatusCode::PAYLOAD_TOO_LARGE).http();
    };
    let body = body.to_bytes();
    let path = path.strip_prefix("/fhir").unwrap_or(path).trim_matches('/');
    let reply = match (role, &parts.method) {
        (Role::Provider(n), &Method::POST) if path.is_empty() => provider::delivered(desk, n, &body),
        (Role::Provider(_), &Method::GET) if path == "Task" => provider::looked_for(desk, query),
        (Role::Record(_), &Method::GET) => record::read(desk, path, query),
        (Role::Record(n), &Method::PUT | &Method::POST) if path == "Task" || path.starts_with("Task/") => {
            let if_match = parts.headers.get(header::IF_MATCH).and_then(|v| v.to_str().ok());
            record::written(desk, n, path, query, if_match, &body)
        }
        _ => None,
    };
    let reply = reply.unwrap_or_else(|| {
        desk.book.borrow_mut().wrongs.strange += 1;
        Reply::of(StatusCode::NOT_FOUND)
    });
    reply.http()
}

/// `GET /bench/book?from=N`, a page, `GET /bench/wrongs`, `GET /bench/out?inbox=N&seconds=S`.
fn asked_by_the_measurement(desk: &Desk, asked: &str, query: &str) -> Response<Full<Bytes>> {
    let number = |name: &str| {
        let pair = query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name));
        pair.and_then(|(_, value)| value.parse::<u32>().ok())
    };
    let body = match asked {
        "book" => desk.book.borrow().told(number("from").unwrap_or_default()),
        "wrongs" => serde_json::to_string(&desk.book.borrow().wrongs).unwrap_or_default(),
        "out" => {
            let until = now_us() + i64::from(number("seconds").unwrap_or_default()) * 1_000_000;
            if let Some(slot) = desk.out.borrow_mut().get_mut(number("inbox").unwrap_or_default() as usize) {
                *slot = until;
            }
            String::new()
        }
        _ => return Reply::of(StatusCode::NOT_FOUND).http(),
    };
    Response::new(Full::new(Bytes::from(body)))
}

// === impl Desk ===

impl Desk {
    /// A referral of this run has come as far as it was to.
    fn close(&self, number: u32) {
        self.closed.borrow_mut().push(number);
    }

    fn is_of_this_run(&self, identifier: &str) -> bool {
        identifier.strip_prefix(self.options.run.as_str()).is_some_and(|rest| rest.starts_with('-'))
    }
}

/// Has the provider of a referral give its next answer, once the record shows what was before.
fn answer_next(desk: &Rc<Desk>, number: u32, answer: usize) {
    let desk = desk.clone();
    tokio::task::spawn_local(async move {
        let Some(status) = book::ANSWERS.get(answer) else { return };
        tokio::time::sleep(desk.options.think).await;
        let Ok(_place) = desk.answering.acquire().await else { return };
        let task = desk.book.borrow().task_of(number);
        let onward = &desk.options.onward;
        let Some(base) = onward.get(number as usize % onward.len().max(1)) else { return };
        let token = desk.plan.provider_tokens.get(desk.plan.inbox_of(number)).cloned().unwrap_or_default();
        let patch = format!("[{{\"op\":\"replace\",\"path\":\"/status\",\"value\":\"{status}\"}}]");
        let version = desk.book.borrow().known_version(number);
        let url = format!("{base}/fhir/Task/{task}");
        let sent = now_us();
        for attempt in 0..ANSWER_TRIES {
            let call = Call::new(Method::PATCH, &url)
                .token(&token)
                .header("if-match", format!("W/\"{version}\""))
                .header("prefer", "return=minimal")
                .bytes(JSON_PATCH, Bytes::from(patch.clone()));
            let mut answered = desk.caller.call(call).await;
            if attempt > 0 && answered.as_ref().is_ok_and(|a| a.status == StatusCode::PRECONDITION_FAILED) {
                // an earlier try was taken and its acknowledgement lost
                answered = desk.caller.call(Call::get(&url).token(&token)).await;
            }
            match answered {
                Ok(answered) if answered.status.is_success() => {
                    let version = answered.header("etag").and_then(version_of).unwrap_or_default();
                    return desk.book.borrow_mut().answered(number, answer, (sent, now_us()), version);
                }
                Ok(answered) if !matches!(answered.status.as_u16(), 429 | 503) => break,
                Ok(answered) => tokio::time::sleep(answered.retry_after().unwrap_or(ANSWER_PAUSE)).await,
                Err(_) => tokio::time::sleep(ANSWER_PAUSE).await,
            }
        }
        desk.book.borrow_mut().wrongs.unanswered += 1;
    });
}

/// The version in a weak ETag.
fn version_of(etag: &str) -> Option<u64> {
    etag.strip_prefix("W/\"")?.strip_suffix('"')?.parse().ok()
}

// === impl Reply ===

impl Reply {
    fn of(status: StatusCode) -> Self {
        Self { status, etag: None, location: None, body: String::new() }
    }

    fn with(status: StatusCode, body: String) -> Self {
        Self { body, ..Self::of(status) }
    }

    fn http(self) -> Response<Full<Bytes>> {
        let mut response = Response::builder().status(self.status);
        if !self.body.is_empty() {
            response = response.header(header::CONTENT_TYPE, "application/fhir+json");
        }
        if let Some(version) = self.etag {
            response = response.header(header::ETAG, format!("W/\"{version}\""));
        }
        if let Some(location) = self.location {
            response = response.header(header::LOCATION, location);
        }
        response.body(Full::new(Bytes::from(self.body))).unwrap_or_default()
    }
}

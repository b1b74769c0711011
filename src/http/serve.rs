//! The accept loop: bounded connections over HTTP/1.1 and HTTP/2, a limit on how long a client may take over its headers, and an end
//! that lets requests finish.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::{Request, Response, body::Incoming, service::Service};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_service::Service as _;

use super::{
    addresses::{Addresses, OfAddress},
    admit::Crowded,
    connection::{Given, PIECE_BYTES, Patience, Verdict, Watch},
    patient::Patient,
    who::Came,
};
use crate::{
    config::Limits,
    tls::{Acceptor, Holds},
};

/// A pause after a failed accept, which mostly means that file handles have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// So many connections beyond the bound are taken for those who look after the service and for answers.
const SPARE_CONNECTIONS: usize = 16;
/// They must say at once what they want.
const SPARE_PATIENCE: Duration = Duration::from_secs(2);

/// A client that is idle is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TRIES: u32 = 3;

/// So many bytes of a request over HTTP/1.1 are held before its head is whole; a longer one is answered with 431. What is longer is
/// sent by `POST`.
const HEAD_MAX_BYTES: usize = 32 * 1024;
/// So many requests at once over one connection of HTTP/2. Which of them get a place is decided at the door like everywhere.
const STREAMS_MAX: u32 = 32;
/// So many bytes of headers of a request over HTTP/2, after they were unpacked. What is longer is sent by `POST`.
const HEADERS_MAX_BYTES: u32 = 16 * 1024;
/// So much of one body, and of all of a connection, may come over HTTP/2 before it is read.
const BODY_WINDOW_BYTES: u32 = 128 * 1024;
const BODIES_WINDOW_BYTES: u32 = 256 * 1024;
/// So many streams of a connection may have been given up by the client before they were looked at, and so many by us for its
/// mistakes: who has more opens them for that alone (CVE-2023-44487, CVE-2025-8671).
const RESETS_MAX: usize = 20;
const MISTAKES_MAX: usize = 64;

/// Has the system find out a client that vanished without a word, while nothing is sent and while what was sent is not
/// acknowledged. Where that cannot be set, the limits on headers, bodies and answers still hold.
fn keep_alive(stream: &TcpStream, unacknowledged_max: Duration) {
    let asking =
        TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_TRIES);
    let socket = SockRef::from(stream);
    let set = socket.set_tcp_keepalive(&asking).and(socket.set_tcp_user_timeout(Some(unacknowledged_max)));
    if let Err(error) = set {
        tracing::debug!(%error, "keep-alive cannot be set");
    }
}

/// What serves connections.
fn builder(limits: &Limits, http2: bool) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.header_timeout).max_buf_size(HEAD_MAX_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADERS_MAX_BYTES)
        .initial_stream_window_size(BODY_WINDOW_BYTES)
        .initial_connection_window_size(BODIES_WINDOW_BYTES)
        .max_send_buf_size(PIECE_BYTES)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(MISTAKES_MAX)
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_INTERVAL * KEEPALIVE_TRIES);
    if http2 { builder } else { builder.http1_only() }
}

/// Where connections come from.
pub struct Door {
    /// Listening.
    pub listener: TcpListener,
    /// How it speaks; none: in clear.
    pub acceptor: Option<Arc<Acceptor>>,
}

/// The places for connections, of all doors together.
struct Places {
    connections: Arc<Semaphore>,
    spare: Arc<Semaphore>,
    addresses: Arc<Addresses>,
    open: TaskTracker,
}

/// Serves until `stop`, then lets what is under way finish within `limits.drain`.
pub async fn serve(doors: Vec<Door>, router: Router, limits: &Limits, http2: bool, stop: CancellationToken) {
    let places = Places {
        connections: Arc::new(Semaphore::new(limits.connections)),
        spare: Arc::new(Semaphore::new(SPARE_CONNECTIONS)),
        addresses: Addresses::new(limits),
        open: TaskTracker::new(),
    };
    let all = doors.into_iter().map(|door| at(door, &places, &router, limits, http2, &stop));
    futures_util::future::join_all(all).await;
    places.open.close();
    if tokio::time::timeout(limits.drain, places.open.wait()).await.is_err() {
        tracing::warn!("some requests were cut off");
    }
}

/// Takes the connections of one door until `stop`.
async fn at(door: Door, places: &Places, router: &Router, limits: &Limits, http2: bool, stop: &CancellationToken) {
    let Door { listener, acceptor } = door;
    let Places { connections, spare, addresses, open } = places;
    let builder = builder(limits, http2);
    let loopback = listener.local_addr().is_ok_and(|at| at.ip().is_loopback());
    loop {
        // a connection for which there is not even a spare place waits in the system's own queue
        let (place, crowded) = tokio::select! {
            biased;
            place = Arc::clone(connections).acquire_owned() => (place, false),
            place = Arc::clone(spare).acquire_owned() => (place, true),
            () = stop.cancelled() => break,
        };
        let accepted = tokio::select! { accepted = listener.accept() => accepted, () = stop.cancelled() => break };
        let (stream, peer) = match accepted {
            Ok((stream, peer)) => (stream, peer.ip()),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(of_address) = addresses.one_more(peer) else {
            // all that it has are of those who are known. Nothing is said: over TLS there is nobody yet to say it to
            metrics::counter!("onward_connections_refused_total").increment(1);
            tracing::debug!("a connection is refused: its address has as many as it may");
            continue;
        };
        let _ = stream.set_nodelay(true);
        keep_alive(&stream, limits.request_timeout);
        let mut builder = builder.clone();
        let mut patience =
            Patience { idle: limits.header_timeout, takes_within: limits.request_timeout, once: crowded };
        let router = if crowded {
            metrics::counter!("onward_connections_full_total").increment(1);
            tracing::warn!(
                connections = limits.connections,
                "as many connections as may be; answers and health are served"
            );
            patience.idle = patience.idle.min(SPARE_PATIENCE);
            builder.http1().keep_alive(false).header_read_timeout(patience.idle);
            builder.http2().max_concurrent_streams(1);
            router.clone().layer(axum::Extension(Crowded))
        } else {
            router.clone()
        };
        let (stop, acceptor) = (stop.clone(), acceptor.clone());
        let OfAddress { standing, .. } = &of_address;
        let standing = Arc::clone(standing);
        let came = Came { address: Some(peer), loopback, shown: None, standing: Some(Arc::clone(&standing)) };
        open.spawn(async move {
            tokio::select! {
                () = one(stream, acceptor.as_deref(), &builder, (router, came), patience, &stop) => {}
                () = standing.given_up() => tracing::debug!("a connection is given up for another of its address"),
            }
            drop((place, of_address));
        });
    }
}

/// Serves one connection to its end.
async fn one(
    stream: TcpStream,
    acceptor: Option<&Acceptor>,
    builder: &auto::Builder<TokioExecutor>,
    (router, came): (Router, Came),
    patience: Patience,
    stop: &CancellationToken,
) {
    // the limits on it run from the first byte; one that never comes is not waited for either
    let mut first = [0; 1];
    let spoke = tokio::select! {
        peeked = tokio::time::timeout(patience.idle, stream.peek(&mut first)) => matches!(peeked, Ok(Ok(1..))),
        () = stop.cancelled() => false,
    };
    if !spoke {
        return;
    }
    let Some(acceptor) = acceptor else { return speak(stream, None, builder, (router, came), patience, stop).await };
    let agreed = tokio::select! {
        agreed = tokio::time::timeout(patience.idle, acceptor.accept(stream)) => agreed,
        () = stop.cancelled() => return,
    };
    match agreed {
        Ok(Ok((stream, shown))) => {
            let (shown, holds) = shown.unzip();
            let came = Came { shown: shown.map(Arc::new), ..came };
            speak(stream, holds, builder, (router, came), patience, stop).await;
        }
        // who it was is told by no name: whoever can reach the port can do so as often as they like
        Ok(Err(error)) => refused(&error),
        Err(_) => refused(&"the client did not agree in time"),
    }
}

fn refused(why: &dyn std::fmt::Display) {
    metrics::counter!("onward_tls_refused_total").increment(1);
    tracing::debug!(%why, "no agreement on TLS");
}

/// Speaks HTTP over a connection to its end, or until what its client showed counts no more.
async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    holds: Option<Holds>,
    builder: &auto::Builder<TokioExecutor>,
    (router, came): (Router, Came),
    patience: Patience,
    stop: &CancellationToken,
) {
    let watch = Watch::new(patience);
    if let Some(standing) = &came.standing {
        standing.watched(&watch);
    }
    let stream = TokioIo::new(Patient::new(stream, patience.takes_within));
    let watched = Watched { router, came, watch: Arc::clone(&watch) };
    let mut connection = pin!(builder.serve_connection(stream, watched));
    let mut over = pin!(async {
        match &holds {
            Some(holds) => holds.over().await,
            None => std::future::pending().await,
        }
    });
    let mut ending = false;
    loop {
        let mut end = false;
        let look_at = match watch.look() {
            Verdict::GoOn(at) => at,
            Verdict::Cut => {
                tracing::debug!("a connection was cut: its client takes nothing");
                return;
            }
            Verdict::End => {
                end = true;
                tokio::time::Instant::now()
            }
        };
        if !end {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    return;
                }
                () = stop.cancelled(), if !ending => end = true,
                () = over.as_mut(), if !ending => end = true,
                () = watch.first.notified() => {}
                () = tokio::time::sleep_until(look_at) => {}
            }
        }
        if end {
            ending = true;
            watch.ending();
            connection.as_mut().graceful_shutdown();
        }
    }
}

/// The routes, for one connection.
struct Watched {
    router: Router,
    came: Came,
    watch: Arc<Watch>,
}

impl Service<Request<Incoming>> for Watched {
    type Response = Response<Given>;
    type Error = Infallible;
    type Future = futures_util::future::BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.came.clone());
        let under_way = self.watch.begin(request.version());
        let answer = self.router.clone().call(request);
        Box::pin(async move { answer.await.map(|response| under_way.answered(response)) })
    }
}

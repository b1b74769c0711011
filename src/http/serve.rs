//! The accept loop: bounded connections, a limit on how long a client may take over its headers, and an end that lets requests
//! finish.

use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

use super::{admit::Crowded, patient::Patient};
use crate::config::Limits;

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

/// Serves until `stop`, then lets what is under way finish within `limits.drain`.
pub async fn serve(listener: TcpListener, router: Router, limits: &Limits, stop: CancellationToken) {
    // a connection that speaks HTTP/2 may be held open without any request, so that waits until it can be bounded
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.header_timeout);
    let connections = Arc::new(Semaphore::new(limits.connections));
    let spare = Arc::new(Semaphore::new(SPARE_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        // a connection for which there is not even a spare place waits in the system's own queue
        let (place, crowded) = tokio::select! {
            biased;
            place = Arc::clone(&connections).acquire_owned() => (place, false),
            place = Arc::clone(&spare).acquire_owned() => (place, true),
            () = stop.cancelled() => break,
        };
        let accepted = tokio::select! { accepted = listener.accept() => accepted, () = stop.cancelled() => break };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        keep_alive(&stream, limits.request_timeout);
        let (mut builder, watcher) = (builder.clone(), graceful.watcher());
        let (mut patience, stop) = (limits.header_timeout, stop.clone());
        let takes_within = limits.request_timeout;
        let service = if crowded {
            metrics::counter!("onward_connections_full_total").increment(1);
            tracing::warn!(
                connections = limits.connections,
                "as many connections as may be; answers and health are served"
            );
            patience = patience.min(SPARE_PATIENCE);
            builder.http1().keep_alive(false).header_read_timeout(patience);
            router.clone().layer(axum::Extension(Crowded))
        } else {
            router.clone()
        };
        let service = TowerToHyperService::new(service);
        tokio::spawn(async move {
            // the builder's own limit runs from the first byte; one that never comes is not waited for either
            let mut first = [0; 1];
            let spoke = tokio::select! {
                peeked = tokio::time::timeout(patience, stream.peek(&mut first)) => matches!(peeked, Ok(Ok(1..))),
                () = stop.cancelled() => false,
            };
            if spoke {
                let connection =
                    builder.serve_connection_with_upgrades(TokioIo::new(Patient::new(stream, takes_within)), service);
                if let Err(error) = watcher.watch(connection.into_owned()).await {
                    tracing::debug!(%error, "a connection ended early");
                }
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests were cut off");
    }
}

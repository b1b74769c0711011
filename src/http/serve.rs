//! The accept loop: bounded connections, a limit on how long a client may take over its headers, and an end that lets requests
//! finish.

use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;

use crate::config::Limits;

/// A pause after a failed accept, which mostly means that file handles have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop`, then lets what is under way finish within `limits.drain`.
pub async fn serve(listener: TcpListener, router: Router, limits: &Limits, stop: CancellationToken) {
    // a connection that speaks HTTP/2 may be held open without any request, so that waits until it can be bounded
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.header_timeout);
    let connections = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    loop {
        // a connection beyond the bound waits in the system's own queue
        let place = tokio::select! {
            place = Arc::clone(&connections).acquire_owned() => place,
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
        if connections.available_permits() == 0 {
            metrics::counter!("onward_connections_full_total").increment(1);
            tracing::warn!(connections = limits.connections, "as many connections as may be; more wait to be taken");
        }
        let service = TowerToHyperService::new(router.clone());
        let (builder, watcher) = (builder.clone(), graceful.watcher());
        let (patience, stop) = (limits.header_timeout, stop.clone());
        tokio::spawn(async move {
            // the builder's own limit runs from the first byte; one that never comes is not waited for either
            let mut first = [0; 1];
            let spoke = tokio::select! {
                peeked = tokio::time::timeout(patience, stream.peek(&mut first)) => matches!(peeked, Ok(Ok(1..))),
                () = stop.cancelled() => false,
            };
            if spoke {
                let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
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

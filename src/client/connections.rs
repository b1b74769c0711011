//! Connections over TCP and TLS: only to where `[outbound]` allows, to the very address that was looked at, under the certificate that is meant
//! for whoever is spoken to.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, dns},
    },
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::Instant;

use super::{
    ANSWER_MAX_BYTES, AnswerMax, CallError, NOT_ALLOWED, NoRoots, Transport,
    no_connection::{NoAddress, NoConnection, causes},
};
use crate::{
    config::{Identity, Outbound},
    resolve::Resolver,
    tls::Shower,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An idle connection is kept for so long. When one of a server's turns out to lead nowhere, which takes a request its whole
/// time-out, the others have mostly gone by then as well.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_TRIES: u32 = 3;
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);
const IDLE_PER_HOST: usize = 32;
/// The files of certificates are looked at this often, while they are used.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// So many certificates are remembered.
const IDENTITIES_MAX: usize = 256;

type Http = Client<HttpsConnector<HttpConnector<Names>>, Full<Bytes>>;

/// See the module's documentation.
pub(super) struct Connections {
    http: Http,
    resolver: Resolver,
    outbound: Arc<Outbound>,
    shown: Mutex<HashMap<Arc<Identity>, Arc<Place>>>,
}

/// Connections under one certificate; whoever looks at its files holds the place.
#[derive(Default)]
struct Place(tokio::sync::Mutex<Option<Kept>>);

struct Kept {
    http: Http,
    shower: Shower,
    looked: Instant,
}

/// Looks names up for the connector, and lets it connect only to what is allowed: to the very addresses that were looked at.
#[derive(Clone)]
struct Names(Resolver, Arc<Outbound>);

/// Every address of a name is one that may not be connected to.
#[derive(Debug, thiserror::Error)]
#[error("{NOT_ALLOWED}")]
struct NotAllowed;

impl tower_service::Service<dns::Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: dns::Name) -> Self::Future {
        let Self(resolver, outbound) = self.clone();
        Box::pin(async move {
            let found = resolver.resolve(name.as_str()).await;
            let mut found = found.map_err(|_| std::io::Error::other(NoAddress))?;
            found.retain(|address| outbound.allows(*address));
            if found.is_empty() {
                return Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, NotAllowed));
            }
            // the connector puts the port in
            Ok(found.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect::<Vec<_>>().into_iter())
        })
    }
}

// === impl Connections ===

impl Connections {
    /// To servers that the machine's root certificates vouch for.
    pub(super) fn new(resolver: Resolver, outbound: &Outbound) -> Result<Self, NoRoots> {
        let outbound = Arc::new(outbound.clone());
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_native_roots()?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp(&resolver, &outbound));
        Ok(Self { http: pooled(connector), resolver, outbound, shown: Mutex::default() })
    }

    /// What connects under this certificate, taken anew where its files have changed.
    async fn under(&self, identity: &Arc<Identity>) -> Result<Http, CallError> {
        let place = {
            let mut all = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            if all.len() >= IDENTITIES_MAX && !all.contains_key(identity) {
                // they come from the configuration alone: these are of earlier ones
                all.clear();
            }
            Arc::clone(all.entry(Arc::clone(identity)).or_default())
        };
        let mut kept = place.0.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.looked.elapsed() < LOOK_EVERY) {
            return Ok(kept.http.clone());
        }
        let (identity, before) = (Arc::clone(identity), kept.as_ref().map(|kept| kept.shower.clone()));
        let looked = tokio::task::spawn_blocking(move || Shower::renewed(&identity, before.as_ref())).await;
        match (looked, kept.as_mut()) {
            (Ok(Ok(Some(shower))), _) => {
                let tls = shower.config();
                let connector = hyper_rustls::HttpsConnectorBuilder::new()
                    .with_tls_config(tls)
                    .https_only()
                    .enable_http1()
                    .wrap_connector(tcp(&self.resolver, &self.outbound));
                let http = pooled(connector);
                *kept = Some(Kept { http: http.clone(), shower, looked: Instant::now() });
                Ok(http)
            }
            (Ok(Ok(None)), Some(kept)) => {
                kept.looked = Instant::now();
                Ok(kept.http.clone())
            }
            // what is there cannot be used: what was there before is
            (Ok(Err(why)), Some(kept)) => {
                tracing::warn!(%why, "a changed certificate cannot be used, the one before is");
                kept.looked = Instant::now();
                Ok(kept.http.clone())
            }
            (Ok(Err(why)), None) => Err(CallError::NoCertificate(why.to_string())),
            _ => Err(CallError::NoCertificate("its files were not read".to_owned())),
        }
    }
}

fn tcp(resolver: &Resolver, outbound: &Arc<Outbound>) -> HttpConnector<Names> {
    let mut tcp = HttpConnector::new_with_resolver(Names(resolver.clone(), Arc::clone(outbound)));
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    // a peer that vanished without a word: found out while nothing is sent, and while what was sent is not acknowledged
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    tcp.set_keepalive_retries(Some(KEEPALIVE_TRIES));
    tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX));
    tcp
}

fn pooled(connector: HttpsConnector<HttpConnector<Names>>) -> Http {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .build(connector)
}

#[async_trait]
impl Transport for Connections {
    async fn exchange(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Bytes>, CallError> {
        let uri = request.uri();
        // an address in a URL is looked up by nobody
        if !self.outbound.allows_url(uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default()) {
            return Err(CallError::NotAllowed);
        }
        let bytes_max = request.extensions_mut().remove().map_or(ANSWER_MAX_BYTES, |AnswerMax(bytes)| bytes);
        let http = match request.extensions_mut().remove::<Arc<Identity>>() {
            Some(identity) => self.under(&identity).await?,
            None => self.http.clone(),
        };
        let response = http.request(request).await.map_err(|error| match error {
            error if is_not_allowed(&error) => CallError::NotAllowed,
            error if error.is_connect() => CallError::Connect(NoConnection::of(&error)),
            _ => CallError::Broken,
        })?;
        let (parts, body) = response.into_parts();
        let bytes = Limited::new(body, bytes_max).collect().await;
        let bytes = bytes.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                CallError::Unreadable(format!("larger than {bytes_max} bytes"))
            } else {
                CallError::Broken
            }
        })?;
        Ok(Response::from_parts(parts, bytes.to_bytes()))
    }
}

/// Whether no connection was made because of where it would have gone.
fn is_not_allowed(error: &(dyn std::error::Error + 'static)) -> bool {
    causes(error).any(|error| error.is::<NotAllowed>())
}

//! Wires everything: the order of starting, what runs side by side, taking up a changed registry, and an end that loses nothing.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{net::TcpListener, sync::Semaphore, sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    broker::{Broker, BrokerError, Embedded, Queue, RabbitMq},
    client::{FhirClient, NoRoots},
    config::{BrokerUrl, Config, Env, Fault, Registry, StoreUrl},
    delivery::{Deliveries, copies::Copies},
    domain::{Side, SystemClock},
    fhir::XmlConverter,
    http::{self, App},
    intake::Intake,
    lanes::{Carrier, Relay, Worker, consumers::Consumers, scheduler::Scheduler},
    status::Status,
    store::{
        Store,
        sqlite::{OpenError, SqliteStore},
    },
    telemetry,
    writeback::WriteBacks,
};

const XML_WORKERS: usize = 2;
/// The configuration's files are looked at this often.
const WATCH_EVERY: Duration = Duration::from_secs(2);
/// What is waiting to be published when it ends is published for this long; the rest lies in the outbox.
const RELAY_DRAIN: Duration = Duration::from_secs(5);

/// Why it does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// A store that is not there yet.
    #[error("[store] url: PostgreSQL is not part of this version; use \"sqlite:PATH\"")]
    NoPostgres,
    /// It cannot listen.
    #[error("[server] listen: cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The broker's URL cannot be used.
    #[error("[broker] url: {0}")]
    Broker(#[from] BrokerError),
    /// HTTPS cannot be spoken.
    #[error(transparent)]
    Roots(#[from] NoRoots),
}

/// A running service.
pub struct Service {
    base_url: String,
    address: SocketAddr,
    store: Arc<dyn Store>,
    broker: Arc<dyn Broker>,
    registry: Arc<ArcSwap<Registry>>,
    changed: watch::Sender<()>,
    drain: Duration,
    stop_http: CancellationToken,
    stop_lanes: CancellationToken,
    stop_relay: CancellationToken,
    http: JoinHandle<()>,
    lanes: Vec<JoinHandle<()>>,
    relay: JoinHandle<()>,
}

impl Service {
    /// Starts it. When this returns it listens, and what was unfinished goes on; a broker that is away is waited for in the
    /// background.
    ///
    /// # Errors
    /// [`StartError`]
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let metrics = telemetry::metrics();
        let client = FhirClient::new()?;
        let store: Arc<dyn Store> = match &config.store.url {
            StoreUrl::Sqlite(path) => Arc::new(SqliteStore::open(path, Arc::new(SystemClock))?),
            StoreUrl::Postgres(_) => return Err(StartError::NoPostgres),
        };
        let address = config.server.listen;
        let listen = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let base_url = config.server.base_url_at(address);
        let broker: Arc<dyn Broker> = match &config.broker.url {
            BrokerUrl::Embedded => Arc::new(Embedded::new(Default::default())),
            BrokerUrl::Amqp(url) => Arc::new(RabbitMq::connect(url.reveal(), Default::default())?),
        };

        let (stop_http, stop_lanes, stop_relay) = Default::default();
        let registry = Arc::new(ArcSwap::from_pointee(config.registry.clone()));
        let (relay, relay_task) =
            Relay::start(Arc::clone(&store), Arc::clone(&broker), CancellationToken::clone(&stop_relay));
        let status = Status::new(Arc::clone(&store), relay.clone(), Arc::clone(&registry));
        let parts = Parts {
            store: Arc::clone(&store),
            broker: Arc::clone(&broker),
            registry: Arc::clone(&registry),
            relay: relay.clone(),
            client: client.clone(),
            base_url: base_url.clone(),
        };
        let (changed, changes) = watch::channel(());
        let lanes = parts.start_lanes(&config, status.clone(), changes, &stop_lanes);
        let app = Arc::new(App {
            store: Arc::clone(&store),
            broker: Arc::clone(&broker),
            registry: Arc::clone(&registry),
            intake: Intake {
                store: Arc::clone(&store),
                relay,
                registry: Arc::clone(&registry),
                client,
                base_url: base_url.clone(),
            },
            status,
            xml: Arc::new(XmlConverter::new(XML_WORKERS)),
            limits: config.limits.clone(),
            base_url: base_url.clone(),
            metrics,
            places: Arc::new(Semaphore::new(config.limits.concurrent_requests)),
        });
        let (limits, stop) = (config.limits.clone(), CancellationToken::clone(&stop_http));
        let http = tokio::spawn(async move { http::serve::serve(listener, http::router(app), &limits, stop).await });
        Ok(Self {
            base_url,
            address,
            store,
            broker,
            registry,
            changed,
            drain: config.limits.drain,
            stop_http,
            stop_lanes,
            stop_relay,
            http,
            lanes,
            relay: relay_task,
        })
    }

    /// Where it is reached; `…/fhir` is the FHIR base.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its store.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// Takes up systems, providers, inboxes and routes as they are in `config`, all at once. What listens where, store and
    /// broker stay as they were at the start.
    pub fn take_up(&self, registry: Registry) {
        self.registry.store(Arc::new(registry));
        let _ = self.changed.send(());
    }

    /// Watches the files a configuration was read from, and takes up what changed if all of it is right; otherwise the old one
    /// stays in force and the faults are logged. Never returns.
    pub async fn watch(&self, path: Option<PathBuf>, env: Env, mut files: Vec<PathBuf>) {
        let mut before = stamps(&files);
        loop {
            tokio::time::sleep(WATCH_EVERY).await;
            let now = stamps(&files);
            if now == before {
                continue;
            }
            before = now;
            match Config::load(path.as_deref(), &env) {
                Ok((config, warnings)) => {
                    log_faults(&warnings, false);
                    files.clone_from(&config.files);
                    before = stamps(&files);
                    tracing::info!(route_set = config.registry.routes.version(), "a changed configuration is in force");
                    self.take_up(config.registry);
                }
                Err(faults) => {
                    log_faults(&faults, true);
                    metrics::counter!("onward_alerts_total", "alert" => "configuration-refused").increment(1);
                }
            }
        }
    }

    /// Ends it: no new requests, then no new messages, then what is in hand is settled, and the store is closed.
    pub async fn stop(self) {
        self.stop_http.cancel();
        let _ = self.http.await;
        self.stop_lanes.cancel();
        for task in self.lanes {
            if tokio::time::timeout(self.drain, task).await.is_err() {
                tracing::warn!("a part did not end in time");
            }
        }
        self.stop_relay.cancel();
        let _ = tokio::time::timeout(RELAY_DRAIN, self.relay).await;
        self.broker.close().await;
        self.store.close().await;
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<(std::time::SystemTime, u64)>> {
    let stamp = |file: &PathBuf| {
        let meta = std::fs::metadata(file).ok()?;
        Some((meta.modified().ok()?, meta.len()))
    };
    files.iter().map(stamp).collect()
}

/// Logs what a configuration says wrong.
pub fn log_faults(faults: &[Fault], refused: bool) {
    for fault in faults {
        if refused {
            tracing::error!(%fault, "the changed configuration is not taken up");
        } else {
            tracing::warn!(%fault, "configuration");
        }
    }
}

/// What the lanes are made of.
struct Parts {
    store: Arc<dyn Store>,
    broker: Arc<dyn Broker>,
    registry: Arc<ArcSwap<Registry>>,
    relay: Relay,
    client: FhirClient,
    base_url: String,
}

impl Parts {
    fn start_lanes(
        &self,
        config: &Config,
        status: Status,
        changes: watch::Receiver<()>,
        stop: &CancellationToken,
    ) -> Vec<JoinHandle<()>> {
        let (store, client, registry) = (&self.store, &self.client, &self.registry);
        let deliveries = Deliveries::new(store.clone(), client.clone(), registry.clone(), self.base_url.clone());
        let write_backs = WriteBacks::new(store.clone(), client.clone(), registry.clone(), self.base_url.clone());
        let consumers = |carrier: Arc<dyn Carrier>| {
            let worker = Worker::new(store.clone(), self.relay.clone(), config.retry, carrier);
            Consumers::new(self.broker.clone(), Arc::new(worker), config.broker.prefetch, stop.clone())
        };
        let both = [consumers(Arc::new(deliveries)), consumers(Arc::new(write_backs))];
        let scheduler = Scheduler {
            store: store.clone(),
            broker: self.broker.clone(),
            relay: self.relay.clone(),
            republish_after: config.broker.republish_after,
        };
        let copies = Copies {
            store: store.clone(),
            client: client.clone(),
            registry: registry.clone(),
            status,
            retry: config.retry,
        };
        vec![
            tokio::spawn(consume(both, registry.clone(), changes, config.limits.drain, stop.clone())),
            tokio::spawn(scheduler.run(stop.clone())),
            tokio::spawn(copies.run(stop.clone())),
        ]
    }
}

/// Keeps one consumer for each inbox and each originating system of the registry.
async fn consume(
    [mut deliveries, mut write_backs]: [Consumers; 2],
    registry: Arc<ArcSwap<Registry>>,
    mut changes: watch::Receiver<()>,
    drain: Duration,
    stop: CancellationToken,
) {
    loop {
        let now = registry.load_full();
        let queue = |side, to: &str| Queue { side, to: to.to_owned() };
        let inboxes: Vec<_> = now.inboxes.keys().map(|id| queue(Side::Delivery, id.as_str())).collect();
        let systems: Vec<_> = now.systems.keys().map(|id| queue(Side::WriteBack, id.as_str())).collect();
        deliveries.set(&inboxes);
        write_backs.set(&systems);
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { stop.cancelled().await; break },
            () = stop.cancelled() => break,
        }
    }
    tokio::join!(deliveries.drain(drain), write_backs.drain(drain));
}

//! Wires everything: the order of starting, what runs side by side, taking up a changed registry, and an end that loses nothing.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{sync::watch, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    admission::{Admission, outbox},
    auth::{Authority, Seal},
    broker::{Broker, BrokerError, Embedded, RabbitMq, rabbitmq},
    client::{FhirClient, NoRoots},
    config::{BrokerUrl, Config, Registry, Role, StaticTokens, StoreUrl, routes::Source},
    conversation::Conversation,
    directory::{Directory, measured::Measured},
    domain::SystemClock,
    fhir::XmlWriter,
    health::{Health, Watch},
    http::{self, App},
    intake::{Intake, record::Reading},
    lanes::{Endpoints, Relay, heart::Heart},
    people::People,
    profiles::Validator,
    resolve::Resolver,
    status::Status,
    store::{
        Store,
        postgres::{self, PostgresStore},
        sqlite::{self, SqliteStore},
    },
    telemetry,
    tls::TlsError,
};
#[cfg(feature = "pages")]
use crate::{
    onboarding::Trial,
    people::oidc::Issuer,
    preview::Previews,
    web::{self, Console, Web},
};

mod listeners;
mod parts;
pub mod profiles;
mod queues;
mod reload;
mod routes;

pub use reload::log_faults;
pub use routes::{TAKEN_UP_WITHIN, Unfit};

use self::{
    listeners::Listeners,
    parts::{Parts, guarded},
    profiles::ProfilesUnusable,
    routes::{Followed, InForce},
};

const XML_WORKERS: usize = 2;
/// So much of the limit is kept for letting go of what did not end in time, …
const LETTING_GO: Duration = Duration::from_secs(3);
/// … or this part of it, where it is short.
const LETTING_GO_PART: u32 = 4;
/// Broker and store are closed within this time each.
const CLOSE_MAX: Duration = Duration::from_secs(3);

/// Why it does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store's file cannot be opened.
    #[error(transparent)]
    Store(#[from] sqlite::OpenError),
    /// The store on a server cannot be opened.
    #[error(transparent)]
    Postgres(#[from] postgres::OpenError),
    /// It cannot listen.
    #[error("cannot listen on {address}, which [server] or [[listener]] names")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The broker's URL cannot be used.
    #[error("[broker] url: {0}")]
    Broker(#[from] BrokerError),
    /// Profiles cannot be used.
    #[error(transparent)]
    Profiles(#[from] ProfilesUnusable),
    /// A certificate to be shown cannot be used.
    #[error(transparent)]
    Certificate(#[from] TlsError),
    /// HTTPS cannot be spoken.
    #[error(transparent)]
    Roots(#[from] NoRoots),
}

/// Opens the store as a service does: migrated, and where only one process may have it, alone.
///
/// # Errors
/// [`StartError::Store`], [`StartError::Postgres`]
pub async fn open_store(url: &StoreUrl) -> Result<Arc<dyn Store>, StartError> {
    Ok(match url {
        StoreUrl::Sqlite(path) => Arc::new(SqliteStore::open(path, Arc::new(SystemClock))?),
        StoreUrl::Postgres(url) => Arc::new(PostgresStore::open(url.reveal(), None).await?),
    })
}

/// Opens an existing store beside services that may be running; for commands.
///
/// # Errors
/// [`StartError::Store`], [`StartError::Postgres`]
pub async fn open_beside(url: &StoreUrl) -> Result<Arc<dyn Store>, StartError> {
    Ok(match url {
        StoreUrl::Sqlite(path) => Arc::new(SqliteStore::open_beside(path, Arc::new(SystemClock))?),
        StoreUrl::Postgres(url) => Arc::new(PostgresStore::open_beside(url.reveal(), None).await?),
    })
}

/// A running service.
pub struct Service {
    base_url: String,
    addresses: Vec<SocketAddr>,
    store: Arc<dyn Store>,
    broker: Arc<dyn Broker>,
    measured: Arc<Measured>,
    source: Source,
    /// How the configuration's files were when it started.
    stamps: reload::Stamps,
    in_force: Arc<InForce>,
    validator: Arc<Validator>,
    health: Arc<Health>,
    drain: Duration,
    pause: Duration,
    died: CancellationToken,
    stop_http: CancellationToken,
    stop_lanes: CancellationToken,
    let_go: CancellationToken,
    stop_relay: CancellationToken,
    http: JoinHandle<()>,
    lanes: Vec<JoinHandle<()>>,
    relay: JoinHandle<()>,
    /// It beats for as long as anything is held.
    heart: JoinHandle<()>,
}

impl Service {
    /// Starts it. When this returns it listens, and what was unfinished goes on; a broker that is away is waited for in the
    /// background.
    ///
    /// # Errors
    /// [`StartError`]
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let stamps = reload::stamps(&config.files);
        let validator = Arc::new(self::profiles::validator(&config)?);
        for (profile, note) in validator.notes() {
            tracing::warn!(profile, note, "a profile is asked in part");
        }
        let metrics = telemetry::metrics();
        let resolver = Resolver::system();
        let client = FhirClient::with_resolver(resolver.clone(), &config.outbound)?;
        let store = open_store(&config.store.url).await?;
        let listeners = Listeners::open(&config).await?;
        let addresses = listeners.addresses.clone();
        let address = *addresses.first().unwrap_or(&config.server.listen);
        let base_url = config.server.base_url_at(address);
        let broker: Arc<dyn Broker> = match &config.broker.url {
            BrokerUrl::Embedded => Arc::new(Embedded::new(Default::default())),
            BrokerUrl::Amqp(url) => Arc::new(RabbitMq::connect(url.reveal(), amqp(resolver))?),
        };

        let (stop_http, stop_lanes, stop_relay) = Default::default();
        let let_go = CancellationToken::new();
        let died = CancellationToken::new();
        let registry = Arc::new(ArcSwap::from_pointee(config.registry.clone()));
        let (relay, relay_task) =
            Relay::start(Arc::clone(&store), Arc::clone(&broker), CancellationToken::clone(&stop_relay));
        let heart = Heart { store: Arc::clone(&store), relay: relay.clone() };
        let heart = guarded(&died, &stop_relay, heart.run(CancellationToken::clone(&stop_relay)));
        let status = Status::new(Arc::clone(&store), relay.clone(), Arc::clone(&registry));
        let endpoints = Endpoints::new(Arc::clone(&store), config.retry, CancellationToken::clone(&stop_lanes));
        endpoints.set(config.registry.terms());
        if let Err(error) = endpoints.refresh().await {
            tracing::warn!(%error, "it is not known yet which endpoints are to be left alone");
        }
        let reading = Reading::default();
        let conversation = Conversation {
            store: Arc::clone(&store),
            relay: relay.clone(),
            registry: Arc::clone(&registry),
            client: client.clone(),
            reading: reading.clone(),
            validator: Arc::clone(&validator),
            base_url: base_url.clone(),
        };
        let xml = Arc::new(XmlWriter::new(XML_WORKERS));
        let parts = Parts {
            endpoints: endpoints.clone(),
            store: Arc::clone(&store),
            broker: Arc::clone(&broker),
            registry: Arc::clone(&registry),
            relay: relay.clone(),
            client: client.clone(),
            base_url: base_url.clone(),
            xml: Arc::clone(&xml),
            let_go: let_go.clone(),
        };
        let (changed, changes) = watch::channel(());
        let (health, admission) = (Arc::new(Health::default()), Admission::new(&config.limits));
        let in_force = match config.routes.source {
            Source::File => InForce::of_files(Arc::clone(&registry), endpoints.clone(), changed),
            Source::Store => {
                let takes = config.server.roles.has(Role::Api);
                let parts = (Arc::clone(&store), Arc::clone(&health), Arc::clone(&admission));
                let followed = Followed::new(parts, takes, address);
                InForce::of_store(Arc::clone(&registry), endpoints.clone(), changed, followed)
            }
        };
        let in_force = Arc::new(in_force);
        in_force.first_look().await;
        let mut lanes = parts.start_lanes(&config, (status.clone(), conversation.clone()), changes, &stop_lanes, &died);
        let following = Arc::clone(&in_force).run(CancellationToken::clone(&stop_lanes));
        lanes.push(guarded(&died, &stop_lanes, following));
        let watch = Watch {
            health: Arc::clone(&health),
            admission: Arc::clone(&admission),
            store: Arc::clone(&store),
            broker: Arc::clone(&broker),
            folder: folder_of(&config.store.url),
            free_disk_bytes: config.limits.free_disk_bytes,
            outbox: outbox::Bounds { messages: config.limits.outbox_messages, age: config.limits.outbox_age },
        };
        let mail_roots = config.smtp.as_ref().and_then(|smtp| smtp.roots.clone());
        let certificates = listeners.certificates(Arc::clone(&registry), mail_roots, Arc::clone(&health));
        lanes.push(guarded(&died, &stop_lanes, certificates.run(CancellationToken::clone(&stop_lanes))));
        watch.first_look().await;
        lanes.push(guarded(&died, &stop_lanes, watch.run(CancellationToken::clone(&stop_lanes))));
        let (figures, stop) = (metrics.clone(), CancellationToken::clone(&stop_lanes));
        lanes.push(guarded(&died, &stop_lanes, async move {
            stop.run_until_cancelled(telemetry::keep_up(figures)).await;
        }));
        let measured = Arc::new(Measured::new(Arc::clone(&store)));
        if config.server.roles.has(Role::Api) {
            let measuring = Arc::clone(&measured).run(Arc::clone(&registry), CancellationToken::clone(&stop_lanes));
            lanes.push(guarded(&died, &stop_lanes, measuring));
        }
        let authority = Authority::new(
            Arc::clone(&store),
            Arc::clone(&registry),
            client.clone(),
            format!("{base_url}{}", http::oauth::TOKEN_PATH),
            config.server.static_tokens == StaticTokens::Everywhere,
        );
        let people = People::new(Arc::clone(&store), Arc::clone(&registry), config.people.clone());
        if config.people.any() && config.server.roles.has(Role::Api) {
            let sweeping = people.clone().sweep(CancellationToken::clone(&stop_lanes));
            lanes.push(guarded(&died, &stop_lanes, sweeping));
        }
        let intake = Intake {
            store: Arc::clone(&store),
            relay,
            registry: Arc::clone(&registry),
            client: client.clone(),
            reading,
            validator: Arc::clone(&validator),
            base_url: base_url.clone(),
            admission: Arc::clone(&admission),
        };
        #[cfg(feature = "pages")]
        let console = {
            let previews = Previews {
                store: Arc::clone(&store),
                client: client.clone(),
                registry: Arc::clone(&registry),
                base_url: base_url.clone(),
            };
            Console::new(previews, Arc::clone(&health), endpoints.clone(), CancellationToken::clone(&stop_lanes))
        };
        #[cfg(feature = "pages")]
        if config.people.any() && config.server.roles.has(Role::Api) {
            lanes.push(guarded(&died, &stop_lanes, console.measure(metrics.clone(), Arc::clone(&broker))));
        }
        #[cfg(feature = "pages")]
        let live = web::Live::new(Arc::clone(&store));
        #[cfg(feature = "pages")]
        if config.people.any() && config.server.roles.has(Role::Api) {
            let worklists = config
                .registry
                .inboxes
                .values()
                .filter(|inbox| matches!(inbox.kind, crate::config::registry::InboxKind::Worklist));
            let providers: std::collections::BTreeSet<_> = worklists.map(|inbox| inbox.provider.clone()).collect();
            let (live, stop) = (live.clone(), CancellationToken::clone(&stop_lanes));
            lanes.push(guarded(&died, &stop_lanes, async move {
                stop.run_until_cancelled(live.warm(providers)).await;
                stop.cancelled().await;
            }));
        }
        #[cfg(feature = "pages")]
        let trial = Trial::new(intake.clone(), conversation.clone(), CancellationToken::clone(&stop_lanes));
        #[cfg(feature = "pages")]
        if config.server.roles.has(Role::Api) {
            lanes.push(guarded(&died, &stop_lanes, trial.clone().sweep()));
        }
        #[cfg(feature = "pages")]
        let pages = Web {
            console,
            trial,
            routes: web::Routes::new(
                config.routes.clone(),
                crate::fhir::Limits {
                    bytes: config.limits.body_bytes,
                    depth: config.limits.depth,
                    ..Default::default()
                },
                CancellationToken::clone(&stop_lanes),
            ),
            issuer: config
                .people
                .oidc
                .clone()
                .map(|oidc| Issuer::new(people.clone(), oidc, client.clone(), base_url.clone())),
            people,
            live: live.clone(),
            directory: Directory::new(Arc::clone(&store), Arc::clone(&registry), Arc::clone(&validator), &base_url),
            store: Arc::clone(&store),
            registry: Arc::clone(&registry),
            status: status.clone(),
            conversation: conversation.clone(),
            intake: intake.clone(),
            admission: Arc::clone(&admission),
            door: web::Door::new(&config.limits),
            refused: Default::default(),
            base_url: base_url.clone(),
            request_timeout: config.limits.request_timeout,
        };
        let app = Arc::new(App {
            store: Arc::clone(&store),
            health: Arc::clone(&health),
            admission: Arc::clone(&admission),
            registry: Arc::clone(&registry),
            endpoints: endpoints.clone(),
            authority,
            seal: Seal::new(Arc::clone(&store)),
            often: http::often::Often::new(&config.limits),
            token_limits: http::oauth::Limits::default(),
            intake,
            status,
            conversation,
            measured: Arc::clone(&measured),
            directory: Directory::new(Arc::clone(&store), Arc::clone(&registry), Arc::clone(&validator), &base_url),
            xml,
            limits: config.limits.clone(),
            roles: config.server.roles,
            keeper_tokens: config.server.keeper_tokens.clone(),
            base_url: base_url.clone(),
            cors: !config.http.cors.origins.is_empty(),
            open_referral: http::open_referral::Shelf::default(),
            document: http::openapi::Document::default(),
            metrics,
        });
        let (mut limits, stop) = (config.limits.clone(), CancellationToken::clone(&stop_http));
        limits.drain -= letting_go(limits.drain);
        let api = app.roles.has(Role::Api);
        let router = if api { http::router(app) } else { http::keepers_router(app) };
        #[cfg(feature = "pages")]
        let router = match (api, config.people.any()) {
            (true, true) => web::for_people(router.merge(web::router(pages)), &base_url),
            _ => router,
        };
        let (router, http2) = (http::around(router, &config.http), config.http.http2);
        let serving = async move { http::serve::serve(listeners.doors, router, &limits, http2, stop).await };
        let http = guarded(&died, &stop_http, serving);
        Ok(Self {
            base_url,
            addresses,
            store,
            broker,
            measured,
            source: config.routes.source,
            stamps,
            in_force,
            validator,
            health,
            drain: config.limits.drain,
            pause: config.limits.stop_pause,
            died,
            stop_http,
            stop_lanes,
            let_go,
            stop_relay,
            http,
            lanes,
            relay: relay_task,
            heart,
        })
    }

    /// Where it is reached; `…/fhir` is the FHIR base.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Where it listens: `[server]` first, then each `[[listener]]` in the order of the file.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Its store.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// Its broker.
    pub fn broker(&self) -> Arc<dyn Broker> {
        Arc::clone(&self.broker)
    }

    /// What it has measured of its inboxes.
    pub fn measured(&self) -> &Measured {
        &self.measured
    }

    /// Takes up systems, providers and inboxes as they are in `registry`, and the routes unless the store has them, all at once.
    /// What listens where, store and broker stay as they were at the start.
    ///
    /// # Errors
    /// [`Unfit`], and nothing is taken up.
    pub async fn take_up(&self, registry: Registry) -> Result<(), Unfit> {
        self.in_force.take_up(registry).await
    }

    /// Waits until a part of it has ended that should not have. Then it is best started anew: everything is in the store.
    pub async fn failed(&self) {
        self.died.cancelled().await;
    }

    /// Ends it. `/health/ready` says so for a moment while it still serves; then there are no new requests and no new messages;
    /// what is in hand is finished, or let go of in time, and broker and store are closed. What was let go of goes on at once
    /// elsewhere, or at the next start.
    pub async fn stop(self) {
        self.health.stop();
        tokio::time::sleep(self.pause).await;
        // one limit for all of it, so that whoever stops it knows how long that takes at the most
        let until = Instant::now() + self.drain;
        let let_go_at = until - letting_go(self.drain);
        self.stop_http.cancel();
        self.stop_lanes.cancel();
        let mut ending = std::pin::pin!(async {
            let lanes = futures_util::future::join_all(self.lanes);
            tokio::join!(lanes, self.http)
        });
        if tokio::time::timeout_at(let_go_at, &mut ending).await.is_err() {
            tracing::warn!("not all was finished in time; it is let go of, and goes on elsewhere or at the next start");
            self.let_go.cancel();
            if tokio::time::timeout_at(until, ending).await.is_err() {
                tracing::warn!("a part did not end; what it had in hand goes on when its leases end");
            }
        }
        self.stop_relay.cancel();
        let _ = tokio::time::timeout(CLOSE_MAX, self.relay).await;
        let _ = tokio::time::timeout(CLOSE_MAX, self.heart).await;
        let _ = tokio::time::timeout(CLOSE_MAX, self.broker.close()).await;
        let _ = tokio::time::timeout(CLOSE_MAX, self.store.close()).await;
    }
}

/// How RabbitMQ is used, with names looked up like all others.
fn amqp(resolver: Resolver) -> rabbitmq::Options {
    rabbitmq::Options { resolver, ..Default::default() }
}

/// What of the limit is kept for letting go.
fn letting_go(drain: Duration) -> Duration {
    LETTING_GO.min(drain / LETTING_GO_PART)
}

/// The folder whose disk the store lies on, where that is ours to look at.
fn folder_of(store: &StoreUrl) -> Option<PathBuf> {
    let StoreUrl::Sqlite(path) = store else { return None };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    Some(folder.map_or_else(|| PathBuf::from("."), PathBuf::from))
}

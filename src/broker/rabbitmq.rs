//! The broker as RabbitMQ: quorum queues, confirmed publishing, and connections under a supervisor of our own.

mod address;
mod apart;
pub mod bare;
mod connect;
mod consumer;
mod declarer;
mod ledger;
mod link;
mod publisher;
mod topology;
mod trial;
mod wire;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::{Mutex as AsyncMutex, Semaphore, mpsc, watch},
    time::{Instant, timeout},
};

use self::{
    address::Address,
    apart::{Apart, Silence},
    declarer::Declarer,
    ledger::Outcome,
    link::{Link, Live, Plan},
    publisher::{Doubt, Publisher},
    topology::Source,
    trial::Trial,
    wire::Message,
};
use super::{Broker, BrokerError, BrokerHealth, Delivery, Depth, Outlet, Parcel, Queue};
use crate::{domain::lane::WakeUp, resolve::Resolver};

/// Times that a message is published by one call: again when it was returned and its queue declared, when the channel was lost
/// before its confirmation came, or when its queue got a channel of its own.
const TRIES: usize = 3;
/// How long [`Broker::close`] waits for what is under way, and then for the connections.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
const SETUPS_AT_ONCE: usize = 16;
/// Parcels on their way to the broker take at most so much memory; more wait.
const PARCELS_MAX_KIB: usize = 32_768;

/// How RabbitMQ is used.
#[derive(Clone)]
pub struct Options {
    /// Shown in RabbitMQ's list of connections.
    pub name: String,
    /// Certificates in PEM that are trusted beside the operating system's; for `amqps`.
    pub ca_pem: Option<String>,
    /// How the names of its nodes are looked up.
    pub resolver: Resolver,
    /// A node that has not answered after this long is left and the next one tried.
    pub connect_timeout: Duration,
    /// Times that a wake-up may come back unacknowledged before RabbitMQ dead-letters it.
    pub delivery_limit: u32,
    /// A publish is given up after this long.
    pub confirm_timeout: Duration,
    /// While there is no connection, a call waits this long for one before it fails.
    pub patience: Duration,
    /// Publishing channels. A queue always uses the same one, which keeps its order.
    pub publish_channels: usize,
    /// Consumers that share a connection; each has a channel. RabbitMQ allows 2,047.
    pub consumers_per_connection: usize,
}

/// The RabbitMQ broker.
pub struct RabbitMq {
    options: Options,
    addresses: Arc<[Address]>,
    publishing: Link,
    publishers: Vec<Publisher>,
    /// Queues that take nothing.
    apart: Apart<Publisher>,
    /// Parcels have a channel of their own, so that no wake-up waits behind a large one.
    parcels: Publisher,
    room_for_parcels: Semaphore,
    /// Connections that consume. They never publish, so RabbitMQ never blocks them; the first also declares.
    consuming: Mutex<Vec<Shared>>,
    control: Link,
    setups: Arc<Semaphore>,
    declarer: Arc<Declarer>,
    trial: Arc<Trial>,
    closing: watch::Sender<bool>,
    closing_links: watch::Sender<bool>,
    alive: Mutex<Option<mpsc::Sender<()>>>,
    settled: AsyncMutex<mpsc::Receiver<()>>,
}

/// A consuming connection and how many consumers use it.
struct Shared {
    link: Link,
    users: Arc<AtomicUsize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "onward".to_owned(),
            ca_pem: None,
            resolver: Resolver::system(),
            connect_timeout: Duration::from_secs(10),
            delivery_limit: 20,
            confirm_timeout: Duration::from_secs(20),
            patience: Duration::from_secs(1),
            publish_channels: 2,
            consumers_per_connection: 500,
        }
    }
}

/// The virtual host that a URL names.
pub fn vhost(url: &str) -> Result<String, BrokerError> {
    let addresses = Address::parse_all(url)?;
    Ok(addresses.first().map(|address| address.uri().vhost).unwrap_or_default())
}

// === impl RabbitMq ===

impl RabbitMq {
    /// Returns at once and connects in the background, for as long as it takes. `url` may name several nodes of a cluster,
    /// separated by commas. An error only where the URL is none. Call it within a tokio runtime.
    pub fn connect(url: &str, options: Options) -> Result<Self, BrokerError> {
        let addresses: Arc<[Address]> = Address::parse_all(url)?.into();
        let closing = watch::Sender::new(false);
        let closing_links = watch::Sender::new(false);
        let (alive, settled) = mpsc::channel(1);
        let plan = |part: &str| Plan {
            name: format!("{} {part}", options.name),
            addresses: Arc::clone(&addresses),
            ca_pem: options.ca_pem.clone(),
            resolver: options.resolver.clone(),
            connect_timeout: options.connect_timeout,
            closing: closing_links.subscribe(),
        };
        let publishing = Link::start(plan("publish"));
        let control = Link::start(plan("consume 1"));
        let trial = Arc::new(Trial::new(plan("consume, on trial")));
        let setups = Arc::new(Semaphore::new(SETUPS_AT_ONCE));
        let (limit, patience) = (options.delivery_limit, options.patience);
        let declarer = Arc::new(Declarer::new(control.clone(), limit, patience, Arc::clone(&setups)));
        let publisher = || {
            let (link, closing) = (publishing.clone(), closing.subscribe());
            Publisher::start(link, Doubt::Connection, options.confirm_timeout, closing, alive.clone())
        };
        let publishers = (0..options.publish_channels.max(1)).map(|_| publisher()).collect();
        let parcels = publisher();
        Ok(Self {
            addresses,
            publishing,
            publishers,
            apart: Apart::new(),
            parcels,
            room_for_parcels: Semaphore::new(PARCELS_MAX_KIB),
            consuming: Mutex::new(vec![Shared { link: control.clone(), users: Arc::default() }]),
            control,
            setups,
            declarer,
            trial,
            closing,
            closing_links,
            alive: Mutex::new(Some(alive)),
            settled: AsyncMutex::new(settled),
            options,
        })
    }

    /// A consuming connection with room for one more, made if need be.
    fn consuming_link(&self) -> (Link, Arc<AtomicUsize>) {
        let mut links = self.consuming.lock().unwrap_or_else(PoisonError::into_inner);
        let room = links.iter().find(|shared| {
            let users = &shared.users;
            let most = self.options.consumers_per_connection.max(1);
            users.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < most).then_some(n + 1)).is_ok()
        });
        if let Some(shared) = room {
            return (shared.link.clone(), Arc::clone(&shared.users));
        }
        let link = Link::start(Plan {
            name: format!("{} consume {}", self.options.name, links.len() + 1),
            addresses: Arc::clone(&self.addresses),
            ca_pem: self.options.ca_pem.clone(),
            resolver: self.options.resolver.clone(),
            connect_timeout: self.options.connect_timeout,
            closing: self.closing_links.subscribe(),
        });
        let users = Arc::new(AtomicUsize::new(1));
        links.push(Shared { link: link.clone(), users: Arc::clone(&users) });
        (link, users)
    }

    fn start_consumer(&self, source: Source, prefetch: u16) -> Result<mpsc::Receiver<Delivery>, BrokerError> {
        let alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(alive) = alive else { return Err(BrokerError::Away("it was closed".to_owned())) };
        let prefetch = prefetch.max(1);
        let (deliveries, receiver) = mpsc::channel(usize::from(prefetch));
        let (link, users) = self.consuming_link();
        let task = consumer::Task {
            source,
            prefetch,
            delivery_limit: self.options.delivery_limit,
            link,
            deliveries,
            setups: Arc::clone(&self.setups),
            closing: self.closing.subscribe(),
            remade: self.declarer.remade(),
            declarer: Arc::clone(&self.declarer),
            trial: Arc::clone(&self.trial),
        };
        tokio::spawn(async move {
            task.run().await;
            users.fetch_sub(1, Ordering::Relaxed);
            drop(alive);
        });
        Ok(receiver)
    }

    /// Publishes until the broker has confirmed it, for as long as a publish may take.
    async fn store(&self, source: &Source, message: Message) -> Result<(), BrokerError> {
        let stored = timeout(self.options.confirm_timeout, self.publish_until_stored(source, message));
        stored.await.map_err(|_| BrokerError::TimedOut)?
    }

    async fn publish_until_stored(&self, source: &Source, message: Message) -> Result<(), BrokerError> {
        let mut end = BrokerError::TimedOut;
        for _ in 0..TRIES {
            let live = self.publishing.live_within(self.options.patience).await?;
            let sent = Instant::now();
            let outcome = match source {
                Source::Of(queue) => match timeout(apart::SILENT, self.publish_once(queue, &message)).await {
                    Ok(outcome) => outcome,
                    Err(_) => {
                        self.silent(queue, &live, sent).await?;
                        end = BrokerError::TimedOut;
                        continue;
                    }
                },
                _ => self.parcels.publish(message.clone()).await,
            };
            match outcome {
                Outcome::Stored => return Ok(()),
                Outcome::Returned => {
                    if self.declarer.again(source, sent).await? {
                        self.forget_channels(source);
                    }
                    end = BrokerError::Returned { queue: source.name() };
                }
                Outcome::Nacked => {
                    let why = "it is full or too few of its replicas are there".to_owned();
                    return Err(BrokerError::Refused { queue: source.name(), why });
                }
                Outcome::Lost(why) => end = BrokerError::Away(why),
            }
        }
        Err(end)
    }

    async fn publish_once(&self, queue: &Queue, message: &Message) -> Outcome {
        let apart = self.apart.publisher(queue);
        let outcome = apart.as_ref().unwrap_or_else(|| self.publisher(queue)).publish(message.clone()).await;
        if outcome == Outcome::Stored {
            self.apart.heard(queue);
        }
        outcome
    }

    /// Sees to a queue that did not confirm what it was sent at `sent` over `live`.
    async fn silent(&self, queue: &Queue, live: &Arc<Live>, sent: Instant) -> Result<(), BrokerError> {
        let state = self.publishing.state();
        let stood = state.live.is_some_and(|now| Arc::ptr_eq(&now, live));
        if !stood || state.blocked.is_some() {
            return Ok(());
        }
        let alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(alive) = alive else { return Ok(()) };
        let begin = || {
            let (link, silence) = (self.publishing.clone(), self.options.confirm_timeout);
            Publisher::start(link, Doubt::Channel, silence, self.closing.subscribe(), alive)
        };
        match self.apart.silent(queue, begin) {
            Silence::SetApart => {
                tracing::warn!(queue = queue.name(), "the queue confirms nothing: it gets a channel of its own");
                // what waits behind it on the others' channel is sent again over another
                self.publisher(queue).renew();
            }
            Silence::Waits => {}
            Silence::Lost => {
                if self.declarer.anew(queue, sent).await? {
                    self.apart.heard(queue);
                    self.forget_channels(&Source::Of(queue.clone()));
                }
            }
        }
        Ok(())
    }

    /// Whatever channel used the deleted queue may mistake the new one for it.
    fn forget_channels(&self, source: &Source) {
        match source {
            Source::Of(queue) => self.publisher(queue).renew(),
            _ => self.parcels.renew(),
        }
    }

    /// What the queue publishes with, as long as it takes messages.
    fn publisher(&self, queue: &Queue) -> &Publisher {
        let mut hasher = DefaultHasher::new();
        queue.hash(&mut hasher);
        &self.publishers[(hasher.finish() % self.publishers.len() as u64) as usize]
    }
}

#[async_trait]
impl Broker for RabbitMq {
    async fn declare(&self, queues: &[Queue]) -> Result<(), BrokerError> {
        let sources: Vec<_> = queues.iter().cloned().map(Source::Of).collect();
        self.declarer.declare(&sources).await
    }

    async fn publish(&self, wake_up: &WakeUp) -> Result<(), BrokerError> {
        let queue = Queue::of(wake_up);
        let message = Message::of(wake_up, &queue)?;
        self.store(&Source::Of(queue), message).await
    }

    async fn consume(&self, queue: Queue, prefetch: u16) -> Result<mpsc::Receiver<Delivery>, BrokerError> {
        self.start_consumer(Source::Of(queue), prefetch)
    }

    async fn consume_dead(&self, prefetch: u16) -> Result<mpsc::Receiver<Delivery>, BrokerError> {
        self.start_consumer(Source::Dead, prefetch)
    }

    async fn open_outlets(&self, outlets: &[Outlet]) -> Result<(), BrokerError> {
        // one after the other: that one cannot be made so must not keep the others from being made
        let mut end = Ok(());
        for outlet in outlets {
            end = end.and(self.declarer.declare(&[Source::Outlet(outlet.clone())]).await);
        }
        end
    }

    async fn hand_over(&self, parcel: &Parcel) -> Result<(), BrokerError> {
        let kib = u32::try_from((parcel.body.len() / 1024 + 1).min(PARCELS_MAX_KIB)).unwrap_or(u32::MAX);
        let _room = self.room_for_parcels.acquire_many(kib).await;
        self.store(&Source::Outlet(parcel.outlet.clone()), Message::of_parcel(parcel)).await
    }

    async fn depths(&self, queues: &[String]) -> Result<Vec<Depth>, BrokerError> {
        self.declarer.depths(queues).await
    }

    fn health(&self) -> BrokerHealth {
        let (out, back) = (self.publishing.state(), self.control.state());
        let connected = out.live.is_some() && back.live.is_some();
        let since = out.since.max(back.since);
        let detail = match (&out.live, &out.blocked) {
            (None, _) => out.detail,
            (Some(_), _) if back.live.is_none() => back.detail,
            (Some(_), Some(reason)) => format!("{}, which takes no messages at present: {reason}", out.detail),
            (Some(_), None) => out.detail,
        };
        BrokerHealth { connected, blocked: out.blocked.is_some(), since, detail }
    }

    async fn close(&self) {
        self.closing.send_replace(true);
        self.alive.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut settled = self.settled.lock().await;
        let _ = timeout(SETTLE_TIMEOUT, settled.recv()).await;
        self.closing_links.send_replace(true);
        let mut links = vec![self.publishing.clone()];
        {
            let consuming = self.consuming.lock().unwrap_or_else(PoisonError::into_inner);
            links.extend(consuming.iter().map(|shared| shared.link.clone()));
        }
        let all = futures_util::future::join_all(links.iter().map(Link::ended));
        let _ = timeout(CLOSE_TIMEOUT, futures_util::future::join(all, self.trial.ended())).await;
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        self.closing.send_replace(true);
        self.closing_links.send_replace(true);
    }
}

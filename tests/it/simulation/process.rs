//! One Onward of a simulation: the product's own intake, relay, scheduler, workers, carriers and watcher of copies, wired as the
//! service wires them, over a store, a broker and a network that are simulated.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use onward::{
    admission::Admission,
    broker::{Broker, Queue},
    client::FhirClient,
    config::{Limits, Registry},
    conversation::Conversation,
    delivery::{Deliveries, copies::Copies},
    domain::Side,
    intake::Intake,
    lanes::{Carrier, Endpoints, Relay, Worker, consumers::Consumers, heart::Heart, prober, scheduler::Scheduler},
    status::Status,
    store::Store,
    writeback::WriteBacks,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    broker::Connected,
    hearts::Hearts,
    net::{Servers, Way},
    store::Reached,
    world::{Replica, World},
};
use crate::support::memory::Memory;

/// What is published and not done in this time is published again.
pub const REPUBLISH_AFTER: Duration = Duration::from_secs(5);
const DRAIN: Duration = Duration::from_secs(10);
const PREFETCH: u16 = 4;
const BASE_URL: &str = "http://127.0.0.1:10";

/// What all replicas stand on.
#[derive(Clone)]
pub struct Ground {
    pub world: Arc<World>,
    pub memory: Arc<Memory>,
    pub hearts: Arc<Hearts>,
    pub servers: Arc<Servers>,
    pub registry: Arc<ArcSwap<Registry>>,
    pub limits: &'static Limits,
    /// Whether there are copies to be watched.
    pub has_polled: bool,
}

/// See the module's documentation.
pub struct Process {
    pub replica: Arc<Replica>,
    pub store: Arc<dyn Store>,
    pub intake: Intake,
    pub status: Status,
    pub conversation: Conversation,
    broker: Arc<dyn Broker>,
    stop_lanes: CancellationToken,
    stop_relay: CancellationToken,
    consumers: [Consumers; 2],
    loops: Vec<JoinHandle<()>>,
    relay: JoinHandle<()>,
}

impl Process {
    /// Starts one in the place of `index`.
    pub fn start(ground: &Ground, index: usize) -> Self {
        let replica = ground.world.replica(index);
        ground.world.tell(&replica, || "starts".into());
        let reached = Reached::new(Arc::clone(&ground.memory), Arc::clone(&ground.hearts), Arc::clone(&replica));
        let store: Arc<dyn Store> = Arc::new(reached);
        let broker: Arc<dyn Broker> = Arc::new(Connected(Arc::clone(&replica)));
        let way = Way { servers: Arc::clone(&ground.servers), replica: Arc::clone(&replica) };
        let client = FhirClient::over(Arc::new(way));
        let registry = &ground.registry;
        let (stop_lanes, stop_relay) = (CancellationToken::new(), CancellationToken::new());
        let (relay, relay_task) = Relay::start(store.clone(), broker.clone(), stop_relay.clone());
        let status = Status::new(store.clone(), relay.clone(), registry.clone());
        let base_url = BASE_URL.to_owned();
        let intake = Intake {
            store: store.clone(),
            relay: relay.clone(),
            registry: registry.clone(),
            client: client.clone(),
            base_url: base_url.clone(),
            reading: Default::default(),
            validator: Default::default(),
            admission: Admission::new(ground.limits),
        };
        let deliveries =
            Deliveries::new(store.clone(), broker.clone(), client.clone(), registry.clone(), base_url.clone());
        let deliveries = Arc::new(deliveries);
        let write_backs = WriteBacks::new(store.clone(), client.clone(), registry.clone(), base_url);
        let endpoints = Endpoints::new(store.clone(), registry.load().retry, stop_lanes.clone());
        endpoints.set(registry.load().terms());
        let mut loops = vec![tokio::spawn(endpoints.clone().run(stop_lanes.clone()))];
        let mut consumers = |carrier: Arc<dyn Carrier>, queues: &[Queue]| {
            let worker = Arc::new(Worker::new(store.clone(), relay.clone(), endpoints.clone(), carrier));
            loops.push(tokio::spawn(prober::run(worker.clone(), stop_lanes.clone())));
            let mut consumers = Consumers::new(broker.clone(), worker, PREFETCH, stop_lanes.clone());
            consumers.set(queues);
            consumers
        };
        let queue = |side, to: &str| Queue { side, to: to.to_owned() };
        let now = registry.load();
        let inboxes: Vec<_> = now.inboxes.keys().map(|id| queue(Side::Delivery, id.as_str())).collect();
        let systems: Vec<_> = now.systems.keys().map(|id| queue(Side::WriteBack, id.as_str())).collect();
        let consumers = [consumers(deliveries.clone(), &inboxes), consumers(Arc::new(write_backs), &systems)];
        let scheduler = Scheduler {
            store: store.clone(),
            broker: broker.clone(),
            relay: relay.clone(),
            endpoints: endpoints.clone(),
            republish_after: REPUBLISH_AFTER,
            rejections: deliveries,
        };
        loops.push(tokio::spawn(scheduler.run(stop_lanes.clone())));
        // it beats until nothing is in hand any more
        tokio::spawn(Heart { store: store.clone(), relay: relay.clone() }.run(stop_relay.clone()));
        let conversation = Conversation {
            store: store.clone(),
            relay: relay.clone(),
            registry: registry.clone(),
            client: client.clone(),
            reading: Default::default(),
            validator: Default::default(),
            base_url: BASE_URL.to_owned(),
        };
        if ground.has_polled {
            let (store, registry, status) = (store.clone(), registry.clone(), status.clone());
            let conversation = conversation.clone();
            let copies = Copies { store, client, registry, status, conversation, endpoints };
            loops.push(tokio::spawn(copies.run(stop_lanes.clone())));
        }
        let relay = relay_task;
        Self { replica, store, intake, status, conversation, broker, stop_lanes, stop_relay, consumers, loops, relay }
    }

    /// Ends as a service does that is asked to: what is in hand is finished, within bounds.
    pub async fn stop(self) {
        self.replica.world.tell(&self.replica, || "is asked to end".into());
        self.stop_lanes.cancel();
        let [deliveries, write_backs] = self.consumers;
        tokio::join!(deliveries.drain(DRAIN), write_backs.drain(DRAIN));
        for task in self.loops {
            let _ = tokio::time::timeout(DRAIN, task).await;
        }
        self.stop_relay.cancel();
        let _ = tokio::time::timeout(DRAIN, self.relay).await;
        self.broker.close().await;
        // it may have died meanwhile
        let _ = tokio::time::timeout(DRAIN, self.store.close()).await;
        self.replica.die();
    }
}

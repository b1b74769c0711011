//! What runs beside the listeners: lanes, relay, and what looks after them.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::queues;
use crate::{
    alerts::Teller,
    broker::Broker,
    client::FhirClient,
    config::{Config, Registry, Role},
    conversation::Conversation,
    delivery::{Deliveries, copies::Copies},
    domain::Side,
    fhir::XmlWriter,
    lanes::{Carrier, Endpoints, Relay, Worker, consumers::Consumers, prober, scheduler::Scheduler},
    status::{Status, deadlines::Deadlines},
    store::Store,
    subscriptions::Notifier,
    writeback::WriteBacks,
};
#[cfg(feature = "pages")]
use crate::{
    notices::{self, Noticing},
    resolve::Resolver,
};

/// What the lanes are made of.
pub(super) struct Parts {
    pub(super) endpoints: Endpoints,
    pub(super) store: Arc<dyn Store>,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) registry: Arc<ArcSwap<Registry>>,
    pub(super) relay: Relay,
    pub(super) client: FhirClient,
    pub(super) base_url: String,
    pub(super) xml: Arc<XmlWriter>,
    pub(super) let_go: CancellationToken,
}

impl Parts {
    pub(super) fn start_lanes(
        &self,
        config: &Config,
        (status, conversation): (Status, Conversation),
        changes: watch::Receiver<()>,
        stop: &CancellationToken,
        died: &CancellationToken,
    ) -> Vec<JoinHandle<()>> {
        let (store, client, registry) = (&self.store, &self.client, &self.registry);
        let deliveries = Arc::new(Deliveries::new(
            store.clone(),
            self.broker.clone(),
            client.clone(),
            registry.clone(),
            self.base_url.clone(),
        ));
        let write_backs = WriteBacks::new(store.clone(), client.clone(), registry.clone(), self.base_url.clone());
        let endpoints = &self.endpoints;
        let mut parts = vec![guarded(died, stop, endpoints.clone().run(stop.clone()))];
        let mut consumers = |carrier: Arc<dyn Carrier>| {
            let worker = Worker::new(store.clone(), self.relay.clone(), endpoints.clone(), carrier);
            let worker = Arc::new(worker.letting_go(self.let_go.clone()));
            parts.push(guarded(died, stop, prober::run(worker.clone(), stop.clone())));
            Consumers::new(self.broker.clone(), worker, config.broker.prefetch, stop.clone())
        };
        let roles = config.server.roles;
        let mut sides = Vec::new();
        if roles.has(Role::Delivery) {
            sides.push((Side::Delivery, consumers(deliveries.clone())));
        }
        if roles.has(Role::WriteBack) {
            sides.push((Side::WriteBack, consumers(Arc::new(write_backs))));
        }
        let scheduler = Scheduler {
            store: store.clone(),
            broker: self.broker.clone(),
            relay: self.relay.clone(),
            endpoints: endpoints.clone(),
            republish_after: config.broker.republish_after,
            rejections: deliveries,
        };
        let copies = Copies {
            store: store.clone(),
            client: client.clone(),
            registry: registry.clone(),
            status,
            conversation,
            endpoints: endpoints.clone(),
        };
        let deadlines = Deadlines {
            store: store.clone(),
            relay: self.relay.clone(),
            registry: registry.clone(),
            base_url: self.base_url.clone(),
        };
        let teller = Teller {
            store: store.clone(),
            broker: self.broker.clone(),
            client: client.clone(),
            told: config.alerts.clone(),
        };
        #[cfg(feature = "pages")]
        if roles.has(Role::Scheduler)
            && let Some(smtp) = config.smtp.clone()
        {
            let outbound = Arc::new(config.outbound.clone());
            let post = Arc::new(notices::smtp::Server { smtp: smtp.clone(), resolver: Resolver::system(), outbound });
            let noticing = Noticing {
                store: store.clone(),
                registry: registry.clone(),
                post,
                every: smtp.every,
                base_url: self.base_url.clone(),
            };
            parts.push(guarded(died, stop, noticing.run(stop.clone())));
        }
        let notifier = Notifier {
            store: store.clone(),
            client: client.clone(),
            registry: registry.clone(),
            xml: self.xml.clone(),
            base_url: self.base_url.clone(),
        };
        let consuming =
            queues::consume(sides, store.clone(), registry.clone(), changes.clone(), config.limits.drain, stop.clone());
        parts.push(guarded(died, stop, consuming));
        if roles.has(Role::Scheduler) {
            parts.push(guarded(died, stop, scheduler.run(stop.clone())));
            parts.push(guarded(died, stop, deadlines.run(stop.clone())));
            parts.push(guarded(died, stop, teller.run(stop.clone())));
            parts.push(guarded(died, stop, notifier.run(stop.clone())));
        }
        if roles.has(Role::Delivery) {
            let outlets = queues::open_outlets(self.broker.clone(), registry.clone(), changes, stop.clone());
            parts.push(guarded(died, stop, outlets));
            parts.push(guarded(died, stop, copies.run(stop.clone())));
        }
        parts
    }
}

/// Runs a part of the service; if it ends before `stop`, however it does, `died` is set.
pub(super) fn guarded(
    died: &CancellationToken,
    stop: &CancellationToken,
    part: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<()> {
    struct Alarm(CancellationToken, CancellationToken);
    impl Drop for Alarm {
        fn drop(&mut self) {
            if !self.1.is_cancelled() {
                tracing::error!("a part of the service has ended by itself");
                self.0.cancel();
            }
        }
    }
    let alarm = Alarm(died.clone(), stop.clone());
    tokio::spawn(async move {
        let _alarm = alarm;
        part.await;
    })
}

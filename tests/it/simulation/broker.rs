//! A broker that promises as little as the port allows: it loses, doubles, reorders and forgets, and hands out again what was in
//! the hands of a consumer whose connection broke.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use onward::{
    broker::{Broker, BrokerError, BrokerHealth, Delivery, Queue, Receipt, Verdict},
    domain::{Clock, WakeUp},
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc},
    task::AbortHandle,
};

use super::{
    schedule::Trouble,
    world::{Place, Replica, World},
};

const DEAD: &str = "onward.dead";

/// The broker's own side.
#[derive(Default)]
pub struct Hall {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    lines: BTreeMap<String, Line>,
    /// What consumers hold, by tag.
    held: BTreeMap<u64, Held>,
    last_tag: u64,
    /// What hands out, by replica.
    pumps: Vec<(usize, AbortHandle)>,
}

#[derive(Default)]
struct Line {
    waiting: Vec<WakeUp>,
    changed: Arc<Notify>,
}

struct Held {
    replica: usize,
    queue: String,
    wake_up: WakeUp,
    _place: OwnedSemaphorePermit,
}

/// A replica's connection to it.
pub struct Connected(pub Arc<Replica>);

struct Ticket {
    replica: Arc<Replica>,
    tag: u64,
    is_settled: bool,
}

impl Inner {
    fn line(&mut self, queue: &str) -> &mut Line {
        self.lines.entry(queue.to_owned()).or_default()
    }

    fn push(&mut self, queue: &str, wake_up: WakeUp) {
        let line = self.line(queue);
        line.waiting.push(wake_up);
        line.changed.notify_one();
    }

    fn put_back(&mut self, tag: u64, queue: Option<&str>) {
        let Some(held) = self.held.remove(&tag) else { return };
        let line = self.line(queue.unwrap_or(&held.queue));
        line.waiting.insert(0, held.wake_up);
        line.changed.notify_one();
    }
}

impl Hall {
    /// Loses all that waits and all that is held.
    pub fn forget(&self) {
        let mut inner = self.inner.lock().unwrap();
        inner.held.clear();
        inner.lines.values_mut().for_each(|line| line.waiting.clear());
    }

    /// Breaks a replica's connection, or all of them: what was held goes back, and now and then counts as given up. A dead
    /// replica consumes no more.
    pub fn disconnect(&self, world: &World, replica: Option<usize>) {
        let is_meant = |index: usize| replica.is_none_or(|r| r == index);
        let mut inner = self.inner.lock().unwrap();
        let tags: Vec<_> = inner.held.iter().filter(|(_, h)| is_meant(h.replica)).map(|(tag, _)| *tag).collect();
        for tag in tags {
            let dead = (world.draw(8) == 0).then_some(DEAD);
            inner.put_back(tag, dead);
        }
    }

    /// A replica's consumers are gone for good.
    pub fn leave(&self, replica: usize) {
        let mut inner = self.inner.lock().unwrap();
        inner.pumps.retain(|(index, pump)| {
            if *index == replica {
                pump.abort();
            }
            *index != replica
        });
        // a call that one of them was woken by belongs to another
        inner.lines.values().for_each(|line| line.changed.notify_one());
    }
}

impl Connected {
    fn world(&self) -> &Arc<World> {
        &self.0.world
    }

    fn serve(&self, queue: String, prefetch: u16) -> mpsc::Receiver<Delivery> {
        let (deliveries, receiver) = mpsc::channel(usize::from(prefetch));
        let pump = tokio::spawn(hand_out(Arc::clone(&self.0), queue, prefetch, deliveries)).abort_handle();
        self.world().hall.inner.lock().unwrap().pumps.push((self.0.index, pump));
        receiver
    }
}

async fn hand_out(replica: Arc<Replica>, queue: String, prefetch: u16, deliveries: mpsc::Sender<Delivery>) {
    let world = Arc::clone(&replica.world);
    let places = Arc::new(Semaphore::new(usize::from(prefetch)));
    let changed = Arc::clone(&world.hall.inner.lock().unwrap().line(&queue).changed);
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        while world.is_away(Place::Broker) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let found = {
            // now and then out of turn
            let out_of_turn = world.draw(4) == 0;
            let mut guard = world.hall.inner.lock().unwrap();
            let inner = &mut *guard;
            let waiting = &mut inner.line(&queue).waiting;
            let found = if waiting.is_empty() {
                None
            } else {
                let at = if out_of_turn { waiting.len() - 1 } else { 0 };
                Some(waiting.remove(at))
            };
            found.map(|wake_up| {
                inner.last_tag += 1;
                let held =
                    Held { replica: replica.index, queue: queue.clone(), wake_up: wake_up.clone(), _place: place };
                inner.held.insert(inner.last_tag, held);
                (inner.last_tag, wake_up)
            })
        };
        let Some((tag, wake_up)) = found else {
            changed.notified().await;
            continue;
        };
        let ticket = Ticket { replica: Arc::clone(&replica), tag, is_settled: false };
        if deliveries.send(Delivery::new(wake_up, Box::new(ticket))).await.is_err() {
            changed.notify_one();
            return;
        }
    }
}

#[async_trait]
impl Receipt for Ticket {
    async fn settle(mut self: Box<Self>, verdict: Verdict) {
        let what = if verdict == Verdict::Done { "ack" } else { "release" };
        let fate = self.replica.step(Place::Broker, what, String::new).await;
        self.is_settled = true;
        let world = &self.replica.world;
        match fate.trouble {
            // an acknowledgement that does not arrive is a connection that broke
            Some(Trouble::FailBefore | Trouble::Late(_) | Trouble::Refused) => {
                world.hall.disconnect(world, Some(self.replica.index));
            }
            _ if verdict == Verdict::Done => {
                world.hall.inner.lock().unwrap().held.remove(&self.tag);
            }
            _ => world.hall.inner.lock().unwrap().put_back(self.tag, None),
        }
        self.replica.done(&fate).await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.is_settled {
            self.replica.world.hall.inner.lock().unwrap().put_back(self.tag, None);
        }
    }
}

#[async_trait]
impl Broker for Connected {
    async fn declare(&self, _queues: &[Queue]) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn publish(&self, wake_up: &WakeUp) -> Result<(), BrokerError> {
        let detail = || format!("{} {}", wake_up.side, wake_up.seq);
        let fate = self.0.step(Place::Broker, "publish", detail).await;
        let queue = Queue::of(wake_up).name();
        let put = |times: usize| {
            let mut inner = self.world().hall.inner.lock().unwrap();
            (0..times).for_each(|_| inner.push(&queue, wake_up.clone()));
        };
        let away = || Err(BrokerError::Away("a simulated trouble".into()));
        let result = match fate.trouble {
            _ if self.world().is_away(Place::Broker) => away(),
            Some(Trouble::FailBefore) => away(),
            Some(Trouble::FailAfter) => {
                put(1);
                away()
            }
            Some(Trouble::Late(seconds)) => {
                let (world, wake_up, queue) = (Arc::clone(self.world()), wake_up.clone(), queue.clone());
                self.world().later(seconds, async move {
                    world.hall.inner.lock().unwrap().push(&queue, wake_up);
                });
                Err(BrokerError::TimedOut)
            }
            Some(Trouble::Twice) => {
                put(2);
                Ok(())
            }
            // confirmed, and lost
            Some(Trouble::Refused) => Ok(()),
            _ => {
                put(1);
                Ok(())
            }
        };
        self.0.done(&fate).await;
        result
    }

    async fn consume(&self, queue: Queue, prefetch: u16) -> Result<mpsc::Receiver<Delivery>, BrokerError> {
        Ok(self.serve(queue.name(), prefetch))
    }

    async fn consume_dead(&self, prefetch: u16) -> Result<mpsc::Receiver<Delivery>, BrokerError> {
        Ok(self.serve(DEAD.to_owned(), prefetch))
    }

    fn health(&self) -> BrokerHealth {
        let connected = !self.world().is_away(Place::Broker);
        BrokerHealth { connected, blocked: false, since: self.world().now(), detail: "simulated".into() }
    }

    async fn close(&self) {
        self.world().hall.leave(self.0.index);
        self.world().hall.disconnect(self.world(), Some(self.0.index));
    }
}

//! The broker of an installation without RabbitMQ: bounded queues in this process.
//!
//! Nothing is written down. After a restart the queues are empty and the store's outbox fills them again.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use async_trait::async_trait;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::{Broker, BrokerError, BrokerHealth, Delivery, Depth, Queue, Receipt, Verdict};
use crate::domain::{
    clock::{Clock, SystemClock, Timestamp},
    lane::WakeUp,
};

/// The limits of the embedded broker.
#[derive(Debug, Clone)]
pub struct Options {
    /// Wake-ups that one queue holds, waiting or unacknowledged; more are refused. About 300 bytes each.
    pub capacity: usize,
    /// Times that a wake-up may come back unacknowledged before it goes to the dead queue.
    pub delivery_limit: u32,
}

/// Queues in memory, behind the same port as RabbitMQ. Clones share them.
#[derive(Clone)]
pub struct Embedded {
    hall: Arc<Hall>,
}

/// All the queues there are.
struct Hall {
    options: Options,
    since: Timestamp,
    lines: RwLock<HashMap<Queue, Arc<Line>>>,
    dead: Arc<Line>,
    closing: watch::Sender<bool>,
}

/// One queue.
#[derive(Default)]
struct Line {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// By place in the line, so that what comes back stands where it stood.
    waiting: BTreeMap<u64, Entry>,
    last_place: u64,
    unacknowledged: usize,
}

struct Entry {
    wake_up: WakeUp,
    returns: u32,
}

/// An entry that is with a worker.
struct Ticket {
    hall: Arc<Hall>,
    line: Arc<Line>,
    place: u64,
    entry: Option<Entry>,
    _prefetch: OwnedSemaphorePermit,
}

impl Default for Options {
    fn default() -> Self {
        Self { capacity: 100_000, delivery_limit: 20 }
    }
}

// === impl Embedded ===

impl Embedded {
    /// A broker without queues yet.
    pub fn new(options: Options) -> Self {
        let hall = Hall {
            options,
            since: SystemClock.now(),
            lines: RwLock::default(),
            dead: Arc::default(),
            closing: watch::Sender::new(false),
        };
        Self { hall: Arc::new(hall) }
    }

    fn open(&self) -> Result<(), BrokerError> {
        if *self.hall.closing.borrow() { Err(BrokerError::Away("it was closed".to_owned())) } else { Ok(()) }
    }

    fn serve(&self, line: Arc<Line>, prefetch: u16) -> Result<mpsc::Receiver<Delivery>, BrokerError> {
        self.open()?;
        let prefetch = usize::from(prefetch.max(1));
        let (deliveries, receiver) = mpsc::channel(prefetch);
        let hall = Arc::clone(&self.hall);
        tokio::spawn(async move {
            let mut closing = hall.closing.subscribe();
            tokio::select! {
                () = hand_out(Arc::clone(&hall), Arc::clone(&line), prefetch, &deliveries) => {}
                () = deliveries.closed() => {}
                _ = closing.wait_for(|closing| *closing) => {}
            }
            // a call that woke this consumer and was not answered belongs to the next one
            line.changed.notify_one();
        });
        Ok(receiver)
    }
}

#[async_trait]
impl Broker for Embedded {
    async fn declare(&self, queues: &[Queue]) -> Result<(), BrokerError> {
        self.open()?;
        for queue in queues {
            self.hall.line(queue);
        }
        Ok(())
    }

    async fn publish(&self, wake_up: &WakeUp) -> Result<(), BrokerError> {
        self.open()?;
        let queue = Queue::of(wake_up);
        let entry = Entry { wake_up: wake_up.clone(), returns: 0 };
        match self.hall.line(&queue).push(entry, self.hall.options.capacity) {
            None => Ok(()),
            Some(_) => Err(BrokerError::Refused { queue: queue.name(), why: "it is full".to_owned() }),
        }
    }

    async fn consume(&self, queue: Queue, prefetch: u16) -> Result<mpsc::Receiver<Delivery>, BrokerError> {
        self.serve(self.hall.line(&queue), prefetch)
    }

    async fn consume_dead(&self, prefetch: u16) -> Result<mpsc::Receiver<Delivery>, BrokerError> {
        self.serve(Arc::clone(&self.hall.dead), prefetch)
    }

    async fn depths(&self, queues: &[String]) -> Result<Vec<Depth>, BrokerError> {
        self.open()?;
        let lines = self.hall.lines.read().unwrap_or_else(PoisonError::into_inner);
        let told = lines.iter().map(|(queue, line)| {
            let state = line.state();
            let (ready, held) = (state.waiting.len() as u64, Some(state.unacknowledged as u64));
            Depth { queue: queue.name(), ready, held, readers: None }
        });
        Ok(told.filter(|depth| queues.contains(&depth.queue)).collect())
    }

    fn health(&self) -> BrokerHealth {
        let connected = self.open().is_ok();
        let detail = if connected { "embedded" } else { "embedded, closed" };
        BrokerHealth { connected, blocked: false, since: self.hall.since, detail: detail.to_owned() }
    }

    async fn close(&self) {
        self.hall.closing.send_replace(true);
    }
}

/// Hands the entries of one line to one consumer, as many as it may hold.
async fn hand_out(hall: Arc<Hall>, line: Arc<Line>, prefetch: usize, deliveries: &mpsc::Sender<Delivery>) {
    let permits = Arc::new(Semaphore::new(prefetch));
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        let (place, entry) = loop {
            if let Some(next) = line.pop() {
                break next;
            }
            line.changed.notified().await;
        };
        let wake_up = entry.wake_up.clone();
        let ticket =
            Ticket { hall: Arc::clone(&hall), line: Arc::clone(&line), place, entry: Some(entry), _prefetch: permit };
        if deliveries.send(Delivery::new(wake_up, Box::new(ticket))).await.is_err() {
            return;
        }
    }
}

// === impl Hall ===

impl Hall {
    fn line(&self, queue: &Queue) -> Arc<Line> {
        if let Some(line) = self.lines.read().unwrap_or_else(PoisonError::into_inner).get(queue) {
            return Arc::clone(line);
        }
        let mut lines = self.lines.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lines.entry(queue.clone()).or_default())
    }
}

// === impl Line ===

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an entry at the end of the line, or gives it back where the line is full.
    fn push(&self, entry: Entry, capacity: usize) -> Option<Entry> {
        {
            let mut state = self.state();
            if state.waiting.len() + state.unacknowledged >= capacity {
                return Some(entry);
            }
            state.last_place += 1;
            let place = state.last_place;
            state.waiting.insert(place, entry);
        }
        self.changed.notify_one();
        None
    }

    fn pop(&self) -> Option<(u64, Entry)> {
        let mut state = self.state();
        let next = state.waiting.pop_first()?;
        state.unacknowledged += 1;
        Some(next)
    }

    fn forget(&self) {
        self.state().unacknowledged -= 1;
    }

    fn put_back(&self, place: u64, entry: Entry) {
        {
            let mut state = self.state();
            state.unacknowledged -= 1;
            state.waiting.insert(place, entry);
        }
        self.changed.notify_one();
    }
}

// === impl Ticket ===

#[async_trait]
impl Receipt for Ticket {
    async fn settle(mut self: Box<Self>, verdict: Verdict) {
        if verdict == Verdict::Done && self.entry.take().is_some() {
            self.line.forget();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(mut entry) = self.entry.take() else { return };
        entry.returns += 1;
        let is_dead = Arc::ptr_eq(&self.line, &self.hall.dead);
        if is_dead || entry.returns <= self.hall.options.delivery_limit {
            return self.line.put_back(self.place, entry);
        }
        match self.hall.dead.push(entry, self.hall.options.capacity) {
            None => self.line.forget(),
            Some(entry) => self.line.put_back(self.place, entry),
        }
    }
}

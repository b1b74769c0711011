//! The load: referrals sent at a fixed rate or by so many who each wait for their loop to be closed.
//!
//! At a fixed rate every latency counts from the moment at which the request was due, so that a service which makes the
//! sender wait does not look faster for it (coordinated omission).

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use hyper::Method;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    peer::book::now_us,
    plan::Plan,
    referral::{self, Fate, Maker},
};
use crate::demo::caller::{Call, Caller, FHIR_JSON};

/// A request that is not taken now is sent again so often.
const TRIES: u32 = 600;
const PAUSE: Duration = Duration::from_millis(100);
/// A loop that is not closed by then is not waited for any more; it is counted at the end.
const PATIENCE: Duration = Duration::from_secs(60);
/// At a fixed rate at most so many requests are on their way; what is due beyond that waits, and its waiting counts.
const ON_THEIR_WAY: usize = 512;
/// So many of the latest Tasks are known to those who look.
const LATEST: usize = 1024;

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Accepted, and nothing after it is waited for.
    Accept,
    /// Accepted and delivered; its system has no record to write into.
    Deliver,
    /// A whole loop: `received` and `accepted` written back.
    Loop,
    /// `received`, `accepted`, `in-progress` and `completed` written back.
    Life,
}

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// So many a second, whatever happens.
    Rate(f64),
    /// So many at a time, each followed by the next.
    Concurrency(usize),
}

/// Which inboxes are referred to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// All of them.
    All,
    /// Only the one with this number.
    Only(usize),
    /// All but the one with this number.
    AllBut(usize),
}

/// One referral as its sender sees it; microseconds since 1970, 0 is never.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sent {
    /// When it was due.
    pub due: i64,
    /// When it was acknowledged.
    pub acknowledged: i64,
}

/// See the module's documentation. Lives on one thread.
pub struct Load {
    plan: Plan,
    run: String,
    onward: Vec<String>,
    caller: Caller,
    maker: Maker,
    sent: RefCell<Vec<Sent>>,
    waiting: RefCell<HashMap<u32, oneshot::Sender<()>>>,
    closed: Cell<u64>,
    acknowledged: Cell<u64>,
    turned_away: Cell<u64>,
    failed: RefCell<Option<String>>,
    /// Numbers and Tasks of the latest, for those who look.
    latest: RefCell<VecDeque<(u32, String)>>,
    places: Semaphore,
}

/// The moments at which something is due, as they come. From a thread of its own: the runtime's timer has a grain of a
/// millisecond, which would be a good part of what is measured.
fn ticks(rate: f64, stop: CancellationToken) -> mpsc::UnboundedReceiver<i64> {
    let (tick, ticks) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let (begun, begun_us) = (std::time::Instant::now(), now_us());
        for count in 0u32.. {
            let due = Duration::from_secs_f64(f64::from(count) / rate);
            if let Some(wait) = due.checked_sub(begun.elapsed()) {
                std::thread::sleep(wait);
            }
            let due_us = begun_us + i64::try_from(due.as_micros()).unwrap_or_default();
            if stop.is_cancelled() || tick.send(due_us).is_err() {
                return;
            }
        }
    });
    ticks
}

// === impl Shape ===

impl Shape {
    fn answers(self) -> u8 {
        match self {
            Self::Accept | Self::Deliver => 0,
            Self::Loop => 1,
            Self::Life => 3,
        }
    }
}

// === impl To ===

impl To {
    fn takes(self, inbox: usize) -> bool {
        match self {
            Self::All => true,
            Self::Only(one) => inbox == one,
            Self::AllBut(one) => inbox != one,
        }
    }
}

// === impl Sent ===

impl Sent {
    /// Whether a referral of this number was sent at all.
    pub fn is_one(&self) -> bool {
        self.due > 0
    }
}

// === impl Load ===

impl Load {
    /// Nothing is sent yet. `closed` tells which loops are closed.
    pub fn new(plan: Plan, run: String, onward: Vec<String>, mut closed: mpsc::UnboundedReceiver<u32>) -> Rc<Self> {
        let load = Rc::new(Self {
            plan,
            run,
            onward,
            caller: Caller::new(),
            maker: Maker::new(),
            sent: RefCell::default(),
            waiting: RefCell::default(),
            closed: Cell::new(0),
            acknowledged: Cell::new(0),
            turned_away: Cell::new(0),
            failed: RefCell::new(None),
            latest: RefCell::default(),
            places: Semaphore::new(ON_THEIR_WAY),
        });
        let listening = load.clone();
        tokio::task::spawn_local(async move {
            while let Some(number) = closed.recv().await {
                listening.closed.set(listening.closed.get() + 1);
                if let Some(waiting) = listening.waiting.borrow_mut().remove(&number) {
                    let _ = waiting.send(());
                }
            }
        });
        load
    }

    /// How they speak to Onward.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Sends until `stop`, and waits until all that was begun is acknowledged.
    pub async fn send(self: &Rc<Self>, shape: Shape, pace: Pace, to: To, stop: CancellationToken) {
        let all = TaskTracker::new();
        match pace {
            Pace::Concurrency(count) => {
                for _ in 0..count {
                    all.spawn_local(self.clone().one_after_another(shape, to, stop.clone()));
                }
            }
            Pace::Rate(rate) => self.by_the_clock(shape, rate, to, &all, &stop).await,
        }
        all.close();
        all.wait().await;
    }

    async fn one_after_another(self: Rc<Self>, shape: Shape, to: To, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let number = self.next(now_us(), to);
            let (tell, closed) = oneshot::channel();
            if shape != Shape::Accept {
                self.waiting.borrow_mut().insert(number, tell);
            }
            let accepted = self.refer(number, shape).await;
            if accepted && shape != Shape::Accept {
                let _ = tokio::time::timeout(PATIENCE, closed).await;
            }
            self.waiting.borrow_mut().remove(&number);
        }
    }

    async fn by_the_clock(
        self: &Rc<Self>,
        shape: Shape,
        rate: f64,
        to: To,
        all: &TaskTracker,
        stop: &CancellationToken,
    ) {
        let mut ticks = ticks(rate, stop.clone());
        while let Some(due) = ticks.recv().await {
            let number = self.next(due, to);
            let load = self.clone();
            all.spawn_local(async move {
                let Ok(_place) = load.places.acquire().await else { return };
                load.refer(number, shape).await;
            });
        }
    }

    /// The next number that leads to a wanted inbox; those between stay unused.
    fn next(&self, due: i64, to: To) -> u32 {
        let mut sent = self.sent.borrow_mut();
        loop {
            let number = u32::try_from(sent.len()).unwrap_or(u32::MAX);
            if to.takes(self.plan.inbox_of(number)) {
                sent.push(Sent { due, acknowledged: 0 });
                return number;
            }
            sent.push(Sent::default());
        }
    }

    /// Sends one until it is acknowledged. False where it was refused for good.
    async fn refer(&self, number: u32, shape: Shape) -> bool {
        let (system, inbox) = (self.plan.system_of(number), self.plan.inbox_of(number));
        let fate = Fate { answers: shape.answers(), number };
        let base = self.plan.record_base(system);
        let body = Bytes::from(self.maker.make(&self.run, fate, &base, &format!("s{inbox}")));
        let tokens = if matches!(shape, Shape::Accept | Shape::Deliver) {
            &self.plan.mute_tokens
        } else {
            &self.plan.system_tokens
        };
        let token = tokens.get(system).cloned().unwrap_or_default();
        let Some(onward) = self.onward.get(number as usize % self.onward.len().max(1)) else { return false };
        for _ in 0..TRIES {
            let call = Call::new(Method::POST, format!("{onward}/fhir")).token(&token).bytes(FHIR_JSON, body.clone());
            match self.caller.call(call).await {
                Ok(answered) if answered.status.is_success() => {
                    self.acknowledged.set(self.acknowledged.get() + 1);
                    self.remember(number, answered.links("monitor").pop());
                    if let Some(sent) = self.sent.borrow_mut().get_mut(number as usize) {
                        sent.acknowledged = now_us();
                    }
                    return true;
                }
                Ok(answered) if matches!(answered.status.as_u16(), 429 | 503) => {
                    self.turned_away.set(self.turned_away.get() + 1);
                    tokio::time::sleep(answered.retry_after().unwrap_or(PAUSE)).await;
                }
                Ok(answered) => {
                    *self.failed.borrow_mut() = Some(answered.describe());
                    return false;
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
        *self.failed.borrow_mut() = Some("no answer".to_owned());
        false
    }

    fn remember(&self, number: u32, task: Option<String>) {
        let Some(url) = task else { return };
        let mut latest = self.latest.borrow_mut();
        if latest.len() == LATEST {
            latest.pop_front();
        }
        latest.push_back((number, url));
    }

    // --- for those who look ---

    /// URL of a Task, and the token of its provider.
    pub fn a_task(&self) -> Option<(String, String)> {
        let latest = self.latest.borrow();
        let (number, url) = latest.get(fastrand::usize(..latest.len().max(1)))?;
        Some((url.clone(), self.plan.provider_tokens.get(self.plan.inbox_of(*number))?.clone()))
    }

    /// What a search goes by, its URL, and the token of who asks; another one each turn.
    pub fn a_search(&self, turn: u32) -> Option<(&'static str, String, String)> {
        const KINDS: usize = 6;
        let (kind, turn) = (turn as usize % KINDS, turn as usize / KINDS);
        let inbox = turn % self.plan.provider_tokens.len().max(1);
        let system = turn % self.plan.system_tokens.len().max(1);
        let base = self.onward.get(turn % self.onward.len().max(1))?;
        // any of those that lie there; where there are none it finds nothing
        let person = referral::nhs_number(fastrand::u32(..1_000_000));
        let (name, query, by_system) = match kind {
            0 => {
                let owner = format!("owner=Organization/inbox-{inbox}");
                ("worklist", format!("Task?{owner}&status=requested,received&_include=Task:focus&_count=20"), false)
            }
            1 => ("status", "Task?status=completed&_count=20".to_owned(), true),
            2 => ("open status, newest first", "Task?status=requested,received&_sort=-_id&_count=20".to_owned(), true),
            3 => ("last change", "Task?_sort=-_lastUpdated&_count=20".to_owned(), false),
            4 => {
                ("person", format!("ServiceRequest?patient:identifier={person}&_include=ServiceRequest:patient"), true)
            }
            _ => ("code and priority", "ServiceRequest?status=active&priority=routine&_count=20".to_owned(), true),
        };
        let token = if by_system { self.plan.system_tokens.get(system) } else { self.plan.provider_tokens.get(inbox) };
        Some((name, format!("{base}/fhir/{query}"), token?.clone()))
    }

    // --- what came of it ---

    /// All that was sent, by number.
    pub fn sent(&self) -> Vec<Sent> {
        self.sent.borrow().clone()
    }

    /// How many were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.get()
    }

    /// How many loops were closed.
    pub fn closed(&self) -> u64 {
        self.closed.get()
    }

    /// How many requests were told to come again later.
    pub fn turned_away(&self) -> u64 {
        self.turned_away.get()
    }

    /// Why a referral was refused for good, if one was.
    pub fn failed(&self) -> Option<String> {
        self.failed.borrow().clone()
    }
}

//! A connection that is made again for as long as it is wanted.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use lapin::{Connection, ErrorKind, Event};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};

use super::{
    address::Address,
    connect::{Fuse, close, connect},
};
use crate::{
    broker::BrokerError,
    domain::clock::{Clock, SystemClock, Timestamp},
    resolve::Resolver,
};

const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_CAP: Duration = Duration::from_secs(5);
/// A connection that held this long was a good one: the next try comes soon.
const STEADY: Duration = Duration::from_secs(5);
/// How often the connection is looked at, should its end go unannounced.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A supervised connection. Clones are the same one.
#[derive(Clone)]
pub(super) struct Link {
    state: watch::Receiver<State>,
}

/// How a link is.
#[derive(Clone)]
pub(super) struct State {
    pub(super) live: Option<Arc<Live>>,
    pub(super) since: Timestamp,
    pub(super) detail: String,
    /// Why RabbitMQ takes no messages on it at present.
    pub(super) blocked: Option<String>,
    /// Asked to end, and has.
    pub(super) ended: bool,
}

/// A connection that stands.
pub(super) struct Live {
    pub(super) connection: Connection,
    fuse: Fuse,
    doubt: Notify,
}

/// What a supervisor needs to know.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) addresses: Arc<[Address]>,
    pub(super) ca_pem: Option<String>,
    pub(super) resolver: Resolver,
    pub(super) connect_timeout: Duration,
    pub(super) closing: watch::Receiver<bool>,
}

// === impl Link ===

impl Link {
    /// Begins to connect, in the background.
    pub(super) fn start(plan: Plan) -> Self {
        let detail = format!("connecting to {}", shown(&plan.addresses));
        let state = State { live: None, since: SystemClock.now(), detail, blocked: None, ended: false };
        let (sender, receiver) = watch::channel(state);
        tokio::spawn(supervise(plan, sender));
        Self { state: receiver }
    }

    pub(super) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Changes of the state, beginning with the next.
    pub(super) fn watch(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// The connection, as soon as there is one. `None` when there will be none any more.
    pub(super) async fn live(&self) -> Option<Arc<Live>> {
        let mut state = self.state.clone();
        let state = state.wait_for(|state| state.live.is_some() || state.ended).await.ok()?;
        state.live.clone()
    }

    /// The connection, if there is one before `patience` ends.
    pub(super) async fn live_within(&self, patience: Duration) -> Result<Arc<Live>, BrokerError> {
        match timeout(patience, self.live()).await {
            Ok(Some(live)) => Ok(live),
            _ => Err(BrokerError::Away(self.state.borrow().detail.clone())),
        }
    }

    /// Waits until the supervisor has ended.
    pub(super) async fn ended(&self) {
        let mut state = self.state.clone();
        let _ = state.wait_for(|state| state.ended).await;
    }
}

impl Live {
    /// Says that the connection seems to do nothing any more: it is made anew.
    pub(super) fn suspect(&self) {
        self.doubt.notify_one();
    }
}

async fn supervise(plan: Plan, state: watch::Sender<State>) {
    let mut closing = plan.closing.clone();
    // replicas that start together do not all go to the same node
    let mut node = fastrand::usize(..plan.addresses.len());
    let mut failures = 0;
    while !*closing.borrow() {
        let address = &plan.addresses[node % plan.addresses.len()];
        node += 1;
        let attempt = tokio::select! {
            attempt = connect(address, &plan.name, plan.ca_pem.clone(), &plan.resolver, plan.connect_timeout) => attempt,
            () = asked(&mut closing) => break,
        };
        let why = match attempt {
            Ok((connection, fuse)) => {
                let began = Instant::now();
                tracing::info!(broker.link = plan.name, broker.address = %address, "connected to RabbitMQ");
                let live = Arc::new(Live { connection, fuse, doubt: Notify::new() });
                say(&state, Some(&live), format!("connected to {address}"));
                let Parting { why, silent } = attend(&live, &state, &mut closing).await;
                say(&state, None, format!("{address}: {}", address.redact(&why)));
                tokio::spawn(async move { close(&live.connection, &live.fuse).await });
                failures = if began.elapsed() >= STEADY { 0 } else { failures + 1 };
                // The node that was lost is tried first: mostly it was the connection and not the node. One that fell silent
                // may take connections and never speak, and would cost a whole time-out.
                if !silent {
                    node -= 1;
                }
                why
            }
            Err(why) => {
                failures += 1;
                say(&state, None, format!("{address}: {why}"));
                why
            }
        };
        if *closing.borrow() {
            break;
        }
        tracing::warn!(broker.link = plan.name, broker.address = %address, why, failures, "no connection to RabbitMQ");
        let wait = backoff(failures);
        tokio::select! {
            () = sleep(wait) => {}
            () = asked(&mut closing) => {}
        }
    }
    let last = state.borrow().live.clone();
    if let Some(live) = last {
        close(&live.connection, &live.fuse).await;
    }
    state.send_modify(|state| {
        state.live = None;
        state.ended = true;
        "it was closed".clone_into(&mut state.detail);
    });
}

/// How a connection ended.
struct Parting {
    why: String,
    /// It was not closed: nothing was heard any more.
    silent: bool,
}

/// Stays with a connection until it ends.
async fn attend(live: &Arc<Live>, state: &watch::Sender<State>, closing: &mut watch::Receiver<bool>) -> Parting {
    let closed = |why: &str| Parting { why: why.to_owned(), silent: false };
    // one listener only: lapin's listeners take events away from each other
    let mut events = Box::pin(live.connection.events_listener());
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::ConnectionBlocked(reason)) => {
                    tracing::warn!(reason, "RabbitMQ takes no messages for the time being");
                    state.send_modify(|state| state.blocked = Some(reason));
                }
                Some(Event::ConnectionUnblocked) => {
                    tracing::info!("RabbitMQ takes messages again");
                    state.send_modify(|state| state.blocked = None);
                }
                // an error of one channel also comes here
                Some(Event::Error(error)) if !live.connection.status().connected() => {
                    let silent = matches!(error.kind(), ErrorKind::MissingHeartbeatError);
                    return Parting { why: error.to_string(), silent };
                }
                Some(_) => {}
                None => return closed("the connection ended"),
            },
            _ = look.tick() => if !live.connection.status().connected() {
                return closed("the connection was lost");
            },
            () = live.doubt.notified() => {
                return Parting { why: "it answered nothing for too long".to_owned(), silent: true };
            }
            () = asked(closing) => return closed("it was closed"),
        }
    }
}

fn say(state: &watch::Sender<State>, live: Option<&Arc<Live>>, detail: String) {
    state.send_modify(|state| {
        // while it stays away, the moment that it went away stands
        if live.is_some() || state.live.is_some() {
            state.since = SystemClock.now();
        }
        state.live = live.cloned();
        state.blocked = None;
        state.detail = detail;
    });
}

/// Waits until the word is given to end.
pub(super) async fn asked(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

/// Doubling, with the upper half left to chance so that all do not come at once.
pub(super) fn backoff(failures: u32) -> Duration {
    let bound = BACKOFF_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(BACKOFF_CAP);
    bound.mul_f64(0.5 + fastrand::f64() / 2.0)
}

fn shown(addresses: &[Address]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

//! A FHIR R4 server in the process: the record systems and providers' servers of the demonstration, and what the tests put on
//! the other side of Onward to see what it does when things go wrong. It holds everything in memory, speaks JSON only, listens
//! on loopback, and can be made to fail in every way that a real one does (`faults`).

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::fhir::tree;

mod faults;
mod holdings;
mod interactions;
mod reply;
mod serving;
mod transaction;

pub use faults::{Fault, Rule, When};
pub use holdings::{Change, Version};

/// So many of the latest requests are remembered.
const LOG_MAX: usize = 100_000;

/// How a double begins.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The bearer token it wants; none: it lets everybody in.
    pub token: Option<String>,
    /// The port on 127.0.0.1; 0 is a free one.
    pub port: u16,
    /// What it can do.
    pub abilities: Abilities,
}

/// What a double can do, beyond what every one does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abilities {
    /// `PUT Type?identifier=…`; without it that is answered with 405.
    pub conditional_update: bool,
    /// `PUT` to an id that is not there creates it; without it that is answered with 405.
    pub update_as_create: bool,
    /// `_history` of a resource; without it that is answered with 404.
    pub history: bool,
    /// A write is answered with the resource; without it the body is empty. A transaction's answer always has one.
    pub representation: bool,
    /// Answers have an ETag.
    pub etags: bool,
}

/// A request that was made.
#[derive(Debug, Clone)]
pub struct Logged {
    /// When it came.
    pub at: Timestamp,
    /// Its method.
    pub method: Method,
    /// Its path below the base, with the query as it was sent; "" is the base.
    pub path: String,
    /// `Idempotency-Key`
    pub idempotency_key: Option<String>,
    /// What was answered; none where the connection was cut or left hanging.
    pub status: Option<StatusCode>,
}

/// See the module's documentation. All its methods may be called at any time, from anywhere.
pub struct Double {
    base_url: String,
    state: Arc<Shared>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

type Listener = Box<dyn Fn(&Change) + Send + Sync>;

struct Shared {
    base_url: String,
    token: Option<String>,
    stop: CancellationToken,
    state: Mutex<State>,
}

struct State {
    abilities: Abilities,
    holdings: holdings::Holdings,
    faults: faults::Faults,
    log: VecDeque<Logged>,
    listeners: Vec<Listener>,
}

// === impl Abilities ===

impl Default for Abilities {
    fn default() -> Self {
        Self { conditional_update: true, update_as_create: true, history: true, representation: true, etags: true }
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    fn note(&mut self, logged: Logged) {
        if self.log.len() == LOG_MAX {
            self.log.pop_front();
        }
        self.log.push_back(logged);
    }

    fn tell(&self, changes: &[Change]) {
        for change in changes {
            self.listeners.iter().for_each(|listener| listener(change));
        }
    }
}

// === impl Double ===

impl Double {
    /// Starts one; it listens when this returns.
    ///
    /// # Errors
    /// Where the port cannot be had.
    pub async fn start(options: Options) -> io::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
        let listener = TcpListener::bind(address).await?;
        let base_url = format!("http://{}/fhir", listener.local_addr()?);
        let double = Self::unconnected(base_url, options);
        double.tasks.spawn(serving::serve(listener, double.state.clone(), double.tasks.clone()));
        Ok(double)
    }

    /// One that no connection leads to: it is asked by [`Double::ask`] alone. `base_url` is what it calls itself.
    pub fn unconnected(base_url: String, options: Options) -> Self {
        let stop = CancellationToken::new();
        let state = State {
            abilities: options.abilities,
            holdings: holdings::Holdings::default(),
            faults: faults::Faults::default(),
            log: VecDeque::new(),
            listeners: Vec::new(),
        };
        let state = Arc::new(Shared {
            base_url: base_url.clone(),
            token: options.token,
            stop: stop.clone(),
            state: Mutex::new(state),
        });
        Self { base_url, state, stop, tasks: TaskTracker::new() }
    }

    /// Does what a request asks, at once and without a connection. No fault comes in between, and the token is not looked at.
    pub fn ask(&self, request: &Request<Bytes>) -> Response<Full<Bytes>> {
        serving::ask(&self.state, request)
    }

    /// Its FHIR base, without a slash at the end.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Closes all connections and the port. What it held can still be looked at.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    // --- what it holds ---

    /// The newest version of each resource of a type, in the order they were first stored.
    pub fn resources(&self, kind: &str) -> Vec<Arc<Value>> {
        self.state.lock().holdings.all(kind).map(|version| version.resource.clone()).collect()
    }

    /// One resource.
    pub fn resource(&self, kind: &str, id: &str) -> Option<Arc<Value>> {
        self.state.lock().holdings.newest(kind, id).map(|version| version.resource.clone())
    }

    /// All versions of a resource, oldest first.
    pub fn versions(&self, kind: &str, id: &str) -> Vec<Version> {
        self.state.lock().holdings.versions(kind, id).to_vec()
    }

    /// How many resources of each type there are.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        self.state.lock().holdings.counts()
    }

    /// Stores a resource as if somebody at that system had written it: under its id, or a new one. Gives its id; none where
    /// it has no resource type.
    pub fn put_resource(&self, resource: Value) -> Option<String> {
        let kind = tree::resource_type(&resource)?.to_owned();
        let mut state = self.state.lock();
        let given = resource.get("id").and_then(Value::as_str).map(str::to_owned);
        let id = given.unwrap_or_else(|| state.holdings.new_id(&kind));
        let change = state.holdings.store(&kind, &id, resource);
        state.tell(&[change]);
        Some(id)
    }

    /// Forgets a resource with its versions. Says whether it was there.
    pub fn remove_resource(&self, kind: &str, id: &str) -> bool {
        self.state.lock().holdings.remove(kind, id)
    }

    /// Calls this for every version that is stored from now on, in their order and before the request is answered; those of a
    /// transaction after all of them are stored. It must be quick, and must not call this double: put it into a channel.
    pub fn on_change(&self, listener: impl Fn(&Change) + Send + Sync + 'static) {
        self.state.lock().listeners.push(Box::new(listener));
    }

    // --- what was asked of it ---

    /// The latest requests, oldest first; one that is being answered is not among them.
    pub fn requests(&self) -> Vec<Logged> {
        self.state.lock().log.iter().cloned().collect()
    }

    /// Forgets the requests.
    pub fn clear_requests(&self) {
        self.state.lock().log.clear();
    }

    // --- what goes wrong ---

    /// From now on this goes wrong. Rules are looked at in the order they were made; the first that takes a request decides.
    pub fn fault(&self, rule: Rule) {
        self.state.lock().faults.add(rule);
    }

    /// From now on every request waits this long before anything is done.
    pub fn slow(&self, by: Duration) {
        self.state.lock().faults.slow = by;
    }

    /// From now on nothing goes wrong and nothing is slow. Requests left hanging hang on until they or the double end.
    pub fn heal(&self) {
        self.state.lock().faults.heal();
    }

    /// Changes what it can do.
    pub fn set_abilities(&self, abilities: Abilities) {
        self.state.lock().abilities = abilities;
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests;

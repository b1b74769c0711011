//! Attends to subscriptions: goes along the changes that concern each, numbers what it wants, and sends it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, header};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    Wanted,
    channel::{Channel, Content},
    notification::{self, Kind},
};
use crate::{
    client::FhirClient,
    config::{
        Registry,
        registry::{Provider, System},
    },
    domain::{Letter, Subscriber, Subscription, SubscriptionEvent, SubscriptionStatus, TaskId, retry::Next},
    fhir::{XmlWriter, ods_code, task::with_meta},
    search::World,
    store::{Store, StoreError, TaskQuery},
};

/// So often it is looked for changes, and for subscriptions that nobody attends to.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// One process attends to so many at once.
const AT_ONCE: usize = 1_024;
/// A subscription is one process's for so long; one that goes on says so before.
const LEASE: Duration = Duration::from_secs(30);
const RENEW_AFTER: Duration = Duration::from_secs(10);
/// After so long it is given back, so that others may take it.
const SESSION: Duration = Duration::from_secs(300);
/// What was committed late lies before what was seen already: each look goes back so far …
const LATE: SignedDuration = SignedDuration::from_secs(2);
/// … and now and then so far.
const VERY_LATE: SignedDuration = SignedDuration::from_secs(15);
const LOOK_BACK_EVERY: Duration = Duration::from_secs(20);
/// How far was seen is noted so often where there was nothing to be seen.
const NOTED_EVERY: SignedDuration = SignedDuration::from_secs(10);
/// So many Tasks are read at once.
const CHUNK: usize = 200;
/// So many Tasks are remembered as seen.
const SEEN_MAX: usize = 20_000;

/// See the module's documentation. Cheap to clone.
#[derive(Clone)]
pub struct Notifier {
    /// Where subscriptions and Tasks are kept.
    pub store: Arc<dyn Store>,
    /// How hooks are reached.
    pub client: FhirClient,
    /// Who takes part, and where each may be told.
    pub registry: Arc<ArcSwap<Registry>>,
    /// For hooks that want XML.
    pub xml: Arc<XmlWriter>,
    /// Where this Onward is reached.
    pub base_url: String,
}

/// A subscription while it is attended to.
struct Attended {
    subscription: Subscription,
    wanted: Wanted,
    renewed: tokio::time::Instant,
    looked_back: Option<tokio::time::Instant>,
    /// Versions that were seen in this session.
    seen: HashMap<TaskId, u64>,
}

/// Why a session ends.
enum End {
    /// Somebody else has it, or it is not to be told at present.
    Given,
    Store(StoreError),
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Notifier {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut sessions = JoinSet::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                Some(_) = sessions.join_next(), if !sessions.is_empty() => continue,
                () = stop.cancelled() => break,
            }
            let places = AT_ONCE.saturating_sub(sessions.len());
            if places == 0 {
                continue;
            }
            match self.store.claim_subscriptions(places, LEASE).await {
                Ok(claimed) => {
                    for subscription in claimed {
                        let (notifier, stop) = (self.clone(), stop.clone());
                        sessions.spawn(async move { notifier.attend(subscription, stop).await });
                    }
                }
                Err(error) => tracing::warn!(%error, "subscriptions cannot be read"),
            }
        }
        // each gives back what it has
        while sessions.join_next().await.is_some() {}
    }

    async fn attend(&self, subscription: Subscription, stop: CancellationToken) {
        let id = subscription.id;
        let base = format!("{}/fhir", self.base_url);
        let body: Value = serde_json::from_str(&subscription.body).unwrap_or_default();
        let now = tokio::time::Instant::now();
        let ended = match Wanted::read(&body, &base) {
            Ok(wanted) => {
                let attended = Attended { subscription, wanted, renewed: now, looked_back: None, seen: HashMap::new() };
                self.session(attended, &stop).await
            }
            // it was right when it was made; what is read more strictly by now is told to its owner
            Err(issues) => {
                let told = issues.first().map(|issue| issue.diagnostics.clone()).unwrap_or_default();
                self.fail(subscription, told).await
            }
        };
        if let Err(End::Store(error)) = ended {
            tracing::warn!(subscription.id = %id, %error, "a subscription could not be attended to; it is again after its lease");
        }
    }

    async fn session(&self, mut it: Attended, stop: &CancellationToken) -> Result<(), End> {
        let until = tokio::time::Instant::now() + SESSION;
        loop {
            let registry = self.registry.load_full();
            if !it.wanted.channel.is_allowed(hooks_of(&registry, &it.subscription.owner)) {
                let told = "the configuration does not allow this endpoint any more".to_owned();
                return self.fail(it.subscription, told).await;
            }
            if !may_be_told(&registry, &it.subscription.owner) {
                let told = "system/Task.r is not granted to you any more".to_owned();
                return self.fail(it.subscription, told).await;
            }
            if it.subscription.status == SubscriptionStatus::Requested {
                self.say(&mut it, &registry, Kind::Handshake, &[]).await?;
                it.subscription.status = SubscriptionStatus::Active;
                self.keep(&mut it).await?;
            }
            self.take_up(&mut it, &registry).await?;
            while it.subscription.progress.sent < it.subscription.events {
                let from = it.subscription.progress.sent + 1;
                let to = it.subscription.events.min(it.subscription.progress.sent + it.wanted.channel.max_count);
                let events = self.store.subscription_events(it.subscription.id, from, to).await?;
                self.say(&mut it, &registry, Kind::Events, &events).await?;
                it.subscription.progress.sent = to;
                self.keep(&mut it).await?;
                if stop.is_cancelled() {
                    break;
                }
            }
            let silent_since = it.subscription.progress.last_sent.unwrap_or(it.subscription.last_updated);
            let silence = self.store.now().duration_since(silent_since).unsigned_abs();
            if it.wanted.channel.heartbeat.is_some_and(|period| silence >= period) {
                self.say(&mut it, &registry, Kind::Heartbeat, &[]).await?;
                self.keep(&mut it).await?;
            }
            if stop.is_cancelled() || tokio::time::Instant::now() >= until {
                let Subscription { id, lease, status, progress, .. } = it.subscription;
                self.store.settle_subscription(id, lease, status, progress, None).await?;
                return Ok(());
            }
            if it.renewed.elapsed() >= RENEW_AFTER {
                self.keep(&mut it).await?;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => {}
            }
            let now = self.store.subscription(it.subscription.id).await?;
            if now.is_none_or(|now| now.lease != it.subscription.lease) {
                return Err(End::Given);
            }
        }
    }

    /// Notes how far it has come, and goes on with it.
    async fn keep(&self, it: &mut Attended) -> Result<(), End> {
        let Subscription { id, lease, status, progress, .. } = &it.subscription;
        if !self.store.settle_subscription(*id, *lease, *status, progress.clone(), Some(LEASE)).await? {
            return Err(End::Given);
        }
        it.renewed = tokio::time::Instant::now();
        Ok(())
    }

    async fn fail(&self, mut subscription: Subscription, why: String) -> Result<(), End> {
        tracing::warn!(subscription.id = %subscription.id, why, "a subscription is in error until its owner asks for it anew");
        metrics::counter!("onward_subscriptions_failed_total").increment(1);
        subscription.progress.why = Some(why);
        let Subscription { id, lease, progress, .. } = subscription;
        self.store.settle_subscription(id, lease, SubscriptionStatus::Error, progress, None).await?;
        Ok(())
    }

    /// Numbers what has changed since it was looked last.
    async fn take_up(&self, it: &mut Attended, registry: &Registry) -> Result<(), End> {
        let look_back = it.looked_back.is_none_or(|at| at.elapsed() >= LOOK_BACK_EVERY);
        let back = if look_back { VERY_LATE } else { LATE };
        let from = it.subscription.seen_until.checked_sub(back).unwrap_or(Timestamp::MIN);
        // it is told of what happens from its beginning on
        let first = from.max(began(&it.subscription));
        let seen_until = self.store.now();
        if it.seen.len() > SEEN_MAX {
            // what is met again is known in the store
            it.seen.clear();
        }
        let mut query = TaskQuery { by_change: true, from: Some(from), count: CHUNK, ..TaskQuery::default() };
        match &it.subscription.owner {
            Subscriber::System(id) => query.systems.push(id.clone()),
            Subscriber::Provider(id) => query.providers.push(id.clone()),
        }
        loop {
            let tasks = self.store.search_tasks(query.clone()).await?;
            let mut changes = Vec::new();
            for (task, _) in &tasks {
                (query.after, query.after_change) = (Some(task.id), Some(task.last_updated));
                let seen = it.seen.insert(task.id, task.version).unwrap_or(0);
                if seen >= task.version {
                    continue;
                }
                let versions = self.store.versions("Task", task.id.0).await?;
                for version in versions.iter().filter(|v| v.version > seen && v.last_updated >= first) {
                    let body = serde_json::from_str(&version.body).map_err(|e| StoreError::Corrupt(e.to_string()))?;
                    let body = with_meta(body, version.version, version.last_updated);
                    if self.is_wanted(&it.wanted, &body, task.provider.as_str(), registry) {
                        changes.push((task.id, version.version, version.last_updated));
                    }
                }
            }
            let drained = tasks.len() < CHUNK;
            // a look that finds nothing is not noted each time: the next one goes over the same
            let noted = drained && seen_until.duration_since(it.subscription.seen_until) >= NOTED_EVERY;
            if !changes.is_empty() || noted {
                changes.sort_by_key(|(task, version, at)| (*at, *task, *version));
                let until = if drained { seen_until } else { it.subscription.seen_until };
                let Subscription { id, lease, .. } = it.subscription;
                let taken = self.store.take_up(id, lease, changes, until).await?;
                (it.subscription.events, it.subscription.seen_until) = (taken.ok_or(End::Given)?, until);
            }
            if drained {
                break;
            }
        }
        if look_back {
            it.looked_back = Some(tokio::time::Instant::now());
        }
        Ok(())
    }

    fn is_wanted(&self, wanted: &Wanted, task: &Value, provider: &str, registry: &Registry) -> bool {
        let organisation = registry.providers.values().find(|p| p.id.as_str() == provider).map(|provider| {
            let identifier = serde_json::json!({"system": ods_code::ORGANISATION_SYSTEM, "value": provider.ods_code});
            serde_json::json!({"resourceType": "Organization", "id": provider.id.as_str(), "identifier": [identifier]})
        });
        let find = |kind: &str, id: &str| organisation.as_ref().filter(|_| kind == "Organization" && id == provider);
        let base = format!("{}/fhir", self.base_url);
        wanted.matches(task, &World { base: &base, now: Timestamp::now(), owner: Some(provider), find: &find })
    }

    /// Sends a notification. Where that fails it is noted when to try again, or that it is given up, and the session ends.
    async fn say(
        &self,
        it: &mut Attended,
        registry: &Registry,
        kind: Kind,
        events: &[SubscriptionEvent],
    ) -> Result<(), End> {
        let channel = &it.wanted.channel;
        let mut bodies = Vec::new();
        for event in events.iter().filter(|_| channel.content == Content::FullResource) {
            let body = crate::lanes::task_body(&*self.store, event.task, event.version).await?;
            bodies.push(with_meta(body, event.version, event.at));
        }
        let base = format!("{}/fhir", self.base_url);
        let told = Subscription {
            status: if kind == Kind::Handshake { SubscriptionStatus::Requested } else { SubscriptionStatus::Active },
            ..it.subscription.clone()
        };
        let said = notification::bundle(&told, kind, events, channel.content, bodies, &base);
        let sent = self.post(channel, said).await;
        let now = self.store.now();
        let Some(why) = sent.err() else {
            metrics::counter!("onward_notifications_sent_total").increment(1);
            it.subscription.progress = it.subscription.progress.afresh();
            it.subscription.progress.last_sent = Some(now);
            return Ok(());
        };
        let progress = &mut it.subscription.progress;
        let since = *progress.failing_since.get_or_insert(now);
        progress.attempts += 1;
        tracing::warn!(subscription.id = %it.subscription.id, why, attempts = progress.attempts, "a notification was not taken");
        match registry.retry.next(progress.attempts, since, now, None, fastrand::f64()) {
            Next::GiveUp => self.fail(it.subscription.clone(), why).await?,
            Next::At(at) => {
                (progress.next, progress.why) = (Some(at), Some(why));
                let Subscription { id, lease, status, progress, .. } = it.subscription.clone();
                self.store.settle_subscription(id, lease, status, progress, None).await?;
            }
        }
        Err(End::Given)
    }

    async fn post(&self, channel: &Channel, said: Value) -> Result<(), String> {
        let (content_type, bytes) = if channel.xml {
            let written = self.xml.write(said).await.map_err(|_| "it cannot be written as XML".to_owned())?;
            ("application/fhir+xml", written)
        } else {
            ("application/fhir+json", said.to_string().into_bytes())
        };
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&channel.endpoint)
            .header(header::CONTENT_TYPE, content_type)
            .header(header::USER_AGENT, concat!("onward/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &channel.headers {
            request = request.header(name, value);
        }
        let request =
            request.body(Full::new(Bytes::from(bytes))).map_err(|_| "its URL or a header cannot be written")?;
        let response = self.client.exchange(request, channel.timeout).await.map_err(|error| error.to_string())?;
        let status = response.status();
        if status.is_success() { Ok(()) } else { Err(format!("HTTP {}", status.as_u16())) }
    }
}

/// Where this owner may be told.
pub(crate) fn hooks_of<'r>(registry: &'r Registry, owner: &Subscriber) -> &'r [String] {
    let hooks = match owner {
        Subscriber::System(id) => registry.systems.get(id).map(|system| &system.hooks),
        Subscriber::Provider(id) => registry.providers.get(id).map(|provider| &provider.hooks),
    };
    hooks.map(Vec::as_slice).unwrap_or_default()
}

/// Whether Tasks may still be read by whoever has itself told of them.
fn may_be_told(registry: &Registry, owner: &Subscriber) -> bool {
    let registered = match owner {
        Subscriber::System(id) => registry.systems.get(id).map(System::registered),
        Subscriber::Provider(id) => registry.providers.get(id).map(Provider::registered),
    };
    registered.is_some_and(|one| one.may_be_granted("Task", Letter::Read))
}

/// When it was made, by its id (UUIDv7).
fn began(subscription: &Subscription) -> Timestamp {
    let made = subscription.id.get_timestamp().map(|made| made.to_unix());
    let made = made.and_then(|(s, n)| Timestamp::new(i64::try_from(s).ok()?, i32::try_from(n).ok()?).ok());
    made.unwrap_or(Timestamp::MIN)
}

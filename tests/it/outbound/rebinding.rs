//! A name that means an allowed address first and this machine a minute later, for everything that connects by a name: each is asked to do
//! what it does, twice. The control is the same where this machine is allowed: there it knocks.

use std::time::Duration;

use arc_swap::ArcSwap;
use onward::{
    alerts::Teller,
    broker::Embedded,
    config::{
        self, Secret, Smtp, SmtpTls,
        people::{Oidc, Proof},
    },
    domain::{Alert, AlertKind, ManualClock, Subscription, SubscriptionStatus, subscription::Progress},
    fhir::xml::XmlWriter,
    notices::{PostError, smtp::Server},
    people::{
        People,
        oidc::{Issuer, NotIn},
    },
    store::{AlertStore as _, Store, SubscriptionStore as _},
    subscriptions::Notifier,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::*;
use crate::support::memory::Memory;

/// What was found is old after so long.
const OLD: Duration = Duration::from_secs(60);

/// A place on this machine, and the way there by a name.
struct Scene {
    port: u16,
    connections: Arc<AtomicUsize>,
    lookup: Arc<Rebinding>,
    outbound: Outbound,
    clock: Arc<ManualClock>,
    store: Arc<Memory>,
}

impl Scene {
    /// `is_allowed`: whether this machine may be connected to as well.
    async fn of(is_allowed: bool) -> Self {
        let (port, connections) = watched().await;
        let ranges: &[&str] = if is_allowed { &["127.0.0.0/8"] } else { &["127.0.0.2/32"] };
        let allow = ranges.iter().map(|range| range.parse().unwrap()).collect();
        let answers = vec![vec!["127.0.0.2".parse().unwrap()], vec![OWN]];
        let clock = Arc::new(ManualClock::at("2026-03-02T09:00:00Z".parse().unwrap()));
        Self {
            port,
            connections,
            lookup: Arc::new(Rebinding { asked: AtomicUsize::new(0), answers }),
            outbound: Outbound { allow, ..Outbound::default() },
            store: Arc::new(Memory::new(clock.clone())),
            clock,
        }
    }

    fn resolver(&self) -> Resolver {
        Resolver::over(Arc::clone(&self.lookup) as Arc<dyn Lookup>)
    }

    fn client(&self) -> FhirClient {
        FhirClient::with_resolver(self.resolver(), &self.outbound).unwrap()
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://evil.example:{}", self.port)
    }

    fn knocked(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn looked_up(&self) -> usize {
        self.lookup.asked.load(Ordering::SeqCst)
    }

    /// Lets time pass until this is so.
    async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        for _ in 0..1_000 {
            if is_so().await {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.clock.advance(1);
        }
        panic!("{what}: never");
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_rebound_lets_nobody_log_in() {
    for is_allowed in [false, true] {
        let scene = Scene::of(is_allowed).await;
        let people = People::new(scene.store.clone(), Arc::new(ArcSwap::default()), config::People::default());
        let oidc = Oidc {
            issuer: scene.url("http"),
            client_id: "onward".into(),
            proof: Proof::Secret(Secret::of("a-secret-of-both-of-them")),
            scopes: vec![],
            acr_values: vec![],
            name_claim: "name".into(),
            roles: vec![],
        };
        let issuer = Issuer::new(people, oidc, scene.client(), "https://onward.example".into());
        let asked = async || match issuer.begin("/").await {
            Err(NotIn::Away(why)) => why,
            other => panic!("{:?}", other.map(|(_, to)| to)),
        };
        let told = asked().await;
        assert!(told.contains("cannot connect"), "{told}");
        tokio::time::advance(OLD).await;
        let told = asked().await;
        assert_eq!(told.contains(&CallError::NotAllowed.to_string()), !is_allowed, "{told}");
        assert_eq!(scene.knocked() > 0, is_allowed, "{told}");
        assert_eq!(scene.looked_up(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_rebound_is_sent_no_letter() {
    for is_allowed in [false, true] {
        let scene = Scene::of(is_allowed).await;
        let smtp = Smtp {
            host: "evil.example".into(),
            port: scene.port,
            tls: SmtpTls::Starttls,
            roots: None,
            user: None,
            from: "onward@trust.example".into(),
            every: jiff::SignedDuration::from_mins(15),
        };
        let server = Server { smtp, resolver: scene.resolver(), outbound: Arc::new(scene.outbound.clone()) };
        let asked = async || match server.greets().await {
            Err(PostError::Away(why)) => why,
            other => panic!("{other:?}"),
        };
        assert!(asked().await.starts_with("connecting"));
        assert_eq!(scene.knocked(), 0);
        tokio::time::advance(OLD).await;
        let told = asked().await;
        assert_eq!(told.contains("[outbound] does not allow it"), !is_allowed, "{told}");
        assert_eq!(scene.knocked() > 0, is_allowed, "{told}");
        assert_eq!(scene.looked_up(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_rebound_hears_of_no_change() {
    for is_allowed in [false, true] {
        let scene = Scene::of(is_allowed).await;
        let hook = format!("{}/hook", scene.url("https"));
        let text = format!("[[system]]\nid = \"rio\"\nname = \"RiO\"\nods-code = \"RW4\"\nhooks = [{hook:?}]\n");
        let text = format!("[outbound]\nallow = [\"127.0.0.0/8\"]\n{text}");
        let (config, _) = Config::parse(&text, std::path::Path::new("onward.toml"), &Env::default()).unwrap();
        let body = json!({"resourceType": "Subscription", "status": "requested", "reason": "x",
            "criteria": "https://onward.example/fhir/SubscriptionTopic/Task",
            "channel": {"type": "rest-hook", "endpoint": hook, "payload": "application/fhir+json"}});
        let now = scene.store.now();
        let subscription = Subscription {
            id: Uuid::now_v7(),
            owner: "system:rio".parse().unwrap(),
            version: 1,
            last_updated: now,
            status: SubscriptionStatus::Requested,
            body: body.to_string(),
            seen_until: now,
            events: 0,
            progress: Progress::default(),
            lease: 0,
        };
        let id = subscription.id;
        scene.store.add_subscription(subscription).await.unwrap();
        let notifier = Notifier {
            store: scene.store.clone(),
            client: scene.client(),
            registry: Arc::new(ArcSwap::from_pointee(config.registry)),
            xml: Arc::new(XmlWriter::new(1)),
            base_url: "https://onward.example".into(),
        };
        let stop = CancellationToken::new();
        let running = tokio::spawn(notifier.run(stop.clone()));
        let why = async || scene.store.subscription(id).await.unwrap().unwrap().progress.why.unwrap_or_default();
        scene.until("it is tried", async || why().await.starts_with("cannot connect")).await;
        assert_eq!(scene.knocked(), 0);
        if is_allowed {
            scene.until("it knocks", async || scene.knocked() > 0).await;
        } else {
            let refused = CallError::NotAllowed.to_string();
            scene.until("it is tried again", async || why().await == refused).await;
            assert_eq!(scene.knocked(), 0);
        }
        stop.cancel();
        running.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_rebound_hears_of_no_alert() {
    for is_allowed in [false, true] {
        let scene = Scene::of(is_allowed).await;
        let told = config::Alerts { hook: Some(endpoint(scene.url("http"))), ..config::Alerts::default() };
        let alert = Alert::new(AlertKind::BrokerAway, "x".to_owned(), scene.store.now(), "it is away".to_owned());
        scene.store.raise(vec![alert]).await.unwrap();
        let broker = Arc::new(Embedded::new(Default::default()));
        let teller = Teller { store: scene.store.clone(), broker, client: scene.client(), told };
        let running = tokio::spawn(teller.run(CancellationToken::new()));
        // it is tried, and tried again when what was found is old, and once more
        scene.until("it is tried", async || scene.looked_up() == 1).await;
        scene.until("it is tried again", async || scene.looked_up() >= 3 || scene.knocked() > 0).await;
        assert_eq!(scene.knocked() > 0, is_allowed);
        running.abort();
    }
}

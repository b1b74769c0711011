//! Who takes part: three replicas over a PostgreSQL and a RabbitMQ of their own, providers and records, and a proxy on each
//! line between them. What strikes them, and how it is healed.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use onward::demo::double::{Double, Fault, Rule, When};
use tokio::{
    sync::Mutex,
    task::{JoinSet, block_in_place},
};

use super::schedule::{Size, Strike, Trouble, Whom};
use crate::support::{
    checker::{Provider, Record, Servers},
    onward::Onward,
    plan::{FIXTURE_ROUTES, Plan},
    postgres::PostgresServer,
    process::Process,
    proxy::{Mode, Proxy},
    rabbitmq::Cluster,
    scripts::{self, Fates},
    server::{Server, address_of, free_port},
};

/// Each part of the work is done by two of them.
const ROLES: [&str; 3] = ["api, delivery", "api, writeback, scheduler", "delivery, writeback, scheduler"];
/// The first so many have the API.
const FRONTS: usize = 2;
/// Those with a server: inbox, ODS code, and the keys of the inbox beside kind, address and token.
const PROVIDERS: [(&str, &str, &str); 2] = [
    ("life-rooms", "RW4", ", ids = \"server\""),
    ("housing-support", "ZH999", ", answers = \"poll\", poll-every = \"1s\""),
];
/// Inboxes of those that work from Onward's worklist.
const WORKLISTS: [&str; 2] = ["link-workers", "triage"];
/// By name, and whose they are.
const RECORDS: [(&str, &[&str]); 2] =
    [("merseycare-rio", &["merseycare-rio"]), ("others", &["brownlow-gp", "ward-epr"])];
/// How much later an answer comes.
const LATER: Duration = Duration::from_millis(400);
/// Of answers that may be cut off, so many are.
const CUT: f64 = 0.3;

/// See the module's documentation.
pub struct Cast {
    replicas: Vec<Replica>,
    store: PostgresServer,
    nodes: Cluster,
    /// The providers that have a server, then the records.
    receivers: Vec<Receiver>,
    /// Of the providers with a server, then of those without.
    fates: Vec<Fates>,
}

struct Replica {
    roles: &'static str,
    plan: Plan,
    store_url: String,
    process: Mutex<Option<Process>>,
    to_store: Proxy,
    to_nodes: Vec<Proxy>,
    front: Proxy,
}

struct Receiver {
    server: Arc<Double>,
    line: Proxy,
}

// === impl Cast ===

impl Cast {
    /// All of them, ready. None where there is no RabbitMQ or PostgreSQL, which is noted.
    pub async fn start(test: &str, nodes: usize, seed: u64) -> Option<Self> {
        let store = block_in_place(|| PostgresServer::start("chaos"))?;
        let nodes = block_in_place(|| Cluster::start_of(test, "chaos", nodes))?;
        let mut receivers = Vec::new();
        let names = PROVIDERS.map(|(inbox, ..)| format!("server-of-{inbox}"));
        for name in names.into_iter().chain(RECORDS.map(|(name, _)| format!("record-of-{name}"))) {
            let server = Server::double(&name).await;
            let line = Proxy::start(address_of(&server), seed).await;
            receivers.push(Receiver { server, line });
        }
        let mut replicas = Vec::new();
        for roles in ROLES {
            replicas.push(Replica::new(roles, &store, &nodes, &receivers, seed).await);
        }
        let fates = (0..PROVIDERS.len() + WORKLISTS.len()).map(|_| Fates::default()).collect();
        let cast = Self { replicas, store, nodes, receivers, fates };
        for replica in &cast.replicas {
            replica.start().await;
        }
        Some(cast)
    }

    /// How many of each there are.
    pub fn size(&self) -> Size {
        let (replicas, receivers) = (self.replicas.len(), self.receivers.len());
        Size { replicas, fronts: FRONTS, nodes: self.nodes.count(), receivers }
    }

    /// Where clients find the replicas that have the API.
    pub fn fronts(&self) -> Vec<String> {
        self.replicas[..FRONTS].iter().map(|replica| format!("http://{}", replica.front.address())).collect()
    }

    /// The providers at work.
    pub fn staff(&self) -> JoinSet<()> {
        let onward = Onward::behind(&self.fronts());
        let [rooms, housing, workers, triage] = &self.fates[..] else { panic!("each provider has its fates") };
        let mut staff = JoinSet::new();
        staff.spawn(scripts::pushed(onward.clone(), "life-rooms", self.server(0), rooms.clone()));
        staff.spawn(scripts::polled(Server::Double(self.server(1)), housing.clone()));
        staff.spawn(scripts::worklist(onward.clone(), "link-workers", workers.clone()));
        staff.spawn(scripts::worklist(onward, "triage-team", triage.clone()));
        staff
    }

    fn server(&self, receiver: usize) -> Arc<Double> {
        Arc::clone(&self.receivers[receiver].server)
    }

    /// Where everything must have arrived.
    pub fn servers(&self) -> Servers {
        let provider = |(n, (inbox, ..)): (usize, (&'static str, _, _))| Provider {
            inbox,
            fates: self.fates[n].clone(),
            server: Some(self.server(n)),
        };
        let mut providers: Vec<_> = PROVIDERS.into_iter().enumerate().map(provider).collect();
        let listed = WORKLISTS.into_iter().zip(&self.fates[PROVIDERS.len()..]);
        providers.extend(listed.map(|(inbox, fates)| Provider { inbox, fates: fates.clone(), server: None }));
        let record = |(n, (_, systems))| Record { systems, server: self.server(PROVIDERS.len() + n) };
        Servers { providers, records: RECORDS.into_iter().enumerate().map(record).collect() }
    }

    /// How much the lines have held back, lost or cut off.
    pub fn lines_struck(&self) -> usize {
        let lines = self.replicas.iter().flat_map(|r| r.to_nodes.iter().chain([&r.to_store, &r.front]));
        lines.chain(self.receivers.iter().map(|r| &r.line)).map(|line| line.held() + line.cut()).sum()
    }

    /// What the store says, beside everybody.
    pub fn sql(&self, sql: &str) -> String {
        block_in_place(|| self.store.sql(sql))
    }

    /// Asks all replicas to end; each must do so in good order.
    pub async fn stop(&self) {
        for replica in &self.replicas {
            let ended = replica.process.lock().await.take().unwrap().stop().await;
            assert!(ended.success(), "{}: {ended}", replica.roles);
        }
    }

    /// Does it.
    pub async fn strike(&self, strike: &Strike) {
        match (strike.whom, strike.trouble) {
            (Whom::Replica(n), trouble) => self.replicas[n].strike(trouble).await,
            (Whom::Node(n), Trouble::Kill) => block_in_place(|| self.nodes.kill(n + 1)),
            (Whom::Node(n), _) => block_in_place(|| self.nodes.stop(n + 1)),
            (Whom::Store, Trouble::Kill) => block_in_place(|| self.store.kill()),
            (Whom::Store, _) => block_in_place(|| self.store.stop()),
            (Whom::Receiver(n), trouble) => trouble_at(&self.receivers[n].server, trouble),
            (line, trouble) => {
                let line = self.line(line);
                line.set(mode(trouble));
                if matches!(trouble, Trouble::Cut | Trouble::Refuse) {
                    line.cut_all();
                }
            }
        }
    }

    /// Makes it well again; returns when it is.
    pub async fn heal(&self, strike: &Strike) {
        match strike.whom {
            Whom::Replica(n) => self.replicas[n].heal(strike.trouble).await,
            Whom::Node(n) => block_in_place(|| self.nodes.start_again(n + 1)),
            Whom::Store => block_in_place(|| self.store.start_again()),
            Whom::Receiver(n) => self.receivers[n].server.heal(),
            line => {
                let line = self.line(line);
                line.set(Mode::Through);
                if matches!(strike.trouble, Trouble::LoseRequests | Trouble::LoseAnswers | Trouble::LoseAll) {
                    line.cut_all();
                }
            }
        }
    }

    fn line(&self, whom: Whom) -> &Proxy {
        match whom {
            Whom::ToStore(replica) => &self.replicas[replica].to_store,
            Whom::ToNode(replica, node) => &self.replicas[replica].to_nodes[node],
            Whom::ToReceiver(n) => &self.receivers[n].line,
            Whom::ToReplica(n) => &self.replicas[n].front,
            other => panic!("{other:?} is no line"),
        }
    }
}

fn mode(trouble: Trouble) -> Mode {
    match trouble {
        Trouble::Cut => Mode::Through,
        Trouble::Refuse => Mode::Refuse,
        Trouble::Delay => Mode::Delay(LATER),
        Trouble::Hold => Mode::Hold,
        Trouble::LoseRequests => Mode::SwallowRequests,
        Trouble::LoseAnswers => Mode::SwallowAnswers,
        Trouble::LoseAll => Mode::Swallow,
        Trouble::CutAnswers => Mode::CutAnswers(CUT),
        other => panic!("{other:?} does not happen to a line"),
    }
}

fn trouble_at(server: &Double, trouble: Trouble) {
    let fault = match trouble {
        Trouble::Unavailable => Fault::Unavailable { retry_after_s: None },
        Trouble::Throttled => Fault::Throttled { retry_after_s: Some(1) },
        Trouble::Hang => Fault::Hang,
        Trouble::AnswersLost => Fault::AnswerLost,
        Trouble::Slow => return server.slow(LATER),
        other => panic!("{other:?} does not happen to a receiver"),
    };
    server.fault(Rule::new(fault, When::Always));
}

// === impl Replica ===

impl Replica {
    /// One that is not started yet. The lines to receivers are those of all: what an address is like, the replicas tell each
    /// other through the store, so it must be the same address to all.
    async fn new(
        roles: &'static str,
        store: &PostgresServer,
        nodes: &Cluster,
        receivers: &[Receiver],
        seed: u64,
    ) -> Self {
        let (to_store, store_url) = through(&store.url, seed).await;
        let (mut to_nodes, mut urls) = (Vec::new(), Vec::new());
        for url in nodes.url.split(',') {
            let (line, url) = through(url, seed).await;
            to_nodes.push(line);
            urls.push(url);
        }
        let at = |n: usize| format!("http://{}/fhir", receivers[n].line.address());
        let mut plan = Plan::new()
            .section("[server]\nbase-url = \"http://127.0.0.1:8787\"")
            .broker(&urls.join(","), "republish-after = \"5s\"")
            .section("[retry]\nfirst = \"100ms\"\ncap = \"500ms\"")
            .timeout("2s");
        for (n, (record, systems)) in RECORDS.into_iter().enumerate() {
            plan = plan.record_token(record);
            for system in systems {
                plan = plan.system(system, ods_code(system), &at(PROVIDERS.len() + n), "");
            }
        }
        for (n, (inbox, ods_code, more)) in PROVIDERS.into_iter().enumerate() {
            let keys = format!("kind = \"fhir-rest\", base-url = \"{}\", timeout = \"2s\"{more}", at(n));
            plan = plan.provider(inbox, ods_code, &keys);
        }
        let plan = plan.provider("link-workers", "U99999", "kind = \"worklist\"");
        let plan = plan.worklist("triage-team", "RW4", "triage").routes(FIXTURE_ROUTES);
        // until there is a process, nobody is there
        let front = Proxy::start(SocketAddr::from(([127, 0, 0, 1], free_port())), seed).await;
        Self { roles, plan, store_url, process: Mutex::default(), to_store, to_nodes, front }
    }

    /// Starts it as often as it takes: whoever manages services does the same.
    async fn start(&self) {
        loop {
            let mut process = Process::spawn(&self.plan, &self.store_url, self.roles);
            self.front.lead_to(process.base.strip_prefix("http://").unwrap().parse().unwrap());
            if process.ready().await {
                *self.process.lock().await = Some(process);
                return;
            }
        }
    }

    async fn strike(&self, trouble: Trouble) {
        let mut process = self.process.lock().await;
        match trouble {
            Trouble::Kill => process.take().unwrap().kill(),
            Trouble::Freeze => process.as_ref().unwrap().signal("STOP"),
            _ => {
                let ended = process.take().unwrap().stop().await;
                assert!(ended.success(), "{}: {ended}", self.roles);
            }
        }
    }

    async fn heal(&self, trouble: Trouble) {
        if trouble == Trouble::Freeze {
            return self.process.lock().await.as_ref().unwrap().signal("CONT");
        }
        self.start().await;
    }
}

fn ods_code(system: &str) -> &'static str {
    match system {
        "merseycare-rio" => "RW4",
        "brownlow-gp" => "N82999",
        _ => "REM",
    }
}

/// A proxy before the server of a URL, and the URL that leads through it.
async fn through(url: &str, seed: u64) -> (Proxy, String) {
    let (before, place) = url.rsplit_once('@').unwrap();
    let (address, path) = place.split_once('/').unwrap();
    let line = Proxy::start(address.parse::<SocketAddr>().unwrap(), seed).await;
    let url = format!("{before}@{}/{path}", line.address());
    (line, url)
}

//! The tables of `onward.toml` that are not lists: one struct a table, with its defaults and bounds.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::SignedDuration;

use super::{
    BrokerUrl, Roles, StoreUrl,
    secret::{Secrets, TokenHash},
    tls::{self, Tls},
    url::{base_url, broker_url, is_open_to_listeners, store_url},
};
use crate::{
    domain::retry::RetryPolicy,
    toml_reader::{Table, duration_text},
};

/// Where an address may have a share of all connections, it may have so many at least: browsers open six.
const SHARE_MIN: usize = 16;
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// `[server]`: where Onward listens.
#[derive(Debug, Clone)]
pub struct Server {
    /// The address it listens on. Default `127.0.0.1:8787`.
    pub listen: SocketAddr,
    /// How it speaks there; none: in clear.
    pub tls: Option<Tls>,
    /// How others reach it, without a slash at the end. `None`: as it listens, see [`Server::base_url_at`].
    pub base_url: Option<String>,
    /// What this process does. Default everything.
    pub roles: Roles,
    /// Where the tokens of the configuration are worth something. Default where nobody outside this machine can have shown them.
    pub static_tokens: StaticTokens,
    /// By these who keeps it running is told from elsewhere how each part is, and given the figures. Default none.
    pub keeper_tokens: Vec<TokenHash>,
}

/// Where the tokens of the configuration are worth something by themselves, without their client's certificate beside them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StaticTokens {
    /// Where nobody outside this machine can have shown them.
    #[default]
    Loopback,
    /// Everywhere.
    Everywhere,
}

/// `[store]`: where referrals are kept.
#[derive(Debug, Clone)]
pub struct Store {
    /// Default `sqlite:./onward-data/onward.db`.
    pub url: StoreUrl,
}

/// `[broker]`: what wakes the workers.
#[derive(Debug, Clone)]
pub struct Broker {
    /// Default `embedded:`.
    pub url: BrokerUrl,
    /// A message published but not done after this long is published again. Default 30 seconds.
    pub republish_after: Duration,
    /// How many messages of one queue a worker holds at once. Default 32.
    pub prefetch: u16,
}

/// `[limits]`: what is refused for being too much.
#[derive(Debug, Clone)]
pub struct Limits {
    /// A larger body is answered with 413. Default 5 MiB.
    pub body_bytes: usize,
    /// Deeper nesting of JSON or XML is refused. Default 64.
    pub depth: usize,
    /// A Bundle with more entries is refused. Default 500.
    pub bundle_entries: usize,
    /// More open connections wait to be taken. Default 1,024.
    pub connections: usize,
    /// More open connections of one address are closed at once. Default a quarter of all, and from this machine itself all.
    pub connections_per_address: Option<usize>,
    /// More referrals and other writes of originating systems at once are refused with Retry-After. Default 256.
    pub concurrent_requests: usize,
    /// More answers of providers at once are refused likewise. Default 64.
    pub concurrent_answers: usize,
    /// More reads at once are refused likewise. Default 128.
    pub concurrent_reads: usize,
    /// More requests of one client in a second, or ten times as many at once, are refused likewise. Default 2,000.
    pub client_rate: u32,
    /// The same from one address, of those who are not known; a wrong token counts for ten. Default 50.
    pub address_rate: u32,
    /// Bytes of all bodies being read or worked on; more are refused likewise. Default 128 MiB.
    pub bodies_bytes: usize,
    /// Fewer referrals are let in at once while a commit takes longer than this and than three times what it takes unloaded.
    /// Default 100 milliseconds.
    pub store_latency: Duration,
    /// Referrals are refused while so many messages are not done; from half of it on they are let in more slowly. Default
    /// 1,000,000.
    pub outbox_messages: u64,
    /// The same for the time that a message that is due waits to be handed to the broker. Default 4 hours.
    pub outbox_age: Duration,
    /// Referrals are refused while the disk of the store has less room than this. Default 128 MiB.
    pub free_disk_bytes: u64,
    /// A connection that has not sent its headers by then is closed. Default 10 seconds.
    pub header_timeout: Duration,
    /// A request that is not answered by then is answered with 503. Default 30 seconds.
    pub request_timeout: Duration,
    /// How long a stopping service waits for what it has begun. Default 20 seconds.
    pub drain: Duration,
    /// How long a service that is to stop says so in `/health/ready` before it takes no more requests. Default half a second.
    pub stop_pause: Duration,
}

/// `[log]`: how Onward logs.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    /// Default text.
    pub format: LogFormat,
    /// Default info.
    pub level: Level,
}

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged: this and everything graver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Only what somebody must look at.
    Error,
    /// Also what may become trouble.
    Warn,
    /// Also what happens to referrals.
    Info,
    /// Also what the parts do.
    Debug,
    /// Everything.
    Trace,
}

/// `[profiles]`: what resources are held against beside R4 and our own profiles.
#[derive(Debug, Clone, Default)]
pub struct Profiles {
    /// Folders with StructureDefinitions, ValueSets and CodeSystems. Default none.
    pub extra: Vec<PathBuf>,
}

// === impl Profiles ===

impl Profiles {
    /// So many folders at the most.
    const FOLDERS_MAX: usize = 32;

    pub(super) fn read(mut table: Table<'_>, folder: &Path) -> Self {
        const ALLOWED: &str = "a list of folders with StructureDefinitions";
        let nodes = table.get("extra").map(|node| node.items(ALLOWED)).unwrap_or_default();
        if nodes.len() > Self::FOLDERS_MAX {
            table.fault("extra", format!("found {} folders; allowed: at most {}", nodes.len(), Self::FOLDERS_MAX));
        }
        let mut extra = Vec::new();
        for node in nodes.into_iter().take(Self::FOLDERS_MAX) {
            let Some(name) = node.text("a folder") else { continue };
            let path = folder.join(name);
            if path.is_dir() {
                extra.push(path);
            } else {
                node.fault(&format!("{}, which is no folder", path.display()), "a folder with StructureDefinitions");
            }
        }
        table.finish();
        Self { extra }
    }
}

// === impl Server ===

impl Server {
    /// So many tokens of those who keep it running.
    const KEEPER_TOKENS_MAX: usize = 16;

    pub(super) fn read(mut table: Table<'_>, store: &StoreUrl, broker: &BrokerUrl, secrets: &Secrets<'_>) -> Self {
        let node = table.get("listen");
        let tls = Tls::read(&mut table, secrets.folder());
        let listen = node.and_then(|node| tls::listen(&node, tls.is_some()));
        let base_url = table.get("base-url").and_then(|node| {
            let url = base_url(&node)?;
            if is_open_to_listeners(&url) {
                node.warn("http:// to another machine: referrals and tokens travel unencrypted; put TLS before it");
            }
            Some(url)
        });
        let roles = table.get("roles").and_then(|node| Roles::read(&node, store, broker)).unwrap_or(Roles::ALL);
        let listen = listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8787)));
        let words = [("loopback", StaticTokens::Loopback), ("everywhere", StaticTokens::Everywhere)];
        let static_tokens = table.get("static-tokens").and_then(|node| node.choice(&words)).unwrap_or_default();
        let nodes = table.get("keeper-tokens").map(|node| node.items("a list of secrets")).unwrap_or_default();
        if nodes.len() > Self::KEEPER_TOKENS_MAX {
            let most = Self::KEEPER_TOKENS_MAX;
            table.fault("keeper-tokens", format!("found {} tokens; allowed: at most {most}", nodes.len()));
        }
        let nodes = nodes.iter().take(Self::KEEPER_TOKENS_MAX);
        let keeper_tokens = nodes.filter_map(|node| secrets.token_hash(node)).collect();
        let server = Self { listen, tls, base_url, roles, static_tokens, keeper_tokens };
        if server.listen.ip().is_unspecified() && server.base_url.is_none() {
            table.warn(
                "base-url",
                "listens on every address but has no base-url: links name an address nobody can reach",
            );
        }
        if matches!(store, StoreUrl::Postgres(_)) && *broker == BrokerUrl::Embedded {
            table.warn(
                "roles",
                "the embedded broker serves one process: a second one on the same store wakes only its own workers",
            );
        }
        table.finish();
        server
    }

    /// How others reach it when it listens at `bound`, which differs from `listen` where that asks for port 0.
    pub fn base_url_at(&self, bound: SocketAddr) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        self.base_url.clone().unwrap_or_else(|| format!("{scheme}://{bound}"))
    }
}

// === impl Store ===

impl Store {
    pub(super) fn read(mut table: Table<'_>, secrets: &Secrets<'_>) -> Self {
        let password = table.get("password").and_then(|node| secrets.password(&node));
        let url = match table.get("url") {
            Some(node) => store_url(&node, password.as_ref()),
            None => {
                if password.is_some() {
                    table.fault("password", "found a password for a file; allowed: only with a url of PostgreSQL");
                }
                None
            }
        };
        table.finish();
        Self { url: url.unwrap_or_else(|| StoreUrl::Sqlite(PathBuf::from("./onward-data/onward.db"))) }
    }
}

// === impl Broker ===

impl Broker {
    pub(super) fn read(mut table: Table<'_>, secrets: &Secrets<'_>) -> Self {
        let password = table.get("password").and_then(|node| secrets.password(&node));
        let url = match table.get("url") {
            Some(node) => broker_url(&node, password.as_ref()),
            None => {
                if password.is_some() {
                    table.fault(
                        "password",
                        "found a password for the embedded broker; allowed: only with a url of RabbitMQ",
                    );
                }
                None
            }
        };
        let republish_after = table.get("republish-after").and_then(|node| node.duration(SECOND, HOUR));
        let prefetch = table.get("prefetch").and_then(|node| node.number(1, 1_000));
        table.finish();
        Self {
            url: url.unwrap_or(BrokerUrl::Embedded),
            republish_after: republish_after.unwrap_or(30 * SECOND),
            prefetch: prefetch.and_then(|number| u16::try_from(number).ok()).unwrap_or(32),
        }
    }
}

/// A number of a table that lies between these, both of them allowed.
fn number_of(table: &mut Table<'_>, key: &'static str, default: u32, (min, max): (u32, u32)) -> usize {
    let found = table.get(key).and_then(|node| node.number(min, max));
    usize::try_from(found.unwrap_or(default)).unwrap_or(usize::MAX)
}

// === impl Limits ===

impl Limits {
    /// So many connections one address may have open, and so many this machine itself, where a proxy may stand that all others come by;
    /// none: as many as there may be.
    pub fn connections_of_address(&self) -> (Option<usize>, Option<usize>) {
        match self.connections_per_address {
            Some(max) => (Some(max), Some(max)),
            None => (Some((self.connections / 4).max(SHARE_MIN)).filter(|share| *share < self.connections), None),
        }
    }

    pub(super) fn read(mut table: Table<'_>) -> Self {
        let body = table.get("body").and_then(|node| node.size(1 << 10, 64 << 20)).unwrap_or(5 << 20);
        let bodies = table.get("bodies").and_then(|node| node.size(1 << 20, 16 << 30)).unwrap_or(128 << 20);
        let free_disk_bytes = table.get("free-disk").and_then(|node| node.size(0, 1 << 40)).unwrap_or(128 << 20);
        let mut number = |key, default: u32, min, max| number_of(&mut table, key, default, (min, max));
        let depth = number("depth", 64, 16, 256);
        let bundle_entries = number("bundle-entries", 500, 1, 10_000);
        let connections = number("connections", 1_024, 1, 100_000);
        // 0: it is not said
        let connections_per_address = Some(number("connections-per-address", 0, 1, 100_000)).filter(|max| *max > 0);
        if let Some(more) = connections_per_address.filter(|max| *max > connections) {
            let told = format!("found {more}; allowed: at most as many as connections, which are {connections}");
            table.fault("connections-per-address", told);
        }
        let mut number = |key, default: u32, min, max| number_of(&mut table, key, default, (min, max));
        let concurrent_requests = number("concurrent-requests", 256, 1, 100_000);
        let concurrent_answers = number("concurrent-answers", 64, 1, 100_000);
        let concurrent_reads = number("concurrent-reads", 128, 1, 100_000);
        let mut rate = |key, default: u32| table.get(key).and_then(|node| node.number(1, 1_000_000)).unwrap_or(default);
        let (client_rate, address_rate) = (rate("client-rate", 2_000), rate("address-rate", 50));
        let mut number = |key, default: u32, min, max| number_of(&mut table, key, default, (min, max));
        let outbox_messages = number("outbox-messages", 1_000_000, 1, 1_000_000_000) as u64;
        let mut span =
            |key, default: u32| table.get(key).and_then(|node| node.duration(SECOND, HOUR)).unwrap_or(default * SECOND);
        let header_timeout = span("header-timeout", 10);
        let request_timeout = span("request-timeout", 30);
        let drain = span("drain", 20);
        let mut short = |key, default_ms, min, max| {
            table.get(key).and_then(|node| node.duration(min, max)).unwrap_or(Duration::from_millis(default_ms))
        };
        let store_latency = short("store-latency", 100, Duration::from_millis(1), 60 * SECOND);
        let outbox_age = short("outbox-age", 4 * 3_600_000, SECOND, 30 * 24 * HOUR);
        let stop_pause = short("stop-pause", 500, Duration::ZERO, HOUR);
        table.finish();
        let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
        let (body_bytes, bodies_bytes) = (bytes(body), bytes(bodies));
        Self {
            body_bytes,
            depth,
            bundle_entries,
            connections,
            connections_per_address,
            concurrent_requests,
            concurrent_answers,
            concurrent_reads,
            client_rate,
            address_rate,
            bodies_bytes,
            store_latency,
            outbox_messages,
            outbox_age,
            free_disk_bytes,
            header_timeout,
            request_timeout,
            drain,
            stop_pause,
        }
    }
}

// === impl Log ===

impl Log {
    pub(super) fn read(mut table: Table<'_>) -> Self {
        let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        let levels =
            [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace].map(|level| (level.as_str(), level));
        let format = table.get("format").and_then(|node| node.choice(&formats)).unwrap_or(LogFormat::Text);
        let level = table.get("level").and_then(|node| node.choice(&levels)).unwrap_or(Level::Info);
        table.finish();
        Self { format, level }
    }
}

impl Level {
    /// The word in the file, which is also what `tracing` calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// `[retry]`, or `retry` of one endpoint: when a message is tried again and given up. What it does not say is as in `default`.
pub(super) fn retry(mut table: Table<'_>, default: RetryPolicy) -> RetryPolicy {
    let mut span = |key, min, default: SignedDuration| {
        let found = table.get(key).and_then(|node| node.duration(min, YEAR));
        found.and_then(|span| SignedDuration::try_from(span).ok()).unwrap_or(default)
    };
    let policy = RetryPolicy {
        first: span("first", Duration::from_millis(50), default.first),
        cap: span("cap", Duration::from_millis(50), default.cap),
        give_up_after: span("give-up-after", SECOND, default.give_up_after),
        delayed_after: span("delayed-after", SECOND, default.delayed_after),
        late_max: span("late-max", SECOND, default.late_max),
    };
    // of a message that is given up sooner nothing can be waited for longer
    let policy = RetryPolicy { late_max: policy.late_max.min(policy.give_up_after), ..policy };
    let at_most = |key, span: SignedDuration, other, most: SignedDuration| {
        if span > most {
            let (span, most) = (duration_text(span.unsigned_abs()), duration_text(most.unsigned_abs()));
            table.fault(key, format!("found {span}; allowed: at most {other}, which is {most}"));
        }
    };
    at_most("first", policy.first, "cap", policy.cap);
    at_most("cap", policy.cap, "give-up-after", policy.give_up_after);
    at_most("delayed-after", policy.delayed_after, "give-up-after", policy.give_up_after);
    table.finish();
    policy
}

//! Reads the ends that Onward talks to: a system's record, a provider's server.

use std::time::Duration;

use super::{
    Access, BrokerUrl,
    registry::{AmqpInbox, Answers, Detail, Endpoint, FhirRestInbox, Ids, InboxKind, Pace, WriteBack},
    secret::Secrets,
    sections,
    url::{base_url, is_open_to_listeners},
};
use crate::{
    domain::retry::RetryPolicy,
    toml_reader::{Node, Table},
};

/// How long one request to another system may take, where nothing is said.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const TIMEOUT_MIN: Duration = Duration::from_millis(100);
const TIMEOUT_MAX: Duration = Duration::from_secs(300);
const POLL_DEFAULT: Duration = Duration::from_secs(30);
const POLL_MIN: Duration = Duration::from_millis(100);
const POLL_MAX: Duration = Duration::from_secs(24 * 3600);
const MAX_LENGTH_DEFAULT: u32 = 10_000;
const MAX_LENGTH_MAX: u32 = 1_000_000;

/// The word under `kind`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    FhirRest,
    Worklist,
    Amqp,
}

/// Keys of an inbox that belong to one kind only.
const KIND_KEYS: &[(&str, Kind)] = &[
    ("base-url", Kind::FhirRest),
    ("token", Kind::FhirRest),
    ("auth", Kind::FhirRest),
    ("tls", Kind::FhirRest),
    ("answers", Kind::FhirRest),
    ("poll-every", Kind::FhirRest),
    ("ids", Kind::FhirRest),
    ("timeout", Kind::FhirRest),
    ("max-length", Kind::Amqp),
];

/// `timeout` of a table.
pub(super) fn timeout(table: &mut Table<'_>) -> Duration {
    let found = table.get("timeout").and_then(|node| node.duration(TIMEOUT_MIN, TIMEOUT_MAX));
    found.unwrap_or(TIMEOUT_DEFAULT)
}

/// `read = { base-url, token, … }`.
pub(super) fn read(node: &Node<'_>, secrets: &Secrets<'_>, timeout: Duration) -> Option<Endpoint> {
    let mut table = node.table("a table with base-url and token or auth")?;
    let (base_url, access) = address(&mut table, secrets);
    table.finish();
    Some(Endpoint { base_url: base_url?, access, timeout })
}

/// `write-back = { kind, base-url, token, close-request, detail, … }`.
pub(super) fn write_back(
    node: &Node<'_>,
    secrets: &Secrets<'_>,
    timeout: Duration,
    retry: RetryPolicy,
) -> Option<WriteBack> {
    let mut table = node.table("a table with kind, base-url and token or auth")?;
    let kind = table.need("kind", "\"fhir-rest\"").and_then(|node| node.choice(&[("fhir-rest", ())]));
    let (base_url, access) = address(&mut table, secrets);
    let close_request = table.get("close-request").and_then(|node| node.bool()).unwrap_or(false);
    let details = [Detail::None, Detail::Codes, Detail::Summary, Detail::Full].map(|detail| (detail.as_str(), detail));
    let detail = table.get("detail").and_then(|node| node.choice(&details)).unwrap_or(Detail::Summary);
    let pace = pace(&mut table, retry);
    table.finish();
    kind?;
    Some(WriteBack { base_url: base_url?, access, close_request, detail, timeout, pace })
}

/// The keys of a table that say how its endpoint is to be treated.
const PACE_KEYS: [&str; 4] = ["retry", "concurrency", "rate", "drain-rate"];

/// `retry`, whose keys are those of `[retry]` and replace them one by one, `concurrency`, `rate` and `drain-rate`.
fn pace(table: &mut Table<'_>, retry: RetryPolicy) -> Pace {
    let own = table.get("retry").and_then(|node| node.table("a table with the keys of [retry]"));
    let retry = own.map_or(retry, |own| sections::retry(own, retry));
    let default = Pace { retry, ..Pace::default() };
    let concurrency = table.get("concurrency").and_then(|node| node.number(1, 1_000));
    let rate = table.get("rate").and_then(|node| node.number(1, 10_000));
    let drain_rate = table.get("drain-rate").and_then(|node| node.number(1, 10_000));
    Pace {
        retry,
        concurrency: concurrency.and_then(|n| u16::try_from(n).ok()).unwrap_or(default.concurrency),
        rate,
        drain_rate: drain_rate.unwrap_or(default.drain_rate),
    }
}

/// The keys of an inbox: `kind` and what belongs to it. Does not finish the table, which may hold more.
pub(super) fn inbox_kind(
    table: &mut Table<'_>,
    secrets: &Secrets<'_>,
    broker: &BrokerUrl,
    retry: RetryPolicy,
) -> Option<InboxKind> {
    let kinds = [("fhir-rest", Kind::FhirRest), ("worklist", Kind::Worklist), ("amqp", Kind::Amqp)];
    let node = table.need("kind", "\"fhir-rest\", \"worklist\" or \"amqp\"")?;
    let kind = node.choice(&kinds)?;
    for (key, of) in KIND_KEYS.iter().copied().chain(PACE_KEYS.map(|key| (key, Kind::FhirRest))) {
        if of != kind
            && let Some(node) = table.get(key)
        {
            let word = |kind: Kind| kinds.iter().find(|(_, k)| *k == kind).map_or("", |(word, _)| word);
            let allowed = format!("not with \"{}\"", word(kind));
            node.fault(&format!("a key of the kind \"{}\"", word(of)), allowed);
        }
    }
    match kind {
        Kind::FhirRest => fhir_rest(table, secrets, retry).map(InboxKind::FhirRest),
        Kind::Worklist => Some(InboxKind::Worklist),
        Kind::Amqp => {
            let max_length = table.get("max-length").and_then(|node| node.number(1, MAX_LENGTH_MAX));
            if *broker == BrokerUrl::Embedded {
                node.fault(
                    "\"amqp\" with the embedded broker, which nobody outside this process can read from",
                    "\"amqp\" only with a [broker] url of RabbitMQ",
                );
                return None;
            }
            Some(InboxKind::Amqp(AmqpInbox { max_length: max_length.unwrap_or(MAX_LENGTH_DEFAULT) }))
        }
    }
}

fn fhir_rest(table: &mut Table<'_>, secrets: &Secrets<'_>, retry: RetryPolicy) -> Option<FhirRestInbox> {
    let (base_url, access) = address(table, secrets);
    let polled = table.get("answers").and_then(|node| node.choice(&[("push", false), ("poll", true)])).unwrap_or(false);
    let answers = match (polled, table.get("poll-every")) {
        (false, None) => Answers::Push,
        (false, Some(node)) => {
            node.fault("poll-every without polling", "only with answers = \"poll\"");
            Answers::Push
        }
        (true, node) => {
            let every = node.and_then(|node| node.duration(POLL_MIN, POLL_MAX));
            Answers::Poll { every: every.unwrap_or(POLL_DEFAULT) }
        }
    };
    let ids = [("client", Ids::Client), ("server", Ids::Server)];
    let ids = table.get("ids").and_then(|node| node.choice(&ids)).unwrap_or(Ids::Client);
    let timeout = timeout(table);
    let pace = pace(table, retry);
    Some(FhirRestInbox { base_url: base_url?, access, answers, ids, timeout, pace })
}

/// `base-url`, which must be there, and `token` or `auth`, and `tls`, which may.
fn address(table: &mut Table<'_>, secrets: &Secrets<'_>) -> (Option<String>, Access) {
    let node = table.need("base-url", "\"https://HOST/PATH\"");
    let url = node.as_ref().and_then(base_url);
    let access = Access::read(table, secrets);
    if access.identity.is_some()
        && let (Some(node), Some(url)) = (&node, &url)
        && !url.starts_with("https://")
    {
        node.fault("http:// and tls", "https://, or no tls");
    }
    if let (Some(node), Some(url)) = (&node, &url)
        && is_open_to_listeners(url)
    {
        node.warn("http:// to another machine: referrals and tokens travel unencrypted; use https://");
    }
    (url, access)
}

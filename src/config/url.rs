//! URLs of the configuration. Those that may hold a password never show it.

use std::{fmt, path::PathBuf};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use super::Secret;
use crate::toml_reader::{Node, quoted};

/// Where referrals are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// An embedded SQLite file, relative to the working directory.
    Sqlite(PathBuf),
    /// A database of a PostgreSQL server, password included.
    Postgres(HiddenUrl),
}

/// What wakes the workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerUrl {
    /// The broker in this process.
    Embedded,
    /// A RabbitMQ, password included; the URLs of a cluster's nodes with commas between.
    Amqp(HiddenUrl),
}

/// A URL that may hold a password; Debug and Display show it without.
#[derive(Clone, PartialEq, Eq)]
pub struct HiddenUrl {
    full: String,
    shown: String,
}

/// The parts of `scheme://user:password@host:port/path?query`.
struct Parts<'t> {
    scheme: &'t str,
    user: Option<&'t str>,
    password: Option<&'t str>,
    /// Host and port.
    host: &'t str,
    /// From the first `/`, `?` or `#` on.
    rest: &'t str,
}

const STORE_URLS: &str = "\"sqlite:PATH\" or \"postgres://…\"";
const BROKER_URLS: &str =
    "\"embedded:\", \"amqp://…\" or \"amqps://…\", several with commas between for the nodes of a cluster";
const HTTP_URLS: &str = "\"https://HOST/PATH\" or \"http://HOST/PATH\", without user, password, ? and #";

// === impl HiddenUrl ===

impl HiddenUrl {
    /// The whole URL with its password. Only for the one place that connects.
    pub fn reveal(&self) -> &str {
        &self.full
    }

    fn of(parts: &Parts<'_>, password: Option<&str>) -> Self {
        let Parts { scheme, user, host, rest, .. } = parts;
        let (full_user, shown_user) = match (user, password) {
            (Some(user), Some(password)) => (format!("{user}:{password}@"), format!("{user}:…@")),
            (Some(user), None) => (format!("{user}@"), format!("{user}@")),
            (None, _) => (String::new(), String::new()),
        };
        let path = rest.split(['?', '#']).next().unwrap_or_default();
        Self {
            full: format!("{scheme}://{full_user}{host}{rest}"),
            shown: format!("{scheme}://{shown_user}{host}{path}"),
        }
    }
}

impl fmt::Display for HiddenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for HiddenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HiddenUrl({})", self.shown)
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded:"),
            Self::Amqp(url) => url.fmt(f),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

/// A store's URL, the password put into it where it stands apart.
pub(super) fn store_url(node: &Node<'_>, password: Option<&Secret>) -> Option<StoreUrl> {
    let text = node.text(STORE_URLS)?;
    if let Some(path) = text.strip_prefix("sqlite:") {
        if path.is_empty() || path.starts_with("//") || path == ":memory:" {
            node.fault(&quoted(text), "\"sqlite:PATH\", the path of a file and without //");
            return None;
        }
        if password.is_some() {
            node.fault("a password for a file", "a password only with \"postgres://…\"");
        }
        return Some(StoreUrl::Sqlite(PathBuf::from(path)));
    }
    let parts = Parts::split(text).filter(|parts| matches!(parts.scheme, "postgres" | "postgresql"));
    // several servers of which one takes writes, or the folder of a socket as %2Fvar%2Frun%2Fpostgresql
    let is_socket = |host: &str| host.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("%2f"));
    let Some(parts) = parts.filter(|p| p.host.split(',').all(|host| is_host(host) || is_socket(host))) else {
        node.fault("another URL", STORE_URLS); // not repeated: it may hold a password
        return None;
    };
    let query = parts.rest.split_once('?').map_or("", |(_, query)| query);
    let sslmode = query.split('&').find_map(|pair| pair.strip_prefix("sslmode="));
    let far = !parts.host.split(',').all(|host| is_loopback(host) || is_socket(host));
    match sslmode {
        None | Some("verify-full" | "require") => {}
        Some("disable") if far => {
            node.warn("sslmode=disable to another machine: referrals and password travel unencrypted; leave it out");
        }
        Some("disable") => {}
        Some(other) => {
            node.fault(
                &format!("sslmode={other}"),
                "\"verify-full\", \"require\" (which means the same) or \"disable\"",
            );
            return None;
        }
    }
    with_password(node, &parts, password, "\"postgres://USER@HOST/DATABASE\"").map(StoreUrl::Postgres)
}

/// A URL with the password that stands in it or beside it.
fn with_password(node: &Node<'_>, parts: &Parts<'_>, password: Option<&Secret>, good: &str) -> Option<HiddenUrl> {
    match (parts.password, password) {
        (Some(_), Some(_)) => {
            node.fault("a password in the URL and one beside it", "one of the two");
            None
        }
        (None, Some(_)) if parts.user.is_none_or(str::is_empty) => {
            node.fault("a password but no user", format!("{good} with password = {{ env = … }} beside it"));
            None
        }
        (None, Some(password)) => {
            let encoded = Zeroizing::new(utf8_percent_encode(password.reveal(), NON_ALPHANUMERIC).to_string());
            Some(HiddenUrl::of(parts, Some(&encoded)))
        }
        (in_url, None) => {
            if in_url.is_some() && !node.is_variable() {
                node.warn(
                    "the password stands in the file; put it beside the URL as password = { env = … } or { file = … }",
                );
            }
            Some(HiddenUrl::of(parts, in_url))
        }
    }
}

/// A broker's URL, the password put into it where it stands apart.
pub(super) fn broker_url(node: &Node<'_>, password: Option<&Secret>) -> Option<BrokerUrl> {
    let text = node.text(BROKER_URLS)?;
    if matches!(text, "embedded:" | "embedded") {
        if password.is_some() {
            node.fault("a password for the embedded broker", "a password only with \"amqp://…\" or \"amqps://…\"");
        }
        return Some(BrokerUrl::Embedded);
    }
    let nodes: Option<Vec<HiddenUrl>> = separate(text).into_iter().map(|url| amqp_url(node, url, password)).collect();
    let join = |part: fn(&HiddenUrl) -> &str, nodes: &[HiddenUrl]| nodes.iter().map(part).collect::<Vec<_>>().join(",");
    let nodes = nodes?;
    Some(BrokerUrl::Amqp(HiddenUrl { full: join(|url| &url.full, &nodes), shown: join(|url| &url.shown, &nodes) }))
}

/// The URLs of the nodes of a cluster, which commas separate. A comma may be part of a password: only one that another URL
/// follows separates.
fn separate(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        let follows = |at: &usize| {
            let next = rest[at + 1..].trim_start();
            next.starts_with("amqp://") || next.starts_with("amqps://")
        };
        match rest.match_indices(',').map(|(at, _)| at).find(follows) {
            Some(at) => {
                found.push(rest[..at].trim());
                rest = &rest[at + 1..];
            }
            None => {
                found.push(rest.trim());
                return found;
            }
        }
    }
}

/// The URL of one RabbitMQ node.
fn amqp_url(node: &Node<'_>, text: &str, password: Option<&Secret>) -> Option<HiddenUrl> {
    let Some(parts) = Parts::of(text).filter(|parts| matches!(parts.scheme, "amqp" | "amqps")) else {
        node.fault("another URL", BROKER_URLS);
        return None;
    };
    if parts.scheme == "amqp" && !is_loopback(parts.host) {
        node.warn("amqp:// to another machine: messages and password travel unencrypted; use amqps://");
    }
    with_password(node, &parts, password, "\"amqps://USER@HOST\"")
}

/// A base URL: http or https, no user, no query, no slash at the end.
pub(super) fn base_url(node: &Node<'_>) -> Option<String> {
    let text = node.text(HTTP_URLS)?;
    let parts = Parts::of(text).filter(|parts| matches!(parts.scheme, "http" | "https"));
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '@' | '\\');
    let sound = |parts: &Parts<'_>| parts.user.is_none() && !text.contains(bad);
    match parts {
        Some(parts) if sound(&parts) => Some(text.trim_end_matches('/').to_owned()),
        // a URL with a user may hold a password: not repeated
        _ if text.contains('@') => {
            node.fault("a URL with a user in it", HTTP_URLS);
            None
        }
        _ => {
            node.fault(&quoted(text), HTTP_URLS);
            None
        }
    }
}

/// Whether a base URL carries what it carries unencrypted to another machine.
pub(super) fn is_open_to_listeners(base_url: &str) -> bool {
    Parts::of(base_url).is_some_and(|parts| parts.scheme == "http" && !is_loopback(parts.host))
}

/// Scheme and host of a URL, the host without its port.
pub(super) fn scheme_and_host(url: &str) -> Option<(&str, &str)> {
    let parts = Parts::of(url)?;
    let host = match parts.host.strip_prefix('[') {
        Some(v6) => v6.split(']').next()?,
        None => parts.host.split(':').next()?,
    };
    Some((parts.scheme, host))
}

/// Whether this is an origin as a browser writes it (RFC 6454, 6.2), which is what it is compared with letter by letter.
pub(super) fn is_origin(text: &str) -> bool {
    let usual = |parts: &Parts<'_>| match parts.scheme {
        "http" => parts.host.ends_with(":80"),
        _ => parts.host.ends_with(":443"),
    };
    let small = !text.bytes().any(|b| b.is_ascii_uppercase());
    Parts::of(text).is_some_and(|parts| {
        let web = matches!(parts.scheme, "http" | "https");
        web && small && parts.user.is_none() && parts.rest.is_empty() && !parts.host.ends_with(':') && !usual(&parts)
    })
}

/// `host`, `host:port` or `[v6]:port`; the port may be any, but a port.
fn is_host(host_and_port: &str) -> bool {
    let (host, port) = match host_and_port.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        Some((v6, port)) if v6.parse::<std::net::Ipv6Addr>().is_ok() => ("v6", port.strip_prefix(':').or(Some(port))),
        Some(_) => return false,
        None => host_and_port.split_once(':').map_or((host_and_port, None), |(host, port)| (host, Some(port))),
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    let sound = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    !host.is_empty()
        && host.bytes().all(sound)
        && port.is_none_or(|port| port.is_empty() && host == "v6" || is_port(port))
}

fn is_loopback(host_and_port: &str) -> bool {
    let host = match host_and_port.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host_and_port.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

// === impl Parts ===

impl<'t> Parts<'t> {
    fn of(text: &'t str) -> Option<Self> {
        Self::split(text).filter(|parts| is_host(parts.host))
    }

    /// The same, whatever stands for the host.
    fn split(text: &'t str) -> Option<Self> {
        let (scheme, after) = text.split_once("://")?;
        let (authority, rest) = after.split_at(after.find(['/', '?', '#']).unwrap_or(after.len()));
        let (credentials, host) = match authority.rsplit_once('@') {
            Some((credentials, host)) => (Some(credentials), host),
            None => (None, authority),
        };
        let (user, password) = match credentials.map(|both| both.split_once(':').ok_or(both)) {
            Some(Ok((user, password))) => (Some(user), Some(password)),
            Some(Err(user)) => (Some(user), None),
            None => (None, None),
        };
        Some(Self { scheme, user, password, host, rest })
    }
}

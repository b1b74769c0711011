//! Reads `[smtp]` and `notify`: through which server people are told by mail that something waits for them, and who.

use std::{path::PathBuf, time::Duration};

use jiff::SignedDuration;

use super::{Outbound, Secret, secret::Secrets, tls::existing};
use crate::toml_reader::{Node, Table, quoted};

/// So many addresses of one inbox.
const NOTIFY_MAX: usize = 10;
/// An address has no more characters (RFC 5321, 4.5.3.1.3, without its angle brackets), …
const ADDRESS_CHARS_MAX: usize = 254;
/// … of which so many stand before its @ (4.5.3.1.1).
const LOCAL_CHARS_MAX: usize = 64;
const USER_CHARS_MAX: usize = 254;
const MINUTE: Duration = Duration::from_secs(60);
const EVERY_DEFAULT: Duration = Duration::from_secs(15 * 60);
const EVERY_MIN: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);
const SERVER: &str = "\"HOST:PORT\", such as \"smtp.trust.nhs.uk:587\"";
const ADDRESS: &str = "an e-mail address in letters of ASCII, such as \"team@charity.example\"";

/// `[smtp]`: the server that notices go out through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smtp {
    /// Its host, whose name its certificate has.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How it is spoken to.
    pub tls: SmtpTls,
    /// The authorities of its certificate, in PEM; none: those of the machine.
    pub roots: Option<PathBuf>,
    /// As whom Onward logs in there.
    pub user: Option<(String, Secret)>,
    /// From whom notices are.
    pub from: String,
    /// Notices of one inbox go out at most this often, what is urgent apart.
    pub every: SignedDuration,
}

/// How a mail server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// TLS from the first byte (RFC 8314, 3.3).
    Implicit,
    /// STARTTLS, and nothing is sent where the server has none (RFC 3207).
    Starttls,
    /// In clear; only at this machine.
    None,
}

impl Smtp {
    /// None where there is no such table. `notified` says whether some inbox has somebody to be told.
    pub(super) fn read(
        root: &mut Table<'_>,
        secrets: &Secrets<'_>,
        outbound: &Outbound,
        notified: bool,
    ) -> Option<Self> {
        let Some(node) = root.get("smtp") else {
            if notified {
                root.fault("smtp", "needed where an inbox has notify: address and from of a mail server");
            }
            return None;
        };
        let mut table = node.table("a table with address and from")?;
        let server = table.need("address", SERVER).and_then(|node| {
            let server = server(&node)?;
            // a mail server that is spoken to under TLS is as good as https
            let allowed = outbound.allows_url("https", &server.0);
            if !allowed {
                node.fault(
                    "a server where Onward may not connect to",
                    "another one, or its address in [outbound] allow",
                );
            }
            allowed.then_some(server)
        });
        let words = [("starttls", SmtpTls::Starttls), ("implicit", SmtpTls::Implicit), ("none", SmtpTls::None)];
        let tls_node = table.get("tls");
        let tls = tls_node.as_ref().and_then(|node| node.choice(&words)).unwrap_or(SmtpTls::Starttls);
        if let (Some(node), SmtpTls::None, Some((host, _))) = (&tls_node, tls, &server)
            && !is_this_machine(host)
        {
            node.fault("\"none\" to another machine", "\"starttls\" or \"implicit\"; \"none\" only at this machine");
        }
        let roots = table.get("roots").and_then(|node| existing(&node, secrets.folder(), "the path of a PEM file"));
        let user = table.get("user").and_then(|node| node.line(USER_CHARS_MAX));
        let password = table.get("password").and_then(|node| secrets.password(&node));
        if user.is_some() != password.is_some() {
            table.fault("user", "found one of user and password; allowed: both or neither");
        }
        let from = table.need("from", ADDRESS).and_then(|node| address(&node));
        let every = table.get("every").and_then(|node| node.duration(EVERY_MIN, DAY)).unwrap_or(EVERY_DEFAULT);
        if every < MINUTE {
            table.warn("every", "so often is for trying out: people stop reading what comes all the time");
        }
        table.finish();
        let (host, port) = server?;
        let every = SignedDuration::try_from(every).ok()?;
        Some(Self { host, port, tls, roots, user: user.zip(password), from: from?, every })
    }
}

fn server(node: &Node<'_>) -> Option<(String, u16)> {
    let text = node.text(SERVER)?;
    let split = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let fits = |host: &str| {
        !host.is_empty()
            && host.len() <= 253
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.[]:".contains(&b))
    };
    match split.filter(|(host, port)| fits(host) && *port > 0) {
        Some((host, port)) => Some((host.to_owned(), port)),
        None => {
            node.fault(&quoted(text), SERVER);
            None
        }
    }
}

fn is_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || super::literal(host).is_some_and(|address| address.is_loopback())
}

/// `notify` of an inbox, which only one of kind worklist may have.
pub(super) fn notify(table: &mut Table<'_>, is_worklist: bool) -> Vec<String> {
    let Some(node) = table.get("notify") else { return Vec::new() };
    if !is_worklist {
        node.fault(
            "a key of the kind \"worklist\"",
            "only with kind = \"worklist\": others have systems that tell their people",
        );
        return Vec::new();
    }
    let items = node.items("a list of e-mail addresses");
    if items.len() > NOTIFY_MAX {
        node.fault(&format!("{} addresses", items.len()), format!("at most {NOTIFY_MAX}"));
    }
    let mut all: Vec<String> = items.iter().take(NOTIFY_MAX).filter_map(address).collect();
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|one| seen.insert(one.to_ascii_lowercase()));
    all
}

fn address(node: &Node<'_>) -> Option<String> {
    let text = node.text(ADDRESS)?;
    if !is_address(text) {
        node.fault(&quoted(text), ADDRESS);
    }
    is_address(text).then(|| text.to_owned())
}

/// Whether this is an address as mail programs write them: no quotes, comments, literals or anything that could end a header (RFC 5321,
/// 4.1.2, `Dot-string` and `Domain` alone).
fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let is_atom = |atom: &str| {
        !atom.is_empty() && atom.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
    };
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= ADDRESS_CHARS_MAX
        && local.len() <= LOCAL_CHARS_MAX
        && local.split('.').all(is_atom)
        && domain.contains('.')
        && domain.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_holds_nothing_that_ends_a_header() {
        for good in ["team@charity.example", "a.b+c@x-y.nhs.uk", "o'hara@a.b"] {
            assert!(is_address(good), "{good}");
        }
        let long = format!("{}@a.b", "x".repeat(65));
        for bad in [
            "",
            "team",
            "team@localhost",
            "a@b@c.d",
            "a b@c.d",
            "a@c.d\r\nBcc: all@x.y",
            "a@c.d\n",
            "\"a\"@c.d",
            "a@[127.0.0.1]",
            ".a@c.d",
            "a@-c.d",
            "Team <a@c.d>",
            "é@c.d",
            &long,
        ] {
            assert!(!is_address(bad), "{bad:?}");
        }
    }
}

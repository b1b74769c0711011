//! Reads `[outbound]`: where Onward may connect to when it hands something over, and what it never may by itself.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::{
    registry::{InboxKind, Registry},
    url::scheme_and_host,
};
use crate::toml_reader::{Node, Table, quoted};

/// So many ranges or hosts in one list.
const ITEMS_MAX: usize = 100;
const RANGE: &str = "a range of addresses, such as \"10.0.0.0/8\" or \"2001:db8::/32\"; one address is \"10.1.2.3/32\"";
const HOST: &str = "a host in small letters, such as \"fhir.trust.nhs.uk\", or all below one: \"*.trust.nhs.uk\"";

/// `[outbound]`: where requests may go. What the configuration names as an endpoint is still what is spoken to; this bounds what a
/// name in it may come to mean.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outbound {
    /// Ranges beside what is allowed anyway.
    pub allow: Vec<IpNet>,
    /// Where not empty: only these ranges.
    pub only: Vec<IpNet>,
    /// Where not empty: only these hosts, as they stand in URLs.
    pub hosts: Vec<String>,
    /// Whether only `https://` is spoken.
    pub encrypted: bool,
    /// Whether this machine itself may be spoken to: where Onward listens to nobody else.
    pub loopback: bool,
}

// === impl Outbound ===

impl Outbound {
    /// Nothing is refused: for servers that Onward itself stands on.
    pub fn anywhere() -> Self {
        let all = [IpNet::from(IpAddr::from([0; 4])), IpNet::from(IpAddr::from([0u16; 8]))];
        let all = all.map(|net| IpNet::new(net.addr(), 0).unwrap_or(net));
        Self { allow: all.to_vec(), ..Self::default() }
    }

    pub(super) fn read(mut table: Table<'_>, loopback: bool) -> Self {
        let allow = list(&mut table, "allow", range);
        let only = list(&mut table, "only", range);
        let hosts = list(&mut table, "hosts", host);
        let schemes =
            table.get("schemes").map(|node| node.items("a list of \"https\" and \"http\"")).unwrap_or_default();
        let mut spoken: Vec<bool> = Vec::new();
        for node in &schemes {
            spoken.extend(node.choice(&[("https", true), ("http", false)]));
        }
        let encrypted = !spoken.is_empty() && spoken.iter().all(|https| *https);
        table.finish();
        Self { allow, only, hosts, encrypted, loopback }
    }

    /// The endpoints of a registry that could never be spoken to, each by what it is of: better told before it starts than found out
    /// by the first referral.
    pub(super) fn out_of_reach(&self, registry: &Registry) -> Vec<String> {
        let inboxes = registry.inboxes.values().filter_map(|inbox| match &inbox.kind {
            InboxKind::FhirRest(rest) => Some((format!("inbox {}", inbox.id), &rest.base_url)),
            _ => None,
        });
        let systems = registry.systems.values().flat_map(|system| {
            let write_back = system.write_back.as_ref().map(|to| &to.base_url);
            let both = write_back.into_iter().chain(system.read.as_ref().map(|from| &from.base_url));
            both.map(|url| (format!("system {}", system.id), url))
        });
        let is_out = |url: &str| {
            scheme_and_host(url).is_some_and(|(scheme, host)| {
                let own = host.eq_ignore_ascii_case("localhost") && !self.allows(Ipv4Addr::LOCALHOST.into());
                own || !self.allows_url(scheme, host)
            })
        };
        let mut out: Vec<String> =
            inboxes.chain(systems).filter(|(_, url)| is_out(url)).map(|(what, _)| what).collect();
        out.dedup();
        out
    }

    /// Whether an address may be connected to, whatever name led to it.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = meant(address);
        if self.allow.iter().any(|range| range.contains(&address)) {
            return true;
        }
        let never = match address {
            IpAddr::V4(v4) => {
                v4.is_link_local() || v4.is_multicast() || v4.is_broadcast() || THIS_NETWORK.contains(&v4)
            }
            IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_multicast() || v6.is_unspecified(),
        };
        if never || (address.is_loopback() && !self.loopback) {
            return false;
        }
        self.only.is_empty() || self.only.iter().any(|range| range.contains(&address))
    }

    /// Whether a URL may be used, as far as it says by itself: its scheme, its host, an address that it names.
    pub fn allows_url(&self, scheme: &str, host: &str) -> bool {
        if self.encrypted && scheme != "https" {
            return false;
        }
        if let Some(address) = literal(host) {
            return self.allows(address);
        }
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let is_it = |allowed: &String| match allowed.strip_prefix('*') {
            Some(below) => host.len() > below.len() && host.ends_with(below),
            None => host == *allowed,
        };
        self.hosts.is_empty() || self.hosts.iter().any(is_it)
    }
}

/// `0.0.0.0/8`: to connect there is to connect to this machine.
const THIS_NETWORK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(0, 0, 0, 0), 8);

/// The address that a host is, where it is one.
pub fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// The address that is meant: an IPv4 address that is written as IPv6 (RFC 4291, 2.5.5; RFC 6052, 2.1) is that address.
fn meant(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return v4.into();
    }
    let [a, b, c, d, e, f, high, low] = v6.segments();
    let is_nat64 = (a, b, c, d, e, f) == (0x64, 0xff9b, 0, 0, 0, 0);
    let is_compatible = (a, b, c, d, e, f) == (0, 0, 0, 0, 0, 0) && high != 0;
    if is_nat64 || is_compatible {
        let ([w, x], [y, z]) = (high.to_be_bytes(), low.to_be_bytes());
        return Ipv4Addr::new(w, x, y, z).into();
    }
    address
}

fn list<T>(table: &mut Table<'_>, key: &'static str, read: impl Fn(&Node<'_>) -> Option<T>) -> Vec<T> {
    let nodes = table.get(key).map(|node| node.items("a list")).unwrap_or_default();
    if nodes.len() > ITEMS_MAX {
        table.fault(key, format!("found {} items; allowed: at most {ITEMS_MAX}", nodes.len()));
    }
    nodes.iter().take(ITEMS_MAX).filter_map(read).collect()
}

fn range(node: &Node<'_>) -> Option<IpNet> {
    let found: IpNet = node.parse(RANGE)?;
    if found.trunc() != found {
        node.fault(&format!("{found}"), format!("the whole range: \"{}\"", found.trunc()));
        return None;
    }
    Some(found)
}

fn host(node: &Node<'_>) -> Option<String> {
    let text = node.text(HOST)?;
    let name = text.strip_prefix("*.").unwrap_or(text);
    let fits = !name.is_empty()
        && name.len() <= 253
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'));
    if !fits {
        node.fault(&quoted(text), HOST);
        return None;
    }
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(outbound: &Outbound, address: &str) -> bool {
        outbound.allows(address.parse().unwrap())
    }

    #[test]
    fn this_machine_and_its_link_are_out_of_reach_however_they_are_written() {
        let beyond = Outbound::default();
        for address in ["10.1.2.3", "192.168.0.1", "172.16.9.9", "8.8.8.8", "2a00::1", "fd00::1", "::ffff:10.0.0.1"] {
            assert!(allows(&beyond, address), "{address}");
        }
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "fe80::1",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
        ] {
            assert!(!allows(&beyond, address), "{address}");
        }
        let own = Outbound { loopback: true, ..Outbound::default() };
        for (address, may) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("169.254.169.254", false),
            ("0.0.0.0", false),
        ] {
            assert_eq!(allows(&own, address), may, "{address}");
        }
    }

    #[test]
    fn ranges_widen_and_narrow() {
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let some = Outbound { allow: vec![net("127.0.0.0/8")], only: vec![net("10.0.0.0/8")], ..Outbound::default() };
        for (address, may) in
            [("127.0.0.1", true), ("10.9.9.9", true), ("11.0.0.1", false), ("::1", false), ("::ffff:10.0.0.1", true)]
        {
            assert_eq!(allows(&some, address), may, "{address}");
        }
        assert!(
            ["127.0.0.1", "::1", "169.254.1.1", "8.8.8.8"].iter().all(|address| allows(&Outbound::anywhere(), address))
        );
    }

    #[test]
    fn hosts_and_schemes_are_those_of_the_url() {
        let hosts = vec!["fhir.trust.nhs.uk".to_owned(), "*.rio.example".to_owned()];
        let some = Outbound { hosts, encrypted: true, ..Outbound::default() };
        for (scheme, host, may) in [
            ("https", "fhir.trust.nhs.uk", true),
            ("https", "FHIR.trust.nhs.uk.", true),
            ("http", "fhir.trust.nhs.uk", false),
            ("https", "a.rio.example", true),
            ("https", "rio.example", false),
            ("https", "evilrio.example", false),
            ("https", "fhir.trust.nhs.uk.evil.example", false),
            ("https", "127.0.0.1", false),
            ("https", "[::1]", false),
            ("https", "10.0.0.1", true),
        ] {
            assert_eq!(some.allows_url(scheme, host), may, "{scheme} {host}");
        }
    }
}

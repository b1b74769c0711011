//! Reads `[outbound]`: where Onward may connect to when it hands something over, and what it never may by itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    Alerts, People,
    keys::KeySource,
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
        let allow = list(&mut table, "allow", |node| {
            let found = range(node)?;
            if let Some(risk) = risk(&found) {
                node.warn(risk);
            }
            Some(found)
        });
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

    /// What of a registry could never be spoken to, and whether those who are told of alerts or say who people are, each in words: better told
    /// before it starts than found out by the first referral.
    pub(super) fn out_of_reach(&self, registry: &Registry, alerts: &Alerts, people: &People) -> Vec<String> {
        let inboxes = registry.inboxes.values().filter_map(|inbox| match &inbox.kind {
            InboxKind::FhirRest(rest) => Some((format!("inbox {}", inbox.id), &rest.base_url, &rest.access)),
            _ => None,
        });
        let systems = registry.systems.values().flat_map(|system| {
            let write_back = system.write_back.as_ref().map(|to| (&to.base_url, &to.access));
            let both = write_back.into_iter().chain(system.read.as_ref().map(|from| (&from.base_url, &from.access)));
            both.map(|(url, access)| (format!("system {}", system.id), url, access))
        });
        let endpoints = inboxes.chain(systems).flat_map(|(what, url, access)| {
            let token_url = access.grant.as_ref().map(|grant| (format!("the token-url of {what}"), &grant.token_url));
            std::iter::once((format!("the endpoint of {what}"), url)).chain(token_url)
        });
        let keys = registry.clients().filter_map(|client| match &client.keys.source {
            Some(KeySource::Url(url)) => Some((format!("the jwks-url of {}", client.client), url)),
            _ => None,
        });
        let of_systems =
            registry.systems.values().flat_map(|one| one.hooks.iter().map(|url| (one.id.to_string(), url)));
        let of_providers =
            registry.providers.values().flat_map(|one| one.hooks.iter().map(|url| (one.id.to_string(), url)));
        let hooks = of_systems.chain(of_providers).map(|(id, url)| (format!("a hook of {id}"), url));
        let is_out = |url: &str| {
            scheme_and_host(url).is_some_and(|(scheme, host)| {
                let own = host.eq_ignore_ascii_case("localhost") && !self.allows(Ipv4Addr::LOCALHOST.into());
                own || !self.allows_url(scheme, host)
            })
        };
        let told = alerts.hook.as_ref().map(|hook| ("the hook of [alerts]".to_owned(), &hook.base_url));
        let of_tokens = registry.issuer.as_ref().map(|issuer| ("the url of [issuer]".to_owned(), &issuer.url));
        let of_people = people.oidc.as_ref().map(|oidc| ("the issuer of [people.oidc]".to_owned(), &oidc.issuer));
        let all = endpoints.chain(keys).chain(hooks).chain(told).chain(of_tokens).chain(of_people);
        let mut out: Vec<String> = all.filter(|(_, url)| is_out(url)).map(|(what, _)| what).collect();
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
            let is_listed = self.hosts.is_empty() || self.hosts.iter().any(|host| literal(host) == Some(address));
            return is_listed && self.allows(address);
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

/// A range that holds so much of all addresses is not chosen for what stands in it.
const WIDE_BITS: u8 = 4;

/// What may be reached by allowing a range that nobody should have reached.
fn risk(range: &IpNet) -> Option<&'static str> {
    if range.prefix_len() <= WIDE_BITS {
        return Some(
            "allows nearly every address, this machine and its network among them: a name that comes to mean one of those is \
             followed; allow the ranges that the endpoints stand in",
        );
    }
    let link: [IpNet; 2] = [LINK.into(), LINK_V6.into()];
    // a part of it as well as what it is a part of
    let touches = link.iter().any(|link| link.contains(range) || range.contains(link));
    touches.then_some(
        "allows addresses of the link, where clouds tell whoever asks the secrets of a machine (169.254.169.254); no server of \
         another organisation stands there",
    )
}

/// Addresses of the link alone (RFC 3927, RFC 4291 2.5.6).
const LINK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16);
const LINK_V6: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10);

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
    let is_name = !name.is_empty()
        && name.len() <= 253
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'));
    let fits = is_name || literal(text).is_some();
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
    fn a_range_that_reaches_too_far_is_said_to() {
        let risky = |text: &str| risk(&text.parse().unwrap()).is_some();
        for text in
            ["0.0.0.0/0", "::/0", "128.0.0.0/1", "160.0.0.0/4", "169.254.0.0/16", "169.254.169.254/32", "169.0.0.0/8"]
        {
            assert!(risky(text), "{text}");
        }
        for text in ["fe80::/10", "fe80::/64", "fe00::/8"] {
            assert!(risky(text), "{text}");
        }
        for text in
            ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.1.7/32", "fd00::/8", "2001:db8::/32", "::1/128"]
        {
            assert!(!risky(text), "{text}");
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
        let hosts = ["fhir.trust.nhs.uk", "*.rio.example", "10.0.0.1", "[2001:db8::1]", "127.0.0.1"];
        let some = Outbound { hosts: hosts.map(str::to_owned).to_vec(), encrypted: true, ..Outbound::default() };
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
            ("https", "10.0.0.2", false),
            ("https", "8.8.8.8", false),
            ("https", "[2001:db8:0::1]", true),
            ("https", "[2001:db8::2]", false),
        ] {
            assert_eq!(some.allows_url(scheme, host), may, "{scheme} {host}");
        }
        let any = Outbound::default();
        assert!(any.allows_url("http", "10.0.0.2") && any.allows_url("https", "[2001:db8::2]"));
    }
}

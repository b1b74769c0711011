//! How many connections one address holds. Who asks is not known before a request or a certificate has come, so an address that has as
//! many as it may is not closed to whoever comes next: it gives up one of its own of which nobody is known, the oldest that is idle
//! first. A client that has once shown who it is keeps its connection.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

use super::{connection::Watch, often::network};
use crate::config::Limits;

/// The connections that each address has open. It names none that has none, so never more than there are connections.
pub(super) struct Addresses {
    /// None: as many as there may be.
    max: Option<usize>,
    /// From this machine itself, where a proxy may stand that all others come by.
    max_of_loopback: Option<usize>,
    /// Each address's, the oldest first.
    open: Mutex<HashMap<IpAddr, Vec<Arc<Standing>>>>,
}

/// What is known of one connection.
#[derive(Default)]
pub struct Standing {
    is_known: AtomicBool,
    watch: OnceLock<Arc<Watch>>,
    given_up: CancellationToken,
}

/// One of an address, until it is dropped.
pub(super) struct OfAddress {
    all: Arc<Addresses>,
    network: IpAddr,
    /// What is known of it.
    pub standing: Arc<Standing>,
}

// === impl Standing ===

impl Standing {
    /// A client or person that is known has asked for something over it.
    pub fn known(&self) {
        self.is_known.store(true, Ordering::Relaxed);
    }

    /// By this it is seen whether something is under way over it.
    pub(super) fn watched(&self, watch: &Arc<Watch>) {
        let _ = self.watch.set(Arc::clone(watch));
    }

    /// Resolves when it is given up for another one.
    pub(super) async fn given_up(&self) {
        self.given_up.cancelled().await;
    }

    fn may_be_given_up(&self) -> bool {
        !self.is_known.load(Ordering::Relaxed)
    }

    fn is_idle(&self) -> bool {
        self.watch.get().is_none_or(|watch| watch.is_idle())
    }
}

impl std::fmt::Debug for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Standing({})", if self.may_be_given_up() { "unknown" } else { "known" })
    }
}

// === impl Addresses ===

impl Addresses {
    /// As the configuration says.
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        let (max, max_of_loopback) = limits.connections_of_address();
        Arc::new(Self { max, max_of_loopback, open: Mutex::default() })
    }

    /// One more connection from there, for which another may have been given up; none where it has as many as it may, and over each of them
    /// somebody is known.
    pub(super) fn one_more(self: &Arc<Self>, from: IpAddr) -> Option<OfAddress> {
        let network = network(from);
        let max = if network.is_loopback() || from.is_loopback() { self.max_of_loopback } else { self.max };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let here = open.entry(network).or_default();
        if max.is_some_and(|max| here.len() >= max) {
            let idle = here.iter().position(|one| one.may_be_given_up() && one.is_idle());
            let at = idle.or_else(|| here.iter().position(|one| one.may_be_given_up()))?;
            here.remove(at).given_up.cancel();
            metrics::counter!("onward_connections_given_up_total").increment(1);
        }
        let standing = Arc::new(Standing::default());
        here.push(Arc::clone(&standing));
        Some(OfAddress { all: Arc::clone(self), network, standing })
    }
}

impl Drop for OfAddress {
    fn drop(&mut self) {
        let mut open = self.all.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = open.get_mut(&self.network) {
            here.retain(|one| !Arc::ptr_eq(one, &self.standing));
            if here.is_empty() {
                open.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::Version;

    use super::*;
    use crate::http::connection::Patience;

    /// More than there may be.
    const MANY: usize = 2_000;

    fn addresses(lines: &str) -> Arc<Addresses> {
        let text = format!("[limits]\n{lines}");
        let (config, _) =
            crate::config::Config::parse(&text, std::path::Path::new("onward.toml"), &crate::config::Env::default())
                .unwrap();
        Addresses::new(&config.limits)
    }

    /// As many as come in, each of somebody who is known.
    fn taken(addresses: &Arc<Addresses>, from: &str) -> Vec<OfAddress> {
        let from = from.parse().unwrap();
        let known = |_| addresses.one_more(from).inspect(|one| one.standing.known());
        (0..MANY).map_while(known).collect()
    }

    fn is_given_up(one: &OfAddress) -> bool {
        one.standing.given_up.is_cancelled()
    }

    #[test]
    fn one_address_has_a_share_of_all_connections() {
        let all = addresses("connections = 100");
        let one = taken(&all, "192.0.2.1");
        assert_eq!(one.len(), 25);
        assert!(all.one_more("::ffff:192.0.2.1".parse().unwrap()).is_none(), "it is the same one");
        assert_eq!(taken(&all, "192.0.2.2").len(), 25, "another one has its own");
        let of_network = taken(&all, "2001:db8:1:2::1");
        assert!(all.one_more("2001:db8:1:2:ffff::9".parse().unwrap()).is_none(), "who has a whole network is one");
        assert_eq!(of_network.len(), 25);
        assert!(!one.iter().any(is_given_up), "who is known keeps what she has");
        drop((one, of_network));
        assert!(all.one_more("192.0.2.1".parse().unwrap()).is_some(), "what is over is given back");
        assert!(all.open.lock().unwrap().is_empty(), "and forgotten");
    }

    #[test]
    fn who_comes_next_has_the_place_of_the_oldest_of_whom_nothing_is_known() {
        let all = addresses("connections = 100\nconnections-per-address = 4");
        let from = "192.0.2.1".parse().unwrap();
        let mut held: Vec<OfAddress> = (0..4).map(|_| all.one_more(from).unwrap()).collect();
        // the first is somebody's who is known, the second is being answered
        held[0].standing.known();
        let patience = std::time::Duration::from_secs(10);
        let watch = Watch::new(Patience { idle: patience, takes_within: patience, once: false });
        held[1].standing.watched(&watch);
        let asked = watch.begin(Version::HTTP_11);
        let given_up = |held: &[OfAddress]| held.iter().map(is_given_up).collect::<Vec<_>>();
        held.push(all.one_more(from).unwrap());
        assert_eq!(given_up(&held), [false, false, true, false, false]);
        held.push(all.one_more(from).unwrap());
        held.push(all.one_more(from).unwrap());
        assert_eq!(given_up(&held), [false, false, true, true, true, false, false]);
        // where all that are left are being answered, the oldest of those
        for one in &held[5..] {
            one.standing.watched(&watch);
        }
        held.push(all.one_more(from).unwrap());
        assert_eq!(given_up(&held), [false, true, true, true, true, false, false, false]);
        drop(asked);
        assert_eq!(all.open.lock().unwrap().values().map(Vec::len).sum::<usize>(), 4, "never more than it may");
        held.drain(1..).for_each(drop);
        assert_eq!(all.open.lock().unwrap().values().map(Vec::len).sum::<usize>(), 1, "one is counted off once");
    }

    #[test]
    fn a_proxy_on_this_machine_is_everybody_unless_it_is_said() {
        // beside them those beyond the bound, which are for answers
        assert_eq!(taken(&addresses("connections = 100"), "127.0.0.1").len(), MANY);
        assert_eq!(taken(&addresses("connections = 100"), "::1").len(), MANY);
        let said = addresses("connections = 100\nconnections-per-address = 7");
        for from in ["127.0.0.1", "::1", "192.0.2.1"] {
            assert_eq!(taken(&said, from).len(), 7, "{from}");
        }
        assert_eq!(
            taken(&addresses("connections = 3"), "192.0.2.1").len(),
            MANY,
            "where there are few, how many there may be in all is bound enough"
        );
    }
}

//! How often somebody may ask, beside how much at once (`admission`): each client by itself, and who is not known by the address that it
//! comes from. A client that is known gets in whatever others do behind the same address: tokens cannot be guessed, and passwords are
//! looked after elsewhere (`people/throttle.rs`).

use std::{net::IpAddr, time::Duration};

use super::who::Came;
use crate::{
    admission::{Rates, Refusal},
    auth::{Caller, KnownBy},
    config::{Limits, registry::Client},
};

/// What may come in so many seconds may come at once.
pub(crate) const BURST_S: u32 = 10;
/// A token that stands for nobody counts for so many requests without one.
const UNKNOWN_COUNTS: u32 = 10;

/// See the module's documentation.
pub struct Often {
    clients: Rates<Client>,
    addresses: Rates<IpAddr>,
}

impl Often {
    /// As the configuration says.
    pub fn new(limits: &Limits) -> Self {
        let rates = |a_second: u32| (a_second.saturating_mul(BURST_S), Duration::from_secs(1) / a_second.max(1));
        let ((burst, every), (burst_of_address, every_of_address)) =
            (rates(limits.client_rate), rates(limits.address_rate));
        Self { clients: Rates::new(burst, every), addresses: Rates::new(burst_of_address, every_of_address) }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// [`Refusal`] where too many came before it.
    pub(super) fn asks(&self, caller: &Caller, came: &Came) -> Result<(), Refusal> {
        if let Some(client) = caller.clients.first() {
            let taken = self.clients.take(client.clone(), 1);
            return taken.map_err(|wait| refusal("this client asks more often than it may", wait));
        }
        self.address(came, if caller.known_by == KnownBy::UnknownToken { UNKNOWN_COUNTS } else { 1 })
    }

    /// Counts a request of somebody of whom nothing but the address is known, for so many.
    ///
    /// # Errors
    /// [`Refusal`] where too many came from there before it.
    pub(super) fn address(&self, came: &Came, counts: u32) -> Result<(), Refusal> {
        let Some(address) = came.address else { return Ok(()) };
        let taken = self.addresses.take(network(address), counts);
        taken.map_err(|wait| refusal("too much is asked from this address by somebody who is not known", wait))
    }
}

fn refusal(why: &str, wait: Duration) -> Refusal {
    metrics::counter!("onward_refused_total", "kind" => "any", "reason" => "rate").increment(1);
    // to come a little too late is better than once more in vain
    Refusal { own: true, why: why.to_owned(), retry_after_s: wait.as_secs().saturating_add(1) }
}

/// Whose an address is: of IPv6 one has a whole network of 64 bits.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_none() => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        other => other.to_canonical(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn often(lines: &str) -> Often {
        let (config, _) = crate::config::Config::parse(
            &format!("[limits]\n{lines}"),
            std::path::Path::new("onward.toml"),
            &crate::config::Env::default(),
        )
        .unwrap();
        Often::new(&config.limits)
    }

    fn from(address: &str) -> Came {
        Came { address: Some(address.parse().unwrap()), ..Came::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn each_client_has_a_rate_of_its_own_wherever_it_comes_from() {
        let often = often("client-rate = 2\naddress-rate = 1");
        let caller = |id: &str| Caller { clients: vec![Client::System(id.parse().unwrap())], ..Caller::default() };
        for n in 0..20 {
            assert!(often.asks(&caller("a"), &from(&format!("192.0.2.{n}"))).is_ok(), "{n}");
        }
        let refusal = often.asks(&caller("a"), &from("192.0.2.1")).unwrap_err();
        assert!(refusal.own && refusal.retry_after_s == 1, "{refusal:?}");
        assert!(often.asks(&caller("b"), &from("192.0.2.1")).is_ok(), "another is not kept out by that");
        tokio::time::advance(Duration::from_millis(500)).await;
        assert!(often.asks(&caller("a"), &from("192.0.2.1")).is_ok());
        assert!(often.asks(&caller("a"), &from("192.0.2.1")).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_known_is_an_address_and_a_wrong_token_counts_for_more() {
        let often = often("client-rate = 1\naddress-rate = 4");
        let nobody = Caller::default();
        let wrong = Caller { known_by: KnownBy::UnknownToken, ..Caller::default() };
        for n in 0..40 {
            assert!(often.asks(&nobody, &from(&format!("2001:db8:1:2::{n}"))).is_ok(), "{n}");
        }
        assert!(often.asks(&nobody, &from("2001:db8:1:2:ffff::1")).is_err(), "who has a whole network is one");
        for n in 0..4 {
            assert!(often.asks(&wrong, &from("192.0.2.1")).is_ok(), "{n}");
        }
        assert!(often.asks(&wrong, &from("192.0.2.1")).is_err());
        let known = Caller { clients: vec![Client::System("a".parse().unwrap())], ..Caller::default() };
        assert!(often.asks(&known, &from("192.0.2.1")).is_ok(), "who is known gets in from there all the same");
        assert!(often.asks(&wrong, &Came::default()).is_ok(), "where there is no address nothing is counted");
    }

    #[test]
    fn one_who_has_a_whole_network_is_one() {
        let same = |one: &str, other: &str| network(one.parse().unwrap()) == network(other.parse().unwrap());
        assert!(same("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"));
        assert!(!same("2001:db8:1:2::1", "2001:db8:1:3::1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
        assert!(same("192.0.2.1", "::ffff:192.0.2.1"));
    }
}

//! The server's names, looked up within bounds. The library would ask the system by itself, each try on a thread of the runtime's
//! that nobody can end: a resolver that hangs would take all of them.

use std::net::IpAddr;

use tokio_postgres::{Config, config::Host};

use crate::resolve::Resolver;

/// Says in `config` at what addresses its hosts are; their names go on being what a certificate is held against. Hosts without an
/// address are passed over as long as another has one.
pub(super) async fn look_up(config: &mut Config, resolver: &Resolver) -> Result<(), String> {
    let mut names = Vec::new();
    for host in config.get_hosts() {
        match host {
            Host::Tcp(name) => names.push(name.clone()),
            #[cfg(unix)]
            Host::Unix(_) => return Ok(()),
        }
    }
    if !config.get_hostaddrs().is_empty() {
        return Ok(());
    }
    let found = futures_util::future::join_all(names.iter().map(|name| resolver.resolve(name))).await;
    let mut why = String::new();
    let found: Vec<Vec<IpAddr>> =
        found.into_iter().map(|one| one.inspect_err(|e| why = e.to_string()).unwrap_or_default()).collect();
    // the library pairs hosts and addresses one to one: the address of a host that has none is another's, where its name is wrong
    let Some(other) = found.iter().flatten().next().copied() else { return Err(why) };
    for addresses in &found {
        config.hostaddr(addresses.first().copied().unwrap_or(other));
    }
    let ports = config.get_ports().to_vec();
    for (at, addresses) in found.iter().enumerate() {
        for address in addresses.iter().skip(1) {
            config.host(names.get(at).map_or("", String::as_str)).hostaddr(*address);
            if let (true, Some(port)) = (ports.len() > 1, ports.get(at)) {
                config.port(*port);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use async_trait::async_trait;

    use super::*;
    use crate::resolve::Lookup;

    struct Known;

    #[async_trait]
    impl Lookup for Known {
        async fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
            match name {
                "two" => Ok(vec![[10, 0, 0, 1].into(), [10, 0, 0, 2].into()]),
                "one" => Ok(vec![[10, 0, 0, 3].into()]),
                "hangs" => std::future::pending().await,
                _ => Err(io::Error::other("no such name")),
            }
        }
    }

    /// Host, address and port of each try, in their order.
    async fn tries(url: &str) -> Result<Vec<String>, String> {
        let mut config: Config = url.parse().unwrap();
        look_up(&mut config, &Resolver::over(Arc::new(Known))).await?;
        let (hosts, ports) = (config.get_hosts().to_vec(), config.get_ports().to_vec());
        let port = |at: usize| ports.get(at).or_else(|| ports.first().filter(|_| ports.len() == 1)).unwrap();
        let tries = hosts.iter().zip(config.get_hostaddrs()).enumerate();
        assert_eq!(hosts.len(), config.get_hostaddrs().len());
        Ok(tries.map(|(at, (host, address))| format!("{host:?} {address} {}", port(at))).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn every_address_is_tried_under_its_name() {
        let tcp = |of: &[(&str, &str, u16)]| -> Vec<String> {
            of.iter().map(|(name, address, port)| format!("Tcp({name:?}) {address} {port}")).collect()
        };
        let found = tries("postgres://u@two:5433/d").await.unwrap();
        assert_eq!(found, tcp(&[("two", "10.0.0.1", 5433), ("two", "10.0.0.2", 5433)]));
        let found = tries("postgres://u@one:1,two:2/d").await.unwrap();
        assert_eq!(found, tcp(&[("one", "10.0.0.3", 1), ("two", "10.0.0.1", 2), ("two", "10.0.0.2", 2)]));
        let found = tries("postgres://u@hangs:1,one:2/d").await.unwrap();
        assert_eq!(found, tcp(&[("hangs", "10.0.0.3", 1), ("one", "10.0.0.3", 2)]));
        let found = tries("postgres://u@127.0.0.1:1/d").await.unwrap();
        assert_eq!(found, tcp(&[("127.0.0.1", "127.0.0.1", 1)]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_is_not_answered_for_is_told_in_time() {
        let why = tries("postgres://u@hangs/d").await.unwrap_err();
        assert_eq!(why, "the name hangs cannot be looked up: no answer within 3 s");
        let why = tries("postgres://u@unknown/d").await.unwrap_err();
        assert_eq!(why, "the name unknown cannot be looked up: no such name");
    }
}

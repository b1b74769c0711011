//! Where RabbitMQ is: one URL, or those of several nodes. The password never leaves this file in words.

use std::fmt;

use lapin::uri::AMQPUri;

use crate::broker::BrokerError;

/// Larger frames than any wake-up, and small buffers: lapin keeps 64 frames' worth of memory for each connection.
const FRAME_MAX_BYTES: u32 = 16 * 1024;
/// RabbitMQ and we take a silent peer for dead after about twice this.
const HEARTBEAT_S: u16 = 10;

/// One node's address.
#[derive(Clone)]
pub(super) struct Address {
    uri: AMQPUri,
}

impl Address {
    /// Reads one URL or several separated by commas (the nodes of a cluster).
    pub(super) fn parse_all(urls: &str) -> Result<Vec<Self>, BrokerError> {
        let mut found = Vec::new();
        let mut rest = urls.trim();
        while !rest.is_empty() {
            // a comma may be part of a password: only one that a URL follows separates
            let end = rest
                .match_indices(',')
                .map(|(at, _)| at)
                .find(|at| {
                    let next = rest[at + 1..].trim_start();
                    next.starts_with("amqp://") || next.starts_with("amqps://")
                })
                .unwrap_or(rest.len());
            found.push(Self::parse(rest[..end].trim())?);
            rest = rest[end..].trim_start_matches(',').trim_start();
        }
        if found.is_empty() { Err(BrokerError::BadUrl("it is empty".to_owned())) } else { Ok(found) }
    }

    fn parse(url: &str) -> Result<Self, BrokerError> {
        if !(url.starts_with("amqp://") || url.starts_with("amqps://")) {
            return Err(BrokerError::BadUrl("it begins neither with amqp:// nor with amqps://".to_owned()));
        }
        // the parser's own words repeat the URL with its password
        let unreadable = || BrokerError::BadUrl("expected amqp://USER:PASSWORD@HOST:PORT/VHOST".to_owned());
        let mut uri: AMQPUri = url.parse().map_err(|_: String| unreadable())?;
        // lapin takes an IPv6 address for no host at all and goes to localhost
        let authority = url.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        if let Some(v6) = host.strip_prefix('[') {
            v6.split(']').next().ok_or_else(unreadable)?.clone_into(&mut uri.authority.host);
        }
        // no virtual host has an empty name; who writes a final slash means the default one
        if uri.vhost.is_empty() {
            "/".clone_into(&mut uri.vhost);
        }
        uri.query.frame_max = uri.query.frame_max.or(Some(FRAME_MAX_BYTES));
        uri.query.heartbeat = uri.query.heartbeat.or(Some(HEARTBEAT_S));
        Ok(Self { uri })
    }

    pub(super) fn uri(&self) -> AMQPUri {
        self.uri.clone()
    }

    /// Takes the password out of a text that came from elsewhere.
    pub(super) fn redact(&self, text: &str) -> String {
        let password = &self.uri.authority.userinfo.password;
        // "guest" is no secret and part of the default user's error messages
        if password.is_empty() || password == "guest" { text.to_owned() } else { text.replace(password, "***") }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPUri { scheme, authority, vhost, .. } = &self.uri;
        write!(f, "{scheme}://{}:{}/{}", authority.host, authority.port, vhost.trim_start_matches('/'))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_several_urls_and_a_password_may_hold_a_comma() {
        let all = Address::parse_all("amqp://u:a,b@one/v, amqps://u:p@two:1/,amqp://[::1]:7").unwrap();
        let shown: Vec<_> = all.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["amqp://one:5672/v", "amqps://two:1/", "amqp://::1:7/"]);
        assert_eq!(all[0].uri().authority.userinfo.password, "a,b");
    }

    #[test]
    fn no_fault_and_no_debug_output_shows_the_password() {
        for url in ["http://u:hunter22@h", "amqp://u:hunter22@h:notaport/", "amqp:u:hunter22", "", "amqp://u:hunter22@"]
        {
            if let Err(error) = Address::parse_all(url) {
                assert!(!error.to_string().contains("hunter22"), "{error}");
            }
        }
        let address = &Address::parse_all("amqp://u:hunter22@h/v").unwrap()[0];
        assert!(!format!("{address} {address:?}").contains("hunter22"));
        assert_eq!(address.redact("who hunter22 is"), "who *** is");
    }
}

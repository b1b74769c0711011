//! Where the server is and how a connection to it is made.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio_postgres::{
    Config, NoTls,
    config::{Host, SslMode},
};

use super::{
    link::{ANSWER_MAX, Conn, Reach, STATEMENT_MAX, Use},
    names,
    rows::said,
    tls::{self, Tls},
};
use crate::resolve::Resolver;

/// A connection that is not made by then is not made.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(3);

/// Why a URL of a server cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct BadUrl(String);

/// Where the server is and how to speak to it.
#[derive(Clone)]
pub(super) struct Settings {
    config: Config,
    tls: Option<Tls>,
    resolver: Resolver,
    /// `host:port/database`, for errors.
    pub shown: String,
    /// What the connections that are made so know from each other.
    pub reach: Arc<Reach>,
}

// === impl Settings ===

impl Settings {
    /// Reads `postgres://USER:PASSWORD@HOST:PORT/DATABASE?…`: what libpq knows of a URL, and `sslmode` as `verify-full`,
    /// `require` (the same: unchecked encryption keeps out nobody who matters) or `disable`. Without it, `disable` on loopback
    /// and in a unix socket, `verify-full` to everywhere else.
    pub(super) fn of(url: &str) -> Result<Self, BadUrl> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut roots, mut rest) = (None, None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value.to_owned()),
                Some(("sslrootcert", value)) => {
                    let path = percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned();
                    roots = Some(PathBuf::from(path));
                }
                _ => rest.push(pair),
            }
        }
        let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        // what the parser says may repeat the password
        let mut config: Config = url.parse().map_err(|_| BadUrl("it is no URL of a PostgreSQL server".to_owned()))?;
        if config.get_hosts().is_empty() {
            return Err(BadUrl("it names no host".to_owned()));
        }
        let near = config.get_hosts().iter().all(is_near);
        let encrypt = match mode.as_deref() {
            None => !near,
            Some("disable") => false,
            Some("require" | "verify-full") => true,
            Some(_) => {
                return Err(BadUrl(
                    "sslmode is \"verify-full\", \"require\" (which means the same) or \"disable\"".to_owned(),
                ));
            }
        };
        let tls = encrypt.then(|| Tls::new(roots.as_deref())).transpose();
        let tls = tls.map_err(|e| BadUrl(format!("TLS cannot be spoken: {e}")))?;
        config.ssl_mode(if encrypt { SslMode::Require } else { SslMode::Disable });
        config.application_name("onward");
        config.connect_timeout(CONNECT_MAX);
        config.keepalives_idle(Duration::from_secs(10));
        config.keepalives_interval(Duration::from_secs(3));
        config.keepalives_retries(3);
        config.tcp_user_timeout(ANSWER_MAX);
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            _ => "a socket".to_owned(),
        };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let shown = format!("{host}:{port}/{}", config.get_dbname().unwrap_or_default());
        Ok(Self { config, tls, resolver: Resolver::system(), shown, reach: Arc::default() })
    }

    fn for_use(&self, purpose: Use) -> Config {
        // an idle transaction is one of a process that has stopped in the middle: what it has locked is wanted by others
        let mut options = format!(
            "-c statement_timeout={} -c lock_timeout={} -c idle_in_transaction_session_timeout=3000 -c jit=off \
             -c synchronous_commit=on -c timezone=UTC -c client_encoding=UTF8",
            STATEMENT_MAX.as_millis(),
            STATEMENT_MAX.as_millis() / 2,
        );
        if purpose == Use::Statements {
            // every statement goes by an index, and no statistics of a table that was empty a minute ago shall say otherwise
            options += " -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off";
        }
        let mut config = self.config.clone();
        let own = config.get_options().unwrap_or_default().to_owned();
        config.options(format!("{options} {own}"));
        config
    }

    /// Says why not, and whether that is the server's last word.
    pub(super) async fn connect(&self, purpose: Use) -> Result<Conn, (String, bool)> {
        let mut config = self.for_use(purpose);
        names::look_up(&mut config, &self.resolver).await.map_err(|why| (why, false))?;
        let reach = (&self.reach, self.reach.silences());
        let connecting = async {
            match &self.tls {
                Some(tls) => config
                    .connect(tls.clone())
                    .await
                    .map(|(client, driver)| Conn::drive(client, driver, purpose, reach)),
                None => config.connect(NoTls).await.map(|(client, driver)| Conn::drive(client, driver, purpose, reach)),
            }
        };
        // the library's own limit is for the connection alone, not for the server's greeting
        match tokio::time::timeout(CONNECT_MAX, connecting).await {
            Ok(Ok(conn)) => Ok(conn),
            // a wrong password, user, database or certificate does not become right by waiting
            Ok(Err(error)) => {
                let refused = error.code().is_some_and(|code| matches!(code.code().get(..2), Some("28" | "3D")));
                let distrusts = std::error::Error::source(&error).is_some_and(tls::is_distrust);
                Err((cause(&error), refused || distrusts))
            }
            Err(_) => Err((format!("no answer within {CONNECT_MAX:?}"), false)),
        }
    }
}

/// What stands behind a failure to connect, which the library's own sentence does not say.
pub(super) fn cause(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) if tls::is_distrust(source) => format!(
            "its certificate is not trusted, or names another: see sslrootcert and the host in [store] url ({source})"
        ),
        Some(source) if error.as_db_error().is_none() => format!("{error}: {source}"),
        _ => said(error),
    }
}

fn is_near(host: &Host) -> bool {
    match host {
        Host::Tcp(host) => {
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

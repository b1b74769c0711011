//! Connections to the server: how they are made, that they come back by themselves, and that nothing waits for them for ever.

use std::{
    collections::HashMap,
    future::Future,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::JoinHandle,
    time::Instant,
};
use tokio_postgres::{
    Client, Config, NoTls, Row, Statement,
    config::{Host, SslMode},
    error::SqlState,
    types::ToSql,
};

use super::{
    names,
    rows::said,
    tls::{self, Tls},
};
use crate::{resolve::Resolver, store::StoreError};

/// A connection that is not made by then is not made.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// The server ends a statement that takes longer.
const STATEMENT_MAX: Duration = Duration::from_secs(8);
/// A server that has not answered by then is taken for gone, whatever TCP believes.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// A step of the schema may take its time: an index over many millions of rows, or another process that is at it already.
const MIGRATION_MAX: Duration = Duration::from_secs(6 * 3600);
/// More statements are not under way on one connection.
const IN_FLIGHT_MAX: usize = 1_024;
/// After a failed try to connect, nobody tries again for at least so long …
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// … and, doubling, at most so long.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// What the values of a statement are handed over as.
pub(super) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

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
}

/// What a connection is for: the planner is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// The same few statements again and again, by index.
    Statements,
    /// Searches that are planned for their values.
    Searches,
    /// Steps of the schema, each waited for as long as it takes.
    Migrations,
}

/// A connection that is made when it is needed, and again when it is lost.
pub(super) struct Link {
    settings: Arc<Settings>,
    purpose: Use,
    current: ArcSwapOption<Conn>,
    places: Semaphore,
    trouble: tokio::sync::Mutex<Trouble>,
}

/// The last failures to connect.
#[derive(Default)]
struct Trouble {
    not_before: Option<Instant>,
    backoff: Duration,
    last: String,
    refused: bool,
}

/// One connection. Dropped, it is closed.
pub(super) struct Conn {
    client: Client,
    statements: Mutex<HashMap<(usize, usize), Statement>>,
    driver: JoinHandle<()>,
    patience: Duration,
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
        Ok(Self { config, tls, resolver: Resolver::system(), shown })
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
    async fn connect(&self, purpose: Use) -> Result<Conn, (String, bool)> {
        let mut config = self.for_use(purpose);
        names::look_up(&mut config, &self.resolver).await.map_err(|why| (why, false))?;
        let patience = if purpose == Use::Migrations { MIGRATION_MAX } else { ANSWER_MAX };
        let connecting = async {
            match &self.tls {
                Some(tls) => {
                    config.connect(tls.clone()).await.map(|(client, driver)| Conn::drive(client, driver, patience))
                }
                None => config.connect(NoTls).await.map(|(client, driver)| Conn::drive(client, driver, patience)),
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
fn cause(error: &tokio_postgres::Error) -> String {
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

// === impl Link ===

impl Link {
    pub(super) fn new(settings: Arc<Settings>, purpose: Use) -> Self {
        let places = Semaphore::new(IN_FLIGHT_MAX);
        Self { settings, purpose, current: ArcSwapOption::empty(), places, trouble: Default::default() }
    }

    /// The connection; made anew if there is none. While the server is away this fails at once most of the time.
    pub(super) async fn get(&self) -> Result<Arc<Conn>, StoreError> {
        if let Some(conn) = self.current.load_full().filter(|c| c.is_open()) {
            return Ok(conn);
        }
        let mut trouble = self.trouble.lock().await;
        if let Some(conn) = self.current.load_full().filter(|c| c.is_open()) {
            return Ok(conn);
        }
        let away = |why: &str| StoreError::Unavailable(format!("PostgreSQL at {}: {why}", self.settings.shown));
        if trouble.not_before.is_some_and(|at| Instant::now() < at) {
            return Err(away(&trouble.last));
        }
        match self.settings.connect(self.purpose).await {
            Ok(conn) => {
                *trouble = Trouble::default();
                let conn = Arc::new(conn);
                self.current.store(Some(Arc::clone(&conn)));
                Ok(conn)
            }
            Err((why, refused)) => {
                trouble.refused = refused;
                trouble.backoff = (trouble.backoff * 2).clamp(BACKOFF_MIN, BACKOFF_MAX);
                trouble.not_before = Some(Instant::now() + trouble.backoff);
                trouble.last = why;
                Err(away(&trouble.last))
            }
        }
    }

    /// Runs one statement. Where the connection turns out to have been lost before, it is tried once more on a new one: only for
    /// what may run twice.
    pub(super) async fn query(&self, sql: &'static str, values: Values<'_>) -> Result<Vec<Row>, StoreError> {
        let _place = self.place()?;
        let conn = self.get().await?;
        match conn.query(sql, values).await {
            Err(Failure::Lost(_)) => {}
            other => return other.map_err(StoreError::from),
        }
        Ok(self.get().await?.query(sql, values).await?)
    }

    /// The same for statements without values, in one transaction and one round trip.
    pub(super) async fn run(&self, sql: &str) -> Result<(), StoreError> {
        let _place = self.place()?;
        let conn = self.get().await?;
        match conn.run(sql).await {
            Err(Failure::Lost(_)) => {}
            other => return other.map_err(StoreError::from),
        }
        Ok(self.get().await?.run(sql).await?)
    }

    /// Runs one statement that must not run twice.
    pub(super) async fn query_once(&self, sql: &'static str, values: Values<'_>) -> Result<Vec<Row>, StoreError> {
        let _place = self.place()?;
        Ok(self.get().await?.query(sql, values).await?)
    }

    fn place(&self) -> Result<SemaphorePermit<'_>, StoreError> {
        self.places.try_acquire().map_err(|_| StoreError::Unavailable("too many reads are waiting".to_owned()))
    }

    /// Runs a statement that may differ each time.
    pub(super) async fn search(&self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, StoreError> {
        let _place = self.place()?;
        let conn = self.get().await?;
        match conn.search(sql, values).await {
            Err(Failure::Lost(_)) => {}
            other => return other.map_err(StoreError::from),
        }
        Ok(self.get().await?.search(sql, values).await?)
    }

    /// Where it leads.
    pub(super) fn shown(&self) -> &str {
        &self.settings.shown
    }

    /// Whether the server said no the last time, which it will say again.
    pub(super) async fn is_refused(&self) -> bool {
        self.trouble.lock().await.refused
    }
}

// === impl Conn ===

/// How a statement fails.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// The connection is gone: whether the statement was run is unknown.
    Lost(String),
    /// Something came in between; nothing of the transaction was kept, and it may be tried again as it is.
    Crossed(String),
    /// The server refuses one of the values or rows; nothing of the transaction was kept.
    Refused(String),
    /// What is stored cannot be read back.
    Unreadable(String),
    /// The server cannot: it is full, read-only, shutting down, or too slow. Nothing of the transaction was kept.
    Cannot(String),
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unreadable(why) => Self::Corrupt(why),
            Failure::Lost(why) | Failure::Crossed(why) | Failure::Refused(why) | Failure::Cannot(why) => {
                Self::Unavailable(why)
            }
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Corrupt(why) => Self::Unreadable(why),
            StoreError::Unavailable(why) => Self::Cannot(why),
        }
    }
}

impl From<Failure> for String {
    fn from(failure: Failure) -> Self {
        let (Failure::Lost(why)
        | Failure::Crossed(why)
        | Failure::Refused(why)
        | Failure::Unreadable(why)
        | Failure::Cannot(why)) = failure;
        why
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        let why = said(&error);
        let Some(code) = error.code() else {
            return if error.is_closed() || std::error::Error::source(&error).is_some_and(|s| s.is::<std::io::Error>()) {
                Self::Lost(why)
            } else {
                // a value that cannot be sent
                Self::Refused(why)
            };
        };
        match (code, code.code().get(..2)) {
            (&SqlState::UNIQUE_VIOLATION, _) | (_, Some("40")) => Self::Crossed(why),
            // the server ends the session with these
            (
                &SqlState::ADMIN_SHUTDOWN | &SqlState::CRASH_SHUTDOWN | &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                _,
            )
            | (_, Some("08")) => Self::Lost(why),
            (_, Some("22" | "23" | "54")) => Self::Refused(why),
            _ => Self::Cannot(why),
        }
    }
}

impl Conn {
    fn drive<S, T>(client: Client, driver: tokio_postgres::Connection<S, T>, patience: Duration) -> Self
    where
        tokio_postgres::Connection<S, T>: Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
    {
        let driver = tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::warn!(error = cause(&error), "a connection to PostgreSQL was lost");
            }
        });
        Self { client, statements: Mutex::default(), driver, patience }
    }

    /// Whether it can still be used.
    pub(super) fn is_open(&self) -> bool {
        !self.client.is_closed() && !self.driver.is_finished()
    }

    /// Runs one statement that is prepared once a connection.
    pub(super) async fn query(&self, sql: &'static str, values: Values<'_>) -> Result<Vec<Row>, Failure> {
        let statement = self.prepared(sql).await?;
        self.within(self.client.query(&statement, values)).await
    }

    /// Runs a statement that is not kept.
    pub(super) async fn search(&self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, Failure> {
        self.within(self.client.query(sql, values)).await
    }

    /// Runs statements without values, such as those that begin and end a transaction.
    pub(super) async fn run(&self, sql: &str) -> Result<(), Failure> {
        self.within(self.client.batch_execute(sql)).await
    }

    /// The prepared form of a statement.
    pub(super) async fn prepared(&self, sql: &'static str) -> Result<Statement, Failure> {
        let key = (sql.as_ptr().addr(), sql.len());
        if let Some(statement) = self.statements.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(statement.clone());
        }
        let statement = self.within(self.client.prepare(sql)).await?;
        self.statements.lock().unwrap_or_else(PoisonError::into_inner).insert(key, statement.clone());
        Ok(statement)
    }

    /// A connection that does not answer is given up, and everybody who waits for it with it.
    async fn within<T>(&self, asked: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Failure> {
        match tokio::time::timeout(self.patience, asked).await {
            Ok(answer) => answer.map_err(|error| {
                // the session stays read-only even where the server does not, or another has taken its place
                if error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) {
                    self.driver.abort();
                }
                Failure::from(error)
            }),
            Err(_) => {
                self.driver.abort();
                Err(Failure::Lost(format!("PostgreSQL did not answer within {:?}", self.patience)))
            }
        }
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        // the client's own end closes the connection in good order; a driver that hangs is not waited for
        if self.client.is_closed() {
            self.driver.abort();
        }
    }
}

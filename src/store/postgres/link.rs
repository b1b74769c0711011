//! Connections to the server: how they are made, that they come back by themselves, and that nothing waits for them for ever.

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::JoinHandle,
    time::Instant,
};
use tokio_postgres::{Client, Row, Statement, error::SqlState, types::ToSql};

use super::{
    rows::said,
    settings::{CONNECT_MAX, Settings, cause},
};
use crate::store::StoreError;

/// The server ends a statement that takes longer.
pub(super) const STATEMENT_MAX: Duration = Duration::from_secs(8);
/// A server that has not answered by then is taken for gone, whatever TCP believes.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(10);
/// A step of the schema may take its time: an index over many millions of rows, or another process that is at it already.
const MIGRATION_MAX: Duration = Duration::from_secs(6 * 3600);
/// A connection that has not answered for so long is asked whether it is there before something is sent that must not be sent twice.
const IDLE_MAX: Duration = Duration::from_secs(1);
/// More statements are not under way on one connection.
const IN_FLIGHT_MAX: usize = 1_024;
/// After a failed try to connect, nobody tries again for at least so long …
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// … and, doubling, at most so long.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// What the values of a statement are handed over as.
pub(super) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

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

/// What the connections to one server know from each other. They fail apart and at times of their own, and the server is one: what one has found
/// out the others need not find out by refusing somebody.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// How many were made.
    made: AtomicU64,
    /// How often it went silent: connections of before are not used any more.
    silences: AtomicU64,
}

/// The last failures to connect.
#[derive(Default)]
struct Trouble {
    /// Unless another connection is made before.
    not_before: Option<Instant>,
    /// How many had been made by then.
    made: u64,
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
    reach: Arc<Reach>,
    /// How often the server had gone silent before it was made.
    silences: u64,
    begun: Instant,
    /// When it last answered, in milliseconds after it was begun.
    answered_ms: AtomicU64,
}

// === impl Reach ===

impl Reach {
    /// How often it has gone silent.
    pub(super) fn silences(&self) -> u64 {
        self.silences.load(Ordering::Acquire)
    }

    /// A connection that was made after so many silences gets no answer. Of all those made by then one is heard: they may find out one after another,
    /// and what was made since is as good as any.
    fn fell_silent(&self, before: u64) {
        let _ = self.silences.compare_exchange(before, before + 1, Ordering::AcqRel, Ordering::Acquire);
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
        if let Some(conn) = self.current.load_full().filter(|c| c.is_of_use()) {
            return Ok(conn);
        }
        let mut trouble = self.trouble.lock().await;
        if let Some(conn) = self.current.load_full().filter(|c| c.is_of_use()) {
            return Ok(conn);
        }
        let made = self.settings.reach.made.load(Ordering::Acquire);
        let away = |why: &str| StoreError::Unavailable(format!("PostgreSQL at {}: {why}", self.settings.shown));
        if trouble.made == made && trouble.not_before.is_some_and(|at| Instant::now() < at) {
            return Err(away(&trouble.last));
        }
        match self.settings.connect(self.purpose).await {
            Ok(conn) => {
                *trouble = Trouble::default();
                self.settings.reach.made.fetch_add(1, Ordering::AcqRel);
                let conn = Arc::new(conn);
                self.current.store(Some(Arc::clone(&conn)));
                Ok(conn)
            }
            Err((why, refused)) => {
                (trouble.refused, trouble.made) = (refused, made);
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

    /// Runs one statement that must not run twice. What shows before it is sent that the connection was lost has a new one made.
    pub(super) async fn query_once(&self, sql: &'static str, values: Values<'_>) -> Result<Vec<Row>, StoreError> {
        let _place = self.place()?;
        let mut conn = self.get().await?;
        // where something is asked over it already, that finds out, and may only be slow
        let is_alone = self.places.available_permits() + 1 >= IN_FLIGHT_MAX;
        if (is_alone && !conn.is_there().await) || matches!(conn.prepared(sql).await, Err(Failure::Lost(_))) {
            conn = self.get().await?;
        }
        Ok(conn.query(sql, values).await?)
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
    pub(super) fn drive<S, T>(
        client: Client,
        driver: tokio_postgres::Connection<S, T>,
        purpose: Use,
        (reach, silences): (&Arc<Reach>, u64),
    ) -> Self
    where
        tokio_postgres::Connection<S, T>: Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
    {
        let driver = tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::warn!(error = cause(&error), "a connection to PostgreSQL was lost");
            }
        });
        let patience = if purpose == Use::Migrations { MIGRATION_MAX } else { ANSWER_MAX };
        let (reach, begun, answered_ms) = (Arc::clone(reach), Instant::now(), AtomicU64::new(0));
        Self { client, statements: Mutex::default(), driver, patience, reach, silences, begun, answered_ms }
    }

    /// Whether it can still be used.
    pub(super) fn is_open(&self) -> bool {
        !self.client.is_closed() && !self.driver.is_finished()
    }

    /// Whether something new may be asked over it.
    fn is_of_use(&self) -> bool {
        self.is_open() && self.silences == self.reach.silences()
    }

    /// Asks for an answer where there has been none for a while. One that gives none in time is given up.
    async fn is_there(&self) -> bool {
        let now = self.age_ms();
        let idle = Duration::from_millis(now.saturating_sub(self.answered_ms.load(Ordering::Relaxed)));
        if idle < IDLE_MAX {
            return self.is_of_use();
        }
        let answer = tokio::time::timeout(CONNECT_MAX, self.client.batch_execute("")).await;
        match answer {
            Ok(Ok(())) => {
                self.answered();
                true
            }
            Ok(Err(_)) => {
                self.driver.abort();
                false
            }
            Err(_) => {
                self.give_up(now);
                false
            }
        }
    }

    /// Milliseconds since it was begun.
    fn age_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn answered(&self) {
        self.answered_ms.store(self.age_ms(), Ordering::Relaxed);
    }

    /// It gave no answer to what was asked then: everybody who waits for it is told so. Where it has answered nobody since, what else was made
    /// before is no more to be trusted either; else it is slow.
    fn give_up(&self, asked_ms: u64) {
        self.driver.abort();
        if self.answered_ms.load(Ordering::Relaxed) <= asked_ms {
            self.reach.fell_silent(self.silences);
        }
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
        let asked_ms = self.age_ms();
        match tokio::time::timeout(self.patience, asked).await {
            Ok(Ok(answer)) => {
                self.answered();
                Ok(answer)
            }
            Ok(Err(error)) => {
                if error.code().is_some() {
                    self.answered();
                }
                // the session stays read-only even where the server does not, or another has taken its place
                if error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) {
                    self.driver.abort();
                }
                Err(Failure::from(error))
            }
            Err(_) => {
                self.give_up(asked_ms);
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

//! The store for several processes: PostgreSQL 15 and later. Calls that write are collected into groups, each one transaction of
//! a few multi-row statements; a Task always comes to the same writer. Reads go over a few pipelined connections.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Append, AppendError, Appended, Attempt, JournalLine, JournalPage, JournalQuery, Parties, Store, StoreError,
    StoredResource, Submission, Submit, Submitted, TaskHead, TaskQuery, TaskRecord, Troubled, counts,
    recent::{Fresh, Recent},
};
use crate::domain::{Clock, InboxId, ReferralId, SystemId, TaskId};

/// A statement with the columns of a Task or a resource put in, made once.
macro_rules! sql {
    ($($part:tt)*) => {{
        static SQL: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| format!($($part)*));
        SQL.as_str()
    }};
}

pub mod bare;
mod batch;
mod breakers;
mod claim;
mod colleagues;
mod directory;
mod heard;
mod journal;
mod lanes;
mod link;
mod measured;
mod migrate;
mod names;
mod notices;
mod outbox;
mod people;
mod picture;
mod queue;
mod read;
mod replica;
mod routed;
mod routes;
mod rows;
mod search;
mod settings;
mod steps;
mod submit;
mod subscriptions;
mod time;
mod tls;
mod tokens;
mod trouble;

use claim::Claimer;
use directory::Writing;
use link::{Link, Use};
use queue::Queue;
use replica::Replica;
use settings::Settings;
use steps::{Step, Stepped, Steps};
use submit::Submissions;
use time::{ServerTime, Time};

pub use settings::BadUrl;

/// Why a store on a server could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL cannot be used.
    #[error("[store] url: {0}")]
    Url(#[from] BadUrl),
    /// It cannot be reached, or refuses what is asked.
    #[error("the store at {at} cannot be opened: {why}")]
    Server {
        /// Which server and database.
        at: String,
        /// What it said.
        why: String,
    },
    /// It is older than what the schema needs.
    #[error("the server at {at} is PostgreSQL {found}; at least 15 is needed")]
    OldServer {
        /// Which server and database.
        at: String,
        /// Its version.
        found: String,
    },
    /// An older version of Onward made it; a service migrates it at its start, a command does not.
    #[error(
        "the store at {at} has schema {found}, this version has {known}; the service of this version has not run on it yet"
    )]
    Older {
        /// Which server and database.
        at: String,
        /// Its schema version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// A newer version of Onward has migrated it so that this one cannot run on it any more.
    #[error(
        "the store at {at} was migrated by a newer version (schema {found}, for versions that know {from}; this one knows {known})"
    )]
    Newer {
        /// Which server and database.
        at: String,
        /// Its schema version.
        found: i64,
        /// The oldest that a program must know.
        from: i64,
        /// Ours.
        known: i64,
    },
}

/// Writers of steps. Two, so that one collects and writes while the other waits for the disk.
const STEP_WRITERS: usize = 2;
/// Connections for short reads.
const READERS: usize = 2;
/// A server that is away at the start is waited for so long: it may be starting, too.
const START_MAX: Duration = Duration::from_secs(10);

/// Writes some hundred kilobytes into a temporary file beside the tables, which is gone at once.
const ROOM: &str =
    "SET LOCAL temp_tablespaces = ''; SET LOCAL work_mem = '64kB'; SELECT count(*) FROM generate_series(1, 50000)";

/// See the module's documentation.
pub struct PostgresStore {
    submissions: Queue<Submissions>,
    steps: [Queue<Steps>; STEP_WRITERS],
    directory: Queue<Writing>,
    /// For what belongs to no single Task.
    chores: Link,
    /// For the beat alone: nothing shall stand before it.
    pulse: Link,
    readers: [Link; READERS],
    turn: AtomicUsize,
    searches: Link,
    time: Time,
    recent: Recent,
    replica: Arc<Replica>,
    closed: AtomicBool,
}

impl PostgresStore {
    /// Opens the store for a service: migrated, and as one replica among others. `clock` takes the place of the server's clock.
    ///
    /// # Errors
    /// [`OpenError`]
    pub async fn open(url: &str, clock: Option<Arc<dyn Clock>>) -> Result<Self, OpenError> {
        let store = Self::connect(url, clock, true).await?;
        let registered = store.replica.register(&store.chores, &store.time).await;
        registered.map_err(|e| OpenError::Server { at: store.shown(), why: e.to_string() })?;
        Ok(store)
    }

    /// Opens an existing store beside services that may be running; for commands.
    ///
    /// # Errors
    /// [`OpenError`]
    pub async fn open_beside(url: &str, clock: Option<Arc<dyn Clock>>) -> Result<Self, OpenError> {
        Self::connect(url, clock, false).await
    }

    /// Whether the URL can be used; connects to nothing.
    ///
    /// # Errors
    /// [`BadUrl`]
    pub fn check_url(url: &str) -> Result<(), BadUrl> {
        Settings::of(url).map(drop)
    }

    /// What an existing database is, in words; changes nothing. One that is empty still is no fault: the first service makes it.
    ///
    /// # Errors
    /// [`OpenError`]
    pub async fn inspect(url: &str) -> Result<&'static str, OpenError> {
        let settings = Arc::new(Settings::of(url)?);
        let link = Link::new(Arc::clone(&settings), Use::Statements);
        let conn = first(&link, false).await;
        let conn = conn.map_err(|e| OpenError::Server { at: settings.shown.clone(), why: e.to_string() })?;
        new_enough(&conn, &settings.shown).await?;
        match migrate::same(&conn, &settings.shown).await {
            Ok(()) => Ok("a store of this version"),
            Err(OpenError::Older { found: 0, .. }) => Ok("empty: the store is made at the first start"),
            Err(OpenError::Older { .. }) => Ok("a store of an older version: the next start brings it up to date"),
            Err(error) => Err(error),
        }
    }

    async fn connect(url: &str, clock: Option<Arc<dyn Clock>>, migrate: bool) -> Result<Self, OpenError> {
        let settings = Arc::new(Settings::of(url)?);
        let at = || settings.shown.clone();
        let link = |purpose| Link::new(Arc::clone(&settings), purpose);
        let chores = link(Use::Statements);
        let conn = first(&chores, migrate).await.map_err(|e| OpenError::Server { at: at(), why: e.to_string() })?;
        new_enough(&conn, &settings.shown).await?;
        if migrate {
            let own = link(Use::Migrations).get().await;
            let own = own.map_err(|e| OpenError::Server { at: at(), why: e.to_string() })?;
            migrate::run(&own, &settings.shown).await?;
        } else {
            migrate::same(&conn, &settings.shown).await?;
        }
        let time = match clock {
            Some(clock) => Time::Given(clock),
            None => Time::Server(Arc::new(ServerTime::new())),
        };
        time.look(&chores).await.map_err(|e| OpenError::Server { at: at(), why: e.to_string() })?;
        let replica = Arc::new(Replica::default());
        let steps = || Steps { link: link(Use::Statements), time: time.clone(), replica: Arc::clone(&replica) };
        Ok(Self {
            submissions: Queue::start(Submissions {
                link: link(Use::Statements),
                time: time.clone(),
                replica: Arc::clone(&replica),
            }),
            steps: std::array::from_fn(|_| Queue::start(steps())),
            directory: Queue::start(Writing { link: link(Use::Statements), time: time.clone() }),
            chores,
            pulse: link(Use::Statements),
            readers: std::array::from_fn(|_| link(Use::Statements)),
            turn: AtomicUsize::new(0),
            searches: link(Use::Searches),
            time,
            recent: Recent::default(),
            replica,
            closed: AtomicBool::new(false),
        })
    }

    fn shown(&self) -> String {
        self.chores.shown().to_owned()
    }

    fn reader(&self) -> &Link {
        counts::read();
        &self.readers[self.turn.fetch_add(1, Ordering::Relaxed) % READERS]
    }

    fn claimer(&self) -> Claimer<'_> {
        Claimer { link: &self.chores, now: self.now(), holder: self.replica.id() }
    }

    fn searches(&self) -> &Link {
        counts::read();
        &self.searches
    }

    async fn step(&self, step: Step) -> Result<Stepped, StoreError> {
        // the last bytes of an id are random. Steps of several Tasks go where the first one goes: the rows are locked anyway
        let writer = step.tasks().next().map_or(0, |task| usize::from(task.0.as_bytes()[15]) % STEP_WRITERS);
        self.steps[writer].ask(step).await
    }

    fn open_for_writing(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::Unavailable("it is being closed".to_owned()));
        }
        Ok(())
    }
}

async fn new_enough(conn: &link::Conn, at: &str) -> Result<(), OpenError> {
    let version = conn.query("SELECT current_setting('server_version_num')::int AS number", &[]).await;
    let version = version.map_err(|e| OpenError::Server { at: at.to_owned(), why: e.into() })?;
    let number: i32 = version.first().and_then(|row| rows::get(row, "number").ok()).unwrap_or_default();
    if number < 150_000 {
        return Err(OpenError::OldServer { at: at.to_owned(), found: (number / 10_000).to_string() });
    }
    Ok(())
}

/// The first connection. A service waits a little for a server that is starting as well; a command does not.
async fn first(link: &Link, patient: bool) -> Result<Arc<link::Conn>, StoreError> {
    let until = Instant::now() + START_MAX;
    let mut told = false;
    loop {
        match link.get().await {
            Ok(conn) => return Ok(conn),
            Err(error) if !patient || Instant::now() >= until || link.is_refused().await => return Err(error),
            Err(error) => {
                if !told {
                    tracing::warn!(%error, "the store is waited for");
                    told = true;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// A write that is a commit of its own.
fn chore(op: &'static str) {
    counts::written(op);
    counts::committed();
}

fn unexpected() -> StoreError {
    StoreError::Unavailable("the store answered something else than was asked".to_owned())
}

#[async_trait]
impl Store for PostgresStore {
    fn now(&self) -> Timestamp {
        self.time.now()
    }

    async fn submit(&self, submission: Submission) -> Result<Submit, StoreError> {
        counts::written("submit");
        let fresh = Fresh::of_submission(&submission);
        let stored = self.submissions.ask(submission).await?;
        if matches!(stored, Submit::Stored(..)) {
            self.recent.keep(fresh);
        }
        Ok(stored)
    }

    async fn submitted(&self, system: &SystemId, key: &str) -> Result<Option<(Submitted, [u8; 32])>, StoreError> {
        read::submitted(self.reader(), system, key).await
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        counts::written("append");
        let fresh = Fresh::of_append(&append);
        match self.step(Step::Append(Box::new(append))).await? {
            Stepped::Appended(appended) => {
                let appended = *appended?;
                self.recent.keep(fresh);
                Ok(appended)
            }
            _ => Err(unexpected().into()),
        }
    }

    async fn append_together(&self, steps: Vec<Append>) -> Result<Vec<Appended>, AppendError> {
        counts::written("append-together");
        match self.step(Step::Together(steps)).await? {
            Stepped::Together(appended) => appended,
            _ => Err(unexpected().into()),
        }
    }

    async fn keyed(&self, author: &str, key: &str) -> Result<Option<(Uuid, [u8; 32])>, StoreError> {
        read::keyed(self.reader(), author, key).await
    }

    async fn task(&self, id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
        read::task(self.reader(), id).await
    }

    async fn find_tasks(&self, key: &str) -> Result<Vec<TaskRecord>, StoreError> {
        read::find_tasks(self.reader(), key).await
    }

    async fn tasks_asked_by(&self, request: &str, count: usize) -> Result<Vec<TaskRecord>, StoreError> {
        read::tasks_asked_by(self.reader(), request, count).await
    }

    async fn referrals_of(
        &self,
        query: TaskQuery,
        ids: Vec<Uuid>,
        names: Vec<String>,
    ) -> Result<Vec<ReferralId>, StoreError> {
        search::referrals_of(self.searches(), &query, ids, names).await
    }

    async fn open_by_name(
        &self,
        names: Vec<String>,
        inboxes: Vec<InboxId>,
        count: usize,
    ) -> Result<Vec<(TaskRecord, Vec<StoredResource>)>, StoreError> {
        search::open_by_name(self.reader(), names, &inboxes, count).await
    }

    async fn search_tasks(&self, query: TaskQuery) -> Result<Vec<(TaskRecord, StoredResource)>, StoreError> {
        search::tasks(self.searches(), &query).await
    }

    async fn task_heads(&self, query: TaskQuery) -> Result<Vec<TaskHead>, StoreError> {
        search::heads(self.reader(), &query).await
    }

    async fn find_requests(
        &self,
        query: TaskQuery,
        identifiers: Option<Vec<String>>,
    ) -> Result<Vec<StoredResource>, StoreError> {
        search::requests(self.searches(), &query, identifiers.as_deref()).await
    }

    async fn resource(
        &self,
        kind: &str,
        id: Uuid,
        version: Option<u64>,
    ) -> Result<Option<(StoredResource, Parties)>, StoreError> {
        read::resource(self.reader(), kind, id, version).await
    }

    async fn task_version(&self, task: TaskId, version: u64) -> Result<Option<String>, StoreError> {
        match self.recent.body(task, version) {
            Some(body) => Ok(Some(body)),
            None => Ok(self.resource("Task", task.0, Some(version)).await?.map(|(stored, _)| stored.body)),
        }
    }

    async fn versions(&self, kind: &str, id: Uuid) -> Result<Vec<StoredResource>, StoreError> {
        read::versions(self.reader(), kind, id).await
    }

    async fn resources_of(&self, referral: ReferralId) -> Result<Vec<StoredResource>, StoreError> {
        read::resources_of(self.reader(), referral).await
    }

    async fn named(&self, names: Vec<(String, Uuid)>) -> Result<Vec<StoredResource>, StoreError> {
        read::named(self.reader(), names).await
    }

    async fn gist_of(&self, referrals: Vec<ReferralId>) -> Result<Vec<StoredResource>, StoreError> {
        read::gist_of(self.searches(), &referrals).await
    }

    async fn decision_of(&self, referral: ReferralId) -> Result<Option<String>, StoreError> {
        read::decision_of(self.reader(), referral).await
    }

    async fn journal(&self, task: TaskId) -> Result<Vec<JournalLine>, StoreError> {
        journal::read(self.reader(), task).await
    }

    async fn find_journal(&self, query: JournalQuery) -> Result<JournalPage, StoreError> {
        journal::find(self.searches(), &query).await
    }

    async fn attempts(&self, task: TaskId) -> Result<Vec<Attempt>, StoreError> {
        read::attempts(self.reader(), task).await
    }

    async fn claim_deadlines(&self, limit: usize, lease: Duration) -> Result<Vec<TaskRecord>, StoreError> {
        self.open_for_writing()?;
        chore("claim_deadlines");
        trouble::claim_deadlines(&self.chores, limit, self.now(), lease).await
    }

    async fn troubled(&self, after: Option<(Timestamp, TaskId)>, count: usize) -> Result<Vec<Troubled>, StoreError> {
        trouble::troubled(self.reader(), after, count).await
    }

    async fn beat(&self) -> Result<(), StoreError> {
        self.time.look(&self.pulse).await?;
        self.replica.beat(&self.pulse, &self.time).await
    }

    fn life(&self) -> Option<u64> {
        self.replica.life(self.now())
    }

    async fn end_leases_of_the_dead(&self) -> Result<u64, StoreError> {
        self.replica.end_the_dead(&self.pulse, self.now()).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.open_for_writing()?;
        chore("ready");
        // a row is written: a server that is read-only shows itself by nothing less. It finds room in its own page when no other
        // row does any more, so room on the disk is asked for by itself
        let write = format!("{ROOM}; UPDATE probe SET at = {}", self.now().as_microsecond());
        self.chores.run(&write).await
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.submissions.close().await;
        for steps in &self.steps {
            steps.close().await;
        }
        self.directory.close().await;
        if let Err(error) = self.replica.end(&self.chores, self.now()).await {
            tracing::warn!(%error, "what this process held is free only when its leases end");
        }
    }
}

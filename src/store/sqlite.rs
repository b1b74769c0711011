//! The embedded store: one SQLite file for one process. WAL, synchronous FULL; all writes go through one thread that commits
//! what is waiting together, reads through a few read-only connections.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};
use uuid::Uuid;

use super::{
    ActivateError, Activation, AlertSettled, Append, AppendError, Appended, Attempt, Backlog, Claim, DeadLetter,
    DeadQuery, Due, JournalLine, JournalPage, JournalQuery, LaneHead, LaneState, NewRoutes, Parties, Poll, Routed,
    RoutedQuery, RoutesVersion, Sent, Shares, Signed, Store, StoreError, StoredAlert, StoredBreaker, StoredResource,
    Submission, Submit, Submitted, TaskHead, TaskQuery, TaskRecord, Troubled,
    recent::{Fresh, Recent},
};
use crate::domain::{
    Alert, AlertKind, Clock, Destination, InboxId, ReferralId, Side, Subscriber, Subscription, SubscriptionEvent,
    SubscriptionStatus, SystemId, TaskId,
    breaker::Breaker,
    measured::{Day, FirstAnswer},
    subscription::Progress,
};

mod append;
pub mod bare;
mod breakers;
mod claim;
mod directory;
mod journal;
mod lanes;
mod measured;
mod migrate;
mod notices;
mod outbox;
mod people;
mod pool;
mod read;
mod routed;
mod routes;
mod rows;
mod search;
mod submit;
mod subscriptions;
mod tokens;
mod trouble;

use pool::{Readers, Writer};

/// Why a store file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another `onward serve` has it.
    #[error("{0} is in use by another running service; one SQLite file serves one process")]
    InUse(PathBuf),
    /// The file or its folder cannot be made or opened.
    #[error("cannot open {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// SQLite refuses it.
    #[error("cannot open {path} as a store")]
    Sqlite {
        /// Which file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// An older version of Onward made it; a service migrates it at its start, a command does not.
    #[error("{path} has schema {found}, this version has {known}; the service of this version has not run on it yet")]
    Older {
        /// Which file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// A newer version of Onward has migrated it.
    #[error("{path} was written by a newer version (schema {found}; this one knows up to {known})")]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// Ours.
        known: i64,
    },
}

/// See the module's documentation.
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    clock: Arc<dyn Clock>,
    recent: Recent,
    /// Held for as long as the store lives; the system lets go of it however the process ends.
    _lock: Option<File>,
}

/// How long a connection waits for another process (a command beside the running service) to finish its commit.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const READERS: usize = 2;
/// More than there are: one that falls out of the cache is parsed again at each use, which costs more than to run it.
const STATEMENTS: usize = 512;

impl SqliteStore {
    /// Opens the store for a service: alone, migrated, and with the leases of its predecessor ended.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            make_private_folder(folder).map_err(|source| OpenError::File { path: folder.to_owned(), source })?;
        }
        let lock_path = path.with_extension("lock");
        let file_error = |source| OpenError::File { path: lock_path.clone(), source };
        let lock = private().create(true).truncate(false).open(&lock_path).map_err(file_error)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => return Err(file_error(source)),
        }
        match private().create_new(true).open(path) {
            Err(source) if source.kind() != ErrorKind::AlreadyExists => {
                return Err(OpenError::File { path: path.to_owned(), source });
            }
            // an existing file is not opened here: closing it again would drop the locks SQLite holds in this process
            _ => {}
        }
        Self::connect(path, clock, Some(lock))
    }

    /// Opens an existing store beside a service that may be running; for commands.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open_beside(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        std::fs::metadata(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
        Self::connect(path, clock, None)
    }

    /// Whether an existing file is a store of this version; changes nothing.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn inspect(path: &Path) -> Result<(), OpenError> {
        std::fs::metadata(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
        let connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(sqlite)?;
        migrate::same(&connection, path)
    }

    fn connect(path: &Path, clock: Arc<dyn Clock>, lock: Option<File>) -> Result<Self, OpenError> {
        let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
        let mut connection = Connection::open(path).map_err(sqlite)?;
        tune(&connection).map_err(sqlite)?;
        if lock.is_none() {
            migrate::same(&connection, path)?;
        } else {
            migrate::run(&mut connection, path)?;
            // nobody else is alive to hold them: what the last process had in hand goes on at once
            lanes::end_all_leases(&connection, clock.now()).map_err(sqlite)?;
        }
        let mut readers = Vec::new();
        for _ in 0..READERS {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let reader = Connection::open_with_flags(path, flags).map_err(sqlite)?;
            reader.busy_timeout(BUSY_TIMEOUT).map_err(sqlite)?;
            reader.set_prepared_statement_cache_capacity(STATEMENTS);
            readers.push(reader);
        }
        let spawn = |source| OpenError::File { path: path.to_owned(), source };
        Ok(Self {
            writer: Writer::start(connection).map_err(spawn)?,
            readers: Readers::start(readers).map_err(spawn)?,
            clock,
            recent: Recent::default(),
            _lock: lock,
        })
    }
}

/// Referrals lie in it: nobody but the service's own user may look inside.
fn make_private_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// The same for the files; SQLite gives the mode of the store to those it lays beside it.
fn private() -> OpenOptions {
    let mut options = File::options();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn tune(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: a commit that was answered survives a power cut
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.pragma_update(None, "wal_autocheckpoint", 4000)?;
    // 32 MiB: the indexes that every write touches stay in memory
    connection.pragma_update(None, "cache_size", -32_768)?;
    // what is written over or away is zeroes in the pages that are written anyway
    secure_delete(connection, "FAST")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

/// How what is deleted is written over: `ON` everywhere, `FAST` where that costs no page more.
fn secure_delete(connection: &Connection, how: &str) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "secure_delete", how, |_| Ok(()))
}

#[async_trait]
impl Store for SqliteStore {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn submit(&self, submission: Submission) -> Result<Submit, StoreError> {
        let now = self.now();
        let fresh = Fresh::of_submission(&submission);
        let stored = self.writer.run("submit", move |c| submit::submit(c, &submission, now)).await?;
        if matches!(stored, Submit::Stored(..)) {
            self.recent.keep(fresh);
        }
        Ok(stored)
    }

    async fn submitted(&self, system: &SystemId, key: &str) -> Result<Option<(Submitted, [u8; 32])>, StoreError> {
        let (system, key) = (system.clone(), key.to_owned());
        self.readers.run(move |c| submit::find(c, &system, &key)).await
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let now = self.now();
        let fresh = Fresh::of_append(&append);
        let appended = self.writer.run("append", move |c| append::append(c, &append, now)).await?;
        self.recent.keep(fresh);
        Ok(appended)
    }

    async fn append_together(&self, steps: Vec<Append>) -> Result<Vec<Appended>, AppendError> {
        let now = self.now();
        self.writer
            .run("append-together", move |c| steps.iter().map(|step| append::append(c, step, now)).collect())
            .await
    }

    async fn keyed(&self, author: &str, key: &str) -> Result<Option<(Uuid, [u8; 32])>, StoreError> {
        let (author, key) = (author.to_owned(), key.to_owned());
        self.readers.run(move |c| read::keyed(c, &author, &key)).await
    }

    async fn task(&self, id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
        self.readers.run(move |c| read::task(c, id)).await
    }

    async fn find_tasks(&self, key: &str) -> Result<Vec<TaskRecord>, StoreError> {
        let key = key.to_owned();
        self.readers.run(move |c| read::find_tasks(c, &key)).await
    }

    async fn tasks_asked_by(&self, request: &str, count: usize) -> Result<Vec<TaskRecord>, StoreError> {
        let request = request.to_owned();
        self.readers.run(move |c| read::tasks_asked_by(c, &request, count)).await
    }

    async fn full_inboxes(&self, capacities: Vec<(InboxId, u32)>) -> Result<Vec<InboxId>, StoreError> {
        self.readers.run(move |c| read::full_inboxes(c, capacities)).await
    }

    async fn answer_days(
        &self,
        inbox: &InboxId,
        after: Option<Day>,
        last: Day,
        count: usize,
    ) -> Result<Vec<(Day, u32)>, StoreError> {
        let inbox = inbox.clone();
        self.readers.run(move |c| measured::days(c, &inbox, after, last, count)).await
    }

    async fn first_answers(
        &self,
        inbox: &InboxId,
        first: Day,
        last: Day,
        count: usize,
    ) -> Result<Vec<FirstAnswer>, StoreError> {
        let inbox = inbox.clone();
        self.readers.run(move |c| measured::answers(c, &inbox, first, last, count)).await
    }

    async fn waiting(&self) -> Result<Vec<(InboxId, u64)>, StoreError> {
        self.readers.run(measured::waiting).await
    }

    async fn referrals_of(
        &self,
        query: TaskQuery,
        ids: Vec<Uuid>,
        names: Vec<String>,
    ) -> Result<Vec<ReferralId>, StoreError> {
        self.readers.run(move |c| search::referrals_of(c, &query, &ids, &names)).await
    }

    async fn open_by_name(
        &self,
        names: Vec<String>,
        inboxes: Vec<InboxId>,
        count: usize,
    ) -> Result<Vec<(TaskRecord, Vec<StoredResource>)>, StoreError> {
        self.readers.run(move |c| search::open_by_name(c, &names, &inboxes, count)).await
    }

    async fn search_tasks(&self, query: TaskQuery) -> Result<Vec<(TaskRecord, StoredResource)>, StoreError> {
        self.readers.run(move |c| search::tasks(c, &query)).await
    }

    async fn task_heads(&self, query: TaskQuery) -> Result<Vec<TaskHead>, StoreError> {
        self.readers.run(move |c| search::heads(c, &query)).await
    }

    async fn find_requests(
        &self,
        query: TaskQuery,
        identifiers: Option<Vec<String>>,
    ) -> Result<Vec<StoredResource>, StoreError> {
        self.readers.run(move |c| search::requests(c, &query, identifiers.as_deref())).await
    }

    async fn resource(
        &self,
        kind: &str,
        id: Uuid,
        version: Option<u64>,
    ) -> Result<Option<(StoredResource, Parties)>, StoreError> {
        let kind = kind.to_owned();
        self.readers.run(move |c| read::resource(c, &kind, id, version)).await
    }

    async fn task_version(&self, task: TaskId, version: u64) -> Result<Option<String>, StoreError> {
        match self.recent.body(task, version) {
            Some(body) => Ok(Some(body)),
            None => Ok(self.resource("Task", task.0, Some(version)).await?.map(|(stored, _)| stored.body)),
        }
    }

    async fn versions(&self, kind: &str, id: Uuid) -> Result<Vec<StoredResource>, StoreError> {
        let kind = kind.to_owned();
        self.readers.run(move |c| read::versions(c, &kind, id)).await
    }

    async fn resources_of(&self, referral: ReferralId) -> Result<Vec<StoredResource>, StoreError> {
        self.readers.run(move |c| read::resources_of(c, referral)).await
    }

    async fn named(&self, names: Vec<(String, Uuid)>) -> Result<Vec<StoredResource>, StoreError> {
        self.readers.run(move |c| read::named(c, &names)).await
    }

    async fn gist_of(&self, referrals: Vec<ReferralId>) -> Result<Vec<StoredResource>, StoreError> {
        self.readers.run(move |c| read::gist_of(c, &referrals)).await
    }

    async fn decision_of(&self, referral: ReferralId) -> Result<Option<String>, StoreError> {
        self.readers.run(move |c| read::decision_of(c, referral)).await
    }

    async fn count_routed(&self, from: Timestamp, before: Timestamp) -> Result<u64, StoreError> {
        self.readers.run(move |c| routed::count(c, from, before)).await
    }

    async fn routed(&self, query: RoutedQuery) -> Result<Vec<Routed>, StoreError> {
        self.readers.run(move |c| routed::page(c, &query)).await
    }

    async fn sent(&self, submissions: Vec<Uuid>) -> Result<Vec<Sent>, StoreError> {
        self.readers.run(move |c| routed::sent(c, &submissions)).await
    }

    async fn named_at_first(&self, referrals: Vec<ReferralId>) -> Result<Vec<StoredResource>, StoreError> {
        self.readers.run(move |c| routed::named_at_first(c, &referrals)).await
    }

    async fn journal(&self, task: TaskId) -> Result<Vec<JournalLine>, StoreError> {
        self.readers.run(move |c| journal::read(c, task)).await
    }

    async fn find_journal(&self, query: JournalQuery) -> Result<JournalPage, StoreError> {
        self.readers.run(move |c| journal::find(c, &query)).await
    }

    async fn tasks_routed(&self, query: RoutedQuery) -> Result<Vec<(Timestamp, TaskRecord)>, StoreError> {
        self.readers.run(move |c| routed::tasks(c, &query)).await
    }

    async fn answers_of(&self, tasks: Vec<TaskId>) -> Result<Vec<(TaskId, JournalLine)>, StoreError> {
        self.readers.run(move |c| journal::answers(c, &tasks)).await
    }

    async fn attempts(&self, task: TaskId) -> Result<Vec<Attempt>, StoreError> {
        self.readers.run(move |c| read::attempts(c, task)).await
    }

    async fn lease_lane(&self, task: TaskId, side: Side, lease: Duration) -> Result<LaneState, StoreError> {
        let now = self.now();
        self.writer.run("lease_lane", move |c| lanes::lease(c, task, side, now, lease)).await
    }

    async fn release_lane(&self, task: TaskId, side: Side, lease: u64) -> Result<(), StoreError> {
        self.writer.run("release_lane", move |c| lanes::release(c, task, side, lease)).await
    }

    async fn destinations(&self) -> Result<Vec<(Side, String)>, StoreError> {
        self.readers.run(claim::unfinished).await
    }

    async fn claim_due(&self, claim: Claim) -> Result<Due, StoreError> {
        let now = self.now();
        self.writer.run("claim_due", move |c| claim::due(c, &claim, now)).await
    }

    async fn put_aside(&self, message: Uuid, age: Duration) -> Result<bool, StoreError> {
        let now = self.now();
        self.writer.run("put_aside", move |c| outbox::put_aside(c, message, age, now)).await
    }

    async fn breakers(&self) -> Result<Vec<StoredBreaker>, StoreError> {
        self.readers.run(breakers::all).await
    }

    async fn set_breaker(&self, of: &Destination, version: u64, breaker: Breaker) -> Result<bool, StoreError> {
        let of = of.clone();
        self.writer.run("set_breaker", move |c| breakers::set(c, &of, version, &breaker)).await
    }

    async fn mark_published(&self, messages: Vec<Uuid>) -> Result<(), StoreError> {
        let now = self.now();
        self.writer.run("mark_published", move |c| outbox::mark_published(c, &messages, now)).await
    }

    async fn rearm_published(&self, message: Uuid) -> Result<(), StoreError> {
        let now = self.now();
        self.writer.run("rearm_published", move |c| outbox::rearm_published(c, message, now)).await
    }

    async fn claim_polls(&self, shares: Shares, lease: Duration) -> Result<Vec<(TaskRecord, String)>, StoreError> {
        let now = self.now();
        self.writer.run("claim_polls", move |c| claim::polls(c, &shares, now, lease)).await
    }

    async fn plan_poll(&self, task: TaskId, poll: Poll) -> Result<(), StoreError> {
        self.writer.run("plan_poll", move |c| lanes::plan_poll(c, task, &poll)).await
    }

    async fn give_back_poll(&self, task: TaskId, at: Timestamp) -> Result<(), StoreError> {
        // there is no other who could have claimed it
        self.plan_poll(task, Poll { memory: None, at: Some(at) }).await
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, StoreError> {
        self.readers.run(outbox::backlog).await
    }

    async fn overdue(&self) -> Result<Option<Timestamp>, StoreError> {
        let now = self.now();
        self.readers.run(move |c| outbox::overdue(c, now)).await
    }

    async fn find_dead(&self, query: DeadQuery) -> Result<Vec<DeadLetter>, StoreError> {
        self.readers.run(move |c| trouble::find_dead(c, &query)).await
    }

    async fn dead_letter(&self, message: Uuid) -> Result<Option<DeadLetter>, StoreError> {
        self.readers.run(move |c| trouble::dead_letter(c, message)).await
    }

    async fn dead_head(&self, message: Uuid) -> Result<Option<LaneHead>, StoreError> {
        self.readers.run(move |c| trouble::dead_head(c, message)).await
    }

    async fn claim_deadlines(&self, limit: usize, lease: Duration) -> Result<Vec<TaskRecord>, StoreError> {
        let now = self.now();
        self.writer.run("claim_deadlines", move |c| trouble::claim_deadlines(c, limit, now, lease)).await
    }

    async fn troubled(&self, after: Option<(Timestamp, TaskId)>, count: usize) -> Result<Vec<Troubled>, StoreError> {
        self.readers.run(move |c| trouble::troubled(c, after, count)).await
    }

    async fn add_subscription(&self, new: Subscription) -> Result<(), StoreError> {
        let now = self.now();
        self.writer.run("add_subscription", move |c| subscriptions::add(c, &new, now)).await
    }

    async fn subscription(&self, id: Uuid) -> Result<Option<Subscription>, StoreError> {
        self.readers.run(move |c| subscriptions::get(c, id)).await
    }

    async fn subscriptions(&self, owner: &Subscriber) -> Result<Vec<Subscription>, StoreError> {
        let owner = owner.clone();
        self.readers.run(move |c| subscriptions::of(c, &owner)).await
    }

    async fn rewrite_subscription(
        &self,
        id: Uuid,
        over: u64,
        status: SubscriptionStatus,
        body: String,
    ) -> Result<bool, StoreError> {
        let now = self.now();
        let rewrite = move |c: &Connection| subscriptions::rewrite(c, id, over, status, &body, now);
        self.writer.run("rewrite_subscription", rewrite).await
    }

    async fn remove_subscription(&self, id: Uuid) -> Result<(), StoreError> {
        self.writer.run("remove_subscription", move |c| subscriptions::remove(c, id)).await
    }

    async fn claim_subscriptions(&self, limit: usize, lease: Duration) -> Result<Vec<Subscription>, StoreError> {
        let now = self.now();
        self.writer.run("claim_subscriptions", move |c| subscriptions::claim(c, limit, now, lease)).await
    }

    async fn take_up(
        &self,
        id: Uuid,
        lease: u64,
        changes: Vec<(TaskId, u64, Timestamp)>,
        seen_until: Timestamp,
    ) -> Result<Option<u64>, StoreError> {
        self.writer.run("take_up", move |c| subscriptions::take_up(c, id, lease, &changes, seen_until)).await
    }

    async fn settle_subscription(
        &self,
        id: Uuid,
        lease: u64,
        status: SubscriptionStatus,
        progress: Progress,
        until: Option<Duration>,
    ) -> Result<bool, StoreError> {
        let now = self.now();
        let settle = move |c: &Connection| subscriptions::settle(c, id, lease, status, &progress, until, now);
        self.writer.run("settle_subscription", settle).await
    }

    async fn subscription_events(&self, id: Uuid, from: u64, to: u64) -> Result<Vec<SubscriptionEvent>, StoreError> {
        self.readers.run(move |c| subscriptions::events(c, id, from, to)).await
    }

    async fn add_routes(&self, over: u64, new: NewRoutes) -> Result<Activation, ActivateError> {
        let now = self.now();
        self.writer.run("add_routes", move |c| routes::add(c, over, &new, now)).await
    }

    async fn activate_routes(&self, over: u64, number: u64, signed: Signed) -> Result<Activation, ActivateError> {
        let now = self.now();
        self.writer.run("activate_routes", move |c| routes::activate(c, over, number, &signed, now)).await
    }

    async fn active_routes(&self) -> Result<Option<Activation>, StoreError> {
        self.readers.run(routes::active).await
    }

    async fn routes_history(&self, limit: usize) -> Result<Vec<Activation>, StoreError> {
        self.readers.run(move |c| routes::history(c, limit)).await
    }

    async fn routes_version(&self, number: u64) -> Result<Option<RoutesVersion>, StoreError> {
        self.readers.run(move |c| routes::version(c, number)).await
    }

    async fn raise(&self, alerts: Vec<Alert>) -> Result<(), StoreError> {
        let now = self.now();
        self.writer.run("raise", move |c| trouble::raise(c, &alerts, now)).await
    }

    async fn end_alert(&self, kind: AlertKind, subject: &str) -> Result<bool, StoreError> {
        let subject = subject.to_owned();
        self.writer.run("end_alert", move |c| trouble::end_alert(c, kind, &subject)).await
    }

    async fn claim_alerts(&self, limit: usize, lease: Duration) -> Result<Vec<StoredAlert>, StoreError> {
        let now = self.now();
        self.writer.run("claim_alerts", move |c| trouble::claim_alerts(c, limit, now, lease)).await
    }

    async fn settle_alert(&self, id: Uuid, settled: AlertSettled) -> Result<(), StoreError> {
        self.writer.run("settle_alert", move |c| trouble::settle_alert(c, id, settled)).await
    }

    async fn open_alerts(&self, limit: usize) -> Result<Vec<Alert>, StoreError> {
        self.readers.run(move |c| trouble::open_alerts(c, limit)).await
    }

    async fn beat(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// One process has the file, and nobody waits for it to die.
    fn life(&self) -> Option<u64> {
        Some(0)
    }

    async fn end_leases_of_the_dead(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.writer.run("ready", migrate::write_again).await
    }

    async fn close(&self) {
        self.writer.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::SystemClock;

    /// What a file system or an administrator does to the file, SQLite can be told to do: it refuses the same writes with the same
    /// errors.
    async fn with_pragma(store: &SqliteStore, pragma: &'static str) {
        store.writer.aside(move |c| c.execute_batch(pragma).unwrap()).await;
    }

    #[tokio::test]
    async fn a_store_that_can_only_be_read_says_so_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("s.db"), Arc::new(SystemClock)).unwrap();
        store.ready().await.unwrap();
        with_pragma(&store, "PRAGMA query_only = ON").await;
        let told = store.ready().await.unwrap_err().to_string();
        assert!(told.contains("can only be read") && told.contains("may be written to"), "{told}");
    }

    #[tokio::test]
    async fn a_write_that_another_program_holds_up_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.db");
        let store = SqliteStore::open(&path, Arc::new(SystemClock)).unwrap();
        with_pragma(&store, "PRAGMA busy_timeout = 50").await;
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let told = store.ready().await.unwrap_err().to_string();
        assert!(told.contains("another program holds the store"), "{told}");
        other.execute_batch("ROLLBACK").unwrap();
        store.ready().await.unwrap();
    }
}

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
    Append, AppendError, Appended, Attempt, JournalLine, JournalPage, JournalQuery, Parties, Store, StoreError,
    StoredResource, Submission, Submit, Submitted, TaskHead, TaskQuery, TaskRecord, Troubled,
    recent::{Fresh, Recent},
};
use crate::domain::{Clock, InboxId, ReferralId, SystemId, TaskId};

mod append;
pub mod bare;
mod breakers;
mod claim;
mod colleagues;
mod directory;
mod heard;
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

    async fn journal(&self, task: TaskId) -> Result<Vec<JournalLine>, StoreError> {
        self.readers.run(move |c| journal::read(c, task)).await
    }

    async fn find_journal(&self, query: JournalQuery) -> Result<JournalPage, StoreError> {
        self.readers.run(move |c| journal::find(c, &query)).await
    }

    async fn attempts(&self, task: TaskId) -> Result<Vec<Attempt>, StoreError> {
        self.readers.run(move |c| read::attempts(c, task)).await
    }

    async fn claim_deadlines(&self, limit: usize, lease: Duration) -> Result<Vec<TaskRecord>, StoreError> {
        let now = self.now();
        self.writer.run("claim_deadlines", move |c| trouble::claim_deadlines(c, limit, now, lease)).await
    }

    async fn troubled(&self, after: Option<(Timestamp, TaskId)>, count: usize) -> Result<Vec<Troubled>, StoreError> {
        self.readers.run(move |c| trouble::troubled(c, after, count)).await
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

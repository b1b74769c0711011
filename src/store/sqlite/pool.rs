//! The threads that own the connections: one that writes and commits in groups, a few that read.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::rows::store_error;
use crate::store::{ActivateError, AppendError, DirectoryError, StoreError, counts};

/// As many writes share one commit at the most: enough to make the fsync cheap, few enough to keep the wait short.
pub(super) const GROUP_MAX: usize = 128;
/// Writes waiting beyond this are refused, so that a store that hangs shows itself instead of filling the memory.
const QUEUE_MAX: usize = 4096;

/// What a failed piece of work says: any error that can also say “the store failed”.
pub(super) trait WorkError: From<StoreError> + Send + 'static {}
impl WorkError for StoreError {}
impl WorkError for AppendError {}
impl WorkError for ActivateError {}
impl WorkError for DirectoryError {}

/// Answers the one who asked, once it is known whether the group's commit held.
type Finish = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// One write. Says whether it may stay in the group, and how to answer.
type Write = Box<dyn FnOnce(&Connection) -> (bool, Finish) + Send>;
type Read = Box<dyn FnOnce(&Connection) + Send>;

/// The thread that owns the writing connection.
pub(super) struct Writer {
    queue: Mutex<Option<mpsc::SyncSender<Write>>>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
    /// Why the last group was not taken, for those who are not answered.
    refused: Arc<Mutex<Option<StoreError>>>,
}

/// The threads that own the reading connections.
pub(super) struct Readers {
    queue: mpsc::SyncSender<Read>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> io::Result<Self> {
        let (queue, writes) = mpsc::sync_channel::<Write>(QUEUE_MAX);
        let refused: Arc<Mutex<Option<StoreError>>> = Arc::default();
        let refusing = Arc::clone(&refused);
        let thread = thread::Builder::new().name("store-write".into()).spawn(move || {
            while let Ok(first) = writes.recv() {
                let mut group = vec![first];
                while group.len() < GROUP_MAX {
                    match writes.try_recv() {
                        Ok(next) => group.push(next),
                        Err(_) => break,
                    }
                }
                commit(&connection, group, &refusing);
            }
        })?;
        Ok(Self { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)), refused })
    }

    /// Runs `work` in the next group and answers once the group is committed. What fails is rolled back alone. `op` is its name
    /// in the figures.
    pub(super) async fn run<T, E, F>(&self, op: &'static str, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: WorkError,
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    {
        counts::written(op);
        let (answer, answered) = oneshot::channel();
        let write: Write = Box::new(move |connection| {
            let result = work(connection);
            let keep = result.is_ok();
            let finish: Finish = Box::new(move |committed| {
                let _ = answer.send(committed.map_err(E::from).and(result));
            });
            (keep, finish)
        });
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(queue) = queue else { return Err(StoreError::Unavailable("it is being closed".into()).into()) };
        queue.try_send(write).map_err(|_| StoreError::Unavailable("too many writes are waiting".into()))?;
        drop(queue);
        if let Ok(answer) = answered.await {
            return answer;
        }
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Err(refused.unwrap_or_else(|| StoreError::Unavailable("the store did not take the write".into())).into())
    }

    /// Finishes what is queued and ends the thread.
    pub(super) async fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

/// What is queued is written before the store's file is let go: another process that opens it finds nobody writing.
impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
impl Writer {
    /// Does something on the writing connection outside of any transaction.
    pub(super) async fn aside(&self, work: impl FnOnce(&Connection) + Send + 'static) {
        let (done, is_done) = oneshot::channel();
        let write: Write = Box::new(move |connection| {
            // a group's transaction is open here, and most settings wait for its end
            connection.execute_batch("COMMIT").unwrap();
            work(connection);
            let _ = done.send(());
            (false, Box::new(|_| {}))
        });
        let queue = self.queue.lock().unwrap().clone().unwrap();
        queue.send(write).unwrap();
        is_done.await.unwrap();
    }
}

fn commit(connection: &Connection, group: Vec<Write>, refused: &Mutex<Option<StoreError>>) {
    let mut finishes = Vec::with_capacity(group.len());
    let begun = connection.execute_batch("BEGIN IMMEDIATE").map_err(store_error);
    if let Err(error) = begun {
        refused.lock().unwrap_or_else(PoisonError::into_inner).replace(error.clone());
        for write in group {
            // the work is not run: it is only asked for its answer, inside a savepoint that nothing keeps
            drop(write);
        }
        tracing::error!(%error, "the store does not take writes");
        return;
    }
    for write in group {
        if connection.is_autocommit() {
            // a full disk or an I/O error has ended the transaction: what is left must not commit by itself. Nobody who is
            // dropped here waits: being dropped is an answer
            drop(write);
            continue;
        }
        let entered = connection.execute_batch("SAVEPOINT one");
        let (keep, finish) = write(connection);
        let left = if keep && entered.is_ok() {
            connection.execute_batch("RELEASE one")
        } else {
            connection.execute_batch("ROLLBACK TO one; RELEASE one")
        };
        finishes.push((finish, entered.and(left).map_err(store_error)));
    }
    let committed = connection.execute_batch("COMMIT").map_err(store_error);
    counts::committed();
    if committed.is_err() {
        let _ = connection.execute_batch("ROLLBACK");
    }
    for (finish, own) in finishes {
        finish(own.and(committed.clone()));
    }
}

impl Readers {
    pub(super) fn start(connections: Vec<Connection>) -> io::Result<Self> {
        let (queue, reads) = mpsc::sync_channel::<Read>(QUEUE_MAX);
        let reads = Arc::new(Mutex::new(reads));
        for connection in connections {
            let reads = Arc::clone(&reads);
            thread::Builder::new().name("store-read".into()).spawn(move || {
                loop {
                    // the lock is held only while waiting for work, never while doing it
                    let next = reads.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(read) = next else { return };
                    read(&connection);
                }
            })?;
        }
        Ok(Self { queue })
    }

    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        counts::read();
        let (answer, answered) = oneshot::channel();
        let read: Read = Box::new(move |connection| {
            let _ = answer.send(work(connection));
        });
        self.queue.try_send(read).map_err(|_| StoreError::Unavailable("too many reads are waiting".into()))?;
        answered.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the reading thread has ended".into())))
    }
}

//! Threads for work that may panic or never end. A caller waits so long and no longer; a thread that is still at it then is
//! left to itself and replaced, and comes back into the count when it ends after all.

use std::{
    collections::VecDeque,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::sync::oneshot;

/// How long a caller waits, time in the queue included.
const DEADLINE: Duration = Duration::from_secs(2);
/// How many threads may be stuck before nothing more is taken.
const MAX_ABANDONED: usize = 4;
/// How many jobs may wait for a thread.
const MAX_WAITING: usize = 64;
/// Room for the deepest tree that the gates let through, with unoptimised frames.
const STACK_BYTES: usize = 8 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// Not begun: too many before it, or too many threads stuck.
    Busy,
    /// Begun and not ended in time.
    TooSlow,
    /// It panicked.
    Panicked,
}

/// A few threads and the jobs that wait for them.
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    deadline: Duration,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    abandoned: usize,
    closed: bool,
}

struct Job {
    work: Box<dyn FnOnce() + Send>,
    progress: Arc<AtomicU8>,
}

/// A job waits, runs, and is given up at any time before it is over; changed under the state's lock.
const WAITING: u8 = 0;
const RUNNING: u8 = 1;
const GIVEN_UP: u8 = 2;
const OVER: u8 = 3;

// === impl Pool ===

impl Pool {
    pub(super) fn new(workers: usize) -> Self {
        Self::with_deadline(workers, DEADLINE)
    }

    pub(super) fn with_deadline(workers: usize, deadline: Duration) -> Self {
        let shared = Arc::new(Shared { state: Mutex::default(), wake: Condvar::new(), deadline });
        (0..workers).for_each(|_| shared.spawn());
        Self { shared }
    }

    /// Does `work` on one of the threads. The watch goes on where the caller does not wait for the answer.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NoAnswer> {
        let (answer, answered) = oneshot::channel();
        let progress = Arc::new(AtomicU8::new(WAITING));
        let work = Box::new(move || {
            let _ = answer.send(catch_unwind(AssertUnwindSafe(work)));
        });
        self.shared.queue(Job { work, progress: Arc::clone(&progress) })?;
        let shared = Arc::clone(&self.shared);
        let watch = tokio::spawn(async move {
            match tokio::time::timeout(shared.deadline, answered).await {
                Ok(Ok(Ok(value))) => Ok(value),
                Ok(Ok(Err(_)) | Err(_)) => Err(NoAnswer::Panicked),
                Err(_) => Err(shared.give_up(&progress)),
            }
        });
        watch.await.unwrap_or(Err(NoAnswer::Busy))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_all();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        f.debug_struct("Pool").field("waiting", &state.waiting.len()).field("abandoned", &state.abandoned).finish()
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(self: &Arc<Self>) {
        let shared = Arc::clone(self);
        let named = thread::Builder::new().name("xml".into()).stack_size(STACK_BYTES);
        if let Err(error) = named.spawn(move || shared.work()) {
            tracing::error!(%error, "no thread for XML conversion could be started");
        }
    }

    fn queue(&self, job: Job) -> Result<(), NoAnswer> {
        let mut state = self.lock();
        if state.abandoned >= MAX_ABANDONED || state.waiting.len() >= MAX_WAITING {
            return Err(NoAnswer::Busy);
        }
        state.waiting.push_back(job);
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    fn give_up(self: &Arc<Self>, progress: &AtomicU8) -> NoAnswer {
        let mut state = self.lock();
        match progress.swap(GIVEN_UP, Ordering::SeqCst) {
            WAITING => {
                // a stuck thread must not keep dead jobs in the queue
                state.waiting.retain(|job| job.progress.load(Ordering::SeqCst) == WAITING);
                NoAnswer::Busy
            }
            RUNNING => {
                state.abandoned += 1;
                tracing::error!(abandoned = state.abandoned, "an XML conversion did not end and was given up");
                drop(state);
                self.spawn();
                NoAnswer::TooSlow
            }
            _ => NoAnswer::TooSlow,
        }
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            (job.work)();
            let mut state = self.lock();
            if job.progress.swap(OVER, Ordering::SeqCst) == GIVEN_UP {
                // another thread has taken this one's place
                state.abandoned -= 1;
                return;
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.waiting.pop_front() {
                job.progress.store(RUNNING, Ordering::SeqCst);
                return Some(job);
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[tokio::test]
    async fn answers_come_back_and_panics_do_not_end_it() {
        let pool = Pool::new(1);
        assert_eq!(pool.run(|| 7).await, Ok(7));
        assert_eq!(pool.run(|| -> i32 { std::panic::panic_any("on purpose") }).await, Err(NoAnswer::Panicked));
        assert_eq!(pool.run(|| 8).await, Ok(8));
    }

    #[tokio::test]
    async fn a_stuck_thread_is_replaced_and_too_many_stop_it() {
        let pool = Pool::with_deadline(1, Duration::from_millis(30));
        let go_on = Arc::new(AtomicBool::new(false));
        let stuck = || {
            let go_on = Arc::clone(&go_on);
            move || {
                while !go_on.load(Ordering::SeqCst) {
                    thread::sleep(Duration::from_millis(1));
                }
            }
        };
        for _ in 0..MAX_ABANDONED {
            assert_eq!(pool.run(|| 7).await, Ok(7));
            assert_eq!(pool.run(stuck()).await, Err(NoAnswer::TooSlow));
        }
        assert_eq!(pool.run(|| 7).await, Err(NoAnswer::Busy));
        go_on.store(true, Ordering::SeqCst);
        let mut again = Err(NoAnswer::Busy);
        for _ in 0..200 {
            again = pool.run(|| 9).await;
            if again.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(again, Ok(9));
    }

    #[tokio::test]
    async fn who_waits_too_long_in_the_queue_is_told_so() {
        let pool = Pool::with_deadline(1, Duration::from_millis(60));
        let slow = || thread::sleep(Duration::from_millis(45));
        // the second can begin only when the first is done or given up, and then has not enough time left
        let (_, second) = tokio::join!(pool.run(slow), pool.run(slow));
        assert_eq!(second, Err(NoAnswer::TooSlow));
        assert_eq!(pool.run(|| 1).await, Ok(1));
    }
}

//! Calls that are waiting are taken together: while one group is written the next one collects, and nobody waits for company.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::store::StoreError;

/// As many calls share one commit at the most: enough to make the fsync cheap, few enough to keep the wait short.
pub(super) const GROUP_MAX: usize = 192;
/// Calls waiting beyond this are refused, so that a store that hangs shows itself instead of filling the memory.
const QUEUE_MAX: usize = 4096;

/// One call and where its answer goes.
pub(super) struct Call<A, R> {
    pub asked: A,
    answer: oneshot::Sender<Result<R, StoreError>>,
}

impl<A, R> Call<A, R> {
    /// Answers. Whoever has gone meanwhile does not hear it.
    pub(super) fn answer(self, result: Result<R, StoreError>) {
        let _ = self.answer.send(result);
    }
}

/// What writes groups.
pub(super) trait Writer: Send + 'static {
    /// What is asked.
    type Asked: Send + Sync + 'static;
    /// What is answered.
    type Answer: Send + 'static;

    /// About how many bytes a call brings.
    fn weight(asked: &Self::Asked) -> usize;

    /// Writes a group in one transaction and answers every call of it.
    fn write(&self, group: Vec<Call<Self::Asked, Self::Answer>>) -> impl Future<Output = ()> + Send;
}

/// More bytes than this do not go into one group.
const GROUP_BYTES: usize = 8 << 20;

type Sender<W> = mpsc::Sender<Call<<W as Writer>::Asked, <W as Writer>::Answer>>;

/// The queue before one writer.
pub(super) struct Queue<W: Writer> {
    waiting: Mutex<Option<Sender<W>>>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

impl<W: Writer> Queue<W> {
    pub(super) fn start(writer: W) -> Self {
        let (waiting, mut calls) = mpsc::channel::<Call<W::Asked, W::Answer>>(QUEUE_MAX);
        let worker = tokio::spawn(async move {
            let mut first = None;
            loop {
                let Some(call) = (match first.take() {
                    Some(call) => Some(call),
                    None => calls.recv().await,
                }) else {
                    return;
                };
                let mut bytes = W::weight(&call.asked);
                let mut group = vec![call];
                while group.len() < GROUP_MAX {
                    let Ok(next) = calls.try_recv() else { break };
                    bytes = bytes.saturating_add(W::weight(&next.asked));
                    if bytes > GROUP_BYTES {
                        first = Some(next);
                        break;
                    }
                    group.push(next);
                }
                writer.write(group).await;
            }
        });
        Self { waiting: Mutex::new(Some(waiting)), worker: Mutex::new(Some(worker)) }
    }

    /// Has this written with the next group; answers once that is committed.
    pub(super) async fn ask(&self, asked: W::Asked) -> Result<W::Answer, StoreError> {
        let unavailable = |why: &str| StoreError::Unavailable(why.to_owned());
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(waiting) = waiting else { return Err(unavailable("it is being closed")) };
        let (answer, answered) = oneshot::channel();
        waiting.try_send(Call { asked, answer }).map_err(|_| unavailable("too many writes are waiting"))?;
        drop(waiting);
        answered.await.unwrap_or_else(|_| Err(unavailable("the store did not take the write")))
    }

    /// Finishes what is waiting and ends the writer.
    pub(super) async fn close(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(worker) = worker {
            let _ = worker.await;
        }
    }
}

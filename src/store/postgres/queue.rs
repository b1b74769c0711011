//! Calls that are waiting are taken together: while one group is written the next one collects, and nobody waits for company.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{batch::Broken, link::Failure};
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
pub(super) trait Writer: Send + Sync + 'static {
    /// What is asked.
    type Asked: Send + Sync + 'static;
    /// What is answered.
    type Answer: Send + Sync + 'static;

    /// About how many bytes a call brings.
    fn weight(asked: &Self::Asked) -> usize;

    /// Writes a group in one transaction; the answers in the order of its calls.
    fn write(
        &self,
        group: &[Call<Self::Asked, Self::Answer>],
    ) -> impl Future<Output = Result<Vec<Self::Answer>, Broken>> + Send;
}

/// How often a group that others came across is tried again as it is.
const TRIES: usize = 3;

/// Has a group written and answers every call of it.
async fn serve<W: Writer>(writer: &W, group: Vec<Call<W::Asked, W::Answer>>) {
    match until_known(writer, &group).await {
        Ok(answers) => {
            for (call, answer) in group.into_iter().zip(answers) {
                call.answer(Ok(answer));
            }
        }
        // one of them is to blame: each for itself
        Err(Failure::Refused(_) | Failure::Crossed(_) | Failure::Unreadable(_)) if group.len() > 1 => {
            for call in group {
                let alone = until_known(writer, std::slice::from_ref(&call)).await;
                let nothing = || StoreError::Unavailable("the store gave no answer".to_owned());
                call.answer(alone.map_err(StoreError::from).and_then(|mut a| a.pop().ok_or_else(nothing)));
            }
        }
        Err(failure) => {
            let error = StoreError::from(failure);
            for call in group {
                call.answer(Err(error.clone()));
            }
        }
    }
}

/// Tries a group until it is known what became of it.
async fn until_known<W: Writer>(writer: &W, group: &[Call<W::Asked, W::Answer>]) -> Result<Vec<W::Answer>, Failure> {
    let mut tries = 1;
    loop {
        match writer.write(group).await {
            Ok(answers) => return Ok(answers),
            // another replica came across it: what that one did is found the next time
            Err(Broken { failure: Failure::Lost(_) | Failure::Crossed(_), unknown: false }) if tries < TRIES => {
                tries += 1;
            }
            Err(broken) => return Err(broken.failure),
        }
    }
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
                serve(&writer, group).await;
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

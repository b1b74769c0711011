//! The `Broker` port: wake-ups handed over with a confirmation, and consumed with an acknowledgement.
//!
//! A message says only that a lane has work; what the work is, and in which order, the store knows. So a wake-up may come
//! twice, late or out of turn without harm, and one that is lost is published again from the outbox.
//!
//! The exception are parcels: whole FHIR messages in a queue that a provider's own consumer reads.

pub mod embedded;
mod parcel;
pub mod rabbitmq;

use std::fmt;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::domain::{
    clock::Timestamp,
    lane::{Side, WakeUp},
};

pub use embedded::Embedded;
pub use parcel::{Outlet, Parcel};
pub use rabbitmq::RabbitMq;

/// Where the wake-ups of one inbox or of one originating system wait.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Queue {
    /// Which side its lanes lead to.
    pub side: Side,
    /// The inbox on the way out, the originating system on the way back.
    pub to: String,
}

/// What carries wake-ups from the store's outbox to the workers.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Makes the queues (and exchanges) be there. Idempotent; an error when the broker is away.
    async fn declare(&self, queues: &[Queue]) -> Result<(), BrokerError>;

    /// Hands over one wake-up. `Ok` only when the broker has confirmed that it is stored in its queue; after any error it may
    /// be stored none the less. Cheap to call hundreds of times concurrently; what one caller publishes one after the other to
    /// one queue keeps its order.
    async fn publish(&self, wake_up: &WakeUp) -> Result<(), BrokerError>;

    /// The wake-ups of one queue, at most `prefetch` of them unacknowledged. Returns at once even while the broker is away,
    /// deliveries begin when it is back. Lives until the receiver is dropped: it survives the loss of a connection, a
    /// restart of the node and the deletion of the queue, which it declares again.
    async fn consume(&self, queue: Queue, prefetch: u16) -> Result<mpsc::Receiver<Delivery>, BrokerError>;

    /// What the broker itself has dead-lettered: wake-ups that were given back too often, whose outbox rows the scheduler
    /// re-arms, and parcels that a provider's consumer rejected ([`Delivery::rejected`]).
    async fn consume_dead(&self, prefetch: u16) -> Result<mpsc::Receiver<Delivery>, BrokerError>;

    /// Makes the queues for providers' own consumers be there, so that these may connect before the first parcel. Idempotent; a
    /// queue that is there with another length limit keeps it, which is an error.
    ///
    /// A broker without consumers outside this process has none, and refuses.
    async fn open_outlets(&self, outlets: &[Outlet]) -> Result<(), BrokerError> {
        outlets.first().map_or(Ok(()), |outlet| Err(outlet.unsupported()))
    }

    /// Hands over one parcel. `Ok` only when the broker has confirmed that it is stored; after any error but
    /// [`BrokerError::Refused`] it may be stored none the less. A full queue refuses.
    async fn hand_over(&self, parcel: &Parcel) -> Result<(), BrokerError> {
        Err(parcel.outlet.unsupported())
    }

    /// How much lies in the queues of these names now; one that is not there is left out. An implementation that cannot say says nothing.
    async fn depths(&self, _queues: &[String]) -> Result<Vec<Depth>, BrokerError> {
        Ok(Vec::new())
    }

    /// Whether the broker is there, in words for `/health/ready`.
    fn health(&self) -> BrokerHealth;

    /// Finishes what is under way, within bounds, and lets go. Every receiver ends.
    async fn close(&self);
}

/// One wake-up in the hands of a worker.
///
/// Dropping it without a word is the same as [`Delivery::release`], a moment later. Either counts towards the queue's
/// delivery limit, after which the wake-up goes to [`Broker::consume_dead`]. The receiver may be dropped before its
/// deliveries are settled. If the connection is lost in between, the wake-up comes again whatever is said here.
pub struct Delivery {
    /// What has work.
    pub wake_up: WakeUp,
    /// This was no wake-up but a parcel, which the provider's consumer has rejected; `wake_up` says which one it was. Only from
    /// [`Broker::consume_dead`].
    pub rejected: bool,
    receipt: Box<dyn Receipt>,
}

/// What is told to the broker about a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is forgotten.
    Done,
    /// It goes back to its queue.
    Again,
}

/// One implementation's hold on a delivered message. Dropping it unsettled means [`Verdict::Again`].
#[async_trait]
pub trait Receipt: Send + Sync {
    /// Tells the broker; where it is away, the message comes again whatever was said.
    async fn settle(self: Box<Self>, verdict: Verdict);
}

/// Why a wake-up was not handed over, or a queue not declared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// There is no connection, or it was lost before the answer came.
    #[error("the broker is away: {0}")]
    Away(String),
    /// No such queue, and declaring it again did not help.
    #[error("the broker knows no queue {queue}")]
    Returned {
        /// The queue's name.
        queue: String,
    },
    /// The broker said no.
    #[error("the broker refused {queue}: {why}")]
    Refused {
        /// The queue's name.
        queue: String,
        /// In the broker's words.
        why: String,
    },
    /// No answer in time. It may be stored none the less.
    #[error("the broker did not confirm in time")]
    TimedOut,
    /// A message that cannot be written as one.
    #[error("the message cannot be written: {0}")]
    BadMessage(String),
    /// A broker URL that is none. The URL itself is left out, it may hold a password.
    #[error("the broker's URL is not usable: {0}")]
    BadUrl(String),
}

/// How much lies in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Depth {
    /// Its name.
    pub queue: String,
    /// Messages that wait for a reader.
    pub ready: u64,
    /// Messages that readers hold and have not acknowledged; none where the broker does not say.
    pub held: Option<u64>,
    /// Who reads it, in all processes; none where the broker does not say.
    pub readers: Option<u64>,
}

/// How the broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerHealth {
    /// Whether there is a connection, both ways.
    pub connected: bool,
    /// Whether the broker takes no messages at present, for want of memory or disk.
    pub blocked: bool,
    /// Since when it is connected or not.
    pub since: Timestamp,
    /// Where to, or why not. Holds no secret.
    pub detail: String,
}

impl Queue {
    /// The queue that a wake-up goes to.
    pub fn of(wake_up: &WakeUp) -> Self {
        Self { side: wake_up.side, to: wake_up.to.clone() }
    }

    /// Its name at the broker: `inbox.<to>` or `writeback.<to>`.
    pub fn name(&self) -> String {
        match self.side {
            Side::Delivery => format!("inbox.{}", self.to),
            Side::WriteBack => format!("writeback.{}", self.to),
        }
    }

    /// The exchange that it is bound to, by `to` as the routing key.
    pub fn exchange(&self) -> &'static str {
        match self.side {
            Side::Delivery => "onward.referrals",
            Side::WriteBack => "onward.status",
        }
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl Delivery {
    /// For an implementation of the port, about to hand it over.
    pub fn new(wake_up: WakeUp, receipt: Box<dyn Receipt>) -> Self {
        Self { wake_up, rejected: false, receipt }
    }

    /// The same as [`Delivery::rejected`].
    pub(crate) fn with_rejected(self, rejected: bool) -> Self {
        Self { rejected, ..self }
    }

    /// Done: the broker forgets it. Called after the store's commit. Not an error if the broker is away: then it comes again.
    pub async fn ack(self) {
        self.receipt.settle(Verdict::Done).await;
    }

    /// Back to the front of its queue, for this worker or another.
    pub async fn release(self) {
        self.receipt.settle(Verdict::Again).await;
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("wake_up", &self.wake_up).finish_non_exhaustive()
    }
}

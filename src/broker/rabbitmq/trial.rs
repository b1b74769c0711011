//! A connection on which one consumer at a time tries what has failed among the others.
//!
//! RabbitMQ 3.10 ends the whole connection when somebody wants to consume a queue without a leader, and with it up to some hundred
//! consumers of other queues, each time that it is tried.

use std::sync::Arc;

use tokio::sync::{Mutex, OnceCell};

use super::link::{Link, Live, Plan};

/// See the module's documentation. It is made when it is needed first.
pub(super) struct Trial {
    plan: Plan,
    link: OnceCell<Link>,
    turn: Mutex<()>,
}

impl Trial {
    pub(super) fn new(plan: Plan) -> Self {
        Self { plan, link: OnceCell::new(), turn: Mutex::new(()) }
    }

    /// Does this over the connection when it is one's turn. None when there will be no connection any more.
    pub(super) async fn attempt<T>(&self, work: impl AsyncFnOnce(&Arc<Live>) -> T) -> Option<T> {
        let _turn = self.turn.lock().await;
        let link = self.link.get_or_init(async || Link::start(self.plan.clone())).await;
        let live = link.live().await?;
        Some(work(&live).await)
    }

    /// Waits until its connection has ended, if there is one.
    pub(super) async fn ended(&self) {
        if let Some(link) = self.link.get() {
            link.ended().await;
        }
    }
}

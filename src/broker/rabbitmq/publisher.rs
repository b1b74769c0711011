//! One publishing channel and the task that owns it.
//!
//! Only this task publishes on the channel and looks at the confirmations, for two reasons that lie in lapin 4.12.3:
//! - it numbers a message before it queues its frames, so two tasks that publish at once get each other's confirmations;
//! - it hands a returned message to whichever confirmation comes next, not to the message's own. The message that was returned
//!   then looks stored. So confirmations are looked at in rounds, and returned messages told apart by their message id.

use std::{
    collections::HashMap,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use lapin::{
    Channel, Confirmation,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, interval, sleep, timeout},
};
use uuid::Uuid;

use super::{
    link::{Link, Live, asked, backoff},
    wire::{Message, message_id},
};

/// Messages that wait for their turn; more make the caller wait.
const WAITING: usize = 1024;
/// Unconfirmed messages on one channel. RabbitMQ is fastest with 128 to 1,024.
const IN_FLIGHT: usize = 512;
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Stored in its queue.
    Stored,
    /// There is no such queue.
    Returned,
    /// The queue did not take it.
    Nacked,
    /// The connection ended first.
    Lost(String),
}

/// The way to one publishing task.
#[derive(Clone)]
pub(super) struct Publisher {
    requests: mpsc::Sender<Request>,
}

struct Request {
    message: Message,
    reply: oneshot::Sender<Outcome>,
}

/// A published message of which nothing was heard yet.
struct Open {
    id: Uuid,
    reply: oneshot::Sender<Outcome>,
}

/// What the confirmations of one channel have said.
#[derive(Default)]
struct Ledger {
    next: u64,
    open: HashMap<u64, Open>,
    /// Returned messages whose own confirmation has not come yet. Counted: the same message may be in flight twice.
    returned: HashMap<Uuid, u32>,
}

type Settled = (u64, lapin::Result<Confirmation>);

// === impl Publisher ===

impl Publisher {
    /// Begins a task that publishes over `link`. It ends when `closing` says so and what was in flight is settled.
    pub(super) fn start(
        link: Link,
        silence: Duration,
        closing: watch::Receiver<bool>,
        alive: mpsc::Sender<()>,
    ) -> Self {
        let (sender, requests) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            run(link, requests, silence, closing).await;
            drop(alive);
        });
        Self { requests: sender }
    }

    /// Publishes, and waits for the outcome however long it takes: the caller sets the limit.
    pub(super) async fn publish(&self, message: Message) -> Outcome {
        let lost = || Outcome::Lost("it was closed".to_owned());
        let (reply, outcome) = oneshot::channel();
        if self.requests.send(Request { message, reply }).await.is_err() {
            return lost();
        }
        outcome.await.unwrap_or_else(|_| lost())
    }
}

async fn run(link: Link, mut requests: mpsc::Receiver<Request>, silence: Duration, mut closing: watch::Receiver<bool>) {
    let mut failures = 0;
    loop {
        let live = tokio::select! {
            biased;
            () = asked(&mut closing) => return,
            live = link.live() => live,
            request = requests.recv() => {
                let Some(request) = request else { return };
                let _ = request.reply.send(Outcome::Lost(link.state().detail));
                continue;
            }
        };
        let Some(live) = live else { return };
        let began = Instant::now();
        let why = match timeout(OPEN_TIMEOUT, open(&live)).await {
            Ok(Ok(channel)) => match serve(&channel, &live, &link, &mut requests, silence, &mut closing).await {
                Some(why) => why,
                None => return,
            },
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no channel could be opened in time".to_owned(),
        };
        tracing::warn!(why, "the publishing channel ended and is opened again");
        while let Ok(request) = requests.try_recv() {
            let _ = request.reply.send(Outcome::Lost(why.clone()));
        }
        failures = if began.elapsed() < LOOK_EVERY { failures + 1 } else { 0 };
        if failures > 0 {
            sleep(backoff(failures)).await;
        }
    }
}

async fn open(live: &Live) -> lapin::Result<Channel> {
    let channel = live.connection.create_channel().await?;
    // without this every publish counts as confirmed at once
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

/// Publishes until the channel ends (and says why) or until nothing more is to come.
async fn serve(
    channel: &Channel,
    live: &Arc<Live>,
    link: &Link,
    requests: &mut mpsc::Receiver<Request>,
    silence: Duration,
    closing: &mut watch::Receiver<bool>,
) -> Option<String> {
    let mut state = link.watch();
    let mut in_flight = FuturesUnordered::new();
    let mut ledger = Ledger::default();
    let mut heard = Instant::now();
    let mut look = interval(LOOK_EVERY);
    let mut last_round = false;
    let why = loop {
        let blocked = state.borrow_and_update().blocked.is_some();
        if last_round && in_flight.is_empty() {
            return None;
        }
        if in_flight.is_empty() || blocked {
            heard = Instant::now();
        }
        tokio::select! {
            biased;
            round = poll_fn(|cx| settle(&mut in_flight, cx)) => {
                heard = Instant::now();
                if let Err(error) = ledger.conclude(round) {
                    break error.to_string();
                }
            }
            // a blocked connection sends nothing: what waits here can still time out unsent
            request = requests.recv(), if !blocked && !last_round && in_flight.len() < IN_FLIGHT => {
                let Some(request) = request else { last_round = true; continue };
                // its caller may have given up meanwhile; the outbox then has it
                if !request.reply.is_closed() {
                    let Message { id, exchange, key, body, properties } = request.message;
                    let number = ledger.enter(id, request.reply);
                    in_flight.push(async move {
                        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
                        let sent = channel.basic_publish(exchange.into(), key.into(), options, &body, properties).await;
                        (number, match sent { Ok(confirm) => confirm.await, Err(error) => Err(error) })
                    });
                }
            }
            _ = state.changed() => {
                let now = state.borrow_and_update();
                if !now.live.as_ref().is_some_and(|now| Arc::ptr_eq(now, live)) {
                    break now.detail.clone();
                }
            }
            _ = look.tick() => if heard.elapsed() > silence {
                live.suspect();
                break "no confirmation came for too long".to_owned();
            },
            () = asked(closing), if !last_round => {
                requests.close();
                last_round = true;
            }
        }
    };
    for (_, open) in ledger.open.drain() {
        let _ = open.reply.send(Outcome::Lost(why.clone()));
    }
    Some(why)
}

/// All confirmations that are there, in one round.
///
/// lapin's one thread gives out returned messages and confirmations in the order that they came, and a message's return comes
/// before its confirmation. So the confirmation that carries a return is in the queue of `in_flight` before the confirmation
/// of the returned message is; going on until nothing is ready has both in this round or the return in an earlier one.
fn settle(in_flight: &mut FuturesUnordered<impl Future<Output = Settled>>, cx: &mut Context<'_>) -> Poll<Vec<Settled>> {
    let mut round = Vec::new();
    while let Poll::Ready(Some(settled)) = in_flight.poll_next_unpin(cx) {
        round.push(settled);
    }
    if round.is_empty() { Poll::Pending } else { Poll::Ready(round) }
}

// === impl Ledger ===

impl Ledger {
    fn enter(&mut self, id: Uuid, reply: oneshot::Sender<Outcome>) -> u64 {
        self.next += 1;
        self.open.insert(self.next, Open { id, reply });
        self.next
    }

    /// Tells everyone in the round what became of their message. An error is the end of the channel.
    fn conclude(&mut self, round: Vec<Settled>) -> lapin::Result<()> {
        let mut taken = Vec::with_capacity(round.len());
        for (number, result) in round {
            let (ack, back) = match result? {
                Confirmation::Ack(back) => (true, back),
                Confirmation::Nack(back) => (false, back),
                // confirm mode is off, which means that nobody has confirmed anything
                Confirmation::NotRequested => (false, None),
            };
            if let Some(id) = back.as_ref().and_then(|back| message_id(&back.properties)) {
                *self.returned.entry(id).or_default() += 1;
            }
            taken.push((number, ack));
        }
        for (number, ack) in taken {
            let Some(Open { id, reply }) = self.open.remove(&number) else { continue };
            let outcome = match self.returned.get_mut(&id) {
                Some(times) => {
                    *times -= 1;
                    if *times == 0 {
                        self.returned.remove(&id);
                    }
                    Outcome::Returned
                }
                None if ack => Outcome::Stored,
                None => Outcome::Nacked,
            };
            let _ = reply.send(outcome);
        }
        Ok(())
    }
}

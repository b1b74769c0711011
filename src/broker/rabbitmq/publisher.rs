//! One publishing channel and the task that owns it.
//!
//! Only this task publishes on the channel and looks at the confirmations, for two reasons that lie in lapin 4.12.3:
//! - it numbers a message before it queues its frames, so two tasks that publish at once get each other's confirmations;
//! - it hands a returned message to whichever confirmation comes next. So confirmations are looked at in rounds (`ledger.rs`).

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use lapin::{
    Channel,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::{Instant, interval, sleep, timeout, timeout_at},
};

use super::{
    ledger::{Ledger, Outcome, Settled},
    link::{Link, Live, asked, backoff},
    wire::Message,
};

/// Messages that wait for their turn; more make the caller wait.
const WAITING: usize = 1024;
/// Unconfirmed messages on one channel. RabbitMQ is fastest with 128 to 1,024.
const IN_FLIGHT: usize = 512;
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A channel on which a queue refuses messages is not used for longer than this, each next one twice as long … A queue may be
/// full; or the channel mistakes it: RabbitMQ 3.10 keeps, for as long as a channel lives, which node led a quorum queue when the
/// channel first published to it. If that one had just died and no other was elected yet, it refuses all that follows.
const REFUSED_FIRST: Duration = Duration::from_secs(1);
/// … up to this.
const REFUSED_MAX: Duration = Duration::from_secs(30);
/// How long a channel that is used no more is listened to.
const HEAR_OUT: Duration = Duration::from_secs(4);

/// The way to one publishing task.
#[derive(Clone)]
pub(super) struct Publisher {
    requests: mpsc::Sender<Request>,
    renew: Arc<Notify>,
}

/// What a publishing task takes to have failed when nothing is confirmed for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Its connection: it publishes to many queues.
    Connection,
    /// Its channel: it publishes to one queue that takes nothing.
    Channel,
}

struct Request {
    message: Message,
    reply: oneshot::Sender<Outcome>,
}

type InFlight = FuturesUnordered<BoxFuture<'static, Settled>>;

/// One channel and what is on its way over it.
struct Session {
    channel: Channel,
    opened: Instant,
    /// Whether a queue has refused a message.
    refused: bool,
    in_flight: InFlight,
    ledger: Ledger,
}

/// Why a task stopped using a channel.
enum End {
    /// It failed.
    Failed(String),
    /// Another shall be used from now on; this one may still be heard out.
    Renew,
    /// No more messages are to come.
    Closing,
}

// === impl Publisher ===

impl Publisher {
    /// Begins a task that publishes over `link`. It ends when `closing` says so and what was in flight is settled. A message
    /// that is not confirmed after `silence` casts doubt on its channel, and where none is, on what `doubt` names.
    pub(super) fn start(
        link: Link,
        doubt: Doubt,
        silence: Duration,
        closing: watch::Receiver<bool>,
        alive: mpsc::Sender<()>,
    ) -> Self {
        let (sender, requests) = mpsc::channel(WAITING);
        let renew = Arc::new(Notify::new());
        let task =
            Task { link, doubt, requests, silence, closing, renew: Arc::clone(&renew), tolerance: REFUSED_FIRST };
        tokio::spawn(async move {
            task.run().await;
            drop(alive);
        });
        Self { requests: sender, renew }
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

    /// Takes another channel for what is published from now on.
    pub(super) fn renew(&self) {
        self.renew.notify_one();
    }
}

/// What the publishing task works with.
struct Task {
    link: Link,
    doubt: Doubt,
    requests: mpsc::Receiver<Request>,
    silence: Duration,
    closing: watch::Receiver<bool>,
    renew: Arc<Notify>,
    /// How long a channel is used on which messages are refused.
    tolerance: Duration,
}

impl Task {
    async fn run(mut self) {
        let mut failures = 0;
        loop {
            let live = tokio::select! {
                biased;
                () = asked(&mut self.closing) => return,
                live = self.link.live() => live,
                request = self.requests.recv() => {
                    let Some(request) = request else { return };
                    let _ = request.reply.send(Outcome::Lost(self.link.state().detail));
                    continue;
                }
            };
            let Some(live) = live else { return };
            let began = Instant::now();
            let opened = timeout(OPEN_TIMEOUT, Session::open(&live)).await;
            let why = match opened {
                Ok(Ok(mut session)) => match self.serve(&mut session, &live).await {
                    End::Failed(why) => {
                        session.ledger.fail(&why);
                        why
                    }
                    End::Renew => {
                        tokio::spawn(session.hear_out());
                        continue;
                    }
                    End::Closing => return session.hear_out().await,
                },
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no channel could be opened in time".to_owned(),
            };
            tracing::warn!(why, "the publishing channel ended and is opened again");
            while let Ok(request) = self.requests.try_recv() {
                let _ = request.reply.send(Outcome::Lost(why.clone()));
            }
            failures = if began.elapsed() < LOOK_EVERY { failures + 1 } else { 0 };
            if failures > 0 {
                sleep(backoff(failures)).await;
            }
        }
    }

    async fn serve(&mut self, session: &mut Session, live: &Arc<Live>) -> End {
        let mut state = self.link.watch();
        let mut heard = Instant::now();
        let mut look = interval(LOOK_EVERY);
        loop {
            let blocked = state.borrow_and_update().blocked.is_some();
            if session.in_flight.is_empty() || blocked {
                heard = Instant::now();
            }
            tokio::select! {
                biased;
                round = poll_fn(|cx| settle(&mut session.in_flight, cx)) => {
                    heard = Instant::now();
                    match session.ledger.conclude(round) {
                        Ok(refused) => session.refused |= refused,
                        Err(error) => return End::Failed(error.to_string()),
                    }
                }
                // a blocked connection sends nothing: what waits here can still time out unsent
                request = self.requests.recv(), if !blocked && session.in_flight.len() < IN_FLIGHT => match request {
                    Some(request) => session.send(request),
                    None => return End::Closing,
                },
                _ = state.changed() => {
                    let now = state.borrow_and_update();
                    if !now.live.as_ref().is_some_and(|now| Arc::ptr_eq(now, live)) {
                        return End::Failed(now.detail.clone());
                    }
                }
                _ = look.tick() => {
                    if self.doubt == Doubt::Connection && heard.elapsed() > self.silence {
                        live.suspect();
                        return End::Failed("no confirmation came for too long".to_owned());
                    }
                    if session.opened.elapsed() > self.tolerance {
                        if session.refused {
                            self.tolerance = (self.tolerance * 2).min(REFUSED_MAX);
                            return End::Renew;
                        }
                        self.tolerance = REFUSED_FIRST;
                    }
                    // others are confirmed: perhaps this queue has no quorum, perhaps the channel mistakes it
                    if !blocked && session.ledger.oldest().is_some_and(|sent| sent.elapsed() > self.silence) {
                        return End::Renew;
                    }
                }
                () = self.renew.notified() => return End::Renew,
                () = asked(&mut self.closing) => {
                    self.requests.close();
                    return End::Closing;
                }
            }
        }
    }
}

// === impl Session ===

impl Session {
    async fn open(live: &Live) -> lapin::Result<Self> {
        let channel = live.connection.create_channel().await?;
        // without this every publish counts as confirmed at once
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let (in_flight, ledger) = (FuturesUnordered::new(), Ledger::default());
        Ok(Self { channel, opened: Instant::now(), refused: false, in_flight, ledger })
    }

    fn send(&mut self, Request { message, reply }: Request) {
        // its caller may have given up meanwhile; the outbox then has it
        if reply.is_closed() {
            return;
        }
        let Message { id, exchange, key, body, properties } = message;
        let number = self.ledger.enter(id, reply);
        let channel = self.channel.clone();
        // first polled in the order of pushing, which is the order on the wire
        self.in_flight.push(Box::pin(async move {
            let options = BasicPublishOptions { mandatory: true, ..Default::default() };
            let sent = channel.basic_publish(exchange.into(), key.into(), options, &body, properties).await;
            (
                number,
                match sent {
                    Ok(confirm) => confirm.await,
                    Err(error) => Err(error),
                },
            )
        }));
    }

    /// Waits a while for the confirmations that are still to come, then gives up on the rest.
    async fn hear_out(mut self) {
        let limit = Instant::now() + HEAR_OUT;
        while !self.in_flight.is_empty() {
            match timeout_at(limit, poll_fn(|cx| settle(&mut self.in_flight, cx))).await {
                Ok(round) => {
                    if self.ledger.conclude(round).is_err() {
                        break;
                    }
                }
                Err(_) => break,
            }
        }
        self.ledger.fail("its channel was given up");
    }
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

//! What the confirmations of one channel mean.
//!
//! lapin 4.12.3 hands a returned message to whichever confirmation comes next, not to the message's own; the message that was
//! returned then looks stored. So returned messages are told apart by their message id.

use std::collections::{BTreeMap, HashMap};

use lapin::Confirmation;
use tokio::{sync::oneshot, time::Instant};
use uuid::Uuid;

use super::wire::message_id;

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

/// A confirmation, and the number of the message that waited for it.
pub(super) type Settled = (u64, lapin::Result<Confirmation>);

/// Who waits for what on one channel, and what its confirmations have said.
#[derive(Default)]
pub(super) struct Ledger {
    last: u64,
    open: BTreeMap<u64, Open>,
    /// Returned messages whose own confirmation has not come yet. Counted: the same message may be in flight twice.
    returned: HashMap<Uuid, u32>,
}

/// A published message of which nothing was heard yet.
struct Open {
    id: Uuid,
    since: Instant,
    reply: oneshot::Sender<Outcome>,
}

// === impl Ledger ===

impl Ledger {
    /// Notes a message that is about to be sent; its number.
    pub(super) fn enter(&mut self, id: Uuid, reply: oneshot::Sender<Outcome>) -> u64 {
        self.last += 1;
        self.open.insert(self.last, Open { id, since: Instant::now(), reply });
        self.last
    }

    /// The time at which the oldest message was sent that nothing was heard of.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.open.values().next().map(|open| open.since)
    }

    /// Tells everyone that nothing more will be heard.
    pub(super) fn fail(&mut self, why: &str) {
        while let Some((_, open)) = self.open.pop_first() {
            let _ = open.reply.send(Outcome::Lost(why.to_owned()));
        }
    }

    /// Tells everyone in the round what became of their message; says whether a queue did not take one. An error is the end of the
    /// channel.
    pub(super) fn conclude(&mut self, round: Vec<Settled>) -> lapin::Result<bool> {
        let mut nacked = false;
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
            let Some(Open { id, reply, .. }) = self.open.remove(&number) else { continue };
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
            nacked |= outcome == Outcome::Nacked;
            let _ = reply.send(outcome);
        }
        Ok(nacked)
    }
}

#[cfg(test)]
mod tests {
    use lapin::{
        BasicProperties,
        message::{BasicReturnMessage, Delivery},
    };

    use super::*;

    fn return_of(id: Uuid) -> Option<BasicReturnMessage> {
        let mut delivery = Delivery::mock(0, "onward.referrals".into(), "gone".into(), false, Vec::new());
        delivery.properties = BasicProperties::default().with_message_id(id.to_string().into());
        Some(BasicReturnMessage { delivery, reply_code: 312, reply_text: "NO_ROUTE".into() })
    }

    /// lapin 4.12.3 attaches a returned message to whichever confirmation it completes next.
    #[test]
    fn a_return_belongs_to_its_own_message_whichever_confirmation_carries_it() {
        for (kept_first, rounds) in [(true, 1), (false, 1), (true, 2)] {
            let mut ledger = Ledger::default();
            let (kept, gone) = (Uuid::from_u128(1), Uuid::from_u128(2));
            let (reply_kept, mut told_kept) = oneshot::channel();
            let (reply_gone, mut told_gone) = oneshot::channel();
            let number_kept = ledger.enter(kept, reply_kept);
            let number_gone = ledger.enter(gone, reply_gone);
            let mut settled =
                vec![(number_kept, Ok(Confirmation::Ack(return_of(gone)))), (number_gone, Ok(Confirmation::Ack(None)))];
            if !kept_first {
                settled.reverse();
            }
            let later = settled.split_off(if rounds == 2 { 1 } else { 2 });
            ledger.conclude(settled).unwrap();
            ledger.conclude(later).unwrap();
            assert_eq!((told_kept.try_recv(), told_gone.try_recv()), (Ok(Outcome::Stored), Ok(Outcome::Returned)));
            assert!(ledger.open.is_empty() && ledger.returned.is_empty());
        }
    }

    #[test]
    fn only_a_confirmation_that_was_asked_for_counts() {
        for (said, outcome) in [
            (Confirmation::Ack(None), Outcome::Stored),
            (Confirmation::Nack(None), Outcome::Nacked),
            (Confirmation::NotRequested, Outcome::Nacked),
        ] {
            let mut ledger = Ledger::default();
            let (reply, mut told) = oneshot::channel();
            let number = ledger.enter(Uuid::nil(), reply);
            ledger.conclude(vec![(number, Ok(said))]).unwrap();
            assert_eq!(told.try_recv(), Ok(outcome));
        }
    }
}

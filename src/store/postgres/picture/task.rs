//! One Task of a group, in memory: its lanes, and what waits in them.

use std::collections::HashSet;

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    super::rows::{micros, micros_after},
    FRESH_LEASE, Fate, Hand, Lane, Message, State, TaskPicture,
};
use crate::{
    domain::{Side, WakeUp, clock::from_micros},
    store::{LaneHead, Poll, Settle, Settled, TaskRecord, chain},
};

// === impl Message ===

impl Message {
    pub(super) fn is_open(&self) -> bool {
        self.fate != Fate::Gone && matches!(self.state, State::Pending | State::Published)
    }

    pub(super) fn change(&mut self) {
        if self.fate != Fate::New {
            self.fate = Fate::Changed;
        }
    }

    /// Pending again, and nobody's.
    pub(super) fn free(&mut self) {
        self.state = State::Pending;
        self.lease_until = None;
        self.holder = None;
        self.change();
    }
}

// === impl TaskPicture ===

impl TaskPicture {
    /// A Task that is not stored yet.
    pub(in crate::store::postgres) fn new(record: TaskRecord) -> Self {
        Self {
            due_at: record.state.next_deadline().map(micros),
            transport_since: None,
            record,
            head_hash: chain::START,
            delivery: Lane::default(),
            write_back: Lane::default(),
            poll_at: None,
            poll_holder: None,
            messages: Vec::new(),
            changed: true,
            fresh: true,
        }
    }

    pub(in crate::store::postgres) fn lane(&self, side: Side) -> &Lane {
        match side {
            Side::Delivery => &self.delivery,
            Side::WriteBack => &self.write_back,
        }
    }

    pub(super) fn lane_mut(&mut self, side: Side) -> &mut Lane {
        self.changed = true;
        match side {
            Side::Delivery => &mut self.delivery,
            Side::WriteBack => &mut self.write_back,
        }
    }

    pub(super) fn open(&self, side: Side) -> impl Iterator<Item = &Message> {
        self.messages.iter().filter(move |m| m.side == side && m.is_open())
    }

    /// What stands in a lane behind `seq`.
    pub(super) fn behind(&mut self, side: Side, seq: u64) -> impl Iterator<Item = &mut Message> {
        self.messages.iter_mut().filter(move |m| m.side == side && m.seq > seq && m.is_open())
    }

    /// The message a lane has to send next, if it is due.
    pub(super) fn due_head(&self, side: Side, now: Timestamp) -> Option<LaneHead> {
        let head = self.open(side).next().filter(|m| m.not_before <= micros(now))?;
        let lane = self.lane(side);
        Some(LaneHead {
            message: head.id,
            seq: head.seq,
            attempts: head.attempts,
            since: from_micros(head.created),
            cursor: lane.cursor,
            memory: lane.memory.clone(),
        })
    }

    /// Whether certainly nothing was sent to the provider: every lease of its lane ended with a note of what came of it, and none
    /// of these says that it may have arrived (that is the Task's to know). Only the head was ever tried then, once a lease.
    pub(super) fn unsent(&self) -> bool {
        let lane = &self.delivery;
        let head = self.messages.iter().find(|m| m.side == Side::Delivery && m.fate != Fate::Gone);
        // a try that was noted since, and may have arrived, makes no event: only the state tells of it
        !self.record.state.sent
            && lane.cursor == 0
            && lane.until.is_none()
            && head.is_some_and(|head| lane.lease == u64::from(head.attempts))
    }

    /// Puts a message into a lane, leased to the caller, and returns the wake-up it stands for. Behind a head that waits it
    /// waits as well, and nobody is woken.
    pub(super) fn put(&mut self, side: Side, seq: u64, traceparent: Option<&str>, hand: Hand) -> Option<WakeUp> {
        let now = micros(hand.now);
        let not_before = self.open(side).map(|m| m.not_before).max().map_or(now, |waits| waits.max(now));
        let woken = not_before == now;
        let (destination, route_set) = match side {
            Side::Delivery => (self.record.inbox.as_str().to_owned(), self.record.route_set.clone()),
            Side::WriteBack => (self.record.system.as_str().to_owned(), String::new()),
        };
        let message = Message {
            id: Uuid::now_v7(),
            side,
            seq,
            state: State::Pending,
            created: now,
            not_before,
            lease_until: woken.then(|| micros_after(hand.now, FRESH_LEASE)),
            holder: hand.holder.filter(|_| woken),
            deferred_at: None,
            attempts: 0,
            destination,
            route_set,
            traceparent: traceparent.map(str::to_owned),
            why: None,
            fate: Fate::New,
        };
        let wake_up = woken.then(|| WakeUp {
            task: self.record.id,
            side,
            seq,
            to: message.destination.clone(),
            message: message.id,
            route_set: message.route_set.clone(),
            traceparent: message.traceparent.clone(),
        });
        self.messages.push(message);
        wake_up
    }

    pub(super) fn plan_poll(&mut self, poll: &Poll) {
        if let Some(memory) = &poll.memory {
            self.delivery.memory = Some(memory.clone());
        }
        self.poll_at = poll.at.map(micros);
        self.poll_holder = None;
        self.changed = true;
    }

    /// Whether this may settle what it names; changes nothing.
    pub(super) fn may_settle(&self, settle: &Settle, now: Timestamp) -> bool {
        let Some(lease) = settle.lease else { return true };
        let lane = self.lane(settle.side);
        lane.lease == lease
            && lane.until.is_some_and(|until| until > micros(now))
            && self.open(settle.side).any(|m| m.seq == settle.seq)
    }

    pub(super) fn settle(&mut self, settle: &Settle, kept_back: &HashSet<(Side, String)>, now: Timestamp) {
        let Settle { side, seq, lease, .. } = *settle;
        // whoever has it wait may have been held up since it looked at the breaker
        let waits = |m: &Message, until: Timestamp| {
            if kept_back.contains(&(m.side, m.destination.clone())) { micros(until) } else { micros(now) }
        };
        let mut held_until = None;
        let own = |m: &&mut Message| m.side == side && m.seq == seq && m.fate != Fate::Gone;
        match &settle.outcome {
            Settled::Done { memory } => {
                let lane = self.lane_mut(side);
                lane.cursor = lane.cursor.max(seq);
                lane.memory = memory.clone().or(lane.memory.take());
                let done = self
                    .messages
                    .iter_mut()
                    .find(|m| own(m) && (m.is_open() || m.state == State::Dead && lease.is_none()));
                if let Some(message) = done {
                    message.fate = Fate::Gone;
                }
            }
            Settled::Deferred { until, memory, why } => {
                let lane = self.lane_mut(side);
                lane.memory = memory.clone().or(lane.memory.take());
                lane.until = None;
                lane.holder = None;
                if let Some(message) = self.messages.iter_mut().find(|m| own(m) && m.is_open()) {
                    message.free();
                    message.not_before = micros(*until);
                    held_until = Some(message.not_before);
                    message.why = Some(why.clone());
                    message.attempts += 1;
                    message.deferred_at = Some(micros(now));
                }
            }
            Settled::Waits { until } => {
                let lane = self.lane_mut(side);
                lane.until = None;
                lane.holder = None;
                if let Some(message) = self.messages.iter_mut().find(|m| own(m) && m.is_open()) {
                    message.free();
                    message.not_before = waits(message, *until);
                    held_until = Some(message.not_before);
                }
            }
            Settled::Dead { why } => {
                if let Some(message) = self.messages.iter_mut().find(|m| own(m) && m.is_open()) {
                    message.free();
                    message.state = State::Dead;
                    message.why = Some(why.clone());
                    message.attempts += 1;
                }
            }
        }
        if matches!(settle.outcome, Settled::Deferred { .. } | Settled::Waits { .. }) {
            if let Some(until) = held_until {
                self.hold_back(side, seq, until);
            }
        } else if lease.is_none() {
            // settled from outside: whoever is sending it just now must not settle it again nor keep the lane, and the
            // sweeper must find what stands behind it
            let lane = self.lane_mut(side);
            lane.lease += 1;
            lane.until = None;
            lane.holder = None;
            self.let_go(side, seq, now);
        } else {
            self.hurry(side, seq, now);
        }
    }

    /// What stands behind a head that waits, waits with it: the sweeper would look at it in vain, again and again.
    pub(super) fn hold_back(&mut self, side: Side, seq: u64, until: i64) {
        for message in self.behind(side, seq) {
            message.free();
            message.not_before = message.not_before.max(until);
        }
    }

    /// Undoes that. What waits after a try of its own goes on waiting.
    pub(super) fn let_go(&mut self, side: Side, seq: u64, now: Timestamp) {
        for message in self.behind(side, seq).filter(|m| m.attempts == 0) {
            message.free();
            message.not_before = message.not_before.min(micros(now));
        }
    }

    /// What was held back behind a head that has ended waits no longer; whoever sent the head goes on with it. (The broker may
    /// have handed it out, and have had it put aside, before the head.)
    pub(super) fn hurry(&mut self, side: Side, seq: u64, now: Timestamp) {
        let now = micros(now);
        for message in self.behind(side, seq).filter(|m| m.attempts == 0 && m.not_before > now) {
            message.free();
            message.not_before = now;
        }
    }
}

//! One Task with everything that hangs on it, and what a step does to it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use onward::{
    domain::{Side, WakeUp},
    store::{
        Append, AppendError, Appended, AskedBy, Attempt, Claim, DeadLetter, JournalLine, LaneHead, LaneState, NewEvent,
        Poll, Settle, Settled, StoredResource, TaskRecord,
    },
};
use uuid::Uuid;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct Row {
    pub record: TaskRecord,
    pub versions: Vec<StoredResource>,
    pub journal: Vec<JournalLine>,
    pub attempts: Vec<Attempt>,
    /// In the order of their seq.
    pub outbox: Vec<Message>,
    /// When something that is awaited is looked at.
    pub due_at: Option<Timestamp>,
    /// Since when it has its transport status.
    pub transport_since: Option<Timestamp>,
    lanes: [Lane; 2],
}

#[derive(Debug, Clone, Default)]
pub struct Lane {
    pub cursor: u64,
    pub memory: Option<String>,
    pub lease: u64,
    pub until: Option<Timestamp>,
    pub poll_at: Option<Timestamp>,
}

/// A row of the outbox.
#[derive(Debug, Clone)]
pub struct Message {
    pub wake_up: WakeUp,
    pub state: State,
    pub not_before: Timestamp,
    pub lease_until: Option<Timestamp>,
    pub published_at: Timestamp,
    pub republished: u32,
    pub created: Timestamp,
    /// When it was last tried in vain.
    pub deferred_at: Option<Timestamp>,
    pub attempts: u32,
    pub why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Pending,
    Published,
    Done,
    Dead,
    Discarded,
}

impl Message {
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Pending | State::Published)
    }

    /// From when on it may be claimed.
    pub fn moment(&self, republish_after: Duration) -> Timestamp {
        match self.state {
            State::Pending => self.lease_until.map_or(self.not_before, |until| until.max(self.not_before)),
            _ => self.published_at + republish_after,
        }
    }

    /// Makes it wait to be published, until this moment at least.
    pub fn pend(&mut self, not_before: Timestamp) {
        self.state = State::Pending;
        self.lease_until = None;
        self.not_before = self.not_before.max(not_before);
    }

    pub fn dead_letter(&self) -> DeadLetter {
        DeadLetter {
            message: self.wake_up.message,
            task: self.wake_up.task,
            side: self.wake_up.side,
            seq: self.wake_up.seq,
            to: self.wake_up.to.clone(),
            attempts: self.attempts,
            since: self.created,
            why: self.why.clone(),
        }
    }
}

fn index(side: Side) -> usize {
    match side {
        Side::Delivery => 0,
        Side::WriteBack => 1,
    }
}

impl Row {
    pub fn new(record: TaskRecord) -> Self {
        let (versions, journal, attempts, outbox) = Default::default();
        let due_at = record.state.next_deadline();
        let lanes = Default::default();
        Self { record, versions, journal, attempts, outbox, due_at, transport_since: None, lanes }
    }

    pub fn lane(&self, side: Side) -> &Lane {
        &self.lanes[index(side)]
    }

    pub fn lane_mut(&mut self, side: Side) -> &mut Lane {
        &mut self.lanes[index(side)]
    }

    /// The newest version of the Task.
    pub fn current(&self) -> &StoredResource {
        self.versions.last().unwrap()
    }

    fn open(&mut self, side: Side) -> impl Iterator<Item = &mut Message> {
        self.outbox.iter_mut().filter(move |m| m.wake_up.side == side && m.is_open())
    }

    /// The lowest unfinished message of each lane.
    pub fn heads(&self) -> impl Iterator<Item = &Message> {
        Side::ALL.iter().filter_map(|side| self.head(*side))
    }

    fn head(&self, side: Side) -> Option<&Message> {
        self.outbox.iter().find(|m| m.wake_up.side == side && m.is_open())
    }

    /// Whether a head is due to be published, for the first time or once more.
    pub fn claimable(&self, head: &Message, now: Timestamp, republish_after: Duration) -> bool {
        let is_free = self.lane(head.wake_up.side).until.is_none_or(|until| until <= now);
        head.moment(republish_after) <= now && (head.state == State::Pending || is_free)
    }

    /// Every moment at which something changes by itself.
    pub fn moments(&self, republish_after: Duration) -> Vec<Timestamp> {
        let open = self.outbox.iter().filter(|m| m.is_open());
        let lanes = self.lanes.iter().flat_map(|lane| [lane.until, lane.poll_at]).flatten();
        open.map(|m| m.moment(republish_after)).chain(lanes).collect()
    }

    fn due_head(&self, side: Side, now: Timestamp) -> Option<LaneHead> {
        self.head(side).filter(|head| head.not_before <= now).map(|head| self.head_of(head))
    }

    /// A message as its lane would send it.
    pub fn head_of(&self, message: &Message) -> LaneHead {
        let lane = self.lane(message.wake_up.side);
        LaneHead {
            message: message.wake_up.message,
            seq: message.wake_up.seq,
            attempts: message.attempts,
            since: message.created,
            cursor: lane.cursor,
            memory: lane.memory.clone(),
        }
    }

    /// Where a message goes.
    pub fn destination(&self, side: Side, seq: u64) -> Option<&str> {
        let message = self.outbox.iter().find(|m| m.wake_up.side == side && m.wake_up.seq == seq)?;
        Some(&message.wake_up.to)
    }

    pub fn lease(&mut self, side: Side, now: Timestamp, duration: Duration) -> LaneState {
        let Some(head) = self.due_head(side, now) else { return LaneState::Idle };
        let lane = self.lane_mut(side);
        if lane.until.is_some_and(|until| until > now) {
            return LaneState::Busy;
        }
        lane.lease += 1;
        lane.until = Some(now + duration);
        LaneState::Leased { lease: lane.lease, head, task: Box::new(self.record.clone()) }
    }

    /// Ends a lease, if it is still held.
    pub fn end_lease(&mut self, side: Side, lease: u64, now: Timestamp) -> bool {
        let lane = self.lane_mut(side);
        if lane.lease != lease || lane.until.is_none() {
            return false;
        }
        lane.lease += 1;
        lane.until = None;
        // what was published may have been taken by somebody who was turned away
        self.open(side).for_each(|message| message.pend(now.min(message.not_before)));
        true
    }

    pub fn watch(&mut self, poll: Poll) {
        let lane = self.lane_mut(Side::Delivery);
        lane.memory = poll.memory.or(lane.memory.take());
        lane.poll_at = poll.at;
    }

    /// Writes events with their versions and messages; the wake-ups to be published, leased to the caller.
    pub fn write(
        &mut self,
        events: &[NewEvent],
        traceparent: Option<&str>,
        asked_by: Option<&AskedBy>,
        now: Timestamp,
    ) -> Vec<WakeUp> {
        let mut wake_ups = Vec::new();
        for new in events {
            self.record.seq += 1;
            let seq = self.record.seq;
            let (actor, event) = (new.actor.clone(), new.event.clone());
            self.journal.push(JournalLine { seq, at: now, actor, event, asked_by: asked_by.cloned() });
            if let Some(body) = &new.body {
                self.record.version = seq;
                self.record.last_updated = now;
                self.versions.push(StoredResource {
                    kind: "Task".into(),
                    id: self.record.id.0,
                    version: seq,
                    last_updated: now,
                    referral: self.record.referral,
                    origin: None,
                    task: None,
                    later: false,
                    body: body.clone(),
                });
            }
            for side in &new.lanes {
                // behind a head that waits it waits as well, and wakes nobody
                let not_before = self.open(*side).map(|m| m.not_before).chain([now]).max().unwrap_or(now);
                let is_woken = not_before == now;
                let wake_up = super::wake_up(&self.record, *side, seq, traceparent);
                self.outbox.push(Message {
                    wake_up: wake_up.clone(),
                    state: State::Pending,
                    not_before,
                    lease_until: is_woken.then(|| now + SignedDuration::from_secs(30)),
                    published_at: now,
                    republished: 0,
                    created: now,
                    deferred_at: None,
                    attempts: 0,
                    why: String::new(),
                });
                wake_ups.extend(is_woken.then_some(wake_up));
            }
        }
        wake_ups
    }

    /// A whole step; after an error the row is not to be used.
    pub fn step(&mut self, append: Append, now: Timestamp) -> Result<Appended, AppendError> {
        if self.record.seq != append.expected_seq {
            return Err(AppendError::Moved);
        }
        if append.unsent && !self.is_unsent() {
            return Err(AppendError::LeaseLost);
        }
        if let Some(settle) = &append.settle {
            self.settle(settle, now)?;
        }
        let mut wake_ups = self.write(&append.events, None, append.asked_by.as_ref(), now);
        if append.state.transport != self.record.state.transport {
            self.transport_since = append.state.transport.map(|_| now);
        }
        self.record.state = append.state;
        self.due_at = append.state.next_deadline();
        if append.answers {
            self.record.answered = self.record.version;
        }
        self.attempts.extend(append.attempt);
        if let Some(poll) = append.poll {
            self.watch(poll);
        }
        if let Some(id) = append.rearm {
            let letter = self.outbox.iter_mut().find(|m| m.wake_up.message == id && m.state == State::Dead);
            let letter = letter.ok_or(AppendError::Moved)?;
            letter.pend(now);
            (letter.not_before, letter.created, letter.attempts, letter.deferred_at) = (now, now, 0, None);
        }
        if let Some(id) = append.discard {
            let letter = self.outbox.iter_mut().find(|m| m.wake_up.message == id && m.state == State::Dead);
            letter.ok_or(AppendError::Moved)?.state = State::Discarded;
        }
        let mut next = None;
        if let Some(Settle { side, lease: Some(_), extend, outcome, .. }) = append.settle
            && !matches!(outcome, Settled::Deferred { .. } | Settled::Waits { .. })
        {
            next = self.due_head(side, now);
            self.lane_mut(side).until = next.is_some().then(|| now + extend);
            // the one who settles goes on with it: nobody need be woken for it
            wake_ups.retain(|w| w.side != side || next.as_ref().is_none_or(|next| next.seq != w.seq));
        }
        Ok(Appended { task: self.record.clone(), wake_ups, next })
    }

    fn settle(&mut self, settle: &Settle, now: Timestamp) -> Result<(), AppendError> {
        let side = settle.side;
        let is_inside = settle.lease.is_some();
        if let Some(lease) = settle.lease {
            let lane = self.lane(side);
            if lane.lease != lease || lane.until.is_none_or(|until| until <= now) {
                return Err(AppendError::LeaseLost);
            }
        }
        let is_done = matches!(settle.outcome, Settled::Done { .. });
        let found = self.outbox.iter_mut().find(|m| {
            let settles = m.is_open() || (m.state == State::Dead && is_done && !is_inside);
            m.wake_up.side == side && m.wake_up.seq == settle.seq && settles
        });
        match found {
            None if is_inside => return Err(AppendError::LeaseLost),
            None => {}
            Some(message) => {
                message.attempts += u32::from(!matches!(settle.outcome, Settled::Waits { .. }));
                message.lease_until = None;
                match &settle.outcome {
                    Settled::Done { .. } => message.state = State::Done,
                    Settled::Dead { why } => (message.state, message.why) = (State::Dead, why.clone()),
                    Settled::Deferred { until, why, .. } => {
                        message.state = State::Pending;
                        message.not_before = *until;
                        message.why = why.clone();
                        message.deferred_at = Some(now);
                    }
                    Settled::Waits { until } => {
                        message.state = State::Pending;
                        message.not_before = *until;
                    }
                }
            }
        }
        let lane = self.lane_mut(side);
        match &settle.outcome {
            Settled::Done { memory } => {
                lane.cursor = lane.cursor.max(settle.seq);
                lane.memory = memory.clone().or(lane.memory.take());
            }
            Settled::Deferred { until, memory, .. } => {
                lane.memory = memory.clone().or(lane.memory.take());
                lane.until = None;
                self.open(side).filter(|m| m.wake_up.seq > settle.seq).for_each(|m| m.pend(*until));
            }
            Settled::Waits { until } => {
                lane.until = None;
                self.open(side).filter(|m| m.wake_up.seq > settle.seq).for_each(|m| m.pend(*until));
            }
            Settled::Dead { .. } => {}
        }
        let waits = matches!(settle.outcome, Settled::Deferred { .. } | Settled::Waits { .. });
        if !is_inside && !waits {
            // from outside: whoever sends it just now must not settle it again, and what stands behind it goes on
            let lane = self.lane_mut(side);
            lane.lease += 1;
            lane.until = None;
            self.let_go(side, settle.seq, now);
        } else if !waits {
            let held_back = |m: &&mut Message| m.wake_up.seq > settle.seq && m.attempts == 0;
            self.open(side).filter(held_back).for_each(|m| m.not_before = m.not_before.min(now));
        }
        Ok(())
    }

    /// Makes a message, and what stands behind it, wait until this moment.
    pub fn hold_back(&mut self, side: Side, seq: u64, until: Timestamp) {
        self.open(side).filter(|m| m.wake_up.seq >= seq).for_each(|m| m.pend(until));
    }

    /// Undoes that for what stands behind; what waits after a try of its own goes on waiting.
    fn let_go(&mut self, side: Side, seq: u64, now: Timestamp) {
        for message in self.open(side).filter(|m| m.wake_up.seq > seq && m.attempts == 0) {
            message.state = State::Pending;
            message.lease_until = None;
            message.not_before = message.not_before.min(now);
        }
    }

    /// Gives a message to one who publishes it.
    pub fn claim(&mut self, id: Uuid, claim: &Claim, is_early: bool, now: Timestamp) -> WakeUp {
        let message = self.outbox.iter_mut().find(|m| m.wake_up.message == id).unwrap();
        message.lease_until = Some(now + claim.lease);
        let wake_up = message.wake_up.clone();
        if message.state == State::Published {
            let times = (1 << (message.republished + 1).min(6)) - 1;
            message.published_at = now + SignedDuration::try_from(claim.republish_after).unwrap() * times;
            message.republished += 1;
        } else {
            message.not_before = message.not_before.min(now);
            if is_early {
                self.let_go(wake_up.side, wake_up.seq, now);
            }
        }
        wake_up
    }

    /// Whether every try to deliver ended with a note of what came of it.
    fn is_unsent(&self) -> bool {
        let lane = self.lane(Side::Delivery);
        let first = self.outbox.iter().find(|m| m.wake_up.side == Side::Delivery);
        !self.record.state.sent
            && lane.until.is_none()
            && first.is_some_and(|first| lane.lease == u64::from(first.attempts))
    }
}

//! A group's Tasks in memory: every call of the group is decided here, in order, on what the rows showed when they were locked.
//! Pure; what changed is written afterwards in one go. The rules are those of `sqlite/{append,lanes,outbox}.rs`.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use jiff::Timestamp;
use uuid::Uuid;

use super::rows::{duration_micros, micros, micros_after};
use crate::{
    domain::{Alert, InboxId, ReferralId, Side, TaskId, WakeUp, measured::FirstAnswer},
    store::{
        Append, AppendError, Appended, AskedBy, Attempt, LaneState, NewEvent, NewResource, NewTask, NewVersion, Poll,
        ResourceKey, Settle, Settled, TaskRecord, chain::Line,
    },
};

mod fresh;
mod task;

use fresh::record_beside;
pub(super) use fresh::{lines, new_record};

/// A new row is published from memory by the process that wrote it; after this long another may do it.
const FRESH_LEASE: Duration = Duration::from_secs(30);

/// One lane of a Task.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Lane {
    pub cursor: u64,
    pub lease: u64,
    pub until: Option<i64>,
    pub holder: Option<i32>,
    pub memory: Option<String>,
}

/// Where a message stands. What is done is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Pending,
    Published,
    Dead,
    /// Put away by an operator.
    Discarded,
}

/// What is to be written of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing.
    Kept,
    /// It is new.
    New,
    /// It is another than it was.
    Changed,
    /// It is done.
    Gone,
}

/// A message of a lane.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub id: Uuid,
    pub side: Side,
    pub seq: u64,
    pub state: State,
    pub created: i64,
    pub not_before: i64,
    pub lease_until: Option<i64>,
    pub holder: Option<i32>,
    pub deferred_at: Option<i64>,
    pub attempts: u32,
    pub destination: String,
    pub route_set: String,
    pub traceparent: Option<String>,
    pub why: Option<String>,
    pub fate: Fate,
}

/// A Task with all that a step looks at.
#[derive(Debug, Clone)]
pub(super) struct TaskPicture {
    pub record: TaskRecord,
    pub head_hash: [u8; 32],
    pub delivery: Lane,
    pub write_back: Lane,
    pub poll_at: Option<i64>,
    pub poll_holder: Option<i32>,
    /// From when on a scheduler may look at its deadlines.
    pub due_at: Option<i64>,
    /// Since when it has its transport status.
    pub transport_since: Option<i64>,
    /// Unfinished and dead messages, in the order of their seqs.
    pub messages: Vec<Message>,
    /// Whether the Task's row is another than it was.
    pub changed: bool,
    /// Whether it has no row yet.
    pub fresh: bool,
}

/// A line to be written to the journal.
pub(super) struct NewLine {
    pub task: TaskId,
    pub seq: u64,
    pub line: Line,
    pub asked_by: Option<AskedBy>,
}

/// A version to be written.
pub(super) struct Version {
    pub kind: String,
    pub id: Uuid,
    pub version: u64,
    pub referral: ReferralId,
    pub origin: Option<String>,
    pub task: Option<TaskId>,
    pub later: bool,
    pub body: String,
}

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Picture {
    pub tasks: HashMap<TaskId, TaskPicture>,
    pub journal: Vec<NewLine>,
    pub versions: Vec<Version>,
    pub keys: Vec<(ResourceKey, Uuid)>,
    /// What referrals are known by from now on.
    pub names: Vec<(String, ReferralId)>,
    pub attempts: Vec<(TaskId, Attempt)>,
    pub alerts: Vec<Alert>,
    /// First answers of inboxes.
    pub answers: Vec<(InboxId, FirstAnswer)>,
    /// The destinations whose breakers keep messages back, where the group puts anything aside.
    pub kept_back: HashSet<(Side, String)>,
    /// Versions of resources that are there already, as far as the group is about them.
    pub known_versions: HashSet<(Uuid, String, u64)>,
    /// The same of keys: author and key.
    pub known_keys: HashSet<(String, String)>,
}

/// Who decides, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hand {
    pub now: Timestamp,
    /// The process that leases are given to.
    pub holder: Option<i32>,
}

// === impl Version ===

impl Version {
    /// What comes with a referral, or with one of its Tasks alone.
    pub(super) fn first(resource: &NewResource, referral: ReferralId, task: Option<TaskId>) -> Self {
        Self {
            kind: resource.kind.clone(),
            id: resource.id,
            version: 1,
            referral,
            origin: resource.origin.clone(),
            task,
            later: false,
            body: resource.body.clone(),
        }
    }
}

// === impl Picture ===

impl Picture {
    /// Writes events one after another: journal line, version and messages of each. `lines` are those of [`lines`].
    pub(super) fn write(
        &mut self,
        task: TaskId,
        events: &[NewEvent],
        lines: Vec<NewLine>,
        traceparent: Option<&str>,
        hand: Hand,
    ) -> Vec<WakeUp> {
        let Some(picture) = self.tasks.get_mut(&task) else { return Vec::new() };
        let mut wake_ups = Vec::new();
        for (new, line) in events.iter().zip(lines) {
            let seq = line.seq;
            picture.record.seq = seq;
            picture.head_hash = line.line.hash;
            if let Some(body) = &new.body {
                picture.record.version = seq;
                self.versions.push(Version {
                    kind: "Task".to_owned(),
                    id: task.0,
                    version: seq,
                    referral: picture.record.referral,
                    origin: None,
                    task: None,
                    later: false,
                    body: body.clone(),
                });
            }
            for side in &new.lanes {
                wake_ups.extend(picture.put(*side, seq, traceparent, hand));
            }
            self.journal.push(line);
        }
        wake_ups
    }

    /// See [`crate::store::Store::append`].
    pub(super) fn append(&mut self, append: &Append, hand: Hand) -> Result<Appended, AppendError> {
        let picture = self.tasks.get_mut(&append.task).ok_or(AppendError::Moved)?;
        if picture.record.seq != append.expected_seq {
            return Err(AppendError::Moved);
        }
        if append.settle.as_ref().is_some_and(|settle| !picture.may_settle(settle, hand.now)) {
            return Err(AppendError::LeaseLost);
        }
        if append.unsent && !picture.unsent() {
            return Err(AppendError::LeaseLost);
        }
        let is_dead = |m: &Message, id: Uuid| m.id == id && m.state == State::Dead && m.fate != Fate::Gone;
        let is_alive = |id: &Uuid| !picture.messages.iter().any(|m| is_dead(m, *id));
        if append.rearm.iter().chain(&append.discard).any(is_alive)
            || append.rearm.is_some_and(|id| Some(id) == append.discard)
        {
            // already replayed or put away by someone else: that one counts
            return Err(AppendError::Moved);
        }
        let lines = lines(picture, &append.events, append.asked_by.as_ref(), hand.now)?;
        let mut further = Vec::with_capacity(append.tasks.len());
        for new in &append.tasks {
            let task = TaskPicture::new(record_beside(&picture.record, new, hand.now));
            let lines = self::lines(&task, &new.events, append.asked_by.as_ref(), hand.now)?;
            further.push((new, task, lines));
        }
        let is_taken = |new: &NewVersion| {
            let resource = &new.resource;
            self.known_versions.contains(&(resource.id, resource.kind.clone(), new.version))
                || new.key.as_ref().is_some_and(|k| self.known_keys.contains(&(k.author.clone(), k.key.clone())))
        };
        if append.resources.iter().any(is_taken) || twice(&append.resources) {
            return Err(AppendError::Moved);
        }
        // from here on nothing fails: a step is applied whole or not at all
        let (version_before, referral) = (picture.record.version, picture.record.referral);
        for new in &append.resources {
            self.known_versions.insert((new.resource.id, new.resource.kind.clone(), new.version));
            if let Some(key) = &new.key {
                self.known_keys.insert((key.author.clone(), key.key.clone()));
                self.keys.push((key.clone(), new.resource.id));
            }
            self.names.extend(new.resource.names.iter().map(|name| (name.clone(), referral)));
            self.versions.push(Version {
                kind: new.resource.kind.clone(),
                id: new.resource.id,
                version: new.version,
                referral,
                origin: new.resource.origin.clone(),
                task: new.task,
                later: true,
                body: new.resource.body.clone(),
            });
        }
        if let Some(answer) = append.first_answer(&picture.record, hand.now) {
            self.answers.push((picture.record.inbox.clone(), answer));
        }
        if let Some(settle) = &append.settle {
            picture.settle(settle, &self.kept_back, hand.now);
        }
        let mut wake_ups = self.write(append.task, &append.events, lines, None, hand);
        for (new, task, lines) in further {
            wake_ups.extend(self.add(new, task, lines, None, hand));
        }
        let picture = self.tasks.get_mut(&append.task).ok_or(AppendError::Moved)?;
        picture.changed = true;
        let record = &mut picture.record;
        if record.version > version_before {
            record.last_updated = hand.now;
        }
        if append.answers {
            record.answered = record.version;
        }
        if append.state.transport != record.state.transport {
            picture.transport_since = append.state.transport.map(|_| micros(hand.now));
        }
        record.state = append.state;
        picture.due_at = append.state.next_deadline().map(micros);
        self.alerts.extend(append.alerts.iter().cloned());
        if let Some(attempt) = &append.attempt {
            self.attempts.push((append.task, attempt.clone()));
        }
        if let Some(poll) = &append.poll {
            picture.plan_poll(poll);
        }
        for message in &mut picture.messages {
            if append.rearm.is_some_and(|id| is_dead(message, id)) {
                message.free();
                (message.not_before, message.created, message.attempts) = (micros(hand.now), micros(hand.now), 0);
                message.deferred_at = None;
            } else if append.discard.is_some_and(|id| is_dead(message, id)) {
                message.state = State::Discarded;
                message.change();
            }
        }
        let mut next = None;
        if let Some(Settle {
            side, lease: Some(_), outcome: Settled::Done { .. } | Settled::Dead { .. }, extend, ..
        }) = &append.settle
        {
            next = picture.due_head(*side, hand.now);
            let until = next.as_ref().map(|_| micros_after(hand.now, *extend));
            let lane = picture.lane_mut(*side);
            lane.until = until;
            lane.holder = hand.holder.filter(|_| until.is_some());
            // the lane goes on with what this very step put behind it; a wake-up for that would only be turned away
            if let Some(next) = &next {
                wake_ups.retain(|w| w.side != *side || w.seq != next.seq);
            }
        }
        Ok(Appended { task: picture.record.clone(), wake_ups, next })
    }

    /// Puts a Task that is not stored yet into the picture, with what is its own.
    pub(super) fn add(
        &mut self,
        new: &NewTask,
        task: TaskPicture,
        lines: Vec<NewLine>,
        traceparent: Option<&str>,
        hand: Hand,
    ) -> Vec<WakeUp> {
        let referral = task.record.referral;
        for resource in &new.resources {
            self.names.extend(resource.names.iter().map(|name| (name.clone(), referral)));
            self.versions.push(Version::first(resource, referral, Some(new.id)));
        }
        self.tasks.insert(new.id, task);
        let wake_ups = self.write(new.id, &new.events, lines, traceparent, hand);
        if let Some(task) = self.tasks.get_mut(&new.id) {
            task.record.answered = task.record.version;
        }
        wake_ups
    }

    /// See [`crate::store::Store::append_together`].
    pub(super) fn append_together(&mut self, steps: &[Append], hand: Hand) -> Result<Vec<Appended>, AppendError> {
        let of_before = |task: &TaskId| self.tasks.get(task).cloned();
        let before: Vec<TaskPicture> = steps.iter().filter_map(|step| of_before(&step.task)).collect();
        let known = (self.known_versions.clone(), self.known_keys.clone());
        let lengths =
            (self.journal.len(), self.versions.len(), self.keys.len(), self.attempts.len(), self.alerts.len());
        let (names, answers) = (self.names.len(), self.answers.len());
        let all: Result<Vec<_>, _> = steps.iter().map(|step| self.append(step, hand)).collect();
        if all.is_err() {
            for new in steps.iter().flat_map(|step| &step.tasks) {
                self.tasks.remove(&new.id);
            }
            self.names.truncate(names);
            self.answers.truncate(answers);
            self.tasks.extend(before.into_iter().map(|task| (task.record.id, task)));
            (self.known_versions, self.known_keys) = known;
            self.journal.truncate(lengths.0);
            self.versions.truncate(lengths.1);
            self.keys.truncate(lengths.2);
            self.attempts.truncate(lengths.3);
            self.alerts.truncate(lengths.4);
        }
        all
    }

    /// See [`crate::store::LaneStore::lease_lane`].
    pub(super) fn lease(&mut self, task: TaskId, side: Side, duration: Duration, hand: Hand) -> LaneState {
        let Some(picture) = self.tasks.get_mut(&task) else { return LaneState::Idle };
        let Some(head) = picture.due_head(side, hand.now) else { return LaneState::Idle };
        if picture.lane(side).until.is_some_and(|until| until > micros(hand.now)) {
            return LaneState::Busy;
        }
        let lane = picture.lane_mut(side);
        lane.lease += 1;
        lane.until = Some(micros_after(hand.now, duration));
        lane.holder = hand.holder;
        LaneState::Leased { lease: lane.lease, head, task: Box::new(picture.record.clone()) }
    }

    /// See [`crate::store::LaneStore::release_lane`].
    pub(super) fn release(&mut self, task: TaskId, side: Side, lease: u64) {
        let Some(picture) = self.tasks.get_mut(&task).filter(|p| p.lane(side).lease == lease) else { return };
        let lane = picture.lane_mut(side);
        lane.until = None;
        lane.holder = None;
    }

    /// See [`crate::store::LaneStore::put_aside`].
    pub(super) fn put_aside(&mut self, (task, message): (TaskId, Uuid), age: Duration, hand: Hand) -> bool {
        let kept_back = &self.kept_back;
        let Some(picture) = self.tasks.get_mut(&task) else { return false };
        let age = duration_micros(age);
        let aside = |m: &&mut Message| {
            m.id == message
                && m.is_open()
                && m.created.saturating_add(age) > micros(hand.now)
                && kept_back.contains(&(m.side, m.destination.clone()))
        };
        let Some(message) = picture.messages.iter_mut().find(aside) else { return false };
        message.free();
        message.not_before = message.not_before.max(message.created.saturating_add(age));
        let (side, seq, until) = (message.side, message.seq, message.not_before);
        picture.hold_back(side, seq, until);
        true
    }

    /// What stands behind a message that was claimed before its time waits for it no longer.
    pub(super) fn let_go(&mut self, task: TaskId, side: Side, seq: u64, hand: Hand) {
        if let Some(picture) = self.tasks.get_mut(&task) {
            picture.let_go(side, seq, hand.now);
        }
    }

    /// See [`crate::store::LaneStore::plan_poll`].
    pub(super) fn plan_poll(&mut self, task: TaskId, poll: &Poll) {
        if let Some(picture) = self.tasks.get_mut(&task) {
            picture.plan_poll(poll);
        }
    }
}

/// Whether two of these are the same version, or have the same key.
fn twice(new: &[NewVersion]) -> bool {
    let mut rest = new;
    while let Some((one, others)) = rest.split_first() {
        let same = |other: &NewVersion| {
            let version = (other.resource.id, &other.resource.kind, other.version);
            let key = |v: &NewVersion| v.key.as_ref().map(|k| (k.author.clone(), k.key.clone()));
            version == (one.resource.id, &one.resource.kind, one.version) || one.key.is_some() && key(other) == key(one)
        };
        if others.iter().any(same) {
            return true;
        }
        rest = others;
    }
    false
}

#[cfg(test)]
mod tests;

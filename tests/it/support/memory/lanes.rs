//! The lanes, and what waits in them.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use onward::{
    domain::{Destination, Side, TaskId, WakeUp, breaker::Breaker},
    store::{
        Backlog, Claim, DeadLetter, DeadQuery, Due, Failing, HICCUP_MAX, LaneHead, LaneState, LaneStore, Poll, Shares,
        Store, StoreError, StoredBreaker, TaskRecord,
    },
};
use uuid::Uuid;

use super::{Memory, Message, Row, State, all::take_turns};

#[async_trait]
impl LaneStore for Memory {
    async fn lease_lane(&self, task: TaskId, side: Side, lease: Duration) -> Result<LaneState, StoreError> {
        let now = self.now();
        let mut all = self.all()?;
        Ok(all.tasks.get_mut(&task).map_or(LaneState::Idle, |row| row.lease(side, now, lease)))
    }

    async fn release_lane(&self, task: TaskId, side: Side, lease: u64) -> Result<(), StoreError> {
        if let Some(row) = self.all()?.tasks.get_mut(&task)
            && row.lane(side).lease == lease
        {
            row.lane_mut(side).until = None;
        }
        Ok(())
    }

    async fn destinations(&self) -> Result<Vec<(Side, String)>, StoreError> {
        let all = self.all()?;
        let open = all.tasks.values().flat_map(|row| &row.outbox).filter(|m| m.is_open());
        let mut found: Vec<_> = open.map(|m| (m.wake_up.side, m.wake_up.to.clone())).collect();
        found.sort();
        found.dedup();
        Ok(found)
    }

    async fn claim_due(&self, claim: Claim) -> Result<Due, StoreError> {
        let now = self.now();
        let mut all = self.all()?;
        let mut wake_ups: Vec<WakeUp> = Vec::new();
        // first what was never published, then what was lost
        for state in [State::Pending, State::Published] {
            let waiting = all.tasks.values().flat_map(Row::heads).filter(|m| m.state == state);
            let waiting = waiting.map(|m| (m.wake_up.side, m.wake_up.to.clone())).collect();
            let left = claim.shares.limit - wake_ups.len();
            take_turns(&claim.shares, waiting, now, left, |of, share, most| {
                let due: Vec<_> = all.due_for(of, state, share, &claim, now).into_iter().take(most).collect();
                for id in &due {
                    let task = all.message(*id).unwrap().wake_up.task;
                    let row = all.tasks.get_mut(&task).unwrap();
                    wake_ups.push(row.claim(*id, &claim, share.early.is_some(), now));
                }
                due.len()
            });
        }
        let pending = all.tasks.values().flat_map(|row| &row.outbox).filter(|m| m.state == State::Pending);
        let next = pending.map(|m| m.moment(claim.republish_after)).filter(|at| *at > now).min();
        Ok(Due { wake_ups, next })
    }

    async fn mark_published(&self, messages: Vec<Uuid>) -> Result<(), StoreError> {
        let now = self.now();
        let mut all = self.all()?;
        for id in messages {
            if let Some(message) = all.message(id)
                && message.state == State::Pending
                && message.lease_until.is_some()
            {
                message.state = State::Published;
                message.published_at = now;
                message.lease_until = None;
            }
        }
        Ok(())
    }

    async fn rearm_published(&self, message: Uuid) -> Result<(), StoreError> {
        let now = self.now();
        if let Some(message) = self.all()?.message(message)
            && message.state == State::Published
        {
            message.pend(now);
        }
        Ok(())
    }

    async fn put_aside(&self, message: Uuid, age: Duration) -> Result<bool, StoreError> {
        let now = self.now();
        let mut all = self.all()?;
        let Some(found) = all.message(message).cloned() else { return Ok(false) };
        let until = found.created + age;
        let is_kept_back = all.keeps_back(found.wake_up.side, &found.wake_up.to, now);
        if !found.is_open() || until <= now || !is_kept_back {
            return Ok(false);
        }
        if let Some(row) = all.tasks.get_mut(&found.wake_up.task) {
            row.hold_back(found.wake_up.side, found.wake_up.seq, until.max(found.not_before));
        }
        Ok(true)
    }

    async fn breakers(&self) -> Result<Vec<StoredBreaker>, StoreError> {
        Ok(self.all()?.breakers.values().cloned().collect())
    }

    async fn set_breaker(&self, of: &Destination, version: u64, breaker: Breaker) -> Result<bool, StoreError> {
        let mut all = self.all()?;
        let key = (of.side, of.to.clone());
        if all.breakers.get(&key).map_or(0, |known| known.version) != version {
            return Ok(false);
        }
        all.breakers.insert(key, StoredBreaker { of: of.clone(), breaker, version: version + 1 });
        Ok(true)
    }

    async fn claim_polls(&self, shares: Shares, lease: Duration) -> Result<Vec<(TaskRecord, String)>, StoreError> {
        let now = self.now();
        let mut all = self.all()?;
        let watched = all.tasks.values().filter(|row| row.lane(Side::Delivery).poll_at.is_some());
        let waiting = watched.map(|row| (Side::Delivery, row.record.inbox.to_string())).collect();
        let mut claimed = Vec::new();
        take_turns(&shares, waiting, now, shares.limit, |of, _, most| {
            let ours = all.tasks.values_mut().filter(|row| row.record.inbox.as_str() == of.to);
            let mut due: Vec<_> =
                ours.filter(|row| row.lane(Side::Delivery).poll_at.is_some_and(|at| at <= now)).collect();
            due.sort_by_key(|row| row.lane(Side::Delivery).poll_at);
            due.truncate(most);
            for row in &mut due {
                row.lane_mut(Side::Delivery).poll_at = Some(now + lease);
                claimed.push((row.record.clone(), row.lane(Side::Delivery).memory.clone().unwrap_or_default()));
            }
            due.len()
        });
        Ok(claimed)
    }

    async fn plan_poll(&self, task: TaskId, poll: Poll) -> Result<(), StoreError> {
        if let Some(row) = self.all()?.tasks.get_mut(&task) {
            row.watch(poll);
        }
        Ok(())
    }

    async fn give_back_poll(&self, task: TaskId, at: Timestamp) -> Result<(), StoreError> {
        // whose claim it is, is not known here: one that is due later is due sooner, and never one that is watched no more
        if let Some(row) = self.all()?.tasks.get_mut(&task) {
            let lane = row.lane_mut(Side::Delivery);
            lane.poll_at = lane.poll_at.map(|due| due.min(at));
        }
        Ok(())
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, StoreError> {
        let all = self.all()?;
        let mut backlogs: BTreeMap<(Side, String), Backlog> = BTreeMap::new();
        for message in all.tasks.values().flat_map(|row| &row.outbox).filter(|m| m.is_open() || m.state == State::Dead)
        {
            let (side, to) = (message.wake_up.side, message.wake_up.to.clone());
            let backlog = backlogs.entry((side, to.clone())).or_insert_with(|| Backlog {
                side,
                to,
                waiting: 0,
                oldest: None,
                dead: 0,
            });
            if message.state == State::Dead {
                backlog.dead += 1;
            } else {
                backlog.waiting += 1;
                backlog.oldest = backlog.oldest.into_iter().chain([message.created]).min();
            }
        }
        Ok(backlogs.into_values().collect())
    }

    async fn failing(&self) -> Result<Vec<Failing>, StoreError> {
        let all = self.all()?;
        let mut failing: BTreeMap<(Side, String), Vec<&Message>> = BTreeMap::new();
        for message in all.tasks.values().flat_map(|row| &row.outbox).filter(|m| m.is_open() && m.attempts > 0) {
            let wait = message.deferred_at.map_or(SignedDuration::ZERO, |at| message.not_before.duration_since(at));
            if message.attempts > 1 || wait > HICCUP_MAX {
                let of = (message.wake_up.side, message.wake_up.to.clone());
                failing.entry(of).or_default().push(message);
            }
        }
        let told = failing.into_iter().filter_map(|((side, to), messages)| {
            Some(Failing {
                of: Destination { side, to },
                count: messages.len() as u64,
                oldest: messages.iter().map(|m| m.created).min()?,
                next: messages.iter().map(|m| m.not_before).min()?,
                why: messages.iter().max_by_key(|m| m.deferred_at)?.why.clone(),
            })
        });
        Ok(told.collect())
    }

    async fn overdue(&self) -> Result<Option<Timestamp>, StoreError> {
        let now = self.now();
        let all = self.all()?;
        let waiting = all.tasks.values().flat_map(|row| &row.outbox).filter(|m| m.state == State::Pending);
        Ok(waiting.map(|m| m.not_before).filter(|due| *due <= now).min())
    }

    async fn find_dead(&self, query: DeadQuery) -> Result<Vec<DeadLetter>, StoreError> {
        let all = self.all()?;
        let dead = all.tasks.values().flat_map(|row| &row.outbox).filter(|m| m.state == State::Dead);
        let is_wanted = |letter: &DeadLetter| {
            let says = |words: &String| letter.why.to_ascii_lowercase().contains(&words.to_ascii_lowercase());
            query.to.as_ref().is_none_or(|to| *to == letter.to)
                && query.message.is_none_or(|message| message == letter.message)
                && query.side.is_none_or(|side| side == letter.side)
                && query.task.is_none_or(|task| task == letter.task)
                && query.since.is_none_or(|since| letter.since >= since)
                && query.until.is_none_or(|until| letter.since <= until)
                && query.why.as_ref().is_none_or(says)
                && query.after.is_none_or(|after| (letter.since, letter.message) > after)
        };
        let mut letters: Vec<_> = dead.map(Message::dead_letter).filter(is_wanted).collect();
        match query.task {
            Some(_) => letters.sort_by_key(|l| (l.side.code(), l.seq)),
            None => letters.sort_by_key(|l| (l.since, l.message)),
        }
        letters.truncate(query.count);
        Ok(letters)
    }

    async fn dead_letter(&self, message: Uuid) -> Result<Option<DeadLetter>, StoreError> {
        Ok(self.all()?.message(message).filter(|m| m.state == State::Dead).map(|m| m.dead_letter()))
    }

    async fn dead_head(&self, message: Uuid) -> Result<Option<LaneHead>, StoreError> {
        let all = self.all()?;
        let found = all.tasks.values().find_map(|row| {
            let letter = row.outbox.iter().find(|m| m.wake_up.message == message && m.state == State::Dead)?;
            Some(row.head_of(letter))
        });
        Ok(found)
    }
}

//! Everything that it holds, under one lock, and what is done to it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use onward::{
    domain::{Destination, ReferralId, Side, SystemId, TaskId, breaker::Phase, task::TaskState},
    store::{
        Append, AppendError, Appended, Claim, NewReferral, NewTask, ResourceKey, Settled, Share, Shares,
        StoredResource, TaskQuery, TaskRecord,
    },
};
use uuid::Uuid;

use super::{All, Attended, Message, Referral, Row, State};

impl All {
    pub(super) fn attended(&mut self, id: Uuid) -> Option<&mut Attended> {
        self.subscriptions.iter_mut().find(|a| a.subscription.id == id)
    }

    pub(super) fn find(&self, system: &SystemId, key: &str) -> Option<&Referral> {
        self.referrals.iter().find(|r| r.system == *system && r.key == key)
    }

    pub(super) fn of(&self, id: ReferralId) -> Option<&Referral> {
        self.referrals.iter().find(|r| r.submitted.referral == id)
    }

    pub(super) fn message(&mut self, id: Uuid) -> Option<&mut Message> {
        self.tasks.values_mut().flat_map(|row| &mut row.outbox).find(|m| m.wake_up.message == id)
    }

    pub(super) fn resources<'a>(&'a self, kind: &'a str, id: Uuid) -> impl Iterator<Item = &'a StoredResource> {
        let tasks = self.tasks.values().flat_map(|row| &row.versions);
        let others = self.referrals.iter().flat_map(|r| &r.resources);
        tasks.chain(others).chain(&self.later).filter(move |r| r.kind == kind && r.id == id)
    }

    pub(super) fn sees(&self, query: &TaskQuery, referral: &Referral) -> bool {
        let routed = |id: &TaskId| query.providers.contains(&self.tasks[id].record.provider);
        query.systems.contains(&referral.system) || referral.submitted.tasks.iter().any(routed)
    }
}

impl All {
    /// Makes steps on copies of the rows, which take their places only if all of it could be done.
    pub(super) fn step_together(&mut self, steps: Vec<Append>, now: Timestamp) -> Result<Vec<Appended>, AppendError> {
        let (mut rows, mut later, mut keys, mut done) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut names, mut answers) = (Vec::new(), Vec::new());
        let alerts = steps.iter().flat_map(|append| append.alerts.clone()).collect();
        for mut append in steps {
            let mut row = self.tasks.get(&append.task).cloned().ok_or(AppendError::Moved)?;
            if let Some(settle) = &mut append.settle
                && let Settled::Waits { until } = &mut settle.outcome
                && !row.destination(settle.side, settle.seq).is_some_and(|to| self.keeps_back(settle.side, to, now))
            {
                // its endpoint's breaker lets messages through by now
                *until = now;
            }
            let (resources, further) = (append.resources.clone(), std::mem::take(&mut append.tasks));
            let asked_by = append.asked_by.clone();
            answers.extend(append.first_answer(&row.record, now).map(|answer| (row.record.inbox.clone(), answer)));
            let mut stepped = row.step(append, now)?;
            for new in further {
                let (mut made, own) = beside(&row.record, &new, now);
                stepped.wake_ups.extend(made.write(&new.events, None, asked_by.as_ref(), now));
                made.record.answered = made.record.version;
                names.extend(new.resources.into_iter().flat_map(|r| r.names).map(|name| (name, row.record.referral)));
                rows.push(made);
                later.extend(own);
            }
            done.push(stepped);
            for new in resources {
                let resource = new.resource;
                let is_there = self.resources(&resource.kind, resource.id).any(|known| known.version == new.version);
                let is_taken = |key: &ResourceKey| self.key(&key.author, &key.key).is_some();
                if is_there || new.key.as_ref().is_some_and(is_taken) {
                    return Err(AppendError::Moved);
                }
                keys.extend(new.key.map(|key| (key, resource.id)));
                names.extend(resource.names.into_iter().map(|name| (name, row.record.referral)));
                later.push(StoredResource {
                    kind: resource.kind,
                    id: resource.id,
                    version: new.version,
                    last_updated: now,
                    referral: row.record.referral,
                    origin: resource.origin,
                    task: new.task,
                    later: true,
                    body: resource.body,
                });
            }
            rows.push(row);
        }
        for row in &rows {
            let tasks = self.referrals.iter_mut().find(|r| r.submitted.referral == row.record.referral);
            if let Some(tasks) = tasks.map(|r| &mut r.submitted.tasks).filter(|tasks| !tasks.contains(&row.record.id)) {
                tasks.push(row.record.id);
            }
        }
        self.tasks.extend(rows.into_iter().map(|row| (row.record.id, row)));
        self.later.extend(later);
        self.keys.extend(keys);
        self.names.extend(names);
        self.answers.extend(answers);
        self.alerts.raise(alerts, now);
        Ok(done)
    }

    pub(super) fn key(&self, author: &str, key: &str) -> Option<&(ResourceKey, Uuid)> {
        self.keys.iter().find(|(known, _)| known.author == author && known.key == key)
    }

    /// Whether a destination's breaker keeps messages back.
    pub(super) fn keeps_back(&self, side: Side, to: &str, now: Timestamp) -> bool {
        self.breakers.get(&(side, to.to_owned())).is_some_and(|stored| match stored.breaker.phase {
            Phase::Open { .. } | Phase::Probing { .. } => true,
            Phase::Paused { until } => until > now,
            Phase::Draining { .. } | Phase::Closed => false,
        })
    }

    /// The messages that one destination may be given now, the longest due first.
    pub(super) fn due_for(
        &self,
        of: &Destination,
        state: State,
        share: Share,
        claim: &Claim,
        now: Timestamp,
    ) -> Vec<Uuid> {
        let is_early = |m: &Message| {
            share.early.is_some_and(|early| {
                m.state == State::Pending
                    && m.lease_until.is_none_or(|until| until <= now)
                    && m.deferred_at.is_none_or(|at| at < early)
            })
        };
        let mut due = Vec::new();
        for row in self.tasks.values() {
            let ours = row.heads().filter(|m| m.state == state && m.wake_up.side == of.side && m.wake_up.to == of.to);
            let due_now = ours.filter(|m| is_early(m) || row.claimable(m, now, claim.republish_after));
            due.extend(due_now.map(|m| (m.moment(claim.republish_after), m.wake_up.message)));
        }
        due.sort();
        due.into_iter().map(|(_, message)| message).collect()
    }
}

/// Gives everyone an even part first, and then what others have left; nobody more than its share.
pub(super) fn take_turns(
    shares: &Shares,
    waiting: BTreeSet<(Side, String)>,
    now: Timestamp,
    mut left: usize,
    mut take: impl FnMut(&Destination, Share, usize) -> usize,
) {
    let waiting = waiting.into_iter().map(|(side, to)| Destination::new(side, to));
    let mut asking: Vec<_> = waiting.map(|of| (shares.of(&of), of)).filter(|(share, _)| share.most > 0).collect();
    if asking.is_empty() {
        return;
    }
    let turn = usize::try_from(now.as_microsecond()).unwrap() % asking.len();
    asking.rotate_left(turn);
    for even in [(left / asking.len()).max(1), usize::MAX] {
        for (share, of) in &mut asking {
            let most = share.most.min(even).min(left);
            let taken = if most > 0 { take(of, *share, most) } else { 0 };
            left -= taken;
            share.most = if taken < most { 0 } else { share.most - taken };
        }
    }
}

/// A further Task of the same referral, and what is its own.
pub(super) fn beside(of: &TaskRecord, new: &NewTask, now: Timestamp) -> (Row, Vec<StoredResource>) {
    let own = new.resources.iter().map(|resource| StoredResource {
        kind: resource.kind.clone(),
        id: resource.id,
        version: 1,
        last_updated: now,
        referral: of.referral,
        origin: resource.origin.clone(),
        task: Some(new.id),
        later: false,
        body: resource.body.clone(),
    });
    let record = TaskRecord {
        id: new.id,
        inbox: new.inbox.clone(),
        provider: new.provider.clone(),
        part_of: new.part_of,
        terms: new.terms.clone(),
        beside: new.beside,
        state: TaskState { deadlines: new.deadlines, ..TaskState::new() },
        seq: 0,
        version: 0,
        answered: 0,
        created: now,
        last_updated: now,
        ..of.clone()
    };
    (Row::new(record), own.collect())
}

/// What its Tasks' own resources are known by.
pub(super) fn own_names(new: &NewReferral) -> impl Iterator<Item = (String, ReferralId)> {
    let own = new.tasks.iter().flat_map(|task| &task.resources).flat_map(|resource| &resource.names);
    own.map(|name| (name.clone(), new.id))
}

pub(super) fn among<T: PartialEq>(list: Option<&Vec<T>>, value: &T) -> bool {
    list.is_none_or(|list| list.contains(value))
}

//! Referrals as they come: what was known is known again, what is new is stored with its Tasks and their first wake-ups.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use onward::{
    domain::task::TaskState,
    store::{Sent, StoredResource, Submission, Submit, Submitted, TaskRecord},
};

use super::{All, Referral, Row, all::own_names};

impl All {
    /// As `Store::submit`.
    pub fn submit(&mut self, submission: &Submission, now: Timestamp) -> Submit {
        let mut digests = BTreeMap::new();
        for (index, new) in submission.referrals.iter().enumerate() {
            let known = self.find(&submission.system, &new.key).map_or(new.digest, |known| known.digest);
            if *digests.entry(&new.key).or_insert(known) != new.digest {
                return Submit::Differs(index);
            }
        }
        let (mut done, mut wake_ups) = (Vec::new(), Vec::new());
        let sent = Arc::new(Sent {
            id: submission.id,
            content_type: submission.content_type.clone(),
            original: submission.original.clone(),
            answer: submission.answer.clone(),
        });
        for new in &submission.referrals {
            if let Some(known) = self.find(&submission.system, &new.key) {
                done.push(Submitted { new: false, ..known.submitted.clone() });
                continue;
            }
            let names = new.resources.iter().flat_map(|resource| &resource.names);
            self.names.extend(names.map(|name| (name.clone(), new.id)));
            let own = new.tasks.iter().flat_map(|task| task.resources.iter().map(|resource| (Some(task.id), resource)));
            let all_of_it = new.resources.iter().map(|resource| (None, resource)).chain(own);
            self.names.extend(own_names(new));
            let resources = all_of_it.map(|(task, resource)| StoredResource {
                kind: resource.kind.clone(),
                id: resource.id,
                version: 1,
                last_updated: now,
                referral: new.id,
                origin: resource.origin.clone(),
                task,
                later: false,
                body: resource.body.clone(),
            });
            let submitted = Submitted {
                referral: new.id,
                request: new.request,
                tasks: new.tasks.iter().map(|task| task.id).collect(),
                new: true,
                at: now,
                answer: submission.answer.clone(),
            };
            let referral = Referral {
                system: submission.system.clone(),
                key: new.key.clone(),
                digest: new.digest,
                identifier: new.identifier.clone(),
                decision: new.decision.clone(),
                sent: sent.clone(),
                resources: resources.collect(),
                submitted: submitted.clone(),
            };
            self.referrals.push(referral);
            for task in &new.tasks {
                let record = TaskRecord {
                    id: task.id,
                    referral: new.id,
                    system: submission.system.clone(),
                    request: new.request,
                    origin: new.origin.clone(),
                    identifier: new.identifier.clone(),
                    route_set: new.route_set.clone(),
                    inbox: task.inbox.clone(),
                    provider: task.provider.clone(),
                    part_of: task.part_of,
                    terms: task.terms.clone(),
                    beside: task.beside,
                    state: TaskState { deadlines: task.deadlines, ..TaskState::new() },
                    seq: 0,
                    version: 0,
                    answered: 0,
                    created: now,
                    last_updated: now,
                };
                let mut row = Row::new(record);
                wake_ups.extend(row.write(
                    &task.events,
                    submission.traceparent.as_deref(),
                    submission.asked_by.as_ref(),
                    now,
                ));
                row.record.answered = row.record.version;
                self.tasks.insert(task.id, row);
            }
            done.push(submitted);
        }
        Submit::Stored(done, wake_ups)
    }
}

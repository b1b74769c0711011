//! Tasks as they are before their first event, and the lines of the journal that begin or follow them.

use jiff::Timestamp;

use super::{NewLine, TaskPicture};
use crate::{
    domain::{SystemId, TaskId, task::TaskState},
    store::{AskedBy, NewEvent, NewReferral, NewTask, StoreError, TaskRecord, chain},
};

/// The journal lines of events that follow what `picture` shows.
pub(in crate::store::postgres) fn lines(
    picture: &TaskPicture,
    events: &[NewEvent],
    asked_by: Option<&AskedBy>,
    now: Timestamp,
) -> Result<Vec<NewLine>, StoreError> {
    let task = picture.record.id;
    let (mut seq, mut hash) = (picture.record.seq, picture.head_hash);
    let mut lines = Vec::with_capacity(events.len());
    for new in events {
        seq += 1;
        let line = chain::line(task, seq, now, new, &hash)?;
        hash = line.hash;
        lines.push(NewLine { task, seq, line, asked_by: asked_by.cloned() });
    }
    Ok(lines)
}

/// A further Task of the same referral as it is before its first event.
pub(super) fn record_beside(of: &TaskRecord, task: &NewTask, now: Timestamp) -> TaskRecord {
    TaskRecord {
        id: task.id,
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
        ..of.clone()
    }
}

/// A Task as it is before its first event.
pub(in crate::store::postgres) fn new_record(
    id: TaskId,
    of: &NewReferral,
    system: &SystemId,
    task: &NewTask,
    now: Timestamp,
) -> TaskRecord {
    TaskRecord {
        id,
        referral: of.id,
        system: system.clone(),
        request: of.request,
        origin: of.origin.clone(),
        identifier: of.identifier.clone(),
        route_set: of.route_set.clone(),
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
    }
}

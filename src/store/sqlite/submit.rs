//! One request's referrals in one commit: submission, referral, resources, tasks, lanes, journal and outbox.

use std::collections::HashMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{
    append::{self, Step},
    lanes,
    rows::{micros, moment, uuid},
};
use crate::{
    domain::{ReferralId, SystemId, TaskId, WakeUp, task::TaskState},
    store::{AskedBy, NewReferral, NewTask, StoreError, Submission, Submit, Submitted, chain},
};

pub(super) fn submit(c: &Connection, submission: &Submission, now: Timestamp) -> Result<Submit, StoreError> {
    let mut known = Vec::with_capacity(submission.referrals.len());
    let mut digests = HashMap::new();
    for (index, referral) in submission.referrals.iter().enumerate() {
        let found = find(c, &submission.system, &referral.key)?;
        let digest = found.as_ref().map_or(referral.digest, |(_, digest)| *digest);
        // a request may name one key twice: then the second is the same again, or it differs
        if *digests.entry(referral.key.as_str()).or_insert(digest) != referral.digest {
            return Ok(Submit::Differs(index));
        }
        known.push(found.map(|(found, _)| found));
    }
    if known.iter().any(Option::is_none) {
        c.prepare_cached(
            "INSERT INTO submission (id, system, at, content_type, original, answer) VALUES (?,?,?,?,?,?)",
        )?
        .execute(params![
            submission.id.as_bytes(),
            submission.system.as_str(),
            micros(now),
            submission.content_type,
            submission.original.as_ref(),
            submission.answer,
        ])?;
    }
    let mut done = Vec::with_capacity(known.len());
    let mut wake_ups = Vec::new();
    let mut inserted: HashMap<&str, Submitted> = HashMap::new();
    for (referral, known) in submission.referrals.iter().zip(known) {
        done.push(match known.or_else(|| inserted.get(referral.key.as_str()).cloned()) {
            Some(found) => found,
            None => {
                let new = insert(c, submission, referral, now, &mut wake_ups)?;
                inserted.insert(&referral.key, Submitted { new: false, ..new.clone() });
                new
            }
        });
    }
    Ok(Submit::Stored(done, wake_ups))
}

/// What a system sent under a key before, with its digest.
pub(super) fn find(c: &Connection, system: &SystemId, key: &str) -> Result<Option<(Submitted, [u8; 32])>, StoreError> {
    let row = c
        .prepare_cached(
            "SELECT r.id, r.request, r.digest, r.created, s.answer FROM referral r JOIN submission s ON s.id = r.submission
             WHERE r.system = ? AND r.key = ?",
        )?
        .query_row(params![system.as_str(), key], |row| {
            let found = Submitted {
                referral: ReferralId(uuid(row, "id")?),
                request: uuid(row, "request")?,
                tasks: vec![],
                new: false,
                at: moment(row, "created")?,
                answer: row.get("answer")?,
            };
            Ok((found, row.get::<_, [u8; 32]>("digest")?))
        })
        .optional()?;
    let Some((found, digest)) = row else { return Ok(None) };
    let mut tasks = c.prepare_cached("SELECT id FROM task WHERE referral = ? ORDER BY id")?;
    let tasks = tasks.query_map([found.referral.0.as_bytes()], |row| uuid(row, "id").map(TaskId))?;
    let tasks = tasks.collect::<Result<_, _>>()?;
    Ok(Some((Submitted { tasks, ..found }, digest)))
}

fn insert(
    c: &Connection,
    submission: &Submission,
    referral: &NewReferral,
    now: Timestamp,
    wake_ups: &mut Vec<WakeUp>,
) -> Result<Submitted, StoreError> {
    c.prepare_cached(
        "INSERT INTO referral (id, submission, system, key, identifier, digest, request, origin, route_set, decision, created,
                               changed)
         VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?11)",
    )?
    .execute(params![
        referral.id.0.as_bytes(),
        submission.id.as_bytes(),
        submission.system.as_str(),
        referral.key,
        referral.identifier,
        referral.digest,
        referral.request.as_bytes(),
        referral.origin,
        referral.route_set,
        referral.decision,
        micros(now),
    ])?;
    for resource in &referral.resources {
        append::insert_first(c, referral.id, None, resource, now)?;
    }
    let of = Of {
        referral: referral.id,
        request: referral.request,
        system: submission.system.as_str(),
        route_set: &referral.route_set,
        traceparent: submission.traceparent.as_deref(),
        asked_by: submission.asked_by.as_ref(),
    };
    for task in &referral.tasks {
        insert_task(c, &of, task, now, wake_ups)?;
    }
    Ok(Submitted {
        referral: referral.id,
        request: referral.request,
        tasks: referral.tasks.iter().map(|t| t.id).collect(),
        new: true,
        at: now,
        answer: submission.answer.clone(),
    })
}

/// What a Task has of its referral, and of the request that made it.
pub(super) struct Of<'a> {
    pub referral: ReferralId,
    pub request: Uuid,
    pub system: &'a str,
    pub route_set: &'a str,
    pub traceparent: Option<&'a str>,
    pub asked_by: Option<&'a AskedBy>,
}

pub(super) fn insert_task(
    c: &Connection,
    of: &Of<'_>,
    task: &NewTask,
    now: Timestamp,
    wake_ups: &mut Vec<WakeUp>,
) -> Result<(), StoreError> {
    let state = TaskState { deadlines: task.deadlines, ..TaskState::new() };
    c.prepare_cached(
        "INSERT INTO task (id, referral, part_of, terms, request, system, inbox, provider, status, cancel_requested, transport, sent,
                           seq, version, answered, deliver_by, open_by, answer_by, due_at, head_hash, created, last_updated, beside)
         VALUES (?,?,?,?,?,?,?,?,?,0,NULL,0,0,0,0,?,?,?,?,?,?,?,?)",
    )?
    .execute(params![
        task.id.0.as_bytes(),
        of.referral.0.as_bytes(),
        task.part_of.as_ref().map(|id| id.0.as_bytes()),
        task.terms.to_text(),
        of.request.as_bytes(),
        of.system,
        task.inbox.as_str(),
        task.provider.as_str(),
        state.status.code(),
        state.deadlines.deliver_by.map(micros),
        state.deadlines.open_by.map(micros),
        state.deadlines.answer_by.map(micros),
        state.next_deadline().map(micros),
        chain::START,
        micros(now),
        micros(now),
        task.beside.map(|other| other.0.into_bytes()),
    ])?;
    lanes::make(c, task.id)?;
    for resource in &task.resources {
        append::insert_first(c, of.referral, Some(task.id), resource, now)?;
    }
    let mut step = Step {
        task: task.id,
        referral: of.referral,
        system: of.system,
        inbox: task.inbox.as_str(),
        route_set: of.route_set,
        traceparent: of.traceparent,
        asked_by: of.asked_by,
        seq: 0,
        version: 0,
        head_hash: chain::START,
        wake_ups,
    };
    step.write(c, &task.events, now)?;
    let (seq, version, hash) = (step.seq, step.version, step.head_hash);
    c.prepare_cached("UPDATE task SET seq = ?1, version = ?2, answered = ?2, head_hash = ?3 WHERE id = ?4")?
        .execute(params![seq, version, hash, task.id.0.as_bytes()])?;
    Ok(())
}

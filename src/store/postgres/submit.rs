//! Submissions in groups: one round trip finds what is known, a second one stores all that is new in one commit.

use std::{collections::HashMap, sync::Arc};

use super::{
    batch::{self, Broken},
    link::{Failure, Link},
    picture::{self, Hand, Picture, TaskPicture, Version},
    queue::{Call, Writer},
    replica::Replica,
    rows::{bytes32, get},
    time::Time,
};
use crate::{
    domain::{ReferralId, SystemId, TaskId, WakeUp},
    store::{NewReferral, StoreError, Submission, Submit, Submitted},
};

/// Writes groups of submissions.
pub(super) struct Submissions {
    pub link: Link,
    pub time: Time,
    pub replica: Arc<Replica>,
}

/// What is stored under a key, with the digest of its content.
type Found = (Submitted, [u8; 32]);
/// By originating system and key.
type Known = HashMap<(SystemId, String), Found>;

/// What a group comes to.
struct Plan<'g> {
    picture: Picture,
    submissions: Vec<&'g Submission>,
    referrals: Vec<(&'g Submission, &'g NewReferral)>,
    answers: Vec<Submit>,
}

impl Writer for Submissions {
    type Asked = Submission;
    type Answer = Submit;

    fn weight(asked: &Submission) -> usize {
        let own = asked.referrals.iter().flat_map(|r| &r.tasks).flat_map(|task| &task.resources);
        let resources = asked.referrals.iter().flat_map(|r| &r.resources).chain(own).map(|r| r.body.len());
        asked.original.len() + resources.sum::<usize>()
    }

    async fn write(&self, group: &[Call<Submission, Submit>]) -> Result<Vec<Submit>, Broken> {
        let kept = |failure| Broken { failure, unknown: false };
        let conn = self.link.get().await.map_err(|e| kept(Failure::from(e)))?;
        let (mut systems, mut keys) = (Vec::new(), Vec::new());
        for submission in group.iter().map(|call| &call.asked) {
            for referral in &submission.referrals {
                systems.push(submission.system.as_str());
                keys.push(referral.key.as_str());
            }
        }
        let rows = conn.query(FIND, &[&systems, &keys]).await.map_err(kept)?;
        let mut known = Known::new();
        for row in &rows {
            let found =
                found(row).and_then(|found| Ok(((super::rows::parse(row, "system")?, get(row, "key")?), found)));
            known.extend([found.map_err(|e| kept(Failure::from(e)))?]);
        }
        let hand = Hand { now: self.time.now(), holder: self.replica.id() };
        let plan = plan(group.iter().map(|call| &call.asked), known, hand);
        let plan = plan.map_err(|e| kept(Failure::from(e)))?;
        if plan.referrals.is_empty() {
            return Ok(plan.answers);
        }
        let statements = batch::of_submissions(&plan.picture, &plan.submissions, &plan.referrals, hand.now);
        let committed = batch::commit(&conn, true, &statements).await;
        if committed.is_err() && conn.is_open() {
            let _ = conn.run("ROLLBACK").await;
        }
        committed.map(|()| plan.answers)
    }
}

/// What was sent under a key before. The row is one of [`FIND`].
pub(super) fn found(row: &tokio_postgres::Row) -> Result<Found, StoreError> {
    let tasks: Vec<uuid::Uuid> = get(row, "tasks")?;
    let submitted = Submitted {
        referral: ReferralId(get(row, "id")?),
        request: get(row, "request")?,
        tasks: tasks.into_iter().map(TaskId).collect(),
        new: false,
        at: super::rows::moment(row, "created")?,
        answer: get(row, "answer")?,
    };
    Ok((submitted, bytes32(row, "digest")?))
}

/// Decides every submission of a group in order; what one stores the next one finds.
fn plan<'g>(group: impl Iterator<Item = &'g Submission>, mut known: Known, hand: Hand) -> Result<Plan<'g>, StoreError> {
    let mut plan =
        Plan { picture: Picture::default(), submissions: Vec::new(), referrals: Vec::new(), answers: Vec::new() };
    for submission in group {
        let answer = match differs(submission, &known) {
            Some(index) => Submit::Differs(index),
            None => store(&mut plan, submission, &mut known, hand)?,
        };
        plan.answers.push(answer);
    }
    Ok(plan)
}

/// The first referral that is known with other content. A request may name one key twice: then the second is the same again, or
/// it differs.
fn differs(submission: &Submission, known: &Known) -> Option<usize> {
    let mut digests = HashMap::new();
    submission.referrals.iter().position(|referral| {
        let before = || known.get(&(submission.system.clone(), referral.key.clone())).map_or(referral.digest, |f| f.1);
        *digests.entry(referral.key.as_str()).or_insert_with(before) != referral.digest
    })
}

fn store<'g>(
    plan: &mut Plan<'g>,
    submission: &'g Submission,
    known: &mut Known,
    hand: Hand,
) -> Result<Submit, StoreError> {
    let mut done = Vec::with_capacity(submission.referrals.len());
    let mut wake_ups = Vec::new();
    for referral in &submission.referrals {
        let key = (submission.system.clone(), referral.key.clone());
        if let Some((found, _)) = known.get(&key) {
            done.push(found.clone());
            continue;
        }
        wake_ups.extend(insert(&mut plan.picture, submission, referral, hand)?);
        if plan.submissions.last().is_none_or(|last| last.id != submission.id) {
            plan.submissions.push(submission);
        }
        plan.referrals.push((submission, referral));
        let new = Submitted {
            referral: referral.id,
            request: referral.request,
            tasks: referral.tasks.iter().map(|t| t.id).collect(),
            new: true,
            at: hand.now,
            answer: submission.answer.clone(),
        };
        known.insert(key, (Submitted { new: false, ..new.clone() }, referral.digest));
        done.push(new);
    }
    Ok(Submit::Stored(done, wake_ups))
}

fn insert(
    picture: &mut Picture,
    submission: &Submission,
    referral: &NewReferral,
    hand: Hand,
) -> Result<Vec<WakeUp>, StoreError> {
    for resource in &referral.resources {
        picture.names.extend(resource.names.iter().map(|name| (name.clone(), referral.id)));
        picture.versions.push(Version::first(resource, referral.id, None));
    }
    let mut wake_ups = Vec::new();
    for task in &referral.tasks {
        let record = picture::new_record(task.id, referral, &submission.system, task, hand.now);
        let new = TaskPicture::new(record);
        let lines = picture::lines(&new, &task.events, submission.asked_by.as_ref(), hand.now)?;
        wake_ups.extend(picture.add(task, new, lines, submission.traceparent.as_deref(), hand));
    }
    Ok(wake_ups)
}

/// What is stored under keys of systems. The planner shall have no choice but the index by key: while it knows nothing of a young
/// database it would as soon read all that a system ever sent.
pub(super) const FIND: &str = "SELECT r.system, r.key, r.id, r.request, r.digest, r.created, s.answer,
       ARRAY(SELECT t.id FROM task t WHERE t.referral = r.id ORDER BY t.id) AS tasks
    FROM UNNEST($1::text[], $2::text[]) AS k (system, key)
    JOIN referral r ON r.key = k.key AND r.system || '' = k.system
    JOIN submission s ON s.id = r.submission";

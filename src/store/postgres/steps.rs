//! Steps of Tasks in groups: one round trip locks and loads what the group's calls look at, `picture.rs` decides them in order,
//! a second round trip writes what changed and commits. A Task always comes to the same writer.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::future::join3;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    batch::{self, Broken},
    link::{Conn, Failure, Link},
    picture::{Fate, Hand, Lane, Message, Picture, State, TaskPicture},
    queue::{Call, Writer},
    replica::Replica,
    rows::{bytes32, corrupt, count, get, number, side, task_record},
    time::Time,
};
use crate::{
    domain::{Side, TaskId},
    store::{Append, AppendError, Appended, LaneState, Poll, Settled, StoreError},
};

/// What is asked of a Task.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Append(Box<Append>),
    Together(Vec<Append>),
    Lease { task: TaskId, side: Side, lease: Duration },
    Release { task: TaskId, side: Side, lease: u64 },
    PlanPoll { task: TaskId, poll: Poll },
    PutAside { task: TaskId, message: Uuid, age: Duration },
    LetGo { task: TaskId, side: Side, seq: u64 },
}

/// What is answered.
#[derive(Debug)]
pub(super) enum Stepped {
    Appended(Result<Box<Appended>, AppendError>),
    Together(Result<Vec<Appended>, AppendError>),
    Leased(LaneState),
    PutAside(bool),
    Done,
}

/// Writes groups of steps.
pub(super) struct Steps {
    pub link: Link,
    pub time: Time,
    pub replica: Arc<Replica>,
}

impl Step {
    /// The steps of which it consists.
    fn appends(&self) -> &[Append] {
        match self {
            Self::Append(append) => std::slice::from_ref(append),
            Self::Together(steps) => steps,
            _ => &[],
        }
    }

    /// The Tasks it looks at.
    pub(super) fn tasks(&self) -> impl Iterator<Item = TaskId> {
        let alone = match self {
            Self::Append(_) | Self::Together(_) => None,
            Self::Lease { task, .. }
            | Self::Release { task, .. }
            | Self::PlanPoll { task, .. }
            | Self::PutAside { task, .. }
            | Self::LetGo { task, .. } => Some(*task),
        };
        self.appends().iter().map(|append| append.task).chain(alone)
    }
}

impl Writer for Steps {
    type Asked = Step;
    type Answer = Stepped;

    fn weight(asked: &Step) -> usize {
        let of = |append: &Append| {
            let events = append.events.iter().map(|e| e.body.as_ref().map_or(0, String::len) + 512);
            events.sum::<usize>() + append.resources.iter().map(|r| r.resource.body.len() + 256).sum::<usize>()
        };
        128 + asked.appends().iter().map(of).sum::<usize>()
    }

    async fn write(&self, group: &[Call<Step, Stepped>]) -> Result<Vec<Stepped>, Broken> {
        let kept = |failure| Broken { failure, unknown: false };
        // a store that is away is not tried again: whoever asks may
        let conn = self.link.get().await.map_err(|e| kept(Failure::from(e)))?;
        let mut picture = match load(&conn, group).await {
            Ok(picture) => picture,
            Err(failure) => {
                roll_back(&conn).await;
                return Err(kept(failure));
            }
        };
        let hand = Hand { now: self.time.now(), holder: self.replica.id() };
        let mut kept_back = HashSet::new();
        if group.iter().any(|call| puts_aside(&call.asked)) {
            match conn.query(KEPT_BACK, &[&hand.now.as_microsecond()]).await {
                Ok(rows) => {
                    for row in rows {
                        kept_back.extend(side(&row, "side").and_then(|side| Ok((side, get(&row, "destination")?))));
                    }
                }
                Err(failure) => {
                    roll_back(&conn).await;
                    return Err(kept(failure));
                }
            }
        }
        picture.kept_back = kept_back;
        let answers = group.iter().map(|call| decide(&mut picture, &call.asked, hand)).collect();
        let statements = batch::of_steps(&picture, hand.now);
        if statements.is_empty() {
            roll_back(&conn).await;
            return Ok(answers);
        }
        let committed = batch::commit(&conn, false, &statements).await;
        if committed.is_err() {
            roll_back(&conn).await;
        }
        committed.map(|()| answers)
    }
}

/// Nothing may be left of a transaction on a connection that goes on; one that cannot even do that is of no more use.
pub(super) async fn roll_back(conn: &Conn) {
    if conn.is_open() {
        let _ = conn.run("ROLLBACK").await;
    }
}

/// Whether a step has a message wait for its endpoint's breaker.
fn puts_aside(step: &Step) -> bool {
    let waits =
        |append: &Append| append.settle.as_ref().is_some_and(|settle| matches!(settle.outcome, Settled::Waits { .. }));
    match step {
        Step::PutAside { .. } => true,
        Step::Append(append) => waits(append),
        Step::Together(steps) => steps.iter().any(waits),
        _ => false,
    }
}

fn decide(picture: &mut Picture, step: &Step, hand: Hand) -> Stepped {
    match step {
        Step::Append(append) => Stepped::Appended(picture.append(append, hand).map(Box::new)),
        Step::Together(steps) => Stepped::Together(picture.append_together(steps, hand)),
        Step::Lease { task, side, lease } => Stepped::Leased(picture.lease(*task, *side, *lease, hand)),
        Step::Release { task, side, lease } => {
            picture.release(*task, *side, *lease);
            Stepped::Done
        }
        Step::PutAside { task, message, age } => Stepped::PutAside(picture.put_aside((*task, *message), *age, hand)),
        Step::LetGo { task, side, seq } => {
            picture.let_go(*task, *side, *seq, hand);
            Stepped::Done
        }
        Step::PlanPoll { task, poll } => {
            picture.plan_poll(*task, poll);
            Stepped::Done
        }
    }
}

/// Locks the Tasks of a group, in the order of their ids so that replicas do not wait for each other in a circle, and loads them
/// with their messages. The lock on a Task's row stands for its lanes and messages as well.
async fn load(conn: &Conn, group: &[Call<Step, Stepped>]) -> Result<Picture, Failure> {
    conn.prepared(LOCK_TASKS).await?;
    conn.prepared(MESSAGES).await?;
    let mut ids: Vec<Uuid> = group.iter().flat_map(|call| call.asked.tasks()).map(|task| task.0).collect();
    ids.sort_unstable();
    ids.dedup();
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&ids];
    let (begun, tasks, messages) =
        join3(conn.run("BEGIN"), conn.query(LOCK_TASKS, &values), conn.query(MESSAGES, &values)).await;
    begun?;
    let mut picture = Picture::default();
    for row in tasks? {
        let task = task_picture(&row)?;
        picture.tasks.insert(task.record.id, task);
    }
    for row in messages? {
        let task = TaskId(get(&row, "task")?);
        if let Some(task) = picture.tasks.get_mut(&task) {
            task.messages.push(message(&row)?);
        }
    }
    for task in picture.tasks.values_mut() {
        task.messages.sort_unstable_by_key(|m| m.seq);
    }
    load_known(conn, group, &mut picture).await?;
    Ok(picture)
}

/// What of the versions and keys that the group brings is there already. Most groups bring none.
async fn load_known(conn: &Conn, group: &[Call<Step, Stepped>], picture: &mut Picture) -> Result<(), Failure> {
    let new: Vec<_> = group.iter().flat_map(|call| call.asked.appends()).flat_map(|a| &a.resources).collect();
    if new.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = new.iter().map(|v| v.resource.id).collect();
    for row in conn.query("SELECT id, kind, version FROM resource WHERE id = ANY($1)", &[&ids]).await? {
        picture.known_versions.insert((get(&row, "id")?, get(&row, "kind")?, number(&row, "version")?));
    }
    let keys: Vec<_> = new.iter().filter_map(|v| v.key.as_ref()).collect();
    let authors: Vec<&str> = keys.iter().map(|k| k.author.as_str()).collect();
    let keys: Vec<&str> = keys.iter().map(|k| k.key.as_str()).collect();
    let sql = "SELECT r.author, r.key FROM UNNEST($1::text[], $2::text[]) AS k (author, key)
               JOIN resource_key r ON r.author = k.author AND r.key = k.key";
    for row in conn.query(sql, &[&authors, &keys]).await? {
        picture.known_keys.insert((get(&row, "author")?, get(&row, "key")?));
    }
    Ok(())
}

fn task_picture(row: &Row) -> Result<TaskPicture, StoreError> {
    Ok(TaskPicture {
        record: task_record(row)?,
        head_hash: bytes32(row, "head_hash")?,
        delivery: Lane {
            cursor: number(row, "d_cursor")?,
            lease: number(row, "d_lease")?,
            until: get(row, "d_until")?,
            holder: get(row, "d_holder")?,
            memory: get(row, "d_memory")?,
        },
        write_back: Lane {
            cursor: number(row, "w_cursor")?,
            lease: number(row, "w_lease")?,
            until: get(row, "w_until")?,
            holder: get(row, "w_holder")?,
            memory: get(row, "w_memory")?,
        },
        poll_at: get(row, "poll_at")?,
        poll_holder: get(row, "poll_holder")?,
        due_at: get(row, "due_at")?,
        transport_since: get(row, "transport_since")?,
        messages: Vec::new(),
        changed: false,
        fresh: false,
    })
}

fn message(row: &Row) -> Result<Message, StoreError> {
    Ok(Message {
        id: get(row, "id")?,
        side: side(row, "side")?,
        seq: number(row, "seq")?,
        state: match get::<i16>(row, "state")? {
            0 => State::Pending,
            1 => State::Published,
            3 => State::Dead,
            4 => State::Discarded,
            other => return Err(corrupt(format!("a message's state {other}"))),
        },
        created: get(row, "created")?,
        not_before: get(row, "not_before")?,
        lease_until: get(row, "lease_until")?,
        holder: get(row, "holder")?,
        deferred_at: get(row, "deferred_at")?,
        attempts: count(row, "attempts")?,
        destination: get(row, "destination")?,
        route_set: get(row, "route_set")?,
        traceparent: get(row, "traceparent")?,
        why: get(row, "why")?,
        fate: Fate::Kept,
    })
}

const LOCK_TASKS: &str = "SELECT t.id AS task_id, t.referral, t.part_of, t.terms, t.request, t.system, t.inbox, t.provider, t.route_set, t.identifier,
       t.origin, t.status, t.cancel_requested, t.transport, t.sent, t.information_requested, t.deliver_by,
              t.open_by, t.answer_by, t.seen_to, t.seq, t.version, t.answered, t.created, t.last_updated, t.beside,
       t.head_hash, t.d_cursor, t.d_lease, t.d_until, t.d_holder, t.d_memory, t.w_cursor, t.w_lease, t.w_until, t.w_holder,
       t.w_memory, t.poll_at, t.poll_holder, t.due_at, t.transport_since
    FROM task t WHERE t.id = ANY($1) ORDER BY t.id FOR UPDATE";

const MESSAGES: &str =
    "SELECT task, id, side, seq, state, created, not_before, lease_until, holder, attempts, destination, route_set,
       traceparent, why, deferred_at
    FROM outbox WHERE task = ANY($1)";

/// Locked, so that whoever finds the endpoint back changes its breaker only after this, and then finds what was put aside.
const KEPT_BACK: &str = "SELECT side, destination FROM breaker
    WHERE phase IN ('open', 'probing') OR phase = 'paused' AND until > $1::bigint
    ORDER BY side, destination FOR SHARE";

//! Rows of a group as columns: one statement writes all rows of a table, whatever the size of the group.

use futures_util::future::{join, join_all};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{
    link::{Conn, Failure, Link},
    picture::{Fate, Message, Picture, State, TaskPicture},
    rows::{big, duration_micros, micros, shown, side_code},
};
use crate::{
    domain::{Alert, Timestamp},
    store::{StoreError, Submission, counts},
};

/// A statement with its values.
pub(super) struct Statement<'v> {
    pub sql: &'static str,
    pub values: Vec<Box<dyn ToSql + Sync + Send + 'v>>,
}

macro_rules! statement {
    ($sql:expr; $($value:expr),+ $(,)?) => {
        Statement { sql: $sql, values: vec![$(Box::new($value)),+] }
    };
}

impl Statement<'_> {
    /// Runs it alone.
    pub(super) async fn run(&self, link: &Link) -> Result<(), StoreError> {
        let values: Vec<&(dyn ToSql + Sync)> = self.values.iter().map(|v| &**v as &(dyn ToSql + Sync)).collect();
        link.query(self.sql, &values).await.map(drop)
    }
}

/// Values of one column, of all rows.
fn column<'v, R, T: 'v>(rows: &[&'v R], value: impl Fn(&'v R) -> T) -> Vec<T> {
    rows.iter().map(|row| value(row)).collect()
}

/// What became of a transaction.
pub(super) struct Broken {
    pub failure: Failure,
    /// Whether it may have been committed all the same.
    pub unknown: bool,
}

/// Sends all statements and the commit without waiting in between: one round trip. `begin` opens the transaction first; otherwise
/// it is open already.
pub(super) async fn commit(conn: &Conn, begin: bool, statements: &[Statement<'_>]) -> Result<(), Broken> {
    for statement in statements {
        // in case one is new to this connection: what is sent below must go out in order
        let prepared = conn.prepared(statement.sql).await;
        prepared.map_err(|failure| Broken { failure, unknown: false })?;
    }
    let begun = async { if begin { conn.run("BEGIN").await } else { Ok(()) } };
    let written = join_all(statements.iter().map(|statement| async {
        let values: Vec<&(dyn ToSql + Sync)> = statement.values.iter().map(|v| &**v as &(dyn ToSql + Sync)).collect();
        conn.query(statement.sql, &values).await.map(drop)
    }));
    let (begun, (written, committed)) = join(begun, join(written, conn.run("COMMIT"))).await;
    // the first thing that went wrong is the reason; all after it was only turned away
    counts::committed();
    let first = std::iter::once(begun).chain(written).find_map(Result::err);
    match (first, committed) {
        (None, Ok(())) => Ok(()),
        (Some(Failure::Lost(why)), _) => Err(Broken { failure: Failure::Lost(why), unknown: true }),
        // the COMMIT of a transaction that has failed is a ROLLBACK
        (Some(failure), _) => Err(Broken { failure, unknown: false }),
        (None, Err(failure)) => Err(Broken { failure, unknown: true }),
    }
}

/// What a group of steps has changed.
pub(super) fn of_steps(picture: &Picture, now: Timestamp) -> Vec<Statement<'_>> {
    let mut all = added(picture, now);
    let fresh: Vec<&TaskPicture> = picture.tasks.values().filter(|t| t.fresh).collect();
    if !fresh.is_empty() {
        all.push(insert_tasks(&fresh));
    }
    let changed: Vec<&TaskPicture> = picture.tasks.values().filter(|t| t.changed && !t.fresh).collect();
    if !changed.is_empty() {
        all.push(update_tasks(&changed));
    }
    if !picture.attempts.is_empty() {
        let rows: Vec<_> = picture.attempts.iter().collect();
        all.push(statement!(INSERT_ATTEMPTS;
            column(&rows, |(task, _)| task.0),
            column(&rows, |(_, a)| micros(a.at)),
            column(&rows, |(_, a)| big(a.of)),
            column(&rows, |(_, a)| duration_micros(a.duration)),
            column(&rows, |(_, a)| side_code(a.side)),
            column(&rows, |(_, a)| shown(&a.endpoint)),
            column(&rows, |(_, a)| a.result.as_str()),
            column(&rows, |(_, a)| a.why.as_deref().map(shown)),
        ));
    }
    if !picture.answers.is_empty() {
        let rows: Vec<_> = picture.answers.iter().collect();
        all.push(statement!(INSERT_ANSWERS;
            column(&rows, |(inbox, _)| inbox.as_str()),
            column(&rows, |(_, answer)| answer.day.0),
            column(&rows, |(_, answer)| i64::from(answer.waited_min)),
            column(&rows, |(_, answer)| answer.accepted),
        ));
    }
    if !picture.alerts.is_empty() {
        all.push(raise(&picture.alerts, now));
    }
    let messages = |fate| -> Vec<(&TaskPicture, &Message)> {
        let of = |task: &'_ TaskPicture| task.messages.iter().filter(move |m| m.fate == fate).count();
        let mut found = Vec::with_capacity(picture.tasks.values().map(of).sum());
        for task in picture.tasks.values() {
            found.extend(task.messages.iter().filter(|m| m.fate == fate).map(|m| (task, m)));
        }
        found
    };
    let changed = messages(Fate::Changed);
    if !changed.is_empty() {
        let changed: Vec<&Message> = changed.into_iter().map(|(_, m)| m).collect();
        all.push(statement!(UPDATE_MESSAGES;
            column(&changed, |m| m.id),
            column(&changed, |m| state_code(m.state)),
            column(&changed, |m| m.created),
            column(&changed, |m| m.not_before),
            column(&changed, |m| m.lease_until),
            column(&changed, |m| m.holder),
            column(&changed, |m| i32::try_from(m.attempts).unwrap_or(i32::MAX)),
            column(&changed, |m| m.why.as_deref().map(shown)),
            column(&changed, |m| m.deferred_at),
        ));
    }
    let gone = messages(Fate::Gone);
    if !gone.is_empty() {
        let gone: Vec<Uuid> = gone.into_iter().map(|(_, m)| m.id).collect();
        all.push(statement!("DELETE FROM outbox WHERE id = ANY($1)"; gone));
    }
    all
}

/// What a group of submissions adds. `referrals` are those to be stored, each with the submission it came with.
pub(super) fn of_submissions<'v>(
    picture: &'v Picture,
    submissions: &[&'v Submission],
    referrals: &[(&'v Submission, &'v crate::store::NewReferral)],
    now: Timestamp,
) -> Vec<Statement<'v>> {
    // two replicas that meet over the same keys meet in the same order, and neither waits for the other in a circle
    let mut referrals = referrals.to_vec();
    referrals.sort_by(|(a, r), (b, s)| (a.system.as_str(), &r.key).cmp(&(b.system.as_str(), &s.key)));
    let refs: Vec<_> = referrals.iter().map(|(s, r)| (*s, *r)).collect();
    let of = |value: fn(&'v Submission, &'v crate::store::NewReferral) -> &'v str| -> Vec<&'v str> {
        refs.iter().map(|(s, r)| value(s, r)).collect()
    };
    let uuids = |value: fn(&Submission, &crate::store::NewReferral) -> Uuid| -> Vec<Uuid> {
        refs.iter().map(|(s, r)| value(s, r)).collect()
    };
    let mut all = vec![
        statement!(INSERT_REFERRALS;
            uuids(|_, r| r.id.0),
            uuids(|s, _| s.id),
            uuids(|_, r| r.request),
            micros(now),
            of(|s, _| s.system.as_str()),
            of(|_, r| r.key.as_str()),
            refs.iter().map(|(_, r)| r.digest.as_slice()).collect::<Vec<_>>(),
            refs.iter().map(|(_, r)| r.identifier.as_deref()).collect::<Vec<_>>(),
            refs.iter().map(|(_, r)| r.origin.as_deref()).collect::<Vec<_>>(),
            of(|_, r| r.route_set.as_str()),
            of(|_, r| r.decision.as_str()),
        ),
        statement!(INSERT_SUBMISSIONS;
            column(submissions, |s| s.id),
            micros(now),
            column(submissions, |s| s.system.as_str()),
            column(submissions, |s| shown(&s.content_type)),
            column(submissions, |s| s.answer.as_str()),
            column(submissions, |s| &*s.original),
        ),
    ];
    let new: Vec<&TaskPicture> = picture.tasks.values().collect();
    if !new.is_empty() {
        all.push(insert_tasks(&new));
    }
    all.extend(added(picture, now));
    all
}

/// Journal lines, versions and new messages.
fn added(picture: &Picture, now: Timestamp) -> Vec<Statement<'_>> {
    let mut all = Vec::new();
    if !picture.versions.is_empty() {
        let rows: Vec<_> = picture.versions.iter().collect();
        all.push(statement!(INSERT_RESOURCES;
            column(&rows, |v| v.id),
            column(&rows, |v| v.referral.0),
            column(&rows, |v| big(v.version)),
            micros(now),
            column(&rows, |v| v.kind.as_str()),
            column(&rows, |v| v.body.as_str()),
            column(&rows, |v| v.origin.as_deref()),
            column(&rows, |v| v.task.map(|t| t.0)),
            column(&rows, |v| v.later),
        ));
    }
    if !picture.keys.is_empty() {
        let mut rows: Vec<_> = picture.keys.iter().collect();
        // in one order everywhere, as referrals are
        rows.sort_by(|(a, _), (b, _)| (&a.author, &a.key).cmp(&(&b.author, &b.key)));
        all.push(statement!(INSERT_KEYS;
            column(&rows, |(k, _)| k.author.as_str()),
            column(&rows, |(k, _)| k.key.as_str()),
            column(&rows, |(_, id)| *id),
            column(&rows, |(k, _)| k.digest.as_slice()),
        ));
    }
    // in one order everywhere, as referrals are
    let anew = picture.versions.iter().filter(|v| v.later && v.kind == "ServiceRequest").map(|v| v.referral.0);
    let anew: std::collections::BTreeSet<Uuid> = anew.collect();
    if !anew.is_empty() {
        all.push(statement!(REFERRALS_CHANGED; anew.into_iter().collect::<Vec<_>>(), micros(now)));
    }
    if !picture.names.is_empty() {
        let mut rows: Vec<_> = picture.names.iter().collect();
        rows.sort_unstable();
        all.push(statement!(INSERT_NAMES; column(&rows, |(name, _)| name.as_str()), column(&rows, |(_, of)| of.0)));
    }
    if !picture.journal.is_empty() {
        let rows: Vec<_> = picture.journal.iter().collect();
        all.push(statement!(INSERT_JOURNAL;
            column(&rows, |l| l.task.0),
            column(&rows, |l| big(l.seq)),
            micros(now),
            column(&rows, |l| l.line.event),
            column(&rows, |l| l.line.actor.as_str()),
            column(&rows, |l| l.line.detail.as_str()),
            column(&rows, |l| l.line.salt.as_slice()),
            column(&rows, |l| l.line.commitment.as_slice()),
            column(&rows, |l| l.line.hash.as_slice()),
            column(&rows, |l| l.asked_by.as_ref().map(|asked| shown(&asked.request))),
            column(&rows, |l| l.asked_by.as_ref().and_then(|asked| asked.correlation.as_deref()).map(shown)),
            column(&rows, |l| l.asked_by.as_ref().and_then(|asked| asked.person.as_deref()).map(shown)),
        ));
    }
    let mut new: Vec<(&TaskPicture, &Message)> = Vec::new();
    for task in picture.tasks.values() {
        new.extend(task.messages.iter().filter(|m| m.fate == Fate::New).map(|m| (task, m)));
    }
    if !new.is_empty() {
        let tasks: Vec<Uuid> = new.iter().map(|(t, _)| t.record.id.0).collect();
        let new: Vec<&Message> = new.into_iter().map(|(_, m)| m).collect();
        all.push(statement!(INSERT_MESSAGES;
            column(&new, |m| m.id),
            tasks,
            column(&new, |m| big(m.seq)),
            column(&new, |m| m.created),
            column(&new, |m| m.not_before),
            column(&new, |m| m.lease_until),
            column(&new, |m| i32::try_from(m.attempts).unwrap_or(i32::MAX)),
            column(&new, |m| m.holder),
            column(&new, |m| side_code(m.side)),
            column(&new, |m| state_code(m.state)),
            column(&new, |m| m.destination.as_str()),
            column(&new, |m| m.route_set.as_str()),
            column(&new, |m| m.traceparent.as_deref().map(shown)),
            column(&new, |m| m.why.as_deref().map(shown)),
            column(&new, |m| m.deferred_at),
        ));
    }
    all
}

/// Keeps alerts. A standing one that is open already is not raised again.
pub(super) fn raise(alerts: &[Alert], now: Timestamp) -> Statement<'_> {
    let rows: Vec<&Alert> = alerts.iter().collect();
    statement!(INSERT_ALERTS;
        column(&rows, |a| a.id),
        column(&rows, |a| a.kind.code()),
        column(&rows, |a| shown(&a.subject)),
        column(&rows, |a| a.task.map(|t| t.0)),
        column(&rows, |a| a.message),
        column(&rows, |a| micros(a.since)),
        column(&rows, |a| shown(&a.text)),
        micros(now),
        column(&rows, |a| a.kind.stands()),
    )
}

fn update_tasks<'v>(tasks: &[&'v TaskPicture]) -> Statement<'v> {
    statement!(UPDATE_TASKS;
        column(tasks, |t| t.record.id.0),
        column(tasks, |t| t.record.state.status.code()),
        column(tasks, |t| t.record.state.transport.map(|t| t.code())),
        column(tasks, |t| t.record.state.cancel_requested),
        column(tasks, |t| t.record.state.sent),
        column(tasks, |t| t.record.state.information_requested),
        column(tasks, |t| t.record.state.seen_to),
        column(tasks, |t| t.record.state.deadlines.deliver_by.map(micros)),
        column(tasks, |t| t.record.state.deadlines.open_by.map(micros)),
        column(tasks, |t| t.record.state.deadlines.answer_by.map(micros)),
        column(tasks, |t| t.due_at),
        column(tasks, |t| t.transport_since),
        column(tasks, |t| micros(t.record.last_updated)),
        column(tasks, |t| big(t.record.seq)),
        column(tasks, |t| big(t.record.version)),
        column(tasks, |t| big(t.record.answered)),
        column(tasks, |t| t.head_hash.as_slice()),
        column(tasks, |t| big(t.delivery.cursor)),
        column(tasks, |t| big(t.delivery.lease)),
        column(tasks, |t| t.delivery.until),
        column(tasks, |t| t.delivery.holder),
        column(tasks, |t| t.delivery.memory.as_deref().map(shown)),
        column(tasks, |t| big(t.write_back.cursor)),
        column(tasks, |t| big(t.write_back.lease)),
        column(tasks, |t| t.write_back.until),
        column(tasks, |t| t.write_back.holder),
        column(tasks, |t| t.write_back.memory.as_deref().map(shown)),
        column(tasks, |t| t.poll_at),
        column(tasks, |t| t.poll_holder),
    )
}

fn insert_tasks<'v>(tasks: &[&'v TaskPicture]) -> Statement<'v> {
    statement!(INSERT_TASKS;
        column(tasks, |t| t.record.id.0),
        column(tasks, |t| t.record.referral.0),
        column(tasks, |t| t.record.part_of.map(|id| id.0)),
        column(tasks, |t| t.record.terms.to_text()),
        column(tasks, |t| t.record.request),
        column(tasks, |t| micros(t.record.created)),
        column(tasks, |t| t.record.system.as_str()),
        column(tasks, |t| t.record.inbox.as_str()),
        column(tasks, |t| t.record.provider.as_str()),
        column(tasks, |t| t.record.route_set.as_str()),
        column(tasks, |t| t.record.identifier.as_deref()),
        column(tasks, |t| t.record.origin.as_deref()),
        column(tasks, |t| t.record.state.status.code()),
        column(tasks, |t| t.record.state.transport.map(|t| t.code())),
        column(tasks, |t| t.record.state.cancel_requested),
        column(tasks, |t| t.record.state.sent),
        column(tasks, |t| t.record.state.information_requested),
        column(tasks, |t| t.record.state.seen_to),
        column(tasks, |t| t.record.state.deadlines.deliver_by.map(micros)),
        column(tasks, |t| t.record.state.deadlines.open_by.map(micros)),
        column(tasks, |t| t.record.state.deadlines.answer_by.map(micros)),
        column(tasks, |t| t.due_at),
        column(tasks, |t| t.transport_since),
        column(tasks, |t| micros(t.record.last_updated)),
        column(tasks, |t| big(t.record.seq)),
        column(tasks, |t| big(t.record.version)),
        column(tasks, |t| big(t.record.answered)),
        column(tasks, |t| t.head_hash.as_slice()),
        column(tasks, |t| t.record.beside.map(|other| other.0)),
    )
}

/// How a state lies in a column.
pub(super) fn state_code(state: State) -> i16 {
    match state {
        State::Pending => 0,
        State::Published => 1,
        State::Dead => 3,
        State::Discarded => 4,
    }
}

const INSERT_SUBMISSIONS: &str = "INSERT INTO submission (id, at, system, content_type, answer, original)
    SELECT id, $2::bigint, system, content_type, answer, original
    FROM UNNEST($1::uuid[], $3::text[], $4::text[], $5::text[], $6::bytea[]) AS x (id, system, content_type, answer, original)";

const INSERT_REFERRALS: &str = "INSERT INTO referral (id, submission, request, created, system, key, digest, identifier, origin, route_set, decision, changed)
    SELECT id, submission, request, $4::bigint, system, key, digest, identifier, origin, route_set, decision, $4::bigint
    FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $5::text[], $6::text[], $7::bytea[], $8::text[], $9::text[], $10::text[],
                $11::text[]) AS x (id, submission, request, system, key, digest, identifier, origin, route_set, decision)";

const INSERT_RESOURCES: &str =
    "INSERT INTO resource (id, referral, version, last_updated, kind, body, origin, task, later)
    SELECT id, referral, version, $4::bigint, kind, body, origin, task, later
    FROM UNNEST($1::uuid[], $2::uuid[], $3::bigint[], $5::text[], $6::text[], $7::text[], $8::uuid[], $9::boolean[])
         AS x (id, referral, version, kind, body, origin, task, later)";

const INSERT_KEYS: &str = "INSERT INTO resource_key (author, key, id, digest)
    SELECT * FROM UNNEST($1::text[], $2::text[], $3::uuid[], $4::bytea[])";

const REFERRALS_CHANGED: &str = "UPDATE referral SET changed = $2::bigint
    FROM (SELECT id FROM referral WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE) x WHERE referral.id = x.id";

const INSERT_NAMES: &str = "INSERT INTO name (value, referral) SELECT * FROM UNNEST($1::text[], $2::uuid[])
    ON CONFLICT DO NOTHING";

const INSERT_ANSWERS: &str = "INSERT INTO answer (inbox, day, waited_min, accepted)
    SELECT * FROM UNNEST($1::text[], $2::integer[], $3::bigint[], $4::boolean[])";

const INSERT_TASKS: &str = "INSERT INTO task (id, referral, part_of, terms, request, created, system, inbox, provider, route_set, identifier, origin,
                      status, transport, cancel_requested, sent, information_requested, seen_to, deliver_by, open_by, answer_by,
                      due_at, transport_since, last_updated, seq, version, answered, head_hash, beside)
    SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::bigint[], $7::text[], $8::text[],
                         $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::boolean[],
                         $16::boolean[], $17::boolean[], $18::boolean[], $19::bigint[], $20::bigint[], $21::bigint[],
                         $22::bigint[], $23::bigint[], $24::bigint[], $25::bigint[], $26::bigint[], $27::bigint[],
                         $28::bytea[], $29::uuid[])";

const INSERT_JOURNAL: &str =
    "INSERT INTO journal (task, seq, at, event, actor, detail, salt, commitment, hash, request, correlation, person)
    SELECT task, seq, $3::bigint, event, actor, detail, salt, commitment, hash, request, correlation, person
    FROM UNNEST($1::uuid[], $2::bigint[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::bytea[], $9::bytea[],
                $10::text[], $11::text[], $12::text[])
         AS x (task, seq, event, actor, detail, salt, commitment, hash, request, correlation, person)";

const INSERT_MESSAGES: &str = "INSERT INTO outbox (id, task, seq, created, not_before, lease_until, attempts, holder, side, state, destination, route_set,
                        traceparent, why, deferred_at)
    SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::integer[],
                         $8::integer[], $9::smallint[], $10::smallint[], $11::text[], $12::text[], $13::text[], $14::text[],
                         $15::bigint[])";

const INSERT_ALERTS: &str = "INSERT INTO alert (id, kind, subject, task, message, since, text, created, due, open)
    SELECT id, kind, subject, task, message, since, text, $8::bigint, $8::bigint, open
    FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::uuid[], $6::bigint[], $7::text[], $9::boolean[])
         AS x (id, kind, subject, task, message, since, text, open)
    ON CONFLICT DO NOTHING";

const INSERT_ATTEMPTS: &str = "INSERT INTO attempt (task, at, seq, duration_us, side, endpoint, result, why)
    SELECT * FROM UNNEST($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::smallint[], $6::text[], $7::text[], $8::text[])";

const UPDATE_MESSAGES: &str = "UPDATE outbox o SET state = x.state, created = x.created, not_before = x.not_before, lease_until = x.lease_until,
           holder = x.holder, attempts = x.attempts, why = x.why, deferred_at = x.deferred_at
    FROM UNNEST($1::uuid[], $2::smallint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::integer[], $7::integer[], $8::text[],
                $9::bigint[]) AS x (id, state, created, not_before, lease_until, holder, attempts, why, deferred_at)
    WHERE o.id = x.id";

const UPDATE_TASKS: &str = "UPDATE task t SET status = x.status, transport = x.transport, cancel_requested = x.cancel_requested, sent = x.sent,
           information_requested = x.information_requested, seen_to = x.seen_to, deliver_by = x.deliver_by, open_by = x.open_by,
           answer_by = x.answer_by, due_at = x.due_at, transport_since = x.transport_since,
           last_updated = x.last_updated, seq = x.seq, version = x.version, answered = x.answered, head_hash = x.head_hash,
           d_cursor = x.d_cursor, d_lease = x.d_lease, d_until = x.d_until, d_holder = x.d_holder, d_memory = x.d_memory,
           w_cursor = x.w_cursor, w_lease = x.w_lease, w_until = x.w_until, w_holder = x.w_holder, w_memory = x.w_memory,
           poll_at = x.poll_at, poll_holder = x.poll_holder
    FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::boolean[], $5::boolean[], $6::boolean[], $7::boolean[], $8::bigint[],
                $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[],
                $16::bigint[], $17::bytea[], $18::bigint[], $19::bigint[], $20::bigint[], $21::integer[], $22::text[],
                $23::bigint[], $24::bigint[], $25::bigint[], $26::integer[], $27::text[], $28::bigint[], $29::integer[])
         AS x (id, status, transport, cancel_requested, sent, information_requested, seen_to, deliver_by, open_by, answer_by, due_at,
               transport_since, last_updated, seq, version, answered, head_hash, d_cursor, d_lease, d_until, d_holder, d_memory,
               w_cursor, w_lease, w_until, w_holder, w_memory, poll_at, poll_holder)
    WHERE t.id = x.id";

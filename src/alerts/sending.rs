//! What cannot be sent at present: its tries fail, while its endpoint is spoken to as always. A breaker opens only for several Tasks, and
//! a dead letter comes after days; in between nobody else would tell of one message that never arrives.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{Teller, worklist::Line};
use crate::{
    domain::{Alert, AlertKind, Side, breaker::Phase, written},
    store::{Failing, Store, StoreError},
};

/// The hook and the command are told of what has waited so long. The worklist and the console show it at once.
const TOLD_AFTER: SignedDuration = SignedDuration::from_mins(1);
/// The line of a destination is named so, before its name.
pub(super) const LINE: &str = "failing";

/// By destination. Where a breaker is not closed, that is told of the endpoint instead, and what waits there waits for it.
///
/// # Errors
/// [`StoreError`]
pub async fn failing(store: &dyn Store) -> Result<Vec<Failing>, StoreError> {
    let mut failing = store.failing().await?;
    if !failing.is_empty() {
        let breakers = store.breakers().await?;
        failing.retain(|one| breakers.iter().all(|b| b.of != one.of || b.breaker.phase == Phase::Closed));
    }
    Ok(failing)
}

/// How many of what cannot be sent, in words.
pub fn what(one: &Failing) -> String {
    let (thing, done) = match one.of.side {
        Side::Delivery => ("message", "delivered"),
        Side::WriteBack => ("answer", "written back"),
    };
    format!("{} {thing}{} cannot be {done}", one.count, if one.count == 1 { "" } else { "s" })
}

/// When the first of them is tried again, in words.
pub fn next(one: &Failing, now: Timestamp) -> String {
    if one.next <= now { "being tried now".to_owned() } else { format!("next try at {}", written::near(one.next, now)) }
}

/// The line of the IT worklist about one.
pub(super) fn line(one: &Failing, now: Timestamp) -> Line {
    Line {
        id: format!("{LINE}.{}", one.of),
        kind: AlertKind::SendingFails.code(),
        since: one.oldest,
        about: one.of.to_string(),
        task: None,
        text: said(one, now),
        advice: AlertKind::SendingFails.advice(),
        tick: false,
    }
}

fn said(one: &Failing, now: Timestamp) -> String {
    format!("{}: {}; {}", what(one), one.why, next(one, now))
}

/// About which destinations an alert may be open; none before that was looked up.
pub(super) type Told = Option<BTreeSet<String>>;

impl Teller {
    /// Tells of what has failed for long, and ends what is over.
    pub(super) async fn look_at_sending(&self, told: &mut Told) {
        if let Err(error) = look(&*self.store, told).await {
            // that the store is away is told by itself
            tracing::debug!(%error, "what cannot be sent could not be looked up");
        }
    }
}

async fn look(store: &dyn Store, told: &mut Told) -> Result<(), StoreError> {
    let failing = failing(store).await?;
    let told = match told {
        Some(told) => told,
        // one of before this process began may be open
        None => {
            let open = store.open_alerts(usize::MAX).await?.into_iter();
            let ours = open.filter(|alert| alert.kind == AlertKind::SendingFails).map(|alert| alert.subject);
            told.insert(ours.collect())
        }
    };
    let now = store.now();
    let is_over = |subject: &String| failing.iter().all(|one| one.of.to_string() != *subject);
    for subject in told.iter().filter(|subject| is_over(subject)).cloned().collect::<Vec<_>>() {
        store.end_alert(AlertKind::SendingFails, &subject).await?;
        told.remove(&subject);
    }
    for one in failing.iter().filter(|one| now.duration_since(one.oldest) >= TOLD_AFTER) {
        let subject = one.of.to_string();
        if !told.contains(&subject) {
            tracing::warn!(endpoint = subject, count = one.count, why = one.why, "tries fail here again and again");
            metrics::counter!("onward_alerts_total", "alert" => AlertKind::SendingFails.code()).increment(1);
            store.raise(vec![Alert::new(AlertKind::SendingFails, &*subject, one.oldest, said(one, now))]).await?;
            told.insert(subject);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::{
        domain::{Destination, ManualClock, TaskId, breaker::Breaker},
        store::{Append, LaneState, Settle, Settled, made, sqlite::SqliteStore},
    };

    fn start() -> Timestamp {
        "2026-03-02T12:03:00Z".parse().unwrap()
    }

    fn one(side: Side, count: u64) -> Failing {
        let (oldest, next) = (start(), start() + SignedDuration::from_mins(2));
        Failing { of: Destination::new(side, "a"), count, oldest, next, why: "connection refused".into() }
    }

    #[test]
    fn it_is_told_in_words() {
        let now = start() + SignedDuration::from_mins(1);
        assert_eq!(
            said(&one(Side::WriteBack, 1), now),
            "1 answer cannot be written back: connection refused; next try at 12:05pm"
        );
        assert!(said(&one(Side::Delivery, 2), now).starts_with("2 messages cannot be delivered: "));
        assert_eq!(next(&one(Side::Delivery, 1), now + SignedDuration::from_mins(1)), "being tried now");
    }

    /// The first message of a Task fails once more and is tried again after so many seconds.
    async fn fails(store: &dyn Store, task: TaskId, wait_s: i64) {
        let minute = Duration::from_secs(60);
        let leased = store.lease_lane(task, Side::Delivery, minute).await.unwrap();
        let LaneState::Leased { lease, head, task } = leased else { panic!("{leased:?}") };
        let until = store.now() + SignedDuration::from_secs(wait_s);
        let outcome = Settled::Deferred { until, memory: None, why: "connection refused".into() };
        let settle = Settle { side: Side::Delivery, seq: head.seq, lease: Some(lease), extend: minute, outcome };
        store.append(Append { settle: Some(settle), ..Append::to(&task) }).await.unwrap();
    }

    #[tokio::test]
    async fn one_task_in_vain_is_told_after_a_minute_once_and_ended_where_it_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(start()));
        let opened = SqliteStore::open(&folder.path().join("onward.db"), clock.clone()).unwrap();
        let store: &dyn Store = &opened;
        let (request, task) = (Uuid::now_v7(), TaskId::mint());
        let body = json!({"status": "requested"});
        let mut referral = made::referral("one", "life-rooms", request, (task, &body), vec![]);
        for event in referral.tasks.iter_mut().flat_map(|task| &mut task.events) {
            event.lanes = vec![Side::Delivery];
        }
        store.submit(made::submission("rio", vec![referral])).await.unwrap();
        let subjects = || async {
            let open = store.open_alerts(9).await.unwrap().into_iter();
            open.map(|alert| (alert.kind, alert.subject)).collect::<Vec<_>>()
        };
        let mut told = None;
        fails(store, task, 2).await;
        clock.advance(2);
        fails(store, task, 90).await;
        assert_eq!(failing(store).await.unwrap().len(), 1);
        look(store, &mut told).await.unwrap();
        assert_eq!(subjects().await, [], "what has just begun is on the page alone");
        clock.advance(60);
        for _ in 0..2 {
            look(store, &mut told).await.unwrap();
        }
        let alert = (AlertKind::SendingFails, "inbox.life-rooms".to_owned());
        assert_eq!(subjects().await, std::slice::from_ref(&alert));
        assert_eq!(store.claim_alerts(9, Duration::from_secs(60)).await.unwrap().len(), 1, "once");

        // another process, which did not raise it, ends it where the endpoint as a whole is left alone
        let of = Destination::new(Side::Delivery, "life-rooms");
        let phase = Phase::Open { until: store.now() };
        let breaker = Breaker { phase, ..Breaker::closed("http://127.0.0.1:9", store.now()) };
        assert!(store.set_breaker(&of, 0, breaker).await.unwrap());
        look(store, &mut None).await.unwrap();
        assert_eq!(subjects().await, []);
        let back = Breaker::closed("http://127.0.0.1:9", store.now());
        assert!(store.set_breaker(&of, 1, back).await.unwrap());
        told = None;
        look(store, &mut told).await.unwrap();
        assert_eq!(subjects().await, [alert], "and is told again where it goes on");
    }
}

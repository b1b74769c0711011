//! The whole of the rules is held by the behavioural suite; here stands what only a group shows: several calls on one Task in one
//! picture, and that a refused one leaves no trace.

use super::*;
use crate::{
    domain::{Actor, Event, clock::from_micros, task::TaskState},
    store::LaneHead,
};

const MINUTE: Duration = Duration::from_secs(60);

fn hand() -> Hand {
    Hand { now: from_micros(1_000_000_000), holder: Some(7) }
}

/// A picture with one stored Task whose first event waits in the delivery lane.
fn one() -> (Picture, TaskId) {
    let id = TaskId::mint();
    let record = TaskRecord {
        id,
        referral: ReferralId::mint(),
        system: "epr".parse().unwrap(),
        request: Uuid::now_v7(),
        origin: None,
        identifier: None,
        route_set: "1".into(),
        inbox: "life-rooms".parse().unwrap(),
        provider: "life-rooms".parse().unwrap(),
        part_of: None,
        terms: Default::default(),
        beside: None,
        state: TaskState::new(),
        seq: 0,
        version: 0,
        answered: 0,
        created: hand().now,
        last_updated: hand().now,
    };
    let mut picture = Picture::default();
    let new = TaskPicture::new(record);
    let events = [event(&[Side::Delivery])];
    let lines = lines(&new, &events, None, hand().now).unwrap();
    picture.tasks.insert(id, new);
    assert_eq!(picture.write(id, &events, lines, None, hand()).len(), 1);
    // as if it had been loaded
    let task = picture.tasks.get_mut(&id).unwrap();
    task.changed = false;
    task.fresh = false;
    task.messages.iter_mut().for_each(|m| m.fate = Fate::Kept);
    picture.journal.clear();
    picture.versions.clear();
    (picture, id)
}

fn event(lanes: &[Side]) -> NewEvent {
    let body = Some("{}".to_owned());
    NewEvent { event: Event::DeliveryDelayed, actor: Actor::Onward, body, lanes: lanes.to_vec() }
}

fn step(picture: &Picture, id: TaskId) -> Append {
    Append::to(&picture.tasks[&id].record)
}

fn take(picture: &mut Picture, id: TaskId, side: Side) -> (u64, LaneHead) {
    match picture.lease(id, side, MINUTE, hand()) {
        LaneState::Leased { lease, head, .. } => (lease, head),
        other => panic!("{other:?}"),
    }
}

fn done(lease: u64, seq: u64) -> Option<Settle> {
    let outcome = Settled::Done { memory: None };
    Some(Settle { side: Side::Delivery, seq, lease: Some(lease), extend: MINUTE, outcome })
}

/// All that would be written.
fn written(picture: &Picture) -> (usize, usize, usize, bool, Vec<Fate>) {
    let fates = picture.tasks.values().flat_map(|t| t.messages.iter().map(|m| m.fate)).collect();
    let changed = picture.tasks.values().any(|t| t.changed);
    (picture.journal.len(), picture.versions.len(), picture.attempts.len(), changed, fates)
}

#[test]
fn several_calls_on_one_task_follow_one_another() {
    let (mut picture, id) = one();
    let (lease, head) = take(&mut picture, id, Side::Delivery);
    assert!(matches!(picture.lease(id, Side::Delivery, MINUTE, hand()), LaneState::Busy));
    let first = step(&picture, id);
    let stale = first.clone();
    let delivered = Append { events: vec![event(&[Side::WriteBack])], settle: done(lease, head.seq), ..first };
    let appended = picture.append(&delivered, hand()).unwrap();
    assert_eq!((appended.task.seq, appended.wake_ups.len(), appended.next.is_none()), (2, 1, true));
    assert!(matches!(picture.append(&stale, hand()), Err(AppendError::Moved)));
    let (_, back) = take(&mut picture, id, Side::WriteBack);
    assert_eq!((back.seq, back.message), (2, appended.wake_ups[0].message));
    let (lines, versions, _, changed, fates) = written(&picture);
    assert_eq!((lines, versions, changed, fates), (1, 1, true, vec![Fate::Gone, Fate::New]));
    assert_eq!(picture.tasks[&id].delivery.holder, None);
    assert_eq!(picture.tasks[&id].write_back.holder, Some(7));
}

#[test]
fn what_a_group_makes_and_finishes_is_not_left_behind() {
    let (mut picture, id) = one();
    let (lease, head) = take(&mut picture, id, Side::Delivery);
    let more = Append { events: vec![event(&[Side::Delivery])], ..step(&picture, id) };
    picture.append(&more, hand()).unwrap();
    let next = picture.append(&Append { settle: done(lease, head.seq), ..step(&picture, id) }, hand()).unwrap().next;
    let last = picture.append(&Append { settle: done(lease, next.unwrap().seq), ..step(&picture, id) }, hand());
    assert!(last.unwrap().next.is_none());
    assert_eq!(written(&picture).4, [Fate::Gone, Fate::Gone]);
}

#[test]
fn a_refused_call_leaves_no_trace() {
    let (mut picture, id) = one();
    let (lease, head) = take(&mut picture, id, Side::Delivery);
    picture.tasks.get_mut(&id).unwrap().changed = false;
    let before = written(&picture);
    let full = Append { events: vec![event(&[Side::WriteBack])], ..step(&picture, id) };
    let refused = [
        Append { expected_seq: 9, ..full.clone() },
        Append { settle: done(lease + 1, head.seq), ..full.clone() },
        Append { settle: done(lease, 9), ..full.clone() },
        Append { rearm: Some(head.message), ..full.clone() },
        Append { discard: Some(Uuid::now_v7()), ..full.clone() },
        Append { unsent: true, ..full.clone() },
        Append { task: TaskId::mint(), ..full.clone() },
    ];
    for append in refused {
        assert!(picture.append(&append, hand()).is_err(), "{append:?}");
        assert_eq!(written(&picture), before, "{append:?}");
    }
    assert!(picture.append(&full, hand()).is_ok());
}

#[test]
fn steps_together_are_all_taken_back() {
    let (mut picture, one_id) = one();
    let (other, other_id) = one();
    picture.tasks.extend(other.tasks);
    let before = written(&picture);
    let good = Append { events: vec![event(&[Side::WriteBack])], ..step(&picture, one_id) };
    let stale = Append { expected_seq: 9, ..step(&picture, other_id) };
    assert!(picture.append_together(&[good.clone(), stale], hand()).is_err());
    let after = written(&picture);
    assert_eq!((after.0, after.1, after.3, after.4.len()), (before.0, before.1, before.3, before.4.len()));
    assert_eq!(picture.tasks[&one_id].record.seq, 1);
    let fresh = step(&picture, other_id);
    assert_eq!(picture.append_together(&[good, fresh], hand()).unwrap().len(), 2);
}

#[test]
fn the_chain_goes_on_through_a_group() {
    let (mut picture, id) = one();
    for _ in 0..3 {
        let append = Append { events: vec![event(&[]), event(&[])], ..step(&picture, id) };
        picture.append(&append, hand()).unwrap();
    }
    let seqs: Vec<u64> = picture.journal.iter().map(|l| l.seq).collect();
    assert_eq!(seqs, [2, 3, 4, 5, 6, 7]);
    assert_eq!(picture.journal.last().unwrap().line.hash, picture.tasks[&id].head_hash);
}

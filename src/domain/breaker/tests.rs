use proptest::prelude::*;

use super::*;

const ME: Uuid = Uuid::from_u128(1);
const OTHER: Uuid = Uuid::from_u128(2);
const LEASE: SignedDuration = SignedDuration::from_secs(20);

fn start() -> Timestamp {
    "2026-03-02T09:00:00Z".parse().unwrap()
}

fn secs(n: i64) -> SignedDuration {
    SignedDuration::from_secs(n)
}

fn failed() -> Probe {
    Probe::Failed { retry_after: None, why: "HTTP 503".into() }
}

fn opened(at: Timestamp) -> Breaker {
    Breaker::closed("http://there", at).trip(5, None, "HTTP 503", at, 1.0).unwrap()
}

fn until(breaker: &Breaker) -> Timestamp {
    match breaker.phase {
        Phase::Open { until }
        | Phase::Paused { until }
        | Phase::Probing { until, .. }
        | Phase::Draining { until, .. } => until,
        Phase::Closed => panic!("closed"),
    }
}

#[derive(Debug, Clone)]
enum Move {
    Wait(i64),
    Trip,
    Pause(Option<i64>),
    Probe(bool),
    Answer(bool, u8),
    Drain(bool),
    Drained(bool),
    Close,
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        (0i64..200).prop_map(Move::Wait),
        Just(Move::Trip),
        prop::option::of(0i64..400_000).prop_map(Move::Pause),
        any::<bool>().prop_map(Move::Probe),
        (any::<bool>(), 0u8..3).prop_map(|(me, found)| Move::Answer(me, found)),
        any::<bool>().prop_map(Move::Drain),
        any::<bool>().prop_map(Move::Drained),
        Just(Move::Close),
    ]
}

proptest! {
    /// Whatever happens: nobody is let through while it is open, two never ask at once, and it always has a way back.
    #[test]
    fn it_keeps_its_word(moves in prop::collection::vec(moves(), 1..120), dice in 0f64..=1.0) {
        let mut now = start();
        let mut breaker = Breaker::closed("http://there", now);
        let who = |me: bool| if me { ME } else { OTHER };
        for step in moves {
            let before = breaker.clone();
            let next = match step {
                Move::Wait(s) => { now += secs(s); None }
                Move::Trip => breaker.trip(5, None, "x", now, dice),
                Move::Pause(s) => breaker.pause(s.map(secs), "x", now),
                Move::Probe(me) => breaker.probe(who(me), LEASE, now),
                Move::Answer(me, 0) => breaker.probed(who(me), &Probe::Answered, now, dice),
                Move::Answer(me, 1) => breaker.probed(who(me), &failed(), now, dice),
                Move::Answer(me, _) => breaker.probed(who(me), &Probe::Nothing, now, dice),
                Move::Drain(me) => breaker.drain(who(me), LEASE, now),
                Move::Drained(me) => breaker.drained(who(me), now),
                Move::Close => breaker.let_go("http://there", "x", now),
            };
            let Some(next) = next else { continue };
            breaker = next;
            prop_assert!(breaker.since <= now && breaker.outage <= now);
            match breaker.phase {
                Phase::Open { until } => {
                    prop_assert!(!breaker.lets_through(now));
                    prop_assert!(until >= now + secs(1) / 2 && until <= now + PAUSE_MAX);
                }
                Phase::Probing { .. } => {
                    prop_assert!(!breaker.lets_through(now));
                    // only a pause or another's lease that is over leads here
                    prop_assert!(until(&before) <= now);
                }
                Phase::Paused { until } => prop_assert!(until <= now + RETRY_AFTER_MAX),
                Phase::Draining { .. } => prop_assert!(breaker.lets_through(now)),
                Phase::Closed => {
                    let drained = matches!(before.phase, Phase::Draining { .. });
                    prop_assert!(drained, "{before:?}");
                }
            }
        }
        // from wherever it is, time and an answer lead back
        now += RETRY_AFTER_MAX + PAUSE_MAX;
        if let Some(asked) = breaker.probe(ME, LEASE, now) {
            breaker = asked.probed(ME, &Probe::Answered, now, dice).unwrap();
        }
        if let Some(draining) = breaker.drain(ME, LEASE, now) {
            now += DRAIN_MIN;
            breaker = draining.drained(ME, now).unwrap();
        }
        prop_assert_eq!(breaker.phase, Phase::Closed);
    }

    /// However long it is away, that it is back is noticed within a tenth of that, a second at least and a minute at most.
    #[test]
    fn pauses_grow_with_the_outage(dice in 0f64..=1.0, hours in 0i64..8) {
        let mut breaker = opened(start());
        let mut now = start();
        let end = start() + SignedDuration::from_hours(hours) + secs(30);
        while now < end {
            let due = until(&breaker);
            let pause = due.duration_since(now);
            let tenth = now.duration_since(start()) / 10;
            prop_assert!(pause >= secs(1) / 2 && pause <= tenth.clamp(PAUSE_MIN, PAUSE_MAX), "{}", pause);
            now = due;
            breaker = breaker.probe(ME, LEASE, now).unwrap().probed(ME, &failed(), now, dice).unwrap();
        }
    }

    #[test]
    fn one_task_alone_never_opens_it(tries in prop::collection::vec(any::<bool>(), 0..200)) {
        let mut tally = Tally::default();
        let task = TaskId(Uuid::from_u128(7));
        for failed in tries {
            tally.note(task, failed);
            prop_assert!(!tally.trips(false) && !tally.trips(true));
        }
    }

    #[test]
    fn a_streak_of_several_opens_it_and_a_success_ends_the_streak(tasks in prop::collection::vec(0u128..3, 1..60)) {
        let mut tally = Tally::default();
        for (n, task) in tasks.iter().enumerate() {
            tally.note(TaskId(Uuid::from_u128(*task)), true);
            let several = tasks[..=n].iter().any(|t| t != &tasks[0]);
            prop_assert_eq!(tally.trips(false), several && n + 1 >= STREAK_MAX as usize);
        }
        tally.note(TaskId(Uuid::from_u128(9)), false);
        prop_assert_eq!(tally.streak, 0);
    }
}

#[test]
fn three_of_four_failing_open_it_without_a_streak() {
    let mut tally = Tally::default();
    for n in 0..31u128 {
        tally.note(TaskId(Uuid::from_u128(n)), n % 4 != 3);
        assert!(!tally.trips(false), "{n}");
    }
    tally.note(TaskId(Uuid::from_u128(40)), false);
    assert!(tally.trips(false), "24 of 32");
    let mut half = Tally::default();
    for n in 0..200u128 {
        half.note(TaskId(Uuid::from_u128(n)), n % 2 == 0);
        assert!(!half.trips(false), "half of them arrive");
    }
}

#[test]
fn one_asks_and_only_one() {
    let open = opened(start());
    let now = until(&open);
    assert_eq!(open.probe(ME, LEASE, now - secs(1) / 10), None, "it is not time");
    let asked = open.probe(ME, LEASE, now).unwrap();
    assert_eq!(asked.probe(OTHER, LEASE, now), None, "one asks already");
    assert_eq!(asked.probed(OTHER, &Probe::Answered, now, 1.0), None, "and only its word counts");
    let taken_over = asked.probe(OTHER, LEASE, now + LEASE).unwrap();
    assert_eq!(taken_over.probed(ME, &Probe::Answered, now + LEASE, 1.0), None, "it came back too late");
    assert_eq!((asked.outage, taken_over.outage), (start(), start()), "the outage goes on all the time");
}

#[test]
fn what_failed_again_while_draining_is_the_same_outage() {
    let open = opened(start());
    let later = start() + secs(300);
    let back = open.probe(ME, LEASE, later).unwrap().probed(ME, &Probe::Answered, later, 1.0).unwrap();
    assert!(back.lets_through(later));
    let again = back.trip(3, None, "HTTP 503", later + secs(2), 1.0).unwrap();
    assert_eq!((again.outage, again.failures), (start(), 8));
    assert!(until(&again) >= later + secs(30), "it is asked later than at first");
}

#[test]
fn retry_after_holds_a_pause_open() {
    let closed = Breaker::closed("http://there", start());
    let open = closed.trip(5, Some(secs(600)), "HTTP 503", start(), 1.0).unwrap();
    assert_eq!(until(&open), start() + secs(600));
    let paused = closed.pause(Some(secs(30)), "HTTP 429", start()).unwrap();
    assert_eq!((until(&paused), paused.failures), (start() + secs(30), 0));
    assert_eq!(paused.pause(Some(secs(30)), "HTTP 429", start() + secs(1)), None, "the same wish");
    assert!(paused.pause(Some(secs(60)), "HTTP 429", start()).is_some());
    assert!(!paused.lets_through(start() + secs(29)) && paused.lets_through(start() + secs(30)));
    assert_eq!(paused.probe(ME, LEASE, start() + secs(30)), None, "it answers: nobody needs to ask");
    assert!(paused.drain(ME, LEASE, start() + secs(30)).is_some());
}

#[test]
fn one_drains_at_a_time_and_another_takes_over() {
    let back = opened(start()).let_go("http://there", "by hand", start()).unwrap();
    let mine = back.drain(ME, LEASE, start()).unwrap();
    assert_eq!(mine.drain(OTHER, LEASE, start() + secs(5)), None);
    let renewed = mine.drain(ME, LEASE, start() + secs(10)).unwrap();
    assert_eq!(renewed.since, back.since, "the same drain goes on");
    let taken = renewed.drain(OTHER, LEASE, start() + secs(30)).unwrap();
    assert_eq!(taken.drained(ME, start() + secs(31)), None);
    assert_eq!(taken.drained(OTHER, start() + secs(31)).unwrap().phase, Phase::Closed);
    assert_eq!(mine.drained(ME, start() + secs(1)), None, "another may not have heard yet");
}

use proptest::prelude::*;

use super::*;
use crate::domain::task::TRANSITIONS;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn answered(from: TaskStatus, to: TaskStatus) -> Event {
    Event::Answered { from, to, implied: false }
}

fn standing(status: TaskStatus) -> TaskState {
    TaskState { status, ..TaskState::new() }
}

fn noted(before: TaskState, events: &[Event]) -> Option<FirstAnswer> {
    FirstAnswer::of(&before, at("2026-03-02T09:00:00Z"), events, at("2026-03-04T11:30:59Z"))
}

#[test]
fn the_first_word_on_what_becomes_of_it_is_noted() {
    use TaskStatus::{Accepted, Completed, InProgress, OnHold, Received, Rejected, Requested};
    let day = Day::of(at("2026-03-04T00:00:00Z"));
    let answer = |accepted| Some(FirstAnswer { day, waited_min: 2 * 24 * 60 + 150, accepted });
    assert_eq!(noted(standing(Requested), &[answered(Requested, Accepted)]), answer(true));
    assert_eq!(noted(standing(Received), &[answered(Received, Rejected)]), answer(false));
    assert_eq!(noted(standing(Received), &[answered(Received, OnHold)]), answer(true));
    // that it is there says nothing of what becomes of it
    assert_eq!(noted(standing(Requested), &[answered(Requested, Received)]), None);
    // several steps of one copy: the first that says it counts, and what came before it does not hide it
    let skipped = [
        Event::Delivered { inbox: "life-rooms".parse().unwrap(), remote: None, by_answer: true },
        answered(Requested, Received),
        answered(Received, Accepted),
        answered(Accepted, Completed),
    ];
    assert_eq!(noted(standing(Requested), &skipped), answer(true));
    // it has been answered before
    for before in [Accepted, InProgress, OnHold] {
        assert_eq!(noted(standing(before), &[answered(before, Rejected)]), None, "{before}");
    }
    // what others do is no answer
    assert_eq!(noted(standing(Received), &[Event::Overdue, Event::Cancelled { request: None }]), None);
}

#[test]
fn what_was_cancelled_or_never_should_have_been_counts_in_nothing() {
    use TaskStatus::{Accepted, Cancelled, Completed, EnteredInError, Received, Rejected};
    assert_eq!(noted(standing(Received), &[answered(Received, EnteredInError)]), None);
    let asked = TaskState { cancel_requested: true, ..standing(Received) };
    for to in [Cancelled, Rejected, Completed, Accepted] {
        assert_eq!(noted(asked, &[answered(Received, to)]), None, "{to}");
    }
}

#[test]
fn no_way_leads_back_to_where_a_first_answer_is_noted() {
    for row in TRANSITIONS.iter().filter(|row| !is_answer(row.to)) {
        assert!(row.from.iter().all(|from| !is_answer(*from)), "to {}", row.to);
    }
}

#[test]
fn a_clock_that_goes_back_waits_no_time() {
    let events = [answered(TaskStatus::Received, TaskStatus::Accepted)];
    let now = at("2026-03-02T08:00:00Z");
    let noted = FirstAnswer::of(&standing(TaskStatus::Received), at("2026-03-02T09:00:00Z"), &events, now);
    assert_eq!(noted.map(|answer| answer.waited_min), Some(0));
}

#[test]
fn a_day_is_over_an_hour_after_its_end() {
    let day = Day::of(at("2026-03-04T23:59:59Z"));
    assert_eq!(day.date().to_string(), "2026-03-04");
    assert_eq!(Day::over(at("2026-03-05T00:59:59Z")), Day(day.0 - 1));
    assert_eq!(Day::over(at("2026-03-05T01:00:00Z")), day);
    assert_eq!(Day::of(at("1969-12-31T23:00:00Z")), Day(-1));
}

#[test]
fn blocks_close_with_the_day_that_holds_the_minimum() {
    let block = |first, last, answers| Block { first: Day(first), last: Day(last), answers };
    let days = [(Day(100), 4), (Day(102), 5), (Day(103), 7), (Day(104), 12), (Day(110), 9)];
    let blocks = Block::cut(None, &days, 10);
    assert_eq!(blocks, [block(100, 103, 16), block(104, 104, 12)]);
    // what is left waits for more; it goes on where the last block ended
    assert_eq!(Block::cut(blocks.last(), &[(Day(110), 9), (Day(111), 1)], 10), [block(105, 111, 10)]);
    assert_eq!(Block::cut(None, &[], 10), []);
}

#[test]
fn the_newest_blocks_of_ninety_days_are_told_and_one_at_least() {
    let block = |first, last| Block { first: Day(first), last: Day(last), answers: 10 };
    let blocks = [block(0, 9), block(10, 60), block(61, 99)];
    assert_eq!(Block::told(&blocks), &blocks[1..], "days 10 to 99 are ninety");
    let longer = [block(0, 9), block(9, 60), block(61, 99)];
    assert_eq!(Block::told(&longer), &longer[2..]);
    let slow = [block(0, 9), block(10, 400)];
    assert_eq!(Block::told(&slow), &slow[1..]);
    assert_eq!(Block::told(&[]), &[]);
}

/// Reckoned by hand: of twelve answers nine were accepted (75 %); the sixth and seventh of the times are 26 h and 30 h, so the
/// median is 28 h; twelve are told as ten.
#[test]
fn facts_are_those_reckoned_by_hand() {
    let hours = [1, 2, 3, 20, 25, 26, 30, 48, 72, 100, 200, 300];
    let answers: Vec<FirstAnswer> = hours
        .iter()
        .enumerate()
        .map(|(n, hours)| FirstAnswer { day: Day(20_000), waited_min: hours * 60, accepted: n >= 3 })
        .collect();
    let blocks = [Block { first: Day(19_995), last: Day(20_000), answers: 12 }];
    let facts =
        Facts { first: Day(19_995), last: Day(20_000), answers: 10, median: Roughly::Hours(28), accepted_percent: 75 };
    assert_eq!(Facts::of(&blocks, &answers, 10), Some(facts));
    assert_eq!(Facts::of(&blocks, &answers, 13), None, "fewer than the minimum");
    assert_eq!(Facts::of(&[], &answers, 10), None);
}

#[test]
fn figures_are_rounded_as_they_are_told() {
    for (minutes, told) in [
        (0, Roughly::Hours(1)),
        (89, Roughly::Hours(1)),
        (90, Roughly::Hours(2)),
        (47 * 60 + 29, Roughly::Hours(47)),
        (47 * 60 + 30, Roughly::Days(2)),
        (60 * 60, Roughly::Days(3)),
        (10 * 24 * 60 + 719, Roughly::Days(10)),
        (u32::MAX, Roughly::Days(2_982_616)),
    ] {
        assert_eq!(roughly(minutes), told, "{minutes} min");
    }
    for (part, of, told) in
        [(0, 10, 5), (1, 40, 5), (7, 10, 70), (2, 3, 65), (29, 40, 75), (39, 40, 95), (10, 10, 95), (0, 0, 5)]
    {
        assert_eq!(percent(part, of), told, "{part} of {of}");
    }
    assert_eq!(median(&[3, 5]), Some(4));
    assert_eq!(median(&[3, 5, 9]), Some(5));
    assert_eq!(median(&[]), None);
    for (count, minimum, told) in [
        (0, 10, Waiting::FewerThan(10)),
        (9, 10, Waiting::FewerThan(10)),
        (10, 10, Waiting::About(10)),
        (14, 10, Waiting::About(10)),
        (15, 10, Waiting::About(15)),
        (8, 7, Waiting::About(7)),
        (u64::MAX, 7, Waiting::About(u32::MAX)),
    ] {
        assert_eq!(Waiting::of(count, minimum), told, "{count}");
    }
}

/// What is told at a moment: the answers behind it, by their number, and the facts.
fn told(answers: &[FirstAnswer], now: Timestamp, minimum: u32) -> (Vec<usize>, Option<Facts>) {
    let over = Day::over(now);
    let mut days = std::collections::BTreeMap::<Day, u32>::new();
    for answer in answers.iter().filter(|answer| answer.day <= over) {
        *days.entry(answer.day).or_default() += 1;
    }
    let days: Vec<(Day, u32)> = days.into_iter().collect();
    let blocks = Block::cut(None, &days, minimum);
    let blocks = Block::told(&blocks);
    let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return (vec![], None) };
    let is_told = |answer: &FirstAnswer| (first.first..=last.last).contains(&answer.day);
    let behind: Vec<usize> = (0..answers.len()).filter(|n| is_told(&answers[*n])).collect();
    let of_them: Vec<FirstAnswer> = behind.iter().map(|n| answers[*n]).collect();
    assert_eq!(behind.len(), blocks.iter().map(|block| block.answers as usize).sum::<usize>());
    (behind, Facts::of(blocks, &of_them, minimum))
}

proptest! {
    /// Whoever looks every hour for as long as he likes learns of whole blocks alone: what is told at any two moments is the same,
    /// or rests on answers that differ by the minimum or more.
    #[test]
    fn nobody_is_singled_out_by_looking_twice(
        gaps in prop::collection::vec((0i32..40, 0u32..10_000, any::<bool>()), 0..120),
        minimum in 5u32..30,
        looks in prop::collection::vec(0i64..2_000 * 24, 2),
    ) {
        let mut day = 20_000;
        let answers: Vec<FirstAnswer> = gaps
            .iter()
            .map(|(gap, waited_min, accepted)| {
                day += gap / 8;
                FirstAnswer { day: Day(day), waited_min: *waited_min, accepted: *accepted }
            })
            .collect();
        let start = Timestamp::from_second(20_000 * 86_400).unwrap();
        let look = |hours: &i64| told(&answers, start + SignedDuration::from_hours(*hours % (24 * 700)), minimum);
        let seen: Vec<_> = looks.iter().map(look).collect();
        for (behind, facts) in &seen {
            prop_assert!(behind.is_empty() || behind.len() >= minimum as usize);
            prop_assert_eq!(facts.is_some(), !behind.is_empty());
            prop_assert!(facts.is_none_or(|facts| facts.answers >= minimum && facts.answers as usize <= behind.len()));
        }
        let only = |of: &[usize], than: &[usize]| of.iter().filter(|n| !than.contains(n)).count();
        for (one, other) in [(0, 1), (1, 0)] {
            let differ = only(&seen[one].0, &seen[other].0);
            prop_assert!(differ == 0 || differ >= minimum as usize, "{differ} of {minimum}");
        }
    }

    /// Cutting on from the newest block gives what cutting from the start gives: a process that has been up for long and one that
    /// has just begun tell the same.
    #[test]
    fn blocks_do_not_depend_on_when_they_are_cut(
        counts in prop::collection::vec((1i32..5, 1u32..15), 0..60),
        minimum in 5u32..30,
        split in 0usize..60,
    ) {
        let mut day = 0;
        let days: Vec<(Day, u32)> = counts.iter().map(|(gap, n)| { day += gap; (Day(day), *n) }).collect();
        let whole = Block::cut(None, &days, minimum);
        let mut parts = Block::cut(None, &days[..split.min(days.len())], minimum);
        let rest: Vec<_> = days.iter().filter(|(day, _)| parts.last().is_none_or(|b| *day > b.last)).copied().collect();
        let further = Block::cut(parts.last(), &rest, minimum);
        parts.extend(further);
        prop_assert_eq!(parts, whole);
    }
}

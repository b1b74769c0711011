//! What is told of small numbers, held against whoever reckons.

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;

const COLUMNS: usize = Outcome::ALL.len();

/// A table with these counts by group and outcome.
fn table(counts: &[[u64; COLUMNS]]) -> Table {
    let mut all = Vec::new();
    for (group, line) in counts.iter().enumerate() {
        for (outcome, count) in Outcome::ALL.into_iter().zip(line) {
            let one = Counted {
                service: format!("group {group}"),
                area: None,
                reason: None,
                outcome,
                answered: Answered::default(),
            };
            all.extend(std::iter::repeat_n(one, usize::try_from(*count).unwrap()));
        }
    }
    Table::of(&all, By::Service)
}

/// Modulo a large prime: a rank over it is the rank over the rationals but for a chance that does not come up.
const P: i128 = (1 << 61) - 1;

fn inverse(n: i128) -> i128 {
    let (mut base, mut power, mut result) = (n.rem_euclid(P), P - 2, 1);
    while power > 0 {
        if power & 1 == 1 {
            result = result * base % P;
        }
        base = base * base % P;
        power >>= 1;
    }
    result
}

/// Brings rows to echelon form.
fn reduced(mut rows: Vec<Vec<i128>>) -> Vec<Vec<i128>> {
    let width = rows.first().map_or(0, Vec::len);
    let mut done = 0;
    for column in 0..width {
        let Some(pivot) = (done..rows.len()).find(|at| rows[*at][column] != 0) else { continue };
        rows.swap(done, pivot);
        let scale = inverse(rows[done][column]);
        for value in &mut rows[done] {
            *value = *value * scale % P;
        }
        let pivot = rows[done].clone();
        for (at, row) in rows.iter_mut().enumerate() {
            if at != done && row[column] != 0 {
                let factor = row[column];
                for (value, by) in row.iter_mut().zip(&pivot) {
                    *value = (*value - factor * by).rem_euclid(P);
                }
            }
        }
        done += 1;
    }
    rows.truncate(done);
    rows
}

/// The lines of a report with all together last, and which of their cells are left out.
fn cells(told: &Told) -> (Vec<&Line>, Vec<(usize, usize)>) {
    let lines: Vec<&Line> = told.lines.iter().chain([&told.all]).collect();
    let mut out = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        out.extend((0..COLUMNS).filter(|column| line.outcomes[*column] == Cell::LeftOut).map(|column| (at, column)));
    }
    (lines, out)
}

/// What whoever reads a report knows: each line's cells come to its count, each column's to that of all together.
fn equations(lines: usize, out: &[(usize, usize)]) -> Vec<Vec<i128>> {
    let mut rows = Vec::new();
    for line in 0..lines {
        rows.push(out.iter().map(|at| i128::from(at.0 == line)).collect());
    }
    for column in 0..COLUMNS {
        let of = |at: &(usize, usize)| match (at.1 == column, at.0 == lines - 1) {
            (false, _) => 0,
            (true, true) => P - 1,
            (true, false) => 1,
        };
        rows.push(out.iter().map(of).collect());
    }
    rows
}

proptest! {
    #[test]
    fn no_small_number_is_told_or_can_be_reckoned(
        counts in proptest::collection::vec(proptest::array::uniform5(prop_oneof![3 => 0u64..7, 1 => 0u64..40]), 1..9)
    ) {
        let table = table(&counts);
        let told = match Told::of(&table) {
            Ok(told) => told,
            Err(TooFew) => {
                prop_assert!((1..SMALL).contains(&table.all.count()));
                return Ok(());
            }
        };
        let (lines, out) = cells(&told);
        for line in &lines {
            prop_assert!(line.count == 0 || line.count >= SMALL, "{line:?}");
            for cell in line.outcomes {
                prop_assert!(!matches!(cell, Cell::Is(1..SMALL)), "{line:?}");
            }
        }
        // every line that stands for small ones stands for several
        for line in &told.lines {
            prop_assert!(line.joined == 0 || line.joined >= 2 || told.lines.len() == 1, "{line:?}");
        }
        // no cell that is left out follows from what is told
        let known = reduced(equations(lines.len(), &out));
        for at in 0..out.len() {
            let mut with = known.clone();
            with.push((0..out.len()).map(|one| i128::from(one == at)).collect());
            prop_assert_eq!(reduced(with).len(), known.len() + 1, "{:?} of {:#?}", out[at], told);
        }
        // what is left out of a line comes to no small number either
        for (at, line) in lines.iter().enumerate() {
            let shown: u64 = line.outcomes.iter().map(|cell| if let Cell::Is(count) = cell { *count } else { 0 }).sum();
            let hidden = line.count - shown;
            prop_assert!(hidden == 0 && !out.iter().any(|one| one.0 == at) || hidden >= SMALL, "{line:?}");
        }
        // and what is told is so
        prop_assert_eq!(told.all.count, counts.iter().flatten().sum::<u64>());
        prop_assert_eq!(told.lines.iter().map(|line| line.count).sum::<u64>(), told.all.count);
    }

    #[test]
    fn where_nothing_is_small_everything_is_told(
        counts in proptest::collection::vec(proptest::array::uniform5(prop_oneof![Just(0u64), SMALL..40]), 1..9)
    ) {
        let table = table(&counts);
        let told = Told::of(&table).unwrap();
        let (_, out) = cells(&told);
        prop_assert_eq!(out, vec![]);
        prop_assert_eq!(told.lines.len(), table.groups.len());
    }
}

#[test]
fn small_groups_are_joined_with_the_smallest_of_the_rest() {
    let told = Told::of(&table(&[[40, 0, 0, 0, 0], [9, 0, 0, 0, 0], [3, 0, 0, 0, 0]])).unwrap();
    let lines: Vec<(Option<&str>, usize, u64)> =
        told.lines.iter().map(|line| (line.name.as_deref(), line.joined, line.count)).collect();
    assert_eq!(lines, [(Some("group 0"), 0, 40), (None, 2, 12)]);
    assert_eq!(Told::of(&table(&[[3, 1, 0, 0, 0]])), Err(TooFew));
    assert_eq!(Told::of(&Table::default()).unwrap().all.count, 0);
}

#[test]
fn times_are_told_by_rank_and_not_of_few() {
    let one = |hours: i64| Counted {
        service: "a".into(),
        area: None,
        reason: None,
        outcome: Outcome::UnderWay,
        answered: Answered { first: Some(SignedDuration::from_hours(hours)), completed: None },
    };
    let told = |count: i64| {
        let all: Vec<Counted> = (1..=count).map(one).collect();
        Told::of(&Table::of(&all, By::Service)).unwrap().all
    };
    let ten = told(10).first.unwrap();
    assert_eq!((ten.count, ten.median.as_hours(), ten.p90.as_hours()), (10, 5, 9));
    assert_eq!(told(10).completed, None);
    let mut few: Vec<Counted> = (1..=4).map(one).collect();
    few.extend((0..6).map(|_| Counted { answered: Answered::default(), ..one(0) }));
    assert_eq!(Told::of(&Table::of(&few, By::Service)).unwrap().all.first, None, "four are too few");
}

#[test]
fn of_how_many_were_taken_on_a_part_in_a_hundred_is_told() {
    let told = Told::of(&table(&[[0, 10, 20, 10, 0]])).unwrap();
    assert_eq!(told.all.taken_on_percent(), Some(75));
    let told = Told::of(&table(&[[0, 10, 20, 2, 0]])).unwrap();
    assert_eq!(told.all.taken_on_percent(), None, "it would tell how few were not");
}

#[test]
fn the_first_answer_and_the_completion_are_those_of_the_service() {
    use crate::domain::{Event, TaskStatus};
    let at = |second| jiff::Timestamp::from_second(second).unwrap();
    let to = |to| Event::Answered { from: TaskStatus::Requested, to, implied: false };
    let steps = [
        (at(10), to(TaskStatus::Received)),
        (at(20), to(TaskStatus::Accepted)),
        (at(25), Event::NotOpened),
        (at(30), to(TaskStatus::Completed)),
        (at(40), to(TaskStatus::Completed)),
    ];
    let found = Answered::of(at(0), steps.iter().map(|(at, event)| (*at, event)));
    let secs = |n| Some(SignedDuration::from_secs(n));
    assert_eq!(found, Answered { first: secs(20), completed: secs(30) });
    let taken_back = [(at(10), to(TaskStatus::Cancelled))];
    assert_eq!(Answered::of(at(0), taken_back.iter().map(|(at, event)| (*at, event))), Answered::default());
}

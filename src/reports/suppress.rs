//! Small numbers are left out, and with them what they could be reckoned from.
//!
//! 1. A group of fewer than [`SMALL`] is not told of by itself: it goes into one line with the other small ones, and with the smallest of
//!    the rest, until that line is of two groups and of [`SMALL`] or more.
//! 2. Of the counts by outcome those from 1 to below [`SMALL`] are left out. How many a line has altogether is told, and how many of each
//!    outcome there are; so in each line and each column others are left out beside them, until those left out are two or more and come
//!    to [`SMALL`] or more.
//! 3. What could still be reckoned from several lines and columns together is left out with something beside it. A count can be reckoned
//!    exactly where it alone joins two parts of what is left out: counts are edges between their line and their column, and such a one
//!    is a bridge of that graph.
//! 4. Times are told only of [`SMALL`] or more.
//!
//! It holds for one report. Two reports of days that differ a little can be subtracted from one another; who may see them is to know that.

use std::collections::BTreeSet;

use super::figures::{Group, Outcome, Table, Times};

/// A count below this is small.
pub const SMALL: u64 = 5;
/// So many outcomes.
const COLUMNS: usize = Outcome::ALL.len();

/// A count, as it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// This many.
    Is(u64),
    /// Left out.
    LeftOut,
}

/// A line of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The group; none for what is not known, or for several together.
    pub name: Option<String>,
    /// So many groups are in it that are each too small, or were needed to hide such a one. 0 for a group by itself.
    pub joined: usize,
    /// How many referrals.
    pub count: u64,
    /// How many of each outcome.
    pub outcomes: [Cell; COLUMNS],
    /// How soon they were answered.
    pub first: Option<Times>,
    /// How soon they were completed.
    pub completed: Option<Times>,
}

/// A report as it may be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The groups, the greatest first; those that were joined last.
    pub lines: Vec<Line>,
    /// All together.
    pub all: Line,
}

/// There are fewer than [`SMALL`] altogether: nothing is told. None at all is told as such.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are too few to tell anything of them")]
pub struct TooFew;

/// What is left out: a place in line and column; the last line is that of all together.
type Out = BTreeSet<(usize, usize)>;

impl Told {
    /// What may be told of a table.
    ///
    /// # Errors
    /// [`TooFew`]
    pub fn of(table: &Table) -> Result<Self, TooFew> {
        if (1..SMALL).contains(&table.all.count()) {
            return Err(TooFew);
        }
        let groups = joined(table);
        let mut counts: Vec<[u64; COLUMNS]> = groups.iter().map(|(.., group)| group.outcomes).collect();
        counts.push(table.all.outcomes);
        let out = left_out(&counts);
        let line = |at: usize, name: &Option<String>, joined: usize, group: &Group| Line {
            name: name.clone(),
            joined,
            count: group.count(),
            outcomes: std::array::from_fn(|column| match group.outcomes.get(column) {
                Some(count) if !out.contains(&(at, column)) => Cell::Is(*count),
                _ => Cell::LeftOut,
            }),
            first: group.first().filter(|times| times.count >= SMALL),
            completed: group.completed().filter(|times| times.count >= SMALL),
        };
        let lines =
            groups.iter().enumerate().map(|(at, (name, joined, group))| line(at, name, *joined, group)).collect();
        Ok(Self { lines, all: line(groups.len(), &None, 0, &table.all) })
    }
}

impl Line {
    /// How many of a hundred of those that were answered were taken on; none where that, or what it is reckoned from, is left out.
    pub fn taken_on_percent(&self) -> Option<u64> {
        let of = |outcome: Outcome| {
            let at = Outcome::ALL.iter().position(|one| *one == outcome)?;
            match self.outcomes.get(at) {
                Some(Cell::Is(count)) => Some(*count),
                _ => None,
            }
        };
        let taken = of(Outcome::UnderWay)?.checked_add(of(Outcome::Ended)?)?;
        let answered = taken.checked_add(of(Outcome::Declined)?)?;
        (answered >= SMALL).then(|| (taken * 100 + answered / 2) / answered)
    }
}

/// The groups of a table, the greatest first, and in the last place those that are too small to stand by themselves.
fn joined(table: &Table) -> Vec<(Option<String>, usize, Group)> {
    let mut groups: Vec<(Option<String>, usize, Group)> =
        table.groups.iter().map(|(name, group)| (name.clone(), 0, group.clone())).collect();
    groups.sort_by(|a, b| b.2.count().cmp(&a.2.count()).then_with(|| a.0.cmp(&b.0)));
    let small = groups.iter().filter(|(.., group)| group.count() < SMALL).count();
    if small == 0 {
        return groups;
    }
    let (mut together, mut count) = (Group::default(), 0);
    while count < small || count < 2 || together.count() < SMALL {
        let Some((.., group)) = groups.pop() else { break };
        together.join(&group);
        count += 1;
    }
    groups.push((None, count, together));
    groups
}

/// What is left out of these counts, of which the last line is the sum of the others.
fn left_out(counts: &[[u64; COLUMNS]]) -> Out {
    let all = counts.len().saturating_sub(1);
    let count = |at: (usize, usize)| counts.get(at.0).and_then(|line| line.get(at.1)).copied().unwrap_or_default();
    let small = |at: &(usize, usize)| (1..SMALL).contains(&count(*at));
    let places = || (0..counts.len()).flat_map(|line| (0..COLUMNS).map(move |column| (line, column)));
    let mut out: Out = places().filter(small).collect();
    if out.is_empty() {
        return out;
    }
    let in_line = |line: usize| (0..COLUMNS).map(move |column| (line, column)).collect::<Vec<_>>();
    let in_column = |column: usize| (0..counts.len()).map(move |line| (line, column)).collect::<Vec<_>>();
    // the smallest that is told as yet; what is nothing only where nothing else is left, and all together last of all
    let next = |out: &Out, among: &[(usize, usize)]| {
        let free = among.iter().copied().filter(|at| !out.contains(at));
        free.min_by_key(|at| (at.0 == all, count(*at) == 0, count(*at), *at))
    };
    loop {
        let before = out.len();
        for (among, is_column) in
            (0..counts.len()).map(|line| (in_line(line), false)).chain((0..COLUMNS).map(|c| (in_column(c), true)))
        {
            let of = |out: &Out| {
                let hidden: Vec<_> = among.iter().filter(|at| out.contains(at)).copied().collect();
                // where the sum of a column is left out itself, what is left out beside it cannot be reckoned by it
                let is_open = is_column && hidden.iter().any(|at| at.0 == all);
                let sum: u64 = hidden.iter().map(|at| count(*at)).sum();
                hidden.is_empty() || (hidden.len() >= 2 && (is_open || sum >= SMALL))
            };
            while !of(&out) {
                let Some(more) = next(&out, &among) else { break };
                out.insert(more);
            }
        }
        if let Some(bridge) = bridge(&out, counts.len()) {
            let more = next(&out, &in_line(bridge.0)).or_else(|| next(&out, &in_column(bridge.1)));
            let more = more.or_else(|| next(&out, &places().collect::<Vec<_>>()));
            out.extend(more);
        }
        if out.len() == before {
            return out;
        }
    }
}

/// A count that could be reckoned from the others, if there is one.
fn bridge(out: &Out, lines: usize) -> Option<(usize, usize)> {
    out.iter().copied().find(|edge| !is_on_a_ring(out, *edge, lines))
}

/// Whether line and column of a count hang together without it.
fn is_on_a_ring(out: &Out, edge: (usize, usize), lines: usize) -> bool {
    let (mut seen_lines, mut seen_columns) = (vec![false; lines], [false; COLUMNS]);
    let mut to_see = vec![edge.0];
    while let Some(line) = to_see.pop() {
        match seen_lines.get_mut(line) {
            Some(seen) if !*seen => *seen = true,
            _ => continue,
        }
        for (_, column) in out.range((line, 0)..(line + 1, 0)).filter(|at| **at != edge) {
            let Some(seen) = seen_columns.get_mut(*column).filter(|seen| !**seen) else { continue };
            *seen = true;
            to_see.extend(out.iter().filter(|at| at.1 == *column && **at != edge).map(|at| at.0));
        }
    }
    seen_columns.get(edge.1).copied().unwrap_or(true)
}

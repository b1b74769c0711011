//! What a page says of a route set that somebody writes. Pure.

use crate::{
    config::{Fault, Registry, routes::remarks},
    route_sets::diff::{changes, sentence},
    routing::RouteSet,
    web::console::words::counted,
};

/// Faults that are shown: the first in the file.
const FAULTS_MAX: usize = 100;
/// Changes that are told in sentences.
const CHANGES_MAX: usize = 200;
/// Lines that are shown of those that differ, with those around them.
const LINES_MAX: usize = 1_000;
/// Lines around one that differs.
const AROUND: usize = 3;

/// What a check found.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub faults: Vec<Found>,
    pub left_out: usize,
    pub warnings: Vec<Found>,
    /// What is allowed and may not be meant.
    pub remarks: Vec<String>,
    /// What it is, where nothing is wrong with it.
    pub good: Option<String>,
}

/// Something that was found, with its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Line and column; empty where it is of the whole.
    pub place: String,
    /// The key.
    pub key: String,
    /// What is wrong.
    pub wrong: String,
    /// What is allowed; empty where that is not said.
    pub right: String,
    /// The line.
    pub line: String,
}

/// What it says otherwise than what is in force.
#[derive(Debug, Default)]
pub(super) struct Compared {
    pub sentences: Vec<String>,
    pub more: usize,
    pub lines: Vec<DiffLine>,
    /// Whether there are more lines than are shown.
    pub cut: bool,
}

/// A line of both texts, or of one of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DiffLine {
    /// `gone`, `new`, `same`, or `gap` between pieces.
    pub kind: &'static str,
    pub text: String,
}

/// What to say of what was read of a text.
pub(super) fn checked(text: &str, read: &Result<(RouteSet, Vec<Fault>), Vec<Fault>>, registry: &Registry) -> Checked {
    match read {
        Ok((set, warnings)) => {
            let (rules, tests) = (set.routes().len() as u64, set.cases().len() as u64);
            let tests = match tests {
                0 => "It has no tests of its own".to_owned(),
                tests => format!("Its {} hold{}", counted(tests, "test"), if tests == 1 { "s" } else { "" }),
            };
            Checked {
                warnings: found(warnings, text),
                remarks: remarks(set, registry.inboxes.keys()),
                good: Some(format!("Nothing is wrong with it: {}. {tests}.", counted(rules, "rule"))),
                ..Checked::default()
            }
        }
        Err(faults) => Checked {
            left_out: faults.len().saturating_sub(FAULTS_MAX),
            faults: found(faults, text),
            ..Checked::default()
        },
    }
}

fn found(faults: &[Fault], text: &str) -> Vec<Found> {
    let lines: Vec<&str> = text.lines().collect();
    let one = |fault: &Fault| {
        let (wrong, right) = fault.divided();
        let line = fault.line.checked_sub(1).and_then(|at| lines.get(at)).copied().unwrap_or_default();
        Found {
            place: if fault.line == 0 {
                String::new()
            } else {
                format!("Line {}, column {}", fault.line, fault.column)
            },
            key: fault.key.clone(),
            wrong: wrong.to_owned(),
            right: right.unwrap_or_default(),
            line: line.trim().chars().take(200).collect(),
        }
    };
    faults.iter().take(FAULTS_MAX).map(one).collect()
}

/// What to say of a text beside the one that is in force.
pub(super) fn compared((before, old): (&RouteSet, &str), (after, new): (&RouteSet, &str)) -> Compared {
    let changes = changes(before, after);
    let sentences = changes.iter().take(CHANGES_MAX).map(sentence).collect();
    let (lines, cut) = lines(old, new);
    Compared { sentences, more: changes.len().saturating_sub(CHANGES_MAX), lines, cut }
}

/// The lines that differ, with some around them.
fn lines(old: &str, new: &str) -> (Vec<DiffLine>, bool) {
    // a very long text that is all different is told roughly rather than late
    let diff = similar::TextDiff::configure().timeout(std::time::Duration::from_secs(1)).diff_lines(old, new);
    let mut all = Vec::new();
    for (at, group) in diff.grouped_ops(AROUND).iter().enumerate() {
        if at > 0 {
            all.push(DiffLine { kind: "gap", text: "…".to_owned() });
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            if all.len() >= LINES_MAX {
                return (all, true);
            }
            let kind = match change.tag() {
                similar::ChangeTag::Delete => "gone",
                similar::ChangeTag::Insert => "new",
                similar::ChangeTag::Equal => "same",
            };
            all.push(DiffLine { kind, text: change.value().trim_end_matches(['\r', '\n']).to_owned() });
        }
    }
    (all, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{route_sets::read_draft, web::console::tests::config};

    const GOOD: &str =
        "[[route]]\nname = \"a\"\nwhen = { code = [\"1\"] }\nto = \"life-rooms\"\n\n[triage]\nto = \"link-workers\"\n";

    #[test]
    fn what_is_wrong_has_its_place_and_what_to_do() {
        let registry = config().registry;
        let text = GOOD.replace("to = \"life-rooms\"", "to = \"nowhere\"");
        let read = read_draft(&text, &Default::default(), &registry);
        let said = checked(&text, &read, &registry);
        let found = &said.faults[0];
        assert_eq!((found.place.as_str(), found.line.as_str()), ("Line 4, column 6", "to = \"nowhere\""));
        assert!(found.wrong.contains("nowhere") && found.right.starts_with("allowed: "), "{found:?}");
        assert_eq!(said.good, None);
    }

    #[test]
    fn a_test_that_fails_is_a_fault_and_a_good_set_says_so() {
        let registry = config().registry;
        let read = read_draft(GOOD, &Default::default(), &registry);
        let said = checked(GOOD, &read, &registry);
        assert_eq!(said.good.as_deref(), Some("Nothing is wrong with it: 1 rule. It has no tests of its own."));
        assert!(said.faults.is_empty());
    }

    #[test]
    fn what_differs_is_told_in_sentences_and_lines() {
        let registry = config().registry;
        let read = |text: &str| read_draft(text, &Default::default(), &registry).unwrap().0;
        let other = GOOD.replace("to = \"life-rooms\"", "to = \"link-workers\"");
        let told = compared((&read(GOOD), GOOD), (&read(&other), &other));
        assert_eq!(told.sentences, ["The route “a” has another to: life-rooms before, link-workers now."]);
        let of = |kind: &str| told.lines.iter().filter(|l| l.kind == kind).map(|l| l.text.as_str()).collect::<Vec<_>>();
        assert_eq!((of("gone"), of("new")), (vec!["to = \"life-rooms\""], vec!["to = \"link-workers\""]));
        let none = compared((&read(GOOD), GOOD), (&read(GOOD), GOOD));
        assert!(none.sentences.is_empty() && none.lines.is_empty());
    }

    #[test]
    fn no_more_lines_are_shown_than_may_be() {
        let new: String = (0..3 * LINES_MAX).map(|n| format!("# {n}\n")).collect();
        let (shown, cut) = lines("", &new);
        assert_eq!((shown.len(), cut), (LINES_MAX, true));
    }
}

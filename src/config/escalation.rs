//! Reads how long providers have, and when people work: `[escalation]` and the keys of an inbox.

use std::collections::BTreeSet;

use jiff::civil::Date;

use crate::{
    domain::{
        deadline::Escalation,
        working_days::{WorkingHours, WorkingTime},
    },
    routing::within,
    toml_reader::{Node, Table},
};

const HOURS: &str = "working hours such as \"09:00-17:00\"";
const DAY: &str = "days, each such as \"2027-05-03\"";
const DAYS_MAX: usize = 1_000;

/// `[escalation]`: what holds for an inbox that says nothing else, and when people work.
pub(super) fn read(mut table: Table<'_>) -> (Escalation, WorkingTime) {
    let escalation = of_inbox(&mut table, Escalation::default());
    let hours = table.get("working-hours").and_then(|node| node.parse::<WorkingHours>(HOURS));
    let holidays = days(table.get("holidays"));
    let working_days = days(table.get("working-days"));
    for day in working_days.intersection(&holidays) {
        table.fault(
            "working-days",
            format!("found {day}, which stands under holidays as well; allowed: one of the two"),
        );
    }
    table.finish();
    (escalation, WorkingTime { hours, holidays, working_days })
}

/// `acknowledge-within` and `answer-within`; what is not there is as in `default`.
pub(super) fn of_inbox(table: &mut Table<'_>, default: Escalation) -> Escalation {
    let acknowledge_within = table.get("acknowledge-within").and_then(|node| within(&node));
    let answer_within = table.get("answer-within").and_then(|node| within(&node));
    Escalation {
        acknowledge_within: acknowledge_within.unwrap_or(default.acknowledge_within),
        answer_within: answer_within.unwrap_or(default.answer_within),
    }
}

fn days(node: Option<Node<'_>>) -> BTreeSet<Date> {
    let Some(node) = node else { return BTreeSet::new() };
    let items = node.items(DAY);
    if items.len() > DAYS_MAX {
        node.fault(&format!("{} days", items.len()), format!("at most {DAYS_MAX}"));
        return BTreeSet::new();
    }
    items.iter().filter_map(|item| item.parse::<Date>(DAY)).collect()
}

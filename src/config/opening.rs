//! When an inbox takes referrals, and how many: `open`, `closed` and `capacity` of an inbox.

use jiff::civil::Date;

use crate::toml_reader::{Node, Table};

const DAYS: &str = "days such as { from = \"2026-12-24\", to = \"2027-01-02\" }";
const DAY: &str = "a day such as \"2026-12-24\"";
/// So many times of closing are read.
const CLOSED_MAX: usize = 200;
/// No inbox is given a greater capacity; what is without bound has none.
const CAPACITY_MAX: u32 = 1_000_000;

/// When an inbox takes referrals, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// Whether it takes any at all. Default true.
    pub open: bool,
    /// Days on which it takes none, in London; both ends included.
    pub closed: Vec<(Date, Date)>,
    /// So many Tasks may be open in it at once; none: as many as come.
    pub capacity: Option<u32>,
}

impl Default for Opening {
    fn default() -> Self {
        Self { open: true, closed: Vec::new(), capacity: None }
    }
}

impl Opening {
    /// Whether it takes nothing on this day.
    pub fn is_closed(&self, day: Date) -> bool {
        !self.open || self.closed.iter().any(|(from, to)| (*from..=*to).contains(&day))
    }
}

/// `open`, `closed` and `capacity`
pub(super) fn of_inbox(table: &mut Table<'_>) -> Opening {
    let open = table.get("open").and_then(|node| node.bool()).unwrap_or(true);
    let closed = table.get("closed").map(|node| days(&node)).unwrap_or_default();
    let capacity = table.get("capacity").and_then(|node| node.number(1, CAPACITY_MAX));
    if !open {
        table.warn("open", "false: this inbox takes no referral; what stands in for it, or triage, does");
    }
    Opening { open, closed, capacity }
}

fn days(node: &Node<'_>) -> Vec<(Date, Date)> {
    let items = node.items(DAYS);
    if items.len() > CLOSED_MAX {
        node.fault(&format!("{} times of closing", items.len()), format!("at most {CLOSED_MAX}"));
        return Vec::new();
    }
    let one = |item: &Node<'_>| {
        let mut table = item.table(DAYS)?;
        let from = table.need("from", DAY).and_then(|node| node.parse::<Date>(DAY));
        let to = table.need("to", DAY).and_then(|node| node.parse::<Date>(DAY));
        table.finish();
        let (from, to) = (from?, to?);
        if to < from {
            item.fault(&format!("from {from} to {to}"), "a last day that is not before the first");
            return None;
        }
        Some((from, to))
    };
    items.iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_closed_and_nothing_beside_them() {
        let day = |text: &str| text.parse::<Date>().unwrap();
        let opening = Opening { closed: vec![(day("2026-12-24"), day("2027-01-02"))], ..Opening::default() };
        for (text, closed) in [("2026-12-23", false), ("2026-12-24", true), ("2027-01-02", true), ("2027-01-03", false)]
        {
            assert_eq!(opening.is_closed(day(text)), closed, "{text}");
        }
        assert!(Opening { open: false, ..Opening::default() }.is_closed(day("2026-12-23")));
    }
}

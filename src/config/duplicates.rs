//! Reads what becomes of a referral of a person of whom another one is open at the same service: `[duplicates]`.

use super::registry::SamePerson;
use crate::toml_reader::Table;

pub(super) fn read(mut table: Table<'_>) -> SamePerson {
    let words = [("off", SamePerson::Off), ("warn", SamePerson::Warn), ("refuse", SamePerson::Refuse)];
    let same_person = table.get("same-person").and_then(|node| node.choice(&words)).unwrap_or_default();
    table.finish();
    same_person
}

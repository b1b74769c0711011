//! Reads `[directory]`: what is told of the directory, and to whom.

use crate::toml_reader::Table;

/// Of fewer answers nothing is told, whatever the configuration would like.
const MINIMUM_COUNT_LEAST: u32 = 5;
const MINIMUM_COUNT_MOST: u32 = 1_000;

/// `[directory]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Directory {
    /// What was measured of an inbox is told of so many answers or more. Default 10.
    pub minimum_count: u32,
    /// Whether anybody may read the directory as open data, without a token. Default no.
    pub open: bool,
}

impl Default for Directory {
    fn default() -> Self {
        Self { minimum_count: 10, open: false }
    }
}

/// `[directory]`
pub(super) fn read(mut table: Table<'_>) -> Directory {
    let default = Directory::default();
    let minimum_count =
        table.get("minimum-count").and_then(|node| node.number(MINIMUM_COUNT_LEAST, MINIMUM_COUNT_MOST));
    let open = table.get("open").and_then(|node| node.bool());
    table.finish();
    let minimum_count = minimum_count.unwrap_or(default.minimum_count);
    Directory { minimum_count, open: open.unwrap_or(default.open) }
}

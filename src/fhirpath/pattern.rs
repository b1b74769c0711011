//! Regular expressions, in linear time whatever they look like.

use regex::{Regex, RegexBuilder};

/// What a compiled pattern may weigh.
const PATTERN_MAX_BYTES: usize = 2 * 1024 * 1024;

/// A pattern that was compiled when its expression was read.
#[derive(Debug, Clone)]
pub(super) struct Pattern(pub(super) Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// Compiles a pattern; `whole` where the whole text must match. None where it is none, or too great.
pub(super) fn compile(text: &str, whole: bool) -> Option<Regex> {
    let anchored = if whole { format!("^(?:{text})$") } else { text.to_owned() };
    // N1: "single line" mode, so that a point stands for a line end, too
    RegexBuilder::new(&anchored)
        .dot_matches_new_line(true)
        .size_limit(PATTERN_MAX_BYTES)
        .dfa_size_limit(PATTERN_MAX_BYTES)
        .nest_limit(50)
        .build()
        .ok()
}

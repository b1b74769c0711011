//! Faults of a route file, shown with the line they are about.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::config::Fault;

/// A fault with its line, what is wrong marked in it, and what is allowed.
pub(super) fn fault(fault: &Fault, text: &str) -> String {
    shown(fault, text, Level::ERROR)
}

/// What is legal but risky, likewise.
pub(super) fn warning(warning: &Fault, text: &str) -> String {
    shown(warning, text, Level::WARNING)
}

fn shown(fault: &Fault, text: &str, level: Level<'_>) -> String {
    let (title, allowed) = fault.divided();
    let title = match fault.key.as_str() {
        "" => title.to_owned(),
        key => format!("{key}: {title}"),
    };
    let mut group = match span(fault, text) {
        Some(span) => {
            let marked = AnnotationKind::Primary.span(span);
            let snippet = Snippet::source(text).path(fault.file.as_str()).annotation(marked);
            level.primary_title(&title).element(snippet)
        }
        // a file as a whole has no line
        None => return format!("error: {fault}"),
    };
    if let Some(allowed) = &allowed {
        group = group.element(Level::HELP.message(allowed.as_str()));
    }
    Renderer::plain().render(&[group])
}

/// The bytes of what stands there: a text with its quotes, or a word.
fn span(fault: &Fault, text: &str) -> Option<Range<usize>> {
    let line_at = match fault.line.checked_sub(1)? {
        0 => 0,
        before => text.match_indices('\n').nth(before - 1).map(|(at, _)| at + 1)?,
    };
    let line = text.get(line_at..)?.lines().next()?;
    let from = line.char_indices().nth(fault.column.checked_sub(1)?).map_or(line.len(), |(at, _)| at);
    let rest = line.get(from..)?;
    let length = match rest.chars().next() {
        Some(quote @ ('"' | '\'')) => rest.get(1..)?.find(quote).map_or(rest.len(), |at| at + 2),
        Some('[' | '{') => rest.len(),
        _ => rest.find(|c: char| c.is_whitespace() || matches!(c, ',' | ']' | '}' | '=')).unwrap_or(rest.len()),
    };
    Some(line_at + from..line_at + from + length.max(1).min(rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_marked_in_its_line() {
        let text = "# ä\nto = [\"a\", \"nowhere\"]\n";
        let fault = |line, column, message: &str| Fault {
            file: "routes.toml".to_owned(),
            line,
            column,
            key: "route[0].to[1]".to_owned(),
            message: message.to_owned(),
        };
        let shown = super::fault(&fault(2, 12, "found \"nowhere\", which is no inbox; allowed: one of a, b"), text);
        let expected = "error: route[0].to[1]: found \"nowhere\", which is no inbox\n \
                        --> routes.toml:2:12\n  |\n2 | to = [\"a\", \"nowhere\"]\n  |            ^^^^^^^^^\n  |\n  \
                        = help: allowed: one of a, b";
        assert_eq!(shown, expected, "{shown}");
        for (line, column) in [(0, 0), (9, 1), (2, 99)] {
            assert!(super::fault(&fault(line, column, "x"), text).contains('x'));
        }
    }
}

//! Quotes that begin a cell and do not end it: a reader of CSV takes what follows, other rows among it, for one cell.

/// A cell that begins with such a quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Open {
    /// Where its row begins, in bytes.
    pub(super) row: usize,
    /// Its line, from 1.
    pub(super) line: u64,
}

/// The first quote that begins a cell and is followed by none that ends it: one with a separator, the end of the line or of the text
/// behind it. In such a cell a quote stands for itself where it is written twice (RFC 4180, section 2).
pub(super) fn open(text: &str, separator: u8) -> Option<Open> {
    let bytes = text.as_bytes();
    let (mut at, mut line, mut row, mut begins) = (0, 1, 0, true);
    while let Some(byte) = bytes.get(at) {
        if begins && *byte == b'"' {
            let Some(end) = closing(bytes, at + 1).filter(|end| is_end(bytes, end + 1, separator)) else {
                return Some(Open { row, line });
            };
            let within = bytes.get(at..end).unwrap_or_default();
            line += within.iter().filter(|byte| **byte == b'\n').count() as u64;
            (at, begins) = (end + 1, false);
            continue;
        }
        at += 1;
        begins = *byte == separator;
        if matches!(byte, b'\r' | b'\n') {
            (row, begins) = (at, true);
            line += u64::from(*byte == b'\n');
        }
    }
    None
}

/// Where the quote is that is not written twice.
fn closing(bytes: &[u8], mut at: usize) -> Option<usize> {
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' if bytes.get(at + 1) == Some(&b'"') => at += 2,
            b'"' => return Some(at),
            _ => at += 1,
        }
    }
    None
}

/// Whether a cell ends here, spaces apart.
fn is_end(bytes: &[u8], at: usize, separator: u8) -> bool {
    let next = bytes.iter().skip(at).find(|byte| **byte != b' ');
    next.is_none_or(|byte| *byte == separator || matches!(byte, b'\r' | b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_that_nothing_closes_is_found_with_its_line() {
        for good in ["", "a,b\n", "\"a\nb\",\"c \"\"d\"\"\"\r\n", "5\" pipe,x\n", "a,\"b\" ,c", "\"\"\n", "a,\"b\""] {
            assert_eq!(open(good, b','), None, "{good:?}");
        }
        assert_eq!(open("a;\"b\"", b','), None, "no cell begins with it");
        for (bad, row, line) in [
            ("\"", 0, 1),
            ("a,b\n\"c\nd\",e\nf,\"g\nh\n", 12, 4),
            ("a,b\nc,\"d\ne,\"f\",g\n", 4, 2),
            ("a\r\"b\"c\"\n", 2, 1),
            ("a\n\"b\"\"\n", 2, 2),
        ] {
            assert_eq!(open(bad, b','), Some(Open { row, line }), "{bad:?}");
        }
    }
}

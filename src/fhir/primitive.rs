//! The values of R4's primitive types: their form as the specification's regular expressions prescribe it, their range, and dates
//! that exist (datatypes.html#primitive).

use serde_json::{Number, Value};

use super::{datetime, reference::is_id};
use crate::definitions::Primitive;

/// R4: strings do not exceed 1024*1024 characters.
const STRING_MAX_CHARS: usize = 1024 * 1024;

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is of another JSON type; which it is to be.
    Shape(&'static str),
    /// It is not written, or not as great, as it must be; what would be right.
    Form(&'static str),
}

/// What is wrong with the value of a primitive, where something is.
pub fn fault(of: Primitive, value: &Value) -> Option<Fault> {
    match of {
        Primitive::Boolean => (!value.is_boolean()).then_some(Fault::Shape("true or false")),
        Primitive::Integer | Primitive::UnsignedInt | Primitive::PositiveInt | Primitive::Decimal => match value {
            Value::Number(number) => number_fault(of, number).map(Fault::Form),
            _ => Some(Fault::Shape("a number")),
        },
        _ => match value {
            Value::String(text) => text_fault(of, text).map(Fault::Form),
            _ => Some(Fault::Shape("a text")),
        },
    }
}

fn number_fault(of: Primitive, number: &Number) -> Option<&'static str> {
    let (least, due) = match of {
        Primitive::Integer => (i64::from(i32::MIN), "a whole number from -2147483648 to 2147483647"),
        Primitive::UnsignedInt => (0, "a whole number from 0 to 2147483647"),
        Primitive::PositiveInt => (1, "a whole number from 1 to 2147483647"),
        _ => return None,
    };
    let fits = number.as_i64().is_some_and(|n| n >= least && n <= i64::from(i32::MAX));
    // -0 is no integer by the regular expression, nor is 1e2, which would be read as one
    (!fits || number.as_str() == "-0").then_some(due)
}

/// What would be right, where the text of a primitive is wrong.
pub fn text_fault(of: Primitive, text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("a text of at least one character");
    }
    let (fits, due) = match of {
        Primitive::Date => (datetime::is_date(text), "a date that exists: 2026, 2026-03 or 2026-03-01"),
        Primitive::DateTime => {
            (datetime::is_date_time(text), "a date that exists, or a time with its zone like 2026-03-01T09:30:00+00:00")
        }
        Primitive::Instant => (datetime::is_instant(text), "a time with its zone like 2026-03-01T09:30:00+00:00"),
        Primitive::Time => (datetime::is_time(text), "a time of day like 09:30:00, without a zone"),
        Primitive::Id => (is_id(text), "an id: 1 to 64 of A-Z, a-z, 0-9, “-” and “.”"),
        Primitive::Code => (is_code(text), "a code: no white space around it, and single spaces within"),
        Primitive::Uri | Primitive::Url | Primitive::Canonical => {
            (is_uri(text), "a URI: no white space in it, and no control character")
        }
        Primitive::Oid => (is_oid(text), "an OID like urn:oid:1.2.3.4"),
        Primitive::Uuid => (is_uuid(text), "a UUID like urn:uuid:c757873d-ec9a-4326-a141-556f43239520"),
        Primitive::Base64Binary => (is_base64(text), "base64: groups of four characters, padded with “=”"),
        Primitive::String | Primitive::Markdown | Primitive::Xhtml => {
            if text.len() > STRING_MAX_CHARS && text.chars().count() > STRING_MAX_CHARS {
                return Some("a text of 1,048,576 characters at most");
            }
            (is_plain(text), "a text without control characters, tab and line ends apart")
        }
        Primitive::Boolean
        | Primitive::Integer
        | Primitive::UnsignedInt
        | Primitive::PositiveInt
        | Primitive::Decimal => return None,
    };
    (!fits).then_some(due)
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| b >= b' ' || matches!(b, b'\t' | b'\n' | b'\r'))
}

/// `[^\s]+(\s[^\s]+)*`
fn is_code(text: &str) -> bool {
    let mut spaced = true;
    for c in text.chars() {
        let space = c.is_whitespace();
        if space && spaced || c.is_control() && !space {
            return false;
        }
        spaced = space;
    }
    !spaced
}

/// `\S*`
fn is_uri(text: &str) -> bool {
    text.chars().all(|c| !c.is_whitespace() && !c.is_control())
}

/// `urn:oid:[0-2](\.(0|[1-9][0-9]*))+`
fn is_oid(text: &str) -> bool {
    let Some((root, arcs)) = text.strip_prefix("urn:oid:").and_then(|rest| rest.split_once('.')) else { return false };
    let is_arc =
        |arc: &str| !arc.is_empty() && arc.bytes().all(|b| b.is_ascii_digit()) && (arc == "0" || !arc.starts_with('0'));
    matches!(root, "0" | "1" | "2") && arcs.split('.').all(is_arc)
}

/// `urn:uuid:` and a UUID in small letters (RFC 4122).
fn is_uuid(text: &str) -> bool {
    let Some(uuid) = text.strip_prefix("urn:uuid:") else { return false };
    let is_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    uuid.len() == 36
        && uuid.bytes().enumerate().all(|(at, b)| if matches!(at, 8 | 13 | 18 | 23) { b == b'-' } else { is_hex(b) })
}

/// Characters of base64 in groups of four, white space between them wherever it likes.
fn is_base64(text: &str) -> bool {
    let (mut count, mut padding) = (0usize, 0usize);
    for b in text.bytes() {
        match b {
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            b'=' => padding += 1,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => {}
            _ => return false,
        }
        count += 1;
    }
    count > 0 && count.is_multiple_of(4) && padding <= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(of: Primitive, values: &[&str]) {
        for value in values {
            let value: Value = serde_json::from_str(value).unwrap();
            assert_eq!(fault(of, &value), None, "{of:?} {value}");
        }
    }

    fn bad(of: Primitive, values: &[&str]) {
        for value in values {
            let value: Value = serde_json::from_str(value).unwrap();
            assert!(matches!(fault(of, &value), Some(Fault::Form(_))), "{of:?} {value}");
        }
    }

    #[test]
    fn each_is_of_its_json_type() {
        for (of, other) in [
            (Primitive::Boolean, "\"true\""),
            (Primitive::Integer, "\"1\""),
            (Primitive::Decimal, "\"1.0\""),
            (Primitive::Code, "1"),
            (Primitive::String, "true"),
            (Primitive::Date, "2020"),
            (Primitive::Uri, "[\"a\"]"),
            (Primitive::String, "{}"),
        ] {
            let value: Value = serde_json::from_str(other).unwrap();
            assert!(matches!(fault(of, &value), Some(Fault::Shape(_))), "{of:?} {other}");
        }
        good(Primitive::Boolean, &["true", "false"]);
    }

    #[test]
    fn numbers_have_their_range_and_form() {
        good(Primitive::Integer, &["0", "-1", "2147483647", "-2147483648"]);
        bad(Primitive::Integer, &["2147483648", "-2147483649", "1.0", "1e2", "-0", "1.5"]);
        good(Primitive::UnsignedInt, &["0", "2147483647"]);
        bad(Primitive::UnsignedInt, &["-1", "2147483648", "0.0"]);
        good(Primitive::PositiveInt, &["1", "2147483647"]);
        bad(Primitive::PositiveInt, &["0", "-1"]);
        good(Primitive::Decimal, &["0", "-0.00", "1.50", "1e-9", "1.5E10", "123456789012345678.123456789"]);
    }

    #[test]
    fn texts_have_their_form() {
        good(Primitive::Date, &["\"2026\"", "\"2026-02\"", "\"2024-02-29\""]);
        bad(
            Primitive::Date,
            &["\"\"", "\"2026-02-29\"", "\"2026-13\"", "\"26\"", "\"2026-1-1\"", "\"2026-01-01T00:00:00Z\""],
        );
        good(Primitive::DateTime, &["\"2026\"", "\"2026-01-01T23:59:60Z\"", "\"2026-01-01T00:00:00.123-14:00\""]);
        bad(Primitive::DateTime, &["\"2026-01-01T10:00Z\"", "\"2026-01-01T10:00:00\"", "\"2026-01-01T24:00:00Z\""]);
        good(Primitive::Instant, &["\"2015-02-07T13:28:17.239+02:00\""]);
        bad(Primitive::Instant, &["\"2015-02-07\"", "\"2015\""]);
        good(Primitive::Time, &["\"09:30:00\"", "\"23:59:60.5\""]);
        bad(Primitive::Time, &["\"9:30:00\"", "\"09:30\"", "\"24:00:00\"", "\"09:30:00Z\""]);
        good(Primitive::Id, &["\"a\"", "\"A-1.b\"", &format!("\"{}\"", "x".repeat(64))]);
        bad(Primitive::Id, &["\"\"", "\"a_b\"", "\"a b\"", &format!("\"{}\"", "x".repeat(65))]);
        good(Primitive::Code, &["\"a\"", "\"a b\"", "\"é=1\""]);
        bad(Primitive::Code, &["\" a\"", "\"a \"", "\"a  b\"", "\"a\\u0001b\""]);
        good(Primitive::Uri, &["\"urn:x:y\"", "\"http://example.org/a?b#c\"", "\"#x\""]);
        bad(Primitive::Uri, &["\"http://a b\"", "\" http://a\"", "\"\""]);
        good(Primitive::Oid, &["\"urn:oid:1.2.3\"", "\"urn:oid:2.16.840.0.1\""]);
        bad(Primitive::Oid, &["\"1.2.3\"", "\"urn:oid:3.1\"", "\"urn:oid:1\"", "\"urn:oid:1.02\"", "\"urn:oid:1..2\""]);
        good(Primitive::Uuid, &["\"urn:uuid:c757873d-ec9a-4326-a141-556f43239520\""]);
        bad(
            Primitive::Uuid,
            &["\"c757873d-ec9a-4326-a141-556f43239520\"", "\"urn:uuid:C757873D-EC9A-4326-A141-556F43239520\""],
        );
        good(Primitive::Base64Binary, &["\"YQ==\"", "\"YWJj\"", "\" YW Jj\\nYWI= \""]);
        bad(Primitive::Base64Binary, &["\"YQ=\"", "\"Y===\"", "\"YQ==YQ==\"", "\"Y-_j\"", "\" \""]);
        good(Primitive::String, &["\"a\\tb\\r\\n\"", "\" \"", "\"\\u00a0\""]);
        bad(
            Primitive::String,
            &["\"\"", "\"a\\u0000b\"", "\"\\u001b\"", &format!("\"{}\"", "é".repeat(STRING_MAX_CHARS + 1))],
        );
        good(Primitive::Markdown, &["\"# a\""]);
    }
}

//! What a client would like: `Prefer` (RFC 7240), as far as FHIR speaks of it (R4 http, 3.1.0.1.9 and search, 3.1.1.1).

use axum::http::HeaderMap;

/// What is to become of a parameter that is not known: `Prefer: handling=…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// The request is refused.
    Strict,
    /// It is left out.
    Lenient,
}

/// What is answered to a write: the values of `Prefer: return=…`, as FHIR spells them.
const RETURNS: [&str; 3] = ["minimal", "representation", "OperationOutcome"];

/// What `return=…` asks for, as FHIR spells it, however it was written. None where nothing that is known is asked for.
pub(super) fn return_of(headers: &HeaderMap) -> Option<&'static str> {
    let asked = preference(headers, "return")?;
    RETURNS.into_iter().find(|known| known.eq_ignore_ascii_case(&asked))
}

/// What `handling=…` asks for.
pub(super) fn handling_of(headers: &HeaderMap) -> Option<Handling> {
    let asked = preference(headers, "handling")?;
    let known = [("strict", Handling::Strict), ("lenient", Handling::Lenient)];
    known.into_iter().find(|(word, _)| asked.eq_ignore_ascii_case(word)).map(|(_, handling)| handling)
}

/// The value of a preference. Where it stands more than once the first counts (RFC 7240, 2).
fn preference(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(parts).find_map(|part| {
        let (named, value) = part.split_once('=')?;
        named.trim().eq_ignore_ascii_case(name).then(|| plain(value.trim()))
    })
}

/// What stands between commas, or between semicolons: those begin parameters, but clients use them between preferences, too.
fn parts(line: &str) -> Vec<&str> {
    let (mut parts, mut begun) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (at, letter) in line.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' | ';' if !quoted => {
                parts.push(&line[begun..at]);
                begun = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&line[begun..]);
    parts
}

/// A value without the quotes it may stand in (RFC 9110, 5.6.4).
fn plain(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return value.to_owned() };
    let mut escaped = false;
    let keep = |letter: &char| {
        escaped = *letter == '\\' && !escaped;
        !escaped
    };
    inner.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (axum::http::HeaderName::from_static("prefer"), line.parse().unwrap())).collect()
    }

    #[test]
    fn preferences_are_found_however_they_are_written() {
        for lines in [
            &["return=minimal"][..],
            &["Return = Minimal"],
            &["return=\"minimal\""],
            &["return=\"mini\\mal\""],
            &["respond-async, wait=10", "handling=lenient, return=minimal"],
            &["handling=strict; return=minimal"],
            &["foo=\"a, return=representation; b\", return=minimal"],
            &["foo=\"\\\"return=representation\", return=minimal"],
            &["return=minimal, return=representation"],
        ] {
            assert_eq!(return_of(&headers(lines)), Some("minimal"), "{lines:?}");
        }
        assert_eq!(return_of(&headers(&["RETURN=operationoutcome"])), Some("OperationOutcome"));
        for lines in [&["return"][..], &["return=all"], &["returns=minimal"], &["x=\"return=minimal\""], &[""], &["\""]]
        {
            assert_eq!(return_of(&headers(lines)), None, "{lines:?}");
        }
    }

    #[test]
    fn handling_is_strict_or_lenient_or_not_said() {
        assert_eq!(handling_of(&headers(&["Handling=STRICT"])), Some(Handling::Strict));
        assert_eq!(handling_of(&headers(&["return=minimal", "handling=\"lenient\""])), Some(Handling::Lenient));
        assert_eq!(handling_of(&headers(&["handling=kind"])), None);
        assert_eq!(handling_of(&headers(&[])), None);
    }
}

//! The R4 types date, dateTime, instant and time: the form that the specification prescribes, and a day that exists.

use jiff::{Timestamp, civil::Date};
use serde_json::Value;

/// Whether this is an R4 `date`: a year, a month or a day.
pub fn is_date(text: &str) -> bool {
    date(text).is_some_and(|(_, rest)| rest.is_empty())
}

/// Whether this is an R4 `dateTime`: a `date`, or a day with a time to the second and an offset.
pub fn is_date_time(text: &str) -> bool {
    is_date(text) || is_instant(text)
}

/// Whether this is an R4 `instant`: a day with a time at least to the second and an offset.
pub fn is_instant(text: &str) -> bool {
    matches!(date(text), Some((Precision::Day, rest)) if is_time_with_offset(rest))
}

/// Whether this is an R4 `time`: a time of day to the second, without an offset.
pub fn is_time(text: &str) -> bool {
    time(text).is_some_and(str::is_empty)
}

/// The moment of a `dateTime` that has a time and an offset; none for a bare date or for what R4 does not allow. A leap second
/// counts as the one before it, what is finer than a nanosecond is cut off.
pub fn parse_instant(text: &str) -> Option<Timestamp> {
    if !is_instant(text) {
        return None;
    }
    if let Ok(at) = text.parse() {
        return Some(at);
    }
    let (head, tail) = text.split_once('.')?;
    let zone = tail.find(|c: char| !c.is_ascii_digit())?;
    format!("{head}.{}{}", tail.get(..zone.min(9))?, tail.get(zone..)?).parse().ok()
}

/// The first moment in UTC that an R4 `date` or `dateTime` covers: of `2025` the first of January.
pub fn earliest(text: &str) -> Option<Timestamp> {
    if !is_date(text) {
        return parse_instant(text);
    }
    let rest = "0000-01-01".get(text.len()..)?;
    format!("{text}{rest}T00:00:00Z").parse().ok()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Precision {
    Year,
    Month,
    Day,
}

/// The date at the start and what follows it.
fn date(text: &str) -> Option<(Precision, &str)> {
    let (year, rest) = digits(text, 4)?;
    if year == 0 {
        return None;
    }
    let Some(after) = rest.strip_prefix('-') else { return Some((Precision::Year, rest)) };
    let (month, rest) = digits(after, 2)?;
    if !(1..=12).contains(&month) {
        return None;
    }
    let Some(after) = rest.strip_prefix('-') else { return Some((Precision::Month, rest)) };
    let (day, rest) = digits(after, 2)?;
    let exists = Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).is_ok();
    exists.then_some((Precision::Day, rest))
}

fn is_time_with_offset(text: &str) -> bool {
    text.strip_prefix('T').and_then(time).is_some_and(is_offset)
}

/// What follows a time of day that stands at the start.
fn time(text: &str) -> Option<&str> {
    let (hour, rest) = digits(text, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (second, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => {
            let after = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            (after.len() < fraction.len()).then_some(after)?
        }
        None => rest,
    };
    (hour <= 23 && minute <= 59 && second <= 60).then_some(rest)
}

fn is_offset(text: &str) -> bool {
    let ahead = || -> Option<bool> {
        let (hour, rest) = digits(text.strip_prefix(['+', '-'])?, 2)?;
        let (minute, rest) = digits(rest.strip_prefix(':')?, 2)?;
        Some(rest.is_empty() && (hour <= 13 && minute <= 59 || hour == 14 && minute == 0))
    };
    text == "Z" || ahead().unwrap_or(false)
}

/// The number that the first `count` bytes write, and what follows.
fn digits(text: &str, count: usize) -> Option<(i16, &str)> {
    let (start, rest) = text.split_at_checked(count)?;
    if start.bytes().all(|b| b.is_ascii_digit()) { Some((start.parse().ok()?, rest)) } else { None }
}

/// Whether a Period holds on a day, or moment, of which the day counts; without one, an end means ended. FHIR's dates may stop at the
/// year or month: only the part that both have is compared.
pub fn is_current(period: &Value, on: Option<&str>) -> bool {
    let day = |text: &str| text.get(..10).unwrap_or(text).to_owned();
    let of = |name| period.get(name).and_then(Value::as_str).map(day);
    let (start, end) = (of("start"), of("end"));
    let Some(on) = on.map(day) else { return end.is_none() };
    let before = |a: &str, b: &str| a.get(..a.len().min(b.len())) < b.get(..a.len().min(b.len()));
    !end.is_some_and(|end| before(&end, &on)) && !start.is_some_and(|start| before(&on, &start))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn r4_dates_and_no_others() {
        for good in ["2024", "2024-02", "2024-02-29", "0001-01-01", "9999-12-31"] {
            assert!(is_date(good) && is_date_time(good) && !is_instant(good), "{good}");
        }
        for bad in [
            "",
            "24",
            "0000",
            "2024-",
            "2024-13",
            "2024-00",
            "2023-02-29",
            "2024-02-30",
            "2024-04-31",
            "20240401",
            "2024/04/01",
            "2024-4-1",
            " 2024",
            "2024-04-01T",
            "２０２４",
            "2024-04-01 ",
        ] {
            assert!(!is_date(bad) && !is_date_time(bad) && !is_instant(bad), "{bad}");
        }
    }

    #[test]
    fn r4_times_and_no_others() {
        for good in [
            "2015-02-07T13:28:17.239+02:00",
            "2017-01-01T00:00:00Z",
            "2016-12-31T23:59:60Z",
            "2017-01-01T00:00:00.123456789012-14:00",
        ] {
            assert!(is_instant(good) && is_date_time(good) && !is_date(good), "{good}");
            assert!(parse_instant(good).is_some(), "{good}");
        }
        for bad in [
            "2017-01-01T24:00:00Z",
            "2017-01-01T00:00Z",
            "2017-01-01T00:00:00",
            "2017-01-01T00:00:00.Z",
            "2017-01-01 00:00:00Z",
            "2017-01-01T00:00:00z",
            "2017-01-01T00:00:00+14:30",
            "2017-01-01T00:60:00Z",
            "2017-01-01T00:00:61Z",
            "2017-01T00:00:00Z",
            "2017-01-01T00:00:00+1:00",
            "2017-02-30T00:00:00Z",
        ] {
            assert!(!is_instant(bad) && !is_date_time(bad), "{bad}");
            assert_eq!(parse_instant(bad), None, "{bad}");
        }
    }

    #[test]
    fn moments_are_found() {
        let at = |text: &str| earliest(text).unwrap().to_string();
        assert_eq!(at("2024"), "2024-01-01T00:00:00Z");
        assert_eq!(at("2024-02"), "2024-02-01T00:00:00Z");
        assert_eq!(at("2024-02-29"), "2024-02-29T00:00:00Z");
        assert_eq!(at("2015-02-07T13:28:17.239+02:00"), "2015-02-07T11:28:17.239Z");
        assert_eq!(at("2015-02-07T13:28:17.12345678901Z"), "2015-02-07T13:28:17.123456789Z");
    }

    proptest! {
        #[test]
        fn no_text_crashes_it(text in "[0-9TZ:.+é-]{0,32}") {
            prop_assert_eq!(is_instant(&text), parse_instant(&text).is_some());
        }

        #[test]
        fn what_jiff_writes_is_an_instant(micros in -62_135_596_800_000_000i64..253_402_207_200_000_000) {
            let at = Timestamp::from_microsecond(micros).unwrap();
            prop_assert!(is_instant(&at.to_string()));
            prop_assert_eq!(parse_instant(&at.to_string()), Some(at));
        }
    }
}

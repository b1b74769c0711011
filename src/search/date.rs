//! Dates in a search: the time that each stands for, and how two such times lie to each other (R4 search, 3.1.1.5.6).

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use serde_json::Value;

/// From a moment up to another, which is not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub from: Timestamp,
    pub to: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prefix {
    Eq,
    Ne,
    Gt,
    Lt,
    Ge,
    Le,
    /// Starts after.
    Sa,
    /// Ends before.
    Eb,
    /// Approximately: within a tenth of the time from now to then.
    Ap,
}

impl Prefix {
    /// The prefix of a value, and the rest of it.
    pub fn of(value: &str) -> (Self, &str) {
        let known = match value.get(..2) {
            Some("eq") => Self::Eq,
            Some("ne") => Self::Ne,
            Some("gt") => Self::Gt,
            Some("lt") => Self::Lt,
            Some("ge") => Self::Ge,
            Some("le") => Self::Le,
            Some("sa") => Self::Sa,
            Some("eb") => Self::Eb,
            Some("ap") => Self::Ap,
            _ => return (Self::Eq, value),
        };
        (known, value.get(2..).unwrap_or_default())
    }

    /// Whether what is there (`found`) lies so to what is looked for.
    pub fn holds(self, wanted: Span, found: Span, now: Timestamp) -> bool {
        let within = wanted.from <= found.from && found.to <= wanted.to;
        match self {
            Self::Eq => within,
            Self::Ne => !within,
            Self::Gt => found.to > wanted.to,
            Self::Lt => found.from < wanted.from,
            Self::Ge => found.to > wanted.to || within,
            Self::Le => found.from < wanted.from || within,
            Self::Sa => found.from >= wanted.to,
            Self::Eb => found.to <= wanted.from,
            Self::Ap => {
                let far = |at: Timestamp| SignedDuration::from_secs(at.duration_since(now).as_secs().abs() / 10);
                let from = wanted.from.checked_sub(far(wanted.from)).unwrap_or(Timestamp::MIN);
                let to = wanted.to.checked_add(far(wanted.to)).unwrap_or(Timestamp::MAX);
                found.from < to && from < found.to
            }
        }
    }
}

impl Span {
    /// The time that a date stands for, as precisely as it is written: a year, a month, a day, a minute, a second or less. Without
    /// an offset it is of UTC.
    pub fn of(text: &str) -> Option<Self> {
        let (date, time) = match text.split_once('T') {
            Some((date, time)) => (date, Some(time)),
            None => (text, None),
        };
        let (year, rest) = number(date, 4)?;
        let (month, rest) = part(rest, '-')?;
        let (day, rest) = part(rest, '-')?;
        if !rest.is_empty() || (time.is_some() && day.is_none()) {
            return None;
        }
        let first = Date::new(year, month.unwrap_or(1), day.unwrap_or(1)).ok()?;
        let start = first.to_zoned(TimeZone::UTC).ok()?.timestamp();
        let Some(time) = time else {
            let next = match (month, day) {
                (_, Some(_)) => first.tomorrow().ok(),
                (Some(_), None) => first.last_of_month().tomorrow().ok(),
                (None, None) => first.last_of_year().tomorrow().ok(),
            };
            let to = next.and_then(|next| next.to_zoned(TimeZone::UTC).ok()).map_or(Timestamp::MAX, |z| z.timestamp());
            return Some(Self { from: start, to });
        };
        let (into_day, lasts) = Self::within_day(time)?;
        let from = start.checked_add(into_day).ok()?;
        Some(Self { from, to: from.checked_add(lasts).unwrap_or(Timestamp::MAX) })
    }

    /// How far into the day a time of day lies, its offset taken off, and how long what it stands for lasts.
    fn within_day(time: &str) -> Option<(SignedDuration, SignedDuration)> {
        let (time, ahead) = match time.strip_suffix('Z') {
            Some(time) => (time, 0),
            None => match time.rfind(['+', '-']) {
                Some(at) => {
                    let (time, offset) = time.split_at_checked(at)?;
                    let (hour, rest): (u8, _) = number(offset.get(1..)?, 2)?;
                    let (minute, rest): (u8, _) = number(rest.strip_prefix(':')?, 2)?;
                    let minutes = i64::from(hour) * 60 + i64::from(minute);
                    if !rest.is_empty() || minute > 59 || minutes > 14 * 60 {
                        return None;
                    }
                    (time, if offset.starts_with('-') { -minutes } else { minutes })
                }
                None => (time, 0),
            },
        };
        let (hour, rest): (u8, _) = number(time, 2)?;
        let (minute, rest): (u8, _) = number(rest.strip_prefix(':')?, 2)?;
        let (second, rest) = part(rest, ':')?;
        if hour > 23 || minute > 59 || second.is_some_and(|s| s > 60) {
            return None;
        }
        let seconds = (i64::from(hour) * 60 + i64::from(minute) - ahead) * 60 + i64::from(second.unwrap_or(0).min(59));
        let at = SignedDuration::from_secs(seconds);
        if rest.is_empty() {
            return Some((at, SignedDuration::from_secs(if second.is_some() { 1 } else { 60 })));
        }
        let digits = rest.strip_prefix('.').filter(|_| second.is_some())?;
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        // what is finer than a nanosecond is cut off
        let kept = digits.get(..digits.len().min(9))?;
        let unit = 10_i64.checked_pow(9 - u32::try_from(kept.len()).ok()?)?;
        let nanos = kept.parse::<i64>().ok()? * unit;
        Some((at + SignedDuration::from_nanos(nanos), SignedDuration::from_nanos(unit)))
    }

    /// The time that an element stands for: a date, a Period, or a Timing from its first event to its last.
    pub fn of_element(value: &Value) -> Option<Self> {
        if let Some(text) = value.as_str() {
            return Self::of(text);
        }
        let at = |holder: &Value, name: &str| holder.get(name).and_then(Value::as_str).and_then(Self::of);
        let period = |period: &Value| {
            let (start, end) = (at(period, "start"), at(period, "end"));
            (start.is_some() || end.is_some()).then(|| Self {
                from: start.map_or(Timestamp::MIN, |s| s.from),
                to: end.map_or(Timestamp::MAX, |e| e.to),
            })
        };
        let events = value.get("event").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let events = events.iter().filter_map(Value::as_str).filter_map(Self::of);
        let bounds = value.pointer("/repeat/boundsPeriod").and_then(period);
        let timing = events.chain(bounds).reduce(|a, b| Self { from: a.from.min(b.from), to: a.to.max(b.to) });
        timing.or_else(|| period(value))
    }
}

/// The number that the first `count` digits write, and the rest.
fn number<N: std::str::FromStr>(text: &str, count: usize) -> Option<(N, &str)> {
    let (digits, rest) = text.split_at_checked(count)?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((digits.parse().ok()?, rest))
}

/// Two digits after a mark, where it is there.
fn part(text: &str, mark: char) -> Option<(Option<i8>, &str)> {
    match text.strip_prefix(mark) {
        Some(rest) => number(rest, 2).map(|(n, rest)| (Some(n), rest)),
        None => Some((None, text)),
    }
}

//! Dates, times of day and both together, as precise as they were written (FHIRPath N1, "Date", "DateTime", "Time"). What is less
//! precise than another may be neither before nor after it.

mod calendar;

use std::{
    cmp::Ordering,
    fmt::{self, Display},
};

use jiff::{Timestamp, tz::TimeZone};

pub(super) use calendar::Unit;
use calendar::{DAY, HOUR, MINUTE, NANOS, civil, days, days_in, is_leap};

/// A date, a date with a time, or a time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub(super) kind: Sort,
    precision: Precision,
    year: i16,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    nano: u32,
    /// How many digits of the fraction are written.
    digits: u8,
    /// Minutes ahead of UTC.
    offset: Option<i16>,
}

/// What a moment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Date,
    DateTime,
    Time,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Precision {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Fraction,
}

/// No zone is further ahead of UTC, none further behind.
const AHEAD_MAX: i16 = 14 * 60;
const BEHIND_MAX: i16 = -12 * 60;

// === impl Moment ===

impl Moment {
    const NOTHING: Self = Self {
        kind: Sort::Date,
        precision: Precision::Year,
        year: 1,
        month: 1,
        day: 1,
        hour: 0,
        minute: 0,
        second: 0,
        nano: 0,
        digits: 0,
        offset: None,
    };

    /// A date: `2015`, `2015-02` or `2015-02-04`.
    pub(super) fn date(text: &str) -> Option<Self> {
        let (moment, rest) = Self::NOTHING.read_date(text)?;
        rest.is_empty().then_some(moment)
    }

    /// A date, with a time or without: `2015-02-04T14:34:28.123+10:00`, or a part of that from the start.
    pub(super) fn date_time(text: &str) -> Option<Self> {
        let (date, rest) = Self { kind: Sort::DateTime, ..Self::NOTHING }.read_date(text)?;
        let Some(rest) = rest.strip_prefix('T') else { return rest.is_empty().then_some(date) };
        if rest.is_empty() {
            return Some(date);
        }
        if date.precision != Precision::Day {
            return None;
        }
        let (moment, rest) = date.read_time(rest)?;
        let offset = match rest {
            "" => None,
            "Z" => Some(0),
            _ => Some(offset(rest)?),
        };
        Some(Self { offset, ..moment })
    }

    /// A time of day: `14`, `14:34`, `14:34:28` or `14:34:28.123`.
    pub(super) fn time(text: &str) -> Option<Self> {
        let (moment, rest) = Self { kind: Sort::Time, ..Self::NOTHING }.read_time(text)?;
        rest.is_empty().then_some(moment)
    }

    /// What follows the `@` of a literal.
    pub(super) fn of_literal(text: &str) -> Option<Self> {
        match text.strip_prefix('T') {
            Some(time) => Self::time(time),
            None if text.contains('T') => Self::date_time(text),
            None => Self::date(text),
        }
    }

    /// A point in time, in UTC and to the millisecond.
    pub(super) fn of(kind: Sort, at: Timestamp) -> Self {
        let at = at.to_zoned(TimeZone::UTC).datetime();
        let byte = |n: i8| u8::try_from(n).unwrap_or(0);
        Self {
            kind,
            precision: if kind == Sort::Date { Precision::Day } else { Precision::Fraction },
            year: at.year(),
            month: byte(at.month()),
            day: byte(at.day()),
            hour: byte(at.hour()),
            minute: byte(at.minute()),
            second: byte(at.second()),
            nano: u32::try_from(at.subsec_nanosecond()).unwrap_or(0) / 1_000_000 * 1_000_000,
            digits: 3,
            offset: (kind == Sort::DateTime).then_some(0),
        }
    }

    fn read_date(self, text: &str) -> Option<(Self, &str)> {
        let (year, rest) = digits(text, 4)?;
        let year = i16::try_from(year).ok().filter(|year| *year > 0)?;
        let found = Self { year, precision: Precision::Year, ..self };
        let Some(after) = rest.strip_prefix('-') else { return Some((found, rest)) };
        let (month, rest) = digits(after, 2)?;
        let month = u8::try_from(month).ok().filter(|month| (1..=12).contains(month))?;
        let found = Self { month, precision: Precision::Month, ..found };
        let Some(after) = rest.strip_prefix('-') else { return Some((found, rest)) };
        let (day, rest) = digits(after, 2)?;
        let day = u8::try_from(day).ok().filter(|day| *day >= 1 && *day <= days_in(year, month))?;
        Some((Self { day, precision: Precision::Day, ..found }, rest))
    }

    fn read_time(self, text: &str) -> Option<(Self, &str)> {
        let part = |text, most: u32| {
            let (number, rest) = digits(text, 2)?;
            Some((u8::try_from(number).ok().filter(|_| number <= most)?, rest))
        };
        let (hour, rest) = part(text, 23)?;
        let found = Self { hour, precision: Precision::Hour, ..self };
        let Some(after) = rest.strip_prefix(':') else { return Some((found, rest)) };
        let (minute, rest) = part(after, 59)?;
        let found = Self { minute, precision: Precision::Minute, ..found };
        let Some(after) = rest.strip_prefix(':') else { return Some((found, rest)) };
        let (second, rest) = part(after, 60)?;
        let found = Self { second, precision: Precision::Second, ..found };
        let Some(after) = rest.strip_prefix('.') else { return Some((found, rest)) };
        let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
        let written = after.get(..after.len() - rest.len()).filter(|written| !written.is_empty())?;
        let written = written.get(..written.len().min(9))?;
        let digits = u8::try_from(written.len()).ok()?;
        let nano = written.parse::<u32>().ok()? * 10u32.pow(9 - u32::from(digits));
        Some((Self { nano, digits, precision: Precision::Fraction, ..found }, rest))
    }

    /// Which of the two is earlier; none where that cannot be said, because one is less precise than the other or only one tells its
    /// zone. A date, which never tells one, is a day of where the other is. A date and a time of day are never compared.
    pub(super) fn compare(&self, other: &Self) -> Option<Ordering> {
        let (here, there) = (self.beside(other), other.beside(self));
        let widen = here.offset.is_some() != there.offset.is_some();
        let ((first, last), (other_first, other_last)) = (here.range(widen), there.range(widen));
        if last < other_first {
            Some(Ordering::Less)
        } else if other_last < first {
            Some(Ordering::Greater)
        } else {
            ((first, last) == (other_first, other_last)).then_some(Ordering::Equal)
        }
    }

    fn beside(&self, other: &Self) -> Self {
        let is_date = self.kind != Sort::Time && self.precision <= Precision::Day;
        Self { offset: self.offset.or(other.offset.filter(|_| is_date)), ..*self }
    }

    /// The first and the last nanosecond of it, in UTC as far as its zone is known.
    fn range(&self, widen: bool) -> (i128, i128) {
        let ahead = i128::from(self.offset.unwrap_or(0)) * MINUTE;
        let first = self.nanos() - ahead;
        let last = match self.precision {
            Precision::Year => first + (if is_leap(self.year) { 366 } else { 365 }) * DAY - 1,
            Precision::Month => first + i128::from(days_in(self.year, self.month)) * DAY - 1,
            Precision::Day => first + DAY - 1,
            Precision::Hour => first + HOUR - 1,
            Precision::Minute => first + MINUTE - 1,
            // N1: seconds and what is finer are one decimal number
            Precision::Second | Precision::Fraction => first,
        };
        if widen && self.offset.is_none() {
            (first - i128::from(AHEAD_MAX) * MINUTE, last - i128::from(BEHIND_MAX) * MINUTE)
        } else {
            (first, last)
        }
    }

    /// Since the first of March of the year 0, or since midnight; what is finer than its precision counts for nothing.
    fn nanos(&self) -> i128 {
        let to = |precision: Precision, nanos: i128| if self.precision >= precision { nanos } else { 0 };
        let part = |precision: Precision, of: u8, first: u8| if self.precision >= precision { of } else { first };
        let (month, day) = (part(Precision::Month, self.month, 1), part(Precision::Day, self.day, 1));
        let days = if self.kind == Sort::Time { 0 } else { days(self.year, month, day) };
        i128::from(days) * DAY
            + to(Precision::Hour, i128::from(self.hour) * HOUR)
            + to(Precision::Minute, i128::from(self.minute) * MINUTE)
            + to(Precision::Second, i128::from(self.second) * NANOS)
            + to(Precision::Fraction, i128::from(self.nano))
    }

    /// So many units later. None beyond the years 1 to 9999, and for a time of day and a unit of days.
    pub(super) fn plus(&self, count: i64, unit: Unit) -> Option<Self> {
        let (count, unit) = self.coarse(count, unit);
        match unit {
            Unit::Year | Unit::Month if self.kind == Sort::Time => None,
            Unit::Year => self.plus_months(count.checked_mul(12)?),
            Unit::Month => self.plus_months(count),
            _ => self.plus_nanos(i128::from(count).checked_mul(unit.nanos())?),
        }
    }

    /// In the finest unit that this moment knows (N1: a number of days becomes one of months of 30 days).
    fn coarse(&self, count: i64, unit: Unit) -> (i64, Unit) {
        let finest = match self.precision {
            _ if self.kind == Sort::Time => return (count, unit),
            Precision::Year => Unit::Year,
            Precision::Month => Unit::Month,
            Precision::Day => Unit::Day,
            _ => return (count, unit),
        };
        if unit >= finest {
            return (count, unit);
        }
        let per = match (finest, unit) {
            (Unit::Year, Unit::Month) => 12,
            _ => finest.nanos() / unit.nanos(),
        };
        (i64::try_from(i128::from(count) / per).unwrap_or(0), finest)
    }

    fn plus_months(&self, months: i64) -> Option<Self> {
        let all = i64::from(self.year) * 12 + i64::from(self.month) - 1;
        let all = all.checked_add(months)?;
        let year = i16::try_from(all.div_euclid(12)).ok().filter(|year| (1..=9999).contains(year))?;
        let month = u8::try_from(all.rem_euclid(12)).ok()? + 1;
        Some(Self { year, month, day: self.day.min(days_in(year, month)), ..*self })
    }

    fn plus_nanos(&self, nanos: i128) -> Option<Self> {
        let all = self.nanos().checked_add(nanos)?;
        let (day, rest) = (all.div_euclid(DAY), all.rem_euclid(DAY));
        let second = u32::try_from(rest / NANOS).ok()?;
        let byte = |n: u32| u8::try_from(n).ok();
        let moved = Self {
            hour: byte(second / 3600)?,
            minute: byte(second / 60 % 60)?,
            second: byte(second % 60)?,
            nano: u32::try_from(rest % NANOS).ok()?,
            ..*self
        };
        if self.kind == Sort::Time {
            return Some(moved);
        }
        let (year, month, day) = civil(i64::try_from(day).ok()?)?;
        Some(Self { year, month, day, ..moved })
    }

    /// How many digits it is written with (`precision()`).
    pub(super) fn digits(&self) -> i64 {
        let (date, time) = match self.precision {
            Precision::Year => (4, 0),
            Precision::Month => (6, 0),
            Precision::Day => (8, 0),
            Precision::Hour => (8, 2),
            Precision::Minute => (8, 4),
            Precision::Second => (8, 6),
            Precision::Fraction => (8, 9),
        };
        if self.kind == Sort::Time { time } else { date + time }
    }

    /// The first or the last moment that it may stand for, with so many digits; none where nothing is written with so many.
    pub(super) fn boundary(&self, digits: Option<i64>, high: bool) -> Option<Self> {
        let digits = digits.unwrap_or(match self.kind {
            Sort::Date => 8,
            Sort::DateTime => 17,
            Sort::Time => 9,
        });
        let all = if self.kind == Sort::Time { digits + 8 } else { digits };
        let precision = match all {
            4 if self.kind != Sort::Time => Precision::Year,
            6 if self.kind != Sort::Time => Precision::Month,
            8 if self.kind != Sort::Time => Precision::Day,
            10 if self.kind != Sort::Date => Precision::Hour,
            12 if self.kind != Sort::Date => Precision::Minute,
            14 if self.kind != Sort::Date => Precision::Second,
            17 if self.kind != Sort::Date => Precision::Fraction,
            _ => return None,
        };
        let mut found = Self { precision, ..*self };
        let less = |than: Precision| self.precision < than;
        if less(Precision::Month) {
            found.month = if high { 12 } else { 1 };
        }
        if less(Precision::Day) {
            found.day = if high { days_in(found.year, found.month) } else { 1 };
        }
        if less(Precision::Hour) {
            found.hour = if high { 23 } else { 0 };
        }
        if less(Precision::Minute) {
            // R4 has no hour without its minutes: such an hour is its first minute
            found.minute = if high && less(Precision::Hour) { 59 } else { 0 };
        }
        if less(Precision::Second) {
            found.second = if high { 59 } else { 0 };
        }
        if less(Precision::Fraction) {
            found.nano = if high { 999_000_000 } else { 0 };
        }
        found.digits = 3;
        if precision < Precision::Hour {
            found.offset = None;
        } else if self.kind == Sort::DateTime && self.offset.is_none() {
            found.offset = Some(if high { BEHIND_MAX } else { AHEAD_MAX });
        }
        Some(found)
    }

    /// What part of it is a date; none of a time of day.
    pub(super) fn to_date(self) -> Option<Self> {
        let precision = self.precision.min(Precision::Day);
        (self.kind != Sort::Time).then_some(Self { kind: Sort::Date, precision, offset: None, ..self })
    }

    /// It as a date that may have a time; none of a time of day.
    pub(super) fn to_date_time(self) -> Option<Self> {
        (self.kind != Sort::Time).then_some(Self { kind: Sort::DateTime, ..self })
    }

    /// As it is written after `@`.
    pub(super) fn literal(&self) -> impl Display {
        let (before, after) = match self.kind {
            Sort::Time => ("T", ""),
            Sort::DateTime if self.precision <= Precision::Day => ("", "T"),
            _ => ("", ""),
        };
        Literal { moment: *self, before, after }
    }
}

struct Literal {
    moment: Moment,
    before: &'static str,
    after: &'static str,
}

impl Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.before, self.moment, self.after)
    }
}

impl Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind != Sort::Time {
            write!(f, "{:04}", self.year)?;
            if self.precision >= Precision::Month {
                write!(f, "-{:02}", self.month)?;
            }
            if self.precision >= Precision::Day {
                write!(f, "-{:02}", self.day)?;
            }
            if self.precision >= Precision::Hour {
                f.write_str("T")?;
            }
        }
        if self.precision >= Precision::Hour {
            write!(f, "{:02}", self.hour)?;
        }
        if self.precision >= Precision::Minute {
            write!(f, ":{:02}", self.minute)?;
        }
        if self.precision >= Precision::Second {
            write!(f, ":{:02}", self.second)?;
        }
        if self.precision >= Precision::Fraction {
            let digits = self.digits.clamp(1, 9);
            let fraction = self.nano / 10u32.pow(9 - u32::from(digits));
            write!(f, ".{fraction:0width$}", width = usize::from(digits))?;
        }
        match self.offset {
            Some(0) => f.write_str("Z"),
            Some(ahead) => {
                let sign = if ahead < 0 { '-' } else { '+' };
                write!(f, "{sign}{:02}:{:02}", ahead.abs() / 60, ahead.abs() % 60)
            }
            None => Ok(()),
        }
    }
}

/// The number that the first `count` digits write, and what follows.
fn digits(text: &str, count: usize) -> Option<(u32, &str)> {
    let (start, rest) = text.split_at_checked(count)?;
    if start.bytes().all(|b| b.is_ascii_digit()) { Some((start.parse().ok()?, rest)) } else { None }
}

fn offset(text: &str) -> Option<i16> {
    let (hour, rest) = digits(text.strip_prefix(['+', '-'])?, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let ahead = i16::try_from(hour * 60 + minute).ok().filter(|ahead| *ahead <= AHEAD_MAX && minute < 60)?;
    rest.is_empty().then_some(if text.starts_with('-') { -ahead } else { ahead })
}

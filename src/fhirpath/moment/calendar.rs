//! The Gregorian calendar, and what it and the clock count in.

use jiff::civil::Date;

/// A unit of the calendar or of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::fhirpath) enum Unit {
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

pub(super) const NANOS: i128 = 1_000_000_000;
pub(super) const DAY: i128 = 86_400 * NANOS;
pub(super) const HOUR: i128 = 3_600 * NANOS;
pub(super) const MINUTE: i128 = 60 * NANOS;

// === impl Unit ===

impl Unit {
    /// The unit of a word of the calendar, in the singular or plural.
    pub(in crate::fhirpath) fn word(word: &str) -> Option<Self> {
        Some(match word {
            "year" | "years" => Self::Year,
            "month" | "months" => Self::Month,
            "week" | "weeks" => Self::Week,
            "day" | "days" => Self::Day,
            "hour" | "hours" => Self::Hour,
            "minute" | "minutes" => Self::Minute,
            "second" | "seconds" => Self::Second,
            "millisecond" | "milliseconds" => Self::Millisecond,
            _ => return None,
        })
    }

    /// What UCUM calls the same length; a year and a month of the calendar have no fixed one.
    pub(in crate::fhirpath) fn ucum(self) -> Option<&'static str> {
        Some(match self {
            Self::Year | Self::Month => return None,
            Self::Week => "wk",
            Self::Day => "d",
            Self::Hour => "h",
            Self::Minute => "min",
            Self::Second => "s",
            Self::Millisecond => "ms",
        })
    }

    /// The unit that a date may be moved by; UCUM's year and month are lengths, which a date has no use for.
    pub(in crate::fhirpath) fn of_quantity(unit: &str) -> Option<Self> {
        Self::word(unit).or(match unit {
            "wk" => Some(Self::Week),
            "d" => Some(Self::Day),
            "h" => Some(Self::Hour),
            "min" => Some(Self::Minute),
            "s" => Some(Self::Second),
            "ms" => Some(Self::Millisecond),
            _ => None,
        })
    }

    /// How long it is; a month of the calendar counts as 30 days, a year as 365.
    pub(super) fn nanos(self) -> i128 {
        match self {
            Self::Millisecond => NANOS / 1000,
            Self::Second => NANOS,
            Self::Minute => MINUTE,
            Self::Hour => HOUR,
            Self::Day => DAY,
            Self::Week => 7 * DAY,
            Self::Month => 30 * DAY,
            Self::Year => 365 * DAY,
        }
    }
}

/// Whether a year has a day more.
pub(super) fn is_leap(year: i16) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// How many days a month has.
pub(super) fn days_in(year: i16, month: u8) -> u8 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since the first of March of the year 0, by the Gregorian calendar: the leap day is the last of its year then.
pub(super) fn days(year: i16, month: u8, day: u8) -> i64 {
    let (year, month, day) = (i64::from(year), i64::from(month), i64::from(day));
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5 + day - 1
}

/// The day that is so many days after the first of March of the year 0.
pub(super) fn civil(day: i64) -> Option<(i16, u8, u8)> {
    // jiff counts from its own first day
    let from = Date::new(1, 1, 1).ok()?;
    let ahead = i32::try_from(day - days(1, 1, 1)).ok()?;
    let date = from.checked_add(jiff::Span::new().try_days(ahead).ok()?).ok()?;
    let year = Some(date.year()).filter(|year| (1..=9999).contains(year))?;
    Some((year, u8::try_from(date.month()).ok()?, u8::try_from(date.day()).ok()?))
}

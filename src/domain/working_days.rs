//! The working days of England: Monday to Friday in Europe/London without bank holidays. The holidays follow by rule
//! (Banking and Financial Dealings Act 1971, schedule 1, and the two common-law days, with their substitute days); what a
//! proclamation adds or moves comes from the configuration. Zone data is built in, so the machine's does not matter.

use std::{collections::BTreeSet, str::FromStr};

use jiff::{
    SignedDuration, Timestamp, ToSpan,
    civil::{Date, DateTime, Time, Weekday, date},
    tz::TimeZone,
};

/// When people work, and so when time counts that they are given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkingTime {
    /// From when until when on a working day; none means the whole day.
    pub hours: Option<WorkingHours>,
    /// Days that are holidays though the rule does not say so, such as a coronation.
    pub holidays: BTreeSet<Date>,
    /// Days that are none though the rule says so, such as an early May holiday that was moved. Weekends stay what they are.
    pub working_days: BTreeSet<Date>,
}

/// From when until when people work; the end is after the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkingHours {
    from: Time,
    until: Time,
}

/// A text that does not say working hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("working hours look like 09:00-17:00")]
pub struct NotHours;

/// How long somebody has for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within {
    /// As long as they like.
    Never,
    /// So long by the clock.
    Span(SignedDuration),
    /// So many working days.
    WorkingDays(u32),
}

/// More working days than this are not promised.
pub const WORKING_DAYS_MAX: u32 = 400;

/// Europe/London, from the data built in.
fn zone() -> TimeZone {
    super::written::LONDON
}

impl std::fmt::Display for Within {
    /// As configurations write it; a span is told in seconds.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::Span(span) => write!(f, "{}s", span.as_secs()),
            Self::WorkingDays(days) => write!(f, "{days}wd"),
        }
    }
}

impl FromStr for WorkingHours {
    type Err = NotHours;

    fn from_str(text: &str) -> Result<Self, NotHours> {
        let (from, until) = text.split_once('-').ok_or(NotHours)?;
        let time = |text: &str| {
            let (hour, minute) = text.trim().split_once(':').filter(|(h, m)| h.len() == 2 && m.len() == 2)?;
            Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
        };
        match (time(from), time(until)) {
            (Some(from), Some(until)) if from < until => Ok(Self { from, until }),
            _ => Err(NotHours),
        }
    }
}

// === impl WorkingTime ===

impl WorkingTime {
    /// Whether people work on this day.
    pub fn is_working_day(&self, day: Date) -> bool {
        !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday)
            && !self.holidays.contains(&day)
            && (self.working_days.contains(&day) || !bank_holidays(day.year()).contains(&day))
    }

    /// What clocks and calendars in England show at a moment.
    pub fn local(at: Timestamp) -> DateTime {
        zone().to_datetime(at)
    }

    /// Whether people work at this moment.
    pub fn is_open(&self, at: Timestamp) -> bool {
        let local = Self::local(at);
        self.is_in_hours(local.time()) && self.is_working_day(local.date())
    }

    /// Whether people work at this time of a working day.
    pub fn is_in_hours(&self, time: Time) -> bool {
        self.hours.is_none_or(|hours| hours.from <= time && time < hours.until)
    }

    /// The moment `days` working days after another. One outside working time counts as the beginning of the working time that
    /// follows it, so that the same time of day is meant and nothing is ever due when nobody works.
    pub fn after(&self, from: Timestamp, days: u32) -> Timestamp {
        let zone = zone();
        let mut at = self.working_time_from(zone.to_datetime(from));
        for _ in 0..days.min(WORKING_DAYS_MAX) {
            at = self.working_day_from(next(at.date())).to_datetime(at.time());
        }
        // the clocks change on Sundays only, when nobody works: there is one such moment
        zone.to_ambiguous_timestamp(at).compatible().unwrap_or(Timestamp::MAX)
    }

    /// The moment until when somebody has time who is given `within` at `from`.
    pub fn deadline(&self, from: Timestamp, within: Within) -> Option<Timestamp> {
        match within {
            Within::Never => None,
            Within::Span(span) => Some(from.checked_add(span).unwrap_or(Timestamp::MAX)),
            Within::WorkingDays(days) => Some(self.after(from, days)),
        }
    }

    fn working_time_from(&self, at: DateTime) -> DateTime {
        let (from, until) = self.hours.map_or((Time::midnight(), None), |h| (h.from, Some(h.until)));
        let over = until.is_some_and(|until| at.time() >= until);
        let day = self.working_day_from(if over { next(at.date()) } else { at.date() });
        if day == at.date() { day.to_datetime(at.time().max(from)) } else { day.to_datetime(from) }
    }

    fn working_day_from(&self, mut day: Date) -> Date {
        while !self.is_working_day(day) && day < Date::MAX {
            day = next(day);
        }
        day
    }
}

fn next(day: Date) -> Date {
    day.tomorrow().unwrap_or(Date::MAX)
}

/// The bank holidays of England in a year, by rule; they lie in it, substitute days included.
pub fn bank_holidays(year: i16) -> Vec<Date> {
    let easter = easter_sunday(year);
    let mut days = vec![
        moved(date(year, 1, 1), 2, 1),
        easter.saturating_sub(2.days()),
        easter.saturating_add(1.day()),
        // the last Monday is the first one of the last seven days
        monday_from(date(year, 5, 1)),
        monday_from(date(year, 5, 25)),
        monday_from(date(year, 8, 25)),
    ];
    // Boxing Day's substitute goes behind that of Christmas Day; where Christmas Day is a Sunday, Boxing Day is its own Monday
    // and Christmas Day is made up for on Tuesday
    days.push(moved(date(year, 12, 25), 2, 2));
    days.push(moved(date(year, 12, 26), 2, 2));
    days
}

/// A holiday, or the day that is one in its place: so many days later where it falls on a Saturday or a Sunday.
fn moved(day: Date, of_saturday: i32, of_sunday: i32) -> Date {
    match day.weekday() {
        Weekday::Saturday => day.saturating_add(of_saturday.days()),
        Weekday::Sunday => day.saturating_add(of_sunday.days()),
        _ => day,
    }
}

fn monday_from(day: Date) -> Date {
    let past = i32::from(day.weekday().since(Weekday::Monday));
    day.saturating_add(((7 - past) % 7).days())
}

/// Easter Sunday of the Gregorian calendar (the method of Meeus, Jones and Butcher).
fn easter_sunday(year: i16) -> Date {
    let y = i32::from(year);
    let (golden, century, of_century) = (y.rem_euclid(19), y.div_euclid(100), y.rem_euclid(100));
    let corrected = century - (century + 8).div_euclid(25) + 1;
    let epact = (19 * golden + century - century.div_euclid(4) - corrected.div_euclid(3) + 15).rem_euclid(30);
    let weekday = (32 + 2 * century.rem_euclid(4) + 2 * of_century.div_euclid(4) - epact - of_century.rem_euclid(4))
        .rem_euclid(7);
    let late = (golden + 11 * epact + 22 * weekday).div_euclid(451);
    let days = epact + weekday - 7 * late + 114;
    // counted from the first of March, so that no month and day can be wrong
    date(year, 3, 1).saturating_add((31 * (days.div_euclid(31) - 3) + days.rem_euclid(31)).days())
}

#[cfg(test)]
mod tests {
    use jiff::civil::datetime;
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn office_hours() -> WorkingTime {
        WorkingTime { hours: Some("09:00-17:00".parse().unwrap()), ..WorkingTime::default() }
    }

    /// What was moved or proclaimed, as a configuration would say it.
    fn with_proclamations() -> WorkingTime {
        let days = |texts: &[&str]| texts.iter().map(|text| day(text)).collect();
        WorkingTime {
            hours: None,
            // VE Day 2020, Platinum Jubilee 2022, the state funeral 2022, the coronation 2023
            holidays: days(&["2020-05-08", "2022-06-02", "2022-06-03", "2022-09-19", "2023-05-08"]),
            working_days: days(&["2020-05-04", "2022-05-30"]),
        }
    }

    #[test]
    fn the_published_holidays_of_2020_to_2030() {
        let published = [
            "2020: 01-01 04-10 04-13 05-08 05-25 08-31 12-25 12-28",
            "2021: 01-01 04-02 04-05 05-03 05-31 08-30 12-27 12-28",
            "2022: 01-03 04-15 04-18 05-02 06-02 06-03 08-29 09-19 12-26 12-27",
            "2023: 01-02 04-07 04-10 05-01 05-08 05-29 08-28 12-25 12-26",
            "2024: 01-01 03-29 04-01 05-06 05-27 08-26 12-25 12-26",
            "2025: 01-01 04-18 04-21 05-05 05-26 08-25 12-25 12-26",
            "2026: 01-01 04-03 04-06 05-04 05-25 08-31 12-25 12-28",
            "2027: 01-01 03-26 03-29 05-03 05-31 08-30 12-27 12-28",
            "2028: 01-03 04-14 04-17 05-01 05-29 08-28 12-25 12-26",
            "2029: 01-01 03-30 04-02 05-07 05-28 08-27 12-25 12-26",
            "2030: 01-01 04-19 04-22 05-06 05-27 08-26 12-25 12-26",
        ];
        let time = with_proclamations();
        for line in published {
            let (year, days) = line.split_once(": ").unwrap();
            let published: Vec<Date> = days.split(' ').map(|d| day(&format!("{year}-{d}"))).collect();
            let year: i16 = year.parse().unwrap();
            let mut free = Vec::new();
            let mut one = date(year, 1, 1);
            while one.year() == year {
                if !time.is_working_day(one) && !matches!(one.weekday(), Weekday::Saturday | Weekday::Sunday) {
                    free.push(one);
                }
                one = next(one);
            }
            assert_eq!(free, published, "{year}");
        }
    }

    #[test]
    fn two_working_days_go_round_weekends_holidays_and_substitute_days() {
        let time = WorkingTime::default();
        for (from, days, until, why) in [
            ("2026-03-02T15:00:00Z", 2, "2026-03-04T15:00:00Z", "Monday to Wednesday"),
            ("2026-03-06T15:00:00Z", 2, "2026-03-10T15:00:00Z", "over a weekend"),
            ("2026-03-07T15:00:00Z", 1, "2026-03-10T00:00:00Z", "Saturday counts from Monday on"),
            ("2026-04-02T11:00:00Z", 2, "2026-04-08T11:00:00Z", "over Easter"),
            ("2026-12-24T12:00:00Z", 1, "2026-12-29T12:00:00Z", "Boxing Day on a Saturday is made up for on Monday"),
            ("2027-12-24T12:00:00Z", 1, "2027-12-29T12:00:00Z", "both on a weekend: Monday and Tuesday"),
            ("2022-12-23T12:00:00Z", 1, "2022-12-28T12:00:00Z", "Christmas on a Sunday: Boxing Day Monday, it Tuesday"),
            ("2027-12-31T12:00:00Z", 1, "2028-01-04T12:00:00Z", "New Year's Day on a Saturday"),
            ("2022-12-30T12:00:00Z", 1, "2023-01-03T12:00:00Z", "New Year's Day on a Sunday"),
            ("2026-03-04T09:30:00Z", 0, "2026-03-04T09:30:00Z", "at once"),
        ] {
            assert_eq!(time.after(at(from), days), at(until), "{why}");
        }
    }

    #[test]
    fn the_time_of_day_stays_the_same_when_the_clocks_change() {
        let time = WorkingTime::default();
        // Friday 27 March 2026 in winter time; on Monday it is an hour earlier in UTC
        assert_eq!(time.after(at("2026-03-27T15:00:00Z"), 1), at("2026-03-30T14:00:00Z"));
        // Friday 23 October 2026 in summer time; on Monday an hour later
        assert_eq!(time.after(at("2026-10-23T14:00:00Z"), 1), at("2026-10-26T15:00:00Z"));
        // in the hour that there is twice, and in the one that there is not, nobody works
        assert_eq!(time.after(at("2026-10-25T00:30:00Z"), 1), time.after(at("2026-10-25T01:30:00Z"), 1));
        assert_eq!(time.after(at("2026-03-29T01:00:00Z"), 0), at("2026-03-29T23:00:00Z"));
    }

    #[test]
    fn midnight_is_that_of_london() {
        let time = WorkingTime::default();
        // half past eleven on Sunday evening in UTC is Monday in summer, and still Sunday in winter
        assert_eq!(time.after(at("2026-07-05T23:30:00Z"), 1), at("2026-07-06T23:30:00Z"));
        assert_eq!(time.after(at("2026-01-04T23:30:00Z"), 1), at("2026-01-06T00:00:00Z"));
    }

    #[test]
    fn outside_working_hours_counts_from_the_next_opening() {
        let time = office_hours();
        for (from, days, until) in [
            ("2026-03-02T08:00:00Z", 1, "2026-03-03T09:00:00Z"),
            ("2026-03-02T10:15:00Z", 1, "2026-03-03T10:15:00Z"),
            ("2026-03-02T17:00:00Z", 1, "2026-03-04T09:00:00Z"),
            ("2026-03-06T18:00:00Z", 0, "2026-03-09T09:00:00Z"),
        ] {
            assert_eq!(time.after(at(from), days), at(until), "{from}");
        }
        for bad in ["", "9-17", "09:00", "17:00-09:00", "09:00-09:00", "24:00-25:00", "9:00-17:00"] {
            assert!(bad.parse::<WorkingHours>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_deadline_may_go_by_the_clock_or_not_be_there() {
        let time = WorkingTime::default();
        let friday = at("2026-03-06T15:00:00Z");
        assert_eq!(
            time.deadline(friday, Within::Span(SignedDuration::from_hours(4))),
            Some(at("2026-03-06T19:00:00Z"))
        );
        assert_eq!(time.deadline(friday, Within::WorkingDays(1)), Some(at("2026-03-09T15:00:00Z")));
        assert_eq!(time.deadline(friday, Within::Never), None);
    }

    #[test]
    fn the_zone_is_built_in() {
        assert_eq!(zone().iana_name(), Some("Europe/London"));
        assert_eq!(zone().to_datetime(at("2026-07-01T12:00:00Z")), datetime(2026, 7, 1, 13, 0, 0, 0));
    }

    proptest! {
        #[test]
        fn it_adds_up_never_goes_back_and_never_ends_on_a_free_day(
            // 2015 to 2045
            seconds in 1_420_070_400i64..2_366_841_600, later in 0i64..3_000_000, n in 0u32..25, m in 0u32..25, office: bool,
        ) {
            let time = if office { WorkingTime { hours: office_hours().hours, ..with_proclamations() } } else { with_proclamations() };
            let from = Timestamp::from_second(seconds).unwrap();
            let after = time.after(from, n);
            prop_assert_eq!(time.after(after, m), time.after(from, n + m));
            prop_assert!(after >= from);
            prop_assert!(time.after(Timestamp::from_second(seconds + later).unwrap(), n) >= after);
            prop_assert!(time.after(from, n + 1) > after);
            let local = zone().to_datetime(after);
            prop_assert!(time.is_working_day(local.date()));
            if let Some(hours) = time.hours {
                prop_assert!(hours.from <= local.time() && local.time() < hours.until);
            }
        }

        #[test]
        fn easter_is_a_sunday_in_its_season(year in 1600i16..4000) {
            let easter = easter_sunday(year);
            prop_assert_eq!(easter.weekday(), Weekday::Sunday);
            prop_assert!(date(year, 3, 22) <= easter && easter <= date(year, 4, 25));
        }
    }
}

//! When a referral is decided, as a rule may ask: days and times of day in Europe/London.

use std::{fmt, str::FromStr};

use jiff::{
    Timestamp,
    civil::{Time, Weekday},
};
use serde::{Serialize, Serializer};

use super::condition::NotWanted;
use crate::domain::working_days::WorkingTime;

const DAY_MINUTES: u16 = 24 * 60;
const WEEK: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// The moment at which a referral is decided, as clocks and calendars in England show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    today: Day,
    yesterday: Day,
    /// Since midnight.
    minute: u16,
    in_working_hours: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Day {
    weekday: Weekday,
    is_working: bool,
}

/// Days, and from when until when on each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    days: Days,
    /// Minutes since midnight: from the first up to the second, which is not in it. Where the second is not later, it is the next day's.
    times: Option<(u16, u16)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Days {
    All,
    Of(Vec<Weekday>),
    Working,
    Holidays,
    /// In the working hours of the configuration, on working days.
    WorkingHours,
}

// === impl Moment ===

impl Moment {
    /// Of a time, where people work so.
    pub fn of(at: Timestamp, working_time: &WorkingTime) -> Self {
        let local = WorkingTime::local(at);
        let day =
            |date: jiff::civil::Date| Day { weekday: date.weekday(), is_working: working_time.is_working_day(date) };
        let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).unwrap_or_default();
        Self {
            today: day(local.date()),
            yesterday: day(local.date().yesterday().unwrap_or(local.date())),
            minute,
            in_working_hours: working_time.is_open(at),
        }
    }

    /// One for every minute of every kind of day that there can be, where people work so.
    pub(super) fn all(working_time: &WorkingTime) -> Vec<Self> {
        let kinds = |weekday: Weekday| {
            let is_weekend = matches!(weekday, Weekday::Saturday | Weekday::Sunday);
            let kinds: &[bool] = if is_weekend { &[false] } else { &[true, false] };
            kinds.iter().map(move |&is_working| Day { weekday, is_working })
        };
        let days = WEEK.iter().flat_map(|&(_, weekday)| kinds(weekday));
        let pairs = days.flat_map(|today| kinds(today.weekday.previous()).map(move |yesterday| (today, yesterday)));
        let minutes = |(today, yesterday): (Day, Day)| {
            (0..DAY_MINUTES).map(move |minute| {
                let time = |hour: u16| Time::new(i8::try_from(hour).ok()?, (minute % 60) as i8, 0, 0).ok();
                let in_hours = time(minute / 60).is_some_and(|time| working_time.is_in_hours(time));
                Self { today, yesterday, minute, in_working_hours: today.is_working && in_hours }
            })
        };
        pairs.flat_map(minutes).collect()
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.today.is_working { "a working day" } else { "no working day" };
        write!(f, "{} {:02}:{:02}, {kind}", short(self.today.weekday), self.minute / 60, self.minute % 60)
    }
}

// === impl Hours ===

impl Hours {
    /// Whether the moment lies in them.
    pub fn hold(&self, moment: &Moment) -> bool {
        if self.days == Days::WorkingHours {
            return moment.in_working_hours;
        }
        let minute = moment.minute;
        match self.times {
            None => self.days.hold(moment.today),
            Some((from, until)) if from < until => (from..until).contains(&minute) && self.days.hold(moment.today),
            // over midnight: the day is the one on which they begin
            Some((from, until)) => {
                (minute >= from && self.days.hold(moment.today)) || (minute < until && self.days.hold(moment.yesterday))
            }
        }
    }
}

impl Days {
    fn hold(&self, day: Day) -> bool {
        match self {
            Self::All => true,
            Self::Of(days) => days.contains(&day.weekday),
            Self::Working | Self::WorkingHours => day.is_working,
            Self::Holidays => !day.is_working,
        }
    }
}

impl FromStr for Hours {
    type Err = NotWanted;
    fn from_str(text: &str) -> Result<Self, NotWanted> {
        let text = text.trim().to_ascii_lowercase();
        let mut words = text.split_whitespace();
        let (first, second, more) = (words.next().ok_or(NotWanted)?, words.next(), words.next());
        if more.is_some() {
            return Err(NotWanted);
        }
        match (first, second) {
            ("working-hours", None) => Ok(Self { days: Days::WorkingHours, times: None }),
            (times, None) if times.contains(':') => Ok(Self { days: Days::All, times: Some(span(times)?) }),
            (days, None) => Ok(Self { days: days.parse()?, times: None }),
            ("working-hours", Some(_)) => Err(NotWanted),
            (days, Some(times)) => Ok(Self { days: days.parse()?, times: Some(span(times)?) }),
        }
    }
}

impl FromStr for Days {
    type Err = NotWanted;
    fn from_str(text: &str) -> Result<Self, NotWanted> {
        match text {
            "working-days" => return Ok(Self::Working),
            "holidays" => return Ok(Self::Holidays),
            _ => {}
        }
        let place = |name: &str| WEEK.iter().position(|(word, _)| *word == name).ok_or(NotWanted);
        let mut days = [false; 7];
        for part in text.split(',') {
            let (from, to) = match part.split_once('-') {
                Some((from, to)) => (place(from)?, place(to)?),
                None => (place(part)?, place(part)?),
            };
            // fri-mon goes over the end of the week
            let count = (to + 7 - from) % 7;
            for (at, day) in days.iter_mut().enumerate() {
                *day |= (at + 7 - from) % 7 <= count;
            }
        }
        Ok(Self::Of(WEEK.iter().zip(days).filter(|(_, on)| *on).map(|((_, day), _)| *day).collect()))
    }
}

fn span(text: &str) -> Result<(u16, u16), NotWanted> {
    let minute = |text: &str| {
        let (hour, minute) = text.split_once(':').filter(|(h, m)| h.len() == 2 && m.len() == 2)?;
        let of: u16 =
            hour.parse::<u16>().ok()?.checked_mul(60)?.checked_add(minute.parse().ok().filter(|m| *m < 60)?)?;
        (of <= DAY_MINUTES).then_some(of)
    };
    let (from, until) = text.split_once('-').ok_or(NotWanted)?;
    match (minute(from), minute(until)) {
        (Some(from), Some(until)) if from != until && from < DAY_MINUTES => Ok((from, until)),
        _ => Err(NotWanted),
    }
}

fn short(day: Weekday) -> &'static str {
    WEEK.iter().find(|(_, of)| *of == day).map_or("", |(word, _)| word)
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.days {
            Days::All => {}
            Days::Working => f.write_str("working-days")?,
            Days::Holidays => f.write_str("holidays")?,
            Days::WorkingHours => f.write_str("working-hours")?,
            Days::Of(days) => f.write_str(&days.iter().map(|day| short(*day)).collect::<Vec<_>>().join(","))?,
        }
        let Some((from, until)) = self.times else { return Ok(()) };
        let gap = if self.days == Days::All { "" } else { " " };
        write!(f, "{gap}{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, until / 60, until % 60)
    }
}

impl Serialize for Hours {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(hours: &str, at: &str) -> bool {
        let working_time = WorkingTime { hours: "08:30-16:30".parse().ok(), ..WorkingTime::default() };
        hours.parse::<Hours>().unwrap().hold(&Moment::of(at.parse().unwrap(), &working_time))
    }

    #[test]
    fn hours_hold_from_their_beginning_to_before_their_end() {
        for (hours, at, expected) in [
            // Thursday 26 November 2026, UTC as in London
            ("09:00-17:00", "2026-11-26T08:59:59Z", false),
            ("09:00-17:00", "2026-11-26T09:00:00Z", true),
            ("09:00-17:00", "2026-11-26T16:59:59Z", true),
            ("09:00-17:00", "2026-11-26T17:00:00Z", false),
            // the same in summer, when London is an hour ahead
            ("09:00-17:00", "2026-07-02T08:00:00Z", true),
            ("09:00-17:00", "2026-07-02T16:00:00Z", false),
            ("00:00-24:00", "2026-11-26T23:59:59Z", true),
            ("thu", "2026-11-26T23:59:59Z", true),
            ("thu", "2026-11-27T00:00:00Z", false),
            ("mon-fri 09:00-17:00", "2026-11-28T12:00:00Z", false),
            ("fri-mon", "2026-11-29T12:00:00Z", true),
            ("fri-mon", "2026-11-26T12:00:00Z", false),
            ("sat,sun", "2026-11-28T12:00:00Z", true),
            // over midnight the day is that of the beginning
            ("fri 17:00-09:00", "2026-11-28T08:59:00Z", true),
            ("fri 17:00-09:00", "2026-11-28T09:00:00Z", false),
            ("fri 17:00-09:00", "2026-11-27T08:00:00Z", false),
            ("fri 17:00-09:00", "2026-11-27T17:00:00Z", true),
            // Christmas Day 2026 is a Friday
            ("working-days", "2026-12-25T12:00:00Z", false),
            ("holidays", "2026-12-25T12:00:00Z", true),
            ("holidays", "2026-11-28T12:00:00Z", true),
            ("working-hours", "2026-11-26T08:30:00Z", true),
            ("working-hours", "2026-11-26T16:30:00Z", false),
            ("working-hours", "2026-12-25T12:00:00Z", false),
        ] {
            assert_eq!(holds(hours, at), expected, "{hours} at {at}");
        }
    }

    #[test]
    fn every_moment_of_a_year_is_among_all() {
        let working_time = WorkingTime { hours: "08:30-16:30".parse().ok(), ..WorkingTime::default() };
        let all = Moment::all(&working_time);
        let mut at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for _ in 0..10_000 {
            assert!(all.contains(&Moment::of(at, &working_time)), "{at}");
            at += jiff::SignedDuration::from_mins(53);
        }
        // Monday, Tuesday to Friday, Saturday, Sunday
        assert_eq!(all.len(), (2 + 4 * 4 + 2 + 1) * 24 * 60);
    }

    #[test]
    fn hours_are_written_as_they_are_read() {
        for text in
            ["09:00-17:00", "mon,tue 17:00-09:00", "working-days", "holidays 00:00-24:00", "working-hours", "sat"]
        {
            assert_eq!(text.parse::<Hours>().unwrap().to_string(), text);
        }
        assert_eq!("Mon-Wed".parse::<Hours>().unwrap().to_string(), "mon,tue,wed");
        for bad in [
            "",
            "9:00-17:00",
            "09:00",
            "09:00-09:00",
            "24:00-01:00",
            "09:60-10:00",
            "25:00-26:00",
            "always",
            "mon 09:00-17:00 x",
            "working-hours 09:00-10:00",
            "mon-",
            "09:00-17:00 mon",
        ] {
            assert_eq!(bad.parse::<Hours>(), Err(NotWanted), "{bad}");
        }
    }
}

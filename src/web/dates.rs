//! Days and times as people type them, as pages write them (`domain/written.rs`), and as a browser's own fields send them. Pure.

use jiff::{
    Timestamp,
    civil::{Date, DateTime, Time},
};

use crate::domain::written::LONDON;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// A day: `9/3/2026`, `9 March 2026`, `Mon 9 Mar 2026`, `2026-03-09`; of our time, for in another a year was mistyped.
pub(super) fn day(text: &str) -> Option<Date> {
    let lower = text.to_lowercase();
    let parts = lower.split(['/', '.', '-', ' ', ',']).filter(|part| !part.is_empty());
    let mut parts: Vec<&str> = parts.collect();
    if parts.len() == 4 && parts.first().is_some_and(|first| named(&WEEKDAYS, first).is_some()) {
        parts.remove(0);
    }
    let [a, b, c] = parts[..] else { return None };
    let (year, month, day) = match (named(&MONTHS, a), named(&MONTHS, b)) {
        (Some(month), None) => (c, month, b),
        (None, Some(month)) => (c, month, a),
        (None, None) if a.len() == 4 => (a, b.parse().ok()?, c),
        (None, None) => (c, b.parse().ok()?, a),
        (Some(_), Some(_)) => return None,
    };
    let day = ["st", "nd", "rd", "th"].iter().find_map(|end| day.strip_suffix(end)).unwrap_or(day);
    let year: i16 = year.parse().ok()?;
    Date::new(year, month, day.parse().ok()?).ok().filter(|_| (2000..2200).contains(&year))
}

/// The number of a name, of which three letters or more are written.
fn named(names: &[&str], text: &str) -> Option<i8> {
    let at = names.iter().position(|name| text.len() >= 3 && name.starts_with(text))?;
    i8::try_from(at + 1).ok()
}

/// A time of day: `14:30`, `2.30pm`, `9am`, `14:30:05`. A number alone might be morning or afternoon.
pub(super) fn time(text: &str) -> Option<Time> {
    let text = text.to_lowercase().replace(' ', "");
    let (clock, half) = match (text.strip_suffix("am"), text.strip_suffix("pm")) {
        (Some(clock), _) => (clock, Some(0)),
        (_, Some(clock)) => (clock, Some(12)),
        _ => (text.as_str(), None),
    };
    let two = |text: &str| text.parse::<i8>().ok().filter(|_| text.len() == 2);
    let (hour, minute, second) = match clock.split_once([':', '.']) {
        Some((hour, rest)) => {
            let (minute, second) = rest.split_once(':').unwrap_or((rest, "00"));
            (hour.parse::<i8>().ok()?, two(minute)?, two(second)?)
        }
        None => (clock.parse::<i8>().ok().filter(|_| half.is_some())?, 0, 0),
    };
    let hour = match half {
        Some(half) => (1..=12).contains(&hour).then_some(hour % 12 + half)?,
        None => hour,
    };
    Time::new(hour, minute, second, 0).ok()
}

/// A moment in the time of London: `26 November 2026, 9:00`, `2026-11-26T09:00`. A time that the clocks pass over in spring is the one after it.
pub(super) fn moment(text: &str) -> Option<Timestamp> {
    let at = match text.trim().parse::<DateTime>() {
        Ok(at) => at,
        Err(_) => {
            let (days, times) = text.trim().rsplit_once([',', 'T']).or_else(|| text.trim().rsplit_once(' '))?;
            day(days)?.to_datetime(time(times)?)
        }
    };
    at.to_zoned(LONDON).ok().map(|at| at.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::written;

    #[test]
    fn a_day_is_read_as_people_type_it_and_as_pages_write_it() {
        for text in [
            "9/3/2026",
            "09.03.2026",
            "9 3 2026",
            "2026-03-09",
            "9 March 2026",
            "9 mar 2026",
            "Monday 9 March 2026",
            "Mon, 9th March 2026",
            "March 9, 2026",
        ] {
            assert_eq!(day(text).map(|day| day.to_string()).as_deref(), Some("2026-03-09"), "{text}");
        }
        for bad in
            ["", "9", "9/3", "31/2/2026", "9/3/26", "9 Ma 2026", "9 March", "March March 2026", "1 2 3 4 5", "9/3/1026"]
        {
            assert_eq!(day(bad), None, "{bad}");
        }
        // what a page writes is taken back
        let written = crate::web::inbox::words::date("2026-11-27");
        assert_eq!(day(&written).map(|day| day.to_string()).as_deref(), Some("2026-11-27"), "{written}");
    }

    #[test]
    fn what_a_page_writes_is_taken_back() {
        for text in ["2026-06-01T13:30:05Z", "2026-01-01T00:00:00Z"] {
            let at = text.parse::<Timestamp>().unwrap();
            assert_eq!(moment(&written::to_the_second(at)), Some(at));
        }
    }

    #[test]
    fn times_are_read_as_people_type_them() {
        let typed = |text: &str| time(text).map(|time| time.strftime("%H:%M").to_string());
        for (text, expected) in [
            ("2:30pm", "14:30"),
            ("14:30", "14:30"),
            ("2.30 PM", "14:30"),
            ("9am", "09:00"),
            ("12am", "00:00"),
            ("12pm", "12:00"),
        ] {
            assert_eq!(typed(text).as_deref(), Some(expected), "{text}");
        }
        for bad in ["", "9", "25:00", "13pm", "2:3pm", "0am", "half two", "14:30:5"] {
            assert_eq!(typed(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_moment_is_londons() {
        for text in
            ["2026-07-02T10:00", "2 July 2026, 10:00", "2 July 2026, 10am", "2/7/2026 10:00", "2 July 2026, 10:00:00"]
        {
            assert_eq!(moment(text).map(|at| at.to_string()).as_deref(), Some("2026-07-02T09:00:00Z"), "{text}");
        }
        for bad in ["", "yesterday", "2 July 2026", "10:00", "2 July 2026, 25:00"] {
            assert_eq!(moment(bad), None, "{bad}");
        }
    }
}

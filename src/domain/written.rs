//! Moments as people read them: what clocks and calendars in England show, as the NHS service manual writes it (“Dates and times”: `1 June 2026,
//! 2:30pm`). Whatever tells people a time tells it so.

use jiff::{Timestamp, Zoned, tz::TimeZone};

/// Where people are, and what their clocks show.
pub const LONDON: TimeZone = jiff::tz::get!("Europe/London");

/// A moment to the minute: `1 June 2026, 2:30pm`.
pub fn moment(at: Timestamp) -> String {
    let zoned = at.to_zoned(LONDON);
    format!("{}, {}{}", day(at), clock(&zoned, false), which_of_two(&zoned))
}

/// The same to the second, where steps are told apart that follow each other: `1 June 2026, 2:30:05pm`.
pub fn to_the_second(at: Timestamp) -> String {
    let zoned = at.to_zoned(LONDON);
    format!("{}, {}{}", day(at), clock(&zoned, true), which_of_two(&zoned))
}

/// A day: `1 June 2026`.
pub fn day(at: Timestamp) -> String {
    at.to_zoned(LONDON).strftime("%-d %B %Y").to_string()
}

/// A time of day: `2:30pm`; of a whole hour `2pm`.
pub fn time(at: Timestamp) -> String {
    clock(&at.to_zoned(LONDON), false)
}

/// A moment not far from now: `2:30pm`, with the day where that is another than today: `2:30pm on 1 June`.
pub fn near(at: Timestamp, now: Timestamp) -> String {
    let (zoned, today) = (at.to_zoned(LONDON), now.to_zoned(LONDON).date());
    let time = format!("{}{}", clock(&zoned, false), which_of_two(&zoned));
    if zoned.date() == today { time } else { format!("{time} on {}", zoned.strftime("%-d %B")) }
}

fn clock(at: &Zoned, seconds: bool) -> String {
    let half = if at.hour() < 12 { "am" } else { "pm" };
    let hour = match at.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    match (at.minute(), seconds) {
        (minute, true) => format!("{hour}:{minute:02}:{:02}{half}", at.second()),
        (0, false) => format!("{hour}{half}"),
        (minute, false) => format!("{hour}:{minute:02}{half}"),
    }
}

/// In the hour that the clocks go through twice in autumn, which of the two it is.
fn which_of_two(at: &Zoned) -> String {
    let is_twice = LONDON.to_ambiguous_zoned(at.datetime()).is_ambiguous();
    if is_twice { at.strftime(" %Z").to_string() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap_or_default()
    }

    #[test]
    fn moments_are_written_as_the_manual_has_them() {
        assert_eq!(moment(at("2026-06-01T13:30:05Z")), "1 June 2026, 2:30pm");
        assert_eq!(moment(at("2026-06-01T13:00:05Z")), "1 June 2026, 2pm");
        assert_eq!(moment(at("2026-01-01T00:30:00Z")), "1 January 2026, 12:30am");
        assert_eq!(to_the_second(at("2026-06-01T13:00:05Z")), "1 June 2026, 2:00:05pm");
        assert_eq!((&*time(at("2026-07-01T11:00:00Z")), &*day(at("2026-07-01T23:30:00Z"))), ("12pm", "2 July 2026"));
        // the hour that there is twice
        assert_eq!(moment(at("2026-10-25T00:30:00Z")), "25 October 2026, 1:30am BST");
        assert_eq!(to_the_second(at("2026-10-25T01:30:00Z")), "25 October 2026, 1:30:00am GMT");
    }

    #[test]
    fn of_what_is_near_the_day_is_told_where_it_is_another() {
        let now = at("2026-07-02T10:00:00Z");
        for (text, told) in [
            ("2026-07-02T08:03:00Z", "9:03am"),
            ("2026-07-01T23:30:00Z", "12:30am"),
            ("2026-07-01T22:30:00Z", "11:30pm on 1 July"),
            ("2026-10-25T00:30:00Z", "1:30am BST on 25 October"),
        ] {
            assert_eq!(near(at(text), now), told);
        }
    }
}

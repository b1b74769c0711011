//! When a service is there. Open Referral describes it as calendars do (RFC 5545: `freq`, `byday` …), FHIR as days with hours that
//! are the same each week. What is not the same each week is told in words.

use serde_json::{Map, Value, json};

use super::super::element::{date, made_id, objects, set, set_text, text};
use crate::{definitions::Primitive, fhir::primitive};

/// The days of a week, in FHIR's words, in the calendar's and in people's.
const DAYS: [(&str, &str, &str); 7] = [
    ("mon", "MO", "Monday"),
    ("tue", "TU", "Tuesday"),
    ("wed", "WE", "Wednesday"),
    ("thu", "TH", "Thursday"),
    ("fri", "FR", "Friday"),
    ("sat", "SA", "Saturday"),
    ("sun", "SU", "Sunday"),
];
/// The longest text of what does not fit into hours.
const EXCEPTIONS_MAX_CHARS: usize = 4_000;

/// `availableTime` and `availabilityExceptions` (R4 `HealthcareService`, also `Location.hoursOfOperation` but for its name).
pub(super) fn to_fhir(row: &Map<String, Value>, service: &mut Map<String, Value>) {
    let (mut times, mut words) = (Vec::new(), Vec::<String>::new());
    for schedule in objects(row, "schedules") {
        match weekly(schedule) {
            Some(time) => times.push(time),
            None => words.extend(in_words(schedule)),
        }
        for said in ["description", "notes"] {
            words.extend(text(schedule, said).map(str::to_owned));
        }
    }
    words.dedup();
    let words: String = words.join("\n").chars().take(EXCEPTIONS_MAX_CHARS).collect();
    set(service, "availableTime", times);
    set(service, "availabilityExceptions", words);
}

/// The schedules that a service has by what FHIR says of it.
pub(super) fn from_fhir(service: &Value, id: &str) -> Vec<Value> {
    let times = service.get("availableTime").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let nth = |at: usize| made_id(&[id, "schedules", &at.to_string()]).to_string();
    let mut schedules: Vec<Value> = times
        .iter()
        .enumerate()
        .map(|(at, time)| {
            let days = time.get("daysOfWeek").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let of = |day: &&(&str, &str, &str)| days.iter().any(|one| one == day.0);
            let days: Vec<_> = DAYS.iter().filter(of).map(|day| day.1).collect();
            let mut schedule = Map::new();
            set(&mut schedule, "id", nth(at));
            set(&mut schedule, "freq", "WEEKLY");
            set(&mut schedule, "byday", days.join(","));
            if time.get("allDay") == Some(&Value::Bool(true)) {
                set(&mut schedule, "opens_at", "00:00:00");
                set(&mut schedule, "closes_at", "23:59:59");
                set(&mut schedule, "description", "All day");
            } else {
                set_text(&mut schedule, "opens_at", time.get("availableStartTime").and_then(Value::as_str));
                set_text(&mut schedule, "closes_at", time.get("availableEndTime").and_then(Value::as_str));
            }
            Value::Object(schedule)
        })
        .collect();
    if let Some(words) = service.get("availabilityExceptions").and_then(Value::as_str) {
        schedules.push(json!({"id": nth(schedules.len()), "description": words}));
    }
    schedules
}

/// The hours of a schedule that is the same each week and has no end.
fn weekly(schedule: &Map<String, Value>) -> Option<Value> {
    let says = |key: &str| schedule.get(key).is_some_and(|value| !value.is_null() && value != "");
    let once = schedule.get("interval").is_none_or(|n| n.is_null() || n.as_i64() == Some(1));
    let elsewhere = ["valid_to", "until", "count", "bymonthday", "byweekno", "byyearday", "service_at_location_id"];
    if text(schedule, "freq") != Some("WEEKLY") || !once || elsewhere.iter().any(|key| says(key)) {
        return None;
    }
    let days: Vec<&str> = text(schedule, "byday")?.split(',').map(|day| day_of(day.trim())).collect::<Option<_>>()?;
    let mut time = Map::new();
    set(&mut time, "daysOfWeek", days);
    for (key, element) in [("opens_at", "availableStartTime"), ("closes_at", "availableEndTime")] {
        if says(key) {
            set(&mut time, element, clock(text(schedule, key)?)?);
        }
    }
    Some(time.into())
}

/// FHIR's word for a day of the calendar's: without a number before it, which would be one day of a month.
fn day_of(day: &str) -> Option<&'static str> {
    DAYS.iter().find(|(_, code, _)| *code == day).map(|(word, ..)| *word)
}

/// A time of day to the second. A zone is left out: whoever is to come goes by the clock on the wall.
fn clock(written: &str) -> Option<String> {
    let plain = written.strip_suffix('Z').unwrap_or(written);
    let plain = plain.split_once(['+', '-']).map_or(plain, |(time, _)| time);
    let whole = match plain.len() {
        4 | 5 => format!("{plain:0>5}:00"),
        _ => plain.to_owned(),
    };
    primitive::text_fault(Primitive::Time, &whole).is_none().then_some(whole)
}

/// A schedule that is not the same each week, as a person would say it; nothing where it says nothing of time.
fn in_words(schedule: &Map<String, Value>) -> Option<String> {
    let mut words = Vec::new();
    let every = schedule.get("interval").and_then(Value::as_i64).filter(|n| *n > 1);
    let word = text(schedule, "freq").map(|freq| match freq {
        "WEEKLY" => "week",
        "MONTHLY" => "month",
        "DAILY" => "day",
        _ => "time",
    });
    match (every, word) {
        (Some(n), Some(word)) => words.push(format!("every {n} {word}s")),
        (None, Some(word)) => words.push(format!("every {word}")),
        _ => {}
    }
    if let Some(days) = text(schedule, "byday") {
        let named: Vec<_> = days.split(',').map(|day| named_day(day.trim())).collect();
        words.push(format!("on {}", named.join(", ")));
    }
    if let Some(days) = text(schedule, "bymonthday") {
        words.push(format!("on day {days} of the month"));
    }
    let hours = |key| text(schedule, key).map(|time| time.strip_suffix(":00").filter(|t| t.len() > 3).unwrap_or(time));
    match (hours("opens_at"), hours("closes_at")) {
        (Some(from), Some(to)) => words.push(format!("{from} to {to}")),
        (Some(from), None) => words.push(format!("from {from}")),
        (None, Some(to)) => words.push(format!("until {to}")),
        (None, None) => {}
    }
    match (date(schedule, "valid_from"), date(schedule, "valid_to").or_else(|| date(schedule, "until"))) {
        (Some(from), Some(to)) => words.push(format!("from {from} until {to}")),
        (Some(from), None) => words.push(format!("from {from}")),
        (None, Some(to)) => words.push(format!("until {to}")),
        (None, None) => {}
    }
    let mut said = words.join(", ");
    if let Some(first) = said.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    (!said.is_empty()).then_some(said)
}

/// `MO`, `2MO` or `-1FR` as a person says it; anything else as it is.
fn named_day(day: &str) -> String {
    let split = day.len().saturating_sub(2);
    let (Some(number), Some(code)) = (day.get(..split), day.get(split..)) else { return day.to_owned() };
    let Some((_, _, name)) = DAYS.iter().find(|(_, known, _)| *known == code) else { return day.to_owned() };
    let which = match number {
        "" => return (*name).to_owned(),
        "1" | "+1" => "first",
        "2" | "+2" => "second",
        "3" | "+3" => "third",
        "4" | "+4" => "fourth",
        "-1" => "last",
        _ => return day.to_owned(),
    };
    format!("the {which} {name} of the month")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fhir(schedules: Value) -> Value {
        let mut service = Map::new();
        to_fhir(json!({"schedules": schedules}).as_object().unwrap(), &mut service);
        service.into()
    }

    #[test]
    fn what_is_the_same_each_week_becomes_hours_and_comes_back() {
        let made = fhir(json!([
            {"freq": "WEEKLY", "interval": 1, "byday": "MO,TU", "opens_at": "9:30", "closes_at": "17:00Z"},
            {"freq": "WEEKLY", "byday": "SA"}
        ]));
        let times = json!([
            {"daysOfWeek": ["mon", "tue"], "availableStartTime": "09:30:00", "availableEndTime": "17:00:00"},
            {"daysOfWeek": ["sat"]}
        ]);
        assert_eq!(made, json!({"availableTime": times}));
        let back = from_fhir(&made, "1");
        assert_eq!(back[0]["byday"], "MO,TU");
        assert_eq!(back[0]["opens_at"], "09:30:00");
        assert_eq!(fhir(back.into()), json!({"availableTime": times}));
    }

    #[test]
    fn what_is_not_is_told_in_words() {
        let cases = [
            (
                json!({"freq": "MONTHLY", "byday": "2MO,-1FR", "opens_at": "10:00:00", "closes_at": "12:30:00"}),
                "Every month, on the second Monday of the month, the last Friday of the month, 10:00 to 12:30",
            ),
            (json!({"freq": "WEEKLY", "interval": 2, "byday": "WE"}), "Every 2 weeks, on Wednesday"),
            (
                json!({"freq": "WEEKLY", "byday": "TH", "valid_from": "2005-01-01", "valid_to": "2005-02-01"}),
                "Every week, on Thursday, from 2005-01-01 until 2005-02-01",
            ),
            (json!({"freq": "WEEKLY", "byday": "TH", "opens_at": "noon"}), "Every week, on Thursday, from noon"),
            (json!({"description": "Ask us", "notes": "Ask us"}), "Ask us"),
            (json!({"opens_at": "25:00"}), "From 25:00"),
        ];
        for (schedule, told) in cases {
            assert_eq!(fhir(json!([schedule])), json!({"availabilityExceptions": told}), "{schedule}");
        }
        assert_eq!(fhir(json!([{"id": "1", "freq": null}, 3, null])), json!({}));
    }
}

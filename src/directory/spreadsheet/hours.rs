//! Days and hours as people write them: “Mon-Fri 9am-5pm; Sat 10-12”.

use serde_json::{Value, json};

const DAYS: [(&str, &str); 7] =
    [("mon", "MO"), ("tue", "TU"), ("wed", "WE"), ("thu", "TH"), ("fri", "FR"), ("sat", "SA"), ("sun", "SU")];

/// The schedules that a text says; none where it is not that plain.
pub(super) fn read(said: &str) -> Option<Vec<Value>> {
    let plain = said.to_lowercase().replace(['–', '—'], "-").replace(" to ", "-").replace(" until ", "-");
    let plain = plain.replace(" - ", "-").replace("- ", "-").replace(" -", "-").replace(" and ", ",").replace('&', ",");
    let mut schedules = Vec::new();
    for part in plain.split([';', '\n']).map(str::trim).filter(|part| !part.is_empty()) {
        schedules.push(one(part.trim_end_matches('.'))?);
    }
    (!schedules.is_empty()).then_some(schedules)
}

/// Whether a text names a day.
pub(super) fn names_a_day(said: &str) -> bool {
    let said = said.to_lowercase();
    let words = said.split(|c: char| !c.is_alphabetic());
    words.into_iter().any(|word| day(word).is_some() || ["daily", "weekdays", "weekends", "everyday"].contains(&word))
}

fn one(part: &str) -> Option<Value> {
    let first_digit = part.find(|c: char| c.is_ascii_digit()).unwrap_or(part.len());
    let (days, times) = part.split_at(first_digit);
    let days = listed(days.trim().trim_end_matches([':', ',', '(']).trim_end_matches(" from").trim())?;
    let mut schedule = json!({"freq": "WEEKLY", "interval": 1, "byday": days.join(",")});
    let times = times.trim().trim_end_matches(')');
    if times.is_empty() {
        return Some(schedule);
    }
    let (from, to) = times.split_once('-')?;
    // 9-5 is from nine in the morning; 2-4pm is in the afternoon on both sides
    let after = to.trim().ends_with("pm") && !from.trim().ends_with("am");
    let (mut from, to) = (clock(from)?, clock(to)?);
    if after && from.0 < 12 && from.0 + 12 < to.0 {
        from.0 += 12;
    }
    let to = if to <= from && to.0 < 12 && from.0 < 12 { (to.0 + 12, to.1) } else { to };
    if to <= from {
        return None;
    }
    schedule["opens_at"] = format!("{:02}:{:02}:00", from.0, from.1).into();
    schedule["closes_at"] = format!("{:02}:{:02}:00", to.0, to.1).into();
    Some(schedule)
}

/// The days of a list of days and of spans of them.
fn listed(said: &str) -> Option<Vec<&'static str>> {
    let all = || DAYS.iter().map(|(_, code)| *code);
    match said {
        "daily" | "every day" | "everyday" | "all week" | "7 days" => return Some(all().collect()),
        "weekdays" => return Some(all().take(5).collect()),
        "weekends" | "weekend" => return Some(all().skip(5).collect()),
        _ => {}
    }
    let mut chosen = [false; 7];
    for part in said.split([',', '/']).map(str::trim).filter(|part| !part.is_empty()) {
        let (from, to) = match part.split_once('-') {
            Some((from, to)) => (day(from.trim())?, day(to.trim())?),
            None => (day(part)?, day(part)?),
        };
        if from > to {
            return None;
        }
        chosen.iter_mut().take(to + 1).skip(from).for_each(|day| *day = true);
    }
    let days: Vec<_> = all().zip(chosen).filter(|(_, chosen)| *chosen).map(|(code, _)| code).collect();
    (!days.is_empty()).then_some(days)
}

fn day(word: &str) -> Option<usize> {
    const NAMES: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let word = word.trim_end_matches('.');
    let word = word.strip_suffix('s').filter(|word| word.len() > 3).unwrap_or(word);
    // three letters at least, and no others than those of the name
    NAMES.iter().position(|name| word.len() >= 2 && name.starts_with(word) && (word.len() > 2 || *name != "t"))
}

/// `9`, `9.30`, `09:30`, `9am`, `12pm`, `noon`
fn clock(said: &str) -> Option<(u8, u8)> {
    let said = said.trim();
    let (plain, half) = match (said.strip_suffix("am"), said.strip_suffix("pm")) {
        (Some(plain), _) => (plain.trim(), Some(false)),
        (_, Some(plain)) => (plain.trim(), Some(true)),
        _ => (said, None),
    };
    if plain == "noon" || plain == "midday" {
        return Some((12, 0));
    }
    let (hour, minute) = plain.split_once([':', '.']).unwrap_or((plain, "00"));
    let number = |text: &str, most: u8| {
        let digits = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u8>().ok().filter(|n| digits && *n <= most)
    };
    let (hour, minute) = (number(hour, 23)?, number(minute, 59).filter(|_| minute.len() == 2)?);
    match half {
        Some(_) if hour == 0 || hour > 12 => None,
        Some(true) if hour < 12 => Some((hour + 12, minute)),
        Some(false) if hour == 12 => Some((0, minute)),
        _ => Some((hour, minute)),
    }
}

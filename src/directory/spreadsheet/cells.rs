//! What stands in one cell. Each reader says what would be right where it cannot read.

use serde_json::{Number, Value, json};

use crate::domain::InboxId;

/// Yes or no, however people write it.
pub(super) fn yes_or_no(cell: &str) -> Result<bool, &'static str> {
    match cell.to_lowercase().trim_end_matches('.') {
        "yes" | "y" | "true" | "1" | "x" | "✓" | "open" | "active" | "running" => Ok(true),
        "no" | "n" | "false" | "0" | "closed" | "inactive" | "ended" | "not running" => Ok(false),
        _ => Err("yes or no"),
    }
}

/// A postcode, or its first half, as the Royal Mail spells it.
pub(super) fn postcode(cell: &str) -> Result<String, &'static str> {
    const DUE: &str = "a postcode like L8 9ZZ, or its first half like L8";
    let plain: String = cell.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_uppercase();
    if !plain.is_ascii() {
        return Err(DUE);
    }
    if is_outward(&plain) {
        return Ok(plain);
    }
    let split = plain.len().checked_sub(3).ok_or(DUE)?;
    let (outward, inward) = plain.split_at(split);
    let mut letters = inward.bytes();
    let is_inward = letters.next().is_some_and(|b| b.is_ascii_digit()) && letters.all(|b| b.is_ascii_uppercase());
    if is_outward(outward) && is_inward { Ok(format!("{outward} {inward}")) } else { Err(DUE) }
}

/// `L8`, `L17`, `CH41`, `W1A`, `EC1A`
fn is_outward(code: &str) -> bool {
    let letters = code.bytes().take_while(u8::is_ascii_uppercase).count();
    let rest = code.get(letters..).unwrap_or_default().as_bytes();
    (1..=2).contains(&letters)
        && match rest {
            [a] => a.is_ascii_digit(),
            [a, b] => a.is_ascii_digit() && (b.is_ascii_digit() || b.is_ascii_uppercase()),
            _ => false,
        }
}

/// Telephone numbers, several with a slash, a semicolon or a line break between them.
pub(super) fn phones(cell: &str) -> Result<Vec<String>, &'static str> {
    let parts = cell.split(['/', ';', '\n']).map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let digits = part.bytes().filter(u8::is_ascii_digit).count();
            let plain = part.chars().all(|c| c.is_ascii_digit() || " +()-.".contains(c) || "extEXT".contains(c));
            if plain && (3..=20).contains(&digits) {
                Ok(part.to_owned())
            } else {
                Err("a telephone number such as 0151 496 0123; several with / between them")
            }
        })
        .collect()
}

/// An address of mail.
pub(super) fn email(cell: &str) -> Result<String, &'static str> {
    const DUE: &str = "one address of mail such as hello@garden.example";
    let plain = cell.strip_prefix("mailto:").unwrap_or(cell);
    let (before, domain) = plain.split_once('@').ok_or(DUE)?;
    let good = !before.is_empty()
        && !domain.contains('@')
        && domain.split_once('.').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty())
        && !plain.chars().any(|c| c.is_whitespace() || c.is_control() || ",;<>()".contains(c));
    if good { Ok(plain.to_owned()) } else { Err(DUE) }
}

/// The address of a page. One without its `https://` gets it.
pub(super) fn website(cell: &str) -> Result<String, &'static str> {
    const DUE: &str = "the address of a page such as https://garden.example";
    let whole = match cell.split_once("://") {
        Some(("http" | "https", _)) => cell.to_owned(),
        Some(_) => return Err(DUE),
        None => format!("https://{cell}"),
    };
    let host = whole.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let good = host.split_once('.').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty())
        && !host.contains('@')
        && !whole.chars().any(|c| c.is_whitespace() || c.is_control() || "<>\"".contains(c));
    if good { Ok(whole) } else { Err(DUE) }
}

/// The same, where nobody on the way can change what is read.
pub(super) fn secure_page(cell: &str) -> Result<String, &'static str> {
    website(cell)
        .ok()
        .filter(|page| page.starts_with("https://"))
        .ok_or("the address of a page that begins with https://")
}

/// The id of an inbox of the configuration.
pub(super) fn inbox(cell: &str, has_inbox: &dyn Fn(&str) -> bool) -> Result<String, &'static str> {
    // an Endpoint of the directory stands there by its id, and is looked for when it is written
    let is_one = |id: &InboxId| has_inbox(id.as_str()) || uuid::Uuid::try_parse(id.as_str()).is_ok();
    let id = cell.parse::<InboxId>().ok().filter(is_one);
    id.map(|id| id.as_str().to_owned()).ok_or("the id of an inbox in onward.toml")
}

/// The youngest and the oldest.
pub(super) fn ages(cell: &str) -> Result<(Option<u8>, Option<u8>), &'static str> {
    const DUE: &str = "ages such as 18+, 16-25, under 25, over 50 or all";
    let said =
        cell.to_lowercase().replace(['–', '—'], "-").replace("years old", "").replace("years", "").replace("yrs", "");
    let said = said.trim().trim_start_matches("ages ").trim_start_matches("aged ").trim();
    if ["all", "any", "all ages", "any age", "everyone"].contains(&said) {
        return Ok((None, None));
    }
    if ["adults", "adult", "adults only"].contains(&said) {
        return Ok((Some(18), None));
    }
    let age = |text: &str| text.trim().parse::<u8>().ok().filter(|age| *age <= 120).ok_or(DUE);
    let upwards = ["+", " and over", " and above", " plus", " or over", " upwards"];
    if let Some(from) = upwards.iter().find_map(|end| said.strip_suffix(end)) {
        return Ok((Some(age(from)?), None));
    }
    if let Some(from) =
        said.strip_prefix("over ").or_else(|| said.strip_prefix("over-")).or_else(|| said.strip_prefix("from "))
    {
        return Ok((Some(age(from.trim_end_matches('s'))?), None));
    }
    if let Some(to) = said.strip_prefix("under ").or_else(|| said.strip_prefix("under-")) {
        // under 25 is up to 24
        return Ok((None, Some(age(to.trim_end_matches('s'))?.saturating_sub(1))));
    }
    if let Some(to) = said.strip_prefix("up to ") {
        return Ok((None, Some(age(to)?)));
    }
    let (from, to) = said.split_once('-').or_else(|| said.split_once(" to ")).ok_or(DUE)?;
    let (from, to) = (age(from)?, age(to)?);
    if from <= to { Ok((Some(from), Some(to))) } else { Err("the younger age first, as in 16-25") }
}

/// An age in years.
pub(super) fn age(cell: &str) -> Result<u8, &'static str> {
    cell.parse::<u8>().ok().filter(|age| *age <= 120).ok_or("an age in whole years, 0 to 120")
}

/// What it costs: Open Referral's `fees` for words, or an amount in pounds and what it is for.
pub(super) enum Cost {
    Words(String),
    Pounds(Number, String),
}

/// A cost: free, an amount in pounds, or words.
pub(super) fn cost(cell: &str) -> Result<Cost, &'static str> {
    const DUE: &str = "Free, or an amount such as £3.50 per session";
    let unsigned = cell.strip_prefix(['-', '−', '–']).or_else(|| cell.strip_prefix("minus ")).map(str::trim_start);
    if unsigned.is_some_and(|rest| rest.starts_with(|c: char| c == '£' || c.is_ascii_digit())) {
        return Err(DUE);
    }
    let Some(rest) = cell.strip_prefix('£') else { return Ok(Cost::Words(cell.to_owned())) };
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (amount, words) = rest.split_at(end);
    let pence = amount.split_once('.').is_none_or(|(_, pence)| pence.len() == 2);
    match amount.parse::<Number>() {
        Ok(number) if pence && amount.len() <= 9 => Ok(Cost::Pounds(number, words.trim().to_owned())),
        _ => Err(DUE),
    }
}

/// How it is with places, in the words of the SDOH Clinical Care guide.
pub(super) fn capacity(cell: &str) -> Result<&'static str, &'static str> {
    match cell.to_lowercase().replace(['-', '_'], " ").trim() {
        "yes" | "y" | "capacity" | "open" | "spaces" | "places" | "available" | "has capacity" | "spaces available" => {
            Ok("capacity")
        }
        "waitlist" | "wait list" | "waiting list" | "limited" | "some wait" => Ok("waitlist"),
        "no" | "n" | "none" | "full" | "closed" | "no capacity" | "no spaces" => Ok("no-capacity"),
        _ => Err("yes, waiting list or full"),
    }
}

/// How long people wait, as a FHIR Duration.
pub(super) fn waiting(cell: &str) -> Result<Value, &'static str> {
    const DUE: &str = "a time such as none, 10 days, 2 weeks or 3 months";
    let said = cell.to_lowercase();
    if ["none", "no", "no wait", "no waiting time", "0", "same day"].contains(&said.as_str()) {
        return Ok(duration(0, "days", "d"));
    }
    let (number, unit) = said.split_once(' ').ok_or(DUE)?;
    let number: u32 = number.parse().ok().filter(|n| *n <= 1000).ok_or(DUE)?;
    match unit.trim().trim_end_matches('s') {
        "hour" => Ok(duration(number, "hours", "h")),
        "day" => Ok(duration(number, "days", "d")),
        "week" => Ok(duration(number, "weeks", "wk")),
        "month" => Ok(duration(number, "months", "mo")),
        _ => Err(DUE),
    }
}

fn duration(number: u32, unit: &str, code: &str) -> Value {
    json!({"value": number, "unit": unit, "system": "http://unitsofmeasure.org", "code": code})
}

/// A degree as it was written.
pub(super) fn degree(cell: &str) -> Result<Number, &'static str> {
    let plain = cell.trim_end_matches('°');
    let good = plain.parse::<f64>().is_ok_and(f64::is_finite);
    plain.parse::<Number>().ok().filter(|_| good).ok_or("degrees such as 53.41 and -2.98")
}

/// A day, year first or day first.
pub(super) fn day(cell: &str) -> Result<String, &'static str> {
    const DUE: &str = "a day such as 2026-11-02 or 02/11/2026";
    let parts: Vec<&str> = cell.split(['-', '/', '.']).map(str::trim).collect();
    let [a, b, c] = parts[..] else { return Err(DUE) };
    let (year, month, day) = if a.len() == 4 { (a, b, c) } else { (c, b, a) };
    let part = |text: &str| text.parse::<i8>().map_err(|_| DUE);
    let year: i16 = if year.len() == 4 { year.parse().map_err(|_| DUE)? } else { return Err(DUE) };
    let day = jiff::civil::Date::new(year, part(month)?, part(day)?).map_err(|_| DUE)?;
    Ok(day.to_string())
}

/// The same, of what was done by then.
pub(super) fn past_day(cell: &str, today: jiff::civil::Date) -> Result<String, &'static str> {
    let said = day(cell)?;
    let is_past = said.parse::<jiff::civil::Date>().is_ok_and(|day| day <= today);
    if is_past { Ok(said) } else { Err("today or a day before, such as 2026-11-02") }
}

/// Languages by name; those that are spoken most here with their code (BCP 47).
pub(super) fn languages(cell: &str) -> Vec<Value> {
    const CODES: [(&str, &str); 30] = [
        ("english", "en"),
        ("welsh", "cy"),
        ("polish", "pl"),
        ("arabic", "ar"),
        ("urdu", "ur"),
        ("punjabi", "pa"),
        ("bengali", "bn"),
        ("somali", "so"),
        ("chinese", "zh"),
        ("mandarin", "cmn"),
        ("cantonese", "yue"),
        ("farsi", "fa"),
        ("persian", "fa"),
        ("kurdish", "ku"),
        ("tamil", "ta"),
        ("gujarati", "gu"),
        ("hindi", "hi"),
        ("romanian", "ro"),
        ("portuguese", "pt"),
        ("spanish", "es"),
        ("french", "fr"),
        ("italian", "it"),
        ("german", "de"),
        ("ukrainian", "uk"),
        ("russian", "ru"),
        ("turkish", "tr"),
        ("tigrinya", "ti"),
        ("pashto", "ps"),
        ("bsl", "bfi"),
        ("british sign language", "bfi"),
    ];
    let parts = cell.split([',', ';', '/', '\n', '&']).map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|name| {
            let code = CODES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, code)| *code);
            code.map_or_else(|| json!({"name": name}), |code| json!({"name": name, "code": code}))
        })
        .collect()
}

/// Several words or phrases in one cell.
pub(super) fn phrases(cell: &str) -> Vec<String> {
    // a comma parts them only where nothing clearer does
    let clearer: &[char] = if cell.contains([';', '|', '\n']) { &[';', '|', '\n'] } else { &[','] };
    cell.split(clearer).map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// A short name of letters, digits and hyphens.
pub(super) fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        if c.is_alphanumeric() {
            slug.push(c);
        } else if !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

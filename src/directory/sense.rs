//! Nonsense that R4 and the profiles let through: what no price, name, day or link can be. Pure.

use jiff::civil::Date;
use serde_json::Value;

use super::{
    element::{extensions, part_of},
    entry,
    known::Known,
};
use crate::{
    domain::EntryKind,
    fhir::{Issue, IssueCode, datetime, tree},
};

/// Where a browser may follow a link to.
const SCHEMES: [&str; 4] = ["http", "https", "mailto", "tel"];
/// What a browser runs, or reads of the reader's own machine, where it is given as the address of a system.
const NEVER: [&str; 6] = ["javascript", "vbscript", "data", "blob", "file", "filesystem"];
/// The longest way from an entry to what it is part of.
const PARTS_MAX: usize = 10;

/// What makes no sense in an entry of this id.
pub(super) fn faults(kind: EntryKind, id: &str, body: &Value, known: &Known<'_>, today: Date) -> Vec<Issue> {
    let mut issues = Vec::new();
    let mut say = |place: String, told: String| issues.push(Issue::error(IssueCode::BusinessRule, place, told));
    for (place, name) in names(kind, body) {
        if is_blank(name) {
            say(place, "a name has letters: say what people call it, or leave it out".to_owned());
        }
    }
    for cost in extensions(body, "cost") {
        let amount = part_of(cost, "amount", "valueMoney").and_then(|money| money.get("value")?.as_f64());
        if amount.is_some_and(|amount| amount < 0.0) {
            say(format!("{kind}.extension"), "an amount is 0 or more; what is free says so (free)".to_owned());
        }
    }
    for assured in extensions(body, "assured") {
        let day = part_of(assured, "date", "valueDate").and_then(Value::as_str).and_then(datetime::earliest);
        if day.is_some_and(|day| super::day(day) > today) {
            say(
                format!("{kind}.extension"),
                "nobody has made sure of it on a day to come: assured is today or before".to_owned(),
            );
        }
    }
    for (place, url) in links(kind, body) {
        let Some(scheme) = scheme(url) else { continue };
        let is_good = match kind {
            // a system is reached in more ways than a browser
            EntryKind::Endpoint if place.ends_with("address") => !NEVER.contains(&scheme.as_str()),
            _ => SCHEMES.contains(&scheme.as_str()),
        };
        if !is_good {
            say(place, format!("a link begins with one of {}:", SCHEMES.join(":, ")));
        }
    }
    if kind == EntryKind::HealthcareService && body.get("providedBy").is_none() {
        let told = "say who provides it: providedBy, an Organization of the directory or one by identifier";
        say(format!("{kind}.providedBy"), told.to_owned());
    }
    if let Some(told) = part_of_itself(kind, id, body, known) {
        say(format!("{kind}.partOf"), told.to_owned());
    }
    issues
}

/// The names of an entry, and what else people read as one.
fn names(kind: EntryKind, body: &Value) -> impl Iterator<Item = (String, &str)> {
    let own = body.get("name").and_then(Value::as_str).map(|name| (format!("{kind}.name"), name));
    let alias = tree::items(body, "alias").iter().enumerate();
    let alias = alias.filter_map(move |(at, name)| Some((format!("{kind}.alias[{at}]"), name.as_str()?)));
    own.into_iter().chain(alias)
}

/// Whether a text shows nothing.
fn is_blank(text: &str) -> bool {
    // what joins, separates or marks the direction of letters shows nothing by itself
    let unseen = |c: char| matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}');
    text.chars().all(|c| c.is_whitespace() || c.is_control() || unseen(c))
}

/// What a page makes a link of, with its place.
fn links(kind: EntryKind, body: &Value) -> Vec<(String, &str)> {
    let mut found = Vec::new();
    look(body, false, &mut kind.code().to_owned(), &mut found);
    found
}

/// `is_extension`: the name of an extension is an address that nobody follows.
fn look<'b>(value: &'b Value, is_extension: bool, place: &mut String, found: &mut Vec<(String, &'b str)>) {
    match value {
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                let long = place.len();
                place.push_str(&format!("[{at}]"));
                look(item, is_extension, place, found);
                place.truncate(long);
            }
        }
        Value::Object(object) => {
            let is_contact = object.get("system").and_then(Value::as_str) == Some("url");
            for (key, inner) in object {
                let long = place.len();
                place.push('.');
                place.push_str(key);
                let is_link = match key.as_str() {
                    "value" => is_contact,
                    "url" => !is_extension,
                    key => ["address", "valueUrl"].contains(&key),
                };
                match inner.as_str() {
                    Some(text) if is_link => found.push((place.clone(), text)),
                    Some(_) => {}
                    None => look(inner, ["extension", "modifierExtension"].contains(&key.as_str()), place, found),
                }
                place.truncate(long);
            }
        }
        _ => {}
    }
}

/// The scheme of a link, as a browser reads it: without the white space that it passes over. None of one that has none, such as
/// `www.garden.example`, or a host with its port.
fn scheme(url: &str) -> Option<String> {
    let seen: String = url.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    let (scheme, _) = seen.split_once(':')?;
    let is_one = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-".contains(&b));
    is_one.then(|| scheme.to_ascii_lowercase())
}

/// Why an entry cannot be part of what it names.
fn part_of_itself(kind: EntryKind, id: &str, body: &Value, known: &Known<'_>) -> Option<&'static str> {
    if ![EntryKind::Organization, EntryKind::Location].contains(&kind) {
        return None;
    }
    let mut at = entry::part_named(kind, body, known.base)?;
    for _ in 0..PARTS_MAX {
        if at == id {
            return Some("nothing is part of itself, nor of what is part of it");
        }
        at = known.body(kind, &at).and_then(|body| entry::part_named(kind, body, known.base)).unwrap_or_default();
        if at.is_empty() {
            return None;
        }
    }
    Some("it is part of something that is part of something, too often: ten steps at the most")
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::config::Registry;

    fn told(kind: EntryKind, body: &Value) -> Vec<String> {
        let registry = Registry::default();
        let known = Known::beside(&registry, "https://onward.example/fhir", []);
        let found = faults(kind, "7", body, &known, jiff::civil::date(2026, 3, 1));
        found.into_iter().map(|issue| issue.expression.join(",")).collect()
    }

    fn extension(name: &str, part: Value) -> Value {
        json!({"extension": [{"url": format!("https://onward.example/fhir/StructureDefinition/{name}"), "extension": [part]}]})
    }

    #[test]
    fn a_name_an_amount_and_a_day_are_what_they_can_be() {
        let none = Vec::<String>::new();
        assert_eq!(told(EntryKind::Location, &json!({"name": " \u{a0}\u{200b}"})), ["Location.name"]);
        assert_eq!(
            told(EntryKind::Organization, &json!({"name": "A", "alias": ["B", "\u{feff}"]})),
            ["Organization.alias[1]"]
        );
        let cost = |amount: f64| {
            let mut body =
                extension("cost", json!({"url": "amount", "valueMoney": {"value": amount, "currency": "GBP"}}));
            body["providedBy"] = json!({"display": "x"});
            body
        };
        assert_eq!(told(EntryKind::HealthcareService, &cost(0.0)), none);
        assert_eq!(told(EntryKind::HealthcareService, &cost(-0.5)), ["HealthcareService.extension"]);
        let assured = |day: &str| extension("assured", json!({"url": "date", "valueDate": day}));
        for (day, good) in [("2026-03-01", true), ("2026", true), ("2026-03-02", false), ("2027", false)] {
            assert_eq!(told(EntryKind::Location, &assured(day)).is_empty(), good, "{day}");
        }
        assert_eq!(told(EntryKind::HealthcareService, &json!({"name": "Walk"})), ["HealthcareService.providedBy"]);
    }

    #[test]
    fn a_browser_follows_only_where_it_may() {
        for (url, good) in [
            ("https://garden.example/", true),
            ("HTTP://garden.example", true),
            ("mailto:a@garden.example", true),
            ("tel:0151 496 0000", true),
            ("www.garden.example", true),
            ("www.garden.example:8080/x", true),
            ("javascript:alert(1)", false),
            (" java\nscript:alert(1)", false),
            ("JaVaScRiPt:alert(1)", false),
            ("data:text/html,x", false),
            ("ftp://garden.example", false),
        ] {
            let found = told(EntryKind::Organization, &json!({"telecom": [{"system": "url", "value": url}]}));
            assert_eq!(found.is_empty(), good, "{url}: {found:?}");
            let photo = json!({"providedBy": {"display": "x"}, "photo": {"url": url, "extension": [{"url": "x:y"}]}});
            assert_eq!(told(EntryKind::HealthcareService, &photo).is_empty(), good, "{url}");
            let mut story = extension("practice-story", json!({"url": "document", "valueAttachment": {"url": url}}));
            story["providedBy"] = json!({"display": "x"});
            assert_eq!(told(EntryKind::HealthcareService, &story).is_empty(), good, "{url}");
        }
        let endpoint = |address: &str| told(EntryKind::Endpoint, &json!({"address": address}));
        assert!(endpoint("mllp://pas.example:2575").is_empty() && endpoint("https://x.example").is_empty());
        assert_eq!(endpoint("javascript:alert(1)"), ["Endpoint.address"]);
    }

    #[test]
    fn nothing_is_part_of_itself() {
        let registry = Registry::default();
        let organization = |of: u128| json!({"partOf": {"reference": format!("Organization/{}", Uuid::from_u128(of))}});
        let chain = |n: u128| (2..=n).map(|at| ((EntryKind::Organization, Uuid::from_u128(at)), organization(at + 1)));
        let circle = |n: u128, back: bool| {
            let mut beside: Vec<_> = chain(n).collect();
            if back {
                beside.push(((EntryKind::Organization, Uuid::from_u128(n + 1)), organization(1)));
            }
            let known = Known::beside(&registry, "https://onward.example/fhir", beside);
            part_of_itself(EntryKind::Organization, &Uuid::from_u128(1).to_string(), &organization(2), &known)
        };
        assert_eq!(circle(3, false), None);
        assert!(circle(3, true).unwrap().contains("itself"));
        assert!(circle(30, true).unwrap().contains("too often"), "a circle is never so long that it is not seen");
        let known = Known::beside(&registry, "https://onward.example/fhir", []);
        let own = part_of_itself(EntryKind::Location, "7", &json!({"partOf": {"reference": "Location/7"}}), &known);
        assert!(own.is_some());
    }
}

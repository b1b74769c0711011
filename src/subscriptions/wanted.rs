//! What a Subscription asks for.

use serde_json::Value;

use super::{BACKPORT, FILTERS, TOPIC, channel::Channel};
use crate::{
    fhir::{Issue, IssueCode, tree},
    search::{Search, World},
};

/// What a Subscription asks for, understood.
#[derive(Debug)]
pub struct Wanted {
    /// Where it is told.
    pub channel: Channel,
    /// All of these must hold for a Task.
    filters: Vec<Search>,
}

/// The most filters of one subscription.
const FILTERS_MAX: usize = 10;

impl Wanted {
    /// Reads a Subscription. `base` is this server's FHIR base.
    ///
    /// # Errors
    /// What of it is not supported, and where.
    pub fn read(subscription: &Value, base: &str) -> Result<Self, Vec<Issue>> {
        let mut issues = Vec::new();
        if subscription.get("criteria").and_then(Value::as_str) != Some(TOPIC) {
            let told = format!(
                "use the topic {TOPIC}, and what narrows it in the extension backport-filter-criteria of criteria"
            );
            issues.push(Issue::error(IssueCode::NotSupported, "Subscription.criteria", told));
        }
        let url = format!("{BACKPORT}backport-filter-criteria");
        let said = subscription.get("_criteria").map(|about| tree::items(about, "extension")).unwrap_or_default();
        let texts = said.iter().filter(|e| e.get("url").and_then(Value::as_str) == Some(&url));
        let mut filters = Vec::new();
        for text in texts.map(|e| e.get("valueString").and_then(Value::as_str).unwrap_or_default()) {
            match filter(text, base) {
                Ok(filter) if filters.len() < FILTERS_MAX => filters.push(filter),
                Ok(_) => issues.push(wrong(format!("there are at most {FILTERS_MAX} filters"))),
                Err(told) => issues.push(wrong(told)),
            }
        }
        match Channel::read(subscription) {
            Ok(channel) if issues.is_empty() => Ok(Self { channel, filters }),
            Ok(_) => Err(issues),
            Err(more) => {
                issues.extend(more);
                Err(issues)
            }
        }
    }

    /// Whether it is to be told of this version of a Task.
    pub fn matches(&self, task: &Value, world: &World<'_>) -> bool {
        self.filters.iter().all(|filter| filter.matches(task, world))
    }
}

fn wrong(told: String) -> Issue {
    Issue::error(IssueCode::NotSupported, "Subscription.criteria.extension", told)
}

/// `Task?owner=…&status=…`
fn filter(text: &str, base: &str) -> Result<Search, String> {
    let told = || format!("use Task? and one of {} as a search has them", FILTERS.join(", "));
    let query = text.strip_prefix("Task?").ok_or_else(told)?;
    let pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
            (decoded(name), decoded(value))
        })
        .collect();
    let is_known = |name: &str| FILTERS.contains(&name.split([':', '.']).next().unwrap_or_default());
    if pairs.is_empty() || !pairs.iter().all(|(name, _)| is_known(name)) {
        return Err(told());
    }
    let search = Search::read("Task", &pairs, base, false)
        .map_err(|issues| issues.first().map(|issue| issue.diagnostics.clone()).unwrap_or_default())?;
    // what lies beyond the Task is not looked at for each of its versions
    if search.looking_beyond().any(|condition| condition.name.contains('.')) {
        return Err(told());
    }
    Ok(search)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const BASE: &str = "https://onward.example/fhir";

    fn wanted(filters: &[&str]) -> Result<Wanted, Vec<Issue>> {
        let extension = |f: &&str| json!({"url": format!("{BACKPORT}backport-filter-criteria"), "valueString": f});
        let subscription = json!({"resourceType": "Subscription", "criteria": TOPIC,
            "_criteria": {"extension": filters.iter().map(extension).collect::<Vec<_>>()},
            "channel": {"type": "rest-hook", "endpoint": "https://app.example/hook"}});
        Wanted::read(&subscription, BASE)
    }

    #[test]
    fn filters_must_all_hold() {
        let task = json!({"resourceType": "Task", "status": "accepted", "owner": {"reference": "Organization/mind"},
                          "code": {"coding": [{"code": "fulfill"}]}});
        let world = World { base: BASE, now: jiff::Timestamp::UNIX_EPOCH, owner: Some("mind"), find: &|_, _| None };
        for (filters, expected) in [
            (&[][..], true),
            (&["Task?status=accepted,rejected"], true),
            (&["Task?status=requested"], false),
            (&["Task?owner=Organization/mind&code=fulfill"], true),
            (&["Task?owner=Organization%2Fother"], false),
            (&["Task?status=accepted", "Task?code=other"], false),
        ] {
            assert_eq!(wanted(filters).unwrap().matches(&task, &world), expected, "{filters:?}");
        }
    }

    #[test]
    fn what_cannot_narrow_it_is_refused() {
        for bad in [
            "",
            "Patient?name=x",
            "Task?",
            "Task?_lastUpdated=gt2020",
            "Task?patient.name=x",
            "Task?status=done",
            "Task?colour=red",
        ] {
            let issues = wanted(&[bad]).unwrap_err();
            assert_eq!(issues[0].expression, ["Subscription.criteria.extension"], "{bad}");
        }
        let other = json!({"criteria": "Task?status=accepted", "channel": {"type": "rest-hook", "endpoint": "https://a.example"}});
        assert_eq!(Wanted::read(&other, BASE).unwrap_err()[0].expression, ["Subscription.criteria"]);
    }
}

//! A route set in plain words. Pure.

use crate::{
    config::Registry,
    domain::InboxId,
    routing::{Condition, Kind, Need, Route, RouteSet, Share},
};

/// So many values of a condition are told.
const WANTED_MAX: usize = 50;

/// A rule.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// Its place in the order in which they are tried, from 1.
    pub number: usize,
    pub name: String,
    pub priority: u32,
    /// What must hold, all of it.
    pub conditions: Vec<Asked>,
    /// Where it leads.
    pub to: String,
    /// What else is so.
    pub more: Vec<String>,
}

/// A condition: any of the values is enough.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub what: &'static str,
    /// Whether its values are codes of a code system, which have names.
    pub is_code: bool,
    pub any_of: Vec<String>,
    pub left_out: usize,
}

/// Rules from one place in the order on, so many of them.
pub(super) fn rules(set: &RouteSet, registry: &Registry, from: usize, count: usize) -> Vec<Rule> {
    let some = set.routes().iter().enumerate().skip(from).take(count);
    some.map(|(at, route)| rule(at + 1, route, registry)).collect()
}

fn rule(number: usize, route: &Route, registry: &Registry) -> Rule {
    let mut more = Vec::new();
    if let ([_, _, ..], Share::Split) = (&route.to[..], route.share) {
        more.push("Each of them gets an order of its own, made of the request.".to_owned());
    }
    if !route.fallback.is_empty() {
        let them = either(&route.fallback, registry);
        more.push(format!("While it is closed or full, {them} stands in, the first that is open."));
    }
    let terms = &route.terms;
    if let Some(within) = terms.acknowledge_within {
        more.push(format!("It is to be taken within {within}."));
    }
    if let Some(within) = terms.answer_within {
        more.push(format!("It is to be answered within {within}."));
    }
    if let Some(inbox) = &terms.escalate_to {
        more.push(format!("What is late goes to {} as well.", named(inbox, registry)));
    }
    Rule {
        number,
        name: route.name.clone(),
        priority: route.priority,
        conditions: route.when.iter().map(asked).collect(),
        to: all(&route.to, registry),
        more,
    }
}

fn asked(condition: &Condition) -> Asked {
    let mut any_of = condition.wanted();
    let left_out = any_of.len().saturating_sub(WANTED_MAX);
    any_of.truncate(WANTED_MAX);
    let is_code = matches!(condition.kind(), Kind::Code | Kind::Category);
    Asked { what: spoken(condition.kind()), is_code, any_of, left_out }
}

/// A kind of condition as the beginning of a sentence.
fn spoken(kind: Kind) -> &'static str {
    match kind {
        Kind::Code => "What is asked for is",
        Kind::Category => "Its category is",
        Kind::Performer => "The referrer names",
        Kind::RequesterOrg => "The organisation that refers is",
        Kind::System => "It comes from the system",
        Kind::PatientArea => "The person lives in",
        Kind::PatientAge => "The person’s age is",
        Kind::Language => "The person speaks",
        Kind::Consent => "Consent is",
        Kind::Urgency => "Its urgency is",
        Kind::Time => "It is decided in the time",
        Kind::Fhirpath => "It is true that",
    }
}

/// A condition by the word of the file, likewise.
pub(super) fn spoken_word(word: &str) -> String {
    let kind = Kind::ALL.into_iter().find(|kind| kind.word() == word);
    kind.map_or_else(|| word.to_owned(), |kind| spoken(kind).to_owned())
}

/// What happens where no rule matches.
pub(super) fn otherwise(set: &RouteSet, registry: &Registry) -> String {
    match set.triage() {
        Some(inbox) => format!("It goes to {}, where a person looks at it.", named(inbox, registry)),
        None => "It is refused, and its sender is told which rules were tried.".to_owned(),
    }
}

/// What a receiver insists on.
pub(super) fn insisted(need: &Need, registry: &Registry) -> String {
    let Need { to, fhirpath, message } = need;
    format!("For {} it must be true that {fhirpath}. Otherwise the sender is told: {message}", all(to, registry))
}

/// An inbox with whose it is.
pub(super) fn named(inbox: &InboxId, registry: &Registry) -> String {
    let provider = registry.inboxes.get(inbox).and_then(|one| registry.providers.get(&one.provider));
    match provider {
        Some(provider) => format!("{} (inbox {inbox})", provider.name),
        None => format!("the inbox {inbox}"),
    }
}

pub(super) fn all(inboxes: &[InboxId], registry: &Registry) -> String {
    inboxes.iter().map(|inbox| named(inbox, registry)).collect::<Vec<_>>().join(" and ")
}

fn either(inboxes: &[InboxId], registry: &Registry) -> String {
    inboxes.iter().map(|inbox| named(inbox, registry)).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{route_sets::read_draft, web::console::tests::config};

    #[test]
    fn a_rule_is_told_in_words_in_the_order_in_which_it_is_tried() {
        let registry = config().registry;
        let text = "[[route]]\nname = \"later\"\npriority = 200\nwhen = { system = [\"brownlow-gp\"] }\nto = \"link-workers\"\n\
                    [[route]]\nname = \"first\"\nwhen = { code = [\"1\", \"2\"], urgency = [\"urgent\"] }\nto = [\"life-rooms\", \"link-workers\"]\n\
                    share = \"split\"\nescalate-to = \"link-workers\"\n\
                    [triage]\nto = \"link-workers\"\n";
        let text = text.replace(
            "to = [\"life-rooms\", \"link-workers\"]\nshare = \"split\"\n",
            "to = \"life-rooms\"\nfallback = \"link-workers\"\n",
        );
        let (set, _) = read_draft(&text, &Default::default(), &registry).unwrap();
        let told = rules(&set, &registry, 0, 10);
        assert_eq!(
            told.iter().map(|rule| (rule.number, rule.name.as_str())).collect::<Vec<_>>(),
            [(1, "first"), (2, "later")]
        );
        assert_eq!(told[0].to, "The Life Rooms (inbox life-rooms)");
        assert_eq!(
            told[0].more,
            [
                "While it is closed or full, Link workers (inbox link-workers) stands in, the first that is open.",
                "What is late goes to Link workers (inbox link-workers) as well.",
            ]
        );
        assert_eq!(
            (told[0].conditions[0].what, &told[0].conditions[0].any_of[..]),
            ("What is asked for is", &["1".to_owned(), "2".to_owned()][..])
        );
        assert_eq!(rules(&set, &registry, 1, 1)[0].name, "later", "the second page");
        assert_eq!(
            otherwise(&set, &registry),
            "It goes to Link workers (inbox link-workers), where a person looks at it."
        );
        assert!(otherwise(&RouteSet::empty(), &registry).starts_with("It is refused"));
    }

    #[test]
    fn every_kind_of_condition_has_words() {
        for kind in Kind::ALL {
            assert_ne!(spoken_word(kind.word()), kind.word());
        }
        assert_eq!(spoken_word("new-in-a-later-version"), "new-in-a-later-version");
    }
}

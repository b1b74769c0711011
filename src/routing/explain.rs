//! Why a referral goes where it goes: every rule with every condition. Of the patient nothing appears but what a rule asked for and
//! found: that they live in its area, are of its age, speak its language.

use std::{borrow::Cow, collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use super::{Coding, Condition, Facts, Missing, Path, Route, RouteSet, Target, Unavailable};
use crate::domain::InboxId;

/// No text found in a referral is repeated beyond this many characters.
const FOUND_CHARS_MAX: usize = 120;
/// Of a greater set, the explanation that is kept with a referral tells of no more rules.
pub const EXPLAINED_MAX: usize = 100;
/// Nor more than this many texts of one condition.
const FOUND_ITEMS_MAX: usize = 20;

/// Every rule in the order it is tried, and the decision.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Explanation {
    /// The version of the route set.
    pub version: String,
    /// The inboxes decided on; none where it can go nowhere.
    pub inboxes: Vec<Goes>,
    /// Why it can go nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What receivers insist on and it lacks: it would be refused with these words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// The rule that decided; `None` where it is triage, or nothing.
    pub route: Option<String>,
    /// The triage inbox, if there is one.
    pub triage: Option<InboxId>,
    /// The rules that are told of.
    pub rules: Vec<RuleExplained>,
    /// So many more are not told of. Those that match are told of first.
    #[serde(default, skip_serializing_if = "is_none")]
    pub left_out: usize,
}

/// An inbox decided on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Goes {
    /// The inbox.
    pub to: InboxId,
    /// The one that the rule names and why it takes nothing, where this one stands in for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<String>,
}

/// One rule.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RuleExplained {
    /// Its name.
    pub name: String,
    /// Its priority.
    pub priority: u32,
    /// The inboxes it would send to.
    pub to: Vec<InboxId>,
    /// Whether all its conditions hold.
    pub matches: bool,
    /// Whether it is the first that does.
    pub decides: bool,
    /// Its conditions.
    pub conditions: Vec<ConditionExplained>,
}

/// One condition.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ConditionExplained {
    /// The word that names it in the file.
    pub condition: Cow<'static, str>,
    /// Whether it holds.
    pub holds: bool,
    /// The first of the wanted values that holds.
    pub by: Option<String>,
    /// The values wanted, of which one is enough.
    pub wanted: Vec<String>,
    /// What the referral says; always empty for what is the person's own.
    pub found: Vec<String>,
    /// The same in a sentence.
    pub why: String,
}

fn is_none(left_out: &usize) -> bool {
    *left_out == 0
}

// === impl RouteSet ===

impl RouteSet {
    /// Every rule with why it did or did not match, and what [`RouteSet::decide`] decides. Of a set with more than `most` rules, only
    /// so many are told of: those that match, then those that come near.
    pub fn explain(
        &self,
        facts: &Facts<'_>,
        unavailable: &dyn Fn(&InboxId) -> Option<Unavailable>,
        most: usize,
    ) -> Explanation {
        let mut matching: Option<&Route> = None;
        let mut rules = Vec::with_capacity(self.routes().len().min(most));
        for rule in self.told_of(facts, most) {
            let conditions: Vec<_> = rule.when.iter().map(|condition| explained(condition, facts)).collect();
            let matches = conditions.iter().all(|condition| condition.holds);
            let decides = matches && matching.is_none();
            if decides {
                matching = Some(rule);
            }
            let (name, priority, to) = (rule.name.clone(), rule.priority, rule.to.clone());
            rules.push(RuleExplained { name, priority, to, matches, decides, conditions });
        }
        let decided = self.decision(matching, unavailable);
        let route = matching.map(|route| route.name.clone());
        let (version, triage) = (self.version().to_owned(), self.triage().cloned());
        let left_out = self.routes().len().saturating_sub(rules.len());
        let goes = |target: Target| Goes {
            to: target.inbox,
            instead_of: target.instead_of.map(|(inbox, why)| format!("{inbox}, which is {why}")),
        };
        match decided {
            Ok(decision) => {
                let told = |one: Missing| format!("{} (the inbox {} insists on it)", one.message, one.inbox);
                let missing = self.missing(&decision, facts).into_iter().map(told).collect();
                let inboxes = decision.targets.into_iter().map(goes).collect();
                Explanation { version, inboxes, refused: None, missing, route, triage, rules, left_out }
            }
            Err(none) => Explanation {
                version,
                inboxes: Vec::new(),
                missing: Vec::new(),
                refused: Some(none.to_string()),
                route,
                triage,
                rules,
                left_out,
            },
        }
    }

    /// The rules that an explanation tells of, in the order they are tried.
    fn told_of(&self, facts: &Facts<'_>, most: usize) -> Vec<&Route> {
        if self.routes().len() <= most {
            return self.routes().iter().collect();
        }
        // with the first that matches, which is always among them, what follows is decided
        self.near(facts, most.max(1)).into_iter().filter_map(|at| self.routes().get(at)).collect()
    }
}

fn explained(condition: &Condition, facts: &Facts<'_>) -> ConditionExplained {
    let by = condition.held_by(facts);
    let found = found(condition, facts);
    let why = match (&by, condition) {
        (Some(by), Condition::PatientArea(_)) => format!("the person lives in {by}"),
        (Some(by), Condition::PatientAge(_)) => format!("the person's age is in {by}"),
        (Some(by), Condition::Language(_)) => format!("the person speaks {by}"),
        (Some(by), Condition::Consent(_)) => format!("consent is {by}"),
        (Some(by), Condition::Time(_)) => format!("{} lies in {by}", facts.moment),
        (Some(by), Condition::Fhirpath(_)) => format!("it is true that {by}"),
        (Some(by), _) => format!("the referral has {by}"),
        (None, Condition::PatientArea(_)) if facts.homes.is_empty() => {
            "no current home postcode travels with the referral".to_owned()
        }
        (None, Condition::PatientArea(_)) => "the person lives in none of these".to_owned(),
        (None, Condition::PatientAge(_)) if facts.age.is_none() => {
            "no date of birth travels with the referral".to_owned()
        }
        (None, Condition::PatientAge(_)) => "the person is not certainly of such an age".to_owned(),
        (None, Condition::Language(_)) if facts.languages.is_empty() => {
            "no language travels with the referral".to_owned()
        }
        (None, Condition::Language(_)) => "the person speaks none of these".to_owned(),
        (None, Condition::Consent(_)) => format!("consent is {}", facts.consent),
        (None, Condition::Time(_)) => format!("it is {}", facts.moment),
        (None, Condition::Fhirpath(paths)) => not_true(paths, facts),
        (None, _) if found.is_empty() => "the referral has none".to_owned(),
        (None, _) => format!("the referral has {}", found.join(", ")),
    };
    ConditionExplained {
        condition: condition.word().into(),
        holds: by.is_some(),
        by,
        wanted: condition.wanted(),
        found,
        why,
    }
}

/// Why no expression holds. That one could not be evaluated is worth more than that another is false.
fn not_true(paths: &[Path], facts: &Facts<'_>) -> String {
    if let Some(why) = paths.iter().find_map(|path| path.truth(facts).err()) {
        return format!("it cannot be evaluated: {why}");
    }
    let said = paths.iter().any(|path| path.truth(facts) == Ok(Some(false)));
    if said { "it is false".to_owned() } else { "it yields nothing".to_owned() }
}

fn found(condition: &Condition, facts: &Facts<'_>) -> Vec<String> {
    let codes = |codes: &BTreeSet<Coding>| codes.iter().map(ToString::to_string).collect::<Vec<_>>();
    let all = match condition {
        Condition::Code(_) => codes(&facts.codes),
        Condition::Category(_) => codes(&facts.categories),
        Condition::Performer(_) => {
            let mut all: Vec<String> = facts.performer_orgs.iter().cloned().collect();
            all.extend(codes(&facts.performer_identifiers));
            all.extend(facts.performer_references.iter().cloned());
            all
        }
        Condition::RequesterOrg(_) => facts.requester_orgs.iter().cloned().collect(),
        Condition::System(_) => vec![facts.system.to_string()],
        Condition::Urgency(_) => vec![facts.urgency.to_string()],
        // what is the person's own is not repeated
        Condition::PatientArea(_)
        | Condition::PatientAge(_)
        | Condition::Language(_)
        | Condition::Consent(_)
        | Condition::Time(_)
        | Condition::Fhirpath(_) => Vec::new(),
    };
    let short = |text: String| -> String { text.chars().filter(|c| !c.is_control()).take(FOUND_CHARS_MAX).collect() };
    all.into_iter().take(FOUND_ITEMS_MAX).map(short).collect()
}

// === impl Explanation ===

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inboxes = self.inboxes.iter().map(|goes| match &goes.instead_of {
            Some(instead) => format!("{} instead of {instead}", goes.to),
            None => goes.to.to_string(),
        });
        let inboxes = inboxes.collect::<Vec<_>>().join(" and ");
        match (&self.refused, &self.route) {
            (Some(told), _) => writeln!(f, "Goes nowhere: {told}.")?,
            (None, Some(route)) => writeln!(f, "Goes to {inboxes} by the route {route}.")?,
            (None, None) => {
                writeln!(f, "Goes to {inboxes}: no route matches, and this inbox takes what no route does.")?
            }
        }
        for missing in &self.missing {
            writeln!(f, "It is refused all the same: {missing}.")?;
        }
        writeln!(f, "Route set {}, in the order tried:", self.version)?;
        for rule in &self.rules {
            let verdict = match (rule.decides, rule.matches) {
                (true, _) => "matches and decides",
                (false, true) => "matches too, but comes later",
                (false, false) => "does not match",
            };
            let to = rule.to.iter().map(InboxId::as_str).collect::<Vec<_>>().join(" and ");
            writeln!(f, "\n{} (priority {}, to {to}): {verdict}", rule.name, rule.priority)?;
            for condition in &rule.conditions {
                let mark = if condition.holds { "yes" } else { "no " };
                write!(f, "  {mark}  {}: {}", condition.condition, condition.why)?;
                match condition.holds {
                    true => writeln!(f)?,
                    false => writeln!(f, "; wanted {}", condition.wanted.join(" or "))?,
                }
            }
        }
        if self.left_out > 0 {
            writeln!(f, "\n{} more rules are not told of.", self.left_out)?;
        }
        Ok(())
    }
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.system {
            Some(system) => write!(f, "{system}|{}", self.code),
            None => f.write_str(&self.code),
        }
    }
}

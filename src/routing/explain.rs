//! Why a referral goes where it goes: every rule with every condition. Of the patient nothing appears but a postcode
//! area that a rule asked for.

use std::{collections::BTreeSet, fmt};

use serde::Serialize;

use super::{Coding, Condition, Facts, RouteSet};
use crate::domain::InboxId;

/// No text found in a referral is repeated beyond this many characters.
const FOUND_CHARS_MAX: usize = 120;
/// Nor more than this many texts of one condition.
const FOUND_ITEMS_MAX: usize = 20;

/// Every rule in the order it is tried, and the decision.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Explanation {
    /// The version of the route set.
    pub version: String,
    /// The inbox decided on; `None` where no rule matches and there is no triage inbox.
    pub inbox: Option<InboxId>,
    /// The rule that decided; `None` where it is triage, or nothing.
    pub route: Option<String>,
    /// The triage inbox, if there is one.
    pub triage: Option<InboxId>,
    /// All rules.
    pub rules: Vec<RuleExplained>,
}

/// One rule.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RuleExplained {
    /// Its name.
    pub name: String,
    /// Its priority.
    pub priority: u32,
    /// The inbox it would send to.
    pub to: InboxId,
    /// Whether all its conditions hold.
    pub matches: bool,
    /// Whether it is the first that does.
    pub decides: bool,
    /// Its conditions.
    pub conditions: Vec<ConditionExplained>,
}

/// One condition.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ConditionExplained {
    /// The word that names it in the file.
    pub condition: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// The first of the wanted values that holds.
    pub by: Option<String>,
    /// The values wanted, of which one is enough.
    pub wanted: Vec<String>,
    /// What the referral says; always empty for `patient-area`.
    pub found: Vec<String>,
    /// The same in a sentence.
    pub why: String,
}

// === impl RouteSet ===

impl RouteSet {
    /// Every rule with why it did or did not match, and what [`RouteSet::decide`] decides.
    pub fn explain(&self, facts: &Facts) -> Explanation {
        let mut route = None;
        let mut inbox = None;
        let mut rules = Vec::with_capacity(self.routes().len());
        for rule in self.routes() {
            let conditions: Vec<_> = rule.when.iter().map(|condition| explained(condition, facts)).collect();
            let matches = conditions.iter().all(|condition| condition.holds);
            let decides = matches && route.is_none();
            if decides {
                (route, inbox) = (Some(rule.name.clone()), Some(rule.to.clone()));
            }
            let (name, priority, to) = (rule.name.clone(), rule.priority, rule.to.clone());
            rules.push(RuleExplained { name, priority, to, matches, decides, conditions });
        }
        let triage = self.triage().cloned();
        Explanation {
            version: self.version().to_owned(),
            inbox: inbox.or_else(|| triage.clone()),
            route,
            triage,
            rules,
        }
    }
}

fn explained(condition: &Condition, facts: &Facts) -> ConditionExplained {
    let by = condition.held_by(facts);
    let found = found(condition, facts);
    let why = match (&by, condition) {
        (Some(by), Condition::PatientArea(_)) => format!("the person lives in {by}"),
        (Some(by), _) => format!("the referral has {by}"),
        (None, Condition::PatientArea(_)) if facts.outward_codes.is_empty() => {
            "no current home postcode travels with the referral".to_owned()
        }
        (None, Condition::PatientArea(_)) => "the person lives in none of these".to_owned(),
        (None, _) if found.is_empty() => "the referral has none".to_owned(),
        (None, _) => format!("the referral has {}", found.join(", ")),
    };
    ConditionExplained { condition: condition.word(), holds: by.is_some(), by, wanted: condition.wanted(), found, why }
}

fn found(condition: &Condition, facts: &Facts) -> Vec<String> {
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
        Condition::PatientArea(_) => Vec::new(),
        Condition::System(_) => vec![facts.system.to_string()],
    };
    let short = |text: String| -> String { text.chars().filter(|c| !c.is_control()).take(FOUND_CHARS_MAX).collect() };
    all.into_iter().take(FOUND_ITEMS_MAX).map(short).collect()
}

// === impl Explanation ===

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.inbox, &self.route) {
            (Some(inbox), Some(route)) => writeln!(f, "Goes to {inbox} by the route {route}.")?,
            (Some(inbox), None) => {
                writeln!(f, "Goes to {inbox}: no route matches, and this inbox takes what no route does.")?
            }
            (None, _) => writeln!(f, "Goes nowhere: no route matches, and there is no triage inbox.")?,
        }
        writeln!(f, "Route set {}, in the order tried:", self.version)?;
        for rule in &self.rules {
            let verdict = match (rule.decides, rule.matches) {
                (true, _) => "matches and decides",
                (false, true) => "matches too, but comes later",
                (false, false) => "does not match",
            };
            writeln!(f, "\n{} (priority {}, to {}): {verdict}", rule.name, rule.priority, rule.to)?;
            for condition in &rule.conditions {
                let mark = if condition.holds { "yes" } else { "no " };
                write!(f, "  {mark}  {}: {}", condition.condition, condition.why)?;
                match condition.holds {
                    true => writeln!(f)?,
                    false => writeln!(f, "; wanted {}", condition.wanted.join(" or "))?,
                }
            }
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

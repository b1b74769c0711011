//! Where a referral went, or would go.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use crate::routing::{Decision, Missing, NoRoute};

/// Where a referral went, or would go. Names of inboxes and routes only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Went {
    /// The inboxes, stand-ins apart; none where it is refused.
    pub inboxes: BTreeSet<String>,
    /// The route that decides; none where it is triage, or nothing.
    pub route: Option<String>,
    /// Why it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// A decision as it was stored, by this version or an earlier one, as far as it is looked at.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Stored {
    #[serde(default)]
    inboxes: Vec<Goes>,
    #[serde(default)]
    inbox: Option<String>,
    #[serde(default)]
    route: Option<String>,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Goes {
    to: String,
}

#[derive(Deserialize)]
struct Rule {
    to: To,
    decides: bool,
}

/// One inbox or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum To {
    One(String),
    Several(BTreeSet<String>),
}

impl Went {
    /// Where it went by the decision that was stored with it, had all inboxes been open; none where that does not tell.
    pub fn as_decided(decision: &str) -> Option<Self> {
        let stored: Stored = serde_json::from_str(decision).ok()?;
        let named = stored.rules.into_iter().find(|rule| rule.decides).map(|rule| match rule.to {
            To::One(inbox) => BTreeSet::from([inbox]),
            To::Several(inboxes) => inboxes,
        });
        let inboxes =
            named.unwrap_or_else(|| stored.inboxes.into_iter().map(|one| one.to).chain(stored.inbox).collect());
        (!inboxes.is_empty()).then_some(Self { inboxes, route: stored.route, refused: None })
    }

    /// Where it goes by a decision, and by what its receivers insist on.
    pub fn by(decided: &Result<Decision, NoRoute>, missing: &[Missing]) -> Self {
        let refused = |why: String| Self { inboxes: BTreeSet::new(), route: None, refused: Some(why) };
        match decided {
            Err(NoRoute::NoneMatches { .. }) => refused("no route matches".to_owned()),
            Err(none @ NoRoute::AllClosed { .. }) => refused(none.to_string()),
            Ok(decision) => match missing.first() {
                Some(missing) => Self {
                    route: decision.route.clone(),
                    ..refused(format!("“{}” insists on {}", missing.inbox, missing.expression))
                },
                None => Self {
                    inboxes: decision.inboxes().map(|inbox| inbox.as_str().to_owned()).collect(),
                    route: decision.route.clone(),
                    refused: None,
                },
            },
        }
    }

    /// The route, or that it is triage.
    pub fn route(&self) -> &str {
        match (&self.route, &self.refused) {
            (Some(route), _) => route,
            (None, None) => "triage",
            (None, Some(_)) => "none",
        }
    }
}

impl fmt::Display for Went {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.refused {
            Some(why) => write!(f, "refused, as {why}"),
            None => f.write_str(&self.inboxes.iter().map(String::as_str).collect::<Vec<_>>().join(" and ")),
        }
    }
}

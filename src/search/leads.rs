//! By what the candidates of a search can be found without looking at everything that is stored.

use jiff::Timestamp;
use uuid::Uuid;

use super::{Condition, Search, Test, Token, Wanted, date::Prefix};
use crate::{
    definitions::SearchKind,
    domain::TaskStatus,
    fhir::{names::name, task::id_of_identifier},
};

/// By what candidates are found. Whatever it is, all that the search looks for is among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leads {
    /// Their own logical ids.
    Ids(Vec<String>),
    /// Resources of the same referral, by their logical ids.
    Beside(Vec<Uuid>),
    /// An identifier of their referral or of the person whom it is about, by its value.
    Named(Vec<String>),
    /// Nothing: they would have to be looked for among all that there are.
    Nothing,
}

/// Resources whose identifiers find their referral.
const NAMED: &[(&str, &str)] = &[
    ("ServiceRequest", "identifier"),
    ("ServiceRequest", "requisition"),
    ("Patient", "identifier"),
    ("Task", "group-identifier"),
];
/// References to the person whom a referral is about: `:identifier` looks at what they lead to as well, which R4 leaves open.
pub(super) const PERSON: &[&str] = &["patient", "subject"];

impl Search {
    /// By what the candidates are best found.
    pub fn leads(&self) -> Leads {
        let all: Vec<Leads> = self.conditions.iter().map(|condition| condition.leads(&self.of)).collect();
        let rank = |leads: &Leads| match leads {
            Leads::Ids(_) => 0,
            Leads::Beside(_) => 1,
            Leads::Named(_) => 2,
            Leads::Nothing => 3,
        };
        all.into_iter().min_by_key(rank).unwrap_or(Leads::Nothing)
    }

    /// The statuses that a Task must have one of, where the search says so.
    pub fn task_statuses(&self) -> Option<Vec<TaskStatus>> {
        let conditions = self.conditions.iter().filter(|c| c.name == "status");
        let statuses = conditions.filter_map(|condition| {
            let codes = condition.tokens()?.map(|token| token.code.as_deref());
            codes.collect::<Option<Vec<_>>>()
        });
        let known = |codes: Vec<&str>| codes.into_iter().filter_map(|code| code.parse().ok()).collect::<Vec<_>>();
        statuses.map(known).reduce(|a: Vec<TaskStatus>, b| a.into_iter().filter(|status| b.contains(status)).collect())
    }

    /// From when on, and before when, it must have changed last, as far as the search says so.
    pub fn updated_within(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        let (mut from, mut before) = (None, None);
        for condition in self.conditions.iter().filter(|c| c.name == "_lastUpdated") {
            let Test::Any { values, not: false } = &condition.test else { continue };
            let [Wanted::Date(prefix, span)] = values.as_slice() else { continue };
            let (low, high) = match prefix {
                Prefix::Eq => (Some(span.from), Some(span.to)),
                Prefix::Gt | Prefix::Ge => (Some(span.from), None),
                Prefix::Sa => (Some(span.to), None),
                Prefix::Lt | Prefix::Le => (None, Some(span.to)),
                Prefix::Eb => (None, Some(span.from)),
                Prefix::Ne | Prefix::Ap => (None, None),
            };
            from = from.max(low);
            before = match (before, high) {
                (Some(a), Some(b)) => Some(std::cmp::min(a, b)),
                (a, b) => a.or(b),
            };
        }
        (from, before)
    }
}

impl Condition {
    fn leads(&self, of: &str) -> Leads {
        match &self.test {
            Test::Missing(_) | Test::Any { not: true, .. } => Leads::Nothing,
            Test::Leads(alternatives) => {
                let all = alternatives.iter().map(|(of, condition)| condition.leads(of)).collect();
                // the target's own id is that of a resource of the same referral
                beside(all)
            }
            Test::Any { values, .. } => self.leads_of(of, values),
        }
    }

    fn leads_of(&self, of: &str, values: &[Wanted]) -> Leads {
        let name = self.parameter.name;
        if name == "_id" {
            let ids = self.tokens().into_iter().flatten().filter_map(|token| token.code.clone());
            return Leads::Ids(ids.collect());
        }
        if (of, name) == ("Task", "identifier") {
            // a Task of this server is named by its own id alone
            let tokens = self.tokens().into_iter().flatten();
            return Leads::Beside(
                tokens.filter_map(|token| id_of_identifier(token.code.as_deref()?)).map(|id| id.0).collect(),
            );
        }
        if NAMED.contains(&(of, name)) {
            return named(self.tokens().into_iter().flatten());
        }
        if self.parameter.kind != SearchKind::Reference {
            return Leads::Nothing;
        }
        if values.iter().all(|wanted| matches!(wanted, Wanted::Identifier(_))) && PERSON.contains(&name) {
            let tokens = values.iter().filter_map(|wanted| match wanted {
                Wanted::Identifier(token) => Some(token),
                _ => None,
            });
            return named(tokens);
        }
        let ids = values.iter().map(|wanted| match wanted {
            // organisations of the registry are beside every referral of theirs
            Wanted::Reference { kind, .. } if kind.as_deref() == Some("Organization") || name == "owner" => None,
            // what is referred to here has an id of this server, or is no resource of it
            Wanted::Reference { id, .. } => Some(id.parse::<Uuid>().ok()),
            _ => None,
        });
        match ids.collect::<Option<Vec<Option<Uuid>>>>() {
            Some(ids) => Leads::Beside(ids.into_iter().flatten().collect()),
            None => Leads::Nothing,
        }
    }

    /// The tokens that are looked for, where nothing else is.
    fn tokens(&self) -> Option<impl Iterator<Item = &Token>> {
        let Test::Any { values, not: false } = &self.test else { return None };
        let tokens = values.iter().map(|wanted| match wanted {
            Wanted::Token(token) => Some(token),
            _ => None,
        });
        tokens.collect::<Option<Vec<_>>>().map(Vec::into_iter)
    }
}

/// Identifiers with values lead somewhere; a system alone does not.
fn named<'t>(tokens: impl Iterator<Item = &'t Token>) -> Leads {
    match tokens.map(|token| token.code.as_deref().map(name)).collect::<Option<Vec<_>>>() {
        Some(values) if !values.is_empty() => Leads::Named(values),
        _ => Leads::Nothing,
    }
}

/// What several alternatives together lead to: only where all lead by the same.
fn beside(all: Vec<Leads>) -> Leads {
    let mut found: Option<Leads> = None;
    for leads in all {
        let leads = match leads {
            Leads::Ids(ids) => Leads::Beside(ids.iter().filter_map(|id| id.parse().ok()).collect()),
            other => other,
        };
        found = Some(match (found, leads) {
            (None, first) => first,
            (Some(Leads::Beside(mut a)), Leads::Beside(b)) => {
                a.extend(b);
                Leads::Beside(a)
            }
            (Some(Leads::Named(mut a)), Leads::Named(b)) => {
                a.extend(b);
                Leads::Named(a)
            }
            _ => return Leads::Nothing,
        });
    }
    found.unwrap_or(Leads::Nothing)
}

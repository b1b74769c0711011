//! `/console/routes/explain`: where a referral would go that somebody pastes, and why, rule by rule. What is pasted is kept nowhere: it
//! goes back into its field, and beside that the answer says of the person no more than an explanation does.

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};

use super::{Reader, absent, busy, may_read, words};
use crate::{
    config::Registry,
    domain::SystemId,
    fhir::Issue,
    intake::IntakeError,
    route_sets::explain::{Explained, Question, read},
    routing::{ConditionExplained, Explanation, RuleExplained},
    web::{
        Shared, Web,
        console::words::{Tag, counted},
        form::{Long, Seen},
        frame::{Frame, Section},
        page::{self, Fault},
    },
};

/// What is pasted is no longer.
pub(super) const PASTED_MAX_BYTES: usize = 1024 * 1024;
/// Rules that are told of for each referral.
const RULES_MAX: usize = 100;
/// Referrals of one request, times systems, that are told of.
const ANSWERS_MAX: usize = 20;
/// Faults of what is pasted that are told.
const ISSUES_MAX: usize = 50;

/// Where it is pasted, and what comes of it.
#[derive(Template)]
#[template(path = "routes/explain.html")]
struct ExplainPage {
    frame: Frame,
    made_for: String,
    faults: Vec<Fault>,
    /// What was pasted, to go on from.
    pasted: String,
    system: String,
    systems: Vec<(String, String)>,
    /// Where it would be refused before any rule is asked: what for.
    refused: Vec<String>,
    answers: Vec<Answer>,
    left_out: usize,
}

/// What would become of one referral from one system.
struct Answer {
    title: String,
    says: Vec<String>,
    rules: Vec<RuleSaid>,
    left_out: usize,
}

/// A rule and what it says of the referral.
struct RuleSaid {
    name: String,
    to: String,
    tag: Tag,
    conditions: Vec<ConditionSaid>,
}

struct ConditionSaid {
    tag: Tag,
    what: String,
    why: String,
    /// What would be enough; empty where it holds.
    wanted: String,
}

/// `GET /console/routes/explain`.
pub(super) async fn page(State(web): State<Shared>, Reader(seen): Reader) -> Response {
    page::shown(StatusCode::OK, &ExplainPage::of(&web, &seen, ""))
}

/// `POST /console/routes/explain`.
pub(super) async fn explain(State(web): State<Shared>, Long(signed): Long) -> Response {
    let seen = signed.seen();
    if !may_read(&seen.visitor.positions) {
        return absent(&seen);
    }
    let (pasted, system) = (signed.form.text("referral"), signed.form.text("system"));
    let mut page = ExplainPage::of(&web, &seen, system);
    if pasted.len() <= PASTED_MAX_BYTES {
        page.pasted = pasted.to_owned();
    }
    let wrong = match pasted.trim() {
        "" => Some("Paste a ServiceRequest or a transaction Bundle".to_owned()),
        text if text.len() > PASTED_MAX_BYTES => Some(format!("Paste no more than {PASTED_MAX_BYTES} bytes")),
        _ => None,
    };
    if let Some(told) = wrong {
        page.faults.push(Fault::at("referral", told));
        return page::shown(StatusCode::UNPROCESSABLE_ENTITY, &page);
    }
    let system = match system {
        "" => None,
        id => match id.parse::<SystemId>() {
            Ok(id) if web.registry.load().systems.contains_key(&id) => Some(id),
            _ => return absent(&seen),
        },
    };
    let body = match read(pasted.trim().as_bytes(), &web.routes.limits) {
        Ok(body) => body,
        Err(issue) => {
            page.faults.push(Fault::at("referral", format!("This cannot be read: {}", told(&issue))));
            return page::shown(StatusCode::UNPROCESSABLE_ENTITY, &page);
        }
    };
    let Some(place) = web.routes.place().await else { return busy(&seen) };
    let (registry, validator, at) = (web.registry.load_full(), web.intake.validator.clone(), web.store.now());
    let asked = tokio::task::spawn_blocking(move || {
        let _place = place;
        let question = Question {
            routes: &registry.routes,
            registry: &registry,
            system: system.as_ref(),
            at,
            closed: &[],
            most: RULES_MAX,
        };
        question.asked_of(body, &validator)
    });
    let Ok(asked) = asked.await else { return page::unavailable() };
    let registry = web.registry.load();
    match asked {
        Ok(explained) => {
            page.left_out = explained.len().saturating_sub(ANSWERS_MAX);
            page.answers = explained.iter().take(ANSWERS_MAX).map(|one| Answer::of(one, &registry)).collect();
        }
        Err(IntakeError::Invalid(issues) | IntakeError::Rule(issues)) => {
            page.refused = issues.iter().take(ISSUES_MAX).map(told).collect();
            let more = issues.len().saturating_sub(ISSUES_MAX);
            if more > 0 {
                page.refused.push(format!("and {more} more"));
            }
        }
        Err(other) => page.refused = vec![other.to_string()],
    }
    page::shown(StatusCode::OK, &page)
}

fn told(issue: &Issue) -> String {
    // where nothing of the referral is named, it is the whole of it
    let places = issue.expression.iter().map(String::as_str).filter(|place| !place.starts_with('%'));
    match places.collect::<Vec<_>>().join(", ") {
        place if place.is_empty() => issue.diagnostics.clone(),
        place => format!("{place}: {}", issue.diagnostics),
    }
}

// === impl ExplainPage ===

impl ExplainPage {
    fn of(web: &Web, seen: &Seen, system: &str) -> Self {
        let registry = web.registry.load();
        let mut systems = vec![(String::new(), "any of them, each told of".to_owned())];
        systems.extend(registry.systems.values().map(|one| (one.id.to_string(), one.name.clone())));
        Self {
            frame: Frame::of(seen, Section::Routes),
            made_for: seen.made_for.clone(),
            faults: vec![],
            pasted: String::new(),
            system: system.to_owned(),
            systems,
            refused: vec![],
            answers: vec![],
            left_out: 0,
        }
    }
}

// === impl Answer ===

impl Answer {
    fn of(explained: &Explained, registry: &Registry) -> Self {
        let system = registry.systems.get(&explained.system).map_or(explained.system.as_str(), |one| one.name.as_str());
        let Explanation { rules, left_out, .. } = &explained.explanation;
        Self {
            title: format!("From {system}"),
            says: says(&explained.explanation, registry),
            rules: rules.iter().map(|rule| RuleSaid::of(rule, registry)).collect(),
            left_out: *left_out,
        }
    }
}

/// The decision in sentences.
fn says(explanation: &Explanation, registry: &Registry) -> Vec<String> {
    let inboxes: Vec<String> = explanation
        .inboxes
        .iter()
        .map(|goes| match &goes.instead_of {
            Some(instead) => format!("{} instead of {instead}", words::named(&goes.to, registry)),
            None => words::named(&goes.to, registry),
        })
        .collect();
    let inboxes = inboxes.join(" and ");
    let mut says = vec![match (&explanation.refused, &explanation.route) {
        (Some(why), _) => format!("It goes nowhere: {why}."),
        (None, Some(route)) => format!("It goes to {inboxes} by the route “{route}”."),
        (None, None) => format!("It goes to {inboxes}: no route matches, and this inbox takes what no route does."),
    }];
    says.extend(explanation.missing.iter().map(|missing| format!("It is refused all the same: {missing}.")));
    says.push(format!("{} asked, in the order below.", counted(explanation.rules.len() as u64, "rule")));
    says
}

impl RuleSaid {
    fn of(rule: &RuleExplained, registry: &Registry) -> Self {
        let tag = match (rule.decides, rule.matches) {
            (true, _) => Tag::of("Matches and decides", "green"),
            (false, true) => Tag::of("Matches too, but comes later", "blue"),
            (false, false) => Tag::of("Does not match", "grey"),
        };
        Self {
            name: rule.name.clone(),
            to: words::all(&rule.to, registry),
            tag,
            conditions: rule.conditions.iter().map(ConditionSaid::of).collect(),
        }
    }
}

impl ConditionSaid {
    fn of(condition: &ConditionExplained) -> Self {
        Self {
            tag: if condition.holds { Tag::of("Yes", "green") } else { Tag::of("No", "grey") },
            what: words::spoken_word(&condition.condition),
            why: condition.why.clone(),
            wanted: match condition.holds {
                true => String::new(),
                false => condition.wanted.join(" or "),
            },
        }
    }
}

//! `/console/trace`: what became of a referral, step by step. Ids, times, destinations and statuses; nothing of what is in it, and
//! nobody it is about.

use std::collections::BTreeMap;

use askama::Template;
use axum::{
    extract::{Path, RawQuery, State},
    http::StatusCode,
    response::Response,
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Keeper, absent, away, done, glass, may_look,
    stands::{self, Said},
    steps::{self, Step},
    words::{Tag, moment},
};
use crate::{
    auth::{Deed, What, Who, may},
    config::Registry,
    domain::{Position, TaskId, TaskStatus, TransportStatus, deadline::Deadlines},
    fhir::{names::name, tree},
    store::{Attempt, DeadLetter, DeadQuery, JournalLine, Parties, Store, StoreError, TaskQuery, TaskRecord},
    web::{
        Shared,
        called::Called,
        form::{Seen, Signed},
        frame::{Frame, Section},
        page::{self, Fault},
    },
};

/// Tasks that a search shows.
const FOUND_MAX: usize = 100;
/// What is looked for is no longer.
const SOUGHT_CHARS_MAX: usize = 500;
/// Steps that a page shows: the newest.
const STEPS_MAX: usize = 1_000;

/// Where one looks for a referral.
#[derive(Template)]
#[template(path = "console/trace.html")]
struct FindPage {
    frame: Frame,
    made_for: String,
    sought: String,
    faults: Vec<Fault>,
    found: Vec<Found>,
}

/// A Task among several.
struct Found {
    id: String,
    to: String,
    status: Tag,
    made: String,
}

/// What became of one.
#[derive(Template)]
#[template(path = "console/task.html")]
struct TaskPage {
    frame: Frame,
    /// What was just done.
    done: Option<&'static str>,
    status: Tag,
    transport: Option<Tag>,
    /// How it stands, in sentences.
    stands: Vec<Said>,
    facts: Vec<(&'static str, String)>,
    others: Vec<Found>,
    steps: Vec<Step>,
    /// How many came before those that are shown.
    left_out: usize,
    /// Of which Task one may see what is in it, with a reason.
    opens: Option<TaskId>,
}

/// `GET /console/trace`.
pub(super) async fn find_page(Keeper(seen): Keeper) -> Response {
    found_page(StatusCode::OK, &seen, String::new(), vec![], vec![])
}

/// `POST /console/trace`. By a form, so that no URL holds what a person has in hand.
pub(super) async fn find(State(web): State<Shared>, signed: Signed) -> Response {
    let seen = signed.seen();
    if !may_look(&seen.visitor.positions) {
        return absent(&seen);
    }
    let sought: String = signed.form.text("sought").trim().chars().take(SOUGHT_CHARS_MAX).collect();
    if sought.is_empty() {
        let fault = Fault::at("sought", "Enter an id or a reference");
        return found_page(StatusCode::UNPROCESSABLE_ENTITY, &seen, sought, vec![fault], vec![]);
    }
    let registry = web.console.registry.load_full();
    let mut tasks = match in_hand(&*web.console.store, &registry, &sought).await {
        Ok(tasks) => tasks,
        Err(error) => return away(&error),
    };
    tasks.retain(|task| may_trace(&seen.visitor.positions, task));
    tasks.truncate(FOUND_MAX);
    match &tasks[..] {
        [] => {
            let fault = Fault::at("sought", "No referral is known by that. Check it, and that all of it is there");
            found_page(StatusCode::NOT_FOUND, &seen, sought, vec![fault], vec![])
        }
        [task] => page::to(&format!("/console/trace/{}", task.id)),
        _ => {
            let found = tasks.iter().map(|task| Found::of(task, &registry)).collect();
            found_page(StatusCode::OK, &seen, sought, vec![], found)
        }
    }
}

fn found_page(status: StatusCode, seen: &Seen, sought: String, faults: Vec<Fault>, found: Vec<Found>) -> Response {
    let (frame, made_for) = (Frame::of(seen, Section::Console), seen.made_for.clone());
    page::shown(status, &FindPage { frame, made_for, sought, faults, found })
}

/// `GET /console/trace/{task}`.
pub(super) async fn page(
    State(web): State<Shared>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    Keeper(seen): Keeper,
) -> Response {
    let Ok(id) = id.parse::<Uuid>() else { return absent(&seen) };
    let known = match known(&*web.console.store, TaskId(id)).await {
        Ok(Some(known)) if may_trace(&seen.visitor.positions, &known.task) => known,
        Ok(_) => return absent(&seen),
        Err(error) => return away(&error),
    };
    let called = match Called::read(&web, [&known.task.provider]).await {
        Ok(called) => called,
        Err(error) => return away(&error),
    };
    let registry = web.console.registry.load();
    let frame = Frame::of(&seen, Section::Console);
    let may_break = glass::may_break(&seen.visitor.positions, &known.task);
    page::shown(
        StatusCode::OK,
        &TaskPage { done: done::told(query), ..TaskPage::of(frame, &known, &registry, &called, may_break) },
    )
}

/// What is known of a Task.
struct Known {
    task: TaskRecord,
    /// The others of its referral.
    others: Vec<TaskRecord>,
    journal: Vec<JournalLine>,
    attempts: Vec<Attempt>,
    dead: Vec<DeadLetter>,
}

async fn known(store: &dyn Store, id: TaskId) -> Result<Option<Known>, StoreError> {
    let Some(task) = store.task(id).await? else { return Ok(None) };
    let mut others = store.find_tasks(&task.request.to_string()).await?;
    others.retain(|other| other.id != id);
    others.truncate(FOUND_MAX);
    let (journal, attempts) = (store.journal(id).await?, store.attempts(id).await?);
    let dead = store.find_dead(DeadQuery { task: Some(id), count: FOUND_MAX, ..DeadQuery::default() }).await?;
    Ok(Some(Known { task, others, journal, attempts, dead }))
}

/// Tasks by what a person has in hand: an id, the sender's reference with or without its system, what a client knows a request by. What is
/// known by several of them is found by each.
async fn in_hand(store: &dyn Store, registry: &Registry, sought: &str) -> Result<Vec<TaskRecord>, StoreError> {
    let mut tasks = store.find_tasks(key(sought)).await?;
    if !tasks.is_empty() {
        return Ok(tasks);
    }
    tasks = by_reference(store, registry, sought).await?;
    let asked = store.tasks_asked_by(sought, FOUND_MAX).await?;
    tasks.extend(asked);
    tasks.sort_by_key(|task| task.id);
    tasks.dedup_by_key(|task| task.id);
    Ok(tasks)
}

/// Tasks of referrals of which this is a reference. A person's numbers are names of a referral too, and by those nothing is found here:
/// that somebody was referred is nobody's to see who only keeps Onward running.
async fn by_reference(store: &dyn Store, registry: &Registry, sought: &str) -> Result<Vec<TaskRecord>, StoreError> {
    let query = TaskQuery {
        systems: registry.systems.keys().cloned().collect(),
        providers: registry.providers.keys().cloned().collect(),
        count: FOUND_MAX,
        ..TaskQuery::default()
    };
    let referrals = store.referrals_of(query.clone(), vec![], vec![name(sought)]).await?;
    if referrals.is_empty() {
        return Ok(vec![]);
    }
    let (mut found, mut known) = (Vec::new(), BTreeMap::new());
    for (task, _) in store.search_tasks(TaskQuery { referrals: Some(referrals), ..query }).await? {
        let is = match known.get(&task.request) {
            Some(is) => *is,
            None => {
                let request = store.resource("ServiceRequest", task.request, None).await?;
                let body = request.and_then(|(request, _)| serde_json::from_str::<Value>(&request.body).ok());
                let is = body.is_some_and(|body| has_reference(&body, sought));
                known.insert(task.request, is);
                is
            }
        };
        if is {
            found.push(task);
        }
    }
    Ok(found)
}

/// Whether a ServiceRequest, and not only the person whom it is about, is known by this.
fn has_reference(request: &Value, sought: &str) -> bool {
    let own = tree::items(request, "identifier").iter().chain(request.get("requisition"));
    own.filter_map(|one| one.get("value").and_then(Value::as_str)).any(|value| value == sought)
}

pub(super) fn may_trace(positions: &[Position], task: &TaskRecord) -> bool {
    let parties = Parties { system: task.system.clone(), providers: vec![task.provider.clone()] };
    may(Who::Person(positions), Deed::Trace, What::referral(&parties))
}

/// What is looked for by what a person has in hand: of the URL of a Task or ServiceRequest its id.
fn key(text: &str) -> &str {
    for kind in ["Task/", "ServiceRequest/"] {
        if let Some((_, rest)) = text.rsplit_once(kind) {
            let id = rest.split(['/', '?', '#']).next().unwrap_or_default();
            if id.parse::<Uuid>().is_ok() {
                return id;
            }
        }
    }
    text
}

/// A status of a Task as a tag.
fn status_tag(status: TaskStatus) -> Tag {
    match status {
        TaskStatus::Requested => Tag::of("Requested", "white"),
        TaskStatus::Received => Tag::of("Received", "blue"),
        TaskStatus::Accepted => Tag::of("Accepted", "green"),
        TaskStatus::InProgress => Tag::of("In progress", "green"),
        TaskStatus::OnHold => Tag::of("On hold", "yellow"),
        TaskStatus::Rejected => Tag::of("Rejected", "grey"),
        TaskStatus::Completed => Tag::of("Completed", "grey"),
        TaskStatus::Failed => Tag::of("Failed", "grey"),
        TaskStatus::Cancelled => Tag::of("Cancelled", "grey"),
        TaskStatus::EnteredInError => Tag::of("Entered in error", "grey"),
    }
}

fn transport_tag(transport: TransportStatus) -> Tag {
    match transport {
        TransportStatus::HandedOver => Tag::of("Handed over", "blue"),
        TransportStatus::DeliveryDelayed => Tag::of("Delivery delayed", "orange"),
        TransportStatus::Undeliverable => Tag::of("Undeliverable", "red"),
        TransportStatus::NotOpened => Tag::of("Not opened in time", "orange"),
        TransportStatus::Overdue => Tag::of("Not answered in time", "orange"),
        TransportStatus::CopyUnreadable => Tag::of("Provider's copy unreadable", "red"),
    }
}

// === impl Found ===

impl Found {
    fn of(task: &TaskRecord, registry: &Registry) -> Self {
        Self {
            id: task.id.to_string(),
            to: destination(task, registry),
            status: status_tag(task.state.status),
            made: moment(task.created),
        }
    }
}

/// Where a Task leads.
fn destination(task: &TaskRecord, registry: &Registry) -> String {
    if task.is_parent() {
        return "several targets, each with a Task of its own".to_owned();
    }
    let name = registry.providers.get(&task.provider).map_or(task.provider.as_str(), |one| one.name.as_str());
    format!("{name} (inbox {})", task.inbox)
}

// === impl TaskPage ===

impl TaskPage {
    fn of(frame: Frame, known: &Known, registry: &Registry, called: &Called, may_break: bool) -> Self {
        let Known { task, others, journal, attempts, dead } = known;
        let mut steps = steps::of(journal, attempts, registry, called);
        let left_out = steps.len().saturating_sub(STEPS_MAX);
        steps.drain(..left_out);
        Self {
            frame,
            done: None,
            status: status_tag(task.state.status),
            transport: task.state.transport.map(transport_tag),
            stands: stands::Known { task, journal, attempts, dead, registry }.said(),
            facts: facts(task, registry),
            others: others.iter().map(|other| Found::of(other, registry)).collect(),
            steps,
            left_out,
            opens: may_break.then_some(task.id),
        }
    }
}

/// What one has to know to talk about it.
fn facts(task: &TaskRecord, registry: &Registry) -> Vec<(&'static str, String)> {
    let system = registry.systems.get(&task.system).map_or(task.system.as_str(), |one| one.name.as_str());
    let mut facts = vec![
        ("Task", task.id.to_string()),
        ("ServiceRequest", task.request.to_string()),
        ("The sender's reference", task.identifier.clone().unwrap_or_else(|| "none".to_owned())),
        ("From", format!("{system} ({})", task.system)),
        ("To", destination(task, registry)),
        ("Taken", moment(task.created)),
        ("Last changed", moment(task.last_updated)),
        ("Decided by", format!("route set {}", task.route_set)),
    ];
    if let Some(parent) = task.part_of {
        facts.push(("Part of", format!("Task {parent}")));
    }
    let Deadlines { deliver_by, open_by, answer_by } = task.state.deadlines;
    // what was given up is not on its way
    let deliver_by = deliver_by.filter(|_| task.state.transport != Some(TransportStatus::Undeliverable));
    for (what, by) in
        [("To be delivered by", deliver_by), ("To be opened by", open_by), ("To be answered by", answer_by)]
    {
        facts.extend(by.map(|by| (what, moment(by))));
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_persons_number_is_no_reference() {
        let request = serde_json::json!({
            "identifier": [{"system": "https://rio.example/id", "value": "R-7"}, {"value": "R-8"}],
            "requisition": {"value": "G-1"},
            "subject": {"identifier": {"value": "9990471134"}},
            "contained": [{"resourceType": "Patient", "identifier": [{"value": "M-1"}]}],
        });
        for (sought, is) in [("R-7", true), ("R-8", true), ("G-1", true), ("9990471134", false), ("M-1", false)] {
            assert_eq!(has_reference(&request, sought), is, "{sought}");
        }
    }

    #[test]
    fn of_a_url_the_id_is_looked_for() {
        let id = "0198b6a0-7c1e-7bd0-a5d1-000000000000";
        for text in [
            id.to_owned(),
            format!("Task/{id}"),
            format!("https://onward.example/fhir/Task/{id}/_history/3"),
            format!("https://onward.example/fhir/ServiceRequest/{id}?x=y"),
        ] {
            assert_eq!(key(&text), id, "{text}");
        }
        for other in ["https://rio.example/Task/id|7", "https://rio.example/id|7", ""] {
            assert_eq!(key(other), other);
        }
    }
}

//! Searches over Tasks and ServiceRequests. A parameter that is not known is refused: an answer to another question than was
//! asked would be worse than none.

use axum::extract::State;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Shared,
    call::Caller,
    read::resource_body,
    reply::{Answer, Fault, Reply},
};
use crate::{
    config::registry::{Client, Registry},
    domain::{ProviderId, TaskId, TaskStatus},
    fhir::{
        Issue, IssueCode, datetime,
        reference::{Target, encode, parse},
        task::{URI_SYSTEM, id_of_identifier},
        tree,
    },
    store::{StoredResource, TaskQuery},
};

/// The search parameters of Task, for the CapabilityStatement.
pub const TASK_PARAMETERS: &[(&str, &str)] = &[
    ("_id", "token"),
    ("_lastUpdated", "date"),
    ("focus", "reference"),
    ("identifier", "token"),
    ("owner", "reference"),
    ("status", "token"),
];
/// The search parameters of ServiceRequest, for the CapabilityStatement.
pub const REQUEST_PARAMETERS: &[(&str, &str)] = &[("_id", "token"), ("identifier", "token")];
/// What a Task search can bring along.
pub const TASK_INCLUDES: &[&str] = &["Task:focus", "Task:patient"];

const COUNT_DEFAULT: usize = 50;
const COUNT_MAX: usize = 500;
/// So that one search stays one look-up.
const VALUES_MAX: usize = 100;

struct Search {
    query: TaskQuery,
    identifiers: Option<Vec<String>>,
    include_focus: bool,
    include_patient: bool,
}

/// `GET /fhir/Task?…`
pub async fn tasks(State(app): State<Shared>, caller: Caller) -> Answer {
    let registry = app.registry.load_full();
    let mut search = Search::of(&caller);
    for (name, value) in &caller.query {
        search.task_parameter(name, value, &registry, &app.base_url)?;
    }
    let asked = search.query.count;
    search.query.count = asked + 1;
    let mut found = app.store.search_tasks(search.query.clone()).await?;
    let more = found.len() > asked;
    found.truncate(asked);
    let next = if more { found.last().map(|(t, _)| t.id.to_string()) } else { None };
    let mut entries = Vec::with_capacity(found.len());
    let mut included: Vec<Uuid> = Vec::new();
    let mut along = Vec::new();
    for (task, stored) in &found {
        let body = resource_body(stored)?;
        let person = tree::text(&body, "for.reference").and_then(|r| logical_id(r, "Patient"));
        entries.push(entry(&app, "Task", &task.id.to_string(), body, "match"));
        let wanted = [
            ("ServiceRequest", Some(task.request).filter(|_| search.include_focus)),
            ("Patient", person.filter(|_| search.include_patient)),
        ];
        for (kind, id) in wanted {
            let Some(id) = id.filter(|id| !included.contains(id)) else { continue };
            let Some((stored, _)) = app.store.resource(kind, id, None).await? else { continue };
            // a reference leads nowhere beyond its own referral
            if stored.referral == task.referral {
                included.push(id);
                along.push(entry(&app, kind, &id.to_string(), resource_body(&stored)?, "include"));
            }
        }
    }
    entries.extend(along);
    Ok(Reply::ok(searchset(&app, "Task", &caller, entries, next)))
}

/// `GET /fhir/ServiceRequest?…`
pub async fn requests(State(app): State<Shared>, caller: Caller) -> Answer {
    let mut search = Search::of(&caller);
    for (name, value) in &caller.query {
        search.request_parameter(name, value)?;
    }
    let asked = search.query.count;
    search.query.count = asked + 1;
    let mut found: Vec<StoredResource> = app.store.find_requests(search.query.clone(), search.identifiers).await?;
    let more = found.len() > asked;
    found.truncate(asked);
    let next = if more { found.last().map(|r| r.id.to_string()) } else { None };
    let mut entries = Vec::with_capacity(found.len());
    for stored in &found {
        entries.push(entry(&app, "ServiceRequest", &stored.id.to_string(), resource_body(stored)?, "match"));
    }
    Ok(Reply::ok(searchset(&app, "ServiceRequest", &caller, entries, next)))
}

impl Search {
    fn of(caller: &Caller) -> Self {
        let mut query = TaskQuery { count: COUNT_DEFAULT, ..TaskQuery::default() };
        for client in &caller.clients {
            match client {
                Client::System(id) => query.systems.push(id.clone()),
                Client::Provider(id) => query.providers.push(id.clone()),
            }
        }
        Self { query, identifiers: None, include_focus: false, include_patient: false }
    }

    fn task_parameter(&mut self, name: &str, value: &str, registry: &Registry, base_url: &str) -> Result<(), Fault> {
        match name {
            "owner" => {
                let owners = values(name, value)?.into_iter().filter_map(|v| owner(v, base_url)).collect();
                narrow(&mut self.query.owners, owners);
            }
            "owner:identifier" => {
                let wanted = values(name, value)?;
                let code = |v: &str| v.rsplit_once('|').map_or(v, |(_, code)| code).to_ascii_uppercase();
                let wanted: Vec<String> = wanted.into_iter().map(code).collect();
                let ours = registry.providers.values().filter(|p| wanted.contains(&p.ods_code.to_ascii_uppercase()));
                narrow(&mut self.query.owners, ours.map(|p| p.id.clone()).collect());
            }
            "status" => {
                let mut statuses = Vec::new();
                for code in values(name, value)? {
                    let code = code.rsplit_once('|').map_or(code, |(_, code)| code);
                    // draft and ready are statuses that no Task of ours ever has
                    match code.parse::<TaskStatus>() {
                        Ok(status) => statuses.push(status),
                        Err(_) if matches!(code, "draft" | "ready") => {}
                        Err(unknown) => return Err(bad_value(name, &format!("use one of {}", unknown.allowed))),
                    }
                }
                narrow(&mut self.query.statuses, statuses);
            }
            "focus" | "focus:ServiceRequest" => {
                let ids = values(name, value)?.into_iter().filter_map(|v| logical_id(v, "ServiceRequest"));
                narrow(&mut self.query.requests, ids.collect());
            }
            "identifier" => {
                let ids = values(name, value)?.into_iter().filter_map(task_id_of_identifier);
                narrow(&mut self.query.ids, ids.collect());
            }
            "_lastUpdated" => self.changed(name, value)?,
            "_include" => match value {
                "Task:focus" => self.include_focus = true,
                "Task:patient" | "Task:for" => self.include_patient = true,
                _ => return Err(bad_value(name, &format!("use one of {}", TASK_INCLUDES.join(", ")))),
            },
            _ => self.common_parameter(name, value, "Task")?,
        }
        Ok(())
    }

    fn request_parameter(&mut self, name: &str, value: &str) -> Result<(), Fault> {
        match name {
            "identifier" => {
                let tokens: Vec<String> = values(name, value)?.into_iter().map(str::to_owned).collect();
                // one without a system would have to match in any; it finds too much where two senders count alike
                if tokens.iter().any(|token| {
                    token.split_once('|').is_none_or(|(system, value)| system.is_empty() || value.is_empty())
                }) {
                    return Err(bad_value(name, "give the placer identifier as system|value"));
                }
                narrow(&mut self.identifiers, tokens);
                Ok(())
            }
            _ => self.common_parameter(name, value, "ServiceRequest"),
        }
    }

    fn common_parameter(&mut self, name: &str, value: &str, kind: &str) -> Result<(), Fault> {
        match name {
            "_id" => {
                let ids = values(name, value)?.into_iter().filter_map(|v| v.parse().ok()).collect();
                narrow(&mut self.query.ids, ids);
            }
            "_count" => {
                let count: usize = value.parse().map_err(|_| bad_value(name, "use a whole number"))?;
                self.query.count = count.clamp(1, COUNT_MAX);
            }
            "_after" => {
                let after: TaskId =
                    value.parse().map_err(|_| bad_value(name, "use the link that the last page gave"))?;
                self.query.after = Some(after);
            }
            "_format" | "_pretty" => {}
            _ => {
                let known = if kind == "Task" { TASK_PARAMETERS } else { REQUEST_PARAMETERS };
                let known: Vec<&str> = known.iter().map(|(n, _)| *n).collect();
                let name: String = name.chars().filter(|c| c.is_ascii_graphic()).take(40).collect();
                let told = format!("{kind} cannot be searched by this parameter; use {}, _count", known.join(", "));
                return Err(Fault::invalid(vec![Issue::error(IssueCode::NotSupported, format!("http.{name}"), told)]));
            }
        }
        Ok(())
    }

    /// `_lastUpdated` with a prefix; without one, equality at the precision given (R4 search, 3.1.1.5.6).
    fn changed(&mut self, name: &str, value: &str) -> Result<(), Fault> {
        let (prefix, moment) = match value.get(..2) {
            Some(p @ ("eq" | "ge" | "gt" | "le" | "lt" | "sa" | "eb")) => (p, &value[2..]),
            _ => ("eq", value),
        };
        let wrong = || bad_value(name, "use a FHIR date or dateTime after eq, ge, gt, le or lt");
        let first = datetime::earliest(moment).ok_or_else(wrong)?;
        let after = first.checked_add(precision(moment)).unwrap_or(Timestamp::MAX);
        let (from, before) = match prefix {
            "ge" => (Some(first), None),
            "gt" | "sa" => (Some(after), None),
            "le" => (None, Some(after)),
            "lt" | "eb" => (None, Some(first)),
            _ => (Some(first), Some(after)),
        };
        self.query.from = self.query.from.max(from);
        self.query.before = match (self.query.before, before) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Ok(())
    }
}

/// How long the time is that a FHIR date stands for; a month and a year are taken at their longest.
fn precision(moment: &str) -> SignedDuration {
    match moment.len() {
        4 => SignedDuration::from_hours(24 * 366),
        7 => SignedDuration::from_hours(24 * 31),
        10 => SignedDuration::from_hours(24),
        _ if moment.contains('.') => SignedDuration::from_micros(1),
        _ => SignedDuration::from_secs(1),
    }
}

/// The comma-separated values of a parameter, any of which may match.
pub(super) fn values<'v>(name: &str, value: &'v str) -> Result<Vec<&'v str>, Fault> {
    let values: Vec<&str> = value.split(',').map(str::trim).filter(|v| !v.is_empty()).collect();
    match values.len() {
        0 => Err(bad_value(name, "give a value")),
        n if n > VALUES_MAX => Err(bad_value(name, &format!("give at most {VALUES_MAX} values"))),
        _ => Ok(values),
    }
}

/// A parameter given twice must hold twice.
fn narrow<T: PartialEq>(present: &mut Option<Vec<T>>, more: Vec<T>) {
    *present = Some(match present.take() {
        None => more,
        Some(before) => before.into_iter().filter(|v| more.contains(v)).collect(),
    });
}

pub(super) fn bad_value(name: &str, told: &str) -> Fault {
    Fault::invalid(vec![Issue::error(IssueCode::Value, format!("http.{name}"), told)])
}

fn owner(value: &str, base_url: &str) -> Option<ProviderId> {
    let own = format!("{base_url}/fhir/");
    let local = value.strip_prefix(&*own).unwrap_or(value);
    local.strip_prefix("Organization/").unwrap_or(local).parse().ok()
}

pub(super) fn logical_id(value: &str, kind: &str) -> Option<Uuid> {
    match parse(value) {
        Target::Relative { kind: k, id, .. } | Target::Absolute { kind: k, id, .. } if k == kind => id.parse().ok(),
        _ => value.parse().ok(),
    }
}

/// A Task of ours by either of its two identifiers.
fn task_id_of_identifier(token: &str) -> Option<Uuid> {
    let value = match token.split_once('|') {
        Some((system, value)) if system == URI_SYSTEM => value,
        Some(_) => return None,
        None => token,
    };
    id_of_identifier(value).map(|id| id.0)
}

fn entry(app: &Shared, kind: &str, id: &str, body: Value, mode: &str) -> Value {
    json!({"fullUrl": format!("{}/fhir/{kind}/{id}", app.base_url), "resource": body, "search": {"mode": mode}})
}

fn searchset(app: &Shared, kind: &str, caller: &Caller, entries: Vec<Value>, next: Option<String>) -> Value {
    let url = |after: Option<&str>| {
        let given = caller.query.iter().filter(|(n, _)| n != "_after").map(|(n, v)| (n.as_str(), v.as_str()));
        let all = given.chain(after.map(|a| ("_after", a)));
        let text: Vec<String> = all.map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect();
        let mark = if text.is_empty() { "" } else { "?" };
        format!("{}/fhir/{kind}{mark}{}", app.base_url, text.join("&"))
    };
    let mut links = vec![json!({"relation": "self", "url": url(None)})];
    if let Some(next) = next {
        links.push(json!({"relation": "next", "url": url(Some(&next))}));
    }
    let mut bundle = json!({"resourceType": "Bundle", "type": "searchset", "link": links});
    if !entries.is_empty() {
        bundle["entry"] = entries.into();
    }
    bundle
}

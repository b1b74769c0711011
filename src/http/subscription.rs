//! Subscriptions of a client: made, read, changed, ended by it alone; how it is with one, and what happened.

use axum::{
    extract::{Path, State},
    http::{StatusCode, header},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Shared,
    call::{Call, Caller, is_json_patch},
    reply::{Answer, Fault, Reply},
    write::preferred_of,
};
use crate::{
    config::registry::Client,
    domain::{Subscriber, Subscription, SubscriptionStatus, subscription::Progress},
    fhir::{Issue, IssueCode, Severity, task::with_meta, tree},
    profiles::Asked,
    search::{Search, World},
    subscriptions::{Wanted, channel, hooks_of, notification},
};

/// So many subscriptions a client may have.
const OWN_MAX: usize = 20;
/// Tried so often to be written over what happens meanwhile.
const REWRITES_MAX: usize = 10;
/// None is longer.
const BODY_MAX_BYTES: usize = 65_536;
/// So many events are told at once.
const EVENTS_MAX: u64 = channel::COUNT_MAX;

/// As whom a client subscribes; nobody subscribes who has to do with no referral.
fn as_subscriber(client: &Client) -> Option<Subscriber> {
    match client {
        Client::System(id) => Some(Subscriber::System(id.clone())),
        Client::Provider(id) => Some(Subscriber::Provider(id.clone())),
        Client::Steward(_) => None,
    }
}

/// Whose subscription a caller makes.
fn subscriber(caller: &Caller) -> Option<Subscriber> {
    caller.clients.iter().find_map(as_subscriber)
}

/// A subscription that is this caller's.
async fn own(app: &Shared, caller: &Caller, id: &str) -> Result<Subscription, Fault> {
    let id: Uuid = id.parse().map_err(|_| Fault::not_found())?;
    let found = app.store.subscription(id).await?.ok_or_else(Fault::not_found)?;
    let is_own = |client: &Client| as_subscriber(client).as_ref() == Some(&found.owner);
    if caller.clients.iter().any(is_own) { Ok(found) } else { Err(Fault::not_found()) }
}

/// What a client sent, if it can be done: the status that is wished, and the resource as it is kept.
fn checked(app: &Shared, owner: &Subscriber, call: &Call) -> Result<(SubscriptionStatus, String), Fault> {
    if is_json_patch(&call.content_type) {
        let told = "a Subscription is written whole";
        let issue = Issue::error(IssueCode::NotSupported, "http.Content-Type", told);
        return Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, issue));
    }
    let findings = app.intake.validator.check(&call.body, "", &Asked::at(app.store.now()));
    let wrong: Vec<Issue> = findings.into_iter().map(|f| f.issue).filter(|i| i.severity <= Severity::Error).collect();
    if !wrong.is_empty() {
        return Err(Fault::invalid(wrong));
    }
    let refused = |issues| Fault::with(StatusCode::UNPROCESSABLE_ENTITY, issues);
    if tree::resource_type(&call.body) != Some("Subscription") {
        let issue = Issue::error(IssueCode::Invalid, "%resource", "this is no Subscription");
        return Err(Fault::invalid(vec![issue]));
    }
    let wanted = Wanted::read(&call.body, &format!("{}/fhir", app.base_url)).map_err(refused)?;
    if !wanted.channel.is_allowed(hooks_of(&app.registry.load(), owner)) {
        let told = "the configuration does not allow this URL for you: those who run Onward add it to your hooks";
        let issue = Issue::error(IssueCode::BusinessRule, "Subscription.channel.endpoint", told);
        return Err(refused(vec![issue]));
    }
    let status = match call.body.get("status").and_then(Value::as_str) {
        Some("off") => SubscriptionStatus::Off,
        // whoever writes what it read means that it shall go on
        _ => SubscriptionStatus::Requested,
    };
    let mut kept = call.body.clone();
    if let Some(object) = kept.as_object_mut() {
        for own in ["id", "status", "error"] {
            object.shift_remove(own);
        }
        if let Some(meta) = object.get_mut("meta").and_then(Value::as_object_mut) {
            meta.shift_remove("versionId");
            meta.shift_remove("lastUpdated");
        }
        if object.get("meta").is_some_and(|meta| meta.as_object().is_some_and(serde_json::Map::is_empty)) {
            object.shift_remove("meta");
        }
    }
    let kept = kept.to_string();
    if kept.len() > BODY_MAX_BYTES {
        let told = format!("a Subscription has at most {BODY_MAX_BYTES} bytes");
        return Err(Fault::new(StatusCode::PAYLOAD_TOO_LARGE, Issue::error(IssueCode::TooLong, "Subscription", told)));
    }
    Ok((status, kept))
}

fn shown(app: &Shared, caller: &Caller, subscription: &Subscription, status: StatusCode, told: &str) -> Reply {
    let body = preferred_of(caller, notification::resource(subscription), "Subscription", told);
    let reply = Reply::empty(status).version(subscription.version, subscription.last_updated).body(body);
    if status != StatusCode::CREATED {
        return reply;
    }
    reply.header(header::LOCATION, format!("{}/fhir/Subscription/{}", app.base_url, subscription.id))
}

/// `POST /fhir/Subscription`
pub async fn create(State(app): State<Shared>, call: Call) -> Answer {
    let owner = subscriber(&call.caller).ok_or_else(Fault::not_found)?;
    let (status, body) = checked(&app, &owner, &call)?;
    if app.store.subscriptions(&owner).await?.len() >= OWN_MAX {
        return Err(too_many());
    }
    let now = app.store.now();
    let made = uuid::Timestamp::from_unix(
        uuid::NoContext,
        u64::try_from(now.as_second()).unwrap_or_default(),
        u32::try_from(now.subsec_nanosecond()).unwrap_or_default(),
    );
    let subscription = Subscription {
        id: Uuid::new_v7(made),
        owner,
        version: 1,
        last_updated: now,
        status,
        body,
        seen_until: now,
        events: 0,
        progress: Progress::default(),
        lease: 0,
    };
    app.store.add_subscription(subscription.clone()).await?;
    // of several that are made at once only as many stay as may be
    let own = app.store.subscriptions(&subscription.owner).await?;
    if own.iter().position(|one| one.id == subscription.id).is_none_or(|place| place >= OWN_MAX) {
        app.store.remove_subscription(subscription.id).await?;
        return Err(too_many());
    }
    Ok(shown(
        &app,
        &call.caller,
        &subscription,
        StatusCode::CREATED,
        "made; it becomes active when its handshake is answered",
    ))
}

fn too_many() -> Fault {
    let told = format!("you have {OWN_MAX} subscriptions already: end one, or narrow one by several values");
    Fault::new(StatusCode::UNPROCESSABLE_ENTITY, Issue::error(IssueCode::TooCostly, "Subscription", told))
}

/// `GET /fhir/Subscription/{id}`
pub async fn read(State(app): State<Shared>, Path(id): Path<String>, caller: Caller) -> Answer {
    let found = own(&app, &caller, &id).await?;
    let reply = Reply::ok(notification::resource(&found)).version(found.version, found.last_updated);
    let known = caller.has_already(found.version);
    Ok(if known { reply.status(StatusCode::NOT_MODIFIED).body(None) } else { reply })
}

/// `PUT /fhir/Subscription/{id}`: its owner writes it anew, asks for it again after an error, or wants nothing at present.
pub async fn update(State(app): State<Shared>, Path(id): Path<String>, call: Call) -> Answer {
    let found = own(&app, &call.caller, &id).await?;
    if call.body.get("id").and_then(Value::as_str) != Some(&*found.id.to_string()) {
        // R4 http, 3.1.0.4
        let told = "the id of the resource must be that of the URL";
        return Err(Fault::invalid(vec![Issue::error(IssueCode::Value, "Subscription.id", told)]));
    }
    let (status, body) = checked(&app, &found.owner, &call)?;
    let asked = call.caller.header(&header::IF_MATCH).is_some();
    let over = match call.caller.header(&header::IF_MATCH) {
        Some(_) => call.caller.if_match()?,
        None => found.version,
    };
    let stale = || {
        let told = "the Subscription has another version by now: read it again";
        let issue = Issue::error(IssueCode::Conflict, "Subscription.meta.versionId", told);
        Fault::new(StatusCode::PRECONDITION_FAILED, issue)
    };
    let mut written = app.store.rewrite_subscription(found.id, over, status, body.clone()).await?;
    // without a condition it is written over whatever happened meanwhile
    for _ in 0..REWRITES_MAX {
        if written || asked {
            break;
        }
        let now = own(&app, &call.caller, &id).await?;
        written = app.store.rewrite_subscription(now.id, now.version, status, body.clone()).await?;
    }
    if !written {
        return Err(stale());
    }
    let now = own(&app, &call.caller, &id).await?;
    Ok(shown(&app, &call.caller, &now, StatusCode::OK, "written; it becomes active when its handshake is answered"))
}

/// `DELETE /fhir/Subscription/{id}`
pub async fn delete(State(app): State<Shared>, Path(id): Path<String>, caller: Caller) -> Answer {
    match own(&app, &caller, &id).await {
        Ok(found) => app.store.remove_subscription(found.id).await?,
        // it is as whoever deletes it wants it (R4 http, 3.1.0.7)
        Err(fault) if fault.is_not_found() => {}
        Err(fault) => return Err(fault),
    }
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// `GET /fhir/Subscription?…`: those of the client, which are few.
pub async fn search(app: &Shared, caller: &Caller, asked: &[(String, String)]) -> Result<Vec<Value>, Fault> {
    let base = format!("{}/fhir", app.base_url);
    let search = Search::read("Subscription", asked, &base, caller.is_lenient()).map_err(Fault::invalid)?;
    let mut found = Vec::new();
    for owner in caller.clients.iter().filter_map(as_subscriber) {
        found.extend(app.store.subscriptions(&owner).await?.iter().map(notification::resource));
    }
    let world = World { base: &base, now: jiff::Timestamp::now(), owner: None, find: &|_, _| None };
    found.retain(|subscription| search.matches(subscription, &world));
    Ok(found)
}

/// `GET /fhir/Subscription/{id}/$status`
pub async fn status(State(app): State<Shared>, Path(id): Path<String>, caller: Caller) -> Answer {
    let found = own(&app, &caller, &id).await?;
    let status = notification::status(&found, notification::Kind::Status, &[], channel::Content::IdOnly);
    let url = format!("urn:uuid:{}", status.get("id").and_then(Value::as_str).unwrap_or_default());
    let entry = json!({"fullUrl": url, "resource": status, "search": {"mode": "match"}});
    Ok(Reply::ok(json!({"resourceType": "Bundle", "type": "searchset", "total": 1, "entry": [entry]})))
}

/// `GET /fhir/Subscription/{id}/$events?eventsSinceNumber=…&eventsUntilNumber=…&content=…`: what happened, whether it was sent or not.
pub async fn events(State(app): State<Shared>, Path(id): Path<String>, caller: Caller) -> Answer {
    let found = own(&app, &caller, &id).await?;
    let wrong =
        |name: &str, told: &str| Fault::invalid(vec![Issue::error(IssueCode::Value, format!("http.{name}"), told)]);
    let wanted = Wanted::read(&notification::resource(&found), &format!("{}/fhir", app.base_url));
    let mut content = wanted.map_or(channel::Content::IdOnly, |wanted| wanted.channel.content);
    let (mut since, mut until) = (1, u64::MAX);
    for (name, value) in &caller.query {
        let number = || value.parse::<u64>().map_err(|_| wrong(name, "use the number of an event"));
        match name.as_str() {
            "eventsSinceNumber" => since = number()?.max(1),
            "eventsUntilNumber" => until = number()?,
            "content" => {
                content = match value.as_str() {
                    "empty" => channel::Content::Empty,
                    "id-only" => channel::Content::IdOnly,
                    "full-resource" => channel::Content::FullResource,
                    _ => return Err(wrong(name, "use empty, id-only or full-resource")),
                };
            }
            "_format" | "_pretty" => {}
            _ => return Err(wrong("query", "$events knows eventsSinceNumber, eventsUntilNumber and content")),
        }
    }
    let until = until.min(since.saturating_add(EVENTS_MAX - 1));
    let events = app.store.subscription_events(found.id, since, until).await?;
    let mut bodies = Vec::new();
    for event in events.iter().filter(|_| content == channel::Content::FullResource) {
        let body = crate::lanes::task_body(&*app.store, event.task, event.version).await?;
        bodies.push(with_meta(body, event.version, event.at));
    }
    let base = format!("{}/fhir", app.base_url);
    Ok(Reply::ok(notification::bundle(&found, notification::Kind::Query, &events, content, bodies, &base)))
}

//! Whether it lives, whether it can take referrals, and its figures.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{App, Shared};
use crate::{
    admission::Kind,
    domain::{
        Side,
        breaker::{Breaker, Phase},
        clock::instant,
    },
    health::State as Is,
    lanes::endpoints::Seen,
};

/// `GET /health/live`: the process answers.
pub async fn live() -> Response {
    said(StatusCode::OK, &json!({"status": "live"}))
}

fn said(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// `GET /health/ready`: whether referrals can be accepted, and how each part is: since when, and what to do. A broker that is
/// away is told, and is no reason to turn referrals away: the outbox holds their messages. So are endpoints that are left alone
/// at present.
pub async fn ready(State(app): State<Shared>) -> Response {
    let overall = app.health.overall();
    let (status, code) = match overall {
        _ if app.health.is_stopping() => ("stopping", StatusCode::SERVICE_UNAVAILABLE),
        Is::Unavailable => (overall.word(), StatusCode::SERVICE_UNAVAILABLE),
        Is::Degraded | Is::Ready => (overall.word(), StatusCode::OK),
    };
    let mut parts = serde_json::Map::new();
    for (part, found) in app.health.conditions() {
        let mut told = json!({"state": found.state.word(), "since": instant(found.since), "detail": found.detail});
        if !found.advice.is_empty() {
            told["advice"] = found.advice.into();
        }
        parts.insert(part.name().to_owned(), told);
    }
    said(code, &json!({"status": status, "roles": app.roles.words(), "parts": parts, "endpoints": endpoints(&app)}))
}

/// The endpoints that are not as always.
fn endpoints(app: &App) -> Vec<Value> {
    let unusual = |seen: &Seen| seen.breaker.phase != Phase::Closed;
    let shown = |seen: Seen| {
        let Breaker { since, outage, failures, why, .. } = &seen.breaker;
        json!({"endpoint": seen.of.to_string(), "breaker": seen.breaker.word(), "since": instant(*since),
               "outage": instant(*outage), "failures": failures, "why": why})
    };
    app.endpoints.seen().into_iter().filter(unusual).map(shown).collect()
}

/// `GET /metrics` (Prometheus text). What waits and what died is read from the store, so that a restart does not hide it.
pub async fn figures(State(app): State<Shared>) -> Response {
    // reading the backlog costs the store something: a few at a time may
    let _place = match app.admission.enter(Kind::Figures, "figures", None) {
        Ok(place) => place,
        Err(refusal) => {
            let after = [(header::RETRY_AFTER, refusal.retry_after_s.to_string())];
            return (StatusCode::SERVICE_UNAVAILABLE, after).into_response();
        }
    };
    let registry = app.registry.load_full();
    let systems = registry.systems.keys().map(|id| (Side::WriteBack, id.as_str()));
    let inboxes = registry.inboxes.keys().map(|id| (Side::Delivery, id.as_str()));
    // while the store is away the figures stay as they were: an alarm on dead letters must not end with it
    let backlog = app.store.backlog().await;
    metrics::gauge!("onward_backlog_known").set(f64::from(u8::from(backlog.is_ok())));
    let known = backlog.is_ok();
    let backlog = backlog.unwrap_or_default();
    let now = app.store.now();
    let places = systems.chain(inboxes).map(|(side, to)| (side, to.to_owned()));
    for (side, to) in places.chain(backlog.iter().map(|b| (b.side, b.to.clone()))).filter(|_| known) {
        let found = backlog.iter().find(|b| b.side == side && b.to == to);
        let age = found.and_then(|b| b.oldest).map_or(0.0, |oldest| now.duration_since(oldest).as_secs_f64());
        let labels = [("lane", side.code().to_owned()), ("to", to)];
        let count = |of: Option<u64>| of.unwrap_or_default() as f64;
        metrics::gauge!("onward_messages_waiting", &labels).set(count(found.map(|b| b.waiting)));
        metrics::gauge!("onward_dead_letters", &labels).set(count(found.map(|b| b.dead)));
        metrics::gauge!("onward_oldest_waiting_seconds", &labels).set(age);
    }
    if let Ok(waiting) = app.store.proposals_waiting().await {
        let age = waiting.map_or(0.0, |(_, oldest)| now.duration_since(oldest).as_secs_f64());
        metrics::gauge!("onward_directory_proposals_waiting").set(waiting.map_or(0, |(count, _)| count) as f64);
        metrics::gauge!("onward_directory_oldest_proposal_seconds").set(age);
    }
    for seen in app.endpoints.seen() {
        let endpoint = seen.of.to_string();
        for phase in ["closed", "paused", "open", "probing", "draining"] {
            let labels = [("endpoint", endpoint.clone()), ("breaker", phase.to_owned())];
            let is = f64::from(u8::from(seen.breaker.word() == phase));
            metrics::gauge!("onward_endpoint_breaker", &labels).set(is);
        }
        let labels = [("endpoint", endpoint)];
        metrics::gauge!("onward_endpoint_in_flight", &labels).set(seen.in_flight as f64);
        metrics::gauge!("onward_endpoint_held_back", &labels).set(seen.waiting as f64);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.render()).into_response()
}

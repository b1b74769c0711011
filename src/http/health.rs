//! Whether it lives, whether it can take referrals, and its figures.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::Shared;
use crate::domain::{Side, clock::instant};

/// `GET /health/live`: the process answers.
pub async fn live() -> Response {
    said(StatusCode::OK, &json!({"status": "live"}))
}

fn said(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// `GET /health/ready`: referrals can be accepted, which needs the store and nothing else. A broker that is away is told, and
/// is no reason to turn referrals away: the outbox holds their messages.
pub async fn ready(State(app): State<Shared>) -> Response {
    let store = app.store.ready().await;
    let broker = app.broker.health();
    let status = match (&store, broker.connected) {
        (Err(_), _) => "unavailable",
        (Ok(()), false) => "degraded",
        (Ok(()), true) => "ready",
    };
    let code = if store.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "status": status,
        "roles": app.roles.words(),
        "store": store.err().map_or("ready".to_owned(), |e| e.to_string()),
        "broker": {"connected": broker.connected, "since": instant(broker.since), "detail": broker.detail},
    });
    said(code, &body)
}

/// `GET /metrics` (Prometheus text). What waits and what died is read from the store, so that a restart does not hide it.
pub async fn figures(State(app): State<Shared>) -> impl IntoResponse {
    let registry = app.registry.load_full();
    let systems = registry.systems.keys().map(|id| (Side::WriteBack, id.as_str()));
    let inboxes = registry.inboxes.keys().map(|id| (Side::Delivery, id.as_str()));
    let backlog = app.store.backlog().await.unwrap_or_default();
    let now = app.store.now();
    for (side, to) in systems
        .chain(inboxes)
        .map(|(side, to)| (side, to.to_owned()))
        .chain(backlog.iter().map(|b| (b.side, b.to.clone())))
    {
        let found = backlog.iter().find(|b| b.side == side && b.to == to);
        let age = found.and_then(|b| b.oldest).map_or(0.0, |oldest| now.duration_since(oldest).as_secs_f64());
        let labels = [("lane", side.code().to_owned()), ("to", to)];
        let count = |of: Option<u64>| of.unwrap_or_default() as f64;
        metrics::gauge!("onward_messages_waiting", &labels).set(count(found.map(|b| b.waiting)));
        metrics::gauge!("onward_dead_letters", &labels).set(count(found.map(|b| b.dead)));
        metrics::gauge!("onward_oldest_waiting_seconds", &labels).set(age);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.render())
}

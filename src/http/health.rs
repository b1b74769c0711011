//! Whether it lives, whether it can take referrals, and its figures.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::Shared;
use crate::domain::clock::instant;

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
        "store": store.err().map_or("ready".to_owned(), |e| e.to_string()),
        "broker": {"connected": broker.connected, "since": instant(broker.since), "detail": broker.detail},
    });
    said(code, &body)
}

/// `GET /metrics` (Prometheus text).
pub async fn metrics(State(app): State<Shared>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.render())
}

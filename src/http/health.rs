//! Whether it lives, whether it can take referrals, and its figures. The first two are told to everybody, for whatever balances load must
//! know them. How each part is, and the figures, name systems and inboxes and count what goes to them: those are for who keeps the service
//! running, on this machine or with a token.

use std::net::IpAddr;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, header, uri::Authority},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{App, Shared, admit, who::Came};
use crate::{
    admission::{Kind, Refusal},
    auth::{self, Caller, KnownBy},
    config::TokenHash,
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

/// By one of these whoever passed a request on says that it comes from elsewhere.
const PASSED_ON: [HeaderName; 9] = [
    header::VIA,
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("cf-connecting-ip"),
    HeaderName::from_static("x-envoy-external-address"),
];

/// Whether this is told to somebody who keeps the service running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    /// Somebody who does.
    Keeper,
    /// Somebody who shows nothing.
    Anybody,
    /// Somebody who shows a token that is no keeper's.
    WrongToken,
}

/// Who asks: whoever is on this machine keeps the service running, and so does who shows one of these tokens. All of them are compared, in
/// constant time. What is said to be passed on does not come from this machine, whoever says so: by that nobody gets more than without it.
fn asker(tokens: &[TokenHash], headers: &HeaderMap, came: &Came) -> Asker {
    let here = came.loopback || came.address.is_some_and(|address| address.to_canonical().is_loopback());
    if here && is_asked_for_here(headers) && !PASSED_ON.iter().any(|name| headers.contains_key(name)) {
        return Asker::Keeper;
    }
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let (first, further) = (shown.next(), shown.next());
    let Some(first) = first else { return Asker::Anybody };
    let token = first.to_str().ok().and_then(auth::bearer).filter(|_| further.is_none());
    let shown = token.map(TokenHash::of);
    let fits = shown.is_some_and(|shown| tokens.iter().fold(false, |found, one| one.is(&shown) | found));
    if fits { Asker::Keeper } else { Asker::WrongToken }
}

/// Whether no name from elsewhere is asked for: a proxy hands on the one by which it was reached, and a page from elsewhere can have its own
/// name lead to this machine.
fn is_asked_for_here(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Some(authority) = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()) else { return false };
    let name = authority.host().trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Tells nothing more to whoever tries one token after the other.
fn counted(app: &App, came: &Came, asker: Asker) -> Result<Asker, Refusal> {
    if asker == Asker::WrongToken {
        let wrong = Caller { known_by: KnownBy::UnknownToken, ..Caller::default() };
        app.often.asks(&wrong, came)?;
    }
    Ok(asker)
}

/// `GET /health/ready`: whether referrals can be accepted, and to who keeps the service running how each part is: since when, and what to
/// do. A broker that is away is told, and is no reason to turn referrals away: the outbox holds their messages. So are endpoints that
/// are left alone at present.
pub async fn ready(State(app): State<Shared>, came: Came, headers: HeaderMap) -> Response {
    let overall = app.health.overall();
    let (status, code) = match overall {
        _ if app.health.is_stopping() => ("stopping", StatusCode::SERVICE_UNAVAILABLE),
        Is::Unavailable => (overall.word(), StatusCode::SERVICE_UNAVAILABLE),
        Is::Degraded | Is::Ready => (overall.word(), StatusCode::OK),
    };
    match counted(&app, &came, asker(&app.keeper_tokens, &headers, &came)) {
        Ok(Asker::Keeper) => came.of_known(),
        Ok(_) => return said(code, &json!({"status": status})),
        Err(refusal) => return admit::refused(refusal).in_json(),
    }
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

/// `GET /metrics` (Prometheus text), for who keeps the service running. What waits and what died is read from the store, so that a
/// restart does not hide it.
pub async fn figures(State(app): State<Shared>, came: Came, headers: HeaderMap) -> Response {
    match counted(&app, &came, asker(&app.keeper_tokens, &headers, &came)) {
        Ok(Asker::Keeper) => {}
        Ok(_) => {
            let told =
                "figures are for whoever is on this machine, or shows a bearer token of [server] keeper-tokens\n";
            return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], told).into_response();
        }
        Err(refusal) => return admit::refused(refusal).in_json(),
    }
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

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn came(address: &str, loopback: bool) -> Came {
        Came { address: Some(address.parse().unwrap()), loopback, ..Came::default() }
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn who_is_on_this_machine_or_shows_a_token_keeps_it_running() {
        let tokens = [TokenHash::of("a-token-of-prometheus"), TokenHash::of("another-of-a-person")];
        let asks = |lines: &[(&'static str, &str)], address: &str, loopback: bool| {
            asker(&tokens, &headers(lines), &came(address, loopback))
        };
        for here in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(asks(&[], here, false), Asker::Keeper, "{here}");
        }
        assert_eq!(asks(&[], "192.0.2.1", true), Asker::Keeper, "that is not reached from elsewhere");
        for elsewhere in ["192.0.2.1", "10.0.0.1", "169.254.169.254", "2001:db8::1", "::ffff:10.0.0.1"] {
            assert_eq!(asks(&[], elsewhere, false), Asker::Anybody, "{elsewhere}");
            for token in ["Bearer a-token-of-prometheus", "bearer another-of-a-person"] {
                assert_eq!(asks(&[("authorization", token)], elsewhere, false), Asker::Keeper, "{elsewhere}");
            }
            for wrong in ["Bearer a-token-of-prometheu", "Bearer ", "Basic YTpi", "a-token-of-prometheus"] {
                assert_eq!(asks(&[("authorization", wrong)], elsewhere, false), Asker::WrongToken, "{wrong}");
            }
            let two =
                [("authorization", "Bearer a-token-of-prometheus"), ("authorization", "Bearer a-token-of-prometheus")];
            assert_eq!(asks(&two, elsewhere, false), Asker::WrongToken, "of two none counts");
        }
        for name in ["forwarded", "x-forwarded-for", "via", "x-real-ip", "x-forwarded-proto", "cf-connecting-ip"] {
            assert_eq!(asks(&[(name, "127.0.0.1")], "127.0.0.1", true), Asker::Anybody, "passed on: {name}");
        }
        for here in ["localhost:8787", "LOCALHOST", "127.0.0.1:8787", "[::1]:8787"] {
            assert_eq!(asks(&[("host", here)], "127.0.0.1", true), Asker::Keeper, "{here}");
        }
        for elsewhere in ["onward.trust.example", "evil.example:8787", "192.0.2.1", "", "a b"] {
            assert_eq!(asks(&[("host", elsewhere)], "127.0.0.1", true), Asker::Anybody, "{elsewhere}");
        }
        let none = asker(&[], &headers(&[("authorization", "Bearer ")]), &came("192.0.2.1", false));
        assert_eq!(none, Asker::WrongToken, "where there are no tokens none fits");
    }
}

//! The door: who a request is from, of which kind it is, and whether there is a place for it. Known from its head alone; its body
//! is not asked for (`100 Continue`) and not read before it has a place.

use std::sync::Arc;

use axum::{
    extract::Request,
    http::{Method, StatusCode, header},
};

use super::{
    App,
    reply::Fault,
    who::{self, Came},
};
use crate::{
    admission::{Kind, Place, Refusal},
    auth::Caller,
    config::registry::Client,
    fhir::{Issue, IssueCode},
};

/// Who shows no token that is known. Such a request is answered before its body is read.
const STRANGER: &str = "stranger";

/// Who sends a request; put there at the door, so that it is found out once.
#[derive(Clone)]
pub struct Known(pub Caller);

/// Marks what came over a connection beyond the bound on connections: only those who keep the service running or answer are
/// served there.
#[derive(Clone, Copy)]
pub struct Crowded;

/// The place of a request, where its body's reader finds it.
pub type Held = Arc<Place>;

/// Finds a place for a request, and notes in it who sends it.
pub async fn enter(app: &App, request: &mut Request) -> Result<Held, Fault> {
    let caller = who::asks(app, request.headers(), request.extensions()).await?;
    let came = Came::of(request.extensions());
    if !caller.clients.is_empty() {
        came.of_known();
    }
    app.often.asks(&caller, &came).map_err(refused)?;
    let kind = kind(request.method(), request.uri().path(), &caller.clients);
    if kind != Kind::Answer && request.extensions().get::<Crowded>().is_some() {
        return Err(Fault::unavailable("there are as many connections as may be; try again shortly"));
    }
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    // how much comes of a body that is compressed is not announced
    let announced = announced.filter(|_| !request.headers().contains_key(header::CONTENT_ENCODING));
    let place = app.admission.enter(kind, &name(&caller.clients), announced).map_err(refused)?;
    let place = Arc::new(place);
    request.extensions_mut().insert(Known(caller));
    request.extensions_mut().insert(Held::clone(&place));
    Ok(place)
}

/// A refusal as an answer.
pub fn refused(refusal: Refusal) -> Fault {
    let (status, code) = if refusal.own {
        (StatusCode::TOO_MANY_REQUESTS, IssueCode::Throttled)
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, IssueCode::Transient)
    };
    let told = format!("{}; nothing was done, send it again after Retry-After", refusal.why);
    Fault::new(status, Issue::error(code, "%resource", told)).retry_after(refusal.retry_after_s)
}

fn kind(method: &Method, path: &str, clients: &[Client]) -> Kind {
    if *method == Method::GET || *method == Method::HEAD || clients.is_empty() {
        return Kind::Read;
    }
    let refers = clients.iter().any(|client| matches!(client, Client::System(_)));
    // a Task that a search names is answered, too
    let is_task = path.strip_prefix("/fhir/Task").is_some_and(|below| below.is_empty() || below.starts_with('/'));
    if !refers || is_task { Kind::Answer } else { Kind::Referral }
}

fn name(clients: &[Client]) -> String {
    match clients.first() {
        Some(Client::System(id)) => format!("system {id}"),
        Some(Client::Provider(id)) => format!("provider {id}"),
        Some(Client::Steward(id)) => format!("steward {id}"),
        None => STRANGER.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_from_referrals_and_both_from_reads() {
        let (system, provider) = (Client::System("a".parse().unwrap()), Client::Provider("b".parse().unwrap()));
        let both = [system.clone(), provider.clone()];
        for (method, path, clients, expected) in [
            (Method::POST, "/fhir", &both[..1], Kind::Referral),
            (Method::POST, "/fhir/ServiceRequest", &both[..1], Kind::Referral),
            (Method::PUT, "/fhir/ServiceRequest/1", &both[..1], Kind::Referral),
            (Method::POST, "/fhir/ServiceRequest", &both[..], Kind::Referral),
            (Method::PUT, "/fhir/Task/1", &both[1..], Kind::Answer),
            (Method::PATCH, "/fhir/Task/1", &both[..], Kind::Answer),
            (Method::PUT, "/fhir/Task", &both[..], Kind::Answer),
            (Method::PUT, "/fhir/TaskForce", &both[..], Kind::Referral),
            (Method::POST, "/fhir/Communication", &both[1..], Kind::Answer),
            (Method::GET, "/fhir/Task", &both[1..], Kind::Read),
            (Method::POST, "/fhir", &both[..0], Kind::Read),
        ] {
            assert_eq!(kind(&method, path, clients), expected, "{method} {path}");
        }
    }
}

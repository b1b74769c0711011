//! The directory over HTTP: stewards write it, providers propose for it, every client reads the same of it, and no steward sees a referral.

use hyper::Method;
use onward::demo::caller::{Answered, FHIR_JSON};
use serde_json::{Value, json};

use crate::{
    api::{ids, query, refused, resources},
    support::hub::{self, Actor, Hub},
};

/// Behaviours that are the same over SQLite and over PostgreSQL.
macro_rules! on_both_stores {
    ($($behaviour:ident),+ $(,)?) => {
        $(
            mod $behaviour {
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn on_sqlite() {
                    super::$behaviour(super::Hub::start().await).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn on_postgresql() {
                    let Some(place) = crate::store::postgres::Place::new() else { return };
                    super::$behaviour(super::Hub::build().store_at(&place.url).start().await).await;
                }
            }
        )+
    };
}

mod commands;
mod entries;
mod found;
mod proposals;
mod replicas;
mod sense;
mod stories;
mod unseen;

/// An entry with these elements.
fn entry(kind: &str, elements: Value) -> Value {
    let mut body = json!({"resourceType": kind});
    for (name, value) in elements.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// A service of this name, with these elements besides.
fn service(name: &str, elements: Value) -> Value {
    let by = json!({"identifier": {"system": "https://who.example", "value": "somebody"}});
    let first = json!({"active": true, "name": name, "type": [{"text": "Gardening"}], "providedBy": by});
    let mut body = entry("HealthcareService", first);
    for (name, value) in elements.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn organization(name: &str) -> Value {
    entry("Organization", json!({"active": true, "name": name}))
}

fn refers(to: &str) -> Value {
    json!({"reference": to})
}

fn of(provider: &str) -> Value {
    refers(&format!("Organization/{provider}"))
}

/// Without an ETag it is written over the version that is there now.
async fn put(actor: &Actor, url: &str, etag: Option<&str>, body: &Value) -> Answered {
    let now = actor.get(url).await.header("etag").map(str::to_owned);
    let etag = etag.map(str::to_owned).or(now);
    let call = actor.call_to(Method::PUT, url).json(FHIR_JSON, body);
    actor.call(etag.iter().fold(call, |call, etag| call.header("if-match", etag))).await
}

/// Writes an entry, which must be taken; its `[type]/[id]`.
async fn made(steward: &Actor, body: &Value) -> String {
    let kind = body["resourceType"].as_str().unwrap();
    let answer = steward.method(Method::POST, &format!("/fhir/{kind}"), body).await;
    assert_eq!(answer.status, 201, "{}", answer.describe());
    format!("{kind}/{}", answer.json()["id"].as_str().unwrap())
}

/// What a search finds, which must be answered.
async fn found(actor: &Actor, search: &str) -> Value {
    let answer = actor.get(&format!("/fhir/{search}")).await;
    assert_eq!(answer.status, 200, "{search}: {}", answer.describe());
    answer.json()
}

/// Somebody of each kind of client.
fn everybody(hub: &Hub) -> Vec<(&'static str, Actor)> {
    vec![
        ("steward", hub.steward()),
        ("system", (*hub.sender(hub::GP)).clone()),
        ("provider", (*hub.provider(hub::LIFE_ROOMS)).clone()),
    ]
}

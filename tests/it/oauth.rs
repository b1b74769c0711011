//! Systems that sign who they are and get access tokens for it: what must not get in, and what those who got in may do.

mod confusion;
mod external;
mod issued;
mod outgoing;
mod replicas;
mod scopes;
mod searches;
pub mod signer;

use std::path::Path;

use onward::demo::caller::{Answered, Call};
use serde_json::Value;

use crate::support::hub::{Build, Hub, RIO};
use signer::Signer;

/// Mersey Care's system with the keys of these signers, and what may be granted to it.
pub fn with_keys(folder: &Path, signers: &[&Signer], scopes: &[&str]) -> String {
    let file = folder.join("rio.jwks");
    std::fs::write(&file, signer::set(signers).to_string()).unwrap();
    let scopes = match scopes {
        [] => String::new(),
        some => format!("scopes = {some:?}\n"),
    };
    format!("jwks = {:?}\n{scopes}", file.to_str().unwrap())
}

/// A hub whose Mersey Care signs by this key.
async fn hub_of(build: Build, folder: &Path, signer: &Signer, scopes: &[&str]) -> Hub {
    build.rio(&with_keys(folder, &[signer], scopes)).start().await
}

/// Its id.
fn rio() -> String {
    format!("system/{RIO}")
}

/// Sends a form.
async fn post(hub: &Hub, path: &str, form: &[(&str, &str)]) -> Answered {
    let encode =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let body: Vec<String> = form.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let actor = hub.actor(None);
    let call = Call::new(hyper::Method::POST, actor.url(path));
    actor.call(call.bytes("application/x-www-form-urlencoded", body.join("&").into())).await
}

/// Asks for a token by this assertion.
async fn ask(hub: &Hub, assertion: &str, scope: &str) -> Answered {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", assertion),
        ("scope", scope),
    ];
    post(hub, "/oauth/token", &form).await
}

/// Where tokens are given.
fn token_url(hub: &Hub) -> String {
    format!("{}/oauth/token", hub.base_url)
}

/// A token that must be given.
async fn token(hub: &Hub, signer: &Signer, scope: &str) -> String {
    let answer = ask(hub, &signer.assertion(&rio(), &token_url(hub)), scope).await;
    assert_eq!(answer.status, 200, "{}", answer.describe());
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

/// What an endpoint refuses, as RFC 6749 has it.
fn refused(answer: &Answered, status: u16, error: &str) -> Value {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.describe());
    let told = answer.json();
    assert_eq!(told["error"], error, "{told}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    told
}

//! Tokens that are given: what they say, how long they hold, and whose they are.

use jsonwebtoken::Algorithm;
use serde_json::json;

use super::{Signer, ask, hub_of, post, refused, rio, token, token_url, with_keys};
use crate::support::{
    fixtures,
    hub::{GP, Hub, token_of},
    until,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_signs_gets_a_token_and_refers_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (Signer::es384("ec"), Signer::new("rsa", Algorithm::RS384));
    let hub = Hub::build().rio(&with_keys(folder.path(), &[&one, &two], &[])).start().await;
    let well_known = hub.actor(None).get("/.well-known/smart-configuration").await;
    assert_eq!(well_known.status, 200);
    let told = well_known.json();
    assert_eq!(told, hub.actor(None).get("/fhir/.well-known/smart-configuration").await.json());
    assert_eq!(told["token_endpoint"], token_url(&hub));
    assert_eq!(told["token_endpoint_auth_signing_alg_values_supported"], json!(["RS384", "ES384"]));
    for (name, signer) in [("ec", &one), ("rsa", &two)] {
        let scope = "system/ServiceRequest.crus system/Task.read";
        let answer = ask(&hub, &signer.assertion(&rio(), told["token_endpoint"].as_str().unwrap()), scope).await;
        assert_eq!(answer.status, 200, "{}", answer.describe());
        assert_eq!((answer.header("cache-control"), answer.header("pragma")), (Some("no-store"), Some("no-cache")));
        let given = answer.json();
        assert_eq!((&given["token_type"], &given["expires_in"]), (&json!("bearer"), &json!(300)));
        assert_eq!(given["scope"], "system/ServiceRequest.crus system/Task.rs");
        let actor = hub.actor(given["access_token"].as_str());
        let referral = fixtures::to_life_rooms(name).to_string();
        let sent = actor.post("/fhir/ServiceRequest", "application/fhir+json", referral).await;
        assert_eq!(sent.status, 201, "{}", sent.describe());
        assert_eq!(actor.get(&sent.links("monitor")[0]).await.status, 200);
    }
    // it is the same client, however it is known
    let found = hub.sender(crate::support::hub::RIO).get("/fhir/Task").await.json();
    assert_eq!(found["entry"].as_array().unwrap().len(), 2);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_kept_by_its_hash_alone() {
    let folder = tempfile::tempdir().unwrap();
    let signer = Signer::es384("k");
    let hub = hub_of(Hub::build(), folder.path(), &signer, &[]).await;
    let token = token(&hub, &signer, "system/*.rs").await;
    assert_eq!(hub.rows()["access_token"], 1);
    let kept = hub.stop_keeping().await;
    for file in std::fs::read_dir(kept.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(token.len()).any(|part| part == token.as_bytes()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_revoked_is_worth_nothing_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let signer = Signer::es384("k");
    let hub = hub_of(Hub::build(), folder.path(), &signer, &[]).await;
    let (one, two) = (token(&hub, &signer, "system/*.rs").await, token(&hub, &signer, "system/Task.rs").await);
    let form = |token: &str| {
        let assertion = signer.assertion(&rio(), &token_url(&hub));
        [
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned()),
            ("client_assertion", assertion),
            ("token", token.to_owned()),
        ]
    };
    let told = async |path: &str, token: &str| {
        let form = form(token);
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        post(&hub, path, &form).await
    };
    let introspected = told("/oauth/introspect", &one).await.json();
    assert_eq!(introspected["active"], true);
    assert_eq!((&introspected["client_id"], &introspected["scope"]), (&json!(rio()), &json!("system/*.rs")));
    assert_eq!(hub.actor(Some(&one)).get("/fhir/Task").await.status, 200);
    assert_eq!(told("/oauth/revoke", &one).await.status, 200);
    assert_eq!(hub.actor(Some(&one)).get("/fhir/Task").await.status, 401);
    assert_eq!(hub.actor(Some(&two)).get("/fhir/Task").await.status, 200, "the other one holds");
    assert_eq!(told("/oauth/introspect", &one).await.json(), json!({"active": false}));
    // that there is none is as good, and nobody asks without showing who they are
    assert_eq!(told("/oauth/revoke", &one).await.status, 200);
    assert_eq!(told("/oauth/revoke", "whatever").await.status, 200);
    for path in ["/oauth/revoke", "/oauth/introspect"] {
        refused(&post(&hub, path, &[("token", &two)]).await, 401, "invalid_client");
        refused(&post(&hub, path, &[]).await, 400, "invalid_request");
    }
    assert_eq!(hub.actor(Some(&two)).get("/fhir/Task").await.status, 200);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_taken_out_is_out_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let signer = Signer::es384("k");
    let hub = hub_of(Hub::build(), folder.path(), &signer, &[]).await;
    let all = token(&hub, &signer, "system/*.rs").await;
    let actor = hub.actor(Some(&all));
    assert_eq!(actor.get("/fhir/Task").await.status, 200);
    let (config, _) = hub.load();
    let rio: onward::domain::SystemId = crate::support::hub::RIO.parse().unwrap();
    // what may be granted is less by now: the token is for less
    let mut less = config.registry.clone();
    less.systems.get_mut(&rio).unwrap().keys.scopes = "system/Task.r".parse().unwrap();
    hub.service().take_up(less).await.unwrap();
    assert_eq!(actor.get("/fhir/Task").await.status, 403);
    let mut without = config.registry.clone();
    without.systems.remove(&rio);
    hub.service().take_up(without).await.unwrap();
    assert_eq!(actor.get("/fhir/Task").await.status, 401);
    refused(&ask(&hub, &signer.assertion(&super::rio(), &token_url(&hub)), "system/*.rs").await, 401, "invalid_client");
    hub.service().take_up(config.registry).await.unwrap();
    assert_eq!(actor.get("/fhir/Task").await.status, 200);
    hub.stop().await;
}

/// Who has itself told of Tasks by what was granted is told of none once it is not granted any more, without being asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_ends_with_what_it_was_granted_by() {
    let folder = tempfile::tempdir().unwrap();
    let signer = Signer::es384("k");
    let hub = hub_of(Hub::build().hooks("http://127.0.0.1:9/"), folder.path(), &signer, &[]).await;
    let actor = hub.actor(Some(&token(&hub, &signer, "system/*.cruds").await));
    let wanted = json!({"resourceType": "Subscription", "status": "requested", "reason": "all", 
        "criteria": "https://onward.example/fhir/SubscriptionTopic/Task",
        "channel": {"type": "rest-hook", "endpoint": "http://127.0.0.1:9/hook"}});
    let made = actor.method(hyper::Method::POST, "/fhir/Subscription", &wanted).await;
    assert_eq!(made.status, 201, "{}", made.describe());
    let id = made.json()["id"].as_str().unwrap().parse().unwrap();
    let (config, _) = hub.load();
    let rio: onward::domain::SystemId = crate::support::hub::RIO.parse().unwrap();
    let with = |scopes: &str| {
        let mut registry = config.registry.clone();
        let system = registry.systems.get_mut(&rio).unwrap();
        (system.keys.scopes, system.tokens) = (scopes.parse().unwrap(), Vec::new());
        registry
    };
    let why = async || {
        let found = hub.service().store().subscription(id).await.unwrap().unwrap();
        found.progress.why.unwrap_or_default()
    };
    hub.service().take_up(with("system/*.cruds")).await.unwrap();
    until("nobody is at the hook", async || (!why().await.is_empty()).then_some(())).await;
    assert!(!why().await.contains("granted"), "{}", why().await);
    hub.service().take_up(with("system/ServiceRequest.crus system/Subscription.cruds")).await.unwrap();
    let mut again = actor.get(&format!("/fhir/Subscription/{id}")).await.json();
    again["status"] = "requested".into();
    // to ask anew, too, takes that Tasks may be read
    let put = actor.method(hyper::Method::PUT, &format!("/fhir/Subscription/{id}"), &again).await;
    assert_eq!(put.status, 403, "{}", put.describe());
    until("what is granted is looked at", async || why().await.contains("granted").then_some(())).await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_all_the_time_waits() {
    let folder = tempfile::tempdir().unwrap();
    let signer = Signer::es384("k");
    let hub = hub_of(Hub::build(), folder.path(), &signer, &[]).await;
    let mut waits = 0;
    for _ in 0..40 {
        let answer = ask(&hub, &signer.assertion(&rio(), &token_url(&hub)), "system/*.rs").await;
        if answer.status == 429 {
            refused(&answer, 429, "temporarily_unavailable");
            assert!(answer.header("retry-after").is_some());
            waits += 1;
        }
    }
    assert!(waits > 0, "a client is given no more than its share");
    // those who are known otherwise are none the worse for it
    assert_eq!(hub.actor(Some(&token_of(GP))).get("/fhir/Task").await.status, 200);
    hub.stop().await;
}

/// Whoever sends what nobody signed does not keep out who signs right, behind the same address and in the same name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn junk_keeps_nobody_from_a_token_who_signs_right() {
    let folder = tempfile::tempdir().unwrap();
    let (signer, other) = (Signer::es384("k"), Signer::es384("k"));
    let hub = hub_of(Hub::build(), folder.path(), &signer, &[]).await;
    let junk = ["", "a.b.c", "é"].map(str::to_owned).into_iter().chain([other.assertion(&rio(), &token_url(&hub))]);
    let junk: Vec<String> = junk.collect();
    let mut later = 0;
    for n in 0..400 {
        let answer = ask(&hub, &junk[n % junk.len()], "system/*.rs").await;
        if answer.status == 429 {
            refused(&answer, 429, "temporarily_unavailable");
            assert!(answer.header("retry-after").is_some());
            later += 1;
            if later % 50 == 1 {
                token(&hub, &signer, "system/*.rs").await;
            }
        } else {
            refused(&answer, 401, "invalid_client");
        }
    }
    assert!(later > 100, "only {later} were told to come later");
    // many at once do not, either
    let flood = junk.iter().cycle().take(60).map(|junk| ask(&hub, junk, "system/*.rs"));
    let (_, given) = tokio::join!(futures_util::future::join_all(flood), token(&hub, &signer, "system/*.rs"));
    assert_eq!(hub.actor(Some(&given)).get("/fhir/Task").await.status, 200);
    hub.stop().await;
}

#[tokio::test]
async fn a_token_of_the_configuration_is_worth_nothing_beyond_this_machine() {
    use std::sync::Arc;

    use onward::{
        auth::{Authority, Connection, KnownBy},
        client::FhirClient,
        config::Outbound,
        domain::SystemClock,
    };

    use crate::support::memory::Memory;

    let hub = Hub::build().without_service().start().await;
    let registry = Arc::new(arc_swap::ArcSwap::from_pointee(hub.load().0.registry));
    let authority = |everywhere| {
        let store = Arc::new(Memory::new(Arc::new(SystemClock)));
        let client = FhirClient::new(&Outbound::default()).unwrap();
        Authority::new(store, Arc::clone(&registry), client, "https://onward.example/oauth/token".into(), everywhere)
    };
    let gp = token_of(GP);
    for (everywhere, loopback, known_by) in [
        (false, true, KnownBy::Token),
        (false, false, KnownBy::UnknownToken),
        (true, false, KnownBy::Token),
        (true, true, KnownBy::Token),
    ] {
        let connection = Connection { loopback, ..Connection::default() };
        let who = authority(everywhere).who(Some(&gp), connection).await.unwrap();
        assert_eq!(who.known_by, known_by, "{everywhere} {loopback}");
        assert_eq!(who.is_stranger(), known_by == KnownBy::UnknownToken);
    }
    // over what it is not known that it came counts as from elsewhere
    assert!(authority(false).who(Some(&gp), Connection::default()).await.unwrap().is_stranger());
}

//! Endpoints that fail: how they are left alone, asked, and spoken to again; how much they are spoken to at once; and that
//! nobody else feels it.

mod bound;
mod isolation;
mod limits;
mod outcomes;

use std::time::Duration;

use hyper::{Method, StatusCode};
use onward::{
    demo::{
        caller::{Call, Caller},
        double::{Double, Fault, Logged, Rule, When},
    },
    domain::{Alert, AlertKind, Destination, ManualClock, Side, TaskId, Terms, retry::RetryPolicy},
    lanes::{
        Endpoints,
        endpoints::{Entry, Heard},
    },
    store::{Store, sqlite::SqliteStore},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{
    onward::{Onward, our_id},
    referrals::{Referral, singles},
    stage::{PROVIDER, SYSTEM, Setting, Stage, task_id},
    until,
};

const DOWN: Fault = Fault::Unavailable { retry_after_s: None };

fn always(fault: Fault) -> Rule {
    Rule::new(fault, When::Always)
}

/// The transactions that a server was sent, oldest first.
fn transactions(server: &Double) -> Vec<Logged> {
    server.requests().into_iter().filter(|r| r.method == Method::POST && r.path.is_empty()).collect()
}

/// What `/health/ready` says of an endpoint that is not as always.
async fn breaker(base_url: &str, endpoint: &str) -> Option<Value> {
    let answer = Caller::new().call(Call::get(format!("{base_url}/health/ready"))).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "an endpoint never makes it unready: {}", answer.describe());
    let shown = answer.json()["endpoints"].as_array().unwrap().clone();
    shown.into_iter().find(|one| one["endpoint"] == endpoint)
}

async fn breaker_is(base_url: &str, endpoint: &str, words: &[&str]) -> Value {
    until(&format!("the breaker of {endpoint} is {words:?}"), || async {
        breaker(base_url, endpoint).await.filter(|shown| words.iter().any(|word| shown["breaker"] == *word))
    })
    .await
}

async fn breaker_closes(base_url: &str, endpoint: &str) {
    until(&format!("the breaker of {endpoint} closes"), || async {
        breaker(base_url, endpoint).await.is_none().then_some(())
    })
    .await;
}

/// Sends these at a fixed rate; the ids of their Tasks.
async fn refer_at(onward: &Onward, referrals: impl Iterator<Item = Referral>, rate: u32) -> Vec<String> {
    let mut ids = Vec::new();
    let mut next = Instant::now();
    for referral in referrals {
        tokio::time::sleep_until(next).await;
        next += Duration::from_secs(1) / rate;
        ids.push(onward.refer(&referral).await);
    }
    ids
}

/// Which of these lie at a server.
fn arrived(server: &Double, ids: &[String]) -> usize {
    let there: std::collections::HashSet<String> =
        server.resources("Task").iter().filter_map(|task| our_id(task)).collect();
    ids.iter().filter(|id| there.contains(*id)).count()
}

async fn all_arrive(server: &Double, ids: &[String]) {
    until("all have arrived", || async { (arrived(server, ids) == ids.len()).then_some(()) }).await;
}

/// Opens the breaker of the provider: enough fail that nothing more is sent.
async fn opened(stage: &Stage, tag: &str) -> Vec<String> {
    let ids = refer_at(&stage.onward, singles(tag).take(8), 100).await;
    breaker_is(stage.service.base_url(), &inbox(), &["open", "probing"]).await;
    ids
}

fn inbox() -> String {
    Destination::new(Side::Delivery, PROVIDER).to_string()
}

fn record() -> String {
    Destination::new(Side::WriteBack, SYSTEM).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_left_alone_and_over_within_seconds() {
    let stage = Stage::set(Setting::default()).await;
    stage.provider.fault(always(DOWN));
    let mut ids = opened(&stage, "out").await;
    ids.extend(refer_at(&stage.onward, singles("during").take(60), 20).await);
    let asked = transactions(&stage.provider).len();
    // five open it, those under way at that moment fail as well, and then one asks every half second at the most
    assert!(asked <= 40, "{asked} requests for {} messages", ids.len());
    let parked = stage.store.attempts(task_id(ids.last().unwrap())).await.unwrap();
    assert_eq!(parked, [], "what waits for the breaker is not tried, and that is no try");
    let figures = stage.onward.metric("onward_endpoint_deferred_total", "by=\"breaker\"").await;
    assert!(figures > 30.0, "{figures}");

    stage.provider.heal();
    let back = Instant::now();
    all_arrive(&stage.provider, &ids).await;
    let took = back.elapsed();
    println!("{} messages were there {took:?} after the provider's return", ids.len());
    assert!(took < Duration::from_secs(10), "{took:?}");
    for id in &ids {
        stage.told_at_last(id, "received").await;
    }
    breaker_closes(stage.service.base_url(), &inbox()).await;
    let sent = transactions(&stage.provider).into_iter().filter(|r| r.status == Some(StatusCode::OK)).count();
    assert_eq!(sent, ids.len(), "each once");
    assert!(stage.store.dead_letters(9).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_keeps_its_order_over_an_outage() {
    let stage = Stage::set(Setting::default()).await;
    let mut ids = Vec::new();
    for referral in singles("order").take(12) {
        ids.push(stage.referred(&referral, "received").await);
    }
    stage.record.fault(always(DOWN));
    for status in ["accepted", "in-progress", "completed"] {
        for id in &ids {
            stage.answer(id, status, json!({})).await;
        }
        if status == "accepted" {
            breaker_is(stage.service.base_url(), &record(), &["open", "probing"]).await;
        }
    }
    stage.record.heal();
    for id in &ids {
        stage.told_at_last(id, "completed").await;
        assert_eq!(stage.statuses(id), ["received", "accepted", "in-progress", "completed"]);
    }
    breaker_closes(stage.service.base_url(), &record()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_asks_at_a_time_and_not_too_often() {
    let stage = Stage::set(Setting::default()).await;
    stage.provider.fault(always(DOWN));
    opened(&stage, "asks").await;
    until("those under way at that moment have failed", || async {
        let in_flight = stage.onward.metric("onward_endpoint_in_flight", &inbox()).await;
        (in_flight == 0.0).then_some(())
    })
    .await;
    refer_at(&stage.onward, singles("more").take(40), 200).await;
    stage.provider.clear_requests();
    until("it was asked four times", || async { (stage.provider.requests().len() >= 4).then_some(()) }).await;
    let at: Vec<_> = stage.provider.requests().iter().map(|r| r.at).collect();
    for pair in at.windows(2) {
        let apart = pair[1].duration_since(pair[0]);
        assert!(apart.as_millis() >= 450, "{apart}");
    }
    let shown = breaker_is(stage.service.base_url(), &inbox(), &["open", "probing"]).await;
    assert!(shown["failures"].as_u64().unwrap() >= 8, "{shown}");
    assert_eq!(shown["why"], "HTTP 503; transient");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_breaker_survives_a_restart() {
    let stage = Stage::set(Setting::default()).await;
    // for longer than this test may take, unless somebody closes it
    stage.provider.fault(always(Fault::Unavailable { retry_after_s: Some(3600) }));
    let mut ids = opened(&stage, "restart").await;
    let Stage { plan, service, store, provider, record: _record, .. } = stage;
    drop(store); // a store file serves one
    service.stop().await;
    provider.heal();
    provider.clear_requests();
    let service = plan.start().await;
    let (store, onward) = (service.store(), Onward::at(service.base_url()));
    let shown = breaker(service.base_url(), &inbox()).await.unwrap();
    assert_eq!(shown["breaker"], "open", "{shown}");
    let before = onward.metric("onward_endpoint_deferred_total", "by=\"breaker\"").await;
    ids.extend(refer_at(&onward, singles("after").take(5), 100).await);
    until("they are put aside", || async {
        let backlog = store.backlog().await.unwrap();
        let waiting = backlog.iter().find(|b| b.side == Side::Delivery).map(|b| b.waiting);
        let deferred = onward.metric("onward_endpoint_deferred_total", "by=\"breaker\"").await;
        (waiting == Some(13) && deferred >= before + 5.0).then_some(())
    })
    .await;
    assert_eq!(provider.requests().len(), 0, "nobody has asked, and nobody was sent anything");
    let broken = |alerts: &[Alert]| alerts.iter().any(|a| a.kind == AlertKind::EndpointBroken && a.subject == inbox());
    assert!(broken(&store.open_alerts(99).await.unwrap()), "it lasts: somebody is told");

    // a person closes it, beside the running service
    let found = store.breakers().await.unwrap().remove(0);
    let back = found.breaker.let_go(&found.breaker.base_url, "closed by tester", store.now()).unwrap();
    assert!(store.set_breaker(&found.of, found.version, back).await.unwrap());
    all_arrive(&provider, &ids).await;
    until("the alert ends", || async { (!broken(&store.open_alerts(99).await.unwrap())).then_some(()) }).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_breaker_is_told_as_late_and_given_up_in_time() {
    let retry = "first = \"100ms\"\ncap = \"200ms\"\ndelayed-after = \"1s\"\ngive-up-after = \"6s\"\n";
    let stage = Stage::set(Setting { retry, ..Setting::default() }).await;
    stage.provider.fault(always(Fault::Unavailable { retry_after_s: Some(3600) }));
    opened(&stage, "opens").await;
    let id = stage.onward.refer(&singles("late").next().unwrap()).await;
    let told = stage.told_at_last(&id, "requested").await;
    assert_eq!(told["businessStatus"]["coding"][0]["code"], "delivery-delayed");
    let letter = stage.dead_letter(&id).await;
    assert_eq!(letter.why, "given up without a try: its endpoint was away all the time");
    let tries = stage.store.attempts(task_id(&id)).await.unwrap();
    assert!(tries.iter().all(|a| a.side != Side::Delivery), "{tries:?}");
    until("the record says so", || async {
        let told = stage.in_record(&id).unwrap();
        (told["businessStatus"]["coding"][0]["code"] == "undeliverable").then_some(())
    })
    .await;
    assert_eq!(stage.times(&id, "delivery-delayed").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_moves_is_spoken_to_at_its_new_place() {
    let stage = Stage::set(Setting::default()).await;
    stage.provider.fault(always(Fault::Unavailable { retry_after_s: Some(3600) }));
    let ids = opened(&stage, "moves").await;
    let new = crate::support::server::Server::double(&format!("server-of-{PROVIDER}")).await;
    let mut registry = stage.plan.config().registry;
    let inbox = registry.inboxes.values_mut().next().unwrap();
    let onward::config::registry::InboxKind::FhirRest(rest) = &mut inbox.kind else { panic!("{inbox:?}") };
    new.base_url().clone_into(&mut rest.base_url);
    stage.service.take_up(registry).await.unwrap();
    all_arrive(&new, &ids).await;
}

/// Two processes as the store sees them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_replicas_one_asks_and_one_lets_go() {
    let folder = tempfile::tempdir().unwrap();
    let clock = std::sync::Arc::new(ManualClock::at("2026-03-02T09:00:00Z".parse().unwrap()));
    let store: std::sync::Arc<dyn Store> =
        std::sync::Arc::new(SqliteStore::open(&folder.path().join("onward.db"), clock.clone()).unwrap());
    let of = Destination::new(Side::Delivery, PROVIDER);
    let replica = || {
        let endpoints = Endpoints::new(store.clone(), RetryPolicy::default(), Default::default());
        let terms = Terms { base_url: "http://there".into(), ..Terms::unlimited(RetryPolicy::default()) };
        endpoints.set([(of.clone(), terms)].into());
        endpoints
    };
    let (one, two) = (replica(), replica());
    let Entry::Go(mut place) = one.enter(&of).await else { panic!("closed") };
    let failure = Heard::Failure { retry_after: None, why: "HTTP 503".into() };
    for n in 0..5 {
        place.heard(TaskId(uuid::Uuid::from_u128(n)), &failure).await;
    }
    assert!(one.is_shut(&of) && !two.is_shut(&of), "the other has not heard yet");
    two.refresh().await.unwrap();
    assert!(two.is_shut(&of));
    assert!(matches!(two.enter(&of).await, Entry::Shut));

    clock.advance(2);
    let (a, b) = tokio::join!(one.begin_probe(&of), two.begin_probe(&of));
    let asking: Vec<_> = [a.unwrap(), b.unwrap()].into_iter().flatten().collect();
    assert_eq!(asking.len(), 1, "one asks");
    for mut place in asking {
        assert!(place.heard(TaskId(uuid::Uuid::from_u128(9)), &Heard::Answer).await);
    }
    for replica in [&one, &two] {
        replica.refresh().await.unwrap();
        assert!(!replica.is_shut(&of), "it is back for both");
    }
    let (a, b) = tokio::join!(one.shares(10), two.shares(10));
    let early = [a.unwrap(), b.unwrap()].map(|shares| shares.of(&of));
    assert_eq!(early.iter().filter(|share| share.early.is_some()).count(), 1, "one lets go: {early:?}");
    assert_eq!(early.iter().filter(|share| share.most == 0 && share.early.is_none()).count(), 1, "{early:?}");

    // the one that does so dies: after its lease the other goes on
    clock.advance(11);
    let other = if early[0].early.is_some() { &two } else { &one };
    other.refresh().await.unwrap();
    assert!(other.shares(10).await.unwrap().of(&of).early.is_some());
}

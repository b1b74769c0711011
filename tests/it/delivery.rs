//! Handing a referral to a provider: what is sent, what becomes of every way in which that can fail, and how answers come in.

mod later;
mod polled;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use hyper::{Method, StatusCode};
use onward::{
    admission::Admission,
    client::FhirClient,
    config::{Outbound, registry::InboxKind},
    conversation::Conversation,
    demo::double::{Abilities, Fault, Rule, When},
    domain::{AlertKind, Event},
    fhir::test_data,
    intake::Intake,
    lanes::Relay,
    onboarding::Trial,
};
use serde_json::json;

use crate::support::{
    onward::our_id,
    referrals::{Referral, nhs_numbers, one},
    stage::{PROVIDER, SYSTEM, Setting, Stage, alerts},
    until,
};

fn transactions(fault: Fault, when: When) -> Rule {
    Rule::new(fault, when).method(Method::POST).kind("")
}

/// How many transactions the provider was sent.
fn sent(stage: &Stage) -> usize {
    stage.provider.requests().iter().filter(|r| r.method == Method::POST && r.path.is_empty()).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_referral_arrives_with_a_task_that_names_ours() {
    let stage = Stage::set(Setting::default()).await;
    let referral = one("03", "whole");
    let id = stage.referred(&referral, "received").await;

    let task = stage.at_provider(&id).unwrap();
    let url = format!("{}/fhir/Task/{id}", stage.service.base_url());
    assert!(task["identifier"].as_array().unwrap().iter().any(|i| i["value"] == *url), "{task}");
    assert_ne!(task["id"], *id, "the Task's id is its server's to give");
    let entries = referral.json()["entry"].as_array().unwrap().clone();
    let counts = stage.provider.counts();
    assert_eq!(counts.values().sum::<usize>(), entries.len() + 1, "{counts:?}");
    // every reference leads to something that lies there
    let request = task["focus"]["reference"].as_str().unwrap().split_once('/').unwrap();
    let request = stage.provider.resource(request.0, request.1).unwrap();
    let person = request["subject"]["reference"].as_str().unwrap().split_once('/').unwrap();
    let person = stage.provider.resource(person.0, person.1).unwrap();
    assert_eq!(nhs_numbers(&person.to_string()), nhs_numbers(&referral.body));
    let keys: Vec<_> = stage.provider.requests().into_iter().filter_map(|r| r.idempotency_key).collect();
    assert_eq!(keys, [format!("{id}-1")]);
}

async fn cut_answers_make_no_duplicates(ids: &'static str) {
    let provider = Abilities { update_as_create: ids.contains("client"), ..Abilities::default() };
    let stage = Stage::set(Setting { inbox: Some(ids), provider, ..Setting::default() }).await;
    stage.provider.fault(transactions(Fault::AnswerLost, When::Next(1)));
    stage.provider.fault(transactions(Fault::Cut, When::Next(1)));
    let referral = one("08", "cut");
    let id = stage.referred(&referral, "received").await;
    let counts = stage.provider.counts();
    let one_each = [("Consent", 1), ("Organization", 1), ("Patient", 1), ("ServiceRequest", 1), ("Task", 1)];
    assert_eq!(counts.iter().map(|(k, n)| (k.as_str(), *n)).collect::<Vec<_>>(), one_each);
    // it looked first and found it, so nothing was sent again
    assert_eq!(sent(&stage), 1, "{:?}", stage.provider.requests());
    assert_eq!(stage.times(&id, "delivered").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_answer_makes_no_duplicate_under_our_ids() {
    cut_answers_make_no_duplicates(", ids = \"client\"").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_answer_makes_no_duplicate_under_the_servers_ids() {
    cut_answers_make_no_duplicates(", ids = \"server\"").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_provider_refuses_is_a_dead_letter_at_once() {
    let stage = Stage::set(Setting::default()).await;
    stage.provider.fault(transactions(Fault::Refuse(StatusCode::UNPROCESSABLE_ENTITY), When::Always));
    let id = stage.onward.refer(&one("01", "refused")).await;
    let letter = stage.dead_letter(&id).await;
    assert_eq!((letter.attempts, letter.to.as_str()), (1, PROVIDER));
    assert!(letter.why.contains("422"), "{}", letter.why);
    // Task.status is the provider's; that the message did not get there stands beside it
    let told = stage.told_at_last(&id, "requested").await;
    assert_eq!(told["businessStatus"]["coding"][0]["code"], "undeliverable");
    assert!(matches!(stage.happened(&id, "undeliverable").await, Event::Undeliverable { .. }));
    assert_eq!(sent(&stage), 1);

    // what was mended is tried again, and then everything is as if it had gone well
    stage.provider.heal();
    onward::lanes::dead::replay(&*stage.store, &letter, "tester").await.unwrap();
    let told = stage.told_at_last(&id, "received").await;
    assert!(told.get("businessStatus").is_none(), "{told}");
}

/// What becomes of a test of Onward's own is told by the test: it is no trouble among the others, on either way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_of_onwards_own_leaves_no_dead_letter_and_calls_nobody() {
    let stage = Stage::set(Setting::default()).await;
    stage.provider.fault(transactions(Fault::Refuse(StatusCode::UNPROCESSABLE_ENTITY), When::Always));
    let refused = Fault::Refuse(StatusCode::UNPROCESSABLE_ENTITY);
    stage.record.fault(Rule::new(refused, When::Always).method(Method::POST));
    let id = own_test(&stage).await;
    stage.happened(&id, "undeliverable").await;
    stage.happened(&id, "write-back-failed").await;
    let put_away = until("both ways are given up and put away", || async {
        let journal = stage.journal(&id).await;
        let sides = journal.into_iter().filter_map(|line| match line.event {
            Event::Discarded { side, .. } => Some(side),
            _ => None,
        });
        Some(sides.collect::<std::collections::BTreeSet<_>>()).filter(|sides| sides.len() == 2)
    });
    put_away.await;
    assert!(stage.store.dead_letters(9).await.unwrap().is_empty());
    assert_eq!(stage.store.backlog().await.unwrap().iter().map(|of| of.dead).sum::<u64>(), 0);
    let raised = stage.store.claim_alerts(99, Duration::from_secs(1)).await.unwrap();
    assert!(!raised.iter().any(|one| one.alert.kind == AlertKind::DeadLetter), "{raised:?}");
    assert_eq!(alerts(&stage.onward, "dead-letter").await, 0.0);
    assert_eq!(sent(&stage), 1, "it is not tried again");
}

/// One that Onward sends itself, from the record to the provider.
async fn own_test(stage: &Stage) -> String {
    let (relay, _publishing) = Relay::start(Arc::clone(&stage.store), stage.service.broker(), Default::default());
    let config = stage.plan.config();
    let registry = Arc::new(ArcSwap::from_pointee(config.registry));
    let (client, base_url) = (FhirClient::new(&Outbound::anywhere()).unwrap(), stage.service.base_url().to_owned());
    let conversation = Conversation {
        store: Arc::clone(&stage.store),
        relay: relay.clone(),
        registry: Arc::clone(&registry),
        client: client.clone(),
        reading: Default::default(),
        validator: Default::default(),
        base_url: base_url.clone(),
    };
    let intake = Intake {
        store: Arc::clone(&stage.store),
        relay,
        registry,
        client,
        reading: Default::default(),
        validator: Default::default(),
        base_url,
        admission: Admission::new(&config.limits),
    };
    let trial = Trial::new(intake, conversation, Default::default());
    let begun = trial.begin(&SYSTEM.parse().unwrap(), &PROVIDER.parse().unwrap(), "local:olive").await.unwrap();
    begun.task.to_string()
}

/// A sender may say of its own what Onward's tests say: that keeps nothing of it from those who look after dead letters.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_sender_dresses_up_as_a_test_of_onwards_own_is_none() {
    let stage = Stage::set(Setting::default()).await;
    stage.provider.fault(transactions(Fault::Refuse(StatusCode::UNPROCESSABLE_ENTITY), When::Always));
    let mut dressed_up = one("01", "dressed-up");
    let mut body = dressed_up.json();
    body["meta"]["tag"] = json!([test_data::tag()]);
    body["identifier"].as_array_mut().unwrap().push(test_data::own_identifier());
    dressed_up.body = body.to_string();
    let id = stage.onward.refer(&dressed_up).await;
    stage.dead_letter(&id).await;
    let raised = stage.store.claim_alerts(99, Duration::from_secs(1)).await.unwrap();
    assert!(raised.iter().any(|one| one.alert.kind == AlertKind::DeadLetter), "{raised:?}");
    assert_eq!(stage.times(&id, "discarded").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_is_waited_for() {
    let stage = Stage::set(Setting::default()).await;
    stage.provider.fault(transactions(Fault::Unavailable { retry_after_s: Some(2) }, When::Next(1)));
    let id = stage.referred(&one("01", "later"), "received").await;
    // without it the second try would come after 100 ms at most
    let tries: Vec<_> = stage.provider.requests().into_iter().map(|r| r.at).collect();
    let waited = tries[1].duration_since(tries[0]);
    assert!(waited.as_millis() >= 1_950, "{waited}");
    let attempts = stage.store.attempts(crate::support::stage::task_id(&id)).await.unwrap();
    assert!(attempts[0].why.as_deref().unwrap().contains("503"), "{attempts:?}");
    assert_eq!(stage.statuses(&id), ["received"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_delivery_is_told_and_the_telling_goes_again() {
    let retry = "first = \"100ms\"\ncap = \"200ms\"\ndelayed-after = \"1s\"\n";
    let stage = Stage::set(Setting { retry, ..Setting::default() }).await;
    stage.provider.fault(transactions(Fault::Unavailable { retry_after_s: None }, When::Always));
    let id = stage.onward.refer(&one("01", "late")).await;
    let told = stage.told_at_last(&id, "requested").await;
    assert_eq!(told["businessStatus"]["coding"][0]["code"], "delivery-delayed");
    stage.provider.heal();
    let told = stage.told_at_last(&id, "received").await;
    assert!(told.get("businessStatus").is_none(), "{told}");
    assert_eq!(stage.times(&id, "delivery-delayed").await, 1, "told once, however many tries fail");
    let alerts = stage.store.claim_alerts(9, Duration::ZERO).await.unwrap();
    let delayed = alerts.iter().filter(|stored| stored.alert.kind == onward::domain::AlertKind::DeliveryDelayed);
    let ours = delayed.filter(|stored| stored.alert.task == Some(crate::support::stage::task_id(&id)));
    assert_eq!(ours.count(), 1, "{alerts:?}");
    assert_eq!(stage.statuses(&id), ["requested", "received"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_before_our_own_note_confirms_the_delivery() {
    let stage = Stage::set(Setting::default()).await;
    // the provider has it and Onward does not know: its answers to us are lost, and it cannot be asked either
    stage.provider.fault(transactions(Fault::AnswerLost, When::Next(1)));
    stage.provider.fault(Rule::new(Fault::Unavailable { retry_after_s: Some(3600) }, When::Always));
    let id = stage.onward.refer(&one("01", "early")).await;
    until("it lies there", || async { stage.at_provider(&id) }).await;
    stage.answer(&id, "accepted", json!({})).await;
    stage.told_at_last(&id, "accepted").await;
    assert_eq!(stage.statuses(&id), ["received", "accepted"]);
    let journal = stage.journal(&id).await;
    let at = journal.iter().position(|l| matches!(l.event, Event::Delivered { by_answer: true, .. })).unwrap();
    assert!(matches!(journal[at + 1].event, Event::Answered { .. }));
    assert_eq!(journal[at].at, journal[at + 1].at, "one commit");
    // the lane is through: nothing is left to deliver, and nothing is a dead letter
    stage.provider.heal();
    stage.answer(&id, "in-progress", json!({})).await;
    stage.told_at_last(&id, "in-progress").await;
    assert_eq!((sent(&stage), stage.times(&id, "delivered").await), (1, 1));
    assert!(stage.store.dead_letters(9).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_changed_hands_gets_nothing() {
    let stage = Stage::set(Setting::default()).await;
    stage.provider.fault(transactions(Fault::Unavailable { retry_after_s: None }, When::Always));
    let id = stage.onward.refer(&one("01", "moved")).await;
    until("it was tried", || async { (sent(&stage) > 0).then_some(()) }).await;

    // the inbox keeps its name and gets another owner, with another server
    let before = alerts(&stage.onward, "destination-mismatch").await;
    let others = crate::support::server::Server::double("server-of-others").await;
    let mut registry = stage.plan.config().registry;
    let mut owner = registry.providers.values().next().unwrap().clone();
    owner.id = "others".parse().unwrap();
    registry.providers.insert(owner.id.clone(), owner.clone());
    let inbox = registry.inboxes.values_mut().next().unwrap();
    inbox.provider = owner.id;
    if let InboxKind::FhirRest(rest) = &mut inbox.kind {
        others.base_url().clone_into(&mut rest.base_url);
    }
    stage.service.take_up(registry).await.unwrap();
    let letter = stage.dead_letter(&id).await;
    assert!(letter.why.contains("another provider"), "{}", letter.why);
    assert_eq!(others.requests().len(), 0);
    assert!(alerts(&stage.onward, "destination-mismatch").await > before);
    let told = stage.told_at_last(&id, "requested").await;
    assert_eq!(told["businessStatus"]["coding"][0]["code"], "undeliverable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worklist_lists_and_waits_for_the_provider() {
    let stage = Stage::set(Setting { inbox: None, ..Setting::default() }).await;
    let referral = Referral { system: SYSTEM.into(), ..one("02", "list") };
    let id = stage.referred(&referral, "requested").await;
    let path = format!("Task?owner=Organization/{PROVIDER}&status=requested&_include=Task:focus");
    let list = stage.onward.get(PROVIDER, &path).await.unwrap().json();
    let entries = list["entry"].as_array().unwrap();
    assert!(entries.iter().any(|e| our_id(&e["resource"]).as_deref() == Some(&id)), "{list}");
    // reading takes nothing from the list
    stage.onward.get(PROVIDER, &format!("Task/{id}/$package")).await.unwrap();
    assert_eq!(stage.onward.task(SYSTEM, &id).await["status"], "requested");
    stage.answer(&id, "accepted", json!({})).await;
    stage.told_at_last(&id, "accepted").await;
    assert_eq!(stage.statuses(&id), ["requested", "accepted"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_hangs_is_left_in_time_and_asked_again() {
    let stage = Stage::set(Setting { inbox: Some(", timeout = \"300ms\""), ..Setting::default() }).await;
    stage.provider.fault(transactions(Fault::Hang, When::Next(1)));
    stage.provider.fault(transactions(Fault::Nonsense, When::Next(1)));
    let began = tokio::time::Instant::now();
    let id = stage.referred(&one("01", "hangs"), "received").await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(stage.provider.counts()["Task"], 1);
    assert_eq!(stage.statuses(&id), ["received"]);
}

//! The whole way, many times over, on RabbitMQ and SQLite: 200 mixed referrals from three systems with two records to four
//! inboxes of every kind, while answers are cut off and a server is away; every one ends right in its record, and once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use hyper::Method;
use onward::demo::double::{Double, Fault, Rule, When};
use serde_json::Value;
use tokio::{task::JoinSet, time::Instant};

use crate::support::{
    onward::{Onward, our_id, told},
    plan::{FIXTURE_ROUTES, Plan},
    proxy::{Mode, Proxy},
    rabbitmq,
    referrals::{self, Referral, nhs_numbers},
    scripts::{self, Fates},
    server::{Sekmet, Server},
    until,
};

const COUNT: usize = 200;
/// With one server in 25 answers lost, everything else being well.
const CUT: f64 = 0.04;
const SEED: u64 = 20_260_322;
const LIMIT: Duration = Duration::from_secs(90);

fn lossy(double: &Double) {
    for method in [Method::POST, Method::PUT] {
        double.fault(Rule::new(Fault::AnswerLost, When::Chance { probability: CUT, seed: SEED }).method(method));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_mixed_referrals_all_end_right() {
    let test = "loops::two_hundred_mixed_referrals_all_end_right";
    let Some(node) = rabbitmq::shared(test) else { return };
    let (record, housing) =
        tokio::join!(Sekmet::start(test, "record-of-merseycare-rio"), Sekmet::start(test, "server-of-housing-support"));
    let (Some(rio), Some(housing)) = (record, housing) else { return };
    let vhost = node.vhost();
    let to_rio = Proxy::start(rio.address(), SEED).await;
    let to_housing = Proxy::start(housing.address(), SEED + 1).await;
    let others = Server::double("record-of-others").await;
    let rooms = Server::double("server-of-life-rooms").await;
    let through = |proxy: &Proxy| format!("http://{}/fhir", proxy.address());

    let housing_inbox = format!(
        "kind = \"fhir-rest\", base-url = \"{}\", answers = \"poll\", poll-every = \"1s\"",
        through(&to_housing)
    );
    let plan = Plan::new()
        .port(0)
        .broker(&vhost.url, "")
        .section("[retry]\nfirst = \"100ms\"\ncap = \"500ms\"")
        .system("merseycare-rio", "RW4", &through(&to_rio), ", close-request = true")
        .record_token("others")
        .system("brownlow-gp", "N82999", others.base_url(), "")
        .system("ward-epr", "REM", others.base_url(), "")
        .provider("life-rooms", "RW4", &format!("kind = \"fhir-rest\", base-url = \"{}\"", rooms.base_url()))
        .provider("link-workers", "U99999", "kind = \"worklist\"")
        .provider("housing-support", "ZH999", &housing_inbox)
        .worklist("triage-team", "RW4", "triage")
        .routes(FIXTURE_ROUTES);
    let service = plan.start().await;
    let onward = Onward::at(service.base_url());

    let fates = Fates::default();
    let mut providers = JoinSet::new();
    providers.spawn(scripts::pushed(onward.clone(), "life-rooms", Arc::clone(&rooms), fates.clone()));
    providers.spawn(scripts::worklist(onward.clone(), "link-workers", fates.clone()));
    providers.spawn(scripts::worklist(onward.clone(), "triage-team", fates.clone()));
    providers.spawn(scripts::polled(Server::Sekmet(Arc::clone(&housing)), fates.clone()));

    lossy(&others);
    lossy(&rooms);
    to_rio.set(Mode::CutAnswers(CUT));
    to_housing.set(Mode::CutAnswers(CUT));

    // rio keeps what it sends, so that its requests can be closed
    let deck = referrals::deck(COUNT);
    let closable = keep(&rio, &deck).await;
    let began = Instant::now();
    let tasks = send_all(&onward, &deck, &rooms).await;
    let sent = began.elapsed();
    assert_eq!(tasks.len(), COUNT);

    let records = [Server::Sekmet(Arc::clone(&rio)), Server::Double(Arc::clone(&others))];
    let ends = loop {
        let ended = in_records(&records).await;
        let fates = fates.all();
        let is_wrong = |(id, fate): &(&String, &Vec<&str>)| {
            ended.get(*id).is_none_or(|task| task["status"] != fate[fate.len() - 1])
        };
        let wrong: Vec<_> = fates.iter().filter(is_wrong).collect();
        if wrong.is_empty() && fates.len() == COUNT {
            break ended;
        }
        if began.elapsed() > LIMIT {
            let missing: Vec<_> = tasks.iter().filter(|id| !fates.contains_key(*id)).collect();
            let id = wrong.first().map(|(id, _)| *id).or(missing.first().copied()).unwrap();
            let journal = service.store().journal(id.parse().unwrap()).await.unwrap();
            let attempts = service.store().attempts(id.parse().unwrap()).await.unwrap();
            panic!(
                "{} not told, {} not at a provider; {wrong:?} {missing:?} {journal:#?} {attempts:#?}",
                wrong.len(),
                missing.len()
            );
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    };
    println!(
        "{COUNT} sent in {sent:?}, all told after {:?}; {} and {} answers cut off",
        began.elapsed(),
        to_rio.cut(),
        to_housing.cut()
    );
    assert!(to_rio.cut() > 0 && to_housing.cut() > 0);
    providers.abort_all();

    assert!(service.store().dead_letters(9).await.unwrap().is_empty());
    assert_eq!(ends.keys().collect::<BTreeSet<_>>(), tasks.iter().collect());
    assert_told_in_order(&records, &fates.all()).await;
    assert_nothing_twice(&records, &Server::Double(rooms), &Server::Sekmet(Arc::clone(&housing)), &deck).await;
    let closed = rio.all("ServiceRequest").await;
    assert_eq!(closed.len(), closable);
    for request in closed {
        let identifier = format!(
            "{}|{}",
            request["identifier"][0]["system"].as_str().unwrap(),
            request["identifier"][0]["value"].as_str().unwrap()
        );
        let task = &service.store().find_tasks(&identifier).await.unwrap()[0];
        let completed = task.state.status == onward::domain::TaskStatus::Completed;
        assert_eq!(request["status"], if completed { "completed" } else { "active" });
    }
    drop(to_rio);
    service.stop().await;
}

/// The single requests of `merseycare-rio`, put into its record; how many.
async fn keep(rio: &Sekmet, deck: &[Referral]) -> usize {
    let own = deck.iter().filter(|r| r.system == "merseycare-rio" && r.path() == "/ServiceRequest");
    let mut kept = 0;
    for referral in own {
        let mut request = referral.json();
        request["id"] = format!("sr-{kept}").into();
        assert!(rio.put(&request).await);
        kept += 1;
    }
    kept
}

/// Four senders, each of which repeats what was not acknowledged. In the middle of it, the pushed provider is away for a while.
async fn send_all(onward: &Onward, deck: &[Referral], rooms: &Arc<Double>) -> Vec<String> {
    let left = Arc::new(Mutex::new(deck.to_vec()));
    let mut senders = JoinSet::new();
    for _ in 0..4 {
        let (onward, left) = (onward.clone(), Arc::clone(&left));
        senders.spawn(async move {
            let mut tasks = Vec::new();
            loop {
                let Some(referral) = left.lock().unwrap().pop() else { return tasks };
                let answer = until("it is taken", || async {
                    onward.send(&referral).await.ok().filter(|a| a.status.is_success())
                })
                .await;
                let monitors = answer.links("monitor");
                assert_eq!(monitors.len(), referral.parts.len(), "{}", referral.file);
                tasks.extend(monitors.iter().map(|url| url.rsplit('/').next().unwrap().to_owned()));
            }
        });
    }
    until("half are sent", || async { (left.lock().unwrap().len() < deck.len() / 2).then_some(()) }).await;
    rooms.heal();
    rooms.fault(Rule::new(Fault::Unavailable { retry_after_s: Some(1) }, When::Always));
    let tasks = senders.join_all().await.concat();
    let refused = || rooms.requests().iter().filter(|r| r.status.is_some_and(|s| s.as_u16() == 503)).count();
    until("some met a provider that is away", || async { (refused() > 20).then_some(()) }).await;
    rooms.heal();
    lossy(rooms);
    tasks
}

/// The records' Tasks by our id; none is there twice.
async fn in_records(records: &[Server]) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for record in records {
        for task in record.all("Task").await {
            let id = our_id(&task).unwrap();
            assert!(found.insert(id.clone(), task).is_none(), "{id} twice");
        }
    }
    found
}

/// Every version of every Task in the records tells the next thing that happened, and all that happened is told.
async fn assert_told_in_order(records: &[Server], fates: &BTreeMap<String, Vec<&'static str>>) {
    for record in records {
        for task in record.all("Task").await {
            let history = told(&record.history("Task", task["id"].as_str().unwrap()).await);
            assert!(history.is_sorted_by(|a, b| a.0 < b.0), "{history:?}");
            let statuses: Vec<_> = history.iter().map(|(_, status)| status.as_str()).collect();
            assert_eq!(statuses, fates[&our_id(&task).unwrap()], "{history:?}");
        }
    }
}

/// Each provider with a server has exactly what was routed to it, and each person once.
async fn assert_nothing_twice(records: &[Server], rooms: &Server, housing: &Server, deck: &[Referral]) {
    assert_eq!(in_records(records).await.len(), COUNT);
    for (server, inbox) in [(rooms, "life-rooms"), (housing, "housing-support")] {
        let routed = || deck.iter().filter(|r| r.parts.iter().any(|(_, to)| to == inbox));
        let expected: BTreeSet<&str> =
            routed().flat_map(|r| &r.parts).filter(|(_, to)| to == inbox).map(|(id, _)| id.as_str()).collect();
        let tasks = server.all("Task").await;
        let ids: BTreeSet<_> = tasks.iter().map(|t| our_id(t).unwrap()).collect();
        assert_eq!((tasks.len(), ids.len()), (expected.len(), expected.len()), "{inbox}");
        let requests = server.all("ServiceRequest").await;
        assert_eq!(requests.len(), expected.len(), "{inbox}");
        for request in &requests {
            let placer = request["identifier"].as_array().unwrap().iter().any(|i| {
                let token = format!("{}|{}", i["system"].as_str().unwrap_or(""), i["value"].as_str().unwrap());
                expected.contains(token.as_str())
            });
            assert!(placer, "{request}");
        }
        let people: Vec<String> =
            server.all("Patient").await.iter().flat_map(|p| nhs_numbers(&p["identifier"].to_string())).collect();
        assert_eq!(people.iter().collect::<BTreeSet<_>>().len(), people.len(), "{inbox}: a person twice");
    }
}

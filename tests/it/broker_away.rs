//! RabbitMQ goes away, or loses what it held, under load: intake does not notice, and everything arrives.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hyper::StatusCode;
use lapin::{Connection, ConnectionProperties, options::*};
use onward::{demo::double::Double, service::Service};
use serde_json::Value;
use tokio::{task::JoinSet, time::Instant};

use crate::support::{
    onward::{Onward, our_id},
    plan::Plan,
    rabbitmq, referrals,
    server::Server,
    until, until_within,
};

const AWAY: Duration = Duration::from_secs(20);
/// No referral takes longer to be acknowledged, whether the broker is there or not.
const LATENCY: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(60);

struct Set {
    service: Service,
    onward: Onward,
    record: Arc<Double>,
    provider: Arc<Double>,
    _plan: Plan,
}

async fn set(broker: &str, more: &str) -> Set {
    let (record, provider) =
        (Server::double("record-of-merseycare-rio").await, Server::double("server-of-life-rooms").await);
    let plan = Plan::new()
        .port(0)
        .broker(broker, more)
        .section("[retry]\nfirst = \"100ms\"\ncap = \"500ms\"")
        .system("merseycare-rio", "RW4", record.base_url(), "")
        .provider(
            "life-rooms",
            "RW4",
            &format!("kind = \"fhir-rest\", base-url = \"{}\", timeout = \"15s\"", provider.base_url()),
        )
        .all_to("life-rooms");
    let service = plan.start().await;
    let onward = Onward::at(service.base_url());
    Set { service, onward, record, provider, _plan: plan }
}

/// Each of these is at the provider and in the record, once.
async fn assert_all_arrive(set: &Set, mut sent: Vec<String>) {
    let told = |tasks: Vec<Arc<Value>>| {
        let mut ids: Vec<String> =
            tasks.iter().filter(|t| t["status"] == "received").filter_map(|t| our_id(t)).collect();
        ids.sort();
        ids
    };
    sent.sort();
    let began = Instant::now();
    until_within(LIMIT, "every record is told", || async {
        (told(set.record.resources("Task")).len() >= sent.len()).then_some(())
    })
    .await;
    println!("{} all told {:?} after the end of the trouble", sent.len(), began.elapsed());
    assert_eq!(told(set.record.resources("Task")), sent);
    let mut delivered: Vec<String> = set.provider.resources("Task").iter().filter_map(|t| our_id(t)).collect();
    delivered.sort();
    assert_eq!(delivered, sent);
    assert_eq!(set.provider.counts()["ServiceRequest"], sent.len());
    assert!(set.service.store().dead_letters(9).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_seconds_without_a_broker_are_not_noticed_by_those_who_refer() {
    let test = "broker_away::twenty_seconds_without_a_broker_are_not_noticed_by_those_who_refer";
    let Some(node) = rabbitmq::Own::start(test, "away") else { return };
    let set = set(&node.url, "republish-after = \"5s\"").await;
    let ended = Arc::new(AtomicBool::new(false));
    let mut senders = JoinSet::new();
    for sender in 0..2 {
        let (onward, ended) = (set.onward.clone(), Arc::clone(&ended));
        senders.spawn(async move {
            let (mut tasks, mut slowest) = (Vec::new(), Duration::ZERO);
            for referral in referrals::singles(&format!("away{sender}-")) {
                let began = Instant::now();
                let answer = onward.send(&referral).await.unwrap();
                assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.describe());
                slowest = slowest.max(began.elapsed());
                tasks.push(answer.links("monitor")[0].rsplit('/').next().unwrap().to_owned());
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(40)).await; // the load: some 40 in a second
            }
            (tasks, slowest)
        });
    }
    let delivered = || set.provider.counts().get("Task").copied().unwrap_or_default();
    until("it is under load", || async { (delivered() > 50).then_some(()) }).await;
    tokio::task::block_in_place(|| node.run("stop"));
    let before = delivered();
    tokio::time::sleep(AWAY).await; // what is shown: so long, and nobody who refers notices
    let meanwhile = delivered() - before;
    tokio::task::block_in_place(|| node.run("start"));
    until("deliveries go on", || async { (delivered() > before + meanwhile + 50).then_some(()) }).await;
    ended.store(true, Ordering::Relaxed);
    let (tasks, slowest): (Vec<_>, Vec<_>) = senders.join_all().await.into_iter().unzip();
    let slowest = slowest.into_iter().max().unwrap();
    let tasks = tasks.concat();
    println!("{} acknowledged, the slowest in {slowest:?}; delivered while away: {meanwhile}", tasks.len());
    assert!(slowest < LATENCY, "{slowest:?}");
    assert!(meanwhile < 40, "{meanwhile} without a broker: then what was stopped?");
    assert_all_arrive(&set, tasks).await;
    set.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_messages_deleted_with_their_queue_all_arrive() {
    const COUNT: usize = 1_000;
    let test = "broker_away::a_thousand_messages_deleted_with_their_queue_all_arrive";
    let Some(node) = rabbitmq::shared(test) else { return };
    let vhost = node.vhost();
    // so long that what is deleted has not yet been published again
    let set = set(&vhost.url, "republish-after = \"10s\"").await;
    // the provider answers nobody, so that all but what the worker holds stays in the queue
    set.provider.slow(Duration::from_secs(3600));
    let mut senders = JoinSet::new();
    for sender in 0..4 {
        let onward = set.onward.clone();
        senders.spawn(async move {
            let mut tasks = Vec::with_capacity(COUNT);
            for referral in referrals::singles(&format!("deleted{sender}-")).take(COUNT / 4 + 16) {
                tasks.push(onward.refer(&referral).await);
            }
            tasks
        });
    }
    let tasks = senders.join_all().await.concat();
    let connection = Connection::connect(&vhost.url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let in_queue = || async {
        let options = QueueDeclareOptions { passive: true, ..Default::default() };
        channel.queue_declare("inbox.life-rooms".into(), options, Default::default()).await.unwrap().message_count()
    };
    until("a thousand wait", || async { (in_queue().await as usize >= COUNT).then_some(()) }).await;
    let deleted = channel.queue_delete("inbox.life-rooms".into(), QueueDeleteOptions::default()).await.unwrap();
    println!("{deleted} messages deleted, {} referrals", tasks.len());
    assert!(deleted as usize >= COUNT, "{deleted}");
    set.provider.heal();
    // intake goes on
    let mut tasks = tasks;
    for referral in referrals::singles("after").take(20) {
        tasks.push(set.onward.refer(&referral).await);
    }
    assert_all_arrive(&set, tasks).await;
    set.service.stop().await;
}

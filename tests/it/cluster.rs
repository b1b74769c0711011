//! RabbitMQ as a cluster of three: one node is killed, then each is stopped and started again, under load. Those who refer do
//! not notice, nothing is lost or doubled, and no status is out of order.

use std::{sync::Arc, time::Duration};

use onward::{
    broker::{
        Broker, BrokerError,
        rabbitmq::{Options, RabbitMq},
    },
    domain::{Side, TaskId, WakeUp},
};
use tokio::{
    task::{JoinSet, block_in_place},
    time::Instant,
};
use uuid::Uuid;

use crate::support::{
    flow::{Load, Pulse, assert_all_told},
    onward::Onward,
    plan::Plan,
    rabbitmq::Cluster,
    scripts::{self, Fates},
    server::Server,
    until, until_within,
};

/// No referral takes longer to be acknowledged, whatever happens to the broker.
const LATENCY: Duration = Duration::from_secs(2);
/// Deliveries go on at last so long after a node has gone.
const PAUSE: Duration = Duration::from_secs(20);

/// A wake-up for a Task that there is not: whoever takes it has nothing to do.
fn nobodys() -> WakeUp {
    let (to, route_set) = ("life-rooms".to_owned(), "1".to_owned());
    WakeUp {
        task: TaskId::mint(),
        side: Side::Delivery,
        seq: 1,
        to,
        message: Uuid::now_v7(),
        route_set,
        traceparent: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_loses_a_node_and_is_renewed_and_nobody_notices() {
    let test = "cluster::a_cluster_loses_a_node_and_is_renewed_and_nobody_notices";
    let Some(cluster) = block_in_place(|| Cluster::start(test, "cluster")) else { return };
    let (record, provider) =
        (Server::double("record-of-merseycare-rio").await, Server::double("server-of-life-rooms").await);
    let plan = Plan::new()
        .port(0)
        .broker(&cluster.url, "republish-after = \"5s\"")
        .section("[retry]\nfirst = \"100ms\"\ncap = \"500ms\"")
        .system("merseycare-rio", "RW4", record.base_url(), "")
        .provider("life-rooms", "RW4", &format!("kind = \"fhir-rest\", base-url = \"{}\"", provider.base_url()))
        .all_to("life-rooms");
    let service = plan.start().await;
    let onward = Onward::at(service.base_url());
    let (fates, mut staff) = (Fates::default(), JoinSet::new());
    staff.spawn(scripts::pushed(onward.clone(), "life-rooms", Arc::clone(&provider), fates.clone()));
    let (arrivals, news) = (Pulse::of(&provider), Pulse::of(&record));
    let load = Load::start(&[onward], "cluster", 2, Duration::from_millis(60));
    arrivals.goes_on(30).await;
    for queue in ["inbox.life-rooms", "writeback.merseycare-rio"] {
        let (_, members) = block_in_place(|| cluster.leader(1, queue));
        assert_eq!(members, 3, "{queue} is not on every node");
    }

    let pauses = |what: &str, from: Instant| {
        let (out, back) = (arrivals.longest_pause(from), news.longest_pause(from));
        println!("{what}: no delivery for {out:?}, no write-back for {back:?}");
        assert!(out < PAUSE && back < PAUSE, "{what}");
    };
    let (leader, _) = block_in_place(|| cluster.leader(1, "inbox.life-rooms"));
    let killed = Instant::now();
    // while a second one holds still nobody is elected: a channel that is used now meets a queue without a leader
    let [second, third] = [1, 2].map(|n| (leader + n - 1) % Cluster::NODES.len() + 1);
    block_in_place(|| cluster.freeze(second));
    block_in_place(|| cluster.kill(leader));
    let broker = RabbitMq::connect(&cluster.url_of(third), Options::default()).unwrap();
    let is_refused = || async { matches!(broker.publish(&nobodys()).await, Err(BrokerError::Refused { .. })) };
    until("a wake-up is refused", || async { is_refused().await.then_some(()) }).await;
    block_in_place(|| cluster.thaw(second));
    until_within(PAUSE, "it is taken", || async { broker.publish(&nobodys()).await.ok() }).await;
    broker.close().await;
    arrivals.goes_on(100).await;
    news.goes_on(100).await;
    pauses(&format!("node {leader}, which led, was killed"), killed);
    let back = Instant::now();
    block_in_place(|| cluster.start_again(leader));
    arrivals.goes_on(30).await;
    pauses(&format!("node {leader} came back"), back);
    for node in Cluster::NODES {
        let stopped = Instant::now();
        block_in_place(|| cluster.stop(node));
        arrivals.goes_on(60).await;
        block_in_place(|| cluster.start_again(node));
        arrivals.goes_on(30).await;
        news.goes_on(30).await;
        pauses(&format!("node {node} was renewed"), stopped);
    }

    let sent = load.end().await;
    println!("{} acknowledged, the slowest in {:?}, {} refused", sent.referrals.len(), sent.slowest, sent.refused);
    assert!(sent.slowest < LATENCY && sent.refused == 0, "intake noticed");
    let took = assert_all_told(&sent.referrals, &provider, &record, &fates).await;
    println!("all told {took:?} after the end of the load");
    assert!(service.store().dead_letters(9).await.unwrap().is_empty());
    staff.abort_all();
    service.stop().await;
}

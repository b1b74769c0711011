//! What only RabbitMQ can do: go away, lose a queue, hold still, be misconfigured.

use std::{
    collections::HashSet,
    io::Read as _,
    net::TcpListener,
    sync::{Arc, Mutex},
};

use lapin::{BasicProperties, Connection, ConnectionProperties, options::*};

use super::*;

macro_rules! node_or_return {
    ($hold:ident, $test:ident) => {
        match node::$hold(concat!("broker::rabbitmq::", stringify!($test))) {
            Some(node) => node,
            None => return,
        }
    };
}

/// A channel of our own, beside the broker under test.
async fn raw(url: &str) -> (Connection, lapin::Channel) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

/// Publishes until it succeeds, as the outbox does.
async fn publish_at_last(broker: &RabbitMq, wake_up: &WakeUp) -> usize {
    let tries = Mutex::new(0);
    until("publish", || async {
        *tries.lock().unwrap() += 1;
        broker.publish(wake_up).await.ok()
    })
    .await;
    tries.into_inner().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_deleted_under_load_is_made_again() {
    let node = node_or_return!(shared, a_queue_deleted_under_load_is_made_again);
    let broker = Arc::new(connect(&node.url));
    let queue = queue();
    declare(&*broker, std::slice::from_ref(&queue)).await;
    let mut receiver = broker.consume(queue.clone(), 50).await.unwrap();
    let (_connection, channel) = raw(&node.url).await;

    const COUNT: u64 = 4_000;
    let publishing = {
        let (broker, queue) = (Arc::clone(&broker), queue.clone());
        tokio::spawn(async move {
            stream::iter(0..COUNT)
                .map(|seq| {
                    let wake_up = wake_up(&queue, seq);
                    let broker = &broker;
                    async move { publish_at_last(broker, &wake_up).await }
                })
                .buffer_unordered(64)
                .collect::<Vec<_>>()
                .await
        })
    };
    let mut seen = HashSet::new();
    let mut deleted = 0;
    while !publishing.is_finished() {
        if seen.len() >= 500 * (deleted + 1) && deleted < 3 {
            deleted += 1;
            channel.queue_delete(queue.name().into(), QueueDeleteOptions::default()).await.unwrap();
        }
        if let Ok(Some(delivery)) = timeout(Duration::from_millis(50), receiver.recv()).await {
            seen.insert(delivery.wake_up.seq);
            delivery.ack().await;
        }
    }
    publishing.await.unwrap();
    // what stood in the queue when it was deleted is gone, and the outbox's to bring back; all is as before otherwise
    let last = wake_up(&queue, COUNT);
    broker.publish(&last).await.unwrap();
    loop {
        let delivery = next(&mut receiver).await;
        let found = delivery.wake_up == last;
        delivery.ack().await;
        if found {
            break;
        }
    }
    assert!(deleted > 0 && seen.len() > 300, "{deleted} {}", seen.len());
}

/// Returned messages among stored ones, all in flight at once: each is declared for and published again, none is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_returned_message_counts_as_stored() {
    let node = node_or_return!(shared, no_returned_message_counts_as_stored);
    let broker = Arc::new(connect(&node.url));
    let known = queue();
    declare(&*broker, std::slice::from_ref(&known)).await;
    let unknown: Vec<_> = (0..60).map(|_| queue()).collect();
    let wake_ups = (0..6_000).map(|n: usize| match n % 100 {
        7 => wake_up(&unknown[n / 100], n as u64),
        _ => wake_up(&known, n as u64),
    });
    stream::iter(wake_ups)
        .map(|wake_up| {
            let broker = Arc::clone(&broker);
            async move { broker.publish(&wake_up).await.unwrap() }
        })
        .buffer_unordered(200)
        .collect::<Vec<_>>()
        .await;
    let (_connection, channel) = raw(&node.url).await;
    for queue in &unknown {
        let found = channel.basic_get(queue.name().into(), BasicGetOptions::default()).await.unwrap();
        assert!(found.is_some(), "{queue}: confirmed and not there");
        channel.queue_delete(queue.name().into(), QueueDeleteOptions::default()).await.unwrap();
    }
    let mut receiver = broker.consume(known, 200).await.unwrap();
    let mut seen = HashSet::new();
    while seen.len() < 5_940 {
        let delivery = next(&mut receiver).await;
        seen.insert(delivery.wake_up.seq);
        delivery.ack().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_node_is_missed_and_found_again() {
    let node = node_or_return!(alone, a_stopped_node_is_missed_and_found_again);
    let broker = Arc::new(connect(&node.url));
    let (queue, _) = filled(&*broker, 20).await;
    let mut receiver = broker.consume(queue.clone(), 5).await.unwrap();
    let held = next(&mut receiver).await;

    node.stop();
    until("health says so", || async { (!broker.health().connected).then_some(()) }).await;
    let refused = broker.publish(&wake_up(&queue, 21)).await;
    assert!(matches!(refused, Err(BrokerError::Away(_))), "{refused:?}");
    assert!(broker.declare(std::slice::from_ref(&queue)).await.is_err());
    // whoever starts now starts none the less
    let late = connect(&node.url);
    let mut late_receiver = late.consume(super::queue(), 5).await.unwrap();
    assert!(!late.health().connected);
    held.ack().await;

    node.start();
    publish_at_last(&broker, &wake_up(&queue, 21)).await;
    let mut seen = HashSet::new();
    while seen.len() < 21 {
        let delivery = next(&mut receiver).await;
        seen.insert(delivery.wake_up.seq);
        delivery.ack().await;
    }
    until("health says so", || async { broker.health().connected.then_some(()) }).await;
    until("the late one is there", || async { late.health().connected.then_some(()) }).await;
    nothing_comes(&mut late_receiver).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_told_and_not_shown() {
    let node = node_or_return!(shared, a_wrong_password_is_told_and_not_shown);
    let url = node.url.replacen("guest:guest", "guest:hunter22", 1);
    assert_ne!(url, node.url);
    let broker = connect(&url);
    let detail = until("health tells", || async {
        let health = broker.health();
        (!health.connected && health.detail.contains("refused")).then_some(health.detail)
    })
    .await;
    assert!(detail.contains("127.0.0.1") && !detail.contains("hunter22"), "{detail}");
    let error = broker.publish(&wake_up(&queue(), 1)).await.unwrap_err().to_string();
    assert!(!error.contains("hunter22"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_wake_up_is_set_aside_once() {
    let node = node_or_return!(alone, what_is_no_wake_up_is_set_aside_once);
    let broker = connect(&node.url);
    let (queue, sent) = filled(&broker, 1).await;
    let mut dead = broker.consume_dead(10).await.unwrap();
    let (_connection, channel) = raw(&node.url).await;
    for body in ["", "{", "{\"task\":1}", "Patient Smith"] {
        let properties = BasicProperties::default();
        let options = BasicPublishOptions::default();
        let (exchange, key) = (queue.exchange(), queue.to.as_str());
        channel.basic_publish(exchange.into(), key.into(), options, body.as_bytes(), properties).await.unwrap();
    }
    let last = wake_up(&queue, 2);
    broker.publish(&last).await.unwrap();
    let mut receiver = broker.consume(queue.clone(), 10).await.unwrap();
    for expected in [&sent[0], &last] {
        let delivery = next(&mut receiver).await;
        assert_eq!(delivery.wake_up, *expected);
        delivery.ack().await;
    }
    while let Ok(Some(delivery)) = timeout(QUIET, dead.recv()).await {
        assert_ne!(delivery.wake_up.to, queue.to);
        delivery.ack().await;
    }
    until("all is empty", || async {
        let queues = [queue.name(), "onward.dead".to_owned()];
        let list = node.ctl(&["--silent", "list_queues", "name", "messages"]);
        queues.iter().all(|name| list.lines().any(|line| line == format!("{name}\t0"))).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_alarm_holds_publishing_back_and_nothing_else() {
    let node = node_or_return!(alone, a_memory_alarm_holds_publishing_back_and_nothing_else);
    let limit = Duration::from_secs(2);
    let broker = RabbitMq::connect(&node.url, amqp::Options { confirm_timeout: limit, ..Default::default() }).unwrap();
    let (queue, sent) = filled(&broker, 3).await;
    node.ctl(&["set_vm_memory_high_watermark", "absolute", "1MB"]);
    // RabbitMQ tells a connection only when it publishes
    let held_back = until("a publish is held back", || async { broker.publish(&wake_up(&queue, 4)).await.err() }).await;
    let health = broker.health();
    let mut receiver = broker.consume(queue.clone(), 10).await.unwrap();
    let delivered = next(&mut receiver).await;
    let declared = broker.declare(&[super::queue()]).await;
    node.ctl(&["set_vm_memory_high_watermark", "0.4"]);

    assert_eq!(held_back, BrokerError::TimedOut);
    assert!(health.connected && health.detail.contains("takes no messages"), "{health:?}");
    assert_eq!(delivered.wake_up, sent[0]);
    declared.unwrap();
    publish_at_last(&broker, &wake_up(&queue, 5)).await;
    until("health is good", || async { (!broker.health().detail.contains("takes no")).then_some(()) }).await;
}

/// Who would lead it stands still: what a queue is like whose declaration ended in the middle, or that has lost its quorum.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_without_a_leader_holds_up_no_other_and_is_made_anew() {
    let node = node_or_return!(shared, a_queue_without_a_leader_holds_up_no_other_and_is_made_anew);
    // one channel, which both publish over
    let options = amqp::Options { publish_channels: 1, ..Default::default() };
    let broker = Arc::new(RabbitMq::connect(&node.url, options).unwrap());
    let (lost, other) = (queue(), queue());
    declare(&*broker, &[lost.clone(), other.clone()]).await;
    let mut of_other = broker.consume(other.clone(), 5).await.unwrap();
    node.ctl(&["eval", &format!("sys:suspend(list_to_atom(\"%2F_{}\")).", lost.name())]);

    // whoever wants to consume it meanwhile is cut off by RabbitMQ, and must not take the others along
    let mut of_lost = broker.consume(lost.clone(), 5).await.unwrap();
    let publishing = {
        let (broker, wake_up) = (Arc::clone(&broker), wake_up(&lost, 1));
        tokio::spawn(async move {
            until_within(4 * PATIENCE, "the lost queue takes it", || async { broker.publish(&wake_up).await.ok() })
                .await;
        })
    };
    let (mut seq, mut slowest) = (0, Duration::ZERO);
    while !publishing.is_finished() {
        seq += 1;
        let sent = Instant::now();
        publish_at_last(&broker, &wake_up(&other, seq)).await;
        let delivery = next(&mut of_other).await;
        slowest = slowest.max(sent.elapsed());
        delivery.ack().await;
        tokio::time::sleep(Duration::from_millis(50)).await; // the load
    }
    publishing.await.unwrap();
    assert!(slowest < Duration::from_secs(15), "the others waited for {slowest:?}");
    let delivery = timeout(2 * PATIENCE, of_lost.recv()).await.expect("it is consumed again").unwrap();
    assert_eq!((delivery.wake_up.seq, delivery.wake_up.to.as_str()), (1, lost.to.as_str()));
    delivery.ack().await;
}

/// lapin would keep a thread for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_never_speaks_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("amqp://u:hunter22@{}", listener.local_addr().unwrap());
    let limit = Duration::from_secs(1);
    let broker = RabbitMq::connect(&url, amqp::Options { connect_timeout: limit, ..Default::default() }).unwrap();
    // whoever tries again finds it as silent, and is not refused
    let _listening = listener.try_clone().unwrap();
    let silent = tokio::task::spawn_blocking(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut said = Vec::new();
        socket.read_to_end(&mut said).map(|_| said)
    });
    let said = timeout(PATIENCE, silent).await.unwrap().unwrap().expect("the end of the connection");
    assert_eq!(said, b"AMQP\x00\x00\x09\x01");
    let health =
        until("health tells", || async { Some(broker.health()).filter(|health| health.detail.contains("no answer")) });
    assert!(!health.await.connected);
    let began = Instant::now();
    broker.close().await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

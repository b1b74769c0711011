//! The behaviour of every `Broker`: each function runs against RabbitMQ and against the embedded one.

mod rabbitmq;

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use onward::{
    broker::{Broker, BrokerError, Delivery, Embedded, Queue, RabbitMq, embedded, rabbitmq as amqp},
    domain::{
        ids::TaskId,
        lane::{Side, WakeUp},
    },
};
use tokio::{
    sync::mpsc::Receiver,
    time::{Instant, timeout},
};
use uuid::Uuid;

use crate::support::{PATIENCE, rabbitmq as node, until, until_within};

const DELIVERY_LIMIT: u32 = 3;
/// How long "nothing comes" is waited for.
const QUIET: Duration = Duration::from_millis(300);

macro_rules! on_both {
    ($($hold:ident: $($name:ident),+;)+) => {
        mod embedded_broker { $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let options = super::embedded::Options { delivery_limit: super::DELIVERY_LIMIT, ..Default::default() };
                super::$name(std::sync::Arc::new(super::Embedded::new(options))).await;
            }
        )+)+ }
        mod rabbitmq_broker { $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(node) = super::node::$hold(concat!("broker::", stringify!($name))) else { return };
                super::$name(std::sync::Arc::new(super::connect(&node.url))).await;
            }
        )+)+ }
    };
}

on_both! {
    shared: what_is_published_is_delivered_and_once_acknowledged_forgotten, one_queue_keeps_its_order, prefetch_bounds_what_is_out,
        what_is_released_comes_again_first, what_a_lost_consumer_held_comes_again, what_is_dropped_unsettled_comes_again,
        a_delivery_outlives_its_receiver, a_queue_need_not_be_declared_first, two_consumers_share_a_queue, the_two_sides_are_apart,
        how_much_lies_in_a_queue_is_told, thousands_in_flight, closing_ends_receivers_and_refuses, speed;
    alone: what_comes_back_too_often_is_dead;
}

pub(crate) fn connect(url: &str) -> RabbitMq {
    let options = amqp::Options { delivery_limit: DELIVERY_LIMIT, ..Default::default() };
    RabbitMq::connect(url, options).unwrap()
}

/// A queue that no other test uses.
fn queue() -> Queue {
    let id = Uuid::now_v7().simple().to_string();
    Queue { side: Side::Delivery, to: format!("test-{}", &id[16..]) }
}

fn wake_up(queue: &Queue, seq: u64) -> WakeUp {
    WakeUp {
        task: TaskId::mint(),
        side: queue.side,
        seq,
        to: queue.to.clone(),
        message: Uuid::now_v7(),
        route_set: "7".to_owned(),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
    }
}

async fn declare(broker: &dyn Broker, queues: &[Queue]) {
    until("declare", || async { broker.declare(queues).await.ok() }).await;
}

/// A fresh, declared queue with wake-ups 1 to `count` in it.
async fn filled(broker: &dyn Broker, count: u64) -> (Queue, Vec<WakeUp>) {
    let queue = queue();
    declare(broker, std::slice::from_ref(&queue)).await;
    let sent: Vec<_> = (1..=count).map(|seq| wake_up(&queue, seq)).collect();
    for wake_up in &sent {
        broker.publish(wake_up).await.unwrap();
    }
    (queue, sent)
}

async fn next(receiver: &mut Receiver<Delivery>) -> Delivery {
    timeout(PATIENCE, receiver.recv()).await.expect("a delivery in time").expect("an open receiver")
}

async fn nothing_comes(receiver: &mut Receiver<Delivery>) {
    let more = timeout(QUIET, receiver.recv()).await;
    assert!(more.is_err(), "{more:?}");
}

async fn what_is_published_is_delivered_and_once_acknowledged_forgotten(broker: Arc<dyn Broker>) {
    let (queue, sent) = filled(&*broker, 1).await;
    let mut receiver = broker.consume(queue.clone(), 10).await.unwrap();
    let delivery = next(&mut receiver).await;
    assert_eq!(delivery.wake_up, sent[0]);
    delivery.ack().await;
    drop(receiver);
    let mut receiver = broker.consume(queue, 10).await.unwrap();
    nothing_comes(&mut receiver).await;
    let health = broker.health();
    assert!(health.connected, "{health:?}");
}

async fn one_queue_keeps_its_order(broker: Arc<dyn Broker>) {
    let (queue, sent) = filled(&*broker, 200).await;
    let mut receiver = broker.consume(queue, 50).await.unwrap();
    for wake_up in sent {
        let delivery = next(&mut receiver).await;
        assert_eq!(delivery.wake_up, wake_up);
        delivery.ack().await;
    }
}

async fn prefetch_bounds_what_is_out(broker: Arc<dyn Broker>) {
    let (queue, _) = filled(&*broker, 12).await;
    let mut receiver = broker.consume(queue, 5).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(next(&mut receiver).await);
    }
    nothing_comes(&mut receiver).await;
    held.remove(0).ack().await;
    let sixth = next(&mut receiver).await;
    assert_eq!(sixth.wake_up.seq, 6);
    nothing_comes(&mut receiver).await;
}

async fn what_is_released_comes_again_first(broker: Arc<dyn Broker>) {
    let (queue, _) = filled(&*broker, 3).await;
    let mut receiver = broker.consume(queue, 1).await.unwrap();
    let first = next(&mut receiver).await;
    assert_eq!(first.wake_up.seq, 1);
    first.release().await;
    for seq in 1..=3 {
        let delivery = next(&mut receiver).await;
        assert_eq!(delivery.wake_up.seq, seq);
        delivery.ack().await;
    }
}

async fn what_a_lost_consumer_held_comes_again(broker: Arc<dyn Broker>) {
    let (queue, _) = filled(&*broker, 5).await;
    let mut receiver = broker.consume(queue.clone(), 10).await.unwrap();
    let held = next(&mut receiver).await;
    drop(receiver);
    drop(held);
    let mut receiver = broker.consume(queue, 10).await.unwrap();
    let mut seen = HashSet::new();
    while seen.len() < 5 {
        let delivery = next(&mut receiver).await;
        assert!(seen.insert(delivery.wake_up.seq), "{} came twice", delivery.wake_up.seq);
        delivery.ack().await;
    }
}

async fn what_is_dropped_unsettled_comes_again(broker: Arc<dyn Broker>) {
    let (queue, sent) = filled(&*broker, 1).await;
    let mut receiver = broker.consume(queue, 10).await.unwrap();
    drop(next(&mut receiver).await);
    let again = next(&mut receiver).await;
    assert_eq!(again.wake_up, sent[0]);
    again.ack().await;
}

async fn a_delivery_outlives_its_receiver(broker: Arc<dyn Broker>) {
    let (queue, _) = filled(&*broker, 2).await;
    let mut receiver = broker.consume(queue.clone(), 1).await.unwrap();
    let first = next(&mut receiver).await;
    drop(receiver);
    let mut receiver = broker.consume(queue, 10).await.unwrap();
    assert_eq!(next(&mut receiver).await.wake_up.seq, 2);
    first.ack().await;
    // the second was dropped unsettled and comes again, the first does not
    let second = next(&mut receiver).await;
    assert_eq!(second.wake_up.seq, 2);
    second.ack().await;
    nothing_comes(&mut receiver).await;
}

async fn a_queue_need_not_be_declared_first(broker: Arc<dyn Broker>) {
    let queue = queue();
    let mut receiver = broker.consume(queue.clone(), 10).await.unwrap();
    let wake_up = wake_up(&queue, 1);
    until("publish", || async { broker.publish(&wake_up).await.ok() }).await;
    next(&mut receiver).await.ack().await;
}

async fn two_consumers_share_a_queue(broker: Arc<dyn Broker>) {
    let (queue, sent) = filled(&*broker, 40).await;
    let mut one = broker.consume(queue.clone(), 5).await.unwrap();
    let mut two = broker.consume(queue, 5).await.unwrap();
    let mut seen = HashSet::new();
    let (mut from_one, mut from_two) = (0, 0);
    while seen.len() < sent.len() {
        let delivery = timeout(PATIENCE, async {
            tokio::select! {
                Some(delivery) = one.recv() => { from_one += 1; delivery }
                Some(delivery) = two.recv() => { from_two += 1; delivery }
            }
        });
        let delivery = delivery.await.unwrap();
        assert!(seen.insert(delivery.wake_up.seq));
        delivery.ack().await;
    }
    assert!(from_one > 0 && from_two > 0, "{from_one} {from_two}");
}

async fn the_two_sides_are_apart(broker: Arc<dyn Broker>) {
    let out = queue();
    let back = Queue { side: Side::WriteBack, to: out.to.clone() };
    declare(&*broker, &[out.clone(), back.clone()]).await;
    broker.publish(&wake_up(&back, 1)).await.unwrap();
    let mut receiver = broker.consume(out, 1).await.unwrap();
    nothing_comes(&mut receiver).await;
    let mut receiver = broker.consume(back, 1).await.unwrap();
    next(&mut receiver).await.ack().await;
}

async fn how_much_lies_in_a_queue_is_told(broker: Arc<dyn Broker>) {
    let (filled, _) = filled(&*broker, 3).await;
    let absent = queue();
    let names = [absent.name(), filled.name()];
    let depths = || async { broker.depths(&names).await.unwrap() };
    let told =
        until("all of them lie there", || async { depths().await.into_iter().find(|depth| depth.ready == 3) }).await;
    assert_eq!((told.queue, told.readers.unwrap_or(0)), (filled.name(), 0));
    assert_eq!(depths().await.len(), 1, "of one that is not there nothing is told");
    let mut receiver = broker.consume(filled, 2).await.unwrap();
    let held = [next(&mut receiver).await, next(&mut receiver).await];
    until("what a reader holds is not ready", || async {
        let depth = depths().await.remove(0);
        (depth.ready == 1 && depth.held.is_none_or(|held| held == 2) && depth.readers.is_none_or(|some| some == 1))
            .then_some(())
    })
    .await;
    for delivery in held {
        delivery.ack().await;
    }
}

async fn thousands_in_flight(broker: Arc<dyn Broker>) {
    const COUNT: u64 = 3_000;
    let queues: Vec<_> = (0..4).map(|_| queue()).collect();
    declare(&*broker, &queues).await;
    let sending: Vec<_> = (0..COUNT)
        .map(|seq| {
            let broker = Arc::clone(&broker);
            let wake_up = wake_up(&queues[seq as usize % 4], seq);
            tokio::spawn(async move { broker.publish(&wake_up).await })
        })
        .collect();
    for sent in sending {
        sent.await.unwrap().unwrap();
    }
    let mut seen = HashSet::new();
    for queue in queues {
        let mut receiver = broker.consume(queue, 200).await.unwrap();
        for _ in 0..COUNT / 4 {
            let delivery = next(&mut receiver).await;
            assert!(seen.insert(delivery.wake_up.seq));
            delivery.ack().await;
        }
    }
    assert_eq!(seen.len(), COUNT as usize);
}

async fn closing_ends_receivers_and_refuses(broker: Arc<dyn Broker>) {
    let (queue, sent) = filled(&*broker, 1).await;
    let mut receiver = broker.consume(queue.clone(), 1).await.unwrap();
    next(&mut receiver).await.ack().await;
    let began = Instant::now();
    broker.close().await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert!(timeout(PATIENCE, receiver.recv()).await.unwrap().is_none());
    assert!(matches!(broker.publish(&sent[0]).await, Err(BrokerError::Away(_))));
    assert!(matches!(broker.consume(queue, 1).await, Err(BrokerError::Away(_))));
    assert!(!broker.health().connected);
}

async fn what_comes_back_too_often_is_dead(broker: Arc<dyn Broker>) {
    let (queue, sent) = filled(&*broker, 1).await;
    let mut dead = broker.consume_dead(10).await.unwrap();
    let mut receiver = broker.consume(queue, 10).await.unwrap();
    let mut times = 0;
    let found = loop {
        tokio::select! {
            Some(delivery) = receiver.recv() => {
                times += 1;
                assert!(times <= DELIVERY_LIMIT + 1, "delivered {times} times");
                delivery.release().await;
            }
            Some(delivery) = dead.recv() => {
                let ours = delivery.wake_up.message == sent[0].message;
                let wake_up = delivery.wake_up.clone();
                delivery.ack().await;
                if ours { break wake_up; }
            }
            () = tokio::time::sleep(PATIENCE) => panic!("neither delivered nor dead"),
        }
    };
    assert_eq!((found, times), (sent[0].clone(), DELIVERY_LIMIT + 1));
}

/// Prints what this machine does; asserts nothing about it.
async fn speed(broker: Arc<dyn Broker>) {
    const COUNT: u64 = 10_000;
    let (queue, _) = filled(&*broker, 1).await;
    let rate = |count: u64, began: Instant| (count as f64 / began.elapsed().as_secs_f64()) as u64;
    let kind = broker.health().detail;
    for window in [1, 32, 256, 1024] {
        let count = if window == 1 { COUNT / 10 } else { COUNT };
        let began = Instant::now();
        stream::iter(0..count)
            .map(|seq| {
                let wake_up = wake_up(&queue, seq);
                let broker = &broker;
                async move { broker.publish(&wake_up).await.unwrap() }
            })
            .buffer_unordered(window)
            .collect::<Vec<_>>()
            .await;
        println!("{kind}: published and confirmed, {window} in flight: {}/s", rate(count, began));
    }
    let total = 1 + COUNT / 10 + 3 * COUNT;
    let mut receiver = broker.consume(queue, 256).await.unwrap();
    let began = Instant::now();
    stream::unfold(&mut receiver, async |receiver| Some((next(receiver).await, receiver)))
        .take(total as usize)
        .for_each_concurrent(64, Delivery::ack)
        .await;
    println!("{kind}: consumed, and acknowledged by 64 workers: {}/s", rate(total, began));
}

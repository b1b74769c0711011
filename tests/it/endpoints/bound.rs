//! A message's destination is bound to its Task: whatever is done to the queues, it reaches no other.

use std::sync::Arc;

use lapin::{BasicProperties, Connection, ConnectionProperties, options::BasicPublishOptions};
use onward::{
    domain::{Actor, Event, ReferralId, Side, TaskId, WakeUp},
    service::Service,
    store::{NewEvent, NewReferral, NewResource, NewTask, Submission, Submit},
};
use uuid::Uuid;

use super::*;
use crate::support::{plan::Plan, rabbitmq, server::Server, stage::alerts};

/// Two inboxes of two providers, each with a server.
struct Two {
    _plan: Plan,
    service: Service,
    onward: Onward,
    servers: [Arc<Double>; 2],
}

const A: &str = "life-rooms";
const B: &str = "housing-support";

async fn two(more: impl FnOnce(Plan) -> Plan) -> Two {
    let record = Server::double(&format!("record-of-{SYSTEM}")).await;
    let servers = [Server::double(&format!("server-of-{A}")).await, Server::double(&format!("server-of-{B}")).await];
    let inbox = |server: &Double| format!("kind = \"fhir-rest\", base-url = \"{}\"", server.base_url());
    let plan = more(Plan::new().port(0))
        .section("[retry]\nfirst = \"100ms\"\ncap = \"200ms\"\n")
        .system(SYSTEM, "RW4", record.base_url(), "")
        .provider(A, "RW4", &inbox(&servers[0]))
        .provider(B, "ZH999", &inbox(&servers[1]))
        .all_to(A);
    let service = plan.start().await;
    let onward = Onward::at(service.base_url());
    Two { _plan: plan, service, onward, servers }
}

/// A referral for the inbox A as it lies in the store; nobody has been woken for it.
async fn waiting(two: &Two, key: &str) -> WakeUp {
    let (request, task) = (Uuid::now_v7(), TaskId::mint());
    let resource = |kind: &str, id, body: Value| NewResource {
        kind: kind.into(),
        id,
        origin: None,
        names: vec![],
        body: body.to_string(),
    };
    let body = json!({"resourceType": "ServiceRequest", "id": request.to_string(), "status": "active"});
    let submitted = Event::Submitted {
        route: None,
        route_set: "x".into(),
        inbox: A.parse().unwrap(),
        instead_of: None,
        beside: None,
    };
    let event = NewEvent {
        event: submitted,
        actor: Actor::System(SYSTEM.parse().unwrap()),
        body: Some(json!({"resourceType": "Task", "id": task.to_string(), "status": "requested"}).to_string()),
        lanes: vec![Side::Delivery],
    };
    let referral = NewReferral {
        id: ReferralId::mint(),
        key: key.into(),
        identifier: None,
        digest: [0; 32],
        request,
        origin: None,
        route_set: "x".into(),
        decision: "{}".into(),
        resources: vec![resource("ServiceRequest", request, body)],
        tasks: vec![NewTask {
            id: task,
            inbox: A.parse().unwrap(),
            provider: A.parse().unwrap(),
            part_of: None,
            terms: Default::default(),
            resources: vec![],
            deadlines: Default::default(),
            beside: None,
            events: vec![event],
        }],
    };
    let submission = Submission {
        id: Uuid::now_v7(),
        system: SYSTEM.parse().unwrap(),
        content_type: "application/fhir+json".into(),
        original: bytes::Bytes::from_static(b"{}"),
        referrals: vec![referral],
        answer: "[]".into(),
        traceparent: None,
        asked_by: None,
    };
    match two.service.store().submit(submission).await.unwrap() {
        Submit::Stored(_, mut wake_ups) => wake_ups.remove(0),
        other => panic!("{other:?}"),
    }
}

async fn dies_unsent(two: &Two, wake_up: &WakeUp, why: &str) {
    let before = alerts(&two.onward, "destination-mismatch").await;
    two.service.broker().publish(wake_up).await.unwrap();
    let letter = until("a dead letter", || async {
        let letters = two.service.store().dead_letters(99).await.unwrap();
        letters.into_iter().find(|letter| letter.task == wake_up.task)
    })
    .await;
    assert!(letter.why.contains(why), "{}", letter.why);
    assert_eq!(letter.to, A);
    assert!(alerts(&two.onward, "destination-mismatch").await > before);
    for server in &two.servers {
        assert_eq!(server.requests().len(), 0, "nothing was sent, to nobody");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wake_up_for_another_inbox_sends_nothing() {
    let two = two(|plan| plan).await;
    let mut wake_up = waiting(&two, "to").await;
    wake_up.to = B.into();
    dies_unsent(&two, &wake_up, "another destination").await;
    let shown = two.service.store().journal(wake_up.task).await.unwrap();
    assert!(shown.iter().any(|line| line.event.name() == "undeliverable"), "{shown:?}");
}

/// Puts a wake-up into a queue, as anybody can who may write there.
async fn put(channel: &lapin::Channel, queue: &str, wake_up: &WakeUp) {
    let body = serde_json::to_vec(wake_up).unwrap();
    let properties = BasicProperties::default().with_delivery_mode(2);
    channel.basic_publish("".into(), queue.into(), BasicPublishOptions::default(), &body, properties).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_queue_holds_is_not_sent_through_it() {
    let test = "endpoints::bound::what_another_queue_holds_is_not_sent_through_it";
    let Some(node) = rabbitmq::shared(test) else { return };
    let vhost = node.vhost();
    let two = two(|plan| plan.broker(&vhost.url, "")).await;
    let store = two.service.store();
    // its own messages make the queues be there
    let own = two.onward.refer(&singles("own").next().unwrap()).await;
    all_arrive(&two.servers[0], std::slice::from_ref(&own)).await;
    two.servers[0].clear_requests();
    let connection = Connection::connect(&vhost.url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();

    // what is another inbox's, word for word, in this one's queue
    let wake_up = waiting(&two, "queue").await;
    let before = alerts(&two.onward, "destination-mismatch").await;
    put(&channel, &format!("inbox.{B}"), &wake_up).await;
    let letter = until("a dead letter", || async {
        let letters = store.dead_letters(99).await.unwrap();
        letters.into_iter().find(|letter| letter.task == wake_up.task)
    })
    .await;
    assert!(letter.why.contains("another destination"), "{}", letter.why);
    assert!(alerts(&two.onward, "destination-mismatch").await > before);

    // what is the other side's: there is nothing to be sent, and nothing to be given up
    let wake_up = waiting(&two, "side").await;
    let before = alerts(&two.onward, "destination-mismatch").await;
    let strayed = WakeUp { side: Side::WriteBack, to: SYSTEM.into(), ..wake_up };
    put(&channel, &format!("inbox.{A}"), &strayed).await;
    until("an alert", || async { (alerts(&two.onward, "destination-mismatch").await > before).then_some(()) }).await;
    assert_eq!(store.dead_letters(99).await.unwrap().len(), 1);
    assert!(store.attempts(strayed.task).await.unwrap().is_empty());
    for server in &two.servers {
        assert_eq!(server.requests().len(), 0, "nothing was sent, to nobody");
    }
    two.service.stop().await;
}

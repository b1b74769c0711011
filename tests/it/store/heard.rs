//! What the sides of a Task said to each other, and how far a provider has looked at it.

use super::*;

async fn happens(b: &Bench, id: TaskId, actor: &str, event: Event) {
    let now = task(b, id).await;
    let actor = match actor {
        "epr" => Actor::System("mersey-epr".parse().unwrap()),
        provider => Actor::Provider(provider.parse().unwrap()),
    };
    let new = NewEvent { event, actor, body: Some("{}".into()), lanes: vec![] };
    b.store.append(Append { events: vec![new], ..step(&now) }).await.unwrap();
}

pub async fn what_was_said_of_tasks_is_told_in_its_order(b: Bench) {
    let (one, other, third) = (one_task(&b, "a").await.id, one_task(&b, "b").await.id, one_task(&b, "c").await.id);
    let message = || Event::Message { communication: Uuid::now_v7(), with: vec![], asks: false, risk: false };
    let answered = Event::Answered { from: TaskStatus::Requested, to: TaskStatus::Accepted, implied: false };
    happens(&b, one, "life-rooms", answered).await;
    happens(&b, other, "epr", message()).await;
    happens(&b, one, "epr", Event::DeliveryDelayed).await;
    happens(&b, one, "epr", Event::Amended { request: 2, order: None, with: vec![], risk: true }).await;
    happens(&b, one, "epr", message()).await;
    happens(&b, one, "epr", Event::Retracted { request: 3, order: None }).await;
    happens(&b, third, "epr", message()).await;
    let said = b.store.said_of(vec![one, other]).await.unwrap();
    let of = |id: TaskId| {
        let own = said.iter().filter(|(task, _)| *task == id);
        own.map(|(_, line)| (line.seq, line.event.name(), line.actor.to_string())).collect::<Vec<_>>()
    };
    let system = || "system:mersey-epr".to_owned();
    let expected = [
        (2, "answered", "provider:life-rooms".into()),
        (4, "amended", system()),
        (5, "message", system()),
        (6, "retracted", system()),
    ];
    assert_eq!(of(one), expected);
    let tells_of_risk = |event: &Event| matches!(event, Event::Amended { risk: true, .. });
    assert!(said.iter().any(|(_, line)| tells_of_risk(&line.event)), "as it was written");
    assert_eq!(of(other), [(2, "message", system())]);
    assert_eq!(said.len(), 5, "of no other Task");
    assert_eq!(b.store.said_of(vec![]).await.unwrap(), []);
}

pub async fn what_was_looked_at_stays_so_for_each_provider(b: Bench) {
    let (one, other) = (one_task(&b, "a").await.id, one_task(&b, "b").await.id);
    let (ours, theirs) = ("life-rooms".parse().unwrap(), "choir".parse().unwrap());
    assert_eq!(b.store.heard(&ours, vec![one]).await.unwrap(), []);
    b.store.hear(&ours, vec![(one, 5), (other, 2)]).await.unwrap();
    b.store.hear(&ours, vec![(one, 3), (other, 4)]).await.unwrap();
    b.store.hear(&theirs, vec![(one, 1)]).await.unwrap();
    let mut heard = b.store.heard(&ours, vec![other, one]).await.unwrap();
    heard.sort_unstable();
    let mut expected = vec![(one, 5), (other, 4)];
    expected.sort_unstable();
    assert_eq!(heard, expected, "it never goes back");
    assert_eq!(b.store.heard(&theirs, vec![one, other]).await.unwrap(), [(one, 1)]);
    b.store.hear(&ours, vec![]).await.unwrap();
}

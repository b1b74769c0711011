//! Inboxes that are closed or full, and who stands in.

use super::*;

const TO_ROOMS: &str = "[[route]]\nname = \"rooms\"\nwhen = { system = [\"merseycare-rio\"] }\nto = \"life-rooms\"\n";

async fn goes_to(scene: &Scene, referral: &Referral) -> TaskRecord {
    let id = scene.onward.refer(referral).await;
    scene.task(&id).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_full_is_stood_in_for_and_told() {
    let scene = Scene::with(&format!("{TO_ROOMS}fallback = [\"link-workers\"]\n"), ", capacity = 2", "").await;
    let first = goes_to(&scene, &one("01", "full-1")).await;
    assert_eq!(goes_to(&scene, &one("01", "full-2")).await.inbox.as_str(), ROOMS);
    let third = goes_to(&scene, &one("01", "full-3")).await;
    assert_eq!((third.inbox.as_str(), third.part_of), (WORKERS, None));
    let events = scene.events(&third.id.to_string()).await;
    let Event::Submitted { instead_of: Some(instead), route, .. } = &events[0] else { panic!("{events:?}") };
    assert_eq!((instead.inbox.as_str(), instead.why.as_str(), route.as_deref()), (ROOMS, "full", Some("rooms")));
    let decision = scene.service.store().decision_of(third.referral).await.unwrap().unwrap();
    let decision: Value = serde_json::from_str(&decision).unwrap();
    assert_eq!(decision["inboxes"][0]["instead-of"], "life-rooms, which is full", "{decision}");
    // it stays there when it is written anew, and a place that is free again is taken again
    scene.onward.must_change(SYSTEM, &third.id.to_string(), |request| request["priority"] = "asap".into()).await;
    scene.answer(ROOMS, &first.id.to_string(), "rejected").await;
    assert_eq!(goes_to(&scene, &one("01", "full-4")).await.inbox.as_str(), ROOMS);
    scene.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_closed_and_has_nobody_is_refused_with_the_reason() {
    let scene = Scene::with(TO_ROOMS, ", closed = [{ from = \"2000-01-01\", to = \"2999-12-31\" }]", "").await;
    let referral = one("01", "closed");
    let refused = scene.onward.send(&referral).await.unwrap();
    assert_eq!(refused.status, 422, "{}", refused.describe());
    assert!(refused.describe().contains("closed"), "{}", refused.describe());
    scene.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_only_the_closed_one_is_stood_in_for() {
    let routes = format!("{}[triage]\nto = \"{WORKERS}\"\n", both(""));
    let scene = Scene::with(&routes, ", open = false", "").await;
    let task = goes_to(&scene, &one("01", "one-closed")).await;
    // who stands in for it has it already: there is but one target left, and so no parent
    assert_eq!((task.inbox.as_str(), task.part_of), (WORKERS, None));
    scene.service.stop().await;
}

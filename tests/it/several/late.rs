//! What is not answered in time goes to another inbox as well.

use super::*;

const LATE: &str = "acknowledge-within = \"never\"\nanswer-within = \"1s\"\nescalate-to = \"link-workers\"\n";

async fn escalated(scene: &Scene, request: &str, others: &[&str]) -> TaskRecord {
    until("it is handed to another as well", || async {
        let family = scene.service.store().find_tasks(request).await.unwrap();
        family.into_iter().find(|task| !others.contains(&&*task.id.to_string()) && !task.is_parent())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_late_gets_another_beside_it() {
    let routes = format!("[[route]]\nname = \"rooms\"\nwhen = {{ system = [\"{SYSTEM}\"] }}\nto = \"{ROOMS}\"\n{LATE}");
    let scene = Scene::set(&routes).await;
    let referral = one("01", "late");
    let late = scene.onward.refer(&referral).await;
    scene.onward.must_change(SYSTEM, &late, |request| request["priority"] = "asap".into()).await;
    let request = scene.task(&late).await.request.to_string();
    let further = escalated(&scene, &request, &[&late]).await;
    assert_eq!((further.inbox.as_str(), further.part_of), (WORKERS, None));
    let id = further.id.to_string();
    until("it is listed", || async { scene.task(&id).await.state.sent.then_some(()) }).await;
    // it begins with what was said by then, and hears what is said since
    let package = scene.get(WORKERS, &format!("Task/{id}/$package")).await.json();
    assert!(package.to_string().contains("asap"));
    scene.onward.must_change(SYSTEM, &late, |request| request["priority"] = "urgent".into()).await;
    assert!(scene.events(&id).await.iter().any(|event| event.name() == "amended"));
    let told = scene.events(&late).await;
    assert!(told.iter().any(|event| matches!(event, Event::Escalated { task, .. } if *task == further.id)), "{told:?}");
    // the sender still has one Task of the referral, and finds the other beside it
    let again = scene.onward.send(&referral).await.unwrap();
    assert!(again.links("monitor").iter().all(|link| link.ends_with(&late)), "{:?}", again.links("monitor"));
    scene.answer(WORKERS, &id, "accepted").await;
    scene.answer(ROOMS, &late, "rejected").await;
    assert_eq!(scene.recorded(&id, "accepted").await.last().unwrap(), "accepted");
    // once only
    let family = scene.service.store().find_tasks(&request).await.unwrap();
    assert_eq!(family.len(), 2);
    scene.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_part_gets_another_part_of_the_same_parent() {
    let routes = format!("{}\n{}", both("share = \"split\""), LATE.replace(WORKERS, "triage-team"));
    let inbox = "kind = \"worklist\"";
    let scene = Scene::with_third(&routes, "triage-team", inbox).await;
    let sent = scene.refer(&one("01", "late-part")).await;
    scene.answer(ROOMS, &sent.rooms, "rejected").await;
    let further =
        escalated(&scene, &scene.task(&sent.parent).await.request.to_string(), &[&sent.rooms, &sent.workers]).await;
    assert_eq!(further.part_of.map(|id| id.to_string()).as_deref(), Some(&*sent.parent));
    let id = further.id.to_string();
    let task = scene.onward.task("triage-team", &id).await;
    let order = scene.get("triage-team", task["focus"]["reference"].as_str().unwrap()).await.json();
    assert_eq!(
        (&order["intent"], &order["performer"][0]["reference"]),
        (&"filler-order".into(), &task["owner"]["reference"])
    );
    // the parent waits for it as for the others
    scene.answer(WORKERS, &sent.workers, "rejected").await;
    assert_eq!(scene.onward.task(SYSTEM, &sent.parent).await["status"], "in-progress");
    scene.answer("triage-team", &id, "accepted").await;
    scene.answer("triage-team", &id, "completed").await;
    assert_eq!(scene.onward.task(SYSTEM, &sent.parent).await["status"], "completed");
    scene.service.stop().await;
}

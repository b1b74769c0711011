//! What no provider sees of a referral to several: the others, what is theirs, and the parent.

use super::*;

/// Whether anything of this text names one of these.
fn names(text: &str, hidden: &[&str]) -> Vec<String> {
    hidden.iter().filter(|id| text.contains(**id)).map(|id| (*id).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_provider_sees_the_other() {
    let scene = Scene::set(&both("share = \"split\"")).await;
    let sent = scene.refer(&one("01", "unseen")).await;
    let [(of_rooms, _), (of_workers, _)] = orders(&scene, &sent).await;
    scene.answer(ROOMS, &sent.rooms, "accepted").await;
    scene.onward.must_say(ROOMS, &sent.rooms, "between us", json!({})).await;
    let message = scene.get(SYSTEM, &format!("Communication?about=Task/{}", sent.rooms)).await.json();
    let message = ids(&message).remove(0);
    let request = scene.task(&sent.parent).await.request;
    for (provider, own, other, order, others) in [
        (ROOMS, &sent.rooms, &sent.workers, &of_rooms, &of_workers),
        (WORKERS, &sent.workers, &sent.rooms, &of_workers, &of_rooms),
    ] {
        let hidden_urls = [
            format!("Task/{other}"),
            format!("Task/{other}/_history"),
            format!("Task/{other}/_history/1"),
            format!("Task/{other}/$package"),
            format!("Task/{}", sent.parent),
            format!("Task/{}/_history", sent.parent),
            format!("Task/{}/_history/1", sent.parent),
            format!("Task/{}/$package", sent.parent),
            format!("Provenance/{other}-1"),
            format!("Provenance/{}-1", sent.parent),
            others.clone(),
            format!("{others}/_history"),
            format!("{others}/_history/1"),
        ];
        for url in &hidden_urls {
            assert_eq!(scene.get(provider, url).await.status, 404, "{provider} {url}");
        }
        let order_id = others.rsplit('/').next().unwrap();
        let mut hidden = vec![other.as_str(), order_id];
        if provider == WORKERS {
            assert_eq!(scene.get(provider, &format!("Communication/{message}")).await.status, 404);
            hidden.push(&message);
        }
        // the parent's name is all that it may read of that, in its own Task
        for search in [
            "Task".to_owned(),
            format!("Task?part-of=Task/{}", sent.parent),
            format!(
                "Task?part-of=Task/{}&_include=Task:part-of&_include=Task:focus&_include=Task:based-on",
                sent.parent
            ),
            format!(
                "Task?_id={own}&_revinclude=Task:part-of&_revinclude=Provenance:target&_revinclude=Communication:based-on"
            ),
            format!("Task?focus=ServiceRequest/{request}"),
            format!("Task?based-on=ServiceRequest/{request}"),
            format!("Task?_id={other}"),
            format!("Task?part-of:Task.status=in-progress&part-of=Task/{}", sent.parent),
            "Task/_history".to_owned(),
            format!("ServiceRequest?_id={request},{order_id}"),
            format!("ServiceRequest?based-on=ServiceRequest/{request}&_revinclude=Task:focus"),
            format!("ServiceRequest?_id={request}&_revinclude=ServiceRequest:based-on&_revinclude=Task:based-on"),
            format!("ServiceRequest/{request}/_history"),
            "ServiceRequest/_history".to_owned(),
            format!("Provenance?target=Task/{own}"),
            format!("Provenance?target=ServiceRequest/{request}"),
            format!("Communication?based-on=ServiceRequest/{request}"),
            format!("Task/{own}/$package"),
            format!("Task/{own}/_history"),
        ] {
            let answer = scene.get(provider, &search).await;
            assert_eq!(answer.status, 200, "{provider} {search}: {}", answer.describe());
            // its links repeat what was asked
            let text = answer.json()["entry"].to_string();
            assert_eq!(names(&text, &hidden), Vec::<String>::new(), "{provider} {search}");
            let parent = format!("\"id\":\"{}\"", sent.parent);
            assert!(!text.replace(' ', "").contains(&parent), "{provider} {search}");
        }
        let own_order = scene.get(provider, order).await;
        assert_eq!(own_order.status, 200, "its own it sees: {}", own_order.describe());
    }
    // what was pushed names none of the other's either
    for resource in ["Task", "ServiceRequest"] {
        let text: String = scene.rooms.resources(resource).iter().map(ToString::to_string).collect();
        assert_eq!(names(&text, &[&sent.workers, of_workers.rsplit('/').next().unwrap()]), Vec::<String>::new());
    }
    // the sender sees them all, and each once
    for (client, expected) in [(SYSTEM, 3), (ROOMS, 2), (WORKERS, 2)] {
        let history = scene.get(client, "ServiceRequest/_history").await.json();
        assert_eq!(ids(&history).len(), expected, "{client} {history}");
    }
    let all = ids(&scene.get(SYSTEM, "Task").await.json());
    assert_eq!(all.len(), 3);
    scene.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_referrer_says_to_all_each_hears_and_to_one_that_one_alone() {
    let scene = Scene::set(&both("")).await;
    let sent = scene.refer(&one("01", "said")).await;
    scene.onward.must_say(SYSTEM, &sent.parent, "to you both", json!({})).await;
    scene.onward.must_say(SYSTEM, &sent.workers, "to you alone", json!({})).await;
    let heard = async |provider: &str| {
        let request = scene.task(&sent.parent).await.request;
        let found = scene.get(provider, &format!("Communication?based-on=ServiceRequest/{request}")).await.json();
        let about = async |task: &str| scene.get(provider, &format!("Communication?about=Task/{task}")).await.json();
        let mut words = Vec::new();
        for bundle in [found, about(&sent.parent).await, about(&sent.rooms).await, about(&sent.workers).await] {
            let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
            words.extend(
                entries.iter().map(|e| e["resource"]["payload"][0]["contentString"].as_str().unwrap().to_owned()),
            );
        }
        words.sort();
        words.dedup();
        words
    };
    assert_eq!(heard(ROOMS).await, ["to you both"]);
    assert_eq!(heard(WORKERS).await, ["to you alone", "to you both"]);
    let told = scene.events(&sent.parent).await.iter().any(|event| event.name() == "message");
    assert!(!told, "nobody works on the parent");
    scene.service.stop().await;
}

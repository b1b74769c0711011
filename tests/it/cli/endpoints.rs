//! `endpoints`: who is left alone, seen and ended by a person beside the running service.

use onward::demo::double::{Fault, Rule, When};

use super::{
    hub::{Hub, RIO},
    run,
};
use crate::support::{fixtures, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_left_alone_is_listed_and_closed_by_a_person() {
    let hub = Hub::start().await;
    let list = || run(hub.folder(), &["endpoints", "list", "--json"]).json();
    let of = |listed: &serde_json::Value, name: &str| {
        listed.as_array().unwrap().iter().find(|one| one["endpoint"] == name).cloned().unwrap()
    };
    let listed = list();
    assert_eq!(listed.as_array().unwrap().len(), 4, "{listed}");
    let rooms = of(&listed, "inbox.life-rooms");
    assert_eq!((&rooms["breaker"], &rooms["waiting"]), (&"closed".into(), &0.into()), "{rooms}");
    assert_eq!(rooms["base-url"], hub.life_rooms.base_url());

    // for longer than this test may take
    hub.life_rooms.fault(Rule::new(Fault::Unavailable { retry_after_s: Some(3600) }, When::Always));
    let rio = hub.sender(RIO);
    let mut urls = Vec::new();
    for n in 0..8 {
        urls.push(rio.refers(&fixtures::to_life_rooms(&format!("waits-{n}"))).await);
    }
    let shown = until("it is left alone", || async {
        let rooms = of(&list(), "inbox.life-rooms");
        (rooms["breaker"] == "open").then_some(rooms)
    })
    .await;
    assert_eq!((&shown["waiting"], &shown["why"]), (&8.into(), &"HTTP 503; transient".into()), "{shown}");
    assert!(shown["failures"].as_u64().unwrap() >= 5 && shown["outage"].is_string(), "{shown}");
    let text = run(hub.folder(), &["endpoints", "list"]);
    assert!(
        text.out.contains("8 waiting  open since") && text.out.ends_with("4 endpoints, 1 not as always\n"),
        "{text:?}"
    );

    hub.life_rooms.heal();
    let closed = run(hub.folder(), &["endpoints", "close", "inbox.life-rooms"]);
    assert_eq!(closed.code, 0, "{closed:?}");
    for url in &urls {
        hub.task_when(&rio, url, "received", |task| task["status"] == "received").await;
    }
    until("it is as always", || async { (of(&list(), "inbox.life-rooms")["breaker"] == "closed").then_some(()) }).await;
    let again = run(hub.folder(), &["endpoints", "close", "inbox.life-rooms"]);
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.err.contains("not left alone"), "{again:?}");
    let wrong = run(hub.folder(), &["endpoints", "close", "life-rooms"]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.err.contains("inbox.ID or writeback.ID"), "{wrong:?}");
    hub.stop().await;
}

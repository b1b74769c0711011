//! The commands of those who decide what is proposed, beside a running service.

use super::*;
use crate::cli::{Ran, run};
use hub::LIFE_ROOMS;
use onward::directory::entry::PRACTICE_STORY;

fn onward(hub: &Hub, args: &[&str]) -> Ran {
    run(hub.folder(), &[&["directory"], args].concat())
}

#[track_caller]
fn said(ran: &Ran, good: bool) -> String {
    assert_eq!(ran.code == 0, good, "{ran:?}");
    format!("{}{}", ran.out, ran.err)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proposals_are_listed_shown_and_decided_at_the_machine() {
    let hub = Hub::start().await;
    let rooms = hub.provider(LIFE_ROOMS);
    let proposed = |body: Value| {
        let rooms = rooms.clone();
        async move {
            let answer = rooms.method(Method::POST, "/fhir/HealthcareService", &body).await;
            assert_eq!(answer.status, 202, "{}", answer.describe());
            answer.header("location").unwrap().rsplit('/').next().unwrap().to_owned()
        }
    };
    assert!(said(&onward(&hub, &["proposals"]), true).contains("there is none"));
    let part = |url: &str| json!({"url": url, "valueMarkdown": "words"});
    let story = json!({"url": PRACTICE_STORY, "extension": [part("problem"), part("done"), part("result")]});
    let first = proposed(service("Choir", json!({"providedBy": of(LIFE_ROOMS), "extension": [story]}))).await;
    let second = proposed(service("Band", json!({"providedBy": of(LIFE_ROOMS)}))).await;

    let listed = said(&onward(&hub, &["proposals"]), true);
    assert!(listed.contains(&first) && listed.contains(&second) && listed.contains("pending"), "{listed}");
    let shown = said(&onward(&hub, &["show", &first]), true);
    assert!(shown.contains("/name") && shown.contains("\"Choir\"") && shown.contains("--story-checked"), "{shown}");
    let told: Value = onward(&hub, &["show", &first, "--json"]).json();
    assert_eq!((&told["resource"]["name"], &told["tells-story"]), (&"Choir".into(), &true.into()));

    let refused = said(&onward(&hub, &["approve", &first]), false);
    assert!(refused.contains("HealthcareService.extension[0]"), "{refused}");
    said(&onward(&hub, &["approve", &first, "--story-checked"]), true);
    let found = found(&rooms, "HealthcareService?name=Choir").await;
    assert_eq!(resources(&found).len(), 1, "the running service finds what was written beside it");
    let again = said(&onward(&hub, &["approve", &first]), false);
    assert!(again.contains("approved already"), "{again}");

    assert_eq!(onward(&hub, &["decline", &second]).code, 2, "a reason is needed");
    said(&onward(&hub, &["decline", &second, "--reason", "It is the choir again."]), true);
    let told = rooms.get(&format!("/directory/proposals/{second}")).await.json();
    assert_eq!(told["decided"]["reason"], "It is the choir again.");
    assert_eq!(told["decided"]["by"], "Those who keep the directory", "who decided is named to stewards alone");
    let told = hub.steward().get(&format!("/directory/proposals/{second}")).await.json();
    assert!(told["decided"]["by"].as_str().unwrap().starts_with("operator "), "{told}");
    let listed: Value = onward(&hub, &["proposals", "--status", "all", "--json"]).json();
    let statuses: Vec<_> = listed.as_array().unwrap().iter().map(|one| one["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["approved", "declined"]);
    let none = said(&onward(&hub, &["show", "01930000-0000-7000-8000-000000000000"]), false);
    assert!(none.contains("there is no such proposal"), "{none}");
    hub.stop().await;
}

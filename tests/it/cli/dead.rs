//! `referral show` and `dead`: what an operator sees and does beside a running service.

use hyper::StatusCode;
use onward::demo::double::{Fault, Rule, When};
use serde_json::Value;

use super::{
    hub::{GP, Hub, LINK_WORKERS, RIO},
    id_of, run,
};
use crate::support::{fixtures, until};

fn user() -> String {
    let output = std::process::Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_referral_is_shown_by_whatever_one_has_in_hand() {
    let hub = Hub::start().await;
    let sent = hub.sender(GP).refer(&fixtures::to_link_workers("shown")).await;
    let url = sent.links("monitor").remove(0);
    let provider = hub.provider(LINK_WORKERS);
    hub.task_when(&provider, &url, "listed", |t| t["meta"]["versionId"] == "2").await;
    assert_eq!(provider.set(&url, "accepted").await.status, 200);
    let request = sent.json()["id"].as_str().unwrap().to_owned();
    let mut shown = Vec::new();
    for key in [id_of(&url), &request, "https://brownlow-gp.example/referral-id|shown"] {
        let json = run(hub.folder(), &["referral", "show", key, "--json"]).json();
        let text = run(hub.folder(), &["referral", "show", key]);
        assert_eq!(text.code, 0);
        for word in ["submitted", "listed", "answered", "requested → accepted", "gp-social-prescribing", &request] {
            assert!(text.out.contains(word), "{word} is not in\n{}", text.out);
        }
        shown.push(json);
    }
    assert!(shown.iter().all(|one| *one == shown[0]));
    let one = &shown[0][0];
    assert_eq!((&one["status"], &one["inbox"], &one["system"]), (&"accepted".into(), &LINK_WORKERS.into(), &GP.into()));
    assert_eq!(one["decision"]["route"], "gp-social-prescribing");
    let events: Vec<&str> = one["journal"].as_array().unwrap().iter().map(|l| l["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["submitted", "listed", "answered"]);
    let unknown = run(hub.folder(), &["referral", "show", "urn:x|nobody"]);
    assert_eq!((unknown.code, unknown.out.as_str()), (1, ""));
    assert!(unknown.err.contains("no referral"), "{unknown:?}");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_is_listed_shown_replayed_and_delivered() {
    let hub = Hub::start().await;
    let list = || run(hub.folder(), &["dead", "list", "--json"]).json();
    assert_eq!(list(), Value::Array(vec![]));
    hub.life_rooms.fault(Rule::new(Fault::Refuse(StatusCode::UNPROCESSABLE_ENTITY), When::Always).kind(""));
    let url = hub.sender(RIO).refers(&fixtures::to_life_rooms("dead")).await;
    let rio = hub.sender(RIO);
    let undeliverable = |t: &Value| t["businessStatus"]["coding"][0]["code"] == "undeliverable";
    let task = hub.task_when(&rio, &url, "undeliverable", undeliverable).await;
    assert_eq!(task["status"], "requested", "a dead letter changes no status");

    let listed = list();
    let letter = &listed[0];
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(
        (&letter["task"], &letter["to"], &letter["seq"]),
        (&id_of(&url).into(), &"life-rooms".into(), &1.into())
    );
    assert!(letter["why"].as_str().unwrap().contains("422"), "{letter}");
    let message = letter["message"].as_str().unwrap();
    let text = run(hub.folder(), &["dead", "list"]);
    assert!(text.out.contains(message) && text.out.ends_with("1 dead letter\n"), "{text:?}");
    for key in [message, id_of(&url), "https://rio.merseycare.example/referral-id|dead"] {
        let shown = run(hub.folder(), &["dead", "show", key, "--json"]).json();
        assert_eq!(shown[0]["message"], message);
        assert_eq!(shown[0]["tries"].as_array().unwrap().len(), 1, "{shown}");
        assert_eq!(shown[0]["tries"][0]["result"], "refused");
        assert_eq!(shown[0]["tries"][0]["endpoint"], hub.life_rooms.base_url());
        assert!(run(hub.folder(), &["dead", "show", key]).out.contains(message));
    }
    for command in ["show", "replay"] {
        let unknown = run(hub.folder(), &["dead", command, "nobody"]);
        assert_eq!(unknown.code, 1, "{unknown:?}");
    }

    hub.life_rooms.heal();
    let replayed = run(hub.folder(), &["dead", "replay", message, "--json"]);
    let replayed: Vec<Value> = replayed.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&replayed[0]["message"], &replayed[0]["replayed"]), (&message.into(), &true.into()));
    assert_eq!(replayed[1]["replayed"], 1);
    hub.task_when(&rio, &url, "received", |t| t["status"] == "received").await;
    assert_eq!(hub.life_rooms.resources("Task").len(), 1);
    assert_eq!(list(), Value::Array(vec![]));
    let again = run(hub.folder(), &["dead", "replay", message]);
    assert_eq!(again.code, 1, "{again:?}");
    let told = run(hub.folder(), &["referral", "show", id_of(&url), "--json"]).json();
    let journal = told[0]["journal"].as_array().unwrap().clone();
    let line = journal.iter().find(|l| l["event"] == "replayed").unwrap_or_else(|| panic!("{told}"));
    assert!(line["by"].as_str().unwrap().contains(&user()), "{line}");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_of_a_task_that_has_ended_is_not_replayed() {
    let hub = Hub::start().await;
    hub.life_rooms.fault(Rule::new(Fault::Refuse(StatusCode::UNPROCESSABLE_ENTITY), When::Always).kind(""));
    let url = hub.sender(RIO).refers(&fixtures::to_life_rooms("ended")).await;
    until("a dead letter", || async {
        let list = run(hub.folder(), &["dead", "list", "--json"]).json();
        (list.as_array().unwrap().len() == 1).then_some(())
    })
    .await;
    let provider = hub.provider(super::hub::LIFE_ROOMS);
    let reject = serde_json::json!([{"op": "replace", "path": "/status", "value": "rejected"},
                                    {"op": "add", "path": "/statusReason", "value": {"text": "by telephone"}}]);
    let etag = provider.get(&url).await.header("etag").unwrap().to_owned();
    let answer = provider.patch(&url, &etag, &reject).await;
    assert_eq!(answer.status, 200, "{}", answer.describe());
    hub.life_rooms.heal();
    hub.life_rooms.clear_requests();
    let ran = run(hub.folder(), &["dead", "replay", id_of(&url)]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(hub.life_rooms.counts().get("Task"), None);
    hub.stop().await;
}

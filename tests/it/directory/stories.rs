//! A story that is taken out is out, whoever looks and wherever; and who wrote what is told to those who may know.

use super::*;
use hub::{GP, LIFE_ROOMS};
use onward::directory::entry::{PRACTICE_STORY, STORY_TAKEN_OUT};

on_both_stores!(
    who_wrote_a_version_is_named_to_stewards_and_by_the_organisation_to_others,
    what_waits_for_a_steward_is_a_line_of_the_worklist_and_a_figure_without_a_name,
);

fn story(problem: &str) -> Value {
    let part = |url: &str, text: &str| json!({"url": url, "valueMarkdown": text});
    json!({"url": PRACTICE_STORY, "extension": [part("problem", problem), part("done", "much"), part("result", "good")]})
}

async fn told(actor: &Actor, url: &str, stories: &[Value]) -> u64 {
    let mut body = actor.get(url).await.json();
    body["extension"] = stories.into();
    if stories.is_empty() {
        body.as_object_mut().unwrap().remove("extension");
    }
    let etag = actor.get(url).await.header("etag").unwrap().to_owned();
    let call = actor.call_to(Method::PUT, url).json(FHIR_JSON, &body);
    let answer = actor.call(call.header("if-match", &etag).header("story-checked", "true")).await;
    assert_eq!(answer.status, 200, "{}", answer.describe());
    answer.json()["meta"]["versionId"].as_str().unwrap().parse().unwrap()
}

/// All that the store holds of the directory.
fn kept(hub: &Hub) -> String {
    let store = rusqlite::Connection::open(hub.store_path()).unwrap();
    let sql = "SELECT body FROM directory_version UNION ALL SELECT body FROM directory_proposal";
    let mut all = store.prepare(sql).unwrap();
    all.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap).collect()
}

/// Whether the file of the store, once all that was written has come into it, has this text anywhere.
fn in_file(hub: &Hub, text: &str) -> bool {
    let store = rusqlite::Connection::open(hub.store_path()).unwrap();
    let busy: i64 = store.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
    assert_eq!(busy, 0, "somebody reads or writes");
    let bytes = std::fs::read(hub.store_path()).unwrap();
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_story_that_is_taken_out_is_in_no_version_and_in_no_proposal() {
    let hub = Hub::start().await;
    let (anna, rooms) = (hub.steward(), hub.provider(LIFE_ROOMS));
    let place = made(&anna, &service("Choir", json!({"providedBy": of(LIFE_ROOMS)}))).await;
    let url = format!("/fhir/{place}");
    let id = place.rsplit('/').next().unwrap();
    told(&anna, &url, &[story("Kim of 7 Secret Lane"), story("Somebody")]).await;
    told(&anna, &url, &[story("Kim of Secret Lane"), story("Somebody")]).await;
    let mut proposed = anna.get(&url).await.json();
    proposed["comment"] = "Sings".into();
    let answer = put(&rooms, &url, None, &proposed).await;
    assert_eq!(answer.status, 202, "{}", answer.describe());
    let proposal = answer.header("location").unwrap().to_owned();
    told(&anna, &url, &[story("Somebody")]).await;
    assert!(kept(&hub).contains("Secret") && in_file(&hub, "Secret Lane"));

    let out = format!("/directory/stories/{id}/take-out");
    let ask = |actor: Actor, said: Value| {
        let out = out.clone();
        async move { actor.call(actor.call_to(Method::POST, &out).json("application/json", &said)).await }
    };
    let others = [(*rooms).clone(), (*hub.sender(GP)).clone()];
    for other in others {
        let refused = ask(other, json!({"which": "all"})).await;
        assert_eq!(refused.status, 403, "{}", refused.describe());
    }
    for wrong in [json!({"which": -1}), json!({"which": "some"}), json!({"story": 0}), json!([])] {
        assert_eq!(ask(anna.clone(), wrong.clone()).await.status, 400, "{wrong}");
    }
    refused(&ask(anna.clone(), json!({})).await, 400, "required", "which");
    assert_eq!(anna.post(&out, "application/json", "").await.status, 400, "nothing is meant where nothing is said");
    assert!(kept(&hub).contains("Secret"));
    assert_eq!(ask(anna.clone(), json!({"which": 1})).await.status, 422, "there is no second one now");
    let absent = format!("/directory/stories/{}/take-out", uuid::Uuid::now_v7());
    assert_eq!(anna.post(&absent, "application/json", "{\"which\": \"all\"}").await.status, 404);

    let done = ask(anna.clone(), json!({"which": "earlier"})).await;
    assert_eq!(done.status, 200, "{}", done.describe());
    assert_eq!(done.json(), json!({"entry": place, "version": 5, "rewritten": {"versions": 2, "proposals": 1}}));
    assert!(!kept(&hub).contains("Secret") && kept(&hub).contains("Somebody"));
    assert!(!in_file(&hub, "Secret Lane"), "nor in what the file has between its rows, which backups copy");
    for (who, actor) in everybody(&hub) {
        let history = actor.get(&format!("{url}/_history")).await.json();
        assert_eq!(resources(&history).len(), 5, "{who}");
        assert!(!history.to_string().contains("Secret"), "{who}");
        for version in [2, 3] {
            let read = actor.get(&format!("{url}/_history/{version}")).await.json();
            let marks: Vec<_> =
                read["extension"].as_array().unwrap().iter().filter(|e| e["url"] == STORY_TAKEN_OUT).collect();
            assert_eq!(marks.len(), 1, "{read:#}");
            assert_eq!(marks[0]["extension"][1]["valuePositiveInt"], 5, "the version that took it out");
            assert_eq!(read["meta"]["security"][0]["code"], "REDACTED");
            assert!(read.to_string().contains("Somebody"), "{who} {version}");
        }
    }
    let now = anna.get(&url).await.json();
    assert_eq!(now["extension"], json!([story("Somebody")]));
    assert!(!rooms.get(&proposal).await.json().to_string().contains("Secret"));
    assert_eq!(anna.post(&format!("{proposal}/approve"), "application/json", "").await.status, 409, "it is stale");

    assert_eq!(ask(anna.clone(), json!({"which": "earlier"})).await.status, 422, "there is none any more");
    let all = crate::cli::run(hub.folder(), &["directory", "take-out-story", id]);
    assert!(all.code == 0 && all.out.contains("has version 6"), "{all:?}");
    assert!(!kept(&hub).contains("Somebody"));
    assert_eq!(anna.get(&url).await.json().get("extension"), None);
    hub.stop().await;
}

async fn who_wrote_a_version_is_named_to_stewards_and_by_the_organisation_to_others(hub: Hub) {
    let (anna, rooms) = (hub.steward(), hub.provider(LIFE_ROOMS));
    let place = made(&anna, &service("Choir", json!({"providedBy": of(LIFE_ROOMS)}))).await;
    let url = format!("/fhir/{place}");
    let mut proposed = anna.get(&url).await.json();
    proposed["comment"] = "Sings".into();
    let proposal = put(&rooms, &url, None, &proposed).await.header("location").unwrap().to_owned();
    assert_eq!(anna.post(&format!("{proposal}/approve"), "application/json", "").await.status, 200);
    for (who, actor) in everybody(&hub) {
        let searched = found(&actor, &format!("Provenance?target={place}")).await;
        let all = resources(&searched);
        assert_eq!((all.len(), &searched["total"]), (2, &json!(2)), "{who}");
        let of = |version: u64| {
            let target = format!("{place}/_history/{version}");
            all.iter().find(|one| one["target"][0]["reference"] == target.as_str()).unwrap()
        };
        let display = |version| of(version)["agent"][0]["who"]["display"].as_str().unwrap().to_owned();
        let expected = match who {
            "steward" => ["steward anna", "provider life-rooms, approved by steward anna"],
            _ => ["Those who keep the directory", LIFE_ROOMS],
        };
        assert_eq!([display(1), display(2)], expected, "{who}");
        assert_eq!(of(2)["agent"][0]["who"]["reference"], format!("Organization/{LIFE_ROOMS}"));
        assert_eq!(of(2)["activity"]["coding"][0]["code"], "UPDATE");
        let id = of(2)["id"].as_str().unwrap();
        let read = actor.get(&format!("/fhir/Provenance/{id}")).await;
        assert_eq!(read.json(), **of(2), "{who}");
        assert_eq!(actor.get(&format!("/fhir/Provenance/{id}/_history/1")).await.json(), read.json());
        let history = actor.get(&format!("{url}/_history")).await.json();
        let by = &history["entry"][0]["extension"][0]["extension"][3];
        assert_eq!((&by["url"], &by["valueString"]), (&json!("by"), &json!(expected[1])), "{who}");
        assert_eq!(who == "steward", history.to_string().contains("anna"), "{who}");
    }
    let none = format!("Provenance?target=HealthcareService/{}", uuid::Uuid::now_v7());
    assert_eq!(resources(&found(&anna, &none).await).len(), 0);
    assert_eq!(anna.get(&format!("/fhir/Provenance/{}-9", place.replace('/', "-"))).await.status, 404);
    hub.stop().await;
}

async fn what_waits_for_a_steward_is_a_line_of_the_worklist_and_a_figure_without_a_name(hub: Hub) {
    let (anna, rooms) = (hub.steward(), hub.provider(LIFE_ROOMS));
    let lines = || crate::cli::run(hub.folder(), &["worklist", "--json"]).json();
    let waiting = || async { String::from_utf8_lossy(&hub.actor(None).get("/metrics").await.body).into_owned() };
    assert!(!lines().to_string().contains("proposals-waiting"));
    assert!(waiting().await.contains("onward_directory_proposals_waiting 0"));
    let body = service("Hidden name", json!({"providedBy": of(LIFE_ROOMS)}));
    let proposal =
        rooms.method(Method::POST, "/fhir/HealthcareService", &body).await.header("location").unwrap().to_owned();
    let told = lines();
    let line = told.as_array().unwrap().iter().find(|line| line["kind"] == "proposals-waiting").unwrap();
    assert_eq!((&line["id"], &line["tick"]), (&json!("directory.proposals"), &json!(false)));
    assert!(line["text"].as_str().unwrap().starts_with("1 proposal"), "{line}");
    let figures = waiting().await;
    assert!(figures.contains("onward_directory_proposals_waiting 1"), "{figures}");
    assert!(figures.contains("onward_directory_oldest_proposal_seconds "));
    assert!(!told.to_string().contains("Hidden") && !figures.contains("Hidden"));
    let ticked = crate::cli::run(hub.folder(), &["worklist", "done", "directory.proposals", "--reason", "x"]);
    assert!(ticked.err.contains("when the proposals are decided"), "{ticked:?}");
    let decline = json!({"reason": "no"});
    let declined =
        anna.call(anna.call_to(Method::POST, &format!("{proposal}/decline")).json("application/json", &decline)).await;
    assert_eq!(declined.status, 200, "{}", declined.describe());
    assert!(!lines().to_string().contains("proposals-waiting"));
    assert!(waiting().await.contains("onward_directory_proposals_waiting 0"));
    hub.stop().await;
}

//! What the clients find: referrals of two systems at two providers, in several statuses, nothing of it under way any more.

use serde_json::Value;

use crate::support::{
    fixtures,
    hub::{GP, HOUSING, Hub, LIFE_ROOMS, LINK_WORKERS, Provider, RIO, TRIAGE, WARD, token_of},
};

/// What becomes of the practice's referrals to the link workers, who take them from their worklist.
const AT_LINK_WORKERS: [&[&str]; 7] = [
    &[],
    &["accepted"],
    &["accepted", "in-progress"],
    &["accepted", "in-progress", "completed"],
    &["rejected"],
    &["accepted"],
    &[],
];
/// What becomes of Mersey Care's referrals to the Life Rooms, which they are pushed to.
const AT_LIFE_ROOMS: [&[&str]; 4] = [&[], &["accepted"], &["accepted", "on-hold"], &["accepted", "completed"]];

/// Sends and answers all of it; what a script has to know.
pub async fn set(hub: &Hub) -> Vec<(&'static str, String)> {
    let (link_workers, life_rooms) = (hub.provider(LINK_WORKERS), hub.provider(LIFE_ROOMS));
    for (number, answers) in AT_LINK_WORKERS.iter().enumerate() {
        let referral = fixtures::to_link_workers(&format!("client-{number}"));
        let task = hub.sender(GP).refers(&referral).await;
        hub.task_when(&link_workers, &task, "listed", |t| t["meta"]["versionId"] == "2").await;
        answer(&link_workers, &task, answers).await;
    }
    for (number, answers) in AT_LIFE_ROOMS.iter().enumerate() {
        let referral = fixtures::to_life_rooms(&format!("client-{number}"));
        let task = hub.sender(RIO).refers(&referral).await;
        hub.task_when(&life_rooms, &task, "received", |t| t["status"] == "received").await;
        answer(&life_rooms, &task, answers).await;
    }
    let more = hub.sender(RIO).refers(&fixtures::json("referrals/08-consent-codes-only.json")).await;
    hub.task_when(&hub.sender(RIO), &more, "received", |t| t["status"] == "received").await;
    // one with all that a referral can carry
    let whole = hub.sender(RIO).refers(&fixtures::json("referrals/03-full-bundle.json")).await;
    hub.task_when(&hub.sender(RIO), &whole, "received", |t| t["status"] == "received").await;
    let token = |name: &'static str, id: &str| (name, token_of(id));
    vec![
        ("ONWARD_BASE", format!("{}/fhir", hub.base_url)),
        ("ONWARD_FIXTURES", fixtures::path("").to_str().unwrap().to_owned()),
        ("ONWARD_WHOLE_TASK", id_of(&whole)),
        token("ONWARD_TOKEN_GP", GP),
        token("ONWARD_TOKEN_RIO", RIO),
        token("ONWARD_TOKEN_WARD", WARD),
        token("ONWARD_TOKEN_LINK_WORKERS", LINK_WORKERS),
        token("ONWARD_TOKEN_LIFE_ROOMS", LIFE_ROOMS),
        token("ONWARD_TOKEN_HOUSING", HOUSING),
        token("ONWARD_TOKEN_TRIAGE", TRIAGE),
    ]
}

async fn answer(provider: &Provider, task: &str, statuses: &[&str]) {
    for status in statuses {
        let mut now: Value = provider.get(task).await.json();
        let etag = format!("W/\"{}\"", now["meta"]["versionId"].as_str().unwrap());
        now["status"] = (*status).into();
        if matches!(*status, "rejected" | "on-hold") {
            now["statusReason"] = serde_json::json!({"text": "for the test"});
        }
        let answer = provider.put(task, &etag, &now).await;
        assert!(answer.status.is_success(), "{status}: {}", answer.describe());
    }
}

fn id_of(task: &str) -> String {
    task.rsplit('/').next().unwrap().to_owned()
}

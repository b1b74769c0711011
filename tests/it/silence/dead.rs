//! Dead letters by the command line: found, looked at, previewed, put away, and replayed two hundred at a time.

use std::{
    io::{BufRead, BufReader},
    time::Instant,
};

use hyper::{Method, StatusCode};
use onward::demo::double::{Fault, Rule, When};
use serde_json::json;

use super::*;
use crate::support::{
    referrals::nhs_numbers,
    stage::{PROVIDER, SYSTEM},
};

/// The record refuses every write from now on.
fn refuse_all(stage: &Stage) {
    for method in [Method::POST, Method::PUT] {
        stage.record.fault(Rule::new(Fault::Refuse(StatusCode::UNPROCESSABLE_ENTITY), When::Always).method(method));
    }
}

/// Referrals that went through four statuses, none of which the record took.
async fn all_dead(stage: &Stage, count: usize) -> Vec<String> {
    refuse_all(stage);
    let mut ids = Vec::new();
    for n in 0..count {
        let id = stage.onward.refer(&one("01", &format!("d{n}"))).await;
        stage.happened(&id, "delivered").await;
        for status in ["accepted", "in-progress", "completed"] {
            stage.answer(&id, status, json!({})).await;
        }
        ids.push(id);
    }
    until("all are dead", || async {
        (stage.store.dead_letters(usize::MAX).await.unwrap().len() == 4 * count).then_some(())
    })
    .await;
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_are_replayed_at_a_rate_each_lane_in_its_order() {
    let stage = Stage::set(Setting::default()).await;
    let ids = all_dead(&stage, 50).await;
    stage.record.heal();

    // one is stopped in the middle: what it has done is done, and the next goes on with the rest
    let file = stage.plan.write();
    let mut child = Command::new(env!("CARGO_BIN_EXE_onward"))
        .args(["dead", "replay", "--to", SYSTEM, "--rate", "20", "--json", "--config"])
        .arg(&file)
        .envs(stage.plan.env())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let first: Vec<Value> = said.by_ref().take(7).map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    assert!(first.iter().all(|line| line["replayed"] == true), "{first:?}");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let last: Value = serde_json::from_str(&said.last().unwrap().unwrap()).unwrap();
    assert_eq!(last["stopped"], true);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let done = last["replayed"].as_u64().unwrap();
    assert!((7..200).contains(&done), "{last}");

    let began = Instant::now();
    let ran = onward(&stage, &["dead", "replay", "--to", SYSTEM, "--lane", "write-back", "--rate", "100", "--json"]);
    assert_eq!(ran.0, 0, "{ran:?}");
    let last: Value = serde_json::from_str(ran.1.lines().last().unwrap()).unwrap();
    assert_eq!(last, json!({"replayed": 200 - done, "refused": 0, "stopped": false}));
    let least = (200 - done - 1) as f64 / 100.0;
    assert!(began.elapsed().as_secs_f64() >= least, "faster than the rate: {:?}", began.elapsed());
    for id in &ids {
        stage.told_at_last(id, "completed").await;
        assert_eq!(stage.statuses(id), ["received", "accepted", "in-progress", "completed"]);
        assert_eq!((stage.times(id, "replayed").await, stage.times(id, "superseded").await), (4, 0));
    }
    assert!(stage.store.dead_letters(9).await.unwrap().is_empty());
    let none = onward(&stage, &["dead", "replay", "--all"]);
    assert_eq!((none.0, none.1.as_str()), (0, "0 replayed, 0 refused\n"));
    let nothing_meant = onward(&stage, &["dead", "replay"]);
    assert_eq!(nothing_meant.0, 2, "{nothing_meant:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_are_found_by_what_one_knows_and_put_away_with_a_reason() {
    let stage = Stage::set(Setting::default()).await;
    let refused = |status, times| Rule::new(Fault::Refuse(status), When::Next(times)).method(Method::POST).kind("");
    stage.provider.fault(refused(StatusCode::UNPROCESSABLE_ENTITY, 1));
    let first = stage.onward.refer(&one("01", "first")).await;
    stage.dead_letter(&first).await;
    stage.provider.fault(refused(StatusCode::NOT_FOUND, 1));
    let second = stage.onward.refer(&one("01", "second")).await;
    let letter = stage.dead_letter(&second).await;
    let list = |args: &[&str]| {
        let listed = json(&onward(&stage, &[&["dead", "list", "--json"], args].concat()));
        listed.as_array().unwrap().iter().map(|l| l["task"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(list(&[]), [first.clone(), second.clone()]);
    assert_eq!(list(&["--why", "http 404"]), std::slice::from_ref(&second));
    assert_eq!(list(&["--to", PROVIDER, "--lane", "delivery", "--since", "2020-01-01"]).len(), 2);
    assert!(list(&["--lane", "write-back"]).is_empty() && list(&["--to", SYSTEM]).is_empty());
    assert!(list(&["--since", "2999-01-01T00:00:00Z"]).is_empty());
    assert_eq!(onward(&stage, &["dead", "list", "--since", "yesterday"]).0, 2);

    record_shows(&stage, &second, Some("undeliverable")).await;
    let message = letter.message.to_string();
    let tick = onward(&stage, &["worklist", "done", &message, "--reason", "no"]);
    assert!(tick.0 == 1 && tick.2.contains("dead discard"), "{tick:?}");
    let bare = onward(&stage, &["dead", "discard", &message]);
    assert_eq!(bare.0, 2, "{bare:?}");
    let done = onward(&stage, &["dead", "discard", &message, "--reason", "sent by post on Monday"]);
    assert_eq!(done.0, 0, "{done:?}");
    assert_eq!(list(&[]), std::slice::from_ref(&first));
    assert_eq!(lines(&stage).await, [("undeliverable", Some(first))]);
    for command in [&["dead", "replay", &message][..], &["dead", "discard", &message, "--reason", "twice"]] {
        assert_eq!(onward(&stage, command).0, 1, "{command:?}");
    }
    let shown = onward(&stage, &["referral", "show", &second]).1;
    assert!(shown.contains("discarded") && shown.contains("sent by post on Monday"), "{shown}");
    assert_eq!(transport(&stage.in_record(&second).unwrap()), Some("undeliverable"), "the record keeps it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_shows_what_would_be_sent_and_sends_nothing() {
    let stage = Stage::set(Setting::default()).await;
    stage.provider.fault(Rule::new(Fault::Refuse(StatusCode::UNPROCESSABLE_ENTITY), When::Next(1)).kind(""));
    let referral = one("03", "preview");
    let id = stage.onward.refer(&referral).await;
    let message = stage.dead_letter(&id).await.message.to_string();
    record_shows(&stage, &id, Some("undeliverable")).await;
    stage.provider.clear_requests();
    // that the record was told is noted a moment after the record has it
    let seq = until("what the record was told is noted", || async {
        let lines = stage.store.journal(task_id(&id)).await.unwrap();
        let told = lines.iter().any(|line| matches!(line.event, onward::domain::Event::WrittenBack { .. }));
        told.then(|| lines.last().unwrap().seq)
    })
    .await;

    let shape = onward(&stage, &["dead", "preview", &message, "--json"]);
    let sent = &json(&shape)["sent"];
    assert_eq!((&sent["method"], &sent["url"]), (&"POST".into(), &stage.provider.base_url().into()));
    assert_eq!(sent["headers"]["idempotency-key"], format!("{id}-1"));
    assert!(sent["headers"].get("authorization").is_none(), "{sent}");
    let entries = sent["body"]["entry"].as_array().unwrap();
    assert!(entries.iter().any(|e| e["resourceType"] == "ServiceRequest" && e["request"]["method"].is_string()));
    for number in nhs_numbers(&referral.body) {
        assert!(!shape.1.contains(&number), "{shape:?}");
    }
    let words = onward(&stage, &["dead", "preview", &id]);
    assert!(words.0 == 0 && words.1.contains("--content") && words.1.contains("POST http"), "{words:?}");
    let content = json(&onward(&stage, &["dead", "preview", &message, "--content", "--json"]))["sent"]["body"].clone();
    assert!(stage.provider.requests().is_empty(), "nothing was sent");
    assert_eq!(stage.store.task(task_id(&id)).await.unwrap().unwrap().seq, seq);

    // it is what is sent then
    assert_eq!(onward(&stage, &["dead", "replay", &message]).0, 0);
    stage.told_at_last(&id, "received").await;
    let request = |body: &Value| {
        let entries = body["entry"].as_array().unwrap();
        let found = entries.iter().map(|e| &e["resource"]).find(|r| r["resourceType"] == "ServiceRequest");
        found.unwrap()["note"].clone()
    };
    let arrived = stage.provider.resources("ServiceRequest").into_iter().next().unwrap();
    assert_eq!(request(&content), arrived["note"]);

    // the other way: a status that the record refuses
    refuse_all(&stage);
    stage.answer(&id, "accepted", json!({})).await;
    let message = stage.dead_letter(&id).await.message.to_string();
    let sent = json(&onward(&stage, &["dead", "preview", &message, "--json"]))["sent"].clone();
    assert_eq!((&sent["method"], &sent["body"]["status"]), (&"PUT".into(), &"accepted".into()));
    assert!(sent["url"].as_str().unwrap().starts_with(stage.record.base_url()), "{sent}");
}

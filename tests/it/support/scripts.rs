//! Providers at work: what becomes of each referral, and how each kind of provider says so.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use onward::demo::double::Double;
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    onward::{Onward, our_id, with},
    server::Server,
};

/// How often a list is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// How long a provider waits before it tries again what Onward did not take.
const PAUSE: Duration = Duration::from_millis(100);

/// What the record must have been told of each Task, in order, by our id.
#[derive(Clone, Default)]
pub struct Fates(Arc<Mutex<BTreeMap<String, Vec<&'static str>>>>);

/// What a provider does with the n-th referral.
const SCRIPTS: [&[&str]; 5] = [
    &["accepted", "in-progress", "completed"],
    &["rejected"],
    &["accepted", "on-hold", "in-progress", "completed"],
    &["accepted", "failed"],
    &["accepted", "in-progress"],
];

impl Fates {
    /// The script for a Task that is seen for the first time; none for one that was.
    fn decide(&self, id: &str, first: &'static str) -> Option<&'static [&'static str]> {
        let mut fates = self.0.lock().unwrap();
        if fates.contains_key(id) {
            return None;
        }
        let script = SCRIPTS[fates.len() % SCRIPTS.len()];
        fates.insert(id.to_owned(), [&[first], script].concat());
        Some(script)
    }

    /// All of them.
    pub fn all(&self) -> BTreeMap<String, Vec<&'static str>> {
        self.0.lock().unwrap().clone()
    }
}

/// Answers until Onward has taken it: whatever is not an answer of 2xx may have been taken all the same.
async fn answer_at_last(onward: &Onward, provider: &str, id: &str, status: &str) {
    loop {
        match onward.answer(provider, id, status, &json!({})).await {
            Ok(answer) if answer.status.is_success() => return,
            Ok(answer) if answer.status.is_client_error() && !matches!(answer.status.as_u16(), 412 | 429) => {
                panic!("{status} for {id}: {}", answer.describe())
            }
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// A provider whose server tells it of each Task that comes, and that writes to Onward's.
pub async fn pushed(onward: Onward, provider: &'static str, server: Arc<Double>, fates: Fates) {
    let (told, mut arrivals) = mpsc::unbounded_channel();
    server.on_change(move |change| {
        if change.kind == "Task" {
            let _ = told.send(our_id(&change.stored.resource).unwrap());
        }
    });
    let mut playing = JoinSet::new();
    while let Some(id) = arrivals.recv().await {
        let Some(script) = fates.decide(&id, "received") else { continue };
        let onward = onward.clone();
        playing.spawn(async move {
            for status in script {
                answer_at_last(&onward, provider, &id, status).await;
            }
        });
    }
}

/// A provider that works from Onward's worklist, on several at a time.
pub async fn worklist(onward: Onward, provider: &'static str, fates: Fates) {
    let mut playing = JoinSet::new();
    loop {
        let path = format!("Task?owner=Organization/{provider}&status=requested&_count=100");
        let list = onward.get(provider, &path).await.map(|a| a.json()).unwrap_or_default();
        let entries = list["entry"].as_array().cloned().unwrap_or_default();
        for id in entries.iter().filter_map(|e| our_id(&e["resource"])) {
            let Some(script) = fates.decide(&id, "requested") else { continue };
            let onward = onward.clone();
            playing.spawn(async move {
                for status in script {
                    answer_at_last(&onward, provider, &id, status).await;
                }
            });
        }
        while let Some(played) = playing.try_join_next() {
            played.unwrap();
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A provider that knows nothing of Onward: its staff change the Tasks on its own server.
pub async fn polled(server: Server, fates: Fates) {
    loop {
        for task in server.all("Task").await {
            let Some(script) = our_id(&task).and_then(|id| fates.decide(&id, "received")) else { continue };
            for status in script {
                change(&server, &task, status).await;
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn change(server: &Server, task: &Value, status: &str) {
    let mut task = with(task, status, &json!({}));
    task["meta"] = json!({});
    assert!(server.put(&task).await, "{task}");
}

//! Nothing ends silently: what did not arrive, was not opened or not answered, and what waits for a person, is told to the
//! record, the IT worklist and the alert hook, and goes away when it is over.

mod dead;
mod deadlines;
mod hook;
mod unconfigured;

use std::process::{Command, Stdio};

use onward::{alerts::worklist, store::Store};
use serde_json::Value;

use crate::support::{
    referrals::one,
    stage::{Setting, Stage, alerts as alerted, task_id},
    until,
};

/// Tables that follow `[retry]`, whatever the test needs.
fn tables(text: &str) -> &'static str {
    let text = format!("first = \"100ms\"\ncap = \"200ms\"\ndelayed-after = \"1h\"\n{text}");
    Box::leak(text.into_boxed_str())
}

/// Our code beside the provider's own business status.
fn transport(task: &Value) -> Option<&str> {
    let codings = task["businessStatus"]["coding"].as_array()?;
    codings.iter().find(|c| c["system"] == onward::fhir::task::TRANSPORT_SYSTEM)?["code"].as_str()
}

/// Waits until the record's Task bears this transport status, or none.
async fn record_shows(stage: &Stage, id: &str, wanted: Option<&str>) -> Value {
    until(&format!("the record shows {wanted:?}"), || async {
        stage.in_record(id).filter(|task| transport(task) == wanted).map(|task| (*task).clone())
    })
    .await
}

/// The worklist's lines as kind and Task.
async fn lines(stage: &Stage) -> Vec<(&'static str, Option<String>)> {
    let registry = stage.plan.config().registry;
    let lines = worklist::lines(&*stage.store, &registry, 100).await.unwrap();
    lines.into_iter().map(|line| (line.kind, line.task.map(|task| task.to_string()))).collect()
}

/// The binary beside the running service: exit code, standard output, standard error.
fn onward(stage: &Stage, args: &[&str]) -> (i32, String, String) {
    let file = stage.plan.write();
    let ran = Command::new(env!("CARGO_BIN_EXE_onward"))
        .args(args)
        .arg("--config")
        .arg(&file)
        .envs(stage.plan.env())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (ran.status.code().unwrap(), text(ran.stdout), text(ran.stderr))
}

fn json(ran: &(i32, String, String)) -> Value {
    assert_eq!(ran.0, 0, "{ran:?}");
    serde_json::from_str(&ran.1).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

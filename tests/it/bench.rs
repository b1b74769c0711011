//! `onward bench` stays working: a few seconds of it, on the embedded store and broker, over RabbitMQ, and over PostgreSQL. What it measures here
//! says nothing; that it counts, checks and tells does.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{rabbitmq, skipped};

/// Runs it; its one object.
fn measured(arguments: &[&str], env: &[(&str, &str)]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onward"));
    command.args(["bench", "--json", "--warm-up", "0.5", "--duration", "2", "--limits", "0.3"]).args(arguments);
    command.envs(env.iter().copied()).stdin(Stdio::null());
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{words}");
    let last = told.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {told}\n{words}"))
}

fn assert_whole(outcome: &Value, broker: &str) {
    let number =
        |path: &str| outcome.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path}: {outcome}"));
    assert_eq!(outcome["broker"], broker);
    assert!(number("/loops_per_second") > 0.0 && number("/accepts_per_second") > 0.0, "{outcome}");
    // submit, three leases, the delivery, the answer and two write-backs, whatever else is grouped with them
    assert!(number("/commits_per_loop") >= 8.0, "{outcome}");
    assert!((3.0..3.5).contains(&number("/messages_per_loop")), "{outcome}");
    // the referral and the answer; one transaction, two reads of the record, two statuses
    assert_eq!(number("/cost_per_loop/requests_in").round(), 2.0, "{outcome}");
    assert!(number("/cost_per_loop/requests_out") >= 5.0, "{outcome}");
    assert!(number("/limit_commits_per_second") > 0.0 && number("/limit_messages_per_second") > 0.0, "{outcome}");
    assert!(number("/ratio_to_limit") > 0.0, "{outcome}");
    for step in ["accept", "delivered", "answer", "written_back", "whole"] {
        assert!(number(&format!("/latency_ms/{step}/count")) > 0.0, "{step}: {outcome}");
    }
    assert!(number("/memory/peak_bytes") >= number("/memory/idle_bytes"), "{outcome}");
    for wrong in ["lost", "doubled", "reordered", "misplaced", "unanswered", "strange", "dead"] {
        assert_eq!(number(&format!("/checked/{wrong}")), 0.0, "{wrong}: {outcome}");
    }
    assert_eq!(number("/backlog/left"), 0.0, "{outcome}");
}

#[test]
fn loops_and_lives_are_measured_on_the_embedded_store_and_broker() {
    let outcome = measured(&["--concurrency", "4"], &[]);
    assert_whole(&outcome, "embedded");
    assert!(outcome["life_cycle"]["life_cycles_per_second"].as_f64() > Some(0.0), "{outcome}");
    assert_eq!(outcome["store"], "sqlite");
}

#[test]
fn loops_are_measured_over_postgresql_and_rabbitmq() {
    let test = "bench::loops_are_measured_over_postgresql_and_rabbitmq";
    let Some(node) = rabbitmq::shared(test) else { return };
    let Ok(server) = std::env::var("ONWARD_TEST_POSTGRES_URL") else {
        return skipped(test, "no PostgreSQL (ONWARD_TEST_POSTGRES_URL)");
    };
    let vhost = node.vhost();
    let schema = format!("bench_{}", std::process::id());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(&server, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(&format!("CREATE SCHEMA {schema}")).await.unwrap();
    });
    let store = format!("{server}?options=-c%20search_path%3D{schema}");
    let env = [("ONWARD__STORE__URL", &*store), ("ONWARD__BROKER__URL", &*vhost.url)];
    let outcome = measured(&["--concurrency", "4", "--no-life"], &env);
    assert_whole(&outcome, "rabbitmq");
    assert_eq!(outcome["store"], "postgres");
}

#[test]
fn a_fixed_rate_is_kept_over_rabbitmq() {
    let Some(node) = rabbitmq::shared("bench::a_fixed_rate_is_kept_over_rabbitmq") else { return };
    let vhost = node.vhost();
    let outcome = measured(&["--rate", "10", "--no-life"], &[("ONWARD__BROKER__URL", &vhost.url)]);
    assert_whole(&outcome, "rabbitmq");
    let accepts = outcome["accepts_per_second"].as_f64().unwrap();
    assert!((8.0..12.0).contains(&accepts), "{outcome}");
}

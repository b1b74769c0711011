//! Logs and figures.
//!
//! What never goes into either: names, NHS numbers, addresses, free text, bodies, tokens, URLs with queries. A log line carries
//! ids, codes, counts and times. Field names are dotted and stable (`task.id`, `inbox.id`, `system.id`, `message.seq`).
//! What is logged while a request is worked on stands in a span `request`, with the ids that its client knows it by (`request.id`,
//! `correlation.id`; `http/around.rs`): a word each, of the client's choosing, and never one with an NHS number in it.

use std::{io::IsTerminal as _, sync::OnceLock, time::Duration};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Log, LogFormat};

/// Seconds; from the fastest read to the slowest request that is let run.
const LATENCY_BUCKETS_S: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Seconds; from the fastest delivery to one that waited a day for its provider.
const LANE_BUCKETS_S: &[f64] =
    &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1_800.0, 7_200.0, 28_800.0, 86_400.0];

/// So much is measured meanwhile as a process can well hold.
const KEEP_UP_EVERY: Duration = Duration::from_secs(5);

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Sends the logs to standard error from now on. A second call changes nothing.
pub fn init_logs(log: &Log) {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::level_filters::LevelFilter::WARN.into())
        // lapin would write a returned message with its body
        .parse_lossy(format!("warn,lapin=error,lapin::returned_messages=off,onward={}", log.level.as_str()));
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // it fails only where another subscriber is set already
    let _ = match log.format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Text => lines.with_target(false).with_ansi(wants_colour()).try_init(),
    };
}

/// Colour is for a person at a terminal who has not asked to be spared it (no-color.org).
fn wants_colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Collects figures from now on; one collection for the whole process.
pub fn metrics() -> PrometheusHandle {
    METRICS
        .get_or_init(|| {
            let timed = [
                ("onward_request_seconds", LATENCY_BUCKETS_S),
                ("onward_intake_seconds", LATENCY_BUCKETS_S),
                ("onward_lane_seconds", LANE_BUCKETS_S),
            ];
            let builder = timed.into_iter().try_fold(PrometheusBuilder::new(), |builder, (name, buckets)| {
                builder.set_buckets_for_metric(Matcher::Full(name.into()), buckets)
            });
            let builder = builder.unwrap_or_else(|_| PrometheusBuilder::new());
            let recorder = builder.build_recorder();
            let handle = recorder.handle();
            // it fails only where another recorder is set already; then that one has the figures
            let _ = metrics::set_global_recorder(recorder);
            handle
        })
        .clone()
}

/// Sorts what was measured since the last time into its buckets; never returns. Without it every measurement is kept until somebody reads
/// the figures, and where nobody does the process grows.
pub async fn keep_up(figures: PrometheusHandle) {
    loop {
        tokio::time::sleep(KEEP_UP_EVERY).await;
        figures.run_upkeep();
    }
}

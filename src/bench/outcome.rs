//! What a measurement ends with: one object, and the same for people.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;

use super::{
    figures::Cost,
    latency::{Latencies, Percentiles},
    peer::book::Wrongs,
    scenario::{Drained, Outage},
};

/// See the module's documentation. The names of the first fields are those that others read; they stay.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Outcome {
    /// Loops closed a second, in the time measured.
    pub loops_per_second: f64,
    /// Referrals acknowledged a second.
    pub accepts_per_second: f64,
    /// Durable store writes of one loop.
    pub commits_per_loop: f64,
    /// Messages of one loop, each published, confirmed, consumed and acknowledged.
    pub messages_per_loop: f64,
    /// Rows of the same bytes that the same store takes without us in grouped commits.
    pub limit_commits_per_second: Option<f64>,
    /// Messages of the same size that the same broker takes and gives without us.
    pub limit_messages_per_second: Option<f64>,
    /// How long one such row takes to be committed alone, in milliseconds.
    pub limit_commit_ms: Option<Percentiles>,
    /// How long one such message takes to be confirmed alone, in milliseconds.
    pub limit_message_ms: Option<Percentiles>,
    /// Loops a second over the smaller of the limits divided by what a loop needs.
    pub ratio_to_limit: Option<f64>,
    /// Percentiles in milliseconds.
    pub latency_ms: Latencies,
    /// Memory of the service.
    pub memory: Memory,
    /// Reads of a Task meanwhile, in milliseconds.
    pub read_ms: Option<Percentiles>,
    /// Searches meanwhile, each by its name, in milliseconds.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub search_ms: BTreeMap<String, Percentiles>,
    /// What came of an outage of the providers.
    pub outage: Option<Outage>,
    /// What came of a backlog of one of them.
    pub drained: Option<Drained>,
    /// `accept`, `deliver`, `loop` or `life`.
    pub mode: String,
    /// `sqlite` or `postgres`.
    pub store: String,
    /// `embedded` or `rabbitmq`.
    pub broker: String,
    /// Requests a second, where the rate was fixed.
    pub rate: Option<f64>,
    /// Loops at a time, where that was fixed.
    pub concurrency: Option<usize>,
    /// The time measured.
    pub seconds: f64,
    /// Referrals delivered a second.
    pub delivered_per_second: f64,
    /// Everything one loop took.
    pub cost_per_loop: Cost,
    /// CPU time of each process by loop, in microseconds; those that could be told apart.
    pub cpu_us_per_loop: BTreeMap<String, f64>,
    /// The full life cycle beside the loop.
    pub life_cycle: Option<Life>,
    /// From the start of the process to being ready, where we started it.
    pub start_to_ready_ms: Option<f64>,
    /// What was under way.
    pub backlog: Backlog,
    /// What went wrong; all 0 or the run has failed.
    pub checked: Checked,
}

/// A whole life: received, accepted, in-progress, completed.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Life {
    /// Life cycles a second.
    pub life_cycles_per_second: f64,
    /// What each took.
    pub cost: Cost,
    /// Percentiles in milliseconds.
    pub latency_ms: Latencies,
}

/// Resident memory of the service in bytes, all of its replicas together.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Memory {
    /// Before the load.
    pub idle_bytes: Option<u64>,
    /// At the end of the load.
    pub end_bytes: Option<u64>,
    /// The most it ever was.
    pub peak_bytes: Option<u64>,
    /// At equal distances over the time measured.
    pub samples_bytes: Vec<u64>,
}

/// Whether something queued up.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Backlog {
    /// Acknowledged and not closed when measuring began.
    pub at_start: u64,
    /// The same when it ended.
    pub at_end: u64,
    /// Messages that the store still held when all was done.
    pub left: u64,
    /// Whether what came in went out as fast.
    pub sustained: bool,
    /// Requests that were told to come again later.
    pub turned_away: u64,
}

/// What was held against what the receivers saw, over the whole run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Checked {
    /// Referrals that were acknowledged.
    pub acknowledged: u64,
    /// Those that did not come as far as they were to.
    pub lost: u64,
    /// Dead letters that came up.
    pub dead: u64,
    /// What the receivers complain of.
    #[serde(flatten)]
    pub wrongs: Wrongs,
    /// Why a referral was refused for good, if one was.
    pub refused: Option<String>,
}

// === impl Checked ===

impl Checked {
    /// Whether nothing was lost, doubled, reordered or misplaced.
    pub fn is_good(&self) -> bool {
        self.lost == 0 && self.dead == 0 && self.wrongs == Wrongs::default() && self.refused.is_none()
    }
}

// === impl Outcome ===

impl Outcome {
    /// Puts the limits in, and what the loops a second are of them.
    pub fn held_against(&mut self, commits: Option<f64>, messages: Option<f64>) {
        let needed = |limit: Option<f64>, each: f64| limit.filter(|_| each > 0.0).map(|limit| limit / each);
        let by_commits = needed(commits, self.commits_per_loop);
        let by_messages = needed(messages, self.messages_per_loop);
        let smaller = match (by_commits, by_messages) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        };
        let loops = if self.mode == "accept" { self.accepts_per_second } else { self.loops_per_second };
        self.limit_commits_per_second = commits.map(f64::round);
        self.limit_messages_per_second = messages.map(f64::round);
        self.ratio_to_limit = smaller.filter(|most| *most > 0.0).map(|most| super::figures::round(loops / most, 3));
    }

    /// The same for people.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, told: String| {
            let _ = writeln!(text, "  {name:<34}{told}");
        };
        let pace = match (self.rate, self.concurrency) {
            (Some(rate), _) => format!("{rate}/s fixed"),
            (_, Some(count)) => format!("{count} at a time"),
            _ => String::new(),
        };
        line(
            "measured",
            format!("{} over {} and {}, {pace}, {:.1} s", self.mode, self.store, self.broker, self.seconds),
        );
        line("loops a second", format!("{:.0}", self.loops_per_second));
        line(
            "accepted, delivered a second",
            format!("{:.0}, {:.0}", self.accepts_per_second, self.delivered_per_second),
        );
        let cost = &self.cost_per_loop;
        line("one loop: commits", format!("{} ({})", cost.commits, listed(&cost.commits_by_kind)));
        line("  in transactions, beside reads", format!("{}, {}", cost.transactions, cost.reads));
        line("  messages", format!("{}", cost.messages));
        let out = format!("{} ({})", cost.requests_out, listed(&cost.requests_out_by_method));
        line("  requests in, out", format!("{}, {out}", cost.requests_in));
        line("  CPU in µs", listed(&self.cpu_us_per_loop));
        if let (Some(commits), Some(messages)) = (self.limit_commits_per_second, self.limit_messages_per_second) {
            line("without us: rows, messages a second", format!("{commits:.0}, {messages:.0}"));
        }
        for (name, alone) in [("commit", self.limit_commit_ms), ("message", self.limit_message_ms)] {
            if let Some(alone) = alone {
                line(&format!("  one {name} alone, ms"), told(alone));
            }
        }
        if let Some(ratio) = self.ratio_to_limit {
            line("loops over that limit", format!("{ratio:.3}"));
        }
        steps(&mut line, &self.latency_ms);
        if let Some(life) = &self.life_cycle {
            line("full life cycles a second", format!("{:.0}", life.life_cycles_per_second));
            line("  commits, messages", format!("{}, {}", life.cost.commits, life.cost.messages));
            line("  requests in, out", format!("{}, {}", life.cost.requests_in, life.cost.requests_out));
            line("  whole life, ms", format!("p50 {} p99 {}", life.latency_ms.whole.p50, life.latency_ms.whole.p99));
        }
        if let Some(step) = self.read_ms {
            line("read of a Task, ms", told(step));
        }
        for (name, step) in &self.search_ms {
            line(&format!("search by {name}, ms"), told(*step));
        }
        if let Some(outage) = &self.outage {
            let Outage { seconds, waiting_at_return, delivered_after_seconds } = outage;
            line(
                "providers away",
                format!(
                    "{seconds} s; {waiting_at_return} waited, delivered {delivered_after_seconds} s after their return"
                ),
            );
        }
        if let Some(drained) = &self.drained {
            let Drained { count, seconds, per_second, others_before_ms, others_meanwhile_ms } = drained;
            line("backlog of one provider", format!("{count} drained in {seconds} s, {per_second} a second"));
            line("  others' loops before", told(others_before_ms.whole));
            line("  and meanwhile", told(others_meanwhile_ms.whole));
        }
        let mb = |bytes: Option<u64>| bytes.map_or("-".to_owned(), |b| format!("{:.1}", b as f64 / 1e6));
        let Memory { idle_bytes, end_bytes, peak_bytes, .. } = self.memory.clone();
        line("memory in MB: idle, end, peak", format!("{}, {}, {}", mb(idle_bytes), mb(end_bytes), mb(peak_bytes)));
        if let Some(ms) = self.start_to_ready_ms {
            line("start to ready", format!("{ms:.0} ms"));
        }
        let Backlog { at_start, at_end, left, sustained, turned_away } = self.backlog;
        let queueing = if sustained { "nothing queues up" } else { "IT QUEUES UP" };
        line("under way at start, end; left", format!("{at_start}, {at_end}; {left} ({queueing})"));
        if turned_away > 0 {
            line("told to come again later", turned_away.to_string());
        }
        let Checked { acknowledged, lost, dead, wrongs, refused } = &self.checked;
        line(
            "checked",
            format!(
                "{acknowledged} acknowledged; lost {lost}, doubled {}, out of order {}, at the wrong one {}, dead {dead}, \
            not answered {}, strange {}",
                wrongs.doubled, wrongs.reordered, wrongs.misplaced, wrongs.unanswered, wrongs.strange
            ),
        );
        if let Some(why) = refused {
            line("refused", why.clone());
        }
        text
    }
}

fn steps(line: &mut impl FnMut(&str, String), latencies: &Latencies) {
    for (name, step) in [
        ("accept, ms", latencies.accept),
        ("accepted to delivered", latencies.delivered),
        ("answer, ms", latencies.answer),
        ("answered to written back", latencies.written_back),
        ("whole loop, ms", latencies.whole),
    ] {
        if step.count > 0 {
            line(name, told(step));
        }
    }
}

fn told(step: Percentiles) -> String {
    format!("p50 {} p90 {} p99 {} p99.9 {} max {}", step.p50, step.p90, step.p99, step.p999, step.max)
}

fn listed(of: &BTreeMap<String, f64>) -> String {
    of.iter().map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_to_the_smaller_limit_divided_by_what_a_loop_needs() {
        let mut outcome = Outcome {
            loops_per_second: 500.0,
            commits_per_loop: 10.0,
            messages_per_loop: 3.0,
            mode: "loop".into(),
            ..Outcome::default()
        };
        outcome.held_against(Some(20_000.0), Some(15_000.0));
        assert_eq!(outcome.ratio_to_limit, Some(0.25));
        outcome.held_against(Some(20_000.0), Some(3_000.0));
        assert_eq!(outcome.ratio_to_limit, Some(0.5));
        outcome.held_against(None, None);
        assert_eq!(outcome.ratio_to_limit, None);
    }

    #[test]
    fn the_keys_that_others_read_are_there() {
        let json = serde_json::to_value(Outcome::default()).unwrap();
        for key in [
            "loops_per_second",
            "accepts_per_second",
            "commits_per_loop",
            "messages_per_loop",
            "limit_commits_per_second",
            "limit_messages_per_second",
            "ratio_to_limit",
            "latency_ms",
            "memory",
        ] {
            assert!(json.get(key).is_some(), "{key}");
        }
        assert!(Outcome::default().checked.is_good());
        let lost = Checked { lost: 1, ..Checked::default() };
        assert!(!lost.is_good());
    }
}

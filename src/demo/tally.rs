//! What the demonstration ends with: counted from what lies in the records and at the providers, not from Onward.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::Value;

use super::{
    cast::{placer, task_id},
    double::Double,
    ledger::{Books, Case, Sent},
    stage::{PROVIDERS, SYSTEMS, Stage},
};
use crate::domain::TaskStatus;

/// What the demonstration ends with.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Referrals that Onward acknowledged.
    pub sent: usize,
    /// Those that arrived where they should.
    pub delivered: usize,
    /// Those the provider accepted.
    pub accepted: usize,
    /// Those it completed.
    pub completed: usize,
    /// Those it refused.
    pub refused: usize,
    /// Those cancelled by their referrer, which the provider confirmed.
    pub cancelled: usize,
    /// Those about which the provider asked for more and was answered.
    pub answered: usize,
    /// Those whose originating record shows how they ended.
    pub written_back: usize,
    /// Those that did not arrive, or whose record does not show everything in its order.
    pub lost: usize,
    /// Tasks and ServiceRequests that lie somewhere more than once.
    pub duplicates: usize,
    /// From the first request to the last loop closed.
    pub seconds: f64,
    /// How long it took.
    pub latency_ms: Latencies,
    /// What went wrong on the simulated side, in words; a referral that Onward did not accept is among them.
    #[serde(skip)]
    pub troubles: Vec<String>,
}

/// Latencies in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Latencies {
    /// From a request to its acknowledgement.
    pub accept: Percentiles,
    /// From there to the provider having it or seeing it in its worklist.
    pub delivered: Percentiles,
    /// From a provider's answer to the record showing it.
    pub written_back: Percentiles,
}

/// Half, nine tenths and ninety-nine hundredths are no slower than this.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// Nine tenths.
    pub p90: f64,
    /// Ninety-nine hundredths.
    pub p99: f64,
}

// === impl Percentiles ===

impl Percentiles {
    fn of(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        // nearest rank
        let at = |percent: usize| {
            let rank = (durations.len() * percent).div_ceil(100).max(1);
            let ms = durations.get(rank - 1).map_or(0.0, Duration::as_secs_f64) * 1000.0;
            (ms * 10.0).round() / 10.0
        };
        Self { p50: at(50), p90: at(90), p99: at(99) }
    }
}

// === impl Summary ===

impl Summary {
    /// Counts.
    pub fn of(books: &Books, stage: &Stage, took: Duration) -> Self {
        let records: BTreeMap<&str, HashMap<String, Value>> =
            SYSTEMS.iter().filter_map(|system| Some((system.id, statuses(stage.server(system.id)?)))).collect();
        let mut by_identifier: HashMap<&str, Vec<(&String, &Case)>> = HashMap::new();
        for (task, case) in &books.cases {
            by_identifier.entry(case.identifier.as_deref().unwrap_or_default()).or_default().push((task, case));
        }
        let mut summary = Self {
            sent: books.sent.len(),
            seconds: (took.as_secs_f64() * 100.0).round() / 100.0,
            troubles: books.troubles.clone(),
            ..Self::default()
        };
        let (mut delivered, mut written) = (Vec::new(), Vec::new());
        for (identifier, sent) in &books.sent {
            let cases = by_identifier.get(identifier.as_str()).map(Vec::as_slice).unwrap_or_default();
            summary.duplicates += cases.len().saturating_sub(1);
            let Some((task, case)) = cases.first() else {
                summary.lost += 1;
                continue;
            };
            let record = records.get(sent.system.as_str()).and_then(|record| record.get(*task));
            summary.add(case, sent, record);
            delivered.extend(case.acknowledged.zip(case.delivered.as_ref()).map(|(from, (_, to))| since(*to, from)));
            written.extend(case.written().into_iter().filter_map(|(from, to)| Some(since(to?, from))));
        }
        let servers = stage.servers();
        summary.duplicates += servers
            .map(|server| doubled(server, "Task", task_id) + doubled(server, "ServiceRequest", placer))
            .sum::<usize>();
        summary.latency_ms = Latencies {
            accept: Percentiles::of(books.round_trips.clone()),
            delivered: Percentiles::of(delivered),
            written_back: Percentiles::of(written),
        };
        summary
    }

    fn add(&mut self, case: &Case, sent: &Sent, record: Option<&Value>) {
        let arrived = case.delivered.as_ref().is_some_and(|(inbox, _)| *inbox == sent.inbox);
        let last = case.answers.last().map(|(status, _)| status.code());
        let shows_end = case.finished && last.is_some() && record.and_then(Value::as_str) == last;
        let in_order = case.written().iter().all(|(_, shown)| shown.is_some());
        self.delivered += usize::from(arrived);
        self.accepted += usize::from(case.was(TaskStatus::Accepted));
        self.completed += usize::from(case.was(TaskStatus::Completed));
        self.refused += usize::from(case.was(TaskStatus::Rejected));
        self.cancelled += usize::from(case.was(TaskStatus::Cancelled));
        self.answered += usize::from(case.answered);
        self.written_back += usize::from(shows_end);
        self.lost += usize::from(!(arrived && shows_end && in_order && case.is_closed()));
    }

    /// Whether every referral was accepted, nothing was lost, and nothing is there twice.
    pub fn is_good(&self) -> bool {
        self.lost == 0 && self.duplicates == 0 && self.troubles.is_empty()
    }

    /// As a table for people.
    pub fn table(&self) -> String {
        let mut text = String::from("\n");
        let counted = [
            ("sent", self.sent),
            ("delivered", self.delivered),
            ("accepted", self.accepted),
            ("completed", self.completed),
            ("refused", self.refused),
            ("cancelled", self.cancelled),
            ("asked for more", self.answered),
            ("written back", self.written_back),
            ("lost", self.lost),
            ("duplicates", self.duplicates),
        ];
        for (name, count) in counted {
            text.push_str(&format!("  {name:<14}{count:>9}\n"));
        }
        text.push_str(&format!("  {:<14}{:>9.2}\n\n", "seconds", self.seconds));
        text.push_str(&format!("  {:<14}{:>9}{:>9}{:>9}   from … to\n", "milliseconds", "p50", "p90", "p99"));
        let latency = self.latency_ms;
        for (name, Percentiles { p50, p90, p99 }, what) in [
            ("accept", latency.accept, "request … acknowledged"),
            ("delivered", latency.delivered, "acknowledged … provider has it or sees it"),
            ("written back", latency.written_back, "provider answers … record shows it"),
        ] {
            text.push_str(&format!("  {name:<14}{p50:>9.1}{p90:>9.1}{p99:>9.1}   {what}\n"));
        }
        text
    }
}

/// The statuses of the Tasks in a record, by our id.
fn statuses(record: &Double) -> HashMap<String, Value> {
    let tasks = record.resources("Task");
    tasks.iter().filter_map(|task| Some((task_id(task)?, task.get("status")?.clone()))).collect()
}

/// How many resources of a type there are beyond one for each key.
fn doubled(server: &Double, kind: &str, key: impl Fn(&Value) -> Option<String>) -> usize {
    let keys: Vec<String> = server.resources(kind).iter().filter_map(|resource| key(resource)).collect();
    keys.len() - keys.iter().collect::<BTreeSet<_>>().len()
}

/// A provider may have a referral before its sender has read the acknowledgement.
fn since(to: Instant, from: Instant) -> Duration {
    to.saturating_duration_since(from)
}

/// The inboxes that take part, by how referrals get out of them.
pub fn cast_line() -> String {
    let systems: Vec<&str> = SYSTEMS.iter().map(|s| s.name).collect();
    let providers: Vec<&str> = PROVIDERS.iter().filter(|p| p.is_played()).map(|p| p.name).collect();
    format!("{} → Onward → {}", systems.join(", "), providers.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let of = |ms: &[u64]| Percentiles::of(ms.iter().map(|ms| Duration::from_millis(*ms)).collect());
        assert_eq!(of(&[]), Percentiles::default());
        assert_eq!(of(&[7]), Percentiles { p50: 7.0, p90: 7.0, p99: 7.0 });
        let hundred: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(of(&hundred), Percentiles { p50: 50.0, p90: 90.0, p99: 99.0 });
    }

    #[test]
    fn the_json_has_the_names_that_others_rely_on() {
        let json = serde_json::to_value(Summary::default()).unwrap();
        let keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let counted =
            ["sent", "delivered", "accepted", "completed", "refused", "cancelled", "answered", "written_back"];
        let counted = [&counted[..], &["lost", "duplicates"]].concat();
        assert_eq!(keys, [&counted[..], &["seconds", "latency_ms"]].concat());
        assert!(json["latency_ms"]["written_back"]["p99"].is_number());
    }

    #[test]
    fn a_loop_counts_as_closed_only_in_the_right_inbox_state_and_order() {
        use TaskStatus::{Accepted, Completed, Received};
        let now = Instant::now();
        let at = |statuses: &[TaskStatus]| statuses.iter().map(|s| (*s, now)).collect::<Vec<_>>();
        let sent = Sent { system: "s".into(), inbox: "i".into() };
        let case = |inbox: &str, record: &[TaskStatus]| Case {
            acknowledged: Some(now),
            delivered: Some((inbox.to_owned(), now)),
            answers: at(&[Accepted, Completed]),
            finished: true,
            record: at(record),
            ..Case::default()
        };
        let lost = |case: Case, shown: &str| {
            let mut summary = Summary::default();
            summary.add(&case, &sent, Some(&shown.into()));
            summary.lost
        };
        assert_eq!(lost(case("i", &[Received, Accepted, Completed]), "completed"), 0);
        assert_eq!(lost(case("other", &[Received, Accepted, Completed]), "completed"), 1);
        assert_eq!(lost(case("i", &[Received, Completed]), "completed"), 1);
        assert_eq!(lost(case("i", &[Completed, Accepted]), "accepted"), 1);
        assert_eq!(lost(case("i", &[Received, Accepted, Completed]), "accepted"), 1);
    }
}

//! How much came and went in the last hour, as this process measures it, kept in memory.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;

use super::latency::{self, Certificate, Timed, Took};
use crate::store::Store;

/// It is looked so often.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// So many looks are kept: an hour's.
const SAMPLES_MAX: usize = 361;
/// So many minutes are shown.
const MINUTES_MAX: usize = 60;

/// What was counted at one look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    /// When.
    pub at: Timestamp,
    /// Since the process began.
    pub counted: Counted,
    /// Messages that wait then; none where the store did not say.
    pub waiting: Option<u64>,
}

/// What came and went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counted {
    /// Referrals that were stored.
    pub referrals: u64,
    /// Messages that arrived at providers.
    pub delivered: u64,
    /// Messages that arrived in originating records.
    pub written_back: u64,
    /// Requests that brought referrals, and were refused for what they brought.
    pub refused: u64,
    /// Referrals that had been stored before.
    pub known: u64,
    /// Requests with a token, an assertion or a certificate by which nobody is known.
    pub unknown: u64,
    /// Access tokens that clients were given.
    pub given: u64,
}

/// One minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Minute {
    /// What came and went in it.
    pub counted: Counted,
    /// Messages that waited at its end.
    pub waiting: u64,
}

/// The last minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lately {
    /// Where the first begins.
    pub since: Timestamp,
    /// The oldest first.
    pub minutes: Vec<Minute>,
}

/// The looks of the last hour.
#[derive(Default)]
pub(super) struct Figures {
    samples: Mutex<VecDeque<Sample>>,
    /// How long things had taken at the same looks.
    timed: Mutex<VecDeque<Timed>>,
    /// The certificates that were shown at the last of them.
    certificates: Mutex<Vec<Certificate>>,
}

// === impl Figures ===

impl Figures {
    fn samples(&self) -> MutexGuard<'_, VecDeque<Sample>> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks until `stop`.
    pub(super) async fn keep(&self, store: Arc<dyn Store>, handle: PrometheusHandle, stop: CancellationToken) {
        loop {
            let waiting = store.backlog().await.ok().map(|all| all.iter().map(|one| one.waiting).sum());
            let figures = handle.render();
            self.note(Sample { at: store.now(), counted: read(&figures), waiting });
            self.note_timed(latency::timed(&figures));
            *self.certificates.lock().unwrap_or_else(PoisonError::into_inner) = latency::certificates(&figures);
            if stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
                return;
            }
        }
    }

    /// Keeps one look, and forgets the oldest where there are too many.
    pub(super) fn note(&self, sample: Sample) {
        let mut samples = self.samples();
        samples.push_back(sample);
        while samples.len() > SAMPLES_MAX {
            samples.pop_front();
        }
    }

    /// The same of how long things took.
    fn note_timed(&self, timed: Timed) {
        let mut all = self.timed.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_back(timed);
        while all.len() > SAMPLES_MAX {
            all.pop_front();
        }
    }

    /// How long things took in the last hour; empty before there is anything to compare.
    pub(super) fn took(&self) -> Vec<Took> {
        let all = self.timed.lock().unwrap_or_else(PoisonError::into_inner);
        match (all.front(), all.back()) {
            (Some(first), Some(last)) if all.len() > 1 => latency::took(first, last),
            _ => Vec::new(),
        }
    }

    /// Every certificate that is shown.
    pub(super) fn certificates(&self) -> Vec<Certificate> {
        self.certificates.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last minutes; none before there is anything to compare.
    pub(super) fn lately(&self, now: Timestamp) -> Option<Lately> {
        let samples: Vec<Sample> = self.samples().iter().copied().collect();
        lately(&samples, now)
    }
}

/// What the process has counted, from its figures as they are told (Prometheus text format).
fn read(text: &str) -> Counted {
    let sum = |name: &str, labels: &[&str]| {
        let is_it = |line: &&str| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ']) && labels.iter().all(|l| rest.contains(l)))
        };
        let value = |line: &str| line.rsplit_once(' ').and_then(|(_, value)| value.parse::<u64>().ok());
        text.lines().filter(is_it).filter_map(value).sum()
    };
    let arrived = |lane| sum("onward_lane_messages_total", &[lane, "result=\"arrived\""]);
    Counted {
        referrals: sum("onward_referrals_total", &["result=\"stored\""]),
        delivered: arrived("lane=\"delivery\""),
        written_back: arrived("lane=\"write-back\""),
        refused: sum("onward_referrals_total", &["result=\"refused\""]),
        known: sum("onward_referrals_total", &["result=\"known\""]),
        given: sum("onward_access_tokens_given_total", &[]),
        unknown: sum("onward_unknown_clients_total", &[]) + sum("onward_assertions_refused_total", &["by=\"client\""]),
    }
}

/// What came and went between looks, by the minute in which the later one was.
fn lately(samples: &[Sample], now: Timestamp) -> Option<Lately> {
    let first = samples.first().filter(|_| samples.len() > 1)?;
    let back = |at: Timestamp| usize::try_from(now.duration_since(at).as_secs().max(0) / 60).unwrap_or(usize::MAX);
    let shown = back(first.at).saturating_add(1).min(MINUTES_MAX);
    let mut minutes = vec![Minute::default(); shown];
    let mut ends = vec![None; shown];
    for (before, after) in samples.iter().zip(samples.iter().skip(1)) {
        let Some(at) = shown.checked_sub(back(after.at).saturating_add(1)) else { continue };
        let (Some(minute), Some(end)) = (minutes.get_mut(at), ends.get_mut(at)) else { continue };
        let (from, to, sum) = (before.counted, after.counted, &mut minute.counted);
        sum.referrals += to.referrals.saturating_sub(from.referrals);
        sum.delivered += to.delivered.saturating_sub(from.delivered);
        sum.written_back += to.written_back.saturating_sub(from.written_back);
        sum.refused += to.refused.saturating_sub(from.refused);
        sum.known += to.known.saturating_sub(from.known);
        sum.unknown += to.unknown.saturating_sub(from.unknown);
        sum.given += to.given.saturating_sub(from.given);
        *end = after.waiting.or(*end);
    }
    // what the store did not say is as it was
    let mut known = samples.iter().find_map(|sample| sample.waiting).unwrap_or_default();
    for (minute, end) in minutes.iter_mut().zip(ends) {
        known = end.unwrap_or(known);
        minute.waiting = known;
    }
    let oldest = now.saturating_sub(Duration::from_secs(60 * MINUTES_MAX as u64)).unwrap_or(now);
    Some(Lately { since: first.at.max(oldest), minutes })
}

// === impl Lately ===

impl Lately {
    /// All of it.
    pub(super) fn sum(&self) -> Counted {
        self.last(MINUTES_MAX)
    }

    /// The last so many minutes of it.
    pub(super) fn last(&self, minutes: usize) -> Counted {
        self.minutes.iter().rev().take(minutes).fold(Counted::default(), |sum, minute| Counted {
            referrals: sum.referrals + minute.counted.referrals,
            delivered: sum.delivered + minute.counted.delivered,
            written_back: sum.written_back + minute.counted.written_back,
            refused: sum.refused + minute.counted.refused,
            known: sum.known + minute.counted.known,
            unknown: sum.unknown + minute.counted.unknown,
            given: sum.given + minute.counted.given,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + second).unwrap()
    }

    fn sample(second: i64, n: u64, waiting: Option<u64>) -> Sample {
        let counted = Counted {
            referrals: n,
            delivered: 2 * n,
            refused: 3 * n,
            known: 0,
            unknown: 4 * n,
            given: 5 * n,
            written_back: 0,
        };
        Sample { at: at(second), counted, waiting }
    }

    #[test]
    fn what_was_counted_is_read_from_the_figures() {
        let text = "# TYPE onward_referrals_total counter\nonward_referrals_total{result=\"stored\"} 12\n\
                    onward_referrals_total{result=\"known\"} 3\nonward_lane_messages_total{lane=\"delivery\",result=\"arrived\"} 7\n\
                    onward_lane_messages_total{result=\"arrived\",lane=\"write-back\"} 5\n\
                    onward_lane_messages_total{lane=\"delivery\",result=\"dead\"} 9\nonward_referrals_total_more{result=\"stored\"} 99\n\
                    onward_referrals_total{result=\"refused\"} 2\nonward_unknown_clients_total 4\nonward_access_tokens_given_total 1\n\
                    onward_assertions_refused_total{by=\"client\"} 6\nonward_assertions_refused_total{by=\"nobody\"} 8\n";
        assert_eq!(
            read(text),
            Counted { referrals: 12, delivered: 7, written_back: 5, refused: 2, known: 3, unknown: 10, given: 1 }
        );
        assert_eq!(read(""), Counted::default());
    }

    #[test]
    fn each_minute_has_what_came_in_it() {
        let samples = [sample(0, 5, Some(1)), sample(30, 8, Some(4)), sample(90, 9, None), sample(170, 20, Some(2))];
        let found = lately(&samples, at(170)).unwrap();
        assert_eq!(found.since, at(0));
        // from the oldest: 110 to 170 seconds back, 50 to 110, the last minute
        let counted: Vec<u64> = found.minutes.iter().map(|minute| minute.counted.referrals).collect();
        assert_eq!(counted, [3, 1, 11], "what was counted before the first look is not of this hour");
        let waiting: Vec<u64> = found.minutes.iter().map(|minute| minute.waiting).collect();
        assert_eq!(waiting, [4, 4, 2]);
        let sum = Counted { referrals: 15, delivered: 30, refused: 45, unknown: 60, given: 75, ..Counted::default() };
        assert_eq!(found.sum(), sum);
        assert_eq!((found.last(2).referrals, found.last(1).refused, found.last(0).unknown), (12, 33, 0));
        assert_eq!(lately(&samples[..1], at(170)), None);
        assert_eq!(lately(&[], at(170)), None);
    }

    #[test]
    fn no_more_than_an_hour_is_kept_and_shown() {
        let figures = Figures::default();
        for n in 0..1000 {
            figures.note(sample(10 * n, n.unsigned_abs(), Some(0)));
        }
        assert_eq!(figures.samples().len(), SAMPLES_MAX);
        let found = figures.lately(at(9990)).unwrap();
        assert_eq!((found.minutes.len(), found.since), (MINUTES_MAX, at(9990 - 3600)));
        assert!(found.minutes.iter().all(|minute| minute.counted.referrals <= 7), "{found:?}");
        // a process that was held up shows what it knows
        assert_eq!(figures.lately(at(99_999)).unwrap().sum(), Counted::default());
    }
}

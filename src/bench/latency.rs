//! Latencies: every one is kept (HDR), and told as percentiles in milliseconds.

use hdrhistogram::Histogram;
use serde::Serialize;

use super::{figures::round, load::Sent, peer::book::Seen};

/// Longer ones count as so long.
pub const MOST_US: u64 = 600_000_000;

/// Percentiles of one step, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// How many were measured.
    pub count: u64,
    /// The median.
    pub p50: f64,
    /// Nine tenths are no slower.
    pub p90: f64,
    /// Ninety-nine hundredths.
    pub p99: f64,
    /// 999 thousandths.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

/// The steps of a loop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Latencies {
    /// From the moment a request was due to its acknowledgement.
    pub accept: Percentiles,
    /// From the acknowledgement to the receiver having it; 0 where it had it sooner.
    pub delivered: Percentiles,
    /// From a provider sending its answer to the acknowledgement of that.
    pub answer: Percentiles,
    /// From the acknowledgement of an answer to the record showing it; 0 where it did so sooner.
    pub written_back: Percentiles,
    /// From the moment a request was due to its loop being closed.
    pub whole: Percentiles,
}

/// What the latencies of the referrals that were due within `window` are.
pub fn of(sent: &[Sent], seen: &[Option<Seen>], window: std::ops::Range<i64>) -> Latencies {
    let mut steps: [Option<Histogram<u64>>; 5] =
        std::array::from_fn(|_| Histogram::new_with_bounds(1, MOST_US, 3).ok());
    let mut note = |step: usize, from: i64, to: i64| {
        if let Some(Some(histogram)) = steps.get_mut(step).filter(|_| from > 0 && to > 0) {
            let us = u64::try_from(to - from).unwrap_or_default();
            // below a microsecond there is nothing to tell
            let _ = histogram.record(us.clamp(1, MOST_US));
        }
    };
    for (number, sent) in sent.iter().enumerate().filter(|(_, sent)| window.contains(&sent.due)) {
        note(0, sent.due, sent.acknowledged);
        let Some(Some(seen)) = seen.get(number) else { continue };
        note(1, sent.acknowledged, seen.arrived);
        for ((asked, acknowledged), shown) in seen.answered.iter().zip(seen.shown.iter().skip(1)) {
            note(2, *asked, *acknowledged);
            note(3, *acknowledged, *shown);
        }
        note(4, sent.due, seen.closed().unwrap_or_default().max(sent.acknowledged));
    }
    let [accept, delivered, answer, written_back, whole] =
        steps.map(|step| step.as_ref().map_or_else(Default::default, percentiles));
    Latencies { accept, delivered, answer, written_back, whole }
}

/// Of these, one by one.
pub fn of_all(took: &[std::time::Duration]) -> Percentiles {
    let Ok(mut histogram) = Histogram::new_with_bounds(1, MOST_US, 3) else { return Percentiles::default() };
    for took in took {
        histogram.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }
    percentiles(&histogram)
}

/// What a histogram of microseconds says.
pub fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    let at = |quantile: f64| round(histogram.value_at_quantile(quantile) as f64 / 1000.0, 3);
    if histogram.is_empty() {
        return Percentiles::default();
    }
    Percentiles {
        count: histogram.len(),
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: round(histogram.max() as f64 / 1000.0, 3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_counts_from_then_and_only_within_the_window() {
        let sent: Vec<Sent> =
            (0..1000).map(|n| Sent { due: 1 + n * 1000, acknowledged: 1 + n * 1000 + 2_000 }).collect();
        let arrived =
            |n: i64| Seen::read(&format!("{n} 0 {} 0 0 0 0 0 0 0 0 0 0", 1 + n * 1000 + 5_000)).map(|(_, seen)| seen);
        let seen: Vec<Option<Seen>> = (0..1000).map(arrived).collect();
        let told = of(&sent, &seen, 500_000..1_000_000);
        assert_eq!((told.accept.count, told.accept.p50.round(), told.delivered.p99.round()), (500, 2.0, 3.0));
        assert_eq!((told.whole.max.round(), told.answer.count), (5.0, 0));
    }
}

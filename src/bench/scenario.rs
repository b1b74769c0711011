//! Loads in which a provider is away for a while: whether all of it arrives soon after its return, and whether others notice.

use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{
    Bench, BenchError,
    figures::round,
    latency::{self, Latencies},
    load::{Pace, Shape, To},
    peer::book::now_us,
};

/// The inbox whose provider is away.
const AWAY: usize = 0;
/// Before it goes, and the least time that is measured after its return.
const BEFORE: Duration = Duration::from_secs(10);
/// So many referrals are sent at a time while a backlog is made.
const AT_ONCE: usize = 64;
/// A backlog that is not gone by then is not waited for.
const DRAINED_WITHIN: Duration = Duration::from_secs(3600);
const FOR_EVER_S: u64 = 86_400;

/// What happens to the providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// All of them answer 503 for so long, at a fixed rate.
    Outage(Duration),
    /// One is away until it has so many referrals to come; the others go on at a fixed rate.
    Backlog(u32),
}

/// What came of an outage.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Outage {
    /// How long it was.
    pub seconds: f64,
    /// Acknowledged and not delivered when it ended.
    pub waiting_at_return: u64,
    /// From the return until the last of those was delivered.
    pub delivered_after_seconds: f64,
}

/// What came of a backlog.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Drained {
    /// How many referrals waited.
    pub count: u64,
    /// From the return until the last of them was delivered.
    pub seconds: f64,
    /// So many a second, from the first to the last.
    pub per_second: f64,
    /// The others before anything waited.
    pub others_before_ms: Latencies,
    /// The others while the backlog was drained.
    pub others_meanwhile_ms: Latencies,
}

impl Bench {
    /// All providers are away for a while.
    pub(super) async fn outage(&self, pace: Pace, away: Duration) -> Result<Outage, BenchError> {
        let stop = CancellationToken::new();
        let (load, stopping) = (self.load.clone(), stop.clone());
        let sending = tokio::task::spawn_local(async move { load.send(Shape::Loop, pace, To::All, stopping).await });
        self.wait("before", BEFORE).await;
        for inbox in 0..self.options.inboxes {
            self.ask_receivers(&format!("out?inbox={inbox}&seconds={}", away.as_secs())).await?;
        }
        let back = now_us() + i64::try_from(away.as_micros()).unwrap_or_default();
        self.wait("away", away).await;
        let waiting_at_return = self.load.acknowledged() - self.load.closed();
        self.wait("back", BEFORE).await;
        stop.cancel();
        let _ = sending.await;
        self.all_closed().await;
        let (sent, seen) = (self.load.sent(), self.book().await?);
        let waited = sent.iter().zip(&seen).filter(|(sent, _)| sent.acknowledged > 0 && sent.acknowledged < back);
        let last = waited.filter_map(|(_, seen)| seen.map(|seen| seen.arrived)).max().unwrap_or_default();
        Ok(Outage {
            seconds: away.as_secs_f64(),
            waiting_at_return,
            delivered_after_seconds: round((last - back).max(0) as f64 / 1e6, 2),
        })
    }

    /// One provider is away until so many wait for it.
    pub(super) async fn backlog(&self, pace: Pace, count: u32) -> Result<Drained, BenchError> {
        let begun = now_us();
        self.others(pace, "before", BEFORE * 2).await;
        let until = now_us();
        self.ask_receivers(&format!("out?inbox={AWAY}&seconds={FOR_EVER_S}")).await?;
        let first = self.load.sent().len();
        let made = self.load.acknowledged() + u64::from(count);
        let stop = CancellationToken::new();
        let (load, stopping) = (self.load.clone(), stop.clone());
        let sending = tokio::task::spawn_local(async move {
            load.send(Shape::Accept, Pace::Concurrency(AT_ONCE), To::Only(AWAY), stopping).await;
        });
        while self.load.acknowledged() < made && self.load.failed().is_none() {
            self.wait("making the backlog", Duration::from_secs(1)).await;
        }
        stop.cancel();
        let _ = sending.await;
        let last = self.load.sent().len();
        self.ask_receivers(&format!("out?inbox={AWAY}&seconds=0")).await?;
        let back = now_us();
        let mut waited = Duration::ZERO;
        let backlog =
            self.load.sent().get(first..last).unwrap_or_default().iter().filter(|s| s.is_one()).count() as u64;
        let stop = CancellationToken::new();
        let (load, stopping) = (self.load.clone(), stop.clone());
        let others = tokio::task::spawn_local(async move {
            load.send(Shape::Loop, pace, To::AllBut(AWAY), stopping).await;
        });
        // the others close loops as well, so the book is asked how far the backlog is
        loop {
            self.wait("draining", BEFORE).await;
            waited += BEFORE;
            let arrived = self.book().await?.get(first..last).unwrap_or_default().iter().flatten().count() as u64;
            if arrived >= backlog || waited > DRAINED_WITHIN {
                break;
            }
        }
        let end = now_us();
        stop.cancel();
        let _ = others.await;
        self.all_closed().await;
        let (sent, seen) = (self.load.sent(), self.book().await?);
        let arrivals: Vec<i64> =
            seen.get(first..last).unwrap_or_default().iter().flatten().map(|s| s.arrived).collect();
        let (earliest, latest) = (arrivals.iter().min(), arrivals.iter().max());
        let span = earliest.zip(latest).map_or(0.0, |(first, last)| (last - first) as f64 / 1e6);
        // those of the backlog waited on purpose
        let mut others = seen.clone();
        others.get_mut(first..last).unwrap_or_default().fill(None);
        Ok(Drained {
            count: backlog,
            seconds: round(latest.map_or(0, |last| last - back) as f64 / 1e6, 1),
            per_second: if span > 0.0 { round(arrivals.len() as f64 / span, 1) } else { 0.0 },
            others_before_ms: latency::of(&sent, &others, begun..until),
            others_meanwhile_ms: latency::of(&sent, &others, back..end),
        })
    }

    /// Everybody but the one, for a while.
    async fn others(&self, pace: Pace, what: &str, time: Duration) {
        let stop = CancellationToken::new();
        let (load, stopping) = (self.load.clone(), stop.clone());
        let sending = tokio::task::spawn_local(async move {
            load.send(Shape::Loop, pace, To::AllBut(AWAY), stopping).await;
        });
        self.wait(what, time).await;
        stop.cancel();
        let _ = sending.await;
    }
}

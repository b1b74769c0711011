//! What Onward says of itself on `/metrics`, so that a loop's cost is counted and not assumed.

use std::{collections::BTreeMap, time::Duration};

use crate::demo::caller::{Call, Caller};

/// Counters and gauges at one moment, summed over all replicas.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Store writes, each of which must be durable before it is answered, by what they are.
    pub writes: BTreeMap<String, f64>,
    /// Transactions that they shared.
    pub transactions: f64,
    /// Store reads.
    pub reads: f64,
    /// Messages published and confirmed.
    pub published: f64,
    /// Messages consumed.
    pub consumed: f64,
    /// Requests to Onward.
    pub requests_in: f64,
    /// Requests of Onward to others, by method.
    pub requests_out: BTreeMap<String, f64>,
    /// Messages that are not done.
    pub waiting: f64,
    /// Dead letters.
    pub dead: f64,
    /// Of the messages published, those that the scheduler had to find.
    pub found_by_scheduler: f64,
}

/// What one referral took, on average over all that were sent between two moments at which nothing was under way.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Cost {
    /// Store writes, all of them durable: the “commits” of a loop.
    pub commits: f64,
    /// The same by what they are.
    pub commits_by_kind: BTreeMap<String, f64>,
    /// Transactions, which many writes share.
    pub transactions: f64,
    /// Store reads.
    pub reads: f64,
    /// Messages published, confirmed, consumed and acknowledged.
    pub messages: f64,
    /// Requests to Onward.
    pub requests_in: f64,
    /// Requests to records and providers.
    pub requests_out: f64,
    /// The same by method.
    pub requests_out_by_method: BTreeMap<String, f64>,
}

// === impl Figures ===

impl Figures {
    /// Asks all replicas.
    ///
    /// # Errors
    /// In words, where one does not answer.
    pub async fn ask(caller: &Caller, onward: &[String]) -> Result<Self, String> {
        let mut all = Self::default();
        for base in onward {
            let answered = caller.call(Call::get(format!("{base}/metrics"))).await.map_err(|e| e.to_string())?;
            if !answered.status.is_success() {
                return Err(answered.describe());
            }
            all.add(&String::from_utf8_lossy(&answered.body));
        }
        // what waits is in the store that all of them share
        let replicas = onward.len().max(1) as f64;
        all.waiting /= replicas;
        all.dead /= replicas;
        Ok(all)
    }

    /// Asks until nothing waits any more, at most so long. Gives what it found last.
    ///
    /// # Errors
    /// In words, where one does not answer.
    pub async fn when_done(caller: &Caller, onward: &[String], limit: Duration) -> Result<Self, String> {
        let until = tokio::time::Instant::now() + limit;
        loop {
            let now = Self::ask(caller, onward).await?;
            if now.waiting == 0.0 || tokio::time::Instant::now() > until {
                return Ok(now);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Adds a page in Prometheus text.
    fn add(&mut self, text: &str) {
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse::<f64>() else { continue };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let label = |wanted: &str| {
                let rest = labels.split_once(&format!("{wanted}=\"")).map(|(_, rest)| rest)?;
                rest.split('"').next().map(str::to_owned)
            };
            match name {
                "onward_store_writes_total" => {
                    *self.writes.entry(label("op").unwrap_or_default()).or_default() += value
                }
                "onward_store_commits_total" => self.transactions += value,
                "onward_store_reads_total" => self.reads += value,
                "onward_messages_published_total" => self.published += value,
                "onward_messages_consumed_total" => self.consumed += value,
                "onward_request_seconds_count" => self.requests_in += value,
                "onward_requests_sent_total" => {
                    *self.requests_out.entry(label("method").unwrap_or_default()).or_default() += value;
                }
                "onward_messages_waiting" => self.waiting += value,
                "onward_dead_letters" => self.dead += value,
                "onward_wake_ups_due_total" => self.found_by_scheduler += value,
                _ => {}
            }
        }
    }

    /// What each of `count` referrals took between `before` and now.
    pub fn cost_since(&self, before: &Self, count: u64) -> Cost {
        let each = |now: f64, then: f64| round((now - then) / count.max(1) as f64, 3);
        let by = |now: &BTreeMap<String, f64>, then: &BTreeMap<String, f64>| {
            let all = now.iter().map(|(kind, n)| (kind.clone(), each(*n, then.get(kind).copied().unwrap_or_default())));
            all.filter(|(_, n)| *n > 0.0).collect::<BTreeMap<_, _>>()
        };
        let sum = |of: &BTreeMap<String, f64>| of.values().sum::<f64>();
        Cost {
            commits: each(sum(&self.writes), sum(&before.writes)),
            commits_by_kind: by(&self.writes, &before.writes),
            transactions: each(self.transactions, before.transactions),
            reads: each(self.reads, before.reads),
            // what is published and not consumed would be as wrong as the other way round: the larger is told
            messages: each(self.published, before.published).max(each(self.consumed, before.consumed)),
            requests_in: each(self.requests_in, before.requests_in),
            requests_out: each(sum(&self.requests_out), sum(&before.requests_out)),
            requests_out_by_method: by(&self.requests_out, &before.requests_out),
        }
    }
}

/// A number with so many decimals.
pub fn round(value: f64, decimals: i32) -> f64 {
    let by = 10f64.powi(decimals);
    (value * by).round() / by
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_and_divided() {
        let mut before = Figures::default();
        before.add("# TYPE x counter\nonward_store_writes_total{op=\"submit\"} 10\nonward_messages_published_total{lane=\"delivery\"} 5\n");
        let mut now = before.clone();
        now.add(
            "onward_store_writes_total{op=\"submit\"} 10\nonward_store_writes_total{op=\"append\"} 40\n\
             onward_messages_published_total{lane=\"delivery\"} 10\nonward_messages_published_total{lane=\"write-back\"} 20\n\
             onward_messages_waiting{lane=\"delivery\",to=\"a\"} 3\n",
        );
        let cost = now.cost_since(&before, 10);
        assert_eq!((cost.commits, cost.commits_by_kind["append"], cost.messages), (5.0, 4.0, 3.0));
        assert_eq!(now.waiting, 3.0);
    }
}

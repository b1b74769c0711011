//! What is told of a message that was settled: to the log and the metrics, and where somebody must see to it, as an alert. What a test of
//! Onward's own comes to is told by the test, and calls nobody.

use super::{Verdict, Worker};
use crate::{
    domain::{Alert, AlertKind, Side, TransportStatus, written},
    store::{LaneHead, Settled, TaskRecord},
};

impl Worker {
    /// What somebody must be told, in the same commit.
    pub(super) fn alerts(&self, task: &TaskRecord, head: &LaneHead, verdict: &Verdict, of_test: bool) -> Vec<Alert> {
        let (to, side) = (self.destination(task), self.carrier.side());
        let (why, astray) = match verdict {
            Verdict::Dead { why, astray } => (why, astray),
            // once, with the event that tells the record
            Verdict::Deferred { delayed: true, .. }
                if !of_test
                    && side == Side::Delivery
                    && task.state.transport != Some(TransportStatus::DeliveryDelayed) =>
            {
                let text =
                    format!("a referral has not been delivered since {}; it is tried on", written::moment(head.since));
                let delayed = Alert::new(AlertKind::DeliveryDelayed, to, head.since, text);
                return vec![delayed.of_task(task.id).of_message(head.message)];
            }
            _ => return vec![],
        };
        let text = format!("a {side} message will not be tried again by itself: {why}");
        let dead = (!of_test).then(|| Alert::new(AlertKind::DeadLetter, to, head.since, text));
        let alerts = dead.into_iter().chain(astray.then(|| self.astray(to, why)));
        alerts.map(|alert| alert.of_task(task.id).of_message(head.message)).collect()
    }

    /// Something is not where it belongs. That is never a matter of course.
    pub(super) fn astray(&self, to: &str, why: &str) -> Alert {
        Alert::new(AlertKind::DestinationMismatch, to, self.store.now(), why)
    }

    pub(super) fn tell(
        &self,
        task: &TaskRecord,
        head: &LaneHead,
        verdict: &Verdict,
        outcome: &Settled,
        events: &[&str],
        of_test: bool,
    ) {
        let lane = self.carrier.side().code();
        let result = match verdict {
            Verdict::Arrived { .. } => "arrived",
            Verdict::Deferred { .. } => "deferred",
            Verdict::Dead { .. } => "dead",
            Verdict::Superseded => "superseded",
        };
        metrics::counter!("onward_lane_messages_total", "lane" => lane, "result" => result).increment(1);
        if let Verdict::Arrived { .. } = verdict {
            let took = self.store.now().duration_since(head.since).as_secs_f64().max(0.0);
            metrics::histogram!("onward_lane_seconds", "lane" => lane).record(took);
        }
        for event in events {
            metrics::counter!("onward_events_total", "event" => (*event).to_owned()).increment(1);
        }
        let to = self.destination(task);
        match (verdict, outcome) {
            (Verdict::Dead { why, astray }, _) => {
                if *astray {
                    count_astray();
                }
                if of_test {
                    tracing::warn!(task.id = %task.id, lane, to, message.seq = head.seq, why, "a test referral came to nothing");
                    return;
                }
                metrics::counter!("onward_alerts_total", "alert" => "dead-letter").increment(1);
                tracing::error!(task.id = %task.id, lane, to, message.seq = head.seq, why, "a dead letter: see `onward dead list`");
            }
            // once a message at its first failure, and once when the record is told of the delay
            (_, Settled::Deferred { why, .. }) if head.attempts == 0 || !events.is_empty() => {
                tracing::warn!(task.id = %task.id, lane, to, message.seq = head.seq, why, "not sent; it is tried again");
            }
            _ => tracing::debug!(task.id = %task.id, lane, to, message.seq = head.seq, result, "a lane message"),
        }
    }
}

pub(super) fn count_astray() {
    metrics::counter!("onward_alerts_total", "alert" => AlertKind::DestinationMismatch.code()).increment(1);
}

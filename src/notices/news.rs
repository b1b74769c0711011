//! What of a journal is news to those who work an inbox. Pure.

use serde_json::Value;

use crate::{
    domain::{Actor, Event, Timestamp, notice::News},
    fhir::test_data,
    store::JournalLine,
};

/// Whether a Task, as it is stored, is more urgent than the usual.
pub(super) fn is_urgent(body: &str) -> bool {
    let task: Value = serde_json::from_str(body).unwrap_or_default();
    matches!(task.get("priority").and_then(Value::as_str), Some("urgent" | "asap" | "stat"))
}

/// Whether a resource, as it is stored, is a test.
pub(super) fn is_test(body: &str) -> bool {
    serde_json::from_str(body).is_ok_and(|resource| test_data::is_test(&resource))
}

/// What happened at or after the one time and before the other.
pub(super) fn of(journal: &[JournalLine], urgent: bool, from: Timestamp, until: Timestamp) -> News {
    let mut news = News::default();
    for line in journal.iter().filter(|line| (from..until).contains(&line.at)) {
        let by_referrer = matches!(line.actor, Actor::System(_));
        match line.event {
            Event::Submitted { .. } => {
                news.new += 1;
                news.urgent += u32::from(urgent);
            }
            Event::Message { .. }
            | Event::Amended { .. }
            | Event::CancellationRequested { .. }
            | Event::Cancelled { .. }
            | Event::Retracted { .. }
                if by_referrer =>
            {
                news.said += 1;
            }
            Event::NotOpened | Event::Overdue => news.overdue += 1,
            _ => {}
        }
    }
    news
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use uuid::Uuid;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
    }

    fn line(second: i64, actor: Actor, event: Event) -> JournalLine {
        JournalLine { seq: 1, at: at(second), actor, event, asked_by: None }
    }

    #[test]
    fn what_the_referrer_does_and_what_is_late_is_news_and_ones_own_work_is_not() {
        let (rio, own) = (Actor::System("rio".parse().unwrap()), Actor::Provider("mind".parse().unwrap()));
        let submitted = Event::Submitted {
            route: None,
            route_set: "1".into(),
            inbox: "mind".parse().unwrap(),
            instead_of: None,
            beside: None,
        };
        let message = || Event::Message { communication: Uuid::nil(), with: vec![], asks: false, risk: false };
        let journal = [
            line(1, rio.clone(), submitted),
            line(2, own, message()),
            line(3, rio.clone(), message()),
            line(4, Actor::Onward, Event::Overdue),
            line(5, rio, message()),
        ];
        let all = of(&journal, true, at(0), at(9));
        assert_eq!(all, News { new: 1, urgent: 1, said: 2, overdue: 1 });
        let later = of(&journal, true, at(2), at(5));
        assert_eq!(later, News { new: 0, urgent: 0, said: 1, overdue: 1 }, "from is in it, until is not");
    }

    #[test]
    fn what_is_more_than_routine_is_urgent() {
        for (body, urgent) in
            [("{\"priority\":\"urgent\"}", true), ("{\"priority\":\"routine\"}", false), ("{}", false), ("", false)]
        {
            assert_eq!(is_urgent(body), urgent, "{body}");
        }
    }
}

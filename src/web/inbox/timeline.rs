//! The journal of a referral in plain words, and what the two sides wrote to each other.

use serde_json::Value;

use super::words;
use crate::{
    config::registry::Registry,
    domain::{Actor, Event, TaskStatus},
    fhir::{
        task::{BUSINESS_SYSTEM, CONTACT_ATTEMPT, INFORMATION_REQUESTED},
        tree,
    },
    store::{JournalLine, StoredResource},
};

/// Something that happened.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::web) struct Moment {
    pub at: String,
    pub told: String,
}

/// A message, or a contact that was noted.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::web) struct Message {
    pub at: String,
    pub from: String,
    /// What it is, where it is more than a message.
    pub kind: Option<&'static str>,
    pub texts: Vec<String>,
}

/// What happened, the newest first. What concerns only how messages are carried is left out: it is IT's.
pub(in crate::web) fn moments(journal: &[JournalLine], registry: &Registry) -> Vec<Moment> {
    let told = |line: &JournalLine| Some(Moment { at: words::moment(line.at), told: told(line, registry)? });
    journal.iter().rev().filter_map(told).collect()
}

fn told(line: &JournalLine, registry: &Registry) -> Option<String> {
    let who = who(&line.actor, registry);
    Some(match &line.event {
        Event::Submitted { .. } => format!("{who} sent the referral"),
        Event::Delivered { .. } | Event::Listed { .. } | Event::HandedOver { .. } => "The referral arrived".to_owned(),
        Event::DeliveryDelayed => "It could not be delivered in time; Onward goes on trying".to_owned(),
        Event::NotOpened => "It was not opened in time; the referrer was told".to_owned(),
        Event::Overdue => "It was not answered in time; the referrer was told".to_owned(),
        Event::Escalated { .. } => "It was not answered in time, and another service has got it as well".to_owned(),
        Event::Undeliverable { .. } => "It could not be delivered".to_owned(),
        Event::Answered { from, to, .. } if from == to => format!("{who} added to the referral"),
        Event::Answered { to, .. } => answered(&who, *to),
        Event::Amended { .. } => format!("{who} changed the referral"),
        Event::CancellationRequested { .. } => format!("{who} asked to cancel the referral"),
        Event::Cancelled { .. } => "The referral was cancelled".to_owned(),
        Event::Retracted { .. } => format!("{who} took the referral back: it was sent in error"),
        Event::Message { asks: true, .. } => format!("{who} asked for more information"),
        Event::Message { .. } => format!("{who} wrote a message"),
        Event::WrittenBack { .. } => "The referrer’s record was brought up to date".to_owned(),
        Event::WriteBackFailed { .. } => {
            "The referrer’s record could not be brought up to date; IT are told".to_owned()
        }
        _ => return None,
    })
}

fn answered(who: &str, to: TaskStatus) -> String {
    let did = match to {
        TaskStatus::Requested | TaskStatus::Received => "opened the referral",
        TaskStatus::Accepted => "accepted the referral",
        TaskStatus::InProgress => "began to work on it",
        TaskStatus::OnHold => "put it on hold",
        TaskStatus::Completed => "completed it",
        TaskStatus::Rejected => "declined it",
        TaskStatus::Failed => "ended it early",
        TaskStatus::Cancelled => "cancelled it",
        TaskStatus::EnteredInError => "marked it as sent in error",
    };
    format!("{who} {did}")
}

/// Who did something, for people.
pub(in crate::web) fn who(actor: &Actor, registry: &Registry) -> String {
    match actor {
        Actor::Onward => "Onward".to_owned(),
        Actor::Operator(_) => "IT".to_owned(),
        Actor::System(id) => registry.systems.get(id).map_or_else(|| id.to_string(), |system| system.name.clone()),
        Actor::Provider(id) => registry.providers.get(id).map_or_else(|| id.to_string(), |of| of.name.clone()),
    }
}

/// The messages, in the order they were written.
pub(in crate::web) fn messages(
    journal: &[JournalLine],
    resources: &[(StoredResource, Value)],
    registry: &Registry,
) -> Vec<Message> {
    let of = |line: &JournalLine| {
        let Event::Message { communication, .. } = &line.event else { return None };
        let (_, body) = resources.iter().find(|(s, _)| s.id == *communication && s.kind == "Communication")?;
        let written = tree::text(body, "sender.display").map(str::to_owned);
        let organisation = who(&line.actor, registry);
        let from = match written {
            Some(person) if person != organisation => format!("{person}, {organisation}"),
            _ => organisation,
        };
        let payload = tree::items(body, "payload").iter();
        let texts = payload.filter_map(|one| tree::text(one, "contentString").map(str::to_owned)).collect();
        Some(Message { at: words::moment(line.at), from, kind: kind(body), texts })
    };
    journal.iter().filter_map(of).collect()
}

fn kind(body: &Value) -> Option<&'static str> {
    let codes = ["category", "reasonCode"].iter().flat_map(|name| tree::items(body, name)).flat_map(tree::codings);
    for (system, code, _) in codes {
        match (system, code) {
            (Some(BUSINESS_SYSTEM), INFORMATION_REQUESTED) => return Some("Asks for more"),
            (Some(BUSINESS_SYSTEM), CONTACT_ATTEMPT) => return Some("Contact with the person"),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn line(seq: u64, actor: Actor, event: Event) -> JournalLine {
        JournalLine { seq, at: "2026-03-03T14:05:00Z".parse().unwrap(), actor, event, asked_by: None }
    }

    fn provider() -> Actor {
        Actor::Provider("mind".parse().unwrap())
    }

    #[test]
    fn what_happened_is_told_in_plain_words_the_newest_first() {
        let journal = [
            line(
                1,
                Actor::System("rio".parse().unwrap()),
                Event::Submitted {
                    route: None,
                    route_set: "1".into(),
                    inbox: "mind".parse().unwrap(),
                    instead_of: None,
                    beside: None,
                },
            ),
            line(2, Actor::Onward, Event::Superseded { side: crate::domain::Side::Delivery, of: 1 }),
            line(
                3,
                provider(),
                Event::Answered { from: TaskStatus::Requested, to: TaskStatus::Accepted, implied: false },
            ),
        ];
        let told = moments(&journal, &Registry::default());
        let told: Vec<&str> = told.iter().map(|moment| moment.told.as_str()).collect();
        assert_eq!(told, ["mind accepted the referral", "rio sent the referral"]);
    }

    #[test]
    fn a_message_has_who_wrote_it_and_what_it_is() {
        let id = Uuid::from_u128(5);
        let body = json!({"resourceType": "Communication", "sender": {"display": "Luke"}, "payload": [{"contentString": "Which floor?"}],
            "category": [{"coding": [{"system": BUSINESS_SYSTEM, "code": INFORMATION_REQUESTED}]}]});
        let stored = StoredResource {
            kind: "Communication".into(),
            id,
            version: 1,
            last_updated: jiff::Timestamp::UNIX_EPOCH,
            referral: crate::domain::ReferralId(id),
            origin: None,
            task: None,
            later: true,
            body: body.to_string(),
        };
        let journal = [line(4, provider(), Event::Message { communication: id, with: vec![], asks: true })];
        let told = messages(&journal, &[(stored, body)], &Registry::default());
        let expected = Message {
            at: "3 March 2026, 2:05pm".into(),
            from: "Luke, mind".into(),
            kind: Some("Asks for more"),
            texts: vec!["Which floor?".into()],
        };
        assert_eq!(told, [expected]);
    }
}

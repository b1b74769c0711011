//! The journal of a referral in plain words, and what the two sides wrote to each other.

use serde_json::Value;
use uuid::Uuid;

use super::{done::Told, noted::Noted, words};
use crate::{
    config::registry::{Detail, Registry},
    domain::{Actor, Event, ProviderId, TaskStatus, Timestamp},
    fhir::{
        task::{BUSINESS_SYSTEM, CONTACT_ATTEMPT, INFORMATION_REQUESTED, PUT_RIGHT},
        tree,
    },
    people::WorkerNames,
    store::{JournalLine, StoredResource},
    writeback::detail::WayBack,
};

/// What one does again within this time is one line.
const TOGETHER: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);
/// What was taken back is called, before what is wrong with it.
const WRONG: &str = "Noted in error";

/// What a message is, where it is more than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum Kind {
    /// It asks the referrer for more.
    Asks,
    /// It tells of a contact with the person.
    Contact,
    /// It takes another one back.
    PutRight,
}

impl Kind {
    /// What it is called.
    pub(in crate::web) const fn words(self) -> &'static str {
        match self {
            Self::Asks => "Asks for more",
            Self::Contact => "Contact with the person",
            Self::PutRight => "Put right",
        }
    }
}

impl Eyes<'_> {
    fn is(&self, communication: Uuid, kind: Kind) -> bool {
        self.kinds.contains(&(communication, kind))
    }
}

/// Something that happened.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::web) struct Moment {
    pub at: String,
    pub told: String,
    /// Nobody of the provider has looked at it before.
    pub is_new: bool,
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

/// Who looks at a timeline: of her own organisation she knows people by name, of others the organisation.
#[derive(Debug, Clone, Copy)]
pub(in crate::web) struct Eyes<'e> {
    pub own: &'e ProviderId,
    /// The names of its people.
    pub people: &'e WorkerNames,
    /// What those of the messages are that are more than that.
    pub kinds: &'e [(Uuid, Kind)],
    /// What lines say more than the journal does.
    pub noted: &'e [Noted],
    /// The seqs of what nobody has looked at.
    pub new: &'e [u64],
    /// How far what is said of it gets.
    pub way: WayBack,
}

/// A line in the making.
struct Entry {
    seq: u64,
    last: Timestamp,
    told: String,
    /// How often, where that says anything.
    times: usize,
    counts: bool,
    /// Whether the referrer's record has it, as far as it is to have it.
    in_record: bool,
    not_in_record: bool,
    /// What is said of that where it has.
    has: &'static str,
    is_new: bool,
}

/// What happened, the newest first, one line for what belongs together: what was done is told with whether the record has it, and the same
/// that one person does again within a few minutes is one line. What concerns only how messages are carried is left out: it is IT's.
pub(in crate::web) fn moments(journal: &[JournalLine], registry: &Registry, eyes: Eyes<'_>) -> Vec<Moment> {
    let mut entries: Vec<Entry> = Vec::new();
    // many entries may stand for one event after they are joined: which line has an event
    let mut line_of: Vec<(u64, usize)> = Vec::new();
    for line in journal {
        let written = match &line.event {
            Event::WrittenBack { of, .. } => Some((*of, true)),
            Event::WriteBackFailed { of, .. } => Some((*of, false)),
            _ => None,
        };
        if let Some((of, done)) = written {
            let place = line_of.iter().rev().find(|(seq, _)| *seq == of).map(|(_, place)| *place);
            if let Some(entry) = place.and_then(|place| entries.get_mut(place)) {
                (entry.in_record, entry.not_in_record) = (done, !done);
            }
            continue;
        }
        let Some(told) = told(line, registry, eyes) else { continue };
        let noted = eyes.noted.iter().find(|noted| noted.seq == line.seq);
        let has = match noted {
            Some(noted) if noted.is_given => "",
            noted => in_record(&line.event, noted.is_some(), eyes.way),
        };
        let is_new = eyes.new.contains(&line.seq);
        match entries.last_mut() {
            Some(entry) if entry.told == told && line.at.duration_since(entry.last) <= TOGETHER => {
                (entry.last, entry.times) = (line.at, entry.times + 1);
                (entry.in_record, entry.not_in_record) = (false, false);
                entry.is_new |= is_new;
            }
            _ => {
                let (seq, at, counts) = (line.seq, line.at, line.actor != Actor::Onward);
                let (in_record, not_in_record) = (false, false);
                entries.push(Entry { seq, last: at, told, times: 1, counts, in_record, not_in_record, has, is_new });
            }
        }
        line_of.push((line.seq, entries.len() - 1));
    }
    entries.sort_by_key(|entry| std::cmp::Reverse((entry.last, entry.seq)));
    entries.into_iter().map(Moment::from).collect()
}

impl From<Entry> for Moment {
    fn from(entry: Entry) -> Self {
        let times = if entry.times > 1 && entry.counts { format!(" ({} times)", entry.times) } else { String::new() };
        let record = match (entry.in_record, entry.not_in_record) {
            (true, _) => entry.has,
            (_, true) => ". The referrer’s record could not be brought up to date; IT are told",
            _ => "",
        };
        let told = format!("{}{times}{record}", entry.told);
        Self { at: words::moment(entry.last), told, is_new: entry.is_new }
    }
}

/// What of an event the referrer's record has once it was written back: what `done.rs` says beforehand, said afterwards. Of a status beside which
/// something is `noted` the record may have one and not the other.
fn in_record(event: &Event, noted: bool, way: WayBack) -> &'static str {
    let WayBack::Record { detail, .. } = way else { return "" };
    let moves = matches!(event, Event::Answered { from, to, .. } if from != to && !to.is_terminal());
    if moves && noted && detail == Detail::Summary {
        return ". The status and dates are in the referrer’s record, and notes stay here";
    }
    let told = match event {
        Event::Message { .. } => Told::Message,
        // dates, notes, activities, scores: which of them it was the journal does not say
        Event::Answered { from, to, .. } if from == to => Told::Note,
        Event::Answered { to, .. } if to.is_terminal() || noted => Told::Outcome,
        Event::Answered { to: TaskStatus::OnHold, .. } => Told::Reason,
        _ => Told::Status,
    };
    match (told, detail) {
        (_, Detail::None) => "",
        (Told::Status, _) | (_, Detail::Full) | (Told::Message | Told::Reason, Detail::Summary) => {
            ". It is in the referrer’s record"
        }
        (Told::Note | Told::Date, Detail::Summary) => ". Dates are in the referrer’s record, and notes stay here",
        (Told::Note | Told::Date, _) => ". It stays here, and is not in the referrer’s record",
        (Told::Message, _) => ". Its words are not in the referrer’s record",
        (Told::Reason, _) => ". That is in the referrer’s record, and not why",
        (Told::Outcome, _) => ". That is in the referrer’s record, and not what was written",
    }
}

fn told(line: &JournalLine, registry: &Registry, eyes: Eyes<'_>) -> Option<String> {
    let who = doer(line, registry, eyes);
    if let Some(noted) = eyes.noted.iter().find(|noted| noted.seq == line.seq) {
        return Some(format!("{who} {}", noted.did));
    }
    Some(match &line.event {
        Event::Submitted { .. } => format!("{who} sent the referral"),
        Event::Delivered { .. } | Event::Listed { .. } | Event::HandedOver { .. } => "The referral arrived".to_owned(),
        Event::DeliveryDelayed => "It could not be delivered in time; Onward goes on trying".to_owned(),
        Event::NotOpened => "It was not opened in time".to_owned(),
        Event::Overdue => "It was not answered in time".to_owned(),
        Event::Escalated { .. } => "It was not answered in time, and another service has got it as well".to_owned(),
        Event::Undeliverable { .. } => "It could not be delivered".to_owned(),
        // the next line says where it led
        Event::Answered { implied: true, .. } => return None,
        Event::Answered { from, to, .. } if from == to => format!("{who} noted something"),
        Event::Answered { to, .. } => format!("{who} {}", moved(*to)),
        Event::Amended { .. } => format!("{who} changed the referral"),
        Event::CancellationRequested { .. } => format!("{who} asked to cancel the referral"),
        Event::Cancelled { .. } => "The referral was cancelled".to_owned(),
        Event::Retracted { .. } => format!("{who} took the referral back: it was sent in error"),
        Event::Message { communication, .. } if eyes.is(*communication, Kind::Contact) => {
            format!("{who} noted a contact with the person")
        }
        Event::Message { communication, .. } if eyes.is(*communication, Kind::PutRight) => {
            format!("{who} marked something as noted in error")
        }
        Event::Message { asks: true, .. } => format!("{who} asked for more information"),
        Event::Message { .. } if line.event.tells_of_risk() => format!("{who} wrote a message that tells of a risk"),
        Event::Message { .. } => format!("{who} wrote a message"),
        _ => return None,
    })
}

/// Who did what a line tells: by name where it is somebody of one's own organisation.
fn doer(line: &JournalLine, registry: &Registry, eyes: Eyes<'_>) -> String {
    let person = line.asked_by.as_ref().and_then(|asked| asked.person.as_deref());
    let is_own = matches!(&line.actor, Actor::Provider(id) if id == eyes.own);
    let name = person.filter(|_| is_own).and_then(|person| eyes.people.at(person, line.at));
    name.map_or_else(|| who(&line.actor, registry), str::to_owned)
}

/// What a provider did that set this status, as it follows who did it.
pub(super) const fn moved(to: TaskStatus) -> &'static str {
    match to {
        TaskStatus::Requested | TaskStatus::Received => "opened the referral",
        TaskStatus::Accepted => "accepted the referral",
        TaskStatus::InProgress => "began to work on it",
        TaskStatus::OnHold => "put it on hold",
        TaskStatus::Completed => "completed it",
        TaskStatus::Rejected => "declined it",
        TaskStatus::Failed => "ended it early",
        TaskStatus::Cancelled => "cancelled it",
        TaskStatus::EnteredInError => "marked it as ended in error",
    }
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

/// What those of a referral's messages are that are more than that.
pub(in crate::web) fn kinds(resources: &[(StoredResource, Value)]) -> Vec<(Uuid, Kind)> {
    let messages = resources.iter().filter(|(stored, _)| stored.kind == "Communication");
    messages.filter_map(|(stored, body)| Some((stored.id, kind(body)?))).collect()
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
        let mut texts: Vec<String> =
            payload.filter_map(|one| tree::text(one, "contentString").map(str::to_owned)).collect();
        let kind = kind(body);
        if kind == Some(Kind::PutRight) {
            // it stands with what it takes back
            return None;
        }
        let is_wrong = tree::text(body, "status") == Some("entered-in-error");
        if is_wrong {
            let reason = tree::text(body, "statusReason.text").unwrap_or_default();
            texts.insert(0, format!("{WRONG}: {reason}"));
        }
        let noted = words::moment(line.at);
        let sent = tree::text(body, "sent").filter(|_| kind == Some(Kind::Contact)).map(words::instant_or_date);
        let at = match sent {
            // a contact is told when it was, which is not always when it was noted
            Some(sent) if !noted.starts_with(&sent) => format!("{sent} (noted {noted})"),
            _ => noted,
        };
        let kind = if is_wrong { Some(WRONG) } else { kind.map(Kind::words) };
        Some(Message { at, from, kind, texts })
    };
    journal.iter().filter_map(of).collect()
}

pub(super) fn kind(body: &Value) -> Option<Kind> {
    let codes = ["category", "reasonCode"].iter().flat_map(|name| tree::items(body, name)).flat_map(tree::codings);
    for (system, code, _) in codes {
        match (system, code) {
            (Some(BUSINESS_SYSTEM), INFORMATION_REQUESTED) => return Some(Kind::Asks),
            (Some(BUSINESS_SYSTEM), CONTACT_ATTEMPT) => return Some(Kind::Contact),
            (Some(BUSINESS_SYSTEM), PUT_RIGHT) => return Some(Kind::PutRight),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::AskedBy;

    fn line(seq: u64, actor: Actor, event: Event) -> JournalLine {
        JournalLine { seq, at: "2026-03-03T14:05:00Z".parse().unwrap(), actor, event, asked_by: None }
    }

    fn provider() -> Actor {
        Actor::Provider("mind".parse().unwrap())
    }

    fn at(seq: u64, minute: i64, actor: Actor, person: Option<&str>, event: Event) -> JournalLine {
        let asked_by =
            person.map(|person| AskedBy { request: "r".into(), correlation: None, person: Some(person.to_owned()) });
        let at = "2026-03-03T14:00:00Z".parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_mins(minute);
        JournalLine { seq, at, actor, event, asked_by }
    }

    fn told_to(own: &str, journal: &[JournalLine]) -> Vec<String> {
        told_by_way(own, journal, WayBack::Record { detail: Detail::Full, by_consent: false })
    }

    fn told_by_way(own: &str, journal: &[JournalLine], way: WayBack) -> Vec<String> {
        let people = WorkerNames::of(vec![("local:luke".to_owned(), "Luke Byrne".to_owned())], vec![]);
        let own = own.parse().unwrap();
        let noted = [Noted { seq: 12, did: "gave it to Luke Byrne".into(), is_given: true }];
        let eyes = Eyes {
            own: &own,
            people: &people,
            kinds: &[(Uuid::from_u128(6), Kind::Contact)],
            noted: &noted,
            new: &[12],
            way,
        };
        let all = moments(journal, &Registry::default(), eyes);
        all.into_iter().map(|moment| format!("{} {}", moment.at.rsplit(' ').next().unwrap(), moment.told)).collect()
    }

    #[test]
    fn what_happened_is_told_in_plain_words_the_newest_first() {
        let rio = Actor::System("rio".parse().unwrap());
        let submitted = Event::Submitted {
            route: None,
            route_set: "1".into(),
            inbox: "mind".parse().unwrap(),
            instead_of: None,
            beside: None,
        };
        let answered = |from, to, implied| Event::Answered { from, to, implied };
        let (requested, received, accepted) = (TaskStatus::Requested, TaskStatus::Received, TaskStatus::Accepted);
        let journal = [
            at(1, 0, rio, None, submitted),
            at(2, 0, Actor::Onward, None, Event::Superseded { side: crate::domain::Side::Delivery, of: 1 }),
            at(3, 0, Actor::Onward, None, Event::Listed { inbox: "mind".parse().unwrap() }),
            at(4, 5, provider(), Some("local:luke"), answered(requested, received, true)),
            at(5, 5, provider(), Some("local:luke"), answered(received, accepted, false)),
            at(6, 5, Actor::Onward, None, Event::WrittenBack { of: 5, remote: "1".into() }),
            at(7, 6, provider(), Some("local:luke"), answered(accepted, accepted, false)),
            at(8, 9, provider(), Some("local:luke"), answered(accepted, accepted, false)),
            at(9, 30, provider(), Some("local:luke"), answered(accepted, accepted, false)),
            at(10, 31, Actor::Onward, None, Event::WriteBackFailed { of: 9, why: "x".into() }),
            at(11, 40, provider(), Some("oidc:unknown"), answered(accepted, TaskStatus::InProgress, false)),
        ];
        assert_eq!(
            told_to("mind", &journal),
            [
                "2:40pm mind began to work on it",
                "2:30pm Luke Byrne noted something. The referrer’s record could not be brought up to date; IT are told",
                "2:09pm Luke Byrne noted something (2 times)",
                "2:05pm Luke Byrne accepted the referral. It is in the referrer’s record",
                "2pm The referral arrived",
                "2pm rio sent the referral",
            ]
        );
        assert!(
            told_to("other", &journal)[3].contains("mind accepted"),
            "of others the organisation is told, and nobody by name"
        );
    }

    /// What is told to be in the record is there: `writeback/detail.rs` keeps back the rest.
    #[test]
    fn nothing_is_told_to_be_in_the_record_that_stays_here() {
        let accepted = TaskStatus::Accepted;
        let answered = |to| Event::Answered { from: accepted, to, implied: false };
        let said = Event::Message { communication: Uuid::from_u128(7), with: vec![], asks: true, risk: false };
        let mut journal = Vec::new();
        for (n, event) in [answered(accepted), said, answered(TaskStatus::OnHold), answered(TaskStatus::Completed)]
            .into_iter()
            .enumerate()
        {
            let (seq, minute) = (10 * n as u64 + 1, 20 * n as i64);
            journal.push(at(seq, minute, provider(), None, event));
            journal.push(at(seq + 1, minute, Actor::Onward, None, Event::WrittenBack { of: seq, remote: "1".into() }));
        }
        let told = |detail, by_consent| told_by_way("mind", &journal, WayBack::Record { detail, by_consent });
        let all = |told: Vec<String>, words: &str| told.iter().filter(|line| line.contains(words)).count();
        assert_eq!(all(told(Detail::Full, false), "It is in the referrer’s record"), 4);
        let summary = told(Detail::Summary, false);
        assert!(summary[3].ends_with("noted something. Dates are in the referrer’s record, and notes stay here"));
        assert!(summary[0].ends_with("completed it. That is in the referrer’s record, and not what was written"));
        assert_eq!(all(summary, "It is in the referrer’s record"), 2);
        let codes = told(Detail::Codes, true);
        assert!(codes[2].ends_with("Its words are not in the referrer’s record"), "{codes:?}");
        assert_eq!(all(codes, "It is in the referrer’s record"), 0);
    }

    #[test]
    fn what_is_noted_is_told_and_what_nobody_has_looked_at_is_marked() {
        let answered = Event::Answered { from: TaskStatus::Accepted, to: TaskStatus::Accepted, implied: false };
        let journal = [
            at(12, 0, provider(), Some("local:luke"), answered.clone()),
            at(13, 0, Actor::Onward, None, Event::WrittenBack { of: 12, remote: "1".into() }),
            at(14, 1, provider(), None, answered),
        ];
        let told = told_to("mind", &journal);
        assert_eq!(told, ["2:01pm mind noted something", "2pm Luke Byrne gave it to Luke Byrne"]);
        let way = WayBack::Nowhere;
        let own = "mind".parse().unwrap();
        let eyes = Eyes { own: &own, people: &WorkerNames::default(), kinds: &[], noted: &[], new: &[14], way };
        let marked: Vec<bool> =
            moments(&journal, &Registry::default(), eyes).iter().map(|moment| moment.is_new).collect();
        assert_eq!(marked, [true]);
    }

    #[test]
    fn a_contact_is_no_message_to_the_referrer() {
        let said =
            |id: u128| Event::Message { communication: Uuid::from_u128(id), with: vec![], asks: false, risk: false };
        let luke = Some("local:luke");
        let journal = [at(1, 0, provider(), luke, said(6)), at(2, 20, provider(), luke, said(7))];
        let told = told_to("mind", &journal);
        assert_eq!(told, ["2:20pm Luke Byrne wrote a message", "2pm Luke Byrne noted a contact with the person"]);
    }

    #[test]
    fn a_message_has_who_wrote_it_and_what_it_is() {
        let id = Uuid::from_u128(5);
        let body = json!({"resourceType": "Communication", "sender": {"display": "Luke"}, "payload": [{"contentString": "Which floor?"}],
            "category": [{"coding": [{"system": BUSINESS_SYSTEM, "code": INFORMATION_REQUESTED}]}]});
        let stored = StoredResource { later: true, ..crate::web::inbox::tests::stored("Communication", id, &body) };
        let journal =
            [line(4, provider(), Event::Message { communication: id, with: vec![], asks: true, risk: false })];
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

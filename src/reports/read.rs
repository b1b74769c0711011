//! Reads from the store what a report is made of, a page of referrals at a time, and keeps nothing of any person.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    figures::{Answered, Counted, Outcome},
    suppress::SMALL,
};
use crate::{
    domain::{ReferralId, TaskId},
    fhir::test_data,
    places::outward_of,
    store::{JournalLine, RoutedQuery, Store, StoreError, StoredResource},
};

/// A report is of no more referrals.
pub const REPORTED_MAX: u64 = 100_000;
/// So many referrals are read with one question.
const PAGE: usize = 500;
/// No name of a reason is longer; what is written there is the sender's.
const REASON_CHARS_MAX: usize = 80;
/// The reason where none has a code.
const IN_WORDS: &str = "Other, said in words only";

/// Why there is no report.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReportError {
    /// More than [`REPORTED_MAX`] were stored in the time.
    #[error("{0} referrals came in that time, and a report is of {REPORTED_MAX} at most: choose fewer days")]
    TooMany(u64),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What of a ServiceRequest is looked at.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Request {
    reason_code: Vec<Concept>,
    subject: Reference,
    contained: Vec<Person>,
    meta: Value,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Concept {
    coding: Vec<Coding>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Coding {
    system: Option<String>,
    code: Option<String>,
    display: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Reference {
    reference: Option<String>,
}

/// What of a Patient is looked at.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Person {
    resource_type: String,
    id: String,
    address: Vec<Address>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Address {
    #[serde(rename = "use")]
    usage: Option<String>,
    postal_code: Option<String>,
}

/// The referrals that were stored at or after the one time and before the other, one for each service that they went to.
///
/// # Errors
/// [`ReportError`]
pub async fn read(store: &dyn Store, from: Timestamp, before: Timestamp) -> Result<Vec<Counted>, ReportError> {
    let all = store.count_routed(from, before).await?;
    if all > REPORTED_MAX {
        return Err(ReportError::TooMany(all));
    }
    let (mut counted, mut words) = (Vec::new(), Words::default());
    let mut query = RoutedQuery { from, before, after: None, count: PAGE };
    loop {
        let tasks = store.tasks_routed(query.clone()).await?;
        let Some((at, last)) = tasks.last() else { return Ok(words.put_in(counted)) };
        query.after = Some((*at, last.referral));
        // what follows others is no referral to a service
        let tasks: Vec<_> = tasks.into_iter().filter(|(_, task)| !task.is_parent()).collect();
        let mut referrals: Vec<ReferralId> = tasks.iter().map(|(_, task)| task.referral).collect();
        referrals.dedup();
        let about = about(store.gist_of(referrals.clone()).await?);
        // once each, to however many services it went: words of one referral alone are never those of several
        referrals.iter().for_each(|id| words.note(about.get(id).and_then(|about| about.reason.as_ref())));
        let mut answers: BTreeMap<TaskId, Vec<JournalLine>> = BTreeMap::new();
        for (task, line) in store.answers_of(tasks.iter().map(|(_, task)| task.id).collect()).await? {
            answers.entry(task).or_default().push(line);
        }
        for (at, task) in tasks {
            if about.get(&task.referral).is_some_and(|about| about.is_test) {
                continue;
            }
            let said = answers.get(&task.id).into_iter().flatten().map(|line| (line.at, &line.event));
            let about = about.get(&task.referral);
            let reason = about.and_then(|about| about.reason.clone());
            let one = Counted {
                service: task.inbox.as_str().to_owned(),
                area: about.and_then(|about| about.area.clone()),
                reason: None,
                outcome: Outcome::of(task.state.status),
                answered: Answered::of(at, said),
            };
            counted.push((one, reason));
        }
        // others go on meanwhile
        tokio::task::yield_now().await;
    }
}

/// What a report says of a referral beside what became of it.
#[derive(Debug, Default, PartialEq, Eq)]
struct About {
    area: Option<String>,
    reason: Option<Reason>,
    /// It stands for nobody.
    is_test: bool,
}

/// Why somebody was referred.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reason {
    /// A code of a system, with the words that its sender has put beside it.
    Coded { key: (String, String), words: Option<String> },
    /// Only in words, which may be about one person: they are told nowhere.
    InWords,
}

/// The words of codes. What is put beside a code is the sender's own, and may be written for one person: only words that several have are
/// told, and of those the most usual.
#[derive(Default)]
struct Words(BTreeMap<(String, String), BTreeMap<String, u64>>);

/// By referral: the first coded reason of its ServiceRequest, else that there is one in words, and where the person lives whom it is about.
fn about(gist: Vec<StoredResource>) -> BTreeMap<ReferralId, About> {
    let mut about: BTreeMap<ReferralId, About> = BTreeMap::new();
    for one in gist {
        let of = about.entry(one.referral).or_default();
        match one.kind.as_str() {
            "ServiceRequest" => {
                let request: Request = serde_json::from_str(&one.body).unwrap_or_default();
                of.is_test |= test_data::is_test(&json!({"meta": request.meta}));
                let coded = request.reason_code.iter().flat_map(|concept| &concept.coding).find_map(Reason::of);
                of.reason = coded.or((!request.reason_code.is_empty()).then_some(Reason::InWords));
                let own = request.subject.reference.as_deref().and_then(|r| r.strip_prefix('#'));
                let contained = request.contained.iter().filter(|one| one.resource_type == "Patient");
                let contained = contained.into_iter().find(|one| own == Some(one.id.as_str()));
                of.area = contained.and_then(home).or(of.area.take());
            }
            "Patient" => {
                let person: Person = serde_json::from_str(&one.body).unwrap_or_default();
                of.area = of.area.take().or_else(|| home(&person));
            }
            _ => {}
        }
    }
    about
}

/// What the sender has written, as far as a line of a table has room for it.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect()
}

// === impl Reason ===

impl Reason {
    fn of(coding: &Coding) -> Option<Self> {
        let code = coding.code.as_deref().filter(|code| !code.is_empty())?;
        let words = coding.display.as_deref().map(short).filter(|words| !words.is_empty());
        Some(Self::Coded { key: (coding.system.clone().unwrap_or_default(), short(code)), words })
    }
}

// === impl Words ===

impl Words {
    fn note(&mut self, reason: Option<&Reason>) {
        if let Some(Reason::Coded { key, words }) = reason {
            let of = self.0.entry(key.clone()).or_default();
            if let Some(words) = words {
                *of.entry(words.clone()).or_default() += 1;
            }
        }
    }

    /// The referrals with their reasons as they are told.
    fn put_in(&self, counted: Vec<(Counted, Option<Reason>)>) -> Vec<Counted> {
        counted
            .into_iter()
            .map(|(one, reason)| Counted { reason: reason.map(|reason| self.told(&reason)), ..one })
            .collect()
    }

    fn told(&self, reason: &Reason) -> String {
        let key = match reason {
            Reason::Coded { key, .. } => key,
            Reason::InWords => return IN_WORDS.to_owned(),
        };
        let usual = self.0.get(key).into_iter().flatten().filter(|(_, count)| **count >= SMALL);
        match usual.max_by_key(|(_, count)| **count) {
            Some((words, _)) => format!("{words} ({})", key.1),
            None => format!("code {}", key.1),
        }
    }
}

/// The outward code of a person's home: of the first address that is not an old, billing or work one.
fn home(person: &Person) -> Option<String> {
    let lives = |address: &&Address| !matches!(address.usage.as_deref(), Some("old" | "billing" | "work"));
    person.address.iter().filter(lives).find_map(|address| outward_of(address.postal_code.as_deref()?))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn resource(referral: ReferralId, kind: &str, body: &serde_json::Value) -> StoredResource {
        StoredResource {
            kind: kind.into(),
            id: Uuid::nil(),
            version: 1,
            last_updated: Timestamp::UNIX_EPOCH,
            referral,
            origin: None,
            task: None,
            later: false,
            body: body.to_string(),
        }
    }

    #[test]
    fn area_and_reason_are_told_and_nothing_else_of_a_person() {
        let (one, other, third) = (ReferralId::mint(), ReferralId::mint(), ReferralId::mint());
        let coded =
            json!([{"text": "she told me"}, {"coding": [{"display": "no code"}, {"code": "1", "display": "Lonely"}]}]);
        let addresses =
            json!([{"use": "old", "postalCode": "CH41 1AA"}, {"line": ["1 High Street"]}, {"postalCode": "l1 9zz"}]);
        let contained = json!([{"resourceType": "Patient", "id": "p", "address": [{"postalCode": "L15 3ZZ"}]}]);
        let found = about(vec![
            resource(
                one,
                "Patient",
                &json!({"resourceType": "Patient", "address": addresses, "name": [{"family": "X"}]}),
            ),
            resource(one, "ServiceRequest", &json!({"reasonCode": coded, "subject": {"reference": "Patient/1"}})),
            resource(other, "ServiceRequest", &json!({"contained": contained, "subject": {"reference": "#p"}})),
            resource(third, "ServiceRequest", &json!({"reasonCode": "no list"})),
        ]);
        let lonely = Reason::Coded { key: (String::new(), "1".into()), words: Some("Lonely".into()) };
        assert_eq!(found[&one], About { area: Some("L1".into()), reason: Some(lonely), is_test: false });
        assert_eq!(found[&other], About { area: Some("L15".into()), reason: None, is_test: false });
        assert_eq!(found[&third], About::default(), "what cannot be read is not known");
    }

    #[test]
    fn of_a_reason_only_words_are_told_that_several_have() {
        let coding = |code: &str, display: &str| Coding {
            system: Some("https://trust.example/reasons".into()),
            code: Some(code.into()),
            display: Some(display.into()),
        };
        let mut all: Vec<Option<Reason>> = (0..SMALL).map(|_| Reason::of(&coding("1", "Lonely"))).collect();
        all.extend((0..SMALL + 1).map(|_| Reason::of(&coding("1", "Loneliness"))));
        all.extend((0..SMALL).map(|n| Reason::of(&coding("oth", &format!("Other: what she told me, {n}")))));
        all.push(Some(Reason::InWords));
        let mut words = Words::default();
        all.iter().for_each(|reason| words.note(reason.as_ref()));
        let told: std::collections::BTreeSet<String> = all.iter().flatten().map(|reason| words.told(reason)).collect();
        assert_eq!(told.into_iter().collect::<Vec<_>>(), ["Loneliness (1)", IN_WORDS, "code oth"]);
    }

    #[test]
    fn a_reason_in_words_only_is_counted_and_not_told() {
        let referral = ReferralId::mint();
        let request = json!({"reasonCode": [{"text": "she is alone since June"}]});
        let found = about(vec![resource(referral, "ServiceRequest", &request)]);
        assert_eq!(found[&referral].reason, Some(Reason::InWords));
    }
}

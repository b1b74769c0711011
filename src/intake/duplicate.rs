//! Another open referral of the same person to the same service. Who is told of it is who may read it anyway: the system that sent
//! it, and others of its organisation without a word of which; the provider, in whose inbox both lie. Any other sender is told
//! nothing, and what is done for its referral is the same either way: one question to the store, and one commit.
//!
//! It is looked for before the commit, so two that come at once pass both, and so do two of one request.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use uuid::Uuid;

use super::{Intake, IntakeError};
use crate::{
    auth::{Deed, client_that_may},
    config::registry::{Client, Inbox, Registry, SamePerson, System},
    domain::{InboxId, SystemId, TaskId},
    fhir::{
        Issue, IssueCode,
        names::name,
        nhs_number::{self, NhsNumber},
        tree,
    },
    routing::same_ods,
    store::{Parties, StoredResource, TaskRecord},
};

/// So many identifiers of a person are looked for.
const IDENTIFIERS_MAX: usize = 10;
/// So many open Tasks that bear one of them are looked at.
const LOOKED_AT_MAX: usize = 50;

/// A referral that was routed and is not stored yet.
pub(super) struct Routed<'a> {
    /// Systems and inboxes.
    pub registry: &'a Registry,
    /// Who sends it.
    pub system: &'a System,
    /// By what it is known when it comes again.
    pub key: &'a str,
    /// Where it stands in the request.
    pub place: &'a str,
    /// Its ServiceRequest.
    pub request: &'a Value,
    /// Finds what travels with it.
    pub find: &'a (dyn Fn(&str) -> Option<&'a Value> + Sync),
    /// Where it goes.
    pub inboxes: &'a [&'a Inbox],
}

/// What there is beside it.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// What its sender is told.
    pub notes: Vec<Issue>,
    /// What each provider is pointed to.
    pub tasks: BTreeMap<InboxId, TaskId>,
}

impl Intake {
    /// What is open beside a referral.
    ///
    /// # Errors
    /// [`IntakeError::Rule`] where it is to be refused: 422 and not 409, which says that this very referral is here already and which a
    /// sender may take for its delivery (BaRS, error codes). Otherwise that the store cannot be asked.
    pub(super) async fn beside(&self, new: &Routed<'_>) -> Result<Beside, IntakeError> {
        let mut beside = Beside::default();
        let wanted = new.registry.same_person;
        let person = Person::of(new.request, new.find);
        if wanted == SamePerson::Off || person.identifiers.is_empty() {
            return Ok(beside);
        }
        let inboxes = new.inboxes.iter().map(|inbox| inbox.id.clone()).collect();
        let mut open = self.store.open_by_name(person.names(), inboxes, LOOKED_AT_MAX).await?;
        open.retain(|(task, resources)| person.is_same(&Person::of_stored(task, resources)));
        // the same again is no other one; another system has no part in what its key says
        if open.iter().any(|(task, _)| task.system == new.system.id)
            && let Some((known, _)) = self.store.submitted(&new.system.id, new.key).await?
        {
            open.retain(|(task, _)| task.referral != known.referral);
        }
        for (task, _) in &open {
            let parties = Parties { system: task.system.clone(), providers: vec![task.provider.clone()] };
            let inbox = new.inboxes.iter().find(|inbox| inbox.id == task.inbox);
            if let Some(inbox) = inbox
                && client_that_may(&[Client::Provider(inbox.provider.clone())], Deed::Read, &parties).is_some()
            {
                beside.tasks.entry(inbox.id.clone()).or_insert(task.id);
            }
        }
        let told = open.iter().find_map(|(task, _)| told(new, &task.system, task.request));
        let Some(told) = told else { return Ok(beside) };
        let place = format!("{}.subject", new.place);
        if wanted == SamePerson::Refuse {
            return Err(IntakeError::Rule(vec![Issue::error(IssueCode::Duplicate, place, told)]));
        }
        beside.notes.push(Issue::information(IssueCode::Duplicate, place, told));
        Ok(beside)
    }
}

/// What the sender of a new referral may be told of another one; nothing of what is another organisation's.
fn told(new: &Routed<'_>, by: &SystemId, request: Uuid) -> Option<String> {
    let parties = Parties { system: by.clone(), providers: vec![] };
    if client_that_may(&[Client::System(new.system.id.clone())], Deed::Read, &parties).is_some() {
        return Some(format!("another referral of this person to the same service is open: ServiceRequest/{request}"));
    }
    let other = new.registry.systems.get(by)?;
    // it may not read that one: which it is, its organisation finds where it was written
    same_ods(&other.ods_code, &new.system.ods_code).then(|| {
        format!(
            "another referral of this person to the same service is open; your organisation sent it from “{}”",
            other.id
        )
    })
}

/// By what a person is known.
#[derive(Debug, Default)]
struct Person {
    /// System and value of each.
    identifiers: BTreeSet<(String, String)>,
}

impl Person {
    /// The subject of a ServiceRequest.
    fn of<'a>(request: &'a Value, find: &(dyn Fn(&str) -> Option<&'a Value> + Sync)) -> Self {
        let mut person = Self::default();
        let subject = request.get("subject").unwrap_or(&Value::Null);
        if let Some(identifier) = subject.get("identifier") {
            person.add(identifier);
        }
        let literal = tree::text(subject, "reference").unwrap_or_default();
        let patient = match literal.strip_prefix('#') {
            Some(id) => {
                tree::items(request, "contained").iter().find(|one| one.get("id").and_then(Value::as_str) == Some(id))
            }
            None => find(literal),
        };
        let identifiers = patient.map(|patient| tree::items(patient, "identifier")).unwrap_or_default();
        identifiers.iter().for_each(|identifier| person.add(identifier));
        person
    }

    /// The subject of a referral that is stored.
    fn of_stored(task: &TaskRecord, resources: &[StoredResource]) -> Self {
        let read = |one: &StoredResource| serde_json::from_str::<Value>(&one.body).unwrap_or_default();
        let is_request = |one: &&StoredResource| one.kind == "ServiceRequest" && one.id == task.request;
        let Some(request) = resources.iter().find(is_request).map(read) else { return Self::default() };
        let subject = tree::text(&request, "subject.reference").unwrap_or_default();
        let patient = resources.iter().find(|one| format!("{}/{}", one.kind, one.id) == subject).map(read);
        Self::of(&request, &|_| patient.as_ref())
    }

    fn add(&mut self, identifier: &Value) {
        let text = |name: &str| identifier.get(name).and_then(Value::as_str).map(str::trim).filter(|t| !t.is_empty());
        let (Some(system), Some(value)) = (text("system"), text("value")) else { return };
        // what was another's or is not valid any more names nobody
        if text("use") == Some("old") || self.identifiers.len() >= IDENTIFIERS_MAX {
            return;
        }
        let value = if system == nhs_number::SYSTEM { value.replace(' ', "") } else { value.to_owned() };
        // a number that was never given to anybody, such as ten zeros, is many persons'
        if system != nhs_number::SYSTEM || value.parse::<NhsNumber>().is_ok() {
            self.identifiers.insert((system.to_owned(), value));
        }
    }

    fn nhs_numbers(&self) -> impl Iterator<Item = &str> {
        self.identifiers.iter().filter(|(system, _)| system == nhs_number::SYSTEM).map(|(_, value)| value.as_str())
    }

    /// Whether both are certainly one person: by their NHS numbers where both have one, else by any other identifier.
    fn is_same(&self, other: &Self) -> bool {
        if self.nhs_numbers().next().is_some() && other.nhs_numbers().next().is_some() {
            return self.nhs_numbers().any(|number| other.nhs_numbers().any(|one| one == number));
        }
        self.identifiers.intersection(&other.identifiers).next().is_some()
    }

    /// What referrals of this person are found by; an NHS number is written in either of two ways.
    fn names(&self) -> Vec<String> {
        let spaced = self.nhs_numbers().filter_map(|number| {
            let (a, rest) = number.split_at_checked(3)?;
            let (b, c) = rest.split_at_checked(3)?;
            Some(format!("{a} {b} {c}"))
        });
        let mut names: Vec<String> = spaced.collect();
        names.extend(self.identifiers.iter().map(|(_, value)| name(value)));
        names.sort_unstable();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MRN: &str = "https://rio.merseycare.example/mrn";

    fn person(identifiers: &[(&str, &str)]) -> Person {
        let identifiers: Vec<Value> =
            identifiers.iter().map(|(system, value)| json!({"system": system, "value": value})).collect();
        let patient = json!({"resourceType": "Patient", "id": "p", "identifier": identifiers});
        Person::of(&json!({"subject": {"reference": "#p"}, "contained": [patient]}), &|_| None)
    }

    #[test]
    fn persons_are_told_apart_by_nhs_number_and_otherwise_by_what_else_is_the_same() {
        const NHS: &str = nhs_number::SYSTEM;
        for (a, b, same) in [
            (&[(NHS, "9990471134")][..], &[(NHS, "9990471134")][..], true),
            (&[(NHS, "999 047 1134")], &[(NHS, "9990471134")], true),
            (&[(NHS, "9990471134")], &[(NHS, "9990606900")], false),
            // two numbers are two persons, whatever else is the same
            (&[(NHS, "9990471134"), (MRN, "7")], &[(NHS, "9990606900"), (MRN, "7")], false),
            (&[(NHS, "9990471134"), (MRN, "7")], &[(MRN, "7")], true),
            (&[(MRN, "7")], &[(MRN, "7")], true),
            (&[(MRN, "7")], &[(MRN, "8")], false),
            // the same value of another system is another number
            (&[(MRN, "7")], &[("https://ward.example/mrn", "7")], false),
            // one that nobody has tells nothing
            (&[(NHS, "0000000001")], &[(NHS, "0000000001")], false),
            (&[], &[], false),
        ] {
            let (a, b) = (person(a), person(b));
            assert_eq!((a.is_same(&b), b.is_same(&a)), (same, same), "{a:?} {b:?}");
        }
    }

    #[test]
    fn an_nhs_number_is_looked_for_in_both_ways_it_is_written() {
        let names = person(&[(nhs_number::SYSTEM, "9990471134"), (MRN, "7")]).names();
        assert_eq!(names, ["7", "999 047 1134", "9990471134"]);
    }

    #[test]
    fn a_person_is_found_where_the_subject_names_them() {
        let mrn = |value: &str| json!({"system": MRN, "value": value});
        let carried = json!({"resourceType": "Patient", "identifier": [mrn("carried"), {"use": "old", "system": MRN, "value": "old"},
            {"value": "of no system"}, mrn("  ")]});
        let request = json!({"subject": {"reference": "Patient/1", "identifier": mrn("named")},
            "contained": [{"resourceType": "Patient", "id": "another", "identifier": [mrn("another")]}]});
        let found = Person::of(&request, &|literal| (literal == "Patient/1").then_some(&carried));
        let values: Vec<&str> = found.identifiers.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["carried", "named"]);
        let many: Vec<Value> = (0..100).map(|n| mrn(&n.to_string())).collect();
        let patient = json!({"identifier": many});
        assert_eq!(Person::of(&request, &|_| Some(&patient)).identifiers.len(), IDENTIFIERS_MAX);
    }

    /// What a system is told of a referral that another sent.
    fn told_to(system: &str, by: &str) -> Option<String> {
        let mut text = String::new();
        for (id, ods) in [("rio", "RW4"), ("community", "rw4"), ("practice", "N82999")] {
            text += &format!(
                "[[system]]\nid = \"{id}\"\nname = \"{id}\"\nods-code = \"{ods}\"\ntokens = [{{ env = \"{id}\" }}]\n"
            );
        }
        let env = ["rio", "community", "practice"].map(|id| (id.to_owned(), format!("token-of-{id}-which-is-long")));
        let env = crate::config::Env::from_iter(env);
        let (config, _) = crate::config::Config::parse(&text, "onward.toml".as_ref(), &env).unwrap();
        let registry: &Registry = &config.registry;
        let id: SystemId = system.parse().unwrap();
        let new = Routed {
            registry,
            system: &registry.systems[&id],
            key: "k",
            place: "ServiceRequest",
            request: &Value::Null,
            find: &|_| None,
            inboxes: &[],
        };
        told(&new, &by.parse().unwrap(), Uuid::nil())
    }

    #[test]
    fn who_may_read_the_other_one_is_told_which_and_its_organisation_that_there_is_one() {
        let own = told_to("rio", "rio").unwrap();
        assert!(own.contains("is open: ServiceRequest/"), "{own}");
        let organisations = told_to("community", "rio").unwrap();
        assert!(organisations.ends_with("your organisation sent it from “rio”"), "{organisations}");
        assert!(!organisations.contains('/'), "{organisations}");
        for (system, by) in [("practice", "rio"), ("rio", "practice"), ("rio", "gone")] {
            assert_eq!(told_to(system, by), None, "{system} of {by}'s");
        }
    }
}

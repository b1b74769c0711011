//! What was acknowledged, held against what lies at providers and in records: nothing lost, doubled, out of order or at the wrong
//! one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use onward::demo::double::Double;
use serde_json::Value;

use super::{
    onward::{our_id, told},
    referrals::Referral,
    scripts::Fates,
};

/// A request that was acknowledged.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    /// Who sent it.
    pub system: String,
    /// Placer identifier (`system|value`) and inbox of each referral in it.
    pub parts: Vec<(String, String)>,
    /// The ids of the Tasks that were made of it.
    pub tasks: Vec<String>,
}

/// A provider, and what it did.
pub struct Provider {
    /// Its inbox.
    pub inbox: &'static str,
    /// What it did with what came to it.
    pub fates: Fates,
    /// Its server; none where it works from Onward's worklist.
    pub server: Option<Arc<Double>>,
}

/// The record of some systems.
pub struct Record {
    /// Whose it is.
    pub systems: &'static [&'static str],
    /// Where it lies.
    pub server: Arc<Double>,
}

/// All of them.
pub struct Servers {
    /// Those referred to.
    pub providers: Vec<Provider>,
    /// Those that are told.
    pub records: Vec<Record>,
}

/// What a record was told of a Task: seq and status of each of its versions.
type History = Vec<(u64, String)>;

/// What lies there.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// What came to each inbox.
    inboxes: BTreeMap<&'static str, Came>,
    /// The record of each system, by the place in `records`.
    record_of: BTreeMap<&'static str, usize>,
    /// What each record was told of which Task, by our id.
    records: Vec<Vec<(String, History)>>,
    /// What a record must have been told of each Task.
    fates: BTreeMap<String, Vec<&'static str>>,
}

/// What came to an inbox.
#[derive(Debug, Default, Clone)]
struct Came {
    /// Our ids of the Tasks, each as often as it lies there.
    tasks: Vec<String>,
    /// The identifiers of each ServiceRequest; none where the inbox has no server.
    requests: Option<Vec<BTreeSet<String>>>,
}

// === impl Acknowledged ===

impl Acknowledged {
    /// A referral of which these Tasks were made.
    pub fn new(referral: &Referral, tasks: Vec<String>) -> Self {
        Self { system: referral.system.clone(), parts: referral.parts.clone(), tasks }
    }
}

// === impl Servers ===

impl Servers {
    /// What lies there now.
    pub fn look(&self) -> Seen {
        let mut seen = Seen::default();
        for provider in &self.providers {
            let fates = provider.fates.all();
            let came = match &provider.server {
                Some(server) => Came {
                    tasks: server.resources("Task").iter().map(|task| id_of(task)).collect(),
                    requests: Some(server.resources("ServiceRequest").iter().map(|r| identifiers(r)).collect()),
                },
                None => Came { tasks: fates.keys().cloned().collect(), requests: None },
            };
            seen.inboxes.insert(provider.inbox, came);
            seen.fates.extend(fates);
        }
        for (at, record) in self.records.iter().enumerate() {
            seen.record_of.extend(record.systems.iter().map(|system| (*system, at)));
            let tasks = record.server.resources("Task");
            let history = |task: &Value| {
                let versions = record.server.versions("Task", task["id"].as_str().unwrap());
                told(&versions.iter().map(|v| (*v.resource).clone()).collect::<Vec<_>>())
            };
            seen.records.push(tasks.iter().map(|task| (id_of(task), history(task))).collect());
        }
        seen
    }
}

fn id_of(task: &Value) -> String {
    our_id(task).unwrap_or_else(|| format!("(a Task without our id: {})", task["id"]))
}

fn identifiers(request: &Value) -> BTreeSet<String> {
    let each = request["identifier"].as_array().into_iter().flatten();
    each.map(|i| format!("{}|{}", i["system"].as_str().unwrap_or(""), i["value"].as_str().unwrap_or(""))).collect()
}

/// What differs, a line each: what was acknowledged must be at its provider once, and its record must have been told once and in
/// order what the provider did. What was not acknowledged must be nowhere.
pub fn differences(sent: &[Acknowledged], seen: &Seen) -> Vec<String> {
    let mut found = Vec::new();
    tasks_at_providers(sent, seen, &mut found);
    requests_at_providers(sent, seen, &mut found);
    records(sent, seen, &mut found);
    found
}

fn tasks_at_providers(sent: &[Acknowledged], seen: &Seen, found: &mut Vec<String>) {
    let mut came: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (inbox, arrived) in &seen.inboxes {
        arrived.tasks.iter().for_each(|id| came.entry(id).or_default().push(inbox));
    }
    for referral in sent {
        let said = format!("{} of {}", referral.parts[0].0, referral.system);
        if referral.tasks.len() != referral.parts.len() {
            found.push(format!("{said}: {} Tasks for {} referrals", referral.tasks.len(), referral.parts.len()));
        }
        let mut at = Vec::new();
        for id in &referral.tasks {
            match came.remove(id.as_str()).unwrap_or_default()[..] {
                [] => found.push(format!("lost: Task {id} ({said}) is at no provider")),
                [inbox] => at.push(inbox),
                ref several => found.push(format!("doubled: Task {id} ({said}) is at {several:?}")),
            }
        }
        // which Task is of which part is not said, where there are several
        let mut meant: Vec<&str> = referral.parts.iter().map(|(_, inbox)| inbox.as_str()).collect();
        meant.sort_unstable();
        at.sort_unstable();
        if at.len() == meant.len() && at != meant {
            found.push(format!("wrong destination: {said}, Tasks {:?}, is at {at:?}, not {meant:?}", referral.tasks));
        }
    }
    found.extend(came.iter().map(|(id, at)| format!("never acknowledged: Task {id} is at {at:?}")));
}

fn requests_at_providers(sent: &[Acknowledged], seen: &Seen, found: &mut Vec<String>) {
    for (inbox, came) in &seen.inboxes {
        let Some(requests) = &came.requests else { continue };
        let parts = sent.iter().flat_map(|referral| &referral.parts);
        let mut times: BTreeMap<&str, u32> =
            parts.filter(|(_, to)| to == inbox).map(|(placer, _)| (placer.as_str(), 0)).collect();
        for request in requests {
            match request.iter().find(|identifier| times.contains_key(identifier.as_str())) {
                Some(placer) => *times.get_mut(placer.as_str()).unwrap() += 1,
                None => found.push(format!("a ServiceRequest {request:?} at {inbox} that nobody sent there")),
            }
        }
        let wrong = times.iter().filter(|(_, times)| **times != 1);
        found.extend(wrong.map(|(placer, times)| format!("ServiceRequest {placer} is {times} times at {inbox}")));
    }
}

fn records(sent: &[Acknowledged], seen: &Seen, found: &mut Vec<String>) {
    let mut held: BTreeMap<&str, Vec<(usize, &History)>> = BTreeMap::new();
    for (at, record) in seen.records.iter().enumerate() {
        record.iter().for_each(|(id, history)| held.entry(id).or_default().push((at, history)));
    }
    for referral in sent {
        let meant = seen.record_of.get(referral.system.as_str());
        for id in &referral.tasks {
            let (at, history) = match held.remove(id.as_str()).unwrap_or_default()[..] {
                [] => {
                    found.push(format!("untold: Task {id} is not in the record of {}", referral.system));
                    continue;
                }
                [(at, history)] => (at, history),
                ref several => {
                    found.push(format!("doubled: Task {id} of {} in the records: {several:?}", referral.system));
                    continue;
                }
            };
            if Some(&at) != meant {
                found.push(format!("wrong record: Task {id} of {} is in record {at}", referral.system));
            }
            if !history.is_sorted_by(|a, b| a.0 < b.0) {
                found.push(format!("out of order: the record was told of Task {id} {history:?}"));
            }
            let statuses: Vec<_> = history.iter().map(|(_, status)| status.as_str()).collect();
            match seen.fates.get(id) {
                Some(fate) if *fate != statuses => {
                    found.push(format!(
                        "differs: the record was told of Task {id} {history:?}, its provider did {fate:?}"
                    ));
                }
                None => found.push(format!("nobody at work: Task {id}, of which the record was told {history:?}")),
                Some(_) => {}
            }
        }
    }
    found.extend(held.keys().map(|id| format!("never acknowledged: Task {id} is in a record")));
}

mod tests {
    use super::*;

    /// One referral to each of two inboxes, in the records of two systems; all is well.
    fn well() -> (Vec<Acknowledged>, Seen) {
        let one = |n: usize, system: &str, inbox: &str| Acknowledged {
            system: system.to_owned(),
            parts: vec![(format!("s|{n}"), inbox.to_owned())],
            tasks: vec![format!("t{n}")],
        };
        let came = |n: usize| Came {
            tasks: vec![format!("t{n}")],
            requests: Some(vec![[format!("s|{n}"), "onward|x".to_owned()].into()]),
        };
        let told = |n: usize| (format!("t{n}"), vec![(2, "received".to_owned()), (3, "accepted".to_owned())]);
        let fate = |n: usize| (format!("t{n}"), vec!["received", "accepted"]);
        let seen = Seen {
            inboxes: [("a", came(1)), ("b", came(2))].into(),
            record_of: [("x", 0), ("y", 1)].into(),
            records: vec![vec![told(1)], vec![told(2)]],
            fates: [fate(1), fate(2)].into(),
        };
        (vec![one(1, "x", "a"), one(2, "y", "b")], seen)
    }

    /// What is said of `well` after a change.
    fn said(change: impl FnOnce(&mut Vec<Acknowledged>, &mut Seen)) -> String {
        let (mut sent, mut seen) = well();
        change(&mut sent, &mut seen);
        differences(&sent, &seen).join("\n")
    }

    fn inbox<'s>(seen: &'s mut Seen, name: &str) -> &'s mut Came {
        seen.inboxes.get_mut(name).unwrap()
    }

    #[test]
    fn whatever_differs_is_said_and_nothing_else() {
        assert_eq!(said(|_, _| {}), "");
        let lost = said(|_, seen| *inbox(seen, "a") = Came { tasks: vec![], requests: Some(vec![]) });
        assert!(lost.starts_with("lost: Task t1") && lost.contains("s|1 is 0 times at a"), "{lost}");
        let doubled = said(|_, seen| inbox(seen, "a").tasks.push("t1".to_owned()));
        assert!(doubled.starts_with("doubled: Task t1"), "{doubled}");
        let again = said(|_, seen| inbox(seen, "a").requests.as_mut().unwrap().push(["s|1".to_owned()].into()));
        assert_eq!(again, "ServiceRequest s|1 is 2 times at a");
        let wrong = said(|_, seen| {
            let (a, b) = (inbox(seen, "a").clone(), inbox(seen, "b").clone());
            (*inbox(seen, "a"), *inbox(seen, "b")) = (b, a);
        });
        assert!(wrong.contains("wrong destination: s|1") && wrong.contains("at a that nobody sent there"), "{wrong}");
        let listed = said(|_, seen| {
            for name in ["a", "b"] {
                inbox(seen, name).requests = None;
            }
            inbox(seen, "b").tasks.push("t1".to_owned());
        });
        assert!(listed.starts_with("doubled: Task t1"), "{listed}");
        let unknown = said(|sent, _| sent.truncate(1));
        assert!(unknown.contains("never acknowledged: Task t2 is at [\"b\"]"), "{unknown}");
        assert!(unknown.contains("never acknowledged: Task t2 is in a record"), "{unknown}");
    }

    #[test]
    fn whatever_a_record_was_told_wrongly_is_said() {
        let untold = said(|_, seen| seen.records[0].clear());
        assert_eq!(untold, "untold: Task t1 is not in the record of x");
        let twice = said(|_, seen| {
            let task = seen.records[0][0].clone();
            seen.records[0].push(task);
        });
        assert!(twice.starts_with("doubled: Task t1 of x in the records"), "{twice}");
        let order = said(|_, seen| seen.records[0][0].1.reverse());
        assert!(order.contains("out of order: the record was told of Task t1"), "{order}");
        let status_twice = said(|_, seen| seen.records[0][0].1.push((4, "accepted".to_owned())));
        assert!(status_twice.starts_with("differs: the record was told of Task t1"), "{status_twice}");
        let last_missing = said(|_, seen| seen.records[0][0].1.truncate(1));
        assert!(last_missing.starts_with("differs: the record was told of Task t1"), "{last_missing}");
        let wrong = said(|_, seen| seen.records.swap(0, 1));
        assert!(wrong.contains("wrong record: Task t1 of x is in record 1"), "{wrong}");
    }
}

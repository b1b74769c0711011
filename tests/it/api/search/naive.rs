//! Whatever is asked: what is found is what the plainest reading of each condition finds in everything.

use std::collections::BTreeSet;

use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};
use serde_json::Value;

use super::super::{hub, query, resources};
use super::{pages, referrals};
use hub::{Actor, GP, Hub, LINK_WORKERS};

/// A condition as a query has it, and what it means by the plainest reading.
type Meaning = (&'static str, &'static str, fn(&Value) -> bool);

fn code(resource: &Value, pointer: &str, wanted: &str) -> bool {
    let concepts = match resource.pointer(pointer) {
        Some(Value::Array(all)) => all.clone(),
        Some(one) => vec![one.clone()],
        None => vec![],
    };
    concepts.iter().any(|c| c["coding"].as_array().is_some_and(|all| all.iter().any(|c| c["code"] == wanted)))
}

fn day(resource: &Value, element: &str) -> String {
    resource[element].as_str().map(|t| t[..10].to_owned()).unwrap_or_default()
}

const OF_REQUESTS: &[Meaning] = &[
    ("status", "active", |r| r["status"] == "active"),
    ("status:not", "active", |r| r["status"] != "active"),
    ("intent", "order", |r| r["intent"] == "order"),
    ("intent", "plan,proposal", |r| r["intent"] == "plan" || r["intent"] == "proposal"),
    ("priority", "urgent", |r| r["priority"] == "urgent"),
    ("priority", "urgent,routine", |r| r["priority"] == "urgent" || r["priority"] == "routine"),
    ("priority:not", "urgent", |r| r["priority"] != "urgent"),
    ("priority:missing", "true", |r| r.get("priority").is_none()),
    ("priority", "http://hl7.org/fhir/request-priority|asap", |r| r["priority"] == "asap"),
    ("code", "871731000000106", |r| code(r, "/code", "871731000000106")),
    ("code", "http://snomed.info/sct|1", |_| false),
    ("category:missing", "false", |r| r.get("category").is_some()),
    ("authored", "ge2026-03-03", |r| day(r, "authoredOn").as_str() >= "2026-03-03"),
    ("authored", "lt2026-03-02", |r| day(r, "authoredOn").as_str() < "2026-03-02"),
    ("authored", "2026-03-02", |r| day(r, "authoredOn") == "2026-03-02"),
    ("authored", "ne2026-03-02", |r| day(r, "authoredOn") != "2026-03-02"),
    ("authored", "2026-03", |r| day(r, "authoredOn").starts_with("2026-03")),
    ("requisition", "urn:group|G-2", |r| r["requisition"]["value"] == "G-2"),
    ("requisition:missing", "true", |r| r.get("requisition").is_none()),
    ("identifier", "various-1", |r| r["identifier"][0]["value"] == "various-1"),
    ("identifier", "various-1,various-2,nobody", |r| {
        r["identifier"][0]["value"] == "various-1" || r["identifier"][0]["value"] == "various-2"
    }),
    ("subject:missing", "false", |r| r.get("subject").is_some()),
    ("encounter:missing", "true", |r| r.get("encounter").is_none()),
];

const OF_TASKS: &[Meaning] = &[
    ("status", "requested", |t| t["status"] == "requested"),
    ("status", "accepted,rejected", |t| t["status"] == "accepted" || t["status"] == "rejected"),
    ("status:not", "rejected", |t| t["status"] != "rejected"),
    ("code", "fulfill", |t| code(t, "/code", "fulfill")),
    ("code", "http://hl7.org/fhir/CodeSystem/task-code|approve", |_| false),
    ("intent", "order", |t| t["intent"] == "order"),
    ("priority", "urgent", |t| t["priority"] == "urgent"),
    ("priority:missing", "true", |t| t.get("priority").is_none()),
    ("owner", "Organization/link-workers", |_| true),
    ("owner", "Organization/life-rooms", |_| false),
    ("owner:identifier", "https://fhir.nhs.uk/Id/ods-organization-code|U99999", |_| true),
    ("group-identifier", "G-0", |t| t["groupIdentifier"]["value"] == "G-0"),
    ("business-status:missing", "true", |t| t.get("businessStatus").is_none()),
    ("part-of:missing", "true", |t| t.get("partOf").is_none()),
    ("authored-on", "gt2020-01-01", |t| day(t, "authoredOn").as_str() > "2020-01-01"),
    ("modified", "lt2020-01-01", |t| day(t, "lastModified").as_str() < "2020-01-01"),
    ("_lastUpdated", "gt2020-01-01", |_| true),
    ("_lastUpdated", "lt2020-01-01", |_| false),
    ("requester:missing", "false", |t| t.get("requester").is_some()),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_asked_a_naive_filter_finds_the_same() {
    let hub = Hub::start().await;
    referrals(&hub, 14).await;
    let (gp, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    let all_of = async |kind: &str| {
        let bundle = gp.get(&format!("/fhir/{kind}?_count=100")).await.json();
        resources(&bundle).into_iter().cloned().collect::<Vec<_>>()
    };
    let (requests, tasks) = (all_of("ServiceRequest").await, all_of("Task").await);
    assert_eq!((requests.len(), tasks.len()), (14, 14));
    let handle = tokio::runtime::Handle::current();
    let checked = tokio::task::spawn_blocking(move || {
        let config = Config { cases: 120, failure_persistence: None, ..Config::default() };
        let pick = |of: &'static [Meaning]| prop::collection::vec(select(of), 1..4);
        let order = select(&["", "_id", "-_id"][..]);
        let strategy = (any::<bool>(), pick(OF_REQUESTS), pick(OF_TASKS), 1..7usize, order, any::<bool>());
        TestRunner::new(config).run(&strategy, |(of_tasks, requested, tasked, count, order, by_provider)| {
            let (kind, meanings, all) =
                if of_tasks { ("Task", tasked, &tasks) } else { ("ServiceRequest", requested, &requests) };
            let mut expected: Vec<String> = all
                .iter()
                .filter(|resource| meanings.iter().all(|(_, _, holds)| holds(resource)))
                .map(|resource| resource["id"].as_str().unwrap().to_owned())
                .collect();
            let mut pairs: Vec<(&str, &str)> = meanings.iter().map(|(name, value, _)| (*name, *value)).collect();
            let count = count.to_string();
            pairs.push(("_count", &count));
            if !order.is_empty() {
                pairs.push(("_sort", order));
            }
            let actor: &Actor = if by_provider { &provider } else { &gp };
            let found = handle.block_on(pages(actor, &format!("/fhir/{kind}{}", query(&pairs))));
            let found = found.concat();
            let distinct: BTreeSet<&String> = found.iter().collect();
            prop_assert_eq!(distinct.len(), found.len(), "a page repeats: {:?}", pairs);
            if order.is_empty() {
                let mut sorted = found.clone();
                sorted.sort();
                expected.sort();
                prop_assert_eq!(sorted, expected, "{:?}", pairs);
            } else {
                expected.sort();
                if order == "-_id" {
                    expected.reverse();
                }
                prop_assert_eq!(found, expected, "{:?}", pairs);
            }
            Ok(())
        })
    });
    checked.await.unwrap().unwrap();
    hub.stop().await;
}

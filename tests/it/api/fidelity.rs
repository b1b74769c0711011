//! Nothing is modified: what was sent, against `$package` and against what the providers' servers got, element by element.
//! Design section 5 says what alone may differ.

use std::collections::BTreeMap;

use onward::fhir::{Limits, tree, xml};
use serde_json::Value;

use super::{fixtures, hub, resources};
use crate::support::until;
use hub::{HOUSING, Hub, LIFE_ROOMS, LINK_WORKERS, TRIAGE};

/// Resources with the references by which they name each other.
struct Lot {
    items: Vec<(Vec<String>, Value)>,
}

impl Lot {
    /// What a sender wrote: each entry is named by its fullUrl.
    fn sent(body: &Value) -> Self {
        if body["resourceType"] != "Bundle" {
            return Self { items: vec![(vec![], body.clone())] };
        }
        let entries = tree::items(body, "entry").iter();
        let named = |entry: &Value| {
            let resource = entry["resource"].clone();
            let mut names = vec![entry["fullUrl"].as_str().unwrap_or_default().to_owned()];
            if let Some(id) = resource["id"].as_str() {
                names.push(format!("{}/{id}", resource["resourceType"].as_str().unwrap()));
            }
            (names, resource)
        };
        Self { items: entries.map(named).collect() }
    }

    /// What a receiver holds: each is named by its type and id.
    fn held<'v>(resources: impl IntoIterator<Item = &'v Value>) -> Self {
        let name = |r: &Value| format!("{}/{}", r["resourceType"].as_str().unwrap(), r["id"].as_str().unwrap());
        let items = resources.into_iter().filter(|r| r["resourceType"] != "Task").map(|r| (vec![name(r)], r.clone()));
        Self { items: items.collect() }
    }

    fn named(&self, reference: &str) -> Option<usize> {
        self.items.iter().position(|(names, _)| names.iter().any(|name| name == reference))
    }

    /// Each held resource is one that was sent, unchanged, and names the same others. Gives the sent ones that are held.
    fn is_unchanged_in(&self, held: &Lot, what: &str) -> Vec<usize> {
        let mut pairs: BTreeMap<usize, usize> = BTreeMap::new();
        let mut links = Vec::new();
        for (at, (names, got)) in held.items.iter().enumerate() {
            let mut least: Option<Vec<String>> = None;
            let free = (0..self.items.len()).filter(|n| !pairs.contains_key(n)).collect::<Vec<_>>();
            let found = free.into_iter().find_map(|n| {
                let mut compare = Compare { sent: self, held, faults: vec![], links: vec![] };
                compare.resource(&self.items[n].1, got);
                if compare.faults.is_empty() {
                    return Some((n, compare.links));
                }
                if least.as_ref().is_none_or(|l| l.len() > compare.faults.len()) {
                    least = Some(compare.faults);
                }
                None
            });
            let (n, more) = found.unwrap_or_else(|| panic!("{what}: {names:?} is not what was sent: {least:#?}"));
            pairs.insert(n, at);
            links.extend(more);
        }
        for (from, to) in links {
            assert_eq!(pairs.get(&from), Some(&to), "{what}: a reference names another resource now");
        }
        pairs.into_keys().collect()
    }
}

struct Compare<'l> {
    sent: &'l Lot,
    held: &'l Lot,
    faults: Vec<String>,
    links: Vec<(usize, usize)>,
}

impl Compare<'_> {
    fn resource(&mut self, sent: &Value, got: &Value) {
        let bare = |resource: &Value| {
            let mut bare = resource.as_object().unwrap().clone();
            bare.shift_remove("id");
            if let Some(Value::Object(mut meta)) = bare.shift_remove("meta") {
                meta.shift_remove("versionId");
                meta.shift_remove("lastUpdated");
                if !meta.is_empty() {
                    bare.shift_insert(0, "meta".into(), meta.into());
                }
            }
            Value::Object(bare)
        };
        self.element(&bare(sent), &bare(got), "");
    }

    fn element(&mut self, sent: &Value, got: &Value, path: &str) {
        match (sent, got) {
            (Value::Object(a), Value::Object(b)) => {
                let (ours, theirs): (Vec<_>, Vec<_>) = (a.keys().collect(), b.keys().collect());
                if ours != theirs {
                    self.faults.push(format!("{path}: {ours:?} became {theirs:?}"));
                }
                for (key, value) in a {
                    self.element(value, b.get(key).unwrap_or(&Value::Null), &format!("{path}.{key}"));
                }
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                for (n, (one, other)) in a.iter().zip(b).enumerate() {
                    self.element(one, other, &format!("{path}[{n}]"));
                }
            }
            (Value::String(a), Value::String(b)) if path.ends_with(".reference") || path.ends_with(".url") => {
                match (self.sent.named(a), self.held.named(b)) {
                    (Some(from), Some(to)) => self.links.push((from, to)),
                    // what is not carried along keeps its spelling
                    _ if a == b && !a.starts_with("urn:uuid:") => {}
                    found => self.faults.push(format!("{path}: {a} became {b} ({found:?})")),
                }
            }
            // numbers compare by their digits (arbitrary_precision)
            _ if sent == got => {}
            _ => self.faults.push(format!("{path}: {sent} became {got}")),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fixture_arrives_as_it_was_sent() {
    let hub = Hub::start().await;
    let mut compared = 0;
    for fixture in fixtures::all().await {
        let what = fixture.file.as_str();
        let sender = hub.sender(&fixture.system);
        let answer = sender.post(fixture.path(), fixture.content_type, fixture.bytes.clone()).await;
        assert!(answer.status.is_success(), "{what}: {}", answer.describe());
        let sent = Lot::sent(&fixture.body);
        let mut arrived = Vec::new();
        for (task, expected) in answer.links("monitor").iter().zip(&fixture.expected) {
            let package = sender.get(&format!("{task}/$package")).await.json();
            let held = Lot::held(resources(&package));
            let carried = sent.is_unchanged_in(&held, &format!("{what}, $package"));
            assert_eq!(carried.len(), held.items.len(), "{what}");
            arrived.extend(carried);
            // the provider reads the same, and the same again as XML
            let provider = hub.provider(if expected.inbox == "triage" { TRIAGE } else { &expected.inbox });
            assert_eq!(Lot::held(resources(&provider.get(&format!("{task}/$package")).await.json())).items, held.items);
            let xml = provider
                .call_to(hyper::Method::GET, &format!("{task}/$package"))
                .header("accept", "application/fhir+xml");
            let xml = provider.call(xml).await;
            assert_eq!(xml.header("content-type"), Some("application/fhir+xml; charset=utf-8"));
            let from_xml = xml::read(&xml.body, &Limits::default()).unwrap().0;
            as_xml_says(&held, &Lot::held(resources(&from_xml)), what);
            // and what was pushed
            let double = match &*expected.inbox {
                LIFE_ROOMS => &hub.life_rooms,
                HOUSING => &hub.housing,
                _ => continue,
            };
            let id = task.rsplit('/').next().unwrap();
            let there = until(&format!("{what} at {}", expected.inbox), || async {
                let named = |t: &Value| t["identifier"].to_string().contains(&format!("urn:uuid:{id}"));
                double.resources("Task").into_iter().find(|t| named(t))
            })
            .await;
            let pushed = reached_from(&there, double);
            assert_eq!(pushed.len(), held.items.len(), "{what}: not all was pushed");
            sent.is_unchanged_in(&Lot::held(pushed.iter()), &format!("{what}, pushed to {}", expected.inbox));
            compared += 1;
        }
        arrived.sort_unstable();
        arrived.dedup();
        assert_eq!(arrived.len(), sent.items.len(), "{what}: something that was sent is nowhere");
    }
    assert!(compared >= 10, "only {compared} were pushed");
    hub.stop().await;
}

/// XML has an order of its own for elements; the content is the same.
fn as_xml_says(json: &Lot, xml: &Lot, what: &str) {
    let names = |lot: &Lot| lot.items.iter().map(|(names, _)| names.clone()).collect::<Vec<_>>();
    assert_eq!(names(json), names(xml), "{what}");
    for ((name, one), (_, other)) in json.items.iter().zip(&xml.items) {
        assert_eq!(one, other, "{what}: {name:?} as XML");
    }
}

/// What came with this Task: everything that its focus leads to, or that leads to it.
fn reached_from(task: &Value, double: &onward::demo::double::Double) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for kind in double.counts().keys().filter(|kind| *kind != "Task") {
        all.extend(double.resources(kind).iter().map(|r| (**r).clone()));
    }
    let name = |r: &Value| format!("{}/{}", r["resourceType"].as_str().unwrap(), r["id"].as_str().unwrap());
    let links = |r: &Value| {
        let mut found = Vec::new();
        tree::map_references(&mut r.clone(), &mut |literal| {
            found.push(literal.to_owned());
            None
        });
        found
    };
    let mut reached = vec![task["focus"]["reference"].as_str().unwrap().to_owned()];
    loop {
        let before = reached.len();
        for resource in &all {
            let (own, to) = (name(resource), links(resource));
            if reached.contains(&own) {
                reached.extend(to.into_iter().filter(|t| all.iter().any(|r| name(r) == *t)));
            } else if to.iter().any(|t| reached.contains(t)) {
                reached.push(own);
            }
        }
        reached.sort();
        reached.dedup();
        if reached.len() == before {
            return all.into_iter().filter(|r| reached.contains(&name(r))).collect();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decimals_nulls_and_unknown_extensions_survive_to_the_letter() {
    let hub = Hub::start().await;
    let gp = hub.sender(hub::GP);
    let body = r#"{"note":[{"text":"ab é\u202e 😀 \"q\" \\"}],"resourceType":"ServiceRequest","status":"active","intent":"order",
        "identifier":[{"system":"urn:x","value":"to-the-letter"}],"subject":{"identifier":{"system":"https://fhir.nhs.uk/Id/nhs-number","value":"9990606900"}},
        "code":{"coding":[{"system":"http://snomed.info/sct","code":"871731000000106"}]},
        "requester":{"identifier":{"system":"https://fhir.nhs.uk/Id/ods-organization-code","value":"N82999"}},
        "quantityQuantity":{"value":1.500,"extension":[{"url":"https://x.example/a","valueDecimal":-0.0010}]},
        "extension":[{"url":"https://x.example/b","valueDecimal":100000000000000000000000.10},{"url":"https://x.example/c","valueInteger":0}],
        "instantiatesUri":["urn:a",null],"_instantiatesUri":[null,{"extension":[{"url":"https://x.example/d","valueCode":"unknown"}]}]}"#;
    let answer = gp.post("/fhir/ServiceRequest", "application/fhir+json", body).await;
    assert_eq!(answer.status, 201, "{}", answer.describe());
    let read = String::from_utf8(gp.get(answer.header("location").unwrap()).await.body.to_vec()).unwrap();
    for kept in ["1.500", "-0.0010", "100000000000000000000000.10", "[\"urn:a\",null]", "\u{202e} 😀 \\\"q\\\" \\\\"]
    {
        assert!(read.contains(kept), "{kept} is not in {read}");
    }
    let sent: Value = serde_json::from_str(body).unwrap();
    let held: Value = serde_json::from_str(&read).unwrap();
    Lot::sent(&sent).is_unchanged_in(&Lot::held([&held]), "to the letter");
    assert_eq!(hub.provider(LINK_WORKERS).get(answer.header("location").unwrap()).await.body, read.as_bytes());
    hub.stop().await;
}

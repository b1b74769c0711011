//! Nothing is modified: what was sent, against `$package` and against what the providers' servers got, element by element.
//! Design section 5 says what alone may differ.

use std::collections::BTreeMap;

use onward::fhir::{Limits, tree, xml};
use serde_json::{Value, json};

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

/// So many referrals of chance are sent, half of them as XML.
const CHANCE: usize = 40;

/// A decimal as nobody would compute it: with its zeros, with many digits, with an exponent.
fn decimal(dice: &mut fastrand::Rng) -> Value {
    let digits = |dice: &mut fastrand::Rng, most: usize| -> String {
        (0..dice.usize(1..=most)).map(|_| char::from(b'0' + dice.u8(0..10))).collect()
    };
    let whole = match dice.bool() {
        true => "0".to_owned(),
        false => format!("{}{}", dice.u8(1..10), digits(dice, 12)),
    };
    let sign = if dice.bool() { "-" } else { "" };
    let exponent = if dice.u8(0..4) == 0 { "e-3" } else { "" };
    serde_json::from_str(&format!("{sign}{whole}.{}0{exponent}", digits(dice, 12))).unwrap()
}

/// A text with what breaks readers.
fn text(dice: &mut fastrand::Rng) -> String {
    const PARTS: [&str; 14] =
        ["a", "é", "<b>", "&amp;", "\"", "'", "\n", "\t", "😀", "\u{202e}", "\\", "]]>", "${x}", "\u{301}"];
    let some: String = (0..dice.usize(1..12)).map(|_| PARTS[dice.usize(0..PARTS.len())]).collect();
    format!("x{some}x")
}

fn extension(dice: &mut fastrand::Rng, depth: usize) -> Value {
    let url = format!("https://trust.example/ext/{}", dice.u16(..));
    match dice.u8(0..if depth == 0 { 6 } else { 7 }) {
        0 => json!({"url": url, "valueDecimal": decimal(dice)}),
        1 => json!({"url": url, "valueString": text(dice), "_valueString": {"id": "i1"}}),
        2 => json!({"id": "e1", "url": url, "valueQuantity": {"value": decimal(dice), "unit": text(dice)}}),
        3 => json!({"url": url, "valueBoolean": dice.bool()}),
        4 => json!({"url": url, "valueInteger": dice.i32(..)}),
        5 => json!({"url": url, "_valueDateTime": {"extension": [{"url": url, "valueCode": "unknown"}]}}),
        _ => json!({"url": url, "extension": [extension(dice, depth - 1), extension(dice, depth - 1)]}),
    }
}

/// Strews extensions into every object of a resource, and beside its primitives.
fn strew(value: &mut Value, dice: &mut fastrand::Rng) {
    let Value::Object(object) = value else { return };
    let is_contained_or_extension = object.contains_key("url");
    let keys: Vec<String> = object.keys().cloned().collect();
    for key in keys {
        let about = format!("_{key}");
        let has_about = object.contains_key(&about);
        match object.get_mut(&key) {
            Some(Value::Array(items)) if key != "extension" && !key.starts_with('_') => {
                items.iter_mut().for_each(|item| strew(item, dice));
            }
            Some(inner @ Value::Object(_)) if !key.starts_with('_') => strew(inner, dice),
            Some(Value::String(_))
                if !matches!(key.as_str(), "resourceType" | "id" | "url" | "reference" | "div")
                    && dice.u8(0..4) == 0
                    && !has_about =>
            {
                object.insert(about, json!({"extension": [extension(dice, 1)]}));
            }
            _ => {}
        }
    }
    if !is_contained_or_extension && dice.u8(0..3) == 0 && !object.contains_key("extension") {
        object.insert("extension".into(), json!([extension(dice, 2), extension(dice, 2)]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_r4_lets_a_referral_say_is_delivered_as_it_was_sent() {
    let hub = Hub::start().await;
    let rio = hub.sender(hub::RIO);
    let seed =
        std::env::var("ONWARD_FIDELITY_SEED").ok().map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("ONWARD_FIDELITY_SEED={seed}");
    let mut dice = fastrand::Rng::with_seed(seed);
    let writer = onward::fhir::XmlWriter::new(1);
    for n in 0..CHANCE {
        let what = format!("referral {n} of ONWARD_FIDELITY_SEED={seed}");
        let mut referral = fixtures::to_life_rooms(&format!("chance-{seed}-{n}"));
        referral["note"] = json!([{"text": text(&mut dice)}, {"text": text(&mut dice)}]);
        referral["quantityQuantity"] = json!({"value": decimal(&mut dice), "unit": text(&mut dice)});
        referral["instantiatesUri"] = json!(["urn:a", null, "urn:b"]);
        referral["_instantiatesUri"] = json!([null, {"extension": [extension(&mut dice, 2)]}, null]);
        strew(&mut referral, &mut dice);
        let is_xml = n % 2 == 1;
        let (content_type, bytes) = if is_xml {
            ("application/fhir+xml", writer.write(referral.clone()).await.unwrap_or_else(|e| panic!("{what}: {e:?}")))
        } else {
            ("application/fhir+json", referral.to_string().into_bytes())
        };
        let sent = if is_xml { xml::read(&bytes, &Limits::default()).unwrap().0 } else { referral.clone() };
        let answer = rio.post("/fhir/ServiceRequest", content_type, bytes).await;
        assert_eq!(answer.status, 201, "{what}: {}", answer.describe());
        let sent = Lot::sent(&sent);
        let task = &answer.links("monitor")[0];
        let package = rio.get(&format!("{task}/$package")).await.json();
        sent.is_unchanged_in(&Lot::held(resources(&package)), &format!("{what}, $package"));
        let id = task.rsplit('/').next().unwrap();
        let there = until(&what, || async {
            let named = |t: &Value| t["identifier"].to_string().contains(&format!("urn:uuid:{id}"));
            hub.life_rooms.resources("Task").into_iter().find(|t| named(t))
        })
        .await;
        let pushed = reached_from(&there, &hub.life_rooms);
        sent.is_unchanged_in(&Lot::held(pushed.iter()), &format!("{what}, pushed"));
    }
    hub.stop().await;
}

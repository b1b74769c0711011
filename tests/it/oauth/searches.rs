//! Scopes held against every search: each parameter of each type with each modifier, behind each reference, and whatever brings something along.
//! Made of the definitions: none is listed by hand.

use std::collections::{BTreeMap, BTreeSet};

use hyper::Method;
use onward::{
    definitions::{SearchKind, SearchParameter},
    search,
};
use serde_json::{Value, json};

use super::{Signer, hub_of, token};
use crate::{
    attack::{MARK, resources, whole::carrying},
    support::{
        fixtures,
        hub::{Actor, Hub},
    },
};

/// So many searches in one batch.
const BATCH: usize = 150;
/// Somebody whom nobody knows.
const ID: &str = "0198b6a0-7c1e-7bd0-a5d1-000000000000";

/// What must be granted for a search: of which type, which letter.
type Needs = BTreeSet<(String, char)>;

/// The types that are served.
async fn kinds(hub: &Hub) -> BTreeSet<String> {
    let statement = hub.actor(None).get("/fhir/metadata").await.json();
    let all = statement["rest"][0]["resource"].as_array().unwrap();
    all.iter().map(|one| one["type"].as_str().unwrap().to_owned()).collect()
}

/// Something that can be asked of a parameter with this modifier.
fn value(parameter: &SearchParameter, modifier: &str) -> String {
    match (modifier, parameter.kind) {
        ("missing", _) => "false".to_owned(),
        ("identifier", _) => "https://x.example|x".to_owned(),
        (_, SearchKind::Date) => "2026-03-01".to_owned(),
        (_, SearchKind::Number) => "7".to_owned(),
        (_, SearchKind::Reference) if modifier != "text" => {
            format!("{}/{ID}", parameter.targets.first().copied().unwrap_or("Patient"))
        }
        (_, SearchKind::Token) if modifier != "text" => {
            search::codes(parameter).first().map_or("x", |code| *code).to_owned()
        }
        (_, SearchKind::Uri) => "https://x.example/x".to_owned(),
        _ => "x".to_owned(),
    }
}

/// Every search that looks at something, and what must be granted for it by what the standard says of it: whatever is looked into is
/// searched, and what leads back is read.
fn all(kinds: &BTreeSet<String>) -> Vec<(String, Needs)> {
    let mut all = Vec::new();
    let mut add = |kind: &str, said: String, more: &[(&str, char)]| {
        let needs = more.iter().map(|(kind, letter)| ((*kind).to_owned(), *letter));
        all.push((format!("{kind}?{said}&_id={ID}&_count=1"), needs.chain([(kind.to_owned(), 's')]).collect()));
    };
    let mut turn: BTreeMap<&str, usize> = BTreeMap::new();
    for near in search::NEAR {
        let value = if near.name == "near" { "53.4|-2.98|5|km" } else { "L8|5|km" };
        add(near.of, format!("{}={value}", near.name), &[("Location", 's')]);
        if near.of != "Location" {
            add(near.of, format!("location.{}={value}", near.name), &[("Location", 's')]);
        }
    }
    for kind in kinds {
        for parameter in search::parameters(kind) {
            let name = parameter.name;
            // of a Subscription a few are found by what it says, and by nothing else
            if kind == "Subscription" && !["_id", "status", "url", "criteria"].contains(&name) {
                continue;
            }
            add(kind, format!("{name}={}", value(parameter, "")), &[]);
            for modifier in search::modifiers(parameter.kind).iter().filter(|_| kind != "Subscription") {
                // the identifier of a person is looked for where the reference leads to
                let is_of_a_person = *modifier == "identifier" && ["patient", "subject"].contains(&name);
                let more: &[(&str, char)] = if is_of_a_person { &[("Patient", 's')] } else { &[] };
                add(kind, format!("{name}:{modifier}={}", value(parameter, modifier)), more);
            }
            if parameter.kind != SearchKind::Reference || kind == "Subscription" {
                continue;
            }
            let identified: Vec<(&str, char)> = parameter
                .targets
                .iter()
                .filter(|target| search::parameter(target, "identifier").is_some())
                .map(|target| (*target, 's'))
                .collect();
            if search::leads_to_identifiers(parameter) {
                add(kind, format!("{name}.identifier=x"), &identified);
            }
            for target in parameter.targets.iter().filter(|target| kinds.contains(**target)) {
                // each reference that leads to each type, and in turn each parameter of that type
                let behind: Vec<_> = search::parameters(target).collect();
                let at = turn.entry(target).or_default();
                let next = behind[*at % behind.len()];
                *at += 1;
                add(kind, format!("{name}:{target}.{}={}", next.name, value(next, "")), &[(target, 's')]);
            }
            for target in kinds.iter().filter(|target| {
                *target != "Subscription"
                    && (parameter.targets.is_empty() || parameter.targets.contains(&target.as_str()))
            }) {
                add(target, format!("_revinclude={kind}:{name}"), &[(kind, 'r')]);
            }
        }
    }
    all
}

/// The status of each of these searches.
async fn statuses(actor: &Actor, searches: &[&str]) -> Vec<(u16, String)> {
    let mut all = Vec::with_capacity(searches.len());
    for some in searches.chunks(BATCH) {
        let entries: Vec<Value> = some.iter().map(|url| json!({"request": {"method": "GET", "url": url}})).collect();
        let bundle = json!({"resourceType": "Bundle", "type": "batch", "entry": entries});
        let answer = actor.method(Method::POST, "/fhir", &bundle).await;
        assert_eq!(answer.status, 200, "{}", answer.describe());
        let answer = answer.json();
        let entries = answer["entry"].as_array().unwrap();
        assert_eq!(entries.len(), some.len());
        all.extend(entries.iter().map(|entry| {
            let status = entry["response"]["status"].as_str().unwrap()[..3].parse().unwrap();
            (status, entry["response"]["outcome"]["issue"][0]["diagnostics"].as_str().unwrap_or_default().to_owned())
        }));
    }
    all
}

/// By each bit of a type's number two halves of them: any two types are apart in one of them.
fn halves(kinds: &BTreeSet<String>) -> impl Iterator<Item = BTreeSet<&str>> {
    (0..6).flat_map(|bit| [0, 1].map(|side| (bit, side))).filter_map(|(bit, side)| {
        let half = kinds.iter().enumerate().filter(|(number, _)| number >> bit & 1 == side);
        let half: BTreeSet<&str> = half.map(|(_, kind)| kind.as_str()).collect();
        (!half.is_empty()).then_some(half)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_looks_into_nothing_that_is_not_granted() {
    let folder = tempfile::tempdir().unwrap();
    let signer = Signer::es384("k");
    let hub = hub_of(Hub::build(), folder.path(), &signer, &[]).await;
    let kinds = kinds(&hub).await;
    let all = all(&kinds);
    let beside = all.iter().filter(|(_, needs)| needs.len() > 1).count();
    assert!(all.len() > 2_000 && beside > 800, "{} {beside}", all.len());
    println!("{} searches, of which {beside} look into more than one type", all.len());

    // whoever may everything is refused nothing of it, so that what is refused below is for what is not granted
    let whole = hub.actor(Some(&token(&hub, &signer, "system/*.cruds").await));
    let urls: Vec<&str> = all.iter().map(|(url, _)| url.as_str()).collect();
    for (url, (status, told)) in urls.iter().zip(statuses(&whole, &urls).await) {
        assert_eq!(status, 200, "{url}: {told}");
    }
    let held = async |scope: &str, some: &[&(String, Needs)], is_granted: &dyn Fn(&str, char) -> bool| {
        let actor = hub.actor(Some(&token(&hub, &signer, scope).await));
        let urls: Vec<&str> = some.iter().map(|(url, _)| url.as_str()).collect();
        for ((url, needs), (status, told)) in some.iter().zip(statuses(&actor, &urls).await) {
            let is_beyond = needs.iter().any(|(kind, letter)| !is_granted(kind, *letter));
            assert_eq!(status == 403, is_beyond, "{scope}: {url}: {status} {told}");
        }
    };
    let every: Vec<&(String, Needs)> = all.iter().collect();
    for letter in ['r', 's'] {
        held(&format!("system/*.{letter}"), &every, &|_, needed| needed == letter).await;
    }
    for (n, half) in halves(&kinds).enumerate() {
        // one type alone is granted in one half and not in the other of the first two
        let some: Vec<_> = every.iter().copied().filter(|(_, needs)| n < 2 || needs.len() > 1).collect();
        let scopes: Vec<String> = half.iter().map(|kind| format!("system/{kind}.rs")).collect();
        held(&scopes.join(" "), &some, &|kind, _| half.contains(kind)).await;
    }
    hub.stop().await;
}

/// The types of what is found, and of what is brought along.
async fn found(actor: &Actor, path: &str) -> BTreeSet<String> {
    let answer = actor.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.describe());
    let bundle = answer.json();
    let kinds = resources(&bundle).map(|one| one["resourceType"].as_str().unwrap().to_owned());
    kinds.filter(|kind| kind != "OperationOutcome").collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_brings_along_nothing_that_is_not_granted() {
    let folder = tempfile::tempdir().unwrap();
    let signer = Signer::es384("k");
    let hub = hub_of(Hub::build(), folder.path(), &signer, &[]).await;
    let kinds = kinds(&hub).await;
    let made_here = ["ServiceRequest", "Task", "Communication", "Provenance", "Subscription"];
    let carried: Vec<&str> = kinds.iter().map(String::as_str).filter(|kind| !made_here.contains(kind)).collect();
    let whole = hub.actor(Some(&token(&hub, &signer, "system/*.cruds").await));
    let sent = carrying(MARK, &carried, &fixtures::to_life_rooms(MARK), |_| {});
    let answer = whole.method(Method::POST, "/fhir", &sent).await;
    assert_eq!(answer.status, 200, "{}", answer.describe());

    let along = |kind: &str| format!("/fhir/{kind}?_include={kind}:*&_include:iterate=ServiceRequest:*&_count=5");
    let mut of_all = BTreeMap::new();
    for kind in kinds.iter().filter(|kind| *kind != "Subscription") {
        of_all.insert(kind.as_str(), found(&whole, &along(kind)).await);
    }
    // the control: there is something to be brought along
    let brought: usize = of_all.iter().map(|(kind, found)| found.iter().filter(|one| one != kind).count()).sum();
    assert!(brought > 100, "{brought} types are brought along by {of_all:?}");
    let mut left_out = 0;
    for half in halves(&kinds) {
        let scopes: Vec<String> = half.iter().map(|kind| format!("system/{kind}.rs")).collect();
        let actor = hub.actor(Some(&token(&hub, &signer, &scopes.join(" ")).await));
        for kind in half.iter().filter(|kind| **kind != "Subscription") {
            let expected: BTreeSet<_> =
                of_all[kind].iter().filter(|found| half.contains(found.as_str())).cloned().collect();
            left_out += of_all[kind].len() - expected.len();
            assert_eq!(found(&actor, &along(kind)).await, expected, "{kind} of {half:?}");
        }
    }
    assert!(left_out > 100, "{left_out}");
    hub.stop().await;
}

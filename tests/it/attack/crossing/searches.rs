//! Every parameter of every search, and every parameter behind a reference, with something of theirs that would be found by it.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use hyper::Method;
use onward::{definitions::SearchKind, search};
use serde_json::Value;

use super::{FORM, Twin, batch, encoded, is_as_if_not_there};
use crate::{
    attack::{
        MARK, resources,
        scene::{Ask, Scene},
        whole::SYSTEM,
    },
    store::postgres::Place,
    support::hub::{ANNA, Actor, GP, LINK_WORKERS, RIO},
};

/// So many requests in one batch.
const BATCH: usize = 150;

/// What a search parameter is asked with where something of theirs would be found by it.
fn sought(scene: &Scene, parameter: &Value) -> String {
    let name = parameter["name"].as_str().unwrap();
    let told = parameter["description"].as_str().unwrap_or_default();
    if parameter["schema"]["type"] == "boolean" {
        return "false".to_owned();
    }
    match (name, parameter["schema"]["enum"][0].as_str()) {
        (_, Some(first)) => return first.to_owned(),
        ("_count", _) => return "5".to_owned(),
        ("_sort" | "_elements", _) => return "_id".to_owned(),
        ("near", _) => return "7.5|7.5|5|km".to_owned(),
        ("near-postcode", _) => return "L8|5|km".to_owned(),
        ("_include" | "_include:iterate" | "_revinclude" | "_revinclude:iterate", _) => return "Task:*".to_owned(),
        _ => {}
    }
    match told {
        _ if name.ends_with(":identifier") || name.ends_with(".identifier") => format!("{SYSTEM}|{MARK}"),
        _ if name.ends_with(":text") => MARK.to_owned(),
        told if told.starts_with("One of ") => told["One of ".len()..].trim_end_matches('.').replace(", ", ","),
        told if told.starts_with("A date") => "2026-03-01".to_owned(),
        told if told.starts_with("A number") => "7".to_owned(),
        told if told.starts_with("A reference") => scene.references().join(","),
        told if told.starts_with("A URI") => format!("urn:mark:{MARK}"),
        _ => MARK.to_owned(),
    }
}

/// Every parameter of every type's search: its type, its name, what is asked of it.
pub fn parameters(scene: &Scene) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    for listed in scene.listed() {
        let Some(kind) = listed.path.strip_prefix("/fhir/").filter(|kind| !kind.contains(['/', '{'])) else { continue };
        if listed.method != Method::GET || kind == "metadata" {
            continue;
        }
        let described: Vec<&Value> = scene.parameters(listed.told).collect();
        for parameter in &described {
            let name = parameter["name"].as_str().unwrap();
            // of one with a modifier it is said there what it compares
            let plain = name.split([':', '.']).next().unwrap();
            let of = described.iter().find(|one| one["name"] == plain).unwrap_or(parameter);
            let mut whole = (*parameter).clone();
            whole["description"] = of["description"].clone();
            if !["_after", "_page", "_format", "_pretty"].contains(&name) {
                all.push((kind.to_owned(), name.to_owned(), sought(scene, &whole)));
            }
        }
    }
    all.extend(behind_references(scene));
    all
}

/// What is asked of whatever a reference leads to, its type named (`subject:Patient.name`): of the definitions, for no document could list all
/// of them. Each reference that leads to each type, and each parameter of each type that one leads to, is there once at least.
fn behind_references(scene: &Scene) -> Vec<(String, String, String)> {
    let kinds = scene.kinds();
    let mut ways: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for kind in &kinds {
        for one in search::parameters(kind).filter(|one| one.kind == SearchKind::Reference) {
            for target in one.targets.iter().filter(|target| kinds.contains(*target)) {
                ways.entry(*target).or_default().push((*kind, one.name));
            }
        }
    }
    let described = |kind: &str, name: &str| -> Value {
        let listed =
            scene.listed().find(|one| one.path == format!("/fhir/{kind}") && one.method == Method::GET).unwrap();
        scene
            .parameters(listed.told)
            .find(|one| one["name"] == name)
            .cloned()
            .unwrap_or_else(|| panic!("{kind} {name}"))
    };
    let mut all = Vec::new();
    for (target, ways) in ways {
        let behind: Vec<&str> = search::parameters(target).map(|one| one.name).collect();
        for n in 0..ways.len().max(behind.len()) {
            let ((kind, reference), name) = (ways[n % ways.len()], behind[n % behind.len()]);
            let value = sought(scene, &described(target, name));
            all.push((kind.to_owned(), format!("{reference}:{target}.{name}"), value));
        }
    }
    assert!(all.len() > 400, "{}", all.len());
    all
}

async fn every_search_is_as_if_it_were_not_there(place: Option<Place>) {
    let scene = Scene::set(place.as_ref()).await;
    let (twin, ids) = (Twin::of(&scene), scene.ids());
    let parameters = parameters(&scene);
    assert!(parameters.len() > 1_500, "{}", parameters.len());
    let (mut alone, mut with_id) = (Vec::new(), Vec::new());
    for (n, (kind, name, value)) in parameters.iter().enumerate() {
        let id = scene.theirs[kind][0]["id"].as_str().unwrap();
        let asked = format!("{}={}", encoded(name), encoded(value));
        let counted = if n % 2 == 0 { "_total=accurate" } else { "_summary=count" };
        alone.push(format!("{kind}?{asked}&{counted}"));
        with_id.push(format!("{kind}?_id={id}&{asked}&_total=accurate"));
    }
    let found = |answer: &Value| -> Vec<(u16, usize)> {
        let entries = answer["entry"].as_array().unwrap_or_else(|| panic!("{answer:#}"));
        let status = |entry: &Value| entry["response"]["status"].as_str().unwrap()[..3].parse().unwrap();
        let matches = |entry: &Value| {
            resources(&entry["resource"]).filter(|one| one["resourceType"] != "OperationOutcome").count()
        };
        entries.iter().map(|entry| (status(entry), matches(entry))).collect()
    };
    let on_sqlite = place.is_none();
    let others = scene.kinds_of_others().into_iter().filter(|(who, _)| on_sqlite || *who != ANNA);
    let each = others.map(async |(who, actor)| {
        let more = alone.chunks(BATCH).filter(|_| who == RIO && on_sqlite);
        for some in with_id.chunks(BATCH).chain(more) {
            let status = is_as_if_not_there((&twin, &ids), (who, &actor), &batch(some)).await;
            assert_eq!(status, 200);
        }
    });
    join_all(each).await;
    if !on_sqlite {
        return scene.hub.stop().await;
    }
    // the control: who may finds it by the same
    let mut by = BTreeSet::new();
    for actor in [&*scene.hub.sender(GP) as &Actor, &scene.hub.provider(LINK_WORKERS)] {
        let asked: Vec<usize> = (0..parameters.len()).step_by(3).filter(|n| !by.contains(n)).collect();
        for some in asked.chunks(BATCH / 5) {
            let searches: Vec<String> = some.iter().map(|n| with_id[*n].clone()).collect();
            let told = found(&batch(&searches).by(actor).await.json());
            by.extend(some.iter().zip(told).filter(|(_, (_, count))| *count > 0).map(|(n, _)| *n));
        }
    }
    println!("{} parameters; of a third of them {} find theirs for who may", parameters.len(), by.len());
    assert!(by.len() > 400, "hardly anything is found by who may: {}", by.len());
    let behind = by.iter().filter(|n| parameters[**n].1.contains(':') && parameters[**n].1.contains('.')).count();
    assert!(behind > 20, "hardly anything is found behind a reference by who may: {behind}");
    // and as a form
    for (kind, name, value) in
        parameters.iter().filter(|(kind, ..)| ["Task", "Patient", "Communication"].contains(&kind.as_str()))
    {
        let ask = Ask::of(Method::POST, format!("/fhir/{kind}/_search"));
        let ask = ask.body(FORM, format!("{}={}", encoded(name), encoded(value)));
        for (who, actor) in scene.kinds_of_others().into_iter().filter(|(who, _)| *who == RIO) {
            is_as_if_not_there((&twin, &ids), (who, &actor), &ask).await;
        }
    }
    // an id of one type is none of another
    let all: Vec<String> =
        scene.kinds().iter().flat_map(|kind| ids.iter().map(move |id| format!("{kind}/{id}"))).collect();
    for some in all.chunks(BATCH) {
        for (who, actor) in scene.kinds_of_others() {
            is_as_if_not_there((&twin, &ids), (who, &actor), &batch(some)).await;
        }
    }
    scene.hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_search_is_as_if_it_were_not_there_on_sqlite() {
    every_search_is_as_if_it_were_not_there(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_search_is_as_if_it_were_not_there_on_postgresql() {
    let Some(place) = Place::new() else { return };
    every_search_is_as_if_it_were_not_there(Some(place)).await;
}

//! Every operation there is, about everything that is theirs; and all that others can list.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use hyper::Method;
use onward::demo::caller::{FHIR_JSON, JSON_PATCH};
use serde_json::{Value, json};

use super::{FORM, Twin, counted, is_as_if_not_there, whole};
use crate::{
    attack::{
        MARK, OWN, resources, same,
        scene::{Ask, Listed, Scene},
        whole::SYSTEM,
    },
    store::postgres::Place,
    support::hub::{ANNA, GP, HOUSING, LIFE_ROOMS, LINK_WORKERS, RIO, TRIAGE, WARD},
};

/// A resource of theirs as somebody else sends it: with words of their own, and every id that is in it.
fn sent_by_others(body: &Value, with_id: bool) -> Value {
    let mut body: Value = serde_json::from_str(&body.to_string().replace(MARK, OWN)).unwrap();
    if !with_id {
        body.as_object_mut().unwrap().remove("id");
    }
    body
}

/// The requests of an operation about everything that is theirs.
fn asks(scene: &Scene, listed: &Listed<'_>) -> Vec<Ask> {
    let Listed { path, method, told } = listed;
    let first = path.split('/').nth(2).unwrap_or_default();
    let kinds = if path.contains("{kind}") {
        vec!["ServiceRequest", "Task", "Communication", "Patient", "HealthcareService", "Bundle"]
    } else {
        vec![first]
    };
    let mut asks = Vec::new();
    for kind in kinds {
        let own = scene.theirs.get(kind).or_else(|| scene.theirs.get("ServiceRequest")).unwrap();
        let of_directory = path.starts_with("/directory/");
        for one in own.iter().take(if path.contains("{id}") { own.len() } else { 1 }) {
            let id = if of_directory { scene.proposal.as_str() } else { one["id"].as_str().unwrap() };
            let at = path.replace("{kind}", kind).replace("{id}", id);
            let headers = |ask: Ask| ask.header("if-match", "W/\"2\"");
            for version in ["1", "2"].iter().take(if path.contains("{version}") { 2 } else { 1 }) {
                let at = at.replace("{version}", version);
                let content = told["requestBody"]["content"].as_object();
                let ask = Ask::of(method.clone(), at.clone());
                let Some(content) = content else {
                    asks.push(ask.clone());
                    // what it is to be known by
                    asks.push(headers(ask).header("if-none-match", "*"));
                    continue;
                };
                let by_search = [format!("?_id={id}"), format!("?identifier={SYSTEM}%7C{MARK}")];
                let conditional = !path.contains('{') && matches!(method.as_str(), "PUT" | "PATCH");
                let places: Vec<String> = if conditional {
                    by_search.iter().map(|search| format!("{at}{search}")).collect()
                } else {
                    vec![at]
                };
                for at in places {
                    let ask = headers(Ask::of(method.clone(), at));
                    let with_id = *method != Method::POST;
                    let body =
                        if kind == "Bundle" || *path == "/fhir" { bundle(scene) } else { sent_by_others(one, with_id) };
                    if content.contains_key(JSON_PATCH) {
                        let patch = json!([{"op": "add", "path": "/note", "value": [{"text": OWN}]}]).to_string();
                        asks.push(ask.body(JSON_PATCH, patch));
                    } else if content.contains_key(FORM) {
                        asks.push(ask.clone().body(FORM, format!("_id={id}")));
                        asks.push(ask.body(FORM, format!("identifier={SYSTEM}%7C{MARK}")));
                    } else if content.contains_key(FHIR_JSON) {
                        if path.contains("$validate") {
                            for mode in ["create", "update"] {
                                let asked = Ask { path: format!("{}?mode={mode}", ask.path), ..ask.clone() };
                                asks.push(asked.body(FHIR_JSON, sent_by_others(one, true).to_string()));
                            }
                        }
                        asks.push(ask.clone().body(FHIR_JSON, body.to_string()));
                        if *method == Method::POST && !path.contains('$') {
                            let exists = ask.clone().header("if-none-exist", format!("identifier={SYSTEM}|{MARK}"));
                            asks.push(exists.body(FHIR_JSON, body.to_string()));
                            let key = ask.header("idempotency-key", MARK);
                            asks.push(key.body(FHIR_JSON, body.to_string()));
                        }
                    } else {
                        asks.push(ask.body("application/json", json!({"reason": OWN, "which": "all"}).to_string()));
                    }
                }
            }
        }
    }
    asks
}

/// A transaction that takes up everything that is theirs, by their ids.
fn bundle(scene: &Scene) -> Value {
    let all = scene.theirs.iter().flat_map(|(kind, all)| all.iter().map(move |one| (kind, one)));
    let left_out = ["Task", "Subscription", "Provenance"];
    let entries = all.filter(|(kind, _)| !left_out.contains(&kind.as_str())).map(|(kind, one)| {
        let place = format!("{kind}/{}", one["id"].as_str().unwrap());
        json!({"fullUrl": format!("{}/fhir/{place}", scene.hub.base_url), "resource": sent_by_others(one, true),
            "request": {"method": "PUT", "url": place}})
    });
    json!({"resourceType": "Bundle", "type": "transaction", "entry": entries.collect::<Vec<_>>()})
}

async fn every_operation_is_as_if_it_were_not_there(place: Option<Place>) {
    let scene = Scene::set(place.as_ref()).await;
    let (twin, ids, before) = (Twin::of(&scene), scene.ids(), scene.state().await);
    // what counts and measures is never the same twice; that it says nothing of theirs is looked at in the end
    let listed = scene.listed().filter(|listed| !["/metrics", "/health/ready"].contains(&listed.path));
    let mut asks: Vec<Ask> = listed.flat_map(|listed| asks(&scene, &listed)).collect();
    asks.sort_by_key(|ask| ask.body.is_some());
    // once they have written ids of theirs themselves, those are not told by what they read
    let no_ids = BTreeSet::new();
    let others = scene.others().into_iter().filter(|(who, _)| place.is_none() || [RIO, TRIAGE, "nobody"].contains(who));
    let each = others.map(async |(who, actor)| {
        let mut seen = Vec::new();
        for ask in &asks {
            // who decides what is proposed sees it
            if who == ANNA && ask.path.starts_with("/directory/proposals") {
                continue;
            }
            // what is written takes longer: one of a kind does
            if ask.body.is_some() && [WARD, LIFE_ROOMS, HOUSING].contains(&who) {
                continue;
            }
            let ids = if ask.body.is_some() { &no_ids } else { &ids };
            seen.push(is_as_if_not_there((&twin, ids), (who, &actor), ask).await);
        }
        seen
    });
    let seen = counted(join_all(each).await.into_iter().flatten());
    println!("{} requests for each: {seen:?}", asks.len());
    for status in [200, 201, 400, 401, 403, 404] {
        assert!(seen.contains_key(&status), "nothing gave {status}: {seen:?}");
    }
    same(&scene.state().await, &before, "theirs is as it was");
    // the control: they see it themselves
    for (kind, all) in &scene.theirs {
        for one in all {
            let path = format!("/fhir/{kind}/{}", one["id"].as_str().unwrap());
            let (gp, workers) =
                (scene.hub.sender(GP).get(&path).await, scene.hub.provider(LINK_WORKERS).get(&path).await);
            assert!(gp.status == 200 || workers.status == 200, "{path}");
        }
    }
    nothing_is_seen(&scene).await;
    scene.hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_is_as_if_it_were_not_there_on_sqlite() {
    every_operation_is_as_if_it_were_not_there(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_is_as_if_it_were_not_there_on_postgresql() {
    let Some(place) = Place::new() else { return };
    every_operation_is_as_if_it_were_not_there(Some(place)).await;
}

/// Everything that others can list, with all that it brings along: nothing of it is theirs.
pub(super) async fn nothing_is_seen(scene: &Scene) {
    let kinds = scene.kinds();
    for (who, actor) in scene.others() {
        let own = |found: &Value| resources(found).filter_map(|one| one["id"].as_str().map(str::to_owned)).collect();
        let own: Vec<String> = own(&actor.get("/fhir/ServiceRequest").await.json());
        let tasks = actor.get("/fhir/Task").await.json();
        let mut paths: Vec<String> = Vec::new();
        for kind in &kinds {
            let all = format!("/fhir/{kind}");
            paths.extend([all.clone(), format!("{all}?_format=xml"), format!("{all}/_history")]);
            if let Some(id) = own.first() {
                paths.push(format!("/fhir/{kind}?_id={id}"));
            }
        }
        for some in kinds.iter().collect::<Vec<_>>().chunks(13).filter(|_| who == RIO) {
            let along: Vec<String> = some
                .iter()
                .map(|kind| format!("&_include:iterate={kind}:*&_revinclude={kind}:*&_revinclude:iterate={kind}:*"))
                .collect();
            let of = |of: &str| format!("/fhir/{of}?_count=5&_sort=-_lastUpdated&_include={of}:*{}", along.concat());
            paths.extend(["Task", "ServiceRequest"].map(of));
        }
        for task in resources(&tasks).take(3) {
            let id = task["id"].as_str().unwrap();
            paths.extend(["", "/_history", "/$package"].map(|below| format!("/fhir/Task/{id}{below}")));
        }
        for subscription in resources(&actor.get("/fhir/Subscription").await.json()) {
            let id = subscription["id"].as_str().unwrap();
            paths.push(format!("/fhir/Subscription/{id}/$events?content=full-resource"));
        }
        let open = scene.listed().filter(|listed| listed.path.starts_with("/open-referral"));
        paths.extend(open.filter(|listed| !listed.path.contains('{')).map(|listed| listed.path.to_owned()));
        paths.extend(["/metrics", "/health/ready", "/health/live", "/openapi.json"].map(str::to_owned));
        if who != ANNA {
            paths.push("/directory/proposals".to_owned());
        }
        for path in paths {
            let told = whole(&actor.get(&path).await);
            assert!(!told.contains(MARK), "{who} sees theirs at {path}: {told}");
        }
    }
}

//! What is another's is as if it were not there: whatever is asked, of whatever is theirs, by everybody else, is answered as where there is
//! nothing, byte for byte but for ids and times. What is asked is made of the document of the interface, which is made of the routes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use futures_util::{StreamExt as _, future::join_all, stream};
use hyper::Method;
use onward::{
    definitions::{TypeRef, resource_named},
    demo::caller::{Answered, FHIR_JSON, JSON_PATCH},
};
use regex::Regex;
use serde_json::{Value, json};

use super::{
    MARK, NOTHING, OWN, resources, same,
    scene::{Ask, Listed, Scene},
    text,
    whole::SYSTEM,
    without_ids_and_times,
};
use crate::{
    store::postgres::Place,
    support::{
        fixtures,
        hub::{ANNA, Actor, GP, HOUSING, LIFE_ROOMS, LINK_WORKERS, RIO, TRIAGE, WARD},
        until,
    },
};

const FORM: &str = "application/x-www-form-urlencoded";
/// So many requests in one batch.
const BATCH: usize = 150;
/// What those who attack write in their twin's place. As long as [`OWN`].
const OWN_TWIN: &str = "OWNT-of-theirs";

/// That somebody referred a person before.
static OWN_REFERRAL: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("\\{\"severity\":\"information\",\"code\":\"duplicate\"[^}]*\\},?").unwrap());

/// The same request about what is not there.
struct Twin {
    /// Ids that are theirs, and ids that are nobody's and stand beside them in any order.
    ids: Vec<(String, String)>,
}

impl Twin {
    fn of(scene: &Scene) -> Self {
        let ids = scene.ids();
        let other = |id: &String| {
            let (head, tail) = id.split_at(id.len() - 4);
            let tail: String = tail.chars().map(|c| if c == 'f' { '0' } else { (c as u8 + 1) as char }).collect();
            let other = format!("{head}{}", tail.replace(':', "a"));
            assert!(!ids.contains(&other), "{other} is theirs");
            other
        };
        Self { ids: ids.iter().map(|id| (id.clone(), other(id))).collect() }
    }

    fn changed(&self, text: &str) -> String {
        let text = text.replace(MARK, NOTHING).replace(OWN, OWN_TWIN);
        self.ids.iter().fold(text, |text, (id, other)| text.replace(id, other))
    }

    /// An answer as it is compared: what was asked for is the same word on both sides.
    fn told(&self, answer: &str) -> String {
        let text = answer.replace(NOTHING, MARK).replace(OWN_TWIN, OWN);
        let text = self.ids.iter().enumerate().fold(text, |text, (n, (id, other))| {
            text.replace(id, &format!("<theirs {n}>")).replace(other, &format!("<theirs {n}>"))
        });
        // that they referred the same person before, too, is said of what they sent themselves
        let none = ",\"outcome\":{\"resourceType\":\"OperationOutcome\",\"issue\":[]}";
        without_ids_and_times(&OWN_REFERRAL.replace_all(&text, "").replace(none, ""))
    }
}

/// All of an answer that says anything.
fn whole(answer: &Answered) -> String {
    let silent = ["date", "connection", "content-length", "x-request-id", "last-modified", "retry-after"];
    let mut headers: Vec<String> = answer
        .headers
        .iter()
        .filter(|(name, _)| !silent.contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    headers.sort();
    format!("{}\n{}\n\n{}", answer.status, headers.join("\n"), text(&answer.body))
}

/// What of theirs stands in an answer and did not stand in what was asked.
fn leaked<'s>(asked: &str, told: &str, ids: &'s BTreeSet<String>) -> Option<&'s str> {
    let words = ids.iter().map(String::as_str).chain([MARK]);
    let mut words = words.filter(|word| told.contains(word) && !asked.contains(word));
    words.next()
}

/// Asks as somebody who may not, and once more about what is not there.
async fn is_as_if_not_there((twin, ids): (&Twin, &BTreeSet<String>), (who, actor): (&str, &Actor), ask: &Ask) -> u16 {
    let (told, of_nothing) = (ask.by(actor).await, ask.with(|text| twin.changed(text)).by(actor).await);
    let (told, of_nothing) = (whole(&told), whole(&of_nothing));
    let about = format!("{who}: {} {}", ask.method, ask.path);
    assert!(!told.starts_with('5'), "{about}: {told}");
    if let Some(word) = leaked(&ask.text(), &told, ids) {
        panic!("{about} tells {word}: {told}");
    }
    same(&twin.told(&told), &twin.told(&of_nothing), &about);
    told[..3].parse().unwrap()
}

/// How often each status came.
fn counted(statuses: impl Iterator<Item = u16>) -> BTreeMap<u16, usize> {
    let mut seen = BTreeMap::new();
    statuses.for_each(|status| *seen.entry(status).or_default() += 1);
    seen
}

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
async fn nothing_is_seen(scene: &Scene) {
    let kinds = scene.kinds();
    for (who, actor) in scene.others() {
        let own = |found: &Value| resources(found).filter_map(|one| one["id"].as_str().map(str::to_owned)).collect();
        let own: Vec<String> = own(&actor.get("/fhir/ServiceRequest").await.json());
        let tasks = actor.get("/fhir/Task").await.json();
        let mut paths: Vec<String> = Vec::new();
        for kind in &kinds {
            paths.extend([format!("/fhir/{kind}"), format!("/fhir/{kind}/_history")]);
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
            if !["_after", "_format", "_pretty"].contains(&name) {
                all.push((kind.to_owned(), name.to_owned(), sought(scene, &whole)));
            }
        }
    }
    all
}

pub fn encoded(text: &str) -> String {
    onward::fhir::reference::encode(text)
}

/// Several searches as one batch.
pub fn batch(searches: &[String]) -> Ask {
    let entries: Vec<Value> = searches.iter().map(|url| json!({"request": {"method": "GET", "url": url}})).collect();
    let bundle = json!({"resourceType": "Bundle", "type": "batch", "entry": entries});
    Ask::of(Method::POST, "/fhir").body(FHIR_JSON, bundle.to_string())
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

/// The elements of a type that refer to resources of another.
fn referring(kind: &str, to: &str) -> Vec<(&'static str, bool)> {
    let leads = |of: &TypeRef| of.code == "Reference" && (of.targets.is_empty() || of.targets.contains(&to));
    let elements = resource_named(kind).unwrap().elements.iter();
    let elements = elements.filter(|element| !element.is_choice && element.types.iter().any(leads));
    elements.map(|element| (element.name, matches!(element.max, onward::definitions::Max::Many))).collect()
}

/// Ids of theirs in every place where one can stand in what others send: as it is written, with a base, with a version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_refers_to_theirs_leads_nowhere() {
    let scene = Scene::set(None).await;
    let (twin, ids, before) = (Twin::of(&scene), scene.ids(), scene.state().await);
    let (rio, triage) = (scene.hub.sender(RIO), scene.hub.provider(TRIAGE));
    // one of their own, to say something about
    let mut own = fixtures::to_life_rooms(&format!("{OWN}-of-rio"));
    own["code"] = json!({"text": OWN});
    let task = rio.refers(&own).await;
    scene.hub.task_when(&triage, &task, "listed", |task| task["meta"]["versionId"] == "2").await;
    let task = task.split_once("/fhir/").unwrap().1.to_owned();
    let mut asks: Vec<(&str, Ask)> = Vec::new();
    for (n, literal) in scene.references().into_iter().enumerate() {
        let kind = literal.split('/').next().unwrap();
        // each element takes its turn, and each spelling
        let one_of = |all: Vec<(&'static str, bool)>| all.get(n % all.len().max(1)).copied();
        let spelling = match n % 3 {
            0 => literal.clone(),
            1 => format!("{}/fhir/{literal}", scene.hub.base_url),
            _ => format!("{literal}/_history/1"),
        };
        let reference = json!({"reference": spelling});
        let put = |into: &mut Value, (name, many): (&str, bool)| {
            into[name] = if many { json!([reference]) } else { reference.clone() };
        };
        if let Some(element) = one_of(referring("ServiceRequest", kind)) {
            let mut request = fixtures::to_life_rooms(&format!("{OWN}-{n}"));
            put(&mut request, element);
            asks.push((RIO, Ask::of(Method::POST, "/fhir/ServiceRequest").body(FHIR_JSON, request.to_string())));
        }
        for anchored in [true, false] {
            let Some(element) = one_of(referring("Communication", kind)) else { continue };
            let mut message = json!({"resourceType": "Communication", "status": "completed", "payload": [{"contentString": OWN}],
                "identifier": [{"system": SYSTEM, "value": format!("{OWN}-{n}-{anchored}")}]});
            if anchored {
                message["about"] = json!([{"reference": task}]);
            }
            put(&mut message, element);
            let ask = Ask::of(Method::POST, "/fhir/Communication").body(FHIR_JSON, message.to_string());
            asks.push((if n % 2 == 0 { RIO } else { TRIAGE }, ask));
        }
        for name in ["basedOn", "about"] {
            let mut message =
                json!({"resourceType": "Communication", "status": "completed", "payload": [{"contentString": OWN}]});
            put(&mut message, (name, true));
            let ask = Ask::of(Method::POST, "/fhir/Communication").body(FHIR_JSON, message.to_string());
            asks.push((if n % 2 == 0 { TRIAGE } else { RIO }, ask));
        }
        // each may have a few
        if n % 6 == 0 {
            let filter = format!("Task?{}={literal}", if n % 2 == 0 { "focus" } else { "patient" });
            let ask = Ask::of(Method::POST, "/fhir/Subscription");
            asks.push((TRIAGE, ask.body(FHIR_JSON, scene.subscription(&[filter]).to_string())));
        }
    }
    let (twin_and_ids, by_name) =
        ((&twin, &ids), |who: &str| if who == RIO { (*rio).clone() } else { (*triage).clone() });
    let each = asks.iter().map(async |(who, ask)| is_as_if_not_there(twin_and_ids, (who, &by_name(who)), ask).await);
    let seen = counted(stream::iter(each).buffer_unordered(8).collect::<Vec<_>>().await.into_iter());
    // what a provider answers with
    for literal in scene.references().iter().step_by(7) {
        let output = json!([{"op": "add", "path": "/output", "value": [{"type": {"text": OWN}, "valueReference": {"reference": literal}}]}]);
        let path = format!("/fhir/{task}");
        let etag = triage.get(&path).await.header("etag").unwrap().to_owned();
        let told = triage.patch(&path, &etag, &output).await;
        assert_eq!(told.status, 200, "{}", told.describe());
    }
    println!("{} requests that refer to theirs: {seen:?}", asks.len());
    assert!(seen.contains_key(&201), "{seen:?}");
    nothing_is_seen(&scene).await;
    same(&scene.state().await, &before, "theirs is as it was");
    scene.hub.stop().await;
}

/// Links to further pages, made for one client, in the hands of another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_anothers_is_ones_own_or_none() {
    let scene = Scene::set(None).await;
    let (twin, ids) = (Twin::of(&scene), scene.ids());
    let gp = scene.hub.sender(GP);
    for n in 0..3 {
        gp.refers(&fixtures::to_link_workers(&format!("{MARK}-{n}"))).await;
        scene.hub.sender(RIO).refers(&fixtures::to_life_rooms(&format!("{OWN}-{n}"))).await;
    }
    let task = scene.theirs["Task"][0]["id"].as_str().unwrap();
    let request = scene.theirs["ServiceRequest"][0]["id"].as_str().unwrap();
    let firsts = [
        "Task?_count=1".to_owned(),
        "Task?_count=1&_sort=-_lastUpdated".to_owned(),
        "Task?_count=1&_sort=_lastUpdated&status=requested,received,accepted".to_owned(),
        "ServiceRequest?_count=1".to_owned(),
        "ServiceRequest?_count=1&_sort=-_lastUpdated&_include=ServiceRequest:*".to_owned(),
        format!("Communication?_count=1&about=Task/{task}"),
        format!("Provenance?_count=1&target=Task/{task}"),
        "Task?_count=1&patient.identifier=9990606900".to_owned(),
        "Patient?_count=1".to_owned(),
        "Task/_history?_count=1".to_owned(),
        "ServiceRequest/_history?_count=1".to_owned(),
        format!("Task/{task}/_history?_count=1"),
        format!("ServiceRequest/{request}/_history?_count=1"),
        "HealthcareService?_count=1".to_owned(),
        "Organization?_count=1".to_owned(),
    ];
    let mut kinds = BTreeSet::new();
    for first in firsts {
        let page = gp.get(&format!("/fhir/{first}")).await;
        assert_eq!(page.status, 200, "{first}: {}", page.describe());
        let next = page.json()["link"].as_array().unwrap().iter().find(|link| link["relation"] == "next").cloned();
        let Some(next) = next else { continue };
        let url = next["url"].as_str().unwrap().strip_prefix(&scene.hub.base_url).unwrap().to_owned();
        kinds.insert(url.split("_after=").nth(1).unwrap()[..1].to_owned());
        for (who, actor) in scene.others() {
            is_as_if_not_there((&twin, &ids), (who, &actor), &Ask::get(url.clone())).await;
        }
    }
    println!("cursors: {kinds:?}");
    assert!(kinds.len() >= 4, "{kinds:?}");
    scene.hub.stop().await;
}

/// Whoever has itself told of everything is told of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_told_of_anothers_changes() {
    let scene = Scene::set(None).await;
    let patient = format!("Patient/{}", scene.theirs["Patient"][0]["id"].as_str().unwrap());
    let filters = [
        vec![],
        vec![format!("Task?owner=Organization/{LINK_WORKERS}")],
        vec![format!("Task?patient={patient}")],
        vec!["Task?patient:identifier=9990606900".to_owned()],
        vec!["Task?status=in-progress".to_owned()],
    ];
    let mut told = Vec::new();
    for (who, actor) in scene.others() {
        for filters in &filters {
            let made = actor.method(Method::POST, "/fhir/Subscription", &scene.subscription(filters)).await;
            if made.status == 201 {
                let id = made.json()["id"].as_str().unwrap().to_owned();
                told.push((who, actor.clone(), format!("/fhir/Subscription/{id}/$events?content=full-resource")));
            }
        }
    }
    assert!(told.len() >= 15, "{}", told.len());
    let (gp, workers) = (scene.hub.sender(GP), scene.hub.provider(LINK_WORKERS));
    let task = format!("/fhir/Task/{}", scene.theirs["Task"][0]["id"].as_str().unwrap());
    assert_eq!(workers.set(&task, "in-progress").await.status, 200);
    let own = scene.theirs["Subscription"].iter().find(|one| one.to_string().contains("attack")).unwrap();
    let own = format!("/fhir/Subscription/{}/$events?content=full-resource", own["id"].as_str().unwrap());
    until("they are told themselves", || async {
        let events = text(&gp.get(&own).await.body);
        (events.contains(MARK) && events.contains("in-progress")).then_some(())
    })
    .await;
    for (who, actor, events) in told {
        let events = actor.get(&events).await;
        assert_eq!(events.status, 200, "{who}: {}", events.describe());
        let events = text(&events.body);
        assert!(!events.contains(MARK) && !events.contains("notification-event"), "{who}: {events}");
    }
    scene.hub.stop().await;
}

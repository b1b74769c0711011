//! `/openapi.json` is true: what it lists is done with one of the statuses that it lists, what it does not list is refused, and it says
//! the same as the CapabilityStatement.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use hyper::Method;
use onward::demo::caller::Answered;
use serde_json::{Value, json};

use super::{fixtures, hub, query};
use hub::{Actor, GP, Hub, LIFE_ROOMS, RIO};

const NOBODY: &str = "0198b6a0-7c1e-7bd0-a5d1-000000000000";
const METHODS: [Method; 6] = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// The document, and a hub that holds a referral with all that one can carry.
struct Scene {
    hub: Hub,
    document: Value,
    statement: Value,
    /// By type, one that is there.
    there: BTreeMap<String, String>,
}

/// A method at a place, as the document has it.
struct Listed<'d> {
    path: &'d str,
    method: Method,
    told: &'d Value,
}

impl Scene {
    async fn set() -> Self {
        let hub = Hub::start().await;
        let document = hub.actor(None).get("/openapi.json").await.json();
        let statement = hub.actor(None).get("/fhir/metadata").await.json();
        let rio = hub.sender(RIO);
        let task = rio.refers(&fixtures::json("referrals/03-full-bundle.json")).await;
        hub.task_when(&rio, &task, "received", |t| t["status"] == "received").await;
        let package = rio.get(&format!("{task}/$package")).await.json();
        let of = |resource: &Value, name: &str| resource[name].as_str().unwrap().to_owned();
        let entries = package["entry"].as_array().unwrap().iter().map(|entry| &entry["resource"]);
        let mut there: BTreeMap<_, _> = entries.map(|one| (of(one, "resourceType"), of(one, "id"))).collect();
        let id = there["Task"].clone();
        there.insert("Provenance".into(), format!("{id}-1"));
        Self { hub, document, statement, there }
    }

    fn listed(&self) -> impl Iterator<Item = Listed<'_>> {
        self.document["paths"].as_object().unwrap().iter().flat_map(|(path, item)| {
            item.as_object().unwrap().iter().map(move |(method, told)| Listed {
                path,
                method: method.to_uppercase().parse().unwrap(),
                told,
            })
        })
    }

    /// The path with something in its open places.
    fn filled(&self, path: &str, otherwise: &str) -> String {
        let kind = path.split('/').nth(2).unwrap_or_default();
        let id = self.there.get(kind).map_or(otherwise, String::as_str);
        path.replace("{kind}", "Account").replace("{id}", id).replace("{version}", "1")
    }

    /// What stands for a reference.
    fn resolved<'s>(&'s self, told: &'s Value) -> &'s Value {
        match told["$ref"].as_str() {
            Some(reference) => self.document.pointer(reference.trim_start_matches('#')).unwrap(),
            None => told,
        }
    }

    /// The names of the parameters of an operation that stand there.
    fn parameters<'s>(&'s self, told: &'s Value, place: &'static str) -> impl Iterator<Item = &'s Value> {
        let all = told["parameters"].as_array().unwrap().iter().map(|one| self.resolved(one));
        all.filter(move |one| one["in"] == place)
    }

    /// Fails unless the answer is one that is listed: its status, its media type, the headers that are always there.
    #[track_caller]
    fn holds(&self, listed: &Listed<'_>, answer: &Answered) {
        let Listed { path, method, told } = listed;
        let status = answer.status.as_u16().to_string();
        let found = told["responses"].get(&status);
        let found = found.unwrap_or_else(|| panic!("{method} {path} gives {status}: {}", answer.describe()));
        let found = self.resolved(found);
        for (name, header) in found["headers"].as_object().into_iter().flatten() {
            if self.resolved(header)["required"] == true {
                assert!(answer.header(&name.to_lowercase()).is_some(), "{method} {path} {status} has no {name}");
            }
        }
        let Some(content) = found["content"].as_object() else { return };
        let media_type = answer.header("content-type").map(|text| text.split(';').next().unwrap());
        let media_type = media_type.unwrap_or_else(|| panic!("{method} {path} {status} has no type"));
        assert!(content.contains_key(media_type), "{method} {path} {status} is {media_type}");
    }
}

fn call(actor: &Actor, listed: &Listed<'_>, path: &str) -> onward::demo::caller::Call {
    let call = actor.call_to(listed.method.clone(), path);
    if listed.told["parameters"].as_array().unwrap().iter().any(|one| one["$ref"] == "#/components/parameters/If-Match")
    {
        return call.header("if-match", "W/\"1\"");
    }
    call
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_listed_is_done_as_it_says() {
    let scene = Scene::set().await;
    let (rio, gp, provider) = (scene.hub.sender(RIO), scene.hub.sender(GP), scene.hub.provider(LIFE_ROOMS));
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut note = |answer: &Answered| *seen.entry(answer.status.as_u16().to_string()).or_default() += 1;
    for listed in scene.listed() {
        let needs_token = listed.told["security"] != json!([]);
        let stranger = scene.hub.actor(None);
        for path in [scene.filled(listed.path, NOBODY), listed.path.replace("{id}", NOBODY).replace("{version}", "9")] {
            let path = path.replace("{kind}", "Account");
            let body = &listed.told["requestBody"]["content"];
            for actor in [&*rio, &*gp, &*provider] {
                let content = body.as_object().and_then(|all| all.keys().next());
                let mut asked = call(actor, &listed, &path);
                if let Some(media_type) = content {
                    let kind = path.split('/').nth(2).unwrap_or_default();
                    let example = body[media_type].get("example").cloned();
                    let example =
                        example.unwrap_or_else(|| json!({"resourceType": kind, "id": path.rsplit('/').next()}));
                    let text = if media_type.contains("json") { example.to_string() } else { "_count=1".to_owned() };
                    asked = asked.bytes(Box::leak(media_type.clone().into_boxed_str()), text.into());
                }
                let answer = actor.call(asked).await;
                note(&answer);
                scene.holds(&listed, &answer);
                if let Some(tag) = answer.header("etag").filter(|_| listed.method == Method::GET) {
                    let again = actor.call(call(actor, &listed, &path).header("if-none-match", tag)).await;
                    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{path}");
                    scene.holds(&listed, &again);
                }
            }
            if !body.is_null() {
                let answer = rio.call(call(&rio, &listed, &path).bytes("text/html", "<p/>".into())).await;
                // OAuth has one status for all that is asked wrongly (RFC 6749, 5.2)
                let refused = if path.starts_with("/oauth/") { 400 } else { 415 };
                assert_eq!(answer.status, refused, "{path}");
                scene.holds(&listed, &answer);
            }
            let answer = stranger.call(call(&stranger, &listed, &path)).await;
            assert_eq!(answer.status == 401, needs_token, "{} {path}: {}", listed.method, answer.describe());
            scene.holds(&listed, &answer);
            if listed.told["responses"].get("406").is_some() {
                let answer = rio.call(call(&rio, &listed, &path).header("accept", "text/html")).await;
                assert_eq!(answer.status, 406, "{path}");
                scene.holds(&listed, &answer);
            }
        }
    }
    for status in ["200", "201", "400", "403", "404", "412"] {
        assert!(seen.contains_key(status), "nothing gave {status}: {seen:?}");
    }
    scene.hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_listed_is_refused() {
    let scene = Scene::set().await;
    let rio = scene.hub.sender(RIO);
    let mut methods: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for listed in scene.listed() {
        let known = methods.entry(listed.path).or_default();
        known.insert(listed.method.to_string());
        if listed.method == Method::GET {
            known.insert("HEAD".into());
        }
    }
    for (path, known) in &methods {
        for path in [scene.filled(path, NOBODY), path.replace("{kind}", "Task").replace("{id}", NOBODY)] {
            let path = path.replace("{version}", "1");
            for method in METHODS.iter().filter(|method| !known.contains(method.as_str())) {
                let answer = rio.call(rio.call_to(method.clone(), &path)).await;
                assert_eq!(answer.status, 405, "{method} {path}: {}", answer.describe());
                let allowed = answer.header("allow").unwrap_or_else(|| panic!("{method} {path}: no Allow"));
                let allowed: BTreeSet<String> = allowed.split(',').map(|one| one.trim().to_owned()).collect();
                assert_eq!(allowed, *known, "{method} {path}");
                // how to get a token is told as SMART has it
                let is_fhir = path.starts_with("/fhir") && !path.contains("/.well-known/");
                if is_fhir && *method != Method::HEAD {
                    assert_eq!(answer.json()["resourceType"], "OperationOutcome", "{method} {path}");
                }
            }
        }
    }
    let served: BTreeSet<&str> = scene.kinds().map(|of| of["type"].as_str().unwrap()).collect();
    let all = &scene.document["components"]["parameters"]["kind"]["schema"]["enum"];
    let mut refused = 0;
    for kind in all.as_array().unwrap().iter().map(|kind| kind.as_str().unwrap()).filter(|kind| !served.contains(kind))
    {
        for (method, url) in [
            (Method::GET, format!("/fhir/{kind}")),
            (Method::POST, format!("/fhir/{kind}")),
            (Method::POST, format!("/fhir/{kind}/_search")),
            (Method::GET, format!("/fhir/{kind}/{NOBODY}")),
            (Method::PUT, format!("/fhir/{kind}/{NOBODY}")),
        ] {
            let answer = rio.method(method.clone(), &url, &json!({"resourceType": kind})).await;
            assert_eq!(answer.status, 404, "{method} {url}: {}", answer.describe());
        }
        refused += 1;
    }
    assert!(refused > 100 && refused + served.len() == all.as_array().unwrap().len(), "{refused}");
    scene.hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_takes_what_is_listed_and_nothing_else() {
    let scene = Scene::set().await;
    let rio = scene.hub.sender(RIO);
    let of_r4 = parameters_of_r4();
    let mut refused = BTreeSet::new();
    for listed in scene.listed() {
        let Some(kind) = listed.path.strip_prefix("/fhir/").filter(|kind| !kind.contains(['/', '$'])) else { continue };
        if listed.method != Method::GET || kind == "metadata" {
            continue;
        }
        let claimed = scene.kinds().find(|of| of["type"] == kind).unwrap();
        let id = scene.there.get(kind).map_or(NOBODY, String::as_str);
        let mut names = BTreeSet::new();
        for parameter in scene.parameters(listed.told, "query") {
            let name = parameter["name"].as_str().unwrap();
            names.insert(name.to_owned());
            let code = name.split([':', '.']).next().unwrap();
            let value = match (name, &parameter["schema"]) {
                ("_after" | "_page", _) => continue,
                (_, schema) if schema["enum"][0].is_string() => schema["enum"][0].as_str().unwrap(),
                (_, schema) if schema["type"] == "boolean" => "true",
                ("_sort" | "_elements", _) => "_id",
                ("near", _) => "53.4|-2.97|5|km",
                ("near-postcode", _) => "L8|5|km",
                _ if code == "_include" => &format!("{kind}:*"),
                _ if code == "_revinclude" => "Task:focus",
                _ => {
                    let base = scene.parameters(listed.told, "query").find(|one| one["name"] == code).unwrap();
                    let told = base["description"].as_str().unwrap();
                    match told.strip_prefix("One of ") {
                        Some(codes) if !name.contains('.') => codes.split([',', '.']).next().unwrap(),
                        _ => "2026",
                    }
                }
            };
            let answer = rio.get(&format!("/fhir/{kind}{}", query(&[("_id", id), (name, value)]))).await;
            assert_eq!(answer.status, 200, "{kind} {name}={value}: {}", answer.describe());
            scene.holds(&listed, &answer);
        }
        let names_of = |list: &Value| -> BTreeSet<String> {
            list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
        };
        let plain: BTreeSet<String> = names.iter().filter(|name| !name.contains([':', '.'])).cloned().collect();
        let mut stated = names_of(&claimed["searchParam"]);
        stated.extend(names_of(&scene.statement["rest"][0]["searchParam"]));
        stated.extend(["_after", "_page", "_format", "_pretty"].map(str::to_owned));
        assert_eq!(plain, stated, "{kind}");
        let form = &scene.document["components"]["schemas"][format!("{kind}Search")]["properties"];
        let in_form: BTreeSet<String> = form.as_object().unwrap().keys().cloned().collect();
        assert_eq!(names.difference(&in_form).count(), 4, "only _after, _page, _format and _pretty stand in no form");
        for base in [kind, "DomainResource", "Resource"] {
            for name in of_r4.get(base).into_iter().flatten().filter(|name| !names.contains(*name)) {
                let answer = rio.get(&format!("/fhir/{kind}{}", query(&[("_id", id), (name, "1")]))).await;
                assert_eq!(answer.status, 400, "{kind} {name}: {}", answer.describe());
                refused.insert(name.clone());
            }
        }
    }
    for name in ["value-quantity", "code-value-quantity", "probability", "_text", "_content"] {
        assert!(refused.contains(name), "{name} was not tried: {refused:?}");
    }
    scene.hub.stop().await;
}

impl Scene {
    fn kinds(&self) -> impl Iterator<Item = &Value> {
        self.statement["rest"][0]["resource"].as_array().unwrap().iter()
    }
}

/// The names of all search parameters of R4, by the type that they are of: from the package that the build had.
fn parameters_of_r4() -> BTreeMap<String, BTreeSet<String>> {
    let packages = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("definitions");
    let file = |of: std::io::Result<std::fs::DirEntry>| {
        let file = of.unwrap().path().join("package/dist/fhir/r4/search-parameters.json");
        file.exists().then_some(file)
    };
    let file = std::fs::read_dir(packages).unwrap().find_map(file).unwrap();
    let bundle: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for one in bundle["entry"].as_array().unwrap().iter().map(|entry| &entry["resource"]) {
        for base in one["base"].as_array().into_iter().flatten() {
            all.entry(base.as_str().unwrap().into()).or_default().insert(one["code"].as_str().unwrap().into());
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_says_the_same_as_the_capability_statement() {
    let scene = Scene::set().await;
    let mut listed: BTreeSet<(String, String)> = BTreeSet::new();
    for Listed { path, method, .. } in scene.listed() {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let code = match (method.as_str(), &parts[1..]) {
            // what is no FHIR
            _ if parts[0] != "fhir" => continue,
            ("GET", [_, "{id}"]) => "read",
            ("GET", [_, "{id}", "_history", "{version}"]) => "vread",
            ("GET", [_, "{id}", "_history"]) => "history-instance",
            ("GET", [_, "_history"]) => "history-type",
            ("GET", ["metadata" | ".well-known", ..]) | ("POST", []) => continue,
            ("GET", [_]) => "search-type",
            ("POST", [_, "_search"]) => "search-type",
            ("POST", [_]) => "create",
            ("PUT", [_, "{id}"] | [_]) => "update",
            ("PATCH", [_, "{id}"] | [_]) => "patch",
            ("DELETE", [_, "{id}"]) => "delete",
            ("POST", ["{kind}", "$validate"] | ["{kind}", "{id}", "$validate"]) => continue,
            ("GET", ["Task", "{id}", "$package"] | ["Subscription", "{id}", "$status" | "$events"]) => continue,
            _ => panic!("{method} {path} is nothing that a CapabilityStatement speaks of"),
        };
        listed.insert((parts[1].to_owned(), code.to_owned()));
    }
    let mut stated = BTreeSet::new();
    for of in scene.kinds() {
        let kind = of["type"].as_str().unwrap();
        for interaction in of["interaction"].as_array().unwrap() {
            stated.insert((kind.to_owned(), interaction["code"].as_str().unwrap().to_owned()));
        }
        let by_search = scene.document["paths"][format!("/fhir/{kind}")].get("put").is_some();
        assert_eq!(of["conditionalUpdate"] == true, by_search, "{kind}");
    }
    assert_eq!(listed, stated);
    assert_eq!(scene.document["openapi"], "3.0.3");
    assert_eq!(scene.document["servers"][0]["url"], scene.hub.base_url);
    let head = scene.hub.actor(None).call(scene.hub.actor(None).call_to(Method::HEAD, "/openapi.json")).await;
    assert_eq!((head.status.as_u16(), head.header("content-type")), (200, Some("application/json")));
    scene.hub.stop().await;
}

//! One Onward with a referral that carries a resource of every type, all of it marked; everything that can be asked of it, from the
//! document of its interface; and everybody who may not.

use std::collections::{BTreeMap, BTreeSet};

use hyper::Method;
use onward::demo::caller::{Answered, FHIR_JSON};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{MARK, resources, text, whole::carrying};
use crate::{
    store::postgres::Place,
    support::{
        fixtures,
        hub::{ANNA, Actor, Build, GP, HOUSING, Hub, LIFE_ROOMS, LINK_WORKERS, RIO, TRIAGE, WARD},
    },
};

/// The topic of changes of Tasks.
const TOPIC: &str = "https://onward.example/fhir/SubscriptionTopic/Task";

/// Whatever can be open is: pages for people, and the directory to everybody.
pub const SECTIONS: &str = "[people]\nlocal = true\n[directory]\nopen = true\n";

/// See the module's documentation.
pub struct Scene {
    pub hub: Hub,
    /// `/openapi.json`
    pub document: Value,
    /// What is theirs, by type: as its owner reads it.
    pub theirs: BTreeMap<String, Vec<Value>>,
    /// The proposal of their provider.
    pub proposal: String,
    /// Where everybody may have itself told of changes.
    pub hook: Hook,
}

/// A server that takes whatever is posted to it.
pub struct Hook {
    pub url: String,
}

impl Hook {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut read = Vec::new();
                    let mut some = vec![0; 65_536];
                    while let Ok(n @ 1..) = stream.read(&mut some).await {
                        read.extend_from_slice(&some[..n]);
                        // what is posted is one JSON object
                        if !read.ends_with(b"}") {
                            continue;
                        }
                        read.clear();
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                    }
                });
            }
        });
        Self { url }
    }
}

/// Something that is asked.
#[derive(Debug, Clone)]
pub struct Ask {
    pub method: Method,
    /// The path with its query.
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<(&'static str, String)>,
}

/// An operation of the document.
pub struct Listed<'d> {
    pub path: &'d str,
    pub method: Method,
    pub told: &'d Value,
}

impl Ask {
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), headers: Vec::new(), body: None }
    }

    pub fn of(method: Method, path: impl Into<String>) -> Self {
        Self { method, ..Self::get(path) }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn body(mut self, content_type: &'static str, body: impl Into<String>) -> Self {
        self.body = Some((content_type, body.into()));
        self
    }

    /// All that is said in it.
    pub fn text(&self) -> String {
        let headers: Vec<&str> = self.headers.iter().map(|(_, value)| value.as_str()).collect();
        let body = self.body.as_ref().map_or("", |(_, body)| body.as_str());
        format!("{}\n{}\n{body}", self.path, headers.join("\n"))
    }

    /// The same with other words in every place.
    pub fn with(&self, change: impl Fn(&str) -> String) -> Self {
        Self {
            method: self.method.clone(),
            path: change(&self.path),
            headers: self.headers.iter().map(|(name, value)| (*name, change(value))).collect(),
            body: self.body.as_ref().map(|(kind, body)| (*kind, change(body))),
        }
    }

    pub async fn by(&self, actor: &Actor) -> Answered {
        let mut call = actor.call_to(self.method.clone(), &self.path);
        for (name, value) in &self.headers {
            call = call.header(name, value.clone());
        }
        if let Some((kind, body)) = &self.body {
            call = call.bytes(kind, body.clone().into());
        }
        actor.call(call).await
    }
}

impl Scene {
    /// `place`: where the store is, if not in a file.
    pub async fn set(place: Option<&Place>) -> Self {
        let hook = Hook::start().await;
        let build = Hub::build().hooks(&hook.url).sections(SECTIONS);
        let hub = place.into_iter().fold(build, |build: Build, place| build.store_at(&place.url)).start().await;
        let document = hub.actor(None).get("/openapi.json").await.json();
        let mut scene = Self { hub, document, theirs: BTreeMap::new(), proposal: String::new(), hook };
        scene.refer().await;
        scene
    }

    /// The types that are served.
    pub fn kinds(&self) -> BTreeSet<&str> {
        Self::kinds_of(&self.document)
    }

    /// The types that are served by what the document says.
    pub fn kinds_of(document: &Value) -> BTreeSet<&str> {
        let below = |path: &'_ String| path.strip_prefix("/fhir/").is_some_and(|kind| !kind.contains(['/', '{']));
        let paths = document["paths"].as_object().unwrap();
        let kinds = paths.keys().filter(|path| below(path)).map(|path| &path["/fhir/".len()..]);
        kinds.filter(|kind| *kind != "metadata").collect()
    }

    /// Their system refers with everything that can be carried, both sides say something, each has itself told, the provider proposes.
    async fn refer(&mut self) {
        let (gp, workers) = (self.hub.sender(GP), self.hub.provider(LINK_WORKERS));
        let made_here = ["ServiceRequest", "Task", "Communication", "Provenance", "Subscription"];
        let carried: Vec<&str> = self.kinds().into_iter().filter(|kind| !made_here.contains(kind)).collect();
        assert!(carried.len() > 30, "{carried:?}");
        let sent = carrying(MARK, &carried, &fixtures::to_link_workers(MARK), |one| {
            if one["resourceType"] == "Patient" {
                let number = json!({"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990606900"});
                one["identifier"].as_array_mut().unwrap().push(number);
            }
        });
        let task = gp.refers(&sent).await;
        self.hub.task_when(&workers, &task, "listed", |task| task["meta"]["versionId"] == "2").await;
        let task = task.split_once("/fhir/").unwrap().1.to_owned();

        for (actor, words) in [(&*gp as &Actor, "asked"), (&workers, "answered")] {
            let message = json!({"resourceType": "Communication", "status": "completed", "about": [{"reference": task}],
                "note": [{"text": MARK}], "payload": [{"contentString": format!("{MARK} {words}")}],
                "identifier": [{"system": super::whole::SYSTEM, "value": format!("{MARK}-{words}")}]});
            let said = actor.method(Method::POST, "/fhir/Communication", &message).await;
            assert_eq!(said.status, 201, "{}", said.describe());
            let wanted = self.subscription(&[]);
            let made = actor.method(Method::POST, "/fhir/Subscription", &wanted).await;
            assert_eq!(made.status, 201, "{}", made.describe());
            self.theirs.entry("Subscription".into()).or_default().push(made.json());
        }
        let etag = workers.get(&format!("/fhir/{task}")).await.header("etag").unwrap().to_owned();
        let patch = json!([{"op": "replace", "path": "/status", "value": "accepted"},
            {"op": "add", "path": "/note", "value": [{"text": MARK}]},
            {"op": "add", "path": "/output", "value": [{"type": {"text": MARK}, "valueString": MARK}]}]);
        let answer = workers.patch(&format!("/fhir/{task}"), &etag, &patch).await;
        assert_eq!(answer.status, 200, "{}", answer.describe());

        let service = json!({"resourceType": "HealthcareService", "active": true, "name": MARK, "comment": MARK,
            "type": [{"text": MARK}],
            "providedBy": {"reference": format!("Organization/{LINK_WORKERS}")}});
        let proposed = workers.method(Method::POST, "/fhir/HealthcareService", &service).await;
        assert_eq!(proposed.status, 202, "{}", proposed.describe());
        let location = proposed.header("location").unwrap();
        self.proposal = location.rsplit('/').next().unwrap().to_owned();

        let package = gp.get(&format!("/fhir/{task}/$package")).await;
        assert_eq!(package.status, 200, "{}", package.describe());
        for one in resources(&package.json()) {
            self.theirs.entry(one["resourceType"].as_str().unwrap().to_owned()).or_default().push(one.clone());
        }
        let changes = gp.get(&format!("/fhir/Provenance?target={task}")).await.json();
        self.theirs.insert("Provenance".into(), resources(&changes).cloned().collect());
        let without: Vec<_> = self.kinds().into_iter().filter(|kind| !self.theirs.contains_key(*kind)).collect();
        assert!(without.is_empty(), "nothing of theirs is of these types: {without:?}");
        let unmarked: Vec<_> = self.theirs.values().flatten().filter(|one| !one.to_string().contains(MARK)).collect();
        let unmarked: BTreeSet<_> = unmarked.iter().map(|one| one["resourceType"].as_str().unwrap()).collect();
        assert_eq!(unmarked, BTreeSet::from(["Provenance", "Subscription"]), "all else is marked");
    }

    /// A Subscription to all changes of Tasks that these filters let through.
    pub fn subscription(&self, filters: &[String]) -> Value {
        const BACKPORT: &str = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/";
        let filter = |text: &String| json!({"url": format!("{BACKPORT}backport-filter-criteria"), "valueString": text});
        let content = json!({"url": format!("{BACKPORT}backport-payload-content"), "valueCode": "full-resource"});
        let mut made = json!({"resourceType": "Subscription", "status": "requested", "reason": "attack", "criteria": TOPIC,
            "channel": {"type": "rest-hook", "endpoint": self.hook.url, "payload": FHIR_JSON, "_payload": {"extension": [content]}}});
        if !filters.is_empty() {
            made["_criteria"] = json!({"extension": filters.iter().map(filter).collect::<Vec<_>>()});
        }
        made
    }

    /// Everybody to whom nothing of it is. Whether what a provider proposes is for them, too.
    pub fn others(&self) -> Vec<(&'static str, Actor)> {
        let mut all: Vec<(&str, Actor)> =
            [RIO, WARD].into_iter().map(|id| (id, (*self.hub.sender(id)).clone())).collect();
        all.extend([LIFE_ROOMS, HOUSING, TRIAGE].into_iter().map(|id| (id, (*self.hub.provider(id)).clone())));
        all.push((ANNA, self.hub.steward()));
        all.push(("nobody", self.hub.actor(None)));
        all.push(("a stranger", self.hub.actor(Some("a-token-that-nobody-gave-out"))));
        all
    }

    /// One of each kind of those.
    pub fn kinds_of_others(&self) -> Vec<(&'static str, Actor)> {
        self.others().into_iter().filter(|(who, _)| [RIO, TRIAGE, ANNA].contains(who)).collect()
    }

    /// Every id that is theirs.
    pub fn ids(&self) -> BTreeSet<String> {
        let id = |one: &Value| one["id"].as_str().unwrap().get(..36).unwrap().to_owned();
        self.theirs.values().flatten().map(id).chain([self.proposal.clone()]).collect()
    }

    /// `Type/id` of all that is theirs.
    pub fn references(&self) -> Vec<String> {
        let all = self.theirs.iter().flat_map(|(kind, all)| all.iter().map(move |one| (kind, one)));
        all.map(|(kind, one)| format!("{kind}/{}", one["id"].as_str().unwrap())).collect()
    }

    /// Every operation that there is.
    pub fn listed(&self) -> impl Iterator<Item = Listed<'_>> {
        self.document["paths"].as_object().unwrap().iter().flat_map(|(path, item)| {
            item.as_object().unwrap().iter().map(move |(method, told)| Listed {
                path,
                method: method.to_uppercase().parse().unwrap(),
                told,
            })
        })
    }

    /// What stands for a reference of the document.
    fn resolved<'s>(&'s self, told: &'s Value) -> &'s Value {
        match told["$ref"].as_str() {
            Some(reference) => self.document.pointer(reference.trim_start_matches('#')).unwrap(),
            None => told,
        }
    }

    /// The parameters of an operation's query.
    pub fn parameters<'s>(&'s self, told: &'s Value) -> impl Iterator<Item = &'s Value> {
        let all = told["parameters"].as_array().unwrap().iter().map(|one| self.resolved(one));
        all.filter(|one| one["in"] == "query")
    }

    /// All that is stored of theirs, as both of them see it.
    pub async fn state(&self) -> String {
        let mut state = String::new();
        let task = self.theirs["Task"][0]["id"].as_str().unwrap();
        for actor in [&*self.hub.sender(GP) as &Actor, &self.hub.provider(LINK_WORKERS)] {
            for path in [format!("Task/{task}/$package"), format!("Task/{task}/_history")] {
                let answer = actor.get(&format!("/fhir/{path}")).await;
                assert_eq!(answer.status, 200, "{path}: {}", answer.describe());
                state += &text(&answer.body);
            }
        }
        state
    }
}

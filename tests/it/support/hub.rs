//! A whole Onward in this process, with the systems and providers of the fixtures around it (`fixtures/README.md`): real HTTP,
//! embedded broker, SQLite in a temporary folder. `Hub::start()` is all most tests need; `Hub::build()` takes wishes first.
//!
//! The actors show their tokens: a [`Sender`] is an originating system, a [`Provider`] receives. Life Rooms and the housing
//! support are [`Double`]s that are pushed to, link workers and triage work from their worklists.

use std::{
    collections::BTreeMap,
    ops::Deref,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use hyper::Method;
use onward::{
    config::{Config, Env},
    demo::{
        caller::{Answered, Call, Caller, FHIR_JSON, JSON_PATCH},
        double::{Double, Options},
    },
    service::Service,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::{fixtures, until};

pub const RIO: &str = "merseycare-rio";
pub const GP: &str = "brownlow-gp";
pub const WARD: &str = "ward-epr";
pub const LIFE_ROOMS: &str = "life-rooms";
pub const LINK_WORKERS: &str = "link-workers";
pub const HOUSING: &str = "housing-support";
pub const TRIAGE: &str = "triage-team";
/// Who keeps the directory.
pub const ANNA: &str = "anna";

const SYSTEMS: [(&str, &str); 3] = [(RIO, "RW4"), (GP, "N82999"), (WARD, "REM")];

/// Wishes for a hub.
#[derive(Default)]
pub struct Build {
    server: String,
    limits: String,
    rio: String,
    profiles: String,
    sections: String,
    read: bool,
    watched: bool,
    life_rooms: Option<String>,
    idle: bool,
    hooks: String,
    notify: Vec<String>,
    retry: String,
    store: Option<String>,
}

/// See the module's documentation.
pub struct Hub {
    /// Where it is reached, without a slash at the end.
    pub base_url: String,
    /// The server of the Life Rooms.
    pub life_rooms: Double,
    /// The server of the housing support, which gives its own ids.
    pub housing: Double,
    /// Mersey Care's record; read only where the build says so.
    pub record: Double,
    folder: TempDir,
    service: Option<Arc<Service>>,
    watch: Option<JoinHandle<()>>,
    caller: Caller,
}

/// Someone with a token, or without one.
#[derive(Clone)]
pub struct Actor {
    base_url: String,
    token: Option<String>,
    caller: Caller,
}

/// An originating system.
#[derive(Clone)]
pub struct Sender(Actor);

/// A provider.
#[derive(Clone)]
pub struct Provider(Actor);

/// The token of a system or provider.
pub fn token_of(id: &str) -> String {
    format!("SECRET-token-of-{id}")
}

/// The variables that hold the tokens.
pub fn environment() -> Vec<(String, String)> {
    let ids = [RIO, GP, WARD, LIFE_ROOMS, LINK_WORKERS, HOUSING, TRIAGE, ANNA];
    let mail = ("MAIL_PASSWORD".to_owned(), token_of("mail"));
    ids.iter().map(|id| (variable(id), token_of(id))).chain([mail]).collect()
}

fn variable(id: &str) -> String {
    format!("TOKEN_OF_{}", id.to_ascii_uppercase().replace('-', "_"))
}

// === impl Build ===

impl Build {
    /// Lines for `[server]`.
    pub fn server(mut self, lines: &str) -> Self {
        self.server = lines.to_owned();
        self
    }

    /// Lines for `[limits]`.
    pub fn limits(mut self, lines: &str) -> Self {
        self.limits = lines.to_owned();
        self
    }

    /// Lines for Mersey Care's system.
    pub fn rio(mut self, lines: &str) -> Self {
        self.rio = lines.to_owned();
        self
    }

    /// Lines for `[profiles]`.
    pub fn profiles(mut self, lines: &str) -> Self {
        self.profiles = lines.to_owned();
        self
    }

    /// Whole tables, such as `[http]`.
    pub fn sections(mut self, text: &str) -> Self {
        self.sections = text.to_owned();
        self
    }

    /// Mersey Care's record may be read.
    pub fn with_record(mut self) -> Self {
        self.read = true;
        self
    }

    /// The files are watched for changes, as `onward serve` does.
    pub fn watched(mut self) -> Self {
        self.watched = true;
        self
    }

    /// The Life Rooms' server is elsewhere.
    pub fn life_rooms_at(mut self, base_url: &str) -> Self {
        self.life_rooms = Some(base_url.to_owned());
        self
    }

    /// Everybody may have itself told of changes here.
    pub fn hooks(mut self, url: &str) -> Self {
        self.hooks = format!("hooks = [\"{url}\"]\n");
        self
    }

    /// Whom mail tells that something waits for the link workers.
    pub fn notify(mut self, addresses: &[&str]) -> Self {
        self.notify = addresses.iter().map(|address| (*address).to_owned()).collect();
        self
    }

    /// Lines for `[retry]`.
    pub fn retry(mut self, lines: &str) -> Self {
        self.retry = lines.to_owned();
        self
    }

    /// The store is at this URL.
    pub fn store_at(mut self, url: &str) -> Self {
        self.store = Some(url.to_owned());
        self
    }

    /// Only the files and the doubles; the service is started by somebody else.
    pub fn without_service(mut self) -> Self {
        self.idle = true;
        self
    }

    pub async fn start(self) -> Hub {
        let folder = tempfile::tempdir().unwrap();
        let double = || async { Double::start(Options::default()).await.unwrap() };
        let (life_rooms, housing, record) = (double().await, double().await, double().await);
        std::fs::write(folder.path().join("routes.toml"), fixtures::text("routes.toml")).unwrap();
        let mut hub = Hub {
            base_url: String::new(),
            life_rooms,
            housing,
            record,
            folder,
            service: None,
            watch: None,
            caller: Caller::new(),
        };
        std::fs::write(hub.config_path(), self.config(&hub)).unwrap();
        if self.idle {
            return hub;
        }
        let (config, _) = hub.load();
        let files = config.files.clone();
        let service = Arc::new(Box::pin(Service::start(config)).await.unwrap());
        hub.base_url = service.base_url().to_owned();
        if self.watched {
            let (service, path) = (Arc::clone(&service), hub.config_path());
            hub.watch = Some(tokio::spawn(async move {
                service.watch(Some(path), environment().into_iter().collect(), files).await;
            }));
        }
        hub.service = Some(service);
        hub
    }

    fn config(&self, hub: &Hub) -> String {
        // nobody balances load here
        let pause = if self.limits.contains("stop-pause") { "" } else { "\nstop-pause = \"0s\"" };
        // whoever is not known comes from this machine, and tests come often
        let rate = if self.limits.contains("address-rate") { "" } else { "\naddress-rate = 100000" };
        let mut text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n{}\n[store]\nurl = \"{}\"\n[routes]\nfile = \"routes.toml\"\n[limits]\n{}{pause}{rate}\n\
             [retry]\nfirst = \"100ms\"\ncap = \"500ms\"\n{}\n[profiles]\n{}\n{}\n",
            self.server,
            self.store.clone().unwrap_or_else(|| format!("sqlite:{}", hub.store_path().display())),
            self.limits,
            self.retry,
            self.profiles,
            self.sections
        );
        for (id, ods) in SYSTEMS {
            let tokens = format!("[{{ env = \"{}\" }}]", variable(id));
            text += &format!("[[system]]\nid = \"{id}\"\nname = \"{id}\"\nods-code = \"{ods}\"\ntokens = {tokens}\n");
            text += &self.hooks;
            if id == RIO {
                text += &format!("{}\n", self.rio);
            }
            if self.read && id == RIO {
                text += &format!("read = {{ base-url = \"{}\" }}\n", hub.record.base_url());
            }
        }
        let at = self.life_rooms.clone().unwrap_or_else(|| hub.life_rooms.base_url().to_owned());
        let housing = hub.housing.base_url();
        let life_rooms = format!("inbox = {{ kind = \"fhir-rest\", base-url = \"{at}\" }}");
        let housing = format!(
            "inbox = {{ kind = \"fhir-rest\", base-url = \"{housing}\", ids = \"server\", answers = \"poll\", \
             poll-every = \"300ms\" }}"
        );
        let link_workers = format!("inbox = {{ kind = \"worklist\", notify = {:?} }}", self.notify);
        let providers = [
            (LIFE_ROOMS, "RW4", life_rooms.as_str()),
            (LINK_WORKERS, "U99999", link_workers.as_str()),
            (HOUSING, "ZH999", housing.as_str()),
            (TRIAGE, "RW499", ""),
        ];
        for (id, ods, inbox) in providers {
            let tokens = format!("[{{ env = \"{}\" }}]", variable(id));
            text += &format!(
                "[[provider]]\nid = \"{id}\"\nname = \"{id}\"\nods-code = \"{ods}\"\ntokens = {tokens}\n{inbox}\n{}",
                self.hooks
            );
        }
        text +=
            &format!("[[steward]]\nid = \"{ANNA}\"\nname = \"Anna\"\ntokens = [{{ env = \"{}\" }}]\n", variable(ANNA));
        text + "[[inbox]]\nid = \"triage\"\nprovider = \"triage-team\"\nkind = \"worklist\"\n"
    }
}

// === impl Hub ===

impl Hub {
    pub async fn start() -> Self {
        Self::build().start().await
    }

    pub fn build() -> Build {
        Build::default()
    }

    pub fn config_path(&self) -> PathBuf {
        self.folder.path().join("onward.toml")
    }

    pub fn routes_path(&self) -> PathBuf {
        self.folder.path().join("routes.toml")
    }

    pub fn store_path(&self) -> PathBuf {
        self.folder.path().join("onward.db")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The configuration as it lies there now, and its warnings.
    pub fn load(&self) -> (Config, Vec<onward::config::Fault>) {
        let env: Env = environment().into_iter().collect();
        Config::load(Some(&self.config_path()), &env).unwrap_or_else(|faults| panic!("{faults:?}"))
    }

    pub fn service(&self) -> &Service {
        self.service.as_ref().unwrap()
    }

    /// Someone with this token.
    pub fn actor(&self, token: Option<&str>) -> Actor {
        Actor { base_url: self.base_url.clone(), token: token.map(str::to_owned), caller: self.caller.clone() }
    }

    /// With no connection that is open already.
    pub fn connect_anew(&mut self) {
        self.caller = Caller::new();
    }

    pub fn sender(&self, id: &str) -> Sender {
        Sender(self.actor(Some(&token_of(id))))
    }

    pub fn provider(&self, id: &str) -> Provider {
        Provider(self.actor(Some(&token_of(id))))
    }

    /// Who keeps the directory.
    pub fn steward(&self) -> Actor {
        self.actor(Some(&token_of(ANNA)))
    }

    /// How many rows each table of the store has.
    pub fn rows(&self) -> BTreeMap<String, i64> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let store = rusqlite::Connection::open_with_flags(self.store_path(), flags).unwrap();
        let mut names =
            store.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'").unwrap();
        let names: Vec<String> = names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let count = |name: &String| store.query_row(&format!("SELECT count(*) FROM {name}"), [], |row| row.get(0));
        names.into_iter().map(|name| (name.clone(), count(&name).unwrap())).collect()
    }

    /// The Task once it is as wanted, with its ETag.
    pub async fn task_when(&self, as_seen_by: &Actor, url: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        until(what, || async {
            let task = as_seen_by.get(url).await.json();
            is(&task).then_some(task)
        })
        .await
    }

    /// Ends the service and waits for it.
    pub async fn stop(self) {
        self.stop_keeping().await;
    }

    /// The same, and what lies in the folder stays as long as what this gives.
    pub async fn stop_keeping(mut self) -> TempDir {
        if let Some(watch) = self.watch.take() {
            watch.abort();
            let _ = watch.await;
        }
        if let Some(service) = self.service.take().and_then(Arc::into_inner) {
            service.stop().await;
        }
        self.folder
    }
}

// === impl Actor ===

impl Actor {
    /// A path below the server, or a whole URL.
    pub fn url(&self, path: &str) -> String {
        if path.starts_with("http://") { path.to_owned() } else { format!("{}{path}", self.base_url) }
    }

    pub fn call_to(&self, method: Method, path: &str) -> Call {
        let call = Call::new(method, self.url(path));
        match &self.token {
            Some(token) => call.token(token),
            None => call,
        }
    }

    pub async fn call(&self, call: Call) -> Answered {
        self.caller.call(call).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Answered {
        self.call(self.call_to(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, content_type: &'static str, body: impl Into<Bytes>) -> Answered {
        self.call(self.call_to(Method::POST, path).bytes(content_type, body.into())).await
    }

    pub async fn method(&self, method: Method, path: &str, body: &Value) -> Answered {
        self.call(self.call_to(method, path).json(FHIR_JSON, body)).await
    }
}

// === impl Sender ===

impl Sender {
    /// Sends a ServiceRequest or a Bundle to where it belongs.
    pub async fn refer(&self, referral: &Value) -> Answered {
        self.refer_with(referral, &[]).await
    }

    pub async fn refer_with(&self, referral: &Value, headers: &[(&'static str, &str)]) -> Answered {
        let path = if referral["resourceType"] == "Bundle" { "/fhir" } else { "/fhir/ServiceRequest" };
        let call = self.call_to(Method::POST, path).json(FHIR_JSON, referral);
        self.call(headers.iter().fold(call, |call, (name, value)| call.header(name, *value))).await
    }

    /// Puts a ServiceRequest where it was read, made from this version.
    pub async fn change(&self, url: &str, etag: &str, request: &Value) -> Answered {
        self.call(self.call_to(Method::PUT, url).header("if-match", etag).json(FHIR_JSON, request)).await
    }

    pub async fn patch(&self, url: &str, etag: &str, patch: &Value) -> Answered {
        self.call(self.call_to(Method::PATCH, url).header("if-match", etag).json(JSON_PATCH, patch)).await
    }

    /// Sends what must be accepted; the URL of its (first) Task.
    pub async fn refers(&self, referral: &Value) -> String {
        let answer = self.refer(referral).await;
        assert!(answer.status.is_success(), "{}", answer.describe());
        answer.links("monitor").remove(0)
    }
}

impl Deref for Sender {
    type Target = Actor;

    fn deref(&self) -> &Actor {
        &self.0
    }
}

// === impl Provider ===

impl Provider {
    /// Puts a Task where it was read, made from this version.
    pub async fn put(&self, url: &str, etag: &str, task: &Value) -> Answered {
        self.call(self.call_to(Method::PUT, url).header("if-match", etag).json(FHIR_JSON, task)).await
    }

    pub async fn patch(&self, url: &str, etag: &str, patch: &Value) -> Answered {
        self.call(self.call_to(Method::PATCH, url).header("if-match", etag).json(JSON_PATCH, patch)).await
    }

    /// Sets a status, made from the version that is there now.
    pub async fn set(&self, url: &str, status: &str) -> Answered {
        let etag = self.get(url).await.header("etag").unwrap().to_owned();
        self.patch(url, &etag, &json!([{"op": "replace", "path": "/status", "value": status}])).await
    }
}

impl Deref for Provider {
    type Target = Actor;

    fn deref(&self) -> &Actor {
        &self.0
    }
}

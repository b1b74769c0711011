//! Pages as a browser meets them, over a store whose clock is moved by hand.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use arc_swap::ArcSwap;
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use http_body_util::BodyExt as _;
use tempfile::TempDir;
use totp_rs::Secret;
use tower_service::Service as _;

use super::*;
use crate::{
    broker::embedded::Embedded,
    client::FhirClient,
    config::{self, Config, Env, Outbound, TokenHash},
    domain::ManualClock,
    health::Health,
    http::Came,
    intake::record::Reading,
    lanes::{Endpoints, Relay},
    people::totp,
    preview::Previews,
    profiles::Validator,
    store::sqlite::SqliteStore,
};

mod sessions;
mod table;
mod tries;

pub(super) const BASE: &str = "https://onward.example";
pub(super) const PASSWORD: &str = "three unlikely words";

/// Onward's pages, and whoever looks after their people.
pub(super) struct Scene {
    router: Router,
    /// Held while a report is reckoned.
    pub(super) reckoning: Arc<tokio::sync::Mutex<()>>,
    pub(super) people: People,
    pub(super) clock: Arc<ManualClock>,
    pub(super) store: Arc<dyn Store>,
    pub(super) intake: Intake,
    pub(super) conversation: Conversation,
    pub(super) health: Arc<Health>,
    pub(super) endpoints: Endpoints,
    _folder: TempDir,
}

/// A browser, with its cookies.
pub(super) struct Browser {
    pub(super) router: Router,
    cookies: BTreeMap<String, String>,
    pub(super) origin: Option<&'static str>,
    pub(super) from: Option<IpAddr>,
    /// What it has already (`If-None-Match`).
    pub(super) has: Option<String>,
    /// What the page bears that asks by itself.
    pub(super) asks_of_page: Option<String>,
}

pub(super) struct Page {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

fn scene_at(base_url: &str, people: config::People) -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::embedded(folder.path(), TokenHash::of("x"), &Env::default()).unwrap().0;
    scene_of(base_url, config::Config { people, ..config }, folder)
}

/// Pages over a configuration, and a store in this folder.
pub(super) fn scene_of(base_url: &str, config: Config, folder: TempDir) -> Scene {
    let clock = Arc::new(ManualClock::at("2026-03-02T09:00:00Z".parse().unwrap()));
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&folder.path().join("onward.db"), clock.clone()).unwrap());
    let registry = Arc::new(ArcSwap::from_pointee(config.registry));
    let people = People::new(Arc::clone(&store), Arc::clone(&registry), config.people);
    let broker = Arc::new(Embedded::new(Default::default()));
    let (relay, _publishing) = Relay::start(Arc::clone(&store), broker, Default::default());
    let (client, reading) = (FhirClient::new(&Outbound::anywhere()).unwrap(), Reading::default());
    let validator = Arc::new(Validator::new(vec![]).unwrap());
    let admission = Admission::new(&config.limits);
    let conversation = Conversation {
        store: Arc::clone(&store),
        relay: relay.clone(),
        registry: Arc::clone(&registry),
        client: client.clone(),
        reading: reading.clone(),
        validator: Arc::clone(&validator),
        base_url: base_url.to_owned(),
    };
    let (health, endpoints) = (
        Arc::new(Health::default()),
        Endpoints::new(Arc::clone(&store), Default::default(), tokio_util::sync::CancellationToken::new()),
    );
    endpoints.set(registry.load().terms());
    let previews = Previews {
        store: Arc::clone(&store),
        client: client.clone(),
        registry: Arc::clone(&registry),
        base_url: base_url.to_owned(),
    };
    let intake = Intake {
        store: Arc::clone(&store),
        relay: relay.clone(),
        registry: Arc::clone(&registry),
        client,
        reading,
        validator,
        base_url: base_url.to_owned(),
        admission: Arc::clone(&admission),
    };
    let web = Web {
        status: Status::new(Arc::clone(&store), relay, Arc::clone(&registry)),
        live: Live::new(Arc::clone(&store)),
        directory: Directory::new(Arc::clone(&store), Arc::clone(&registry), Arc::clone(&intake.validator), base_url),
        store: Arc::clone(&store),
        registry,
        conversation: conversation.clone(),
        intake: intake.clone(),
        console: Console::new(previews, Arc::clone(&health), endpoints.clone(), Default::default()),
        routes: Routes::new(config.routes, Default::default(), Default::default()),
        trial: Trial::new(intake.clone(), conversation.clone(), Default::default()),
        people: people.clone(),
        issuer: None,
        admission,
        door: Door::new(&config.limits),
        refused: RefusedAtDoor::default(),
        base_url: base_url.to_owned(),
        request_timeout: config.limits.request_timeout,
    };
    let reckoning = Arc::clone(&web.console.reports.reckoning);
    Scene {
        router: for_people(router(web), base_url),
        reckoning,
        people,
        clock,
        store,
        intake,
        conversation,
        health,
        endpoints,
        _folder: folder,
    }
}

pub(super) fn scene() -> Scene {
    scene_at(BASE, config::People { local: true, ..config::People::default() })
}

impl Scene {
    pub(super) fn browser(&self) -> Browser {
        Browser {
            router: self.router.clone(),
            cookies: BTreeMap::new(),
            origin: Some(BASE),
            from: None,
            has: None,
            asks_of_page: None,
        }
    }

    /// A browser that shows this as its session.
    pub(super) fn browser_showing(&self, session: &str) -> Browser {
        let mut browser = self.browser();
        browser.cookies.insert("__Host-onward".into(), session.into());
        browser
    }

    /// Somebody with an account, and the key of her device.
    pub(super) async fn enrolled(&self, name: &str, role: &str) -> Vec<u8> {
        let code = self.people.add("command:test", name, "Anna Ärzte", vec![role.parse().unwrap()]).await.unwrap();
        self.enrols(name, code.reveal()).await
    }

    /// Somebody enrols with her code; the key of her device.
    pub(super) async fn enrols(&self, name: &str, code: &str) -> Vec<u8> {
        let mut browser = self.browser();
        let fields = [("name", name), ("enrolment-code", code), ("password", PASSWORD), ("again", PASSWORD)];
        let page = browser.post("/enrol", &fields).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        let key = page.between("<p class=\"onward-key\">", "</p>");
        let key = Secret::try_from_base32(key).unwrap().as_bytes().to_vec();
        let shown = self.code(&key);
        let page = browser.post("/enrol/device", &[("made-for", page.made_for()), ("code", &shown)]).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        // the code that the device was set up by is used
        self.clock.advance(30);
        key
    }

    pub(super) fn code(&self, key: &[u8]) -> String {
        use crate::domain::Clock as _;
        totp::code(key, self.clock.now())
    }

    /// A browser of somebody who has logged in.
    pub(super) async fn logged_in(&self, name: &str, key: &[u8]) -> Browser {
        let mut browser = self.browser();
        let page = browser.log_in(name, PASSWORD, &self.code(key)).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.text);
        self.clock.advance(30);
        browser
    }
}

impl Browser {
    async fn send(&mut self, method: Method, path: &str, body: String) -> Page {
        let (status, headers, content) = self.exchange(method, path, body).await;
        Page { status, headers, text: String::from_utf8(content).unwrap() }
    }

    /// What is no page.
    pub(super) async fn bytes(&mut self, path: &str) -> (StatusCode, HeaderMap, Vec<u8>) {
        self.exchange(Method::GET, path, String::new()).await
    }

    async fn exchange(&mut self, method: Method, path: &str, body: String) -> (StatusCode, HeaderMap, Vec<u8>) {
        let mut request = Request::builder().method(&method).uri(path).header(header::ACCEPT, "text/html,*/*;q=0.8");
        if !self.cookies.is_empty() {
            let all: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header(header::COOKIE, all.join("; "));
        }
        if let Some(origin) = self.origin.filter(|_| method == Method::POST) {
            request = request.header(header::ORIGIN, origin);
        }
        if let Some(has) = &self.has {
            request = request.header(header::IF_NONE_MATCH, has);
        }
        if let Some(made_for) = &self.asks_of_page {
            request = request.header(form::MADE_FOR_HEADER, made_for).header("sec-fetch-dest", "empty");
        }
        let mut request = request.body(Body::from(body)).unwrap();
        request.extensions_mut().insert(AskedBy { request: "request-1".into(), correlation: None, person: None });
        if let Some(from) = self.from {
            request.extensions_mut().insert(Came { address: Some(from), ..Came::default() });
        }
        let (parts, body) = self.router.call(request).await.unwrap().into_parts();
        for set in parts.headers.get_all(header::SET_COOKIE) {
            let (name, value) = set.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        (parts.status, parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
    }

    pub(super) async fn get(&mut self, path: &str) -> Page {
        self.send(Method::GET, path, String::new()).await
    }

    pub(super) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let encoded =
            |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        let pairs: Vec<String> = fields.iter().map(|(name, text)| format!("{name}={}", encoded(text))).collect();
        self.send(Method::POST, path, pairs.join("&")).await
    }

    pub(super) async fn log_in(&mut self, name: &str, password: &str, code: &str) -> Page {
        self.post("/login", &[("name", name), ("password", password), ("code", code)]).await
    }

    /// Whether it is logged in.
    async fn is_in(&mut self) -> bool {
        self.get("/account").await.status == StatusCode::OK
    }
}

impl Page {
    pub(super) fn between(&self, before: &str, after: &str) -> &str {
        let rest = self.text.split_once(before).unwrap_or_else(|| panic!("no {before} in {}", self.text)).1;
        rest.split_once(after).unwrap().0
    }

    pub(super) fn made_for(&self) -> &str {
        self.between("name=\"made-for\" value=\"", "\"")
    }

    pub(super) fn to(&self) -> &str {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.text);
        self.headers[header::LOCATION].to_str().unwrap()
    }
}

#[test]
fn no_cell_of_a_table_is_a_formula() {
    for bad in ["=1+1", "+44", "-1", "@SUM(A1)", "\t=1"] {
        assert!(harmless(bad).starts_with('\''), "{bad}");
    }
    assert_eq!(harmless("Ann = Able"), "Ann = Able");
}

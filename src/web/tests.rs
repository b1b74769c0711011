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

mod table;
mod tries;

pub(super) const BASE: &str = "https://onward.example";
pub(super) const PASSWORD: &str = "three unlikely words";

/// Onward's pages, and whoever looks after their people.
pub(super) struct Scene {
    router: Router,
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
    Scene {
        router: for_people(router(web), base_url),
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

#[tokio::test]
async fn somebody_enrols_logs_in_sees_who_she_is_and_logs_out() {
    let scene = scene();
    let key = scene.enrolled("anna", "provider-worker:local").await;
    let mut browser = scene.browser();
    assert_eq!(browser.get("/account?a=b").await.to(), "/login?return-to=%2Faccount%3Fa%3Db");
    assert!(browser.get("/login?return-to=%2Faccount%3Fa%3Db").await.text.contains("value=\"/account?a=b\""));
    let code = scene.code(&key);
    let fields = [("name", "anna"), ("password", PASSWORD), ("code", &code), ("return-to", "/account?a=b")];
    let page = browser.post("/login", &fields).await;
    assert_eq!(page.to(), "/account?a=b");
    let cookie = page.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("__Host-onward="), "{cookie}");
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"), "{cookie}");

    let page = browser.get("/account").await;
    for told in ["Anna Ärzte", "local:anna", "You work the referrals of", "2 March 2026, 09:00 (here)"] {
        assert!(page.text.contains(told), "{told}: {}", page.text);
    }
    let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'; ")
            && policy.contains("; script-src https://onward.example/assets/;")
            && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!(page.headers[header::CACHE_CONTROL], "no-store");
    assert_eq!(page.headers[header::STRICT_TRANSPORT_SECURITY], "max-age=31536000");
    // one script, of a file of ours; nothing in the page itself
    let script = format!("<script type=\"module\" src=\"{}\"></script>", assets::SCRIPT);
    assert_eq!(page.text.matches("<script").count(), page.text.matches(&script).count());
    for inline in ["style=", "<style", " onclick", " onload", "javascript:"] {
        assert!(!page.text.contains(inline), "{inline}: {}", page.text);
    }
    let script = browser.get(assets::SCRIPT).await;
    assert_eq!((script.status, script.text.contains("initAll();")), (StatusCode::OK, true));
    assert!(
        script.text.to_lowercase().contains(form::MADE_FOR_HEADER),
        "what asks by itself says for whom its page is"
    );
    assert_eq!(script.headers[header::CACHE_CONTROL], "public, max-age=31536000, immutable");

    let page = browser.post("/logout", &[("made-for", page.made_for())]).await;
    assert_eq!(page.to(), "/login");
    let left: Vec<&String> = browser.cookies.keys().collect();
    assert_eq!(left, ["__Host-onward-device"], "by which the browser is known as hers, and which opens nothing");
    assert!(!browser.is_in().await);
}

#[tokio::test]
async fn a_session_that_was_ended_is_of_no_use_to_whoever_kept_its_cookie() {
    let scene = scene();
    let key = scene.enrolled("anna", "auditor").await;
    let (mut one, mut other) = (scene.logged_in("anna", &key).await, scene.logged_in("anna", &key).await);
    let mut stolen = scene.browser();
    stolen.cookies = one.cookies.clone();
    assert!(stolen.is_in().await);
    // of the two, the other one's page ends the first
    let page = other.get("/account").await;
    let first = page.text.rsplit_once("/account/sessions/").unwrap().0;
    let id = first.rsplit_once("/account/sessions/").unwrap().1.split_once('/').unwrap().0;
    let made_for = page.made_for().to_owned();
    let path = format!("/account/sessions/{id}/end");
    assert_eq!(other.post(&path, &[("made-for", &made_for)]).await.to(), "/account");
    assert!(!one.is_in().await && !stolen.is_in().await);
    assert!(other.is_in().await);
    assert_eq!(other.post(&path, &[("made-for", &made_for)]).await.status, StatusCode::NOT_FOUND);

    // and all at once
    let mut third = scene.logged_in("anna", &key).await;
    other.post("/account/sessions/end", &[("made-for", &made_for)]).await;
    assert!(!other.is_in().await && !third.is_in().await);
}

#[tokio::test]
async fn nobody_is_sent_elsewhere_after_a_log_in() {
    let scene = scene();
    let key = scene.enrolled("anna", "auditor").await;
    for to in ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", ""] {
        let code = scene.code(&key);
        let fields = [("name", "anna"), ("password", PASSWORD), ("code", &code), ("return-to", to)];
        let mut browser = scene.browser();
        assert_eq!(browser.post("/login", &fields).await.to(), "/", "{to}");
        let encoded = percent_encoding::utf8_percent_encode(to, percent_encoding::NON_ALPHANUMERIC);
        assert_eq!(browser.get(&format!("/login?return-to={encoded}")).await.to(), "/", "{to}");
        scene.clock.advance(30);
    }
    let page = scene.browser().get("/login?return-to=%2F%22%3E%3Cscript%3E").await;
    assert!(!page.text.contains("<script>"), "{}", page.text);
}

#[tokio::test]
async fn a_session_that_is_left_alone_or_too_old_ends() {
    let scene = scene();
    let key = scene.enrolled("anna", "auditor").await;
    let mut browser = scene.logged_in("anna", &key).await;
    scene.clock.advance(14 * 60);
    assert!(browser.is_in().await);
    scene.clock.advance(14 * 60);
    assert!(browser.is_in().await, "it was used since");
    scene.clock.advance(15 * 60);
    assert!(!browser.is_in().await, "left alone for a quarter of an hour");

    let mut browser = scene.logged_in("anna", &key).await;
    for _ in 0..(12 * 6) {
        assert!(browser.is_in().await);
        scene.clock.advance(10 * 60);
    }
    assert!(!browser.is_in().await, "twelve hours are the longest");
}

/// Of a session that is over its secret is taken away, once a page is opened; a new one takes its place.
#[tokio::test]
async fn the_cookie_of_a_session_that_is_over_is_taken_away() {
    let scene = scene();
    let key = scene.enrolled("anna", "auditor").await;
    let mut browser = scene.logged_in("anna", &key).await;
    let made_for = browser.get("/account").await.made_for().to_owned();
    let secret = browser.cookies["__Host-onward"].clone();
    scene.clock.advance(16 * 60);
    // what a page asks by itself may be answered after a log-in in another tab
    browser.asks_of_page = Some(made_for);
    assert_eq!(browser.get("/console/now").await.to(), "/login");
    assert_eq!(browser.cookies["__Host-onward"], secret);
    browser.asks_of_page = None;
    let page = browser.get("/console").await;
    let taken: Vec<_> = page.headers.get_all(header::SET_COOKIE).iter().map(|set| set.to_str().unwrap()).collect();
    assert_eq!(
        (page.to(), taken),
        ("/login?return-to=%2Fconsole", vec!["__Host-onward=over; Path=/; HttpOnly; SameSite=Lax; Secure"])
    );
    let page = browser.get("/login").await;
    assert!(page.status == StatusCode::OK && !page.headers.contains_key(header::SET_COOKIE), "once");
    // from the page with the way to log in, too
    let mut other = scene.browser_showing(&secret);
    assert_eq!(other.get("/login").await.headers.get_all(header::SET_COOKIE).iter().count(), 1);
    // and who logs in with it has her new one, and no other
    let mut other = scene.browser_showing(&secret);
    let page = other.log_in("anna", PASSWORD, &scene.code(&key)).await;
    let sessions = page
        .headers
        .get_all(header::SET_COOKIE)
        .iter()
        .filter(|set| set.to_str().unwrap().starts_with("__Host-onward="));
    assert_eq!(sessions.count(), 1);
    assert!(other.is_in().await);
}

#[tokio::test]
async fn who_is_kept_out_is_out_at_once() {
    let scene = scene();
    let key = scene.enrolled("anna", "auditor").await;
    let mut browser = scene.logged_in("anna", &key).await;
    scene.people.disable("command:test", "anna", true).await.unwrap();
    assert!(!browser.is_in().await);
    let refused = scene.browser().log_in("anna", PASSWORD, &scene.code(&key)).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    scene.people.disable("command:test", "anna", false).await.unwrap();
    scene.clock.advance(30);
    let mut browser = scene.logged_in("anna", &key).await;

    scene.people.set_positions("command:test", "anna", vec!["operator".parse().unwrap()]).await.unwrap();
    assert!(!browser.is_in().await, "what she was before she is no longer anywhere");
    let mut browser = scene.logged_in("anna", &key).await;
    assert!(browser.get("/account").await.text.contains("You keep Onward running"));

    scene.people.reset("command:test", "anna").await.unwrap();
    assert!(!browser.is_in().await);
    let refused = scene.browser().log_in("anna", PASSWORD, &scene.code(&key)).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "password and device are gone");
}

#[tokio::test]
async fn a_code_gets_in_once() {
    let scene = scene();
    let key = scene.enrolled("anna", "auditor").await;
    let code = scene.code(&key);
    assert_eq!(scene.browser().log_in("anna", PASSWORD, &code).await.status, StatusCode::SEE_OTHER);
    assert_eq!(scene.browser().log_in("anna", PASSWORD, &code).await.status, StatusCode::UNAUTHORIZED);
    scene.clock.advance(30);
    assert_eq!(
        scene.browser().log_in("anna", PASSWORD, &code).await.status,
        StatusCode::UNAUTHORIZED,
        "late, and used"
    );
    // of several at once, too
    scene.clock.advance(60);
    let code = scene.code(&key);
    let tries = (0..4).map(|_| {
        let (mut browser, code) = (scene.browser(), code.clone());
        async move { browser.log_in("anna", PASSWORD, &code).await.status }
    });
    let ended = futures_util::future::join_all(tries).await;
    assert_eq!(ended.iter().filter(|status| **status == StatusCode::SEE_OTHER).count(), 1, "{ended:?}");
}

/// What is told of a name is the same whether there is one or not: after each try, and how long it takes until the next one.
#[tokio::test]
async fn where_nobody_may_log_in_there_is_nothing() {
    let scene = scene_at(BASE, config::People::default());
    for path in ["/", "/login", "/account", "/enrol", assets::STYLE] {
        assert_eq!(scene.browser().get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_form_that_is_too_long_is_not_read() {
    let scene = scene();
    let page = scene.browser().log_in("anna", &"x".repeat(70_000), "000000").await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
}

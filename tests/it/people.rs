//! People log in at an issuer that nobody here wrote (npm `oidc-provider`), by a browser that is played here; and the commands for
//! local accounts.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, Uri, header};
use onward::{
    client::FhirClient,
    config::{Config, Env, Outbound},
    service::Service,
};

use crate::{
    pages,
    support::{server::free_port, skipped},
};

const SECRET: &str = "a-secret-of-the-client-0123456789";
const WITHIN: Duration = Duration::from_secs(20);

/// The issuer as a process of its own; ended when dropped.
struct Issuer {
    child: Child,
    at: String,
}

impl Issuer {
    /// `None` where it is not installed, which is noted.
    fn start(test: &str, folder: &Path, base: &str, by_key: bool) -> Option<Self> {
        let Some(modules) = std::env::var_os("ONWARD_TEST_ISSUER").map(PathBuf::from) else {
            skipped(test, "no npm packages (ONWARD_TEST_ISSUER)");
            return None;
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/issuer/issuer.mjs");
        // a module is looked for beside the script that names it
        std::fs::copy(script, folder.join("issuer.mjs")).unwrap();
        std::os::unix::fs::symlink(modules, folder.join("node_modules")).unwrap();
        let mut command = Command::new("node");
        command.arg("issuer.mjs").current_dir(folder).env("ONWARD_BASE", base).env("CLIENT_SECRET", SECRET);
        if by_key {
            command.env("CLIENT_KEY", folder.join("key.pem"));
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut at = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut at).unwrap();
        assert!(at.starts_with("http://127.0.0.1:"), "{at}");
        Some(Self { child, at: at.trim().to_owned() })
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An Onward whose people come from the issuer.
struct Scene {
    service: Service,
    base: String,
    issuer: Issuer,
    _folder: tempfile::TempDir,
}

async fn scene(test: &str, proof: &str) -> Option<Scene> {
    let folder = tempfile::tempdir().unwrap();
    let base = format!("http://127.0.0.1:{}", free_port());
    std::fs::write(folder.path().join("secret"), SECRET).unwrap();
    std::fs::write(folder.path().join("key.pem"), rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let issuer = Issuer::start(test, folder.path(), &base, proof == BY_KEY)?;
    let text = CONFIG
        .replace("LISTEN", base.trim_start_matches("http://"))
        .replace("STORE", &folder.path().join("onward.db").display().to_string())
        .replace("ISSUER", &issuer.at)
        .replace("PROOF", proof);
    let env = Env::from_iter([("TOKEN", "a-token-of-everybody-0123")]);
    let (config, _) = Config::parse(&text, &folder.path().join("onward.toml"), &env).unwrap();
    let service = Service::start(config).await.unwrap();
    Some(Scene { service, base, issuer, _folder: folder })
}

const BY_SECRET: &str = "client-secret = { file = \"secret\" }";
const BY_KEY: &str = "client-key = { file = \"key.pem\", id = \"k1\", algorithm = \"ES256\" }";

const CONFIG: &str = r#"
[server]
listen = "LISTEN"
[store]
url = "sqlite:STORE"
[people.oidc]
issuer = "ISSUER"
client-id = "onward"
PROOF
scopes = ["profile", "nationalrbacaccess"]
acr-values = ["AAL3_ANY"]
[[people.oidc.role]]
claim = "nhsid_nrbac_roles"
fields = ["org_code=RW4", "role_code=R8000"]
role = "referrer"
organisation = "rio"
[[people.oidc.role]]
claim = "nhsid_nrbac_roles"
fields = ["org_code=RW4", "role_code=R1"]
role = "auditor"
[[people.oidc.role]]
claim = "realm_access.roles"
value = "onward-operator"
role = "operator"
[[system]]
id = "rio"
name = "RiO"
ods-code = "RW4"
tokens = [{ env = "TOKEN" }]
[[provider]]
id = "life-rooms"
name = "Life Rooms"
ods-code = "U12345"
inbox = { kind = "worklist" }
"#;

/// A browser: it keeps cookies of each host, and goes where it is sent one step at a time.
struct Browser {
    client: FhirClient,
    cookies: BTreeMap<(String, String), String>,
}

impl Browser {
    fn new() -> Self {
        Self { client: FhirClient::new(&Outbound::anywhere()).unwrap(), cookies: BTreeMap::new() }
    }

    async fn send(&mut self, method: Method, url: &str, body: &str) -> Response<Bytes> {
        let uri: Uri = url.parse().unwrap();
        let host = uri.authority().unwrap().to_string();
        let own = self.cookies.iter().filter(|((of, _), _)| *of == host);
        let cookies: Vec<String> = own.map(|((_, name), value)| format!("{name}={value}")).collect();
        let mut request = Request::builder().method(&method).uri(uri).header(header::COOKIE, cookies.join("; "));
        if method == Method::POST {
            let form = "application/x-www-form-urlencoded";
            request = request.header(header::ORIGIN, format!("http://{host}")).header(header::CONTENT_TYPE, form);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let answer = self.client.exchange(request, WITHIN).await.unwrap();
        for set in answer.headers().get_all(header::SET_COOKIE) {
            let (name, value) = set.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            let key = (host.clone(), name.to_owned());
            if value.is_empty() {
                self.cookies.remove(&key);
            } else {
                self.cookies.insert(key, value.to_owned());
            }
        }
        answer
    }

    async fn get(&mut self, url: &str) -> Response<Bytes> {
        self.send(Method::GET, url, "").await
    }

    /// Where an address sends it.
    async fn sent_from(&mut self, url: &str) -> String {
        let answer = self.get(url).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{url}: {}", text(&answer));
        to(url, &answer)
    }

    /// Signs in at the issuer, up to where that sends it back to.
    async fn sign_in(&mut self, scene: &Scene, asked: &str) -> String {
        let off = self.sent_from(&format!("{}/login/oidc?return-to=%2Faccount%3Fx%3Dy", scene.base)).await;
        assert!(off.starts_with(&format!("{}/auth?", scene.issuer.at)), "{off}");
        let sign_in = self.sent_from(&off).await;
        let on = self.sent_from(&format!("{sign_in}?{asked}")).await;
        self.sent_from(&on).await
    }

    async fn account(&mut self, scene: &Scene) -> Option<String> {
        let answer = self.get(&format!("{}/account", scene.base)).await;
        (answer.status() == StatusCode::OK).then(|| text(&answer))
    }
}

fn to(from: &str, answer: &Response<Bytes>) -> String {
    let to = answer.headers()[header::LOCATION].to_str().unwrap();
    let from: Uri = from.parse().unwrap();
    if to.starts_with('/') { format!("http://{}{to}", from.authority().unwrap()) } else { to.to_owned() }
}

fn text(answer: &Response<Bytes>) -> String {
    String::from_utf8_lossy(answer.body()).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_logs_in_at_an_issuer_with_a_browser_that_others_wrote() {
    const TEST: &str = "people::somebody_logs_in_at_an_issuer_with_a_browser_that_others_wrote";
    let Some(browser) = pages::browser("issuer") else { return };
    let Some(scene) = scene(TEST, BY_SECRET).await else { return };
    let more = vec![("ONWARD_ISSUER", scene.issuer.at.clone())];
    pages::walk_at("issuer", browser, &scene.base, Default::default(), more, 32).await;
    scene.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_logs_in_at_an_issuer_with_roles_of_claims_and_out_again() {
    let Some(scene) = scene("people::logs_in", BY_SECRET).await else { return };
    let mut anna = Browser::new();
    let back = anna.sign_in(&scene, "login=anna&acr=AAL3_ANY").await;
    assert!(back.starts_with(&format!("{}/login/callback?code=", scene.base)), "{back}");
    assert_eq!(anna.sent_from(&back).await, format!("{}/account?x=y", scene.base));
    let account = anna.account(&scene).await.unwrap();
    for told in ["Anna Ärzte", ">anna</dd>", "You refer people from RiO"] {
        assert!(account.contains(told), "{told}: {account}");
    }
    assert!(!account.contains("auditor"), "organisation and role were of two different posts: {account}");

    // the same answer again, by her and by another who saw it
    assert_eq!(anna.get(&back).await.status(), StatusCode::BAD_REQUEST);
    let mut other = Browser::new();
    assert_eq!(other.get(&back).await.status(), StatusCode::BAD_REQUEST);
    assert!(other.account(&scene).await.is_none());
    assert!(anna.account(&scene).await.is_some(), "nor was she thrown out by it");

    // her cookie opens pages, and nothing of what clients are given
    for path in ["/fhir/Task", "/fhir/Organization", "/directory/proposals"] {
        assert_eq!(anna.get(&format!("{}{path}", scene.base)).await.status(), StatusCode::UNAUTHORIZED, "{path}");
    }

    let made_for = account.split_once("name=\"made-for\" value=\"").unwrap().1.split_once('"').unwrap().0;
    let url = format!("{}/logout", scene.base);
    let out = anna.send(Method::POST, &url, &format!("made-for={made_for}")).await;
    let refresh = out.headers()[header::REFRESH].to_str().unwrap();
    let out = refresh.strip_prefix("0; url=").unwrap().to_owned();
    assert!(out.starts_with(&format!("{}/session/end?", scene.issuer.at)), "{out}");
    assert_eq!(anna.get(&out).await.status(), StatusCode::OK, "the issuer asks whether she wants to leave it, too");
    assert!(anna.account(&scene).await.is_none());
    scene.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_recognised_weakly_or_refused_is_not_in_and_who_has_no_role_may_nothing() {
    let Some(scene) = scene("people::refused", BY_KEY).await else { return };
    let mut weak = Browser::new();
    let back = weak.sign_in(&scene, "login=anna&acr=AAL1_USERPASS").await;
    let told = weak.get(&back).await;
    assert_eq!((told.status(), text(&told).contains("in a surer way")), (StatusCode::FORBIDDEN, true));
    assert!(weak.account(&scene).await.is_none());

    let mut refused = Browser::new();
    let back = refused.sign_in(&scene, "").await;
    assert!(back.contains("error=access_denied"), "{back}");
    assert_eq!(refused.get(&back).await.status(), StatusCode::FORBIDDEN);
    assert!(refused.account(&scene).await.is_none());

    let mut nobody = Browser::new();
    let back = nobody.sign_in(&scene, "login=nobody&acr=AAL3_ANY").await;
    nobody.sent_from(&back).await;
    assert!(nobody.account(&scene).await.unwrap().contains("none: ask whoever looks after people here"));

    let mut olga = Browser::new();
    let back = olga.sign_in(&scene, "login=olga&acr=AAL3_ANY").await;
    olga.sent_from(&back).await;
    assert!(olga.account(&scene).await.unwrap().contains("You keep Onward running"));
    scene.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_logs_out_at_the_issuer_is_out_here_at_once() {
    let Some(scene) = scene("people::backchannel", BY_SECRET).await else { return };
    let (mut anna, mut other) = (Browser::new(), Browser::new());
    for browser in [&mut anna, &mut other] {
        let back = browser.sign_in(&scene, "login=anna&acr=AAL3_ANY").await;
        browser.sent_from(&back).await;
        assert!(browser.account(&scene).await.is_some());
    }
    // she leaves the issuer, and tells Onward nothing
    let page = anna.get(&format!("{}/session/end", scene.issuer.at)).await;
    let page = text(&page);
    let xsrf = page.split_once("name=\"xsrf\" value=\"").unwrap().1.split_once('"').unwrap().0.to_owned();
    let url = format!("{}/session/end/confirm", scene.issuer.at);
    anna.send(Method::POST, &url, &format!("xsrf={xsrf}&logout=yes")).await;
    let told = async {
        while anna.account(&scene).await.is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WITHIN, told).await.expect("the issuer tells it");
    assert!(other.account(&scene).await.is_some(), "another log-in of hers goes on");
    // what nobody has signed ends nothing
    let forged = "logout_token=eyJhbGciOiJub25lIiwia2lkIjoiYSJ9.e30.";
    for body in [forged, "logout_token=a&logout_token=b", ""] {
        let told = other.send(Method::POST, &format!("{}/login/backchannel", scene.base), body).await;
        assert_eq!(told.status(), StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(told.headers()[header::CACHE_CONTROL], "no-store");
    }
    assert!(other.account(&scene).await.is_some());
    scene.service.stop().await;
}

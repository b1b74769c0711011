//! An issuer that lies, as far as it can: what it says is made here, token by token.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hyper::{Request, Response};
use serde_json::json;

use super::*;
use crate::{
    client::Transport,
    config::{
        self, Registry, Secret,
        people::{RoleRule, Says},
    },
    domain::{Clock as _, ManualClock},
    http::call::pairs,
    store::sqlite::SqliteStore,
};

const ISSUER: &str = "https://issuer.example";
const BASE: &str = "https://onward.example";
const SECRET: &str = "the secret of the client";

/// How a token is signed.
#[derive(Clone, Copy)]
enum Signed {
    /// By the key that is told.
    Well,
    /// By another one.
    ByAnother,
    /// Not at all.
    Not,
    /// By the secret that both sides have.
    BySecret,
    /// By the key that is told, taken for a secret.
    ByPublicKey,
}

struct State {
    key: EcdsaKeyPair,
    kid: String,
    claims: Value,
    signed: Signed,
    userinfo: Value,
    /// What the token endpoint was asked last.
    asked: BTreeMap<String, String>,
    discoveries: usize,
    keys_read: usize,
}

#[derive(Clone)]
struct Liar(Arc<Mutex<State>>);

fn key() -> EcdsaKeyPair {
    let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref()).unwrap()
}

impl Liar {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn token(&self) -> String {
        let state = self.state();
        let point = state.key.public_key().as_ref();
        let (alg, another) = match state.signed {
            Signed::Well | Signed::ByAnother => ("ES256", key()),
            Signed::Not => ("none", key()),
            Signed::BySecret | Signed::ByPublicKey => ("HS256", key()),
        };
        let header = json!({"alg": alg, "kid": state.kid, "typ": "JWT"}).to_string();
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(state.claims.to_string()));
        let by = |key: &EcdsaKeyPair| key.sign(&SystemRandom::new(), input.as_bytes()).unwrap().as_ref().to_vec();
        let mac =
            |secret: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes()).as_ref().to_vec();
        let signature = match state.signed {
            Signed::Well => by(&state.key),
            Signed::ByAnother => by(&another),
            Signed::Not => vec![],
            Signed::BySecret => mac(SECRET.as_bytes()),
            Signed::ByPublicKey => mac(point),
        };
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

#[async_trait]
impl Transport for Liar {
    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, CallError> {
        use http_body_util::BodyExt as _;
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let answer = match path.as_str() {
            "/.well-known/openid-configuration" => {
                self.state().discoveries += 1;
                json!({"issuer": ISSUER, "authorization_endpoint": format!("{ISSUER}/authorize"),
                       "token_endpoint": format!("{ISSUER}/token"), "userinfo_endpoint": format!("{ISSUER}/userinfo"),
                       "jwks_uri": format!("{ISSUER}/keys"), "end_session_endpoint": format!("{ISSUER}/end"),
                       "response_types_supported": ["code"], "subject_types_supported": ["public"],
                       // what it supports counts for nothing
                       "id_token_signing_alg_values_supported": ["none", "HS256", "ES256"]})
            }
            "/keys" => {
                let mut state = self.state();
                state.keys_read += 1;
                let point = state.key.public_key().as_ref();
                let part = |from: usize| URL_SAFE_NO_PAD.encode(&point[from..from + 32]);
                json!({"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "kid": state.kid, "x": part(1), "y": part(33)}]})
            }
            "/token" => {
                self.state().asked = pairs(std::str::from_utf8(&body).unwrap()).into_iter().collect();
                json!({"access_token": "a", "token_type": "Bearer", "expires_in": 300, "id_token": self.token()})
            }
            "/userinfo" => self.state().userinfo.clone(),
            other => panic!("{other}"),
        };
        let answer =
            Response::builder().header("content-type", "application/json").body(Bytes::from(answer.to_string()));
        Ok(answer.unwrap())
    }
}

struct Scene {
    issuer: Issuer,
    people: People,
    liar: Liar,
    clock: Arc<ManualClock>,
    _folder: tempfile::TempDir,
}

/// A log-in that was begun: what the browser has, and what the issuer was asked for.
struct LogIn {
    token: Token,
    asked: BTreeMap<String, String>,
}

fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    // the token's time is the machine's
    let clock = Arc::new(ManualClock::at(jiff::Timestamp::now()));
    let store = Arc::new(SqliteStore::open(&folder.path().join("onward.db"), clock.clone()).unwrap());
    let people = People::new(store, Arc::new(ArcSwap::from_pointee(Registry::default())), config::People::default());
    let state = State {
        key: key(),
        kid: "1".into(),
        claims: json!({}),
        signed: Signed::Well,
        userinfo: json!({"sub": "anna"}),
        asked: BTreeMap::new(),
        discoveries: 0,
        keys_read: 0,
    };
    let liar = Liar(Arc::new(Mutex::new(state)));
    let rule = |value: &str, position: &str| RoleRule {
        claim: "roles".into(),
        says: Says::Text(value.into()),
        position: position.parse().unwrap(),
    };
    let config = Oidc {
        issuer: ISSUER.into(),
        client_id: "onward".into(),
        proof: Proof::Secret(Secret::of(SECRET)),
        scopes: vec!["profile".into()],
        acr_values: vec!["AAL3_ANY".into(), "AAL2_OR_AAL3_ANY".into()],
        name_claim: "name".into(),
        roles: vec![rule("keeper", "operator"), rule("looker", "auditor"), rule("helper", "provider-worker:mind")],
    };
    let client = FhirClient::over(Arc::new(liar.clone()));
    let issuer = Issuer::new(people.clone(), config, client, BASE.into());
    Scene { issuer, people, liar, clock, _folder: folder }
}

impl Scene {
    async fn begin(&self) -> LogIn {
        let (token, url) = self.issuer.begin("/inbox").await.unwrap();
        let (at, query) = url.split_once('?').unwrap();
        assert_eq!(at, format!("{ISSUER}/authorize"));
        LogIn { token, asked: pairs(query).into_iter().collect() }
    }

    /// The claims that are right for a log-in, with these in their place.
    fn say(&self, login: &LogIn, other: Value) {
        let now = jiff::Timestamp::now().as_second();
        let mut claims = json!({"iss": ISSUER, "sub": "anna", "aud": "onward", "exp": now + 300, "iat": now,
            "nonce": login.asked["nonce"], "acr": "AAL3_ANY", "name": "Anna Ärzte", "roles": ["keeper", "other"]});
        for (name, value) in other.as_object().unwrap() {
            match value {
                Value::Null => claims.as_object_mut().unwrap().remove(name),
                value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        self.liar.state().claims = claims;
    }

    async fn end(&self, login: &LogIn, sent: &[(&str, &str)]) -> Result<Came, NotIn> {
        let mut all: BTreeMap<&str, &str> = [("code", "c"), ("state", login.asked["state"].as_str())].into();
        all.extend(sent.iter().copied());
        let all: Vec<(String, String)> = all.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        self.issuer.end(Some(&login.token), &all).await
    }

    /// What becomes of a log-in with these claims in the place of the right ones, signed so.
    async fn with(&self, claims: Value, signed: Signed) -> Result<Came, NotIn> {
        let login = self.begin().await;
        self.say(&login, claims);
        self.liar.state().signed = signed;
        self.end(&login, &[]).await
    }
}

#[tokio::test]
async fn whoever_the_issuer_vouches_for_is_in_with_the_roles_of_her_claims() {
    let scene = scene();
    let login = scene.begin().await;
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "onward"),
        ("redirect_uri", "https://onward.example/login/callback"),
        ("scope", "openid profile"),
        ("acr_values", "AAL3_ANY AAL2_OR_AAL3_ANY"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(login.asked[name], value, "{name}");
    }
    scene.say(&login, json!({}));
    let came = scene.end(&login, &[("iss", ISSUER)]).await.unwrap();
    assert_eq!(came.return_to, "/inbox");
    let visitor = scene.people.visitor(&came.token).await.unwrap().unwrap();
    assert_eq!((visitor.person.as_str(), visitor.name.as_str()), ("oidc:anna", "Anna Ärzte"));
    assert_eq!(visitor.positions, ["operator".parse().unwrap()]);
    // the code was asked for with what only we know (RFC 7636)
    let asked = scene.liar.state().asked.clone();
    let challenge = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, asked["code_verifier"].as_bytes());
    assert_eq!(login.asked["code_challenge"], URL_SAFE_NO_PAD.encode(challenge));
    assert_eq!((asked["grant_type"].as_str(), asked["code"].as_str()), ("authorization_code", "c"));
    assert_eq!(scene.liar.state().discoveries, 1, "what the issuer says of itself is kept");
    let out = scene.issuer.logs_out_at().await.unwrap();
    assert!(out.starts_with("https://issuer.example/end?"), "{out}");
    assert!(out.contains("post_logout_redirect_uri=https%3A%2F%2Fonward.example%2Flogin"), "{out}");
}

#[tokio::test]
async fn whose_referrals_somebody_works_is_kept_with_each_log_in() {
    let scene = scene();
    let known = async || scene.people.let_in(&["mind".parse().unwrap()]).await.unwrap();
    assert!(scene.with(json!({"roles": ["helper"], "acr": "AAL1"}), Signed::Well).await.is_err());
    assert!(known().await.works.is_empty(), "who is not let in is no colleague");
    scene.with(json!({"roles": ["helper"]}), Signed::Well).await.unwrap();
    assert_eq!(known().await.works, [("oidc:anna".to_owned(), "Anna Ärzte".to_owned())]);
    scene.clock.advance(60);
    scene.with(json!({"name": "Anna Weber"}), Signed::Well).await.unwrap();
    let gone = known().await;
    assert_eq!((gone.works.len(), gone.gone), (0, vec!["oidc:anna".to_owned()]), "the issuer gives her another role");
    let names = scene.people.names_of(&"mind".parse().unwrap(), &[]).await.unwrap();
    assert_eq!(names.at("oidc:anna", scene.clock.now()), Some("Anna Ärzte"), "what she did here stays told");
}

#[tokio::test]
async fn a_token_that_is_wrong_in_anything_lets_nobody_in() {
    let scene = scene();
    let now = jiff::Timestamp::now().as_second();
    for wrong in [
        json!({"iss": "https://other.example"}),
        json!({"iss": format!("{ISSUER}/")}),
        json!({"aud": "other"}),
        json!({"aud": ["onward", "other"]}),
        json!({"aud": []}),
        json!({"azp": "other"}),
        json!({"iat": jiff::Timestamp::now().as_second() + 120}),
        json!({"exp": now - 1}),
        json!({"exp": null}),
        json!({"nonce": "of another log-in"}),
        json!({"nonce": null}),
        json!({"sub": ""}),
        json!({"sub": "x".repeat(256)}),
        json!({"sub": "a\nb"}),
    ] {
        let ended = scene.with(wrong.clone(), Signed::Well).await;
        assert!(ended.is_err(), "{wrong}");
    }
    for weak in
        [json!({"acr": null}), json!({"acr": "AAL1_USERPASS"}), json!({"acr": "AAL3_ANY AAL1"}), json!({"acr": ""})]
    {
        let ended = scene.with(weak.clone(), Signed::Well).await;
        assert!(matches!(ended, Err(NotIn::TooWeak)), "{weak}: {ended:?}");
    }
    assert!(scene.with(json!({"acr": "AAL2_OR_AAL3_ANY"}), Signed::Well).await.is_ok(), "with nothing wrong she is in");
}

#[tokio::test]
async fn a_token_that_the_issuer_has_not_signed_lets_nobody_in() {
    let scene = scene();
    for signed in [Signed::ByAnother, Signed::Not, Signed::BySecret, Signed::ByPublicKey] {
        assert!(scene.with(json!({}), signed).await.is_err());
    }
    assert!(scene.with(json!({}), Signed::Well).await.is_ok());
}

#[tokio::test]
async fn neither_state_nor_code_is_of_use_to_another_or_twice() {
    let scene = scene();
    let (one, other) = (scene.begin().await, scene.begin().await);
    // one's answer in the other's browser
    scene.say(&one, json!({}));
    let mixed = scene.end(&other, &[("state", &one.asked["state"])]).await;
    assert!(matches!(mixed, Err(NotIn::Over)), "{mixed:?}");
    assert!(matches!(scene.end(&other, &[]).await, Err(NotIn::Over)), "whatever was wrong, it is over");
    let sent = [("code".to_owned(), "c".to_owned()), ("state".to_owned(), one.asked["state"].clone())];
    assert!(matches!(scene.issuer.end(None, &sent).await, Err(NotIn::Over)), "no browser of ours");
    assert!(matches!(scene.issuer.end(Some(&Token::mint().unwrap()), &sent).await, Err(NotIn::Over)));
    // and then twice
    assert!(scene.end(&one, &[]).await.is_ok());
    assert!(matches!(scene.end(&one, &[]).await, Err(NotIn::Over)), "once");
    // too late
    let late = scene.begin().await;
    scene.say(&late, json!({}));
    scene.clock.advance(600);
    assert!(matches!(scene.end(&late, &[]).await, Err(NotIn::Over)));
}

#[tokio::test]
async fn the_issuer_ends_what_it_has_let_in_once_for_each_token() {
    let scene = scene();
    let came_with = async |claims: Value| scene.with(claims, Signed::Well).await.unwrap().token;
    let (one, two) = (came_with(json!({"sid": "1"})).await, came_with(json!({"sid": "2"})).await);
    let bert = came_with(json!({"sub": "bert", "sid": "3"})).await;
    let is_in = async |token: &Token| scene.people.visitor(token).await.unwrap().is_some();
    let logout = async |other: Value, signed: Signed| {
        let now = scene.clock.now().as_second();
        let mut claims = json!({"iss": ISSUER, "aud": "onward", "iat": now, "exp": now + 120, "jti": "a", "sub": "anna",
            "sid": "1", "events": {"http://schemas.openid.net/event/backchannel-logout": {}}});
        for (name, value) in other.as_object().unwrap() {
            match value {
                Value::Null => claims.as_object_mut().unwrap().remove(name),
                value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        (scene.liar.state().claims, scene.liar.state().signed) = (claims, signed);
        scene.issuer.logged_out(&scene.liar.token()).await
    };
    for signed in [Signed::ByAnother, Signed::Not, Signed::BySecret, Signed::ByPublicKey] {
        assert!(matches!(logout(json!({}), signed).await, Err(NotOut::Token(_))));
    }
    // what shows that somebody is in does not show that she is out
    assert!(logout(json!({"events": null, "nonce": "n"}), Signed::Well).await.is_err());
    assert!(is_in(&one).await && is_in(&two).await && is_in(&bert).await);
    // it was made before she logs in again
    let before = scene.clock.now().as_second() - 5;
    assert_eq!(logout(json!({"iat": before}), Signed::Well).await.unwrap(), 1);
    assert!(!is_in(&one).await && is_in(&two).await && is_in(&bert).await, "her other log-in goes on");
    // once: whoever kept it does not throw her out again
    let again = came_with(json!({"sid": "1"})).await;
    assert!(matches!(logout(json!({}), Signed::Well).await, Err(NotOut::Token("it was used before"))));
    assert!(is_in(&again).await);
    // where the issuer has another key it is found
    {
        let mut state = scene.liar.state();
        (state.key, state.kid) = (key(), "2".into());
    }
    tokio::time::pause();
    tokio::time::advance(KEYS_KNOWN_FOR).await;
    assert_eq!(logout(json!({"jti": "b", "sid": null}), Signed::Well).await.unwrap(), 2, "all of hers");
    assert!(!is_in(&two).await && !is_in(&again).await && is_in(&bert).await);
    assert_eq!(logout(json!({"jti": "c", "sub": null, "sid": "3"}), Signed::Well).await.unwrap(), 1);
    assert!(!is_in(&bert).await);
}

/// What the issuer says is over while it is on its way back has no session, and nothing else is kept out by that.
#[tokio::test]
async fn a_log_in_that_comes_back_after_its_end_is_over() {
    let scene = scene();
    let event = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    let ended = async |jti: &str, whose: Value| {
        let now = jiff::Timestamp::now().as_second();
        let mut claims =
            json!({"iss": ISSUER, "aud": "onward", "iat": now, "exp": now + 120, "jti": jti, "events": event});
        whose.as_object().unwrap().iter().for_each(|(name, value)| claims[name] = value.clone());
        (scene.liar.state().claims, scene.liar.state().signed) = (claims, Signed::Well);
        scene.issuer.logged_out(&scene.liar.token()).await.unwrap()
    };
    for (n, whose) in
        [json!({"sid": "7"}), json!({"sub": "anna"}), json!({"sub": "anna", "sid": "7"})].into_iter().enumerate()
    {
        let login = scene.begin().await;
        // answered by the issuer, and not yet back
        let at = jiff::Timestamp::now().as_second() - 1;
        assert_eq!(ended(&format!("j{n}"), whose.clone()).await, 0, "there is no session yet");
        scene.say(&login, json!({"sid": "7", "iat": at}));
        assert!(matches!(scene.end(&login, &[]).await, Err(NotIn::Over)), "{whose}");
        assert_eq!(scene.people.store.sessions_of("oidc:anna").await.unwrap(), [], "{whose}");
    }
    // another's, another log-in's where that one alone is over, and hers of later on
    ended("k", json!({"sid": "8"})).await;
    for (claims, is_in) in [
        (json!({"sub": "bert", "sid": "9", "iat": 1}), true),
        (json!({"sub": "bert", "sid": "8", "iat": 1}), false),
        (json!({"sid": "9", "iat": jiff::Timestamp::now().as_second() + 3}), true),
    ] {
        scene.liar.state().userinfo = json!({"sub": claims["sub"].as_str().unwrap_or("anna")});
        let came = scene.with(claims.clone(), Signed::Well).await;
        assert_eq!(came.is_ok(), is_in, "{claims} {:?}", came.err());
    }
    scene.clock.advance(300);
    scene.liar.state().userinfo = json!({"sub": "anna"});
    assert!(scene.with(json!({"sid": "7", "iat": 1}), Signed::Well).await.is_ok(), "it is forgotten");
}

#[tokio::test]
async fn another_issuers_answer_and_a_refusal_let_nobody_in() {
    let scene = scene();
    for (sent, denied) in [
        (&[("iss", "https://other.example")][..], false),
        (&[("error", "access_denied"), ("error_description", "x")], true),
    ] {
        let login = scene.begin().await;
        scene.say(&login, json!({}));
        let ended = scene.end(&login, sent).await;
        assert_eq!(matches!(ended, Err(NotIn::Denied(_))), denied, "{ended:?}");
        assert!(ended.is_err());
        assert!(scene.liar.state().asked.is_empty(), "nothing was asked for");
    }
}

#[tokio::test]
async fn a_key_that_is_new_is_read_once_a_minute_at_most() {
    tokio::time::pause();
    let scene = scene();
    scene.with(json!({}), Signed::Well).await.unwrap();
    {
        let mut state = scene.liar.state();
        (state.key, state.kid) = (key(), "2".into());
    }
    assert!(scene.with(json!({}), Signed::Well).await.is_err(), "within a minute the keys are not read again");
    assert_eq!(scene.liar.state().keys_read, 1);
    tokio::time::advance(KEYS_KNOWN_FOR).await;
    scene.with(json!({}), Signed::Well).await.unwrap();
    assert_eq!(scene.liar.state().keys_read, 2);
}

#[tokio::test]
async fn what_the_token_does_not_say_is_asked_for_of_the_same_person() {
    let scene = scene();
    scene.liar.state().userinfo = json!({"sub": "anna", "roles": ["looker"], "name": "Other"});
    let came = scene.with(json!({"roles": null}), Signed::Well).await.unwrap();
    let visitor = scene.people.visitor(&came.token).await.unwrap().unwrap();
    assert_eq!(visitor.positions, ["auditor".parse().unwrap()]);
    assert_eq!(visitor.name, "Anna Ärzte", "what is signed counts before what is not");
    scene.liar.state().userinfo = json!({"sub": "bert", "roles": ["keeper"]});
    assert!(scene.with(json!({"roles": null}), Signed::Well).await.is_err(), "it speaks of another");
}
